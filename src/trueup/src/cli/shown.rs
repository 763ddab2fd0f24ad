//! What a command is about to write, said before it is written; and where it is not armed, said instead.

use std::{fs, future::Future, io::Write, path::Path, sync::Arc, time::Duration};

use trueup_core::{
    ids::IncidentId,
    sheet::{Command, Refusal},
    text,
};

use crate::{
    app::{self, Opening},
    engine::{Engine, Trouble},
    journal::Calm,
    settings::Settings,
};

/// How long a preview may take: whoever is not armed is told so in any case.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sheet for people, on stderr: stdout is for what came of it.
pub(super) fn say(sheet: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{sheet}");
    let _ = err.flush();
}

/// Says on the sheet what is about to be written, then writes it: the arguments are the confirmation.
pub(super) async fn write(engine: &Engine, command: &Command) -> Result<(), Trouble> {
    let sheet = engine.sheet(command).await?;
    say(&sheet.plain());
    engine.carry_out(&sheet).await
}

/// Says what an armed process would write.
pub(super) async fn preview(engine: &Engine, command: &Command) -> Result<(), Trouble> {
    let sheet = engine.preview(command).await?;
    say(&sheet.plain());
    Ok(())
}

/// Whether a command would write anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Would {
    Write,
    Nothing,
}

/// What becomes of a command that was not armed: its sheets where they can be had, and always the refusal.
pub(super) async fn instead<F>(previewed: F) -> Trouble
where
    F: Future<Output = Result<(), Trouble>>,
{
    tried(previewed).await;
    not_armed()
}

/// The same, with no refusal where it is known that nothing would be written.
pub(super) async fn instead_of_writing<F>(previewed: F) -> Result<i32, Trouble>
where
    F: Future<Output = Result<Would, Trouble>>,
{
    let mut would = Would::Write;
    tried(async {
        would = previewed.await?;
        Ok(())
    })
    .await;
    match would {
        Would::Nothing => Ok(0),
        Would::Write => Err(not_armed()),
    }
}

fn not_armed() -> Trouble {
    Refusal::new(
        1,
        "not armed: this writes to the cluster, and nothing was written",
        "say --write cluster (or all)",
    )
    .into()
}

/// Sheets that are not confirmed, or why they cannot be had.
pub(super) async fn tried<F>(previewed: F)
where
    F: Future<Output = Result<(), Trouble>>,
{
    let why = match tokio::time::timeout(PATIENCE, previewed).await {
        Ok(Ok(())) => None,
        Ok(Err(trouble)) => Some((trouble.to_string(), trouble.hint())),
        Err(_) => Some((
            "the cluster did not answer in time".to_owned(),
            String::new(),
        )),
    };
    if let Some((why, hint)) = why {
        say(&text::line(&format!("armed, it would end here: {why}")));
        if !hint.is_empty() {
            say(&text::line(&format!("  hint: {hint}")));
        }
    }
}

/// An incident aside of the state folder, on a copy of its journal where it is open: what is looked at and chosen for a
/// preview stays in no journal, and another process may work on the incident meanwhile. It is never armed.
pub(super) async fn aside<T>(
    settings: &Settings,
    opening: Opening,
    shows: impl AsyncFnOnce(&Engine) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let folder = tempfile::tempdir().map_err(|error| {
        Trouble::failed(
            "make a folder for the preview",
            error,
            "see TMPDIR; the preview alone needs it",
        )
    })?;
    let copied = match &opening {
        Opening::Resume { incident } => copy(settings, incident, folder.path()),
        Opening::New { .. } => Ok(()),
    };
    copied
        .and_then(|()| borrow_mirrors(settings, folder.path()))
        .map_err(|error| {
            Trouble::failed(
                "copy the incident for a preview",
                error,
                "see TMPDIR; the preview alone needs it",
            )
        })?;
    let mut settings = settings.clone();
    settings.state_dir = folder.path().to_owned();
    let opened = app::open(&settings, opening, Arc::new(Calm)).await?;
    shows(&opened.engine).await
}

fn copy(settings: &Settings, incident: &IncidentId, to: &Path) -> std::io::Result<()> {
    let here = Path::new("incidents").join(incident.as_str());
    copy_folder(&settings.state_dir.join(&here), &to.join(&here))
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else if kind.is_file() && entry.file_name() != "lock" {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Mirrors of repositories are shared by all that reads here, and cost much to make.
fn borrow_mirrors(settings: &Settings, to: &Path) -> std::io::Result<()> {
    let mirrors = settings.mirrors();
    if mirrors.is_dir() {
        std::os::unix::fs::symlink(fs::canonicalize(&mirrors)?, to.join("mirrors"))?;
    }
    Ok(())
}
