use crate::audit::{RecordError, StreamId};
use serde::{Serialize, ser::SerializeStruct};
use std::fmt;

/// Who says that a row was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// A head that was kept outside.
    KeptHead,
    /// A list of heads in another stream.
    Stream {
        /// The stream that lists.
        stream: StreamId,
        /// The row with the list.
        seq: u64,
    },
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeptHead => f.write_str("a kept head"),
            Self::Stream { stream, seq } => write!(f, "the list in stream {stream}, seq {seq}"),
        }
    }
}

/// What is wrong with a row, or at its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The columns cannot be those of a row.
    #[error("the row cannot be read: {0}")]
    Unreadable(String),
    /// The hash does not follow from the row before and the record.
    #[error("the record or the hash was changed, or another row was put in this place")]
    Hash,
    /// The hash follows, the signature does not: somebody without the key made the chain fit again.
    #[error(
        "the signature is not the key's: it was changed, or a row from seq {since} on was and the chain made to fit"
    )]
    Signature {
        /// The first row that no good signature covers.
        since: u64,
    },
    /// The stream ends in rows without a signature.
    #[error(
        "no signature covers the stream's end from here on (rows: {rows}): who wrote it has not the key, or the row that was signed is gone"
    )]
    Unsigned {
        /// From this row to the last.
        rows: u64,
    },
    /// A kept head proves that the row was signed.
    #[error("the signature that a kept head shows was removed")]
    SignatureGone,
    /// The stream names a key that was not given: its signatures were not checked.
    #[error("the stream was signed with a key whose public half was not given: its signatures were not checked")]
    UnknownKey,
    /// The hash is right, but the record is not what may be written.
    #[error("{0}")]
    Record(RecordError),
    /// A list of heads of another form.
    #[error("the list of heads cannot be read")]
    HeadsList,
    /// A column of the database says something else than the record.
    #[error("the column {0} differs from the record")]
    Index(&'static str),
    /// Rows are not there.
    #[error("rows are missing from here on: {rows}")]
    Missing {
        /// How many.
        rows: u64,
    },
    /// A row that comes twice, or after one with a higher seq.
    #[error("the row is out of order, or there twice")]
    OutOfOrder,
    /// The first row is no `stream.opened`.
    #[error("the stream does not begin with stream.opened")]
    NotOpened,
    /// `stream.opened` again.
    #[error("stream.opened in the middle of a stream")]
    OpenedAgain,
    /// Nothing follows a `stream.closed`.
    #[error("a row after stream.closed")]
    AfterClosed,
    /// A stream of which no row is there.
    #[error("the whole stream is gone: {by} names it")]
    StreamGone {
        /// Who says so.
        by: Witness,
    },
    /// The stream once went further.
    #[error("the stream is cut off from here on: {by} names this row or a later one")]
    Truncated {
        /// Who says so.
        by: Witness,
    },
    /// The row is there, with another hash.
    #[error("{by} has another hash for this row")]
    Contradicts {
        /// Who says so.
        by: Witness,
    },
    /// A kept head is itself not genuine, and was not used.
    #[error("the kept head's signature is not the key's")]
    KeptSignature,
}

impl Problem {
    /// A word for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Hash => "hash",
            Self::Signature { .. } => "signature",
            Self::Unsigned { .. } => "unsigned",
            Self::SignatureGone => "signature_gone",
            Self::UnknownKey => "unknown_key",
            Self::Record(_) => "record",
            Self::HeadsList => "heads_list",
            Self::Index(_) => "index",
            Self::Missing { .. } => "missing",
            Self::OutOfOrder => "out_of_order",
            Self::NotOpened => "not_opened",
            Self::OpenedAgain => "opened_again",
            Self::AfterClosed => "after_closed",
            Self::StreamGone { .. } => "stream_gone",
            Self::Truncated { .. } => "truncated",
            Self::Contradicts { .. } => "contradicts",
            Self::KeptSignature => "kept_signature",
        }
    }
}

/// One fault, at the first row it shows in. As JSON: `{"stream", "seq", "problem", "detail"}`, the problem in one word
/// and the detail in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyFault {
    /// The stream.
    pub stream: StreamId,
    /// The first row.
    pub seq: u64,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for VerifyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}, seq {}: {}", self.stream, self.seq, self.problem)
    }
}

impl Serialize for VerifyFault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fault = serializer.serialize_struct("VerifyFault", 4)?;
        fault.serialize_field("stream", &self.stream)?;
        fault.serialize_field("seq", &self.seq)?;
        fault.serialize_field("problem", self.problem.code())?;
        fault.serialize_field("detail", &self.problem.to_string())?;
        fault.end()
    }
}

/// What verification found, for people (`Display`) and scripts (JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many streams were read.
    pub streams: u64,
    /// How many rows.
    pub rows: u64,
    /// In the order of stream and seq; at most 1,000.
    pub faults: Vec<VerifyFault>,
    /// How many more there were.
    pub further_faults: u64,
    /// What this could not know, in sentences.
    pub limits: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows in {} streams: ", self.rows, self.streams)?;
        match self.faults.len() as u64 + self.further_faults {
            0 => f.write_str("no fault")?,
            1 => f.write_str("1 fault")?,
            count => write!(f, "{count} faults")?,
        }
        for fault in &self.faults {
            write!(f, "\n{fault}")?;
        }
        if self.further_faults > 0 {
            write!(f, "\n… and {} more", self.further_faults)?;
        }
        for limit in &self.limits {
            write!(f, "\nNot known: {limit}")?;
        }
        Ok(())
    }
}

/// What verification cannot know, whatever it found.
pub(super) fn limits(open: &[(StreamId, u64)], no_key: bool, kept: bool, not_compared: u64) -> Vec<String> {
    let mut limits = Vec::new();
    if no_key {
        limits.push(
            "no public key was given, so no signature was checked: whoever can write the rows can make them fit"
                .to_owned(),
        );
    }
    let ends = match open {
        [] => "none is open".to_owned(),
        [(stream, seq)] => format!("one is open: {stream}, up to seq {seq}"),
        [.., (stream, seq)] => format!("{} are open, the newest is {stream}, up to seq {seq}", open.len()),
    };
    limits.push(if kept {
        format!("whether rows that were written after the kept heads were cut off ({ends}): newer kept heads reach further")
    } else {
        format!(
            "whether the newest rows of open streams were cut off ({ends}), or a whole stream that no other lists: only a kept answer of /v1/audit/heads shows that, and none was given"
        )
    });
    if not_compared > 0 {
        limits.push(format!("{not_compared} heads that streams list were not compared with their rows"));
    }
    limits
}

/// Faults as they are found, bounded.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: Vec<VerifyFault>,
    further: u64,
}

const MAX_FAULTS: usize = 1000;

impl Findings {
    /// Adds a fault, unless the same problem is known of the same place.
    pub(super) fn push(&mut self, stream: StreamId, seq: u64, problem: Problem) {
        let known = |fault: &VerifyFault| {
            fault.stream == stream
                && fault.seq == seq
                && fault.problem.code() == problem.code()
                && !matches!(problem, Problem::Index(_))
        };
        if self.faults.iter().any(known) {
            return;
        }
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(VerifyFault { stream, seq, problem });
        } else {
            self.further += 1;
        }
    }

    pub(super) fn into_sorted(mut self) -> (Vec<VerifyFault>, u64) {
        self.faults.sort_by_key(|fault| (fault.stream, fault.seq));
        (self.faults, self.further)
    }
}
