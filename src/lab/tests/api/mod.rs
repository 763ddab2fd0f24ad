//! The API server as its clients see it: over HTTPS, with the answers that the real one gives.

mod access;
mod client;
mod kubectl;
mod lifecycle;
mod ownership;
mod patches;
mod reading;
