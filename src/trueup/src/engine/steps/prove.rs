//! What a commit changes in the rendering of every Application that reads its files.

use std::collections::BTreeMap;

use serde_json::json;
use trueup_core::{
    event::{Changed, ProofLine},
    object::{
        identity::{ObjectKey, ObjectRef},
        path::FieldPath,
    },
    source::{
        changes::{self, FieldEdit, Home},
        plain, proof,
    },
    text,
};

use super::super::read::AppSeen;

type Files = BTreeMap<String, Vec<u8>>;

fn bytes_of(app: &AppSeen) -> Vec<(String, Vec<u8>)> {
    app.files.to_vec()
}

/// What the directory tool of Argo CD reads for an Application; `None` when another tool makes it.
fn options(app: &AppSeen) -> Option<plain::DirectoryOptions> {
    app.rendering.as_ref()?;
    let directory = app.object.pointer("/spec/source/directory");
    let text = |name: &str| {
        directory
            .and_then(|d| d.get(name))
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Some(plain::DirectoryOptions {
        recurse: directory
            .and_then(|d| d.get("recurse"))
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(false),
        include: text("include"),
        exclude: text("exclude"),
        path: app.path.clone(),
    })
}

fn render(app: &AppSeen, files: &[(String, Vec<u8>)]) -> Option<plain::Rendering> {
    let options = options(app)?;
    Some(plain::render(files, &options, &app.destination.namespace))
}

/// Where a new manifest of each Application is put.
pub(super) fn homes(apps: &[&AppSeen]) -> Vec<Home> {
    apps.iter()
        .filter_map(|app| {
            Some(Home {
                application: app.key.to_string(),
                options: options(app)?,
            })
        })
        .collect()
}

pub(super) fn sources(apps: &[&AppSeen]) -> (Vec<(String, plain::Rendering)>, Files) {
    let mut all = Files::new();
    let mut renderings = Vec::new();
    for app in apps {
        let files = bytes_of(app);
        if let Some(rendering) = render(app, &files) {
            renderings.push((app.key.to_string(), rendering));
        }
        all.extend(files);
    }
    (renderings, all)
}

/// Renders every reader before and after, and sorts what moves into decided and not.
pub(super) fn prove(
    readers: &[&AppSeen],
    changed: &[changes::FileChange],
    wishes: &[FieldEdit],
) -> Vec<ProofLine> {
    let mut lines = Vec::new();
    for app in readers {
        let files = bytes_of(app);
        let Some(before) = render(app, &files) else {
            lines.push(ProofLine {
                application: app.key.clone(),
                decided: Vec::new(),
                undecided: Vec::new(),
                errors: vec![
                    "it cannot be rendered here, so what the commit does to it is not known".into(),
                ],
            });
            continue;
        };
        let untouched = |path: &String| !changed.iter().any(|change| change.path == *path);
        let mut files: Vec<(String, Vec<u8>)> = files
            .into_iter()
            .filter(|(path, _)| untouched(path))
            .collect();
        // What is not below its folder is read by nobody here: the rendering leaves it out.
        files.extend(
            changed
                .iter()
                .filter_map(|change| Some((change.path.clone(), change.after.clone()?))),
        );
        let after = render(app, &files).unwrap_or_default();
        let name = app.key.to_string();
        let rendered = proof::Rendered {
            application: &name,
            before: &before,
            after: &after,
        };
        let proven = proof::prove(&[rendered], wishes);
        for proven in proven.applications {
            let mut line = ProofLine {
                application: app.key.clone(),
                decided: Vec::new(),
                undecided: Vec::new(),
                errors: proven.errors.iter().map(|e| text::line(e)).collect(),
            };
            for moved in &proven.lines {
                let change = changed_of(&moved.object, &moved.change);
                if moved.decided {
                    line.decided.push(change)
                } else {
                    line.undecided.push(change)
                }
            }
            line.errors.extend(proven.missing.iter().map(|edit| {
                text::line(&format!(
                    "{:?} {} does not come out as decided",
                    edit.object, edit.path
                ))
            }));
            let moves =
                !line.decided.is_empty() || !line.undecided.is_empty() || !line.errors.is_empty();
            if moves {
                lines.push(line);
            }
        }
    }
    lines
}

fn changed_of(object: &ObjectKey, difference: &proof::Difference) -> Changed {
    let object = ObjectRef {
        group: object.group.clone(),
        version: String::new(),
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    };
    let (field, from, to) = match difference {
        proof::Difference::Field(change) => {
            (change.path.clone(), change.from.clone(), change.to.clone())
        }
        proof::Difference::Created => (FieldPath::root(), None, Some(json!("(created)"))),
        proof::Difference::Removed => (FieldPath::root(), Some(json!("(there)")), None),
    };
    Changed {
        object,
        field,
        from,
        to,
    }
}
