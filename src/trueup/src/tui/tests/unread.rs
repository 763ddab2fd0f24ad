//! Git cannot be read for a while: nothing on the screen says that it agrees.

use super::*;
use trueup_core::event::Event;

fn git_away(model: &mut Model) {
    let mut now = (*model.world.now).clone();
    now.at = "2026-11-14T10:12:13Z".parse().unwrap();
    now.questions.clear();
    now.cells.clear();
    now.heads.clear();
    for app in now.apps.values_mut() {
        app.incomplete = true;
    }
    now.errors = vec!["read the heads of https://git.example/deploy.git: it is gone".into()];
    let next = trueup_core::workflow::next(&model.world.run, &now);
    fixture::tell(model, Update::Seen(std::sync::Arc::new(now)));
    fixture::tell(model, Update::Next(Box::new(next)));
}

#[test]
fn what_cannot_be_read_is_no_agreement_on_the_screen() {
    for size in SIZES {
        let mut model = fixture::model(Point::Gate, size);
        git_away(&mut model);
        model.stage = Stage::Decide;
        let drawn = draw(&model);
        let header = drawn.lines().next().unwrap();
        assert!(header.contains("not all READ"), "{header}");
        assert!(!header.contains("undecided"), "{header}");
        let rail = drawn.lines().nth(1).unwrap();
        assert!(
            ["! Decide", "Commit ?", "Sync ?"]
                .iter()
                .all(|said| rail.contains(said)),
            "{rail}"
        );
        for wrong in ["no divergence", "0 decided of 0", "in 0 files"] {
            assert!(!drawn.contains(wrong), "{wrong}\n{drawn}");
        }
        for right in ["since 10:12:13", "decided: 6 cells", "JWT_ALGORITHM"] {
            assert!(drawn.contains(right), "{right}\n{drawn}");
        }
        let implied = "6 cells decided; what of it is not in Git yet is not";
        assert!(size.0 == 80 || drawn.contains(implied), "{drawn}");
        // It is said since when, however often it is looked at in vain.
        let mut now = (*model.world.now).clone();
        now.at = "2026-11-14T10:20:00Z".parse().unwrap();
        fixture::tell(&mut model, Update::Seen(std::sync::Arc::new(now)));
        assert!(draw(&model).contains("since 10:12:13"));
    }
}

/// Takes a snapshot that cannot read auth.
fn blind_snapshot(model: &mut Model) {
    let key = model.run().scope[0].clone();
    let taken = Event::SnapshotTaken {
        number: 1,
        blobs: Default::default(),
        counts: [("ConfigMap".to_owned(), 3)].into(),
        unread: vec!["read the heads: it is gone".into()],
        questions: Vec::new(),
        applications: Vec::new(),
        heads: Default::default(),
        again: false,
        incomplete: vec![key],
        earlier: Vec::new(),
    };
    ahead::happens(model, taken);
}

/// The newest snapshot that has a field is the one that it is offered from.
#[test]
fn what_an_older_snapshot_has_is_offered_after_one_that_could_not_read_it() {
    let mut model = fixture::model(Point::Decide, (140, 45));
    let kept_at = model.run().snapshot_at;
    model.time += jiff::SignedDuration::from_secs(60);
    blind_snapshot(&mut model);
    let mut now = (*model.world.now).clone();
    let key = model.run().scope[0].clone();
    let mut cells = now.cells.iter_mut();
    let (cell, moved) = cells.find(|(cell, _)| cell.application == key).unwrap();
    let (cell, was) = (cell.clone(), moved.sides.live.clone());
    moved.sides.live = Some("moved".into());
    fixture::tell(&mut model, Update::Seen(std::sync::Arc::new(now)));
    let kept = model.derived.moved.iter().find(|moved| moved.cell == cell);
    let kept = kept.unwrap();
    assert_eq!((&kept.kept, kept.at), (&was, kept_at));
    assert_ne!(model.run().snapshot_at, kept_at);
}

#[test]
fn a_snapshot_of_what_could_not_be_read_is_not_ticked() {
    let mut model = fixture::model(Point::Decide, (140, 45));
    blind_snapshot(&mut model);
    git_away(&mut model);
    model.stage = Stage::Snapshot;
    let drawn = draw(&model);
    let rail = drawn.lines().nth(1).unwrap();
    assert!(
        rail.contains("! Snapshot") && !rail.contains("Snapshot ✓"),
        "{rail}"
    );
    for wrong in [
        "no field of a question moved",
        "everything in the scope was read",
    ] {
        assert!(!drawn.contains(wrong), "{wrong}\n{drawn}");
    }
    for right in ["it is no snapshot of", "taken, not of all", "3 things"] {
        assert!(drawn.contains(right), "{right}\n{drawn}");
    }
    assert!(
        !drawn.contains("nothing moved since the snapshot"),
        "{drawn}"
    );
}
