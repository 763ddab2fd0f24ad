//! `trueup doctor --roles`: what the walk needs as Kubernetes roles, to be looked at and given to `kubectl apply`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde_json::{Value, json};

use super::output;
use crate::engine::read::{Need, Role};
use crate::settings::Output;

const GROUP: &str = "rbac.authorization.k8s.io/v1";

/// In the order in which people write them.
const VERBS: [&str; 7] = [
    "get", "list", "watch", "create", "update", "patch", "delete",
];

const HEAD: &str = "\
# What trueup needs for these Applications, as they are now. Bind each role to the people on call:
#   kubectl create rolebinding -n NAMESPACE trueup-observe --role=trueup-observe --group=GROUP
#   kubectl create clusterrolebinding trueup-sweep --clusterrole=trueup-sweep --group=GROUP
# To look, and to get as far as a branch for somebody else to merge: observe and sweep.
# To ask permissions and to find kinds, every user has system:basic-user and system:discovery.
";

/// The shipped role that grants a need, as it is called on a cluster.
pub fn name(role: Role) -> &'static str {
    match role {
        Role::Observe => "trueup-observe",
        Role::Sweep => "trueup-sweep",
        Role::Secrets => "trueup-secrets",
        Role::Predict => "trueup-predict",
        Role::Whole => "trueup-whole",
        Role::Argo => "trueup-argo",
        Role::Lease => "trueup-lease",
    }
}

fn about(role: Role) -> &'static str {
    match role {
        Role::Observe => "Looking.",
        Role::Sweep => "Looking at what belongs to the whole cluster.",
        Role::Secrets => {
            "Looking at Secrets. Only digests of the values are kept, but who has this role can read them."
        }
        Role::Predict => {
            "Predicting a sync by dry run, and live actions. RBAC has no right to dry runs alone: who has this role can write."
        }
        Role::Whole => {
            "Objects as a whole: a dry run of what a sync creates, and deleting what was decided to go. Who has this role can do both."
        }
        Role::Argo => "Freezing, asking Argo CD to compare now, syncing, thawing.",
        Role::Lease => "One operator at a time: one Lease an incident.",
    }
}

/// Places in [`VERBS`].
type Verbs = BTreeSet<usize>;

/// One role on one cluster.
struct Made {
    context: String,
    role: Role,
    object: Value,
}

fn made<'a>(needs: impl Iterator<Item = &'a Need>) -> Vec<Made> {
    let mut by_role: BTreeMap<(&str, Role, Option<&str>), Vec<&Need>> = BTreeMap::new();
    for need in needs {
        let place = need.permission.namespace.as_deref();
        by_role
            .entry((&need.context, need.role, place))
            .or_default()
            .push(need);
    }
    by_role
        .into_iter()
        .map(|((context, role, namespace), needs)| {
            let metadata = match namespace {
                Some(namespace) => json!({"name": name(role), "namespace": namespace}),
                None => json!({"name": name(role)}),
            };
            let kind = namespace.map_or("ClusterRole", |_| "Role");
            Made {
                context: context.to_owned(),
                role,
                object: json!({
                    "apiVersion": GROUP,
                    "kind": kind,
                    "metadata": metadata,
                    "rules": rules(&needs),
                }),
            }
        })
        .collect()
}

/// The fewest rules that grant exactly these: one verb set a rule.
fn rules(needs: &[&Need]) -> Vec<Value> {
    // What is granted on one resource under one name, or under any.
    let mut verbs: BTreeMap<(&str, String, Option<&str>), Verbs> = BTreeMap::new();
    for need in needs {
        let permission = &need.permission;
        let resource = match &permission.subresource {
            Some(part) => format!("{}/{part}", permission.resource),
            None => permission.resource.clone(),
        };
        let verb = VERBS.iter().position(|verb| *verb == permission.verb);
        verbs
            .entry((&permission.group, resource, permission.name.as_deref()))
            .or_default()
            .extend(verb);
    }
    // Names that are granted the same on the same resource, then resources with the same names.
    let mut names: BTreeMap<(&str, String, Verbs), BTreeSet<&str>> = BTreeMap::new();
    for ((group, resource, name), verbs) in verbs {
        // An unnamed grant is a rule of its own: an empty list of names.
        let key = (group, resource, verbs);
        match name {
            Some(name) => {
                names.entry(key).or_default().insert(name);
            }
            None => {
                names.insert(key, BTreeSet::new());
            }
        }
    }
    let mut resources: BTreeMap<(&str, Verbs, BTreeSet<&str>), Vec<String>> = BTreeMap::new();
    for ((group, resource, verbs), names) in names {
        resources
            .entry((group, verbs, names))
            .or_default()
            .push(resource);
    }
    resources
        .into_iter()
        .map(|((group, verbs, names), resources)| {
            let verbs: Vec<&str> = verbs.into_iter().map(|verb| VERBS[verb]).collect();
            let mut rule = json!({"apiGroups": [group], "resources": resources});
            if !names.is_empty() {
                rule["resourceNames"] = json!(names);
            }
            rule["verbs"] = json!(verbs);
            rule
        })
        .collect()
}

/// Prints the roles: YAML for `kubectl apply -f -`, or one JSON document.
pub fn print<'a>(
    needs: impl Iterator<Item = &'a Need>,
    format: Output,
    out: &mut (dyn Write + Send),
) {
    let made = made(needs);
    if format == Output::Json {
        let items: Vec<&Value> = made.iter().map(|made| &made.object).collect();
        let document =
            json!({"apiVersion": trueup_core::API_VERSION, "kind": "Roles", "items": items});
        return output::json(out, &document);
    }
    output::say(out, HEAD.trim_end());
    let contexts: BTreeSet<&str> = made.iter().map(|made| made.context.as_str()).collect();
    for one in &made {
        output::say(out, "---");
        output::say(out, &format!("# {}", about(one.role)));
        if contexts.len() > 1 {
            let context = trueup_core::text::line(&one.context);
            output::say(out, &format!("# Apply it to the context {context}."));
        }
        output::say(out, yaml(&one.object).trim_end());
    }
}

fn yaml(role: &Value) -> String {
    let text = |pointer: &str| {
        role.pointer(pointer)
            .and_then(Value::as_str)
            .map(scalar)
            .unwrap_or_default()
    };
    let mut yaml = format!(
        "apiVersion: {GROUP}\nkind: {}\nmetadata:\n  name: {}\n",
        text("/kind"),
        text("/metadata/name")
    );
    if role.pointer("/metadata/namespace").is_some() {
        yaml.push_str(&format!("  namespace: {}\n", text("/metadata/namespace")));
    }
    yaml.push_str("rules:\n");
    for rule in role["rules"].as_array().into_iter().flatten() {
        let parts = ["apiGroups", "resources", "resourceNames", "verbs"];
        let parts = parts
            .iter()
            .filter_map(|part| Some((part, rule.get(part)?)));
        for (number, (part, words)) in parts.enumerate() {
            let words = words.as_array().into_iter().flatten();
            let words: Vec<String> = words.filter_map(Value::as_str).map(scalar).collect();
            let dash = if number == 0 { "-" } else { " " };
            yaml.push_str(&format!("{dash} {part}: [{}]\n", words.join(", ")));
        }
    }
    yaml
}

/// A word as it stands in YAML: quoted where it could be read as anything else.
fn scalar(word: &str) -> String {
    let plain = word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-./".contains(c));
    let lower = word.to_ascii_lowercase();
    let other = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if plain && !other.contains(&lower.as_str()) {
        word.to_owned()
    } else {
        Value::from(word).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Permission;

    #[test]
    fn equal_grants_are_one_rule_and_names_stay_apart_from_all() {
        let need = |verb: &str, resource: &str, name: Option<&str>| Need {
            permission: Permission {
                name: name.map(Into::into),
                ..Permission::new(verb, "apps", resource, Some("1e3"))
            },
            needed_for: String::new(),
            applications: Vec::new(),
            optional: false,
            role: Role::Observe,
            context: "c".into(),
        };
        let needs = [
            need("watch", "a", None),
            need("get", "a", None),
            need("get", "b", None),
            need("watch", "b", None),
            need("get", "c", Some("two")),
            need("get", "c", Some("one")),
            need("get", "a", Some("on")),
        ];
        let mut out = Vec::new();
        print(needs.iter(), Output::Table, &mut out);
        let text = String::from_utf8(out).unwrap();
        let begin = text.find("kind: ").unwrap();
        assert_eq!(
            &text[begin..],
            "kind: Role\nmetadata:\n  name: trueup-observe\n  namespace: \"1e3\"\nrules:\n\
             - apiGroups: [apps]\n  resources: [a]\n  resourceNames: [\"on\"]\n  verbs: [get]\n\
             - apiGroups: [apps]\n  resources: [c]\n  resourceNames: [one, two]\n  verbs: [get]\n\
             - apiGroups: [apps]\n  resources: [a, b]\n  verbs: [get, watch]\n"
        );
    }
}
