//! Two versions of the program on one database, as in a rolling upgrade: a migration that only adds leaves the older one at
//! work, and a database that is done with the older one keeps it out.

use crate::support::{
    database::{Sql, TestDb, on_both, on_postgres},
    until,
    world::{ACCOUNT, World, allowlist},
};
use futures_util::future::join_all;
use hallpass::store::Store;
use std::time::Duration;

const TABLES: [&str; 10] = [
    "allowlist",
    "accounts",
    "roles",
    "grants",
    "blocks",
    "audit_streams",
    "audit_events",
    "pending",
    "api_tokens",
    "sessions",
];
/// The version of a program that is yet to be written.
const LATER: i64 = 900;

on_both!(
    an_older_program_works_on_beside_a_migration_that_only_adds,
    a_database_that_is_done_with_a_program_keeps_it_out,
    no_program_starts_before_its_migrations,
);

/// What a newer program's `hallpass migrate` does: a new table, and in every old one a column with a default.
async fn migrate_further(sql: &mut Sql, db: &TestDb) {
    for table in TABLES {
        sql.execute(&format!("ALTER TABLE {table} ADD COLUMN later TEXT NOT NULL DEFAULT ''")).await;
    }
    sql.execute("CREATE TABLE approvals (id TEXT NOT NULL PRIMARY KEY)").await;
    let checksum = if db.is_postgres() { "'\\x00'" } else { "x'00'" };
    sql.execute(&format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ({LATER}, 'later', true, {checksum}, 0)"
    ))
    .await;
}

async fn an_older_program_works_on_beside_a_migration_that_only_adds(db: &TestDb) {
    let mut world = World::start(db, &["ReadOnly"]).await;
    assert_issues(&world).await;
    migrate_further(&mut db.connect().await, db).await;
    assert_issues(&world).await;
    let again = allowlist(ACCOUNT, &["ReadOnly", "Deploy"]);
    world.service.api.apply(&again, &world.admin).await;
    assert_eq!(world.service.api.get("/readyz", "").await.status, 200);
    // Its replicas may still be started, or started again, with `--migrate` too.
    world.kill_and_start_again().await;
    assert_issues(&world).await;
    world.plan.assert_verifies();
}

async fn assert_issues(world: &World) {
    let answer = world.service.api.credentials("prod/ReadOnly", &world.alice).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn a_database_that_is_done_with_a_program_keeps_it_out(db: &TestDb) {
    let world = World::start(db, &["ReadOnly"]).await;
    let mut sql = db.connect().await;
    migrate_further(&mut sql, db).await;
    sql.execute(&format!("UPDATE schema_compatibility SET oldest_version = {LATER}")).await;
    // The one that runs says so, and a balancer takes it out.
    until("replica that is not ready", Duration::from_secs(10), async || {
        let ready = world.service.api.get("/readyz", "").await;
        (ready.status == 503 && ready.text("migrations") == "pending").then_some(())
    })
    .await;
    for arguments in [["serve"].as_slice(), &["serve", "--migrate"]] {
        let said = world.plan.fail(arguments);
        assert!(said.contains(&format!("works with schema version {LATER} and newer")), "{said}");
        assert!(said.contains("run a newer hallpass"), "{said}");
    }
}

async fn no_program_starts_before_its_migrations(db: &TestDb) {
    let world = World::start(db, &["ReadOnly"]).await;
    db.connect().await.execute("DELETE FROM _sqlx_migrations").await;
    let said = world.plan.fail(&["serve"]);
    assert!(said.contains("the database needs migrations [1, 2, 3, 4]: run `hallpass migrate`"), "{said}");
}

/// As the replicas of a first installation do.
#[test]
fn several_may_migrate_at_once() {
    on_postgres(async |db| {
        let mut owner = db.connect().await;
        let role = format!("service_{}", db.url.rsplit('/').next().unwrap());
        owner.execute(&format!("CREATE ROLE {role} LOGIN")).await;
        let as_service = db.url.replace("//postgres@", &format!("//{role}@"));
        for _ in 0..5 {
            let migrations = (0..6).map(async |_| Store::postgres(&as_service).unwrap().migrate(Some(&db.url)).await);
            for migration in join_all(migrations).await {
                migration.unwrap();
            }
        }
        assert_eq!(owner.texts("SELECT version::text FROM _sqlx_migrations").await, ["1", "2", "3", "4"]);
        owner.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    });
}
