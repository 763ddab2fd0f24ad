//! Watches that end every 30 s on purpose, so that a half-open connection cannot pass for a quiet one.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ::kube::client::Body;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::KubeCluster;
use super::http::{classify, encode, exchange, refusal, refused, request, unreachable};
use super::reads::{collection_path, resource_name};
use crate::ports::{
    Kind, ReadError, ReadFailure, STARTING, Served, Watch, WatchEvent, WatchHealth,
};

/// Asked of the server as `timeoutSeconds`.
const LIFE: Duration = Duration::from_secs(30);
/// Past this the server should have ended the watch by itself.
const OVERDUE: Duration = Duration::from_secs(40);
/// Silence after which the server is asked whether it still lives.
const SILENCE: Duration = Duration::from_secs(10);
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// How long the answer to a probe does for the other watches of the cluster.
const PROBE_LASTS: Duration = Duration::from_secs(2);
const MAX_LINE: usize = 32 << 20;

impl KubeCluster {
    pub(super) async fn start_watch(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        from: &str,
    ) -> Result<Watch, ReadError> {
        let served = self.resolve(kind).await?;
        let (sender, events) = mpsc::channel(1024);
        let health = Arc::new(WatchHealth::default());
        let namespace = namespace.filter(|_| served.namespaced).map(str::to_owned);
        let runner = Runner {
            cluster: self.clone(),
            kind: kind.clone(),
            what: format!("watch {}", resource_name(kind, &served)),
            base: collection_path(kind, &served, namespace.as_deref()),
            served,
            namespace,
            sender: sender.clone(),
            health: health.clone(),
            version: from.to_owned(),
            refusals_left: 0,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = runner.run() => {}
            }
        });
        Ok(Watch { events, health })
    }
}

struct Runner {
    cluster: KubeCluster,
    kind: Kind,
    what: String,
    base: String,
    served: Served,
    namespace: Option<String>,
    sender: mpsc::Sender<WatchEvent>,
    health: Arc<WatchHealth>,
    /// Where the next connection goes on from.
    version: String,
    /// How many refusals are not believed yet.
    refusals_left: u32,
}

/// How one connection ended.
enum End {
    /// In order; go on at once.
    Done,
    /// The resourceVersion is too old for the server.
    Gone,
    Broken(ReadError),
}

impl Runner {
    async fn run(mut self) {
        let mut pause = Duration::from_millis(500);
        loop {
            match self.connection().await {
                End::Done => pause = Duration::from_millis(500),
                End::Gone => match self.relist().await {
                    Ok(()) => pause = Duration::from_millis(500),
                    Err(error) => pause = self.complain(error, pause).await,
                },
                End::Broken(error)
                    if error.failure == ReadFailure::Forbidden && self.refusals_left > 0 =>
                {
                    self.refusals_left -= 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                End::Broken(error) => pause = self.complain(error, pause).await,
            }
        }
    }

    async fn complain(&self, error: ReadError, pause: Duration) -> Duration {
        self.send(WatchEvent::Error(error)).await;
        tokio::time::sleep(pause).await;
        (pause * 2).min(Duration::from_secs(10))
    }

    async fn send(&self, event: WatchEvent) {
        // A closed channel ends the task from outside.
        let _ = self.sender.send(event).await;
    }

    async fn relist(&mut self) -> Result<(), ReadError> {
        let listing = self
            .cluster
            .read_list(&self.kind, self.namespace.as_deref())
            .await?;
        let from = std::mem::replace(&mut self.version, listing.resource_version);
        self.health.byte();
        self.send(WatchEvent::Gap {
            from,
            to: self.version.clone(),
            items: listing.items,
        })
        .await;
        Ok(())
    }

    async fn connection(&mut self) -> End {
        let uri = format!(
            "{}?watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}",
            self.base,
            LIFE.as_secs(),
            encode(&self.version)
        );
        let get = request(Method::GET, &uri, None, Vec::new());
        let opened = Instant::now();
        let deadline = self.cluster.inner.options.read_deadline;
        let answer = match tokio::time::timeout(
            deadline,
            self.cluster.inner.effects.send(get.map(Body::from)),
        )
        .await
        {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                return End::Broken(unreachable(
                    &self.what,
                    &self.cluster.inner.server,
                    &classify(&error),
                ));
            }
            Err(_) => return End::Broken(self.silent("the watch was not answered in time")),
        };
        let status = answer.status().as_u16();
        let mut stream = answer.into_body();
        if status != 200 {
            let body = tokio::time::timeout(deadline, stream.collect()).await;
            let body = body
                .ok()
                .and_then(Result::ok)
                .map(|body| body.to_bytes().to_vec())
                .unwrap_or_default();
            if status == 410 {
                return End::Gone;
            }
            let refusal = refusal(&super::http::Answer { status, body });
            return End::Broken(refused(&self.what, &refusal, self.kind.is_secret()));
        }
        self.health.byte();
        self.refusals_left = STARTING;
        let mut buffer: Vec<u8> = Vec::new();
        loop {
            if opened.elapsed() > OVERDUE {
                return End::Broken(
                    self.silent("the server did not end the watch when it should have"),
                );
            }
            let frame = match tokio::time::timeout(SILENCE, stream.frame()).await {
                Err(_) => match self.probe().await {
                    Ok(()) => continue,
                    Err(error) => return End::Broken(error),
                },
                Ok(None) => return End::Done,
                // The server closes a watch by cutting it when it is shut down; what was seen is seen.
                Ok(Some(Err(_))) => return End::Broken(self.silent("the connection was cut")),
                Ok(Some(Ok(frame))) => frame,
            };
            let Some(data) = frame.data_ref() else {
                continue;
            };
            self.health.byte();
            buffer.extend_from_slice(data);
            if buffer.len() > MAX_LINE {
                return End::Broken(self.silent("one event is larger than 32 MiB"));
            }
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                if let Some(end) = self.line(&line).await {
                    return end;
                }
            }
        }
    }

    /// Handles one event; an end when the server reported one.
    async fn line(&mut self, line: &[u8]) -> Option<End> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let Ok(mut event) = serde_json::from_slice::<Value>(line) else {
            return Some(End::Broken(self.silent("an event could not be read")));
        };
        let object = event
            .get_mut("object")
            .map(Value::take)
            .unwrap_or(Value::Null);
        let kind = event
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if kind == "ERROR" {
            let code = object.get("code").and_then(Value::as_u64).unwrap_or(0);
            if code == 410 {
                return Some(End::Gone);
            }
            let answer = super::http::Answer {
                status: u16::try_from(code).unwrap_or(500),
                body: object.to_string().into_bytes(),
            };
            return Some(End::Broken(refused(
                &self.what,
                &refusal(&answer),
                self.kind.is_secret(),
            )));
        }
        let version = object
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let event = match kind {
            "ADDED" | "MODIFIED" => {
                WatchEvent::Changed(self.cluster.admit_item(&self.kind, object))
            }
            "DELETED" => WatchEvent::Deleted(self.cluster.admit_item(&self.kind, object)),
            "BOOKMARK" => WatchEvent::Bookmark(version.clone().unwrap_or_default()),
            _ => return None,
        };
        // Only after the event is handed on: a kill in between shows it again rather than never.
        self.send(event).await;
        if let Some(version) = version {
            self.version = version;
        }
        None
    }

    /// Asks the server for its version, to tell a quiet kind from a dead server. Any answer is one.
    async fn probe(&self) -> Result<(), ReadError> {
        let probed = || {
            self.cluster
                .inner
                .probed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if probed().is_none_or(|at| at.elapsed() > PROBE_LASTS) {
            let get = request(Method::GET, "/version", None, Vec::new());
            exchange(&self.cluster.inner.effects, get, PROBE_DEADLINE)
                .await
                .map_err(|failure| unreachable(&self.what, &self.cluster.inner.server, &failure))?;
            *probed() = Some(std::time::Instant::now());
        }
        self.health.probe();
        Ok(())
    }

    fn silent(&self, why: &str) -> ReadError {
        ReadError {
            failure: ReadFailure::Unreachable,
            what: self.what.clone(),
            why: format!("{}: {why}", self.cluster.inner.server),
            hint: format!(
                "the watch on {} is taken up again by itself",
                self.served.plural
            ),
        }
    }
}
