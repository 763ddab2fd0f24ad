//! The workbench screen: keys and engine updates in, frames and requests out.
//!
//! `model` is all state, `update` the only way to change it, `view` a function from it to a frame; `runtime` is the
//! loop around them, `terminal` the guard of the terminal, `keymap` the one table of keys.

mod burst;
#[doc(hidden)]
pub mod fixture;
pub mod keymap;
pub mod model;
pub mod msg;
mod runtime;
pub mod terminal;
pub mod theme;
pub mod update;
pub mod view;
pub mod widgets;

#[cfg(test)]
mod tests;

pub use runtime::{Left, TuiOptions, run};
