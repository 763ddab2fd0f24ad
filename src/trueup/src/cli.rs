//! The commands, one room each.

pub mod doctor;
pub mod drift;
pub mod edit;
pub mod output;
pub mod trace;
pub mod watchdog;
