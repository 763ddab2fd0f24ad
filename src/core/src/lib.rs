//! The pure domain of trueup: what drift is, what was decided, what follows from it, and what is still owed.
//!
//! Nothing here waits, reads a clock, draws, or talks to a cluster or to Git. Times and observations come in as
//! arguments; events and plans go out as data.

pub mod apply;
pub mod decision;
pub mod drift;
pub mod event;
pub mod forge;
mod freezes;
pub mod gate;
pub mod health;
pub mod ids;
pub mod ignore;
pub mod now;
pub mod object;
pub mod plan;
pub mod policy;
pub mod reopen;
pub mod rules;
pub mod run;
pub mod sheet;
pub mod source;
pub mod span;
pub mod still;
pub mod strict;
pub mod text;
pub mod transcript;
pub mod until;
pub mod workflow;

/// The version of every document that trueup writes for other programs.
pub const API_VERSION: &str = "trueup.dev/v1";
