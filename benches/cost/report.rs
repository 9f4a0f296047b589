//! Figures on paper.

use crate::load::Run;
use std::{panic, sync::Once, time::Duration};

/// How many goals were met, and how many were not.
#[derive(Default)]
pub(crate) struct Verdicts {
    met: usize,
    short: usize,
}

impl Verdicts {
    pub(crate) fn on(&mut self, met: bool) -> String {
        *(if met { &mut self.met } else { &mut self.short }) += 1;
        if met { "ok" } else { "short" }.to_owned()
    }

    pub(crate) fn close(&self) {
        if self.met + self.short > 0 {
            say(&format!("\ngoals: {} ok, {} short", self.met, self.short));
        }
    }
}

/// Rows of one form, shown when all of them are known.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    texts: usize,
}

impl Table {
    /// The first `texts` columns are texts, the others figures.
    pub(crate) fn new(texts: usize, head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&word| word.to_owned()).collect()], texts }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn show(&self, title: &str) {
        say(&format!("\n== {title}"));
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column < self.texts { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            say(cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Where one asker finds a fault, hundreds do: the first is enough.
#[expect(clippy::print_stderr, reason = "why there are no figures")]
pub(crate) fn say_first_panic() {
    static SAID: Once = Once::new();
    panic::set_hook(Box::new(|fault| SAID.call_once(|| eprintln!("{fault}"))));
}

/// The one in the middle of the rounds.
pub(crate) fn middle(runs: &[Run], figure: impl Fn(&Run) -> Duration) -> Duration {
    let mut all: Vec<Duration> = runs.iter().map(figure).collect();
    all.sort();
    all[all.len() / 2]
}

pub(crate) fn middle_of(figures: &[f64]) -> f64 {
    let mut all = figures.to_vec();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// The one in the middle, and each round's: `2.54 (2.50 2.54 2.61)`.
pub(crate) fn rounds(figures: &[f64], digits: usize) -> String {
    let each: Vec<_> = figures.iter().map(|figure| format!("{figure:.digits$}")).collect();
    format!("{:.digits$} ({})", middle_of(figures), each.join(" "))
}

pub(crate) fn us(duration: Duration) -> String {
    format!("{} µs", duration.as_micros())
}

pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

pub(crate) fn mib(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let bytes = bytes as f64;
    format!("{:.1} MiB", bytes / 1024.0 / 1024.0)
}
