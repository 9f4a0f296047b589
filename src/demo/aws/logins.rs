//! Whose keys the simulated AWS knows: the broker's user, and the sessions minted here.

use super::answer::Fault;
use crate::{
    clock::fill_random,
    model::{AccountId, Time},
    secret::Secret,
};
use data_encoding::{BASE32_NOPAD, BASE64};
use quick_cache::sync::Cache;
use std::sync::Arc;

/// How many sessions are remembered; the keys of one that is forgotten are unknown.
const REMEMBERED: usize = 10_000;

/// One set of AWS keys.
pub(super) struct Keys {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Secret,
    pub(super) session_token: Option<Secret>,
}

/// Somebody whose keys are known.
pub(super) struct Login {
    pub(super) keys: Keys,
    /// Who this is, as GetCallerIdentity says it.
    pub(super) arn: String,
    pub(super) user_id: String,
    pub(super) account: AccountId,
    /// Who this is to a trust policy: the user, or the role of a session.
    pub(super) principal: String,
    /// When a session ends; a user's keys stay.
    pub(super) ends: Option<Time>,
}

/// All of them.
pub(super) struct Logins {
    broker: Arc<Login>,
    sessions: Cache<String, Arc<Login>>,
}

impl Keys {
    /// Of the form that AWS's have, and telling whoever sees them where they come from.
    pub(super) fn mint() -> Self {
        let id = BASE32_NOPAD.encode(&random::<10>());
        let token = format!("HallpassDemo/WorksNowhereElse/{}", BASE64.encode(&random::<240>()));
        Self {
            access_key_id: format!("ASIADEMO{}", &id[..12]),
            secret_access_key: Secret::new(BASE64.encode(&random::<30>())),
            session_token: Some(Secret::new(token)),
        }
    }
}

impl Logins {
    pub(super) fn new(broker: Login) -> Self {
        Self { broker: Arc::new(broker), sessions: Cache::new(REMEMBERED) }
    }

    pub(super) fn add(&self, session: Login) -> Arc<Login> {
        let session = Arc::new(session);
        self.sessions.insert(session.keys.access_key_id.clone(), session.clone());
        session
    }

    /// Whose keys these are, by their id and the session token that came with them.
    pub(super) fn find(&self, access_key_id: &str, session_token: Option<&[u8]>) -> Result<Arc<Login>, Fault> {
        let broker = (self.broker.keys.access_key_id == access_key_id).then(|| self.broker.clone());
        let known = broker
            .or_else(|| self.sessions.get(access_key_id))
            .filter(|login| login.keys.session_token.as_ref().map(|token| token.expose().as_bytes()) == session_token);
        known.ok_or_else(|| {
            Fault::forbidden("InvalidClientTokenId", "The security token included in the request is invalid.")
        })
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(keys: Keys) -> Login {
        let account = AccountId::parse("111122223333").unwrap();
        let text = String::new;
        Login { keys, arn: text(), user_id: text(), account, principal: text(), ends: None }
    }

    #[test]
    fn sessions_are_forgotten_before_they_fill_the_memory() {
        let logins = Logins::new(login(Keys::mint()));
        for _ in 0..2 * REMEMBERED {
            logins.add(login(Keys::mint()));
        }
        assert!(logins.sessions.len() <= REMEMBERED, "{}", logins.sessions.len());
        let last = logins.add(login(Keys::mint()));
        let token = last.keys.session_token.as_ref().map(|token| token.expose().as_bytes());
        assert!(logins.find(&last.keys.access_key_id, token).is_ok());
    }
}
