//! The portal's cookies. `__Host-`: set by this host alone, over TLS (or by a browser that trusts loopback), for all its paths.

use crate::identity::Attempt;
use axum::http::{HeaderMap, HeaderValue, header};

/// Lax and not Strict: who comes from the provider, or by a link in a chat, has their session with them. Nothing changes on a
/// GET.
const ATTRIBUTES: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";
const SESSION: &str = "__Host-hallpass";
/// One for each sign-in under way, so that several tabs can be about one.
const ATTEMPT: &str = "__Host-hallpass-signin-";
/// There for a moment after a sign-out, so that the front page does not sign in again at once.
const SIGNED_OUT: &str = "__Host-hallpass-signed-out";
/// Roles that somebody starred; see `access/favourites.rs`.
const FAVOURITES: &str = "__Host-hallpass-favourites";
/// As long as browsers keep any.
const FAVOURITES_LAST: u32 = 400 * 24 * 60 * 60;
/// More than these are given up when another sign-in begins.
const MOST_ATTEMPTS: usize = 4;

fn all(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// The session's token. Where a browser sends two, neither counts.
pub(super) fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let mut found = all(headers).filter(|(name, _)| *name == SESSION).map(|(_, value)| value);
    let first = found.next();
    if found.next().is_some() { None } else { first }
}

/// The sign-in under way that this state belongs to.
pub(super) fn attempt(headers: &HeaderMap, state: &str) -> Option<Attempt> {
    let name = attempt_name(state);
    all(headers).find(|(own, _)| *own == name).and_then(|(_, value)| Attempt::read(value))
}

pub(super) fn is_signed_out(headers: &HeaderMap) -> bool {
    all(headers).any(|(name, _)| name == SIGNED_OUT)
}

/// The end of it is enough of a name: whether it is the right state is looked at later.
fn attempt_name(state: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-_".contains(*c);
    format!("{ATTEMPT}{}", state.chars().filter(plain).take(12).collect::<String>())
}

pub(super) fn set_session(headers: &mut HeaderMap, token: &str) {
    set(headers, &format!("{SESSION}={token}{ATTRIBUTES}"));
}

pub(super) fn clear_session(headers: &mut HeaderMap) {
    set(headers, &format!("{SESSION}={ATTRIBUTES}; Max-Age=0"));
    set(headers, &format!("{SIGNED_OUT}=1{ATTRIBUTES}; Max-Age=60"));
}

pub(super) fn clear_signed_out(headers: &mut HeaderMap) {
    set(headers, &format!("{SIGNED_OUT}={ATTRIBUTES}; Max-Age=0"));
}

/// Keeps the new one, and gives the others up where there are many: cookies of other tabs must not fill a request's head.
pub(super) fn set_attempt(headers: &mut HeaderMap, asked: &HeaderMap, attempt: &Attempt) {
    let others: Vec<&str> = all(asked).map(|(name, _)| name).filter(|name| name.starts_with(ATTEMPT)).collect();
    if others.len() >= MOST_ATTEMPTS {
        for name in others {
            set(headers, &format!("{name}={ATTRIBUTES}; Max-Age=0"));
        }
    }
    let (name, seconds) = (attempt_name(&attempt.state()), Attempt::LASTS.as_secs());
    set(headers, &format!("{name}={}{ATTRIBUTES}; Max-Age={seconds}", attempt.text()));
}

pub(super) fn clear_attempt(headers: &mut HeaderMap, state: &str) {
    set(headers, &format!("{}={ATTRIBUTES}; Max-Age=0", attempt_name(state)));
}

pub(super) fn favourites(headers: &HeaderMap) -> Option<&str> {
    all(headers).find(|(name, _)| *name == FAVOURITES).map(|(_, value)| value)
}

pub(super) fn set_favourites(headers: &mut HeaderMap, favourites: &str) {
    set(headers, &format!("{FAVOURITES}={favourites}{ATTRIBUTES}; Max-Age={FAVOURITES_LAST}"));
}

fn set(headers: &mut HeaderMap, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        headers.append(header::SET_COOKIE, value);
    }
}
