//! Freezes that another incident left behind: taken over, or put back by the note, and never so that something moves that nobody was shown.

use super::*;

pub(super) fn automated(bench: &Bench, app: &str, automated: &Value) {
    let patch = json!({"spec": {"syncPolicy": {"automated": automated}}}).to_string();
    bench.kubectl(&[
        "-n",
        "argocd",
        "patch",
        "application",
        app,
        "--type",
        "merge",
        "-p",
        &patch,
    ]);
}

pub(super) fn synced(bench: &Bench, app: &str) {
    crate::support::until("the Application Synced", || {
        bench.application(app)["status"]["sync"]["status"] == "Synced"
    });
}

fn algorithm(bench: &Bench, namespace: &str) -> Value {
    bench.get(&["configmap", "auth-config", "-n", namespace])["data"]["JWT_ALGORITHM"].clone()
}

const WRITE: [&str; 2] = ["--write", "cluster"];

/// What Argo CD last compared is not what Git has now: the note alone is no licence for a sync that nobody was shown.
#[test]
fn a_thaw_by_the_note_brings_no_commit_that_nobody_was_shown() {
    if !have("kubectl") {
        return;
    }
    let mut bench = Bench::new();
    automated(&bench, "profile-service", &json!({"prune": true}));
    synced(&bench, "profile-service");
    let freeze = ["freeze", "profile-service", "--incident", "G1"];
    bench.ends(0, &[&freeze[..], &WRITE].concat());
    let before = algorithm(&bench, "profile");
    bench.foreign_push("deploy/profile/auth-config.yaml", |text| {
        text.replace("HS256", "RS999")
    });
    bench.forget("empty");
    let thaw = [&["thaw", "profile-service"][..], &WRITE].concat();
    let refused = bench.document(3, "Error", &thaw);
    assert_eq!(refused["rule"], 3, "{refused}");
    assert!(
        refused["hint"].as_str().unwrap().contains("--take-over G1"),
        "{refused}"
    );
    let app = bench.application("profile-service");
    assert_eq!(app["spec"]["syncPolicy"]["automated"]["enabled"], false);
    assert_eq!(algorithm(&bench, "profile"), before);
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(
        status["frozen"][0]["incident"], "G1",
        "the note is as it was: {status}"
    );
    // Once nothing would move it is thawed as it was found.
    bench.foreign_push("deploy/profile/auth-config.yaml", |text| {
        text.replace("RS999", "HS256")
    });
    bench.ends(0, &thaw);
    let app = bench.application("profile-service");
    assert_eq!(
        app["spec"]["syncPolicy"]["automated"],
        json!({"prune": true})
    );
    assert_eq!(algorithm(&bench, "profile"), before);
}

/// Somebody else is at work: their Lease is respected.
#[test]
fn nothing_is_taken_from_under_an_operator_who_is_there() {
    if !have("kubectl") {
        return;
    }
    let mut bench = Bench::new();
    let plan = bench.own_plan().display().to_string();
    let walks = Running::start(bench.command(&["--write", "all", "run", &plan]));
    until_journaled(&bench, "INC-441", "freezeProven");
    bench.forget("elsewhere");
    for thaw in [
        &["thaw", "profile-service"][..],
        &[
            "freeze",
            "profile-service",
            "--incident",
            "G2",
            "--take-over",
            "INC-441",
        ],
    ] {
        let ran = bench.ends(4, &[thaw, &WRITE].concat());
        assert!(ran.err.contains("works on"), "{ran:?}");
    }
    let note = bench.application("profile-service")["metadata"]["annotations"]["trueup.dev/frozen"]
        .clone();
    assert!(note.as_str().unwrap().contains("INC-441"), "{note}");
    signal(&walks, "-TERM");
    walks.end();
}

/// What a live action set is owed until Git has it, or it is put back.
#[test]
fn a_live_action_is_owed_until_it_is_in_git_or_put_back() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let on = |arguments: &[&str]| bench.ends(0, &[arguments, &WRITE].concat());
    on(&["freeze", "profile-service", "--incident", "A1"]);
    let scale = |to: &'static str| {
        on(&[
            "act",
            "scale",
            "profile-service",
            "Deployment/profile-service",
            to,
        ])
    };
    scale("5");
    let owed = |code: i32| {
        let status = bench.document(code, "Status", &["status"]);
        let owed = status["owed"].as_array().unwrap().clone();
        owed.iter()
            .filter(|one| one["id"].as_str().unwrap().starts_with("act:"))
            .count()
    };
    assert_eq!(owed(1), 1);
    let close = bench.ends(3, &["close", "A1"]);
    assert!(close.err.contains("live action"), "{close:?}");
    scale("3");
    assert_eq!(owed(1), 0);
    on(&["thaw", "profile-service"]);
    bench.ends(0, &["close", "A1"]);
}

/// An incident is closed with an Application handed over: its owner thaws it, or takes it over into another incident.
#[test]
fn what_was_handed_over_at_the_close_is_thawed_or_taken_over() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.plan("later.yaml", |text| {
        text.replace("decisions:\n", "decisions:\n- {on: {kind: ConfigMap, name: auth-config, namespace: like}, fields: [\".data.*\"], take: {later: {how: stayFrozen, owner: ann, until: 2027-01-01}}, reason: hers}\n")
    });
    let plan = only_healthy(&plan);
    bench.walk(0, &plan, &["--write", "all"]);
    let frozen = |code: i32| {
        let status = bench.document(code, "Status", &["status", "INC-441"]);
        status["frozen"].as_array().unwrap().len()
    };
    assert_eq!(frozen(1), 1);
    // What is left of it only a look tells: the one line that is pasted into a channel says when there was none.
    let kubeconfig = fs::read_to_string(bench.lab.text("kubeconfig")).unwrap();
    let line = |kubeconfig: &str| {
        let path = bench.write("kubeconfig-of-then", kubeconfig);
        let mut status = command(&trueup(), bench.home.path());
        status.arg("--kubeconfig").arg(path);
        status.arg("--state-dir").arg(&bench.state);
        status.args(["status", "INC-441", "--line"]);
        run(status).out
    };
    assert!(!line(&kubeconfig).contains("not looked at"));
    let expired = line(&kubeconfig.replace("\"token\": \"", "\"token\": \"expired-"));
    assert!(
        expired.contains("closed") && expired.contains("not looked at"),
        "{expired}"
    );
    let other = ["freeze", "like-service", "--incident", "INC-9"];
    let refused = bench.ends(3, &[&other[..], &WRITE].concat());
    assert!(refused.err.contains("--take-over INC-441"), "{refused:?}");
    bench.ends(
        0,
        &[&other[..], &["--take-over", "INC-441"], &WRITE].concat(),
    );
    let note =
        bench.application("like-service")["metadata"]["annotations"]["trueup.dev/frozen"].clone();
    let note: Value = serde_json::from_str(note.as_str().unwrap()).unwrap();
    assert_eq!(
        (&note["incident"], &note["found"]),
        (&json!("INC-9"), &Value::Null)
    );
    assert_eq!(
        frozen(1),
        0,
        "it is INC-9's now, and the field is still ann's"
    );
    // Everybody who says how much INC-441 owes says the same.
    let status = bench.document(1, "Status", &["status", "INC-441"]);
    let owed = status["owed"].as_array().unwrap().len();
    let list = bench.document(0, "IncidentList", &["incidents"]);
    let all = list["incidents"].as_array().unwrap();
    let closed = all.iter().find(|one| one["incident"] == "INC-441").unwrap();
    assert_eq!(closed["owed"], owed, "{status}\n{list}");
    let line = bench.ends(1, &["status", "INC-441", "--line"]);
    assert!(line.out.contains(&format!("owed {owed}")), "{line:?}");
    let journal = bench.state.join("incidents/INC-441/journal.jsonl");
    let lines = || fs::read(&journal).unwrap();
    let before = lines();
    let sync = ["sync", "like-service", "--incident", "INC-441"];
    let closed = bench.ends(3, &[&sync[..], &WRITE].concat());
    assert!(closed.err.contains("--take-over"), "{closed:?}");
    assert!(lines() == before, "a closed journal was written to");
    let thaw = ["thaw", "like-service", "--incident", "INC-441"];
    bench.ends(0, &[&thaw[..], &WRITE].concat());
    let app = bench.application("like-service");
    assert_eq!(
        app["metadata"]["annotations"].get("trueup.dev/frozen"),
        None,
        "{app}"
    );
    assert_eq!(app["spec"].get("syncPolicy"), None);
    // Whoever has the field is told that nothing keeps it any more.
    let status = bench.ends(1, &["status", "INC-441"]).out;
    let said = "was to stay frozen, and like-service is not frozen any more: our note is gone";
    assert!(
        status.contains(said) && !status.contains("like-service  proven"),
        "{status}"
    );
}

/// What somebody set by a live action meanwhile is in no commit of the plan: the plan is what was reviewed.
#[test]
fn a_run_commits_nothing_that_a_live_action_set() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    bench.walk(4, &plan, &["--write", "all"]);
    let pushes = bench.lab.pushes();
    let act = ["act", "patch", "like-service", "ConfigMap/auth-config"];
    let typo = [".data.JWT_PUBLIC_KEY_ID", "key-typo"];
    bench.ends(0, &[&act[..], &typo, &WRITE].concat());
    let on = ["--write", "all", "--attest", SEEN];
    let refused = bench.walk(3, &plan, &on);
    assert!(
        refused["reason"].as_str().unwrap().contains("live action"),
        "{refused}"
    );
    assert_eq!(bench.lab.pushes(), pushes, "something was pushed");
}

/// Two operators type the same incident id on two laptops: neither takes the other's freeze for its own, and the way back
/// is to what was found before the first of them.
#[test]
fn an_incident_of_the_same_name_in_another_folder_is_another_one() {
    if !have("kubectl") {
        return;
    }
    let mut bench = Bench::new();
    let found = json!({"prune": true, "selfHeal": true});
    automated(&bench, "auth-service", &found);
    synced(&bench, "auth-service");
    let freeze = ["freeze", "auth-service", "--incident", "INC-7"];
    bench.ends(0, &[&freeze[..], &WRITE].concat());
    let first = bench.state.clone();
    bench.forget("laptop-2");
    let refused = bench.document(3, "Error", &[&freeze[..], &WRITE].concat());
    let said = refused["reason"].as_str().unwrap();
    assert!(!said.contains("at work on it"), "that is who asks: {said}");
    assert!(
        refused["rule"] == 2 && said.contains("INC-7 of another state folder already (jo"),
        "{refused}"
    );
    let hint = refused["hint"].as_str().unwrap();
    assert!(hint.contains("--take-over INC-7"), "{refused}");
    let take_over = [&freeze[..], &["--take-over", "INC-7"], &WRITE].concat();
    bench.ends(0, &take_over);
    let note =
        bench.application("auth-service")["metadata"]["annotations"]["trueup.dev/frozen"].clone();
    let note: Value = serde_json::from_str(note.as_str().unwrap()).unwrap();
    assert_eq!(note["found"]["automated"], found, "{note}");
    let second = std::mem::replace(&mut bench.state, first);
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(status["frozen"][0]["state"], "lost", "{status}");
    let thaw = [&["thaw", "auth-service"][..], &WRITE].concat();
    bench.ends(3, &thaw);
    bench.state = second;
    bench.ends(0, &thaw);
    let app = bench.application("auth-service");
    assert_eq!(app["spec"]["syncPolicy"]["automated"], found);

    // Names that nobody chose are drawn: the same day in two folders is no reason to have the same.
    let named = |bench: &Bench, app: &str| {
        let freeze = ["freeze", app, "--no-wait", "-o", "json"];
        let ran = bench.ends(0, &[&freeze[..], &WRITE].concat());
        let last = ran.documents().pop().unwrap();
        last["incident"].as_str().unwrap().to_owned()
    };
    bench.forget("laptop-3");
    let one = named(&bench, "like-service");
    bench.forget("laptop-4");
    assert_ne!(one, named(&bench, "profile-service"));
}

fn annotated(bench: &Bench, app: &str) -> Value {
    bench.application(app)["metadata"]["annotations"]["trueup.dev/frozen"].clone()
}

fn unannotate(bench: &Bench, app: &str) {
    let note = "trueup.dev/frozen-";
    bench.kubectl(&["-n", "argocd", "annotate", "application", app, note]);
}

/// Somebody takes the note away, and the Application is frozen again: what our own freeze left was not found.
#[test]
fn freezing_again_keeps_the_way_back_of_a_note_that_is_gone() {
    if !have("kubectl") {
        return;
    }
    let mut bench = Bench::new();
    let found = json!({"prune": true});
    automated(&bench, "profile-service", &found);
    synced(&bench, "profile-service");
    let freeze = ["freeze", "profile-service", "--incident", "H3"];
    bench.ends(0, &[&freeze[..], &WRITE].concat());
    unannotate(&bench, "profile-service");
    let closed = bench.ends(3, &["close", "H3"]);
    let again = "trueup freeze argocd/profile-service --incident H3 --write cluster";
    assert!(closed.err.contains(again), "{closed:?}");
    let sheet = bench.ends(3, &freeze);
    for word in [
        "an earlier freeze switched auto-sync off already, and its way back is kept",
        r#"{"spec":{"syncPolicy":{"automated":{"enabled":null}}},"metadata""#,
    ] {
        assert!(
            (sheet.out.clone() + &sheet.err).contains(word),
            "{word}\n{sheet:?}"
        );
    }
    // Auto-sync was changed meanwhile by somebody else: both are said, and what was found first stays the way back.
    automated(&bench, "profile-service", &json!({"prune": false}));
    let sheet = bench.ends(3, &freeze);
    let said = sheet.out + &sheet.err;
    assert!(said.contains("somebody changed its syncPolicy"), "{said}");
    automated(&bench, "profile-service", &found);
    bench.ends(0, &[&freeze[..], &WRITE].concat());
    let note: Value =
        serde_json::from_str(annotated(&bench, "profile-service").as_str().unwrap()).unwrap();
    assert_eq!(note["found"]["automated"], found, "{note}");
    bench.forget("empty");
    let thaw = [&["thaw", "profile-service"][..], &WRITE].concat();
    let thawed = bench.ends(0, &thaw);
    assert!(thawed.out.contains("auto-sync on (prune)"), "{thawed:?}");
    let app = bench.application("profile-service");
    assert_eq!(app["spec"]["syncPolicy"]["automated"], found);
}

/// Who goes on with what was begun is there while only waiting, too.
#[test]
fn a_run_that_is_taken_up_again_into_a_wait_holds_its_lease() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.plan("pr.yaml", |text| {
        text.replace("branch: main", "branch: trueup/INC-441, pullRequest: true")
    });
    let plan = plan.display().to_string();
    let pushed = || {
        !bench
            .lab
            .git(&["branch", "--list", "trueup/INC-441"])
            .is_empty()
    };
    let lease = ["lease", "trueup-inc-441", "-n", "argocd"];
    let holder = || bench.get(&lease)["spec"]["holderIdentity"].clone();
    let walks = || Running::start(bench.command(&["--write", "all", "run", &plan]));
    let first = walks();
    crate::support::until("a branch to be merged", pushed);
    signal(&first, "-TERM");
    first.end();
    assert_eq!(holder(), "", "given up when it left");
    let again = walks();
    crate::support::until("the Lease is held in the wait", || holder() != "");
    signal(&again, "-TERM");
    again.end();
    assert_eq!(holder(), "");
    // Who may not write holds nothing, and waits for nobody.
    let lines = || fs::read_to_string(bench.state.join("incidents/INC-441/journal.jsonl")).unwrap();
    let before = lines().matches(" taken by trueup").count();
    let resumed = lines().matches("\"type\":\"resumed\"").count();
    let unarmed = Running::start(bench.command(&["run", &plan]));
    crate::support::until("it is taken up", || {
        lines().matches("\"type\":\"resumed\"").count() > resumed
    });
    signal(&unarmed, "-TERM");
    unarmed.end();
    assert_eq!(lines().matches(" taken by trueup").count(), before);
    assert_eq!(holder(), "");
}

/// Somebody takes one of two Applications over: the other one goes on, it is taken back without a circle, and what the
/// close prints works.
#[test]
fn what_another_incident_took_over_blocks_nothing_and_is_taken_back() {
    if !have("kubectl") {
        return;
    }
    let mut bench = Bench::new();
    for app in ["auth-service", "profile-service"] {
        automated(&bench, app, &json!({"prune": true}));
    }
    synced(&bench, "profile-service");
    let on = |bench: &Bench, arguments: &[&str]| bench.ends(0, &[arguments, &WRITE].concat());
    let both = ["freeze", "auth-service", "profile-service"];
    on(&bench, &[&both[..], &["--incident", "J1"]].concat());
    let first = bench.state.clone();
    bench.forget("other");
    let taken = [
        "freeze",
        "auth-service",
        "--incident",
        "J2",
        "--take-over",
        "J1",
    ];
    on(&bench, &taken);
    bench.state = first;
    let thaw = ["thaw", "profile-service"];
    let undecided = bench.document(3, "Error", &[&thaw[..], &WRITE].concat());
    assert_eq!(
        undecided["rule"], 3,
        "its own question, and no freeze: {undecided}"
    );
    let refused = bench.ends(3, &[&["thaw", "auth-service"][..], &WRITE].concat());
    assert!(refused.err.contains("--take-over J2"), "{refused:?}");
    on(&bench, &["freeze", "auth-service", "--take-over", "J2"]);
    let note: Value =
        serde_json::from_str(annotated(&bench, "auth-service").as_str().unwrap()).unwrap();
    assert_eq!(
        (&note["incident"], &note["found"]["automated"]),
        (&json!("J1"), &json!({"prune": true}))
    );
    bench.ends(3, &["close", "J1"]);
    let park = [
        "park",
        "auth-service",
        "profile-service",
        "--owner",
        "ann",
        "--reason",
        "hers",
    ];
    let until = |day| [&park[..], &["--until", day]].concat();
    bench.ends(3, &until("2020-01-01"));
    bench.ends(0, &until("2027-01-01"));
    bench.ends(0, &["unpark", "auth-service"]);
    let again = bench.ends(0, &["unpark", "auth-service"]);
    assert!(again.err.contains("is not parked") && again.out.is_empty());
    bench.ends(0, &until("2027-01-01"));
    bench.ends(0, &["close", "J1"]);
    bench.lab.assert_within_roles();
}

/// Whoever freezes by hand as the sheet says leaves a note that says so, and the incident goes on from it.
#[test]
fn what_was_frozen_by_hand_as_the_sheet_says_is_gone_on_with() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let found = json!({"prune": true});
    automated(&bench, "profile-service", &found);
    synced(&bench, "profile-service");
    let freeze = ["freeze", "profile-service", "--incident", "K1"];
    let sheet = bench.ends(3, &freeze);
    let said = sheet.out + &sheet.err;
    let line = said
        .lines()
        .find(|line| line.contains("kubectl") && line.contains("--type json"));
    let patch = line
        .unwrap()
        .split_once("-p '")
        .unwrap()
        .1
        .rsplit_once('\'')
        .unwrap()
        .0;
    bench.kubectl(&[
        "-n",
        "argocd",
        "patch",
        "application",
        "profile-service",
        "--type",
        "json",
        "-p",
        patch,
    ]);
    bench.ends(0, &[&freeze[..], &WRITE].concat());
    let note: Value =
        serde_json::from_str(annotated(&bench, "profile-service").as_str().unwrap()).unwrap();
    assert_eq!(note["found"]["automated"], found, "{note}");
    assert_ne!(note["op"], "by hand");
}

/// What the incident chose to stand in the end is put in place where its journal tells it; a note alone knows what was found,
/// and says that it knows no more.
#[test]
fn a_thaw_after_the_close_knows_what_was_chosen_or_says_that_it_does_not() {
    if !have("kubectl") {
        return;
    }
    let mut bench = Bench::new();
    let plan = bench.plan("later.yaml", |text| {
        text.replace("decisions:\n", "decisions:\n- {on: {kind: ConfigMap, name: auth-config, namespace: like}, fields: [\".data.*\"], take: {later: {how: stayFrozen, owner: ann, until: 2027-01-01}}, reason: hers}\n")
    });
    let plan = only_healthy(&plan);
    bench.walk(0, &plan, &["--write", "all"]);
    let thaw = ["thaw", "like-service"];
    let armed = [&thaw[..], &WRITE].concat();
    let refused = bench.ends(3, &armed).err;
    for word in ["is OutOfSync", "--take-over INC-441", "EMPTY_FOLDER"] {
        assert!(refused.contains(word), "{refused}");
    }
    let here = bench.state.clone();
    bench.forget("empty");
    let alone = bench.ends(3, &thaw).err;
    for word in [
        "take over 1 application from INC-441",
        "auto-sync off, as found: the note knows nothing else. What INC-441 chose",
        "not armed",
    ] {
        assert!(alone.contains(word), "{alone}");
    }
    assert!(!bench.state.join("incidents").exists());
    bench.state = here;
    bench.foreign_push("deploy/like/auth-config.yaml", |text| {
        text.replace("HS256", "RS256")
    });
    synced(&bench, "like-service");
    let done = bench.document(0, "Thaw", &armed);
    assert_eq!(
        (&done["autoSync"], &done["target"], &done["note"]),
        (&json!("on"), &json!("as declared in Git"), &Value::Null),
        "{done}"
    );
    let app = bench.application("like-service");
    assert_eq!(
        app["spec"]["syncPolicy"]["automated"],
        json!({"prune": true, "selfHeal": true})
    );
}

/// Where the journal is elsewhere each way out is named, and who was at work on it.
#[test]
fn what_is_frozen_from_another_folder_names_the_ways_out() {
    if !have("kubectl") {
        return;
    }
    let mut bench = Bench::new();
    let plan = bench.own_plan();
    // After the last sync, before the thaw.
    assert_eq!(bench.walk(4, &plan, &["--write", "all"])["stage"], "sync");
    // Killed where it stood, it would have left its name in the Lease.
    let mut lease = bench.get(&["lease", "trueup-inc-441", "-n", "argocd"]);
    lease["spec"]["holderIdentity"] = json!("ann@laptop-9/0a1b2c#77");
    lease["spec"]["renewTime"] = json!("2026-11-14T07:00:00.000000Z");
    let file = bench.home.path().join("lease.json");
    fs::write(&file, lease.to_string()).unwrap();
    bench.kubectl(&["replace", "-f", &file.display().to_string()]);
    bench.forget("elsewhere");
    let again = bench.plan("again.yaml", |text| text);
    let path = again.display().to_string();
    let ways = |said: &str| {
        for word in [
            "is frozen by incident INC-441",
            "last at work on it: ann@laptop-9/0a1b2c, seen 14 Nov 07:00:00 UTC",
            "`trueup resume INC-441`",
            "--take-over INC-441",
            "`trueup thaw profile-service --state-dir EMPTY_FOLDER --write cluster`",
        ] {
            assert!(said.contains(word), "no {word} in {said}");
        }
    };
    let run = bench.ends(3, &["run", &path, "--write", "all"]).err;
    ways(&run.replace("auth-service", "profile-service"));
    let freeze = ["freeze", "profile-service", "--incident", "B-1"];
    ways(&bench.ends(3, &[&freeze[..], &WRITE].concat()).err);
    let thaw = ["thaw", "profile-service", "--incident", "INC-441"];
    let refused = bench.ends(3, &[&thaw[..], &WRITE].concat()).err;
    assert!(
        refused.contains("of another state folder already") && refused.contains("EMPTY_FOLDER"),
        "{refused}"
    );
    bench.forget("empty");
    let done = bench.ends(0, &[&thaw[..2], &WRITE].concat());
    assert!(
        done.out.contains(
            "thawed as its note of INC-441 says: auto-sync OFF, as found before the freeze"
        ),
        "{done:?}"
    );
}

/// Somebody edited the note: what it found is lost, and nothing pretends that there is none.
#[test]
fn a_note_that_cannot_be_read_is_said_and_written_over_by_nobody() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let note = |value: &str| {
        bench.kubectl(&[
            "annotate",
            "application",
            "like-service",
            "-n",
            "argocd",
            "--overwrite",
            value,
        ]);
    };
    note("trueup.dev/frozen=garbage");
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(
        status["frozen"][0]["application"], "argocd/like-service",
        "{status}"
    );
    assert!(
        status["frozen"][0]["unreadable"]
            .as_str()
            .unwrap()
            .contains("garbage"),
        "{status}"
    );
    let table = bench.ends(1, &["status"]).out;
    assert!(table.contains("its note cannot be read"), "{table}");
    for arguments in [
        &["freeze", "like-service", "--write", "cluster"][..],
        &["thaw", "like-service", "--write", "cluster"],
    ] {
        let refused = bench.ends(3, arguments);
        assert!(
            refused.err.contains("cannot be read") && refused.err.contains("kubectl annotate"),
            "{refused:?}"
        );
    }
    let annotations = bench.application("like-service")["metadata"]["annotations"].clone();
    assert_eq!(annotations["trueup.dev/frozen"], "garbage");
    note("trueup.dev/frozen-");
    bench.ends(0, &["freeze", "like-service", "--write", "cluster"]);

    // In the incident's own folder: a policy that somebody set since, and a note that they edited, are both on the sheet.
    automated(&bench, "like-service", &json!({"prune": true}));
    let freeze = ["freeze", "like-service"];
    let sheet = bench.ends(3, &freeze);
    let said = sheet.out + &sheet.err;
    assert!(
        said.contains("somebody changed its syncPolicy since this incident froze it first, to")
            && said.contains("\"prune\":true"),
        "{said}"
    );
    automated(&bench, "like-service", &json!(null));
    note("trueup.dev/frozen={garbled");
    let said = bench.ends(1, &["status"]).out;
    assert!(said.contains("cannot be read any more"), "{said}");
    let sheet = bench.ends(3, &freeze);
    let said = sheet.out + &sheet.err;
    assert!(
        said.contains("cannot be read and is replaced by this one") && said.contains("{garbled"),
        "{said}"
    );
}

/// Who cannot freeze leaves nothing frozen: a plan that says so is refused, and nothing of it is decided.
#[test]
fn a_plan_leaves_nothing_frozen_that_is_not() {
    let bench = Bench::new();
    let plan = bench.home.path().join("stays.yaml");
    fs::write(&plan, STAYS).unwrap();
    let refused = bench.walk(3, &plan, &["--context", "reader", "--write", "git"]);
    let reason = refused["reason"].as_str().unwrap();
    assert!(
        reason.contains("nothing of argocd/like-service can stay frozen") && refused["rule"] == 4,
        "{refused}"
    );
    let journal = bench.ends(0, &["export", "STAYS"]).out;
    assert!(
        journal.contains("refused to") && journal.contains("can stay frozen"),
        "{journal}"
    );
}
