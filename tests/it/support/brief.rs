//! In front of an AWS: hands everything on, and has sessions end sooner than was asked for. A client comes again for
//! credentials that end, and no test waits for an hour.

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use hallpass::{clock::Clock, model::Time};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long a session of a role lasts; those of other roles last as AWS says.
pub(crate) type Lives = HashMap<String, Duration>;

struct Shared {
    aws: String,
    lives: Lives,
    client: reqwest::Client,
}

/// Where it listens. Must be called within a runtime, and ends with it.
pub(crate) async fn in_front_of(aws: &str, lives: Lives) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let shared = Arc::new(Shared { aws: aws.to_owned(), lives, client });
    let router = Router::new().fallback(hand_on).with_state(shared);
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    url
}

async fn hand_on(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let life = life(&shared.lives, &body);
    let asked = shared.client.request(head.method, format!("{}{}", shared.aws, head.uri)).headers(head.headers);
    let answer = asked.body(body).send().await.unwrap();
    let (status, kind) = (answer.status(), answer.headers().get("content-type").cloned());
    let mut text = answer.text().await.unwrap();
    if let Some(life) = life {
        text = ending_after(&text, life);
    }
    let mut response = (status, text).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert("content-type", kind);
    }
    response
}

fn life(lives: &Lives, form: &Bytes) -> Option<Duration> {
    let mut url = reqwest::Url::parse("http://form/").unwrap();
    url.set_query(std::str::from_utf8(form).ok());
    let role = url.query_pairs().find(|(name, _)| name == "RoleArn")?.1.into_owned();
    lives.get(role.rsplit('/').next()?).copied()
}

fn ending_after(answer: &str, life: Duration) -> String {
    let Some((before, rest)) = answer.split_once("<Expiration>") else { return answer.to_owned() };
    let (_, after) = rest.split_once("</Expiration>").unwrap();
    let seconds = Clock::system().now().plus(life).as_micros() / 1_000_000;
    format!("{before}<Expiration>{}</Expiration>{after}", Time::from_seconds(seconds).unwrap())
}
