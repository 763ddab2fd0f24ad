//! What becomes of a result that cannot be written.

use std::{io::Read, process::Stdio};

use super::*;

const NO_ROOM: &str = "cannot print the result: No space left on device";

/// Runs it with stdout going there.
fn into(bench: &Bench, out: Stdio, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = bench.command(arguments);
    let mut child = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let err = child.stderr.take();
    err.unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn what_could_not_be_printed_is_no_success() {
    let bench = Bench::new();
    let freeze = ["freeze", "auth-service", "--incident", "A-1", "--no-wait"];
    bench.ends(0, &[&freeze[..], &["--write", "cluster"]].concat());
    let json = |command: &[&'static str]| [command, &["-o", "json"]].concat();
    let commands: [&[&'static str]; 14] = [
        &["export", "--format", "json"],
        &["export"],
        &["export", "--format", "html"],
        &["plan", "schema"],
        &["plan", "export"],
        &["doctor"],
        &["drift"],
        &["status"],
        &["status", "--line"],
        &["incidents"],
        &["watchdog", "--older-than", "4h"],
        &["completion", "bash"],
        &["man"],
        &["--help"],
    ];
    for command in commands {
        let full = fs::File::create("/dev/full").unwrap();
        let (code, said) = into(&bench, full.into(), command);
        assert_eq!(code, Some(2), "{command:?}: {said}");
        assert!(said.contains(NO_ROOM), "{command:?}: {said}");
    }
    for command in [json(&["status"]), json(&["close"]), json(&["drift"])] {
        let full = fs::File::create("/dev/full").unwrap();
        let (code, said) = into(&bench, full.into(), &command);
        assert!(code >= Some(2), "{command:?}: {said}");
        assert!(said.contains(NO_ROOM), "{command:?}: {said}");
    }
    // Whoever reads only the beginning has what they wanted.
    for command in [&["plan", "schema"][..], &["man"], &["completion", "bash"]] {
        let (gone, closed) = std::io::pipe().unwrap();
        drop(gone);
        let (code, said) = into(&bench, closed.into(), command);
        assert_eq!((code, said.as_str()), (Some(0), ""), "{command:?}");
    }
}
