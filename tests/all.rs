//! Everything that is tested through the whole program, in one binary: a test that waits leaves the processor to the others.
#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

// Begun first, as the harness goes by name: they wait more than they work, and at the end nothing would work beside them.
mod access;
mod by_keys;
mod choices;
mod cli;
mod crash;
mod facts;
mod lists;
mod reads;
mod real;
mod support;
#[path = "contract/wire.rs"]
mod wire;
