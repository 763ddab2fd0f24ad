//! From decided fields to changed files: each file edited once, contradicting wishes refused.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::Value;

use super::edit::{EditError, edit_file};
use super::ops::{Edit, EditElement, Op};
use super::plain::{DirectoryOptions, Rendered, Rendering, reads};
use super::provenance::edit_path;
use super::scalar::same;
use super::whole;
use super::yaml;
use crate::object::diff;
use crate::object::identity::{ObjectKey, ObjectRef};
use crate::object::path::{Element, FieldPath};
use crate::object::redact::is_redacted;

/// One field of one object of one application that shall have another value in Git; at the root the manifest as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldEdit {
    /// Whose rendering the object is in; as messages name it.
    pub application: String,
    pub object: ObjectKey,
    pub path: FieldPath,
    /// `None`: the field goes, and with it the maps, lists and keyed items that it leaves empty.
    pub to: Option<Value>,
}

/// A changed file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileChange {
    pub path: String,
    /// `None`: the file is new.
    pub before: Option<Vec<u8>>,
    /// `None`: the file goes.
    pub after: Option<Vec<u8>>,
    pub edits: Vec<Edit>,
    /// Manifests that are written or taken out as a whole.
    pub manifests: usize,
}

/// Where an application's manifests stand: what its source reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Home {
    pub application: String,
    pub options: DirectoryOptions,
}

/// A field that cannot be changed in the files, and why.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}: {} {} cannot be changed in Git: {why}", .field.application, .field.object.kind, .field.path)]
pub struct CannotEdit {
    pub field: FieldEdit,
    pub why: String,
}

/// One place of one file, and what is wanted there.
struct Wish<'w> {
    field: &'w FieldEdit,
    doc: usize,
    item: Option<usize>,
    path: FieldPath,
    to: Option<Value>,
}

/// Turns wishes into changed files. All of them or the list of those that cannot be.
///
/// `renderings`: by application name. A wish that several applications share is one edit. `homes`: where a manifest that
/// is not in Git yet is put, as a file of its own.
pub fn changes(
    renderings: &[(String, Rendering)],
    homes: &[Home],
    files: &BTreeMap<String, Vec<u8>>,
    wishes: &[FieldEdit],
) -> Result<Vec<FileChange>, Vec<CannotEdit>> {
    let mut failed = Vec::new();
    let mut out: Vec<FileChange> = Vec::new();
    let mut by_file: BTreeMap<&str, Vec<Wish<'_>>> = BTreeMap::new();
    for field in wishes {
        if let (true, Some(manifest)) = (field.path.is_root(), &field.to) {
            match added(homes, files, field, manifest) {
                Ok(change) => match out.iter().find(|known| known.path == change.path) {
                    None => out.push(change),
                    Some(known) if known.after == change.after => {}
                    Some(_) => failed.push(CannotEdit {
                        field: field.clone(),
                        why: format!("two manifests would be the file {}", change.path),
                    }),
                },
                Err(why) => failed.push(CannotEdit {
                    field: field.clone(),
                    why,
                }),
            }
            continue;
        }
        match place(renderings, field) {
            Ok((file, wish)) => by_file.entry(file).or_default().push(wish),
            Err(why) => failed.push(CannotEdit {
                field: field.clone(),
                why,
            }),
        }
    }
    for (path, wishes) in by_file {
        let Some(before) = files.get(path) else {
            failed.extend(wishes.iter().map(|w| CannotEdit {
                field: w.field.clone(),
                why: format!("the file {path} is not at hand"),
            }));
            continue;
        };
        match file_change(path, before, &wishes, &mut failed) {
            Some(change) if change.after != change.before => out.push(change),
            _ => {}
        }
    }
    for field in wishes.iter().filter(|f| f.path.is_root() && f.to.is_none()) {
        if let Some(folder) = emptied(homes, files, &out, field) {
            failed.push(CannotEdit {
                field: field.clone(),
                why: format!(
                    "nothing would be left in {folder}, and Argo CD cannot render a folder that is not there"
                ),
            });
        }
    }
    if failed.is_empty() {
        Ok(out)
    } else {
        Err(failed)
    }
}

/// A manifest that Git does not have, as a file of its own beside the application's others.
fn added(
    homes: &[Home],
    files: &BTreeMap<String, Vec<u8>>,
    field: &FieldEdit,
    manifest: &Value,
) -> Result<FileChange, String> {
    let home = homes
        .iter()
        .find(|home| home.application == field.application)
        .ok_or("the application is not made from plain manifests")?;
    if holds_digest(manifest) {
        return Err("a value of it is hidden: only its digest is at hand".to_owned());
    }
    let folder = home.options.path.trim_start_matches("./").trim_matches('/');
    let name = whole::file_name(&field.object.kind, &field.object.name);
    let path = match folder {
        "" | "." => name,
        folder => format!("{folder}/{name}"),
    };
    if files.contains_key(&path) {
        return Err(format!("there is a file {path} already"));
    }
    if !reads(&home.options, &path)? {
        return Err(format!(
            "the application's source would not read {path} (include, exclude)"
        ));
    }
    let neighbour = files
        .iter()
        .find(|(path, _)| path.ends_with(".yaml") && reads(&home.options, path).unwrap_or(false));
    Ok(FileChange {
        before: None,
        after: Some(whole::file(
            manifest,
            neighbour.map(|(_, bytes)| bytes.as_slice()),
        )?),
        path,
        edits: Vec::new(),
        manifests: 1,
    })
}

fn holds_digest(value: &Value) -> bool {
    is_redacted(value)
        || match value {
            Value::Object(map) => map.values().any(holds_digest),
            Value::Array(list) => list.iter().any(holds_digest),
            _ => false,
        }
}

/// The folder of an application that would have no file any more.
fn emptied<'h>(
    homes: &'h [Home],
    files: &BTreeMap<String, Vec<u8>>,
    changed: &[FileChange],
    field: &FieldEdit,
) -> Option<&'h str> {
    let home = homes
        .iter()
        .find(|home| home.application == field.application)?;
    let folder = home.options.path.trim_start_matches("./").trim_matches('/');
    let inside = |path: &str| {
        folder.is_empty()
            || folder == "."
            || path
                .strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    let goes = |path: &str| changed.iter().any(|c| c.path == path && c.after.is_none());
    let stays = files.keys().any(|path| inside(path) && !goes(path));
    let comes = changed
        .iter()
        .any(|c| c.before.is_none() && inside(&c.path));
    (!stays && !comes).then_some(folder)
}

fn place<'w>(
    renderings: &'w [(String, Rendering)],
    field: &'w FieldEdit,
) -> Result<(&'w str, Wish<'w>), String> {
    let (_, rendering) = renderings
        .iter()
        .find(|(name, _)| *name == field.application)
        .ok_or("the application was not rendered")?;
    let found: Vec<&Rendered> = rendering
        .objects
        .iter()
        .filter(|r| ObjectRef::from_object(&r.object).is_ok_and(|o| o.key() == field.object))
        .collect();
    let rendered = match found[..] {
        [one] => one,
        [] => return Err("no file of the source has the object".to_owned()),
        _ => {
            return Err(format!(
                "{} files or documents have the object",
                found.len()
            ));
        }
    };
    if field.path.is_root() {
        return Ok((
            rendered.file.as_str(),
            Wish {
                field,
                doc: rendered.doc,
                item: rendered.item,
                path: field.path.clone(),
                to: None,
            },
        ));
    }
    if field.to.as_ref().is_some_and(is_redacted) {
        return Err("the value is hidden: only its digest is at hand".to_owned());
    }
    let (path, to) = in_file(&rendered.object, field)?;
    Ok((
        rendered.file.as_str(),
        Wish {
            field,
            doc: rendered.doc,
            item: rendered.item,
            path,
            to,
        },
    ))
}

/// A Secret's `data` may be written as `stringData`: the edit goes where the file has the key.
fn in_file(object: &Value, field: &FieldEdit) -> Result<(FieldPath, Option<Value>), String> {
    let as_is = Ok((field.path.clone(), field.to.clone()));
    let [Element::Key(data), Element::Key(name)] = &field.path.0[..] else {
        return as_is;
    };
    let plain = object.get("stringData").and_then(|s| s.get(name)).is_some();
    if field.object.kind != "Secret" || data != "data" || !plain {
        return as_is;
    }
    let path = FieldPath::keys(["stringData", name.as_str()]);
    let Some(to) = &field.to else {
        return Ok((path, None));
    };
    let text = to
        .as_str()
        .and_then(|s| base64::engine::general_purpose::STANDARD.decode(s).ok())
        .and_then(|b| String::from_utf8(b).ok())
        .ok_or("the file has the key as text (stringData), and the value is not text")?;
    Ok((path, Some(Value::from(text))))
}

fn file_change(
    path: &str,
    before: &[u8],
    wishes: &[Wish<'_>],
    failed: &mut Vec<CannotEdit>,
) -> Option<FileChange> {
    let start = failed.len();
    let mut kept: Vec<&Wish<'_>> = Vec::new();
    for wish in wishes {
        let clash = kept
            .iter()
            .find(|k| k.doc == wish.doc && k.item == wish.item && k.path.overlaps(&wish.path));
        match clash {
            None => kept.push(wish),
            Some(k) if k.path == wish.path && agree(k.to.as_ref(), wish.to.as_ref()) => {}
            Some(k) => failed.push(CannotEdit {
                field: wish.field.clone(),
                why: format!(
                    "{} and {} want different values in the same bytes of {path}",
                    k.field.application, wish.field.application
                ),
            }),
        }
    }
    let mut current = before.to_vec();
    let mut edits = Vec::new();
    let (gone, kept): (Vec<&Wish<'_>>, Vec<&Wish<'_>>) =
        kept.into_iter().partition(|wish| wish.path.is_root());
    for wish in kept {
        let done = one_edit(&current, wish).and_then(|one| {
            let Some(one) = one else { return Ok(()) };
            current =
                edit_file(path, &current, std::slice::from_ref(&one)).map_err(|e| match e {
                    EditError::Refused { reason } | EditError::Unreadable { reason } => reason,
                })?;
            edits.push(one);
            Ok(())
        });
        if let Err(why) = done {
            failed.push(CannotEdit {
                field: wish.field.clone(),
                why: format!("{path}: {why}"),
            });
        }
    }
    // Whole manifests last: what goes first moves the places of the others.
    let places: Vec<whole::Place> = gone.iter().map(|wish| (wish.doc, wish.item)).collect();
    let mut after = Some(current);
    if let (Some(first), Some(current)) = (gone.first(), &after) {
        match whole::without(path, current, &places) {
            Ok(less) => after = less,
            Err(why) => failed.push(CannotEdit {
                field: first.field.clone(),
                why: format!("{path}: {why}"),
            }),
        }
    }
    (failed.len() == start).then(|| FileChange {
        path: path.to_owned(),
        before: Some(before.to_vec()),
        after,
        edits,
        manifests: gone.len(),
    })
}

fn agree(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// The edit that grants one wish; none when it is granted already.
fn one_edit(file: &[u8], wish: &Wish<'_>) -> Result<Option<Edit>, String> {
    let (text, _) = yaml::decode(file).map_err(|e| e.to_string())?;
    let tree = yaml::parse(text).map_err(|e| e.to_string())?;
    let mut root = tree.doc_value(wish.doc).map_err(|e| e.to_string())?;
    let object = match wish.item {
        Some(i) => root
            .get_mut("items")
            .and_then(|l| l.get_mut(i))
            .ok_or("no such item")?,
        None => &mut root,
    };
    let make = |path: Vec<EditElement>, op: Op, value: Value| Edit {
        doc: wish.doc,
        path,
        op,
        value,
    };
    let Some(to) = &wish.to else {
        if wish.path.get(object).is_none() {
            return Ok(None);
        }
        // What the removal leaves empty goes too: the shallowest part that is gone is what is deleted.
        let mut after = object.clone();
        diff::remove(&mut after, &wish.path);
        let gone = (1..=wish.path.0.len())
            .map(|n| FieldPath(wish.path.0[..n].to_vec()))
            .find(|p| p.get(&after).is_none())
            .unwrap_or_else(|| wish.path.clone());
        let at = edit_path(&tree, wish.doc, wish.item, &gone);
        return Ok(Some(make(at.path, Op::Delete, Value::Null)));
    };
    let at = edit_path(&tree, wish.doc, wish.item, &wish.path);
    let Some(missing) = at.missing else {
        return Ok(Some(make(at.path, Op::Set, to.clone())));
    };
    // The first missing element and all below it, as one value.
    let depth = wish.path.0.len() - missing.0.len() - 1;
    let way = FieldPath(wish.path.0[depth..].to_vec());
    let mut value = Value::Null;
    way.set(&mut value, to.clone()).map_err(|e| e.to_string())?;
    let inner = match (&wish.path.0[depth], value) {
        (Element::Key(name), Value::Object(mut m)) => m.shift_remove(name.as_str()),
        (_, Value::Array(mut list)) => list.pop(),
        _ => None,
    };
    Ok(Some(make(
        at.path,
        Op::Add,
        inner.ok_or("the field cannot be made")?,
    )))
}

/// The change of one file as people read it, three lines of context around. `None`: there is no such file.
pub fn unified_diff(path: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    if before == after {
        return String::new();
    }
    let text = |side: Option<&[u8]>| String::from_utf8_lossy(side.unwrap_or_default()).into_owned();
    let name = |side: Option<&[u8]>, mark: &str| match side {
        Some(_) => format!("{mark}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let (a, b) = (text(before), text(after));
    similar::TextDiff::from_lines(&*a, &*b)
        .unified_diff()
        .context_radius(3)
        .header(&name(before, "a"), &name(after, "b"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::plain::{DirectoryOptions, render};
    use super::*;
    use serde_json::json;

    const FILE: &str = "# auth\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: auth-config\ndata:\n  JWT_ALGORITHM: HS256   # rotated in March\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app\nspec:\n  template:\n    spec:\n      containers:\n      - name: app\n        image: a:1\n        env:\n        - name: LOG\n          value: info\n---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  k: old\n";

    type World = (Vec<(String, Rendering)>, BTreeMap<String, Vec<u8>>);

    fn world() -> World {
        let files = vec![("deploy/all.yaml".to_owned(), FILE.as_bytes().to_vec())];
        let options = DirectoryOptions {
            path: "deploy".to_owned(),
            ..Default::default()
        };
        let r = render(&files, &options, "auth");
        (
            vec![("a".to_owned(), r.clone()), ("b".to_owned(), r)],
            files.into_iter().collect(),
        )
    }

    fn wish(
        app: &str,
        group: &str,
        kind: &str,
        name: &str,
        path: &str,
        to: Option<Value>,
    ) -> FieldEdit {
        FieldEdit {
            application: app.to_owned(),
            object: ObjectKey {
                namespace: Some("auth".to_owned()),
                group: group.to_owned(),
                kind: kind.to_owned(),
                name: name.to_owned(),
            },
            path: path.parse().unwrap(),
            to,
        }
    }

    #[test]
    fn wishes_become_edits_of_the_file_and_nothing_else_moves() {
        let (r, f) = world();
        let config =
            |app: &str, path: &str, to| wish(app, "", "ConfigMap", "auth-config", path, to);
        let env = |path: &str, to| wish("a", "apps", "Deployment", "app", path, to);
        let done = changes(
            &r,
            &[],
            &f,
            &[
                config("a", ".data.JWT_ALGORITHM", Some(json!("RS256"))),
                config("b", ".data.JWT_ALGORITHM", Some(json!("RS256"))),
                config("a", ".data.NEW", Some(json!("on"))),
                env(
                    ".spec.template.spec.containers[name=\"app\"].env[name=\"DEBUG\"].value",
                    Some(json!("1")),
                ),
                env(
                    ".spec.template.spec.containers[name=\"app\"].env[name=\"LOG\"].value",
                    None,
                ),
                wish("a", "", "Secret", "s", ".data.k", Some(json!("bmV3"))),
            ],
        )
        .unwrap();
        assert_eq!(done.len(), 1);
        let after = String::from_utf8(done[0].after.clone().unwrap()).unwrap();
        let wanted = FILE
            .replace("HS256   #", "RS256   #")
            .replace("in March\n", "in March\n  NEW: \"on\"\n")
            .replace(
                "- name: LOG\n          value: info",
                "- name: DEBUG\n          value: \"1\"",
            )
            .replace("k: old", "k: new");
        assert_eq!(after, wanted);
        assert!(
            unified_diff("x", done[0].before.as_deref(), done[0].after.as_deref())
                .contains("-  JWT_ALGORITHM: HS256")
        );
    }

    #[test]
    fn contradicting_wishes_are_refused_by_name() {
        let (r, f) = world();
        let failed = changes(
            &r,
            &[],
            &f,
            &[
                wish(
                    "a",
                    "",
                    "ConfigMap",
                    "auth-config",
                    ".data.JWT_ALGORITHM",
                    Some(json!("RS256")),
                ),
                wish(
                    "b",
                    "",
                    "ConfigMap",
                    "auth-config",
                    ".data.JWT_ALGORITHM",
                    Some(json!("ES256")),
                ),
            ],
        )
        .unwrap_err();
        assert!(
            failed[0].why.contains("a and b want different values"),
            "{}",
            failed[0]
        );
    }

    fn homes(include: &str) -> Vec<Home> {
        let options = DirectoryOptions {
            path: "deploy".to_owned(),
            include: include.to_owned(),
            ..Default::default()
        };
        let home = |name: &str| Home {
            application: name.to_owned(),
            options: options.clone(),
        };
        vec![home("a"), home("b")]
    }

    #[test]
    fn a_manifest_goes_once_for_all_who_want_it_gone_and_fields_of_others_change_with_it() {
        let (r, f) = world();
        let secret = |app: &str| wish(app, "", "Secret", "s", ".", None);
        let config = |to: &str| {
            let to = Some(json!(to));
            wish(
                "a",
                "",
                "ConfigMap",
                "auth-config",
                ".data.JWT_ALGORITHM",
                to,
            )
        };
        let done = changes(
            &r,
            &homes(""),
            &f,
            &[secret("a"), config("RS256"), secret("b")],
        )
        .unwrap();
        let after = String::from_utf8(done[0].after.clone().unwrap()).unwrap();
        let (rest, _) = FILE
            .split_once("---\napiVersion: v1\nkind: Secret")
            .unwrap();
        assert_eq!(after, rest.replace("HS256   #", "RS256   #"));
        assert_eq!(
            (done.len(), done[0].manifests, done[0].edits.len()),
            (1, 1, 1)
        );

        // Gone for one, changed for the other.
        let config = wish("b", "", "ConfigMap", "auth-config", ".", None);
        let other = wish(
            "a",
            "",
            "ConfigMap",
            "auth-config",
            ".data.NEW",
            Some(json!("x")),
        );
        let failed = changes(&r, &homes(""), &f, &[other, config]).unwrap_err();
        assert!(
            failed[0].why.contains("want different values"),
            "{}",
            failed[0]
        );

        // A folder that Argo CD could not find any more.
        let all = ["ConfigMap/auth-config", "apps/Deployment/app", "Secret/s"].map(|named| {
            let parts: Vec<&str> = named.split('/').collect();
            match parts[..] {
                [group, kind, name] => wish("a", group, kind, name, ".", None),
                _ => wish("a", "", parts[0], parts[1], ".", None),
            }
        });
        let failed = changes(&r, &homes(""), &f, &all).unwrap_err();
        assert!(
            failed[0].why.contains("nothing would be left in deploy"),
            "{}",
            failed[0]
        );
    }

    #[test]
    fn a_manifest_is_added_as_a_file_of_its_own_that_the_source_reads() {
        let (r, mut f) = world();
        let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "New.one"}, "data": {"a": "b"}});
        let new = |app: &str, manifest: &Value| {
            wish(app, "", "ConfigMap", "New.one", ".", Some(manifest.clone()))
        };
        let done = changes(
            &r,
            &homes(""),
            &f,
            &[new("a", &manifest), new("b", &manifest)],
        )
        .unwrap();
        assert_eq!(done.len(), 1);
        assert_eq!(
            (done[0].path.as_str(), &done[0].before),
            ("deploy/configmap-new.one.yaml", &None)
        );
        let diff = unified_diff("x", None, done[0].after.as_deref());
        assert!(diff.starts_with("--- /dev/null\n+++ b/x\n"), "{diff}");

        let why = |homes: &[Home], f: &BTreeMap<String, Vec<u8>>, wishes: &[FieldEdit]| {
            changes(&r, homes, f, wishes).unwrap_err()[0].why.clone()
        };
        let mut other = manifest.clone();
        other["data"]["a"] = json!("c");
        let two = [new("a", &manifest), new("b", &other)];
        assert!(why(&homes(""), &f, &two).contains("two manifests"));
        let one = [new("a", &manifest)];
        assert!(why(&homes("all.yaml"), &f, &one).contains("would not read"));
        assert!(why(&[], &f, &one).contains("not made from plain manifests"));
        other["data"]["a"] = json!({"secret": "hmac:0123456789ab"});
        assert!(why(&homes(""), &f, &[new("a", &other)]).contains("hidden"));
        f.insert(done[0].path.clone(), Vec::new());
        assert!(why(&homes(""), &f, &one).contains("already"));
    }
}
