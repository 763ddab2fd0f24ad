//! Instant queries of a Prometheus HTTP API.

use serde_json::Value;
use trueup_core::gate::Reading;

use super::probes::{body, log, words};
use crate::ports::CommandLog;

/// An instant query that gives one number is short.
const MAX_ANSWER: usize = 4 << 20;

/// One Prometheus server.
pub struct Prometheus {
    base: String,
    client: reqwest::Client,
    log: CommandLog,
}

impl Prometheus {
    /// `base` is the URL before `/api/v1`.
    pub fn new(base: &str, client: reqwest::Client, log: CommandLog) -> Result<Self, String> {
        let base = base.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(format!(
                "cannot use {base:?} as Prometheus: it is not an http or https URL"
            ));
        }
        Ok(Self { base, client, log })
    }

    /// The value of a query now.
    pub async fn instant(&self, query: &str) -> Reading {
        let started = jiff::Timestamp::now();
        let reading = match self.ask(query).await {
            Ok(answer) => read(&answer),
            Err(why) => Reading::Unasked(why),
        };
        let outcome = match &reading {
            Reading::Value(number) => number.to_string(),
            Reading::Empty => "no such series".to_owned(),
            Reading::Unusable(why) | Reading::Unasked(why) => why.clone(),
        };
        let shown = super::git::without_credentials(&self.base);
        let by_hand = format!("curl -G '{shown}/api/v1/query' --data-urlencode 'query={query}'");
        log(&self.log, started, "ask Prometheus", by_hand, outcome);
        reading
    }

    /// Whether the server answers; the error says why not.
    pub async fn reachable(&self) -> Result<(), String> {
        match self.instant("vector(1)").await {
            Reading::Value(_) => Ok(()),
            Reading::Empty => Err("it answered nothing to vector(1)".to_owned()),
            Reading::Unusable(why) | Reading::Unasked(why) => Err(why),
        }
    }

    async fn ask(&self, query: &str) -> Result<Value, String> {
        let request = self
            .client
            .get(format!("{}/api/v1/query", self.base))
            .query(&[("query", query)]);
        let silent = |error| {
            let shown = self.base_shown();
            format!("{shown} gave no answer: {}", words(error))
        };
        let answer = request.send().await.map_err(silent)?;
        let code = answer.status();
        let text = body(answer, MAX_ANSWER).await?;
        // A refused query is answered with 400 or 422 and says why in its body.
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let said = |key: &str| answer.get(key).and_then(Value::as_str);
        let shown = self.base_shown();
        match (said("status"), said("errorType")) {
            // It is there and cannot answer anything now.
            (Some("error"), Some(why @ ("unavailable" | "timeout" | "internal"))) => Err(format!(
                "{shown} gave no answer: {why}: {}",
                said("error").unwrap_or_default()
            )),
            (Some("success" | "error"), _) => Ok(answer),
            _ => Err(format!("{shown} answered {code}, not as Prometheus does")),
        }
    }

    fn base_shown(&self) -> String {
        super::git::without_credentials(&self.base)
    }
}

/// One finite number, an empty vector, or neither with the reason.
fn read(answer: &Value) -> Reading {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("status") != "success" {
        return Reading::Unusable(format!("{}: {}", text("errorType"), text("error")));
    }
    let result = answer.pointer("/data/result");
    let sample = match (
        answer.pointer("/data/resultType").and_then(Value::as_str),
        result,
    ) {
        (Some("scalar"), Some(sample)) => sample,
        (Some("vector"), Some(Value::Array(series))) => match series.as_slice() {
            [] => return Reading::Empty,
            [one] => one.get("value").unwrap_or(&Value::Null),
            many => {
                return Reading::Unusable(format!(
                    "{} series where one is needed: aggregate the query, e.g. with sum(…)",
                    many.len()
                ));
            }
        },
        (Some(other), _) => {
            return Reading::Unusable(format!("the query gives a {other}, not one number"));
        }
        _ => return Reading::Unusable("the answer has no result".to_owned()),
    };
    match sample.get(1).and_then(Value::as_str).map(str::parse::<f64>) {
        Some(Ok(number)) if number.is_finite() => Reading::Value(number),
        Some(Ok(number)) => Reading::Unusable(format!("the value is {number}")),
        _ => Reading::Unusable("the sample has no number".to_owned()),
    }
}
