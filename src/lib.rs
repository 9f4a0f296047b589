//! Hallpass: short-lived AWS credentials for the people and tools that an allowlist names.
//!
//! One crate: this library, and a binary that calls [`cli::run`]. This page is the map of it.
//!
//! # The rooms
//!
//! From the ground up. A room uses only rooms above it in this list, and `tests/it/layers.rs` fails when one does not.
//! What a room owns and what it must never do stands at the top of its file.
//!
//! | room | owns |
//! |---|---|
//! | [`model`] | the words of the trade as types, parsed in the constructor: no invalid value exists |
//! | [`input`] | JSON and TOML from outside, read strictly, every fault reported with its place |
//! | [`clock`] | the one source of time and of ids, settable in the tests |
//! | [`secret`] | texts that must not be seen: redacted in `Debug`, zeroed when dropped; opaque tokens and their hashes |
//! | [`metrics`] | every metric with its help and its closed labels, and their text for Prometheus |
//! | [`allowlist`] | the file, the plan of its changes, and the pure decision |
//! | [`template`] | what an account needs at AWS, written out of the allowlist as CloudFormation, Terraform or JSON |
//! | [`mod@format`] | credentials as text, quoted for each shell, the credentials file and `credential_process` |
//! | [`audit`] | the event, its canonical bytes, the signed streams, their verification and export |
//! | [`store`] | every SQL statement, written once for SQLite and PostgreSQL, and the migrations |
//! | [`recorder`] | the only writer of the audit: group commit, one signature a commit, receipts |
//! | [`outward`] | asking others over HTTP: where to, how long, how much |
//! | [`sts`] | AssumeRole, console sign-in, who the broker itself is, and what is locked up until released |
//! | [`identity`] | who is calling: a bearer JWT, an API token or a session of the portal becomes a [`Caller`](identity::Caller) |
//! | [`broker`] | the use case: decide, record, assume, record, release |
//! | [`access`] | changes to who may do what, and API tokens, each in one transaction with its event; who may change and read |
//! | [`evidence`] | reading the audit: pages, exports, heads, verification |
//! | [`tls`] | the certificate and its key: read from two files, checked, read again when they change |
//! | [`config`] | the schema of `hallpass.toml`; read by `app` and `cli` alone |
//! | [`app`] | the wiring, for the service, the commands and the tests alike |
//! | [`http`] | every route on one screen, the extractors, the one outward error, and the portal's pages; answers commands at the database too |
//! | `demo` | a simulated AWS and a simulated identity provider, for `hallpass demo` alone; a cargo feature, on by default |
//! | [`client`] | the client's side of the command line: which server, which token, signing in, credentials and for whom they are kept, and what failures say |
//! | [`cli`] | the command line, one file for each subcommand |
//!
//! The first nine are pure but for the clock: they do no I/O and wait for nothing. SQL is seen in `store` alone, the AWS SDK in
//! `sts` alone, and no room below `http` knows a status code: each has a small closed error of its own, and
//! `http/error.rs` turns every one of them into a status and a stable code.
//!
//! # The life of a request
//!
//! `POST /v1/credentials`, with the real names:
//!
//! 1. [`http::router`] leads to the handler. Its extractor hands the bearer token to
//!    [`Identity::caller_from_bearer`](identity::Identity::caller_from_bearer), which answers with a
//!    [`Caller`](identity::Caller), or with an error that goes on record as `authentication.failed`. An API token is looked up
//!    in the database at each request; what it is bound to is part of the question that is decided.
//! 2. [`Broker::issue`](broker::Broker::issue) goes on in a task of its own: a client that hangs up takes its answer away, not
//!    the issuance. A stop waits for these tasks.
//! 3. [`Store::find_candidates`](store::Store::find_candidates) loads the role, the grants and the blocks that concern this caller,
//!    and the revision of the allowlist they were read at. [`allowlist::decide()`] makes of them a
//!    [`Permit`](allowlist::Permit), which rests on exactly one grant, or a [`Refusal`](allowlist::Refusal). A permit may rest
//!    on candidates kept in memory, a refusal is asked anew.
//! 4. A refusal becomes `credentials.denied`, and the answer waits for that row.
//! 5. A permit waits for its turn, [`Sts::turn`](sts::Sts::turn): STS is asked no more than it takes, and no trusting account
//!    has all of it. Who gets none is a `credentials.failed`, and leaves no intent.
//! 6. It becomes `credentials.requested`, by [`Recorder::intend`](recorder::Recorder::intend). The transaction that
//!    writes it reads the allowlist's revision: where that is another than the one decided on, the broker decides again. So a
//!    grant that was removed on one replica is refused by every other at the next request. What comes back is an
//!    [`Intent`](recorder::Intent).
//! 7. [`Sts::assume_role`](sts::Sts::assume_role) asks for that intent and that turn, calls AWS, and answers with
//!    [`Minted`](sts::Minted) credentials. No transaction is open meanwhile.
//! 8. [`Recorder::conclude`](recorder::Recorder::conclude) writes `credentials.issued` and gives the
//!    [`Receipt`](recorder::Receipt); where AWS said no, [`Recorder::abandon`](recorder::Recorder::abandon) writes
//!    `credentials.failed`.
//! 9. [`Minted::release`](sts::Minted::release) takes the receipt and gives [`Released`](sts::Released) credentials, which the
//!    handler turns into the answer.
//!
//! `GET /v1/container/{account}/{role}` goes by [`Broker::share`](broker::Broker::share): step 3 as above, each time. Where a
//! session lies there that this permit would give, [`Recorder::share`](recorder::Recorder::share) writes
//! `credentials.shared`, which confirms the revision as step 6 does, and gives the
//! [`SharedReceipt`](recorder::SharedReceipt) that opens it once more. Where there is none, one asker goes through steps 5 to
//! 9 in a task of its own, and those who ask meanwhile wait for what comes of it.
//!
//! A console link takes the same way by [`Broker::sign_in`](broker::Broker::sign_in): what step 7 minted is turned in by
//! [`Sts::link`](sts::Sts::link) for a [`MintedLink`](sts::MintedLink), step 8 writes `console.issued`, and the receipt
//! makes it a [`ReleasedLink`](sts::ReleasedLink).
//!
//! The portal's page of a role takes these same ways, by [`Broker::issue`](broker::Broker::issue) and
//! [`Broker::sign_in`](broker::Broker::sign_in); a browser's session makes the [`Caller`](identity::Caller).
//!
//! Where a row cannot be written, the answer is 503, and the credentials are dropped and zeroed. An intent is also a row of
//! the table `pending`, and the transaction that writes its outcome takes it away. Where none comes for two minutes,
//! because the process died, the first replica to notice takes it and writes `credentials.unknown`; an outcome that comes
//! after that finds its intent gone, and releases nothing.
//!
//! # The guarantee that is a type
//!
//! No credentials leave without a row on disk. [`Minted`](sts::Minted) shows no secret; [`Released`](sts::Released) does,
//! and is made by [`Minted::release`](sts::Minted::release) alone; that asks for the [`Receipt`](recorder::Receipt) of the
//! same issuance; and a receipt is made by [`recorder`] alone, once its commit has been confirmed. All their fields are private: who
//! breaks the order writes code that does not compile. What is handed out more than once is
//! [`Locked`](sts::Locked) in between, and takes the [`SharedReceipt`](recorder::SharedReceipt) of each hand-out.
//! [`MintedLink`](sts::MintedLink) and [`ReleasedLink`](sts::ReleasedLink) are the same for console links.
//!
//! # Rules of form
//!
//! `foo.rs` beside `foo/`; no file over 600 lines; no `unwrap`, no `allow`, no `expect` without a reason; time from
//! [`clock`] alone. What a lint can hold, `Cargo.toml` and `.clippy.toml` hold; the rest is in `tests/it/layers.rs`.
//! Everything that must pass is `tests/run`.

pub mod access;
pub mod allowlist;
pub mod app;
pub mod audit;
pub mod broker;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod evidence;
pub mod format;
pub mod http;
pub mod identity;
pub mod input;
pub mod metrics;
pub mod model;
pub mod outward;
pub mod recorder;
pub mod secret;
pub mod store;
pub mod sts;
pub mod template;
pub mod tls;
