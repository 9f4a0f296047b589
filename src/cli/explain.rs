use super::{ask::parse_reason, grant::Output, place::Place, remote::role_names, when::span};
use crate::{
    client::Request,
    model::{GrantId, Principal, Reason, RoleRef, SessionDuration},
};
use anyhow::ensure;
use clap_complete::engine::ArgValueCompleter;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{net::IpAddr, path::Path};

/// Say whether a role would be given, by which grant, or every condition that fails.
///
/// Anybody asks for themselves; auditors and admins for others too, which goes on record. Nothing is issued.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The role, such as prod/ReadOnly.
    #[arg(value_name = "ROLE", value_parser = RoleRef::parse, add = ArgValueCompleter::new(role_names))]
    role: RoleRef,
    /// Who asks [default: you].
    #[arg(long = "for", value_name = "PRINCIPAL")]
    principal: Option<Principal>,
    /// A group of theirs, group:<name>; may be given again.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<Principal>,
    /// Where they ask from.
    #[arg(long, value_name = "ADDRESS")]
    source_ip: Option<IpAddr>,
    /// The session they ask for, such as 45m or 4h.
    #[arg(long, value_name = "TIME", value_parser = SessionDuration::parse)]
    duration: Option<SessionDuration>,
    /// The reason they give.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<Reason>,
    /// The grant they name.
    #[arg(long = "grant", value_name = "ID")]
    grant_id: Option<GrantId>,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  hallpass explain prod/Deploy
  hallpass explain prod/Deploy --for user:alice@example.com \\
    --group group:developers --source-ip 10.0.0.7 --duration 4h";

/// What a person reads of it.
#[derive(Deserialize)]
struct Explanation {
    allowed: bool,
    grant_id: Option<String>,
    via: Option<String>,
    duration_seconds: Option<u32>,
    reasons: Vec<Failing>,
}

#[derive(Deserialize)]
struct Failing {
    grant_id: Option<String>,
    detail: String,
}

impl Args {
    pub(super) async fn run(self, config: Option<&Path>) -> anyhow::Result<()> {
        let body = json!({
            "role": self.role,
            "principal": self.principal,
            "groups": (!self.groups.is_empty()).then_some(self.groups),
            "source_ip": self.source_ip,
            "duration_seconds": self.duration,
            "reason": self.reason,
            "grant_id": self.grant_id,
        });
        let request = Request::post("/v1/explain", &body);
        let nobody = self.principal.is_none();
        let ask = async |place: &Place| {
            ensure!(!nobody || matches!(place, Place::Server(_)), "at the database, say for whom: --for user:NAME");
            place.read(request).await
        };
        let told: Value = self.output.at.carry_out(config, ask).await?;
        if self.output.json {
            return super::print(&serde_json::to_string_pretty(&told)?);
        }
        super::print(&shown(&serde_json::from_value(told)?))
    }
}

fn shown(told: &Explanation) -> String {
    let mut lines = Vec::new();
    match told {
        Explanation {
            allowed: true, grant_id: Some(grant), via: Some(via), duration_seconds: Some(seconds), ..
        } => {
            lines.push(format!("Allowed, for {}, by grant {grant} to {via}.", span(*seconds)));
            if !told.reasons.is_empty() {
                lines.push("What keeps other grants from counting:".to_owned());
            }
        }
        _ if told.reasons.is_empty() => {
            lines.push(
                "Not allowed: no grant gives this role to them or to their groups, or there is no such role."
                    .to_owned(),
            );
        }
        _ => lines.push("Not allowed:".to_owned()),
    }
    lines.extend(told.reasons.iter().map(|Failing { grant_id, detail }| match grant_id {
        Some(grant) => format!("  - grant {grant}: {detail}"),
        None => format!("  - {detail}"),
    }));
    lines.iter().map(|line| super::one_line(line)).collect::<Vec<_>>().join("\n")
}
