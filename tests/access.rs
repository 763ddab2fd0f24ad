//! The roles that are shipped are enough for a walk and its accidents, nothing in them is left unused, and what is taken
//! away is named before it is needed. With `TRUEUP_CLUSTER=1` the walk is made on a real API server too, which needs Go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::support::rights::{self, Right, manifests, operator};
use crate::support::screen::{Over, Screen};
use crate::support::{Bed, FAST, Lab, Ran, Running, command, run, trueup};
use base64::Engine as _;
use serde_json::{Value, json};
use trueup::{
    cli,
    settings::{GlobalArgs, Output, Settings},
};
use trueup_core::{event::Event, policy::NOTE};
use trueup_lab::{
    cluster::{Cluster, Gvk, PatchKind, Ref},
    serve::{Lab as Inside, ServeOptions},
};

const APPLICATIONS: [&str; 3] = ["auth-service", "like-service", "profile-service"];
const NAMESPACES: [&str; 3] = ["auth", "like", "profile"];

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
}

fn of_roles<'a>(roles: impl IntoIterator<Item = &'a Value>) -> BTreeSet<Right> {
    roles.into_iter().flat_map(rights::of_role).collect()
}

fn list<'a>(rights: impl IntoIterator<Item = &'a Right>) -> Vec<String> {
    rights.into_iter().map(ToString::to_string).collect()
}

/// The shipped files with their capitals filled in, by role.
fn shipped() -> BTreeMap<String, BTreeSet<Right>> {
    let mut roles: BTreeMap<String, BTreeSet<Right>> = BTreeMap::new();
    for file in fs::read_dir(assets().join("rbac")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        for mut role in manifests(&file) {
            assert!(!role.to_string().contains('*'), "{}", file.display());
            for rule in role["rules"].as_array_mut().unwrap() {
                if rule["resourceNames"] == json!(["APPLICATION"]) {
                    rule["resourceNames"] = json!(APPLICATIONS);
                }
            }
            let name = role["metadata"]["name"].as_str().unwrap().to_owned();
            let places = match role["metadata"]["namespace"].as_str() {
                // Objects as a whole are in question in one namespace of the lab.
                Some("NAMESPACE") if name == "trueup-whole" => vec!["like"],
                Some("NAMESPACE") => NAMESPACES.to_vec(),
                Some(other) => vec![other],
                None => vec![""],
            };
            let places: Vec<String> = places.into_iter().map(str::to_owned).collect();
            for place in places {
                role["metadata"]["namespace"] = json!(place);
                roles
                    .entry(name.clone())
                    .or_default()
                    .extend(rights::of_role(&role));
            }
        }
    }
    roles
}

#[test]
fn the_labs_operator_has_the_shipped_roles_and_the_reader_those_for_looking() {
    let access = manifests(&assets().join("scenarios/inc-441/access.yaml"));
    for (account, roles) in [
        (
            "operator",
            &[
                "observe", "sweep", "predict", "act", "whole", "argo", "lease",
            ][..],
        ),
        ("reader", &["observe", "sweep"][..]),
    ] {
        let mut has: BTreeMap<String, BTreeSet<Right>> = BTreeMap::new();
        for role in rights::bound(&access, account) {
            let name = role["metadata"]["name"].as_str().unwrap().to_owned();
            has.entry(name).or_default().extend(rights::of_role(role));
        }
        let mut wanted = shipped();
        wanted.retain(|name, _| roles.contains(&name.trim_start_matches("trueup-")));
        assert_eq!(has, wanted, "{account}");
    }
    assert!(shipped().contains_key("trueup-secrets"));
}

/// A lab or a cluster, its operator's trueup, and a colleague with the operator's rights and other tools.
struct Walk {
    lab: Lab,
    home: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Walk {
    fn new() -> Self {
        Self::on(Bed::Lab)
    }

    fn on(bed: Bed) -> Self {
        Self {
            lab: Lab::start_on(bed, &FAST),
            home: crate::support::scratch(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn start(&self, state: &str, arguments: &[&str]) -> Running {
        let mut command = command(&trueup(), self.home.path());
        command.args(self.lab.options());
        command
            .arg("--state-dir")
            .arg(self.state(state))
            .args(arguments);
        Running::start(command)
    }

    #[track_caller]
    fn ends(&self, code: i32, state: &str, arguments: &[&str]) -> Ran {
        let ran = self.start(state, arguments).end();
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        ran
    }

    /// Kills it as soon as the journal has so many of these events.
    #[track_caller]
    fn killed_at(&self, arguments: &[&str], count: usize, is: impl Fn(&Event) -> bool) {
        let incident = "INC-441".parse().unwrap();
        let mut running = self.start("state", arguments);
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            // A line that is being written is torn for a moment.
            let lines = trueup::journal::read(&self.state("state"), &incident).unwrap_or_default();
            let seen = lines.iter().filter(|line| is(&line.record.event)).count();
            if seen >= count {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        running.kill();
        let ran = running.end();
        assert!(ran.killed(), "{arguments:?}: {ran:?}");
    }

    fn plan(&self, plan: &str) -> String {
        let file = self.home.path().join("plan.yaml");
        fs::write(&file, plan).unwrap();
        file.display().to_string()
    }

    /// A patch by somebody who is no trueup.
    fn patched(&self, group: &str, kind: &str, namespace: &str, name: &str, patch: &Value) {
        self.with_colleague(async |colleague| {
            colleague
                .patch(
                    &named(group, kind, namespace, name),
                    "",
                    PatchKind::Merge,
                    patch,
                )
                .await
                .unwrap();
        });
    }

    fn with_colleague<T>(&self, work: impl AsyncFnOnce(Cluster) -> T) -> T {
        self.runtime.block_on(async {
            let kubeconfig = fs::read_to_string(self.lab.text("kubeconfig")).unwrap();
            let colleague = Cluster::connect(&kubeconfig, Some("operator"), "kubectl-edit").await;
            work(colleague.unwrap()).await
        })
    }

    /// Somebody pushes a file to the tracked branch.
    fn push_file(&self, path: &str, text: &str) {
        push_file(
            &self.lab.repository().display().to_string(),
            self.home.path(),
            path,
            text,
        );
    }
}

fn push_file(repository: &str, home: &Path, path: &str, text: &str) {
    let clone = home.join("clone").display().to_string();
    let git = |arguments: &[&str]| {
        let mut git = command(Path::new("git"), home);
        git.args(["-c", "user.name=ann", "-c", "user.email=ann@example.org"]);
        git.args(arguments);
        let ran = run(git);
        assert_eq!(ran.code, Some(0), "git {arguments:?}: {ran:?}");
    };
    git(&["clone", "-q", repository, &clone]);
    fs::write(format!("{clone}/{path}"), text).unwrap();
    git(&["-C", &clone, "add", "."]);
    git(&["-C", &clone, "commit", "-qm", "more"]);
    git(&["-C", &clone, "push", "-q", "origin", "main"]);
}

fn named(group: &str, kind: &str, namespace: &str, name: &str) -> Ref {
    let version = match group {
        "argoproj.io" => "v1alpha1",
        _ => "v1",
    };
    Ref::new(Gvk::new(group, version, kind), namespace, name)
}

/// A ConfigMap that like-service manages and Git does not have.
fn stray() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "stray", "namespace": "like", "annotations": {
            "argocd.argoproj.io/tracking-id": "like-service:/ConfigMap:like/stray",
        }},
        "data": {"left": "behind"},
    })
}

/// A ConfigMap that Git has and like does not.
const BANNER: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: banner\ndata:\n  text: hello\n";

const PLAN: &str = "apiVersion: trueup.dev/v1
kind: Plan
incident: INC-441
scope: [auth-service, like-service, profile-service]
targets: {\"*\": {policy: declared}}
decisions:
- on: {kind: ConfigMap, name: auth-config, namespace: \"*\"}
  fields: [\".data.*\"]
  take: {live: {namespace: auth}}
  reason: the hotfix is the truth
- on: {kind: ConfigMap, name: banner, namespace: like}
  fields: [\".\"]
  take: git
  reason: it was forgotten
- on: {kind: ConfigMap, name: stray, namespace: like}
  fields: [\".\"]
  take: remove
  reason: nobody needs it
commit: {branch: main}
sync:
- {application: auth-service}
- {application: like-service, then: [healthy]}
- {application: profile-service, then: [healthy]}
thaw: {order: [auth-service, like-service, profile-service]}
";

#[test]
fn a_walk_and_its_accidents_use_every_right_of_the_roles_and_no_other() {
    accidents(&Walk::new());
}

#[test]
fn so_they_do_on_a_real_api_server() {
    if std::env::var("TRUEUP_CLUSTER").is_ok_and(|value| value == "1") {
        accidents(&Walk::on(Bed::Cluster));
    } else {
        eprintln!("skipped: TRUEUP_CLUSTER=1 runs it on a real control plane");
    }
}

fn accidents(walk: &Walk) {
    let plan = walk.plan(PLAN);
    let go = ["--write", "all", "run", plan.as_str()];

    // Others change a field of each kind everywhere, and make and forget whole objects.
    walk.push_file("deploy/like/banner.yaml", BANNER);
    walk.with_colleague(async |colleague| colleague.create(&stray()).await.unwrap());
    let port = |port: u16| json!({"spec": {"ports": [{"name": "http", "port": port, "targetPort": "http"}]}});
    let replicas = |count: u8| json!({"spec": {"replicas": count}});
    for namespace in NAMESPACES {
        let service = format!("{namespace}-service");
        walk.patched("", "Service", namespace, &service, &port(8080));
        walk.patched("apps", "Deployment", namespace, &service, &replicas(2));
    }

    // Nothing is missing, and looking works.
    walk.ends(0, "state", &["doctor"]);
    walk.ends(1, "state", &["drift"]);
    walk.ends(1, "state", &["watchdog", "--older-than", "1h"]);
    walk.ends(0, "state", &["status"]);

    // Fields that the plan does not decide: frozen, and no further.
    let left = walk.ends(4, "state", &go);
    assert!(left.err.contains("left over"), "{left:?}");
    for namespace in NAMESPACES {
        let service = format!("{namespace}-service");
        walk.patched("", "Service", namespace, &service, &port(80));
        walk.patched("apps", "Deployment", namespace, &service, &replicas(3));
    }
    // What was found and is gone stays asked: the plan comes to say so.
    let agreed = "- on: {kind: Service, name: \"*\", namespace: \"*\"}
  fields: [\".spec.ports[*]\"]
  take: git
  reason: their owners put it back
- on: {kind: Deployment, name: \"*\", namespace: \"*\"}
  fields: [.spec.replicas]
  take: git
  reason: their owners put it back
commit: {";
    walk.plan(&PLAN.replacen("commit: {", agreed, 1));

    // The freeze is lost, and restored.
    let note = json!({"metadata": {"annotations": {NOTE: null}}});
    walk.patched(
        "argoproj.io",
        "Application",
        "argocd",
        "like-service",
        &note,
    );
    let mended = [&go[..], &["--replan", "it was put back"]].concat();
    let lost = walk.ends(3, "state", &mended);
    assert!(lost.err.contains("lost"), "{lost:?}");
    walk.ends(
        0,
        "state",
        &["--write", "cluster", "freeze", "like-service"],
    );

    // Live actions, each kind of them, and the program gone before it has looked at what became of them.
    let workload = "Deployment/auth-service";
    let actions = [
        &["restart", "auth-service", workload][..],
        &["scale", "auth-service", workload, "4"],
        &["patch", "auth-service", workload, ".spec.replicas", "3"],
    ];
    for (before, action) in actions.into_iter().enumerate() {
        let arguments = [&["--write", "cluster", "act"][..], action].concat();
        walk.killed_at(&arguments, before + 1, |event| {
            matches!(event, Event::ActReread { .. })
        });
    }

    // Killed in the middle of a sync, and gone on with.
    walk.killed_at(
        &go,
        1,
        |event| matches!(event, Event::Intended { effect, .. } if effect.verb() == "sync"),
    );
    walk.ends(0, "state", &go);

    // Another incident, whose journal is lost: thawed from the note alone.
    let freeze = [
        "--incident",
        "INC-442",
        "--write",
        "cluster",
        "freeze",
        "auth-service",
    ];
    walk.ends(0, "lost", &freeze);
    walk.ends(1, "empty", &["status"]);
    walk.ends(0, "empty", &["--write", "cluster", "thaw", "auth-service"]);

    let granted = operator();
    let log = fs::read_to_string(walk.lab.text("auditLog")).unwrap();
    let used = rights::used(&log, "operator", "trueup/", &granted);
    let refused: usize = used.refused.values().sum();
    println!(
        "{} rights granted, {} used; {refused} requests refused: {:?}",
        granted.len(),
        used.used.len(),
        list(used.refused.keys())
    );
    let unused: Vec<&Right> = granted.difference(&used.used).collect();
    assert_eq!(list(unused), Vec::<String>::new(), "granted and not used");
    assert_eq!(
        list(used.beyond.keys()),
        Vec::<String>::new(),
        "used and not granted by the roles"
    );
    // Whole clusters are asked for once, since one list is better than many; never written to, never one object.
    let more: Vec<&Right> = used
        .refused
        .keys()
        .filter(|right| right.verb != "list" || !right.namespace.is_empty())
        .collect();
    assert_eq!(list(more), Vec::<String>::new(), "refused");
}

/// Secrets are listed and watched for the comparison, and one is read when somebody asks for its value: on the screen, and nowhere else.
#[test]
fn the_role_for_secrets_compares_and_reveals_and_no_file_has_a_value() {
    const VALUE: &str = "hunter2-of-the-night";
    let walk = Walk::new();
    let secret = |value: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "keys", "namespace": "like", "annotations": {
                "argocd.argoproj.io/tracking-id": "like-service:/Secret:like/keys",
            }},
            "data": {"k": base64::engine::general_purpose::STANDARD.encode(value)},
        })
    };
    walk.push_file("deploy/like/keys.yaml", &secret("old").to_string());
    let mut role = manifests(&assets().join("rbac/secrets.yaml")).remove(0);
    role["metadata"]["namespace"] = json!("like");
    let name = &role["metadata"]["name"];
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name, "namespace": "like"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": "sre", "name": "operator"}],
    });
    walk.runtime.block_on(async {
        let admin = PathBuf::from(walk.lab.text("dir")).join("admin.kubeconfig");
        let kubeconfig = fs::read_to_string(admin).unwrap();
        let admin = Cluster::connect(&kubeconfig, None, "kubectl")
            .await
            .unwrap();
        for object in [&secret(VALUE), &role, &binding] {
            admin.create(object).await.unwrap();
        }
    });
    let plan = walk.lab.text("plan");
    let left = walk.ends(4, "state", &["--write", "all", "run", plan.as_str()]);
    assert!(left.err.contains("Secret"), "{left:?}");

    let mut options = walk.lab.options();
    let state = walk.state("state");
    options.extend(["--state-dir".into(), state.display().to_string()]);
    options.extend(["resume", "INC-441"].map(str::to_owned));
    let mut screen = Screen::start(&trueup(), &options, walk.home.path(), 140, 45);
    screen.wait_for("the question", |shot| shot.next().starts_with("decide"));
    screen.press("n");
    screen.wait_for("its choices", |shot| shot.over() != Over::Nothing);
    screen.press("esc");
    screen.wait_for("the board", |shot| shot.over() == Over::Nothing);
    screen.press("r");
    screen.wait_for("the offer", |shot| shot.over() != Over::Nothing);
    screen.press("down");
    screen.press("enter");
    screen.wait_text(VALUE);
    screen.send("esc");
    screen.wait_for("that it is gone", |shot| !shot.has(VALUE));
    screen.signal("TERM");
    screen.end();

    let incident = "INC-441".parse().unwrap();
    let lines = trueup::journal::read(&state, &incident).unwrap();
    let told = |line: &&trueup::journal::Line| matches!(line.record.event, Event::Revealed { .. });
    assert_eq!(lines.iter().filter(told).count(), 1);
    let encoded = base64::engine::general_purpose::STANDARD.encode(VALUE);
    let mut folders = vec![state];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(
                !text.contains(VALUE) && !text.contains(&encoded),
                "{} has the value",
                path.display()
            );
        }
    }
    let granted = rights::of_role(&role);
    let log = fs::read_to_string(walk.lab.text("auditLog")).unwrap();
    let used = rights::used(&log, "operator", "trueup/", &granted);
    assert_eq!(list(&used.used), list(&granted));
}

#[test]
fn a_reader_gets_to_the_branch_and_is_told_why_no_further() {
    let walk = Walk::new();
    let plan = walk.lab.text("plan");
    let plan = fs::read_to_string(plan).unwrap();
    let own = plan
        .lines()
        .map(|line| match line.starts_with("commit:") {
            true => "commit: {branch: trueup/INC-441, pullRequest: true}",
            false => line,
        })
        .collect::<Vec<_>>()
        .join("\n");
    let missing = "patch applications.argoproj.io/auth-service in argocd";
    let go = |state: &str, write: &str, plan: &str| {
        let file = walk.plan(plan);
        let options = ["--context", "reader", "-o", "json", "--write", write];
        let all: Vec<&str> = options.into_iter().chain(["run", file.as_str()]).collect();
        let ran = walk.start(state, &all).end();
        let result = ran.documents().pop().unwrap_or_else(|| panic!("{ran:?}"));
        (ran, result)
    };

    let (ran, result) = go("state", "git", &own);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let reason = result["reason"].as_str().unwrap();
    assert!(
        reason.contains("unfrozen, watched") && reason.contains(missing),
        "{reason}"
    );
    assert!(reason.contains("trueup/INC-441"), "{reason}");
    assert_eq!(result["stage"], "commit");
    // Somebody at the same kubeconfig may have it: as whom was asked, and as whom it can be.
    let as_whom = "asked as context reader, with which INC-441 was opened; the kubeconfig's current context is operator: \
                   --context operator asks as that one";
    assert!(reason.contains(as_whom), "{reason}");
    let status = walk.ends(1, "state", &["status"]);
    assert!(
        status
            .out
            .contains(&format!("a right is missing: {as_whom}")),
        "{status:?}"
    );
    let file = walk.plan(&own);
    let again = walk.ends(4, "state", &["run", file.as_str(), "--write", "git"]);
    assert!(
        again.err.contains("go on with --context operator"),
        "{again:?}"
    );

    // The branch is there, its text says what follows, and the tracked one did not move.
    let message = walk
        .lab
        .git(&["log", "-1", "--format=%B", "trueup/INC-441"]);
    assert!(
        message.contains("The next sync brings it to: auth-service, like-service, profile-service"),
        "{message}"
    );
    assert_eq!(
        walk.lab.git(&["rev-parse", "main"]),
        walk.lab.git(&["rev-parse", "trueup/INC-441~1"])
    );
    let told = |ran: &Ran| {
        ran.documents()
            .iter()
            .any(|event| event["type"] == "freezeRight")
    };
    assert!(told(&ran), "{ran:?}");

    // Nothing was written to the cluster, and nobody has to wait for the merge to be told.
    let log = fs::read_to_string(walk.lab.text("auditLog")).unwrap();
    let granted = BTreeSet::new();
    let used = rights::used(&log, "reader", "trueup/", &granted);
    let wrote = |right: &&Right| !["get", "list", "watch"].contains(&right.verb.as_str());
    assert_eq!(list(used.beyond.keys().filter(wrote)), Vec::<String>::new());

    // Once it is merged, the same command says what is left for others.
    walk.lab
        .git(&["update-ref", "refs/heads/main", "refs/heads/trueup/INC-441"]);
    let (ran, result) = go("state", "git", &own);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let reason = result["reason"].as_str().unwrap();
    assert!(
        reason.contains("Git says what was decided") && reason.contains(missing),
        "{reason}"
    );
    let line = walk.ends(1, "state", &["--context", "reader", "status", "--line"]);
    assert!(line.out.contains("unfrozen, watched"), "{line:?}");

    // Somebody who has the right goes on from the branch, on another machine.
    let file = walk.plan(&own);
    let all = [
        "--write",
        "all",
        "run",
        file.as_str(),
        "--attest",
        "traces=jo: seen",
    ];
    walk.ends(0, "operator", &all);
}

#[test]
fn a_reader_who_asks_for_the_tracked_branch_is_refused_by_name() {
    let walk = Walk::new();
    let plan = walk.lab.text("plan");
    let options = [
        "--context",
        "reader",
        "-o",
        "json",
        "--write",
        "all",
        "run",
        plan.as_str(),
    ];
    let ran = walk.ends(4, "state", &options);
    let result = ran.documents().pop().unwrap();
    let reason = result["reason"].as_str().unwrap();
    assert!(
        reason.contains("patch applications.argoproj.io")
            && reason.contains("branch of its own")
            && reason.contains("`commit: {branch: trueup/INC-")
            && reason.contains(", pullRequest: true}`"),
        "{reason}"
    );
    assert_eq!(walk.lab.pushes(), 1, "nothing was pushed");
}

/// Runs `trueup doctor` in this process: its permissions that are not there, by name, with what for and the role.
async fn denied(settings: &Settings) -> Vec<(String, String, String)> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    cli::doctor::run(settings, &cli::doctor::Args::default(), &mut out, &mut err).await;
    let report: Value = serde_json::from_slice(&out).unwrap();
    let text = |check: &Value, part: &str| check[part].as_str().unwrap_or_default().to_owned();
    let checks = report["checks"].as_array().unwrap();
    checks
        .iter()
        .filter(|check| check.get("role").is_some() && check["status"] != "ok")
        .map(|check| {
            (
                text(check, "name"),
                text(check, "neededFor"),
                text(check, "role"),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_taken_away_is_named_beforehand_with_what_it_is_for() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let lab = Inside::start(&ServeOptions::default()).await.unwrap();
    let home = crate::support::scratch();
    let text = |key: &str| lab.document[key].as_str().unwrap().to_owned();
    let settings = Settings::resolve(GlobalArgs {
        kubeconfig: Some(text("kubeconfig").into()),
        config: Some(text("config").into()),
        state_dir: Some(home.path().join("state")),
        output: Output::Json,
        ..GlobalArgs::default()
    })
    .unwrap();
    lab.admin.create(&stray()).await.unwrap();
    let url = lab.document["repositories"][0]["url"].as_str().unwrap();
    push_file(url, home.path(), "deploy/like/banner.yaml", BANNER);

    // What doctor would have is what the operator has.
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let roles = cli::doctor::Args {
        roles: true,
        ..cli::doctor::Args::default()
    };
    assert_eq!(
        cli::doctor::run(&settings, &roles, &mut out, &mut err).await,
        0
    );
    let printed: Value = serde_json::from_slice(&out).unwrap();
    let granted = operator();
    assert_eq!(
        list(&of_roles(printed["items"].as_array().unwrap())),
        list(&granted)
    );
    assert_eq!(denied(&settings).await, []);

    let access = manifests(&assets().join("scenarios/inc-441/access.yaml"));
    let roles = rights::bound(&access, "operator");
    let began = Instant::now();
    for right in &granted {
        // Out of every role that grants it.
        let holding: Vec<&Value> = roles
            .iter()
            .filter(|role| rights::of_role(role).contains(right))
            .copied()
            .collect();
        for role in &holding {
            let rest: Vec<Value> = rights::of_role(role)
                .iter()
                .filter(|other| *other != right)
                .map(rule)
                .collect();
            set_rules(&lab.admin, role, &json!(rest)).await;
        }
        let named = denied(&settings).await;
        let names: Vec<&str> = named.iter().map(|(name, _, _)| name.as_str()).collect();
        assert_eq!(names, [right.to_string()]);
        let (_, needed_for, role) = &named[0];
        assert!(needed_for.len() > 10, "{right}: {needed_for:?}");
        let holders: Vec<&str> = holding
            .iter()
            .filter_map(|role| role["metadata"]["name"].as_str())
            .collect();
        assert!(
            holders.contains(&role.as_str()),
            "{right}: {role} of {holders:?}"
        );
        for role in &holding {
            set_rules(&lab.admin, role, &role["rules"]).await;
        }
    }
    println!("{} rights in {:?}", granted.len(), began.elapsed());
    assert_eq!(denied(&settings).await, []);
    lab.stop().await;
}

fn rule(right: &Right) -> Value {
    let mut rule =
        json!({"apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb]});
    if !right.name.is_empty() {
        rule["resourceNames"] = json!([right.name]);
    }
    rule
}

async fn set_rules(admin: &Cluster, role: &Value, rules: &Value) {
    let target = Ref::of(role).unwrap();
    admin
        .patch(&target, "", PatchKind::Merge, &json!({"rules": rules}))
        .await
        .unwrap();
}
