//! Everything that is tested through the whole program, in one binary: a test that waits leaves the processor to the others.
#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

mod choices;
mod cli;
mod crash;
mod facts;
mod lists;
mod rbac;
mod reads;
mod real;
mod support;
mod walk;
#[path = "contract/wire.rs"]
mod wire;
