//! The pure domain of trueup.
