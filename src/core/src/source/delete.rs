//! Entries and items taken away, with the comments that are theirs.

use super::flow;
use super::layout::{self, is_flow};
use super::resolve::{Link, Slot};
use super::text::{self, Splice};
use super::tree::{Kind, NodeId, Style, Tree};

/// Takes the slot at the end of `links` away.
pub fn delete(tree: &Tree<'_>, links: &[Link]) -> Result<Vec<Splice>, String> {
    let link = links.last().ok_or("a whole document is not deleted")?;
    if is_flow(tree, link.container) {
        return flow::delete(tree, link);
    }
    let spans = layout::member_spans(tree, link.container);
    let index = match link.slot {
        Slot::Entry(i) | Slot::Item(i) => i,
    };
    let span = spans.get(index).cloned().ok_or("no such entry")?;
    if spans.len() == 1 {
        return sole(tree, links, span);
    }
    let source = tree.text;
    let member_end = end_of_member(tree, link, span.end);
    if text::is_first_on_line(source, span.start) {
        let col = text::column(source, span.start);
        let from = leading_comments(source, text::line_start(source, span.start), col);
        let opens = index == 0 && opened_above(tree, links, from);
        return Ok(vec![cut_lines(source, from, member_end, opens)]);
    }
    // First of a compact list item: the dash moves to the next entry.
    let next = spans
        .get(index + 1)
        .filter(|_| index == 0)
        .ok_or("the entry shares its line")?;
    let line = text::line_start(source, span.start);
    let next_line = text::line_start(source, next.start);
    if next_line == line || !text::is_first_on_line(source, next.start) {
        return Err("the next entry stands on the same line".to_owned());
    }
    let prefix = &source[line..span.start];
    Ok(vec![
        Splice::new(line, text::next_line(source, member_end).min(next_line), ""),
        Splice::new(next_line, next.start, prefix),
    ])
}

/// The last byte of a member: the blank lines that are a block scalar's content count, and the comment lines right
/// behind a block collection at its own indent or deeper.
fn end_of_member(tree: &Tree<'_>, link: &Link, end: usize) -> usize {
    let end = end_of_content(tree, link, end);
    let inner = layout::slot_node(tree, link).and_then(|id| layout::column(tree, id));
    let outer = layout::column(tree, link.container);
    let (Some(inner), Some(outer)) = (inner, outer) else {
        return end;
    };
    if inner <= outer {
        return end;
    }
    let mut end = end;
    loop {
        let next = text::next_line(tree.text, end);
        if next >= tree.text.len()
            || !text::is_comment(tree.text, next)
            || text::indent(tree.text, next) < inner
        {
            return end;
        }
        end = next;
    }
}

fn end_of_content(tree: &Tree<'_>, link: &Link, end: usize) -> usize {
    let keeps = layout::slot_node(tree, link).and_then(|mut id| {
        loop {
            match &tree.node(id).kind {
                Kind::Scalar {
                    style: Style::Block(b),
                    ..
                } => break Some(b.body.end),
                Kind::Map {
                    flow: false,
                    entries,
                } => id = entries.last()?.value,
                Kind::Seq { flow: false, items } => id = items.last()?.node,
                _ => break None,
            }
        }
    });
    keeps.map_or(end, |k| {
        if k > end {
            text::line_start(tree.text, k.saturating_sub(1)).max(end)
        } else {
            end
        }
    })
}

/// Start of the comment lines directly above the line at `line` whose `#` stands at column `col`.
pub fn leading_comments(source: &str, line: usize, col: usize) -> usize {
    let mut from = line;
    while let Some(previous) = text::previous_line(source, from) {
        if !(text::is_comment(source, previous) && text::indent(source, previous) == col) {
            break;
        }
        from = previous;
    }
    from
}

/// The line before `from` is the one that opens the collection.
fn opened_above(tree: &Tree<'_>, links: &[Link], from: usize) -> bool {
    let Some(previous) = text::previous_line(tree.text, from) else {
        return false;
    };
    links.len() >= 2
        && layout::indicator_end(tree, &links[links.len() - 2])
            .is_some_and(|i| text::line_start(tree.text, i) == previous)
}

/// Whole lines from `from` to the one that holds `end`, and the blank lines behind that would double.
fn cut_lines(source: &str, from: usize, end: usize, opens: bool) -> Splice {
    let mut to = text::next_line(source, end);
    let before_blank =
        text::previous_line(source, from).is_some_and(|p| text::is_blank(source, p)) || opens;
    if before_blank {
        while to < source.len() && text::is_blank(source, to) {
            to = text::next_line(source, to);
        }
    }
    if to == source.len() && !source.ends_with('\n') && from > 0 {
        // The file had no final line break, so none stays.
        return Splice::new(text::previous_end(source, from), to, "");
    }
    Splice::new(from, to, "")
}

/// The only entry goes: `{}` or `[]` stays.
fn sole(
    tree: &Tree<'_>,
    links: &[Link],
    span: std::ops::Range<usize>,
) -> Result<Vec<Splice>, String> {
    let link = links.last().ok_or("a whole document is not deleted")?;
    let source = tree.text;
    let node = tree.node(link.container);
    let empty = if matches!(node.kind, Kind::Map { .. }) {
        "{}"
    } else {
        "[]"
    };
    let last = text::line_end(source, end_of_member(tree, link, span.end));
    let from = if text::is_first_on_line(source, span.start) {
        let col = text::column(source, span.start);
        leading_comments(source, text::line_start(source, span.start), col)
    } else {
        span.start
    };
    let parent = match links.len().checked_sub(2).map(|i| &links[i]) {
        None => {
            // The root: it stands where its only entry stood.
            return Ok(vec![Splice::new(
                from.max(doc_start(tree, span.start)),
                last,
                empty,
            )]);
        }
        Some(parent) => parent,
    };
    let indicator = layout::indicator_end(tree, parent).ok_or("the key has no colon")?;
    let head_end = props_end(tree, link.container).unwrap_or(indicator);
    if text::line_start(source, indicator) == text::line_start(source, span.start) {
        return Ok(vec![Splice::new(span.start, last, empty)]);
    }
    let line_end = text::line_end(source, indicator);
    if head_end > line_end {
        return Err("anchor or tag stand on a line of their own".to_owned());
    }
    // Cut from the line break before the first line, so that a missing final one stays missing.
    let cut_from = text::previous_end(source, from);
    Ok(vec![
        Splice::insert(head_end, format!(" {empty}")),
        Splice::new(cut_from.max(head_end), last, ""),
    ])
}

fn doc_start(tree: &Tree<'_>, at: usize) -> usize {
    tree.docs
        .iter()
        .rev()
        .find(|d| d.start <= at)
        .map_or(0, |d| d.start)
}

fn props_end(tree: &Tree<'_>, id: NodeId) -> Option<usize> {
    let node = tree.node(id);
    let anchor = node.anchor.as_ref().map(|(_, r)| r.end);
    let tag = node.tag.as_ref().map(|(_, r)| r.end);
    anchor.max(tag)
}

/// The end-of-line comment of a list item: it was about the old value.
pub fn item_comment(tree: &Tree<'_>, link: &Link) -> Option<Splice> {
    let (Slot::Entry(i) | Slot::Item(i)) = link.slot;
    let span = layout::member_spans(tree, link.container)
        .into_iter()
        .nth(i)?;
    if is_flow(tree, link.container) {
        return None;
    }
    let end = text::line_end(tree.text, span.end);
    tree.text[span.end..end]
        .trim_start()
        .starts_with('#')
        .then(|| Splice::new(span.end, end, ""))
}
