//! The plan: what the operator would do on the screen, written down.
//!
//! Unknown fields are an error: a misspelt `expect` that is ignored would be a check that never runs.

mod check;
mod export;
mod place;
mod replan;
mod schema;
mod take;

pub use check::named;
pub use export::export;
pub use replan::{contradictions, gone_with, left_out};
pub use schema::schema;

use crate::{
    decision::{CellKey, Take},
    ids::IncidentId,
    object::path::Pattern,
    span::Span,
    text,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A whole recovery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Plan {
    pub api_version: String,
    pub kind: String,
    pub incident: IncidentId,
    /// Names of Applications; `namespace/name` for one outside Argo CD's own namespace.
    pub scope: Vec<String>,
    /// By Application name; `*` for all others.
    #[serde(default)]
    pub targets: BTreeMap<String, Target>,
    #[serde(default)]
    pub decisions: Vec<PlannedDecision>,
    #[serde(default)]
    pub commit: CommitPlan,
    #[serde(default)]
    pub gates: BTreeMap<String, Gate>,
    #[serde(default)]
    pub sync: Vec<SyncStep>,
    #[serde(default)]
    pub act: Vec<PlannedAct>,
    #[serde(default)]
    pub thaw: ThawPlan,
}

/// Which auto-sync policy shall stand in the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Target {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<TargetKind>,
    /// The `automated` block typed by the operator; `null` leaves auto-sync off.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_null")]
    pub automated: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

mod maybe_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;
    pub fn serialize<S: Serializer>(value: &Option<Value>, s: S) -> Result<S::Ok, S::Error> {
        value.serialize(s)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
        Value::deserialize(d).map(Some)
    }
}

/// A policy that is written down somewhere already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetKind {
    /// As it was when the incident was opened.
    Found,
    /// As the owner's Git, or last-applied, declares it.
    Declared,
}

/// One decision over every cell it matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlannedDecision {
    pub on: On,
    /// Field patterns; `*` stands for one path element.
    pub fields: Vec<String>,
    #[serde(with = "take")]
    pub take: Take,
    /// Stop if the world does not say so: field pattern to value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expect: BTreeMap<String, Value>,
    #[serde(default)]
    pub reason: String,
}

/// Which objects; `*` matches every name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct On {
    pub kind: String,
    pub name: String,
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub namespace: String,
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub application: String,
}

impl PlannedDecision {
    /// Whether it speaks of this cell.
    pub fn covers(&self, key: &CellKey) -> bool {
        let glob = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        let on = &self.on;
        on.kind == key.object.kind
            && glob(&on.name, &key.object.name)
            && glob(
                &on.namespace,
                key.object.namespace.as_deref().unwrap_or_default(),
            )
            && (glob(&on.application, &key.application.name)
                || on.application == key.application.to_string())
            && self.fields.iter().any(|field| {
                let pattern = field.parse::<Pattern>();
                pattern.is_ok_and(|pattern| pattern.matches(&key.field))
            })
    }
}

fn any() -> String {
    "*".to_owned()
}
fn is_any(text: &String) -> bool {
    text == "*"
}

/// How the change reaches the tracked branch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CommitPlan {
    /// The branch pushed to; the tracked one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Push a branch of our own and wait for its merge.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pull_request: bool,
}

/// A value, a comparison, and a time to stay green.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Gate {
    /// The short form of a manual gate: what has to be looked at.
    Manual(ManualGate),
    Measured(MeasuredGate),
}

impl Gate {
    /// What it asks, in inert words.
    pub fn asks(&self) -> String {
        let said = match self {
            Self::Manual(manual) => format!("a person looks: {}", manual.manual),
            Self::Measured(gate) => gate.asks(),
        };
        text::line(&said)
    }
}

impl MeasuredGate {
    fn asks(&self) -> String {
        if let Some(p) = &self.prometheus {
            let traffic = match (&p.traffic, p.floor) {
                (None, _) => String::new(),
                (Some(traffic), floor) => format!(", while {traffic} > {}", floor.unwrap_or(0.0)),
            };
            return format!("{} {}{traffic}", p.value, p.is);
        }
        if let Some(h) = &self.http {
            return format!("{} answers {}", h.url, h.status);
        }
        if let Some(c) = &self.command {
            return format!("{} ends with 0", c.argv.join(" "));
        }
        if let Some(f) = &self.field {
            return format!(
                "{}/{} in {}: {} is {}",
                f.kind, f.name, f.namespace, f.field, f.is
            );
        }
        if let Some(h) = &self.health {
            return match &h.application {
                Some(name) => format!("{name} is Healthy"),
                None => "Healthy after the operation".into(),
            };
        }
        "no foreign write".into()
    }
}

impl<'de> Deserialize<'de> for Gate {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // Told apart by its key, so that an error names the field that is wrong.
        let value = Value::deserialize(d)?;
        let gate = if value.get("manual").is_some() {
            serde_json::from_value(value).map(Self::Manual)
        } else {
            serde_json::from_value(value).map(Self::Measured)
        };
        gate.map_err(|why| serde::de::Error::custom(format!("gate: {why}")))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManualGate {
    pub manual: String,
}

/// A gate that is sampled. Exactly one of the kinds is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MeasuredGate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusGate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpGate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandGate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldGate>,
    /// No foreign write to the objects of the scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietGate>,
    /// The Application's health, compared after the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthGate>,
    /// How long it has to stay green without a break.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// When it gives up; `for` + 10 min when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PrometheusGate {
    pub value: String,
    /// `== 0`, `<= 0.05`, `<= baseline`, `<= baseline * 1.1`.
    pub is: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HttpGate {
    pub url: String,
    #[serde(default = "ok_status")]
    pub status: u16,
    /// A text that the body has to contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

fn ok_status() -> u16 {
    200
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CommandGate {
    /// Program and arguments; no shell. Green when it ends with 0.
    pub argv: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FieldGate {
    pub kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    pub namespace: String,
    pub name: String,
    pub field: String,
    pub is: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct QuietGate {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HealthGate {
    /// The Application; the one just synced when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
}

/// One Application in the order of syncs, with the gates that have to be green before the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SyncStep {
    pub application: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<ExpectSync>,
    /// Names of gates; `healthy` is built in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectSync {
    /// The canary: nothing but bookkeeping.
    NoChange,
}

/// A live action of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlannedAct {
    pub application: String,
    /// `KIND/NAME`.
    pub object: String,
    pub action: Action,
    #[serde(default)]
    pub reason: String,
}

/// What a live action does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Action {
    Patch { field: String, value: Value },
    Remove { field: String },
    Scale { replicas: u32 },
    Restart {},
    Suspend {},
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ThawPlan {
    /// Names of Applications; those not named come after, in the order of the syncs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
}

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
pub enum BadPlan {
    #[error("the plan cannot be read: {0}")]
    Unreadable(String),
    #[error(
        "the plan says {what}, which this version does not know: it reads apiVersion trueup.dev/v1, kind Plan"
    )]
    OtherKind { what: String },
    #[error("the plan is not usable: {0}")]
    Invalid(String),
}

impl Plan {
    /// Reads and checks a plan; YAML or JSON.
    pub fn parse(text: &str) -> Result<Self, BadPlan> {
        let plan = place::read(text).map_err(|why| BadPlan::Unreadable(crate::text::line(&why)))?;
        if plan.api_version != crate::API_VERSION || plan.kind != "Plan" {
            return Err(BadPlan::OtherKind {
                what: crate::text::line(&format!(
                    "apiVersion {}, kind {}",
                    plan.api_version, plan.kind
                )),
            });
        }
        plan.check()?;
        Ok(plan)
    }

    /// The digest by which a plan is recognised again.
    pub fn digest(&self) -> crate::ids::Digest {
        crate::ids::Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}
