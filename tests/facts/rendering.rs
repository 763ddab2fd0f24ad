//! How a folder is rendered.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};
use trueup_core::source::plain::{self, DirectoryOptions};

use super::{Real, application, files, folder, list};

const TRACKING: &str = "argocd.argoproj.io/tracking-id";

/// What the API server of Argo CD answers for a folder, against what is rendered here of the same files.
pub fn a_folder_is_rendered_as_the_repo_server_renders_it(real: &Real) -> Vec<String> {
    let folder = folder("rendering");
    real.push(&super::files(&folder, "rendering"));
    let files = files(&folder, "rendering");
    let mut cases: Vec<(String, DirectoryOptions)> = Vec::new();
    let mut case = |name: &str, path: &str, recurse: bool, include: &str, exclude: &str| {
        let (include, exclude) = (include.to_owned(), exclude.to_owned());
        let path = format!("rendering/{path}");
        cases.push((
            name.to_owned(),
            DirectoryOptions {
                recurse,
                include,
                exclude,
                path,
            },
        ));
    };
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        case(&name, &name, false, "", "");
    }
    for (name, recurse, include, exclude) in [
        ("deep", true, "", ""),
        ("braces", true, "{a,d}.yaml", ""),
        ("stars", true, "*.yaml", ""),
        ("two-stars", true, "**/*.yaml", ""),
        ("not-sub", true, "", "sub/*"),
        ("not-deeper", true, "", "sub/**"),
        ("both", true, "**/{a,d,e}.yaml", "sub/deeper/*"),
        ("one", false, "?.y*ml", ""),
        ("class", false, "[a-b].*", ""),
        ("not-class", false, "[!a].*", ""),
    ] {
        case(name, "patterns", recurse, include, exclude);
    }
    let applications: Vec<Value> = cases.iter().map(|(name, options)| {
        let directory = json!({"recurse": options.recurse, "include": options.include, "exclude": options.exclude});
        let source = json!({"repoURL": real.lab.url(), "path": options.path, "targetRevision": "main", "directory": directory});
        application(name, source)
    }).collect();
    real.ask(&["create"], &list(&applications)).unwrap();
    let server = real.lab.text("argocdServer");
    let server = format!("http://{}", server.trim_start_matches("http://"));
    let refused = ["broken"];
    let mut wrong = Vec::new();
    for (name, options) in &cases {
        let ours = plain::render(&files, options, "");
        let uri = format!("/api/v1/applications/{name}/manifests");
        let theirs = real.ask(&["--server", &server, "get", "--raw", &uri], &Value::Null);
        match theirs {
            Err(why) if ours.errors.is_empty() => {
                wrong.push(format!("{name}: only the repo server refuses it: {why}"))
            }
            Err(_) if refused.contains(&name.as_str()) => {}
            Err(why) => wrong.push(format!("{name}: both refuse it: {why}, {:?}", ours.errors)),
            Ok(text) if !ours.errors.is_empty() => wrong.push(format!(
                "{name}: only trueup refuses it: {:?}: {text}",
                ours.errors
            )),
            Ok(text) => {
                let answer: Value = serde_json::from_str(&text).unwrap();
                let mut theirs: Vec<Value> = answer["manifests"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap())
                    .map(untracked)
                    .collect();
                let mut ours: Vec<Value> = ours
                    .objects
                    .iter()
                    .map(|one| untracked(Value::clone(&one.object)))
                    .collect();
                for side in [&mut theirs, &mut ours] {
                    side.sort_by_key(|object| object["metadata"]["name"].to_string());
                }
                if theirs.len() != ours.len() {
                    let names = |side: &[Value]| {
                        side.iter()
                            .map(|one| one["metadata"]["name"].clone())
                            .collect::<Vec<_>>()
                    };
                    wrong.push(format!(
                        "{name}: it has {:?}, here {:?}",
                        names(&theirs),
                        names(&ours)
                    ));
                }
                for (theirs, ours) in theirs.iter().zip(&ours) {
                    differing(theirs, ours, "", &mut |at, theirs, ours| {
                        wrong.push(format!("{name} {at}: it has {theirs}, here {ours}"));
                    });
                }
            }
        }
    }
    wrong
}

fn untracked(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    if let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(TRACKING);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    object
}

fn differing(a: &Value, b: &Value, at: &str, found: &mut impl FnMut(&str, &str, &str)) {
    let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            for key in x.keys().chain(y.keys()).collect::<BTreeSet<_>>() {
                let at = format!("{at}/{key}");
                match (x.get(key), y.get(key)) {
                    (Some(x), Some(y)) => differing(x, y, &at, found),
                    (x, y) => found(&at, &text(x), &text(y)),
                }
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                differing(x, y, &format!("{at}/{i}"), found);
            }
        }
        _ if a == b => {}
        _ => found(at, &text(Some(a)), &text(Some(b))),
    }
}
