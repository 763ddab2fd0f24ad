//! Lines of a text, by byte position: where they start and end, what kind they are.

// Searches go by byte: `at` may lie inside a character, a line break never does.

/// Start of the line that holds byte `at`.
pub fn line_start(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at];
    before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |i| i + 1)
}

/// Position of the line feed at or after `at`.
fn line_feed(text: &str, at: usize) -> Option<usize> {
    let rest = &text.as_bytes()[at..];
    rest.iter().position(|b| *b == b'\n').map(|i| at + i)
}

/// End of the line that holds byte `at`, before its line break.
pub fn line_end(text: &str, at: usize) -> usize {
    let end = line_feed(text, at).unwrap_or(text.len());
    if end > at && text.as_bytes()[end - 1] == b'\r' && end < text.len() {
        end - 1
    } else {
        end
    }
}

/// Start of the line after the one that holds byte `at`, or the end of the text.
pub fn next_line(text: &str, at: usize) -> usize {
    line_feed(text, at).map_or(text.len(), |i| i + 1)
}

/// Start of the line before the one that starts at `start`.
pub fn previous_line(text: &str, start: usize) -> Option<usize> {
    (start > 0).then(|| line_start(text, start - 1))
}

/// End of the line before the one that starts at `start`, before its line break; 0 on the first line.
pub fn previous_end(text: &str, start: usize) -> usize {
    previous_line(text, start).map_or(0, |p| line_end(text, p))
}

/// The content of the line that starts at `start`, without its line break.
pub fn line(text: &str, start: usize) -> &str {
    &text[start..line_end(text, start)]
}

/// Nothing but white space on the line that starts at `start`.
pub fn is_blank(text: &str, start: usize) -> bool {
    line(text, start).trim().is_empty()
}

/// The line that starts at `start` holds a comment only.
pub fn is_comment(text: &str, start: usize) -> bool {
    line(text, start).trim_start().starts_with('#')
}

/// Leading spaces of the line that starts at `start`.
pub fn indent(text: &str, start: usize) -> usize {
    line(text, start).bytes().take_while(|b| *b == b' ').count()
}

/// Column of byte `at` in characters.
pub fn column(text: &str, at: usize) -> usize {
    text[line_start(text, at)..at].chars().count()
}

/// Whether only white space stands before `at` on its line.
pub fn is_first_on_line(text: &str, at: usize) -> bool {
    text[line_start(text, at)..at].trim().is_empty()
}

/// The line break of the text: that of its first line.
pub fn newline(text: &str) -> &'static str {
    match text.find('\n') {
        Some(i) if i > 0 && text.as_bytes()[i - 1] == b'\r' => "\r\n",
        _ => "\n",
    }
}

/// The first byte at or after `at` that is neither white space nor part of a comment.
pub fn skip_blank(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            b'#' if at == 0
                || matches!(
                    bytes[at - 1],
                    b' ' | b'\t' | b'\n' | b'\r' | b',' | b'[' | b'{'
                ) =>
            {
                at = text[at..].find('\n').map_or(bytes.len(), |i| at + i);
            }
            _ => break,
        }
    }
    at
}

/// The part of the line behind `at`: white space and a comment, or nothing else.
///
/// `None` when something other than a comment follows.
pub fn tail(text: &str, at: usize) -> Option<&str> {
    let rest = &text[at..line_end(text, at)];
    let trimmed = rest.trim_start();
    (trimmed.is_empty() || (trimmed.starts_with('#') && (rest.len() > trimmed.len() || at == 0)))
        .then_some(rest)
}

/// One replacement of a byte range.
#[derive(Debug, Clone)]
pub struct Splice {
    pub start: usize,
    pub end: usize,
    pub with: String,
}

impl Splice {
    pub fn new(start: usize, end: usize, with: impl Into<String>) -> Self {
        Self {
            start,
            end,
            with: with.into(),
        }
    }

    pub fn insert(at: usize, with: impl Into<String>) -> Self {
        Self::new(at, at, with)
    }
}

/// The text with every splice made. `None` when two overlap or one is out of bounds.
pub fn splice(text: &str, mut splices: Vec<Splice>) -> Option<String> {
    splices.sort_by_key(|s| (s.start, s.end));
    let mut out = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for s in &splices {
        if s.start < at || s.end < s.start {
            return None;
        }
        out.push_str(text.get(at..s.start)?);
        text.get(s.start..s.end)?;
        out.push_str(&s.with);
        at = s.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}
