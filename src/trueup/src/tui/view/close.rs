//! Close: what is owed, what settles it, and the transcript.

use super::Screen;
use crate::tui::{
    model::Model,
    theme::Role,
    widgets::{
        doc::Doc,
        table::{fixed, grows},
        words::{self, count},
    },
};
use trueup_core::event::{Event, Outcome, Record};

pub fn screen(model: &Model) -> Screen<'_> {
    let owed = &model.derived.owed;
    let blocking = owed.iter().filter(|o| o.blocks_close).count();
    Screen {
        title: "owed".into(),
        right: format!("{blocking} block closing of {}", owed.len()),
        columns: vec![
            fixed("", 1),
            grows("what", 24),
            fixed("settle", 14),
            fixed("owner", 18),
        ],
        row: Box::new(|i| {
            let owed = &model.derived.owed[i];
            let (role, mark) = if owed.blocks_close {
                (Role::Bad, "!")
            } else {
                (Role::Dim, "·")
            };
            let owner = match (&owed.owner, &owed.until) {
                (Some(owner), Some(until)) => format!("{owner} {until}"),
                (Some(owner), None) => owner.clone(),
                _ => String::new(),
            };
            vec![
                (role, mark.into()),
                (Role::Text, owed.what.clone()),
                (Role::Key, format!("⏎ {}", owed.settle)),
                (Role::Dim, owner),
            ]
        }),
        empty: match &model.run().closed {
            Some((by, at)) => format!("closed by {by} at {at}"),
            None => "✓ nothing is owed: C closes the incident".into(),
        },
        below_title: "exports".into(),
        below: exports(model),
        detail_title: "transcript".into(),
        detail: transcript(model),
    }
}

fn exports(model: &Model) -> Doc {
    let mut doc = Doc::new();
    doc.text(
        Role::Dim,
        "1 Markdown · 2 HTML · 3 JSON (the chain, for `trueup verify`)",
    );
    for format in &model.run().exported {
        doc.text(Role::Good, format!("✓ exported as {format}"));
    }
    for path in &model.world.exported {
        doc.indented(2, Role::Text, path);
    }
    doc
}

fn transcript(model: &Model) -> Doc {
    let mut doc = Doc::new();
    let run = model.run();
    doc.text(Role::Strong, format!("# {}", run.id()));
    if let Some(at) = run.opened_at {
        doc.text(
            Role::Text,
            format!("{} · {} · by {}", at, run.pin.context, run.operator),
        );
    }
    for (wait, from, to) in &run.shortened {
        doc.indented(
            2,
            Role::Warn,
            format!("shortened: {wait} from {from} to {to}"),
        );
    }
    doc.blank();
    let lines: Vec<(Role, String)> = model
        .world
        .records
        .iter()
        .filter_map(|record| line(record))
        .collect();
    if lines.is_empty() {
        doc.text(
            Role::Dim,
            "nothing has happened on this screen yet; an export holds all of it",
        );
    }
    for (role, text) in lines {
        doc.indented(10, role, text);
    }
    doc
}

/// One line of the transcript; `None` for what only the full one has.
fn line(record: &Record) -> Option<(Role, String)> {
    let said = |role, text: String| {
        let at = record.time.strftime("%H:%M:%S");
        Some((role, words::clean(&format!("{at}  {text}"))))
    };
    match &record.event {
        Event::IncidentOpened {
            incident, operator, ..
        } => said(Role::Strong, format!("{operator} opened {incident}")),
        Event::Resumed { operator, .. } => said(Role::Text, format!("{operator} took it up again")),
        Event::ScopeSet { scope, by } => said(
            Role::Text,
            format!("{by} set the scope: {}", count(scope.len(), "application")),
        ),
        Event::Armed { write, by } => said(Role::Warn, format!("{by} armed: {write:?}")),
        Event::TargetSet {
            application,
            by,
            evidence,
            ..
        } => said(
            Role::Text,
            format!("{by} set the target of {}: {evidence}", application.name),
        ),
        Event::SnapshotTaken { number, .. } => said(Role::Text, format!("snapshot {number} taken")),
        Event::Decided { decisions } => {
            let first = decisions.first()?;
            said(
                Role::Text,
                format!(
                    "{} decided {}: {} ({})",
                    first.by,
                    count(decisions.len(), "field"),
                    crate::tui::model::decide::take_words(&first.take),
                    first.reason
                ),
            )
        }
        Event::DecisionWithdrawn { cells, by, .. } => said(
            Role::Warn,
            format!("{by} took back {}", count(cells.len(), "decision")),
        ),
        Event::Intended { effect, op, by, .. } => said(
            Role::Strong,
            format!(
                "{by} confirmed: {} {} (op {op})",
                effect.verb(),
                effect
                    .application()
                    .map(|a| a.name.clone())
                    .unwrap_or_default()
            ),
        ),
        Event::Ended { op, outcome } => match outcome {
            Outcome::Done { .. } => said(Role::Good, format!("✓ op {op} done")),
            Outcome::NotDone { why } => said(Role::Warn, format!("op {op} not done: {why}")),
            Outcome::Unknown { why } => said(Role::Bad, format!("op {op} not known: {why}")),
        },
        Event::FreezeProven { application } => said(
            Role::Good,
            format!("✓ the freeze of {} is proven", application.name),
        ),
        Event::FreezeLost { application, why } => said(
            Role::Bad,
            format!("the freeze of {} is lost: {why}", application.name),
        ),
        Event::Landed {
            branch, revision, ..
        } => said(Role::Good, format!("✓ {branch} holds {}", revision.short())),
        Event::SyncVerified {
            application,
            changes,
            surprises,
            ..
        } => said(
            if surprises.is_empty() {
                Role::Good
            } else {
                Role::Bad
            },
            format!(
                "{} synced: {}, {} not shown",
                application.name,
                count(changes.len(), "field"),
                surprises.len()
            ),
        ),
        Event::GatePassed { application, gate } => said(
            Role::Good,
            format!("✓ gate {gate} after {}", application.name),
        ),
        Event::GateTimedOut {
            application,
            gate,
            why,
        } => said(
            Role::Bad,
            format!("✗ gate {gate} after {}: {why}", application.name),
        ),
        Event::Attested { gate, who, saw } => {
            said(Role::Good, format!("✓ {gate} attested by {who}: {saw}"))
        }
        Event::Adopted { what, who, .. } => said(Role::Warn, format!("adopted: {what} by {who}")),
        Event::GlassBroken {
            what, reason, by, ..
        } => said(Role::Bad, format!("{by} broke glass for {what}: {reason}")),
        Event::Parked {
            application,
            owner,
            until,
            ..
        } => said(
            Role::Warn,
            format!("{} parked: {owner} until {until}", application.name),
        ),
        Event::Stopped { rule, reason, .. } => {
            said(Role::Bad, format!("stopped (rule {rule}): {reason}"))
        }
        Event::ThawWatched {
            application,
            round,
            holds,
            ..
        } => said(
            if *holds { Role::Good } else { Role::Bad },
            format!("round {round} of {} watched", application.name),
        ),
        Event::Closed { by } => said(Role::Strong, format!("{by} closed the incident")),
        _ => None,
    }
}
