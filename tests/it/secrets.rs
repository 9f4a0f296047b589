//! A search of everything that comes out or stays behind for what must not: logs, answers, rows.

use crate::support::{
    app::{
        Persona::{self, Admin, Alice, Anonymous, Auditor, Mallory},
        Reply, TestApp, rows,
    },
    database::{TestDb, on_both},
    log,
    sts::Behaviour,
};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

on_both!(secrets_stay_where_they_belong);

const EXTERNAL_ID: &str = "hp-external-id-of-prod";

async fn secrets_stay_where_they_belong(db: &TestDb) {
    let test = TestApp::start(db).await;
    let mut tokens: Vec<String> = Persona::ALL[1..].iter().map(|who| test.token(*who)).collect();
    let api_token = test.post("/v1/tokens", Alice, &json!({"name": "laptop", "duration_seconds": 3600})).await;
    tokens.push(api_token.member("token"));
    let mut said = scenario(&test, &tokens).await;
    let file = test.get("/v1/allowlist", Auditor).await;
    assert!(file.text.contains(EXTERNAL_ID), "the search itself finds what is there");
    for path in
        ["/v1/audit/events?limit=1000", "/v1/audit/export", "/v1/audit/export?format=csv", "/v1/grants", "/v1/tokens"]
    {
        said.push(test.get(path, Auditor).await);
        said.push(test.get(path, Admin).await);
    }
    let minted = test.sts.minted();
    assert!(minted.len() >= 4, "{minted:?}");

    // Of a JWT the signature, of an API token all of it.
    let mut secrets: Vec<String> = tokens.iter().map(|token| token.rsplit('.').next().unwrap().to_owned()).collect();
    secrets.extend(minted.iter().flat_map(|minted| [minted.secret_access_key.clone(), minted.session_token.clone()]));
    secrets.extend(test.key_file().lines().filter(|line| !line.starts_with("---")).map(str::to_owned));
    secrets.extend(["broker-secret-access-key", "hunter2-in-basic", "cHJpdmF0ZSBub25zZW5zZQ"].map(str::to_owned));

    let mut texts: Vec<(String, String)> = said.iter().map(|reply| ("an answer".to_owned(), reply.bytes())).collect();
    let mut sql = db.connect().await;
    for table in tables(db).await {
        let content = rows(&mut sql, db, &table).await.join("\n");
        assert!(table != "audit_events" || content.contains("credentials.issued"), "{content}");
        // The one place where an external ID is kept, to be sent.
        let content = if ["accounts", "allowlist"].contains(&table.as_str()) {
            content.replace(EXTERNAL_ID, "")
        } else {
            content
        };
        texts.push((table, content));
    }
    test.close().await;
    let logged = log::text();
    assert!(logged.contains("a request failed"), "{logged:.2000}");
    texts.push(("the log".to_owned(), logged));
    secrets.push(EXTERNAL_ID.to_owned());
    for (place, text) in &texts {
        for secret in &secrets {
            let found = text.find(secret.as_str()).map(|at| text[..at].chars().rev().take(300).collect::<Vec<_>>());
            let found = found.map(|before| before.into_iter().rev().collect::<String>());
            assert_eq!(found, None, "{secret} in {place}");
        }
    }
}

/// Everything that has to do with a secret, well or badly; the answers that may not hold one.
async fn scenario(test: &TestApp, tokens: &[String]) -> Vec<Reply> {
    let mut said = Vec::new();
    let role = json!({"role": "prod/ReadOnly", "reason": "INC-42"});
    assert_eq!(test.credentials(Alice, &role).await.status, 200);
    let echo =
        "1 validation error detected: Value 'hp-external-id-of-prod' at 'externalId' failed to satisfy constraint";
    for behaviour in [
        Behaviour::ACCESS_DENIED,
        Behaviour::Error(400, "ValidationError", echo),
        Behaviour::Without("SessionToken"),
        Behaviour::Without("AssumedRoleUser"),
        Behaviour::Without("Expiration"),
        Behaviour::Cut,
    ] {
        test.sts.behave("ReadOnly", behaviour);
        said.push(test.credentials(Alice, &role).await);
    }
    test.sts.behave("ReadOnly", Behaviour::Normal);
    let expires = test.moment(Duration::from_hours(1));
    let grant = json!({"to": "user:mallory@example.com", "role": "prod/ReadOnly", "expires": expires, "reason": "x"});
    said.push(test.post("/v1/grants", Admin, &grant).await);
    let file = crate::support::app::ALLOWLIST;
    said.push(test.request(Method::PUT, "/v1/allowlist?dry_run=true", Admin).toml(file).send().await);
    said.push(test.apply(&format!("{file}\n# again")).await);
    let faulty = file.replace("hp-external-id-of-prod", "hp-external-id-of-prod with a space");
    said.push(test.request(Method::PUT, "/v1/allowlist?dry_run=true", Admin).toml(&faulty).send().await);
    said.push(
        test.request(Method::PUT, "/v1/allowlist?dry_run=true", Admin)
            .toml(&format!("{file} = hp-external-id-of-prod"))
            .send()
            .await,
    );

    // A token where it does not belong.
    for token in tokens {
        said.push(test.credentials(Mallory, &json!({"role": token, "reason": 1, "grant_id": token})).await);
        said.push(test.get(&format!("/v1/{token}"), Mallory).await);
        said.push(test.delete(&format!("/v1/grants/{token}"), Admin).await);
        said.push(test.get(&format!("/v1/audit/events?principal={token}"), Auditor).await);
        said.push(
            test.request(Method::GET, "/v1/whoami", Alice)
                .header("authorization", &format!("Bearer {token}"))
                .send()
                .await,
        );
        for authorization in [
            format!("Basic {token}"),
            format!("bearer {token} {token}"),
            format!("Bearer {token}x"),
            format!("Bearer x.{token}"),
            token.clone(),
        ] {
            let request = test.request(Method::GET, "/v1/whoami", Anonymous).header("authorization", &authorization);
            said.push(request.header("x-request-id", token).send().await);
        }
    }
    for authorization in
        ["Basic hunter2-in-basic", "Bearer cHJpdmF0ZSBub25zZW5zZQ", "Bearer cHJpdmF0ZSBub25zZW5zZQ.e30.AA"]
    {
        said.push(
            test.request(Method::GET, "/v1/whoami", Anonymous).header("authorization", authorization).send().await,
        );
    }
    // Past their time they are no less secret.
    test.clock.advance(Duration::from_hours(2));
    for token in tokens {
        let request =
            test.request(Method::GET, "/v1/whoami", Anonymous).header("authorization", &format!("Bearer {token}"));
        said.push(request.send().await);
    }
    assert_eq!(said.last().unwrap().code(), "token_expired");
    said.push(test.get("/readyz", Anonymous).await);
    said
}

async fn tables(db: &TestDb) -> Vec<String> {
    let query = if db.is_postgres() {
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
    } else {
        "SELECT name FROM sqlite_schema WHERE type = 'table'"
    };
    let tables = db.connect().await.texts(query).await;
    assert!(tables.len() >= 9, "{tables:?}");
    tables
}
