use super::ask::{WantedCredentials, asked};
use anyhow::bail;
use std::{
    ffi::OsString,
    io::{self, ErrorKind},
    os::unix::process::CommandExt,
};

/// Run a command with credentials for a role.
///
/// The command finds them in its environment, and no others: an inherited `AWS_PROFILE` and the like are taken away. It takes
/// the place of this process, so signals reach it and its exit code is the shell's. The credentials are those of
/// `hallpass creds`, kept as it says; nothing renews them within the command: for what runs longer there is `hallpass agent`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    wanted: WantedCredentials,
    /// The command, with its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  hallpass exec prod/ReadOnly -- aws s3 ls
  hallpass exec prod/Deploy --reason INC-42 --duration 2h -- terraform apply
  hallpass exec prod/ReadOnly --region eu-west-1 -- bash";

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let fresh = self.wanted.fresh;
        let (client, mut ask) = self.wanted.open().await?;
        let credentials = asked(&mut ask, async |ask| client.credentials(ask, fresh).await).await?;
        client.remember_use(&ask.role);
        let error = credentials.command(&ask, client.environment(), &self.command).exec();
        bail!("{}", failure(&self.command[0].to_string_lossy(), &error));
    }
}

fn failure(program: &str, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("{program}: there is no such command: check its name and PATH"),
        ErrorKind::PermissionDenied => format!("{program}: it may not be run: check that it is a program"),
        ErrorKind::ArgumentListTooLong => format!("{program}: its arguments are too long: give it fewer"),
        _ => format!("{program}: it cannot be run ({error}); check the file"),
    }
}
