//! Never lost: the walk is killed at every boundary of a durable write and of an effect, and goes on as if nothing had
//! happened. What happened is counted by the world (audit log, reflog), not by our journal.
#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{FAST, Lab, Ran, Running, command, example, place::Places, run, trueup, until};
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
    fn command(&self, program: &Path) -> std::process::Command {
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

    /// Goes on without a killer to the end.
    fn finish(&self) {
        let ran = run(self.command(&trueup()));
        assert_eq!(ran.code, Some(0), "{}", self.tell(&ran));
    }

    /// Walks until it is killed at this boundary.
    fn kill_at(&self, point: &str) {
        fs::write(self.file("at"), point).unwrap();
        let mut command = self.crashing();
        command.env("CRASH_AT", self.file("at"));
        let ran = run(command);
        assert!(ran.killed(), "at {point}: {}", self.tell(&ran));
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

/// Reads objects with the operator's account.
fn read(lab: &Lab, objects: &[ObjectRef]) -> Vec<Value> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut options = ConnectOptions::new([7; 32], no_log());
        options.kubeconfig = Some(lab.text("kubeconfig").into());
        let cluster = KubeCluster::connect(options).await.unwrap();
        let mut all = Vec::new();
        for object in objects {
            all.push(cluster.get(object).await.unwrap().unwrap());
        }
        all
    })
}

fn application(name: &str) -> ObjectRef {
    ObjectRef {
        group: "argoproj.io".into(),
        version: "v1alpha1".into(),
        kind: "Application".into(),
        namespace: Some("argocd".into()),
        name: name.into(),
    }
}

fn specs(lab: &Lab, names: &[&str]) -> Vec<Value> {
    let objects: Vec<ObjectRef> = names.iter().map(|name| application(name)).collect();
    let seen = read(lab, &objects);
    seen.into_iter()
        .map(|mut seen| seen["spec"].take())
        .collect()
}

/// What stands in the end, without what differs between two labs.
fn end_state(lab: &Lab) -> Value {
    let url = lab.document["repositories"][0]["url"].as_str().unwrap();
    let mut all = serde_json::Map::new();
    for name in APPLICATIONS {
        let settings = ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: Some(name.trim_end_matches("-service").into()),
            name: "auth-config".into(),
        };
        let [seen, settings] = read(lab, &[application(name), settings])
            .try_into()
            .expect("two were asked for");
        let spec = seen["spec"].to_string().replace(url, "REPOSITORY");
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
    json!({"applications": all, "git": lab.git(&["rev-parse", "main:deploy"])})
}

/// A walk that nobody killed.
struct Reference {
    end: Value,
    /// Every boundary that it reached, in order, each once.
    points: Vec<String>,
    took: Duration,
}

fn reference() -> &'static Reference {
    static ONCE: OnceLock<Reference> = OnceLock::new();
    ONCE.get_or_init(|| {
        let lab = Lab::start(&FAST);
        let walk = Walk::new(&lab);
        let seen = walk.file("seen");
        let mut command = walk.crashing();
        command.env("CRASH_SEEN", &seen);
        let began = Instant::now();
        let ran = run(command);
        let took = began.elapsed();
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
        Reference { end, points, took }
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

fn cut_last_line(journal: &Path) {
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
        walk.kill_at(place);
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
        walk.kill_at(place);
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
        walk.kill_at(place);
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
            walk.kill_at(&place);
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

/// Each effect is cut off from its outcome, and then the processes that come to look it up are killed in turn at each
/// boundary of their first two records. What a look-up found is lost with the machine once, too, and so is the mirror
/// of the repository with the commit in it.
#[test]
fn killed_during_recovery() {
    let effects = points_of("after-effect");
    assert_eq!(effects.len(), 10);
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    let mut kills = 0;
    for (number, effect) in effects.iter().enumerate() {
        if number % 2 == 0 {
            walk.kill_at(effect);
        } else {
            walk.kill_at(&effect.replace("after-effect", "after-fsync"));
        }
        for nth in 1..=8 {
            if effect.contains("push") {
                let _ = fs::remove_dir_all(walk.state().join("mirrors"));
            }
            let mut command = walk.crashing();
            command.env("CRASH_NTH", nth.to_string());
            command.env("CRASH_SEEN", walk.file("seen"));
            let ran = run(command);
            assert!(ran.killed(), "{effect}, {nth}: {}", walk.tell(&ran));
            kills += 1;
            let seen = fs::read_to_string(walk.file("seen")).unwrap();
            if seen.lines().last().unwrap().starts_with("before-fsync") {
                cut_last_line(&walk.journal());
            }
        }
    }
    walk.finish();
    walk.assert_nothing_lost(pushes);
    println!("killed {kills} times during recovery");
}

/// A small generator, so that a seed says everything (Steele, Lea, Flood: SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Walks killed once, whenever that is. `CRASH_SEED` repeats a choice of moments.
#[test]
fn killed_once_at_random() {
    let seed = std::env::var("CRASH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    println!("CRASH_SEED={seed}");
    let mut state = seed;
    let took = u64::try_from(reference().took.as_millis()).unwrap();
    let moments: Vec<u64> = (0..20).map(|_| random(&mut state) % took).collect();
    std::thread::scope(|scope| {
        for share in moments.chunks(5) {
            scope.spawn(move || {
                for moment in share {
                    let lab = Lab::start(&FAST);
                    let pushes = lab.pushes();
                    let walk = Walk::new(&lab);
                    let mut walking = Running::start(walk.command(&trueup()));
                    std::thread::sleep(Duration::from_millis(*moment));
                    walking.kill();
                    let ran = walking.end();
                    println!("killed after {moment} ms, {} records", walk.records().len());
                    assert!(ran.killed() || ran.code == Some(0), "{}", walk.tell(&ran));
                    walk.finish();
                    walk.assert_nothing_lost(pushes);
                }
            });
        }
    });
}

/// A push outlives the process that began it: it lands while the next process looks, or pushes again.
#[test]
fn a_push_goes_on_after_its_process_was_killed() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    let hook = lab.repository().join("hooks/pre-receive");
    let begun = walk.file("begun");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(
        &hook,
        format!("#!/bin/sh\ntouch {}\nsleep 1\n", begun.display()),
    )
    .unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let mut walking = Running::start(walk.command(&trueup()));
    until("the push begins", || begun.exists());
    walking.kill();
    assert!(walking.end().killed());
    walk.finish();
    walk.assert_nothing_lost(pushes);
}

/// The state folder is gone with the laptop: what is frozen, and how to restore it, is on the cluster.
#[test]
fn what_is_frozen_is_found_without_a_journal() {
    let settings: Vec<&str> = FAST.into_iter().chain(["extras=billing"]).collect();
    let lab = Lab::start(&settings);
    let walk = Walk::new(&lab);
    let before = specs(&lab, &APPLICATIONS);
    walk.kill_at("after-effect intended freeze argocd/profile-service");
    let billing = specs(&lab, &["billing"]);
    let other = tempfile::tempdir().unwrap();
    let mut freeze = command(&example("crashing"), other.path());
    freeze
        .args(lab.options())
        .arg("--state-dir")
        .arg(other.path().join("state"));
    freeze.args(["--write", "cluster", "freeze", "billing"]);
    fs::write(
        walk.file("at"),
        "after-effect intended freeze argocd/billing",
    )
    .unwrap();
    freeze.env("CRASH_AT", walk.file("at"));
    let ran = run(freeze);
    assert!(ran.killed(), "{ran:?}");
    assert_ne!(specs(&lab, &["billing"]), billing);

    let elsewhere = |arguments: &[&str]| {
        let mut command = command(&trueup(), walk.home.path());
        command.args(lab.options());
        command.arg("--state-dir").arg(walk.file("elsewhere"));
        command.args(["-o", "json"]).args(arguments);
        run(command)
    };
    let status = elsewhere(&["status"]);
    assert_eq!(status.code, Some(1), "{status:?}");
    let frozen = status.document()["frozen"].clone();
    let names: Vec<&str> = frozen
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note["application"].as_str().unwrap())
        .collect();
    let all = ["auth-service", "billing", "like-service", "profile-service"];
    assert_eq!(names, all.map(|name| format!("argocd/{name}")));
    let policy = json!({"automated": {"prune": true, "selfHeal": true}});
    assert_eq!(frozen[1]["found"], policy);
    let thaw = elsewhere(&[&["thaw", "--write", "cluster"], all.as_slice()].concat());
    assert_eq!(thaw.code, Some(0), "{thaw:?}");
    assert_eq!(specs(&lab, &APPLICATIONS), before);
    assert_eq!(specs(&lab, &["billing"]), billing);
    let status = elsewhere(&["status"]);
    assert_eq!(
        (status.code, &status.document()["frozen"]),
        (Some(0), &json!([]))
    );
}

#[test]
fn two_processes_on_one_incident() {
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    let first = Running::start(walk.command(&trueup()));
    until("the first one is armed", || {
        walk.folded().armed != trueup_core::event::Armed::Nothing
    });
    let second = run(walk.command(&trueup()));
    assert_eq!(second.code, Some(4), "{second:?}");
    assert!(
        second.err.contains(&format!("pid {}", first.id())),
        "{second:?}"
    );
    // Somebody else, with a state folder of their own.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut third = command(&trueup(), elsewhere.path());
    third.args(lab.options()).env("TRUEUP_OPERATOR", "mia");
    third.arg("--state-dir").arg(elsewhere.path().join("state"));
    third
        .args(["-o", "json", "--write", "all", "run"])
        .arg(lab.text("plan"));
    let third = run(third);
    assert_eq!(third.code, Some(4), "{third:?}");
    assert!(third.err.contains("jo@"), "{third:?}");
    let first = first.end();
    assert_eq!(first.code, Some(0), "{}", walk.tell(&first));
    walk.assert_nothing_lost(pushes);
}

/// Everything below a folder, to see that nothing was written.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(contents(&entry.path())),
            // The lock names the last process that looked.
            false if entry.file_name() == "lock" => {}
            false => {
                found.insert(entry.path(), fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_journal_that_is_not_as_we_wrote_it_is_left_alone() {
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    walk.kill_at("after-fsync intended sync argocd/like-service");
    let journal = walk.journal();
    let header = journal.with_file_name("header.json");
    let (whole, head) = (fs::read(&journal).unwrap(), fs::read(&header).unwrap());
    let text = String::from_utf8(whole.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |gone: usize| {
        let mut left = lines.clone();
        left.remove(gone);
        left.join("\n") + "\n"
    };
    let edited = text.replacen("auth-service", "auth-servicf", 1);
    assert_ne!(edited, text);
    let newer = r#"{"format":[2,0],"incident":"INC-441","tool":"9.0.0"}"#;
    for (what, journal_text, header_text) in [
        ("a line cut out", without(lines.len() / 2), None),
        ("the first line cut off", without(0), None),
        ("a line edited", edited, None),
        ("a newer version", text.clone(), Some(newer)),
    ] {
        fs::write(&journal, journal_text).unwrap();
        fs::write(&header, header_text.map_or(head.as_slice(), str::as_bytes)).unwrap();
        let (files, writes) = (contents(&walk.state()), lab.writes().len());
        let mut command = command(&trueup(), walk.home.path());
        command
            .args(lab.options())
            .arg("--state-dir")
            .arg(walk.state());
        command
            .args(["--write", "all", "run"])
            .arg(lab.text("plan"));
        let ran = run(command);
        assert_eq!(ran.code, Some(2), "{what}: {ran:?}");
        assert!(ran.err.contains("hint"), "{what}: {ran:?}");
        assert!(
            contents(&walk.state()) == files,
            "{what}: something was written"
        );
        assert_eq!(lab.writes().len(), writes, "{what}");
    }
    fs::write(&journal, whole).unwrap();
    fs::write(&header, head).unwrap();

    // The cluster does not answer: what was in flight stays open, and nothing is guessed.
    let kubeconfig = fs::read_to_string(lab.text("kubeconfig")).unwrap();
    let server = trueup_core::text::line(&walk.folded().pin.server);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let dead = kubeconfig.replace(server.trim_end_matches('/'), &format!("https://{nobody}"));
    assert_ne!(dead, kubeconfig);
    fs::write(walk.file("dead.kubeconfig"), dead).unwrap();
    let files = contents(&walk.state());
    let mut command = walk.command(&trueup());
    command
        .arg("--kubeconfig")
        .arg(walk.file("dead.kubeconfig"));
    let ran = run(command);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(contents(&walk.state()) == files, "something was written");
    assert_eq!(walk.folded().open_ops().count(), 1);

    walk.finish();
    walk.assert_nothing_lost(pushes);
}

/// Whether this machine lets us mount a file system of our own.
fn may_mount() -> bool {
    let tried = std::process::Command::new("unshare")
        .args(["-Urm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .output();
    tried.is_ok_and(|out| out.status.success())
}

/// The disk is full again and again, at whatever is being written; each time there is a little more room, and the walk
/// goes on.
#[test]
fn a_full_disk_loses_nothing() {
    if !may_mount() {
        println!("skipped: no user namespaces here, so no small disk can be made");
        return;
    }
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    // Every start of the program is in one namespace, so that they see the same disk.
    let script = r#"
set -u
mkdir -p "$DISK"
size=96
mount -t tmpfs -o size=${size}k tmpfs "$DISK" || exit 99
while :; do
  "$@" >>"$LOG/out" 2>"$LOG/err.$size"
  code=$?
  echo "$size $code" >>"$LOG/codes"
  [ $code = 2 ] || break
  [ $size -lt 16000 ] || break
  size=$((size + 24))
  mount -o remount,size=${size}k "$DISK" || exit 98
done
mount -o remount,size=64m "$DISK"
cp -a "$DISK" "$LOG/kept"
mount -o remount,ro "$DISK" || exit 97
"$@" >"$LOG/out.ro" 2>"$LOG/err.ro"
echo $? >"$LOG/code.ro"
"#;
    let logs = walk.file("logs");
    fs::create_dir(&logs).unwrap();
    let mut command = command(Path::new("unshare"), walk.home.path());
    command.env("DISK", walk.state()).env("LOG", &logs);
    command
        .args(["-Urm", "sh", "-c", script, "sh"])
        .arg(trueup());
    command
        .args(lab.options())
        .arg("--state-dir")
        .arg(walk.state());
    command.args(["-o", "json", "--write", "all", "run"]);
    command
        .arg(lab.text("plan"))
        .args(["--attest", "traces=jo: seen"]);
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let codes = fs::read_to_string(logs.join("codes")).unwrap();
    let codes: Vec<(&str, &str)> = codes
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let (last, full) = codes.split_last().unwrap();
    for (size, code) in full {
        let said = fs::read_to_string(logs.join(format!("err.{size}"))).unwrap();
        assert_eq!(*code, "2", "{size} KiB: {said}");
        assert!(
            said.to_lowercase().contains("no space left"),
            "{size} KiB: {said}"
        );
    }
    let said = fs::read_to_string(logs.join(format!("err.{}", last.0))).unwrap();
    assert_eq!(last.1, "0", "{} KiB: {said}", last.0);
    assert!(full.len() >= 3, "{codes:?}");
    println!("the disk was full {} times", full.len());
    fs::remove_dir(walk.state()).unwrap();
    fs::rename(logs.join("kept"), walk.state()).unwrap();
    walk.assert_nothing_lost(pushes);
}

/// A state folder that cannot be written.
#[test]
fn a_read_only_folder_is_refused_before_anything_is_done() {
    if !may_mount() {
        println!("skipped: no user namespaces here, so no read-only disk can be made");
        return;
    }
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    let writes = lab.writes().len();
    let read_only = |arguments: &[&str]| {
        let mut command = command(Path::new("unshare"), walk.home.path());
        command.env("DISK", walk.state());
        let script = r#"mkdir -p "$DISK"; mount --bind "$DISK" "$DISK" && mount -o remount,bind,ro "$DISK" && exec "$@""#;
        command
            .args(["-Urm", "sh", "-c", script, "sh"])
            .arg(trueup());
        command
            .args(lab.options())
            .arg("--state-dir")
            .arg(walk.state());
        command
            .args(["-o", "json", "--write", "all"])
            .args(arguments);
        run(command)
    };
    let plan = lab.text("plan");
    let ran = read_only(&["run", &plan]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("--state-dir"), "{ran:?}");
    assert_eq!(lab.writes().len(), writes);
    // An incident that is there can still be looked at, and is not taken up.
    walk.kill_at("after-fsync freeze-proven argocd/auth-service");
    let (files, writes) = (contents(&walk.state()), lab.writes().len());
    let ran = read_only(&["run", &plan]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(lab.writes().len(), writes);
    let status = read_only(&["status"]);
    assert_eq!(status.code, Some(1), "{status:?}");
    assert_eq!(
        status.document()["frozen"].as_array().map(Vec::len),
        Some(3)
    );
    assert!(contents(&walk.state()) == files);
    walk.finish();
    walk.assert_nothing_lost(pushes);
}
