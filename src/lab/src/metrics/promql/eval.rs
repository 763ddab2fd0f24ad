//! Expression to value, at one instant.

use std::collections::BTreeMap;

use super::super::store::{Labels, Store};
use super::{Aggregate, Binary, Expr, Matcher, Range};

/// A series without a sample for this long is stale.
const STALE_MS: i64 = 5 * 60 * 1000;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar(f64),
    Vector(Vec<(Labels, f64)>),
}

/// Evaluates at `at` (milliseconds since the epoch).
pub fn evaluate(expr: &Expr, store: &Store, at: i64) -> Result<Value, String> {
    Ok(match expr {
        Expr::Number(number) => Value::Scalar(*number),
        Expr::Select(matchers) => Value::Vector(select(store, matchers, at)),
        Expr::Window(how, matchers, window) => {
            Value::Vector(over(store, *how, matchers, *window, at))
        }
        Expr::Vector(inner) => match evaluate(inner, store, at)? {
            Value::Scalar(number) => Value::Vector(vec![(Labels::new(), number)]),
            Value::Vector(_) => {
                return Err(
                    "expected type scalar in call to function \"vector\", got instant vector"
                        .to_owned(),
                );
            }
        },
        Expr::Negate(inner) => match evaluate(inner, store, at)? {
            Value::Scalar(number) => Value::Scalar(-number),
            Value::Vector(samples) => Value::Vector(
                samples
                    .into_iter()
                    .map(|(labels, value)| (nameless(labels), -value))
                    .collect(),
            ),
        },
        Expr::Aggregate {
            how,
            without,
            labels,
            of,
        } => match evaluate(of, store, at)? {
            Value::Scalar(_) => {
                return Err(
                    "expected type instant vector in aggregation expression, got scalar".to_owned(),
                );
            }
            Value::Vector(samples) => Value::Vector(aggregate(*how, *without, labels, samples)),
        },
        Expr::Binary {
            how,
            as_bool,
            left,
            right,
        } => {
            let (left, right) = (evaluate(left, store, at)?, evaluate(right, store, at)?);
            binary(*how, *as_bool, left, right)?
        }
    })
}

fn matching<'a>(
    store: &'a Store,
    matchers: &'a [Matcher],
) -> impl Iterator<Item = (&'a Labels, &'a [(i64, f64)])> {
    store.series().filter(|(labels, _)| {
        matchers
            .iter()
            .all(|matcher| matcher.accepts(labels.get(&matcher.label).map_or("", String::as_str)))
    })
}

fn select(store: &Store, matchers: &[Matcher], at: i64) -> Vec<(Labels, f64)> {
    matching(store, matchers)
        .filter_map(|(labels, samples)| {
            let (time, value) = samples.iter().rev().find(|(time, _)| *time <= at)?;
            (*time > at - STALE_MS).then(|| (labels.clone(), *value))
        })
        .collect()
}

fn over(
    store: &Store,
    how: Range,
    matchers: &[Matcher],
    window: i64,
    at: i64,
) -> Vec<(Labels, f64)> {
    matching(store, matchers)
        .filter_map(|(labels, samples)| {
            let inside: Vec<(i64, f64)> = samples
                .iter()
                .filter(|(time, _)| *time > at - window && *time <= at)
                .copied()
                .collect();
            extrapolated(&inside, window, at, how).map(|value| (nameless(labels.clone()), value))
        })
        .collect()
}

/// Prometheus' `extrapolatedRate`: resets are added up, and the increase is stretched to the window's edges unless the series seems to begin or end
/// inside it, and never below zero.
#[allow(
    clippy::cast_precision_loss,
    reason = "milliseconds and counts of samples stay far below 2^52"
)]
fn extrapolated(samples: &[(i64, f64)], window: i64, at: i64, how: Range) -> Option<f64> {
    let ((first_time, first), (last_time, last)) = (*samples.first()?, *samples.last()?);
    if samples.len() < 2 {
        return None;
    }
    let resets: f64 = samples
        .windows(2)
        .filter(|pair| pair[1].1 < pair[0].1)
        .map(|pair| pair[0].1)
        .sum();
    let increase = last - first + resets;
    let sampled = (last_time - first_time) as f64 / 1000.0;
    let between = sampled / (samples.len() - 1) as f64;
    let threshold = between * 1.1;
    let mut to_start = (first_time - (at - window)) as f64 / 1000.0;
    let mut to_end = (at - last_time) as f64 / 1000.0;
    if to_start >= threshold {
        to_start = between / 2.0;
    }
    if increase > 0.0 && first >= 0.0 {
        to_start = to_start.min(sampled * (first / increase));
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    let mut value = increase * ((sampled + to_start + to_end) / sampled);
    if how == Range::Rate {
        value /= window as f64 / 1000.0;
    }
    Some(value)
}

fn nameless(mut labels: Labels) -> Labels {
    labels.remove("__name__");
    labels
}

#[allow(
    clippy::cast_precision_loss,
    reason = "counts of series stay far below 2^52"
)]
fn aggregate(
    how: Aggregate,
    without: bool,
    by: &[String],
    samples: Vec<(Labels, f64)>,
) -> Vec<(Labels, f64)> {
    let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for (labels, value) in samples {
        let key = nameless(labels)
            .into_iter()
            .filter(|(label, _)| by.contains(label) != without)
            .collect();
        groups.entry(key).or_default().push(value);
    }
    groups
        .into_iter()
        .map(|(labels, values)| {
            let sum: f64 = values.iter().sum();
            let value = match how {
                Aggregate::Sum => sum,
                Aggregate::Avg => sum / values.len() as f64,
                Aggregate::Count => values.len() as f64,
                Aggregate::Min => values.iter().copied().fold(f64::NAN, f64::min),
                Aggregate::Max => values.iter().copied().fold(f64::NAN, f64::max),
            };
            (labels, value)
        })
        .collect()
}

enum Result2 {
    Number(f64),
    /// A comparison: the left value stays or goes.
    Keep(bool),
}

#[allow(clippy::float_cmp, reason = "PromQL compares floats as they are")]
fn compute(how: Binary, left: f64, right: f64) -> Result2 {
    match how {
        Binary::Add => Result2::Number(left + right),
        Binary::Subtract => Result2::Number(left - right),
        Binary::Multiply => Result2::Number(left * right),
        Binary::Divide => Result2::Number(left / right),
        Binary::Equal => Result2::Keep(left == right),
        Binary::NotEqual => Result2::Keep(left != right),
        Binary::Less => Result2::Keep(left < right),
        Binary::LessOrEqual => Result2::Keep(left <= right),
        Binary::Greater => Result2::Keep(left > right),
        Binary::GreaterOrEqual => Result2::Keep(left >= right),
        Binary::Or => Result2::Keep(true),
    }
}

/// One sample of the outcome; `None` if a comparison filtered it out.
fn sample(
    how: Binary,
    as_bool: bool,
    labels: &Labels,
    left: f64,
    right: f64,
    shown: f64,
) -> Option<(Labels, f64)> {
    match compute(how, left, right) {
        Result2::Number(value) => Some((nameless(labels.clone()), value)),
        Result2::Keep(hit) if as_bool => Some((nameless(labels.clone()), f64::from(u8::from(hit)))),
        Result2::Keep(true) => Some((labels.clone(), shown)),
        Result2::Keep(false) => None,
    }
}

fn binary(how: Binary, as_bool: bool, left: Value, right: Value) -> Result<Value, String> {
    if how == Binary::Or {
        let (Value::Vector(mut left), Value::Vector(right)) = (left, right) else {
            return Err("set operator \"or\" not allowed in binary scalar expression".to_owned());
        };
        let known: Vec<Labels> = left
            .iter()
            .map(|(labels, _)| nameless(labels.clone()))
            .collect();
        left.extend(
            right
                .into_iter()
                .filter(|(labels, _)| !known.contains(&nameless(labels.clone()))),
        );
        return Ok(Value::Vector(left));
    }
    Ok(match (left, right) {
        (Value::Scalar(left), Value::Scalar(right)) => match compute(how, left, right) {
            Result2::Number(value) => Value::Scalar(value),
            Result2::Keep(hit) if as_bool => Value::Scalar(f64::from(u8::from(hit))),
            Result2::Keep(_) => {
                return Err("comparisons between scalars must use BOOL modifier".to_owned());
            }
        },
        (Value::Vector(left), Value::Scalar(right)) => Value::Vector(
            left.iter()
                .filter_map(|(labels, value)| sample(how, as_bool, labels, *value, right, *value))
                .collect(),
        ),
        (Value::Scalar(left), Value::Vector(right)) => Value::Vector(
            right
                .iter()
                .filter_map(|(labels, value)| sample(how, as_bool, labels, left, *value, *value))
                .collect(),
        ),
        (Value::Vector(left), Value::Vector(right)) => {
            let mut sides: BTreeMap<Labels, f64> = BTreeMap::new();
            for (labels, value) in right {
                if sides.insert(nameless(labels), value).is_some() {
                    return Err("found duplicate series for the match group on the right hand-side of the operation".to_owned());
                }
            }
            let mut seen = std::collections::BTreeSet::new();
            let mut out = Vec::new();
            for (labels, value) in left {
                let key = nameless(labels.clone());
                let Some(other) = sides.get(&key) else {
                    continue;
                };
                if !seen.insert(key) {
                    return Err("found duplicate series for the match group on the left hand-side of the operation".to_owned());
                }
                out.extend(sample(how, as_bool, &labels, value, *other, value));
            }
            Value::Vector(out)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn store() -> Store {
        let mut store = Store::default();
        let labels = |service: &str, code: &str| -> Labels {
            [
                ("__name__", "http_requests_total"),
                ("service", service),
                ("code", code),
            ]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
        };
        for tick in 0..=12_u32 {
            let n = f64::from(tick);
            store.add(
                i64::from(tick) * 5_000,
                vec![
                    (labels("profile", "401"), 31.0 * n),
                    (labels("profile", "200"), 69.0 * n),
                    (labels("like", "200"), 50.0 * n),
                    (labels("idle", "200"), 0.0),
                ],
            );
        }
        store
    }

    fn ask(query: &str) -> Result<Value, String> {
        evaluate(&parse(query)?, &store(), 60_000)
    }

    fn numbers(query: &str) -> Vec<f64> {
        match ask(query) {
            Ok(Value::Vector(samples)) => samples
                .into_iter()
                .map(|(_, value)| (value * 1e6).round() / 1e6)
                .collect(),
            Ok(Value::Scalar(number)) => vec![number],
            Err(error) => panic!("{query}: {error}"),
        }
    }

    #[test]
    fn queries_of_gates_give_what_prometheus_gives() {
        let table: &[(&str, &[f64])] = &[
            (
                r#"sum(rate(http_requests_total{service="profile",code="401"}[30s]))"#,
                &[6.2],
            ),
            (
                r#"sum(rate(http_requests_total{service="profile",code="401"}[30s])) / sum(rate(http_requests_total{service="profile"}[30s]))"#,
                &[0.31],
            ),
            (
                r#"sum by (service) (increase(http_requests_total{service!~"idle|li.*"}[30s]))"#,
                &[600.0],
            ),
            (
                r#"sum(rate(http_requests_total[30s])) by (code)"#,
                &[23.8, 6.2],
            ),
            (r#"count(http_requests_total{code=~"2.."})"#, &[3.0]),
            (
                r#"sum without (code, service) (http_requests_total)"#,
                &[1800.0],
            ),
            (r#"http_requests_total{service="like"} > 100 * 2"#, &[600.0]),
            (r#"http_requests_total{service="like"} < 100"#, &[]),
            (r#"http_requests_total{service="like"} == bool 600"#, &[1.0]),
            ("http_requests_totals", &[]),
            ("sum(rate(misspelt[1m]))", &[]),
            ("sum(rate(misspelt[1m])) or vector(0)", &[0.0]),
            (
                r#"sum(http_requests_total{service="like"}) or vector(0)"#,
                &[600.0],
            ),
            ("2 + 3 * 4 - -1", &[15.0]),
            ("(2 + 3) * 4 / 8", &[2.5]),
            ("1e-3 * 1e+3", &[1.0]),
            (r#"{__name__="http_requests_total",code="401"}"#, &[372.0]),
            // Of one sample there is no rate.
            ("rate(http_requests_total{code=\"401\"}[4s])", &[]),
        ];
        for (query, want) in table {
            assert_eq!(&numbers(query), want, "{query}");
        }
        assert!(numbers(r#"rate(http_requests_total{service="idle"}[30s]) / rate(http_requests_total{service="idle"}[30s])"#)[0].is_nan());
    }

    #[test]
    fn what_is_not_supported_is_an_error_and_never_a_number() {
        for query in [
            "",
            "sum(",
            "rate(http_requests_total)",
            "rate(http_requests_total[5x])",
            "http_requests_total[5m]",
            "histogram_quantile(0.9, x)",
            "topk(1, x)",
            "x offset 5m",
            "x and y",
            "x % 2",
            "x ^ 2",
            "x / on(code) y",
            "rate(x[5m:1m])",
            "{}",
            r#"{code=~".*"}"#,
            r#"x{code=~"("}"#,
            "1 == 1",
            "\"text\"",
            "sum(1)",
            "vector(x)",
            "1 or 2",
            r#"x{code="401}"#,
            "x @ 5",
            "x)",
        ] {
            assert!(ask(query).is_err(), "{query}: {:?}", ask(query));
        }
        assert!(parse(&"(".repeat(10_000)).is_err());
        assert!(parse(&"-".repeat(10_000)).is_err());
    }

    #[test]
    fn a_series_without_samples_for_five_minutes_is_stale() {
        let expr = parse("http_requests_total").unwrap();
        assert!(
            matches!(evaluate(&expr, &store(), 60_000 + STALE_MS - 1), Ok(Value::Vector(found)) if found.len() == 4)
        );
        assert_eq!(
            evaluate(&expr, &store(), 60_000 + STALE_MS),
            Ok(Value::Vector(vec![]))
        );
    }
}
