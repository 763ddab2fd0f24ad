//! Fields that an Application ignores: what the rules cover, what a sync then applies, and the change that adds a field.
//!
//! `spec.ignoreDifferences` alone hides a field from the comparison and a sync still overwrites it; only with the sync
//! option `RespectIgnoreDifferences=true` (Argo CD 2.3) the live value is copied into what is applied.

use crate::object::{
    identity::ObjectRef,
    listkeys::from_pointer,
    path::{Element, FieldPath},
};
use crate::policy::{Note, note_pointer};
use globset::Glob;
use serde_json::{Map, Value, json};

const OPTION: &str = "RespectIgnoreDifferences";

/// One field of one object, as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ignored {
    pub object: ObjectRef,
    /// JSON Pointer (RFC 6901) into the object.
    pub pointer: String,
}

/// Why a field cannot be ignored by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotIgnore {
    #[error("a whole object is not ignored field by field")]
    Whole,
    #[error("a whole list item has no JSON pointer that stays the same when the list changes")]
    Item,
    #[error(
        "it stands at {git} in Git and at {live} live: no one JSON pointer names it on both sides"
    )]
    Moves { git: String, live: String },
    #[error("neither Git nor the cluster has a place for it")]
    Nowhere,
}

/// Whether a sync keeps the live values of ignored fields.
pub fn respects(application: &Value) -> bool {
    options(application).any(|option| option.trim() == "RespectIgnoreDifferences=true")
}

fn options(application: &Value) -> impl Iterator<Item = &str> {
    application
        .pointer("/spec/syncPolicy/syncOptions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn list(application: &Value) -> Vec<Value> {
    application
        .pointer("/spec/ignoreDifferences")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn text<'a>(rule: &'a Value, name: &str) -> &'a str {
    rule.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'a>(rule: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    rule.get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// The rules that are about an object. Group and kind are globs, an omitted group is the core group (argo-cd#28590),
/// an omitted name or namespace is any.
pub fn rules<'a>(
    application: &'a Value,
    object: &'a ObjectRef,
) -> impl Iterator<Item = &'a Value> + 'a {
    let fits = |pattern: &str, value: &str| {
        Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(value))
    };
    let any = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
    application
        .pointer("/spec/ignoreDifferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(move |rule| {
            fits(text(rule, "group"), &object.group)
                && fits(text(rule, "kind"), &object.kind)
                && any(text(rule, "name"), &object.name)
                && any(
                    text(rule, "namespace"),
                    object.namespace.as_deref().unwrap_or_default(),
                )
        })
}

/// The JSON pointers that the Application ignores on an object.
pub fn pointers(application: &Value, object: &ObjectRef) -> Vec<String> {
    rules(application, object)
        .flat_map(|rule| texts(rule, "jsonPointers"))
        .map(str::to_owned)
        .collect()
}

/// What a rule about the object names that is no JSON pointer: its effect is not computed here.
pub fn beyond_pointers(application: &Value, object: &ObjectRef) -> Option<&'static str> {
    ["jqPathExpressions", "managedFieldsManagers"]
        .into_iter()
        .find(|name| rules(application, object).any(|rule| texts(rule, name).next().is_some()))
}

/// The pointer that covers a field, with the objects of both sides to find list items by.
pub fn covering(
    application: &Value,
    object: &ObjectRef,
    sides: [Option<&Value>; 2],
    field: &FieldPath,
) -> Option<String> {
    pointers(application, object).into_iter().find(|pointer| {
        sides
            .into_iter()
            .flatten()
            .filter_map(|side| from_pointer(&object.kind, side, pointer))
            .any(|path| path.is_prefix_of(field))
    })
}

/// What a sync with `RespectIgnoreDifferences=true` applies: ignored fields as they are live, absent where live has
/// none. A field whose parent is missing in the target stays out.
pub fn respected(target: &Value, live: &Value, pointers: &[String]) -> Value {
    let mut wanted = target.clone();
    for pointer in pointers {
        let Some((parent, key)) = pointer.rsplit_once('/') else {
            continue;
        };
        let key = key.replace("~1", "/").replace("~0", "~");
        match (wanted.pointer_mut(parent), live.pointer(pointer)) {
            (Some(Value::Object(map)), Some(value)) => {
                map.insert(key, value.clone());
            }
            (Some(Value::Object(map)), None) => {
                map.shift_remove(&key);
            }
            (Some(Value::Array(items)), Some(value)) => {
                if let Some(item) = key.parse::<usize>().ok().and_then(|at| items.get_mut(at)) {
                    *item = value.clone();
                }
            }
            _ => {}
        }
    }
    wanted
}

/// The pointer by which a field can be ignored. It must mean the same field in Git and live, since Argo CD takes it
/// for both.
pub fn pointer_of(
    field: &FieldPath,
    git: Option<&Value>,
    live: Option<&Value>,
) -> Result<String, CannotIgnore> {
    match field.0.last() {
        None => return Err(CannotIgnore::Whole),
        Some(Element::Key(_)) => {}
        Some(_) => return Err(CannotIgnore::Item),
    }
    let at = |object: Option<&Value>| object.and_then(|object| field.to_pointer(object));
    match (at(git), at(live)) {
        (Some(git), Some(live)) if git != live => Err(CannotIgnore::Moves { git, live }),
        (Some(pointer), _) | (None, Some(pointer)) => Ok(pointer),
        (None, None) => Err(CannotIgnore::Nowhere),
    }
}

/// The lists of the spec as they shall stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// `spec.ignoreDifferences`; `None`: it covers everything already.
    pub differences: Option<Value>,
    /// `spec.syncPolicy.syncOptions`; `None`: the option is there already.
    pub options: Option<Value>,
}

impl Spec {
    pub fn is_empty(&self) -> bool {
        self.differences.is_none() && self.options.is_none()
    }
}

/// What has to change so that an Application ignores these fields and a sync leaves them alone.
pub fn spec_with(application: &Value, fields: &[Ignored]) -> Spec {
    let mut rules = list(application);
    let before = rules.len();
    let mut changed = false;
    for field in fields {
        if pointers(application, &field.object).contains(&field.pointer) {
            continue;
        }
        changed |= add(&mut rules, field);
    }
    let mut wanted: Vec<String> = options(application).map(str::to_owned).collect();
    let respects = respects(application);
    if !respects {
        wanted.retain(|option| option.trim().split('=').next().map(str::trim) != Some(OPTION));
        wanted.push(format!("{OPTION}=true"));
    }
    Spec {
        differences: (changed || rules.len() != before).then_some(Value::Array(rules)),
        options: (!respects).then(|| json!(wanted)),
    }
}

/// Puts a field into the rule that is about just this object, or makes one.
fn add(rules: &mut Vec<Value>, field: &Ignored) -> bool {
    let object = &field.object;
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let same = |rule: &Value| {
        text(rule, "group") == object.group
            && text(rule, "kind") == object.kind
            && text(rule, "name") == object.name
            && text(rule, "namespace") == namespace
    };
    if let Some(rule) = rules
        .iter_mut()
        .find(|rule| same(rule))
        .and_then(Value::as_object_mut)
    {
        let pointers = rule.entry("jsonPointers").or_insert_with(|| json!([]));
        if let Value::Array(pointers) = pointers {
            let pointer = json!(field.pointer);
            if pointers.contains(&pointer) {
                return false;
            }
            pointers.push(pointer);
            return true;
        }
    }
    let mut rule = Map::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            rule.insert(name.to_owned(), json!(value));
        }
    };
    put("group", &object.group);
    put("kind", &object.kind);
    put("name", &object.name);
    put("namespace", namespace);
    rule.insert("jsonPointers".to_owned(), json!([field.pointer]));
    rules.push(Value::Object(rule));
    true
}

/// The JSON Patch that does the same to the live Application, guarded by the version that was read; empty when there is
/// nothing to do.
pub fn patch(application: &Value, fields: &[Ignored]) -> Vec<Value> {
    let spec = spec_with(application, fields);
    if spec.is_empty() {
        return Vec::new();
    }
    let mut ops = vec![json!({
        "op": "test",
        "path": "/metadata/resourceVersion",
        "value": application.pointer("/metadata/resourceVersion"),
    })];
    if let Some(differences) = spec.differences {
        ops.push(json!({"op": "add", "path": "/spec/ignoreDifferences", "value": differences}));
    }
    // The way back is written in the same patch: the note of a freeze says what holds from now on.
    if let Some(note) = Note::of(application) {
        let note = note.ignoring(application, spec.options.as_ref());
        ops.push(json!({"op": "add", "path": note_pointer(), "value": note.text()}));
    }
    if let Some(options) = spec.options {
        let policy = application.pointer("/spec/syncPolicy");
        ops.push(if policy.is_some_and(Value::is_object) {
            json!({"op": "add", "path": "/spec/syncPolicy/syncOptions", "value": options})
        } else {
            json!({"op": "add", "path": "/spec/syncPolicy", "value": {"syncOptions": options}})
        });
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(group: &str, kind: &str, name: &str) -> ObjectRef {
        ObjectRef {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            namespace: Some("like".into()),
            name: name.into(),
        }
    }

    fn ignored(group: &str, kind: &str, pointer: &str) -> Ignored {
        Ignored {
            object: object(group, kind, "x"),
            pointer: pointer.into(),
        }
    }

    #[test]
    fn a_field_joins_the_rule_of_its_object_or_gets_one_without_an_empty_group() {
        let rule = json!({"kind": "ConfigMap", "name": "x", "namespace": "like", "jsonPointers": ["/data/a"]});
        let wide = json!({"group": "*", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]});
        let app = json!({"spec": {
            "ignoreDifferences": [rule, wide],
            "syncPolicy": {"syncOptions": ["CreateNamespace=true", "RespectIgnoreDifferences=false"]},
        }});
        let spec = spec_with(
            &app,
            &[
                ignored("", "ConfigMap", "/data/b"),
                ignored("", "Service", "/spec/type"),
                ignored("apps", "Deployment", "/spec/replicas"),
            ],
        );
        assert_eq!(
            spec.differences,
            Some(json!([
                {"kind": "ConfigMap", "name": "x", "namespace": "like", "jsonPointers": ["/data/a", "/data/b"]},
                wide,
                {"kind": "Service", "name": "x", "namespace": "like", "jsonPointers": ["/spec/type"]},
            ]))
        );
        assert_eq!(
            spec.options,
            Some(json!([
                "CreateNamespace=true",
                "RespectIgnoreDifferences=true"
            ]))
        );
    }

    #[test]
    fn what_is_so_already_needs_no_patch_and_a_missing_policy_is_made() {
        let fields = [ignored("", "ConfigMap", "/data/a~1b")];
        let bare = json!({"metadata": {"resourceVersion": "7"}, "spec": {}});
        let ops = patch(&bare, &fields);
        assert_eq!(ops[0]["value"], "7");
        assert_eq!(
            ops[2]["value"],
            json!({"syncOptions": ["RespectIgnoreDifferences=true"]})
        );
        let after =
            json!({"spec": {"ignoreDifferences": ops[1]["value"], "syncPolicy": ops[2]["value"]}});
        assert_eq!(patch(&after, &fields), Vec::<Value>::new());
        let side = json!({"data": {"a/b": "1"}});
        let field: FieldPath = ".data[\"a/b\"]".parse().unwrap();
        let covered = |kind| covering(&after, &object("", kind, "x"), [Some(&side), None], &field);
        assert_eq!(covered("ConfigMap").as_deref(), Some("/data/a~1b"));
        assert_eq!(covered("Secret"), None);
    }

    #[test]
    fn the_live_value_is_what_a_sync_applies() {
        let target = json!({"spec": {"replicas": 3, "paused": false}, "data": {"a/b": "git"}});
        let live = json!({"spec": {"replicas": 5}, "data": {"a/b": "live"}, "other": {"x": 1}});
        let pointers = [
            "/spec/replicas",
            "/spec/paused",
            "/data/a~1b",
            "/other/x",
            "",
        ]
        .map(str::to_owned);
        assert_eq!(
            respected(&target, &live, &pointers),
            json!({"spec": {"replicas": 5}, "data": {"a/b": "live"}})
        );
    }

    #[test]
    fn a_pointer_that_means_two_things_is_refused() {
        let env = |names: [&str; 2]| json!({"env": names.map(|name| json!({"name": name, "value": "v"}))});
        let (git, live) = (env(["A", "B"]), env(["B", "A"]));
        let field: FieldPath = ".env[name=\"A\"].value".parse().unwrap();
        assert_eq!(
            pointer_of(&field, Some(&git), Some(&git)).as_deref(),
            Ok("/env/0/value")
        );
        assert!(matches!(
            pointer_of(&field, Some(&git), Some(&live)),
            Err(CannotIgnore::Moves { .. })
        ));
        let item: FieldPath = ".env[name=\"A\"]".parse().unwrap();
        assert_eq!(
            pointer_of(&item, Some(&git), Some(&git)),
            Err(CannotIgnore::Item)
        );
        assert_eq!(
            pointer_of(&FieldPath::root(), None, None),
            Err(CannotIgnore::Whole)
        );
    }
}
