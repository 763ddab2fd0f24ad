//! Ignoring a field from now on: in the Application's declaration in Git, and on the live Application once that landed.

use std::collections::BTreeMap;

use serde_json::Value;
use trueup_core::{
    decision::Take,
    event::Effect,
    ignore::{self, Ignored},
    object::{
        identity::{AppKey, ObjectRef},
        path::FieldPath,
    },
    sheet::{Command, Refusal, Sheet},
    source::{
        changes::{self, FieldEdit},
        declaration,
    },
    text,
};

use super::super::{
    read::{AppSeen, MANIFESTS_OF_ARGO_CD, World},
    state::Engine,
    trouble::Trouble,
};
use super::{act::json_diff, application};
use crate::ports::Repo;

/// What an Application shall ignore.
pub(in super::super) type Declared = (AppKey, Vec<Ignored>);

impl Engine {
    /// The fields that an Application shall ignore by decision.
    fn ignored(&self, app: &AppSeen) -> Result<Vec<Ignored>, Trouble> {
        let run = self.run();
        let mut fields = Vec::new();
        for (cell, decision) in &run.decisions {
            if cell.application != app.key || decision.take != Take::Ignore {
                continue;
            }
            fields.push(Ignored {
                object: cell.object.clone(),
                pointer: pointer(app, &cell.object, &cell.field)?,
            });
        }
        Ok(fields)
    }

    /// The declarations in Git that do not say yet what was decided, by repository.
    pub(in super::super) fn undeclared(
        &self,
        world: &World,
    ) -> Result<BTreeMap<String, Vec<Declared>>, Trouble> {
        let run = self.run();
        let mut found: BTreeMap<String, Vec<Declared>> = BTreeMap::new();
        for (key, _) in run.walking() {
            let Some(app) = world.applications.get(key) else {
                continue;
            };
            let fields = self.ignored(app)?;
            if fields.is_empty() {
                continue;
            }
            let Some(declared) = &app.declared else {
                return Err(Refusal::new(
                    6,
                    format!("the manifest of {key} is not found in Git any more, or is there twice and differently"),
                    "put it into the repository that it is rendered from, or decide those fields anew",
                )
                .into());
            };
            if !ignore::spec_with(&declared.object, &fields).is_empty() {
                found
                    .entry(declared.repo.clone())
                    .or_default()
                    .push((key.clone(), fields));
            }
        }
        Ok(found)
    }

    /// Changes every file that declares one of the Applications, on top of what is changed already.
    pub(in super::super) async fn declare(
        &self,
        world: &World,
        repo: &dyn Repo,
        head: &str,
        declared: &[Declared],
        changed: &mut Vec<changes::FileChange>,
    ) -> Result<(), Trouble> {
        if declared.is_empty() {
            return Ok(());
        }
        let files: Vec<String> = declared
            .iter()
            .filter_map(|(key, _)| world.applications.get(key)?.declared.as_ref())
            .map(|declared| declared.file.clone())
            .collect();
        for file in repo.manifests_with(head, MANIFESTS_OF_ARGO_CD, &[]).await? {
            let at = changed.iter().position(|change| change.path == file.path);
            let mut change = match at {
                Some(at) => changed.remove(at),
                None => changes::FileChange {
                    path: file.path.clone(),
                    before: Some(file.bytes.clone()),
                    after: Some(file.bytes),
                    edits: Vec::new(),
                    manifests: 0,
                },
            };
            for (key, fields) in declared {
                let plain = key.namespace == self.setting.namespace;
                // A file that goes declares nothing any more.
                let Some(bytes) = &change.after else { continue };
                let edited = declaration::ignoring(&change.path, bytes, key, plain, fields);
                match edited {
                    Ok(Some((after, edits))) => {
                        change.after = Some(after);
                        change.edits.extend(edits);
                    }
                    Ok(None) => {}
                    // A file that cannot be read declares nothing: the look did not find the Application in it either.
                    Err(_) if !files.contains(&change.path) => {}
                    Err(why) => {
                        return Err(Refusal::new(
                            6,
                            text::line(&format!("{} cannot be changed: {why}", change.path)),
                            "write the ignoreDifferences entry and RespectIgnoreDifferences=true by hand and push, then look again",
                        )
                        .into());
                    }
                }
            }
            if change.after != change.before {
                changed.push(change);
            }
        }
        Ok(())
    }

    /// What changes on the live Application, worked out on fresh facts.
    pub(in super::super) async fn ignore_sheet(
        &self,
        command: &Command,
        key: &AppKey,
    ) -> Result<Sheet, Trouble> {
        let application = self.application(key).await?;
        let fields = self.ignored_of(key).await?;
        let (effect, patch) = ignoring(key, &application, &fields)?;
        let mut sheet = self.blank(command, format!("let {} ignore what was decided", key.name));
        sheet.objects = vec![key.to_string()];
        sheet.will = fields
            .iter()
            .map(|field| text::line(&format!("{}: {}", key.name, say(field))))
            .collect();
        sheet.will.push(format!(
            "{}: the sync option RespectIgnoreDifferences=true, so that a sync leaves them as they are live",
            key.name
        ));
        sheet.assumes = vec![
            "same source, destination and policy as read now".into(),
            "its declaration in Git says the same".into(),
        ];
        if let Effect::Ignore { inverse, .. } = &effect {
            sheet.undo = vec![application::by_hand(key, inverse)];
        }
        sheet.by_hand = vec![application::by_hand(key, &patch)];
        sheet
            .warnings
            .push("what is ignored is seen by nobody in Argo CD any more".into());
        sheet.guards = vec![Self::guard_of(&application)];
        sheet.effects = vec![effect];
        Ok(sheet)
    }

    async fn ignored_of(&self, key: &AppKey) -> Result<Vec<Ignored>, Trouble> {
        let (world, _) = self.seen_or_look().await?;
        match world.applications.get(key) {
            Some(app) => self.ignored(app),
            None => Err(Trouble::failed(
                format!("find what {key} ignores"),
                "it was not found",
                "look again",
            )),
        }
    }

    /// Does what the sheet showed, and nothing else.
    pub(in super::super) async fn ignore(&self, sheet: &Sheet) -> Result<(), Trouble> {
        for (effect, guard) in sheet.effects.iter().zip(&sheet.guards) {
            let Effect::Ignore {
                application: key,
                patch: shown,
                ..
            } = effect
            else {
                continue;
            };
            self.must_hold(key).await?;
            let fields = self.ignored_of(key).await?;
            let outcome = self
                .patch_application(key, guard, &sheet.will, |fresh, _| {
                    let (effect, patch) = ignoring(key, fresh, &fields)?;
                    if changes_of(&patch) != changes_of(shown) {
                        return Err(Refusal::new(
                            2,
                            format!("what {key} ignores was changed after it was shown"),
                            "look again and decide anew; nothing was written",
                        )
                        .into());
                    }
                    Ok((effect, patch))
                })
                .await?;
            self.must_be_done(&format!("change what {key} ignores"), outcome)?;
            self.look_confirmed(key).await?;
        }
        Ok(())
    }
}

/// The pointer of a decided field, or why there is none.
pub(in super::super) fn pointer(
    app: &AppSeen,
    object: &ObjectRef,
    field: &FieldPath,
) -> Result<String, Refusal> {
    let (git, live) = app.sides_of(object);
    ignore::pointer_of(field, git, live).map_err(|why| {
        Refusal::new(
            3,
            text::line(&format!("{object} {field} cannot be ignored: {why}")),
            "choose another source for this field",
        )
    })
}

fn say(field: &Ignored) -> String {
    format!("{} {}", field.object, field.pointer)
}

fn ignoring(
    key: &AppKey,
    application: &Value,
    fields: &[Ignored],
) -> Result<(Effect, Value), Trouble> {
    let ops = ignore::patch(application, fields);
    if ops.is_empty() {
        return Err(Refusal::new(
            0,
            format!("{key} ignores all of it already"),
            "there is nothing to do",
        )
        .into());
    }
    let patch = Value::Array(ops);
    let mut changed = application.clone();
    let applied = serde_json::from_value::<json_patch::Patch>(patch.clone())
        .is_ok_and(|patch| json_patch::patch(&mut changed, &patch).is_ok());
    if !applied {
        return Err(Trouble::failed(
            format!("work out what {key} ignores"),
            "the change does not fit the Application",
            "look again",
        ));
    }
    let effect = Effect::Ignore {
        application: key.clone(),
        fields: fields.iter().map(say).collect(),
        inverse: json_diff(&changed, application),
        patch: patch.clone(),
    };
    Ok((effect, patch))
}

/// A patch without its guard.
fn changes_of(patch: &Value) -> Vec<&Value> {
    patch
        .as_array()
        .into_iter()
        .flatten()
        .filter(|op| op.get("op").and_then(Value::as_str) != Some("test"))
        .collect()
}

/// What the change does to those Applications that render the declarations themselves: exactly the two lists.
pub(in super::super) fn declared_in(readers: &[&AppSeen], declared: &[Declared]) -> Vec<FieldEdit> {
    let mut edits = Vec::new();
    for reader in readers {
        for rendered in reader.rendering.iter().flat_map(|r| &r.objects) {
            let Ok(object) = ObjectRef::from_object(&rendered.object) else {
                continue;
            };
            let mine = declared.iter().find(|(key, _)| {
                object.group == "argoproj.io"
                    && object.kind == "Application"
                    && object.name == key.name
                    && object.namespace.as_deref() == Some(key.namespace.as_str())
            });
            let Some((_, fields)) = mine else { continue };
            let spec = ignore::spec_with(&rendered.object, fields);
            let differences = spec
                .differences
                .map(|to| (FieldPath::keys(["spec", "ignoreDifferences"]), to));
            let options = spec
                .options
                .map(|to| (FieldPath::keys(["spec", "syncPolicy", "syncOptions"]), to));
            for (path, to) in differences.into_iter().chain(options) {
                edits.push(FieldEdit {
                    application: reader.key.to_string(),
                    object: object.key(),
                    path,
                    to: Some(to),
                });
            }
        }
    }
    edits
}
