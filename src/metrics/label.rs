use std::fmt::Debug;

/// A closed set of values of one label. There is no way from a text to a value: what a request, a token or the allowlist
/// says can never become one.
pub(super) trait Label: Copy + Debug + Send + Sync + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, each at its place.
    const ALL: &'static [Self];

    fn place(self) -> usize;
    fn text(self) -> &'static str;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident, $label:literal { $($(#[$value_doc:meta])* $value:ident = $text:literal),+ $(,)? })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $name { $($(#[$value_doc])* $value),+ }

            impl $name {
                /// As the label has it.
                #[must_use]
                pub const fn as_str(self) -> &'static str {
                    match self { $(Self::$value => $text),+ }
                }
            }

            impl Label for $name {
                const NAME: &'static str = $label;
                const ALL: &'static [Self] = &[$(Self::$value),+];

                fn place(self) -> usize {
                    self as usize
                }

                fn text(self) -> &'static str {
                    self.as_str()
                }
            }
        )+
    };
}

labels! {
    /// How a request for credentials ended.
    Outcome, "outcome" {
        /// New credentials went out.
        Issued = "issued",
        /// Credentials of an issuance before went out once more.
        Shared = "shared",
        /// The allowlist said no.
        Denied = "denied",
        /// Something else stood in the way.
        Failed = "failed",
        /// An intent whose outcome never came, most likely because a process died.
        Unknown = "unknown",
    }

    /// The stable code of a request that brought no credentials (contract §4).
    IssueCode, "code" {
        /// No grant fits.
        NotAllowed = "not_allowed",
        /// Longer than some limit.
        DurationTooLong = "duration_too_long",
        /// The grant wants a reason.
        ReasonRequired = "reason_required",
        /// The grant has a policy of its own.
        SessionPolicyFixed = "session_policy_fixed",
        /// IAM does not take the caller's policy.
        InvalidRequest = "invalid_request",
        /// The caller's policy is over AWS's limit.
        SessionPolicyTooLarge = "session_policy_too_large",
        /// AWS said no.
        StsRefused = "sts_refused",
        /// AWS throttles.
        StsThrottled = "sts_throttled",
        /// STS away, silent or broken.
        StsUnavailable = "sts_unavailable",
        /// A row could not be written.
        AuditUnavailable = "audit_unavailable",
        /// The allowlist could not be read.
        StoreUnavailable = "store_unavailable",
    }

    /// Why nobody could be made out behind a request (contract §4).
    AuthCode, "code" {
        /// No token.
        Unauthenticated = "unauthenticated",
        /// A token past its time.
        TokenExpired = "token_expired",
        /// A check failed.
        TokenInvalid = "token_invalid",
        /// The issuer's keys are not at hand.
        KeysUnavailable = "keys_unavailable",
        /// An API token cannot be looked up.
        StoreUnavailable = "store_unavailable",
    }

    /// What is wrong with a call to STS.
    StsFault, "kind" {
        /// AWS said no.
        Refused = "refused",
        /// IAM does not take the session policy.
        PolicyMalformed = "policy_malformed",
        /// Policy and tags are over the packed limit.
        PolicyTooLarge = "policy_too_large",
        /// Too many calls.
        Throttled = "throttled",
        /// Away, silent, broken, or making no sense.
        Unavailable = "unavailable",
    }

    /// What is wrong with a call to the sign-in service.
    ConsoleFault, "kind" {
        /// It said no.
        Refused = "refused",
        /// Too many calls.
        Throttled = "throttled",
        /// Away, silent, broken, or making no sense.
        Unavailable = "unavailable",
    }

    /// Where a request went: a name for each of the router's patterns, and none for a path.
    Route, "route" {
        /// `/healthz`.
        Healthz = "healthz",
        /// `/readyz`.
        Readyz = "readyz",
        /// `/openapi.json`.
        Openapi = "openapi",
        /// `/docs` and what it is made of.
        Docs = "docs",
        /// The portal: its pages, sign-in and what they are made of.
        Portal = "portal",
        /// `/v1/whoami`.
        Whoami = "whoami",
        /// `/v1/roles`.
        Roles = "roles",
        /// `/v1/credentials`.
        Credentials = "credentials",
        /// `/v1/console`.
        Console = "console",
        /// `/v1/container/{account}/{role}`.
        Container = "container",
        /// `/v1/explain`.
        Explain = "explain",
        /// `/v1/allowlist`.
        Allowlist = "allowlist",
        /// `/v1/grants`, with or without an id.
        Grants = "grants",
        /// `/v1/blocks`, with or without an id.
        Blocks = "blocks",
        /// `/v1/tokens`, with or without an id.
        Tokens = "tokens",
        /// `/v1/audit/events`.
        AuditEvents = "audit_events",
        /// `/v1/audit/export`.
        AuditExport = "audit_export",
        /// `/v1/audit/heads`.
        AuditHeads = "audit_heads",
        /// `/v1/login`.
        Login = "login",
        /// Whatever the router does not know.
        Other = "other",
    }

    /// An answer's status, by its first digit.
    Class, "status" {
        /// Not an answer yet.
        Informational = "1xx",
        /// Well.
        Success = "2xx",
        /// Elsewhere.
        Redirection = "3xx",
        /// The caller's fault.
        Client = "4xx",
        /// Ours, or that of something behind us.
        Server = "5xx",
    }

    /// Whose rate was over its limit.
    Limited, "by" {
        /// A caller asked too often.
        Caller = "caller",
        /// An address failed to authenticate too often.
        Address = "address",
        /// An address signed in to the portal too often.
        SignIn = "sign_in",
    }

    /// What was full when a request, or a whole connection, was turned away.
    Full, "full" {
        /// Open connections.
        Connections = "connections",
        /// Requests being answered.
        Requests = "requests",
        /// The calls that AWS lets the broker make.
        StsRate = "sts_rate",
        /// The calls under way into one trusting account.
        StsAccount = "sts_account",
    }
}

impl Class {
    pub(super) fn of(status: u16) -> Self {
        match status {
            0..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::Client,
            _ => Self::Server,
        }
    }
}

/// One label or two, and what they say.
pub(super) trait Labels: Copy + Debug + Send + Sync + 'static {
    /// Every combination, each at its place.
    fn all() -> Vec<Self>;
    fn place(self) -> usize;
    fn pairs(self) -> Vec<(&'static str, &'static str)>;
}

impl<L: Label> Labels for L {
    fn all() -> Vec<Self> {
        L::ALL.to_vec()
    }

    fn place(self) -> usize {
        Label::place(self)
    }

    fn pairs(self) -> Vec<(&'static str, &'static str)> {
        vec![(L::NAME, self.text())]
    }
}

impl<A: Label, B: Label> Labels for (A, B) {
    fn all() -> Vec<Self> {
        A::ALL.iter().flat_map(|&a| B::ALL.iter().map(move |&b| (a, b))).collect()
    }

    fn place(self) -> usize {
        Label::place(self.0) * B::ALL.len() + Label::place(self.1)
    }

    fn pairs(self) -> Vec<(&'static str, &'static str)> {
        vec![(A::NAME, self.0.text()), (B::NAME, self.1.text())]
    }
}
