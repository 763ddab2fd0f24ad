//! The lab's Prometheus: an exporter of request counters, a scraper, and the HTTP query API on loopback.

mod exporter;
mod http;
mod promql;
mod store;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
pub use exporter::{Fault, Lag, Traffic};
use store::Store;

/// What can be set about the metrics.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Between two scrapes.
    pub scrape: Duration,
    /// How old the configuration is that the services work with: they re-read their files from time to time.
    pub lag: Lag,
    pub traffic: Vec<Traffic>,
}

/// A running exporter and its query API.
pub struct Metrics {
    address: SocketAddr,
    store: Arc<Mutex<Store>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Metrics {
    /// Starts to count, to scrape and to answer on a free port of loopback.
    pub async fn start(cluster: &Cluster, settings: Settings) -> anyhow::Result<Metrics> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("opening a port for the metrics on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let store = Arc::new(Mutex::new(Store::default()));
        let exporter = exporter::Exporter::start(cluster, &settings, &stop, &mut tasks).await?;
        let (counts, kept, stopped) = (exporter.clone(), store.clone(), stop.clone());
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(settings.scrape);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                tokio::select! { () = stopped.cancelled() => return, _ = ticks.tick() => {} }
                let at = jiff::Timestamp::now().as_millisecond();
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .add(at, counts.samples());
            }
        });
        let router = http::router(http::State {
            store: store.clone(),
            exporter,
        });
        let stopped = stop.clone();
        tasks.spawn(async move {
            let served = axum::serve(listener, router)
                .with_graceful_shutdown(async move { stopped.cancelled().await });
            if let Err(error) = served.await {
                tracing::warn!("the metrics stopped answering: {error}");
            }
        });
        Ok(Metrics {
            address,
            store,
            stop,
            tasks,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until a rate can be computed: two scrapes.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let have_two = || {
            let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            store.series().all(|(_, samples)| samples.len() >= 2) && store.series().next().is_some()
        };
        while !have_two() {
            if self.stop.is_cancelled() {
                anyhow::bail!("the metrics were stopped before their second scrape");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Stops answering; connections that a client keeps open are dropped.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }
}
