//! What the watches bring to the engine: a look when something of the scope moved, gaps for the journal, writes for the
//! quiet gate, and the end of a wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use trueup_core::event::Event;
use trueup_core::now::Now;
use trueup_core::object::identity::{AppKey, ObjectKey, ObjectRef};
use trueup_core::plan::Gate;
use trueup_core::text;
use trueup_core::workflow::{self, Next};

use super::handle::Update;
use super::mirror::{Bell, Interest, Mirror};
use super::read::World;
use super::state::Engine;
use super::steps::application::POLL;
use super::trouble::Trouble;

/// How old a look may grow: what no watch brings (branches, permissions) is asked for this often.
const FRESH: Duration = Duration::from_secs(6);
/// What comes in within this time is one look.
const TOGETHER: Duration = Duration::from_millis(100);
/// Between two looks that watches brought about, at least this long, and twice as long as the last one took.
const BREATH: Duration = Duration::from_millis(300);
/// A wait looks by itself after this time, whatever the watch says.
const ANYWAY: Duration = Duration::from_secs(2);

/// The clusters as this process keeps them, by context.
pub struct Mirrors {
    by_context: BTreeMap<String, Arc<Mirror>>,
    bell: Bell,
    /// Objects whose moves make a look worth while, and the namespaces that are deployed to.
    scope: std::sync::Mutex<(BTreeSet<ObjectKey>, BTreeSet<String>)>,
}

impl Mirrors {
    /// `bell` is the one that these mirrors ring.
    pub fn new(mirrors: impl IntoIterator<Item = Arc<Mirror>>, bell: Bell) -> Self {
        let by_context = mirrors
            .into_iter()
            .map(|mirror| (mirror.name().to_owned(), mirror));
        Self {
            by_context: by_context.collect(),
            bell,
            scope: std::sync::Mutex::default(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Mirror>> {
        self.by_context.values()
    }

    pub(super) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Age of the oldest of what is kept.
    pub(super) fn age(&self) -> Option<Duration> {
        self.all().filter_map(|mirror| mirror.age()).max()
    }

    /// What moved until now will be in the look that begins now.
    pub(super) fn looking(&self) {
        for mirror in self.all() {
            mirror.take_moved();
        }
    }

    /// Whether anything moved that this incident is about.
    fn moved(&self) -> bool {
        let scope = super::mirror::lock(&self.scope);
        let (objects, namespaces) = &*scope;
        self.all().fold(false, |any, mirror| {
            any | mirror.take_moved().iter().any(|key| {
                objects.contains(key)
                    || key
                        .namespace
                        .as_ref()
                        .is_some_and(|namespace| namespaces.contains(namespace))
                    || (key.group == "argoproj.io" && key.kind != "Application")
            })
        })
    }

    /// Takes over what the last look was about.
    fn about(&self, world: &World, now: &Now, quiet: bool) {
        let mut objects = BTreeSet::new();
        let mut namespaces = BTreeSet::new();
        let mut interest: BTreeMap<&str, Interest> = BTreeMap::new();
        for (key, app) in &world.applications {
            objects.extend(ObjectRef::from_object(&app.object).map(|object| object.key()));
            if !app.destination.namespace.is_empty() {
                namespaces.insert(app.destination.namespace.clone());
            }
            let own: BTreeSet<ObjectKey> = app
                .desired
                .iter()
                .map(|desired| desired.object.as_ref())
                .chain(app.live_objects())
                .filter_map(|object| Some(ObjectRef::from_object(object).ok()?.key()))
                .collect();
            if let (true, Some(context)) = (quiet, &app.destination.context) {
                let interest = interest.entry(context).or_default();
                for object in &own {
                    interest.entry(object.clone()).or_default();
                }
                for cell in now.cells.keys().filter(|cell| cell.application == *key) {
                    interest
                        .entry(cell.object.key())
                        .or_default()
                        .insert(cell.field.clone());
                }
            }
            objects.extend(own);
        }
        *super::mirror::lock(&self.scope) = (objects, namespaces);
        for (context, mirror) in &self.by_context {
            let interest = interest.remove(context.as_str()).unwrap_or_default();
            mirror.trail(|trail| trail.follow(interest));
        }
    }
}

/// While it lives, the world is looked at by itself.
pub(super) struct Lookout<'e>(&'e AtomicUsize);

impl Drop for Lookout<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Engine {
    pub(super) fn look_out(&self) -> Lookout<'_> {
        self.lookouts.fetch_add(1, Ordering::Relaxed);
        Lookout(&self.lookouts)
    }

    /// From here on the world is looked at by itself for as long as the engine lives.
    pub(super) fn keep_a_lookout(&self) {
        std::mem::forget(self.look_out());
    }

    /// Waits for something that others can overtake, for as long as it is what comes next. Meanwhile the world is looked at:
    /// a freeze that is lost, or a decision that somebody touched, ends the wait at once.
    pub(super) async fn while_next(
        &self,
        next: &Next,
        wait: impl Future<Output = Result<(), Trouble>>,
    ) -> Result<(), Trouble> {
        let _lookout = self.look_out();
        let mut looks = self.looks_done();
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                ended = &mut wait => return ended,
                looked = looks.changed() => {
                    if looked.is_ok() && self.overtaken(next) {
                        self.tell(Update::Waiting(None));
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether something else comes next now. That not everything could be read overtakes nothing.
    fn overtaken(&self, next: &Next) -> bool {
        let Some((_, now)) = self.seen() else {
            return false;
        };
        let is = workflow::next(&self.run(), &now);
        is != *next && !matches!(is, Next::Stopped { rule: 0, .. })
    }

    /// Looks because a watch brought something: branches may be a few seconds old.
    pub(super) async fn glance(&self) -> Result<(), Trouble> {
        self.look_at(true).await.map(drop)
    }

    /// What the look was about is what the watches are asked about from now on.
    pub(super) fn watch_for(&self, world: &World, now: &Now) {
        let run = self.run();
        let is_quiet =
            |gate: &Gate| matches!(gate, Gate::Measured(measured) if measured.quiet.is_some());
        let quiet = run.gates.values().any(is_quiet);
        self.mirrors.about(world, now, quiet);
    }

    /// Writes down what was not seen, where something rests on its having been seen.
    pub(super) fn note_gaps(&self) -> Result<(), Trouble> {
        for gap in self.mirrors.all().flat_map(|mirror| mirror.take_gaps()) {
            let run = self.run();
            if run.closed.is_none() && run.rests_on_watching(&gap.kind) {
                self.record(Event::ObservationGap {
                    kind: text::line(&gap.kind),
                    namespace: gap.namespace.as_deref().map(text::line),
                    from: text::line(&gap.from),
                    to: text::line(&gap.to),
                    why: text::line(&gap.why),
                })?;
            }
        }
        Ok(())
    }

    /// Looks at the world when every object of an Application was read from the server first: what a watch has not brought
    /// yet is waited for.
    pub(super) async fn look_confirmed(
        &self,
        key: &AppKey,
    ) -> Result<(Arc<World>, Arc<Now>), Trouble> {
        self.confirm_objects(Some(key)).await?;
        self.look().await
    }

    /// Confirms the objects of an Application, or of all.
    async fn confirm_objects(&self, only: Option<&AppKey>) -> Result<(), Trouble> {
        let (world, _) = self.seen_or_look().await?;
        let mut objects: BTreeMap<&str, BTreeMap<ObjectKey, ObjectRef>> = BTreeMap::new();
        for (key, app) in &world.applications {
            let Some(context) = app.destination.context.as_deref() else {
                continue;
            };
            if only.is_some_and(|only| only != key) {
                continue;
            }
            let named = app
                .desired
                .iter()
                .map(|desired| desired.object.as_ref())
                .chain(app.live_objects())
                .filter_map(|object| ObjectRef::from_object(object).ok())
                .map(|object| (object.key(), object));
            objects.entry(context).or_default().extend(named);
        }
        // What an Application itself says is looked at too, and it lives where Argo CD does.
        let hub = objects.entry(self.ports.cluster.context()).or_default();
        let applications = world.applications.values();
        hub.extend(
            applications
                .filter(|app| only.is_none_or(|only| *only == app.key))
                .filter_map(|app| ObjectRef::from_object(&app.object).ok())
                .map(|object| (object.key(), object)),
        );
        for (context, objects) in objects {
            if let Some(mirror) = self.mirrors.by_context.get(context) {
                let objects: Vec<ObjectRef> = objects.into_values().collect();
                mirror.confirm(&objects).await?;
            }
        }
        self.note_gaps()
    }

    /// Waits until the Application is another one than `seen`, and a while at most.
    pub(super) async fn until_it_moves(&self, seen: &Value) {
        match self.mirrors.by_context.get(self.ports.cluster.context()) {
            Some(hub) => hub.newer_than(seen, ANYWAY, POLL).await,
            None => self.pause(POLL).await,
        }
    }

    /// The writes that others made to objects of the scope since the last time that was asked for the same; the first time
    /// there is nothing to compare with.
    pub(super) async fn foreign_writes(&self, asked: &str) -> Result<Option<Vec<String>>, Trouble> {
        self.look().await?;
        self.confirm_objects(None).await?;
        let mut found = Some(Vec::new());
        for (context, mirror) in &self.mirrors.by_context {
            let mut places = super::mirror::lock(&self.quiet_since);
            mirror.trail(|trail| {
                let place = places.insert(format!("{asked} on {context}"), trail.end());
                match (place, &mut found) {
                    (Some(place), Some(found)) => found.extend(trail.since(place)),
                    _ => found = None,
                }
            });
        }
        Ok(found)
    }
}

/// Looks when a watch brought something of the scope, and every few seconds for what no watch brings, while anybody wants
/// that.
pub async fn keep_looking(engine: Weak<Engine>) {
    let Some(mut bell) = engine.upgrade().map(|engine| engine.mirrors.bell()) else {
        return;
    };
    let mut moved = false;
    let mut after = Instant::now();
    loop {
        let rung = tokio::time::timeout(Duration::from_secs(1), bell.changed()).await;
        if rung.is_ok() {
            tokio::time::sleep(TOGETHER).await;
            bell.borrow_and_update();
        }
        let Some(engine) = engine.upgrade() else {
            return;
        };
        if engine.lookouts.load(Ordering::Relaxed) == 0 {
            continue;
        }
        // A journal that cannot be written stops the step that writes to it next, and says so.
        let _ = engine.note_gaps();
        moved |= engine.mirrors.moved();
        let due = moved || engine.looked_ago() > FRESH;
        if engine.seen().is_none() || !due || Instant::now() < after {
            continue;
        }
        let began = Instant::now();
        // What fails here shows as the age of the data, and in the command log.
        let _ = if moved {
            engine.glance().await
        } else {
            engine.look().await.map(drop)
        };
        moved = false;
        after = Instant::now() + BREATH.max(began.elapsed() * 2);
    }
}
