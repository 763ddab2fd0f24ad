//! Snapshots: the world as it stood, kept as blobs and named in the journal.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};
use trueup_core::drift::{self, Input, report::Question};
use trueup_core::event::{Earlier, Event};
use trueup_core::ids::{Commit, Digest};
use trueup_core::object::identity::AppKey;
use trueup_core::object::managed;
use trueup_core::policy::Policy;
use trueup_core::run::{self, Blind, Run};
use trueup_core::text;

use super::super::{
    observe::quiet_cell,
    read::{AppSeen, Reader, World, unsupported},
    state::Engine,
    trouble::Trouble,
};

/// With more questions than this the event names the blob only.
const INLINE: usize = 200;

/// What a snapshot journals, but for its blobs.
pub struct Snapshot {
    number: u32,
    again: bool,
    unread: Vec<String>,
    questions: Vec<Value>,
    applications: Vec<Value>,
    heads: BTreeMap<String, Commit>,
    incomplete: Vec<AppKey>,
    earlier: Vec<Earlier>,
}

impl Snapshot {
    /// What a look at the world comes to.
    pub fn of(run: &Run, world: &World) -> Self {
        let in_scope = |key: &AppKey| run.scope.is_empty() || run.scope.contains(key);
        let incomplete = |app: &AppSeen| !app.complete && unsupported(&app.object).is_none();
        let heads = world.applications.values().filter_map(|app| {
            let head = app.head.clone()?;
            Some((app.repo_url.clone(), Commit(head)))
        });
        Self {
            number: run.snapshots,
            again: false,
            unread: world
                .report
                .errors
                .iter()
                .map(|e| format!("{}: {}", e.what, e.why))
                .collect(),
            questions: inline(&world.report.questions),
            applications: with_policies(inline(&world.report.applications), world),
            heads: heads.collect(),
            incomplete: world
                .applications
                .iter()
                .filter(|(key, app)| in_scope(key) && incomplete(app))
                .map(|(key, _)| key.clone())
                .collect(),
            earlier: Vec::new(),
        }
    }

    /// The last snapshot taken again, where it could not read an Application that this look did; with what those that could
    /// not had live. `kept`: what stands beside the journal.
    pub async fn again(
        reader: &Reader,
        run: &Run,
        world: &World,
        kept: impl Fn(&Digest) -> Option<Vec<u8>>,
    ) -> Option<Self> {
        let read_since = |key: &&AppKey| {
            let app = world.applications.get(*key);
            run.unsnapped(key) && app.is_some_and(|app| app.complete)
        };
        if run.closed.is_some() || run.scope.iter().find(read_since).is_none() {
            return None;
        }
        let mut snapshot = Self::of(run, world);
        snapshot.number = run.snapshots.saturating_sub(1);
        snapshot.again = true;
        for blind in &run.blind {
            let part = |name: &str| -> Option<Value> {
                let bytes = kept(blind.blobs.get(name)?)?;
                serde_json::from_slice(&bytes).ok()
            };
            let (Some(applications), Some(live)) = (part("applications"), part("live")) else {
                snapshot.unread.push(format!(
                    "hold the snapshot of {} against Git: what it kept is not beside the journal any more",
                    blind.at.strftime("%F %H:%M:%S UTC")
                ));
                continue;
            };
            let questions = earlier(reader, world, blind, &applications, &live).await;
            match inline(&questions) {
                inline if inline.len() == questions.len() => snapshot.earlier.extend(
                    (!inline.is_empty()).then_some(Earlier {
                        at: blind.at,
                        questions: inline,
                    }),
                ),
                _ => snapshot.unread.push(format!(
                    "keep what was live at {}: {} moved since, and the journal keeps no more than {INLINE}",
                    blind.at.strftime("%F %H:%M:%S UTC"),
                    text::count(questions.len(), "field"),
                )),
            }
        }
        Some(snapshot)
    }

    pub fn event(self, blobs: BTreeMap<String, Digest>, counts: BTreeMap<String, usize>) -> Event {
        Event::SnapshotTaken {
            number: self.number,
            blobs,
            counts,
            unread: self.unread,
            questions: self.questions,
            applications: self.applications,
            heads: self.heads,
            again: self.again,
            incomplete: self.incomplete,
            earlier: self.earlier,
        }
    }
}

/// Applications with their policies as they are: who changes one before it is frozen is told of.
fn with_policies(mut applications: Vec<Value>, world: &World) -> Vec<Value> {
    for named in &mut applications {
        let text = |field: &str| named.get(field).and_then(Value::as_str);
        let key = text("namespace").zip(text("name"));
        let app =
            key.and_then(|(namespace, name)| world.applications.get(&AppKey::new(namespace, name)));
        if let Some(app) = app {
            named[run::POLICY] = Policy::of(&app.object).value().cloned().unwrap_or_default();
        }
    }
    applications
}

/// What an event names; more than that is in the blob only.
fn inline<T: Serialize>(all: &[T]) -> Vec<Value> {
    match all.len() > INLINE {
        true => Vec::new(),
        false => all
            .iter()
            .filter_map(|one| serde_json::to_value(one).ok())
            .collect(),
    }
}

/// What a snapshot that could not read Git would have asked, of which live moved since: nothing but what it kept has that.
async fn earlier(
    reader: &Reader,
    world: &World,
    blind: &Blind,
    applications: &Value,
    live: &Value,
) -> Vec<Question> {
    let mut inputs = Vec::new();
    let mut asked = BTreeSet::new();
    for (key, app) in world.applications.iter().filter(|(_, app)| app.complete) {
        let name = key.to_string();
        let (Some(application), Some(objects)) = (
            applications.get(&name),
            live.get(&name).and_then(Value::as_array),
        ) else {
            continue;
        };
        // The others are there to be compared with: that snapshot asked about them itself.
        if blind.applications.contains(key) {
            asked.insert(key.clone());
        }
        inputs.push(
            reader
                .as_of(app, application.clone(), objects.clone())
                .await,
        );
    }
    let mut report = drift::report(&Input {
        applications: inputs,
        now: blind.at,
    });
    report.questions.retain_mut(|question| {
        let field = question.field.clone();
        // What that snapshot does not have may be what it could not read.
        question.cells.retain(|cell| {
            cell.sides().live.is_some() && asked.contains(&cell.key(&field).application)
        });
        question.cells.iter().any(|cell| {
            let (key, then) = (cell.key(&field), cell.sides().live);
            let app = world.applications.get(&key.application);
            cell.differs && app.is_some_and(|app| quiet_cell(app, &key).sides.live != then)
        })
    });
    report.questions
}

impl Engine {
    /// Looks at the world and keeps what it says. Secret values have been replaced by digests where they came in.
    pub(in super::super) async fn snapshot(&self) -> Result<(), Trouble> {
        let (world, _) = self.look().await?;
        self.take(&world, Snapshot::of(&self.run(), &world))
    }

    /// Takes the last snapshot again where it could not read an Application that this look did.
    pub(in super::super) async fn snapshot_again(&self, world: &World) -> Result<(), Trouble> {
        let run = self.run();
        let kept = |digest: &Digest| self.with_journal(|journal| journal.blob(digest).ok());
        match Snapshot::again(&self.reader, &run, world, kept).await {
            Some(snapshot) => self.take(world, snapshot),
            None => Ok(()),
        }
    }

    fn take(&self, world: &World, snapshot: Snapshot) -> Result<(), Trouble> {
        let run = self.run();
        let scope = |key: &AppKey| run.scope.is_empty() || run.scope.contains(key);
        let mut blobs = BTreeMap::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (name, part) in parts(world, scope) {
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
        self.record(snapshot.event(blobs, counts))?;
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
