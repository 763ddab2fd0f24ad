//! The conditions under which keys work; each error says why not.

use super::super::model::Model;
use trueup_core::{object::redact::secret_key, plan::Gate};

pub fn always(_: &Model) -> Result<(), String> {
    Ok(())
}
pub fn some_row(model: &Model) -> Result<(), String> {
    if model.rows() == 0 {
        return Err("the list is empty".into());
    }
    Ok(())
}
pub fn some_app(model: &Model) -> Result<(), String> {
    if model.app_here().is_none() {
        return Err("no Application is under the cursor".into());
    }
    Ok(())
}
pub fn some_mark(model: &Model) -> Result<(), String> {
    if model.marks.is_empty() {
        return Err("nothing is marked: space marks, a marks all suspicious".into());
    }
    Ok(())
}
pub fn armed_cluster(model: &Model) -> Result<(), String> {
    if !model.run().armed.cluster() {
        return Err("not armed for the cluster: W arms".into());
    }
    Ok(())
}
/// A live action needs a freeze that is proven, of one Application at least: the form says of which.
pub fn actable(model: &Model) -> Result<(), String> {
    armed_cluster(model)?;
    if !model.run().apps.values().any(|app| app.freeze.proven()) {
        return Err(
            "no freeze is proven yet, and a live action would be undone or synced over: freeze first"
                .into(),
        );
    }
    Ok(())
}
pub fn freezable(model: &Model) -> Result<(), String> {
    some_app(model)?;
    armed_cluster(model)
}
/// Frozen by another incident, which may be gone.
pub fn foreign(model: &Model) -> Result<(), String> {
    match model.foreign() {
        Some(_) => Ok(()),
        None => Err("no other incident has frozen this application".into()),
    }
}
pub fn cell(model: &Model) -> Result<(), String> {
    if model.cell_here().is_none() {
        return Err("there is no divergence under the cursor".into());
    }
    Ok(())
}
/// A field, not an object as a whole.
pub fn field(model: &Model) -> Result<(), String> {
    cell(model)?;
    let chosen = model.cells_for_choice(model.decide.every_copy, model.decide.together);
    if chosen.iter().any(|key| key.field.is_root()) {
        return Err(
            "an object as a whole is there or it is not: take a side, remove it, or put it off"
                .into(),
        );
    }
    Ok(())
}
pub fn secret(model: &Model) -> Result<(), String> {
    let cell = model
        .cell_here()
        .ok_or("there is no divergence under the cursor")?;
    if cell.object.kind != "Secret" || secret_key(&cell.field).is_none() {
        return Err("no secret value is under the cursor".into());
    }
    Ok(())
}
pub fn removable(model: &Model) -> Result<(), String> {
    cell(model)?;
    let in_git = model
        .cells_for_choice(model.decide.every_copy, model.decide.together)
        .iter()
        .any(|key| {
            model
                .now()
                .cells
                .get(key)
                .is_some_and(|cell| cell.sides.git.is_some())
        });
    if in_git {
        return Err("Git has this field: remove is for what Git does not have".into());
    }
    Ok(())
}
pub fn several_copies(model: &Model) -> Result<(), String> {
    match model.question_here() {
        Some(question) if question.cells.len() > 1 => Ok(()),
        _ => Err("this field has no copies".into()),
    }
}
pub fn grouped(model: &Model) -> Result<(), String> {
    match model.question_here() {
        Some(question) if model.together(question).len() > 1 => Ok(()),
        _ => Err("no other field was written together with this one".into()),
    }
}
pub fn undoable(model: &Model) -> Result<(), String> {
    let run = model.run();
    if run.may_take_back() || run.acted_last().is_some() {
        return Ok(());
    }
    Err(match run.decided.is_empty() {
        true => "no decision to take back".into(),
        false => "the last decision is pushed or synced: decide it anew".into(),
    })
}
pub fn waiting(model: &Model) -> Result<(), String> {
    match model.waiting() {
        None => Err("nothing is being waited for".into()),
        Some(wait) if !wait.cancellable => Err(format!("{} cannot be given up", wait.what)),
        Some(_) => Ok(()),
    }
}
pub fn proposed(model: &Model) -> Result<(), String> {
    if model.run().proposal.is_none() {
        return Err("no commit is built yet: n builds and proves it".into());
    }
    Ok(())
}
pub fn manual_gate(model: &Model) -> Result<(), String> {
    let open = model
        .run()
        .gates
        .iter()
        .filter(|(_, gate)| matches!(gate, Gate::Manual(_)));
    let mut said = Err("no manual gate is waiting for an attestation".into());
    for (name, _) in open {
        match trueup_core::rules::gate_reached(model.run(), name) {
            Ok(()) => return Ok(()),
            Err(refusal) => said = Err(refusal.reason),
        }
    }
    said
}
pub fn glass(model: &Model) -> Result<(), String> {
    super::super::update::glass_to_break(model).map(|_| ())
}
pub fn stopped_field(model: &Model) -> Result<(), String> {
    super::super::update::field_that_differs(model)
        .map(|_| ())
        .ok_or_else(|| "no field stands between prediction and decision".into())
}
pub fn moved(model: &Model) -> Result<(), String> {
    if model.derived.moved.is_empty() {
        if model.unread().is_some() || model.run().blind_now().is_some() {
            return Err("not all can be read: whether anything moved is not known".into());
        }
        return Err("nothing moved since the snapshot".into());
    }
    Ok(())
}
pub fn unreviewed(model: &Model) -> Result<(), String> {
    if model
        .run()
        .broken_glass
        .iter()
        .all(|g| g.reviewed.is_some())
    {
        return Err("no broken glass waits for a review".into());
    }
    Ok(())
}
/// What is owed by somebody, or can be.
pub fn handable(model: &Model) -> Result<(), String> {
    let owed = model.cursor().and_then(|at| model.derived.owed.get(at));
    let Some(owed) = owed else {
        return Err("nothing is owed here".into());
    };
    match owed.settle.as_str() {
        "hand over" | "thaw" | trueup_core::event::Obligation::PARK
            if owed.application.is_some() =>
        {
            Ok(())
        }
        settle => Err(format!(
            "{}: nobody can take it over; it is settled by: {settle}",
            owed.what
        )),
    }
}
pub fn closable(model: &Model) -> Result<(), String> {
    match model.derived.owed.iter().find(|owed| owed.blocks_close) {
        Some(owed) => Err(format!("rule 10: {}", owed.what)),
        None => Ok(()),
    }
}
