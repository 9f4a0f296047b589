//! `exec`: what the command finds, and that it ends as if nobody stood between.

use crate::support::{
    Killed,
    app::{Persona::Alice, TestApp},
    arguments_of_all,
    database::on_sqlite,
    person::Person,
    run,
};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::PermissionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Command, Stdio},
};

fn alice(test: &TestApp) -> Person {
    Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice))
}

#[test]
fn the_command_finds_these_credentials_and_no_others() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let others = [
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_SECURITY_TOKEN",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ROLE_ARN",
            "AWS_ROLE_SESSION_NAME",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        ];
        let person = others.into_iter().fold(alice(&test), |person, name| person.with(name, "another"));
        let person = person.with("AWS_REGION", "eu-north-1").with("AWS_PAGER", "");
        let found = async |arguments: &[&str]| {
            let shown = person.see(&[arguments, &["--", "env"]].concat()).await;
            assert!(!shown.contains("another"), "{shown}");
            let mut lines: Vec<_> = shown.lines().filter(|line| line.starts_with("AWS_")).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let lines = found(&["exec", "prod/ReadOnly"]).await;
        let minted = test.sts.minted().remove(0);
        let end = test.moment(std::time::Duration::from_hours(1));
        let whole_seconds = end.split('.').next().unwrap().trim_end_matches('Z');
        let own = |region: &str| {
            [
                format!("AWS_ACCESS_KEY_ID={}", minted.access_key_id),
                format!("AWS_CREDENTIAL_EXPIRATION={whole_seconds}Z"),
                format!("AWS_DEFAULT_REGION={region}"),
                "AWS_PAGER=".to_owned(),
                format!("AWS_REGION={region}"),
                format!("AWS_SECRET_ACCESS_KEY={}", minted.secret_access_key),
                format!("AWS_SESSION_TOKEN={}", minted.session_token),
            ]
        };
        // Where the shell has one of the two variables for the region, the command has both.
        assert_eq!(lines, own("eu-north-1"));
        assert_eq!(found(&["exec", "prod/ReadOnly", "--region", "eu-south-2"]).await, own("eu-south-2"));
        let bare = alice(&test).see(&["exec", "prod/ReadOnly", "--", "env"]).await;
        assert!(!bare.contains("REGION"), "{bare}");
        test.close().await;
    });
}

#[test]
fn exit_codes_and_signals_pass() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let person = alice(&test);
        for (script, code, signal) in
            [("exit 77", Some(77), None), ("exit 0", Some(0), None), ("kill -KILL $$", None, Some(9))]
        {
            let mut command = person.command(&["exec", "prod/ReadOnly", "--", "sh", "-c", script]);
            let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
            assert_eq!((status.code(), status.signal()), (code, signal), "{script}");
        }
        // What a supervisor sends to the one process, and what a terminal sends to all of its group.
        let sleep = "exec sleep 60";
        let trap = "trap 'exit 42' INT TERM; echo ready; while :; do sleep 0.05; done";
        for (script, name, to_group, code, signal) in [
            (trap, "TERM", false, Some(42), None),
            (trap, "INT", true, Some(42), None),
            (&*format!("echo ready; {sleep}"), "INT", true, None, Some(2)),
            (&format!("echo ready; {sleep}"), "TERM", false, None, Some(15)),
        ] {
            let mut command = person.command(&["exec", "prod/ReadOnly", "--", "sh", "-c", script]);
            command.process_group(0);
            let status = tokio::task::spawn_blocking(move || {
                let mut child = command.spawn().unwrap();
                let mut line = String::new();
                BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
                assert_eq!(line, "ready\n");
                let pid = format!("{}{}", if to_group { "-" } else { "" }, child.id());
                run(Command::new("kill").args(["-s", name, "--", &pid]));
                child.wait().unwrap()
            });
            let status = status.await.unwrap();
            assert_eq!((status.code(), status.signal()), (code, signal), "{name}: {script}");
        }
        test.close().await;
    });
}

/// While the command runs: `ps` shows nothing, what `/proc` has of its environment is its owner's, and so is every file.
#[test]
fn no_secret_is_where_others_can_read_it() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let (person, token) = (Person::new(), test.token(Alice));
        let script = "printenv AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN; exec cat";
        let mut command = person.command(&["exec", "prod/ReadOnly", "--server", &test.url, "--", "sh", "-c", script]);
        command.env("HALLPASS_TOKEN", &token).env("TMPDIR", person.home()).stdin(Stdio::piped());
        let mut child = Killed(command.spawn().unwrap());
        let out = BufReader::new(child.0.stdout.take().unwrap());
        let read = tokio::task::spawn_blocking(move || out.lines().take(2).map(Result::unwrap).collect::<Vec<_>>());
        let secrets = [read.await.unwrap(), vec![token]].concat();
        assert_eq!(secrets.len(), 3);

        let (shown, pid) = (arguments_of_all(), child.0.id());
        assert!(shown.contains("cat"), "{shown}");
        let readable = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077 != 0;
        assert!(!readable(format!("/proc/{pid}/environ").as_ref()));
        let kept = person.files().into_iter().filter(|(path, _)| path.is_file());
        let kept: Vec<_> = kept.map(|(path, _)| (fs::read_to_string(&path).unwrap(), path)).collect();
        for secret in &secrets {
            assert!(!shown.contains(secret.as_str()), "{shown}");
            for (_, path) in kept.iter().filter(|(text, _)| text.contains(secret.as_str())) {
                assert!(!readable(path) && !readable(path.parent().unwrap()), "{}", path.display());
            }
        }
        assert!(kept.iter().any(|(text, _)| text.contains(&secrets[0])), "the next command finds them");
        assert!(kept.iter().all(|(text, _)| !text.contains(&secrets[2])), "a pipeline's token is kept nowhere");
        test.close().await;
    });
}

#[test]
fn what_cannot_be_run_is_a_sentence_and_nothing_runs_without_credentials() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let person = alice(&test);
        for (arguments, expected) in [
            (
                &["prod/ReadOnly", "--", "no-such-command"][..],
                "no-such-command: there is no such command: check its name and PATH",
            ),
            (&["prod/ReadOnly", "--", "/etc"], "/etc: it may not be run: check that it is a program"),
            (&["prod/Nothing", "--", "echo", "run"], "No grant of yours names this role, or there is no such role"),
            (&["--", "echo", "run"], "no role is named: `hallpass roles` lists what you may have"),
        ] {
            let said = person.fail(&[&["exec"], arguments].concat()).await;
            assert!(said.starts_with(expected), "{said}");
        }
        assert_eq!(person.run(&["exec", "prod/ReadOnly"]).await.code, Some(2), "no command");
        test.close().await;
    });
}
