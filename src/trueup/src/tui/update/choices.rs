//! The lists from which a value and the cells that it is for are chosen.

use super::super::{
    keymap::{self, Cmd},
    model::{
        Model, ToastKind,
        decide::take_words,
        dialog::{Choice, Choose, Dialog, Pick},
    },
    msg::Effect,
    theme::Role,
    widgets::words,
};
use super::{
    decide::{begin, cells_words, chosen, is_open},
    implied,
};
use trueup_core::{
    decision::{CellKey, Take},
    now::QuestionNow,
};

/// The list that `n` and enter offer: every side with its value, then the other ways.
pub fn choose(model: &mut Model) {
    let (Some(question), Some(here)) = (model.question_here().cloned(), model.cell_here()) else {
        model.toast(ToastKind::Said, "there is no divergence to decide");
        return;
    };
    begin(model);
    let alone = model.alone(&question);
    let mut choices = Vec::new();
    for (i, side) in model.sides_here().iter().enumerate() {
        let value = match side {
            super::super::model::decide::Side::Copy { .. } => model.value_of(&question, side, None),
            _ => model.value_of(&question, side, Some(&here)),
        };
        let Some(value) = value else { continue };
        let shown = value
            .as_ref()
            .map_or("(absent)".to_owned(), trueup_core::text::value);
        let take = model.take_of(side, &here, alone);
        let star = if keymap::newest_human(model, side) {
            "  ★ newest by hand"
        } else {
            ""
        };
        choices.push(
            Choice::new(
                format!("{} {}", i + 1, side.name()),
                format!("{shown}{star}"),
                take.clone().map_or(Pick::Nothing, Pick::Value),
            )
            .off_if(match side {
                super::super::model::decide::Side::LastSync if value.is_none() => {
                    Some("no last synced value is known".into())
                }
                _ => take.err(),
            }),
        );
    }
    // What cannot be taken here is not offered; help says of its key why not.
    let offered = [
        (Cmd::Value, "e another value", ""),
        (
            Cmd::Ignore,
            "i ignore from now on",
            "an ignoreDifferences entry in Git",
        ),
        (Cmd::Remove, "d remove", "what Git does not have"),
        (Cmd::Later, "L later", "owner and date"),
    ];
    for (cmd, label, note) in offered {
        let row = keymap::TABLE.iter().find(|row| row.cmd == cmd);
        if row.is_some_and(|row| keymap::works(row, model).is_ok()) {
            let pick = match cmd {
                Cmd::Ignore => Pick::Value(Take::Ignore),
                Cmd::Remove => Pick::Value(Take::Remove),
                cmd => Pick::Cmd(cmd),
            };
            choices.push(Choice::new(label, note, pick));
        }
    }
    let mut list = Choose::new(
        format!("{} {}", question.name, words::field(&question.field)),
        choices,
    );
    for line in implied::touched(model, &question) {
        list = list.note(Role::Bad, line);
    }
    list = list.note(
        Role::Strong,
        format!("{} ({})", question.class, question.confidence),
    );
    for line in question.evidence.iter().take(3) {
        list = list.note(Role::Text, line);
    }
    list.cursor = suggested(model, &question, &list);
    if list.cursor.is_none() {
        list = list.note(Role::Dim, "no default here: ↑↓ or its number, then enter");
    }
    model.dialogs.push(Dialog::Choose(list));
}

/// Where the list's cursor stands at first: on what is suggested, and nowhere when the operator is to be asked.
fn suggested(model: &Model, question: &QuestionNow, list: &Choose) -> Option<usize> {
    let (take, _) = question
        .suggestion
        .as_ref()
        .filter(|_| question.confidence != "ask")?;
    let wanted = take_words(take);
    let side = model.sides_here().iter().position(|side| {
        question
            .cells
            .first()
            .and_then(|cell| side.take(cell, model.alone(question)))
            .is_some_and(|take| take_words(&take) == wanted)
    })?;
    let label = format!("{} ", side + 1);
    list.choices
        .iter()
        .position(|choice| choice.off.is_none() && choice.label.starts_with(&label))
}

/// A value was taken from the list: for which cells?
pub fn for_which(model: &mut Model, take: Take) -> Vec<Effect> {
    let Some(question) = model.question_here() else {
        return Vec::new();
    };
    let several = question.cells.len() > 1;
    let grouped = model.together(question).len() > 1;
    if !several && !grouped {
        let cells = model.cells_for_choice(false, false);
        return chosen(model, cells, take);
    }
    let mut choices = Vec::new();
    let widest = model.cells_for_choice(several, grouped);
    let open: Vec<CellKey> = widest
        .iter()
        .filter(|cell| is_open(model, cell))
        .cloned()
        .collect();
    // What is decided and stands is not asked about again unless somebody wants it.
    let part = !open.is_empty() && open.len() < widest.len();
    if part {
        choices.push(Choice::new(
            "what is open, alone",
            cells_words(&open),
            Pick::Decide {
                cells: open.clone(),
                take: take.clone(),
            },
        ));
    }
    let mut add = |label: &str, every: bool, together: bool| {
        let cells = model.cells_for_choice(every, together);
        if cells == open && part {
            return;
        }
        let decided = cells.iter().filter(|cell| !is_open(model, cell)).count();
        let mut note = cells_words(&cells);
        if decided > 0 {
            note = format!("{decided} of them decided already; {note}");
        }
        choices.push(Choice::new(
            label,
            note,
            Pick::Decide {
                cells,
                take: take.clone(),
            },
        ));
    };
    if several && grouped {
        add("fields written together, every copy", true, true);
    }
    if several {
        add("this field, every copy", true, false);
    }
    if grouped {
        add("fields written together, this copy", false, true);
    }
    add("this field, this copy", false, false);
    let at = choices
        .iter()
        .position(|c| {
            part || matches!(&c.pick, Pick::Decide { cells, .. }
                if model.decide.every_copy || model.decide.together
                    && *cells == model.cells_for_choice(model.decide.every_copy, model.decide.together))
        })
        .unwrap_or(0);
    let mut list = Choose::new(format!("take {} for …", take_words(&take)), choices);
    list.cursor = Some(at);
    model.dialogs.push(Dialog::Choose(list));
    Vec::new()
}
