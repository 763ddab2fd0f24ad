//! What is about to be written is said before it is written; without the arming it is said instead.

use super::*;

const WRITE: [&str; 2] = ["--write", "cluster"];

fn armed<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &WRITE].concat()
}

/// What of the journal's last write the sheet has to say, whole: the patch by hand.
fn last_by_hand(bench: &Bench, incident: &str) -> Vec<String> {
    let journal = bench
        .state
        .join("incidents")
        .join(incident)
        .join("journal.jsonl");
    let text = fs::read_to_string(journal).unwrap();
    let intended = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.split_once(' ')?.1).ok())
        .rfind(|record| record["type"] == "intended")
        .unwrap();
    let by_hand = intended["byHand"].as_array().unwrap();
    by_hand
        .iter()
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

fn has(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word} in:\n{said}");
    }
}

/// Each command of one stage: not armed, its sheet and the refusal, nothing written, nothing left behind; armed, the same sheet
/// and then the write.
#[test]
fn each_stage_says_its_change_and_its_way_back_first() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let journal = bench.state.join("incidents/P-1/journal.jsonl");
    let unarmed = |arguments: &[&str]| {
        let (writes, lines) = (bench.lab.writes().len(), fs::read(&journal).ok());
        let refused = bench.ends(3, arguments);
        assert_eq!(bench.lab.writes().len(), writes, "{refused:?}");
        assert!(fs::read(&journal).ok() == lines, "it was journaled");
        has(
            &refused.err,
            &["refused by rule 1: not armed", "--write cluster"],
        );
        assert_eq!(refused.out, "");
        refused.err
    };
    let freeze = ["freeze", "profile-service", "--incident", "P-1"];
    let sheet = unarmed(&freeze);
    let way_back =
        "--type merge -p '{\"metadata\":{\"annotations\":{\"trueup.dev/frozen\":null}}}'";
    let says = [
        "freeze profile-service\n",
        "argocd/profile-service\n",
        "only a note: auto-sync is off already",
        "! a freeze stops auto-sync, not people or CI",
        way_back,
        "kubectl -n argocd patch application profile-service --type json",
    ];
    has(&sheet, &says);
    assert!(!bench.state.join("incidents").exists(), "{sheet}");
    let done = bench.ends(0, &armed(&freeze));
    has(&done.err, &says);
    assert!(!done.out.contains("kubectl"), "{done:?}");

    // With JSON the sheet is on stderr all the same.
    let act = [
        "act",
        "restart",
        "profile-service",
        "Deployment/profile-service",
        "--reason",
        "load",
    ];
    let says = [
        "live action on",
        "restartedAt",
        "why      load",
        "undo     none: the pods that ran are gone",
    ];
    has(&unarmed(&act), &says);
    let done = bench.ends(0, &armed(&[&act[..], &["-o", "json"]].concat()));
    has(&done.err, &says);
    assert_eq!(done.document()["kind"], "Act");

    let sync = ["sync", "profile-service"];
    let says = [
        "start a sync of profile-service at",
        "argocd app sync",
        "undo",
    ];
    has(&unarmed(&sync), &says);
    let done = bench.ends(0, &armed(&sync));
    has(&done.err, &says);
    // Nothing would be written, so that nothing is refused, and nothing of an earlier sync is told as if it were new.
    let again = bench.ends(0, &sync);
    let says = ["synced already, to ", "nothing would be written"];
    has(&again.err, &says);
    assert!(!again.err.contains("not armed"), "{again:?}");
    let again = bench.ends(0, &armed(&[&sync[..], &["-o", "json"]].concat()));
    let again = again.document();
    assert_eq!(
        (&again["already"], &again["changes"]),
        (&json!(true), &Value::Null)
    );
    assert!(again["revision"].is_string() && again["at"].is_string());

    let thaw = ["thaw", "profile-service"];
    let says = [
        "auto-sync stays off (as found before the freeze), the note goes",
        "undo     freeze again: `trueup freeze profile-service --write cluster`",
    ];
    has(&unarmed(&thaw), &says);
    let done = bench.ends(0, &armed(&thaw));
    has(&done.err, &says);
    let by_hand = last_by_hand(&bench, "P-1");
    has(&done.err, &[&by_hand[0]]);
    // What stands now is said: nobody who reads "thawed" takes auto-sync for on.
    assert_eq!(
        done.out,
        "argocd/profile-service  thawed: auto-sync OFF, as found before the freeze; no freeze note left\n"
    );
    let text = bench.ends(0, &["export", "P-1"]).out;
    has(&text, &["auto-sync stays off"]);
}

/// What a walk is about to write is said too, a short sheet for each.
#[test]
fn a_walk_says_each_write_before_it() {
    let bench = Bench::new();
    let plan = bench.own_plan().display().to_string();
    let ran = bench.ends(
        0,
        &[
            "run", &plan, "--write", "all", "--attest", SEEN, "-o", "json",
        ],
    );
    result(&ran);
    has(
        &ran.err,
        &[
            "freeze 3 applications\n",
            "push to main\n",
            "undo     git revert",
            "sync like-service\n",
            ".data.JWT_ALGORITHM: HS256 → RS256",
            "thaw 3 applications\n",
        ],
    );
}

/// A misspelt field makes no key that nobody reads, and whatever was set can be taken back.
#[test]
fn a_live_action_makes_a_field_only_where_that_is_said_and_takes_it_back() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    bench.ends(0, &armed(&["freeze", "like-service", "--incident", "N-1"]));
    let data = || bench.get(&["configmap", "auth-config", "-n", "like"])["data"].clone();
    let act = |code: i32, what: &[&'static str]| {
        let act = [
            &["act", what[0], "like-service", "ConfigMap/auth-config"],
            &what[1..],
        ];
        bench.ends(code, &armed(&act.concat()))
    };
    let before = data();
    let (misspelt, set) = (
        ".data.JWT_ALGORITM",
        ["patch", ".data.JWT_ALGORITM", "RS256"],
    );
    for what in [&set[..], &["remove", misspelt]] {
        let refused = act(3, what);
        has(
            &refused.err,
            &["has no .data.JWT_ALGORITM; nearest in .data: JWT_ALGORITHM"],
        );
    }
    has(&act(3, &set).err, &["new field: ", "--new-field"]);
    assert_eq!(data(), before);

    let owed = || bench.document(1, "Status", &["status"])["owed"].to_string();
    has(
        &act(0, &[&set[..], &["--new-field"]].concat()).err,
        &["(absent) → RS256", "! new field: "],
    );
    assert_eq!(data()["JWT_ALGORITM"], "RS256");
    has(&owed(), &["act:"]);
    let undone = act(0, &["undo", misspelt]);
    has(&undone.out, &["nothing of it is owed to Git"]);
    assert_eq!(data(), before);
    assert!(!owed().contains("act:"));
    // There is nothing more to take back, and the undo is not taken back in its turn.
    has(
        &act(3, &["undo"]).err,
        &["no live action of this incident stands"],
    );

    // What somebody else set since is not undone unseen.
    act(0, &["patch", ".data.JWT_ALGORITHM", "ES256"]);
    let patch = r#"{"data":{"JWT_ALGORITHM":"PS256"}}"#;
    bench.kubectl(&[
        "-n",
        "like",
        "patch",
        "configmap",
        "auth-config",
        "--type",
        "merge",
        "-p",
        patch,
    ]);
    has(&act(3, &["undo"]).err, &["is PS256 now", "set it to ES256"]);
    assert_eq!(data()["JWT_ALGORITHM"], "PS256");
    let remove = [
        "act",
        "remove",
        "like-service",
        "ConfigMap/auth-config",
        ".data.JWT_ALGORITHM",
    ];
    has(
        &bench.ends(3, &remove).err,
        &["PS256 → (absent)", "not armed"],
    );
}
