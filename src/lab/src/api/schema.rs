//! What the server knows of an object's shape: which lists are keyed, which nodes are atomic, what is a struct and what a map.
//!
//! Built-in kinds are written in the small table language of `BUILTIN` (facts machine-read from the upstream structured-merge
//! schema); custom kinds are read from their CRD's `openAPIV3Schema`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use serde_json::Value;

/// How children of a node relate to each other when two writers meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Named fields; a field not named is deduced from its value.
    Struct,
    /// Any keys, one shape for all values; each key is owned by itself.
    Map,
    /// One owner for everything below.
    Atomic,
    /// A list whose items are identified by these fields; the first one is also strategic merge's key.
    Keyed(Vec<String>),
    /// A list of distinct scalars.
    Set,
    /// Decide by looking at the value: objects are structs (or maps, below free-form data), lists are atomic.
    Deduced { free_form: bool },
}

/// One node of a shape tree.
#[derive(Debug, Clone)]
pub struct Node {
    pub rule: Rule,
    pub fields: BTreeMap<String, Arc<Node>>,
    pub item: Option<Arc<Node>>,
    /// Strategic merge drops fields absent from the patch when it carries `$retainKeys`.
    pub retain_keys: bool,
}

static DEDUCED: LazyLock<Arc<Node>> =
    LazyLock::new(|| Arc::new(Node::plain(Rule::Deduced { free_form: false })));
static FREE_FORM: LazyLock<Arc<Node>> =
    LazyLock::new(|| Arc::new(Node::plain(Rule::Deduced { free_form: true })));

impl Node {
    fn plain(rule: Rule) -> Self {
        Self {
            rule,
            fields: BTreeMap::new(),
            item: None,
            retain_keys: false,
        }
    }

    /// The shape of the field `name`, and whether it is a named field of a struct rather than a key of a map.
    pub fn field(&self, name: &str) -> (Arc<Node>, bool) {
        if let Some(node) = self.fields.get(name) {
            return (node.clone(), true);
        }
        match &self.rule {
            Rule::Map => (
                self.item.clone().unwrap_or_else(|| FREE_FORM.clone()),
                false,
            ),
            Rule::Deduced { free_form: true } => (FREE_FORM.clone(), false),
            _ => (DEDUCED.clone(), true),
        }
    }

    /// The shape of a list item.
    pub fn item(&self) -> Arc<Node> {
        self.item.clone().unwrap_or_else(|| match self.rule {
            Rule::Deduced { free_form: true } => FREE_FORM.clone(),
            _ => DEDUCED.clone(),
        })
    }

    /// True when the whole value is one leaf for ownership.
    pub fn is_leaf(&self, value: &Value) -> bool {
        match value {
            Value::Object(_) => self.rule == Rule::Atomic,
            Value::Array(_) => !matches!(self.rule, Rule::Keyed(_) | Rule::Set),
            _ => true,
        }
    }

    /// The list of key fields when items are identified by content.
    pub fn keys(&self) -> Option<&[String]> {
        match &self.rule {
            Rule::Keyed(keys) => Some(keys),
            _ => None,
        }
    }
}

/// Shapes of the built-in kinds. One type a line: `Type: field=shape …`. Shapes: `map` (granular map), `atomic`, `set`, `Type`,
/// `Type!` (retainKeys), `[key,key]Type` (keyed list), `[]Type` (atomic list whose items have this type).
const BUILTIN: &str = "
ObjectMeta: labels=map annotations=map finalizers=set ownerReferences=[uid]-
ConfigMap: metadata=ObjectMeta data=map binaryData=map
Secret: metadata=ObjectMeta data=map stringData=map
Namespace: metadata=ObjectMeta spec=NamespaceSpec status=Conditions
NamespaceSpec: finalizers=atomic
Conditions: conditions=[type]-
ServiceAccount: metadata=ObjectMeta secrets=[name]- imagePullSecrets=atomic
Service: metadata=ObjectMeta spec=ServiceSpec status=ServiceStatus
ServiceSpec: ports=[port,protocol]- selector=atomic externalIPs=atomic clusterIPs=atomic ipFamilies=atomic
ServiceStatus: conditions=[type]- loadBalancer=-
Endpoints: metadata=ObjectMeta subsets=atomic
Event: metadata=ObjectMeta involvedObject=atomic source=- related=atomic
Lease: metadata=ObjectMeta
Role: metadata=ObjectMeta rules=atomic
ClusterRole: metadata=ObjectMeta rules=atomic
RoleBinding: metadata=ObjectMeta subjects=atomic roleRef=atomic
ClusterRoleBinding: metadata=ObjectMeta subjects=atomic roleRef=atomic
CustomResourceDefinition: metadata=ObjectMeta spec=CrdSpec status=Conditions
CrdSpec: versions=atomic names=CrdNames
CrdNames: shortNames=atomic categories=atomic
Pod: metadata=ObjectMeta spec=PodSpec status=PodStatus
PodStatus: conditions=[type]- podIPs=[ip]- hostIPs=atomic containerStatuses=atomic
Deployment: metadata=ObjectMeta spec=DeploymentSpec status=Conditions
DeploymentSpec: selector=atomic template=PodTemplate strategy=-!
ReplicaSet: metadata=ObjectMeta spec=ReplicaSetSpec status=Conditions
ReplicaSetSpec: selector=atomic template=PodTemplate
StatefulSet: metadata=ObjectMeta spec=StatefulSetSpec status=Conditions
StatefulSetSpec: selector=atomic template=PodTemplate volumeClaimTemplates=atomic
DaemonSet: metadata=ObjectMeta spec=DaemonSetSpec status=Conditions
DaemonSetSpec: selector=atomic template=PodTemplate
Job: metadata=ObjectMeta spec=JobSpec status=-
JobSpec: selector=atomic template=PodTemplate
CronJob: metadata=ObjectMeta spec=CronJobSpec status=-
CronJobSpec: jobTemplate=JobTemplate
JobTemplate: metadata=ObjectMeta spec=JobSpec
PodTemplate: metadata=ObjectMeta spec=PodSpec
PodSpec: containers=[name]Container initContainers=[name]Container ephemeralContainers=[name]Container volumes=[name]Volume! imagePullSecrets=[name]- hostAliases=[ip]- topologySpreadConstraints=[topologyKey,whenUnsatisfiable]- nodeSelector=atomic affinity=Affinity
Affinity: nodeAffinity=- podAffinity=- podAntiAffinity=-
Container: env=[name]EnvVar ports=[containerPort,protocol]- volumeMounts=[mountPath]- volumeDevices=[devicePath]- resources=Resources
Resources: limits=map requests=map claims=[name]-
EnvVar: valueFrom=EnvVarSource
EnvVarSource: configMapKeyRef=atomic secretKeyRef=atomic fieldRef=atomic resourceFieldRef=atomic
Volume: configMap=- secret=- emptyDir=- projected=- hostPath=-
HorizontalPodAutoscaler: metadata=ObjectMeta spec=HpaSpec status=Conditions
HpaSpec: metrics=atomic
Scale: metadata=ObjectMeta
";

static TYPES: LazyLock<HashMap<&'static str, Arc<Node>>> = LazyLock::new(|| {
    let lines: HashMap<&str, &str> = BUILTIN
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, fields)| (name.trim(), fields))
        .collect();
    let mut built = HashMap::new();
    for name in lines.keys() {
        build(name, &lines, &mut built);
    }
    built
});

fn build(
    name: &'static str,
    lines: &HashMap<&'static str, &'static str>,
    built: &mut HashMap<&'static str, Arc<Node>>,
) -> Arc<Node> {
    if let Some(node) = built.get(name) {
        return node.clone();
    }
    let mut node = Node::plain(Rule::Struct);
    for entry in lines
        .get(name)
        .expect("the table names only types it has")
        .split_whitespace()
    {
        let (field, shape) = entry
            .split_once('=')
            .expect("an entry of the table is field=shape");
        let retain_keys = shape.ends_with('!');
        let shape = shape.trim_end_matches('!');
        let child = match shape {
            "map" => Node::plain(Rule::Map),
            "atomic" => Node::plain(Rule::Atomic),
            "set" => Node::plain(Rule::Set),
            "-" => Node::plain(Rule::Struct),
            list if list.starts_with('[') => {
                let (keys, item) = list[1..]
                    .split_once(']')
                    .expect("a keyed list closes its bracket");
                let mut item = if item == "-" {
                    Node::plain(Rule::Struct)
                } else {
                    (*build(item, lines, built)).clone()
                };
                item.retain_keys = retain_keys;
                let mut node =
                    Node::plain(Rule::Keyed(keys.split(',').map(str::to_owned).collect()));
                node.item = Some(Arc::new(item));
                node
            }
            named => (*build(named, lines, built)).clone(),
        };
        let mut child = child;
        if !matches!(child.rule, Rule::Keyed(_)) {
            child.retain_keys = retain_keys;
        }
        node.fields.insert(field.to_owned(), Arc::new(child));
    }
    let node = Arc::new(node);
    built.insert(name, node.clone());
    node
}

/// The shape of a built-in kind; an unlisted kind is deduced below standard metadata.
pub fn builtin(kind: &str) -> Arc<Node> {
    TYPES.get(kind).cloned().unwrap_or_else(|| {
        let mut node = Node::plain(Rule::Struct);
        node.fields
            .insert("metadata".into(), TYPES["ObjectMeta"].clone());
        Arc::new(node)
    })
}

/// The shape of a custom kind from its version's `openAPIV3Schema`.
pub fn custom(open_api: &Value) -> Arc<Node> {
    let mut node = from_open_api(open_api);
    node.fields
        .insert("metadata".into(), TYPES["ObjectMeta"].clone());
    Arc::new(node)
}

fn from_open_api(schema: &Value) -> Node {
    let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or("");
    match text("type") {
        "array" => {
            let rule = match text("x-kubernetes-list-type") {
                "map" => {
                    let keys = schema
                        .get("x-kubernetes-list-map-keys")
                        .and_then(Value::as_array);
                    Rule::Keyed(
                        keys.into_iter()
                            .flatten()
                            .filter_map(Value::as_str)
                            .map(str::to_owned)
                            .collect(),
                    )
                }
                "set" => Rule::Set,
                _ => Rule::Atomic,
            };
            let mut node = Node::plain(rule);
            node.item = schema
                .get("items")
                .map(|item| Arc::new(from_open_api(item)));
            node
        }
        "object" | "" if schema.is_object() => {
            if text("x-kubernetes-map-type") == "atomic" {
                return Node::plain(Rule::Atomic);
            }
            if let Some(values @ Value::Object(_)) = schema.get("additionalProperties") {
                let mut node = Node::plain(Rule::Map);
                node.item = Some(Arc::new(from_open_api(values)));
                return node;
            }
            let free =
                schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            let mut node = Node::plain(if free {
                Rule::Deduced { free_form: true }
            } else {
                Rule::Struct
            });
            if let Some(Value::Object(properties)) = schema.get("properties") {
                node.fields = properties
                    .iter()
                    .map(|(name, s)| (name.clone(), Arc::new(from_open_api(s))))
                    .collect();
            }
            node
        }
        _ => Node::plain(Rule::Deduced { free_form: false }),
    }
}
