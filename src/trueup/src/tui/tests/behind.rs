//! What the walk goes on without: parked, held by another incident, owed by a closed one.

use super::*;
use ahead::happens;
use serde_json::json;
use trueup_core::{
    event::{Event, Obligation},
    object::identity::AppKey,
    transcript::sample,
};

fn park(model: &mut Model, name: &str) -> AppKey {
    let application = sample::app(name);
    let parked = Event::Parked {
        application: application.clone(),
        owner: "sam".into(),
        until: "2026-12-01".into(),
        reason: "nobody of the team is awake".into(),
        by: "jo".into(),
    };
    happens(model, parked);
    application
}

fn rail(model: &Model) -> String {
    draw(model).lines().nth(1).unwrap().trim().to_owned()
}

#[test]
fn the_rail_ticks_nothing_for_what_is_parked() {
    for size in SIZES {
        let mut model = fixture::model(Point::Decide, size);
        // Everything but the parked one goes on.
        let like = park(&mut model, "like");
        fixture::look(&mut model, Point::Decide);
        assert_eq!(model.derived.behind[&like].stage, Stage::Decide);
        for stage in [Stage::Commit, Stage::Sync, Stage::Thaw, Stage::Close] {
            let next = match stage {
                Stage::Close => Next::Close,
                stage => Next::Arm {
                    write: Armed::All,
                    why: String::new(),
                    stage,
                },
            };
            fixture::tell(&mut model, Update::Next(Box::new(next)));
            let rail = rail(&model);
            assert!(rail.contains("Freeze ✓"), "{rail}");
            let short = size.0 == 80 && rail.contains("Decide 2/3");
            assert!(short || rail.contains("Decide ✓ 2 · 1 parked"), "{rail}");
        }
        let rail = rail(&model);
        for stage in ["Commit", "Sync", "Thaw"] {
            let said = match size.0 {
                80 => format!("{stage} 2/3"),
                _ => format!("{stage} ✓ 2"),
            };
            assert!(rail.contains(&said), "{rail}");
        }
        // Nor once the incident is closed.
        fixture::tell(&mut model, Update::Next(Box::new(Next::Closed)));
        let rail = self::rail(&model);
        assert!(rail.contains("2/3") || rail.contains("1 parked"), "{rail}");
        assert!(rail.contains("Close ✓"), "{rail}");
    }
}

/// One field of auth stays frozen, like is parked, and neither is synced.
#[test]
fn what_is_left_out_of_the_syncs_is_said_with_why_and_what_brings_it_in() {
    let flat = |text: String| {
        let text = text.replace(['\n', '│'], " ");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for size in SIZES {
        let mut model = fixture::model(Point::Canary, size);
        let cell = fixture::cell("auth", 0);
        let Event::Decided { mut decisions } = super::ahead::sample_decision(&model, &cell) else {
            unreachable!("it is one");
        };
        decisions[0].take = trueup_core::decision::Take::Later(trueup_core::decision::Later {
            how: trueup_core::decision::How::StayFrozen,
            owner: "sam".into(),
            until: "2026-12-01".into(),
        });
        happens(&mut model, Event::Decided { decisions });
        park(&mut model, "like");
        fixture::look(&mut model, Point::Canary);
        model.stage = Stage::Sync;
        for (name, said) in [
            (
                "auth",
                "left out: .data.JWT_ALGORITHM of auth-config stays frozen as it is (sam, until 2026-12-01), and a sync would \
                 write all of auth-service. Decided on anew (Decide), it comes in",
            ),
            (
                "like",
                "left out: parked, sam has it until 2026-12-01. Taken up again (P), it comes in",
            ),
        ] {
            let at = model.derived.sync_order.iter();
            let at = at.clone().position(|key| *key == sample::app(name));
            model.list_mut().cursor = at.unwrap();
            model.zoom = true;
            model.focus = crate::tui::model::Focus::Detail;
            let drawn = draw(&model);
            assert!(flat(drawn.clone()).contains(said), "{drawn}");
            assert!(!drawn.contains("n asks the cluster"), "{drawn}");
        }
        model.zoom = false;
        let drawn = draw(&model);
        let row = drawn.lines().find(|line| line.contains(" auth-service "));
        assert!(row.unwrap().contains("left out: stays frozen"), "{drawn}");
    }
}

/// Closed with a freeze that somebody has.
fn closed(model: &mut Model) -> Obligation {
    park(model, "like");
    let by = "jo".to_owned();
    happens(model, Event::Closed { by });
    fixture::tell(model, Update::Next(Box::new(Next::Closed)));
    model.stage = Stage::Close;
    let mut owed = model.derived.owed.iter();
    owed.find(|owed| owed.settle == "thaw").unwrap().clone()
}

#[test]
fn what_a_closed_incident_owes_is_settled_by_a_command_to_copy() {
    for size in SIZES {
        let mut model = fixture::model(Point::Thaw, size);
        let owed = closed(&mut model);
        let mut run = (*model.world.run).clone();
        run.connection.kubeconfig = Some("/k/prod".into());
        run.connection.context = Some("prod-eu-1".into());
        run.connection.namespace = "argocd".into();
        model.world.run = run.into();
        let like = model.derived.owed.iter().position(|o| *o == owed).unwrap();
        model.list_mut().cursor = like;
        let drawn = draw(&model);
        assert!(!drawn.contains("⏎ thaw"), "{drawn}");
        assert!(drawn.contains("⏎ the command"), "{drawn}");
        assert!(drawn.contains("enter how it is settled"), "{drawn}");
        assert_eq!(press(&mut model, &["enter"]), []);
        let command = format!(
            "trueup --kubeconfig /k/prod --context prod-eu-1 --incident {} --write cluster thaw {}",
            model.run().id(),
            owed.application.unwrap().name
        );
        // It is there to be read, too.
        let flat = |text: String| text.replace(['\n', '│'], " ");
        let flat = flat(draw(&model))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(flat.contains(&command), "{flat}");
        assert_eq!(press(&mut model, &["enter"]), [Effect::Copy(command)]);
    }
}

/// `like` and `profile` bear the note of another incident.
fn held(point: Point, size: (u16, u16)) -> Model {
    let mut model = fixture::model(point, size);
    let mut now = (*model.world.now).clone();
    for name in ["like", "profile"] {
        let app = now.apps.get_mut(&sample::app(name)).unwrap();
        app.note = Some(
            json!({"incident": "INC-2", "by": "sam@laptop", "at": "2026-11-20T08:00:00Z", "found": null}),
        );
    }
    fixture::tell(&mut model, Update::Seen(now.into()));
    model
}

#[test]
fn what_another_incident_holds_is_not_called_not_frozen() {
    for size in SIZES {
        let mut model = held(Point::Freeze, size);
        let drawn = draw(&model);
        let rows: Vec<&str> = drawn.lines().filter(|l| l.contains("-service ")).collect();
        for (name, held) in [("auth", false), ("like", true), ("profile", true)] {
            let row = rows.iter().find(|row| row.contains(name)).unwrap();
            assert_eq!(row.contains("held elsewhere"), held, "{row}");
            assert_eq!(row.contains("not frozen"), !held, "{row}");
        }
        press(&mut model, &["down"]);
        let drawn = draw(&model);
        let flat = drawn.replace(['\n', '│'], " ");
        let flat = flat.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            flat.contains("held by INC-2 (sam@laptop, since 2026-11-20 08:00Z): O takes it over"),
            "{drawn}"
        );
        assert!(drawn.contains("O take over"), "{drawn}");
    }
}

#[test]
fn one_sheet_takes_over_all_that_one_incident_holds() {
    let both = ["like", "profile"].map(sample::app);
    let taken = |applications: &[AppKey]| {
        [Command::TakeOver {
            applications: applications.to_vec(),
            from: "INC-2".into(),
        }]
    };
    let mut model = held(Point::Freeze, (100, 30));
    press(&mut model, &["O"]);
    assert!(model.dialogs.is_empty(), "auth is not held");
    assert_eq!(asked(press(&mut model, &["down", "O"])), taken(&both));
    // In Scope the marked ones alone.
    let mut model = held(Point::Freeze, (100, 30));
    model.stage = Stage::Scope;
    model.marks = [sample::app("auth"), sample::app("profile")].into();
    assert_eq!(asked(press(&mut model, &["O"])), taken(&both[1..]));
    // The next thing is not refused either: it asks.
    let mut model = held(Point::Freeze, (100, 30));
    assert_eq!(press(&mut model, &["n"]), []);
    let commands = asked(press(&mut model, &["down", "down", "enter"]));
    assert_eq!(commands, taken(&both));
}

#[test]
fn a_proof_that_holds_no_more_is_marked_as_of_then() {
    for size in SIZES {
        let mut model = fixture::model(Point::Commit, size);
        assert!(draw(&model).contains("✓ auth-service"), "{}", draw(&model));
        let mut now = (*model.world.now).clone();
        for head in now.heads.values_mut() {
            *head = "0123456789abcdef0123456789abcdef01234567".into();
        }
        fixture::tell(&mut model, Update::Seen(now.into()));
        model.stage = Stage::Commit;
        let drawn = draw(&model);
        assert!(drawn.contains("holds no more: main moved"), "{drawn}");
        assert!(!drawn.contains("✓ auth-service"), "{drawn}");
    }
}

#[test]
fn what_the_gates_said_of_the_sync_before_is_not_said_of_the_one_that_is_due() {
    let mut model = fixture::model(Point::Gate, (140, 45));
    let rows = |model: &Model| {
        let drawn = draw(model);
        let row = drawn.lines().find(|line| {
            line.contains("like-service") && line.contains("/1")
                || line.contains("like-service") && line.contains("✓ 1")
        });
        row.map(str::to_owned).unwrap_or(drawn)
    };
    assert!(rows(&model).contains("✓ 1"), "{}", rows(&model));
    let repository = model.now().apps.values().next().unwrap().repository.clone();
    let landed = trueup_core::event::Event::Landed {
        repository,
        branch: "main".into(),
        revision: "0123456789abcdef0123456789abcdef01234567".into(),
        how: "pushed".into(),
        others: Vec::new(),
    };
    super::ahead::happens(&mut model, landed);
    assert!(rows(&model).contains("0/1"), "{}", rows(&model));
}
