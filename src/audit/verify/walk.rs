use super::report::{Findings, Problem};
use crate::audit::{
    Hash, Head, Index, Kind, PublicKey, Row, StreamId, chain::chain, record::read_canonical, stream::Listed,
};
use serde_json::Value;

/// One stream, as far as its rows have come.
#[derive(Debug)]
pub(super) struct Walk {
    seq: u64,
    /// What the hash of row `seq` may be: one, mostly. Two after a row whose hash does not fit (the stored one, where
    /// its record was changed; the computed one, where its hash was), so that one changed row is one fault. None after
    /// a row that is not there.
    hashes: Vec<Hash>,
    /// The last row with a signature, and the last with a good one.
    signed: u64,
    vouched: u64,
    signer: Signer,
    closed: bool,
    /// The checks that the row before failed: rows that fail the same one after the other are one fault.
    failing: Vec<Check>,
}

/// Who signs this stream.
#[derive(Clone, Copy, Debug)]
enum Signer {
    /// `stream.opened` is not there to say: any of the keys.
    Any,
    /// This one of the keys.
    Key(usize),
    /// One that was not given.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Order,
    Closed,
    Opened,
    Hash,
    Signature,
    Record,
    Index(&'static str),
    Readable,
}

impl Walk {
    pub(super) fn new(stream: StreamId) -> Self {
        Self {
            seq: 0,
            hashes: vec![Head::start(stream).hash],
            signed: 0,
            vouched: 0,
            signer: Signer::Any,
            closed: false,
            failing: Vec::new(),
        }
    }

    /// The last row that came.
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether this can be the hash of the last row. Anything can where the row could not be read.
    pub(super) fn stands_at(&self, hash: &Hash) -> bool {
        self.hashes.is_empty() || self.hashes.contains(hash)
    }

    /// Takes the stream's next row: the heads that it lists. `None` where it has no place, and was left out.
    pub(super) fn step(
        &mut self,
        row: &Row,
        index: Option<&Index>,
        keys: &[PublicKey],
        findings: &mut Findings,
    ) -> Option<Vec<Head>> {
        let mut log = Log { stream: row.stream, seq: row.seq, findings };
        self.advance(&mut log)?;
        let computed: Vec<Hash> = self.hashes.iter().map(|previous| chain(previous, &row.record)).collect();
        let fits = computed.is_empty() || computed.contains(&row.hash);
        self.hashes = if fits { vec![row.hash] } else { vec![row.hash, computed[0]] };
        self.check(Check::Hash, !fits, || Problem::Hash, &mut log);
        if row.signature.is_some() {
            self.signed = row.seq;
        }
        if !fits {
            return Some(Vec::new());
        }
        let listed = self.read(row, index, keys, &mut log);
        self.check_signature(row, keys, &mut log);
        Some(listed)
    }

    /// Takes a row that cannot be read.
    pub(super) fn step_over(&mut self, stream: StreamId, seq: u64, what: &str, findings: &mut Findings) {
        let mut log = Log { stream, seq, findings };
        if self.advance(&mut log).is_some() {
            self.check(Check::Readable, true, || Problem::Unreadable(what.to_owned()), &mut log);
            self.hashes.clear();
            self.signed = seq;
        }
    }

    /// Names the rows at the end that no signature covers.
    pub(super) fn finish(&self, stream: StreamId, findings: &mut Findings) {
        if self.signed < self.seq {
            findings.push(stream, self.signed + 1, Problem::Unsigned { rows: self.seq - self.signed });
        }
    }

    /// Moves on to the row's place, and names what is missing before it.
    fn advance(&mut self, log: &mut Log<'_>) -> Option<()> {
        let late = log.seq <= self.seq;
        self.check(Check::Order, late, || Problem::OutOfOrder, log);
        if late {
            return None;
        }
        let missing = log.seq - self.seq - 1;
        if missing > 0 {
            log.findings.push(log.stream, self.seq + 1, Problem::Missing { rows: missing });
            self.hashes.clear();
            self.failing.clear();
        }
        self.seq = log.seq;
        self.check(Check::Closed, self.closed, || Problem::AfterClosed, log);
        Some(())
    }

    /// Reads a record whose hash is right.
    fn read(&mut self, row: &Row, index: Option<&Index>, keys: &[PublicKey], log: &mut Log<'_>) -> Vec<Head> {
        let parsed = read_canonical(&row.record).and_then(|value| Ok((Index::of_value(&value)?, value)));
        self.failing.retain(|check| *check != Check::Record || parsed.is_err());
        let (expected, value) = match parsed {
            Ok(parsed) => parsed,
            Err(fault) => {
                self.check(Check::Record, true, || Problem::Record(fault), log);
                return Vec::new();
            }
        };
        self.check_index(index, &expected, log);
        let opened = expected.kind == Kind::StreamOpened.as_str();
        let misplaced = opened != (row.seq == 1);
        let problem = || if opened { Problem::OpenedAgain } else { Problem::NotOpened };
        self.check(Check::Opened, misplaced, problem, log);
        self.closed |= expected.kind == Kind::StreamClosed.as_str();
        if !opened && expected.kind != Kind::StreamHeads.as_str() {
            return Vec::new();
        }
        let detail = value.get("detail").cloned().unwrap_or(Value::Null);
        let Ok(listed) = Listed::read(detail) else {
            log.push(Problem::HeadsList);
            return Vec::new();
        };
        if let Some(digest) = listed.signing_key_sha256.filter(|_| row.seq == 1 && !keys.is_empty()) {
            let key = keys.iter().position(|key| key.digest() == digest);
            self.signer = key.map_or(Signer::Unknown, Signer::Key);
            if key.is_none() {
                log.push(Problem::UnknownKey);
            }
        }
        listed.heads
    }

    fn check_index(&mut self, index: Option<&Index>, expected: &Index, log: &mut Log<'_>) {
        let differing = index.map(|index| index.differences(expected)).unwrap_or_default();
        self.failing.retain(|check| !matches!(check, Check::Index(column) if !differing.contains(column)));
        for column in differing {
            self.check(Check::Index(column), true, || Problem::Index(column), log);
        }
    }

    fn check_signature(&mut self, row: &Row, keys: &[PublicKey], log: &mut Log<'_>) {
        let (Some(signature), false) = (&row.signature, keys.is_empty()) else { return };
        let head = row.head();
        let good = match self.signer {
            Signer::Any => keys.iter().any(|key| key.verify(&head, signature)),
            Signer::Key(index) => keys[index].verify(&head, signature),
            Signer::Unknown => return,
        };
        let since = self.vouched + 1;
        self.check(Check::Signature, !good, || Problem::Signature { since }, log);
        if good {
            self.vouched = row.seq;
        }
    }

    /// Notes how a check went; a fault is new where the row before passed it.
    fn check(&mut self, check: Check, failed: bool, problem: impl FnOnce() -> Problem, log: &mut Log<'_>) {
        let known = self.failing.contains(&check);
        if failed && !known {
            self.failing.push(check);
            log.push(problem());
        } else if known && !failed {
            self.failing.retain(|other| *other != check);
        }
    }
}

/// Where a fault is put down: with the row that is looked at.
struct Log<'a> {
    stream: StreamId,
    seq: u64,
    findings: &'a mut Findings,
}

impl Log<'_> {
    fn push(&mut self, problem: Problem) {
        self.findings.push(self.stream, self.seq, problem);
    }
}
