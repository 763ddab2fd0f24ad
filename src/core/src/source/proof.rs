//! Proof of a change: what is rendered differently is what was decided, in every application that reads the files.

use std::collections::BTreeMap;

use serde_json::Value;

use super::changes::FieldEdit;
use super::plain::Rendering;
use crate::object::diff::{self, FieldChange};
use crate::object::identity::{ObjectKey, ObjectRef};
use crate::object::normalise::fold_string_data;

/// One difference between the rendering before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct ProofLine {
    pub object: ObjectKey,
    pub change: Difference,
    /// The operator decided exactly this.
    pub decided: bool,
}

/// How an object differs.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    Field(FieldChange),
    /// The object is new, or gone.
    Created,
    Removed,
}

/// What the change does to one application.
#[derive(Debug, Clone, PartialEq)]
pub struct AppProof {
    pub application: String,
    pub lines: Vec<ProofLine>,
    /// Decided fields that do not come out of the rendering as decided.
    pub missing: Vec<FieldEdit>,
    /// Why the application could not be rendered.
    pub errors: Vec<String>,
}

impl AppProof {
    /// Nothing but the decided, and all of it.
    pub fn is_proven(&self) -> bool {
        self.errors.is_empty() && self.missing.is_empty() && self.lines.iter().all(|l| l.decided)
    }
}

/// The verdict over all applications that read the changed files.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    pub applications: Vec<AppProof>,
}

impl Proof {
    pub fn is_proven(&self) -> bool {
        self.applications.iter().all(AppProof::is_proven)
    }
}

/// One application before and after the change.
#[derive(Debug, Clone, Copy)]
pub struct Rendered<'r> {
    pub application: &'r str,
    pub before: &'r Rendering,
    pub after: &'r Rendering,
}

/// Compares the renderings of every application that reads the changed files with what was decided for it.
///
/// An error that the rendering had before and has after does not count; a new one does.
pub fn prove(apps: &[Rendered<'_>], decided: &[FieldEdit]) -> Proof {
    Proof {
        applications: apps.iter().map(|a| prove_one(a, decided)).collect(),
    }
}

/// Objects by identity; a second one of the same identity is reported.
fn by_key(rendering: &Rendering, errors: &mut Vec<String>) -> BTreeMap<ObjectKey, Value> {
    let mut map = BTreeMap::new();
    for rendered in &rendering.objects {
        let mut object = Value::clone(&rendered.object);
        match ObjectRef::from_object(&object) {
            Ok(r) => {
                if r.kind == "Secret"
                    && let Value::Object(secret) = &mut object
                {
                    fold_string_data(secret);
                }
                if map.insert(r.key(), object).is_some() {
                    errors.push(format!("{} is rendered twice", r.short()));
                }
            }
            Err(e) => errors.push(format!(
                "{} (document {}): {e}",
                rendered.file, rendered.doc
            )),
        }
    }
    map
}

fn prove_one(app: &Rendered<'_>, decided: &[FieldEdit]) -> AppProof {
    let mut errors: Vec<String> = Vec::new();
    let mut old_errors: Vec<String> = Vec::new();
    let before = by_key(app.before, &mut old_errors);
    let after = by_key(app.after, &mut errors);
    errors.retain(|e| !old_errors.contains(e));
    errors.extend(
        app.after
            .errors
            .iter()
            .filter(|e| !app.before.errors.contains(e))
            .map(ToString::to_string),
    );
    let mine: Vec<&FieldEdit> = decided
        .iter()
        .filter(|d| d.application == app.application)
        .collect();
    let mut lines = Vec::new();
    let mut missing: Vec<FieldEdit> = Vec::new();
    for (key, old) in &before {
        let (whole, wishes): (Vec<&FieldEdit>, Vec<&FieldEdit>) = mine
            .iter()
            .copied()
            .filter(|d| d.object == *key)
            .partition(|d| d.path.is_root());
        let goes = whole.iter().any(|d| d.to.is_none());
        let Some(new) = after.get(key) else {
            lines.push(ProofLine {
                object: key.clone(),
                change: Difference::Removed,
                decided: goes,
            });
            continue;
        };
        // An object that was to go and stays, or was to come and was there.
        missing.extend(whole.into_iter().cloned());
        let mut wanted = old.clone();
        for wish in &wishes {
            match &wish.to {
                Some(to) if wish.path.set(&mut wanted, to.clone()).is_err() => {
                    missing.push((*wish).clone())
                }
                Some(_) => {}
                None => diff::remove(&mut wanted, &wish.path),
            }
        }
        // What stands between the wish and the result is not decided, or decided and not done.
        let astray = diff::diff(&wanted, new, &key.kind);
        for change in diff::diff(old, new, &key.kind) {
            let decided = !astray.iter().any(|a| a.path.overlaps(&change.path))
                && wishes.iter().any(|w| w.path.overlaps(&change.path));
            lines.push(ProofLine {
                object: key.clone(),
                change: Difference::Field(change),
                decided,
            });
        }
        missing.extend(
            wishes
                .iter()
                .filter(|w| astray.iter().any(|a| a.path.overlaps(&w.path)))
                .map(|w| (*w).clone()),
        );
    }
    for (key, new) in after.iter().filter(|(k, _)| !before.contains_key(*k)) {
        lines.push(ProofLine {
            object: key.clone(),
            change: Difference::Created,
            decided: mine.iter().any(|w| comes(w, key, new)),
        });
    }
    missing.extend(
        mine.iter()
            .filter(|w| !before.contains_key(&w.object))
            .filter(|w| {
                !after
                    .get(&w.object)
                    .is_some_and(|new| comes(w, &w.object, new))
            })
            .map(|w| (*w).clone()),
    );
    AppProof {
        application: app.application.to_owned(),
        lines,
        missing,
        errors,
    }
}

/// The object that is rendered now is the manifest that was decided on.
fn comes(wish: &FieldEdit, key: &ObjectKey, new: &Value) -> bool {
    wish.object == *key
        && wish.path.is_root()
        && wish
            .to
            .as_ref()
            .is_some_and(|manifest| diff::diff(manifest, new, &key.kind).is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::plain::{DirectoryOptions, render};
    use super::*;
    use serde_json::json;

    fn rendering(text: &str) -> Rendering {
        let files = [("a.yaml".to_owned(), text.as_bytes().to_vec())];
        render(&files, &DirectoryOptions::default(), "ns")
    }

    fn wish(app: &str, path: &str, to: Option<Value>) -> FieldEdit {
        FieldEdit {
            application: app.to_owned(),
            object: ObjectKey {
                namespace: Some("ns".to_owned()),
                group: String::new(),
                kind: "ConfigMap".to_owned(),
                name: "c".to_owned(),
            },
            path: path.parse().unwrap(),
            to,
        }
    }

    const HEAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";

    #[test]
    fn only_the_decided_difference_is_proven() {
        let before = rendering(&format!("{HEAD}data: {{a: x, b: y}}\n"));
        let after = rendering(&format!("{HEAD}data: {{a: z, b: y}}\n"));
        let more = rendering(&format!("{HEAD}data: {{a: z, b: w}}\n"));
        let app = |application, after| Rendered {
            application,
            before: &before,
            after,
        };
        let decided = [wish("one", ".data.a", Some(json!("z")))];
        assert!(prove(&[app("one", &after)], &decided).is_proven());
        // The same file moves an application for which nothing was decided.
        let shared = prove(&[app("one", &after), app("two", &after)], &decided);
        assert!(shared.applications[0].is_proven() && !shared.applications[1].is_proven());
        let side = prove(&[app("one", &more)], &decided);
        let lines: Vec<_> = side.applications[0]
            .lines
            .iter()
            .map(|l| match &l.change {
                Difference::Field(c) => (c.path.to_string(), l.decided),
                _ => panic!("only fields differ"),
            })
            .collect();
        assert_eq!(
            lines,
            [(".data.a".to_owned(), true), (".data.b".to_owned(), false)]
        );
        assert!(!side.is_proven());
        // Decided, and nothing came of it.
        let none = prove(&[app("one", &before)], &decided);
        assert_eq!(none.applications[0].missing.len(), 1);
        assert!(!none.is_proven());
        let gone = prove(&[app("one", &Rendering::default())], &decided);
        assert!(!gone.is_proven());
    }

    #[test]
    fn a_removal_that_empties_its_map_is_proven() {
        let before = rendering(&format!("{HEAD}data: {{a: x}}\n"));
        let after = rendering(HEAD);
        let app = Rendered {
            application: "one",
            before: &before,
            after: &after,
        };
        assert!(prove(&[app], &[wish("one", ".data.a", None)]).is_proven());
    }

    #[test]
    fn an_object_comes_and_goes_only_as_decided() {
        let one = rendering(&format!("{HEAD}data: {{a: x}}\n"));
        let none = Rendering::default();
        let manifest = Value::clone(&one.objects[0].object);
        let mut other = manifest.clone();
        other["data"]["a"] = json!("y");
        let proven = |before, after, wishes: &[FieldEdit]| {
            let application = "one";
            prove(
                &[Rendered {
                    application,
                    before,
                    after,
                }],
                wishes,
            )
            .is_proven()
        };
        let (come, go) = (wish("one", ".", Some(manifest)), wish("one", ".", None));
        assert!(proven(&none, &one, std::slice::from_ref(&come)));
        assert!(proven(&one, &none, std::slice::from_ref(&go)));
        assert!(
            !proven(&none, &one, &[wish("one", ".", Some(other))]),
            "another content"
        );
        assert!(!proven(&none, &none, &[come]), "it did not come");
        assert!(!proven(&one, &one, &[go]), "it did not go");
        let field = wish("one", ".data.a", None);
        assert!(
            !proven(&one, &none, &[field]),
            "a field was decided, not the object"
        );
    }
}
