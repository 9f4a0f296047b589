use super::ask::{Wanted, asked};
use anyhow::ensure;

/// Open the AWS console in your browser, signed in as a role.
///
/// The link is good for 15 minutes and signs in whoever has it, so it is handed to the browser in no way that others on this
/// machine could read.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Where the console opens: an https address on one of AWS's console hosts.
    #[arg(long, value_name = "ADDRESS")]
    destination: Option<String>,
    /// Print the link instead, for another browser; give it to nobody.
    #[arg(long)]
    print: bool,
    /// Print the link as JSON, with when it ends.
    #[arg(long, conflicts_with = "print")]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  hallpass console prod/ReadOnly
  hallpass console prod/ReadOnly \\
    --destination https://console.aws.amazon.com/s3/home
  hallpass console prod/Deploy --reason INC-42 --print";

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (client, mut ask) = self.wanted.open().await?;
        let shown = self.print || self.json;
        ensure!(shown || client.has_display(), "there is no browser here: --print shows the link, for one elsewhere");
        let destination = self.destination.as_deref();
        let link = asked(&mut ask, async |ask| client.console_link(ask, destination).await).await?;
        client.remember_use(&ask.role);
        if self.json {
            return super::print(&serde_json::to_string_pretty(&link)?);
        }
        if self.print {
            return super::print(link.url.expose());
        }
        client.open_console(&link).await?;
        super::say(&format!(
            "The console is open in your browser as {}, until {} at the latest.",
            ask.role, link.expires_at
        ));
        Ok(())
    }
}
