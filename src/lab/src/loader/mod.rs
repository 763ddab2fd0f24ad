//! Fills a cluster and a Git repository with a scenario, through the Kubernetes API and `git push` only: the same loader serves the lab and a real
//! control plane.

mod past;
mod scenario;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::argo::client_side_apply;
use crate::cluster::{Cluster, Gvk, PatchKind, Ref};
use crate::manifests;
use crate::remote::{self, Commit};
pub use scenario::{DEFAULT, Scenario, scenarios};
use scenario::{Named, Step};

/// A step that waits gives up after this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a scenario is loaded to.
pub struct Target {
    /// Administrator of the cluster; the Argo CD CRDs and its namespace must be there.
    pub cluster: Cluster,
    /// Argo CD's namespace.
    pub namespace: String,
    /// The Applications' `repoURL`: readable by Argo CD, pushable by the loader, and without the scenario's branch.
    pub repository: String,
    /// An empty folder for the loader's own use.
    pub scratch: PathBuf,
    /// Replacements for `${NAME}` in the scenario's files, besides `REPO_URL`.
    pub variables: BTreeMap<String, String>,
    /// Which of the scenario's extras to load as well.
    pub extras: Vec<String>,
}

/// What the loader leaves behind for those who come after.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Commit ids, oldest first.
    pub commits: Vec<String>,
    /// Kubeconfig context names and their bearer tokens.
    pub tokens: Vec<(String, String)>,
    /// The plan that recovers.
    pub plan: String,
    /// The Applications' `repoURL`.
    pub repository: String,
}

/// Loads `scenario` into `target`.
pub async fn load(scenario: &Scenario, target: &Target) -> anyhow::Result<Loaded> {
    let mut loader = Loader {
        scenario,
        target,
        commits: Vec::new(),
        now: Timestamp::now(),
    };
    // Read first, so that a misspelt extra is said before anything was written.
    scenario.tree(&target.extras)?;
    let extras = target
        .extras
        .iter()
        .filter_map(|name| scenario.extras.get(name))
        .flatten();
    for (number, step) in scenario.steps.iter().chain(extras).enumerate() {
        loader
            .step(step)
            .await
            .with_context(|| format!("step {} of the scenario {}", number + 1, scenario.name))?;
    }
    let mut tokens = Vec::new();
    for context in &scenario.contexts {
        let token = target
            .cluster
            .service_account_token(&context.namespace, &context.service_account)
            .await?;
        tokens.push((context.name.clone(), token));
    }
    Ok(Loaded {
        tokens,
        plan: loader.filled(scenario.file("plan.yaml")?),
        commits: loader.commits,
        repository: target.repository.clone(),
    })
}

struct Loader<'a> {
    scenario: &'a Scenario,
    target: &'a Target,
    commits: Vec<String>,
    now: Timestamp,
}

impl Loader<'_> {
    fn ago(&self, text: &str) -> anyhow::Result<Timestamp> {
        let ago =
            crate::durations::parse(text).ok_or_else(|| anyhow!("`{text}` is no duration"))?;
        self.now
            .checked_sub(ago)
            .with_context(|| format!("going back {text}"))
    }

    fn filled(&self, text: &str) -> String {
        let mut out = text.replace("${REPO_URL}", &self.target.repository);
        for (name, value) in &self.target.variables {
            out = out.replace(&format!("${{{name}}}"), value);
        }
        out
    }

    async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Namespaces(names) => {
                for name in names {
                    ensure_namespace(&self.target.cluster, name).await?;
                }
                Ok(())
            }
            Step::Push {} => self.push().await,
            Step::Apply { files, manager } => self.apply(files, manager).await,
            Step::Await {
                applications,
                operation,
            } => self.wait(applications, operation.as_deref()).await,
            Step::Edit {
                objects,
                manager,
                ago,
                merge,
            } => self.edit(objects, manager, ago, merge).await,
            Step::Refresh(names) => self.refresh(names).await,
            Step::History {
                applications,
                syncs,
            } => {
                for name in applications {
                    self.history(name, syncs)
                        .await
                        .with_context(|| format!("giving {name} its history"))?;
                }
                Ok(())
            }
            Step::ForgetEvents(namespaces) => {
                for namespace in namespaces {
                    for event in self
                        .target
                        .cluster
                        .list(&Gvk::new("", "v1", "Event"), namespace)
                        .await?
                    {
                        if let Some(id) = Ref::of(&event) {
                            self.target.cluster.delete(&id, "Background").await?;
                        }
                    }
                }
                Ok(())
            }
            Step::Backdate {
                manager,
                ago,
                objects,
            } => {
                let at = self.ago(ago)?;
                for object in objects {
                    past::backdate(&self.target.cluster, &reference(object), manager, at).await?;
                }
                Ok(())
            }
        }
    }

    async fn push(&mut self) -> anyhow::Result<()> {
        let head = self.scenario.tree(&self.target.extras)?;
        let mut commits = Vec::new();
        for past in &self.scenario.commits {
            let mut tree = head.clone();
            for was in &past.was {
                let text = tree
                    .get_mut(&was.path)
                    .ok_or_else(|| anyhow!("the tree has no file {}", was.path))?;
                *text = text.replace(&was.now, &was.was);
            }
            commits.push(Commit {
                files: tree
                    .into_iter()
                    .map(|(path, text)| (path, self.filled(&text).into_bytes()))
                    .collect(),
                message: past.message.clone(),
                author: past.author.clone(),
                at: self.ago(&past.ago)?,
            });
        }
        self.commits = remote::push_history(
            &self.target.repository,
            &self.scenario.repository.branch,
            &self.target.scratch,
            &commits,
        )
        .await?;
        Ok(())
    }

    async fn apply(&self, files: &[String], manager: &str) -> anyhow::Result<()> {
        let cluster = self.target.cluster.speaking_as(manager);
        for path in files {
            let text = self.filled(self.scenario.file(path)?);
            for object in manifests::parse(&text).map_err(|why| anyhow!("{path}: {why}"))? {
                let id = Ref::of(&object)
                    .ok_or_else(|| anyhow!("{path}: an object without kind or name"))?;
                client_side_apply(&cluster, &id, &object)
                    .await
                    .with_context(|| format!("applying {} {} of {path}", id.gvk.kind, id.name))?;
            }
        }
        Ok(())
    }

    fn application(&self, name: &str) -> Ref {
        Ref::new(Gvk::application(), &self.target.namespace, name)
    }

    async fn wait(
        &self,
        applications: &BTreeMap<String, String>,
        operation: Option<&str>,
    ) -> anyhow::Result<()> {
        let head = self.commits.last().cloned().unwrap_or_default();
        for (name, sync) in applications {
            let settled = |application: &Value| {
                let status = &application["status"];
                status["sync"]["status"] == sync.as_str()
                    && (head.is_empty() || status["sync"]["revision"] == head.as_str())
                    && status["health"]["status"] == "Healthy"
                    && application["operation"].is_null()
                    && operation.is_none_or(|phase| status["operationState"]["phase"] == phase)
            };
            self.until(
                &self.application(name),
                &format!("{sync} and Healthy"),
                settled,
            )
            .await?;
        }
        Ok(())
    }

    /// Looks until `settled`; the error shows how far it came.
    async fn until(
        &self,
        id: &Ref,
        what: &str,
        settled: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.target.cluster.get(id).await?.unwrap_or_default();
            if settled(&found) {
                return Ok(found);
            }
            if tokio::time::Instant::now() >= deadline {
                let status = &found["status"];
                bail!(
                    "{} {} did not become {what} within {PATIENCE:?}: sync {}, health {}, operation {}, conditions {}",
                    id.gvk.kind,
                    id.name,
                    status["sync"]["status"],
                    status["health"]["status"],
                    status["operationState"]["phase"],
                    status["conditions"]
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn edit(
        &self,
        objects: &[Named],
        manager: &str,
        ago: &str,
        merge: &Value,
    ) -> anyhow::Result<()> {
        let at = self.ago(ago)?;
        for object in objects {
            let id = reference(object);
            self.target
                .cluster
                .speaking_as(manager)
                .patch(&id, "", PatchKind::Merge, merge)
                .await
                .with_context(|| format!("editing {} {} as {manager}", id.gvk.kind, id.name))?;
            past::backdate(&self.target.cluster, &id, manager, at).await?;
        }
        Ok(())
    }

    async fn refresh(&self, names: &[String]) -> anyhow::Result<()> {
        let requester = self.target.cluster.speaking_as("argocd-server");
        let patch = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
        for name in names {
            requester
                .patch(&self.application(name), "", PatchKind::Merge, &patch)
                .await?;
        }
        for name in names {
            let consumed = |application: &Value| {
                application["metadata"]["annotations"]["argocd.argoproj.io/refresh"].is_null()
            };
            self.until(&self.application(name), "refreshed", consumed)
                .await?;
        }
        Ok(())
    }

    async fn history(&self, name: &str, syncs: &[scenario::Sync]) -> anyhow::Result<()> {
        let id = self.application(name);
        let application = self
            .target
            .cluster
            .get(&id)
            .await?
            .with_context(|| format!("there is no Application {name}"))?;
        let mut entries = Vec::new();
        let mut last = self.now;
        for (number, sync) in syncs.iter().enumerate() {
            last = self.ago(&sync.ago)?;
            let commit = self
                .commits
                .get(sync.commit)
                .ok_or_else(|| anyhow!("there is no commit {}", sync.commit))?;
            let started = last.checked_sub(Duration::from_secs(2))?;
            entries.push(json!({"id": number, "revision": commit, "source": application["spec"]["source"],
                "deployStartedAt": past::stamp(started), "deployedAt": past::stamp(last), "initiatedBy": {"automated": true}}));
        }
        let started = last.checked_sub(Duration::from_secs(2))?;
        let status = json!({"history": entries, "operationState": {"startedAt": past::stamp(started), "finishedAt": past::stamp(last)}});
        self.target
            .cluster
            .speaking_as("argocd-application-controller")
            .patch(&id, "", PatchKind::Merge, &json!({"status": status}))
            .await?;
        Ok(())
    }
}

fn reference(object: &Named) -> Ref {
    let (group, version) = object
        .api_version
        .split_once('/')
        .unwrap_or(("", &object.api_version));
    Ref::new(
        Gvk::new(group, version, &object.kind),
        &object.namespace,
        &object.name,
    )
}

/// Makes a namespace unless it is there.
pub async fn ensure_namespace(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let id = Ref::new(Gvk::new("", "v1", "Namespace"), "", name);
    if cluster.get(&id).await?.is_none() {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        match cluster.create(&object).await {
            Err(error) if error.code() != 409 => {
                return Err(error).with_context(|| format!("making the namespace {name}"));
            }
            _ => {}
        }
    }
    Ok(())
}
