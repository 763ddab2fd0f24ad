//! Field paths: how one field of an object is named, and how it is read, written and matched.
//!
//! The text form is a promise to scripts: `.name` for `[A-Za-z0-9_-]+`, else `["any.name/x"]` as a JSON string; list
//! items by their keys, `[name="app"]`, `[containerPort=80,protocol="TCP"]`; `[3]` for a position and `[="x"]` for a
//! member of a set. The path of the whole object is `.`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

/// Longer paths are refused when read: no API type nests this deep, hostile input does.
const MAX_ELEMENTS: usize = 128;

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

/// What stands between the brackets or after the dot.
enum Token {
    Element(Element),
    Any,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn fail(&self, why: &'static str) -> ParsePathError {
        ParsePathError {
            text: self.text.to_owned(),
            at: self.text[..self.at].chars().count() + 1,
            why,
        }
    }

    fn eat(&mut self, token: char) -> bool {
        let hit = self.rest().starts_with(token);
        if hit {
            self.at += token.len_utf8();
        }
        hit
    }

    fn name(&mut self) -> Option<String> {
        let end = self
            .rest()
            .bytes()
            .position(|b| !(b.is_ascii_alphanumeric() || b == b'_' || b == b'-'))
            .unwrap_or(self.rest().len());
        if end == 0 {
            return None;
        }
        let name = self.rest()[..end].to_owned();
        self.at += end;
        Some(name)
    }

    /// One JSON scalar; what follows it stays unread.
    fn scalar(&mut self) -> Result<Value, ParsePathError> {
        let mut stream = serde_json::Deserializer::from_str(self.rest()).into_iter::<Value>();
        match stream.next() {
            Some(Ok(value)) if !value.is_array() && !value.is_object() => {
                self.at += stream.byte_offset();
                Ok(value)
            }
            _ => Err(self.fail("a JSON string, number, true, false or null is expected")),
        }
    }

    fn pairs(&mut self, first: String) -> Result<Element, ParsePathError> {
        let mut keys = Vec::new();
        let mut name = first;
        loop {
            if !self.eat('=') {
                return Err(self.fail("`=` is expected after a key name"));
            }
            keys.push((name, self.scalar()?));
            if self.eat(']') {
                return Ok(Element::Item(keys));
            }
            if !self.eat(',') {
                return Err(self.fail("`,` or `]` is expected"));
            }
            name = self.key_name()?;
        }
    }

    fn key_name(&mut self) -> Result<String, ParsePathError> {
        if self.rest().starts_with('"') {
            match self.scalar()? {
                Value::String(name) => Ok(name),
                _ => Err(self.fail("a key name is expected")),
            }
        } else {
            self.name()
                .ok_or_else(|| self.fail("a key name is expected"))
        }
    }

    fn token(&mut self) -> Result<Token, ParsePathError> {
        if self.eat('.') {
            if self.eat('*') {
                return Ok(Token::Any);
            }
            return match self.name() {
                Some(name) => Ok(Token::Element(Element::Key(name))),
                None => Err(self.fail("a name is expected; other names are written [\"…\"]")),
            };
        }
        if !self.eat('[') {
            return Err(self.fail("`.` or `[` is expected"));
        }
        if self.eat('*') {
            return if self.eat(']') {
                Ok(Token::Any)
            } else {
                Err(self.fail("`]` is expected"))
            };
        }
        if self.eat('=') {
            let value = self.scalar()?;
            return if self.eat(']') {
                Ok(Token::Element(Element::SetValue(value)))
            } else {
                Err(self.fail("`]` is expected"))
            };
        }
        let quoted = self.rest().starts_with('"');
        let name = self.key_name()?;
        if self.eat(']') {
            if quoted {
                return Ok(Token::Element(Element::Key(name)));
            }
            return match name.parse::<usize>() {
                Ok(n) if n.to_string() == name => Ok(Token::Element(Element::Index(n))),
                _ => Err(self.fail("a position, a quoted name or name=value is expected")),
            };
        }
        self.pairs(name).map(Token::Element)
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, ParsePathError> {
    let mut reader = Reader { text, at: 0 };
    let mut out = Vec::new();
    if text.is_empty() || text == "." {
        return Ok(out);
    }
    while !reader.rest().is_empty() {
        if out.len() == MAX_ELEMENTS {
            return Err(reader.fail("the path is too long"));
        }
        out.push(reader.token()?);
    }
    Ok(out)
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn path(text: &str) -> FieldPath {
        text.parse().unwrap()
    }

    #[test]
    fn reads_what_the_promise_shows() {
        let text = r#".spec.template.spec.containers[name="app"].env[name="DEBUG"].value"#;
        assert_eq!(path(text).to_string(), text);
        assert_eq!(
            path(r#".spec.ports[containerPort=80,protocol="TCP"]"#).0[2],
            Element::Item(vec![
                ("containerPort".into(), json!(80)),
                ("protocol".into(), json!("TCP"))
            ])
        );
        assert_eq!(
            path(r#".metadata.annotations["a.b/c"]"#),
            FieldPath::keys(["metadata", "annotations", "a.b/c"])
        );
        assert_eq!(path(".").to_string(), ".");
        for bad in [
            "data",
            ".data.",
            ".a..b",
            ".a[",
            ".a[x]",
            ".a[01]",
            ".a[name=]",
            ".data.*",
            ".a[n={}]",
        ] {
            assert!(bad.parse::<FieldPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn finds_items_with_the_default_protocol() {
        let object = json!({"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP", "name": "u"}]});
        let udp = path(r#".ports[containerPort=80,protocol="UDP"].name"#);
        let tcp = path(r#".ports[containerPort=80,protocol="TCP"]"#);
        assert_eq!(udp.get(&object), Some(&json!("u")));
        assert_eq!(tcp.get(&object), Some(&json!({"containerPort": 80})));
        assert_eq!(udp.to_pointer(&object).as_deref(), Some("/ports/1/name"));
    }

    #[test]
    fn set_and_remove_make_and_leave_the_way() {
        let mut object = json!({"metadata": {}});
        let p = path(r#".spec.containers[name="app"].env[name="X"].value"#);
        p.set(&mut object, json!("1")).unwrap();
        assert_eq!(
            object["spec"]["containers"],
            json!([{"name": "app", "env": [{"name": "X", "value": "1"}]}])
        );
        assert_eq!(p.remove(&mut object), Some(json!("1")));
        assert_eq!(p.remove(&mut object), None);
        assert!(
            path(".metadata.x.y")
                .set(&mut json!({"metadata": 1}), json!(1))
                .is_err()
        );
        assert_eq!(
            path(".data[\"a/b\"]")
                .to_pointer(&json!({"data": {}}))
                .as_deref(),
            Some("/data/a~1b")
        );
        assert_eq!(path(".data.a").to_pointer(&json!({})), None);
    }

    #[test]
    fn a_star_is_one_element() {
        let all: Pattern = ".data.*".parse().unwrap();
        assert!(all.matches(&path(".data[\"a.b\"]")));
        assert!(!all.matches(&path(".data")));
        assert!(!all.matches(&path(".data.a.b")));
        let image: Pattern = ".spec.containers[*].image".parse().unwrap();
        assert!(image.matches(&path(".spec.containers[name=\"app\"].image")));
        assert_eq!(image.to_string().parse::<Pattern>().unwrap(), image);
    }

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ]
    }

    fn element() -> impl Strategy<Value = Element> {
        prop_oneof![
            any::<String>().prop_map(Element::Key),
            "[A-Za-z0-9_-]{1,8}".prop_map(Element::Key),
            proptest::collection::vec((any::<String>(), scalar()), 1..3).prop_map(Element::Item),
            any::<usize>().prop_map(Element::Index),
            scalar().prop_map(Element::SetValue),
        ]
    }

    proptest! {
        #[test]
        fn text_form_is_lossless(elements in proptest::collection::vec(element(), 0..6)) {
            let p = FieldPath(elements);
            prop_assert_eq!(p.to_string().parse::<FieldPath>().unwrap(), p);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(p) = text.parse::<FieldPath>() {
                prop_assert_eq!(p.to_string().parse::<FieldPath>().unwrap(), p);
            }
        }
    }
}
