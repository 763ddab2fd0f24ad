//! One HTTP exchange with an API server: a deadline, a size limit, and failures told apart by what they prove.

use std::time::Duration;

use ::kube::client::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;

use super::connect::describe;
use crate::ports::{ReadError, ReadFailure};

/// More than any list page we ask for; a decompression bomb stops here.
pub(super) const MAX_ANSWER: usize = 256 << 20;

/// A whole answer.
pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// An exchange without an answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection was made: the server has not seen the request.
    NotSent(String),
    /// The server may have seen the request.
    NoAnswer(String),
}

impl Failure {
    pub fn why(&self) -> &str {
        match self {
            Self::NotSent(why) | Self::NoAnswer(why) => why,
        }
    }
}

/// The parts of a `Status` answer that we use.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    pub code: u16,
    pub reason: String,
    pub message: String,
    /// `FieldManagerConflict: conflict with "x" (.spec.replicas)`.
    pub causes: Vec<String>,
    /// Only the causes' reasons.
    pub cause_reasons: Vec<String>,
}

pub(super) fn request(
    method: Method,
    uri: &str,
    content_type: Option<&str>,
    body: Vec<u8>,
) -> Request<Vec<u8>> {
    let mut builder = Request::builder()
        .method(method)
        .uri(uri)
        .header("accept", "application/json");
    if let Some(content_type) = content_type {
        builder = builder.header("content-type", content_type);
    }
    builder
        .body(body)
        .expect("the parts of the URI are percent-encoded and the headers are constants")
}

/// Sends once and reads the whole answer.
pub(super) async fn exchange(
    client: &::kube::Client,
    request: Request<Vec<u8>>,
    deadline: Duration,
) -> Result<Answer, Failure> {
    let work = async {
        let answer = client
            .send(request.map(Body::from))
            .await
            .map_err(|error| classify(&error))?;
        let status = answer.status().as_u16();
        let mut stream = answer.into_body();
        let mut body = Vec::new();
        while let Some(frame) = stream.frame().await {
            let frame = frame.map_err(|error| {
                Failure::NoAnswer(format!("the answer was cut off: {}", describe(&error)))
            })?;
            if let Some(data) = frame.data_ref() {
                if body.len() + data.len() > MAX_ANSWER {
                    return Err(Failure::NoAnswer(format!(
                        "the answer is larger than {} MiB",
                        MAX_ANSWER >> 20
                    )));
                }
                body.extend_from_slice(data);
            }
        }
        Ok(Answer { status, body })
    };
    match tokio::time::timeout(deadline, work).await {
        Ok(result) => result,
        Err(_) => Err(Failure::NoAnswer(format!(
            "no answer within {} s",
            deadline.as_secs_f32()
        ))),
    }
}

/// Tells a connection that was never made from everything else.
pub(super) fn classify(error: &::kube::Error) -> Failure {
    let why = describe(error);
    let mut current: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = current {
        if matches!(
            error.downcast_ref::<::kube::Error>(),
            Some(::kube::Error::Auth(_))
        ) || error.is::<::kube::client::AuthError>()
            || error
                .downcast_ref::<hyper_util::client::legacy::Error>()
                .is_some_and(|error| error.is_connect())
        {
            return Failure::NotSent(why);
        }
        current = error.source();
    }
    Failure::NoAnswer(why)
}

/// A server that cannot read what a patch makes of an object quotes all of it before it says why.
fn without_the_object(message: &str) -> String {
    const QUOTED: &str = "Invalid value: \"";
    const LONG: usize = 200;
    let shorter = message.split_once(QUOTED).and_then(|(before, rest)| {
        let (object, why) = rest.rsplit_once("\": ")?;
        (object.len() > LONG).then(|| {
            let size = trueup_core::text::count(object.chars().count(), "character");
            format!("{before}Invalid value ({size}): {why}")
        })
    });
    shorter.unwrap_or_else(|| message.to_owned())
}

/// Reads a `Status` body; tolerant of anything else.
pub(super) fn refusal(answer: &Answer) -> Refusal {
    let status: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut refusal = Refusal {
        code: answer.status,
        reason: text(&status, "reason"),
        message: text(&status, "message"),
        ..Refusal::default()
    };
    refusal.message = without_the_object(&refusal.message);
    if refusal.message.is_empty() {
        refusal.message = String::from_utf8_lossy(&answer.body)
            .chars()
            .take(200)
            .collect();
    }
    if let Some(causes) = status.pointer("/details/causes").and_then(Value::as_array) {
        for cause in causes {
            let (reason, message, field) = (
                text(cause, "reason"),
                text(cause, "message"),
                text(cause, "field"),
            );
            let place = if field.is_empty() {
                String::new()
            } else {
                format!(" ({field})")
            };
            refusal.causes.push(format!("{reason}: {message}{place}"));
            refusal.cause_reasons.push(reason);
        }
    }
    refusal
}

/// The error for an exchange without an answer.
pub(super) fn unreachable(what: &str, server: &str, failure: &Failure) -> ReadError {
    ReadError {
        failure: ReadFailure::Unreachable,
        what: what.to_owned(),
        why: format!("{server}: {}", failure.why()),
        hint: "check that the server of this context can be reached from here (VPN, proxy, expired tunnel)".to_owned(),
    }
}

/// The error for an answer that is not success. `secret`: the message may quote a secret value and is withheld.
pub(super) fn refused(what: &str, refusal: &Refusal, secret: bool) -> ReadError {
    let message = if secret {
        super::secrets::WITHHELD
    } else {
        refusal.message.as_str()
    };
    let (failure, hint) = match refusal.code {
        401 => (
            ReadFailure::Unauthenticated,
            "log in again: the credentials of this context are missing, wrong or expired".to_owned(),
        ),
        403 => (
            ReadFailure::Forbidden,
            "ask for this permission, or use a context that has it; `trueup doctor` lists what is needed".to_owned(),
        ),
        404 => (ReadFailure::NotServed, "check that the kind is installed on this cluster".to_owned()),
        429 | 503 => (ReadFailure::Unreachable, "the server is overloaded: try again in a moment".to_owned()),
        _ => (ReadFailure::Refused, "try the same with kubectl to see whether it is refused too".to_owned()),
    };
    ReadError {
        failure,
        what: what.to_owned(),
        why: format!("{} {}", refusal.code, message).trim().to_owned(),
        hint,
    }
}

/// Percent-encodes one path segment or query value.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(byte as char)
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_is_said_without_the_object_it_is_said_of() {
        let object = r#"{\"data\":{\"a\": 5}}"#.repeat(40);
        let why = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number";
        let long = format!("ConfigMap \"a\" is invalid: patch: Invalid value: \"{object}\": {why}");
        let said = without_the_object(&long);
        assert!(said.ends_with(&format!("characters): {why}")), "{said}");
        assert!(said.len() < 250, "{said}");
        let short = "Invalid value: \"x\": must be a number";
        assert_eq!(without_the_object(short), short);
        assert_eq!(without_the_object("no such thing"), "no such thing");
    }
}
