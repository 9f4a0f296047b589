//! Whole answers of what changes who may do what: the allowlist file, single grants, blocks.

#![expect(clippy::too_many_lines, reason = "most lines are whole answers and records")]

use crate::support::{
    app::{
        ALLOWLIST,
        Persona::{Admin, Alice, Applier, Auditor},
        TestApp,
    },
    database::{TestDb, on_both},
    shown::snap,
};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

on_both!(the_allowlist_file, single_grants, blocks);

async fn the_allowlist_file(db: &TestDb) {
    let test = TestApp::start_empty(db).await;
    let put =
        |query: &str, who, file: &str| test.request(Method::PUT, &format!("/v1/allowlist{query}"), who).toml(file);
    snap!(test.get("/v1/allowlist", Auditor).await.whole(), @r#"
    200
    content-type: application/toml
    cache-control: no-store
    etag: "0"
    ""
    "#);
    snap!(put("", Applier, ALLOWLIST).send().await.whole(), @r#"
    428
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "precondition_required",
      "detail": "Send If-Match with the ETag of GET /v1/allowlist, so that nobody's change is overwritten unseen.",
      "request_id": "<id>",
      "status": 428,
      "title": "Precondition Required",
      "type": "urn:hallpass:problem:precondition_required"
    }
    "#);
    snap!(put("", Applier, ALLOWLIST).header("if-match", "*").send().await.whole(), @r#"
    412
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "stale",
      "detail": "The allowlist has changed in between: it is at revision 0. Plan again, then apply.",
      "request_id": "<id>",
      "status": 412,
      "title": "Precondition Failed",
      "type": "urn:hallpass:problem:stale"
    }
    "#);
    let short = "[[account]]\nid = \"111122223333\"\nalias = \"prod\"\n[[account.role]]\nname = \"ReadOnly\"\n\
                 [[grant]]\nto = [\"user:alice@example.com\"]\nroles = [\"prod/*\"]\n";
    snap!(put("?dry_run=true", Applier, short).send().await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    etag: "0"
    {
      "applied": false,
      "plan": {
        "accounts": {
          "added": [{"alias":"prod","has_external_id":false,"id":"111122223333","name":null,"tags":{}}],
          "changed": [],
          "removed": []
        },
        "add": 3,
        "api_grants": 0,
        "change": 0,
        "gains": [{"principal":"user:alice@example.com","role":"prod/ReadOnly"}],
        "grants": {
          "added": [
            {
              "expires": null,
              "id": "f5ebf0e2-2b87-87fc-98ef-c7f13a1d1f56",
              "max_duration_seconds": null,
              "require_reason": false,
              "role": "prod/*",
              "session_policy_sha256": null,
              "source_ips": [],
              "to": "user:alice@example.com"
            }
          ],
          "changed": [],
          "removed": []
        },
        "loses": [],
        "remove": 0,
        "roles": {
          "added": [
            {
              "account_id": "111122223333",
              "description": null,
              "max_duration_seconds": 3600,
              "path": "/",
              "role": "prod/ReadOnly",
              "session_tags": {},
              "source_identity": true
            }
          ],
          "changed": [],
          "removed": []
        },
        "warnings": []
      },
      "revision": 0
    }
    "#);
    assert_eq!(put("", Applier, short).header("if-match", "\"0\"").send().await.header("etag"), "\"1\"");
    snap!(test.get("/v1/allowlist", Applier).await.whole(), @r#"
    200
    content-type: application/toml
    cache-control: no-store
    etag: "1"
    "[[account]]\nid = \"111122223333\"\nalias = \"prod\"\n[[account.role]]\nname = \"ReadOnly\"\n[[grant]]\nto = [\"user:alice@example.com\"]\nroles = [\"prod/*\"]\n"
    "#);
    let other = short.replace("ReadOnly", "Other").replace("alias", "external_id = \"hp-hidden\"\nalias");
    snap!(put("", Admin, &other).header("if-match", "\"1\"").send().await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    etag: "2"
    {
      "applied": true,
      "plan": {
        "accounts": {
          "added": [],
          "changed": [
            {
              "alias": "prod",
              "fields": [{"field":"external_id"}],
              "has_external_id": true,
              "id": "111122223333",
              "name": null,
              "tags": {}
            }
          ],
          "removed": []
        },
        "add": 1,
        "api_grants": 0,
        "change": 1,
        "gains": [{"principal":"user:alice@example.com","role":"prod/Other"}],
        "grants": {"added":[],"changed":[],"removed":[]},
        "loses": [{"principal":"user:alice@example.com","role":"prod/ReadOnly"}],
        "remove": 1,
        "roles": {
          "added": [
            {
              "account_id": "111122223333",
              "description": null,
              "max_duration_seconds": 3600,
              "path": "/",
              "role": "prod/Other",
              "session_tags": {},
              "source_identity": true
            }
          ],
          "changed": [],
          "removed": [
            {
              "account_id": "111122223333",
              "description": null,
              "max_duration_seconds": 3600,
              "path": "/",
              "role": "prod/ReadOnly",
              "session_tags": {},
              "source_identity": true
            }
          ]
        },
        "warnings": []
      },
      "revision": 2
    }
    "#);
    snap!(put("", Admin, short).header("if-match", "\"1\"").send().await.whole(), @r#"
    412
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "stale",
      "detail": "The allowlist has changed in between: it is at revision 2. Plan again, then apply.",
      "request_id": "<id>",
      "status": 412,
      "title": "Precondition Failed",
      "type": "urn:hallpass:problem:stale"
    }
    "#);
    // The same file again is no change.
    let again = put("", Admin, &other).header("if-match", "\"2\"").send().await;
    assert_eq!((again.status, again.header("etag"), again.body()["plan"]["add"].as_u64()), (200, "\"2\"", Some(0)));
    let faulty = "[[account]]\nid = \"12\"\nalais = \"prod\"\n[[grant]]\nto = [\"alice\"]\nroles = [\"prod/Nope\"]\n";
    snap!(put("", Admin, faulty).header("if-match", "\"2\"").send().await.whole(), @r#"
    422
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "invalid_request",
      "detail": "The allowlist file has faults, and nothing was changed; errors names each.",
      "errors": [
        {"line":2,"pointer":"/account/0/id","problem":"expected an account id of 12 digits"},
        {
          "line": 3,
          "pointer": "/account/0/alais",
          "problem": "unknown key; known here: id, alias, name, external_id, tags, role"
        },
        {
          "line": 5,
          "pointer": "/grant/0/to/0",
          "problem": "expected a principal: user:<name>, group:<name> or workload:<issuer>/<subject>"
        }
      ],
      "request_id": "<id>",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:hallpass:problem:invalid_request"
    }
    "#);
    snap!(put("?dry_run=maybe&x=1", Admin, short).send().await.whole(), @r#"
    422
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "invalid_request",
      "detail": "The request has faults; errors names each.",
      "errors": [
        {"pointer":"/dry_run","problem":"expected true or false"},
        {"pointer":"/x","problem":"unknown key; known here: dry_run"}
      ],
      "request_id": "<id>",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:hallpass:problem:invalid_request"
    }
    "#);
    snap!(put("?dry_run=true", Admin, "a = [").send().await.whole(), @r#"
    422
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "invalid_request",
      "detail": "The allowlist file has faults, and nothing was changed; errors names each.",
      "errors": [{"line":1,"pointer":"","problem":"line 1, column 6: unclosed array, expected `]`"}],
      "request_id": "<id>",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:hallpass:problem:invalid_request"
    }
    "#);
    let json = test.request(Method::PUT, "/v1/allowlist", Admin).json(&json!({})).send().await;
    snap!(json.whole(), @r#"
    415
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "unsupported_media_type",
      "detail": "Send the body with the header content-type: application/toml.",
      "request_id": "<id>",
      "status": 415,
      "title": "Unsupported Media Type",
      "type": "urn:hallpass:problem:unsupported_media_type"
    }
    "#);
    let bytes = test.request(Method::PUT, "/v1/allowlist", Admin).body("application/toml", vec![0xff]).send().await;
    snap!(bytes.whole(), @r#"
    400
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "invalid_request",
      "detail": "The body is not UTF-8 text.",
      "request_id": "<id>",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:hallpass:problem:invalid_request"
    }
    "#);
    test.close().await;
}

async fn single_grants(db: &TestDb) {
    let test = TestApp::start(db).await;
    let add = async |body| test.post("/v1/grants", Admin, &body).await;
    let expires = test.moment(Duration::from_hours(48));
    let grant = json!({
        "to": "user:bob@example.com", "role": "prod/Deploy", "expires": expires, "reason": "INC-1",
        "max_duration_seconds": 1800, "require_reason": true, "source_ips": ["10.0.0.0/8"],
        "session_policy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]},
    });
    let added = add(grant.clone()).await;
    snap!(added.whole(), @r#"
    201
    content-type: application/json
    cache-control: no-store
    {
      "created_at": "2026-01-02T03:04:05Z",
      "created_by": "user:admin@example.com",
      "expires": "2026-01-04T03:04:05Z",
      "id": "<id>",
      "max_duration_seconds": 1800,
      "reason": "INC-1",
      "require_reason": true,
      "role": "111122223333/Deploy",
      "session_policy": {"Statement":[{"Action":"s3:Get*","Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"},
      "source_ips": ["10.0.0.0/8"],
      "to": "user:bob@example.com"
    }
    "#);
    let conflict = add(grant.clone()).await;
    assert!(conflict.member("detail").contains(&added.member("id")), "{conflict:?}");
    snap!(conflict.whole(), @r#"
    409
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "conflict",
      "detail": "The same is there already, with the id <id>.",
      "request_id": "<id>",
      "status": 409,
      "title": "Conflict",
      "type": "urn:hallpass:problem:conflict"
    }
    "#);
    snap!(test.get("/v1/grants?limit=1", Auditor).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "grants": [
        {
          "created_at": "2026-01-02T03:04:05Z",
          "created_by": "user:admin@example.com",
          "expires": "2026-01-04T03:04:05Z",
          "id": "<id>",
          "max_duration_seconds": 1800,
          "reason": "INC-1",
          "require_reason": true,
          "role": "111122223333/Deploy",
          "session_policy": {"Statement":[{"Action":"s3:Get*","Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"},
          "source_ips": ["10.0.0.0/8"],
          "to": "user:bob@example.com"
        }
      ],
      "next_cursor": "<id>"
    }
    "#);
    snap!(add(json!({"to": "local:root", "role": "prod", "reason": "", "require_reason": "yes", "source_ips": ["10.0.0.1/8"], "x": 1})).await.whole(), @r#"
    422
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "invalid_request",
      "detail": "The request has faults; errors names each.",
      "errors": [
        {"pointer":"/reason","problem":"expected a reason that is not blank"},
        {"pointer":"/require_reason","problem":"expected true or false"},
        {"pointer":"/role","problem":"expected a role: <alias or account id>/<role name>, or a full role ARN"},
        {"pointer":"/source_ips/0","problem":"expected a range that begins at its network address: 10.0.0.0/8"},
        {
          "pointer": "/to",
          "problem": "expected a principal: user:<name>, group:<name> or workload:<issuer>/<subject>"
        },
        {
          "pointer": "/x",
          "problem": "unknown key; known here: to, role, expires, reason, max_duration_seconds, require_reason, source_ips, session_policy"
        },
        {"pointer":"/expires","problem":"required, but not there"}
      ],
      "request_id": "<id>",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:hallpass:problem:invalid_request"
    }
    "#);
    let with = |member: &str, value: serde_json::Value| {
        let mut body = grant.clone();
        body[member] = value;
        body
    };
    for (member, value, pointer) in [
        ("role", json!("prod/Nope"), "/role"),
        ("role", json!("arn:aws-cn:iam::111122223333:role/Deploy"), "/role"),
        ("role", json!("prod/*"), "/role"),
        ("expires", json!(test.moment(Duration::ZERO)), "/expires"),
        ("expires", json!(test.moment(Duration::from_secs(90 * 86_400 + 1))), "/expires"),
        ("expires", json!("tomorrow"), "/expires"),
        ("expires", json!(null), "/expires"),
        ("max_duration_seconds", json!(899), "/max_duration_seconds"),
        ("session_policy", json!({}), "/session_policy"),
    ] {
        let refused = add(with(member, value.clone())).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (422, "invalid_request"),
            "{member} {value}: {refused:?}"
        );
        assert_eq!(refused.body()["errors"][0]["pointer"], pointer, "{member} {value}: {refused:?}");
    }
    assert_eq!(add(with("expires", json!(test.moment(Duration::from_hours(90 * 24))))).await.status, 201);
    let page = test.get("/v1/grants?limit=1", Admin).await.body();
    let next = page["next_cursor"].as_str().unwrap();
    let page = test.get(&format!("/v1/grants?limit=1&cursor={next}"), Admin).await.body();
    assert_eq!(page["grants"][0]["id"], added.member("id"));

    let path = format!("/v1/grants/{}", added.member("id"));
    snap!(test.delete(&path, Admin).await.whole(), @r#"
    204
    ""
    "#);
    snap!(test.delete(&path, Admin).await.whole(), @r#"
    404
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "not_found",
      "detail": "There is nothing here by that name.",
      "request_id": "<id>",
      "status": 404,
      "title": "Not Found",
      "type": "urn:hallpass:problem:not_found"
    }
    "#);
    let of_file = test.get("/v1/roles", Alice).await.body()["roles"][0]["grants"][0]["grant_id"].clone();
    for id in [of_file.as_str().unwrap(), "1", "%00", "..%2F.."] {
        assert_eq!(test.delete(&format!("/v1/grants/{id}"), Admin).await.code(), "not_found", "{id}");
    }
    test.close().await;
}

async fn blocks(db: &TestDb) {
    let test = TestApp::start(db).await;
    let add = async |body| test.post("/v1/blocks", Admin, &body).await;
    let until = test.moment(Duration::from_hours(1));
    let person = add(json!({"principal": "group:developers", "reason": "review", "until": until})).await;
    snap!(person.whole(), @r#"
    201
    content-type: application/json
    cache-control: no-store
    {
      "created_at": "2026-01-02T03:04:05Z",
      "created_by": "user:admin@example.com",
      "id": "<id>",
      "principal": "group:developers",
      "reason": "review",
      "role": null,
      "until": "2026-01-02T04:04:05Z"
    }
    "#);
    let role = add(json!({"role": "prod/ReadOnly", "reason": "leaked"})).await;
    snap!(role.whole(), @r#"
    201
    content-type: application/json
    cache-control: no-store
    {
      "created_at": "2026-01-02T03:04:05Z",
      "created_by": "user:admin@example.com",
      "id": "<id>",
      "principal": null,
      "reason": "leaked",
      "role": "111122223333/ReadOnly",
      "until": null
    }
    "#);
    snap!(add(json!({"role": "111122223333/ReadOnly", "reason": "again"})).await.whole(), @r#"
    409
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "conflict",
      "detail": "The same is there already, with the id <id>.",
      "request_id": "<id>",
      "status": 409,
      "title": "Conflict",
      "type": "urn:hallpass:problem:conflict"
    }
    "#);
    snap!(test.get("/v1/blocks", Auditor).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "blocks": [
        {
          "created_at": "2026-01-02T03:04:05Z",
          "created_by": "user:admin@example.com",
          "id": "<id>",
          "principal": null,
          "reason": "leaked",
          "role": "111122223333/ReadOnly",
          "until": null
        },
        {
          "created_at": "2026-01-02T03:04:05Z",
          "created_by": "user:admin@example.com",
          "id": "<id>",
          "principal": "group:developers",
          "reason": "review",
          "role": null,
          "until": "2026-01-02T04:04:05Z"
        }
      ],
      "next_cursor": null
    }
    "#);
    for (body, pointer) in [
        (json!({"reason": "x"}), ""),
        (json!({"principal": "user:a", "role": "prod/Deploy", "reason": "x"}), ""),
        (json!({"principal": "local:root", "reason": "x"}), "/principal"),
        (json!({"principal": "alice", "reason": "x"}), "/principal"),
        (json!({"role": "prod/Nope", "reason": "x"}), "/role"),
        (json!({"role": "prod/Deploy"}), "/reason"),
        (json!({"role": "prod/Deploy", "reason": "\u{202e}"}), "/reason"),
        (json!({"role": "prod/Deploy", "reason": "x", "until": test.moment(Duration::ZERO)}), "/until"),
    ] {
        let refused = add(body.clone()).await;
        assert_eq!((refused.status, refused.code().as_str()), (422, "invalid_request"), "{body}: {refused:?}");
        assert_eq!(refused.body()["errors"][0]["pointer"], pointer, "{body}: {refused:?}");
    }
    let path = format!("/v1/blocks/{}", role.member("id"));
    assert_eq!(test.delete(&path, Admin).await.status, 204);
    assert_eq!(test.delete(&path, Admin).await.code(), "not_found");
    test.close().await;
}
