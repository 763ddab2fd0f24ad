//! What was typed into a form is not lost when it is not taken.

use super::{
    ahead::{happens, sample_decision},
    asked, draw, press, sheet,
};
use crate::{
    engine::handle::Update,
    tui::{
        fixture::{self, Point},
        model::{Model, dialog::Dialog},
        msg::Msg,
        update::update,
    },
};
use trueup_core::sheet::{Command, Confirm, Refusal};

fn filled() -> Model {
    let mut model = fixture::model(Point::Decide, (80, 24));
    let effects = press(
        &mut model,
        &[
            "x",
            "down",
            "enter",
            "text:Deployment/none",
            "enter",
            "text:5",
            "enter",
            "text:more load",
            "enter",
        ],
    );
    assert!(
        matches!(asked(effects).as_slice(), [Command::Act { .. }]),
        "{:?}",
        model.dialogs
    );
    assert!(model.dialogs.is_empty());
    model
}

fn typed(model: &Model) -> [String; 3] {
    let Some(Dialog::Prompt(prompt)) = model.dialogs.last() else {
        panic!("no form: {:?}", model.dialogs);
    };
    ["object", "replicas", "reason"].map(|label| prompt.get(label))
}

const TYPED: [&str; 3] = ["Deployment/none", "5", "more load"];

fn refused(model: &mut Model) {
    fixture::tell(
        model,
        Update::Refused(Refusal::new(
            3,
            "argocd/auth-service has no live object Deployment/none",
            "name it as KIND/NAME, such as Deployment/profile-service",
        )),
    );
    fixture::tell(model, Update::Answered);
}

#[test]
fn a_refused_form_is_open_again_with_the_reason() {
    let mut model = filled();
    refused(&mut model);
    assert_eq!(typed(&model), TYPED);
    let drawn = draw(&model);
    assert!(
        drawn.contains("has no live object Deployment/none"),
        "{drawn}"
    );
    assert!(drawn.contains("profile-service"), "the hint too\n{drawn}");
}

#[test]
fn a_form_whose_sheet_is_put_away_or_refused_is_open_again() {
    for confirmed in [false, true] {
        let mut model = filled();
        let shown = sheet(&model, Confirm::Type("INC-441".into()));
        fixture::tell(&mut model, Update::Sheet(Box::new(shown)));
        fixture::tell(&mut model, Update::Answered);
        assert!(matches!(model.dialogs.as_slice(), [Dialog::Sheet(_)]));
        // Whatever the size becomes meanwhile.
        for size in [(140, 45), (60, 20), (80, 24)] {
            update(&mut model, Msg::Resize(size.0, size.1));
            draw(&model);
        }
        if confirmed {
            press(&mut model, &["text:INC-441", "enter"]);
            assert!(model.dialogs.is_empty());
            refused(&mut model);
        } else {
            press(&mut model, &["esc"]);
        }
        assert_eq!(typed(&model), TYPED);
        press(&mut model, &["esc"]);
        assert!(model.dialogs.is_empty());
    }
}

#[test]
fn what_is_decided_anew_has_no_reason_yet() {
    let mut model = fixture::model(Point::Decide, (120, 40));
    press(&mut model, &["j"]);
    let cell = model.cell_here().unwrap();
    press(&mut model, &["3", "text:the old one", "enter"]);
    let decided = sample_decision(&model, &cell);
    happens(&mut model, decided);
    // The other way round now: nothing stands in the form, and enter signs nothing.
    model.go_to_cell(&cell);
    assert_eq!(model.cell_here(), Some(cell));
    assert_eq!(press(&mut model, &["1", "enter"]), []);
    let Some(Dialog::Prompt(form)) = model.dialogs.last() else {
        panic!("{}", draw(&model));
    };
    assert_eq!(form.get("reason"), "");
    let commands = asked(press(&mut model, &["text:the new one", "enter"]));
    assert!(
        matches!(commands.as_slice(), [Command::Decide { reason, .. }] if reason == "the new one"),
        "{commands:?}"
    );
}

/// Keys that a slow line delivers together are taken for a paste, and lose no space at its end.
#[test]
fn what_is_typed_over_a_slow_line_keeps_its_spaces() {
    let mut model = fixture::model(Point::Decide, (120, 40));
    press(&mut model, &["j", "3"]);
    for text in ["the rotated ", "key is right\n"] {
        update(&mut model, Msg::Paste(text.into()));
    }
    let Some(Dialog::Prompt(form)) = model.dialogs.last() else {
        panic!("{}", draw(&model));
    };
    assert_eq!(form.get("reason"), "the rotated key is right");
}

#[test]
fn a_refusal_of_something_else_opens_nothing() {
    let mut model = filled();
    fixture::tell(&mut model, Update::Answered);
    refused(&mut model);
    assert!(model.dialogs.is_empty());
}

#[test]
fn a_time_that_is_over_is_no_until() {
    let today = |model: &Model| model.time.to_zoned(jiff::tz::TimeZone::UTC).date();
    let mut model = fixture::model(Point::Decide, (80, 24));
    let (yesterday, today) = (today(&model).yesterday().unwrap(), today(&model));
    for (until, wrong) in [
        (yesterday.to_string(), Some("is over")),
        (model.time.to_string(), Some("is over")),
        ("soon".to_owned(), Some("write a date such as")),
        (today.to_string(), None),
    ] {
        model.dialogs.clear();
        let until = format!("text:{until}");
        press(&mut model, &["L", &until, "enter"]);
        let Some(Dialog::Prompt(prompt)) = model.dialogs.last() else {
            panic!("{until}: {:?}", model.dialogs);
        };
        match wrong {
            Some(why) => assert!(
                prompt.wrong.as_ref().is_some_and(|w| w.contains(why)),
                "{until}: {prompt:?}"
            ),
            None => assert!(prompt.title.contains("later"), "the reason: {prompt:?}"),
        }
    }
}

#[test]
fn a_field_that_was_put_off_is_handed_over_and_nothing_is_parked() {
    use trueup_core::decision::{How, Later, Take};
    let mut model = fixture::model(Point::Close, (140, 45));
    let cell = fixture::cell("auth", 0);
    let trueup_core::event::Event::Decided { mut decisions } = sample_decision(&model, &cell)
    else {
        panic!("a decision");
    };
    decisions[0].take = Take::Later(Later {
        how: How::KeepLive,
        owner: "jo".into(),
        until: "2027-01-01".into(),
    });
    happens(&mut model, trueup_core::event::Event::Decided { decisions });
    model.stage = trueup_core::workflow::Stage::Close;
    for key in ["enter", "P"] {
        press(&mut model, &[key]);
        let Some(Dialog::Prompt(form)) = model.dialogs.last() else {
            panic!("{key}\n{}", draw(&model));
        };
        assert!(form.title.starts_with("hand over"), "{}", form.title);
        assert_eq!(
            (form.get("owner"), form.get("until")),
            ("jo".into(), "2027-01-01".into())
        );
        let drawn = draw(&model);
        assert!(
            drawn.contains("auth-config") && drawn.contains(".data.JWT_ALGORITHM"),
            "{drawn}"
        );
        press(&mut model, &["esc"]);
    }
    press(
        &mut model,
        &["enter", "tab", "ctrl-u", "text:kim", "tab", "enter"],
    );
    let commands = asked(press(&mut model, &["text:kim has the key", "enter"]));
    let [Command::Decide { cells, take, .. }] = commands.as_slice() else {
        panic!("{commands:?}\n{}", draw(&model));
    };
    assert_eq!(cells, &[cell]);
    assert!(
        matches!(take, Take::Later(later) if later.owner == "kim" && later.how == How::KeepLive)
    );
}

/// The value of the form that is open, as it would be written.
fn value(model: &Model) -> String {
    let Some(Dialog::Prompt(prompt)) = model.dialogs.last() else {
        panic!("no form: {:?}", model.dialogs);
    };
    prompt.get("value")
}

const PEM: &str = "-----BEGIN KEY-----\nMIIB\tAg==\nAQAB\n-----END KEY-----\n";

#[test]
fn a_value_of_many_lines_is_taken_as_it_is() {
    use trueup_core::{decision::Take, plan::Action};
    for sent in [
        PEM.replace('\n', "\r"),
        PEM.replace('\n', "\r\n"),
        PEM.into(),
    ] {
        let mut model = fixture::model(Point::Decide, (80, 24));
        press(&mut model, &["j", "e"]);
        assert!(draw(&model).contains("typing or pasting replaces it"));
        update(&mut model, Msg::Paste(sent.clone()));
        assert_eq!(value(&model), PEM, "it takes the place of what stood there");
        let drawn = draw(&model);
        assert!(drawn.contains("4 lines, the last ends with ⏎"), "{drawn}");
        assert!(drawn.contains("-----END KEY-----⏎"), "{drawn}");
        model.settles_at = None;
        press(&mut model, &["enter"]);
        let drawn = draw(&model);
        assert!(
            drawn.contains("4 lines") && drawn.contains("END KEY"),
            "{drawn}"
        );
        let commands = asked(press(&mut model, &["text:a new key", "enter"]));
        let [
            Command::Decide {
                take: Take::Value(taken),
                ..
            },
        ] = commands.as_slice()
        else {
            panic!("{commands:?}\n{}", draw(&model));
        };
        assert_eq!(taken, PEM);

        let mut model = fixture::model(Point::Decide, (80, 24));
        press(&mut model, &["j", "x", "enter"]);
        update(&mut model, Msg::Paste(sent));
        model.settles_at = None;
        let commands = asked(press(&mut model, &["enter", "text:a new key", "enter"]));
        let [
            Command::Act {
                action: Action::Patch { value, .. },
                ..
            },
        ] = commands.as_slice()
        else {
            panic!("{commands:?}\n{}", draw(&model));
        };
        assert_eq!(value, PEM);
    }
}

#[test]
fn a_paste_that_a_field_cannot_hold_leaves_it_as_it_was() {
    let mut model = fixture::model(Point::Decide, (80, 24));
    press(&mut model, &["j", "e"]);
    let before = value(&model);
    for odd in ["a\u{1b}[31m", "a\u{200b}b", "a⏎b"] {
        update(&mut model, Msg::Paste(odd.into()));
        assert_eq!(value(&model), before);
        assert!(
            draw(&model).contains("the paste was not taken: it holds U+"),
            "{}",
            draw(&model)
        );
    }
}

#[test]
fn what_stands_in_a_value_is_replaced_by_a_key_and_edited_after_an_arrow() {
    let mut model = fixture::model(Point::Decide, (80, 24));
    press(&mut model, &["j", "e"]);
    let before = value(&model);
    assert!(!before.is_empty());
    press(&mut model, &["left", "right", "text: x "]);
    assert_eq!(
        value(&model),
        format!("{before} x "),
        "blanks are part of a value"
    );
    press(&mut model, &["esc", "e", "text:other"]);
    assert_eq!(value(&model), "other");
    press(&mut model, &["esc", "e", "backspace"]);
    assert_eq!(value(&model), "");
}

/// What a form says of its target, and fills in for it, goes with the target.
#[test]
fn a_live_action_on_another_application_is_told_what_stands_there() {
    let mut model = fixture::model(Point::Decide, (140, 45));
    press(&mut model, &["j", "x", "enter"]);
    let told = |model: &Model| {
        let Some(Dialog::Prompt(prompt)) = model.dialogs.last() else {
            panic!("no form: {:?}", model.dialogs);
        };
        let notes: Vec<&str> = prompt.notes.iter().map(|(_, note)| note.as_str()).collect();
        (prompt.get("application"), notes.join(" | "))
    };
    let (first, said) = told(&model);
    assert!(said.contains("live now: "), "{said}");
    let Some(Dialog::Prompt(prompt)) = model.dialogs.last() else {
        panic!("no form");
    };
    let (object, field) = (prompt.get("object"), prompt.get("field"));
    let (other, live) = model
        .now()
        .cells
        .iter()
        .find(|(key, _)| {
            key.application.to_string() != first
                && format!("{}/{}", key.object.kind, key.object.name) == object
                && key.field.to_string() == field
        })
        .map(|(key, cell)| (key.application.to_string(), cell.sides.live.clone()))
        .expect("a copy");
    let Some(Dialog::Prompt(prompt)) = model.dialogs.last_mut() else {
        panic!("no form");
    };
    prompt.at = 0;
    press(&mut model, &["ctrl-u", "text:none"]);
    assert!(!told(&model).1.contains("live now: "), "{:?}", told(&model));
    press(&mut model, &["ctrl-u", &format!("text:{other}")]);
    let live = live
        .as_ref()
        .map_or("(absent)".to_owned(), trueup_core::text::value);
    let (application, said) = told(&model);
    assert_eq!(application, other);
    assert!(said.contains(&format!("live now: {live} · ")), "{said}");
}

/// Thawed, nothing keeps a field as it is: the form says so, and how to freeze it.
#[test]
fn nothing_is_put_off_to_stay_frozen_where_nothing_is_frozen() {
    for (point, stays) in [(Point::Decide, true), (Point::Close, false)] {
        let mut model = fixture::model(point, (140, 45));
        let cell = fixture::cell("auth", 0);
        let trueup_core::event::Event::Decided { mut decisions } = sample_decision(&model, &cell)
        else {
            panic!("a decision");
        };
        decisions[0].take = trueup_core::decision::Take::Later(trueup_core::decision::Later {
            how: trueup_core::decision::How::KeepLive,
            owner: "jo".into(),
            until: "2027-01-01".into(),
        });
        happens(&mut model, trueup_core::event::Event::Decided { decisions });
        model.stage = trueup_core::workflow::Stage::Close;
        model.derive_run();
        let at = model
            .derived
            .owed
            .iter()
            .position(|owed| owed.id.starts_with("later:"));
        model.list_mut().cursor = at.unwrap();
        press(
            &mut model,
            &[
                "enter",
                "ctrl-u",
                "text:stayFrozen",
                "enter",
                "enter",
                "enter",
            ],
        );
        let Some(Dialog::Prompt(form)) = model.dialogs.last() else {
            panic!("{point:?}: {:?} {:?}", model.dialogs, model.toasts);
        };
        let wrong = form.wrong.as_deref().unwrap_or_default();
        match stays {
            true => assert_eq!(form.fields[0].label, "reason", "{form:?}"),
            false => assert!(
                wrong.contains("is not frozen (thawed)") && wrong.contains("trueup freeze"),
                "{form:?}"
            ),
        }
    }
}
