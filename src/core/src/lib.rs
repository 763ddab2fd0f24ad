//! The pure domain of trueup.

pub mod object;
