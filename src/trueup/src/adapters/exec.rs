//! Programs that a plan names as checks: no shell, no environment, no terminal, a deadline.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::ports::NoExit;

/// Runs to the end and gives the exit code; the error is why there is none. What it prints is not read.
pub async fn run(argv: &[String], deadline: Duration) -> Result<i32, NoExit> {
    let not_started = NoExit::NotStarted;
    let Some((program, arguments)) = argv.split_first() else {
        return Err(not_started("no program is named".to_owned()));
    };
    let folder = tempfile::tempdir()
        .map_err(|error| not_started(format!("no empty folder to run in: {error}")))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .current_dir(folder.path());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|error| not_started(format!("{program} could not be started: {error}")))?;
    match tokio::time::timeout(deadline, child.wait()).await {
        Err(_) => Err(NoExit::NotEnded(format!(
            "{program} did not end within {} s",
            deadline.as_secs_f32()
        ))),
        Ok(Err(error)) => Err(NoExit::NotEnded(format!("{program}: {error}"))),
        Ok(Ok(status)) => status
            .code()
            .ok_or_else(|| NoExit::NotEnded(format!("{program} was ended by a signal"))),
    }
}
