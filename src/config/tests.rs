mod cases;
mod load;

use super::*;
use crate::{identity, input::PlacedFault, model::LoginToken};
use proptest::prelude::*;

const SAMPLE: &str = include_str!("../../docs/hallpass.toml");

/// The least that is valid; the cases put lines before or behind it.
const LEAST: &str = r#"
aws.region = "eu-west-1"
[[issuers]]
name = "corp"
issuer = "https://login.example.com"
audiences = ["hallpass"]
kind = "people"
"#;

fn env(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parse(path: &str, text: &str, env: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
    super::parse(path, text, env, Files::Read)
}

#[test]
fn files_are_looked_into_only_to_serve() {
    let text = format!("server.tls = {{ certificate = '/not/there', key = '/not/there' }}\n{LEAST}");
    assert!(super::parse("hallpass.toml", &text, &env(&[]), Files::Named).is_ok());
    assert!(read(&text).is_err());
}

fn read(text: &str) -> Result<Config, ConfigError> {
    parse("hallpass.toml", text, &env(&[]))
}

/// The keys and problems of every fault, without the lines.
fn faults(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    match parse("hallpass.toml", text, &env(variables)) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Faults(faults)) => faults
            .into_iter()
            .map(|fault| PlacedFault { line: None, ..fault }.to_string().replace("hallpass.toml: ", ""))
            .collect(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_sample_is_valid_and_says_what_the_defaults_are() {
    let config = read(SAMPLE).unwrap();
    assert_eq!(config.hints(), Vec::<String>::new());
    let least = read(LEAST).unwrap();
    assert_eq!(config.server.listen, least.server.listen);
    assert_eq!(config.server.behind_proxy, least.server.behind_proxy);
    assert_eq!(config.audit, least.audit);
    assert_eq!(config.limits, least.limits);
    assert_eq!(config.issuers[0].algorithms, least.issuers[0].algorithms);
    assert_eq!(config.issuers[0].token_types, least.issuers[0].token_types);
    assert_eq!(config.issuers[0].cap_to_token, least.issuers[0].cap_to_token);
}

/// The reader names the keys it knows when it meets one that it does not.
#[test]
fn the_sample_has_every_key() {
    // TLS stands there as a comment: there are no such files.
    let sample = SAMPLE.replace("# [server.tls]", "[server.tls]");
    let sample = sample.replace("# certificate =", "certificate =").replace("# key =", "key =");
    let (sample, _) = parse_toml(&sample).unwrap();
    let mut document = sample.clone();
    let places =
        ["/server", "/server/tls", "/database", "/aws", "/access", "/login", "/audit", "/limits", "/issuers/0"];
    for place in places.into_iter().chain(["/issuers/1/rules/0"]) {
        document.pointer_mut(place).and_then(Value::as_object_mut).unwrap().insert("x".to_owned(), json!(1));
    }
    for fault in input::read::<Config>(document).unwrap_err().0 {
        let place = fault.pointer.strip_suffix("/x").unwrap();
        let known = fault.problem.strip_prefix("unknown key; known here: ").unwrap();
        for key in known.split(", ").filter(|key| *key != "rules") {
            assert!(sample.pointer(&format!("{place}/{key}")).is_some(), "{place}/{key}");
        }
    }
}

#[test]
fn what_is_not_said_has_its_default() {
    let corp = IssuerConfig {
        name: "corp".parse().unwrap(),
        issuer: "https://login.example.com".to_owned(),
        audiences: vec!["hallpass".to_owned()],
        kind: IssuerKind::People(identity::People {
            principal_claim: "sub".to_owned(),
            groups_claim: None,
            prefix: "corp/".to_owned(),
            trust_unverified_email: false,
        }),
        rules: vec![],
        algorithms: vec![identity::Algorithm::Rs256, identity::Algorithm::Es256, identity::Algorithm::EdDsa],
        token_types: vec!["JWT".to_owned(), "at+jwt".to_owned()],
        authorized_parties: vec![],
        jwks_url: None,
        cap_to_token: false,
    };
    let default = Config {
        file: PathBuf::new(),
        server: Server {
            listen: "127.0.0.1:8080".parse().unwrap(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            trusted_proxies: vec![],
            behind_proxy: false,
            metrics_listen: None,
            tls: None,
        },
        database: Database { url: DatabaseUrl::Sqlite("hallpass.db".into()), migrate_url: None },
        aws: Aws { region: "eu-west-1".to_owned(), signin_url: None },
        access: Access { admins: vec![], auditors: vec![], appliers: vec![], token_creators: vec![] },
        issuers: vec![corp],
        login: None,
        portal: None,
        audit: Audit { signing_key_file: "audit.key".into() },
        limits: Limits {
            requests_per_second: 20.try_into().unwrap(),
            requests_burst: 100.try_into().unwrap(),
            sts_per_second: 500.try_into().unwrap(),
        },
    };
    assert_eq!(read(LEAST).unwrap(), default);
}

#[test]
fn issuers_become_what_they_say() {
    let issuers = read(SAMPLE).unwrap().issuers;
    let IssuerKind::People(people) = &issuers[0].kind else { panic!("{issuers:?}") };
    let claims = (people.principal_claim.as_str(), people.groups_claim.as_deref(), people.prefix.as_str());
    assert_eq!(claims, ("email", Some("groups"), ""));
    assert_eq!(issuers[0].authorized_parties, ["hallpass-cli"]);
    assert_eq!(issuers[0].jwks_url.as_ref().map(crate::outward::Url::as_str), Some("https://login.example.com/keys"));
    assert_eq!((&issuers[1].kind, issuers[1].prefix().as_str()), (&IssuerKind::Workload, "github/"));
    let when = json!({"repository": "acme/shop", "environment": "production"});
    assert_eq!(issuers[1].rules, [input::read(json!({"when": when, "group": "shop-deployers"})).unwrap()]);
}

#[test]
fn each_slip_is_named() {
    for (before, behind, expected) in cases::CASES {
        assert_eq!(faults(&format!("{before}\n{LEAST}{behind}"), &[]), *expected, "{before}{behind}");
    }
}

#[test]
fn somebody_has_to_be_able_to_sign_in() {
    for (issuers, expected) in [
        ("", "issuers: at least one [[issuers]] is needed: nobody could sign in"),
        ("issuers = []", "issuers: at least one [[issuers]] is needed: nobody could sign in"),
        ("issuers = 1", "issuers: expected a list"),
    ] {
        assert_eq!(faults(&format!("aws.region = 'eu-west-1'\n{issuers}"), &[]), [expected]);
    }
}

#[test]
fn every_fault_is_reported_at_once_with_its_place() {
    let text = r#"
[server]
listen = "0.0.0.0:8080"
metrics_listen = "0.0.0.0:8080"
behind_proxy = false
trusted = "yes"
trusted_proxies = ["10.0.0.1/8", 7]

[database]
url = "mysql://root:hunter2@db/h"

[access]
admins = ["workload:github/x", "alice"]

[[issuers]]
name = "corp"
issuer = "http://login.example.com"
audiences = []
kind = "persons"
algorithms = ["HS256"]

[[issuers]]
name = "corp"
issuer = "https://token.example.com"
audience = ["hallpass"]
kind = "workload"
prefix = "x/"
  [[issuers.rules]]
  when = {}
  group = ""

[portal]
issuer = "corp"
"#;
    let variables = env(&[
        ("HALLPASS_ACCESS__AUDITORS", r#"["group:security", "root"]"#),
        ("HALLPASS_SERVER__LISTN", "127.0.0.1:8080"),
        ("HALLPASS_ISSUERS__0__NAME", "corp"),
        ("HALLPASS_TOKEN", "not configuration"),
    ]);
    let report = parse("hallpass.toml", text, &variables).unwrap_err();
    insta::assert_snapshot!(report, @r#"
    hallpass.toml:2: server.public_url: required where server.listen is not loopback, such as https://hallpass.example.com
    hallpass.toml:3: server.listen: plain HTTP on an address that others reach: set server.tls, or server.behind_proxy = true where TLS ends in a proxy in front, or listen on 127.0.0.1
    hallpass.toml:4: server.metrics_listen: expected another address or port than server.listen
    hallpass.toml:6: server.trusted: unknown key; known here: listen, public_url, trusted_proxies, behind_proxy, metrics_listen, tls
    hallpass.toml:7: server.trusted_proxies[0]: expected a range that begins at its network address: 10.0.0.0/8
    hallpass.toml:7: server.trusted_proxies[1]: expected a string
    hallpass.toml:10: database.url: expected sqlite:<file> or postgres://<user>@<host>/<database>
    hallpass.toml:13: access.admins[0]: expected user:<name> or group:<name>: an admin is never a workload
    hallpass.toml:13: access.admins[1]: expected a principal: user:<name>, group:<name> or workload:<issuer>/<subject>
    hallpass.toml:17: issuers[0].issuer: expected the issuer's identifier: an https:// address without a query, or http:// on loopback
    hallpass.toml:18: issuers[0].audiences: expected at least one
    hallpass.toml:19: issuers[0].kind: expected one of people, workload
    hallpass.toml:20: issuers[0].algorithms[0]: expected an asymmetric algorithm: whoever can check an HMAC signature can also make one
    hallpass.toml:22: issuers[1].audiences: required, but not there
    hallpass.toml:23: issuers[1].name: issuers[0] has this name already
    hallpass.toml:25: issuers[1].audience: unknown key; known here: name, issuer, audiences, kind, principal_claim, groups_claim, prefix, trust_unverified_email, rules, algorithms, token_types, authorized_parties, jwks_url, cap_to_token
    hallpass.toml:27: issuers[1].prefix: only where kind = "people"
    hallpass.toml:29: issuers[1].rules[0].when: expected at least one claim: without one every token would be in the group
    hallpass.toml:30: issuers[1].rules[0].group: expected a name of 1 to 256 characters in Unicode NFC, without control or format characters and without spaces around it
    hallpass.toml:32: portal.client_id: required, but not there
    hallpass.toml: aws.region: required, such as eu-west-1, where AWS_REGION does not say it
    HALLPASS_ACCESS__AUDITORS[1]: expected a principal: user:<name>, group:<name> or workload:<issuer>/<subject>
    HALLPASS_ISSUERS__0__NAME: issuers are set in the file only: a variable cannot say which of them it means
    HALLPASS_SERVER__LISTN: no such key; known are HALLPASS_SERVER__LISTEN, HALLPASS_SERVER__PUBLIC_URL, HALLPASS_SERVER__TRUSTED_PROXIES, HALLPASS_SERVER__BEHIND_PROXY, HALLPASS_SERVER__METRICS_LISTEN, HALLPASS_SERVER__TLS__CERTIFICATE, HALLPASS_SERVER__TLS__KEY, HALLPASS_DATABASE__URL, HALLPASS_DATABASE__MIGRATE_URL, HALLPASS_AWS__REGION, HALLPASS_AWS__SIGNIN_URL, HALLPASS_ACCESS__ADMINS, HALLPASS_ACCESS__AUDITORS, HALLPASS_ACCESS__APPLIERS, HALLPASS_ACCESS__TOKEN_CREATORS, HALLPASS_LOGIN__ISSUER, HALLPASS_LOGIN__CLIENT_ID, HALLPASS_LOGIN__TOKEN, HALLPASS_LOGIN__SCOPES, HALLPASS_LOGIN__PROMPT, HALLPASS_LOGIN__RESOURCE, HALLPASS_LOGIN__REDIRECT_PORT, HALLPASS_LOGIN__PUBLIC_CLIENT_SECRET, HALLPASS_PORTAL__ISSUER, HALLPASS_PORTAL__CLIENT_ID, HALLPASS_PORTAL__CLIENT_SECRET_FILE, HALLPASS_PORTAL__SESSION_IDLE, HALLPASS_PORTAL__SESSION_MAX, HALLPASS_PORTAL__HELP, HALLPASS_AUDIT__SIGNING_KEY_FILE, HALLPASS_LIMITS__REQUESTS_PER_SECOND, HALLPASS_LIMITS__REQUESTS_BURST, HALLPASS_LIMITS__STS_PER_SECOND
    "#);
}

#[test]
fn people_sign_in_with_the_token_that_the_issuer_can_have() {
    for (audiences, said, sent) in [
        ("'hallpass', 'cli'", "", LoginToken::Id),
        ("'hallpass'", "", LoginToken::Access),
        ("'cli'", "token = 'access'", LoginToken::Access),
        ("'cli'", "token = 'id'", LoginToken::Id),
    ] {
        let text = LEAST.replace("\"hallpass\"", audiences);
        let config = read(&format!("{text}\n[login]\nissuer = 'corp'\nclient_id = 'cli'\n{said}")).unwrap();
        let sign_in = config.login_client().unwrap();
        assert_eq!((sign_in.token, sign_in.issuer.as_str()), (sent, "https://login.example.com"), "{audiences} {said}");
        assert_eq!(sign_in.scopes, ["openid", "profile", "email", "offline_access"]);
    }
    for (said, prompt) in [
        ("", Some("consent")),
        ("prompt = ''", None),
        ("prompt = 'login'", Some("login")),
        ("scopes = ['openid', 'email']", None),
    ] {
        let config = read(&format!("{LEAST}\n[login]\nissuer = 'corp'\nclient_id = 'cli'\n{said}")).unwrap();
        assert_eq!(config.login_client().unwrap().prompt.as_deref(), prompt, "{said}");
    }
    assert_eq!(read(LEAST).unwrap().login_client(), None);
}

#[test]
fn no_report_and_no_debug_shows_a_password() {
    let url = "postgres://h:hunter2@db/h";
    let issuers = &LEAST[LEAST.find("[[").unwrap()..];
    let valid =
        format!("aws.region = \"eu-west-1\"\ndatabase.url = \"{url}\"\ndatabase.migrate_url = \"{url}\"\n{issuers}");
    let shown = format!("{:?}", read(&valid).unwrap());
    assert!(shown.contains("Postgres") && !shown.contains("hunter2"), "{shown}");
    for text in [
        format!("database.url = \"{url}"),
        format!("database.url = {url}"),
        format!("database = \"{url}\""),
        format!("database.url = [\"{url}\"]"),
        format!("database.url = \"my{url}\""),
        "database.url = \"postgres://h:hunter2/3@db/h\"".to_owned(),
        format!("database.url = \"sqlite:h\"\ndatabase.migrate_url = \"{url}\""),
        format!("server.public_url = \"https://h:hunter2@h\"\nserver.listen = \"{url}\""),
        format!("access.admins = [\"{url}\"]\naws.region = \"{url}\"\nserver.trusted_proxies = [\"{url}\"]"),
    ] {
        let error = read(&text).unwrap_err();
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{error}");
    }
    for (name, value) in [("HALLPASS_DATABASE__URL", "postgresl://h:hunter2@db"), ("HALLPASS_ACCESS__ADMINS", url)] {
        let error = parse("hallpass.toml", &valid, &env(&[(name, value)])).unwrap_err();
        assert!(!format!("{error}{error:?}").contains("hunter2"), "{error}");
    }
}

proptest! {
    /// Anything at all, and the sample with a piece of it replaced, which gets past the syntax more often.
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}", from in 0..SAMPLE.len(), cut in 0_usize..80) {
        let _ = read(&text);
        let piece = |range: std::ops::Range<usize>| SAMPLE.get(range).unwrap_or_default();
        let to = (from + cut).min(SAMPLE.len());
        for inserted in ["", &text, "[]", "{}", "1", "\"x\"", "'", "\n[x]\n", "[[issuers]]"] {
            let _ = read(&format!("{}{inserted}{}", piece(0..from), piece(to..SAMPLE.len())));
        }
    }

    /// The same for every variable; and none shows the text that it refuses.
    #[test]
    fn no_variable_makes_it_panic(text in "\\PC{0,40}", start in prop::sample::select(vec!["", "[", "[\"", "postgres://", "https://"])) {
        let text = format!("{start}{text}zqxj");
        for name in ["SERVER__LISTEN", "SERVER__PUBLIC_URL", "SERVER__TRUSTED_PROXIES", "DATABASE__URL", "AWS__REGION", "ACCESS__ADMINS", "X__Y"] {
            if let Err(error) = parse("hallpass.toml", LEAST, &env(&[(&format!("HALLPASS_{name}"), &text)])) {
                prop_assert!(!error.to_string().contains("zqxj"), "{error}");
            }
        }
    }
}
