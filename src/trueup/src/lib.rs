//! The program.

pub mod adapters;
pub mod engine;
pub mod ports;
