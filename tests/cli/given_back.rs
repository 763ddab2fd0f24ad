//! A thaw was made, and its watching did not come to an end: auto-sync is on, and nobody says anything else.

use super::handover::{automated, synced};
use super::refused::held_at;
use super::*;
use crate::support::example;

const PROFILE: &str = "profile-service";
const WRITE: [&str; 4] = ["--incident", "T1", "--write", "cluster"];

/// One that was synced by auto-sync, frozen.
fn frozen() -> Bench {
    let bench = Bench::new();
    automated(&bench, PROFILE, &json!({"prune": true, "selfHeal": true}));
    synced(&bench, PROFILE);
    freeze(&bench);
    bench
}

fn freeze(bench: &Bench) {
    bench.ends(0, &[&["freeze", PROFILE][..], &WRITE].concat());
}

fn thaw(bench: &Bench, code: i32) -> Ran {
    bench.ends(code, &[&["thaw", PROFILE][..], &WRITE].concat())
}

/// Auto-sync, and whether our note is there.
fn stands(bench: &Bench) -> (bool, bool) {
    let app = bench.application(PROFILE);
    let automated = &app["spec"]["syncPolicy"]["automated"];
    let on = automated.is_object() && automated["enabled"] != false;
    let note = &app["metadata"]["annotations"]["trueup.dev/frozen"];
    (on, note.is_string())
}

/// The end of the process comes right after the policy was written.
fn killed_after_the_write(bench: &Bench) {
    let file = |name: &str| bench.home.path().join(name);
    fs::write(
        file("die"),
        "after-fsync ended intended thaw argocd/profile-service\n",
    )
    .unwrap();
    let mut command = command(&example("crashing"), bench.home.path());
    command.args(bench.lab.options()).arg("--state-dir");
    command
        .arg(&bench.state)
        .args(["thaw", PROFILE])
        .args(WRITE);
    command.env("CRASH_AT", file("die"));
    let ran = run(command);
    assert!(ran.killed(), "{ran:?}");
    assert_eq!(stands(bench), (true, false));
}

#[test]
fn a_freeze_after_a_thaw_that_was_cut_short_writes_again() {
    if !have("kubectl") {
        return;
    }
    let bench = frozen();
    killed_after_the_write(&bench);
    let sheet = bench.ends(3, &["freeze", PROFILE, "--incident", "T1"]);
    assert!(
        !sheet.err.contains("frozen by this incident already"),
        "{sheet:?}"
    );
    let status = bench.document(1, "Status", &["status", "T1"]);
    assert_eq!(status["frozen"], json!([]), "{status}");
    freeze(&bench);
    assert_eq!(stands(&bench), (false, true));
    let status = bench.document(1, "Status", &["status", "T1"]);
    assert_eq!(status["frozen"][0]["state"], "proven", "{status}");
    thaw(&bench, 0);
    bench.ends(0, &["close", "T1"]);
    // What somebody makes of it afterwards is seen by whoever asks.
    automated(&bench, PROFILE, &json!({"selfHeal": false}));
    let status = bench.ends(0, &["status", "T1"]).out;
    assert!(status.contains("not as targeted any more"), "{status}");
    // Taken off altogether: not before it was given back, whatever older traces say.
    automated(&bench, PROFILE, &Value::Null);
    let told = |longer: &str| {
        let told = bench.document(1, "WatchdogReport", &["watchdog", "--older-than", longer]);
        let mut apps = told["applications"].as_array().unwrap().clone();
        apps.retain(|app| app["name"] == PROFILE);
        apps
    };
    assert_eq!(told("1h"), [Value::Null; 0]);
    let auto = &told("1ms")[0]["autoSync"];
    assert!(
        auto["evidence"].to_string().contains("the thaw of T1"),
        "{auto}"
    );
}

#[test]
fn a_thaw_that_was_cut_short_is_watched_by_the_next_and_not_made_again() {
    if !have("kubectl") {
        return;
    }
    let bench = frozen();
    killed_after_the_write(&bench);
    let refused = bench.ends(3, &["close", "T1"]);
    assert!(
        refused.err.contains("not watched to the end"),
        "{refused:?}"
    );
    let shown = bench.ends(3, &["thaw", PROFILE, "--incident", "T1"]);
    assert!(
        shown.err.contains("auto-sync was given back to"),
        "{shown:?}"
    );
    thaw(&bench, 0);
    let thaws = bench.lab.effects();
    let thaws: usize = thaws
        .iter()
        .filter(|(what, _)| what.starts_with("thaw"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(thaws, 1);
    bench.ends(0, &["close", "T1"]);
}

/// Somebody changes the policy while the thaw is watched: neither proven nor lost, and the way out is the freeze.
#[test]
fn what_did_not_stay_as_thawed_is_frozen_again_and_nothing_else() {
    if !have("kubectl") {
        return;
    }
    let bench = frozen();
    let place = "after-fsync ended intended thaw argocd/profile-service";
    let arguments = [&["thaw", PROFILE][..], &WRITE].concat();
    let ran = held_at(&bench, place, &arguments, || {
        automated(&bench, PROFILE, &json!({"selfHeal": false}));
    });
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let way = "`trueup freeze argocd/profile-service --incident T1 --write cluster`";
    assert!(ran.err.contains(way), "{ran:?}");
    let said = bench.ends(1, &["status", "T1"]).out;
    assert!(said.contains("thawed, and did not stay so"), "{said}");
    let status = bench.document(1, "Status", &["status", "T1"]);
    assert_eq!(status["frozen"], json!([]), "{status}");
    // There is nothing to thaw; and asking for it does not make it a freeze that somebody took.
    let refused = thaw(&bench, 3);
    assert!(
        refused.err.contains("did not stay as thawed"),
        "{refused:?}"
    );
    let closed = bench.ends(3, &["close", "T1"]);
    assert!(
        closed.err.contains("trueup freeze") && !closed.err.contains("trueup thaw"),
        "{closed:?}"
    );
    assert_eq!(stands(&bench), (true, false));
    freeze(&bench);
    assert_eq!(stands(&bench), (false, true));
    let transcript = bench.ends(0, &["export", "T1"]).out;
    assert!(!transcript.contains("LOST"), "{transcript}");
}

/// The connection goes after the policy was written: that auto-sync is on stands in the error.
#[test]
fn a_thaw_that_loses_the_cluster_says_that_auto_sync_is_on() {
    if !have("kubectl") {
        return;
    }
    let bench = frozen();
    let place = "after-fsync ended intended thaw argocd/profile-service";
    let arguments = [&["thaw", PROFILE][..], &WRITE].concat();
    let ran = held_at(&bench, place, &arguments, || bench.lab.hush(true));
    bench.lab.hush(false);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err
            .contains("auto-sync was given back to argocd/profile-service"),
        "{ran:?}"
    );
    thaw(&bench, 0);
    bench.ends(0, &["close", "T1"]);
}
