//! The style of the file at one place: indent step, list style, spacing of flow collections.

use super::emit::{FlowStyle, Layout};
use super::resolve::{Link, Slot};
use super::text;
use super::tree::{Kind, NodeId, Style, Tree};

/// Column at which the entries or dashes of a block collection stand.
pub fn column(tree: &Tree<'_>, id: NodeId) -> Option<usize> {
    let first = match &tree.node(id).kind {
        Kind::Map {
            flow: false,
            entries,
        } => entries.first()?.start,
        Kind::Seq { flow: false, items } => items.first()?.start,
        _ => return None,
    };
    Some(text::column(tree.text, first))
}

/// Whether the collection is written in flow style.
pub fn is_flow(tree: &Tree<'_>, id: NodeId) -> bool {
    matches!(
        tree.node(id).kind,
        Kind::Map { flow: true, .. } | Kind::Seq { flow: true, .. }
    )
}

/// The layout for new text below the last of `links`.
pub fn layout(tree: &Tree<'_>, links: &[Link], here: Option<NodeId>) -> Layout {
    Layout {
        newline: text::newline(tree.text),
        step: step(tree, links, here),
        indented_lists: indented_lists(tree),
    }
}

/// Columns from a block map to a block map that is the value of one of its keys.
fn child_step(tree: &Tree<'_>, map: NodeId) -> Option<usize> {
    let Kind::Map {
        flow: false,
        entries,
    } = &tree.node(map).kind
    else {
        return None;
    };
    let outer = column(tree, map)?;
    entries.iter().find_map(|e| {
        matches!(tree.node(e.value).kind, Kind::Map { flow: false, .. })
            .then(|| column(tree, e.value))
            .flatten()
            .and_then(|inner| inner.checked_sub(outer))
            .filter(|s| *s > 0)
    })
}

/// The indent step of the nearest parent; else of the siblings; else the file's first; else 2.
fn step(tree: &Tree<'_>, links: &[Link], here: Option<NodeId>) -> usize {
    let path: Vec<NodeId> = links.iter().map(|l| l.container).chain(here).collect();
    for pair in path.windows(2).rev() {
        if matches!(tree.node(pair[0]).kind, Kind::Map { flow: false, .. })
            && matches!(tree.node(pair[1]).kind, Kind::Map { flow: false, .. })
            && let (Some(outer), Some(inner)) = (column(tree, pair[0]), column(tree, pair[1]))
            && inner > outer
        {
            return inner - outer;
        }
    }
    path.iter()
        .rev()
        .find_map(|id| child_step(tree, *id))
        .or_else(|| (0..tree.nodes.len()).find_map(|id| child_step(tree, id)))
        .or_else(|| {
            // Only lists are nested: their dashes show the step when they stand deeper.
            (0..tree.nodes.len())
                .find_map(|id| list_offset(tree, id))
                .filter(|s| *s > 0)
        })
        .unwrap_or(2)
        .clamp(1, 9)
}

/// Columns that the dashes of a list value stand to the right of its key's map.
fn list_offset(tree: &Tree<'_>, map: NodeId) -> Option<usize> {
    let Kind::Map {
        flow: false,
        entries,
    } = &tree.node(map).kind
    else {
        return None;
    };
    let outer = column(tree, map)?;
    entries.iter().find_map(|e| match tree.node(e.value).kind {
        Kind::Seq { flow: false, .. } => column(tree, e.value)?.checked_sub(outer),
        _ => None,
    })
}

fn indented_lists(tree: &Tree<'_>) -> bool {
    let mut indented = 0_usize;
    let mut flush = 0_usize;
    for id in 0..tree.nodes.len() {
        let Kind::Map {
            flow: false,
            entries,
        } = &tree.node(id).kind
        else {
            continue;
        };
        let Some(outer) = column(tree, id) else {
            continue;
        };
        for e in entries {
            if matches!(tree.node(e.value).kind, Kind::Seq { flow: false, .. })
                && let Some(inner) = column(tree, e.value)
            {
                if inner > outer {
                    indented += 1
                } else {
                    flush += 1
                }
            }
        }
    }
    indented >= flush
}

/// The column that block scalars and nested lines below a slot are counted from.
pub fn slot_column(tree: &Tree<'_>, link: Option<&Link>) -> usize {
    link.and_then(|l| column(tree, l.container)).unwrap_or(0)
}

/// First byte behind the indicator of a slot: behind `:` or `-`.
pub fn indicator_end(tree: &Tree<'_>, link: &Link) -> Option<usize> {
    match (&tree.node(link.container).kind, link.slot) {
        (Kind::Map { entries, .. }, Slot::Entry(i)) => entries.get(i)?.colon.map(|c| c + 1),
        (Kind::Seq { flow: false, items }, Slot::Item(i)) => items.get(i).map(|it| it.start + 1),
        (Kind::Seq { flow: true, items }, Slot::Item(i)) => items.get(i).map(|it| it.start),
        _ => None,
    }
}

/// The node in a slot.
pub fn slot_node(tree: &Tree<'_>, link: &Link) -> Option<NodeId> {
    match (&tree.node(link.container).kind, link.slot) {
        (Kind::Map { entries, .. }, Slot::Entry(i)) => entries.get(i).map(|e| e.value),
        (Kind::Seq { items, .. }, Slot::Item(i)) => items.get(i).map(|it| it.node),
        _ => None,
    }
}

/// Spans of the entries or items of a collection, in order.
pub fn member_spans(tree: &Tree<'_>, id: NodeId) -> Vec<std::ops::Range<usize>> {
    match &tree.node(id).kind {
        Kind::Map { entries, .. } => entries.iter().map(|e| tree.entry_span(e)).collect(),
        Kind::Seq { items, .. } => items.iter().map(|i| tree.item_span(i)).collect(),
        _ => Vec::new(),
    }
}

/// Spacing of the flow collection, or of the first of the file that shows it.
pub fn flow_style(tree: &Tree<'_>, here: Option<NodeId>) -> FlowStyle {
    // First the collection itself, then what is inside it, then the rest of the file.
    let inside = here.map_or(0..0, |id| tree.node(id).start..tree.node(id).end);
    let (within, rest): (Vec<NodeId>, Vec<NodeId>) =
        (0..tree.nodes.len()).partition(|id| inside.contains(&tree.node(*id).start));
    let order: Vec<NodeId> = here.into_iter().chain(within).chain(rest).collect();
    let padded = |map: bool| {
        order
            .iter()
            .find_map(|id| {
                let node = tree.node(*id);
                let fits = match &node.kind {
                    Kind::Map {
                        flow: true,
                        entries,
                    } => map && !entries.is_empty(),
                    Kind::Seq { flow: true, items } => !map && !items.is_empty(),
                    _ => false,
                };
                let inner = tree.text.get(node.start + 1..node.end)?;
                (fits && !inner.trim_start_matches(' ').starts_with(['\n', '\r']))
                    .then(|| inner.starts_with(' '))
            })
            .unwrap_or(false)
    };
    let comma = order.iter().find_map(|id| {
        if !is_flow(tree, *id) {
            return None;
        }
        let spans = member_spans(tree, *id);
        let between = tree.text.get(spans.first()?.end..spans.get(1)?.start)?;
        (!between.contains('\n')).then(|| if between.contains(", ") { ", " } else { "," })
    });
    let colon = order.iter().find_map(|id| match &tree.node(*id).kind {
        Kind::Map {
            flow: true,
            entries,
        } => entries.iter().find_map(|e| {
            let quoted = matches!(
                tree.node(e.key).kind,
                Kind::Scalar {
                    style: Style::Double | Style::Single,
                    ..
                }
            );
            let after = tree.text.as_bytes().get(e.colon? + 1)?;
            (tree.json || quoted).then_some(if *after == b' ' { ": " } else { ":" })
        }),
        _ => None,
    });
    let colon = colon.unwrap_or(": ");
    let tight = colon == ":";
    FlowStyle {
        json: tree.json,
        pad_map: padded(true),
        pad_seq: padded(false),
        comma: comma
            .unwrap_or(if tree.json && tight { "," } else { ", " })
            .to_owned(),
        colon: colon.to_owned(),
    }
}

/// One step of indent in a JSON file.
pub fn json_step(tree: &Tree<'_>) -> String {
    for node in &tree.nodes {
        let first = match &node.kind {
            Kind::Map { entries, .. } => entries.first().map(|e| e.start),
            Kind::Seq { items, .. } => items.first().map(|i| i.start),
            _ => None,
        };
        let Some(first) = first else { continue };
        let line = text::line_start(tree.text, first);
        let open_line = text::line_start(tree.text, node.start);
        if line > open_line && text::is_first_on_line(tree.text, first) {
            let open = text::line(tree.text, open_line);
            let open_indent = &open[..open.len() - open.trim_start().len()];
            let indent = &tree.text[line..first];
            if let Some(step) = indent.strip_prefix(open_indent).filter(|s| !s.is_empty()) {
                return step.to_owned();
            }
        }
    }
    "  ".to_owned()
}
