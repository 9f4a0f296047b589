-- API tokens, the ended ones too: the audit names them by id. Of a token itself there is only the SHA-256 of its text.
CREATE TABLE api_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    principal TEXT NOT NULL,
    roles TEXT,
    only_use TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_tokens_by_owner ON api_tokens (owner, id);
-- Two living tokens of one owner have two names, and a machine's name is that machine's alone.
CREATE UNIQUE INDEX api_tokens_by_living_name ON api_tokens (principal, name) WHERE ended_at IS NULL;
