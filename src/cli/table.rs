//! Rows under a heading, for people.

use anstyle::Style;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Write;

/// Prints what an answer lists.
pub(super) fn show<T: DeserializeOwned, const N: usize>(
    head: [&str; N],
    listed: Vec<Value>,
    row: impl Fn(T) -> [String; N],
) -> anyhow::Result<()> {
    let listed = listed.into_iter().map(serde_json::from_value).collect::<Result<Vec<T>, _>>()?;
    print(head, listed.into_iter().map(row))
}

/// Prints them with columns as wide as their widest, the last as it is; what others wrote obeys no terminal.
pub(super) fn print<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> anyhow::Result<()> {
    let rows: Vec<[String; N]> = [head.map(str::to_owned)].into_iter().chain(rows).collect();
    let rows: Vec<[String; N]> = rows.into_iter().map(|row| row.map(|cell| super::one_line(&cell))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = anstream::stdout().lock();
    for (i, row) in rows.iter().enumerate() {
        let style = if i == 0 { Style::new().bold() } else { Style::new() };
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{style}{}{style:#}", cells.join("  ").trim_end())?;
    }
    Ok(out.flush()?)
}
