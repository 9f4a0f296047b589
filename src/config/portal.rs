use super::parse_path;
use crate::{
    input::Faults,
    model::{Invalid, IssuerName, Reason, parse_duration},
};
use deserr::Deserr;
use std::{path::PathBuf, time::Duration};

/// `[portal]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct Portal {
    /// Who signs people in: one of the issuers of people, with discovery.
    pub issuer: IssuerName,
    /// As whom the portal asks the provider. Its redirect address is `<public_url>/login/callback`.
    #[deserr(try_from(String) = parse_client_id -> Invalid)]
    pub client_id: String,
    /// The file with the client's secret; absent for a client that has none and rests on PKCE.
    #[deserr(try_from(Option<String>) = parse_secret_file -> Invalid, default)]
    pub client_secret_file: Option<PathBuf>,
    /// A session that rests for so long is over; 30 minutes by default.
    #[deserr(try_from(String) = parse_span -> Invalid, default = Duration::from_mins(30))]
    pub session_idle: Duration,
    /// No session lasts longer; 10 hours by default.
    #[deserr(try_from(String) = parse_span -> Invalid, default = Duration::from_hours(10))]
    pub session_max: Duration,
    /// Whom to ask for a role, and how, in a sentence; addresses in it become links.
    #[deserr(try_from(String) = parse_help -> Invalid, default)]
    pub help: Option<String>,
}

fn parse_help(text: String) -> Result<Option<String>, Invalid> {
    let lawful = Reason::parse(&text).is_ok();
    if lawful { Ok(Some(text)) } else { Err(Invalid::new("a sentence of 1 to 512 characters, on one line")) }
}

fn parse_client_id(text: String) -> Result<String, Invalid> {
    let plain = (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if plain { Ok(text) } else { Err(Invalid::new("the client's id at the provider, in ASCII without spaces")) }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn parse_secret_file(text: Option<String>) -> Result<Option<PathBuf>, Invalid> {
    text.as_deref().map(parse_path).transpose()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn parse_span(text: String) -> Result<Duration, Invalid> {
    let lawful = |span: &Duration| (Duration::from_mins(5)..=Duration::from_hours(24)).contains(span);
    let span = parse_duration(&text).ok().filter(lawful);
    span.ok_or(Invalid::new("a time from 5m to 24h, such as 30m or 10h"))
}
