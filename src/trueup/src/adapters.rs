//! The world outside, behind the ports: Kubernetes, Git, metrics, commands, time.

pub mod clock;
pub mod git;
pub mod kube;
