use super::remote::{Remote, role_names};
use crate::client::{Offer, Role};
use anstyle::Style;
use clap_complete::engine::ArgValueCompleter;
use std::io::Write;

/// List the roles that you may assume now.
///
/// With the longest session of each, whether a reason has to be given, and what the allowlist says of it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Only roles whose name has this in it, whatever its case.
    #[arg(value_name = "TEXT", add = ArgValueCompleter::new(role_names))]
    text: Option<String>,
    /// Print JSON, with every grant of yours that allows each role.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

const EXAMPLES: &str = "\
Examples:
  hallpass roles
  hallpass roles prod/
  hallpass roles --json";

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.open()?;
        let mut roles = client.roles().await?;
        let none_at_all = roles.is_empty();
        if let Some(text) = &self.text {
            let text = text.to_lowercase();
            roles.retain(|role| role.role.to_lowercase().contains(&text));
        }
        if self.json {
            return super::print(&serde_json::to_string_pretty(&roles)?);
        }
        if none_at_all {
            super::say(
                "No role is granted to you: ask those who keep the allowlist; `hallpass whoami` shows what to name.",
            );
        } else if roles.is_empty() {
            super::say("No role of yours has that in its name; `hallpass roles` lists all of them.");
        } else {
            show(&roles)?;
        }
        Ok(())
    }
}

fn show(roles: &[Role]) -> anyhow::Result<()> {
    let head = ["ROLE", "LONGEST", "REASON", "DESCRIPTION"].map(str::to_owned);
    let rows: Vec<[String; 4]> = [head].into_iter().chain(roles.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2)];
    let mut out = anstream::stdout().lock();
    for (i, [role, longest, reason, description]) in rows.iter().enumerate() {
        let style = if i == 0 { Style::new().bold() } else { Style::new() };
        let line = format!("{role:<0$}  {longest:<1$}  {reason:<2$}  {description}", widths[0], widths[1], widths[2]);
        writeln!(out, "{style}{}{style:#}", line.trim_end())?;
    }
    Ok(out.flush()?)
}

fn row(role: &Role) -> [String; 4] {
    let longest = role.grants.iter().map(|grant| grant.max_duration_seconds).max().unwrap_or_default();
    // A request that brings no reason falls to a grant that needs none, where there is one.
    let required = role.grants.iter().all(|Offer { require_reason, .. }| *require_reason);
    let description = role.description.clone().unwrap_or_default();
    [role.role.clone(), span(longest), if required { "required" } else { "" }.to_owned(), description]
}

/// As `--duration` takes it.
fn span(seconds: u32) -> String {
    match seconds {
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
