//! The script by hand: each sync as it was, and what others pushed in between.

use super::*;
use crate::{
    event::{Effect, Foreign},
    ids::{Commit, OpId},
};

fn script(records: &[Record]) -> String {
    transcript(records).1.by_hand
}

/// What a script says from the title of the `n`th sync of an Application on, up to the next title.
fn of_sync<'a>(script: &'a str, application: &str, n: usize) -> &'a str {
    let title = format!("echo '== sync {application}'");
    let part = script.split(&title).nth(n + 1).unwrap();
    part.split("echo '== ").next().unwrap()
}

/// The sample with the first sync of an Application made once more after its gates, with another effect.
fn synced_twice() -> Vec<Record> {
    let of = |event: &Event| match event {
        Event::Intended {
            effect: Effect::Sync { application, .. },
            ..
        }
        | Event::OperationFinished { application, .. }
        | Event::SyncVerified { application, .. }
        | Event::GateStarted { application, .. }
        | Event::GateSampled { application, .. }
        | Event::GatePassed { application, .. } => *application == sample::app("profile"),
        Event::Ended { op, .. } => op.as_str() == "sync-profile",
        _ => false,
    };
    let mut records = until(|event| matches!(event, Event::Attested { .. }));
    let first: Vec<Event> = records
        .iter()
        .map(|record| record.event.clone())
        .filter(|event| of(event))
        .collect();
    for mut event in first {
        match &mut event {
            Event::Intended { op, .. }
            | Event::Ended { op, .. }
            | Event::OperationFinished { op, .. } => *op = OpId::from("sync-again"),
            Event::SyncVerified { op, changes, .. } => {
                *op = OpId::from("sync-again");
                changes.clear();
            }
            _ => {}
        }
        happens(&mut records, event);
    }
    records
}

#[test]
fn each_sync_is_commented_with_what_it_changed_itself() {
    let text = script(&synced_twice());
    let (first, second) = (
        of_sync(&text, "profile-service", 0),
        of_sync(&text, "profile-service", 1),
    );
    assert!(
        first.contains(".data.JWT_ALGORITHM: HS256 -> RS256"),
        "{first}"
    );
    assert!(!first.contains("It changes nothing."), "{first}");
    assert!(second.contains("It changes nothing."), "{second}");
    assert!(!second.contains("HS256 -> RS256"), "{second}");
}

#[test]
fn a_gate_that_was_taken_away_later_stays_where_it_was_asked() {
    let mut records = synced_twice();
    for gate in ["no-401", "traces"] {
        happens(
            &mut records,
            Event::GateRemoved {
                gate: gate.into(),
                why: "it counts the probes".into(),
                by: "jo".into(),
            },
        );
    }
    let text = script(&records);
    for n in 0..2 {
        let part = of_sync(&text, "profile-service", n);
        let gate = part
            .lines()
            .find(|line| line.starts_with("gate 'no-401 after profile-service: share_401"));
        let gate = gate.unwrap_or_else(|| panic!("{part}"));
        assert!(
            gate.contains("(jo took it away later: it counts the probes)"),
            "{gate}"
        );
        assert!(part.contains("for 10m without a break"), "{part}");
    }
    let looked = text
        .lines()
        .find(|line| line.starts_with("gate 'traces: a person looks"));
    assert!(looked.is_some(), "{text}");
}

fn eve() -> Vec<Foreign> {
    vec![Foreign {
        commit: Commit("e".repeat(40)),
        author: "eve <eve@example.org>".into(),
        subject: "Revert the hotfix".into(),
    }]
}

/// What was synced was a revision that somebody else had moved the branch to.
#[test]
fn a_revision_of_others_is_named_before_it_is_synced() {
    let mut records = sample::records();
    let moved = Commit("e".repeat(40));
    for record in &mut records {
        match &mut record.event {
            Event::Landed {
                revision, others, ..
            } => {
                *revision = moved.clone();
                *others = eve();
            }
            Event::Intended {
                effect: Effect::Sync { revision, .. },
                ..
            } => *revision = moved.clone(),
            _ => {}
        }
    }
    let text = script(&records);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    let gate = at("gate 'main holds what others pushed, or is to go on without it: eeee");
    assert!(at("HEAD:refs/heads/main") < gate && gate < at("start_sync argocd"));
}
