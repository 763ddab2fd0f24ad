//! What differs from run to run becomes a name: the first uid seen is `<uid-1>` wherever it comes again, a time is `<time>`.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Value, json};

static UID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
        .expect("it is a pattern")
});
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)").expect("it is a pattern")
});
/// An object inside the words of an error: in which order a server prints its fields says nothing.
static PRINTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?s)Invalid value: "\{.*\}": "#).expect("it is a pattern"));
/// The name of a ReplicaSet ends in a hash.
static HASH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("(ReplicaSet \"[a-z-]+-)[bcdfghjklmnpqrstvwxz2456789]{8,10}\"")
        .expect("it is a pattern")
});
static AGE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\d+[smhdy]){1,2}$").expect("it is a pattern"));
static OLD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"too old resource version: \d+ \(\d+\)").expect("it is a pattern")
});
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(resource ?version[^0-9]{1,30}|current: )(\d+)").expect("it is a pattern")
});

/// Remembers what it has named. One for each group of cases, since a uid or a version of one is nothing to another.
#[derive(Default)]
pub struct Normal {
    uids: Vec<String>,
    versions: Vec<String>,
    words: Vec<(String, String)>,
}

impl Normal {
    /// From now on `word` is written as `name`.
    pub fn name(&mut self, word: &str, name: &str) {
        if !word.is_empty() && !self.words.iter().any(|(known, _)| known == word) {
            self.words.push((word.to_owned(), name.to_owned()));
        }
    }

    fn uid(&mut self, uid: &str) -> String {
        let at = position(&mut self.uids, uid);
        format!("<uid-{at}>")
    }

    /// The version of an object, told apart from every other one.
    fn version(&mut self, version: &str) -> String {
        // "0" and "1" are what a request names, no object has them.
        if version.len() < 2 {
            return version.to_owned();
        }
        let at = position(&mut self.versions, version);
        format!("<rv-{at}>")
    }

    pub fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, name) in &self.words {
            text = text.replace(word.as_str(), name);
        }
        let text = PRINTED.replace_all(&text, "Invalid value: <object>: ");
        let text = UID
            .replace_all(&text, |found: &Captures| self.uid(&found[0]))
            .into_owned();
        let text = HASH.replace_all(&text, "${1}<hash>\"").into_owned();
        let text = TIME.replace_all(&text, "<time>").into_owned();
        let text = OLD.replace_all(&text, "too old resource version: <rv> (<rv>)");
        VERSION
            .replace_all(&text, |found: &Captures| {
                if found[1].starts_with("current") {
                    return format!("{}<rv>", &found[1]);
                }
                let known = self.versions.iter().position(|known| *known == found[2]);
                match known {
                    Some(at) => format!("{}<rv-{}>", &found[1], at + 1),
                    None => format!("{}<rv>", &found[1]),
                }
            })
            .into_owned()
    }

    pub fn value(&mut self, value: &Value) -> Value {
        self.at(value, "", false)
    }

    fn at(&mut self, value: &Value, key: &str, in_list: bool) -> Value {
        match value {
            Value::Object(map) => {
                // The version of a list is that of the whole cluster, in which others write too.
                let list = map.contains_key("items")
                    || map.contains_key("rows")
                    || map.get("type") == Some(&json!("BOOKMARK"));
                let mut out = serde_json::Map::new();
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort();
                // The object itself before what it holds: so the numbers do not depend on how a server orders its fields.
                for key in keys {
                    let below = in_list || (list && (key == "metadata" || key == "object"));
                    out.insert(self.text(key), self.at(&map[key], key, below));
                }
                Value::Object(out)
            }
            Value::Array(all) => {
                let mut all: Vec<Value> = all.iter().map(|one| self.at(one, key, false)).collect();
                if key == "resources" {
                    // Of discovery, whose order follows when each definition was noticed.
                    all.sort_by_key(|kind| kind["name"].as_str().unwrap_or_default().to_owned());
                }
                if key == "managedFields" {
                    // A server orders them by the second in which they were written.
                    all.sort_by_key(|entry| {
                        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
                        (
                            text("operation"),
                            text("manager"),
                            text("subresource"),
                            text("apiVersion"),
                        )
                    });
                }
                json!(all)
            }
            Value::String(text) => json!(match key {
                "resourceVersion" if in_list => "<list-rv>".to_owned(),
                "resourceVersion" => self.version(text),
                "continue" if !text.is_empty() => "<continue>".to_owned(),
                "cells" if AGE.is_match(text) => "<age>".to_owned(),
                _ => self.text(text),
            }),
            other => other.clone(),
        }
    }
}

fn position(known: &mut Vec<String>, one: &str) -> usize {
    let at = known.iter().position(|other| other == one);
    at.unwrap_or_else(|| {
        known.push(one.to_owned());
        known.len() - 1
    }) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_version_keeps_its_name_and_a_list_has_one_of_its_own() {
        let mut normal = Normal::default();
        let object = json!({"metadata": {"resourceVersion": "120", "uid": "0b4f5a50-1111-4222-8333-944455556666"}});
        let list = json!({"metadata": {"resourceVersion": "300"}, "items": [object.clone()]});
        assert_eq!(
            normal.value(&object),
            json!({"metadata": {"resourceVersion": "<rv-1>", "uid": "<uid-1>"}})
        );
        assert_eq!(
            normal.value(&list)["metadata"]["resourceVersion"],
            "<list-rv>"
        );
        assert_eq!(normal.value(&list)["items"][0], normal.value(&object));
        assert_eq!(
            normal.text("ResourceVersion in precondition: 7, ResourceVersion in object meta: 120"),
            "ResourceVersion in precondition: <rv>, ResourceVersion in object meta: <rv-1>"
        );
    }
}
