//! A trusting account's roles.

use super::{BrokerArn, Format, PolicyArn, Printed, TemplateError, json};
use crate::{
    allowlist::AllowlistFile,
    model::{Account, AccountId, AccountRef, Role, RoleName, RolePath, SessionDuration},
};
use askama::Template;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a trust template is made of, beside the allowlist.
#[derive(Clone, Debug)]
pub struct Trust<'a> {
    /// Which account; not needed where the allowlist has one.
    pub account: Option<&'a AccountRef>,
    /// Whom the roles trust.
    pub broker: &'a BrokerArn,
    /// The managed policies of each role. A role without any is given none by a guess: the template asks.
    pub policies: &'a BTreeMap<RoleName, Vec<PolicyArn>>,
}

/// IAM's default quota for a trust policy, white space not counted.
const LONGEST_TRUST: usize = 2048;
/// IAM's default quota of policies for a role.
const MOST_POLICIES: usize = 10;

/// Writes the roles that the allowlist lists in one account, with trust policies for the broker.
pub fn trust(allowlist: &AllowlistFile, ask: &Trust<'_>, format: Format) -> Result<Printed, TemplateError> {
    let account = find_account(allowlist, ask.account)?;
    let listed: Vec<&Role> = allowlist.roles.iter().filter(|role| role.account_id == account.id).collect();
    if listed.is_empty() {
        return Err(TemplateError::NoRoles(format!(" of {}", account.label())));
    }
    if let Some(stranger) = ask.policies.keys().find(|name| !listed.iter().any(|role| role.name == **name)) {
        return Err(TemplateError::NoSuchRole(stranger.clone()));
    }
    let mut ids = BTreeSet::new();
    let roles = listed.into_iter().map(|role| TrustedRole::of(role, account, ask, &mut ids));
    let roles = roles.collect::<Result<Vec<_>, _>>()?;
    if format == Format::CloudFormation
        && let Some(role) = roles.iter().find(|role| role.path.as_str().contains("{{"))
    {
        return Err(TemplateError::Resolved(role.name.clone()));
    }
    let mut notes: Vec<String> = ask.broker.warning().into_iter().collect();
    if account.external_id.is_none() {
        notes.push(format!("{} has no external_id in the allowlist: with one, nobody else's use of the broker's role reaches this account by mistake", account.label()));
    }
    let of_roles = roles
        .iter()
        .flat_map(|role| role.notes.iter().map(|note| format!("{}/{}: {note}", account.label(), role.name)));
    let warnings = notes.iter().cloned().chain(of_roles).collect();
    let shown = match &account.alias {
        Some(alias) => format!("{} ({alias})", account.id),
        None => account.id.to_string(),
    };
    let text = match format {
        Format::CloudFormation => CloudFormation { account: &shown, notes, roles }.render()?,
        Format::Terraform => Terraform { account: &shown, id: &account.id, notes, roles }.render()?,
        Format::Json => json(&Json { account: &account.id, roles })?,
    };
    Ok(Printed { text, warnings })
}

fn find_account<'a>(allowlist: &'a AllowlistFile, named: Option<&AccountRef>) -> Result<&'a Account, TemplateError> {
    let known = || allowlist.accounts.iter().map(Account::label).collect::<Vec<_>>().join(", ");
    match (named, &allowlist.accounts[..]) {
        (_, []) => Err(TemplateError::NoRoles(String::new())),
        (None, [only]) => Ok(only),
        (None, _) => Err(TemplateError::WhichAccount(known())),
        (Some(named), accounts) => accounts
            .iter()
            .find(|account| named.names(account))
            .ok_or_else(|| TemplateError::NoSuchAccount(named.clone(), known())),
    }
}

/// A role as IAM's API has it; the members that are for the templates alone are left out of the JSON.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TrustedRole<'a> {
    /// Letters and digits: a name for the template's own use.
    #[serde(skip)]
    id: String,
    #[serde(rename = "RoleName")]
    name: &'a RoleName,
    path: &'a RolePath,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(rename = "MaxSessionDuration")]
    seconds: u32,
    #[serde(rename = "AssumeRolePolicyDocument")]
    trust: TrustPolicy<'a>,
    #[serde(rename = "ManagedPolicyArns")]
    policies: &'a [PolicyArn],
    #[serde(skip)]
    notes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TrustPolicy<'a> {
    version: &'static str,
    statement: Vec<Statement<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement<'a> {
    effect: &'static str,
    principal: Principal<'a>,
    action: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition<'a>>,
}

#[derive(Serialize)]
struct Principal<'a> {
    #[serde(rename = "AWS")]
    aws: &'a BrokerArn,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Condition<'a> {
    string_equals: StringEquals<'a>,
}

#[derive(Serialize)]
struct StringEquals<'a> {
    #[serde(rename = "sts:ExternalId")]
    external_id: &'a str,
}

impl<'a> TrustPolicy<'a> {
    /// What rides along with AssumeRole has a statement of its own where there is an external ID: the condition key is
    /// AssumeRole's, and without AssumeRole the other two are good for nothing.
    fn of(role: &Role, account: &'a Account, broker: &'a BrokerArn) -> Self {
        let statement =
            |action, condition| Statement { effect: "Allow", principal: Principal { aws: broker }, action, condition };
        let mut beside = Vec::new();
        beside.extend(role.source_identity.then_some("sts:SetSourceIdentity"));
        beside.extend((!role.session_tags.is_empty()).then_some("sts:TagSession"));
        let assume = vec!["sts:AssumeRole"];
        let statements = match &account.external_id {
            None => vec![statement([assume, beside].concat(), None)],
            Some(external_id) => {
                let condition = Condition { string_equals: StringEquals { external_id: external_id.expose() } };
                let beside = (!beside.is_empty()).then(|| statement(beside, None));
                [statement(assume, Some(condition))].into_iter().chain(beside).collect()
            }
        };
        Self { version: "2012-10-17", statement: statements }
    }
}

impl<'a> TrustedRole<'a> {
    fn of(
        role: &'a Role,
        account: &'a Account,
        ask: &Trust<'a>,
        ids: &mut BTreeSet<String>,
    ) -> Result<Self, TemplateError> {
        let name = &role.name;
        let trust = TrustPolicy::of(role, account, ask.broker);
        let characters = serde_json::to_string(&trust)?.chars().count();
        if characters > LONGEST_TRUST {
            return Err(TemplateError::TrustTooLong { role: name.clone(), characters });
        }
        let policies = ask.policies.get(name).map_or(&[][..], Vec::as_slice);
        if policies.len() > MOST_POLICIES {
            return Err(TemplateError::TooManyPolicies(policies.len(), name.clone()));
        }
        if let Some(foreign) = policies.iter().find(|policy| !policy.fits(ask.broker.partition(), &account.id)) {
            return Err(TemplateError::ForeignPolicy { policy: foreign.clone(), role: name.clone() });
        }
        let mut notes = Vec::new();
        if policies.iter().any(PolicyArn::is_administrator) {
            notes.push("AdministratorAccess: whoever is granted this role can do everything in the account, to CloudTrail too; give a narrower policy where one will do".to_owned());
        }
        if policies.is_empty() {
            notes.push("no policy is attached, so its sessions may do nothing: give some by --policy, or where the template asks for them".to_owned());
        }
        if role.max_duration > SessionDuration::HOUR && ask.broker.is_role() {
            notes.push(format!(
                "lasts up to {} s, but a broker that is a role itself gets 3600 s at most (role chaining)",
                role.max_duration.seconds()
            ));
        }
        let description = role.description.as_deref().map(iam_text);
        if description.as_deref() != role.description.as_deref() {
            notes
                .push("IAM cannot hold its description as it is; what it cannot is replaced by `?`, or cut".to_owned());
        }
        // IAM takes 1 to 12 hours here; a shorter session is the broker's to ask.
        let seconds = role.max_duration.max(SessionDuration::HOUR).seconds();
        let id = unused_id(name, ids);
        Ok(Self { id, name, path: &role.path, description, seconds, trust, policies, notes })
    }
}

/// As IAM takes a description: 1,000 of Latin-1's printable characters. Braces in pairs are for CloudFormation, which would
/// put a secret in the place of `{{resolve:…}}`, and knows no way to escape it.
fn iam_text(text: &str) -> String {
    let allowed = |c: char| matches!(c, ' '..='~' | '\u{a1}'..='\u{ff}');
    let text: String = text.chars().map(|c| if allowed(c) { c } else { '?' }).collect();
    text.replace("{{", "{?").chars().take(1000).collect()
}

/// The name's letters and digits, and a number where that is taken: `a-b` and `a.b` are two roles.
fn unused_id(name: &RoleName, taken: &mut BTreeSet<String>) -> String {
    let mut plain: String = name.as_str().chars().filter(char::is_ascii_alphanumeric).collect();
    if !plain.starts_with(|c: char| c.is_ascii_alphabetic()) {
        plain.insert(0, 'R');
    }
    let mut id = plain.clone();
    let mut number = 1;
    while !taken.insert(id.clone()) {
        number += 1;
        id = format!("{plain}x{number}");
    }
    id
}

#[derive(Template)]
#[template(path = "trust.yaml", config = "src/template/askama.toml")]
struct CloudFormation<'a> {
    account: &'a str,
    notes: Vec<String>,
    roles: Vec<TrustedRole<'a>>,
}

impl CloudFormation<'_> {
    fn asks(&self) -> bool {
        self.roles.iter().any(|role| role.policies.is_empty())
    }
}

#[derive(Template)]
#[template(path = "trust.tf", config = "src/template/askama.toml")]
struct Terraform<'a> {
    account: &'a str,
    id: &'a AccountId,
    notes: Vec<String>,
    roles: Vec<TrustedRole<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Json<'a> {
    account: &'a AccountId,
    roles: Vec<TrustedRole<'a>>,
}
