use super::{
    ask::parse_reason,
    grant::{Ending, Output},
    table,
    when::When,
};
use crate::{
    client::Request,
    model::{Principal, Reason, RoleRef},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// Refuse somebody every role, or everybody a role.
///
/// A block is stronger than every grant, counts at the next request, and is on record with who made it and why. Sessions that
/// are out already live until their end: see docs/operate.md for how to end these at AWS. For admins; the list also for
/// auditors.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hallpass block add user:mallory@example.com --reason INC-42
  hallpass block add prod/Deploy --until 12h --reason INC-43
  hallpass block list
  hallpass block remove 01890a5d-ac96-774b-bcce-b302099a8057 --reason INC-44";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Add(Add),
    List(List),
    Remove(Remove),
}

/// Make a block, and print it.
#[derive(Debug, clap::Args)]
struct Add {
    /// Who: user:<name>, group:<name> or workload:<issuer>/<subject>; or a role, such as prod/Deploy.
    #[arg(value_name = "WHAT", value_parser = What::parse)]
    what: What,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Reason,
    /// When it ends: a time, or how long from now, such as 12h [default: when it is lifted].
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    until: Option<When>,
    #[command(flatten)]
    output: Output,
}

/// List the blocks, newest first, those whose time is over too.
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    output: Output,
}

/// Lift a block.
#[derive(Debug, clap::Args)]
struct Remove {
    #[command(flatten)]
    ending: Ending,
}

/// What is blocked.
#[derive(Clone, Debug)]
enum What {
    Principal(Principal),
    Role(RoleRef),
}

impl What {
    /// An ARN begins with no kind of principal.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let principal = Principal::parse(text).map(Self::Principal);
        principal.or_else(|_| RoleRef::parse(text).map(Self::Role)).map_err(
            |_| "expected a principal such as user:alice@example.com or group:oncall, or a role such as prod/Deploy",
        )
    }
}

/// What a person reads of one.
#[derive(Deserialize)]
struct Block {
    id: String,
    principal: Option<String>,
    role: Option<String>,
    until: Option<String>,
    created_by: String,
    reason: String,
}

const HEAD: [&str; 5] = ["ID", "BLOCKED", "UNTIL", "BY", "REASON"];

impl Block {
    fn row(self) -> [String; 5] {
        let Self { id, principal, role, until, created_by, reason } = self;
        [id, principal.or(role).unwrap_or_default(), until.unwrap_or_default(), created_by, reason]
    }
}

impl Args {
    pub(super) async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        match self.command {
            Command::Add(add) => add.run(config).await,
            Command::List(list) => list.run(config).await,
            Command::Remove(Remove { ending }) => {
                ending.run("/v1/blocks", config).await?;
                super::print("The block is lifted.")
            }
        }
    }
}

impl Add {
    async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        let (principal, role) = match self.what {
            What::Principal(principal) => (Some(principal), None),
            What::Role(role) => (None, Some(role)),
        };
        let until = self.until.map(When::time);
        let body = json!({"principal": principal, "role": role, "reason": self.reason, "until": until});
        let request = Request::post("/v1/blocks", &body);
        let made: Value = self.output.at.carry_out(config, async |place| place.read(request).await).await?;
        if self.output.json {
            return super::print(&serde_json::to_string_pretty(&made)?);
        }
        table::show(HEAD, vec![made], Block::row)
    }
}

impl List {
    async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        let Output { json, at } = self.output;
        let blocks = at.carry_out(config, async |place| place.list("/v1/blocks", "blocks").await).await?;
        if json {
            return super::print(&serde_json::to_string_pretty(&blocks)?);
        }
        if blocks.is_empty() {
            super::say("Nobody is blocked, and no role.");
            return Ok(());
        }
        table::show(HEAD, blocks, Block::row)
    }
}
