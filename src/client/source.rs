//! Where a token comes from, in the order of docs/client.md. What a pipeline sets by itself is found by itself; what is
//! set on purpose goes before it.

use super::{ClientError, Environment, Target, outward::Outward};
use crate::{model::parse_address, secret::Secret};
use futures_util::future::BoxFuture;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// A projected token of Kubernetes is mounted here (docs/pipelines.md).
const KUBERNETES: &str = "/var/run/secrets/hallpass/token";

/// The service refuses longer ones.
const MAX_TOKEN: usize = 16 * 1024;

/// Asks AWS for a token of the role that this process runs on, for an audience; says what is wrong where there is none.
/// Given by who may use the AWS SDK: this room starts none.
pub type AskAws = fn(audience: String) -> BoxFuture<'static, Result<Secret, String>>;

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `HALLPASS_TOKEN`.
    Variable,
    /// The file that `HALLPASS_TOKEN_FILE` names, read at each use.
    File(PathBuf),
    /// GitHub Actions' token request.
    GitHub,
    /// The variable that a GitLab job's `id_tokens` sets.
    GitLab,
    /// A projected service account token.
    Kubernetes(PathBuf),
    /// The person's sign-in.
    SignIn,
    /// `sts:GetWebIdentityToken` of the role that this process runs on.
    Aws,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str("HALLPASS_TOKEN"),
            Self::File(path) => write!(f, "HALLPASS_TOKEN_FILE ({})", path.display()),
            Self::GitHub => f.write_str("GitHub Actions"),
            Self::GitLab => f.write_str("GitLab (HALLPASS_ID_TOKEN)"),
            Self::Kubernetes(path) => write!(f, "Kubernetes ({})", path.display()),
            Self::SignIn => f.write_str("your sign-in (hallpass login)"),
            Self::Aws => f.write_str("AWS (sts:GetWebIdentityToken)"),
        }
    }
}

impl Source {
    /// What `HALLPASS_TOKEN_SOURCE` can say.
    pub(super) const NAMES: [&'static str; 5] = ["github", "gitlab", "kubernetes", "login", "aws"];

    /// The first that is there.
    pub(super) fn find(env: &Environment, signed_in: bool, target: &Target) -> Result<Self, ClientError> {
        Self::choose(env, signed_in, Path::new(KUBERNETES).exists())
            .and_then(|source| source.ok_or_else(|| ClientError::NotSignedIn { server: target.url.clone() }))
    }

    fn choose(env: &Environment, signed_in: bool, projected: bool) -> Result<Option<Self>, ClientError> {
        let has = |name| env.get(name).is_some();
        let kubernetes = || Self::Kubernetes(KUBERNETES.into());
        if has("HALLPASS_TOKEN") {
            return Ok(Some(Self::Variable));
        }
        if let Some(path) = env.get("HALLPASS_TOKEN_FILE") {
            return Ok(Some(Self::File(path.into())));
        }
        if let Some(said) = env.get("HALLPASS_TOKEN_SOURCE") {
            return match said {
                "github" => Ok(Some(Self::GitHub)),
                "gitlab" => Ok(Some(Self::GitLab)),
                "kubernetes" => Ok(Some(kubernetes())),
                "login" => Ok(Some(Self::SignIn)),
                "aws" => Ok(Some(Self::Aws)),
                _ => Err(ClientError::UnknownSource),
            };
        }
        // EKS Pod Identity's agent. Another address there may be Hallpass's own container endpoint.
        let agents = ["http://169.254.170.23/", "http://[fd00:ec2::23]/"];
        let container = env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").unwrap_or_default();
        let pod_identity = agents.into_iter().any(|agent| container.starts_with(agent));
        // A job never has a person's sign-in: without its token request, GitHub's own variable tells what is missing.
        let found = [
            (env.get("GITHUB_ACTIONS") == Some("true"), Self::GitHub),
            (has("ACTIONS_ID_TOKEN_REQUEST_URL"), Self::GitHub),
            (has("GITLAB_CI") || has("HALLPASS_ID_TOKEN"), Self::GitLab),
            (projected, kubernetes()),
            (signed_in, Self::SignIn),
            // ECS, Lambda, EKS with a role for the service account. Elsewhere it has to be asked for: people have
            // credentials of AWS too.
            (has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), Self::Aws),
            (has("AWS_LAMBDA_FUNCTION_NAME"), Self::Aws),
            (has("AWS_WEB_IDENTITY_TOKEN_FILE") && has("AWS_ROLE_ARN"), Self::Aws),
            (pod_identity, Self::Aws),
        ];
        Ok(found.into_iter().find_map(|(there, source)| there.then_some(source)))
    }

    /// The token. A sign-in is not asked here: it is kept and refreshed.
    pub(super) async fn ask(
        &self,
        env: &Environment,
        target: &Target,
        outward: &Outward,
        aws: AskAws,
    ) -> Result<Secret, ClientError> {
        let text = match self {
            Self::Variable => env.get("HALLPASS_TOKEN").unwrap_or_default().to_owned(),
            Self::GitLab => env.get("HALLPASS_ID_TOKEN").unwrap_or_default().to_owned(),
            Self::File(path) | Self::Kubernetes(path) => return self.read(path),
            Self::GitHub => self.ask_github(env, target, outward).await?,
            Self::Aws => {
                let answer = aws(target.audience.clone()).await;
                return answer.map_err(|problem| self.missing(&problem));
            }
            Self::SignIn => String::new(),
        };
        self.check(&text)
    }

    /// The token of a file.
    pub(super) fn read(&self, path: &Path) -> Result<Secret, ClientError> {
        let text = fs::read_to_string(path).map_err(|cause| self.missing(&format!("{cause}; check the file")))?;
        self.check(&text)
    }

    /// <https://docs.github.com/actions/reference/security/oidc>, "Methods for requesting the OIDC token".
    async fn ask_github(&self, env: &Environment, target: &Target, outward: &Outward) -> Result<String, ClientError> {
        let (url, bearer) = (env.get("ACTIONS_ID_TOKEN_REQUEST_URL"), env.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"));
        let (Some(url), Some(bearer)) = (url, bearer) else {
            return Err(self.missing("give the job `permissions: id-token: write`"));
        };
        let mut url = parse_address(url)
            .map_err(|expected| self.missing(&format!("ACTIONS_ID_TOKEN_REQUEST_URL: expected {expected}")))?;
        url.query_pairs_mut().append_pair("audience", &target.audience);
        let request = outward.client(&url)?.get(url.clone()).bearer_auth(bearer);
        let answer = outward.send(&url, request).await?;
        if answer.status != 200 {
            return Err(self.missing(&format!("GitHub answers {}; run the job again", answer.status)));
        }
        let read = serde_json::from_slice::<GitHubToken>(&answer.body);
        read.map(|answer| answer.value).map_err(|_| self.missing("GitHub's answer has none; run the job again"))
    }

    /// A token can stand in a header; a file ends with a line more often than not.
    fn check(&self, text: &str) -> Result<Secret, ClientError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(self.missing(match self {
                Self::GitLab => "HALLPASS_ID_TOKEN is not set: name it under the job's id_tokens",
                _ => "it is empty; check who writes it",
            }));
        }
        if text.len() > MAX_TOKEN || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(self.missing("what is there is no token: expected one word of at most 16 KiB"));
        }
        Ok(Secret::new(text.to_owned()))
    }

    fn missing(&self, problem: &str) -> ClientError {
        ClientError::NoToken { origin: self.clone(), problem: problem.to_owned() }
    }
}

#[derive(serde::Deserialize)]
struct GitHubToken {
    value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[&str], signed_in: bool, projected: bool) -> String {
        let pairs = variables.iter().map(|pair| pair.split_once('=').unwrap());
        let env = Environment::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        match Source::choose(&env, signed_in, projected) {
            Ok(found) => found.map_or("none".to_owned(), |source| source.to_string()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_set_on_purpose_goes_before_what_is_found() {
        let github = "ACTIONS_ID_TOKEN_REQUEST_URL=https://x";
        let ecs = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2";
        for (variables, signed_in, projected, expected) in [
            (&[][..], false, false, "none"),
            (&[], true, false, "your sign-in (hallpass login)"),
            (&[ecs], false, false, "AWS (sts:GetWebIdentityToken)"),
            (&[ecs], true, false, "your sign-in (hallpass login)"),
            (&["AWS_LAMBDA_FUNCTION_NAME=f"], false, false, "AWS (sts:GetWebIdentityToken)"),
            (&["AWS_WEB_IDENTITY_TOKEN_FILE=/x"], false, false, "none"),
            (&["AWS_WEB_IDENTITY_TOKEN_FILE=/x", "AWS_ROLE_ARN=a"], false, false, "AWS (sts:GetWebIdentityToken)"),
            (&["AWS_ACCESS_KEY_ID=a"], false, false, "none"),
            (
                &["AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials"],
                false,
                false,
                "AWS (sts:GetWebIdentityToken)",
            ),
            (&["AWS_CONTAINER_CREDENTIALS_FULL_URI=https://hallpass/v1/container/a/b"], false, false, "none"),
            (&[ecs], true, true, "Kubernetes (/var/run/secrets/hallpass/token)"),
            (&["GITLAB_CI=true"], true, true, "GitLab (HALLPASS_ID_TOKEN)"),
            (&["HALLPASS_ID_TOKEN=x"], true, true, "GitLab (HALLPASS_ID_TOKEN)"),
            (&["GITHUB_ACTIONS=true"], true, true, "GitHub Actions"),
            (&[github, "GITLAB_CI=true"], true, true, "GitHub Actions"),
            (&[github, "HALLPASS_TOKEN_SOURCE=aws"], true, true, "AWS (sts:GetWebIdentityToken)"),
            (&[github, "HALLPASS_TOKEN_SOURCE=login"], false, true, "your sign-in (hallpass login)"),
            (
                &["HALLPASS_TOKEN_SOURCE=vault"],
                true,
                false,
                "HALLPASS_TOKEN_SOURCE: expected one of github, gitlab, kubernetes, login, aws",
            ),
            (&["HALLPASS_TOKEN_SOURCE=aws", "HALLPASS_TOKEN_FILE=/t"], true, true, "HALLPASS_TOKEN_FILE (/t)"),
            (&["HALLPASS_TOKEN=x", "HALLPASS_TOKEN_FILE=/t", github], true, true, "HALLPASS_TOKEN"),
            (&["HALLPASS_TOKEN=", "HALLPASS_TOKEN_FILE="], true, false, "your sign-in (hallpass login)"),
        ] {
            assert_eq!(chosen(variables, signed_in, projected), expected, "{variables:?} {signed_in} {projected}");
        }
    }

    #[test]
    fn a_token_is_one_word() {
        for (text, expected) in [
            ("a.b.c", Ok("a.b.c")),
            ("a.b.c\n", Ok("a.b.c")),
            ("\u{feff}a.b.c", Err("expected one word")),
            ("a b", Err("expected one word")),
            ("a\r\nx: y", Err("expected one word")),
            (" \n", Err("it is empty")),
            (&"x".repeat(MAX_TOKEN + 1), Err("expected one word")),
        ] {
            match (Source::Variable.check(text), expected) {
                (Ok(token), Ok(expected)) => assert_eq!(token.expose(), expected),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{error}");
                    assert!(!format!("{error:?}").contains("a b"), "{error:?}");
                }
                (got, _) => panic!("{text:?}: {got:?}"),
            }
        }
    }
}
