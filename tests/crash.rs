//! Never lost: the walk is killed at every boundary of a durable write and of an effect, and goes on as if nothing had
//! happened. What happened is counted by the world (audit log, reflog), not by our journal.
#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::OnceLock,
};

use serde_json::{Value, json};
use support::{FAST, Lab, Ran, command, example, place::Places, run, trueup};
use trueup::{
    adapters::kube::{ConnectOptions, KubeCluster},
    ports::{Cluster, WriteKind, WriteRequest, no_log},
};
use trueup_core::{object::identity::ObjectRef, run::Run};

const INCIDENT: &str = "INC-441";
const APPLICATIONS: [&str; 3] = ["auth-service", "like-service", "profile-service"];

/// One incident in a state folder of its own, walked by as many processes as it takes.
struct Walk<'a> {
    lab: &'a Lab,
    home: tempfile::TempDir,
    plan: PathBuf,
}

impl<'a> Walk<'a> {
    fn new(lab: &'a Lab) -> Self {
        Self {
            lab,
            home: tempfile::tempdir().unwrap(),
            plan: lab.text("plan").into(),
        }
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn journal(&self) -> PathBuf {
        self.state()
            .join("incidents")
            .join(INCIDENT)
            .join("journal.jsonl")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn records(&self) -> Vec<trueup::journal::Line> {
        trueup::journal::read(&self.state(), &INCIDENT.parse().unwrap()).unwrap_or_default()
    }

    fn folded(&self) -> Run {
        let lines = self.records();
        Run::fold(lines.iter().map(|line| &line.record))
    }

    /// `trueup run` on this incident. Once it is open nothing is named but the state folder and the plan, which is the
    /// confirmation: how the world is reached comes from the journal.
    fn command(&self, program: &std::path::Path) -> std::process::Command {
        let mut command = command(program, self.home.path());
        if self.folded().incident.is_none() {
            command.args(self.lab.options());
        }
        command.arg("--state-dir").arg(self.state());
        command.args(["-o", "json", "--write", "all", "run"]);
        command.arg(&self.plan);
        command.args(["--attest", "traces=jo: seen"]);
        command
    }

    /// The same with the killer in it.
    fn crashing(&self) -> std::process::Command {
        let mut command = self.command(&example("crashing"));
        let mut places = Places::after(String::new());
        for line in self.records() {
            places.place(&line.record);
        }
        command.env("CRASH_MILESTONE", places.milestone());
        command
    }

    fn tell(&self, ran: &Ran) -> String {
        let journal = fs::read_to_string(self.journal()).unwrap_or_default();
        let lines: Vec<String> = journal
            .lines()
            .map(|line| line.chars().skip(65).take(300).collect())
            .collect();
        let from = lines.len().saturating_sub(40);
        format!(
            "exit {:?}, signal {:?}\n{}\njournal:\n{}",
            ran.code,
            ran.signal,
            ran.err,
            lines[from..].join("\n")
        )
    }

    /// Everything that has to be so however often the walk was killed.
    fn assert_nothing_lost(&self, pushes_before: usize) {
        let run_ = self.folded();
        assert!(run_.closed.is_some(), "the incident is not closed");
        assert_eq!(run_.open_ops().count(), 0);
        let done = run_.ops.values().filter(|op| op.done()).count();
        assert_eq!(
            done, 10,
            "three freezes, one push, three syncs, three thaws"
        );
        let mut expected = BTreeMap::new();
        for name in APPLICATIONS {
            for what in ["freeze", "sync", "thaw"] {
                expected.insert(format!("{what} {name}"), 1);
            }
        }
        assert_eq!(self.lab.effects(), expected, "counted by the audit log");
        assert_eq!(
            self.lab.pushes() - pushes_before,
            1,
            "counted by the remote"
        );
        assert_eq!(end_state(self.lab), reference().end);

        let mut verify = command(&trueup(), self.home.path());
        verify.arg("verify").arg(self.journal());
        let ran = run(verify);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let mut status = command(&trueup(), self.home.path());
        status.args(self.lab.options());
        status.arg("--state-dir").arg(self.file("nothing"));
        status.args(["-o", "json", "status"]);
        let ran = run(status);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.document()["frozen"], json!([]));
    }
}

/// What stands in the end, without what differs between two labs.
fn end_state(lab: &Lab) -> Value {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let url = lab.document["repositories"][0]["url"].as_str().unwrap();
    let applications = runtime.block_on(async {
        let mut options = ConnectOptions::new([7; 32], no_log());
        options.kubeconfig = Some(lab.text("kubeconfig").into());
        let cluster = KubeCluster::connect(options).await.unwrap();
        let mut all = serde_json::Map::new();
        for name in APPLICATIONS {
            let application = ObjectRef {
                group: "argoproj.io".into(),
                version: "v1alpha1".into(),
                kind: "Application".into(),
                namespace: Some("argocd".into()),
                name: name.into(),
            };
            let seen = cluster.get(&application).await.unwrap().unwrap();
            let spec = seen["spec"].to_string().replace(url, "REPOSITORY");
            let settings = ObjectRef {
                group: String::new(),
                version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: Some(name.trim_end_matches("-service").into()),
                name: "auth-config".into(),
            };
            let settings = cluster.get(&settings).await.unwrap().unwrap();
            all.insert(
                name.into(),
                json!({
                    "spec": serde_json::from_str::<Value>(&spec).unwrap(),
                    "frozen": seen["metadata"]["annotations"].get(trueup_core::policy::NOTE),
                    "operation": seen["status"]["operationState"]["phase"],
                    "sync": seen["status"]["sync"]["status"],
                    "settings": settings["data"],
                }),
            );
        }
        all
    });
    json!({"applications": applications, "git": lab.git(&["rev-parse", "main:deploy"])})
}

/// A walk that nobody killed.
struct Reference {
    end: Value,
    /// Every boundary that it reached, in order, each once.
    points: Vec<String>,
}

fn reference() -> &'static Reference {
    static ONCE: OnceLock<Reference> = OnceLock::new();
    ONCE.get_or_init(|| {
        let lab = Lab::start(&FAST);
        let walk = Walk::new(&lab);
        let seen = walk.file("seen");
        let mut command = walk.crashing();
        command.env("CRASH_SEEN", &seen);
        let ran = run(command);
        assert_eq!(ran.code, Some(0), "{}", walk.tell(&ran));
        let mut points: Vec<String> = Vec::new();
        let mut known = BTreeSet::new();
        for line in fs::read_to_string(&seen).unwrap().lines() {
            if known.insert(line.to_owned()) {
                points.push(line.to_owned());
            }
        }
        let end = end_state(&lab);
        for name in APPLICATIONS {
            let settings = &end["applications"][name]["settings"];
            assert_eq!(settings["JWT_ALGORITHM"], "RS256", "{end}");
            assert_eq!(settings["JWT_PUBLIC_KEY_ID"], "key-2024-11-rot", "{end}");
        }
        Reference { end, points }
    })
}

fn points_of(kind: &str) -> Vec<String> {
    let prefix = format!("{kind} ");
    let all = &reference().points;
    all.iter()
        .filter(|point| point.starts_with(&prefix))
        .cloned()
        .collect()
}

/// Kills one walk at each boundary of a kind, one after the other: each process gets past the place where the one before
/// it was killed, and is killed at the next place where none was yet. The places are those of a walk that nobody
/// killed; records that only a resumed walk has (that it was resumed, requests and samples made again) are the
/// business of [`killed_during_recovery`].
fn chain(kind: &str) {
    let points = points_of(kind);
    assert!(points.len() >= 10, "{points:?}");
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    fs::write(walk.file("at"), points.join("\n")).unwrap();
    fs::write(walk.file("killed"), "").unwrap();
    let mut kills = 0;
    loop {
        let mut command = walk.crashing();
        command.env("CRASH_AT", walk.file("at"));
        command.env("CRASH_KILLED", walk.file("killed"));
        let ran = run(command);
        if !ran.killed() {
            assert_eq!(
                ran.code,
                Some(0),
                "after {kills} kills: {}",
                walk.tell(&ran)
            );
            break;
        }
        kills += 1;
        // A process that dies leaves what it wrote; a machine that dies may lose what was not made durable.
        if kind == "before-fsync" && kills % 2 == 0 {
            cut_last_line(&walk.journal());
        }
    }
    let killed = fs::read_to_string(walk.file("killed")).unwrap();
    let killed: BTreeSet<&str> = killed.lines().collect();
    let left: Vec<&String> = points
        .iter()
        .filter(|point| !killed.contains(point.as_str()))
        .collect();
    assert!(
        left.is_empty(),
        "never killed at {left:#?}\n{}",
        fs::read_to_string(walk.journal()).unwrap_or_default()
    );
    assert_eq!(kills, points.len());
    walk.assert_nothing_lost(pushes);
    println!("{kind}: killed at all {kills} places");
}

fn cut_last_line(journal: &std::path::Path) {
    let text = fs::read(journal).unwrap();
    let whole = &text[..text.len().saturating_sub(1)];
    let keep = whole
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    fs::write(journal, &text[..keep]).unwrap();
}

#[test]
fn killed_before_every_record() {
    chain("before");
}

#[test]
fn killed_with_every_record_torn() {
    chain("torn");
}

#[test]
fn killed_before_every_record_is_durable() {
    chain("before-fsync");
}

#[test]
fn killed_after_every_record() {
    chain("after-fsync");
}

#[test]
fn killed_after_every_effect() {
    chain("after-effect");
}

#[test]
fn killed_after_every_outcome() {
    chain("after-outcome");
}

impl Walk<'_> {
    /// Goes on until the killer has killed at this place.
    fn killed_at(&self, place: &str) {
        fs::write(self.file("at"), place).unwrap();
        fs::write(self.file("killed"), "").unwrap();
        let mut command = self.crashing();
        command.env("CRASH_AT", self.file("at"));
        command.env("CRASH_KILLED", self.file("killed"));
        let ran = run(command);
        assert!(ran.killed(), "{place}: {}", self.tell(&ran));
    }

    fn export(&self, format: &str) -> String {
        let mut export = command(&trueup(), self.home.path());
        export.arg("--state-dir").arg(self.state());
        export.args(["export", INCIDENT, "--format", format]);
        let ran = run(export);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    }

    /// The last line of a walk that says nothing of what may be written.
    fn unarmed(&self) -> Value {
        let mut command = command(&trueup(), self.home.path());
        command.arg("--state-dir").arg(self.state());
        command
            .args(["-o", "json", "run"])
            .arg(self.lab.text("plan"));
        let ran = run(command);
        ran.documents().pop().unwrap_or_default()
    }
}

/// Arming is a consent given to one process. The next one looks up what was in flight, and writes nothing new.
#[test]
fn a_process_that_nobody_armed_looks_up_and_writes_nothing() {
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    for (place, write) in [
        ("after-effect intended push ", "push"),
        ("after-effect intended sync argocd/auth-service", "sync"),
        ("after-effect intended thaw argocd/auth-service", "thaw"),
    ] {
        walk.killed_at(place);
        assert_eq!(walk.folded().open_ops().count(), 1, "{place}");
        let before = (lab.writes().len(), lab.pushes());
        let ended = walk.unarmed();
        assert_eq!(
            (&ended["exit"], &ended["rule"]),
            (&json!(3), &json!(1)),
            "{ended}"
        );
        assert_eq!(
            (lab.writes().len(), lab.pushes()),
            before,
            "{place}: {:?}",
            lab.writes().last()
        );
        let now = walk.folded();
        assert_eq!(now.open_ops().count(), 0, "{place} was not looked up");
        assert!(
            now.ops
                .values()
                .any(|op| op.effect.verb() == write && op.done())
        );
        assert_eq!(now.armed, trueup_core::event::Armed::Nothing);
        // The commands of one stage arm themselves or not at all.
        for arguments in [
            &["sync", "like-service"][..],
            &["thaw", "auth-service"],
            &["freeze", "auth-service"],
            &["act", "restart", "auth-service", "Deployment/auth-service"],
        ] {
            let mut command = command(&trueup(), walk.home.path());
            command.arg("--state-dir").arg(walk.state()).args(arguments);
            assert_eq!(run(command).code, Some(3), "{arguments:?}");
        }
        assert_eq!(lab.writes().len(), before.0, "{place}");
    }
    let ran = run(walk.command(&trueup()));
    assert_eq!(ran.code, Some(0), "{}", walk.tell(&ran));
    walk.assert_nothing_lost(pushes);
    let mut armed = Vec::new();
    for line in walk.records() {
        if let trueup_core::event::Event::Armed { pid, by, host, .. } = &line.record.event {
            assert!(*pid > 0 && by == "jo" && !host.is_empty());
            armed.push(*pid);
        }
    }
    let processes: BTreeSet<&u32> = armed.iter().collect();
    assert_eq!((armed.len(), processes.len()), (4, 4), "each armed itself");
}

/// Killed between a push and the record that it landed: what was pushed is on the remote, and that is what is said.
#[test]
fn a_push_that_nobody_recorded_is_told_as_a_push() {
    for place in [
        "after-effect intended push ",
        "after-outcome ended intended push ",
        "before landed",
    ] {
        let lab = Lab::start(&FAST);
        let pushes = lab.pushes();
        let walk = Walk::new(&lab);
        walk.killed_at(place);
        assert_eq!(lab.pushes() - pushes, 1, "{place}");
        let ran = run(walk.command(&trueup()));
        assert_eq!(ran.code, Some(0), "{}", walk.tell(&ran));
        let head = lab.git(&["rev-parse", "main"]);
        for format in ["md", "html"] {
            let told = walk.export(format);
            assert!(!told.contains("nothing had to change"), "{place} {format}");
            assert!(
                told.contains(&head) && told.contains("pushed; found on the remote"),
                "{place} {format}"
            );
        }
        let told: Value = serde_json::from_str(&walk.export("json")).unwrap();
        let commit = &told["commits"][0];
        assert_eq!(commit["commit"], head);
        assert!(
            commit["landed"].as_str().unwrap().starts_with(&head),
            "{commit}"
        );
        assert_eq!(lab.pushes() - pushes, 1, "{place}");
    }
}

/// A live action killed before, during and after its write: found by its mark, never done twice, and decided in any case.
#[test]
fn a_live_action_is_looked_up_and_never_done_twice() {
    for (place, found) in [
        ("after-fsync intended act on argocd/profile-service", false),
        ("after-effect intended act on argocd/profile-service", true),
        (
            "after-outcome ended intended act on argocd/profile-service",
            true,
        ),
    ] {
        let lab = Lab::start(&FAST);
        let mut walk = Walk::new(&lab);
        let plan = fs::read_to_string(lab.text("plan")).unwrap();
        let act = "act:\n- {application: profile-service, object: Deployment/profile-service, action: {scale: {replicas: 4}}, reason: load}\n";
        walk.plan = walk.file("plan.yaml");
        fs::write(&walk.plan, plan + act).unwrap();
        walk.killed_at(place);
        let scaled = || {
            let writes = lab.writes();
            writes
                .iter()
                .filter(|entry| {
                    entry["objectRef"]["resource"] == "deployments"
                        && entry["responseStatus"]["code"] == 200
                })
                .count()
        };
        assert_eq!(scaled(), usize::from(found), "{place}");
        let ran = run(walk.command(&trueup()));
        assert_eq!(ran.code, Some(0), "{place}: {}", walk.tell(&ran));
        assert_eq!(scaled(), 1, "{place}: it was done twice, or not at all");
        let now = walk.folded();
        let acts = now.ops.values().filter(|op| op.effect.verb() == "act on");
        let told: Vec<bool> = acts.map(trueup_core::run::Op::done).collect();
        assert_eq!(told.iter().filter(|done| **done).count(), 1);
        assert_eq!(told.len(), if found { 1 } else { 2 }, "{place}");
        assert!(now.reread.values().all(|rereads| rereads.len() == 2) && now.reread.len() == 1);
        let git = lab.git(&["show", "main:deploy/profile/deployment.yaml"]);
        assert!(
            git.contains("replicas: 4"),
            "{place}: a live action reaches Git"
        );
    }
}

const OWN: &str = "apiVersion: trueup.dev/v1
kind: Plan
incident: INC-441
scope: [like-service]
targets: {\"*\": {policy: declared}}
decisions:
- on: {kind: ConfigMap, name: auth-config}
  fields: [\".data.*\"]
  take: ignore
  reason: like sets its own
- on: {kind: ConfigMap, name: stray, namespace: like}
  fields: [\".\"]
  take: remove
  reason: left behind
commit: {branch: main}
sync:
- {application: like-service, then: [healthy]}
thaw: {order: [like-service]}
";

/// Killed around the two writes that the lab's own plan has none of: each of them happens once.
#[test]
fn killed_around_what_is_ignored_and_what_is_deleted() {
    let lab = Lab::start(&FAST);
    let mut walk = Walk::new(&lab);
    walk.plan = walk.file("plan.yaml");
    fs::write(&walk.plan, OWN).unwrap();
    let stray = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "stray", "namespace": "like", "annotations": {
            "argocd.argoproj.io/tracking-id": "like-service:/ConfigMap:like/stray",
        }},
        "data": {"left": "behind"},
    });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut options = ConnectOptions::new([7; 32], no_log());
        options.kubeconfig = Some(lab.text("kubeconfig").into());
        let cluster = KubeCluster::connect(options).await.unwrap();
        let request = WriteRequest {
            object: ObjectRef::from_object(&stray).unwrap(),
            kind: WriteKind::Create,
            body: stray,
            dry_run: false,
            field_manager: "kubectl-create".into(),
            subresource: None,
        };
        cluster.write(&request).await.unwrap();
    });
    for what in ["change of what is ignored", "deletion"] {
        let intended = format!("intended {what} argocd/like-service");
        for place in [
            format!("before {intended}"),
            format!("torn {intended}"),
            format!("after-effect {intended}"),
            format!("before ended {intended}"),
            format!("torn ended {intended}"),
            format!("after-outcome ended {intended}"),
        ] {
            walk.killed_at(&place);
        }
    }
    let ran = run(walk.command(&trueup()));
    assert_eq!(ran.code, Some(0), "{}", walk.tell(&ran));
    assert!(walk.folded().closed.is_some());
    assert_eq!(lab.effects()["ignore on like-service"], 1);
    let mut deleted = lab.writes();
    deleted.retain(|w| w["verb"] == "delete" && w["objectRef"]["resource"] == "configmaps");
    assert_eq!(deleted.len(), 1, "{deleted:#?}");
}
