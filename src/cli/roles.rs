use super::{
    remote::{Remote, role_names},
    table,
    when::span,
};
use crate::client::{Offer, Role};
use clap_complete::engine::ArgValueCompleter;

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
            table::print(["ROLE", "LONGEST", "REASON", "DESCRIPTION"], roles.iter().map(row))?;
        }
        Ok(())
    }
}

fn row(role: &Role) -> [String; 4] {
    let longest = role.grants.iter().map(|grant| grant.max_duration_seconds).max().unwrap_or_default();
    // A request that brings no reason falls to a grant that needs none, where there is one.
    let required = role.grants.iter().all(|Offer { require_reason, .. }| *require_reason);
    let description = role.description.clone().unwrap_or_default();
    [role.role.clone(), span(longest), if required { "required" } else { "" }.to_owned(), description]
}
