//! The engine's state and its two doors: events in through the journal, effects out through a recorded intent.

use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};
use trueup_core::{
    event::{CommandLine, Effect, Event, Guard, Outcome},
    ids::OpId,
    now::Now,
    object::identity::{AppKey, ObjectRef},
    run::Run,
    sheet::{Confirm, Refusal, Sheet},
    text,
};

use super::{
    handle::{Update, Waiting},
    outages::Outages,
    predicting::Predictions,
    read::{Reader, World, application_ref},
    strayed::Stood,
    trouble::Trouble,
    watching::Mirrors,
};
use crate::{
    journal::{Boundaries, Journal, Line, Point},
    ports::{Clock, Cluster, Ids, Probe, Repos},
};

/// The world as the engine reaches it.
#[derive(Clone)]
pub struct Ports {
    pub cluster: Arc<dyn Cluster>,
    pub repos: Arc<dyn Repos>,
    pub probe: Arc<dyn Probe>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

/// What does not change while the engine runs.
#[derive(Clone, Debug)]
pub struct Setting {
    pub operator: String,
    pub host: String,
    /// Tells one state folder from another of the same operator on the same host: two people may share an account.
    pub folder: String,
    /// Argo CD's namespace.
    pub namespace: String,
    /// Marked by the operator as not production: a button confirms.
    pub non_production: bool,
    /// Author of commits, where the settings file names one.
    pub author: Option<crate::ports::Author>,
}

/// One incident being worked on.
pub struct Engine {
    pub(super) ports: Ports,
    pub(super) reader: Reader,
    pub(super) setting: Setting,
    journal: Mutex<Journal>,
    boundaries: Arc<dyn Boundaries>,
    run: RwLock<Arc<Run>>,
    seen: RwLock<Option<(Arc<World>, Arc<Now>)>>,
    updates: mpsc::UnboundedSender<Update>,
    /// When the cluster last answered.
    heard: Mutex<Instant>,
    pub(super) mirrors: Mirrors,
    /// Held by whoever looks.
    pub(super) looking: tokio::sync::Mutex<()>,
    /// When the last look began.
    looked: Mutex<Instant>,
    /// Counts the looks that gave something.
    looks_done: watch::Sender<u64>,
    /// How many want the world to be looked at by itself: a screen, and every wait that rests on what else happens.
    pub(super) lookouts: AtomicUsize,
    /// Up to where each quiet gate has heard of foreign writes.
    pub(super) quiet_since: Mutex<BTreeMap<String, u64>>,
    /// What others do to fields is held against this.
    pub(super) stood: Mutex<Stood>,
    /// What a sync of each Application would do.
    pub(super) predictions: Predictions,
    /// What does not answer, and since when.
    pub(super) outages: Mutex<Outages>,
}

/// As which context the API server is asked about an incident, why that one, and which other one there is.
pub fn as_whom(run: &Run, cluster: &dyn Cluster) -> String {
    let (context, id) = (cluster.context(), run.id());
    let opened = match context == run.pin.context {
        true => format!("with which {id} was opened"),
        false => format!("and {id} was opened with {}", run.pin.context),
    };
    let way = match cluster.other_context() {
        Some(other) => format!(
            "the kubeconfig's current context is {other}: --context {other} asks as that one"
        ),
        None => "--context NAME asks as another".to_owned(),
    };
    text::line(&format!("asked as context {context}, {opened}; {way}"))
}

impl Engine {
    pub fn new(
        ports: Ports,
        reader: Reader,
        mirrors: Mirrors,
        setting: Setting,
        journal: Journal,
        lines: &[Line],
        updates: mpsc::UnboundedSender<Update>,
    ) -> Self {
        let run = Run::fold(lines.iter().map(|line| &line.record));
        Self {
            ports,
            reader,
            setting,
            boundaries: journal.boundaries(),
            journal: Mutex::new(journal),
            run: RwLock::new(Arc::new(run)),
            seen: RwLock::new(None),
            updates,
            heard: Mutex::new(Instant::now()),
            mirrors,
            looking: tokio::sync::Mutex::default(),
            looked: Mutex::new(Instant::now()),
            looks_done: watch::Sender::new(0),
            lookouts: AtomicUsize::new(0),
            quiet_since: Mutex::default(),
            stood: Mutex::default(),
            predictions: Predictions::default(),
            outages: Mutex::default(),
        }
    }

    /// The cluster has answered.
    pub(super) fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// A look begins.
    pub(super) fn looks(&self) {
        self.mirrors.looking();
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago the last look began.
    pub(super) fn looked_ago(&self) -> Duration {
        self.looked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }

    /// Counts the looks that gave something.
    pub(super) fn looks_done(&self) -> watch::Receiver<u64> {
        self.looks_done.subscribe()
    }

    /// Age of what is known: time since the last byte from the cluster.
    pub fn age(&self) -> Duration {
        if let Some(age) = self.mirrors.age() {
            return age;
        }
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }

    /// The state as of the last durable event.
    pub fn run(&self) -> Arc<Run> {
        Arc::clone(&self.run.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The read side.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The last look at the world.
    pub fn seen(&self) -> Option<(Arc<World>, Arc<Now>)> {
        self.seen
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_seen(&self, world: Arc<World>, now: Arc<Now>) {
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) =
            Some((world, Arc::clone(&now)));
        self.looks_done
            .send_modify(|count| *count = count.wrapping_add(1));
        self.tell(Update::Seen(now));
    }

    /// The last look as it reads now that something else is decided: what was asked and is answered, and the other way round.
    pub(super) fn seen_anew(&self) {
        let Some((world, _)) = self.seen() else {
            return;
        };
        let now = Arc::new(super::observe::now(
            &world,
            &self.run(),
            &self.setting.namespace,
        ));
        {
            let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
            let still = |(newest, _): &&mut (Arc<World>, Arc<Now>)| Arc::ptr_eq(newest, &world);
            // A newer look was made of what is decided now.
            let Some((_, before)) = seen.as_mut().filter(still) else {
                return;
            };
            *before = Arc::clone(&now);
        }
        self.tell(Update::Seen(now));
        self.tell(Update::Freshness(self.age()));
    }

    /// The last look, or a first one.
    pub async fn seen_or_look(&self) -> Result<(Arc<World>, Arc<Now>), Trouble> {
        match self.seen() {
            Some(seen) => Ok(seen),
            None => self.look().await,
        }
    }

    /// Sends an update; a front end that is gone does not stop the engine.
    pub fn tell(&self, update: Update) {
        let _ = self.updates.send(update);
    }

    /// Makes an event durable and takes it into the state.
    pub fn record(&self, event: Event) -> Result<Arc<Run>, Trouble> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let record = Arc::new(journal.append(self.ports.clock.now(), event)?);
        let mut run = Run::clone(&self.run());
        run.apply(&record);
        let run = Arc::new(run);
        *self.run.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&run);
        drop(journal);
        self.tell(Update::Journaled {
            record,
            run: Arc::clone(&run),
        });
        Ok(run)
    }

    /// Writes down that something was refused to this operator which had been confirmed or decided.
    pub(super) fn refused(
        &self,
        what: &str,
        refusal: &Refusal,
        after: Vec<OpId>,
        again: Again,
    ) -> Result<(), Trouble> {
        self.not_done(what, refusal, false, after, again)
    }

    /// The same of what `failed`, though nobody refused it.
    pub(super) fn not_done(
        &self,
        what: &str,
        refusal: &Refusal,
        failed: bool,
        after: Vec<OpId>,
        again: Again,
    ) -> Result<(), Trouble> {
        let run = self.run();
        let (what, why) = (text::line(what), text::line(&refusal.reason));
        let said = (what, why, self.setting.operator.clone());
        let known = again == Again::Known && run.refused.as_ref() == Some(&said);
        // A journal that is closed tells of nothing that was tried later.
        if known || run.incident.is_none() || run.closed.is_some() {
            return Ok(());
        }
        let (what, why, by) = said;
        self.record(Event::Refused {
            what,
            rule: refusal.rule,
            why,
            by,
            after,
            failed,
        })?;
        Ok(())
    }

    /// Works with the journal directly: blobs, and the folder.
    pub fn with_journal<T>(&self, work: impl FnOnce(&Journal) -> T) -> T {
        work(&self.journal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps bytes beside the journal, named by their digest.
    pub fn keep(&self, bytes: &[u8]) -> Result<trueup_core::ids::Digest, Trouble> {
        Ok(self.with_journal(|journal| journal.put_blob(bytes))?)
    }

    /// One external write: intent durable, room for the outcome kept, the write, outcome durable.
    pub(super) async fn effect<F>(&self, write: Write, perform: F) -> Result<Outcome, Trouble>
    where
        F: Future<Output = Outcome>,
    {
        self.with_journal(Journal::reserve)?;
        let op = write.op.clone();
        self.record(Event::Intended {
            op: op.clone(),
            effect: write.effect,
            guard: write.guard,
            shown: write.shown,
            by_hand: write.by_hand,
            by: self.setting.operator.clone(),
        })?;
        let outcome = perform.await;
        self.boundaries.reached(Point::AfterEffect);
        self.end(&op, outcome.clone())?;
        Ok(outcome)
    }

    /// Records how a write ended.
    pub(super) fn end(&self, op: &OpId, outcome: Outcome) -> Result<(), Trouble> {
        self.record(Event::Ended {
            op: op.clone(),
            outcome,
        })?;
        self.boundaries.reached(Point::AfterOutcome);
        Ok(())
    }

    /// A request that needs no sheet of its own (refresh, lease), for the command log.
    pub(super) fn logged(
        &self,
        by_hand: String,
        result: String,
        took: Duration,
    ) -> Result<(), Trouble> {
        let line = CommandLine {
            by_hand: text::line(&by_hand),
            result: text::line(&result),
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        self.record(Event::CommandRan { line })?;
        Ok(())
    }

    /// Shows what is being waited for while `work` goes on, and gives up at the limit.
    pub(super) async fn waiting<T>(
        &self,
        what: impl Into<String>,
        limit: Duration,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let what = what.into();
        self.tell(Update::Waiting(Some(Waiting {
            what: what.clone(),
            since: self.ports.clock.now(),
            limit,
            cancellable: true,
        })));
        let ended = tokio::time::timeout(limit, work).await;
        self.tell(Update::Waiting(None));
        ended.unwrap_or_else(|_| {
            Err(Trouble::TimedOut {
                what,
                limit: trueup_core::span::Span(limit).to_string(),
                hint: "look again; if it stays so, see what Argo CD's controller says".into(),
            })
        })
    }

    /// Shows what is waited for, and lets what is left of `hold` pass.
    pub(super) async fn hold(&self, what: &str, hold: Duration, left: Duration) {
        self.tell(Update::Waiting(Some(Waiting {
            what: what.into(),
            since: self.ports.clock.now() - (hold.saturating_sub(left)),
            limit: hold,
            cancellable: true,
        })));
        self.pause(left).await;
        self.tell(Update::Waiting(None));
    }

    /// How much of `span` is left since `at`.
    pub(super) fn left_since(&self, at: Timestamp, span: Duration) -> Duration {
        let passed = self.ports.clock.now().duration_since(at).unsigned_abs();
        span.saturating_sub(passed)
    }

    pub(super) async fn pause(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// The reference of an Application object.
    pub fn application_ref(&self, key: &AppKey) -> ObjectRef {
        application_ref(key)
    }

    /// The Application as the server has it now.
    pub(super) async fn application(&self, key: &AppKey) -> Result<serde_json::Value, Trouble> {
        let found = self.ports.cluster.get(&self.application_ref(key)).await?;
        self.hear();
        found.ok_or_else(|| {
            Trouble::failed(
                format!("read the Application {key}"),
                "it does not exist any more",
                "take it out of the scope, or see who deleted it",
            )
        })
    }

    pub(super) fn confirm(&self) -> Confirm {
        if self.setting.non_production {
            Confirm::Button
        } else {
            Confirm::Type(self.run().id().to_owned())
        }
    }

    /// Where the cluster's sheets say that they write.
    pub(super) fn place(&self) -> String {
        let run = self.run();
        let context = self.ports.cluster.context();
        let opened = match context == run.pin.context {
            true => String::new(),
            false => format!(", opened as {}", run.pin.context),
        };
        text::line(&format!("{context} ({}, pinned{opened})", run.pin.server))
    }

    /// As which context the API server is asked, and why that one: who has no right may have it as another.
    pub fn as_whom(&self) -> String {
        as_whom(&self.run(), self.ports.cluster.as_ref())
    }

    /// The kubeconfig's current context, where that is another one of the same server.
    pub fn other_context(&self) -> Option<&str> {
        self.ports.cluster.other_context()
    }

    pub(super) fn op_id(&self) -> OpId {
        OpId(self.ports.ids.op_id())
    }

    /// Whether the sheet still says what is so of `object`; a fact that moved is named.
    pub(super) fn facts_hold(
        object: &str,
        shown: &BTreeMap<String, serde_json::Value>,
        fresh: &BTreeMap<String, serde_json::Value>,
    ) -> Result<(), Refusal> {
        for (name, was) in shown {
            let is = fresh.get(name).unwrap_or(&serde_json::Value::Null);
            if is != was {
                return Err(Refusal::new(
                    2,
                    text::line(&format!(
                        "{object}: {name} was {was} when it was confirmed and is {is} now"
                    )),
                    format!("{object} was not touched: look again and decide anew"),
                ));
            }
        }
        Ok(())
    }
}

/// What becomes of a refusal that is the last one over again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// A person confirmed it anew.
    Told,
    /// A walk came by once more.
    Known,
}

/// A write about to be intended.
pub(super) struct Write {
    pub op: OpId,
    pub effect: Effect,
    pub guard: Guard,
    pub shown: Vec<String>,
    pub by_hand: Vec<String>,
}

/// Gives a sheet its id: the digest of everything that it says.
pub(super) fn sealed(mut sheet: Sheet) -> Sheet {
    sheet.id = trueup_core::ids::Digest::of(b"");
    let said = serde_json::to_vec(&sheet).unwrap_or_default();
    sheet.id = trueup_core::ids::Digest::of(&said);
    sheet
}
