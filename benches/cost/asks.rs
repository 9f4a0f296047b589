//! Who asks for what.

use crate::{
    http::{Requests, get, post},
    issuer::Issuer,
};
use serde_json::json;
use std::sync::Arc;

pub(crate) const ACCOUNTS: usize = 20;
pub(crate) const ROLES: usize = 10;
pub(crate) const CALLERS: usize = 500;
/// How many roles each caller uses.
const ROLES_OF_A_CALLER: usize = 4;
/// Every caller with each of their roles once: after that the caches hold what they would after an hour of work.
pub(crate) const WARM_UP: usize = CALLERS * ROLES_OF_A_CALLER;

pub(crate) const EXTERNAL_ID: &str = "hp-7f3c5a91";

pub(crate) fn account(number: usize) -> String {
    format!("{:012}", 111_122_223_300 + number)
}

/// Twenty accounts of ten roles each.
pub(crate) fn accounts() -> String {
    let role = |r| format!("[[account.role]]\nname = \"role-{r}\"\nmax_duration = \"4h\"\n");
    let roles: String = (0..ROLES).map(role).collect();
    let accounts = (0..ACCOUNTS).map(|a| {
        format!("[[account]]\nid = \"{}\"\nalias = \"a{a}\"\nexternal_id = \"{EXTERNAL_ID}\"\n{roles}", account(a))
    });
    accounts.collect()
}

/// Each account's roles are granted to a group of its own.
pub(crate) fn allowlist() -> String {
    let grant = |a| format!("[[grant]]\nto = [\"group:team-{a}\"]\nroles = [\"a{a}/*\"]\nmax_duration = \"2h\"\n");
    accounts() + &(0..ACCOUNTS).map(grant).collect::<String>()
}

/// Callers who come again, each with a few roles.
pub(crate) fn usual(issuer: &Issuer) -> Arc<Requests> {
    let tokens: Vec<_> = (0..CALLERS).map(|c| token(issuer, &format!("caller-{c}"), c)).collect();
    Arc::new((0..WARM_UP).map(|n| request(&tokens[n % CALLERS], n % CALLERS, n / CALLERS)).collect())
}

/// The same callers with the same roles, by the protocol that SDKs speak.
pub(crate) fn container(issuer: &Issuer) -> Arc<Requests> {
    let tokens: Vec<_> = (0..CALLERS).map(|c| token(issuer, &format!("caller-{c}"), c)).collect();
    let request = |n| {
        let (caller, role) = (n % CALLERS, n / CALLERS);
        get(&format!("/v1/container/{}", role_of(caller, role)), &tokens[caller])
    };
    Arc::new((0..WARM_UP).map(request).collect())
}

/// Callers whom no cache knows.
pub(crate) fn never_seen(issuer: &Issuer, name: &str, callers: usize) -> Arc<Requests> {
    Arc::new((0..callers).map(|c| request(&token(issuer, &format!("{name}-{c}"), c), c, c)).collect())
}

fn token(issuer: &Issuer, name: &str, caller: usize) -> String {
    let teams: Vec<_> = (0..ROLES_OF_A_CALLER).map(|t| format!("team-{}", (caller + t) % ACCOUNTS)).collect();
    issuer.person(&format!("{name}@example.com"), &teams.iter().map(String::as_str).collect::<Vec<_>>())
}

fn request(token: &str, caller: usize, role: usize) -> hyper::Request<http_body_util::Full<hyper::body::Bytes>> {
    let body = json!({"role": role_of(caller, role), "reason": "INC-4711: the shop is down"});
    post("/v1/credentials", token, body.to_string())
}

fn role_of(caller: usize, role: usize) -> String {
    let account = (caller + role % ROLES_OF_A_CALLER) % ACCOUNTS;
    format!("a{account}/role-{}", (caller + role) % ROLES)
}
