//! How results reach people and programs.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::Mutex;

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

/// Why the first write to stdout that failed did.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Stdout, which every result goes to. A write that fails is told of once, when the command is through: see [`printed`].
pub fn stdout() -> Stdout {
    Stdout(io::stdout())
}

pub struct Stdout(io::Stdout);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        noted(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        noted(self.0.flush())
    }
}

/// Remembers for [`printed`] that this was not written.
pub fn noted<T>(written: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &written
        && error.kind() != ErrorKind::Interrupted
        && let Ok(mut lost) = LOST.lock()
    {
        lost.get_or_insert_with(|| io::Error::new(error.kind(), error.to_string()));
    }
    written
}

/// The exit code of a command that ended with `code`, once all that it printed is written. What could not be written is no
/// success; a reader that has gone away, as `head` does, has what it wanted.
pub fn printed(code: i32) -> i32 {
    let _ = stdout().flush();
    let lost = LOST.lock().ok().and_then(|mut lost| lost.take());
    match lost.filter(|error| error.kind() != ErrorKind::BrokenPipe) {
        None => code,
        Some(error) => {
            super::complain(
                &format!("cannot print the result: {error}"),
                "make room where it is written to, or print it elsewhere; what was done is in the journal",
            );
            code.max(exit::ERROR)
        }
    }
}

/// A line. That it cannot be written to stdout is told at the end, by [`printed`].
pub fn say(out: &mut (dyn Write + Send), line: &str) {
    let _ = writeln!(out, "{line}");
}

/// A document for programs.
pub fn json(out: &mut (dyn Write + Send), document: &Value) {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    say(out, &inert(&text));
}

/// A document for programs on a line of its own.
pub fn json_line(out: &mut (dyn Write + Send), document: &Value) {
    say(out, &inert(&document.to_string()));
}

/// JSON text that does nothing to a terminal: what a terminal obeys, or turns around, is written as `\uXXXX`. To a program
/// it says the same, since such characters stand in strings only.
pub fn inert(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
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

/// Columns as wide as their widest cell; every cell is made inert. On a terminal a long cell is cut, the last of a row
/// excepted: it may be a command.
pub fn table(out: &mut (dyn Write + Send), indent: usize, head: &[&str], rows: &[Vec<String>]) {
    let limit = std::io::stdout().is_terminal().then_some(72);
    columns(out, indent, head, rows, limit);
}

fn columns(
    out: &mut (dyn Write + Send),
    indent: usize,
    head: &[&str],
    rows: &[Vec<String>],
    limit: Option<usize>,
) {
    let last = head.len().saturating_sub(1);
    let cut = |column: usize, cell: &String| match limit.filter(|_| column != last) {
        Some(limit) => text::shorten(&text::line(cell), limit),
        None => text::line(cell),
    };
    let rows: Vec<Vec<String>> =
        std::iter::once(head.iter().map(|cell| (*cell).to_owned()).collect())
            .chain(rows.iter().map(|row| {
                row.iter()
                    .enumerate()
                    .map(|(column, cell)| cut(column, cell))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_run_or_piped_is_not_cut() {
        let long = "x".repeat(100);
        let rows = [vec![long.clone(), format!("trueup {long}")]];
        let print = |limit| {
            let mut out = Vec::new();
            columns(&mut out, 0, &["OWED", "SETTLED BY"], &rows, limit);
            String::from_utf8(out).unwrap()
        };
        assert!(print(None).contains(&format!("{long}  trueup {long}")));
        let terminal = print(Some(72));
        assert!(terminal.contains(&format!("trueup {long}")), "{terminal}");
        assert!(!terminal.contains(&format!("{long}  ")), "{terminal}");
    }

    #[test]
    fn inert_json_says_the_same() {
        let hostile = "\u{1b}[2J\u{202e}evil\u{2066}\u{9b}31m\u{7f}\u{feff} Grüße \u{1f600}";
        let document = Value::from(hostile);
        let text = inert(&document.to_string());
        assert!(
            text.chars()
                .all(|c| !c.is_control() && c != '\u{202e}' && c != '\u{2066}')
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
