//! A live object as a list brought it: text until somebody looks into it.
//!
//! As a tree an object takes several times the memory of its text, and of most objects of a large cluster all that anybody asks is who they
//! are and whether they are as Git has them. Both are answered from the text.

mod glance;
mod read;

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::identity::{NotAnObject, ObjectRef};
use super::normalise::{TRACKING_ID, bookkeeping, is_same};
use super::path::FieldPath;
use read::Head;

/// The kind of the objects of a list, which do not say it themselves.
#[derive(Debug, Clone)]
pub struct ListKind {
    pub api_version: Arc<str>,
    pub kind: Arc<str>,
}

/// A live object. It reads like its tree, which is made when it is first looked at; managed fields stay text in it (see
/// [`super::managed::unpack`]).
#[derive(Debug, Clone)]
pub struct Live {
    /// `None` when it came as a tree.
    text: Option<Text>,
    tree: OnceLock<Value>,
}

#[derive(Debug, Clone)]
struct Text {
    text: Box<str>,
    head: Head,
}

impl Live {
    /// One item of a list. Secrets are to be redacted first: see [`Live::tree_of`].
    pub fn read(text: &str, kind: &ListKind) -> serde_json::Result<Self> {
        match read::head(text, kind) {
            Some(head) => Ok(Self {
                text: Some(Text {
                    text: text.into(),
                    head,
                }),
                tree: OnceLock::new(),
            }),
            // Of an unusual form: the tree says what it is.
            None => Self::tree_of(text, kind).map(Self::from),
        }
    }

    /// The tree of an item of a list, with its kind filled in.
    pub fn tree_of(text: &str, kind: &ListKind) -> serde_json::Result<Value> {
        read::tree(text, &kind.api_version, &kind.kind)
    }

    /// Who the object is.
    pub fn reference(&self) -> Result<ObjectRef, NotAnObject> {
        match &self.text {
            Some(text) => Ok(text.head.reference()),
            None => ObjectRef::from_object(self),
        }
    }

    pub fn kind(&self) -> &str {
        match &self.text {
            Some(text) => &text.head.kind.kind,
            None => text_at(self, "/kind"),
        }
    }

    pub fn api_version(&self) -> &str {
        match &self.text {
            Some(text) => &text.head.kind.api_version,
            None => text_at(self, "/apiVersion"),
        }
    }

    /// Empty where there is none.
    pub fn resource_version(&self) -> &str {
        match &self.text {
            Some(text) => &text.head.resource_version,
            None => text_at(self, "/metadata/resourceVersion"),
        }
    }

    /// Argo CD's mark on what it manages.
    pub fn tracking_id(&self) -> Option<&str> {
        match &self.text {
            Some(text) => text.head.tracking_id.as_deref(),
            None => self
                .get("metadata")?
                .get("annotations")?
                .get(TRACKING_ID)?
                .as_str(),
        }
    }

    /// The bookkeeping of the object (see [`bookkeeping`]) when it is otherwise certain to be the same as another one of its name (see
    /// [`is_same`]). None says nothing.
    pub fn same_as(&self, other: &Value) -> Option<Vec<FieldPath>> {
        match (&self.text, self.tree.get()) {
            (Some(text), None) => glance::same(&text.text, other),
            _ => is_same(other, self).then(|| bookkeeping(self)),
        }
    }

    /// Whether it can be looked into: text that passed at a glance and is no object after all reads as null.
    pub fn is_sound(&self) -> bool {
        !self.is_null()
    }

    pub fn into_tree(self) -> Value {
        let _ = Value::is_null(&self);
        self.tree.into_inner().unwrap_or_default()
    }
}

impl Deref for Live {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.tree.get_or_init(|| match &self.text {
            Some(Text { text, head }) => {
                read::tree(text, &head.kind.api_version, &head.kind.kind).unwrap_or_default()
            }
            None => Value::Null,
        })
    }
}

impl From<Value> for Live {
    fn from(tree: Value) -> Self {
        Self {
            text: None,
            tree: OnceLock::from(tree),
        }
    }
}

fn text_at<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
