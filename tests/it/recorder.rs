//! The audit's writer by itself: one commit for all who wait, a full queue, an event that the database refuses, and
//! outcomes that come too late.

use crate::support::{
    database::{TestDb, on_both, on_postgres},
    until,
};
use futures_util::{TryStreamExt, future::join_all};
use hallpass::{
    audit::{Event, Hash, Kind, SigningKey, Verifier},
    clock::Clock,
    evidence::{self, Evidence},
    metrics::Metrics,
    model::{IssuanceId, Principal, Time},
    recorder::{RecordError, Recorder, Run},
    store::{EventFilter, Store},
};
use std::{sync::Arc, time::Duration};

on_both!(
    all_who_wait_share_a_commit,
    one_refused_event_takes_no_other_with_it,
    a_full_queue_refuses_at_once,
    an_outcome_after_the_unknown_releases_nothing,
    an_intent_on_an_old_decision_is_stale,
    a_stream_ends_with_the_day,
    an_export_verifies_while_others_write,
);

/// A server that stalls in the middle of a commit: it is given up, others are tried in its place, and then it lands.
#[test]
fn a_commit_that_lands_after_it_was_given_up_stops_nobody_and_is_corrected() {
    on_postgres(async |db| {
        let bench = Bench::new(db).await;
        let recorder = bench.recorder();
        // Longer than a statement may take, and than the recorder waits for a commit.
        db.connect()
            .await
            .execute(
                "CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    BEGIN PERFORM pg_sleep(9); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(4); END;
                    RETURN NULL; END $$;
                 CREATE TRIGGER stall AFTER INSERT ON audit_events FOR EACH ROW WHEN (NEW.kind = 'credentials.issued')
                 EXECUTE FUNCTION stall()",
            )
            .await;
        let id = IssuanceId::new(bench.clock.new_id());
        let intent = recorder.intend(bench.event(Kind::CredentialsRequested, "user:alice"), id, 0).await.unwrap();
        let issued = bench.event(Kind::CredentialsIssued, "user:alice");
        let released = recorder.conclude(issued.clone(), intent).await;
        assert!(matches!(released, Err(RecordError::Unavailable)), "{released:?}");
        until("a commit after that", Duration::from_secs(30), async || {
            recorder.record(bench.event(Kind::AuditRead, "user:olga")).await.ok()
        })
        .await;
        assert!(recorder.is_healthy());
        recorder.close().await;
        let records = db.records().await;
        let corrections: Vec<_> = records.iter().filter(|r| r["detail"]["corrects"] == issued.id.to_string()).collect();
        assert_eq!(corrections.len(), 1, "{records:?}");
        assert_eq!(corrections[0]["kind"], "credentials.failed");
        bench.assert_verifies().await;
    });
}

#[test]
fn a_connection_that_died_at_rest_costs_nobody_anything() {
    on_postgres(async |db| {
        let bench = Bench::new(db).await;
        let recorder = bench.recorder();
        let record = async || recorder.record(bench.event(Kind::AuditRead, "user:olga")).await;
        record().await.unwrap();
        record().await.unwrap();
        let mut sql = db.connect().await;
        sql.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE application_name = 'hallpass' AND datname = current_database()",
        )
        .await;
        // Not asked what it rests from within a tenth of a second: that is the price of one trip.
        tokio::time::sleep(Duration::from_millis(150)).await;
        record().await.unwrap();
    });
}

struct Bench {
    store: Store,
    key: Arc<SigningKey>,
    clock: Clock,
}

impl Bench {
    async fn new(db: &TestDb) -> Self {
        let store = match db.url.strip_prefix("sqlite:") {
            Some(file) => Store::sqlite(file.as_ref()),
            None => Store::postgres(&db.url).unwrap(),
        };
        store.migrate(None).await.unwrap();
        let clock = Clock::settable(Time::parse("2026-03-01T12:00:00Z").unwrap());
        Self { store, key: Arc::new(SigningKey::generate().0), clock }
    }

    /// A run of the service, as far as the audit goes.
    fn recorder(&self) -> Recorder {
        let none = Hash::from([0; 32]);
        let run = Run { version: "test", admins_sha256: none, issuers_sha256: none };
        Recorder::start(self.store.clone(), self.key.clone(), self.clock.clone(), run, Metrics::new(&self.clock, [])).0
    }

    fn event(&self, kind: Kind, who: &str) -> Event {
        let mut event = Event::new(kind, self.clock.new_id(), self.clock.now());
        event.principal = Some(Principal::parse(who).unwrap());
        event
    }

    async fn assert_verifies(&self) {
        let report = evidence::verify(&self.store, vec![self.key.public()], &[], |_| {}).await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

async fn kinds(db: &TestDb) -> Vec<String> {
    db.records().await.iter().map(|record| record["kind"].as_str().unwrap().to_owned()).collect()
}

async fn all_who_wait_share_a_commit(db: &TestDb) {
    let bench = Bench::new(db).await;
    let recorder = bench.recorder();
    let all = join_all((0..500).map(|_| recorder.record(bench.event(Kind::AuditRead, "user:a")))).await;
    assert!(all.iter().all(Result::is_ok));
    let signed = db.connect().await.texts("SELECT id FROM audit_events WHERE signature IS NOT NULL").await.len();
    assert!((1..=20).contains(&signed), "{signed} commits for 500 events");
    bench.assert_verifies().await;
}

async fn one_refused_event_takes_no_other_with_it(db: &TestDb) {
    let bench = Bench::new(db).await;
    let refuse = if db.is_postgres() {
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poison'; END $$;
         CREATE TRIGGER poison BEFORE INSERT ON audit_events FOR EACH ROW WHEN (NEW.principal = 'user:poison')
         EXECUTE FUNCTION poison()"
    } else {
        "CREATE TRIGGER poison BEFORE INSERT ON audit_events WHEN NEW.principal = 'user:poison'
         BEGIN SELECT RAISE(ABORT, 'poison'); END"
    };
    db.connect().await.execute(refuse).await;
    let recorder = bench.recorder();
    let who = |i| if i == 7 { "user:poison" } else { "user:a" };
    let all = join_all((0..20).map(|i| recorder.record(bench.event(Kind::AuditRead, who(i))))).await;
    let refused: Vec<_> = all.iter().enumerate().filter(|(_, result)| result.is_err()).map(|(i, _)| i).collect();
    assert_eq!(refused, [7]);
    assert_eq!(kinds(db).await.iter().filter(|kind| *kind == "audit.read").count(), 19);
    bench.assert_verifies().await;
}

async fn a_full_queue_refuses_at_once(db: &TestDb) {
    let bench = Bench::new(db).await;
    let recorder = bench.recorder();
    recorder.open().await.unwrap();
    let mut lock = db.connect().await;
    let hold = if db.is_postgres() { "BEGIN; LOCK TABLE audit_events" } else { "BEGIN IMMEDIATE" };
    lock.execute(hold).await;
    let began = std::time::Instant::now();
    let all = join_all((0..3000).map(|_| async {
        let result = recorder.record(bench.event(Kind::AuditRead, "user:a")).await;
        (result.is_err(), began.elapsed())
    }))
    .await;
    let at_once = all.iter().filter(|(failed, after)| *failed && *after < Duration::from_millis(500)).count();
    assert!(at_once >= 1500, "only {at_once} of 3000 were refused at once");
    assert!(all.iter().all(|(failed, after)| *failed && *after < Duration::from_secs(9)), "somebody waited too long");
    lock.execute("ROLLBACK").await;
    recorder.record(bench.event(Kind::AuditRead, "user:a")).await.expect("recovery without a restart");
    bench.assert_verifies().await;
}

async fn an_outcome_after_the_unknown_releases_nothing(db: &TestDb) {
    let bench = Bench::new(db).await;
    let (one, other) = (bench.recorder(), bench.recorder());
    let id = IssuanceId::new(bench.clock.new_id());
    let mut requested = bench.event(Kind::CredentialsRequested, "user:a");
    requested.issuance_id = Some(id);
    let intent = one.intend(requested.clone(), id, 0).await.unwrap();
    other.housekeep().await;
    assert!(!kinds(db).await.contains(&"credentials.unknown".to_owned()), "given up too soon");
    bench.clock.advance(Duration::from_secs(121));
    other.housekeep().await;
    one.housekeep().await;
    let issued = Event { kind: Kind::CredentialsIssued, ..requested };
    assert!(matches!(one.conclude(issued, intent).await, Err(RecordError::Late)));
    let records = db.records().await;
    let about: Vec<_> = records.iter().filter(|record| record["issuance_id"] == id.to_string()).collect();
    let mut about: Vec<_> =
        about.iter().map(|record| (&record["kind"], &record["detail"])).map(|(k, d)| format!("{k} {d}")).collect();
    about.sort();
    assert_eq!(
        about,
        [r#""credentials.failed" {"late":true}"#, r#""credentials.requested" {}"#, r#""credentials.unknown" {}"#]
    );
    bench.assert_verifies().await;
}

async fn an_intent_on_an_old_decision_is_stale(db: &TestDb) {
    let bench = Bench::new(db).await;
    let recorder = bench.recorder();
    db.connect().await.execute("UPDATE allowlist SET revision = 5").await;
    let ids: Vec<_> = (0..2).map(|_| IssuanceId::new(bench.clock.new_id())).collect();
    let event = || bench.event(Kind::CredentialsRequested, "user:a");
    let (old, new) = tokio::join!(recorder.intend(event(), ids[0], 4), recorder.intend(event(), ids[1], 5));
    assert!(matches!(old, Err(RecordError::Stale(5))), "{old:?}");
    assert_eq!(new.unwrap().issuance(), ids[1]);
    assert_eq!(kinds(db).await, ["stream.opened", "credentials.requested"]);
}

async fn a_stream_ends_with_the_day(db: &TestDb) {
    let bench = Bench::new(db).await;
    let recorder = bench.recorder();
    for hours in [0, 11, 1, 24] {
        bench.clock.advance(Duration::from_hours(hours));
        recorder.record(bench.event(Kind::AuditRead, "user:a")).await.unwrap();
    }
    recorder.close().await;
    let day = ["stream.opened", "audit.read", "audit.read", "stream.closed"].map(str::to_owned).to_vec();
    let short = ["stream.opened", "audit.read", "stream.closed"].map(str::to_owned).to_vec();
    assert_eq!(kinds(db).await, [day, short.clone(), short].concat());
    let heads: Vec<_> =
        db.records().await.iter().filter_map(|r| Some(r["detail"]["heads"].as_array()?.len())).collect();
    assert_eq!(heads, [0, 1, 2], "each stream lists what was closed since the last list, and at its very moment");
    bench.assert_verifies().await;
}

async fn an_export_verifies_while_others_write(db: &TestDb) {
    let bench = Bench::new(db).await;
    let (one, other) = (bench.recorder(), bench.recorder());
    let write = async |recorder: &Recorder| {
        // Dated before the stream that it is written to: the order of time is not the order of a stream.
        let event = bench.event(Kind::AuditRead, "user:a");
        bench.clock.advance(Duration::from_secs(61));
        recorder.record(event).await.unwrap();
        recorder.housekeep().await;
    };
    for _ in 0..3 {
        write(&one).await;
        write(&other).await;
    }
    let evidence = Evidence::new(bench.store.clone(), one.clone(), bench.clock.clone());
    let mut rows = evidence.export(EventFilter::default());
    let mut verifier = Verifier::new(vec![bench.key.public()], &[]);
    let mut places = Vec::new();
    while let Some(row) = rows.try_next().await.unwrap() {
        verifier.row(&row, None);
        places.push((row.stream, row.seq, row.hash));
        write(&one).await;
        write(&other).await;
    }
    for (stream, seq) in verifier.asked() {
        let hash = places.iter().find(|place| (place.0, place.1) == (stream, seq)).map(|place| place.2);
        verifier.answer(stream, seq, hash);
    }
    let report = verifier.finish();
    assert!(report.is_clean() && report.streams == 2, "{report}");
}
