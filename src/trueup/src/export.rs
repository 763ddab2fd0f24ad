//! The transcript of an incident, from its journal alone.

use std::path::Path;

use trueup_core::{
    ids::IncidentId,
    run::Run,
    sheet::Refusal,
    text,
    transcript::{self, Transcript},
};

use crate::{engine::Trouble, journal};

/// The transcript in a format, with its file extension.
pub fn transcript(
    state: &Path,
    incident: &IncidentId,
    format: &str,
) -> Result<(String, &'static str), Trouble> {
    let lines = journal::read(state, incident)?;
    let run = Run::fold(lines.iter().map(|line| &line.record));
    let chained: Vec<transcript::Line> = lines
        .into_iter()
        .map(|line| transcript::Line {
            record: line.record,
            raw: line.raw,
            hash: line.hash,
        })
        .collect();
    let transcript = Transcript::of(&chained, &run);
    match format {
        "md" | "markdown" => Ok((transcript::markdown(&transcript), "md")),
        "html" => Ok((transcript::html(&transcript), "html")),
        "json" => Ok((transcript.json(), "json")),
        other => Err(Refusal::new(
            0,
            format!("there is no transcript in the format {}", text::line(other)),
            "md, html or json",
        )
        .into()),
    }
}
