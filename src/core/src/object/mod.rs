//! Kubernetes objects as plain JSON trees: who they are, how a field is named, when two of them are equal.

pub mod defaults;
pub mod diff;
pub mod hook;
pub mod identity;
pub mod listkeys;
pub mod live;
pub mod managed;
pub mod manifest;
pub mod normalise;
pub mod path;
pub mod quantity;
pub mod redact;
pub mod typed;
