//! Values and times in words, for evidence.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::redact::is_redacted;

/// A value short enough for a sentence, with nothing in it that could move a cursor.
pub fn show(value: Option<&Value>) -> String {
    let text = match value {
        None => return "nothing".to_owned(),
        Some(v) if is_redacted(v) => v["secret"].as_str().unwrap_or_default().to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
        .escape_debug()
        .to_string()
        .replace("\\\"", "\"")
        .replace("\\'", "'")
}

/// How long before `now`, in the largest unit that fits: `7 days ago`.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - time.as_second();
    if seconds < 0 {
        return "in the future (the clocks disagree)".to_owned();
    }
    let (count, unit) = match seconds {
        s if s >= 2 * 86_400 => (s / 86_400, "day"),
        s if s >= 2 * 3_600 => (s / 3_600, "hour"),
        s if s >= 120 => (s / 60, "minute"),
        s => (s, "second"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sentence_stays_a_sentence() {
        assert_eq!(show(Some(&json!("a\u{1b}[2Jb"))), "a\\u{1b}[2Jb");
        assert_eq!(show(Some(&json!("it's \"x\""))), "it's \"x\"");
        assert_eq!(show(Some(&json!("x".repeat(100)))).chars().count(), 61);
        assert_eq!(show(None), "nothing");
        let at = |s: &str| s.parse::<Timestamp>().unwrap();
        assert_eq!(
            ago(at("2026-11-14T07:00:00Z"), at("2026-11-21T08:00:00Z")),
            "7 days ago"
        );
        assert_eq!(
            ago(at("2026-11-21T07:00:00Z"), at("2026-11-21T08:00:00Z")),
            "60 minutes ago"
        );
    }
}
