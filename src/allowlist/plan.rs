//! What applying a file would change: for people as a [`Plan`], for the store as [`Changes`]. Both come from one
//! comparison, so that what was shown is what is done.
//!
//! Work and output are linear in the two allowlists and in what changes between them. A plan never holds an external ID.

mod diff;
mod entry;
mod reach;
mod text;
mod warnings;

pub use diff::{Changes, Snapshot};
pub use entry::{AccountEntry, Changed, FieldChange, GrantEntry, RoleEntry, Section};
pub use reach::Reached;

use crate::{
    allowlist::AllowlistFile,
    model::{Grant, Origin, Time},
};
use diff::Diff;
use entry::Labels;
use reach::Reach;
use serde::{Deserialize, Serialize};

/// What applying a file would change, and what that means for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// How many accounts, roles and grants would come.
    pub add: usize,
    /// How many would stay and change.
    pub change: usize,
    /// How many would go.
    pub remove: usize,
    /// The accounts.
    pub accounts: Section<AccountEntry>,
    /// The roles.
    pub roles: Section<RoleEntry>,
    /// The file's grants.
    pub grants: Section<GrantEntry>,
    /// Who could have which role that they cannot have now, by the grants that have not expired; `<account>/*` role by
    /// role. At most 300,000; a warning says where there are more.
    pub gains: Vec<Reached>,
    /// Who could no longer have which role; likewise.
    pub loses: Vec<Reached>,
    /// How many grants made one by one have not expired: they stay as they are.
    pub api_grants: usize,
    /// What to look at twice, whether it changes now or not.
    pub warnings: Vec<String>,
}

impl Plan {
    /// `gains` and `loses` list no more than this each.
    pub const MAX_REACHED: usize = 300_000;

    /// Whether applying the file would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes() == 0
    }

    /// How many accounts, roles and grants would come, change or go.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.add + self.change + self.remove
    }
}

/// Compares a file with what there is, at this moment.
pub fn plan(current: &Snapshot, file: &AllowlistFile, now: Time) -> Plan {
    let diff = Diff::between(current, file);
    let labels = Labels::of(&current.accounts, &file.accounts);
    let accounts = Section::of(&diff.accounts, &labels, AccountEntry::of, entry::account_changes);
    let roles = Section::of(&diff.roles, &labels, RoleEntry::of, entry::role_changes);
    let grants = Section::of(&diff.grants, &labels, GrantEntry::of, entry::grant_changes);

    let live = |grant: &&Grant| grant.conditions.expires.is_none_or(|expires| now < expires);
    let by_api = || current.grants.iter().filter(|grant| grant.origin == Origin::Api).filter(live);
    let before = Reach::of(&current.roles, current.grants.iter().filter(live));
    let after = Reach::of(&file.roles, file.grants.iter().filter(live).chain(by_api()));
    let gains = after.beyond(&before, &labels);
    let loses = before.beyond(&after, &labels);

    let mut warnings = warnings::of_file(file, &labels, now);
    warnings.extend(warnings::of_api_grants(&diff, by_api(), &labels));
    if gains.len().max(loses.len()) == Plan::MAX_REACHED {
        warnings.push(format!("who gains and who loses is listed up to {} each, and no further", Plan::MAX_REACHED));
    }
    Plan {
        add: accounts.added.len() + roles.added.len() + grants.added.len(),
        change: accounts.changed.len() + roles.changed.len() + grants.changed.len(),
        remove: accounts.removed.len() + roles.removed.len() + grants.removed.len(),
        accounts,
        roles,
        grants,
        gains,
        loses,
        api_grants: by_api().count(),
        warnings,
    }
}

#[cfg(test)]
mod tests;
