//! `DriftReport`, as scripts read it. Fields may be added; none changes its meaning.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decision::{CellKey, Sides, Take};
use crate::object::identity::{AppKey, ObjectRef};
use crate::object::managed::Entry;
use crate::object::path::FieldPath;
use crate::policy::AutoSync;

/// What a difference is, in the order of the rules: of several verdicts the first one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Protected, or the look-alike of something that is: hands off.
    Untouchable,
    ServerNoise,
    ServerDefault,
    /// A webhook or policy changes what Git says.
    Mutated,
    /// Another controller owns the field.
    Delegated,
    /// A copy that a controller makes from a live source.
    DerivedCopy,
    /// Something keeps writing it back.
    Reverted,
    /// Git ahead: live is as last synced.
    PendingRollout,
    /// Live ahead: a person changed it after the last sync.
    Hotfix,
    /// Both moved.
    Conflict,
    LiveOnly,
    GitOnly,
    /// Git says it, a sync brought it, and it is not there: pruned, ignored, or refused.
    NeverTookEffect,
    /// The same in another writing.
    Cosmetic,
    Unknown,
}

impl Class {
    /// Noise is counted, not asked.
    pub fn is_noise(self) -> bool {
        matches!(
            self,
            Class::ServerNoise | Class::ServerDefault | Class::Cosmetic
        )
    }

    /// The name that scripts see.
    pub fn name(self) -> &'static str {
        match self {
            Class::Untouchable => "untouchable",
            Class::ServerNoise => "server-noise",
            Class::ServerDefault => "server-default",
            Class::Mutated => "mutated",
            Class::Delegated => "delegated",
            Class::DerivedCopy => "derived-copy",
            Class::Reverted => "reverted",
            Class::PendingRollout => "pending-rollout",
            Class::Hotfix => "hotfix",
            Class::Conflict => "conflict",
            Class::LiveOnly => "live-only",
            Class::GitOnly => "git-only",
            Class::NeverTookEffect => "never-took-effect",
            Class::Cosmetic => "cosmetic",
            Class::Unknown => "unknown",
        }
    }
}

/// How far a verdict carries. The order is from weak to strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A person must choose: no suggestion is made.
    Ask,
    Likely,
    Sure,
}

impl Confidence {
    pub fn name(self) -> &'static str {
        match self {
            Confidence::Ask => "ask",
            Confidence::Likely => "likely",
            Confidence::Sure => "sure",
        }
    }
}

/// What a writer's time says about this one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Seen under observation, or in the audit log.
    Exact,
    /// Not later than this: the time belongs to all that the manager wrote.
    Upper,
    Unknown,
}

/// Who wrote the live value, as far as the managed fields tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Writer {
    pub manager: String,
    pub operation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    pub bound: Bound,
}

impl From<&Entry> for Writer {
    fn from(entry: &Entry) -> Self {
        Writer {
            manager: entry.manager.clone(),
            operation: entry.operation.clone(),
            subresource: entry.subresource.clone(),
            time: entry.time,
            bound: match entry.time {
                Some(_) => Bound::Upper,
                None => Bound::Unknown,
            },
        }
    }
}

/// Where in Git the field is made. `line` is the line of the document until the field itself was located.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub repo: String,
    pub path: String,
    pub line: usize,
}

/// One field of one object of one Application. A missing side is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    pub application: String,
    pub application_namespace: String,
    /// The object's namespace; empty for a cluster-scoped object.
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_synced: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Value>,
    /// Live differs from the cell's own Git.
    pub differs: bool,
    /// The verdict on this cell alone; none when it does not differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<Writer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    pub object: ObjectRef,
}

impl Cell {
    /// True when the cell is this Application's.
    pub fn of(&self, app: &AppKey) -> bool {
        self.application == app.name && self.application_namespace == app.namespace
    }

    /// The key under which the cell is decided.
    pub fn key(&self, field: &FieldPath) -> CellKey {
        CellKey {
            application: AppKey::new(&self.application_namespace, &self.application),
            object: self.object.clone(),
            field: field.clone(),
        }
    }

    pub fn sides(&self) -> Sides {
        Sides {
            git: self.git.clone(),
            last_synced: self.last_synced.clone(),
            live: self.live.clone(),
        }
    }
}

/// What the rules would choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    pub take: Take,
    pub rule: String,
}

/// One thing to decide: a field of a copy group, or one divergence outside any group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Equal from run to run as long as the same cells are looked at.
    pub id: String,
    pub group: Option<String>,
    pub kind: String,
    pub name: String,
    /// The field; `.` is the object as a whole.
    pub field: FieldPath,
    pub class: Class,
    pub confidence: Confidence,
    pub evidence: Vec<String>,
    /// None whenever the confidence is `ask`.
    pub suggestion: Option<Suggestion>,
    /// Questions whose fields were changed together with this one.
    pub decide_with: Vec<String>,
    pub cells: Vec<Cell>,
}

/// Hidden differences of one class, with the reason why they are hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noise {
    pub class: Class,
    pub count: usize,
    pub reason: String,
}

/// One Application of the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppReport {
    pub namespace: String,
    pub name: String,
    pub sync: String,
    pub health: String,
    pub auto_sync: AutoSync,
    /// Cells of this Application whose live differs from its own Git; none where not all of it could be read.
    pub divergences: Option<usize>,
    pub noise: Vec<Noise>,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportError {
    pub what: String,
    pub why: String,
    pub hint: String,
}

impl ReportError {
    pub fn new(what: impl Into<String>, why: impl ToString, hint: impl Into<String>) -> Self {
        ReportError {
            what: what.into(),
            why: why.to_string(),
            hint: hint.into(),
        }
    }
}

/// Every open question over the Applications looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftReport {
    api_version: String,
    kind: String,
    pub questions: Vec<Question>,
    pub applications: Vec<AppReport>,
    pub errors: Vec<ReportError>,
}

impl DriftReport {
    pub fn new(
        questions: Vec<Question>,
        applications: Vec<AppReport>,
        errors: Vec<ReportError>,
    ) -> Self {
        DriftReport {
            api_version: crate::API_VERSION.to_owned(),
            kind: "DriftReport".to_owned(),
            questions,
            applications,
            errors,
        }
    }

    /// Replaces the line of each cell's document by the place of the field itself, where `find` knows it.
    pub fn locate(&mut self, mut find: impl FnMut(&CellKey) -> Option<Source>) {
        for question in &mut self.questions {
            for cell in &mut question.cells {
                if let Some(source) = find(&cell.key(&question.field)) {
                    cell.source = Some(source);
                }
            }
        }
    }
}
