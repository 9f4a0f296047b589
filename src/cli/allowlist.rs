use super::place::{At, Place};
use crate::{allowlist::Plan, client::Request};
use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What `plan --exit-code` ends with where there is something to apply.
const SOMETHING: u8 = 3;

/// Plan, apply or show the allowlist.
///
/// At the configured database, without the service or beside it, or at a server with --server, as its appliers and admins
/// may. What is applied is on record with who applied it.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hallpass allowlist plan allowlist.toml
  hallpass allowlist apply allowlist.toml
  hallpass allowlist show >allowlist.toml
  hallpass allowlist plan allowlist.toml --exit-code \\
    --server https://hallpass.example.com";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Plan(ToPlan),
    Apply(File),
    Show(Show),
}

/// Say what applying a file would change, and change nothing.
///
/// Shows which accounts, roles and grants come, go and change, and who gains or loses what. A file with faults is refused
/// whole: every fault is named with its line, and the exit code is 1.
#[derive(Debug, clap::Args)]
struct ToPlan {
    #[command(flatten)]
    file: File,
    /// End with 3 where there is something to apply.
    #[arg(long)]
    exit_code: bool,
}

/// Apply a file: what it says about accounts, roles and grants becomes what is.
///
/// Prints the plan and applies it at once, without asking; all of it or nothing, and nothing where somebody changed the
/// allowlist in between. What the file no longer says is removed. Single grants and blocks stay as they are. Takes effect at
/// the next request, on every replica. Goes on record; at the database as local:<os user>. The same file a second time changes
/// nothing.
#[derive(Debug, clap::Args)]
struct File {
    /// The allowlist file, TOML.
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Print the plan as JSON, and nothing else.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// Print the file as it was last applied.
#[derive(Debug, clap::Args)]
struct Show {
    /// Print JSON: the file and its revision.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// What a server says of a file.
#[derive(Deserialize)]
struct Answer {
    plan: Plan,
    revision: u64,
}

impl Args {
    pub(super) async fn run(self, config: Option<&Path>) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Plan(ToPlan { file, exit_code }) => {
                let planned = file.at.carry_out(config, async |place| file.plan(place).await).await?;
                let something = exit_code && !planned.plan.is_empty();
                Ok(if something { ExitCode::from(SOMETHING) } else { ExitCode::SUCCESS })
            }
            Command::Apply(file) => file.at.carry_out(config, async |place| file.apply(place).await).await.map(success),
            Command::Show(show) => show.run(config).await.map(success),
        }
    }
}

fn success((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

impl File {
    fn read(&self) -> anyhow::Result<String> {
        fs::read_to_string(&self.path).with_context(|| format!("cannot read {}", self.path.display()))
    }

    /// Has it planned, and prints the plan.
    async fn plan(&self, place: &Place) -> anyhow::Result<Answer> {
        let answer = place.read(Request::put("/v1/allowlist?dry_run=true", self.read()?)).await;
        let answer: Answer = answer.with_context(|| self.path.display().to_string())?;
        let shown = if self.json { serde_json::to_string_pretty(&answer.plan)? } else { answer.plan.to_string() };
        super::print(&shown)?;
        Ok(answer)
    }

    async fn apply(&self, place: &Place) -> anyhow::Result<()> {
        let text = self.read()?;
        let planned = self.plan(place).await?;
        // What was printed is what is done: another revision would be another plan.
        let request = Request::put("/v1/allowlist", text).if_match(planned.revision);
        let Answer { revision, .. } = place.read(request).await?;
        if !self.json {
            let said = if revision == planned.revision { "Nothing to apply" } else { "Applied" };
            super::print(&format!("{said}: the allowlist is at revision {revision}."))?;
        }
        Ok(())
    }
}

impl Show {
    async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        let (text, revision) = self.at.carry_out(config, show).await?;
        if self.json {
            return super::print(&serde_json::to_string_pretty(&json!({"file": text, "revision": revision}))?);
        }
        super::print(text.trim_end())
    }
}

async fn show(place: &Place) -> anyhow::Result<(String, Value)> {
    let mut answer = place.ask(Request::get("/v1/allowlist")).await?;
    let tag = answer.etag().and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    let revision = serde_json::from_str(tag.trim_matches('"')).context("the answer names no revision")?;
    let text = String::from_utf8(answer.whole().await?).context("the answer is not text")?;
    Ok((text, revision))
}
