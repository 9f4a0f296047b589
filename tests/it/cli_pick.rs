//! Commands at a terminal, where somebody chooses and gives reasons: a real one, by `script` of util-linux.

use crate::support::{
    Killed,
    app::{Persona::Alice, TestApp},
    database::on_sqlite,
    person::Person,
    service::keep,
    until,
};
use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

/// A command at a terminal.
struct Terminal {
    process: Killed,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn open(person: &Person, line: &str) -> Self {
        let mut script = Command::new("script");
        let of = person.command(&[]);
        script.env_clear().envs(of.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.env("SHELL", "/bin/sh").env("TERM", "xterm-256color").env("NO_COLOR", "1");
        let line = format!("stty cols 80 rows 24; exec {} {line}", env!("CARGO_BIN_EXE_hallpass"));
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let (shown, mut out) = (Arc::new(Mutex::new(String::new())), child.stdout.take().unwrap());
        keep(child.stderr.take().unwrap(), &Arc::default());
        let reader = shown.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(1..) = out.read(&mut piece).inspect(|length| {
                reader.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..*length]));
            }) {}
        });
        Self { process: Killed(child), shown }
    }

    /// Waits until this is shown, and forgets what was before.
    async fn sees(&self, text: &str) -> String {
        until(text, Duration::from_secs(20), async || {
            let mut shown = self.shown.lock().unwrap();
            let end = shown.find(text)? + text.len();
            Some(shown.drain(..end).collect())
        })
        .await
    }

    fn types(&mut self, keys: &str) {
        self.process.0.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    async fn ends(mut self) -> (Option<i32>, String) {
        let wait = move || {
            let code = self.process.0.wait().unwrap().code();
            (code, self.shown.lock().unwrap().clone())
        };
        tokio::task::spawn_blocking(wait).await.unwrap()
    }
}

/// The names of the roles that STS was asked for.
fn assumed(test: &TestApp) -> Vec<String> {
    let arns = test.sts.requests().into_iter().filter_map(|request| request.get("RoleArn").cloned());
    arns.map(|arn| arn.rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn a_person_chooses_a_role_and_says_why() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let alice = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice));
        let line = "exec -- sh -c 'echo has $AWS_ACCESS_KEY_ID; exit 7'";
        let mut terminal = Terminal::open(&alice, line);
        let list = terminal.sees("444455556666/Plain").await;
        assert!(list.contains("prod/ReadOnly       Look, don't touch"), "{list}");
        terminal.types("dply\r");
        terminal.sees("Why do you need it").await;
        terminal.types("INC-42\r");
        terminal.sees("has ASIA").await;
        assert_eq!(terminal.ends().await.0, Some(7));
        assert_eq!(assumed(&test), ["Deploy"]);
        let asked = crate::support::app::records_of(db, "credentials.requested").await;
        assert_eq!(asked.last().unwrap()["reason"], "INC-42");

        // What was used last is the first that is offered. What was typed before is no reason for another time.
        let mut terminal = Terminal::open(&alice, line);
        let list = terminal.sees("444455556666/Plain").await;
        assert!(list.find("prod/Deploy").unwrap() < list.find("prod/ReadOnly").unwrap(), "{list}");
        terminal.types("\r");
        terminal.sees("Why do you need it").await;
        terminal.types("\u{3}");
        let (code, shown) = terminal.ends().await;
        assert_eq!(code, Some(1));
        assert!(shown.contains("nothing was chosen") && shown.contains("\u{1b}[?25h"), "the cursor is back: {shown:?}");
        for key in ["\u{3}", "\u{1b}"] {
            let mut terminal = Terminal::open(&alice, "creds");
            terminal.sees("444455556666/Plain").await;
            terminal.types(key);
            let (code, shown) = terminal.ends().await;
            assert_eq!(code, Some(1), "{key:?}");
            assert!(shown.contains("nothing was chosen") && shown.contains("\u{1b}[?25h"), "{key:?}: {shown:?}");
        }
        assert_eq!(assumed(&test).len(), 1);

        // Where nobody can be asked.
        let said = alice.fail(&["creds", "prod/Deploy"]).await;
        assert!(said.ends_with("give one with --reason, or as HALLPASS_REASON"), "{said}");
        assert_eq!(alice.run_with(&["creds", "prod/Deploy"], "HALLPASS_REASON", "INC-43").await.code, Some(0));
        assert_eq!(alice.fail(&["creds"]).await, "no role is named: `hallpass roles` lists what you may have");
        test.close().await;
    });
}

#[test]
fn roles_are_completed_wherever_one_is_named() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let alice = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice));
        alice.see(&["roles"]).await;
        test.close().await;
        for name in ["creds", "exec", "console", "agent"] {
            let mut command = alice.command(&["--", "hallpass", name, "prod/R"]);
            command.env("HALLPASS_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").env("_CLAP_IFS", "\n");
            let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), "prod/ReadOnly", "{name}");
        }
    });
}
