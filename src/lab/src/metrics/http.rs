//! The part of Prometheus' HTTP API that gates use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Query, Request, State as Shared};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value as Json, json};

use super::exporter::Exporter;
use super::promql::{self, Value};
use super::store::{Labels, Store};

/// A query that asks for more points is refused, as Prometheus does.
const POINTS: i64 = 11_000;

#[derive(Clone)]
pub struct State {
    pub store: Arc<Mutex<Store>>,
    pub exporter: Exporter,
}

pub fn router(state: State) -> Router {
    Router::new()
        .route(
            "/-/ready",
            get(|| async { "Prometheus Server is Ready.\n" }),
        )
        .route(
            "/-/healthy",
            get(|| async { "Prometheus Server is Healthy.\n" }),
        )
        .route(
            "/metrics",
            get(|Shared(state): Shared<State>| async move { state.exporter.text() }),
        )
        .route("/api/v1/query", get(instant).post(instant))
        .route("/api/v1/query_range", get(range).post(range))
        .fallback(|| async { (StatusCode::NOT_FOUND, "404 page not found\n") })
        .with_state(state)
}

struct Refused(String);

impl From<String> for Refused {
    fn from(why: String) -> Refused {
        Refused(why)
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "errorType": "bad_data", "error": self.0});
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    }
}

type Parameters = BTreeMap<String, String>;

/// From the query string, and from the body of a POST.
async fn parameters(request: Request) -> Result<Parameters, Refused> {
    let read = |uri: &Uri| {
        Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|query| query.0)
            .map_err(|error| Refused(format!("the parameters cannot be read: {error}")))
    };
    let mut pairs = read(request.uri())?;
    if request.method() == Method::POST {
        let body = axum::body::to_bytes(request.into_body(), 1 << 16)
            .await
            .map_err(|error| Refused(format!("the body cannot be read: {error}")))?;
        let text = String::from_utf8_lossy(&body);
        let uri: Uri = format!("/?{text}")
            .parse()
            .map_err(|error| Refused(format!("the body is no form: {error}")))?;
        pairs.extend(read(&uri)?);
    }
    Ok(pairs.into_iter().collect())
}

fn query_of(parameters: &Parameters) -> Result<promql::Expr, Refused> {
    let text = parameters.get("query").map_or("", String::as_str);
    promql::parse(text).map_err(|why| {
        Refused(format!(
            "invalid parameter \"query\": 1:1: parse error: {why}"
        ))
    })
}

/// Seconds since the epoch, or RFC 3339, in milliseconds.
fn time(parameters: &Parameters, key: &str) -> Result<Option<i64>, Refused> {
    let Some(text) = parameters.get(key) else {
        return Ok(None);
    };
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Some(at.as_millisecond()));
    }
    match text.parse::<f64>() {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "checked to be far inside the range"
        )]
        Ok(seconds) if seconds.abs() < 1e11 => Ok(Some((seconds * 1000.0) as i64)),
        _ => Err(Refused(format!(
            "invalid parameter {key:?}: cannot parse {text:?} to a valid timestamp"
        ))),
    }
}

async fn instant(Shared(state): Shared<State>, request: Request) -> Result<Response, Refused> {
    let parameters = parameters(request).await?;
    let expr = query_of(&parameters)?;
    let at = time(&parameters, "time")?.unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
    let value = promql::evaluate(
        &expr,
        &state.store.lock().unwrap_or_else(PoisonError::into_inner),
        at,
    )?;
    let data = match value {
        Value::Scalar(number) => json!({"resultType": "scalar", "result": point(at, number)}),
        Value::Vector(samples) => {
            let result: Vec<Json> = samples
                .iter()
                .map(|(labels, value)| json!({"metric": labels, "value": point(at, *value)}))
                .collect();
            json!({"resultType": "vector", "result": result})
        }
    };
    Ok(axum::Json(json!({"status": "success", "data": data})).into_response())
}

async fn range(Shared(state): Shared<State>, request: Request) -> Result<Response, Refused> {
    let parameters = parameters(request).await?;
    let expr = query_of(&parameters)?;
    let need = |key: &str| {
        time(&parameters, key)?.ok_or_else(|| {
            Refused(format!(
                "invalid parameter {key:?}: cannot parse \"\" to a valid timestamp"
            ))
        })
    };
    let (start, end) = (need("start")?, need("end")?);
    let step = parameters
        .get("step")
        .and_then(|text| text.parse::<f64>().ok().map(std::time::Duration::try_from_secs_f64).and_then(Result::ok).or_else(|| crate::durations::parse(text)))
        .and_then(|step| i64::try_from(step.as_millis()).ok())
        .filter(|step| *step > 0)
        .ok_or_else(|| Refused("zero or negative query resolution step widths are not accepted. Try a positive integer".to_owned()))?;
    if end < start {
        return Err(Refused(
            "invalid parameter \"end\": end timestamp must not be before start time".to_owned(),
        ));
    }
    if (end - start) / step > POINTS {
        return Err(Refused(format!(
            "exceeded maximum resolution of {POINTS} points per timeseries"
        )));
    }
    let store = state.store.lock().unwrap_or_else(PoisonError::into_inner);
    let mut series: BTreeMap<Labels, Vec<Json>> = BTreeMap::new();
    let mut at = start;
    while at <= end {
        let samples = match promql::evaluate(&expr, &store, at)? {
            Value::Scalar(number) => vec![(Labels::new(), number)],
            Value::Vector(samples) => samples,
        };
        for (labels, value) in samples {
            series.entry(labels).or_default().push(point(at, value));
        }
        at += step;
    }
    let result: Vec<Json> = series
        .iter()
        .map(|(labels, values)| json!({"metric": labels, "values": values}))
        .collect();
    Ok(
        axum::Json(
            json!({"status": "success", "data": {"resultType": "matrix", "result": result}}),
        )
        .into_response(),
    )
}

#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds stay far below 2^52"
)]
fn point(at: i64, value: f64) -> Json {
    let text = if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    };
    json!([at as f64 / 1000.0, text])
}
