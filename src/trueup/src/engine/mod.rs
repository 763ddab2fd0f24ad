//! The engine: the one way in for what the operator asks, the one way out for what is written.

pub mod handle;
pub mod read;
