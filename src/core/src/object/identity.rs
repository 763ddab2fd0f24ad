//! Who an object is, and which Application is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;

/// One object of one cluster. Equal and ordered without the version: the same object is served at several.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    pub version: String,
    pub kind: String,
    /// None for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

/// What makes two references the same object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    pub namespace: Option<String>,
    pub group: String,
    pub kind: String,
    pub name: String,
}

/// Why a JSON tree is not a Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "not a Kubernetes object: {missing} is missing or not a string; give it apiVersion, kind and metadata.name"
)]
pub struct NotAnObject {
    missing: &'static str,
}

impl ObjectRef {
    /// Reads apiVersion, kind, metadata.namespace and metadata.name.
    pub fn from_object(object: &Value) -> Result<Self, NotAnObject> {
        let text = |from: Option<&'_ Value>, name: &str, missing: &'static str| {
            from.and_then(|from| from.get(name)?.as_str())
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
                .ok_or(NotAnObject { missing })
        };
        let (object, metadata) = (Some(object), object.get("metadata"));
        let api_version = text(object, "apiVersion", "apiVersion")?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        Ok(ObjectRef {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: text(object, "kind", "kind")?,
            namespace: text(metadata, "namespace", "").ok(),
            name: text(metadata, "name", "metadata.name")?,
        })
    }

    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            namespace: self.namespace.clone(),
            group: self.group.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
        }
    }

    pub fn into_key(self) -> ObjectKey {
        ObjectKey {
            namespace: self.namespace,
            group: self.group,
            kind: self.kind,
            name: self.name,
        }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `KIND/NAME`, as commands take it.
    pub fn short(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

impl PartialEq for ObjectRef {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ObjectRef {}

impl PartialOrd for ObjectRef {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ObjectRef {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.namespace, &self.group, &self.kind, &self.name).cmp(&(
            &other.namespace,
            &other.group,
            &other.kind,
            &other.name,
        ))
    }
}

impl std::hash::Hash for ObjectRef {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.namespace, &self.group, &self.kind, &self.name).hash(state);
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)?;
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// An Application by the namespace and name of its object. As text, and serialised, `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppKey {
    pub namespace: String,
    pub name: String,
}

impl AppKey {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        AppKey {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Reads metadata.namespace and metadata.name of an Application object.
    pub fn from_object(application: &Value) -> Result<Self, NotAnObject> {
        let text = |pointer: &str, missing: &'static str| {
            application
                .pointer(pointer)
                .and_then(Value::as_str)
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
                .ok_or(NotAnObject { missing })
        };
        Ok(AppKey {
            namespace: text("/metadata/namespace", "metadata.namespace")?,
            name: text("/metadata/name", "metadata.name")?,
        })
    }

    /// The instance name that Argo CD writes into tracking ids: `name`, or `namespace_name` outside its own namespace.
    pub fn instance(&self, control_namespace: &str) -> String {
        if self.namespace == control_namespace {
            self.name.clone()
        } else {
            format!("{}_{}", self.namespace, self.name)
        }
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Why a text does not name an Application.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} does not name an Application: write NAMESPACE/NAME")]
pub struct ParseAppKeyError(String);

impl FromStr for AppKey {
    type Err = ParseAppKeyError;

    fn from_str(text: &str) -> Result<Self, ParseAppKeyError> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(AppKey::new(namespace, name))
            }
            _ => Err(ParseAppKeyError(text.to_owned())),
        }
    }
}

impl Serialize for AppKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AppKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_version_is_no_part_of_identity() {
        let object = |v: &str| json!({"apiVersion": v, "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x", "namespace": "n"}});
        let a = ObjectRef::from_object(&object("autoscaling/v1")).unwrap();
        let b = ObjectRef::from_object(&object("autoscaling/v2")).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "HorizontalPodAutoscaler/x in n");
        assert!(ObjectRef::from_object(&json!({"apiVersion": "v1", "kind": "List"})).is_err());
    }

    #[test]
    fn application_keys_are_text() {
        let key: AppKey = "argocd/auth-service".parse().unwrap();
        assert_eq!(
            serde_json::to_value(&key).unwrap(),
            json!("argocd/auth-service")
        );
        assert!("auth-service".parse::<AppKey>().is_err());
    }
}
