//! Answers in the form of AWS's query protocol.

use aws_smithy_xml::encode::{ScopeWriter, XmlWriter};
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// An element of an answer.
pub(super) struct Element(pub(super) &'static str, pub(super) Content);

/// What stands in an element.
pub(super) enum Content {
    Text(String),
    Elements(Vec<Element>),
}

impl Element {
    pub(super) fn text(name: &'static str, text: impl Into<String>) -> Self {
        Self(name, Content::Text(text.into()))
    }

    pub(super) fn of(name: &'static str, elements: Vec<Self>) -> Self {
        Self(name, Content::Elements(elements))
    }

    fn write(&self, into: &mut ScopeWriter<'_, '_>) {
        let mut scope = into.start_el(self.0).finish();
        match &self.1 {
            Content::Text(text) => scope.data(&lawful(text)),
            Content::Elements(elements) => elements.iter().for_each(|element| element.write(&mut scope)),
        }
    }
}

/// A refusal with AWS's own code.
#[derive(Debug)]
pub(super) struct Fault {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Fault {
    /// The request is wrong: 400.
    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    /// The asker may not: 403.
    pub(super) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, code, message: message.into() }
    }

    /// AWS's own fault: 500.
    pub(super) fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalFailure",
            message: "The simulated AWS was told to fail.".to_owned(),
        }
    }

    /// What each refused parameter fails to satisfy, all in one message.
    pub(super) fn validation(faults: &[String]) -> Self {
        let s = if faults.len() == 1 { "" } else { "s" };
        let message = format!("{} validation error{s} detected: {}", faults.len(), faults.join("; "));
        Self::bad("ValidationError", message)
    }
}

/// The answer to a call: `<NAMEResponse><NAMEResult>…`, or the error in its place.
pub(super) fn answer(outcome: Result<(&'static str, &'static str, Vec<Element>), Fault>, request_id: &str) -> Response {
    let id = Element::text("RequestId", request_id);
    let (status, root, elements) = match outcome {
        Ok((response, result, elements)) => {
            let metadata = Element::of("ResponseMetadata", vec![id]);
            (StatusCode::OK, response, vec![Element::of(result, elements), metadata])
        }
        Err(Fault { status, code, message }) => {
            let sender = if status.is_client_error() { "Sender" } else { "Receiver" };
            let error = [Element::text("Type", sender), Element::text("Code", code), Element::text("Message", message)];
            (status, "ErrorResponse", vec![Element::of("Error", error.into()), id])
        }
    };
    let mut document = String::new();
    {
        let mut writer = XmlWriter::new(&mut document);
        let mut scope = writer.start_el(root).write_ns(NAMESPACE, None).finish();
        for element in elements {
            element.write(&mut scope);
        }
    }
    let headers = [(header::CONTENT_TYPE.as_str(), "text/xml"), ("x-amzn-requestid", request_id)];
    (status, headers, document).into_response()
}

/// XML 1.0, §2.2, has no way to write most control characters, not even escaped.
fn lawful(text: &str) -> String {
    let lawful = |c: char| matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'));
    text.chars().map(|c| if lawful(c) { c } else { '\u{fffd}' }).collect()
}
