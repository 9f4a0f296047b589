//! STS slow, throttling, refusing, talking nonsense or silent, and clients that do not wait: an answer in time, a row
//! for each, and no harm to the roles beside.

use crate::support::{
    database::{TestDb, on_both},
    sts::Behaviour,
    until,
    world::World,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

on_both!(each_fault_of_sts_is_told_and_recorded, a_client_that_hangs_up_ends_nothing);

/// The contract's twenty seconds, and what a busy machine adds.
const ANSWER_LIMIT: Duration = Duration::from_secs(21);

fn faults() -> Vec<(&'static str, Behaviour, u16, &'static str)> {
    let unavailable = |role, behaviour| (role, behaviour, 503, "sts_unavailable");
    let refused = |role, behaviour| (role, behaviour, 502, "sts_refused");
    vec![
        ("Slow", Behaviour::Slow(Duration::from_secs(3)), 200, ""),
        ("Throttled", Behaviour::THROTTLE, 503, "sts_throttled"),
        refused("Denied", Behaviour::ACCESS_DENIED),
        refused("Invalid", Behaviour::VALIDATION),
        ("Malformed", Behaviour::MALFORMED_POLICY, 422, "invalid_request"),
        refused("Region", Behaviour::REGION_DISABLED),
        ("Packed", Behaviour::PACKED_POLICY, 422, "session_policy_too_large"),
        unavailable("Expired", Behaviour::EXPIRED_TOKEN),
        unavailable("Internal", Behaviour::INTERNAL),
        unavailable("Empty", Behaviour::Body(200, "")),
        unavailable("Html", Behaviour::Body(200, "<html><body>Down for maintenance</body></html>")),
        unavailable("Html502", Behaviour::Body(502, "<html><body>Bad gateway</body></html>")),
        unavailable("Nonsense", Behaviour::Body(200, "<AssumeRoleResponse><Unexpected/>")),
        unavailable("Keyless", Behaviour::Without("AccessKeyId")),
        unavailable("Secretless", Behaviour::Without("SecretAccessKey")),
        unavailable("Tokenless", Behaviour::Without("SessionToken")),
        unavailable("Endless", Behaviour::Without("Expiration")),
        unavailable("Bare", Behaviour::Without("Credentials")),
        unavailable("Hanging", Behaviour::Hang),
        unavailable("Dropped", Behaviour::Drop),
        unavailable("Cut", Behaviour::Cut),
    ]
}

async fn each_fault_of_sts_is_told_and_recorded(db: &TestDb) {
    let faults = faults();
    let roles: Vec<_> = faults.iter().map(|fault| fault.0).chain(["Well"]).collect();
    let world = World::start(db, &roles).await;
    for (role, behaviour, ..) in &faults {
        world.sts.behave(role, behaviour.clone());
    }
    let asking = faults.iter().map(|(role, ..)| ask(&world, role));
    let beside = async {
        for _ in 0..10 {
            let answer = world.service.api.credentials("prod/Well", &world.alice).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(answer.took < Duration::from_secs(3), "{answer:?}");
        }
    };
    let (answers, ()) = tokio::join!(join_all(asking), beside);

    let records = db.records().await;
    for ((role, _, status, code), answer) in faults.iter().zip(answers) {
        assert_eq!((answer.status, answer.code()), (*status, *code), "{role}: {answer:?}");
        assert!(answer.took < ANSWER_LIMIT, "{role}: {answer:?}");
        if *role == "Denied" {
            // No external ID and no session tags were sent.
            let [asked_for, not_sent] =
                [["an external ID", "sts:SetSourceIdentity"], ["another external ID", "sts:TagSession"]];
            let detail = answer.text("detail");
            assert!(asked_for.iter().all(|words| detail.contains(words)), "{detail}");
            assert!(!not_sent.iter().any(|words| detail.contains(words)), "{detail}");
        }
        let outcome = if *status == 200 { "credentials.issued" } else { "credentials.failed" };
        assert_eq!(kinds(&records, role), ["credentials.requested", outcome], "{role}");
    }
    world.plan.assert_verifies();
    let log = world.service.log();
    for minted in world.sts.minted() {
        assert!(
            !log.contains(&minted.secret_access_key) && !log.contains(&minted.session_token),
            "a secret in the log"
        );
    }
}

async fn ask(world: &World, role: &str) -> crate::support::service::Answer {
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}"#;
    let policy: Value = serde_json::from_str(policy).unwrap();
    let body = json!({"role": format!("prod/{role}"), "session_policy": policy});
    world.service.api.post("/v1/credentials", &world.alice, &body).await
}

/// The kinds of a role's events, in their order.
fn kinds(records: &[Value], role: &str) -> Vec<String> {
    let ending = format!("/{role}");
    let of_role = records.iter().filter(|record| record["role_arn"].as_str().is_some_and(|arn| arn.ends_with(&ending)));
    of_role.map(|record| record["kind"].as_str().unwrap().to_owned()).collect()
}

async fn a_client_that_hangs_up_ends_nothing(db: &TestDb) {
    let world = World::start(db, &["Slow", "Refusing"]).await;
    world.sts.behave("Slow", Behaviour::Slow(Duration::from_secs(1)));
    let asking = world.service.api.credentials("prod/Slow", &world.alice);
    tokio::select! {
        answer = asking => panic!("too soon: {answer:?}"),
        _ = until("call to STS", ANSWER_LIMIT, || async { world.sts.requests().pop() }) => {}
    }
    until("outcome", ANSWER_LIMIT, || async { (kinds(&db.records().await, "Slow").len() == 2).then_some(()) }).await;
    // Released means handed to HTTP, not received: that nobody was there any more is no failure of the issuance.
    let outcome = kinds(&db.records().await, "Slow").pop().unwrap();
    assert!(["credentials.issued", "credentials.failed"].contains(&outcome.as_str()), "{outcome}");
    world.plan.assert_verifies();
}
