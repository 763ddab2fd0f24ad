//! The program.

pub mod adapters;
pub mod cli;
pub mod engine;
pub mod export;
pub mod journal;
pub mod ports;
pub mod settings;
pub mod wiring;
