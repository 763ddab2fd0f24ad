//! A path to the node it means, with everything an edit has to know about the way there.

use serde_json::Value;

use super::ops::{EditElement, show_path};
use super::scalar;
use super::tree::{Kind, NodeId, Tree};

/// The slot of a container that a path step took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Entry(usize),
    Item(usize),
}

/// One step: from a container through a slot.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub container: NodeId,
    pub slot: Slot,
}

/// A step in the value of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypedStep {
    Key(String),
    Index(usize),
}

/// What stands at a path.
#[derive(Debug)]
pub struct Target {
    /// Steps that exist.
    pub links: Vec<Link>,
    /// The same steps in the value.
    pub typed: Vec<TypedStep>,
    pub at: At,
}

/// The last thing that exists on a path.
#[derive(Debug)]
pub enum At {
    /// The node itself; `None` is the empty document.
    Node(Option<NodeId>),
    /// The path ends in a key that the map has only through a merge key.
    Inherited { map: NodeId, key: String },
    /// `rest` elements of the path are missing below the node (`None`: the empty document).
    Missing { below: Option<NodeId>, rest: usize },
}

/// Follows the path. The error says why it cannot be followed.
pub fn resolve(tree: &Tree<'_>, doc: usize, path: &[EditElement]) -> Result<Target, String> {
    let docs = tree.docs.len();
    let Some(document) = tree.docs.get(doc) else {
        return Err(format!("there is no document {doc}: the file has {docs}"));
    };
    let mut links = Vec::new();
    let mut typed = Vec::new();
    let Some(mut here) = document.root else {
        let at = if path.is_empty() {
            At::Node(None)
        } else {
            At::Missing {
                below: None,
                rest: path.len(),
            }
        };
        return Ok(Target { links, typed, at });
    };
    for (depth, element) in path.iter().enumerate() {
        let shown = || show_path(&path[..=depth]);
        let rest = path.len() - depth;
        match &tree.node(here).kind {
            Kind::Alias(_) => {
                return Err(format!(
                    "{} goes through an alias: the value is written elsewhere",
                    shown()
                ));
            }
            Kind::Scalar { .. } => {
                if tree.value(here).map_err(|e| e.to_string())? == Value::Null {
                    let at = At::Missing {
                        below: Some(here),
                        rest,
                    };
                    return Ok(Target { links, typed, at });
                }
                return Err(format!(
                    "{} goes through a value that is no map or list",
                    shown()
                ));
            }
            Kind::Map { entries, .. } => {
                let wanted = match element {
                    EditElement::Key(k) => k.as_str(),
                    EditElement::End => "-",
                    EditElement::Index(_) | EditElement::Item(_) => {
                        return Err(format!("{} wants a list, and there is a map", shown()));
                    }
                };
                let found = entries.iter().position(|e| {
                    tree.scalar(tree.behind(e.key)) == Some(wanted) && !tree.is_merge(e)
                });
                let Some(index) = found else {
                    if wanted == "<<" && entries.iter().any(|e| tree.is_merge(e)) {
                        return Err("a merge key itself is not edited".to_owned());
                    }
                    let value = tree.value(here).map_err(|e| e.to_string())?;
                    let at = if value.get(wanted).is_some() {
                        if rest > 1 {
                            return Err(format!("{} comes through a merge key", shown()));
                        }
                        typed.push(TypedStep::Key(wanted.to_owned()));
                        At::Inherited {
                            map: here,
                            key: wanted.to_owned(),
                        }
                    } else {
                        At::Missing {
                            below: Some(here),
                            rest,
                        }
                    };
                    return Ok(Target { links, typed, at });
                };
                let entry = entries[index];
                typed.push(TypedStep::Key(
                    tree.key(entry.key).map_err(|e| e.to_string())?,
                ));
                links.push(Link {
                    container: here,
                    slot: Slot::Entry(index),
                });
                here = entry.value;
            }
            Kind::Seq { items, .. } => {
                let index = match element {
                    EditElement::Key(_) => {
                        return Err(format!("{} wants a map, and there is a list", shown()));
                    }
                    EditElement::End => items.len(),
                    EditElement::Index(i) => *i,
                    EditElement::Item(fields) => {
                        let mut matches = Vec::new();
                        for (i, item) in items.iter().enumerate() {
                            let value = tree.value(item.node).map_err(|e| e.to_string())?;
                            if fields.iter().all(|(k, v)| {
                                value.get(k).is_some_and(|have| scalar::same(have, v))
                            }) {
                                matches.push(i);
                            }
                        }
                        match matches[..] {
                            [one] => one,
                            [] => return Err(format!("{} matches no list item", shown())),
                            _ => {
                                return Err(format!(
                                    "{} matches {} list items",
                                    shown(),
                                    matches.len()
                                ));
                            }
                        }
                    }
                };
                if index > items.len()
                    || (index == items.len() && rest > 1 && *element != EditElement::End)
                {
                    return Err(format!("{}: the list has {} items", shown(), items.len()));
                }
                if index == items.len() {
                    let at = At::Missing {
                        below: Some(here),
                        rest,
                    };
                    return Ok(Target { links, typed, at });
                }
                typed.push(TypedStep::Index(index));
                links.push(Link {
                    container: here,
                    slot: Slot::Item(index),
                });
                here = items[index].node;
            }
        }
    }
    Ok(Target {
        links,
        typed,
        at: At::Node(Some(here)),
    })
}

/// Refuses when the node at the end of the path, or one on the way, carries an anchor that is used.
pub fn refuse_shared(tree: &Tree<'_>, target: &Target) -> Result<(), String> {
    let last = match target.at {
        At::Node(node) => node,
        At::Inherited { map, .. } => Some(map),
        At::Missing { below, .. } => below,
    };
    let on_the_way = target.links.iter().map(|l| l.container);
    for node in on_the_way.chain(last) {
        if let Some((anchor, range)) = &tree.node(node).anchor
            && tree.is_used(*anchor)
        {
            let name = &tree.text[range.clone()];
            return Err(format!(
                "the value carries the anchor {name}, and an alias uses it elsewhere: both would change"
            ));
        }
    }
    Ok(())
}

/// The place of a value inside a document's value.
pub fn value_at<'v>(value: &'v mut Value, steps: &[TypedStep]) -> Option<&'v mut Value> {
    steps.iter().try_fold(value, |v, step| match step {
        TypedStep::Key(k) => v.get_mut(k.as_str()),
        TypedStep::Index(i) => v.get_mut(*i),
    })
}
