use super::{Credentials, Format, Unquotable, refusal, shell};
use proptest::prelude::*;
use shell::Syntax;

const PLAIN: Credentials<'_> = Credentials {
    issuance_id: "019b7ca9-8c88-7000-8000-000000000001",
    role_arn: "arn:aws:iam::111122223333:role/ReadOnly",
    assumed_role_arn: "arn:aws:sts::111122223333:assumed-role/ReadOnly/alice=0",
    source_identity: None,
    access_key_id: "ASIAEXAMPLE000000001",
    secret_access_key: "wJalr/XUtn+FEMI=",
    session_token: "IQoJb3JpZ2luX2VjE+/==",
    expires_at: "2026-01-02T04:04:05Z",
    duration_seconds: 3600,
    clamped_by: None,
    region: "eu-west-1",
    region_given: false,
    profile: "prod-ReadOnly",
};

fn written(format: Format) -> String {
    format.write(&PLAIN).unwrap()
}

#[test]
fn each_reader_has_its_own_form() {
    insta::assert_snapshot!(written(Format::Json), @r#"{"issuance_id":"019b7ca9-8c88-7000-8000-000000000001","role_arn":"arn:aws:iam::111122223333:role/ReadOnly","assumed_role_arn":"arn:aws:sts::111122223333:assumed-role/ReadOnly/alice=0","source_identity":null,"access_key_id":"ASIAEXAMPLE000000001","secret_access_key":"wJalr/XUtn+FEMI=","session_token":"IQoJb3JpZ2luX2VjE+/==","expires_at":"2026-01-02T04:04:05Z","duration_seconds":3600,"clamped_by":null,"region":"eu-west-1"}"#);
    insta::assert_snapshot!(written(Format::Process), @r#"{"Version":1,"AccessKeyId":"ASIAEXAMPLE000000001","SecretAccessKey":"wJalr/XUtn+FEMI=","SessionToken":"IQoJb3JpZ2luX2VjE+/==","Expiration":"2026-01-02T04:04:05Z"}"#);
    insta::assert_snapshot!(written(Format::Env), @r#"
    export AWS_ACCESS_KEY_ID='ASIAEXAMPLE000000001'
    export AWS_SECRET_ACCESS_KEY='wJalr/XUtn+FEMI='
    export AWS_SESSION_TOKEN='IQoJb3JpZ2luX2VjE+/=='
    export AWS_CREDENTIAL_EXPIRATION='2026-01-02T04:04:05Z'
    "#);
    insta::assert_snapshot!(written(Format::Fish), @r#"
    set -gx AWS_ACCESS_KEY_ID 'ASIAEXAMPLE000000001'
    set -gx AWS_SECRET_ACCESS_KEY 'wJalr/XUtn+FEMI='
    set -gx AWS_SESSION_TOKEN 'IQoJb3JpZ2luX2VjE+/=='
    set -gx AWS_CREDENTIAL_EXPIRATION '2026-01-02T04:04:05Z'
    "#);
    insta::assert_snapshot!(written(Format::PowerShell), @r#"
    $env:AWS_ACCESS_KEY_ID = 'ASIAEXAMPLE000000001'
    $env:AWS_SECRET_ACCESS_KEY = 'wJalr/XUtn+FEMI='
    $env:AWS_SESSION_TOKEN = 'IQoJb3JpZ2luX2VjE+/=='
    $env:AWS_CREDENTIAL_EXPIRATION = '2026-01-02T04:04:05Z'
    "#);
    insta::assert_snapshot!(written(Format::Cmd).replace("\r\n", "\n"), @r#"
    set "AWS_ACCESS_KEY_ID=ASIAEXAMPLE000000001"
    set "AWS_SECRET_ACCESS_KEY=wJalr/XUtn+FEMI="
    set "AWS_SESSION_TOKEN=IQoJb3JpZ2luX2VjE+/=="
    set "AWS_CREDENTIAL_EXPIRATION=2026-01-02T04:04:05Z"
    "#);
    insta::assert_snapshot!(written(Format::Ini), @r#"
    [prod-ReadOnly]
    aws_access_key_id = ASIAEXAMPLE000000001
    aws_secret_access_key = wJalr/XUtn+FEMI=
    aws_session_token = IQoJb3JpZ2luX2VjE+/==
    "#);
}

#[test]
fn a_region_is_set_where_one_was_asked_for() {
    let given = Credentials { region_given: true, ..PLAIN };
    let lines = |format: Format, credentials: &Credentials<'_>| {
        let text = format.write(credentials).unwrap();
        text.lines().filter(|line| line.to_ascii_lowercase().contains("region")).map(str::to_owned).collect::<Vec<_>>()
    };
    for (format, expected) in [
        (Format::Env, vec!["export AWS_REGION='eu-west-1'", "export AWS_DEFAULT_REGION='eu-west-1'"]),
        (Format::Fish, vec!["set -gx AWS_REGION 'eu-west-1'", "set -gx AWS_DEFAULT_REGION 'eu-west-1'"]),
        (Format::PowerShell, vec!["$env:AWS_REGION = 'eu-west-1'", "$env:AWS_DEFAULT_REGION = 'eu-west-1'"]),
        (Format::Cmd, vec!["set \"AWS_REGION=eu-west-1\"", "set \"AWS_DEFAULT_REGION=eu-west-1\""]),
        (Format::Ini, vec!["region = eu-west-1"]),
        (Format::Process, vec![]),
    ] {
        assert_eq!(lines(format, &given), expected, "{format:?}");
        assert_eq!(lines(format, &PLAIN), [""; 0], "{format:?}");
    }
}

#[test]
fn what_a_form_cannot_hold_is_refused() {
    use Format::{Cmd, Env, Fish, Ini, PowerShell};
    let longest = "x".repeat(8191 - "set \"AWS_SECRET_ACCESS_KEY=\"\r\n".len());
    for (secret, refusing) in [
        ("it's", &[][..]),
        ("a$b`c\\d", &[]),
        ("a;b#c&d|e>f<g^h(i)", &[]),
        ("a\"b", &[Cmd]),
        ("100%", &[Cmd]),
        ("hurry!", &[Cmd]),
        ("zoë", &[Cmd]),
        (&longest, &[]),
        (&format!("{longest}x"), &[Cmd]),
        ("a b", &[Ini]),
        ("", &[Ini]),
        ("a\u{a0}b", &[Cmd, Ini]),
        ("a\nb", &[Env, Fish, PowerShell, Cmd, Ini]),
        ("a\rb", &[Env, Fish, PowerShell, Cmd, Ini]),
        ("a\0b", &[Env, Fish, PowerShell, Cmd, Ini]),
        ("a\u{85}b", &[Env, Fish, PowerShell, Cmd, Ini]),
    ] {
        let credentials = Credentials { secret_access_key: secret, ..PLAIN };
        for (_, format) in Format::ALL {
            let written = format.write(&credentials);
            assert_eq!(written.is_err(), refusing.contains(&format), "{secret:.40?} {format:?}: {written:?}");
        }
    }
    for profile in ["a]b", "[a", "a b", "a\nb", ""] {
        assert_eq!(Ini.write(&Credentials { profile, ..PLAIN }), Err(Unquotable), "{profile:?}");
    }
}

#[test]
fn a_refusal_says_nothing_but_its_code() {
    let told = |format| refusal(format, 403, "not_allowed");
    assert_eq!(told(Format::Json), None);
    insta::assert_snapshot!(told(Format::Process).unwrap(), @r#"{"code":"not_allowed","message":"Hallpass: no credentials (403 not_allowed). Without format= the same request says more."}"#);
    insta::assert_snapshot!(told(Format::Env).unwrap(), @r#"echo 'Hallpass: no credentials (403 not_allowed). Without format= the same request says more.' >&2; false"#);
    assert_eq!(told(Format::Fish), told(Format::Env));
    insta::assert_snapshot!(told(Format::PowerShell).unwrap(), @r#"throw 'Hallpass: no credentials (403 not_allowed). Without format= the same request says more.'"#);
    insta::assert_snapshot!(told(Format::Cmd).unwrap(), @r#"cmd /c "echo Hallpass: no credentials (403 not_allowed). Without format= the same request says more. 1>&2 & exit 1""#);
    insta::assert_snapshot!(told(Format::Ini).unwrap(), @r#"# Hallpass: no credentials (403 not_allowed). Without format= the same request says more."#);
}

/// What a shell makes of the one assignment in a line, by its own rules.
fn read_back(shell: Syntax, line: &str) -> Option<String> {
    match shell {
        Syntax::Posix => {
            let words = shlex::split(line)?;
            let [export, assignment] = &words[..] else { return None };
            (export == "export").then(|| assignment.strip_prefix("X=").map(str::to_owned))?
        }
        Syntax::Fish => {
            let mut rest = line.strip_prefix("set -gx X '")?.strip_suffix("'\n")?.chars();
            let mut value = String::new();
            while let Some(c) = rest.next() {
                value.push(match c {
                    '\'' => return None,
                    '\\' => rest.next().filter(|c| ['\'', '\\'].contains(c))?,
                    c => c,
                });
            }
            Some(value)
        }
        Syntax::PowerShell => {
            let quote = |c: &char| "'‘’‚‛".contains(*c);
            let mut rest = line.strip_prefix("$env:X = '")?.strip_suffix("'\n")?.chars();
            let mut value = String::new();
            while let Some(c) = rest.next() {
                value.push(c);
                if quote(&c) && !rest.next().as_ref().is_some_and(quote) {
                    return None;
                }
            }
            Some(value)
        }
        // Between the quotation marks every character but the three stands for itself.
        Syntax::Cmd => {
            let value = line.strip_prefix("set \"X=")?.strip_suffix("\"\r\n")?;
            (!value.contains(['"', '%', '!', '\n'])).then(|| value.to_owned())
        }
    }
}

proptest! {
    #[test]
    fn a_shell_reads_what_was_written(value in r#"([!-~ ]|['"$`\\%!‘’‚‛é\n\u{0}]){0,40}"#) {
        for shell in [Syntax::Posix, Syntax::Fish, Syntax::PowerShell, Syntax::Cmd] {
            match shell::assign(shell, &[("X", &value)]) {
                Ok(line) => prop_assert_eq!(read_back(shell, &line), Some(value.clone()), "{:?} {}", shell, line),
                Err(Unquotable) => prop_assert!(shell == Syntax::Cmd || value.contains(['\n', '\0'])),
            }
        }
    }

    #[test]
    fn whatever_aws_gives_can_be_written_for_everybody(
        (secret, token) in ("[A-Za-z0-9/+]{40}", "[A-Za-z0-9/+]{300,4000}={0,2}"),
    ) {
        let credentials = Credentials { secret_access_key: &secret, session_token: &token, ..PLAIN };
        for (_, format) in Format::ALL {
            prop_assert!(format.write(&credentials).unwrap().contains(&token));
        }
    }
}
