//! What one look at a gate means, and how long a gate is looked at.
//!
//! Nothing here is ever green for want of data: what is missing makes a look inconclusive and is named.

use super::{Comparison, Reading, Sample, Verdict};
use crate::{
    event::Waits,
    plan::{FieldGate, Gate, HttpGate},
    span::Span,
    text,
};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// A look at a gate, judged. `value` and `traffic` are what goes into the chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub verdict: Verdict,
    /// What was seen or what is missing, as one inert line.
    pub why: String,
    pub value: Option<f64>,
    pub traffic: Option<f64>,
    /// Nobody could be asked.
    pub unasked: bool,
}

impl Judged {
    fn new(verdict: Verdict, why: impl AsRef<str>) -> Self {
        Self {
            verdict,
            why: text::line(why.as_ref()),
            value: None,
            traffic: None,
            unasked: false,
        }
    }

    /// There was nobody to ask.
    pub fn unasked(why: impl AsRef<str>) -> Self {
        Self {
            unasked: true,
            ..Self::new(Verdict::Inconclusive, why)
        }
    }

    fn of(holds: bool, why: impl AsRef<str>) -> Self {
        let verdict = if holds { Verdict::Green } else { Verdict::Red };
        Self::new(verdict, why)
    }

    /// As a sample taken at `at`.
    pub fn sample(self, at: Timestamp) -> Sample {
        Sample {
            at,
            value: self.value,
            traffic: self.traffic,
            verdict: self.verdict,
            why: self.why,
            unasked: self.unasked,
        }
    }
}

/// Judges a metric.
///
/// `traffic` is `None` when the gate has no traffic query. With one, nothing is judged unless traffic is above the
/// floor (0 when none is given), and only then an absent value counts as 0: an error counter that never counted has no
/// series. `baseline` is the value taken before the first change.
pub fn judge_metric(
    comparison: Comparison,
    value: &Reading,
    traffic: Option<&Reading>,
    floor: Option<f64>,
    baseline: Option<f64>,
) -> Judged {
    let seen = match value {
        Reading::Value(n) if n.is_finite() => Some(*n),
        _ => None,
    };
    let flow = match traffic {
        Some(Reading::Value(n)) if n.is_finite() => Some(*n),
        _ => None,
    };
    if let (Some(Reading::Unasked(why)), _) | (_, Reading::Unasked(why)) = (traffic, value) {
        return Judged::unasked(why);
    }
    let unclear = |why: String| Judged {
        value: seen,
        traffic: flow,
        ..Judged::new(Verdict::Inconclusive, why)
    };
    if let Some(traffic) = traffic {
        let floor = floor.unwrap_or(0.0);
        match traffic {
            Reading::Empty => return unclear("no traffic data: the series is absent".into()),
            Reading::Unusable(why) | Reading::Unasked(why) => {
                return unclear(format!("no usable traffic data: {why}"));
            }
            Reading::Value(n) if !n.is_finite() => return unclear(format!("traffic is {n}")),
            Reading::Value(n) if *n > floor => {}
            Reading::Value(n) => {
                return unclear(format!(
                    "traffic is {}, not above {}",
                    short(*n),
                    short(floor)
                ));
            }
        }
    }
    let (number, from) = match value {
        Reading::Value(n) if n.is_finite() => (*n, String::new()),
        Reading::Value(n) => return unclear(format!("the value is {n}")),
        Reading::Unusable(why) | Reading::Unasked(why) => {
            return unclear(format!("no usable value: {why}"));
        }
        Reading::Empty if flow.is_some() => (0.0, " (no such series, but there is traffic)".into()),
        Reading::Empty => {
            return unclear("no data: the series is absent, and no traffic says it is 0".into());
        }
    };
    let Some(holds) = comparison.holds(number, baseline.filter(|n| n.is_finite())) else {
        return unclear("no baseline was taken before the first change".into());
    };
    Judged {
        value: Some(number),
        traffic: flow,
        ..Judged::of(
            holds,
            format!(
                "{}{from}, {} {comparison}",
                short(number),
                if holds { "is" } else { "is not" }
            ),
        )
    }
}

/// Judges an Application's health after an operation.
///
/// Health counts only when Argo CD has compared since the operation ended (`status.reconciledAt` not before
/// `operationState.finishedAt`, both of one-second resolution); its `lastTransitionTime` need not move.
pub fn judge_health(
    health: &str,
    reconciled_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
) -> Judged {
    match (reconciled_at, finished_at) {
        (None, _) => return Judged::new(Verdict::Inconclusive, "not compared yet"),
        (Some(seen), Some(ended)) if seen < ended => {
            return Judged::new(
                Verdict::Inconclusive,
                format!("{health}, but compared before the operation ended"),
            );
        }
        _ => {}
    }
    match health {
        "Healthy" => Judged::new(Verdict::Green, health),
        "Degraded" | "Missing" => Judged::new(Verdict::Red, health),
        "" | "Unknown" => Judged::new(Verdict::Inconclusive, "health is unknown"),
        "Progressing" | "Suspended" => {
            Judged::new(Verdict::Inconclusive, format!("{health}, not settled"))
        }
        other => Judged::new(Verdict::Inconclusive, format!("unknown health {other}")),
    }
}

/// Judges an HTTP answer, or why there was none. That nothing answers may be the symptom; a text that is no URL asks nobody.
pub fn judge_http(gate: &HttpGate, answer: Result<(u16, &str), &str>) -> Judged {
    let url = gate.url.to_ascii_lowercase();
    let host = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    match answer {
        Err(_) if host.is_none_or(str::is_empty) => {
            Judged::unasked(format!("{} is no http or https URL", gate.url))
        }
        Err(why) => Judged::new(Verdict::Inconclusive, format!("no answer: {why}")),
        Ok((status, _)) if status != gate.status => {
            Judged::new(Verdict::Red, format!("{status}, not {}", gate.status))
        }
        Ok((status, body)) => match &gate.contains {
            Some(wanted) if !body.contains(wanted.as_str()) => Judged::new(
                Verdict::Red,
                format!("{status}, but the body does not contain `{wanted}`"),
            ),
            _ => Judged::new(Verdict::Green, status.to_string()),
        },
    }
}

/// Judges how a command ended: its exit code, or why there is none (killed, timed out). One that could not be started
/// is [`Judged::unasked`].
pub fn judge_command(end: Result<i32, &str>) -> Judged {
    match end {
        Ok(code) => Judged::of(code == 0, format!("ended with {code}")),
        Err(why) => Judged::new(Verdict::Inconclusive, format!("did not end: {why}")),
    }
}

/// Judges a field of an object; the reading is an error when the object could not be read.
///
/// `is` is a text to be equal to, or an operator and a text or number: `Ready`, `== Ready`, `!= 0`, `>= 3`.
/// Numbers are compared by value when both sides are numbers. An absent field is neither: it is inconclusive.
pub fn judge_field(gate: &FieldGate, live: Result<Option<&Value>, &str>) -> Judged {
    let live = match live {
        Err(why) => return Judged::new(Verdict::Inconclusive, format!("not read: {why}")),
        Ok(None) => return Judged::new(Verdict::Inconclusive, "the field is absent"),
        Ok(Some(live)) => live,
    };
    let shown = text::value(live);
    if crate::decision::is_secret(live) {
        return Judged::new(Verdict::Inconclusive, "the field is a secret");
    }
    let plain = live
        .as_str()
        .map_or_else(|| live.to_string(), str::to_owned);
    let wanted = gate.is.trim();
    let number = plain.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    if let (Some(number), Ok(comparison)) = (number, wanted.parse::<Comparison>())
        && let Some(holds) = comparison.holds(number, None)
    {
        return Judged {
            value: Some(number),
            ..Judged::of(holds, shown)
        };
    }
    let holds = if let Some(text) = wanted.strip_prefix("==") {
        plain == text.trim()
    } else if let Some(text) = wanted.strip_prefix("!=") {
        plain != text.trim()
    } else if wanted.starts_with(['<', '>']) {
        return Judged::new(Verdict::Inconclusive, format!("{shown} is no number"));
    } else {
        plain == wanted
    };
    Judged {
        value: number,
        ..Judged::of(holds, shown)
    }
}

/// Judges quiet: the foreign writes seen since the last look, and a gap in the watch if there was one.
pub fn judge_quiet(foreign: &[String], gap: Option<&str>) -> Judged {
    match (foreign, gap) {
        ([], None) => Judged::new(Verdict::Green, "no foreign write"),
        ([], Some(gap)) => Judged::new(Verdict::Inconclusive, format!("not watched: {gap}")),
        (writes, _) => Judged::new(Verdict::Red, writes.join(", ")),
    }
}

/// Seven significant digits at most: a rate prints as people read it.
fn short(number: f64) -> String {
    let rounded: f64 = format!("{number:.6e}").parse().unwrap_or(number);
    rounded.to_string()
}

/// How long a gate is looked at, and what the settings shortened: (`for`, `every` or `within`, from, to).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedWaits {
    pub hold: Span,
    pub every: Span,
    pub within: Span,
    pub shortened: Vec<(&'static str, Span, Span)>,
}

/// Between two samples, when the plan does not say.
const EVERY: Span = Span::seconds(5);
/// Beyond `for`, when the plan does not say.
const PATIENCE: Duration = Duration::from_secs(600);

/// A gate's waits: the plan's or the defaults, each capped by the settings. A cap only ever shortens.
///
/// A gate without `for` holds for no time, which two green samples in a row satisfy. `within` defaults to `for`
/// (as capped) + 10 min.
pub fn resolve_waits(gate: &Gate, waits: &Waits) -> ResolvedWaits {
    let (hold, every, within) = match gate {
        Gate::Manual(_) => (None, None, None),
        Gate::Measured(gate) => (gate.hold, gate.every, gate.within),
    };
    let mut shortened = Vec::new();
    let mut cap = |wait, planned: Span, cap: Option<Span>| match cap {
        Some(cap) if cap < planned => {
            shortened.push((wait, planned, cap));
            cap
        }
        _ => planned,
    };
    let hold = cap("for", hold.unwrap_or_default(), waits.gate_for);
    let every = cap("every", every.unwrap_or(EVERY), waits.gate_every);
    let patience = Span(hold.0.saturating_add(PATIENCE));
    let within = cap("within", within.unwrap_or(patience), waits.gate_within);
    ResolvedWaits {
        hold,
        every,
        within,
        shortened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Green, Inconclusive, Red};
    use serde_json::json;

    #[test]
    fn only_data_under_traffic_is_ever_green() {
        let value = Reading::Value;
        let gone = || Reading::Unusable("stale for 40 s".into());
        type Row = (Reading, Option<Reading>, Option<f64>, Verdict, &'static str);
        let table: Vec<Row> = vec![
            (value(0.0), None, None, Green, "0, is == 0"),
            (value(0.31), None, None, Red, "0.31, is not == 0"),
            (value(0.0), Some(value(212.0)), Some(0.1), Green, "0, is"),
            (value(0.31), Some(value(212.0)), Some(0.1), Red, "0.31"),
            (
                Reading::Empty,
                Some(value(212.0)),
                Some(0.1),
                Green,
                "no such series",
            ),
            (
                Reading::Empty,
                Some(value(0.1)),
                Some(0.1),
                Inconclusive,
                "traffic is 0.1, not above 0.1",
            ),
            (
                Reading::Empty,
                Some(value(0.0)),
                None,
                Inconclusive,
                "traffic is 0, not above 0",
            ),
            (
                value(0.0),
                Some(value(0.0)),
                None,
                Inconclusive,
                "traffic is 0",
            ),
            (
                value(0.3),
                Some(value(0.0)),
                None,
                Inconclusive,
                "traffic is 0",
            ),
            (Reading::Empty, None, None, Inconclusive, "no data"),
            (
                Reading::Empty,
                Some(Reading::Empty),
                None,
                Inconclusive,
                "no traffic data",
            ),
            (
                value(0.0),
                Some(Reading::Empty),
                Some(0.1),
                Inconclusive,
                "no traffic data",
            ),
            (
                value(0.0),
                Some(gone()),
                Some(0.1),
                Inconclusive,
                "stale for 40 s",
            ),
            (
                value(0.0),
                Some(value(f64::NAN)),
                None,
                Inconclusive,
                "traffic is NaN",
            ),
            (
                value(f64::NAN),
                Some(value(9.0)),
                None,
                Inconclusive,
                "the value is NaN",
            ),
            (
                value(f64::INFINITY),
                None,
                None,
                Inconclusive,
                "the value is inf",
            ),
            (
                gone(),
                Some(value(9.0)),
                None,
                Inconclusive,
                "stale for 40 s",
            ),
        ];
        for (value, traffic, floor, verdict, why) in table {
            let comparison = "== 0".parse().unwrap();
            let judged = judge_metric(comparison, &value, traffic.as_ref(), floor, None);
            assert_eq!(judged.verdict, verdict, "{value:?} {traffic:?}");
            assert!(judged.why.contains(why), "{}: {}", why, judged.why);
        }
    }

    #[test]
    fn a_baseline_counts_only_when_it_was_taken() {
        let judge = |n, baseline| {
            let comparison = "<= baseline * 1.1".parse().unwrap();
            judge_metric(comparison, &Reading::Value(n), None, None, baseline).verdict
        };
        assert_eq!(judge(1.09, Some(1.0)), Green);
        assert_eq!(judge(1.2, Some(1.0)), Red);
        assert_eq!(judge(0.0, None), Inconclusive);
        assert_eq!(judge(0.0, Some(f64::NAN)), Inconclusive);
    }

    #[test]
    fn health_from_before_the_operation_says_nothing() {
        let at = |s: i64| Timestamp::from_second(s).ok();
        for (health, reconciled, finished, verdict) in [
            ("Healthy", at(10), at(10), Green),
            ("Healthy", at(9), at(10), Inconclusive),
            ("Healthy", None, at(10), Inconclusive),
            ("Healthy", at(9), None, Green),
            ("Degraded", at(11), at(10), Red),
            ("Progressing", at(11), at(10), Inconclusive),
            ("", at(11), at(10), Inconclusive),
        ] {
            assert_eq!(judge_health(health, reconciled, finished).verdict, verdict);
        }
    }

    #[test]
    fn answers_ends_and_fields_are_judged() {
        let http = HttpGate {
            url: "https://auth/ready".into(),
            status: 200,
            contains: Some("ok".into()),
        };
        assert_eq!(judge_http(&http, Ok((200, "ok"))).verdict, Green);
        assert_eq!(judge_http(&http, Ok((200, "no"))).verdict, Red);
        assert_eq!(judge_http(&http, Ok((503, "ok"))).verdict, Red);
        let silent = judge_http(&http, Err("refused"));
        assert_eq!((silent.verdict, silent.unasked), (Inconclusive, false));
        for url in ["auth/ready", "ftp://auth", "https://", ""] {
            let http = HttpGate {
                url: url.into(),
                ..http.clone()
            };
            assert!(judge_http(&http, Err("no host")).unasked, "{url}");
        }
        assert_eq!(judge_command(Ok(0)).verdict, Green);
        assert_eq!(judge_command(Ok(1)).verdict, Red);
        assert_eq!(judge_command(Err("timeout")).verdict, Inconclusive);
        assert_eq!(judge_quiet(&[], None).verdict, Green);
        assert_eq!(judge_quiet(&[], Some("relist")).verdict, Inconclusive);
        assert_eq!(judge_quiet(&["x".into()], None).verdict, Red);
        for (is, live, verdict) in [
            ("Ready", Some(json!("Ready")), Green),
            ("== Ready", Some(json!("Ready")), Green),
            ("!= Ready", Some(json!("Ready")), Red),
            (">= 3", Some(json!(3)), Green),
            ("== 3", Some(json!("3.0")), Green),
            ("3", Some(json!(3)), Green),
            (">= 3", Some(json!("many")), Inconclusive),
            (">= 3", None, Inconclusive),
            ("!= x", Some(json!({"secret": "hmac:1"})), Inconclusive),
        ] {
            let gate = FieldGate {
                kind: "Deployment".into(),
                group: "apps".into(),
                namespace: "n".into(),
                name: "d".into(),
                field: ".status.readyReplicas".into(),
                is: is.into(),
            };
            assert_eq!(
                judge_field(&gate, Ok(live.as_ref())).verdict,
                verdict,
                "{is} {live:?}"
            );
        }
    }

    #[test]
    fn settings_only_ever_shorten_and_say_so() {
        let gate: Gate = serde_json::from_value(json!({"quiet": {}, "for": "10m"})).unwrap();
        let plain = resolve_waits(&gate, &Waits::default());
        assert_eq!(plain.hold, Span::seconds(600));
        assert_eq!(plain.every, Span::seconds(5));
        assert_eq!(plain.within, Span::seconds(1200));
        assert!(plain.shortened.is_empty());
        let waits = Waits {
            gate_for: Some(Span::seconds(4)),
            gate_every: Some(Span::seconds(60)),
            gate_within: Some(Span::seconds(30)),
            ..Waits::default()
        };
        let short = resolve_waits(&gate, &waits);
        assert_eq!(short.every, Span::seconds(5), "a longer wait is no cap");
        let names: Vec<_> = short.shortened.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, ["for", "within"]);
        assert_eq!(short.hold, Span::seconds(4));
        assert_eq!(short.within, Span::seconds(30));
        let bare: Gate = serde_json::from_value(json!({"quiet": {}})).unwrap();
        assert_eq!(
            resolve_waits(&bare, &Waits::default()).hold,
            Span::default()
        );
    }
}
