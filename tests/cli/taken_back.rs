//! What the walk brought about and somebody takes back: in Git, in the cluster, as a rule. It is asked again, and nothing does it
//! once more by itself.

use super::*;

/// A colleague takes back on the tracked branch what was pushed: no plan undoes that by itself.
#[test]
fn what_was_pushed_and_taken_back_is_asked_again() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    let on = ["--write", "all", "--attest", SEEN];
    bench.walk(4, &plan, &["--write", "all"]);
    let clone = bench.somebody("reverts");
    bench.git(&clone, &["revert", "--no-edit", "HEAD"]);
    bench.git(&clone, &["push", "-q", "origin", "main"]);
    let head = bench.lab.git(&["rev-parse", "main"]);
    let head = head.trim();
    // What was synced is not told as it was before somebody took it back.
    let armed = ["--write", "cluster"];
    let sync = ["sync", "like-service"];
    let refused = bench.document(3, "Error", &[&sync[..], &armed[..]].concat());
    let said = refused["errors"][0]["why"].as_str().unwrap_or_default();
    let said = [said, &refused.to_string()].concat();
    for part in [
        "was synced to ",
        "not all of it is so any more",
        "auth-config",
    ] {
        assert!(said.contains(part), "{part}: {refused}");
    }
    let unarmed = bench.ends(3, &sync);
    assert!(
        unarmed
            .err
            .contains("armed, it would end here: argocd/like-service was synced to")
    );
    for _ in 0..2 {
        let open = bench.walk(4, &plan, &on);
        let reason = open["reason"].as_str().unwrap();
        assert_eq!(open["stage"], "decide", "{open}");
        assert!(
            reason.contains("ann <ann@example.org> with ")
                && reason.contains(&head[..7])
                && reason.contains("Revert"),
            "{reason}"
        );
        assert_eq!(bench.lab.git(&["rev-parse", "main"]).trim(), head);
    }
    assert!(bench.document(1, "Status", &["status"])["undecided"].as_u64() > Some(0));
    let told = bench.ends(1, &["status"]).out;
    assert!(told.contains("ann <ann@example.org>"), "{told}");
    let transcript = bench.ends(0, &["export", "INC-441"]).out;
    assert!(transcript.contains("ann <ann@example.org>"), "{transcript}");
    // All that tell what is owed tell the same.
    let status = bench.document(1, "Status", &["status"]);
    let owed = status["owed"].as_array().unwrap();
    let exported = bench
        .ends(0, &["export", "INC-441", "--format", "json"])
        .out;
    let exported: Value = serde_json::from_str(&exported).unwrap();
    let what = |owed: &Value| {
        let mut what: Vec<String> = (owed.as_array().unwrap().iter())
            .map(|owed| owed["what"].as_str().unwrap().to_owned())
            .collect();
        what.sort();
        what
    };
    assert_eq!(what(&exported["owed"]), what(&status["owed"]), "{exported}");
    let listed = bench.document(0, "IncidentList", &["incidents"]);
    assert_eq!(listed["incidents"][0]["owed"], owed.len());
    // Who says so has the same once more.
    let mut again = vec!["--replan", "agreed with ann: the hotfix stays"];
    again.extend(on);
    let plan = plan.display().to_string();
    let ran = bench.ends(0, &[&["run", &plan], &again[..]].concat());
    bench.assert_recovered();
    // Whose work that undid is said before the push, and stays in the transcript.
    let said = "undoes what ann <ann@example.org> did with ";
    let undoes = format!("! {said}{}", &head[..7]);
    let told = ran.out + &ran.err;
    assert!(
        told.contains(&undoes) && told.contains("Git went from RS256 to HS256"),
        "{told}"
    );
    let transcript = bench.ends(0, &["export", "INC-441"]).out;
    assert!(transcript.contains("undoes what ann"), "{transcript}");
    by_hand_elsewhere(&bench, head);
}

/// The commands by hand of a recovery end the same way on a fresh copy of its world, where nobody takes anything back.
fn by_hand_elsewhere(bench: &Bench, theirs: &str) {
    let exported = bench
        .ends(0, &["export", "INC-441", "--format", "json"])
        .out;
    let exported: Value = serde_json::from_str(&exported).unwrap();
    let fresh = Bench::new();
    let [old, new] = [&bench.lab, &fresh.lab].map(|lab| lab.url().trim_start_matches("file://"));
    let text = exported["byHand"].as_str().unwrap().replace(old, new);
    assert!(text.contains(&format!(
        "# Pushed to main by others before this: {theirs} “Revert"
    )));
    let script = fresh.write("by-hand.sh", &text);
    let mut sh = command(Path::new("sh"), fresh.home.path());
    sh.arg(&script).current_dir(fresh.home.path());
    sh.env("KUBECONFIG", fresh.lab.text("kubeconfig"));
    sh.env("GATES", "unasked");
    let ran = run(sh);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let there = "main has all of it already: nothing to commit";
    assert!(ran.out.contains(there), "{}", ran.out);
    let end = bench.end_state();
    let end_by = Instant::now() + Duration::from_secs(20);
    while fresh.end_state() != end && Instant::now() < end_by {
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(fresh.end_state(), end);
}

/// A colleague takes back in the cluster what a sync of ours brought: what stood when it was decided stands again, and it is asked
/// all the same.
#[test]
fn what_was_synced_and_taken_back_is_asked_again() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    let on = ["--write", "all", "--attest", SEEN];
    bench.walk(4, &plan, &["--write", "all"]);
    let algorithm =
        || bench.get(&["configmap", "auth-config", "-n", "like"])["data"]["JWT_ALGORITHM"].clone();
    assert_eq!(algorithm(), "RS256");
    let patch = r#"{"data": {"JWT_ALGORITHM": "HS256"}}"#;
    bench.kubectl(&[
        "patch",
        "configmap",
        "auth-config",
        "-n",
        "like",
        "--type",
        "merge",
        "-p",
        patch,
    ]);
    let synced = bench.application("like-service")["status"]["operationState"]["startedAt"].clone();
    // The first that notices it is not the one that it was said of.
    let replan = [&["--replan", "agreed: the hotfix stays"][..], &on[..]].concat();
    let early = bench.walk(4, &plan, &replan);
    let reason = early["reason"].as_str().unwrap();
    assert!(
        reason.contains("noticed only now, after --replan was said"),
        "{early}"
    );
    for _ in 0..2 {
        let open = bench.walk(4, &plan, &on);
        assert_eq!(open["stage"], "decide", "{open}");
        let reason = open["reason"].as_str().unwrap();
        assert!(
            reason.contains("Git RS256, live HS256 now; by kubectl-patch"),
            "{reason}"
        );
        assert_eq!(algorithm(), "HS256");
    }
    let state = &bench.application("like-service")["status"]["operationState"];
    assert_eq!(state["startedAt"], synced, "nothing was synced again");
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(status["undecided"], 1);
    // What the line says of a gate stands in the list of those that are not green.
    let waits = status["line"].as_str().unwrap();
    assert!(waits.contains("gate traces waits for somebody"), "{waits}");
    let red = status["gatesNotGreen"].as_array().unwrap();
    assert!(
        red.len() == 1 && red[0].as_str().unwrap().contains("traces"),
        "{status}"
    );
    let line = bench.ends(1, &["status", "--line"]).out;
    let whole = bench.ends(1, &["status"]).out;
    assert_eq!(line.trim(), whole.lines().next().unwrap());
    assert!(line.contains("1 open"), "{line}");
    let mut again = vec!["--replan", "agreed: the hotfix stays"];
    again.extend(on);
    bench.walk(0, &plan, &again);
    bench.assert_recovered();
}

/// A colleague takes it back in the cluster and puts it there again; another one takes it back in Git: status names what moved,
/// and not what an earlier look saw.
#[test]
fn status_says_which_side_moved_and_by_whom() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    let on = ["--write", "all", "--attest", SEEN];
    bench.walk(4, &plan, &["--write", "all"]);
    let set = |value: &str| {
        let patch = format!(r#"{{"data": {{"JWT_ALGORITHM": "{value}"}}}}"#);
        let object = ["patch", "configmap", "auth-config", "-n", "profile"];
        bench.kubectl(&[&object[..], &["--type", "merge", "-p", &patch]].concat());
    };
    let open = || bench.document(1, "Status", &["status"])["openAgain"].clone();
    set("HS256");
    bench.walk(4, &plan, &on);
    let of = |open: &Value, key: &str| open[0][key].as_str().unwrap().to_owned();
    let seen = open();
    assert!(
        of(&seen, "what").ends_with("live went from RS256 to HS256"),
        "{seen}"
    );
    assert!(of(&seen, "who").contains("kubectl-patch"), "{seen}");
    set("RS256");
    assert_eq!(open(), json!([]));
    let clone = bench.somebody("reverts");
    bench.git(&clone, &["revert", "--no-edit", "HEAD"]);
    bench.git(&clone, &["push", "-q", "origin", "main"]);
    let profile = |open: &Value| {
        let cells = open.as_array().unwrap().clone();
        let of = |cell: &&Value| {
            cell["application"] == "argocd/profile-service"
                && cell["field"] == ".data.JWT_ALGORITHM"
        };
        json!([cells.iter().find(of).unwrap_or_else(|| panic!("{open}"))])
    };
    let seen = profile(&open());
    assert!(
        of(&seen, "what").ends_with(": Git went from RS256 to HS256"),
        "{seen}"
    );
    assert!(
        of(&seen, "who").starts_with("ann <ann@example.org> with "),
        "{seen}"
    );
    // What comes on top of it is said with it, before any run has adopted either.
    set("HS256");
    let seen = profile(&open());
    let both = "Git went from RS256 to HS256, live went from RS256 to HS256";
    assert!(of(&seen, "what").ends_with(both), "{seen}");
    assert!(of(&seen, "who").contains("kubectl-patch"), "{seen}");
    let told = bench.ends(1, &["status"]).out;
    assert!(told.contains(both), "{told}");
}

/// A colleague takes back in Git the rule by which an Application ignores a field.
#[test]
fn a_rule_that_was_pushed_and_taken_back_is_asked_again() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let own = fs::read_to_string(bench.own_plan()).unwrap();
    let ignore = "decisions:
- on: {kind: ConfigMap, name: auth-config, namespace: like}
  fields: [\".data.*\"]
  take: ignore
  reason: like sets its own
";
    let text = own
        .replace("decisions:\n", ignore)
        .replace("like-service, then", "like-service, expect: no-change, then")
        .replace("  expect: {\".data.JWT_ALGORITHM\": RS256, \".data.JWT_PUBLIC_KEY_ID\": key-2024-11-rot}\n", "");
    assert!(
        text.contains("ignore") && !text.contains("expect: {\""),
        "{text}"
    );
    let plan = bench.home.path().join("ignore.yaml");
    fs::write(&plan, text).unwrap();
    let on = ["--write", "all", "--attest", SEEN];
    bench.walk(4, &plan, &["--write", "all"]);
    let clone = bench.somebody("takes the rule back");
    bench.git(
        &clone,
        &["checkout", "-q", "HEAD~1", "--", "argocd/applications.yaml"],
    );
    bench.git(&clone, &["commit", "-qm", "no such rule"]);
    bench.git(&clone, &["push", "-q", "origin", "main"]);
    let head = bench.lab.git(&["rev-parse", "main"]);
    for _ in 0..2 {
        let open = bench.walk(4, &plan, &on);
        assert_eq!(open["stage"], "decide", "{open}");
        let reason = open["reason"].as_str().unwrap();
        assert!(
            reason.contains("rule that ignores it is gone from Git")
                && reason.contains("ann <ann@example.org>")
                && reason.contains("no such rule"),
            "{reason}"
        );
        assert_eq!(bench.lab.git(&["rev-parse", "main"]), head);
    }
    let mut again = vec!["--replan", "agreed: like goes on by itself"];
    again.extend(on);
    bench.walk(0, &plan, &again);
    let declared = bench.lab.git(&["show", "main:argocd/applications.yaml"]);
    assert!(declared.contains("ignoreDifferences"), "{declared}");
}

/// A colleague takes the commit back when some are thawed already: Argo CD brings that to those at once. The push that mends it
/// would be brought to them at once as well, so that they are frozen again before it, and synced like the others.
#[test]
fn what_was_thawed_is_frozen_again_before_a_push_that_moves_it() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    bench.walk(4, &plan, &["--write", "all"]);
    let path = plan.display().to_string();
    let arguments = ["run", &path, "--write", "all", "--attest", SEEN];
    let mut thaws = Running::start(bench.command(&arguments));
    let journal =
        || fs::read_to_string(bench.state.join("incidents/INC-441/journal.jsonl")).unwrap();
    let count = |what: &str| journal().matches(what).count();
    crate::support::until("auth to be thawed", || {
        count("\"type\":\"thawWatched\"") >= 2
    });
    thaws.kill();
    thaws.end();
    let clone = bench.somebody("reverts");
    bench.git(&clone, &["revert", "--no-edit", "HEAD"]);
    bench.git(&clone, &["push", "-q", "origin", "main"]);
    let head = bench.lab.git(&["rev-parse", "main"]);
    crate::support::until("Argo CD to bring the revert to auth", || {
        let state = &bench.application("auth-service")["status"]["operationState"];
        state["syncResult"]["revision"] == head.trim() && state["phase"] == "Succeeded"
    });
    let on = ["--write", "all", "--attest", SEEN];
    assert_eq!(bench.walk(4, &plan, &on)["stage"], "decide");
    let values = bench.plan("values.yaml", |text| {
        let (before, rest) = text.split_once("decisions:\n").unwrap();
        let (_, after) = rest.split_once("commit:").unwrap();
        let decision = |field: &str, value: &str| {
            format!(
                "- on: {{kind: ConfigMap, name: auth-config, namespace: \"*\"}}\n  fields: [.data.{field}]\n  take: {{value: {value}}}\n  reason: what was decided, typed\n"
            )
        };
        let decisions = decision("JWT_ALGORITHM", "RS256") + &decision("JWT_PUBLIC_KEY_ID", "key-2024-11-rot");
        let after = after.replace(", expect: no-change", "");
        format!("{before}decisions:\n{decisions}commit:{after}")
    });
    bench.walk(
        0,
        &values,
        &[&["--replan", "the hotfix stays"], &on[..]].concat(),
    );
    bench.assert_recovered();
    let text = journal();
    let last = |kind: &str| {
        text.rfind(&format!("\"effect\":\"{kind}\""))
            .unwrap_or_else(|| panic!("no {kind} in {text}"))
    };
    assert!(last("freeze") < last("push"), "{text}");
    let ours = bench.lab.git(&["rev-parse", "main"]);
    for app in ["auth-service", "like-service", "profile-service"] {
        let state = &bench.application(app)["status"]["operationState"];
        assert_eq!(state["syncResult"]["revision"], ours.trim(), "{app}");
        assert_eq!(
            state["operation"]["initiatedBy"]["automated"],
            Value::Null,
            "{app}"
        );
    }
}
