//! The database is stopped, frozen, full or locked: 503 in time, nothing released, and all is well again without a
//! restart when the database is.

use crate::support::{
    Mount,
    database::{Cluster, Sql, TestDb, block_on, on_both},
    service::Answer,
    sts::Behaviour,
    until,
    world::World,
};
use std::{fs, path::Path, time::Duration};

on_both!(a_locked_audit_table_withholds, a_lock_between_assume_role_and_its_row_withholds);

/// The contract's ten seconds, and what a busy machine adds.
const ANSWER_LIMIT: Duration = Duration::from_secs(11);
const RECOVERY_LIMIT: Duration = Duration::from_secs(40);

#[track_caller]
fn assert_withheld(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(["audit_unavailable", "store_unavailable"].contains(&answer.code()), "{answer:?}");
    assert!(answer.took < ANSWER_LIMIT, "{answer:?}");
    let body = answer.body.to_string();
    assert!(!body.contains("fake-") && !body.contains("ASIA"), "{body}");
}

async fn assert_recovers(world: &World) {
    until("recovery", RECOVERY_LIMIT, || async {
        world.service.api.try_credentials("prod/ReadOnly", &world.alice).await.filter(|answer| answer.status == 200)
    })
    .await;
    world.plan.assert_verifies();
}

async fn lock_audit(db: &TestDb) -> Sql {
    let mut connection = db.connect().await;
    let lock =
        if db.is_postgres() { "BEGIN; LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE" } else { "BEGIN IMMEDIATE" };
    connection.execute(lock).await;
    connection
}

async fn a_locked_audit_table_withholds(db: &TestDb) {
    let world = World::start(db, &["ReadOnly"]).await;
    let mut lock = lock_audit(db).await;
    let asking = (0..5).map(|_| world.service.api.credentials("prod/ReadOnly", &world.alice));
    futures_util::future::join_all(asking).await.iter().for_each(assert_withheld);
    // Not even a refusal is told without its row.
    assert_withheld(&world.service.api.credentials("prod/Unknown", &world.alice).await);
    assert_eq!(world.sts.requests().len(), 0, "no call to AWS without an intent");
    lock.execute("ROLLBACK").await;
    assert_recovers(&world).await;
}

async fn a_lock_between_assume_role_and_its_row_withholds(db: &TestDb) {
    let world = World::start(db, &["ReadOnly", "Slow"]).await;
    world.sts.behave("Slow", Behaviour::Slow(Duration::from_secs(2)));
    let (api, alice) = (world.service.api.clone(), world.alice.clone());
    let asking = tokio::spawn(async move { api.credentials("prod/Slow", &alice).await });
    until("call to STS", ANSWER_LIMIT, || async { world.sts.requests().pop() }).await;
    let mut lock = lock_audit(db).await;
    let answer = asking.await.unwrap();
    lock.execute("ROLLBACK").await;
    assert_eq!(world.sts.minted().len(), 1);
    assert_withheld(&Answer { took: answer.took.saturating_sub(Duration::from_secs(2)), ..answer });
    assert_recovers(&world).await;
    let records = db.records().await;
    let minted = records.iter().filter(|record| record["role_arn"].as_str().is_some_and(|arn| arn.ends_with("/Slow")));
    let kinds: Vec<_> = minted.map(|record| record["kind"].as_str().unwrap()).collect();
    assert!(!kinds.contains(&"credentials.issued"), "what was withheld is not on record as released: {kinds:?}");
}

#[test]
fn a_stopped_postgres_withholds() {
    with_own_cluster(async |cluster, world| {
        cluster.stop();
        assert_withheld(&world.service.api.credentials("prod/ReadOnly", &world.alice).await);
        cluster.start_again();
    });
}

#[test]
fn a_frozen_postgres_withholds() {
    with_own_cluster(async |cluster, world| {
        cluster.signal("STOP");
        let answer = world.service.api.credentials("prod/ReadOnly", &world.alice).await;
        cluster.signal("CONT");
        assert_withheld(&answer);
    });
}

fn with_own_cluster(case: impl AsyncFnOnce(&Cluster, &World)) {
    block_on(async {
        let Some(cluster) = Cluster::start() else { return };
        let db = TestDb::postgres(&cluster.url).await;
        let world = World::start(&db, &["ReadOnly"]).await;
        assert_eq!(world.service.api.credentials("prod/ReadOnly", &world.alice).await.status, 200);
        case(&cluster, &world).await;
        assert_recovers(&world).await;
    });
}

#[test]
fn a_full_disk_withholds_with_sqlite() {
    block_on(async {
        let Some(disk) = Mount::small() else { return };
        full_disk_withholds(&TestDb::sqlite_in(disk.path()), disk.path()).await;
    });
}

#[test]
fn a_full_disk_withholds_with_postgres() {
    block_on(async {
        let (Some(disk), Some(cluster)) = (Mount::small(), Cluster::start()) else { return };
        let folder = disk.path().join("tables");
        Cluster::add_folder(&folder);
        let mut sql = Sql::connect(&cluster.url).await;
        sql.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", folder.display())).await;
        let db = TestDb::postgres(&cluster.url).await;
        let name = db.url.rsplit('/').next().unwrap();
        sql.execute(&format!("ALTER DATABASE {name} SET TABLESPACE small")).await;
        full_disk_withholds(&db, disk.path()).await;
    });
}

/// Fills what is left of the disk, and asks until the database's own reserves are used up as well.
async fn full_disk_withholds(db: &TestDb, disk: &Path) {
    let world = World::start(db, &["ReadOnly"]).await;
    let ballast = disk.join("ballast");
    let full = fs::write(&ballast, vec![0; 64 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let mut received = Vec::new();
    let withheld = loop {
        assert!(received.len() < 20_000, "the disk is never full");
        let answer = world.service.api.credentials("prod/ReadOnly", &world.alice).await;
        if answer.status != 200 {
            break answer;
        }
        received.push(answer.body["issuance_id"].clone());
    };
    assert_withheld(&withheld);
    fs::remove_file(ballast).unwrap();
    assert_recovers(&world).await;
    let records = db.records().await;
    let issued = records.iter().filter(|record| record["kind"] == "credentials.issued");
    let issued: std::collections::HashSet<_> = issued.map(|record| record["issuance_id"].to_string()).collect();
    assert!(received.iter().all(|id| issued.contains(&id.to_string())), "released without a row");
}
