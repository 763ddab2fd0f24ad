//! What others did, what was refused, and what was taken back: told where it happened and as it was known then.

use super::*;
use crate::{
    decision::{Decision, Wanted},
    event::{Effect, Foreign, Guard, Outcome},
    ids::{Commit, OpId},
    plan::Action,
    span::Span,
};
use serde_json::json;

const EVE: &str = "eve <eve@example.org> with 03515d0 \u{201c}Revert\u{201d}";

fn first_decision(records: &[Record]) -> Decision {
    let decided = records.iter().find_map(|record| match &record.event {
        Event::Decided { decisions } => decisions.first().cloned(),
        _ => None,
    });
    decided.unwrap()
}

/// Somebody takes back in Git what `decision` had put there.
fn reverted(records: &mut Vec<Record>, decision: &Decision, to: &str, who: &str) {
    let mut sides = decision.seen.clone();
    sides.git = Some(json!(to));
    let cell = decision.cell.clone();
    happens(
        records,
        Event::Adopted {
            application: Some(cell.application.clone()),
            what: format!("{} {}: Git went to {to}", cell.object, cell.field),
            who: who.into(),
            cell: Some(cell),
            sides: Some(sides),
        },
    );
}

fn decided_anew(records: &mut Vec<Record>, decision: &Decision, git: &str) {
    let time = records.last().unwrap().time + jiff::SignedDuration::from_secs(60);
    let mut anew = decision.clone();
    anew.seen.git = Some(json!(git));
    anew.git = Wanted::Value(json!("RS256"));
    anew.at = time;
    happens(
        records,
        Event::Decided {
            decisions: vec![anew],
        },
    );
}

#[test]
fn a_decision_carries_what_was_known_of_others_when_it_was_made() {
    let mut records = until(|event| matches!(event, Event::Landed { .. }));
    let first = first_decision(&records);
    let said = |records: &[Record]| {
        let (_, t) = transcript(records);
        let rows = t.decisions.iter().filter(|row| {
            row.application == "auth-service" && row.field == first.cell.field.to_string()
        });
        let rows: Vec<Option<String>> = rows.map(|row| row.undoes.clone()).collect();
        (rows, t)
    };
    reverted(&mut records, &first, "ES256", EVE);
    // Nobody had reverted anything when it was decided.
    assert_eq!(said(&records).0, [None]);
    decided_anew(&mut records, &first, "ES256");
    let (rows, t) = said(&records);
    assert_eq!(rows[0], None, "{rows:?}");
    let undoes = rows[1].clone().unwrap();
    assert!(undoes.starts_with("undoes what eve <eve@example.org> did with 03515d0"));
    for text in [markdown(&t), html(&t)] {
        assert!(text.contains("undoes what eve"), "{text}");
    }
    // What somebody else does after that is no word of the decision before, and takes none of its own away.
    reverted(
        &mut records,
        &first,
        "ES512",
        "ann <ann@example.org> with 1234567 \u{201c}No\u{201d}",
    );
    let (rows, _) = said(&records);
    assert_eq!(rows, [None, Some(undoes)]);
}

#[test]
fn what_was_refused_is_told_with_what_was_done_before_it() {
    let mut records = until(|event| matches!(event, Event::FreezeProven { .. }));
    let refused = |rule: u8, after: &[&str]| Event::Refused {
        what: "freeze 3 applications".into(),
        rule,
        why: "profile-service: syncPolicy was null when it was confirmed and is {} now".into(),
        by: "mara".into(),
        after: after.iter().map(|op| OpId::from(*op)).collect(),
        failed: false,
    };
    happens(&mut records, refused(2, &["freeze-auth", "freeze-like"]));
    happens(&mut records, refused(0, &[]));
    let (run, t) = transcript(&records);
    let said: Vec<&str> = t
        .timeline
        .iter()
        .rev()
        .take(2)
        .map(|m| m.what.as_str())
        .collect();
    let refused = "refused to mara: freeze 3 applications";
    let why = ": profile-service: syncPolicy was null when it was confirmed and is {} now";
    assert_eq!(said[0], format!("{refused}{why}"));
    let done = "; done before it: freeze auth-service (note only: nothing to switch off), freeze like-service (note only: nothing to switch off)";
    assert_eq!(said[1], format!("{refused} (rule 2){why}{done}"));
    assert!(run.refused.is_some());
    // Journals of before it was kept say nothing of it.
    let before = until(|event| matches!(event, Event::FreezeProven { .. }));
    assert_eq!(Run::fold(&before).refused, None);
    verify(&t.json()).unwrap();
}

#[test]
fn a_lost_freeze_stands_among_what_others_did() {
    let mut records = until(|event| matches!(event, Event::FreezeProven { .. }));
    happens(
        &mut records,
        Event::FreezeLost {
            application: sample::app("auth"),
            why: "somebody switched auto-sync on".into(),
        },
    );
    let (_, t) = transcript(&records);
    assert_eq!(t.adopted.len(), 2);
    for text in [markdown(&t), html(&t)] {
        let (_, others) = text.split_once("done by others meanwhile").unwrap();
        let line = others
            .lines()
            .find(|line| line.contains("auth-service"))
            .unwrap();
        assert!(
            line.contains("its freeze was lost: somebody switched auto-sync on"),
            "{line}"
        );
        assert!(!line.contains("(by"), "nothing tells who: {line}");
    }
}

/// A live action and the one that takes it back, as a person does it before the second time it is read again.
fn acted(records: &mut Vec<Record>, op: &str, by: &str, from: &str, to: &str) {
    let decision = first_decision(&sample::records());
    let cell = decision.cell;
    happens(
        records,
        Event::Intended {
            op: OpId::from(op),
            effect: Effect::Act {
                application: cell.application.clone(),
                object: cell.object.clone(),
                action: Action::Patch {
                    field: cell.field.to_string(),
                    value: json!(to),
                },
                patch: json!([]),
                inverse: json!([]),
                cell: Some(cell.clone()),
                reason: String::new(),
            },
            guard: Guard {
                resource_version: None,
                facts: [(cell.field.to_string(), json!(from))].into(),
            },
            shown: Vec::new(),
            by_hand: Vec::new(),
            by: by.into(),
        },
    );
    let ended = records.last().unwrap().time + jiff::SignedDuration::from_secs(1);
    happens(
        records,
        Event::Ended {
            op: OpId::from(op),
            outcome: Outcome::Done {
                resource_version: None,
                found: false,
            },
        },
    );
    records.last_mut().unwrap().time = ended;
}

/// Done, decided for, and put back by somebody: the script does not set it again.
#[test]
fn what_a_live_action_set_and_somebody_put_back_is_not_repeated_by_hand() {
    let mut records = until(|event| matches!(event, Event::FreezeProven { .. }));
    let script = |records: &[Record]| transcript(records).1.by_hand;
    let patched = "patch configmap auth-config";
    let before = script(&records).matches(patched).count();
    acted(&mut records, "act-1", "mara", "RS256", "ES512");
    let decision = first_decision(&sample::records());
    let cell = decision.cell.clone();
    happens(
        &mut records,
        Event::Decided {
            decisions: vec![decision],
        },
    );
    assert_eq!(script(&records).matches(patched).count(), before + 1);
    happens(
        &mut records,
        Event::DecisionWithdrawn {
            cells: vec![cell],
            why: String::new(),
            by: "mara".into(),
        },
    );
    let script = script(&records);
    assert_eq!(script.matches(patched).count(), before, "{script}");
    assert!(script.contains("# Not repeated, since it was put back or given up after it: set"));

    // So it is with one on top of another; decided for once more, it is made.
    let decide = |records: &mut Vec<Record>, to: &str| {
        let mut decision = first_decision(&sample::records());
        decision.live = crate::decision::Wanted::Value(json!(to));
        let cells = vec![decision.cell.clone()];
        happens(
            records,
            Event::Decided {
                decisions: vec![decision],
            },
        );
        Event::DecisionWithdrawn {
            cells,
            why: String::new(),
            by: "mara".into(),
        }
    };
    let mut records = until(|event| matches!(event, Event::FreezeProven { .. }));
    acted(&mut records, "act-1", "mara", "RS256", "ES512");
    let back = decide(&mut records, "ES512");
    acted(&mut records, "act-2", "mara", "ES512", "PS512");
    happens(&mut records, back.clone());
    decide(&mut records, "PS512");
    happens(&mut records, back);
    let made = |records: &[Record]| transcript(records).1.by_hand.matches(patched).count();
    assert_eq!(made(&records), before);
    decide(&mut records, "PS512");
    assert_eq!(made(&records), before + 1);
}

fn reread(records: &mut Vec<Record>, op: &str, after: u64, holds: bool) {
    happens(
        records,
        Event::ActReread {
            op: OpId::from(op),
            after: Span::seconds(after),
            holds,
            why: ".data.JWT_ALGORITHM is read".into(),
        },
    );
}

#[test]
fn a_live_action_and_the_one_that_took_it_back_name_each_other() {
    let mut records = until(|event| matches!(event, Event::FreezeProven { .. }));
    acted(&mut records, "act-1", "mara", "RS256", "ES512");
    let begun = records[records.len() - 2].time;
    reread(&mut records, "act-1", 5, true);
    // Nothing took it back yet: that it does not hold is a matter for somebody.
    let mut alone = records.clone();
    reread(&mut alone, "act-1", 30, false);
    let (_, t) = transcript(&alone);
    assert!(t.acts[0].beside.is_empty());
    assert!(markdown(&t).contains("after 30s: does not hold"));
    acted(&mut records, "act-2", "jo", "ES512", "RS256");
    let undone = records.last().unwrap().time;
    // The first one was read again 30 s after it was done, and by then it was undone.
    let at = records
        .iter()
        .position(|r| matches!(&r.event, Event::Ended { op, .. } if op.as_str() == "act-1"));
    records[at.unwrap()].time = undone - jiff::SignedDuration::from_secs(20);
    reread(&mut records, "act-1", 30, false);
    reread(&mut records, "act-2", 5, true);
    let (run, t) = transcript(&records);
    let clock = |at: jiff::Timestamp| at.strftime("%H:%M:%S").to_string();
    let (by, undoes) = (
        format!("undone by jo at {}", clock(undone)),
        format!("undoes the action of {}", clock(begun)),
    );
    assert_eq!(t.acts[0].beside, std::slice::from_ref(&by));
    assert_eq!(t.acts[1].beside, std::slice::from_ref(&undoes));
    assert!(
        t.acts[0].rereads[1].starts_with(&format!("after 30s: {by}")),
        "{:?}",
        t.acts[0]
    );
    for text in [markdown(&t), html(&t)] {
        let (_, acts) = text.split_once("Live actions").unwrap();
        assert!(acts.contains(&by) && acts.contains(&undoes), "{acts}");
        assert!(!acts.contains("does not hold"), "{acts}");
    }
    let told: Vec<&str> = t.timeline.iter().map(|m| m.what.as_str()).collect();
    assert!(
        told.iter()
            .any(|said| said.starts_with("jo is going to") && said.ends_with(&undoes))
    );
    assert!(
        told.iter()
            .any(|said| said.starts_with("mara is going to") && said.ends_with(&by))
    );
    let (standing, _) = run.acts();
    assert!(standing.is_empty(), "{standing:?}");
    // A third one stands.
    acted(&mut records, "act-3", "jo", "RS256", "ES512");
    let (run, t) = transcript(&records);
    assert_eq!(run.acts().0[0].op.as_str(), "act-3");
    assert!(t.acts[2].beside.is_empty());
}

#[test]
fn a_commit_names_what_of_others_it_is_built_on() {
    let mut records = sample::records();
    for record in &mut records {
        if let Event::Proposed { proposal } = &mut record.event {
            proposal.others = vec![Foreign {
                commit: Commit::from("03515d0333333333333333333333333333333333"),
                author: "eve <eve@example.org>".into(),
                subject: "Revert it".into(),
            }];
        }
    }
    let (_, t) = transcript(&records);
    for text in [markdown(&t), html(&t)] {
        assert!(
            text.contains("Built on what others had pushed meanwhile"),
            "{text}"
        );
        assert!(text.contains("03515d0333333333333333333333333333333333"));
    }
}

#[test]
fn a_journal_of_before_others_were_kept_still_folds() {
    let told = sample::records();
    let old: Vec<Record> = told
        .iter()
        .map(|record| {
            let mut value = serde_json::to_value(record).unwrap();
            let fields = value.as_object_mut().unwrap();
            for new in ["heads", "others"] {
                fields.shift_remove(new);
            }
            serde_json::from_value(value).unwrap()
        })
        .collect();
    assert_ne!(old, told);
    // What the first commit was made on is then what was seen first.
    let before = told
        .iter()
        .position(|record| matches!(record.event, Event::Proposed { .. }));
    assert!(Run::fold(&old[..before.unwrap()]).base.is_empty());
    assert_eq!(Run::fold(&old).base, Run::fold(&told).base);
}

#[test]
fn what_strayed_and_what_came_back_stand_among_what_others_did() {
    let (_, t) = transcript(&sample::records());
    let said: Vec<&str> = t.adopted.iter().map(|a| a.what.as_str()).collect();
    let [policy, went, back] = said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(
        policy,
        "its policy was changed before it was frozen: syncPolicy went from {\"automated\":{\"enabled\":false}} to none"
    );
    assert!(went.ends_with(".spec.replicas: live went from 3 to 1, and nobody decided on it"));
    assert!(back.ends_with(".spec.replicas: live is 3 again"));
    for what in [went, back] {
        let told = format!("done by others: profile-service: {what} (by kubectl-patch)");
        assert!(t.timeline.iter().any(|m| m.what == told), "{told}");
    }
}
