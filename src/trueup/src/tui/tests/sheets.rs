//! What a sheet takes for a confirmation, and what it does not.

use super::{super::model::Model, *};
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;
use trueup_core::event::Guard;

#[test]
fn a_sheet_is_confirmed_by_its_token_typed_and_by_nothing_else() {
    let mut model = fixture::model(Point::Canary, (100, 40));
    let token = Confirm::Type("INC-441".into());
    let show = |model: &mut Model| {
        let sheet = sheet(model, token.clone());
        fixture::tell(model, Update::Sheet(Box::new(sheet)));
    };
    show(&mut model);
    assert!(press(&mut model, &["enter"]).is_empty());
    assert!(press(&mut model, &["text:inc-441", "enter"]).is_empty());
    update(&mut model, Msg::Paste("INC-441".into()));
    assert!(press(&mut model, &["enter"]).is_empty());
    assert_eq!(
        press(&mut model, &["text:INC-441", "enter"]),
        [Effect::Send(Request::Confirm {
            sheet: Digest::of(b"sheet"),
            typed: "INC-441".into()
        })]
    );
    show(&mut model);
    assert_eq!(
        press(&mut model, &["text:INC-441", "esc"]),
        [Effect::Send(Request::Dismiss)]
    );
    // Elsewhere than in production: enter at once is No.
    let button = sheet(&model, Confirm::Button);
    fixture::tell(&mut model, Update::Sheet(Box::new(button.clone())));
    assert_eq!(
        press(&mut model, &["enter"]),
        [Effect::Send(Request::Dismiss)]
    );
    fixture::tell(&mut model, Update::Sheet(Box::new(button)));
    assert!(matches!(
        press(&mut model, &["tab", "enter"]).as_slice(),
        [Effect::Send(Request::Confirm { .. })]
    ));
}

#[test]
fn what_does_nothing_on_a_sheet_is_not_offered_and_says_what_would() {
    for size in SIZES {
        let mut model = fixture::model(Point::Canary, size);
        let shown = sheet(&model, Confirm::Type("INC-441".into()));
        fixture::tell(&mut model, Update::Sheet(Box::new(shown)));
        for key in ["n", "q", "x", "i"] {
            assert_eq!(press(&mut model, &[key]), []);
            let drawn = draw(&model);
            assert!(
                drawn.contains("type INC-441 to confirm; esc leaves"),
                "{key}\n{drawn}"
            );
            assert!(
                !drawn.contains("q quit") && !drawn.contains("\n n "),
                "{drawn}"
            );
        }
        // What is typed stands, whatever comes with it at once.
        press(&mut model, &["text:INC"]);
        assert!(!draw(&model).contains("to confirm; esc"));
        update(&mut model, Msg::Paste("-441\n".into()));
        assert!(
            draw(&model).contains("INC stands, go on typing"),
            "{}",
            draw(&model)
        );
        assert_eq!(press(&mut model, &["ctrl-l"]), [Effect::Redraw]);
        assert_eq!(press(&mut model, &["text:-441", "enter"]).len(), 1);
    }
}

/// A sheet that was asked for twice keeps what was typed for it; one on which anything is otherwise does not.
#[test]
fn a_token_is_typed_for_one_sheet() {
    let first = |model: &Model| {
        let mut first = sheet(model, Confirm::Type("INC-441".into()));
        first.guards = vec![Guard {
            resource_version: Some("41".into()),
            facts: [("uid".to_owned(), json!("a"))].into(),
        }];
        first
    };
    type Case = (&'static str, fn(&mut Sheet), bool);
    let cases: [Case; 8] = [
        ("nothing", |_| {}, true),
        (
            "read again",
            |s| s.read_at += SignedDuration::from_secs(3),
            true,
        ),
        (
            "a flap of the status",
            |s| s.guards[0].resource_version = Some("42".into()),
            true,
        ),
        (
            "another object of that name",
            |s| {
                s.guards[0].facts.insert("uid".into(), json!("b"));
            },
            false,
        ),
        ("other words", |s| s.will[0].push('!'), false),
        ("a warning", |s| s.warnings.push("it grew".into()), false),
        ("another title", |s| s.title.push('!'), false),
        (
            "another write",
            |s| {
                s.effects.push(trueup_core::event::Effect::Thaw {
                    application: trueup_core::transcript::sample::app("like"),
                    automated: json!({}),
                    patch: json!([]),
                    operation_before: None,
                });
            },
            false,
        ),
    ];
    for (what, change, same) in cases {
        let mut model = fixture::model(Point::Canary, (100, 40));
        let shown = first(&model);
        fixture::tell(&mut model, Update::Sheet(Box::new(shown.clone())));
        press(&mut model, &["text:INC-441"]);
        let mut next = shown;
        next.id = Digest::of(what.as_bytes());
        change(&mut next);
        let id = next.id.clone();
        fixture::tell(&mut model, Update::Sheet(Box::new(next)));
        let sent = Effect::Send(Request::Confirm {
            sheet: id,
            typed: "INC-441".into(),
        });
        let wanted = if same { vec![sent] } else { vec![] };
        assert_eq!(press(&mut model, &["enter"]), wanted, "{what}");
    }
}

#[test]
fn a_sheet_that_does_not_fit_is_read_to_the_end_first() {
    let mut model = fixture::model(Point::Canary, (80, 24));
    let mut long = sheet(&model, Confirm::Type("INC-441".into()));
    long.will = (0..60).map(|n| format!("change {n}")).collect();
    fixture::tell(&mut model, Update::Sheet(Box::new(long)));
    assert!(press(&mut model, &["text:INC-441", "enter"]).is_empty());
    let mut effects = Vec::new();
    for _ in 0..20 {
        effects = press(&mut model, &["enter"]);
        if !effects.is_empty() {
            break;
        }
    }
    assert!(matches!(
        effects.as_slice(),
        [Effect::Send(Request::Confirm { .. })]
    ));
}

#[derive(Clone, Debug)]
enum Input {
    Key(&'static str),
    Letter(char),
    Paste(String),
    Wheel(i8),
    Size(u16, u16),
    Sheet { production: bool, revision: u8 },
    Token,
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let keys: Vec<&'static str> = TABLE.iter().flat_map(|b| b.keys.iter().copied()).collect();
    let one = prop_oneof![
        8 => proptest::sample::select(keys).prop_map(Input::Key),
        3 => any::<char>().prop_map(Input::Letter),
        1 => ".{0,12}".prop_map(Input::Paste),
        1 => Just(Input::Paste("INC-441".into())),
        1 => (-3i8..3).prop_map(Input::Wheel),
        1 => (1u16..160, 1u16..60).prop_map(|(w, h)| Input::Size(w, h)),
        2 => (any::<bool>(), 0u8..2).prop_map(|(production, revision)| Input::Sheet { production, revision }),
        1 => Just(Input::Token),
    ];
    proptest::collection::vec(one, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Random keys, pastes and sizes: no panic, and never a confirmation in production without the token typed.
    #[test]
    fn nothing_is_confirmed_by_accident(point in 0..Point::ALL.len(), inputs in inputs()) {
        let mut model = fixture::model(Point::ALL[point], (100, 30));
        let mut typed = String::new();
        for input in inputs {
            let in_sheet = matches!(model.dialogs.last(),
                Some(Dialog::Sheet(s)) if matches!(s.sheet.confirm, Confirm::Type(_)));
            let effects = match input {
                Input::Key(key) => {
                    let c = event(key).code.as_char();
                    typed.extend(c.filter(|_| in_sheet && !key.starts_with("ctrl-") && !key.starts_with("alt-")));
                    press(&mut model, &[key])
                }
                Input::Letter(c) => {
                    if in_sheet { typed.push(c); }
                    update(&mut model, Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)))
                }
                Input::Token => {
                    if in_sheet { typed.push_str("INC-441"); }
                    press(&mut model, &["text:INC-441"])
                }
                Input::Paste(text) => update(&mut model, Msg::Paste(text)),
                Input::Wheel(by) => update(&mut model, Msg::Wheel(by)),
                Input::Size(w, h) => update(&mut model, Msg::Resize(w, h)),
                Input::Sheet { production, revision } => {
                    let confirm = if production { Confirm::Type("INC-441".into()) } else { Confirm::Button };
                    let mut sheet = sheet(&model, confirm);
                    sheet.will.push(format!("revision {revision}"));
                    // The very sheet that is open keeps what was typed for it; any other wants its own.
                    let open = model.dialogs.iter().any(|dialog| matches!(dialog, Dialog::Sheet(s) if s.sheet.will == sheet.will && s.sheet.confirm == sheet.confirm));
                    if !open {
                        typed.clear();
                    }
                    update(&mut model, Msg::Engine(Update::Sheet(Box::new(sheet))))
                }
            };
            for effect in &effects {
                if let Effect::Send(Request::Confirm { typed: sent, .. }) = effect
                    && !sent.is_empty()
                {
                    prop_assert!(typed.contains("INC-441"), "typed: {typed:?}");
                }
            }
            draw(&model);
        }
    }
}

/// As the engine words it for an object that Git does not have.
#[test]
fn the_sheet_of_a_deletion_is_read_in_one_piece() {
    for size in SIZES {
        let mut model = fixture::model(Point::Canary, size);
        let mut shown = sheet(&model, Confirm::Type("INC-441".into()));
        shown.title = "delete ConfigMap/stray in like".into();
        shown.objects = vec!["ConfigMap/stray in like".into()];
        shown.will = vec![
            "delete ConfigMap/stray in like (uid 060158ad-1b71-4b00-8250-ec021ebce403, made 2026-11-21T15:53:00Z) from the cluster, in the background".into(),
            "as mara decided: left behind by a script".into(),
        ];
        shown.warnings = vec![
            "a deletion cannot be taken back: only another object of its name can be made".into(),
        ];
        shown.assumes = vec![
            "the same object with the same content as read now".into(),
            "Git does not have it, so that no sync makes it again".into(),
        ];
        shown.undo = vec!["printf '%s' '{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"stray\",\"namespace\":\"like\"},\"data\":{\"left\":\"behind\"}}' | kubectl create -f - (a new object: what it owned is not brought back)".into()];
        shown.by_hand = vec!["kubectl -n like delete configmap stray".into()];
        fixture::tell(&mut model, Update::Sheet(Box::new(shown)));
        shot("sheet-delete", &model);
    }
}

/// What somebody saw, they saw before it was written over: the form says so at once, and is not taken.
#[test]
fn an_attestation_is_not_taken_of_what_is_written_over() {
    use super::ahead::happens;
    use trueup_core::event::Event;
    for size in SIZES {
        let mut model = fixture::model(Point::Attest, size);
        press(&mut model, &["n", "text:fresh auth flows, three of them"]);
        let cell = model.run().decisions.keys().next().unwrap().clone();
        let mut now = (*model.world.now).clone();
        let before = now.clone();
        let seen = now.cells.get_mut(&cell).unwrap();
        seen.sides.live = Some("overwritten".into());
        let sides = seen.sides.clone();
        happens(
            &mut model,
            Event::Adopted {
                application: Some(cell.application.clone()),
                what: "live went elsewhere".into(),
                who: "eve".into(),
                cell: Some(cell.clone()),
                sides: Some(sides),
            },
        );
        fixture::tell(&mut model, Update::Seen(now.into()));
        let drawn = draw(&model);
        assert!(drawn.contains("is not as it was synced"), "{drawn}");
        assert_eq!(press(&mut model, &["enter"]), []);
        let drawn = draw(&model);
        assert!(drawn.contains("is not as it was synced"), "{drawn}");
        let sides = before.cells[&cell].sides.clone();
        fixture::tell(&mut model, Update::Seen(before.into()));
        happens(
            &mut model,
            Event::StrayedBack {
                cell,
                what: "live is back".into(),
                who: "eve".into(),
                sides,
            },
        );
        press(&mut model, &["text: later"]);
        let asked = asked(press(&mut model, &["enter"]));
        assert!(
            matches!(asked.as_slice(), [Command::Attest { .. }]),
            "{}",
            draw(&model)
        );
    }
}

/// What a sheet assumes is over while it is open: it says so at once, and cannot be confirmed until it is so again.
#[test]
fn a_sheet_that_is_overtaken_says_so_and_is_not_confirmed() {
    use super::ahead::happens;
    use trueup_core::{event::Event, transcript::sample};
    let confirm = || Confirm::Type("INC-441".into());
    for size in SIZES {
        let mut model = fixture::model(Point::Canary, size);
        let mut shown = sheet(&model, confirm());
        let Next::Sync { application } = model.world.next.clone() else {
            panic!("{:?}", model.world.next);
        };
        shown.command = Command::Sync { application };
        fixture::tell(&mut model, Update::Sheet(Box::new(shown)));
        let now = model.world.now.clone();
        fixture::tell(&mut model, Update::Seen(now));
        assert!(!draw(&model).contains("refused"), "{}", draw(&model));
        press(&mut model, &["text:INC"]);
        happens(
            &mut model,
            Event::FreezeLost {
                application: sample::app("profile"),
                why: "somebody switched auto-sync on".into(),
            },
        );
        let drawn = draw(&model);
        for said in [
            "! no longer so, it would be refused: the freeze of",
            "nothing can be confirmed here as things stand now",
        ] {
            assert!(drawn.contains(said), "{said}\n{drawn}");
        }
        // Neither key by key nor at once.
        assert_eq!(press(&mut model, &["text:INC-441", "enter"]), []);
        let drawn = draw(&model);
        assert!(drawn.contains("nothing was done: esc"), "{drawn}");
        assert_eq!(
            press(&mut model, &["esc"]),
            [Effect::Send(Request::Dismiss)]
        );
    }
    // What holds again can be confirmed, by its whole token.
    let mut model = fixture::model(Point::Thaw, (80, 24));
    let Next::Thaw { applications } = model.world.next.clone() else {
        panic!("{:?}", model.world.next);
    };
    let mut shown = sheet(&model, confirm());
    shown.command = Command::Thaw {
        applications: applications.clone(),
    };
    fixture::tell(&mut model, Update::Sheet(Box::new(shown)));
    press(&mut model, &["text:INC"]);
    let before = model.world.now.clone();
    let mut now = (*before).clone();
    now.apps.get_mut(&applications[0]).unwrap().sync = "OutOfSync".into();
    fixture::tell(&mut model, Update::Seen(now.into()));
    let drawn = draw(&model);
    assert!(drawn.contains("is OutOfSync:"), "{drawn}");
    assert!(!drawn.contains("goes ahead"), "{drawn}");
    assert_eq!(press(&mut model, &["enter"]), []);
    fixture::tell(&mut model, Update::Seen(before));
    assert!(!draw(&model).contains("refused"), "{}", draw(&model));
    assert_eq!(press(&mut model, &["text:-441", "enter"]), []);
    assert_eq!(press(&mut model, &["text:INC-441", "enter"]).len(), 1);
}

/// Somebody types at 25 keys a second over a line that stalls: some of it comes at once, the rest key by key.
#[test]
fn the_end_of_a_token_that_came_in_pieces_is_no_wrong_token() {
    const TOKEN: &str = "INC-2026-11-22-auth";
    let mut model = fixture::model(Point::Canary, (80, 24));
    let shown = sheet(&model, Confirm::Type(TOKEN.into()));
    fixture::tell(&mut model, Update::Sheet(Box::new(shown)));
    let later = |model: &mut Model, millis: i64| {
        let at = model.time + SignedDuration::from_millis(millis);
        update(model, Msg::Tick(at));
    };
    update(&mut model, Msg::Paste(TOKEN.into()));
    let drawn = draw(&model);
    assert!(
        drawn.contains("keys all at once are a paste, which confirms nothing: type it "),
        "{drawn}"
    );
    press(&mut model, &["text:INC-"]);
    update(&mut model, Msg::Paste("2026-11-2".into()));
    let mut effects = Vec::new();
    for key in ["2", "-", "a", "u", "t", "h", "enter"] {
        later(&mut model, 40);
        effects.extend(hurry(&mut model, &[key]));
    }
    assert_eq!(effects, []);
    let drawn = draw(&model);
    assert!(drawn.contains("INC- stands, go on typing"), "{drawn}");
    later(&mut model, 400);
    assert_eq!(
        hurry(&mut model, &["text:2026-11-22-auth", "enter"]).len(),
        1
    );
}

/// That it was confirmed is not said any more of what was refused then.
#[test]
fn what_was_refused_is_not_called_confirmed() {
    let mut model = fixture::model(Point::Canary, (140, 45));
    let shown = sheet(&model, Confirm::Button);
    fixture::tell(&mut model, Update::Sheet(Box::new(shown)));
    model.settles_at = None;
    press(&mut model, &["tab", "enter"]);
    assert!(draw(&model).contains("confirmed: "), "{}", draw(&model));
    fixture::tell(
        &mut model,
        Update::Refused(Refusal::new(
            2,
            "nothing was pushed: branch main moved meanwhile",
            "it is built anew",
        )),
    );
    let drawn = draw(&model);
    assert!(
        drawn.contains("refused: rule 2: nothing was pushed"),
        "{drawn}"
    );
    assert!(!drawn.contains("confirmed: "), "{drawn}");
}
