//! Gates: samples of a value, the verdict on each, and the streak they make.

mod doubt;
mod judge;

pub use judge::{
    Judged, ResolvedWaits, judge_command, judge_field, judge_health, judge_http, judge_metric,
    judge_quiet, resolve_waits,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// One look at a gate. `value` and `traffic` are `None` when the source had nothing to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<f64>,
    pub verdict: Verdict,
    /// What was seen or what is missing, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Nobody could be asked, by what this process had to ask with or because nobody answered: another look may be better.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unasked: bool,
}

/// Neither missing data nor a broken source is ever green.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    Green,
    Red,
    Inconclusive,
}

/// What a probe brought back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reading {
    Value(f64),
    /// The source answered and had no such series.
    Empty,
    /// No usable answer: NaN, stale, several series.
    Unusable(String),
    /// No answer at all: no source is known, or it cannot be reached.
    Unasked(String),
}

/// `== 0`, `<= 0.05`, `< baseline`, `<= baseline * 1.1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Comparison {
    pub operator: Operator,
    pub against: Against,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A number, or the baseline taken before the first change times a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Against {
    Number(f64),
    Baseline(f64),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is no comparison: write an operator and a number or `baseline`, such as `== 0` or `<= baseline * 1.1`"
)]
pub struct BadComparison(String);

const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl FromStr for Comparison {
    type Err = BadComparison;
    fn from_str(text: &str) -> Result<Self, BadComparison> {
        let bad = || BadComparison(crate::text::line(text));
        let trimmed = text.trim();
        let (sign, operator) = *OPERATORS
            .iter()
            .find(|(sign, _)| trimmed.starts_with(sign))
            .ok_or_else(bad)?;
        let rest = trimmed[sign.len()..].trim();
        let finite = |text: &str| {
            text.trim()
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite())
                .ok_or_else(bad)
        };
        let against = match rest.strip_prefix("baseline") {
            None => Against::Number(finite(rest)?),
            Some("") => Against::Baseline(1.0),
            Some(factor) => {
                Against::Baseline(finite(factor.trim().strip_prefix('*').ok_or_else(bad)?)?)
            }
        };
        Ok(Self { operator, against })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS
            .iter()
            .find(|(_, operator)| *operator == self.operator)
            .map_or("==", |(sign, _)| sign);
        match self.against {
            Against::Number(n) => write!(f, "{sign} {n}"),
            Against::Baseline(1.0) => write!(f, "{sign} baseline"),
            Against::Baseline(factor) => write!(f, "{sign} baseline * {factor}"),
        }
    }
}

impl TryFrom<String> for Comparison {
    type Error = BadComparison;
    fn try_from(text: String) -> Result<Self, BadComparison> {
        text.parse()
    }
}

impl From<Comparison> for String {
    fn from(comparison: Comparison) -> Self {
        comparison.to_string()
    }
}

impl Comparison {
    /// Whether `value` passes; `None` when a baseline is asked for and none was taken.
    pub fn holds(&self, value: f64, baseline: Option<f64>) -> Option<bool> {
        let against = match self.against {
            Against::Number(n) => n,
            Against::Baseline(factor) => baseline? * factor,
        };
        Some(match self.operator {
            Operator::Equal => value == against,
            Operator::NotEqual => value != against,
            Operator::Less => value < against,
            Operator::LessOrEqual => value <= against,
            Operator::Greater => value > against,
            Operator::GreaterOrEqual => value >= against,
        })
    }
}
