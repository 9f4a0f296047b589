//! Signing in and out, against a certified provider: in a browser, by a code, and what becomes of it afterwards.

use crate::support::{
    Killed,
    database::{TestDb, on_sqlite},
    oidc::{Browser, Provider},
    person::{Ended, Person},
    service::{Plan, Service},
    skip,
    sts::{Behaviour, FakeSts},
    until,
    world::World,
};
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

/// A provider, and a service whose people it signs in.
struct Stage {
    provider: Provider,
    sts: FakeSts,
    plan: Plan,
    service: Service,
}

impl Stage {
    async fn start(db: &TestDb, client: &str) -> Option<Self> {
        let provider = Provider::start().await?;
        let sts = FakeSts::start().await;
        let plan = plan(db, &provider, &sts, client);
        let service = plan.start().await;
        Some(Self { provider, sts, plan, service })
    }

    fn url(&self) -> &str {
        self.service.api.url()
    }
}

fn plan(db: &TestDb, provider: &Provider, sts: &FakeSts, client: &str) -> Plan {
    let plan = Plan::new(db, &provider.url, &sts.url);
    plan.with("HALLPASS_LOGIN__ISSUER", "corp").with("HALLPASS_LOGIN__CLIENT_ID", client)
}

/// A sign-in that waits for its person.
struct Waiting {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
}

impl Waiting {
    fn begin(person: &Person, arguments: &[&str]) -> Self {
        let mut child = person.command(arguments).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (lines, keep) = (BufReader::new(child.stderr.take().unwrap()).lines(), said.clone());
        let reading =
            thread::spawn(move || lines.map_while(Result::ok).for_each(|line| keep.lock().unwrap().push(line)));
        Self { child, said, reading }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// The last address that it shows, once it waits.
    async fn address(&self) -> String {
        until("word that it waits", LIMIT, async || self.said().contains("Ctrl-C").then_some(())).await;
        let said = self.said();
        said.lines().rev().find_map(|line| line.strip_prefix("  http").map(|rest| format!("http{rest}"))).unwrap()
    }

    async fn end(self) -> Ended {
        let Self { child, said, reading } = self;
        let wait = move || (child.wait_with_output().unwrap(), reading.join());
        let (output, _) = tokio::task::spawn_blocking(wait).await.unwrap();
        let err = said.lock().unwrap().join("\n");
        Ended { err, ..Ended::of(&output) }
    }
}

/// A session bus of the test's own, and a keyring on it that is unlocked.
struct Session {
    bus: String,
    _processes: Vec<Killed>,
    _folder: TempDir,
}

impl Session {
    /// `None` where there are no such programs, and that may be.
    async fn start(with_keyring: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let bus = format!("unix:path={}", folder.path().join("bus").display());
        let mut daemon = Command::new("dbus-daemon");
        daemon.args(["--session", "--nofork", "--nopidfile", &format!("--address={bus}")]);
        let Ok(daemon) = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            skip("a session bus (dbus-daemon)");
            return None;
        };
        let mut processes = vec![Killed(daemon)];
        until("session bus", LIMIT, async || folder.path().join("bus").exists().then_some(())).await;
        if with_keyring {
            let mut keyring = Command::new("gnome-keyring-daemon");
            keyring.args(["--foreground", "--unlock", "--components=secrets"]).env_clear();
            keyring.env("DBUS_SESSION_BUS_ADDRESS", &bus).env("HOME", folder.path());
            keyring
                .env("XDG_RUNTIME_DIR", folder.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let Ok(mut keyring) = keyring.spawn() else {
                skip("a keyring (gnome-keyring-daemon)");
                return None;
            };
            keyring.stdin.take().unwrap().write_all(b"open sesame").unwrap();
            processes.push(Killed(keyring));
            // It unlocks and takes its name on the bus in a moment of its own.
            let file = folder.path().join(".local/share/keyrings/login.keyring");
            until("unlocked keyring", LIMIT, async || file.exists().then_some(())).await;
        }
        Some(Self { bus, _processes: processes, _folder: folder })
    }
}

#[test]
fn a_keyring_keeps_the_tokens_where_there_is_one() {
    on_sqlite(async |db| {
        let Some(stage) = Stage::start(db, "hallpass").await else { return };
        let Some(session) = Session::start(true).await else { return };
        let url = stage.url();
        let alice =
            Person::new().with("DBUS_SESSION_BUS_ADDRESS", &session.bus).with("HALLPASS_TOKEN_STORE", "keyring");
        let ended = sign_in(&alice, url, "alice").await;
        assert!(ended.err.contains("kept in the system's keyring."), "{ended:?}");
        let session = read(&alice, url);
        assert_eq!((&session["kept"], &session["tokens"]), (&json!("keyring"), &Value::Null));
        assert!(alice.see(&["whoami"]).await.starts_with("user:alice@example.com\n"));
        let ended = alice.run(&["logout"]).await;
        assert!(ended.err.ends_with("the provider takes the tokens no more."), "{ended:?}");
        assert!(alice.fail(&["whoami"]).await.starts_with("not signed in"));
    });
}

#[test]
fn a_file_keeps_them_where_no_keyring_answers() {
    on_sqlite(async |db| {
        let Some(stage) = Stage::start(db, "hallpass").await else { return };
        let Some(session) = Session::start(false).await else { return };
        for bus in [session.bus.as_str(), "unix:path=/nowhere"] {
            let alice = Person::new().with("DBUS_SESSION_BUS_ADDRESS", bus);
            let ended = sign_in(&alice, stage.url(), "alice").await;
            assert!(ended.err.contains("kept in a file that only you can read."), "{ended:?}");
            alice.see(&["whoami"]).await;
        }
    });
}

/// Signs in by a browser as `name`.
async fn sign_in(person: &Person, url: &str, name: &str) -> Ended {
    let waiting = Waiting::begin(person, &["login", "--browser", "--server", url]);
    let address = waiting.address().await;
    let (status, page) = Browser::new().walk(&address, &[("login", name)]).await;
    assert!(page.contains("Done: go back to the terminal."), "{status} {page}");
    let ended = waiting.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

/// The one file that has a sign-in to this server.
fn kept(person: &Person, url: &str) -> PathBuf {
    let name = format!("{}.json", url.replace("://", "_").replace(':', "_"));
    person.home().join(".local/state/hallpass").join(name)
}

fn read(person: &Person, url: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(kept(person, url)).unwrap()).unwrap()
}

/// As if the token had so many seconds left.
fn let_it_end(person: &Person, url: &str, seconds: i64) {
    let mut session = read(person, url);
    session["tokens"]["expires_at"] = json!(crate::support::now() + seconds);
    fs::write(kept(person, url), session.to_string()).unwrap();
}

#[test]
fn a_browser_signs_in_and_a_sign_out_is_told_to_the_provider() {
    on_sqlite(async |db| {
        let Some(stage) = Stage::start(db, "hallpass").await else { return };
        let (alice, url) = (Person::new().with("BROWSER", "true"), stage.url());
        let waiting = Waiting::begin(&alice, &["login", "--server", url]);
        let address = waiting.address().await;
        let asked = Url::parse(&address).unwrap();
        let asked = |name: &str| asked.query_pairs().find(|(its, _)| its == name).unwrap().1.into_owned();
        assert_eq!((asked("code_challenge_method"), asked("response_type")), ("S256".to_owned(), "code".to_owned()));
        // What others on the machine send to the port ends nothing.
        let redirect = asked("redirect_uri");
        for query in ["?code=stolen&state=guessed", "?error=access_denied", "", "?code=x"] {
            let answer = reqwest::get(format!("{redirect}{query}")).await.unwrap();
            assert_eq!(answer.status(), 400, "{query}");
        }
        let (status, page) = Browser::new().walk(&address, &[("login", "alice")]).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let ended = waiting.end().await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{ended:?}");
        let last: Vec<&str> = ended.err.lines().rev().take(2).collect();
        assert_eq!(
            last,
            [
                "From now on it is the server that is meant where none is named.",
                &format!("Signed in to {url} as user:alice@example.com; kept in a file that only you can read."),
            ]
        );
        let whoami = alice.see(&["whoami"]).await;
        assert!(whoami.starts_with("user:alice@example.com\n  groups  group:developers\n"), "{whoami}");
        assert!(whoami.contains("token   your sign-in (hallpass login), until "), "{whoami}");

        for (path, mode) in alice.files() {
            let ours = path.components().any(|part| part.as_os_str() == "hallpass");
            assert!(!ours || mode == if path.is_dir() { 0o700 } else { 0o600 }, "{mode:o} {}", path.display());
        }
        let tokens = read(&alice, url)["tokens"].clone();
        let (token, id) = (tokens["refresh_token"].as_str().unwrap(), tokens["token"].as_str().unwrap());
        let (_, signature) = id.rsplit_once('.').unwrap();
        let_it_end(&alice, url, 30);
        let logged = alice.run_with(&["whoami"], "RUST_LOG", "trace").await.err;
        assert!(logged.contains("reqwest") || logged.contains("hyper"), "{logged:.2000}");
        let now = read(&alice, url)["tokens"]["refresh_token"].as_str().unwrap().to_owned();
        for secret in [token, now.as_str(), signature] {
            assert!(!logged.contains(secret) && !ended.err.contains(secret), "{secret} in\n{logged}");
        }
        for (path, _) in alice.files().iter().filter(|(path, _)| path.is_file() && *path != kept(&alice, url)) {
            let text = fs::read_to_string(path).unwrap();
            assert!(!text.contains(&now) && !text.contains(signature), "{}", path.display());
        }
        let token = now;

        let out = alice.run(&["logout"]).await;
        let expected = format!("Signed out of {url}; the provider takes the tokens no more.");
        assert_eq!(out, Ended { code: Some(0), out: String::new(), err: expected });
        assert!(!kept(&alice, url).exists());
        let fields = [("grant_type", "refresh_token"), ("client_id", "hallpass"), ("refresh_token", token.as_str())];
        let (status, answer) = stage.provider.post("/token", &fields).await;
        assert!(status == 400 && answer.contains("invalid_grant"), "{status} {answer}");
        let said = alice.fail(&["whoami"]).await;
        assert!(said.starts_with(&format!("not signed in to {url}: run `hallpass login`")), "{said}");
        assert_eq!(alice.run(&["logout"]).await.err, format!("Nobody was signed in to {url}."));
        stage.plan.assert_verifies();
    });
}

#[test]
fn a_code_signs_in_on_another_device() {
    on_sqlite(async |db| {
        let Some(stage) = Stage::start(db, "hallpass").await else { return };
        let sign_in = async |arguments: &[&str]| {
            let carol = Person::new().with("HALLPASS_SERVER", stage.url());
            let waiting = Waiting::begin(&carol, arguments);
            let address = waiting.address().await;
            assert!(waiting.said().contains("and enter the code"), "{}", waiting.said());
            let (status, page) = Browser::new().walk(&address, &[("login", "carol"), ("confirm", "yes")]).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            let ended = waiting.end().await;
            assert_eq!(ended.code, Some(0), "{ended:?}");
            assert!(carol.see(&["whoami"]).await.starts_with("user:carol@example.com\n"));
        };
        // Without a display, nobody has to ask for it.
        tokio::join!(sign_in(&["login", "--device"]), sign_in(&["login"]));
    });
}

#[test]
fn a_refusal_is_said_and_nothing_is_kept() {
    on_sqlite(async |db| {
        let Some(stage) = Stage::start(db, "hallpass").await else { return };
        let mallory = Person::new();
        let waiting = Waiting::begin(&mallory, &["login", "--browser", "--server", stage.url()]);
        let address = waiting.address().await;
        let (_, page) = Browser::new().walk(&address, &[("login", "mallory"), ("do", "no")]).await;
        assert!(page.contains("The sign-in was refused; the terminal says why."), "{page}");
        let ended = waiting.end().await;
        assert_eq!(ended.code, Some(1));
        let last = ended.err.lines().last().unwrap();
        let provider = &stage.provider.url;
        assert_eq!(last, format!("the identity provider {provider} refuses: Not today (access_denied)"));
        assert_eq!(mallory.files(), []);
    });
}

#[test]
fn who_gives_up_leaves_nothing_behind() {
    on_sqlite(async |db| {
        let Some(stage) = Stage::start(db, "hallpass").await else { return };
        for how in ["--browser", "--device"] {
            let alice = Person::new();
            let mut waiting = Waiting::begin(&alice, &["login", how, "--server", stage.url()]);
            waiting.address().await;
            let pid = waiting.child.id();
            // Nothing of the service's is started: the one thread waits.
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            assert!(status.contains("\nThreads:\t1\n"), "{status}");
            crate::support::run(Command::new("sh").args(["-c", &format!("kill -INT {pid}")]));
            let status = tokio::task::spawn_blocking(move || waiting.child.wait()).await.unwrap().unwrap();
            assert_eq!(status.signal(), Some(2), "{how}");
            assert_eq!(alice.files(), [], "{how}");
        }
    });
}

#[test]
fn a_token_near_its_end_is_refreshed_once_by_however_many_processes() {
    on_sqlite(async |db| {
        let Some(stage) = Stage::start(db, "hallpass").await else { return };
        let (alice, url) = (Person::new(), stage.url());
        sign_in(&alice, url, "alice").await;
        let first = read(&alice, url);
        let_it_end(&alice, url, 30);
        let asking = (0..4).map(|_| alice.run(&["whoami"]));
        for ended in futures_util::future::join_all(asking).await {
            assert!(ended.code == Some(0) && ended.out.starts_with("user:alice@example.com"), "{ended:?}");
        }
        assert_eq!(stage.provider.count("grant refresh_token"), 1);
        let second = read(&alice, url);
        assert_ne!(first["tokens"]["refresh_token"], second["tokens"]["refresh_token"], "the provider rotates them");
        assert!(second["tokens"]["expires_at"].as_i64().unwrap() > crate::support::now() + 3000);
        alice.see(&["roles"]).await;
        assert_eq!(stage.provider.count("grant refresh_token"), 1, "a good one is left alone");
    });
}

#[test]
fn a_provider_that_is_away_takes_no_good_token() {
    on_sqlite(async |db| {
        let Some(mut stage) = Stage::start(db, "hallpass").await else { return };
        let (alice, url) = (Person::new(), stage.service.api.url().to_owned());
        sign_in(&alice, &url, "alice").await;
        stage.provider.process.kill();
        let_it_end(&alice, &url, 30);
        let before = read(&alice, &url);
        assert!(alice.see(&["whoami"]).await.starts_with("user:alice@example.com"));
        let_it_end(&alice, &url, -1);
        let provider = &stage.provider.url;
        let expected =
            format!("{provider} cannot be reached (connection refused): check the address, your network and the VPN");
        assert_eq!(alice.fail(&["whoami"]).await, expected);
        assert_eq!(before["tokens"]["refresh_token"], read(&alice, &url)["tokens"]["refresh_token"]);
        // Signing out forgets it all the same.
        let out = alice.run(&["logout"]).await;
        assert!(out.code == Some(0) && out.err.contains("the provider was not told"), "{out:?}");
        assert!(!kept(&alice, &url).exists());
    });
}

#[test]
fn a_session_that_was_revoked_is_over_at_the_next_refresh() {
    on_sqlite(async |db| {
        let Some(stage) = Stage::start(db, "hallpass").await else { return };
        let (alice, url) = (Person::new(), stage.url());
        sign_in(&alice, url, "alice").await;
        let token = read(&alice, url)["tokens"]["refresh_token"].as_str().unwrap().to_owned();
        let fields = [("client_id", "hallpass"), ("token", token.as_str())];
        assert_eq!(stage.provider.post("/token/revocation", &fields).await.0, 200);
        alice.see(&["whoami"]).await;
        let_it_end(&alice, url, 30);
        let said = alice.fail(&["whoami"]).await;
        assert!(said.starts_with(&format!("your sign-in to {url} has ended (")), "{said}");
        assert!(said.contains("(invalid_grant)") && said.ends_with(": run `hallpass login`"), "{said}");
        sign_in(&alice, url, "alice").await;
        alice.see(&["whoami"]).await;
    });
}

#[test]
fn where_nobody_can_sign_in_it_is_said() {
    on_sqlite(async |db| {
        let world = World::start(db, &["ReadOnly"]).await;
        let url = world.service.api.url();
        assert_eq!(world.service.api.get("/v1/login", "").await.code(), "not_found");
        let expected = format!(
            "{url} has no sign-in for people: its operators set [login], see docs/client.md; a token of your own goes into \
             HALLPASS_TOKEN"
        );
        assert_eq!(Person::new().fail(&["login", "--server", url]).await, expected);
    });
}

#[test]
fn what_is_under_way_at_a_sign_out_is_not_kept() {
    on_sqlite(async |db| {
        let Some(stage) = Stage::start(db, "hallpass").await else { return };
        let (admin, alice, url) = (Person::new(), Person::new(), stage.url());
        sign_in(&admin, url, "admin").await;
        sign_in(&alice, url, "alice").await;
        let allowlist = r#"
            [[account]]
            id = "111122223333"
            alias = "prod"
              [[account.role]]
              name = "Deploy"
            [[grant]]
            to = ["user:alice@example.com"]
            roles = ["prod/Deploy"]
        "#;
        stage.service.api.apply(allowlist, read(&admin, url)["tokens"]["token"].as_str().unwrap()).await;
        let shelf = || {
            let files = alice.files().into_iter().map(|(path, _)| path);
            files
                .filter(|path| {
                    path.display().to_string().contains(".credentials/")
                        && path.extension().is_some_and(|end| end == "json")
                })
                .count()
        };
        stage.sts.behave("Deploy", Behaviour::Held);
        let mut creds = alice.command(&["creds", "prod/Deploy", "--server", url]);
        let creds = tokio::task::spawn_blocking(move || creds.output().unwrap());
        until("the request at STS", LIMIT, async || (!stage.sts.requests().is_empty()).then_some(())).await;
        alice.see(&["logout"]).await;
        stage.sts.let_go();
        let output = creds.await.unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
        assert_eq!(shelf(), 0);
    });
}

#[test]
fn two_servers_stand_side_by_side() {
    on_sqlite(async |db| {
        let Some(stage) = Stage::start(db, "hallpass").await else { return };
        let other = TestDb::sqlite();
        let second = plan(&other, &stage.provider, &stage.sts, "hallpass").start().await;
        let (alice, one, two) = (Person::new(), stage.url(), second.api.url());
        sign_in(&alice, one, "alice").await;
        let ended = sign_in(&alice, two, "al").await;
        assert!(!ended.err.contains("From now on"), "the first one stays the one that is meant: {}", ended.err);
        for (arguments, who) in [(&["whoami"][..], "alice"), (&["whoami", "--server", two], "al")] {
            assert!(alice.see(arguments).await.starts_with(&format!("user:{who}@example.com\n")), "{arguments:?}");
        }
        alice.see(&["logout"]).await;
        assert!(alice.see(&["whoami", "--server", two]).await.starts_with("user:al@example.com\n"));
        alice.fail(&["whoami"]).await;
        // A sign-in is for its server, whatever its file is called.
        fs::rename(kept(&alice, two), kept(&alice, one)).unwrap();
        assert!(alice.fail(&["whoami"]).await.starts_with("not signed in"));
    });
}

#[test]
fn the_access_token_is_sent_where_the_service_wants_that() {
    on_sqlite(async |db| {
        let Some(provider) = Provider::start().await else { return };
        // This client is none of the issuer's audiences: its ID token would be refused.
        let sts = FakeSts::start().await;
        let plan = plan(db, &provider, &sts, "elsewhere").with("HALLPASS_LOGIN__RESOURCE", "https://hallpass.test");
        let service = plan.start().await;
        let alice = Person::new();
        sign_in(&alice, service.api.url(), "alice").await;
        assert!(alice.see(&["whoami"]).await.starts_with("user:alice@example.com\n"));
        let_it_end(&alice, service.api.url(), 30);
        alice.see(&["whoami"]).await;
        assert_eq!(provider.count("grant refresh_token"), 1);
    });
}

#[test]
fn a_token_that_the_service_does_not_take_is_not_kept() {
    on_sqlite(async |db| {
        let Some(provider) = Provider::start().await else { return };
        // Without a resource, this provider's access tokens are no JWTs.
        let service = plan(db, &provider, &FakeSts::start().await, "elsewhere").start().await;
        let alice = Person::new();
        let waiting = Waiting::begin(&alice, &["login", "--browser", "--server", service.api.url()]);
        let address = waiting.address().await;
        Browser::new().walk(&address, &[("login", "alice")]).await;
        let ended = waiting.end().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let last = ended.err.lines().last().unwrap();
        assert!(last.contains("does not take the token it gave (The token is refused"), "{last}");
        assert!(last.contains("docs/client.md"), "{last}");
        assert_eq!(alice.files(), []);
    });
}
