//! `metadata.managedFields`: who is recorded as the owner of which field after a write (KEP-555; structured-merge-diff's updater).

use serde_json::{Map, Value, json};

use super::fields::{self, Path, Set};
use super::schema::Node;
use super::status::{Cause, Failure};

/// Update entries kept by name; older ones are folded together.
const MAX_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// One entry of the list.
#[derive(Debug, Clone)]
pub struct Manager {
    pub name: String,
    pub apply: bool,
    pub api_version: String,
    pub subresource: String,
    /// RFC 3339, whole seconds; absent when the server never had a reason to set it.
    pub time: Option<String>,
    pub set: Set,
}

/// Who writes, as the request says it.
#[derive(Debug, Clone)]
pub struct Writer {
    pub manager: String,
    pub api_version: String,
    pub subresource: String,
    pub now: String,
}

impl Manager {
    fn same(&self, writer: &Writer, apply: bool) -> bool {
        self.name == writer.manager
            && self.apply == apply
            && self.subresource == writer.subresource
            && (apply || self.api_version == writer.api_version)
    }

    fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("manager".into(), json!(self.name));
        out.insert(
            "operation".into(),
            json!(if self.apply { "Apply" } else { "Update" }),
        );
        out.insert("apiVersion".into(), json!(self.api_version));
        if let Some(time) = &self.time {
            out.insert("time".into(), json!(time));
        }
        out.insert("fieldsType".into(), json!("FieldsV1"));
        out.insert("fieldsV1".into(), fields::to_fields_v1(&self.set));
        if !self.subresource.is_empty() {
            out.insert("subresource".into(), json!(self.subresource));
        }
        Value::Object(out)
    }

    /// The name that a conflict shows.
    fn display(&self) -> String {
        let mut out = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            out.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if !self.apply {
            out.push_str(&format!(" using {}", self.api_version));
        }
        out
    }
}

/// The entries of an object; `None` when the list is there but not well formed.
pub fn decode(object: &Value) -> Option<Vec<Manager>> {
    let Some(list) = object.pointer("/metadata/managedFields") else {
        return Some(Vec::new());
    };
    let mut out = Vec::new();
    for entry in list.as_array()? {
        let text = |key: &str| {
            entry
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned()
        };
        let apply = match text("operation").as_str() {
            "Apply" => true,
            "Update" => false,
            _ => return None,
        };
        if text("fieldsType") != "FieldsV1" || text("apiVersion").is_empty() {
            return None;
        }
        let time = entry.get("time").and_then(Value::as_str).map(|time| {
            time.parse::<jiff::Timestamp>()
                .map(super::store::seconds)
                .unwrap_or_else(|_| time.to_owned())
        });
        out.push(Manager {
            name: text("manager"),
            apply,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time,
            set: fields::from_fields_v1(entry.get("fieldsV1").unwrap_or(&Value::Null)),
        });
    }
    Some(out)
}

fn encode(object: &mut Value, mut managers: Vec<Manager>) {
    managers.retain(|m| !m.set.is_empty());
    managers.sort_by(|a, b| {
        let key = |m: &Manager| {
            (
                !m.apply,
                m.time.clone().unwrap_or_default(),
                m.name.clone(),
                m.api_version.clone(),
                m.subresource.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    let Some(metadata) = metadata else { return };
    if managers.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert(
            "managedFields".into(),
            managers.iter().map(Manager::to_json).collect(),
        );
    }
}

fn without(object: &Value) -> Value {
    let mut out = object.clone();
    if let Some(metadata) = out.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    out
}

/// The list that a write starts from: what the request carries, unless it is empty or broken; a subresource never carries one.
fn starting_point(live: &Value, new: &Value, subresource: &str) -> Vec<Manager> {
    let stored = || decode(live).unwrap_or_default();
    if !subresource.is_empty() {
        return stored();
    }
    let sent = new
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    if sent.is_some_and(|list| list.len() == 1 && list[0].as_object().is_some_and(Map::is_empty)) {
        return Vec::new();
    }
    match decode(new) {
        Some(managers) if managers.iter().any(|m| !m.set.is_empty()) => managers,
        _ => stored(),
    }
}

/// Records a POST, PUT or non-apply PATCH that takes `live` to `new` (which is left with its new list).
pub fn update(live: &Value, new: &mut Value, node: &Node, writer: &Writer) {
    let mut managers = starting_point(live, new, &writer.subresource);
    // What is there without a list stays without one until somebody applies to it.
    if managers.is_empty() && live.pointer("/metadata/uid").is_some() {
        return encode(new, managers);
    }
    let changed = fields::compare(&without(live), &without(new), node);
    let taken: Set = changed.modified.union(&changed.added).cloned().collect();
    for manager in &mut managers {
        manager
            .set
            .retain(|path| !taken.contains(path) && !changed.removed.contains(path));
    }
    if !taken.is_empty() {
        let own = managers.iter_mut().find(|m| m.same(writer, false));
        match own {
            Some(own) => {
                own.set.extend(taken);
                own.time = Some(writer.now.clone());
            }
            None => managers.push(Manager {
                name: writer.manager.clone(),
                apply: false,
                api_version: writer.api_version.clone(),
                subresource: writer.subresource.clone(),
                time: Some(writer.now.clone()),
                set: taken,
            }),
        }
    }
    encode(new, cap(managers));
}

/// Of more than ten who updated, the two oldest of one version become one of whom nothing is known, who counts as one himself
/// (`capmanagers.go` upstream).
fn cap(mut managers: Vec<Manager>) -> Vec<Manager> {
    managers.retain(|m| !m.set.is_empty());
    loop {
        let mut updaters: Vec<usize> = (0..managers.len())
            .filter(|i| !managers[*i].apply)
            .collect();
        if updaters.len() <= MAX_UPDATERS {
            return managers;
        }
        // Ages are told in whole seconds: within one the names decide.
        updaters.sort_by_key(|i| (managers[*i].time.clone(), managers[*i].name.clone()));
        let pair = updaters.iter().enumerate().find_map(|(at, younger)| {
            let version = &managers[*younger].api_version;
            let older = updaters[..at]
                .iter()
                .find(|i| managers[**i].api_version == *version);
            older.map(|older| (*older, *younger))
        });
        let Some((older, younger)) = pair else {
            return managers;
        };
        let merged = managers[younger].clone();
        let bucket = managers
            .iter()
            .position(|m| m.name == ANCIENT && m.api_version == merged.api_version)
            .unwrap_or(older);
        let one = &mut managers[bucket];
        one.name = ANCIENT.into();
        one.subresource = String::new();
        one.set.extend(merged.set);
        one.time = merged.time;
        managers.remove(younger);
    }
}

/// Server-side apply of `config` onto `live` (an empty skeleton when the object is new). Conflicts are refused unless `force`.
pub fn apply(
    live: &Value,
    config: &Value,
    node: &Node,
    writer: &Writer,
    force: bool,
) -> Result<Value, Failure> {
    match apply_once(live, config, node, writer, force) {
        Err(Conflicts(list)) => {
            // kubectl's own migration: values it applied client-side before are no conflict (lastappliedmanager upstream).
            let allowed = if writer.manager == "kubectl" {
                last_applied_set(live, node)
            } else {
                Set::new()
            };
            if !allowed.is_empty() && list.iter().all(|(_, path)| allowed.contains(path)) {
                return apply_once(live, config, node, writer, true)
                    .map_err(Conflicts::into_failure);
            }
            Err(Conflicts(list).into_failure())
        }
        Ok(object) => Ok(object),
    }
}

struct Conflicts(Vec<(Manager, Path)>);

impl Conflicts {
    fn into_failure(self) -> Failure {
        let causes: Vec<Cause> = self
            .0
            .iter()
            .map(|(manager, path)| Cause {
                reason: "FieldManagerConflict",
                message: format!("conflict with {}", manager.display()),
                field: fields::display(path),
            })
            .collect();
        let message = match self.0.as_slice() {
            [(manager, path)] => {
                format!(
                    "Apply failed with 1 conflict: conflict with {}: {}",
                    manager.display(),
                    fields::display(path)
                )
            }
            many => {
                let mut names: Vec<String> = many.iter().map(|(m, _)| m.display()).collect();
                names.sort();
                names.dedup();
                let groups: Vec<String> = names
                    .iter()
                    .map(|name| {
                        let paths: Vec<String> = many
                            .iter()
                            .filter(|(m, _)| m.display() == *name)
                            .map(|(_, p)| format!("- {}", fields::display(p)))
                            .collect();
                        format!("conflicts with {name}:\n{}", paths.join("\n"))
                    })
                    .collect();
                format!(
                    "Apply failed with {} conflicts: {}",
                    many.len(),
                    groups.join("\n")
                )
            }
        };
        Failure::apply_conflict(message, &causes)
    }
}

fn apply_once(
    live: &Value,
    config: &Value,
    node: &Node,
    writer: &Writer,
    force: bool,
) -> Result<Value, Conflicts> {
    let mut managers = decode(live).unwrap_or_default();
    let live_plain = without(live);
    let stored = live.pointer("/metadata/uid").is_some();
    if stored && managers.is_empty() {
        // SSA meets an object without tracking: what is there belongs to whoever came before.
        let mut set = fields::set_of(&live_plain, node);
        set.retain(|path| !fields::untracked(path) && path[0] != "f:status");
        managers.push(Manager {
            name: "before-first-apply".into(),
            apply: false,
            api_version: writer.api_version.clone(),
            subresource: String::new(),
            time: live
                .pointer("/metadata/creationTimestamp")
                .and_then(Value::as_str)
                .map(str::to_owned),
            set,
        });
    }
    let mut own = fields::set_of(config, node);
    own.retain(|path| !fields::untracked(path));
    let last = managers
        .iter()
        .position(|m| m.same(writer, true))
        .map(|at| managers.remove(at));
    let mut merged = fields::merge(&live_plain, config, node);
    if let Some(last) = &last {
        merged = drop_unapplied(&merged, &last.set, &own, &managers, node);
    }
    let changed = fields::compare(&live_plain, &merged, node);
    let taken: Set = changed.modified.union(&changed.added).cloned().collect();
    let mut conflicts = Vec::new();
    for manager in &managers {
        for path in manager.set.intersection(&taken) {
            conflicts.push((manager.clone(), path.clone()));
        }
    }
    if !conflicts.is_empty() && !force {
        return Err(Conflicts(conflicts));
    }
    for manager in &mut managers {
        manager
            .set
            .retain(|path| !taken.contains(path) && !changed.removed.contains(path));
    }
    own.retain(|path| !changed.removed.contains(path));
    // The time of an applier moves only when its apply changed the object (kubernetes#127938).
    let time = if changed.is_same() {
        last.and_then(|l| l.time)
    } else {
        Some(writer.now.clone())
    };
    managers.push(Manager {
        name: writer.manager.clone(),
        apply: true,
        api_version: writer.api_version.clone(),
        subresource: writer.subresource.clone(),
        time,
        set: own,
    });
    encode(&mut merged, managers);
    if writer.manager == "kubectl"
        && live
            .pointer("/metadata/annotations")
            .is_some_and(|a| a.get(LAST_APPLIED).is_some())
        && let Some(annotations) = merged
            .pointer_mut("/metadata/annotations")
            .and_then(Value::as_object_mut)
    {
        annotations.insert(LAST_APPLIED.into(), json!(format!("{config}\n")));
    }
    Ok(merged)
}

/// `merged` without what the manager applied `last` time, does not apply now (`own`) and nobody else owns (`prune` upstream).
fn drop_unapplied(merged: &Value, last: &Set, own: &Set, others: &[Manager], node: &Node) -> Value {
    let named_set = |value: &Value| fields::ensure_named(&fields::set_of(value, node), node);
    let last = fields::ensure_named(last, node);
    let mut owned = fields::ensure_named(own, node);
    for manager in others {
        owned.extend(fields::ensure_named(&manager.set, node));
    }
    let all = named_set(merged);
    let pruned = fields::remove_items(merged, &last, node);
    owned.extend(named_set(&pruned));
    let pruned = fields::remove_items(merged, &all.difference(&owned).cloned().collect(), node);
    let left = named_set(&pruned);
    let dangling = all
        .iter()
        .filter(|path| !left.contains(*path) && last.contains(*path))
        .cloned()
        .collect();
    fields::remove_items(merged, &dangling, node)
}

/// Paths whose live value is still what kubectl applied client-side.
fn last_applied_set(live: &Value, node: &Node) -> Set {
    let Some(text) = live
        .pointer("/metadata/annotations")
        .and_then(|a| a.get(LAST_APPLIED))
        .and_then(Value::as_str)
    else {
        return Set::new();
    };
    let Ok(config) = serde_json::from_str::<Value>(text) else {
        return Set::new();
    };
    let changed = fields::compare(&config, &without(live), node);
    let mut out = fields::set_of(&config, node);
    out.retain(|path| !changed.modified.contains(path) && !changed.removed.contains(path));
    out
}
