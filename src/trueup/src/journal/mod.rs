//! The journal: what happened, durable before anything else happens.
//!
//! One folder for each incident: `header.json` (format version), `journal.jsonl`, `blobs/<sha256>`, `lock`. A line of
//! the journal is `<hash> <record>`, where `hash` is the SHA-256 of the hash of the line before it, a line feed, and the
//! record as written: frame, checksum and chain in one. A torn last line is set aside and reported; damage anywhere else
//! makes the journal read-only.

mod blobs;
mod lock;
mod store;

use trueup_core::event::Record;

pub use lock::{Holder, Locked};
pub use store::{
    Journal, JournalError, Line, Recovery, blob, chain, folder, held, list, read, verify_lines,
};

/// Where a crash can be summoned: every boundary of a durable write and of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before the first byte of a record.
    Before,
    /// With half of a record in the file.
    Torn,
    /// Written, not yet durable.
    BeforeSync,
    /// Durable.
    AfterSync,
    /// The outside world was changed; nothing of it is written yet.
    AfterEffect,
    /// The outcome is durable; nothing was done about it yet.
    AfterOutcome,
}

/// Told of each boundary as it is reached. The program passes [`Calm`]; the crash tests pass one that kills.
pub trait Boundaries: Send + Sync {
    /// This record is about to be written; the points reached from here on are its own and those of the effect it intends.
    fn about(&self, _record: &Record) {}
    fn reached(&self, point: Point);
    /// Whether the next record is to be torn in half.
    fn tear(&self) -> bool {
        false
    }
}

/// Nothing is summoned.
#[derive(Debug, Default)]
pub struct Calm;

impl Boundaries for Calm {
    fn reached(&self, _point: Point) {}
}
