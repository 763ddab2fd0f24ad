//! `trueup edit`: byte-exact edits of one YAML or JSON file.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trueup_core::source::changes::unified_diff;
use trueup_core::source::edit::{EditError, edit_file};
use trueup_core::source::ops::{ignored_keys, parse_ops};
use trueup_core::text;

use super::output;
use crate::settings::Output;

/// Edit a YAML or JSON file and keep every byte that the edit does not name.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// The file; JSON is recognised by its content.
    pub file: PathBuf,
    /// JSON file with one edit {"doc", "path", "op": "set|add|delete", "value"} or {"ops": [...]}.
    #[arg(long, value_name = "OPS.json")]
    pub ops: PathBuf,
    /// Replace the file, at once and as a whole; nothing is printed.
    #[arg(long, conflicts_with = "diff")]
    pub in_place: bool,
    /// Print a unified diff instead of the file.
    #[arg(long)]
    pub diff: bool,
}

const EXAMPLE: &str = r#"An edit:
  {"path": ".data.JWT_ALGORITHM", "op": "set", "value": "RS256"}
Several, in another document of the file, all or nothing; a path is text as `trueup drift` prints it, or its elements:
  {"ops": [
    {"doc": 1, "path": ".spec.containers[name=\"app\"].image", "op": "set", "value": "app:2"},
    {"doc": 1, "path": ["spec", "containers", 0, "args", "-"], "op": "add", "value": "-v"}
  ]}

A deletion takes the comment lines right above the key along, and the comment behind it; one that a blank line
separates stays. A key of an edit that nothing reads (such as note) is told and ignored.
With `-o json`: {"kind": "Edit", "file", "changed", "result"}, or "diff" for "result"; nothing with --in-place.

Exit codes: 0 edited or already so · 2 not readable, or bad edits · 3 refused, and the file is as it was."#;

/// Edited, or already so.
const DONE: i32 = 0;
/// Not readable, or bad edits.
const ERROR: i32 = 2;
/// A rule would be broken; the file is untouched.
const REFUSED: i32 = 3;

/// Runs the command. Returns the exit code; on anything but 0 nothing is on `out`.
pub fn run(
    args: &Args,
    form: Output,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> i32 {
    match tried(args, form, out) {
        Ok(ignored) => {
            for key in ignored {
                let key = text::line(&key);
                let _ = writeln!(err, "warning: nothing reads \"{key}\" of an edit");
            }
            DONE
        }
        Err(failed) => {
            // A refusal is one line, whatever its reason holds. Nobody can be told when stderr itself is gone.
            let why = failed.why.replace(['\n', '\r'], " ");
            let _ = writeln!(err, "error: {}", text::line(&why));
            if !failed.hint.is_empty() {
                let _ = writeln!(err, "  hint: {}", failed.hint);
            }
            failed.code
        }
    }
}

/// Why nothing was done.
struct Failed {
    code: i32,
    why: String,
    hint: &'static str,
}

impl Failed {
    fn new(code: i32, why: String, hint: &'static str) -> Self {
        Self { code, why, hint }
    }
}

/// The keys of the edits that were ignored.
fn tried(args: &Args, form: Output, out: &mut (dyn Write + Send)) -> Result<Vec<String>, Failed> {
    let read = |path: &Path, what: &str| {
        std::fs::read(path).map_err(|e| {
            let why = format!("cannot read {what} {}: {e}", path.display());
            Failed::new(ERROR, why, "name a file that you may read")
        })
    };
    let wrong = |why: String| {
        let why = format!("{}: {why}", args.ops.display());
        Failed::new(ERROR, why, "`trueup edit --help` shows an edit")
    };
    let ops = String::from_utf8(read(&args.ops, "the edits")?)
        .map_err(|_| wrong("the edits are not UTF-8 text".to_owned()))?;
    let edits = parse_ops(&ops).map_err(|e| wrong(e.to_string()))?;
    let ignored = ignored_keys(&ops);
    let before = read(&args.file, "the file")?;
    let shown = args.file.display();
    let after = edit_file(&shown.to_string(), &before, &edits).map_err(|e| match e {
        EditError::Refused { reason } => {
            Failed::new(REFUSED, format!("{shown}: refused: {reason}"), "")
        }
        EditError::Unreadable { reason } => Failed::new(
            ERROR,
            format!("{shown}: not readable: {reason}"),
            "it edits YAML and JSON in UTF-8",
        ),
    })?;
    if args.in_place {
        if after != before {
            replace(&args.file, &before, &after)?;
        }
        return Ok(ignored);
    }
    let (name, printed) = if args.diff {
        let diff = unified_diff(&shown.to_string(), Some(&before), Some(&after));
        ("diff", diff.into_bytes())
    } else {
        ("result", after.clone())
    };
    match form {
        Output::Table => {
            let _ = out.write_all(&printed);
        }
        Output::Json => {
            let mut document = json!({
                "apiVersion": trueup_core::API_VERSION,
                "kind": "Edit",
                "file": shown.to_string(),
                "changed": after != before,
            });
            document[name] = Value::from(String::from_utf8_lossy(&printed));
            output::json(out, &document);
        }
    }
    Ok(ignored)
}

/// Replaces the file in one step and keeps its mode. A symbolic link stays: its target is replaced.
fn replace(path: &Path, before: &[u8], after: &[u8]) -> Result<(), Failed> {
    let failed = |what: &str, e: std::io::Error| {
        let path = path.display();
        Failed::new(
            ERROR,
            format!("cannot {what} {path}: {e}; the file is as it was"),
            "`--diff` and no option at all write nothing",
        )
    };
    let target = path.canonicalize().map_err(|e| failed("find", e))?;
    let meta = std::fs::metadata(&target).map_err(|e| failed("read the mode of", e))?;
    if meta.permissions().readonly() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        return Err(failed("write", denied));
    }
    let folder = target.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new()
        .prefix(".trueup-edit-")
        .tempfile_in(folder)
        .map_err(|e| failed("write beside", e))?;
    new.write_all(after).map_err(|e| failed("write", e))?;
    new.as_file()
        .set_permissions(meta.permissions())
        .map_err(|e| failed("set the mode of", e))?;
    new.as_file().sync_all().map_err(|e| failed("write", e))?;
    // Somebody may have written meanwhile: what was checked is what is replaced.
    if std::fs::read(&target).map_err(|e| failed("read again", e))? != before {
        return Err(Failed::new(
            ERROR,
            format!(
                "{} was changed meanwhile; nothing was written",
                path.display()
            ),
            "run it again on what is there now",
        ));
    }
    new.persist(&target)
        .map_err(|e| failed("replace", e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Ran {
        code: i32,
        out: String,
        err: String,
        file: Vec<u8>,
    }

    fn ran(file: &[u8], ops: &str, in_place: bool, diff: bool) -> Ran {
        let dir = tempfile::tempdir().unwrap();
        let args = Args {
            file: dir.path().join("f.yaml"),
            ops: dir.path().join("ops.json"),
            in_place,
            diff,
        };
        std::fs::write(&args.file, file).unwrap();
        std::fs::set_permissions(&args.file, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::fs::write(&args.ops, ops).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&args, Output::Table, &mut out, &mut err);
        let mode = std::fs::metadata(&args.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            2,
            "nothing is left behind"
        );
        Ran {
            code,
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
            file: std::fs::read(&args.file).unwrap(),
        }
    }

    const SET: &str = r#"{"path": ["a"], "op": "set", "value": "on", "note": "ignored"}"#;

    #[test]
    fn the_file_is_printed_compared_or_replaced() {
        let plain = ran(b"a: x # c\n", SET, false, false);
        assert_eq!(
            (plain.code, plain.out.as_str(), plain.file.as_slice()),
            (0, "a: \"on\" # c\n", &b"a: x # c\n"[..])
        );
        let diff = ran(b"a: x # c\n", SET, false, true);
        assert!(
            diff.code == 0 && diff.out.contains("\n-a: x # c\n+a: \"on\" # c\n"),
            "{}",
            diff.out
        );
        let placed = ran(b"a: x # c\n", SET, true, false);
        assert_eq!(
            (placed.code, placed.out.as_str(), placed.file.as_slice()),
            (0, "", &b"a: \"on\" # c\n"[..])
        );
        let same = ran(b"a: 'on'\n", SET, false, true);
        assert_eq!((same.code, same.out.as_str()), (0, ""));
    }

    #[test]
    fn a_printed_path_is_taken_and_a_key_that_nothing_reads_is_told() {
        let op = r#"{"path": ".a", "op": "set", "value": "y", "docs": 1}"#;
        let told = ran(b"a: x\n", op, false, false);
        assert_eq!((told.code, told.out.as_str()), (0, "a: \"y\"\n"));
        assert!(told.err.contains("\"docs\""), "{}", told.err);
        assert_eq!(ran(b"a: x\n", SET, false, false).err, "");
    }

    #[test]
    fn a_program_gets_a_document() {
        let dir = tempfile::tempdir().unwrap();
        let mut args = Args {
            file: dir.path().join("f.yaml"),
            ops: dir.path().join("ops.json"),
            in_place: false,
            diff: false,
        };
        std::fs::write(&args.file, "a: x\n").unwrap();
        std::fs::write(&args.ops, SET).unwrap();
        let mut document = || {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            assert_eq!(run(&args, Output::Json, &mut out, &mut err), 0);
            args.diff = true;
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        let (result, diff) = (document(), document());
        assert_eq!(result["kind"], "Edit");
        assert_eq!(
            (&result["changed"], &result["result"]),
            (&json!(true), &json!("a: \"on\"\n"))
        );
        assert!(diff["diff"].as_str().unwrap().contains("-a: x"), "{diff}");
    }

    #[test]
    fn a_refusal_is_one_line_and_leaves_the_file() {
        for (file, ops, code) in [
            (&b"a: x\na: y\n"[..], SET, 3),
            (b"b: x\n", SET, 3),
            (b"a: [\n", SET, 3),
            (b"a: x\n", r#"{"path": ["a"], "op": "add", "value": 1}"#, 3),
            (b"a: x\n", r#"{"path": ["b"], "op": "delete"}"#, 3),
            (b"a: \xff\n", SET, 2),
            (b"a: x\n", r#"{"path": "a", "op": "set", "value": 1}"#, 2),
            (b"a: x\n", "not json", 2),
        ] {
            let r = ran(file, ops, true, false);
            assert_eq!(r.code, code, "{}", r.err);
            assert!(r.err.starts_with("error: "), "{}", r.err);
            assert_eq!(r.err.lines().count(), if code == 3 { 1 } else { 2 });
            assert_eq!((r.out.as_str(), r.file.as_slice()), ("", file));
        }
    }
}
