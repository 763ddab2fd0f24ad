//! Text inside other languages: Markdown, JSON for a terminal, and the shell.

use std::borrow::Cow;

use crate::{ids::Digest, text};

/// A text from outside as one inert line, without the user and password of a URL.
pub(super) fn say(text: &str) -> String {
    without_userinfo(&text::line(text))
}

/// Several lines, made inert.
pub(super) fn block(text: &str) -> String {
    without_userinfo(&text::block(text))
}

/// Hides what stands before the host of a URL; `git@` is no secret.
pub(super) fn without_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after
            .find(|c: char| c == '/' || c.is_whitespace() || "\"'`<>".contains(c))
            .unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(sign) if &after[..sign] != "git" => {
                out.push('…');
                rest = &after[sign..];
            }
            _ => rest = after,
        }
    }
    out.push_str(rest);
    out
}

/// True when a text holds nothing but what a terminal shows as it is; line feeds and tabs count as harmless.
pub(super) fn harmless(text: &str) -> bool {
    let bare = text.replace(['\t', '\n'], "");
    text::line(&bare) == bare
}

/// JSON text whose strings hold no character that a terminal would act on: those become `\u` escapes.
pub(super) fn json_inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut buffer = [0_u16; 2];
    for c in json.chars() {
        if c == '\n'
            || c.is_ascii() && !c.is_ascii_control()
            || harmless(c.encode_utf8(&mut [0; 4]))
        {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut buffer) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

fn longest_run(text: &str, of: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// The longest line that people are shown whole, in bytes.
const LONG: usize = 4 * 1024;
/// What is shown of a longer one, in characters.
const SHOWN: usize = 200;
/// The longest block that people are shown whole, in bytes.
const LONG_BLOCK: usize = 64 * 1024;
const WHOLE: &str = "whole in the JSON export";

/// A text for people: a line that is too long is cut, and says how long it was and which it was. The SHA-256 is that of
/// the line as the JSON export has it.
pub(super) fn short(text: &str) -> Cow<'_, str> {
    if text.len() <= LONG {
        return Cow::Borrowed(text);
    }
    let lines = text.split_inclusive('\n').map(|line| {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        if bare.len() <= LONG {
            return Cow::Borrowed(line);
        }
        let begin: String = bare.chars().take(SHOWN).collect();
        let (length, digest) = (bare.len(), Digest::of(bare.as_bytes()));
        let end = &line[bare.len()..];
        Cow::Owned(format!(
            "{begin}… ({length} bytes, SHA-256 {digest}; {WHOLE}){end}"
        ))
    });
    Cow::Owned(lines.collect())
}

/// Several lines for people, such as a diff: long lines are cut, and so is what is too long as a whole.
pub(super) fn short_block(text: &str) -> Cow<'_, str> {
    let lines = short(text);
    if lines.len() <= LONG_BLOCK {
        return lines;
    }
    let mut kept = String::new();
    for line in lines.split_inclusive('\n') {
        if kept.len() + line.len() > LONG_BLOCK {
            break;
        }
        kept.push_str(line);
    }
    let left = lines.lines().count() - kept.lines().count();
    let left = text::count(left, "more line");
    let (length, digest) = (text.len(), Digest::of(text.as_bytes()));
    kept.push_str(&format!(
        "… {left} ({length} bytes in all, SHA-256 {digest}; {WHOLE})\n"
    ));
    Cow::Owned(kept)
}

/// A script for people. One with a line that would be cut is not shown, since somebody would run it.
pub(super) fn short_script<'a>(script: &'a str, incident: &str) -> Cow<'a, str> {
    if script.lines().all(|line| line.len() <= LONG) && script.len() <= 4 * LONG_BLOCK {
        return Cow::Borrowed(script);
    }
    let lines = text::count(script.lines().count(), "line");
    let length = script.len();
    Cow::Owned(format!(
        "# The script has {lines} and {length} bytes, since it carries long values. This prints it:\n\
         trueup export {} --format json | jq -r .byHand\n",
        shell(incident)
    ))
}

/// Prose in Markdown: no markup, no HTML, no link, no mention. One line.
pub(super) fn prose(text: &str) -> String {
    let text = say(text);
    let text = short(&text);
    if text.contains("://") || text.contains("www.") || text.contains('@') {
        return code(&text);
    }
    let mut out = String::with_capacity(text.len());
    for (n, c) in text.chars().enumerate() {
        if "\\`*_[]<>|#~&$".contains(c) || (n == 0 && "-+=".contains(c)) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A value in Markdown: a code span, also inside a table. One line.
pub(super) fn code(text: &str) -> String {
    let text = say(text);
    let text = short(&text);
    if text.trim().is_empty() {
        return if text.is_empty() {
            "–".to_owned()
        } else {
            crate::text::count(text.chars().count(), "space")
        };
    }
    let fence = "`".repeat(longest_run(&text, '`') + 1);
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A value in a cell of a Markdown table.
pub(super) fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// A fenced block of Markdown, longer than any fence inside it.
pub(super) fn fenced(language: &str, content: &str) -> String {
    let fence = "`".repeat(longest_run(content, '`').max(2) + 1);
    let end = if content.ends_with('\n') { "" } else { "\n" };
    format!("{fence}{language}\n{content}{end}{fence}\n")
}

/// One word of a POSIX shell, whatever the text holds. What a terminal would act on is written as an escape.
pub fn shell(text: &str) -> String {
    if !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-:=,+".contains(c))
    {
        return text.to_owned();
    }
    if harmless(text) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    // `%b` gives every byte back, but a command substitution drops line feeds at the end.
    format!("\"$(printf '%b' {})\"", escapes(text))
}

/// A single-quoted argument for `printf %b` that gives back exactly this text.
pub(super) fn escapes(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => out.push_str(r"'\''"),
            '\\' => out.push_str(r"\\"),
            c if harmless(c.encode_utf8(&mut [0; 4])) => out.push(c),
            c => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    out.push_str(&format!("\\0{byte:03o}"));
                }
            }
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_loses_its_user() {
        assert_eq!(
            say("from https://x:tok@en@git.example/a and ssh://git@h/b c@d"),
            "from https://…@git.example/a and ssh://git@h/b c@d"
        );
    }

    #[test]
    fn markdown_stays_text() {
        assert_eq!(prose("<b> *x* |"), r"\<b\> \*x\* \|");
        assert_eq!(prose("see https://x.y"), "`see https://x.y`");
        assert_eq!(code("a`b|"), r"``a`b|``");
        assert_eq!(cell("a|"), r"`a\|`");
        assert_eq!(code("`"), "`` ` ``");
        assert!(fenced("diff", "```\n").starts_with("````diff\n"));
    }

    #[test]
    fn json_hides_nothing_from_a_parser() {
        let hostile = "\u{1b}\u{9b}\u{202e}\u{e0041}ü\u{7f}";
        let text = json_inert(&serde_json::to_string(hostile).unwrap());
        assert!(harmless(&text) && text.contains('ü'));
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
    }

    #[test]
    fn the_shell_gets_back_what_was_quoted() {
        for text in [
            "plain",
            "",
            "it's $HOME `x` \"y\" \\n",
            "a\nb",
            "\u{1b}[2J\u{9b}1m\\0101'",
            "ü—✓",
        ] {
            let script = format!("printf %s {}", shell(text));
            let out = std::process::Command::new("sh")
                .args(["-c", &script])
                .output();
            let Ok(out) = out else { return };
            assert_eq!(String::from_utf8_lossy(&out.stdout), text);
        }
    }
}
