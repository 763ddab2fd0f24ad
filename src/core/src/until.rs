//! How long something is put off: an RFC 3339 time, or a date and with it the whole of that day.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// The end of what was put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Time(Timestamp),
    Day(Date),
}

/// Why a text says nobody until when.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUntil {
    #[error(
        "`{0}` is neither a date such as 2026-12-01 nor an RFC 3339 time such as 2026-12-01T09:00:00Z"
    )]
    Unreadable(String),
    #[error("{0} is over")]
    Over(String),
}

impl FromStr for Until {
    type Err = BadUntil;

    fn from_str(text: &str) -> Result<Self, BadUntil> {
        let bad = || BadUntil::Unreadable(crate::text::line(text));
        // Of a date with a time and no zone, the reader of dates takes the date.
        if text.len() == "2026-12-01".len() {
            text.parse().map(Self::Day).map_err(|_| bad())
        } else {
            text.parse().map(Self::Time).map_err(|_| bad())
        }
    }
}

impl Until {
    /// Whether that moment has gone by; a day has when it has ended everywhere on Earth.
    pub fn is_over(self, now: Timestamp) -> bool {
        match self {
            Self::Time(at) => at <= now,
            Self::Day(day) => {
                let westmost = now
                    .checked_sub(SignedDuration::from_hours(12))
                    .unwrap_or(now);
                day < westmost.to_zoned(TimeZone::UTC).date()
            }
        }
    }
}

/// Reads what is still to come.
pub fn to_come(text: &str, now: Timestamp) -> Result<Until, BadUntil> {
    let until: Until = text.parse()?;
    if until.is_over(now) {
        return Err(BadUntil::Over(crate::text::line(text)));
    }
    Ok(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_date_or_a_time_that_is_still_to_come_is_taken() {
        let now: Timestamp = "2026-11-21T22:00:00Z".parse().unwrap();
        for (text, wanted) in [
            ("2026-11-21", Ok(())),
            ("2026-11-22", Ok(())),
            ("2026-11-21T22:00:01Z", Ok(())),
            ("2026-11-22T08:00:00+09:00", Ok(())),
            ("2026-11-20", Err("is over")),
            ("2020-01-01", Err("is over")),
            ("2026-11-21T22:00:00Z", Err("is over")),
            ("2026-11-22T06:59:00+09:00", Err("is over")),
            ("tomorrow", Err("neither")),
            ("2026-13-01", Err("neither")),
            ("2026-12-01T09:00:00", Err("neither")),
            ("", Err("neither")),
            ("4h", Err("neither")),
        ] {
            match (to_come(text, now), wanted) {
                (Ok(_), Ok(())) => {}
                (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{text}: {why}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        // The day after is the first that knows it to be over everywhere.
        assert!(to_come("2026-11-20", "2026-11-21T11:59:00Z".parse().unwrap()).is_ok());
    }
}
