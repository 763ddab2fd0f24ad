//! The transcript in HTML: one file, no script, nothing loaded, everything escaped, no link made from data.

use super::{
    chart,
    model::Transcript,
    quote::{short, short_block, short_script},
    words,
};
use jiff::Timestamp;
use minijinja::{
    AutoEscape, Environment, context,
    value::{Serde, Value},
};
use std::{collections::BTreeMap, fmt::Write as _};

const TEMPLATE: &str = include_str!("../../../../assets/transcript/transcript.html");

/// The transcript as one HTML page.
pub fn html(t: &Transcript) -> String {
    let mut environment = Environment::new();
    // As the default, but a slash stays a slash: paths and URLs are found by searching.
    environment.set_formatter(|out, state, value| {
        if value.is_safe() || *state.auto_escape() == AutoEscape::None {
            return write!(out, "{value}").map_err(Into::into);
        }
        for c in short(&value.to_string()).chars() {
            match c {
                '&' => out.write_str("&amp;"),
                '<' => out.write_str("&lt;"),
                '>' => out.write_str("&gt;"),
                '"' => out.write_str("&quot;"),
                '\'' => out.write_str("&#39;"),
                c => out.write_char(c),
            }?;
        }
        Ok(())
    });
    environment.add_filter("time", |value: &Value| at(value, words::time));
    environment.add_filter("clock", |value: &Value| {
        let when = value.get_attr("at").unwrap_or_default();
        at(&when, words::clock)
    });
    environment.add_filter("short", |text: &str| short_block(text).into_owned());
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
                .render(context! {
                    t => Value::from(Serde(t)),
                    script => short_script(&t.by_hand, &t.incident),
                    charts,
                    offsets,
                })
        })
        .expect("the template is part of the program and is rendered by its tests")
}

fn at(value: &Value, show: fn(Timestamp) -> String) -> String {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .map_or_else(|| "–".to_owned(), show)
}
