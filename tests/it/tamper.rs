//! Somebody with all rights on the database changes the past: `audit verify` names the place.

use crate::support::{
    database::{Sql, TestDb, on_both},
    world::World,
};
use std::time::Duration;

on_both!(the_database_refuses_to_change_the_past, verify_names_what_was_changed_by_hand);

const ROWS: &str = "SELECT CAST(seq AS TEXT) FROM audit_events ORDER BY stream, seq";

async fn a_little_history(db: &TestDb) -> World {
    let mut world = World::start(db, &["ReadOnly"]).await;
    for _ in 0..4 {
        assert_eq!(world.service.api.credentials("prod/ReadOnly", &world.alice).await.status, 200);
    }
    // A second stream, which tells the first one's head.
    world.kill_and_start_again().await;
    assert_eq!(world.service.api.credentials("prod/ReadOnly", &world.alice).await.status, 200);
    world.service.process.signal("TERM");
    crate::support::until("end of the service", Duration::from_secs(25), async || {
        world.service.process.0.try_wait().unwrap()
    })
    .await;
    world
}

async fn the_database_refuses_to_change_the_past(db: &TestDb) {
    let _world = a_little_history(db).await;
    let mut sql = db.connect().await;
    let before = sql.texts(ROWS).await;
    let mut attempts = vec![
        "UPDATE audit_events SET record = record",
        "DELETE FROM audit_events",
        "INSERT INTO audit_events SELECT * FROM audit_events",
    ];
    if db.is_postgres() {
        attempts.extend(["TRUNCATE audit_events", "SET session_replication_role = replica; DELETE FROM audit_events"]);
    } else {
        attempts.extend([
            "INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events",
            "INSERT OR REPLACE INTO audit_events (rowid, stream, seq, record, hash, id, at, kind) \
             SELECT rowid, stream, seq + 1000, record, hash, id, at, kind FROM audit_events",
        ]);
    }
    for attempt in attempts {
        assert!(sql.try_execute(attempt).await.is_err(), "{attempt}");
    }
    assert_eq!(sql.texts(ROWS).await, before);
}

async fn verify_names_what_was_changed_by_hand(db: &TestDb) {
    let world = a_little_history(db).await;
    world.plan.assert_verifies();
    let mut sql = db.connect().await;
    drop_triggers(db, &mut sql).await;
    sql.execute("CREATE TABLE kept AS SELECT * FROM audit_events").await;
    let stream = sql.texts("SELECT CAST(stream AS TEXT) FROM audit_events ORDER BY stream, seq").await.remove(0);
    // An issuance in the middle of the first stream, and its outcome.
    let row: u32 = sql
        .texts("SELECT CAST(seq AS TEXT) FROM audit_events WHERE kind = 'credentials.requested' ORDER BY stream, seq")
        .await[1]
        .parse()
        .unwrap();
    let next = row + 1;
    let of = |seq: u32| format!("stream = '{stream}' AND seq = {seq}");
    let set = |change: &str| format!("UPDATE audit_events SET {change} WHERE {};", of(row));
    let moved = |from: u32, to: u32| format!("UPDATE audit_events SET seq = {to} WHERE {};", of(from));
    let removed = |which: &str| format!("DELETE FROM audit_events WHERE {which};");
    let hash_of_next = format!("hash = (SELECT hash FROM kept WHERE {})", of(next));
    let signatures = format!(
        "UPDATE audit_events SET signature = (SELECT signature FROM kept WHERE stream <> '{stream}' AND signature IS NOT \
         NULL ORDER BY seq LIMIT 1) WHERE stream = '{stream}' AND signature IS NOT NULL"
    );

    for (what, tampering, places) in [
        ("record", set("record = replace(record, 'alice@', 'mallory@')"), vec![row]),
        ("member", set("record = replace(record, '\"reason\":null', '\"reason\":\"x\"')"), vec![row]),
        ("principal beside it", set("principal = 'user:mallory@example.com'"), vec![row]),
        ("kind beside it", set("kind = 'credentials.denied'"), vec![row]),
        ("time beside it", set("at = at + 1"), vec![row]),
        ("hash", set(&hash_of_next), vec![row]),
        ("signatures of another stream", signatures, vec![]),
        ("removal", removed(&of(row)), vec![row, next]),
        ("swap", [moved(row, 900_000), moved(next, row), moved(900_000, next)].concat(), vec![row]),
        ("insertion", inserted(&stream, row), vec![next]),
        ("removal of the first row", removed(&of(1)), vec![1, 2]),
        ("removal of a whole stream", removed(&format!("stream = '{stream}'")), vec![]),
    ] {
        let count = sql.execute(&tampering).await;
        assert_ne!(count, 0, "{what} changed nothing");
        let verdict = world.plan.verify();
        let said = String::from_utf8([verdict.stdout, verdict.stderr].concat()).unwrap();
        assert_eq!(verdict.status.code(), Some(1), "{what}: {said}");
        assert!(said.contains(&stream), "{what}: {said}");
        let numbers = numbers(&said.replace(&stream, ""));
        assert!(
            places.is_empty() || places.iter().any(|place| numbers.contains(place)),
            "{what} at {places:?}: {said}"
        );
        sql.execute("DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM kept").await;
        world.plan.assert_verifies();
    }
}

/// A copy of a row set in behind it, and those after it moved on by one.
fn inserted(stream: &str, row: u32) -> String {
    let of_stream = format!("stream = '{stream}'");
    format!(
        "UPDATE audit_events SET seq = seq + 900000 WHERE {of_stream} AND seq > {row};
         UPDATE audit_events SET seq = seq - 899999 WHERE {of_stream} AND seq > 900000;
         DROP TABLE IF EXISTS forged;
         CREATE TABLE forged AS SELECT * FROM kept WHERE {of_stream} AND seq = {row};
         UPDATE forged SET seq = seq + 1;
         INSERT INTO audit_events SELECT * FROM forged;"
    )
}

fn numbers(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

async fn drop_triggers(db: &TestDb, sql: &mut Sql) {
    let (list, ending) = if db.is_postgres() {
        let list = "SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'audit_events'::regclass AND NOT tgisinternal";
        (list, " ON audit_events")
    } else {
        ("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_events'", "")
    };
    let triggers = sql.texts(list).await;
    assert!(!triggers.is_empty());
    for trigger in triggers {
        sql.execute(&format!("DROP TRIGGER {trigger}{ending}")).await;
    }
}
