//! What the other tests stand on holds: the fakes speak to clients that nobody here wrote, and the databases are fresh.

use crate::support::{
    database::{Cluster, Sql, TestDb, block_on, on_both},
    issuer::{Alg, Fetches, Issuer, Mood},
    moto::{BROKER, Moto},
    sts::{Behaviour, FakeSts},
};
use aws_sdk_sts::{
    config::{BehaviorVersion, Credentials, Region},
    error::ProvideErrorMetadata,
};
use serde_json::json;
use std::time::Duration;

on_both!(a_database_is_fresh_and_the_tests_own);

async fn a_database_is_fresh_and_the_tests_own(db: &TestDb) {
    let mut one = db.connect().await;
    one.execute("CREATE TABLE things (name TEXT)").await;
    assert_eq!(one.execute("INSERT INTO things VALUES ('a'), ('b')").await, 2);
    let seen = db.connect().await.texts("SELECT name FROM things ORDER BY name").await;
    assert_eq!(seen, ["a", "b"]);
}

#[test]
fn a_cluster_comes_back_after_a_crash_with_what_was_committed() {
    block_on(async {
        let Some(cluster) = Cluster::start() else { return };
        Sql::connect(&cluster.url).await.execute("CREATE TABLE kept (name TEXT); INSERT INTO kept VALUES ('x')").await;
        cluster.stop();
        cluster.start_again();
        assert_eq!(Sql::connect(&cluster.url).await.texts("SELECT name FROM kept").await, ["x"]);
    });
}

#[tokio::test]
async fn a_forgetful_sts_answers_and_keeps_nothing() {
    for (sts, kept) in [(FakeSts::start().await, 1), (FakeSts::start_forgetful().await, 0)] {
        let ask = reqwest::Client::new().post(&sts.url).body("Action=AssumeRole&RoleArn=arn:aws:iam::1:role/a");
        assert_eq!(ask.send().await.unwrap().status(), 200);
        assert_eq!((sts.requests().len(), sts.minted().len()), (kept, kept));
    }
}

#[tokio::test]
async fn the_issuers_tokens_are_what_its_keys_sign() {
    for alg in [Alg::Rs256, Alg::Ps256, Alg::Es256, Alg::Es384, Alg::EdDsa] {
        let mut issuer = Issuer::start(alg).await;
        let old = issuer.person("alice@example.com", &["developers"]);
        assert!(verifies(&issuer, &old).await, "{alg:?}");
        issuer.rotate(alg, "second");
        assert!(!verifies(&issuer, &old).await, "{alg:?} after its key left");
        assert!(verifies(&issuer, &issuer.person("bob@example.com", &[])).await);
        assert!(!verifies(&issuer, &issuer.key.sign_as_hmac(&issuer.claims("eve"))).await);
        assert_eq!(issuer.fetches(), Fetches { discovery: 0, keys: 4 });
    }
}

async fn verifies(issuer: &Issuer, token: &str) -> bool {
    let keys = reqwest::get(format!("{}/keys", issuer.url)).await.unwrap().bytes().await.unwrap();
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&keys).unwrap();
    let algorithm = jsonwebtoken::decode_header(token).unwrap().alg;
    let mut validation = jsonwebtoken::Validation::new(algorithm);
    validation.set_audience(&["hallpass"]);
    let key = jsonwebtoken::DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).is_ok()
}

#[tokio::test]
async fn the_issuer_fails_as_told() {
    let issuer = Issuer::start(Alg::EdDsa).await;
    let url = format!("{}/.well-known/openid-configuration", issuer.url);
    let ask = || async { reqwest::get(&url).await.unwrap() };
    let document: serde_json::Value = serde_json::from_slice(&ask().await.bytes().await.unwrap()).unwrap();
    assert_eq!(
        (&document["issuer"], &document["jwks_uri"]),
        (&json!(issuer.url), &json!(format!("{}/keys", issuer.url)))
    );
    issuer.set_mood(Mood::Broken);
    assert_eq!(ask().await.status(), 500);
    issuer.set_mood(Mood::Nonsense);
    assert!(ask().await.text().await.unwrap().starts_with('<'));
    issuer.set_mood(Mood::Hanging);
    assert!(tokio::time::timeout(Duration::from_millis(50), ask()).await.is_err());
}

#[tokio::test]
async fn the_fake_sts_is_understood_by_the_sdk() {
    let fake = FakeSts::start().await;
    let sts = sdk(&fake);
    let arn = sts.get_caller_identity().send().await.unwrap().arn.unwrap();
    assert_eq!(arn, "arn:aws:iam::999988887777:user/hallpass");

    let ask = |role: &str| {
        let role = format!("arn:aws:iam::111122223333:role/teams/{role}");
        sts.assume_role().role_arn(role).role_session_name("alice=1").source_identity("alice").external_id("x+y z")
    };
    let answer = ask("Plain").duration_seconds(900).send().await.unwrap();
    let user = answer.assumed_role_user.unwrap();
    assert_eq!(user.arn, "arn:aws:sts::111122223333:assumed-role/Plain/alice=1");
    let (minted, asked) = (&fake.minted()[0], &fake.requests()[0]);
    assert_eq!(answer.credentials.unwrap().access_key_id, minted.access_key_id);
    assert_eq!((&*asked["ExternalId"], &*asked["DurationSeconds"]), ("x+y z", "900"));

    for (role, behaviour, code) in [
        ("Throttled", Behaviour::THROTTLE, Some("Throttling")),
        ("Denied", Behaviour::ACCESS_DENIED, Some("AccessDenied")),
        ("Packed", Behaviour::PACKED_POLICY, Some("PackedPolicyTooLarge")),
        ("Malformed", Behaviour::MALFORMED_POLICY, Some("MalformedPolicyDocument")),
        ("Html", Behaviour::Body(200, "<html>"), None),
        ("Empty", Behaviour::Body(200, ""), None),
        ("Keyless", Behaviour::Without("SecretAccessKey"), None),
        ("Dropped", Behaviour::Drop, None),
        ("Cut", Behaviour::Cut, None),
    ] {
        fake.behave(role, behaviour);
        let answer = ask(role).send().await;
        let credentials = answer.as_ref().ok().and_then(|answer| answer.credentials.as_ref());
        assert!(credentials.is_none_or(|keys| keys.secret_access_key.is_empty()), "{role}: {answer:?}");
        assert_eq!(answer.err().and_then(|error| error.code().map(str::to_owned)).as_deref(), code, "{role}");
    }
    let roles: Vec<_> = fake.minted().iter().map(|minted| minted.access_key_id.clone()).collect();
    assert_eq!(roles.len(), 4, "one each for the plain, the keyless, the dropped and the cut: {roles:?}");
}

fn sdk(fake: &FakeSts) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(&fake.url)
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .credentials_provider(Credentials::new("AKIAFAKE", "secret", None, None, "test"));
    aws_sdk_sts::Client::from_conf(config.build())
}

#[tokio::test]
async fn moto_and_the_aws_cli_work() {
    let Some(moto) = Moto::start().await else { return };
    let arn = moto.add_role("ReadOnly");
    assert!(arn.ends_with(":role/ReadOnly"), "{arn}");
    let who = moto.aws(&BROKER, &["sts", "get-caller-identity", "--query", "Arn", "--output", "text"]);
    assert!(who.starts_with("arn:aws:"), "{who}");
}
