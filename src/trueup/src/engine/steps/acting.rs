//! What is to be minded before a live action: what it comes to in Git, and which value is gone by it.

use serde_json::Value;
use trueup_core::{
    decision::{CellKey, Wanted},
    event::Effect,
    now::{Now, would_be_missed},
    object::identity::{AppKey, ObjectRef},
    plan::Action,
    run::Run,
    text,
};

use super::super::read::World;
use super::act::Worked;

/// The lines of its sheet.
pub(in super::super) fn minds(
    run: &Run,
    world: &World,
    now: &Now,
    key: &AppKey,
    action: &Action,
    worked: &Worked,
) -> Vec<String> {
    if *action == (Action::Restart {}) {
        return vec![
            "the pods are replaced; when that was is no part of Git and owed to nobody".into(),
        ];
    }
    let cell = CellKey {
        application: key.clone(),
        object: worked.object.clone(),
        field: worked.field.clone(),
    };
    let mut minds = Vec::new();
    let (standing, _) = run.acts();
    if let Some(act) = standing.iter().rfind(|act| act.cell.is_same(&cell))
        && act.to != worked.from
    {
        let shown = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "(absent)".to_owned(), text::value)
        };
        minds.push(format!(
            "the last live action on it set it to {}, and it is {} now: somebody or something set it since",
            shown(&act.to),
            shown(&worked.from)
        ));
    }
    if let Some(value) = &worked.from
        && is_gone(run, world, now, &cell, value)
    {
        let value_shown = text::value(value);
        minds.push(match now.not_all_read() {
            None => format!(
                "{value_shown} stands nowhere in Git and will be gone{}",
                elsewhere(world, &cell, value),
            ),
            Some(why) => text::line(&format!(
                "whether {value_shown} stands in Git is not known, since not all of Git could be read ({why}): where it does not, it will be gone{}",
                elsewhere(world, &cell, value),
            )),
        });
    }
    let app = world.applications.get(key);
    let (git, _) = app.map_or((None, None), |app| app.sides_of(&worked.object));
    let in_git = git.and_then(|git| worked.field.get(git));
    let read = app.is_some_and(|app| app.complete);
    let before = run.as_before_acts(&cell, worked.to.as_ref());
    minds.push(match (read && in_git == worked.to.as_ref(), before) {
        (true, _) => "it sets what Git has: nothing of it has to reach Git".into(),
        (false, true) => {
            "it puts back what stood there before the live action: nothing of that is owed then"
                .into()
        }
        _ => "it has to reach Git before the incident closes, or be put back".to_owned(),
    });
    let decided = run.decisions.keys().any(|other| other.is_same(&cell));
    let mut asked = now.cells.iter().filter(|(other, _)| other.is_same(&cell));
    if !decided
        && asked.any(|(_, cell)| cell.question.is_some())
        && read
        && in_git == worked.to.as_ref()
    {
        minds.push("the field is not decided, and stays a question".into());
    }
    minds
}

/// Whether Git does not hold the value that is replaced, is not to get it, and no journal has it as ours.
fn is_gone(run: &Run, world: &World, now: &Now, cell: &CellKey, value: &Value) -> bool {
    let app = world.applications.get(&cell.application);
    let (git, _) = app.map_or((None, None), |app| app.sides_of(&cell.object));
    let in_git = git.and_then(|git| cell.field.get(git)) == Some(value)
        || now.git_values().contains(&value.to_string());
    let to_git = run
        .decisions
        .iter()
        .filter(|(other, _)| !other.is_same(cell))
        .any(|(_, decision)| decision.git == Wanted::Value(value.clone()));
    let ours = |effect: &Effect| {
        matches!(effect, Effect::Act { cell: Some(acted), action, .. } if acted.is_same(cell)
        && match action {
            Action::Patch { value: set, .. } => set == value,
            Action::Scale { replicas } => value.as_u64() == Some(u64::from(*replicas)),
            _ => false,
        })
    };
    // What stood before the first of them was put back by one: that does not make it ours.
    let typed = !run.as_before_acts(cell, Some(value))
        && run.ops.values().any(|op| op.done() && ours(&op.effect));
    would_be_missed(value) && !in_git && !to_git && !typed
}

/// Where a value is still live, besides the cell.
fn elsewhere(world: &World, cell: &CellKey, value: &Value) -> String {
    let copy = |object: &Value| {
        ObjectRef::from_object(object).is_ok_and(|other| {
            other.kind == cell.object.kind
                && other.name == cell.object.name
                && other.key() != cell.object.key()
        }) && cell.field.get(object) == Some(value)
    };
    let names: Vec<&str> = world
        .applications
        .iter()
        .filter(|(_, app)| app.live_objects().any(copy))
        .map(|(key, _)| key.name.as_str())
        .collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(" here; it is still live in {}", names.join(", ")),
    }
}
