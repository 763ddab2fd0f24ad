//! Secret values: shown when asked for by hand, for a while, and nowhere else.

use super::{draw, hurry, press, shot};
use crate::{
    engine::handle::{Request, Revealed, Update},
    tui::{
        fixture::{self, Point},
        keymap,
        model::{Model, dialog::Dialog},
        msg::{Effect, Msg},
        update::update,
    },
};
use serde_json::json;
use std::sync::Arc;
use trueup_core::{decision::CellKey, object::redact};

const VALUE: &str = "hunter2-of-the-night";

/// The sample incident with its ConfigMaps as Secrets.
fn model(size: (u16, u16)) -> Model {
    let mut model = fixture::model(Point::Decide, size);
    let mut now = (*model.world.now).clone();
    let secret = |key: &CellKey| {
        let mut key = key.clone();
        key.object.kind = "Secret".into();
        key
    };
    now.cells = now
        .cells
        .into_iter()
        .map(|(key, mut cell)| {
            cell.sides.live = Some(json!({"secret": "hmac:0123456789ab"}));
            (secret(&key), cell)
        })
        .collect();
    for question in &mut now.questions {
        question.kind = "Secret".into();
        question.cells = question.cells.iter().map(secret).collect();
    }
    fixture::tell(&mut model, Update::Seen(Arc::new(now)));
    fixture::tell(
        &mut model,
        Update::Freshness(std::time::Duration::from_secs(1)),
    );
    model
}

fn answer(cells: &[CellKey], value: &str) -> Update {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"k": value}});
    let git = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"k": "old\n"}});
    let one = |cell: &CellKey| Revealed {
        cell: cell.clone(),
        live: redact::plain(&secret, "k"),
        git: redact::plain(&git, "k").map(|plain| (plain, "deploy/auth/secret.yaml".into())),
    };
    Update::Revealed(cells.iter().map(one).collect())
}

fn asked(effects: Vec<Effect>) -> Option<Vec<CellKey>> {
    effects.into_iter().find_map(|effect| match effect {
        Effect::Send(Request::Reveal(cells)) => Some(cells),
        _ => None,
    })
}

#[test]
fn the_key_is_there_for_secrets_alone() {
    let names = |model: &Model| {
        keymap::footer(model)
            .iter()
            .any(|(b, _, _)| b.keys == ["r"])
    };
    let mut plain = fixture::model(Point::Decide, (140, 45));
    assert!(!names(&plain));
    press(&mut plain, &["r"]);
    assert!(plain.dialogs.is_empty());
    assert!(draw(&plain).contains("no secret value is under the cursor"));
    assert!(names(&model((140, 45))));
}

#[test]
fn a_value_is_shown_after_a_choice_and_goes_by_itself() {
    for size in super::SIZES {
        let mut model = model(size);
        assert_eq!(
            asked(press(&mut model, &["r", "enter"])),
            None,
            "no default"
        );
        model.toasts.clear();
        shot("reveal-asks", &model);
        let cells = asked(press(&mut model, &["down", "enter"])).unwrap();
        assert_eq!(cells.len(), 1);
        let until = model.time + jiff::SignedDuration::from_secs(30);
        fixture::tell(&mut model, answer(&cells, VALUE));
        fixture::tell(&mut model, Update::Answered);
        shot("revealed", &model);

        // Not copied by any key, and no key of the screen below works.
        let effects = hurry(&mut model, &["y", "Y", "1", "n", ":"]);
        assert!(effects.is_empty(), "{effects:?}");
        assert!(draw(&model).contains(VALUE));

        update(
            &mut model,
            Msg::Tick(until - jiff::SignedDuration::from_secs(1)),
        );
        assert!(draw(&model).contains(VALUE));
        update(&mut model, Msg::Tick(until));
        assert!(model.dialogs.is_empty());
        assert!(!draw(&model).contains(VALUE));
        assert!(!format!("{model:?}").contains(VALUE));
    }
}

#[test]
fn esc_hides_it_and_nothing_keeps_it() {
    let mut model = model((80, 24));
    let cells = asked(press(&mut model, &["r", "down", "enter"])).unwrap();
    fixture::tell(&mut model, answer(&cells, VALUE));
    assert!(
        !format!("{model:?}").contains(VALUE),
        "a debug form has no value"
    );
    press(&mut model, &["esc"]);
    assert!(model.dialogs.is_empty());
    assert!(!draw(&model).contains(VALUE));
}

#[test]
fn a_value_that_comes_after_it_was_given_up_is_not_shown() {
    let mut model = model((80, 24));
    let cells = asked(press(&mut model, &["r", "down", "enter"])).unwrap();
    hurry(&mut model, &["esc"]);
    fixture::tell(&mut model, answer(&cells, VALUE));
    assert!(model.dialogs.is_empty());
    assert!(!draw(&model).contains(VALUE));
}

#[test]
fn a_value_is_inert_and_long_ones_are_scrolled() {
    let mut model = model((80, 24));
    let cells = asked(press(&mut model, &["r", "down", "enter"])).unwrap();
    let long = (0..60).map(|n| format!("line-{n} \u{1b}[2J\u{202e}\n"));
    fixture::tell(&mut model, answer(&cells, &long.collect::<String>()));
    let drawn = draw(&model);
    assert!(drawn.contains("line-0") && !drawn.contains("line-59"));
    assert!(
        !drawn
            .chars()
            .any(|c| c != '\n' && c.is_control() || c == '\u{202e}')
    );
    for _ in 0..100 {
        press(&mut model, &["j"]);
    }
    assert!(draw(&model).contains("line-59"));
    assert!(matches!(model.dialogs.as_slice(), [Dialog::Secret(_)]));
}
