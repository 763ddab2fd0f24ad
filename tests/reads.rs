//! The read side against the lab: what a look finds, how the API server's answers are told apart, what commands print.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use trueup::adapters::kube::{ConnectOptions, KubeCluster};
use trueup::cli;
use trueup::engine::mirror::{Bell, Mirror};
use trueup::engine::read::LookOptions;
use trueup::ports::{
    Cluster, ClusterPin, Grant, Kind, Listing, Permission, ReadError, ReadFailure, Served, Watch,
    WatchEvent, WatchHealth, WriteError, WriteKind, WriteRequest, no_log,
};
use trueup::settings::{GlobalArgs, Output, Settings};
use trueup::wiring::wire;
use trueup_core::object::identity::ObjectRef;
use trueup_core::object::redact::Plain;
use trueup_lab::serve::{Lab, ServeOptions};

struct World {
    lab: Lab,
    state: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let lab = Lab::start(&ServeOptions::default()).await.unwrap();
        Self {
            lab,
            state: crate::support::scratch(),
        }
    }

    fn settings(&self, context: &str) -> Settings {
        let text = |key: &str| self.lab.document[key].as_str().unwrap().to_owned();
        Settings::resolve(GlobalArgs {
            kubeconfig: Some(text("kubeconfig").into()),
            context: Some(
                self.lab.document["contexts"][context]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            ),
            prometheus: Some(text("prometheus")),
            config: Some(text("config").into()),
            state_dir: Some(self.state.path().to_owned()),
            output: Output::Json,
            ..GlobalArgs::default()
        })
        .unwrap()
    }

    async fn cluster(&self, context: &str) -> KubeCluster {
        let settings = self.settings(context);
        let mut options = ConnectOptions::new([7; 32], no_log());
        options.kubeconfig = settings.kubeconfig;
        options.context = settings.context;
        KubeCluster::connect(options).await.unwrap()
    }

    /// Gives the operator one of the shipped roles in a namespace.
    async fn grant(&self, role: &str, namespace: &str) {
        let file = format!(
            "{}/../../assets/rbac/{role}.yaml",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(file)
            .unwrap()
            .replace("NAMESPACE", namespace);
        let name = format!("trueup-{role}");
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "namespace": "sre", "name": "operator"}],
        });
        let roles = trueup_core::source::yaml::parse(&text).unwrap();
        for object in roles.values().unwrap().iter().chain([&binding]) {
            self.lab.admin.create(object).await.unwrap();
        }
    }
}

/// The line of a file at the head of `main` on which a ConfigMap's key stands.
fn line_in_git(world: &World, path: &str, field: &str) -> u64 {
    let url = world.lab.document["repositories"][0]["url"]
        .as_str()
        .unwrap()
        .trim_start_matches("file://");
    let shown = std::process::Command::new("git")
        .args(["--git-dir", url, "show", &format!("main:{path}")])
        .output()
        .unwrap();
    let key = field.rsplit('.').next().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    let line = text
        .lines()
        .position(|line| line.trim_start().starts_with(&format!("{key}:")))
        .unwrap();
    line as u64 + 1
}

fn object(group: &str, version: &str, kind: &str, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        namespace: Some(namespace.into()),
        name: name.into(),
    }
}

fn patch(object: &ObjectRef, kind: WriteKind, body: Value) -> WriteRequest {
    WriteRequest {
        object: object.clone(),
        kind,
        body,
        dry_run: false,
        field_manager: "trueup".into(),
        subresource: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_finds_the_two_questions_of_inc_441() {
    let world = World::start().await;
    let settings = world.settings("reader");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::drift::run(&settings, &cli::drift::Args::default(), &mut out, &mut err).await;
    let report: Value = serde_json::from_slice(&out).unwrap();
    println!("{report:#}\n{}", String::from_utf8_lossy(&err));
    assert_eq!(code, 1);
    assert_eq!(report["kind"], "DriftReport");
    let questions = report["questions"].as_array().unwrap();
    let fields: Vec<&str> = questions
        .iter()
        .map(|q| q["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, [".data.JWT_ALGORITHM", ".data.JWT_PUBLIC_KEY_ID"]);
    for question in questions {
        assert_eq!(
            (&question["class"], &question["confidence"]),
            (&json!("hotfix"), &json!("ask"))
        );
        assert_eq!(question["suggestion"], Value::Null);
        assert_eq!(question["cells"].as_array().unwrap().len(), 3);
        for cell in question["cells"].as_array().unwrap() {
            let source = &cell["source"];
            assert_eq!(
                source["line"].as_u64().unwrap(),
                line_in_git(
                    &world,
                    source["path"].as_str().unwrap(),
                    question["field"].as_str().unwrap()
                )
            );
            assert!(
                cell["source"]["path"]
                    .as_str()
                    .unwrap()
                    .ends_with("auth-config.yaml")
            );
        }
    }
    let apps: BTreeMap<&str, &Value> = report["applications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|app| (app["name"].as_str().unwrap(), app))
        .collect();
    for (name, divergences) in [
        ("auth-service", 2),
        ("like-service", 1),
        ("profile-service", 0),
    ] {
        assert_eq!(apps[name]["divergences"], divergences, "{name}");
        assert_eq!(apps[name]["autoSync"]["state"], "off", "{name}");
        assert!(apps[name]["autoSync"]["offNotBefore"].is_string(), "{name}");
        assert!(apps[name]["autoSync"]["offNotAfter"].is_string(), "{name}");
    }

    // The same question has the same id the next time, and a scope is only its own.
    let mut again = Vec::new();
    let args = cli::drift::Args {
        apps: vec![
            "auth-service".into(),
            "like-service".into(),
            "profile-service".into(),
        ],
    };
    cli::drift::run(&settings, &args, &mut again, &mut err).await;
    let again: Value = serde_json::from_slice(&again).unwrap();
    assert_eq!(again["questions"][0]["id"], report["questions"][0]["id"]);

    // An application that does not exist is named, and the rest is reported all the same.
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = cli::drift::Args {
        apps: vec!["auth-service".into(), "no-such".into()],
    };
    assert_eq!(
        cli::drift::run(&settings, &args, &mut out, &mut err).await,
        2
    );
    let partial: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(partial["applications"].as_array().unwrap().len(), 1);
    assert!(
        partial["errors"][0]["what"]
            .as_str()
            .unwrap()
            .contains("no-such")
    );

    // A table for people.
    let mut table = Vec::new();
    let people = Settings {
        output: Output::Table,
        ..settings.clone()
    };
    cli::drift::run(&people, &cli::drift::Args::default(), &mut table, &mut err).await;
    let table = String::from_utf8(table).unwrap();
    println!("{table}");
    assert!(table.contains("2 open questions over 6 cells."));

    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = cli::watchdog::Args {
        older_than: "4h".parse().unwrap(),
    };
    assert_eq!(
        cli::watchdog::run(&settings, &args, &mut out, &mut err).await,
        1
    );
    let late: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(late["kind"], "WatchdogReport");
    assert_eq!(late["applications"].as_array().unwrap().len(), 3);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = cli::watchdog::Args {
        older_than: "30d".parse().unwrap(),
    };
    assert_eq!(
        cli::watchdog::run(&settings, &args, &mut out, &mut err).await,
        0
    );

    let args = |field: &str| cli::trace::Args {
        app: "auth-service".into(),
        object: "ConfigMap/auth-config".into(),
        field: field.into(),
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(
        cli::trace::run(&settings, &args(".data.JWT_ALGORITHM"), &mut out, &mut err).await,
        0
    );
    let traced: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        (&traced["kind"], &traced["value"]),
        (&json!("Provenance"), &json!("HS256"))
    );
    assert_eq!(traced["source"]["path"], "deploy/auth/auth-config.yaml");
    for field in [".data.NOT_THERE", "no path"] {
        assert_eq!(
            cli::trace::run(&settings, &args(field), &mut Vec::new(), &mut err).await,
            2
        );
    }

    let (mut out, mut err) = (Vec::new(), Vec::new());
    cli::doctor::run(&people, &cli::doctor::Args::default(), &mut out, &mut err).await;
    println!(
        "{}{}",
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap()
    );

    for (context, code) in [("reader", 1), ("operator", 0)] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let got = cli::doctor::run(
            &world.settings(context),
            &cli::doctor::Args::default(),
            &mut out,
            &mut err,
        )
        .await;
        let report: Value = serde_json::from_slice(&out).unwrap();
        println!("{}", serde_json::to_string(&report["missing"]).unwrap());
        assert_eq!(got, code, "{context}: {report:#}");
        let missing = report["missing"].as_array().unwrap();
        assert_eq!(
            missing.contains(&json!(
                "patch applications.argoproj.io/auth-service in argocd"
            )),
            context == "reader"
        );
    }
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_gives_the_engine_what_it_needs_and_lists_each_kind_once() {
    let world = World::start().await;
    let log: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let sink = log.clone();
    let wired = wire(
        &world.settings("operator"),
        [7; 32],
        Arc::new(move |line| sink.lock().unwrap().push(line.what)),
    )
    .await
    .unwrap();
    let options = LookOptions {
        report_only: false,
        pods: true,
        permissions: true,
        owners: true,
        predictions: true,
        git_only: false,
        glance: false,
    };
    let seen = wired.reader.look(None, options).await;
    assert!(seen.errors.is_empty(), "{:?}", seen.errors);
    let auth = &seen.applications[&wired.reader.app_key("auth-service")];
    assert_eq!(auth.branch, "main");
    assert_eq!(auth.pods.len(), 3);
    assert!(
        auth.pods
            .iter()
            .all(|pod| pod.ready && pod.started_at.is_some())
    );
    assert!(
        auth.declared
            .as_ref()
            .unwrap()
            .file
            .ends_with("applications.yaml")
    );
    assert!(auth.base.is_some() && auth.complete);
    assert!(!seen.projects.is_empty());
    assert!(seen.permissions.iter().any(|(need, grant)| {
        need.permission.to_string() == "patch applications.argoproj.io/auth-service in argocd"
            && grant.allowed == Some(true)
    }));
    // What a sync from today's Git would do: break auth, half-break like, nothing to profile.
    let moved = |name: &str| {
        let prediction = seen.applications[&wired.reader.app_key(name)]
            .if_synced
            .as_ref()
            .map(|(prediction, _)| prediction)
            .unwrap();
        assert!(
            prediction.unknown.is_empty()
                && prediction.creates.is_empty()
                && prediction.extra.is_empty(),
            "{prediction:?}"
        );
        prediction
            .changes
            .iter()
            .map(|change| change.field.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        moved("auth-service"),
        [".data.JWT_ALGORITHM", ".data.JWT_PUBLIC_KEY_ID"]
    );
    assert_eq!(moved("like-service"), [".data.JWT_ALGORITHM"]);
    assert!(moved("profile-service").is_empty());
    let log = log.lock().unwrap().clone();
    let lists: Vec<&String> = log
        .iter()
        .filter(|what| what.starts_with("list configmaps"))
        .collect();
    let places: BTreeSet<&String> = lists.iter().copied().collect();
    // The whole cluster, which the operator may not, and then each namespace once.
    assert_eq!((lists.len(), places.len()), (4, 4), "{lists:?}");
    world.lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_tell_a_lost_guard_from_a_wrong_patch_and_a_refusal() {
    let world = World::start().await;
    let operator = world.cluster("operator").await;
    let app = object(
        "argoproj.io",
        "v1alpha1",
        "Application",
        "argocd",
        "like-service",
    );
    let live = operator.get(&app).await.unwrap().unwrap();
    let version = live.pointer("/metadata/resourceVersion").unwrap().clone();
    let guarded = |version: &Value, op: Value| json!([{"op": "test", "path": "/metadata/resourceVersion", "value": version}, op]);
    let note = json!({"op": "add", "path": "/metadata/annotations/probe", "value": "1"});

    let dry = WriteRequest {
        dry_run: true,
        ..patch(&app, WriteKind::JsonPatch, guarded(&version, note.clone()))
    };
    let answer = operator.write(&dry).await.unwrap();
    assert_eq!(
        answer.pointer("/metadata/annotations/probe"),
        Some(&json!("1"))
    );
    assert_eq!(
        operator
            .get(&app)
            .await
            .unwrap()
            .unwrap()
            .pointer("/metadata/annotations/probe"),
        None
    );

    operator
        .write(&patch(
            &app,
            WriteKind::JsonPatch,
            guarded(&version, note.clone()),
        ))
        .await
        .unwrap();
    let stale = operator
        .write(&patch(&app, WriteKind::JsonPatch, guarded(&version, note)))
        .await;
    assert!(
        matches!(stale, Err(WriteError::LostGuard { .. })),
        "{stale:?}"
    );

    let now = operator.get(&app).await.unwrap().unwrap();
    let version = now.pointer("/metadata/resourceVersion").unwrap();
    let wrong = json!({"op": "remove", "path": "/spec/not-there"});
    let wrong = operator
        .write(&patch(&app, WriteKind::JsonPatch, guarded(version, wrong)))
        .await;
    assert!(
        matches!(wrong, Err(WriteError::Refused { code: 422, .. })),
        "{wrong:?}"
    );

    let merge = json!({"metadata": {"resourceVersion": "1", "annotations": {"x": "y"}}});
    let stale = operator
        .write(&patch(&app, WriteKind::MergePatch, merge))
        .await;
    assert!(
        matches!(stale, Err(WriteError::LostGuard { .. })),
        "{stale:?}"
    );

    let reader = world.cluster("reader").await;
    let refused = reader
        .write(&patch(
            &app,
            WriteKind::MergePatch,
            json!({"metadata": {"annotations": {"x": "y"}}}),
        ))
        .await;
    assert!(
        matches!(refused, Err(WriteError::Refused { code: 403, .. })),
        "{refused:?}"
    );

    let config = object("", "v1", "ConfigMap", "auth", "auth-config");
    let redacted = json!({"data": {"x": {"secret": "hmac:0123456789ab"}}});
    let kept = operator
        .write(&patch(&config, WriteKind::MergePatch, redacted))
        .await;
    assert!(matches!(kept, Err(WriteError::NotSent { .. })), "{kept:?}");

    let grants = reader
        .allowed(&[
            Permission::new("list", "", "configmaps", Some("auth")),
            Permission::new("patch", "argoproj.io", "applications", Some("argocd")),
        ])
        .await;
    assert_eq!(
        grants.iter().map(|grant| grant.allowed).collect::<Vec<_>>(),
        [Some(true), Some(false)]
    );
    let unknown = operator
        .list(&Kind::new("example.com", "v1", "Widget"), None)
        .await;
    assert_eq!(unknown.unwrap_err().failure, ReadFailure::NotServed);

    // Whatever is not there is said, in the form that programs read.
    for broken in [
        Settings {
            context: Some("no-such".into()),
            ..world.settings("operator")
        },
        Settings {
            kubeconfig: Some("/nonexistent".into()),
            ..world.settings("operator")
        },
    ] {
        let mut out = Vec::new();
        assert_eq!(
            cli::drift::run(
                &broken,
                &cli::drift::Args::default(),
                &mut out,
                &mut Vec::new()
            )
            .await,
            2
        );
        let report: Value = serde_json::from_slice(&out).unwrap();
        assert!(!report["errors"][0]["hint"].as_str().unwrap().is_empty());
        let mut out = Vec::new();
        assert_eq!(
            cli::doctor::run(
                &broken,
                &cli::doctor::Args::default(),
                &mut out,
                &mut Vec::new()
            )
            .await,
            2
        );
    }

    // The server goes away: nothing was sent.
    let settings = world.settings("operator");
    world.lab.stop().await;
    let gone = operator.get(&config).await.unwrap_err();
    assert_eq!(gone.failure, ReadFailure::Unreachable);
    let lost = operator
        .write(&patch(
            &config,
            WriteKind::MergePatch,
            json!({"data": {"a": "b"}}),
        ))
        .await;
    assert!(matches!(lost, Err(WriteError::NotSent { .. })), "{lost:?}");
    // The lab's folder is gone with it: the kubeconfig as well.
    let mut out = Vec::new();
    assert_eq!(
        cli::drift::run(
            &settings,
            &cli::drift::Args::default(),
            &mut out,
            &mut Vec::new()
        )
        .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_brings_changes_and_secrets_only_as_digests() {
    let world = World::start().await;
    let operator = world.cluster("operator").await;
    let kind = Kind::new("", "v1", "ConfigMap");
    let listing = operator.list(&kind, Some("auth")).await.unwrap();
    assert!(
        listing
            .items
            .iter()
            .all(|item| item["kind"] == "ConfigMap" && item["apiVersion"] == "v1")
    );
    let mut watch = operator
        .watch(&kind, Some("auth"), &listing.resource_version)
        .await
        .unwrap();
    let config = object("", "v1", "ConfigMap", "auth", "auth-config");
    operator
        .write(&patch(
            &config,
            WriteKind::MergePatch,
            json!({"data": {"seen": "yes"}}),
        ))
        .await
        .unwrap();
    let changed = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match watch.events.recv().await.unwrap() {
                WatchEvent::Changed(object) if object.pointer("/data/seen").is_some() => {
                    break object;
                }
                _ => {}
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(changed["kind"], "ConfigMap");
    assert!(watch.health.silent_for() < Duration::from_secs(10));

    // A value that is changed and changed back between two questions is two writes, by name.
    let mirror = Mirror::new(Arc::new(operator.clone()), Bell::new(0));
    mirror.list(&kind, Some("auth")).await.unwrap();
    mirror.trail(|trail| trail.follow(BTreeMap::from([(config.key(), BTreeSet::new())])));
    for value in ["no", "yes"] {
        let body = json!({"data": {"seen": value}});
        let write = patch(&config, WriteKind::MergePatch, body);
        operator.write(&write).await.unwrap();
    }
    mirror.confirm(std::slice::from_ref(&config)).await.unwrap();
    let writes = mirror.trail(|trail| trail.since(0));
    assert_eq!(writes.len(), 2, "{writes:?}");
    assert!(writes[1].contains("ConfigMap/auth-config in auth: .data.seen by trueup"));
    assert_eq!(mirror.take_moved(), BTreeSet::from([config.key()]));
    assert_eq!(mirror.take_gaps(), []);

    let canary = "c4n4ry-value";
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "auth", "name": "keys",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json!({"kind": "Secret", "stringData": {"k": canary}}).to_string()}},
        "stringData": {"k": canary}});
    world.lab.admin.create(&secret).await.unwrap();
    world.grant("secrets", "auth").await;
    let keys = object("", "v1", "Secret", "auth", "keys");
    let read = operator.get(&keys).await.unwrap().unwrap().to_string();
    let listed = format!(
        "{:?}",
        operator
            .list(&Kind::new("", "v1", "Secret"), Some("auth"))
            .await
            .unwrap()
            .items
    );
    for text in [&read, &listed] {
        assert!(
            text.contains("hmac:") && !text.contains(canary) && !text.contains("YzRuNHJ5"),
            "{text}"
        );
    }
    world.lab.stop().await;
}

type Listed = Arc<AtomicUsize>;

/// A cluster whose watches begin at a resourceVersion that the server no longer has, or are refused after they were allowed.
struct Late {
    cluster: KubeCluster,
    from: String,
    lists: Listed,
    refused: bool,
}

#[async_trait::async_trait]
impl Cluster for Late {
    async fn pin(&self) -> Result<ClusterPin, ReadError> {
        self.cluster.pin().await
    }
    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Listing, ReadError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.cluster.list(kind, namespace).await
    }
    async fn get(&self, object: &ObjectRef) -> Result<Option<Value>, ReadError> {
        self.cluster.get(object).await
    }
    async fn reveal(&self, secret: &ObjectRef, key: &str) -> Result<Option<Plain>, ReadError> {
        self.cluster.reveal(secret, key).await
    }
    async fn write(&self, request: &WriteRequest) -> Result<Value, WriteError> {
        self.cluster.write(request).await
    }
    async fn allowed(&self, permissions: &[Permission]) -> Vec<Grant> {
        self.cluster.allowed(permissions).await
    }
    async fn watch(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        _: &str,
    ) -> Result<Watch, ReadError> {
        if !self.refused {
            return self.cluster.watch(kind, namespace, &self.from).await;
        }
        let (sender, events) = tokio::sync::mpsc::channel(1);
        let health = Arc::new(WatchHealth::default());
        health.byte();
        let error = ReadError {
            failure: ReadFailure::Forbidden,
            what: "watch configmaps".to_owned(),
            why: "403 Forbidden".to_owned(),
            hint: String::new(),
        };
        sender.try_send(WatchEvent::Error(error)).unwrap();
        Ok(Watch { events, health })
    }
    async fn served(&self, kinds: &[Kind]) -> Result<Vec<Option<Served>>, ReadError> {
        self.cluster.served(kinds).await
    }
    fn context(&self) -> &str {
        self.cluster.context()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_watch_did_not_see_is_a_gap_and_not_silence() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = crate::support::scratch();
    let config = trueup_lab::api::Config {
        dir: dir.path().to_owned(),
        watch_log: 3,
    };
    let server = trueup_lab::api::Server::start(config).await.unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(
        &kubeconfig,
        server.kubeconfig(&[("admin", server.admin_token())], "admin"),
    )
    .unwrap();
    let mut options = ConnectOptions::new([7; 32], no_log());
    options.kubeconfig = Some(kubeconfig);
    let cluster = KubeCluster::connect(options).await.unwrap();
    assert!(cluster.pin().await.unwrap().version.starts_with('v'));

    let config = |name: &str| object("", "v1", "ConfigMap", "default", name);
    let kind = Kind::new("", "v1", "ConfigMap");
    let make = |name: String| {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": name}});
        patch(&config(&name), WriteKind::Create, body)
    };
    cluster.write(&make("c0".into())).await.unwrap();
    let again = cluster.write(&make("c0".into())).await;
    assert!(
        matches!(again, Err(WriteError::LostGuard { .. })),
        "{again:?}"
    );
    let before = cluster.list(&kind, Some("default")).await.unwrap();
    for n in 1..10 {
        cluster.write(&make(format!("c{n}"))).await.unwrap();
    }
    let mut watch = cluster
        .watch(&kind, Some("default"), &before.resource_version)
        .await
        .unwrap();
    let event = tokio::time::timeout(Duration::from_secs(20), watch.events.recv())
        .await
        .unwrap()
        .unwrap();
    let WatchEvent::Gap { from, items, .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!(from, before.resource_version);
    assert!(items.len() >= 10);

    // Kept: the gap is told once, and what is kept is the state after it, without another list.
    let log = Listed::default();
    let old = Arc::new(Late {
        cluster: cluster.clone(),
        from: before.resource_version.clone(),
        lists: log.clone(),
        refused: false,
    });
    let mirror = Mirror::new(old, Bell::new(0));
    assert_eq!(
        mirror
            .list(&kind, Some("default"))
            .await
            .unwrap()
            .items
            .len(),
        items.len()
    );
    let gap = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(gap) = mirror.take_gaps().pop() {
                return gap;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(
        (gap.kind.as_str(), &gap.from),
        ("ConfigMap", &before.resource_version)
    );
    assert!(gap.why.contains("410"), "{gap:?}");
    assert_eq!(mirror.take_gaps(), []);
    cluster.write(&make("c10".into())).await.unwrap();
    mirror.confirm(&[config("c10")]).await.unwrap();
    let kept = mirror.list(&kind, Some("default")).await.unwrap();
    assert_eq!(kept.items.len(), items.len() + 1);
    assert_eq!(log.load(Ordering::Relaxed), 1);
    assert!(mirror.age().unwrap() < Duration::from_secs(10));
    let event = tokio::time::timeout(Duration::from_secs(20), watch.events.recv()).await;
    assert!(
        matches!(event, Ok(Some(WatchEvent::Changed(_)))),
        "{event:?}"
    );

    // A watch that is taken away is a gap too, once; from then on there are lists.
    let refused = Arc::new(Late {
        cluster: cluster.clone(),
        from: String::new(),
        lists: Listed::default(),
        refused: true,
    });
    let listed = refused.lists.clone();
    let polled = Mirror::new(refused, Bell::new(0));
    polled.list(&kind, Some("default")).await.unwrap();
    let gap = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(gap) = polled.take_gaps().pop() {
                return gap;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(gap.why.contains("403"), "{gap:?}");
    cluster.write(&make("c11".into())).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), async {
        while polled
            .list(&kind, Some("default"))
            .await
            .unwrap()
            .items
            .len()
            < items.len() + 2
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(
        (polled.take_gaps(), listed.load(Ordering::Relaxed)),
        (vec![], 2)
    );
    // The watch above saw it as well.
    let event = tokio::time::timeout(Duration::from_secs(20), watch.events.recv()).await;
    assert!(
        matches!(event, Ok(Some(WatchEvent::Changed(_)))),
        "{event:?}"
    );

    // What comes after the gap is seen again, deletions included.
    let doomed = WriteRequest {
        kind: WriteKind::Delete,
        body: json!({}),
        ..patch(&config("c5"), WriteKind::Delete, json!({}))
    };
    cluster.write(&doomed).await.unwrap();
    let deleted = tokio::time::timeout(Duration::from_secs(20), watch.events.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(&deleted, WatchEvent::Deleted(gone) if gone["metadata"]["name"] == "c5"),
        "{deleted:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_of_a_kubeconfig_is_the_way_to_its_cluster() {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let world = World::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut client = BufReader::new(client);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && client.read_line(&mut head).await? > 0 {}
                let to = head.split(' ').nth(1).unwrap_or_default().to_owned();
                assert!(head.starts_with("CONNECT "), "{head}");
                counted.fetch_add(1, Ordering::Relaxed);
                let mut server = tokio::net::TcpStream::connect(to).await?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    let settings = world.settings("operator");
    let kubeconfig = settings.kubeconfig.unwrap();
    let mut by_proxy: Value =
        serde_json::from_str(&std::fs::read_to_string(kubeconfig).unwrap()).unwrap();
    by_proxy["clusters"][0]["cluster"]["proxy-url"] = json!(format!("http://{proxy}"));
    let path = world.state.path().join("by-proxy");
    std::fs::write(&path, by_proxy.to_string()).unwrap();
    let mut options = ConnectOptions::new([7; 32], no_log());
    options.kubeconfig = Some(path);
    options.context = settings.context;
    let cluster = KubeCluster::connect(options).await.unwrap();
    let config_map = object("", "v1", "ConfigMap", "auth", "auth-config");
    assert!(cluster.get(&config_map).await.unwrap().is_some());
    assert!(asked.load(Ordering::Relaxed) > 0);
    world.lab.stop().await;
}
