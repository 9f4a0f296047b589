//! What every command that asks a server begins with.

use crate::{
    client::{Client, Environment},
    clock::Clock,
    config, sts,
};
use anyhow::ensure;
use clap_complete::engine::CompletionCandidate;
use std::{ffi::OsStr, path::PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    #[arg(
        long,
        value_name = "SERVER",
        help = "The server: its address, or its name in the client's file [default: what HALLPASS_SERVER or the file says]"
    )]
    server: Option<String>,
    /// Of the other commands; here it is refused, so it is not shown.
    #[arg(long, value_name = "FILE", hide = true)]
    config: Option<PathBuf>,
}

impl Remote {
    pub(super) fn open(&self) -> anyhow::Result<Client> {
        ensure!(self.config.is_none(), "--config is the service's: name a server with --server");
        open(self.server.as_deref())
    }
}

/// The server that is named, or else the environment's or the file's.
pub(super) fn open(server: Option<&str>) -> anyhow::Result<Client> {
    // What goes wrong is said once, as an error; the log is for who asks for it.
    super::start_log("off");
    let aws = |audience: String| -> futures_util::future::BoxFuture<'static, _> {
        Box::pin(async move { sts::web_identity_token(&audience).await })
    };
    Ok(Client::open(server, Environment::new(config::environment()), aws, Clock::system())?)
}

/// The roles that were last seen, for completions.
pub(super) fn role_names(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let names = Client::remembered_roles(None, &Environment::new(config::environment())).into_iter();
    names.filter(|name| name.starts_with(&*typed)).map(CompletionCandidate::new).collect()
}
