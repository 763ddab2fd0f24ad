//! Freeze: a line for each Application, how and why this way, and the proof that it holds.

use serde_json::Value;

use super::Screen;
use crate::tui::{
    model::{Model, facts},
    theme::Role,
    widgets::{
        doc::Doc,
        table::{fixed, grows},
        words::{self, count},
    },
};
use trueup_core::{
    event::{Effect, Mechanism},
    object::identity::AppKey,
    policy::Policy,
    run::{AppRun, Freeze, Op, Run},
    workflow::Next,
};

pub fn screen(model: &Model) -> Screen<'_> {
    let scope = &model.run().scope;
    let through = facts::through_the_freeze(model);
    let thawed = through.iter().any(|(_, app)| app.freeze == Freeze::Thawed);
    let word = match thawed {
        true => "proven or thawed",
        false => "proven",
    };
    let walking = model.run().walking().count();
    let here = model.app_here();
    Screen {
        title: format!("freeze {}", count(scope.len(), "application")),
        right: format!("{} {word} of {walking}", through.len()),
        columns: vec![
            fixed("application", 18),
            fixed("now", 14),
            fixed("holds", 14),
            grows("how", 24),
            grows("why this way", 20),
        ],
        row: Box::new(|i| row(model, &model.run().scope[i])),
        empty: "no application is in the scope: n chooses".into(),
        below_title: String::new(),
        below: Doc::new(),
        detail_title: here.as_ref().map_or_else(
            || "will write".into(),
            |key| {
                let verb = if freeze_op(model.run(), key).is_some() {
                    "wrote"
                } else {
                    "will write"
                };
                format!("{verb}: {}", key.name)
            },
        ),
        detail: here.map(|key| detail(model, &key)).unwrap_or_default(),
    }
}

/// How it is frozen, or would be as far as the policy tells; the second part says why this way.
fn how(model: &Model, key: &AppKey, app: &AppRun) -> (String, String) {
    let mechanism = match &app.freeze {
        Freeze::Set { mechanism, .. }
        | Freeze::Holding { mechanism, .. }
        | Freeze::Proven { mechanism, .. } => Some(*mechanism),
        _ => None,
    };
    let now = model.now().apps.get(key);
    // A note of this incident that stood before this freeze: what it found is what comes back.
    let found_on = |found: &Value| Policy::new(Some(found.clone())).is_on();
    let earlier = match mechanism {
        Some(Mechanism::NoteOnly) => app.found.as_ref().is_some_and(found_on),
        Some(_) => false,
        None => now.is_some_and(|now| {
            let of_note = || now.note.as_ref()?.get("found").cloned();
            let found = match now.bears_our_note(model.run(), key) {
                true => of_note(),
                false => model.run().way_back(key).map(|note| note.found),
            };
            !now.auto_sync && found.as_ref().is_some_and(found_on)
        }),
    };
    match (mechanism, now) {
        (None, Some(_)) if moves(model, key) => {
            ("again: it was thawed".into(), "the commit moves it".into())
        }
        _ if earlier => (
            "note only: off by an earlier freeze".into(),
            "its way back is kept".into(),
        ),
        (Some(Mechanism::NoteOnly), _) => (
            "note only: nothing to switch off".into(),
            "no automated in spec".into(),
        ),
        (Some(Mechanism::Disable), _) => (
            facts::mechanism(Mechanism::Disable).into(),
            "the CRD has the field".into(),
        ),
        (Some(Mechanism::Remove), _) => (
            facts::mechanism(Mechanism::Remove).into(),
            "the CRD has no `enabled`".into(),
        ),
        (None, Some(now)) if !now.auto_sync => (
            "note only: nothing to switch off".into(),
            "no automated in spec".into(),
        ),
        (None, Some(_)) => (
            "automated.enabled=false, or taken out".into(),
            "as the CRD allows".into(),
        ),
        (None, None) => ("?".into(), "not seen".into()),
    }
}

/// Whether it is frozen again for what is to be pushed.
fn moves(model: &Model, key: &AppKey) -> bool {
    let again =
        matches!(&model.world.next, Next::Freeze { applications } if applications.contains(key));
    again && model.run().is_given_back(key)
}

fn row(model: &Model, key: &AppKey) -> Vec<(Role, String)> {
    let default = AppRun::default();
    let app = model.run().apps.get(key).unwrap_or(&default);
    let now = model.now().apps.get(key);
    let state = match now {
        None => (Role::Dim, "?".to_owned()),
        Some(now) if now.auto_sync => (Role::Warn, "on".into()),
        Some(now) if facts::automated(&now.sync_policy).is_null() => {
            (Role::Text, "off (removed)".into())
        }
        Some(_) => (Role::Text, "off (disabled)".into()),
    };
    let (how, mut why) = how(model, key, app);
    if let Some(now) = now.filter(|now| !now.owner.is_empty()) {
        why = format!("{why}; made by {}", now.owner);
    }
    let mut holds = facts::holds(
        app,
        model.run().thaw_unknown(key),
        model.run().waits.freeze_hold.0,
        model.time,
    );
    let mut how = (Role::Text, how);
    if let Some(held) = facts::held_elsewhere(model, key) {
        let lost = matches!(app.freeze, Freeze::Lost { .. });
        if !lost || model.now().taken_over_by(model.run(), key).is_some() {
            holds = (Role::Warn, "held elsewhere".into());
        }
        how = (Role::Warn, held);
        why = "O takes it over".into();
    }
    if let Some(parked) = &app.parked {
        why = format!("parked: {} until {}", parked.owner, parked.until);
    }
    vec![
        (Role::Strong, key.name.clone()),
        state,
        holds,
        how,
        (Role::Dim, why),
    ]
}

/// The last freeze of this Application that was confirmed.
fn freeze_op<'a>(run: &'a Run, key: &AppKey) -> Option<&'a Op> {
    run.op_order
        .iter()
        .rev()
        .filter_map(|id| run.ops.get(id))
        .find(|op| matches!(&op.effect, Effect::Freeze { application, .. } if application == key))
}

fn detail(model: &Model, key: &AppKey) -> Doc {
    let mut doc = Doc::new();
    let run = model.run();
    for (other, app) in &run.apps {
        if let Freeze::Lost { why } = &app.freeze
            && model.now().taken_over_by(run, other).is_none()
        {
            let way = match model.held_by(other) {
                Some(_) => "O takes it over",
                None => "n freezes again",
            };
            let said = format!("{}: {why}; {way}", other.name);
            doc.pair("! lost", Role::Bad, said);
        }
    }
    if let Some(held) = facts::held_elsewhere(model, key) {
        let said = format!(
            "{held}: O takes it over, with all others that it holds; what it found is kept as the way back. Ask its operator first."
        );
        doc.pair("! held", Role::Warn, said);
    }
    match freeze_op(run, key) {
        Some(op) => written(&mut doc, key, op),
        None => {
            doc.text(
                Role::Dim,
                "n or enter shows the sheet: the exact patch, what it assumes, its undo, and the same by hand. Nothing is written before it is confirmed.",
            );
        }
    }
    if let Some(app) = run.apps.get(key) {
        if let Some(found) = &app.found {
            doc.pair("found", Role::Text, format!("syncPolicy {found}"));
        }
        if let Some((target, automated, evidence)) = &app.target {
            doc.pair(
                "target",
                Role::Text,
                format!(
                    "{} {evidence}",
                    super::scope::target_words(target, automated)
                ),
            );
        }
    }
    if let Some(now) = model.now().apps.get(key) {
        let owner = if now.owner.is_empty() {
            "none: no set, no parent".to_owned()
        } else {
            format!("{}: what it makes it may put back", now.owner)
        };
        doc.pair("owner", Role::Text, owner);
        if let Some(operation) = &now.operation {
            doc.pair("operation", Role::Warn, operation);
        }
    }
    doc.rule("what could still sync");
    doc.indented(
        2,
        Role::Dim,
        "people (UI, CLI), CI with a token, a RollingSync set: a freeze stops the controllers, not them. It is looked at again before each write.",
    );
    doc
}

fn written(doc: &mut Doc, key: &AppKey, op: &Op) {
    if let Effect::Freeze { found, patch, .. } = &op.effect {
        doc.pair("object", Role::Text, format!("applications/{}", key.name));
        for line in &op.shown {
            doc.pair("wrote", Role::Text, line);
        }
        if op.shown.is_empty() {
            doc.pair("wrote", Role::Text, words::clean(&patch.to_string()));
        }
        doc.pair(
            "undo",
            Role::Text,
            format!("syncPolicy back to {found}; the note on the object begins with it"),
        );
    }
    for line in &op.by_hand {
        doc.pair("by hand", Role::Dim, line);
    }
    match &op.outcome {
        None => doc.pair(
            "outcome",
            Role::Warn,
            "not known yet: looked up before anything else",
        ),
        Some((trueup_core::event::Outcome::Done { .. }, _)) => {
            doc.pair("outcome", Role::Good, "✓ done")
        }
        Some((trueup_core::event::Outcome::NotDone { why }, _)) => {
            doc.pair("outcome", Role::Warn, format!("not done: {why}"))
        }
        Some((trueup_core::event::Outcome::Unknown { why }, _)) => {
            doc.pair("outcome", Role::Bad, format!("not known: {why}"))
        }
    };
}
