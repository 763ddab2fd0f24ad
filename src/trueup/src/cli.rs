//! The commands, one room each.

pub mod edit;
