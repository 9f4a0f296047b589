use super::remote::Remote;
use crate::client::SignedOut;

/// Sign out: forget the tokens here, and tell the identity provider where it wants to know.
///
/// Credentials of AWS that were handed out live on until they end; so does a browser's own session at the provider.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    remote: Remote,
}

const EXAMPLES: &str = "\
Examples:
  hallpass logout
  hallpass logout --server staging";

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.open()?;
        let server = &client.target().url;
        super::say(&match client.logout().await? {
            SignedOut::Nobody => format!("Nobody was signed in to {server}."),
            SignedOut::Revoked => format!("Signed out of {server}; the provider takes the tokens no more."),
            SignedOut::Forgotten(why) => {
                format!("Signed out of {server} on this machine; the provider was not told ({why}).")
            }
        });
        Ok(())
    }
}
