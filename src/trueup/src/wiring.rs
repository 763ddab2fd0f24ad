//! From settings to the adapters behind the ports, the same way for every command.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::adapters::clock::SystemClock;
use crate::adapters::git::{GitOptions, GitRepos};
use crate::adapters::kube::{ConnectOptions, KubeCluster};
use crate::engine::mirror::{Bell, Mirror};
use crate::engine::read::Reader;
use crate::engine::watching::Mirrors;
use crate::ports::{Clock, Cluster, CommandLog, ReadError, Repos};
use crate::settings::Settings;

/// Everything that looks at the world.
pub struct Wired {
    pub hub: Arc<dyn Cluster>,
    pub destinations: BTreeMap<String, Arc<dyn Cluster>>,
    pub repos: Arc<dyn Repos>,
    pub clock: Arc<dyn Clock>,
    pub reader: Reader,
    /// The same clusters as they are kept by their watches; empty where only one look is meant.
    pub mirrors: Mirrors,
}

/// Connects as the settings say. Nothing is asked of any server yet.
///
/// `secret_key` makes the digests of secret values; within one incident it stays the same.
pub async fn wire(
    settings: &Settings,
    secret_key: [u8; 32],
    log: CommandLog,
) -> Result<Wired, ReadError> {
    wire_as(settings, secret_key, log, false).await
}

/// The same for an incident: what is listed once is kept by watches.
pub async fn wire_watching(
    settings: &Settings,
    secret_key: [u8; 32],
    log: CommandLog,
) -> Result<Wired, ReadError> {
    wire_as(settings, secret_key, log, true).await
}

async fn wire_as(
    settings: &Settings,
    secret_key: [u8; 32],
    log: CommandLog,
    watching: bool,
) -> Result<Wired, ReadError> {
    let bell = Bell::new(0);
    let mut mirrors: Vec<Arc<Mirror>> = Vec::new();
    let mut kept = |cluster: KubeCluster| -> Arc<dyn Cluster> {
        if !watching {
            return Arc::new(cluster);
        }
        let mirror = Arc::new(Mirror::new(Arc::new(cluster), bell.clone()));
        mirrors.push(mirror.clone());
        mirror
    };
    let connect = |context: Option<String>| {
        let mut options = ConnectOptions::new(secret_key, log.clone());
        options.kubeconfig.clone_from(&settings.kubeconfig);
        options.context = context;
        KubeCluster::connect(options)
    };
    let hub = kept(connect(settings.context.clone()).await?);
    let mut by_context: BTreeMap<String, Arc<dyn Cluster>> =
        BTreeMap::from([(hub.context().to_owned(), hub.clone())]);
    let mut destinations = BTreeMap::new();
    for (name, context) in &settings.destinations {
        let cluster = match by_context.get(context) {
            Some(cluster) => cluster.clone(),
            None => {
                let cluster = kept(connect(Some(context.clone())).await?);
                by_context.insert(context.clone(), cluster.clone());
                cluster
            }
        };
        destinations.insert(name.clone(), cluster);
    }
    let repos: Arc<dyn Repos> = Arc::new(GitRepos::new(GitOptions {
        map: settings.repos.clone(),
        author: settings.author.clone(),
        ..GitOptions::new(settings.mirrors(), log)
    }));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let reader = Reader::new(
        hub.clone(),
        destinations.clone(),
        repos.clone(),
        clock.clone(),
        &settings.namespace,
        secret_key,
    );
    Ok(Wired {
        hub,
        destinations,
        repos,
        clock,
        reader,
        mirrors: Mirrors::new(mirrors, bell),
    })
}
