//! Field paths: how one field of an object is named, and how it is read, written and matched.
//!
//! The text form is a promise to scripts: `.name` for `[A-Za-z0-9_-]+`, else `["any.name/x"]` as a JSON string; list
//! items by their keys, `[name="app"]`, `[containerPort=80,protocol="TCP"]`; `[3]` for a position and `[="x"]` for a
//! member of a set. The path of the whole object is `.`.

mod text;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

use text::{Token, tokens};

/// One step from a node to a child.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Element {
    /// A key of a map.
    Key(String),
    /// The item of a keyed list whose key fields have these values, in the order of the list-map keys.
    Item(Vec<(String, Value)>),
    /// A position in a list that has no keys.
    Index(usize),
    /// The member of a set that equals this scalar.
    SetValue(Value),
}

/// A path from the root of an object to one of its fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FieldPath(pub Vec<Element>);

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "cannot read {text:?} as a field path: {why} at character {at}; write it like .spec.containers[name=\"app\"].image or .data[\"a.b/c\"]"
)]
pub struct ParsePathError {
    text: String,
    at: usize,
    why: &'static str,
}

/// Why a value could not be put at a path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "cannot set {path}: {at} is {found}, not {wanted}; the object has another shape than the path expects"
)]
pub struct SetError {
    path: String,
    at: String,
    found: &'static str,
    wanted: &'static str,
}

fn is_simple(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn json(value: &Value) -> String {
    value.to_string()
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    if is_simple(name) {
        f.write_str(name)
    } else {
        f.write_str(&json(&Value::String(name.to_owned())))
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Key(name) if is_simple(name) => write!(f, ".{name}"),
            Element::Key(name) => write!(f, "[{}]", json(&Value::String(name.clone()))),
            Element::Item(keys) => {
                f.write_str("[")?;
                for (n, (name, value)) in keys.iter().enumerate() {
                    if n > 0 {
                        f.write_str(",")?;
                    }
                    write_name(f, name)?;
                    write!(f, "={}", json(value))?;
                }
                f.write_str("]")
            }
            Element::Index(n) => write!(f, "[{n}]"),
            Element::SetValue(value) => write!(f, "[={}]", json(value)),
        }
    }
}

impl Element {
    fn rank(&self) -> u8 {
        match self {
            Element::Key(_) => 0,
            Element::Item(_) => 1,
            Element::Index(_) => 2,
            Element::SetValue(_) => 3,
        }
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Element::Key(a), Element::Key(b)) => a.cmp(b),
            (Element::Index(a), Element::Index(b)) => a.cmp(b),
            (Element::Item(a), Element::Item(b)) => {
                let pairs = |keys: &[(String, Value)]| -> Vec<(String, String)> {
                    keys.iter().map(|(k, v)| (k.clone(), json(v))).collect()
                };
                pairs(a).cmp(&pairs(b))
            }
            (Element::SetValue(a), Element::SetValue(b)) => json(a).cmp(&json(b)),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        self.0.iter().try_for_each(|e| e.fmt(f))
    }
}

impl FromStr for FieldPath {
    type Err = ParsePathError;

    fn from_str(text: &str) -> Result<Self, ParsePathError> {
        tokens(text)?
            .into_iter()
            .map(|t| match t {
                Token::Element(e) => Ok(e),
                Token::Any => Err(ParsePathError {
                    text: text.to_owned(),
                    at: 1,
                    why: "`*` stands for many fields and only one is asked for",
                }),
            })
            .collect::<Result<_, _>>()
            .map(FieldPath)
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// The value of a key field of a list item, with the one default that the API server fills into a key: `protocol` TCP.
fn item_key<'a>(item: &'a Value, name: &str) -> Option<std::borrow::Cow<'a, Value>> {
    use std::borrow::Cow;
    match item.get(name) {
        Some(v) => Some(Cow::Borrowed(v)),
        None if name == "protocol" && item.is_object() => Some(Cow::Owned(Value::from("TCP"))),
        None => None,
    }
}

fn position(list: &[Value], element: &Element) -> Option<usize> {
    match element {
        Element::Index(n) => (*n < list.len()).then_some(*n),
        Element::SetValue(v) => list.iter().position(|item| item == v),
        Element::Item(keys) => list.iter().position(|item| {
            keys.iter()
                .all(|(k, v)| item_key(item, k).is_some_and(|found| *found == *v))
        }),
        Element::Key(_) => None,
    }
}

impl FieldPath {
    /// The path of the whole object.
    pub fn root() -> Self {
        FieldPath::default()
    }

    /// A path of map keys only.
    pub fn keys<I, S>(names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        FieldPath(names.into_iter().map(|n| Element::Key(n.into())).collect())
    }

    /// This path, one element longer.
    pub fn child(&self, element: Element) -> Self {
        let mut elements = self.0.clone();
        elements.push(element);
        FieldPath(elements)
    }

    /// This path, one map key longer.
    pub fn key(&self, name: impl Into<String>) -> Self {
        self.child(Element::Key(name.into()))
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path without its last element; none for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(FieldPath(rest.to_vec()))
    }

    /// True when `self` is `other` or a part of the way to it.
    pub fn is_prefix_of(&self, other: &FieldPath) -> bool {
        other.0.starts_with(&self.0)
    }

    /// True when one of the two contains the other.
    pub fn overlaps(&self, other: &FieldPath) -> bool {
        self.is_prefix_of(other) || other.is_prefix_of(self)
    }

    /// The map keys of the path as text, list elements as `*`: how tables of types speak of a field.
    pub fn schema_names(&self) -> Vec<&str> {
        self.0
            .iter()
            .map(|e| match e {
                Element::Key(name) => name.as_str(),
                _ => "*",
            })
            .collect()
    }

    /// The value at this path.
    pub fn get<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0
            .iter()
            .try_fold(object, |node, element| match (node, element) {
                (Value::Object(map), Element::Key(name)) => map.get(name),
                (Value::Array(list), element) => position(list, element).and_then(|n| list.get(n)),
                _ => None,
            })
    }

    /// Puts a value at this path; missing maps, and a missing list item with its keys, are made on the way.
    /// A null on the way counts as missing.
    pub fn set(&self, object: &mut Value, value: Value) -> Result<(), SetError> {
        let mut node = object;
        for (n, element) in self.0.iter().enumerate() {
            let wrong = |node: &Value, wanted| SetError {
                path: self.to_string(),
                at: FieldPath(self.0[..n].to_vec()).to_string(),
                found: shape(node),
                wanted,
            };
            if node.is_null() {
                *node = match element {
                    Element::Key(_) => Value::Object(Map::new()),
                    _ => Value::Array(Vec::new()),
                };
            }
            node = match element {
                Element::Key(name) => match node {
                    Value::Object(map) => map.entry(name.clone()).or_insert(Value::Null),
                    other => return Err(wrong(other, "a map")),
                },
                _ => {
                    let Value::Array(list) = node else {
                        return Err(wrong(node, "a list"));
                    };
                    let at = match position(list, element) {
                        Some(at) => at,
                        None => {
                            list.push(match element {
                                Element::Item(keys) => {
                                    Value::Object(keys.iter().cloned().collect())
                                }
                                Element::SetValue(v) => v.clone(),
                                _ => Value::Null,
                            });
                            list.len() - 1
                        }
                    };
                    &mut list[at]
                }
            };
        }
        *node = value;
        Ok(())
    }

    /// Takes the value at this path out. The root is replaced by null.
    pub fn remove(&self, object: &mut Value) -> Option<Value> {
        let Some((last, way)) = self.0.split_last() else {
            return Some(object.take());
        };
        let mut node = object;
        for element in way {
            node = match node {
                Value::Object(map) => match element {
                    Element::Key(name) => map.get_mut(name)?,
                    _ => return None,
                },
                Value::Array(list) => {
                    let at = position(list, element)?;
                    &mut list[at]
                }
                _ => return None,
            };
        }
        match (node, last) {
            (Value::Object(map), Element::Key(name)) => map.shift_remove(name),
            (Value::Array(list), element) => {
                let at = position(list, element)?;
                Some(list.remove(at))
            }
            _ => None,
        }
    }

    /// The JSON Pointer (RFC 6901) of this path in `object`. Only the last element may be missing there: it is then
    /// where an `add` operation puts it (`-` for a list). None when the way is missing.
    pub fn to_pointer(&self, object: &Value) -> Option<String> {
        let mut out = String::new();
        let mut node = Some(object);
        for element in &self.0 {
            let here = node?;
            let token = match (here, element) {
                (Value::Object(map), Element::Key(name)) => {
                    node = map.get(name);
                    name.replace('~', "~0").replace('/', "~1")
                }
                (_, Element::Key(_)) => return None,
                (Value::Array(list), element) => match position(list, element) {
                    Some(at) => {
                        node = list.get(at);
                        at.to_string()
                    }
                    None => {
                        node = None;
                        "-".to_owned()
                    }
                },
                _ => return None,
            };
            out.push('/');
            out.push_str(&token);
        }
        Some(out)
    }
}

/// A path in which `*` stands for exactly one element: `.data.*`, `.spec.containers[*].image`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Vec<Option<Element>>);

impl Pattern {
    pub fn matches(&self, path: &FieldPath) -> bool {
        self.0.len() == path.0.len()
            && self
                .0
                .iter()
                .zip(&path.0)
                .all(|(want, have)| want.as_ref().is_none_or(|w| w == have))
    }

    /// The path itself, when nothing in it is a `*`.
    pub fn exact(&self) -> Option<FieldPath> {
        self.0
            .iter()
            .cloned()
            .collect::<Option<Vec<_>>>()
            .map(FieldPath)
    }
}

impl From<&FieldPath> for Pattern {
    fn from(path: &FieldPath) -> Self {
        Pattern(path.0.iter().cloned().map(Some).collect())
    }
}

impl FromStr for Pattern {
    type Err = ParsePathError;

    fn from_str(text: &str) -> Result<Self, ParsePathError> {
        Ok(Pattern(
            tokens(text)?
                .into_iter()
                .map(|t| match t {
                    Token::Element(e) => Some(e),
                    Token::Any => None,
                })
                .collect(),
        ))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        self.0.iter().try_for_each(|e| match e {
            Some(element) => element.fmt(f),
            None => f.write_str(".*"),
        })
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
