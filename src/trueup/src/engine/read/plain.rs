//! Rendering of a plain directory, as Argo CD's directory tool reads it.

use serde_json::Value;
use trueup_core::source::yaml;

use crate::ports::SourceFile;

/// One object of a rendering and where it stands.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub object: Value,
    pub file: String,
    /// Index of the document in the file.
    pub doc: usize,
    /// Where the document begins, from 1.
    pub line: usize,
}

/// A file that cannot be rendered; Argo CD then renders nothing of the Application.
#[derive(Debug, Clone)]
pub struct RenderError {
    pub file: String,
    pub why: String,
}

/// All objects of a source.
#[derive(Debug, Clone, Default)]
pub struct Rendering {
    pub objects: Vec<Rendered>,
    pub errors: Vec<RenderError>,
}

const CLUSTER_SCOPED: [&str; 14] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingWebhookConfiguration",
];

/// The documents of a YAML or JSON file, each with its index and first line; empty ones are left out.
pub fn documents(bytes: &[u8]) -> Result<Vec<(usize, usize, Value)>, String> {
    let (text, _) = yaml::decode(bytes).map_err(|error| error.to_string())?;
    let tree = yaml::parse(text).map_err(|error| error.to_string())?;
    let values = tree.values().map_err(|error| error.to_string())?;
    let mut documents = Vec::new();
    for (index, (doc, value)) in tree.docs.iter().zip(values).enumerate() {
        if let (Some(root), false) = (doc.root, value.is_null()) {
            documents.push((index, tree.line_of(tree.node(root).start), value));
        }
    }
    Ok(documents)
}

/// Renders the files of one folder.
pub fn render(files: &[SourceFile], path: &str, recurse: bool, namespace: &str) -> Rendering {
    let mut rendering = Rendering::default();
    let base = path.trim_matches('/');
    for file in files {
        let below = file
            .path
            .strip_prefix(base)
            .unwrap_or(&file.path)
            .trim_start_matches('/');
        let manifest = [".yaml", ".yml", ".json"]
            .iter()
            .any(|end| below.ends_with(end));
        if !manifest || (!recurse && below.contains('/')) {
            continue;
        }
        match documents(&file.bytes) {
            Err(why) => rendering.errors.push(RenderError {
                file: file.path.clone(),
                why,
            }),
            Ok(documents) => {
                for (doc, line, value) in documents {
                    if let Err(why) = add(&mut rendering, file, doc, line, value, namespace) {
                        rendering.errors.push(RenderError {
                            file: file.path.clone(),
                            why,
                        });
                    }
                }
            }
        }
    }
    rendering
}

fn add(
    rendering: &mut Rendering,
    file: &SourceFile,
    doc: usize,
    line: usize,
    mut value: Value,
    namespace: &str,
) -> Result<(), String> {
    let kind = value
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if kind.is_empty() || value.get("apiVersion").and_then(Value::as_str).is_none() {
        return Err(format!(
            "line {line}: not a Kubernetes object: apiVersion or kind is missing"
        ));
    }
    if kind.ends_with("List") && value.get("items").is_some_and(Value::is_array) {
        if let Some(Value::Array(items)) = value.get_mut("items").map(Value::take) {
            for item in items {
                add(rendering, file, doc, line, item, namespace)?;
            }
        }
        return Ok(());
    }
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Err(format!("line {line}: {kind} has no metadata"));
    };
    if !CLUSTER_SCOPED.contains(&kind.as_str())
        && !namespace.is_empty()
        && !metadata.contains_key("namespace")
    {
        metadata.insert("namespace".into(), namespace.into());
    }
    rendering.objects.push(Rendered {
        object: value,
        file: file.path.clone(),
        doc,
        line,
    });
    Ok(())
}
