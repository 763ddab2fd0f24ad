//! Applications with their objects, on the cluster and in Git, as if Argo CD had synced them: tracking id, last-applied, managed fields.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use trueup_lab::cluster::{Cluster, Gvk, PatchKind, Ref};

/// Objects of one Application.
pub const OBJECTS: usize = 20;
/// Every so manieth Application has one value that was changed by hand.
pub const CHANGED: usize = 100;
const AT_ONCE: usize = 16;
/// Applications that are left when the first round is over.
const FEW: usize = 20;
const BRANCH: &str = "main";

/// The name of an Application, of its folder and of its namespace.
pub fn name(app: usize) -> String {
    format!("app-{app:04}")
}

/// The folder of an Application in the repository.
pub fn folder(app: usize) -> String {
    format!("apps/{}", name(app))
}

fn object_name(app: usize, object: usize) -> String {
    format!("{}-settings-{object:02}", name(app))
}

/// About 600 bytes, as settings of a service are.
fn data(app: usize, object: usize) -> Value {
    let host = format!("db-{app}.internal.example.com");
    json!({
        "LOG_LEVEL": "info",
        "LISTEN": format!("0.0.0.0:{}", 8000 + object),
        "DATABASE_URL": format!("postgres://{host}:5432/service_{object}?sslmode=verify-full"),
        "CACHE_TTL_SECONDS": "300",
        "FEATURES": "checkout-v2,fast-search,audit-trail,dark-mode,export-csv,import-csv",
        "application.properties": (0..6)
            .map(|n| format!("service.pool.{n}.host={host}\nservice.pool.{n}.size={}\n", 10 + n))
            .collect::<String>(),
    })
}

fn config(app: usize, object: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": object_name(app, object)}, "data": data(app, object)})
}

/// The same as a person writes it.
fn manifest(app: usize, object: usize) -> String {
    let mut text = format!(
        "# settings of {}, part {object}\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {}\ndata:\n",
        name(app),
        object_name(app, object)
    );
    for (key, value) in data(app, object).as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if value.contains('\n') {
            text.push_str(&format!("  {key}: |\n"));
            for line in value.lines() {
                text.push_str(&format!("    {line}\n"));
            }
        } else {
            text.push_str(&format!("  {key}: \"{value}\"\n"));
        }
    }
    text
}

/// As it is after a sync.
fn synced(app: usize, object: usize) -> Value {
    let mut live = config(app, object);
    let (name, config) = (name(app), object_name(app, object));
    live["metadata"]["namespace"] = json!(name);
    live["metadata"]["annotations"] =
        json!({"argocd.argoproj.io/tracking-id": format!("{name}:/ConfigMap:{name}/{config}")});
    let applied = format!("{live}\n");
    live["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
        json!(applied);
    live
}

fn application(app: usize, repository: &str, revision: &str) -> Value {
    let source = json!({"repoURL": repository, "path": folder(app), "targetRevision": BRANCH});
    let at = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name(app), "namespace": "argocd"},
        "spec": {"project": "default", "source": source,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": name(app)}},
        "status": {"history": [{"id": 0, "revision": revision, "deployedAt": at, "deployStartedAt": at, "source": source}]}})
}

/// The repository that Argo CD renders from, and a checkout of it.
pub struct Repository {
    pub url: String,
    pub checkout: PathBuf,
}

impl Repository {
    pub fn create(root: &Path, url: &str, dir: &Path) -> Self {
        let (bare, checkout) = (root.join("fleet.git"), dir.join("fleet"));
        if !bare.exists() {
            git(
                dir,
                &[
                    "init",
                    "-q",
                    "--bare",
                    "-b",
                    BRANCH,
                    &bare.display().to_string(),
                ],
            );
            git(
                dir,
                &["init", "-q", "-b", BRANCH, &checkout.display().to_string()],
            );
            git(
                &checkout,
                &["remote", "add", "origin", &bare.display().to_string()],
            );
        }
        Self {
            url: format!("{url}/fleet.git"),
            checkout,
        }
    }

    /// Commits the folders of the Applications, pushes, and gives the commit.
    fn add(&self, apps: std::ops::Range<usize>) -> String {
        for app in apps {
            let folder = self.checkout.join(folder(app));
            std::fs::create_dir_all(&folder).unwrap();
            for object in 0..OBJECTS {
                std::fs::write(
                    folder.join(format!("{object:02}.yaml")),
                    manifest(app, object),
                )
                .unwrap();
            }
        }
        git(&self.checkout, &["add", "."]);
        git(
            &self.checkout,
            &[
                "-c",
                "user.name=bench",
                "-c",
                "user.email=bench@example.com",
                "commit",
                "-qm",
                "more",
            ],
        );
        git(&self.checkout, &["push", "-q", "origin", BRANCH]);
        git(&self.checkout, &["rev-parse", "HEAD"])
    }
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let done = Command::new("git")
        .current_dir(at)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// How many Applications there are.
pub async fn count(cluster: &Cluster) -> anyhow::Result<usize> {
    Ok(cluster.list(&Gvk::application(), "argocd").await?.len())
}

/// Adds Applications, in Git first, and waits until Argo CD has compared every one.
pub async fn grow(
    cluster: &Cluster,
    repository: &Repository,
    apps: std::ops::Range<usize>,
) -> anyhow::Result<()> {
    let revision = repository.add(apps.clone());
    let argo = cluster.speaking_as("argocd-controller");
    let each = |objects: Vec<Value>| {
        let argo = argo.clone();
        async move {
            futures::stream::iter(objects)
                .map(|object| {
                    let argo = argo.clone();
                    async move { argo.create(&object).await }
                })
                .buffer_unordered(AT_ONCE)
                .try_for_each(|_| async { Ok(()) })
                .await
        }
    };
    let all = || apps.clone();
    each(
        all()
            .map(|app| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name(app)}}))
            .collect(),
    )
    .await?;
    each(
        all()
            .flat_map(|app| (0..OBJECTS).map(move |object| synced(app, object)))
            .collect(),
    )
    .await?;
    let person = cluster.speaking_as("kubectl-edit");
    for app in all().filter(|app| app % CHANGED == 0) {
        let target = Ref::new(
            Gvk::new("", "v1", "ConfigMap"),
            &name(app),
            &object_name(app, 7),
        );
        let patch = json!({"data": {"LOG_LEVEL": "debug"}});
        person.patch(&target, "", PatchKind::Merge, &patch).await?;
    }
    each(
        all()
            .map(|app| application(app, &repository.url, &revision))
            .collect(),
    )
    .await?;
    loop {
        let seen = cluster.list(&Gvk::application(), "argocd").await?;
        let waiting: Vec<&str> = seen
            .iter()
            .filter(|app| {
                let status = app.pointer("/status/sync/status").and_then(Value::as_str);
                status.is_none_or(|status| status == "Unknown")
            })
            .filter_map(|app| app.pointer("/metadata/name")?.as_str())
            .collect();
        if waiting.is_empty() {
            return Ok(());
        }
        // What failed for once is not compared again by itself: this Argo CD has no resync.
        if waiting.len() < FEW {
            let refresh =
                json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
            for name in &waiting {
                let target = Ref::new(Gvk::application(), "argocd", name);
                cluster
                    .patch(&target, "", PatchKind::Merge, &refresh)
                    .await?;
            }
        }
        let waiting = waiting.len();
        eprintln!("Argo CD has yet to compare {waiting} applications");
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}
