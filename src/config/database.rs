use crate::{input::Faults, model::Invalid, outward::Url, secret::Secret};
use deserr::{Deserr, IntoValue, MergeWithError, Value, ValuePointerRef};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where the database is. `Debug` and `Display` show no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `sqlite:<file>`: the file, made where it is not there.
    Sqlite(PathBuf),
    /// `postgres://…` or `postgresql://…`, as given, perhaps with a password in it.
    Postgres(Secret),
}

impl DatabaseUrl {
    /// Refuses what lives in memory: the audit would end with the process.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(file) = text.strip_prefix("sqlite:") {
            return parse_sqlite(file.strip_prefix("//").unwrap_or(file));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return parse_postgres(text);
        }
        Err(Invalid::new("sqlite:<file> or postgres://<user>@<host>/<database>"))
    }

    pub(super) fn resolve_path(&mut self, folder: &Path) {
        if let Self::Sqlite(file) = self {
            *file = folder.join(&file);
        }
    }
}

fn parse_sqlite(file: &str) -> Result<DatabaseUrl, Invalid> {
    if file.is_empty() || file.starts_with(':') || file.contains(['?', '#', '\0']) {
        return Err(Invalid::new("sqlite:<file>, a file on disk, without parameters"));
    }
    Ok(DatabaseUrl::Sqlite(file.into()))
}

/// An `@` behind the host means that the password was cut short by its own `/`, `?` or `#`: a part of it would be
/// taken for a host or a database, and shown.
fn parse_postgres(text: &str) -> Result<DatabaseUrl, Invalid> {
    let whole =
        |url: &Url| url.fragment().is_none() && !url.path().contains('@') && !url.query().unwrap_or("").contains('@');
    match Url::parse(text) {
        Ok(url) if whole(&url) => Ok(DatabaseUrl::Postgres(Secret::new(text.to_owned()))),
        _ => Err(Invalid::new(
            "postgres://<user>@<host>/<database>, with each of / ? # @ in user or password percent-encoded",
        )),
    }
}

impl Default for DatabaseUrl {
    fn default() -> Self {
        Self::Sqlite("hallpass.db".into())
    }
}

/// For people: kind and place. PostgreSQL's parameters are left out, since `password` can be one.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "SQLite, {}", file.display()),
            Self::Postgres(url) => {
                f.write_str("PostgreSQL")?;
                let Ok(url) = Url::parse(url.expose()) else { return Ok(()) };
                let host = url.host_str().filter(|host| !host.is_empty()).unwrap_or("the default host");
                write!(f, ", {host}")?;
                url.port().map_or(Ok(()), |port| write!(f, ":{port}"))?;
                f.write_str(url.path())
            }
        }
    }
}

impl Deserr<Faults> for DatabaseUrl {
    fn deserialize_from_value<V: IntoValue>(value: Value<V>, place: ValuePointerRef<'_>) -> Result<Self, Faults> {
        let text = <String as Deserr<Faults>>::deserialize_from_value(value, place)?;
        Self::parse(&text).map_err(|fault| deserr::take_cf_content(Faults::merge(None, fault, place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_file_or_a_postgres() {
        for (text, shown) in [
            ("sqlite:hallpass.db", Some("SQLite, hallpass.db")),
            ("sqlite:///var/lib/hallpass.db", Some("SQLite, /var/lib/hallpass.db")),
            ("sqlite:/var/lib/hallpass.db", Some("SQLite, /var/lib/hallpass.db")),
            ("sqlite:", None),
            ("sqlite::memory:", None),
            ("sqlite://:memory:", None),
            ("sqlite:hallpass.db?mode=ro", None),
            ("postgres://hallpass@db/hallpass", Some("PostgreSQL, db/hallpass")),
            ("postgresql://h:hunter2@db:5433/h?sslmode=verify-full", Some("PostgreSQL, db:5433/h")),
            ("postgres:///h?host=/run/postgresql&password=hunter2", Some("PostgreSQL, the default host/h")),
            ("postgres:db", None),
            ("postgres://h:hunter/2@db/h", None),
            ("postgres://h:11/hunter2@db/h", None),
            ("postgres://h:11?hunter2@db/h", None),
            ("postgres://h:11#hunter2@db/h", None),
            ("mysql://db/h", None),
            ("hallpass.db", None),
            ("", None),
        ] {
            let parsed = DatabaseUrl::parse(text);
            assert_eq!(parsed.as_ref().map(ToString::to_string).ok().as_deref(), shown, "{text}");
            assert!(!format!("{parsed:?}").contains("hunter"), "{parsed:?}");
        }
    }
}
