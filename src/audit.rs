//! The audit as data: the event, its canonical bytes, the streams it is chained into and the key that signs them, how
//! they are verified and exported, and how floods of events are folded.
//!
//! The pure half of the audit: it does no I/O. Only `recorder` writes events, and only `store` keeps them.

mod chain;
mod event;
mod export;
mod fold;
mod key;
mod record;
mod stream;
mod verify;

pub use chain::{Hash, Head, Heads, Row, Signature, SignedHead, StreamId};
pub use event::{Actor, Auth, AuthMethod, Client, Event, Kind, Purpose};
pub use export::{LineError, csv_header, csv_line, jsonl_line, parse_jsonl_line};
pub use fold::{Admit, Folder};
pub use key::{KeyError, PublicKey, SigningKey};
pub use record::{Index, RecordError, canonical};
pub use stream::{Opening, heads_detail};
pub use verify::{Problem, Report, Verifier, VerifyFault, Witness};
