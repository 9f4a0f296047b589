//! What `hallpass demo` puts around the service: a simulated AWS, a simulated identity provider, people, an allowlist,
//! and the words it greets with.
//!
//! The service itself is the real one. Nothing of this is reachable from `serve`, and without the cargo feature `demo`
//! none of it is built. Must never listen on an address that other machines reach: it gives anybody a token for anybody.

pub mod aws;
mod folder;
mod history;
pub mod people;
mod provider;
mod welcome;

pub use folder::Folder;
pub use history::History;
pub use provider::{AUDIENCE, LOGIN_CLIENT, PORTAL_CLIENT, Provider};

use crate::{
    allowlist::{AllowlistFile, FileFaults},
    clock::Clock,
    model::{AccountId, Partition, RoleArn},
    sts::Sts,
};
use aws::{BROKER_ACCESS_KEY_ID, BROKER_ARN, Roles, TrustingRole, broker_secret};
use std::{collections::BTreeMap, fs, io, net::SocketAddr, path::PathBuf};
use tokio::net::TcpListener;

/// The allowlist that a new demo begins with.
pub const ALLOWLIST: &str = include_str!("demo/allowlist.toml");

const REGION: &str = "eu-west-1";
/// The role whose trust policy is lacking, for a look at what a refusal of AWS looks like.
const UNFINISHED: &str = "Unfinished";

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Others could reach it.
    #[error(
        "{0} can be reached from other machines, and the demo gives anybody a token: give --listen a loopback address, such as 127.0.0.1:8080"
    )]
    NotLoopback(SocketAddr),
    /// The simulated parts have no address.
    #[error("the simulated AWS and identity provider cannot listen: {0}")]
    Listen(io::Error),
    /// No signing key.
    #[error("the simulated identity provider cannot sign: the machine's cryptography fails")]
    Key,
    /// The demo's own allowlist.
    #[error("the demo's allowlist has faults: {0}")]
    Allowlist(#[from] FileFaults),
    /// The folder.
    #[error(
        "cannot use {path}: {cause}; name a folder that you may write with --data, or leave --data away for a temporary one"
    )]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The folder has other things in it.
    #[error("{0} holds other things than a demo's: name a new or empty folder with --data")]
    NotOurs(PathBuf),
    /// The past.
    #[error("the demo's past cannot be made up: {0}")]
    History(String),
    /// The folder is another demo's, which is running.
    #[error("a demo is running on {0} already: end that one, or name another folder with --data")]
    InUse(PathBuf),
}

/// The simulated surroundings of a service, running.
pub struct Demo {
    listen: SocketAddr,
    aws: SocketAddr,
    /// Who signs the tokens.
    pub provider: Provider,
}

impl Demo {
    /// Starts AWS and the identity provider for a service that listens there: on the next two ports where those are
    /// free, else on any. AWS has the roles of the folder's allowlist.
    pub async fn start(listen: SocketAddr, folder: &Folder, clock: &Clock) -> Result<Self, DemoError> {
        let bind = async |offset| bind_near(listen, offset).await.map_err(DemoError::Listen);
        let provider = Provider::spawn(bind(1).await?, clock.clone())?;
        let trusting = trusting_roles(folder.allowlist(), clock)?;
        let aws = aws::spawn(bind(2).await?, trusting, clock.clone()).map_err(DemoError::Listen)?;
        Ok(Self { listen, aws, provider })
    }

    /// The simulated STS, as the broker's user.
    #[must_use]
    pub fn sts(&self, clock: Clock) -> Sts {
        Sts::local(&format!("http://{}", self.aws), BROKER_ACCESS_KEY_ID, &broker_secret(), REGION, clock)
    }

    /// The `hallpass.toml` of the service.
    #[must_use]
    pub fn configuration(&self) -> String {
        let (mark, listen, aws, issuer) = (folder::MARK, self.listen, self.aws, self.provider.issuer());
        format!(
            r#"{mark}
[server]
listen = "{listen}"

[database]
url = "sqlite:hallpass.db"

[aws]
region = "{REGION}"
signin_url = "http://{aws}"

[access]
admins = ["group:{admins}"]
auditors = ["group:{auditors}"]

[[issuers]]
name = "demo"
issuer = "{issuer}"
audiences = ["{AUDIENCE}"]
kind = "people"
principal_claim = "email"
groups_claim = "groups"
algorithms = ["ES256"]
prefix = ""

[login]
issuer = "demo"
client_id = "{LOGIN_CLIENT}"

[portal]
issuer = "demo"
client_id = "{PORTAL_CLIENT}"
help = "In this demo that is bob: sign in as him, and make a grant."
"#,
            admins = people::BOB.group,
            auditors = people::CAROL.group,
        )
    }
}

/// Loopback, for the service and so for what stands around it.
pub fn check_loopback(listen: SocketAddr) -> Result<(), DemoError> {
    if listen.ip().to_canonical().is_loopback() { Ok(()) } else { Err(DemoError::NotLoopback(listen)) }
}

async fn bind_near(listen: SocketAddr, offset: u16) -> io::Result<TcpListener> {
    let near = if listen.port() == 0 { 0 } else { listen.port().checked_add(offset).unwrap_or(0) };
    match TcpListener::bind((listen.ip(), near)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((listen.ip(), 0)).await,
    }
}

/// The roles of the folder's allowlist as it is at each call, then those that the demo begins with.
fn trusting_roles(allowlist: PathBuf, clock: &Clock) -> Result<Roles, DemoError> {
    let built_in = trusting_roles_of(ALLOWLIST, clock)?;
    let clock = clock.clone();
    Ok(Box::new(move |arn| {
        // A file that is away or has faults: whoever applies it is told.
        let listed = fs::read_to_string(&allowlist).ok().and_then(|text| trusting_roles_of(&text, &clock).ok());
        let mut roles = listed.iter().flatten().chain(&built_in);
        roles.find(|role| role.arn == *arn).cloned()
    }))
}

/// The roles of an allowlist, as good owners of the trusting accounts set them up: each trusts the broker's user under
/// its account's external ID. One lacks `sts:TagSession`.
fn trusting_roles_of(allowlist: &str, clock: &Clock) -> Result<Vec<TrustingRole>, FileFaults> {
    let partition = Partition::of_region(REGION);
    let AllowlistFile { accounts, roles, .. } =
        AllowlistFile::parse(allowlist, &partition, &people::BOB.principal(), clock.now())?;
    let external_ids: BTreeMap<AccountId, _> =
        accounts.into_iter().map(|account| (account.id, account.external_id)).collect();
    let trusting = roles.into_iter().map(|role| {
        let arn: RoleArn = role.arn(&partition);
        let mut actions = vec!["sts:AssumeRole", "sts:SetSourceIdentity"];
        if arn.name.as_str() != UNFINISHED {
            actions.push("sts:TagSession");
        }
        TrustingRole {
            // IAM has none shorter.
            max_session: role.max_duration.seconds().max(3600),
            principal: BROKER_ARN.to_owned(),
            actions,
            external_id: external_ids.get(&arn.account).cloned().flatten().map(|id| id.expose().to_owned()),
            arn,
        }
    });
    Ok(trusting.collect())
}
