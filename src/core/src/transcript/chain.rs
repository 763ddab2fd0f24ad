//! The chain of the journal inside the JSON export, and how it is checked.

use super::{Transcript, timeline::sentence};
use crate::{event::Record, ids::Digest, run::Run, text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The hash before the first record.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The hash of a record: SHA-256 over the hash before it in hexadecimal, a line feed, and the record as written.
pub fn link(previous: &str, raw: &str) -> String {
    Digest::of(format!("{previous}\n{raw}").as_bytes()).0
}

/// A record of the journal, with the text it was written as and its hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub record: Record,
    pub raw: String,
    pub hash: String,
}

impl Line {
    /// Chains records as the journal does.
    pub fn chain(records: &[Record]) -> Vec<Self> {
        let mut previous = GENESIS.to_owned();
        records
            .iter()
            .map(|record| {
                let raw = serde_json::to_string(record).unwrap_or_default();
                let hash = link(&previous, &raw);
                previous.clone_from(&hash);
                Self {
                    record: record.clone(),
                    raw,
                    hash,
                }
            })
            .collect()
    }
}

/// All records as they were written, and what they come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// The hash before the first record.
    pub genesis: String,
    /// The hash of the last record.
    pub head: String,
    /// SHA-256 over all records as written, a line feed after each.
    pub digest: String,
    pub count: usize,
    pub records: Vec<Link>,
}

/// One record: its hash, and its text exactly as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub hash: String,
    pub raw: String,
}

impl Chain {
    pub(super) fn of(lines: &[Line]) -> Self {
        Self {
            genesis: GENESIS.to_owned(),
            head: lines
                .last()
                .map_or(GENESIS, |line| line.hash.as_str())
                .to_owned(),
            digest: digest(lines.iter().map(|line| line.raw.as_str())),
            count: lines.len(),
            records: lines
                .iter()
                .map(|line| Link {
                    hash: line.hash.clone(),
                    raw: line.raw.clone(),
                })
                .collect(),
        }
    }
}

fn digest<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let all: String = lines.flat_map(|raw| [raw, "\n"]).collect();
    Digest::of(all.as_bytes()).0
}

/// What a sound export says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub incident: String,
    pub records: usize,
    pub head: String,
    /// See [`end`].
    pub end: Option<(Timestamp, String)>,
    /// False when it was made by another version, whose summary this one cannot recompute.
    pub summary_checked: bool,
}

/// What a journal ends with, and when: a chain that was cut between two records is whole, and only this tells.
pub fn end<'a>(
    records: impl DoubleEndedIterator<Item = &'a Record> + Clone,
) -> Option<(Timestamp, String)> {
    let run = Run::fold(records.clone());
    records.rev().find_map(|record| {
        let said = sentence(&record.event, &run)?;
        Some((record.time, text::line(&said)))
    })
}

/// Why an export is not to be trusted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Broken {
    #[error(
        "this is no transcript in JSON: {0}. Markdown and HTML carry the head of the chain and a digest only; verify the JSON export or the journal"
    )]
    NotAnExport(String),
    #[error("the chain is broken at record {seq}: {why}")]
    Chain { seq: usize, why: String },
    #[error("the chain is whole, but {what} of the export is not what its records say")]
    Summary { what: String },
}

/// Recomputes the chain of a JSON export, and its summary from its records.
pub fn verify(export: &str) -> Result<Verified, Broken> {
    let no = |why: &dyn std::fmt::Display| Broken::NotAnExport(text::line(&why.to_string()));
    let value: Value = serde_json::from_str(export).map_err(|e| no(&e))?;
    if value.get("apiVersion").and_then(Value::as_str) != Some(crate::API_VERSION)
        || value.get("kind").and_then(Value::as_str) != Some("Transcript")
    {
        return Err(no(&"it has another apiVersion or kind"));
    }
    let chain: Chain = value
        .get("chain")
        .cloned()
        .ok_or_else(|| no(&"it has no chain"))
        .and_then(|chain| serde_json::from_value(chain).map_err(|e| no(&e)))?;
    let at = |seq: usize, why: String| Broken::Chain { seq, why };
    if chain.genesis != GENESIS {
        return Err(at(0, "it does not begin at the beginning".into()));
    }
    let mut lines = Vec::new();
    let mut previous = GENESIS.to_owned();
    for (n, entry) in chain.records.into_iter().enumerate() {
        let seq = n + 1;
        if link(&previous, &entry.raw) != entry.hash {
            let why = "its hash does not follow from the record before it";
            return Err(at(seq, why.into()));
        }
        let record: Record = serde_json::from_str(&entry.raw).map_err(|e| {
            at(
                seq,
                format!("it is not readable: {}", text::line(&e.to_string())),
            )
        })?;
        if record.seq != seq as u64 {
            return Err(at(seq, format!("it is numbered {}", record.seq)));
        }
        previous.clone_from(&entry.hash);
        lines.push(Line {
            record,
            raw: entry.raw,
            hash: entry.hash,
        });
    }
    if chain.head != previous || chain.count != lines.len() {
        return Err(at(
            lines.len(),
            "records are missing at the end: the head is another".into(),
        ));
    }
    let run = Run::fold(lines.iter().map(|line| &line.record));
    let again = Transcript::of(&lines, &run);
    let same_maker = value.get("madeBy").and_then(Value::as_str) == Some(&again.made_by);
    if same_maker {
        let again: Value = serde_json::from_str(&again.json()).map_err(|e| no(&e))?;
        if let (Value::Object(told), Value::Object(again)) = (&value, &again) {
            let keys = told.keys().chain(again.keys());
            if let Some(key) = keys
                .into_iter()
                .find(|key| told.get(*key) != again.get(*key))
            {
                return Err(Broken::Summary {
                    what: format!("`{}`", text::line(key)),
                });
            }
        }
    }
    Ok(Verified {
        incident: run.id().to_owned(),
        records: lines.len(),
        head: previous,
        end: end(lines.iter().map(|line| &line.record)),
        summary_checked: same_maker,
    })
}
