use super::super::place::{At, Place};
use crate::{
    client::Request,
    model::{AccountId, IssuanceId, Principal, RoleArn, Time},
};
use form_urlencoded::Serializer;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::{
    io::{BufWriter, Write, stdout},
    path::Path,
};

/// The longest page that a server gives.
const LONGEST_PAGE: u32 = 1000;

/// What is wanted; everything given must hold, exactly.
#[derive(Debug, clap::Args)]
struct Filter {
    /// A kind of event, such as credentials.issued or allowlist.applied.
    #[arg(long)]
    kind: Option<String>,
    /// Whose events, such as user:alice@example.com.
    #[arg(long)]
    principal: Option<Principal>,
    /// A trusting account's 12 digits.
    #[arg(long)]
    account: Option<AccountId>,
    /// A role's ARN. Denials are found by --text: they hold the role as it was asked for.
    #[arg(long)]
    role: Option<RoleArn>,
    /// The `issuance_id` of one issuance: its request and its outcome.
    #[arg(long)]
    issuance: Option<IssuanceId>,
    /// From this time on, such as 2026-01-02T00:00:00Z.
    #[arg(long)]
    since: Option<Time>,
    /// Before this time.
    #[arg(long)]
    until: Option<Time>,
    /// Text that the record holds, ignoring case.
    #[arg(long = "text", value_name = "TEXT")]
    text: Option<String>,
}

impl Filter {
    /// As the API's parameters.
    fn query(&self) -> Serializer<'static, String> {
        let Self { kind, principal, account, role, issuance, since, until, text } = self;
        let given = [
            ("kind", kind.clone()),
            ("principal", principal.as_ref().map(ToString::to_string)),
            ("account", account.as_ref().map(ToString::to_string)),
            ("role", role.as_ref().map(ToString::to_string)),
            ("issuance", issuance.as_ref().map(ToString::to_string)),
            ("since", since.as_ref().map(ToString::to_string)),
            ("until", until.as_ref().map(ToString::to_string)),
            ("q", text.clone()),
        ];
        let mut query = Serializer::new(String::new());
        query.extend_pairs(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
        query
    }
}

/// Print events, newest first.
///
/// One line an event: when, what, who, which role, how it ended, and the reason given. That they were read is put on
/// record itself, as audit.read. At a server, auditors and admins see everybody's events and others their own.
#[derive(Debug, clap::Args)]
pub(super) struct Search {
    #[command(flatten)]
    filter: Filter,
    /// At most so many, up to 10000.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// One JSON object a line, as exported.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Write events to stdout, any number of them.
///
/// Changes nothing but that the export is put on record, as audit.exported. An external ID, a token or a secret key is in no
/// event, but names, addresses and reasons are: keep the file accordingly.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    #[command(flatten)]
    filter: Filter,
    /// jsonl can be verified, where there is no filter; csv is for spreadsheets.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    #[command(flatten)]
    at: At,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

/// A page of events, each as it is exported.
#[derive(Deserialize)]
struct Events {
    events: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    record: Value,
}

impl Search {
    pub(super) async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        self.at.carry_out(config, async |place| self.search(place).await).await
    }

    async fn search(&self, place: &Place) -> anyhow::Result<()> {
        let (mut wanted, mut cursor) = (self.limit, None::<String>);
        let mut out = BufWriter::new(stdout().lock());
        while wanted > 0 {
            let mut query = self.filter.query();
            query.append_pair("limit", &wanted.min(LONGEST_PAGE).to_string());
            query.extend_pairs(cursor.iter().map(|cursor| ("cursor", cursor)));
            let page: Events = place.read(Request::get(format!("/v1/audit/events?{}", query.finish()))).await?;
            for event in &page.events {
                let event = event.get();
                let event =
                    if self.json { event.to_owned() } else { line(&serde_json::from_str::<Event>(event)?.record) };
                writeln!(out, "{event}")?;
            }
            wanted -= u32::try_from(page.events.len())?.min(wanted);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(out.flush()?)
    }
}

impl Export {
    pub(super) async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        self.at.carry_out(config, async |place| self.export(place).await).await
    }

    async fn export(&self, place: &Place) -> anyhow::Result<()> {
        let mut query = self.filter.query();
        query.append_pair("format", if matches!(self.format, Format::Csv) { "csv" } else { "jsonl" });
        let request = Request::get(format!("/v1/audit/export?{}", query.finish())).patiently();
        let mut answer = place.ask(request).await?;
        let mut out = BufWriter::new(stdout().lock());
        while let Some(piece) = answer.piece().await? {
            out.write_all(&piece)?;
        }
        Ok(out.flush()?)
    }
}

/// An event as people read it: when, what, who, on which role, and how it ended.
fn line(record: &Value) -> String {
    let text = |member: &str| record[member].as_str().unwrap_or_default().to_owned();
    let role = [text("role_arn"), record["detail"]["role"].as_str().unwrap_or_default().to_owned()];
    let role = role.into_iter().find(|role| !role.is_empty()).unwrap_or_default();
    let rest = [text("principal"), role, text("code"), text("reason")];
    let rest: Vec<String> = rest.into_iter().filter(|text| !text.is_empty()).collect();
    let line = format!("{:<27} {:<22} {}", text("at"), text("kind"), rest.join("  "));
    super::super::one_line(&line)
}
