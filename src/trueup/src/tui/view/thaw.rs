//! Thaw: found, now, target; what auto-sync will do the moment it is on; two rounds watched.

use super::Screen;
use crate::tui::{
    model::{Model, facts},
    theme::Role,
    widgets::{
        doc::Doc,
        table::{fixed, grows},
        words::count,
    },
};
use std::collections::BTreeSet;
use trueup_core::{
    now::AppNow,
    object::identity::AppKey,
    plan::Gate,
    run::{AppRun, Freeze, Sync, Thaw},
    text,
};

pub fn screen(model: &Model) -> Screen<'_> {
    let thawed = facts::on_the_way(model)
        .iter()
        .filter(|(_, app)| app.freeze == Freeze::Thawed)
        .count();
    let here = model.app_here();
    Screen {
        title: "thaw".into(),
        right: facts::done_of_those_on_the_way(model, thawed, "thawed"),
        columns: vec![
            fixed("application", 15),
            grows("found", 9),
            grows("now", 9),
            grows("target", 25),
            grows("state", 14),
        ],
        row: Box::new(|i| row(model, &model.derived.thaw_order[i])),
        empty: "no application is in the scope: n chooses".into(),
        below_title: String::new(),
        below: Doc::new(),
        detail_title: here.as_ref().map_or_else(
            || "auto-sync".into(),
            |key| {
                if stays_off(model, key) {
                    format!("{}: auto-sync stays off", key.name)
                } else {
                    format!("{}: what auto-sync will do the moment it is on", key.name)
                }
            },
        ),
        detail: here.map(|key| detail(model, &key)).unwrap_or_default(),
    }
}

fn row(model: &Model, key: &AppKey) -> Vec<(Role, String)> {
    let default = AppRun::default();
    let app = model.run().apps.get(key).unwrap_or(&default);
    let now = model.now().apps.get(key);
    let found = app
        .found
        .as_ref()
        .map(|found| facts::policy_words(&facts::automated(found)))
        .unwrap_or_else(|| "–".into());
    let is = now
        .map(|now| facts::policy_words(&facts::automated(&now.sync_policy)))
        .unwrap_or_else(|| "?".into());
    let target = app
        .target
        .as_ref()
        .map(|(target, automated, _)| super::scope::target_words(target, automated))
        .unwrap_or_else(|| "to choose".into());
    let state = match &app.parked {
        Some(parked) => (
            Role::Dim,
            format!("parked: {} until {}", parked.owner, parked.until),
        ),
        None => {
            let lost = model.now().lost_freeze(model.run(), key);
            let unknown = model.run().thaw_unknown(key);
            let stays = app.thaw == Thaw::Not && facts::kept_frozen(model, key);
            match stays && lost.is_none() && !unknown {
                true => (Role::Dim, "kept frozen".into()),
                false => facts::thaw_state(app, lost.as_deref(), unknown, model.time),
            }
        }
    };
    vec![
        (Role::Strong, key.name.clone()),
        (Role::Text, found),
        (Role::Text, is),
        (Role::Strong, target),
        state,
    ]
}

/// Whether the target leaves auto-sync off.
fn stays_off(model: &Model, key: &AppKey) -> bool {
    let app = model.run().apps.get(key);
    app.and_then(|app| app.target.as_ref())
        .is_some_and(|(_, whole, _)| !trueup_core::policy::Policy::new(Some(whole.clone())).is_on())
}

/// What becomes of a difference that auto-sync, which stays off, will not take away.
fn left_as_it_is(app: &AppNow, doc: &mut Doc) {
    let differs = app
        .if_synced
        .as_ref()
        .is_some_and(|prediction| !prediction.no_change());
    let said = if differs {
        "the target leaves auto-sync off: what differs stays, and nothing syncs it but a person. A sync by hand would do this:"
    } else {
        "the target leaves auto-sync off: what comes to differ stays, and nothing syncs it but a person. A sync by hand now:"
    };
    doc.indented(2, Role::Warn, said);
}

fn detail(model: &Model, key: &AppKey) -> Doc {
    let mut doc = Doc::new();
    let run = model.run();
    let off = stays_off(model, key);
    if let Some(app) = model.now().apps.get(key) {
        if off {
            left_as_it_is(app, &mut doc);
        }
        super::scope::if_synced(model, app, &mut doc);
        let prune = run
            .apps
            .get(key)
            .and_then(|app| app.target.as_ref())
            .is_some_and(|(_, automated, _)| {
                let automated = automated.get("automated").unwrap_or(automated);
                automated.get("prune") == Some(&serde_json::Value::Bool(true))
            });
        let extra = app.if_synced.as_ref().map_or(0, |p| p.extra.len());
        if prune && extra > 0 {
            doc.indented(
                2,
                Role::Bad,
                format!(
                    "! the target prunes: {} would be deleted, each confirmed on its own (rule 8)",
                    count(extra, "object")
                ),
            );
        }
    }
    doc.rule("first");
    gates(model, key, &mut doc);
    doc.rule("then");
    if off {
        doc.indented(
            2,
            Role::Warn,
            "only the note goes: Git and the cluster are reconciled by nobody from then on.",
        );
    }
    doc.indented(
        2,
        Role::Dim,
        format!(
            "two reconcile rounds are watched, the last one {} after the thaw or later: a refresh that we ask for, consumed, with a newer comparison, and no operation but as shown. The note goes with the same patch.",
            model.run().waits.thaw_hold
        ),
    );
    doc
}

/// How each gate was settled, and which of them are sampled once more: those after the sync of this Application, and what looks at more
/// than health after the syncs of the others.
fn gates(model: &Model, key: &AppKey, doc: &mut Doc) {
    let run = model.run();
    let mut any = false;
    // Few steps ask for more than health, and what no step names follows the last sync: the whole scope is not gone through at each frame.
    let steps = run.steps().unwrap_or_default().iter();
    let steps = steps.filter(|step| step.then.iter().any(|gate| gate != "healthy"));
    let others: BTreeSet<&AppKey> = steps
        .filter_map(|step| run.named(&step.application))
        .chain(model.derived.sync_order.last())
        .filter(|other| *other != key)
        .collect();
    for of in [key].into_iter().chain(others) {
        let walked = |app: &&AppRun| app.sync != Sync::Not && app.parked.is_none();
        let Some(app) = run.apps.get(of).filter(walked) else {
            continue;
        };
        for name in run.gates_after(of) {
            if of != key && name == "healthy" {
                continue;
            }
            any = true;
            let (role, said) = gate(model, of, app, &name, of == key);
            doc.indented(2, role, text::line(&said));
        }
    }
    if !any {
        doc.text(Role::Dim, "no gate follows");
    }
}

fn gate(model: &Model, key: &AppKey, app: &AppRun, name: &str, here: bool) -> (Role, String) {
    let run = model.run();
    let after = format!("{name} after {}", key.name);
    if let Some(glass) = run.glass_for(key, name) {
        let said = format!(
            "! gate {after} was not passed: {} broke glass for it ({}); it is not sampled before the thaw",
            glass.by, glass.reason
        );
        return (Role::Bad, said);
    }
    let (role, mark) = match run.gate_settled(key, name) {
        Some(_) => (Role::Good, "✓"),
        None => (Role::Warn, "✗"),
    };
    let said = match (run.gates.get(name), app.attested.get(name)) {
        (Some(Gate::Manual(manual)), None) => format!("{mark} {after}: {}", manual.manual),
        (Some(Gate::Manual(_)), Some((who, saw, _))) => {
            format!("{mark} {after}: attested by {who}: {saw}")
        }
        _ if here => format!("{mark} gate {after}: one fresh sample is taken before the thaw"),
        _ => {
            let how = run.gate_settled(key, name).unwrap_or("it is not settled");
            format!("{mark} gate {after}: {how}")
        }
    };
    (role, said)
}
