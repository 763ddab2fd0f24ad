//! What a walk says and does while it waits at a gate.

use super::*;

/// The lab's plan with a gate of its own after profile-service, which is green when a file is there.
struct Gated {
    bench: Bench,
    plan: PathBuf,
    mark: PathBuf,
}

impl Gated {
    fn new(within: &str) -> Self {
        let bench = Bench::new();
        let mark = bench.home.path().join("mended");
        let gate = format!(
            "  mended: {{command: {{argv: [test, -e, {}]}}, within: {within}}}\n  traces:",
            mark.display()
        );
        let plan = bench.plan("gated.yaml", |text| {
            text.replace("  traces:", &gate)
                .replace("no-401, traces]", "mended, traces]")
        });
        Self { bench, plan, mark }
    }

    /// How many samples of the gate, or begins of it, are journaled.
    fn journaled(&self, event: &str) -> usize {
        let path = self.bench.state.join("incidents/INC-441/journal.jsonl");
        let text = fs::read_to_string(path).unwrap_or_default();
        let mark = format!("\"type\":\"{event}\"");
        let mine = |line: &&str| line.contains(&mark) && line.contains("\"gate\":\"mended\"");
        text.lines().filter(mine).count()
    }

    /// A walk that waits at the gate, and how it ends after `then`.
    fn waits(&self, then: impl Fn(&mut Running)) -> Ran {
        let before = self.journaled("gateSampled");
        let path = self.plan.display().to_string();
        let command = ["run", &path, "--write", "all", "-o", "json"];
        let mut walk = Running::start(self.bench.command(&command));
        crate::support::until("it waits at the gate", || {
            self.journaled("gateSampled") > before + 1
        });
        assert!(!walk.ended());
        then(&mut walk);
        walk.end()
    }
}

/// During the wait somebody takes a note off; later somebody edits what was decided. Each ends the wait at once.
#[test]
fn what_else_happens_ends_a_wait_at_a_gate() {
    if !have("kubectl") {
        return;
    }
    let gated = Gated::new("60s");
    let bench = &gated.bench;
    let lost = gated.waits(|_| {
        let on = ["application", "like-service", "-n", "argocd"];
        bench.kubectl(&[&["annotate"], &on[..], &["trueup.dev/frozen-"]].concat());
    });
    let ended = result(&lost);
    assert_eq!(
        (lost.code, &ended["rule"]),
        (Some(3), &json!(4)),
        "{lost:#?}"
    );
    assert!(
        ended["reason"]
            .as_str()
            .unwrap()
            .contains("like-service was lost: our note is gone"),
        "{ended}"
    );
    let again =
        "`trueup freeze argocd/like-service --incident INC-441 --write cluster` freezes it again";
    assert!(lost.err.contains(again), "{}", lost.err);
    assert!(
        lost.err
            .contains("auth-service, profile-service stay without auto-sync"),
        "{}",
        lost.err
    );
    assert_eq!(gated.journaled("gateTimedOut"), 0);

    bench.ends(0, &["freeze", "like-service", "--write", "cluster"]);
    let touched = gated.waits(|_| {
        let on = ["configmap", "auth-config", "-n", "like", "--type", "merge"];
        let edit = json!({"data": {"JWT_ALGORITHM": "none"}}).to_string();
        bench.kubectl(&[&["patch"], &on[..], &["-p", &edit]].concat());
    });
    let ended = result(&touched);
    assert_eq!(
        (touched.code, &ended["stage"]),
        (Some(4), &json!("decide")),
        "{touched:#?}"
    );
    assert_eq!(gated.journaled("gateTimedOut"), 0);
}

/// The same command waits once more, and says of when the number is that it stopped at.
#[test]
fn a_gate_that_ran_out_of_time_is_waited_for_anew() {
    let gated = Gated::new("2s");
    let bench = &gated.bench;
    for begun in 1..=2 {
        let waits = bench.walk(4, &gated.plan, &["--write", "all"]);
        let reason = waits["reason"].as_str().unwrap();
        assert!(
            reason.contains("gate mended") && reason.contains("(seen "),
            "{reason}"
        );
        assert_eq!(waits["rule"], 10);
        assert_eq!(gated.journaled("gateStarted"), begun);
        assert_eq!(gated.journaled("gateTimedOut"), begun);
    }
    // The command of the stage does the same.
    let again = bench.document(
        4,
        "Error",
        &["sync", "profile-service", "--write", "cluster"],
    );
    assert!(
        again["reason"].as_str().unwrap().contains("gate mended"),
        "{again}"
    );
    assert_eq!(gated.journaled("gateStarted"), 3);
    fs::write(&gated.mark, "").unwrap();
    let waits = bench.walk(4, &gated.plan, &["--write", "all"]);
    assert!(
        waits["reason"].as_str().unwrap().contains("traces"),
        "{waits}"
    );
    assert_eq!(gated.journaled("gatePassed"), 1);

    // Whoever takes over from the status learns what is waited for.
    let status = bench.document(1, "Status", &["status"]);
    let next = &status["next"];
    assert_eq!(
        (&next["kind"], &next["gate"], &next["stage"]),
        (&json!("attest"), &json!("traces"), &json!("sync"))
    );
    assert!(
        next["what"]
            .as_str()
            .unwrap()
            .contains("waits for somebody who looks"),
        "{next}"
    );
    assert_eq!(status["gatesNotGreen"], json!([next["what"]]));
    let waits = "Sync 3/3 · 3 frozen · 0 open · gate traces waits for somebody";
    for arguments in [&["status"][..], &["status", "--line"]] {
        let said = bench.ends(1, arguments).out;
        assert!(said.contains(waits), "{said}");
    }
    let said = bench.ends(1, &["status"]).out;
    assert!(
        said.contains("next: gate traces after profile-service")
            && said.contains("--attest traces="),
        "{said}"
    );
    let line = bench.document(1, "Status", &["status", "--line"]);
    assert!(line["line"].as_str().unwrap().contains(waits), "{line}");
}

/// A signal to the command of a stage: what is half done is said, and how it goes on.
#[test]
fn a_stage_that_is_interrupted_says_what_is_half_done() {
    let bench = Bench::new();
    let config = bench.lab.dir.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let slow = text.replace("freeze_hold = \"100ms\"", "freeze_hold = \"60s\"");
    assert_ne!(slow, text);
    fs::write(&config, slow).unwrap();
    let freeze = [
        "freeze",
        "like-service",
        "--write",
        "cluster",
        "--incident",
        "S-1",
    ];
    for (json, name, code) in [(false, "-INT", 130), (true, "-TERM", 143)] {
        let output: &[&str] = if json { &["-o", "json"] } else { &[] };
        let walk = Running::start(bench.command(&[&freeze[..], output].concat()));
        // Each process is armed anew, and looks anew.
        crate::support::until("the freeze is looked at", || {
            let path = bench.state.join("incidents/S-1/journal.jsonl");
            let text = fs::read_to_string(path).unwrap_or_default();
            let mut since: Vec<&str> = text.split("\"type\":\"armed\"").skip(1).collect();
            let mine = since.pop().filter(|_| since.len() == usize::from(json));
            mine.is_some_and(|mine| mine.contains("\"type\":\"freezeSampled\""))
        });
        signal(&walk, name);
        let ran = walk.end();
        assert_eq!(ran.code, Some(code), "{ran:#?}");
        assert!(
            ran.err.contains(
                "argocd/like-service is frozen, and that the freeze holds is not proven yet"
            ) && ran.err.contains("the same command goes on"),
            "{}",
            ran.err
        );
        if json {
            let documents = ran.documents();
            let last = documents.last().unwrap();
            assert_eq!(
                (&last["kind"], &last["exit"]),
                (&json!("Error"), &json!(143))
            );
        }
    }
}

/// Killed at a gate and taken up after its time would have been over: nobody looked meanwhile, so nothing was waited for.
#[test]
fn the_time_in_which_nobody_looked_is_no_time_of_a_gate() {
    const WITHIN: Duration = Duration::from_secs(6);
    let gated = Gated::new("6s");
    let bench = &gated.bench;
    let killed = gated.waits(|walk| walk.kill());
    assert_eq!(killed.code, None, "{killed:#?}");
    let gone = Instant::now();
    crate::support::until("its time is over", || gone.elapsed() > WITHIN);
    fs::write(&gated.mark, "").unwrap();
    let plan = gated.plan.display().to_string();
    let on = bench.ends(4, &["run", &plan, "--write", "all"]);
    assert!(on.err.contains("gate traces waits"), "{on:#?}");
    assert_eq!(gated.journaled("gateTimedOut"), 0, "{on:#?}");
    let away = "gate mended after profile-service: looked away for ";
    let export = bench.ends(0, &["export", "--format", "md"]).out;
    for said in [&on.out, &export] {
        assert!(
            said.contains(away) && said.contains("(trueup was not running)"),
            "{said}"
        );
    }
}

/// A gate that asks the wrong thing is asked another way, which one that passed is not; and what somebody saw after one sync is
/// asked again after the next.
#[test]
fn a_gate_can_be_mended_and_a_look_is_of_one_sync() {
    let bench = Bench::new();
    let gate = |asks: &str| format!("  wrong: {{command: {{argv: [test, {asks}]}}, within: 1s}}\n");
    let plan = |name: &str, asks: &str, more: &str| {
        bench.plan(name, |text| {
            text.replace("  traces:", &format!("{}{more}  traces:", gate(asks)))
                .replace(
                    "like-service, then: [healthy]",
                    "like-service, then: [healthy, traces]",
                )
                .replace("no-401, traces]", "wrong, traces]")
        })
    };
    let on = |code: i32, plan: &Path, more: &[&str]| {
        bench.walk(code, plan, &[&["--write", "all"], more].concat())
    };
    let reason = |ended: &Value| ended["reason"].as_str().unwrap().to_owned();
    let wrong = plan("wrong.yaml", "-e, /nowhere", "");
    let ended = on(4, &wrong, &["--attest", SEEN]);
    assert!(reason(&ended).contains("gate wrong after"), "{ended}");
    let mended = plan("mended.yaml", "-e, /", "");
    let ended = on(4, &mended, &["--replan", "the path was wrong"]);
    assert!(
        reason(&ended).contains("gate traces waits for somebody"),
        "it was said of like-service alone: {ended}"
    );
    let again = plan("again.yaml", "-e, /tmp", "");
    let refused = on(3, &again, &["--replan", "another path"]);
    assert!(
        reason(&refused).contains("it passed after argocd/profile-service")
            && reason(&refused).contains("under a name of its own"),
        "{refused}"
    );
    // What the refusal says works.
    let more = plan("more.yaml", "-e, /", "  more: {manual: look once more}\n");
    let text = fs::read_to_string(&more).unwrap();
    fs::write(
        &more,
        text.replace("wrong, traces]", "wrong, traces, more]"),
    )
    .unwrap();
    let ended = on(4, &more, &["--replan", "one more", "--attest", SEEN]);
    assert!(reason(&ended).contains("gate more waits"), "{ended}");
    on(0, &more, &["--attest", "more=ann: quiet"]);
    let path = bench.state.join("incidents/INC-441/journal.jsonl");
    let said: Vec<Value> = fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line.split_once(' ').unwrap().1).unwrap())
        .filter(|line| line["type"] == "attested")
        .map(|line| json!([line["gate"], line["after"]]))
        .collect();
    assert_eq!(
        json!(said),
        json!([
            ["traces", ["argocd/like-service"]],
            ["traces", ["argocd/profile-service"]],
            ["more", ["argocd/profile-service"]]
        ])
    );
}

/// Where nothing looks at what the incident is about, that is said before, meanwhile and afterwards.
#[test]
fn a_walk_without_a_gate_for_the_symptom_says_so() {
    let bench = Bench::new();
    let plan = only_healthy(&bench.plan("health.yaml", |text| text));
    let path = plan.display().to_string();
    let read = bench.ends(3, &["run", &path]);
    assert!(
        read.err.contains("no gate looks at the symptom"),
        "{read:#?}"
    );
    let status = bench.document(1, "Status", &["status"]);
    let said = status["noSymptomGate"].as_str().unwrap();
    assert!(said.contains("look by hand"), "{status}");
    bench.walk(0, &plan, &["--write", "all"]);
    let export = bench.ends(0, &["export", "--format", "md"]).out;
    assert!(
        export.contains("**no gate looked at the symptom"),
        "{export}"
    );
}

/// Glass is broken by a command for what the walk stands still at, and for nothing else; its review is owed before the close.
#[test]
fn glass_is_broken_and_reviewed_without_a_screen() {
    let gated = Gated::new("1s");
    let bench = &gated.bench;
    let glass = |code: i32, kind: &str, words: [&str; 4], said: [&str; 2]| {
        bench.document(
            code,
            kind,
            &[&["glass"][..], &words[..3], &said, &words[3..]].concat(),
        )
    };
    let breaks = |code, kind, app, gate, why| {
        glass(
            code,
            kind,
            ["break", app, gate, "--no-color"],
            ["--reason", why],
        )
    };
    let review = |code, kind, gate, found| {
        let words = ["review", "profile-service", gate, "--no-color"];
        glass(code, kind, words, ["--found", found])
    };
    let run = || {
        bench.run(&[
            "run",
            &gated.plan.display().to_string(),
            "--write",
            "all",
            "--attest",
            SEEN,
        ])
    };
    let waits = run();
    assert_eq!(waits.code, Some(4), "{waits:#?}");
    let way = "`trueup glass break argocd/profile-service mended --incident INC-441 --reason WHY`";
    assert!(waits.err.contains(way), "{waits:#?}");
    for (app, gate, why, said) in [
        (
            "profile-service",
            "traces",
            "why",
            "that is not traces but mended",
        ),
        (
            "like-service",
            "mended",
            "why",
            "but mended after argocd/profile-service",
        ),
        ("profile-service", "sync", "why", "but mended"),
        ("profile-service", "mended", " ", "needs a reason"),
    ] {
        let refused = breaks(3, "Error", app, gate, why);
        let reason = refused["reason"].as_str().unwrap();
        assert!(reason.contains(said), "{said}: {refused}");
    }
    let reason = "customers wait; ann decided";
    let broken = breaks(0, "Glass", "profile-service", "mended", reason);
    assert_eq!(
        (&broken["state"], &broken["reason"], &broken["application"]),
        (
            &json!("broken"),
            &json!(reason),
            &json!("argocd/profile-service")
        )
    );
    breaks(3, "Error", "profile-service", "mended", reason);
    let owes = run();
    assert_eq!(owes.code, Some(4), "{owes:#?}");
    let closed = bench.document(3, "Close", &["close", "INC-441"]);
    let way = "trueup glass review argocd/profile-service mended --incident INC-441 --found TEXT";
    assert_eq!(closed["owed"][0]["command"], way, "{closed}");
    review(3, "Error", "mended", " ");
    review(3, "Error", "traces", "nothing");
    let found = "the file was never made; logins work";
    assert_eq!(review(0, "Glass", "mended", found)["found"], found);
    assert_eq!(run().code, Some(0));
    let told = bench.ends(0, &["export", "INC-441"]).out;
    for said in [reason, found] {
        assert!(told.contains(said), "{said}: {told}");
    }
}
