use crate::{
    app, audit,
    audit::{Heads, PublicKey, SignedHead, Verifier},
    config, evidence,
    model::with_causes,
};
use anyhow::{Context, bail};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, IsTerminal, stderr},
    path::{Path, PathBuf},
};

/// Verify the audit: every stream, every hash, every signature, every index column.
///
/// Walks the configured database, or an export in JSONL without a filter, and names stream and place of the first row
/// of each fault; exit code 1 where there is any. What cannot be seen from inside it says too: the newest rows of an
/// open stream can be cut off without a trace, unless a kept answer of GET /v1/audit/heads is given. Changes nothing, and
/// may run beside the service.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An exported file instead of the configured database: JSONL, without a filter.
    #[arg(value_name = "EXPORT")]
    export: Option<PathBuf>,
    /// A public key that signed the audit, PEM; may be given more than once. By default that of the configured key.
    #[arg(long = "public-key", value_name = "FILE")]
    public_keys: Vec<PathBuf>,
    /// A kept answer of GET /v1/audit/heads, taken before the export.
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<()> {
        let kept = self.kept_heads()?;
        let report = if let Some(export) = &self.export {
            verify_export(export, self.keys(file)?, &kept)?
        } else {
            let config = config::load(file, config::environment())?;
            let store = app::open_store(&config)?;
            app::check_schema(&store).await?;
            let shows = stderr().is_terminal();
            let report = evidence::verify(&store, self.keys(file)?, &kept, |rows| progress(shows, rows)).await?;
            store.close().await;
            report
        };
        super::super::print(&if self.json { serde_json::to_string_pretty(&report)? } else { report.to_string() })?;
        if report.is_clean() {
            return Ok(());
        }
        bail!("the audit does not verify: keep the database as it is, and look into each fault above")
    }

    fn keys(&self, file: Option<&Path>) -> anyhow::Result<Vec<PublicKey>> {
        if self.public_keys.is_empty() {
            let config = config::load(file, config::environment())
                .context("give --public-key, or a configuration whose audit key signed the audit")?;
            return Ok(vec![app::load_key(&config.audit.signing_key_file)?.public()]);
        }
        let read = |path: &PathBuf| {
            let name = || path.display().to_string();
            PublicKey::from_pem(&fs::read_to_string(path).with_context(name)?).with_context(name)
        };
        self.public_keys.iter().map(read).collect()
    }

    fn kept_heads(&self) -> anyhow::Result<Vec<SignedHead>> {
        let Some(path) = &self.heads else { return Ok(Vec::new()) };
        let name = || path.display().to_string();
        Ok(Heads::parse(&fs::read(path).with_context(name)?).with_context(name)?.heads)
    }
}

fn verify_export(path: &Path, keys: Vec<PublicKey>, kept: &[SignedHead]) -> anyhow::Result<audit::Report> {
    let mut verifier = Verifier::new(keys, kept);
    for row in rows(path)? {
        verifier.row(&row?, None);
    }
    let asked = verifier.asked();
    if !asked.is_empty() {
        let mut found = vec![None; asked.len()];
        for row in rows(path)? {
            let row = row?;
            for (place, hash) in asked.iter().zip(&mut found) {
                if *place == (row.stream, row.seq) {
                    *hash = Some(row.hash);
                }
            }
        }
        for ((stream, seq), hash) in asked.into_iter().zip(found) {
            verifier.answer(stream, seq, hash);
        }
    }
    Ok(verifier.finish())
}

fn rows(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<audit::Row>>> {
    let name = path.display().to_string();
    let lines = BufReader::new(File::open(path).with_context(|| name.clone())?).lines();
    Ok(lines.enumerate().map(move |(i, line)| {
        let place = || format!("{name}:{}", i + 1);
        audit::parse_jsonl_line(&line.with_context(place)?)
            .map_err(|fault| anyhow::anyhow!("{}: {}", place(), with_causes(&fault)))
    }))
}

/// Long work shows where it is, on a terminal.
#[expect(clippy::print_stderr, reason = "progress is for the person at the terminal, not for the output")]
fn progress(shows: bool, rows: u64) {
    if shows {
        eprint!("\r{rows} rows verified");
    }
}
