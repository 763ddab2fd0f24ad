//! What `tests/contract/record` runs: `contract ADMIN-KUBECONFIG KUBECONFIG CASES RECORDINGS [GROUP]` does the cases on a control plane and writes down
//! how it answers, with its version and the date.

mod bed;
mod cases;
mod facts;
mod normal;

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [admin, people, from, to, only @ ..] = words.as_slice() else {
        bail!("usage: contract ADMIN-KUBECONFIG KUBECONFIG CASES RECORDINGS [GROUP]");
    };
    let read =
        |path: &str| std::fs::read_to_string(path).with_context(|| format!("reading {path}"));
    let bed = bed::Bed::connect(&read(admin)?, &read(people)?).await?;
    let version = bed
        .send(&bed::Sent {
            user: "admin".to_owned(),
            method: "GET".to_owned(),
            uri: "/version".to_owned(),
            accept: "application/json".to_owned(),
            ..Default::default()
        })
        .await?;
    let server = format!(
        "kube-apiserver {}",
        version.body["gitVersion"].as_str().unwrap_or("?")
    );
    let date = jiff::Zoned::now().date().to_string();
    for group in cases::read(Path::new(from))? {
        if !only.is_empty()
            && !only
                .iter()
                .any(|name| group.name.starts_with(name.as_str()))
        {
            continue;
        }
        let answers = group.run(&bed).await?;
        let text = serde_json::to_string_pretty(
            &json!({"server": server, "date": date, "cases": answers}),
        )?;
        let path = Path::new(to).join(format!("{}.json", group.name));
        std::fs::write(&path, text + "\n")
            .with_context(|| format!("writing {}", path.display()))?;
        eprintln!("{}: {} cases", group.name, answers.len());
    }
    if only.is_empty() || only.iter().any(|name| name == "facts") {
        let world = facts::World::connect(&read(admin)?, &read(people)?).await?;
        let mut seen = serde_json::Map::new();
        let mut wrong = Vec::new();
        for fact in facts::FACTS.iter().chain(facts::ONLY_REAL) {
            match (fact.look)(&world).await {
                Ok(found) => {
                    seen.insert(fact.name.to_owned(), found);
                    eprintln!("{}: {}", fact.room, fact.name);
                }
                Err(why) => {
                    wrong.push(format!("{}: {} does not hold: {why}", fact.room, fact.name))
                }
            }
        }
        if !wrong.is_empty() {
            bail!("{}", wrong.join("\n"));
        }
        let text = serde_json::to_string_pretty(
            &json!({"server": format!("{server}, Argo CD 3.5"), "date": date, "facts": seen}),
        )?;
        std::fs::write(Path::new(to).join("facts.json"), text + "\n")?;
    }
    Ok(())
}
