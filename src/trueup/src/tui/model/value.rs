//! A value in a field of one line, as it is: a line break and a tab have signs there, what has none is not let in.

use trueup_core::text::count;

const BREAK: char = '⏎';
const TAB: char = '⇥';

/// A value as somebody would type it: text bare, everything else as JSON.
pub fn text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// As it stands in the field. `Err`: why it cannot stand there without becoming something else.
pub fn shown(value: &str) -> Result<String, String> {
    let value = value.replace("\r\n", "\n").replace('\r', "\n");
    let odd = |c: &char| {
        [BREAK, TAB, '\u{fffd}'].contains(c)
            || !['\n', '\t'].contains(c) && trueup_core::text::line(&c.to_string()) != c.to_string()
    };
    match value.chars().find(odd) {
        Some(c) => Err(format!(
            "it holds U+{:04X}, which has no place in a field of one line: take it from a file, with `run` or `trueup act patch`",
            u32::from(c)
        )),
        None => Ok(value.replace('\n', "⏎").replace('\t', "⇥")),
    }
}

/// What stands for.
pub fn meant(shown: &str) -> String {
    shown
        .chars()
        .map(|c| match c {
            BREAK => '\n',
            TAB => '\t',
            c => c,
        })
        .collect()
}

/// How much there is of a value that does not end where one sees it: `4 lines, 271 characters`.
pub fn size(value: &str) -> Option<String> {
    let long = value.chars().count();
    if !value.contains('\n') && long <= 60 {
        return None;
    }
    let ends = match value.ends_with('\n') {
        true => ", the last ends with ⏎",
        false => "",
    };
    let lines = value.lines().count();
    Some(match (lines, ends) {
        (0 | 1, "") => count(long, "character"),
        _ => format!(
            "{}{ends}, {}",
            count(lines, "line"),
            count(long, "character")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is let in comes out as it was, but for the kind of its line breaks.
        #[test]
        fn nothing_becomes_something_else(value in "[ -~\\n\\t\\r⏎⇥ü\u{1b}\u{200b}✓]{0,40}") {
            if let Ok(shown) = shown(&value) {
                prop_assert!(!shown.contains('\n') && !shown.contains('\t'));
                prop_assert_eq!(meant(&shown), value.replace("\r\n", "\n").replace('\r', "\n"));
            }
        }
    }

    #[test]
    fn how_much_there_is() {
        for (value, said) in [
            ("short", None),
            ("a\nb", Some("2 lines, 3 characters")),
            ("a\n", Some("1 line, the last ends with ⏎, 2 characters")),
            (&"x".repeat(80), Some("80 characters")),
        ] {
            assert_eq!(size(value).as_deref(), said, "{value:?}");
        }
    }
}
