//! One look at a thousand Applications with twenty objects each: run by hand with `--ignored --nocapture`.
#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use serde_json::{Value, json};
use trueup::adapters::clock::SystemClock;
use trueup::adapters::git::{GitOptions, GitRepos};
use trueup::engine::read::{LookOptions, Reader};
use trueup::ports::{
    Cluster, ClusterPin, Grant, Kind, Listing, Permission, ReadError, Served, Watch, WriteError,
    WriteRequest, no_log,
};
use trueup_core::object::identity::ObjectRef;
use trueup_core::object::redact::Plain;

const APPS: usize = 1_000;
const OBJECTS: usize = 20;

struct Full {
    applications: Vec<Arc<Value>>,
    configs: Vec<Arc<Value>>,
}

#[async_trait]
impl Cluster for Full {
    async fn pin(&self) -> Result<ClusterPin, ReadError> {
        Ok(ClusterPin {
            server: String::new(),
            ca_digest: String::new(),
            kube_system_uid: None,
            context: "fake".into(),
            version: "v1.33.0".into(),
        })
    }
    async fn list(&self, kind: &Kind, _: Option<&str>) -> Result<Listing, ReadError> {
        let items = if kind.kind == "Application" {
            self.applications.clone()
        } else {
            self.configs.clone()
        };
        Ok(Listing {
            items,
            resource_version: "1".into(),
            bytes: 0,
            requests: 1,
        })
    }
    async fn get(&self, _: &ObjectRef) -> Result<Option<Value>, ReadError> {
        Ok(None)
    }
    async fn reveal(&self, _: &ObjectRef, _: &str) -> Result<Option<Plain>, ReadError> {
        Ok(None)
    }
    async fn write(&self, request: &WriteRequest) -> Result<Value, WriteError> {
        Err(WriteError::NotSent {
            what: request.object.to_string(),
            cause: "a fake writes nothing".into(),
        })
    }
    async fn allowed(&self, _: &[Permission]) -> Vec<Grant> {
        Vec::new()
    }
    async fn watch(&self, _: &Kind, _: Option<&str>, _: &str) -> Result<Watch, ReadError> {
        unreachable!("a look does not watch")
    }
    async fn served(&self, kinds: &[Kind]) -> Result<Vec<Option<Served>>, ReadError> {
        let served = Served {
            plural: "configmaps".into(),
            namespaced: true,
            verbs: Vec::new(),
        };
        Ok(kinds.iter().map(|_| Some(served.clone())).collect())
    }
    fn context(&self) -> &str {
        "fake"
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn a_thousand_applications() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .current_dir(&work)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    std::fs::create_dir_all(&work).unwrap();
    git(&["init", "-q", "-b", "main"]);
    let padding = "x".repeat(2_000);
    let (mut applications, mut configs) = (Vec::new(), Vec::new());
    for app in 0..APPS {
        let folder = work.join(format!("deploy/app-{app}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut text = String::new();
        for n in 0..OBJECTS {
            text.push_str(&format!(
                "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c{n}-{app}\ndata:\n  value: \"1\"\n  padding: {padding}\n"
            ));
            let value = if n == 0 && app % 100 == 0 { "2" } else { "1" };
            configs.push(json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": format!("c{n}-{app}"), "namespace": format!("ns-{app}"),
                    "annotations": {"argocd.argoproj.io/tracking-id": format!("app-{app}:/ConfigMap:ns-{app}/c{n}-{app}")}},
                "data": {"value": value, "padding": padding}}));
        }
        std::fs::write(folder.join("all.yaml"), text).unwrap();
    }
    git(&["add", "."]);
    git(&[
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "-qm",
        "all",
    ]);
    let head = git(&["rev-parse", "HEAD"]);
    for app in 0..APPS {
        applications.push(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": format!("app-{app}"), "namespace": "argocd"},
            "spec": {"source": {"repoURL": format!("file://{}", work.display()), "path": format!("deploy/app-{app}"), "targetRevision": "main"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": format!("ns-{app}")}},
            "status": {"history": [{"revision": head, "deployedAt": "2026-01-01T00:00:00Z", "id": 0}]}}));
    }
    let repos = GitRepos::new(GitOptions::new(dir.path().join("mirrors"), no_log()));
    let hub: Arc<dyn Cluster> = Arc::new(Full {
        applications: applications.into_iter().map(Arc::new).collect(),
        configs: configs.into_iter().map(Arc::new).collect(),
    });
    let reader = Reader::new(
        hub,
        BTreeMap::new(),
        Arc::new(repos),
        Arc::new(SystemClock),
        "argocd",
        [7; 32],
    );
    for look in ["first", "second"] {
        let started = Instant::now();
        let world = reader.look(None, LookOptions::default()).await;
        println!("{look} look: {:?}", started.elapsed());
        assert_eq!(world.errors, []);
        assert_eq!(world.report.questions.len(), APPS / 100);
    }
}
