//! The script by hand: each sync as it was, and what others pushed in between.

use super::*;
use crate::{
    event::{Effect, FileDiff, Foreign, Outcome},
    ids::{Commit, OpId},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn script(records: &[Record]) -> String {
    transcript(records).1.by_hand
}

/// What a script says from the title of the `n`th sync of an Application on, up to the next title.
fn of_sync<'a>(script: &'a str, application: &str, n: usize) -> &'a str {
    let title = format!("echo '== sync {application}'");
    let part = script.split(&title).nth(n + 1).unwrap();
    part.split("echo '== ").next().unwrap()
}

/// The sample with the first sync of an Application made once more after its gates, with another effect.
fn synced_twice() -> Vec<Record> {
    let of = |event: &Event| match event {
        Event::Intended {
            effect: Effect::Sync { application, .. },
            ..
        }
        | Event::OperationFinished { application, .. }
        | Event::SyncVerified { application, .. }
        | Event::GateStarted { application, .. }
        | Event::GateSampled { application, .. }
        | Event::GatePassed { application, .. } => *application == sample::app("profile"),
        Event::Ended { op, .. } => op.as_str() == "sync-profile",
        _ => false,
    };
    let mut records = until(|event| matches!(event, Event::Attested { .. }));
    let first: Vec<Event> = records
        .iter()
        .map(|record| record.event.clone())
        .filter(|event| of(event))
        .collect();
    for mut event in first {
        match &mut event {
            Event::Intended { op, .. }
            | Event::Ended { op, .. }
            | Event::OperationFinished { op, .. } => *op = OpId::from("sync-again"),
            Event::SyncVerified { op, changes, .. } => {
                *op = OpId::from("sync-again");
                changes.clear();
            }
            _ => {}
        }
        happens(&mut records, event);
    }
    records
}

#[test]
fn each_sync_is_commented_with_what_it_changed_itself() {
    let text = script(&synced_twice());
    let (first, second) = (
        of_sync(&text, "profile-service", 0),
        of_sync(&text, "profile-service", 1),
    );
    assert!(
        first.contains(".data.JWT_ALGORITHM: HS256 -> RS256"),
        "{first}"
    );
    assert!(!first.contains("It changes nothing."), "{first}");
    assert!(second.contains("It changes nothing."), "{second}");
    assert!(!second.contains("HS256 -> RS256"), "{second}");
}

#[test]
fn a_gate_that_was_taken_away_later_stays_where_it_was_asked() {
    let mut records = synced_twice();
    for gate in ["no-401", "traces"] {
        happens(
            &mut records,
            Event::GateRemoved {
                gate: gate.into(),
                why: "it counts the probes".into(),
                by: "jo".into(),
            },
        );
    }
    let text = script(&records);
    for n in 0..2 {
        let part = of_sync(&text, "profile-service", n);
        let gate = part
            .lines()
            .find(|line| line.starts_with("gate 'no-401 after profile-service: share_401"));
        let gate = gate.unwrap_or_else(|| panic!("{part}"));
        assert!(
            gate.contains("(jo took it away later: it counts the probes)"),
            "{gate}"
        );
        assert!(part.contains("for 10m without a break"), "{part}");
    }
    let looked = text
        .lines()
        .find(|line| line.starts_with("gate 'traces: a person looks"));
    assert!(looked.is_some(), "{text}");
}

fn git(at: &Path, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    git.current_dir(at)
        .args(["-c", "user.name=eve", "-c", "user.email=eve@example.org"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let out = git.output().ok()?;
    assert!(out.status.success(), "git {arguments:?}: {out:?}");
    Some(String::from_utf8(out.stdout).unwrap().trim().to_owned())
}

const FILE: &str = "deploy/auth/auth-config.yaml";

/// A repository with the file of one Application, as it was before the incident.
struct World {
    root: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl World {
    /// None where there is no Git.
    fn new(name: &str, text: &str) -> Option<Self> {
        let name = format!("trueup-by-hand-{name}-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(&root).unwrap();
        let world = Self { root };
        git(
            &world.root,
            &["init", "-q", "--bare", "-b", "main", "remote.git"],
        )?;
        git(&world.root, &["clone", "-q", "remote.git", "work"])?;
        let work = world.root.join("work");
        git(&work, &["checkout", "-q", "-b", "main"])?;
        world.push(text, "before");
        Some(world)
    }

    fn push(&self, text: &str, subject: &str) -> String {
        let work = self.root.join("work");
        fs::create_dir_all(work.join("deploy/auth")).unwrap();
        fs::write(work.join(FILE), text).unwrap();
        git(&work, &["add", "."]);
        git(&work, &["commit", "-q", "-m", subject]);
        git(&work, &["push", "-q", "origin", "main"]);
        git(&work, &["rev-parse", "HEAD"]).unwrap()
    }

    fn pull(&self) {
        let work = self.root.join("work");
        git(&work, &["pull", "-q", "--ff-only", "origin", "main"]);
    }

    fn holds(&self) -> String {
        let remote = self.root.join("remote.git");
        git(&remote, &["show", &format!("main:{FILE}")]).unwrap()
    }

    fn run(&self, script: &str) -> Output {
        let mut sh = Command::new("sh");
        sh.arg("-c")
            .arg(script)
            .current_dir(&self.root)
            .env("REPO", self.root.join("remote.git"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null());
        sh.output().unwrap()
    }
}

/// Two commits of ours: the second made on what somebody pushed after the first.
fn two_commits(texts: [&str; 4], others: Vec<Foreign>) -> Vec<Record> {
    let [before, ours, theirs, again] = texts;
    let all = sample::records();
    let proposed = |event: &Event| matches!(event, Event::Proposed { .. });
    let first = until(proposed).pop().unwrap();
    let mut records = all[..1].to_vec();
    let parents = ["1".repeat(40), "e".repeat(40)];
    let others = [Vec::new(), others];
    for (n, (from, to)) in [(before, ours), (theirs, again)].into_iter().enumerate() {
        let Event::Proposed { mut proposal } = first.event.clone() else {
            unreachable!("it is one");
        };
        let commit = Commit(format!("{}", n + 8).repeat(40));
        proposal.commit = commit.clone();
        proposal.parent = Commit(parents[n].clone());
        proposal.others.clone_from(&others[n]);
        proposal.message = format!("round {n}");
        let diff = similar::TextDiff::from_lines(from, to);
        proposal.files = vec![FileDiff {
            path: FILE.into(),
            diff: diff
                .unified_diff()
                .header(&format!("a/{FILE}"), &format!("b/{FILE}"))
                .to_string(),
            fields: 1,
        }];
        let effect = Effect::Push {
            repository: proposal.repository.clone(),
            branch: "main".into(),
            commit: commit.clone(),
            parent: proposal.parent.clone(),
            bundle: proposal.bundle.clone(),
            tracked: true,
        };
        let repository = proposal.repository.clone();
        happens(&mut records, Event::Proposed { proposal });
        let op = OpId(format!("push-{n}"));
        happens(
            &mut records,
            Event::Intended {
                op: op.clone(),
                effect,
                guard: crate::event::Guard::default(),
                shown: Vec::new(),
                by_hand: Vec::new(),
                by: "mara".into(),
            },
        );
        let outcome = Outcome::Done {
            resource_version: None,
            found: false,
        };
        happens(&mut records, Event::Ended { op, outcome });
        happens(
            &mut records,
            Event::Landed {
                repository,
                branch: "main".into(),
                revision: commit,
                how: "pushed".into(),
                others: Vec::new(),
            },
        );
    }
    records
}

/// A file with two lines that are far from each other.
fn long(b: &str, z: &str) -> String {
    format!("b: {b}\n{}z: {z}\n", "m: 1\n".repeat(9))
}

fn eve() -> Vec<Foreign> {
    vec![Foreign {
        commit: Commit("e".repeat(40)),
        author: "eve <eve@example.org>".into(),
        subject: "Revert the hotfix".into(),
    }]
}

const BEFORE: &str = "a: 1\nb: 1\nc: 1\n";

/// A colleague takes our commit back, and it is made once more: in another world nobody took it back, and it is there already.
#[test]
fn a_commit_that_is_made_once_more_after_a_revert_is_there_already() {
    let Some(world) = World::new("revert", BEFORE) else {
        return;
    };
    let ours = "a: 1\nb: 2\nc: 1\n";
    let text = script(&two_commits([BEFORE, ours, BEFORE, ours], eve()));
    let ran = world.run(&text);
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{ran:?}");
    assert!(
        said.contains("main has all of it already: nothing to commit"),
        "{said}"
    );
    assert_eq!(world.holds(), ours.trim_end());
    // Whoever reads it learns of the revert too.
    let told = format!(
        "# Pushed to main by others before this: {} \u{201c}Revert the hotfix\u{201d} of eve",
        "e".repeat(40)
    );
    assert!(text.contains(&told), "{text}");
}

/// What somebody pushed is no matter of the lines of ours: both stand.
#[test]
fn a_commit_that_fits_without_what_others_pushed_is_made() {
    let (before, ours) = (long("1", "1"), long("2", "1"));
    let Some(world) = World::new("fits", &before) else {
        return;
    };
    let (theirs, again) = (long("2", "7"), long("3", "7"));
    let text = script(&two_commits([&before, &ours, &theirs, &again], eve()));
    let ran = world.run(&text);
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(world.holds(), long("3", "1").trim_end());
}

/// Our second commit changes what somebody set: it stops, and says which commit has to be there first.
#[test]
fn a_commit_that_needs_what_others_pushed_stops_and_names_it() {
    let (before, ours) = (long("1", "1"), long("2", "1"));
    let (theirs, again) = (long("2", "7"), long("2", "8"));
    let Some(world) = World::new("needs", &before) else {
        return;
    };
    let text = script(&two_commits([&before, &ours, &theirs, &again], eve()));
    let ran = world.run(&text);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let said = String::from_utf8_lossy(&ran.stderr);
    let named = format!(
        "{} \u{201c}Revert the hotfix\u{201d} of eve <eve@example.org>",
        "e".repeat(40)
    );
    assert!(
        said.contains("it has to be on main first") && said.contains(&named),
        "{said}"
    );
    assert!(said.contains("stopped before the commit"), "{said}");
    // The first of ours is there, and nothing of the second.
    assert_eq!(world.holds(), ours.trim_end());
    // Once somebody brought it, the rest goes through: what is there already is not made again.
    world.pull();
    world.push(&theirs, "the same");
    let ran = world.run(&text);
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(world.holds(), again.trim_end());
    // A journal of before others were kept has the id of what it was made on.
    let old = script(&two_commits([&before, &ours, &theirs, &again], Vec::new()));
    assert!(old.contains(&"e".repeat(40)), "{old}");
}

/// What was synced was a revision that somebody else had moved the branch to.
#[test]
fn a_revision_of_others_is_named_before_it_is_synced() {
    let mut records = sample::records();
    let moved = Commit("e".repeat(40));
    for record in &mut records {
        match &mut record.event {
            Event::Landed {
                revision, others, ..
            } => {
                *revision = moved.clone();
                *others = eve();
            }
            Event::Intended {
                effect: Effect::Sync { revision, .. },
                ..
            } => *revision = moved.clone(),
            _ => {}
        }
    }
    let text = script(&records);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    let gate = at("gate 'main holds what others pushed, or is to go on without it: eeee");
    assert!(at("HEAD:refs/heads/main") < gate && gate < at("start_sync argocd"));
}
