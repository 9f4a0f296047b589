use super::{Client, ClientError, Environment, Keep, Source, shelf, shelf::hash_of};
use crate::{
    format::{self, Format, Unquotable},
    model::{Reason, RoleRef, SessionDuration, Time},
    secret::Secret,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What to have credentials for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The role.
    pub role: RoleRef,
    /// How long they shall last.
    pub duration: Option<SessionDuration>,
    /// Why.
    pub reason: Option<Reason>,
    /// The region to go with them.
    pub region: Option<String>,
}

/// Credentials, as the server gives them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    issuance_id: String,
    role_arn: String,
    assumed_role_arn: String,
    source_identity: Option<String>,
    access_key_id: String,
    #[serde(with = "super::exposed")]
    secret_access_key: Secret,
    #[serde(with = "super::exposed")]
    session_token: Secret,
    expires_at: String,
    pub(super) duration_seconds: u32,
    clamped_by: Option<String>,
    region: String,
}

/// As a request has it.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    role: String,
    duration_seconds: Option<u32>,
    reason: Option<&'a str>,
}

impl Ask {
    /// For this role, and nothing else said.
    #[must_use]
    pub fn of(role: RoleRef) -> Self {
        Self { role, duration: None, reason: None, region: None }
    }

    pub(super) fn body(&self) -> Body<'_> {
        Body {
            role: self.role.to_string(),
            duration_seconds: self.duration.map(SessionDuration::seconds),
            reason: self.reason.as_ref().map(Reason::as_str),
        }
    }

    /// `<account>-<role>`, as the server names a profile.
    fn profile(&self) -> String {
        format!("{}-{}", self.role.account(), self.role.name())
    }
}

impl Client {
    /// Credentials: those that were handed out for the same before, as long as they last, or else new ones. `fresh` has new
    /// ones in any case. Where the server cannot be reached, the old ones do until their end.
    pub async fn credentials(&self, ask: &Ask, fresh: bool) -> Result<Credentials, ClientError> {
        let body = ask.body();
        let options = serde_json::to_string(&body).map_err(|error| self.api.nonsense(&error.to_string()))?;
        let caller = self.caller()?;
        let place = self.shelf.place(&[&self.target.url, &caller, &options]);
        let kept = || place.get().filter(|kept| shelf::lasts(kept, self.clock.now()));
        if let Some(kept) = kept().filter(|_| !fresh) {
            return Ok(kept);
        }
        let _held = place.hold().await;
        // Whoever was before has brought some.
        if let Some(kept) = kept().filter(|_| !fresh) {
            return Ok(kept);
        }
        match self.post("/v1/credentials", &body).await {
            Ok(new) => {
                place.put(&new, self.clock.now());
                // Signed out meanwhile: whoever did it wants nothing kept.
                if self.caller().ok().is_none_or(|now| now != caller) {
                    place.clear()?;
                }
                Ok(new)
            }
            Err(error) if error.is_of_the_network() && !fresh => self.old(&place).ok_or(error),
            Err(error) => Err(error),
        }
    }

    fn old(&self, place: &shelf::Place<'_>) -> Option<Credentials> {
        place.get().filter(|old| old.seconds_left(self.clock.now()) > 60)
    }

    /// Who this process is, as far as that can be told without asking anybody: two that differ never share credentials.
    fn caller(&self) -> Result<String, ClientError> {
        let source = self.source()?;
        let of = |names: &[&str]| hash_of(&names.iter().filter_map(|name| self.env.get(name)).collect::<Vec<_>>());
        let who = match &source {
            Source::Variable => of(&["HALLPASS_TOKEN"]),
            Source::GitLab => of(&["HALLPASS_ID_TOKEN"]),
            Source::GitHub => of(&["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"]),
            Source::File(path) | Source::Kubernetes(path) => hash_of(&[source.read(path)?.expose()]),
            Source::SignIn => {
                let who = self.keep.as_ref().and_then(Keep::who);
                who.ok_or_else(|| ClientError::NotSignedIn { server: self.target.url.clone() })?
            }
            // Whatever says which role this process runs on.
            Source::Aws => hash_of(&self.env.starting_with("AWS_")),
        };
        Ok(format!("{} {} {who}", source, self.target.audience))
    }
}

impl Environment {
    /// The variables whose names begin so, each name before its value.
    fn starting_with(&self, start: &str) -> Vec<&str> {
        let some = self.0.iter().filter(|(name, _)| name.starts_with(start));
        some.flat_map(|(name, value)| [&**name, &**value]).collect()
    }
}

impl Credentials {
    /// How long they last; what has no end is over.
    pub(super) fn seconds_left(&self, now: Time) -> i64 {
        Time::parse(&self.expires_at).map_or(0, |end| now.seconds_until(end))
    }

    /// As text for this reader.
    pub fn write(&self, format: Format, ask: &Ask) -> Result<String, Unquotable> {
        self.with_format(ask, |credentials| format.write(credentials))
    }

    /// As the container protocol has them.
    pub(super) fn as_container(&self) -> String {
        // arn:<partition>:iam::<account>:role/…
        let account = self.role_arn.split(':').nth(4).unwrap_or_default();
        let shown = json!({
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key.expose(),
            "Token": self.session_token.expose(),
            "Expiration": self.expires_at,
            "RoleArn": self.role_arn,
            "AccountId": account,
        });
        shown.to_string()
    }

    pub(super) fn with_format<T>(&self, ask: &Ask, f: impl FnOnce(&format::Credentials<'_>) -> T) -> T {
        f(&format::Credentials {
            issuance_id: &self.issuance_id,
            role_arn: &self.role_arn,
            assumed_role_arn: &self.assumed_role_arn,
            source_identity: self.source_identity.as_deref(),
            access_key_id: &self.access_key_id,
            secret_access_key: self.secret_access_key.expose(),
            session_token: self.session_token.expose(),
            expires_at: &self.expires_at,
            duration_seconds: self.duration_seconds,
            clamped_by: self.clamped_by.as_deref(),
            region: ask.region.as_deref().unwrap_or(&self.region),
            region_given: ask.region.is_some(),
            profile: &ask.profile(),
        })
    }
}
