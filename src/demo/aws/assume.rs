//! AssumeRole: the role's trust policy, its limits, and the session that comes of it.

use super::{
    Roles,
    answer::{Element, Fault},
    logins::{Keys, Login},
    parameters::AssumeRole,
};
use crate::model::{RoleArn, SessionPolicy, Time, base32, sha256};
use std::collections::BTreeSet;

/// What a session of a session may last, in seconds.
const CHAINED_MOST: u32 = 3600;

/// A role, as the owner of a trusting account has set it up.
#[derive(Clone, Debug)]
pub struct TrustingRole {
    /// Its ARN.
    pub arn: RoleArn,
    /// `MaxSessionDuration`, in seconds.
    pub max_session: u32,
    /// The ARN that the trust policy names as principal.
    pub principal: String,
    /// What the trust policy allows: `sts:AssumeRole` and what goes with it.
    pub actions: Vec<&'static str>,
    /// The external ID that the trust policy asks for.
    pub external_id: Option<String>,
}

impl TrustingRole {
    /// Holds the call against the trust policy and the role's limits.
    fn check(&self, call: &AssumeRole, caller: &Login) -> Result<(), Fault> {
        let trusted = self.principal == caller.principal
            && self.external_id.as_ref().is_none_or(|id| call.external_id.as_ref() == Some(id));
        let asked = [
            ("sts:AssumeRole", true),
            ("sts:TagSession", !call.tags.is_empty()),
            ("sts:SetSourceIdentity", call.source_identity.is_some()),
        ];
        for (action, _) in asked.iter().filter(|(_, asked)| *asked) {
            if !trusted || !self.actions.contains(action) {
                return Err(denied(caller, action, &call.role_arn));
            }
        }
        if call.duration > self.max_session {
            let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
            return Err(Fault::bad("ValidationError", message));
        }
        if caller.ends.is_some() && call.duration > CHAINED_MOST {
            let message =
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
            return Err(Fault::bad("ValidationError", message));
        }
        Ok(())
    }
}

/// Whichever side refuses, and whether or not the role is there.
fn denied(caller: &Login, action: &str, role: &str) -> Fault {
    let message = format!("User: {} is not authorized to perform: {action} on resource: {role}", caller.arn);
    Fault::forbidden("AccessDenied", message)
}

/// The session that the call is given, or AWS's refusal.
pub(super) fn assume(roles: &Roles, call: &AssumeRole, caller: &Login, now: Time) -> Result<Login, Fault> {
    check_packed(call)?;
    let arn = RoleArn::parse(&call.role_arn)
        .map_err(|_| Fault::bad("ValidationError", format!("{} is invalid", call.role_arn)))?;
    let role = roles(&arn).ok_or_else(|| denied(caller, "sts:AssumeRole", &call.role_arn))?;
    role.check(call, caller)?;
    let RoleArn { partition, account, name, .. } = arn;
    Ok(Login {
        keys: Keys::mint(),
        arn: format!("arn:{partition}:sts::{account}:assumed-role/{name}/{}", call.session_name),
        user_id: format!("AROA{}:{}", &base32(&sha256(&[call.role_arn.as_bytes()]))[..17], call.session_name),
        account,
        principal: call.role_arn.clone(),
        // AWS gives whole seconds.
        ends: Time::from_seconds(now.as_micros() / 1_000_000 + i64::from(call.duration)),
    })
}

/// AWS packs the policy and the tags together, in a way of its own. Here their plain length counts.
fn check_packed(call: &AssumeRole) -> Result<(), Fault> {
    if let Some(policy) = &call.policy
        && SessionPolicy::parse(policy).is_err()
    {
        return Err(Fault::bad("MalformedPolicyDocument", "Syntax errors in policy."));
    }
    let keys: BTreeSet<String> = call.tags.iter().map(|(key, _)| key.to_lowercase()).collect();
    if keys.len() < call.tags.len() {
        let message = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
        return Err(Fault::bad("InvalidParameterValue", message));
    }
    let tags: usize = call.tags.iter().map(|(key, value)| key.len() + value.len()).sum();
    let length = call.policy.as_ref().map_or(0, String::len) + tags;
    let percent = (length * 100).div_ceil(SessionPolicy::MAX_CHARS);
    if percent > 100 {
        let message = format!("Packed policy consumes {percent}% of allotted space, please use smaller policy.");
        return Err(Fault::bad("PackedPolicyTooLarge", message));
    }
    Ok(())
}

/// `AssumeRoleResult`.
pub(super) fn result(session: &Login, call: &AssumeRole) -> Vec<Element> {
    let Keys { access_key_id, secret_access_key, session_token } = &session.keys;
    let token = session_token.as_ref().map_or("", |token| token.expose());
    let credentials = vec![
        Element::text("AccessKeyId", access_key_id),
        Element::text("SecretAccessKey", secret_access_key.expose()),
        Element::text("SessionToken", token),
        Element::text("Expiration", session.ends.map_or_else(String::new, |ends| ends.to_string())),
    ];
    let user = vec![Element::text("AssumedRoleId", &session.user_id), Element::text("Arn", &session.arn)];
    let mut result = vec![Element::of("AssumedRoleUser", user), Element::of("Credentials", credentials)];
    result.extend(call.source_identity.as_ref().map(|identity| Element::text("SourceIdentity", identity)));
    result
}
