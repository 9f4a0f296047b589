//! Who may change and read what, and the changes to who may do what: each with its event, in one transaction.
//!
//! Serves the API and the command line alike. Must never issue credentials.

mod powers;
mod tokens;

pub use powers::Powers;
pub use tokens::{NewToken, SIGNED_IN_WITHIN};

use crate::{
    allowlist::{AllowlistFile, Changes, FileFaults, Plan, Snapshot, plan},
    audit::{Actor, Event, Kind},
    clock::Clock,
    input::Faults,
    model::{
        Account, AccountId, AccountRef, Block, BlockTarget, Conditions, Grant, GrantId, GrantTarget, Origin, Partition,
        Principal, Reason, Role, RoleArn, RoleName, RoleRef, SessionDuration, SessionPolicy, Time, sha256,
    },
    recorder::{RecordError, Recorder},
    store::{Change, ChangeError, Document, GrantPlace, Store, StoreError, Wanted},
};
use std::{collections::BTreeSet, time::Duration};

/// A single grant ends within this.
pub const LONGEST_SINGLE_GRANT: Duration = Duration::from_hours(90 * 24);

/// A new single grant, before it has an id.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// Who it is for.
    pub principal: Principal,
    /// Which role.
    pub role: RoleRef,
    /// What must hold; `expires` is always there.
    pub conditions: Conditions,
    /// Why.
    pub reason: Reason,
}

/// What a new block refuses.
#[derive(Clone, Debug)]
pub enum NewBlock {
    /// A principal.
    Principal(Principal),
    /// A listed role.
    Role(RoleRef),
}

/// Why a change was not made, or not planned.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file has faults.
    #[error("the allowlist file has faults:\n{0}")]
    File(#[from] FileFaults),
    /// Somebody changed the allowlist in between.
    #[error("the allowlist has changed in between; it is at revision {0}")]
    Stale(u64),
    /// No such grant, block or living API token, or one that is not theirs.
    #[error("there is no such grant, block or living API token")]
    NotFound,
    /// The role is not in the allowlist.
    #[error("the allowlist lists no such role")]
    NoSuchRole,
    /// Roles that an API token cannot be bound to.
    #[error("an API token cannot be bound to these roles: {0}")]
    Bounds(Faults),
    /// An API token is made shortly after signing in.
    #[error("an API token is made within 15 minutes of signing in")]
    SignInAgain,
    /// A single grant ends in the past, or later than 90 days ahead.
    #[error("a single grant must end in the future and within 90 days")]
    Expiry,
    /// The same is there already, under this id.
    #[error("the same is there already, as {0}")]
    Exists(String),
    /// The change could not be put on record, so it was not made.
    #[error("the audit cannot be written, so nothing was changed")]
    AuditUnavailable,
    /// A fault of this program.
    #[error("the planning broke off")]
    Broken,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RecordError> for AccessError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Change(ChangeError::Stale(revision)) => Self::Stale(revision),
            RecordError::Change(ChangeError::NotFound) => Self::NotFound,
            RecordError::Change(ChangeError::Exists(id)) => Self::Exists(id),
            RecordError::Change(ChangeError::Store(error)) => Self::Store(error),
            RecordError::Unavailable | RecordError::Stale(_) | RecordError::Late => Self::AuditUnavailable,
        }
    }
}

/// A file held against what is there.
#[derive(Debug)]
pub struct Planned {
    /// The revision it was held against.
    pub revision: u64,
    /// What would change.
    pub plan: Plan,
    snapshot: Snapshot,
    file: AllowlistFile,
}

/// Who can reach a role.
#[derive(Debug)]
pub struct Reaching {
    /// Its account.
    pub account: Account,
    /// The role.
    pub role: Role,
    /// By principal: for the role, and for every role of the account.
    pub grants: Vec<Grant>,
    /// On the role itself and on those who hold these grants; those whose time is over too.
    pub blocks: Vec<Block>,
}

/// The allowlist as something that is read and changed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access {
    store: Store,
    recorder: Recorder,
    partition: Partition,
    clock: Clock,
}

impl Access {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Store, recorder: Recorder, partition: Partition, clock: Clock) -> Self {
        Self { store, recorder, partition, clock }
    }

    /// The file as last applied.
    pub async fn find_document(&self) -> Result<Document, AccessError> {
        Ok(self.store.read().await?.find_document().await?)
    }

    /// Reads a file and says what applying it would change.
    pub async fn plan(&self, text: String, by: &Principal) -> Result<Planned, AccessError> {
        let (revision, snapshot) = self.store.read().await?.find_snapshot().await?;
        let (partition, by, now) = (self.partition.clone(), by.clone(), self.clock.now());
        // A file of 16 MiB takes seconds: not on a thread that answers requests.
        let planning = tokio::task::spawn_blocking(move || {
            let file = AllowlistFile::parse(&text, &partition, &by, now)?;
            let plan = plan(&snapshot, &file, now);
            Ok(Planned { revision, plan, snapshot, file })
        });
        planning.await.unwrap_or(Err(AccessError::Broken))
    }

    /// Applies a file that was planned, at the revision it was planned against; returns the revision it makes. Nothing
    /// is changed, counted or recorded where the file is the one applied last and changes nothing. `groups` are those of
    /// whoever applies it: a change by which they gain is marked.
    pub async fn apply(&self, planned: Planned, actor: &Actor, groups: &[Principal]) -> Result<u64, AccessError> {
        let Planned { revision, plan, snapshot, file } = planned;
        if plan.is_empty() && self.find_document().await?.text == file.text {
            return Ok(revision);
        }
        let mut event = self.event(Kind::AllowlistApplied, actor);
        let digest = data_encoding::HEXLOWER.encode(&sha256(&[file.text.as_bytes()]));
        event.detail.insert("file_sha256".to_owned(), digest.into());
        for (name, count) in [("added", plan.add), ("changed", plan.change), ("removed", plan.remove)] {
            event.detail.insert(name.to_owned(), count.into());
        }
        let gained = plan.gains.iter().filter(|gain| is_theirs(&gain.principal, actor, groups)).count();
        // Beyond the end of that list nobody looks: who hides there is taken to have gained.
        if gained > 0 || plan.gains.len() == Plan::MAX_REACHED {
            event.detail.insert("gained".to_owned(), true.into());
            event.detail.insert("gained_count".to_owned(), gained.into());
        }
        let change = Change::Apply {
            expected: revision,
            changes: Box::new(Changes::between(&snapshot, &file)),
            text: file.text,
            by: actor.principal.clone(),
            at: event.at,
        };
        Ok(self.recorder.change(change, event).await?.revision)
    }

    /// Makes a single grant; one to the maker or to one of their `groups` is marked.
    pub async fn add_grant(&self, new: NewGrant, actor: &Actor, groups: &[Principal]) -> Result<Grant, AccessError> {
        let now = self.clock.now();
        let expires = new.conditions.expires.ok_or(AccessError::Expiry)?;
        if expires <= now || expires > now.plus(LONGEST_SINGLE_GRANT) {
            return Err(AccessError::Expiry);
        }
        let (target, role_arn) = self.find_target(&new.role).await?;
        let grant = Grant {
            id: GrantId::new(self.clock.new_id()),
            origin: Origin::Api,
            principal: new.principal,
            target,
            conditions: new.conditions,
            reason: Some(new.reason),
            created_by: actor.principal.clone(),
            created_at: now,
        };
        let mut event = self.grant_event(Kind::GrantAdded, actor, &grant);
        event.role_arn = Some(role_arn);
        mark_gain(&mut event, &grant.principal, actor, groups);
        self.recorder.change(Change::AddGrant(Box::new(grant.clone())), event).await?;
        Ok(grant)
    }

    /// Ends a single grant. Those of the file end with the file.
    pub async fn remove_grant(&self, id: &GrantId, why: Option<Reason>, actor: &Actor) -> Result<(), AccessError> {
        let grant = self.store.read().await?.find_single_grant(id).await?.ok_or(AccessError::NotFound)?;
        let mut event = self.grant_event(Kind::GrantRemoved, actor, &grant);
        note_end(&mut event, why);
        if let GrantTarget::Role(account, role) = grant.target {
            event.role_arn = self.find_arn(account, role).await?;
        }
        self.recorder.change(Change::RemoveGrant(id.clone()), event).await?;
        Ok(())
    }

    /// The single grants, newest first, and whether there are more.
    pub async fn list_grants(&self, after: Option<&GrantId>, limit: u32) -> Result<Vec<Grant>, AccessError> {
        Ok(self.store.read().await?.list_single_grants(after, limit).await?)
    }

    /// Blocks a principal or a role.
    pub async fn add_block(
        &self,
        target: NewBlock,
        reason: Reason,
        until: Option<Time>,
        actor: &Actor,
    ) -> Result<Block, AccessError> {
        let mut event = self.event(Kind::BlockAdded, actor);
        let target = match target {
            NewBlock::Principal(principal) => BlockTarget::Principal(principal),
            NewBlock::Role(role) => match self.find_target(&role).await? {
                (GrantTarget::Role(account, name), arn) => {
                    event.role_arn = Some(arn);
                    BlockTarget::Role(account, name)
                }
                (GrantTarget::Account(_), _) => return Err(AccessError::NoSuchRole),
            },
        };
        let id = GrantId::new(self.clock.new_id());
        let block = Block { id, target, reason, until, created_by: actor.principal.clone(), created_at: event.at };
        describe_block(&mut event, &block);
        self.recorder.change(Change::AddBlock(Box::new(block.clone())), event).await?;
        Ok(block)
    }

    /// Lifts a block; one on whoever lifts it, on one of their `groups`, or on a role that is granted to them is marked.
    pub async fn remove_block(
        &self,
        id: &GrantId,
        why: Option<Reason>,
        actor: &Actor,
        groups: &[Principal],
    ) -> Result<(), AccessError> {
        let mut event = self.event(Kind::BlockRemoved, actor);
        let block = self.store.read().await?.find_block(id).await?.ok_or(AccessError::NotFound)?;
        describe_block(&mut event, &block);
        note_end(&mut event, why);
        if let BlockTarget::Principal(principal) = &block.target {
            mark_gain(&mut event, principal, actor, groups);
        }
        if let BlockTarget::Role(account, role) = block.target {
            let theirs: Vec<&Principal> = std::iter::once(&actor.principal).chain(groups).collect();
            let role = RoleRef::Named(AccountRef::Id(account), role);
            let found = self.store.find_candidates(&theirs, &role).await?;
            event.role_arn = found.role.map(|(_, role)| role.arn(&self.partition));
            let mut ends = found.grants.iter().map(|grant| grant.conditions.expires);
            if ends.any(|end| end.is_none_or(|end| event.at < end)) {
                event.detail.insert("gained".to_owned(), true.into());
            }
        }
        self.recorder.change(Change::RemoveBlock(id.clone()), event).await?;
        Ok(())
    }

    /// The blocks, newest first.
    pub async fn list_blocks(&self, after: Option<&GrantId>, limit: u32) -> Result<Vec<Block>, AccessError> {
        Ok(self.store.read().await?.list_blocks(after, limit).await?)
    }

    /// The roles of the allowlist with their accounts, by account id and role name.
    pub async fn list_roles(&self, wanted: Wanted<'_>, limit: u32) -> Result<Vec<(Account, Role)>, AccessError> {
        Ok(self.store.read().await?.list_roles(wanted, limit).await?)
    }

    /// The grants of one origin, to one of `principals` where there are any; by id from the last.
    pub async fn browse_grants(
        &self,
        origin: Origin,
        principals: &[Principal],
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<Grant>, AccessError> {
        Ok(self.store.read().await?.browse_grants(origin, principals, after, limit).await?)
    }

    /// One single grant.
    pub async fn find_grant(&self, id: &GrantId) -> Result<Grant, AccessError> {
        self.store.read().await?.find_single_grant(id).await?.ok_or(AccessError::NotFound)
    }

    /// One block.
    pub async fn find_block(&self, id: &GrantId) -> Result<Block, AccessError> {
        self.store.read().await?.find_block(id).await?.ok_or(AccessError::NotFound)
    }

    /// The grants that reach a listed role, by principal; the blocks on the role itself; and the role.
    pub async fn list_reaching(
        &self,
        role: &RoleRef,
        after: Option<&GrantPlace>,
        limit: u32,
    ) -> Result<Reaching, AccessError> {
        let mut tx = self.store.read().await?;
        let (account, role) = tx.find_role(role).await?.ok_or(AccessError::NoSuchRole)?;
        let grants = tx.list_grants_on(&account.id, &role.name, after, limit).await?;
        let holders: BTreeSet<String> = grants.iter().map(|grant| grant.principal.to_string()).collect();
        let holders: Vec<String> = holders.into_iter().collect();
        let blocks = tx.list_blocks_of(&account.id, &role.name, &holders).await?;
        Ok(Reaching { account, role, grants, blocks })
    }

    async fn find_target(&self, role: &RoleRef) -> Result<(GrantTarget, RoleArn), AccessError> {
        let listed = self.store.read().await?.find_role(role).await?;
        let foreign = matches!(role, RoleRef::Arn(arn) if arn.partition != self.partition);
        let (account, role) = listed.filter(|_| !foreign).ok_or(AccessError::NoSuchRole)?;
        let arn = role.arn(&self.partition);
        Ok((GrantTarget::Role(account.id, role.name), arn))
    }

    /// `None` where the file has dropped the role in between.
    async fn find_arn(&self, account: AccountId, role: RoleName) -> Result<Option<RoleArn>, AccessError> {
        let listed = self.store.read().await?.find_role(&RoleRef::Named(AccountRef::Id(account), role)).await?;
        Ok(listed.map(|(_, role)| role.arn(&self.partition)))
    }

    fn event(&self, kind: Kind, actor: &Actor) -> Event {
        actor.event(kind, self.clock.new_id(), self.clock.now())
    }

    fn grant_event(&self, kind: Kind, actor: &Actor, grant: &Grant) -> Event {
        let mut event = self.event(kind, actor);
        let (account, role) = match &grant.target {
            GrantTarget::Role(account, role) => (account, role.as_str()),
            GrantTarget::Account(account) => (account, "*"),
        };
        event.grant_id = Some(grant.id.clone());
        event.account_id = Some(account.clone());
        event.reason.clone_from(&grant.reason);
        event.duration_seconds = grant.conditions.max_duration.map(SessionDuration::seconds);
        event.session_policy_sha256 = grant.conditions.session_policy.as_ref().map(SessionPolicy::sha256_hex);
        event.expires_at = grant.conditions.expires;
        event.detail.insert("to".to_owned(), grant.principal.to_string().into());
        event.detail.insert("role".to_owned(), format!("{account}/{role}").into());
        event.detail.insert("require_reason".to_owned(), grant.conditions.require_reason.into());
        let ranges: Vec<String> = grant.conditions.source_ips.iter().map(ToString::to_string).collect();
        event.detail.insert("source_ips".to_owned(), ranges.into());
        event
    }
}

/// Whether what is given to `principal` is given to whoever makes the change.
fn is_theirs(principal: &Principal, actor: &Actor, groups: &[Principal]) -> bool {
    *principal == actor.principal || groups.contains(principal)
}

fn mark_gain(event: &mut Event, principal: &Principal, actor: &Actor, groups: &[Principal]) {
    if is_theirs(principal, actor, groups) {
        event.detail.insert("gained".to_owned(), true.into());
    }
}

/// Why something ended; the event's own `reason` is that for which it was made.
fn note_end(event: &mut Event, why: Option<Reason>) {
    if let Some(why) = why {
        event.detail.insert("end_reason".to_owned(), why.as_str().into());
    }
}

fn describe_block(event: &mut Event, block: &Block) {
    event.reason = Some(block.reason.clone());
    event.expires_at = block.until;
    event.detail.insert("block_id".to_owned(), block.id.to_string().into());
    match &block.target {
        BlockTarget::Principal(principal) => {
            event.detail.insert("principal".to_owned(), principal.to_string().into());
        }
        BlockTarget::Role(account, role) => {
            event.account_id = Some(account.clone());
            event.detail.insert("role".to_owned(), format!("{account}/{role}").into());
        }
    }
}
