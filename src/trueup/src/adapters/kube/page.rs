//! A page of a list: where it goes on, and its objects, each decoded once and straight into what is kept.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::secrets::admit;
use crate::ports::Kind;

/// What a list says of itself.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Head {
    #[serde(default, rename = "continue")]
    pub next: Option<String>,
    #[serde(default, rename = "resourceVersion")]
    pub version: Option<String>,
}

/// Reads no further than the list's own metadata, which usually come first. Empty when there are none.
pub(super) fn head(body: &[u8]) -> Head {
    struct Find<'f>(&'f mut Option<Head>);
    impl<'de> Visitor<'de> for Find<'_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                if key == "metadata" {
                    *self.0 = Some(map.next_value()?);
                    // Nothing behind it is of interest here.
                    return Err(A::Error::custom("found"));
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }
    let mut found = None;
    let _ = serde_json::Deserializer::from_slice(body).deserialize_map(Find(&mut found));
    found.unwrap_or_default()
}

/// The objects of a page as [`crate::ports::Listing`] has them: kinds filled in, secrets as digests, managed fields as text.
pub(super) fn items(
    body: &[u8],
    kind: &Kind,
    secret_key: &[u8; 32],
) -> serde_json::Result<Vec<Arc<Value>>> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let objects = reader.deserialize_map(List(kind))?;
    reader.end()?;
    Ok(objects
        .into_iter()
        .map(|object| Arc::new(admit(object, secret_key)))
        .collect())
}

struct List<'k>(&'k Kind);

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Value>, A::Error> {
        let mut objects = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "items" {
                objects = map.next_value_seed(Items(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(objects)
    }
}

struct Items<'k>(&'k Kind);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<Value>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the objects of a list")
    }

    /// An empty list of Go is null.
    fn visit_unit<E>(self) -> Result<Vec<Value>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Value>, A::Error> {
        let mut objects = Vec::new();
        while let Some(object) = seq.next_element_seed(Object(self.0))? {
            objects.push(object);
        }
        Ok(objects)
    }
}

struct Object<'k>(&'k Kind);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        // Items of a list do not say what they are; the list does.
        let mut object = Map::with_capacity(6);
        object.insert("apiVersion".into(), self.0.api_version().into());
        object.insert("kind".into(), self.0.kind.clone().into());
        while let Some(key) = map.next_key::<String>()? {
            let value = if key == "metadata" {
                map.next_value_seed(Metadata)?
            } else {
                map.next_value()?
            };
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// The metadata of an object. Its managed fields stay the text that they are: as a tree they are the greater part of what a small object takes
/// of memory, and of few objects anybody asks who wrote them.
struct Metadata;

impl<'de> DeserializeSeed<'de> for Metadata {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metadata {
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
                map.next_value()?
            };
            metadata.insert(key, value);
        }
        Ok(Value::Object(metadata))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use trueup_core::object::managed::{Managed, unpack};

    fn read(list: &Value) -> serde_json::Result<Vec<Value>> {
        let read = items(
            list.to_string().as_bytes(),
            &Kind::new("apps", "v1", "Deployment"),
            &[7; 32],
        )?;
        Ok(read.into_iter().map(Arc::unwrap_or_clone).collect())
    }

    #[test]
    fn a_page_is_what_it_was_but_for_the_writing_of_managed_fields() {
        let object = json!({"metadata": {"name": "a", "managedFields": [{"manager": "kubectl-edit", "operation": "Update",
            "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}}], "labels": {"a\"b": "é\n"}}, "spec": {"replicas": 3}});
        let list = json!({"kind": "DeploymentList", "metadata": {"continue": "more", "resourceVersion": "7"}, "items": [object, {"spec": 1}]});
        let mut read = read(&list).unwrap();
        assert_eq!(read.len(), 2);
        let mut whole = object.clone();
        whole["apiVersion"] = json!("apps/v1");
        whole["kind"] = json!("Deployment");
        assert_eq!(Managed::read(&read[0]), Managed::read(&whole));
        assert_eq!(Managed::read(&read[0]).entries.len(), 1);
        unpack(&mut read[0]);
        assert_eq!(read[0], whole);
        let head = head(list.to_string().as_bytes());
        assert_eq!(
            (head.next.as_deref(), head.version.as_deref()),
            (Some("more"), Some("7"))
        );
    }

    #[test]
    fn the_head_is_found_behind_the_items_and_may_be_missing() {
        let late = br#"{"items": [{"metadata": {"continue": "no"}}], "metadata": {"continue": "yes", "resourceVersion": "1"}}"#;
        assert_eq!(head(late).next.as_deref(), Some("yes"));
        assert!(head(br#"{"items": []}"#).next.is_none());
        assert!(head(b"<html>").next.is_none());
    }

    #[test]
    fn what_is_no_list_is_an_error_and_an_empty_one_is_empty() {
        assert_eq!(read(&json!({"items": null})).unwrap(), Vec::<Value>::new());
        assert_eq!(read(&json!({"metadata": {}})).unwrap(), Vec::<Value>::new());
        for wrong in [
            "<html>",
            "[]",
            "{\"items\": [",
            "{\"items\": [1]}",
            "{\"items\": []} x",
        ] {
            assert!(
                items(wrong.as_bytes(), &Kind::new("", "v1", "X"), &[7; 32]).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_secret_is_a_digest_when_it_comes_out() {
        let list = json!({"items": [{"metadata": {"name": "s"}, "data": {"a": "Y2FuYXJ5"}}]});
        let read = items(
            list.to_string().as_bytes(),
            &Kind::new("", "v1", "Secret"),
            &[7; 32],
        )
        .unwrap();
        assert!(!read[0].to_string().contains("Y2FuYXJ5"));
    }
}
