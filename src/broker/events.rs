//! What the broker puts on record, step by step.

use super::{
    IssueError, Request,
    shelf::{Entitled, Session},
};
use crate::{
    allowlist::{Candidates, Limit, Permit, Refusal},
    audit::{Actor, Event, Kind},
    clock::Clock,
    model::{
        AccountRef, IssuanceId, Partition, RoleArn, RoleRef, SessionDuration, SessionName, SessionPolicy,
        SourceIdentity, Tags,
    },
    sts::{Facts, MintedLink, NoTurn},
};

/// One issuance, all that is known before the call.
#[derive(Debug)]
pub(super) struct Issuance<'a> {
    pub(super) id: IssuanceId,
    pub(super) role: RoleArn,
    pub(super) session_name: SessionName,
    pub(super) source_identity: Option<SourceIdentity>,
    pub(super) session_tags: &'a Tags,
    pub(super) revision: u64,
    pub(super) permit: Permit,
}

fn begun(clock: &Clock, kind: Kind, actor: &Actor, request: &Request) -> Event {
    let mut event = actor.event(kind, clock.new_id(), clock.now());
    event.purpose = Some(request.purpose);
    event.reason.clone_from(&request.ask.reason);
    event
}

/// The allowlist said no. The requested reference stands in the detail: there may be no such role.
pub(super) fn denied(
    clock: &Clock,
    actor: &Actor,
    request: &Request,
    candidates: &Candidates,
    refusal: &Refusal,
    partition: &Partition,
) -> Event {
    let mut event = begun(clock, Kind::CredentialsDenied, actor, request);
    // What they said themselves, or have a grant for: callers read their own events, and must not learn there whether
    // a role exists.
    match (&request.role, &candidates.role) {
        (_, Some((account, role))) if !candidates.grants.is_empty() => {
            (event.account_id, event.role_arn) = (Some(account.id.clone()), Some(role.arn(partition)));
        }
        (RoleRef::Arn(arn), _) => {
            (event.account_id, event.role_arn) = (Some(arn.account.clone()), Some(arn.clone()));
        }
        (RoleRef::Named(AccountRef::Id(account), _), _) => event.account_id = Some(account.clone()),
        (RoleRef::Named(AccountRef::Alias(_), _), _) => {}
    }
    event.allowlist_revision = Some(candidates.revision);
    event.duration_seconds = request.ask.duration.map(SessionDuration::seconds);
    event.session_policy_sha256 = request.ask.session_policy.as_ref().map(SessionPolicy::sha256_hex);
    event.grant_id.clone_from(&request.ask.grant_id);
    event.set_requested_role(&request.role);
    match refusal {
        Refusal::NotAllowed(reasons) => {
            event.code = Some("not_allowed");
            event.reasons = reasons.iter().map(|reason| serde_json::json!(reason)).collect();
        }
        Refusal::DurationTooLong { limit, .. } => {
            event.code = Some("duration_too_long");
            event.clamped_by = Some(limit.as_str());
        }
        Refusal::ReasonRequired { grant_id } => {
            event.code = Some("reason_required");
            event.grant_id = Some(grant_id.clone());
        }
        Refusal::SessionPolicyFixed { grant_id } => {
            event.code = Some("session_policy_fixed");
            event.grant_id = Some(grant_id.clone());
        }
    }
    event
}

/// The intent: everything a revocation would need, even after a crash.
pub(super) fn requested(clock: &Clock, actor: &Actor, request: &Request, issuance: &Issuance<'_>) -> Event {
    let mut event = begun(clock, Kind::CredentialsRequested, actor, request);
    let permit = &issuance.permit;
    event.account_id = Some(issuance.role.account.clone());
    event.role_arn = Some(issuance.role.clone());
    event.issuance_id = Some(issuance.id);
    event.session_name = Some(issuance.session_name.clone());
    event.source_identity.clone_from(&issuance.source_identity);
    event.session_tags = issuance.session_tags.clone();
    event.grant_id = Some(permit.grant_id.clone());
    event.via = Some(permit.via.clone());
    event.allowlist_revision = Some(issuance.revision);
    event.duration_seconds = Some(permit.duration.seconds());
    event.clamped_by = permit.clamped_by.map(Limit::as_str);
    event.session_policy_sha256 = permit.session_policy.as_ref().map(SessionPolicy::sha256_hex);
    event
}

/// The credentials are released with this row.
pub(super) fn issued(clock: &Clock, requested: Event, facts: &Facts) -> Event {
    let mut event = follows(clock, Kind::CredentialsIssued, requested);
    event.expires_at = Some(facts.expires_at);
    event.access_key_id = Some(facts.access_key_id.clone());
    event.assumed_role_id = Some(facts.assumed_role_id.clone());
    event.sts_request_id.clone_from(&facts.request_id);
    event.attempts = Some(facts.attempts);
    event
}

/// A console link is released with this row: until when a session can last that is begun with it.
pub(super) fn link_issued(clock: &Clock, requested: Event, link: &MintedLink) -> Event {
    let mut event = issued(clock, requested, link.facts());
    event.kind = Kind::ConsoleIssued;
    event.expires_at = Some(link.expires_at());
    event
}

/// The session was minted, and no link could be had for it. What is known of the session stays known.
pub(super) fn link_failed(clock: &Clock, requested: Event, facts: &Facts, failure: &IssueError) -> Event {
    let known = issued(clock, requested, facts);
    let mut event = failed(clock, known, failure);
    event.detail.insert("problem".to_owned(), failure.to_string().into());
    event
}

/// The call brought nothing that could be released.
pub(super) fn failed(clock: &Clock, requested: Event, failure: &IssueError) -> Event {
    let mut event = follows(clock, Kind::CredentialsFailed, requested);
    event.code = Some(failure.code());
    if let Some(error) = failure.sts() {
        event.sts_request_id.clone_from(&error.request_id);
        event.attempts = Some(error.attempts);
        event.detail.insert("problem".to_owned(), error.problem.to_string().into());
    }
    event
}

/// STS was not asked. There is no intent and no session, so nothing here names one.
pub(super) fn held_back(clock: &Clock, requested: Event, reason: NoTurn) -> Event {
    let mut event = follows(clock, Kind::CredentialsFailed, requested);
    event.code = Some(IssueError::NoTurn(reason).code());
    event.attempts = Some(0);
    event.detail.insert("problem".to_owned(), reason.to_string().into());
    (event.issuance_id, event.session_name, event.source_identity) = (None, None, None);
    event
}

/// Credentials of an issuance before go out once more: this hand-out's asker, decision and request, that issuance's session.
pub(super) fn shared(clock: &Clock, actor: &Actor, request: &Request, entitled: &Entitled, session: &Session) -> Event {
    let mut event = entitled_to(clock, Kind::CredentialsShared, actor, request, entitled);
    let (facts, issuance) = (session.credentials.facts(), session.credentials.issuance());
    (event.issuance_id, event.shared_from) = (Some(issuance), Some(issuance));
    event.session_name = Some(session.name.clone());
    event.duration_seconds = Some(session.of.permit.duration.seconds());
    event.clamped_by = session.of.permit.clamped_by.map(Limit::as_str);
    event.expires_at = Some(facts.expires_at);
    event.access_key_id = Some(facts.access_key_id.clone());
    event.assumed_role_id = Some(facts.assumed_role_id.clone());
    event.sts_request_id.clone_from(&facts.request_id);
    event
}

/// STS was not asked for this one: it had failed another a moment before, or while this one waited.
pub(super) fn failed_along(
    clock: &Clock,
    actor: &Actor,
    request: &Request,
    entitled: &Entitled,
    failure: &IssueError,
) -> Event {
    let mut event = entitled_to(clock, Kind::CredentialsFailed, actor, request, entitled);
    event.source_identity = None;
    event.code = Some(failure.code());
    event.attempts = Some(0);
    event.detail.insert("problem".to_owned(), failure.to_string().into());
    event
}

fn entitled_to(clock: &Clock, kind: Kind, actor: &Actor, request: &Request, entitled: &Entitled) -> Event {
    let Entitled { key, terms, permit, revision, .. } = entitled;
    let mut event = begun(clock, kind, actor, request);
    event.account_id = Some(key.role.account.clone());
    event.role_arn = Some(key.role.clone());
    event.source_identity.clone_from(&terms.source_identity);
    event.session_tags = terms.session_tags.clone();
    event.grant_id = Some(permit.grant_id.clone());
    event.via = Some(permit.via.clone());
    event.allowlist_revision = Some(*revision);
    event.duration_seconds = Some(permit.duration.seconds());
    event.clamped_by = permit.clamped_by.map(Limit::as_str);
    event.session_policy_sha256 = permit.session_policy.as_ref().map(SessionPolicy::sha256_hex);
    event
}

fn follows(clock: &Clock, kind: Kind, requested: Event) -> Event {
    Event { kind, id: clock.new_id(), at: clock.now(), ..requested }
}
