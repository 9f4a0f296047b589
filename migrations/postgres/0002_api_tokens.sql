-- API tokens, the ended ones too: the audit names them by id. Of a token itself there is only the SHA-256 of its text.
CREATE TABLE api_tokens (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    name TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    principal TEXT COLLATE "C" NOT NULL,
    roles TEXT COLLATE "C",
    only_use TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX api_tokens_by_owner ON api_tokens (owner, id);
-- Two living tokens of one owner have two names, and a machine's name is that machine's alone.
CREATE UNIQUE INDEX api_tokens_by_living_name ON api_tokens (principal, name) WHERE ended_at IS NULL;
