//! What was found live and is overwritten before anybody decided on it.

use super::*;

/// Argo CD syncs auth between the first look and the freeze: the rotated key stands nowhere then, and no plan means another one.
#[test]
fn a_live_value_that_is_lost_before_the_freeze_is_said_asked_and_can_be_chosen() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let expectation = "  expect: {\".data.JWT_ALGORITHM\": RS256, \".data.JWT_PUBLIC_KEY_ID\": key-2024-11-rot}\n";
    let plan = bench.plan("live.yaml", |text| {
        assert!(text.contains(expectation));
        text.replace(expectation, "")
    });
    let all = ["--write", "all"];
    let pushes = bench.lab.pushes();
    bench.walk(3, &plan, &[]);
    let on = r#"{"spec": {"syncPolicy": {"automated": {"enabled": true, "selfHeal": true}}}}"#;
    bench.kubectl(&[
        "-n",
        "argocd",
        "patch",
        "application",
        "auth-service",
        "--type",
        "merge",
        "-p",
        on,
    ]);
    let begun = Instant::now();
    let data = || bench.get(&["configmap", "auth-config", "-n", "auth"])["data"].clone();
    while data()["JWT_ALGORITHM"] != "HS256" {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", data());
    }
    let gone = "live went from key-2024-11-rot, as found at ";
    let nowhere = ", to key-2024-09; key-2024-11-rot stands nowhere now, and nobody decided on it";
    let copy = "to HS256; that is still live in like-service, and nobody decided on it";
    for arguments in [&[][..], &all] {
        let refused = bench.walk(3, &plan, arguments);
        let reason = refused["reason"].as_str().unwrap();
        assert!(
            reason.contains("the plan takes what is live in auth-service") && reason.contains(copy)
                || arguments.is_empty(),
            "{reason}"
        );
    }
    assert_eq!(bench.lab.pushes(), pushes);
    let note = "/metadata/annotations/trueup.dev~1frozen";
    assert_eq!(bench.application("auth-service").pointer(note), None);
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(
        (&status["undecided"], &status["undecidedCells"]),
        (&json!(2), &json!(6)),
        "{status}"
    );
    let lost = &status["lost"][1];
    assert_eq!(
        (&lost["found"], &lost["live"], &lost["who"]),
        (
            &json!("key-2024-11-rot"),
            &json!("key-2024-09"),
            &json!("a sync, begun by auto-sync")
        ),
        "{status}"
    );
    let said = bench.ends(1, &["status"]).out;
    assert!(said.contains(gone) && said.contains(nowhere), "{said}");
    let journal = bench.ends(0, &["export", "INC-441"]).out;
    assert!(
        journal.contains(gone) && journal.contains(nowhere),
        "{journal}"
    );
    // Named, it is decided; what it undoes is said.
    let named = bench.plan("named.yaml", |text| {
        let value = |field: &str, take: &str| {
            format!(
                "- on: {{kind: ConfigMap, name: auth-config, namespace: \"*\"}}\n  fields: [{field}]\n  take: {take}\n  reason: as it was found\n"
            )
        };
        let (before, after) = text.split_once("- on:").unwrap();
        let after = &after[after.find("commit:").unwrap()..];
        // As an exported plan has it that took it from the snapshot.
        let kept = "{snapshot: {namespace: auth, at: 2026-11-21T14:43:17Z, value: key-2024-11-rot}}";
        let decisions = value(".data.JWT_ALGORITHM", "{value: RS256}")
            + &value(".data.JWT_PUBLIC_KEY_ID", kept);
        format!("{before}{decisions}{after}").replace(", expect: no-change", "")
    });
    let replan = ["--replan", "the value itself", "--attest", SEEN];
    let ran = bench.ends(
        0,
        &[&["run", &named.display().to_string()], &all[..], &replan].concat(),
    );
    let told = ran.out + &ran.err;
    assert!(
        told.contains("undoes what a sync, begun by auto-sync did"),
        "{told}"
    );
    bench.assert_recovered();
    let transcript = bench.ends(0, &["export", "INC-441"]).out;
    assert!(
        transcript.contains("the snapshot of 2026-11-21 14:43:17 UTC of auth"),
        "{transcript}"
    );
}

/// Only like still runs with RS256: whoever takes it away by a live action reads that it is gone then, and is asked all the same.
#[test]
fn a_live_action_that_takes_the_last_copy_away_says_so_and_answers_no_question() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let armed =
        |what: &[&'static str]| [what, &["--incident", "L-1", "--write", "cluster"][..]].concat();
    bench.ends(0, &armed(&["freeze", "like-service"]));
    let act = |what: &[&'static str]| {
        let act = ["act", what[0], "like-service", "ConfigMap/auth-config"];
        let ran = bench.ends(0, &armed(&[&act, &what[1..]].concat()));
        ran.err + &ran.out
    };
    let undecided = || bench.document(1, "Status", &["status", "L-1"])["undecided"].clone();
    let to_reach = "it has to reach Git before the incident closes";
    assert_eq!(undecided(), 1);
    let said = act(&["patch", ".data.JWT_ALGORITHM", "HS256"]);
    for line in [
        "RS256 stands nowhere in Git and will be gone",
        "it sets what Git has: nothing of it has to reach Git",
        "the field is not decided, and stays a question",
        "nothing of it is owed to Git",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains(to_reach), "{said}");
    assert_eq!(undecided(), 1);
    let status = bench.ends(1, &["status", "L-1"]).out;
    assert!(
        status.contains("live went from RS256, as found at "),
        "{status}"
    );
    // Putting it back is no debt either, and another value is one.
    let said = act(&["undo"]);
    assert!(
        said.contains("it puts back what stood there before the live action")
            && !said.contains(to_reach)
            && !said.contains("will be gone"),
        "{said}"
    );
    assert_eq!(undecided(), 1);
    let said = act(&["patch", ".data.JWT_ALGORITHM", "ES256"]);
    assert!(
        said.contains(to_reach) && said.contains("RS256 stands nowhere"),
        "{said}"
    );
    assert_eq!(undecided(), 0);
}

/// A colleague switches auto-sync on after the first snapshot, and off again, before anything is frozen: each is told of, once.
#[test]
fn a_policy_that_somebody_changed_before_the_freeze_is_told_of() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    bench.walk(3, &plan, &[]);
    let found = bench.application("profile-service")["spec"]["syncPolicy"].clone();
    assert_eq!(found, Value::Null);
    let on = json!({"automated": {"enabled": false, "selfHeal": true}});
    for policy in [on, Value::Null] {
        let application = ["application", "profile-service", "-n", "argocd"];
        bench.patches(&application, &json!({"spec": {"syncPolicy": policy}}));
        for _ in 0..2 {
            bench.walk(3, &plan, &[]);
        }
    }
    let journal = bench.ends(0, &["export", "INC-441"]).out;
    let (_, told) = journal
        .split_once("## Adopted: done by others meanwhile")
        .unwrap_or_else(|| panic!("{journal}"));
    let told = told.split("\n## ").next().unwrap_or_default();
    let lines: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("before it was frozen: syncPolicy went from"))
        .collect();
    let [first, second] = lines.as_slice() else {
        panic!("{told}");
    };
    assert!(
        first.contains("profile-service")
            && first.contains("from none to")
            && first.contains("kubectl-patch at "),
        "{first}"
    );
    assert!(
        second.contains("to none") && !second.contains("kubectl"),
        "{second}"
    );
}
