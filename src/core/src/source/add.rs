//! Missing entries, items and parents made.

use serde_json::{Map, Value};

use super::delete::leading_comments;
use super::emit;
use super::flow::{self, Member};
use super::layout::{self, column};
use super::ops::EditElement;
use super::replace::replace;
use super::resolve::Link;
use super::text::{self, Splice};
use super::tree::{Doc, Kind, NodeId, Tree};

/// The value with the missing parents around it.
pub fn wrap(path: &[EditElement], value: &Value) -> Result<Value, String> {
    path.iter()
        .rev()
        .try_fold(value.clone(), |inner, element| match element {
            EditElement::Key(k) => Ok(Value::Object(Map::from_iter([(k.clone(), inner)]))),
            EditElement::End | EditElement::Index(0) => Ok(Value::Array(vec![inner])),
            EditElement::Index(i) => Err(format!("item {i} of a list that does not exist")),
            EditElement::Item(_) => Err("no list item matches".to_owned()),
        })
}

/// Adds `value` at `missing[0]` below `node`, the value of the last slot of `links`.
pub fn add(
    tree: &Tree<'_>,
    doc: &Doc,
    links: &[Link],
    below: Option<NodeId>,
    missing: &[EditElement],
    value: &Value,
) -> Result<Vec<Splice>, String> {
    let Some(id) = below else {
        return first(tree, doc, &wrap(missing, value)?);
    };
    let node = tree.node(id);
    let inner = wrap(&missing[1..], value)?;
    match (&node.kind, &missing[0]) {
        // A null: the collection takes its place.
        (Kind::Scalar { .. }, _) => replace(tree, links, id, &wrap(missing, value)?),
        (Kind::Map { flow, entries }, EditElement::Key(_) | EditElement::End) => {
            let key = match &missing[0] {
                EditElement::Key(k) => k.as_str(),
                _ => "-",
            };
            if *flow {
                if entries.is_empty() && opens_up(tree, links) {
                    return replace(tree, links, id, &wrap(missing, value)?);
                }
                return flow::add(tree, id, entries.len(), &Member::Entry(key, &inner));
            }
            let col = column(tree, id).ok_or("an empty block map")?;
            let layout = layout::layout(tree, links, Some(id));
            let (lines, literal) = emit::entry_lines(key, &inner, col, &layout);
            let span = layout::member_spans(tree, id)
                .pop()
                .ok_or("an empty block map")?;
            let end = after_comments(tree.text, doc, span.end, col);
            check_plain_indent(tree, id)?;
            Ok(vec![insert_after(tree, end, &lines, literal)])
        }
        (Kind::Seq { flow, items }, element) => {
            let at = match element {
                EditElement::End => items.len(),
                EditElement::Index(i) if *i <= items.len() => *i,
                _ => return Err("a list index is wanted".to_owned()),
            };
            if *flow {
                if items.is_empty() && opens_up(tree, links) {
                    return replace(tree, links, id, &wrap(missing, value)?);
                }
                return flow::add(tree, id, at, &Member::Item(&inner));
            }
            block_item(tree, links, id, at, &inner)
        }
        _ => Err("the path does not fit what stands there".to_owned()),
    }
}

/// Adds an item before position `at` of a block list.
fn block_item(
    tree: &Tree<'_>,
    links: &[Link],
    id: NodeId,
    at: usize,
    value: &Value,
) -> Result<Vec<Splice>, String> {
    let Kind::Seq { items, .. } = &tree.node(id).kind else {
        return Err("no list".to_owned());
    };
    let source = tree.text;
    let col = column(tree, id).ok_or("an empty block list")?;
    check_plain_indent(tree, id)?;
    let layout = layout::layout(tree, links, None);
    let near = items
        .get(at)
        .or(items.last())
        .ok_or("an empty block list")?;
    let gap = source
        .get(near.start + 1..tree.node(near.node).outer)
        .filter(|s| !s.is_empty() && s.len() < 8 && s.bytes().all(|b| b == b' '))
        .map_or(2, |s| s.len() + 1);
    let (lines, literal) = emit::item_lines(value, col, gap, &layout);
    if at >= items.len() {
        let end = text::line_end(source, tree.item_span(near).end);
        return Ok(vec![insert_after(tree, end, &lines, literal)]);
    }
    let newline = layout.newline;
    if text::is_first_on_line(source, near.start) {
        let line = text::line_start(source, near.start);
        let from = leading_comments(source, line, col);
        let text: String = lines.iter().map(|l| format!("{l}{newline}")).collect();
        return Ok(vec![Splice::insert(from, text)]);
    }
    // Behind the dash of an outer list: the new item takes the line over.
    let mut text = lines.join(newline).trim_start().to_owned();
    text.push_str(newline);
    text.push_str(&" ".repeat(col));
    Ok(vec![Splice::insert(near.start, text)])
}

/// An empty collection opens up into block style where block style is around it.
fn opens_up(tree: &Tree<'_>, links: &[Link]) -> bool {
    !tree.json
        && links
            .last()
            .is_none_or(|l| !layout::is_flow(tree, l.container))
}

/// New lines are indented with spaces; a collection that is not cannot get one.
fn check_plain_indent(tree: &Tree<'_>, id: NodeId) -> Result<(), String> {
    let first = layout::member_spans(tree, id)
        .into_iter()
        .next()
        .map_or(0, |s| s.start);
    let before = &tree.text[text::line_start(tree.text, first)..first];
    if before.contains('\t') {
        return Err("tabs stand before the entries".to_owned());
    }
    Ok(())
}

/// End of the comment lines that follow the entry without a blank line, at the map's own indent or deeper.
fn after_comments(source: &str, doc: &Doc, end: usize, col: usize) -> usize {
    let mut end = text::line_end(source, end);
    loop {
        let next = text::next_line(source, end);
        if next >= doc.end
            || next <= end
            || !text::is_comment(source, next)
            || text::indent(source, next) < col
        {
            return end;
        }
        end = text::line_end(source, next);
    }
}

fn insert_after(tree: &Tree<'_>, end: usize, lines: &[String], literal: bool) -> Splice {
    let newline = text::newline(tree.text);
    let mut text: String = lines.iter().map(|l| format!("{newline}{l}")).collect();
    if literal && end >= tree.text.len() {
        text.push_str(newline);
    }
    Splice::insert(end, text)
}

/// The first value of an empty document: behind its comments.
fn first(tree: &Tree<'_>, doc: &Doc, value: &Value) -> Result<Vec<Splice>, String> {
    let source = tree.text;
    let layout = layout::layout(tree, &[], None);
    let rendered = emit::at_root(value, &layout);
    let newline = layout.newline;
    let mut lines = vec![rendered.first.clone()];
    lines.extend(rendered.rest.iter().cloned());
    let written = source[doc.start..doc.end].trim_end();
    if written.is_empty() && !doc.marked {
        let text: String = lines.iter().map(|l| format!("{l}{newline}")).collect();
        return Ok(vec![Splice::insert(doc.start, text)]);
    }
    let end = text::line_end(source, doc.start + written.len());
    Ok(vec![insert_after(
        tree,
        end,
        &lines,
        rendered.ends_in_literal,
    )])
}
