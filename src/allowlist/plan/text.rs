//! A plan as text, in the manner of Terraform: `+` comes, `~` changes, `-` goes; the last line counts.

use super::{AccountEntry, Changed, FieldChange, GrantEntry, Plan, Reached, RoleEntry, Section};
use crate::model::SessionDuration;
use serde_json::Value;
use std::fmt::{self, Display, Formatter};

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        section(f, "Accounts", &self.accounts)?;
        section(f, "Roles", &self.roles)?;
        section(f, "Grants", &self.grants)?;
        reached(f, "Who gains", '+', &self.gains)?;
        reached(f, "Who loses", '-', &self.loses)?;
        for warning in &self.warnings {
            writeln!(f, "Warning: {warning}.")?;
        }
        match self.api_grants {
            0 => {}
            1 => writeln!(f, "1 grant made one by one stays as it is.")?,
            n => writeln!(f, "{n} grants made one by one stay as they are.")?,
        }
        let Self { add, change, remove, .. } = self;
        if self.is_empty() {
            f.write_str("No changes.")
        } else {
            write!(f, "{add} to add, {change} to change, {remove} to remove.")
        }
    }
}

fn section<T: Display>(f: &mut Formatter<'_>, title: &str, section: &Section<T>) -> fmt::Result {
    let Section { added, changed, removed } = section;
    if added.is_empty() && changed.is_empty() && removed.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    for entry in added {
        writeln!(f, "  + {entry}")?;
    }
    for Changed { entry, fields } in changed {
        writeln!(f, "  ~ {entry}")?;
        for field in fields.iter().filter(|change| change.field != "id") {
            writeln!(f, "      {field}")?;
        }
    }
    for entry in removed {
        writeln!(f, "  - {entry}")?;
    }
    writeln!(f)
}

fn reached(f: &mut Formatter<'_>, title: &str, sign: char, reached: &[Reached]) -> fmt::Result {
    if reached.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    for Reached { principal, role } in reached {
        writeln!(f, "  {sign} {principal} → {role}")?;
    }
    writeln!(f)
}

impl Display for AccountEntry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.alias {
            Some(alias) => write!(f, "{alias} ({})", self.id),
            None => self.id.fmt(f),
        }
    }
}

impl Display for RoleEntry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at most {}", self.role, short(self.max_duration_seconds))
    }
}

impl Display for GrantEntry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.to, self.role)?;
        if let Some(longest) = self.max_duration_seconds {
            write!(f, ", at most {}", short(longest))?;
        }
        if self.require_reason {
            f.write_str(", with a reason")?;
        }
        if let Some(expires) = self.expires {
            write!(f, ", until {expires}")?;
        }
        match self.source_ips.as_slice() {
            [] => {}
            [range] => write!(f, ", from {range}")?,
            [range, more @ ..] => write!(f, ", from {range} and {} more", more.len())?,
        }
        if self.session_policy_sha256.is_some() {
            f.write_str(", under a session policy")?;
        }
        Ok(())
    }
}

impl Display for FieldChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&*self.field, &self.from, &self.to) {
            ("session_policy_sha256", ..) => f.write_str("session_policy changed"),
            (field, Some(from), Some(to)) => write!(f, "{field}: {} → {}", shown(from), shown(to)),
            (field, ..) => write!(f, "{field} changed"),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        value => value.to_string(),
    }
}

/// As people write it in the file: `45m`, `1h`, `1h30m`.
fn short(duration: SessionDuration) -> String {
    let seconds = duration.seconds();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, 0) => format!("{minutes}m"),
        (hours, 0, 0) => format!("{hours}h"),
        (hours, minutes, 0) => format!("{hours}h{minutes}m"),
        _ => format!("{seconds}s"),
    }
}
