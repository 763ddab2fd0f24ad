//! Who may know whom: reads the paths that the sources name and fails on an edge that `docs/architecture.md` does not allow.
//!
//! The compiler keeps the packages apart; this keeps the rooms of `trueup` apart, and the core free of the world.
#![allow(
    clippy::unwrap_used,
    reason = "a source that cannot be read fails the test"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A room of `src/trueup/src`, and what it may name of the others: a room, or a part of one.
const ROOMS: &[(&str, &[&str])] = &[
    ("ports", &[]),
    ("adapters", &["ports"]),
    ("journal", &[]),
    // Closing an incident writes its transcript.
    ("engine", &["journal", "ports", "export"]),
    ("export", &["journal", "engine::Trouble"]),
    ("settings", &["ports"]),
    ("wiring", &["adapters", "engine", "ports", "settings"]),
    (
        "app",
        &[
            "adapters", "engine", "journal", "ports", "settings", "wiring",
        ],
    ),
    ("tui", &["engine::handle"]),
    (
        "cli",
        &[
            "app",
            "engine",
            "export",
            "journal",
            "ports",
            "settings",
            "tui",
            "wiring",
            // What a command needs that has no incident and so no engine: a key for digests, and `doctor`.
            "adapters::clock",
            "adapters::git::without_credentials",
            "adapters::probes",
        ],
    ),
    ("lib", &["cli", "journal"]),
    ("main", &["journal"]),
];

/// Crates, and parts of them, that only some rooms may name.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("kube", &["adapters"]),
    ("k8s_openapi", &["adapters"]),
    ("git2", &["adapters"]),
    ("reqwest", &["adapters"]),
    ("rustls", &["adapters", "lib"]),
    ("hyper_util", &["adapters"]),
    ("ratatui", &["tui"]),
    ("crossterm", &["tui"]),
    ("tui_textarea", &["tui"]),
    ("clap", &["cli", "settings"]),
    ("trueup_lab", &["cli"]),
    // Whoever starts a program: adapters, the lab as a process of its own, `doctor`, the operator's editor.
    ("std::process::Command", &["adapters", "cli"]),
    ("tokio::process", &["adapters", "cli", "tui"]),
];

/// What the core must not name: it has no clock, no files, no threads, no network, no terminal.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "async_trait",
    "futures",
    "kube",
    "k8s_openapi",
    "git2",
    "ratatui",
    "crossterm",
    "reqwest",
    "hyper",
    "getrandom",
    "rand",
    "tempfile",
    "trueup",
    "trueup_lab",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "std::io",
    "std::time::SystemTime",
    "std::time::Instant",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.is_dir() {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|e| e == "rs")
            && entry.file_name().is_some_and(|n| n != "tests.rs")
        {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// The code of a file without comments, strings, and the tests at its end.
fn code(text: &str) -> String {
    let text = text
        .split("\n#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default();
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            rest[open..]
                .find(&end)
                .map_or(rest.len(), |at| open + at + end.len())
        } else if c == '"' {
            string_end(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.push(' ');
        rest = &rest[skip..];
    }
    out
}

/// How many `#` a raw string opens with, if one begins here.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Every path that the code names, groups in braces opened: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = code;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let starts = (c.is_alphabetic() || c == '_')
            && !(before.is_alphanumeric()
                || before == '_'
                || before == ':'
                || before == '$'
                || before == '.');
        if starts {
            let used = path_at(rest, "", &mut found);
            before = rest[..used].chars().last().unwrap_or(' ');
            rest = &rest[used..];
        } else {
            before = c;
            rest = &rest[c.len_utf8()..];
        }
    }
    found
}

/// Reads one path with its groups; answers how much of the text it took.
fn path_at(text: &str, prefix: &str, found: &mut BTreeSet<String>) -> usize {
    let mut path = prefix.to_owned();
    let mut at = 0;
    loop {
        let word = text[at..].len()
            - text[at..]
                .trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
                .len();
        if word > 0 {
            if !path.is_empty() {
                path.push_str("::");
            }
            path.push_str(&text[at..at + word]);
            at += word;
            if text[at..].starts_with("::") {
                at += 2;
                continue;
            }
        } else if text[at..].starts_with('{') && !path.is_empty() {
            at += 1;
            loop {
                at += text[at..].len()
                    - text[at..]
                        .trim_start_matches([' ', '\n', '\t', ',', '*'])
                        .len();
                if text[at..].starts_with('}') || at >= text.len() {
                    return at + 1;
                }
                let used = path_at(&text[at..], &path, found);
                if used == 0 {
                    return at;
                }
                at += used;
            }
        }
        if path.contains("::") {
            found.insert(path);
        }
        return at;
    }
}

/// Whether a path is the part named, or below it.
fn is_below(path: &str, part: &str) -> bool {
    path == part
        || path
            .strip_prefix(part)
            .is_some_and(|rest| rest.starts_with("::"))
}

/// The modules from the package's root down to a file.
fn module(base: &Path, file: &Path) -> Vec<String> {
    let relative = file.strip_prefix(base).unwrap().with_extension("");
    let mut parts: Vec<String> = relative
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// A path from the package's root, if it is one of this package: `crate::…`, or enough `super::`.
fn from_root(path: &str, depth: usize) -> Option<&str> {
    if let Some(rest) = path.strip_prefix("crate::") {
        return Some(rest);
    }
    let mut rest = path;
    let mut up = 0;
    while let Some(next) = rest.strip_prefix("super::") {
        (rest, up) = (next, up + 1);
    }
    (up > 0 && up == depth).then_some(rest)
}

#[test]
fn rooms_know_only_whom_they_may() {
    let base = root().join("src/trueup/src");
    let mut wrong = Vec::new();
    for file in sources(&base) {
        let module = module(&base, &file);
        let room = module[0].as_str();
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!(
                "{room} is a room that docs/architecture.md and this test do not know"
            ));
            continue;
        };
        for path in paths(&code(&fs::read_to_string(&file).unwrap())) {
            if let Some(inside) = from_root(&path, module.len()) {
                let to = inside.split("::").next().unwrap_or_default();
                let known = ROOMS.iter().any(|(name, _)| *name == to);
                if known && to != room && !allowed.iter().any(|part| is_below(inside, part)) {
                    wrong.push(format!("{}: {room} must not know {inside}", file.display()));
                }
            }
            for (part, rooms) in OUTSIDE {
                if is_below(&path, part) && !rooms.contains(&room) {
                    wrong.push(format!(
                        "{}: {part} is for {} only, not for {room}",
                        file.display(),
                        rooms.join(", ")
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_knows_nothing_of_the_world() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("src/core/src")) {
        for path in paths(&code(&fs::read_to_string(&file).unwrap())) {
            if let Some(part) = NOT_IN_CORE.iter().find(|part| is_below(&path, part)) {
                wrong.push(format!(
                    "{}: the core is pure and must not name {part} ({path})",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_lab_shares_nothing_with_the_program() {
    let manifest = fs::read_to_string(root().join("src/lab/Cargo.toml")).unwrap();
    assert!(
        !manifest.contains("trueup-core"),
        "a double that uses our own diff or merge would agree with our mistakes"
    );
    for file in sources(&root().join("src/lab")) {
        for path in paths(&code(&fs::read_to_string(&file).unwrap())) {
            assert!(
                !is_below(&path, "trueup_core") && !is_below(&path, "trueup"),
                "{}: {path}",
                file.display()
            );
        }
    }
}

#[test]
fn the_reader_of_paths_sees_groups_and_not_words_in_strings() {
    let text = code(
        "use crate::{a::{B, c::D}, e::*};\n// crate::comment\nlet s = \"crate::string \\\" crate::x\"; let q = '\"'; f::g(r#\"h::i\"#);\n#[cfg(test)]\nmod tests { use crate::cut; }",
    );
    let seen: Vec<String> = paths(&text).into_iter().collect();
    assert_eq!(seen, ["crate::a::B", "crate::a::c::D", "crate::e", "f::g"]);
}
