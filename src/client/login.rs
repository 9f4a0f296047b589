use super::{
    Client, ClientError, Request, Source, Token, Whoami,
    error::plain,
    folders,
    keep::{Kept, Tokens},
    loopback::{Back, Loopback},
    provider::Provider,
};
use crate::model::LoginClient;
use std::{
    process::{Command, Stdio},
    time::Duration,
};
use url::Url;

/// How long a person may take.
const LIMIT: Duration = Duration::from_mins(10);

/// How a person signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By a browser where there is a display, else by a code on another device where the provider has that.
    Found,
    /// By a browser on this machine.
    Browser,
    /// By a code, in a browser on any device.
    Device,
}

/// What a sign-in came to.
#[derive(Debug)]
pub struct SignedIn {
    /// Who the person is to the server.
    pub whoami: Whoami,
    /// Where the tokens are.
    pub kept: &'static str,
    /// The server was written down as the one to use from now on.
    pub is_default: bool,
    /// Whether commands can go on after the token's end without the person.
    pub lasts: bool,
}

/// What a sign-out came to.
#[derive(Debug, PartialEq, Eq)]
pub enum SignedOut {
    /// Nobody was signed in.
    Nobody,
    /// Forgotten here, and no longer good at the provider.
    Revoked,
    /// Forgotten here; why the provider was not told.
    Forgotten(String),
}

impl Client {
    /// Signs a person in: `say` tells them what to do meanwhile. Nothing is kept before the server has taken the token.
    pub async fn login(&self, how: How, say: &(dyn Fn(&str) + Sync)) -> Result<SignedIn, ClientError> {
        let keep = self.keep.as_ref().ok_or(ClientError::NoHome)?;
        let provider = Provider::discover(self.sign_in().await?, self.outward.clone(), self.clock.clone()).await?;
        let by_browser = match how {
            How::Browser => true,
            How::Device => false,
            How::Found => self.has_display() || !provider.has_device_flow(),
        };
        let tokens =
            if by_browser { self.by_browser(&provider, say).await? } else { by_device(&provider, say).await? };
        let token = Token { secret: tokens.token.clone(), source: Source::SignIn };
        let whoami: Whoami = self.api.call(&Request::get("/v1/whoami"), Some(&token)).await.map_err(|error| {
            match error.code() {
                Some("token_invalid") => provider.refuses(&format!(
                    "{} does not take the token it gave ({error}); tell the server's operators: docs/client.md, \"Which token is sent\"",
                    self.target.url
                )),
                _ => error,
            }
        })?;
        let _lock = keep.lock().await?;
        let lasts = tokens.refresh_token.is_some();
        let kept = match keep.add(provider.sign_in, &whoami.principal, &tokens).await? {
            Kept::Keyring => "the system's keyring",
            Kept::File => "a file that only you can read",
        };
        Ok(SignedIn { whoami, kept, is_default: self.become_default()?, lasts })
    }

    /// Signs the person out: tells the provider, and forgets whatever it says.
    pub async fn logout(&self) -> Result<SignedOut, ClientError> {
        let Some(keep) = &self.keep else { return self.shelf.clear().map(|()| SignedOut::Nobody) };
        let _lock = keep.lock().await?;
        let loaded = keep.load().await;
        let told = match &loaded {
            Ok(None) => None,
            Ok(Some((session, tokens))) => Some(self.revoke(session.sign_in.clone(), tokens).await),
            Err(error) => Some(Err(error.to_string())),
        };
        let removed = keep.remove().await;
        // After the sign-in: a command that has just put some there looks once more whether it is still signed in.
        self.shelf.clear()?;
        if let Some(cache) = &self.cache {
            cache.forget();
        }
        removed?;
        Ok(match told {
            None => SignedOut::Nobody,
            Some(Ok(())) => SignedOut::Revoked,
            Some(Err(why)) => SignedOut::Forgotten(why),
        })
    }

    async fn revoke(&self, sign_in: LoginClient, tokens: &Tokens) -> Result<(), String> {
        let Some(token) = &tokens.refresh_token else {
            return Err("there was no refresh token to revoke".to_owned());
        };
        let revoke =
            async { Provider::discover(sign_in, self.outward.clone(), self.clock.clone()).await?.revoke(token).await };
        match revoke.await {
            Ok(true) => Ok(()),
            Ok(false) => Err("the provider has nowhere to revoke it".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Where and as which client people sign in, by the server.
    async fn sign_in(&self) -> Result<LoginClient, ClientError> {
        let answer = self.api.call(&Request::get("/v1/login"), None).await;
        answer.map_err(|error| match error.code() {
            Some("not_found") => ClientError::NoSignIn(self.target.url.clone()),
            _ => error,
        })
    }

    async fn by_browser(&self, provider: &Provider, say: &(dyn Fn(&str) + Sync)) -> Result<Tokens, ClientError> {
        let loopback = Loopback::open(provider.sign_in.redirect_port).await?;
        let asked = provider.ask(&loopback.redirect_url())?;
        say(&format!(
            "Sign in at {} in your browser. If none opens, go there yourself:\n\n  {}\n",
            provider.sign_in.issuer, asked.url
        ));
        self.open_browser(&asked.url);
        say("Waiting for your browser … (Ctrl-C gives up)");
        let wait = loopback.wait(asked.state.secret(), &provider.sign_in.issuer);
        let back = tokio::time::timeout(LIMIT, wait).await;
        match back.map_err(|_| ClientError::Late { minutes: LIMIT.as_secs() / 60 })? {
            Back::Code(code) => provider.redeem(asked, code).await,
            Back::Error(said) => Err(provider.refuses(&said)),
        }
    }

    /// Whether a browser can open here.
    #[must_use]
    pub fn has_display(&self) -> bool {
        let has = |name| self.env.get(name).is_some();
        let desktop = cfg!(target_os = "macos") && !has("SSH_CONNECTION");
        desktop || ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"].into_iter().any(has)
    }

    /// The address is shown anyway: where no browser opens, there is no more to say.
    pub(super) fn open_browser(&self, url: &Url) {
        match self.env.get("BROWSER") {
            Some(browser) => {
                let mut command = Command::new(browser);
                command.arg(url.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let _ = command.spawn();
            }
            None if self.has_display() => {
                let _ = open::that_detached(url.as_str());
            }
            None => {}
        }
    }

    /// Who has no file yet does not want to name the server again with every command.
    fn become_default(&self) -> Result<bool, ClientError> {
        let Some(path) = self.settings.as_deref() else { return Ok(false) };
        if folders::read(path)?.is_some() {
            return Ok(false);
        }
        let text = format!(
            "# The server of the commands that are given none; docs/client.md has more.\nserver = \"{}\"\n",
            self.target.url
        );
        folders::write_private(path, &text)?;
        Ok(true)
    }
}

async fn by_device(provider: &Provider, say: &(dyn Fn(&str) + Sync)) -> Result<Tokens, ClientError> {
    let device = provider.begin_device().await?;
    let mut text = format!(
        "On any device, go to\n\n  {}\n\nand enter the code\n\n  {}\n",
        device.verification_uri().as_str(),
        plain(device.user_code().secret())
    );
    if let Some(complete) = device.verification_uri_complete() {
        text.push_str("\nor go, with the code in it, to\n\n  ");
        text.push_str(&plain(complete.secret()));
        text.push('\n');
    }
    say(&text);
    say("Waiting for you to sign in there … (Ctrl-C gives up)");
    provider.await_device(&device, LIMIT).await
}
