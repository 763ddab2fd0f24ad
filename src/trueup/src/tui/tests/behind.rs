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

/// A field of auth stays frozen.
fn keep_frozen(model: &mut Model) {
    let cell = fixture::cell("auth", 0);
    let Event::Decided { mut decisions } = super::ahead::sample_decision(model, &cell) else {
        unreachable!("it is one");
    };
    decisions[0].take = trueup_core::decision::Take::Later(trueup_core::decision::Later {
        how: trueup_core::decision::How::StayFrozen,
        owner: "sam".into(),
        until: "2026-12-01".into(),
    });
    happens(model, Event::Decided { decisions });
}

/// Two of three are synced and thawed, and the third is none of those that the walk waits for.
#[test]
fn what_is_kept_frozen_is_counted_beside_those_that_the_walk_brings_to_the_end() {
    use trueup_core::run::{Freeze, Sync, Thaw};
    for size in SIZES {
        let mut model = fixture::model(Point::Canary, size);
        keep_frozen(&mut model);
        let mut run = model.run().clone();
        for (key, app) in &mut run.apps {
            let kept = *key == sample::app("auth");
            app.sync = match kept {
                true => Sync::Not,
                false => Sync::Verified {
                    op: "1".into(),
                    revision: trueup_core::ids::Commit("0".into()),
                    changes: Vec::new(),
                },
            };
            app.prediction = None;
        }
        model.world.run = run.into();
        model.derive_run();
        model.derived.to_sync_again.clear();
        let at = |model: &mut Model, stage: Stage| {
            let next = Next::Arm {
                write: Armed::All,
                why: String::new(),
                stage,
            };
            fixture::tell(model, Update::Next(Box::new(next)));
            model.stage = stage;
            draw(model)
        };
        let drawn = at(&mut model, Stage::Sync);
        let title = "2 synced of 2 · 1 kept frozen";
        assert!(drawn.contains(title), "{drawn}");
        let rail = self::rail(&model);
        assert!(
            !rail.contains("Sync 2/3") && !rail.contains("Sync 2/2"),
            "{rail}"
        );
        let drawn = at(&mut model, Stage::Thaw);
        assert!(drawn.contains("0 thawed of 2 · 1 kept frozen"), "{drawn}");
        let rail = self::rail(&model);
        assert!(rail.contains("Thaw 0/2"), "{rail}");
        let kept = drawn.lines().filter(|line| line.contains("kept frozen"));
        let kept = kept.filter(|line| line.contains("auth-service")).count();
        assert_eq!(kept, 1, "{drawn}");
        // All others are thawed: at the end of the walk the header says of both.
        let mut run = model.run().clone();
        for (key, app) in &mut run.apps {
            if *key != sample::app("auth") {
                (app.freeze, app.thaw) = (Freeze::Thawed, Thaw::Not);
            }
        }
        model.world.run = run.into();
        fixture::tell(&mut model, Update::Next(Box::new(Next::Close)));
        model.derive_run();
        let header = draw(&model).lines().next().unwrap().to_owned();
        assert!(header.contains("1 frozen · 2 thawed"), "{header}");
    }
}

/// Two were thawed, and the freeze of the third is lost: the rail and the pane tell of the same.
#[test]
fn the_stage_of_the_freeze_counts_on_the_rail_as_on_its_pane() {
    use trueup_core::run::{Freeze, Thaw};
    for size in SIZES {
        let mut model = fixture::model(Point::Canary, size);
        let mut run = model.run().clone();
        for (key, app) in &mut run.apps {
            app.thaw = Thaw::Not;
            app.freeze = match *key == sample::app("auth") {
                true => Freeze::Lost {
                    why: "the note is gone".into(),
                },
                false => Freeze::Thawed,
            };
        }
        model.world.run = run.into();
        model.derive_run();
        let next = Next::Refreeze {
            application: sample::app("auth"),
            why: "the note is gone".into(),
        };
        fixture::tell(&mut model, Update::Next(Box::new(next)));
        model.stage = Stage::Freeze;
        let drawn = draw(&model);
        assert!(drawn.contains("2 proven or thawed of 3"), "{drawn}");
        assert!(rail(&model).contains("Freeze 2/3"), "{drawn}");
    }
}

/// What becomes of the cluster after an incident is not the incident's.
#[test]
fn the_rail_of_a_closed_incident_is_that_of_its_journal() {
    for size in SIZES {
        let mut model = fixture::model(Point::Canary, size);
        keep_frozen(&mut model);
        park(&mut model, "like");
        let by = "jo".to_owned();
        happens(&mut model, Event::Closed { by });
        fixture::tell(&mut model, Update::Next(Box::new(Next::Closed)));
        let at_close = rail(&model);
        let wide = at_close.contains("Sync ✓") || at_close.contains("Sync 1/3");
        assert!(wide, "{at_close}");
        let mut now = (*model.world.now).clone();
        for (key, cell) in &mut now.cells {
            cell.sides.live = Some(json!("something else"));
            cell.sides.git = Some(json!(key.application.name));
        }
        for app in now.apps.values_mut() {
            (app.incomplete, app.note) = (true, None);
        }
        fixture::tell(&mut model, Update::Seen(now.into()));
        assert_eq!(rail(&model), at_close);
        fixture::tell(&mut model, Update::Seen(Default::default()));
        assert_eq!(rail(&model), at_close);
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
        keep_frozen(&mut model);
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
        same: Vec::new(),
    };
    super::ahead::happens(&mut model, landed);
    assert!(rows(&model).contains("0/1"), "{}", rows(&model));
}
