use super::remote::Remote;
use crate::client::{Changes, Configured};
use std::{
    env,
    path::{Path, PathBuf},
};

/// Write a profile for each of your roles into the AWS config file.
///
/// Each is called <account>-<role> and has `credential_process` run this program, so the AWS CLI and the SDKs fetch and renew
/// credentials by themselves. Other sections stay byte for byte as they are; where one has such a name already, ours is
/// hallpass-<account>-<role>. In our sections what you add, such as a region, stays. Run it again when your roles change.
///
/// The file is ~/.aws/config, or what `AWS_CONFIG_FILE` names.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Remove the profiles of this server whose roles you may no longer assume.
    #[arg(long)]
    prune: bool,
    /// What the names begin with.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Print JSON: the file, and what became of each profile.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

const EXAMPLES: &str = "\
Examples:
  hallpass configure
  hallpass configure --prune
  hallpass configure --prefix work-

and then:
  aws s3 ls --profile prod-ReadOnly";

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.open()?;
        let path = client.environment().get("PATH").unwrap_or_default();
        let program = lasting(&env::current_exe()?, path);
        let configured = client.configure(&program, &self.prefix, self.prune).await?;
        if self.json {
            return super::print(&serde_json::to_string_pretty(&configured)?);
        }
        show(&configured)
    }
}

/// The name of a program that stays over its updates: that in PATH, where it leads to the same file.
fn lasting(program: &Path, path: &str) -> PathBuf {
    let name = program.file_name().unwrap_or_default();
    let candidates = env::split_paths(path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name));
    let same = |candidate: &PathBuf| candidate.canonicalize().is_ok_and(|real| real == program);
    candidates.into_iter().find(same).unwrap_or_else(|| program.to_owned())
}

fn show(configured: &Configured) -> anyhow::Result<()> {
    let Configured { file, changes } = configured;
    let Changes { added, changed, unchanged, removed, gone, taken, left_out } = changes;
    let mut lines = Vec::new();
    for (word, names) in
        [("new", added), ("changed", changed), ("as it was", unchanged), ("removed", removed), ("role gone", gone)]
    {
        lines.extend(names.iter().map(|name| format!("{word:<9}  {name}")));
    }
    if !lines.is_empty() {
        super::print(&lines.join("\n"))?;
    }
    for name in taken {
        super::warn(&format!("a profile {name} is there already and is not ours: it stays as it is"));
    }
    for name in left_out {
        super::warn(&format!("{name} has no profile, since both its names are taken: give --prefix"));
    }
    if !gone.is_empty() {
        super::say("`hallpass configure --prune` removes the profiles whose roles are gone.");
    }
    if added.len() + changed.len() + unchanged.len() == 0 && left_out.is_empty() {
        super::say(
            "No role is granted to you: ask those who keep the allowlist; `hallpass whoami` shows what to name.",
        );
    }
    let touched = !(added.is_empty() && changed.is_empty() && removed.is_empty());
    super::say(&format!("{} {}.", file.display(), if touched { "is written" } else { "needs no change" }));
    Ok(())
}
