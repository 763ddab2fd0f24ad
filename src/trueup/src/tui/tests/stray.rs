//! A text for a box that did not come is no series of keys; a write that nobody armed for asks to be armed.

use super::*;
use crate::tui::model::hold::PAUSE;
use ahead::happens;
use jiff::SignedDuration;
use trueup_core::{event::Event, transcript::sample};

/// A reason as somebody types it who does not look: with letters that are keys.
const TEXT: &str = "text:quiet since noon, Wx F P C z";

fn nothing_came_of(model: &Model, effects: &[Effect], stage: Stage) {
    assert_eq!(effects, [], "{:?}", model.toasts);
    assert!(model.dialogs.is_empty(), "{:?}", model.dialogs);
    assert_eq!(model.stage, stage);
    let said = model.toasts.iter().any(|t| t.text.contains("does nothing"));
    assert!(said, "{:?}", model.toasts);
}

#[test]
fn a_text_behind_a_refused_prompt_presses_no_keys() {
    // Nothing is owed, so that nothing is handed over; nothing waits for an attestation; no glass can be broken.
    for (point, key) in [
        (Point::Close, "P"),
        (Point::Close, "V"),
        (Point::Canary, "m"),
        (Point::Canary, "B"),
        (Point::Canary, "d"),
        (Point::Scope, "x"),
        (Point::Snapshot, "R"),
        (Point::Canary, "/"),
        (Point::Decide, "9"),
    ] {
        let mut model = fixture::model(point, (100, 30));
        press(&mut model, &["j"]);
        if point == Point::Close {
            model.derived.owed.clear();
        }
        let (cursor, stage) = (model.cursor(), model.stage);
        model.settles_at = None;
        let effects = hurry(&mut model, &[key, TEXT, "enter", "n", "enter"]);
        nothing_came_of(&model, &effects, stage);
        assert_eq!(model.cursor(), cursor, "{point:?} {key}");
        // After a pause the keys are keys again.
        let at = model.time + PAUSE;
        update(&mut model, Msg::Tick(at));
        hurry(&mut model, &["?"]);
        assert_eq!(model.dialogs.len(), 1, "{point:?} {key}");
    }
}

#[test]
fn the_refused_key_pressed_again_is_a_key() {
    let mut model = fixture::model(Point::Decide, (100, 30));
    press(&mut model, &["j"]);
    model.settles_at = Some(model.time + SignedDuration::from_millis(400));
    hurry(&mut model, &["3"]);
    assert!(model.dialogs.is_empty(), "it came too early");
    model.settles_at = None;
    hurry(&mut model, &["3"]);
    assert_eq!(model.dialogs.len(), 1);
}

#[test]
fn a_policy_that_was_changed_after_the_thaw_is_handed_to_nobody() {
    let mut model = fixture::model(Point::Close, (140, 45));
    let why = Some("was thawed, and its auto-sync is off".to_owned());
    let application = sample::app("like");
    happens(
        &mut model,
        Event::PolicyMoved {
            application: application.clone(),
            why,
            who: "kubectl-edit at 10:00:00Z".into(),
        },
    );
    fixture::look(&mut model, Point::Close);
    let mut now = (*model.world.now).clone();
    now.apps.get_mut(&application).unwrap().sync_policy = serde_json::json!({});
    fixture::tell(&mut model, Update::Seen(now.into()));
    let next = trueup_core::workflow::next(model.run(), model.now());
    fixture::tell(&mut model, Update::Next(Box::new(next)));
    model.stage = Stage::Close;
    let drawn = draw(&model);
    assert!(drawn.contains("⏎ freeze"), "{drawn}");
    assert!(
        drawn.contains("(P hand over)") || !drawn.contains("P hand over"),
        "{drawn}"
    );
    model.settles_at = None;
    let effects = hurry(&mut model, &["P", TEXT, "enter"]);
    nothing_came_of(&model, &effects, Stage::Close);
    // Nobody armed: what settles it asks for that first, and then goes on.
    let mut run = (*model.world.run).clone();
    run.armed = Armed::Nothing;
    model.world.run = run.into();
    assert_eq!(press(&mut model, &["n"]), []);
    assert_eq!(
        asked(press(&mut model, &["enter"])),
        [Command::Arm { write: Armed::All }]
    );
    let armed = Event::Armed {
        write: Armed::All,
        by: "jo".into(),
        host: "bridge".into(),
        pid: 7,
    };
    happens(&mut model, armed);
    let effects = update(&mut model, Msg::Engine(Update::Answered));
    let applications = vec![application];
    assert_eq!(asked(effects), [Command::Freeze { applications }]);
}

#[test]
fn arming_that_was_refused_is_followed_by_nothing() {
    let mut model = fixture::model(Point::Commit, (100, 30));
    let mut run = (*model.world.run).clone();
    run.armed = Armed::Nothing;
    model.world.run = run.into();
    // The sheet of the push: arming is asked first.
    assert_eq!(press(&mut model, &["enter"]), []);
    assert_eq!(asked(press(&mut model, &["enter"])).len(), 1);
    assert_eq!(model.after_arming, Some(Command::Push));
    let refusal = Refusal::new(2, "the Lease is held", "wait");
    fixture::tell(&mut model, Update::Refused(refusal));
    assert_eq!(update(&mut model, Msg::Engine(Update::Answered)), []);
    assert_eq!(model.after_arming, None);
}

#[test]
fn the_walk_going_on_does_not_move_an_open_filter() {
    let mut model = fixture::model(Point::Decide, (100, 30));
    press(&mut model, &["/", "text:JWT"]);
    fixture::tell(&mut model, Update::Next(Box::new(Next::Propose)));
    press(&mut model, &["text:_ALG"]);
    assert_eq!(
        (model.stage, model.list().filter.as_str()),
        (Stage::Decide, "JWT_ALG")
    );
}
