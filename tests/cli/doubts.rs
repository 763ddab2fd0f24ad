//! What did not do what it was meant to do: a gate that does not look at the symptom, a write that the server took and dropped.

use super::*;

#[test]
fn a_gate_that_was_green_before_the_cure_is_said() {
    let bench = Bench::new();
    let misspelt = bench.plan("misspelt.yaml", |text| {
        text.replacen("http_requests_total", "http_requsts_total", 1)
    });
    let path = misspelt.display().to_string();
    let read = bench.ends(3, &["run", &path]);
    let said = "gate no-401 was green before anything was changed (0 (no such series, but there is traffic)";
    assert!(read.err.contains(said), "{read:#?}");
    let status = bench.document(1, "Status", &["status"]);
    assert!(status["gatesInDoubt"][0].as_str().unwrap().contains(said));
    let export = bench.ends(0, &["export", "--format", "md"]).out;
    assert!(export.contains("gate no-401 was green before"), "{export}");
}

#[test]
fn a_query_that_cannot_be_read_is_said_before_the_first_write_and_stops_before_the_commit() {
    let bench = Bench::new();
    let broken = bench.plan("broken.yaml", |text| {
        text.replacen("sum(rate(", "sum(rate((", 1)
    });
    let head = bench.lab.git(&["rev-parse", "main"]);
    let path = broken.display().to_string();
    let read = bench.ends(3, &["run", &path]);
    assert!(
        read.err.contains("gate no-401 cannot be asked: "),
        "{read:#?}"
    );
    let ended = bench.walk(4, &broken, &["--write", "all", "--attest", SEEN]);
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.contains("gate no-401 cannot be asked: "), "{ended}");
    assert_eq!(bench.lab.git(&["rev-parse", "main"]), head);
    // A live action on what is frozen now, in a field that no Deployment has: the server takes it and drops it.
    let act = [
        "act",
        "patch",
        "profile-service",
        "Deployment/profile-service",
        ".spec.replica",
        "3",
        "--new-field",
        "--incident",
        "INC-441",
        "--write",
        "cluster",
        "--reason",
        "load",
    ];
    let dropped = bench.ends(3, &act);
    assert!(
        dropped
            .err
            .contains("the server dropped it: a Deployment has no .spec.replica"),
        "{dropped:#?}"
    );
    let status = bench.document(1, "Status", &["status"]);
    assert!(
        !status["owed"].to_string().contains("live action"),
        "{status}"
    );
}

#[test]
fn a_live_action_that_was_taken_back_by_hand_owes_nothing() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let on = [
        "profile-service",
        "--incident",
        "INC-7",
        "--write",
        "cluster",
    ];
    bench.ends(0, &[&["freeze"][..], &on].concat());
    let scale = [
        "act",
        "scale",
        "profile-service",
        "Deployment/profile-service",
        "4",
    ];
    let armed = [
        "--incident",
        "INC-7",
        "--write",
        "cluster",
        "--reason",
        "load",
    ];
    bench.ends(0, &[&scale[..], &armed].concat());
    let owed = || bench.document(1, "Status", &["status", "INC-7"])["owed"].to_string();
    assert!(owed().contains("set by a live action"), "{}", owed());
    bench.kubectl(&[
        "patch",
        "deployment",
        "profile-service",
        "-n",
        "profile",
        "--type",
        "json",
        "-p",
        r#"[{"op": "replace", "path": "/spec/replicas", "value": 3}]"#,
    ]);
    let by_hand = |wanted: bool| {
        crate::support::until("what is owed is looked up anew", || {
            owed().contains("set by a live action") == wanted
        });
    };
    by_hand(false);
    let undo = [
        "act",
        "undo",
        "profile-service",
        "Deployment/profile-service",
    ];
    let nothing = bench.ends(3, &[&undo[..], &armed[..4]].concat());
    assert!(
        nothing.err.contains("as it was before the live action"),
        "{nothing:?}"
    );
    bench.ends(0, &[&["thaw"][..], &on].concat());
    bench.ends(0, &["close", "INC-7"]);
}

#[test]
fn nothing_is_pushed_that_no_gate_can_judge() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let head = bench.lab.git(&["rev-parse", "main"]);
    let plan = bench.lab.text("plan");
    let mut known = bench.lab.options();
    let at = known
        .iter()
        .position(|word| word == "--prometheus")
        .unwrap();
    known.drain(at..at + 2);
    let asks = |prometheus: &[&str], arguments: &[&str]| {
        let mut command = command(&trueup(), bench.home.path());
        command.args(&known).args(prometheus).arg("--state-dir");
        command.arg(&bench.state).arg("run").arg(&plan);
        run({
            command.args(arguments);
            command
        })
    };
    let unknown = "gate no-401 cannot be asked: no Prometheus is known: pass --prometheus URL";
    let read = asks(&[], &[]);
    assert_eq!(read.code, Some(3), "{read:#?}");
    assert!(
        read.err.contains(&format!("warning: {unknown}")),
        "{read:#?}"
    );
    let armed = asks(&[], &["--write", "all", "--attest", SEEN]);
    assert_eq!(armed.code, Some(4), "{armed:#?}");
    assert!(
        armed
            .err
            .contains(&format!("stopped in stage commit (rule 10): {unknown}")),
        "{armed:#?}"
    );
    // Named, and nobody answers there: what one process found out is not what the next one goes by.
    let silent = asks(
        &["--prometheus", "http://127.0.0.1:9"],
        &["--write", "all", "--attest", SEEN],
    );
    assert_eq!(silent.code, Some(4), "{silent:#?}");
    let silent = silent.err;
    assert!(
        silent.contains("cannot be asked: http://127.0.0.1:9 gave no answer")
            && !silent.contains(unknown),
        "{silent}"
    );
    let hint = "the same command goes on once it can be asked";
    assert!(
        silent.contains(hint) && silent.contains("--replan"),
        "{silent}"
    );
    assert_eq!(bench.lab.git(&["rev-parse", "main"]), head);
    bench.walk(0, &bench.own_plan(), &["--write", "all", "--attest", SEEN]);
    bench.assert_recovered();
    let export = bench.ends(0, &["export", "INC-441"]).out;
    assert!(!export.contains("cannot be asked"), "{export}");
}
