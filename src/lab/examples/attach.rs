//! `cargo run -p trueup-lab --example attach -- [SCENARIO] --kubeconfig FILE --git-root DIR --git-url URL --dir DIR [--set KEY=VALUE]…`:
//! a scenario and its metrics on a cluster that is there already. What `tests/cluster/up` loads with.

use anyhow::{Context as _, bail};
use trueup_lab::attach::{AttachOptions, attach};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut options = AttachOptions {
        scenario: String::new(),
        kubeconfig: "".into(),
        git_root: "".into(),
        git_url: String::new(),
        dir: "".into(),
        settings: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "--kubeconfig" => options.kubeconfig = value()?.into(),
            "--git-root" => options.git_root = value()?.into(),
            "--git-url" => options.git_url = value()?,
            "--dir" => options.dir = value()?.into(),
            "--set" => {
                let pair = value()?;
                let (key, value) = pair.split_once('=').context("--set needs KEY=VALUE")?;
                options.settings.push((key.to_owned(), value.to_owned()));
            }
            option if option.starts_with('-') => bail!("unknown option {option}"),
            name => options.scenario = name.to_owned(),
        }
    }
    for (option, value) in [
        ("--kubeconfig", options.kubeconfig.as_os_str().is_empty()),
        ("--git-root", options.git_root.as_os_str().is_empty()),
        ("--git-url", options.git_url.is_empty()),
        ("--dir", options.dir.as_os_str().is_empty()),
    ] {
        if value {
            bail!("{option} is needed");
        }
    }
    attach(&options).await
}
