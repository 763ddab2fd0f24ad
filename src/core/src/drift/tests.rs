//! The comparison on whole incidents, from objects as a cluster and a repository would give them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::report::{Bound, Class, Confidence, DriftReport};
use super::{AppInput, Desired, Input, report};
use crate::object::live::Live;
use crate::object::redact::LAST_APPLIED;
use crate::policy::State;

const NOW: &str = "2026-11-21T08:00:00Z";
const SYNCED: &str = "2026-11-13T06:00:00Z";
const EDITED: &str = "2026-11-14T07:00:00Z";
const NOTED: &str = "2026-11-14T06:30:00Z";

fn config_map(namespace: &str, algorithm: &str, key: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "auth-config", "namespace": namespace},
        "data": {"JWT_ALGORITHM": algorithm, "JWT_PUBLIC_KEY_ID": key}})
}

fn entry(manager: &str, time: &str, fields: Value) -> Value {
    json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1",
        "fieldsV1": fields})
}

fn live(mut object: Value, app: &str, applied: &Value, managed: Vec<Value>) -> Arc<Live> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap().to_owned();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    object["metadata"]["uid"] = json!("0");
    object["metadata"]["resourceVersion"] = json!("9");
    object["metadata"]["annotations"] = json!({
        "argocd.argoproj.io/tracking-id": format!("{app}:/ConfigMap:{namespace}/{name}"),
        LAST_APPLIED: applied.to_string()});
    object["metadata"]["managedFields"] = Value::Array(managed);
    Arc::new(object.into())
}

/// Changes the first live object.
fn change_live(app: &mut AppInput, change: impl FnOnce(&mut Value)) {
    let mut object = Value::clone(&app.live[0]);
    change(&mut object);
    app.live[0] = Arc::new(object.into());
}

fn desired(object: Value, file: &str) -> Desired {
    Desired {
        object: object.into(),
        repo: "file:///remote.git".to_owned(),
        file: file.to_owned(),
        line: 3,
    }
}

/// One of the three applications: Git is the same in all, live is `algorithm` and `key`, `edited` by hand.
fn service(name: &str, algorithm: &str, key: &str, edited: &[&str]) -> AppInput {
    let namespace = name.trim_end_matches("-service");
    let git = config_map(namespace, "HS256", "key-2024-09");
    let mut argo = json!({});
    let mut hand = json!({});
    for field in ["JWT_ALGORITHM", "JWT_PUBLIC_KEY_ID"] {
        let owner = if edited.contains(&field) {
            &mut hand
        } else {
            &mut argo
        };
        owner[format!("f:{field}")] = json!({});
    }
    let mut managed = vec![entry("argocd-controller", SYNCED, json!({"f:data": argo}))];
    if !edited.is_empty() {
        managed.push(entry("kubectl-edit", EDITED, json!({"f:data": hand})));
    }
    let on = json!({"automated": {"prune": true, "selfHeal": true}});
    let declared =
        json!({"metadata": {"name": name, "namespace": "argocd"}, "spec": {"syncPolicy": on}});
    AppInput {
        application: json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd", "resourceVersion": "1",
                "annotations": {"note": "INC-437, off until the rotation is done", LAST_APPLIED: declared.to_string()},
                "managedFields": [
                    entry("kubectl-client-side-apply", "2026-11-01T00:00:00Z", json!({"f:spec": {"f:project": {}}})),
                    entry("kubectl-edit", NOTED, json!({"f:metadata": {"f:annotations": {"f:note": {}}}}))]},
            "spec": {"destination": {"namespace": namespace}},
            "status": {"sync": {"status": "OutOfSync"}, "health": {"status": "Healthy"}, "history": [
                {"id": 1, "deployedAt": "2026-10-01T00:00:00Z", "initiatedBy": {"username": "ann"}},
                {"id": 2, "deployedAt": SYNCED, "initiatedBy": {"automated": true}}]}}),
        desired: vec![desired(
            git.clone(),
            &format!("deploy/{namespace}/auth-config.yaml"),
        )],
        base: Some(vec![git.clone().into()]),
        live: vec![live(
            config_map(namespace, algorithm, key),
            name,
            &git,
            managed,
        )],
        declared: Some(declared),
        ..AppInput::default()
    }
}

fn ask(applications: Vec<AppInput>) -> DriftReport {
    report(&Input {
        applications,
        now: NOW.parse().unwrap(),
    })
}

fn inc_441() -> DriftReport {
    ask(vec![
        service(
            "auth-service",
            "RS256",
            "key-2024-11-rot",
            &["JWT_ALGORITHM", "JWT_PUBLIC_KEY_ID"],
        ),
        service("like-service", "RS256", "key-2024-09", &["JWT_ALGORITHM"]),
        service("profile-service", "HS256", "key-2024-09", &[]),
    ])
}

#[test]
fn inc_441_is_two_questions_over_six_cells() {
    let report = inc_441();
    assert_eq!(report.errors, []);
    let fields: Vec<String> = report
        .questions
        .iter()
        .map(|q| q.field.to_string())
        .collect();
    assert_eq!(fields, [".data.JWT_ALGORITHM", ".data.JWT_PUBLIC_KEY_ID"]);
    let cells: Vec<_> = report.questions.iter().flat_map(|q| &q.cells).collect();
    assert_eq!(
        (cells.len(), cells.iter().filter(|c| c.differs).count()),
        (6, 3)
    );
    for question in &report.questions {
        assert_eq!(question.group.as_deref(), Some("auth-config"));
        assert_eq!(
            (question.class, question.confidence),
            (Class::Hotfix, Confidence::Ask)
        );
        assert_eq!(question.suggestion, None);
        let places: Vec<&str> = question
            .cells
            .iter()
            .map(|c| c.namespace.as_str())
            .collect();
        assert_eq!(places, ["auth", "like", "profile"]);
    }
    assert_eq!(
        report.questions[0].decide_with,
        [report.questions[1].id.clone()]
    );
    assert_eq!(
        report.questions[1].decide_with,
        [report.questions[0].id.clone()]
    );
    let counts: Vec<_> = report.applications.iter().map(|a| a.divergences).collect();
    assert_eq!(counts, [Some(2), Some(1), Some(0)]);
    let asked = |q: &super::report::Question| {
        q.evidence
            .iter()
            .filter(|e| e.contains("nothing is suggested"))
            .count()
    };
    assert!(report.questions.iter().all(|q| asked(q) == 1));
    let writer = report.questions[0].cells[0].writer.as_ref().unwrap();
    assert_eq!(
        (writer.manager.as_str(), writer.bound),
        ("kubectl-edit", Bound::Upper)
    );
    assert_eq!(writer.time, Some(EDITED.parse().unwrap()));
    let said = report
        .questions
        .iter()
        .flat_map(|q| q.evidence.clone())
        .collect::<Vec<_>>()
        .join("\n");
    for part in [
        "auth: kubectl-edit changed it 7 days ago, at 2026-11-14T07:00:00Z",
        "Git has what it had at the last sync",
        "RS256 in auth, like; HS256 in profile",
        "nothing is suggested: it is about authentication",
        "like has the value of auth in .data.JWT_ALGORITHM but not in .data.JWT_PUBLIC_KEY_ID",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}

#[test]
fn auto_sync_went_off_between_the_last_sync_and_the_first_change_that_stands() {
    let report = inc_441();
    for (app, not_after) in report.applications.iter().zip([EDITED, EDITED, NOTED]) {
        let auto = &app.auto_sync;
        assert_eq!(auto.state, State::Off, "{}", app.name);
        assert_eq!(auto.frozen_by, None);
        assert_eq!(auto.off_not_before, Some(SYNCED.parse().unwrap()));
        assert_eq!(
            auto.off_not_after,
            Some(not_after.parse().unwrap()),
            "{}",
            app.name
        );
    }
    let said = report
        .applications
        .iter()
        .map(|a| a.auto_sync.evidence.join("\n"))
        .collect::<Vec<_>>();
    assert!(
        !said[0].contains("likely") && said[2].contains("likely"),
        "{said:#?}"
    );
    // What somebody noted on each of them is said of each, once.
    for said in &said {
        assert_eq!(said.matches("INC-437").count(), 1, "{said}");
    }
}

#[test]
fn the_document_is_as_promised() {
    let document = serde_json::to_value(inc_441()).unwrap();
    assert_eq!(document["apiVersion"], "trueup.dev/v1");
    assert_eq!(document["kind"], "DriftReport");
    let question = &document["questions"][0];
    assert_eq!(question["suggestion"], Value::Null);
    assert!(question.as_object().unwrap().contains_key("suggestion"));
    let cell = &question["cells"][0];
    for (name, value) in [
        ("application", json!("auth-service")),
        ("git", json!("HS256")),
        ("lastSynced", json!("HS256")),
        ("live", json!("RS256")),
        (
            "source",
            json!({"repo": "file:///remote.git", "path": "deploy/auth/auth-config.yaml", "line": 3}),
        ),
        (
            "writer",
            json!({"manager": "kubectl-edit", "operation": "Update", "time": EDITED, "bound": "upper"}),
        ),
    ] {
        assert_eq!(cell[name], value, "{name}");
    }
    let auto = &document["applications"][0]["autoSync"];
    assert_eq!(
        (&auto["state"], &auto["frozenBy"]),
        (&json!("off"), &Value::Null)
    );
    assert_eq!(inc_441(), inc_441());
    assert_eq!(
        serde_json::from_value::<DriftReport>(document).unwrap(),
        inc_441()
    );
}

/// One object with a value on each side (`-` for none), written by `manager`.
fn verdict(
    git: &str,
    base: Option<&str>,
    live_value: &str,
    manager: &str,
) -> Option<(Class, Confidence)> {
    let object = |value: &str| {
        let mut o = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "n"}, "data": {"stays": "1"}});
        if value != "-" {
            o["data"]["x"] = json!(value);
        }
        o
    };
    let mut app = service("one", "HS256", "key-2024-09", &[]);
    app.application["spec"]["destination"]["namespace"] = json!("n");
    app.desired = vec![desired(object(git), "c.yaml")];
    app.base = base.map(|b| vec![object(b).into()]);
    let managed = vec![entry(manager, EDITED, json!({"f:data": {"f:x": {}}}))];
    app.live = vec![live(
        object(live_value),
        "one",
        &object(base.unwrap_or(git)),
        managed,
    )];
    let report = ask(vec![app]);
    assert_eq!(report.errors, []);
    report.questions.first().map(|q| (q.class, q.confidence))
}

#[test]
fn the_first_rule_that_matches_gives_the_class() {
    use Class::*;
    use Confidence::*;
    for (git, base, live, manager, want) in [
        ("a", Some("a"), "a", "argocd-controller", None),
        (
            "b",
            Some("a"),
            "a",
            "argocd-controller",
            Some((PendingRollout, Likely)),
        ),
        ("a", Some("a"), "b", "kubectl-edit", Some((Hotfix, Likely))),
        ("a", Some("a"), "b", "node-fetch", Some((Unknown, Ask))),
        (
            "a",
            Some("a"),
            "b",
            "kube-controller-manager",
            Some((Delegated, Likely)),
        ),
        ("b", Some("a"), "c", "kubectl-edit", Some((Conflict, Ask))),
        ("-", Some("-"), "b", "kubectl-edit", Some((LiveOnly, Ask))),
        ("a", Some("a"), "-", "kubectl-edit", Some((GitOnly, Ask))),
        (
            "-",
            Some("a"),
            "a",
            "argocd-controller",
            Some((PendingRollout, Likely)),
        ),
        (
            "a",
            Some("-"),
            "-",
            "argocd-controller",
            Some((PendingRollout, Likely)),
        ),
        ("a", None, "b", "kubectl-edit", Some((Hotfix, Ask))),
    ] {
        assert_eq!(
            verdict(git, base, live, manager),
            want,
            "{git} {base:?} {live} {manager}"
        );
    }
}

#[test]
fn a_manual_scale_up_is_a_hotfix_and_the_servers_defaults_are_noise() {
    let git = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "pay", "namespace": "n"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "pay"}}, "template": {
            "metadata": {"labels": {"app": "pay"}},
            "spec": {"containers": [{"name": "app", "image": "pay:1", "resources": {"limits": {"cpu": "1000m"}}}]}}}});
    let mut now = crate::object::defaults::fill(&git);
    now["spec"]["replicas"] = json!(5);
    now["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "DEBUG", "value": "true"}]);
    now["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = json!("1");
    now["status"] = json!({"replicas": 5});
    let mut app = service("pay", "HS256", "key-2024-09", &[]);
    app.application["spec"]["destination"]["namespace"] = json!("n");
    app.desired = vec![desired(git.clone(), "pay.yaml")];
    app.base = Some(vec![git.clone().into()]);
    let mut scaled = entry("kubectl", EDITED, json!({"f:spec": {"f:replicas": {}}}));
    scaled["subresource"] = json!("scale");
    app.live = vec![live(now, "pay", &git, vec![scaled])];
    let report = ask(vec![app.clone()]);
    let found: Vec<(String, Class, bool)> = report
        .questions
        .iter()
        .map(|q| (q.field.to_string(), q.class, q.suggestion.is_some()))
        .collect();
    assert_eq!(
        found,
        [
            (".spec.replicas".to_owned(), Class::Hotfix, true),
            (
                r#".spec.template.spec.containers[name="app"].env[name="DEBUG"].value"#.to_owned(),
                Class::LiveOnly,
                false
            )
        ]
    );
    let suggestion = serde_json::to_value(&report.questions[0].suggestion).unwrap();
    assert_eq!(
        suggestion,
        json!({"take": {"live": {"namespace": "n"}}, "rule": "R11"})
    );
    let noise: Vec<Class> = report.applications[0]
        .noise
        .iter()
        .map(|n| n.class)
        .collect();
    assert_eq!(
        noise,
        [Class::ServerNoise, Class::ServerDefault, Class::Cosmetic]
    );

    app.live.push(Arc::new(Live::from(
        json!({"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2",
        "metadata": {"name": "h", "namespace": "n", "ownerReferences": [{"kind": "ScaledObject"}]},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "pay"}}}),
    )));
    assert_eq!(ask(vec![app]).questions[0].class, Class::Delegated);
}

#[test]
fn objects_on_one_side_are_one_divergence() {
    let mut app = service("one", "HS256", "key-2024-09", &[]);
    let mut other = app.desired[0].clone();
    Arc::make_mut(&mut other.object)["metadata"]["name"] = json!("missing");
    app.base.as_mut().unwrap().push(other.object.clone());
    app.desired.push(other);
    let mut extra = Value::clone(&app.live[0]);
    extra["metadata"]["name"] = json!("extra");
    let mut foreign = extra.clone();
    foreign["metadata"]["name"] = json!("foreign");
    foreign["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] =
        json!("two:/ConfigMap:one/foreign");
    app.live
        .extend([extra, foreign].map(|object| Arc::new(object.into())));
    let report = ask(vec![app]);
    let found: Vec<(&str, String, Class)> = report
        .questions
        .iter()
        .map(|q| (q.name.as_str(), q.field.to_string(), q.class))
        .collect();
    assert_eq!(
        found,
        [
            ("extra", ".".to_owned(), Class::LiveOnly),
            ("missing", ".".to_owned(), Class::GitOnly)
        ]
    );
    assert_eq!(report.applications[0].divergences, Some(2));
}

#[test]
fn a_protected_look_alike_is_untouchable_and_no_secret_passes() {
    let mut app = service("auth-service", "RS256", "key-2024-09", &["JWT_ALGORITHM"]);
    change_live(&mut app, |live| {
        live["metadata"]["labels"] = json!({"role": "protected"});
    });
    let report = ask(vec![app.clone()]);
    assert!(
        report
            .questions
            .iter()
            .all(|q| q.class == Class::Untouchable)
    );

    Arc::make_mut(&mut app.desired[0].object)["kind"] = json!("Secret");
    change_live(&mut app, |live| {
        live["kind"] = json!("Secret");
        live["data"]["JWT_ALGORITHM"] = json!("Y2FuYXJ5");
    });
    let report = ask(vec![app]);
    assert!(!serde_json::to_string(&report).unwrap().contains("Y2FuYXJ5"));
    assert_eq!(report.errors.len(), 1);
}

#[test]
fn copies_that_share_little_are_no_group() {
    let mut other = service("like-service", "RS256", "key-2024-09", &["JWT_ALGORITHM"]);
    let change = |object: &mut Value| {
        let data = object["data"].as_object_mut().unwrap();
        data.shift_remove("JWT_PUBLIC_KEY_ID");
        for n in 0..4 {
            data.insert(format!("OTHER_{n}"), json!("1"));
        }
    };
    change_live(&mut other, change);
    change(Arc::make_mut(&mut other.desired[0].object));
    change(Arc::make_mut(&mut other.base.as_mut().unwrap()[0]));
    let auth = service("auth-service", "RS256", "key-2024-09", &["JWT_ALGORITHM"]);
    let report = ask(vec![auth, other]);
    assert_eq!(report.questions.len(), 2);
    assert!(report.questions.iter().all(|q| q.group.is_none()));
    assert_ne!(report.questions[0].id, report.questions[1].id);
}

#[test]
fn a_definition_that_the_server_writes_its_own_way_is_noise_only() {
    let crd = |spec: Value| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "certificates.cert-manager.io", "namespace": null}, "spec": spec})
    };
    let schema =
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}});
    let git = crd(
        json!({"group": "cert-manager.io", "preserveUnknownFields": false, "scope": "Namespaced",
        "names": {"kind": "Certificate", "plural": "certificates"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}),
    );
    let mut live = crd(
        json!({"conversion": {"strategy": "None"}, "group": "cert-manager.io",
        "names": {"plural": "certificates", "kind": "Certificate", "listKind": "CertificateList", "singular": "certificate"},
        "scope": "Namespaced", "versions": [{"schema": schema, "storage": true, "served": true, "name": "v1"}]}),
    );
    live["status"] = json!({"acceptedNames": {}});
    let mut app = service("cert-manager", "HS256", "key-2024-09", &[]);
    app.desired = vec![desired(git.clone(), "crd.yaml")];
    app.base = Some(vec![git.into()]);
    app.live = vec![Arc::new(live.into())];
    let report = ask(vec![app]);
    assert_eq!(report.questions, []);
    let noise: Vec<(Class, usize)> = report.applications[0]
        .noise
        .iter()
        .map(|n| (n.class, n.count))
        .collect();
    assert_eq!(
        noise,
        [
            (Class::ServerNoise, 1),
            (Class::ServerDefault, 3),
            (Class::Cosmetic, 1)
        ]
    );
}

#[test]
fn what_the_control_plane_keeps_on_a_claim_is_noise_and_a_persons_finalizer_is_not() {
    let git = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "n"},
        "spec": {"resources": {"requests": {"storage": "1Gi"}}}});
    let mut now = crate::object::defaults::fill(&git);
    now["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection", "example.org/keep"]);
    now["spec"]["resources"]["requests"]["storage"] = json!("1024Mi");
    now["spec"]["volumeName"] = json!("pv-1");
    let mut app = service("one", "HS256", "key-2024-09", &[]);
    app.application["spec"]["destination"]["namespace"] = json!("n");
    app.desired = vec![desired(git.clone(), "pvc.yaml")];
    app.base = Some(vec![git.clone().into()]);
    app.live = vec![live(now, "one", &git, Vec::new())];
    let fields: Vec<String> = ask(vec![app])
        .questions
        .iter()
        .map(|q| q.field.to_string())
        .collect();
    assert_eq!(fields, [r#".metadata.finalizers[="example.org/keep"]"#]);
}
