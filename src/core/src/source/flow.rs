//! Members of flow collections and of JSON, added and taken away with the spacing around them.

use serde_json::Value;

use super::emit;
use super::layout::{self, member_spans};
use super::replace::flow_value;
use super::resolve::{Link, Slot};
use super::text::{self, Splice};
use super::tree::{Kind, NodeId, Tree};

/// What a flow collection gets.
pub enum Member<'v> {
    Entry(&'v str, &'v Value),
    Item(&'v Value),
}

/// Only collections with brackets of their own; `[a: b]` has a map without.
fn check(tree: &Tree<'_>, id: NodeId) -> Result<(), String> {
    let node = tree.node(id);
    let open = tree.text.as_bytes().get(node.start);
    let close = node
        .end
        .checked_sub(1)
        .and_then(|e| tree.text.as_bytes().get(e));
    match (&node.kind, open, close) {
        (Kind::Map { .. }, Some(b'{'), Some(b'}')) | (Kind::Seq { .. }, Some(b'['), Some(b']')) => {
            Ok(())
        }
        _ => Err("a single pair inside a list is not edited".to_owned()),
    }
}

/// The byte of the comma behind `end`, over white space and comments.
fn comma_after(tree: &Tree<'_>, end: usize) -> Option<usize> {
    let at = text::skip_blank(tree.text, end);
    (tree.text.as_bytes().get(at) == Some(&b',')).then_some(at)
}

/// Whether nothing but a comma and a comment stands behind `end` on its line.
fn ends_its_line(tree: &Tree<'_>, end: usize) -> bool {
    let rest = &tree.text[end..text::line_end(tree.text, end)];
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    (rest.is_empty() || rest.starts_with('#')) && text::line_end(tree.text, end) < tree.text.len()
}

/// Takes one member away.
pub fn delete(tree: &Tree<'_>, link: &Link) -> Result<Vec<Splice>, String> {
    check(tree, link.container)?;
    let node = tree.node(link.container);
    let source = tree.text;
    let spans = member_spans(tree, link.container);
    let i = match link.slot {
        Slot::Entry(i) | Slot::Item(i) => i,
    };
    let span = spans.get(i).cloned().ok_or("no such entry")?;
    if spans.len() == 1 {
        return Ok(vec![Splice::new(node.start + 1, node.end - 1, "")]);
    }
    let last = i + 1 == spans.len();
    let comma = comma_after(tree, span.end);
    if text::is_first_on_line(source, span.start) && ends_its_line(tree, span.end) {
        let line = text::line_start(source, span.start);
        let from = super::delete::leading_comments(source, line, text::column(source, span.start));
        let end =
            comma.filter(|c| text::line_start(source, *c) == text::line_start(source, span.end));
        let to = text::next_line(source, end.unwrap_or(span.end));
        let mut splices = vec![Splice::new(from, to, "")];
        if last && comma.is_none() {
            let before =
                comma_after(tree, spans[i - 1].end).ok_or("no comma before the last entry")?;
            splices.push(Splice::new(before, before + 1, ""));
        }
        return Ok(splices);
    }
    if !last {
        let next = spans[i + 1].start;
        let between = &source[span.end..next];
        if !between.contains('#') && (i == 0 || !between.contains('\n')) {
            return Ok(vec![Splice::new(span.start, next, "")]);
        }
    }
    if i > 0 {
        let before = spans[i - 1].end;
        if !source[before..span.start].contains('#') {
            return Ok(vec![Splice::new(before, span.end, "")]);
        }
    }
    Err("comments stand between the entries of this line".to_owned())
}

/// Puts a member before position `at` (the count of members: at the end).
pub fn add(
    tree: &Tree<'_>,
    id: NodeId,
    at: usize,
    member: &Member<'_>,
) -> Result<Vec<Splice>, String> {
    check(tree, id)?;
    let node = tree.node(id);
    let source = tree.text;
    let spans = member_spans(tree, id);
    let style = layout::flow_style(tree, Some(id));
    let newline = text::newline(source);
    let Some(near) = spans.get(at).or(spans.last()) else {
        if tree.json {
            let whole = match member {
                Member::Entry(k, v) => Value::from_iter([((*k).to_owned(), (*v).clone())]),
                Member::Item(v) => Value::Array(vec![(*v).clone()]),
            };
            let outside = tree
                .nodes
                .iter()
                .position(|n| n.start < node.start && n.end > node.end);
            let multiline = source[..].trim_end().contains('\n');
            let text = if multiline {
                flow_value(tree, None, node.start, &whole)
            } else {
                flow_value(tree, outside, node.start, &whole)
            };
            return Ok(vec![Splice::new(node.start, node.end, text)]);
        }
        let written = inline(member, &style);
        let inner = &source[node.start + 1..node.end - 1];
        if !inner.trim().is_empty() {
            return Err("only comments stand in the collection".to_owned());
        }
        let pad = if inner.is_empty() { "" } else { " " };
        return Ok(vec![Splice::new(
            node.start + 1,
            node.end - 1,
            format!("{pad}{written}{pad}"),
        )]);
    };
    let own_line = text::is_first_on_line(source, near.start)
        && text::line_start(source, near.start) > text::line_start(source, node.start);
    let written = |line_of: usize| match member {
        Member::Entry(k, v) if tree.json => {
            let value = flow_value(tree, Some(id), line_of, v);
            format!("{}{}{value}", super::scalar::double_quoted(k), style.colon)
        }
        Member::Item(v) if tree.json => flow_value(tree, Some(id), line_of, v),
        member => inline(member, &style),
    };
    if at < spans.len() {
        let text = written(near.start);
        if own_line {
            let line = text::line_start(source, near.start);
            let indent = &source[line..near.start];
            let from =
                super::delete::leading_comments(source, line, text::column(source, near.start));
            return Ok(vec![Splice::insert(
                from,
                format!("{indent}{text},{newline}"),
            )]);
        }
        return Ok(vec![Splice::insert(
            near.start,
            format!("{text}{}", style.comma),
        )]);
    }
    let text = written(near.start);
    if !own_line || !ends_its_line(tree, near.end) {
        return Ok(vec![Splice::insert(
            near.end,
            format!("{}{text}", style.comma),
        )]);
    }
    let line = text::line_start(source, near.start);
    let indent = &source[line..near.start];
    let (comma, line_of) = match comma_after(tree, near.end) {
        Some(c) => (true, c),
        None => (false, near.end),
    };
    let end = text::line_end(source, line_of);
    let mut splices = Vec::new();
    if !comma {
        splices.push(Splice::insert(near.end, ","));
    }
    // The same position as the comma's when nothing stands behind: the order of the two counts.
    splices.push(Splice::insert(
        end,
        format!("{newline}{indent}{text}{}", if comma { "," } else { "" }),
    ));
    Ok(splices)
}

fn inline(member: &Member<'_>, style: &emit::FlowStyle) -> String {
    match member {
        Member::Entry(k, v) => emit::flow_entry(k, v, style),
        Member::Item(v) => emit::flow(v, style),
    }
}
