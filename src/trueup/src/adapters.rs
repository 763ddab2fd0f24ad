//! The world outside, behind the ports: Kubernetes, Git, metrics, commands, time.

pub mod clock;
pub mod exec;
pub mod git;
pub mod kube;
pub mod probes;
pub mod prometheus;
