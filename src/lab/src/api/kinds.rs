//! The kinds that are served: a table of built-in ones, and those that stored CustomResourceDefinitions add.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use super::schema::{self, Node};

/// One served resource.
#[derive(Debug)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// `status`, `scale`, `token`.
    pub subresources: Vec<String>,
    pub shape: Arc<Node>,
    /// The `openAPIV3Schema` of a custom kind.
    pub custom: Option<Value>,
    /// `additionalPrinterColumns` of a custom kind.
    pub columns: Vec<Value>,
}

impl Resource {
    /// `plural.group`, or the bare plural in the core group: the name errors and RBAC use.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub fn has_status(&self) -> bool {
        self.subresources.iter().any(|s| s == "status")
    }

    pub fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    pub fn verbs(&self) -> &'static [&'static str] {
        if self.plural.starts_with("selfsubject") || self.plural.starts_with("subjectaccess") {
            &["create"]
        } else {
            &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ]
        }
    }
}

/// `group version kind plural shortNames scope subresources categories`; `-` for none.
const TABLE: &str = "
core v1 Namespace namespaces ns cluster status -
core v1 ConfigMap configmaps cm namespaced - -
core v1 Secret secrets - namespaced - -
core v1 Service services svc namespaced status all
core v1 ServiceAccount serviceaccounts sa namespaced token -
core v1 Pod pods po namespaced status all
core v1 Event events ev namespaced - -
core v1 Endpoints endpoints ep namespaced - -
apps v1 Deployment deployments deploy namespaced status,scale all
apps v1 ReplicaSet replicasets rs namespaced status,scale all
apps v1 StatefulSet statefulsets sts namespaced status,scale all
apps v1 DaemonSet daemonsets ds namespaced status all
batch v1 Job jobs - namespaced status all
batch v1 CronJob cronjobs cj namespaced status all
autoscaling v2 HorizontalPodAutoscaler horizontalpodautoscalers hpa namespaced status all
coordination.k8s.io v1 Lease leases - namespaced - -
rbac.authorization.k8s.io v1 Role roles - namespaced - -
rbac.authorization.k8s.io v1 RoleBinding rolebindings - namespaced - -
rbac.authorization.k8s.io v1 ClusterRole clusterroles - cluster - -
rbac.authorization.k8s.io v1 ClusterRoleBinding clusterrolebindings - cluster - -
apiextensions.k8s.io v1 CustomResourceDefinition customresourcedefinitions crd,crds cluster status api-extensions
authorization.k8s.io v1 SelfSubjectAccessReview selfsubjectaccessreviews - cluster - -
authorization.k8s.io v1 SelfSubjectRulesReview selfsubjectrulesreviews - cluster - -
authentication.k8s.io v1 SelfSubjectReview selfsubjectreviews - cluster - -
";

static BUILTIN: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(|| {
    let list = |text: &str| {
        if text == "-" {
            Vec::new()
        } else {
            text.split(',').map(str::to_owned).collect()
        }
    };
    TABLE
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let column: Vec<&str> = line.split_whitespace().collect();
            Arc::new(Resource {
                group: if column[0] == "core" {
                    String::new()
                } else {
                    column[0].to_owned()
                },
                version: column[1].to_owned(),
                kind: column[2].to_owned(),
                plural: column[3].to_owned(),
                singular: column[2].to_lowercase(),
                short_names: list(column[4]),
                namespaced: column[5] == "namespaced",
                subresources: list(column[6]),
                categories: list(column[7]),
                shape: schema::builtin(column[2]),
                custom: None,
                columns: Vec::new(),
            })
        })
        .collect()
});

/// Everything served at a moment; rebuilt when a CRD changes.
#[derive(Debug, Clone)]
pub struct Kinds {
    all: Vec<Arc<Resource>>,
}

impl Default for Kinds {
    fn default() -> Self {
        Self {
            all: BUILTIN.clone(),
        }
    }
}

impl Kinds {
    /// The built-in kinds and those of these CRDs.
    pub fn with_definitions<'a>(definitions: impl Iterator<Item = &'a Value>) -> Self {
        let mut all = BUILTIN.clone();
        for definition in definitions {
            all.extend(from_definition(definition).into_iter().map(Arc::new));
        }
        Self { all }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.all.iter()
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.all
            .iter()
            .find(|r| r.group == group && r.version == version && r.plural == plural)
            .cloned()
    }

    /// Any served version of a resource.
    pub fn by_plural(&self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        self.all
            .iter()
            .find(|r| r.group == group && r.plural == plural)
            .cloned()
    }

    /// Groups (core excluded) with their versions, in table order.
    pub fn groups(&self) -> Vec<(String, Vec<String>)> {
        let mut order: Vec<String> = Vec::new();
        let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for resource in self.all.iter().filter(|r| !r.group.is_empty()) {
            if !order.contains(&resource.group) {
                order.push(resource.group.clone());
            }
            let list = versions.entry(resource.group.clone()).or_default();
            if !list.contains(&resource.version) {
                list.push(resource.version.clone());
            }
        }
        order
            .into_iter()
            .map(|group| (group.clone(), versions.remove(&group).unwrap_or_default()))
            .collect()
    }
}

fn from_definition(definition: &Value) -> Vec<Resource> {
    let text = |pointer: &str| {
        definition
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let list = |pointer: &str| -> Vec<String> {
        let items = definition.pointer(pointer).and_then(Value::as_array);
        items
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let kind = text("/spec/names/kind");
    let singular = text("/spec/names/singular");
    let mut out = Vec::new();
    for version in definition
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if version.get("served") != Some(&Value::Bool(true)) {
            continue;
        }
        let open_api = version
            .pointer("/schema/openAPIV3Schema")
            .cloned()
            .unwrap_or_else(|| json!({"type": "object"}));
        let subresources = version.get("subresources").and_then(Value::as_object);
        out.push(Resource {
            group: text("/spec/group"),
            version: version
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned(),
            plural: text("/spec/names/plural"),
            singular: if singular.is_empty() {
                kind.to_lowercase()
            } else {
                singular.clone()
            },
            kind: kind.clone(),
            short_names: list("/spec/names/shortNames"),
            categories: list("/spec/names/categories"),
            namespaced: text("/spec/scope") == "Namespaced",
            subresources: subresources
                .into_iter()
                .flat_map(|s| s.keys().cloned())
                .collect(),
            shape: schema::custom(&open_api),
            custom: Some(open_api),
            columns: version
                .get("additionalPrinterColumns")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
        });
    }
    out
}
