//! The walk over the wire: each shape of request that it sends is answered by the lab as a real control plane answered it. A write that was never
//! recorded fails; a read that was not is only named, since a later program may look at more.
#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

mod traffic;

use std::path::Path;

use serde::Deserialize;
use traffic::Traffic;
use trueup_lab::serve::{Lab, ServeOptions};

#[derive(Deserialize)]
struct Recording {
    traffic: Traffic,
}

/// Which discovery kubectl asks for, and whether it has it already, is a matter of its cache on disk.
fn cached(request: &str) -> bool {
    request.starts_with("kubectl GET /api") && !request.contains("/namespaces/")
}

/// There or not by the moment at which a list is read.
fn passing(field: &str) -> bool {
    field.contains("/status/operationState/") || field.contains("/status/history/")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_walk_is_answered_as_on_a_real_control_plane() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/contract/recordings/walk.json");
    let text = std::fs::read_to_string(path).unwrap();
    let real: Recording = serde_json::from_str(&text).unwrap();
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let options = ServeOptions {
        settings: vec![
            set("scrape", "500ms"),
            set("lag", "1s-2s"),
            set("window", "5s"),
        ],
        ..Default::default()
    };
    let lab = Lab::start(&options).await.unwrap();
    let seen = traffic::walk(&lab.document, Path::new(env!("CARGO_BIN_EXE_trueup")))
        .await
        .unwrap();
    lab.stop().await;
    if let Ok(file) = std::env::var("CONTRACT_OUT") {
        std::fs::write(file, serde_json::to_string_pretty(&seen).unwrap()).unwrap();
    }
    let by_hand = seen.keys().any(|request| request.starts_with("kubectl "));
    let mut wrong = Vec::new();
    for (request, real) in real.traffic.iter().filter(|(request, _)| !cached(request)) {
        let Some(lab) = seen.get(request) else {
            // Without a kubectl here there is nothing to compare with.
            if by_hand && request.starts_with("kubectl ") {
                wrong.push(format!("not sent on the lab: {request}"));
            }
            continue;
        };
        if lab.answers != real.answers {
            wrong.push(format!(
                "{request}\n    real {:?}\n    lab  {:?}",
                real.answers, lab.answers
            ));
        }
        for (what, a, b) in [("only real", real, lab), ("only the lab", lab, real)] {
            // A body that is no JSON has no fields to compare.
            if a.fields.is_empty() || b.fields.is_empty() {
                continue;
            }
            let fields: Vec<&String> = a
                .fields
                .difference(&b.fields)
                .filter(|field| !passing(field))
                .collect();
            if !fields.is_empty() {
                wrong.push(format!("{request}\n    {what} has {fields:?}"));
            }
        }
    }
    for request in seen
        .keys()
        .filter(|request| !cached(request) && !real.traffic.contains_key(*request))
    {
        if request.contains(" GET ") {
            eprintln!("not recorded, run tests/contract/record walk: {request}");
        } else {
            wrong.push(format!("written on the lab alone: {request}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
