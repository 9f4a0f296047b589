//! `agent`: the container protocol on loopback, for who has its token and means its address.

use crate::support::{
    Killed,
    app::{
        Persona::{Alice, Mallory},
        TestApp,
    },
    database::on_sqlite,
    person::Person,
    sts::Behaviour,
    until,
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    time::Duration,
};

/// A running agent, and what it printed.
pub(crate) struct Agent {
    pub(crate) process: Killed,
    pub(crate) lines: Vec<String>,
}

impl Agent {
    /// Until it serves: it has printed this many lines then.
    pub(crate) async fn start(person: &Person, arguments: &[&str], lines: usize) -> Self {
        let mut command = person.command(&[&["agent"], arguments].concat());
        let start = move || {
            let mut child = command.spawn().unwrap();
            let out = BufReader::new(child.stdout.take().unwrap());
            let lines: Vec<_> = out.lines().take(lines).map(Result::unwrap).collect();
            Self { process: Killed(child), lines }
        };
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// What `export NAME='…'` says, as a shell reads it.
    pub(crate) fn variable(&self, name: &str) -> String {
        let line = self.lines.iter().find_map(|line| line.strip_prefix(&format!("export {name}="))).unwrap();
        shlex::split(line).unwrap().join(" ")
    }
}

const URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";

async fn ask(method: Method, url: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let client = Client::builder().no_proxy().build().unwrap();
    let request =
        headers.iter().fold(client.request(method, url), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[test]
fn who_has_the_token_gets_what_the_protocol_says_and_nobody_else_anything() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let alice = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice));
        let agent = Agent::start(&alice, &["prod/ReadOnly"], 2).await;
        assert_eq!(test.sts.minted().len(), 1, "before anybody asks");
        let (url, token) = (agent.variable(URI), agent.variable(TOKEN));
        assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/v1/container/prod/ReadOnly"), "{url}");
        let bearer = format!("Bearer {token}");
        for authorization in [&token, &bearer] {
            let (status, body) = ask(Method::GET, &url, &[("authorization", authorization)]).await;
            let minted = test.sts.minted().remove(0);
            assert_eq!(status, 200, "{body}");
            let end = body["Expiration"].as_str().unwrap();
            assert!(end.ends_with('Z'), "{end}");
            assert_eq!(
                body,
                json!({
                    "AccessKeyId": minted.access_key_id, "SecretAccessKey": minted.secret_access_key,
                    "Token": minted.session_token, "Expiration": end, "AccountId": "111122223333",
                    "RoleArn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
                })
            );
        }

        let port = url.split(['/', ':']).nth(4).unwrap();
        let (localhost, other_port) = (format!("localhost:{port}"), "127.0.0.1:1".to_owned());
        let rebound = format!("evil.example:{port}");
        let good = ("authorization", token.as_str());
        let short = &token[..token.len() - 1];
        let elsewhere = url.replace("ReadOnly", "Deploy");
        let queried = format!("{url}?duration_seconds=43200");
        let bare = format!("http://127.0.0.1:{port}/");
        for (method, url, headers, status, code) in [
            (Method::GET, &url, &[][..], 401, "unauthenticated"),
            (Method::GET, &url, &[("authorization", short)], 401, "unauthenticated"),
            (Method::GET, &url, &[("authorization", &format!("{token}x"))], 401, "unauthenticated"),
            (Method::GET, &url, &[("authorization", &test.token(Alice))], 401, "unauthenticated"),
            (Method::GET, &url, &[good, ("host", &localhost)], 200, ""),
            (Method::GET, &url, &[good, ("host", &other_port)], 403, "forbidden"),
            (Method::GET, &url, &[good, ("host", &rebound)], 403, "forbidden"),
            (Method::POST, &url, &[good], 405, "method_not_allowed"),
            (Method::GET, &elsewhere, &[good], 403, "not_allowed"),
            (Method::GET, &queried, &[good], 404, "not_found"),
            (Method::GET, &bare, &[good], 404, "not_found"),
        ] {
            let (got, body) = ask(method, url, headers).await;
            assert_eq!((got, body["code"].as_str().unwrap_or_default()), (status, code), "{url} {headers:?}: {body}");
            assert!(status == 200 || (body["Code"] == body["code"] && body["Message"] == body["message"]), "{body}");
        }
        assert_eq!(test.sts.minted().len(), 1);

        // A second one knows nothing of the first one's token.
        let second = Agent::start(&alice, &["prod/ReadOnly"], 2).await;
        assert_ne!(second.variable(TOKEN), token);
        assert_eq!(ask(Method::GET, &second.variable(URI), &[good]).await.0, 401);
        test.close().await;
    });
}

#[test]
fn credentials_are_renewed_in_time_and_refusals_are_told() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let alice = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice));
        let agent = Agent::start(&alice, &["--json"], 1).await;
        let printed: Value = serde_json::from_str(&agent.lines[0]).unwrap();
        let (token, pattern) = (printed["token"].as_str().unwrap(), printed["roles"][0]["url"].as_str().unwrap());
        let url = |role: &str| pattern.replace("<account>/<role>", role);
        let get = async |role: &str| ask(Method::GET, &url(role), &[("authorization", token)]).await;
        let key = async || get("prod/ReadOnly").await.1["AccessKeyId"].to_string();
        let first = key().await;
        assert_eq!(key().await, first);
        let mut files = alice.files().into_iter().map(|(path, _)| path);
        let file = files.rfind(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
        let mut kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let mut last = async |left| {
            kept["expires_at"] = test.moment(Duration::from_secs(left)).into();
            fs::write(&file, kept.to_string()).unwrap();
            key().await
        };
        assert_eq!(last(960).await, first);
        assert_ne!(last(899).await, first);

        let (status, body) = get("prod/Nothing").await;
        assert_eq!((status, &body["code"]), (403, &json!("not_allowed")));
        assert!(body["message"].as_str().unwrap().starts_with("No grant of yours names this role"), "{body}");
        let (status, body) = get("prod/Deploy").await;
        assert_eq!((status, &body["code"]), (422, &json!("reason_required")));

        // Where the server is away, what still lasts is good enough.
        let second = key().await;
        let mut soon_over: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        soon_over["expires_at"] = test.moment(Duration::from_mins(5)).into();
        fs::write(&file, soon_over.to_string()).unwrap();
        let over = test.moment(Duration::ZERO);
        test.close().await;
        assert_eq!(key().await, second);
        soon_over["expires_at"] = over.into();
        fs::write(&file, soon_over.to_string()).unwrap();
        let (status, body) = get("prod/ReadOnly").await;
        assert_eq!((status, &body["code"]), (503, &json!("unreachable")));

        let Agent { mut process, .. } = agent;
        process.signal("TERM");
        let status = tokio::task::spawn_blocking(move || {
            let status = process.0.wait().unwrap();
            (status, std::io::read_to_string(process.0.stderr.take().unwrap()).unwrap())
        });
        let (status, said) = status.await.unwrap();
        assert_eq!(status.code(), Some(0));
        assert!(said.contains("prod/Nothing: No grant of yours names this role"), "{said}");
    });
}

/// As Java's SDK does: it waits for a second, and comes again at once.
#[test]
fn who_hangs_up_finds_at_the_next_try_what_was_got_for_them() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let alice = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice));
        let agent = Agent::start(&alice, &[], 2).await;
        let (url, token) = (agent.variable(URI).replace("<account>/<role>", "prod/ReadOnly"), agent.variable(TOKEN));
        let ask = async || ask(Method::GET, &url, &[("authorization", &token)]).await;
        test.sts.behave("ReadOnly", Behaviour::Held);
        for _ in 0..3 {
            assert!(tokio::time::timeout(Duration::from_millis(300), ask()).await.is_err());
        }
        until("a call under way", Duration::from_secs(20), async || (test.sts.requests().len() == 1).then_some(()))
            .await;
        test.sts.let_go();
        assert_eq!(ask().await.0, 200);
        assert_eq!((test.sts.requests().len(), test.sts.minted().len()), (1, 1));
        test.close().await;
    });
}

#[test]
fn what_will_be_refused_is_said_before_it_serves() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let mallory = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Mallory));
        let said = mallory.fail(&["agent", "prod/ReadOnly"]).await;
        assert!(said.starts_with("prod/ReadOnly: No grant of yours names this role"), "{said}");
        let alice = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice));
        let said = alice.fail(&["agent", "prod/Deploy"]).await;
        assert!(said.starts_with("prod/Deploy: "), "{said}");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let said = alice.fail(&["agent", "--port", &port]).await;
        assert!(said.starts_with(&format!("cannot listen on 127.0.0.1:{port} (Address already in use")), "{said}");
        let said = Person::new().with("HALLPASS_SERVER", &test.url).fail(&["agent"]).await;
        assert!(said.starts_with("not signed in to "), "{said}");
        test.close().await;
    });
}
