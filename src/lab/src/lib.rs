//! The embedded cluster.

pub mod api;
pub mod argo;
pub mod attach;
pub mod cluster;
mod durations;
mod install;
pub mod loader;
mod manifests;
pub mod metrics;
pub mod remote;
pub mod serve;
pub mod workloads;
