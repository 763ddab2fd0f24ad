//! What a command waits for, said on stderr while it does.

use std::io::Write;

use tokio::sync::mpsc;
use trueup_core::{span::Span, text};

use crate::engine::handle::{Update, Waiting};

pub(super) fn say(waiting: &Waiting) {
    let what = text::line(&waiting.what);
    let limit = Span(waiting.limit);
    let _ = writeln!(std::io::stderr(), "… waiting for {what} (at most {limit})");
}

/// Says each of them until the engine is gone.
pub(super) fn told(mut updates: mpsc::UnboundedReceiver<Update>) {
    tokio::spawn(async move {
        while let Some(update) = updates.recv().await {
            match update {
                Update::Waiting(Some(waiting)) => say(&waiting),
                Update::Stopped => return,
                _ => {}
            }
        }
    });
}
