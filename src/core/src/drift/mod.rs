//! Drift: every field in which the cluster and Git disagree, who wrote it, what it most likely is, and as what question
//! it is put to the operator.
//!
//! `compare` pairs Git's rendering with the live objects of one Application and finds what differs; `classify` gives
//! each difference its class by the first rule that matches, with its evidence; `questions` gathers the copies of one
//! ConfigMap or Secret and makes the questions; `report` is what scripts read.

mod classify;
mod compare;
mod marks;
mod questions;
pub mod report;
mod words;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::object::identity::{AppKey, ObjectRef};
use crate::object::live::Live;
use crate::object::path::FieldPath;
use report::{AppReport, DriftReport, ReportError};

pub use words::{ago, show};

/// All that the comparison looks at. Secrets are expected redacted; what is not is withheld from the report.
#[derive(Debug, Clone)]
pub struct Input {
    pub applications: Vec<AppInput>,
    /// Only for saying how long ago something was.
    pub now: Timestamp,
}

/// One object as Git renders it at the head of the tracked branch.
#[derive(Debug, Clone)]
pub struct Desired {
    pub object: Arc<Value>,
    pub repo: String,
    pub file: String,
    /// Where the object's document begins, from 1.
    pub line: usize,
}

/// A field that something keeps writing back, seen under observation.
#[derive(Debug, Clone)]
pub struct Reverted {
    pub object: ObjectRef,
    pub field: FieldPath,
    /// In words: who, how often.
    pub evidence: String,
}

/// One Application and the objects that are its own.
#[derive(Debug, Clone, Default)]
pub struct AppInput {
    /// The whole Application object.
    pub application: Value,
    pub desired: Vec<Desired>,
    /// The rendering of the last successfully synced revision; none when it could not be had.
    pub base: Option<Vec<Arc<Value>>>,
    /// The live objects that carry this Application's tracking mark or match one that Git renders.
    /// Shared with whoever keeps the live state.
    pub live: Vec<Arc<Live>>,
    /// The Application as declared in Git, when it was found there.
    pub declared: Option<Value>,
    /// What the API server makes of the desired objects: dry-run *creates*. Never dry-run applies over the live
    /// objects, which would repeat whatever is there.
    pub server_defaults: Option<Vec<Value>>,
    pub reverted: Vec<Reverted>,
    /// Not all of it could be read: that no difference is found means nothing.
    pub incomplete: bool,
    pub errors: Vec<ReportError>,
}

/// Compares every Application of the input and asks what must be asked.
pub fn report(input: &Input) -> DriftReport {
    put(compare(&input.applications, input.now))
}

/// Some Applications, compared. The parts of a look may be compared beside each other, and put together in their order.
#[derive(Default)]
pub struct Part<'a> {
    compared: Vec<compare::Compared<'a>>,
    errors: Vec<ReportError>,
}

/// Compares Applications with what Git says. `now` only says how long ago something was.
pub fn compare(applications: &[AppInput], now: Timestamp) -> Part<'_> {
    let mut part = Part {
        compared: Vec::with_capacity(applications.len()),
        errors: Vec::new(),
    };
    for app in applications {
        part.errors.extend(app.errors.iter().cloned());
        match AppKey::from_object(&app.application) {
            Ok(key) => {
                let compared = compare::compare(key, app, now, &mut part.errors);
                part.compared.push(compared);
            }
            Err(why) => part.errors.push(ReportError::new(
                "read an Application",
                why,
                "leave it out of the scope, or repair the object",
            )),
        }
    }
    part
}

impl<'a> Part<'a> {
    /// Adds what comes after it.
    pub fn append(&mut self, after: Part<'a>) {
        self.compared.extend(after.compared);
        self.errors.extend(after.errors);
    }
}

/// Asks what must be asked of what was compared.
pub fn put(part: Part<'_>) -> DriftReport {
    let Part { compared, errors } = part;
    let questions = questions::ask(&compared);
    let mut differing: HashMap<(&str, &str), usize> = HashMap::new();
    for cell in questions.iter().flat_map(|question| &question.cells) {
        if cell.differs {
            *differing
                .entry((&cell.application_namespace, &cell.application))
                .or_default() += 1;
        }
    }
    let applications = compared
        .iter()
        .map(|app| AppReport {
            namespace: app.key.namespace.clone(),
            name: app.key.name.clone(),
            sync: app.status("/status/sync/status"),
            health: app.status("/status/health/status"),
            auto_sync: app.auto_sync().clone(),
            divergences: (!app.input.incomplete).then(|| {
                differing
                    .get(&(app.key.namespace.as_str(), app.key.name.as_str()))
                    .copied()
                    .unwrap_or_default()
            }),
            noise: app.noise(),
        })
        .collect();
    DriftReport::new(questions, applications, errors)
}
