//! Choosing a value: by number, by list, by typing; for which cells; with which reason.

use super::super::{
    keymap::Cmd,
    model::{
        Model, ToastKind,
        decide::{Given, Seen, group_id, take_words},
        dialog::{Ask, Choice, Choose, Dialog, Field, Pick, Prompt},
        hold::SETTLE,
        value,
    },
    msg::Effect,
    theme::Role,
    widgets::words::{self, count},
};
use super::{implied, keys::prompt};
use trueup_core::decision::{CellKey, Decision, How, Kept, Later, Sides, Take};

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
    let mut cells = question.cells.iter();
    cells
        .position(|cell| is_open(model, cell))
        .unwrap_or_default()
}

/// Whether a cell has no decision that stands.
pub fn is_open(model: &Model, cell: &CellKey) -> bool {
    !model.run().decisions.contains_key(cell) || withdrawn_by_world(model, cell)
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
    begin(model);
    let here = model.cell_here();
    let decided = here
        .as_ref()
        .filter(|cell| !is_open(model, cell))
        .and_then(|cell| model.run().decisions.get(cell))
        .cloned();
    if let (false, Some(decision), Some(cell)) = (model.decide.every_copy, decided, here) {
        let others: Vec<CellKey> = model
            .cells_for_choice(true, model.decide.together)
            .into_iter()
            // A value that was typed, or kept, is that of one field.
            .filter(|key| {
                let own = matches!(decision.take, Take::Value(_) | Take::Snapshot(_));
                !own || key.field == cell.field
            })
            .filter(|key| {
                let same = |d: &Decision| d.git == decision.git;
                is_open(model, key) || !model.run().decisions.get(key).is_some_and(same)
            })
            .collect();
        if !others.is_empty() {
            let take = spreadable(model, &cell, &decision.take);
            let question = model.question_here().map(group_id).unwrap_or_default();
            let seen = group_sides(model);
            let given = Given {
                take: take.clone(),
                reason: decision.reason.clone(),
                seen,
            };
            model.decide.reasons.insert(question, given);
            let settled = others.iter().filter(|key| !is_open(model, key)).count();
            let settled = match settled {
                0 => String::new(),
                n => format!("{n} of them decided otherwise already"),
            };
            model.dialogs.push(Dialog::Choose(
                Choose::new(
                    format!("{} for every copy?", take_words(&take)),
                    vec![
                        Choice::new(
                            format!(
                                "yes, for {} more",
                                count(others.len(), "copy").replace("copys", "copies")
                            ),
                            settled,
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
            .and_then(|side| side.take(cell, false))
            .unwrap_or_else(|| take.clone()),
        // The value is there already; a copy has to be told where it comes from.
        Take::Snapshot(kept) if kept.of() == Default::default() => {
            let namespace = cell.object.namespace.clone();
            let application = namespace.is_none().then(|| cell.application.to_string());
            Take::Snapshot(Kept {
                application,
                namespace,
                ..kept.clone()
            })
        }
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

/// On the row of an object no field is under the cursor, whatever the pane shows: goes to the one that is shown, and says
/// whether it had to.
fn onto_the_field(model: &mut Model) -> bool {
    let at = model.cursor().and_then(|at| model.derived.rows.get(at));
    let on_object = matches!(at, Some(super::super::model::decide::DecideRow::Group(_)));
    let cell = model.cell_here().filter(|_| on_object);
    if let Some(cell) = &cell {
        model.go_to_cell(cell);
    }
    cell.is_some()
}

/// A number: that column, for the cells that the switches say.
pub fn pick(model: &mut Model, number: usize) -> Vec<Effect> {
    if onto_the_field(model) {
        let field = model.question_here().map(|question| question.field.clone());
        model.toast(
            ToastKind::Said,
            format!(
                "the cursor was on the object; now it is on {}: press {number} again to decide that",
                words::field(field.unwrap_or_default())
            ),
        );
        // What was typed along with it was meant for a form.
        model.settles_at = Some(model.time + SETTLE);
        return Vec::new();
    }
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
    begin(model);
    let alone = model.question_here().is_some_and(|q| model.alone(q));
    let take = match model.take_of(&side, &here, alone) {
        Ok(take) => take,
        Err(why) => {
            model.toast(ToastKind::Refused, format!("{}: {why}", side.name()));
            return Vec::new();
        }
    };
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
    // Its form names the field.
    onto_the_field(model);
    begin(model);
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
    let fields = fields_of(&cells);
    let text = cells
        .first()
        // What one field holds is not offered to another.
        .filter(|_| fields.len() == 1)
        .and_then(|key| model.now().cells.get(key))
        .and_then(|cell| cell.sides.live.clone().or(cell.sides.git.clone()))
        .filter(|value| !trueup_core::decision::is_secret(value))
        .map(|value| value::text(&value))
        .unwrap_or_default();
    let lost = value::shown(&text).err();
    let mut form = Prompt::new(
        Ask::Value {
            cells: cells.clone(),
        },
        "another value",
        vec![Field::value("value", &text)],
    );
    if let Some(why) = lost {
        form = form.note(
            Role::Warn,
            format!("what stands there is not brought in: {why}"),
        );
    }
    if fields.len() > 1 {
        form = form.note(Role::Warn, one_value_for(&fields));
    }
    prompt(
        model,
        form.note(Role::Text, cells_words(&cells)).note(
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

/// The form of a field that was put off, for somebody else to have it.
pub fn hand_over(model: &mut Model, cell: CellKey, later: &Later) {
    model.decide.choosing = None;
    let how = match later.how {
        How::KeepLive => "keepLive",
        How::GitNow => "gitNow",
        How::StayFrozen => "stayFrozen",
    };
    let form = Prompt::new(
        Ask::Later {
            cells: vec![cell.clone()],
        },
        "hand over what was put off",
        vec![
            Field::new("how", how),
            Field::new("owner", &later.owner),
            Field::new("until", &later.until),
        ],
    )
    .note(Role::Strong, format!("{} {}", cell.object, words::field(&cell.field)))
    .note(
        Role::Dim,
        "who has it from now on, and until when (2026-12-01); why comes next, and stands in the transcript",
    );
    prompt(model, form);
}

/// The different fields of cells, in their order.
fn fields_of(cells: &[CellKey]) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for cell in cells {
        let field = words::field(&cell.field);
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    fields
}

fn one_value_for(fields: &[String]) -> String {
    let named = trueup_core::text::some(fields, 6);
    format!("! the same value for each of {}: {named}", fields.len())
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

/// Value and cells are known: what is decided otherwise already is not taken along unasked, and what is decided so already
/// is not signed anew along with what is open.
pub fn chosen(model: &mut Model, mut cells: Vec<CellKey>, take: Take) -> Vec<Effect> {
    let otherwise = match implied::implied(model, &cells, &take) {
        Ok(implied) => implied.otherwise,
        Err(why) => {
            model.toast(ToastKind::Refused, format!("{}: {why}", take_words(&take)));
            return Vec::new();
        }
    };
    let open = |cell: &CellKey| is_open(model, cell) || otherwise.contains(cell);
    if cells.iter().any(open) {
        cells.retain(open);
    }
    if otherwise.is_empty() || otherwise.len() == cells.len() {
        return reason(model, cells, take);
    }
    let rest: Vec<CellKey> = cells
        .iter()
        .filter(|cell| !otherwise.contains(cell))
        .cloned()
        .collect();
    let mut list = Choose::new(
        format!(
            "{} of {} decided otherwise",
            otherwise.len(),
            count(cells.len(), "cell")
        ),
        vec![
            Choice::new(
                format!("leave what is decided, take {}", take_words(&take)),
                format!("for {}", cells_words(&rest)),
                Pick::Reason {
                    cells: rest,
                    take: take.clone(),
                },
            ),
            Choice::new(
                "replace what is decided too",
                format!("for {}", cells_words(&cells)),
                Pick::Reason {
                    cells: cells.clone(),
                    take,
                },
            ),
        ],
    );
    for cell in otherwise.iter().take(5) {
        list = list.note(Role::Warn, decided_words(model, cell));
    }
    if otherwise.len() > 5 {
        list = list.note(Role::Warn, format!("and {} more", otherwise.len() - 5));
    }
    model.dialogs.push(Dialog::Choose(list));
    Vec::new()
}

/// What is decided for a cell, and why.
fn decided_words(model: &Model, cell: &CellKey) -> String {
    let place = cell.object.namespace.as_ref();
    let place = place.unwrap_or(&cell.application.name);
    let field = words::field(&cell.field);
    match model.run().decisions.get(cell) {
        Some(decision) => format!(
            "{field} in {place} is decided: {} ({})",
            match &decision.take {
                Take::Value(_) => take_words(&decision.take),
                _ => super::super::model::decide::decided_words(decision),
            },
            decision.reason
        ),
        None => format!("{field} in {place}"),
    }
}

/// What the cells of the question's group hold now; a reason is one for these values.
pub fn group_sides(model: &Model) -> Seen {
    let group = model.question_here().map(group_id).unwrap_or_default();
    model
        .now()
        .questions
        .iter()
        .filter(|question| group_id(question) == group)
        .flat_map(|question| &question.cells)
        .filter_map(|key| Some((key.clone(), model.now().cells.get(key)?.sides.clone())))
        .collect()
}

/// From here on the operator chooses among what is shown now.
pub fn begin(model: &mut Model) {
    let mut seen = group_sides(model);
    let together = model
        .question_here()
        .map(|question| model.together(question));
    for key in together.into_iter().flatten().flat_map(|q| &q.cells) {
        if let Some(cell) = model.now().cells.get(key) {
            seen.insert(key.clone(), cell.sides.clone());
        }
    }
    model.decide.choosing = Some(seen);
}

/// What stood in the cells, and in the copy that is taken for them, when the operator began to choose.
fn seen(model: &Model, cells: &[CellKey], take: &Take) -> Vec<(CellKey, Sides)> {
    let from = |key: &CellKey| match take {
        Take::Live(of) if *of != Default::default() => {
            cells.iter().any(|cell| implied::is_copy(key, cell, of))
        }
        _ => false,
    };
    let now = &model.now().cells;
    let chosen = model.decide.choosing.as_ref();
    now.iter()
        .filter(|(key, _)| cells.contains(key) || from(key))
        .map(|(key, cell)| {
            let sides = chosen.and_then(|seen| seen.get(key)).unwrap_or(&cell.sides);
            (key.clone(), sides.clone())
        })
        .collect()
}

/// The form for the reason. It is there for every decision, so that what is typed has a place; what was said before stands
/// in it when it was said for this choice, of these values.
pub fn reason(model: &mut Model, cells: Vec<CellKey>, take: Take) -> Vec<Effect> {
    let implied = match implied::implied(model, &cells, &take) {
        Ok(implied) => implied,
        Err(why) => {
            model.toast(ToastKind::Refused, format!("{}: {why}", take_words(&take)));
            return Vec::new();
        }
    };
    let seen = seen(model, &cells, &take);
    if let Err(moved) = trueup_core::rules::as_chosen(model.now(), &take, &seen) {
        model.toast(
            ToastKind::Refused,
            format!("{}: {}", moved.reason, moved.hint),
        );
        return Vec::new();
    }
    let group = model.question_here().map(group_id).unwrap_or_default();
    let decided = cells
        .iter()
        .any(|cell| model.run().decisions.contains_key(cell) && !withdrawn_by_world(model, cell));
    let undone = implied::undone(model, &cells, &take);
    let overtaken = cells.iter().any(|cell| withdrawn_by_world(model, cell));
    let said = model
        .decide
        .reasons
        .get(&group)
        // What somebody changed since is answered for by nothing that was said before.
        .filter(|_| undone.is_empty() && !overtaken)
        .filter(|given| {
            given.take == take && implied.otherwise.is_empty() && given.seen == group_sides(model)
        })
        .map(|given| given.reason.clone());
    let note = match &said {
        Some(_) => "as said before for this choice: enter signs it, ctrl-u begins anew",
        None if decided => "it is decided already: why anew? It is in the transcript",
        None => "in the transcript; offered again for the same choice in this group",
    };
    let split = split_warning(model, &cells);
    let mut form = Prompt::new(
        Ask::Reason {
            cells: cells.clone(),
            take: take.clone(),
            seen,
        },
        match &take {
            // Its end is in the note, whole or cut in the middle.
            Take::Value(value) => format!(
                "take value {}",
                words::fit_middle(&trueup_core::text::value(value), 40)
            ),
            take => format!("take {}{}", take_words(take), implied.value_words(take)),
        },
        vec![Field::new("reason", &said.unwrap_or_default())],
    );
    for line in undone {
        form = form.note(Role::Bad, line);
    }
    if let Take::Value(value) = &take {
        let raw = value::text(value);
        let size = value::size(&raw)
            .map(|size| format!(" ({size})"))
            .unwrap_or_default();
        let ends = words::fit_middle(&trueup_core::text::value(value), 120);
        form = form.note(Role::Strong, format!("value{size}: {ends}"));
        let fields = fields_of(&cells);
        if fields.len() > 1 {
            form = form.note(Role::Warn, one_value_for(&fields));
        }
    }
    for line in implied.each(&take) {
        form = form.note(Role::Strong, line);
    }
    form = form
        .note(Role::Text, cells_words(&cells))
        .note(Role::Info, implied.words.clone());
    for (role, line) in implied.losses() {
        form = form.note(role, line);
    }
    match implied.otherwise.as_slice() {
        [] => {}
        [one] => {
            form = form.note(
                Role::Warn,
                format!("! replaces: {}", decided_words(model, one)),
            )
        }
        [one, more @ ..] => {
            form = form.note(
                Role::Warn,
                format!(
                    "! replaces {}: {}, and {} more",
                    count(implied.otherwise.len(), "decision"),
                    decided_words(model, one),
                    more.len()
                ),
            );
        }
    }
    if let Some(warning) = split {
        form = form.note(Role::Warn, warning);
    }
    prompt(model, form.note(Role::Dim, note));
    Vec::new()
}

/// Whether what was decided is open again because Git or the cluster moved.
fn withdrawn_by_world(model: &Model, cell: &CellKey) -> bool {
    let now = model.now().cells.get(cell);
    let decision = model.run().decisions.get(cell);
    now.zip(decision)
        .is_some_and(|(now, decision)| !now.upholds(decision))
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
pub fn typed_value(
    model: &Model,
    cells: &[CellKey],
    text: &str,
) -> Result<serde_json::Value, String> {
    let held = |key: &CellKey| {
        let sides = &model.now().cells.get(key)?.sides;
        let value = sides.git.as_ref().or(sides.live.as_ref())?;
        Some(value.is_string())
    };
    let mut kinds: Vec<bool> = cells.iter().filter_map(held).collect();
    kinds.sort_unstable();
    kinds.dedup();
    match kinds.as_slice() {
        [false] => Ok(trueup_core::strict::json(text)
            .unwrap_or_else(|_| serde_json::Value::String(text.to_owned()))),
        [_, _, ..] => Err("some of these fields hold text and some do not: one value is none for all of them (esc, then g)".into()),
        _ => Ok(serde_json::Value::String(text.to_owned())),
    }
}
