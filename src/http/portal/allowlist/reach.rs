//! Who can reach what: the roles of one person, and the people of one role.

use super::{ON_A_PAGE, address, blocks, frame, given, grants, groups, principal};
use crate::{
    access::Reaching,
    allowlist::Candidates,
    app::App,
    audit::Kind,
    evidence::Reading,
    http::{
        api::me::parse_cursor,
        error::Error,
        extract::Params,
        portal::{
            aliases::Aliases,
            audit::Reader,
            extract::{Halt, Visit},
            page::{Frame, show},
        },
    },
    input::Faults,
    model::{AccountId, Grant, GrantId, Invalid, Principal, RoleName, RoleRef},
    store::{GrantPlace, Wanted},
};
use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use deserr::Deserr;
use serde_json::json;

/// What the address asks for: a person with their groups, or a role.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http::portal) struct Asked {
    #[deserr(default)]
    person: String,
    #[deserr(default)]
    groups: String,
    #[deserr(default)]
    role: String,
    /// Where the page before ended in the roles of a person,
    #[deserr(default, try_from(Option<String>) = parse_cursor -> Invalid)]
    after: Option<(AccountId, RoleName)>,
    /// and in the grants of a role.
    #[deserr(default)]
    past: String,
}

#[derive(Template)]
#[template(path = "allowlist_reach.html", config = "src/http/portal/askama.toml")]
struct Page {
    frame: Frame,
    person: String,
    groups: String,
    role: String,
    faults: Faults,
    /// The person's roles.
    roles: Option<Vec<Held>>,
    /// Those who can have the role.
    holders: Option<Holders>,
    next: Option<String>,
    further: bool,
}

/// A role that somebody has.
struct Held {
    name: String,
    grants: Vec<grants::Line>,
    /// In force.
    blocks: Vec<blocks::Line>,
}

impl Held {
    fn of(app: &App, candidates: Candidates) -> Option<Self> {
        let (account, role) = candidates.role?;
        let aliases = Aliases::one(&account);
        let lines = candidates.grants.into_iter().map(|grant| grants::Line::of(app, grant, &aliases));
        let lines = lines.filter(|line| !line.over);
        let blocks = candidates.blocks.into_iter().map(|block| blocks::Line::of(app, block, &aliases));
        let blocks = blocks.filter(|line| !line.over);
        let name = format!("{}/{}", account.label(), role.name);
        Some(Self { name, grants: lines.collect(), blocks: blocks.collect() })
    }

    /// Why they have it, or have not.
    fn explain(&self, person: &str, groups: &str) -> String {
        address("/allowlist/explain", &[("person", person), ("groups", groups), ("role", &self.name)])
    }

    fn reach(&self) -> String {
        address("/allowlist/reach", &[("role", &self.name)])
    }
}

/// Who can have a role.
struct Holders {
    name: String,
    description: String,
    lines: Vec<grants::Line>,
    /// On the role itself, in force.
    blocks: Vec<blocks::Line>,
}

/// What was asked for, and the answer.
pub(in crate::http::portal) async fn page(
    State(app): State<App>,
    Reader(visit): Reader,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let mut page = Page {
        frame: frame(&app, &visit, "Reach"),
        further: asked.after.is_some() || !asked.past.is_empty(),
        person: asked.person,
        groups: asked.groups,
        role: asked.role,
        faults: Faults::default(),
        roles: None,
        holders: None,
        next: None,
    };
    if given(&page.role).is_some() {
        page.find_holders(&app, &asked.past).await?;
    } else if given(&page.person).or(given(&page.groups)).is_some() {
        page.find_roles(&app, &visit, asked.after.as_ref()).await?;
    }
    let status = if page.faults.0.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, show(&page)).into_response())
}

impl Page {
    async fn find_roles(
        &mut self,
        app: &App,
        visit: &Visit,
        after: Option<&(AccountId, RoleName)>,
    ) -> Result<(), Error> {
        let Some(principals) = self.principals() else { return Ok(()) };
        let detail = [("read".to_owned(), json!("reach")), ("principals".to_owned(), json!(principals))];
        let reading = Reading { kind: Kind::AuditRead, detail: detail.into_iter().collect() };
        app.evidence.note(reading, &visit.who.actor).await?;
        let principals: Vec<&Principal> = principals.iter().collect();
        let wanted = Wanted { after, ..Wanted::default() };
        let found = app.store.read().await?.list_reach(&principals, app.clock.now(), wanted, ON_A_PAGE).await?;
        let fields = [("person", self.person.as_str()), ("groups", &self.groups)];
        self.next = found.next.map(|(account, role)| {
            let after = format!("{account}/{role}");
            address("/allowlist/reach", &[fields[0], fields[1], ("after", &after)])
        });
        self.roles = Some(found.roles.into_iter().filter_map(|found| Held::of(app, found)).collect());
        Ok(())
    }

    /// The person and their groups, or their faults.
    fn principals(&mut self) -> Option<Vec<Principal>> {
        let person = given(&self.person).map(|text| ("/person", principal(text)));
        let groups = groups(&self.groups).into_iter().map(|text| ("/groups", text));
        let mut principals = Vec::new();
        for (pointer, text) in person.into_iter().chain(groups) {
            match Principal::parse(&text) {
                Ok(principal) => principals.push(principal),
                Err(expected) => self.faults.push(pointer, format!("expected {expected}")),
            }
        }
        self.faults.0.is_empty().then_some(principals)
    }

    async fn find_holders(&mut self, app: &App, past: &str) -> Result<(), Error> {
        let role = match RoleRef::parse(self.role.trim()) {
            Ok(role) => role,
            Err(expected) => {
                self.faults.push("/role", format!("expected {expected}"));
                return Ok(());
            }
        };
        let found = app.access.list_reaching(&role, read_place(past).as_ref(), ON_A_PAGE + 1).await;
        let Reaching { account, role, mut grants, blocks } = match found {
            Err(crate::access::AccessError::NoSuchRole) => {
                self.faults.push("/role", "expected a role that the allowlist lists");
                return Ok(());
            }
            found => found?,
        };
        let more = grants.len() > ON_A_PAGE as usize;
        grants.truncate(ON_A_PAGE as usize);
        self.next = grants.last().filter(|_| more).map(|last| {
            let past = format!("{}_{}", last.id, last.principal);
            address("/allowlist/reach", &[("role", &self.role), ("past", &past)])
        });
        let aliases = Aliases::one(&account);
        let blocks = blocks.into_iter().map(|block| blocks::Line::of(app, block, &aliases));
        let blocks = blocks.filter(|line| !line.over);
        let (of_role, of_people): (Vec<_>, Vec<_>) = blocks.partition(blocks::Line::is_of_role);
        let line = |grant: Grant| {
            let blocked = of_people.iter().any(|line| line.what == grant.principal.to_string());
            grants::Line { blocked, ..grants::Line::of(app, grant, &aliases) }
        };
        self.holders = Some(Holders {
            name: format!("{}/{}", account.label(), role.name),
            description: role.description.unwrap_or_default(),
            lines: grants.into_iter().map(line).collect(),
            blocks: of_role,
        });
        Ok(())
    }

    fn fault(&self, pointer: &str) -> Option<&str> {
        self.faults.0.iter().find(|fault| fault.pointer == pointer).map(|fault| fault.problem.as_str())
    }
}

/// `<grant id>_<principal>`: where the page before ended; anything else is the beginning.
fn read_place(text: &str) -> Option<GrantPlace> {
    let (id, principal) = text.split_once('_')?;
    Some((Principal::parse(principal).ok()?, GrantId::parse(id).ok()?))
}
