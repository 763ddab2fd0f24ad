//! What can change the model, and what the model asks of the world.

use crate::engine::handle::{Request, Update};
use jiff::Timestamp;
use ratatui::crossterm::event::KeyEvent;

/// Everything that can change the model, in one ordered stream.
#[derive(Clone, Debug)]
pub enum Msg {
    Key(KeyEvent),
    /// A bracketed paste; it never confirms anything.
    Paste(String),
    /// Mouse wheel; negative is up.
    Wheel(i8),
    Resize(u16, u16),
    /// The only way in which time enters.
    Tick(Timestamp),
    Engine(Update),
    /// The engine's end of the channel is gone.
    EngineGone,
    /// A request could not be handed over: the engine has not taken the ones before it.
    Busy,
    /// The operator's editor has ended; `Err` says why there is no text.
    Edited(Result<String, String>),
}

/// What the runtime is to do; nothing else leaves the screen.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Send(Request),
    /// Put this on the clipboard through the terminal (OSC 52).
    Copy(String),
    /// Step aside and let `$EDITOR` change this text.
    Edit(String),
    /// Draw everything anew.
    Redraw,
    /// Leave the screen.
    Leave,
}
