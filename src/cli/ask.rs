//! What the commands that ask for a role have in common: the role, or a choice of them on a terminal, and what goes with it.

use super::remote::{Remote, role_names};
use crate::{
    client::{Ask, Client, ClientError},
    model::{Reason, RoleRef, SessionDuration},
};
use anyhow::{anyhow, ensure};
use clap_complete::engine::ArgValueCompleter;
use dialoguer::{
    FuzzySelect, Input,
    console::{Term, truncate_str},
    theme::ColorfulTheme,
};
use std::{
    io::{self, IsTerminal},
    process,
};
use tokio::signal::unix::{SignalKind, signal};

/// As a shell reports a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// The role, as `hallpass roles` names it; without one, a terminal offers a choice.
    #[arg(value_name = "ROLE", value_parser = RoleRef::parse, add = ArgValueCompleter::new(role_names))]
    role: Option<RoleRef>,
    /// How long, such as 45m or 4h [default: an hour, or less where a limit says so].
    #[arg(long, value_name = "TIME", value_parser = SessionDuration::parse)]
    duration: Option<SessionDuration>,
    /// Why, for the record; some roles require it. A terminal is asked for one.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason, env = "HALLPASS_REASON")]
    reason: Option<Reason>,
    #[command(flatten)]
    remote: Remote,
}

/// Which credentials.
#[derive(Debug, clap::Args)]
pub(super) struct WantedCredentials {
    #[command(flatten)]
    wanted: Wanted,
    /// The region that goes with them.
    #[arg(long, value_name = "REGION", value_parser = parse_region)]
    region: Option<String>,
    /// New ones, also where there are some that last.
    #[arg(long)]
    pub(super) fresh: bool,
}

pub(super) fn parse_reason(text: &str) -> Result<Reason, String> {
    Reason::parse(text).map_err(|expected| format!("expected {expected}"))
}

/// AWS's form.
fn parse_region(text: &str) -> Result<String, &'static str> {
    let well_formed = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if well_formed { Ok(text.to_owned()) } else { Err("expected a region such as eu-west-1") }
}

impl Wanted {
    /// The server, and what it is to be asked.
    pub(super) async fn open(self) -> anyhow::Result<(Client, Ask)> {
        let client = self.remote.open()?;
        let role = match self.role {
            Some(role) => role,
            None => choose(&client).await?,
        };
        Ok((client, Ask { role, duration: self.duration, reason: self.reason, region: None }))
    }
}

impl WantedCredentials {
    pub(super) async fn open(self) -> anyhow::Result<(Client, Ask)> {
        let (client, ask) = self.wanted.open().await?;
        Ok((client, Ask { region: self.region, ..ask }))
    }
}

/// Asks the server; where it wants a reason and somebody is there, asks them for one and tries once more.
pub(super) async fn asked<T>(ask: &mut Ask, call: impl AsyncFn(&Ask) -> Result<T, ClientError>) -> anyhow::Result<T> {
    match call(ask).await {
        Err(error) if error.code() == Some("reason_required") && is_watched() => {
            let theme = ColorfulTheme::default();
            let prompt = Input::<String>::with_theme(&theme).with_prompt("Why do you need it (for the record)");
            let prompt = prompt.validate_with(|text: &String| parse_reason(text).map(drop));
            ask.reason = Some(Reason::parse(&prompted(|| prompt.interact_text())?)?);
            Ok(call(ask).await?)
        }
        answer => Ok(answer?),
    }
}

/// Whether there is somebody to be asked: stdout may go elsewhere, as in `eval "$(hallpass creds)"`.
fn is_watched() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Has a person choose, the roles used last before the others.
async fn choose(client: &Client) -> anyhow::Result<RoleRef> {
    ensure!(is_watched(), "no role is named: `hallpass roles` lists what you may have");
    let mut roles = client.roles().await?;
    ensure!(
        !roles.is_empty(),
        "no role is granted to you: ask those who keep the allowlist; `hallpass whoami` shows what to name"
    );
    let recent = client.recently_used();
    roles.sort_by_key(|role| recent.iter().position(|name| *name == role.role).unwrap_or(usize::MAX));
    let width = roles.iter().map(|role| role.role.chars().count()).max().unwrap_or_default();
    // What the terminal would break into two lines is not cleared away whole.
    let columns = usize::from(Term::stderr().size().1).saturating_sub(3);
    let lines = roles.iter().map(|role| {
        let description = role.description.as_deref().unwrap_or_default();
        let line = format!("{:<width$}  {}", super::one_line(&role.role), super::one_line(description));
        truncate_str(line.trim_end(), columns, "…").into_owned()
    });
    let theme = ColorfulTheme::default();
    let select = FuzzySelect::with_theme(&theme).with_prompt("Role").items(lines).default(0).max_length(15);
    let chosen = prompted(|| select.interact_opt())?.ok_or_else(|| anyhow!("nothing was chosen"))?;
    Ok(RoleRef::parse(&roles[chosen].role)?)
}

/// Asks a person. At Ctrl-C the library raises SIGINT, which by itself would end this process with the cursor still hidden.
fn prompted<T>(prompt: impl FnOnce() -> dialoguer::Result<T>) -> anyhow::Result<T> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let answer = prompt();
    match answer {
        Ok(answer) => {
            // From here on it ends this process again.
            tokio::spawn(async move {
                interrupt.recv().await;
                process::exit(INTERRUPTED);
            });
            Ok(answer)
        }
        Err(dialoguer::Error::IO(error)) => {
            Term::stderr().show_cursor()?;
            ensure!(error.kind() != io::ErrorKind::Interrupted, "nothing was chosen");
            Err(error.into())
        }
    }
}
