-- Sessions of the portal. Of what the browser holds there is only a SHA-256; `sealed` is the provider's refresh token under a
-- key that is made of what the browser holds, and so of no use without it. An ended row stays for an hour, so that the
-- sign-in it came from cannot be used again.
CREATE TABLE sessions (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    sign_in BYTEA NOT NULL UNIQUE,
    principal TEXT COLLATE "C" NOT NULL,
    group_names TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C",
    authenticated_at BIGINT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    ended_at BIGINT,
    groups_at BIGINT NOT NULL,
    asked_at BIGINT NOT NULL,
    sealed BYTEA,
    address TEXT COLLATE "C",
    user_agent TEXT COLLATE "C"
);
CREATE INDEX sessions_by_principal ON sessions (principal, id);
