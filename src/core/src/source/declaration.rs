//! The manifests that declare an Application, changed so that it ignores fields from now on.

use serde_json::Value;

use super::edit::edit_file;
use super::ops::{Edit, EditElement, Op};
use super::yaml;
use crate::ignore::{self, Ignored};
use crate::object::identity::AppKey;

/// A file as it shall be, and the edits that made it so.
pub type Edited = (Vec<u8>, Vec<Edit>);

/// The file with the rules and the sync option in every document that declares the Application, and the edits made.
/// `Ok(None)`: it declares no such Application, or all of it stands already.
///
/// `plain`: whether a manifest without a namespace is meant too.
pub fn ignoring(
    path: &str,
    file: &[u8],
    application: &AppKey,
    plain: bool,
    fields: &[Ignored],
) -> Result<Option<Edited>, String> {
    let (text, _) = yaml::decode(file).map_err(|e| e.to_string())?;
    let tree = yaml::parse(text).map_err(|e| e.to_string())?;
    let mut edits = Vec::new();
    for doc in 0..tree.docs.len() {
        let root = tree.doc_value(doc).map_err(|e| e.to_string())?;
        for (way, object) in objects(&root) {
            if is(object, application, plain) {
                edits.extend(edits_of(doc, &way, object, fields));
            }
        }
    }
    if edits.is_empty() {
        return Ok(None);
    }
    let after = edit_file(path, file, &edits).map_err(|e| e.to_string())?;
    Ok(Some((after, edits)))
}

/// The objects of a document with the way to each: itself, or the items of a list.
fn objects(root: &Value) -> Vec<(Vec<EditElement>, &Value)> {
    match root.get("kind").and_then(Value::as_str) {
        Some("List" | "ApplicationList") => root
            .get("items")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(i, item)| (vec![key("items"), EditElement::Index(i)], item))
            .collect(),
        _ => vec![(Vec::new(), root)],
    }
}

fn key(name: &str) -> EditElement {
    EditElement::Key(name.to_owned())
}

fn is(object: &Value, application: &AppKey, plain: bool) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let here = match text("/metadata/namespace") {
        Some(namespace) => namespace == application.namespace,
        None => plain,
    };
    here && text("/kind") == Some("Application")
        && text("/apiVersion").is_some_and(|version| version.starts_with("argoproj.io/"))
        && text("/metadata/name") == Some(application.name.as_str())
}

fn edits_of(doc: usize, way: &[EditElement], object: &Value, fields: &[Ignored]) -> Vec<Edit> {
    let spec = ignore::spec_with(object, fields);
    let edit = |names: &[&str], value: Value| {
        let pointer: String = names.iter().map(|name| format!("/{name}")).collect();
        Edit {
            doc,
            path: way
                .iter()
                .cloned()
                .chain(names.iter().map(|name| key(name)))
                .collect(),
            op: match object.pointer(&pointer) {
                Some(_) => Op::Set,
                None => Op::Add,
            },
            value,
        }
    };
    let differences = spec
        .differences
        .map(|v| edit(&["spec", "ignoreDifferences"], v));
    let options = spec
        .options
        .map(|v| edit(&["spec", "syncPolicy", "syncOptions"], v));
    differences.into_iter().chain(options).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::identity::ObjectRef;

    const FILE: &str = "# by hand\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: like\n  namespace: argocd\nspec:\n  project: identity   # ours\n  syncPolicy:\n    automated:\n      prune: true\n---\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: other\n  namespace: argocd\nspec:\n  project: identity\n";

    fn fields(pointers: &[&str]) -> Vec<Ignored> {
        pointers
            .iter()
            .map(|pointer| Ignored {
                object: ObjectRef {
                    group: String::new(),
                    version: "v1".into(),
                    kind: "ConfigMap".into(),
                    namespace: Some("like".into()),
                    name: "c".into(),
                },
                pointer: (*pointer).to_owned(),
            })
            .collect()
    }

    #[test]
    fn only_the_declared_application_changes_and_a_second_field_joins_the_first() {
        let like = AppKey::new("argocd", "like");
        let made = |file: &str, pointers: &[&str]| {
            let done = ignoring("a.yaml", file.as_bytes(), &like, true, &fields(pointers)).unwrap();
            done.map(|(bytes, _)| String::from_utf8(bytes).unwrap())
        };
        let once = made(FILE, &["/data/a"]).unwrap();
        let added = "      prune: true\n    syncOptions:\n      - RespectIgnoreDifferences=true\n  ignoreDifferences:\n    - kind: ConfigMap\n      name: c\n      namespace: like\n      jsonPointers:\n        - /data/a\n---";
        assert_eq!(once, FILE.replace("      prune: true\n---", added));
        let twice = made(&once, &["/data/a", "/data/b"]).unwrap();
        assert_eq!(
            twice,
            once.replace("/data/a\n", "/data/a\n        - /data/b\n")
        );
        assert_eq!(made(&twice, &["/data/b"]), None);
        assert!(
            ignoring(
                "a.yaml",
                FILE.as_bytes(),
                &AppKey::new("x", "like"),
                false,
                &fields(&["/data/a"])
            )
            .unwrap()
            .is_none()
        );
    }
}
