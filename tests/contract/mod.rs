//! The lab against the recorded answers of a real control plane: the same cases, the same answers.

mod bed;
mod cases;
mod compare;
mod count;
mod facts;
mod normal;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cases::Recorded;
use serde::Deserialize;
use trueup_lab::serve::{Lab, ServeOptions};

#[derive(Deserialize)]
struct Recording {
    server: String,
    date: String,
    cases: Vec<Recorded>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/contract")
        .join(name)
}

fn recording(group: &str) -> Recording {
    let path = folder("recordings").join(format!("{group}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: run tests/contract/record", path.display()));
    let recording: Recording = serde_json::from_str(&text).unwrap();
    assert!(
        recording.server.starts_with("kube-apiserver v") && recording.date.len() == 10,
        "{} does not say what it was recorded on",
        path.display()
    );
    recording
}

async fn start() -> (Lab, bed::Bed) {
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let options = ServeOptions {
        settings: vec![set("scrape", "5s"), set("lag", "1s"), set("window", "5s")],
        ..Default::default()
    };
    let lab = Lab::start(&options).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(lab.dir().join(name)).unwrap();
    let bed = bed::Bed::connect(&read("admin.kubeconfig"), &read("kubeconfig"))
        .await
        .unwrap();
    (lab, bed)
}

/// `CONTRACT=NAME` does the groups whose names begin so; `CONTRACT_OUT=FOLDER` keeps what the lab answers, to look at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lab_answers_as_a_real_control_plane_does() {
    let only = std::env::var("CONTRACT").unwrap_or_default();
    let known: Vec<compare::Known> =
        serde_saphyr::from_str(&std::fs::read_to_string(folder("known.yaml")).unwrap()).unwrap();
    assert!(known.len() <= 10, "{} known differences", known.len());
    let mut groups = cases::read(&folder("cases")).unwrap();
    groups.retain(|group| group.name.starts_with(&only));
    // Each on a lab of its own, beside the others: most of them wait.
    let compared = groups.into_iter().map(|group| async move {
        let real = recording(&group.name);
        let (lab, bed) = start().await;
        let answers = match group.run(&bed).await {
            Ok(answers) => answers,
            Err(error) => panic!("on the lab: {error:#}"),
        };
        lab.stop().await;
        if let Ok(folder) = std::env::var("CONTRACT_OUT") {
            let text = serde_json::to_string_pretty(&serde_json::json!({"cases": answers}));
            let path = Path::new(&folder).join(format!("{}.json", group.name));
            std::fs::write(path, text.unwrap()).unwrap();
        }
        compare::group(&group.name, &real.cases, &answers)
    });
    let compared = futures::future::join_all(compared).await;
    let mut differences: Vec<_> = compared.into_iter().flatten().collect();
    let mut seen = BTreeSet::new();
    differences.retain(|difference| {
        let at = known.iter().position(|known| known.covers(difference));
        seen.extend(at);
        at.is_none()
    });
    let shown: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert!(
        differences.is_empty(),
        "the lab differs in {} places:\n{}",
        shown.len(),
        shown.join("\n")
    );
    if only.is_empty() {
        for (at, known) in known.iter().enumerate() {
            assert!(seen.contains(&at), "no longer so: {}", known.difference);
        }
    }
}

#[derive(Deserialize)]
struct Facts {
    facts: serde_json::Map<String, serde_json::Value>,
}

/// Every fact holds on the lab, and what is seen of it is what was seen on the real one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lab_agrees_with_the_facts_that_trueup_relies_on() {
    let text = std::fs::read_to_string(folder("recordings").join("facts.json")).unwrap();
    let recorded: Facts = serde_json::from_str(&text).unwrap();
    let rooms = facts::FACTS.chunk_by(|one, next| one.room == next.room);
    let rooms = rooms.map(|facts| disagreements(facts, &recorded));
    let wrong = futures::future::join_all(rooms).await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        recorded.facts.len(),
        facts::FACTS.len() + facts::ONLY_REAL.len(),
        "one recording a fact"
    );
    for fact in facts::ONLY_REAL {
        assert!(recorded.facts.contains_key(fact.name), "{}", fact.name);
    }
}

/// The facts of a room that do not hold on a lab of their own, or are another there.
async fn disagreements(facts: &[facts::Fact], recorded: &Facts) -> Vec<String> {
    let (lab, _) = start().await;
    let read = |name: &str| std::fs::read_to_string(lab.dir().join(name)).unwrap();
    let world = facts::World::connect(&read("admin.kubeconfig"), &read("kubeconfig"))
        .await
        .unwrap();
    let mut wrong = Vec::new();
    for fact in facts {
        let real = recorded.facts.get(fact.name);
        match (fact.look)(&world).await {
            Err(error) => wrong.push(format!("{} does not hold: {error:#}", fact.name)),
            Ok(seen) if Some(&seen) != real => wrong.push(format!(
                "{}\n    real {}\n    lab  {seen}",
                fact.name,
                real.unwrap_or(&serde_json::Value::Null)
            )),
            Ok(_) => {}
        }
    }
    lab.stop().await;
    wrong
}

/// What the recordings are worth: a case counts once for each distinct verb, kind, patch type, trial or not, code and reason.
#[test]
fn the_recordings_hold_what_they_are_meant_to() {
    let mut distinct = BTreeSet::new();
    for group in cases::read(&folder("cases")).unwrap() {
        let cases = recording(&group.name).cases;
        distinct.extend(cases.iter().map(count::kind_of));
    }
    let writes = distinct.iter().filter(|kind| kind.writes()).count();
    let failures = distinct.iter().filter(|kind| kind.status >= 400).count();
    eprintln!(
        "{} distinct cases, {writes} of them write, {failures} fail",
        distinct.len()
    );
    assert!(distinct.len() >= 200 && writes >= 120 && failures >= 70);
}
