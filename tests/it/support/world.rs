//! Everything a case needs at once: an issuer, an STS, a service on a database, and an allowlist.

use super::{
    database::TestDb,
    issuer::{Alg, Issuer},
    service::{Plan, Service},
    sts::FakeSts,
};

/// The trusting account of the tests.
pub(crate) const ACCOUNT: &str = "111122223333";

/// An allowlist that lets alice assume these roles of `prod`.
pub(crate) fn allowlist(account: &str, roles: &[&str]) -> String {
    let roles: Vec<_> = roles.iter().map(|role| format!("[[account.role]]\nname = \"{role}\"")).collect();
    let roles = roles.join("\n");
    format!(
        "[[account]]\nid = \"{account}\"\nalias = \"prod\"\n{roles}\n\
         [[grant]]\nto = [\"user:alice@example.com\"]\nroles = [\"prod/*\"]\n"
    )
}

/// A service that is ready, with the fakes behind it.
pub(crate) struct World {
    pub(crate) issuer: Issuer,
    pub(crate) sts: FakeSts,
    pub(crate) plan: Plan,
    pub(crate) service: Service,
    /// Tokens of the personas.
    pub(crate) alice: String,
    pub(crate) admin: String,
}

impl World {
    /// Alice may assume these roles of account [`ACCOUNT`], which is `prod`.
    pub(crate) async fn start(db: &TestDb, roles: &[&str]) -> Self {
        let sts = FakeSts::start().await;
        let issuer = Issuer::start(Alg::Es256).await;
        let (alice, admin) = (issuer.person("alice@example.com", &[]), issuer.person("admin@example.com", &[]));
        let plan = Plan::new(db, &issuer.url, &sts.url);
        let service = plan.start().await;
        service.api.apply(&allowlist(ACCOUNT, roles), &admin).await;
        Self { issuer, sts, plan, service, alice, admin }
    }

    /// Kills the service and starts it anew on the same database.
    pub(crate) async fn kill_and_start_again(&mut self) {
        self.service.process.kill();
        self.service = self.plan.start().await;
    }
}
