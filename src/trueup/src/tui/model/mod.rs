//! The state of the screen: what the engine told, what is derived from it, and where the operator is.

pub mod decide;
pub mod derived;
pub mod dialog;
pub mod facts;
pub mod hold;
pub mod value;

use super::theme::Theme;
use crate::engine::handle::{Held, Waiting};
use decide::DecideState;
use derived::Derived;
use dialog::Dialog;
use jiff::Timestamp;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use trueup_core::{
    event::{CommandLine, Record},
    now::Now,
    object::identity::AppKey,
    run::Run,
    sheet::Command,
    workflow::{Next, Stage},
};

/// Lines of the command log and records that are kept.
const KEPT: usize = 5_000;

/// What the engine told last.
#[derive(Clone, Debug)]
pub struct World {
    pub run: Arc<Run>,
    pub now: Arc<Now>,
    pub next: Next,
    pub waiting: Option<Waiting>,
    pub held: Held,
    /// Age of the newest byte from the cluster, and when we were told.
    pub fresh: Option<(Duration, Timestamp)>,
    /// Since when not all that is walked can be read.
    pub unread_since: Option<Timestamp>,
    pub log: VecDeque<(Timestamp, CommandLine)>,
    pub records: VecDeque<Arc<Record>>,
    /// Newest last.
    pub snapshots: Vec<Snapshot>,
    pub exported: Vec<String>,
    pub stopped: bool,
}

/// What is known of a snapshot that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub number: u32,
    /// Taken in place of one that could not read all.
    pub again: bool,
    pub at: Timestamp,
    pub counts: Vec<(String, usize)>,
    pub blobs: usize,
    pub unread: Vec<String>,
}

/// Cursor and filter of one screen's list, and the scroll of its detail.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListState {
    pub cursor: usize,
    pub filter: String,
    pub scroll: usize,
}

/// Which pane has the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    #[default]
    Main,
    Detail,
}

/// A short message that goes away by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Toast {
    pub kind: ToastKind,
    pub text: String,
    pub at: Timestamp,
    pub until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToastKind {
    Said,
    Done,
    /// Somebody else did something.
    Mind,
    /// Something was not done; gone when what it speaks of has changed.
    Refused,
    Failed,
}

/// The whole state; a frame is a function of it.
#[derive(Clone, Debug)]
pub struct Model {
    pub world: World,
    pub derived: Derived,
    pub time: Timestamp,
    pub size: (u16, u16),
    pub theme: Theme,
    /// The screen that is shown; not always where the walk stands.
    pub stage: Stage,
    /// The furthest that the walk has been.
    pub furthest: Stage,
    pub focus: Focus,
    pub zoom: bool,
    pub lists: [ListState; 8],
    pub marks: BTreeSet<AppKey>,
    pub decide: DecideState,
    /// The last one has the keys.
    pub dialogs: Vec<Dialog>,
    pub filtering: bool,
    pub toasts: Vec<Toast>,
    pub leaving: bool,
    /// The program with the options that it takes to find this incident again.
    pub program: String,
    /// Requests that the engine has not answered, oldest first.
    pub asked: VecDeque<hold::Asked>,
    /// The form whose request is about to be sent.
    pub filled: Option<dialog::Prompt>,
    /// Until then what is shown is too new for a key that acts at once.
    pub settles_at: Option<Timestamp>,
    /// What was typed for a box that did not come.
    pub stray: Option<hold::Stray>,
    /// What is asked of the engine as soon as it may write: arming was in its way.
    pub after_arming: Option<Command>,
}

impl Model {
    /// A screen before anything is known.
    pub fn new(theme: Theme, size: (u16, u16), time: Timestamp) -> Self {
        let mut model = Self {
            world: World {
                run: Arc::default(),
                now: Arc::default(),
                next: Next::ChooseScope,
                waiting: None,
                held: Held::No,
                fresh: None,
                unread_since: None,
                log: VecDeque::new(),
                records: VecDeque::new(),
                snapshots: Vec::new(),
                exported: Vec::new(),
                stopped: false,
            },
            derived: Derived::default(),
            time,
            size,
            theme,
            stage: Stage::Scope,
            furthest: Stage::Scope,
            focus: Focus::Main,
            zoom: false,
            lists: Default::default(),
            marks: BTreeSet::new(),
            decide: DecideState::default(),
            dialogs: Vec::new(),
            filtering: false,
            toasts: Vec::new(),
            leaving: false,
            program: "trueup".into(),
            asked: VecDeque::new(),
            filled: None,
            settles_at: None,
            stray: None,
            after_arming: None,
        };
        model.derive();
        model
    }

    pub fn run(&self) -> &Run {
        &self.world.run
    }

    pub fn now(&self) -> &Now {
        &self.world.now
    }

    pub fn list(&self) -> &ListState {
        &self.lists[self.stage as usize]
    }

    pub fn list_mut(&mut self) -> &mut ListState {
        &mut self.lists[self.stage as usize]
    }

    /// Whether the terminal is too small for anything to be confirmed on it.
    pub fn too_small(&self) -> bool {
        self.size.0 < MIN_SIZE.0 || self.size.1 < MIN_SIZE.1
    }

    /// Rows of the shown screen's list.
    pub fn rows(&self) -> usize {
        match self.stage {
            Stage::Scope => self.derived.apps.len(),
            Stage::Freeze => self.run().scope.len(),
            Stage::Snapshot => self.snapshot_rows().len(),
            Stage::Decide => self.derived.rows.len(),
            Stage::Commit => self.run().proposal.as_ref().map_or(0, |p| p.files.len()),
            Stage::Sync => self.derived.sync_order.len(),
            Stage::Thaw => self.derived.thaw_order.len(),
            Stage::Close => self.derived.owed.len(),
        }
    }

    /// The row under the cursor, as far as there is one.
    pub fn cursor(&self) -> Option<usize> {
        let len = self.rows();
        (len > 0).then(|| self.list().cursor.min(len - 1))
    }

    /// The Application under the cursor.
    pub fn app_here(&self) -> Option<AppKey> {
        let at = self.cursor()?;
        match self.stage {
            Stage::Scope => self.derived.apps.get(at).cloned(),
            Stage::Freeze => self.run().scope.get(at).cloned(),
            Stage::Sync => self.derived.sync_order.get(at).cloned(),
            Stage::Thaw => self.derived.thaw_order.get(at).cloned(),
            Stage::Decide => self.cell_here().map(|cell| cell.application),
            Stage::Close => self
                .derived
                .owed
                .get(at)
                .and_then(|owed| owed.application.clone()),
            Stage::Snapshot | Stage::Commit => None,
        }
    }

    /// The other incident whose note an Application bears.
    pub fn held_by(&self, key: &AppKey) -> Option<&str> {
        let app = self.now().apps.get(key)?;
        let by = app.frozen_by_another(self.run(), key)?;
        (!self.run().id().is_empty()).then_some(by)
    }

    /// What one take-over is for, and from which incident: of the marked ones, or of all of the scope where none is marked,
    /// those that one other incident holds. The one under the cursor says which; else it is the first one that is held.
    pub fn foreign(&self) -> Option<(Vec<AppKey>, String)> {
        let marked = self.stage == Stage::Scope && !self.marks.is_empty();
        let here = self.app_here();
        let mut from: Vec<AppKey> = match marked {
            true => self.marks.iter().cloned().collect(),
            false => self.run().scope.clone(),
        };
        if let Some(here) = here.as_ref().filter(|here| !marked && !from.contains(here)) {
            from.push(here.clone());
        }
        let here = here.filter(|here| !marked || from.contains(here));
        let by = match (&here, marked) {
            (Some(here), false) => self.held_by(here)?,
            _ => here.iter().chain(&from).find_map(|key| self.held_by(key))?,
        };
        let held = from.iter().filter(|key| self.held_by(key) == Some(by));
        let held: Vec<AppKey> = held.cloned().collect();
        (!held.is_empty()).then(|| (held, by.to_owned()))
    }

    /// An Application that is walked and could not be read whole, why, and since when.
    pub fn unread(&self) -> Option<(&AppKey, &str, Timestamp)> {
        let (key, why) = self.world.now.unread(&self.world.run)?;
        Some((key, why, self.world.unread_since.unwrap_or(self.time)))
    }

    /// The same, for a sentence.
    pub fn unread_words(&self) -> Option<String> {
        let (key, why, since) = self.unread()?;
        Some(super::widgets::words::clean(&format!(
            "not all of {} can be read since {}: {why}",
            key.name,
            since.strftime("%H:%M:%S UTC"),
        )))
    }

    /// Applications that a command is for: the marked ones, else the one under the cursor.
    pub fn marked_or_here(&self) -> Vec<AppKey> {
        if self.marks.is_empty() {
            self.app_here().into_iter().collect()
        } else {
            self.marks.iter().cloned().collect()
        }
    }

    /// The newest snapshot's kinds with their counts.
    pub fn snapshot_rows(&self) -> &[(String, usize)] {
        self.world
            .snapshots
            .last()
            .map_or(&[], |s| s.counts.as_slice())
    }

    /// What is waited for: as the engine says, else the gate that is being sampled.
    pub fn waiting(&self) -> Option<Waiting> {
        if let Some(waiting) = &self.world.waiting {
            return Some(waiting.clone());
        }
        let Next::Gate { application, gate } = &self.world.next else {
            return None;
        };
        if self.stands_still().is_some() {
            return None;
        }
        let state = self.run().apps.get(application)?.gates.get(gate)?;
        Some(Waiting {
            what: format!(
                "gate {gate} after {} to stay green{}",
                application.name,
                if state.hold.0.is_zero() {
                    String::new()
                } else {
                    format!(" for {}", state.hold)
                }
            ),
            since: state.waits_since()?,
            limit: state.within.0,
            cancellable: true,
        })
    }

    /// Why what comes next is not being observed although it could be: it goes on when it is asked for.
    pub fn stands_still(&self) -> Option<Held> {
        (self.world.held != Held::No && self.world.next.observes()).then_some(self.world.held)
    }

    /// A gate that was begun and that nobody watches, since the walk stands before it.
    pub fn unwatched(&self) -> Option<String> {
        if self.world.next.stage() >= Stage::Sync {
            return None;
        }
        let (key, gate) = self.run().begun_gate()?;
        Some(format!("gate {gate} after {}", key.name))
    }

    /// Age of the newest byte from the cluster; `None` before the first one.
    pub fn data_age(&self) -> Option<Duration> {
        let (age, told) = self.world.fresh?;
        Some(age + super::widgets::words::since(told, self.time))
    }

    pub fn toast(&mut self, kind: ToastKind, text: impl AsRef<str>) {
        let seconds = match kind {
            ToastKind::Said | ToastKind::Done => 6,
            ToastKind::Mind | ToastKind::Refused | ToastKind::Failed => 20,
        };
        let text = super::widgets::words::clean(text.as_ref());
        self.toasts.retain(|toast| toast.text != text);
        self.toasts.push(Toast {
            kind,
            text,
            at: self.time,
            until: self.time + jiff::SignedDuration::from_secs(seconds),
        });
        let over = self.toasts.len().saturating_sub(3);
        self.toasts.drain(..over);
    }

    /// What was refused speaks of what was: it goes, once it could be read.
    pub fn refusals_are_over(&mut self) {
        for toast in &mut self.toasts {
            if toast.kind == ToastKind::Refused {
                let read = toast.at + jiff::SignedDuration::from_secs(3);
                toast.until = toast.until.min(read.max(self.time));
            }
        }
        let time = self.time;
        self.toasts.retain(|toast| toast.until > time);
    }

    /// Takes a line into a bounded log.
    pub fn remember_command(&mut self, at: Timestamp, line: CommandLine) {
        self.world.log.push_back((at, line));
        if self.world.log.len() > KEPT {
            self.world.log.pop_front();
        }
    }

    /// Takes a record into a bounded transcript.
    pub fn remember_record(&mut self, record: Arc<Record>) {
        if let trueup_core::event::Event::SnapshotTaken {
            number,
            counts,
            blobs,
            unread,
            again,
            ..
        } = &record.event
        {
            self.world.snapshots.push(Snapshot {
                number: *number,
                again: *again,
                at: record.time,
                counts: counts.iter().map(|(k, n)| (k.clone(), *n)).collect(),
                blobs: blobs.len(),
                unread: unread.clone(),
            });
        }
        self.world.records.push_back(record);
        if self.world.records.len() > KEPT {
            self.world.records.pop_front();
        }
    }
}

/// Below this a page says so and nothing can be confirmed.
pub const MIN_SIZE: (u16, u16) = (80, 24);
