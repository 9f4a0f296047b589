use super::{Ask, Credentials, Environment};
use std::{ffi::OsString, process::Command};

/// What would have an SDK or the AWS CLI use other credentials, or these with parts of others.
const OTHERS: [&str; 14] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
];

const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

impl Credentials {
    /// A command that will have these credentials and no others. Half of the SDKs read one of the variables for the region,
    /// half the other: where one is set, both are.
    #[must_use]
    pub fn command(&self, ask: &Ask, env: &Environment, line: &[OsString]) -> Command {
        let (program, arguments) = line.split_first().map_or((None, line), |(first, rest)| (Some(first), rest));
        let mut command = Command::new(program.map_or_else(OsString::new, Clone::clone));
        command.args(arguments);
        for name in OTHERS {
            command.env_remove(name);
        }
        self.with_format(ask, |credentials| command.envs(credentials.variables()));
        for (name, other) in REGIONS.into_iter().zip(REGIONS.into_iter().rev()) {
            if let Some(region) = env.get(other).filter(|_| ask.region.is_none() && env.get(name).is_none()) {
                command.env(name, region);
            }
        }
        command
    }
}
