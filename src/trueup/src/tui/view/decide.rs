//! Decide: every divergence, every side of it, how it came about, and what a choice implies.

use super::Screen;
use crate::tui::{
    keymap,
    model::{
        Model,
        decide::{DecideRow, Side, decided_words, take_words},
    },
    theme::Role,
    update::{implied, is_open},
    widgets::{
        doc::Doc,
        table::{fixed, grows},
        words::{self, count, pad},
    },
};
use serde_json::Value;
use trueup_core::{
    decision::{CellKey, Decision, Take},
    now::QuestionNow,
    text,
};

pub fn screen(model: &Model, cells: u16) -> Screen<'_> {
    let (decided, questions) = model.now().decided_of(model.derived.undecided_questions);
    let question = model.question_here();
    Screen {
        title: "divergences".into(),
        right: match model.unread() {
            Some(_) => "not all READ".into(),
            None => format!("{decided} decided of {questions}"),
        },
        columns: vec![fixed("", 1), grows("field", 18), grows("decision", 12)],
        row: Box::new(|i| row(model, i)),
        empty: model.unread_words().map_or_else(
            || "no divergence: Git and the cluster agree on every field that is compared".into(),
            |unread| format!("{unread}. What differs is not known; what was decided stays"),
        ),
        below_title: "implied".into(),
        below: below(model),
        detail_title: question.map_or_else(
            || "values".into(),
            |q| format!("{} {}", q.name, words::field(&q.field)),
        ),
        detail: question
            .map(|q| detail(model, q, usize::from(cells)))
            .unwrap_or_else(|| as_decided(model)),
    }
}

fn row(model: &Model, i: usize) -> Vec<(Role, String)> {
    match model.derived.rows[i] {
        DecideRow::Group(g) => {
            let group = &model.derived.groups[g];
            let folded = model.decide.folded.contains(&group.id);
            let copies = if group.copies > 1 {
                format!("{} copies", group.copies)
            } else {
                String::new()
            };
            let done = group.questions.len() - group.open;
            vec![
                (Role::Dim, if folded { "▹" } else { "▾" }.into()),
                (Role::Strong, group.title.clone()),
                (
                    Role::Dim,
                    format!("{done}/{} {copies}", group.questions.len()),
                ),
            ]
        }
        DecideRow::Question(q) => {
            let question = &model.now().questions[q];
            let open = model.derived.open_cells.get(q).copied().unwrap_or(0);
            let (mark, role) = if open == 0 {
                ("✓", Role::Good)
            } else {
                ("?", Role::Warn)
            };
            let decisions: Vec<String> = decided(model, question);
            let again = question.cells.iter().any(|cell| overtaken(model, cell));
            let verdict = match (open, decisions.len()) {
                (_, 0) if again => "open again".into(),
                (0, 2..) => format!("mixed: {}", decisions.join(" / ")),
                (0, _) => decisions.join(" / "),
                (_, 0) => question.class.clone(),
                (n, _) => format!("{} · {n} open", decisions.join(" / ")),
            };
            vec![
                (role, mark.into()),
                (Role::Text, format!(" {}", words::field(&question.field))),
                (role, verdict),
            ]
        }
    }
}

/// Whether a cell is decided, and that does not stand any more.
fn overtaken(model: &Model, cell: &CellKey) -> bool {
    let decision = model.run().decisions.get(cell);
    let now = model.now().cells.get(cell);
    now.zip(decision)
        .is_some_and(|(now, decision)| !now.upholds(decision))
}

/// The different choices that were made for a question's cells and stand.
fn decided(model: &Model, question: &QuestionNow) -> Vec<String> {
    let mut takes: Vec<String> = question
        .cells
        .iter()
        .filter(|cell| !overtaken(model, cell))
        .filter_map(|cell| model.run().decisions.get(cell))
        .map(decided_words)
        .collect();
    takes.sort();
    takes.dedup();
    takes
}

/// What was decided, where what it was decided of cannot be read.
fn as_decided(model: &Model) -> Doc {
    let mut doc = Doc::new();
    let decisions = &model.run().decisions;
    if model.unread().is_none() || decisions.is_empty() {
        return doc;
    }
    doc.rule(format!("decided: {}", count(decisions.len(), "cell")));
    for (key, decision) in decisions {
        let said = format!(
            "{} {} of {}: {} (by {})",
            key.object.name,
            words::field(key.field.to_string()),
            key.application.name,
            decided_words(decision),
            decision.by
        );
        doc.indented(2, Role::Text, words::clean(&said));
    }
    doc
}

fn below(model: &Model) -> Doc {
    let mut doc = Doc::new();
    let implies = &model.derived.implies;
    if let Some(unread) = model.unread_words() {
        doc.text(Role::Bad, format!("! {unread}"));
    }
    if model.run().decisions.is_empty() {
        doc.text(Role::Dim, "nothing decided yet");
    } else if model.unread().is_some() {
        let cells = count(model.run().decisions.len(), "cell");
        doc.text(
            Role::Warn,
            format!("{cells} decided; what of it is not in Git yet is not known"),
        );
    } else {
        let apps: Vec<&str> = implies
            .applications
            .iter()
            .map(|a| a.name.as_str())
            .collect();
        doc.text(
            Role::Text,
            format!(
                "Git: {} in {} · cluster: {}{}",
                count(implies.git_fields, "field"),
                count(implies.files.len(), "file"),
                count(implies.live_fields, "field"),
                if apps.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", apps.join(", "))
                }
            ),
        );
    }
    for line in &model.derived.apart {
        doc.text(Role::Warn, format!("! {line}"));
    }
    let noise: usize = model
        .now()
        .apps
        .values()
        .flat_map(|app| &app.noise)
        .map(|(_, n, _)| n)
        .sum();
    doc.text(
        Role::Dim,
        format!(
            "hidden as noise: {noise} (N {})",
            if model.decide.show_noise {
                "hides"
            } else {
                "shows"
            }
        ),
    );
    if model.decide.show_noise {
        for (key, app) in &model.now().apps {
            for (class, n, reason) in &app.noise {
                doc.indented(2, Role::Dim, format!("{}: {n} {class}: {reason}", key.name));
            }
        }
    }
    doc
}

/// What the snapshot has is live.
const AS_KEPT: &str = "= live";

/// How a value is shown: text bare, absent by name.
fn shown(value: &Option<Option<Value>>) -> String {
    match value {
        None => "·".into(),
        Some(None) => "(absent)".into(),
        Some(Some(value)) => text::value(value),
    }
}

fn last_element(field: &str) -> &str {
    field.rsplit_once('.').map_or(field, |(_, last)| last)
}

/// The N-way table: a line for each side, a column for each field that was written together, the chosen one first.
fn sides(model: &Model, question: &QuestionNow, cells: usize, doc: &mut Doc) {
    let all = model.sides_here();
    let mut questions = model.together(question);
    questions.sort_by_key(|q| model.derived.places.get(&q.id));
    let name = all
        .iter()
        .map(|side| words::width(&side.name()))
        .max()
        .unwrap_or(4)
        .clamp(9, 18)
        + 6;
    let as_kept = |q: &QuestionNow, side: &Side| match side {
        Side::Snapshot | Side::Later(_) if model.as_kept(q, side) => AS_KEPT,
        _ => "",
    };
    let width_of = |q: &QuestionNow| {
        all.iter()
            .map(|side| {
                words::width(&shown(&model.value_of(q, side, None))) + as_kept(q, side).len()
            })
            .chain([words::width(last_element(&q.field))])
            .max()
            .unwrap_or(8)
            .clamp(6, 32)
            + 2
    };
    let here = model.cell_here();
    let writers: Vec<String> = all
        .iter()
        .map(|side| writer(model, question, side, here.as_ref()))
        .collect();
    // Who wrote it when has its room before the fields that are only shown along.
    let by = writers.iter().map(|text| words::width(text)).max();
    let room = cells.saturating_sub(name + by.unwrap_or(0).clamp(12, 27));
    let mut columns: Vec<(&QuestionNow, usize)> = Vec::new();
    let own = width_of(question).min(room.max(8));
    let mut taken = own;
    for q in &questions {
        if q.id == question.id {
            columns.push((q, own));
        } else if taken + width_of(q) <= room {
            taken += width_of(q);
            columns.push((q, width_of(q)));
        }
    }
    let mut head = vec![(Role::Dim, pad("", name))];
    for (q, width) in &columns {
        let role = if q.id == question.id {
            Role::Focus
        } else {
            Role::Dim
        };
        head.push((role, pad(last_element(&q.field), *width)));
    }
    head.push((Role::Dim, "written by".into()));
    doc.spans(head);
    let git = model.value_of(question, &Side::Git, here.as_ref());
    let alike: Vec<usize> = columns
        .iter()
        .map(|(q, _)| {
            let cell = here.as_ref().filter(|_| q.id == question.id);
            let values = all.iter().filter_map(|side| model.value_of(q, side, cell)?);
            let mut texts: Vec<String> = values.map(|value| text::value(&value)).collect();
            texts.sort();
            texts.dedup();
            words::common_start(texts.iter().map(String::as_str))
        })
        .collect();
    for (i, side) in all.iter().enumerate() {
        let under = match (side, &here) {
            (
                Side::Copy {
                    application,
                    namespace,
                },
                Some(cell),
            ) => *application == cell.application && *namespace == cell.object.namespace,
            _ => false,
        };
        let star = if keymap::newest_human(model, side) {
            "★"
        } else {
            " "
        };
        let number = if i < 9 {
            (i + 1).to_string()
        } else {
            " ".into()
        };
        let mark = if under { "▸" } else { " " };
        let mut line = vec![
            (Role::Key, format!("{mark}{number} ")),
            (
                if under { Role::Strong } else { Role::Text },
                pad(&format!("{} {star}", side.name()), name - 3),
            ),
        ];
        for ((q, width), alike) in columns.iter().zip(&alike) {
            let cell = here.as_ref().filter(|_| q.id == question.id);
            let value = model.value_of(q, side, cell);
            let differs = q.id == question.id && value.is_some() && value != git;
            let role = match (q.id == question.id, differs) {
                (true, true) => Role::Warn,
                (true, false) => Role::Text,
                _ => Role::Dim,
            };
            let as_kept = as_kept(q, side);
            let sign = match differs && as_kept.is_empty() {
                true => "≠",
                false => " ",
            };
            let room = width.saturating_sub(2 + as_kept.len());
            line.push((
                role,
                pad(
                    &format!(
                        "{}{sign}{as_kept}",
                        words::fit_apart(&shown(&value), *alike, room)
                    ),
                    *width,
                ),
            ));
        }
        let left = cells.saturating_sub(line.iter().map(|(_, text)| words::width(text)).sum());
        line.push((Role::Dim, words::fit_end(&writers[i], left)));
        doc.spans(line);
    }
}

/// Who wrote a side's value, and when; for Git its file and line.
fn writer(model: &Model, question: &QuestionNow, side: &Side, here: Option<&CellKey>) -> String {
    let said = match side {
        Side::Git => here
            .and_then(|key| model.now().cells.get(key))
            .map(|cell| cell.source.clone()),
        Side::LastSync => Some("argocd".into()),
        Side::Snapshot | Side::Later(_) => model
            .snapshot_column_at(side)
            .filter(|_| model.value_of(question, side, here).is_some())
            .map(|at| format!("kept {}", at.strftime("%H:%M:%SZ"))),
        Side::Copy { .. } => model
            .cell_of(question, side)
            .map(|(_, cell)| cell.writer.clone()),
    };
    words::clean(&said.unwrap_or_default())
}

fn detail(model: &Model, question: &QuestionNow, cells: usize) -> Doc {
    let mut doc = Doc::new();
    sides(model, question, cells, &mut doc);
    let chosen = model.cells_for_choice(model.decide.every_copy, model.decide.together);
    let switch = |on: bool, label: &str, key: &str| {
        format!("[{}] {label} ({key})  ", if on { "x" } else { " " })
    };
    let open = chosen.iter().filter(|cell| is_open(model, cell)).count();
    // What is decided so already is not signed anew along with what is open.
    let cells = match chosen.len() {
        all if open == 0 || open == all => count(all, "cell"),
        all => format!("{open} open of {}", count(all, "cell")),
    };
    doc.spans([
        (Role::Dim, "for ".into()),
        (Role::Strong, format!("{cells}  ")),
        (
            Role::Text,
            switch(model.decide.every_copy, "every copy", "A"),
        ),
    ]);
    let fields: Vec<String> = model
        .together(question)
        .iter()
        .map(|q| last_element(&q.field).to_owned())
        .collect();
    if fields.len() > 1 {
        let together = switch(model.decide.together, "together", "g");
        let role = match model.decide.together {
            true => Role::Text,
            false => Role::Warn,
        };
        let fields = text::some(&fields, 4);
        doc.indented(4, role, format!("{}: {fields}", together.trim_end()));
    }
    doc.rule("why");
    let role = if question.confidence == "ask" {
        Role::Warn
    } else {
        Role::Text
    };
    doc.text(
        role,
        format!("{} · confidence: {}", question.class, question.confidence),
    );
    for line in &question.evidence {
        doc.indented(2, Role::Text, format!("· {line}"));
    }
    for side in half_made(model, question) {
        doc.indented(2, Role::Warn, side);
    }
    if let Some((take, rule)) = &question.suggestion {
        doc.indented(
            2,
            Role::Info,
            format!("suggested by {rule}: {}", take_words(take)),
        );
    }
    decisions(model, question, &mut doc);
    doc
}

/// Copies that carry part of what was written together in another copy.
fn half_made(model: &Model, question: &QuestionNow) -> Vec<String> {
    let all = model.together(question);
    let said = question
        .evidence
        .iter()
        .any(|line| line.contains("half-made"));
    if all.len() < 2 || said {
        return Vec::new();
    }
    let sides = model.sides_here();
    sides
        .iter()
        .filter(|side| matches!(side, Side::Copy { .. }))
        .filter_map(|side| {
            let moved =
                |q: &&&QuestionNow| model.cell_of(q, side).is_some_and(|(_, cell)| cell.differs);
            let changed: Vec<&str> = all
                .iter()
                .filter(moved)
                .map(|q| last_element(&q.field))
                .collect();
            (!changed.is_empty() && changed.len() < all.len()).then(|| {
                format!(
                    "~ {} has only {} changed: a half-made change?",
                    side.name(),
                    changed.join(", ")
                )
            })
        })
        .collect()
}

/// When the copy was looked at that a decision took its value from, where that copy moved since.
fn as_of(model: &Model, decision: &Decision) -> String {
    let Take::Live(of) = &decision.take else {
        return String::new();
    };
    let named = *of != Default::default();
    let moved = model.now().cells.iter().any(|(key, cell)| {
        named
            && implied::is_copy(key, &decision.cell, of)
            && !decision.live.met_by(&cell.sides.live)
    });
    match moved {
        true => format!(" as of {} UTC", decision.at.strftime("%H:%M")),
        false => String::new(),
    }
}

fn decisions(model: &Model, question: &QuestionNow, doc: &mut Doc) {
    let made: Vec<(&CellKey, &Decision)> = question
        .cells
        .iter()
        .filter_map(|cell| model.run().decisions.get_key_value(cell))
        .collect();
    if made.is_empty() {
        return;
    }
    doc.rule("decided");
    for (cell, decision) in made {
        let place = cell
            .object
            .namespace
            .as_deref()
            .unwrap_or(&cell.application.name);
        let stands = model
            .now()
            .cells
            .get(cell)
            .is_none_or(|now| now.upholds(decision));
        let (role, mark) = if stands {
            (Role::Good, "✓")
        } else {
            (Role::Bad, "! open again, the world moved; decided was")
        };
        doc.indented(
            4,
            role,
            format!(
                "{mark} {place}: {}{} · {} ({})",
                decided_words(decision),
                as_of(model, decision),
                decision.reason,
                decision.by
            ),
        );
        if let Some(touched) = model.run().shaken.get(cell).filter(|_| !stands) {
            doc.indented(
                6,
                Role::Bad,
                format!("{} (by {})", touched.what, touched.who),
            );
        }
    }
}
