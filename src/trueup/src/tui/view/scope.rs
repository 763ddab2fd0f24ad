//! Scope: what is in trouble, and what may I do?

use super::Screen;
use crate::tui::{
    model::{Model, facts},
    theme::Role,
    widgets::{
        doc::Doc,
        table::{fixed, grows},
        words::{self, age, count, since},
    },
};
use trueup_core::{
    now::{self, AppNow},
    object::identity::AppKey,
    text,
};

pub fn screen(model: &Model) -> Screen<'_> {
    let all = model.now().apps.len();
    let mut right = format!("{} suspicious of {all}", model.derived.suspicious.len());
    if !model.marks.is_empty() {
        right = format!("{} marked · {right}", model.marks.len());
    }
    let here = model.app_here();
    Screen {
        title: "applications".into(),
        right,
        columns: vec![
            fixed("", 2),
            grows("application", 16),
            fixed("sync", 9),
            fixed("health", 9),
            fixed("auto-sync", 11),
            fixed("drift", 5),
            fixed("target", 14),
        ],
        row: Box::new(|i| row(model, &model.derived.apps[i])),
        empty: "no application is known yet: reading the cluster".into(),
        below_title: "you may".into(),
        below: below(model),
        detail_title: here
            .as_ref()
            .map_or_else(|| "application".into(), |key| key.name.clone()),
        detail: here.map(|key| detail(model, &key)).unwrap_or_default(),
    }
}

fn row(model: &Model, key: &AppKey) -> Vec<(Role, String)> {
    let now = model.now().apps.get(key);
    let run = model.run().apps.get(key);
    let in_scope = model.run().scope.contains(key);
    let mark = match (
        model.marks.contains(key),
        model.derived.suspicious.contains(key),
    ) {
        (true, _) => "✓",
        (false, true) => "●",
        (false, false) => " ",
    };
    let scope = if in_scope { "∈" } else { " " };
    let (auto_role, auto) = now.map_or((Role::Dim, "?".into()), |app| {
        facts::auto_sync(app, model.now().at)
    });
    let sync = now.map_or("?", |app| app.sync.as_str());
    let health = now.map_or("?", |app| app.health.as_str());
    let drift = match now.map_or(0, |app| app.divergences) {
        _ if now.is_some_and(|app| app.incomplete) => "?".to_owned(),
        0 => "–".to_owned(),
        n => n.to_string(),
    };
    let target = match run {
        Some(run) if run.parked.is_some() => "parked".into(),
        Some(run) => run
            .target
            .as_ref()
            .map(|(target, automated, _)| target_words(target, automated))
            .unwrap_or_else(|| "to choose".into()),
        None => String::new(),
    };
    vec![
        (Role::Warn, format!("{mark}{scope}")),
        (Role::Strong, key.name.clone()),
        (good_if(sync == "Synced"), sync.to_owned()),
        (good_if(health == "Healthy"), health.to_owned()),
        (auto_role, auto),
        (Role::Text, drift),
        (Role::Dim, target),
    ]
}

fn good_if(good: bool) -> Role {
    if good { Role::Good } else { Role::Warn }
}

/// A target policy in a few words.
pub fn target_words(target: &trueup_core::plan::Target, automated: &serde_json::Value) -> String {
    use trueup_core::plan::TargetKind;
    let kind = match target.policy {
        Some(TargetKind::Declared) => "declared",
        Some(TargetKind::Found) => "found",
        None => "typed",
    };
    format!("{kind}: {}", facts::policy_words(automated))
}

fn below(model: &Model) -> Doc {
    let mut doc = Doc::new();
    for (key, cell, found) in model.now().lost(model.run()) {
        let went = model.now().went(key, cell, found);
        let said = format!(
            "! {} {}: {went}",
            key.application.name,
            words::field(&key.field)
        );
        doc.indented(2, Role::Bad, said);
    }
    for line in &model.derived.copies {
        doc.indented(2, Role::Warn, format!("copies: {line}"));
    }
    if let Some(said) = model.run().no_symptom_gate() {
        doc.indented(2, Role::Warn, format!("! {said}"));
    }
    for said in model.run().doubts() {
        doc.indented(2, Role::Warn, format!("! {said}"));
    }
    if model.now().may.is_empty() {
        doc.text(Role::Dim, "what you may do is not known yet");
    }
    for may in &model.now().may {
        match may.allowed {
            Some(true) => &mut doc,
            Some(false) => doc.indented(
                2,
                Role::Bad,
                format!("✗ {}: {} not possible", may.what, may.needed_for),
            ),
            None => doc.indented(
                2,
                Role::Warn,
                format!(
                    "? {}: could not be found out; needed for {}",
                    may.what, may.needed_for
                ),
            ),
        };
    }
    for line in &model.derived.may {
        doc.indented(2, Role::Good, format!("✓ {line}"));
    }
    for error in &model.now().errors {
        doc.indented(2, Role::Bad, format!("! not read: {error}"));
    }
    doc
}

fn detail(model: &Model, key: &AppKey) -> Doc {
    let mut doc = Doc::new();
    let Some(app) = model.now().apps.get(key) else {
        doc.text(Role::Dim, "not seen in the cluster");
        return doc;
    };
    let (role, auto) = facts::auto_sync(app, model.now().at);
    let declared = match &app.declared {
        Some((policy, place)) => format!("declared: {} ({place})", facts::policy_words(policy)),
        None => "declared nowhere that could be read".into(),
    };
    doc.indented(2, role, format!("auto-sync {auto}; {declared}"));
    if let Some(held) = facts::held_elsewhere(model, key) {
        let said = format!("! {held}: O takes it over once nobody works on it any more");
        doc.indented(2, Role::Warn, said);
    }
    if let Some(operation) = &app.operation {
        doc.indented(2, Role::Warn, format!("! an operation runs: {operation}"));
    }
    for condition in &app.conditions {
        doc.indented(2, Role::Bad, format!("! {condition}"));
    }
    doc.rule("if synced now");
    if_synced(model, app, &mut doc);
    doc.rule("auto-sync");
    // What somebody wrote on it says more than any date.
    let (noted, dated): (Vec<&String>, Vec<&String>) = app
        .evidence
        .iter()
        .partition(|line| line.starts_with("annotation "));
    for line in noted {
        doc.indented(2, Role::Warn, format!("· {line}"));
    }
    for line in dated {
        doc.indented(2, Role::Text, format!("· {line}"));
    }
    owner(&mut doc, app);
    doc.rule("pods");
    pods(model, app, &mut doc);
    doc.rule("where");
    doc.pair(
        "source",
        Role::Text,
        format!("{} {}", app.repository, app.branch),
    );
    doc.pair("path", Role::Text, &app.path);
    let place = match &app.context {
        Some(context) => format!("{} through context {context}", app.destination),
        None => app.destination.clone(),
    };
    doc.pair("deploys", Role::Text, place);
    if let Some(at) = app.reconciled_at {
        doc.pair(
            "compared",
            Role::Text,
            format!("{} ago", age(since(at, model.time))),
        );
    }
    for (class, n, reason) in &app.noise {
        doc.pair("noise", Role::Dim, format!("{n} {class}: {reason}"));
    }
    doc
}

fn owner(doc: &mut Doc, app: &AppNow) {
    let owner = if app.owner.is_empty() {
        "owner: none (no set, no parent)".to_owned()
    } else {
        format!("owner: {}: it may put auto-sync back", app.owner)
    };
    doc.indented(2, Role::Text, owner);
}

/// What a sync at the head would do, values that would be gone for good first.
pub fn if_synced(model: &Model, app: &AppNow, doc: &mut Doc) {
    let Some(prediction) = &app.if_synced else {
        let why = if model.run().closed.is_some() {
            "not asked any more: the incident is closed"
        } else if app.incomplete {
            "not known: not all of it could be read"
        } else if model.run().scope.is_empty()
            && model.now().apps.len() > now::FEW
            && app.divergences == 0
            && app.sync == "Synced"
        {
            "nothing differs; a dry run tells once it is in the scope"
        } else {
            "being worked out, by a dry run of what is there now"
        };
        doc.indented(2, Role::Dim, why);
        return;
    };
    if let Some(lost) = model.now().lost_by(prediction) {
        doc.indented(2, Role::Bad, format!("! {lost} and would be gone"));
    }
    if prediction.no_change() {
        doc.text(Role::Good, "nothing changes but bookkeeping");
    }
    for change in prediction.changes.iter().take(20) {
        let side = |value: &Option<serde_json::Value>| {
            value.as_ref().map_or("(absent)".to_owned(), text::value)
        };
        doc.indented(
            2,
            Role::Text,
            format!(
                "{} {}: {} → {}",
                change.object.name,
                words::field(&change.field),
                side(&change.from),
                side(&change.to)
            ),
        );
    }
    if prediction.changes.len() > 20 {
        doc.text(
            Role::Dim,
            format!("and {} more", prediction.changes.len() - 20),
        );
    }
    for object in &prediction.creates {
        doc.indented(2, Role::Warn, format!("creates {object}"));
    }
    for object in &prediction.extra {
        doc.indented(
            2,
            Role::Warn,
            format!("{object} is not in Git: pruning would delete it"),
        );
    }
    for hook in &prediction.hooks {
        doc.indented(2, Role::Warn, format!("runs hook {hook}"));
    }
    for unknown in &prediction.unknown {
        doc.indented(
            2,
            Role::Warn,
            format!("? {}: {}", unknown.object, unknown.why),
        );
    }
}

/// Which pods run, and with what.
pub fn pods(model: &Model, app: &AppNow, doc: &mut Doc) {
    if app.pods.is_empty() {
        doc.text(Role::Dim, "none known");
        return;
    }
    let ready = app.pods.iter().filter(|pod| pod.ready).count();
    doc.text(
        Role::Text,
        format!("{ready} of {} ready", count(app.pods.len(), "pod")),
    );
    for pod in app.pods.iter().take(12) {
        let started = pod
            .started_at
            .map(|at| format!(", up {}", age(since(at, model.time))))
            .unwrap_or_default();
        let why = if pod.why.is_empty() {
            String::new()
        } else {
            format!(": {}", words::clean(&pod.why))
        };
        let role = if pod.ready { Role::Dim } else { Role::Warn };
        doc.indented(2, role, format!("{}{started}{why}", pod.name));
    }
}
