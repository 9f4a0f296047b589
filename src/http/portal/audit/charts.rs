//! The last 30 days at a glance. Every figure stands in a table too.

use super::{
    Reader,
    filter::{address, only},
};
use crate::{
    app::App,
    audit::Kind,
    evidence::Reading,
    http::{
        extract::Params,
        portal::{
            aliases::Aliases,
            chart::{self, Bar, Tone},
            extract::Halt,
            page::{Frame, show},
        },
    },
    input::Faults,
    model::{Grant, GrantId, GrantTarget, RoleArn, Time},
    store::{DayCount, Use, Uses},
};
use askama::Template;
use axum::{extract::State, response::Response};
use deserr::Deserr;
use serde_json::json;
use std::{collections::HashMap, time::Duration};

const DAYS: i64 = 30;
const DAY: Duration = Duration::from_hours(24);
/// How many of the busiest are shown.
const BUSIEST: usize = 10;
/// How many grants a page shows.
const GRANTS: u32 = 25;

#[derive(Debug, Deserr)]
#[deserr(error = Faults, deny_unknown_fields)]
pub(in crate::http::portal) struct Asked {
    #[deserr(default)]
    after: Option<GrantId>,
}

#[derive(Template)]
#[template(path = "audit_charts.html", config = "src/http/portal/askama.toml")]
struct Charts {
    frame: Frame,
    since: Time,
    /// Uses are told of issuances after this moment only.
    cut_at: Option<Time>,
    days: Figure,
    busiest: [Figure; 2],
    grants: Figure,
    more_grants: Option<String>,
}

/// A chart and its table.
struct Figure {
    title: &'static str,
    /// What there is to see, for those who do not see it.
    summary: String,
    /// Empty where there is nothing to draw.
    svg: String,
    head: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

#[derive(Default)]
struct Cell {
    text: String,
    to: Option<String>,
}

impl Cell {
    fn plain(text: &impl ToString) -> Self {
        Self { text: text.to_string(), to: None }
    }

    fn link(text: &impl ToString, to: String) -> Self {
        Self { text: text.to_string(), to: Some(to) }
    }
}

/// The page.
pub(in crate::http::portal) async fn page(
    State(app): State<App>,
    Reader(visit): Reader,
    Params(asked): Params<Asked>,
) -> Result<Response, Halt> {
    let detail = json!({"read": "charts"}).as_object().cloned().unwrap_or_default();
    app.evidence.note(Reading { kind: Kind::AuditRead, detail }, &visit.who.actor).await?;
    let now = app.clock.now();
    let first = now.day() - DAYS + 1;
    let since = Time::from_seconds(first * 86400).unwrap_or(now);
    let counts = app.evidence.count_days(since).await?;
    let uses = app.evidence.tally_uses(since).await?;
    let (grants, more_grants) = list_grants(&app, asked.after.as_ref()).await?;
    let aliases = aliases(&app, &uses, &grants).await?;
    Ok(show(&Charts {
        frame: Frame { title: "Audit charts", ..Frame::of(&app, &visit, "Audit") },
        since,
        cut_at: uses.cut_at,
        days: days(first, &counts),
        busiest: [
            busiest("Busiest roles", &uses.uses, &aliases, |used| used.role_arn.as_deref(), "role"),
            busiest("Busiest people", &uses.uses, &aliases, |used| used.principal.as_deref(), "principal"),
        ],
        grants: last_uses(&grants, &uses, &aliases, now),
        more_grants,
    }))
}

/// A page of all the grants, and where the next one is.
async fn list_grants(app: &App, after: Option<&GrantId>) -> Result<(Vec<Grant>, Option<String>), Halt> {
    let mut grants = app.evidence.list_grants(after, GRANTS + 1).await?;
    let more = grants.len() > GRANTS as usize;
    grants.truncate(GRANTS as usize);
    let last = grants.last().filter(|_| more).map(|last| last.id.as_str());
    let next = last.map(|last| address("/audit/charts", [("after", last)]));
    Ok((grants, next))
}

async fn aliases(app: &App, uses: &Uses, grants: &[Grant]) -> Result<Aliases, Halt> {
    let roles = uses.uses.iter().filter_map(|used| RoleArn::parse(used.role_arn.as_deref()?).ok());
    let accounts = roles.map(|role| role.account).chain(grants.iter().map(|grant| grant.target.account().clone()));
    Aliases::find(app, accounts).await
}

fn days(first: i64, counts: &[DayCount]) -> Figure {
    let kinds = [(Kind::CredentialsIssued, Tone::Good), (Kind::CredentialsDenied, Tone::Bad)];
    let found = |day, kind: Kind| counts.iter().find(|count| count.day == day && count.kind == kind.as_str());
    let figure = |day, kind| found(day, kind).map_or(0, |count| count.events);
    let begin = |day: i64| Time::from_seconds(day * 86400).map(|time| time.to_string()).unwrap_or_default();
    let (mut columns, mut rows) = (Vec::new(), Vec::new());
    for day in first..first + DAYS {
        let (since, until) = (begin(day), begin(day + 1));
        let date = since.get(..10).unwrap_or_default().to_owned();
        columns
            .push((date.get(5..).unwrap_or_default().to_owned(), kinds.map(|(kind, tone)| (figure(day, kind), tone))));
        let of = |kind: Kind| [("kind", kind.as_str()), ("since", &*since), ("until", &*until)];
        let cells = kinds.map(|(kind, _)| Cell::link(&figure(day, kind), address("/audit", of(kind))));
        rows.push([Cell::plain(&date)].into_iter().chain(cells).collect());
    }
    rows.reverse();
    let total = |kind: Kind| counts.iter().filter(|c| c.kind == kind.as_str()).map(|c| c.events).sum::<i64>();
    let [issued, denied] = kinds.map(|(kind, _)| total(kind));
    Figure {
        title: "Issuances and refusals a day",
        summary: format!("{issued} issuances and {denied} refusals in {DAYS} days"),
        svg: if issued + denied == 0 { String::new() } else { chart::columns(&columns) },
        head: &["Day (UTC)", "Issuances", "Refusals"],
        rows,
    }
}

fn busiest(title: &'static str, uses: &[Use], aliases: &Aliases, by: fn(&Use) -> Option<&str>, filter: &str) -> Figure {
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for used in uses {
        if let Some(name) = by(used) {
            *counts.entry(name).or_default() += used.issuances;
        }
    }
    let mut counts: Vec<(&str, i64)> = counts.into_iter().collect();
    counts.sort_by(|(a, most), (b, more)| more.cmp(most).then(a.cmp(b)));
    counts.truncate(BUSIEST);
    let bars: Vec<Bar> = counts
        .iter()
        .map(|&(name, count)| Bar {
            name: short(name, aliases),
            length: length(count),
            said: count.to_string(),
            tone: Tone::Plain,
        })
        .collect();
    let summary =
        counts.first().map(|(name, count)| format!("first is {}, with {count} issuances", short(name, aliases)));
    let row = |(name, count): &(&str, i64)| vec![Cell::link(name, only(filter, name)), Cell::plain(count)];
    Figure {
        title,
        summary: summary.unwrap_or_else(|| "nothing was issued".to_owned()),
        svg: if bars.is_empty() { String::new() } else { chart::bars(chart::HALF, &bars) },
        head: &["Which", "Issuances"],
        rows: counts.iter().map(row).collect(),
    }
}

/// As people call it: a role by account and name, a person without the kind.
fn short(name: &str, aliases: &Aliases) -> String {
    match RoleArn::parse(name) {
        Ok(role) => format!("{}/{}", aliases.of(&role.account), role.name),
        Err(_) => name.strip_prefix("user:").unwrap_or(name).to_owned(),
    }
}

fn last_uses(grants: &[Grant], uses: &Uses, aliases: &Aliases, now: Time) -> Figure {
    let mut last: HashMap<&str, i64> = HashMap::new();
    for used in &uses.uses {
        if let Some(grant) = &used.grant_id {
            let at = last.entry(grant).or_insert(used.last_at);
            *at = used.last_at.max(*at);
        }
    }
    let (mut bars, mut rows, mut unused) = (Vec::new(), Vec::new(), 0);
    for grant in grants {
        let at = last.get(grant.id.as_str()).and_then(|micros| Time::from_micros(*micros));
        let role = target(&grant.target, aliases);
        let days = at.map_or(length(DAYS), |at| length(at.seconds_until(now).max(0)) / DAY.as_secs_f64());
        let said = at.map_or_else(|| "none known".to_owned(), |at| ago(at.seconds_until(now)));
        unused += usize::from(at.is_none());
        let tone = if at.is_some() { Tone::Plain } else { Tone::Bad };
        bars.push(Bar {
            name: format!("{} · {role}", short(&grant.principal.to_string(), aliases)),
            length: days,
            said: said.clone(),
            tone,
        });
        let exact = at.map(|at| super::second(&at.to_string())).unwrap_or_default();
        rows.push(vec![
            Cell::plain(&grant.principal),
            Cell::plain(&role),
            Cell::link(&grant.id, only("q", &grant.id)),
            Cell::plain(&said),
            Cell::plain(&exact),
        ]);
    }
    Figure {
        title: "Time since last use of each grant",
        summary: format!("{unused} of {} grants were not used that is known of", grants.len()),
        svg: if bars.is_empty() { String::new() } else { chart::bars(chart::WIDE, &bars) },
        head: &["To", "Role", "Grant", "Last use", "At (UTC)"],
        rows,
    }
}

fn target(target: &GrantTarget, aliases: &Aliases) -> String {
    match target {
        GrantTarget::Role(account, role) => format!("{}/{role}", aliases.of(account)),
        GrantTarget::Account(account) => format!("{}/*", aliases.of(account)),
    }
}

fn ago(seconds: i64) -> String {
    match seconds {
        ..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86400),
    }
}

#[expect(clippy::cast_precision_loss, reason = "drawn in a few hundred pixels")]
fn length(count: i64) -> f64 {
    count as f64
}
