//! Where a command of operators and auditors is carried out: at a server, or at its database. Both answer as the API does.

use super::remote;
use crate::{
    app::Desk,
    client::{Client, ClientError, Coming, Problem, Request},
    config, http,
};
use anyhow::{Context, bail, ensure};
use axum::{Router, body::Body, response::Response};
use http_body_util::BodyExt;
use hyper::{
    body::Bytes,
    header::{self, HeaderValue},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;
use tower::ServiceExt;

#[derive(Debug, clap::Args)]
pub(super) struct At {
    #[arg(
        long,
        value_name = "SERVER",
        help = "At this server, instead of the database of the configuration: its address, or its name in the client's file"
    )]
    server: Option<String>,
}

/// Where it is carried out.
pub(super) enum Place {
    Server(Box<Client>),
    Database(Desk, Router),
}

/// What came of it, with a body that is read as it comes.
pub(super) enum Answer {
    Server(Coming),
    Database(Response),
}

impl At {
    /// Does this at the server, or else at the database of the configuration that `--config` or `HALLPASS_CONFIG` names, or
    /// else at the server of `HALLPASS_SERVER` or the client's file.
    pub(super) async fn carry_out<T>(
        &self,
        config: Option<&Path>,
        job: impl AsyncFnOnce(&Place) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let place = self.open(config).await?;
        let done = job(&place).await;
        if let Place::Database(desk, _) = place {
            desk.close().await;
        }
        done
    }

    async fn open(&self, config: Option<&Path>) -> anyhow::Result<Place> {
        ensure!(self.server.is_none() || config.is_none(), "either --server or --config: one is asked, not both");
        let configured = || config::environment().any(|(name, value)| name == "HALLPASS_CONFIG" && !value.is_empty());
        if self.server.is_some() || !(config.is_some() || configured()) {
            return match remote::open(self.server.as_deref()) {
                Err(error) if matches!(error.downcast_ref(), Some(ClientError::NoServer { .. })) => {
                    bail!("{error}; or, to ask a database, name its configuration with --config FILE")
                }
                client => client.map(|client| Place::Server(Box::new(client))),
            };
        }
        // What the service would write into its log about a failure.
        super::start_log("error");
        let config = config::load(config, config::environment())?;
        let desk = Desk::open(&config, &super::os_user()).await?;
        let router = http::desk(&desk);
        Ok(Place::Database(desk, router))
    }
}

impl Place {
    /// Asks; what is no success is an error that says what to do.
    pub(super) async fn ask(&self, request: Request) -> anyhow::Result<Answer> {
        match self {
            Self::Server(client) => Ok(Answer::Server(client.send(&request).await?)),
            Self::Database(_, router) => {
                let mut asked = hyper::Request::new(Body::from(request.body));
                (*asked.method_mut(), *asked.uri_mut()) = (request.method, request.path.parse()?);
                *asked.headers_mut() = request.headers;
                let answer = router.clone().oneshot(asked).await.unwrap_or_else(|never| match never {});
                if answer.status().is_success() {
                    return Ok(Answer::Database(answer));
                }
                Err(refused(answer).await?.into())
            }
        }
    }

    /// Asks, and reads the JSON of the answer.
    pub(super) async fn read<T: DeserializeOwned>(&self, request: Request) -> anyhow::Result<T> {
        let mut answer = self.ask(request).await?;
        let body = answer.whole().await?;
        serde_json::from_slice(&body).context("the answer is not one of Hallpass: is the address right?")
    }
}

impl Place {
    /// Every page of a list, whose answers have it as this member.
    pub(super) async fn list(&self, path: &str, member: &str) -> anyhow::Result<Vec<Value>> {
        let (mut all, mut query) = (Vec::new(), "?limit=1000".to_owned());
        loop {
            let mut page: Value = self.read(Request::get(format!("{path}{query}"))).await?;
            if let Value::Array(rows) = page[member].take() {
                all.extend(rows);
            }
            let Some(cursor) = page["next_cursor"].as_str() else { return Ok(all) };
            query = format!("?limit=1000&cursor={cursor}");
        }
    }
}

impl Answer {
    /// The next piece of the body; `None` at its end.
    pub(super) async fn piece(&mut self) -> anyhow::Result<Option<Bytes>> {
        match self {
            Self::Server(coming) => Ok(coming.piece().await?),
            Self::Database(response) => {
                let frame = response.body_mut().frame().await.transpose()?;
                // Trailers are no part of it.
                Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
            }
        }
    }

    /// The body, to its end.
    pub(super) async fn whole(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// The `etag`, as `if-match` takes it.
    pub(super) fn etag(&self) -> Option<&HeaderValue> {
        match self {
            Self::Server(coming) => coming.headers().get(header::ETAG),
            Self::Database(response) => response.headers().get(header::ETAG),
        }
    }
}

async fn refused(answer: Response) -> anyhow::Result<ClientError> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    let problem = Problem::read(head.status.as_u16(), &head.headers, &body).context("an error without words")?;
    // Whoever reads this is the operator who would be asked.
    Ok(ClientError::Refused(Box::new(Problem { request_id: String::new(), ..problem })))
}
