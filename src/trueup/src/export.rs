//! The transcript of an incident, from its journal alone.

use std::path::Path;

use trueup_core::{ids::IncidentId, sheet::Refusal};

use crate::{engine::Trouble, journal};

/// The transcript in a format, with its file extension.
pub fn transcript(
    state: &Path,
    incident: &IncidentId,
    format: &str,
) -> Result<(String, &'static str), Trouble> {
    let _lines = journal::read(state, incident)?;
    Err(Refusal::new(
        0,
        format!("no transcript in the format {format}"),
        "md, html or json",
    )
    .into())
}
