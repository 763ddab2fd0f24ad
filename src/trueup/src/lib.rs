//! The program.

pub mod adapters;
pub mod ports;
