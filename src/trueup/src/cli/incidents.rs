//! `trueup incidents`: what the state folder holds.

use serde_json::{Value, json};

use trueup_core::{drift::report::ReportError, run::Run};

use super::{give_up, output, print_json};
use crate::{
    journal,
    settings::{Output, Settings},
};

pub fn run(settings: &Settings) -> i32 {
    let incidents = match journal::list(&settings.state_dir) {
        Ok(incidents) => incidents,
        Err(error) => return give_up(settings, &error.into()),
    };
    let mut errors = Vec::new();
    let mut items: Vec<Value> = Vec::new();
    for incident in incidents {
        match journal::read(&settings.state_dir, &incident) {
            Ok(lines) => {
                let run = Run::fold(lines.iter().map(|line| &line.record));
                items.push(json!({
                    "incident": incident,
                    "state": if run.closed.is_some() { "closed" } else { "open" },
                    "opened": run.opened_at,
                    "operator": run.operator,
                    "cluster": run.pin.context,
                    "applications": run.scope.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "owed": run.obligations().len(),
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
        let text = |item: &Value, key: &str| match item.get(key) {
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
            .map(|item| columns.iter().map(|c| text(item, c)).collect())
            .collect();
        let head: Vec<String> = columns.iter().map(|c| c.to_uppercase()).collect();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        output::table(&mut output::stdout(), 0, &head, &rows);
    }
    output::errors(&mut std::io::stderr(), &errors);
    if errors.is_empty() { 0 } else { 2 }
}
