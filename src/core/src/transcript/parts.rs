//! Parts of the transcript that need nothing but their own record.

use super::{
    model::*,
    quote::{block, say},
    words::{self, app, between},
};
use crate::{
    event::{Prediction, Proposal},
    run::Run,
};
use jiff::Timestamp;

pub(super) fn outcome(run: &Run) -> String {
    let owed = run.obligations().len();
    let owing = match owed {
        0 => "nothing is owed".to_owned(),
        1 => "1 thing is owed".to_owned(),
        n => format!("{n} things are owed"),
    };
    match &run.closed {
        Some((by, _)) => format!("closed by {}; {owing}", say(by)),
        None => format!("open; {owing}"),
    }
}

pub(super) fn decisions(run: &Run) -> Vec<Decided> {
    let mut all: Vec<_> = run.decisions.values().collect();
    all.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.cell.cmp(&b.cell)));
    all.into_iter()
        .map(|decision| Decided {
            application: app(run, &decision.cell.application),
            object: say(&decision.cell.object.to_string()),
            field: say(&decision.cell.field.to_string()),
            take: words::take(&decision.take),
            git: words::side(decision.seen.git.as_ref()),
            live: words::side(decision.seen.live.as_ref()),
            git_wanted: words::wanted(&decision.git),
            live_wanted: words::wanted(&decision.live),
            undoes: run.undone_by(decision).map(|touched| {
                let moved = touched.moved(&decision.cell);
                say(&format!("undoes what {}: {moved}", touched.did()))
            }),
            reason: say(&decision.reason),
            by: say(&decision.by),
            at: decision.at,
        })
        .collect()
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
