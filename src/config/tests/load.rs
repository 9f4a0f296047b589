use super::*;

fn folder_with(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hallpass.toml");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

#[test]
fn relative_paths_are_meant_from_the_folder_of_the_file() {
    let (folder, file) = folder_with(LEAST);
    let config = load(Some(&file), std::iter::empty()).unwrap();
    assert_eq!(config.database.url, DatabaseUrl::Sqlite(folder.path().join("hallpass.db")));
    assert_eq!(config.audit.signing_key_file, folder.path().join("audit.key"));

    let elsewhere =
        env(&[("HALLPASS_DATABASE__URL", "sqlite:/var/h.db"), ("HALLPASS_AUDIT__SIGNING_KEY_FILE", "keys/a.key")]);
    let config = load(Some(&file), elsewhere.into_iter()).unwrap();
    assert_eq!(config.database.url, DatabaseUrl::Sqlite("/var/h.db".into()));
    assert_eq!(config.audit.signing_key_file, folder.path().join("keys/a.key"));
}

#[test]
fn the_file_is_named_by_the_option_or_else_by_the_variable() {
    let (_folder, file) = folder_with(LEAST);
    let variable = |name: &str| env(&[("HALLPASS_CONFIG", name)]).into_iter();
    let named = file.to_str().unwrap();
    assert_eq!(load(None, variable(named)).unwrap().file, file);
    assert!(load(Some(&file), variable("/not/there.toml")).is_ok());
    let missing = load(None, variable("/not/there.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("/not/there.toml: cannot be read"), "{missing}");
    for none in [load(None, variable("")), load(None, std::iter::empty())] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(none.unwrap_err(), @"no configuration file is named: use --config FILE, or set HALLPASS_CONFIG");
        }
    }
}

#[test]
fn what_is_no_text_or_too_long_is_not_read() {
    for (bytes, said) in [(vec![0xff, b'a'], "UTF-8"), (vec![b'#'; 1 << 20 | 1], "over 1 MiB")] {
        let (_folder, file) = folder_with("");
        std::fs::write(&file, bytes).unwrap();
        let error = load(Some(&file), std::iter::empty()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let (_folder, file) = folder_with(&format!("{LEAST}#{}", "x".repeat((1 << 20) - LEAST.len() - 1)));
    assert!(load(Some(&file), std::iter::empty()).is_ok());
}

#[test]
fn a_variable_wins_over_the_file_and_its_text_is_taken_as_it_is() {
    let text = format!("server = {{ listen = 1, behind_proxy = false }}\naccess.admins = ['x']\n{LEAST}");
    let config = parse(
        "hallpass.toml",
        &text,
        &env(&[
            ("HALLPASS_SERVER__LISTEN", "0.0.0.0:80"),
            ("HALLPASS_SERVER__PUBLIC_URL", "https://h"),
            ("HALLPASS_SERVER__BEHIND_PROXY", "true"),
            ("HALLPASS_SERVER__TRUSTED_PROXIES", r#"["10.0.0.0/8", '192.0.2.1']"#),
            ("HALLPASS_SERVER__METRICS_LISTEN", "0.0.0.0:81"),
            ("HALLPASS_AWS__REGION", "us-east-1"),
            ("HALLPASS_ACCESS__ADMINS", "[]"),
            ("HALLPASS_AUDIT__SIGNING_KEY_FILE", "1234"),
            ("HALLPASS_LIMITS__REQUESTS_BURST", "7"),
            ("AWS_REGION", "eu-central-1"),
            ("HALLPASS_SERVER", "https://h"),
            ("HALLPASS_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("OTHER__KEY", "1"),
        ]),
    )
    .unwrap();
    assert_eq!(config.server.listen, "0.0.0.0:80".parse().unwrap());
    assert!(config.server.behind_proxy);
    assert_eq!(config.server.metrics_listen, "0.0.0.0:81".parse().ok());
    assert_eq!(
        config.server.trusted_proxies,
        [IpNet::parse("10.0.0.0/8").unwrap(), IpNet::parse("192.0.2.1").unwrap()]
    );
    assert_eq!(config.aws.region, "us-east-1");
    assert_eq!(config.access.admins, []);
    assert_eq!(config.audit.signing_key_file, Path::new("1234"));
    assert_eq!(config.limits.requests_burst.get(), 7);
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    for (name, value, expected) in [
        ("HALLPASS_SERVER__BEHIND_PROXY", "yes", "expected true or false"),
        ("HALLPASS_ACCESS__ADMINS", "group:x", r#"expected a list as in TOML: ["…", "…"]"#),
        ("HALLPASS_ACCESS__ADMINS", "['group:x', 1]", "[1]: expected a string"),
        ("HALLPASS_SERVER__LISTEN", "", "expected an IP address and a port, such as 127.0.0.1:8080"),
        ("HALLPASS_LIMITS__REQUESTS_BURST", "many", "expected a whole number"),
        ("HALLPASS_LIMITS__REQUESTS_BURST", "0", "expected a whole number from 1 to 1000000"),
        ("HALLPASS_AWS__REGION", "eu\u{fffd}-west-1", "expected Unicode text"),
        (
            "HALLPASS_ISSUERS__NAME",
            "x",
            "issuers are set in the file only: a variable cannot say which of them it means",
        ),
    ] {
        let found = faults(LEAST, &[(name, value)]);
        let colon = if expected.starts_with('[') { "" } else { ": " };
        assert_eq!(found, [format!("{name}{colon}{expected}")]);
    }
    for name in ["HALLPASS_SERVER__TLS__X", "HALLPASS__X", "HALLPASS_server__listen", "HALLPASS_X__Y"] {
        let found = faults(LEAST, &[(name, "x")]);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{name}: no such key; known are HALLPASS_")),
            "{found:?}"
        );
    }
}

#[test]
fn the_region_may_be_the_one_of_aws() {
    let text = LEAST.replace("aws.region", "# ");
    for (variables, region) in [
        (&[("AWS_REGION", "eu-west-2"), ("AWS_DEFAULT_REGION", "eu-west-3")][..], "eu-west-2"),
        (&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "eu-west-3")], "eu-west-3"),
    ] {
        let config = parse("hallpass.toml", &text, &env(variables)).unwrap();
        assert_eq!(config.aws.region, region, "{variables:?}");
    }
    assert_eq!(faults(&text, &[("AWS_REGION", "x")]), ["AWS_REGION: expected an AWS region, such as eu-west-1"]);
    assert_eq!(faults(&text, &[]), ["aws.region: required, such as eu-west-1, where AWS_REGION does not say it"]);
}

#[test]
fn what_is_hardly_meant_is_hinted_at() {
    let text = format!(
        "server = {{ behind_proxy = true }}\naccess.auditors = ['user:alice', 'group:corp/x', 'group:github/x']\n{LEAST}{}",
        cases::GITHUB
    );
    insta::assert_snapshot!(read(&text).unwrap().hints().join("\n"), @"
    server.trusted_proxies is empty: every caller has the proxy's address, for source_ips and in the audit, unless the proxy keeps the caller's
    access.admins is empty: nobody can change the allowlist through the API
    access.auditors names user:alice, but the prefix of no issuer here fits that name
    ");
    let text = format!("server.trusted_proxies = ['0.0.0.0/0']\naccess.admins = ['user:corp/x']\n{LEAST}");
    insta::assert_snapshot!(read(&text).unwrap().hints().join("\n"), @"server.trusted_proxies names every address: any caller can then choose its own");
}
