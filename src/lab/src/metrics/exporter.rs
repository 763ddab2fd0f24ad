//! The request counters of the services, driven by the live content of their ConfigMaps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::store::Labels;
use crate::cluster::Cluster;

/// How often the counters move.
const TICK: Duration = Duration::from_millis(100);

/// How long a change of a ConfigMap takes to reach the processes: a span, from which each change draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    pub least: Duration,
    pub most: Duration,
}

impl Lag {
    /// Reads `20s-40s` or one duration.
    pub fn parse(text: &str) -> Option<Lag> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        let (least, most) = (
            crate::durations::parse(least.trim())?,
            crate::durations::parse(most.trim())?,
        );
        (least <= most).then_some(Lag { least, most })
    }

    /// Spread by what changed, so that equal runs behave alike.
    fn of(self, resource_version: &str) -> Duration {
        // The last moment is not past the span's end, even if the counters move a tick later.
        let most = self.most.saturating_sub(2 * TICK).max(self.least);
        let spread = u64::try_from((most - self.least).as_millis()).unwrap_or(0);
        let seed = resource_version.bytes().fold(7_u64, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        self.least
            + Duration::from_millis(if spread == 0 {
                0
            } else {
                seed.wrapping_mul(2_654_435_761) % (spread + 1)
            })
    }
}

/// Steady traffic to one service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    pub service: String,
    pub namespace: String,
    /// Requests per second.
    pub rate: f64,
    #[serde(default)]
    pub fault: Option<Fault>,
}

/// A share of the requests fails while a ConfigMap does not hold the wanted values.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Fault {
    pub config_map: String,
    pub unless: Map<String, Value>,
    pub code: String,
    pub share: f64,
}

struct Counter {
    traffic: Traffic,
    good: f64,
    bad: f64,
    /// What the processes see now.
    broken: bool,
    /// Changes on their way to the processes.
    coming: VecDeque<(Instant, bool)>,
}

/// The counters, shared by the ticker, the watches and the scraper.
#[derive(Clone)]
pub struct Exporter {
    counters: Arc<Mutex<Vec<Counter>>>,
}

impl Exporter {
    pub async fn start(
        cluster: &Cluster,
        settings: &Settings,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<Exporter> {
        let counters = settings
            .traffic
            .iter()
            .map(|traffic| Counter {
                broken: traffic.fault.is_some(),
                traffic: traffic.clone(),
                good: 0.0,
                bad: 0.0,
                coming: VecDeque::new(),
            })
            .collect();
        let exporter = Exporter {
            counters: Arc::new(Mutex::new(counters)),
        };
        for (index, traffic) in settings.traffic.iter().enumerate() {
            if let Some(fault) = &traffic.fault {
                let watch = exporter.clone().follow(
                    index,
                    cluster.client(),
                    traffic.namespace.clone(),
                    fault.clone(),
                    settings.lag,
                );
                let stop = stop.clone();
                tasks.spawn(async move {
                    tokio::select! { () = stop.cancelled() => {}, () = watch => {} }
                });
            }
        }
        let (ticking, stopped) = (exporter.clone(), stop.clone());
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            let mut last = Instant::now();
            loop {
                tokio::select! { () = stopped.cancelled() => return, _ = ticks.tick() => {} }
                let now = Instant::now();
                ticking.count(now, now - last);
                last = now;
            }
        });
        Ok(exporter)
    }

    fn count(&self, now: Instant, passed: Duration) {
        for counter in self
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter_mut()
        {
            while let Some((at, broken)) = counter.coming.front().copied() {
                if at > now {
                    break;
                }
                counter.broken = broken;
                counter.coming.pop_front();
            }
            let requests = counter.traffic.rate * passed.as_secs_f64();
            let share = counter
                .traffic
                .fault
                .as_ref()
                .filter(|_| counter.broken)
                .map_or(0.0, |fault| fault.share);
            counter.bad += requests * share;
            counter.good += requests * (1.0 - share);
        }
    }

    /// Follows one ConfigMap; what it holds counts after the lag.
    async fn follow(
        self,
        index: usize,
        client: kube::Client,
        namespace: String,
        fault: Fault,
        lag: Lag,
    ) {
        let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
        let config =
            watcher::Config::default().fields(&format!("metadata.name={}", fault.config_map));
        let mut events = watcher::watcher(api, config).boxed();
        loop {
            let (object, gone) = match events.try_next().await {
                Ok(Some(Event::Apply(object) | Event::InitApply(object))) => (object, false),
                Ok(Some(Event::Delete(object))) => (object, true),
                Ok(Some(_)) => continue,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(
                        "watching ConfigMap {namespace}/{}: {error}",
                        fault.config_map
                    );
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
            };
            if object.metadata.name.as_deref() != Some(fault.config_map.as_str()) {
                continue;
            }
            let data = object.data.unwrap_or_default();
            let right = !gone
                && fault
                    .unless
                    .iter()
                    .all(|(key, value)| data.get(key).map(String::as_str) == value.as_str());
            let due = Instant::now()
                + lag.of(object
                    .metadata
                    .resource_version
                    .as_deref()
                    .unwrap_or_default());
            if let Some(counter) = self
                .counters
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_mut(index)
            {
                let newest = counter
                    .coming
                    .back()
                    .map_or(counter.broken, |(_, broken)| *broken);
                if newest == right {
                    // Processes never go back to an older file: a later change is not seen before an earlier one.
                    let due = counter.coming.back().map_or(due, |(at, _)| due.max(*at));
                    counter.coming.push_back((due, !right));
                }
            }
        }
    }

    /// The counters as they stand.
    pub fn samples(&self) -> Vec<(Labels, f64)> {
        let mut samples = Vec::new();
        for counter in self
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let labels = |code: &str| {
                [
                    ("__name__", "http_requests_total"),
                    ("service", &counter.traffic.service),
                    ("namespace", &counter.traffic.namespace),
                    ("code", code),
                ]
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect::<Labels>()
            };
            samples.push((labels("200"), counter.good.floor()));
            if let Some(fault) = &counter.traffic.fault {
                samples.push((labels(&fault.code), counter.bad.floor()));
            }
        }
        samples
    }

    /// The text exposition format.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# HELP http_requests_total Requests by service and status code.\n# TYPE http_requests_total counter\n",
        );
        for (labels, value) in self.samples() {
            let inner: Vec<String> = labels
                .iter()
                .filter(|(key, _)| *key != "__name__")
                .map(|(key, value)| format!("{key}=\"{value}\""))
                .collect();
            text.push_str(&format!(
                "http_requests_total{{{}}} {value}\n",
                inner.join(",")
            ));
        }
        text
    }
}
