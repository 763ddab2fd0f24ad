//! Which bytes of a file make a field, and how a field path becomes a path of an edit.

use serde_json::Value;

use super::ops::EditElement;
use super::scalar::same;
use super::tree::{Kind, NodeId, Tree};
use super::yaml;
use crate::object::path::{Element, FieldPath};

/// The bytes that make a field. Offsets count from the start of the file, byte-order mark included.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    pub doc: usize,
    /// Line of the value, from 1.
    pub line: usize,
    pub start: usize,
    pub end: usize,
    /// As Kubernetes reads it.
    pub value: Value,
    /// The bytes stand elsewhere and come in through an alias or a merge key.
    pub shared: bool,
}

/// Why no bytes were found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTraced {
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// The file does not have the field. `line` is that of the nearest part that exists, from 1.
    #[error("the file does not have the field (nearest part: line {line})")]
    Absent { line: usize },
}

/// Finds the bytes of a field of the object in document `doc` (`item`: in that list's `items`).
pub fn locate(
    file: &[u8],
    doc: usize,
    item: Option<usize>,
    path: &FieldPath,
) -> Result<Located, NotTraced> {
    let unreadable = |e: yaml::YamlError| NotTraced::Unreadable(e.to_string());
    let (text, mark) = yaml::decode(file).map_err(unreadable)?;
    let tree = yaml::parse(text).map_err(unreadable)?;
    let Some(mut here) = tree.docs.get(doc).and_then(|d| d.root) else {
        return Err(NotTraced::Absent { line: 1 });
    };
    let mut shared = false;
    let absent = |id: NodeId| NotTraced::Absent {
        line: tree.line_of(tree.node(id).start),
    };
    for element in object_steps(item).iter().chain(&path.0) {
        let behind = tree.behind(here);
        shared |= behind != here;
        let (next, merged) = step(&tree, behind, element).ok_or_else(|| absent(here))?;
        shared |= merged;
        here = next;
    }
    let behind = tree.behind(here);
    shared |= behind != here;
    let node = tree.node(behind);
    Ok(Located {
        doc,
        line: tree.line_of(node.start),
        start: node.start + mark,
        end: node.end + mark,
        value: tree.value(behind).map_err(unreadable)?,
        shared,
    })
}

fn object_steps(item: Option<usize>) -> Vec<Element> {
    item.map_or_else(Vec::new, |i| {
        vec![Element::Key("items".to_owned()), Element::Index(i)]
    })
}

/// The child that the element names; true when a merge key brings it.
fn step(tree: &Tree<'_>, id: NodeId, element: &Element) -> Option<(NodeId, bool)> {
    match (&tree.node(id).kind, element) {
        (Kind::Map { entries, .. }, Element::Key(name)) => {
            let own = entries
                .iter()
                .rev()
                .find(|e| !tree.is_merge(e) && tree.key(e.key).is_ok_and(|k| k == *name));
            if let Some(entry) = own {
                return Some((entry.value, false));
            }
            entries.iter().filter(|e| tree.is_merge(e)).find_map(|e| {
                let from = tree.behind(e.value);
                let maps: Vec<NodeId> = match &tree.node(from).kind {
                    Kind::Seq { items, .. } => items.iter().map(|i| tree.behind(i.node)).collect(),
                    _ => vec![from],
                };
                // A merged map may merge in turn; the depth limit of the values bounds this.
                maps.into_iter()
                    .filter(|m| *m != id)
                    .find_map(|m| step(tree, m, element))
                    .map(|(n, _)| (n, true))
            })
        }
        (Kind::Seq { items, .. }, element) => {
            let index = match element {
                Element::Index(i) => *i,
                _ => items
                    .iter()
                    .position(|i| tree.value(i.node).is_ok_and(|v| is_item(&v, element)))?,
            };
            items.get(index).map(|i| (i.node, false))
        }
        _ => None,
    }
}

/// Whether a list item is the one that the element names. A missing `protocol` is TCP, as the API server fills it in.
fn is_item(value: &Value, element: &Element) -> bool {
    match element {
        Element::Item(keys) => keys.iter().all(|(k, v)| match value.get(k) {
            Some(have) => same(have, v),
            None => k == "protocol" && v.as_str() == Some("TCP"),
        }),
        Element::SetValue(v) => same(value, v),
        Element::Key(_) | Element::Index(_) => false,
    }
}

/// A field path as an edit of this document takes it.
pub struct EditPath {
    /// Elements that exist in the file, and the first missing one.
    pub path: Vec<EditElement>,
    /// The field paths of what is missing below that; none when all of it exists.
    pub missing: Option<FieldPath>,
}

/// Turns the field path of an object into the path of an edit. Keys are given as the file writes them, list items by
/// index.
pub fn edit_path(tree: &Tree<'_>, doc: usize, item: Option<usize>, path: &FieldPath) -> EditPath {
    let mut out = Vec::new();
    let mut here = tree.docs.get(doc).and_then(|d| d.root);
    let steps: Vec<Element> = object_steps(item)
        .into_iter()
        .chain(path.0.iter().cloned())
        .collect();
    for (n, element) in steps.iter().enumerate() {
        let behind = here.map(|id| tree.behind(id));
        let next = behind.and_then(|id| step(tree, id, element));
        let missing = next.is_none();
        out.push(match (element, behind.map(|id| &tree.node(id).kind)) {
            (Element::Key(name), Some(Kind::Map { entries, .. })) => {
                let raw = entries
                    .iter()
                    .find(|e| !tree.is_merge(e) && tree.key(e.key).is_ok_and(|k| k == *name))
                    .and_then(|e| tree.scalar(tree.behind(e.key)));
                EditElement::Key(raw.unwrap_or(name).to_owned())
            }
            (Element::Key(name), _) => EditElement::Key(name.clone()),
            (Element::Index(i), _) if missing => {
                let end = behind.is_some_and(|id| {
                    matches!(&tree.node(id).kind, Kind::Seq { items, .. } if *i >= items.len())
                });
                if end {
                    EditElement::End
                } else {
                    EditElement::Index(*i)
                }
            }
            (_, Some(Kind::Seq { items, .. })) => {
                match next.and_then(|(id, _)| items.iter().position(|i| i.node == id)) {
                    Some(i) => EditElement::Index(i),
                    None => EditElement::End,
                }
            }
            _ => EditElement::End,
        });
        match next {
            Some((id, _)) => here = Some(id),
            None => {
                return EditPath {
                    path: out,
                    missing: Some(FieldPath(steps[n + 1..].to_vec())),
                };
            }
        }
    }
    EditPath {
        path: out,
        missing: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\u{feff}apiVersion: v1\nitems:\n- spec: &s\n    a: 0644\n    on: x\n- spec:\n    <<: *s\n    ports:\n    - {port: 80, name: web}\n    env:\n    - name: DEBUG\n      value: \"1\"\n";

    fn at(item: usize, path: &str) -> Result<Located, NotTraced> {
        locate(FILE.as_bytes(), 0, Some(item), &path.parse().unwrap())
    }

    #[test]
    fn fields_are_found_by_key_item_alias_and_merge() {
        let text = |l: &Located| &FILE[l.start..l.end];
        let octal = at(0, ".spec.a").unwrap();
        assert_eq!(
            (text(&octal), &octal.value, octal.line, octal.shared),
            ("0644", &Value::from(420), 4, false)
        );
        let merged = at(1, ".spec.a").unwrap();
        assert_eq!((text(&merged), merged.shared), ("0644", true));
        assert_eq!(
            text(&at(1, ".spec.ports[port=80,protocol=\"TCP\"].name").unwrap()),
            "web"
        );
        assert_eq!(
            text(&at(1, ".spec.env[name=\"DEBUG\"].value").unwrap()),
            "\"1\""
        );
        assert_eq!(text(&at(0, ".spec.true").unwrap()), "x");
        assert_eq!(
            at(1, ".spec.env[name=\"TRACE\"].value"),
            Err(NotTraced::Absent { line: 11 })
        );
    }
}
