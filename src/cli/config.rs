use crate::{
    config::{self, Config},
    identity::IssuerKind,
};
use std::path::Path;

/// Check the configuration.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check the file and the HALLPASS_ variables, and say everything that is wrong with them.
    ///
    /// Reads the files that it names, opens no connection and changes nothing. On success it prints what is configured, without any secret. On failure
    /// each fault is a line on stderr, `FILE:LINE: KEY: what would be right` or `VARIABLE: what would be right`, and the
    /// exit code is 1.
    Check,
}

impl Args {
    #[expect(clippy::unused_async, reason = "every command is run alike")]
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<()> {
        match self.command {
            Command::Check => {
                let config = config::load_to_serve(file, config::environment())?;
                super::print(&summary(&config))
            }
        }
    }
}

/// What an operator wants to see at a glance, without any secret.
fn summary(config: &Config) -> String {
    let mut lines = vec![format!("{}: ok", config.file.display())];
    let mut line = |what: &str, value: String| lines.push(format!("  {what:<10} {value}"));
    line("listen", format!("{}, reached as {}", config.server.listen, config.server.public_url));
    if let Some(metrics) = config.server.metrics_listen {
        line("metrics", format!("http://{metrics}/metrics"));
    }
    if let Some(tls) = &config.server.tls {
        line("tls", tls.certificate.display().to_string());
    }
    line("database", config.database.url.to_string());
    if let Some(owner) = &config.database.migrate_url {
        line("migrations", owner.to_string());
    }
    line("region", config.aws.region.clone());
    if let Some(signin) = &config.aws.signin_url {
        line("sign-in", signin.clone());
    }
    line("audit key", config.audit.signing_key_file.display().to_string());
    for issuer in &config.issuers {
        let kind = match &issuer.kind {
            IssuerKind::People(people) if people.prefix.is_empty() => "people, no prefix".to_owned(),
            IssuerKind::People(people) => format!("people, prefix {}", people.prefix),
            IssuerKind::Workload => "workload".to_owned(),
        };
        line("issuer", format!("{} ({kind}), {}", issuer.name, issuer.issuer));
    }
    if let Some(login) = &config.login {
        line("login", format!("{}, as {}", login.issuer, login.client_id));
    }
    lines.extend(config.hints().iter().map(|hint| format!("note: {hint}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_shows_what_is_configured() {
        let sample = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hallpass.toml"));
        let password = ("HALLPASS_DATABASE__URL".to_owned(), "postgres://hallpass:hunter2@db/hallpass".to_owned());
        let mut config = config::load(Some(sample), [password].into_iter()).unwrap();
        config.file = "hallpass.toml".into();
        config.audit.signing_key_file = "audit.key".into();
        config.access.admins.clear();
        insta::assert_snapshot!(summary(&config), @"
        hallpass.toml: ok
          listen     127.0.0.1:8080, reached as https://hallpass.example.com
          metrics    http://127.0.0.1:9090/metrics
          database   PostgreSQL, db/hallpass
          migrations PostgreSQL, db.example.com/hallpass
          region     eu-west-1
          sign-in    https://signin.aws.amazon.com
          audit key  audit.key
          issuer     corp (people, no prefix), https://login.example.com
          issuer     github (workload), https://token.actions.githubusercontent.com
          login      corp, as hallpass-cli
        note: access.admins is empty: nobody can change the allowlist through the API
        ");
    }
}
