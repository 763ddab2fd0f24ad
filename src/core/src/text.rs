//! Makes text from outside inert: nothing that it holds can move a cursor, hide a character or end a line.

use std::borrow::Cow;

/// The first `most` of these, and how many more there are.
pub fn some(names: &[String], most: usize) -> String {
    let mut said = names
        .iter()
        .take(most)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > most {
        said.push_str(&format!(" and {} more", names.len() - most));
    }
    said
}

/// One line: controls become visible signs, line breaks too; bidirectional and invisible characters are named.
pub fn line(text: &str) -> String {
    inert(text, false).into_owned()
}

/// Like [`line()`], but keeps line feeds and turns tabs into four spaces.
pub fn block(text: &str) -> String {
    inert(text, true).into_owned()
}

fn inert(text: &str, keep_lines: bool) -> Cow<'_, str> {
    if text.chars().all(|c| !suspicious(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' if keep_lines => out.push('\n'),
            '\t' => out.push_str("    "),
            '\u{7f}' => out.push('␡'),
            c if u32::from(c) < 0x20 => {
                out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('�'));
            }
            c if suspicious(c) => out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// C0 and C1 controls, line and paragraph separators, bidirectional controls, zero-width characters, tags,
/// variation selectors' supplement, and the byte-order mark.
fn suspicious(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00AD | 0x034F | 0x061C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
            | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB
            | 0xE0000..=0xE0FFF)
}

/// `1 field`, `2 fields`.
pub fn count(n: usize, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {one}s")
    }
}

/// At most `width` characters, the cut shown by `…`.
pub fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// A JSON value as one inert line: text bare, everything else as JSON.
pub fn value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => line(text),
        other if crate::decision::is_secret(other) => {
            let digest = other
                .get("secret")
                .and_then(|s| s.as_str())
                .unwrap_or_default();
            format!("•••••• ({})", line(digest))
        }
        other => line(&other.to_string()),
    }
}

/// JSON that is inert and still means the same: what could act or hide is an escape of JSON.
pub fn json(value: &serde_json::Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match suspicious(c) {
            true => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_stays_active() {
        let hostile = "a\x1b[2J\x1b]52;c;aGk=\x07b\r\nc\u{202e}d\u{200b}e\u{9b}31mf\u{7f}";
        let shown = line(hostile);
        assert!(!shown.chars().any(suspicious), "{shown:?}");
        assert_eq!(line("plain ✓ ü"), "plain ✓ ü");
        assert_eq!(block("a\n\tb"), "a\n    b");
        let given = serde_json::json!({"value": format!("{hostile}\u{e0001}")});
        let shown = json(&given);
        assert!(!shown.chars().any(suspicious), "{shown:?}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            given
        );
    }
}
