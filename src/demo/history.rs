//! What happened before the demo began: three weeks of people at work, lived through by the real service on a clock that is
//! set, so that there is something to look at.

use super::{
    ALLOWLIST, Demo, DemoError,
    people::{ALICE, BOB, CAROL, Person},
};
use crate::{
    access::NewGrant,
    allowlist::Ask,
    app::App,
    audit::{Actor, Auth, AuthMethod, Client, Purpose},
    broker::{IssueError, Request},
    clock::Clock,
    identity::Caller,
    model::{Conditions, Invalid, Name, Principal, Reason, RoleRef, Time, UserAgent},
};
use futures_util::future::try_join_all;
use std::{fmt::Display, net::IpAddr, sync::Arc, time::Duration};

/// How far back it goes.
const DAYS: u64 = 21;
const DAY: Duration = Duration::from_hours(24);
/// When people ask, in minutes of the day; those of one moment ask at once.
const MOMENTS: [u64; 4] = [8 * 60 + 52, 11 * 60 + 7, 14 * 60 + 31, 17 * 60 + 18];
/// What is left between the past and now.
const PAUSE: Duration = Duration::from_mins(20);
/// The day on which Bob grants something by hand, and for how long it is good.
const GRANTED_ON: u64 = DAYS - 4;
const GRANTED_FOR: Duration = Duration::from_hours(24 * 16);

/// Somebody who has left since: the provider knows them no more.
const DAVE: Person = Person { name: "dave", full_name: "Dave", group: "developers", role: "developer" };

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const CURL: &str = "curl/8.14.1";
const HALLPASS: &str = concat!("hallpass/", env!("CARGO_PKG_VERSION"));

const REASONS: [&str; 6] =
    ["INC-17", "Checkout is slow since the release", "SHOP-204: new payment page", "On call", "Month's end", "INC-31"];

/// What somebody does every so many days, at one of the moments.
struct Habit {
    who: Person,
    role: &'static str,
    console: bool,
    every: u64,
    moment: usize,
    says_why: bool,
    address: [u8; 4],
    agent: &'static str,
}

#[rustfmt::skip]
const HABITS: [Habit; 17] = [
    Habit { who: ALICE, role: "dev/Developer", console: false, every: 1, moment: 0, says_why: false, address: [10, 20, 4, 17], agent: HALLPASS },
    Habit { who: ALICE, role: "prod/ReadOnly", console: false, every: 2, moment: 1, says_why: true, address: [10, 20, 4, 17], agent: HALLPASS },
    Habit { who: ALICE, role: "prod/ReadOnly", console: true, every: 3, moment: 2, says_why: true, address: [10, 20, 4, 17], agent: FIREFOX },
    Habit { who: ALICE, role: "shop-test/Tester", console: true, every: 2, moment: 3, says_why: false, address: [10, 20, 4, 17], agent: FIREFOX },
    Habit { who: ALICE, role: "sandbox/Everything", console: false, every: 5, moment: 2, says_why: false, address: [10, 20, 4, 17], agent: CURL },
    Habit { who: ALICE, role: "prod/Deploy", console: false, every: 4, moment: 3, says_why: true, address: [10, 20, 4, 17], agent: HALLPASS },
    Habit { who: ALICE, role: "prod/ReadOnly", console: false, every: 6, moment: 1, says_why: false, address: [10, 20, 4, 17], agent: CURL },
    Habit { who: ALICE, role: "dev/Unfinished", console: false, every: 9, moment: 0, says_why: false, address: [10, 20, 4, 17], agent: HALLPASS },
    Habit { who: BOB, role: "prod/Deploy", console: false, every: 2, moment: 2, says_why: true, address: [10, 20, 4, 23], agent: HALLPASS },
    Habit { who: BOB, role: "prod/Administrator", console: true, every: 7, moment: 3, says_why: true, address: [10, 20, 4, 23], agent: FIREFOX },
    Habit { who: BOB, role: "dev/Developer", console: false, every: 3, moment: 1, says_why: true, address: [10, 20, 4, 23], agent: HALLPASS },
    Habit { who: BOB, role: "prod/ReadOnly", console: false, every: 8, moment: 3, says_why: true, address: [203, 0, 113, 7], agent: FIREFOX },
    Habit { who: CAROL, role: "logs/Reader", console: true, every: 2, moment: 0, says_why: false, address: [10, 20, 7, 5], agent: FIREFOX },
    Habit { who: CAROL, role: "billing/Viewer", console: true, every: 5, moment: 1, says_why: false, address: [10, 20, 7, 5], agent: FIREFOX },
    Habit { who: DAVE, role: "dev/Developer", console: false, every: 1, moment: 1, says_why: false, address: [10, 31, 2, 9], agent: HALLPASS },
    Habit { who: DAVE, role: "shop-test/Data", console: false, every: 3, moment: 2, says_why: true, address: [10, 31, 2, 9], agent: HALLPASS },
    Habit { who: DAVE, role: "prod/Administrator", console: true, every: 6, moment: 3, says_why: true, address: [10, 31, 2, 9], agent: FIREFOX },
];

/// The past of one demo, to be lived through.
pub struct History {
    now: Time,
    /// What the service, and everything around it, reads meanwhile.
    pub clock: Clock,
}

impl History {
    /// Begins three weeks before now.
    #[must_use]
    pub fn until(now: Time) -> Self {
        let into_the_day = now.as_micros().rem_euclid(86_400_000_000).unsigned_abs();
        let midnight = now.minus(Duration::from_micros(into_the_day));
        Self { now, clock: Clock::settable(midnight.minus(DAY * u32::try_from(DAYS).unwrap_or_default())) }
    }

    /// Applies the demo's allowlist as this operator, then lets everybody work.
    pub async fn play(self, app: &App, demo: &Demo, operator: &str) -> Result<(), DemoError> {
        let operator = operator_called(operator).map_err(failed)?;
        let planned = app.access.plan(ALLOWLIST.to_owned(), &operator.principal).await.map_err(failed)?;
        app.access.apply(planned, &operator, &[]).await.map_err(failed)?;
        let beginning = self.clock.now();
        for day in 0..=DAYS {
            for (number, minutes) in MOMENTS.into_iter().enumerate() {
                let moment =
                    beginning.plus(DAY * u32::try_from(day).unwrap_or_default() + Duration::from_mins(minutes));
                if moment.plus(PAUSE) > self.now {
                    return Ok(());
                }
                self.clock.advance(span(self.clock.now(), moment));
                if day == GRANTED_ON && number == 0 {
                    grant(app, demo, moment).await?;
                }
                if is_workday(moment) {
                    let now = HABITS.iter().enumerate().filter(|(_, habit)| habit.moment == number);
                    let asked = now.filter(|(i, habit)| (day + *i as u64).is_multiple_of(habit.every));
                    try_join_all(asked.map(|(i, habit)| habit.live(app, demo, day + i as u64))).await?;
                }
            }
        }
        Ok(())
    }
}

impl Habit {
    async fn live(&self, app: &App, demo: &Demo, day: u64) -> Result<(), DemoError> {
        let (caller, actor) = self.arrive(app, demo).await?;
        let why = REASONS[usize::try_from(day).unwrap_or_default() % REASONS.len()];
        let reason = self.says_why.then(|| Reason::parse(why)).transpose().map_err(failed)?;
        let purpose = if self.console { Purpose::Console } else { Purpose::Api };
        let ask = Ask { reason, ..Ask::default() };
        let request = Request { role: RoleRef::parse(self.role).map_err(failed)?, ask, purpose };
        let done = if self.console {
            let home = app.sts.sign_in().map_err(failed)?.destination(None).map_err(failed)?;
            app.broker.sign_in(caller, actor, request, home).await.map(|_| ())
        } else {
            app.broker.issue(caller, actor, request).await.map(|_| ())
        };
        match done {
            // What is refused is part of it.
            Ok(()) | Err(IssueError::Refused(_) | IssueError::Sts(_)) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    async fn arrive(&self, app: &App, demo: &Demo) -> Result<(Arc<Caller>, Actor), DemoError> {
        let caller = app.identity.caller_from_bearer(&demo.provider.token(&self.who)?).await.map_err(failed)?;
        let address = Some(IpAddr::from(self.address));
        let client = Client { ip: address, peer: address, user_agent: Some(UserAgent::cleaned(self.agent)) };
        let actor = Actor {
            principal: caller.principal().clone(),
            auth: caller.auth().clone(),
            client: Some(client),
            request_id: Some(app.clock.new_id().to_string()),
        };
        Ok((caller, actor))
    }
}

/// Bob lets Alice read the logs for a while.
async fn grant(app: &App, demo: &Demo, moment: Time) -> Result<(), DemoError> {
    let bob = HABITS.iter().find(|habit| habit.who == BOB).ok_or_else(|| failed("nobody is Bob"))?;
    let (_, actor) = bob.arrive(app, demo).await?;
    let new = NewGrant {
        principal: ALICE.principal(),
        role: RoleRef::parse("logs/Reader").map_err(failed)?,
        conditions: Conditions { expires: Some(moment.plus(GRANTED_FOR)), ..Conditions::default() },
        reason: Reason::parse("Looks into INC-31 together with security").map_err(failed)?,
    };
    app.access.add_grant(new, &actor, &[]).await.map_err(failed).map(|_| ())
}

/// As somebody at the database, which whoever starts a demo is.
fn operator_called(name: &str) -> Result<Actor, Invalid> {
    let name = Name::parse(name).or_else(|_| Name::parse("unknown"))?;
    let auth = Auth { method: AuthMethod::Local, issuer: None, subject: None, token_id: None };
    Ok(Actor { principal: Principal::Local(name), auth, client: None, request_id: None })
}

/// 1 January 1970 was a Thursday.
fn is_workday(moment: Time) -> bool {
    (moment.day() + 3).rem_euclid(7) < 5
}

fn span(earlier: Time, later: Time) -> Duration {
    Duration::from_micros(u64::try_from(later.as_micros() - earlier.as_micros()).unwrap_or_default())
}

fn failed(error: impl Display) -> DemoError {
    DemoError::History(error.to_string())
}
