//! What trueup says beforehand about Argo CD and the API server, held against a real one: what an ApplicationSet takes back, how a folder is
//! rendered, how lists are merged, which defaults are filled in, and what a server that has just been started answers. Passed over unless
//! `TRUEUP_CLUSTER=1`, since it needs Go.
//!
//! Facts that the lab can be asked for as well are in `tests/contract/facts`.

mod operations;
mod rendering;
mod server;
mod sets;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::support::{Bed, FAST, Lab, command, run};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);

struct Real {
    lab: Lab,
    home: tempfile::TempDir,
}

impl Real {
    fn ask(&self, arguments: &[&str], input: &Value) -> Result<String, String> {
        let program = PathBuf::from(self.lab.text("bin")).join("kubectl");
        let mut kubectl = command(&program, self.home.path());
        let dir = PathBuf::from(self.lab.text("dir"));
        kubectl
            .arg("--kubeconfig")
            .arg(dir.join("admin.kubeconfig"));
        kubectl.args(arguments);
        if !input.is_null() {
            let file = self.home.path().join("input.json");
            fs::write(&file, input.to_string()).unwrap();
            kubectl.arg("-f").arg(file);
        }
        let ran = run(kubectl);
        match ran.code {
            Some(0) => Ok(ran.out),
            _ => Err(ran.err),
        }
    }

    #[track_caller]
    fn json(&self, arguments: &[&str], input: &Value) -> Value {
        let said = self.ask(arguments, input);
        serde_json::from_str(&said.unwrap_or_else(|why| panic!("{arguments:?}: {why}"))).unwrap()
    }

    fn applications(&self) -> BTreeMap<String, Value> {
        let list = self.json(
            &["get", "applications", "-n", "argocd", "-o", "json"],
            &Value::Null,
        );
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| {
                (
                    item["metadata"]["name"].as_str().unwrap().to_owned(),
                    item.clone(),
                )
            })
            .collect()
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&BTreeMap<String, Value>) -> bool) {
        let until = Instant::now() + DEADLINE;
        loop {
            let seen = self.applications();
            if holds(&seen) {
                return;
            }
            assert!(
                Instant::now() < until,
                "it never came to {what}: {:?}",
                seen.keys()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Puts files into the tracked branch.
    fn push(&self, files: &[(String, Vec<u8>)]) {
        let clone = tempfile::tempdir_in(self.home.path()).unwrap();
        let clone = clone.path();
        let path = clone.display().to_string();
        let git = |arguments: &[&str]| {
            let mut git = command(Path::new("git"), self.home.path());
            git.args(["-c", "user.name=ann", "-c", "user.email=ann@example.org"]);
            git.args(arguments);
            let ran = run(git);
            assert_eq!(ran.code, Some(0), "git {arguments:?}: {ran:?}");
        };
        git(&["clone", "-q", self.lab.url(), &path]);
        for (file, bytes) in files {
            let file = clone.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        git(&["-C", &path, "add", "-A"]);
        git(&["-C", &path, "commit", "-qm", "what is looked at"]);
        git(&["-C", &path, "push", "-q", "origin", "main"]);
    }
}

/// Something beside this file.
fn folder(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/facts");
    here.join(name)
}

/// All files below a folder, as they are named below `to`.
fn files(from: &Path, to: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{to}/{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            found.extend(files(&path, &name));
        } else {
            found.push((name, fs::read(&path).unwrap()));
        }
    }
    found
}

fn application(name: &str, source: Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "namespace": "argocd"},
        "spec": {
            "project": "default", "source": source,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
        },
    })
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// One control plane for all of them: starting it takes longer than they do.
#[test]
fn what_is_said_of_argo_cd_and_the_api_server_is_so() {
    if !std::env::var("TRUEUP_CLUSTER").is_ok_and(|value| value == "1") {
        eprintln!("skipped: TRUEUP_CLUSTER=1 runs it on a real control plane");
        return;
    }
    let real = Real {
        lab: Lab::start_on(Bed::Cluster, &FAST),
        home: crate::support::scratch(),
    };
    type Look = fn(&Real) -> Vec<String>;
    let facts: [(&str, Look); 11] = [
        (
            "an application set takes back what is said and nothing that is said to hold",
            sets::an_application_set_takes_back_what_is_said,
        ),
        (
            "what is a hook for Argo CD is one here",
            operations::what_is_a_hook_for_argo_cd_is_one_here,
        ),
        (
            "an operation that is terminated is Terminating, and ends as Failed",
            operations::an_operation_that_is_terminated_is_terminating_and_ends_as_failed,
        ),
        (
            "in-cluster is the cluster that Argo CD runs on",
            operations::in_cluster_is_the_cluster_that_argo_cd_runs_on,
        ),
        (
            "an Application of another namespace marks its objects with it",
            operations::an_application_of_another_namespace_marks_its_objects_with_it,
        ),
        (
            "a rolling sync is started in the name of its controller",
            operations::a_rolling_sync_is_started_in_the_name_of_its_controller,
        ),
        (
            "many writers become one of whom nothing is known",
            server::many_writers_become_one_of_whom_nothing_is_known,
        ),
        (
            "a folder is rendered as the repo server renders it",
            rendering::a_folder_is_rendered_as_the_repo_server_renders_it,
        ),
        (
            "lists and maps are merged as the server says",
            server::lists_and_maps_are_merged_as_the_server_says,
        ),
        (
            "the server fills in the defaults that are known",
            server::the_server_fills_in_the_defaults_that_are_known,
        ),
        (
            "a server that has just been started refuses everything for a moment",
            server::a_server_that_has_just_been_started_refuses_everything_for_a_moment,
        ),
    ];
    let mut wrong = Vec::new();
    for (name, look) in facts {
        let began = Instant::now();
        let found = look(&real);
        println!("{name}: {} wrong, {:.1?}", found.len(), began.elapsed());
        for why in &found {
            println!("    {why}");
        }
        wrong.extend(found.into_iter().map(|why| format!("{name}: {why}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
