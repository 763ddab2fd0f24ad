//! Whether the text of an object says the same as a tree, without a tree of it.
//!
//! The rules are those of [`crate::object::normalise::is_same`], and a property holds the two against each other.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::read::Key;
use crate::object::normalise::{
    SERVER_METADATA, entries, is_bookkeeping_annotation, is_bookkeeping_label, is_compared,
    is_compared_metadata,
};
use crate::object::path::FieldPath;

/// Maps with more keys are compared as trees.
const MAX_KEYS: usize = 512;

/// The bookkeeping in the text when all else is the same as in the tree; `None` says nothing.
pub fn same(text: &str, tree: &Value) -> Option<Vec<FieldPath>> {
    let tree = tree.as_object()?;
    if tree.contains_key("stringData") {
        return None;
    }
    let mut noise = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    reader
        .deserialize_map(Object {
            tree,
            noise: &mut noise,
        })
        .ok()?;
    reader.end().ok()?;
    Some(noise)
}

/// The first difference ends it.
fn differs<E: Error>() -> E {
    E::custom("not the same")
}

/// Keys of a map that were found to be the same.
struct Same<'t> {
    tree: &'t Map<String, Value>,
    found: Vec<&'t Value>,
}

impl<'t> Same<'t> {
    fn new(tree: &'t Map<String, Value>) -> Self {
        Self {
            tree,
            found: Vec::with_capacity(tree.len()),
        }
    }

    /// Compares the next value of a map with that of the tree. A null is the same as nothing.
    fn next<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let other = self.tree.get(key).filter(|other| !other.is_null());
        let is_null = map.next_value_seed(Like(other))?;
        match other {
            _ if is_null => Ok(()),
            // A key that stands twice is for the tree to judge.
            Some(other)
                if self.found.len() < MAX_KEYS
                    && !self.found.iter().any(|found| std::ptr::eq(*found, other)) =>
            {
                self.found.push(other);
                Ok(())
            }
            _ => Err(differs()),
        }
    }

    /// Nothing of the tree was left out.
    fn end<E: Error>(&self, compared: impl Fn(&str) -> bool) -> Result<(), E> {
        let wanted = self
            .tree
            .iter()
            .filter(|(name, value)| !value.is_null() && compared(name))
            .count();
        match wanted == self.found.len() {
            true => Ok(()),
            false => Err(differs()),
        }
    }
}

struct Object<'t, 'n> {
    tree: &'t Map<String, Value>,
    noise: &'n mut Vec<FieldPath>,
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let metadata = self.tree.get("metadata").and_then(Value::as_object);
        let mut same = Same::new(self.tree);
        let (mut seen, mut status) = (false, false);
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            match key.as_ref() {
                "metadata" if !seen => {
                    seen = true;
                    map.next_value_seed(Metadata {
                        tree: metadata.ok_or_else(differs)?,
                        noise: self.noise,
                    })?;
                }
                "status" if !status => {
                    status = true;
                    if !map.next_value_seed(IsNull)? {
                        self.noise.push(FieldPath::keys(["status"]));
                    }
                }
                "metadata" | "status" | "stringData" => return Err(differs()),
                name if is_compared(name) => same.next(name, &mut map)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if !seen {
            return Err(differs());
        }
        same.end(is_compared)
    }
}

struct Metadata<'t, 'n> {
    tree: &'t Map<String, Value>,
    noise: &'n mut Vec<FieldPath>,
}

impl<'de> DeserializeSeed<'de> for Metadata<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metadata<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut same = Same::new(self.tree);
        let none = Map::new();
        let mut parts = [("annotations", false), ("labels", false)];
        let mut servers = [false; SERVER_METADATA.len()];
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let name = key.as_ref();
            if let Some((part, seen)) = parts.iter_mut().find(|(part, _)| *part == name) {
                if std::mem::replace(seen, true) {
                    return Err(differs());
                }
                map.next_value_seed(Entries {
                    part,
                    tree: entries(self.tree.get(*part), &none).ok_or_else(differs)?,
                    noise: self.noise,
                })?;
            } else if let Some(at) = SERVER_METADATA.iter().position(|known| *known == name) {
                if std::mem::replace(&mut servers[at], true) {
                    return Err(differs());
                }
                if !map.next_value_seed(IsNull)? {
                    self.noise
                        .push(FieldPath::keys(["metadata", SERVER_METADATA[at]]));
                }
            } else if is_compared_metadata(name) {
                same.next(name, &mut map)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        for (part, _) in parts.iter().filter(|(_, seen)| !seen) {
            let tree = entries(self.tree.get(*part), &none).ok_or_else(differs)?;
            Same::new(tree).end(|name| !is_noise(part, name))?;
        }
        same.end(is_compared_metadata)
    }
}

fn is_noise(part: &str, name: &str) -> bool {
    match part {
        "annotations" => is_bookkeeping_annotation(name),
        _ => is_bookkeeping_label(name),
    }
}

/// Annotations or labels; null is none.
struct Entries<'t, 'n> {
    part: &'static str,
    tree: &'t Map<String, Value>,
    noise: &'n mut Vec<FieldPath>,
}

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Same::new(self.tree).end(|name| !is_noise(self.part, name))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut same = Same::new(self.tree);
        let first = self.noise.len();
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            if !is_noise(self.part, &key) {
                same.next(&key, &mut map)?;
            } else if !map.next_value_seed(IsNull)? {
                let path = FieldPath::keys(["metadata", self.part, key.as_ref()]);
                if self.noise[first..].contains(&path) {
                    return Err(differs());
                }
                self.noise.push(path);
            }
        }
        same.end(|name| !is_noise(self.part, name))
    }
}

/// Goes past a value and says whether it is null.
struct IsNull;

impl<'de> DeserializeSeed<'de> for IsNull {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        let value: Option<IgnoredAny> = serde::Deserialize::deserialize(from)?;
        Ok(value.is_none())
    }
}

/// Goes past a value that has to be like the other one or null, and says whether it is null.
struct Like<'t>(Option<&'t Value>);

impl Like<'_> {
    fn is<E: Error>(&self, same: impl FnOnce(&Value) -> bool) -> Result<bool, E> {
        match self.0 {
            Some(other) if same(other) => Ok(false),
            _ => Err(differs()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Like<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Like<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.is(|other| other.as_bool() == Some(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        self.is(|other| other.as_i64() == Some(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        self.is(|other| other.as_u64() == Some(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        self.is(|other| other.is_f64() && other.as_f64() == Some(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        self.is(|other| other.as_str() == Some(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        let others = self.0.and_then(Value::as_array).ok_or_else(differs)?;
        let mut others = others.iter();
        loop {
            let other = others.next();
            match (seq.next_element_seed(Like(other))?, other) {
                (None, None) => return Ok(false),
                // In a list a null is an item like any other.
                (Some(is_null), Some(other)) if is_null == other.is_null() => {}
                _ => return Err(differs()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let other = self.0.and_then(Value::as_object).ok_or_else(differs)?;
        let mut same = Same::new(other);
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            same.next(&key, &mut map)?;
        }
        same.end(|_| true)?;
        Ok(false)
    }
}
