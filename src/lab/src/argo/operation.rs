//! The life of an operation: taken from `operation`, run pass by pass with its state in `status.operationState`, and closed.
//!
//! The state is written with a JSON merge patch, as controllers up to 3.5.2 do: what an earlier, final state held and this one leaves out stays in
//! it. Whoever requests an operation without clearing `status.operationState` gets a blend of the two.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::compare::{self, Comparison};
use super::sync::{self, Outcome};
use super::{Level, Worker, now, stamp};
use crate::cluster::{ApiError, PatchKind};

/// `spec.revisionHistoryLimit` if there is none.
const HISTORY: usize = 10;

/// For so long a begun operation has done nothing yet. A real controller renders and compares first, which takes it longer than this:
/// whoever asked for the operation sees it there.
const BEGUN: Duration = Duration::from_millis(100);

/// What a look at a running operation came to.
pub enum Pass {
    Done,
    /// Look again after this long.
    Again(Duration),
}

fn is_final(phase: &Value) -> bool {
    matches!(phase.as_str(), Some("Succeeded" | "Failed" | "Error"))
}

/// As Go writes a struct whose empty fields are omitted: no false, no zero, no empty text or list.
fn omit_empty(value: &Value) -> Value {
    let Value::Object(map) = value else {
        return value.clone();
    };
    let kept: Map<String, Value> = map
        .iter()
        .filter(|(_, value)| match value {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Number(number) => number.as_f64() != Some(0.0),
            _ => true,
        })
        .map(|(key, value)| (key.clone(), omit_empty(value)))
        .collect();
    Value::Object(kept)
}

impl Worker {
    /// Writes `operation` the way auto-sync does: the earlier state is cleared, and one that is already there wins.
    pub(super) async fn start_operation(
        &mut self,
        name: &str,
        operation: Value,
    ) -> Result<(), ApiError> {
        let reference = self.reference(name);
        let Some(application) = self.apps.get(&reference).await? else {
            return Ok(());
        };
        if !application["operation"].is_null() {
            return Ok(());
        }
        let patch = json!({
            "metadata": {"resourceVersion": application["metadata"]["resourceVersion"]},
            "operation": operation,
            "status": {"operationState": null},
        });
        match self
            .apps
            .patch(&reference, "", PatchKind::Merge, &patch)
            .await
        {
            // Somebody was faster: the next look decides anew.
            Err(error) if error.code() == 409 => {
                self.want(name, Level::Live);
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// One pass over the operation of `application`.
    pub(super) async fn operate(
        &mut self,
        name: &str,
        application: &Value,
    ) -> Result<Pass, ApiError> {
        let reference = self.reference(name);
        let stored = &application["status"]["operationState"];
        let mut state = stored.clone();
        if !stored.is_object() || is_final(&stored["phase"]) {
            let mut operation = omit_empty(&application["operation"]);
            // A struct in Go, not a pointer to one: it is never left out.
            if operation["retry"].is_null() {
                operation["retry"] = json!({});
            }
            let fresh = json!({
                "operation": operation,
                "phase": "Running",
                "startedAt": now(),
            });
            let patch = json!({"status": {"operationState": fresh}});
            let answer = self
                .apps
                .patch(&reference, "", PatchKind::Merge, &patch)
                .await?;
            state = answer["status"]["operationState"].clone();
            // Only what an operation in progress must not have: the rest of an earlier state is the blend described above.
            if let Some(state) = state.as_object_mut() {
                for key in ["finishedAt", "message", "syncResult", "retryCount"] {
                    state.shift_remove(key);
                }
            }
            tokio::time::sleep(BEGUN).await;
        }
        if let Some(wait) = retry_wait(&state) {
            return Ok(Pass::Again(wait));
        }
        if state["phase"] == "Terminating" {
            return self
                .close(
                    name,
                    application,
                    state,
                    "Failed",
                    "Operation terminated".to_owned(),
                )
                .await;
        }
        if let Some(state) = state.as_object_mut() {
            state.shift_remove("finishedAt");
        }
        if !state["operation"]["sync"].is_object() {
            let why = "Invalid operation request: no operation specified".to_owned();
            return self.close(name, application, state, "Error", why).await;
        }
        let comparison = self.compare_for(application, &state).await;
        state["syncResult"]["revision"] = json!(comparison.revision);
        if let Some(source) = &comparison.source {
            state["syncResult"]["source"] = source.clone();
        }
        if let Some(failure) = comparison.failure() {
            let why = format!("{}: {}", failure.kind, failure.message);
            return self.close(name, application, state, "Error", why).await;
        }
        let run = sync::Run {
            cluster: &self.objects,
            application,
            comparison: &comparison,
            sync: &state["operation"]["sync"].clone(),
        };
        match run.pass(&mut state["syncResult"]).await? {
            Outcome::Waiting(why) => {
                state["message"] = json!(why);
                // It is Running unless somebody asked for its end meanwhile, and that must not be lost.
                if let Some(state) = state.as_object_mut() {
                    state.shift_remove("phase");
                }
                let patch = json!({"status": {"operationState": state}});
                self.apps
                    .patch(&reference, "", PatchKind::Merge, &patch)
                    .await?;
                Ok(Pass::Again(Duration::from_millis(300)))
            }
            Outcome::Succeeded(why) => self.close(name, application, state, "Succeeded", why).await,
            Outcome::Failed(why) => self.close(name, application, state, "Failed", why).await,
        }
    }

    async fn compare_for(&mut self, application: &Value, state: &Value) -> Comparison {
        let sync = &state["operation"]["sync"];
        let source = if sync["source"].is_object() {
            &sync["source"]
        } else {
            &application["spec"]["source"]
        };
        // A retry stays at the revision that the first attempt resolved.
        let revision = [&sync["revision"], &state["syncResult"]["revision"]]
            .into_iter()
            .find_map(|text| text.as_str().filter(|text| !text.is_empty()));
        let at = compare::At {
            source,
            revision,
            fresh: true,
        };
        compare::compare(
            application,
            at,
            &self.objects,
            &mut self.sources,
            &self.tracked,
        )
        .await
    }

    /// Ends the attempt: either the operation is over, or it waits for its next attempt.
    async fn close(
        &mut self,
        name: &str,
        application: &Value,
        mut state: Value,
        phase: &str,
        message: String,
    ) -> Result<Pass, ApiError> {
        let reference = self.reference(name);
        let retry = &state["operation"]["retry"];
        let limit = retry["limit"].as_i64().unwrap_or(0);
        let tried = state["retryCount"].as_i64().unwrap_or(0);
        state["finishedAt"] = json!(now());
        if phase != "Succeeded" && state["phase"] != "Terminating" && (limit < 0 || tried < limit) {
            state["retryCount"] = json!(tried + 1);
            state["phase"] = json!("Running");
            let wait = retry_wait(&state).unwrap_or_default();
            state["message"] = json!(format!(
                "{message}. Retrying attempt #{} in {}s.",
                tried + 1,
                wait.as_secs()
            ));
            let patch = json!({"status": {"operationState": state}});
            self.apps
                .patch(&reference, "", PatchKind::Merge, &patch)
                .await?;
            return Ok(Pass::Again(wait));
        }
        state["phase"] = json!(phase);
        state["message"] = json!(message);
        let sync = &state["operation"]["sync"];
        let dry = sync["dryRun"] == true;
        let partial = sync["resources"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        let mut status = json!({"operationState": state});
        if phase == "Succeeded" && !dry && !partial {
            status["history"] = history(application, &state);
        }
        let patch = json!({"operation": null, "status": status});
        self.apps
            .patch(&reference, "", PatchKind::Merge, &patch)
            .await?;
        self.event(application, &state).await;
        if !dry {
            self.want(name, Level::Latest);
        }
        Ok(Pass::Done)
    }

    /// The `OperationCompleted` event; that it could not be written harms nobody.
    async fn event(&self, application: &Value, state: &Value) {
        let metadata = &application["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        let phase = state["phase"].as_str().unwrap_or_default();
        let who = state["operation"]["initiatedBy"]["username"]
            .as_str()
            .unwrap_or("");
        let revision = state["syncResult"]["revision"].as_str().unwrap_or_default();
        let message = format!(
            "{who} Sync operation to {revision} {}: {}",
            phase.to_lowercase(),
            state["message"].as_str().unwrap_or_default()
        );
        let at = now();
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{name}.{:x}", jiff::Timestamp::now().as_nanosecond()), "namespace": metadata["namespace"]},
            "involvedObject": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "namespace": metadata["namespace"], "name": name,
                "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "reason": "OperationCompleted", "message": message.trim(), "type": if phase == "Succeeded" { "Normal" } else { "Warning" },
            "source": {"component": "argocd-application-controller"}, "count": 1, "firstTimestamp": at, "lastTimestamp": at,
        });
        if let Err(error) = self.apps.create(&event).await {
            tracing::debug!("writing an event about {name}: {error}");
        }
    }
}

/// How long until the next attempt is due: `finishedAt + min(maxDuration, duration × factor^attempts)`.
fn retry_wait(state: &Value) -> Option<Duration> {
    if state["phase"] != "Running" {
        return None;
    }
    let finished: jiff::Timestamp = state["finishedAt"].as_str()?.parse().ok()?;
    let backoff = &state["operation"]["retry"]["backoff"];
    let seconds = |value: &Value, default: u64| {
        value
            .as_str()
            .and_then(crate::durations::parse)
            .map_or(default, |duration| duration.as_secs())
    };
    let attempts =
        u32::try_from(state["retryCount"].as_i64().unwrap_or(1).clamp(1, 20) - 1).unwrap_or(0);
    let factor = backoff["factor"].as_u64().unwrap_or(2);
    let wait = seconds(&backoff["duration"], 5)
        .saturating_mul(factor.saturating_pow(attempts))
        .min(seconds(&backoff["maxDuration"], 180));
    let since =
        u64::try_from(jiff::Timestamp::now().as_second() - finished.as_second()).unwrap_or(0);
    (since < wait).then(|| Duration::from_secs(wait - since))
}

fn history(application: &Value, state: &Value) -> Value {
    let mut history = application["status"]["history"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let id = history
        .last()
        .and_then(|entry| entry["id"].as_i64())
        .map_or(0, |id| id + 1);
    history.push(json!({
        "id": id,
        "revision": state["syncResult"]["revision"],
        "source": state["syncResult"]["source"],
        "deployStartedAt": state["startedAt"],
        "deployedAt": stamp(jiff::Timestamp::now()),
        "initiatedBy": state["operation"].get("initiatedBy").cloned().unwrap_or_else(|| json!({})),
    }));
    let limit = application["spec"]["revisionHistoryLimit"]
        .as_u64()
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(HISTORY);
    let surplus = history.len().saturating_sub(limit);
    history.drain(..surplus);
    json!(history)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn false_and_empty_do_not_come_back_but_info_does() {
        let operation = json!({"sync": {"revision": "abc", "prune": false, "dryRun": false, "syncOptions": [], "syncStrategy": {"hook": {}}},
            "info": [{"name": "trueup", "value": ""}], "initiatedBy": {"username": "me"}});
        assert_eq!(
            omit_empty(&operation),
            json!({"sync": {"revision": "abc", "syncStrategy": {"hook": {}}}, "info": [{"name": "trueup", "value": ""}], "initiatedBy": {"username": "me"}})
        );
    }
}
