//! Snapshots: the world as it stood, kept as blobs and named in the journal.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trueup_core::event::Event;
use trueup_core::object::managed;

use super::super::{read::World, state::Engine, trouble::Trouble};

/// With more questions than this the event names the blob only.
const INLINE: usize = 200;

impl Engine {
    /// Looks at the world and keeps what it says. Secret values have been replaced by digests where they came in.
    pub(in super::super) async fn snapshot(&self) -> Result<(), Trouble> {
        let (world, now) = self.look().await?;
        let run = self.run();
        let scope = |key: &trueup_core::object::identity::AppKey| {
            run.scope.is_empty() || run.scope.contains(key)
        };
        let mut blobs = BTreeMap::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (name, part) in parts(&world, scope) {
            if name == "live" {
                for object in part
                    .as_object()
                    .into_iter()
                    .flat_map(|apps| apps.values())
                    .filter_map(Value::as_array)
                    .flatten()
                {
                    let kind = object.get("kind").and_then(Value::as_str).unwrap_or("?");
                    *counts.entry(kind.to_owned()).or_default() += 1;
                }
            }
            let bytes = serde_json::to_vec(&part).map_err(|error| {
                Trouble::failed(
                    "write the snapshot down",
                    error,
                    "report this with the name of the object",
                )
            })?;
            blobs.insert(name.to_owned(), self.keep(&bytes)?);
        }
        let questions: Vec<Value> = world
            .report
            .questions
            .iter()
            .filter_map(|q| serde_json::to_value(q).ok())
            .collect();
        let applications: Vec<Value> = world
            .report
            .applications
            .iter()
            .filter_map(|a| serde_json::to_value(a).ok())
            .collect();
        self.record(Event::SnapshotTaken {
            number: run.snapshots,
            blobs,
            counts,
            unread: world
                .report
                .errors
                .iter()
                .map(|e| format!("{}: {}", e.what, e.why))
                .collect(),
            questions: if questions.len() > INLINE {
                Vec::new()
            } else {
                questions
            },
            applications: if applications.len() > INLINE {
                Vec::new()
            } else {
                applications
            },
            heads: now.heads.clone(),
        })?;
        Ok(())
    }
}

/// The object as the API has it.
pub(super) fn whole(object: &Value) -> Value {
    let mut object = object.clone();
    managed::unpack(&mut object);
    object
}

fn parts(
    world: &World,
    scope: impl Fn(&trueup_core::object::identity::AppKey) -> bool,
) -> Vec<(&'static str, Value)> {
    let apps = || world.applications.iter().filter(|(key, _)| scope(key));
    let each = |part: &dyn Fn(&super::super::read::AppSeen) -> Value| -> Value {
        apps()
            .map(|(key, app)| (key.to_string(), part(app)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    vec![
        ("applications", each(&|app| whole(&app.object))),
        ("live", each(&|app| app.live_objects().map(whole).collect())),
        (
            "desired",
            each(&|app| {
                app.desired
                    .iter()
                    .map(|d| Value::clone(&d.object))
                    .collect::<Vec<_>>()
                    .into()
            }),
        ),
        (
            "base",
            each(&|app| {
                let base = app.base.as_ref();
                base.map_or(Value::Null, |base| {
                    base.iter().map(|object| Value::clone(object)).collect()
                })
            }),
        ),
        (
            "report",
            serde_json::to_value(&world.report).unwrap_or_else(|_| json!(null)),
        ),
    ]
}
