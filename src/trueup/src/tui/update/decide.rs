//! Choosing a value: by number, by list, by typing; for which cells; with which reason.

use super::super::{
    keymap::Cmd,
    model::{
        Model, ToastKind,
        decide::{group_id, take_words},
        dialog::{Ask, Choice, Choose, Dialog, Field, Pick, Prompt},
    },
    msg::Effect,
    theme::Role,
    widgets::words::{self, count},
};
use super::{ask, keys::prompt};
use trueup_core::{
    decision::{CellKey, Take, Wanted, resolve},
    sheet::Command,
};

/// Moves the cursor among the copies of the question.
pub fn copy(model: &mut Model, by: isize) {
    let len = model.question_here().map_or(0, |q| q.cells.len());
    model.decide.copy = model
        .decide
        .copy
        .saturating_add_signed(by)
        .min(len.saturating_sub(1));
}

/// The first copy without a decision, for a cursor that has just moved.
pub fn first_open_copy(model: &Model) -> usize {
    let Some(question) = model.question_here() else {
        return 0;
    };
    question
        .cells
        .iter()
        .position(|cell| {
            let sides = model.now().cells.get(cell).map(|c| &c.sides);
            match (model.run().decisions.get(cell), sides) {
                (Some(decision), Some(sides)) => !decision.stands(sides),
                (decision, _) => decision.is_none(),
            }
        })
        .unwrap_or_default()
}

pub fn fold(model: &mut Model, group: usize) {
    let Some(group) = model.derived.groups.get(group) else {
        return;
    };
    let id = group.id.clone();
    if !model.decide.folded.remove(&id) {
        model.decide.folded.insert(id);
    }
    model.derive_rows();
}

/// `A`: the switch, and the offer to spread a decision that was made for one copy only.
pub fn every_copy(model: &mut Model) {
    let here = model.cell_here();
    let decided = here
        .as_ref()
        .and_then(|cell| model.run().decisions.get(cell))
        .cloned();
    if let (false, Some(decision), Some(cell)) = (model.decide.every_copy, decided, here) {
        let others: Vec<CellKey> = model
            .cells_for_choice(true, model.decide.together)
            .into_iter()
            .filter(|key| {
                model
                    .run()
                    .decisions
                    .get(key)
                    .is_none_or(|d| d.git != decision.git)
            })
            .collect();
        if !others.is_empty() {
            let take = spreadable(model, &cell, &decision.take);
            let question = model.question_here().map(group_id).unwrap_or_default();
            let known = (take.clone(), decision.reason.clone());
            model.decide.reasons.insert(question, known);
            model.dialogs.push(Dialog::Choose(
                Choose::new(
                    format!("{} for every copy?", take_words(&take)),
                    vec![
                        Choice::new(
                            format!(
                                "yes, for {} more",
                                count(others.len(), "copy").replace("copys", "copies")
                            ),
                            "",
                            Pick::Decide {
                                cells: others.clone(),
                                take,
                            },
                        ),
                        Choice::new("no", "", Pick::Nothing),
                    ],
                )
                .note(Role::Dim, cells_words(&others))
                .without_default(),
            ));
            return;
        }
    }
    model.decide.every_copy = !model.decide.every_copy;
    let said = if model.decide.every_copy {
        "a choice is now for every copy"
    } else {
        "a choice is now for the copy under the cursor alone"
    };
    model.toast(ToastKind::Said, said);
}

/// A take that means the same in every copy: *live* alone means the cell's own live.
fn spreadable(model: &Model, cell: &CellKey, take: &Take) -> Take {
    match take {
        Take::Live(of) if *of == Default::default() => model
            .sides_here()
            .iter()
            .find(|side| {
                matches!(side, super::super::model::decide::Side::Copy { application, namespace }
                    if *application == cell.application && *namespace == cell.object.namespace)
            })
            .map_or(take.clone(), |side| side.take(cell, false)),
        other => other.clone(),
    }
}

pub fn together(model: &mut Model) {
    model.decide.together = !model.decide.together;
    let said = if model.decide.together {
        "a choice is now for all fields that were written together"
    } else {
        "a choice is now for this field alone"
    };
    model.toast(ToastKind::Said, said);
}

/// A number: that column, for the cells that the switches say.
pub fn pick(model: &mut Model, number: usize) -> Vec<Effect> {
    let Some(side) = number
        .checked_sub(1)
        .and_then(|i| model.sides_here().get(i).cloned())
    else {
        model.toast(
            ToastKind::Said,
            format!("no column has the number {number}"),
        );
        return Vec::new();
    };
    let Some(here) = model.cell_here() else {
        return Vec::new();
    };
    let alone = model.question_here().is_some_and(|q| q.cells.len() == 1);
    let take = side.take(&here, alone);
    if let (super::super::model::decide::Side::Copy { .. }, Some(question)) =
        (&side, model.question_here())
        && model.cell_of(question, &side).is_none()
    {
        model.toast(
            ToastKind::Refused,
            format!("{} holds no such field", side.name()),
        );
        return Vec::new();
    }
    let cells = model.cells_for_choice(model.decide.every_copy, model.decide.together);
    chosen(model, cells, take)
}

/// `e`, `i`, `L`, `d`.
pub fn other(model: &mut Model, cmd: Cmd) -> Vec<Effect> {
    let cells = model.cells_for_choice(model.decide.every_copy, model.decide.together);
    match cmd {
        Cmd::Ignore => chosen(model, cells, Take::Ignore),
        Cmd::Remove => chosen(model, cells, Take::Remove),
        Cmd::Later => {
            later(model, cells);
            Vec::new()
        }
        _ => {
            value(model, cells);
            Vec::new()
        }
    }
}

fn value(model: &mut Model, cells: Vec<CellKey>) {
    let text = cells
        .first()
        .and_then(|key| model.now().cells.get(key))
        .and_then(|cell| cell.sides.live.clone().or(cell.sides.git.clone()))
        .filter(|value| !trueup_core::decision::is_secret(value))
        .map(|value| trueup_core::text::value(&value))
        .unwrap_or_default();
    prompt(
        model,
        Prompt::new(
            Ask::Value {
                cells: cells.clone(),
            },
            "another value",
            vec![Field::new("value", &text)],
        )
        .note(Role::Text, cells_words(&cells))
        .note(
            Role::Dim,
            "text stays text where the field holds text; else it is read as JSON",
        ),
    );
}

fn later(model: &mut Model, cells: Vec<CellKey>) {
    let owner = model.run().operator.clone();
    prompt(
        model,
        Prompt::new(
            Ask::Later { cells: cells.clone() },
            "decide later",
            vec![
                Field::new("how", "keepLive"),
                Field::new("owner", &owner),
                Field::new("until", ""),
            ],
        )
        .note(Role::Text, cells_words(&cells))
        .note(
            Role::Dim,
            "how: keepLive (into Git as it is, removed later), gitNow (Git wins, a follow-up is owed), stayFrozen (handed over). until: a date, 2026-12-01",
        ),
    );
}

/// What a choice is for, in one line.
pub fn cells_words(cells: &[CellKey]) -> String {
    let fields: std::collections::BTreeSet<String> =
        cells.iter().map(|cell| words::field(&cell.field)).collect();
    let places: std::collections::BTreeSet<String> = cells
        .iter()
        .map(|cell| {
            cell.object
                .namespace
                .clone()
                .unwrap_or_else(|| cell.application.name.clone())
        })
        .collect();
    let some = |set: std::collections::BTreeSet<String>| {
        let more = set.len().saturating_sub(4);
        let mut text = set.into_iter().take(4).collect::<Vec<_>>().join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    };
    format!(
        "{}: {} in {}",
        count(cells.len(), "cell"),
        some(fields),
        some(places)
    )
}

/// What a choice would change.
struct Implied {
    words: String,
    /// Live values that it replaces and that stand nowhere in Git.
    lost: Vec<String>,
}

/// What a choice would change; an error says why it cannot be made.
fn implies(model: &Model, cells: &[CellKey], take: &Take) -> Result<Implied, String> {
    let (mut git, mut live, mut deleted) = (0, 0, 0);
    let (mut gone, mut kept) = (Vec::new(), model.derived.git_values.clone());
    let mut files = std::collections::BTreeSet::new();
    for key in cells {
        let Some(cell) = model.now().cells.get(key) else {
            continue;
        };
        let copy = match take {
            Take::Live(of) if *of != Default::default() => model
                .now()
                .cells
                .iter()
                .find(|(other, _)| {
                    other.field == key.field
                        && other.object.name == key.object.name
                        && other.object.kind == key.object.kind
                        && (of.namespace.is_none() || other.object.namespace == of.namespace)
                        && of.application.as_ref().is_none_or(|app| {
                            other.application.name == *app || other.application.to_string() == *app
                        })
                })
                .map(|(_, cell)| cell.sides.live.clone()),
            _ => None,
        };
        let (wanted_git, wanted_live) =
            resolve(key, take, &cell.sides, copy.as_ref(), true).map_err(|e| e.to_string())?;
        if !wanted_git.met_by(&cell.sides.git) {
            git += 1;
            if let Some((path, _)) = cell.source.rsplit_once(':') {
                files.insert(path);
            }
        }
        if let Wanted::Value(value) = &wanted_git {
            kept.insert(value.to_string());
        }
        if !wanted_live.met_by(&cell.sides.live) {
            live += 1;
            deleted += usize::from(key.field.is_root() && wanted_live == Wanted::Absent);
            gone.extend(cell.sides.live.as_ref());
        }
    }
    let mut lost: Vec<String> = gone
        .into_iter()
        .filter(|value| !kept.contains(&value.to_string()))
        .map(trueup_core::text::value)
        .collect();
    lost.sort();
    lost.dedup();
    let whole = cells.iter().all(|cell| cell.field.is_root());
    let what = if whole { "object" } else { "field" };
    let words = if deleted > 0 {
        format!(
            "Git changes in {} ({}); {} deleted from the cluster, by a sheet of its own",
            count(git, what),
            count(files.len(), "file"),
            count(deleted, what),
        )
    } else if matches!(take, Take::Ignore) {
        "both sides stay as they are; an ignoreDifferences entry is written where the Application is declared".to_owned()
    } else {
        format!(
            "Git changes in {} ({}), the cluster in {}",
            count(git, what),
            count(files.len(), "file"),
            count(live, what),
        )
    };
    Ok(Implied { words, lost })
}

/// Value and cells are known: asks the reason once for a group, else decides.
pub fn chosen(model: &mut Model, cells: Vec<CellKey>, take: Take) -> Vec<Effect> {
    let implied = match implies(model, &cells, &take) {
        Ok(implied) => implied,
        Err(why) => {
            model.toast(ToastKind::Refused, format!("{}: {why}", take_words(&take)));
            return Vec::new();
        }
    };
    let group = model.question_here().map(group_id).unwrap_or_default();
    // What was said for one choice is no reason for another, nor for deciding anew.
    let anew = |cell: &CellKey| {
        let decided = model.run().decisions.get(cell);
        decided.is_some_and(|decision| decision.take != take)
    };
    let known = model.decide.reasons.get(&group);
    let known = known
        .filter(|(of, _)| *of == take && !cells.iter().any(anew))
        .map(|(_, reason)| reason.clone());
    // What is lost is shown before it is decided, whether the reason is known or not.
    if let (Some(reason), true) = (&known, implied.lost.is_empty()) {
        return ask(Command::Decide {
            cells,
            take,
            reason: reason.clone(),
        });
    }
    let split = split_warning(model, &cells);
    let mut form = Prompt::new(
        Ask::Reason {
            cells: cells.clone(),
            take: take.clone(),
        },
        format!("take {}", take_words(&take)),
        vec![Field::new("reason", "")],
    )
    .note(Role::Text, cells_words(&cells))
    .note(Role::Info, implied.words);
    if !implied.lost.is_empty() {
        form = form.note(
            Role::Bad,
            format!(
                "! {} {} nowhere in Git and will be gone",
                implied.lost.join(" / "),
                if implied.lost.len() == 1 {
                    "stands"
                } else {
                    "stand"
                }
            ),
        );
    }
    if let Some(warning) = split {
        form = form.note(Role::Warn, warning);
    }
    prompt(
        model,
        form.note(
            Role::Dim,
            "asked once for this group; it is in the transcript",
        ),
    );
    Vec::new()
}

/// Fields that were written together and are about to be decided apart.
fn split_warning(model: &Model, cells: &[CellKey]) -> Option<String> {
    let question = model.question_here()?;
    let others: Vec<String> = model
        .together(question)
        .iter()
        .filter(|q| {
            q.cells.iter().any(|cell| {
                cells.iter().any(|c| c.application == cell.application)
                    && !cells.contains(cell)
                    && !model.run().decisions.contains_key(cell)
            })
        })
        .map(|q| q.field.clone())
        .collect();
    (!others.is_empty()).then(|| {
        format!(
            "{} was written together with this and is not part of the choice (esc, then g)",
            others.join(", ")
        )
    })
}

/// The text typed as a value: text where the field holds text, else JSON.
pub fn typed_value(model: &Model, cells: &[CellKey], text: &str) -> serde_json::Value {
    let sides = cells
        .first()
        .and_then(|key| model.now().cells.get(key))
        .map(|cell| &cell.sides);
    let is_text = sides.is_none_or(|sides| {
        sides
            .git
            .as_ref()
            .or(sides.live.as_ref())
            .is_none_or(serde_json::Value::is_string)
    });
    if is_text {
        return serde_json::Value::String(text.to_owned());
    }
    serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.to_owned()))
}
