//! From one message to the next state and what is asked of the world. Pure: no waiting, no clock, no drawing.

mod act;
mod choices;
mod decide;
mod dialogs;
mod engine;
mod forms;
mod implied;
mod keys;
mod next;
mod offers;
mod secret;

pub use dialogs::{log_rows, palette_rows};
pub use next::{field_that_differs, glass_to_break};

use super::{
    keymap,
    model::{Model, ToastKind, dialog::Dialog, hold::Footing},
    msg::{Effect, Msg},
};
use crate::engine::handle::Request;
use ratatui::crossterm::event::{KeyEvent, KeyEventKind};

/// Takes one message.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let before = Footing::of(model);
    let by_operator = !matches!(msg, Msg::Engine(_));
    let effects = taken(model, msg);
    model.switches_stay_behind();
    for effect in &effects {
        if let Effect::Send(request) = effect {
            model.sent(request);
        }
    }
    model.settle(&before, by_operator);
    model.derive_transcript();
    effects
}

fn taken(model: &mut Model, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Tick(now) => {
            model.time = model.time.max(now);
            let time = model.time;
            model.toasts.retain(|toast| toast.until > time);
            model.settles_at = model.settles_at.filter(|at| *at > time);
            model.overdue();
            secret::hide_in_time(model);
            Vec::new()
        }
        Msg::Resize(width, height) => {
            model.size = (width, height);
            Vec::new()
        }
        Msg::Engine(update) => engine::told(model, update),
        Msg::EngineGone => {
            model.world.stopped = true;
            model.asked.clear();
            if model.leaving {
                vec![Effect::Leave]
            } else {
                model.toast(
                    ToastKind::Failed,
                    "the engine has stopped: nothing more can be done here; q leaves",
                );
                Vec::new()
            }
        }
        Msg::Busy => {
            model.not_sent();
            model.toast(
                ToastKind::Failed,
                "the engine has not taken the requests before this one: wait, or c cancels",
            );
            Vec::new()
        }
        Msg::Edited(result) => forms::edited(model, result),
        Msg::Wheel(by) => {
            if model.too_small() || model.held().is_some() {
                return Vec::new();
            }
            let cmd = if by < 0 {
                keymap::Cmd::Up
            } else {
                keymap::Cmd::Down
            };
            match model.dialogs.last() {
                Some(Dialog::Prompt(_)) => Vec::new(),
                _ => perform(model, cmd),
            }
        }
        Msg::Paste(text) => {
            if !model.too_small() && model.held().is_none() {
                dialogs::pasted(model, &text);
            }
            Vec::new()
        }
        Msg::Key(key) if key.kind == KeyEventKind::Release => Vec::new(),
        Msg::Key(key) => pressed(model, key),
    }
}

fn pressed(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let name = keymap::name(&key);
    if model.leaving && name == "ctrl-c" {
        return vec![Effect::Leave];
    }
    if name == "ctrl-l" {
        // Whatever lies over the screen, and most of all then: it changes nothing but what is seen.
        return vec![Effect::Redraw];
    }
    if model.too_small() {
        // Nothing may happen that cannot be seen; leaving is always possible.
        return if name == "ctrl-c" {
            leave(model)
        } else {
            Vec::new()
        };
    }
    if model.held().is_some() {
        // Typed for what is not there yet.
        if matches!(name.as_str(), "esc" | "ctrl-c") {
            model.give_up();
        }
        return Vec::new();
    }
    if model.filtering {
        return dialogs::filter_key(model, key, &name);
    }
    let context = keymap::context(model);
    if name == "ctrl-c" && !matches!(context, keymap::Context::On(_)) {
        return perform(model, keymap::Cmd::Back);
    }
    if let Some(effects) = dialogs::typed(model, key, &name) {
        return effects;
    }
    match keymap::find(context, &name) {
        Some(binding) => match keymap::works_here(binding, model) {
            Ok(()) => perform(model, binding.cmd),
            Err(why) => {
                model.toast(
                    ToastKind::Refused,
                    format!("{} {}: {why}", binding.keys[0], binding.label),
                );
                Vec::new()
            }
        },
        None if name.is_empty() => Vec::new(),
        None => {
            model.toast(
                ToastKind::Said,
                format!("{name} does nothing here: ? lists the keys"),
            );
            Vec::new()
        }
    }
}

/// Does what a row of the key table says.
pub fn perform(model: &mut Model, cmd: keymap::Cmd) -> Vec<Effect> {
    if model.dialogs.is_empty() {
        keys::perform(model, cmd)
    } else {
        dialogs::perform(model, cmd)
    }
}

/// Leaves; what is in flight gets its outcome first.
fn leave(model: &mut Model) -> Vec<Effect> {
    model.leaving = true;
    if model.world.stopped {
        return vec![Effect::Leave];
    }
    vec![Effect::Send(Request::Quit)]
}

fn ask(command: trueup_core::sheet::Command) -> Vec<Effect> {
    vec![Effect::Send(Request::Ask(command))]
}
