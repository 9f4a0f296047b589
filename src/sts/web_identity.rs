use crate::{model::with_causes, secret::Secret};
use aws_config::BehaviorVersion;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

/// Good for as many seconds: the token is asked for anew by each command.
const LIFETIME: i32 = 900;

/// A JWT in which AWS says on which role this process runs, made for `audience`: `sts:GetWebIdentityToken` with the
/// credentials, the region and the endpoint that the standard `AWS_*` variables and profiles give. What is wrong comes as
/// words with a way out.
pub async fn web_identity_token(audience: &str) -> Result<Secret, String> {
    let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(super::time_outs()).load().await;
    if config.region().is_none() {
        return Err("set AWS_REGION: only regional endpoints of STS have this call".to_owned());
    }
    let call = aws_sdk_sts::Client::new(&config).get_web_identity_token();
    let answer = call.audience(audience).signing_algorithm("RS256").duration_seconds(LIFETIME).send().await;
    let answer = answer.map_err(|error| match &error {
        SdkError::ServiceError(said) => {
            let (code, message) = (said.err().code().unwrap_or("-"), said.err().message().unwrap_or("-"));
            format!(
                "AWS refuses ({code}: {message}); allow the role sts:GetWebIdentityToken, and enable outbound web \
                 identity federation in its account"
            )
        }
        other => format!("AWS cannot be asked ({}); check its credentials and the network", with_causes(other)),
    })?;
    answer.web_identity_token().map(|token| Secret::new(token.to_owned())).ok_or("AWS's answer has none".to_owned())
}
