use super::{
    Client, ClientError,
    keep::{Keep, Session, Tokens},
    provider::{Provider, Refusal},
};
use crate::secret::Secret;

/// A token with less than this left is refreshed, in seconds: it has to last until the server has looked at it.
const AHEAD: i64 = 60;

impl Client {
    /// The signed-in person's token, refreshed where its end is near, or where `refused` says that the server calls it
    /// expired. One process at a time asks the provider; the others find what it got. Where the provider cannot be
    /// reached, the old token stays, and is used while it lasts.
    pub(super) async fn signed_in_token(&self, refused: bool) -> Result<Secret, ClientError> {
        let keep = self.keep.as_ref().ok_or(ClientError::NoHome)?;
        let (_, before) = self.kept(keep).await?;
        if !refused && self.is_good(&before, AHEAD) {
            return Ok(before.token);
        }
        let _lock = keep.lock().await?;
        let (session, tokens) = self.kept(keep).await?;
        if tokens != before && self.is_good(&tokens, AHEAD) {
            return Ok(tokens.token);
        }
        match self.refreshed(keep, session, &tokens).await {
            Err(error) if error.is_of_the_network() && !refused && self.is_good(&tokens, 0) => Ok(tokens.token),
            answer => answer,
        }
    }

    async fn kept(&self, keep: &Keep) -> Result<(Session, Tokens), ClientError> {
        keep.load().await?.ok_or_else(|| ClientError::NotSignedIn { server: self.target.url.clone() })
    }

    fn is_good(&self, tokens: &Tokens, ahead: i64) -> bool {
        tokens.expires_at.saturating_sub(ahead) > self.clock.now().as_micros() / 1_000_000
    }

    async fn refreshed(&self, keep: &Keep, session: Session, tokens: &Tokens) -> Result<Secret, ClientError> {
        let ended = |why: &str| ClientError::SignInEnded { server: self.target.url.clone(), why: why.to_owned() };
        let Some(refresh_token) = &tokens.refresh_token else {
            return Err(ended("the token has expired, and the provider gave none to refresh it with"));
        };
        let provider = Provider::discover(session.sign_in.clone(), self.outward.clone(), self.clock.clone()).await?;
        match provider.refresh(refresh_token).await {
            Ok(tokens) => {
                keep.set(session, &tokens).await?;
                Ok(tokens.token)
            }
            Err(Refusal::Ended(why)) => Err(ended(&why)),
            Err(Refusal::Other(error)) => Err(error),
        }
    }
}
