//! The transcript of an incident: what the journal says, for people (Markdown, HTML) and for programs (JSON).
//!
//! Everything is derived from the records and inert (see [`crate::text`]) when it leaves here. The JSON carries the
//! records as they were written, so that [`verify`] can recompute the chain; Markdown and HTML carry its head only.

mod build;
mod by_hand;
mod chain;
mod chart;
mod diff;
mod found;
mod html;
mod markdown;
mod model;
mod parts;
mod quote;
#[doc(hidden)]
pub mod sample;
mod status;
#[cfg(test)]
mod tests;
mod timeline;
mod words;

pub use by_hand::by_hand;
pub use chain::{Broken, GENESIS, Line, Verified, end, link, verify};
pub use html::html;
pub use markdown::markdown;
pub use model::*;
pub use quote::shell;
pub use status::{status_line, waits_for_somebody};
pub use timeline::{sentence, told};
pub use words::take as choice;

impl Transcript {
    /// The JSON export. Characters that could do something in a terminal are written as `\u` escapes.
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self)
            .expect("a transcript holds nothing that JSON has no form for");
        quote::json_inert(&text)
    }
}
