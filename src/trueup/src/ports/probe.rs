//! What the program asks of metrics, endpoints and commands to judge a gate (`trueup_core::gate::judge_*`).

use std::time::Duration;

use async_trait::async_trait;
use trueup_core::gate::Reading;

/// Takes samples for gates. Fields of objects are read through [`super::Cluster::get`].
#[async_trait]
pub trait Probe: Send + Sync {
    /// An instant PromQL query that gives one number.
    async fn metric(&self, query: &str) -> Reading;
    /// Status and body (its first MiB) of a GET; the error is why there was no answer.
    async fn http(&self, url: &str) -> Result<(u16, String), String>;
    /// Exit code of a program run without a shell, in an empty folder, with no environment but `PATH`.
    async fn command(&self, argv: &[String], deadline: Duration) -> Result<i32, NoExit>;
}

/// Why a program has no exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoExit {
    /// There is nothing to run.
    #[error("{0}")]
    NotStarted(String),
    #[error("{0}")]
    NotEnded(String),
}
