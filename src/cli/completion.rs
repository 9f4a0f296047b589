use anyhow::Context;
use clap_complete::{Shell, env::Shells};
use std::env;

/// What has the completions of a shell asked for; see [`super::run`].
pub(super) const VARIABLE: &str = "HALLPASS_COMPLETE";

/// Print what makes a shell complete commands, options and the names of your roles.
///
/// The names are those that `hallpass roles` last saw: completing asks no server.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    shell: Shell,
}

const EXAMPLES: &str = "\
For bash, into ~/.bashrc; for zsh, into ~/.zshrc behind compinit:
  source <(hallpass completion bash)
  source <(hallpass completion zsh)
For fish, into ~/.config/fish/completions/hallpass.fish:
  hallpass completion fish | source
For PowerShell, into $PROFILE:
  hallpass completion powershell | Out-String | Invoke-Expression";

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (shell, shells) = (self.shell.to_string(), Shells::builtins());
        let completer = shells.completer(&shell).context("there are no completions for this shell")?;
        let program = env::args_os().next().map(|program| program.to_string_lossy().into_owned());
        let program = program.unwrap_or_else(|| "hallpass".to_owned());
        let mut script = Vec::new();
        completer.write_registration(VARIABLE, "hallpass", "hallpass", &program, &mut script)?;
        super::print(String::from_utf8_lossy(&script).trim_end())
    }
}
