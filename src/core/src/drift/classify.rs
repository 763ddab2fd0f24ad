//! The rules, in order: the first that matches gives a difference its class, with the evidence in words.
//!
//! R1 untouchable · R2 equal · R3 bookkeeping · R4 default · R5 mutated · R6 delegated · R7 derived · R8 secrets go by
//! the same rules, by digest · R9 reverted · R10 Git ahead · R11 live ahead · R12 both · R13 one side only ·
//! R14 never took effect · R15 the same in another writing · R16 unknown. Without the rendering of the last synced
//! revision no side is ever suggested.

use jiff::Timestamp;
use serde_json::Value;

use super::compare::Pair;
use super::marks::{ignored, is_delicate, protection};
use super::report::{Class, Confidence};
use super::words::{ago, show};
use super::{Reverted, report};
use crate::ignore;
use crate::object::defaults::is_allocated;
use crate::object::diff::{FieldChange, same_meaning};
use crate::object::identity::AppKey;
use crate::object::listkeys::is_builtin;
use crate::object::managed::{Entry, ManagerClass};
use crate::object::normalise::{INSTANCE_LABEL, is_restart};
use crate::object::path::{Element, FieldPath};

pub(super) const SERVER_NOISE: &str = "bookkeeping of the API server and of the tools that apply: status, versions, managed fields, last-applied, tracking";
pub(super) const COSMETIC: &str =
    "the same in another writing: quantities, the order of keyed lists, empty nodes";
const DRY_RUN_DEFAULT: &str =
    "the API server fills it in: a dry run of what Git says gives the same";
const TABLE_DEFAULT: &str = "the API server's known defaults explain it (no dry run was made)";
const RESTARTED: &str = "when the pods were last restarted: Git never had it, a sync leaves it, and removing it would restart them again";
const IGNORED: &str = "ignored by the Application: ignoreDifferences names it, and RespectIgnoreDifferences keeps a sync from writing it";
const ALLOCATED: &str = "the API server allocates it when the object is made";

/// What one difference is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub class: Class,
    pub rule: &'static str,
    pub confidence: Confidence,
    pub evidence: Vec<String>,
    /// Why a person must choose whatever the rule says.
    pub delicate: Option<&'static str>,
    /// Why it is hidden; none when it is asked.
    pub noise: Option<&'static str>,
}

impl Verdict {
    pub fn noise(class: Class, reason: &'static str) -> Self {
        Verdict {
            class,
            rule: "R3",
            confidence: Confidence::Sure,
            evidence: Vec::new(),
            delicate: None,
            noise: Some(reason),
        }
    }

    fn new(
        class: Class,
        rule: &'static str,
        confidence: Confidence,
        evidence: Vec<String>,
    ) -> Self {
        Verdict {
            class,
            rule,
            confidence,
            evidence,
            delicate: None,
            noise: None,
        }
    }
}

/// Everything that a rule may look at.
pub(super) struct Context<'a> {
    pub app: &'a AppKey,
    pub pair: &'a Pair<'a>,
    pub base_known: bool,
    pub git_raw: Option<&'a Value>,
    pub live_raw: Option<&'a Value>,
    /// Git's object with the known defaults.
    pub filled: Option<Value>,
    /// What a dry-run create of Git's object gave.
    pub dry_run: Option<Value>,
    /// The object's last-applied annotation.
    pub applied: Option<Value>,
    pub autoscaled: bool,
    pub reverted: &'a [Reverted],
    pub application: &'a Value,
    pub now: Timestamp,
}

impl Context<'_> {
    fn kind(&self) -> &str {
        &self.pair.object.kind
    }

    fn writer(&self, path: &FieldPath) -> Option<&Entry> {
        self.pair.managed().writer(path)
    }

    fn by(&self, entry: &Entry) -> String {
        match entry.time {
            Some(time) => format!(
                "{} changed it {}, at {time} or before",
                entry.manager,
                ago(time, self.now)
            ),
            None => format!("{} changed it at an unknown time", entry.manager),
        }
    }

    fn human(&self, path: &FieldPath) -> bool {
        self.writer(path)
            .is_some_and(|w| w.class() == ManagerClass::Human)
    }

    /// A person changed this field by itself. Whoever creates an object owns its defaults too, so the managers that
    /// create are no evidence.
    fn edited(&self, path: &FieldPath) -> bool {
        self.human(path)
            && self.writer(path).is_some_and(|w| {
                !matches!(
                    w.manager.as_str(),
                    "kubectl-client-side-apply" | "kubectl-create" | "helm"
                )
            })
    }

    /// R3, R4, R15: what nobody decided.
    fn hidden(&self, change: &FieldChange) -> Option<Verdict> {
        let path = &change.path;
        let (git, live) = (change.from.as_ref(), change.to.as_ref());
        let names = path.schema_names();
        if names == ["metadata", "labels", INSTANCE_LABEL]
            && git.is_none()
            && live.and_then(Value::as_str) == Some(self.app.name.as_str())
        {
            return Some(Verdict::noise(Class::ServerNoise, SERVER_NOISE));
        }
        let names_it = |object: Option<&Value>| object.is_some_and(|o| path.get(o).is_some());
        if is_restart(&names)
            && git.is_none()
            && !names_it(self.pair.base())
            && !names_it(self.applied.as_ref())
        {
            return Some(Verdict::noise(Class::ServerNoise, RESTARTED));
        }
        let predicts = |object: &Option<Value>| {
            object
                .as_ref()
                .is_some_and(|o| same_meaning(self.kind(), path, path.get(o), live))
        };
        if !change.order_only && live.is_some() {
            if predicts(&self.filled) {
                let reason = if self.dry_run.is_some() {
                    DRY_RUN_DEFAULT
                } else {
                    TABLE_DEFAULT
                };
                return Some(Verdict::noise(Class::ServerDefault, reason));
            }
            if git.is_none() && predicts(&self.dry_run) && !self.edited(path) {
                return Some(Verdict::noise(Class::ServerDefault, DRY_RUN_DEFAULT));
            }
            let kept = match path.0.last() {
                // The control plane keeps what is in use: pvc-protection, pv-protection.
                Some(Element::SetValue(Value::String(name))) => {
                    names[..names.len() - 1] == ["metadata", "finalizers"]
                        && name.starts_with("kubernetes.io/")
                }
                _ => false,
            };
            if git.is_none() && (kept || is_allocated(self.kind(), &names)) && !self.edited(path) {
                return Some(Verdict::noise(Class::ServerDefault, ALLOCATED));
            }
        }
        if live.is_none() && git.is_some_and(|g| self.is_dropped(path, g)) {
            return Some(Verdict::noise(Class::Cosmetic, COSMETIC));
        }
        None
    }

    /// A zero value that the API server does not write back.
    fn is_dropped(&self, path: &FieldPath, git: &Value) -> bool {
        let names = path.schema_names();
        let empty = match git {
            Value::Bool(flag) => !flag,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !empty {
            return false;
        }
        if self.kind() == "CustomResourceDefinition" && names == ["spec", "preserveUnknownFields"] {
            return true;
        }
        if self.dry_run.as_ref().is_some_and(|d| path.get(d).is_none()) {
            return true;
        }
        let container = git.is_array() || git.is_object();
        container
            && is_builtin(self.kind())
            && matches!(
                names.last(),
                Some(
                    &("labels"
                        | "annotations"
                        | "finalizers"
                        | "data"
                        | "binaryData"
                        | "args"
                        | "command"
                        | "env"
                        | "envFrom"
                        | "volumeMounts"
                        | "volumes"
                        | "ports"
                        | "imagePullSecrets"
                        | "initContainers"
                        | "nodeSelector"
                        | "tolerations"
                        | "affinity"
                        | "resources")
                )
            )
    }

    /// The class of one field that differs between Git (`from`) and live (`to`).
    pub fn field(&self, change: &FieldChange) -> Verdict {
        let path = &change.path;
        if let Some(mark) = self.live_raw.and_then(protection) {
            return Verdict::new(
                Class::Untouchable,
                "R1",
                Confidence::Ask,
                vec![format!("the object is protected ({mark})")],
            );
        }
        if let Some(hidden) = self.hidden(change) {
            return hidden;
        }
        let rule = ignored(self.application, self.pair, path);
        if rule.is_some() && ignore::respects(self.application) {
            return Verdict::noise(Class::Delegated, IGNORED);
        }
        let mut verdict = self
            .owned_elsewhere(change)
            .unwrap_or_else(|| self.by_history(change));
        if let Some(why) = is_delicate(self.kind(), path, change.to.as_ref())
            && verdict.confidence != Confidence::Ask
        {
            verdict.confidence = Confidence::Ask;
            verdict.delicate = Some(why);
        }
        if let Some(rule) = rule {
            verdict.evidence.push(format!(
                "ignored in diff, but a sync WILL overwrite it: ignoreDifferences has {rule}, and RespectIgnoreDifferences is not set"
            ));
        }
        if change.order_only {
            verdict
                .evidence
                .push("only the order differs, and here the order has a meaning".to_owned());
        }
        verdict
    }

    /// R5, R6, R7, R9: somebody else decides this field.
    fn owned_elsewhere(&self, change: &FieldChange) -> Option<Verdict> {
        let path = &change.path;
        let live = change.to.as_ref();
        let names = path.schema_names();
        if let Some(predicted) = self.dry_run.as_ref().map(|d| path.get(d))
            && change.from.is_some()
            && predicted != change.from.as_ref()
            && predicted == live
        {
            return Some(Verdict::new(
                Class::Mutated,
                "R5",
                Confidence::Likely,
                vec![format!(
                    "a dry run of what Git says gives {}: something in the cluster changes it on the way in",
                    show(live)
                )],
            ));
        }
        if self.autoscaled && names == ["spec", "replicas"] {
            return Some(Verdict::new(
                Class::Delegated,
                "R6",
                Confidence::Likely,
                vec!["a HorizontalPodAutoscaler sets it: take it out of Git, or ignore it from now on".to_owned()],
            ));
        }
        let writer = self.writer(path);
        if let Some(writer) = writer.filter(|w| w.class() == ManagerClass::Controller) {
            return Some(Verdict::new(
                Class::Delegated,
                "R6",
                Confidence::Likely,
                vec![format!("a controller owns it: {}", self.by(writer))],
            ));
        }
        let reflects = self
            .live_raw
            .and_then(|l| l.get("metadata")?.get("annotations")?.as_object())
            .and_then(|a| {
                a.iter()
                    .find(|(k, _)| k.ends_with("emberstack.com/reflects"))
            });
        if let Some((_, source)) = reflects {
            return Some(Verdict::new(
                Class::DerivedCopy,
                "R7",
                Confidence::Likely,
                vec![format!(
                    "it is a copy of {}: fix the source",
                    show(Some(source))
                )],
            ));
        }
        let reverted = self
            .reverted
            .iter()
            .find(|r| r.object == self.pair.object && r.field.overlaps(path))?;
        Some(Verdict::new(
            Class::Reverted,
            "R9",
            Confidence::Ask,
            vec![reverted.evidence.clone()],
        ))
    }

    /// R10 to R14 and R16: what moved since the last sync. The last-applied annotation stands in for a missing base, but
    /// then nothing is suggested.
    fn by_history(&self, change: &FieldChange) -> Verdict {
        let path = &change.path;
        let (git, live) = (change.from.as_ref(), change.to.as_ref());
        let (base, known, which) = match (self.pair.base(), self.base_known, &self.applied) {
            (base, true, _) => (base, true, "the last sync"),
            (_, false, Some(applied)) => (Some(applied), true, "the last apply"),
            _ => (None, false, ""),
        };
        let cap = |c: Confidence| if self.base_known { c } else { Confidence::Ask };
        let mut evidence = Vec::new();
        if !self.base_known {
            evidence.push("what was last synced is not known, so no side is suggested".to_owned());
        }
        let synced = base.and_then(|b| path.get(b));
        let same = |a: Option<&Value>, b: Option<&Value>| same_meaning(self.kind(), path, a, b);
        if change.order_only || !known {
            return self.without_base(git, live, path, evidence);
        }
        let git_moved = !same(git, synced);
        let live_moved = !same(live, synced);
        match (git_moved, live_moved) {
            (true, false) => {
                evidence.push(format!(
                    "live is as {which} left it ({}); Git has changed since, to {}",
                    show(synced),
                    show(git)
                ));
                Verdict::new(
                    Class::PendingRollout,
                    "R10",
                    cap(Confidence::Likely),
                    evidence,
                )
            }
            (true, true) => {
                evidence.push(format!(
                    "both moved since {which} ({}): Git to {}, live to {}",
                    show(synced),
                    show(git),
                    show(live)
                ));
                evidence.extend(self.writer(path).map(|w| self.by(w)));
                Verdict::new(Class::Conflict, "R12", Confidence::Ask, evidence)
            }
            _ if live.is_none() => self.gone(path, git, which, evidence),
            _ if git.is_none() => self.added(path, evidence),
            _ => match self.writer(path) {
                Some(writer) if writer.class() == ManagerClass::Human => {
                    evidence.push(format!(
                        "{}; Git has what it had at {which}",
                        self.by(writer)
                    ));
                    Verdict::new(Class::Hotfix, "R11", cap(Confidence::Likely), evidence)
                }
                writer => {
                    evidence.push(match writer {
                        Some(w) => {
                            format!("{}; whether a person did it cannot be told", self.by(w))
                        }
                        None => "nothing tells who changed it".to_owned(),
                    });
                    evidence.push(format!("Git has what it had at {which}"));
                    Verdict::new(Class::Unknown, "R16", Confidence::Ask, evidence)
                }
            },
        }
    }

    fn without_base(
        &self,
        git: Option<&Value>,
        live: Option<&Value>,
        path: &FieldPath,
        mut evidence: Vec<String>,
    ) -> Verdict {
        evidence.extend(self.writer(path).map(|w| self.by(w)));
        let (class, rule) = match (git, live) {
            (None, Some(_)) => (Class::LiveOnly, "R13"),
            (Some(_), None) => (Class::GitOnly, "R13"),
            _ if self.human(path) => (Class::Hotfix, "R11"),
            _ => (Class::Unknown, "R16"),
        };
        Verdict::new(class, rule, Confidence::Ask, evidence)
    }

    /// R13: a field that only lives live.
    fn added(&self, path: &FieldPath, mut evidence: Vec<String>) -> Verdict {
        evidence.extend(self.writer(path).map(|w| self.by(w)));
        evidence.push("Git never had it: Argo CD neither shows it nor removes it, and a sync leaves it in place".to_owned());
        Verdict::new(Class::LiveOnly, "R13", Confidence::Ask, evidence)
    }

    /// R13, R14: a field that Git has, a sync brought, and that is not there.
    fn gone(
        &self,
        path: &FieldPath,
        git: Option<&Value>,
        which: &str,
        mut evidence: Vec<String>,
    ) -> Verdict {
        if self.dry_run.as_ref().is_some_and(|d| path.get(d).is_none()) {
            evidence.push("a dry run of what Git says drops it: the API does not know the field, or ignores it".to_owned());
            return Verdict::new(Class::NeverTookEffect, "R14", Confidence::Likely, evidence);
        }
        evidence.push(format!(
            "Git has {} and so had {which}; it was removed live, and a removal leaves no trace of who did it",
            show(git)
        ));
        Verdict::new(Class::GitOnly, "R13", Confidence::Ask, evidence)
    }

    /// An object that is on one side only.
    pub fn whole(&self) -> Verdict {
        let object = &self.pair.object;
        if let Some(mark) = self.live_raw.or(self.git_raw).and_then(protection) {
            return Verdict::new(
                Class::Untouchable,
                "R1",
                Confidence::Ask,
                vec![format!("the object is protected ({mark})")],
            );
        }
        let in_base = self.pair.base().is_some();
        match (self.pair.git(), self.base_known, in_base) {
            (Some(_), true, false) => Verdict::new(
                Class::PendingRollout,
                "R10",
                Confidence::Likely,
                vec![format!(
                    "{object} is new in Git since the last sync and not there yet"
                )],
            ),
            (Some(_), known, _) => Verdict::new(
                Class::GitOnly,
                "R13",
                Confidence::Ask,
                vec![match known {
                    true => format!(
                        "{object} was there at the last sync and is gone: somebody deleted it; a sync makes it again"
                    ),
                    false => format!("{object} is in Git and not in the cluster; a sync makes it"),
                }],
            ),
            (None, true, true) => Verdict::new(
                Class::PendingRollout,
                "R10",
                Confidence::Ask,
                vec![format!(
                    "{object} was taken out of Git since the last sync: a sync with prune deletes it"
                )],
            ),
            (None, known, _) => {
                let mut evidence = vec![format!(
                    "{object} carries this Application's mark and Git does not have it: a sync with prune deletes it"
                )];
                if !known {
                    evidence.push("what was last synced is not known".to_owned());
                }
                let human = self.pair.managed().newest(ManagerClass::Human);
                evidence.extend(human.map(|w| self.by(w)));
                Verdict::new(Class::LiveOnly, "R13", Confidence::Ask, evidence)
            }
        }
    }
}

/// The side that a rule would take, where it would take one.
pub(super) fn suggested(verdict: &Verdict, cell: &report::Cell) -> Option<crate::decision::Take> {
    use crate::decision::{LiveOf, Take};
    match verdict.class {
        Class::PendingRollout => Some(Take::Git),
        Class::Hotfix => Some(Take::Live(LiveOf {
            application: None,
            namespace: Some(cell.namespace.clone()).filter(|n| !n.is_empty()),
        })),
        Class::Delegated => Some(Take::Ignore),
        _ => None,
    }
}
