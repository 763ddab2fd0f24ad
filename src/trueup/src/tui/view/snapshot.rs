//! Snapshot: what was kept, how much, and whether it is still true.

use super::Screen;
use crate::tui::{
    model::Model,
    theme::Role,
    widgets::{
        doc::Doc,
        table::{fixed, grows},
        words::{self, age, count, since},
    },
};
use trueup_core::text;

pub fn screen(model: &Model) -> Screen<'_> {
    let taken = model.run().snapshots;
    let total: usize = model.snapshot_rows().iter().map(|(_, n)| n).sum();
    Screen {
        title: "snapshots".into(),
        right: format!("{} taken", taken),
        columns: vec![grows("kept", 20), fixed("count", 10)],
        row: Box::new(|i| {
            let (kind, n) = &model.snapshot_rows()[i];
            vec![(Role::Text, kind.clone()), (Role::Strong, n.to_string())]
        }),
        empty: if taken == 0 {
            "none taken yet: n takes one; nothing in the cluster changes".into()
        } else {
            format!(
                "{} in the journal of this incident, taken before this screen was opened",
                count(taken as usize, "snapshot")
            )
        },
        below_title: "not read".into(),
        below: unread(model),
        detail_title: if model.derived.moved.is_empty() {
            "still true?".into()
        } else {
            format!("moved since: {}", count(model.derived.moved.len(), "field"))
        },
        detail: detail(model, total),
    }
}

fn unread(model: &Model) -> Doc {
    let mut doc = Doc::new();
    if let Some(snapshot) = model.world.snapshots.last() {
        for what in &snapshot.unread {
            doc.indented(2, Role::Warn, format!("! {what}"));
        }
        if snapshot.unread.is_empty() {
            doc.text(Role::Good, "✓ everything in the scope was read");
        }
    }
    doc
}

fn detail(model: &Model, total: usize) -> Doc {
    let mut doc = Doc::new();
    for snapshot in model.world.snapshots.iter().rev() {
        doc.pair(
            &format!("number {}", snapshot.number),
            Role::Text,
            format!(
                "{} ago · {} · {}{}",
                age(since(snapshot.at, model.time)),
                count(total, "thing"),
                count(snapshot.blobs, "blob"),
                if snapshot.number == 0 {
                    " · before anything was changed"
                } else {
                    ""
                }
            ),
        );
    }
    doc.rule("moved since");
    if model.derived.moved.is_empty() {
        doc.text(Role::Good, "✓ no field of a question moved");
    }
    for moved in model.derived.moved.iter().take(200) {
        let words = |value: &Option<serde_json::Value>| {
            value.as_ref().map_or("(absent)".to_owned(), text::value)
        };
        doc.indented(
            2,
            Role::Warn,
            format!(
                "{} {} ({}): {} → {}",
                moved.object,
                words::field(&moved.field),
                moved.application.name,
                words(&moved.kept),
                words(&moved.live)
            ),
        );
    }
    doc.rule("kept");
    doc.indented(
        2,
        Role::Dim,
        "live objects, renderings and Applications as they stood, by digest. Secrets are kept as digests only (rule 7). R puts a field back, with a sheet of its own.",
    );
    doc
}
