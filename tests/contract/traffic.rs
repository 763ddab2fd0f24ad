//! The walk's own traffic: a proxy between the program and a control plane that writes down each shape of request and how it was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use anyhow::{Context as _, bail};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt as _;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::process::Command;

/// By request: `kubectl PATCH /api/v1/… (merge)` and what it was answered: code and reason, and the fields that the answer has.
pub type Traffic = BTreeMap<String, Seen>;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub answers: BTreeSet<String>,
    /// Of answers that succeeded. Keys that are data are `*`.
    pub fields: BTreeSet<String>,
}

struct Exchange {
    request: String,
    answer: String,
    body: Arc<Mutex<Vec<u8>>>,
}

struct Proxy {
    upstream: kube::Client,
    operator: String,
    seen: Mutex<Vec<Exchange>>,
}

/// What a request names that changes from run to run.
static CHANGING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(resourceVersion|continue|timeoutSeconds|timeout|limit)=[^&]+").expect("a pattern")
});
static HASHED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}(-[bcdfghjklmnpqrstvwxz2456789]{5})?\b")
        .expect("a pattern")
});

fn shape(request: &Request) -> String {
    let header = |name: &str| {
        let value = request.headers().get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let uri = request
        .uri()
        .path_and_query()
        .map_or("", |uri| uri.as_str());
    let uri = CHANGING.replace_all(uri, "$1=<>").into_owned();
    let uri = HASHED.replace_all(&uri, "-<hash>");
    let agent = header("user-agent").split('/').next().unwrap_or_default();
    let media = match header("content-type") {
        patch if patch.contains("patch") => format!(" ({patch})"),
        _ => String::new(),
    };
    format!("{agent} {} {uri}{media}", request.method())
}

async fn forward(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let shape = shape(&request);
    match proxy.exchange(shape, request).await {
        Ok(response) => response,
        Err(error) => {
            let mut response = Response::new(Body::from(format!("{error:#}")));
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
            response
        }
    }
}

impl Proxy {
    async fn exchange(&self, shape: String, request: Request) -> anyhow::Result<Response> {
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, 16 << 20).await?;
        let mut sent = http::Request::builder()
            .method(parts.method)
            .uri(parts.uri.path_and_query().map_or("/", |uri| uri.as_str()));
        // kubectl keeps its credentials to itself where there is no TLS.
        if !parts.headers.contains_key("authorization") {
            sent = sent.header("authorization", &self.operator);
        }
        for (name, value) in &parts.headers {
            if !matches!(
                name.as_str(),
                "host" | "accept-encoding" | "content-length" | "connection"
            ) {
                sent = sent.header(name, value);
            }
        }
        let answer = self
            .upstream
            .send(sent.body(kube::client::Body::from(bytes.to_vec()))?)
            .await?;
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (head, body) = answer.into_parts();
        self.note(Exchange {
            request: shape,
            answer: head.status.as_u16().to_string(),
            body: kept.clone(),
        });
        let stream = http_body_util::BodyDataStream::new(body).map(move |chunk| {
            if let (Ok(chunk), Ok(mut kept)) = (&chunk, kept.lock()) {
                kept.extend_from_slice(chunk);
            }
            chunk
        });
        let mut response = Response::new(Body::from_stream(stream));
        *response.status_mut() = head.status;
        for (name, value) in &head.headers {
            if !matches!(
                name.as_str(),
                "content-length" | "transfer-encoding" | "content-encoding" | "connection"
            ) {
                response.headers_mut().append(name, value.clone());
            }
        }
        Ok(response)
    }

    fn note(&self, exchange: Exchange) {
        if let Ok(mut seen) = self.seen.lock() {
            seen.push(exchange);
        }
    }

    fn traffic(&self) -> Traffic {
        let mut traffic = Traffic::new();
        let seen = self.seen.lock().map(|mut seen| std::mem::take(&mut *seen));
        for exchange in seen.unwrap_or_default() {
            let bytes = exchange
                .body
                .lock()
                .map(|body| body.clone())
                .unwrap_or_default();
            let entry = traffic.entry(exchange.request).or_default();
            let values: Vec<Value> = serde_json::Deserializer::from_slice(&bytes)
                .into_iter::<Value>()
                .map_while(Result::ok)
                .collect();
            let reason = values.first().and_then(|value| value["reason"].as_str());
            let failed = values
                .first()
                .is_some_and(|value| value["kind"] == "Status");
            let reason = reason.filter(|_| failed).map(|reason| format!(" {reason}"));
            entry
                .answers
                .insert(exchange.answer + &reason.unwrap_or_default());
            if !failed {
                for value in &values {
                    fields(value, "", &mut entry.fields);
                }
            }
        }
        traffic
    }
}

/// Every place that has a value. What names things of its own – keys of data, labels, annotations, owned fields – is one place.
fn fields(value: &Value, at: &str, out: &mut BTreeSet<String>) {
    let free = [
        "data",
        "labels",
        "annotations",
        "fieldsV1",
        "matchLabels",
        "selector",
        "openAPIV3Schema",
    ]
    .iter()
    .any(|name| at.ends_with(&format!("/{name}")));
    match value {
        // Said as null or not said at all is the same to a reader.
        Value::Null => {}
        _ if free => {
            out.insert(format!("{at}/*"));
        }
        Value::Object(map) => {
            for (key, value) in map {
                fields(value, &format!("{at}/{key}"), out);
            }
        }
        Value::Array(all) => {
            for value in all {
                fields(value, &format!("{at}/-"), out);
            }
        }
        _ => {
            out.insert(at.to_owned());
        }
    }
}

/// Walks `inc-441` on the bed that `document` describes with the program at `trueup`, then sends what a person sends by kubectl, and gives all that
/// went over the wire. Without a kubectl on this machine its part is left out.
pub async fn walk(document: &Value, trueup: &Path) -> anyhow::Result<Traffic> {
    let text = |key: &str| {
        let found = document[key].as_str();
        found
            .map(str::to_owned)
            .with_context(|| format!("the bed has no {key}"))
    };
    let kubeconfig = std::fs::read_to_string(text("kubeconfig")?)?;
    let mut config: Value = serde_yaml::from_str(&kubeconfig)?;
    let upstream = {
        let mut bare = config.clone();
        for user in bare["users"].as_array_mut().into_iter().flatten() {
            user["user"] = json!({});
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bare = kube::config::Kubeconfig::from_yaml(&bare.to_string())?;
        let mut bare = kube::Config::from_custom_kubeconfig(bare, &Default::default()).await?;
        bare.default_retry = false;
        bare.read_timeout = None;
        kube::Client::try_from(bare)?
    };
    let operator = config["users"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|user| user["name"] == "operator")
        .and_then(|user| user["user"]["token"].as_str())
        .map(|token| format!("Bearer {token}"))
        .context("the kubeconfig has no operator")?;
    let proxy = Arc::new(Proxy {
        upstream,
        operator,
        seen: Mutex::default(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let app = axum::Router::new()
        .fallback(forward)
        .with_state(proxy.clone());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let dir = tempfile::tempdir()?;
    for cluster in config["clusters"].as_array_mut().into_iter().flatten() {
        cluster["cluster"] = json!({"server": address});
    }
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, config.to_string())?;

    let done = Command::new(trueup)
        .args(["--kubeconfig".as_ref(), kubeconfig.as_os_str()])
        .args([
            "--prometheus",
            &text("prometheus")?,
            "--config",
            &text("config")?,
        ])
        .args(["--state-dir".as_ref(), dir.path().join("state").as_os_str()])
        .args([
            "run",
            &text("plan")?,
            "--write",
            "all",
            "--attest",
            "traces=jo: seen",
        ])
        .kill_on_drop(true)
        .output()
        .await?;
    if !done.status.success() {
        bail!(
            "the walk failed: {}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }
    for line in BY_HAND {
        let words: Vec<&str> = line.split_whitespace().collect();
        let said = Command::new("kubectl")
            .args(&words)
            .env("KUBECONFIG", &kubeconfig)
            .env("HOME", dir.path())
            .kill_on_drop(true)
            .output()
            .await;
        if said.is_err() {
            break;
        }
    }
    server.abort();
    Ok(proxy.traffic())
}

/// The kubectl commands of the script that trueup writes for a recovery by hand, and what people look with.
const BY_HAND: &[&str] = &[
    "-n argocd get applications.argoproj.io auth-service -o jsonpath={.status.sync.status}",
    "-n argocd annotate applications.argoproj.io auth-service argocd.argoproj.io/refresh=normal --overwrite",
    "-n argocd patch applications.argoproj.io auth-service --type merge -p {\"metadata\":{\"labels\":{\"by\":\"hand\"}}}",
    "-n argocd patch applications.argoproj.io auth-service --type json -p [{\"op\":\"remove\",\"path\":\"/metadata/labels/by\"}]",
    "-n argocd patch applications.argoproj.io auth-service --type json -p [{\"op\":\"test\",\"path\":\"/metadata/name\",\"value\":\"other\"}]",
    "-n auth get configmap auth-config -o yaml",
    "-n auth get configmap auth-config -o json --show-managed-fields",
    "-n auth get configmap not-there",
    "-n auth patch configmap auth-config --type merge --dry-run=server -p {\"data\":{\"X\":\"y\"}}",
    "-n argocd delete applications.argoproj.io auth-service --dry-run=server",
    "auth can-i patch applications.argoproj.io -n argocd",
    "auth can-i delete nodes",
    "get namespaces auth",
];
