use crate::model::{
    AccountId, GrantId, IssuanceId, Principal, Reason, RoleArn, RoleRef, SessionName, SourceIdentity, Tags, Time,
    UserAgent,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::net::IpAddr;
use uuid::Uuid;

/// What happened. The names are the contract's, and are never reused for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A run began a stream.
    StreamOpened,
    /// The heads of the streams a run sees, repeated while something happens.
    StreamHeads,
    /// A run ended a stream.
    StreamClosed,
    /// AssumeRole is about to be called: the intent, on disk before the call.
    CredentialsRequested,
    /// Credentials were released (not: received).
    CredentialsIssued,
    /// The allowlist said no.
    CredentialsDenied,
    /// An intent that ended without a release.
    CredentialsFailed,
    /// An intent without an outcome: the session may live.
    CredentialsUnknown,
    /// Credentials that were issued before were handed out once more.
    CredentialsShared,
    /// A console sign-in address was released.
    ConsoleIssued,
    /// Nobody could be made out behind a request.
    AuthenticationFailed,
    /// Somebody signed in to the portal.
    LoginSucceeded,
    /// A sign-in to the portal led to nobody.
    LoginFailed,
    /// The allowlist file was applied.
    AllowlistApplied,
    /// A single grant was made.
    GrantAdded,
    /// A single grant was ended.
    GrantRemoved,
    /// A block was set.
    BlockAdded,
    /// A block was lifted.
    BlockRemoved,
    /// An API token was made.
    TokenCreated,
    /// An API token was revoked.
    TokenRevoked,
    /// Somebody read what is not their own.
    AuditRead,
    /// Somebody took a copy of the audit away.
    AuditExported,
}

impl Kind {
    /// Every kind, for listings and checks.
    pub const ALL: [Self; 22] = [
        Self::StreamOpened,
        Self::StreamHeads,
        Self::StreamClosed,
        Self::CredentialsRequested,
        Self::CredentialsIssued,
        Self::CredentialsDenied,
        Self::CredentialsFailed,
        Self::CredentialsUnknown,
        Self::CredentialsShared,
        Self::ConsoleIssued,
        Self::AuthenticationFailed,
        Self::LoginSucceeded,
        Self::LoginFailed,
        Self::AllowlistApplied,
        Self::GrantAdded,
        Self::GrantRemoved,
        Self::BlockAdded,
        Self::BlockRemoved,
        Self::TokenCreated,
        Self::TokenRevoked,
        Self::AuditRead,
        Self::AuditExported,
    ];

    /// Whether something that opens a role goes out with this event.
    #[must_use]
    pub const fn releases(self) -> bool {
        matches!(self, Self::CredentialsIssued | Self::CredentialsShared | Self::ConsoleIssued)
    }

    /// As the record and the `kind` filter have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StreamOpened => "stream.opened",
            Self::StreamHeads => "stream.heads",
            Self::StreamClosed => "stream.closed",
            Self::CredentialsRequested => "credentials.requested",
            Self::CredentialsIssued => "credentials.issued",
            Self::CredentialsDenied => "credentials.denied",
            Self::CredentialsFailed => "credentials.failed",
            Self::CredentialsUnknown => "credentials.unknown",
            Self::CredentialsShared => "credentials.shared",
            Self::ConsoleIssued => "console.issued",
            Self::AuthenticationFailed => "authentication.failed",
            Self::LoginSucceeded => "login.succeeded",
            Self::LoginFailed => "login.failed",
            Self::AllowlistApplied => "allowlist.applied",
            Self::GrantAdded => "grant.added",
            Self::GrantRemoved => "grant.removed",
            Self::BlockAdded => "block.added",
            Self::BlockRemoved => "block.removed",
            Self::TokenCreated => "token.created",
            Self::TokenRevoked => "token.revoked",
            Self::AuditRead => "audit.read",
            Self::AuditExported => "audit.exported",
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How a caller was made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A bearer JWT.
    Jwt,
    /// An API token.
    ApiToken,
    /// A session of the portal.
    Session,
    /// An operator with the database at hand.
    Local,
}

/// By what a caller was made out; never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Auth {
    /// The issuer's name in the configuration.
    pub issuer: Option<String>,
    /// The way.
    pub method: AuthMethod,
    /// The token's `sub`, unreduced.
    pub subject: Option<String>,
    /// The token's `jti`, or the id of an API token or of a session.
    pub token_id: Option<String>,
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Client {
    /// The client's address: through trusted proxies, what they say. `None` where they say nonsense.
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// Who held the connection.
    #[schema(value_type = Option<String>)]
    pub peer: Option<IpAddr>,
    /// What the client says it is.
    pub user_agent: Option<UserAgent>,
}

/// Who does something, by what they were made out, and where their request came from: the head of every event that
/// somebody causes.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who.
    pub principal: Principal,
    /// By what they were made out.
    pub auth: Auth,
    /// From where; `None` for an operator at the database.
    pub client: Option<Client>,
    /// The request's id, where it came over HTTP.
    pub request_id: Option<String>,
}

impl Actor {
    /// An event of this kind that they cause, with nothing else known yet.
    #[must_use]
    pub fn event(&self, kind: Kind, id: Uuid, at: Time) -> Event {
        let mut event = Event::new(kind, id, at);
        event.principal = Some(self.principal.clone());
        event.auth = Some(self.auth.clone());
        event.client.clone_from(&self.client);
        event.request_id.clone_from(&self.request_id);
        event
    }
}

/// By which door credentials were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// `POST /v1/credentials`.
    Api,
    /// `GET /v1/container/{account}/{role}`.
    Container,
    /// `POST /v1/console`.
    Console,
}

/// One event: the record of contract §7, with every member always there. What is not known is null.
///
/// Holds no secret by construction: there is no field for one. The members here, and those of [`Auth`] and [`Client`],
/// stand in the order of their names: so serde writes them as RFC 8785 wants them, at a fifteenth of the cost of
/// sorting them for every record.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(description = "What happened, with every member always there; what is not known is null.")]
#[expect(missing_docs, reason = "the contract's table names the members one by one")]
pub struct Event {
    pub access_key_id: Option<String>,
    pub account_id: Option<AccountId>,
    pub allowlist_revision: Option<u64>,
    pub assumed_role_id: Option<String>,
    pub at: Time,
    pub attempts: Option<u32>,
    pub auth: Option<Auth>,
    pub clamped_by: Option<&'static str>,
    pub client: Option<Client>,
    pub code: Option<&'static str>,
    pub detail: Map<String, Value>,
    pub duration_seconds: Option<u32>,
    pub expires_at: Option<Time>,
    pub grant_id: Option<GrantId>,
    #[schema(value_type = String)]
    pub id: Uuid,
    pub issuance_id: Option<IssuanceId>,
    pub kind: Kind,
    pub principal: Option<Principal>,
    pub purpose: Option<Purpose>,
    pub reason: Option<Reason>,
    pub reasons: Vec<Value>,
    pub request_id: Option<String>,
    pub role_arn: Option<RoleArn>,
    pub session_name: Option<SessionName>,
    pub session_policy_sha256: Option<String>,
    pub session_tags: Tags,
    pub shared_from: Option<IssuanceId>,
    pub source_identity: Option<SourceIdentity>,
    pub sts_request_id: Option<String>,
    pub v: u32,
    pub via: Option<Principal>,
}

impl Event {
    /// An event of this kind with nothing else known yet.
    #[must_use]
    pub fn new(kind: Kind, id: Uuid, at: Time) -> Self {
        Self {
            access_key_id: None,
            account_id: None,
            allowlist_revision: None,
            assumed_role_id: None,
            at,
            attempts: None,
            auth: None,
            clamped_by: None,
            client: None,
            code: None,
            detail: Map::new(),
            duration_seconds: None,
            expires_at: None,
            grant_id: None,
            id,
            issuance_id: None,
            kind,
            principal: None,
            purpose: None,
            reason: None,
            reasons: Vec::new(),
            request_id: None,
            role_arn: None,
            session_name: None,
            session_policy_sha256: None,
            session_tags: Tags::default(),
            shared_from: None,
            source_identity: None,
            sts_request_id: None,
            v: 1,
            via: None,
        }
    }

    /// Notes the role reference as it was asked for, where no ARN is known for it: `detail.role`. Two denials of
    /// different unknown roles are then told apart.
    pub fn set_requested_role(&mut self, role: &RoleRef) {
        self.detail.insert(REQUESTED_ROLE.to_owned(), Value::String(role.to_string()));
    }

    /// The role reference as it was asked for, where it was noted.
    #[must_use]
    pub fn requested_role(&self) -> Option<&str> {
        self.detail.get(REQUESTED_ROLE)?.as_str()
    }
}

const REQUESTED_ROLE: &str = "role";
