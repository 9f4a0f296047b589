//! The parameters of a call, and AWS's rules for each.

use super::answer::Fault;
use std::{collections::BTreeMap, ops::RangeInclusive};
use unicode_properties::{GeneralCategoryGroup as Group, UnicodeGeneralCategory};

/// A form of the query protocol.
pub(super) struct Parameters(BTreeMap<String, String>);

/// AssumeRole, with each parameter within its own limits.
pub(super) struct AssumeRole {
    pub(super) role_arn: String,
    pub(super) session_name: String,
    pub(super) source_identity: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) duration: u32,
    pub(super) policy: Option<String>,
    pub(super) tags: Vec<(String, String)>,
}

/// What AWS takes for one parameter.
struct Rule {
    size: RangeInclusive<usize>,
    pattern: &'static str,
    allows: fn(char) -> bool,
}

const ARN: Rule = Rule { size: 20..=2048, pattern: r"[\u0020-\u007E]+", allows: |c| matches!(c, ' '..='~') };
const NAME: Rule = Rule { size: 2..=64, pattern: r"[\w+=,.@-]*", allows: |c| is_word(c) || "+=,.@-".contains(c) };
const EXTERNAL_ID: Rule =
    Rule { size: 2..=1224, pattern: r"[\w+=,.@:\/-]*", allows: |c| is_word(c) || "+=,.@:/-".contains(c) };
const POLICY: Rule = Rule {
    size: 1..=2048,
    pattern: r"[\u0009\u000A\u000D\u0020-\u00FF]+",
    allows: |c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}'),
};
const TAG_KEY: Rule = Rule { size: 1..=128, pattern: r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", allows: is_tag_char };
const TAG_VALUE: Rule = Rule { size: 0..=256, pattern: r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", allows: is_tag_char };

const DURATION: RangeInclusive<u32> = 900..=43_200;
const MOST_TAGS: usize = 50;
const MOST_POLICIES: usize = 10;

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_tag_char(c: char) -> bool {
    "_.:/=+-@".contains(c) || matches!(c.general_category_group(), Group::Letter | Group::Number | Group::Separator)
}

impl Parameters {
    pub(super) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// `<list>.member.1<leaf>`, `<list>.member.2<leaf>` and so on.
    fn list(&self, list: &str, leaf: &str) -> Vec<&str> {
        (1..).map_while(|n| self.find(&format!("{list}.member.{n}{leaf}"))).collect()
    }
}

impl AssumeRole {
    /// Every fault is named in one message, as AWS does.
    pub(super) fn read(parameters: &Parameters) -> Result<Self, Fault> {
        let mut faults = Faults(Vec::new());
        let tags = tags(parameters, &mut faults);
        let call = Self {
            role_arn: faults.required(parameters, "RoleArn", &ARN),
            session_name: faults.required(parameters, "RoleSessionName", &NAME),
            source_identity: faults.optional(parameters, "SourceIdentity", &NAME),
            external_id: faults.optional(parameters, "ExternalId", &EXTERNAL_ID),
            policy: faults.optional(parameters, "Policy", &POLICY),
            duration: duration(parameters, &mut faults),
            tags,
        };
        for arn in faults.list(parameters, "PolicyArns", ".arn", MOST_POLICIES) {
            faults.check("policyArns", arn, &ARN);
        }
        for key in faults.list(parameters, "TransitiveTagKeys", "", MOST_TAGS) {
            faults.check("transitiveTagKeys", key, &TAG_KEY);
        }
        if faults.0.is_empty() { Ok(call) } else { Err(Fault::validation(&faults.0)) }
    }
}

fn duration(parameters: &Parameters, faults: &mut Faults) -> u32 {
    let Some(text) = parameters.find("DurationSeconds") else { return 3600 };
    let seconds = text.parse().unwrap_or(0);
    if seconds < *DURATION.start() {
        faults.add("durationSeconds", text, &format!("have value greater than or equal to {}", DURATION.start()));
    } else if seconds > *DURATION.end() {
        faults.add("durationSeconds", text, &format!("have value less than or equal to {}", DURATION.end()));
    }
    seconds
}

fn tags(parameters: &Parameters, faults: &mut Faults) -> Vec<(String, String)> {
    let mut tags = Vec::new();
    for (at, key) in faults.list(parameters, "Tags", ".Key", MOST_TAGS).into_iter().enumerate() {
        let value = parameters.find(&format!("Tags.member.{}.Value", at + 1)).unwrap_or_default();
        faults.check(&format!("tags.{}.member.key", at + 1), key, &TAG_KEY);
        faults.check(&format!("tags.{}.member.value", at + 1), value, &TAG_VALUE);
        tags.push((key.to_owned(), value.to_owned()));
    }
    tags
}

/// What is wrong so far, in AWS's words.
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, member: &str, value: &str, must: &str) {
        self.0.push(format!("Value '{value}' at '{member}' failed to satisfy constraint: Member must {must}"));
    }

    fn required(&mut self, parameters: &Parameters, name: &str, rule: &Rule) -> String {
        self.optional(parameters, name, rule).unwrap_or_else(|| {
            let fault =
                format!("Value null at '{}' failed to satisfy constraint: Member must not be null", member(name));
            self.0.push(fault);
            String::new()
        })
    }

    fn optional(&mut self, parameters: &Parameters, name: &str, rule: &Rule) -> Option<String> {
        let value = parameters.find(name)?;
        self.check(&member(name), value, rule);
        Some(value.to_owned())
    }

    fn list<'p>(&mut self, parameters: &'p Parameters, name: &str, leaf: &str, most: usize) -> Vec<&'p str> {
        let list = parameters.list(name, leaf);
        if list.len() > most {
            let count = format!("{} members", list.len());
            self.add(&member(name), &count, &format!("have length less than or equal to {most}"));
        }
        list
    }

    fn check(&mut self, member: &str, value: &str, rule: &Rule) {
        let length = value.chars().count();
        if length < *rule.size.start() {
            self.add(member, value, &format!("have length greater than or equal to {}", rule.size.start()));
        }
        if length > *rule.size.end() {
            self.add(member, value, &format!("have length less than or equal to {}", rule.size.end()));
        }
        if !value.chars().all(rule.allows) {
            self.add(member, value, &format!("satisfy regular expression pattern: {}", rule.pattern));
        }
    }
}

/// `RoleArn` is `roleArn` in AWS's messages.
fn member(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    format!("{}{rest}", first.to_ascii_lowercase())
}
