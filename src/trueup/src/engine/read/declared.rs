//! Where Git declares the Applications themselves.

use std::collections::BTreeMap;

use serde_json::Value;
use trueup_core::object::identity::AppKey;
use trueup_core::source::yaml;

use crate::ports::SourceFile;

/// What every file that declares an Application holds.
pub const NEEDLE: &str = "argoproj.io/";

/// An Application as a file of Git declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredAt {
    pub object: Value,
    pub repo: String,
    pub file: String,
    pub line: usize,
}

/// Every Application that one tree declares, by namespace as written and name.
#[derive(Debug, Default)]
pub(super) struct Found(BTreeMap<(Option<String>, String), Vec<DeclaredAt>>);

impl Found {
    /// The declaration of an Application; none when there are several that disagree.
    pub fn of(&self, key: &AppKey, control_namespace: &str) -> Option<DeclaredAt> {
        let named = self.0.get(&(Some(key.namespace.clone()), key.name.clone()));
        // Without a namespace it goes where `kubectl apply` is pointed at: Argo CD's own.
        let plain = self
            .0
            .get(&(None, key.name.clone()))
            .filter(|_| key.namespace == control_namespace);
        let mut all = named.into_iter().chain(plain).flatten();
        let first = all.next()?;
        all.all(|other| other.object.get("spec") == first.object.get("spec"))
            .then(|| first.clone())
    }
}

/// Looks through those manifests of a tree that hold [`NEEDLE`]. Files that cannot be read declare nothing.
pub(super) fn scan(repo: &str, files: &[SourceFile]) -> Found {
    let mut found = Found::default();
    for file in files {
        for (line, value) in documents(&file.bytes).unwrap_or_default() {
            collect(&mut found, repo, file, line, value);
        }
    }
    found
}

/// The documents of a YAML or JSON file, each with its first line; empty ones are left out.
fn documents(bytes: &[u8]) -> Option<Vec<(usize, Value)>> {
    let (text, _) = yaml::decode(bytes).ok()?;
    let tree = yaml::parse(text).ok()?;
    let values = tree.values().ok()?;
    let documents = tree.docs.iter().zip(values);
    let line = |root| tree.line_of(tree.node(root).start);
    Some(
        documents
            .filter_map(|(doc, value)| Some((line(doc.root?), value)))
            .collect(),
    )
}

fn collect(found: &mut Found, repo: &str, file: &SourceFile, line: usize, value: Value) {
    let text = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    match text("/kind").as_deref() {
        Some("List" | "ApplicationList") => {
            for item in value
                .get("items")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                collect(found, repo, file, line, item.clone());
            }
        }
        Some("Application")
            if text("/apiVersion").is_some_and(|version| version.starts_with("argoproj.io/")) =>
        {
            let Some(name) = text("/metadata/name") else {
                return;
            };
            let key = (text("/metadata/namespace"), name);
            let at = DeclaredAt {
                object: value,
                repo: repo.to_owned(),
                file: file.path.clone(),
                line,
            };
            found.0.entry(key).or_default().push(at);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_found_and_a_contradiction_is_not_decided() {
        let manifest = |ns: &str, branch: &str| {
            format!(
                "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: a\n{ns}spec:\n  source: {{targetRevision: {branch}}}\n"
            )
        };
        let file = |path: &str, text: String| SourceFile {
            path: path.into(),
            bytes: text.into_bytes(),
        };
        let one = file(
            "x/apps.yaml",
            format!("# ours\n---\n{}", manifest("", "main")),
        );
        let found = scan("url", std::slice::from_ref(&one));
        let at = found.of(&AppKey::new("argocd", "a"), "argocd").unwrap();
        assert_eq!((at.file.as_str(), at.line), ("x/apps.yaml", 3));
        assert!(found.of(&AppKey::new("other", "a"), "argocd").is_none());
        let same = file("y.yaml", manifest("  namespace: argocd\n", "main"));
        assert!(
            scan("url", &[one.clone(), same])
                .of(&AppKey::new("argocd", "a"), "argocd")
                .is_some()
        );
        let other = file("y.yaml", manifest("  namespace: argocd\n", "dev"));
        assert!(
            scan("url", &[one, other])
                .of(&AppKey::new("argocd", "a"), "argocd")
                .is_none()
        );
    }
}
