//! The script by hand, where others pushed between two commits of ours.

use super::*;
use trueup_core::{
    event::{Effect, Event, FileDiff, Foreign, Guard, Outcome, Record},
    ids::{Commit, OpId},
    run::Run,
    source::changes::unified_diff,
    transcript::{Line, Transcript, sample},
};

const FILE: &str = "deploy/auth/auth-config.yaml";

/// A repository with the file of one Application, as it was before the incident.
struct World {
    home: tempfile::TempDir,
}

impl World {
    fn new(text: &str) -> Self {
        let home = crate::support::scratch();
        let world = Self { home };
        world.git(&["init", "-q", "--bare", "-b", "main", "remote.git"]);
        world.git(&["clone", "-q", "remote.git", "work"]);
        world.push(text);
        world
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = command(Path::new("git"), self.home.path());
        git.current_dir(self.home.path());
        git.args(["-c", "user.name=eve", "-c", "user.email=eve@example.org"]);
        git.args(arguments);
        let ran = run(git);
        assert_eq!(ran.code, Some(0), "git {arguments:?}: {ran:?}");
        ran.out
    }

    /// Somebody pushes this.
    fn push(&self, text: &str) {
        let file = self.home.path().join("work").join(FILE);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self.git(&["-C", "work", "add", "."]);
        self.git(&["-C", "work", "commit", "-q", "-m", "eve's"]);
        self.git(&["-C", "work", "push", "-q", "origin", "HEAD:refs/heads/main"]);
    }

    fn pull(&self) {
        self.git(&["-C", "work", "pull", "-q", "--ff-only", "origin", "main"]);
    }

    fn holds(&self) -> String {
        self.git(&["-C", "remote.git", "show", &format!("main:{FILE}")])
    }

    /// The script, with the repository at hand.
    fn script(&self, text: &str) -> PathBuf {
        let path = self.home.path().join("by-hand.sh");
        let remote = self.home.path().join("remote.git");
        fs::write(&path, format!("REPO='{}'\n{text}", remote.display())).unwrap();
        path
    }

    fn run(&self, text: &str) -> Ran {
        let mut sh = command(Path::new("sh"), self.home.path());
        sh.arg(self.script(text));
        run(sh)
    }
}

/// Two commits of ours: the second made on what somebody pushed after the first.
fn two_commits(texts: [&str; 4], others: Vec<Foreign>) -> String {
    let [before, ours, theirs, again] = texts;
    let all = sample::records();
    let proposed = |event: &Event| matches!(event, Event::Proposed { .. });
    let first = all.iter().find(|record| proposed(&record.event)).unwrap();
    let mut records = all[..1].to_vec();
    let mut happens = |event: Event| {
        let (seq, time) = (records.len() as u64 + 1, first.time);
        records.push(Record { seq, time, event });
    };
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
        let diff = unified_diff(FILE, Some(from.as_bytes()), Some(to.as_bytes()));
        proposal.files = vec![FileDiff {
            path: FILE.into(),
            diff,
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
        happens(Event::Proposed { proposal });
        let op = OpId(format!("push-{n}"));
        done(op, effect).into_iter().for_each(&mut happens);
        happens(Event::Landed {
            repository,
            branch: "main".into(),
            revision: commit,
            how: "pushed".into(),
            others: Vec::new(),
            same: Vec::new(),
        });
    }
    let run = Run::fold(&records);
    Transcript::of(&Line::chain(&records), &run).by_hand
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
    let world = World::new(BEFORE);
    let ours = "a: 1\nb: 2\nc: 1\n";
    let text = two_commits([BEFORE, ours, BEFORE, ours], eve());
    let ran = world.run(&text);
    let said = &ran.out;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        said.contains("main has all of it already: nothing to commit"),
        "{said}"
    );
    assert_eq!(world.holds(), ours);
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
    let world = World::new(&before);
    let (theirs, again) = (long("2", "7"), long("3", "7"));
    let text = two_commits([&before, &ours, &theirs, &again], eve());
    let ran = world.run(&text);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(world.holds(), long("3", "1"));
}

/// Our second commit changes what somebody set: it stops, and says which commit has to be there first.
#[test]
fn a_commit_that_needs_what_others_pushed_stops_and_names_it() {
    let (before, ours) = (long("1", "1"), long("2", "1"));
    let (theirs, again) = (long("2", "7"), long("2", "8"));
    let world = World::new(&before);
    let text = two_commits([&before, &ours, &theirs, &again], eve());
    let ran = world.run(&text);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = &ran.err;
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
    assert_eq!(world.holds(), ours);
    // Once somebody brought it, the rest goes through: what is there already is not made again.
    world.pull();
    world.push(&theirs);
    let ran = world.run(&text);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(world.holds(), again);
    // A journal of before others were kept has the id of what it was made on.
    let old = two_commits([&before, &ours, &theirs, &again], Vec::new());
    assert!(old.contains(&"e".repeat(40)), "{old}");
}

/// In a terminal it waits for somebody who brings it, as often as it takes.
#[test]
fn a_commit_that_needs_what_others_pushed_waits_for_it_in_a_terminal() {
    let (ours, theirs, again) = ("a: 2\n", "a: 5\n", "a: 6\n");
    let world = World::new("a: 1\n");
    let text = two_commits(["a: 1\n", ours, theirs, again], eve());
    let script = world.script(&text).display().to_string();
    let sh = Path::new("/bin/sh");
    let mut terminal = Screen::start(sh, &[script], world.home.path(), 120, 40);
    let asked = terminal.wait_for("what is missing", |shot| shot.has("press enter"));
    assert!(
        asked.has("it has to be on main first") && asked.has("Revert the hotfix"),
        "{asked:?}"
    );
    terminal.send("\r");
    terminal.wait_for("it asks again", |shot| {
        shot.text().matches("press enter").count() == 2
    });
    assert_eq!(world.holds(), ours);
    world.pull();
    world.push(theirs);
    terminal.send("\r");
    crate::support::until("the second commit", || world.holds() == again);
}

/// The script of a journal in which these writes to Applications were made, one after the other.
fn writes(effects: Vec<Effect>) -> String {
    let all = sample::records();
    let mut records = all[..1].to_vec();
    for (n, effect) in effects.into_iter().enumerate() {
        let op = OpId(format!("write-{n}"));
        for event in done(op, effect) {
            let (seq, time) = (records.len() as u64 + 1, all[0].time);
            records.push(Record { seq, time, event });
        }
    }
    let run = Run::fold(&records);
    Transcript::of(&Line::chain(&records), &run).by_hand
}

/// Somebody had switched auto-sync on, before one freeze and between two others: on a copy of the world where nobody did, the
/// script goes on all the same, and nothing stays frozen.
#[test]
fn what_somebody_did_to_a_policy_in_between_does_not_stop_the_script() {
    if !have("kubectl") {
        return;
    }
    const NOTE: &str = "/metadata/annotations/trueup.dev~1frozen";
    let bench = Bench::new();
    let key = |name: &str| trueup_core::object::identity::AppKey::new("argocd", name);
    let freeze = |name: &str, mechanism, note: &str, automated: Option<Value>| {
        let mut ops = vec![match note {
            "first" => {
                json!({"op": "add", "path": "/metadata/annotations", "value": {"trueup.dev/frozen": note}})
            }
            _ => json!({"op": "add", "path": NOTE, "value": note}),
        }];
        ops.extend(automated);
        Effect::Freeze {
            application: key(name),
            mechanism,
            found: Value::Null,
            patch: Value::Array(ops),
            from: None,
        }
    };
    let thaw = |name: &str, automated: Value| Effect::Thaw {
        application: key(name),
        automated: automated["value"].clone(),
        patch: json!([automated, {"op": "remove", "path": NOTE}]),
        operation_before: None,
    };
    const AUTOMATED: &str = "/spec/syncPolicy/automated";
    let off = || Some(json!({"op": "add", "path": format!("{AUTOMATED}/enabled"), "value": false}));
    let gone = json!({"op": "remove", "path": AUTOMATED});
    let back =
        json!({"op": "add", "path": AUTOMATED, "value": {"enabled": false, "selfHeal": true}});
    use trueup_core::event::Mechanism::{Disable, NoteOnly, Remove};
    let script = writes(vec![
        freeze("auth-service", NoteOnly, "first", None),
        freeze("auth-service", Disable, "second", off()),
        freeze("like-service", Remove, "first", Some(gone.clone())),
        freeze("profile-service", Disable, "first", off()),
        thaw("auth-service", gone),
        thaw("profile-service", back.clone()),
        thaw("like-service", back),
    ]);
    for name in ["auth-service", "like-service", "profile-service"] {
        let none = r#"{"spec": {"syncPolicy": null}}"#;
        bench.kubectl(&[
            "-n",
            "argocd",
            "patch",
            "application",
            name,
            "--type",
            "merge",
            "-p",
            none,
        ]);
    }
    let script = bench.write("by-hand.sh", &script);
    let mut sh = command(Path::new("sh"), bench.home.path());
    sh.arg(&script).current_dir(bench.home.path());
    sh.env("KUBECONFIG", bench.lab.text("kubeconfig"));
    let ran = run(sh);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    for line in [
        "auth-service is frozen and has no automated policy: ",
        "like-service has no automated policy: ",
        "profile-service has no automated policy: ",
    ] {
        assert!(ran.out.contains(line), "{line}: {}", ran.out);
    }
    for (name, policy) in [
        ("auth-service", Value::Null),
        (
            "like-service",
            json!({"automated": {"enabled": false, "selfHeal": true}}),
        ),
        (
            "profile-service",
            json!({"automated": {"enabled": false, "selfHeal": true}}),
        ),
    ] {
        let seen = bench.application(name);
        assert_eq!(seen.pointer(NOTE), None, "{name}");
        assert_eq!(seen["spec"]["syncPolicy"], policy, "{name}");
    }
}

/// What the journal has of a write that was made.
fn done(op: OpId, effect: Effect) -> [Event; 2] {
    let intended = Event::Intended {
        op: op.clone(),
        effect,
        guard: Guard::default(),
        shown: Vec::new(),
        by_hand: Vec::new(),
        by: "mara".into(),
    };
    let outcome = Outcome::Done {
        resource_version: None,
        found: false,
    };
    [intended, Event::Ended { op, outcome }]
}
