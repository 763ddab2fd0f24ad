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
    Screen {
        title: "snapshots".into(),
        right: match model.run().blind_now() {
            Some(_) => format!("{taken} taken, not of all"),
            None => format!("{taken} taken"),
        },
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
        detail: detail(model),
    }
}

fn unread(model: &Model) -> Doc {
    let mut doc = Doc::new();
    if let Some(snapshot) = model.world.snapshots.last() {
        if let Some(blind) = model.run().blind_now() {
            let names: Vec<&str> = blind.applications.iter().map(|a| a.name.as_str()).collect();
            let said = format!(
                "! it is no snapshot of {}: what of Git is missing is read once it can be, and the snapshot is taken again then",
                names.join(", ")
            );
            doc.text(Role::Warn, words::clean(&said));
        }
        for what in &snapshot.unread {
            doc.indented(2, Role::Warn, format!("! {what}"));
        }
        if snapshot.unread.is_empty() {
            doc.text(Role::Good, "✓ everything in the scope was read");
        }
    }
    doc
}

fn detail(model: &Model) -> Doc {
    let mut doc = Doc::new();
    for snapshot in model.world.snapshots.iter().rev() {
        doc.pair(
            &format!("number {}", snapshot.number),
            Role::Text,
            format!(
                "{} ago · {} · {}{}",
                age(since(snapshot.at, model.time)),
                count(snapshot.counts.iter().map(|(_, n)| n).sum(), "thing"),
                count(snapshot.blobs, "blob"),
                match (snapshot.again, snapshot.number) {
                    (true, _) => " · again, once more could be read",
                    (false, 0) => " · before anything was changed",
                    (false, _) => "",
                }
            ),
        );
    }
    doc.rule("moved since");
    match model.unread_words() {
        Some(unread) => {
            let said = format!("? {unread}: what else moved is not known");
            doc.text(Role::Warn, said);
        }
        None if model.run().blind_now().is_some() => {
            let said = "? the last snapshot could not read all: it is taken again";
            doc.text(Role::Warn, said);
        }
        None if model.derived.moved.is_empty() => {
            doc.text(Role::Good, "✓ no field of a question moved");
        }
        None => {}
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
