//! A fake sign-in service that can do what the real one does on a bad day, and what it had better never do. It remembers
//! what came to it.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What the service does.
#[derive(Clone, Debug, Default)]
pub(crate) enum Mood {
    #[default]
    Normal,
    /// This status and body.
    Says(u16, String),
    /// This redirect, to this place.
    Sends(u16, String),
    /// A body without an end.
    Huge,
    /// Takes the request and never answers.
    Silent,
    /// Answers with a head, and with no body behind it.
    Stalls,
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) address: String,
    pub(crate) headers: String,
    pub(crate) form: HashMap<String, String>,
}

/// A running fake.
pub(crate) struct FakeSignIn {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mood: Mutex<Mood>,
    asked: Mutex<Vec<Asked>>,
}

impl FakeSignIn {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::<Shared>::default();
        let router = Router::new().fallback(serve).with_state(shared.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { url, shared }
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Every request so far, whatever it was.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut form = reqwest::Url::parse("http://form/").unwrap();
    form.set_query(Some(std::str::from_utf8(&body).unwrap()));
    let number = {
        let mut asked = shared.asked.lock().unwrap();
        asked.push(Asked {
            method: head.method.to_string(),
            address: head.uri.to_string(),
            headers: format!("{:?}", head.headers),
            form: form.query_pairs().into_owned().collect(),
        });
        asked.len()
    };
    let mood = shared.mood.lock().unwrap().clone();
    let status = |status| StatusCode::from_u16(status).unwrap();
    let piece = || Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 64 * 1024]));
    match mood {
        Mood::Normal => format!(r#"{{"SigninToken":"fake-signin-token+/={number:06}"}}"#).into_response(),
        Mood::Says(code, body) => (status(code), body).into_response(),
        Mood::Sends(code, to) => (status(code), [("location", to)]).into_response(),
        Mood::Huge => Body::from_stream(futures_util::stream::repeat_with(piece)).into_response(),
        Mood::Silent => std::future::pending().await,
        Mood::Stalls => Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>()).into_response(),
    }
}

/// Longer than any answer may take.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(21);
