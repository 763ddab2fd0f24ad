//! Secret values: asked for by hand, shown for a while, gone with their box.

use super::super::{
    model::{
        Model, ToastKind,
        dialog::{Choice, Choose, Dialog, Pick, REVEALED_FOR, Secret},
    },
    theme::Role,
    widgets::{self, words::count},
};
use crate::{engine::handle::Revealed, tui::keymap::Cmd};
use trueup_core::decision::CellKey;

/// `r`: whether, and of which copies.
pub fn offer(model: &mut Model) {
    let Some(here) = model.cell_here() else {
        return;
    };
    let every: Vec<CellKey> = model
        .question_here()
        .map(|question| question.cells.clone())
        .unwrap_or_default();
    let mut choices = vec![Choice::new(
        "show this one",
        here.object.to_string(),
        Pick::Reveal(vec![here.clone()]),
    )];
    if every.len() > 1 {
        let places: Vec<&str> = every
            .iter()
            .map(|cell| cell.object.namespace.as_deref().unwrap_or("-"))
            .collect();
        choices.push(Choice::new(
            format!(
                "show all {}",
                count(every.len(), "copy").replace("copys", "copies")
            ),
            places.join(", "),
            Pick::Reveal(every.clone()),
        ));
    }
    choices.push(Choice::new("no", "", Pick::Nothing));
    let list = Choose::new(
        format!("show the secret value {} {}?", here.object.name, here.field),
        choices,
    )
    .note(
        Role::Warn,
        "! everybody who sees this screen will see it: is it shared, recorded, projected?",
    )
    .note(
        Role::Dim,
        format!(
            "read fresh, shown for {} s at most; journal and transcript say that {} looked, never what was seen",
            REVEALED_FOR.as_secs(),
            model.run().operator
        ),
    )
    .without_default();
    model.dialogs.push(Dialog::Choose(list));
}

/// The values have come.
pub fn show(model: &mut Model, shown: Vec<Revealed>) {
    if model.sheet_given_up() {
        model.toast(
            ToastKind::Said,
            "the value came after it was given up, and was not shown; that it was read is recorded",
        );
        return;
    }
    let until = model.time + REVEALED_FOR;
    model.dialogs.push(Dialog::Secret(Secret {
        shown,
        until,
        scroll: 0,
    }));
}

/// Takes away what was shown for long enough.
pub fn hide_in_time(model: &mut Model) {
    let (time, before) = (model.time, model.dialogs.len());
    model
        .dialogs
        .retain(|dialog| !matches!(dialog, Dialog::Secret(secret) if secret.until <= time));
    if model.dialogs.len() < before {
        model.toast(ToastKind::Said, "the secret value is hidden again");
    }
}

/// A key over a shown value.
pub fn key(model: &mut Model, cmd: Cmd) {
    let size = model.size;
    let Some(Dialog::Secret(secret)) = model.dialogs.last_mut() else {
        return;
    };
    match cmd {
        Cmd::Up => secret.scroll = secret.scroll.saturating_sub(1),
        Cmd::Down => {
            secret.scroll = (secret.scroll + 1).min(widgets::secret::overflow(secret, size));
        }
        Cmd::Copy => model.toast(
            ToastKind::Refused,
            "a secret value is not copied: it would stay on the clipboard (rule 7)",
        ),
        _ => {}
    }
}
