//! What a front end holds of the engine: requests in, updates out.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::mpsc;
use trueup_core::{
    decision::CellKey,
    event::{CommandLine, Record},
    ids::Digest,
    now::Now,
    object::redact::Plain,
    run::Run,
    sheet::{Command, Refusal, Sheet},
    workflow::Next,
};

/// What a front end asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Do this; for a write the answer is a [`Update::Sheet`] to be confirmed.
    Ask(Command),
    /// The sheet with this id is confirmed with what was typed (empty for a button).
    Confirm { sheet: Digest, typed: String },
    /// The sheet is put away; nothing was done.
    Dismiss,
    /// Do the next thing: observe it, or answer with its sheet.
    Go,
    /// Show the values of these Secret fields; recorded before they are shown. The answer is an [`Update::Revealed`].
    Reveal(Vec<CellKey>),
    /// Leave; what is in flight gets its outcome first, within seconds.
    Quit,
}

/// What the engine tells.
#[derive(Clone, Debug)]
pub enum Update {
    /// An event is durable; `run` is the state with it.
    Journaled {
        record: Arc<Record>,
        run: Arc<Run>,
    },
    /// The world was read.
    Seen(Arc<Now>),
    /// What comes next, after every change.
    Next(Box<Next>),
    /// What is being waited for; `None` when nothing is.
    Waiting(Option<Waiting>),
    /// Whether what only observes goes on by itself from here.
    Held(Held),
    Sheet(Box<Sheet>),
    /// A request is dealt with: whatever it led to was told before this. One for each request but `Quit`, in order.
    Answered,
    Refused(Refusal),
    /// What was asked to be revealed: for the screen, and for nothing else.
    Revealed(Vec<Revealed>),
    /// A request to the outside world, for the command log.
    Logged {
        at: Timestamp,
        line: CommandLine,
    },
    /// Age of the newest byte from the cluster; sent at least every second.
    Freshness(Duration),
    /// Something failed that is not a refusal.
    Failed {
        what: String,
        why: String,
        hint: String,
    },
    /// A file was written for the operator.
    Exported {
        path: String,
    },
    /// The engine has stopped; the last update.
    Stopped,
}

/// The values of one Secret field, each `None` where that side has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Revealed {
    pub cell: CellKey,
    pub live: Option<Plain>,
    /// As the repository has it at the head, and in which file.
    pub git: Option<(Plain, String)>,
}

/// Whether what only observes goes on by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    #[default]
    No,
    /// The operator gave the wait up: it goes on with [`Request::Go`].
    GivenUp,
    /// It was refused or took too long: trying it again by itself would not mend it.
    Failed,
}

/// A wait with its limit and its way out.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub what: String,
    pub since: Timestamp,
    pub limit: Duration,
    /// Whether [`Command::CancelWait`] ends it.
    pub cancellable: bool,
}

/// The two ends that a front end holds.
pub struct Handle {
    pub requests: mpsc::Sender<Request>,
    pub updates: mpsc::Receiver<Update>,
}
