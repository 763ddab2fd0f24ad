//! Managed fields: which manager last wrote which field, as far as the API server kept track.
//!
//! What an entry proves (KEP-555, structured-merge-diff): its manager was the last to *change* each field in it, or
//! asserts it by server-side apply. Its time moves with any of its fields, so for one field it is an upper bound. A
//! removal leaves no trace. The manager is what the client said of itself, not an identity.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::path::{Element, FieldPath};

const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 200_000;

/// What kind of writer a manager name stands for. A name is a claim: this is a reading of it, not a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ManagerClass {
    /// A person or a script of theirs: the `kubectl` verbs, Helm's command line, an edit in Argo CD's screen.
    Human,
    /// A GitOps engine writing what Git says.
    Gitops,
    /// The control plane or an operator.
    Controller,
    /// A generic client, or no evidence at all.
    Unknown,
}

/// Reads a manager name. `operation` is `Apply` or `Update`.
pub fn classify(manager: &str, _operation: &str, subresource: Option<&str>) -> ManagerClass {
    match manager {
        "before-first-apply" | "ancient-changes" | "kubectl-last-applied" | "" => {
            ManagerClass::Unknown
        }
        "kubectl" | "helm" | "k9s" | "argocd-server" | "trueup" => ManagerClass::Human,
        name if name.starts_with("kubectl-") || name.starts_with("trueup-") => ManagerClass::Human,
        "argocd-controller"
        | "argocd-application-controller"
        | "argocd-applicationset-controller"
        | "kustomize-controller"
        | "helm-controller" => ManagerClass::Gitops,
        "kube-controller-manager"
        | "kubelet"
        | "kube-scheduler"
        | "kube-apiserver"
        | "cloud-controller-manager"
        | "keda"
        | "keda-operator"
        | "cainjector"
        | "cert-manager-cainjector"
        | "reflector"
        | "Reloader" => ManagerClass::Controller,
        name if ["vpa-", "kyverno", "gatekeeper", "keda-"]
            .iter()
            .any(|p| name.starts_with(p)) =>
        {
            ManagerClass::Controller
        }
        _ if subresource == Some("status") => ManagerClass::Controller,
        name if name.ends_with("-controller") || name.ends_with("-operator") => {
            ManagerClass::Controller
        }
        _ => ManagerClass::Unknown,
    }
}

/// One entry of `metadata.managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub manager: String,
    pub operation: String,
    pub subresource: Option<String>,
    pub api_version: String,
    /// None when the server wrote none: unknown, not old.
    pub time: Option<Timestamp>,
    /// The fields owned; each stands for all that is below it.
    pub fields: BTreeSet<FieldPath>,
    /// The maps and list items owned as such (`.` in FieldsV1): their presence, not their content.
    pub containers: BTreeSet<FieldPath>,
    /// Members that we could not read: their owner is known, their path is not.
    pub opaque: usize,
}

impl Entry {
    pub fn class(&self) -> ManagerClass {
        classify(&self.manager, &self.operation, self.subresource.as_deref())
    }

    /// True when the entry names this very field.
    pub fn names(&self, path: &FieldPath) -> bool {
        self.containers.contains(path) || self.fields.contains(path)
    }

    /// True when the entry owns the field itself, or an atomic node that contains it.
    pub fn owns(&self, path: &FieldPath) -> bool {
        self.names(path)
            || (1..path.0.len()).any(|n| {
                let above = FieldPath(path.0[..n].to_vec());
                !is_granular(&above) && self.fields.contains(&above)
            })
    }

    /// True when the entry owns the field, what contains it, or something inside it.
    pub fn touches(&self, path: &FieldPath) -> bool {
        let inside = |set: &BTreeSet<FieldPath>| {
            set.range(path..)
                .next()
                .is_some_and(|p| path.is_prefix_of(p))
        };
        self.owns(path) || inside(&self.fields) || inside(&self.containers)
    }
}

/// Maps that are never owned as a whole: `f:data: {}` is what is left of an entry whose keys others took over, not the
/// ownership of every key.
fn is_granular(path: &FieldPath) -> bool {
    matches!(
        path.schema_names().as_slice(),
        ["data" | "binaryData" | "stringData"] | ["metadata", "labels" | "annotations"]
    )
}

/// All that managed fields say about one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Managed {
    pub entries: Vec<Entry>,
    /// True when something was left out: too deep, too big, or not of a known form.
    pub incomplete: bool,
}

fn element(key: &str) -> Option<Element> {
    let (kind, rest) = key.split_once(':')?;
    match kind {
        "f" => Some(Element::Key(rest.to_owned())),
        "i" => rest.parse().ok().map(Element::Index),
        "v" => match serde_json::from_str(rest).ok()? {
            Value::Array(_) | Value::Object(_) => None,
            scalar => Some(Element::SetValue(scalar)),
        },
        "k" => match serde_json::from_str(rest).ok()? {
            Value::Object(map) if !map.is_empty() => {
                let mut keys: Vec<(String, Value)> = map.into_iter().collect();
                keys.sort_by(|a, b| a.0.cmp(&b.0));
                keys.iter()
                    .all(|(_, v)| !v.is_array() && !v.is_object())
                    .then_some(Element::Item(keys))
            }
            _ => None,
        },
        _ => None,
    }
}

fn read_fields(fields: &Map<String, Value>, entry: &mut Entry, nodes: &mut usize) -> bool {
    let mut complete = true;
    let mut stack: Vec<(FieldPath, &Map<String, Value>)> = vec![(FieldPath::root(), fields)];
    while let Some((path, map)) = stack.pop() {
        for (key, value) in map {
            *nodes += 1;
            if *nodes > MAX_NODES {
                return false;
            }
            if key == "." {
                entry.containers.insert(path.clone());
                continue;
            }
            let Some(element) = element(key) else {
                entry.opaque += 1;
                complete = false;
                continue;
            };
            let here = path.child(element);
            match value.as_object() {
                Some(inner) if inner.is_empty() => {
                    entry.fields.insert(here);
                }
                Some(inner) if here.0.len() < MAX_DEPTH => stack.push((here, inner)),
                _ => {
                    // Too deep, or not a set: the owner of the whole node is known all the same.
                    entry.fields.insert(here);
                    complete = false;
                }
            }
        }
    }
    complete
}

const MANAGED_FIELDS: &str = "/metadata/managedFields";

/// Managed fields that are kept as the text they came as, written as the list that the API has.
pub fn unpack(object: &mut Value) {
    if let Some(fields) = object.pointer_mut(MANAGED_FIELDS)
        && let Some(list) = fields
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok())
    {
        *fields = list;
    }
}

impl Managed {
    /// Reads `metadata.managedFields` of an object, a list or the JSON text of one. Hostile input gives fewer facts,
    /// never an error.
    pub fn read(object: &Value) -> Self {
        let mut managed = Managed::default();
        let read: Vec<Value>;
        let list = match object.pointer(MANAGED_FIELDS) {
            Some(Value::Array(list)) => list,
            Some(Value::String(text)) => match serde_json::from_str(text) {
                Ok(list) => {
                    read = list;
                    &read
                }
                Err(_) => {
                    managed.incomplete = true;
                    return managed;
                }
            },
            _ => return managed,
        };
        let mut nodes = 0;
        for item in list {
            let text = |name: &str| item.get(name).and_then(Value::as_str);
            let mut entry = Entry {
                manager: text("manager").unwrap_or_default().to_owned(),
                operation: text("operation").unwrap_or_default().to_owned(),
                subresource: text("subresource")
                    .filter(|s| !s.is_empty())
                    .map(str::to_owned),
                api_version: text("apiVersion").unwrap_or_default().to_owned(),
                time: text("time").and_then(|t| t.parse().ok()),
                fields: BTreeSet::new(),
                containers: BTreeSet::new(),
                opaque: 0,
            };
            match item.get("fieldsV1") {
                Some(Value::Object(fields)) => {
                    managed.incomplete |= !read_fields(fields, &mut entry, &mut nodes);
                }
                None | Some(Value::Null) => {}
                Some(_) => managed.incomplete = true,
            }
            managed.entries.push(entry);
        }
        managed
    }

    /// The entries that own this field, newest first, an entry without time last. Those that name the field outrank
    /// those that own what contains it, and these outrank those that own something inside it.
    pub fn owners(&self, path: &FieldPath) -> Vec<&Entry> {
        let rules: [fn(&Entry, &FieldPath) -> bool; 3] =
            [Entry::names, Entry::owns, Entry::touches];
        let mut owners: Vec<&Entry> = rules
            .iter()
            .map(|owns| {
                self.entries
                    .iter()
                    .filter(|e| owns(e, path))
                    .collect::<Vec<_>>()
            })
            .find(|found| !found.is_empty())
            .unwrap_or_default();
        owners.sort_by_key(|e| std::cmp::Reverse((e.time, e.operation == "Update")));
        owners
    }

    /// The last known writer of this field.
    pub fn writer(&self, path: &FieldPath) -> Option<&Entry> {
        self.owners(path).into_iter().next()
    }

    /// The newest entry of a class.
    pub fn newest(&self, class: ManagerClass) -> Option<&Entry> {
        self.entries
            .iter()
            .filter(|e| e.class() == class && e.time.is_some())
            .max_by_key(|e| e.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn object() -> Value {
        json!({"metadata": {"managedFields": [
            {"manager": "argocd-controller", "operation": "Update", "apiVersion": "v1", "time": "2024-11-12T10:00:00Z",
             "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"app\"}": {".": {}, "f:image": {}, "f:ports": {
                    "k:{\"protocol\":\"TCP\",\"containerPort\":80}": {".": {}, "f:containerPort": {}}}}}},
                "f:selector": {}}}}},
            {"manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1", "time": "2024-11-13T10:00:00Z",
             "fieldsV1": {"f:data": {"f:a.b/c": {}}, "x:what": {}}}
        ]}})
    }

    #[test]
    fn the_writer_of_a_field_has_a_name() {
        let managed = Managed::read(&object());
        let by = |text: &str| {
            managed
                .writer(&text.parse().unwrap())
                .map(|e| e.manager.as_str())
        };
        assert_eq!(by(".data[\"a.b/c\"]"), Some("kubectl-edit"));
        assert_eq!(
            by(".spec.template.spec.containers[name=\"app\"].image"),
            Some("argocd-controller")
        );
        assert_eq!(
            by(
                ".spec.template.spec.containers[name=\"app\"].ports[containerPort=80,protocol=\"TCP\"]"
            ),
            Some("argocd-controller")
        );
        assert_eq!(
            by(".spec.template.spec.containers[name=\"side\"].image"),
            None
        );
        assert_eq!(
            by(".spec.template.selector.x"),
            Some("argocd-controller"),
            "atomic"
        );
        assert_eq!(
            by(".spec.template"),
            Some("argocd-controller"),
            "something inside"
        );
        assert_eq!(by(".data.other"), None);
        assert!(managed.incomplete);
        assert_eq!(managed.entries[1].opaque, 1);
    }

    #[test]
    fn what_is_left_of_an_entry_owns_no_key() {
        let left = json!({"manager": "argocd-controller", "operation": "Update", "time": "2026-01-02T00:00:00Z",
            "fieldsV1": {"f:data": {}}});
        let hand = json!({"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T00:00:00Z",
            "fieldsV1": {"f:data": {"f:a": {}}}});
        let managed = Managed::read(&json!({"metadata": {"managedFields": [left, hand]}}));
        let by = |text: &str| {
            managed
                .writer(&text.parse().unwrap())
                .map(|e| e.manager.as_str())
        };
        assert_eq!((by(".data.a"), by(".data.b")), (Some("kubectl-edit"), None));
    }

    #[test]
    fn a_name_is_read_as_the_table_says() {
        for (manager, sub, class) in [
            ("kubectl-edit", None, ManagerClass::Human),
            ("kubectl-client-side-apply", None, ManagerClass::Human),
            ("kubectl", Some("scale"), ManagerClass::Human),
            ("argocd-controller", None, ManagerClass::Gitops),
            (
                "kube-controller-manager",
                Some("scale"),
                ManagerClass::Controller,
            ),
            ("node-fetch", None, ManagerClass::Unknown),
            ("before-first-apply", None, ManagerClass::Unknown),
        ] {
            assert_eq!(classify(manager, "Update", sub), class, "{manager}");
        }
    }

    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!({})),
            any::<String>().prop_map(Value::from),
            Just(Value::Null)
        ];
        let key = prop_oneof![
            "[fkvi.]:?.{0,6}",
            Just(".".to_owned()),
            Just("k:{\"a\":1}".to_owned()),
            Just("v:{}".to_owned())
        ];
        leaf.prop_recursive(6, 64, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec((key.clone(), inner.clone()), 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
                proptest::collection::vec(inner, 0..3).prop_map(Value::Array),
            ]
        })
    }

    proptest! {
        #[test]
        fn hostile_fields_are_read_as_far_as_they_go(fields in anything()) {
            let entry = json!({"manager": "m", "operation": "Update", "time": "x", "fieldsV1": fields});
            let managed = Managed::read(&json!({"metadata": {"managedFields": [entry, 1, null]}}));
            prop_assert_eq!(managed.entries.len(), 3);
            managed.writer(&FieldPath::keys(["data"]));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let mut fields = json!({});
        for _ in 0..100 {
            fields = json!({"f:a": fields});
        }
        let managed =
            Managed::read(&json!({"metadata": {"managedFields": [{"fieldsV1": fields}]}}));
        assert!(managed.incomplete);
        assert_eq!(
            managed.entries[0].fields.iter().next().unwrap().0.len(),
            MAX_DEPTH
        );
    }
}
