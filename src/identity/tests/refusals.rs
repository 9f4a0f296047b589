use super::{super::testing::*, fault, reason};
use crate::{
    identity::{Algorithm, AuthFault, IssuerConfig, MAX_TOKEN, bearer_token},
    model::IssuerName,
};
use aws_lc_rs::hmac;
use serde_json::{Value, json};

/// Signs with HMAC, the published key as the secret: what a verifier that trusts `alg` would accept.
fn hmac_token(secret: &[u8], claims: &Value) -> String {
    let signed = format!("{}.{}", b64(r#"{"alg":"HS256","kid":"main"}"#), b64(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", b64(tag))
}

#[tokio::test]
async fn forged_and_malformed_tokens_are_refused() {
    const NO_JWT: &str = "it is not a signed JWT of three parts";
    const HEADER: &str = "its header is not a JSON object in base64url with each name once";
    const CLAIMS: &str = "its claims are not a JSON object in base64url with each name once";
    const ALG: &str = "its alg is not one its issuer may use";
    const TYP: &str = "its typ is not one that is taken";
    const SIGNATURE: &str = "its signature is not its issuer's";
    const CRIT: &str = "its header has crit, and no extension is understood here";
    const JWK: &str = "its header brings a key of its own";
    const ISSUER: &str = "its iss is not an issuer that is accepted here";

    let bench = Bench::new(|_| ()).await;
    let attacker = TestKey::p256();
    let elsewhere = FakeIssuer::start().await;
    elsewhere.publish(&[attacker.jwk("main")]);
    let good = bench.token(json!({}), json!({}));
    let claims = bench.claims(json!({}));
    let text = claims.to_string();
    let parts: Vec<&str> = good.split('.').collect();
    let header = r#"{"alg":"ES256","kid":"main"}"#;
    let (x, pem_like) = (P256.jwk("main")["x"].as_str().unwrap().to_owned(), P256.jwk("main").to_string());
    let forged = |header: Value| attacker.sign(&header, &claims);
    let own = |header: Value| bench.token(header, json!({}));
    let other = bench.token(json!({}), json!({"sub": "bob"}));

    for (attack, token, expected) in [
        ("empty", String::new(), NO_JWT),
        ("one part", "x".to_owned(), NO_JWT),
        ("two parts", format!("{}.{}", parts[0], parts[1]), NO_JWT),
        ("five parts, encrypted", format!("{good}.x.y"), NO_JWT),
        ("not base64url", format!("{}.{}.{}", parts[0], "+/", parts[2]), CLAIMS),
        ("padded", format!("{}=.{}.{}", b64(header), parts[1], parts[2]), HEADER),
        ("header is a list", P256.sign_text("ES256", "[]", &text), HEADER),
        ("header is not JSON", P256.sign_text("ES256", "{", &text), HEADER),
        ("header name twice", P256.sign_text("ES256", r#"{"alg":"none","alg":"ES256","kid":"main"}"#, &text), HEADER),
        ("claims are a string", P256.sign_text("ES256", header, "\"alice\""), CLAIMS),
        ("claims are not UTF-8", P256.sign_text("ES256", header, b"{\"sub\":\"\xff\"}"), CLAIMS),
        ("claim twice", P256.sign_text("ES256", header, text.replacen('{', r#"{"sub":"root","#, 1)), CLAIMS),
        (
            "claim twice within",
            P256.sign_text("ES256", header, text.replacen('{', r#"{"a":{"b":1,"b":2},"#, 1)),
            CLAIMS,
        ),
        ("more after the claims", P256.sign_text("ES256", header, format!("{text}{{}}")), CLAIMS),
        ("no alg", own(json!({"alg": null})), ALG),
        ("alg none", format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(&text)), ALG),
        ("alg nOnE, signature kept", format!("{}.{}.{}", b64(r#"{"alg":"nOnE"}"#), b64(&text), parts[2]), ALG),
        ("HMAC, coordinate as secret", hmac_token(x.as_bytes(), &claims), ALG),
        ("HMAC, key document as secret", hmac_token(pem_like.as_bytes(), &claims), ALG),
        ("alg in the wrong case", own(json!({"alg": "es256"})), ALG),
        ("alg not on the issuer's list", P384.sign(&json!({"alg": "ES384", "kid": "main"}), &claims), ALG),
        ("alg is a list", own(json!({"alg": ["ES256"]})), ALG),
        ("embedded jwk", forged(json!({"alg": "ES256", "jwk": attacker.jwk("main")})), JWK),
        ("embedded jwk beside a kid", forged(json!({"alg": "ES256", "kid": "main", "jwk": attacker.jwk("x")})), JWK),
        ("crit that is known elsewhere", own(json!({"crit": ["b64"], "b64": true})), CRIT),
        ("crit, empty", own(json!({"crit": []})), CRIT),
        ("typ of another kind", own(json!({"typ": "dpop+jwt"})), TYP),
        ("typ of a logout token", own(json!({"typ": "logout+jwt"})), TYP),
        ("typ is a number", own(json!({"typ": 1})), TYP),
        ("kid is a number", own(json!({"kid": 1})), "its kid is not a string"),
        ("kid with a path", own(json!({"kid": "../main"})), "its kid is not one its issuer publishes"),
        (
            "jku elsewhere",
            forged(json!({"alg": "ES256", "kid": "main", "jku": format!("{}/keys", elsewhere.url)})),
            SIGNATURE,
        ),
        (
            "x5u elsewhere",
            forged(json!({"alg": "ES256", "kid": "main", "x5u": format!("{}/keys", elsewhere.url)})),
            SIGNATURE,
        ),
        ("another's signature", forged(json!({"alg": "ES256", "kid": "main"})), SIGNATURE),
        (
            "claims of another token",
            format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]),
            SIGNATURE,
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), SIGNATURE),
        ("signature cut", good[..good.len() - 4].to_owned(), SIGNATURE),
        ("signature of zeros", format!("{}.{}.{}", parts[0], parts[1], b64([0; 64])), SIGNATURE),
        (
            "key of another kind",
            RSA.sign(&json!({"alg": "RS256", "kid": "main"}), &claims),
            "its alg does not fit the key it names",
        ),
        ("another issuer", bench.token(json!({}), json!({"iss": elsewhere.url})), ISSUER),
        (
            "issuer with a slash more",
            bench.token(json!({}), json!({"iss": format!("{}/", bench.provider.url)})),
            ISSUER,
        ),
        ("issuer in a list", bench.token(json!({}), json!({"iss": [bench.provider.url]})), ISSUER),
        ("no issuer", bench.token(json!({}), json!({"iss": null})), ISSUER),
        ("16 KiB and a byte", format!("{good}{}", "x".repeat(MAX_TOKEN + 1 - good.len())), "it is over 16 KiB"),
        ("16 KiB", format!("{good}{}", "x".repeat(MAX_TOKEN - good.len())), SIGNATURE),
    ] {
        assert_eq!(reason(bench.ask(&token).await), expected, "{attack}");
    }
    assert_eq!(elsewhere.fetched(), 0);
    bench.ask(&good).await.expect("the good token, after all that");
}

#[tokio::test]
async fn no_character_of_a_token_can_be_changed() {
    let bench = Bench::new(|_| ()).await;
    let good = bench.token(json!({"typ": "JWT"}), json!({"groups": ["dev"]}));
    bench.ask(&good).await.unwrap();
    for at in 0..good.len() {
        for other in ["A", "B", "_", ".", "=", " ", "é", ""] {
            let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            assert!(changed == good || bench.ask(&changed).await.is_err(), "{at} {other}");
        }
    }
}

#[tokio::test]
async fn claims_that_do_not_hold_are_refused() {
    const AUD: &str = "its aud is neither a string nor a list of strings";
    const NOT_OURS: &str = "its aud does not name Hallpass";
    const SEVERAL: &str = "it has several audiences, and its azp is not an authorized party";
    const AZP: &str = "its azp is not an authorized party";
    const EXP: &str = "its exp is not a time";
    const GROUPS: &str = "its groups are neither a string nor a list of strings";
    const USER: &str = "its user is no name, or one that is another issuer's to give";

    let github = workload("github", "https://token.example.com");
    let bench = Bench::beside(vec![github], |corp| corp.authorized_parties = vec!["cli".to_owned()]).await;
    for (claims, expected) in [
        (json!({"aud": null}), "it has no aud"),
        (json!({"aud": 1}), AUD),
        (json!({"aud": ["hallpass", 1]}), AUD),
        (json!({"aud": {"hallpass": true}}), AUD),
        (json!({"aud": []}), NOT_OURS),
        (json!({"aud": "Hallpass"}), NOT_OURS),
        (json!({"aud": "hallpass "}), NOT_OURS),
        (json!({"aud": ["other", "another"], "azp": "cli"}), NOT_OURS),
        (json!({"aud": ["hallpass", "other"]}), SEVERAL),
        (json!({"aud": ["hallpass", "other"], "azp": "other"}), SEVERAL),
        (json!({"azp": "other"}), AZP),
        (json!({"aud": ["hallpass", "hallpass"], "azp": "other"}), AZP),
        (json!({"azp": ["cli"]}), "its azp is not a string"),
        (json!({"exp": null}), "it has no exp"),
        (json!({"exp": (NOW + 600).to_string()}), EXP),
        (json!({"exp": true}), EXP),
        (json!({"exp": 1e300}), EXP),
        (json!({"exp": u64::MAX}), EXP),
        (json!({"exp": 9_999_999_999_999_i64}), EXP),
        (json!({"nbf": NOW + 61}), "its nbf is not reached yet"),
        (json!({"nbf": "0"}), "its nbf is not a time"),
        (json!({"iat": NOW + 61}), "its iat lies in the future"),
        (json!({"iat": [NOW]}), "its iat is not a time"),
        (json!({"auth_time": NOW + 61}), "its auth_time lies in the future"),
        (json!({"auth_time": "now"}), "its auth_time is not a time"),
        (json!({"sub": null}), "the claim that names its user is missing"),
        (json!({"sub": ["alice"]}), "its sub is not a name"),
        (json!({"sub": ""}), "its sub is not a name"),
        (json!({"sub": "al\u{0}ice"}), "its sub is not a name"),
        (json!({"sub": "ali\u{200b}ce"}), "its sub is not a name"),
        (json!({"sub": "Zoe\u{308}"}), "its sub is not a name"),
        (json!({"sub": "x".repeat(257)}), "its sub is not a name"),
        (json!({"sub": "github/repo:acme/shop"}), USER),
        (json!({"jti": 7}), "its jti is not a name"),
        (json!({"groups": 1}), GROUPS),
        (json!({"groups": {"admins": true}}), GROUPS),
        (json!({"groups": ["admins", 1]}), GROUPS),
        (json!({"groups": [["admins"]]}), GROUPS),
        (
            json!({"groups": vec!["g"; 1001]}),
            "it has more than 1000 groups; let its issuer send only those for Hallpass",
        ),
    ] {
        assert_eq!(reason(bench.caller(claims.clone()).await), expected, "{claims}");
    }
    let null_groups = bench.claims(json!({})).to_string().replacen('{', r#"{"groups":null,"#, 1);
    let token = P256.sign_text("ES256", r#"{"alg":"ES256","kid":"main"}"#, null_groups);
    assert_eq!(reason(bench.ask(&token).await), GROUPS);
}

#[tokio::test]
async fn an_email_counts_once_it_is_verified() {
    let by_email = |corp: &mut IssuerConfig, trust| {
        let people = of_people(corp);
        people.principal_claim = "email".to_owned();
        people.trust_unverified_email = trust;
    };
    let strict = Bench::new(|corp| by_email(corp, false)).await;
    let trusting = Bench::new(|corp| by_email(corp, true)).await;
    let refusal = Err("it does not say email_verified: true");
    let alice = Ok("user:alice@example.com".to_owned());
    for (verified, strict_outcome) in [
        (json!(true), alice.clone()),
        (json!(false), refusal.clone()),
        (json!("true"), refusal.clone()),
        (json!(1), refusal.clone()),
        (Value::Null, refusal),
    ] {
        for (bench, expected) in [(&strict, strict_outcome), (&trusting, alice.clone())] {
            let outcome = bench.caller(json!({"email": "alice@example.com", "email_verified": verified})).await;
            let shown = outcome.map(|caller| caller.principal().to_string()).map_err(|error| reason(Err(error)));
            assert_eq!(shown, expected, "{verified}");
        }
    }
    let nobody = strict.caller(json!({"email_verified": true})).await;
    assert_eq!(reason(nobody), "the claim that names its user is missing");
}

#[tokio::test]
async fn an_error_names_the_issuer_and_never_the_token() {
    let bench = Bench::new(|_| ()).await;
    let corp = IssuerName::parse("corp").unwrap();
    for (token, known) in [
        (bench.token(json!({"alg": "HS256"}), json!({})), true),
        (bench.token(json!({}), json!({"exp": NOW - 3600})), true),
        (bench.token(json!({}), json!({"iss": "https://other.example.com"})), false),
        ("sesame".to_owned(), false),
    ] {
        let error = bench.ask(&token).await.unwrap_err();
        assert_eq!(error.issuer(), known.then_some(&corp), "{error}");
        for secret in token.split('.') {
            assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
        }
    }
}

#[tokio::test]
async fn each_issuers_key_verifies_its_own_tokens_only() {
    let lab = FakeIssuer::start().await;
    let lab_key = TestKey::p256();
    lab.publish(&[lab_key.jwk("main")]);
    let bench = Bench::beside(vec![people("lab", &lab.url, "lab/")], |_| ()).await;
    let header = json!({"alg": "ES256", "kid": "main"});
    let as_lab = bench.claims(json!({"iss": lab.url}));
    assert_eq!(bench.ask(&lab_key.sign(&header, &as_lab)).await.unwrap().principal().to_string(), "user:lab/alice");
    assert_eq!(reason(bench.ask(&P256.sign(&header, &as_lab)).await), "its signature is not its issuer's");
    let as_corp = lab_key.sign(&header, &bench.claims(json!({})));
    assert_eq!(reason(bench.ask(&as_corp).await), "its signature is not its issuer's");
}

#[tokio::test]
async fn a_key_verifies_only_what_it_was_published_for() {
    let bench = Bench::new(|corp| corp.algorithms = Algorithm::ALL.to_vec()).await;
    let with = |mut jwk: Value, member: &str, value: Value| {
        jwk[member] = value;
        jwk
    };
    let rsa = RSA.jwk("k");
    let mut modulus = unb64(&rsa["n"]);
    modulus[0] &= 0x7f;
    let weak = with(rsa.clone(), "n", json!(b64(modulus)));
    let off_curve = with(P256.jwk("k"), "y", P256.jwk("k")["x"].clone());
    for (published, usable) in [
        (rsa.clone(), true),
        (with(rsa.clone(), "use", json!("sig")), true),
        (with(rsa.clone(), "key_ops", json!(["verify"])), true),
        (with(rsa.clone(), "alg", json!("RS256")), true),
        (with(rsa.clone(), "n", json!(b64([&[0], &unb64(&rsa["n"])[..]].concat()))), true),
        (with(rsa.clone(), "use", json!("enc")), false),
        (with(rsa.clone(), "key_ops", json!(["encrypt"])), false),
        (with(rsa.clone(), "key_ops", json!("verify")), false),
        (with(rsa.clone(), "alg", json!("ES256")), false),
        (with(rsa.clone(), "alg", json!("RSA-OAEP")), false),
        (with(rsa.clone(), "alg", json!("HS256")), false),
        (with(rsa.clone(), "d", json!("AQAB")), false),
        (with(rsa.clone(), "e", json!("AQ")), false),
        (with(rsa.clone(), "e", json!("AAAA")), false),
        (with(rsa.clone(), "n", json!("not base64!")), false),
        (with(rsa.clone(), "n", json!(b64(vec![0xff; 1025]))), false),
        (with(rsa.clone(), "kid", json!(7)), false),
        (weak, false),
        (off_curve, false),
        (with(P256.jwk("k"), "crv", json!("P-384")), false),
        (with(P256.jwk("k"), "crv", json!("secp256k1")), false),
        (with(ED25519.jwk("k"), "x", json!("AAAA")), false),
        (with(ED25519.jwk("k"), "crv", json!("Ed448")), false),
        (json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0"}), false),
        (json!({"kty": "RSA", "kid": "k"}), false),
        (json!("a text"), false),
        (Value::Null, false),
    ] {
        let outcome = super::super::jwk::Key::read(&published).map(|_| ());
        assert_eq!(outcome.is_ok(), usable, "{published} {outcome:?}");
    }

    bench.provider.publish(&[with(rsa, "alg", json!("RS256"))]);
    for (algorithm, ok) in [("RS256", true), ("RS512", false), ("PS256", false)] {
        let token = RSA.sign(&json!({"alg": algorithm, "kid": "k"}), &bench.claims(json!({})));
        let outcome = bench.ask(&token).await;
        assert_eq!(outcome.is_ok(), ok, "{algorithm} {outcome:?}");
    }
}

fn unb64(text: &Value) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

#[test]
fn one_header_holds_one_token() {
    const NOT_ONE: AuthFault = AuthFault::Invalid("the Authorization header does not hold one bearer token");
    const NONE: AuthFault = AuthFault::Unauthenticated;
    for (headers, expected) in [
        (&[&b"Bearer a.b.c"[..]][..], Ok("a.b.c")),
        (&[b"bEARER   a.b.c "], Ok("a.b.c")),
        (&[], Err(NONE)),
        (&[b""], Err(NONE)),
        (&[b"a.b.c"], Err(NONE)),
        (&[b"Basic YWxpY2U6cHc="], Err(NONE)),
        (&[b"BearerX a.b.c"], Err(NONE)),
        (&[b"Bearer"], Err(NOT_ONE)),
        (&[b"Bearer  "], Err(NOT_ONE)),
        (&[b"Bearer a.b.c d.e.f"], Err(NOT_ONE)),
        (&[b"Bearer a.b.c, Bearer d.e.f"], Err(NOT_ONE)),
        (&[b"Bearer a.b.c,"], Err(NOT_ONE)),
        (&[b"Bearer a.b.\xff"], Err(AuthFault::Invalid("the Authorization header is not text"))),
        (&[b"Bearer a.b.c", b"Bearer a.b.c"], Err(AuthFault::Invalid("there is more than one Authorization header"))),
        (&[b"Basic x", b"Bearer a.b.c"], Err(AuthFault::Invalid("there is more than one Authorization header"))),
    ] {
        let token = bearer_token(headers.iter().copied()).map_err(|error| error.fault());
        assert_eq!(token, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_token_ends_with_its_time_cached_or_not() {
    let bench = Bench::new(|_| ()).await;
    let short = bench.token(json!({}), json!({"exp": NOW_F + 10.9}));
    let early = bench.token(json!({}), json!({"nbf": NOW + 60, "iat": NOW_F + 60.9, "auth_time": NOW + 60}));
    let long = bench.token(json!({}), json!({}));
    for token in [&short, &early, &long] {
        bench.ask(token).await.unwrap();
    }
    bench.clock.advance(std::time::Duration::from_millis(69_999));
    bench.ask(&short).await.expect("exp is floored, and 60 s of leeway follow");
    bench.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(fault(bench.ask(&short).await), AuthFault::Expired);
    let never_seen = bench.token(json!({}), json!({"exp": NOW + 10, "jti": "other"}));
    assert_eq!(fault(bench.ask(&never_seen).await), AuthFault::Expired);
    bench.ask(&long).await.expect("another token is not touched by that");
}
