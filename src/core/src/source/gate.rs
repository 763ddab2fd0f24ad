//! The check after every edit: the wanted value, and no foreign byte.

use std::ops::Range;

use serde_json::Value;

use super::layout;
use super::resolve::{At, Link, Slot, Target};
use super::scalar::same;
use super::text;
use super::tree::{NodeId, Tree};
use super::yaml;

/// The bytes of the old text that an edit may touch, in whole lines.
fn window(tree: &Tree<'_>, doc: usize, target: &Target) -> Range<usize> {
    let document = tree.docs[doc];
    let all = text::line_start(tree.text, document.start)..document.end.max(document.start);
    let Some(link) = target.links.last() else {
        return all;
    };
    // An add touches the collection that it adds to; the others their entry, or, when the collection
    // opens, closes or hands its dash on, the entry that holds the collection.
    let node = match target.at {
        At::Node(Some(_)) => None,
        At::Inherited { map, .. } => Some(map),
        At::Missing { below, .. } => below,
        At::Node(None) => return all,
    };
    let span = match node {
        Some(_) => slot_span(tree, link.container, link.slot),
        None => match target.links.len().checked_sub(2).map(|i| target.links[i]) {
            Some(parent) => slot_span(tree, parent.container, parent.slot),
            None => return all,
        },
    };
    let Some(span) = span else { return all };
    let mut start = text::line_start(tree.text, span.start);
    while let Some(previous) = text::previous_line(tree.text, start)
        .filter(|p| *p >= all.start && text::is_comment(tree.text, *p))
    {
        start = previous;
    }
    let mut end = text::next_line(tree.text, span.end);
    while end < all.end && (text::is_comment(tree.text, end) || text::is_blank(tree.text, end)) {
        end = text::next_line(tree.text, end);
    }
    start..end
}

fn slot_span(tree: &Tree<'_>, container: NodeId, slot: Slot) -> Option<Range<usize>> {
    let index = match slot {
        Slot::Entry(i) | Slot::Item(i) => i,
    };
    layout::member_spans(tree, container).into_iter().nth(index)
}

/// Parses the new text and holds it against the wanted values and the old bytes.
pub fn check(
    old: &Tree<'_>,
    after: &str,
    wanted: &[Value],
    doc: usize,
    target: &Target,
) -> Result<(), String> {
    let window = window(old, doc, target);
    let tree = yaml::parse(after)
        .map_err(|e| format!("the result would not be readable ({e}); nothing was changed"))?;
    let values = tree
        .values()
        .map_err(|e| format!("the result would not be readable ({e}); nothing was changed"))?;
    if values.len() != wanted.len() {
        return Err(
            "the result would have another number of documents; nothing was changed".to_owned(),
        );
    }
    if let Some(i) = (0..values.len()).find(|i| !same(&values[*i], &wanted[*i])) {
        return Err(format!(
            "document {i} of the result would not have the wanted value; nothing was changed"
        ));
    }
    if !tree.duplicates().is_empty() {
        return Err("the result would have a key twice; nothing was changed".to_owned());
    }
    let before = &old.text[..window.start.min(old.text.len())];
    let behind = old.text.get(window.end.min(old.text.len())..).unwrap_or("");
    if after.len() < before.len() + behind.len()
        || !after.starts_with(before)
        || !after.ends_with(behind)
        || !siblings_stand(old, &tree, doc, target)
        || stray_returns(after) > stray_returns(old.text)
    {
        return Err("bytes outside the entry would change; nothing was changed".to_owned());
    }
    Ok(())
}

/// Carriage returns that are no part of a line break.
fn stray_returns(text: &str) -> usize {
    text.matches('\r').count() - text.matches("\r\n").count()
}

/// The other members of the touched collection have the bytes that they had, in their order.
fn siblings_stand(old: &Tree<'_>, new: &Tree<'_>, doc: usize, target: &Target) -> bool {
    let (container, skip, way) = match (&target.at, target.links.split_last()) {
        (At::Node(_), Some((link, way))) => {
            let (Slot::Entry(i) | Slot::Item(i)) = link.slot;
            (link.container, Some(i), way)
        }
        (At::Inherited { map, .. }, _) => (*map, None, &target.links[..]),
        (
            At::Missing {
                below: Some(id), ..
            },
            _,
        ) => (*id, None, &target.links[..]),
        _ => return true,
    };
    let Some(mut here) = new.docs.get(doc).and_then(|d| d.root) else {
        return true;
    };
    for link in way {
        let next = layout::slot_node(
            new,
            &Link {
                container: here,
                slot: link.slot,
            },
        );
        match next {
            Some(id) => here = id,
            None => return false,
        }
    }
    let sources = |tree: &Tree<'_>, id: NodeId, skip: Option<usize>| -> Vec<String> {
        layout::member_spans(tree, id)
            .into_iter()
            .enumerate()
            .filter(|(i, _)| Some(*i) != skip)
            .map(|(_, span)| tree.text[span].to_owned())
            .collect()
    };
    let mut have = sources(new, here, None).into_iter();
    sources(old, container, skip)
        .into_iter()
        .all(|wanted| have.any(|h| h == wanted))
}
