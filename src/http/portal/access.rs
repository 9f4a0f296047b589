//! "My access": the roles that somebody may have now, found by typing, with what each needs.

pub(super) mod favourites;
pub(super) mod offered;

use super::{
    extract::{Halt, Posted, Visit},
    page::{Frame, show},
    sign_in::go,
};
use crate::{
    app::App,
    http::{api::me::parse_cursor, cookie, error::Error, extract::Params},
    input::Faults,
    model::{AccountId, BoundRole, Invalid, Principal, RoleName, Time},
    store::{Reach, Wanted},
};
use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use deserr::Deserr;
use favourites::Favourites;
use offered::Offered;

/// How many roles a page shows: few enough to be sent at once however many there are.
const ON_A_PAGE: u32 = 40;
/// A page that would be empty, because what is on it is blocked or for other addresses, is filled from the next ones, so many times.
const TRIES: u32 = 5;
/// How many roles stand under those that were last used,
const LAST_USED: u32 = 6;
/// out of how many of one's own events.
const EVENTS: u32 = 200;
/// What is typed beyond this is not looked for.
const LONGEST_SEARCH: usize = 200;
/// How much of a description a list shows.
const DESCRIPTION: usize = 140;

/// What the address asks for.
#[derive(Debug, Default, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(super) struct Asked {
    #[deserr(default)]
    q: String,
    #[deserr(default, try_from(Option<String>) = parse_cursor -> Invalid)]
    after: Option<(AccountId, RoleName)>,
}

impl Asked {
    /// What is looked for; no database takes what no name holds either.
    fn text(&self) -> String {
        let clean = self.q.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_SEARCH);
        clean.collect::<String>().trim().to_owned()
    }

    /// The page behind this one.
    fn next(&self, after: &(AccountId, RoleName)) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let text = self.text();
        if !text.is_empty() {
            query.append_pair("q", &text);
        }
        query.append_pair("after", &format!("{}/{}", after.0, after.1));
        format!("/access?{}", query.finish())
    }
}

#[derive(Template)]
#[template(path = "access.html", config = "src/http/portal/askama.toml")]
struct Access {
    frame: Frame,
    csrf: String,
    /// The page's own address, which its forms post to.
    here: String,
    text: String,
    groups: Vec<Group>,
    next: Option<String>,
    /// Not the first page.
    further: bool,
    names: Names,
}

/// Roles under one heading: an account, or what they have in common.
struct Group {
    title: String,
    /// What else the account is called.
    about: String,
    /// Each role says its account.
    mixed: bool,
    lines: Vec<Line>,
}

/// A role in a list.
struct Line {
    offered: Offered,
    favourite: bool,
    last_used: Option<Time>,
}

/// What a grant may name the visitor by.
pub(super) struct Names {
    pub(super) principal: Principal,
    pub(super) groups: Vec<Principal>,
    /// Whom to ask, word by word.
    pub(super) help: Vec<Word>,
}

/// A word of a sentence, and where it leads where it is an address.
pub(super) struct Word {
    pub(super) text: String,
    pub(super) to: Option<String>,
}

impl Names {
    pub(super) fn of(app: &App, visit: &Visit) -> Self {
        let caller = &visit.who.caller;
        let help = app.help.iter().flat_map(|text| text.split(' ')).map(Word::of);
        Self { principal: caller.principal().clone(), groups: caller.groups().to_vec(), help: help.collect() }
    }
}

impl Word {
    fn of(text: &str) -> Self {
        let is_address = ["https://", "mailto:"].iter().any(|scheme| text.starts_with(scheme));
        let to = is_address.then(|| text.trim_end_matches(['.', ',', ';', ':', '!', '?', ')']).to_owned());
        Self { text: text.to_owned(), to }
    }
}

/// The list.
pub(super) async fn page(
    State(app): State<App>,
    headers: HeaderMap,
    visit: Visit,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let favourites = Favourites::read(cookie::favourites(&headers));
    let text = asked.text();
    let first = text.is_empty() && asked.after.is_none();
    let mut groups = if first { find_named(&app, &visit, &favourites).await? } else { Vec::new() };
    let (found, next) = find_page(&app, &visit, &asked).await?;
    groups.extend(by_account(found, &favourites));
    Ok(show(&Access {
        frame: Frame::of(&app, &visit, "My access"),
        csrf: visit.session.csrf_token(),
        here: visit.at().to_owned(),
        groups,
        next: next.map(|after| asked.next(&after)),
        further: asked.after.is_some(),
        names: Names::of(&app, &visit),
        text,
    }))
}

/// Favourites, then what was last used and is none of them.
async fn find_named(app: &App, visit: &Visit, favourites: &Favourites) -> Result<Vec<Group>, Error> {
    let principal = visit.who.caller.principal();
    let used = app.store.read().await?.list_last_used(principal, EVENTS, LAST_USED).await?;
    let used = used.into_iter().map(|(arn, at)| (BoundRole { account: arn.account, role: arn.name }, at));
    let used: Vec<(BoundRole, Time)> = used.collect();
    let places = favourites.roles().iter().chain(used.iter().map(|(role, _)| role));
    let among: Vec<_> = places.map(|role| (role.account.clone(), role.role.clone())).collect();
    if among.is_empty() {
        return Ok(Vec::new());
    }
    let limit = u32::try_from(among.len()).unwrap_or(u32::MAX);
    let (found, _) = find(app, visit, Wanted { among: Some(&among), ..Wanted::default() }, limit).await?;
    let line = |role: &BoundRole, last_used| {
        let offered = found.iter().find(|offered| offered.is(role))?.clone();
        Some(Line { favourite: favourites.has(role), last_used, offered })
    };
    let at = |role: &BoundRole| used.iter().find(|(other, _)| other == role).map(|(_, at)| *at);
    let kept = favourites.roles().iter().filter_map(|role| line(role, at(role))).collect();
    let last = used.iter().filter(|(role, _)| !favourites.has(role));
    let last = last.filter_map(|(role, at)| line(role, Some(*at))).collect();
    let group = |title: &str, lines| Group { title: title.to_owned(), about: String::new(), mixed: true, lines };
    let groups = [group("Favourites", kept), group("Last used", last)];
    Ok(groups.into_iter().filter(|group| !group.lines.is_empty()).collect())
}

/// A page with something on it, where there is anything, and where the next one begins.
async fn find_page(
    app: &App,
    visit: &Visit,
    asked: &Asked,
) -> Result<(Vec<Offered>, Option<(AccountId, RoleName)>), Error> {
    let text = asked.text();
    let mut after = asked.after.clone();
    for _ in 0..TRIES {
        let wanted = Wanted { after: after.as_ref(), text: Some(&text), among: None };
        let (found, next) = find(app, visit, wanted, ON_A_PAGE).await?;
        if !found.is_empty() || next.is_none() {
            return Ok((found, next));
        }
        after = next;
    }
    Ok((Vec::new(), after))
}

async fn find(
    app: &App,
    visit: &Visit,
    wanted: Wanted<'_>,
    limit: u32,
) -> Result<(Vec<Offered>, Option<(AccountId, RoleName)>), Error> {
    let asker = visit.who.asker();
    let principals: Vec<&Principal> = asker.principals().collect();
    let now = app.clock.now();
    let Reach { roles, next } = app.store.read().await?.list_reach(&principals, now, wanted, limit).await?;
    let chained = app.sts.identity().is_some_and(|identity| identity.chained);
    let offered = roles.iter().filter_map(|candidates| Offered::of(candidates, &asker, chained, now)).collect();
    Ok((offered, next))
}

/// They come in the order of their accounts.
fn by_account(found: Vec<Offered>, favourites: &Favourites) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for offered in found {
        let account = &offered.account;
        if groups.last().and_then(|group| group.lines.first()).is_none_or(|line| line.offered.account.id != account.id)
        {
            let name = account.name.clone().unwrap_or_default();
            let id = account.alias.as_ref().map(|_| account.id.to_string()).unwrap_or_default();
            let about = [name, id].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ");
            groups.push(Group { title: account.label().to_owned(), about, mixed: false, lines: Vec::new() });
        }
        let favourite = favourites.has(&offered.place());
        if let Some(group) = groups.last_mut() {
            group.lines.push(Line { offered, favourite, last_used: None });
        }
    }
    groups
}

/// A star that was pressed.
#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(super) struct Star {
    #[deserr(default)]
    keep: Option<BoundRole>,
    #[deserr(default)]
    drop: Option<BoundRole>,
}

/// Keeps a favourite, or drops it.
pub(super) async fn mark(headers: HeaderMap, form: Posted<Star>) -> Result<Response, Halt> {
    let mut favourites = Favourites::read(cookie::favourites(&headers));
    if let Some(role) = form.input.keep {
        favourites.keep(role);
    }
    if let Some(role) = form.input.drop {
        favourites.drop(&role);
    }
    let mut response = go(form.visit.at());
    cookie::set_favourites(response.headers_mut(), &favourites.text());
    Ok(response)
}
