use crate::{app::Desk, config};
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Plan, apply or show the allowlist, at the configured database.
///
/// Works without the service, and beside it. Needs the audit key: what is applied is on record.
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
  hallpass allowlist show >allowlist.toml";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what applying a file would change, and change nothing.
    ///
    /// Shows which accounts, roles and grants come, go and change, and who gains or loses what. A file with faults is
    /// refused whole: every fault is named with its line, and the exit code is 1.
    Plan(File),
    /// Apply a file: what it says about accounts, roles and grants becomes what is.
    ///
    /// Prints the plan and applies it at once, without asking; all of it or nothing. What the file no longer says is
    /// removed. Single grants and blocks, made through the API, stay as they are. Takes effect at the next request, on
    /// every replica. Goes on record as local:<os user>. The same file a second time changes nothing.
    Apply(File),
    /// Print the file as it was last applied.
    Show,
}

#[derive(Debug, clap::Args)]
struct File {
    /// The allowlist file, TOML.
    file: PathBuf,
    /// Print the plan as JSON, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<()> {
        let config = config::load(file, config::environment())?;
        let desk = Desk::open(&config, &super::os_user()).await?;
        let done = run(self.command, &desk).await;
        desk.close().await;
        done
    }
}

async fn run(command: Command, desk: &Desk) -> anyhow::Result<()> {
    let (file, apply) = match command {
        Command::Show => {
            let document = desk.access.find_document().await?;
            return super::print(document.text.trim_end());
        }
        Command::Plan(file) => (file, false),
        Command::Apply(file) => (file, true),
    };
    let name = file.file.display();
    let text = std::fs::read_to_string(&file.file).with_context(|| format!("cannot read {name}"))?;
    let planned = desk.access.plan(text, &desk.actor.principal).await.with_context(|| name.to_string())?;
    let shown = if file.json { serde_json::to_string_pretty(&planned.plan)? } else { planned.plan.to_string() };
    super::print(&shown)?;
    if apply {
        let before = planned.revision;
        let revision = desk.access.apply(planned, &desk.actor).await?;
        if !file.json {
            let said = if revision == before { "Nothing to apply" } else { "Applied" };
            super::print(&format!("{said}: the allowlist is at revision {revision}."))?;
        }
    }
    Ok(())
}
