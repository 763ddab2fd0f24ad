//! A colleague takes back what was pushed: whoever pushes over it has read whose work that undoes, for what is open alone.

use super::{ahead::happens, *};
use serde_json::json;
use trueup_core::{decision::CellKey, event::Event, reopen, text};

const EVE: &str = "eve <eve@example.org> with 03515d0 \u{201c}Revert \"Carry the hotfix\"\u{201d}";
const UNDOES: &str = "! this undoes what eve <eve@example.org> did with 03515d0";

/// The commit has landed and was seen in Git; then eve reverts it for the algorithm of auth.
fn reverted(size: (u16, u16)) -> (Model, CellKey) {
    let mut model = fixture::model(Point::Canary, size);
    let cell = fixture::cell("auth", 0);
    let mut run = model.run().clone();
    run.decisions
        .values_mut()
        .for_each(|decision| decision.pushed = true);
    model.world.run = run.into();
    let mut now = (*model.world.now).clone();
    now.cells.get_mut(&cell).unwrap().sides.git = Some(json!("HS256"));
    let sides = now.cells[&cell].sides.clone();
    let moved = "Git went from RS256 to HS256";
    happens(
        &mut model,
        Event::Adopted {
            application: Some(cell.application.clone()),
            what: text::line(&format!("{} {}: {moved}", cell.object, cell.field)),
            who: EVE.into(),
            cell: Some(cell.clone()),
            sides: Some(sides),
        },
    );
    reopen::ask_again(&model.world.run, &mut now);
    fixture::tell(&mut model, Update::Seen(now.into()));
    model.stage = Stage::Decide;
    model.go_to_cell(&cell);
    (model, cell)
}

/// The text of a screen in one line, without the frames.
fn flat(model: &Model) -> String {
    let drawn = draw(model).replace(['│', '┃'], " ");
    drawn.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn whoever_decides_over_a_revert_reads_whose_work_that_undoes() {
    for size in SIZES {
        let (mut model, cell) = reverted(size);
        let said = flat(&model);
        assert!(
            model.toasts.iter().any(|toast| toast
                .text
                .starts_with("somebody changed what was decided: ")),
            "{:?}",
            model.toasts
        );
        assert!(!said.contains("adopted"), "{said}");
        press(&mut model, &["enter"]);
        let Some(Dialog::Choose(list)) = model.dialogs.last() else {
            panic!("{}", draw(&model));
        };
        let first = &list.notes[0].1;
        assert!(
            first.starts_with("! open again by what eve <eve@example.org> did with 03515d0")
                && first.contains("Git went from RS256 to HS256"),
            "{first}"
        );
        assert!(draw(&model).contains("! open again by what eve"));
        // What they set undoes nothing; what was decided before does, and a reason of before does not stand for it.
        press(&mut model, &["1", "enter", "enter"]);
        let drawn = flat(&model);
        assert!(
            drawn.contains("take Git: HS256") && !drawn.contains("undoes what"),
            "{drawn}"
        );
        let live = model
            .sides_here()
            .iter()
            .position(|side| side.name() == "auth")
            .unwrap()
            + 1;
        press(&mut model, &["esc", &live.to_string()]);
        let drawn = flat(&model);
        assert!(drawn.contains(UNDOES), "{}", draw(&model));
        let Some(Dialog::Prompt(form)) = model.dialogs.last() else {
            panic!("{drawn}");
        };
        assert!(form.notes[0].1.starts_with(UNDOES), "{:?}", form.notes);
        assert_eq!(form.get("reason"), "");
        assert!(drawn.contains("1 cell: "), "{drawn}");
        assert_eq!(
            press(&mut model, &["enter"]),
            [],
            "nothing is signed unsaid"
        );
        let commands = asked(press(&mut model, &["text:agreed with eve", "enter"]));
        assert!(
            matches!(commands.as_slice(), [Command::Decide { cells, .. }] if *cells == [cell.clone()]),
            "{commands:?}"
        );
    }
}

#[test]
fn what_is_open_again_is_asked_for_alone_unless_every_copy_is_wanted() {
    let (mut model, cell) = reverted((80, 24));
    press(&mut model, &["enter", "3", "enter"]);
    let drawn = flat(&model);
    assert!(
        drawn.contains("▸ what is open, alone 1 cell: .data.JWT_ALGORITHM in auth"),
        "{}",
        draw(&model)
    );
    assert!(
        drawn.contains("this field, every copy 2 of them decided already"),
        "{}",
        draw(&model)
    );
    press(&mut model, &["enter"]);
    assert!(flat(&model).contains("1 cell: .data.JWT_ALGORITHM in auth"));
    // With the switch on, what is decided so already is not signed anew.
    press(&mut model, &["esc", "A", "3", "text:agreed with eve"]);
    let commands = asked(press(&mut model, &["enter"]));
    assert!(
        matches!(commands.as_slice(), [Command::Decide { cells, .. }] if *cells == [cell.clone()]),
        "{commands:?} {}",
        draw(&model)
    );
}

/// Decided over it, the push and the sync name it again, until each of them brought it.
#[test]
fn what_is_overruled_is_named_again_until_it_was_brought() {
    let (mut model, cell) = reverted((80, 24));
    let again = super::ahead::sample_decision(&model, &cell);
    let Event::Decided { mut decisions } = again else {
        unreachable!("it is one");
    };
    let sides = model.now().cells[&cell].sides.clone();
    let git = decisions[0].clone();
    decisions[0].seen = sides.clone();
    assert!(model.run().shaken.contains_key(&cell));
    let mut proposal = fixture::model(Point::Commit, (80, 24))
        .run()
        .proposal
        .clone()
        .unwrap();
    proposal.cells = vec![cell.clone()];
    happens(
        &mut model,
        Event::Decided {
            decisions: decisions.clone(),
        },
    );
    let push = model.run().undone_by_push(&proposal);
    let said = "undoes what eve <eve@example.org> did with 03515d0";
    assert!(
        push[0].starts_with(said) && push[0].contains("from RS256 to HS256"),
        "{push:?}"
    );
    // Taken back and decided once more, it is known all the same.
    let withdrawn = Event::DecisionWithdrawn {
        cells: vec![cell.clone()],
        why: "z".into(),
        by: "jo".into(),
    };
    happens(&mut model, withdrawn);
    assert_eq!(model.run().undone_by_push(&proposal), [""; 0]);
    happens(
        &mut model,
        Event::Decided {
            decisions: decisions.clone(),
        },
    );
    assert_eq!(model.run().undone_by_push(&proposal), push);
    // Live of auth has it already: a sync of it brings nothing.
    assert_eq!(model.run().undone_by_sync(&cell.application), [""; 0]);
    decisions[0].seen.live = Some(json!("HS256"));
    let mut run = model.run().clone();
    run.decisions.insert(cell.clone(), decisions[0].clone());
    assert_eq!(run.undone_by_sync(&cell.application).len(), 1);
    run.decisions.get_mut(&cell).unwrap().applied = true;
    assert_eq!(run.undone_by_sync(&cell.application), [""; 0]);
    run.decisions.get_mut(&cell).unwrap().pushed = true;
    assert_eq!(run.undone_by_push(&proposal), [""; 0]);
    // Agreed to what eve did, there is nothing to name.
    let mut theirs = git;
    theirs.seen = sides;
    theirs.take = Take::Git;
    theirs.git = trueup_core::decision::Wanted::Value(json!("HS256"));
    theirs.live = theirs.git.clone();
    run.decisions.insert(cell, theirs);
    assert_eq!(run.undone_by_push(&proposal), [""; 0]);
}

/// A reopened cell implies nothing, its withdrawn choice is not in the tree, and no bar has Decide done.
#[test]
fn what_is_open_again_counts_as_open_everywhere() {
    for size in SIZES {
        let (mut model, cell) = reverted(size);
        let field = model
            .now()
            .questions
            .iter()
            .find(|q| q.cells.contains(&cell));
        let cells = field.unwrap().cells.clone();
        let mut now = (*model.world.now).clone();
        let git = |model: &Model| model.derived.implies.git_fields;
        assert_eq!(git(&model), 0, "its decision is withdrawn");
        for key in cells {
            now.cells.get_mut(&key).unwrap().sides.git = Some(json!("HS256"));
        }
        fixture::tell(&mut model, Update::Seen(now.into()));
        // The journal is told before what comes next is.
        model.world.next = trueup_core::workflow::Next::Propose;
        assert_eq!(git(&model), 0);
        let drawn = draw(&model);
        let row = drawn.lines().find(|line| line.contains("▸ ?")).unwrap();
        assert!(row.contains("open again"), "{drawn}");
        assert!(!row.contains("RS256 (liv"), "{drawn}");
        let rail = drawn.lines().nth(1).unwrap();
        assert!(
            rail.contains("Decide") && !rail.contains("Decide 1/2 ✓"),
            "{drawn}"
        );
        assert!(!rail.contains("Decide ✓"), "{drawn}");
    }
}

/// `z` takes back what was done last: where that was a live action, it says so and offers the sheet that does.
#[test]
fn what_is_taken_back_is_what_was_done_last() {
    use trueup_core::{
        event::{Effect, Guard, Outcome},
        ids::OpId,
        plan::Action,
    };
    let mut model = fixture::model(Point::Commit, (120, 40));
    let cell = fixture::cell("like", 0);
    press(&mut model, &["z"]);
    assert!(flat(&model).contains("take back the last decision?"));
    press(&mut model, &["esc"]);
    let op = OpId("act-1".into());
    let facts = [(cell.field.to_string(), json!("RS256"))];
    happens(
        &mut model,
        Event::Intended {
            op: op.clone(),
            effect: Effect::Act {
                application: cell.application.clone(),
                object: cell.object.clone(),
                action: Action::Patch {
                    field: cell.field.to_string(),
                    value: json!("HS256"),
                },
                patch: json!([]),
                inverse: json!([]),
                cell: Some(cell.clone()),
                reason: String::new(),
            },
            guard: Guard {
                resource_version: None,
                facts: facts.into(),
            },
            shown: vec!["JWT_ALGORITHM: RS256 → HS256".into()],
            by_hand: Vec::new(),
            by: "jo".into(),
        },
    );
    let outcome = Outcome::Done {
        resource_version: None,
        found: false,
    };
    happens(&mut model, Event::Ended { op, outcome });
    press(&mut model, &["z"]);
    let drawn = flat(&model);
    for said in [
        "take back the last live action?",
        "JWT_ALGORITHM: RS256 → HS256",
        "back to RS256",
        "the last decision instead",
    ] {
        assert!(drawn.contains(said), "{said}: {}", draw(&model));
    }
    let commands = asked(press(&mut model, &["down", "enter"]));
    assert!(
        matches!(commands.as_slice(), [Command::Act { action: Action::Patch { value, .. }, .. }] if *value == json!("RS256")),
        "{commands:?}"
    );
}
