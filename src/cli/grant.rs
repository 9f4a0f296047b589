use super::{
    ask::parse_reason,
    place::At,
    remote::role_names,
    table,
    when::{When, span},
};
use crate::{
    client::Request,
    model::{GrantId, IpNet, Principal, Reason, RoleRef, SessionDuration},
};
use anyhow::Context;
use clap_complete::engine::ArgValueCompleter;
use form_urlencoded::Serializer;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Give somebody a role for a while, beside the allowlist file.
///
/// A single grant ends by itself, within 90 days; the file, applied again, leaves it as it is. It counts at the next request,
/// and is on record with who gave it and why. For admins; the list also for auditors.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hallpass grant add user:alice@example.com prod/Deploy --expires 8h \\
    --reason INC-42
  hallpass grant add group:oncall prod/ReadOnly --require-reason \\
    --expires 2026-03-01T12:00:00Z --reason INC-43 --max-duration 1h
  hallpass grant list
  hallpass grant remove 01890a5d-ac96-774b-bcce-b302099a8057 --reason INC-44";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Add(Box<Add>),
    List(List),
    Remove(Remove),
}

/// Make a grant, and print it.
#[derive(Debug, clap::Args)]
#[command(override_usage = "hallpass grant add WHO ROLE --expires TIME --reason TEXT [OPTIONS]")]
struct Add {
    /// Who: user:<name>, group:<name> or workload:<issuer>/<subject>.
    #[arg(value_name = "WHO")]
    to: Principal,
    /// The role, such as prod/ReadOnly.
    #[arg(value_name = "ROLE", value_parser = RoleRef::parse, add = ArgValueCompleter::new(role_names))]
    role: RoleRef,
    /// When it ends: a time, or how long from now, such as 8h or 30d.
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    expires: When,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Reason,
    /// No session through it lasts longer, such as 45m or 4h.
    #[arg(long, value_name = "TIME", value_parser = SessionDuration::parse)]
    max_duration: Option<SessionDuration>,
    /// A request must say why.
    #[arg(long)]
    require_reason: bool,
    /// Only from these addresses; may be given again.
    #[arg(long = "source-ip", value_name = "NETWORK")]
    source_ips: Vec<IpNet>,
    /// A file with an IAM policy that narrows every session.
    #[arg(long, value_name = "FILE")]
    session_policy: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// List the single grants, newest first; those of the file stand in the file.
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    output: Output,
}

/// End a grant: it stops working at the next request.
#[derive(Debug, clap::Args)]
struct Remove {
    #[command(flatten)]
    ending: Ending,
}

/// What ends, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Ending {
    /// Its id, as `list` shows it.
    #[arg(value_name = "ID")]
    id: GrantId,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<Reason>,
    #[command(flatten)]
    at: At,
}

impl Ending {
    /// Ends what lies below `path`.
    pub(super) async fn run(self, path: &str, config: Option<&Path>) -> anyhow::Result<()> {
        let mut query = Serializer::new(String::new());
        if let Some(reason) = &self.reason {
            query.append_pair("reason", reason.as_str());
        }
        let request = Request::delete(format!("{path}/{}?{}", self.id, query.finish()));
        self.at.carry_out(config, async |place| place.ask(request).await.map(drop)).await
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Output {
    /// Print JSON, as the server has it.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) at: At,
}

/// What a person reads of one.
#[derive(Deserialize)]
struct Grant {
    id: String,
    to: String,
    role: String,
    expires: Option<String>,
    max_duration_seconds: Option<u32>,
    require_reason: bool,
    created_by: String,
    reason: Option<String>,
}

impl Args {
    pub(super) async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        match self.command {
            Command::Add(add) => add.run(config).await,
            Command::List(list) => list.run(config).await,
            Command::Remove(Remove { ending }) => {
                ending.run("/v1/grants", config).await?;
                super::print("The grant has ended.")
            }
        }
    }
}

impl Add {
    async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        let policy = self.session_policy.as_deref().map(read_policy).transpose()?;
        let body = json!({
            "to": self.to,
            "role": self.role,
            "expires": self.expires.time(),
            "reason": self.reason,
            "max_duration_seconds": self.max_duration,
            "require_reason": self.require_reason,
            "source_ips": self.source_ips,
            "session_policy": policy,
        });
        let request = Request::post("/v1/grants", &body);
        let made: Value = self.output.at.carry_out(config, async |place| place.read(request).await).await?;
        if self.output.json {
            return super::print(&serde_json::to_string_pretty(&made)?);
        }
        table::show(HEAD, vec![made], Grant::row)
    }
}

impl List {
    async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        let Output { json, at } = self.output;
        let grants = at.carry_out(config, async |place| place.list("/v1/grants", "grants").await).await?;
        if json {
            return super::print(&serde_json::to_string_pretty(&grants)?);
        }
        if grants.is_empty() {
            super::say("There is no single grant; those of the file are shown by `hallpass allowlist show`.");
            return Ok(());
        }
        table::show(HEAD, grants, Grant::row)
    }
}

fn read_policy(file: &Path) -> anyhow::Result<Value> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    serde_json::from_str(&text).with_context(|| format!("{name} is not JSON"))
}

const HEAD: [&str; 7] = ["ID", "TO", "ROLE", "EXPIRES", "CONDITIONS", "BY", "REASON"];

impl Grant {
    fn row(self) -> [String; 7] {
        let longest = self.max_duration_seconds.map(|seconds| format!("at most {}", span(seconds)));
        let reason = self.require_reason.then(|| "with a reason".to_owned());
        let conditions: Vec<String> = longest.into_iter().chain(reason).collect();
        let Self { id, to, role, expires, created_by, reason, .. } = self;
        [id, to, role, expires.unwrap_or_default(), conditions.join(", "), created_by, reason.unwrap_or_default()]
    }
}
