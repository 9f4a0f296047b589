//! The audit as data: the event, its canonical bytes, the streams it is chained into, and how they are verified and
//! exported.
//!
//! The pure half of the audit: it does no I/O. Only `recorder` writes events, and only `store` keeps them.

mod event;

pub use event::{Auth, AuthMethod, Client, Event, Kind, Purpose};
