//! The commands of one stage, where another incident, another folder or another sync is in the way.

use super::*;

/// A freeze that another incident stands against leaves nothing behind, and names that incident.
#[test]
fn a_refused_freeze_opens_nothing() {
    let mut bench = Bench::new();
    let freeze = |incident: &'static str| {
        let command = [
            "freeze",
            "like-service",
            "--incident",
            incident,
            "--no-wait",
        ];
        [&command[..], &["--write", "cluster"]].concat()
    };
    bench.ends(0, &freeze("A-1"));
    let refused = bench.document(3, "Error", &freeze("INC-9"));
    assert_eq!(refused["rule"], 2, "{refused}");
    let hint = refused["hint"].as_str().unwrap();
    assert!(hint.contains("--incident A-1"), "{hint}");
    let list = bench.document(0, "IncidentList", &["incidents"]);
    let incidents = list["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{list}");
    assert_eq!(bench.document(1, "Status", &["status"])["incident"], "A-1");

    // Another laptop: the notes on the cluster tell of an incident that is named, too.
    bench.forget("elsewhere");
    let status = bench.document(1, "Status", &["status", "A-1"]);
    assert_eq!(
        (&status["incident"], &status["frozen"][0]["application"]),
        (&json!("A-1"), &json!("argocd/like-service"))
    );
    let unknown = bench.document(2, "Error", &["status", "INC-9"]);
    assert!(
        unknown["reason"]
            .as_str()
            .unwrap()
            .contains("bears its note"),
        "{unknown}"
    );
    // There it is somebody else's.
    let refused = bench.document(3, "Error", &freeze("INC-9"));
    assert!(
        refused["hint"].as_str().unwrap().contains("its operator"),
        "{refused}"
    );
    assert_eq!(
        bench.document(0, "IncidentList", &["incidents"])["incidents"],
        json!([])
    );
}

/// No sync goes past a gate that waits for somebody.
#[test]
fn a_sync_alone_does_not_pass_a_gate() {
    let bench = Bench::new();
    let plan = bench.plan("waits.yaml", |text| {
        text.replace("expect: no-change", "expect: no-change, then: [traces]")
            .replace(", no-401, traces", "")
    });
    bench.walk(4, &plan, &["--write", "all"]);
    let sync = |code: i32, kind: &str, application: &str| {
        bench.document(code, kind, &["sync", application, "--write", "cluster"])
    };
    let refused = sync(3, "Error", "like-service");
    assert_eq!(refused["rule"], 10, "{refused}");
    assert!(
        refused["reason"].as_str().unwrap().contains("gate traces"),
        "{refused}"
    );
    assert_eq!(sync(0, "Sync", "auth-service")["state"], "synced");
    let syncs = bench
        .lab
        .effects()
        .keys()
        .filter(|what| what.starts_with("sync"))
        .count();
    assert_eq!(syncs, 1, "what is synced is not synced again");
}
