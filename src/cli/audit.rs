mod read;
mod verify;

use crate::{app, config};
use std::path::Path;

/// Search, export and verify the audit; make its key.
///
/// At the configured database, without the service or beside it; search and export also at a server, with --server.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hallpass audit search --principal user:alice@example.com \\
    --since 2026-01-02T00:00:00Z
  hallpass audit export >audit.jsonl
  hallpass audit verify
  hallpass audit verify audit.jsonl --public-key audit.pub --heads heads.json";

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
