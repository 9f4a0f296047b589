//! The demo's AWS, asked by the AWS SDK and the AWS CLI: it takes what AWS takes, and refuses the rest in AWS's words.

use crate::support::moto::{BROKER, aws_at};
use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_sts::{
    Client,
    config::Credentials,
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId as _, assume_role::builders::AssumeRoleFluentBuilder as Call},
    types::{PolicyDescriptorType, Tag},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextMut, dyn_dispatch_hint},
        orchestrator::HttpResponse,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};
use hallpass::{
    clock::Clock,
    demo::aws::{self, BROKER_ARN, TrustingRole},
    model::RoleArn,
};
use std::time::{Duration, Instant};

const ALL: [&str; 3] = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
const HOURS_4: u32 = 4 * 3600;

fn arn(role: &str) -> String {
    format!("arn:aws:iam::111122223333:role/teams/{role}")
}

fn role(name: &str, principal: &str, actions: &[&'static str]) -> TrustingRole {
    TrustingRole {
        arn: RoleArn::parse(&arn(name)).unwrap(),
        max_session: HOURS_4,
        principal: principal.to_owned(),
        actions: actions.to_vec(),
        external_id: Some("right-id".to_owned()),
    }
}

/// A running one; its address. Its clock goes after ours, so that a session can end while our signatures are fresh.
async fn start() -> (String, Clock) {
    let roles = [
        role("Open", BROKER_ARN, &ALL),
        role("Untagged", BROKER_ARN, &["sts:AssumeRole", "sts:SetSourceIdentity"]),
        role("Nameless", BROKER_ARN, &["sts:AssumeRole", "sts:TagSession"]),
        role("Foreign", "arn:aws:iam::999988887777:user/somebody-else", &ALL),
        role("Second", &arn("Open"), &ALL),
    ];
    let find = move |arn: &RoleArn| roles.iter().find(|role| role.arn == *arn).cloned();
    let clock = Clock::settable(Clock::system().now().minus(Duration::from_secs(100)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}", aws::spawn(listener, Box::new(find), clock.clone()).unwrap()), clock)
}

fn client(url: &str, id: &str, secret: &str, token: Option<&str>) -> Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new(id, secret, token.map(str::to_owned), None, "test"))
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

fn broker(url: &str) -> Client {
    client(url, BROKER[0].1, BROKER[1].1, None)
}

/// Status, code and message.
fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata>(
    outcome: Result<T, SdkError<E, HttpResponse>>,
) -> (u16, String, String)
where
    SdkError<E, HttpResponse>: std::fmt::Debug,
{
    let error = outcome.unwrap_err();
    assert!(error.request_id().is_some(), "{error:?}");
    let status = error.raw_response().unwrap().status().as_u16();
    (status, error.code().unwrap().to_owned(), error.message().unwrap().to_owned())
}

fn open(client: &Client) -> Call {
    client.assume_role().role_arn(arn("Open")).role_session_name("alice=1").external_id("right-id")
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

const STATEMENT: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

#[tokio::test]
async fn minted_credentials_are_the_session_until_it_ends() {
    let (url, clock) = start().await;
    let call = open(&broker(&url)).source_identity("alice").tags(tag("Team", "shop + söhne")).policy(STATEMENT);
    let answer = call.duration_seconds(900).send().await.unwrap();
    let session = answer.credentials().unwrap();
    let user = answer.assumed_role_user().unwrap();
    assert_eq!(user.arn(), "arn:aws:sts::111122223333:assumed-role/Open/alice=1");
    assert!(user.assumed_role_id().starts_with("AROA") && user.assumed_role_id().ends_with(":alice=1"), "{user:?}");
    assert_eq!(answer.source_identity(), Some("alice"));
    assert_eq!(session.expiration().secs(), clock.now().as_micros() / 1_000_000 + 900);
    assert!(session.access_key_id().starts_with("ASIA"));
    assert!(session.session_token().contains("WorksNowhereElse"));

    let (id, secret, token) = (session.access_key_id(), session.secret_access_key(), session.session_token());
    let own = client(&url, id, secret, Some(token));
    let who = own.get_caller_identity().send().await.unwrap();
    assert_eq!(who.arn(), Some(user.arn()));
    assert_eq!((who.account(), who.user_id()), (Some("111122223333"), Some(user.assumed_role_id())));
    for (id, secret, token, code) in [
        (id, "another secret", Some(token), "SignatureDoesNotMatch"),
        (id, secret, Some("another token"), "InvalidClientTokenId"),
        (id, secret, None, "InvalidClientTokenId"),
        ("ASIADEMOUNKNOWN23456", secret, Some(token), "InvalidClientTokenId"),
    ] {
        let refused = refusal(client(&url, id, secret, token).get_caller_identity().send().await);
        assert_eq!((refused.0, refused.1.as_str()), (403, code));
    }

    // Chaining: a role that trusts this role gives an hour.
    let chained = || open(&own).role_arn(arn("Second"));
    chained().duration_seconds(3600).send().await.unwrap();
    let refused = refusal(chained().duration_seconds(3601).send().await);
    assert_eq!(refused.1, "ValidationError");
    assert!(refused.2.contains("role chaining"), "{refused:?}");

    // An SDK goes by the service's clock as its last answer told it.
    clock.advance(Duration::from_mins(10));
    own.get_caller_identity().send().await.unwrap();
    clock.advance(Duration::from_secs(301));
    let refused = refusal(own.get_caller_identity().send().await);
    assert_eq!((refused.0, refused.1.as_str()), (403, "ExpiredToken"));
}

/// A call that is changed in one respect.
type Change = Box<dyn Fn(Call) -> Call>;

/// Each changed call is refused so: code, and a part of the message.
async fn assert_refused(status: u16, cases: Vec<(Change, &str, String)>) {
    let (url, _) = start().await;
    let broker = broker(&url);
    for (at, (change, code, message)) in cases.into_iter().enumerate() {
        let refused = refusal(change(open(&broker)).send().await);
        assert_eq!((refused.0, refused.1.as_str()), (status, code), "case {at}: {refused:?}");
        assert!(refused.2.contains(&message), "case {at}: {refused:?} lacks {message}");
    }
}

#[tokio::test]
async fn the_trust_policy_decides_who_may_do_what() {
    let cases: [(Change, _, _); 7] = [
        (Box::new(|c| c.external_id("wrong-id")), "sts:AssumeRole", "Open"),
        (Box::new(|c| c.set_external_id(None)), "sts:AssumeRole", "Open"),
        (Box::new(|c| c.role_arn(arn("Foreign"))), "sts:AssumeRole", "Foreign"),
        (Box::new(|c| c.role_arn(arn("Missing"))), "sts:AssumeRole", "Missing"),
        (Box::new(|c| c.role_arn(arn("Second"))), "sts:AssumeRole", "Second"),
        (Box::new(|c| c.role_arn(arn("Untagged")).tags(tag("team", "shop"))), "sts:TagSession", "Untagged"),
        (Box::new(|c| c.role_arn(arn("Nameless")).source_identity("alice")), "sts:SetSourceIdentity", "Nameless"),
    ];
    let cases = cases.map(|(change, action, role)| {
        let role = arn(role);
        let words = format!("User: {BROKER_ARN} is not authorized to perform: {action} on resource: {role}");
        (change, "AccessDenied", words)
    });
    assert_refused(403, cases.into()).await;
}

fn many_tags(count: usize) -> Change {
    Box::new(move |call| (0..count).fold(call, |call, n| call.tags(tag(&format!("k{n}"), ""))))
}

fn many_policies(call: Call) -> Call {
    let policy = PolicyDescriptorType::builder().arn("arn:aws:iam::aws:policy/ReadOnlyAccess").build();
    call.set_policy_arns(Some(vec![policy; 11]))
}

#[tokio::test]
async fn every_parameter_has_its_limits() {
    let over = |what: &str, limit: u32| {
        format!("at '{what}' failed to satisfy constraint: Member must have length less than or equal to {limit}")
    };
    let under = |what: &str, limit: u32| {
        format!("at '{what}' failed to satisfy constraint: Member must have length greater than or equal to {limit}")
    };
    let pattern = |what: &str| {
        format!("at '{what}' failed to satisfy constraint: Member must satisfy regular expression pattern: ")
    };
    let value =
        |limit: &str| format!("at 'durationSeconds' failed to satisfy constraint: Member must have value {limit}");
    let words = str::to_owned;
    let cases: Vec<(Change, String)> = vec![
        (Box::new(|c| c.role_arn("arn:aws:iam::1:role/Open")), words("arn:aws:iam::1:role/Open is invalid")),
        (Box::new(|c| c.role_arn("too short")), under("roleArn", 20)),
        (Box::new(|c| c.role_arn(arn(&"a".repeat(2048)))), over("roleArn", 2048)),
        (Box::new(|c| c.set_role_session_name(None)), words("Value null at 'roleSessionName'")),
        (Box::new(|c| c.role_session_name("a")), under("roleSessionName", 2)),
        (Box::new(|c| c.role_session_name("a".repeat(65))), over("roleSessionName", 64)),
        (Box::new(|c| c.role_session_name("a b")), pattern("roleSessionName")),
        (Box::new(|c| c.role_session_name("a\u{1}<é>&")), words("Value 'a\u{fffd}<é>&'")),
        (Box::new(|c| c.role_session_name("a/b").source_identity("c:d")), words("2 validation errors detected: ")),
        (Box::new(|c| c.source_identity("a")), under("sourceIdentity", 2)),
        (Box::new(|c| c.source_identity("a".repeat(65))), over("sourceIdentity", 64)),
        (Box::new(|c| c.source_identity("aws:alice")), pattern("sourceIdentity")),
        (Box::new(|c| c.external_id("a")), under("externalId", 2)),
        (Box::new(|c| c.external_id("a".repeat(1225))), over("externalId", 1224)),
        (Box::new(|c| c.external_id("a b")), pattern("externalId")),
        (Box::new(|c| c.duration_seconds(899)), value("greater than or equal to 900")),
        (Box::new(|c| c.duration_seconds(43_201)), value("less than or equal to 43200")),
        (Box::new(|c| c.duration_seconds(14_401)), words("exceeds the MaxSessionDuration set for this role.")),
        (Box::new(|c| c.policy("")), under("policy", 1)),
        (Box::new(|c| c.policy("x".repeat(2049))), over("policy", 2048)),
        (Box::new(|c| c.policy("日本")), pattern("policy")),
        (Box::new(many_policies), over("policyArns", 10)),
        (many_tags(51), over("tags", 50)),
        (Box::new(|c| c.tags(tag("", "x"))), under("tags.1.member.key", 1)),
        (Box::new(|c| c.tags(tag(&"k".repeat(129), ""))), over("tags.1.member.key", 128)),
        (Box::new(|c| c.tags(tag("k", &"v".repeat(257)))), over("tags.1.member.value", 256)),
        (Box::new(|c| c.tags(tag("k", "a#b"))), pattern("tags.1.member.value")),
        (Box::new(|c| c.set_transitive_tag_keys(Some(vec!["k".to_owned(); 51]))), over("transitiveTagKeys", 50)),
    ];
    let cases = cases.into_iter().map(|(change, message)| (change, "ValidationError", message));
    assert_refused(400, cases.collect()).await;
}

#[tokio::test]
async fn policies_and_tags_must_make_sense_and_fit_together() {
    let large = format!(r#"{{"Statement":[{{"Sid":"{}"}}]}}"#, "x".repeat(2020));
    let cases: Vec<(Change, _, &str)> = vec![
        (Box::new(|c| c.policy("{")), "MalformedPolicyDocument", "Syntax errors in policy."),
        (Box::new(|c| c.policy(r#"{"Version":"2012-10-17"}"#)), "MalformedPolicyDocument", ""),
        (
            Box::new(move |c| c.policy(&large).tags(tag("team", "shop"))),
            "PackedPolicyTooLarge",
            "Packed policy consumes 101% of allotted space",
        ),
        (
            Box::new(|c| c.tags(tag("Team", "a")).tags(tag("team", "b"))),
            "InvalidParameterValue",
            "Duplicate tag keys found.",
        ),
    ];
    let cases = cases.into_iter().map(|(change, code, message)| (change, code, message.to_owned()));
    assert_refused(400, cases.collect()).await;
}

#[tokio::test]
async fn what_is_within_the_limits_is_taken() {
    let (url, _) = start().await;
    let broker = broker(&url);
    let cases: Vec<Change> = vec![
        Box::new(|c| c),
        Box::new(|c| c.role_session_name("ab").source_identity("a".repeat(64)).duration_seconds(900)),
        Box::new(|c| c.role_session_name("a".repeat(64)).duration_seconds(14_400)),
        many_tags(50),
        Box::new(|c| c.tags(tag("Straße.:/=+-@", "日本 ٣"))),
        Box::new(|c| c.policy("{ \"Statement\":\r\n\t[{\"Sid\":\"ÿ\"}] }")),
        Box::new(|c| c.role_arn(arn("Untagged"))),
        Box::new(|c| c.role_arn(arn("Nameless"))),
    ];
    for (at, change) in cases.into_iter().enumerate() {
        change(open(&broker)).send().await.unwrap_or_else(|error| panic!("case {at}: {error:?}"));
    }
}

/// Changes the body behind the signature's back; its length stays.
#[derive(Debug)]
struct Tampers;

#[dyn_dispatch_hint]
impl Intercept for Tampers {
    fn name(&self) -> &'static str {
        "Tampers"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = std::str::from_utf8(context.request().body().bytes().unwrap())?.replace("alice", "mallo");
        *context.request_mut().body_mut() = SdkBody::from(body);
        Ok(())
    }
}

#[tokio::test]
async fn only_what_was_signed_counts() {
    let (url, clock) = start().await;
    let refused = refusal(open(&broker(&url)).customize().interceptor(Tampers).send().await);
    assert_eq!((refused.0, refused.1.as_str()), (403, "SignatureDoesNotMatch"));
    let wrong = client(&url, BROKER[0].1, "another secret", None);
    assert_eq!(refusal(wrong.get_caller_identity().send().await).1, "SignatureDoesNotMatch");
    let unknown = client(&url, "AKIAUNKNOWN", BROKER[1].1, None);
    assert_eq!(refusal(unknown.get_caller_identity().send().await).1, "InvalidClientTokenId");
    assert_eq!(refusal(broker(&url).get_session_token().send().await).1, "InvalidAction");

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (authorization, status, code) in [
        (None, 403, "MissingAuthenticationToken"),
        (Some("Bearer x"), 400, "IncompleteSignature"),
        (Some("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE"), 400, "IncompleteSignature"),
        (
            Some(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu-west-1/sts/aws4_request, SignedHeaders=host, Signature=00",
            ),
            400,
            "IncompleteSignature",
        ),
        (
            Some(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=00",
            ),
            400,
            "IncompleteSignature",
        ),
    ] {
        let request = http.post(&url).body("Action=GetCallerIdentity&Version=2011-06-15");
        let request = authorization.into_iter().fold(request, |request, value| request.header("authorization", value));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{authorization:?}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(&format!("<Code>{code}</Code>")), "{authorization:?}: {text}");
    }

    broker(&url).get_caller_identity().send().await.unwrap();
    clock.advance(Duration::from_secs(1010));
    let refused = refusal(broker(&url).get_caller_identity().send().await);
    assert_eq!(refused.1, "SignatureDoesNotMatch");
    assert!(refused.2.starts_with("Signature expired"), "{refused:?}");
}

#[tokio::test]
async fn it_is_slow_throttles_and_fails_when_told_to() {
    let (url, _) = start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let tell = async |words: &'static str| {
        let answer = http.put(format!("{url}/behaviour")).body(words).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for (words, status, code) in [("throttle", 400, "Throttling"), (" fail\n", 500, "InternalFailure")] {
        assert_eq!(tell(words).await, (200, format!("{}, until it is told: normal\n", words.trim())));
        let refused = refusal(open(&broker(&url)).send().await);
        assert_eq!((refused.0, refused.1.as_str()), (status, code));
    }
    assert_eq!(tell("slow 1s").await.0, 200);
    let began = Instant::now();
    open(&broker(&url)).send().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    for nonsense in ["", "slow", "slow soon", "explode"] {
        assert_eq!(tell(nonsense).await.0, 422, "{nonsense}");
    }
    assert_eq!(http.get(format!("{url}/behaviour")).send().await.unwrap().text().await.unwrap(), "slow 1s\n");
    assert_eq!(tell("normal").await, (200, "normal\n".to_owned()));
    let began = Instant::now();
    open(&broker(&url)).send().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_cli_takes_its_answers() {
    let (url, _) = start().await;
    let query = ["--query", "Credentials.[AccessKeyId,SecretAccessKey,SessionToken]", "--output", "text"];
    let role = arn("Open");
    let assume = ["sts", "assume-role", "--role-arn", &role, "--role-session-name", "cli", "--external-id"];
    let Some(keys) = aws_at(&url, &BROKER, &[&assume[..], &["right-id"], &query].concat()) else { return };
    let keys: Vec<&str> = keys.split_whitespace().collect();
    let [id, secret, token] = keys[..] else { panic!("{keys:?}") };
    let session = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret), ("AWS_SESSION_TOKEN", token)];
    let who = aws_at(&url, &session, &["sts", "get-caller-identity", "--query", "Arn", "--output", "text"]).unwrap();
    assert_eq!(who, "arn:aws:sts::111122223333:assumed-role/Open/cli");
    let refused = aws_at(&url, &BROKER, &[&assume[..], &["wrong-id"]].concat()).unwrap();
    assert!(refused.contains("(AccessDenied) when calling the AssumeRole operation"), "{refused}");
}

#[tokio::test]
async fn the_sign_in_service_takes_a_sessions_own_credentials() {
    let (url, clock) = start().await;
    let answer = open(&broker(&url)).duration_seconds(900).send().await.unwrap();
    let session = answer.credentials().unwrap();
    let (id, key, token) = (session.access_key_id(), session.secret_access_key(), session.session_token());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |action: &str, duration: Option<&str>, [id, key, token]: [&str; 3]| {
        let session = serde_json::json!({"sessionId": id, "sessionKey": key, "sessionToken": token}).to_string();
        let mut form = reqwest::Url::parse("http://form/").unwrap();
        form.query_pairs_mut().append_pair("Action", action).append_pair("Session", &session);
        if let Some(duration) = duration {
            form.query_pairs_mut().append_pair("SessionDuration", duration);
        }
        let request = http.post(format!("{url}/federation")).body(form.query().unwrap().to_owned());
        let reply = request.send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    let own = [id, key, token];
    for (action, duration, keys, status) in [
        ("getSigninToken", None, own, 200),
        ("getSigninToken", Some("900"), own, 200),
        ("getSigninToken", Some("43200"), own, 200),
        ("getSigninToken", Some("899"), own, 400),
        ("getSigninToken", Some("43201"), own, 400),
        ("getSigninToken", Some("x"), own, 400),
        ("logout", None, own, 400),
        ("getSigninToken", None, [id, "another", token], 400),
        ("getSigninToken", None, [id, key, "another"], 400),
        ("getSigninToken", None, ["ASIADEMOUNKNOWN23456", key, token], 400),
        ("getSigninToken", None, [BROKER[0].1, BROKER[1].1, ""], 400),
    ] {
        assert_eq!(ask(action, duration, keys).await.0, status, "{action} {duration:?} {}", keys[0]);
    }
    let (_, answer) = ask("getSigninToken", Some("3600"), own).await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let link =
        format!("{url}/federation?Action=login&Destination=x&SigninToken={}", answer["SigninToken"].as_str().unwrap());
    let look = async || http.get(&link).send().await.unwrap().status().as_u16();
    assert_eq!(look().await, 200);
    clock.advance(Duration::from_mins(15));
    assert_eq!(look().await, 400, "the link has ended");
    assert_eq!(ask("getSigninToken", None, own).await.0, 400, "and so has the session");
}
