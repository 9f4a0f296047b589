//! The outermost layer: the request's id in and out, one log line a request, the one form of an error, and an answer in
//! time or at once where too much is under way.

use super::{
    arrival::{Arrival, X_REQUEST_ID},
    error::{Cause, Error, Problem, Shape, Told},
    limits::Limits,
    measure::Measured,
    portal,
};
use crate::app::App;
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::time::Instant;

/// Gives the request its id, and when it is answered writes its line. An error gets its body here, where the id is
/// known.
pub(super) async fn requests(State((app, limits)): State<(App, Limits)>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let arrival = Arrival::of(&app, &limits, &request);
    let request_id = arrival.request_id.clone();
    let (ip, caller) = (arrival.client.ip, arrival.caller.clone());
    let method = request.method().clone();
    // The pattern, never the path itself: a path may hold what somebody put there by mistake.
    let pattern = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let measured = Measured::begin(&app.metrics, pattern);
    let by_page = portal::tells_by_page(&app, pattern, &request);
    let route = pattern.unwrap_or("-").to_owned();
    let shape = Shape::of(request.uri());
    request.extensions_mut().insert(arrival);

    let mut response = run(&limits, request, next).await;

    let problem = response.extensions_mut().remove::<Problem>();
    let cause = response.extensions_mut().remove::<Cause>();
    let told = response.extensions_mut().remove::<Told>().map(|Told(code)| code);
    let code = problem.as_ref().map(|problem| problem.code).or(told);
    let turned_away = problem.as_ref().is_some_and(|problem| problem.turned_away);
    if let Some(problem) = problem {
        let problem = problem.complete(&request_id, shape);
        response = if by_page { portal::error_page(&app, problem, response) } else { problem.into_response() };
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(X_REQUEST_ID.clone(), value);
    }
    measured.answered(&app.metrics, response.status());
    let status = response.status().as_u16();
    let caller = caller.get().map(|caller| caller.principal().to_string());
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    let ip = ip.map(|ip| ip.to_string());
    if let Some(Cause(cause)) = cause {
        tracing::error!(request_id, code, cause, "a request failed");
    }
    // A flood is logged as a number.
    if turned_away {
        tracing::debug!(request_id, %method, route, status, code, principal = caller, ip, milliseconds, "request");
    } else {
        tracing::info!(request_id, %method, route, status, code, principal = caller, ip, milliseconds, "request");
    }
    response
}

/// Whether the process lives and can issue is told at any time.
async fn run(limits: &Limits, request: Request, next: Next) -> Response {
    let health = matches!(request.uri().path(), "/healthz" | "/readyz");
    let place = if health { None } else { limits.enter() };
    if place.is_none() && !health {
        return Error::Overloaded.into_response();
    }
    let bounds = limits.bounds();
    let limit = if *request.method() == Method::PUT { bounds.answer + bounds.file * 2 } else { bounds.answer };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Error::TimedOut.into_response(),
    }
}
