//! The client's side of the command line: which server is meant, with which token it is asked, and how a person gets one.
//!
//! Owns signing in and out at the identity provider, where the tokens are kept, the ways a pipeline has to a token, the
//! requests to a server and the sentence that each failure becomes; credentials, kept for the next command of the same
//! caller, and the ways they reach others: a command, a browser, the AWS config file, SDKs that ask this machine. Must never print, read the environment of the process
//! by itself, or use another room of the server than `model`, `clock`, `secret` and `format`: a person's machine has no
//! database and no AWS credentials of the broker's. A token goes to the server it was made for and to nobody else: no
//! redirect is followed, and it stands in no argument, no log and no file that others can read.
//!
//! `docs/client.md` has the order of the sources and where everything is kept.

mod address;
mod agent;
mod answers;
mod api;
mod configure;
mod console;
mod credentials;
mod error;
mod exec;
mod exposed;
mod folders;
mod keep;
mod local;
mod login;
mod loopback;
mod outward;
mod profiles;
mod provider;
mod recent;
mod refresh;
mod request;
mod role_cache;
mod shelf;
mod source;
mod target;

pub use agent::Agent;
pub use answers::{Account, Offer, Role, Whoami};
pub use api::{Api, Problem};
pub use configure::Configured;
pub use console::Link;
pub use credentials::{Ask, Credentials};
pub use error::ClientError;
pub use login::{How, SignedIn, SignedOut};
pub use outward::Coming;
pub use profiles::Changes;
pub use request::Request;
pub use source::{AskAws, Source};
pub use target::Target;

use crate::{clock::Clock, secret::Secret};
use answers::RolesPage;
use folders::Folders;
use keep::Keep;
use outward::Outward;
use recent::Recent;
use reqwest::Method;
use role_cache::RoleCache;
use serde::{Serialize, de::DeserializeOwned};
use shelf::Shelf;
use std::{collections::BTreeMap, path::PathBuf};

/// The variables that a command was started with; an empty one is none.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Over these variables.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The variable's value, where it has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// A server, and the caller that this process is to it. Opening one does no I/O beyond reading the client's own files.
pub struct Client {
    target: Target,
    env: Environment,
    outward: Outward,
    api: Api,
    keep: Option<Keep>,
    cache: Option<RoleCache>,
    shelf: Shelf,
    recent: Option<Recent>,
    settings: Option<PathBuf>,
    aws: AskAws,
    clock: Clock,
}

/// A token, and where it came from.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub secret: Secret,
    /// Its source.
    pub source: Source,
}

impl Client {
    /// For the server that `server` names, an address or a name of the client's file, or else the one that the
    /// environment or the file says. `aws` is asked for a token of AWS where that is the caller's.
    pub fn open(server: Option<&str>, env: Environment, aws: AskAws, clock: Clock) -> Result<Self, ClientError> {
        let folders = Folders::of(&env);
        let target = Target::find(server, &env, &folders)?;
        let outward = Outward::new(target.ca_bundle.clone());
        let api = Api::new(&target, outward.clone(), clock.clone());
        let keep = folders.state.as_deref().map(|folder| Keep::new(folder, &target, &env));
        let cache = folders.cache.as_deref().map(|folder| RoleCache::of(folder, &target));
        let recent = folders.state.as_deref().map(|folder| Recent::of(folder, &target));
        let shelf = Shelf::new(folders.cache.as_deref().map(|folder| folder.join(target.file_name("credentials"))));
        Ok(Self { target, env, outward, api, keep, cache, shelf, recent, settings: folders.settings(), aws, clock })
    }

    /// The variables that this process was started with.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.env
    }

    /// The server.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Where this process's token comes from.
    pub fn source(&self) -> Result<Source, ClientError> {
        let signed_in = self.keep.as_ref().is_some_and(Keep::is_signed_in);
        Source::find(&self.env, signed_in, &self.target)
    }

    /// A token for this process, got anew or refreshed where that is needed.
    pub async fn token(&self) -> Result<Token, ClientError> {
        let source = self.source()?;
        let secret = match &source {
            Source::SignIn => self.signed_in_token(false).await?,
            other => other.ask(&self.env, &self.target, &self.outward, self.aws).await?,
        };
        Ok(Token { secret, source })
    }

    /// Asks the server as this caller. A sign-in whose token the server calls expired, as it does where this machine's
    /// clock is behind, is refreshed and tried once more.
    pub async fn send(&self, request: &Request) -> Result<Coming, ClientError> {
        let token = self.token().await?;
        let answer = self.api.send(request, Some(&token)).await;
        match answer {
            Err(error) if error.code() == Some("token_expired") && matches!(token.source, Source::SignIn) => {
                let secret = self.signed_in_token(true).await?;
                self.api.send(request, Some(&Token { secret, ..token })).await
            }
            answer => answer,
        }
    }

    /// Likewise, and reads the answer's JSON.
    async fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ClientError> {
        self.api.read(self.send(request).await?).await
    }

    /// Likewise, with a body.
    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.api.nonsense(&error.to_string()))?;
        let request = Request::new(Method::POST, path.to_owned()).with_body("application/json", body);
        self.call(&request).await
    }

    /// Who this caller is to the server.
    pub async fn whoami(&self) -> Result<Whoami, ClientError> {
        self.call(&Request::get("/v1/whoami")).await
    }

    /// Every role this caller may assume now; remembered for completions.
    pub async fn roles(&self) -> Result<Vec<Role>, ClientError> {
        let (mut roles, mut query) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/roles?limit=1000{query}");
            let page: RolesPage = self.call(&Request::get(path)).await?;
            roles.extend(page.roles);
            let Some(cursor) = page.next_cursor else { break };
            query = format!("&cursor={}", address::encoded(&cursor));
        }
        if let Some(cache) = &self.cache {
            cache.remember(roles.iter().map(|role| role.role.as_str()));
        }
        Ok(roles)
    }

    /// The names of the roles that were last seen on a server, for completions: asks nobody.
    #[must_use]
    pub fn remembered_roles(server: Option<&str>, env: &Environment) -> Vec<String> {
        let folders = Folders::of(env);
        let target = Target::find(server, env, &folders).ok();
        let cache = target.zip(folders.cache).map(|(target, folder)| RoleCache::of(&folder, &target));
        cache.map(|cache| cache.names()).unwrap_or_default()
    }
}
