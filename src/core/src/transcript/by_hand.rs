//! The same recovery by hand: a POSIX shell script that needs nothing but kubectl and git.
//!
//! It repeats, in order, every write that is known to have happened, and carries nothing of the old world that another
//! one would not have: no resourceVersion, no op-id, no commit id. The revision is taken from the push.
//!
//! What others pushed in between is no write of ours, and the script does not make it: it goes on where the branch lets it,
//! and where not it names their commits, by the ids that they had, and waits for somebody to bring them.

use super::{
    diff::{git_diff, shows_secret},
    quote::{escapes, harmless, say, shell, without_userinfo},
    words::{self, app},
};
use crate::{
    decision::{CellKey, Decision},
    event::{Changed, Effect, Event, FileDiff, Foreign, Overwritten, Proposal, Record},
    ids::{Commit, OpId},
    object::identity::{AppKey, ObjectRef},
    plan::Gate,
    policy::Policy,
    run::{Run, sets},
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const FUNCTIONS: &str = include_str!("../../../../assets/transcript/by-hand.sh");
const APPLICATION: &str = "applications.argoproj.io";

/// The script for a journal; `run` is the fold of the same records.
pub fn by_hand(run: &Run, records: &[&Record]) -> String {
    let mut script = Script {
        run,
        then: Run::default(),
        out: String::new(),
        repositories: Vec::new(),
        sources: sources(records),
        effects: effects(records),
        given_up: given_up(records, run),
        proposals: BTreeMap::new(),
        others: Vec::new(),
        revisions: BTreeMap::new(),
        pushed: None,
    };
    script.head();
    for record in records {
        script.then.apply(record);
        script.take(&record.event);
    }
    script.out
}

/// An Application that reads each repository, so that its URL can be asked of the cluster.
fn sources(records: &[&Record]) -> BTreeMap<String, AppKey> {
    let mut by_revision: BTreeMap<&Commit, &AppKey> = BTreeMap::new();
    for record in records {
        if let Event::Intended {
            effect:
                Effect::Sync {
                    application,
                    revision,
                    ..
                },
            ..
        } = &record.event
        {
            by_revision.entry(revision).or_insert(application);
        }
    }
    let mut out = BTreeMap::new();
    for record in records {
        let found = match &record.event {
            Event::Landed {
                repository,
                revision,
                ..
            } => by_revision.get(revision).map(|key| (repository, *key)),
            Event::Proposed { proposal } => proposal
                .proof
                .first()
                .map(|line| (&proposal.repository, &line.application)),
            _ => None,
        };
        if let Some((repository, key)) = found {
            out.entry(repository.clone()).or_insert_with(|| key.clone());
        }
    }
    out
}

/// What each sync changed, as it was read back, what of that nobody had decided, and what could not be read back.
type Effects<'a> = BTreeMap<&'a OpId, (&'a [Changed], &'a [Changed], &'a [Overwritten])>;

fn effects<'a>(records: &[&'a Record]) -> Effects<'a> {
    let verified = records.iter().filter_map(|record| match &record.event {
        Event::SyncVerified {
            op,
            changes,
            surprises,
            overwritten,
            ..
        } => Some((
            op,
            (
                changes.as_slice(),
                surprises.as_slice(),
                overwritten.as_slice(),
            ),
        )),
        _ => None,
    });
    verified.collect()
}

/// A live action on a field, what it set, and whether that was decided for.
struct Act<'a> {
    op: &'a OpId,
    cell: &'a CellKey,
    set: Option<Value>,
    decided: bool,
}

impl Act<'_> {
    fn is_what(&self, decision: &Decision) -> bool {
        decision.cell.is_same(self.cell) && decision.live.met_by(&self.set)
    }
}

/// Live actions on a field of which the last one was decided for, and that decision taken back with no other action: somebody had put the
/// field back, or another choice took its place. But for what somebody decided for again since.
fn given_up<'a>(records: &[&'a Record], run: &'a Run) -> BTreeSet<&'a OpId> {
    let mut last: Vec<Act> = Vec::new();
    let mut standing: BTreeMap<&CellKey, &Decision> = BTreeMap::new();
    let mut given_up: Vec<Act> = Vec::new();
    for record in records {
        match &record.event {
            Event::Ended { op, .. } => {
                let done = run.ops.get(op).filter(|op| op.done());
                if let Some(Effect::Act {
                    cell: Some(cell),
                    action,
                    ..
                }) = done.map(|op| &op.effect)
                    && let Some(set) = sets(action)
                {
                    let mut act = Act {
                        op,
                        cell,
                        set,
                        decided: false,
                    };
                    act.decided = standing.values().any(|decision| act.is_what(decision));
                    for before in last.iter_mut().filter(|act| act.cell.is_same(cell)) {
                        before.decided = false;
                    }
                    last.push(act);
                }
            }
            Event::Decided { decisions } => {
                for decision in decisions {
                    standing.insert(&decision.cell, decision);
                    given_up.retain(|act| !act.is_what(decision));
                    let mut of_field = last.iter_mut().rev();
                    if let Some(act) = of_field.find(|act| decision.cell.is_same(act.cell)) {
                        act.decided = true;
                    }
                }
            }
            Event::DecisionWithdrawn { cells, .. } => {
                for cell in cells {
                    standing.remove(cell);
                }
                let of = |act: &Act| cells.iter().any(|cell| cell.is_same(act.cell));
                let decided: Vec<&CellKey> = last
                    .iter()
                    .filter(|act| act.decided && of(act))
                    .map(|act| act.cell)
                    .collect();
                given_up.extend(
                    last.extract_if(.., |act| decided.iter().any(|cell| cell.is_same(act.cell))),
                );
            }
            _ => {}
        }
    }
    given_up.into_iter().map(|act| act.op).collect()
}

struct Script<'a> {
    /// As it stands in the end.
    run: &'a Run,
    /// As it stood right after the record that is taken: the gates of a sync are those that were asked then.
    then: Run,
    out: String,
    /// In the order of their first use; the place gives the names of the variables.
    repositories: Vec<&'a str>,
    sources: BTreeMap<String, AppKey>,
    effects: Effects<'a>,
    /// Live actions that are not repeated: what they set was not left so.
    given_up: BTreeSet<&'a OpId>,
    proposals: BTreeMap<&'a str, &'a Proposal>,
    /// Commits of others that were named already.
    others: Vec<&'a Commit>,
    /// Which variable holds a revision of the old world.
    revisions: BTreeMap<&'a str, String>,
    /// A push to a branch that Argo CD does not follow, until its merge is seen: the repository.
    pushed: Option<&'a str>,
}

impl<'a> Script<'a> {
    fn line(&mut self, text: impl AsRef<str>) {
        self.out.push_str(text.as_ref());
        self.out.push('\n');
    }

    fn comment(&mut self, text: &str) {
        let text = say(text);
        self.line(format!("# {text}"));
    }

    fn head(&mut self) {
        self.line("#!/bin/sh");
        let id = self.run.id().to_owned();
        self.comment(&format!("{id}: the same by hand, with kubectl and git."));
        let context = self.run.pin.context.clone();
        self.comment(&format!(
            "It acts on the current context of kubectl (it was {context}) and pushes as you. Read it before you run it."
        ));
        self.comment(
            "It is not guarded as the recovery was: nobody else may write to these Applications meanwhile.",
        );
        self.comment(
            "It begins where the recovery began. Where others pushed meanwhile it goes on as long as its own patches fit what the branch holds; where one does not, it names the commits that have to be there first, and waits for you.",
        );
        self.comment("At each gate that it cannot look at itself it waits for you; without a terminal to ask in it stops there, unless GATES=unasked is set.");
        self.out.push_str(FUNCTIONS);
    }

    fn take(&mut self, event: &'a Event) {
        match event {
            Event::Proposed { proposal } => {
                self.proposals.insert(proposal.commit.as_str(), proposal);
            }
            Event::Ended { op, .. } => {
                // An outcome that is written twice (unknown, then found) counts once.
                let Some(done) = self.run.ops.get(op).filter(|op| op.done()) else {
                    return;
                };
                if matches!(event, Event::Ended { outcome, .. } if done.outcome.as_ref().map(|o| &o.0) == Some(outcome))
                {
                    self.effect(op, &done.effect);
                }
            }
            Event::Landed {
                repository,
                branch,
                revision,
                others,
                ..
            } => self.landed(repository, branch, revision, others),
            Event::GatePassed { application, gate } => self.gate(application, gate),
            Event::Attested { gate, .. } => {
                if let Some(spec) = self.then.gates.get(gate) {
                    let what = format!("{gate}: {}{}", say(&spec.asks()), self.taken_away(gate));
                    self.stop(&what);
                }
            }
            _ => {}
        }
    }

    fn compared(&mut self, application: &AppKey) {
        let key = arguments(application);
        self.line(format!("refresh {key}"));
        self.line(format!("await 'no operation runs' idle {key}"));
    }

    fn effect(&mut self, op: &OpId, effect: &'a Effect) {
        self.line("");
        let title = words::effect(self.run, effect);
        match effect {
            Effect::Freeze {
                application, patch, ..
            } => {
                self.title(&title);
                self.freeze(application, patch);
                self.compared(application);
            }
            Effect::Thaw {
                application,
                automated,
                patch,
                ..
            } => {
                self.title(&title);
                if Policy::new(Some(json!({"automated": automated}))).is_on() {
                    self.line(format!("synced {}", arguments(application)));
                }
                self.thaw(application, patch);
                self.compared(application);
            }
            Effect::Push {
                repository,
                branch,
                commit,
                tracked,
                ..
            } => self.push(repository, branch, commit, *tracked),
            Effect::Sync {
                application,
                revision,
                patch,
            } => {
                self.title(&format!("sync {}", app(self.run, application)));
                self.expected(op);
                let variable = self.revision(revision);
                let operation = operation(patch, &variable);
                self.line(format!(
                    "start_sync {} \"${variable}\" {operation}",
                    arguments(application)
                ));
            }
            Effect::Ignore {
                application, patch, ..
            } => {
                self.title(&title);
                self.patch_application(application, patch);
            }
            Effect::Delete { object, .. } => {
                self.title(&title);
                let (kind, namespace) = place(object);
                self.line(format!(
                    "kubectl{namespace} delete {} {}",
                    shell(&kind),
                    shell(&object.name)
                ));
            }
            Effect::Act { .. } if self.given_up.contains(op) => {
                self.comment(&format!(
                    "Not repeated, since it was put back or given up after it: {title}"
                ));
            }
            Effect::Act { object, patch, .. } => {
                self.title(&title);
                let (kind, namespace) = place(object);
                let (form, patch) = portable(patch);
                self.line(format!(
                    "kubectl{namespace} patch {} {} --type {form} -p {}",
                    shell(&kind),
                    shell(&object.name),
                    shell(&patch)
                ));
            }
        }
    }

    fn title(&mut self, text: &str) {
        let text = say(text);
        self.line(format!("echo {}", shell(&format!("== {text}"))));
    }

    fn patch_application(&mut self, key: &AppKey, patch: &Value) {
        let (form, patch) = portable(patch);
        self.line(format!(
            "kubectl -n {} patch {APPLICATION} {} --type {form} -p {}",
            shell(&key.namespace),
            shell(&key.name),
            shell(&patch)
        ));
    }

    /// Switches auto-sync off where it can be on: what others did to a policy in between is not made by the script.
    fn freeze(&mut self, key: &AppKey, patch: &Value) {
        let note = without(patch, &[AUTOMATED, ENABLED]);
        match note == *patch {
            true => self.patch_application(key, patch),
            false => self.line(format!(
                "freeze {} {} {}",
                arguments(key),
                shell(&portable(patch).1),
                shell(&portable(&note).1)
            )),
        }
    }

    /// Puts the policy back, be it that the Application has none of which a part could be put back.
    fn thaw(&mut self, key: &AppKey, patch: &Value) {
        let part = patch.as_array().into_iter().flatten();
        let part = part.clone().find(|op| path(op) == AUTOMATED);
        let Some(part) = part else {
            self.patch_application(key, patch);
            return;
        };
        let (field, mut otherwise) = match part.get("value") {
            Some(_) => ("{.spec.syncPolicy}", patch.clone()),
            None => ("{.spec.syncPolicy.automated}", without(patch, &[AUTOMATED])),
        };
        for op in otherwise.as_array_mut().into_iter().flatten() {
            if path(op) == AUTOMATED {
                let automated = op["value"].take();
                *op = json!({"op": "add", "path": "/spec/syncPolicy", "value": {"automated": automated}});
            }
        }
        self.line(format!(
            "thaw {} {} {} {}",
            arguments(key),
            shell(field),
            shell(&portable(patch).1),
            shell(&portable(&otherwise).1)
        ));
    }

    /// The names of the variables of a repository: its URL, its folder, its revision.
    fn names(&mut self, repository: &'a str) -> (String, String, String) {
        let known = self.repositories.iter().position(|r| *r == repository);
        let place = known.unwrap_or(self.repositories.len());
        let suffix = match place {
            0 => String::new(),
            n => format!("_{}", n + 1),
        };
        let names = (
            format!("REPO{suffix}"),
            format!("\"$WORK/repo{suffix}\""),
            format!("REVISION{suffix}"),
        );
        if known.is_none() {
            self.repositories.push(repository);
            let url = match self.sources.get(repository) {
                Some(key) => format!("$(get {} '{{.spec.source.repoURL}}')", arguments(key)),
                None => shell(&say(repository)),
            };
            self.line(format!("{0}=${{{0}:-{url}}}", names.0));
        }
        names
    }

    fn push(&mut self, repository: &'a str, branch: &'a str, commit: &'a Commit, tracked: bool) {
        self.title("commit and push");
        let (url, folder, variable) = self.names(repository);
        let Some(proposal) = self.proposals.get(commit.as_str()).copied() else {
            self.line("echo 'the journal does not hold this commit: make it by hand' >&2");
            self.line("exit 1");
            return;
        };
        let base = shell(&proposal.tracked);
        self.line(format!("rm -rf {folder}"));
        self.line(format!(
            "git -c core.autocrlf=false clone -q --branch {base} -- \"${url}\" {folder}"
        ));
        self.name(&proposal.others, &proposal.tracked);
        self.line("begin_changes");
        for file in &proposal.files {
            self.patch_file(file);
        }
        let needs: Vec<String> = match proposal.others.is_empty() {
            true => self.unnamed(proposal).into_iter().collect(),
            false => proposal.others.iter().map(words::foreign).collect(),
        };
        let needs: String = needs.iter().map(|one| format!(" {}", shell(one))).collect();
        self.line(format!("changes {folder} {base}{needs}"));
        self.line(format!("identity {folder}"));
        self.line(format!(
            "commit {folder} {base} {}",
            shell(&without_userinfo(&proposal.message))
        ));
        self.line(format!(
            "git -C {folder} push -q origin {}",
            shell(&format!("HEAD:refs/heads/{branch}"))
        ));
        if tracked {
            self.line(format!("{variable}=$(git -C {folder} rev-parse HEAD)"));
            self.revisions.insert(commit.as_str(), variable);
        } else {
            self.pushed = Some(repository);
        }
    }

    fn patch_file(&mut self, file: &FileDiff) {
        if shows_secret(&file.diff) {
            let path = say(&file.path);
            self.line(format!(
                "echo {} >&2",
                shell(&format!(
                    "{path} holds a secret and is not shown: change it by hand"
                ))
            ));
            self.line("exit 1");
            return;
        }
        let diff = git_diff(file);
        let to = "change";
        if harmless(&diff) {
            let mut mark = "PATCH".to_owned();
            while diff.lines().any(|line| line == mark) {
                mark.push('_');
            }
            self.line(format!("{to} <<'{mark}'"));
            self.out.push_str(&diff);
            self.line(mark);
        } else {
            self.line(format!("printf '%b' {} | {to}", escapes(&diff)));
        }
    }

    /// A revision that Argo CD is to sync to, where our own push does not give it.
    fn landed(
        &mut self,
        repository: &'a str,
        branch: &str,
        revision: &'a Commit,
        others: &'a [Foreign],
    ) {
        if self.revisions.contains_key(revision.as_str()) {
            return;
        }
        self.line("");
        let new = self.name(others, branch);
        if !new.is_empty() {
            self.stop(&format!(
                "{branch} holds what others pushed, or is to go on without it: {}",
                new.join("; ")
            ));
        }
        let (url, folder, variable) = self.names(repository);
        let head = format!(
            "$(git ls-remote \"${url}\" {} | cut -f 1)",
            shell(&format!("refs/heads/{branch}"))
        );
        if self.pushed.take() == Some(repository) {
            self.title(&format!("merge it into {}", say(branch)));
            self.line(format!("BEFORE=$(git -C {folder} rev-parse HEAD^)"));
            self.line(format!(
                "merged() {{ {variable}={head} && [ -n \"${variable}\" ] && [ \"${variable}\" != \"$BEFORE\" ]; }}"
            ));
            self.line("await 'somebody merges it' merged");
        } else {
            self.line(format!("{variable}={head}"));
        }
        self.revisions.insert(revision.as_str(), variable);
    }

    fn revision(&mut self, revision: &Commit) -> String {
        self.revisions
            .get(revision.as_str())
            .cloned()
            .unwrap_or_else(|| "REVISION".to_owned())
    }

    /// What the sync is expected to change, as a comment: what this one changed, and not a later one.
    fn expected(&mut self, op: &OpId) {
        let Some((changes, surprises, overwritten)) = self.effects.get(op).copied() else {
            return;
        };
        if changes.is_empty() && overwritten.iter().all(|over| over.predicted.is_none()) {
            self.comment("It changes nothing.");
        }
        for changed in changes {
            let change = words::change(changed);
            let unasked = match surprises.contains(changed) {
                true => " (nobody had decided that)",
                false => "",
            };
            self.comment(&format!(
                "{} {}: {} -> {}{unasked}",
                change.object, change.field, change.from, change.to
            ));
        }
        for over in overwritten {
            if let Some(predicted) = &over.predicted {
                let change = words::change(predicted);
                self.comment(&format!(
                    "{} {}: {} -> {} (as predicted: {} wrote over it before it was read back)",
                    change.object, change.field, change.from, change.to, over.who
                ));
            }
        }
    }

    /// Says in a comment what others had pushed that was not named before; gives it back.
    fn name(&mut self, others: &'a [Foreign], branch: &str) -> Vec<String> {
        let mut new = Vec::new();
        for other in others {
            if self.others.contains(&&other.commit) {
                continue;
            }
            self.others.push(&other.commit);
            let other = words::foreign(other);
            self.comment(&format!(
                "Pushed to {branch} by others before this: {other}"
            ));
            new.push(other);
        }
        new
    }

    /// The commit of somebody else that a commit of ours was made on, where the journal has no more of it than its id.
    fn unnamed(&self, proposal: &Proposal) -> Option<String> {
        let parent = &proposal.parent;
        let first = self.run.base.get(&proposal.repository) == Some(parent);
        let known = first || self.revisions.contains_key(parent.as_str());
        let told = || {
            let with = format!("with {} ", parent.short());
            let told = self.run.shaken.values().chain(self.run.overruled.values());
            told.map(|touched| touched.who.as_str())
                .find(|who| who.contains(&with))
        };
        (!known).then(|| match told() {
            Some(who) => say(&format!("{parent}: {who}")),
            None => format!("{parent}, or what of it these files hold"),
        })
    }

    fn gate(&mut self, key: &AppKey, gate: &str) {
        let state = self.then.apps.get(key).and_then(|app| app.gates.get(gate));
        let held = state.map(|state| state.hold).unwrap_or_default();
        let spec = state.and_then(|state| state.spec.clone());
        let health = match &spec {
            Some(Gate::Measured(gate)) => gate.health.as_ref(),
            _ => None,
        };
        let waited_for = gate == "healthy" || health.is_some_and(|h| h.application.is_none());
        let away = self.taken_away(gate);
        if waited_for {
            self.comment(&format!("Gate {gate}: Healthy after the operation.{away}"));
            let key = arguments(key);
            self.line(format!("refresh {key}"));
            self.line(format!("await 'healthy' healthy {key}"));
        }
        let planned = match &spec {
            Some(Gate::Measured(gate)) => gate.hold.unwrap_or_default(),
            _ => held,
        };
        if let Some(spec) = spec.filter(|_| !waited_for || planned.0 > Duration::ZERO) {
            let long = if planned.0 > Duration::ZERO {
                format!(", for {planned} without a break")
            } else {
                String::new()
            };
            let shortened = if held < planned {
                format!(" (the recovery held it for {held} only: its waits were shortened)")
            } else {
                String::new()
            };
            let what = say(&spec.asks());
            let after = &key.name;
            self.stop(&format!(
                "{gate} after {after}: {what}{long}{shortened}{away}"
            ));
        }
    }

    /// That a gate which was asked here was taken away later, by whom and why.
    fn taken_away(&self, gate: &str) -> String {
        let away = self.run.removed_gates.get(gate);
        away.map_or_else(String::new, |away| {
            format!(
                " ({} took it away later: {})",
                say(&away.by),
                say(&away.why)
            )
        })
    }

    /// A gate that the script cannot look at: it stops there for a person.
    fn stop(&mut self, what: &str) {
        let what = shell(&say(what));
        self.line(format!("gate {what}"));
    }
}

/// Namespace and name, for the script's functions.
fn arguments(key: &AppKey) -> String {
    format!("{} {}", shell(&key.namespace), shell(&key.name))
}

/// The kind as kubectl takes it, and the option that names the namespace.
fn place(object: &ObjectRef) -> (String, String) {
    let kind = match object.group.as_str() {
        "" => object.kind.to_lowercase(),
        group => format!("{}.{group}", object.kind.to_lowercase()),
    };
    let namespace = object
        .namespace
        .as_ref()
        .map_or_else(String::new, |n| format!(" -n {}", shell(n)));
    (kind, namespace)
}

const AUTOMATED: &str = "/spec/syncPolicy/automated";
const ENABLED: &str = "/spec/syncPolicy/automated/enabled";

fn path(op: &Value) -> &str {
    op.get("path").and_then(Value::as_str).unwrap_or_default()
}

/// A JSON Patch without what it does at these places.
fn without(patch: &Value, places: &[&str]) -> Value {
    match patch {
        Value::Array(ops) => {
            let others = ops.iter().filter(|op| !places.contains(&path(op)));
            Value::Array(others.cloned().collect())
        }
        other => other.clone(),
    }
}

/// A patch without what only the old world has, and its type for kubectl.
fn portable(patch: &Value) -> (&'static str, String) {
    match patch {
        Value::Array(ops) => {
            let kept: Vec<&Value> = ops
                .iter()
                .filter(|op| {
                    let text = |name| op.get(name).and_then(Value::as_str).unwrap_or_default();
                    let path = text("path");
                    let theirs = [
                        "/metadata/resourceVersion",
                        "/metadata/uid",
                        "/metadata/generation",
                    ];
                    !(text("op") == "test"
                        && (theirs.contains(&path) || path.starts_with("/status")))
                })
                .collect();
            ("json", serde_json::to_string(&kept).unwrap_or_default())
        }
        Value::Object(map) => {
            let mut patch = map.clone();
            if let Some(Value::Object(metadata)) = patch.get_mut("metadata") {
                metadata.shift_remove("resourceVersion");
                metadata.shift_remove("uid");
            }
            ("merge", Value::Object(patch).to_string())
        }
        other => ("merge", other.to_string()),
    }
}

/// The `operation` of a sync as one word of the shell, with the revision taken from a variable.
fn operation(patch: &Value, variable: &str) -> String {
    let found = match patch {
        Value::Array(ops) => ops
            .iter()
            .find(|op| op.get("path").and_then(Value::as_str) == Some("/operation"))
            .and_then(|op| op.get("value")),
        patch => patch.get("operation"),
    };
    let mut operation = found
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    // The op-id belongs to the journal that this was made from.
    operation.shift_remove("info");
    let mut sync = match operation.shift_remove("sync") {
        Some(Value::Object(sync)) => sync,
        _ => Map::from_iter([("prune".to_owned(), Value::Bool(false))]),
    };
    sync.shift_remove("revision");
    let rest = |map: Map<String, Value>| {
        let text = Value::Object(map).to_string();
        match text.strip_prefix('{') {
            Some("}") | None => "}".to_owned(),
            Some(rest) => format!(",{rest}"),
        }
    };
    format!(
        "{}\"${variable}\"{}",
        shell(r#"{"sync":{"revision":""#),
        shell(&format!("\"{}{}", rest(sync), rest(operation)))
    )
}
