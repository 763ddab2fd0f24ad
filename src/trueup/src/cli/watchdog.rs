//! `trueup watchdog`: Applications whose auto-sync is off for longer than it should be.

use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use trueup_core::drift::report::{AppReport, DriftReport};
use trueup_core::policy::State;
use trueup_core::span::Span;

use super::output::{self, exit, say};
use crate::settings::{Output, Settings};

/// Arguments of `trueup watchdog`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long auto-sync may be off, e.g. 4h
    #[arg(long, value_name = "TIME")]
    pub older_than: Span,
}

/// Looks at every Application. 0: none is off for too long; 1: some are; 2: something could not be read.
pub async fn run(
    settings: &Settings,
    args: &Args,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> i32 {
    let report = match super::drift::look(settings, &[]).await {
        Ok(report) => report,
        Err(report) => *report,
    };
    let now = Timestamp::now();
    let late: Vec<&AppReport> = report
        .applications
        .iter()
        .filter(|app| is_late(app, args.older_than.0, now))
        .collect();
    match settings.output {
        Output::Json => output::json(out, &document(&late, args, &report)),
        Output::Table if late.is_empty() && !report.errors.is_empty() => say(
            out,
            "Not everything could be read: that no application is listed here does not mean that there is none.",
        ),
        Output::Table if late.is_empty() => say(
            out,
            &format!(
                "No application has had auto-sync off for longer than {}.",
                args.older_than
            ),
        ),
        Output::Table => {
            let rows: Vec<Vec<String>> = late
                .iter()
                .map(|app| {
                    let name = format!("{}/{}", app.namespace, app.name);
                    vec![
                        name,
                        output::auto_sync(app, now),
                        app.auto_sync.evidence.join("; "),
                    ]
                })
                .collect();
            output::table(out, 0, &["APPLICATION", "AUTO-SYNC", "EVIDENCE"], &rows);
        }
    }
    output::errors(err, &report.errors);
    match (report.errors.is_empty(), late.is_empty()) {
        (false, _) => exit::ERROR,
        (true, false) => exit::SOMETHING,
        (true, true) => exit::DONE,
    }
}

/// Off, unless it is certain that it was still on within the time allowed.
fn is_late(app: &AppReport, allowed: Duration, now: Timestamp) -> bool {
    let since = |then: Timestamp| Duration::try_from(now.duration_since(then)).unwrap_or_default();
    app.auto_sync.state == State::Off
        && app
            .auto_sync
            .off_not_before
            .is_none_or(|before| since(before) > allowed)
}

fn document(late: &[&AppReport], args: &Args, report: &DriftReport) -> Value {
    json!({
        "apiVersion": trueup_core::API_VERSION,
        "kind": "WatchdogReport",
        "olderThan": args.older_than.to_string(),
        "applications": late,
        "errors": report.errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::policy::AutoSync;

    #[test]
    fn only_what_was_certainly_on_within_the_time_is_left_out() {
        let now: Timestamp = "2026-01-08T00:00:00Z".parse().unwrap();
        let app = |state, before: Option<&str>, after: Option<&str>| AppReport {
            namespace: "argocd".into(),
            name: "a".into(),
            sync: String::new(),
            health: String::new(),
            auto_sync: AutoSync {
                state,
                frozen_by: None,
                off_not_before: before.map(|text| text.parse().unwrap()),
                off_not_after: after.map(|text| text.parse().unwrap()),
                evidence: Vec::new(),
            },
            divergences: Some(0),
            noise: Vec::new(),
        };
        let (week, hour) = (Some("2026-01-01T00:00:00Z"), Some("2026-01-07T23:00:00Z"));
        let four = Duration::from_secs(4 * 3600);
        assert!(is_late(&app(State::Off, week, hour), four, now));
        assert!(is_late(&app(State::Off, None, None), four, now));
        assert!(is_late(&app(State::Off, None, hour), four, now));
        assert!(!is_late(&app(State::Off, hour, None), four, now));
        assert!(!is_late(&app(State::Absent, week, week), four, now));
        assert!(!is_late(&app(State::On, week, None), four, now));
    }
}
