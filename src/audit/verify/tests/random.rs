//! Logs written at random, and changed at random.

use super::*;
use crate::audit::Signature;
use proptest::{prelude::*, sample::Index as Pick};

/// A log of several streams, written in a random order, and its kept heads.
fn logs() -> impl Strategy<Value = Log> {
    prop::collection::vec((0..5_u8, any::<Pick>(), 1..4_usize), 2..14).prop_map(|steps| {
        let mut log = Log::new();
        let mut open = vec![log.open()];
        for (action, which, count) in steps {
            if open.is_empty() || action == 0 {
                open.push(log.open());
                continue;
            }
            let which = which.index(open.len());
            match action {
                1 => log.close(open.remove(which)),
                2 => log.list(open[which]),
                _ => log.events(open[which], count),
            }
        }
        log
    })
}

fn flipped<const N: usize>(mut bytes: [u8; N], at: Pick, bit: u8) -> [u8; N] {
    bytes[at.index(N)] ^= 1 << bit;
    bytes
}

/// One change to one row, or to two; the row must differ after it.
fn tamper(log: &mut Log, how: u8, which: Pick, where_: Pick, bit: u8) {
    let at = which.index(log.rows.len());
    let (row, index) = &mut log.rows[at];
    match how {
        0 => {
            let (place, old) = row.record.char_indices().nth(where_.index(row.record.chars().count())).unwrap();
            let new = if old == char::from(b'0' + bit) { 'x' } else { char::from(b'0' + bit) };
            row.record.replace_range(place..place + old.len_utf8(), &new.to_string());
        }
        1 => row.hash = flipped(*row.hash.as_bytes(), where_, bit).into(),
        2 => {
            let old = row.signature.map_or([0; 64], |signature| *signature.as_bytes());
            row.signature = Some(Signature::from(flipped(old, where_, bit)));
        }
        3 => index.principal = None,
        4 => index.at += i64::from(bit) + 1,
        5 => drop(log.rows.remove(at)),
        6 => row.seq += u64::from(bit) + 1,
        7 => row.stream = stream(99),
        8 => {
            let other = (at + 1 + where_.index(log.rows.len() - 1)) % log.rows.len();
            log.swap(at, other);
        }
        9 => {
            let copy = log.rows[at].clone();
            log.rows.push(copy);
        }
        _ => {
            let which = (0..log.heads.len()).find(|n| stream(*n) == row.stream).unwrap();
            let seq = row.seq;
            row.record = row.record.replace("alice", "mallo");
            index.principal = Some("user:mallo".to_owned());
            log.chain_again(which, seq);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_untouched_log_is_clean(log in logs()) {
        let (alone, kept) = (log.verify(&[]), log.verify(&log.kept()));
        prop_assert!(alone.is_clean(), "{alone}");
        prop_assert!(kept.is_clean(), "{kept}");
    }

    #[test]
    fn any_change_is_found(
        mut log in logs(), how in 0..11_u8, which: Pick, where_: Pick, bit in 0..8_u8,
    ) {
        prop_assume!(log.rows.len() > 1);
        let kept = log.kept();
        tamper(&mut log, how, which, where_, bit);
        let report = log.verify(&kept);
        prop_assert!(!report.is_clean(), "{how}");
    }
}
