//! The steps of the walk: each does one thing to the world, or watches one thing in it.

pub mod act;
pub mod acting;
pub mod application;
pub mod close;
pub mod commit;
pub mod decide;
pub mod delete;
pub mod freeze;
pub mod gates;
pub mod ignore;
pub mod lease;
mod prove;
pub mod push;
mod reveal;
pub mod snapshot;
pub mod sync;
pub mod thaw;
pub mod tried;
