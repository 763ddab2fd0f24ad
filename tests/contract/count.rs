//! Which cases are different ones.

use super::cases::Recorded;

/// What makes a case count as one of its own.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    verb: &'static str,
    resource: String,
    patch: String,
    trial: bool,
    pub status: u16,
    reason: String,
}

impl Kind {
    pub fn writes(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }
}

pub fn kind_of(case: &Recorded) -> Kind {
    let (method, uri) = case.request.split_once(' ').unwrap_or_default();
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.drain(
        ..parts
            .len()
            .min(if path.starts_with("/apis/") { 3 } else { 2 }),
    );
    if parts.len() > 2 && parts[0] == "namespaces" {
        parts.drain(..2);
    }
    let one = parts.len() > 1;
    let verb = match method {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if one => "delete",
        "DELETE" => "deletecollection",
        _ if query.contains("watch=true") => "watch",
        _ if one => "get",
        _ => "list",
    };
    let resource = [parts.first(), parts.get(2)].into_iter().flatten();
    Kind {
        verb,
        resource: resource.copied().collect::<Vec<_>>().join("/"),
        patch: case.content.clone(),
        trial: query.contains("dryRun=All"),
        status: case.status,
        reason: case.answer["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}
