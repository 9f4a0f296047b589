//! Three replicas on one PostgreSQL: a change through one holds on the others at the next request, and a frozen one
//! stops nobody.

use crate::support::{
    database::{TestDb, on_postgres},
    now,
    service::{Answer, Service},
    until,
    world::World,
};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

#[test]
fn what_one_replica_takes_away_the_others_refuse_at_the_next_request() {
    on_postgres(async |db| {
        let world = World::start(db, &["ReadOnly"]).await;
        let others = [world.plan.start().await, world.plan.start().await];
        let (first, bob) = (&world.service.api, world.issuer.person("bob@example.com", &[]));

        let expires = hallpass::model::Time::from_seconds(now() + 86_400).unwrap().to_string();
        let grant =
            json!({"to": "user:bob@example.com", "role": "prod/ReadOnly", "expires": expires, "reason": "INC-1"});
        let grant = first.post("/v1/grants", &world.admin, &grant).await;
        assert_eq!(grant.status, 201, "{grant:?}");
        assert_all(&others, &bob, 200, "").await;
        let removed = first.delete(&format!("/v1/grants/{}", grant.text("id")), &world.admin).await;
        assert!(removed.status < 300, "{removed:?}");
        assert_all(&others, &bob, 403, "not_allowed").await;

        assert_all(&others, &world.alice, 200, "").await;
        let block = json!({"principal": "user:alice@example.com", "reason": "laptop lost"});
        let block = first.post("/v1/blocks", &world.admin, &block).await;
        assert_eq!(block.status, 201, "{block:?}");
        assert_all(&others, &world.alice, 403, "not_allowed").await;
        let lifted = first.delete(&format!("/v1/blocks/{}", block.text("id")), &world.admin).await;
        assert!(lifted.status < 300, "{lifted:?}");
        assert_all(&others, &world.alice, 200, "").await;
        world.plan.assert_verifies();
    });
}

async fn assert_all(replicas: &[Service], token: &str, status: u16, code: &str) {
    for replica in replicas {
        let answer = replica.api.credentials("prod/ReadOnly", token).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
    }
}

#[test]
fn a_replica_frozen_within_a_commit_stops_nobody() {
    on_postgres(async |db| {
        let world = World::start(db, &["ReadOnly"]).await;
        let others = [world.plan.start().await, world.plan.start().await];
        let ask = |_| {
            let (api, alice) = (world.service.api.clone(), world.alice.clone());
            tokio::spawn(async move { while api.try_credentials("prod/ReadOnly", &alice).await.is_some() {} })
        };
        let mut load: Vec<_> = (0..8).map(ask).collect();
        // The usual commit is one statement, and nothing freezes within it; that of a change has several.
        let (api, admin) = (world.service.api.clone(), world.admin.clone());
        load.push(tokio::spawn(async move {
            let block = json!({"principal": "user:mallory@example.com", "reason": "none"});
            while let Some(set) = api.try_call(Method::POST, "/v1/blocks", &admin, Some(&block)).await {
                let path = format!("/v1/blocks/{}", set.text("id"));
                let _ = api.try_call(Method::DELETE, &path, &admin, None).await;
            }
        }));
        freeze_within_a_transaction(&world.service, db).await;
        for _ in 0..10 {
            for replica in &others {
                let answer: Answer = replica.api.credentials("prod/ReadOnly", &world.alice).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                assert!(answer.took < Duration::from_secs(2), "{answer:?}");
            }
        }
        world.service.process.signal("CONT");
        let answer = world.service.api.credentials("prod/ReadOnly", &world.alice).await;
        assert_eq!(answer.status, 200, "the frozen one goes on: {answer:?}");
        load.iter().for_each(tokio::task::JoinHandle::abort);
        world.plan.assert_verifies();
    });
}

/// Stops the process again and again until the database sees it within a transaction; the others are at rest.
async fn freeze_within_a_transaction(service: &Service, db: &TestDb) {
    let mut sql = db.connect().await;
    let open = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' \
                AND query LIKE '%audit_events%'";
    until("transaction to freeze", Duration::from_mins(1), async || {
        service.process.signal("STOP");
        // What was on its way to the database arrives first.
        tokio::time::sleep(Duration::from_millis(50)).await;
        if sql.texts(open).await.is_empty() {
            service.process.signal("CONT");
            return None;
        }
        Some(())
    })
    .await;
}
