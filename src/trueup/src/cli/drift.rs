//! `trueup drift`: every open question over the Applications.

use std::collections::BTreeMap;
use std::io::Write;
use std::mem::ManuallyDrop;

use jiff::Timestamp;
use serde_json::Value;
use trueup_core::drift::report::{AppReport, Cell, DriftReport};
use trueup_core::object::identity::AppKey;
use trueup_core::policy::State;
use trueup_core::run::Run;
use trueup_core::text;

use super::output::{self, exit, say};
use crate::adapters::clock::random_key;
use crate::engine::read::{LookOptions, from_read};
use crate::journal;
use crate::ports::no_log;
use crate::settings::{Output, Settings};
use crate::wiring::wire;

/// Arguments of `trueup drift`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Applications to look at, as NAME or NAMESPACE/NAME [default: all]
    #[arg(value_name = "APP")]
    pub apps: Vec<String>,
}

/// Looks once and prints. 0: nothing open; 1: open questions; 2: something could not be read.
pub async fn run(
    settings: &Settings,
    args: &Args,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> i32 {
    let report = match look(settings, &args.apps).await {
        Ok(report) => report,
        Err(report) => *report,
    };
    match settings.output {
        Output::Json => output::json(out, &serde_json::to_value(&report).unwrap_or(Value::Null)),
        Output::Table => print(out, &report, Timestamp::now()),
    }
    output::errors(err, &report.errors);
    match (report.errors.is_empty(), report.questions.is_empty()) {
        (false, _) => exit::ERROR,
        (true, false) => exit::SOMETHING,
        (true, true) => exit::DONE,
    }
}

/// The report of one look; the error is a report of nothing but why.
pub(super) async fn look(
    settings: &Settings,
    apps: &[String],
) -> Result<DriftReport, Box<DriftReport>> {
    let wired = wire(settings, random_key(), no_log())
        .await
        .map_err(|error| {
            Box::new(DriftReport::new(
                Vec::new(),
                Vec::new(),
                vec![from_read(&error)],
            ))
        })?;
    let keys: Vec<_> = apps.iter().map(|name| wired.reader.app_key(name)).collect();
    let scope = (!keys.is_empty()).then_some(keys.as_slice());
    let options = LookOptions {
        report_only: true,
        ..LookOptions::default()
    };
    let mut world = ManuallyDrop::new(wired.reader.look(scope, options).await);
    // The process ends with this report: what it was made from is not taken to pieces first.
    std::mem::forget(wired);
    let mut report = std::mem::replace(
        &mut world.report,
        DriftReport::new(Vec::new(), Vec::new(), Vec::new()),
    );
    let cluster = world
        .pin
        .as_ref()
        .and_then(|pin| pin.kube_system_uid.as_deref());
    if let Some(cluster) = cluster {
        with_thaws(settings, cluster, &mut report);
    }
    Ok(report)
}

/// What was off and is given back leaves no trace on the Application; the journals of this state folder have it. One that cannot be read
/// is told of by `trueup incidents`.
fn with_thaws(settings: &Settings, cluster: &str, report: &mut DriftReport) {
    let off = |app: &&mut AppReport| app.auto_sync.state != State::On;
    let mut off: Vec<&mut AppReport> = report.applications.iter_mut().filter(off).collect();
    if off.is_empty() || cluster.is_empty() {
        return;
    }
    for incident in journal::list(&settings.state_dir).unwrap_or_default() {
        let Ok(lines) = journal::read(&settings.state_dir, &incident) else {
            continue;
        };
        let run = Run::fold(lines.iter().map(|line| &line.record));
        for app in off.iter_mut().filter(|_| run.pin.uid == cluster) {
            let key = AppKey::new(&app.namespace, &app.name);
            if let Some(at) = run.gave_back(&key) {
                let how = format!("the thaw of {incident}");
                app.auto_sync.was_on_at(at, &how);
            }
        }
    }
}

fn print(out: &mut (dyn Write + Send), report: &DriftReport, now: Timestamp) {
    let count = report.questions.len();
    let cells: usize = report
        .questions
        .iter()
        .map(|question| question.cells.len())
        .sum();
    let plural =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    if count == 0 && !report.errors.is_empty() {
        say(
            out,
            "Not everything could be read: that no question is listed here does not mean that there is none.",
        );
    } else if count == 0 {
        say(out, "No open question.");
    } else {
        say(
            out,
            &format!(
                "{} over {}.",
                plural(count, "open question"),
                plural(cells, "cell")
            ),
        );
    }
    for question in &report.questions {
        say(out, "");
        let title = format!("{}/{}  {}", question.kind, question.name, question.field);
        say(
            out,
            &format!(
                "{}  [{}, {}]",
                text::line(&title),
                question.class.name(),
                question.confidence.name()
            ),
        );
        let rows: Vec<Vec<String>> = question.cells.iter().map(|cell| row(cell, now)).collect();
        output::table(
            out,
            2,
            &[
                "APPLICATION",
                "NAMESPACE",
                "GIT",
                "LAST SYNCED",
                "LIVE",
                "",
                "WRITTEN BY",
                "SOURCE",
            ],
            &rows,
        );
        for line in &question.evidence {
            say(out, &format!("  - {}", text::line(line)));
        }
        if let Some(suggestion) = &question.suggestion {
            let take = serde_json::to_value(&suggestion.take).unwrap_or(Value::Null);
            say(
                out,
                &format!("  suggestion ({}): {}", suggestion.rule, text::value(&take)),
            );
        }
        if !question.decide_with.is_empty() {
            say(
                out,
                &format!(
                    "  decide together with: {}",
                    text::line(&question.decide_with.join(", "))
                ),
            );
        }
    }
    if report.applications.is_empty() {
        return;
    }
    say(out, "");
    let rows: Vec<Vec<String>> = report
        .applications
        .iter()
        .map(|app| {
            let mut counts: BTreeMap<_, usize> = BTreeMap::new();
            for noise in &app.noise {
                *counts.entry(noise.class).or_default() += noise.count;
            }
            let noise: Vec<String> = counts
                .iter()
                .map(|(class, count)| format!("{count} {}", class.name()))
                .collect();
            vec![
                format!("{}/{}", app.namespace, app.name),
                app.sync.clone(),
                app.health.clone(),
                output::auto_sync(app, now),
                app.divergences
                    .map_or_else(|| "?".to_owned(), |count| count.to_string()),
                noise.join(", "),
            ]
        })
        .collect();
    output::table(
        out,
        0,
        &[
            "APPLICATION",
            "SYNC",
            "HEALTH",
            "AUTO-SYNC",
            "DIVERGENCES",
            "NOISE",
        ],
        &rows,
    );
}

/// The longest value that the table shows whole, in characters; `-o json` has every one whole.
const LONG: usize = 60;

/// A value as a cell: a long one is cut and says how long it is.
fn side(value: Option<&Value>) -> String {
    let whole = value.map_or("-".to_owned(), text::value);
    if whole.chars().count() <= LONG {
        return whole;
    }
    let length = match value {
        Some(Value::String(text)) => text.len(),
        _ => whole.len(),
    };
    format!("{} ({length} bytes)", text::shorten(&whole, LONG))
}

fn row(cell: &Cell, now: Timestamp) -> Vec<String> {
    let writer = cell
        .writer
        .as_ref()
        .map_or(String::new(), |writer| match writer.time {
            Some(time) => format!("{}, {} ago", writer.manager, output::age(time, now)),
            None => writer.manager.clone(),
        });
    let source = cell.source.as_ref().map_or(String::new(), |source| {
        format!("{}:{}", source.path, source.line)
    });
    vec![
        cell.application.clone(),
        cell.namespace.clone(),
        side(cell.git.as_ref()),
        side(cell.last_synced.as_ref()),
        side(cell.live.as_ref()),
        if cell.differs {
            "differs".to_owned()
        } else {
            String::new()
        },
        writer,
        source,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_long_value_does_not_widen_the_table() {
        let long = json!("ü".repeat(900 * 1024));
        let shown = side(Some(&long));
        assert!(shown.ends_with("… (1843200 bytes)"), "{shown}");
        assert!(shown.chars().count() < 150, "{shown}");
        assert_eq!(side(Some(&json!("RS256"))), "RS256");
        assert_eq!(side(None), "-");
    }
}
