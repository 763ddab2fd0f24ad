//! Holds what the world was asked to change against what the journal says was shown: the audit log and the reflog know.
#![allow(
    dead_code,
    reason = "each test uses the part that it needs; the lint would hold for each of them"
)]

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use trueup::journal::Line;
use trueup_core::event::{Effect, Event};

use super::Lab;

const REFRESH: &str = "argocd.argoproj.io/refresh";

/// Every write of the operator's account, and every move of the tracked branch but the scenario's own, that stands neither on
/// a sheet nor in the command log; every effect that landed more than once; and what its roles did not suffice for. `killed` says how often the process was
/// killed: the line of the command log is written after its request, so that each kill may have lost one.
pub fn unshown(lab: &Lab, journal: &[Line], killed: usize) -> Vec<String> {
    let mut found = forbidden(lab);
    let mut sheets: Vec<(String, Value, usize)> = Vec::new();
    let mut commits: BTreeMap<String, usize> = BTreeMap::new();
    let mut log: Vec<&str> = Vec::new();
    for line in journal {
        match &line.record.event {
            Event::Intended { effect, shown, .. } => {
                if shown.is_empty() {
                    found.push(format!("{} without a sheet", effect.verb()));
                }
                match effect {
                    Effect::Push { commit, .. } => {
                        commits.insert(commit.to_string(), 0);
                    }
                    Effect::Freeze {
                        application, patch, ..
                    }
                    | Effect::Sync {
                        application, patch, ..
                    }
                    | Effect::Ignore {
                        application, patch, ..
                    }
                    | Effect::Thaw {
                        application, patch, ..
                    } => sheets.push((application.name.to_string(), patch.clone(), 0)),
                    Effect::Act { object, patch, .. } => {
                        sheets.push((object.name.to_string(), patch.clone(), 0));
                    }
                    Effect::Delete {
                        object, options, ..
                    } => sheets.push((object.name.to_string(), options.clone(), 0)),
                }
            }
            Event::CommandRan { line } => log.push(&line.by_hand),
            _ => {}
        }
    }
    let mut refreshes: BTreeMap<String, usize> = BTreeMap::new();
    for write in lab.writes() {
        let code = write["responseStatus"]["code"].as_u64().unwrap_or_default();
        if code >= 300 {
            continue;
        }
        let body = &write["requestObject"];
        // Where a name is only in the object, the reference has none.
        let name = write["objectRef"]["name"]
            .as_str()
            .or(body["metadata"]["name"].as_str())
            .unwrap_or_default();
        let resource = write["objectRef"]["resource"].as_str().unwrap_or_default();
        let refresh = json!({"metadata": {"annotations": {REFRESH: "normal"}}});
        if let Some(sheet) = sheets
            .iter_mut()
            .find(|(on, patch, _)| on == name && patch == body)
        {
            sheet.2 += 1;
        } else if resource == "applications" && *body == refresh {
            *refreshes.entry(name.to_owned()).or_default() += 1;
        } else if resource == "leases" && log.iter().any(|line| line.contains(name)) {
            // Kept as the command log says: taken, renewed, released.
        } else {
            let uri = write["requestURI"].as_str().unwrap_or_default();
            found.push(format!("{} {uri}: {body}", write["verb"]));
        }
    }
    for (name, count) in refreshes {
        let of = format!("application {name} {REFRESH}=normal");
        let logged = log.iter().filter(|line| line.contains(&of)).count();
        if count > logged + killed {
            found.push(format!(
                "{name} was refreshed {count} times, {logged} are in the command log"
            ));
        }
    }
    for (name, patch, count) in sheets {
        if count > 1 {
            found.push(format!("landed {count} times on {name}: {patch}"));
        }
    }
    for commit in pushed(lab) {
        match commits.get_mut(&commit) {
            Some(count) => *count += 1,
            None => found.push(format!("{commit} was pushed without a sheet")),
        }
    }
    commits.retain(|_, count| *count > 1);
    for (commit, count) in commits {
        found.push(format!("{commit} was pushed {count} times"));
    }
    found
}

/// Requests of the operator's trueup that were refused for want of a right. All of a kind is asked for first, since one list is
/// better than many; what may not be listed so is listed by namespace.
fn forbidden(lab: &Lab) -> Vec<String> {
    let log = fs::read_to_string(lab.text("auditLog")).expect("there is an audit log");
    let entries = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries
        .filter(|entry| {
            let text = |pointer| entry.pointer(pointer).and_then(Value::as_str).unwrap_or("");
            let everywhere =
                text("/verb") == "list" && entry.pointer("/objectRef/namespace").is_none();
            entry["responseStatus"]["code"] == 403
                && text("/user/username").ends_with(":operator")
                && text("/userAgent").starts_with("trueup/")
                && !everywhere
                && !text("/requestReceivedTimestamp")
                    .parse()
                    .is_ok_and(|at| lab.was_starting(at))
        })
        .map(|entry| format!("forbidden: {} {}", entry["verb"], entry["requestURI"]))
        .collect()
}

/// The commits that the tracked branch was moved to since the scenario was loaded, but for those of other people.
fn pushed(lab: &Lab) -> Vec<String> {
    let all = lab.git(&["reflog", "show", "main", "--format=%H %cn"]);
    let mut all: Vec<&str> = all.lines().collect();
    all.pop();
    all.iter()
        .filter(|line| !line.ends_with(" ann"))
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect()
}
