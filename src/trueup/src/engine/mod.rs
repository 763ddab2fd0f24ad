//! The engine: the one way in for what the operator asks, the one way out for what is written.
//!
//! `drive` takes requests and does the next thing; `state` holds the journal and its two doors; `read` and `observe`
//! look at the world, `adopt` records what others did in it, `strayed` what of it nobody had decided on and what was taken back, `foreign` names their commits; `sheets` says what a command would write, `steps` does it and watches what came of it; `resume`
//! finds out in the world what became of a write that was in flight. `mirror` keeps the live state of each cluster by its
//! watches, `watching` is what they bring to the rest, `outages` when nobody could look, `predicting` what a sync would do.

pub mod adopt;
pub mod drive;
pub mod foreign;
pub mod handle;
pub mod mirror;
pub mod observe;
mod outages;
pub mod predicting;
pub mod read;
pub mod resume;
pub mod sheets;
pub mod state;
pub mod steps;
mod strayed;
pub mod trouble;
pub mod watching;

pub use drive::spawn;
pub use outages::keep_listening;
pub use state::{Engine, Ports, Setting};
pub use trouble::Trouble;
pub use watching::keep_looking;
