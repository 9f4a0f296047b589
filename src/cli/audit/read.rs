use crate::{
    app::Desk,
    audit::{Kind, Row, csv_header, csv_line, jsonl_line},
    config,
    evidence::Reading,
    model::{AccountId, IssuanceId, Principal, RoleArn, Time},
    store::{EventFilter, Page},
};
use futures_util::TryStreamExt;
use serde_json::Value;
use std::{
    io::{BufWriter, Write, stdout},
    path::Path,
    pin::pin,
};

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
    fn read(self) -> EventFilter {
        let Self { kind, principal, account, role, issuance, since, until, text } = self;
        EventFilter { kind, principal, account, role, issuance, since, until, text }
    }
}

/// Print events, newest first.
///
/// One line an event: when, what, who, which role, how it ended, and the reason given. That they were read is put on
/// record itself, as audit.read of local:<os user>.
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
}

/// Write events to stdout, any number of them.
///
/// Changes nothing but that the export is put on record, as audit.exported of local:<os user>. An external ID, a token
/// or a secret key is in no event, but names, addresses and reasons are: keep the file accordingly.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    #[command(flatten)]
    filter: Filter,
    /// jsonl can be verified, where there is no filter; csv is for spreadsheets.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

impl Search {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<()> {
        let desk = open(file).await?;
        let done = self.search(&desk).await;
        desk.close().await;
        done
    }

    async fn search(self, desk: &Desk) -> anyhow::Result<()> {
        let (json, limit) = (self.json, self.limit);
        let filter = self.filter.read();
        note(desk, Kind::AuditRead, "search", &filter).await?;
        let listed = desk.evidence.list_events(&filter, &Page::Newest(None), limit).await?;
        let mut out = BufWriter::new(stdout().lock());
        for row in listed.iter().map(|listed| &listed.row) {
            writeln!(out, "{}", if json { jsonl_line(row) } else { line(row)? })?;
        }
        Ok(out.flush()?)
    }
}

impl Export {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<()> {
        let desk = open(file).await?;
        let done = self.export(&desk).await;
        desk.close().await;
        done
    }

    async fn export(self, desk: &Desk) -> anyhow::Result<()> {
        let filter = self.filter.read();
        note(desk, Kind::AuditExported, "export", &filter).await?;
        let mut out = BufWriter::new(stdout().lock());
        if matches!(self.format, Format::Csv) {
            out.write_all(csv_header().as_bytes())?;
        }
        let mut rows = pin!(desk.evidence.export(filter));
        while let Some(row) = rows.try_next().await? {
            match self.format {
                Format::Jsonl => writeln!(out, "{}", jsonl_line(&row))?,
                Format::Csv => out.write_all(csv_line(&row).as_bytes())?,
            }
        }
        Ok(out.flush()?)
    }
}

async fn open(file: Option<&Path>) -> anyhow::Result<Desk> {
    let config = config::load(file, config::environment())?;
    Ok(Desk::open(&config, &super::super::os_user()).await?)
}

async fn note(desk: &Desk, kind: Kind, what: &str, filter: &EventFilter) -> anyhow::Result<()> {
    let reading = Reading { kind, detail: filter.describe(what) };
    Ok(desk.evidence.note(reading, &desk.actor).await?)
}

/// An event as people read it: when, what, who, on which role, and how it ended.
fn line(row: &Row) -> anyhow::Result<String> {
    let record: Value = serde_json::from_str(&row.record)?;
    let text = |member: &str| record[member].as_str().unwrap_or_default().to_owned();
    let role = [text("role_arn"), record["detail"]["role"].as_str().unwrap_or_default().to_owned()];
    let role = role.into_iter().find(|role| !role.is_empty()).unwrap_or_default();
    let rest = [text("principal"), role, text("code"), text("reason")];
    let rest: Vec<String> = rest.into_iter().filter(|text| !text.is_empty()).collect();
    Ok(format!("{:<27} {:<22} {}", text("at"), text("kind"), rest.join("  ")))
}
