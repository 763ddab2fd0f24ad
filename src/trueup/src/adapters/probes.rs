//! The probes of gates together: Prometheus, plain HTTP, commands.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::redirect::Policy;
use trueup_core::gate::Reading;

use super::exec;
use super::prometheus::Prometheus;
use crate::ports::{CommandLine, CommandLog, NoExit, Probe};

/// For one answer, redirects included.
const DEADLINE: Duration = Duration::from_secs(10);
/// What is read of a body.
const MAX_BODY: usize = 1 << 20;
const MAX_REDIRECTS: usize = 5;

/// Samples the real world.
pub struct Probes {
    prometheus: Option<Prometheus>,
    client: reqwest::Client,
    log: CommandLog,
}

impl Probes {
    /// `prometheus`: base URL of a Prometheus HTTP API; without one every metric is unusable and says so.
    pub fn new(prometheus: Option<&str>, log: CommandLog) -> Result<Self, String> {
        let client = client()?;
        let prometheus = prometheus
            .map(|url| Prometheus::new(url, client.clone(), log.clone()))
            .transpose()?;
        Ok(Self {
            prometheus,
            client,
            log,
        })
    }
}

/// A client that follows no redirect to another host: a gate asks the address that was shown.
fn client() -> Result<reqwest::Client, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let same_host = Policy::custom(|attempt| {
        let from = attempt
            .previous()
            .last()
            .and_then(|url| url.host_str().map(str::to_owned));
        let to = attempt.url().host_str().map(str::to_owned);
        if from != to || attempt.previous().len() > MAX_REDIRECTS {
            attempt.stop()
        } else {
            attempt.follow()
        }
    });
    reqwest::Client::builder()
        .timeout(DEADLINE)
        .connect_timeout(Duration::from_secs(5))
        .redirect(same_host)
        .user_agent(concat!("trueup/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("cannot make an HTTP client: {}", words(error)))
}

/// An error without the URL, which may hold credentials.
pub(super) fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// Reads at most `limit` bytes of a body.
pub(super) async fn body(mut answer: reqwest::Response, limit: usize) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(words)? {
        let room = limit.saturating_sub(bytes.len());
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if bytes.len() >= limit {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[async_trait]
impl Probe for Probes {
    async fn metric(&self, query: &str) -> Reading {
        match &self.prometheus {
            Some(prometheus) => prometheus.instant(query).await,
            None => Reading::Unasked("no Prometheus is known: pass --prometheus URL".to_owned()),
        }
    }

    async fn http(&self, url: &str) -> Result<(u16, String), String> {
        let started = jiff::Timestamp::now();
        let result = async {
            let answer = self.client.get(url).send().await.map_err(words)?;
            let status = answer.status().as_u16();
            Ok::<_, String>((status, body(answer, MAX_BODY).await?))
        }
        .await;
        let outcome = match &result {
            Ok((status, _)) => status.to_string(),
            Err(why) => why.clone(),
        };
        log(
            &self.log,
            started,
            "ask an endpoint",
            format!("curl '{}'", super::git::without_credentials(url)),
            outcome,
        );
        result
    }

    async fn command(&self, argv: &[String], deadline: Duration) -> Result<i32, NoExit> {
        let started = jiff::Timestamp::now();
        let result = exec::run(argv, deadline).await;
        let outcome = match &result {
            Ok(code) => format!("ended with {code}"),
            Err(why) => why.to_string(),
        };
        log(&self.log, started, "run a check", argv.join(" "), outcome);
        result
    }
}

pub(super) fn log(
    log: &CommandLog,
    at: jiff::Timestamp,
    what: &str,
    equivalent: String,
    outcome: String,
) {
    let took = Duration::try_from(jiff::Timestamp::now().duration_since(at)).unwrap_or_default();
    log(CommandLine {
        at,
        what: what.to_owned(),
        equivalent,
        outcome,
        took,
        effect: false,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Answers every request with the next of `answers`.
    async fn server(answers: Vec<&'static str>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0u8; 4096];
                let _ = stream.read(&mut buffer).await;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    answer.len()
                );
                let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
            }
        });
        url
    }

    #[tokio::test]
    async fn only_one_finite_number_is_a_value() {
        let vector = |inner: &'static str| -> &'static str {
            Box::leak(
                format!(
                    r#"{{"status":"success","data":{{"resultType":"vector","result":[{inner}]}}}}"#
                )
                .into_boxed_str(),
            )
        };
        let url = server(vec![
            vector(r#"{"metric":{},"value":[1,"0.25"]}"#),
            vector(""),
            vector(r#"{"metric":{},"value":[1,"NaN"]}"#),
            vector(r#"{"metric":{"a":"1"},"value":[1,"1"]},{"metric":{"a":"2"},"value":[1,"2"]}"#),
            r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
            r#"{"status":"error","errorType":"unavailable","error":"starting"}"#,
            r#"{"message":"log in first"}"#,
            r#"{"status":"success","data":{"resultType":"scalar","result":[1,"3"]}}"#,
            "<html>",
        ])
        .await;
        let probes = Probes::new(Some(&url), crate::ports::no_log()).unwrap();
        assert_eq!(probes.metric("up").await, Reading::Value(0.25));
        assert_eq!(probes.metric("up").await, Reading::Empty);
        for _ in 0..3 {
            assert!(matches!(probes.metric("up").await, Reading::Unusable(_)));
        }
        // What is no answer to the question is told from an answer that is of no use.
        for _ in 0..2 {
            assert!(matches!(probes.metric("up").await, Reading::Unasked(_)));
        }
        assert_eq!(probes.metric("up").await, Reading::Value(3.0));
        assert!(matches!(probes.metric("up").await, Reading::Unasked(_)));
        // Nobody answers any more.
        assert!(matches!(probes.metric("up").await, Reading::Unasked(_)));
        let none = Probes::new(None, crate::ports::no_log()).unwrap();
        assert!(matches!(none.metric("up").await, Reading::Unasked(_)));
    }

    #[tokio::test]
    async fn a_command_sees_no_environment_and_is_stopped_in_time() {
        let probes = Probes::new(None, crate::ports::no_log()).unwrap();
        let argv = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let second = Duration::from_secs(1);
        assert_eq!(
            probes
                .command(&argv(&["sh", "-c", "test -z \"$HOME\""]), second * 20)
                .await,
            Ok(0)
        );
        assert_eq!(
            probes
                .command(&argv(&["sh", "-c", "exit 3"]), second * 20)
                .await,
            Ok(3)
        );
        let late = probes.command(&argv(&["sleep", "60"]), second / 10).await;
        assert!(matches!(late, Err(NoExit::NotEnded(_))), "{late:?}");
        for nothing in [&["no-such-program-here"][..], &[]] {
            let none = probes.command(&argv(nothing), second).await;
            assert!(matches!(none, Err(NoExit::NotStarted(_))), "{none:?}");
        }
    }
}
