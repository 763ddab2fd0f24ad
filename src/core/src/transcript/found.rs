//! What was found: the states of each object in question, and the Applications with their auto-sync.

use super::{
    model::{Found, Group, Question, State},
    quote::say,
    words::{self, app},
};
use crate::{
    event::{Earlier, Event, Record},
    object::identity::AppKey,
    run::Run,
};
use serde::Deserialize;
use serde_json::Value;

/// A question as a snapshot keeps it; what is missing is left empty.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    group: Option<String>,
    kind: String,
    name: String,
    field: String,
    class: String,
    confidence: String,
    evidence: Vec<String>,
    cells: Vec<Cell>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Cell {
    application: String,
    namespace: Option<String>,
    git: Option<Value>,
    last_synced: Option<Value>,
    live: Option<Value>,
    writer: Option<Writer>,
    source: Option<Source>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Writer {
    manager: String,
    time: Option<String>,
    bound: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    path: String,
    line: Option<u64>,
}

impl Cell {
    fn place(&self) -> String {
        match &self.namespace {
            Some(namespace) if !namespace.is_empty() => say(namespace),
            _ => say(&self.application),
        }
    }
}

/// The questions of a snapshot, each as it was found first: what an earlier one could not hold against Git comes before.
fn as_found<'r>(questions: &'r [Value], earlier: &'r [Earlier]) -> Vec<&'r Value> {
    let mut asked: Vec<&Value> = Vec::new();
    for question in earlier.iter().flat_map(|e| &e.questions).chain(questions) {
        let id = question.get("id");
        if id.is_none() || asked.iter().all(|known| known.get("id") != id) {
            asked.push(question);
        }
    }
    asked
}

/// The states of every object in question as the first snapshot has them.
pub(super) fn groups(records: &[&Record]) -> Vec<Group> {
    let questions = records.iter().find_map(|record| match &record.event {
        Event::SnapshotTaken {
            questions, earlier, ..
        } => {
            let asked = as_found(questions, earlier);
            (!asked.is_empty()).then_some(asked)
        }
        _ => None,
    });
    let mut grouped: Vec<(String, Vec<Asked>)> = Vec::new();
    for value in questions.into_iter().flatten() {
        let Ok(asked) = serde_json::from_value::<Asked>(value.clone()) else {
            continue;
        };
        let mut what = format!("{} {}", say(&asked.kind), say(&asked.name));
        if asked.group.is_none()
            && let [cell] = asked.cells.as_slice()
        {
            what.push_str(&format!(" of {}", say(&cell.application)));
        }
        match grouped.iter_mut().find(|(known, _)| *known == what) {
            Some((_, all)) => all.push(asked),
            None => grouped.push((what, vec![asked])),
        }
    }
    grouped
        .into_iter()
        .map(|(what, all)| Group {
            what,
            fields: all.iter().map(|q| say(&q.field)).collect(),
            states: states(&all),
            questions: all.iter().map(question).collect(),
        })
        .collect()
}

fn question(asked: &Asked) -> Question {
    Question {
        field: say(&asked.field),
        class: say(&asked.class),
        confidence: say(&asked.confidence),
        evidence: asked.evidence.iter().map(|e| say(e)).collect(),
    }
}

fn states(all: &[Asked]) -> Vec<State> {
    let mut members: Vec<String> = Vec::new();
    for cell in all.iter().flat_map(|q| &q.cells) {
        let place = cell.place();
        if !members.contains(&place) {
            members.push(place);
        }
    }
    let rows =
        |what: &str, side: &dyn Fn(&Cell) -> Option<&Value>, note: &dyn Fn(&Cell) -> String| {
            let row = |member: &String| {
                let cells: Vec<Option<&Cell>> = all
                    .iter()
                    .map(|q| q.cells.iter().find(|cell| cell.place() == *member))
                    .collect();
                let mut notes: Vec<String> = Vec::new();
                for text in cells.iter().flatten().map(|cell| note(cell)) {
                    add_note(&mut notes, text);
                }
                State {
                    place: format!("{what} {member}"),
                    values: cells
                        .iter()
                        .map(|cell| words::side(cell.and_then(side)))
                        .collect(),
                    writer: notes.join(", "),
                }
            };
            members.iter().map(row).collect::<Vec<_>>()
        };
    let no_note = |_: &Cell| String::new();
    let source = |cell: &Cell| {
        cell.source.as_ref().map_or_else(String::new, |s| {
            let line = s.line.map_or_else(String::new, |line| format!(":{line}"));
            say(&format!("{}{line}", s.path))
        })
    };
    let mut out = merged("Git", rows("Git of", &|c| c.git.as_ref(), &source));
    let base = rows("last synced in", &|c| c.last_synced.as_ref(), &no_note);
    if base.iter().any(|s| s.values.iter().any(|v| !v.is_empty())) {
        out.extend(merged("last synced", base));
    }
    out.extend(rows("live in", &|c| c.live.as_ref(), &written));
    out
}

/// Adds a note once; lines of one file stand together.
fn add_note(notes: &mut Vec<String>, text: String) {
    if text.is_empty() || notes.contains(&text) {
        return;
    }
    if let (Some((path, line)), Some(last)) = (text.rsplit_once(':'), notes.last_mut())
        && !line.is_empty()
        && line.chars().all(|c| c.is_ascii_digit())
        && last.starts_with(&format!("{path}:"))
    {
        last.push_str(&format!(",{line}"));
        return;
    }
    notes.push(text);
}

/// One row where all say the same.
fn merged(what: &str, rows: Vec<State>) -> Vec<State> {
    let same = rows.windows(2).all(|pair| pair[0].values == pair[1].values);
    match rows.len() {
        0 | 1 => rows,
        n if same => {
            let notes: Vec<&str> = rows
                .iter()
                .map(|row| row.writer.as_str())
                .filter(|note| !note.is_empty())
                .collect();
            vec![State {
                place: format!("{what}, all {n}"),
                values: rows[0].values.clone(),
                writer: notes.join(", "),
            }]
        }
        _ => rows,
    }
}

fn written(cell: &Cell) -> String {
    let Some(writer) = cell.writer.as_ref().filter(|w| !w.manager.is_empty()) else {
        return String::new();
    };
    let time = match (&writer.time, writer.bound.as_str()) {
        (Some(time), "upper") => format!(", not after {}", say(time)),
        (Some(time), _) => format!(", {}", say(time)),
        (None, _) => ", time unknown".into(),
    };
    format!("{}{time}", say(&writer.manager))
}

/// The Applications as the first snapshot has them, with the targets chosen.
pub(super) fn applications(records: &[&Record], run: &Run) -> Vec<Found> {
    let all = records.iter().find_map(|record| match &record.event {
        Event::SnapshotTaken { applications, .. } => Some(applications),
        _ => None,
    });
    let text = |value: &Value, pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .map_or_else(String::new, say)
    };
    let texts = |value: &Value, pointer: &str| -> Vec<String> {
        value
            .pointer(pointer)
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).map(say).collect())
            .unwrap_or_default()
    };
    all.into_iter()
        .flatten()
        .map(|value| {
            let raw = |pointer| value.pointer(pointer).and_then(Value::as_str);
            let key = AppKey::new(
                raw("/namespace").unwrap_or(&run.connection.namespace),
                raw("/name").unwrap_or_default(),
            );
            let noise = value.get("noise").and_then(Value::as_array);
            Found {
                application: app(run, &key),
                sync: text(value, "/sync"),
                health: text(value, "/health"),
                auto_sync: text(value, "/autoSync/state"),
                off_not_before: text(value, "/autoSync/offNotBefore"),
                off_not_after: text(value, "/autoSync/offNotAfter"),
                evidence: texts(value, "/autoSync/evidence"),
                noise: noise
                    .into_iter()
                    .flatten()
                    .map(|n| {
                        let count = n.get("count").and_then(Value::as_u64).unwrap_or_default();
                        format!("{count} {}", text(n, "/class"))
                    })
                    .collect(),
                target: run
                    .apps
                    .get(&key)
                    .and_then(|app| app.target.as_ref())
                    .map_or_else(String::new, |(target, sync_policy, _)| {
                        format!(
                            "{}: syncPolicy {}",
                            words::target(target),
                            words::policy(sync_policy)
                        )
                    }),
            }
        })
        .collect()
}
