//! The allowlist as data: who may have which role on which conditions, the file it is written in, and the plan that
//! says what applying a file would change.
//!
//! Three parts. [`decide()`] is the one place where a permit is made: a pure function of what the store loaded, who asks,
//! what is asked, and the time; [`explain()`] tells its reasons. [`AllowlistFile`] reads the declarative file and lists
//! every fault with its line. [`plan()`] compares a file with what there is, for people; [`Changes`] does so for the store.
//!
//! This room must never do I/O, be async, read the clock or know HTTP: so the same question always has the same answer,
//! and every rule of it stands in a table of its tests.

mod decide;
mod explain;
mod file;
mod plan;

pub use decide::{Ask, Asker, Candidates, Limit, Offer, Permit, Refusal, decide, offers, still_has};
pub use explain::{Condition, Explanation, Failing, explain};
pub use file::{AllowlistFile, FileFault, FileFaults};
pub use plan::{
    AccountEntry, Changed, Changes, FieldChange, GrantEntry, Plan, Reached, RoleEntry, Section, Snapshot, plan,
};
