//! What was confirmed and refused leaves a trace, with what somebody else had done that it was refused for.

use super::*;
use crate::support::{Running, example};
use trueup_core::event::Event;

/// A command that stands still at a place until something is done.
pub(super) fn held_at(bench: &Bench, place: &str, arguments: &[&str], there: impl FnOnce()) -> Ran {
    let file = |name: &str| bench.home.path().join(name);
    for (name, text) in [("at", place), ("held", ""), ("go", "")] {
        fs::write(file(name), text).unwrap();
    }
    let mut held = command(&example("crashing"), bench.home.path());
    held.args(bench.lab.options()).arg("--state-dir");
    held.arg(&bench.state).args(arguments);
    held.env("HOLD_AT", bench.home.path());
    let mut walk = Running::start(held);
    let until = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(file("held")).unwrap().is_empty() {
        assert!(Instant::now() < until && !walk.ended(), "never {place}");
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::write(file("at"), "").unwrap();
    there();
    fs::write(file("go"), format!("{place}\n")).unwrap();
    walk.end()
}

/// What the journal has of refusals.
fn refused(bench: &Bench) -> Vec<Event> {
    let journal = trueup::journal::read(&bench.state, &"INC-441".parse().unwrap()).unwrap();
    let events = journal.into_iter().map(|line| line.record.event);
    events
        .filter(|event| matches!(event, Event::Refused { .. }))
        .collect()
}

/// Somebody edits one of the Applications while the freeze is under way: it is named, and so is what became of the others.
#[test]
fn an_edit_while_it_freezes_is_told_with_what_is_frozen() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let arguments = [
        &["freeze"][..],
        &APPS,
        &["--incident", "INC-441", "--write", "cluster"],
    ]
    .concat();
    let place = "after-fsync intended freeze argocd/auth-service";
    let ran = held_at(&bench, place, &arguments, || {
        let policy = json!({"spec": {"syncPolicy": {"automated": {"prune": true}}}}).to_string();
        let on = ["-n", "argocd", "patch", "application", "like-service"];
        bench.kubectl(&[&on[..], &["--type=merge", "-p", &policy]].concat());
    });
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    for said in ["auth-service is frozen", "profile-service was not tried"] {
        assert!(ran.err.contains(said), "{said}: {ran:#?}");
    }
    assert_eq!(bench.lab.effects().get("freeze like-service"), None);
    let refused = refused(&bench);
    let [
        Event::Refused {
            what,
            rule: 2,
            why,
            after,
            ..
        },
    ] = refused.as_slice()
    else {
        panic!("{refused:?}");
    };
    assert_eq!((what.as_str(), after.len()), ("freeze 3 applications", 1));
    assert!(
        why.contains("like-service: syncPolicy was null when it was confirmed and is {")
            && why.contains("its managed fields name kubectl-patch at "),
        "{why}"
    );
}

/// Somebody pushes between the proof and the push, and then while the push is under way: each time the journal has what was
/// refused, that nothing was pushed, and what is on the branch.
#[test]
fn a_push_onto_a_branch_that_moved_is_told_with_what_is_there() {
    let bench = Bench::new();
    let plan = bench.own_plan().display().to_string();
    for (n, place) in ["after-fsync proposed", "after-fsync intended push "]
        .into_iter()
        .enumerate()
    {
        let arguments = ["run", &plan, "-o", "json", "--write", "all"];
        let ran = held_at(&bench, place, &arguments, || {
            bench.foreign_push("deploy/auth/auth-config.yaml", |text| {
                format!("# push {n}\n{text}")
            });
        });
        assert_eq!(ran.code, Some(3), "{ran:#?}");
        let head = bench.lab.git(&["rev-parse", "main"]);
        let there = format!("ann <ann@example.org> with {} “something else”", &head[..7]);
        let refused = refused(&bench);
        assert_eq!(refused.len(), n + 1, "{refused:?}");
        let Some(Event::Refused {
            what,
            rule,
            why,
            after,
            ..
        }) = refused.last()
        else {
            unreachable!("it is one");
        };
        assert_eq!((what.as_str(), *rule), ("push to main", 2));
        assert!(why.contains("nothing was pushed"), "{why}");
        assert!(why.contains(&there), "{there}: {why}");
        assert!(after.is_empty(), "{after:?}");
        let told = bench.ends(0, &["export", "INC-441"]).out;
        assert!(told.contains("refused to "), "{told}");
    }
    // What is built on what they pushed says so: the last commit on both.
    let plan = bench.own_plan();
    bench.walk(0, &plan, &["--write", "all", "--attest", SEEN]);
    let told = bench.ends(0, &["export", "INC-441"]).out;
    let (_, others) = told
        .rsplit_once("Built on what others had pushed meanwhile:")
        .unwrap_or_else(|| panic!("{told}"));
    let named = others.lines().filter(|line| line.starts_with("- "));
    let named: Vec<&str> = named.take(2).collect();
    assert!(
        named.len() == 2
            && named
                .iter()
                .all(|line| line.contains("something else") && line.contains("ann")),
        "{named:?}"
    );
}

/// An incident that ends before anything is decided says so wherever its end is told, and its plan is not said to be done.
#[test]
fn a_close_with_nothing_decided_is_not_the_end_of_the_plan() {
    let bench = Bench::new();
    let plan = bench.own_plan().display().to_string();
    bench.ends(3, &["run", &plan]);
    let left = "2 questions were left undecided; nothing was pushed or synced";
    let closed = bench.document(0, "Close", &["close", "INC-441"]);
    assert_eq!(
        (&closed["state"], &closed["undecided"]),
        (&json!("closed"), &json!(2))
    );
    let again = bench.ends(0, &["close", "INC-441"]).out;
    assert!(
        again.contains(&format!("INC-441 is closed; {left}")),
        "{again}"
    );
    let status = bench.document(0, "Status", &["status", "INC-441"]);
    assert_eq!(
        status["leftUndecided"],
        json!({"questions": 2, "parked": 0}),
        "{status}"
    );
    let told = bench.ends(0, &["status", "INC-441"]).out;
    assert!(told.contains(left), "{told}");
    let told = bench.ends(0, &["export", "INC-441"]).out;
    assert!(
        told.contains(&format!("; {left}; nothing is owed")),
        "{told}"
    );
    let refused = bench.ends(3, &["run", &plan, "--write", "all"]);
    assert!(
        refused.err.contains("its plan was not carried out")
            && refused.err.contains(left)
            && refused.err.contains("another incident id"),
        "{refused:?}"
    );
    assert_eq!(bench.lab.pushes(), 1, "nothing was pushed");
}

/// After the syncs somebody sets a field of which the plan says nothing: whatever is asked for next names it, and the plan takes it to Git
/// only when somebody says so.
#[test]
fn what_is_acted_on_after_the_plan_is_pushed_by_nobody_unasked() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    bench.walk(4, &plan, &["--write", "all"]);
    let act = [
        "act",
        "scale",
        "like-service",
        "Deployment/like-service",
        "5",
    ];
    bench.ends(
        0,
        &[&act[..], &["--reason", "load", "--write", "cluster"]].concat(),
    );
    let pushes = bench.lab.pushes();
    let undo = "trueup act undo like-service Deployment/like-service .spec.replicas --incident INC-441 --write cluster";
    let on = ["--write", "all", "--attest", SEEN];
    let refused = bench.walk(3, &plan, &on);
    let reason = refused["reason"].as_str().unwrap();
    assert!(
        reason.contains(".spec.replicas") && reason.contains("the plan says nothing of it"),
        "{reason}"
    );
    for stage in ["sync", "thaw"] {
        for write in [&[][..], &["--write", "cluster"][..]] {
            let ran = bench.ends(3, &[&[stage, "like-service"][..], write].concat());
            let said = "was set by a live action, and Git does not have it so";
            assert!(
                ran.err.contains(said) && ran.err.contains(undo),
                "{stage}: {ran:#?}"
            );
        }
    }
    let closed = bench.document(3, "Close", &["close", "INC-441"]);
    let owed = closed["owed"].as_array().unwrap();
    assert!(owed.iter().any(|owed| owed["command"] == undo), "{closed}");
    assert_eq!(bench.lab.pushes(), pushes);

    let plan = plan.display().to_string();
    let ran = bench.ends(
        0,
        &[&["run", &plan, "--replan", "the load stays"][..], &on].concat(),
    );
    for said in [
        "Deployment/like-service in like .spec.replicas: 3 → 5",
        "was set by a live action: it goes into Git with this commit",
    ] {
        assert!(ran.err.contains(said), "{said}: {}", ran.err);
    }
    let message = bench.lab.git(&["log", "-1", "--format=%s", "main"]);
    assert!(
        message.starts_with("Reconcile like-service: load"),
        "{message}"
    );
}
