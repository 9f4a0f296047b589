//! moto, an AWS emulator that nobody here wrote, and the AWS CLI as a user runs it.

use super::{Killed, free_port, run, skip, until, variable};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A running emulator with an account of its own.
pub(crate) struct Moto {
    /// For `AWS_ENDPOINT_URL`.
    pub(crate) url: String,
    programs: PathBuf,
    home: TempDir,
    _server: Killed,
}

impl Moto {
    /// `None` where it is missing, and that may be.
    pub(crate) async fn start() -> Option<Self> {
        let Some(programs) = variable("HALLPASS_TEST_MOTO").map(PathBuf::from) else {
            skip("the AWS emulator (moto)");
            return None;
        };
        let port = free_port();
        let home = tempfile::tempdir().unwrap();
        let mut command = isolated(&programs.join("moto_server"), home.path());
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let moto =
            Self { url: format!("http://127.0.0.1:{port}"), programs, home, _server: Killed(command.spawn().unwrap()) };
        until("answer of moto", Duration::from_mins(1), || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Some(moto)
    }

    /// The `aws` command with these credentials in its environment and nothing from the machine's.
    pub(crate) fn aws(&self, environment: &[(&str, &str)], arguments: &[&str]) -> String {
        run(aws(&self.programs, &self.home, &self.url).envs(environment.iter().copied()).args(arguments))
    }

    /// As [`Moto::aws`], for what must fail; what it says of it.
    pub(crate) fn failing_aws(&self, environment: &[(&str, &str)], arguments: &[&str]) -> String {
        let mut command = aws(&self.programs, &self.home, &self.url);
        let output = command.envs(environment.iter().copied()).args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// A program that uses this AWS and sees no setting of this machine.
    pub(crate) fn program(&self, program: &Path) -> Command {
        let mut command = isolated(program, self.home.path());
        command.env("AWS_ENDPOINT_URL", &self.url);
        command
    }

    /// The `aws` command.
    pub(crate) fn cli(&self) -> Command {
        self.program(&self.programs.join("aws"))
    }

    /// Python, where the `aws` command has its libraries.
    pub(crate) fn python(&self) -> Command {
        self.program(&self.programs.join("python"))
    }

    /// Makes a role in the account that moto derives from the credentials, and returns its ARN.
    pub(crate) fn add_role(&self, name: &str) -> String {
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},
                        "Action":["sts:AssumeRole","sts:SetSourceIdentity","sts:TagSession"]}]}"#;
        let role = ["iam", "create-role", "--role-name", name, "--assume-role-policy-document", trust];
        let output = ["--query", "Role.Arn", "--output", "text"];
        self.aws(&BROKER, &[&role[..], &output[..]].concat())
    }
}

/// The broker's own credentials at the emulator.
pub(crate) const BROKER: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("AWS_REGION", "eu-west-1"),
];

/// The real `aws` command at another AWS; what it prints, on stderr too. `None` where it is missing, and that may be.
#[cfg(feature = "demo")]
pub(crate) fn aws_at(url: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Option<String> {
    let Some(programs) = variable("HALLPASS_TEST_MOTO").map(PathBuf::from) else {
        skip("the AWS CLI");
        return None;
    };
    let home = tempfile::tempdir().unwrap();
    let mut command = aws(&programs, &home, url);
    let output = command.envs(environment.iter().copied()).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Some(text(&[output.stdout, output.stderr].concat()))
}

fn aws(programs: &Path, home: &TempDir, url: &str) -> Command {
    let mut command = isolated(&programs.join("aws"), home.path());
    command.env("AWS_ENDPOINT_URL", url);
    command
}

/// A program that sees no setting of this machine: no profile, no proxy, no certificates.
pub(crate) fn isolated(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", variable("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .stdin(Stdio::null());
    command
}
