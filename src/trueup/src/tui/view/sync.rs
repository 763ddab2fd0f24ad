//! Sync: predicted, done, verified, one Application at a time, with the gates after each.

use super::Screen;
use crate::tui::{
    model::{Model, facts},
    theme::Role,
    update::{field_that_differs, glass_to_break},
    widgets::{
        doc::Doc,
        spark,
        table::{fixed, grows},
        words::{self, age, count, number, pad, short_clock, since},
    },
};
use trueup_core::{
    event::{Changed, Prediction},
    gate::Verdict,
    object::identity::AppKey,
    plan::{Gate, MeasuredGate},
    run::{AppRun, GateRun, Sync},
    span::Span,
    text,
    workflow::Next,
};

pub fn screen(model: &Model, cells: u16) -> Screen<'_> {
    let here = model.app_here();
    let done = facts::on_the_way(model)
        .iter()
        .filter(|(key, app)| {
            matches!(facts::sync_now(model, key, app), Sync::Verified { .. })
                && facts::open_again(model, key).is_empty()
        })
        .count();
    Screen {
        title: "order".into(),
        right: facts::done_of_those_on_the_way(model, done, "synced"),
        columns: vec![
            fixed("", 2),
            grows("application", 14),
            grows("state", 20),
            // Words that stand there alone where somebody gave a wait up.
            fixed("gates", if given_up(model) { 10 } else { 8 }),
        ],
        row: Box::new(|i| row(model, i)),
        empty: "no application is in the scope: n chooses".into(),
        below_title: "gates of this incident".into(),
        below: gates_known(model),
        detail_title: here
            .as_ref()
            .map_or_else(|| "sync".into(), |key| key.name.clone()),
        detail: here
            .map(|key| detail(model, &key, usize::from(cells)))
            .unwrap_or_default(),
    }
}

fn row(model: &Model, i: usize) -> Vec<(Role, String)> {
    let key = &model.derived.sync_order[i];
    let default = AppRun::default();
    let app = model.run().apps.get(key).unwrap_or(&default);
    let (mut role, mut state) = facts::sync_state(model, key, app);
    if let Some(parked) = &app.parked {
        (role, state) = (Role::Dim, format!("parked: {}", parked.owner));
    }
    let gates = model.run().gates_after(key);
    // What was said of the sync before says nothing of the one that is due.
    let before = model.derived.to_sync_again.contains(key);
    let passed = gates
        .iter()
        .filter(|_| !before)
        .filter(|name| {
            app.gates.get(*name).is_some_and(|g| g.passed.is_some())
                || app.attested.contains_key(*name)
        })
        .count();
    let mut unmet = app
        .gates
        .iter()
        .filter(|(_, state)| !before && state.ended_unmet().is_some())
        .peekable();
    let any = unmet.peek().is_some();
    // Who gave a wait up did not see it red.
    let red = unmet.find(|(_, state)| state.given_up_by.is_none());
    let gate_words = match (passed, gates.len(), any) {
        (_, _, true) if red.is_some() => (Role::Bad, "! red".into()),
        (_, _, true) => (Role::Warn, "! given up".into()),
        (p, n, _) if p == n && n > 0 => (Role::Good, format!("✓ {n}")),
        (p, n, _) => (Role::Dim, format!("{p}/{n}")),
    };
    vec![
        (Role::Dim, (i + 1).to_string()),
        (Role::Strong, key.name.clone()),
        (role, state),
        gate_words,
    ]
}

/// Whether the wait for a gate was given up by a person.
fn given_up(model: &Model) -> bool {
    let mut gates = model.run().apps.values().flat_map(|app| app.gates.values());
    gates.any(|state| state.passed.is_none() && state.given_up_by.is_some())
}

fn gates_known(model: &Model) -> Doc {
    let mut doc = Doc::new();
    for (name, gate) in &model.run().gates {
        let what = gate_words(model, gate, None);
        let baseline = model
            .run()
            .baselines
            .get(name)
            .map(|s| format!(" · was {}", spark::value(s.value)))
            .unwrap_or_default();
        doc.indented(2, Role::Text, format!("{name}: {what}{baseline}"));
    }
    if doc.is_empty() {
        doc.text(Role::Dim, "only `healthy`, which is built in; a adds one");
    }
    if let Some(said) = model.run().no_symptom_gate() {
        doc.indented(2, Role::Warn, format!("! {said}"));
    }
    for said in model.run().gates_changed() {
        doc.indented(2, Role::Warn, format!("! {said}"));
    }
    let unasked = model.run().synced_unasked();
    let unnamed = model.run().gates_in_no_step();
    for said in model
        .run()
        .doubts()
        .into_iter()
        .chain(unasked)
        .chain(unnamed)
    {
        doc.indented(2, Role::Warn, format!("! {said}"));
    }
    doc
}

/// What a gate asks for. `hold`: how long it really has to hold, once it has begun.
fn gate_words(model: &Model, gate: &Gate, hold: Option<Span>) -> String {
    match gate {
        Gate::Manual(manual) => format!("manual: {}", manual.manual),
        Gate::Measured(m) => {
            let hold = hold
                .unwrap_or_else(|| trueup_core::gate::resolve_waits(gate, &model.run().waits).hold);
            measured_words(m, hold)
        }
    }
}

fn measured_words(m: &MeasuredGate, hold: Span) -> String {
    let hold = match m.hold {
        Some(planned) if planned != hold => {
            format!(" for {hold} (plan: {planned}, shortened by the settings)")
        }
        Some(planned) => format!(" for {planned}"),
        None => String::new(),
    };
    if let Some(p) = &m.prometheus {
        let floor = p
            .floor
            .map(|f| format!(", traffic ≥ {}", number(f)))
            .unwrap_or_default();
        format!("{}{hold}{floor}", p.is)
    } else if let Some(h) = &m.http {
        format!("{} answers {}{hold}", h.url, h.status)
    } else if let Some(c) = &m.command {
        format!("`{}` ends with 0{hold}", c.argv.join(" "))
    } else if let Some(f) = &m.field {
        format!("{}/{} {} {}{hold}", f.kind, f.name, f.field, f.is)
    } else if m.quiet.is_some() {
        format!("no foreign write{hold}")
    } else {
        format!("healthy{hold}")
    }
}

fn detail(model: &Model, key: &AppKey, cells: usize) -> Doc {
    let mut doc = Doc::new();
    let Some(app) = model.run().apps.get(key) else {
        return doc;
    };
    if let Next::Stopped {
        application,
        reason,
        rule,
        ..
    } = &model.world.next
        && application.as_ref().is_none_or(|a| a == key)
    {
        doc.indented(
            2,
            Role::Bad,
            format!("! the walk stands still (rule {rule}): {reason}"),
        );
        let ways = [
            (true, "r look again"),
            (field_that_differs(model).is_some(), "d decide this field"),
            (
                model.run().surprised().is_some_and(|(at, _)| at == key),
                "n goes on, with a reason",
            ),
            (application.is_some(), "P park this application"),
            (glass_to_break(model).is_ok(), "B break glass"),
        ];
        let ways: Vec<&str> = ways
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, way)| *way)
            .collect();
        doc.text(Role::Warn, ways.join(" · "));
    }
    let left_out = facts::left_out(model, key, app);
    match facts::sync_now(model, key, app) {
        Sync::Not if left_out.is_some() => {
            doc.text(Role::Warn, left_out.unwrap_or_default());
        }
        Sync::Not => match &app.prediction {
            Some((revision, prediction)) => {
                doc.rule(format!("predicted at {}", revision.short()));
                predicted(prediction, cells, &mut doc);
            }
            None => {
                doc.text(
                    Role::Dim,
                    "not yet predicted: n asks the cluster what the sync would do",
                );
            }
        },
        Sync::Requested { op, revision } => {
            doc.pair("op", Role::Text, format!("{op} at {}", revision.short()));
            let ended = model.now().apps.get(key).is_some_and(|app| {
                app.operation.is_none() && matches!(model.world.next, Next::Refreeze { .. })
            });
            doc.text(
                Role::Warn,
                match ended {
                    true => "the operation has ended: it is compared with what was predicted once all is frozen again",
                    false => "▶ syncing: the operation runs in the cluster",
                },
            );
        }
        Sync::Finished {
            op, phase, message, ..
        } => {
            doc.pair("op", Role::Text, op.to_string());
            doc.pair("phase", Role::Text, format!("{phase}: {message}"));
        }
        Sync::Verified {
            op,
            revision,
            changes,
        } => {
            doc.pair("op", Role::Text, format!("{op} at {}", revision.short()));
            let what = if changes.is_empty() {
                "no change, as shown: the canary is alive".to_owned()
            } else {
                format!("{} as shown, read back", count(changes.len(), "field"))
            };
            let open = facts::open_again(model, key);
            match open.is_empty() {
                true => doc.text(Role::Good, format!("✓ {what}")),
                false => doc.text(Role::Dim, format!("{what}, and not so any more:")),
            };
            for cell in open {
                let moved = model.run().shaken.get(cell);
                let moved = moved.map_or("it was changed", |touched| touched.moved(cell));
                doc.indented(2, Role::Bad, format!("! {}: {moved}", cell.field));
            }
            changed(changes, Role::Text, &mut doc);
        }
        Sync::Surprised {
            surprises, seen, ..
        } => {
            doc.text(Role::Bad, "! changed, and was not shown:");
            changed(surprises, Role::Bad, &mut doc);
            if let Some((by, why)) = seen {
                let said = format!("{by} looked at it: {why}; another sync makes it as decided");
                doc.indented(2, Role::Warn, said);
            }
            if let Some((revision, prediction)) = &app.prediction {
                doc.rule(format!("predicted at {}", revision.short()));
                predicted(prediction, cells, &mut doc);
            }
        }
    }
    let gates = model.run().gates_after(key);
    if model.derived.to_sync_again.contains(key) && !gates.is_empty() {
        doc.rule("of the sync before; the next one asks them anew");
    }
    for name in gates {
        gate(model, (key, app), &name, cells, &mut doc);
        if let Some(glass) = model.run().glass_for(key, &name) {
            let said = format!(
                "! {} broke glass for it: {}; nothing waits for it here",
                glass.by, glass.reason
            );
            doc.indented(2, Role::Warn, said);
        }
    }
    for said in model.run().gates_changed() {
        doc.indented(2, Role::Warn, format!("! {said}"));
    }
    doc
}

fn changed(changes: &[Changed], role: Role, doc: &mut Doc) {
    for change in changes.iter().take(50) {
        doc.indented(4, role, change_words(change));
    }
    if changes.len() > 50 {
        doc.text(Role::Dim, format!("and {} more", changes.len() - 50));
    }
}

fn change_words(change: &Changed) -> String {
    let side = |value: &Option<serde_json::Value>| {
        value.as_ref().map_or("(absent)".to_owned(), text::value)
    };
    format!(
        "{} {}: {} → {}",
        change.object.name,
        words::field(&change.field),
        side(&change.from),
        side(&change.to)
    )
}

/// As expected: one list. Not so: predicted and expected side by side.
fn predicted(prediction: &Prediction, cells: usize, doc: &mut Doc) {
    if prediction.as_expected() {
        if prediction.no_change() {
            doc.text(
                Role::Good,
                "✓ predicted = expected: no change but bookkeeping",
            );
        } else {
            doc.text(
                Role::Good,
                format!(
                    "✓ predicted = expected: {}",
                    count(prediction.changes.len(), "field")
                ),
            );
            changed(&prediction.changes, Role::Text, doc);
        }
    } else if !prediction.unexpected.is_empty() || !prediction.missing.is_empty() {
        side_by_side(prediction, cells, doc);
    }
    if !prediction.unknown.is_empty() {
        doc.text(Role::Warn, "? what the sync does to these cannot be known:");
        for unknown in &prediction.unknown {
            doc.indented(
                4,
                Role::Warn,
                format!("  {}: {}", unknown.object, unknown.why),
            );
        }
        if prediction.unexpected.is_empty() && prediction.missing.is_empty() {
            doc.text(
                Role::Dim,
                "B breaks glass: a reason, your name, a comparison afterwards",
            );
        }
    }
    for object in &prediction.creates {
        doc.indented(4, Role::Warn, format!("creates {object}"));
    }
    for hook in &prediction.hooks {
        doc.indented(4, Role::Warn, format!("runs hook {hook}"));
    }
    if !prediction.extra.is_empty() {
        doc.text(
            Role::Dim,
            format!(
                "{} not in Git, left alone: prune is off",
                count(prediction.extra.len(), "object")
            ),
        );
    }
    if !prediction.bookkeeping.is_empty() {
        doc.indented(
            2,
            Role::Dim,
            format!(
                "bookkeeping, not compared: {}",
                prediction.bookkeeping.join(", ")
            ),
        );
    }
}

fn side_by_side(prediction: &Prediction, cells: usize, doc: &mut Doc) {
    let half = cells.saturating_sub(3) / 2;
    let pair = |left: (Role, String), right: (Role, String), doc: &mut Doc| {
        doc.spans([
            (left.0, pad(&words::clean(&left.1), half)),
            (Role::Border, " │ ".into()),
            (right.0, pad(&words::clean(&right.1), half)),
        ]);
    };
    pair(
        (Role::Title, "predicted".into()),
        (Role::Title, "expected".into()),
        doc,
    );
    let to = |value: &Option<serde_json::Value>| {
        value.as_ref().map_or("(absent)".to_owned(), text::value)
    };
    let mut line = |change: &Changed, predicted: (Role, String), expected: (Role, String)| {
        doc.text(
            Role::Strong,
            format!("{} {}", change.object, words::field(&change.field)),
        );
        pair(predicted, expected, doc);
    };
    for change in &prediction.unexpected {
        line(
            change,
            (Role::Bad, format!("! → {}", to(&change.to))),
            (Role::Text, format!("stays {}", to(&change.from))),
        );
    }
    for change in &prediction.missing {
        line(
            change,
            (Role::Bad, format!("! stays {}", to(&change.from))),
            (Role::Text, format!("→ {}", to(&change.to))),
        );
    }
}

fn gate(model: &Model, (key, app): (&AppKey, &AppRun), name: &str, cells: usize, doc: &mut Doc) {
    let spec = model.run().gates.get(name);
    if let Some(Gate::Manual(manual)) = spec {
        doc.rule(format!("manual: {}", manual.manual));
        match app.attested.get(name) {
            Some((who, saw, at)) => {
                let ago = age(since(*at, model.time));
                let said = format!("✓ attested by {who}, {ago} ago: {saw}");
                doc.indented(2, Role::Good, said);
            }
            None => match trueup_core::rules::gate_reached(model.run(), name) {
                Ok(()) => {
                    doc.text(Role::Warn, "not yet (m: who looked, what they saw)");
                }
                Err(_) if model.run().glass_for(key, name).is_some() => {}
                Err(_) => {
                    doc.text(Role::Dim, "asked for when the other gates are green");
                }
            },
        }
        return;
    }
    let state = app.gates.get(name);
    doc.rule(format!("gate: {name}"));
    let begun = state.filter(|s| s.started_at.is_some());
    let what = spec
        .or(state.and_then(|s| s.spec.as_ref()))
        .map(|spec| gate_words(model, spec, begun.map(|s| s.hold)))
        .unwrap_or_else(|| "the Application's health, compared after the operation".into());
    doc.indented(2, Role::Text, what);
    match state {
        None => {
            doc.text(Role::Dim, "not begun");
        }
        Some(state) => samples(model, name, state, cells, doc),
    }
}

fn samples(model: &Model, name: &str, state: &GateRun, cells: usize, doc: &mut Doc) {
    let last = state.samples.last();
    let was = model.run().baselines.get(name).and_then(|s| s.value);
    let measured = state.samples.iter().any(|s| s.value.is_some());
    let mut line = vec![];
    if !measured && !state.samples.is_empty() {
        doc.indented(2, Role::Text, spark::words(&state.samples));
    }
    if let (Some(was), true) = (was, measured) {
        line.push((Role::Dim, format!("{} ", number(was))));
    }
    let room = cells.saturating_sub(40).clamp(8, 60);
    if measured {
        line.extend(spark::line(&state.samples, room));
    }
    if let (true, Some(last)) = (measured, last) {
        line.push((Role::Text, format!("  now {}", spark::value(last.value))));
    }
    if let Some(traffic) = last.and_then(|s| s.traffic) {
        line.push((Role::Dim, format!(" · traffic {}", number(traffic))));
    }
    if !line.is_empty() {
        doc.spans(line);
    }
    if let Some(at) = state.passed {
        doc.text(
            Role::Good,
            format!("✓ passed {} ago", age(since(at, model.time))),
        );
    } else if let Some(why) = &state.timed_out {
        let (role, said) = match state.given_up_by {
            Some(_) => (Role::Warn, format!("! {why}")),
            None => (Role::Bad, format!("✗ not green: {why}")),
        };
        doc.indented(2, role, said);
    } else {
        let streak = match (state.green_since, last) {
            (Some(from), Some(last)) => since(from, last.at),
            _ => std::time::Duration::ZERO,
        };
        let (role, verdict) = match last.map(|s| s.verdict) {
            Some(Verdict::Green) => (Role::Good, "✓ "),
            Some(Verdict::Red) => (Role::Bad, "✗ red, "),
            Some(Verdict::Inconclusive) => (Role::Warn, "? inconclusive, "),
            None => (Role::Dim, "no sample yet, "),
        };
        doc.spans([
            (role, verdict.to_owned()),
            (
                Role::Strong,
                format!(
                    "green for {} / {}",
                    short_clock(streak),
                    short_clock(state.hold.0)
                ),
            ),
        ]);
    }
    if let Some(away) = state.away.last().filter(|_| state.passed.is_none()) {
        let said = format!("{away}: not counted, and green for as long as asked begins anew");
        doc.indented(2, Role::Warn, said);
    }
    if let Some(last) = last {
        doc.indented(
            2,
            Role::Dim,
            format!(
                "last sample {} ago · {}{}",
                age(since(last.at, model.time)),
                count(state.samples.len(), "sample"),
                if last.why.is_empty() {
                    String::new()
                } else {
                    format!(" · {}", last.why)
                }
            ),
        );
    }
}
