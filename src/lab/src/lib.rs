//! The embedded cluster.

pub mod api;
