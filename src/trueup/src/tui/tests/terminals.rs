//! Whatever the terminal, the text and the amount, a screen is drawn and says the same.

use super::*;

#[test]
fn without_colour_nothing_is_coloured_and_every_theme_draws() {
    for name in [ThemeName::Dark, ThemeName::Light, ThemeName::HighContrast] {
        for no_color in [false, true] {
            let mut model = fixture::model(Point::Gate, (100, 30));
            model.theme = Theme {
                name,
                no_color,
                ascii: false,
            };
            let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
            terminal.draw(|frame| view(&model, frame)).unwrap();
            let coloured = terminal.backend().buffer().content().iter().any(|cell| {
                cell.fg != ratatui::style::Color::Reset || cell.bg != ratatui::style::Color::Reset
            });
            assert_eq!(coloured, !no_color, "{name:?}");
        }
    }
}

#[test]
fn hostile_text_stays_inert_on_every_screen() {
    let mut now = fixture::now(
        Point::Decide,
        &fixture::model(Point::Decide, (80, 24)).world.run,
    );
    let evil = "x\u{1b}[2J\u{202e}\u{200b}\r\ny";
    for question in &mut now.questions {
        question.evidence.push(evil.into());
        question.class = evil.into();
    }
    for cell in now.cells.values_mut() {
        cell.writer = evil.into();
        cell.sides.live = Some(evil.into());
    }
    for app in now.apps.values_mut() {
        app.health = evil.into();
        app.conditions = vec![evil.into()];
        app.owner = evil.into();
    }
    now.errors.push(evil.into());
    let mut model = fixture::model(Point::Decide, (120, 40));
    fixture::tell(&mut model, Update::Seen(now.into()));
    for stage in Stage::ALL {
        model.stage = stage;
        for keys in [&["n"][..], &["esc", "y"], &["esc", "?"]] {
            press(&mut model, keys);
            let drawn = draw(&model);
            let bad = drawn.chars().find(|c| {
                *c != '\n'
                    && (c.is_control()
                        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'))
            });
            assert_eq!(bad, None, "{stage:?}\n{drawn}");
        }
        press(&mut model, &["esc"]);
    }
}

#[test]
fn what_is_frozen_is_the_last_thing_to_leave_the_header() {
    let mut model = fixture::model(Point::Decide, (80, 24));
    let mut run = (*model.world.run).clone();
    run.incident = Some("INC-2026-11-21-prod-eu-1-2".parse().unwrap());
    run.pin.context = "gke_production-eu_europe-west3_cluster-1".into();
    let head = |model: &Model| draw(model).lines().next().unwrap_or_default().to_owned();
    model.world.run = run.clone().into();
    model.derive_run();
    assert!(head(&model).contains("3 frozen"), "{}", head(&model));
    let mut now = (*model.world.now).clone();
    for key in ["like", "auth"] {
        let key = trueup_core::transcript::sample::app(key);
        let app = run.apps.get_mut(&key);
        app.unwrap().freeze = trueup_core::run::Freeze::Lost { why: "x".into() };
        now.apps.get_mut(&key).unwrap().note = None;
    }
    model.world.run = run.into();
    model.derive_run();
    let elsewhere = head(&model);
    assert!(
        elsewhere.contains("2 held elsewhere") && !elsewhere.contains("LOST"),
        "the notes of another incident are on them: {elsewhere}"
    );
    model.world.now = now.into();
    fixture::tell(&mut model, Update::Freshness(Duration::from_secs(4000)));
    let head = head(&model);
    for part in ["2 freeze LOST", "1 frozen", "ARMED", "STALE", "INC-", "gke"] {
        assert!(head.contains(part), "{part}: {head}");
    }
}

#[test]
fn what_may_be_thawed_already_is_not_shown_as_frozen() {
    use trueup_core::event::{Effect, Event};
    let records = trueup_core::transcript::sample::records();
    let thaws = |event: &Event| {
        matches!(
            event,
            Event::Intended {
                effect: Effect::Thaw { .. },
                ..
            }
        )
    };
    let at = records.iter().position(|record| thaws(&record.event));
    let mut model = fixture::model(Point::Thaw, (120, 40));
    let run = trueup_core::run::Run::fold(&records[..=at.unwrap()]);
    let ops = run.open_ops().map(|(id, _)| id.clone()).collect();
    model.world.next = trueup_core::workflow::Next::LookUp { ops };
    model.world.run = run.into();
    model.derive_run();
    model.stage = Stage::Thaw;
    let drawn = draw(&model);
    let head = drawn.lines().next().unwrap_or_default();
    assert!(
        head.contains("1 write unknown") && head.contains("2 frozen"),
        "{drawn}"
    );
    assert!(drawn.contains("? not known"), "{drawn}");
    let line = crate::tui::model::facts::status_line(&model);
    assert!(line.contains("2 frozen · 1 write unknown"), "{line}");
    model.stage = Stage::Freeze;
    let drawn = draw(&model);
    assert!(drawn.contains("? not known"), "{drawn}");
    // While this process is at it, it is under way.
    model.world.next = trueup_core::workflow::Next::Thaw {
        applications: Vec::new(),
    };
    assert!(!draw(&model).contains("write unknown"));
}

#[test]
fn what_was_refused_goes_once_it_is_settled() {
    let mut model = fixture::model(Point::Decide, (100, 30));
    let said = |model: &Model| {
        let refused = |t: &&crate::tui::model::Toast| t.text.starts_with("refused");
        model.toasts.iter().find(refused).map(|t| t.text.clone())
    };
    let refusal = trueup_core::rules::check(model.run(), model.now(), &Command::Push).unwrap_err();
    fixture::tell(&mut model, Update::Refused(refusal));
    let text = said(&model).unwrap();
    assert!(text.contains("not decided yet"), "{text}");
    assert!(!text.contains("trueup resume"), "{text}");
    let at = model.time + jiff::SignedDuration::from_secs(5);
    update(&mut model, Msg::Tick(at));
    assert!(said(&model).is_some(), "nothing has changed");
    let decision = ahead::sample_decision(&model, &fixture::cell("auth", 0));
    ahead::happens(&mut model, decision);
    assert_eq!(said(&model), None);
}

/// A refusal that four rows do not hold is read on a page, to its last word.
#[test]
fn a_long_refusal_is_readable_to_its_end() {
    let long = |at: (u16, u16)| {
        let mut model = fixture::model(Point::Decide, at);
        let reason = "one two three four five six seven ".repeat(14);
        let refusal = trueup_core::sheet::Refusal::new(3, reason, "the way out is this one");
        fixture::tell(&mut model, Update::Refused(refusal));
        draw(&model)
    };
    let low = long((80, 24));
    assert!(
        low.contains("the way out is") && low.contains("this one"),
        "{low}"
    );
    assert_eq!(low.matches("seven").count(), 14, "{low}");
}

#[test]
fn no_size_panics() {
    let models: Vec<Model> = Point::ALL
        .into_iter()
        .map(|point| fixture::model(point, (80, 24)))
        .collect();
    for width in 1..=60 {
        for height in 1..=30 {
            let mut model = models[usize::from(width + height) % models.len()].clone();
            update(&mut model, Msg::Resize(width, height));
            draw(&model);
        }
    }
}

#[test]
fn twenty_thousand_divergences_are_drawn_and_filtered() {
    let base = fixture::model(Point::Decide, (120, 40));
    let mut now = (*base.world.now).clone();
    let question = now.questions[0].clone();
    let value = now.cells.values().next().unwrap().clone();
    for n in 0..20_000 {
        let mut cell = question.cells[0].clone();
        cell.object.name = format!("object-{n}");
        let mut question = question.clone();
        question.id = format!("many-{n}");
        question.group = None;
        question.name = cell.object.name.clone();
        question.decide_with.clear();
        question.cells = vec![cell.clone()];
        now.cells.insert(cell, value.clone());
        now.questions.push(question);
    }
    let mut model = base;
    fixture::tell(&mut model, Update::Seen(now.into()));
    assert!(model.rows() > 40_000);
    for keys in [["j", "G"], ["k", "g"], ["ctrl-d", "ctrl-u"]] {
        press(&mut model, &keys);
        draw(&model);
    }
    press(&mut model, &["/", "text:object-1999"]);
    assert!(model.rows() < 40_000 && model.rows() > 2);
}

#[test]
fn in_ascii_every_screen_is_ascii_and_says_the_same() {
    for point in Point::ALL {
        let mut model = fixture::model(point, (80, 24));
        let whole = draw(&model);
        model.theme.ascii = true;
        let plain = draw(&model);
        assert!(plain.is_ascii(), "{plain}");
        let letters =
            |text: &str| -> String { text.chars().filter(char::is_ascii_alphabetic).collect() };
        // Signs become letters here and there, letters never anything else.
        assert!(letters(&plain).len() >= letters(&whole).len());
    }
}

#[test]
fn what_is_owed_stays_in_the_header_beside_a_lost_freeze() {
    let mut model = fixture::model(Point::Canary, (80, 24));
    let mut run = (*model.world.run).clone();
    let app = run
        .apps
        .get_mut(&trueup_core::transcript::sample::app("like"));
    app.unwrap().freeze = trueup_core::run::Freeze::Lost { why: "x".into() };
    model.world.run = run.into();
    model.derive_run();
    let drawn = draw(&model);
    let head = drawn.lines().next().unwrap_or_default();
    for part in [
        "INC-441",
        "ARMED",
        "1 freeze LOST",
        "2 frozen",
        "3 owed",
        "live",
    ] {
        assert!(head.contains(part), "{part}: {head}");
    }
    model.stage = trueup_core::workflow::Stage::Thaw;
    assert!(draw(&model).contains("! freeze lost"), "{}", draw(&model));
}
