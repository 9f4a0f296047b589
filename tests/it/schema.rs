//! What the databases themselves hold to: both have one schema, and the audit only grows.

use crate::support::{
    app::{
        ALLOWLIST,
        Persona::{Admin, Alice},
        TestApp, migrate, rows,
    },
    database::{TestDb, on_postgres, on_sqlite},
    until,
};
use hallpass::store::Store;
use reqwest::Method;
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

#[test]
fn both_databases_have_the_same_tables_columns_and_indexes() {
    const SQLITE: [&str; 2] = [
        "SELECT m.name || '.' || c.name || CASE WHEN c.\"notnull\" THEN '' ELSE ' or null' END
         FROM sqlite_schema m, pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name <> '_sqlx_migrations' ORDER BY 1",
        "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1",
    ];
    const POSTGRES: [&str; 2] = [
        "SELECT (table_name || '.' || column_name || CASE is_nullable WHEN 'NO' THEN '' ELSE ' or null' END)::text
         FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' ORDER BY 1",
        "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE c.relnamespace = 'public'::regnamespace
         AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = i.indexrelid) ORDER BY 1",
    ];
    let mut of_sqlite = Vec::new();
    on_sqlite(async |db| {
        migrate(db).await;
        for query in SQLITE {
            of_sqlite.push(db.connect().await.texts(query).await);
        }
    });
    assert!(of_sqlite[0].contains(&"audit_events.record".to_owned()) && of_sqlite[1].len() > 5, "{of_sqlite:?}");
    on_postgres(async |db| {
        migrate(db).await;
        for (query, of_sqlite) in POSTGRES.iter().zip(&of_sqlite) {
            let mut of_postgres = db.connect().await.texts(query).await;
            of_postgres.sort();
            assert_eq!(&of_postgres, of_sqlite);
        }
    });
}

#[test]
fn with_an_owner_the_service_can_only_add_to_the_audit() {
    on_postgres(async |db| {
        let mut owner = db.connect().await;
        let role = format!("service_{}", db.url.rsplit('/').next().unwrap());
        owner.execute(&format!("CREATE ROLE {role} LOGIN")).await;
        let as_service = db.url.replace("//postgres@", &format!("//{role}@"));
        let migrated = Store::postgres(&as_service).unwrap().migrate(Some(&db.url)).await.unwrap();
        assert_eq!(migrated.0, [1, 2, 3, 4]);

        let service = TestDb::at(&as_service);
        let test = TestApp::start_migrated(&service).await;
        test.apply(ALLOWLIST).await;
        assert_eq!(test.credentials(Alice, &json!({"role": "prod/ReadOnly"})).await.status, 200);
        let block = test.post("/v1/blocks", Admin, &json!({"role": "prod/ReadOnly", "reason": "x"})).await;
        assert_eq!(test.delete(&format!("/v1/blocks/{}", block.member("id")), Admin).await.status, 204);
        let token = test.post("/v1/tokens", Admin, &json!({"name": "laptop"})).await;
        let used = async || test.get("/v1/tokens", Admin).await.body()["tokens"][0]["last_used_at"].as_str().map(drop);
        assert_eq!(test.request_with(Method::GET, "/v1/whoami", &token.member("token")).send().await.status, 200);
        until("noted use", Duration::from_secs(10), used).await;
        assert_eq!(test.delete(&format!("/v1/tokens/{}", token.member("id")), Admin).await.status, 204);
        test.close().await;

        let mut sql = service.connect().await;
        let count = sql.texts("SELECT record FROM audit_events").await.len();
        assert!(count > 5);
        for attempt in [
            "UPDATE audit_events SET at = 0",
            "DELETE FROM audit_events",
            "TRUNCATE audit_events",
            "DROP TABLE audit_events",
            "ALTER TABLE audit_events DISABLE TRIGGER ALL",
            "DROP TRIGGER audit_events_no_change ON audit_events",
            "SET session_replication_role = replica",
            "INSERT INTO audit_events SELECT * FROM audit_events ON CONFLICT (stream, seq) DO UPDATE SET at = 0",
            "CREATE TABLE mine (x INTEGER)",
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
            "DELETE FROM audit_streams",
            "DELETE FROM api_tokens",
            "UPDATE schema_compatibility SET oldest_version = 9",
            "UPDATE _sqlx_migrations SET success = false",
        ] {
            let refused = sql.try_execute(attempt).await.expect_err(attempt).to_string();
            assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{attempt}: {refused}");
        }
        assert_eq!(sql.texts("SELECT record FROM audit_events").await.len(), count);
        drop(sql);
        owner.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    });
}

#[test]
fn a_new_sqlite_file_is_its_owners_alone() {
    on_sqlite(async |db| {
        let file = Path::new(db.url.strip_prefix("sqlite:").unwrap());
        let store = Store::sqlite(file);
        // Whoever asks first, `serve` or `migrate`, asks this.
        store.find_pending().await.unwrap();
        store.migrate(None).await.unwrap();
        for name in ["hallpass.db", "hallpass.db-wal", "hallpass.db-shm"] {
            let mode = fs::metadata(file.with_file_name(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    });
}

#[test]
fn an_owner_is_refused_too() {
    for case in [on_sqlite as fn(_), on_postgres] {
        case(the_audit_only_grows);
    }
}

async fn the_audit_only_grows(db: &TestDb) {
    let test = TestApp::start(db).await;
    test.close().await;
    let mut sql = db.connect().await;
    let before = rows(&mut sql, db, "audit_events").await;
    assert!(before.len() >= 3, "{before:?}");
    let mut attempts = vec![
        "UPDATE audit_events SET at = at",
        "DELETE FROM audit_events WHERE seq = 1",
        "INSERT INTO audit_events SELECT * FROM audit_events",
        "INSERT INTO audit_events SELECT * FROM audit_events WHERE true ON CONFLICT (stream, seq) DO UPDATE SET at = 0",
    ];
    if db.is_postgres() {
        attempts.extend([
            "TRUNCATE audit_events",
            "TRUNCATE audit_events, audit_streams CASCADE",
            "SET session_replication_role = replica; UPDATE audit_events SET at = 0",
            "SET session_replication_role = replica; DELETE FROM audit_events",
            "SET session_replication_role = replica; TRUNCATE audit_events",
            "SET session_replication_role = replica; INSERT INTO audit_events SELECT * FROM audit_events \
             ON CONFLICT (stream, seq) DO UPDATE SET at = 0",
            "MERGE INTO audit_events e USING audit_events s ON e.stream = s.stream AND e.seq = s.seq \
             WHEN MATCHED THEN DELETE",
        ]);
    } else {
        attempts.extend([
            "REPLACE INTO audit_events SELECT * FROM audit_events",
            "INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events",
            "UPDATE OR REPLACE audit_events SET seq = 1",
            "UPDATE OR IGNORE audit_events SET at = 0",
            "PRAGMA recursive_triggers = OFF; REPLACE INTO audit_events SELECT * FROM audit_events",
        ]);
    }
    for attempt in attempts {
        let refused = sql.try_execute(attempt).await.expect_err(attempt).to_string();
        assert!(refused.contains("append-only") || refused.contains("duplicate key"), "{attempt}: {refused}");
        assert_eq!(rows(&mut sql, db, "audit_events").await, before, "{attempt}");
    }
}
