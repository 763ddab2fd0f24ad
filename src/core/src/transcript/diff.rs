//! Unified diffs: as `git apply` takes them, and which of them are not to be shown.

use super::quote::without_userinfo;
use crate::event::FileDiff;
use std::fmt::Write;

/// Whether a diff is of the manifest of a Secret, whose values stand in the lines around a change, or holds a URL with a
/// password.
pub(super) fn shows_secret(diff: &str) -> bool {
    if without_userinfo(diff) != diff {
        return true;
    }
    diff.lines().any(|line| {
        let line: String = line
            .trim_start_matches(['+', '-', ' '])
            .chars()
            .filter(|c| !c.is_whitespace() && !"\"',".contains(*c))
            .collect();
        line == "kind:Secret"
    })
}

/// A unified diff as `git apply` takes it, whatever header it came with.
pub(super) fn git_diff(file: &FileDiff) -> String {
    let hunks = file
        .diff
        .find("@@ ")
        .filter(|at| *at == 0 || file.diff[..*at].ends_with('\n'));
    let (head, body) = file.diff.split_at(hunks.unwrap_or(0));
    let (a, b) = (
        git_path(&format!("a/{}", file.path)),
        git_path(&format!("b/{}", file.path)),
    );
    let (mut from, mut to) = (a.clone(), b.clone());
    let mut out = format!("diff --git {a} {b}\n");
    if head.contains("--- /dev/null") {
        out.push_str("new file mode 100644\n");
        from = "/dev/null".into();
    }
    if head.contains("+++ /dev/null") {
        out.push_str("deleted file mode 100644\n");
        to = "/dev/null".into();
    }
    let _ = write!(out, "--- {from}\n+++ {to}\n{body}");
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// A path as Git quotes it (`core.quotePath`), where it has to.
fn git_path(path: &str) -> String {
    if path
        .bytes()
        .all(|b| (b.is_ascii_graphic() || b == b' ') && b != b'"' && b != b'\\')
    {
        return if path.contains(' ') {
            format!("\"{path}\"")
        } else {
            path.to_owned()
        };
    }
    let mut out = String::from("\"");
    for byte in path.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b if b.is_ascii_graphic() || b == b' ' => out.push(char::from(b)),
            b => {
                let _ = write!(out, "\\{b:03o}");
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_header_it_came_with_git_reads_it() {
        let body = "@@ -1 +1 @@\n-a\n+b\n";
        for (path, head, want) in [
            (
                "x/y.yaml",
                "",
                "diff --git a/x/y.yaml b/x/y.yaml\n--- a/x/y.yaml\n+++ b/x/y.yaml\n",
            ),
            (
                "y",
                "--- y\n+++ y\n",
                "diff --git a/y b/y\n--- a/y\n+++ b/y\n",
            ),
            (
                "n",
                "--- /dev/null\n+++ b/n\n",
                "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n",
            ),
            (
                "ü\"",
                "",
                "diff --git \"a/\\303\\274\\\"\" \"b/\\303\\274\\\"\"\n--- \"a/\\303\\274\\\"\"\n+++ \"b/\\303\\274\\\"\"\n",
            ),
        ] {
            let file = FileDiff {
                path: path.into(),
                diff: format!("{head}{body}"),
                fields: 1,
            };
            assert_eq!(git_diff(&file), format!("{want}{body}"));
        }
    }
}
