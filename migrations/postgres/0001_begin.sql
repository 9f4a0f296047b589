-- Times are whole microseconds since 1970 UTC: both databases keep them exactly.

-- The oldest schema that a running service must know to work with this database. A migration that only adds raises
-- nothing; one that takes away raises it a release after the service stopped needing what it takes.
CREATE TABLE schema_compatibility (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    oldest_version BIGINT NOT NULL
);
INSERT INTO schema_compatibility (only_row, oldest_version) VALUES (1, 1);

-- One row: the revision counts every change of who may do what, whichever way it was made.
CREATE TABLE allowlist (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    revision BIGINT NOT NULL,
    file TEXT COLLATE "C" NOT NULL,
    applied_by TEXT COLLATE "C",
    applied_at BIGINT
);
INSERT INTO allowlist (only_row, revision, file) VALUES (1, 0, '');

CREATE TABLE accounts (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    alias TEXT COLLATE "C" UNIQUE,
    name TEXT COLLATE "C",
    external_id TEXT COLLATE "C",
    tags TEXT COLLATE "C" NOT NULL
);

CREATE TABLE roles (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    max_duration_seconds BIGINT NOT NULL,
    source_identity BOOLEAN NOT NULL,
    session_tags TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, name)
);
-- IAM ignores case in role names.
CREATE UNIQUE INDEX roles_by_folded_name ON roles (account_id, lower(name));

-- No foreign key to roles: a single grant outlives a role that the file drops for a while, without effect.
CREATE TABLE grants (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    origin TEXT COLLATE "C" NOT NULL CHECK (origin IN ('file', 'api')),
    principal TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL,
    role_name TEXT COLLATE "C",
    max_duration_seconds BIGINT,
    require_reason BOOLEAN NOT NULL,
    expires_at BIGINT,
    source_ips TEXT COLLATE "C" NOT NULL,
    session_policy TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    CHECK (origin = 'file' OR expires_at IS NOT NULL)
);
CREATE INDEX grants_by_principal ON grants (principal, account_id, role_name);

CREATE TABLE blocks (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    principal TEXT COLLATE "C",
    account_id TEXT COLLATE "C",
    role_name TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    until_at BIGINT,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    CHECK ((principal IS NULL) <> (role_name IS NULL) AND (account_id IS NULL) = (role_name IS NULL))
);
CREATE INDEX blocks_by_principal ON blocks (principal);
CREATE INDEX blocks_by_role ON blocks (account_id, role_name);

CREATE TABLE audit_streams (
    stream TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT
);

CREATE TABLE audit_events (
    stream TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    record TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    signature BYTEA,
    id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    principal TEXT COLLATE "C",
    account_id TEXT COLLATE "C",
    role_arn TEXT COLLATE "C",
    issuance_id TEXT COLLATE "C",
    PRIMARY KEY (stream, seq)
);
CREATE INDEX audit_events_by_time ON audit_events (at, id);
CREATE INDEX audit_events_by_kind ON audit_events (kind, at, id);
CREATE INDEX audit_events_by_principal ON audit_events (principal, at, id);
CREATE INDEX audit_events_by_account ON audit_events (account_id, at, id) WHERE account_id IS NOT NULL;
CREATE INDEX audit_events_by_role ON audit_events (role_arn, at, id) WHERE role_arn IS NOT NULL;
CREATE INDEX audit_events_by_issuance ON audit_events (issuance_id) WHERE issuance_id IS NOT NULL;

-- ENABLE ALWAYS: session_replication_role = replica silences ordinary triggers. Row triggers miss TRUNCATE.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER audit_events_no_change BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_no_change;
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_no_truncate;

-- Intents without an outcome. The transaction that writes the outcome removes the row; whoever finds it gone
-- releases nothing.
CREATE TABLE pending (
    issuance_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    stream TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL
);
