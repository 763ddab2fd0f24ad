//! What the program asks of metrics, endpoints, commands and fields to decide a gate.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use trueup_core::object::identity::ObjectRef;
use trueup_core::object::path::FieldPath;

/// A GET whose answer decides.
#[derive(Debug, Clone)]
pub struct HttpQuery {
    pub url: String,
    /// Accepted status codes; empty: any of 200 to 299.
    pub status: Vec<u16>,
    /// A regular expression that the body must match.
    pub body: Option<String>,
}

/// A program run without a shell and with an empty environment but for PATH; exit code 0 holds.
#[derive(Debug, Clone)]
pub struct CommandQuery {
    pub argv: Vec<String>,
    pub deadline: Duration,
}

/// A field of a live object.
#[derive(Debug, Clone)]
pub struct FieldQuery {
    pub object: ObjectRef,
    pub path: FieldPath,
}

/// One question to the outside.
#[derive(Debug, Clone)]
pub enum Query {
    /// An instant PromQL query that gives one number.
    Prometheus(String),
    Http(HttpQuery),
    Command(CommandQuery),
    Field(FieldQuery),
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    Number(f64),
    /// Whether it holds, and what was seen.
    Verdict {
        holds: bool,
        seen: String,
    },
    /// The field's value; `None` when the object does not have it.
    Field(Option<Value>),
    /// An empty vector: the query is valid and there is no series. A numerator may count this as 0 while traffic flows.
    Absent,
    /// Neither green nor red.
    Inconclusive {
        why: String,
    },
}

/// Takes samples for gates.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Asks once. A failure to ask is `Inconclusive` and says what is missing.
    async fn sample(&self, query: &Query) -> Sample;
}
