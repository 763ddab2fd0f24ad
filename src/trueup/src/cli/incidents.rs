//! `trueup incidents`: what the state folder holds.

use std::io::Write;

use serde_json::{Value, json};
use trueup_core::{drift::report::ReportError, ids::IncidentId, run::Run, text};

use super::{
    give_up, output, print_json,
    status::{Looked, looked},
};
use crate::{
    journal,
    settings::{Output, Settings},
};

/// How much an incident owes. A freeze that a closed one left may have been thawed or taken over since: the cluster says so,
/// and why it did not where it does not answer.
async fn owed(settings: &Settings, incident: &IncidentId, run: &Run) -> (usize, Option<String>) {
    if !run.owes_a_thaw() {
        return (run.obligations().len(), None);
    }
    match looked(settings, incident, true).await {
        Ok(Looked {
            run, now: Ok(now), ..
        }) => (now.owed(&run).len(), None),
        Ok(Looked {
            run, now: Err(why), ..
        }) => (run.obligations().len(), Some(why)),
        Err(trouble) => (run.obligations().len(), Some(trouble.to_string())),
    }
}

pub async fn run(settings: &Settings) -> i32 {
    let incidents = match journal::list(&settings.state_dir) {
        Ok(incidents) => incidents,
        Err(error) => return give_up(settings, &error.into()),
    };
    let mut errors = Vec::new();
    let mut not_seen = Vec::new();
    let mut items: Vec<Value> = Vec::new();
    for incident in incidents {
        match journal::read(&settings.state_dir, &incident) {
            Ok(lines) => {
                let run = Run::fold(lines.iter().map(|line| &line.record));
                let (owed, unseen) = owed(settings, &incident, &run).await;
                if let Some(why) = unseen {
                    not_seen.push(format!("{incident}: {why}"));
                }
                items.push(json!({
                    "incident": incident,
                    "state": if run.closed.is_some() { "closed" } else { "open" },
                    "opened": run.opened_at,
                    "operator": run.operator,
                    "cluster": run.pin.context,
                    "applications": run.scope.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "owed": owed,
                }));
            }
            Err(error) => errors.push(ReportError::new(
                format!("read incident {incident}"),
                error.to_string(),
                error.hint(),
            )),
        }
    }
    if settings.output == Output::Json {
        print_json(
            &json!({"apiVersion": trueup_core::API_VERSION, "kind": "IncidentList", "incidents": items, "errors": errors}),
        );
    } else {
        let shown = |item: &Value, key: &str| match item.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(list)) => list.len().to_string(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        let columns = [
            "incident",
            "state",
            "opened",
            "operator",
            "cluster",
            "applications",
            "owed",
        ];
        let rows: Vec<Vec<String>> = items
            .iter()
            .map(|item| columns.iter().map(|c| shown(item, c)).collect())
            .collect();
        let head: Vec<String> = columns.iter().map(|c| c.to_uppercase()).collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        output::table(&mut output::stdout(), 0, &head, &rows);
    }
    output::errors(&mut std::io::stderr(), &errors);
    for line in not_seen {
        let _ = writeln!(
            std::io::stderr(),
            "what is owed is as the journal has it, and may be settled: {}",
            text::line(&line)
        );
    }
    if errors.is_empty() { 0 } else { 2 }
}
