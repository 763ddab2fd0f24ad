//! Git cannot be read for a while.

use super::*;

/// What is not seen is not gone: nothing owed vanishes, nobody is said to have pushed, and nothing that rests on it goes ahead. To put
/// a live value right need not wait.
#[test]
fn what_cannot_be_read_is_neither_gone_nor_settled() {
    let bench = Bench::new();
    let act = |field: &str, value: &str| {
        bench.ends(
            0,
            &[
                "act",
                "patch",
                "like-service",
                "ConfigMap/auth-config",
                field,
                value,
                "--reason",
                "logins fail",
                "--write",
                "cluster",
            ],
        )
    };
    let freeze = [
        "freeze",
        "like-service",
        "--incident",
        "INC-701",
        "--write",
        "cluster",
    ];
    bench.ends(0, &freeze);
    act(".data.JWT_PUBLIC_KEY_ID", "key-2024-11-rot");
    let owed = |code: i32| -> Vec<String> {
        let status = bench.document(code, "Status", &["status"]);
        let owed = status["owed"].as_array().unwrap().iter();
        owed.map(|owed| owed["what"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = owed(1);
    assert!(
        before.iter().any(|what| what.contains("live action")),
        "{before:?}"
    );

    let away = bench.lab.repository().with_extension("away");
    std::fs::rename(bench.lab.repository(), &away).unwrap();
    assert_eq!(owed(1), before);
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(
        (&status["undecided"], &status["unread"]["application"]),
        (&Value::Null, &json!("argocd/like-service")),
        "{status}"
    );
    assert_eq!(status["openAgain"], json!([]), "{status}");
    let said = bench.ends(1, &["status"]).out;
    assert!(said.contains("not all of it could be READ"), "{said}");
    for command in [
        &["thaw", "like-service", "--write", "cluster"][..],
        &["close"],
    ] {
        let refused = bench.ends(3, command);
        assert!(
            refused
                .err
                .contains("not all of argocd/like-service could be read"),
            "{refused:#?}"
        );
    }
    let acted = act(".data.JWT_ALGORITHM", "ES256");
    assert!(acted.out.contains("it has to reach Git"), "{acted:#?}");
    let unknown = owed(1);
    let debt = ".data.JWT_ALGORITHM was set by a live action, and whether Git has it is not known";
    assert!(
        unknown.iter().any(|what| what.contains(debt)),
        "{unknown:?}"
    );
    let sheet = acted.err;
    assert!(
        sheet.contains(
            "whether RS256 stands in Git is not known, since not all of Git could be read"
        ) && !sheet.contains("stands nowhere in Git"),
        "{sheet}"
    );
    let live = bench.get(&["configmap", "auth-config", "-n", "like"]);
    assert_eq!(live["data"]["JWT_ALGORITHM"], "ES256");

    std::fs::rename(&away, bench.lab.repository()).unwrap();
    let after = owed(1);
    for field in [".data.JWT_PUBLIC_KEY_ID", ".data.JWT_ALGORITHM"] {
        assert!(after.iter().any(|what| what.contains(field)), "{after:?}");
    }
    bench.ends(3, &["close"]);
    let transcript = bench.ends(0, &["export", "INC-701"]).out;
    assert!(!transcript.contains("(absent)"), "{transcript}");
    assert!(!transcript.contains("a push to Git"), "{transcript}");
    assert_eq!(
        transcript.matches("(why: logins fail)").count(),
        2,
        "{transcript}"
    );
}

impl Bench {
    /// Takes Git away, until the other half of it is called.
    fn git_away(&self) -> impl FnOnce() {
        let here = self.lab.repository();
        let away = here.with_extension("away");
        std::fs::rename(&here, &away).unwrap();
        move || std::fs::rename(&away, &here).unwrap()
    }
}

/// A plan is not judged by what could not be read, and an incident that was opened then does not end as if nothing had differed.
#[test]
fn an_incident_that_was_opened_without_git_is_looked_at_once_it_is_back() {
    let bench = Bench::new();
    let plan = bench.own_plan();
    let back = bench.git_away();
    let plan = plan.display().to_string();
    let ended = bench.ends(2, &["run", &plan, "--write", "all"]).err;
    for said in [
        "could be read, so that the plan cannot be held against it",
        "nothing was written; the same command goes on once it can be read",
        bench.lab.url(),
    ] {
        assert!(ended.contains(said), "{said}: {ended}");
    }
    assert!(!ended.contains("matches no open cell"), "{ended}");
    for app in APPS {
        let note = "/metadata/annotations/trueup.dev~1frozen";
        assert_eq!(bench.application(app).pointer(note), None, "{app}");
    }
    let refused = bench.ends(3, &["close"]);
    assert!(refused.err.contains("could be read"), "{refused:#?}");
    back();
    // Who only reads writes nothing down, and knows it all the same.
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(status["undecided"], 2, "{status}");
    let closed = bench.document(0, "Close", &["close"]);
    assert_eq!(
        (&closed["undecided"], &closed["notRead"]),
        (&json!(2), &json!(0))
    );
    let journal = bench.ends(0, &["export", "INC-441"]).out;
    assert!(
        journal.contains("snapshot 0 taken: 0 open questions, and it is none of")
            && journal.contains("snapshot 0 taken again: 2 open questions"),
        "{journal}"
    );
    let said = bench.ends(0, &["status", "INC-441"]).out;
    assert!(said.contains("2 questions were left undecided"), "{said}");
}

/// The only copy of a value is overwritten while nobody can say what Git has: it was live at the first look, and that is known.
#[test]
fn what_was_live_while_git_could_not_be_read_is_missed_when_it_is_gone() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let back = bench.git_away();
    let freeze = [
        "freeze",
        "auth-service",
        "--write",
        "cluster",
        "--incident",
        "INC-9",
    ];
    bench.ends(0, &freeze);
    let patch = r#"{"data": {"JWT_PUBLIC_KEY_ID": "key-2024-09", "JWT_ALGORITHM": "HS256"}}"#;
    bench.kubectl(&[
        "-n",
        "auth",
        "patch",
        "configmap",
        "auth-config",
        "--type",
        "merge",
        "-p",
        patch,
    ]);
    back();
    let lost = [
        "live went from RS256, as found at ",
        "live went from key-2024-11-rot, as found at ",
        "; key-2024-11-rot stands nowhere now, and nobody decided on it",
    ];
    let thaw = ["thaw", "auth-service", "--write", "cluster"];
    for round in 0..2 {
        let status = bench.document(1, "Status", &["status"]);
        assert_eq!(status["undecided"], 2, "{round}: {status}");
        assert_eq!(
            status["lost"].as_array().map(Vec::len),
            Some(2),
            "{round}: {status}"
        );
        let said = bench.ends(1, &["status"]).out;
        for lost in lost {
            assert!(said.contains(lost), "{round}: {lost}: {said}");
        }
        for command in [&thaw[..], &["close"]] {
            bench.ends(3, command);
        }
    }
    let thawed = bench.ends(3, &thaw);
    assert!(
        thawed.err.contains("2 fields are not decided yet"),
        "{thawed:#?}"
    );
    let journal = bench.ends(0, &["export", "INC-9"]).out;
    assert!(
        journal.contains("when not all could be read, live moved in 2 fields")
            && journal.contains("key-2024-11-rot"),
        "{journal}"
    );
    // It is taken again once.
    assert_eq!(journal.matches("taken again").count(), 1, "{journal}");
}

/// What a sync replaced that somebody made while Git could not be read here is in the history of Git: nobody misses it.
#[test]
fn what_was_rolled_out_while_git_could_not_be_read_is_not_missed() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let back = bench.git_away();
    bench.ends(
        0,
        &[
            "freeze",
            "profile-service",
            "--write",
            "cluster",
            "--incident",
            "INC-9",
        ],
    );
    back();
    bench.foreign_push("deploy/profile/auth-config.yaml", |text| {
        text.replace("HS256", "HS512")
    });
    let head = bench.lab.git(&["rev-parse", "main"]);
    let sync = json!({"operation": {"sync": {"revision": head.trim()}}}).to_string();
    bench.kubectl(&[
        "-n",
        "argocd",
        "patch",
        "application",
        "profile-service",
        "--type",
        "merge",
        "-p",
        &sync,
    ]);
    crate::support::until("the sync is made", || {
        let app = bench.application("profile-service");
        app["status"]["sync"]["revision"] == head.trim()
            && app["status"]["sync"]["status"] == "Synced"
    });
    let config = bench.get(&["configmap", "auth-config", "-n", "profile"]);
    assert_eq!(config["data"]["JWT_ALGORITHM"], "HS512");
    for _ in 0..2 {
        let status = bench.document(1, "Status", &["status"]);
        assert_eq!(status["lost"], json!([]), "{status}");
        assert_eq!(status["undecided"], 0, "{status}");
        bench.ends(3, &["close"]);
    }
}
