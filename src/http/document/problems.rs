//! Which operation can fail in which ways: by what it takes, and by the table [`OWN`].

use utoipa::{
    ToSchema,
    openapi::{
        AllOfBuilder, Content, Header, ObjectBuilder, OpenApi, Ref, RefOr, Response,
        path::{Operation, ParameterIn},
        schema::{Schema, Type},
    },
};

/// An error, by RFC 9457.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only described: `error` writes it")]
pub(in crate::http) struct ProblemBody {
    /// Stable; programs go by it.
    code: String,
    /// For people.
    detail: String,
    /// Each fault of the request.
    errors: Option<Vec<FaultBody>>,
    /// Each failing condition of the caller's own grants.
    reasons: Option<Vec<crate::allowlist::Failing>>,
    /// As the header `x-request-id`.
    request_id: String,
    /// The status.
    status: u16,
    /// The status in words.
    title: String,
    /// `urn:hallpass:problem:` and the code.
    #[schema(pattern = "^urn:hallpass:problem:[a-z_]+$")]
    r#type: String,
}

/// One fault of a request.
#[derive(ToSchema)]
#[schema(as = Fault)]
#[expect(dead_code, reason = "only described: `error` writes it")]
struct FaultBody {
    /// What limits the duration.
    limit: Option<crate::allowlist::Limit>,
    /// How long a session that leaves.
    limit_seconds: Option<i64>,
    /// In an allowlist file, the line; null where it is the file's as a whole.
    line: Option<usize>,
    /// An RFC 6901 pointer into the body, or the name of a parameter; empty for the whole.
    pointer: String,
    /// What is expected there, or what is wrong.
    problem: String,
}

/// An error of the container-credentials protocol: two texts, each under both of the names that SDKs read.
#[derive(ToSchema)]
#[schema(as = ContainerProblem)]
#[serde(rename_all = "PascalCase")]
#[expect(dead_code, reason = "only described: `error` writes it")]
pub(in crate::http) struct ContainerProblemBody {
    /// Stable; programs go by it.
    code: String,
    /// For people: one sentence, which ends up in the log of whoever asked.
    message: String,
    /// As `Code`.
    #[serde(rename = "code")]
    small_code: String,
    /// As `Message`.
    #[serde(rename = "message")]
    small_message: String,
}

/// The one operation whose errors are of another form.
const CONTAINER: &str = "containerCredentials";

/// What a request holds can be left out; of what is answered only some members of these, where others are null.
const WITH_ABSENT: [&str; 4] = ["FieldChange", "Fault", "Problem", "SessionPolicy"];

/// Every code with its status.
const CODES: [(u16, &str); 28] = [
    (400, "invalid_request"),
    (401, "unauthenticated"),
    (401, "token_expired"),
    (401, "token_invalid"),
    (403, "forbidden"),
    (403, "not_allowed"),
    (404, "not_found"),
    (405, "method_not_allowed"),
    (408, "request_timeout"),
    (409, "conflict"),
    (412, "stale"),
    (413, "too_large"),
    (415, "unsupported_media_type"),
    (422, "invalid_request"),
    (422, "duration_too_long"),
    (422, "reason_required"),
    (422, "session_policy_fixed"),
    (422, "session_policy_too_large"),
    (428, "precondition_required"),
    (429, "rate_limited"),
    (500, "internal_error"),
    (502, "sts_refused"),
    (503, "audit_unavailable"),
    (503, "keys_unavailable"),
    (503, "overloaded"),
    (503, "store_unavailable"),
    (503, "sts_throttled"),
    (503, "sts_unavailable"),
];

const ALL: [&str; 2] = ["internal_error", "overloaded"];
const AUTHENTICATED: [&str; 7] = [
    "unauthenticated",
    "token_expired",
    "token_invalid",
    "rate_limited",
    "keys_unavailable",
    "store_unavailable",
    "audit_unavailable",
];
const BODY: [&str; 4] = ["invalid_request", "request_timeout", "too_large", "unsupported_media_type"];

/// What an operation can fail with by what it does, beside what it takes.
const OWN: [(&str, &[&str]); 20] = [
    (
        "issueCredentials",
        &[
            "forbidden",
            "not_allowed",
            "duration_too_long",
            "reason_required",
            "session_policy_fixed",
            "session_policy_too_large",
            "sts_refused",
            "sts_throttled",
            "sts_unavailable",
        ],
    ),
    (
        CONTAINER,
        &[
            "not_allowed",
            "method_not_allowed",
            "duration_too_long",
            "reason_required",
            "sts_refused",
            "sts_throttled",
            "sts_unavailable",
        ],
    ),
    (
        "signIn",
        &[
            "forbidden",
            "not_allowed",
            "duration_too_long",
            "reason_required",
            "sts_refused",
            "sts_throttled",
            "sts_unavailable",
        ],
    ),
    ("explain", &["forbidden", "session_policy_too_large"]),
    ("listRoles", &["forbidden"]),
    ("showAllowlist", &["forbidden"]),
    ("applyAllowlist", &["forbidden", "stale", "precondition_required"]),
    ("listGrants", &["forbidden"]),
    ("addGrant", &["forbidden", "conflict", "session_policy_too_large"]),
    ("removeGrant", &["forbidden"]),
    ("listBlocks", &["forbidden"]),
    ("addBlock", &["forbidden", "conflict"]),
    ("removeBlock", &["forbidden"]),
    ("listTokens", &["forbidden"]),
    ("addToken", &["forbidden", "conflict"]),
    ("revokeToken", &["forbidden"]),
    ("listEvents", &["forbidden"]),
    ("exportEvents", &["forbidden"]),
    ("listHeads", &["forbidden"]),
    ("login", &["not_found"]),
];

/// Adds to every operation its problems, and to every answer its headers and that its members are always there.
pub(super) fn complete(document: &mut OpenApi) {
    for (name, schema) in document.components.iter_mut().flat_map(|components| &mut components.schemas) {
        if let RefOr::T(Schema::Object(object)) = schema
            && !name.ends_with("Request")
            && !WITH_ABSENT.contains(&name.as_str())
        {
            object.required = object.properties.keys().cloned().collect();
        }
    }
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            add_problems(operation);
            add_request_id(operation);
            let too_large = Response::new("The head of the request is too large. No body, and no `x-request-id`.");
            operation.responses.responses.insert("431".to_owned(), too_large.into());
            // The page shows a summary as it stands.
            operation.summary = operation.summary.take().map(|summary| summary.replace('`', ""));
        }
    }
}

fn add_problems(operation: &mut Operation) {
    let codes = codes(operation);
    let faulty_parameter = parameters(operation, &ParameterIn::Query) || operation.request_body.is_some();
    for status in CODES.map(|(status, _)| status) {
        let of_status = |(its, code): &&(u16, &'static str)| {
            *its == status && codes.contains(code) && (*its, *code) != (422, "invalid_request")
        };
        let mut codes: Vec<&str> = CODES.iter().filter(of_status).map(|(_, code)| *code).collect();
        if status == 422 && faulty_parameter {
            codes.insert(0, "invalid_request");
        }
        if !codes.is_empty() {
            add(operation, status, &codes);
        }
    }
}

fn codes(operation: &Operation) -> Vec<&'static str> {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let mut codes = ALL.to_vec();
    // Where anybody may ask, the operation says so; else the document's own requirement holds.
    if operation.security.is_none() {
        codes.extend(AUTHENTICATED);
    }
    if operation.request_body.is_some() {
        codes.extend(BODY);
    }
    if parameters(operation, &ParameterIn::Path) {
        codes.push("not_found");
    }
    codes.extend(OWN.iter().filter(|(its, _)| *its == id).flat_map(|(_, codes)| *codes));
    codes
}

fn parameters(operation: &Operation, place: &ParameterIn) -> bool {
    operation
        .parameters
        .iter()
        .flatten()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == *place))
}

fn add(operation: &mut Operation, status: u16, codes: &[&'static str]) {
    let container = operation.operation_id.as_deref() == Some(CONTAINER);
    let names: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let mut of_these = ObjectBuilder::new()
        .property("code", ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().copied())));
    let (name, media_type) = if container {
        ("ContainerProblem", "application/json")
    } else {
        of_these =
            of_these.property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])));
        ("Problem", "application/problem+json")
    };
    let schema = AllOfBuilder::new().item(Ref::from_schema_name(name)).item(of_these);
    let content = Content::new(Some(Schema::AllOf(schema.build())));
    let mut response = match operation.responses.responses.remove(&status.to_string()) {
        Some(RefOr::T(response)) => response,
        _ => Response::new(names.join(", ")),
    };
    response.content.insert(media_type.to_owned(), content.into());
    if operation.operation_id.as_deref() == Some("issueCredentials") {
        response.content.insert("text/plain".to_owned(), written(ObjectBuilder::new().schema_type(Type::String)));
        let text = |name: &str| (name.to_owned(), ObjectBuilder::new().schema_type(Type::String));
        let members = ["code", "message"].map(text).into_iter();
        let process = members.fold(ObjectBuilder::new(), |all, (name, text)| all.property(&name, text).required(name));
        response.content.insert("application/json".to_owned(), written(process));
    }
    match status {
        401 => header(&mut response, "www-authenticate", "RFC 6750: what is asked for, and which check failed."),
        429 | 503 => header(&mut response, "retry-after", "When to come again, in seconds."),
        _ => {}
    }
    operation.responses.responses.insert(status.to_string(), RefOr::T(response));
}

/// An error in the form that `format` asks for.
fn written(schema: ObjectBuilder) -> RefOr<Content> {
    Content::new(Some(Schema::Object(schema.build()))).into()
}

fn add_request_id(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            header(response, "x-request-id", "Names this request in the audit and in the service's log.");
        }
    }
}

fn header(response: &mut Response, name: &str, description: &str) {
    let mut header = Header::default();
    header.description = Some(description.to_owned());
    response.headers.insert(name.to_owned(), header.into());
}
