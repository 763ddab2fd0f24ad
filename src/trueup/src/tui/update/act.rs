//! Live actions: which one, on what, why.

use super::super::{
    model::{
        Model, ToastKind,
        dialog::{ActKind, Ask, Choice, Choose, Dialog, Field, Pick, Prompt},
        value,
    },
    msg::Effect,
    theme::Role,
};
use super::ask;
use trueup_core::{
    decision::CellKey,
    now::{CellNow, Now},
    object::identity::AppKey,
    plan::Action,
    sheet::Command,
};

/// `x`: which kind of live action.
pub fn offer(model: &mut Model) {
    let application = model
        .app_here()
        .or_else(|| model.run().scope.first().cloned())
        .map(|key| key.to_string())
        .unwrap_or_default();
    let cell = model.cell_here();
    let object = cell
        .as_ref()
        .map(|cell| format!("{}/{}", cell.object.kind, cell.object.name))
        .unwrap_or_default();
    let field = cell
        .as_ref()
        .map(|cell| cell.field.to_string())
        .unwrap_or_default();
    let choices = ActKind::ALL
        .into_iter()
        .map(|(kind, label, note)| {
            let with_field = matches!(kind, ActKind::Patch | ActKind::Remove);
            Choice::new(
                label,
                note,
                Pick::Prompt(Ask::Act {
                    kind,
                    application: application.clone(),
                    object: if with_field {
                        object.clone()
                    } else {
                        String::new()
                    },
                    field: if with_field {
                        field.clone()
                    } else {
                        String::new()
                    },
                    value: String::new(),
                }),
            )
        })
        .collect();
    model.dialogs.push(Dialog::Choose(
        Choose::new("live action", choices).note(
            Role::Dim,
            "same sheet and guards as any write; it makes a decision that has to reach Git before the incident closes",
        ),
    ));
}

/// `R`: put a field back to what the snapshot holds.
pub fn restore(model: &mut Model) {
    let choices = model
        .derived
        .moved
        .iter()
        .take(50)
        .map(|moved| {
            let kept = moved.kept.as_ref().map(trueup_core::text::value);
            let live = moved.live.as_ref().map(trueup_core::text::value);
            let raw = moved.kept.as_ref().map(value::text).unwrap_or_default();
            let words = |value: Option<String>| value.unwrap_or_else(|| "(absent)".into());
            let kind = if kept.is_some() {
                ActKind::Patch
            } else {
                ActKind::Remove
            };
            Choice::new(
                format!("{} {}", moved.object, moved.field),
                format!("{} → {}", words(live), words(kept.clone())),
                Pick::Prompt(Ask::Act {
                    kind,
                    application: moved.application.to_string(),
                    object: moved.object.clone(),
                    field: moved.field.clone(),
                    value: raw.clone(),
                }),
            )
            .off_if(match &moved.kept {
                Some(value) if trueup_core::decision::is_secret(value) => {
                    Some("a secret is not kept (rule 7)".into())
                }
                _ => value::shown(&raw).err(),
            })
        })
        .collect();
    model.dialogs.push(Dialog::Choose(
        Choose::new("restore from the snapshot", choices)
            .note(Role::Dim, "a live action with its own sheet"),
    ));
}

pub fn form(
    model: &Model,
    kind: ActKind,
    application: &str,
    object: &str,
    field: &str,
    value: &str,
) -> Prompt {
    let mut fields = vec![
        Field::new("application", application),
        Field::new("object", object),
    ];
    match kind {
        ActKind::Patch => {
            fields.push(Field::new("field", field));
            fields.push(Field::value("value", value));
        }
        ActKind::Remove => fields.push(Field::new("field", field)),
        ActKind::Scale => fields.push(Field::new("replicas", value)),
        ActKind::Restart | ActKind::Suspend => {}
    }
    fields.push(Field::new("reason", ""));
    let label = ActKind::ALL
        .iter()
        .find(|(k, _, _)| *k == kind)
        .map_or("live action", |(_, label, _)| label);
    let form = Prompt::new(
        Ask::Act {
            kind,
            application: application.into(),
            object: object.into(),
            field: field.into(),
            value: value.into(),
        },
        label,
        fields,
    )
    .note(
        Role::Dim,
        "object: KIND/NAME, as in Deployment/payment; the sheet comes next",
    );
    match stands(model.now(), application, object, field) {
        Some(stands) => form.note(Role::Text, stands),
        None => form,
    }
}

/// After an edit: what the form says of a target, and fills in for it, is for the target that is typed now.
pub fn target_moved(now: &Now, prompt: &mut Prompt) {
    let Ask::Act {
        application,
        object,
        field,
        value,
        ..
    } = &prompt.ask
    else {
        return;
    };
    let typed = ["application", "object", "field"].map(|label| prompt.get(label));
    let another = typed != [application, object, field].map(|text| text.trim().to_owned());
    let filled_in = another && !value.is_empty() && prompt.get("value") == *value;
    let [application, object, field] = typed;
    // The first note is about the form.
    prompt.notes.truncate(1);
    let stands = stands(now, &application, &object, &field);
    prompt
        .notes
        .extend(stands.map(|stands| (Role::Text, stands)));
    if filled_in && let Some(field) = prompt.fields.iter_mut().find(|f| f.label == "value") {
        *field = Field::value("value", "");
    }
}

/// What stands in the field that a form begins with.
fn stands(now: &Now, application: &str, object: &str, field: &str) -> Option<String> {
    let (_, cell) = find(now, application, object, field)?;
    let words = |side: &Option<serde_json::Value>| {
        side.as_ref()
            .map_or_else(|| "(absent)".to_owned(), trueup_core::text::value)
    };
    Some(format!(
        "live now: {} · Git: {}",
        words(&cell.sides.live),
        words(&cell.sides.git)
    ))
}

fn find<'a>(
    now: &'a Now,
    application: &str,
    object: &str,
    field: &str,
) -> Option<(&'a CellKey, &'a CellNow)> {
    now.cells.iter().find(|(key, _)| {
        (key.application.to_string() == application || key.application.name == application)
            && format!("{}/{}", key.object.kind, key.object.name) == object
            && key.field.to_string() == field
    })
}

/// The form is filled in: the command, or what is wrong with it.
pub fn submit(model: &mut Model, kind: ActKind, prompt: &Prompt) -> Result<Vec<Effect>, String> {
    let typed = prompt.get("application");
    let application = application(model, &typed)?;
    let object = prompt.get("object");
    if object.split('/').filter(|part| !part.is_empty()).count() != 2 {
        return Err("object: write KIND/NAME".into());
    }
    let field = prompt.get("field");
    let action = match kind {
        ActKind::Patch => {
            let cell = find(model.now(), &application.to_string(), &object, &field)
                .map(|(key, _)| key.clone());
            let text = prompt.get("value");
            let value = match cell {
                Some(cell) => super::decide::typed_value(model, &[cell], &text)?,
                None => {
                    let kind = object.split('/').next().unwrap_or_default();
                    trueup_core::object::typed::typed(kind, &field, &text)
                }
            };
            Action::Patch { field, value }
        }
        ActKind::Remove => Action::Remove { field },
        ActKind::Scale => Action::Scale {
            replicas: prompt
                .get("replicas")
                .parse()
                .map_err(|_| "replicas: write a whole number".to_owned())?,
        },
        ActKind::Restart => Action::Restart {},
        ActKind::Suspend => Action::Suspend {},
    };
    model.toast(ToastKind::Said, "the sheet comes next");
    Ok(ask(Command::Act {
        application,
        object,
        action,
        reason: prompt.get("reason"),
    }))
}

fn application(model: &Model, typed: &str) -> Result<AppKey, String> {
    model
        .run()
        .apps
        .keys()
        .chain(model.now().apps.keys())
        .find(|key| key.name == typed || key.to_string() == typed)
        .cloned()
        .ok_or_else(|| format!("application: {typed} is not known"))
}
