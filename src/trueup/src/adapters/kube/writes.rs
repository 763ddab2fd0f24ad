//! One write: one request, one deadline, and an answer that says exactly what is known.

use http::Method;
use serde_json::Value;
use trueup_core::object::identity::ObjectRef;

use super::http::{Answer, Failure, encode, exchange, refusal, request};
use super::reads::{collection_path, named, object_path, resource_name};
use super::secrets::{WITHHELD, admit, holds_digest};
use super::{KubeCluster, Timestamp};
use crate::ports::{Kind, Served, WriteError, WriteKind, WriteRequest};

impl KubeCluster {
    pub(super) async fn send_write(&self, write: &WriteRequest) -> Result<Value, WriteError> {
        let what = words(write);
        let kind = Kind::of(&write.object);
        let not_sent = |cause: String| WriteError::NotSent {
            what: what.clone(),
            cause,
        };
        if holds_digest(&write.body) {
            return Err(not_sent(
                "the body holds the digest of a secret where its value belongs".to_owned(),
            ));
        }
        let served = self
            .resolve(&kind)
            .await
            .map_err(|error| not_sent(error.to_string()))?;
        let uri = uri(&what, write, &kind, &served).map_err(|error| not_sent(error.to_string()))?;
        let (method, content_type) = match write.kind {
            WriteKind::JsonPatch => (Method::PATCH, "application/json-patch+json"),
            WriteKind::MergePatch => (Method::PATCH, "application/merge-patch+json"),
            WriteKind::StrategicMerge => (Method::PATCH, "application/strategic-merge-patch+json"),
            // JSON is YAML; the server reads no other type for apply.
            WriteKind::Apply { .. } => (Method::PATCH, "application/apply-patch+yaml"),
            WriteKind::Create => (Method::POST, "application/json"),
            WriteKind::Replace => (Method::PUT, "application/json"),
            WriteKind::Delete => (Method::DELETE, "application/json"),
        };
        // A delete takes its options from its body, and from the query only when there is none.
        let mut options = write.body.clone();
        if let (WriteKind::Delete, true, Some(map)) =
            (write.kind, write.dry_run, options.as_object_mut())
        {
            map.insert("dryRun".to_owned(), Value::from(vec!["All"]));
        }
        let body = options.to_string().into_bytes();
        let started = Timestamp::now();
        let result = exchange(
            &self.inner.effects,
            request(method, &uri, Some(content_type), body),
            self.inner.options.write_deadline,
        )
        .await;
        let result = match result {
            Err(Failure::NotSent(cause)) => Err(WriteError::NotSent {
                what: what.clone(),
                cause,
            }),
            Err(Failure::NoAnswer(cause)) => Err(WriteError::Unknown {
                what: what.clone(),
                cause,
            }),
            Ok(answer) => self.judge(write, &what, &kind, &answer).await,
        };
        let outcome = match &result {
            Ok(_) => "done".to_owned(),
            Err(WriteError::LostGuard { why, .. }) => format!("lost guard: {why}"),
            Err(WriteError::Refused { code, reason, .. }) => format!("{code} {reason}"),
            Err(WriteError::Unknown { cause, .. }) => format!("unknown: {cause}"),
            Err(WriteError::NotSent { cause, .. }) => format!("not sent: {cause}"),
        };
        let typed = self.kubectl(&typed(write, &kind, &served));
        self.log(started, &what, typed, &outcome, !write.dry_run);
        result
    }

    async fn judge(
        &self,
        write: &WriteRequest,
        what: &str,
        kind: &Kind,
        answer: &Answer,
    ) -> Result<Value, WriteError> {
        if (200..300).contains(&answer.status) {
            // The server has done it; an answer that cannot be read does not undo that, but it is not known what was done.
            let object: Value =
                serde_json::from_slice(&answer.body).map_err(|_| WriteError::Unknown {
                    what: what.to_owned(),
                    cause: format!(
                        "the server answered {} with a body that is not JSON",
                        answer.status
                    ),
                })?;
            return Ok(admit(object, &self.inner.options.secret_key));
        }
        let refusal = refusal(answer);
        if answer.status >= 500 {
            // A gateway's 502 and 504, etcd's time-out as 500: each of them can follow a write that was stored.
            let message = if kind.is_secret() {
                WITHHELD
            } else {
                &refusal.message
            };
            return Err(WriteError::Unknown {
                what: what.to_owned(),
                cause: format!("the server answered {} {message}", answer.status),
            });
        }
        let lost = match answer.status {
            409 => {
                let manager_conflict = refusal
                    .cause_reasons
                    .iter()
                    .any(|reason| reason == "FieldManagerConflict");
                !manager_conflict
                    && (refusal.reason == "Conflict"
                        || (refusal.reason == "AlreadyExists" && write.kind == WriteKind::Create))
            }
            // A failed `test` and a patch that makes no sense look alike; only a fresh read tells.
            422 if write.kind == WriteKind::JsonPatch => self.moved(write).await,
            _ => false,
        };
        if lost {
            let why = if kind.is_secret() {
                WITHHELD.to_owned()
            } else {
                refusal.message
            };
            return Err(WriteError::LostGuard {
                what: what.to_owned(),
                why,
            });
        }
        let secret = kind.is_secret();
        Err(WriteError::Refused {
            what: what.to_owned(),
            code: answer.status,
            reason: refusal.reason,
            message: if secret {
                WITHHELD.to_owned()
            } else {
                refusal.message
            },
            causes: if secret { Vec::new() } else { refusal.causes },
        })
    }

    /// Whether the resourceVersion that the patch tests is no longer the object's.
    async fn moved(&self, write: &WriteRequest) -> bool {
        let Some(tested) = tested_version(&write.body) else {
            return false;
        };
        match self.read_object(&write.object).await {
            Ok(Some(object)) => {
                object
                    .pointer("/metadata/resourceVersion")
                    .and_then(Value::as_str)
                    != Some(tested.as_str())
            }
            Ok(None) => true,
            Err(_) => false,
        }
    }
}

fn tested_version(patch: &Value) -> Option<String> {
    patch.as_array()?.iter().find_map(|op| {
        let is_test = op.get("op")?.as_str()? == "test"
            && op.get("path")?.as_str()? == "/metadata/resourceVersion";
        is_test
            .then(|| op.get("value")?.as_str().map(str::to_owned))
            .flatten()
    })
}

fn uri(
    what: &str,
    write: &WriteRequest,
    kind: &Kind,
    served: &Served,
) -> Result<String, crate::ports::ReadError> {
    let mut uri = object_path(what, &write.object, served)?;
    if write.kind == WriteKind::Create && write.subresource.is_none() {
        uri = collection_path(
            kind,
            served,
            write
                .object
                .namespace
                .as_deref()
                .filter(|_| served.namespaced),
        );
    }
    if let Some(subresource) = &write.subresource {
        uri.push_str(&format!("/{}", encode(subresource)));
    }
    uri.push_str(&format!("?fieldManager={}", encode(&write.field_manager)));
    if write.dry_run {
        uri.push_str("&dryRun=All");
    }
    if write.kind == (WriteKind::Apply { force: true }) {
        uri.push_str("&force=true");
    }
    Ok(uri)
}

/// `patch Application/auth-service in argocd`, with `(dry run)` when it is one.
fn words(write: &WriteRequest) -> String {
    let verb = match write.kind {
        WriteKind::JsonPatch | WriteKind::MergePatch | WriteKind::StrategicMerge => "patch",
        WriteKind::Apply { .. } => "apply",
        WriteKind::Create => "create",
        WriteKind::Replace => "replace",
        WriteKind::Delete => "delete",
    };
    let part = write
        .subresource
        .as_ref()
        .map_or(String::new(), |part| format!(" {part} of"));
    let dry = if write.dry_run { " (dry run)" } else { "" };
    format!("{verb}{part} {}{dry}", named(&write.object))
}

/// What a person would type for the same write.
fn typed(write: &WriteRequest, kind: &Kind, served: &Served) -> String {
    let ObjectRef {
        namespace, name, ..
    } = &write.object;
    let resource = resource_name(kind, served);
    let mut scope = namespace
        .as_ref()
        .map_or(String::new(), |namespace| format!(" -n {namespace}"));
    if let Some(subresource) = &write.subresource {
        scope.push_str(&format!(" --subresource={subresource}"));
    }
    if write.dry_run {
        scope.push_str(" --dry-run=server");
    }
    let body = if kind.is_secret() {
        "…".to_owned()
    } else {
        quote(&write.body.to_string())
    };
    let manager = &write.field_manager;
    match write.kind {
        WriteKind::JsonPatch => format!("patch {resource} {name}{scope} --type=json -p {body}"),
        WriteKind::MergePatch => format!("patch {resource} {name}{scope} --type=merge -p {body}"),
        WriteKind::StrategicMerge => format!("patch {resource} {name}{scope} -p {body}"),
        WriteKind::Apply { force } => {
            let force = if force { " --force-conflicts" } else { "" };
            format!("apply --server-side --field-manager={manager}{force}{scope} -f - <<< {body}")
        }
        WriteKind::Create => format!("create{scope} -f - <<< {body}"),
        WriteKind::Replace => format!("replace{scope} -f - <<< {body}"),
        WriteKind::Delete => format!("delete {resource} {name}{scope}"),
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
