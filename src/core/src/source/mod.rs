//! Files as Git holds them: YAML as Kubernetes reads it, byte-exact edits, and where a field comes from.

mod add;
mod block;
pub mod changes;
pub mod declaration;
mod delete;
pub mod edit;
mod emit;
mod flow;
mod gate;
mod helm;
mod json;
mod layout;
mod lists;
pub mod ops;
pub mod plain;
pub mod proof;
pub mod provenance;
mod replace;
mod resolve;
pub mod scalar;
mod spans;
mod text;
pub mod tree;
mod typed;
pub mod whole;
pub mod yaml;
