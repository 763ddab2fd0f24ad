//! The lab as a process: starts every part, loads a scenario, says where all is in one line of JSON, and runs until it is told to stop.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::argo::{self, Controller};
use crate::cluster::Cluster;
use crate::install::{self, NAMESPACE};
use crate::loader::{self, Loaded, Scenario, Target};
use crate::metrics::{self, Lag, Metrics};
use crate::workloads::Workloads;
use crate::{api, durations, remote};

/// Name and one line of each scenario, the default first.
pub fn scenarios() -> Vec<(String, String)> {
    loader::scenarios()
}

/// What to serve.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// Empty: the default one.
    pub scenario: String,
    /// Where everything is kept. `None` is a folder of its own under the system's temporary one, removed at the end.
    pub dir: Option<PathBuf>,
    /// `scrape`, `lag`, `window`, `poll` and `extras`, as `key=value` of the command line.
    pub settings: Vec<(String, String)>,
}

/// The arguments with which a program that serves labs starts itself again as one: `lab SCENARIO --serve …`.
pub fn spawn_args(options: &ServeOptions) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["lab".into()];
    if !options.scenario.is_empty() {
        args.push(options.scenario.clone().into());
    }
    args.push("--serve".into());
    if let Some(dir) = &options.dir {
        args.extend(["--dir".into(), dir.clone().into_os_string()]);
    }
    for (key, value) in &options.settings {
        args.extend(["--set".into(), format!("{key}={value}").into()]);
    }
    args
}

/// The settings that `--set` takes. They are about the lab alone: what trueup waits for is in the config file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Between two scrapes of the metrics.
    pub scrape: Duration,
    /// Until a changed ConfigMap is what the processes work with.
    pub lag: Lag,
    /// The window of the rates in the plan's queries.
    pub window: String,
    /// Between two looks of Argo CD at Git.
    pub poll: Duration,
    /// Parts of the scenario that are loaded only when asked for, comma-separated on the command line.
    pub extras: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            scrape: Duration::from_secs(5),
            lag: Lag {
                least: Duration::from_secs(20),
                most: Duration::from_secs(40),
            },
            window: "30s".to_owned(),
            poll: Duration::from_secs(3),
            extras: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads `key`, `value` pairs over the defaults; an unknown key or an unreadable value is an error that lists what there is.
    pub fn read(pairs: &[(String, String)]) -> anyhow::Result<Settings> {
        let mut settings = Settings::default();
        for (key, value) in pairs {
            let duration = || {
                durations::parse(value)
                    .filter(|duration| !duration.is_zero())
                    .ok_or_else(|| {
                        anyhow!("--set {key}={value}: a duration such as 5s or 500ms is needed")
                    })
            };
            match key.as_str() {
                "scrape" => settings.scrape = duration()?,
                "poll" => settings.poll = duration()?,
                "extras" => {
                    settings.extras = value
                        .split(',')
                        .map(|name| name.trim().to_owned())
                        .collect()
                }
                "window" => {
                    duration()?;
                    settings.window = value.clone();
                }
                "lag" => {
                    settings.lag = Lag::parse(value).ok_or_else(|| {
                        anyhow!("--set lag={value}: a duration or a span such as 20s-40s is needed")
                    })?
                }
                _ => bail!(
                    "--set {key}={value}: there is no such setting; there is: extras, lag, poll, scrape, window"
                ),
            }
        }
        Ok(settings)
    }
}

/// A whole lab, running in this process.
pub struct Lab {
    server: api::Server,
    controller: Controller,
    workloads: Workloads,
    metrics: Metrics,
    /// The administrator of the cluster, for tests and actors.
    pub admin: Cluster,
    /// Commit ids of the seeded branch, oldest first.
    pub commits: Vec<String>,
    /// The document that `--serve` prints.
    pub document: Value,
    dir: PathBuf,
    own_dir: bool,
}

impl Lab {
    /// Starts the parts, loads the scenario and waits until everything answers.
    pub async fn start(options: &ServeOptions) -> anyhow::Result<Lab> {
        let settings = Settings::read(&options.settings)?;
        let name = if options.scenario.is_empty() {
            loader::DEFAULT
        } else {
            &options.scenario
        };
        let scenario = Scenario::find(name)?;
        let (dir, own_dir) = match &options.dir {
            Some(dir) => (
                std::path::absolute(dir).context("finding the lab's folder")?,
                false,
            ),
            None => (own_folder()?, true),
        };
        let started = Parts {
            dir: &dir,
            settings: &settings,
        }
        .start(&scenario)
        .await;
        match started {
            Ok(mut lab) => {
                lab.own_dir = own_dir;
                Ok(lab)
            }
            Err(error) => {
                if own_dir {
                    remove(&dir).await;
                }
                Err(error)
            }
        }
    }

    pub fn prometheus(&self) -> String {
        self.metrics.url()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stops every part and removes the folder, if it is the lab's own.
    pub async fn stop(self) {
        self.metrics.stop().await;
        self.controller.stop().await;
        self.workloads.stop().await;
        self.server.stop().await;
        if self.own_dir {
            remove(&self.dir).await;
        }
    }
}

/// Where a lab keeps its files, and what was set.
pub(crate) struct Parts<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) settings: &'a Settings,
}

impl Parts<'_> {
    pub(crate) fn sub(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.dir.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Writes `name` for the owner alone: a kubeconfig holds tokens.
    fn private(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.write(name, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .with_context(|| format!("protecting {}", path.display()))?;
        Ok(path)
    }

    /// Writes the files of a loaded scenario and gives the document that names them, all but the metrics' address. `kubeconfig` makes one of names,
    /// tokens and the current context.
    pub(crate) fn describe(
        &self,
        scenario: &Scenario,
        loaded: &Loaded,
        kubeconfig: impl Fn(&[(&str, &str)], &str) -> String,
    ) -> anyhow::Result<Value> {
        let contexts: Vec<(&str, &str)> = loaded
            .tokens
            .iter()
            .map(|(name, token)| (name.as_str(), token.as_str()))
            .collect();
        let current = contexts.first().map_or("", |(name, _)| *name);
        let names: BTreeMap<&str, &str> = contexts.iter().map(|(name, _)| (*name, *name)).collect();
        Ok(json!({
            "apiVersion": "trueup.dev/v1",
            "kind": "Lab",
            "scenario": scenario.name,
            "kubeconfig": self.private("kubeconfig", &kubeconfig(&contexts, current))?,
            "contexts": names,
            "namespace": NAMESPACE,
            "repositories": [{"url": loaded.repository, "branch": scenario.repository.branch}],
            "prometheus": null,
            "config": self.write("config.toml", CONFIG)?,
            "plan": self.write("plan.yaml", &loaded.plan)?,
            "stateDir": self.sub("state")?,
            "dir": self.dir,
            "pid": std::process::id(),
        }))
    }

    async fn start(&self, scenario: &Scenario) -> anyhow::Result<Lab> {
        let repository = self
            .sub("git")?
            .join(format!("{}.git", scenario.repository.name));
        if repository.exists() {
            bail!(
                "{} holds a lab already: remove it, or name another folder",
                self.dir.display()
            );
        }
        let config = api::Config {
            dir: self.sub("api")?,
            ..Default::default()
        };
        let server = api::Server::start(config)
            .await
            .context("starting the Kubernetes API")?;
        let kubeconfig = server.kubeconfig(&[("admin", server.admin_token())], "admin");
        let admin = Cluster::connect(&kubeconfig, None, "lab").await?;
        install::argocd(&admin).await?;
        let settings = metrics::Settings {
            scrape: self.settings.scrape,
            lag: self.settings.lag,
            traffic: scenario.traffic.clone(),
        };
        let metrics = Metrics::start(&admin, settings).await?;
        // Each actor has a name of its own, so that the audit log tells them from the operator.
        let mut actors = Vec::new();
        for (namespace, name) in [
            ("kube-system", "workload-controllers"),
            (NAMESPACE, "argocd-application-controller"),
        ] {
            let token = install::account(&admin, namespace, name).await?;
            let kubeconfig = server.kubeconfig(&[(name, &token)], name);
            actors.push(Cluster::connect(&kubeconfig, None, name).await?);
        }
        let [workers, argocd] = actors
            .try_into()
            .map_err(|_| anyhow!("two actors were just made"))?;
        let workloads = Workloads::start(workers)
            .await
            .context("starting the workload controllers")?;
        let settings = argo::Settings {
            namespace: NAMESPACE.to_owned(),
            poll: self.settings.poll,
            resync: Duration::from_secs(120),
            directory: self.sub("argocd")?,
        };
        let controller = Controller::start(argocd, settings)
            .await
            .context("starting the Argo CD controller")?;
        remote::init_bare(&repository, &scenario.repository.branch).await?;
        let url = remote::file_url(
            &repository
                .canonicalize()
                .context("finding the repository")?,
        );
        let target = Target {
            cluster: admin.clone(),
            namespace: NAMESPACE.to_owned(),
            repository: url,
            scratch: self.dir.join("scratch"),
            variables: BTreeMap::from([("WINDOW".to_owned(), self.settings.window.clone())]),
            extras: self.settings.extras.clone(),
        };
        let loaded = loader::load(scenario, &target).await?;
        let _ = std::fs::remove_dir_all(&target.scratch);
        metrics.ready().await?;

        let mut document = self.describe(scenario, &loaded, |users, current| {
            server.kubeconfig(users, current)
        })?;
        self.private("admin.kubeconfig", &kubeconfig)?;
        document["prometheus"] = json!(metrics.url());
        document["auditLog"] = json!(server.audit_log());
        Ok(Lab {
            server,
            controller,
            workloads,
            metrics,
            admin,
            commits: loaded.commits,
            document,
            dir: self.dir.to_owned(),
            own_dir: false,
        })
    }
}

/// Waits short enough to play with. The gates' own times stay in the plan; these cap them.
const CONFIG: &str =
    "# Short waits for the lab. Each one that cuts a wait short is journaled as shortened.
[waits]
freeze_hold = \"1s\"
gate_for = \"3s\"
gate_every = \"500ms\"
gate_within = \"3m\"
refresh_deadline = \"20s\"
sync_deadline = \"60s\"
health_deadline = \"60s\"
thaw_hold = \"1s\"
thaw_rounds_timeout = \"30s\"
";

/// Serves a lab until SIGTERM or SIGINT. Prints its document on standard output, one line, when all of it is ready.
pub async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    // Listening before the start: a signal during it must not leave the folder behind.
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut options = options;
    let mut own = None;
    if options.dir.is_none() {
        let dir = own_folder()?;
        own = Some(dir.clone());
        options.dir = Some(dir);
    }
    let served = tokio::select! {
        lab = Lab::start(&options) => match lab {
            Ok(lab) => until_told(lab, &mut terminate, &mut interrupt).await,
            Err(error) => Err(error),
        },
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    if let Some(dir) = own {
        remove(&dir).await;
    }
    served
}

async fn until_told(
    lab: Lab,
    terminate: &mut Signal,
    interrupt: &mut Signal,
) -> anyhow::Result<()> {
    let printed = {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", lab.document).and_then(|()| out.flush())
    };
    if printed.is_ok() {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    }
    lab.stop().await;
    printed.context("printing the lab's document")
}

fn own_folder() -> anyhow::Result<PathBuf> {
    let dir = tempfile::Builder::new()
        .prefix("trueup-lab-")
        .tempdir()
        .context("making a folder for the lab")?;
    Ok(dir.keep())
}

/// Removes the lab's folder. Several times, if need be: a Git process that was just killed may still put a file there.
async fn remove(dir: &Path) {
    for _ in 0..40 {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            _ => tokio::time::sleep(Duration::from_millis(25)).await,
        }
    }
    tracing::warn!("{} could not be removed", dir.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_misspelt_ones_refused() {
        let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        let settings = Settings::read(&pair("lag", "1s-2s")).unwrap();
        assert_eq!(
            (settings.lag.least, settings.lag.most),
            (Duration::from_secs(1), Duration::from_secs(2))
        );
        assert_eq!(
            Settings::read(&pair("scrape", "500ms")).unwrap().scrape,
            Duration::from_millis(500)
        );
        for (key, value) in [
            ("scrap", "5s"),
            ("scrape", "fast"),
            ("scrape", "0"),
            ("lag", "40s-20s"),
            ("window", ""),
        ] {
            assert!(Settings::read(&pair(key, value)).is_err(), "{key}={value}");
        }
    }
}
