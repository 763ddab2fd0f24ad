//! The same recovery by hand: a POSIX shell script that needs nothing but kubectl and git.
//!
//! It repeats, in order, every write that is known to have happened, and carries nothing of the old world that another
//! one would not have: no resourceVersion, no op-id, no commit id. The revision is taken from the push.

use super::{
    diff::{git_diff, shows_secret},
    quote::{escapes, harmless, say, shell, without_userinfo},
    words::{self, app},
};
use crate::{
    event::{Effect, Event, FileDiff, Proposal, Record},
    ids::Commit,
    object::identity::{AppKey, ObjectRef},
    plan::Gate,
    run::Run,
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};

const FUNCTIONS: &str = include_str!("../../../../assets/transcript/by-hand.sh");
const APPLICATION: &str = "applications.argoproj.io";

/// The script for a journal; `run` is the fold of the same records.
pub fn by_hand(run: &Run, records: &[&Record]) -> String {
    let mut script = Script {
        run,
        out: String::new(),
        repositories: Vec::new(),
        sources: sources(records),
        proposals: BTreeMap::new(),
        revisions: BTreeMap::new(),
        pushed: None,
    };
    script.head();
    for record in records {
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

struct Script<'a> {
    run: &'a Run,
    out: String,
    /// In the order of their first use; the place gives the names of the variables.
    repositories: Vec<&'a str>,
    sources: BTreeMap<String, AppKey>,
    proposals: BTreeMap<&'a str, &'a Proposal>,
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
                let Some(op) = self.run.ops.get(op).filter(|op| op.done()) else {
                    return;
                };
                if matches!(event, Event::Ended { outcome, .. } if op.outcome.as_ref().map(|o| &o.0) == Some(outcome))
                {
                    self.effect(&op.effect);
                }
            }
            Event::Landed {
                repository,
                branch,
                revision,
                ..
            } => self.landed(repository, branch, revision),
            Event::GatePassed { application, gate } => self.gate(application, gate),
            Event::Attested { gate, .. } => {
                if let Some(spec) = self.run.gates.get(gate) {
                    self.stop(&format!("{gate}: {}", say(&spec.asks())));
                }
            }
            _ => {}
        }
    }

    fn effect(&mut self, effect: &'a Effect) {
        self.line("");
        let title = words::effect(self.run, effect);
        match effect {
            Effect::Freeze {
                application, patch, ..
            }
            | Effect::Thaw {
                application, patch, ..
            } => {
                self.title(&title);
                self.patch_application(application, patch);
                let key = arguments(application);
                self.line(format!("refresh {key}"));
                self.line(format!("await 'no operation runs' idle {key}"));
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
                self.expected(application);
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
        for file in &proposal.files {
            self.patch_file(&folder, file);
        }
        self.line(format!("identity {folder}"));
        self.line(format!(
            "git -C {folder} commit -q -m {}",
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

    fn patch_file(&mut self, folder: &str, file: &FileDiff) {
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
        let apply = format!("git -C {folder} apply --index --whitespace=nowarn");
        if harmless(&diff) {
            let mut mark = "PATCH".to_owned();
            while diff.lines().any(|line| line == mark) {
                mark.push('_');
            }
            self.line(format!("{apply} <<'{mark}'"));
            self.out.push_str(&diff);
            self.line(mark);
        } else {
            self.line(format!("printf '%b' {} | {apply}", escapes(&diff)));
        }
    }

    /// A revision that Argo CD is to sync to, where our own push does not give it.
    fn landed(&mut self, repository: &'a str, branch: &str, revision: &'a Commit) {
        if self.revisions.contains_key(revision.as_str()) {
            return;
        }
        self.line("");
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

    /// What the sync is expected to change, as a comment.
    fn expected(&mut self, key: &AppKey) {
        use crate::run::Sync;
        let Some(Sync::Verified { changes, .. }) = self.run.apps.get(key).map(|a| &a.sync) else {
            return;
        };
        if changes.is_empty() {
            self.comment("It changes nothing.");
        }
        for change in words::changes(changes) {
            self.comment(&format!(
                "{} {}: {} -> {}",
                change.object, change.field, change.from, change.to
            ));
        }
    }

    fn gate(&mut self, key: &AppKey, gate: &str) {
        let state = self.run.apps.get(key).and_then(|app| app.gates.get(gate));
        let spec = state.and_then(|state| state.spec.as_ref());
        let health = match spec {
            Some(Gate::Measured(gate)) => gate.health.as_ref(),
            _ => None,
        };
        let waited_for = gate == "healthy" || health.is_some_and(|h| h.application.is_none());
        if waited_for {
            self.comment(&format!("Gate {gate}: Healthy after the operation."));
            let key = arguments(key);
            self.line(format!("refresh {key}"));
            self.line(format!("await 'healthy' healthy {key}"));
        }
        let held = state.map(|state| state.hold).unwrap_or_default();
        let planned = match spec {
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
            self.stop(&format!("{gate} after {after}: {what}{long}{shortened}"));
        }
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
