//! The transcript in HTML: one file, no script, nothing loaded, everything escaped, no link made from data.

use super::{chart, model::Transcript, words};
use jiff::Timestamp;
use minijinja::{
    Environment, context,
    value::{Serde, Value},
};
use std::collections::BTreeMap;

const TEMPLATE: &str = include_str!("../../../../assets/transcript/transcript.html");

/// The transcript as one HTML page.
pub fn html(t: &Transcript) -> String {
    let mut environment = Environment::new();
    environment.add_filter("time", |value: &Value| at(value, words::time));
    environment.add_filter("clock", |value: &Value| {
        let when = value.get_attr("at").unwrap_or_default();
        at(&when, words::clock)
    });
    // The pictures hold numbers and fixed words only, so they may go in unescaped. A sync finds its own by its op-id.
    let mut charts: Vec<String> = Vec::new();
    let mut offsets: BTreeMap<&str, usize> = BTreeMap::new();
    for sync in &t.syncs {
        offsets.insert(&sync.op, charts.len());
        charts.extend(sync.gates.iter().map(|gate| chart::svg(&gate.samples)));
    }
    // The name ends with .html, which switches escaping on.
    environment
        .add_template("transcript.html", TEMPLATE)
        .and_then(|()| {
            environment
                .get_template("transcript.html")?
                .render(context! { t => Value::from(Serde(t)), charts, offsets })
        })
        .expect("the template is part of the program and is rendered by its tests")
}

fn at(value: &Value, show: fn(Timestamp) -> String) -> String {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .map_or_else(|| "–".to_owned(), show)
}
