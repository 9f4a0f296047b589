//! `hallpass demo` as a newcomer meets it: the real binary, and each command pasted into a shell as it is printed.

use crate::support::{
    Killed, free_port,
    person::Person,
    run,
    service::{Api, keep},
    skip, variable,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

/// A running demo.
struct Demo {
    process: Killed,
    /// What it printed at the start.
    welcome: String,
    printed: Arc<Mutex<Vec<String>>>,
    log: Arc<Mutex<Vec<String>>>,
    /// For its temporary folder: a test that fails kills it, and nothing of it stays.
    temporary: TempDir,
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = hallpass(&["demo"]);
    command.args(arguments);
    // None of this is the demo's business.
    command.env("HALLPASS_CONFIG", "/nowhere.toml").env("HALLPASS_SERVER__LISTEN", "nonsense");
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").env("http_proxy", "http://127.0.0.1:9");
    command
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_hallpass");

fn hallpass(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("PATH", variable("PATH").unwrap_or_default()).args(arguments).stdin(Stdio::null());
    command
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = demo(&[&["--listen", "127.0.0.1:0"], arguments].concat());
        let temporary = tempfile::tempdir().unwrap();
        command.env("TMPDIR", temporary.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::default();
        keep(child.stderr.take().unwrap(), &log);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut welcome = String::new();
        while !welcome.contains("Ctrl-C") {
            assert_ne!(out.read_line(&mut welcome).unwrap(), 0, "it ended: {welcome}{log:?}");
        }
        let printed = Arc::default();
        keep(out, &printed);
        Self { process: Killed(child), welcome, printed, log, temporary }
    }

    /// The commands to paste, each with all its lines.
    fn commands(&self) -> Vec<&str> {
        let parts = self.welcome.split("\n\n");
        parts.filter_map(|part| part.find("\ncurl ").map(|before| &part[before + 1..])).collect()
    }

    /// The address behind a word of the list at the end.
    fn address(&self, name: &str) -> &str {
        let line = self.welcome.lines().find(|line| line.starts_with(name) && line.contains("http://")).unwrap();
        let address = &line[line.find("http://").unwrap()..];
        let end = address["http://".len()..].find(['/', ',']).map_or(address.len(), |end| end + "http://".len());
        &address[..end]
    }

    fn token(&self, name: &str) -> String {
        paste(&format!("curl -s {}/token/{name}", self.address("People")))
    }

    /// SIGTERM or SIGINT; what it printed on its way out.
    fn stop(mut self, signal: &str) -> String {
        self.process.signal(signal);
        let status = self.process.0.wait().unwrap();
        assert!(status.success(), "{status}");
        self.printed.lock().unwrap().join("\n")
    }
}

/// Runs a command as a shell does into which it is pasted.
fn paste(command: &str) -> String {
    run(Command::new("bash").arg("-c").arg(command))
}

fn have_curl() -> bool {
    let there = Command::new("curl").arg("--version").output().is_ok();
    if !there {
        skip("curl");
    }
    there
}

#[test]
fn what_it_prints_works_as_printed() {
    if !have_curl() {
        return;
    }
    let demo = Demo::start(&[]);
    let [given, refused, record] = demo.commands()[..] else { panic!("three commands: {}", demo.welcome) };

    let given: Value = serde_json::from_str(&paste(given)).unwrap();
    assert_eq!(given["role_arn"], "arn:aws:iam::111122223333:role/ReadOnly");
    assert_eq!(given["source_identity"], "alice@example.com");
    assert_eq!(given["duration_seconds"], 3600);
    assert!(given["session_token"].as_str().unwrap().starts_with("HallpassDemo/WorksNowhereElse/"), "{given}");

    let refused: Value = serde_json::from_str(&paste(refused)).unwrap();
    assert_eq!((&refused["status"], &refused["code"]), (&json!(403), &json!("not_allowed")));
    assert_eq!(refused["reasons"][0]["detail"], "the grant expired at 2025-01-31T18:00:00Z");

    let record = paste(record);
    let rows: Vec<&str> = record.lines().map(|line| line.split_once(',').unwrap().1).collect();
    insta::assert_snapshot!(rows.join("\n"), @"
    kind,principal,role_arn,code,reason
    credentials.requested,user:alice@example.com,arn:aws:iam::111122223333:role/ReadOnly,,INC-42
    credentials.issued,user:alice@example.com,arn:aws:iam::111122223333:role/ReadOnly,,INC-42
    credentials.denied,user:alice@example.com,arn:aws:iam::111122223333:role/Deploy,not_allowed,INC-42
    ");

    // The one about AWS, from the list.
    let line = demo.welcome.lines().find(|line| line.starts_with("AWS")).unwrap();
    assert_eq!(paste(&line[line.find("curl").unwrap()..]), "throttle, until it is told: normal");
    let throttled: Value = serde_json::from_str(&paste(demo.commands()[0])).unwrap();
    assert_eq!(throttled["code"], "sts_throttled");

    let shown = [("Hallpass", "SERVICE"), ("People", "PROVIDER"), ("AWS", "STS")];
    let shown = shown
        .into_iter()
        .fold(demo.welcome.clone(), |shown, (name, word)| shown.replace(demo.address(name), &format!("http://{word}")));
    let files = shown.lines().find_map(|line| line.strip_prefix("Files")).unwrap();
    let folder = files.split(',').next().unwrap().trim().to_owned();
    assert!(Path::new(&folder).starts_with(demo.temporary.path()), "{folder}");
    assert!(Path::new(&folder).join("hallpass.db").exists(), "{folder}");
    insta::assert_snapshot!(shown.replace(&folder, "FOLDER").replace(PROGRAM, "PROGRAM"), @r#"
    Open http://SERVICE in a browser, or paste these into another terminal.
    Only AWS and the identity provider are simulated; credentials work nowhere else.
    1. Alice, a developer, is given credentials for a role, and says why.
    curl -s -H content-type:application/json http://SERVICE/v1/credentials \
      -H "authorization: Bearer $(curl -s http://PROVIDER/token/alice)" \
      -d '{"role": "prod/ReadOnly", "reason": "INC-42"}' -w '\n'

    2. For another role her grant has ended: she is refused, and told so.
    curl -s -H content-type:application/json http://SERVICE/v1/credentials \
      -H "authorization: Bearer $(curl -s http://PROVIDER/token/alice)" \
      -d '{"role": "prod/Deploy", "reason": "INC-42"}' -w '\n'

    3. Carol, an auditor, finds both on record.
    curl -sG http://SERVICE/v1/audit/export -d format=csv \
      -d principal=user:alice@example.com -d q=INC-42 \
      -H "authorization: Bearer $(curl -s http://PROVIDER/token/carol)" \
      | cut -d, -f1-3,5,7,8

    Hallpass http://SERVICE, its API is described at /docs
    People   alice, bob (admin), carol (auditor): http://PROVIDER/token/NAME
    AWS      throttle it: curl -X PUT http://STS/behaviour -d throttle
    Files    FOLDER, removed at the end; --data DIR keeps them
    Ctrl-C ends it. More: PROGRAM demo --help
    "#);
    let ports =
        shown.replace("http://SERVICE", "http://127.0.0.1:8080").replace("http://PROVIDER", "http://127.0.0.1:8081");
    let ports = ports.replace("http://STS", "http://127.0.0.1:8082").replace(&folder, "/tmp/hallpass-demo-123456");
    let screen = ports.replace(PROGRAM, "target/release/hallpass");
    assert!(screen.lines().all(|line| line.len() <= 80) && screen.lines().count() <= 23, "{screen}");
    let errors: Vec<String> = demo.log.lock().unwrap().clone();
    assert!(errors.iter().all(|line| line.contains("sts_throttled")), "only what went wrong: {errors:?}");
    assert_eq!(demo.stop("INT"), "\nStopped, and nothing is left of it.");
    assert!(!Path::new(&folder).exists(), "{folder}");
}

#[tokio::test]
async fn everybody_is_who_they_are_said_to_be_and_gets_what_the_allowlist_says() {
    if !have_curl() {
        return;
    }
    let demo = Demo::start(&[]);
    let api = Api::new(demo.address("Hallpass"));
    let mut seen = Vec::new();
    for (name, group, admin, auditor) in
        [("alice", "developers", false, false), ("bob", "platform", true, true), ("carol", "security", false, true)]
    {
        let token = demo.token(name);
        let who = api.get("/v1/whoami", &token).await.body;
        assert_eq!(who["principal"], format!("user:{name}@example.com"), "{who}");
        assert_eq!(who["groups"], json!([format!("group:{group}")]));
        assert_eq!((&who["admin"], &who["auditor"]), (&json!(admin), &json!(auditor)), "{who}");
        for role in api.get("/v1/roles", &token).await.body["roles"].as_array().unwrap() {
            let role = role["role_arn"].as_str().unwrap_or_else(|| panic!("{role}"));
            let ask = json!({"role": role, "reason": "INC-42"});
            let answer = api.post("/v1/credentials", &token, &ask).await;
            let short = role.trim_start_matches("arn:aws:iam::");
            seen.push(format!("{name} {short} {} {}", answer.status, answer.code()).trim_end().to_owned());
            if answer.status == 502 {
                assert!(answer.text("detail").contains("sts:TagSession"), "{answer:?}");
            }
        }
    }
    insta::assert_snapshot!(seen.join("\n"), @"
    alice 111122223333:role/ReadOnly 200
    alice 222233334444:role/Data 200
    alice 222233334444:role/Tester 200
    alice 444455556666:role/Developer 200
    alice 444455556666:role/Unfinished 502 sts_refused
    alice 555566667777:role/Everything 200
    alice 777788889999:role/security/Reader 200
    bob 111122223333:role/Administrator 200
    bob 111122223333:role/Deploy 200
    bob 111122223333:role/ReadOnly 200
    bob 444455556666:role/Developer 200
    bob 444455556666:role/Unfinished 502 sts_refused
    carol 111122223333:role/ReadOnly 200
    carol 777788889999:role/security/Reader 200
    carol 888899990000:role/Viewer 200
    ");
    assert_eq!(
        paste(&format!("curl -s {}/token/mallory", demo.address("People"))),
        "Nobody here has that name. There are: alice, bob, carol."
    );
}

#[tokio::test]
async fn there_is_a_past_to_look_at() {
    if !have_curl() {
        return;
    }
    let demo = Demo::start(&[]);
    let (api, carol) = (Api::new(demo.address("Hallpass")), demo.token("carol"));
    let before = |kind: &str| format!("/v1/audit/events?limit=1000&kind={kind}");
    for (kind, least) in
        [("credentials.issued", 30), ("console.issued", 10), ("credentials.denied", 5), ("grant.added", 1)]
    {
        let events = api.get(&before(kind), &carol).await.body["events"].clone();
        assert!(events.as_array().unwrap().len() >= least, "{kind}: {events}");
    }
    let roles = api.get("/v1/roles", &demo.token("alice")).await.body["roles"].clone();
    let ends: Vec<_> =
        roles.as_array().unwrap().iter().filter(|role| role["grants"][0]["expires"].is_string()).collect();
    assert_eq!(ends.len(), 1, "what Bob granted by hand: {ends:?}");
}

#[tokio::test]
async fn a_console_link_opens_a_page_that_says_where_it_would_lead() {
    if !have_curl() {
        return;
    }
    let demo = Demo::start(&[]);
    let api = Api::new(demo.address("Hallpass"));
    let ask = json!({"role": "prod/ReadOnly", "reason": "INC-42"});
    let answer = api.post("/v1/console", &demo.token("alice"), &ask).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let link = answer.text("url");
    assert!(link.starts_with(&format!("{}/federation?Action=login", demo.address("AWS"))), "{link}");
    let page = paste(&format!("curl -s '{link}'"));
    let lines: Vec<_> = page.lines().collect();
    let [_, _, who, until, at] = lines[..] else { panic!("{page}") };
    assert!(who.starts_with("as     arn:aws:sts::111122223333:assumed-role/ReadOnly/alice@example.com="), "{page}");
    assert!(until.trim_start_matches("until  ") <= answer.text("expires_at"), "{page}");
    assert_eq!(at, "at     https://console.aws.amazon.com/console/home?region=eu-west-1");
    let unknown = paste(&format!("curl -s '{link}x'"));
    assert_eq!(unknown, "This link is unknown, or older than 15 minutes.");
    paste(&format!("curl -s -X PUT {}/behaviour -d fail", demo.address("AWS")));
    assert_eq!(api.post("/v1/console", &demo.token("alice"), &ask).await.code(), "sts_unavailable");
}

#[tokio::test]
async fn a_second_start_goes_on_with_what_is_there() {
    if !have_curl() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("it's here");
    let data = ["--data", folder.to_str().unwrap()];
    let first = Demo::start(&data);
    paste(first.commands()[0]);
    // Bob takes away what Alice has just used; the next start must not give it back.
    let allowlist = fs::read_to_string(folder.join("allowlist.toml")).unwrap();
    let less = allowlist.replace(r#"roles = ["prod/ReadOnly"]"#, r#"roles = ["prod/Deploy"]"#);
    Api::new(first.address("Hallpass")).apply(&less, &first.token("bob")).await;
    let farewell = first.stop("TERM");
    let second = Demo::start(&data);
    let rows = paste(second.commands()[2]);
    assert_eq!(rows.matches("credentials.issued").count(), 1, "{rows}");
    let refused: Value = serde_json::from_str(&paste(second.commands()[0])).unwrap();
    assert_eq!(refused["code"], "not_allowed", "{refused}");
    second.stop("HUP");

    // What it says at the end works too.
    let verified = paste(farewell.split_once("check it:\n").unwrap().1);
    assert!(verified.contains("no fault"), "{verified}");
    let config = folder.join("hallpass.toml");
    let applied = ["audit", "search", "--kind", "allowlist.applied", "--config", config.to_str().unwrap()];
    assert_eq!(run(&mut hallpass(&applied)).lines().count(), 2, "once by the demo, once by bob");
}

#[tokio::test]
async fn aws_has_the_roles_that_are_applied_from_the_folder_and_the_folder_is_one_demos() {
    if !have_curl() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let data = root.path().to_str().unwrap();
    let demo = Demo::start(&["--data", data]);
    let [allowlist, config] = ["allowlist.toml", "hallpass.toml"].map(|name| root.path().join(name));
    let text = fs::read_to_string(&allowlist).unwrap();
    let role =
        "[[account.role]]\nname = \"New\"\nsession_tags = { team = \"shop\" }\n\n[[account]]\nid = \"777788889999\"";
    let text = text.replace("[[account]]\nid = \"777788889999\"", role).replace("hp-demo-dev-90b2fa", "hp-another");
    fs::write(&allowlist, text).unwrap();
    let [allowlist, config] = [&allowlist, &config].map(|path| path.to_str().unwrap());
    run(&mut hallpass(&["allowlist", "apply", allowlist, "--config", config]));
    let (api, alice) = (Api::new(demo.address("Hallpass")), demo.token("alice"));
    for (role, status) in [("dev/New", 200), ("dev/Developer", 200), ("dev/Unfinished", 502), ("prod/ReadOnly", 200)] {
        let answer = api.post("/v1/credentials", &alice, &json!({"role": role, "reason": "INC-42"})).await;
        assert_eq!(answer.status, status, "{role}: {answer:?}");
    }

    let second = hallpass(&["demo", "--listen", "127.0.0.1:0", "--data", data]).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!((second.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("a demo is running") && said.contains("another folder with --data"), "{said}");
    demo.stop("TERM");
    Demo::start(&["--data", data]).stop("TERM");
}

#[test]
fn the_command_line_signs_in_there() {
    if !have_curl() {
        return;
    }
    let demo = Demo::start(&[]);
    let (person, url) = (Person::new(), demo.address("Hallpass"));
    // A browser, in which somebody chooses alice.
    let browser = person.home().join("browser");
    fs::write(&browser, "#!/bin/sh\nexec curl -sL \"$1&person=alice\"\n").unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    run(person.command(&["login", "--server", url]).env("BROWSER", &browser));
    let whoami = run(&mut person.command(&["whoami"]));
    assert!(whoami.starts_with("user:alice@example.com\n  groups  group:developers\n"), "{whoami}");
    let exec = ["exec", "prod/ReadOnly", "--reason", "INC-42", "--", "printenv", "AWS_SESSION_TOKEN"];
    assert!(run(&mut person.command(&exec)).starts_with("HallpassDemo/WorksNowhereElse/"));
    let out = person.command(&["logout"]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("the provider takes the tokens no more"), "{said}");
}

#[test]
fn what_is_in_the_way_is_said_in_one_sentence_with_the_way_out() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("notes.txt"), "mine").unwrap();
    let foreign = root.path().to_str().unwrap();
    let below_a_file = root.path().join("notes.txt/demo");
    let port = free_port();
    let _held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let taken = format!("127.0.0.1:{port}");
    for (arguments, fault, way_out) in [
        (["--listen", &taken, "--data", foreign], "is in use", "--listen 127.0.0.1:0"),
        (["--listen", "0.0.0.0:0", "--data", foreign], "other machines", "a loopback address"),
        (["--listen", "127.0.0.1:0", "--data", foreign], "holds other things", "a new or empty folder"),
        (["--listen", "127.0.0.1:0", "--data", below_a_file.to_str().unwrap()], "Not a directory", "leave --data away"),
        (["--listen", "127.0.0.1:0", "--config", "x.toml"], "its own configuration", "leave --config away"),
    ] {
        let output = demo(&arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count(), output.stdout.len()), (Some(1), 1, 0), "{said}");
        assert!(said.contains(fault) && said.contains(way_out), "{arguments:?}: {said}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing was written");
}
