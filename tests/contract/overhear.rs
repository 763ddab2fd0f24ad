//! What `tests/contract/record` runs for the walk: `traffic LAB-LINE TRUEUP RECORDINGS` makes it on the bed that the line describes, through a proxy,
//! and writes down what went over the wire.

mod traffic;

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [line, trueup, to] = words.as_slice() else {
        bail!("usage: traffic LAB-LINE TRUEUP RECORDINGS");
    };
    let text = std::fs::read_to_string(line).with_context(|| format!("reading {line}"))?;
    let document: Value = serde_json::from_str(&text)?;
    let seen = traffic::walk(&document, Path::new(trueup)).await?;
    let date = jiff::Zoned::now().date().to_string();
    let text = serde_json::to_string_pretty(
        &json!({"server": "kube-apiserver v1.36.1, Argo CD 3.5", "date": date, "traffic": seen}),
    )?;
    std::fs::write(Path::new(to).join("walk.json"), text + "\n")?;
    eprintln!("walk: {} shapes of request", seen.len());
    Ok(())
}
