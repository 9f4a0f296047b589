//! The AWS CLI, and a botocore that takes no address but loopback's, through `configure`, `exec` and `agent`: behind them a
//! service whose certificate is of a private authority, and an AWS that nobody here wrote.

use crate::{
    cli_agent::Agent,
    support::{
        database::{TestDb, on_sqlite},
        issuer::{Alg, Issuer},
        moto::Moto,
        person::Person,
        run,
        service::{Plan, Service},
        skip, variable,
        world::allowlist,
    },
    tls::Authority,
};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

const WHO: [&str; 6] = ["sts", "get-caller-identity", "--query", "Arn", "--output", "text"];

struct Site {
    moto: Moto,
    plan: Plan,
    service: Service,
    person: Person,
    variables: [(&'static str, String); 3],
    _folder: TempDir,
    _issuer: Issuer,
}

impl Site {
    async fn start(db: &TestDb) -> Option<Self> {
        let moto = Moto::start().await?;
        let role_arn = moto.add_role("ReadOnly");
        let issuer = Issuer::start(Alg::Rs256).await;
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let (certificate, key) = authority.issue("hallpass.example.com", 2999);
        let files = ["ca.pem", "tls.crt", "tls.key"].map(|name| folder.path().join(name));
        for (file, text) in files.iter().zip([&authority.pem(), &certificate, &key]) {
            fs::write(file, text).unwrap();
        }
        let plan = Plan::new(db, &issuer.url, &moto.url).with_tls(&files[1], &files[2]);
        let service = plan.start().await;
        let account = role_arn.split(':').nth(4).unwrap();
        service.api.apply(&allowlist(account, &["ReadOnly"]), &issuer.person("admin@example.com", &[])).await;
        let variables = [
            ("HALLPASS_SERVER", service.api.url().to_owned()),
            ("HALLPASS_TOKEN", issuer.person("alice@example.com", &[])),
            ("HALLPASS_CA_BUNDLE", files[0].display().to_string()),
        ];
        let person = variables.iter().fold(Person::new(), |person, (name, value)| person.with(name, value));
        Some(Self { moto, plan, service, person, variables, _folder: folder, _issuer: issuer })
    }

    /// A program of this person's, with their own AWS config file.
    fn theirs(&self, mut command: Command) -> Command {
        command.env("HOME", self.person.home()).envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command.env_remove("AWS_CONFIG_FILE").env_remove("AWS_SHARED_CREDENTIALS_FILE");
        command
    }

    fn hallpass(&self) -> Command {
        self.theirs(self.moto.program(Path::new(env!("CARGO_BIN_EXE_hallpass"))))
    }
}

/// `None` where it is missing, and that may be.
fn old_botocore(moto: &Moto) -> Option<Command> {
    let Some(folder) = variable("HALLPASS_TEST_OLD_BOTOCORE") else {
        skip("botocore 1.42.4");
        return None;
    };
    let mut python = moto.program(&Path::new(&folder).join("python"));
    python.args([
        "-c",
        "import boto3, botocore; print(botocore.__version__, boto3.client('sts').get_caller_identity()['Arn'])",
    ]);
    Some(python)
}

#[test]
fn the_aws_cli_is_who_the_audit_says_each_way() {
    on_sqlite(async |db| {
        let Some(site) = Site::start(db).await else { return };
        let (person, moto) = (&site.person, &site.moto);
        let first = person.see(&["configure"]).await;
        assert_eq!(first, "new        prod-ReadOnly");
        let profile = || run(site.theirs(moto.cli()).args(WHO).args(["--profile", "prod-ReadOnly"]));
        let mut told = vec![profile(), profile()];
        // What is not ours to know of, such as another profile, is not in the way.
        let aws = moto.cli().get_program().to_owned();
        let mut exec = site.hallpass();
        exec.env("AWS_PROFILE", "nonsense").args(["exec", "prod/ReadOnly", "--"]).arg(aws).args(WHO);
        told.push(run(&mut exec));

        let agent = Agent::start(person, &["prod/ReadOnly"], 2).await;
        let names = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];
        let by_agent = |mut command: Command| {
            command.envs(names.map(|name| (name, agent.variable(name)))).stderr(Stdio::piped());
            command
        };
        told.push(run(by_agent(moto.cli()).args(WHO)));
        if let Some(python) = old_botocore(moto) {
            let said = run(&mut by_agent(python));
            told.push(said.strip_prefix("1.42.4 ").unwrap().to_owned());
        }

        let records = db.records().await;
        let issued: Vec<_> = records.iter().filter(|record| record["kind"] == "credentials.issued").collect();
        let [issued] = issued[..] else { panic!("five programs, one session: {records:#?}") };
        let session = format!(":assumed-role/ReadOnly/{}", issued["session_name"].as_str().unwrap());
        assert!(session.contains("/alice@example.com="), "{session}");
        assert!(told.iter().all(|arn| arn.ends_with(&session)), "{told:?} {session}");

        // Where it is refused, the AWS CLI says what Hallpass says.
        let mut refused = site.theirs(moto.cli());
        refused.env("HALLPASS_TOKEN", "no-token").args(WHO).args(["--profile", "prod-ReadOnly"]);
        let said = String::from_utf8(refused.output().unwrap().stderr).unwrap();
        assert!(said.contains("the token came from HALLPASS_TOKEN"), "{said}");
        site.plan.assert_verifies();
        drop(site.service);
    });
}
