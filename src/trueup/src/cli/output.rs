//! How results reach people and programs.

use std::io::Write;

use jiff::Timestamp;
use serde_json::Value;
use trueup_core::drift::report::{AppReport, ReportError};
use trueup_core::policy::State;
use trueup_core::text;
use unicode_width::UnicodeWidthStr;

/// Exit codes that scripts rely on.
pub mod exit {
    /// Done, or nothing to report.
    pub const DONE: i32 = 0;
    /// There is something to report.
    pub const SOMETHING: i32 = 1;
    /// Something could not be read or done.
    pub const ERROR: i32 = 2;
    /// A rule would be broken.
    pub const REFUSED: i32 = 3;
    /// Waiting for somebody.
    pub const WAITING: i32 = 4;
}

/// Writes that fail because the reader has gone away are no failure of the command.
pub fn say(out: &mut (dyn Write + Send), line: &str) {
    let _ = writeln!(out, "{line}");
}

/// A document for programs.
pub fn json(out: &mut (dyn Write + Send), document: &Value) {
    let _ = serde_json::to_writer_pretty(&mut *out, document);
    let _ = writeln!(out);
}

/// What could not be read, for people.
pub fn errors(err: &mut (dyn Write + Send), errors: &[ReportError]) {
    for error in errors {
        say(
            err,
            &format!(
                "error: cannot {}: {}",
                text::line(&error.what),
                text::line(&error.why)
            ),
        );
        if !error.hint.is_empty() {
            say(err, &format!("  hint: {}", text::line(&error.hint)));
        }
    }
}

/// Columns as wide as their widest cell; every cell is made inert.
pub fn table(out: &mut (dyn Write + Send), indent: usize, head: &[&str], rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> =
        std::iter::once(head.iter().map(|cell| (*cell).to_owned()).collect())
            .chain(rows.iter().map(|row| {
                row.iter()
                    .map(|cell| text::shorten(&text::line(cell), 72))
                    .collect()
            }))
            .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.width())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in &rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - cell.width() + 2));
        }
        say(out, line.trim_end());
    }
}

/// How long ago, in the largest unit that says enough: `7d`, `3h`, `12m`, `40s`.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Auto-sync in one cell: `on`, `off 7d-8d (frozen by trueup:INC-441)`.
pub fn auto_sync(app: &AppReport, now: Timestamp) -> String {
    let auto = &app.auto_sync;
    let mut words = match auto.state {
        State::On => "on".to_owned(),
        State::Off => "off".to_owned(),
        State::Absent => "absent".to_owned(),
    };
    if auto.state == State::Off {
        words.push_str(&match (auto.off_not_after, auto.off_not_before) {
            (Some(after), Some(before)) => {
                format!(" since {} to {} ago", age(after, now), age(before, now))
            }
            (Some(after), None) => format!(" for at least {}", age(after, now)),
            (None, Some(before)) => format!(" for at most {}", age(before, now)),
            (None, None) => " for an unknown time".to_owned(),
        });
    }
    if let Some(by) = &auto.frozen_by {
        words.push_str(&format!(", frozen by {by}"));
    }
    words
}
