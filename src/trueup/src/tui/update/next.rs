//! The key `n`: to the next thing that needs a person, and its offer. Knowing only `n`, enter and `?` is enough.

use super::super::{
    model::{
        Focus, Model, ToastKind,
        dialog::{Ask, Choice, Choose, Dialog, Field, Pick, Prompt},
        facts,
    },
    msg::Effect,
    theme::Role,
};
use super::{
    choices,
    keys::{go, prompt},
    offers,
};
use trueup_core::{
    decision::{CellKey, Decision, Take},
    event::Obligation,
    object::identity::AppKey,
    plan::Gate,
    run::Sync,
    sheet::Command,
    workflow::{self, Glass, Next, Stage},
};

/// Goes where the next thing is and offers it.
pub fn advance(model: &mut Model) -> Vec<Effect> {
    let next = model.world.next.clone();
    if model.stage != next.stage() {
        model.stage = next.stage();
        model.focus = Focus::Main;
    }
    let observed = next.observes() && model.stands_still().is_none();
    if let Some(wait) = model.waiting().filter(|_| observed) {
        let cancel = if wait.cancellable {
            " · c gives up"
        } else {
            ""
        };
        model.toast(
            ToastKind::Said,
            format!("waiting for {}{cancel}", wait.what),
        );
        return Vec::new();
    }
    if model.now().at == jiff::Timestamp::UNIX_EPOCH {
        model.toast(ToastKind::Said, "reading the cluster for the first time");
        return Vec::new();
    }
    if next.observes() {
        model.toast(ToastKind::Said, facts::next_words(model));
        return go();
    }
    match next {
        Next::ChooseScope => offers::scope(model),
        Next::ChooseTarget { application } => {
            cursor_on_app(model, &application);
            let without: Vec<AppKey> = model
                .run()
                .walking()
                .filter(|(_, app)| app.target.is_none())
                .map(|(key, _)| key.clone())
                .collect();
            offers::target(model, without);
        }
        // What comes after it is named then, and one more `n` away.
        Next::Arm { write, why, .. } => offers::arm(model, Some((write, why)), None),
        Next::Decide { cells, .. } => {
            if let Some(cell) = first_in_order(model, &cells) {
                model.go_to_cell(&cell);
            }
            choices::choose(model);
        }
        Next::Freeze { applications }
            if applications.iter().any(|key| model.held_by(key).is_some()) =>
        {
            offers::held_elsewhere(model, &applications);
        }
        Next::Refreeze { application, .. } if model.held_by(&application).is_some() => {
            offers::held_elsewhere(model, &[application]);
        }
        Next::Attest { gate, asks, .. } => attest_prompt(model, gate, asks),
        Next::Settle { obligation, .. } => {
            if let Some(at) = model.derived.owed.iter().position(|o| o.id == obligation) {
                model.list_mut().cursor = at;
            }
            return settle_here(model);
        }
        Next::Stopped {
            stage,
            application,
            reason,
            rule,
        } => stopped(model, stage, application, &reason, rule),
        Next::AwaitPermission { reason, .. } => model.toast(ToastKind::Refused, reason),
        Next::Close => offers::close(model),
        Next::Closed => model.toast(ToastKind::Said, "the incident is closed; q leaves"),
        Next::Refreeze { application, why } => {
            cursor_on_app(model, &application);
            model.toast(ToastKind::Refused, format!("the freeze was lost: {why}"));
            return go();
        }
        Next::Sync { application }
        | Next::Ignore { application }
        | Next::Delete { application, .. } => {
            cursor_on_app(model, &application);
            return go();
        }
        _ => return go(),
    }
    Vec::new()
}

fn first_in_order(model: &Model, cells: &[CellKey]) -> Option<CellKey> {
    let open: std::collections::HashSet<&CellKey> = cells.iter().collect();
    model
        .now()
        .questions
        .iter()
        .flat_map(|q| &q.cells)
        .find(|cell| open.contains(cell))
        .or(cells.first())
        .cloned()
}

pub fn cursor_on_app(model: &mut Model, app: &AppKey) {
    let rows = match model.stage {
        Stage::Scope => &model.derived.apps,
        Stage::Sync => &model.derived.sync_order,
        Stage::Thaw => &model.derived.thaw_order,
        _ => &model.world.run.scope,
    };
    if let Some(at) = rows.iter().position(|key| key == app) {
        model.list_mut().cursor = at;
    }
}

/// The manual gate that waits, with what it asks.
fn open_manual_gate(model: &Model) -> Option<(String, String)> {
    if let Next::Attest { gate, asks, .. } = &model.world.next {
        return Some((gate.clone(), asks.clone()));
    }
    model
        .run()
        .gates
        .iter()
        .find_map(|(name, gate)| match gate {
            Gate::Manual(manual) if trueup_core::rules::gate_reached(model.run(), name).is_ok() => {
                Some((name.clone(), manual.manual.clone()))
            }
            _ => None,
        })
}

pub fn attest(model: &mut Model) {
    let Some((gate, asks)) = open_manual_gate(model) else {
        return;
    };
    match trueup_core::rules::attest(model.run(), model.now(), &gate) {
        Ok(()) => attest_prompt(model, gate, asks),
        Err(refusal) => model.toast(ToastKind::Refused, refusal.reason),
    }
}

fn attest_prompt(model: &mut Model, gate: String, asks: String) {
    let who = model.run().operator.clone();
    prompt(
        model,
        Prompt::new(
            Ask::Attest {
                gate: gate.clone(),
                asks: asks.clone(),
            },
            format!("attest {gate}"),
            vec![
                Field::new("who looked", &who),
                Field::new("what they saw", ""),
            ],
        )
        .note(Role::Strong, asks)
        .note(
            Role::Dim,
            "attested by a person, not proven; it is in the transcript",
        ),
    );
}

/// What glass could be broken for where the walk stands.
pub fn glass_to_break(model: &Model) -> Result<Glass, String> {
    workflow::glass_to_break(model.run(), &model.world.next)
}

pub fn break_glass(model: &mut Model) {
    match glass_to_break(model) {
        Ok(Glass {
            application,
            what,
            why,
        }) => prompt(
            model,
            Prompt::new(
                Ask::Glass {
                    application,
                    what: what.clone(),
                    why: why.clone(),
                },
                format!("break glass: {what}"),
                vec![
                    Field::new("reason", ""),
                    Field::new(super::forms::INCIDENT, ""),
                ],
            )
            .note(Role::Bad, why)
            .note(
                Role::Warn,
                format!(
                    "your name and the reason are journaled; a comparison afterwards is owed before the incident closes; type {} to go ahead",
                    model.run().id()
                ),
            ),
        ),
        Err(why) => model.toast(ToastKind::Refused, why),
    }
}

/// The cell that stands between a prediction and the decisions.
pub fn field_that_differs(model: &Model) -> Option<CellKey> {
    let application = match &model.world.next {
        Next::Stopped {
            application: Some(application),
            ..
        } => application,
        _ => return None,
    };
    let app = model.run().apps.get(application)?;
    let changed = match (&app.sync, &app.prediction) {
        (Sync::Surprised { surprises, .. }, _) => surprises.first(),
        (_, Some((_, p))) => p.unexpected.first().or(p.missing.first()),
        _ => None,
    }?;
    Some(CellKey {
        application: application.clone(),
        object: changed.object.clone(),
        field: changed.field.clone(),
    })
}

pub fn decide_this(model: &mut Model) {
    let Some(cell) = field_that_differs(model) else {
        return;
    };
    model.stage = Stage::Decide;
    model.focus = Focus::Main;
    if model.now().cells.contains_key(&cell) {
        model.go_to_cell(&cell);
        choices::choose(model);
    } else {
        model.toast(
            ToastKind::Said,
            format!(
                "{} {} is not among the questions yet: ctrl-r reads the world again",
                cell.object, cell.field
            ),
        );
    }
}

fn stopped(model: &mut Model, stage: Stage, application: Option<AppKey>, reason: &str, rule: u8) {
    use super::super::keymap::Cmd;
    let differs = field_that_differs(model);
    let glass = glass_to_break(model);
    let late = application
        .as_ref()
        .filter(|_| rule == 10)
        .and_then(|key| Some((key.clone(), model.run().late_gate(key)?)));
    let wrong = late.as_ref().map(|(_, gate)| gate.clone());
    let again = application.clone().filter(|_| stage == Stage::Thaw);
    let surprised = model.run().surprised().map(|(key, _)| key.clone());
    let surprised = surprised.filter(|key| application.as_ref() == Some(key));
    let mut choices = Vec::new();
    if let Some(application) = again {
        choices.push(Choice::new(
            format!("freeze {} again", application.name),
            "what undid the thaw is looked for while nothing syncs; then it is thawed anew",
            Pick::Ask(Command::Freeze {
                applications: vec![application],
            }),
        ));
    }
    choices.push(match late {
        Some((application, gate)) => Choice::new(
            "wait for it again",
            "for as long as it was given, from now on",
            Pick::Ask(Command::AwaitGate { application, gate }),
        ),
        None => Choice::new(
            "look again",
            "read the world and predict anew",
            Pick::Ask(Command::Look),
        ),
    });
    choices.extend(wrong.and_then(|name| super::gates::change(model, &name)));
    choices.push(
        Choice::new(
            "decide this field",
            differs
                .as_ref()
                .map(|cell| format!("{} {}", cell.object, cell.field))
                .unwrap_or_default(),
            Pick::Cmd(Cmd::DecideThis),
        )
        .off_if(
            differs
                .is_none()
                .then(|| "no single field is the matter".into()),
        ),
    );
    if let Some(application) = surprised {
        choices.push(Choice::new(
            "looked at it: go on",
            "with a reason; another sync makes it as decided, and its gates follow",
            Pick::Prompt(Ask::Surprise { application }),
        ));
    }
    if let Some(application) = application {
        choices.push(Choice::new(
            format!("park {}", application.name),
            "frozen and owed by somebody; the others go on",
            Pick::Prompt(Ask::Park { application }),
        ));
    }
    choices.push(
        Choice::new(
            "break glass",
            "a reason, your name, an obligation",
            Pick::Cmd(Cmd::Glass),
        )
        .off_if(glass.err()),
    );
    let rule = if rule == 0 {
        String::new()
    } else {
        format!(" (rule {rule})")
    };
    model.dialogs.push(Dialog::Choose(
        Choose::new(format!("the walk stands still{rule}"), choices).note(Role::Bad, reason),
    ));
}

/// Settles the obligation under the cursor, or asks what it takes.
pub fn settle_here(model: &mut Model) -> Vec<Effect> {
    let owed = model
        .cursor()
        .and_then(|at| model.derived.owed.get(at))
        .cloned();
    let Some(owed) = owed else {
        return Vec::new();
    };
    if model.run().closed.is_some() {
        offers::settle_closed(model, &owed);
        return Vec::new();
    }
    match owed.settle.as_str() {
        "thaw" => {
            return super::ask(Command::Thaw {
                applications: owed.application.into_iter().collect(),
            });
        }
        "freeze" => {
            return super::ask(Command::Freeze {
                applications: owed.application.into_iter().collect(),
            });
        }
        "look" => return super::ask(Command::Look),
        Obligation::GATE => {
            let late = owed.application.and_then(|application| {
                let gate = model.run().late_gate(&application)?;
                Some(Command::AwaitGate { application, gate })
            });
            return late.map_or_else(Vec::new, super::ask);
        }
        "merge" => return go(),
        "review" => offers::review(model),
        Obligation::PARK => {
            if let Some(application) = owed.application {
                offers::park(model, application);
            }
        }
        Obligation::TAKE_UP => {
            return owed.application.map_or_else(Vec::new, |application| {
                super::ask(Command::Unpark { application })
            });
        }
        Obligation::DECIDE => {
            let later = |decision: &&Decision| {
                matches!(decision.take, Take::Later(_))
                    && Some(&decision.cell.application) == owed.application.as_ref()
            };
            let put_off = || model.run().decisions.values().filter(later);
            let of_it = |decision: &&Decision| owed.id == decision.later_id();
            let cell = put_off().find(of_it).or_else(|| put_off().next());
            let Some(cell) = cell.map(|decision| decision.cell.clone()) else {
                return Vec::new();
            };
            let mut asked = model.now().questions.iter();
            if !asked.any(|question| question.cells.contains(&cell)) {
                // Nothing differs there: who has it, and how, is all that is left to say.
                hand_over(model, &owed);
                return Vec::new();
            }
            model.stage = Stage::Decide;
            model.go_to_cell(&cell);
            choices::choose(model);
        }
        Obligation::ELSEWHERE => model.toast(
            ToastKind::Refused,
            format!("{}; it is settled there", owed.what),
        ),
        "hand over" => hand_over(model, &owed),
        other => model.toast(ToastKind::Said, format!("{}: {other}", owed.what)),
    }
    Vec::new()
}

/// `P` in Close: who has it, and until when.
pub fn hand_over_here(model: &mut Model) {
    let owed = model.cursor().and_then(|at| model.derived.owed.get(at));
    let Some(owed) = owed.cloned() else {
        return;
    };
    match (owed.settle.as_str(), &owed.application) {
        ("hand over", _) => hand_over(model, &owed),
        ("thaw" | Obligation::PARK, Some(application)) => offers::park(model, application.clone()),
        // The key does not work there.
        _ => {}
    }
}

/// A field that was put off: who has it is decided anew, the rest of the decision stays.
fn hand_over(model: &mut Model, owed: &Obligation) {
    let put_off = model.run().decisions.values().find_map(|decision| {
        let cell = &decision.cell;
        match &decision.take {
            Take::Later(later)
                if decision.later_id() == owed.id
                    && Some(&cell.application) == owed.application.as_ref() =>
            {
                Some((cell.clone(), later.clone()))
            }
            _ => None,
        }
    });
    match put_off {
        Some((cell, later)) => super::decide::hand_over(model, cell, &later),
        None => model.toast(ToastKind::Said, owed.what.clone()),
    }
}
