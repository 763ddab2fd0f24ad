//! Small readings of what the engine told, in the words in which they are shown.

use super::Model;
use crate::tui::{
    theme::Role,
    widgets::words::{self, age, bracket, since},
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use trueup_core::{
    decision::CellKey,
    event::{HoldSample, Mechanism},
    now::{AppNow, Now},
    object::identity::AppKey,
    run::{AppRun, Freeze, Run, Sync, Thaw},
    workflow::Next,
};

/// How long something lasted.
pub fn lasted(from: Timestamp, to: Timestamp) -> String {
    age(since(from, to))
}

/// Whether an Application is in trouble, or looks like it.
pub fn suspicious(app: &AppNow) -> bool {
    app.sync != "Synced"
        || app.auto_state == "off"
        || app.divergences > 0
        || !app.conditions.is_empty()
        || matches!(app.health.as_str(), "Degraded" | "Missing")
}

/// `on`, `off 7-8 d`, `absent`.
pub fn auto_sync(app: &AppNow, at: Timestamp) -> (Role, String) {
    if app.auto_sync {
        return (Role::Good, "on".into());
    }
    let state = if app.auto_state.is_empty() {
        "off"
    } else {
        &app.auto_state
    };
    let length = match (app.off_not_after, app.off_not_before) {
        (Some(not_after), Some(not_before)) => {
            format!(" {}", bracket(since(not_after, at), since(not_before, at)))
        }
        (Some(not_after), None) => format!(" ≥{}", age(since(not_after, at))),
        (None, Some(not_before)) => format!(" ≤{}", age(since(not_before, at))),
        (None, None) => String::new(),
    };
    let role = if state == "off" {
        Role::Warn
    } else {
        Role::Dim
    };
    (role, format!("{state}{length}"))
}

/// A policy in a few words.
pub fn policy_words(automated: &Value) -> String {
    // A whole `syncPolicy` is read as its `automated`.
    let automated = automated.get("automated").unwrap_or(automated);
    match automated {
        Value::Null => "off".into(),
        Value::Object(fields) => {
            if fields.get("enabled") == Some(&Value::Bool(false)) {
                return "off (enabled: false)".into();
            }
            let on: Vec<String> = fields
                .iter()
                .filter(|(_, v)| **v == Value::Bool(true))
                .map(|(k, _)| words::clean(k))
                .collect();
            if on.is_empty() {
                "auto-sync".into()
            } else {
                on.join(", ")
            }
        }
        other => words::clean(&other.to_string()),
    }
}

/// What people wrote on Applications whose auto-sync is off, each text once with the Applications that it stands on:
/// whoever chooses a target reads why it was switched off.
pub fn noted(now: &Now, applications: &[AppKey]) -> Vec<String> {
    let mut texts: Vec<(&str, Vec<&str>)> = Vec::new();
    for key in applications {
        let Some(app) = now.apps.get(key) else {
            continue;
        };
        let notes = app
            .evidence
            .iter()
            .filter(|line| line.starts_with("annotation "));
        for line in notes {
            // Without who and when, which the detail has.
            let text = line
                .rsplit_once(" (")
                .map_or(line.as_str(), |(text, _)| text);
            match texts.iter_mut().find(|(known, _)| *known == text) {
                Some((_, names)) => names.push(&key.name),
                None => texts.push((text, vec![&key.name])),
            }
        }
    }
    texts
        .into_iter()
        .map(|(text, names)| format!("{text} on {}", names.join(", ")))
        .collect()
}

/// `automated` of a whole `syncPolicy`.
pub fn automated(policy: &Value) -> Value {
    policy.get("automated").cloned().unwrap_or(Value::Null)
}

/// How auto-sync is kept off, in words.
pub fn mechanism(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::NoteOnly => "note only: nothing to switch off",
        Mechanism::Disable => "automated.enabled=false",
        Mechanism::Remove => "automated taken out, kept in the note",
    }
}

/// The state of a freeze with its age. `unknown`: nobody knows whether its thaw happened.
pub fn holds(
    app: &AppRun,
    unknown: bool,
    hold: std::time::Duration,
    at: Timestamp,
) -> (Role, String) {
    match &app.freeze {
        freeze if unknown && freeze.is_set() => (Role::Warn, not_known()),
        Freeze::Not => (Role::Dim, "not frozen".into()),
        Freeze::Set { at: set, .. } => (Role::Warn, format!("✓  set {} ago", age(since(*set, at)))),
        Freeze::Holding {
            first: HoldSample { at: first, .. },
            ..
        } => {
            let seen = since(*first, at).min(hold).as_secs();
            (Role::Warn, format!("✓· {seen}/{} s", hold.as_secs()))
        }
        Freeze::Proven { since: from, .. } => (Role::Good, format!("✓✓ {}", age(since(*from, at)))),
        // Why stands in the detail, as a whole.
        Freeze::Lost { .. } => (Role::Bad, "! LOST".into()),
        Freeze::Thawed => (Role::Dim, "thawed".into()),
    }
}

/// Which other incident holds an Application by its freeze, by whom and since when.
pub fn held_elsewhere(model: &super::Model, key: &AppKey) -> Option<String> {
    let by = model.held_by(key)?;
    let note = model.now().apps.get(key)?.note.as_ref()?;
    let text = |name: &str| note.get(name).and_then(Value::as_str);
    let since = text("at").and_then(|at| at.parse::<Timestamp>().ok());
    let since = since.map(|at| format!("since {}", at.strftime("%Y-%m-%d %H:%MZ")));
    let told: Vec<String> = text("by")
        .map(str::to_owned)
        .into_iter()
        .chain(since)
        .collect();
    let told = match told.is_empty() {
        true => String::new(),
        false => format!(" ({})", told.join(", ")),
    };
    let by = model.run().tell_apart(by);
    Some(words::clean(&format!("held by {by}{told}")))
}

/// What comes next. Fields are counted as the rest of the screen counts them: one of three copies is one.
pub fn next_words(model: &super::Model) -> String {
    match (&model.world.next, model.derived.undecided_questions) {
        (trueup_core::workflow::Next::Decide { .. }, fields @ 1..) => {
            format!("decide {}", words::count(fields, "field"))
        }
        (next, _) => next.words(),
    }
}

/// Those that the walk brings to the end: none that is parked, and none that a decision leaves frozen.
pub fn on_the_way(model: &Model) -> Vec<(&AppKey, &AppRun)> {
    let behind = &model.derived.behind;
    let walking = model.run().walking();
    walking
        .filter(|(key, _)| !behind.contains_key(*key))
        .collect()
}

/// Whether a decision leaves it frozen, and the walk goes on without it.
pub fn kept_frozen(model: &Model, key: &AppKey) -> bool {
    model.derived.behind.get(key).is_some_and(|b| !b.parked)
}

/// `2 synced of 2 · 1 kept frozen`.
pub fn done_of_those_on_the_way(model: &Model, done: usize, word: &str) -> String {
    let all = on_the_way(model).len();
    let kept = model.derived.behind.values().filter(|b| !b.parked).count();
    let kept = match kept {
        0 => String::new(),
        n => format!(" · {n} kept frozen"),
    };
    format!("{done} {word} of {all}{kept}")
}

/// Those whose freeze is proven, and those that were thawed and need not be frozen again.
pub fn through_the_freeze(model: &Model) -> Vec<(&AppKey, &AppRun)> {
    let again = |key: &AppKey| matches!(&model.world.next, Next::Freeze { applications } if applications.contains(key));
    let walking = model.run().walking();
    walking
        .filter(|(_, app)| app.freeze.proven() || app.freeze == Freeze::Thawed)
        .filter(|(key, _)| !again(key))
        .collect()
}

/// What of an Application others wrote over since it was decided.
pub fn open_again<'m>(model: &'m Model, key: &AppKey) -> &'m [CellKey] {
    model.derived.open_again.get(key).map_or(&[], Vec::as_slice)
}

/// The sync that counts: none, where what was verified is to be synced again.
pub fn sync_now<'a>(model: &Model, key: &AppKey, app: &'a AppRun) -> &'a Sync {
    match model.derived.to_sync_again.contains(key) {
        true => &Sync::Not,
        false => &app.sync,
    }
}

/// Why no sync of an Application comes though it is not synced, and what would bring it in.
pub fn left_out(model: &Model, key: &AppKey, app: &AppRun) -> Option<String> {
    if !matches!(sync_now(model, key, app), Sync::Not) {
        return None;
    }
    if let Some(parked) = &app.parked {
        return Some(format!(
            "left out: parked, {} has it until {}. Taken up again (P), it comes in",
            parked.owner, parked.until
        ));
    }
    if let Some(held) = held_elsewhere(model, key) {
        return Some(format!(
            "left out: {held}. Once that gave it back, or it is taken over, it comes in"
        ));
    }
    let mut decisions = model.run().decisions.values();
    let kept = decisions.find(|d| d.cell.application == *key && d.stays_frozen())?;
    let later = model.run().stays_frozen(key)?;
    Some(format!(
        "left out: {} of {} stays frozen as it is ({}, until {}), and a sync would write all of {}. Decided on anew (Decide), it \
         comes in",
        words::field(&kept.cell.field),
        kept.cell.object.name,
        later.owner,
        later.until,
        key.name,
    ))
}

/// Where the sync of an Application stands.
pub fn sync_state(model: &Model, key: &AppKey, app: &AppRun) -> (Role, String) {
    match sync_now(model, key, app) {
        Sync::Not if kept_frozen(model, key) => (Role::Dim, "left out: stays frozen".into()),
        Sync::Not if model.held_by(key).is_some() => (Role::Dim, "left out: held elsewhere".into()),
        Sync::Not => match &app.prediction {
            Some((_, p)) if !p.as_expected() && p.unexpected.is_empty() && p.missing.is_empty() => {
                (Role::Warn, "? effect not known".into())
            }
            Some((_, p)) if !p.as_expected() => (Role::Bad, "! predicted ≠ expected".into()),
            Some((_, p)) if p.no_change() => (Role::Good, "predicted: no change ✓".into()),
            Some((_, p)) => (
                Role::Good,
                format!("predicted: {} ✓", words::count(p.changes.len(), "field")),
            ),
            None => (Role::Dim, "not yet predicted".into()),
        },
        Sync::Requested { .. } => (Role::Warn, "▶ syncing".into()),
        Sync::Finished { phase, .. } if phase == "Succeeded" => {
            (Role::Warn, "▶ finished, reading back".into())
        }
        Sync::Finished { phase, .. } => (Role::Bad, format!("! {}", words::clean(phase))),
        Sync::Verified { .. } if !open_again(model, key).is_empty() => {
            let open = open_again(model, key).len();
            (
                Role::Bad,
                format!("! {} open again", words::count(open, "field")),
            )
        }
        Sync::Verified { changes, .. } if changes.is_empty() => (Role::Good, "✓ no change".into()),
        Sync::Verified { changes, .. } => (
            Role::Good,
            format!("✓ {} as shown", words::count(changes.len(), "field")),
        ),
        Sync::Surprised {
            surprises,
            seen: None,
            ..
        } => (
            Role::Bad,
            format!("! {} not shown", words::count(surprises.len(), "change")),
        ),
        Sync::Surprised { .. } => (Role::Warn, "! to sync again".into()),
    }
}

/// Where the thaw of an Application stands.
/// How far the thaw of an Application is. `lost`: why what is seen of it is no freeze any more.
/// `unknown`: nobody knows whether its thaw happened.
pub fn thaw_state(
    app: &AppRun,
    lost: Option<&str>,
    unknown: bool,
    at: Timestamp,
) -> (Role, String) {
    match (&app.thaw, &app.freeze) {
        (Thaw::Not, freeze) if unknown && freeze.is_set() => (Role::Warn, not_known()),
        (Thaw::Not, Freeze::Thawed) => (Role::Good, "✓ thawed".into()),
        (Thaw::Not, Freeze::Lost { .. }) => (Role::Bad, "! freeze lost".into()),
        (Thaw::Not, _) if lost.is_some() => (Role::Bad, "! freeze lost".into()),
        (Thaw::Not, Freeze::Not) => (Role::Warn, "not frozen".into()),
        _ => thaw_rounds(app, at),
    }
}

/// How many writes nobody saw end. One that this very process is at is none of them.
pub fn unknown_writes(model: &Model) -> usize {
    let left_behind = matches!(model.world.next, Next::LookUp { .. });
    let open = model.run().open_ops();
    open.filter(|(_, op)| left_behind || op.outcome.is_some())
        .count()
}

/// A write that was begun and not seen to end, be it under way or another process's.
fn not_known() -> String {
    "? not known".into()
}

fn thaw_rounds(app: &AppRun, at: Timestamp) -> (Role, String) {
    match &app.thaw {
        Thaw::Not => (Role::Dim, "frozen".into()),
        Thaw::Restored { rounds, .. } => (Role::Warn, format!("▶ round {rounds}/2 seen")),
        Thaw::Watched { at: done, .. } => {
            (Role::Good, format!("✓ 2 rounds, {}", age(since(*done, at))))
        }
        Thaw::Broken { why, .. } => (Role::Bad, format!("! {}", words::clean(why))),
    }
}

/// One line for each copy group: `auth-config in auth, like, profile: 3 states`.
pub fn copies(now: &Now) -> Vec<String> {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for question in &now.questions {
        let Some(group) = &question.group else {
            continue;
        };
        let members = groups.entry(group).or_default();
        for key in &question.cells {
            let place = key
                .object
                .namespace
                .as_deref()
                .unwrap_or(&key.application.name);
            let live = now.cells.get(key).and_then(|cell| cell.sides.live.as_ref());
            members
                .entry(place)
                .or_default()
                .push(live.map(ToString::to_string).unwrap_or_default());
        }
    }
    groups
        .into_iter()
        .map(|(group, members)| {
            let states: BTreeSet<&Vec<String>> = members.values().collect();
            let places: Vec<&str> = members.keys().copied().collect();
            let verdict = match states.len() {
                1 => "all alike".to_owned(),
                n => format!("{n} of {} disagree", members.len()),
            };
            words::clean(&format!("{group} in {}: {verdict}", places.join(", ")))
        })
        .collect()
}

/// What is allowed: `patch configmaps, services in auth, like`, `patch applications (auth-service) in argocd`; a sentence of another form stands by itself.
pub fn allowed(now: &Now) -> Vec<String> {
    let mut lines = Vec::new();
    // By verb and resource the places; then by verb and places the resources.
    let mut places: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for may in now.may.iter().filter(|may| may.allowed == Some(true)) {
        let parts = may
            .what
            .split_once(' ')
            .and_then(|(verb, rest)| Some((verb, rest.split_once(" in ")?)))
            .filter(|(_, (resource, place))| !resource.contains(' ') && !place.contains(' '));
        match parts {
            Some((verb, (resource, place))) => {
                places.entry((verb, resource)).or_default().push(place);
            }
            None => lines.push(words::clean(&may.what)),
        }
    }
    // The names belong to the resources.
    type Named<'n> = BTreeMap<&'n str, Vec<&'n str>>;
    let mut resources: BTreeMap<(&str, Vec<&str>), Named<'_>> = BTreeMap::new();
    for ((verb, resource), places) in places {
        let (plural, name) = match resource.split_once('/') {
            Some((plural, name)) => (plural, Some(name)),
            None => (resource, None),
        };
        resources
            .entry((verb, places))
            .or_default()
            .entry(plural.split('.').next().unwrap_or(plural))
            .or_default()
            .extend(name);
    }
    lines.extend(resources.into_iter().map(|((verb, places), resources)| {
        let named: Vec<String> = resources
            .into_iter()
            .map(|(plural, names)| match names.as_slice() {
                [] => plural.to_owned(),
                names => format!("{plural} ({})", names.join(", ")),
            })
            .collect();
        words::clean(&format!(
            "{verb} {} in {}",
            named.join(", "),
            places.join(", ")
        ))
    }));
    lines
}

/// A cell that is not as the last snapshot has it, or, where what was found first is lost, as the one that found it.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    pub cell: trueup_core::decision::CellKey,
    pub application: trueup_core::object::identity::AppKey,
    pub object: String,
    pub field: String,
    pub kept: Option<Value>,
    /// When it was seen so.
    pub at: Option<jiff::Timestamp>,
    pub live: Option<Value>,
}

/// With those that moved since the last snapshot those that were found first and are lost.
pub fn with_lost(mut moved: Vec<Moved>, run: &Run, now: &Now) -> Vec<Moved> {
    for (key, cell, found) in now.lost(run) {
        moved.retain(|moved| moved.cell != *key);
        moved.push(Moved {
            cell: key.clone(),
            application: key.application.clone(),
            object: format!("{}/{}", key.object.kind, key.object.name),
            field: key.field.to_string(),
            kept: found.sides.live.clone(),
            at: Some(found.at),
            live: cell.sides.live.clone(),
        });
    }
    moved
}

/// Live values that moved since the last snapshot.
pub fn since_the_last(run: &Run, now: &Now) -> Vec<Moved> {
    if run.questions.is_empty() {
        return Vec::new();
    }
    let mut live: BTreeMap<
        (String, String, String),
        (&trueup_core::decision::CellKey, &Option<Value>),
    > = BTreeMap::new();
    for (key, cell) in &now.cells {
        let place = key.object.namespace.clone().unwrap_or_default();
        let object = format!("{}/{}", key.object.kind, key.object.name);
        live.insert(
            (object, place, key.field.to_string()),
            (key, &cell.sides.live),
        );
    }
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut moved = Vec::new();
    for question in &run.questions {
        let object = format!("{}/{}", text(question, "kind"), text(question, "name"));
        let field = text(question, "field");
        for cell in question
            .get("cells")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let at = (object.clone(), text(cell, "namespace"), field.clone());
            let kept = cell.get("live").cloned();
            if let Some((key, is)) = live.get(&at)
                && **is != kept
            {
                moved.push(Moved {
                    cell: (*key).clone(),
                    application: key.application.clone(),
                    object: object.clone(),
                    field: field.clone(),
                    kept,
                    at: run
                        .kept_at
                        .get(&(text(question, "id"), key.application.clone()))
                        .copied()
                        .or(run.snapshot_at),
                    live: (*is).clone(),
                });
            }
        }
    }
    moved
}

/// One line that can be pasted into the channel.
pub fn status_line(model: &super::Model) -> String {
    let run = model.run();
    let open = model.derived.undecided_questions;
    words::clean(&format!(
        "{} {}: {} · {} frozen · {}{} · {} owed · {}",
        run.id(),
        run.pin.context,
        model.world.next.stage().name(),
        model.derived.frozen,
        match unknown_writes(model) {
            0 => String::new(),
            unknown => format!("{} unknown · ", words::count(unknown, "write")),
        },
        match model.unread() {
            Some(_) => "not all of it could be READ".to_owned(),
            None => format!("{open} undecided"),
        },
        model.derived.owed.len(),
        run.opened_at
            .map(|at| words::clock(since(at, model.time)))
            .unwrap_or_default(),
    ))
}
