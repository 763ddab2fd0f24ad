//! A scenario on a cluster that others run: loads it, counts its traffic, and says where all is in one line of JSON, as the lab does.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::Cluster;
use crate::install::NAMESPACE;
use crate::loader::{self, Scenario, Target};
use crate::metrics::{self, Metrics};
use crate::serve::{Parts, Settings};
use crate::{manifests, remote};

/// Where the cluster is and what is loaded into it.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// Empty: the default one.
    pub scenario: String,
    /// A kubeconfig of an administrator. Argo CD is installed there, in the namespace `argocd`.
    pub kubeconfig: PathBuf,
    /// The folder that `git_url` serves: the scenario's repository is made in it.
    pub git_root: PathBuf,
    /// What is before `/NAME.git` in the repository's URL, for Argo CD and for those who push.
    pub git_url: String,
    pub dir: PathBuf,
    /// As for the lab; `poll` means nothing here.
    pub settings: Vec<(String, String)>,
}

/// Loads the scenario, prints the document with the exporter's own query API as `prometheus`, and counts until SIGTERM or SIGINT.
pub async fn attach(options: &AttachOptions) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let (document, metrics) = tokio::select! {
        loaded = load(options) => loaded?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{document}")
            .and_then(|()| out.flush())
            .context("printing the document")?;
    }
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    metrics.stop().await;
    Ok(())
}

async fn load(options: &AttachOptions) -> anyhow::Result<(Value, Metrics)> {
    let settings = Settings::read(&options.settings)?;
    let name = if options.scenario.is_empty() {
        loader::DEFAULT
    } else {
        &options.scenario
    };
    let scenario = Scenario::find(name)?;
    let dir = std::path::absolute(&options.dir).context("finding the folder")?;
    let parts = Parts {
        dir: &dir,
        settings: &settings,
    };
    let text = std::fs::read_to_string(&options.kubeconfig)
        .with_context(|| format!("reading {}", options.kubeconfig.display()))?;
    let admin = Cluster::connect(&text, None, "lab").await?;
    let metrics = Metrics::start(
        &admin,
        metrics::Settings {
            scrape: settings.scrape,
            lag: settings.lag,
            traffic: scenario.traffic.clone(),
        },
    )
    .await?;
    let file = format!("{}.git", scenario.repository.name);
    let repository = options.git_root.join(&file);
    remote::init_bare(&repository, &scenario.repository.branch).await?;
    let target = Target {
        cluster: admin,
        namespace: NAMESPACE.to_owned(),
        repository: format!("{}/{file}", options.git_url.trim_end_matches('/')),
        scratch: dir.join("scratch"),
        variables: BTreeMap::from([("WINDOW".to_owned(), settings.window.clone())]),
        extras: settings.extras.clone(),
    };
    let loaded = loader::load(&scenario, &target).await?;
    let _ = std::fs::remove_dir_all(&target.scratch);
    metrics.ready().await?;
    let cluster = cluster_of(&text)?;
    let mut document = parts.describe(&scenario, &loaded, |users, current| {
        with_users(&cluster, users, current)
    })?;
    document["prometheus"] = json!(metrics.url());
    Ok((document, metrics))
}

/// The first entry under `clusters`.
fn cluster_of(kubeconfig: &str) -> anyhow::Result<Value> {
    manifests::parse(kubeconfig)
        .map_err(|why| anyhow!("the kubeconfig: {why}"))?
        .first()
        .map(|config| config["clusters"][0].clone())
        .filter(|cluster| cluster["name"].is_string())
        .context("the kubeconfig names no cluster")
}

fn with_users(cluster: &Value, users: &[(&str, &str)], current: &str) -> String {
    let contexts: Vec<Value> = users
        .iter()
        .map(|(name, _)| json!({"name": name, "context": {"cluster": cluster["name"], "user": name}}))
        .collect();
    let users: Vec<Value> = users
        .iter()
        .map(|(name, token)| json!({"name": name, "user": {"token": token}}))
        .collect();
    // JSON is YAML, and this text is read by both kinds of parser.
    format!(
        "{:#}\n",
        json!({"apiVersion": "v1", "kind": "Config", "current-context": current, "clusters": [cluster], "contexts": contexts, "users": users})
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenarios_users_get_the_administrators_cluster() {
        let admin = "clusters:\n- name: real\n  cluster: {server: 'https://127.0.0.1:1', certificate-authority: /x/ca.crt}\nusers: [{name: admin, user: {token: secret}}]\n";
        let text = with_users(
            &cluster_of(admin).unwrap(),
            &[("operator", "t")],
            "operator",
        );
        let config: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            config["clusters"][0]["cluster"]["certificate-authority"],
            "/x/ca.crt"
        );
        assert_eq!(
            config["contexts"][0]["context"],
            json!({"cluster": "real", "user": "operator"})
        );
        assert!(!text.contains("secret"));
        assert!(cluster_of("clusters: []").is_err());
    }
}
