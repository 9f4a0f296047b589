//! The filter as an address has it: what people type, and what they meant.

use crate::{
    app::App,
    audit::Kind,
    evidence::Turn,
    http::{
        api::audit::{parse_kind, read_cursor},
        error::Error,
    },
    input::Faults,
    model::{AccountId, AccountRef, Invalid, IssuanceId, Principal, RoleArn, RoleRef, Time},
    store::EventFilter,
};
use deserr::Deserr;
use std::fmt::Display;

/// The fields of the form, as they were sent. An empty one is none.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http::portal) struct Asked {
    #[deserr(default)]
    pub(super) kind: String,
    #[deserr(default)]
    pub(super) principal: String,
    #[deserr(default)]
    pub(super) account: String,
    #[deserr(default)]
    pub(super) role: String,
    #[deserr(default)]
    pub(super) issuance: String,
    #[deserr(default)]
    pub(super) since: String,
    #[deserr(default)]
    pub(super) until: String,
    #[deserr(default)]
    pub(super) q: String,
    #[deserr(default)]
    pub(super) older: String,
    #[deserr(default)]
    pub(super) newer: String,
    #[deserr(default)]
    pub(super) format: Option<String>,
}

/// What they mean.
pub(super) struct Filter {
    pub(super) events: EventFilter,
    pub(super) turn: Turn,
    pub(super) faults: Faults,
}

impl Filter {
    /// Aliases are looked up in the allowlist as it is now.
    pub(super) async fn read(app: &App, asked: &Asked) -> Result<Self, Error> {
        let mut faults = Faults::default();
        let account = find_account(app, &asked.account).await?;
        let role = find_role(app, &asked.role).await?;
        let kind: Option<Kind> = faults.take("/kind", parse_kind(given(&asked.kind).map(str::to_owned)));
        let events = EventFilter {
            kind: kind.map(|kind| kind.as_str().to_owned()),
            principal: faults.take("/principal", given(&asked.principal).map(principal).transpose()),
            account: faults.take("/account", account),
            role: faults.take("/role", role),
            issuance: faults.take("/issuance", given(&asked.issuance).map(str::parse::<IssuanceId>).transpose()),
            since: faults.take("/since", given(&asked.since).map(moment).transpose()),
            until: faults.take("/until", given(&asked.until).map(moment).transpose()),
            text: given(&asked.q).map(str::to_owned),
        };
        let turn = match (given(&asked.older), given(&asked.newer)) {
            (None, None) => Some(Turn::First),
            (Some(older), None) => read_cursor(older).map(Turn::Older),
            (None, Some(newer)) => read_cursor(newer).map(Turn::Newer),
            (Some(_), Some(_)) => None,
        };
        let turn = faults.take("/older", turn.map(Some).ok_or(Invalid::new("where another page ended")));
        Ok(Self { events, turn: turn.unwrap_or(Turn::First), faults })
    }

    /// The address of a page with this filter, and more.
    pub(super) fn address(&self, path: &str, more: &[(&str, &str)]) -> String {
        let events = &self.events;
        let text = |value: Option<&dyn Display>| value.map(ToString::to_string).unwrap_or_default();
        let fields = [
            ("kind", events.kind.clone().unwrap_or_default()),
            ("principal", text(events.principal.as_ref().map(|value| value as &dyn Display))),
            ("account", text(events.account.as_ref().map(|value| value as &dyn Display))),
            ("role", text(events.role.as_ref().map(|value| value as &dyn Display))),
            ("issuance", text(events.issuance.as_ref().map(|value| value as &dyn Display))),
            ("since", text(events.since.as_ref().map(|value| value as &dyn Display))),
            ("until", text(events.until.as_ref().map(|value| value as &dyn Display))),
            ("q", events.text.clone().unwrap_or_default()),
        ];
        let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
        address(path, fields.chain(more.iter().copied()))
    }
}

/// A path with these parameters; empty ones are left out.
pub(in crate::http::portal) fn address<'a>(path: &str, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(fields.into_iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The address of the list with one filter, for templates.
pub(super) fn only(name: &str, value: &impl ToString) -> String {
    address("/audit", [(name, value.to_string().as_str())])
}

impl Faults {
    /// The value, or a fault at its place.
    fn take<T>(&mut self, pointer: &str, read: Result<Option<T>, Invalid>) -> Option<T> {
        read.unwrap_or_else(|expected| {
            self.push(pointer, format!("expected {expected}"));
            None
        })
    }
}

fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Most people are users.
fn principal(text: &str) -> Result<Principal, Invalid> {
    Principal::parse(text).or_else(|error| Principal::parse(&format!("user:{text}")).map_err(|_| error))
}

/// RFC 3339, or as a browser's field has it: `2026-01-02T03:04` or `2026-01-02`, in UTC.
fn moment(text: &str) -> Result<Time, Invalid> {
    let completed = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => format!("{text}Z"),
    };
    Time::parse(text).or_else(|error| Time::parse(&completed).map_err(|_| error))
}

/// What the form calls the field that a fault is at.
pub(super) fn label(pointer: &str) -> &str {
    match pointer {
        "/principal" => "Person",
        "/account" => "Account",
        "/role" => "Role",
        "/kind" => "Kind",
        "/since" => "From",
        "/until" => "Before",
        "/issuance" => "Issuance",
        _ => "Page",
    }
}

/// A moment as a browser's field wants it.
pub(super) fn field(time: Option<&Time>, typed: &str) -> String {
    time.map_or_else(|| typed.to_owned(), |time| time.to_string().chars().take(19).collect())
}

async fn find_account(app: &App, text: &str) -> Result<Result<Option<AccountId>, Invalid>, Error> {
    let Some(text) = given(text) else { return Ok(Ok(None)) };
    Ok(match AccountRef::parse(text) {
        Ok(AccountRef::Id(id)) => Ok(Some(id)),
        Ok(AccountRef::Alias(alias)) => {
            let found = app.evidence.find_account(&alias).await?;
            found.map(Some).ok_or(Invalid::new("the alias of an account in the allowlist, or an account id"))
        }
        Err(error) => Err(error),
    })
}

async fn find_role(app: &App, text: &str) -> Result<Result<Option<RoleArn>, Invalid>, Error> {
    let Some(text) = given(text) else { return Ok(Ok(None)) };
    Ok(match RoleRef::parse(text) {
        // One that the allowlist no longer names is still on record.
        Ok(RoleRef::Arn(arn)) => Ok(Some(arn)),
        Ok(named) => {
            let found = app.evidence.find_role(&named).await?;
            let arn = found.map(|(_, role)| role.arn(app.sts.partition()));
            arn.map(Some).ok_or(Invalid::new("<account>/<name> of a role in the allowlist, or a role's ARN"))
        }
        Err(error) => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_browsers_and_people_write_them() {
        let whole = Time::parse("2026-01-02T03:04:00Z").unwrap();
        for text in ["2026-01-02T03:04", "2026-01-02T03:04:00", "2026-01-02T03:04:00Z", "2026-01-02T04:04:00+01:00"] {
            assert_eq!(moment(text).unwrap(), whole, "{text}");
        }
        assert_eq!(moment("2026-01-02").unwrap().to_string(), "2026-01-02T00:00:00Z");
        for text in ["yesterday", "2026-13-01", "03:04", "2026-01-0é"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn people_are_named_with_and_without_their_kind() {
        for (text, expected) in [
            ("alice@example.com", "user:alice@example.com"),
            ("user:alice@example.com", "user:alice@example.com"),
            ("workload:ci/apply", "workload:ci/apply"),
        ] {
            assert_eq!(principal(text).unwrap().to_string(), expected);
        }
    }
}
