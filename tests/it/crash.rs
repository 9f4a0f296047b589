//! `kill -9` in the middle of load: whoever holds credentials has a row, and whatever STS minted has an intent.

use crate::support::{
    database::{TestDb, on_both},
    service::Api,
    sts::Behaviour,
    until,
    world::World,
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

on_both!(killed_twenty_times_under_load);

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
