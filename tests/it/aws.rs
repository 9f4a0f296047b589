//! The main job against an AWS that nobody here wrote: the AWS CLI uses what Hallpass handed out.

use crate::support::{
    database::{TestDb, on_both},
    issuer::{Alg, Issuer},
    moto::Moto,
    service::Plan,
    world::allowlist,
};

on_both!(the_aws_cli_is_who_the_audit_says);

async fn the_aws_cli_is_who_the_audit_says(db: &TestDb) {
    let Some(moto) = Moto::start().await else { return };
    let role_arn = moto.add_role("ReadOnly");
    let account = role_arn.split(':').nth(4).unwrap();
    let issuer = Issuer::start(Alg::Rs256).await;
    let plan = Plan::new(db, &issuer.url, &moto.url);
    let service = plan.start().await;
    service.api.apply(&allowlist(account, &["ReadOnly"]), &issuer.person("admin@example.com", &[])).await;

    let credentials = service.api.credentials("prod/ReadOnly", &issuer.person("alice@example.com", &[])).await;
    assert_eq!(credentials.status, 200, "{credentials:?}");
    let environment = [
        ("AWS_ACCESS_KEY_ID", credentials.text("access_key_id")),
        ("AWS_SECRET_ACCESS_KEY", credentials.text("secret_access_key")),
        ("AWS_SESSION_TOKEN", credentials.text("session_token")),
    ];
    let who = moto.aws(&environment, &["sts", "get-caller-identity", "--query", "Arn", "--output", "text"]);

    let records = db.records().await;
    let outcomes: Vec<_> = records.iter().filter(|record| record["kind"] == "credentials.issued").collect();
    let [outcome] = outcomes[..] else { panic!("one issuance: {records:#?}") };
    let session_name = outcome["session_name"].as_str().unwrap();
    assert!(session_name.starts_with("alice@example.com="), "{session_name}");
    assert_eq!(who, format!("arn:aws:sts::{account}:assumed-role/ReadOnly/{session_name}"));
    assert_eq!(who, credentials.text("assumed_role_arn"));
    assert_eq!(outcome["issuance_id"], credentials.body["issuance_id"]);
    assert_eq!(outcome["access_key_id"], credentials.body["access_key_id"]);
    plan.assert_verifies();
}
