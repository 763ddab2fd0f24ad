//! Spans that the parser does not give: the whole of a block scalar, the end of a document.

use super::text;
use super::tree::Block;

/// Finds header and body of a block scalar. `after`: one past the indicator before it.
pub fn block(text: &str, after: usize, content: &std::ops::Range<usize>) -> Option<Block> {
    let bytes = text.as_bytes();
    let mut at = text::skip_blank(text, after);
    while matches!(bytes.get(at), Some(b'&' | b'!')) {
        while bytes.get(at).is_some_and(|b| !b.is_ascii_whitespace()) {
            at += 1;
        }
        at = text::skip_blank(text, at);
    }
    let folded = match bytes.get(at)? {
        b'|' => false,
        b'>' => true,
        _ => return None,
    };
    let mut header_end = at + 1;
    while bytes
        .get(header_end)
        .is_some_and(|b| matches!(b, b'0'..=b'9' | b'+' | b'-'))
    {
        header_end += 1;
    }
    let keep = text[at..header_end].contains('+');
    let body_start = text::next_line(text, header_end);
    let end = content.end.max(body_start);
    let here = text::line_start(text, end);
    let mut blanks_end =
        if text[here..end].trim().is_empty() && (end < text.len() || here == end) {
            here
        } else {
            text::next_line(text, end)
        }
        .max(body_start);
    // The parser's end may stop short of blank lines; they belong behind the body all the same.
    while blanks_end < text.len() && text::is_blank(text, blanks_end) {
        blanks_end = text::next_line(text, blanks_end);
    }
    let mut body_end = blanks_end;
    if !keep {
        while let Some(previous) = text::previous_line(text, body_end)
            .filter(|p| *p >= body_start && text::is_blank(text, *p))
        {
            body_end = previous;
        }
    }
    Some(Block {
        folded,
        header: at..header_end,
        body: body_start..body_end,
        blanks_end,
    })
}

/// Where a document ends: at the marker behind it, or at the end of the text.
pub fn document_end(text: &str, cursor: usize, marker: std::ops::Range<usize>) -> usize {
    if text[marker.clone()].starts_with("...") {
        return marker.start;
    }
    // An implicit end is reported where the last token ended; look for the next marker line.
    let mut at = if text::line_start(text, cursor) == cursor {
        cursor
    } else {
        text::next_line(text, cursor)
    };
    while at < text.len() {
        let line = text::line(text, at);
        if ["---", "..."].iter().any(|m| {
            line.strip_prefix(m)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        }) {
            return at;
        }
        at = text::next_line(text, at);
    }
    text.len()
}
