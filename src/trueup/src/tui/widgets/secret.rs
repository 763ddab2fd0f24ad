//! Secret values that were revealed by hand.

use super::{boxed, doc::Doc, over, words};
use crate::tui::{
    model::dialog::Secret,
    theme::{Role, Theme},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use ratatui::{buffer::Buffer, layout::Rect};
use trueup_core::object::redact::Plain;
use unicode_width::UnicodeWidthChar;

/// Bytes of one value that are shown: more would be scrolled past within the time there is.
const MOST: usize = 16 * 1024;

/// Text as it stands, each line broken where it has to be and nowhere else; `…` begins what goes on from the row above.
fn exactly(text: &str, cells: u16, doc: &mut Doc) {
    let room = usize::from(cells).saturating_sub(2).max(2);
    for line in trueup_core::text::block(text).split('\n') {
        let mut rest = line;
        let mut head = "  ";
        loop {
            let mut used = 0;
            let cut = rest
                .char_indices()
                .find(|(_, c)| {
                    used += c.width().unwrap_or(0);
                    used > room
                })
                .map_or(rest.len(), |(at, _)| at);
            let (piece, after) = rest.split_at(cut);
            doc.spans([(Role::Dim, head.into()), (Role::Strong, piece.into())]);
            if after.is_empty() {
                break;
            }
            (rest, head) = (after, "… ");
        }
    }
}

/// A value, made inert, and what cannot be seen of it.
fn value(plain: &Plain, cells: u16, doc: &mut Doc) {
    let bytes = plain.bytes();
    let shown = &bytes[..bytes.len().min(MOST)];
    let mut notes = vec![words::count(bytes.len(), "byte")];
    // A character may be cut in half by the limit.
    let text = match str::from_utf8(shown) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() && bytes.len() > MOST => {
            str::from_utf8(&shown[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    match text {
        Some("") => {}
        Some(text) => {
            if text.ends_with('\n') {
                notes.push("ends in a line feed".into());
            } else if text.ends_with(char::is_whitespace) {
                notes.push("ends in blank space".into());
            }
            if text.starts_with(char::is_whitespace) {
                notes.push("begins with blank space".into());
            }
            if trueup_core::text::block(text) != text {
                notes.push("with characters that are shown by name or as signs".into());
            }
            exactly(text.strip_suffix('\n').unwrap_or(text), cells, doc);
        }
        None => {
            notes.push("no text: as base64".into());
            exactly(&STANDARD.encode(shown), cells, doc);
        }
    }
    if bytes.len() > MOST {
        notes.push(format!("the first {MOST} are shown"));
    }
    doc.text(Role::Dim, format!("  ({})", notes.join(", ")));
}

fn doc(secret: &Secret, cells: u16) -> Doc {
    let mut doc = Doc::new();
    for (i, one) in secret.shown.iter().enumerate() {
        if i > 0 {
            doc.blank();
        }
        doc.rule(format!("{} {}", one.cell.object, one.cell.field));
        doc.text(Role::Dim, "live, read just now");
        match &one.live {
            Some(plain) => value(plain, cells, &mut doc),
            None => {
                doc.text(Role::Warn, "  (absent)");
            }
        }
        match &one.git {
            Some((plain, file)) if Some(plain) == one.live.as_ref() => {
                doc.text(Role::Dim, format!("Git: the same, in plain text in {file}"));
            }
            Some((plain, file)) => {
                doc.text(Role::Dim, format!("Git, in plain text in {file}"));
                value(plain, cells, &mut doc);
            }
            None => {
                doc.text(Role::Dim, "Git has no value of it in plain text");
            }
        }
    }
    doc
}

/// The cells that a row of the box has.
fn inside(size: (u16, u16)) -> u16 {
    frame(size, 1).width.saturating_sub(4)
}

fn frame(size: (u16, u16), rows: usize) -> Rect {
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX);
    over(
        Rect::new(0, 0, size.0, size.1),
        96,
        height.min(size.1.saturating_sub(6)),
    )
}

/// How far the box can be scrolled.
pub fn overflow(secret: &Secret, size: (u16, u16)) -> usize {
    let rows = doc(secret, inside(size)).height(inside(size));
    rows.saturating_sub(usize::from(frame(size, rows).height.saturating_sub(2)))
}

/// The values, and how long they are still shown.
pub fn draw(buf: &mut Buffer, area: Rect, theme: Theme, secret: &Secret, time: Timestamp) {
    let size = (area.width, area.height);
    let doc = doc(secret, inside(size));
    let frame = frame(size, doc.height(inside(size)));
    let left = words::since(time, secret.until).as_secs();
    let more = if overflow(secret, size) > secret.scroll {
        "j k read on  "
    } else {
        ""
    };
    let keys = format!("{more}esc hides it; by itself in {left} s");
    let inner = boxed(buf, frame, theme, "secret value, by hand", &keys);
    doc.rows(inner, buf, theme, secret.scroll);
}
