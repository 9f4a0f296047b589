use super::ask::{WantedCredentials, asked};
use crate::format::Format;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::io::{self, Write};

/// Print credentials for a role.
///
/// They are kept for the next command in files that only you can read, and printed again as long as they last for more
/// than 15 minutes: a hundred commands are one session. `hallpass exec` runs a command with them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    wanted: WantedCredentials,
    /// For whom they are written: env is for bash, zsh and every POSIX shell, process for `credential_process`, ini for a
    /// credentials file.
    #[arg(long, value_name = "FORMAT", value_parser = formats(), default_value = "json")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  hallpass creds prod/ReadOnly
  hallpass creds prod/Deploy --reason INC-42 --duration 30m
  hallpass creds 111122223333/ReadOnly --format process --fresh

Into a shell, where they stay until it ends or they do:
  eval \"$(hallpass creds prod/ReadOnly --format env --region eu-west-1)\"
  hallpass creds prod/ReadOnly --format fish | source

HALLPASS_REASON stands in for --reason.";

fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(|(name, _)| name)).try_map(|name| Format::parse(&name))
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let fresh = self.wanted.fresh;
        let (client, mut ask) = self.wanted.open().await?;
        let credentials = asked(&mut ask, async |ask| client.credentials(ask, fresh).await).await?;
        // A program that asks is nobody's choice.
        if self.format != Format::Process {
            client.remember_use(&ask.role);
        }
        let text = credentials.write(self.format, &ask)?;
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }
}
