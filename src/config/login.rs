use super::Config;
use crate::{
    input::Faults,
    model::{Invalid, IssuerName, LoginClient, LoginToken},
};
use deserr::Deserr;

/// `[login]`: as which client of which provider people sign in on the command line. All of it is public.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub struct Login {
    /// One of the issuers of people.
    pub issuer: IssuerName,
    /// The client, as the provider knows it: a public one, for which an authorization code with PKCE is enough.
    #[deserr(try_from(&String) = parse_client -> Invalid)]
    pub client_id: String,
    /// Which token is sent; by default the ID token where `client_id` is one of the issuer's audiences, else the
    /// access token.
    #[deserr(try_from(Option<String>) = parse_token -> Invalid, default)]
    pub token: Option<LoginToken>,
    /// What is asked for; `openid`, `profile`, `email` and `offline_access` by default.
    #[deserr(try_from(Vec<String>) = parse_scopes -> Invalid, default = default_scopes())]
    pub scopes: Vec<String>,
    /// `prompt` of the authorization request, none where empty; by default `consent` where `offline_access` is asked
    /// for: without it a provider gives none (OpenID Connect Core 1.0, §11).
    #[deserr(default)]
    pub prompt: Option<String>,
    /// RFC 8707: whom an access token is asked for.
    #[deserr(default)]
    pub resource: Option<String>,
    /// The loopback port that is registered with the provider; any by default.
    #[deserr(try_from(Option<u64>) = parse_port -> Invalid, default)]
    pub redirect_port: Option<u16>,
    /// What a provider calls a secret and gives to installed programs. It is none: `GET /v1/login` shows it.
    #[deserr(default)]
    pub public_client_secret: Option<String>,
}

fn default_scopes() -> Vec<String> {
    ["openid", "profile", "email", "offline_access"].map(str::to_owned).to_vec()
}

fn parse_client(text: &str) -> Result<String, Invalid> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if plain { Ok(text.to_owned()) } else { Err(Invalid::new("the client's id, as the provider has it")) }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature deserr calls")]
fn parse_token(text: Option<String>) -> Result<Option<LoginToken>, Invalid> {
    match text.as_deref() {
        None => Ok(None),
        Some("id") => Ok(Some(LoginToken::Id)),
        Some("access") => Ok(Some(LoginToken::Access)),
        Some(_) => Err(Invalid::new("\"id\" or \"access\"")),
    }
}

/// RFC 6749, §3.3. Without `openid` there is no ID token, and no discovery that would hold.
fn parse_scopes(scopes: Vec<String>) -> Result<Vec<String>, Invalid> {
    let lawful = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    let all_lawful = scopes.iter().all(|scope| !scope.is_empty() && scope.bytes().all(lawful));
    if all_lawful && scopes.iter().any(|scope| scope == "openid") {
        Ok(scopes)
    } else {
        Err(Invalid::new("scopes without spaces, \"openid\" among them"))
    }
}

fn parse_port(number: Option<u64>) -> Result<Option<u16>, Invalid> {
    let parse = |number| u16::try_from(number).ok().filter(|port| *port >= 1024);
    number.map(|number| parse(number).ok_or(Invalid::new("a port from 1024 to 65535"))).transpose()
}

impl Config {
    /// Where and as which client people sign in, where that is configured.
    #[must_use]
    pub fn login_client(&self) -> Option<LoginClient> {
        let login = self.login.as_ref()?;
        let issuer = self.issuers.iter().find(|issuer| issuer.name == login.issuer)?;
        let own_audience = issuer.audiences.contains(&login.client_id);
        let offline = login.scopes.iter().any(|scope| scope == "offline_access");
        let prompt = login.prompt.clone().or_else(|| offline.then(|| "consent".to_owned()));
        Some(LoginClient {
            client_id: login.client_id.clone(),
            client_secret: login.public_client_secret.clone(),
            issuer: issuer.issuer.clone(),
            prompt: prompt.filter(|prompt| !prompt.is_empty()),
            redirect_port: login.redirect_port,
            resource: login.resource.clone(),
            scopes: login.scopes.clone(),
            token: login.token.unwrap_or(if own_audience { LoginToken::Id } else { LoginToken::Access }),
        })
    }
}
