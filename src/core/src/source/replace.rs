//! One node's bytes replaced by another value.

use serde_json::Value;

use super::block;
use super::emit::{self, Rendered};
use super::layout::{self, column, is_flow};
use super::resolve::{Link, Slot};
use super::text::{self, Splice};
use super::tree::{Kind, NodeId, Style, Tree};

/// Where the old bytes are and what of them stays.
struct Place {
    /// First byte behind the indicator (`:`, `-`), or the node's own first byte at the root.
    indicator: usize,
    /// Anchor and tag that stay, as written.
    props: String,
}

/// Replaces the node in the last slot of `links` (the root when there is none).
pub fn replace(
    tree: &Tree<'_>,
    links: &[Link],
    id: NodeId,
    value: &Value,
) -> Result<Vec<Splice>, String> {
    let node = tree.node(id);
    let link = links.last();
    if tree.json || link.is_some_and(|l| is_flow(tree, l.container)) {
        return in_flow(tree, links, id, value);
    }
    if let (
        Kind::Scalar {
            style: Style::Block(block),
            ..
        },
        Value::String(s),
    ) = (&node.kind, value)
        && node.tag.is_none()
        && let Some(splices) = block::rewrite(tree, link, block, s, links)
    {
        return Ok(splices);
    }
    let text_tag = keeps_text_tag(tree, id, value);
    let mut rendered = render(tree, links, id, value, text_tag);
    if let Value::String(s) = value
        && !rendered.rest.is_empty()
        && comment_follows(tree, link, node.end)
    {
        rendered = Rendered::inline(super::scalar::double_quoted(s));
    }
    let place = Place {
        indicator: match link {
            Some(l) => layout::indicator_end(tree, l)
                .ok_or("the key has no colon: write the value out first")?,
            None => node.outer,
        },
        props: props(tree, id, text_tag),
    };
    if link.is_none() {
        return at_root(tree, id, &rendered, &place);
    }
    splice_in(tree, id, &rendered, &place)
}

/// A comment that a block scalar in this place would swallow.
fn comment_follows(tree: &Tree<'_>, link: Option<&Link>, end: usize) -> bool {
    let mut next = text::next_line(tree.text, end);
    while next < tree.text.len() && text::is_blank(tree.text, next) {
        next = text::next_line(tree.text, next);
    }
    next < tree.text.len()
        && text::is_comment(tree.text, next)
        && text::indent(tree.text, next) > layout::slot_column(tree, link)
}

fn keeps_text_tag(tree: &Tree<'_>, id: NodeId, value: &Value) -> bool {
    value.is_string()
        && tree
            .node(id)
            .tag
            .as_ref()
            .is_some_and(|(t, _)| t == "tag:yaml.org,2002:str")
}

/// The anchor stays (nobody uses it, or the edit was refused); a tag stays when it still fits.
fn props(tree: &Tree<'_>, id: NodeId, keep_tag: bool) -> String {
    let node = tree.node(id);
    let mut ranges: Vec<_> = node.anchor.iter().map(|(_, r)| r.clone()).collect();
    if keep_tag {
        ranges.extend(node.tag.iter().map(|(_, r)| r.clone()));
    }
    ranges.sort_by_key(|r| r.start);
    ranges
        .into_iter()
        .map(|r| &tree.text[r])
        .collect::<Vec<_>>()
        .join(" ")
}

fn render(tree: &Tree<'_>, links: &[Link], id: NodeId, value: &Value, text_tag: bool) -> Rendered {
    let node = tree.node(id);
    let empty_flow = node.end <= node.start + 1
        || matches!(&node.kind, Kind::Map { entries, .. } if entries.is_empty())
        || matches!(&node.kind, Kind::Seq { items, .. } if items.is_empty());
    let collection = matches!(value, Value::Object(_) | Value::Array(_));
    if collection && is_flow(tree, id) && !empty_flow {
        return Rendered::inline(emit::flow(value, &layout::flow_style(tree, Some(id))));
    }
    let old = emit::style_of(tree, id);
    let quoted = matches!(old, Some(Style::Single | Style::Double));
    if !collection && (quoted || text_tag) {
        return Rendered::inline(emit::token(value, old, tree, false, text_tag));
    }
    let layout = layout::layout(tree, links, None);
    match links.last() {
        None => emit::at_root(value, &layout),
        Some(Link {
            container,
            slot: Slot::Entry(_),
        }) => emit::behind_key(value, column(tree, *container).unwrap_or(0), &layout),
        Some(
            link @ Link {
                container,
                slot: Slot::Item(_),
            },
        ) => {
            let dash = column(tree, *container).unwrap_or(0);
            let gap = compact_gap(tree, link, id).unwrap_or(2);
            emit::behind_dash(value, dash, gap, &layout)
        }
    }
}

/// Columns from a dash to the content on the same line.
fn compact_gap(tree: &Tree<'_>, link: &Link, id: NodeId) -> Option<usize> {
    let dash = layout::indicator_end(tree, link)?.checked_sub(1)?;
    let outer = tree.node(id).outer;
    let between = tree.text.get(dash + 1..outer)?;
    (!between.contains('\n') && !between.is_empty()).then(|| between.len() + 1)
}

fn joined(props: &str, first: &str) -> String {
    match (props.is_empty(), first.is_empty()) {
        (true, _) => first.to_owned(),
        (_, true) => props.to_owned(),
        _ => format!("{props} {first}"),
    }
}

fn spaced(s: &str) -> String {
    if s.is_empty() {
        String::new()
    } else {
        format!(" {s}")
    }
}

/// The lines below, with a final line break where a literal at the end of the file needs one.
fn below(tree: &Tree<'_>, rendered: &Rendered, at: usize) -> String {
    let newline = text::newline(tree.text);
    let mut lines = rendered.tail(newline);
    if rendered.ends_in_literal && at >= tree.text.len() {
        lines.push_str(newline);
    }
    lines
}

fn splice_in(
    tree: &Tree<'_>,
    id: NodeId,
    new: &Rendered,
    place: &Place,
) -> Result<Vec<Splice>, String> {
    let node = tree.node(id);
    let source = tree.text;
    let head = joined(&place.props, &new.first);
    let same_line = |a: usize, b: usize| text::line_start(source, a) == text::line_start(source, b);
    match &node.kind {
        Kind::Scalar {
            style: Style::Empty,
            ..
        } => {
            let end = text::line_end(source, node.start);
            text::tail(source, node.start).ok_or("something stands behind the empty value")?;
            let start = if node.outer < node.start {
                node.outer
            } else {
                place.indicator
            };
            let head = if node.outer < node.start {
                head
            } else {
                spaced(&head)
            };
            Ok(vec![
                Splice::new(start, node.start.max(start), head),
                Splice::insert(end, below(tree, new, end)),
            ])
        }
        Kind::Scalar {
            style: Style::Block(block),
            ..
        } => {
            let end = text::line_end(source, block.header.end);
            let start = if head.is_empty() {
                place.indicator
            } else {
                node.outer
            };
            let body_end = if block.body.is_empty() {
                end
            } else {
                text::line_end(source, text::line_start(source, block.body.end - 1))
            };
            Ok(vec![
                Splice::new(start, block.header.end, head),
                Splice::new(end, body_end.max(end), below(tree, new, body_end)),
            ])
        }
        Kind::Map { flow: false, .. } | Kind::Seq { flow: false, .. } => {
            let last = text::line_end(source, node.end);
            if same_line(place.indicator, node.start) {
                // Compact behind a dash: all of it goes.
                let start = node.outer;
                return Ok(vec![Splice::new(
                    start,
                    last,
                    format!("{head}{}", below(tree, new, last)),
                )]);
            }
            let line = text::line_end(source, place.indicator);
            let props_end = [
                node.anchor.as_ref().map(|(_, r)| r.end),
                node.tag.as_ref().map(|(_, r)| r.end),
            ]
            .into_iter()
            .flatten()
            .max();
            let head_end = props_end.unwrap_or(place.indicator);
            if head_end > line {
                return Err("anchor or tag stand on a line of their own".to_owned());
            }
            Ok(vec![
                Splice::new(place.indicator, head_end, spaced(&head)),
                Splice::new(line, last, below(tree, new, last)),
            ])
        }
        _ => {
            let end = text::line_end(source, node.end);
            text::tail(source, node.end).ok_or("something stands behind the value")?;
            if head.is_empty() && !same_line(place.indicator, node.outer) {
                // The old value stands on a line of its own: the new lines take its place.
                let from = text::line_start(source, node.outer);
                let before = text::previous_end(source, from);
                return Ok(vec![Splice::new(before, end, below(tree, new, end))]);
            }
            let start = if head.is_empty() {
                place.indicator
            } else {
                node.outer
            };
            Ok(vec![
                Splice::new(start, node.end, head),
                Splice::insert(end, below(tree, new, end)),
            ])
        }
    }
}

fn at_root(
    tree: &Tree<'_>,
    id: NodeId,
    new: &Rendered,
    place: &Place,
) -> Result<Vec<Splice>, String> {
    let node = tree.node(id);
    match &node.kind {
        Kind::Scalar {
            style: Style::Empty | Style::Block(_),
            ..
        } => Err("the document is a tag, an anchor or a block scalar alone".to_owned()),
        Kind::Map { flow: false, .. } | Kind::Seq { flow: false, .. } => {
            let end = text::line_end(tree.text, node.end);
            let head = joined(&place.props, &new.first);
            Ok(vec![Splice::new(
                node.outer,
                end,
                format!("{head}{}", below(tree, new, end)),
            )])
        }
        _ => {
            text::tail(tree.text, node.end).ok_or("something stands behind the value")?;
            let on_marker_line = !text::is_first_on_line(tree.text, node.outer);
            if on_marker_line && (!new.rest.is_empty() || new.first.contains(": ")) {
                return Err("the document's value stands on the separator's line".to_owned());
            }
            let end = text::line_end(tree.text, node.end);
            Ok(vec![
                Splice::new(node.outer, node.end, joined(&place.props, &new.first)),
                Splice::insert(end, below(tree, new, end)),
            ])
        }
    }
}

/// Inside a flow collection of YAML, or in JSON.
fn in_flow(
    tree: &Tree<'_>,
    links: &[Link],
    id: NodeId,
    value: &Value,
) -> Result<Vec<Splice>, String> {
    let node = tree.node(id);
    let link = links.last();
    let text_tag = keeps_text_tag(tree, id, value);
    let new = match value {
        Value::Object(_) | Value::Array(_) => {
            flow_value(tree, link.map(|l| l.container), node.outer, value)
        }
        _ => emit::token(value, emit::style_of(tree, id), tree, !tree.json, text_tag),
    };
    let new = joined(&props(tree, id, text_tag), &new);
    if node.end > node.outer {
        return Ok(vec![Splice::new(node.outer, node.end, new)]);
    }
    // Nothing is written there yet.
    match link {
        Some(Link {
            container,
            slot: Slot::Entry(i),
        }) => {
            let Kind::Map { entries, .. } = &tree.node(*container).kind else {
                return Err("no map".to_owned());
            };
            let entry = entries.get(*i).ok_or("no such entry")?;
            Ok(vec![match entry.colon {
                Some(colon) => Splice::insert(colon + 1, spaced(&new)),
                None => Splice::insert(tree.node(entry.key).end, format!(": {new}")),
            }])
        }
        _ => Err("an empty list item inside a flow list".to_owned()),
    }
}

/// A collection as text in a flow context: over several lines where JSON around it is.
pub fn flow_value(tree: &Tree<'_>, container: Option<NodeId>, at: usize, value: &Value) -> String {
    let style = layout::flow_style(tree, container);
    let multiline = container.is_none_or(|c| {
        let n = tree.node(c);
        tree.text
            .get(n.start..n.end)
            .is_some_and(|s| s.contains('\n'))
    });
    if tree.json && multiline {
        let start = text::line_start(tree.text, at);
        let line = text::line(tree.text, start);
        let indent = &line[..line.len() - line.trim_start().len()];
        return emit::json_pretty(
            value,
            indent,
            &layout::json_step(tree),
            &style,
            text::newline(tree.text),
        );
    }
    emit::flow(value, &style)
}
