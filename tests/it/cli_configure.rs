//! `configure` on files as people have them. What becomes of their written is tried in `client::profiles`; here it is what
//! becomes of the file.

use crate::support::{
    app::{
        Persona::{Alice, Mallory},
        TestApp,
    },
    database::on_sqlite,
    person::{Ended, Person},
};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

const THEIRS: &str = "# mine\r\n[default]\r\nregion   =   eu-west-1\r\n\r\n[sso-session corp]\r\nsso_start_url = https://x\r\n\
                      [profile prod-Deploy]\r\n  ; a foreign one\r\nsso_session=corp\r\n";

fn alice(test: &TestApp) -> Person {
    Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice))
}

fn config(person: &Person) -> PathBuf {
    let folder = person.home().join(".aws");
    fs::create_dir_all(&folder).unwrap();
    folder.join("config")
}

fn names(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().filter(|line| line.starts_with('[')).map(str::to_owned).collect()
}

#[test]
fn a_file_that_is_not_there_is_made_and_only_its_owner_reads_it() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let person = alice(&test);
        let shown = person.see(&["configure"]).await;
        assert_eq!(shown, "new        444455556666-Plain\nnew        prod-Deploy\nnew        prod-ReadOnly");
        let file = person.home().join(".aws/config");
        let program = env!("CARGO_BIN_EXE_hallpass");
        let expected = ["444455556666/Plain", "prod/Deploy", "prod/ReadOnly"].map(|role| {
            format!(
                "[profile {}]\n# By hallpass configure, for {url}\n\
                 credential_process = {program} creds {role} --format process --server {url}\n",
                role.replace('/', "-"),
                url = test.url
            )
        });
        assert_eq!(fs::read_to_string(&file).unwrap(), expected.join("\n"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));

        // The file elsewhere, and a program that PATH finds.
        let bin = person.home().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(program, bin.join("hallpass")).unwrap();
        let other = person.home().join("other/config");
        let mut command = person.command(&["configure", "--prefix", "work-", "--json"]);
        command.env("AWS_CONFIG_FILE", "~/other/config").env("PATH", &bin);
        let ended = Ended::of(&tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap());
        let said: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((&said["file"], &said["added"][2]), (&json!(other), &json!("work-prod-ReadOnly")));
        let written = fs::read_to_string(&other).unwrap();
        assert!(written.contains(&format!("= {}/hallpass creds prod/ReadOnly ", bin.display())), "{written}");
        test.close().await;
    });
}

#[test]
fn whatever_the_file_is_others_stay_and_a_second_time_changes_nothing() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let person = alice(&test);
        let (file, real) = (config(&person), person.home().join("dotfiles-aws"));
        fs::write(&real, THEIRS).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("../dotfiles-aws", &file).unwrap();
        let ended = person.run(&["configure"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.err.contains("warning: a profile prod-Deploy is there already and is not ours"), "{ended:?}");
        let written = fs::read_to_string(&real).unwrap();
        assert!(written.starts_with(THEIRS) && !written.replace("\r\n", "").contains(['\r', '\n']), "{written:?}");
        assert!(names(&real).contains(&"[profile hallpass-prod-Deploy]".to_owned()), "{written:?}");
        assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o7777, 0o640);

        let before = fs::metadata(&real).unwrap();
        let shown = person.see(&["configure", "--prune"]).await;
        assert!(shown.lines().all(|line| line.starts_with("as it was  ")), "{shown}");
        let after = fs::metadata(&real).unwrap();
        assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()), "not even touched");

        // Roles come and go; what a person wrote into a section of ours stays with it.
        fs::write(
            &real,
            written.replace("[profile prod-ReadOnly]\r\n", "[profile prod-ReadOnly]\r\noutput = json\r\n"),
        )
        .unwrap();
        let grants =
            crate::support::app::ALLOWLIST.replace("roles = [\"444455556666/*\"]", "roles = [\"prod/ReadOnly\"]");
        test.apply(&grants).await;
        let ended = person.run(&["configure"]).await;
        assert!(ended.out.contains("role gone  444455556666-Plain"), "{ended:?}");
        assert!(ended.err.contains("--prune"), "{ended:?}");
        let shown = person.see(&["configure", "--prune"]).await;
        assert!(shown.contains("removed    444455556666-Plain"), "{shown}");
        let written = fs::read_to_string(&real).unwrap();
        assert!(
            written.starts_with(THEIRS) && written.contains("\r\noutput = json\r\n") && !written.contains("Plain"),
            "{written}"
        );
        test.close().await;
    });
}

#[test]
fn where_it_cannot_be_done_the_old_file_is_there_whole() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let person = alice(&test);
        let file = config(&person);
        let theirs = THEIRS.repeat(40);
        fs::write(&file, &theirs).unwrap();
        let whole = || assert_eq!(fs::read_to_string(&file).unwrap(), theirs);

        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        let said = person.fail(&["configure"]).await;
        let expected = "it is read-only, so it stays as it is; check the file and its permissions";
        assert_eq!(said, format!("{}: {expected}", file.display()));
        whole();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

        // The kernel kills what writes more than this, in the middle of the write: first with nothing left to say, then, where
        // the signal is ignored, with an error.
        for (trap, code, signal) in [("", None, Some(25)), ("trap '' XFSZ; ", Some(1), None)] {
            let script = format!("{trap}ulimit -f 4; exec {} configure", env!("CARGO_BIN_EXE_hallpass"));
            let mut command = person.command(&[]);
            let mut shell = Command::new("bash");
            shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command = shell;
            command.args(["-c", &script]);
            let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
            assert_eq!((output.status.code(), output.status.signal()), (code, signal), "{output:?}");
            whole();
        }
        // What the killed one has left is in nobody's way.
        person.see(&["configure"]).await;
        let left: Vec<_> =
            fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["config"]);
        fs::write(&file, &theirs).unwrap();

        let said = Person::new().with("HALLPASS_SERVER", "http://127.0.0.1:1").with("HALLPASS_TOKEN", "t");
        let said = said.with("AWS_CONFIG_FILE", file.to_str().unwrap()).fail(&["configure"]).await;
        assert!(said.contains("cannot be reached"), "{said}");
        let said = person.fail(&["configure", "--prefix", "a b"]).await;
        assert_eq!(said, "--prefix: expected letters, digits and _+=,.@-");
        whole();
        let mallory = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Mallory));
        let ended = mallory.run(&["configure"]).await;
        assert!(ended.code == Some(0) && ended.err.starts_with("No role is granted to you"), "{ended:?}");
        assert!(!mallory.home().join(".aws").exists());
        test.close().await;
    });
}
