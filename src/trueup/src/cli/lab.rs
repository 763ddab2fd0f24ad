//! `trueup lab`: the embedded cluster as a process of its own, and the workbench on it.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use serde_json::Value;
use trueup_core::span::Span;
use trueup_lab::serve::{self, ServeOptions};

use super::{args::LabArgs, complain, give_up, output, print_json, stages};
use crate::{
    engine::Trouble,
    journal::Boundaries,
    settings::{Output, Settings},
};

/// `--serve`: one line of JSON, then until SIGTERM.
pub async fn serve(args: &LabArgs) -> i32 {
    let options = ServeOptions {
        scenario: args.scenario.clone(),
        dir: args.dir.clone(),
        settings: args.set.clone(),
    };
    match serve::serve(options).await {
        Ok(()) => 0,
        Err(error) => {
            complain(
                &format!("the lab did not start: {error:#}"),
                "`trueup lab --list` names the scenarios",
            );
            2
        }
    }
}

/// The lab and the workbench on it, `--list`, or `--stop`.
pub async fn run(settings: &Settings, args: &LabArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    if args.list {
        return list(settings);
    }
    if args.stop {
        return stop(settings);
    }
    match interactive(settings, args, boundaries).await {
        Ok(code) => code,
        Err(trouble) => give_up(settings, &trouble),
    }
}

fn list(settings: &Settings) -> i32 {
    let scenarios = serve::scenarios();
    if settings.output == Output::Json {
        let items: Vec<Value> = scenarios
            .iter()
            .map(|(name, about)| serde_json::json!({"name": name, "about": about}))
            .collect();
        print_json(&serde_json::json!({
            "apiVersion": trueup_core::API_VERSION, "kind": "LabScenarios", "scenarios": items,
        }));
    } else {
        let rows: Vec<Vec<String>> = scenarios
            .into_iter()
            .map(|(name, about)| vec![name, about])
            .collect();
        output::table(
            &mut output::stdout(),
            0,
            &["SCENARIO", "WHAT HAPPENED"],
            &rows,
        );
    }
    0
}

/// Where the lab that was started last says what it is.
fn note(settings: &Settings) -> PathBuf {
    settings.state_dir.join("lab.json")
}

fn running(settings: &Settings) -> Option<(Value, i32)> {
    let document: Value =
        serde_json::from_str(&std::fs::read_to_string(note(settings)).ok()?).ok()?;
    let pid = i32::try_from(document.get("pid")?.as_i64()?).ok()?;
    (alive(pid) && is_lab(pid)).then_some((document, pid))
}

/// The number of a process is given out again after a reboot: what has it now must look like a lab before it is
/// taken for one, and ended. Without a `/proc` to look at, the number has to do.
fn is_lab(pid: i32) -> bool {
    match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(line) => line
            .split(|byte| *byte == 0)
            .any(|argument| argument == b"--serve"),
        Err(_) => !std::path::Path::new("/proc/self").exists(),
    }
}

#[allow(
    unsafe_code,
    reason = "kill with signal 0 only asks whether the process is there"
)]
fn alive(pid: i32) -> bool {
    // SAFETY: kill(2) with signal 0 sends nothing and touches no memory.
    pid > 0 && unsafe { libc::kill(pid, 0) } == 0
}

#[allow(unsafe_code, reason = "the standard library cannot send SIGTERM")]
fn terminate(pid: i32) {
    // SAFETY: kill(2) touches no memory; the pid was just seen alive and is that of a lab that we started.
    unsafe {
        libc::kill(pid, libc::SIGTERM);
    }
}

fn stop(settings: &Settings) -> i32 {
    match running(settings) {
        Some((document, pid)) => {
            terminate(pid);
            let _ = std::fs::remove_file(note(settings));
            let mut err = std::io::stderr();
            let _ = writeln!(err, "the lab (process {pid}) is told to end");
            if let Some(dir) = document.get("stateDir").and_then(Value::as_str) {
                let _ = writeln!(
                    err,
                    "its incidents stay in {dir}; `trueup --state-dir {dir} export` prints the transcript"
                );
            }
            0
        }
        None => {
            let _ = writeln!(std::io::stderr(), "no lab is running");
            0
        }
    }
}

fn known(scenario: &str) -> Result<(), Trouble> {
    let names: Vec<String> = serve::scenarios()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    if names.iter().any(|name| name == scenario) {
        return Ok(());
    }
    Err(Trouble::failed(
        format!("stage {}", trueup_core::text::line(scenario)),
        "there is no such scenario",
        format!("there are {}", names.join(", ")),
    ))
}

/// Where the incidents of one start of the lab are kept: with the operator's own, so that they outlive the lab's files.
/// Each start has a world of its own, and so a folder of its own.
fn incidents(settings: &Settings, scenario: &str) -> Result<PathBuf, std::io::Error> {
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let folder = settings.state_dir.join("lab").join(scenario);
    std::fs::create_dir_all(&folder)?;
    for number in 1.. {
        let dir = folder.join(format!("{day}-{number}"));
        match std::fs::create_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| dir),
        }
    }
    Ok(folder)
}

async fn interactive(
    settings: &Settings,
    args: &LabArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    known(&args.scenario)?;
    stages::needs_terminal()?;
    let fresh = running(settings).is_none();
    let document = match running(settings) {
        Some((document, _))
            if document.get("scenario").and_then(Value::as_str) == Some(args.scenario.as_str()) =>
        {
            document
        }
        Some((_, pid)) => {
            terminate(pid);
            launch(settings, args)?
        }
        None => launch(settings, args)?,
    };
    let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut lab = settings.clone();
    lab.kubeconfig = text("kubeconfig").map(Into::into);
    lab.prometheus = text("prometheus");
    lab.state_dir = text("stateDir").map_or_else(|| settings.state_dir.clone(), Into::into);
    // A walk to learn from should not take ten minutes of watching a gate; it is journaled as shortened.
    lab.waits.gate_for = lab.waits.gate_for.or(Some(Span::seconds(60)));
    let plan = text("plan").and_then(|path| std::fs::read_to_string(path).ok());
    let code = stages::on_lab(&lab, plan.as_deref(), boundaries).await;
    let mut err = std::io::stderr();
    if running(settings).is_none() {
        let _ = writeln!(
            err,
            "The lab was ended meanwhile. Its incidents are in {}.",
            lab.state_dir.display()
        );
        return Ok(code);
    }
    let kubeconfig = lab.kubeconfig.unwrap_or_default();
    let _ = writeln!(
        err,
        "The lab {}runs on. KUBECONFIG={} reaches it; `trueup lab` comes back to it.\n\
         `trueup --state-dir {} export` prints the transcript; `trueup --state-dir {} lab --stop` ends the lab and keeps its incidents.",
        if fresh { "" } else { "still " },
        kubeconfig.display(),
        lab.state_dir.display(),
        settings.state_dir.display()
    );
    Ok(code)
}

/// Starts the lab as a process of its own, so that killing the workbench leaves its world standing.
fn launch(settings: &Settings, args: &LabArgs) -> Result<Value, Trouble> {
    use std::os::unix::process::CommandExt;
    let hint = "run `trueup lab --serve` to see what it says";
    let failed = |error: &dyn std::fmt::Display| Trouble::failed("start the lab", error, hint);
    let program = std::env::current_exe().map_err(|e| failed(&e))?;
    std::fs::create_dir_all(&settings.state_dir).map_err(|e| failed(&e))?;
    let log = std::fs::File::create(settings.state_dir.join("lab.log")).map_err(|e| failed(&e))?;
    let _ = writeln!(
        std::io::stderr(),
        "Starting the lab {} (a few seconds) …",
        trueup_core::text::line(&args.scenario)
    );
    let mut command = Command::new(program);
    command
        .args(["lab", &args.scenario, "--serve"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0);
    if let Some(dir) = &args.dir {
        command.arg("--dir").arg(dir);
    }
    for (key, value) in &args.set {
        command.args(["--set", &format!("{key}={value}")]);
    }
    let mut child = command.spawn().map_err(|e| failed(&e))?;
    let mut line = String::new();
    let read = child
        .stdout
        .take()
        .map(|out| BufReader::new(out).read_line(&mut line));
    match read {
        Some(Ok(length)) if length > 0 => {}
        _ => {
            let said =
                std::fs::read_to_string(settings.state_dir.join("lab.log")).unwrap_or_default();
            return Err(failed(
                &said.lines().last().unwrap_or("it ended without a word"),
            ));
        }
    }
    let mut document: Value = serde_json::from_str(&line).map_err(|e| failed(&e))?;
    document["pid"] = Value::from(child.id());
    let dir = incidents(settings, &args.scenario).map_err(|e| failed(&e))?;
    document["stateDir"] = Value::from(dir.display().to_string());
    std::fs::write(note(settings), document.to_string()).map_err(|e| failed(&e))?;
    Ok(document)
}
