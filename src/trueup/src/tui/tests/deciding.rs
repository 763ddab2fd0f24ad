//! For which cells a choice is, what is lost by it, and that it is signed with a reason of its own.

use super::{
    ahead::{happens, sample_decision},
    *,
};
use serde_json::json;
use std::sync::Arc;
use trueup_core::{
    decision::{CellKey, Wanted},
    event::Event,
};

fn reason(model: &Model) -> String {
    match model.dialogs.last() {
        Some(Dialog::Prompt(form)) if form.fields[0].label == "reason" => form.get("reason"),
        other => panic!("no form for a reason: {other:?}"),
    }
}

fn decided(commands: Vec<Command>) -> (Vec<CellKey>, String) {
    match commands.as_slice() {
        [Command::Decide { cells, reason, .. }] => (cells.clone(), reason.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_choose_for_what_the_switches_say_and_every_decision_is_signed() {
    let mut model = fixture::model(Point::Decide, (120, 40));
    let commands = asked(press(&mut model, &["j", "3", "text:why", "enter"]));
    let (cells, _) = decided(commands);
    assert_eq!(cells, [fixture::cell("auth", 0)]);
    // The same choice again: the reason stands there, and enter signs it.
    assert_eq!(asked(press(&mut model, &["A", "g", "3"])), []);
    assert_eq!(reason(&model), "why");
    let (cells, reason_given) = decided(asked(press(&mut model, &["enter"])));
    assert_eq!((cells.len(), reason_given.as_str()), (6, "why"));
    // Another choice has no reason yet.
    press(&mut model, &["1"]);
    assert_eq!(reason(&model), "");
}

/// Both halves of a pair name each other, and one of them does so twice.
#[test]
fn a_cell_is_chosen_for_once_however_often_its_other_half_names_it() {
    let mut model = fixture::model(Point::Decide, (140, 45));
    let mut now = (*model.world.now).clone();
    let again = now.questions[0].decide_with.clone();
    assert!(!again.is_empty());
    now.questions[0].decide_with.extend(again);
    fixture::tell(&mut model, Update::Seen(now.into()));
    press(&mut model, &["j", "A", "g"]);
    let drawn = draw(&model);
    assert!(drawn.contains("for 6 cells"), "{drawn}");
    let twice = "JWT_PUBLIC_KEY_ID, JWT_PUBLIC_KEY_ID";
    assert!(!drawn.contains(twice), "{drawn}");
    let (mut cells, _) = decided(asked(press(&mut model, &["3", "text:why", "enter"])));
    cells.sort();
    let all = cells.len();
    cells.dedup();
    assert_eq!((all, cells.len()), (6, 6));
}

/// Five of six are decided: a key decides the one that is open.
#[test]
fn the_line_of_the_switches_counts_what_a_key_would_decide() {
    let mut model = fixture::model(Point::Decide, (140, 45));
    let cells: Vec<CellKey> = (0..2)
        .flat_map(|field| ["auth", "like", "profile"].map(|app| fixture::cell(app, field)))
        .collect();
    let mut all = Vec::new();
    for cell in &cells[1..] {
        let Event::Decided { decisions } = sample_decision(&model, cell) else {
            panic!("it is one");
        };
        all.extend(decisions);
    }
    happens(&mut model, Event::Decided { decisions: all });
    fixture::look(&mut model, Point::Decide);
    model.go_to_cell(&cells[0]);
    press(&mut model, &["A", "g"]);
    assert!(model.dialogs.is_empty(), "{}", draw(&model));
    let drawn = draw(&model);
    let said = "for 1 open of 6 cells  [x] every copy (A)";
    assert!(drawn.contains(said), "{drawn}");
    let live = model.sides_here();
    let live = live.iter().position(|side| side.name() == "auth").unwrap() + 1;
    let keys = [live.to_string(), "text:why".into(), "enter".into()];
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (decided, _) = decided(asked(press(&mut model, &keys)));
    assert_eq!(decided, cells[..1], "{}", draw(&model));
}

/// A field of three copies is one field, whoever counts.
#[test]
fn what_is_open_is_counted_once() {
    let model = fixture::model(Point::Decide, (80, 24));
    let drawn = draw(&model);
    assert!(
        drawn.contains("2 open") && drawn.contains("n decide 2 fields "),
        "{drawn}"
    );
    // What is to be synced again is not synced, on the line of stages as in the list.
    let mut model = fixture::model(Point::Attest, (80, 24));
    let mut run = model.run().clone();
    let app = run.apps.values_mut().next().unwrap();
    app.prediction = Some(("0123456".into(), Default::default()));
    model.world.run = run.into();
    model.derive_run();
    let drawn = draw(&model);
    assert!(
        drawn.contains("Sync 2/3") && drawn.contains("2 synced of 3"),
        "{drawn}"
    );
}

#[test]
fn a_number_on_the_row_of_an_object_decides_nothing() {
    let mut model = fixture::model(Point::Decide, (120, 40));
    assert_eq!(press(&mut model, &["3"]), []);
    assert!(model.dialogs.is_empty(), "{}", draw(&model));
    let drawn = draw(&model);
    let at_cursor = drawn.lines().find(|line| line.starts_with("│▸"));
    assert!(
        at_cursor.is_some_and(|line| line.contains(".data.JWT_ALG")),
        "{drawn}"
    );
    // What was typed along with it does nothing either.
    assert_eq!(hurry(&mut model, &["3", "1", "i"]), []);
    assert!(model.dialogs.is_empty(), "{}", draw(&model));
    press(&mut model, &["3"]);
    assert_eq!(reason(&model), "");
}

#[test]
fn the_switches_stay_with_their_object() {
    let mut model = fixture::model(Point::Decide, (120, 40));
    let mut now = (*model.world.now).clone();
    let mut other = now.questions[0].clone();
    (other.id, other.group, other.name) = ("other".into(), Some("other".into()), "other".into());
    other.decide_with.clear();
    now.questions.push(other);
    fixture::tell(&mut model, Update::Seen(Arc::new(now)));
    press(&mut model, &["j", "A", "g"]);
    assert!(draw(&model).contains("[x] every copy"), "{}", draw(&model));
    press(&mut model, &["j"]);
    assert!(
        model.decide.every_copy && model.decide.together,
        "the same object"
    );
    press(&mut model, &["G"]);
    let drawn = draw(&model);
    assert!(
        drawn.contains("[ ] every copy") && !drawn.contains("[x] together"),
        "{drawn}"
    );
}

#[test]
fn a_reason_is_one_for_what_was_seen_then() {
    let mut model = fixture::model(Point::Decide, (120, 40));
    press(&mut model, &["j", "A", "g", "3", "text:why", "enter"]);
    press(&mut model, &["3"]);
    assert_eq!(reason(&model), "why");
    press(&mut model, &["esc"]);
    let mut now = (*model.world.now).clone();
    let moved = now.cells.get_mut(&fixture::cell("profile", 1)).unwrap();
    moved.sides.live = Some(json!("key-of-somebody"));
    fixture::tell(&mut model, Update::Seen(Arc::new(now)));
    press(&mut model, &["3"]);
    assert_eq!(reason(&model), "", "{}", draw(&model));
    assert_eq!(press(&mut model, &["enter"]), [], "nothing is signed");
}

/// Somebody patches the copy that is taken, while the list, the cells or the reason are being asked for.
#[test]
fn what_is_decided_is_what_was_looked_at() {
    let moves = |model: &mut Model| {
        let mut now = (*model.world.now).clone();
        let moved = now.cells.get_mut(&fixture::cell("auth", 1)).unwrap();
        moved.sides.live = Some(json!("key-of-somebody"));
        fixture::tell(model, Update::Seen(Arc::new(now)));
    };
    for keys in [&["n", "3"][..], &["n", "3", "enter"]] {
        let mut model = fixture::model(Point::Decide, (120, 40));
        press(&mut model, keys);
        moves(&mut model);
        for _ in keys.len()..4 {
            press(&mut model, &["enter"]);
        }
        let drawn = draw(&model);
        assert!(model.dialogs.is_empty(), "{keys:?} {drawn}");
        assert!(
            drawn.contains("moved from key-2024-11-rot to"),
            "{keys:?} {drawn}"
        );
    }
    let mut model = fixture::model(Point::Decide, (120, 40));
    press(&mut model, &["n", "3", "enter", "enter"]);
    assert!(
        draw(&model).contains("take live of auth: RS256 / key-2024-11-rot"),
        "{}",
        draw(&model)
    );
    moves(&mut model);
    let commands = asked(press(&mut model, &["text:why", "enter"]));
    let [Command::Decide { take, seen, .. }] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    let refused = trueup_core::rules::as_chosen(model.now(), take, seen).unwrap_err();
    assert!(refused.reason.contains("live of auth"), "{refused:?}");
    fixture::tell(&mut model, Update::Refused(refused));
    fixture::tell(&mut model, Update::Answered);
    let drawn = draw(&model);
    assert!(
        model.dialogs.is_empty() && drawn.contains("look at it, and choose"),
        "{drawn}"
    );
    // Chosen again, it is of what stands now.
    press(&mut model, &["3", "enter", "enter"]);
    assert!(draw(&model).contains("key-of-somebody"), "{}", draw(&model));
}

#[test]
fn what_leaves_git_by_the_choice_is_named() {
    for size in SIZES {
        let mut model = fixture::model(Point::Decide, size);
        press(&mut model, &["A", "e", "ctrl-u", "text:PS256", "enter"]);
        assert_eq!(reason(&model), "");
        let drawn = draw(&model);
        for said in [
            "! RS256 stands nowhere in Git and will be gone",
            "HS256 stands nowhere in Git after it",
        ] {
            assert!(drawn.contains(said), "{said}\n{drawn}");
        }
    }
}

#[test]
fn what_is_decided_otherwise_is_left_unless_it_is_asked_for() {
    let otherwise = fixture::cell("auth", 0);
    // Whether it was typed, or followed the same copy when that held another value: the safe answer comes first.
    let followed = Take::Live(trueup_core::decision::LiveOf {
        namespace: Some("like".into()),
        application: None,
    });
    let typed = Take::Value(json!("HS512"));
    for (take, (keys, cells, said)) in [typed, followed].into_iter().flat_map(|take| {
        [
            (&["enter"][..], 5, None),
            (
                &["down", "enter"],
                6,
                Some("! replaces: .data.JWT_ALGORITHM in auth is decided"),
            ),
        ]
        .map(|case| (take.clone(), case))
    }) {
        let mut model = fixture::model(Point::Decide, (120, 40));
        let Event::Decided { mut decisions } = sample_decision(&model, &otherwise) else {
            unreachable!("it is one");
        };
        decisions[0].take = take.clone();
        decisions[0].git = Wanted::Value(json!("HS512"));
        decisions[0].live = decisions[0].git.clone();
        happens(&mut model, Event::Decided { decisions });
        press(&mut model, &["A", "g", "4"]);
        let drawn = draw(&model);
        for part in [
            "1 of 6 cells decided otherwise",
            "in auth is decided: ",
            "HS512",
            "▸ leave what is decided",
        ] {
            assert!(drawn.contains(part), "{drawn}");
        }
        press(&mut model, keys);
        let drawn = draw(&model);
        assert_eq!(drawn.contains("replaces"), said.is_some(), "{drawn}");
        assert!(drawn.contains(said.unwrap_or("5 cells")), "{drawn}");
        let (taken, _) = decided(asked(press(&mut model, &["text:like has it", "enter"])));
        assert_eq!(taken.len(), cells);
        assert_eq!(taken.contains(&otherwise), cells == 6);
    }
}

#[test]
fn why_auto_sync_was_switched_off_is_read_before_a_target_is_chosen() {
    let mut model = fixture::model(Point::Scope, (80, 24));
    let mut now = (*model.world.now).clone();
    for (i, name) in trueup_core::transcript::sample::APPS
        .into_iter()
        .enumerate()
    {
        let app = now
            .apps
            .get_mut(&trueup_core::transcript::sample::app(name))
            .unwrap();
        let note = format!(
            "annotation \"note\": \"off until the rotation is done\" (kubectl-edit, 2026-11-14T09:0{i}:00Z)"
        );
        app.evidence.push(note);
    }
    fixture::tell(&mut model, Update::Seen(Arc::new(now)));
    press(&mut model, &["n"]);
    let drawn = draw(&model);
    let said = "annotation \"note\": \"off until the rotation is done\" on auth-service,";
    assert_eq!(drawn.matches(said).count(), 1, "{drawn}");
    assert!(drawn.contains("as declared"), "{drawn}");
}

#[test]
fn a_target_that_leaves_auto_sync_off_is_not_said_to_switch_it_on() {
    for size in SIZES {
        let mut model = fixture::model(Point::Thaw, size);
        let on = "what auto-sync will do the moment it is on";
        assert!(draw(&model).contains(on));
        let mut run = (*model.world.run).clone();
        for app in run.apps.values_mut() {
            app.target.as_mut().unwrap().1 = serde_json::Value::Null;
        }
        model.world.run = run.into();
        let drawn = draw(&model);
        assert!(!drawn.contains(on), "{drawn}");
        for said in ["auto-sync stays off", "the target leaves auto-sync off"] {
            assert!(drawn.contains(said), "{said}\n{drawn}");
        }
    }
}

/// Decided for auth, and then somebody wrote what Git has over it: the question is there again.
#[test]
fn what_was_decided_and_what_the_snapshot_holds_are_beside_what_is_asked_again() {
    for size in SIZES {
        let mut model = fixture::model(Point::Decide, size);
        let cell = fixture::cell("auth", 0);
        model.go_to_cell(&cell);
        let decided = super::ahead::sample_decision(&model, &cell);
        super::ahead::happens(&mut model, decided);
        model.go_to_cell(&cell);
        model.zoom = true;
        model.focus = crate::tui::model::Focus::Detail;
        let drawn = draw(&model);
        assert!(drawn.contains("✓ auth: RS256 ("), "{drawn}");
        assert!(
            !drawn.contains("snapshot  "),
            "live is as it was kept\n{drawn}"
        );
        let mut now = (*model.world.now).clone();
        now.cells.get_mut(&cell).unwrap().sides.live = Some("HS256".into());
        fixture::tell(&mut model, Update::Seen(now.into()));
        model.go_to_cell(&cell);
        let drawn = draw(&model);
        assert!(drawn.contains("decided was auth: RS256 ("), "{drawn}");
        let column = drawn.lines().find(|line| line.contains("6 snapshot"));
        let column = column.unwrap_or_else(|| panic!("{drawn}"));
        assert!(
            column.contains("RS256") && column.contains("kept "),
            "{column}"
        );
        press(&mut model, &["6"]);
        let Some(Dialog::Prompt(form)) = model.dialogs.last() else {
            panic!("{:?}", model.toasts);
        };
        assert!(form.title.ends_with(": RS256"), "{}", form.title);
        // And in the list that enter offers.
        press(&mut model, &["esc", "enter"]);
        assert!(draw(&model).contains("6 snapshot"), "{}", draw(&model));
    }
}

/// A colleague put both fields of auth back after the snapshot.
fn put_back(size: (u16, u16)) -> Model {
    let mut model = fixture::model(Point::Decide, size);
    let mut now = (*model.world.now).clone();
    for (field, value) in [(0, "HS256"), (1, "key-2024-09")] {
        let cell = now.cells.get_mut(&fixture::cell("auth", field)).unwrap();
        cell.sides.live = Some(value.into());
    }
    fixture::tell(&mut model, Update::Seen(now.into()));
    model.go_to_cell(&fixture::cell("auth", 0));
    model
}

/// What the form says, and what it asks the engine for, as that would decide it.
fn signed(model: &mut Model, keys: &[&str]) -> (String, Vec<(CellKey, Option<serde_json::Value>)>) {
    press(model, keys);
    let said = match model.dialogs.last() {
        Some(Dialog::Prompt(form)) => {
            let notes = form.notes.iter().map(|(_, line)| line.clone());
            [form.title.clone()]
                .into_iter()
                .chain(notes)
                .collect::<Vec<_>>()
                .join("\n")
        }
        other => panic!("{other:?} {:?}", model.toasts),
    };
    let commands = asked(press(model, &["text:as it was found", "enter"]));
    let [Command::Decide { cells, take, .. }] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    let value = |key: &CellKey| match model.run().of_cell(key, take) {
        trueup_core::decision::Take::Snapshot(kept) => kept.value,
        other => panic!("{other:?}"),
    };
    let each = cells.iter().map(|key| (key.clone(), value(key))).collect();
    (said, each)
}

#[test]
fn the_column_of_the_snapshot_gives_each_field_its_own_value() {
    for keys in [&["A", "g", "6"][..], &["enter", "6", "enter", "enter"]] {
        let mut model = put_back((140, 45));
        let column = draw(&model);
        let column = column.lines().find(|line| line.contains("6 snapshot"));
        let column = column.unwrap_or_default();
        assert!(
            column.contains("RS256") && column.contains("key-2024-11-rot"),
            "{column}"
        );
        let (said, each) = signed(&mut model, keys);
        for line in [
            "the snapshot of ",
            " of auth: RS256 / key-2024-11-rot",
            ".data.JWT_ALGORITHM: RS256",
            ".data.JWT_PUBLIC_KEY_ID: key-2024-11-rot",
            "6 cells",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
        assert_eq!(each.len(), 6);
        for (cell, value) in each {
            let wanted = match cell.field.to_string().as_str() {
                ".data.JWT_ALGORITHM" => json!("RS256"),
                _ => json!("key-2024-11-rot"),
            };
            assert_eq!(value, Some(wanted), "{cell:?}");
        }
    }
    // What is chosen from a copy is said of each field too.
    let mut model = put_back((140, 45));
    press(&mut model, &["A", "g", "3"]);
    let drawn = draw(&model);
    assert!(
        drawn.contains(".data.JWT_ALGORITHM: HS256")
            && drawn.contains(".data.JWT_PUBLIC_KEY_ID: key-2024-09"),
        "{drawn}"
    );
}

/// A colleague put one of the two fields of auth back after the snapshot: the other is live as it was found.
fn half_put_back(field: usize) -> Model {
    let mut model = fixture::model(Point::Decide, (140, 45));
    let mut now = (*model.world.now).clone();
    let cell = now.cells.get_mut(&fixture::cell("auth", field)).unwrap();
    cell.sides.live.clone_from(&cell.sides.git);
    fixture::tell(&mut model, Update::Seen(now.into()));
    model
}

#[test]
fn a_pair_of_which_one_half_was_put_back_is_restored_as_a_pair() {
    const WAS: [&str; 2] = ["RS256", "key-2024-11-rot"];
    for back in 0..2 {
        // Wherever the cursor is: on the field that moved, and on the one that did not.
        for field in 0..2 {
            let mut model = half_put_back(back);
            model.go_to_cell(&fixture::cell("auth", field));
            let drawn = draw(&model);
            let column = drawn.lines().find(|line| line.contains("6 snapshot"));
            let column = column.unwrap_or_default();
            for part in [WAS[0], WAS[1], "= live", "kept "] {
                assert!(column.contains(part), "{part}: {column}");
            }
            let (said, mut each) = signed(&mut model, &["g", "6"]);
            assert!(said.contains("2 cells"), "{said}");
            each.sort_by(|(a, _), (b, _)| a.cmp(b));
            let pair = [0, 1].map(|n| (fixture::cell("auth", n), Some(json!(WAS[n]))));
            assert_eq!(each, pair);
        }
        // In another copy it is what the snapshot has of that one.
        let mut model = half_put_back(back);
        model.go_to_cell(&fixture::cell("like", 1));
        let (said, _) = signed(&mut model, &["6"]);
        assert!(said.contains("of like: key-2024-09"), "{said}");
    }
}

/// A later snapshot, of what is live in auth then.
fn snapshot_again(model: &mut Model, number: u32, values: &[(usize, &str)]) -> String {
    let question = |(field, live): &(usize, &str)| {
        let key = fixture::cell("auth", *field);
        let (git, app) = (["HS256", "key-2024-09"][*field], &key.application);
        let cell = json!({"application": app.name, "applicationNamespace": app.namespace, "namespace": "auth", "git": git,
            "lastSynced": git, "live": live, "differs": git != *live, "class": "hotfix", "object": key.object});
        json!({"id": format!("q{field}"), "group": "auth-config", "kind": "ConfigMap", "name": "auth-config",
            "field": key.field.to_string(), "class": "hotfix", "confidence": "ask", "evidence": [], "suggestion": null,
            "decideWith": [], "cells": [cell]})
    };
    model.time += jiff::SignedDuration::from_secs(70);
    let taken = Event::SnapshotTaken {
        number,
        blobs: Default::default(),
        counts: Default::default(),
        unread: Vec::new(),
        questions: values.iter().map(question).collect(),
        applications: Vec::new(),
        heads: Default::default(),
        again: false,
        incomplete: Vec::new(),
        earlier: Vec::new(),
    };
    happens(model, taken);
    kept_time(model)
}

/// What the column of the last snapshot would say.
fn kept_time(model: &Model) -> String {
    let at = model.run().snapshot_at.unwrap();
    format!("kept {}", at.strftime("%H:%M:%SZ"))
}

/// The last snapshot has what was put back, and the one that found what was there did not have the other half.
#[test]
fn what_is_gone_is_offered_as_it_was_found_be_it_without_its_other_half() {
    let mut model = half_put_back(0);
    let key = "key-2024-11-rot";
    snapshot_again(&mut model, 2, &[(0, "RS256")]);
    snapshot_again(&mut model, 3, &[(0, "RS256"), (1, key)]);
    snapshot_again(&mut model, 4, &[(0, "HS256"), (1, key)]);
    model.go_to_cell(&fixture::cell("auth", 0));
    let drawn = draw(&model);
    let column = drawn.lines().find(|line| line.contains("6 snapshot"));
    let column = column.unwrap_or_default();
    assert!(column.contains("RS256") && column.contains("·"), "{column}");
    let (said, each) = signed(&mut model, &["6"]);
    assert!(said.contains(" of auth: RS256"), "{said}");
    assert_eq!(each, [(fixture::cell("auth", 0), Some(json!("RS256")))]);
}

/// Put back before the snapshot of the freeze, decided, set to that once more: what was found stays what was found.
#[test]
fn the_column_is_of_the_first_snapshot_whatever_a_later_one_has() {
    let mut model = half_put_back(0);
    let key = "key-2024-11-rot";
    let first = snapshot_again(&mut model, 2, &[(0, "RS256"), (1, key)]);
    let column = |model: &mut Model, number: &str, field: usize| {
        model.go_to_cell(&fixture::cell("auth", field));
        let drawn = draw(model);
        let line = drawn.lines().find(|line| line.contains(number));
        line.unwrap_or_default().to_owned()
    };
    let last = snapshot_again(&mut model, 3, &[(0, "HS256"), (1, key)]);
    assert_ne!(first, last);
    for decided in [false, true] {
        if decided {
            let cell = fixture::cell("auth", 0);
            let decision = super::ahead::sample_decision(&model, &cell);
            super::ahead::happens(&mut model, decision);
        }
        for field in 0..2 {
            let column = column(&mut model, "6 snapshot", field);
            assert!(
                column.contains("RS256") && column.contains(&first) && !column.contains("HS256"),
                "{column}"
            );
        }
    }
    // Somebody set it to something that only a later snapshot has: that is a column with its time.
    let last = snapshot_again(&mut model, 4, &[(0, "ES512"), (1, key)]);
    let mut now = (*model.world.now).clone();
    now.at += jiff::SignedDuration::from_secs(1);
    fixture::tell(&mut model, Update::Seen(now.into()));
    let later = format!("7 snap {}", &last["kept ".len()..][..5]);
    for field in 0..2 {
        let found = column(&mut model, "6 snapshot", field);
        assert!(
            found.contains(["RS256", key][field]) && found.contains(&first),
            "{found}"
        );
        let column = column(&mut model, &later, field);
        assert!(
            column.contains(["ES512", key][field]) && column.contains(&last),
            "{column}"
        );
    }
    model.go_to_cell(&fixture::cell("auth", 0));
    let (said, each) = signed(&mut model, &["7"]);
    assert!(said.contains(" of auth: ES512"), "{said}");
    assert_eq!(each, [(fixture::cell("auth", 0), Some(json!("ES512")))]);
}

/// What a snapshot cannot give is said in the words of the screen.
#[test]
fn a_field_that_the_snapshot_has_not_is_refused_in_the_words_of_the_screen() {
    let mut model = put_back((140, 45));
    let mut now = (*model.world.now).clone();
    let mut other = fixture::cell("auth", 0);
    other.field = ".data.OTHER".parse().unwrap();
    now.cells
        .insert(other.clone(), now.cells[&fixture::cell("auth", 0)].clone());
    let mut question = now.questions[0].clone();
    (question.id, question.field) = ("other".into(), other.field.to_string());
    (question.cells, question.decide_with) = (vec![other.clone()], Vec::new());
    now.questions.push(question);
    fixture::tell(&mut model, Update::Seen(now.into()));
    model.go_to_cell(&other);
    press(&mut model, &["6"]);
    let said: Vec<&str> = model.toasts.iter().map(|t| t.text.as_str()).collect();
    let refused = "snapshot: the snapshot has nothing of this field: choose a side that has";
    assert!(said.contains(&refused), "{said:?}");
}

#[test]
fn the_switch_for_what_was_written_together_is_there_where_it_covers_something() {
    let mut model = fixture::model(Point::Decide, (140, 45));
    press(&mut model, &["j", "g"]);
    let drawn = draw(&model);
    assert!(
        drawn.contains("[x] together (g): JWT_ALGORITHM, JWT_PUBLIC_KEY_ID"),
        "{drawn}"
    );
    // The other half is as Git has it everywhere.
    let mut alone = (*model.world.now).clone();
    alone.questions.truncate(1);
    alone.questions[0].decide_with.clear();
    fixture::tell(&mut model, Update::Seen(alone.into()));
    let drawn = draw(&model);
    assert!(!drawn.contains("together (g)"), "{drawn}");
    // Back again, it covers nothing unasked.
    fixture::look(&mut model, Point::Decide);
    let drawn = draw(&model);
    assert!(drawn.contains("[ ] together (g): JWT_ALG"), "{drawn}");
}

#[test]
fn a_value_that_is_typed_for_several_fields_is_typed_with_all_of_them_shown() {
    let mut model = put_back((140, 45));
    press(&mut model, &["A", "g", "e"]);
    let form = |model: &Model| match model.dialogs.last() {
        Some(Dialog::Prompt(form)) => form.clone(),
        other => panic!("{other:?}"),
    };
    let both = "! the same value for each of 2: .data.JWT_ALGORITHM, .data.JWT_PUBLIC_KEY_ID";
    // What one of them holds is not offered for the other.
    assert_eq!(form(&model).get("value"), "");
    assert!(draw(&model).contains(both), "{}", draw(&model));
    press(&mut model, &["text:x", "enter"]);
    assert!(draw(&model).contains(both), "{}", draw(&model));
    // Decided so for one copy, another field gets it by no switch.
    let mut model = fixture::model(Point::Decide, (120, 40));
    let cell = fixture::cell("auth", 0);
    let Event::Decided { mut decisions } = sample_decision(&model, &cell) else {
        panic!("it is one");
    };
    decisions[0].take = trueup_core::decision::Take::Value(json!("ES512"));
    decisions[0].git = Wanted::Value(json!("ES512"));
    decisions[0].live = Wanted::Value(json!("ES512"));
    happens(&mut model, Event::Decided { decisions });
    model.go_to_cell(&cell);
    press(&mut model, &["g", "A"]);
    let Some(Dialog::Choose(list)) = model.dialogs.last() else {
        panic!("{:?}", model.toasts);
    };
    let crate::tui::model::dialog::Pick::Decide { cells, .. } = &list.choices[0].pick else {
        panic!("{list:?}");
    };
    assert!(
        cells.iter().all(|other| other.field == cell.field) && cells.len() == 2,
        "{cells:?}"
    );
}

/// A field that auth alone has is decided together with one that has three copies: what is chosen is auth's, and not of each its own.
#[test]
fn the_copy_that_is_chosen_is_that_copy_for_each_field() {
    let mut model = fixture::model(Point::Decide, (140, 45));
    let mut now = (*model.world.now).clone();
    let cell = fixture::cell("auth", 0);
    now.questions[0].cells.retain(|other| *other == cell);
    fixture::tell(&mut model, Update::Seen(now.into()));
    // The switches go along within the object.
    model.go_to_cell(&fixture::cell("auth", 1));
    press(&mut model, &["A", "g"]);
    model.go_to_cell(&cell);
    let commands = asked(press(&mut model, &["3", "text:why", "enter"]));
    let [Command::Decide { cells, take, .. }] = commands.as_slice() else {
        panic!("{commands:?} {:?}", model.toasts);
    };
    assert_eq!(cells.len(), 4);
    let auths = trueup_core::decision::LiveOf {
        namespace: Some("auth".into()),
        application: None,
    };
    assert_eq!(*take, trueup_core::decision::Take::Live(auths));
}
