//! `cargo run -p trueup-lab --example serve -- [SCENARIO] [--dir DIR] [--set KEY=VALUE]…`: the lab alone.

use anyhow::{Context as _, bail};
use trueup_lab::serve::{ServeOptions, scenarios, serve};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut options = ServeOptions::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--list" => {
                for (name, summary) in scenarios() {
                    println!("{name}\t{summary}");
                }
                return Ok(());
            }
            "--dir" => options.dir = Some(words.next().context("--dir needs a folder")?.into()),
            "--set" => {
                let pair = words.next().context("--set needs KEY=VALUE")?;
                let (key, value) = pair.split_once('=').context("--set needs KEY=VALUE")?;
                options.settings.push((key.to_owned(), value.to_owned()));
            }
            option if option.starts_with('-') => bail!("unknown option {option}"),
            name => options.scenario = name.to_owned(),
        }
    }
    serve(options).await
}
