//! What the engine was asked and has not answered yet, and the moment after what is shown has changed: keys that act wait
//! for both, so that what was typed for one screen does nothing on the next.

use super::{
    Model, ToastKind,
    dialog::{Dialog, Prompt},
};
use crate::engine::handle::Request;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use trueup_core::{
    decision::CellKey,
    sheet::Command,
    workflow::{Next, Stage},
};

/// How long something has to be on the screen before a key that acts at once is taken to be meant for it. Longer than the
/// pause between two keys of somebody who types ahead, shorter than it takes to read a line.
pub const SETTLE: SignedDuration = SignedDuration::from_millis(400);
/// Whoever types a text makes no longer pause than this between two keys of it.
pub const PAUSE: SignedDuration = SignedDuration::from_millis(700);
/// How long a sheet or an answer is waited for with the keys held: a prediction over many objects takes its time.
const LIMIT: Duration = Duration::from_secs(60);

/// A request that has not been answered.
#[derive(Clone, Debug)]
pub struct Asked {
    pub what: String,
    pub since: Timestamp,
    pub limit: Duration,
    /// Keys are held until the answer comes.
    pub holds: bool,
    /// The operator, or the limit, has given it up: a sheet that still comes is put away unseen.
    pub given_up: bool,
    /// The form that it came from, which is there again when it is refused.
    pub form: Option<Prompt>,
}

/// Text for a box that did not come, or that is gone: none of it is a key of the screen, until there is a pause.
#[derive(Clone, Debug, PartialEq)]
pub struct Stray {
    /// The key that was refused: pressed again it is one.
    key: String,
    until: Timestamp,
    /// It was said that keys are dropped.
    said: bool,
}

/// What is drawn, as far as a key depends on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Footing {
    boxes: usize,
    front: String,
    held: bool,
    stage: Stage,
    cell: Option<CellKey>,
}

impl Footing {
    pub fn of(model: &Model) -> Self {
        let front = match model.dialogs.last() {
            None => String::new(),
            Some(Dialog::Sheet(sheet)) => format!("sheet {}", sheet.sheet.title),
            Some(Dialog::Prompt(prompt)) => format!("prompt {}", prompt.title),
            Some(Dialog::Choose(choose)) => format!("choose {}", choose.title),
            Some(Dialog::Help(_) | Dialog::Palette(_) | Dialog::Log(_)) => "search".into(),
            Some(Dialog::Page(page)) => format!("page {}", page.title),
            Some(Dialog::Secret(_)) => "secret".into(),
        };
        let cell = (model.stage == Stage::Decide)
            .then(|| model.cell_here())
            .flatten();
        Self {
            boxes: model.dialogs.len(),
            front,
            held: model.held().is_some(),
            stage: model.stage,
            cell,
        }
    }

    /// Whether something else is there now than a key pressed before was meant for. What the operator moved to is meant.
    fn moved_from(&self, before: &Self, by_operator: bool) -> bool {
        let gone = before.held && !self.held;
        let boxes = self.boxes != before.boxes || self.front != before.front;
        let under = !by_operator && self.boxes == 0 && self != before;
        gone || boxes || under
    }
}

impl Model {
    /// What keys are held for, oldest first.
    pub fn held(&self) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.holds)
    }

    /// Whether what is shown is too new for a key that acts at once.
    pub fn settling(&self) -> bool {
        self.settles_at.is_some_and(|at| self.time < at)
    }

    /// A box for a text did not come: what is typed behind `key` was meant for it.
    pub fn expect_stray(&mut self, key: &str) {
        self.stray = Some(Stray {
            key: key.to_owned(),
            until: self.time + PAUSE,
            said: false,
        });
    }

    /// Whether a key of the screen is part of a text that had no place; if so it does nothing.
    pub fn is_stray(&mut self, key: &str) -> bool {
        let time = self.time;
        let Some(stray) = &mut self.stray else {
            return false;
        };
        if time >= stray.until || key == stray.key || matches!(key, "esc" | "ctrl-c") {
            self.stray = None;
            return false;
        }
        stray.until = time + PAUSE;
        if !std::mem::replace(&mut stray.said, true) {
            self.toast(
                ToastKind::Said,
                "what is typed right behind it does nothing: there is no box for it",
            );
        }
        true
    }

    /// What is shown may have changed since `before`.
    pub fn settle(&mut self, before: &Footing, by_operator: bool) {
        if Footing::of(self).moved_from(before, by_operator) {
            self.settles_at = Some(self.time + SETTLE);
        }
    }

    /// A request goes to the engine, which answers each one but `Quit`, in order.
    pub fn sent(&mut self, request: &Request) {
        let (what, holds) = match request {
            Request::Quit => return,
            Request::Dismiss => (String::new(), false),
            Request::Go => (
                self.sheet_of_next().unwrap_or_default(),
                self.sheet_of_next().is_some(),
            ),
            Request::Confirm { .. } => ("what was confirmed to be done".into(), true),
            Request::Reveal(_) => ("the value to be read".into(), true),
            Request::Ask(Command::Look | Command::CancelWait | Command::Export { .. }) => {
                (String::new(), false)
            }
            Request::Ask(command) if command.writes() => ("its sheet".into(), true),
            Request::Ask(Command::Decide { .. }) => {
                ("the decision to be written down".into(), true)
            }
            Request::Ask(_) => ("it to be written down".into(), true),
        };
        self.asked.push_back(Asked {
            what,
            since: self.time,
            limit: LIMIT,
            holds,
            given_up: false,
            form: self.filled.take(),
        });
    }

    /// The sheet that the next thing comes with, if it is a write.
    fn sheet_of_next(&self) -> Option<String> {
        matches!(
            self.world.next,
            Next::Freeze { .. }
                | Next::Refreeze { .. }
                | Next::Push
                | Next::Sync { .. }
                | Next::Ignore { .. }
                | Next::Delete { .. }
                | Next::Thaw { .. }
        )
        .then(|| {
            let words = self.world.next.words();
            format!("the sheet: {words}")
        })
    }

    /// The last request could not be handed over.
    pub fn not_sent(&mut self) {
        self.asked.pop_back();
    }

    /// The form that the oldest request came from, unless it was given up.
    pub fn form_of_answer(&mut self) -> Option<Prompt> {
        let asked = self.asked.front_mut().filter(|asked| !asked.given_up)?;
        asked.form.take()
    }

    /// The engine is done with the oldest request.
    pub fn answered(&mut self) {
        self.asked.pop_front();
    }

    /// Whether the sheet that comes now is one that nobody waits for any more.
    pub fn sheet_given_up(&self) -> bool {
        self.asked.front().is_some_and(|asked| asked.given_up)
    }

    /// The keys are free again; what was asked for is left to the engine.
    pub fn give_up(&mut self) {
        let Some(what) = self.held().map(|asked| asked.what.clone()) else {
            return;
        };
        for asked in &mut self.asked {
            asked.given_up |= asked.holds;
            asked.holds = false;
        }
        self.toast(
            ToastKind::Said,
            format!("no longer waiting for {what}: a sheet that still comes is put away"),
        );
    }

    /// Frees the keys of what has not been answered in time.
    pub fn overdue(&mut self) {
        let time = self.time;
        let late = self.asked.iter_mut().find(|asked| {
            asked.holds && crate::tui::widgets::words::since(asked.since, time) >= asked.limit
        });
        if let Some(asked) = late {
            asked.holds = false;
            asked.given_up = true;
            let said = format!(
                "no answer in {} s: {} was waited for; the keys are free again, n asks anew",
                asked.limit.as_secs(),
                asked.what
            );
            self.toast(ToastKind::Failed, said);
        }
    }
}
