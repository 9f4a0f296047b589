use super::{Invalid, text_newtype};
use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Control, format, surrogate, private-use and line or paragraph separators: what lets one text look like
/// another, or break a log line.
pub(super) fn is_hidden(c: char) -> bool {
    matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    )
}

/// NFC without control or format characters; anything else is refused, never mended.
pub(super) fn is_clean(text: &str) -> bool {
    is_nfc(text) && !text.chars().any(is_hidden)
}

/// An error with everything behind it, for a log: `it: its cause: the cause of that`.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Why someone asks for access, in their own words: 1 to 512 characters, NFC, no control or format characters.
/// A blank reason is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reason(String);

text_newtype!(Reason);

impl Reason {
    /// Refuses a text that is too long or holds hidden characters; one that is blank has no value here.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.trim().is_empty() {
            return Err(Invalid::new("a reason that is not blank"));
        }
        if text.chars().count() > 512 {
            return Err(Invalid::new("at most 512 characters"));
        }
        if !is_clean(text) {
            return Err(Invalid::new("text in Unicode NFC without control or format characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What the client says it is: a header that nobody chose with care, so it is cleaned rather than refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(String);

text_newtype!(UserAgent);

impl UserAgent {
    /// NFC, hidden characters replaced by `�`, cut to 256 characters.
    #[must_use]
    pub fn cleaned(text: &str) -> Self {
        Self(text.nfc().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).take(256).collect())
    }

    /// As [`UserAgent::cleaned`]; never fails.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Ok(Self::cleaned(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_short_clean_and_not_blank() {
        for text in ["INC-42", "deploy – phase 2", "日本語", &"é".repeat(512)] {
            assert!(Reason::parse(text).is_ok(), "{text}");
        }
        for text in ["", " \u{a0}\t", "a\0b", "a\nb", "a\u{202e}b", "e\u{301}", &"x".repeat(513)] {
            assert!(Reason::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn user_agents_are_cleaned() {
        assert_eq!(UserAgent::cleaned("curl/8\u{1b}[31m").as_str(), "curl/8\u{fffd}[31m");
        assert_eq!(UserAgent::cleaned(&"x".repeat(300)).as_str().len(), 256);
    }
}
