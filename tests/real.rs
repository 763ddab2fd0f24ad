//! The walk and what can go wrong around it, on a real control plane: kube-apiserver, Argo CD, git over the network,
//! Prometheus. Each test starts one with `tests/cluster/up`. Passed over unless `TRUEUP_CLUSTER=1`, since it needs Go.
//!
//! The program stands still at a place of its journal that a test names, the test does to the world what it is about, and
//! lets it go on. What was done in the end is counted by the API server's audit log and the repository's reflog.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{Bed, FAST, Lab, Ran, Running, command, example, run, shown::unshown, trueup};
use serde_json::{Value, json};

const INCIDENT: &str = "INC-441";
const SEEN: &str = "traces=jo: fresh flows in all three";
const APPLICATIONS: [&str; 3] = ["auth-service", "like-service", "profile-service"];
/// Longer than anything that is waited for here.
const DEADLINE: Duration = Duration::from_secs(240);

/// Whether these tests were asked for.
fn asked() -> bool {
    let asked = std::env::var("TRUEUP_CLUSTER").is_ok_and(|value| value == "1");
    if !asked {
        eprintln!("skipped: TRUEUP_CLUSTER=1 runs it on a real control plane");
    }
    asked
}

/// A real control plane with the incident, and a state folder of our own.
struct Real {
    lab: Lab,
    home: tempfile::TempDir,
    /// How often the branch had been moved when the scenario was loaded.
    pushes: usize,
}

impl Real {
    fn start() -> Self {
        let lab = Lab::start_on(Bed::Cluster, &FAST);
        let home = crate::support::scratch();
        for file in ["at", "held", "go"] {
            fs::write(home.path().join(file), "").unwrap();
        }
        Self {
            pushes: lab.pushes(),
            lab,
            home,
        }
    }

    fn trueup(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = command(program, self.home.path());
        command.args(self.lab.options()).arg("--state-dir");
        command.arg(self.home.path().join("state")).args(arguments);
        command
    }

    fn ends(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = run(self.trueup(&trueup(), arguments));
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:#?}");
        ran
    }

    /// The whole walk by its plan. At each of these places, once, it stands still until `there` is done.
    fn walk(&self, places: &[String], mut there: impl FnMut(&str)) -> Ran {
        let file = |name: &str| self.home.path().join(name);
        let plan = self.lab.text("plan");
        let arguments = [
            "-o", "json", "--write", "all", "run", &plan, "--attest", SEEN,
        ];
        let mut command = self.trueup(&example("crashing"), &arguments);
        command.env("HOLD_AT", self.home.path());
        command.env("CRASH_MILESTONE", self.milestone());
        fs::write(file("at"), places.join("\n")).unwrap();
        let let_go = fs::read_to_string(file("held")).unwrap().lines().count();
        let mut walk = Running::start(command);
        let (mut seen, until) = (let_go, Instant::now() + DEADLINE);
        while !walk.ended() {
            assert!(Instant::now() < until, "it never ends: {}", self.told());
            let held = fs::read_to_string(file("held")).unwrap();
            for place in held.lines().skip(seen) {
                println!("at {place}");
                there(place);
                let left: Vec<&str> = places
                    .iter()
                    .map(String::as_str)
                    .filter(|name| !held.lines().any(|held| held == *name))
                    .collect();
                fs::write(file("at"), left.join("\n")).unwrap();
                let go = fs::read_to_string(file("go")).unwrap();
                fs::write(file("go"), format!("{go}{place}\n")).unwrap();
                seen += 1;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let ran = walk.end();
        println!("ended {:?}: {}", ran.code, reason(&ran));
        ran
    }

    /// Walks until it is through, with something happening at each place; whenever it stopped, `mend` is told why and makes
    /// what a person would. Answers with how each process ended.
    #[track_caller]
    fn through(
        &self,
        names: &[&str],
        mut there: impl FnMut(&str),
        mut mend: impl FnMut(&Value, &Ran),
    ) -> Vec<Value> {
        let mut ends: Vec<Value> = Vec::new();
        let stops = 2 * names.len() + 2;
        while ends.len() <= stops {
            let held = fs::read_to_string(self.home.path().join("held")).unwrap();
            let left: Vec<String> = names
                .iter()
                .filter(|name| !held.lines().any(|held| held == **name))
                .map(|name| (*name).to_owned())
                .collect();
            let ran = self.walk(&left, &mut there);
            let end = ran.documents().last().cloned().unwrap_or_default();
            assert_eq!(end["kind"], "RunResult", "{ran:#?}");
            ends.push(end.clone());
            if ran.code == Some(0) {
                let held = fs::read_to_string(self.home.path().join("held")).unwrap();
                for name in names {
                    let count = held.lines().filter(|held| held == name).count();
                    assert_eq!(count, 1, "never at {name}");
                }
                return ends;
            }
            mend(&end, &ran);
        }
        panic!("it does not get through: {ends:#?}\n{}", self.told());
    }

    fn milestone(&self) -> String {
        let mut places = crate::support::place::Places::after(String::new());
        for line in self.journal() {
            places.place(&line.record);
        }
        places.milestone().to_owned()
    }

    fn journal(&self) -> Vec<trueup::journal::Line> {
        let state = self.home.path().join("state");
        trueup::journal::read(&state, &INCIDENT.parse().unwrap()).unwrap_or_default()
    }

    /// The end of the journal, for a failure.
    fn told(&self) -> String {
        let lines: Vec<String> = self
            .journal()
            .iter()
            .map(|line| line.raw.chars().take(300).collect())
            .collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Asks as the administrator: another person, whose writes are not the operator's.
    fn kubectl(&self, arguments: &[&str]) -> String {
        let program = PathBuf::from(self.lab.text("bin")).join("kubectl");
        let mut kubectl = command(&program, self.home.path());
        kubectl.arg("--kubeconfig");
        kubectl.arg(PathBuf::from(self.lab.text("dir")).join("admin.kubeconfig"));
        kubectl.args(arguments);
        let ran = run(kubectl);
        assert_eq!(ran.code, Some(0), "kubectl {arguments:?}: {ran:?}");
        ran.out
    }

    fn application(&self, name: &str) -> Value {
        let text = self.kubectl(&["get", "application", name, "-n", "argocd", "-o", "json"]);
        serde_json::from_str(&text).unwrap()
    }

    fn patch(&self, application: &str, body: &Value) {
        let body = body.to_string();
        self.kubectl(&[
            "patch",
            "application",
            application,
            "-n",
            "argocd",
            "--type=merge",
            "-p",
            &body,
        ]);
    }

    /// Waits until an Application is so.
    #[track_caller]
    fn until(&self, name: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + DEADLINE;
        loop {
            let seen = self.application(name);
            if so(&seen) {
                return seen;
            }
            assert!(
                Instant::now() < until,
                "{name} never came to {what}: {seen}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Somebody else's commit on the tracked branch.
    fn foreign_push(&self, file: &str, text: &str) {
        let clone = self
            .home
            .path()
            .join(format!("clone-{}", self.lab.pushes()));
        let git = |at: &Path, arguments: &[&str]| {
            let mut git = command(Path::new("git"), self.home.path());
            git.current_dir(at);
            git.args(["-c", "user.name=ann", "-c", "user.email=ann@example.org"]);
            git.args(arguments);
            let ran = run(git);
            assert_eq!(ran.code, Some(0), "git {arguments:?}: {ran:?}");
        };
        let path = clone.display().to_string();
        git(self.home.path(), &["clone", "-q", self.lab.url(), &path]);
        let file = clone.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let before = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, format!("{before}{text}")).unwrap();
        git(&clone, &["add", "-A"]);
        git(&clone, &["commit", "-qm", "something else"]);
        git(&clone, &["push", "-q", "origin", "main"]);
    }

    /// The end that the incident asks for, however it was reached, and nothing done twice or unseen.
    #[track_caller]
    fn assert_recovered(&self, killed: usize) {
        let declared = self.lab.declared_specs();
        for name in APPLICATIONS {
            let application = self.application(name);
            assert_eq!(application["spec"], declared[name], "{name}");
            let note = &application["metadata"]["annotations"][trueup_core::policy::NOTE];
            assert_eq!(
                (note, application.get("operation")),
                (&Value::Null, None),
                "{name}"
            );
            let status = &application["status"];
            assert_eq!(
                (&status["sync"]["status"], &status["health"]["status"]),
                (&json!("Synced"), &json!("Healthy")),
                "{name}"
            );
            let namespace = name.trim_end_matches("-service");
            let map = self.kubectl(&[
                "get",
                "configmap",
                "auth-config",
                "-n",
                namespace,
                "-o",
                "json",
            ]);
            let map: Value = serde_json::from_str(&map).unwrap();
            assert_eq!(
                map["data"],
                json!({"JWT_ALGORITHM": "RS256", "JWT_PUBLIC_KEY_ID": "key-2024-11-rot"}),
                "{name}"
            );
            let file = self
                .lab
                .git(&["show", &format!("main:deploy/{namespace}/auth-config.yaml")]);
            assert!(
                file.contains("RS256") && file.contains("key-2024-11-rot"),
                "{file}"
            );
        }
        let found = unshown(&self.lab, &self.journal(), killed);
        assert!(found.is_empty(), "{found:#?}");
        self.ends(0, &["status", INCIDENT]);
        let journal = self
            .home
            .path()
            .join("state/incidents")
            .join(INCIDENT)
            .join("journal.jsonl");
        self.ends(0, &["verify", &journal.display().to_string()]);
        let transcript = self.ends(0, &["export", INCIDENT]).out;
        assert!(
            transcript.contains("the truth, auth signs with the rotated key"),
            "{transcript}"
        );
    }

    /// How often this effect landed on these Applications, by the audit log.
    fn landed(&self, what: &str) -> Vec<usize> {
        let effects = self.lab.effects();
        let of = |name: &&str| effects.get(&format!("{what} {name}")).copied();
        APPLICATIONS
            .iter()
            .map(|name| of(name).unwrap_or(0))
            .collect()
    }
}

fn reason(ran: &Ran) -> String {
    let last = ran.documents();
    let last = last.last().cloned().unwrap_or_default();
    format!("{} {} {}", last["stage"], last["rule"], last["reason"])
}

/// The walk by its plan, undisturbed; then that Argo CD renders charts and overlays here too, which other tests rely on.
#[test]
fn the_walk_by_its_plan() {
    if !asked() {
        return;
    }
    let real = Real::start();
    let ran = real.walk(&[], |_| {});
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    real.assert_recovered(0);
    for what in ["freeze", "sync", "thaw"] {
        assert_eq!(real.landed(what), [1, 1, 1], "{what}");
    }
    assert_eq!(real.lab.pushes() - real.pushes, 1);

    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: rendered}\ndata: {by: VALUE}\n";
    real.foreign_push(
        "charts/one/Chart.yaml",
        "apiVersion: v2\nname: one\nversion: 1.0.0\n",
    );
    real.foreign_push("charts/one/values.yaml", "by: helm\n");
    real.foreign_push(
        "charts/one/templates/map.yaml",
        &map.replace("VALUE", "{{ .Values.by }}"),
    );
    real.foreign_push("overlays/one/map.yaml", &map.replace("VALUE", "kustomize"));
    real.foreign_push(
        "overlays/one/kustomization.yaml",
        "resources: [map.yaml]\nnamePrefix: over-\n",
    );
    for (name, path) in [("chart", "charts/one"), ("overlay", "overlays/one")] {
        let file = real.home.path().join(name);
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd"},
            "spec": {
                "project": "default",
                "source": {"repoURL": real.lab.url(), "path": path, "targetRevision": "main"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
                "syncPolicy": {"automated": {}},
            },
        });
        fs::write(&file, application.to_string()).unwrap();
        real.kubectl(&["create", "-f", &file.display().to_string()]);
    }
    for (name, of, by) in [
        ("chart", "rendered", "helm"),
        ("overlay", "over-rendered", "kustomize"),
    ] {
        real.until(name, "Synced", |seen| {
            seen["status"]["sync"]["status"] == "Synced"
        });
        let map = real.kubectl(&["get", "configmap", of, "-o", "jsonpath={.data.by}"]);
        assert_eq!(map, by);
    }
}

/// Every part of the control plane fails once, at a bad moment; the walk waits or stops with the reason, and is through
/// when all is back.
#[test]
fn the_control_plane_fails() {
    if !asked() {
        return;
    }
    let real = Real::start();
    let lab = &real.lab;
    const RESTARTED: &str = "after-fsync freeze-proven argocd/profile-service";
    const STOPPED: &str = "after-fsync decided";
    const NO_RENDERING: &str = "after-fsync landed";
    const UNHEARD: &str = "after-fsync intended sync argocd/auth-service";
    const IN_THE_MIDDLE: &str = "after-fsync intended sync argocd/like-service";
    const REVOKED: &str = "after-fsync verified argocd/profile-service";
    let names = [
        RESTARTED,
        STOPPED,
        NO_RENDERING,
        UNHEARD,
        IN_THE_MIDDLE,
        REVOKED,
    ];
    let down = std::cell::RefCell::new(None);
    let ends = std::thread::scope(|scope| {
        let there = |place: &str| match place {
            RESTARTED => {
                lab.component("kill", "kube-apiserver");
                lab.component("start", "kube-apiserver");
            }
            STOPPED => {
                lab.component("pause", "kube-apiserver");
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_secs(60));
                    lab.component("resume", "kube-apiserver");
                });
            }
            NO_RENDERING => {
                lab.component("kill", "argocd-repo-server");
                down.replace(Some(("start", "argocd-repo-server")));
            }
            UNHEARD => {
                // The request is sent, and nobody answers before its deadline.
                lab.component("pause", "kube-apiserver");
                down.replace(Some(("resume", "kube-apiserver")));
            }
            IN_THE_MIDDLE => {
                // Without a rendering the sync stays in the middle.
                lab.component("pause", "argocd-repo-server");
                scope.spawn(|| {
                    real.until("like-service", "a running sync", |seen| {
                        seen["status"]["operationState"]["phase"] == "Running"
                    });
                    lab.component("kill", "argocd-application-controller");
                    lab.component("resume", "argocd-repo-server");
                    lab.component("start", "argocd-application-controller");
                });
            }
            REVOKED => {
                real.kubectl(&["delete", "serviceaccount", "operator", "-n", "sre"]);
                // The API server believes in a token for ten seconds after it looked at it.
                std::thread::sleep(Duration::from_secs(11));
                down.replace(Some(("token", "")));
            }
            other => unreachable!("{other}"),
        };
        let mend = |end: &Value, ran: &Ran| {
            match down.take() {
                Some(("token", _)) => {
                    assert!(ran.err.contains("hint: log in again"), "{end} {}", ran.err);
                    real.another_token();
                }
                Some((verb, name)) => lab.component(verb, name),
                // The API server that stands still goes on by itself.
                None => std::thread::sleep(Duration::from_secs(5)),
            }
        };
        real.through(&names, there, mend)
    });
    for end in &ends {
        println!("{end}");
    }
    real.assert_recovered(0);
    for what in ["freeze", "thaw"] {
        assert_eq!(real.landed(what), [1, 1, 1], "{what}");
    }
    // Whether the unheard request landed is not certain, nor does the audit log say so of a client that had gone: then the
    // sync was found, else it was asked for again. Argo CD's own history tells how often it was made.
    let asked = real.landed("sync");
    assert!(asked[0] <= 1 && asked[1..] == [1, 1], "{asked:?}");
    let head = lab.git(&["rev-parse", "main"]);
    for name in APPLICATIONS {
        let seen = real.application(name);
        let history = seen["status"]["history"].as_array().unwrap();
        let made = history.iter().filter(|entry| entry["revision"] == head);
        assert_eq!(made.count(), 1, "{history:?}");
    }
    assert_eq!(lab.pushes() - real.pushes, 1);
}

/// Another person syncs, and switches auto-sync back on, at every stage: it is adopted or the walk stops, and nothing is done
/// on top of it.
#[test]
fn another_person_is_at_work() {
    if !asked() {
        return;
    }
    const SYNCS: [&str; 8] = [
        "after-fsync snapshot 0",
        "after-fsync intended freeze argocd/profile-service",
        "after-fsync snapshot 1",
        "after-fsync proposed",
        "after-fsync landed",
        "after-fsync predicted argocd/auth-service",
        "after-fsync intended sync argocd/auth-service",
        "after-fsync intended thaw argocd/auth-service",
    ];
    const SWITCHES: [&str; 8] = [
        "after-fsync target-set argocd/profile-service",
        "after-fsync intended freeze argocd/auth-service",
        "after-fsync freeze-proven argocd/auth-service",
        "after-fsync decided",
        "after-fsync intended push ",
        "after-fsync verified argocd/auth-service",
        "after-fsync gate-started argocd/profile-service no-401",
        "after-fsync thaw-watched argocd/auth-service 1",
    ];
    let real = Real::start();
    let names = [SYNCS, SWITCHES].concat();
    let mut syncs = 0;
    let there = |place: &str| {
        // Profile is Synced as it is found, so that until the push neither changes what others decided about.
        if SYNCS.contains(&place) {
            syncs += 1;
            let head = real.lab.git(&["rev-parse", "main"]);
            let info = json!([{"name": "number", "value": syncs.to_string()}]);
            let operation = json!({"initiatedBy": {"username": "ann"}, "info": info, "sync": {"revision": head}});
            let newest = |seen: &Value, of: fn(&Value) -> bool| {
                let history = seen["status"]["history"].as_array().into_iter().flatten();
                history
                    .filter(|sync| of(sync))
                    .filter_map(|sync| sync["id"].as_u64())
                    .max()
            };
            // One that runs would swallow hers, and one that auto-sync starts behind it takes the place of its state.
            let idle = real.until("profile-service", "a moment without a sync", |seen| {
                seen["operation"].is_null()
                    && seen["status"]["operationState"]["phase"] != "Running"
            });
            let before = newest(&idle, |_| true);
            real.patch("profile-service", &json!({"operation": operation}));
            real.until("profile-service", "the end of ann's sync", |seen| {
                newest(seen, |sync| sync["initiatedBy"]["username"] == "ann") > before
            });
        } else {
            let on = json!({"prune": true, "selfHeal": true, "enabled": null});
            let automated = json!({"automated": on});
            real.patch(
                "profile-service",
                &json!({"spec": {"syncPolicy": automated}}),
            );
        }
    };
    let ends = real.through(&names, there, |end, _| {
        // Whatever stopped it, it says whose doing it met.
        let why = end["reason"].as_str().unwrap();
        assert!(why.contains("profile-service"), "{end}");
        if end["rule"] == 4 {
            let on = real.application("profile-service");
            let on = &on["spec"]["syncPolicy"]["automated"];
            assert_eq!(on["selfHeal"], true, "{end}");
            real.ends(0, &["freeze", "profile-service", "--write", "cluster"]);
        }
    });
    println!("{} ends", ends.len());
    real.assert_recovered(0);
    let (syncs, thaws) = (real.landed("sync"), real.landed("thaw"));
    assert_eq!((&syncs[..2], &thaws[..2]), (&[1, 1][..], &[1, 1][..]));
    assert!(syncs[2] <= 1 && thaws[2] <= 1, "{syncs:?} {thaws:?}");
    assert_eq!(real.lab.pushes() - real.pushes, 1);
    let transcript = real.ends(0, &["export", INCIDENT]).out;
    assert!(transcript.contains("ann"), "{transcript}");
}

/// Git fails us: the branch moves before the push and during it, and a push lands and nobody says so.
#[test]
fn git_moves_and_pushes_are_lost() {
    if !asked() {
        return;
    }
    const BEFORE: &str = "after-fsync proposed";
    const DURING: &str = "after-fsync intended push ";
    let real = Real::start();
    let hooks = real.lab.repository().join("hooks");
    fs::create_dir_all(&hooks).unwrap();
    let once = real.home.path().join("hung");
    let there = |place: &str| match place {
        BEFORE => real.foreign_push("NOTES.md", "somebody else was here\n"),
        DURING => real.foreign_push("NOTES.md", "and here\n"),
        other => unreachable!("{other}"),
    };
    let mut stops = 0;
    let first = |end: &Value, _: &Ran| {
        stops += 1;
        let why = end["reason"].as_str().unwrap();
        assert_eq!(end["exit"], 3, "{end}");
        let moved = ["moved", "no longer at"];
        assert!(moved.iter().any(|word| why.contains(word)), "{end}");
        if stops == 2 {
            // From now on: the branch is moved, and the server dies before it says so.
            let hook = hooks.join("reference-transaction");
            let script = format!(
                "#!/bin/sh\nif [ \"$1\" = committed ] && [ ! -e {0} ]; then touch {0}; kill -9 $PPID; fi\n",
                once.display()
            );
            fs::write(&hook, script).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&hook, mode).unwrap();
        }
    };
    let ends = real.through(&[BEFORE, DURING], there, first);
    println!("{ends:#?}");
    assert!(once.exists(), "no push was lost");
    real.assert_recovered(0);
    for what in ["freeze", "sync", "thaw"] {
        assert_eq!(real.landed(what), [1, 1, 1], "{what}");
    }
    assert_eq!(real.lab.pushes() - real.pushes, 3, "two of ann's and ours");
}

impl Real {
    /// The operator's account again, with a new token in the kubeconfig.
    fn another_token(&self) {
        self.kubectl(&["create", "serviceaccount", "operator", "-n", "sre"]);
        let token = self.kubectl(&["create", "token", "operator", "-n", "sre"]);
        let path = self.lab.text("kubeconfig");
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for user in config["users"].as_array_mut().unwrap() {
            if user["name"] == "operator" {
                user["user"]["token"] = json!(token.trim());
            }
        }
        fs::write(&path, config.to_string()).unwrap();
    }
}
