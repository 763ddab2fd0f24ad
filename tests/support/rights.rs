//! Rights as sets: what roles grant, and what an audit log says was used.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;
use trueup_core::source::yaml;

/// One verb on one resource in one place, under one name or any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub verb: String,
    pub group: String,
    /// With its subresource after a slash.
    pub resource: String,
    /// Empty: the whole cluster.
    pub namespace: String,
    /// Empty: any.
    pub name: String,
}

impl std::fmt::Display for Right {
    /// As `trueup doctor` writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.name.is_empty() {
            write!(f, "/{}", self.name)?;
        }
        if !self.namespace.is_empty() {
            write!(f, " in {}", self.namespace)?;
        }
        Ok(())
    }
}

fn words(rule: &Value, part: &str) -> Vec<String> {
    let words = rule[part].as_array().into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What a rule grants in a namespace.
pub fn of_rule(rule: &Value, namespace: &str) -> BTreeSet<Right> {
    let mut names = words(rule, "resourceNames");
    if names.is_empty() {
        names.push(String::new());
    }
    let mut rights = BTreeSet::new();
    for group in words(rule, "apiGroups") {
        for resource in words(rule, "resources") {
            for verb in words(rule, "verbs") {
                for name in &names {
                    rights.insert(Right {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        namespace: namespace.to_owned(),
                        name: name.clone(),
                    });
                }
            }
        }
    }
    rights
}

/// What the rules of a role grant, where it stands.
pub fn of_role(role: &Value) -> BTreeSet<Right> {
    let namespace = role["metadata"]["namespace"].as_str().unwrap_or_default();
    let rules = role["rules"].as_array().into_iter().flatten();
    rules.flat_map(|rule| of_rule(rule, namespace)).collect()
}

/// The roles of these manifests that a ServiceAccount is bound to.
pub fn bound<'a>(manifests: &'a [Value], account: &str) -> Vec<&'a Value> {
    let is = |manifest: &Value, kinds: [&str; 2]| {
        manifest["kind"]
            .as_str()
            .is_some_and(|kind| kinds.contains(&kind))
    };
    let to_account = |binding: &&Value| {
        let subjects = binding["subjects"].as_array().into_iter().flatten();
        is(binding, ["RoleBinding", "ClusterRoleBinding"])
            && subjects
                .into_iter()
                .any(|subject| subject["name"] == account)
    };
    manifests
        .iter()
        .filter(to_account)
        .map(|binding| {
            let role = manifests.iter().find(|role| {
                is(role, ["Role", "ClusterRole"])
                    && role["kind"] == binding["roleRef"]["kind"]
                    && role["metadata"]["name"] == binding["roleRef"]["name"]
                    && role["metadata"]["namespace"] == binding["metadata"]["namespace"]
            });
            role.unwrap_or_else(|| panic!("no role for {binding}"))
        })
        .collect()
}

/// The documents of a file of manifests.
pub fn manifests(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let tree = yaml::parse(&text).unwrap();
    tree.values().unwrap()
}

/// What the operator of inc-441 may do.
pub fn operator() -> BTreeSet<Right> {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
    let access = manifests(&assets.join("scenarios/inc-441/access.yaml"));
    bound(&access, "operator")
        .into_iter()
        .flat_map(of_role)
        .collect()
}

/// What the log says of one person's requests, made by one program.
#[derive(Debug, Default)]
pub struct Used {
    /// Granted rights that a request needed.
    pub used: BTreeSet<Right>,
    /// Requests that were let through and that none of the rights covers, with how often.
    pub beyond: BTreeMap<Right, usize>,
    /// Requests that were refused, with how often.
    pub refused: BTreeMap<Right, usize>,
}

/// Sorts the requests of a log. What every user may do by `system:basic-user` and `system:discovery` is left out.
pub fn used(log: &str, account: &str, agent: &str, granted: &BTreeSet<Right>) -> Used {
    let mut all = Used::default();
    for line in log.lines() {
        let Ok(entry) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let text = |pointer: &str| {
            let value = entry.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let ours = text("/user/username").ends_with(&format!(":{account}"))
            && text("/userAgent").starts_with(agent);
        let group = text("/objectRef/apiGroup");
        if !ours || entry.get("objectRef").is_none() || group == "authorization.k8s.io" {
            continue;
        }
        let resource = match text("/objectRef/subresource") {
            part if part.is_empty() => text("/objectRef/resource"),
            part => format!("{}/{part}", text("/objectRef/resource")),
        };
        // A namespace is in no namespace, whatever the log says.
        let namespace = match resource.as_str() {
            "namespaces" => String::new(),
            _ => text("/objectRef/namespace"),
        };
        let asked = Right {
            verb: text("/verb"),
            group,
            resource,
            namespace,
            name: text("/objectRef/name"),
        };
        let unnamed = Right {
            name: String::new(),
            ..asked.clone()
        };
        if entry["responseStatus"]["code"] == 403 {
            *all.refused.entry(asked).or_default() += 1;
        } else if granted.contains(&asked) {
            all.used.insert(asked);
        } else if granted.contains(&unnamed) {
            all.used.insert(unnamed);
        } else {
            *all.beyond.entry(asked).or_default() += 1;
        }
    }
    all
}
