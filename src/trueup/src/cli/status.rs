//! `trueup status`: where an incident stands, from its journal and, where it answers, from the cluster.

use std::{io::Write, time::Duration};

use serde_json::{Value, json};
use trueup_core::{
    event::Record,
    now::Now,
    policy::Note,
    run::{Freeze, Run},
    text, transcript,
    workflow::{self, Next},
};

use super::{args::StatusArgs, export::chosen, give_up, output, print_json};
use crate::{
    adapters::clock::random_key,
    app,
    engine::{Trouble, observe, read::LookOptions},
    journal,
    ports::no_log,
    settings::{Output, Settings},
    wiring::wire,
};

/// How long the cluster may take to answer before the journal alone is shown.
const PATIENCE: Duration = Duration::from_secs(5);

/// A record as a line for people following a run; requests and samples are left out.
pub fn said(record: &Record, run: &Run) -> Option<String> {
    transcript::sentence(&record.event, run)
}

pub async fn run(settings: &Settings, args: &StatusArgs) -> i32 {
    let none = journal::list(&settings.state_dir).is_ok_and(|incidents| incidents.is_empty());
    if none && args.id.is_none() && settings.incident.is_none() {
        return from_cluster(settings, args.line).await;
    }
    match of_incident(settings, args).await {
        Ok(code) => code,
        Err(trouble) => give_up(settings, &trouble),
    }
}

async fn of_incident(settings: &Settings, args: &StatusArgs) -> Result<i32, Trouble> {
    let incident = chosen(settings, args.id.as_deref())?;
    let lines = journal::read(&settings.state_dir, &incident)?;
    let run = Run::fold(lines.iter().map(|line| &line.record));
    let owed = run.obligations();
    let mut out = std::io::stdout();
    if args.line {
        let _ = writeln!(out, "{}", transcript::status_line(&run));
        return Ok(i32::from(!owed.is_empty() || run.closed.is_none()));
    }
    let now = tokio::time::timeout(PATIENCE, look(settings, &run))
        .await
        .ok()
        .flatten();
    let next = now.as_ref().map(|now| workflow::next(&run, now));
    // An open incident owes its end, unless all that is left is to close it.
    let ended = run.closed.is_some() || matches!(next, Some(Next::Close));
    let code = i32::from(!owed.is_empty() || !ended);
    let stage = match (&next, run.closed.is_some()) {
        (_, true) => "closed".to_owned(),
        (Some(next), _) => next.stage().name().to_lowercase(),
        (None, _) => "unknown".to_owned(),
    };
    let undecided = now.as_ref().map(|now| now.undecided(&run).count());
    let frozen: Vec<Value> = run
        .apps
        .iter()
        .filter(|(_, app)| app.freeze.is_set() || matches!(app.freeze, Freeze::Lost { .. }))
        .map(|(key, app)| json!({"application": key, "state": app.freeze.word(), "found": app.found}))
        .collect();
    let red: Vec<String> = run
        .apps
        .iter()
        .flat_map(|(key, app)| {
            app.gates
                .iter()
                .map(move |(gate, state)| (key, gate, state))
        })
        .filter(|(_, _, state)| state.passed.is_none())
        .map(|(key, gate, state)| {
            let last = state.samples.last().map_or("no sample", |s| s.why.as_str());
            text::line(&format!("{gate} after {}: {last}", key.name))
        })
        .collect();
    if settings.output == Output::Json {
        print_json(&json!({
            "apiVersion": trueup_core::API_VERSION,
            "kind": "Status",
            "incident": incident,
            "stage": stage,
            "armed": run.armed,
            "applications": run.scope,
            "frozen": frozen,
            "undecided": undecided,
            "gatesNotGreen": red,
            "owed": owed,
            "stopped": run.stopped.as_ref().map(|s| json!({"rule": s.rule, "reason": s.reason})),
            "line": transcript::status_line(&run),
            "cluster": if now.is_some() { "read" } else { "not reached" },
        }));
        return Ok(code);
    }
    let _ = writeln!(out, "{}", transcript::status_line(&run));
    if now.is_none() && run.closed.is_none() {
        let _ = writeln!(
            out,
            "the cluster was not reached: this is from the journal alone"
        );
    }
    let rows: Vec<Vec<String>> = run
        .apps
        .iter()
        .map(|(key, app)| {
            let seen = now.as_ref().and_then(|now| now.apps.get(key));
            vec![
                key.to_string(),
                app.freeze.word().to_owned(),
                seen.map_or_else(String::new, |s| s.sync.clone()),
                seen.map_or_else(String::new, |s| s.health.clone()),
                app.parked.as_ref().map_or_else(String::new, |p| {
                    format!("parked for {} until {}", p.owner, p.until)
                }),
            ]
        })
        .collect();
    output::table(
        &mut out,
        0,
        &["APPLICATION", "FREEZE", "SYNC", "HEALTH", ""],
        &rows,
    );
    for owed in owed {
        let _ = writeln!(out, "owed: {}", text::line(&owed.what));
    }
    Ok(code)
}

async fn look(settings: &Settings, run: &Run) -> Option<Now> {
    let settings = app::reconnect(settings, &run.connection);
    let wired = wire(&settings, random_key(), no_log()).await.ok()?;
    let world = wired
        .reader
        .look(Some(&run.scope), LookOptions::default())
        .await;
    world.pin.as_ref()?;
    Some(observe::now(&world, run, &settings.namespace))
}

/// Without any journal: the notes on the cluster's Applications say what is frozen and by whom.
async fn from_cluster(settings: &Settings, line: bool) -> i32 {
    let wired = match wire(settings, random_key(), no_log()).await {
        Ok(wired) => wired,
        Err(error) => return give_up(settings, &error.into()),
    };
    let (applications, _, _) = match wired.reader.applications(None).await {
        Ok(found) => found,
        Err(error) => return give_up(settings, &error.into()),
    };
    let notes: Vec<(String, Note)> = applications
        .iter()
        .filter_map(|object| {
            let key = trueup_core::object::identity::AppKey::from_object(object).ok()?;
            Some((key.to_string(), Note::of(object)?))
        })
        .collect();
    if settings.output == Output::Json {
        let frozen: Vec<Value> = notes
            .iter()
            .map(|(key, note)| json!({"application": key, "incident": note.incident, "by": note.by, "since": note.at, "found": note.found, "restore": note.restore}))
            .collect();
        print_json(&json!({
            "apiVersion": trueup_core::API_VERSION, "kind": "Status", "incident": null, "stage": null, "frozen": frozen,
        }));
    } else if notes.is_empty() {
        let _ = writeln!(
            std::io::stdout(),
            "no incident in {} and no frozen Application on the cluster",
            settings.state_dir.display()
        );
    } else if line {
        let _ = writeln!(std::io::stdout(), "{}", notes_line(&notes));
    } else {
        let rows: Vec<Vec<String>> = notes
            .iter()
            .map(|(key, note)| {
                vec![
                    key.clone(),
                    note.incident.clone(),
                    note.by.clone(),
                    note.at.to_string(),
                    note.restore.to_string(),
                ]
            })
            .collect();
        output::table(
            &mut std::io::stdout(),
            0,
            &["FROZEN", "INCIDENT", "BY", "SINCE", "RESTORING APPLIES"],
            &rows,
        );
    }
    i32::from(!notes.is_empty())
}

/// What the notes say, in one line for the channel.
fn notes_line(notes: &[(String, Note)]) -> String {
    let mut incidents: Vec<&str> = notes.iter().map(|(_, n)| n.incident.as_str()).collect();
    incidents.sort_unstable();
    incidents.dedup();
    let names: Vec<&str> = notes.iter().map(|(key, _)| key.as_str()).collect();
    text::line(&format!(
        "{} · {} frozen: {} · known from their notes alone",
        incidents.join(", "),
        notes.len(),
        names.join(", ")
    ))
}
