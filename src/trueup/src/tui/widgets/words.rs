//! Text that fits: widths in cells, cuts that are shown, wrapping, ages and clocks in words.

use jiff::Timestamp;
use std::time::Duration;
pub use trueup_core::text::count;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text from outside as one inert line.
pub fn clean(text: &str) -> String {
    trueup_core::text::line(text)
}

/// How many cells a text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The end of a text where there is no room for all of it: of a path the name, of a writer the time.
pub fn fit_end(text: &str, cells: usize) -> String {
    if width(text) <= cells || cells == 0 {
        return fit(text, cells);
    }
    let mut used = 1;
    let kept = text.chars().rev().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= cells
    });
    let kept = kept.count();
    let skipped = text.chars().count() - kept;
    std::iter::once('…')
        .chain(text.chars().skip(skipped))
        .collect()
}

/// How many characters these texts begin with in common.
pub fn common_start<'a>(mut texts: impl Iterator<Item = &'a str>) -> usize {
    let Some(first) = texts.next() else {
        return 0;
    };
    texts.fold(first.chars().count(), |same, text| {
        let alike = first.chars().zip(text.chars()).take_while(|(a, b)| a == b);
        same.min(alike.count())
    })
}

/// A text among others that begin like it for `same` characters: where there is no room for all of it, what tells it from
/// the others is kept.
pub fn fit_apart(text: &str, same: usize, cells: usize) -> String {
    let all = text.chars().count();
    if width(text) <= cells || same < cells / 2 || same >= all || cells < 8 {
        return fit(text, cells);
    }
    let start = fit(text, cells / 3);
    let room = cells - width(&start);
    let from = |at: usize| text.chars().skip(at).collect::<String>();
    let end = if width(&from(same)) <= room {
        fit_end(text, room + 1).chars().skip(1).collect()
    } else {
        fit(&from(same.saturating_sub(2).max(1)), room)
    };
    format!("{start}{end}")
}

/// The beginning and the end of a text.
pub fn fit_middle(text: &str, cells: usize) -> String {
    if width(text) <= cells || cells < 4 {
        return fit(text, cells);
    }
    let start = fit(text, cells - cells / 2);
    let end: String = fit_end(text, cells - width(&start) + 1)
        .chars()
        .skip(1)
        .collect();
    format!("{start}{end}")
}

/// At most `cells` wide; a cut is shown by `…`.
pub fn fit(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w > cells.saturating_sub(1) {
            break;
        }
        used += w;
        out.push(c);
    }
    if cells > 0 {
        out.push('…');
    }
    out
}

/// Exactly `cells` wide.
pub fn pad(text: &str, cells: usize) -> String {
    let mut out = fit(text, cells);
    let used = width(&out);
    out.extend(std::iter::repeat_n(' ', cells.saturating_sub(used)));
    out
}

/// Breaks a text at blanks, and longer words where they have to be.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        let mut used = 0;
        for word in paragraph.split_inclusive(' ') {
            let word_width = width(word.trim_end());
            // A word that fits on no line is broken where it stands.
            if used > 0 && used + word_width > cells && word_width <= cells {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                used = 0;
            }
            for c in word.chars() {
                let w = c.width().unwrap_or(0);
                if used + w > cells {
                    if c == ' ' {
                        continue;
                    }
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push(c);
                used += w;
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// A field as it is read: the path of an object as a whole is a mere dot.
pub fn field(path: impl std::fmt::Display) -> String {
    match path.to_string() {
        path if path == "." => "(the whole object)".to_owned(),
        path => path,
    }
}

/// `3 s`, `12 min`, `5 h`, `8 d`.
pub fn age(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The age of something that happened at `at`.
pub fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

/// `00:12:31`, hours as many as there are.
pub fn clock(length: Duration) -> String {
    let s = length.as_secs();
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// `03:12`, with hours only when there are some.
pub fn short_clock(length: Duration) -> String {
    let s = length.as_secs();
    if s >= 3600 {
        return clock(length);
    }
    format!("{:02}:{:02}", s / 60, s % 60)
}

/// A length of time between two: `7-8 d`.
pub fn bracket(from: Duration, to: Duration) -> String {
    let (short, long) = (age(from), age(to));
    match (short.split_once(' '), long.split_once(' ')) {
        (Some((a, u)), Some((b, v))) if u == v && a != b => format!("{a}-{b} {u}"),
        _ if short == long => long,
        _ => format!("{short} - {long}"),
    }
}

/// A number as people write it: no more than three places, no trailing zeros.
pub fn number(n: f64) -> String {
    let text = format!("{n:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_texts_apart_is_not_cut_away() {
        let image = |tag: &str| format!("registry.example.com/identity/profile-service:{tag}");
        let tags = ["3.8.1", "3.8.2", "3.9.0-rc1"];
        let images = tags.map(image);
        let same = common_start(images.iter().map(String::as_str));
        for cells in 15..60 {
            let shown: Vec<String> = images.iter().map(|i| fit_apart(i, same, cells)).collect();
            for (text, tag) in shown.iter().zip(tags) {
                assert!(width(text) <= cells, "{text} {cells}");
                assert!(text.ends_with(tag), "{text} {cells}");
                assert!(text.starts_with("reg"), "{text} {cells}");
            }
        }
        // What differs at its beginning is kept from there, what differs in between too.
        assert_eq!(fit_apart("alpha-and-so-on", 0, 10), "alpha-and…");
        let keys = [0, 1].map(|n| format!("{}{n}{}", "k".repeat(30), "z".repeat(30)));
        let [a, b] = keys.map(|key| fit_apart(&key, 30, 16));
        assert!(a != b && width(&a) <= 16, "{a} {b}");
        assert_eq!(
            fit_middle("the reason of it · what to do", 16),
            "the rea…at to do"
        );
    }

    #[test]
    fn nothing_is_wider_than_asked() {
        for text in ["", "a", "日本語テキスト", "one two three", "abcdefghij klm"] {
            for cells in 0..12 {
                assert!(width(&fit(text, cells)) <= cells, "{text} {cells}");
                assert_eq!(width(&pad(text, cells)), cells, "{text} {cells}");
                for line in wrap(text, cells.max(2)) {
                    assert!(width(&line) <= cells.max(2), "{text} {cells} {line}");
                }
            }
        }
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
    }

    #[test]
    fn ages_are_said_in_one_unit() {
        let d = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(bracket(d(7), d(8)), "7-8 d");
        assert_eq!(age(Duration::from_secs(125)), "2 min");
        assert_eq!(short_clock(Duration::from_secs(192)), "03:12");
    }
}
