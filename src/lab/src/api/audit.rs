//! The audit log: one `audit.k8s.io/v1` Event a line, written out before the answer leaves.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use super::auth::User;
use super::store;

#[derive(Debug)]
pub struct Log {
    file: Mutex<File>,
}

/// What is known of a request when it is answered.
#[derive(Debug)]
pub struct Entry<'a> {
    pub stage: &'a str,
    pub verb: &'a str,
    pub uri: &'a str,
    pub agent: &'a str,
    pub user: Option<&'a User>,
    pub object_ref: Option<Value>,
    /// The body of a write; never given for Secrets and tokens.
    pub request: Option<Value>,
    pub code: u16,
    pub reason: &'a str,
    pub message: &'a str,
    pub received: jiff::Timestamp,
}

fn user_json(user: &User) -> Value {
    let mut out = Map::new();
    out.insert("username".into(), json!(user.name));
    if !user.uid.is_empty() {
        out.insert("uid".into(), json!(user.uid));
    }
    out.insert("groups".into(), json!(user.groups));
    Value::Object(out)
}

fn micros(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

impl Log {
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    pub fn write(&self, entry: &Entry) {
        let mut out = Map::new();
        out.insert("kind".into(), json!("Event"));
        out.insert("apiVersion".into(), json!("audit.k8s.io/v1"));
        out.insert(
            "level".into(),
            json!(if entry.request.is_some() {
                "Request"
            } else {
                "Metadata"
            }),
        );
        out.insert("auditID".into(), json!(store::uid()));
        out.insert("stage".into(), json!(entry.stage));
        out.insert("requestURI".into(), json!(entry.uri));
        out.insert("verb".into(), json!(entry.verb));
        let nobody = User {
            name: "system:anonymous".into(),
            uid: String::new(),
            groups: vec!["system:unauthenticated".into()],
            impersonator: None,
        };
        let user = entry.user.unwrap_or(&nobody);
        match &user.impersonator {
            Some(real) => {
                out.insert("user".into(), user_json(real));
                out.insert("impersonatedUser".into(), user_json(user));
            }
            None => {
                out.insert("user".into(), user_json(user));
            }
        }
        out.insert("sourceIPs".into(), json!(["127.0.0.1"]));
        out.insert("userAgent".into(), json!(entry.agent));
        if let Some(object_ref) = &entry.object_ref {
            out.insert("objectRef".into(), object_ref.clone());
        }
        let mut status = Map::new();
        status.insert("metadata".into(), json!({}));
        if entry.code >= 400 {
            status.insert("status".into(), json!("Failure"));
            status.insert("message".into(), json!(entry.message));
            status.insert("reason".into(), json!(entry.reason));
        }
        status.insert("code".into(), json!(entry.code));
        out.insert("responseStatus".into(), Value::Object(status));
        if let Some(request) = &entry.request {
            out.insert("requestObject".into(), request.clone());
        }
        out.insert(
            "requestReceivedTimestamp".into(),
            json!(micros(entry.received)),
        );
        out.insert(
            "stageTimestamp".into(),
            json!(micros(jiff::Timestamp::now())),
        );
        let decision = if entry.code == 403 { "forbid" } else { "allow" };
        out.insert(
            "annotations".into(),
            json!({"authorization.k8s.io/decision": decision}),
        );
        let mut line = Value::Object(out).to_string();
        line.push('\n');
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}
