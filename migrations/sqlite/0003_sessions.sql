-- Sessions of the portal. Of what the browser holds there is only a SHA-256; `sealed` is the provider's refresh token under a
-- key that is made of what the browser holds, and so of no use without it. An ended row stays for an hour, so that the
-- sign-in it came from cannot be used again.
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    sign_in BLOB NOT NULL UNIQUE,
    principal TEXT NOT NULL,
    group_names TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT,
    authenticated_at INTEGER,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    ended_at INTEGER,
    groups_at INTEGER NOT NULL,
    asked_at INTEGER NOT NULL,
    sealed BLOB,
    address TEXT,
    user_agent TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_principal ON sessions (principal, id);
