//! What is asked about a divergence: where else its value stands, who wrote it, what runs with it; and what of it can be copied.

use crate::tui::{
    keymap::Cmd,
    model::Model,
    theme::Role,
    widgets::{doc::Doc, words},
};
use trueup_core::{decision::CellKey, text};

/// What can be copied of a cell.
pub fn copyable(model: &Model, cell: &CellKey) -> Vec<(String, String)> {
    let Some(now) = model.now().cells.get(cell) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (label, value) in [
        ("live value", &now.sides.live),
        ("Git's value", &now.sides.git),
    ] {
        if let Some(value) = value {
            all.push((label.to_owned(), text::value(value)));
        }
    }
    all.push(("field".into(), cell.field.to_string()));
    if !now.source.is_empty() {
        all.push(("path and line".into(), now.source.clone()));
    }
    let namespace = cell
        .object
        .namespace
        .as_ref()
        .map(|n| format!(" -n {n}"))
        .unwrap_or_default();
    all.push((
        "by hand: read it".into(),
        format!(
            "kubectl{namespace} get {} {} -o yaml --show-managed-fields",
            cell.object.kind.to_lowercase(),
            cell.object.name
        ),
    ));
    all
}

/// The pages behind `w`, `v`, `s`, `.` and `p`.
pub fn about(model: &Model, cmd: Cmd) -> Option<(String, Doc)> {
    let question = model.question_here()?;
    let cell = model.cell_here()?;
    let mut doc = Doc::new();
    let title = match cmd {
        Cmd::Who => {
            for key in &question.cells {
                if let Some(now) = model.now().cells.get(key) {
                    doc.text(
                        Role::Strong,
                        format!("{} ({})", key.object, key.application),
                    );
                    let at = now.written_at.map(|at| {
                        format!(
                            " ({} ago at the latest, {at})",
                            words::age(words::since(at, model.time))
                        )
                    });
                    doc.indented(
                        2,
                        Role::Text,
                        format!("  {}{}", now.writer, at.unwrap_or_default()),
                    );
                }
            }
            doc.blank();
            for line in &question.evidence {
                doc.indented(2, Role::Text, format!("· {line}"));
            }
            doc.text(
                Role::Dim,
                "a field manager is what a client calls itself, not who it is; only an audit log has the user",
            );
            "who wrote it"
        }
        Cmd::WhereElse => {
            where_else(model, &cell, &mut doc);
            "where else this value stands"
        }
        Cmd::IfSynced => {
            let app = model.now().apps.get(&cell.application)?;
            super::scope::if_synced(model, app, &mut doc);
            "what a sync would do now"
        }
        Cmd::Pods => {
            let app = model.now().apps.get(&cell.application)?;
            super::scope::pods(model, app, &mut doc);
            "which pods run with it"
        }
        _ => {
            for key in &question.cells {
                let source = model
                    .now()
                    .cells
                    .get(key)
                    .map(|cell| cell.source.as_str())
                    .filter(|source| !source.is_empty())
                    .unwrap_or("could not be traced to a line");
                doc.pair(
                    key.object.namespace.as_deref().unwrap_or("-"),
                    Role::Text,
                    source,
                );
            }
            "which line of Git"
        }
    };
    Some((
        words::clean(&format!(
            "{title}: {} {}",
            cell.object.name,
            words::field(&cell.field)
        )),
        doc,
    ))
}

fn where_else(model: &Model, cell: &CellKey, doc: &mut Doc) {
    let Some(value) = model
        .now()
        .cells
        .get(cell)
        .and_then(|now| now.sides.live.as_ref())
    else {
        doc.text(Role::Dim, "the field is absent here");
        return;
    };
    doc.pair("value", Role::Strong, text::value(value));
    let mut found = 0;
    for (key, now) in &model.now().cells {
        for (side, held) in [
            ("live", &now.sides.live),
            ("Git", &now.sides.git),
            ("last sync", &now.sides.last_synced),
        ] {
            if held.as_ref() == Some(value) && !(key == cell && side == "live") {
                found += 1;
                if found <= 200 {
                    doc.indented(
                        2,
                        Role::Text,
                        format!("· {side} of {} {}", key.object, key.field),
                    );
                }
            }
        }
    }
    if found == 0 {
        doc.text(
            Role::Warn,
            "nowhere else among the fields in question: it would be lost with this one",
        );
    }
}
