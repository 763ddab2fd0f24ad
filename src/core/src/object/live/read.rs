//! Of the text of an object: what it is called, and its tree.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::ListKind;
use crate::object::identity::ObjectRef;
use crate::object::normalise::TRACKING_ID;

/// A name in a map, borrowed where it is written without escapes.
#[derive(Deserialize)]
pub struct Key<'t>(#[serde(borrow)] pub Cow<'t, str>);

/// What is asked of every object.
#[derive(Debug, Clone)]
pub struct Head {
    pub kind: ListKind,
    namespace: Option<Box<str>>,
    name: Box<str>,
    pub resource_version: Box<str>,
    pub tracking_id: Option<Box<str>>,
}

impl Head {
    pub fn reference(&self) -> ObjectRef {
        let api_version: &str = &self.kind.api_version;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        ObjectRef {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: self.kind.kind.as_ref().to_owned(),
            namespace: self.namespace.as_deref().map(str::to_owned),
            name: self.name.as_ref().to_owned(),
        }
    }
}

/// `None` when the object has no name, says itself which kind it is and it is another, or is not written as the API writes them.
pub fn head(text: &str, kind: &ListKind) -> Option<Head> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = reader.deserialize_map(Object(kind)).ok()?;
    reader.end().ok()?;
    let name = found.name.filter(|name| !name.is_empty())?;
    Some(Head {
        kind: kind.clone(),
        namespace: found.namespace.filter(|namespace| !namespace.is_empty()),
        name,
        resource_version: found.resource_version.unwrap_or_default(),
        tracking_id: found.tracking_id,
    })
}

#[derive(Default)]
struct Found {
    namespace: Option<Box<str>>,
    name: Option<Box<str>>,
    resource_version: Option<Box<str>>,
    tracking_id: Option<Box<str>>,
}

struct Object<'k>(&'k ListKind);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let same = |own: Key<'de>, listed: &str| match own.0 == listed {
                true => Ok(()),
                false => Err(A::Error::custom("of another kind")),
            };
            match key.as_ref() {
                "metadata" => found = map.next_value_seed(Metadata)?,
                "apiVersion" => same(map.next_value()?, &self.0.api_version)?,
                "kind" => same(map.next_value()?, &self.0.kind)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

struct Metadata;

impl<'de> DeserializeSeed<'de> for Metadata {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Found, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metadata {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            match key.as_ref() {
                "name" => found.name = map.next_value()?,
                "namespace" => found.namespace = map.next_value()?,
                "resourceVersion" => found.resource_version = map.next_value()?,
                "annotations" => {
                    let annotations: Option<Tracking> = map.next_value()?;
                    found.tracking_id = annotations.and_then(|annotations| annotations.id);
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// Of all annotations the one.
struct Tracking {
    id: Option<Box<str>>,
}

impl<'de> Deserialize<'de> for Tracking {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Annotations;
        impl<'de> Visitor<'de> for Annotations {
            type Value = Tracking;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tracking, A::Error> {
                let mut id = None;
                while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
                    if key == TRACKING_ID {
                        id = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Tracking { id })
            }
        }
        from.deserialize_map(Annotations)
    }
}

/// The tree of an object. Its managed fields stay the text that they are: as a tree they are the greater part of what a small object takes
/// of memory, and of few objects anybody asks who wrote them.
pub fn tree(text: &str, api_version: &str, kind: &str) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let tree = reader.deserialize_map(Tree { api_version, kind })?;
    reader.end()?;
    Ok(tree)
}

struct Tree<'k> {
    api_version: &'k str,
    kind: &'k str,
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::with_capacity(6);
        object.insert("apiVersion".into(), self.api_version.into());
        object.insert("kind".into(), self.kind.into());
        while let Some(key) = map.next_key::<String>()? {
            let value = if key == "metadata" {
                map.next_value_seed(Unpacked)?
            } else {
                map.next_value_seed(Exact)?
            };
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// Metadata whose managed fields stay text.
struct Unpacked;

impl<'de> DeserializeSeed<'de> for Unpacked {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Unpacked {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut metadata = Map::with_capacity(8);
        while let Some(key) = map.next_key::<String>()? {
            let value = if key == "managedFields" {
                let text: &'de RawValue = map.next_value()?;
                Value::from(text.get())
            } else {
                map.next_value_seed(Exact)?
            };
            metadata.insert(key, value);
        }
        Ok(Value::Object(metadata))
    }
}

/// Any value, as large as it is: maps that grow as they are read are half empty in the end.
struct Exact;

impl<'de> DeserializeSeed<'de> for Exact {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Exact {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Exact)? {
            items.push(item);
        }
        items.shrink_to_fit();
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value_seed(Exact)?));
        }
        let mut map = Map::with_capacity(entries.len());
        map.extend(entries);
        Ok(Value::Object(map))
    }
}
