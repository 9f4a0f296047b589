//! Verification: whether the stored rows are those that were written, all of them, by the holder of the key.
//!
//! Feed every row with [`Verifier::row`], in the order of `seq` within each stream, the streams one after the other or
//! mixed; then answer [`Verifier::asked`]; then [`Verifier::finish`]. Memory grows with the number of streams, never
//! with that of the rows. For that reason it does not look for an event id that stands in two rows: the database's
//! unique index does.
//!
//! Must never trust a column that is not bound by the chain, nor mend what it reads.

mod report;
mod walk;

pub use report::{Problem, Report, VerifyFault, Witness};

use super::{Hash, Head, Index, PublicKey, Row, SignedHead, StreamId};
use report::Findings;
use std::collections::BTreeMap;
use walk::Walk;

/// Checks rows as they come, and collects what is wrong.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<PublicKey>,
    /// Kept heads whose rows have not come by yet.
    kept: BTreeMap<(StreamId, u64), Hash>,
    kept_any: bool,
    walks: BTreeMap<StreamId, Walk>,
    claims: BTreeMap<StreamId, Claim>,
    findings: Findings,
    rows: u64,
}

/// The furthest head that another stream names. Its hash binds every row before it, so one for each stream is enough.
#[derive(Debug)]
struct Claim {
    seq: u64,
    hash: Hash,
    by: Witness,
    compared: bool,
}

impl Verifier {
    /// With the public halves of all keys that ever signed, and heads that were kept outside. Without a key the
    /// signatures are not checked, and the report says so.
    #[must_use]
    pub fn new(keys: Vec<PublicKey>, kept_heads: &[SignedHead]) -> Self {
        let mut findings = Findings::default();
        let mut kept = BTreeMap::new();
        for SignedHead { head, signature, .. } in kept_heads {
            if !keys.is_empty() && !keys.iter().any(|key| key.verify(head, signature)) {
                findings.push(head.stream, head.seq, Problem::KeptSignature);
            } else if kept.insert((head.stream, head.seq), head.hash).is_some_and(|other| other != head.hash) {
                findings.push(head.stream, head.seq, Problem::Contradicts { by: Witness::KeptHead });
            }
        }
        Self {
            keys,
            kept,
            kept_any: !kept_heads.is_empty(),
            walks: BTreeMap::new(),
            claims: BTreeMap::new(),
            findings,
            rows: 0,
        }
    }

    /// Takes the next row; `index` is what the database keeps beside it, an exported file has none.
    pub fn row(&mut self, row: &Row, index: Option<&Index>) {
        self.rows += 1;
        let walk = self.walks.entry(row.stream).or_insert_with(|| Walk::new(row.stream));
        let Some(listed) = walk.step(row, index, &self.keys, &mut self.findings) else { return };
        if let Some(hash) = self.kept.remove(&(row.stream, row.seq)) {
            if !walk.stands_at(&hash) {
                self.findings.push(row.stream, row.seq, Problem::Contradicts { by: Witness::KeptHead });
            } else if row.signature.is_none() {
                self.findings.push(row.stream, row.seq, Problem::SignatureGone);
            }
        }
        if let Some(claim) = self.claims.get_mut(&row.stream).filter(|claim| claim.seq == row.seq) {
            claim.compared = true;
            if !walk.stands_at(&claim.hash) {
                self.findings.push(row.stream, row.seq, Problem::Contradicts { by: claim.by });
            }
        }
        for head in listed {
            self.hear(head, Witness::Stream { stream: row.stream, seq: row.seq });
        }
    }

    /// Takes a row of which the database gave only the place, for what is in its columns cannot be one: `what` says
    /// which, and how.
    pub fn unreadable(&mut self, stream: StreamId, seq: u64, what: &str) {
        self.rows += 1;
        let walk = self.walks.entry(stream).or_insert_with(|| Walk::new(stream));
        walk.step_over(stream, seq, what, &mut self.findings);
    }

    /// The rows whose hashes are still wanted, at most one for each stream: a list named them when they had already
    /// gone by, or they have not come. Look each up and [`answer`](Self::answer).
    #[must_use]
    pub fn asked(&self) -> Vec<(StreamId, u64)> {
        let open = self.claims.iter().filter(|(_, claim)| !claim.compared);
        open.map(|(stream, claim)| (*stream, claim.seq)).collect()
    }

    /// The hash of a row that was asked for, or `None` where there is no such row. While the service writes on, a row
    /// may be there that had not been when its stream was read.
    pub fn answer(&mut self, stream: StreamId, seq: u64, hash: Option<Hash>) {
        let Some(claim) = self.claims.get_mut(&stream).filter(|claim| claim.seq == seq) else { return };
        if let Some(hash) = hash {
            claim.compared = true;
            if hash != claim.hash {
                self.findings.push(stream, seq, Problem::Contradicts { by: claim.by });
            }
        }
    }

    /// What came out.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for (stream, walk) in &self.walks {
            walk.finish(*stream, &mut self.findings);
        }
        let kept = std::mem::take(&mut self.kept);
        for (stream, seq) in kept.into_keys() {
            self.absent(stream, seq, Witness::KeptHead);
        }
        let mut not_compared = 0;
        for (stream, claim) in std::mem::take(&mut self.claims) {
            if !claim.compared && !self.absent(stream, claim.seq, claim.by) {
                not_compared += 1;
            }
        }
        let open = self.walks.iter().filter(|(_, walk)| !walk.is_closed());
        let open: Vec<_> = open.map(|(stream, walk)| (*stream, walk.seq())).collect();
        let (faults, further_faults) = self.findings.into_sorted();
        let limits = report::limits(&open, self.keys.is_empty(), self.kept_any, not_compared);
        Report { streams: self.walks.len() as u64, rows: self.rows, faults, further_faults, limits }
    }

    /// Notes what a list says about a stream.
    fn hear(&mut self, head: Head, by: Witness) {
        let Head { stream, seq, hash } = head;
        if let Some(known) = self.claims.get(&stream) {
            if known.seq == seq && known.hash != hash {
                self.findings.push(stream, seq, Problem::Contradicts { by });
            }
            if known.seq >= seq {
                return;
            }
        }
        let walk = self.walks.get(&stream).filter(|walk| walk.seq() == seq);
        if walk.is_some_and(|walk| !walk.stands_at(&hash)) {
            self.findings.push(stream, seq, Problem::Contradicts { by });
        }
        self.claims.insert(stream, Claim { seq, hash, by, compared: walk.is_some() });
    }

    /// Names what is missing where a witness saw a row that never came. False where the stream goes on past it.
    fn absent(&mut self, stream: StreamId, seq: u64, by: Witness) -> bool {
        match self.walks.get(&stream) {
            None => self.findings.push(stream, 1, Problem::StreamGone { by }),
            Some(walk) if seq > walk.seq() => self.findings.push(stream, walk.seq() + 1, Problem::Truncated { by }),
            Some(_) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests;
