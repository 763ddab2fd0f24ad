//! The narrow traits at the edge: what the program asks of the world, and nothing about how it is asked.

mod cluster;
mod probe;
mod repo;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

pub use cluster::{
    Cluster, ClusterPin, Grant, Kind, Listing, Permission, ReadError, ReadFailure, STARTING,
    Served, Watch, WatchEvent, WatchHealth, WriteError, WriteKind, WriteRequest,
};
pub use probe::{NoExit, Probe};
pub use repo::{
    Author, Commit, FileChange, GitError, GitFailure, Head, Landed, LogEntry, PushError, Repo,
    Repos, SourceFile, holds,
};

/// Wall-clock time and waiting; injected, so that a test owns both.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// Returns at `when`, at once when that is past.
    async fn sleep_until(&self, when: Timestamp);
}

/// Names for operations that must be told apart in the world.
pub trait Ids: Send + Sync {
    /// Twelve random hexadecimal digits.
    fn op_id(&self) -> String;
}

/// One call to the outside, for the command log.
#[derive(Debug, Clone)]
pub struct CommandLine {
    /// When the call began.
    pub at: Timestamp,
    /// What was done, in words: `list configmaps in auth`.
    pub what: String,
    /// What a person would type for the same effect.
    pub equivalent: String,
    /// The answer in short: `200, 3 objects`, `409 Conflict`, `timed out`.
    pub outcome: String,
    /// Time from the request to the end of the answer.
    pub took: Duration,
    /// Whether the call could change the world; a dry run could not.
    pub effect: bool,
}

/// Where adapters report each call they make. Never sees a secret value.
pub type CommandLog = Arc<dyn Fn(CommandLine) + Send + Sync>;

/// A command log that keeps nothing.
pub fn no_log() -> CommandLog {
    Arc::new(|_| ())
}
