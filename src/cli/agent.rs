use super::{
    ask::{asked, parse_reason},
    remote::{Remote, role_names},
    told_to_stop,
};
use crate::{
    client::{Agent, Ask},
    model::{Reason, RoleRef, SessionDuration},
};
use anyhow::Context;
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

/// Serve credentials to the AWS SDKs and the AWS CLI on this machine, and renew them.
///
/// The container-credentials protocol on 127.0.0.1: for what runs longer than a session, and for SDKs that refuse other
/// addresses or do not know the server's private authority. A token of its own, new each time, keeps other users of this machine
/// and web pages out. It runs until it is stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The roles to serve; without one, every role of yours by its path.
    #[arg(value_name = "ROLE", value_parser = RoleRef::parse, add = ArgValueCompleter::new(role_names))]
    roles: Vec<RoleRef>,
    /// How long each session lasts, such as 45m or 4h.
    #[arg(long, value_name = "TIME", value_parser = SessionDuration::parse)]
    duration: Option<SessionDuration>,
    /// Why, for the record; some roles require it. A terminal is asked for one.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason, env = "HALLPASS_REASON")]
    reason: Option<Reason>,
    /// The port; 0 is any.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Print JSON, on one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

const EXAMPLES: &str = "\
Examples:
  hallpass agent prod/ReadOnly
  hallpass agent prod/ReadOnly staging/Deploy --port 9911
  hallpass agent

It prints lines for the shell in which the SDK is to run.";

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.open()?;
        let mut asks = Vec::new();
        for role in self.roles {
            let mut ask = Ask { duration: self.duration, reason: self.reason.clone(), ..Ask::of(role) };
            // What is refused is said now, and not first by an SDK; and the first program does not wait.
            asked(&mut ask, async |ask| client.credentials(ask, false).await)
                .await
                .with_context(|| ask.role.to_string())?;
            client.remember_use(&ask.role);
            asks.push(ask);
        }
        if asks.is_empty() {
            client.whoami().await?;
        }
        let (roles, more) = (asks.iter().map(|ask| ask.role.clone()).collect::<Vec<_>>(), (self.duration, self.reason));
        let agent = Agent::open(client, asks, more, self.port, super::say).await?;
        let stop = told_to_stop()?;
        let named =
            if roles.is_empty() { vec!["<account>/<role>".to_owned()] } else { roles.iter().map(path_of).collect() };
        super::print(&if self.json { as_json(&agent, &named) } else { as_lines(&agent, &named) })?;
        super::say("Serving … (Ctrl-C stops it)");
        tokio::select! {
            () = agent.serve() => {}
            () = stop => {}
        }
        Ok(())
    }
}

/// `<account>/<role>`, also of a role that was named by its ARN.
fn path_of(role: &RoleRef) -> String {
    format!("{}/{}", role.account(), role.name())
}

/// Ready for a POSIX shell. Nothing in it needs other quoting than this.
fn as_lines(agent: &Agent, roles: &[String]) -> String {
    let addresses =
        roles.iter().map(|role| format!("export AWS_CONTAINER_CREDENTIALS_FULL_URI='{}'", agent.address(role)));
    let token = format!("export AWS_CONTAINER_AUTHORIZATION_TOKEN='{}'", agent.token());
    addresses.chain([token]).collect::<Vec<_>>().join("\n")
}

fn as_json(agent: &Agent, roles: &[String]) -> String {
    let roles: Vec<_> = roles.iter().map(|role| json!({"role": role, "url": agent.address(role)})).collect();
    json!({"token": agent.token(), "roles": roles}).to_string()
}
