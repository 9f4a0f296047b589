use super::{super::testing::*, fault, reason};
use crate::{
    clock::Clock,
    identity::{AuthFault, Identity},
    metrics::Metrics,
    model::{IssuerName, Time, parse_address},
};
use futures_util::{FutureExt, future::join_all};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const UNKNOWN: &str = "its kid is not one its issuer publishes";

fn signed(bench: &Bench, key: &TestKey, kid: &str) -> String {
    key.sign(&json!({"alg": "ES256", "kid": kid}), &bench.claims(json!({})))
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let bench = Bench::new(|_| ()).await;
    let old = bench.token(json!({}), json!({}));
    bench.ask(&old).await.unwrap();
    let next = TestKey::p256();
    bench.provider.publish(&[P256.jwk("main"), next.jwk("next")]);
    let new = signed(&bench, &next, "next");
    bench.clock.advance(Duration::from_millis(29_999));
    assert_eq!(reason(bench.ask(&new).await), UNKNOWN, "the provider was asked under 30 s ago");
    bench.clock.advance(Duration::from_millis(1));
    bench.ask(&new).await.unwrap();
    bench.ask(&old).await.unwrap();
    assert_eq!(bench.provider.fetched(), 2);
}

#[tokio::test]
async fn a_key_that_is_gone_takes_its_remembered_tokens_with_it() {
    let bench = Bench::new(|_| ()).await;
    let (next, same_name) = (TestKey::p256(), TestKey::p256());
    let old = bench.token(json!({}), json!({}));
    for published in [vec![next.jwk("next")], vec![same_name.jwk("main"), next.jwk("next")], Vec::new()] {
        bench.provider.publish(&[P256.jwk("main"), next.jwk("other")]);
        bench.clock.advance(Duration::from_secs(30));
        let _ = bench.ask(&signed(&bench, &next, "unheard-of")).await;
        bench.ask(&old).await.expect("remembered from here on");

        bench.provider.publish(&published);
        bench.clock.advance(Duration::from_secs(30));
        let _ = bench.ask(&signed(&bench, &next, "unheard-of")).await;
        let refusal = fault(bench.ask(&old).await);
        let expected = match published.len() {
            0 => AuthFault::KeysUnavailable,
            1 => AuthFault::Invalid(UNKNOWN),
            _ => AuthFault::Invalid("its signature is not its issuer's"),
        };
        assert_eq!(refusal, expected);
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_does_not_fill_the_house() {
    let bench = Bench::new(|_| ()).await;
    bench.ask(&bench.token(json!({}), json!({}))).await.unwrap();
    bench.clock.advance(Duration::from_secs(30));
    bench.provider.set_mode(Mode::Hang);
    let tokens: Vec<String> = (0..130).map(|i| signed(&bench, &P256, &format!("made-up-{i}"))).collect();
    let flood = join_all(tokens.iter().map(|token| bench.ask(token)));
    let release = async {
        bench.provider.asked(2).await;
        bench.provider.set_mode(Mode::Answer);
    };
    let (refusals, ()) = tokio::join!(flood, release);
    let faults: Vec<_> = refusals.into_iter().map(fault).collect();
    let (waited, turned_away) = faults.split_at(128);
    assert!(waited.iter().all(|fault| *fault == AuthFault::Invalid(UNKNOWN)), "{waited:?}");
    assert_eq!(turned_away, [AuthFault::KeysUnavailable; 2], "whether their key is unknown, nobody knows yet");
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch() {
    let bench = Bench::new(|_| ()).await;
    bench.provider.set_mode(Mode::Hang);
    let tokens: Vec<String> = (0..50).map(|i| signed(&bench, &P256, &format!("made-up-{i}"))).collect();
    let good = bench.token(json!({}), json!({}));
    let flood = join_all(tokens.iter().map(|token| bench.ask(token)));
    let release = async {
        bench.provider.asked(1).await;
        bench.provider.set_mode(Mode::Answer);
    };
    let (refusals, wanted, ()) = tokio::join!(flood, bench.ask(&good), release);
    wanted.expect("the first set brings its key");
    for refusal in refusals {
        assert_eq!(reason(refusal), UNKNOWN);
    }
    for token in &tokens {
        assert_eq!(reason(bench.ask(token).await), UNKNOWN);
    }
    assert_eq!(bench.provider.fetched(), 1);
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_nobody_elses_fetch() {
    let bench = Bench::new(|_| ()).await;
    bench.provider.set_mode(Mode::Hang);
    let good = bench.token(json!({}), json!({}));
    let mut first = Box::pin(bench.ask(&good));
    assert!(first.as_mut().now_or_never().is_none());
    let second = bench.ask(&good);
    drop(first);
    let release = async {
        bench.provider.asked(1).await;
        bench.provider.set_mode(Mode::Answer);
    };
    let (outcome, ()) = tokio::join!(second, release);
    outcome.unwrap();
    assert_eq!(bench.provider.fetched(), 1);
}

#[tokio::test]
async fn a_provider_that_hangs_holds_up_nobody_whose_key_is_known() {
    let bench = Bench::new(|_| ()).await;
    let remembered = bench.token(json!({}), json!({}));
    bench.ask(&remembered).await.unwrap();
    bench.provider.set_mode(Mode::Hang);
    bench.clock.advance(Duration::from_secs(30));
    let unknown = signed(&bench, &P256, "next");
    let mut waiting = Box::pin(bench.ask(&unknown));
    assert!(waiting.as_mut().now_or_never().is_none(), "waits for the fetch");
    let fresh = bench.token(json!({}), json!({"jti": "fresh"}));
    for token in [&remembered, &fresh] {
        bench.ask(token).now_or_never().expect("an answer at once").unwrap();
    }
    bench.provider.asked(3).await;
    tokio::time::pause();
    assert_eq!(reason(waiting.await), UNKNOWN);
}

#[tokio::test]
async fn patience_with_a_slow_provider_ends_and_its_answer_still_counts() {
    let bench = Bench::new(|_| ()).await;
    bench.provider.set_mode(Mode::Slow);
    let token = bench.token(json!({}), json!({}));
    tokio::time::pause();
    let began = Instant::now();
    assert_eq!(fault(bench.ask(&token).await), AuthFault::KeysUnavailable);
    assert_eq!(began.elapsed().as_secs(), 3);
    let joined = bench.ask(&token).await;
    joined.expect("the fetch went on");
    assert_eq!((began.elapsed().as_secs(), bench.provider.fetched()), (4, 1));
}

#[tokio::test]
async fn what_is_no_key_set_changes_nothing() {
    let bench = Bench::new(|_| ()).await;
    let fresh = |i: usize| bench.token(json!({}), json!({"jti": i.to_string()}));
    bench.ask(&fresh(0)).await.unwrap();
    let other_issuer =
        json!({"issuer": "https://other.example.com", "jwks_uri": format!("{}/keys", bench.provider.url)});
    let own = |keys: &str| json!({"issuer": bench.provider.url, "jwks_uri": keys});
    let padding = "x".repeat(1024 * 1024);
    let huge = json!({"keys": [TestKey::p256().jwk("next")], "padding": padding}).to_string();
    for (i, (mode, discovery, keys, error)) in [
        (Mode::Fail, None, None, "the answer is 500 Internal Server Error instead of 200; redirects are not followed"),
        (Mode::Redirect, None, None, "the answer is 302 Found instead of 200; redirects are not followed"),
        (Mode::Answer, None, Some("<html>"), "the answer is not JSON (line 1, column 1)"),
        (Mode::Answer, None, Some("{}"), "the answer is no JWK set: it has no list of keys"),
        (Mode::Answer, None, Some(r#"{"keys":{}}"#), "the answer is no JWK set: it has no list of keys"),
        (Mode::Answer, None, Some(huge.as_str()), "the answer is over 1 MiB"),
        (
            Mode::Answer,
            Some(other_issuer),
            None,
            "the discovery document is that of another issuer: its issuer is not the configured one, byte for byte",
        ),
        (
            Mode::Answer,
            Some(own("http://keys.example.com/")),
            None,
            "the discovery document has no jwks_uri that is an https:// address, or http:// on loopback, without a user name or a fragment",
        ),
        (
            Mode::Answer,
            Some(json!({"issuer": bench.provider.url})),
            None,
            "the discovery document has no jwks_uri that is an https:// address, or http:// on loopback, without a user name or a fragment",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        bench.provider.set_mode(mode);
        bench.provider.set_discovery(&discovery.unwrap_or_else(|| own(&format!("{}/keys", bench.provider.url))));
        bench.provider.publish_text(keys.unwrap_or_default());
        bench.clock.advance(Duration::from_secs(30));
        assert_eq!(reason(bench.ask(&signed(&bench, &P256, "next")).await), UNKNOWN, "{error}");
        bench.ask(&fresh(i + 1)).await.expect(error);
        let [status] = &bench.identity.issuers()[..] else { panic!("one issuer") };
        assert_eq!((status.usable, status.last_error.as_deref()), (true, Some(error)));
        assert_eq!(status.age, Some(Duration::from_secs(30 * (i as u64 + 1))));
    }
}

#[tokio::test]
async fn an_unusable_key_is_skipped_and_not_fatal() {
    let bench = Bench::new(|_| ()).await;
    bench.provider.publish(&[
        json!({"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"}),
        json!(7),
        json!({"kty": "AKP", "alg": "ML-DSA-65", "kid": "later"}),
        P256.jwk("main"),
    ]);
    bench.ask(&bench.token(json!({}), json!({}))).await.unwrap();
    bench.ask(&bench.token(json!({"kid": null}), json!({}))).await.expect("one usable key");
    assert_eq!(bench.identity.issuers()[0].last_error, None);
}

#[tokio::test]
async fn a_token_without_a_kid_needs_the_only_key() {
    let bench = Bench::new(|_| ()).await;
    bench.provider.publish(&[P256.jwk("main"), TestKey::p256().jwk("next")]);
    let outcome = bench.ask(&bench.token(json!({"kid": null}), json!({}))).await;
    assert_eq!(reason(outcome), "it has no kid, and its issuer publishes several keys");
}

#[tokio::test]
async fn keys_of_two_kinds_may_share_a_kid() {
    let bench = Bench::new(|_| ()).await;
    bench.provider.publish(&[RSA.jwk("main"), P256.jwk("main")]);
    bench.ask(&bench.token(json!({}), json!({}))).await.unwrap();
    let rsa = RSA.sign(&json!({"alg": "RS256", "kid": "main"}), &bench.claims(json!({})));
    bench.ask(&rsa).await.unwrap();
}

#[tokio::test]
async fn without_any_keys_nothing_can_be_said() {
    let bench = Bench::new(|_| ()).await;
    bench.provider.publish(&[]);
    let token = bench.token(json!({}), json!({}));
    assert_eq!(fault(bench.ask(&token).await), AuthFault::KeysUnavailable);
    let status = bench.identity.issuers().remove(0);
    assert_eq!((status.usable, status.last_error.as_deref()), (false, Some("no key of the set can be used")));

    let dead = people("dead", "http://127.0.0.1:1", "dead/");
    let clock = Clock::settable(Time::from_seconds(NOW).unwrap());
    let identity = Identity::new(vec![dead], no_api_tokens(&clock), clock.clone(), &Metrics::new(&clock, [])).unwrap();
    let token = P256.sign(&json!({"alg": "ES256", "kid": "main"}), &bench.claims(json!({"iss": "http://127.0.0.1:1"})));
    let error = identity.caller_from_bearer(&token).await.unwrap_err();
    assert_eq!((error.fault(), error.issuer().map(IssuerName::as_str)), (AuthFault::KeysUnavailable, Some("dead")));
    let status = identity.issuers().remove(0);
    assert!(!status.usable && status.age.is_none());
    assert!(status.last_error.is_some_and(|error| error.starts_with("no answer (") && error.contains("refused")));
}

#[tokio::test]
async fn keys_come_from_the_configured_address_where_there_is_one() {
    let keys = FakeIssuer::start().await;
    keys.publish(&[P256.jwk("main")]);
    let bench = Bench::new(|corp| corp.jwks_url = parse_address(&format!("{}/keys", keys.url)).ok()).await;
    bench.provider.set_discovery(&Value::Null);
    bench.provider.publish(&[]);
    bench.ask(&bench.token(json!({}), json!({}))).await.unwrap();
    assert_eq!((keys.fetched(), bench.provider.fetched()), (1, 0));
}

#[tokio::test]
async fn keys_are_fetched_ahead_and_again_until_told_to_stop() {
    let bench = Bench::new(|_| ()).await;
    let shutdown = CancellationToken::new();
    let refresh = bench.identity.spawn_refresh(shutdown.clone());
    bench.provider.asked(2).await;
    bench.ask(&bench.token(json!({}), json!({}))).await.unwrap();
    assert_eq!(bench.provider.fetched(), 1);
    tokio::time::pause();
    // Discovery and keys while all is well; discovery alone while the provider fails.
    for (mode, asked, pause) in [(Mode::Answer, 4, 300..=900), (Mode::Fail, 5, 300..=900), (Mode::Fail, 6, 30..=60)] {
        let before = Instant::now();
        bench.provider.set_mode(mode);
        bench.clock.advance(Duration::from_mins(1));
        bench.provider.asked(asked).await;
        assert!(pause.contains(&before.elapsed().as_secs()), "{mode:?} {asked} {:?}", before.elapsed());
    }
    shutdown.cancel();
    refresh.await.unwrap();
}
