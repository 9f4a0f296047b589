//! What people call the accounts that records name by their ids.

use super::extract::Halt;
use crate::{
    app::App,
    http::error::Error,
    model::{Account, AccountId, Alias},
};
use std::collections::{BTreeSet, HashMap};

/// Aliases as the allowlist has them now; a record keeps the id, which never changes.
pub(super) struct Aliases(HashMap<AccountId, Alias>);

impl Aliases {
    /// Those of these accounts.
    pub(super) async fn find(app: &App, accounts: impl IntoIterator<Item = AccountId>) -> Result<Self, Halt> {
        let accounts: BTreeSet<_> = accounts.into_iter().collect();
        Ok(Self(app.evidence.find_aliases(&accounts).await.map_err(Error::from)?))
    }

    /// That of an account that is known already.
    pub(super) fn one(account: &Account) -> Self {
        Self(account.alias.clone().into_iter().map(|alias| (account.id.clone(), alias)).collect())
    }

    /// The alias, or the id of an account that has none.
    pub(super) fn of<'a>(&'a self, account: &'a AccountId) -> &'a str {
        self.0.get(account).map_or(account.as_str(), Alias::as_str)
    }
}
