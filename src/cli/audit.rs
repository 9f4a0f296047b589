mod read;
mod verify;

use crate::{app, config};
use std::path::Path;

/// Search, export and verify the audit, at the configured database; make its key.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Search(Box<read::Search>),
    Export(Box<read::Export>),
    Verify(verify::Args),
    /// Make the key that signs the audit, and print its public half.
    ///
    /// Writes `audit.signing_key_file`, for its owner alone, never over an old one. Give every replica the same key; keep
    /// the public half where `audit verify` is run from outside.
    Keygen,
}

impl Args {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<()> {
        match self.command {
            Command::Search(args) => args.run(file).await,
            Command::Export(args) => args.run(file).await,
            Command::Verify(args) => args.run(file).await,
            Command::Keygen => {
                let config = config::load(file, config::environment())?;
                let key = app::keygen(&config.audit.signing_key_file)?;
                super::print(key.public().to_pem().trim_end())
            }
        }
    }
}
