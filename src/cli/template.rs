use crate::{
    allowlist::AllowlistFile,
    app::Desk,
    clock::Clock,
    config::{self, Config, ConfigError},
    model::{AccountRef, Name, Partition, Principal, RoleName},
    sts::Sts,
    template::{self, BrokerArn, Format, PolicyArn, Printed, Trust},
};
use anyhow::{Context, anyhow};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Print what AWS needs to know, out of the allowlist: the roles and whom they trust, and what the broker may assume.
///
/// A role can be assumed where two sides agree: its own trust policy, in the trusting account, and the policies of the role
/// that Hallpass runs as, in the broker's. Both are printed here, and nothing is changed at AWS: review what is printed and
/// deploy it with your own tools. Print it anew when the allowlist changes. What to look at twice is said on stderr.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hallpass template broker >broker.yaml
  hallpass template trust prod \\
    --policy ReadOnly=arn:aws:iam::aws:policy/ReadOnlyAccess >prod.yaml
  hallpass template trust prod --format terraform >prod.tf
  hallpass template trust --allowlist allowlist.toml \\
    --broker arn:aws:iam::111122223333:role/hallpass

With the AWS CLI alone, for want of CloudFormation and Terraform:
  hallpass template trust prod --format json >prod.json
  jq '.Roles[0] | del(.ManagedPolicyArns)
    | .AssumeRolePolicyDocument |= tojson' prod.json >role.json
  aws iam create-role --cli-input-json file://role.json";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Trust(TrustArgs),
    Broker(BrokerArgs),
}

/// Print the roles of one trusting account, to be deployed there.
///
/// Each role that the allowlist has in the account, with its path, description, longest session (at least 1 h, as IAM wants
/// it), managed policies, and a trust policy that lets the broker alone assume it: with the account's external ID where the
/// allowlist has one, sts:SetSourceIdentity where a source identity is sent, sts:TagSession where there are session tags.
///
/// The external ID stands in what is printed, as it will in the trust policy.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct TrustArgs {
    /// The account, by alias or id; not needed where the allowlist has only one.
    account: Option<AccountRef>,
    /// Whom the roles trust: the ARN of the role that Hallpass runs as [default: AWS is asked who we are].
    ///
    /// AWS names a role's session without the role's path: where the role has one, give its ARN here. With --broker and
    /// --allowlist no configuration is needed.
    #[arg(long, value_name = "ARN")]
    broker: Option<BrokerArn>,
    /// A managed policy of a role; once for each. A role without any has a parameter instead that asks for them.
    #[arg(long = "policy", value_name = "ROLE=ARN", value_parser = role_and_policy)]
    policies: Vec<(RoleName, PolicyArn)>,
    #[command(flatten)]
    common: Common,
}

/// Print what the role that Hallpass runs as may do, to be deployed in the broker's own account.
///
/// sts:AssumeRole on the roles of the allowlist and on nothing else, with sts:SetSourceIdentity and sts:TagSession on those
/// that need it; as several managed policies where IAM's 6144 characters are not enough for one. The template asks for the
/// name of the role.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct BrokerArgs {
    /// The partition of the roles' ARNs, such as aws or aws-cn [default: that of the configured region].
    ///
    /// With --partition and --allowlist no configuration is needed.
    #[arg(long)]
    partition: Option<Partition>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// What to print.
    #[arg(long, value_enum, default_value = "cloudformation")]
    format: FormatArg,
    /// The allowlist file [default: the one applied last at the configured database].
    #[arg(long, value_name = "FILE")]
    allowlist: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatArg {
    /// CloudFormation, YAML.
    #[value(name = "cloudformation")]
    CloudFormation,
    /// Terraform and OpenTofu.
    Terraform,
    /// The bare documents, as IAM's API has them.
    Json,
}

fn role_and_policy(text: &str) -> Result<(RoleName, PolicyArn), String> {
    // A role's name may hold `=`, an ARN begins behind the last one of its kind.
    let (role, policy) = text.split_once("=arn:").ok_or("expected ROLE=ARN")?;
    let policy = PolicyArn::parse(&format!("arn:{policy}")).map_err(|fault| format!("expected {fault}"))?;
    Ok((RoleName::parse(role).map_err(|fault| format!("expected {fault}"))?, policy))
}

impl Args {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<()> {
        let Printed { text, warnings } = match self.command {
            Command::Trust(args) => args.print(file).await?,
            Command::Broker(args) => args.print(file).await?,
        };
        for warning in warnings {
            super::warn(&warning);
        }
        super::print(text.trim_end())
    }
}

impl TrustArgs {
    async fn print(self, file: Option<&Path>) -> anyhow::Result<Printed> {
        let broker = match self.broker {
            Some(broker) => broker,
            None => who_we_are(&load(file, "--broker ARN")?).await?,
        };
        let allowlist = self.common.allowlist(file, broker.partition()).await?;
        let mut policies: BTreeMap<RoleName, Vec<PolicyArn>> = BTreeMap::new();
        for (role, policy) in self.policies {
            policies.entry(role).or_default().push(policy);
        }
        let ask = Trust { account: self.account.as_ref(), broker: &broker, policies: &policies };
        Ok(template::trust(&allowlist, &ask, self.common.format.into())?)
    }
}

impl BrokerArgs {
    async fn print(self, file: Option<&Path>) -> anyhow::Result<Printed> {
        let partition = match self.partition {
            Some(partition) => partition,
            None => Partition::of_region(&load(file, "--partition aws")?.aws.region),
        };
        let allowlist = self.common.allowlist(file, &partition).await?;
        Ok(template::broker(&allowlist, &partition, self.common.format.into())?)
    }
}

impl Common {
    async fn allowlist(&self, file: Option<&Path>, partition: &Partition) -> anyhow::Result<AllowlistFile> {
        let (text, name) = match &self.allowlist {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let name = path.display().to_string();
                (text.with_context(|| format!("cannot read {name}"))?, name)
            }
            None => (last_applied(&load(file, "--allowlist FILE")?).await?, "the allowlist as last applied".to_owned()),
        };
        let nobody = Principal::Local(Name::parse("template")?);
        AllowlistFile::parse(&text, partition, &nobody, Clock::system().now())
            .map_err(|faults| anyhow!("{name} has faults:\n{faults}"))
    }
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::CloudFormation => Self::CloudFormation,
            FormatArg::Terraform => Self::Terraform,
            FormatArg::Json => Self::Json,
        }
    }
}

/// What is not given instead is read from the configuration.
fn load(file: Option<&Path>, instead: &str) -> anyhow::Result<Config> {
    config::load(file, config::environment()).map_err(|error| or_give(error, instead))
}

fn or_give(error: ConfigError, instead: &str) -> anyhow::Error {
    match error {
        ConfigError::NoFile => anyhow!("{error}, or give {instead}"),
        error => error.into(),
    }
}

async fn last_applied(config: &Config) -> anyhow::Result<String> {
    let desk = Desk::open(config, &super::os_user()).await?;
    let document = desk.app.access.find_document().await;
    desk.close().await;
    Ok(document?.text)
}

async fn who_we_are(config: &Config) -> anyhow::Result<BrokerArn> {
    let way_out = "name the role that Hallpass runs as with --broker ARN";
    let sts = Sts::connect(&config.aws.region, Clock::system()).await;
    let identity = sts.identify().await.with_context(|| format!("AWS does not tell who the broker is; {way_out}"))?;
    BrokerArn::parse(&identity.arn)
        .map_err(|_| anyhow!("AWS knows us as {}, which no trust policy can name; {way_out}", identity.arn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_configuration_the_argument_is_a_way_out() {
        let none = config::load(None, std::iter::empty()).unwrap_err();
        assert!(or_give(none, "--broker ARN").to_string().ends_with("HALLPASS_CONFIG, or give --broker ARN"));
        let unreadable = config::load(Some(Path::new("/not/there.toml")), std::iter::empty()).unwrap_err();
        assert!(!or_give(unreadable, "--broker ARN").to_string().contains("--broker"));
    }

    #[test]
    fn a_policy_is_given_to_a_role() {
        for (text, role) in [
            ("ReadOnly=arn:aws:iam::aws:policy/ReadOnlyAccess", Some("ReadOnly")),
            ("a=b=arn:aws:iam::aws:policy/x=y", Some("a=b")),
            ("ReadOnly", None),
            ("ReadOnly=ReadOnlyAccess", None),
            ("=arn:aws:iam::aws:policy/x", None),
            ("Read Only=arn:aws:iam::aws:policy/x", None),
        ] {
            assert_eq!(role_and_policy(text).ok().map(|(role, _)| role.to_string()).as_deref(), role, "{text}");
        }
    }
}
