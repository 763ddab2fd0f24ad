//! What is typed for one screen does nothing on the next.

use super::*;
use crate::tui::{keymap, model::hold::SETTLE};
use jiff::SignedDuration;
use trueup_core::{
    event::{Event, Record},
    plan::Gate,
};

fn later(model: &mut Model, by: SignedDuration) {
    let at = model.time + by;
    update(model, Msg::Tick(at));
}

pub fn happens(model: &mut Model, event: Event) {
    let mut run = (*model.world.run).clone();
    let record = Record {
        seq: run.last.map_or(1, |(seq, _)| seq + 1),
        time: model.time,
        event,
    };
    run.apply(&record);
    fixture::tell(
        model,
        Update::Journaled {
            record: record.into(),
            run: run.into(),
        },
    );
}

fn confirms(effects: &[Effect]) -> bool {
    let confirm = |effect: &Effect| matches!(effect, Effect::Send(Request::Confirm { .. }));
    effects.iter().any(confirm)
}

#[test]
fn keys_typed_while_a_sheet_is_prepared_do_nothing() {
    for point in [Point::Freeze, Point::Commit, Point::Canary, Point::Thaw] {
        let mut model = fixture::model(point, (80, 24));
        assert_eq!(press(&mut model, &["n"]), [Effect::Send(Request::Go)]);
        let stage = model.stage;
        let keys = [
            "n",
            "3",
            "enter",
            "1",
            "text:INC-441",
            "enter",
            "F",
            "]",
            "q",
            ":",
        ];
        assert_eq!(hurry(&mut model, &keys), []);
        assert!(
            model.dialogs.is_empty() && model.stage == stage,
            "{point:?}"
        );
        update(&mut model, Msg::Paste("INC-441".into()));
        later(&mut model, SignedDuration::from_secs(2));
        let drawn = draw(&model);
        for said in ["waiting for the sheet: ", "00:02 / 01:00", "esc gives up"] {
            assert!(drawn.contains(said), "{point:?} {said}\n{drawn}");
        }
        // The sheet comes into the midst of the typing.
        let shown = sheet(&model, Confirm::Type("INC-441".into()));
        fixture::tell(&mut model, Update::Sheet(Box::new(shown)));
        fixture::tell(&mut model, Update::Answered);
        assert_eq!(hurry(&mut model, &["text:INC-441", "enter"]), []);
        later(&mut model, SETTLE);
        assert!(confirms(&hurry(&mut model, &["text:INC-441", "enter"])));
    }
}

#[test]
fn what_was_asked_for_can_be_given_up_and_then_comes_to_nothing() {
    let mut model = fixture::model(Point::Canary, (100, 30));
    hurry(&mut model, &["n", "esc"]);
    assert!(model.held().is_none());
    let shown = sheet(&model, Confirm::Type("INC-441".into()));
    let late = Msg::Engine(Update::Sheet(Box::new(shown.clone())));
    assert_eq!(update(&mut model, late), [Effect::Send(Request::Dismiss)]);
    assert!(model.dialogs.is_empty());
    fixture::tell(&mut model, Update::Answered);
    fixture::tell(&mut model, Update::Answered);
    assert!(model.asked.is_empty());
    // The next one that is asked for is shown again.
    press(&mut model, &["n"]);
    fixture::tell(&mut model, Update::Sheet(Box::new(shown)));
    assert_eq!(model.dialogs.len(), 1);
}

#[test]
fn an_engine_that_never_answers_does_not_hold_the_keys_for_ever() {
    let mut model = fixture::model(Point::Canary, (100, 30));
    hurry(&mut model, &["n"]);
    later(&mut model, SignedDuration::from_secs(59));
    assert!(model.held().is_some());
    later(&mut model, SignedDuration::from_secs(1));
    assert!(model.held().is_none());
    assert!(
        model
            .toasts
            .iter()
            .any(|t| t.text.contains("no answer in 60 s"))
    );
    // A refusal frees them at once.
    let mut model = fixture::model(Point::Canary, (100, 30));
    hurry(&mut model, &["n"]);
    fixture::tell(&mut model, Update::Refused(Refusal::new(3, "no", "look")));
    fixture::tell(&mut model, Update::Answered);
    assert!(model.held().is_none());
}

#[test]
fn an_extra_key_after_a_question_is_no_answer_to_the_next() {
    let mut model = fixture::model(Point::Decide, (100, 30));
    press(&mut model, &["n", "3"]);
    // The second enter is for the list that came after the first.
    assert_eq!(hurry(&mut model, &["enter", "enter", "enter"]), []);
    assert!(
        matches!(model.dialogs.last(), Some(Dialog::Choose(list)) if list.title.contains("for"))
    );
    press(&mut model, &["enter"]);
    // Letters pressed before the form was there are not its text.
    hurry(&mut model, &["n", "3"]);
    assert!(draw(&model).contains("what was typed as the form came up"));
    let mut effects = press(&mut model, &["text:why", "enter"]);
    let Some(Effect::Send(Request::Ask(Command::Decide { reason, .. }))) = effects.pop() else {
        panic!("{effects:?}");
    };
    assert_eq!(reason, "why");
    // Until it is written down, and a moment after, nothing is chosen.
    assert_eq!(hurry(&mut model, &["enter", "n", "1", "2", "i"]), []);
    fixture::tell(&mut model, Update::Answered);
    assert_eq!(hurry(&mut model, &["enter", "n", "1", "2", "i"]), []);
    assert!(model.dialogs.is_empty());
    assert!(
        model
            .toasts
            .iter()
            .any(|t| t.text.contains("has just changed"))
    );
    let drawn = draw(&model);
    assert!(
        drawn.contains("(1 Git)") && drawn.contains("(n "),
        "{drawn}"
    );
    later(&mut model, SETTLE);
    assert_eq!(
        asked(hurry(&mut model, &["1"])).len(),
        0,
        "what is lost is shown first"
    );
    assert_eq!(model.dialogs.len(), 1);
}

#[test]
fn a_row_that_was_put_under_the_cursor_is_looked_at_before_it_is_decided() {
    let mut model = fixture::model(Point::Decide, (100, 30));
    press(&mut model, &["j"]);
    let cell = model.cell_here().unwrap();
    let record = sample_decision(&model, &cell);
    happens(&mut model, record);
    assert_ne!(model.cell_here(), Some(cell), "on to the next one");
    assert_eq!(hurry(&mut model, &["1"]), []);
    assert!(model.dialogs.is_empty());
    // What the operator goes to is meant.
    hurry(&mut model, &["j", "k"]);
    later(&mut model, SETTLE);
    hurry(&mut model, &["k", "j", "1"]);
    assert_eq!(model.dialogs.len(), 1);
}

pub fn sample_decision(model: &Model, cell: &trueup_core::decision::CellKey) -> Event {
    let all = trueup_core::transcript::sample::records();
    let decided = all.into_iter().find_map(|record| match record.event {
        Event::Decided { decisions } => Some(decisions),
        _ => None,
    });
    let mut decisions = decided.unwrap();
    decisions.retain(|decision| decision.cell == *cell);
    assert_eq!(decisions.len(), 1, "{:?}", model.cell_here());
    Event::Decided { decisions }
}

#[test]
fn what_is_to_be_asked_has_no_default() {
    let mut model = fixture::model(Point::Decide, (100, 30));
    press(&mut model, &["n"]);
    assert_eq!(press(&mut model, &["enter", "enter"]), []);
    assert!(matches!(model.dialogs.as_slice(), [Dialog::Choose(list)] if list.cursor.is_none()));
    for (point, keys) in [(Point::Close, &["n"][..]), (Point::Commit, &["z"])] {
        let mut model = fixture::model(point, (100, 30));
        press(&mut model, keys);
        assert_eq!(press(&mut model, &["enter"]), [], "{point:?}");
        assert_eq!(model.dialogs.len(), 1);
    }
}

#[test]
fn a_question_of_yes_or_no_is_answered_by_its_letter_once_it_was_seen() {
    let mut model = fixture::model(Point::Commit, (100, 30));
    press(&mut model, &["z"]);
    model.settles_at = None;
    assert!(draw(&model).contains("y yes  n no"), "{}", draw(&model));
    assert_eq!(press(&mut model, &["n"]), []);
    assert!(model.dialogs.is_empty());
    assert_eq!(hurry(&mut model, &["z", "y", "n"]), []);
    assert_eq!(model.dialogs.len(), 1, "too soon for an answer");
    let commands = asked(press(&mut model, &["y"]));
    assert!(
        matches!(commands.as_slice(), [Command::Withdraw { .. }]),
        "{commands:?}"
    );
    // No other question is.
    press(&mut model, &["q", "y"]);
    assert!(!model.leaving && model.dialogs.len() == 1);
}

#[test]
fn an_attestation_says_who_and_what() {
    for (who, saw, taken) in [
        ("jo", "n", false),
        ("jo", "nn", false),
        ("jo", "n n n n n n n n n", false),
        ("jo", "seen", false),
        ("j", "logins reach profile", false),
        ("jo", "logins reach profile", true),
        ("jo", "ログインできた", true),
    ] {
        let mut model = fixture::model(Point::Attest, (100, 30));
        press(&mut model, &["m", "backtab", "ctrl-u"]);
        let typed = format!("text:{who}");
        press(&mut model, &[&typed, "enter"]);
        let typed = format!("text:{saw}");
        let commands = asked(press(&mut model, &[&typed, "enter"]));
        assert_eq!(commands.len(), usize::from(taken), "{who}: {saw}");
        if !taken {
            let Some(Dialog::Prompt(prompt)) = model.dialogs.last() else {
                panic!("{who}: {saw}");
            };
            assert!(prompt.wrong.is_some(), "{who}: {saw}");
        }
    }
}

#[test]
fn a_wait_that_was_given_up_is_not_shown_as_one_and_n_takes_it_up_again() {
    for size in SIZES {
        let mut model = fixture::model(Point::Gate, size);
        let watched = model.waiting().unwrap();
        assert!(watched.cancellable && draw(&model).contains("c gives up"));
        // A form that is open asks nothing of the engine, and so stops nothing.
        assert_eq!(press(&mut model, &["P"]), []);
        assert_eq!(model.dialogs.len(), 1);
        assert_eq!(press(&mut model, &["esc", "esc"]), []);
        assert_eq!(asked(press(&mut model, &["c"])), [Command::CancelWait]);
        fixture::tell(&mut model, Update::Held(Held::GivenUp));
        let drawn = draw(&model);
        assert_eq!(model.waiting(), None);
        assert!(!drawn.contains("c gives up"), "{drawn}");
        assert!(drawn.contains("wait given up: watch gate"), "{drawn}");
        assert!(drawn.contains("n goes on"), "{drawn}");
        assert_eq!(press(&mut model, &["n"]), [Effect::Send(Request::Go)]);
        fixture::tell(&mut model, Update::Held(Held::No));
        assert_eq!(model.waiting(), Some(watched));
        assert!(draw(&model).contains("c gives up"));
    }
}

#[test]
fn a_wait_that_goes_on_by_itself_is_not_in_the_way_of_what_a_person_has_to_do() {
    let mut model = fixture::model(Point::Decide, (100, 30));
    let reread = Waiting {
        what: "re-read of the live action".into(),
        since: model.time,
        limit: Duration::from_secs(300),
        cancellable: false,
    };
    fixture::tell(&mut model, Update::Waiting(Some(reread)));
    press(&mut model, &["n"]);
    assert_eq!(model.dialogs.len(), 1, "the choice is offered");
}

#[test]
fn a_closed_incident_takes_nothing_more() {
    let mut model = fixture::model(Point::Close, (100, 30));
    let (by, at) = ("jo".to_owned(), model.time);
    let mut run = (*model.world.run).clone();
    run.closed = Some((by, at));
    model.world.run = run.into();
    fixture::tell(&mut model, Update::Next(Box::new(Next::Closed)));
    for stage in Stage::ALL {
        model.stage = stage;
        for key in [
            "W", "x", "z", "F", "T", "P", "e", "1", "i", "m", "B", "C", "enter", "n",
        ] {
            if stage == Stage::Close && key == "1" {
                continue;
            }
            assert_eq!(press(&mut model, &[key]), [], "{stage:?} {key}");
            assert!(model.dialogs.is_empty(), "{stage:?} {key}");
        }
    }
    assert!(draw(&model).contains("(W arm)"), "{}", draw(&model));
    model.stage = Stage::Close;
    assert_eq!(
        asked(press(&mut model, &["1"])).len(),
        1,
        "the transcript can be had"
    );
    let row = keymap::TABLE
        .iter()
        .find(|b| b.cmd == keymap::Cmd::Arm)
        .unwrap();
    assert!(keymap::works(row, &model).unwrap_err().contains("closed"));
}

#[test]
fn glass_can_be_broken_for_a_gate_that_is_red_and_still_waited_for() {
    let mut model = fixture::model(Point::Gate, (140, 45));
    let Next::Gate { application, gate } = model.world.next.clone() else {
        panic!("{:?}", model.world.next);
    };
    assert_eq!(press(&mut model, &["B"]), []);
    assert!(model.dialogs.is_empty(), "it is green");
    let sample = trueup_core::gate::Sample {
        at: model.time,
        value: Some(0.3),
        traffic: None,
        verdict: trueup_core::gate::Verdict::Red,
        why: "0.3 is not 0".into(),
        unasked: false,
    };
    happens(
        &mut model,
        Event::GateSampled {
            application,
            gate: gate.clone(),
            sample,
        },
    );
    press(&mut model, &["B"]);
    assert!(
        draw(&model).contains("is red: 0.3 is not 0"),
        "{}",
        draw(&model)
    );
    // A letter is no reason, and a reason is not enough: who means it types the incident.
    let sent = press(&mut model, &["text:x", "enter", "text:INC-441", "enter"]);
    assert_eq!(sent, []);
    assert!(
        draw(&model).contains("! reason: say why"),
        "{}",
        draw(&model)
    );
    press(&mut model, &["backtab", "ctrl-u", "text:customers wait"]);
    let sent = press(&mut model, &["enter", "ctrl-u", "text:INC", "enter"]);
    assert_eq!(sent, []);
    let drawn = draw(&model);
    assert!(
        drawn.contains("incident: type INC-441 to go ahead"),
        "{drawn}"
    );
    press(&mut model, &["ctrl-u"]);
    let asked = asked(press(&mut model, &["text:INC-441", "enter"]));
    assert!(
        matches!(&asked[..], [Command::BreakGlass { what, .. }] if *what == gate),
        "{asked:?}"
    );
}

#[test]
fn a_gate_whose_wait_was_given_up_is_not_called_red() {
    let mut model = fixture::model(Point::Gate, (140, 45));
    let Next::Gate { application, gate } = model.world.next.clone() else {
        panic!("{:?}", model.world.next);
    };
    let ended = |by: Option<&str>| Event::GateTimedOut {
        application: application.clone(),
        gate: gate.clone(),
        why: "green, and not for long enough yet".into(),
        given_up_by: by.map(str::to_owned),
    };
    happens(&mut model, ended(None));
    assert!(draw(&model).contains("! red"), "{}", draw(&model));
    happens(&mut model, ended(Some("jo")));
    let drawn = draw(&model);
    assert!(
        !drawn.contains("! red") && drawn.contains("! given up"),
        "{drawn}"
    );
    assert!(!drawn.contains("not green"), "{drawn}");
    assert!(drawn.contains("the wait was given up by jo"), "{drawn}");
}

/// Where the walk stands still after a sync that did more than was shown, a person goes on with a reason.
#[test]
fn what_a_sync_changed_unshown_is_gone_on_from_with_a_reason() {
    let mut model = fixture::model(Point::Gate, (140, 45));
    let Next::Gate { application, .. } = model.world.next.clone() else {
        panic!("{:?}", model.world.next);
    };
    let mut run = (*model.world.run).clone();
    let app = run.apps.get_mut(&application).unwrap();
    let trueup_core::run::Sync::Verified {
        op,
        revision,
        changes,
    } = app.sync.clone()
    else {
        panic!("{:?}", app.sync);
    };
    app.sync = trueup_core::run::Sync::Surprised {
        op,
        revision,
        surprises: changes,
        seen: None,
    };
    model.world.run = run.into();
    fixture::look(&mut model, Point::Gate);
    assert!(
        matches!(model.world.next, Next::Stopped { rule: 3, .. }),
        "{:?}",
        model.world.next
    );
    press(&mut model, &["n"]);
    let drawn = draw(&model);
    assert!(drawn.contains("looked at it: go on"), "{drawn}");
    press(&mut model, &["down", "down", "enter"]);
    let drawn = draw(&model);
    assert!(drawn.contains("go on after the sync of"), "{drawn}");
    let asked = asked(press(&mut model, &["text:ann's webhook sets it", "enter"]));
    let [
        Command::SeeSurprise {
            application: of,
            reason,
        },
    ] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    assert_eq!(
        (of, reason.as_str()),
        (&application, "ann's webhook sets it")
    );
}

#[test]
fn a_gate_after_a_sync_that_was_made_is_not_taken_away_but_changed() {
    let mut model = fixture::model(Point::Gate, (140, 45));
    press(&mut model, &["a"]);
    let drawn = draw(&model);
    assert!(
        drawn.contains("take away no-401 (gate no-401 follows the sync of"),
        "{drawn}"
    );
    // Filled in with what it asks; what the form does not ask stays.
    press(&mut model, &["down", "down"]);
    assert!(draw(&model).contains("▸ change no-401"), "{}", draw(&model));
    let before = model.run().gates["no-401"].clone();
    let (Gate::Measured(mut wanted), keys) = (before, ["enter"; 8]) else {
        panic!("it is measured");
    };
    wanted.every = wanted.every.or(Some("5s".parse().unwrap()));
    let commands = asked(press(&mut model, &keys));
    assert_eq!(
        commands,
        [Command::AddGate {
            name: "no-401".into(),
            spec: Gate::Measured(wanted.clone())
        }]
    );
    // Whoever comes later sees that it asks something else.
    wanted.hold = Some("1s".parse().unwrap());
    let (gate, spec, by) = ("no-401".to_owned(), Gate::Measured(wanted), "jo".to_owned());
    happens(&mut model, Event::GateAdded { gate, spec, by });
    let drawn = draw(&model);
    assert!(
        drawn.contains("gate no-401 asks something else since jo changed it"),
        "{drawn}"
    );
}

#[test]
fn a_gate_is_taken_away_with_a_reason_where_gates_are_added() {
    let mut model = fixture::model(Point::Canary, (140, 45));
    press(&mut model, &["a", "down", "down", "down"]);
    let drawn = draw(&model);
    assert!(drawn.contains("▸ take away no-401"), "{drawn}");
    for keys in [["enter", "enter"], ["text:x", "enter"]] {
        assert_eq!(press(&mut model, &keys), [], "not without a reason");
    }
    press(&mut model, &["ctrl-u"]);
    let commands = asked(press(&mut model, &["text:it counts probes", "enter"]));
    assert_eq!(
        commands,
        [Command::RemoveGate {
            name: "no-401".into(),
            reason: "it counts probes".into()
        }]
    );
    let (gate, why, by) = (
        "no-401".to_owned(),
        "it counts probes".to_owned(),
        "jo".to_owned(),
    );
    happens(&mut model, Event::GateRemoved { gate, why, by });
    let drawn = draw(&model);
    for said in [
        "1 gate away",
        "gate no-401 was taken away by jo: nothing waits for it (it counts probes)",
    ] {
        assert!(drawn.contains(said), "{said}\n{drawn}");
    }
    press(&mut model, &["a"]);
    let drawn = draw(&model);
    assert!(drawn.contains("put back no-401"), "{drawn}");
}

#[test]
fn in_a_choice_the_key_for_help_gives_help() {
    let mut model = fixture::model(Point::Decide, (100, 30));
    press(&mut model, &["n", "?"]);
    assert!(matches!(model.dialogs.last(), Some(Dialog::Help(_))));
    press(&mut model, &["esc"]);
    assert!(matches!(model.dialogs.last(), Some(Dialog::Choose(_))));
}

#[test]
fn what_failed_says_what_to_do_even_where_it_is_cut_and_when_it_was() {
    let mut model = fixture::model(Point::Canary, (80, 24));
    let failed = Update::Failed {
        what: "sync auth-service (nothing of it was written)".into(),
        why: "no answer ".repeat(60),
        hint: "wait for the cluster, then look again".into(),
    };
    fixture::tell(&mut model, failed);
    let at = model.time.strftime("%H:%M:%S").to_string();
    let drawn = draw(&model);
    for said in [
        at.as_str(),
        "sync auth-service (nothing of it",
        "look again",
    ] {
        assert!(drawn.contains(said), "{said}\n{drawn}");
    }
}

/// Keys for the screen, a fraction of a second apart: the first of them opened a form.
#[test]
fn keys_of_the_screen_are_no_reason() {
    let mut model = fixture::model(Point::Decide, (80, 24));
    press(&mut model, &["j"]);
    model.settles_at = None;
    let mut effects = hurry(&mut model, &["3"]);
    for key in ["j", "3", "A", "j", "A", "enter"] {
        later(&mut model, SignedDuration::from_millis(250));
        effects.extend(hurry(&mut model, &[key]));
    }
    assert_eq!(effects, []);
    let Some(Dialog::Prompt(form)) = model.dialogs.last() else {
        panic!("{}", draw(&model));
    };
    assert_eq!(form.get("reason"), "");
    assert!(draw(&model).contains("what was typed as the form came up"));
    // After a pause what is typed is the reason; a few keys are none.
    later(&mut model, SETTLE);
    assert_eq!(hurry(&mut model, &["text:j3A", "enter"]), []);
    let drawn = draw(&model);
    assert!(drawn.contains("say why in a few words"), "{drawn}");
    assert_eq!(
        hurry(&mut model, &["text: of the runbook", "enter"]).len(),
        1
    );
}
