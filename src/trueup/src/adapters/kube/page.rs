//! A page of a list: where it goes on, and its objects, each decoded once and straight into what is kept.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use trueup_core::object::live::{ListKind, Live};

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
) -> serde_json::Result<Vec<Arc<Live>>> {
    let page = Page {
        kind: ListKind {
            api_version: kind.api_version().into(),
            kind: kind.kind.as_str().into(),
        },
        secret: kind.is_secret(),
        // Every part of an Application is looked at, always.
        whole: (&*kind.group, &*kind.kind) == ("argoproj.io", "Application"),
        secret_key,
    };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let objects = reader.deserialize_map(List(&page))?;
    reader.end()?;
    Ok(objects)
}

struct Page<'k> {
    kind: ListKind,
    secret: bool,
    whole: bool,
    secret_key: &'k [u8; 32],
}

impl Page<'_> {
    /// What may hold a secret is looked through at once and never kept as it came.
    fn item(&self, text: &str) -> serde_json::Result<Live> {
        if self.secret || may_hold_secret(text) {
            let tree = Live::tree_of(text, &self.kind)?;
            return Ok(admit(tree, self.secret_key).into());
        }
        if self.whole {
            return Live::tree_of(text, &self.kind).map(Live::from);
        }
        Live::read(text, &self.kind)
    }
}

/// Whether a Secret may be anywhere in the text of an object, its kind written in whatever way.
fn may_hold_secret(text: &str) -> bool {
    // The first three are escapes that letters can be written as.
    ["\\u005", "\\u006", "\\u007", "Secret"]
        .iter()
        .any(|sign| text.contains(sign))
}

struct List<'p>(&'p Page<'p>);

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Arc<Live>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Arc<Live>>, A::Error> {
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

struct Items<'p>(&'p Page<'p>);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = Vec<Arc<Live>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<Arc<Live>>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<Arc<Live>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the objects of a list")
    }

    /// An empty list of Go is null.
    fn visit_unit<E>(self) -> Result<Vec<Arc<Live>>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Arc<Live>>, A::Error> {
        let mut objects = Vec::new();
        while let Some(text) = seq.next_element::<&'de RawValue>()? {
            let object = self.0.item(text.get()).map_err(A::Error::custom)?;
            objects.push(Arc::new(object));
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use trueup_core::object::managed::{Managed, unpack};

    fn read(list: &Value) -> serde_json::Result<Vec<Value>> {
        let read = items(
            list.to_string().as_bytes(),
            &Kind::new("apps", "v1", "Deployment"),
            &[7; 32],
        )?;
        let tree = |object: Arc<Live>| Arc::unwrap_or_clone(object).into_tree();
        Ok(read.into_iter().map(tree).collect())
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
