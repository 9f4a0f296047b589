use super::*;
use crate::{
    audit::{Event, Kind, Opening, SigningKey, canonical, heads_detail, key::tests::RFC_8032},
    model::{AccountId, Principal, Time},
};
use serde_json::{Map, Value};
use uuid::Uuid;

mod random;

/// Streams as a recorder writes them.
struct Log {
    key: SigningKey,
    heads: Vec<Head>,
    rows: Vec<(Row, Index)>,
    events: u64,
}

impl Log {
    fn new() -> Self {
        Self { key: SigningKey::from_pem(RFC_8032).unwrap(), heads: Vec::new(), rows: Vec::new(), events: 0 }
    }

    /// Opens a stream and says which: it lists all there are.
    fn open(&mut self) -> usize {
        let digest = Hash::from([3; 32]);
        let opening = Opening {
            version: "0.1.0".to_owned(),
            admins_sha256: digest,
            issuers_sha256: digest,
            signing_key_sha256: self.key.public().digest(),
            heads: self.heads.clone(),
        };
        self.heads.push(Head::start(stream(self.heads.len())));
        self.commit(self.heads.len() - 1, &[(Kind::StreamOpened, opening.detail())]);
        self.heads.len() - 1
    }

    /// One commit: the last of its rows is signed.
    fn commit(&mut self, which: usize, events: &[(Kind, Map<String, Value>)]) {
        for (kind, detail) in events {
            self.events += 1;
            let at = Time::from_seconds(1_800_000_000 + i64::try_from(self.events).unwrap()).unwrap();
            let mut event = Event::new(*kind, Uuid::from_u128(u128::from(self.events)), at);
            event.principal = Some(Principal::parse("user:alice").unwrap());
            event.account_id = Some(AccountId::parse("111122223333").unwrap());
            event.detail = detail.clone();
            let record = canonical(&event);
            let head = self.heads[which].append(&record);
            self.heads[which] = head;
            let row = Row { stream: head.stream, seq: head.seq, record, hash: head.hash, signature: None };
            self.rows.push((row, Index::of(&event)));
        }
        let (last, _) = self.rows.last_mut().unwrap();
        last.signature = Some(self.key.sign(&last.head()));
    }

    fn events(&mut self, which: usize, count: usize) {
        self.commit(which, &vec![(Kind::CredentialsDenied, Map::new()); count]);
    }

    fn list(&mut self, which: usize) {
        let others: Vec<Head> = self.heads.iter().filter(|head| head.stream != stream(which)).copied().collect();
        self.commit(which, &[(Kind::StreamHeads, heads_detail(&others))]);
    }

    fn close(&mut self, which: usize) {
        self.commit(which, &[(Kind::StreamClosed, Map::new())]);
    }

    fn kept(&self) -> Vec<SignedHead> {
        let signed = |head: &Head| SignedHead { head: *head, signature: self.key.sign(head), at: None };
        self.heads.iter().map(signed).collect()
    }

    fn verify(&self, kept: &[SignedHead]) -> Report {
        verify(&self.rows, vec![self.key.public()], kept)
    }

    fn at(&mut self, which: usize, seq: u64) -> &mut (Row, Index) {
        let wanted = |(row, _): &&mut (Row, Index)| row.stream == stream(which) && row.seq == seq;
        self.rows.iter_mut().find(wanted).unwrap()
    }

    fn remove(&mut self, which: usize, seqs: impl std::ops::RangeBounds<u64>) {
        self.rows.retain(|(row, _)| row.stream != stream(which) || !seqs.contains(&row.seq));
    }

    /// What stands in two rows, exchanged; their places stay.
    fn swap(&mut self, one: usize, other: usize) {
        self.rows.swap(one, other);
        let place = |(row, _): &(Row, Index)| (row.stream, row.seq);
        let (first, second) = (place(&self.rows[one]), place(&self.rows[other]));
        (self.rows[one].0.stream, self.rows[one].0.seq) = second;
        (self.rows[other].0.stream, self.rows[other].0.seq) = first;
    }

    /// Makes the chain fit again from a row on, as one does who has no key.
    fn chain_again(&mut self, which: usize, from: u64) {
        let mut head = Head::start(stream(which));
        for (row, _) in self.rows.iter_mut().filter(|(row, _)| row.stream == stream(which)) {
            head = if row.seq < from { row.head() } else { head.append(&row.record) };
            row.hash = head.hash;
        }
    }

    /// Adds a row as one does who has no key.
    fn forge(&mut self, which: usize, kind: Kind) {
        let key = self.key.sign(&self.heads[which]);
        self.commit(which, &[(kind, Map::new())]);
        let (last, _) = self.rows.last_mut().unwrap();
        last.signature = (kind == Kind::CredentialsIssued).then_some(key);
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.rows.iter().map(|(row, _)| (row.head(), row.signature.is_some()))).finish()
    }
}

fn stream(which: usize) -> StreamId {
    StreamId::new(Uuid::from_u128(0x7000_8000_0000_0000_0000 + which as u128))
}

fn verify(rows: &[(Row, Index)], keys: Vec<PublicKey>, kept: &[SignedHead]) -> Report {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_key(|(row, _)| (row.stream, row.seq));
    let mut verifier = Verifier::new(keys, kept);
    for (row, index) in &rows {
        verifier.row(row, Some(index));
    }
    for (stream, seq) in verifier.asked() {
        let found = rows.iter().find(|(row, _)| (row.stream, row.seq) == (stream, seq));
        verifier.answer(stream, seq, found.map(|(row, _)| row.hash));
    }
    verifier.finish()
}

/// Stream 0: opened, 2–3, 4–6, list 7, 8, closed 9. Stream 1: opened, 2–3, list 4, 5–6, open. Stream 2: opened, 2.
fn sample() -> Log {
    let mut log = Log::new();
    let first = log.open();
    log.events(first, 2);
    let second = log.open();
    log.events(second, 2);
    log.events(first, 3);
    log.list(first);
    log.list(second);
    log.events(first, 1);
    log.events(second, 2);
    log.close(first);
    let third = log.open();
    log.events(third, 1);
    log
}

fn faults(report: &Report) -> Vec<(usize, u64, &'static str)> {
    let which = |id| (0..9).find(|n| stream(*n) == id).unwrap();
    report.faults.iter().map(|fault| (which(fault.stream), fault.seq, fault.problem.code())).collect()
}

#[test]
fn what_was_written_verifies() {
    let log = sample();
    let report = log.verify(&log.kept());
    assert_eq!(faults(&report), []);
    assert!(report.is_clean());
    insta::assert_snapshot!(report, @r"
    17 rows in 3 streams: no fault
    Not known: whether rows that were written after the kept heads were cut off (2 are open, the newest is 00000000-0000-7000-8000-000000000002, up to seq 2): newer kept heads reach further
    ");
    insta::assert_snapshot!(log.verify(&[]), @r"
    17 rows in 3 streams: no fault
    Not known: whether the newest rows of open streams were cut off (2 are open, the newest is 00000000-0000-7000-8000-000000000002, up to seq 2), or a whole stream that no other lists: only a kept answer of /v1/audit/heads shows that, and none was given
    ");
    assert!(verify(&[], vec![], &[]).is_clean());
}

/// A name, what is done to the sample, and what `verify` must say of it.
type Case = (&'static str, fn(&mut Log), &'static [(usize, u64, &'static str)]);

fn run(cases: &[Case]) {
    for (name, tamper, expected) in cases {
        let mut log = sample();
        tamper(&mut log);
        let report = log.verify(&[]);
        assert_eq!(faults(&report), *expected, "{name}: {report}");
    }
}

#[test]
fn a_changed_column_is_named() {
    run(&[
        ("record", |l| l.at(0, 4).0.record = l.at(0, 4).0.record.replace("alice", "mallo"), &[(0, 4, "hash")]),
        ("hash", |l| l.at(0, 5).0.hash = [9; 32].into(), &[(0, 5, "hash")]),
        ("hash of a signed row", |l| l.at(0, 6).0.hash = [9; 32].into(), &[(0, 6, "hash")]),
        ("hash of the last row", |l| l.at(2, 2).0.hash = [9; 32].into(), &[(2, 2, "hash")]),
        (
            "two records",
            |l| [2, 8].into_iter().for_each(|seq| l.at(0, seq).0.record.push(' ')),
            &[(0, 2, "hash"), (0, 8, "hash")],
        ),
        ("signature", |l| l.at(1, 3).0.signature = Some([0; 64].into()), &[(1, 3, "signature")]),
        ("signature from elsewhere", |l| l.at(1, 3).0.signature = l.at(0, 3).0.signature, &[(1, 3, "signature")]),
        ("signature on an unsigned row", |l| l.at(1, 2).0.signature = Some([0; 64].into()), &[(1, 2, "signature")]),
        ("signature of the last row removed", |l| l.at(1, 6).0.signature = None, &[(1, 5, "unsigned")]),
        ("index principal", |l| l.at(1, 2).1.principal = Some("user:bob".to_owned()), &[(1, 2, "index")]),
        ("index principal null", |l| l.at(1, 2).1.principal = None, &[(1, 2, "index")]),
        ("index account", |l| l.at(1, 2).1.account_id = None, &[(1, 2, "index")]),
        ("index role", |l| l.at(1, 2).1.role_arn = Some("x".to_owned()), &[(1, 2, "index")]),
        ("index issuance", |l| l.at(1, 2).1.issuance_id = Some("x".to_owned()), &[(1, 2, "index")]),
        ("index kind", |l| l.at(1, 2).1.kind = "credentials.issued".to_owned(), &[(1, 2, "index")]),
        ("index at", |l| l.at(1, 2).1.at += 1, &[(1, 2, "index")]),
        ("index id", |l| l.at(1, 2).1.id.push('0'), &[(1, 2, "index")]),
        ("two columns", |l| (l.at(1, 2).1.at, l.at(1, 2).1.principal) = (0, None), &[(1, 2, "index"), (1, 2, "index")]),
    ]);
}

#[test]
fn a_row_removed_or_put_in_is_named() {
    run(&[
        ("one row removed", |l| l.remove(0, 5..=5), &[(0, 5, "missing")]),
        ("some rows removed", |l| l.remove(0, 2..=5), &[(0, 2, "missing")]),
        ("the first row removed", |l| l.remove(0, 1..=1), &[(0, 1, "missing")]),
        ("a commit cut short", |l| l.remove(1, 6..), &[(1, 5, "unsigned"), (1, 6, "truncated")]),
        ("a stream cut off", |l| l.remove(0, 8..), &[(0, 8, "truncated")]),
        ("a whole stream removed", |l| l.remove(1, ..), &[(1, 1, "stream_gone")]),
        ("the first stream removed", |l| l.remove(0, ..), &[(0, 1, "stream_gone")]),
        (
            "a row there twice",
            |l| {
                let twice = l.at(1, 2).clone();
                l.rows.push(twice);
            },
            &[(1, 2, "out_of_order")],
        ),
        (
            "a row at 0",
            |l| {
                let mut row = l.at(1, 2).clone();
                row.0.seq = 0;
                l.rows.push(row);
            },
            &[(1, 0, "out_of_order")],
        ),
        ("neighbours swapped", |l| l.swap(1, 2), &[(0, 2, "hash")]),
        ("rows of two streams swapped", |l| l.swap(1, 4), &[(0, 2, "hash"), (1, 2, "hash")]),
        (
            "numbered anew after a removal",
            |l| {
                l.remove(0, 4..=4);
                l.rows
                    .iter_mut()
                    .filter(|(row, _)| row.stream == stream(0) && row.seq > 4)
                    .for_each(|(row, _)| row.seq -= 1);
            },
            &[(0, 4, "hash"), (0, 5, "signature"), (0, 9, "truncated")],
        ),
        (
            "a row put in between",
            |l| {
                let mut row = l.at(0, 3).clone();
                l.rows
                    .iter_mut()
                    .filter(|(row, _)| row.stream == stream(0) && row.seq > 4)
                    .for_each(|(row, _)| row.seq += 1);
                row.0.seq = 5;
                l.rows.push(row);
            },
            &[(0, 5, "hash"), (0, 7, "signature"), (0, 9, "contradicts")],
        ),
        (
            "changed and chained again",
            |l| {
                l.at(0, 4).0.record = l.at(0, 4).0.record.replace("alice", "mallo");
                l.at(0, 4).1.principal = Some("user:mallo".to_owned());
                l.chain_again(0, 4);
            },
            &[(0, 6, "signature"), (0, 9, "contradicts")],
        ),
        (
            "chained again without signatures",
            |l| {
                l.at(0, 8).0.record = l.at(0, 8).0.record.replace("alice", "mallo");
                l.at(0, 8).1.principal = Some("user:mallo".to_owned());
                l.chain_again(0, 8);
                l.at(0, 8).0.signature = None;
                l.at(0, 9).0.signature = None;
            },
            &[(0, 8, "unsigned"), (0, 9, "contradicts")],
        ),
        ("a forged row at the end", |l| l.forge(2, Kind::CredentialsDenied), &[(2, 3, "unsigned")]),
        ("a forged row with an old signature", |l| l.forge(2, Kind::CredentialsIssued), &[(2, 3, "signature")]),
        (
            "a forged stream",
            |l| {
                l.heads.push(Head::start(stream(3)));
                l.forge(3, Kind::CredentialsDenied);
            },
            &[(3, 1, "not_opened"), (3, 1, "unsigned")],
        ),
    ]);
}

/// What only the holder of the key can write, and must not.
#[test]
fn the_holder_of_the_key_is_held_to_the_rules() {
    run(&[
        ("a row after the end", |l| l.events(0, 2), &[(0, 10, "after_closed")]),
        (
            "opened twice",
            |l| {
                let again = heads_detail(&[]);
                l.commit(1, &[(Kind::StreamOpened, again)]);
            },
            &[(1, 7, "opened_again")],
        ),
        (
            "no opening",
            |l| {
                l.heads.push(Head::start(stream(3)));
                l.events(3, 1);
            },
            &[(3, 1, "not_opened")],
        ),
        ("a list that is none", |l| l.commit(1, &[(Kind::StreamHeads, Map::new())]), &[(1, 7, "heads_list")]),
        (
            "a list of what never was",
            |l| {
                let claim = heads_detail(&[Head { seq: 40, ..l.heads[0] }, Head::start(stream(5))]);
                l.commit(1, &[(Kind::StreamHeads, claim)]);
            },
            &[(0, 10, "truncated"), (5, 1, "stream_gone")],
        ),
        (
            "a list with another hash for a last row",
            |l| {
                let claim = heads_detail(&[Head { hash: [1; 32].into(), ..l.heads[0] }]);
                l.commit(1, &[(Kind::StreamHeads, claim)]);
            },
            &[(0, 9, "contradicts")],
        ),
        (
            "a list with another hash for a row gone by",
            |l| {
                let claim = heads_detail(&[Head { seq: 6, hash: [1; 32].into(), ..l.heads[1] }]);
                l.events(1, 1);
                l.commit(2, &[(Kind::StreamHeads, claim)]);
            },
            &[(1, 6, "contradicts")],
        ),
        (
            "a list with another hash for a row to come",
            |l| {
                let claim = heads_detail(&[Head { seq: 2, hash: [1; 32].into(), ..l.heads[2] }]);
                l.commit(1, &[(Kind::StreamHeads, claim)]);
            },
            &[(2, 2, "contradicts")],
        ),
        (
            "a history written again",
            |l| {
                l.at(1, 5).0.record = l.at(1, 5).0.record.replace("alice", "mallo");
                l.at(1, 5).1.principal = Some("user:mallo".to_owned());
                l.chain_again(1, 5);
                let head = l.at(1, 6).0.head();
                l.at(1, 6).0.signature = Some(l.key.sign(&head));
            },
            &[(1, 6, "contradicts")],
        ),
        (
            "a record that is not canonical",
            |l| {
                let (row, _) = l.at(2, 2);
                row.record = row.record.replace("\"v\":1", "\"v\":1,\"v\":1");
                l.chain_again(2, 2);
                let head = l.at(2, 2).0.head();
                l.at(2, 2).0.signature = Some(l.key.sign(&head));
            },
            &[(2, 2, "record")],
        ),
    ]);
}

#[test]
fn kept_heads_show_what_leaves_no_trace_otherwise() {
    let cases: &[Case] = &[
        ("the newest row", |l| l.remove(2, 2..), &[(2, 2, "truncated")]),
        ("the newest stream", |l| l.remove(2, ..), &[(2, 1, "stream_gone")]),
        (
            "history written again with the key",
            |l| {
                l.at(2, 2).0.record = l.at(2, 2).0.record.replace("alice", "mallo");
                l.at(2, 2).1.principal = Some("user:mallo".to_owned());
                l.chain_again(2, 2);
                let head = l.at(2, 2).0.head();
                l.at(2, 2).0.signature = Some(l.key.sign(&head));
            },
            &[(2, 2, "contradicts")],
        ),
        (
            "a signature that later ones cover",
            |l| {
                l.at(2, 2).0.signature = None;
                l.events(2, 1);
            },
            &[(2, 2, "signature_gone")],
        ),
    ];
    for (name, tamper, expected) in cases {
        let mut log = sample();
        let kept = log.kept();
        tamper(&mut log);
        assert_eq!(faults(&log.verify(&[])), [], "{name}");
        let report = log.verify(&kept);
        assert_eq!(faults(&report), *expected, "{name}: {report}");
    }
}

#[test]
fn a_changed_hash_is_not_held_against_its_neighbours() {
    for (which, seq) in [(0, 8), (2, 2)] {
        let mut log = sample();
        let kept = log.kept();
        log.at(which, seq).0.hash = [9; 32].into();
        let report = log.verify(&kept);
        assert_eq!(faults(&report), [(which, seq, "hash")]);
        assert!(report.limits[0].contains("2 are open"), "the closing row counts: {report}");
    }
}

#[test]
fn kept_heads_must_be_genuine() {
    let log = sample();
    let mut kept = log.kept();
    kept[1].head.seq = 5;
    kept[2].signature = [0; 64].into();
    assert_eq!(faults(&log.verify(&kept)), [(1, 5, "kept_signature"), (2, 2, "kept_signature")]);

    let mut kept = log.kept();
    let other = Head { hash: [1; 32].into(), ..log.heads[1] };
    kept.push(SignedHead { head: other, signature: log.key.sign(&other), at: None });
    assert_eq!(faults(&log.verify(&kept)), [(1, 6, "contradicts")]);
    kept.swap_remove(1);
    assert_eq!(faults(&log.verify(&kept)), [(1, 6, "contradicts")]);
}

#[test]
fn keys_are_looked_for_by_name() {
    let log = sample();
    let (other, _) = SigningKey::generate();
    let both = verify(&log.rows, vec![other.public(), log.key.public()], &log.kept());
    assert_eq!(faults(&both), []);
    let strange = verify(&log.rows, vec![other.public()], &[]);
    assert_eq!(faults(&strange), [(0, 1, "unknown_key"), (1, 1, "unknown_key"), (2, 1, "unknown_key")]);
    let none = verify(&log.rows, vec![], &[]);
    assert!(none.is_clean() && none.limits[0].contains("no signature was checked"), "{none}");
}

#[test]
fn streams_may_come_mixed_and_without_index_columns() {
    let mut log = sample();
    log.events(1, 1);
    let stale = log.heads[1];
    log.events(1, 1);
    log.commit(2, &[(Kind::StreamHeads, heads_detail(&[stale]))]);
    let mut verifier = Verifier::new(vec![log.key.public()], &log.kept());
    log.rows.iter().for_each(|(row, _)| verifier.row(row, None));
    let asked = verifier.asked();
    assert!(!asked.is_empty());
    let mut backwards = Verifier::new(vec![log.key.public()], &log.kept());
    log.rows.iter().rev().for_each(|(row, _)| backwards.row(row, None));
    assert!(!backwards.finish().is_clean());
    let report = verifier.finish();
    assert_eq!(faults(&report), []);
    assert!(report.limits.last().unwrap().starts_with("1 heads"), "{report}");
}

#[test]
fn an_unreadable_row_is_one_fault() {
    let log = sample();
    let mut verifier = Verifier::new(vec![log.key.public()], &log.kept());
    for (row, index) in &log.rows {
        if (row.stream, row.seq) == (stream(0), 6) {
            verifier.unreadable(row.stream, row.seq, "the hash has 31 bytes");
        } else {
            verifier.row(row, Some(index));
        }
    }
    assert_eq!(faults(&verifier.finish()), [(0, 6, "unreadable")]);
}

#[test]
fn a_live_log_may_go_on_while_it_is_read() {
    let mut log = sample();
    let read: Vec<_> = log.rows.clone();
    log.events(1, 3);
    log.list(2);
    let later = log.rows.iter().filter(|(row, _)| row.stream == stream(2));
    let mut verifier = Verifier::new(vec![log.key.public()], &[]);
    let earlier = read.iter().filter(|(row, _)| row.stream != stream(2));
    earlier.chain(later).for_each(|(row, index)| verifier.row(row, Some(index)));
    for (stream, seq) in verifier.asked() {
        let found = log.rows.iter().find(|(row, _)| (row.stream, row.seq) == (stream, seq));
        verifier.answer(stream, seq, found.map(|(row, _)| row.hash));
    }
    let report = verifier.finish();
    assert_eq!(faults(&report), [], "{report}");
}

#[test]
fn faults_are_bounded_and_counted() {
    let mut log = sample();
    let streams = 1100;
    for n in 0..streams {
        log.heads.push(Head::start(stream(3 + n)));
        log.events(3 + n, 1);
    }
    let report = log.verify(&[]);
    assert_eq!((report.faults.len() as u64, report.further_faults), (1000, streams as u64 - 1000));
    assert!(report.to_string().contains("1100 faults") && report.to_string().contains("and 100 more"));
}

#[test]
fn a_report_reads_as_json() {
    let mut log = sample();
    log.remove(0, 5..=5);
    insta::assert_snapshot!(serde_json::to_string(&log.verify(&[]).faults).unwrap(), @r#"[{"stream":"00000000-0000-7000-8000-000000000000","seq":5,"problem":"missing","detail":"rows are missing from here on: 1"}]"#);
}
