//! Which kinds the server serves, under which resource name.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::Value;
use tokio::sync::Mutex;

use super::http::{encode, exchange, refusal, refused, request, unreachable};
use super::{KubeCluster, Timestamp};
use crate::ports::{Kind, ReadError, ReadFailure, Served};

/// What has been asked, by `group/version`. An unknown group is asked again: its CRD may be on the way.
#[derive(Default)]
pub(super) struct Cache(Mutex<BTreeMap<String, Arc<BTreeMap<String, Served>>>>);

impl KubeCluster {
    /// How a kind is served; `None` when it is not.
    pub(super) async fn lookup(&self, kind: &Kind) -> Result<Option<Served>, ReadError> {
        let api_version = kind.api_version();
        // Held across the request, so that twenty questions about one group are one request.
        let mut known = self.inner.discovery.0.lock().await;
        if let Some(resources) = known.get(&api_version) {
            return Ok(resources.get(&kind.kind).cloned());
        }
        let what = format!("ask which kinds {api_version} has");
        let uri = group_path(kind);
        let started = Timestamp::now();
        let answer = exchange(
            &self.inner.reads,
            request(Method::GET, &uri, None, Vec::new()),
            self.inner.options.read_deadline,
        )
        .await;
        let outcome = match &answer {
            Ok(answer) => answer.status.to_string(),
            Err(failure) => failure.why().to_owned(),
        };
        self.log(
            started,
            &what,
            self.kubectl(&format!("get --raw {uri}")),
            &outcome,
            false,
        );
        let answer = answer.map_err(|failure| unreachable(&what, &self.inner.server, &failure))?;
        match answer.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(refused(&what, &refusal(&answer), false)),
        }
        let resources = Arc::new(parse(&answer.body));
        let found = resources.get(&kind.kind).cloned();
        if found.is_some() {
            known.insert(api_version, resources);
        }
        Ok(found)
    }

    /// Like `lookup`, for a caller that cannot go on without.
    pub(super) async fn resolve(&self, kind: &Kind) -> Result<Served, ReadError> {
        self.lookup(kind).await?.ok_or_else(|| ReadError {
            failure: ReadFailure::NotServed,
            what: format!("find {} {}", kind.api_version(), kind.kind),
            why: format!("{} does not serve this kind", self.inner.server),
            hint: "check the apiVersion, and that the CRD is installed".to_owned(),
        })
    }
}

/// The URL path of a kind's group and version.
pub(super) fn group_path(kind: &Kind) -> String {
    if kind.group.is_empty() {
        format!("/api/{}", encode(&kind.version))
    } else {
        format!("/apis/{}/{}", encode(&kind.group), encode(&kind.version))
    }
}

fn parse(body: &[u8]) -> BTreeMap<String, Served> {
    let list: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let mut resources = BTreeMap::new();
    for resource in list
        .get("resources")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |key: &str| {
            resource
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let plural = text("name");
        if plural.is_empty() || plural.contains('/') {
            continue;
        }
        let verbs = resource
            .get("verbs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        resources.insert(
            text("kind").to_owned(),
            Served {
                plural: plural.to_owned(),
                namespaced: resource
                    .get("namespaced")
                    .and_then(Value::as_bool)
                    .unwrap_or(false),
                verbs: verbs.filter_map(Value::as_str).map(str::to_owned).collect(),
            },
        );
    }
    resources
}
