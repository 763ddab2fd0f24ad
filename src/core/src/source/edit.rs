//! Byte-exact edits of a YAML or JSON file: all of them or none, each one checked after it is made.

use serde_json::{Map, Value};

use super::add;
use super::delete;
use super::gate;
use super::helm;
use super::ops::{Edit, EditElement, Op, show_path};
use super::replace::replace;
use super::resolve::{self, At, Slot, Target, TypedStep, resolve};
use super::scalar::same;
use super::text::{self, Splice};
use super::tree::{Kind, NodeId, Style, Tree};
use super::yaml::{self, YamlError};

/// Why a file was left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// A rule would be broken, or the result could not be shown to be right.
    #[error("refused: {reason}")]
    Refused { reason: String },
    /// The bytes are no text that can be read at all.
    #[error("not readable: {reason}")]
    Unreadable { reason: String },
}

fn refused(reason: impl Into<String>) -> EditError {
    EditError::Refused {
        reason: reason.into(),
    }
}

/// Makes the edits in order; each sees the result of the ones before it.
///
/// Every edit is checked: the file is parsed again, every document must have exactly the wanted value
/// as Kubernetes reads it, and the bytes around the touched entry must be the same. Anything else is
/// `Refused` and the input stands.
pub fn edit(input: &[u8], edits: &[Edit]) -> Result<Vec<u8>, EditError> {
    let (text, mark) = yaml::decode(input).map_err(|e| EditError::Unreadable {
        reason: e.to_string(),
    })?;
    if let Some(why) = helm::template_reason(text) {
        return Err(refused(why));
    }
    let mut current = text.to_owned();
    for (i, one) in edits.iter().enumerate() {
        current = apply(&current, one).map_err(|why| {
            let which = if edits.len() > 1 {
                format!("edit {i}: ")
            } else {
                String::new()
            };
            refused(format!(
                "{which}document {}, {}: {why}",
                one.doc,
                show_path(&one.path)
            ))
        })?;
    }
    let mut out = input[..mark].to_vec();
    out.extend_from_slice(current.as_bytes());
    Ok(out)
}

/// [`edit`] of a file with a name: what is called `.json` and was JSON stays JSON.
pub fn edit_file(name: &str, input: &[u8], edits: &[Edit]) -> Result<Vec<u8>, EditError> {
    let after = edit(input, edits)?;
    let is_json = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    if name.to_ascii_lowercase().ends_with(".json") && is_json(input) && !is_json(&after) {
        return Err(refused("the result would be YAML in a .json file"));
    }
    Ok(after)
}

/// A file that can be edited: read, without duplicate keys, every document typed.
fn open(text: &str) -> Result<(Tree<'_>, Vec<Value>), String> {
    let tree = yaml::parse(text).map_err(|e| match helm::mentions_template(text) {
        true => "a Helm template is not YAML: edit the values or the template by hand".to_owned(),
        false => e.to_string(),
    })?;
    if let Some(twice) = tree.duplicates().first() {
        return Err(format!(
            "the key {:?} stands twice in one map (line {}): readers disagree on which counts",
            twice.key, twice.line
        ));
    }
    let templated = tree.nodes.iter().find(|n| {
        matches!(&n.kind, Kind::Scalar { value, style: Style::Plain } if helm::is_templated_plain(value))
    });
    if let Some(node) = templated {
        let line = tree.line_of(node.start);
        return Err(format!(
            "line {line} is part of a Helm template: edit the chart's values instead"
        ));
    }
    let values = tree.values().map_err(|e: YamlError| e.to_string())?;
    Ok((tree, values))
}

fn apply(before: &str, edit: &Edit) -> Result<String, String> {
    let (tree, values) = open(before)?;
    let target = resolve(&tree, edit.doc, &edit.path)?;
    let mut wanted = values.clone();
    let root = wanted.get_mut(edit.doc).ok_or("no such document")?;
    let after = match edit.op {
        Op::Set => {
            put(root, &target, &edit.value)?;
            set(before, edit.doc, &edit.path, &edit.value)?
        }
        Op::Add => {
            insert(root, &target, &edit.path, &edit.value)?;
            resolve::refuse_shared(&tree, &target)?;
            let missing = match target.at {
                At::Missing { below, rest } => (below, &edit.path[edit.path.len() - rest..]),
                At::Node(None) => (None, &edit.path[..]),
                At::Node(Some(_)) => match insertion(&tree, &target, &edit.path) {
                    Some(list) => (Some(list), &edit.path[edit.path.len() - 1..]),
                    None => return Err("it exists already".to_owned()),
                },
                At::Inherited { .. } => {
                    return Err("it exists already, through a merge key".to_owned());
                }
            };
            let links = match target.at {
                At::Node(Some(_)) => &target.links[..target.links.len() - 1],
                _ => &target.links[..],
            };
            let doc = tree.docs[edit.doc];
            made(
                &tree,
                add::add(&tree, &doc, links, missing.0, missing.1, &edit.value)?,
            )?
        }
        Op::Delete => {
            take(root, &target)?;
            resolve::refuse_shared(&tree, &target)?;
            made(&tree, delete::delete(&tree, &target.links)?)?
        }
    };
    if after == before {
        return Ok(after);
    }
    gate::check(&tree, &after, &wanted, edit.doc, &target)?;
    Ok(after)
}

fn made(tree: &Tree<'_>, splices: Vec<Splice>) -> Result<String, String> {
    text::splice(tree.text, splices).ok_or_else(|| "the changes of this edit overlap".to_owned())
}

/// `add` on a list index: the list that gets an item before it.
fn insertion(tree: &Tree<'_>, target: &Target, path: &[EditElement]) -> Option<NodeId> {
    let link = target.links.last()?;
    let list = matches!(tree.node(link.container).kind, Kind::Seq { .. });
    (list && matches!(path.last()?, EditElement::Index(_))).then_some(link.container)
}

// What the value becomes.

fn put(root: &mut Value, target: &Target, value: &Value) -> Result<(), String> {
    match &target.at {
        At::Node(_) => {
            let place = resolve::value_at(root, &target.typed).ok_or("no such value")?;
            *place = value.clone();
        }
        At::Inherited { key, .. } => {
            let (_, parents) = target.typed.split_last().ok_or("no such value")?;
            let map = resolve::value_at(root, parents).and_then(Value::as_object_mut);
            map.ok_or("no such map")?.insert(key.clone(), value.clone());
        }
        At::Missing { .. } => return Err("it does not exist; add makes it".to_owned()),
    }
    Ok(())
}

fn take(root: &mut Value, target: &Target) -> Result<(), String> {
    match &target.at {
        At::Node(_) => {}
        At::Inherited { .. } => {
            return Err("it comes through a merge key and cannot be deleted here".to_owned());
        }
        At::Missing { .. } => return Err("it does not exist".to_owned()),
    }
    let (last, parents) = target
        .typed
        .split_last()
        .ok_or("a whole document is not deleted")?;
    let parent = resolve::value_at(root, parents).ok_or("no such value")?;
    match (last, parent) {
        (TypedStep::Key(k), Value::Object(m)) => {
            m.shift_remove(k);
        }
        (TypedStep::Index(i), Value::Array(a)) if *i < a.len() => {
            a.remove(*i);
        }
        _ => return Err("no such value".to_owned()),
    }
    Ok(())
}

fn insert(
    root: &mut Value,
    target: &Target,
    path: &[EditElement],
    value: &Value,
) -> Result<(), String> {
    let (parents, rest, index) = match &target.at {
        At::Missing { rest, .. } => (&target.typed[..], &path[path.len() - rest..], None),
        At::Node(None) => (&target.typed[..], path, None),
        At::Node(Some(_)) => match target.typed.split_last() {
            Some((TypedStep::Index(i), parents))
                if matches!(path.last(), Some(EditElement::Index(_))) =>
            {
                (parents, &path[path.len() - 1..], Some(*i))
            }
            _ => return Err("it exists already; set changes it".to_owned()),
        },
        At::Inherited { .. } => return Err("it exists already, through a merge key".to_owned()),
    };
    let place = resolve::value_at(root, parents).ok_or("no such value")?;
    let Some((first, below)) = rest.split_first() else {
        *place = value.clone();
        return Ok(());
    };
    let inner = add::wrap(below, value)?;
    match (place, first) {
        (place @ Value::Null, _) => *place = add::wrap(rest, value)?,
        (Value::Object(m), EditElement::Key(k)) => {
            m.insert(k.clone(), inner);
        }
        (Value::Object(m), EditElement::End) => {
            m.insert("-".to_owned(), inner);
        }
        (Value::Array(a), EditElement::End) => a.push(inner),
        (Value::Array(a), EditElement::Index(i)) if index.unwrap_or(*i) <= a.len() => {
            a.insert(index.unwrap_or(*i), inner);
        }
        _ => return Err("the path does not fit what stands there".to_owned()),
    }
    Ok(())
}

// Setting a value changes only what differs.

fn set(before: &str, doc: usize, path: &[EditElement], value: &Value) -> Result<String, String> {
    let (tree, values) = open(before)?;
    let target = resolve(&tree, doc, path)?;
    let mut root = values.into_iter().nth(doc).ok_or("no such document")?;
    let old = resolve::value_at(&mut root, &target.typed).map(|v| v.take());
    let node = match &target.at {
        At::Node(Some(id)) => *id,
        At::Node(None) if value.is_null() => return Ok(before.to_owned()),
        At::Node(None) => {
            let d = tree.docs[doc];
            return made(&tree, add::add(&tree, &d, &[], None, &[], value)?);
        }
        At::Inherited { map, key } => {
            if old.as_ref().is_some_and(|o| same(o, value)) {
                return Ok(before.to_owned());
            }
            resolve::refuse_shared(&tree, &target)?;
            let d = tree.docs[doc];
            let missing = [EditElement::Key(key.clone())];
            return made(
                &tree,
                add::add(&tree, &d, &target.links, Some(*map), &missing, value)?,
            );
        }
        At::Missing { .. } => return Err("it does not exist; add makes it".to_owned()),
    };
    let old = old.ok_or("no such value")?;
    if same(&old, value) {
        return Ok(before.to_owned());
    }
    resolve::refuse_shared(&tree, &target)?;
    match (&tree.node(node).kind, &old, value) {
        (Kind::Map { .. }, Value::Object(have), Value::Object(want))
            if !have.is_empty() && !want.is_empty() =>
        {
            set_map(&tree, doc, path, node, have, want)
        }
        (Kind::Seq { .. }, Value::Array(have), Value::Array(want))
            if !have.is_empty() && !want.is_empty() =>
        {
            super::lists::set_list(before, doc, path, have, want)
        }
        _ => made(&tree, replace(&tree, &target.links, node, value)?),
    }
}

fn set_map(
    tree: &Tree<'_>,
    doc: usize,
    path: &[EditElement],
    node: NodeId,
    have: &Map<String, Value>,
    want: &Map<String, Value>,
) -> Result<String, String> {
    let Kind::Map { entries, .. } = &tree.node(node).kind else {
        return Err("no map".to_owned());
    };
    let mut written: Vec<(String, String)> = Vec::new();
    for entry in entries.iter().filter(|e| !tree.is_merge(e)) {
        let key = tree.key(entry.key).map_err(|e| e.to_string())?;
        let raw = tree
            .scalar(tree.behind(entry.key))
            .unwrap_or(&key)
            .to_owned();
        written.push((key, raw));
    }
    let below = |raw: &str| {
        let mut p = path.to_vec();
        p.push(EditElement::Key(raw.to_owned()));
        p
    };
    let mut text = tree.text.to_owned();
    for (key, value) in want {
        let raw = written
            .iter()
            .find(|(k, _)| k == key)
            .map_or(key.as_str(), |(_, raw)| raw);
        if have.contains_key(key) {
            if !have.get(key).is_some_and(|h| same(h, value)) {
                text = set(&text, doc, &below(raw), value)?;
            }
        } else {
            text = primitive(&text, doc, &below(raw), Op::Add, value)?;
        }
    }
    for key in have.keys().filter(|k| !want.contains_key(*k)) {
        let Some((_, raw)) = written.iter().find(|(k, _)| k == key) else {
            return Err(format!(
                "{key} comes through a merge key and cannot be taken away here"
            ));
        };
        text = primitive(&text, doc, &below(raw), Op::Delete, &Value::Null)?;
    }
    Ok(text)
}

/// One change inside a larger `set`; the whole is checked once, at the end.
pub(super) fn primitive(
    before: &str,
    doc: usize,
    path: &[EditElement],
    op: Op,
    value: &Value,
) -> Result<String, String> {
    if op == Op::Set {
        return set(before, doc, path, value);
    }
    let tree = yaml::parse(before).map_err(|e| e.to_string())?;
    let target = resolve(&tree, doc, path)?;
    resolve::refuse_shared(&tree, &target)?;
    if op == Op::Delete {
        return made(&tree, delete::delete(&tree, &target.links)?);
    }
    let d = *tree.docs.get(doc).ok_or("no such document")?;
    let last = &path[path.len().saturating_sub(1)..];
    let (links, below) = match (&target.at, insertion(&tree, &target, path)) {
        (At::Missing { below, .. }, _) => (&target.links[..], *below),
        (At::Node(Some(_)), Some(list)) => (&target.links[..target.links.len() - 1], Some(list)),
        _ => return Err("it exists already".to_owned()),
    };
    made(&tree, add::add(&tree, &d, links, below, last, value)?)
}

/// A scalar item of a list changed into another: its bytes, without the end-of-line comment of the old one.
pub(super) fn set_item(
    before: &str,
    doc: usize,
    path: &[EditElement],
    value: &Value,
) -> Result<String, String> {
    let tree = yaml::parse(before).map_err(|e| e.to_string())?;
    let target = resolve(&tree, doc, path)?;
    resolve::refuse_shared(&tree, &target)?;
    let (At::Node(Some(node)), Some(link)) = (&target.at, target.links.last()) else {
        return Err("no such item".to_owned());
    };
    debug_assert!(matches!(link.slot, Slot::Item(_)));
    let Some(comment) = delete::item_comment(&tree, link) else {
        return made(&tree, replace(&tree, &target.links, *node, value)?);
    };
    let without = made(&tree, vec![comment])?;
    set(&without, doc, path, value)
}
