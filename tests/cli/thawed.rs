//! A thaw that is asked for by itself: what the walk does first is not left out, and what was done is told with who did it.

use super::handover::automated;
use super::refused::held_at;
use super::*;
use trueup_core::event::Event;

const WRITE: [&str; 4] = ["--incident", "INC-441", "--write", "cluster"];

fn on(bench: &Bench, code: i32, verb: &str, app: &str) -> Ran {
    bench.ends(code, &[&[verb, app][..], &WRITE].concat())
}

/// All three synced and judged, and one of them given back: the walk was ended right then.
fn one_given_back() -> Bench {
    let bench = Bench::new();
    let plan = bench.own_plan().display().to_string();
    let attested = ["run", &plan, "--write", "all", "--attest", SEEN];
    let place = "after-fsync ended intended thaw argocd/auth-service";
    held_at(&bench, place, &attested, || {
        automated(&bench, "auth-service", &json!({"selfHeal": false}));
    });
    bench
}

fn told(bench: &Bench) -> Vec<Event> {
    let journal = trueup::journal::read(&bench.state, &"INC-441".parse().unwrap()).unwrap();
    journal.into_iter().map(|line| line.record.event).collect()
}

#[test]
fn a_thaw_by_itself_leaves_nothing_out_that_the_walk_does_first() {
    if !have("kubectl") {
        return;
    }
    let bench = one_given_back();
    let syncs = |app: &str| bench.lab.effects().get(&format!("sync {app}")).copied();
    let synced = syncs("like-service");
    let failed = |why: &str| {
        why.contains("somebody changed the policy again (its managed fields name kubectl-patch at")
    };
    let broken = |event: &Event| matches!(event, Event::ThawWatched { holds: false, why, .. } if failed(why));
    let events = told(&bench);
    assert!(events.iter().any(broken), "{events:#?}");

    // One at a time: not while the one before did not stay.
    let ran = on(&bench, 3, "thaw", "like-service");
    assert!(
        ran.err
            .contains("nothing else is thawed yet: argocd/auth-service did not stay as thawed"),
        "{ran:#?}"
    );

    // A refused close is in the journal, once for the same reason.
    for _ in 0..2 {
        bench.ends(3, &["close", "INC-441"]);
    }
    let refused = told(&bench);
    let mut refused = refused
        .iter()
        .filter(|event| matches!(event, Event::Refused { what, rule: 10, .. } if what == "close"));
    assert!(refused.next().is_some() && refused.next().is_none());

    // What changes nothing of any of them changes nothing of what was judged.
    bench.foreign_push("README.md", |text| format!("{text}\nmore\n"));
    let at = |stage: &str| {
        let status = bench.document(1, "Status", &["status"]);
        assert_eq!(status["stage"], stage, "{status}");
    };
    at("thaw");
    on(&bench, 0, "freeze", "auth-service");
    on(&bench, 0, "thaw", "auth-service");
    on(&bench, 0, "thaw", "like-service");
    assert_eq!(syncs("like-service"), synced);

    // What touches the files of one of them has it synced and judged once more.
    bench.foreign_push("deploy/profile/auth-config.yaml", |text| {
        format!("# seen\n{text}")
    });
    at("sync");
    let ran = on(&bench, 3, "thaw", "profile-service");
    for said in [
        "Git has other manifests of it at",
        "`trueup sync argocd/profile-service --incident INC-441 --write cluster`",
    ] {
        assert!(ran.err.contains(said), "{said}: {ran:#?}");
    }
    let closed = bench.document(3, "Close", &["close", "INC-441"]);
    let owed = &closed["owed"][0];
    assert_eq!(
        owed["command"], "trueup sync argocd/profile-service --incident INC-441 --write cluster",
        "{closed}"
    );
    assert!(
        owed["first"].as_str().unwrap().contains("other manifests"),
        "{closed}"
    );
    on(&bench, 0, "sync", "profile-service");
    let ran = on(&bench, 3, "thaw", "profile-service");
    assert!(
        ran.err
            .contains("gate traces after argocd/profile-service is not green"),
        "{ran:#?}"
    );

    // A policy that somebody changes after its thaw is told with who did.
    automated(&bench, "like-service", &json!({"prune": false}));
    let status = bench.document(1, "Status", &["status"]);
    let owed = status["owed"].as_array().unwrap();
    let policy = |owed: &Value| owed["id"] == "thaw:argocd/like-service";
    assert!(owed.iter().any(policy), "whoever asks is told: {status}");
    bench.ends(3, &["close", "INC-441"]);
    let plan = bench.own_plan();
    // Nor does the walk give back what is left beside it.
    let shown = plan.display().to_string();
    let ran = bench.ends(3, &["run", &shown, "--write", "all", "--attest", SEEN]);
    for said in [
        "argocd/like-service was thawed, and its auto-sync is not as targeted any more",
        "`trueup freeze argocd/like-service --incident INC-441 --write cluster`",
    ] {
        assert!(ran.err.contains(said), "{said}: {ran:#?}");
    }
    let ran = on(&bench, 3, "thaw", "profile-service");
    assert!(
        ran.err
            .contains("nothing else is thawed yet: argocd/like-service was thawed"),
        "{ran:#?}"
    );
    on(&bench, 0, "freeze", "like-service");
    bench.walk(0, &plan, &["--write", "all", "--attest", SEEN]);
    bench.assert_recovered();
    let told = bench.ends(0, &["export", "INC-441"]).out;
    let adopted = told.split_once("## Adopted").unwrap().1;
    let adopted = adopted.split_once("\n## ").unwrap().0;
    assert!(
        adopted
            .contains("`like-service` was thawed, and its auto-sync is not as targeted any more")
            && adopted.contains("(by `kubectl-patch at "),
        "{adopted}"
    );
    let again = "once more before the thaw";
    assert!(told.contains(&format!(
        "gate no-401 after profile-service, {again}: green: "
    )));
    assert!(told.contains(&format!("; {again}, at ")), "{told}");
}

/// Auto-sync brought to the cluster what somebody had pushed, and what they pushed to take it back: the same field is not told of as
/// changed once more meanwhile.
#[test]
fn what_is_taken_back_in_git_is_told_of_once() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan().display().to_string();
    let attested = ["run", &plan, "--write", "all", "--attest", SEEN];
    let place = "after-fsync ended intended thaw argocd/profile-service";
    let live =
        || bench.get(&["configmap", "auth-config", "-n", "like"])["data"]["JWT_ALGORITHM"].clone();
    let ran = held_at(&bench, place, &attested, || {
        let clone = bench.somebody("wrong");
        let path = clone.join("deploy/like/auth-config.yaml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("RS256", "HS256")).unwrap();
        bench.git(&clone, &["commit", "-qam", "a wrong idea"]);
        bench.git(&clone, &["push", "-q", "origin", "main"]);
        crate::support::until("what was pushed is live", || live() == "HS256");
    });
    assert_ne!(ran.code, Some(0), "{ran:#?}");
    bench.walk(4, &bench.own_plan(), &["--write", "all", "--attest", SEEN]);
    // Who changed something else is named for nothing of it.
    bench.foreign_push("README.md", |text| format!("{text}\nmore\n"));
    let clone = bench.somebody("rights");
    bench.git(&clone, &["revert", "--no-edit", "HEAD~1"]);
    bench.git(&clone, &["push", "-q", "origin", "main"]);
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while live() != "RS256" {
        let late = std::time::Instant::now() > limit;
        assert!(!late, "{:#}", bench.application("like-service"));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    bench.walk(0, &bench.own_plan(), &["--write", "all", "--attest", SEEN]);
    bench.assert_recovered();
    let of_like = |cell: &trueup_core::decision::CellKey| cell.application.name == "like-service";
    let mut told = told(&bench).into_iter().filter_map(|event| match event {
        Event::Adopted {
            cell: Some(cell),
            what,
            who,
            ..
        } if of_like(&cell) => Some(("moved", what, who)),
        Event::StrayedBack {
            cell, what, who, ..
        } if of_like(&cell) => Some(("back", what, who)),
        _ => None,
    });
    let told: Vec<_> = told.by_ref().collect();
    let moved = told
        .iter()
        .filter(|(how, what, _)| {
            *how == "moved" && what.contains("went from RS256") && !what.contains("again")
        })
        .count();
    assert!((1..=2).contains(&moved), "{told:#?}");
    let (how, what, who) = told.last().unwrap();
    assert_eq!(*how, "back", "{told:#?}");
    assert!(
        what.contains("is RS256 again") && (who.contains("Revert") || who.contains("argocd")),
        "{told:#?}"
    );
    for (_, _, who) in &told {
        assert!(!who.contains("something else"), "{told:#?}");
    }
}

/// Everything is thawed, and somebody brings a wrong value and takes it back before anybody looks.
#[test]
fn what_nobody_judged_is_judged_before_a_run_closes_and_looking_closes_nothing() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    bench.walk(4, &plan, &["--write", "all"]);
    bench.walk(3, &plan, &["--attest", SEEN]);
    let all = ["thaw", "auth-service", "like-service", "profile-service"];
    bench.ends(0, &[&all[..], &WRITE].concat());
    assert!(
        bench
            .ends(0, &["status"])
            .out
            .contains("next: close the incident")
    );

    let live =
        || bench.get(&["configmap", "auth-config", "-n", "like"])["data"]["JWT_ALGORITHM"].clone();
    for (from, to) in [("RS256", "HS256"), ("HS256", "RS256")] {
        bench.foreign_push("deploy/like/auth-config.yaml", |text| {
            text.replace(from, to)
        });
        crate::support::until("what was pushed is live", || live() == to);
    }
    let wrong = bench.lab.git(&["rev-parse", "main~1"]);
    let wrong = format!("a sync of argocd/like-service to {}", wrong.trim());

    let shown = plan.display().to_string();
    let ran = bench.ends(3, &["run", &shown]);
    for said in [
        "not armed: nothing is left but to close it; others did 2 things since",
        "`trueup close INC-441` closes it",
    ] {
        assert!(ran.err.contains(said), "{said}: {ran:#?}");
    }
    // The symptom may not be over yet.
    let armed = ["run", &shown, "--write", "all"];
    crate::support::until("the symptom is over", || {
        let ran = bench.run(&armed);
        let red = ran.err.contains("is not green any more");
        assert!(ran.code == Some(0) || red, "{ran:#?}");
        ran.code == Some(0)
    });
    let told = bench.ends(0, &["export", "INC-441"]).out;
    for said in [wrong.as_str(), "once more before the close: green"] {
        assert!(told.contains(said), "{said}: {told}");
    }
}
