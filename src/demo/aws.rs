//! A simulated AWS: STS's query protocol as far as AssumeRole and GetCallerIdentity go, and the sign-in service.
//!
//! Checks what AWS checks: the signature, the keys, every parameter's limits, the role's trust policy with its external
//! ID, and the longest session; and refuses with AWS's codes. What a broker's own policy allows is not simulated. It can
//! be told to misbehave: see [`Behaviour`].

mod answer;
mod assume;
mod behaviour;
mod logins;
mod parameters;
mod signature;
mod signin;

pub use assume::TrustingRole;
pub use behaviour::Behaviour;

use crate::{
    clock::Clock,
    model::{AccountId, Invalid, RoleArn},
    secret::Secret,
};
use answer::{Element, Fault, answer};
use arc_swap::ArcSwap;
use aws_smithy_types::{DateTime, date_time::Format};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};
use logins::{Keys, Login, Logins};
use parameters::{AssumeRole, Parameters};
use signature::Claim;
use signin::SignIns;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;

/// The broker's user in the trusted account.
pub const BROKER_ARN: &str = "arn:aws:iam::999988887777:user/hallpass";
/// Its keys are those of AWS's own documentation: the whole world knows that they open nothing.
pub const BROKER_ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const BROKER_SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const BROKER_ACCOUNT: &str = "999988887777";

/// The secret half of the broker's keys.
#[must_use]
pub fn broker_secret() -> Secret {
    Secret::new(BROKER_SECRET_ACCESS_KEY.to_owned())
}

/// Finds a role by its ARN.
pub type Roles = Box<dyn Fn(&RoleArn) -> Option<TrustingRole> + Send + Sync>;

struct Aws {
    roles: Roles,
    logins: Logins,
    sign_ins: SignIns,
    behaviour: ArcSwap<Behaviour>,
    clock: Clock,
}

/// Answers for these roles until the runtime ends; returns where.
pub fn spawn(listener: TcpListener, roles: Roles, clock: Clock) -> io::Result<SocketAddr> {
    let address = listener.local_addr()?;
    let broker = Login {
        keys: Keys {
            access_key_id: BROKER_ACCESS_KEY_ID.to_owned(),
            secret_access_key: broker_secret(),
            session_token: None,
        },
        arn: BROKER_ARN.to_owned(),
        user_id: "AIDADEMOHALLPASSUSER1".to_owned(),
        account: AccountId::parse(BROKER_ACCOUNT).map_err(io::Error::other)?,
        principal: BROKER_ARN.to_owned(),
        ends: None,
    };
    let behaviour = ArcSwap::from_pointee(Behaviour::Normal);
    let aws = Arc::new(Aws { roles, logins: Logins::new(broker), sign_ins: SignIns::new(), behaviour, clock });
    let router = Router::new()
        .route("/", get(what_this_is).post(call))
        .route("/federation", get(signin::login).post(signin::token))
        .route("/behaviour", get(show_behaviour).put(set_behaviour))
        .with_state(aws);
    tokio::spawn(async { axum::serve(listener, router).await });
    Ok(address)
}

async fn what_this_is() -> &'static str {
    "A simulated AWS, of `hallpass demo`: POST AssumeRole and GetCallerIdentity here; /federation signs in to the \
     console; PUT /behaviour makes it misbehave: slow 5s, throttle, fail, normal.\n"
}

async fn show_behaviour(State(aws): State<Arc<Aws>>) -> String {
    format!("{}\n", aws.behaviour.load())
}

async fn set_behaviour(State(aws): State<Arc<Aws>>, text: String) -> Result<String, (StatusCode, String)> {
    let behaviour = Behaviour::parse(&text)
        .map_err(|Invalid(expected)| (StatusCode::UNPROCESSABLE_ENTITY, format!("Expected {expected}.\n")))?;
    aws.behaviour.store(Arc::new(behaviour));
    let until = if behaviour == Behaviour::Normal { "" } else { ", until it is told: normal" };
    Ok(format!("{behaviour}{until}\n"))
}

async fn call(State(aws): State<Arc<Aws>>, head: Parts, body: Bytes) -> Response {
    let outcome = aws.call(&head, &body).await;
    // By what this says an SDK sets its clock.
    let date = DateTime::from_secs(aws.clock.now().as_micros().div_euclid(1_000_000)).fmt(Format::HttpDate);
    ([(header::DATE, date.unwrap_or_default())], answer(outcome, &aws.clock.new_id().to_string())).into_response()
}

impl Aws {
    async fn call(&self, head: &Parts, body: &[u8]) -> Result<(&'static str, &'static str, Vec<Element>), Fault> {
        let behaviour = **self.behaviour.load();
        behaviour.take_effect().await?;
        let caller = self.authenticate(head, body)?;
        let parameters = Parameters::read(body);
        match parameters.find("Action").unwrap_or_default() {
            "GetCallerIdentity" => Ok(("GetCallerIdentityResponse", "GetCallerIdentityResult", identity(&caller))),
            "AssumeRole" => {
                let call = AssumeRole::read(&parameters)?;
                let session = assume::assume(&self.roles, &call, &caller, self.clock.now())?;
                let session = self.logins.add(session);
                Ok(("AssumeRoleResponse", "AssumeRoleResult", assume::result(&session, &call)))
            }
            other => {
                let version = parameters.find("Version").unwrap_or_default();
                let message = format!("Could not find operation {other} for version {version}");
                Err(Fault::bad("InvalidAction", message))
            }
        }
    }

    fn authenticate(&self, head: &Parts, body: &[u8]) -> Result<Arc<Login>, Fault> {
        let claim = Claim::read(&head.headers)?;
        let token = head.headers.get("x-amz-security-token").map(HeaderValue::as_bytes);
        let login = self.logins.find(claim.access_key_id, token)?;
        let now = self.clock.now();
        claim.verify(head, body, &login.keys, now)?;
        if login.ends.is_some_and(|ends| ends <= now) {
            return Err(Fault::forbidden("ExpiredToken", "The security token included in the request is expired"));
        }
        Ok(login)
    }
}

fn identity(caller: &Login) -> Vec<Element> {
    vec![
        Element::text("Arn", &caller.arn),
        Element::text("UserId", &caller.user_id),
        Element::text("Account", caller.account.as_str()),
    ]
}
