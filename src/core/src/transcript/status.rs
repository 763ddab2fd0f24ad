//! One line for the channel.

use super::{quote::say, timeline::verdict, words::between};
use crate::{
    now::Now,
    object::identity::AppKey,
    plan::Gate,
    run::{AppRun, Freeze, GateRun, Run, Sync},
    span::Span,
    workflow::{self, Next, Stage},
};
use serde_json::Value;

/// The incident in one line: `INC-441 · Sync 2/3 · 3 frozen · 0 open · gate no-401 green 3m12s/10m · owed 3`.
///
/// Without a whole look at the world the journal alone says what is open, and can lag behind it.
pub fn status_line(run: &Run, now: Option<&Now>) -> String {
    let open = match now {
        Some(now) if run.snapshots > 1 => {
            let undecided = now.undecided(run);
            let questions: std::collections::BTreeSet<_> = undecided
                .map(|(key, _)| (&key.object.kind, &key.object.name, &key.field))
                .collect();
            questions.len()
        }
        _ => open(run),
    };
    let mut parts = vec![say(run.id()), stage(run, open)];
    if let Some(Next::Stopped { rule, reason, .. }) = now.map(|now| workflow::next(run, now)) {
        parts.push(match rule {
            0 => format!("STOPPED: {}", say(&reason)),
            rule => format!("STOPPED by rule {rule}: {}", say(&reason)),
        });
    }
    if run.closed.is_none() {
        let frozen = run.apps.values().filter(|a| a.freeze.is_set()).count();
        parts.push(match (&run.unfrozen, frozen) {
            (Some(_), 0) => "unfrozen, watched".to_owned(),
            _ => format!("{frozen} frozen"),
        });
        // Before the snapshot of what is frozen, that no question is known says nothing.
        parts.push(match open {
            0 if run.snapshots < 2 => "not yet looked at".to_owned(),
            open => format!("{open} open"),
        });
        parts.extend(gate(run).or_else(|| somebody(run)));
    }
    let lost: Vec<_> = run
        .apps
        .iter()
        .filter(|(_, app)| matches!(app.freeze, Freeze::Lost { .. }))
        .map(|(key, _)| say(&key.name))
        .collect();
    if !lost.is_empty() {
        parts.push(format!("freeze LOST: {}", lost.join(", ")));
    }
    let owed = now.map_or_else(|| run.obligations(), |now| now.owed(run));
    parts.push(format!("owed {}", owed.len()));
    parts.join(" · ")
}

fn stage(run: &Run, open: usize) -> String {
    let walking: Vec<_> = run.walking().map(|(_, app)| app).collect();
    let all = walking.len();
    let count = |what: &dyn Fn(&AppRun) -> bool| walking.iter().filter(|a| what(a)).count();
    let proven = count(&|app| app.freeze.proven() || app.freeze == Freeze::Thawed);
    // What is thawed had nothing to sync, or is through with it.
    let done =
        |(key, app): &(&AppKey, &AppRun)| app.freeze == Freeze::Thawed || synced(run, key, app);
    let synced = run.walking().filter(done).count();
    let thawed = count(&|app| app.freeze == Freeze::Thawed);
    let of = |stage: Stage, done: usize| format!("{} {done}/{all}", stage.name());
    if run.closed.is_some() {
        "closed".to_owned()
    } else if open > 0 && run.snapshots > 1 && proven == all && thawed < all {
        let asked = run.questions.len().max(open);
        format!("{} {}/{asked}", Stage::Decide.name(), asked - open)
    } else if all > 0 && thawed == all {
        Stage::Close.name().to_owned()
    } else if all > 0 && synced == all {
        of(Stage::Thaw, thawed)
    } else if !run.landed.is_empty() {
        let verified = |app: &AppRun| {
            app.freeze == Freeze::Thawed || matches!(app.sync, Sync::Verified { .. })
        };
        of(Stage::Sync, count(&verified))
    } else if run.snapshots == 0 || walking.iter().any(|app| app.target.is_none()) {
        Stage::Scope.name().to_owned()
    } else if proven < all {
        of(Stage::Freeze, proven)
    } else if run.snapshots < 2 {
        Stage::Snapshot.name().to_owned()
    } else {
        Stage::Commit.name().to_owned()
    }
}

/// Synced as shown, and all its gates settled.
fn synced(run: &Run, key: &AppKey, app: &AppRun) -> bool {
    let settled = |name: &String| match run.gates.get(name) {
        Some(Gate::Manual(_)) => app.attested.contains_key(name),
        _ => {
            let passed = app.gates.get(name).is_some_and(|g| g.passed.is_some());
            passed || run.glass_for(key, name).is_some()
        }
    };
    matches!(app.sync, Sync::Verified { .. }) && run.gates_after(key).iter().all(settled)
}

/// Questions of the last snapshot with a cell that has no decision, or one that somebody touched since.
fn open(run: &Run) -> usize {
    let text = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let undecided = |question: &&Value| {
        let cells = question.get("cells").and_then(Value::as_array);
        cells.into_iter().flatten().any(|cell| {
            let (application, namespace) = (text(cell, "application"), text(cell, "namespace"));
            !run.decisions
                .keys()
                .filter(|key| !run.shaken.contains_key(key))
                .any(|key| {
                    key.object.kind == text(question, "kind")
                        && key.object.name == text(question, "name")
                        && key.field.to_string() == text(question, "field")
                        && (key.application.name == application
                            || key.application.to_string() == application)
                        && key.object.namespace.as_deref().unwrap_or_default() == namespace
                })
        })
    };
    run.questions.iter().filter(undecided).count()
}

/// Who is waited for, where nothing is measured any more: somebody who looks, or who merges.
fn somebody(run: &Run) -> Option<String> {
    if run.pushed_unmerged() {
        return Some("waits for a merge".to_owned());
    }
    let asked = run.sync_order().into_iter().find_map(|key| {
        let app = run.apps.get(&key)?;
        let synced = matches!(app.sync, Sync::Verified { .. }) && app.freeze.is_set();
        let open = synced && app.parked.is_none();
        workflow::gates(run, &key, app).filter(|_| open)
    });
    match asked {
        Some(Next::Attest { gate, .. }) => Some(format!("gate {} waits for somebody", say(&gate))),
        _ => None,
    }
}

/// The gate that is looked at now.
fn gate(run: &Run) -> Option<String> {
    let running = |state: &GateRun| state.passed.is_none() && state.started_at.is_some();
    let (name, state) = run
        .sync_order()
        .iter()
        .filter_map(|key| run.apps.get(key))
        .flat_map(|app| &app.gates)
        .rfind(|(_, state)| running(state))?;
    let look = state.samples.last();
    let word = match (&state.timed_out, look) {
        (Some(_), _) => "TIMED OUT",
        (None, Some(sample)) => verdict(sample.verdict),
        (None, None) => "begun",
    };
    let green = match (state.green_since, look) {
        (Some(since), Some(last)) => between(since, last.at),
        _ => Span::default(),
    };
    Some(match state.hold.0.is_zero() {
        true => format!("gate {} {word}", say(name)),
        false => format!("gate {} {word} {green}/{}", say(name), state.hold),
    })
}
