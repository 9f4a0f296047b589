use super::super::testing::*;
use crate::{
    audit::AuthMethod,
    identity::{Algorithm, Caller, ClaimRule},
    input::read,
    model::Time,
};
use serde_json::{Value, json};
use std::sync::Arc;

fn groups(caller: &Caller) -> Vec<String> {
    caller.groups().iter().map(ToString::to_string).collect()
}

fn rule(when: &Value, group: &str) -> ClaimRule {
    read(json!({"when": when, "group": group})).unwrap()
}

#[tokio::test]
async fn every_algorithm_of_the_list_verifies() {
    let bench = Bench::new(|corp| corp.algorithms = Algorithm::ALL.to_vec()).await;
    bench.provider.publish(&[RSA.jwk("rsa"), P256.jwk("p256"), P384.jwk("p384"), ED25519.jwk("ed")]);
    for algorithm in Algorithm::ALL.map(Algorithm::as_str) {
        let (key, kid) = match algorithm {
            "ES256" => (&P256, "p256"),
            "ES384" => (&P384, "p384"),
            "EdDSA" => (&ED25519, "ed"),
            _ => (&RSA, "rsa"),
        };
        let token = key.sign(&json!({"alg": algorithm, "kid": kid}), &bench.claims(json!({})));
        let caller = bench.ask(&token).await.unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!(caller.principal().to_string(), "user:alice", "{algorithm}");
    }
}

#[tokio::test]
async fn what_may_vary_is_taken() {
    let bench = Bench::new(|corp| corp.authorized_parties = vec!["cli".to_owned()]).await;
    for (header, claims) in [
        (json!({"typ": "JWT"}), json!({})),
        (json!({"typ": "jwt"}), json!({})),
        (json!({"typ": "at+JWT"}), json!({})),
        (json!({"typ": "application/at+jwt"}), json!({})),
        (json!({"kid": null}), json!({})),
        (json!({"jku": "https://evil.example.com", "x5u": "https://evil.example.com", "x5c": []}), json!({})),
        (json!({}), json!({"aud": ["hallpass"]})),
        (json!({}), json!({"aud": ["hallpass", "other"], "azp": "cli"})),
        (json!({}), json!({"azp": "cli"})),
        (json!({}), json!({"iat": null})),
        (json!({}), json!({"nbf": NOW + 60, "iat": NOW + 60})),
        (json!({}), json!({"exp": NOW - 59})),
        (json!({}), json!({"exp": NOW + 600, "nbf": NOW_F - 0.5})),
    ] {
        let outcome = bench.ask(&bench.token(header.clone(), claims.clone())).await;
        assert!(outcome.is_ok(), "{header} {claims} {outcome:?}");
    }
}

#[tokio::test]
async fn a_person_is_named_by_claims() {
    let bench = Bench::beside(vec![workload("github", "https://token.example.com")], |corp| {
        corp.rules = vec![rule(&json!({"admin": true, "level": 3}), "operators"), rule(&json!({"nope": "x"}), "no")];
        corp.cap_to_token = true;
    })
    .await;
    let caller = bench
        .caller(json!({
            "groups": ["dev", "Ops & Co", "dev", "github/shop-deployers", "githubbers", " blank", "", "zoe\u{308}"],
            "admin": true, "level": 3, "jti": "t-1", "auth_time": NOW_F - 30.5, "exp": NOW_F + 600.7,
        }))
        .await
        .unwrap();
    assert_eq!(caller.principal().to_string(), "user:alice");
    assert_eq!(groups(&caller), ["group:Ops & Co", "group:dev", "group:githubbers", "group:operators"]);
    let auth = caller.auth();
    assert_eq!(auth.method, AuthMethod::Jwt);
    let told = [&auth.issuer, &auth.subject, &auth.token_id].map(Option::as_deref);
    assert_eq!(told, [Some("corp"), Some("alice"), Some("t-1")]);
    assert_eq!(caller.expires_at(), Time::from_seconds(NOW + 600).unwrap());
    assert_eq!(caller.session_ends(), Some(caller.expires_at()));
    assert_eq!(caller.authenticated_at(), Time::from_seconds(NOW - 31));
}

#[tokio::test]
async fn groups_come_as_a_list_or_one_by_one() {
    let bench = Bench::new(|_| ()).await;
    for (given, expected) in [
        (json!(null), &[][..]),
        (json!([]), &[]),
        (json!("dev"), &["group:dev"]),
        (json!("a,b"), &["group:a,b"]),
        (json!(["b", "a"]), &["group:a", "group:b"]),
        (json!(vec!["g"; 1000]), &["group:g"]),
    ] {
        let caller = bench.caller(json!({"groups": given})).await.unwrap();
        assert_eq!(groups(&caller), expected, "{given}");
        assert_eq!((caller.session_ends(), caller.authenticated_at()), (None, Time::from_seconds(NOW)));
    }
}

#[tokio::test]
async fn a_prefix_stands_before_users_and_groups() {
    let bench = Bench::new(|corp| {
        of_people(corp).prefix = "corp/".to_owned();
        corp.rules = vec![rule(&json!({"sub": "alice"}), "all")];
    })
    .await;
    let caller = bench.caller(json!({"groups": ["dev"]})).await.unwrap();
    assert_eq!(caller.principal().to_string(), "user:corp/alice");
    assert_eq!(groups(&caller), ["group:corp/all", "group:corp/dev"]);
}

#[tokio::test]
async fn a_workload_is_named_by_issuer_and_subject_and_gets_groups_by_rules() {
    let provider = FakeIssuer::start().await;
    provider.publish(&[P256.jwk("main")]);
    let mut github = workload("github", &provider.url);
    github.rules = vec![rule(&json!({"repository": "acme/shop", "environment": "production"}), "shop-deployers")];
    let bench = Bench::beside(vec![github], |_| ()).await;
    let sub = "repo:acme/shop:ref:refs/heads/main";
    let ask = async |changes: Value| {
        let mut claims = bench.claims(changes);
        claims["iss"] = json!(provider.url);
        bench.ask(&P256.sign(&json!({"alg": "ES256", "kid": "main"}), &claims)).await
    };
    for (claims, expected) in [
        (json!({"repository": "acme/shop", "environment": "production"}), &["group:github/shop-deployers"][..]),
        (json!({"repository": "acme/shop"}), &[]),
        (json!({"repository": "acme/shop", "environment": "Production"}), &[]),
        (json!({"repository": ["acme/shop"], "environment": "production"}), &[]),
        (json!({"groups": ["github/shop-deployers", "admins"]}), &[]),
    ] {
        let mut claims = claims;
        claims["sub"] = json!(sub);
        let caller = ask(claims.clone()).await.unwrap();
        assert_eq!(caller.principal().to_string(), format!("workload:github/{sub}"));
        assert_eq!(groups(&caller), expected, "{claims}");
    }
    assert_eq!(super::reason(ask(json!({"sub": null})).await), "it has no sub");
}

#[tokio::test]
async fn a_verified_token_is_remembered() {
    let bench = Bench::new(|_| ()).await;
    let token = bench.token(json!({}), json!({}));
    let first = bench.ask(&token).await.unwrap();
    assert!(Arc::ptr_eq(&first, &bench.ask(&token).await.unwrap()));
    let refused = bench.token(json!({}), json!({"nbf": NOW + 90}));
    bench.ask(&refused).await.unwrap_err();
    bench.clock.advance(std::time::Duration::from_secs(30));
    bench.ask(&refused).await.expect("a refusal is not remembered");
}
