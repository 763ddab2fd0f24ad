//! A request's path and method into verb, resource, namespace, name and subresource.

use std::sync::Arc;

use super::kinds::{Kinds, Resource};

/// The object or collection that a path names.
#[derive(Debug, Clone)]
pub struct Target {
    pub kind: Arc<Resource>,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
}

/// What a path that nothing serves asks for: permissions are looked at before it is said that it is not there.
#[derive(Debug, Clone)]
pub struct Unknown {
    pub group: String,
    pub version: String,
    pub resource: String,
    pub namespace: String,
    pub name: String,
}

#[derive(Debug, Clone)]
pub enum Route {
    Resource(Target),
    /// Discovery, health, version, openapi.
    Plain,
    /// A well-formed resource path that nothing serves.
    Unknown(Unknown),
}

/// Query parameters in order; `get` answers the first of a name.
#[derive(Debug, Clone, Default)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Self {
        Self(
            text.split('&')
                .filter(|p| !p.is_empty())
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (unescape(key, true), unescape(value, true))
                })
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }
}

/// Percent-decoding; `+` is a space in queries only.
pub fn unescape(text: &str, plus: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if plus && bytes[at] == b'+' {
                    b' '
                } else {
                    bytes[at]
                });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub fn route(path: &str, kinds: &Kinds) -> Route {
    let parts: Vec<String> = path
        .split('/')
        .filter(|p| !p.is_empty())
        .map(|p| unescape(p, false))
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Route::Plain,
    };
    let (namespace, rest) = match rest {
        // Subresources of a Namespace itself.
        ["namespaces", _, "status" | "finalize"] if group.is_empty() => ("", rest),
        ["namespaces", namespace, below @ ..] if !below.is_empty() => (*namespace, below),
        rest => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", String::new()),
        [plural, name] => (*plural, *name, String::new()),
        [plural, name, subresource @ ..] => (*plural, *name, subresource.join("/")),
        [] => return Route::Plain,
    };
    let unknown = || {
        Route::Unknown(Unknown {
            group: group.to_owned(),
            version: version.to_owned(),
            resource: [plural, &subresource]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("/"),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    };
    let Some(kind) = kinds.find(group, version, plural) else {
        return unknown();
    };
    // A named object of a namespaced kind is reached through its namespace only.
    let lost = kind.namespaced && namespace.is_empty() && !name.is_empty();
    if lost || (!namespace.is_empty() && !kind.namespaced) {
        return unknown();
    }
    Route::Resource(Target {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource,
    })
}
