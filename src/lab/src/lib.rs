//! The embedded cluster.

pub mod api;
pub mod argo;
pub mod cluster;
mod durations;
mod manifests;
pub mod metrics;
pub mod remote;
pub mod workloads;
