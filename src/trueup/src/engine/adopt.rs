//! What others did meanwhile: recorded with its effect and its author as far as known, and adopted.
//!
//! Only the decisions that it touched are open again (see `Decision::stands`); a freeze that it undid is lost.

use serde_json::Value;
use trueup_core::{
    decision::{CellKey, Decision, Sides, Wanted},
    event::{Effect, Event},
    now::{CellNow, Now},
    object::identity::AppKey,
    run::{Run, Sync},
    text,
};

use super::{
    read::World,
    state::Engine,
    steps::{application, sync},
    trouble::Trouble,
};

impl Engine {
    /// Compares a look with what the journal knows and records what is not ours.
    pub(super) fn adopt(&self, world: &World, now: &Now) -> Result<(), Trouble> {
        let run = self.run();
        if run.closed.is_some() || run.open_ops().next().is_some() {
            return Ok(());
        }
        for (application, what, who, cell) in foreign(&run, world, now) {
            let known = run
                .adopted
                .iter()
                .any(|(key, said)| *key == application && *said == what);
            if !known {
                self.record(Event::Adopted {
                    application,
                    what,
                    who,
                    cell,
                })?;
            }
        }
        for (application, why) in now.policies_moved(&run) {
            self.record(Event::PolicyMoved { application, why })?;
        }
        for (key, why) in lost(&run, world, now) {
            self.record(Event::FreezeLost {
                application: key,
                why,
            })?;
        }
        Ok(())
    }
}

type Foreign = (Option<AppKey>, String, String, Option<CellKey>);

fn foreign(run: &Run, world: &World, now: &Now) -> Vec<Foreign> {
    let mut found = Vec::new();
    for (key, decision) in &run.decisions {
        let Some(cell) = now.cells.get(key) else {
            continue;
        };
        if decision.stands(&cell.sides) {
            continue;
        }
        let seen = before_others(run, decision, &cell.sides);
        found.push((
            Some(key.application.clone()),
            text::line(&format!(
                "{} {}: {}",
                key.object,
                key.field,
                moved(&seen, cell)
            )),
            author(&seen, cell),
            Some(key.clone()),
        ));
    }
    for key in &run.scope {
        let Some(app) = world.applications.get(key) else {
            continue;
        };
        found.extend(operation(run, key, &app.object));
    }
    found
}

/// What stood before anybody else did anything: what the decision put into Git, and what a sync of ours made of the
/// cluster since.
fn before_others(run: &Run, decision: &Decision, now: &Sides) -> Sides {
    let wanted = |wanted: &Wanted, seen: &Option<Value>| match wanted {
        Wanted::Value(value) => Some(value.clone()),
        Wanted::Absent => None,
        Wanted::AsIs => seen.clone(),
    };
    let pushed = run.ops.values().any(|op| {
        op.done() && matches!(op.effect, Effect::Push { .. }) && op.intended_at >= decision.at
    });
    let synced = run.apps.get(&decision.cell.application).is_some_and(|app| {
        let Sync::Verified { op, .. } = &app.sync else {
            return false;
        };
        let op = run.ops.get(op);
        op.is_some_and(|op| op.intended_at >= decision.at)
    });
    let mut seen = decision.seen.clone();
    if pushed || decision.git_met(now) {
        seen.git = wanted(&decision.git, &seen.git);
    }
    if synced {
        seen.live = wanted(&decision.live, &seen.live);
    }
    seen
}

fn moved(seen: &Sides, cell: &CellNow) -> String {
    let side = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "(absent)".to_owned(), text::value)
    };
    let mut parts = Vec::new();
    if seen.git != cell.sides.git {
        parts.push(format!(
            "Git went from {} to {}",
            side(&seen.git),
            side(&cell.sides.git)
        ));
    }
    if seen.live != cell.sides.live {
        parts.push(format!(
            "live went from {} to {}",
            side(&seen.live),
            side(&cell.sides.live)
        ));
    }
    parts.join(", ")
}

/// The writer of a cell is the one of its live value: what moved in Git is not theirs.
fn author(seen: &Sides, cell: &CellNow) -> String {
    let live = match cell.writer.as_str() {
        "" => "unknown",
        writer => writer,
    };
    match (seen.git != cell.sides.git, seen.live != cell.sides.live) {
        (true, false) => "a push to Git".into(),
        (true, true) => format!("a push to Git, live: {live}"),
        _ => live.into(),
    }
}

/// An operation that began after the incident was opened and carries no mark of it.
fn operation(run: &Run, key: &AppKey, application: &Value) -> Option<Foreign> {
    let state = application.pointer("/status/operationState")?;
    let operation = state.get("operation")?;
    if application::info(operation, sync::INFO_INCIDENT) == Some(run.id()) {
        return None;
    }
    let started = state.get("startedAt").and_then(Value::as_str)?;
    let at: jiff::Timestamp = started.parse().ok()?;
    if run.opened_at.is_none_or(|opened| at <= opened) {
        return None;
    }
    let who = operation
        .pointer("/initiatedBy/username")
        .and_then(Value::as_str)
        .filter(|w| !w.is_empty());
    let automated = operation
        .pointer("/initiatedBy/automated")
        .and_then(Value::as_bool)
        == Some(true);
    let revision = operation
        .pointer("/sync/revision")
        .and_then(Value::as_str)
        .unwrap_or("the head");
    Some((
        Some(key.clone()),
        text::line(&format!("a sync of {key} to {revision} began at {started}")),
        text::line(who.unwrap_or(if automated { "auto-sync" } else { "unknown" })),
        None,
    ))
}

/// Freezes that somebody undid, and what Argo CD did since, as far as it shows already.
fn lost(run: &Run, world: &World, now: &Now) -> Vec<(AppKey, String)> {
    run.apps
        .iter()
        .filter(|(_, app)| !matches!(app.sync, Sync::Requested { .. }))
        .filter_map(|(key, _)| {
            let why = now.lost_freeze(run, key)?;
            let synced = world
                .applications
                .get(key)
                .and_then(|app| operation(run, key, &app.object));
            let why = match synced {
                None => why.to_owned(),
                Some((_, what, who, _)) => format!("{why}, and {what} (by {who})"),
            };
            Some((key.clone(), why))
        })
        .collect()
}
