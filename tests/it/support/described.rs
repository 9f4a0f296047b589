//! What the API's description says, so that every answer any test gets can be held against it.

use super::app::Reply;
use serde_json::Value;
use std::sync::LazyLock;

static KEPT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap());

/// Every operation, as `GET /v1/grants/{id}`, with what is said about it.
pub(crate) fn operations() -> impl Iterator<Item = (String, &'static Value)> {
    let paths = KEPT["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |method| (path, method)));
    methods.map(|(path, (method, operation))| (format!("{} {path}", method.to_uppercase()), operation))
}

/// Fails where the description does not know of such an answer: status, code, media type and the request's id.
pub(crate) fn assert_described(method: &str, path: &str, reply: &Reply) {
    let asked = format!("{method} {path}");
    assert!(!reply.header("x-request-id").is_empty(), "{asked}: no x-request-id");
    let Some((name, operation)) = operations().find(|(name, _)| is_of(&asked, name)) else {
        // What the page is made of is no operation.
        let nowhere = ["not_found", "method_not_allowed"].contains(&reply.code().as_str());
        assert!(nowhere || path.starts_with("/docs/"), "{asked}: {reply:?}");
        return;
    };
    let response = &operation["responses"][reply.status.to_string()];
    let media_type = reply.header("content-type").split(';').next().unwrap();
    let content = &response["content"][media_type];
    assert!(response.is_object() && (content.is_object() || reply.status == 204), "{name} does not tell of {reply:?}");
    // What `?format=` answers says its code in words of its own.
    let is_problem = reply.status >= 400 && content["schema"]["allOf"].is_array();
    if is_problem {
        let codes = content.pointer("/schema/allOf/1/properties/code/enum").and_then(Value::as_array);
        assert!(codes.is_some_and(|codes| codes.contains(&reply.code().into())), "{name} does not tell of {reply:?}");
    }
    // `/readyz` has a 503 of its own, which promises less than an error does.
    let promised = reply.status < 400 || is_problem;
    let headers = response["headers"].as_object().into_iter().flatten().filter(|_| promised);
    for (header, _) in headers {
        assert!(!reply.header(header).is_empty(), "{name}: {header} is promised with {}", reply.status);
    }
}

/// Whether a request is for this operation: `{…}` stands for one segment.
fn is_of(asked: &str, operation: &str) -> bool {
    let (mut asked, mut pattern) = (asked.split('/'), operation.split('/'));
    asked.clone().count() == pattern.clone().count()
        && asked.all(|segment| pattern.next().is_some_and(|p| p == segment || p.starts_with('{')))
}
