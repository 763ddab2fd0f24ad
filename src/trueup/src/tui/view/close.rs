//! Close: what is owed, what settles it, and the transcript.

use super::Screen;
use crate::tui::{
    model::Model,
    theme::Role,
    widgets::{
        doc::Doc,
        table::{fixed, grows},
    },
};
use trueup_core::event::Obligation;

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
                (Role::Key, settles(model, owed)),
                (Role::Dim, owner),
            ]
        }),
        empty: match &model.run().closed {
            Some((by, at)) => format!("closed by {by} at {}", at.strftime("%Y-%m-%d %H:%M:%S UTC")),
            None => match model.run().left() {
                left if left.nothing() => "✓ nothing is owed: C closes the incident".into(),
                left => format!("nothing is owed, and {left}: C closes the incident"),
            },
        },
        below_title: match owed.is_empty() {
            true => "exports".into(),
            false => "this one, and exports".into(),
        },
        below: below(model),
        detail_title: "transcript, as it will be exported".into(),
        detail: transcript(model),
    }
}

/// What enter does with it.
fn settles(model: &Model, owed: &Obligation) -> String {
    match (&model.run().closed, owed.settle.as_str()) {
        (None, settle) => format!("⏎ {settle}"),
        (Some(_), "thaw") => "⏎ the command".into(),
        (Some(_), _) => "⏎ how".into(),
    }
}

/// All of what a row has no room for.
fn below(model: &Model) -> Doc {
    let mut doc = Doc::new();
    if let Some(said) = model.run().no_symptom_gate() {
        doc.indented(2, Role::Warn, format!("! {said}"));
    }
    for said in model.run().doubts() {
        doc.indented(2, Role::Warn, format!("! {said}"));
    }
    let owed = model.cursor().and_then(|at| model.derived.owed.get(at));
    if let Some(owed) = owed {
        doc.indented(2, Role::Text, &owed.what);
        if let (Some(owner), Some(until)) = (&owed.owner, &owed.until) {
            doc.indented(2, Role::Dim, format!("owed by {owner} until {until}"));
        }
    }
    exports(model, doc)
}

fn exports(model: &Model, mut doc: Doc) -> Doc {
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
    let (_, lines) = &model.derived.transcript;
    if lines.is_empty() {
        doc.text(Role::Dim, "nothing has happened yet");
    }
    let first = model.world.records.front().map_or(1, |record| record.seq);
    if first > 1 {
        doc.indented(
            2,
            Role::Warn,
            format!("only from record {first} on: an export holds all of it"),
        );
    }
    for line in lines {
        let role = if line.starts_with('#') {
            Role::Strong
        } else if line.starts_with("```") {
            Role::Dim
        } else {
            Role::Text
        };
        doc.indented(2, role, line);
    }
    doc
}
