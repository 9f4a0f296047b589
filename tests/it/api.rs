//! Whole answers of the API: who one is, what one may, credentials, and what is no request at all.

#![expect(clippy::too_many_lines, reason = "most lines are whole answers and records")]

use crate::support::{
    app::{
        Persona::{Admin, Alice, Anonymous, Applier, Auditor, Mallory},
        TestApp,
    },
    database::{TestDb, on_both},
    shown::snap,
};
use reqwest::Method;
use serde_json::json;

on_both!(
    who_one_is_and_what_one_may,
    credentials_and_why_not,
    what_is_no_request,
    every_answer_has_the_requests_id,
    whether_the_service_is_ready,
    where_people_sign_in,
);

async fn who_one_is_and_what_one_may(db: &TestDb) {
    let test = TestApp::start(db).await;
    snap!(test.get("/v1/whoami", Alice).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "admin": false,
      "applier": false,
      "auditor": false,
      "auth": {"issuer":"corp","method":"jwt","subject":"alice@example.com","token_id":null},
      "expires_at": "2026-01-02T04:04:05Z",
      "groups": ["group:developers"],
      "kind": "user",
      "principal": "user:alice@example.com",
      "token": null
    }
    "#);
    snap!(test.get("/v1/whoami", Admin).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "admin": true,
      "applier": true,
      "auditor": true,
      "auth": {"issuer":"corp","method":"jwt","subject":"admin@example.com","token_id":null},
      "expires_at": "2026-01-02T04:04:05Z",
      "groups": ["group:cloud-platform"],
      "kind": "user",
      "principal": "user:admin@example.com",
      "token": null
    }
    "#);
    snap!(test.get("/v1/whoami", Applier).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "admin": false,
      "applier": true,
      "auditor": false,
      "auth": {"issuer":"ci","method":"jwt","subject":"apply","token_id":null},
      "expires_at": "2026-01-02T04:04:05Z",
      "groups": [],
      "kind": "workload",
      "principal": "workload:ci/apply",
      "token": null
    }
    "#);
    snap!(test.get("/v1/roles", Alice).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "next_cursor": null,
      "roles": [
        {
          "account": {"alias":"prod","id":"111122223333","name":"Production","tags":{"env":"prod"}},
          "description": null,
          "grants": [
            {
              "expires": null,
              "grant_id": "f9e8483c-2dc0-8236-9aac-a197a5e6825f",
              "limited_by": "role",
              "max_duration_seconds": 3600,
              "require_reason": true,
              "session_policy_fixed": false,
              "via": "group:developers"
            }
          ],
          "name": "Deploy",
          "role": "prod/Deploy",
          "role_arn": "arn:aws:iam::111122223333:role/Deploy"
        },
        {
          "account": {"alias":"prod","id":"111122223333","name":"Production","tags":{"env":"prod"}},
          "description": "Look, don't touch",
          "grants": [
            {
              "expires": null,
              "grant_id": "89438418-71dd-8c6a-a181-75f8fb626dc1",
              "limited_by": "grant",
              "max_duration_seconds": 7200,
              "require_reason": false,
              "session_policy_fixed": false,
              "via": "user:alice@example.com"
            }
          ],
          "name": "ReadOnly",
          "role": "prod/ReadOnly",
          "role_arn": "arn:aws:iam::111122223333:role/teams/ReadOnly"
        },
        {
          "account": {"alias":null,"id":"444455556666","name":null,"tags":{}},
          "description": null,
          "grants": [
            {
              "expires": null,
              "grant_id": "6d1daaa6-d5b1-883e-992c-b750c48e541d",
              "limited_by": "role",
              "max_duration_seconds": 43200,
              "require_reason": false,
              "session_policy_fixed": false,
              "via": "user:alice@example.com"
            }
          ],
          "name": "Plain",
          "role": "444455556666/Plain",
          "role_arn": "arn:aws:iam::444455556666:role/Plain"
        }
      ]
    }
    "#);
    snap!(test.get("/v1/roles", Mallory).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "next_cursor": null,
      "roles": []
    }
    "#);
    let first = test.get("/v1/roles?limit=2", Alice).await.body();
    let next = first["next_cursor"].as_str().unwrap();
    assert_eq!((first["roles"].as_array().unwrap().len(), next), (2, "111122223333/ReadOnly"));
    let second = test.get(&format!("/v1/roles?limit=2&cursor={next}"), Alice).await.body();
    assert_eq!(
        (second["roles"][0]["role"].as_str(), &second["next_cursor"]),
        (Some("444455556666/Plain"), &json!(null))
    );
    test.close().await;
}

async fn credentials_and_why_not(db: &TestDb) {
    let test = TestApp::start(db).await;
    snap!(test.credentials(Alice, &json!({"role": "prod/ReadOnly", "reason": "INC-42"})).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "access_key_id": "ASIAFAKE000000000001",
      "assumed_role_arn": "arn:aws:sts::111122223333:assumed-role/ReadOnly/alice@example.com=<issuance>",
      "clamped_by": null,
      "duration_seconds": 3600,
      "expires_at": "2026-01-02T04:04:05Z",
      "issuance_id": "<id>",
      "region": "eu-west-1",
      "role_arn": "arn:aws:iam::111122223333:role/teams/ReadOnly",
      "secret_access_key": "fake-secret/0000000000000000000000000001",
      "session_token": "fake-session-token/x…000000000001",
      "source_identity": "alice@example.com"
    }
    "#);
    snap!(test.credentials(Applier, &json!({"role": "444455556666/Plain", "region": "us-east-1"})).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "access_key_id": "ASIAFAKE000000000002",
      "assumed_role_arn": "arn:aws:sts::444455556666:assumed-role/Plain/ci_apply=<issuance>",
      "clamped_by": null,
      "duration_seconds": 3600,
      "expires_at": "2026-01-02T04:04:05Z",
      "issuance_id": "<id>",
      "region": "us-east-1",
      "role_arn": "arn:aws:iam::444455556666:role/Plain",
      "secret_access_key": "fake-secret/0000000000000000000000000002",
      "session_token": "fake-session-token/x…000000000002",
      "source_identity": null
    }
    "#);
    snap!(test.credentials(Mallory, &json!({"role": "prod/ReadOnly"})).await.whole(), @r#"
    403
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "not_allowed",
      "detail": "No grant of yours names this role, or there is no such role; GET /v1/roles lists what you may have.",
      "reasons": [],
      "request_id": "<id>",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:hallpass:problem:not_allowed"
    }
    "#);
    snap!(test.credentials(Alice, &json!({"role": "prod/ReadOnly", "duration_seconds": 7201})).await.whole(), @r#"
    422
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "duration_too_long",
      "detail": "The grant allows at most 7200 seconds.",
      "errors": [
        {
          "limit": "grant",
          "limit_seconds": 7200,
          "pointer": "/duration_seconds",
          "problem": "the grant allows at most 7200 seconds"
        }
      ],
      "request_id": "<id>",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:hallpass:problem:duration_too_long"
    }
    "#);
    snap!(test.credentials(Alice, &json!({"role": "prod/Deploy", "reason": " \t"})).await.whole(), @r#"
    422
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "reason_required",
      "detail": "The grant requires a reason, and none was given.",
      "errors": [{"pointer":"/reason","problem":"required by the grant"}],
      "request_id": "<id>",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:hallpass:problem:reason_required"
    }
    "#);

    snap!(test.post("/v1/explain", Alice, &json!({"role": "prod/ReadOnly", "duration_seconds": 900})).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "allowed": true,
      "allowlist_revision": 1,
      "clamped_by": null,
      "duration_seconds": 900,
      "grant_id": "89438418-71dd-8c6a-a181-75f8fb626dc1",
      "reasons": [],
      "via": "user:alice@example.com"
    }
    "#);
    let ask = json!({"role": "arn:aws:iam::111122223333:role/Deploy", "duration_seconds": 7200});
    snap!(test.post("/v1/explain", Alice, &ask).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "allowed": false,
      "allowlist_revision": 1,
      "clamped_by": null,
      "duration_seconds": null,
      "grant_id": null,
      "reasons": [
        {
          "condition": "reason_required",
          "detail": "the grant requires a reason, and none was given",
          "grant_id": "f9e8483c-2dc0-8236-9aac-a197a5e6825f"
        },
        {
          "condition": "duration_too_long",
          "detail": "the role allows at most 3600 seconds",
          "grant_id": "f9e8483c-2dc0-8236-9aac-a197a5e6825f"
        }
      ],
      "via": null
    }
    "#);
    let ask = json!({"role": "prod/Deploy", "principal": "user:bob@example.com", "groups": ["group:developers"], "reason": "x"});
    snap!(test.post("/v1/explain", Auditor, &ask).await.whole(), @r#"
    200
    content-type: application/json
    cache-control: no-store
    {
      "allowed": true,
      "allowlist_revision": 1,
      "clamped_by": null,
      "duration_seconds": 3600,
      "grant_id": "f9e8483c-2dc0-8236-9aac-a197a5e6825f",
      "reasons": [],
      "via": "group:developers"
    }
    "#);
    snap!(test.post("/v1/explain", Alice, &ask).await.whole(), @r#"
    403
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "forbidden",
      "detail": "Only an auditor or an admin, who explains for others, may do this.",
      "request_id": "<id>",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:hallpass:problem:forbidden"
    }
    "#);
    test.close().await;
}

async fn where_people_sign_in(db: &TestDb) {
    let test = TestApp::start(db).await;
    let told = test.get("/v1/login", Anonymous).await.whole();
    snap!(told.replace(&test.corp.url, "<corp>"), @r#"
    200
    content-type: application/json
    {
      "client_id": "hallpass-cli",
      "client_secret": null,
      "issuer": "<corp>",
      "prompt": "consent",
      "redirect_port": null,
      "resource": null,
      "scopes": ["openid","profile","email","offline_access"],
      "token": "access"
    }
    "#);
    test.close().await;
}

async fn whether_the_service_is_ready(db: &TestDb) {
    let test = TestApp::start(db).await;
    snap!(test.get("/healthz", Anonymous).await.whole(), @r#"
    200
    content-type: application/json
    {
      "status": "ok"
    }
    "#);
    snap!(test.get("/readyz", Anonymous).await.whole(), @r#"
    200
    content-type: application/json
    {
      "aws_identity": "ok",
      "database": "ok",
      "issuer": {"ci":"ok","corp":"ok"},
      "issuers": "ok",
      "migrations": "ok",
      "status": "ok"
    }
    "#);
    test.close().await;
}

async fn what_is_no_request(db: &TestDb) {
    let test = TestApp::start(db).await;
    let credentials = |body: &str, media_type: &str| {
        test.request(Method::POST, "/v1/credentials", Alice).body(media_type, body.to_owned()).send()
    };
    let json = "application/json";
    let sized = |size: usize| format!("{{\"role\":\"prod/ReadOnly\",\"reason\":\"{}\"}}", "x".repeat(size));
    let deep = "[".repeat(1000);
    for (body, media_type, status, code) in [
        ("", json, 400, "invalid_request"),
        ("{", json, 400, "invalid_request"),
        ("{\"role\":\"a\",\"role\":\"b\"}", json, 400, "invalid_request"),
        ("\u{feff}{}", json, 400, "invalid_request"),
        (&deep, json, 400, "invalid_request"),
        ("null", json, 422, "invalid_request"),
        ("[]", json, 422, "invalid_request"),
        ("{}", "text/json", 415, "unsupported_media_type"),
        ("{}", "", 415, "unsupported_media_type"),
        ("role=prod", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (&sized(65_600), json, 413, "too_large"),
        (&sized(60_000), json, 422, "invalid_request"),
        ("{\"role\":\"prod/ReadOnly\"}", "Application/JSON; charset=utf-8", 200, ""),
    ] {
        let reply = credentials(body, media_type).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{body:.40} {media_type}: {reply:?}");
    }
    let explained =
        test.post("/v1/explain", Admin, &json!({"role": "prod/Deploy", "groups": ["user:alice@example.com"]})).await;
    assert_eq!(
        (explained.status, &explained.body()["errors"][0]["pointer"]),
        (422, &json!("/groups")),
        "{explained:?}"
    );
    let all_wrong = r#"{"role":"prod/*","duration_seconds":-1,"reason":"a\u0000b","session_policy":[],"region":"eu west",
        "grant_id":"7","Role":1,"a/b~c":null}"#;
    snap!(credentials(all_wrong, json).await.whole(), @r#"
    422
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "invalid_request",
      "detail": "The request has faults; errors names each.",
      "errors": [
        {
          "pointer": "/Role",
          "problem": "unknown key; known here: role, duration_seconds, reason, session_policy, region, grant_id"
        },
        {
          "pointer": "/a~1b~0c",
          "problem": "unknown key; known here: role, duration_seconds, reason, session_policy, region, grant_id"
        },
        {"pointer":"/duration_seconds","problem":"expected a whole number"},
        {"pointer":"/grant_id","problem":"expected an id: a UUID in lower case"},
        {"pointer":"/reason","problem":"expected text in Unicode NFC without control or format characters"},
        {"pointer":"/region","problem":"expected a region such as eu-west-1"},
        {"pointer":"/role","problem":"expected a role: <alias or account id>/<role name>, or a full role ARN"},
        {"pointer":"/session_policy","problem":"expected an IAM policy document: a JSON object with a Statement"}
      ],
      "request_id": "<id>",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:hallpass:problem:invalid_request"
    }
    "#);
    snap!(credentials(&sized(65_600), json).await.whole(), @r#"
    413
    content-type: application/problem+json
    cache-control: no-store
    {
      "code": "too_large",
      "detail": "The body is over the limit of 65536 bytes.",
      "request_id": "<id>",
      "status": 413,
      "title": "Payload Too Large",
      "type": "urn:hallpass:problem:too_large"
    }
    "#);

    for (method, path, code) in [
        (Method::GET, "/nowhere", "not_found"),
        (Method::GET, "/v1/", "not_found"),
        (Method::GET, "/v1/whoami/", "not_found"),
        (Method::GET, "/V1/whoami", "not_found"),
        (Method::GET, "//v1/whoami", "not_found"),
        (Method::POST, "/v1/whoami", "method_not_allowed"),
        (Method::GET, "/v1/credentials", "method_not_allowed"),
        (Method::PATCH, "/v1/allowlist", "method_not_allowed"),
        (Method::OPTIONS, "/v1/credentials", "method_not_allowed"),
        (Method::TRACE, "/healthz", "method_not_allowed"),
    ] {
        let reply = test.request(method.clone(), path, Admin).send().await;
        assert_eq!(reply.code(), code, "{method} {path}: {reply:?}");
        assert_eq!(reply.header("content-type"), "application/problem+json", "{method} {path}");
        assert_eq!(reply.header("access-control-allow-origin"), "", "no CORS");
    }
    assert_eq!(test.request(Method::DELETE, "/v1/allowlist", Admin).send().await.header("allow"), "GET,HEAD,PUT");
    for (query, pointer) in [
        ("/v1/roles?limit=0", "/limit"),
        ("/v1/roles?limit=1001", "/limit"),
        ("/v1/roles?limit=1&limit=1", "/limit"),
        ("/v1/roles?cursor=x", "/cursor"),
        ("/v1/grants?cursor=x", "/cursor"),
        ("/v1/blocks?offset=1", "/offset"),
        ("/v1/audit/events?kind=nonsense", "/kind"),
        ("/v1/audit/events?principal=bob", "/principal"),
        ("/v1/audit/events?account=prod", "/account"),
        ("/v1/audit/events?role=prod/ReadOnly", "/role"),
        ("/v1/audit/events?issuance=1", "/issuance"),
        ("/v1/audit/events?since=yesterday", "/since"),
        ("/v1/audit/events?cursor=1", "/cursor"),
        ("/v1/audit/events?after_seq=1", "/stream"),
        ("/v1/audit/events?stream=1", "/stream"),
        ("/v1/audit/events?q=x&since=2025-01-01T00:00:00Z", "/q"),
        ("/v1/audit/export?format=xml", "/format"),
        ("/v1/audit/export?limit=1", "/limit"),
    ] {
        let reply = test.get(query, Admin).await;
        assert_eq!((reply.status, &reply.body()["errors"][0]["pointer"]), (422, &json!(pointer)), "{query}: {reply:?}");
    }
    test.close().await;
}

async fn every_answer_has_the_requests_id(db: &TestDb) {
    let test = TestApp::start(db).await;
    for (path, who) in [("/healthz", Anonymous), ("/v1/whoami", Alice), ("/v1/whoami", Anonymous), ("/nowhere", Alice)]
    {
        for (sent, kept) in [
            ("my.request_id-1", true),
            (&*"x".repeat(64), true),
            (&*"x".repeat(65), false),
            ("a b", false),
            ("a,b", false),
            ("\u{e9}", false),
            ("", false),
        ] {
            let reply = test.request(Method::GET, path, who).header("x-request-id", sent).send().await;
            let id = reply.header("x-request-id");
            assert_eq!((id == sent, id.is_empty()), (kept, false), "{path} {sent}: {reply:?}");
            if reply.status >= 400 {
                assert_eq!(reply.member("request_id"), id, "{path}");
            }
        }
    }
    test.close().await;
}
