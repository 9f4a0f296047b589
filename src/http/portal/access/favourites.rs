//! The roles that somebody starred. They are kept in the browser's own cookie: what they are good for is the order of a
//! list, so they need no table, no migration and no row about anybody. Whoever uses two browsers stars twice.

use crate::model::BoundRole;

/// No more are kept, and no longer a cookie: it goes with every request.
const MOST: usize = 24;
const LONGEST: usize = 2048;
/// Stands in no role: all but letters, digits and `*-._` is percent-encoded.
const BETWEEN: &str = "~";

/// The newest first.
#[derive(Debug, Default)]
pub(in crate::http::portal) struct Favourites(Vec<BoundRole>);

impl Favourites {
    /// As the cookie has them. Whoever wrote it, it only picks from what the visitor may have anyway.
    pub(super) fn read(cookie: Option<&str>) -> Self {
        let decoded = cookie.into_iter().flat_map(|text| text.split(BETWEEN)).filter_map(|text| {
            let (text, _) = form_urlencoded::parse(text.as_bytes()).next()?;
            BoundRole::parse(&text).ok()
        });
        let mut favourites = Self::default();
        for role in decoded.take(MOST) {
            if !favourites.has(&role) {
                favourites.0.push(role);
            }
        }
        favourites
    }

    /// For the cookie: plain characters alone.
    pub(super) fn text(&self) -> String {
        let encoded = |role: &BoundRole| form_urlencoded::byte_serialize(role.to_string().as_bytes()).collect();
        let mut text = String::new();
        for encoded in self.0.iter().map(encoded).collect::<Vec<String>>() {
            if text.len() + BETWEEN.len() + encoded.len() > LONGEST {
                break;
            }
            if !text.is_empty() {
                text.push_str(BETWEEN);
            }
            text.push_str(&encoded);
        }
        text
    }

    pub(super) fn roles(&self) -> &[BoundRole] {
        &self.0
    }

    pub(super) fn has(&self, role: &BoundRole) -> bool {
        self.0.contains(role)
    }

    /// The oldest give way.
    pub(super) fn keep(&mut self, role: BoundRole) {
        self.drop(&role);
        self.0.insert(0, role);
        self.0.truncate(MOST);
    }

    pub(super) fn drop(&mut self, role: &BoundRole) {
        self.0.retain(|other| other != role);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(text: &str) -> BoundRole {
        BoundRole::parse(text).unwrap()
    }

    #[test]
    fn a_cookie_reads_as_it_was_written() {
        let mut favourites = Favourites::default();
        for text in ["111122223333/ReadOnly", "111122223333/a+b=c,d.e@f-g_h", "111122223333/ReadOnly"] {
            favourites.keep(role(text));
        }
        let text = favourites.text();
        assert_eq!(text, "111122223333%2FReadOnly~111122223333%2Fa%2Bb%3Dc%2Cd.e%40f-g_h");
        assert_eq!(Favourites::read(Some(&text)).roles(), favourites.roles());
        favourites.drop(&role("111122223333/ReadOnly"));
        assert_eq!(favourites.roles(), [role("111122223333/a+b=c,d.e@f-g_h")]);
    }

    #[test]
    fn a_cookie_stays_short_and_a_strange_one_is_none() {
        let mut favourites = Favourites::default();
        for i in 0..100 {
            favourites.keep(role(&format!("1111222233{:02}/{}", i % 100, "+".repeat(64))));
        }
        assert!(favourites.roles().len() == MOST && favourites.text().len() <= LONGEST);
        assert_eq!(Favourites::read(Some(&favourites.text())).roles()[0], favourites.roles()[0], "the newest stay");
        for text in ["", "~", "x", "1/2", "111122223333", "111122223333/<script>", "%ff%fe", &"~".repeat(9000)] {
            assert!(Favourites::read(Some(text)).roles().is_empty(), "{text}");
        }
        assert!(Favourites::read(None).roles().is_empty());
    }
}
