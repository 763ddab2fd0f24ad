//! A control plane that is asked: the lab in this process, or the real one that `tests/contract/record` started.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures::TryStreamExt as _;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

/// No answer takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// One client for each user that a case may speak as.
pub struct Bed {
    clients: BTreeMap<&'static str, kube::Client>,
}

/// What is sent. An empty header is not sent.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub user: String,
    pub method: String,
    /// Path and query.
    pub uri: String,
    pub content: String,
    pub accept: String,
    pub agent: String,
    pub body: Vec<u8>,
}

/// What came back, as it is.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub content: String,
    pub warnings: Vec<String>,
    /// JSON as it is, other text as a string; of a watch the events in a list.
    pub body: Value,
}

async fn client(kubeconfig: &Value) -> anyhow::Result<kube::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = kube::config::Kubeconfig::from_yaml(&kubeconfig.to_string())?;
    let mut config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await?;
    config.default_retry = false;
    Ok(kube::Client::try_from(config)?)
}

impl Bed {
    /// `admin` is a kubeconfig whose current user may do everything, `people` one with the contexts `operator` and `reader`.
    pub async fn connect(admin: &str, people: &str) -> anyhow::Result<Bed> {
        let admin: Value =
            serde_saphyr::from_str(admin).context("the administrator's kubeconfig")?;
        let mut people: Value =
            serde_saphyr::from_str(people).context("the operator's kubeconfig")?;
        let mut clients = BTreeMap::from([("admin", client(&admin).await?)]);
        for user in ["operator", "reader"] {
            people["current-context"] = json!(user);
            clients.insert(user, client(&people).await?);
        }
        for (user, credentials) in [
            ("stranger", json!({"token": "not-a-token-of-anybody"})),
            ("anonymous", json!({})),
        ] {
            let mut config = people.clone();
            config["users"] = json!([{"name": "operator", "user": credentials}]);
            config["contexts"] = json!([{"name": "operator",
                "context": {"cluster": people["clusters"][0]["name"], "user": "operator"}}]);
            config["current-context"] = json!("operator");
            clients.insert(user, client(&config).await?);
        }
        Ok(Bed { clients })
    }

    async fn start(&self, sent: &Sent) -> anyhow::Result<Response<Body>> {
        let client = self
            .clients
            .get(sent.user.as_str())
            .with_context(|| format!("there is no user {}", sent.user))?;
        let mut request = Request::builder()
            .method(sent.method.as_str())
            .uri(&sent.uri);
        for (name, value) in [
            ("content-type", &sent.content),
            ("accept", &sent.accept),
            ("user-agent", &sent.agent),
        ] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        let request = request.body(Body::from(sent.body.clone()))?;
        tokio::time::timeout(PATIENCE, client.send(request))
            .await
            .map_err(|_| anyhow!("{} {} is not answered", sent.method, sent.uri))?
            .with_context(|| format!("{} {}", sent.method, sent.uri))
    }

    pub async fn send(&self, sent: &Sent) -> anyhow::Result<Answer> {
        let response = self.start(sent).await?;
        let mut answer = Answer::head(&response);
        let bytes = tokio::time::timeout(PATIENCE, response.into_body().collect_bytes())
            .await
            .map_err(|_| anyhow!("{} {} does not end", sent.method, sent.uri))??;
        answer.body = parse(&bytes);
        Ok(answer)
    }

    /// Reads so many events of a watch, then drops it. A refused watch is answered as it is.
    pub async fn watch(&self, sent: &Sent, events: usize) -> anyhow::Result<Answer> {
        let response = self.start(sent).await?;
        let mut answer = Answer::head(&response);
        if answer.status != 200 {
            answer.body = parse(&response.into_body().collect_bytes().await?);
            return Ok(answer);
        }
        let mut stream = std::pin::pin!(http_body_util::BodyDataStream::new(response.into_body()));
        let mut bytes = Vec::new();
        let read = async {
            while bytes.iter().filter(|byte| **byte == b'\n').count() < events {
                match stream.try_next().await? {
                    Some(chunk) => bytes.extend_from_slice(&chunk),
                    None => break,
                }
            }
            anyhow::Ok(())
        };
        if tokio::time::timeout(PATIENCE, read).await.is_err() {
            bail!(
                "{} brought not {events} events but {}",
                sent.uri,
                String::from_utf8_lossy(&bytes)
            );
        }
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        answer.body = lines.take(events).map(parse).collect();
        Ok(answer)
    }
}

impl Answer {
    fn head(response: &Response<Body>) -> Answer {
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Answer {
            status: response.status().as_u16(),
            content: response
                .headers()
                .get("content-type")
                .map_or_else(String::new, text),
            warnings: response
                .headers()
                .get_all("warning")
                .iter()
                .map(text)
                .collect(),
            body: Value::Null,
        }
    }
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(bytes)))
}
