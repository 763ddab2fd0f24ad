//! The screen, drawn and driven without a terminal.

mod ahead;
mod behind;
mod deciding;
mod forms;
mod meanwhile;
mod reverted;
mod secret;
mod sheets;
mod stray;
mod terminals;
mod unread;

use super::{
    fixture::{self, Point},
    keymap::TABLE,
    model::{Model, dialog::Dialog},
    msg::{Effect, Msg},
    theme::{Theme, ThemeName},
    update::update,
    view::view,
};
use crate::engine::handle::{Held, Request, Update, Waiting};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};
use std::time::Duration;
use trueup_core::{
    decision::{LiveOf, Take},
    event::{Armed, CommandLine},
    ids::Digest,
    sheet::{Command, Confirm, Refusal, Sheet},
    workflow::{Next, Stage},
};

fn draw(model: &Model) -> String {
    let (width, height) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(model, frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let mut out = String::new();
    for y in 0..height {
        let mut line = String::new();
        for x in 0..width {
            line.push_str(buffer[(x, y)].symbol());
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn event(name: &str) -> KeyEvent {
    let (name, modifiers) = match name.split_once('-') {
        Some(("ctrl", rest)) => (rest, KeyModifiers::CONTROL),
        Some(("alt", rest)) => (rest, KeyModifiers::ALT),
        _ => (name, KeyModifiers::NONE),
    };
    let code = match name {
        "space" => KeyCode::Char(' '),
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "backtab" => KeyCode::BackTab,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "backspace" => KeyCode::Backspace,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pageup" => KeyCode::PageUp,
        "pagedown" => KeyCode::PageDown,
        "f1" => KeyCode::F(1),
        "f5" => KeyCode::F(5),
        other => KeyCode::Char(other.chars().next().unwrap()),
    };
    KeyEvent::new(code, modifiers)
}

/// Presses keys as somebody who looks before each of them, with an engine that answers at once; `"text:…"` types a text.
fn press(model: &mut Model, keys: &[&str]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for key in keys {
        while !model.asked.is_empty() {
            update(model, Msg::Engine(Update::Answered));
        }
        model.settles_at = None;
        model.stray = None;
        effects.extend(hurry(model, &[key]));
    }
    effects
}

/// Presses keys without looking.
fn hurry(model: &mut Model, keys: &[&str]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for key in keys {
        match key.strip_prefix("text:") {
            Some(text) => {
                for c in text.chars() {
                    let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
                    effects.extend(update(model, Msg::Key(key)));
                }
            }
            None => effects.extend(update(model, Msg::Key(event(key)))),
        }
    }
    effects
}

fn asked(effects: Vec<Effect>) -> Vec<Command> {
    effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Send(Request::Ask(command)) => Some(command),
            _ => None,
        })
        .collect()
}

fn sheet(model: &Model, confirm: Confirm) -> Sheet {
    let sync = Command::Sync {
        application: trueup_core::transcript::sample::app("like"),
    };
    let place = "prod-eu-1 (server https://127.0.0.1:6443, pinned)".into();
    Sheet {
        id: Digest::of(b"sheet"),
        objects: vec!["argocd/like-service".into()],
        will: vec!["start a sync at 9be41c2, prune off; 1 field changes: .data.JWT_PUBLIC_KEY_ID key-2024-09 → key-2024-11-rot".into()],
        assumes: vec!["same source and policy · no operation running · frozen ✓ 3 s ago".into()],
        undo: vec!["decide .data.JWT_PUBLIC_KEY_ID back to Git and sync again (not automatic)".into()],
        by_hand: vec![
            "kubectl -n argocd patch application like-service --type json -p '[{\"op\":\"add\",\"path\":\"/operation\",\"value\":{\"sync\":{\"revision\":\"9be41c2\"}}}]'".into(),
            "argocd app sync like-service --revision 9be41c2 (where there is a server)".into(),
        ],
        ..Sheet::new(sync, "sync like-service".into(), place, confirm, model.time)
    }
}

const SIZES: [(u16, u16); 2] = [(80, 24), (140, 45)];

fn shot(name: &str, model: &Model) {
    // As it is once it has stood for a moment.
    let mut model = model.clone();
    model.settles_at = None;
    let model = &model;
    insta::with_settings!({prepend_module_to_snapshot => false, snapshot_path => "../snapshots", omit_expression => true}, {
        insta::assert_snapshot!(format!("{name}-{}x{}", model.size.0, model.size.1), draw(model));
    });
}

#[test]
fn every_screen_at_both_sizes() {
    for size in SIZES {
        for point in Point::ALL {
            let name = format!("{point:?}").to_lowercase();
            shot(&name, &fixture::model(point, size));
        }
    }
}

#[test]
fn what_lies_over_a_screen() {
    for size in SIZES {
        let mut model = fixture::model(Point::Decide, size);
        press(&mut model, &["?"]);
        shot("help", &model);
        press(&mut model, &["esc", ":", "text:ex"]);
        shot("palette", &model);
        press(&mut model, &["esc", "n"]);
        shot("choose", &model);
        press(&mut model, &["3", "enter"]);
        shot("for-which", &model);
        press(&mut model, &["enter"]);
        shot("reason", &model);
        press(&mut model, &["esc"]);
        let at = model.time;
        for n in 0..3 {
            fixture::tell(
                &mut model,
                Update::Logged {
                    at,
                    line: CommandLine {
                        by_hand: format!("kubectl -n argocd get applications --limit {n}"),
                        result: "200".into(),
                        millis: 12,
                    },
                },
            );
        }
        press(&mut model, &["@"]);
        shot("log", &model);
        press(&mut model, &["esc"]);
        let typed = sheet(&model, Confirm::Type("INC-441".into()));
        fixture::tell(&mut model, Update::Sheet(Box::new(typed)));
        shot("sheet-typed", &model);
        press(&mut model, &["text:INC-44", "enter"]);
        shot("sheet-wrong", &model);
        press(&mut model, &["esc"]);
        let button = sheet(&model, Confirm::Button);
        fixture::tell(&mut model, Update::Sheet(Box::new(button)));
        shot("sheet-button", &model);
        press(&mut model, &["esc", "q"]);
        shot("quit", &model);
        press(&mut model, &["esc", "w"]);
        shot("who", &model);
    }
}

#[test]
fn trouble_is_on_the_screen() {
    for size in SIZES {
        let mut model = fixture::model(Point::Gate, size);
        let at = model.time;
        fixture::tell(
            &mut model,
            Update::Waiting(Some(Waiting {
                what: "gate no-401 to stay green".into(),
                since: at - jiff::SignedDuration::from_secs(95),
                limit: Duration::from_secs(660),
                cancellable: true,
            })),
        );
        fixture::tell(
            &mut model,
            Update::Refused(Refusal::new(
                3,
                "predicted ≠ expected",
                "look again, or decide the field",
            )),
        );
        fixture::tell(&mut model, Update::Freshness(Duration::from_secs(12)));
        shot("trouble", &model);
    }
    let mut small = fixture::model(Point::Canary, (79, 24));
    shot("too-small", &small);
    small.size = (20, 5);
    shot("too-small", &small);
}

#[test]
fn a_prediction_that_differs_is_side_by_side_with_its_choices() {
    use trueup_core::event::{Changed, Event, Prediction, Record};
    for size in SIZES {
        let mut model = fixture::model(Point::Canary, size);
        let cell = fixture::cell("auth", 0);
        let mut run = (*model.world.run).clone();
        let record = Record {
            seq: run.last.unwrap().0 + 1,
            time: model.time,
            event: Event::Predicted {
                application: cell.application.clone(),
                revision: run.landed.values().next().unwrap().revision.clone(),
                prediction: Box::new(Prediction {
                    unexpected: vec![Changed {
                        object: cell.object.clone(),
                        field: cell.field.clone(),
                        from: Some("RS256".into()),
                        to: Some("HS256".into()),
                    }],
                    ..Prediction::default()
                }),
            },
        };
        run.apply(&record);
        fixture::tell(
            &mut model,
            Update::Journaled {
                record: record.into(),
                run: run.into(),
            },
        );
        fixture::look(&mut model, Point::Canary);
        assert!(matches!(model.world.next, Next::Stopped { .. }));
        shot("differs", &model);
        press(&mut model, &["n"]);
        shot("differs-choices", &model);
        // Break glass is refused for a prediction that is different.
        let before = model.dialogs.len();
        press(&mut model, &["esc", "B"]);
        assert!(model.dialogs.len() < before);
        assert!(model.toasts.iter().any(|t| t.text.contains("rule 3")));
    }
}

#[test]
fn a_freeze_over_an_own_note_is_not_called_nothing_to_switch_off() {
    let mut model = fixture::model(Point::Holding, (140, 45));
    assert!(draw(&model).contains("nothing to switch off"));
    let mut run = (*model.world.run).clone();
    for app in run.apps.values_mut() {
        app.found = Some(serde_json::json!({"automated": {"prune": true}}));
    }
    model.world.run = run.into();
    let drawn = draw(&model);
    assert!(
        drawn.contains("note only: off by an earlier freeze"),
        "{drawn}"
    );
    assert!(!drawn.contains("nothing to switch off"), "{drawn}");
}

#[test]
fn n_and_enter_and_text_lead_through_the_walk() {
    let mut model = fixture::model(Point::Scope, (100, 30));
    let commands = asked(press(&mut model, &["n", "enter"]));
    let Some(Command::SetTarget { applications, .. }) = commands.first() else {
        panic!("{commands:?}");
    };
    assert_eq!(applications.len(), 3, "one choice for all that have none");

    let mut model = fixture::model(Point::Freeze, (100, 30));
    assert_eq!(press(&mut model, &["n"]), [Effect::Send(Request::Go)]);

    let mut model = fixture::model(Point::Decide, (100, 30));
    press(&mut model, &["n", "3", "enter", "enter"]);
    let commands = asked(press(&mut model, &["text:hotfix", "enter"]));
    let [
        Command::Decide {
            cells,
            take,
            reason,
            ..
        },
    ] = commands.as_slice()
    else {
        panic!("{commands:?}");
    };
    assert_eq!((cells.len(), reason.as_str()), (6, "hotfix"));
    assert_eq!(
        *take,
        Take::Live(LiveOf {
            namespace: Some("auth".into()),
            application: None
        })
    );

    for point in [Point::Commit, Point::Canary, Point::Thaw] {
        let mut model = fixture::model(point, (100, 30));
        assert_eq!(
            press(&mut model, &["n"]),
            [Effect::Send(Request::Go)],
            "{point:?}"
        );
    }
}

#[test]
fn an_incident_is_closed_by_a_choice() {
    let mut model = fixture::model(Point::Close, (100, 30));
    assert_eq!(
        asked(press(&mut model, &["n", "enter", "down", "enter"])),
        [Command::Close]
    );
}

#[test]
fn what_comes_up_while_the_close_is_asked_for_is_said_before_it() {
    use trueup_core::event::Obligation;
    let mut model = fixture::model(Point::Close, (100, 30));
    press(&mut model, &["n", "enter", "down"]);
    model.derived.undecided_questions = 2;
    assert!(press(&mut model, &["enter"]).is_empty());
    let said = |model: &Model, what: &str| model.toasts.iter().any(|it| it.text.contains(what));
    assert!(said(&model, "changed meanwhile"));
    let shown = draw(&model);
    assert!(
        shown.contains("as it is now: 2 questions undecided"),
        "{shown}"
    );
    model.derived.owed.push(Obligation::blocking(
        "open:argocd/auth",
        "auth: .data.ALG open again",
        None,
        Obligation::DECIDE,
    ));
    // The engine looks, refuses, and writes down that it did.
    assert_eq!(
        asked(press(&mut model, &["down", "enter"])),
        [Command::Close]
    );
    assert!(model.dialogs.is_empty());
}

#[test]
fn a_key_that_cannot_work_says_why() {
    let mut model = fixture::model(Point::Scope, (100, 30));
    assert!(press(&mut model, &["F"]).is_empty());
    assert!(
        model.toasts[0].text.contains("not armed"),
        "{:?}",
        model.toasts
    );
    assert!(press(&mut model, &["W", "enter"]).is_empty());
    let said = &model.toasts.last().unwrap().text;
    assert!(said.contains("not armed, as it was"), "{said}");
    assert_eq!(asked(press(&mut model, &["W", "up", "enter"])).len(), 1);
}

#[test]
fn the_palette_reaches_what_belongs_to_another_screen() {
    let mut model = fixture::model(Point::Decide, (100, 30));
    let effects = press(&mut model, &[":", "text:markdown", "enter"]);
    assert_eq!(model.stage, Stage::Close);
    assert_eq!(
        asked(effects),
        [Command::Export {
            format: "md".into()
        }]
    );
}

#[test]
fn quitting_says_what_is_owed_and_stays_by_default() {
    let mut model = fixture::model(Point::Decide, (100, 30));
    assert!(press(&mut model, &["q", "enter"]).is_empty());
    assert_eq!(
        press(&mut model, &["q", "down", "enter"]),
        [Effect::Send(Request::Quit)]
    );
    assert_eq!(
        update(&mut model, Msg::Engine(Update::Stopped)),
        [Effect::Leave]
    );
}

#[test]
fn no_key_is_bound_twice_in_one_place() {
    let mut seen = std::collections::HashSet::new();
    for binding in TABLE {
        for key in binding.keys {
            assert!(seen.insert((binding.context, *key)), "{key} {binding:?}");
        }
    }
}

#[test]
fn arming_is_a_choice_of_its_own() {
    let mut model = fixture::model(Point::Scope, (100, 30));
    fixture::tell(
        &mut model,
        Update::Next(Box::new(Next::Arm {
            write: Armed::All,
            why: "freezing writes to the Applications".into(),
            stage: Stage::Freeze,
        })),
    );
    assert_eq!(
        asked(press(&mut model, &["n", "enter"])),
        [Command::Arm { write: Armed::All }]
    );
}
