//! `?format=` as its readers read it: the real shells and the real AWS clients, with values that would break a careless
//! quoting; and what becomes of an error that somebody has a shell run.

use crate::support::{
    app::{
        Persona::{Alice, Anonymous, Mallory},
        Reply, TestApp,
    },
    database::{TestDb, on_both},
    run, skip, variable,
};
use hallpass::format::{Credentials, Format};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path, process::Command};

on_both!(each_format_is_answered_whole, an_error_can_be_run_and_does_nothing, a_format_is_read_before_aws_is_asked);

/// Whatever AWS has in a secret, and whatever it had better not have.
const SECRETS: [&str; 12] = [
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY=",
    "it's 'quoted' '' and 'again",
    "say \"so\"",
    "$HOME ${HOME} $(echo no) `echo no`",
    "100% %PATH% !! !$ !x",
    "back\\slash \\' \\n \\\\",
    "a;b & c | d > e < f # g ^ h",
    "{a,b} ~ * ? [x] (y) @ = +/=",
    "-n",
    " blanks at both ends ",
    "‘typographic’ ‚quotes‛ é 日本",
    "'",
];

fn credentials<'a>(secret: &'a str, token: &'a str) -> Credentials<'a> {
    Credentials {
        issuance_id: "019b7ca9-8c88-7000-8000-000000000001",
        role_arn: "arn:aws:iam::111122223333:role/ReadOnly",
        assumed_role_arn: "arn:aws:sts::111122223333:assumed-role/ReadOnly/alice=0",
        source_identity: None,
        access_key_id: "ASIAEXAMPLE000000001",
        secret_access_key: secret,
        session_token: token,
        expires_at: "2026-01-02T04:04:05Z",
        duration_seconds: 3600,
        clamped_by: None,
        region: "eu-west-1",
        region_given: true,
        profile: "prod-Read+Only@x",
    }
}

/// A shell's program, where it is there.
fn have(program: &str) -> bool {
    let there = Command::new(program).arg("-c").arg("exit 0").output().is_ok();
    if !there {
        skip(program);
    }
    there
}

/// What the environment of a program is that this shell starts after it has read `text`.
fn environment_after(shell: &[&str], script: &str, text: &str) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), text).unwrap();
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(script).current_dir(folder.path());
    command.env_clear().env("PATH", variable("PATH").unwrap()).env("HOME", folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{shell:?}: {output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let pairs = printed.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn assert_set_by(format: Format, shell: &[&str], script: &str) {
    for secret in SECRETS {
        for token in [secret, SECRETS[0]] {
            let text = format.write(&credentials(secret, token)).unwrap();
            let environment = environment_after(shell, script, &text);
            for (name, value) in [
                ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE000000001"),
                ("AWS_SECRET_ACCESS_KEY", secret),
                ("AWS_SESSION_TOKEN", token),
                ("AWS_CREDENTIAL_EXPIRATION", "2026-01-02T04:04:05Z"),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_DEFAULT_REGION", "eu-west-1"),
            ] {
                assert_eq!(environment.get(name).map(String::as_str), Some(value), "{shell:?} {name}: {text}");
            }
        }
    }
}

const EVAL: &str = r#"eval "$(cat text)" && env -0"#;

#[test]
fn posix_shells_set_what_was_written() {
    for shell in [&["bash", "-c"][..], &["bash", "--posix", "-c"], &["sh", "-c"]] {
        assert_set_by(Format::Env, shell, EVAL);
    }
    if have("zsh") {
        for shell in [&["zsh", "-f", "-c"][..], &["zsh", "-f", "-o", "rcquotes", "-i", "-c"]] {
            assert_set_by(Format::Env, shell, EVAL);
        }
    }
}

#[test]
fn fish_sets_what_was_written() {
    if have("fish") {
        assert_set_by(Format::Fish, &["fish", "--no-config", "-c"], "cat text | source; and env -0");
    }
}

/// Where it can be had; its rules are tried in `src/format` for everybody.
#[test]
fn powershell_sets_what_was_written() {
    if Command::new("pwsh").arg("-Version").output().is_ok() {
        let script = "Get-Content -Raw text | Invoke-Expression; env -0";
        assert_set_by(Format::PowerShell, &["pwsh", "-NoProfile", "-Command"], script);
    }
}

/// What botocore finds with this configuration, in a home of its own.
fn botocore(config: &str, shared: &str, profile: &str) -> Option<Vec<String>> {
    let tools = variable("HALLPASS_TEST_MOTO")?;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config"), config).unwrap();
    fs::write(folder.path().join("shared"), shared).unwrap();
    let program = "import botocore.session as b\ns = b.Session(profile='PROFILE')\n\
                   c = s.get_credentials().get_frozen_credentials()\n\
                   print(c.access_key, c.secret_key, c.token, s.get_config_variable('region'), sep='\\n')";
    let mut command = Command::new(Path::new(&tools).join("python"));
    command.arg("-c").arg(program.replace("PROFILE", profile)).current_dir(folder.path()).env_clear();
    command.env("PATH", variable("PATH").unwrap()).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_CONFIG_FILE", folder.path().join("config"));
    command.env("AWS_SHARED_CREDENTIALS_FILE", folder.path().join("shared"));
    Some(run(&mut command).lines().map(str::to_owned).collect())
}

#[test]
fn aws_clients_read_the_file_and_the_process() {
    let token = "IQoJb3JpZ2luX2VjE'\"$`%!#;+/==";
    // In a file a value has no blanks: what has some is refused.
    for secret in SECRETS.into_iter().filter(|secret| !secret.contains(' ')).chain(["#x;y%(z)s'\"$`!\\=+/="]) {
        let text = Format::Ini.write(&credentials(secret, token)).unwrap();
        let Some(found) = botocore("", &text, "prod-Read+Only@x") else { return skip("botocore") };
        assert_eq!(found, ["ASIAEXAMPLE000000001", secret, token, "eu-west-1"], "{text}");
    }
    for secret in SECRETS {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("answer.json");
        let far = Credentials { expires_at: "2126-01-02T04:04:05Z", ..credentials(secret, token) };
        fs::write(&file, Format::Process.write(&far).unwrap()).unwrap();
        let config = format!("[profile prod]\ncredential_process = cat {}\n", file.display());
        let Some(found) = botocore(&config, "", "prod") else { return skip("botocore") };
        assert_eq!(found[..3], ["ASIAEXAMPLE000000001", secret, token]);
    }
}

async fn ask(test: &TestApp, query: &str, body: &Value) -> Reply {
    test.post(&format!("/v1/credentials{query}"), Alice, body).await
}

async fn each_format_is_answered_whole(db: &TestDb) {
    let test = TestApp::start(db).await;
    for (role, region, profile) in
        [("prod/ReadOnly", None, "prod-ReadOnly"), ("444455556666/Plain", Some("us-east-1"), "444455556666-Plain")]
    {
        for (name, format) in Format::ALL {
            let reply = ask(&test, &format!("?format={name}"), &json!({"role": role, "region": region})).await;
            assert_eq!((reply.status, reply.header("cache-control")), (200, "no-store"), "{reply:?}");
            assert_eq!(reply.header("content-type"), format.media_type(), "{name}");
            let minted = test.sts.minted().pop().unwrap();
            let json: Value = serde_json::from_str(&reply.text).unwrap_or_default();
            let expected = Credentials {
                issuance_id: json["issuance_id"].as_str().unwrap_or_default(),
                role_arn: json["role_arn"].as_str().unwrap_or_default(),
                assumed_role_arn: json["assumed_role_arn"].as_str().unwrap_or_default(),
                source_identity: json["source_identity"].as_str(),
                access_key_id: &minted.access_key_id,
                secret_access_key: &minted.secret_access_key,
                session_token: &minted.session_token,
                region: region.unwrap_or("eu-west-1"),
                region_given: region.is_some(),
                profile,
                ..credentials("", "")
            };
            assert_eq!(reply.text, format.write(&expected).unwrap(), "{name}");
            assert_eq!(reply.text.contains("us-east-1"), region.is_some() && name != "process", "{name}: {reply:?}");
        }
    }
    test.close().await;
}

async fn a_format_is_read_before_aws_is_asked(db: &TestDb) {
    let test = TestApp::start(db).await;
    for (query, pointer) in [
        ("?format=bash", "/format"),
        ("?format=", "/format"),
        ("?format=ENV", "/format"),
        ("?format=json&format=json", "/format"),
        ("?Format=json", "/Format"),
    ] {
        let reply = ask(&test, query, &json!({"role": "prod/ReadOnly"})).await;
        assert_eq!((reply.status, reply.code().as_str()), (422, "invalid_request"), "{query}: {reply:?}");
        assert_eq!(reply.body()["errors"][0]["pointer"], pointer, "{query}: {reply:?}");
    }
    assert_eq!(test.sts.requests().len(), 0);
    test.close().await;
}

/// Runs an answer as `eval "$(curl …)"` and its like do, and tells whether that failed; it must print nothing, and
/// touch nothing.
fn assert_harmless(shell: &[&str], script: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), text).unwrap();
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(script).current_dir(folder.path());
    command.env_clear().env("PATH", variable("PATH").unwrap()).env("HOME", folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{shell:?} {text}: {output:?}");
    assert!(said.starts_with("Hallpass: no credentials (") && said.lines().count() == 1, "{shell:?}: {said}");
    assert!(!folder.path().join("gone").exists(), "{shell:?} {text}");
}

async fn an_error_can_be_run_and_does_nothing(db: &TestDb) {
    let test = TestApp::start(db).await;
    let evil = "';touch gone;echo $(touch gone)`touch gone`\";touch gone;#";
    let usual = json!({"role": "prod/ReadOnly", "reason": evil});
    let bodies = [
        (Mallory, usual.clone(), 403),
        (Anonymous, usual.clone(), 401),
        (Alice, json!({"role": evil, evil: evil}), 422),
        (Alice, json!({"role": "prod/ReadOnly", "duration_seconds": 43_200, "reason": evil}), 422),
        (Alice, json!({"role": "prod/Deploy"}), 422),
        (Alice, json!("x".repeat(70_000)), 413),
    ];
    for (name, _) in Format::ALL.into_iter().skip(1) {
        let mut seen = Vec::new();
        for (who, body, status) in &bodies {
            let request = test.request(Method::POST, &format!("/v1/credentials?format={name}"), *who);
            let reply = request.header("x-request-id", "touch").json(body).send().await;
            seen.push((reply, *status));
        }
        let at = format!("/v1/credentials?format={name}");
        let request = test.request(Method::POST, &format!("{at}&$(touch gone)=1"), Alice);
        seen.push((request.json(&usual).send().await, 422));
        seen.push((test.request(Method::POST, &at, Alice).body("application/json", evil).send().await, 400));
        seen.push((test.request(Method::POST, &at, Alice).body("text/plain", evil).send().await, 415));
        test.sts.behave("ReadOnly", crate::support::sts::Behaviour::ACCESS_DENIED);
        seen.push((ask(&test, &format!("?format={name}"), &usual).await, 502));
        for (reply, status) in seen {
            assert_eq!(reply.status, status, "{name}: {reply:?}");
            assert_eq!(reply.header("cache-control"), "no-store");
            assert!(!reply.text.contains("touch") && reply.text.is_ascii(), "{name}: {reply:?}");
            assert_eq!(reply.header("www-authenticate").is_empty(), status != 401, "{reply:?}");
            match name {
                "env" => {
                    assert_harmless(&["bash", "-c"], EVAL, &reply.text);
                    // Without the quotation marks too.
                    assert_harmless(&["bash", "-c"], "eval $(cat text) && env", &reply.text);
                }
                "fish" | "process" | "powershell" | "cmd" | "ini" => {}
                other => panic!("{other}"),
            }
            if name == "env" && have("zsh") {
                assert_harmless(&["zsh", "-f", "-c"], EVAL, &reply.text);
            }
            if name == "fish" && have("fish") {
                assert_harmless(&["fish", "--no-config", "-c"], "cat text | source; and env", &reply.text);
            }
            if name == "process" {
                let told: Value = serde_json::from_str(&reply.text).unwrap();
                assert_eq!(told["code"].as_str().map(str::is_empty), Some(false), "{reply:?}");
                assert_eq!(told.as_object().unwrap().len(), 2, "{reply:?}");
            }
        }
    }
    // As JSON everything is told.
    let reply = ask(&test, "?format=json", &json!({"role": evil})).await;
    assert_eq!((reply.code().as_str(), reply.header("content-type")), ("invalid_request", "application/problem+json"));
    test.close().await;
}
