//! Where two answers differ, and which differences are known.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::cases::Recorded;

/// A difference that stays, and why. `docs/lab.md` lists the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// What differs, in a sentence; each is one difference however many cases show it.
    pub difference: String,
    /// Names of cases as `group/case`; `*` stands for anything.
    pub cases: Vec<String>,
    /// Beginnings of the pointers at which they may differ.
    pub at: Vec<String>,
}

/// One place at which the lab answers otherwise.
#[derive(Debug)]
pub struct Difference {
    pub case: String,
    pub pointer: String,
    pub real: String,
    pub lab: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference {
            case,
            pointer,
            real,
            lab,
        } = self;
        write!(
            f,
            "{case}\n    at {pointer}\n    real {real}\n    lab  {lab}"
        )
    }
}

impl Known {
    pub fn covers(&self, difference: &Difference) -> bool {
        self.cases.iter().any(|case| like(case, &difference.case))
            && self
                .at
                .iter()
                .any(|at| difference.pointer.starts_with(at.as_str()))
    }
}

fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| like(after, &rest[at..]))
        }),
    }
}

/// Compares what a group was answered on the real control plane with what the lab answers.
pub fn group(name: &str, real: &[Recorded], lab: &[Recorded]) -> Vec<Difference> {
    let mut out = Vec::new();
    for at in 0..real.len().max(lab.len()) {
        let (a, b) = (real.get(at), lab.get(at));
        let case = format!("{name}/{}", a.or(b).map_or("", |one| one.case.as_str()));
        let value = |one: Option<&Recorded>| {
            one.and_then(|one| serde_json::to_value(one).ok())
                .unwrap_or_default()
        };
        differing(&value(a), &value(b), "", &mut |pointer, real, lab| {
            out.push(Difference {
                case: case.clone(),
                pointer: pointer.to_owned(),
                real: real.to_owned(),
                lab: lab.to_owned(),
            });
        });
    }
    out
}

fn differing(a: &Value, b: &Value, at: &str, found: &mut impl FnMut(&str, &str, &str)) {
    if a == b {
        return;
    }
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            for key in x.keys().chain(y.keys()).collect::<BTreeSet<_>>() {
                let pointer = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                match (x.get(key), y.get(key)) {
                    (Some(x), Some(y)) => differing(x, y, &pointer, found),
                    (x, y) => found(&pointer, &shown(x), &shown(y)),
                }
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                differing(x, y, &format!("{at}/{i}"), found);
            }
        }
        _ => found(at, &shown(Some(a)), &shown(Some(b))),
    }
}

fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "-".to_owned(), Value::to_string);
    match text.char_indices().nth(700) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
