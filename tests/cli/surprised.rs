//! A sync that changed what nobody was shown: the walk stands still until somebody says that they looked at it.

use super::{refused::held_at, *};

/// Something that writes as Argo CD does changes a field between the end of a sync and its reading back.
fn surprised(bench: &Bench, plan: &Path) {
    let plan = plan.display().to_string();
    let place = "after-fsync finished argocd/like-service";
    let run = ["run", &plan, "--write", "all", "-o", "json"];
    held_at(bench, place, &run, || set(bench, "key-evil"));
    let text = bench.ends(0, &["export", "INC-441"]).out;
    assert!(text.contains("1 surprise"), "{text}");
}

fn set(bench: &Bench, key: &str) {
    let patch = json!({"data": {"JWT_PUBLIC_KEY_ID": key}}).to_string();
    let on = [
        "patch",
        "configmap",
        "auth-config",
        "-n",
        "like",
        "--type",
        "merge",
    ];
    let by = ["--field-manager", "argocd-controller", "-p", &patch];
    bench.kubectl(&[&on[..], &by[..]].concat());
}

const ARMED: [&str; 2] = ["--write", "cluster"];

#[test]
fn after_a_surprise_nothing_is_synced_or_thawed_until_somebody_looked() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    surprised(&bench, &plan);
    // What it left open is settled, and still nobody has said that they looked.
    set(&bench, "key-2024-11-rot");
    let unsaid = "changed 1 field that nobody was shown";
    let stopped = bench.walk(3, &plan, &["--write", "all"]);
    assert_eq!(
        (&stopped["rule"], &stopped["stage"]),
        (&json!(3), &json!("sync"))
    );
    assert!(
        stopped["reason"].as_str().unwrap().contains(unsaid),
        "{stopped}"
    );
    let synced = bench.lab.effects();
    for command in [
        ["thaw", "auth-service"],
        ["thaw", "profile-service"],
        ["sync", "like-service"],
        ["sync", "profile-service"],
    ] {
        let refused = bench.ends(3, &[&command[..], &ARMED[..]].concat()).err;
        assert!(
            refused.contains(unsaid) && refused.contains("--seen"),
            "{refused}"
        );
        let shown = bench.ends(3, &command).err;
        assert!(shown.contains(unsaid), "{shown}");
    }
    assert_eq!(bench.lab.effects(), synced);
    let close = bench.ends(3, &["close"]);
    assert!(!close.out.contains("trueup thaw"), "{close:?}");
    assert!(
        close
            .out
            .contains("trueup sync argocd/like-service --incident INC-441 --seen WHY")
    );
    // One that says so without anything of the kind is told that; and one who says so goes on.
    let seen = ["--seen", "ann wrote as the controller"];
    bench.ends(
        3,
        &[&["sync", "profile-service"], &seen[..], &ARMED[..]].concat(),
    );
    assert_eq!(
        bench.document(1, "Status", &["status"])["stopped"]["rule"],
        3
    );
    let went_on = bench.ends(
        0,
        &[&["sync", "like-service"], &seen[..], &ARMED[..]].concat(),
    );
    let said = "jo looked at it: ann wrote as the controller";
    assert!(
        went_on.err.contains(unsaid) && went_on.err.contains(said),
        "{went_on:?}"
    );
    assert!(bench.document(1, "Status", &["status"])["stopped"].is_null());
    bench.walk(0, &plan, &["--write", "all", "--attest", SEEN]);
    bench.assert_recovered();
    let text = bench.ends(0, &["export", "INC-441"]).out;
    assert!(
        text.contains("jo looked at what the sync of") && text.contains("ann wrote"),
        "{text}"
    );
}

#[test]
fn a_run_goes_on_from_a_surprise_where_it_is_said_why() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    surprised(&bench, &plan);
    // What it left open is a question again: it comes first.
    let open = bench.walk(4, &plan, &["--write", "all"]);
    assert_eq!(open["stage"], "decide", "{open}");
    let why = ["--replan", "looked with ann: her script wrote it"];
    bench.walk(3, &plan, &why);
    let unseen = bench.ends(0, &["export", "INC-441"]).out;
    assert!(
        !unseen.contains("looked with ann"),
        "unarmed nothing is said"
    );
    let on = ["--write", "all", "--attest", SEEN];
    bench.walk(0, &plan, &[&why[..], &on[..]].concat());
    bench.assert_recovered();
    let text = bench.ends(0, &["export", "INC-441"]).out;
    assert!(
        text.contains("looked at what the sync of") && text.contains("looked with ann"),
        "{text}"
    );
}
