//! What the API server says of itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use trueup_core::{
    object::{
        defaults,
        diff::diff,
        listkeys::{Merge, is_builtin, merge_at, patch_keys},
        managed::{Managed, ManagerClass},
        normalise::strip,
        path::{Element, FieldPath},
    },
    source::yaml,
};
use trueup_lab::cluster::{Cluster, Gvk, Ref};

use super::{DEADLINE, Real, folder, list};

/// Every list and map of the kinds that are known, against the server's own description of them.
pub fn lists_and_maps_are_merged_as_the_server_says(real: &Real) -> Vec<String> {
    let api = real.json(&["get", "--raw", "/openapi/v2"], &Value::Null);
    let definitions = api["definitions"].as_object().unwrap();
    // The newest of several versions is the one that is asked for.
    let mut kinds: BTreeMap<(&str, &str), (u8, &Value)> = BTreeMap::new();
    for definition in definitions.values() {
        let gvks = definition["x-kubernetes-group-version-kind"].as_array();
        for gvk in gvks.into_iter().flatten() {
            let [group, version, kind] =
                ["group", "version", "kind"].map(|key| gvk[key].as_str().unwrap_or_default());
            let ours = !group.contains('.') || group.ends_with(".k8s.io");
            let stable = version.trim_start_matches('v').parse().ok();
            if let (Some(version), true) = (stable, ours && is_builtin(kind)) {
                let known = kinds.entry((group, kind)).or_insert((version, definition));
                if version > known.0 {
                    *known = (version, definition);
                }
            }
        }
    }
    let (mut wrong, mut looked) = (BTreeSet::new(), 0);
    for ((_, kind), (_, definition)) in &kinds {
        let mut nodes = vec![(FieldPath::root(), *definition)];
        while let Some((path, node)) = nodes.pop() {
            let node = Described::of(node, definitions);
            let said = merge_at(kind, &path);
            looked += 1;
            let names = path.schema_names();
            // What nobody decides about: the status, and whom things belong to.
            let beside =
                names.contains(&"status") || (names.len() > 1 && names.contains(&"metadata"));
            let is = node.otherwise(kind, &path, said);
            if let Some(is) = is.filter(|_| !beside) {
                wrong.insert(format!("{kind} {path}: it is {is}, and {said:?} is said"));
            }
            nodes.extend(node.inside(&path));
        }
    }
    println!("{} kinds, {looked} places", kinds.len());
    assert!(kinds.len() > 20 && looked > 1_000);
    wrong.into_iter().collect()
}

/// A place in the description of a kind.
struct Described<'a> {
    node: &'a Value,
    /// A map that is decided as a whole.
    atomic: bool,
    /// The keys of a list of maps.
    keys: Vec<&'a str>,
}

impl<'a> Described<'a> {
    /// A node says itself how it is merged, or what it refers to does.
    fn of(mut node: &'a Value, definitions: &'a serde_json::Map<String, Value>) -> Self {
        let mut atomic = node["x-kubernetes-map-type"] == "atomic";
        while let Some(name) = node["$ref"].as_str() {
            node = &definitions[name.trim_start_matches("#/definitions/")];
            atomic |= node["x-kubernetes-map-type"] == "atomic";
        }
        let keys = node["x-kubernetes-list-map-keys"].as_array();
        let keys = keys.into_iter().flatten().filter_map(Value::as_str);
        Self {
            node,
            atomic,
            keys: keys.collect(),
        }
    }

    /// What it is, where something else is said.
    fn otherwise(&self, kind: &str, path: &FieldPath, said: Merge) -> Option<String> {
        let node = self.node;
        if node["type"] != "array" {
            // The object itself is no place that is decided about, and of an item it is its list.
            let field = matches!(path.0.last(), Some(Element::Key(_)));
            let object = node["type"] == "object" && field;
            return (object && (said == Merge::Atomic) != self.atomic).then(|| match self.atomic {
                true => "atomic".to_owned(),
                false => "granular".to_owned(),
            });
        }
        let patched = node["x-kubernetes-patch-strategy"].as_str();
        let patched = patched.is_some_and(|how| how.contains("merge"));
        let key = node["x-kubernetes-patch-merge-key"].as_str();
        let key = key.filter(|_| patched);
        if key.is_some() && patch_keys(kind, path) != key {
            return key.map(|key| format!("patched by {key}"));
        }
        match (node["x-kubernetes-list-type"].as_str(), said) {
            (Some("map"), Merge::Keyed(said)) if said == self.keys => None,
            (Some("map"), _) => Some(format!("a map by {:?}", self.keys)),
            (Some("set"), Merge::Set) => None,
            (Some("set"), _) => Some("a set".to_owned()),
            (_, Merge::Atomic | Merge::Granular) => None,
            _ => Some("an atomic list".to_owned()),
        }
    }

    /// What is inside, unless it is decided with the whole.
    fn inside(&self, path: &FieldPath) -> Vec<(FieldPath, &'a Value)> {
        if self.node["type"] == "array" {
            if self.node["x-kubernetes-list-type"] != "map" {
                return Vec::new();
            }
            let keys = self.keys.iter();
            let item = keys.map(|key| ((*key).to_owned(), json!("x"))).collect();
            return vec![(path.child(Element::Item(item)), &self.node["items"])];
        }
        let fields = self.node["properties"].as_object();
        let fields = fields.filter(|_| !self.atomic).into_iter().flatten();
        fields
            .map(|(name, field)| (path.key(name), field))
            .collect()
    }
}

/// Objects with as little as possible in them, created as a trial.
pub fn the_server_fills_in_the_defaults_that_are_known(real: &Real) -> Vec<String> {
    let text = fs::read_to_string(folder("defaults.yaml")).unwrap();
    let bare = yaml::parse(&text).unwrap().values().unwrap();
    let arguments = ["create", "--dry-run=server", "-o", "json"];
    let made = real.ask(&arguments, &list(&bare)).unwrap();
    // One after the other, and no list.
    let made = serde_json::Deserializer::from_str(&made).into_iter();
    let made: Vec<Value> = made.collect::<Result<_, _>>().unwrap();
    assert_eq!(made.len(), bare.len());
    let mut wrong = Vec::new();
    for (bare, made) in bare.iter().zip(&made) {
        let kind = bare["kind"].as_str().unwrap();
        let mut bare = bare.clone();
        if let Some(namespace) = made["metadata"].get("namespace") {
            bare["metadata"]["namespace"] = namespace.clone();
        }
        let (filled, made) = (strip(&defaults::fill(&bare)).object, strip(made).object);
        for change in diff(&filled, &made, kind) {
            if !defaults::is_allocated(kind, &change.path.schema_names()) {
                wrong.push(format!(
                    "{kind} {} {}: {:?} is said, it is {:?}",
                    bare["metadata"]["name"], change.path, change.from, change.to
                ));
            }
        }
    }
    wrong
}

/// The server keeps ten who updated; of those before them, nobody can be named. Of an object that was created with nothing in it nobody is kept.
pub fn many_writers_become_one_of_whom_nothing_is_known(real: &Real) -> Vec<String> {
    let made = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "written", "namespace": "default"}, "data": {"made": "1"}});
    real.ask(&["create", "--field-manager=kubectl-create"], &made)
        .unwrap();
    for n in 0..14 {
        if n == 13 {
            // The oldest are folded together, and their age is told in whole seconds: within one second the names decide.
            std::thread::sleep(Duration::from_millis(1_100));
        }
        let data = json!({"data": {format!("k{n}"): "1"}}).to_string();
        let manager = format!("--field-manager=kubectl-{n}");
        let patch = ["patch", "configmap", "written", "--type=merge", "-p", &data];
        real.ask(&[&patch[..], &[&manager]].concat(), &Value::Null)
            .unwrap();
    }
    let written = "/api/v1/namespaces/default/configmaps/written";
    let live = real.json(&["get", "--raw", written], &Value::Null);
    let managed = Managed::read(&live);
    let mut wrong = Vec::new();
    for (key, class) in [("k0", ManagerClass::Unknown), ("k13", ManagerClass::Human)] {
        let writer = managed.writer(&FieldPath::keys(["data", key]));
        if writer.map(|writer| writer.class()) != Some(class) {
            let by = writer.map(|writer| &writer.manager);
            wrong.push(format!("{key} was written by {by:?}"));
        }
    }
    wrong
}

/// Until it has read the roles. A refusal that comes within five seconds of a good answer is not believed; nothing that was allowed is refused once
/// it is allowed again.
pub fn a_server_that_has_just_been_started_refuses_everything_for_a_moment(
    real: &Real,
) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let kubeconfig = fs::read_to_string(real.lab.text("kubeconfig")).unwrap();
    let cluster = runtime
        .block_on(Cluster::connect(&kubeconfig, Some("operator"), "trueup"))
        .unwrap();
    let one = Ref::new(Gvk::application(), "argocd", "auth-service");
    let answer = || match runtime.block_on(cluster.get(&one)) {
        Ok(Some(_)) => 200,
        Ok(None) => 404,
        Err(error) => error.code(),
    };
    assert_eq!(answer(), 200);
    real.lab.component("kill", "kube-apiserver");
    let mut answers: Vec<(Duration, u16)> = Vec::new();
    std::thread::scope(|scope| {
        let started = scope.spawn(|| real.lab.component("start", "kube-apiserver"));
        let began = Instant::now();
        let good = |answers: &[(Duration, u16)]| {
            answers
                .iter()
                .rev()
                .take_while(|(_, code)| *code == 200)
                .count()
        };
        while !started.is_finished() || good(&answers) < 50 {
            assert!(began.elapsed() < DEADLINE, "{answers:?}");
            answers.push((began.elapsed(), answer()));
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut told: Vec<(Duration, u16)> = Vec::new();
    for one in &answers {
        if told.last().is_none_or(|(_, code)| *code != one.1) {
            told.push(*one);
        }
    }
    println!("{told:?}");
    let first = |code: u16| {
        answers
            .iter()
            .find(|(_, one)| *one == code)
            .map(|(at, _)| *at)
    };
    let last = |code: u16| {
        answers
            .iter()
            .rfind(|(_, one)| *one == code)
            .map(|(at, _)| *at)
    };
    let mut wrong = Vec::new();
    if let (Some(from), Some(to), Some(good)) = (first(403), last(403), first(200)) {
        if to - from > Duration::from_secs(5) {
            wrong.push(format!("it refused for {:?}", to - from));
        }
        if good < to {
            wrong.push(format!("it refused after it had answered: {told:?}"));
        }
    }
    if answers.iter().any(|(_, code)| *code == 401 || *code == 404) {
        wrong.push(format!(
            "it said that there is nobody, or nothing: {told:?}"
        ));
    }
    wrong
}
