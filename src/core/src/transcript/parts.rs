//! Parts of the transcript that need nothing but their own record.

use super::{
    model::*,
    quote::{block, say},
    words::{self, app, between},
};
use crate::{
    decision::{CellKey, Decision},
    event::{Effect, Event, Prediction, Proposal, Record},
    run::{Op, Run},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

pub(super) fn outcome(run: &Run) -> String {
    let owed = run.obligations().len();
    let owing = match owed {
        0 => "nothing is owed".to_owned(),
        1 => "1 thing is owed".to_owned(),
        n => format!("{n} things are owed"),
    };
    let owing = match run.not_judged() {
        Some(said) => format!("{owing}; {}", say(&said)),
        None => owing,
    };
    match &run.closed {
        Some((by, _)) => {
            let left = run.left();
            let left = match left.nothing() {
                true => String::new(),
                false => format!("{left}; "),
            };
            format!("closed by {}; {left}{owing}", say(by))
        }
        None => format!("open; {owing}"),
    }
}

/// What stands decided, and of what does not any more whatever was pushed or synced: that was the truth for a time.
pub(super) fn decisions(records: &[&Record], run: &Run) -> Vec<Decided> {
    let mut all: Vec<(&CellKey, Decided)> = Vec::new();
    let mut then = Run::default();
    // What others had done is told as it was known when it was decided, whatever they did later.
    let mut known: BTreeMap<&CellKey, Option<String>> = BTreeMap::new();
    for record in records {
        let anew: Vec<&CellKey> = match &record.event {
            Event::Decided { decisions } => decisions.iter().map(|d| &d.cell).collect(),
            Event::DecisionWithdrawn { cells, .. } => cells.iter().collect(),
            _ => Vec::new(),
        };
        for cell in anew {
            let undoes = known.remove(cell).flatten();
            let Some(decision) = then.decisions.get(cell) else {
                continue;
            };
            if decision.applied || decision.pushed || carried(&then, decision) {
                let earlier = Decided {
                    until: Some(record.time),
                    ..decided(&then, decision, undoes)
                };
                all.push((cell, earlier));
            }
        }
        then.apply(record);
        if let Event::Decided { decisions } = &record.event {
            for decision in decisions {
                known.insert(&decision.cell, undoes(&then, decision));
            }
        }
    }
    for (cell, decision) in &run.decisions {
        let undoes = known.remove(cell).flatten();
        let undone = run.shaken.get(cell).map(|touched| {
            let (moved, did) = (touched.moved(cell), touched.did());
            say(&format!("open again since: {did}: {moved}"))
        });
        let stands = Decided {
            undone,
            ..decided(run, decision, undoes)
        };
        all.push((cell, stands));
    }
    all.sort_by(|(one, a), (other, b)| a.at.cmp(&b.at).then_with(|| one.cmp(other)));
    all.into_iter().map(|(_, decided)| decided).collect()
}

/// Whether it was to change Git and a push came after it.
fn carried(run: &Run, decision: &Decision) -> bool {
    let push = |op: &Op| {
        op.done() && matches!(op.effect, Effect::Push { .. }) && op.intended_at >= decision.at
    };
    decision.changes_git() && run.ops.values().any(push)
}

/// What somebody did to the cell that the decision puts back, as `run` knows it.
fn undoes(run: &Run, decision: &Decision) -> Option<String> {
    let touched = run.undone_by(decision)?;
    let moved = touched.moved(&decision.cell);
    Some(say(&format!("undoes what {}: {moved}", touched.did())))
}

fn decided(run: &Run, decision: &Decision, undoes: Option<String>) -> Decided {
    Decided {
        application: app(run, &decision.cell.application),
        object: say(&decision.cell.object.to_string()),
        field: say(&decision.cell.field.to_string()),
        take: words::take(&decision.take),
        git: words::side(decision.seen.git.as_ref()),
        live: words::side(decision.seen.live.as_ref()),
        git_wanted: words::wanted(&decision.git),
        live_wanted: words::wanted(&decision.live),
        undoes,
        undone: None,
        reason: say(&decision.reason),
        by: say(&decision.by),
        at: decision.at,
        until: None,
    }
}

pub(super) fn passed(gate: &Gate, at: Timestamp) -> String {
    let streak = gate
        .samples
        .iter()
        .rev()
        .take_while(|s| s.verdict == crate::gate::Verdict::Green)
        .last()
        .map_or(at, |first| first.at);
    format!(
        "passed: green for {} of {}, {} samples",
        between(streak, at),
        gate.hold,
        gate.samples.len()
    )
}

pub(super) fn predicted(p: &Prediction) -> Predicted {
    let lines = |texts: &[String]| texts.iter().map(|t| say(t)).collect::<Vec<_>>();
    Predicted {
        changes: words::changes(&p.changes),
        creates: p.creates.iter().map(|o| say(&o.to_string())).collect(),
        extra: p.extra.iter().map(|o| say(&o.to_string())).collect(),
        hooks: lines(&p.hooks),
        bookkeeping: lines(&p.bookkeeping),
        unexpected: words::changes(&p.unexpected),
        missing: words::changes(&p.missing),
        unknown: p
            .unknown
            .iter()
            .map(|u| say(&format!("{}: {}", u.object, u.why)))
            .collect(),
    }
}

pub(super) fn files(proposal: &Proposal) -> Vec<File> {
    proposal
        .files
        .iter()
        .map(|file| File {
            path: say(&file.path),
            fields: file.fields,
            diff: if super::diff::shows_secret(&file.diff) {
                "(not shown: it holds a secret)\n".into()
            } else {
                block(&file.diff)
            },
        })
        .collect()
}

pub(super) fn others(proposal: &Proposal) -> Vec<String> {
    proposal.others.iter().map(words::foreign).collect()
}
