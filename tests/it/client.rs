//! The commands that ask a server, as a person or a pipeline has them: sources of tokens, what is shown, what is said
//! when it fails. Signing in is in `login.rs`.

use crate::support::{
    app::{
        Persona::{Alice, Applier, Auditor, Mallory},
        Setting, TestApp,
    },
    database::on_sqlite,
    person::Person,
};
use crate::tls::Authority;
use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;

/// A server of the test's own; its address.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });
    url
}

#[test]
fn whoami_and_roles_show_what_there_is() {
    on_sqlite(async |db| {
        let test = TestApp::start(db).await;
        let alice = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice));
        let shown = alice.see(&["whoami"]).await.replace(&test.url, "<server>");
        insta::assert_snapshot!(shown, @r"
        user:alice@example.com
          groups  group:developers
          server  <server>
          token   HALLPASS_TOKEN, until 2026-01-02T04:04:05Z
        ");
        insta::assert_snapshot!(alice.see(&["roles"]).await, @r"
        ROLE                LONGEST  REASON    DESCRIPTION
        prod/Deploy         1h       required
        prod/ReadOnly       2h                 Look, don't touch
        444455556666/Plain  12h
        ");
        insta::assert_snapshot!(alice.see(&["roles", "READ"]).await, @r"
        ROLE           LONGEST  REASON  DESCRIPTION
        prod/ReadOnly  2h               Look, don't touch
        ");
        let roles: Value = serde_json::from_str(&alice.see(&["roles", "prod/D", "--json"]).await).unwrap();
        let grant = &roles[0]["grants"][0];
        assert_eq!((&roles[0]["role"], &grant["via"]), (&json!("prod/Deploy"), &json!("group:developers")));
        let whoami: Value = serde_json::from_str(&alice.see(&["whoami", "--json"]).await).unwrap();
        assert_eq!(
            (&whoami["principal"], &whoami["server"], &whoami["token_source"], &whoami["auth"]["method"]),
            (&json!("user:alice@example.com"), &json!(test.url), &json!("HALLPASS_TOKEN"), &json!("jwt"))
        );
        let auditor = Person::new().with("HALLPASS_TOKEN", &test.token(Auditor));
        let shown = auditor.see(&["whoami", "--server", &test.url]).await;
        assert!(shown.contains("\n  rights  auditor\n"), "{shown}");

        // Who has nothing is told, beside an output that stays clean.
        let mallory = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Mallory));
        let ended = mallory.run(&["roles"]).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
        assert!(ended.err.starts_with("No role is granted to you: ask those who keep the allowlist"), "{ended:?}");
        assert_eq!(mallory.see(&["roles", "--json"]).await, "[]");
        test.close().await;
    });
}

#[test]
fn completions_know_the_roles_that_were_seen_and_ask_nobody() {
    on_sqlite(async |db| {
        let test = TestApp::start(db).await;
        let alice = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice));
        let complete = async |typed: &str| {
            let mut command = alice.command(&["--", "hallpass", "roles", typed]);
            command.env("HALLPASS_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").env("_CLAP_IFS", "\n");
            let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(complete("prod/").await, "");
        alice.see(&["roles"]).await;
        test.close().await;
        assert_eq!(complete("prod/").await, "prod/Deploy\nprod/ReadOnly");
        assert_eq!(complete("4").await, "444455556666/Plain");
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = alice.see(&["completion", shell]).await;
            assert!(script.contains("HALLPASS_COMPLETE"), "{shell}: {script}");
        }
        for (path, mode) in alice.files() {
            let ours = path.components().any(|part| part.as_os_str() == "hallpass");
            assert!(!ours || mode == if path.is_dir() { 0o700 } else { 0o600 }, "{mode:o} {}", path.display());
        }
    });
}

#[test]
fn every_source_is_found_and_named() {
    on_sqlite(async |db| {
        let test = TestApp::start(db).await;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer = async |State((asked, token)): State<(Arc<Mutex<Vec<_>>>, String)>,
                            RawQuery(query): RawQuery,
                            headers: HeaderMap| {
            let bearer = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
            asked.lock().unwrap().push((query.unwrap_or_default(), bearer));
            Json(json!({"count": 1, "value": token}))
        };
        let github = Router::new().route("/token", get(answer)).with_state((asked.clone(), test.token(Applier)));
        let github = format!("{}/token?api-version=2.0", serve(github).await);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{}\n", test.token(Alice))).unwrap();
        let at = || Person::new().with("HALLPASS_SERVER", &test.url);
        let in_github = || at().with("ACTIONS_ID_TOKEN_REQUEST_URL", &github).with("GITHUB_ACTIONS", "true");
        let name = format!("HALLPASS_TOKEN_FILE ({})", file.path().to_str().unwrap());
        for (person, who, source) in [
            (at().with("HALLPASS_TOKEN", &test.token(Alice)), "user:alice@example.com", "HALLPASS_TOKEN"),
            (at().with("HALLPASS_TOKEN_FILE", file.path().to_str().unwrap()), "user:alice@example.com", name.as_str()),
            (in_github().with("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job"), "workload:ci/apply", "GitHub Actions"),
            (
                at().with("GITLAB_CI", "true").with("HALLPASS_ID_TOKEN", &test.token(Applier)),
                "workload:ci/apply",
                "GitLab (HALLPASS_ID_TOKEN)",
            ),
        ] {
            let whoami: Value = serde_json::from_str(&person.see(&["whoami", "--json"]).await).unwrap();
            assert_eq!((&whoami["principal"], &whoami["token_source"]), (&json!(who), &json!(source)));
        }
        let query = "api-version=2.0&audience=hallpass".to_owned();
        assert_eq!(*asked.lock().unwrap(), [(query, "Bearer of-the-job".to_owned())]);

        for (person, expected) in [
            (in_github(), "no token from GitHub Actions: give the job `permissions: id-token: write`"),
            (
                at().with("GITLAB_CI", "true"),
                "no token from GitLab (HALLPASS_ID_TOKEN): HALLPASS_ID_TOKEN is not set: name it under the job's id_tokens",
            ),
            (
                at().with("HALLPASS_TOKEN_FILE", "/nowhere"),
                "no token from HALLPASS_TOKEN_FILE (/nowhere): No such file or directory (os error 2); check the file",
            ),
            (
                at().with("HALLPASS_TOKEN_SOURCE", "aws").with("AWS_EC2_METADATA_DISABLED", "true"),
                "no token from AWS (sts:GetWebIdentityToken): set AWS_REGION: only regional endpoints of STS have this call",
            ),
            (
                at().with("HALLPASS_TOKEN", "two words"),
                "no token from HALLPASS_TOKEN: what is there is no token: expected one word of at most 16 KiB",
            ),
        ] {
            assert_eq!(person.fail(&["whoami"]).await, expected);
        }
        test.close().await;
    });
}

/// The token that a provider gives, and what it was asked.
type Fresh = Arc<Mutex<(String, Vec<String>)>>;

/// A clock that is behind takes an expired token for a good one; the server does not.
#[test]
fn a_sign_in_whose_token_the_server_calls_expired_is_refreshed_once() {
    on_sqlite(async |db| {
        let test = TestApp::start(db).await;
        let old = test.token(Alice);
        test.clock.advance(Duration::from_hours(2));
        let fresh: Fresh = Arc::new(Mutex::new((test.token(Alice), Vec::new())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let document = json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"), "token_endpoint": format!("{issuer}/token"),
        });
        let answer = async |State(fresh): State<Fresh>, body: String| {
            let mut fresh = fresh.lock().unwrap();
            fresh.1.push(body);
            Json(json!({"access_token": fresh.0, "token_type": "Bearer"}))
        };
        let provider = Router::new()
            .route("/.well-known/openid-configuration", get(async || Json(document)))
            .route("/token", axum::routing::post(answer))
            .with_state(fresh.clone());
        tokio::spawn(async { axum::serve(listener, provider).await });

        let alice = Person::new().with("HALLPASS_SERVER", &test.url);
        let folder = alice.home().join(".local/state/hallpass");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}.json", test.url.replace("://", "_").replace(':', "_")));
        let sign_in = json!({
            "client_id": "cli", "client_secret": null, "issuer": issuer, "prompt": null, "redirect_port": null,
            "resource": null, "scopes": ["openid"], "token": "access", "of_a_later_version": 1,
        });
        let tokens = json!({"token": old, "expires_at": 4_000_000_000_i64, "refresh_token": "r1"});
        let session = json!({
            "server": test.url, "sign_in": sign_in, "principal": "user:alice@example.com", "kept": "file", "tokens": tokens,
        });
        fs::write(&file, session.to_string()).unwrap();
        assert!(alice.see(&["whoami"]).await.starts_with("user:alice@example.com"));
        let asked = fresh.lock().unwrap().1.clone();
        assert_eq!(asked, ["grant_type=refresh_token&refresh_token=r1&client_id=cli"]);
        let kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(kept["tokens"]["refresh_token"], "r1", "where none comes, the old one stays");

        // Where that does not help, it is said, and nobody is asked a third time.
        test.clock.advance(Duration::from_hours(2));
        fs::write(&file, session.to_string()).unwrap();
        let said = alice.fail(&["whoami"]).await;
        assert_eq!(said, "The token has expired; ask its issuer for a new one: run `hallpass login`");
        assert_eq!(fresh.lock().unwrap().1.len(), 2);
        test.close().await;
    });
}

#[test]
fn the_role_of_an_aws_workload_is_asked_for_a_token() {
    on_sqlite(async |db| {
        let test = TestApp::start(db).await;
        let token = test.token(Applier);
        let answer = async |State(token): State<String>, body: String| {
            assert!(body.contains("Action=GetWebIdentityToken"), "{body}");
            assert!(body.contains("Audience.member.1=hallpass-test"), "{body}");
            let xml = format!(
                "<GetWebIdentityTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                 <GetWebIdentityTokenResult><WebIdentityToken>{token}</WebIdentityToken></GetWebIdentityTokenResult>\
                 <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetWebIdentityTokenResponse>"
            );
            ([(header::CONTENT_TYPE, "text/xml")], xml)
        };
        let sts = serve(Router::new().route("/", axum::routing::post(answer)).with_state(token)).await;
        let job = Person::new().with("HALLPASS_SERVER", &test.url).with("AWS_LAMBDA_FUNCTION_NAME", "nightly");
        let job =
            job.with("AWS_ACCESS_KEY_ID", "ASIA").with("AWS_SECRET_ACCESS_KEY", "x").with("AWS_REGION", "eu-west-1");
        let job = job.with("AWS_ENDPOINT_URL_STS", &sts).with("HALLPASS_AUDIENCE", "hallpass-test");
        let shown = job.see(&["whoami"]).await;
        assert!(shown.starts_with("workload:ci/apply\n"), "{shown}");
        assert!(shown.contains("token   AWS (sts:GetWebIdentityToken), until "), "{shown}");
        test.close().await;
    });
}

#[test]
fn a_failure_is_a_sentence_and_a_way_out() {
    on_sqlite(async |db| {
        let test = TestApp::start(db).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let catch = async |State(seen): State<Arc<Mutex<Vec<String>>>>, headers: HeaderMap| {
            seen.lock().unwrap().push(format!("{headers:?}"));
            StatusCode::OK
        };
        let thief = serve(Router::new().fallback(catch).with_state(seen.clone())).await;
        let elsewhere = format!("{thief}/v1/whoami");
        let sends_elsewhere =
            serve(Router::new().fallback(async move || {
                (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, elsewhere)]).into_response()
            }))
            .await;
        let web_page = serve(Router::new().fallback(async || "<html>Welcome</html>")).await;
        let alice = Person::new().with("HALLPASS_TOKEN", &test.token(Alice));
        for (server, expected) in [
            (
                "http://127.0.0.1:1",
                "<> cannot be reached (connection refused): check the address, your network and the VPN",
            ),
            (
                &sends_elsewhere,
                "<> is not understood: it sends elsewhere, and no token goes along: give its own address",
            ),
            (&web_page, "<> is not understood: its answer is not one of Hallpass: is the address right?"),
            (
                "http://hallpass.example.com",
                "the server's address cannot be used: expected an address without a path, https://<host>, or http:// on loopback",
            ),
            (
                "staging",
                "no server is called \"staging\": give its address, https://…, or one of the names in the client's file (none)",
            ),
        ] {
            let said = alice.fail(&["whoami", "--server", server]).await;
            assert_eq!(said.replace(server, "<>").replace("\"<>\"", "\"staging\""), expected, "{server}");
        }
        assert_eq!(*seen.lock().unwrap(), Vec::<String>::new(), "the token stays here");

        let nobody = Person::new();
        let said = nobody.fail(&["roles"]).await;
        assert!(said.starts_with("no server is named: give --server URL, set HALLPASS_SERVER, or write"), "{said}");
        let said = nobody.fail(&["audit", "search"]).await;
        assert!(
            said.starts_with("no server is named: ") && said.ends_with("name its configuration with --config FILE"),
            "{said}"
        );
        let said = nobody.fail(&["roles", "--server", &test.url]).await;
        assert!(said.starts_with(&format!("not signed in to {}: run `hallpass login`", test.url)), "{said}");

        test.clock.advance(Duration::from_hours(2));
        let said = alice.fail(&["whoami", "--server", &test.url]).await;
        assert_eq!(said, "The token has expired; ask its issuer for a new one: the token came from HALLPASS_TOKEN");
        test.close().await;
    });
}

#[test]
fn the_file_names_servers_and_is_read_strictly() {
    on_sqlite(async |db| {
        let test = TestApp::start(db).await;
        let alice = Person::new().with("HALLPASS_TOKEN", &test.token(Alice));
        let folder = alice.home().join(".config/hallpass");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("config.toml");
        let write = |text: &str| fs::write(&file, text).unwrap();
        let url = &test.url;
        for (text, arguments) in [
            (format!("server = '{url}'"), &["whoami"][..]),
            (format!("[servers.work]\nurl = '{url}'"), &["whoami"]),
            (
                format!("[servers.work]\nurl = '{url}'\n[servers.lab]\nurl = 'https://lab'"),
                &["whoami", "--server", "work"],
            ),
            (
                format!("server = 'work'\n[servers.work]\nurl = '{url}/'\n[servers.lab]\nurl = 'https://lab'"),
                &["whoami"],
            ),
        ] {
            write(&text);
            assert!(alice.see(arguments).await.starts_with("user:alice@example.com"), "{text}");
        }
        for (text, problem) in [
            ("sever = 'x'", "1: sever: unknown key; known here: server, servers"),
            ("server = 1", "1: server: expected a string"),
            ("servers.x = 1", "1: servers.x: expected a table of keys"),
            ("\nserver = 'x", " line 2, column 12: invalid literal string, expected `'`"),
            (
                "[servers.x]\nurl = 'http://x'",
                "2: servers.x.url: expected an address without a path, https://<host>, or http:// on loopback",
            ),
            ("[servers.x]\nca_bundle = 'x'", "1: servers.x.url: required, but not there"),
            (
                "[servers.x]\nurl = 'https://x'\nca = 'x'",
                "3: servers.x.ca: unknown key; known here: url, ca_bundle, audience",
            ),
        ] {
            write(text);
            assert_eq!(alice.fail(&["whoami"]).await, format!("{}:{problem}; mend the file", file.display()), "{text}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        test.close().await;
    });
}

#[test]
fn a_private_authority_is_trusted_where_it_is_named() {
    on_sqlite(async |db| {
        let authority = Authority::new();
        let certificates = authority.load(&authority.issue("hallpass.test", 2030));
        let test = TestApp::start_with(db, Setting { tls: Some(certificates), ..Setting::default() }).await;
        let bundle = tempfile::NamedTempFile::new().unwrap();
        fs::write(bundle.path(), authority.pem()).unwrap();
        let person = || Person::new().with("HALLPASS_TOKEN", &test.token(Alice));
        let asked = ["whoami", "--server", &test.url];
        let said = person().fail(&asked).await;
        let way_out = "name its authority's certificate with HALLPASS_CA_BUNDLE, or as ca_bundle in the client's file";
        assert_eq!(said, format!("the certificate of {} is not trusted (unknown authority): {way_out}", test.url));
        let trusting = person().with("HALLPASS_CA_BUNDLE", bundle.path().to_str().unwrap());
        assert!(trusting.see(&asked).await.starts_with("user:alice@example.com"));
        fs::write(bundle.path(), "no certificate").unwrap();
        let said = trusting.fail(&asked).await;
        assert!(said.contains("no certificate is in it; name a PEM file with HALLPASS_CA_BUNDLE"), "{said}");
        test.close().await;
    });
}
