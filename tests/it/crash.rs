//! `kill -9` in the middle of load: whoever holds credentials has a row, and whatever STS minted has an intent.

use crate::support::{
    database::{TestDb, on_both},
    service::Api,
    sts::Behaviour,
    until,
    world::World,
};
use futures_util::future::join_all;
use reqwest::Method;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

on_both!(killed_twenty_times_under_load, killed_amid_a_session_for_many, killed_amid_hand_outs);

const KILLS: usize = 20;
const CLIENTS: usize = 6;

/// Issuance id and access key id of what a client received whole.
type Received = Arc<Mutex<Vec<(String, String)>>>;

async fn killed_twenty_times_under_load(db: &TestDb) {
    let mut world = World::start(db, &["Quick", "Slow"]).await;
    world.sts.behave("Slow", Behaviour::Slow(Duration::from_millis(30)));
    let received = Received::default();
    for round in 0..KILLS {
        let before = received.lock().unwrap().len();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let role = if client % 2 == 0 { "prod/Quick" } else { "prod/Slow" };
                tokio::spawn(ask_until_it_dies(world.service.api.clone(), role, world.alice.clone(), received.clone()))
            })
            .collect();
        // Each round dies at another moment of its load.
        let enough = before + 1 + round * 7 % 23;
        until("issuances", Duration::from_secs(30), || async {
            (received.lock().unwrap().len() >= enough).then_some(())
        })
        .await;
        world.service.process.kill();
        for client in clients {
            client.await.unwrap();
        }
        world.kill_and_start_again().await;
        assert_all_is_on_record(&world, db, &received).await;
    }
}

async fn ask_until_it_dies(api: Api, role: &str, token: String, received: Received) {
    while let Some(answer) = api.try_credentials(role, &token).await {
        assert_eq!(answer.status, 200, "{answer:?}");
        let one = (answer.text("issuance_id").to_owned(), answer.text("access_key_id").to_owned());
        received.lock().unwrap().push(one);
    }
}

async fn assert_all_is_on_record(world: &World, db: &TestDb, received: &Received) {
    world.plan.assert_verifies();
    let records = db.records().await;
    let of_kind = |kind: &str, member: &str| -> HashSet<String> {
        let rows = records.iter().filter(|record| record["kind"] == kind);
        rows.map(|record| record[member].as_str().unwrap().to_owned()).collect()
    };
    let (issued, keys) = (of_kind("credentials.issued", "issuance_id"), of_kind("credentials.issued", "access_key_id"));
    for (issuance, key) in received.lock().unwrap().iter() {
        assert!(issued.contains(issuance) && keys.contains(key), "released without a row: {issuance} {key}");
    }
    let requested = of_kind("credentials.requested", "session_name");
    for minted in world.sts.minted() {
        assert!(requested.contains(&minted.session_name), "minted without an intent: {}", minted.session_name);
    }
}

const CONTAINER: &str = "/v1/container/prod/Shared";

async fn killed_amid_a_session_for_many(db: &TestDb) {
    let mut world = World::start(db, &["Shared"]).await;
    world.sts.behave("Shared", Behaviour::Held);
    let (api, alice) = (world.service.api.clone(), world.alice.clone());
    let asking = tokio::spawn(async move {
        join_all((0..CLIENTS).map(|_| api.try_call(Method::GET, CONTAINER, &alice, None))).await
    });
    until("call to STS", Duration::from_secs(10), || async { world.sts.requests().pop() }).await;
    world.service.process.kill();
    assert!(asking.await.unwrap().iter().all(Option::is_none), "nobody has an answer");
    world.sts.let_go();

    // Two minutes later:
    let moved = "UPDATE pending SET at = at - 121 * CAST(1000000 AS BIGINT)";
    assert_eq!(db.connect().await.execute(moved).await, 1, "one intent for all of them");
    world.sts.behave("Shared", Behaviour::Normal);
    world.kill_and_start_again().await;
    let concluded = until("conclusion", Duration::from_secs(10), || async {
        let records = db.records().await;
        records.iter().any(|record| record["kind"] == "credentials.unknown").then_some(records)
    })
    .await;
    let of = |record: &serde_json::Value| (record["kind"].to_string(), record["issuance_id"].to_string());
    let told: Vec<_> = concluded.iter().filter(|record| record["issuance_id"].is_string()).map(of).collect();
    let issuance = &told[0].1;
    let kinds = ["requested", "unknown"].map(|kind| (format!("\"credentials.{kind}\""), issuance.clone()));
    assert_eq!(told, kinds);

    // What AWS may have made is nobody's: who asks has another.
    let answer = world.service.api.get(CONTAINER, &world.alice).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let records = db.records().await;
    let issued: Vec<_> = records.iter().filter(|record| record["kind"] == "credentials.issued").collect();
    let [issued] = issued[..] else { panic!("one issuance: {issued:#?}") };
    assert_eq!(issued["access_key_id"], answer.text("AccessKeyId"));
    assert_ne!(issued["issuance_id"].to_string(), *issuance);
    world.plan.assert_verifies();
}

/// Whatever was handed out has a row of its own.
async fn killed_amid_hand_outs(db: &TestDb) {
    let mut world = World::start(db, &["Shared"]).await;
    let received = Received::default();
    for round in 0..5 {
        let enough = received.lock().unwrap().len() + 20 + 13 * round;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (api, token, received) = (world.service.api.clone(), world.alice.clone(), received.clone());
                tokio::spawn(async move {
                    while let Some(answer) = api.try_call(Method::GET, CONTAINER, &token, None).await {
                        assert_eq!(answer.status, 200, "{answer:?}");
                        received.lock().unwrap().push((String::new(), answer.text("AccessKeyId").to_owned()));
                    }
                })
            })
            .collect();
        until("hand-outs", Duration::from_secs(30), || async {
            (received.lock().unwrap().len() >= enough).then_some(())
        })
        .await;
        world.kill_and_start_again().await;
        for client in clients {
            client.await.unwrap();
        }
    }
    world.plan.assert_verifies();
    let mut recorded = HashMap::<String, usize>::new();
    for record in db.records().await {
        if record["kind"] == "credentials.issued" || record["kind"] == "credentials.shared" {
            *recorded.entry(record["access_key_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    for (_, key) in received.lock().unwrap().iter() {
        let left = recorded.get_mut(key).filter(|left| **left > 0);
        *left.unwrap_or_else(|| panic!("{key} was handed out without a row")) -= 1;
    }
}
