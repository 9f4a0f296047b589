//! Rows as lines of text, to be sent as they are read: JSONL, which `verify` reads back byte for byte, and CSV, which
//! is for spreadsheets and cannot be verified.

use super::{Hash, Row, Signature, StreamId};
use crate::model::Invalid;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// The row as one line of JSON, without its line feed:
/// `{"stream":"…","seq":42,"hash":"…","signature":null,"record":{…}}`, the record byte for byte as it is stored.
#[must_use]
pub fn jsonl_line(row: &Row) -> String {
    let Row { stream, seq, record, hash, signature } = row;
    let signature = signature.map_or("null".to_owned(), |signature| format!("\"{signature}\""));
    format!(r#"{{"stream":"{stream}","seq":{seq},"hash":"{hash}","signature":{signature},"record":{record}}}"#)
}

/// Why a line is no exported row.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not the object that [`jsonl_line`] writes.
    #[error("not an exported row: {0}")]
    Json(#[from] serde_json::Error),
    /// A member of another form.
    #[error("{member}: expected {expected}")]
    Member {
        /// Which.
        member: &'static str,
        /// What it should be.
        expected: Invalid,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    stream: String,
    seq: u64,
    hash: String,
    signature: Option<String>,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// Reads a line of [`jsonl_line`] back; the record keeps its exact bytes.
pub fn parse_jsonl_line(line: &str) -> Result<Row, LineError> {
    let line: Line<'_> = serde_json::from_str(line)?;
    let at = |member| move |expected| LineError::Member { member, expected };
    Ok(Row {
        stream: StreamId::parse(&line.stream).map_err(at("stream"))?,
        seq: line.seq,
        record: line.record.get().to_owned(),
        hash: Hash::parse(&line.hash).map_err(at("hash"))?,
        signature: line.signature.as_deref().map(Signature::parse).transpose().map_err(at("signature"))?,
    })
}

/// A CSV column: its name, and where in the record it is found.
const COLUMNS: [(&str, &str); 23] = [
    ("at", "/at"),
    ("kind", "/kind"),
    ("principal", "/principal"),
    ("account_id", "/account_id"),
    ("role_arn", "/role_arn"),
    ("issuance_id", "/issuance_id"),
    ("code", "/code"),
    ("reason", "/reason"),
    ("via", "/via"),
    ("grant_id", "/grant_id"),
    ("session_name", "/session_name"),
    ("source_identity", "/source_identity"),
    ("duration_seconds", "/duration_seconds"),
    ("expires_at", "/expires_at"),
    ("access_key_id", "/access_key_id"),
    ("assumed_role_id", "/assumed_role_id"),
    ("sts_request_id", "/sts_request_id"),
    ("client_ip", "/client/ip"),
    ("user_agent", "/client/user_agent"),
    ("auth_method", "/auth/method"),
    ("auth_issuer", "/auth/issuer"),
    ("request_id", "/request_id"),
    ("id", "/id"),
];

/// The names of the columns, as one line of CSV with its line end.
#[must_use]
pub fn csv_header() -> String {
    let names = COLUMNS.iter().map(|(name, _)| *name);
    write_csv(names.chain(["stream", "seq", "hash", "signature", "record"]).map(str::to_owned))
}

/// The row as one line of CSV (RFC 4180) with its line end. A cell that a spreadsheet would take for a formula begins
/// with `'`; so the text is not always the stored one, and only JSONL can be verified. A record that is no JSON leaves
/// its cells empty and stands in the last.
#[must_use]
pub fn csv_line(row: &Row) -> String {
    let record: Value = serde_json::from_str(&row.record).unwrap_or_default();
    let cells = COLUMNS.iter().map(|(_, pointer)| match record.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    });
    let signature = row.signature.map_or_else(String::new, |signature| signature.to_string());
    let chain = [row.stream.to_string(), row.seq.to_string(), row.hash.to_string(), signature, row.record.clone()];
    write_csv(cells.chain(chain).map(defuse))
}

/// OWASP, "CSV injection": what begins so is run by spreadsheets as a formula; some take the full-width forms too.
fn defuse(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        format!("'{cell}")
    } else {
        cell
    }
}

#[expect(clippy::expect_used, reason = "writing to memory, and UTF-8 stays UTF-8")]
fn write_csv(cells: impl Iterator<Item = String>) -> String {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).buffer_capacity(2048).from_writer(Vec::new());
    writer.write_record(cells.map(String::into_bytes)).expect("written to memory");
    let line = writer.into_inner().expect("flushed to memory");
    String::from_utf8(line).expect("cells are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{Event, Head, Kind, canonical},
        model::{Reason, Time, UserAgent},
    };
    use proptest::prelude::*;
    use uuid::Uuid;

    fn row(event: &Event, signature: Option<Signature>) -> Row {
        let record = canonical(event);
        let head = Head::start(StreamId::new(Uuid::from_u128(9))).append(&record);
        Row { stream: head.stream, seq: head.seq, hash: head.hash, record, signature }
    }

    fn event() -> Event {
        Event::new(Kind::CredentialsDenied, Uuid::from_u128(1), Time::from_seconds(0).unwrap())
    }

    #[test]
    fn a_line_is_the_contracts() {
        let record = r#"{"a":"}\""}"#.to_owned();
        let row = Row { record, ..row(&event(), None) };
        insta::assert_snapshot!(jsonl_line(&row), @r#"{"stream":"00000000-0000-0000-0000-000000000009","seq":1,"hash":"aa09facc4a3d89baf857e960d519e2309cbee0484962a04785e7456787292d0a","signature":null,"record":{"a":"}\""}}"#);
        let signed = Row { signature: Some(Signature::from([0; 64])), ..row };
        insta::assert_snapshot!(jsonl_line(&signed), @r#"{"stream":"00000000-0000-0000-0000-000000000009","seq":1,"hash":"aa09facc4a3d89baf857e960d519e2309cbee0484962a04785e7456787292d0a","signature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","record":{"a":"}\""}}"#);
        assert_eq!(parse_jsonl_line(&jsonl_line(&signed)).unwrap(), signed);
    }

    #[test]
    fn other_lines_are_refused() {
        let good = jsonl_line(&row(&event(), Some(Signature::from([0; 64]))));
        assert!(parse_jsonl_line(&good).is_ok());
        for (bad, error) in [
            (good.replace("\"seq\":1", "\"seq\":1,\"seq\":1"), "duplicate field `seq`"),
            (good.replace("\"seq\":1", "\"seq\":-1"), "invalid value"),
            (good.replace("\"seq\":1", "\"seq\":1,\"x\":1"), "unknown field `x`"),
            (good.replace("\"seq\":1,", ""), "missing field `seq`"),
            (good.replace("AAAA==", "AAAB=="), "signature: expected a signature"),
            (good.replace("\"hash\":\"", "\"hash\":\"0"), "hash: expected a hash"),
            (good.replace("00000009\"", "9\""), "stream: expected a stream id"),
            (format!("{good}x"), "trailing characters"),
            (String::new(), "EOF"),
        ] {
            let shown = parse_jsonl_line(&bad).unwrap_err().to_string();
            assert!(shown.contains(error), "{shown}");
        }
    }

    #[test]
    fn csv_has_a_cell_for_each_name() {
        let mut event = event();
        event.reason = Some(Reason::parse("=HYPERLINK(\"http://x\"), now").unwrap());
        event.client = Some(crate::audit::Client {
            ip: Some([10, 0, 0, 1].into()),
            peer: None,
            user_agent: Some(UserAgent::cleaned("＠SUM(A1)")),
        });
        let row = row(&event, Some(Signature::from([0xf8; 64])));
        let text = csv_header() + &csv_line(&row) + &csv_line(&Row { record: "no JSON".to_owned(), ..row.clone() });
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let names = reader.headers().unwrap().clone();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let cell = |row: usize, name: &str| rows[row][names.iter().position(|n| n == name).unwrap()].to_owned();
        for (name, value) in [
            ("at", "1970-01-01T00:00:00Z"),
            ("kind", "credentials.denied"),
            ("principal", ""),
            ("reason", "'=HYPERLINK(\"http://x\"), now"),
            ("client_ip", "10.0.0.1"),
            ("user_agent", "'＠SUM(A1)"),
            ("seq", "1"),
            ("record", &row.record),
        ] {
            assert_eq!(cell(0, name), value, "{name}");
        }
        assert!(cell(0, "signature").starts_with("'+Pj4"), "{}", cell(0, "signature"));
        assert_eq!((cell(1, "kind"), cell(1, "record")), (String::new(), "no JSON".to_owned()));
        assert!(text.lines().count() == 3 && text.ends_with("\r\n"));
    }

    #[test]
    fn formulas_are_defused() {
        for start in ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"] {
            assert_eq!(defuse(format!("{start}1")), format!("'{start}1"));
        }
        for cell in ["", "1-1", "alice@example.com", "'x"] {
            assert_eq!(defuse(cell.to_owned()), cell);
        }
    }

    proptest! {
        #[test]
        fn exported_rows_come_back_byte_for_byte(
            text in ".{0,40}", seq in 0..1_u64 << 53, hash in any::<[u8; 32]>(), signed in any::<bool>(),
        ) {
            let mut event = event();
            event.detail.insert(text.clone(), text.into());
            let signature = signed.then(|| Signature::from([hash[0]; 64]));
            let row = Row { seq, hash: hash.into(), ..row(&event, signature) };
            let line = jsonl_line(&row);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(parse_jsonl_line(&line).unwrap(), row);
        }
    }
}
