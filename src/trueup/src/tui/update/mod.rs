//! From one message to the next state and what is asked of the world. Pure: no waiting, no clock, no drawing.

mod act;
mod choices;
mod decide;
mod dialogs;
mod engine;
mod forms;
mod gates;
pub(super) mod implied;
mod keys;
mod next;
mod offers;
mod secret;

pub use decide::is_open;
pub use dialogs::{log_rows, palette_rows};
pub use next::{field_that_differs, glass_to_break};

use super::{
    keymap,
    model::{Model, ToastKind, dialog::Dialog, hold::Footing},
    msg::{Effect, Msg},
};
use crate::engine::handle::Request;
use ratatui::crossterm::event::{KeyEvent, KeyEventKind};
use trueup_core::event::Armed;

/// Takes one message.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let before = Footing::of(model);
    let by_operator = !matches!(msg, Msg::Engine(_));
    let effects = taken(model, msg);
    let effects = armed_first(model, effects);
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

/// A write that is asked for before anybody armed: the question of arming comes first, and then the write.
fn armed_first(model: &mut Model, effects: Vec<Effect>) -> Vec<Effect> {
    let [Effect::Send(Request::Ask(command))] = effects.as_slice() else {
        return effects;
    };
    // A form is there again with what is refused.
    if !command.writes() || model.run().closed.is_some() || model.filled.is_some() {
        return effects;
    }
    let Err(refusal) = trueup_core::rules::armed(model.run(), command) else {
        return effects;
    };
    let then = command.clone();
    offers::arm(model, Some((Armed::All, refusal.reason)), Some(then));
    Vec::new()
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
    let on_screen = matches!(context, keymap::Context::On(_));
    if on_screen && model.is_stray(&name) {
        return Vec::new();
    }
    if let Some(effects) = dialogs::typed(model, key, &name) {
        return effects;
    }
    match keymap::find(context, &name) {
        Some(binding) => {
            let effects = match keymap::works_here(binding, model) {
                Ok(()) => perform(model, binding.cmd),
                Err(why) => {
                    model.toast(
                        ToastKind::Refused,
                        format!("{} {}: {why}", binding.keys[0], binding.label),
                    );
                    Vec::new()
                }
            };
            if on_screen && binding.cmd.takes_text() && effects.is_empty() {
                no_box_came(model, &name);
            }
            effects
        }
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

/// Where nothing was asked and no box is there, what is typed next was meant for one.
fn no_box_came(model: &mut Model, key: &str) {
    if model.dialogs.is_empty() && !model.filtering {
        model.expect_stray(key);
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
