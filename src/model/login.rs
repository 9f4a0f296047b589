use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where and as which client a person signs in on a command line: the answer of `GET /v1/login`. None of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginClient {
    /// The client, as the provider knows it.
    #[schema(example = "hallpass-cli")]
    pub client_id: String,
    /// What the provider calls a client secret and gives to installed programs, where it is none. Null with most.
    pub client_secret: Option<String>,
    /// The provider: its OpenID discovery document is below this address.
    #[schema(example = "https://login.example.com")]
    pub issuer: String,
    /// OpenID's `prompt`: what the person is to be asked at the provider. Null: what the provider thinks right.
    pub prompt: Option<String>,
    /// The loopback port of the redirect address, where the provider wants one that is known. Null: any.
    pub redirect_port: Option<u16>,
    /// RFC 8707: whom an access token is asked for. Null: nothing is said.
    pub resource: Option<String>,
    /// What is asked for.
    #[schema(example = json!(["openid", "email", "offline_access"]))]
    pub scopes: Vec<String>,
    /// Which of the provider's tokens is sent to Hallpass.
    pub token: LoginToken,
}

/// Which of a provider's tokens is sent to Hallpass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoginToken {
    /// The ID token: a JWT with every provider, and made for the client.
    Id,
    /// The access token: where the provider makes it a JWT, with an audience of Hallpass.
    Access,
}
