//! Rendering of a plain directory source, as Argo CD's repository server does it.

use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use serde_json::{Map, Value};

use super::tree::{Kind, Tree};
use super::yaml;

/// A comment that takes a file out of the rendering.
const SKIP_MARKER: &str = "+argocd:skip-file-rendering";

/// The `directory` part of a source, and its path.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryOptions {
    pub recurse: bool,
    /// Glob over the path below `path`, in which `*` stands for slashes too; empty: all.
    pub include: String,
    /// The same of what is left out; empty: none.
    pub exclude: String,
    /// Directory in the repository; empty or `.` is the root.
    pub path: String,
}

/// One rendered object and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// With the destination's namespace filled in where the object is namespaced and names none.
    pub object: Arc<Value>,
    /// Path from the root of the repository.
    pub file: String,
    /// Index of the document in the file.
    pub doc: usize,
    /// Index in `items`, for an object of a list.
    pub item: Option<usize>,
    /// First line of the object, from 1.
    pub line: usize,
}

/// A file that gives no objects, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {why}")]
pub struct RenderError {
    pub file: String,
    pub why: String,
}

/// What a source gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendering {
    pub objects: Vec<Rendered>,
    pub errors: Vec<RenderError>,
}

/// Renders the files of a directory. `files`: path from the root of the repository and bytes.
///
/// Read are `*.yaml`, `*.yml` and `*.json`; Jsonnet is reported as an error. A file that is no manifest is skipped, one
/// that looks like one and is broken is an error, as in Argo CD.
pub fn render(
    files: &[(String, Vec<u8>)],
    options: &DirectoryOptions,
    destination_namespace: &str,
) -> Rendering {
    let mut rendering = Rendering::default();
    let mut glob = |pattern: &str, name: &str| match compile(pattern) {
        Ok(found) => found,
        Err(why) => {
            rendering.errors.push(RenderError {
                file: options.path.clone(),
                why: format!("{name}: {why}"),
            });
            None
        }
    };
    let include = glob(&options.include, "include");
    let exclude = glob(&options.exclude, "exclude");
    let mut wanted: Vec<&(String, Vec<u8>)> = files
        .iter()
        .filter(|(path, _)| selects(options, include.as_ref(), exclude.as_ref(), path))
        .collect();
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    for (path, bytes) in wanted {
        let extension = path.rsplit_once('.').map_or("", |(_, e)| e);
        let why = match extension {
            "yaml" | "yml" | "json" => {
                read(path, bytes, destination_namespace, &mut rendering.objects)
            }
            "jsonnet" => Err("Jsonnet is not rendered here".to_owned()),
            _ => Ok(()),
        };
        if let Err(why) = why {
            rendering.errors.push(RenderError {
                file: path.clone(),
                why,
            });
        }
    }
    rendering.objects.shrink_to_fit();
    rendering
}

/// Whether the source reads a file of this path; the error is a glob that is none.
pub fn reads(options: &DirectoryOptions, path: &str) -> Result<bool, String> {
    let (include, exclude) = (compile(&options.include)?, compile(&options.exclude)?);
    Ok(selects(options, include.as_ref(), exclude.as_ref(), path))
}

fn selects(
    options: &DirectoryOptions,
    include: Option<&GlobMatcher>,
    exclude: Option<&GlobMatcher>,
    path: &str,
) -> bool {
    below(path, &options.path).is_some_and(|rest| {
        (options.recurse || !rest.contains('/'))
            && !exclude.is_some_and(|g| g.is_match(rest))
            && include.is_none_or(|g| g.is_match(rest))
    })
}

/// Argo CD's patterns know no folders: `*` and `**` are both any text, slashes included.
fn flat(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut escaped = false;
    for c in pattern.chars() {
        if c != '*' || escaped || !out.ends_with('*') || out.ends_with("\\*") {
            out.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

fn compile(pattern: &str) -> Result<Option<GlobMatcher>, String> {
    if pattern.is_empty() {
        return Ok(None);
    }
    GlobBuilder::new(&flat(pattern))
        .build()
        .map(|g| Some(g.compile_matcher()))
        .map_err(|e| format!("{pattern:?} is no glob: {e}"))
}

/// The part of `path` below the directory.
fn below<'p>(path: &'p str, directory: &str) -> Option<&'p str> {
    let directory = directory.trim_start_matches("./").trim_matches('/');
    if directory.is_empty() || directory == "." {
        return Some(path);
    }
    path.strip_prefix(directory)?.strip_prefix('/')
}

fn read(path: &str, bytes: &[u8], namespace: &str, out: &mut Vec<Rendered>) -> Result<(), String> {
    let before = out.len();
    let tried = objects(path, bytes, namespace, out);
    let Err(why) = tried else { return Ok(()) };
    let has = |part: &str| bytes.windows(part.len()).any(|w| w == part.as_bytes());
    let looks_like_one = ["apiVersion:", "kind:", "metadata:"]
        .iter()
        .all(|part| has(part));
    let some_were_good = out.len() > before;
    out.truncate(before);
    // A kind is enough for Argo CD to take it for an object.
    let no_version = why.ends_with(NO_VERSION);
    if path.ends_with(".json") || some_were_good || looks_like_one || no_version {
        return Err(why);
    }
    // An unrelated YAML file.
    Ok(())
}

fn objects(
    path: &str,
    bytes: &[u8],
    namespace: &str,
    out: &mut Vec<Rendered>,
) -> Result<(), String> {
    let (text, _) = yaml::decode(bytes).map_err(|e| e.to_string())?;
    if text.contains(SKIP_MARKER) {
        return Ok(());
    }
    let tree = yaml::parse(text).map_err(|e| e.to_string())?;
    for (doc, document) in tree.docs.iter().enumerate() {
        let Some(root) = document.root else { continue };
        let mut value = tree.value(root).map_err(|e| e.to_string())?;
        if value.is_null() {
            continue;
        }
        through_float(&mut value);
        let line = tree.line_of(tree.node(root).start);
        if let Some(items) = value.get("items").and_then(Value::as_array) {
            for (i, object) in items.iter().enumerate() {
                check(object).map_err(|why| format!("document {doc}, item {i}: {why}"))?;
                let mut object = object.clone();
                fill_namespace(&mut object, namespace);
                let line = item_line(&tree, root, i).unwrap_or(line);
                out.push(Rendered {
                    object: Arc::new(object),
                    file: path.to_owned(),
                    doc,
                    item: Some(i),
                    line,
                });
            }
            continue;
        }
        check(&value).map_err(|why| format!("document {doc}: {why}"))?;
        let mut object = value;
        fill_namespace(&mut object, namespace);
        out.push(Rendered {
            object: Arc::new(object),
            file: path.to_owned(),
            doc,
            item: None,
            line,
        });
    }
    Ok(())
}

/// Argo CD hands objects on as JSON, and reads every number that is no `int64` as a float: of what is larger the last digits are lost.
fn through_float(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let large = number.as_u64().filter(|n| i64::try_from(*n).is_err());
            if let Some(read) =
                large.and_then(|n| serde_json::from_str(&(n as f64).to_string()).ok())
            {
                *number = read;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(through_float),
        Value::Object(map) => map.values_mut().for_each(through_float),
        _ => {}
    }
}

fn item_line(tree: &Tree<'_>, root: usize, index: usize) -> Option<usize> {
    let Kind::Map { entries, .. } = &tree.node(root).kind else {
        return None;
    };
    let entry = entries
        .iter()
        .find(|e| tree.scalar(e.key) == Some("items"))?;
    let Kind::Seq { items, .. } = &tree.node(tree.behind(entry.value)).kind else {
        return None;
    };
    Some(tree.line_of(items.get(index)?.start))
}

const NO_VERSION: &str = "no Kubernetes object: apiVersion is missing or no text";

fn check(object: &Value) -> Result<(), String> {
    let has = |field: &str| {
        let text = object.get(field).and_then(Value::as_str);
        text.is_some_and(|text| !text.is_empty())
    };
    if !has("kind") {
        return Err("no Kubernetes object: kind is missing or no text".to_owned());
    }
    if !has("apiVersion") {
        return Err(NO_VERSION.to_owned());
    }
    Ok(())
}

fn fill_namespace(object: &mut Value, namespace: &str) {
    let text = |f: &str| {
        object
            .get(f)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (api, kind) = (text("apiVersion"), text("kind"));
    let scoped = is_cluster_scoped(&api, &kind);
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else {
        return;
    };
    let named = metadata
        .get("namespace")
        .and_then(Value::as_str)
        .is_some_and(|n| !n.is_empty());
    if scoped {
        metadata.shift_remove("namespace");
    } else if !named && !namespace.is_empty() {
        // One more than there were, not the several that a map grows by.
        let mut filled = Map::with_capacity(metadata.len() + 1);
        filled.append(metadata);
        filled.insert("namespace".to_owned(), Value::from(namespace));
        *metadata = filled;
    }
}

/// Built-in kinds without namespace, and those of Argo CD and its common neighbours. Everything else counts as namespaced.
pub fn is_cluster_scoped(api_version: &str, kind: &str) -> bool {
    let group = api_version.rsplit_once('/').map_or("", |(g, _)| g);
    let kinds: &[&str] = match group {
        "" => &["Namespace", "Node", "PersistentVolume", "ComponentStatus"],
        "rbac.authorization.k8s.io" => &["ClusterRole", "ClusterRoleBinding"],
        "apiextensions.k8s.io" => &["CustomResourceDefinition"],
        "apiregistration.k8s.io" => &["APIService"],
        "admissionregistration.k8s.io" => &[
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
        ],
        "storage.k8s.io" => &[
            "StorageClass",
            "VolumeAttachment",
            "CSIDriver",
            "CSINode",
            "VolumeAttributesClass",
        ],
        "scheduling.k8s.io" => &["PriorityClass"],
        "node.k8s.io" => &["RuntimeClass"],
        "networking.k8s.io" => &["IngressClass", "IPAddress", "ServiceCIDR"],
        "flowcontrol.apiserver.k8s.io" => &["FlowSchema", "PriorityLevelConfiguration"],
        "certificates.k8s.io" => &["CertificateSigningRequest", "ClusterTrustBundle"],
        "resource.k8s.io" => &["DeviceClass", "ResourceSlice"],
        "policy" => &["PodSecurityPolicy"],
        "cert-manager.io" => &["ClusterIssuer"],
        "external-secrets.io" => &["ClusterSecretStore", "ClusterExternalSecret"],
        "kyverno.io" => &["ClusterPolicy"],
        "snapshot.storage.k8s.io" => &["VolumeSnapshotClass", "VolumeSnapshotContent"],
        "gateway.networking.k8s.io" => &["GatewayClass"],
        _ => &[],
    };
    kinds.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> (String, Vec<u8>) {
        (path.to_owned(), text.as_bytes().to_vec())
    }

    #[test]
    fn of_a_number_that_is_no_int64_digits_are_lost() {
        for list in [
            " [9223372036854775807, 9223372036854775808, 12345678901234567890]",
            "\n- 9223372036854775807\n- 9223372036854775808\n- 12345678901234567890",
        ] {
            let text = format!("apiVersion: v1\nkind: X\nmetadata:\n  name: x\nspec:{list}\n");
            let rendering = render(&[file("x.yaml", &text)], &DirectoryOptions::default(), "");
            assert_eq!(
                rendering.objects[0].object["spec"].to_string(),
                "[9223372036854775807,9223372036854776000,12345678901234567000]"
            );
        }
    }

    #[test]
    fn an_object_without_a_version_is_not_passed_over() {
        let file = file("x.yaml", "kind: ConfigMap\nmetadata: {name: x}\n");
        let rendering = render(&[file], &DirectoryOptions::default(), "");
        assert!(rendering.errors[0].why.contains("apiVersion is missing"));
    }

    #[test]
    fn a_directory_is_read_as_argo_cd_reads_it() {
        let files = [
            file(
                "deploy/a.yaml",
                "# c\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {on: yes}\n---\n---\n",
            ),
            file(
                "deploy/b.yml",
                "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: nn, namespace: x}\n- {apiVersion: v1, kind: Secret, metadata: {name: s, namespace: own}}\n",
            ),
            file("deploy/c.json", "{\"kind\": 1}"),
            file("deploy/values.yaml", "replicas: 3\n"),
            file(
                "deploy/broken.yaml",
                "apiVersion: v1\nkind: X\nmetadata:\n  name: [\n",
            ),
            file(
                "deploy/skip.yaml",
                "# +argocd:skip-file-rendering\nnot: [\n",
            ),
            file(
                "deploy/sub/d.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\n",
            ),
            file("deploy/notes.txt", "x"),
            file(
                "other/e.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: e}\n",
            ),
        ];
        let mut options = DirectoryOptions {
            path: "deploy".to_owned(),
            ..Default::default()
        };
        let flat = render(&files, &options, "dest");
        let names: Vec<_> = flat
            .objects
            .iter()
            .map(|r| {
                (
                    r.object["metadata"]["name"].as_str().unwrap(),
                    r.object["metadata"]["namespace"].as_str(),
                    r.line,
                    r.item,
                )
            })
            .collect();
        assert_eq!(
            names,
            [
                ("a", Some("dest"), 2, None),
                ("nn", None, 4, Some(0)),
                ("s", Some("own"), 7, Some(1))
            ]
        );
        assert_eq!(flat.objects[0].object["data"]["true"], Value::Bool(true));
        let failed: Vec<_> = flat.errors.iter().map(|e| e.file.as_str()).collect();
        assert_eq!(failed, ["deploy/broken.yaml", "deploy/c.json"]);

        options.recurse = true;
        options.include = "{a,d}.yaml".to_owned();
        assert_eq!(render(&files, &options, "dest").objects.len(), 1);
        for (pattern, objects) in [("**/{a,d}.yaml", 1), ("*{a,d}.yaml", 2), ("su*.yaml", 1)] {
            options.include = pattern.to_owned();
            assert_eq!(
                render(&files, &options, "dest").objects.len(),
                objects,
                "{pattern}"
            );
        }
        options.exclude = "s*".to_owned();
        assert!(render(&files, &options, "dest").objects.is_empty());
    }
}
