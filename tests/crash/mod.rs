//! Never lost: the walk is killed at every boundary of a durable write and of an effect, and goes on as if nothing had
//! happened. What happened is counted by the world (audit log, reflog), not by our journal.
mod folder;
mod lookup;
mod recovery;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use crate::support::{
    FAST, Lab, Ran, Running, command, example, place::Places, run, trueup, until,
};
use serde_json::{Value, json};
use trueup::ports::{Cluster, WriteKind, WriteRequest};
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
            home: crate::support::scratch(),
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
    lab.with_cluster(async |cluster| {
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
/// business of [`recovery::killed_during_recovery`].
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
