//! A whole incident as records, for tests of whatever reads a journal: three copies of a ConfigMap after a key rotation.

use crate::{
    decision::{CellKey, Decision, LiveOf, Sides, Take, Wanted},
    event::*,
    gate::{Sample, Verdict},
    ids::{Commit, Digest, OpId},
    object::identity::{AppKey, ObjectRef},
    plan::{Gate, Plan, Target, TargetKind},
    span::Span,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The Applications of the sample, in the order of their syncs.
pub const APPS: [&str; 3] = ["auth", "like", "profile"];
const FIELDS: [&str; 2] = [".data.JWT_ALGORITHM", ".data.JWT_PUBLIC_KEY_ID"];
const WANTED: [&str; 2] = ["RS256", "key-2024-11-rot"];
const GIT: [&str; 2] = ["HS256", "key-2024-09"];
const REPOSITORY: &str = "http://127.0.0.1:3000/platform.git";
const PARENT: &str = "1111111111111111111111111111111111111111";
const COMMIT: &str = "9be41c2aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OPERATOR: &str = "mara";

/// The plan of the sample.
pub fn plan() -> Plan {
    Plan::parse(
        r#"
apiVersion: trueup.dev/v1
kind: Plan
incident: INC-441
scope: [auth-service, like-service, profile-service]
targets: {"*": {policy: declared}}
decisions:
- on: {kind: ConfigMap, name: auth-config, namespace: "*"}
  fields: [".data.*"]
  take: {live: {namespace: auth}}
  expect: {".data.JWT_ALGORITHM": RS256}
  reason: post-rotation hotfix is the truth
commit: {branch: main, message: "Reconcile JWT config from live auth-service (INC-441)"}
gates:
  no-401: {prometheus: {value: "share_401", is: "== 0", traffic: "requests", floor: 0.1}, for: 10m, every: 5s}
  traces: {manual: "fresh auth flows in the traces"}
sync:
- {application: auth-service, expect: no-change}
- {application: like-service, then: [healthy]}
- {application: profile-service, then: [healthy, no-401, traces]}
thaw: {order: [auth-service, like-service, profile-service]}
"#,
    )
    .expect("the sample plan is written for this version")
}

/// An Application of the sample by its short name.
pub fn app(name: &str) -> AppKey {
    AppKey::new("argocd", format!("{name}-service"))
}

fn config_map(namespace: &str) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: Some(namespace.into()),
        name: "auth-config".into(),
    }
}

fn live(name: &str) -> [&'static str; 2] {
    match name {
        "auth" => WANTED,
        "like" => ["RS256", "key-2024-09"],
        _ => GIT,
    }
}

/// The fields that differ from what is wanted, from `side` to the wanted value.
fn moves(name: &str, side: [&str; 2]) -> Vec<Changed> {
    (0..2)
        .filter(|n| side[*n] != WANTED[*n])
        .map(|n| Changed {
            object: config_map(name),
            field: FIELDS[n].parse().expect("a path of the sample"),
            from: Some(json!(side[n])),
            to: Some(json!(WANTED[n])),
        })
        .collect()
}

struct Pen {
    now: Timestamp,
    records: Vec<Record>,
}

impl Pen {
    fn write(&mut self, event: Event) {
        self.records.push(Record {
            seq: self.records.len() as u64 + 1,
            time: self.now,
            event,
        });
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap_or(self.now);
    }

    fn act(&mut self, op: &str, effect: Effect, shown: &str) {
        self.write(Event::Intended {
            op: OpId::from(op),
            effect,
            guard: Guard {
                resource_version: Some("4711".into()),
                facts: BTreeMap::new(),
            },
            shown: vec![shown.into()],
            by_hand: Vec::new(),
            by: OPERATOR.into(),
        });
        self.wait(1);
        self.write(Event::Ended {
            op: OpId::from(op),
            outcome: Outcome::Done {
                resource_version: Some("4712".into()),
                found: false,
            },
        });
    }
}

/// The records of the sample, opened to closed.
pub fn records() -> Vec<Record> {
    let mut pen = Pen {
        now: "2026-11-21T14:00:00Z"
            .parse()
            .expect("a time of the sample"),
        records: Vec::new(),
    };
    scope(&mut pen);
    freeze(&mut pen);
    decide(&mut pen);
    commit(&mut pen);
    for name in APPS {
        sync(&mut pen, name);
    }
    strays(&mut pen);
    thaw(&mut pen);
    pen.records
}

fn scope(pen: &mut Pen) {
    let scope: Vec<AppKey> = APPS.iter().map(|name| app(name)).collect();
    pen.write(Event::IncidentOpened {
        incident: plan().incident,
        operator: OPERATOR.into(),
        host: "bridge-1".into(),
        scope: scope.clone(),
        pin: ClusterPin {
            context: "prod-eu-1".into(),
            server: "https://127.0.0.1:6443".into(),
            ca_digest: String::new(),
            uid: "5f0c".into(),
            version: "v1.33.1".into(),
        },
        connection: Connection {
            namespace: "argocd".into(),
            ..Connection::default()
        },
        waits: Waits::default(),
        version: "0.1.0".into(),
        plan: Some(Box::new(plan())),
    });
    pen.write(Event::WaitShortened {
        wait: "gate no-401 for".into(),
        from: "10m".into(),
        to: "60s".into(),
    });
    pen.write(snapshot(0));
    for application in scope {
        pen.write(Event::TargetSet {
            application,
            target: Target {
                policy: Some(TargetKind::Declared),
                automated: None,
                reason: None,
            },
            sync_policy: json!({"automated": {"prune": true, "selfHeal": true}}),
            evidence: "argocd/applications.yaml".into(),
            by: OPERATOR.into(),
        });
    }
    pen.write(Event::BaselineTaken {
        gate: "no-401".into(),
        sample: sample(pen.now, 0.31, Verdict::Red),
    });
    pen.write(Event::Armed {
        write: Armed::All,
        by: OPERATOR.into(),
        host: "bridge-1".into(),
        pid: 4242,
    });
}

fn snapshot(number: u32) -> Event {
    let cells = |n: usize| -> Vec<Value> {
        APPS.iter()
            .map(|name| {
                let mut cell = json!({
                    "application": format!("{name}-service"), "namespace": name,
                    "git": GIT[n], "lastSynced": GIT[n], "live": live(name)[n],
                    "source": {"repo": REPOSITORY, "path": format!("deploy/{name}/auth-config.yaml"), "line": 12 + n},
                });
                if live(name)[n] != GIT[n] {
                    cell["writer"] = json!({"manager": "kubectl-edit", "operation": "Update",
                        "time": "2026-11-14T09:12:00Z", "bound": "upper"});
                }
                cell
            })
            .collect()
    };
    let questions = (0..2)
        .map(|n| {
            json!({"id": format!("q{n}"), "group": "auth-config", "kind": "ConfigMap", "name": "auth-config",
                "field": FIELDS[n], "class": "hotfix", "confidence": "ask",
                "evidence": ["live was changed after the last sync, Git was not"],
                "suggestion": null, "decideWith": [format!("q{}", 1 - n)], "cells": cells(n)})
        })
        .collect();
    let applications = APPS
        .iter()
        .map(|name| {
            json!({"namespace": "argocd", "name": format!("{name}-service"),
                "sync": if *name == "profile" { "Synced" } else { "OutOfSync" }, "health": "Healthy",
                "autoSync": {"state": "off", "frozenBy": null, "offNotBefore": "2026-11-13T08:00:00Z",
                    "offNotAfter": "2026-11-14T09:12:00Z", "evidence": [
                        "it was on at 2026-11-13T08:00:00Z: the last automated sync in status.history",
                        "it was off by 2026-11-14T09:12:00Z: kubectl-edit changed a field and it still stands"]},
                "divergences": 2, "noise": [{"class": "server-default", "count": 14, "reason": "filled in"}]})
        })
        .collect();
    Event::SnapshotTaken {
        number,
        blobs: BTreeMap::new(),
        counts: BTreeMap::from([("ConfigMap".into(), 3)]),
        unread: Vec::new(),
        questions,
        applications,
        heads: BTreeMap::from([(REPOSITORY.into(), Commit::from(PARENT))]),
        again: false,
        incomplete: Vec::new(),
        earlier: Vec::new(),
    }
}

fn freeze(pen: &mut Pen) {
    pen.write(Event::PolicyChanged {
        application: app("like"),
        from: json!({"automated": {"enabled": false}}),
        to: Value::Null,
        who: "unknown".into(),
    });
    for name in APPS {
        let note = json!({"restore": {"metadata": {"annotations": {"trueup.dev/frozen": null}}},
            "incident": "INC-441", "by": OPERATOR, "at": pen.now.to_string(), "found": null});
        let patch = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "4711"},
            {"op": "add", "path": "/metadata/annotations/trueup.dev~1frozen", "value": note.to_string()},
        ]);
        pen.act(
            &format!("freeze-{name}"),
            Effect::Freeze {
                application: app(name),
                mechanism: Mechanism::NoteOnly,
                found: Value::Null,
                patch,
                from: None,
            },
            "put the note on it",
        );
    }
    for round in 0..2 {
        for name in APPS {
            pen.write(Event::FreezeSampled {
                application: app(name),
                sample: HoldSample {
                    at: pen.now,
                    holds: true,
                    why: String::new(),
                    reconciled_at: Some(pen.now),
                },
            });
            if round == 1 {
                pen.write(Event::FreezeProven {
                    application: app(name),
                });
            }
        }
        pen.wait(22);
    }
    pen.write(snapshot(1));
}

fn decide(pen: &mut Pen) {
    pen.wait(140);
    pen.write(Event::Refused {
        what: "decide 6 fields: live of auth".into(),
        rule: 0,
        why: "nothing is decided: live of like (.data.JWT_ALGORITHM) moved from HS256 to RS256 while you were choosing (by kubectl-edit)"
            .into(),
        by: OPERATOR.into(),
        after: Vec::new(),
        failed: false,
    });
    pen.wait(40);
    let take = Take::Live(LiveOf {
        application: None,
        namespace: Some("auth".into()),
    });
    let decisions = APPS
        .iter()
        .flat_map(|name| (0..2).map(move |n| (*name, n)))
        .map(|(name, n)| Decision {
            cell: cell(name, n),
            take: take.clone(),
            seen: Sides {
                git: Some(json!(GIT[n])),
                last_synced: Some(json!(GIT[n])),
                live: Some(json!(live(name)[n])),
            },
            git: Wanted::Value(json!(WANTED[n])),
            live: Wanted::Value(json!(WANTED[n])),
            reason: "post-rotation hotfix is the truth".into(),
            by: OPERATOR.into(),
            at: pen.now,
            pushed: false,
            applied: false,
        })
        .collect();
    pen.write(Event::Decided { decisions });
}

fn cell(name: &str, n: usize) -> CellKey {
    CellKey {
        application: app(name),
        object: config_map(name),
        field: FIELDS[n].parse().expect("a path of the sample"),
    }
}

/// The manifest of a copy as the sample's repository has it.
pub fn manifest(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: auth-config\n  namespace: {name}\n\
         data:\n  JWT_ALGORITHM: HS256    # see runbook\n  JWT_PUBLIC_KEY_ID: key-2024-09\n"
    )
}

fn commit(pen: &mut Pen) {
    pen.wait(60);
    let file = |name: &str| {
        let path = format!("deploy/{name}/auth-config.yaml");
        let before = manifest(name);
        let after = before
            .replace("HS256", "RS256")
            .replace("key-2024-09", "key-2024-11-rot");
        let diff = similar::TextDiff::from_lines(&before, &after)
            .unified_diff()
            .header(&format!("a/{path}"), &format!("b/{path}"))
            .to_string();
        FileDiff {
            path,
            diff,
            fields: 2,
        }
    };
    let proposal = Proposal {
        repository: REPOSITORY.into(),
        branch: "main".into(),
        tracked: "main".into(),
        commit: COMMIT.into(),
        parent: PARENT.into(),
        message: "Reconcile JWT config from live auth-service (INC-441)".into(),
        author: "mara <mara@example.com>".into(),
        author_from: crate::event::AuthorFrom::Unknown,
        bundle: Digest::of(b"bundle"),
        files: APPS.iter().map(|name| file(name)).collect(),
        proof: APPS
            .iter()
            .map(|name| ProofLine {
                application: app(name),
                decided: moves(name, GIT),
                undecided: Vec::new(),
                errors: Vec::new(),
            })
            .collect(),
        cells: APPS
            .iter()
            .flat_map(|name| (0..2).map(move |n| cell(name, n)))
            .collect(),
        others: Vec::new(),
    };
    pen.write(Event::Proposed {
        proposal: Box::new(proposal),
    });
    pen.wait(30);
    pen.act(
        "push-1",
        Effect::Push {
            repository: REPOSITORY.into(),
            branch: "main".into(),
            commit: Commit::from(COMMIT),
            parent: Commit::from(PARENT),
            bundle: Digest::of(b"bundle"),
            tracked: true,
        },
        "push 9be41c2 to main",
    );
    pen.write(Event::Landed {
        repository: REPOSITORY.into(),
        branch: "main".into(),
        revision: Commit::from(COMMIT),
        how: "pushed".into(),
        others: Vec::new(),
        same: Vec::new(),
    });
}

/// A look at a gate, twelve seconds of traffic at 212/s.
fn sample(at: Timestamp, value: f64, verdict: Verdict) -> Sample {
    Sample {
        at,
        value: Some(value),
        traffic: Some(212.0),
        verdict,
        why: if verdict == Verdict::Green {
            format!("{value}, is == 0")
        } else {
            format!("{value}, is not == 0")
        },
        unasked: false,
    }
}

fn sync(pen: &mut Pen, name: &str) {
    pen.wait(5);
    let changes = moves(name, live(name));
    pen.write(Event::Predicted {
        application: app(name),
        revision: Commit::from(COMMIT),
        prediction: Box::new(Prediction {
            changes: changes.clone(),
            bookkeeping: vec!["resourceVersion".into(), "last-applied".into()],
            ..Prediction::default()
        }),
    });
    pen.wait(10);
    let op = format!("sync-{name}");
    let patch = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": "4711"},
        {"op": "remove", "path": "/status/operationState"},
        {"op": "add", "path": "/operation", "value": {
            "initiatedBy": {"username": OPERATOR}, "info": [{"name": "trueup.dev/op", "value": op}],
            "sync": {"revision": COMMIT, "prune": false, "syncStrategy": {"hook": {}}}}},
    ]);
    pen.act(
        &op,
        Effect::Sync {
            application: app(name),
            revision: Commit::from(COMMIT),
            patch,
        },
        "start a sync at 9be41c2, prune off",
    );
    pen.wait(4);
    pen.write(Event::OperationFinished {
        application: app(name),
        op: OpId(op.clone()),
        phase: "Succeeded".into(),
        message: "successfully synced (all tasks run)".into(),
        revision: COMMIT.into(),
        finished_at: Some(pen.now),
    });
    pen.write(Event::SyncVerified {
        application: app(name),
        op: OpId(op),
        changes,
        surprises: Vec::new(),
        brought: Vec::new(),
        overwritten: Vec::new(),
    });
    let gates: &[&str] = match name {
        "auth" => &[],
        "like" => &["healthy"],
        _ => &["healthy", "no-401"],
    };
    for gate_name in gates {
        gate(pen, name, gate_name);
    }
    if name == "profile" {
        pen.write(Event::Attested {
            gate: "traces".into(),
            who: "jonas".into(),
            saw: "12 fresh logins, all green".into(),
            after: vec![app(name)],
        });
    }
}

fn gate(pen: &mut Pen, name: &str, gate: &str) {
    let measured = plan().gates.remove(gate);
    let spec = measured.unwrap_or_else(|| {
        Gate::Measured(crate::plan::MeasuredGate {
            health: Some(crate::plan::HealthGate::default()),
            ..Default::default()
        })
    });
    let metric = gate == "no-401";
    pen.write(Event::GateStarted {
        application: app(name),
        gate: gate.into(),
        spec,
        hold: Span::seconds(if metric { 60 } else { 0 }),
        every: Span::seconds(5),
        within: Span::seconds(660),
    });
    let falling = [0.31, 0.31, 0.3, 0.22, 0.15, 0.08, 0.03, 0.01];
    let values: Vec<f64> = if metric {
        falling.into_iter().chain([0.0; 13]).collect()
    } else {
        vec![0.0; 2]
    };
    for value in values {
        pen.wait(5);
        let sample = match metric {
            true if value > 0.0 => sample(pen.now, value, Verdict::Red),
            true => sample(pen.now, value, Verdict::Green),
            false => Sample {
                at: pen.now,
                value: None,
                traffic: None,
                verdict: Verdict::Green,
                why: "Healthy".into(),
                unasked: false,
            },
        };
        pen.write(Event::GateSampled {
            application: app(name),
            gate: gate.into(),
            sample,
        });
    }
    pen.write(Event::GatePassed {
        application: app(name),
        gate: gate.into(),
    });
}

/// Somebody scales a Deployment down and up again, on which nobody has decided.
fn strays(pen: &mut Pen) {
    let cell = CellKey {
        application: app("profile"),
        object: ObjectRef {
            group: "apps".into(),
            version: "v1".into(),
            kind: "Deployment".into(),
            namespace: Some("profile".into()),
            name: "profile-service".into(),
        },
        field: ".spec.replicas".parse().expect("a path of the sample"),
    };
    let sides = |live: u8| Sides {
        git: Some(json!(3)),
        last_synced: Some(json!(3)),
        live: Some(json!(live)),
    };
    let what = |moved: &str| format!("{} {}: {moved}", cell.object, cell.field);
    pen.wait(3);
    pen.write(Event::Strayed {
        cell: cell.clone(),
        what: what("live went from 3 to 1, and nobody decided on it"),
        who: "kubectl-patch".into(),
        sides: sides(1),
        was: Some(sides(3)),
    });
    pen.wait(4);
    pen.write(Event::StrayedBack {
        cell: cell.clone(),
        what: what("live is 3 again"),
        who: "kubectl-patch".into(),
        sides: sides(3),
    });
}

fn thaw(pen: &mut Pen) {
    for name in APPS {
        pen.wait(3);
        if name == APPS[2] {
            pen.write(Event::GateBeforeThaw {
                application: app(name),
                gate: "no-401".into(),
                sample: sample(pen.now, 0.0, Verdict::Green),
                closing: false,
                settles: false,
            });
        }
        let automated = json!({"prune": true, "selfHeal": true});
        let patch = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "4711"},
            {"op": "add", "path": "/spec/syncPolicy", "value": {"automated": automated.clone()}},
            {"op": "remove", "path": "/metadata/annotations/trueup.dev~1frozen"},
        ]);
        pen.act(
            &format!("thaw-{name}"),
            Effect::Thaw {
                application: app(name),
                automated,
                patch,
                operation_before: None,
            },
            "auto-sync on: prune, selfHeal",
        );
        for round in 1..=2 {
            pen.wait(4);
            pen.write(Event::ThawWatched {
                application: app(name),
                round,
                holds: true,
                why: String::new(),
            });
        }
    }
    pen.wait(20);
    pen.write(Event::Closed {
        by: OPERATOR.into(),
    });
}
