use super::remote::Remote;
use crate::client::How;

/// Sign in, so that the other commands know who you are.
///
/// Opens your browser at the identity provider that the server names; over SSH or where there is no display, shows an
/// address and a code to be used on any other device. The tokens are kept in the system's keyring where there is one,
/// else in a file that only you can read, and are refreshed without a word for as long as the provider allows.
///
/// In a pipeline nobody signs in: docs/pipelines.md says what to set.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// By an address and a code, for a browser on any device.
    #[arg(long, conflicts_with = "browser")]
    device: bool,
    /// By a browser on this machine, also where there seems to be no display: the address is printed.
    #[arg(long)]
    browser: bool,
    #[command(flatten)]
    remote: Remote,
}

const EXAMPLES: &str = "\
Examples:
  hallpass login --server https://hallpass.example.com
  hallpass login --device
  hallpass login --server staging

The first server that is signed in to becomes the one that is meant where
none is named. HALLPASS_TOKEN_STORE=file leaves the keyring alone.";

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.open()?;
        let how = match (self.device, self.browser) {
            (true, _) => How::Device,
            (_, true) => How::Browser,
            _ => How::Found,
        };
        let done = client.login(how, &super::say).await?;
        let server = &client.target().url;
        super::say(&format!("Signed in to {server} as {}; kept in {}.", done.whoami.principal, done.kept));
        if !done.lasts {
            super::say(&format!(
                "The provider gave nothing to refresh it with: sign in again after {}.",
                done.whoami.expires_at
            ));
        }
        if done.is_default {
            super::say("From now on it is the server that is meant where none is named.");
        }
        Ok(())
    }
}
