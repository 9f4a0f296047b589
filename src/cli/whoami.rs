use super::remote::Remote;
use crate::client::Whoami;
use serde_json::json;

/// Show who you are to the server, and by which token.
///
/// The token comes from the first of these that is there: `HALLPASS_TOKEN`; the file that `HALLPASS_TOKEN_FILE` names; what
/// `HALLPASS_TOKEN_SOURCE` says (github, gitlab, kubernetes, login or aws); a job of GitHub Actions; a job of GitLab; a
/// projected token of Kubernetes; your sign-in; the role of an AWS workload.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print JSON, as the server has it, with `server` and `token_source`.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

const EXAMPLES: &str = "\
Examples:
  hallpass whoami
  hallpass whoami --json --server https://hallpass.example.com";

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.open()?;
        let source = client.source()?.to_string();
        let whoami = client.whoami().await?;
        let server = &client.target().url;
        if self.json {
            let mut body = serde_json::to_value(&whoami)?;
            body["server"] = json!(server);
            body["token_source"] = json!(source);
            return super::print(&serde_json::to_string_pretty(&body)?);
        }
        super::print(&shown(&whoami, server, &source))
    }
}

fn shown(whoami: &Whoami, server: &str, source: &str) -> String {
    let mut lines = vec![whoami.principal.clone()];
    let mut line = |what: &str, value: &str| lines.push(format!("  {what:<7} {value}"));
    for (i, group) in whoami.groups.iter().enumerate() {
        line(if i == 0 { "groups" } else { "" }, group);
    }
    let rights = [(whoami.admin, "admin"), (whoami.auditor, "auditor"), (whoami.applier, "applier")];
    let rights: Vec<&str> = rights.into_iter().filter_map(|(has, right)| has.then_some(right)).collect();
    if !rights.is_empty() {
        line("rights", &rights.join(", "));
    }
    line("server", server);
    line("token", &format!("{source}, until {}", whoami.expires_at));
    lines.join("\n")
}
