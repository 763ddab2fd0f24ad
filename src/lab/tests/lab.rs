//! Everything that is tested on a lab from outside, in one binary: a test that waits leaves the processor to the others.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod api;
mod argo;
mod common;
/// The same cases on the lab and on a real control plane.
#[path = "../../../tests/contract/mod.rs"]
mod contract;
mod inc_441;
