use super::{grant::Output, place::At, remote::role_names, table, when::parse_span};
use crate::{
    client::Request,
    model::{Invalid, Name, RoleRef, TokenId, TokenLifetime},
};
use clap_complete::engine::ArgValueCompleter;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// Make, list and revoke API tokens.
///
/// A token stands for whoever made it, or for a machine of its own, without the rights of any group. For those whom
/// `access.token_creators` names, within 15 minutes of signing in; for a machine's, an admin.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hallpass token create laptop --role prod/ReadOnly --lifetime 7d
  hallpass token create nightly --machine --role prod/Deploy
  hallpass token create sdk --container >token
  hallpass token list
  hallpass token revoke 01890a5d-ac96-774b-bcce-b302099a8057";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make a token, and print its text: it is shown this once and kept nowhere.
///
/// The text goes to stdout and everything else to stderr, so that it can be sent into a file or a secret store.
#[derive(Debug, clap::Args)]
struct Create {
    /// What it is called: no other living token of yours is called so, or no other machine.
    #[arg(value_name = "NAME")]
    name: Name,
    /// How long it lives, such as 12h or 7d: 15 minutes to 90 days [default: 30d].
    #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
    lifetime: Option<TokenLifetime>,
    /// A role that it is good for; may be given again [default: every role].
    #[arg(long = "role", value_name = "ROLE", value_parser = RoleRef::parse, add = ArgValueCompleter::new(role_names))]
    roles: Vec<RoleRef>,
    /// Good for the container-credentials address alone.
    #[arg(long)]
    container: bool,
    /// A machine's own, workload:token/<NAME>, which grants can name.
    #[arg(long)]
    machine: bool,
    #[command(flatten)]
    output: Output,
}

/// List your tokens, newest first, the ended ones too; an admin sees everybody's.
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    output: Output,
}

/// Revoke a token: it stops working at the next request.
#[derive(Debug, clap::Args)]
struct Revoke {
    /// Its id, as `token list` shows it.
    #[arg(value_name = "ID")]
    id: TokenId,
    #[command(flatten)]
    at: At,
}

fn parse_lifetime(text: &str) -> Result<TokenLifetime, Invalid> {
    TokenLifetime::from_seconds(parse_span(text)?.as_secs())
}

/// What a person reads of one.
#[derive(Deserialize)]
struct Token {
    id: String,
    name: String,
    principal: String,
    roles: Option<Vec<String>>,
    #[serde(rename = "use")]
    usage: Option<String>,
    expires_at: String,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
}

impl Token {
    fn row(self) -> [String; 6] {
        let Self { id, name, principal, roles, usage, expires_at, revoked_at, last_used_at } = self;
        let only = usage.map(|usage| format!("{usage} only"));
        let good_for: Vec<String> = roles.into_iter().flatten().chain(only).collect();
        let ends = revoked_at.map_or(expires_at, |at| format!("revoked {at}"));
        [id, name, principal, good_for.join(", "), ends, last_used_at.unwrap_or_else(|| "never".to_owned())]
    }
}

impl Args {
    pub(super) async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        match self.command {
            Command::Create(create) => create.run(config).await,
            Command::List(list) => list.run(config).await,
            Command::Revoke(Revoke { id, at }) => {
                let request = Request::delete(format!("/v1/tokens/{id}"));
                at.carry_out(config, async |place| place.ask(request).await.map(drop)).await?;
                super::print("The token is revoked.")
            }
        }
    }
}

impl Create {
    async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        let body = json!({
            "name": self.name,
            "duration_seconds": self.lifetime.unwrap_or(TokenLifetime::USUAL).seconds(),
            "roles": (!self.roles.is_empty()).then_some(self.roles),
            "use": self.container.then_some("container"),
            "machine": self.machine,
        });
        let request = Request::post("/v1/tokens", &body);
        let made: Value = self.output.at.carry_out(config, async |place| place.read(request).await).await?;
        if self.output.json {
            return super::print(&serde_json::to_string_pretty(&made)?);
        }
        let text = |member: &str| made[member].as_str().unwrap_or_default();
        super::print(text("token"))?;
        let (id, principal, expires_at) = (text("id"), text("principal"), text("expires_at"));
        super::say(&format!(
            "It asks as {principal} until {expires_at}; `hallpass token revoke {id}` ends it earlier."
        ));
        Ok(())
    }
}

impl List {
    async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        let Output { json, at } = self.output;
        let tokens = at.carry_out(config, async |place| place.list("/v1/tokens", "tokens").await).await?;
        if json {
            return super::print(&serde_json::to_string_pretty(&tokens)?);
        }
        if tokens.is_empty() {
            super::say("There is no API token; `hallpass token create NAME` makes one.");
            return Ok(());
        }
        table::show(["ID", "NAME", "ASKS AS", "GOOD FOR", "UNTIL", "LAST USED"], tokens, Token::row)
    }
}
