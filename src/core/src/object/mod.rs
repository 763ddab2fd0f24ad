//! Kubernetes objects as plain JSON trees: who they are, how a field is named, when two of them are equal.

pub mod identity;
pub mod path;
