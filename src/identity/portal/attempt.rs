use crate::{
    model::{Time, sha256},
    outward::Url,
    secret::SessionToken,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::time::Duration;

/// A sign-in takes no longer.
const LASTS: Duration = Duration::from_mins(10);

/// An address within the portal: what may stand behind its origin, and nothing that a browser reads as another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPath(String);

impl LocalPath {
    const MAX: usize = 1024;

    /// A path with or without a query. No `//host`, no backslash (which browsers read as a slash), no control character or
    /// space (which they leave out), and none of the addresses that sign in and out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#');
        let local = text.starts_with('/') && !text.starts_with("//") && text.len() <= Self::MAX;
        let base = Url::parse("https://hallpass.invalid").ok()?;
        let joined = base.join(text).ok().filter(|url| plain && local && url.origin() == base.origin())?;
        let leads_away = ["/login", "/logout"].iter().any(|own| joined.path().starts_with(own));
        (!leads_away && !joined.path().starts_with("//")).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One sign-in under way, which its browser keeps. State, nonce and the PKCE verifier are all made of one secret that never
/// leaves the browser but to Hallpass, so nothing is kept here and nobody from outside can fill a table.
#[derive(Clone, Debug)]
pub struct Attempt {
    secret: SessionToken,
    /// When it was begun, what for and where to: part of what the state is made of.
    rest: String,
    begun: Time,
    fresh: bool,
    to: Option<LocalPath>,
}

impl Attempt {
    /// How long a browser keeps it.
    pub const LASTS: Duration = LASTS;

    /// A new one. `fresh`: the provider is to ask again who it is. `to`: where to go on afterwards.
    #[must_use]
    pub fn begin(fresh: bool, to: Option<LocalPath>, now: Time) -> Self {
        let seconds = now.as_micros() / 1_000_000;
        let path = URL_SAFE_NO_PAD.encode(to.as_ref().map_or("", LocalPath::as_str));
        let rest = format!("{seconds}.{}.{path}", u8::from(fresh));
        let begun = Time::from_seconds(seconds).unwrap_or(now);
        Self { secret: SessionToken::generate(), rest, begun, fresh, to }
    }

    /// As the browser brings it back.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (secret, rest) = text.split_once('.')?;
        let mut parts = rest.split('.');
        let (seconds, fresh, path) = (parts.next()?, parts.next()?, parts.next()?);
        let begun = Time::from_seconds(seconds.parse().ok()?)?;
        let path = String::from_utf8(URL_SAFE_NO_PAD.decode(path).ok()?).ok()?;
        let (secret, rest) = (SessionToken::parse(secret)?, rest.to_owned());
        Some(Self { secret, rest, begun, fresh: fresh == "1", to: LocalPath::parse(&path) })
    }

    /// For the browser to keep.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}.{}", self.secret.expose(), self.rest)
    }

    /// What the provider is given, and gives back.
    #[must_use]
    pub fn state(&self) -> String {
        self.secret.derive(&format!("state {}", self.rest))
    }

    /// Where to go on afterwards.
    #[must_use]
    pub fn to(&self) -> Option<&LocalPath> {
        self.to.as_ref()
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    pub(super) fn nonce(&self) -> String {
        self.secret.derive(&format!("nonce {}", self.rest))
    }

    /// 43 characters of those that RFC 7636, §4.1, allows.
    pub(super) fn verifier(&self) -> String {
        self.secret.derive(&format!("pkce {}", self.rest))
    }

    /// Marks the session that comes of it, so that no second one does.
    pub(super) fn mark(&self) -> [u8; 32] {
        sha256(&[self.text().as_bytes()])
    }

    /// Whether this is the answer to it, and in time.
    pub(super) fn is_answered_by(&self, state: &str, now: Time) -> bool {
        let in_time = self.begun <= now && now < self.begun.plus(LASTS);
        in_time && self.secret.is_derived(&format!("state {}", self.rest), state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_within_are_taken() {
        for text in ["/", "/access", "/audit?kind=credentials.issued&q=%2F%2Fx", "/a/../b", "/x?to=https://evil.com"] {
            assert!(LocalPath::parse(text).is_some(), "{text:?}");
        }
        for text in [
            "",
            "access",
            "//evil.com",
            "///evil.com",
            "/\\evil.com",
            "\\\\evil.com",
            "/\t/evil.com",
            "/\n/evil.com",
            " //evil.com",
            "/ x",
            "https://evil.com",
            "javascript:alert(1)",
            "/..//evil.com",
            "/.//evil.com",
            "/%0d%0aset-cookie:x=\r\n",
            "/x#y",
            "/é",
            "/login",
            "/login?to=/login",
            "/x/../logout",
            &format!("/{}", "x".repeat(1024)),
        ] {
            assert!(LocalPath::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn an_attempt_reads_as_it_was_made_and_answers_to_its_own_state_alone() {
        let now = Time::parse("2026-01-02T03:04:05.678Z").unwrap();
        let attempt = Attempt::begin(true, LocalPath::parse("/audit?q=1"), now);
        let read = Attempt::read(&attempt.text()).unwrap();
        assert_eq!(
            (read.state(), read.nonce(), read.verifier()),
            (attempt.state(), attempt.nonce(), attempt.verifier())
        );
        assert_eq!((read.is_fresh(), read.to().map(LocalPath::as_str)), (true, Some("/audit?q=1")));
        assert!(read.is_answered_by(&attempt.state(), now));
        assert!(read.is_answered_by(&attempt.state(), now.plus(Duration::from_secs(599))));
        assert!(!read.is_answered_by(&attempt.state(), now.plus(LASTS)));
        assert!(!read.is_answered_by(&attempt.state(), now.minus(LASTS)));
        assert!(!read.is_answered_by(&Attempt::begin(true, None, now).state(), now));
        assert_eq!(attempt.verifier().len(), 43);
        let tampered = attempt.text().replace(".1.", ".0.");
        assert!(!Attempt::read(&tampered).unwrap().is_answered_by(&attempt.state(), now));
        for text in ["", "x", "a.b.c.d", &attempt.text()[1..]] {
            assert!(Attempt::read(text).is_none(), "{text}");
        }
    }
}
