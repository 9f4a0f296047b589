//! `creds`: what is printed, what is kept for the next command, and with whom it is never shared.

use crate::support::{
    app::{
        Persona::{self, Alice, Applier},
        TestApp,
    },
    database::on_sqlite,
    person::Person,
};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

fn person(test: &TestApp, who: Persona) -> Person {
    Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(who))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

/// What is kept, without the locks.
fn kept(person: &Person) -> Vec<PathBuf> {
    let files = person.files().into_iter().map(|(path, _)| path);
    let ours = |path: &PathBuf| {
        path.is_file() && path.parent().and_then(|folder| folder.extension()).is_some_and(|end| end == "credentials")
    };
    files.filter(|path| ours(path) && path.extension().is_some_and(|end| end == "json")).collect()
}

#[test]
fn credentials_are_printed_for_each_reader() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let alice = person(&test, Alice);
        let whole = parsed(&alice.see(&["creds", "prod/ReadOnly"]).await);
        let member = |name: &str| whole[name].as_str().unwrap().to_owned();
        let (id, key, token, end) =
            (member("access_key_id"), member("secret_access_key"), member("session_token"), member("expires_at"));
        assert_eq!(
            (&*member("role_arn"), &whole["duration_seconds"], &*member("region")),
            ("arn:aws:iam::111122223333:role/teams/ReadOnly", &3600.into(), "eu-west-1")
        );
        for (format, region, expected) in [
            (
                "process",
                "eu-central-1",
                format!(
                    r#"{{"Version":1,"AccessKeyId":"{id}","SecretAccessKey":"{key}","SessionToken":"{token}","Expiration":"{end}"}}"#
                ),
            ),
            (
                "env",
                "eu-central-1",
                format!(
                    "export AWS_ACCESS_KEY_ID='{id}'\nexport AWS_SECRET_ACCESS_KEY='{key}'\nexport AWS_SESSION_TOKEN='{token}'\n\
                     export AWS_CREDENTIAL_EXPIRATION='{end}'\nexport AWS_REGION='eu-central-1'\n\
                     export AWS_DEFAULT_REGION='eu-central-1'"
                ),
            ),
            (
                "ini",
                "",
                format!(
                    "[prod-ReadOnly]\naws_access_key_id = {id}\naws_secret_access_key = {key}\naws_session_token = {token}"
                ),
            ),
        ] {
            let mut arguments = vec!["creds", "prod/ReadOnly", "--format", format];
            if !region.is_empty() {
                arguments.extend(["--region", region]);
            }
            assert_eq!(alice.see(&arguments).await, expected, "{format}");
        }
        let other = parsed(&alice.see(&["creds", "prod/ReadOnly", "--region", "eu-central-1"]).await);
        assert_eq!((&other["region"], &other["access_key_id"]), (&"eu-central-1".into(), &id.into()));
        assert_eq!(test.sts.minted().len(), 1, "the region makes no other session");
        test.close().await;
    });
}

#[test]
fn many_commands_are_one_session_until_its_end_is_near() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let alice = person(&test, Alice);
        let ask = async |more: &[&str]| alice.see(&[&["creds", "prod/ReadOnly"], more].concat()).await;
        let first = ask(&[]).await;
        for _ in 0..3 {
            assert_eq!(ask(&[]).await, first);
        }
        // All at once too, and with nothing there before.
        let at_once = person(&test, Alice);
        let all = futures_util::future::join_all((0..8).map(|_| at_once.see(&["creds", "prod/ReadOnly"]))).await;
        assert!(all.iter().all(|one| *one == all[0]) && all[0] != first);
        assert_eq!(test.sts.minted().len(), 2);

        let fresh = ask(&["--fresh"]).await;
        assert_ne!(fresh, first);
        assert_eq!(ask(&[]).await, fresh, "what is fresh is kept");
        // Each set of options is another session.
        for options in
            [&["--duration", "30m"][..], &["--duration", "15m"], &["--reason", "INC-1"], &["--reason", "INC-2"]]
        {
            let other = ask(options).await;
            assert_ne!(other, fresh, "{options:?}");
            assert_eq!(ask(options).await, other, "{options:?}");
        }
        assert_eq!(test.sts.minted().len(), 7);
        for (path, mode) in alice.files() {
            let ours = path.components().any(|part| part.as_os_str() == "hallpass");
            assert!(!ours || mode == if path.is_dir() { 0o700 } else { 0o600 }, "{mode:o} {}", path.display());
        }
        test.close().await;
    });
}

#[test]
fn what_is_over_does_not_pile_up() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let alice = person(&test, Alice);
        for reason in ["INC-1", "INC-2"] {
            alice.see(&["creds", "prod/ReadOnly", "--reason", reason]).await;
        }
        let files = kept(&alice);
        let hours_ago = |hours: u64| {
            std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(crate::support::now()).unwrap() - hours * 3600)
        };
        for (file, hours) in files.iter().zip([13, 11]) {
            fs::File::options().write(true).open(file).unwrap().set_modified(hours_ago(hours)).unwrap();
        }
        alice.see(&["creds", "prod/ReadOnly", "--reason", "INC-3"]).await;
        let left = kept(&alice);
        assert!(left.len() == 2 && !left.contains(&files[0]) && left.contains(&files[1]), "{left:?}");
        test.close().await;
    });
}

/// Signed in as this person, with this token: the file that `login` leaves.
fn sign_in(person: &Person, test: &TestApp, principal: &str, token: &str) -> PathBuf {
    let folder = person.home().join(".local/state/hallpass");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{}.json", test.url.replace("://", "_").replace(':', "_")));
    let sign_in = json!({
        "client_id": "cli", "client_secret": null, "issuer": test.corp.url, "prompt": null, "redirect_port": null,
        "resource": null, "scopes": ["openid"], "token": "access",
    });
    let tokens = json!({"token": token, "expires_at": 4_000_000_000_i64, "refresh_token": null});
    let session = json!({
        "server": test.url, "sign_in": sign_in, "principal": principal, "kept": "file", "tokens": tokens,
    });
    fs::write(&file, session.to_string()).unwrap();
    file
}

#[test]
fn a_sign_in_keeps_its_own_whatever_its_token_and_takes_nobody_elses() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let person = Person::new().with("HALLPASS_SERVER", &test.url);
        let key = async || {
            parsed(&person.see(&["creds", "444455556666/Plain"]).await)["access_key_id"].as_str().unwrap().to_owned()
        };
        sign_in(&person, &test, "user:alice@example.com", &test.token(Alice));
        let first = key().await;
        // A refreshed token is the same person's.
        test.clock.advance(Duration::from_secs(1));
        sign_in(&person, &test, "user:alice@example.com", &test.token(Alice));
        assert_eq!(key().await, first);
        sign_in(&person, &test, "workload:ci/apply", &test.token(Applier));
        assert_ne!(key().await, first);
        let file = sign_in(&person, &test, "user:alice@example.com", &test.token(Alice));
        assert_eq!(key().await, first);
        // Nobody is signed in: what is there is nobody's.
        fs::remove_file(file).unwrap();
        assert!(person.fail(&["creds", "444455556666/Plain"]).await.starts_with("not signed in to "));
        test.close().await;
    });
}

/// Whatever is kept lasts `left` of a session of `whole`, in seconds.
async fn asks_again(test: &TestApp, whole: i64, left: i64) -> bool {
    let alice = person(test, Alice);
    let first = alice.see(&["creds", "prod/ReadOnly"]).await;
    let [file] = &kept(&alice)[..] else { panic!("one file") };
    let mut body = parsed(&fs::read_to_string(file).unwrap());
    body["expires_at"] = test.moment(Duration::from_secs(left.try_into().unwrap())).into();
    body["duration_seconds"] = whole.into();
    fs::write(file, body.to_string()).unwrap();
    parsed(&alice.see(&["creds", "prod/ReadOnly"]).await)["access_key_id"] != parsed(&first)["access_key_id"]
}

#[test]
fn what_is_near_its_end_is_not_printed_again() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        // The machine's clock goes on meanwhile.
        for (whole, left, again) in [
            (3600, 960, false),
            (3600, 900, true),
            (1800, 660, false),
            (1800, 600, true),
            (900, 360, false),
            (900, 300, true),
        ] {
            assert_eq!(asks_again(&test, whole, left).await, again, "{left} of {whole}");
        }
        test.close().await;
    });
}

#[test]
fn no_other_caller_and_no_other_server_gets_what_is_kept() {
    on_sqlite(async |db| {
        let (test, other_db) = (TestApp::start_today(db).await, crate::support::database::TestDb::sqlite());
        let other = TestApp::start_today(&other_db).await;
        let role = "444455556666/Plain";
        let person = Person::new();
        let ask = async |server: &TestApp, token: &str| {
            let mut command = person.command(&["creds", role, "--server", &server.url]);
            command.env("HALLPASS_TOKEN", token);
            let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
            assert!(output.status.success(), "{output:?}");
            parsed(&String::from_utf8(output.stdout).unwrap())["access_key_id"].to_string()
        };
        let (alice, applier) = (test.token(Alice), test.token(Applier));
        let keys = [ask(&test, &alice).await, ask(&test, &applier).await];
        assert_ne!(keys[0], keys[1]);
        // The same token at another server, which takes it for nobody's, and one of its own.
        let mut refused = person.command(&["creds", role, "--server", &other.url]);
        refused.env("HALLPASS_TOKEN", &alice);
        assert!(!tokio::task::spawn_blocking(move || refused.status()).await.unwrap().unwrap().success());
        ask(&other, &other.token(Alice)).await;
        assert_eq!((test.sts.minted().len(), other.sts.minted().len()), (2, 1));
        assert_eq!(ask(&test, &alice).await, keys[0]);
        assert_eq!(ask(&test, &applier).await, keys[1]);
        assert_eq!(kept(&person).len(), 3);
        for file in kept(&person) {
            for token in [&alice, &applier] {
                assert!(!fs::read_to_string(&file).unwrap().contains(&**token), "{}", file.display());
            }
        }

        // What others can read or write is not taken.
        for (file, mode) in kept(&person).iter().zip([0o644, 0o620, 0o606]) {
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_ne!(ask(&test, &alice).await, keys[0]);

        // Signing out empties the one server's.
        let mut logout = person.command(&["logout", "--server", &test.url]);
        assert!(tokio::task::spawn_blocking(move || logout.status()).await.unwrap().unwrap().success());
        assert_eq!(kept(&person).len(), 1);
        test.close().await;
        other.close().await;
    });
}
