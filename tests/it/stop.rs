//! A stop that loses nothing: what was begun is answered, nothing new is taken, the audit stream is closed.

use crate::support::{
    database::{TestDb, on_both},
    service::Api,
    sts::Behaviour,
    until,
    world::World,
};
use reqwest::Method;
use std::time::{Duration, Instant};

on_both!(a_stop_finishes_what_was_begun);

async fn a_stop_finishes_what_was_begun(db: &TestDb) {
    let mut world = World::start(db, &["Slow"]).await;
    world.sts.behave("Slow", Behaviour::Slow(Duration::from_secs(2)));
    let (api, alice) = (world.service.api.clone(), world.alice.clone());
    let asking = tokio::spawn(async move { api.credentials("prod/Slow", &alice).await });
    until("a call of AssumeRole", Duration::from_secs(10), || async {
        world.sts.requests().iter().any(|request| request.get("RoleSessionName").is_some()).then_some(())
    })
    .await;
    let began = Instant::now();
    world.service.process.signal("TERM");
    until("a closed door", Duration::from_secs(2), || async {
        // At once, where it is answered at all: on a connection of its own.
        let door = Api::new(world.service.api.url());
        door.try_call(Method::GET, "/healthz", "", None).await.is_none().then_some(())
    })
    .await;
    assert_eq!(asking.await.unwrap().status, 200, "what was begun is answered");
    let status = world.service.process.0.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < Duration::from_secs(25));
    let records = db.records().await;
    let kinds: Vec<_> = records.iter().rev().take(2).rev().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["credentials.issued", "stream.closed"]);
    world.plan.assert_verifies();
}
