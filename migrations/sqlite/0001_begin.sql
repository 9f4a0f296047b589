-- Times are whole microseconds since 1970 UTC: both databases keep them exactly.

-- The oldest schema that a running service must know to work with this database. A migration that only adds raises
-- nothing; one that takes away raises it a release after the service stopped needing what it takes.
CREATE TABLE schema_compatibility (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    oldest_version INTEGER NOT NULL
) STRICT;
INSERT INTO schema_compatibility (only_row, oldest_version) VALUES (1, 1);

-- One row: the revision counts every change of who may do what, whichever way it was made.
CREATE TABLE allowlist (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    revision INTEGER NOT NULL,
    file TEXT NOT NULL,
    applied_by TEXT,
    applied_at INTEGER
) STRICT;
INSERT INTO allowlist (only_row, revision, file) VALUES (1, 0, '');

CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    alias TEXT UNIQUE,
    name TEXT,
    external_id TEXT,
    tags TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE roles (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    description TEXT,
    max_duration_seconds INTEGER NOT NULL,
    source_identity INTEGER NOT NULL,
    session_tags TEXT NOT NULL,
    PRIMARY KEY (account_id, name)
) STRICT, WITHOUT ROWID;
-- IAM ignores case in role names.
CREATE UNIQUE INDEX roles_by_folded_name ON roles (account_id, lower(name));

-- No foreign key to roles: a single grant outlives a role that the file drops for a while, without effect.
CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL CHECK (origin IN ('file', 'api')),
    principal TEXT NOT NULL,
    account_id TEXT NOT NULL,
    role_name TEXT,
    max_duration_seconds INTEGER,
    require_reason INTEGER NOT NULL,
    expires_at INTEGER,
    source_ips TEXT NOT NULL,
    session_policy TEXT,
    reason TEXT,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CHECK (origin = 'file' OR expires_at IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_by_principal ON grants (principal, account_id, role_name);

CREATE TABLE blocks (
    id TEXT NOT NULL PRIMARY KEY,
    principal TEXT,
    account_id TEXT,
    role_name TEXT,
    reason TEXT NOT NULL,
    until_at INTEGER,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CHECK ((principal IS NULL) <> (role_name IS NULL) AND (account_id IS NULL) = (role_name IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX blocks_by_principal ON blocks (principal);
CREATE INDEX blocks_by_role ON blocks (account_id, role_name);

CREATE TABLE audit_streams (
    stream TEXT NOT NULL PRIMARY KEY,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER
) STRICT, WITHOUT ROWID;

-- With a rowid: in a table without one a row of over a kilobyte lies on two pages, and all of it is read to find a place
-- beside it.
CREATE TABLE audit_events (
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL,
    record TEXT NOT NULL,
    hash BLOB NOT NULL,
    signature BLOB,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    principal TEXT,
    account_id TEXT,
    role_arn TEXT,
    issuance_id TEXT,
    PRIMARY KEY (stream, seq)
) STRICT;
-- Newest first is by time and id. Few events share a microsecond, so those few are sorted when they are read.
CREATE INDEX audit_events_by_time ON audit_events (at);
CREATE INDEX audit_events_by_kind ON audit_events (kind, at);
CREATE INDEX audit_events_by_principal ON audit_events (principal, at) WHERE principal IS NOT NULL;
CREATE INDEX audit_events_by_account ON audit_events (account_id, at) WHERE account_id IS NOT NULL;
CREATE INDEX audit_events_by_role ON audit_events (role_arn, at) WHERE role_arn IS NOT NULL;
CREATE INDEX audit_events_by_issuance ON audit_events (issuance_id) WHERE issuance_id IS NOT NULL;

CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit_events is append-only');
END;
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit_events is append-only');
END;
-- INSERT OR REPLACE fires no DELETE trigger unless recursive_triggers is on. It may aim at the key, or at the rowid.
CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE stream = NEW.stream AND seq = NEW.seq)
    OR EXISTS (SELECT 1 FROM audit_events WHERE rowid = NEW.rowid)
BEGIN
    SELECT RAISE(ABORT, 'audit_events is append-only');
END;

-- Intents without an outcome. The transaction that writes the outcome removes the row; whoever finds it gone
-- releases nothing.
CREATE TABLE pending (
    issuance_id TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
