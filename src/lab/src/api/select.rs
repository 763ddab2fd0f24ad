//! Label and field selectors.

use serde_json::Value;

use super::kinds::Resource;
use super::status::Failure;

#[derive(Debug, Clone)]
enum Label {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// Both selectors of a list or watch.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    labels: Vec<Label>,
    /// JSON pointer, wanted text, equal or not.
    fields: Vec<(String, String, bool)>,
}

impl Selector {
    pub fn parse(kind: &Resource, labels: &str, fields: &str) -> Result<Self, Failure> {
        Ok(Self {
            labels: parse_labels(labels)?,
            fields: parse_fields(kind, fields)?,
        })
    }

    /// Narrows by another selector.
    pub fn and(&mut self, other: Self) {
        self.labels.extend(other.labels);
        self.fields.extend(other.fields);
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        let have = |key: &str| {
            object["metadata"]["labels"]
                .get(key)
                .and_then(Value::as_str)
        };
        self.labels.iter().all(|label| match label {
            Label::In(key, values) => have(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Label::NotIn(key, values) => !have(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Label::Exists(key) => have(key).is_some(),
            Label::Missing(key) => have(key).is_none(),
        }) && self.fields.iter().all(|(pointer, wanted, equal)| {
            let value = match object.pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            };
            (value == *wanted) == *equal
        })
    }
}

fn parse_labels(text: &str) -> Result<Vec<Label>, Failure> {
    let bad = || {
        Failure::bad_request(format!(
            "unable to parse requirement: {text:?} is not a label selector"
        ))
    };
    let mut out = Vec::new();
    for part in split(text) {
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        let own = str::to_owned;
        if let Some((left, values)) = part.split_once('(') {
            let values: Vec<String> = values
                .strip_suffix(')')
                .ok_or_else(bad)?
                .split(',')
                .map(|v| own(v.trim()))
                .collect();
            let mut words = left.split_whitespace();
            let key = own(words.next().ok_or_else(bad)?);
            match words.next() {
                Some("in") => out.push(Label::In(key, values)),
                Some("notin") => out.push(Label::NotIn(key, values)),
                _ => return Err(bad()),
            }
        } else if let Some((key, value)) = part.split_once("!=") {
            out.push(Label::NotIn(own(key.trim()), vec![own(value.trim())]));
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            if value.starts_with('=') {
                return Err(Failure::bad_request(
                    "unable to parse requirement: found '=', expected: identifier",
                ));
            }
            out.push(Label::In(own(key.trim()), vec![own(value.trim())]));
        } else if let Some(key) = part.strip_prefix('!') {
            out.push(Label::Missing(own(key.trim())));
        } else if part.contains(char::is_whitespace) {
            return Err(bad());
        } else {
            out.push(Label::Exists(own(part)));
        }
    }
    Ok(out)
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                out.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    out.push(&text[from..]);
    out
}

fn parse_fields(kind: &Resource, text: &str) -> Result<Vec<(String, String, bool)>, Failure> {
    let mut out = Vec::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (key, value, equal) = if let Some((key, value)) = part.split_once("!=") {
            (key, value, false)
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (key, value, true)
        } else {
            return Err(Failure::bad_request(format!(
                "invalid selector: '{text}'; can't understand '{part}'"
            )));
        };
        let known = matches!(key, "metadata.name" | "metadata.namespace")
            || match kind.kind.as_str() {
                "Event" => {
                    key.starts_with("involvedObject.")
                        || matches!(key, "type" | "reason" | "reportingComponent" | "source")
                }
                "Pod" => matches!(
                    key,
                    "status.phase"
                        | "spec.nodeName"
                        | "spec.serviceAccountName"
                        | "spec.restartPolicy"
                        | "status.podIP"
                ),
                "Secret" => key == "type",
                "Namespace" => key == "status.phase",
                "ReplicaSet" => key == "status.replicas",
                _ => false,
            };
        if !known {
            let own_fields = kind.is_custom()
                || kind.group == "apps"
                || matches!(
                    kind.kind.as_str(),
                    "Event" | "Pod" | "Secret" | "Namespace" | "Service" | "Job"
                );
            return Err(Failure::bad_request(if own_fields {
                format!("field label not supported: {key}")
            } else {
                format!(
                    "{key:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                )
            }));
        }
        out.push((
            format!("/{}", key.replace('.', "/")),
            value.to_owned(),
            equal,
        ));
    }
    Ok(out)
}
