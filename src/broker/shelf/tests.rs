use super::*;
use crate::{
    audit::Auth,
    model::{Account, AccountId, Conditions, Grant, GrantTarget, Origin, Role, RoleName, RolePath, SessionDuration},
    sts::{Minted, NoTurn, StsError},
};
use uuid::Uuid;

const MINUTE: u64 = 60;

fn clock() -> Clock {
    Clock::settable(Time::parse("2026-01-02T03:04:05Z").unwrap())
}

fn principal(name: &str) -> Principal {
    Principal::parse(name).unwrap()
}

fn who(name: &str) -> Who {
    Who {
        principal: principal(name),
        method: AuthMethod::Jwt,
        issuer: Some("corp".to_owned()),
        subject: Some(name.to_owned()),
        token: None,
        ends: None,
    }
}

fn grant_id(number: u128) -> GrantId {
    GrantId::new(Uuid::from_u128(number))
}

/// Somebody who is permitted so many seconds of one role through one grant at this moment.
fn entitled(clock: &Clock, name: &str, grant: u128, seconds: u64) -> Entitled {
    let permit = Permit {
        grant_id: grant_id(grant),
        via: principal(name),
        duration: SessionDuration::from_seconds(seconds).unwrap(),
        clamped_by: None,
        session_policy: None,
    };
    let role = RoleArn::parse("arn:aws:iam::111122223333:role/ReadOnly").unwrap();
    let key = Key { who: who(name), role, grant: grant_id(grant), ask: Ask::default() };
    let terms = Terms { external_id: None, source_identity: None, session_policy: None, session_tags: Tags::default() };
    Entitled { key, terms, permit, at: clock.now(), revision: 7 }
}

fn session(clock: &Clock, of: Entitled) -> Session {
    let ends = of.at.plus(of.permit.duration.as_duration());
    let credentials = Minted::nobodys(IssuanceId::new(clock.new_id()), ends).locked();
    Session::new(credentials, of, RoleRef::parse("prod/ReadOnly").unwrap())
}

fn shelf(clock: &Clock) -> Arc<Shelf> {
    Arc::new(Shelf::new(clock.clone()))
}

fn depart(shelf: &Arc<Shelf>, entitled: &Entitled) -> Departure {
    match shelf.board(entitled) {
        Boarding::Leads(departure) => *departure,
        other => panic!("{other:?}"),
    }
}

fn land(shelf: &Arc<Shelf>, clock: &Clock, of: &Entitled) -> IssuanceId {
    let session = session(clock, of.clone());
    let id = session.credentials.issuance();
    depart(shelf, of).land(Ok(session));
    id
}

#[test]
fn a_session_is_good_until_too_little_is_left_of_it() {
    use Fitness::{Due, Good, Over, Void};
    // Made for so long; so much later; permitted now, in seconds; what is to be done.
    for (made, later, now, fitness) in [
        (3600, 0, 3600, Good),
        (3600, 35 * MINUTE, 3600, Good),
        (3600, 37 * MINUTE + 31, 3600, Due),
        (3600, 40 * MINUTE, 3600, Due),
        (3600, 40 * MINUTE + 1, 3600, Over),
        (3600, 61 * MINUTE, 3600, Over),
        (43_200, 11 * 3600 + 40 * MINUTE, 43_200, Due),
        // No more than twenty minutes: the last third.
        (1200, 800, 1200, Good),
        (1200, 801, 1200, Over),
        (900, 600, 900, Good),
        (900, 601, 900, Over),
        // A little more than twenty minutes, and so for little more than nothing.
        (1260, 15, 1260, Good),
        (1260, 60, 1260, Due),
        (1260, 61, 1260, Over),
        // A grant that ends: the next would end with it.
        (2400, 10 * MINUTE, 1800, Good),
        (2400, 25 * MINUTE, 900, Good),
        (2400, 25 * MINUTE, 901, Good),
        (2400, 25 * MINUTE, 902, Good), // 15 minutes are left, more than a third
        (2400, 25 * MINUTE, 1201, Over),
        // What was made for longer than is permitted now.
        (3600, 10 * MINUTE, 3000, Good),
        (3600, 10 * MINUTE, 2999, Good), // rounded down
        (3600, 10 * MINUTE, 2998, Void),
    ] {
        let clock = clock();
        let session = session(&clock, entitled(&clock, "user:alice", 1, made));
        clock.advance(Duration::from_secs(later));
        let asked = entitled(&clock, "user:alice", 1, now);
        assert_eq!(session.fitness(&asked, false), fitness, "{made} {later} {now}");
        let fresh = if fitness == Void { Void } else { Good };
        assert_eq!(session.fitness(&asked, true), fresh, "{made} {later} {now}, just made");
    }
}

#[test]
fn renewals_are_spread_and_never_late() {
    let clock = clock();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let id = IssuanceId::new(clock.new_id());
        let ahead = early(Duration::from_hours(1), id);
        assert!((EARLY / 2..=EARLY).contains(&ahead), "{ahead:?}");
        seen.insert(ahead);
        assert!(early(Duration::from_mins(21), id) <= Duration::from_secs(30));
        assert_eq!(early(Duration::from_mins(15), id), Duration::ZERO);
    }
    assert!(seen.len() > 50, "{}", seen.len());
}

#[test]
fn whatever_a_session_is_made_under_counts() {
    let clock = clock();
    let of = entitled(&clock, "user:alice", 1, 3600);
    let session = session(&clock, of.clone());
    assert_eq!(session.fitness(&of, false), Fitness::Good);
    let changes: [fn(&mut Entitled); 13] = [
        |e| e.key.who.principal = principal("user:bob"),
        |e| e.key.who.method = AuthMethod::ApiToken,
        |e| e.key.who.issuer = None,
        |e| e.key.who.subject = Some("other".to_owned()),
        |e| e.key.who.token = Some("one".to_owned()),
        |e| e.key.who.ends = Some(e.at),
        |e| e.key.role = RoleArn::parse("arn:aws:iam::111122223333:role/x/ReadOnly").unwrap(),
        |e| e.key.grant = grant_id(2),
        |e| e.key.ask.duration = Some(SessionDuration::HOUR),
        |e| e.terms.external_id = ExternalId::parse("hp-1").ok(),
        |e| e.terms.source_identity = SourceIdentity::parse("alice").ok(),
        |e| e.terms.session_policy = SessionPolicy::parse(r#"{"Statement":[{}]}"#).ok(),
        |e| e.terms.session_tags = Tags::new([("team".to_owned(), "shop".to_owned())].into()).unwrap(),
    ];
    for (which, change) in changes.into_iter().enumerate() {
        let mut other = of.clone();
        change(&mut other);
        assert_eq!(session.fitness(&other, true), Fitness::Void, "{which}");
    }
}

#[test]
fn of_a_jwt_the_next_one_is_the_same_callers() {
    let caller = |method, token: &str| {
        let auth = Auth { method, issuer: None, subject: Some("1".to_owned()), token_id: Some(token.to_owned()) };
        Who::of_auth(principal("user:alice"), &auth, None)
    };
    assert_eq!(caller(AuthMethod::Jwt, "one"), caller(AuthMethod::Jwt, "two"));
    assert_ne!(caller(AuthMethod::ApiToken, "one"), caller(AuthMethod::ApiToken, "two"));
    assert_ne!(caller(AuthMethod::ApiToken, "one"), caller(AuthMethod::Jwt, "one"));
}

#[tokio::test]
async fn one_leads_and_all_others_join() {
    let (clock, alice) = (clock(), |clock: &Clock| entitled(clock, "user:alice", 1, 3600));
    let shelf = shelf(&clock);
    let departure = depart(&shelf, &alice(&clock));
    let Boarding::Joins(one) = shelf.board(&alice(&clock)) else { panic!("no flight") };
    let Boarding::Joins(other) = shelf.board(&alice(&clock)) else { panic!("no flight") };
    assert!(matches!(shelf.board(&entitled(&clock, "user:bob", 1, 3600)), Boarding::Leads(_)), "another's");
    let made = session(&clock, alice(&clock));
    let id = made.credentials.issuance();
    departure.land(Ok(made));
    assert_eq!(one.landed().await.unwrap().credentials.issuance(), id);
    let Boarding::Found(found) = shelf.board(&alice(&clock)) else { panic!("not kept") };
    assert_eq!(found.credentials.issuance(), id);
    assert_eq!(other.landed().await.unwrap().credentials.issuance(), id, "and who looks late");
    assert!(shelf.flights().is_empty());
}

#[tokio::test]
async fn who_breaks_off_wakes_all_who_wait() {
    let clock = clock();
    let (shelf, alice) = (shelf(&clock), entitled(&clock, "user:alice", 1, 3600));
    let departure = depart(&shelf, &alice);
    let Boarding::Joins(flight) = shelf.board(&alice) else { panic!("no flight") };
    let panicked = tokio::spawn(async move {
        let _departure = departure;
        std::panic::resume_unwind(Box::new("in the middle"))
    });
    assert!(matches!(*flight.landed().await.unwrap_err(), IssueError::Broken));
    assert!(panicked.await.unwrap_err().is_panic());
    assert!(matches!(shelf.board(&alice), Boarding::Failed(_)), "and not at once again");
    clock.advance(FAILURE_KEPT);
    assert!(matches!(shelf.board(&entitled(&clock, "user:alice", 1, 3600)), Boarding::Leads(_)));
}

#[test]
fn a_failure_is_remembered_for_as_long_as_its_kind_lasts() {
    let sts = |problem| IssueError::Sts(StsError { problem, request_id: None, attempts: 1, aws_words: None });
    for (error, seconds) in [
        (sts(StsProblem::Throttled), 2),
        (sts(StsProblem::Unavailable("silent")), 2),
        (sts(StsProblem::Refused(Vec::new())), 5),
        (sts(StsProblem::PolicyTooLarge), 5),
        (IssueError::NoTurn(NoTurn::Budget), 2),
        (IssueError::Broken, 2),
        (IssueError::AuditUnavailable, 0),
        (IssueError::Stale(8), 0),
    ] {
        let clock = clock();
        let (shelf, now) = (shelf(&clock), |clock: &Clock| entitled(clock, "user:alice", 1, 3600));
        let said = error.to_string();
        depart(&shelf, &now(&clock)).land(Err(Arc::new(error)));
        let failed = || matches!(shelf.board(&now(&clock)), Boarding::Failed(_));
        assert_eq!(failed(), seconds > 0, "{said}");
        // Mended in the allowlist: asked for at once.
        let mut mended = now(&clock);
        mended.terms.external_id = ExternalId::parse("hp-1").ok();
        assert!(matches!(shelf.board(&mended), Boarding::Leads(_)), "{said}");
        clock.advance(Duration::from_secs(seconds));
        assert!(!failed(), "{said}");
    }
}

#[test]
fn what_is_void_is_dropped_at_once() {
    let clock = clock();
    let shelf = shelf(&clock);
    let alice = entitled(&clock, "user:alice", 1, 3600);
    land(&shelf, &clock, &alice);
    let secret = Arc::downgrade(&shelf.session(&alice.key).unwrap());
    let mut mistaken = alice.clone();
    mistaken.terms.external_id = ExternalId::parse("hp-1").ok();
    mistaken.revision = 6;
    assert!(shelf.find(&mistaken).is_none());
    assert!(shelf.find(&alice).is_some(), "who knows less than the session rests on takes nothing away");
    mistaken.revision = 8;
    assert!(shelf.find(&mistaken).is_none());
    assert!(secret.upgrade().is_none(), "nothing holds it any more");
}

#[test]
fn a_refusal_drops_what_its_grounds_no_longer_bear() {
    let clock = clock();
    let shelf = shelf(&clock);
    let role = RoleRef::parse("prod/ReadOnly").unwrap();
    let asker = |name: &str| Asker {
        principal: principal(name),
        groups: vec![],
        address: None,
        session_ends: None,
        bound_to: None,
    };
    let issued = |name: &str, grant| {
        let of = entitled(&clock, name, grant, 3600);
        land(&shelf, &clock, &of);
        of.key
    };
    let [first, second, bobs] = [issued("user:alice", 1), issued("user:alice", 2), issued("user:bob", 2)];
    let mut candidates = candidates(&["user:alice"], 2);
    shelf.drop_void(&who("user:alice"), &asker("user:alice"), &role, &candidates);
    let there = |key: &Key| shelf.session(key).is_some();
    assert_eq!([there(&first), there(&second), there(&bobs)], [false, true, true], "its grant is gone");
    // A role that is not there any more, by the name it was asked for.
    candidates.role = None;
    let other = RoleRef::parse("prod/Other").unwrap();
    shelf.drop_void(&who("user:alice"), &asker("user:alice"), &other, &candidates);
    assert!(there(&second));
    shelf.drop_void(&who("user:alice"), &asker("user:alice"), &role, &candidates);
    assert_eq!([there(&second), there(&bobs)], [false, true]);
}

fn candidates(principals: &[&str], grant: u128) -> Candidates {
    let account_id = AccountId::parse("111122223333").unwrap();
    let account = Account { id: account_id.clone(), alias: None, name: None, external_id: None, tags: Tags::default() };
    let role = Role {
        account_id: account_id.clone(),
        name: RoleName::parse("ReadOnly").unwrap(),
        path: RolePath::default(),
        description: None,
        max_duration: SessionDuration::HOUR,
        source_identity: true,
        session_tags: Tags::default(),
    };
    let grants = principals.iter().map(|name| Grant {
        id: grant_id(grant),
        origin: Origin::File,
        principal: principal(name),
        target: GrantTarget::Account(account_id.clone()),
        conditions: Conditions::default(),
        reason: None,
        created_by: principal("user:admin"),
        created_at: Time::from_seconds(0).unwrap(),
    });
    Candidates { revision: 9, grants: grants.collect(), role: Some((account, role)), blocks: Vec::new() }
}

#[test]
fn memory_is_bounded_for_each_caller_and_in_all() {
    let clock = clock();
    let shelf = Arc::new(Shelf::with_room(clock.clone(), 1000));
    let first = entitled(&clock, "user:alice", 0, 3600);
    for grant in 0..200 {
        land(&shelf, &clock, &entitled(&clock, "user:alice", grant, 3600));
    }
    assert_eq!(shelf.sessions.get(&who("user:alice")).unwrap().len(), SESSIONS_OF_A_CALLER);
    assert!(shelf.session(&first.key).is_none(), "the oldest goes first");
    for caller in 0..3000 {
        land(&shelf, &clock, &entitled(&clock, &format!("user:caller-{caller}"), 0, 3600));
    }
    assert!(shelf.sessions.weight() <= 1000 && shelf.sessions.weight() > 500, "{}", shelf.sessions.weight());
    // What is over makes room for what is made.
    let bob = entitled(&clock, "user:bob", 0, 3600);
    land(&shelf, &clock, &bob);
    clock.advance(Duration::from_hours(1));
    land(&shelf, &clock, &entitled(&clock, "user:bob", 1, 3600));
    assert!(shelf.session(&bob.key).is_none());
}

#[test]
fn a_refusal_is_good_for_the_same_question_for_five_seconds() {
    let clock = clock();
    let shelf = shelf(&clock);
    let asker =
        Asker { principal: principal("user:alice"), groups: vec![], address: None, session_ends: None, bound_to: None };
    let question = |change: fn(&mut Asker, &mut Who, &mut Ask)| {
        let (mut asker, mut who, mut ask) = (asker.clone(), who("user:alice"), Ask::default());
        change(&mut asker, &mut who, &mut ask);
        Asked::new(who, &asker, RoleRef::parse("prod/ReadOnly").unwrap(), ask)
    };
    let same = || question(|_, _, _| {});
    let grounds = Arc::new(Kept { groups: Vec::new(), candidates: Candidates::default() });
    shelf.keep_refusal(same(), grounds, Refusal::NotAllowed(Vec::new()));
    assert!(shelf.find_refusal(&same()).is_some());
    for other in [
        question(|asker, _, _| asker.groups = vec![Principal::parse("group:developers").unwrap()]),
        question(|asker, _, _| asker.address = "10.0.0.1".parse().ok()),
        question(|_, who, _| who.subject = None),
        question(|_, _, ask| ask.duration = Some(SessionDuration::HOUR)),
    ] {
        assert!(shelf.find_refusal(&other).is_none(), "{other:?}");
    }
    clock.advance(REFUSAL_KEPT.saturating_sub(Duration::from_micros(1)));
    assert!(shelf.find_refusal(&same()).is_some());
    clock.advance(Duration::from_micros(1));
    assert!(shelf.find_refusal(&same()).is_none());
    assert!(shelf.refusals.is_empty());
}
