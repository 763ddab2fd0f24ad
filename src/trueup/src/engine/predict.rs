//! What a sync would do to each object: the request that Argo CD would send, sent as a server-side dry run.

use serde_json::Value;
use trueup_core::{
    apply,
    object::{
        diff::{self, FieldChange},
        identity::ObjectRef,
        normalise,
    },
    policy, text,
};

use super::read::AppSeen;
use crate::ports::{Cluster, WriteError, WriteKind, WriteRequest};

/// The field manager that Argo CD applies with (`common.ArgoCDSSAManager` upstream, for both ways of applying).
const ARGO_MANAGER: &str = "argocd-controller";

/// The predicted effect of one sync.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    pub objects: Vec<ObjectEffect>,
    /// Live objects of the Application that Git does not have.
    pub extra: Vec<ObjectRef>,
    pub hooks: Vec<String>,
}

/// The predicted effect on one object.
#[derive(Clone, Debug)]
pub struct ObjectEffect {
    pub object: ObjectRef,
    pub kind: EffectKind,
}

#[derive(Clone, Debug)]
pub enum EffectKind {
    Created,
    /// Fields that move; empty when only bookkeeping does.
    Changed {
        changes: Vec<FieldChange>,
        bookkeeping: Vec<String>,
    },
    Unpredictable {
        why: String,
    },
}

/// Predicts a sync of the Application to what Git has at the head.
///
/// A secret is compared by its digests and never sent: the dry run would need its value.
pub async fn predict(cluster: &dyn Cluster, app: &AppSeen, instance: &str) -> Effects {
    let mut effects = Effects {
        hooks: app
            .hooks
            .iter()
            .map(|hook| text::line(&hook.to_string()))
            .collect(),
        ..Effects::default()
    };
    let mut wanted = Vec::new();
    for desired in &app.desired {
        let Ok(object) = ObjectRef::from_object(&desired.object) else {
            continue;
        };
        wanted.push(object.key());
        let live = app.live.iter().find(|live| {
            ObjectRef::from_object(live).is_ok_and(|reference| reference.key() == object.key())
        });
        let kind = match live {
            Some(live) if object.kind == "Secret" && object.group.is_empty() => {
                local(&desired.object, live, &object)
            }
            Some(live) => change(cluster, app, &desired.object, live, &object, instance).await,
            None => create(cluster, app, &desired.object, &object, instance).await,
        };
        effects.objects.push(ObjectEffect { object, kind });
    }
    effects.extra = app
        .live
        .iter()
        .filter_map(|live| ObjectRef::from_object(live).ok())
        .filter(|object| !wanted.contains(&object.key()))
        .collect();
    effects
}

fn local(desired: &Value, live: &Value, object: &ObjectRef) -> EffectKind {
    let after = apply::predict(
        policy::last_applied(live).as_ref(),
        desired,
        live,
        &object.kind,
    );
    between(live, &after, object)
}

/// Whether Argo CD would use server-side apply for this object.
fn server_side(app: &AppSeen, desired: &Value) -> bool {
    let has = |options: &str, wanted: &str| options.split(',').any(|o| o.trim() == wanted);
    let annotation = desired
        .pointer("/metadata/annotations")
        .and_then(|a| a.get("argocd.argoproj.io/sync-options"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    if has(annotation, "ServerSideApply=false") {
        return false;
    }
    let for_all = app
        .object
        .pointer("/spec/syncPolicy/syncOptions")
        .and_then(Value::as_array)
        .is_some_and(|options| {
            options
                .iter()
                .any(|o| o.as_str() == Some("ServerSideApply=true"))
        });
    for_all || has(annotation, "ServerSideApply=true")
}

async fn change(
    cluster: &dyn Cluster,
    app: &AppSeen,
    desired: &Value,
    live: &Value,
    object: &ObjectRef,
    instance: &str,
) -> EffectKind {
    let target = match apply::desired_for_apply(desired, instance, &app.destination.namespace) {
        Ok(target) => target,
        Err(error) => {
            return EffectKind::Unpredictable {
                why: error.to_string(),
            };
        }
    };
    let (kind, body) = if server_side(app, desired) {
        (WriteKind::Apply { force: true }, target)
    } else {
        let patch = apply::three_way_patch(
            policy::last_applied(live).as_ref(),
            &target,
            live,
            &object.kind,
        );
        if only_bookkeeping(&patch.body) {
            return EffectKind::Changed {
                changes: Vec::new(),
                bookkeeping: vec![
                    "last-applied".into(),
                    "resourceVersion".into(),
                    "managedFields".into(),
                ],
            };
        }
        let kind = match patch.patch_type {
            apply::PatchType::Strategic => WriteKind::StrategicMerge,
            apply::PatchType::Merge => WriteKind::MergePatch,
        };
        (kind, patch.body)
    };
    match dry_run(cluster, object, kind, body).await {
        Ok(after) => between(live, &after, object),
        Err(why) => EffectKind::Unpredictable { why },
    }
}

async fn create(
    cluster: &dyn Cluster,
    app: &AppSeen,
    desired: &Value,
    object: &ObjectRef,
    instance: &str,
) -> EffectKind {
    if object.kind == "Secret" && object.group.is_empty() {
        return EffectKind::Created;
    }
    let target = match apply::desired_for_apply(desired, instance, &app.destination.namespace) {
        Ok(target) => target,
        Err(error) => {
            return EffectKind::Unpredictable {
                why: error.to_string(),
            };
        }
    };
    match dry_run(cluster, object, WriteKind::Create, target).await {
        Ok(_) => EffectKind::Created,
        Err(why) => EffectKind::Unpredictable { why },
    }
}

async fn dry_run(
    cluster: &dyn Cluster,
    object: &ObjectRef,
    kind: WriteKind,
    body: Value,
) -> Result<Value, String> {
    let request = WriteRequest {
        object: object.clone(),
        kind,
        body,
        dry_run: true,
        field_manager: ARGO_MANAGER.into(),
        subresource: None,
    };
    cluster.write(&request).await.map_err(|error| match error {
        WriteError::Refused {
            code: 403, message, ..
        } => text::line(&format!("no right to a dry run: {message}")),
        other => text::line(&other.to_string()),
    })
}

fn between(live: &Value, after: &Value, object: &ObjectRef) -> EffectKind {
    let (live, after) = (
        normalise::strip(live).object,
        normalise::strip(after).object,
    );
    let (bookkeeping, changes): (Vec<_>, Vec<_>) = diff::diff(&live, &after, &object.kind)
        .into_iter()
        .filter(|change| !change.is_cosmetic(&object.kind))
        .partition(|change| normalise::is_bookkeeping(&change.path));
    let mut named: Vec<String> = bookkeeping
        .iter()
        .map(|change| change.path.to_string())
        .collect();
    named.extend([
        "last-applied".into(),
        "resourceVersion".into(),
        "managedFields".into(),
    ]);
    EffectKind::Changed {
        changes,
        bookkeeping: named,
    }
}

/// Whether a patch touches nothing but annotations that tools keep about their own work.
fn only_bookkeeping(patch: &Value) -> bool {
    let Some(top) = patch.as_object() else {
        return true;
    };
    top.iter().all(|(name, value)| match name.as_str() {
        "metadata" => value.as_object().is_some_and(|metadata| {
            metadata.iter().all(|(name, value)| {
                name == "annotations"
                    && value.as_object().is_some_and(|annotations| {
                        annotations
                            .keys()
                            .all(|name| normalise::is_bookkeeping_annotation(name))
                    })
            })
        }),
        _ => false,
    })
}
