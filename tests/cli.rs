//! The command line as scripts meet it: the real program against a lab in a process of its own.

mod beforehand;
mod by_hand;
mod doubts;
mod given_back;
mod handover;
mod lost;
mod printing;
mod refused;
mod shown;
mod stages;
mod strayed;
mod surprised;
mod taken_back;
mod thawed;
mod unread;
mod waiting;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{FAST, Lab, Ran, Running, command, run, screen::Screen, trueup};
use serde_json::{Value, json};

const API: &str = "trueup.dev/v1";
const SEEN: &str = "traces=jo: fresh flows in all three";
const APPS: [&str; 3] = ["auth-service", "like-service", "profile-service"];

/// A lab with a state folder of our own.
struct Bench {
    lab: Lab,
    home: tempfile::TempDir,
    state: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let lab = Lab::start(&FAST);
        let home = crate::support::scratch();
        let state = home.path().join("state");
        Self { lab, home, state }
    }

    /// An empty state folder, as on another laptop.
    fn forget(&mut self, name: &str) {
        self.state = self.home.path().join(name);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&trueup(), self.home.path());
        command.args(self.lab.options()).arg("--state-dir");
        command.arg(&self.state).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments))
    }

    /// The JSON document of a command that the cluster's administrator gives, its kind and exit code asserted.
    fn by_administrator(&self, code: i32, kind: &str, arguments: &[&str]) -> Value {
        let kubeconfig = Path::new(&self.lab.text("dir")).join("admin.kubeconfig");
        let mut command = command(&trueup(), self.home.path());
        command.arg("--kubeconfig").arg(kubeconfig);
        command.arg("--state-dir").arg(&self.state);
        let ran = run({
            command.args(arguments).args(["-o", "json"]);
            command
        });
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:#?}");
        let document = ran.document();
        assert_eq!(document["kind"], json!(kind), "{arguments:?}");
        document
    }

    /// Runs it, and asserts its exit code.
    fn ends(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:#?}");
        ran
    }

    /// The JSON document of a command, its kind and exit code asserted.
    fn document(&self, code: i32, kind: &str, arguments: &[&str]) -> Value {
        let document = self
            .ends(code, &[arguments, &["-o", "json"]].concat())
            .document();
        assert_eq!(
            (&document["apiVersion"], &document["kind"]),
            (&json!(API), &json!(kind)),
            "{arguments:?}"
        );
        document
    }

    /// A walk headless; its last line.
    fn walk(&self, code: i32, plan: &Path, arguments: &[&str]) -> Value {
        let plan = plan.display().to_string();
        let ran = self.ends(code, &[&["run", &plan, "-o", "json"], arguments].concat());
        result(&ran)
    }

    /// The lab's plan, changed.
    fn plan(&self, name: &str, change: impl Fn(String) -> String) -> PathBuf {
        let text = fs::read_to_string(self.lab.text("plan")).unwrap();
        let path = self.home.path().join(name);
        fs::write(&path, change(text)).unwrap();
        path
    }

    fn own_plan(&self) -> PathBuf {
        self.lab.text("plan").into()
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let mut kubectl = command(Path::new("kubectl"), self.home.path());
        kubectl.arg("--kubeconfig").arg(self.lab.text("kubeconfig"));
        kubectl.args(arguments);
        let ran = run(kubectl);
        assert_eq!(ran.code, Some(0), "kubectl {arguments:?}: {ran:?}");
        ran.out
    }

    fn get(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[&["get", "-o", "json"], arguments].concat())).unwrap()
    }

    fn application(&self, name: &str) -> Value {
        self.get(&["application", name, "-n", "argocd"])
    }

    /// What the recovery is about: the values, the policies, the notes, and what Git renders.
    fn end_state(&self) -> Value {
        let values: Vec<Value> = ["auth", "like", "profile"]
            .iter()
            .map(|namespace| {
                self.get(&["configmap", "auth-config", "-n", namespace])["data"].clone()
            })
            .collect();
        let policies: Vec<Value> = APPS
            .iter()
            .map(|app| {
                let app = self.application(app);
                let frozen = app
                    .pointer("/metadata/annotations/trueup.dev~1frozen")
                    .is_some();
                json!([
                    app["spec"]["syncPolicy"],
                    frozen,
                    app["status"]["sync"]["status"]
                ])
            })
            .collect();
        let files: Vec<String> = ["auth", "like", "profile"]
            .iter()
            .map(|name| {
                self.lab
                    .git(&["show", &format!("main:deploy/{name}/auth-config.yaml")])
            })
            .collect();
        json!({"values": values, "policies": policies, "files": files})
    }

    fn assert_recovered(&self) {
        self.lab.assert_within_roles();
        let end = self.end_state();
        for data in end["values"].as_array().unwrap() {
            assert_eq!(
                (&data["JWT_ALGORITHM"], &data["JWT_PUBLIC_KEY_ID"]),
                (&json!("RS256"), &json!("key-2024-11-rot"))
            );
        }
        for policy in end["policies"].as_array().unwrap() {
            assert_eq!(
                *policy,
                json!([{"automated": {"prune": true, "selfHeal": true}}, false, "Synced"])
            );
        }
        for (name, spec) in self.lab.declared_specs() {
            let application = self.application(&name);
            assert_eq!(application["spec"], spec, "{name}");
            assert_eq!(
                application["status"]["health"]["status"], "Healthy",
                "{name}"
            );
        }
    }

    /// Asserts that since `pushes` neither Git nor any spec nor any operation was touched.
    fn assert_untouched(&self, pushes: usize) {
        assert_eq!(self.lab.pushes(), pushes, "something was pushed");
        let effects = self.lab.effects();
        let synced = effects.keys().any(|what| what.starts_with("sync"));
        assert!(!synced, "{effects:?}");
        for app in APPS {
            let app = self.application(app);
            assert_eq!(
                (app.get("operation"), app["spec"].get("syncPolicy")),
                (None, None),
                "{app}"
            );
        }
    }
}

/// The plan without the gates that its scenario needs.
fn only_healthy(plan: &Path) -> PathBuf {
    let text = fs::read_to_string(plan).unwrap();
    let (before, rest) = text.split_once("gates:\n").unwrap();
    let (_, after) = rest.split_once("sync:\n").unwrap();
    let after = after.replace("[healthy, no-401, traces]", "[healthy]");
    fs::write(plan, format!("{before}sync:\n{after}")).unwrap();
    plan.to_owned()
}

fn have(program: &str) -> bool {
    let there = Command::new(program).arg("--help").output().is_ok();
    if !there {
        eprintln!("skipped: {program} is not here");
    }
    there
}

/// The last line of a run, which is its result on every path.
fn result(ran: &Ran) -> Value {
    for line in ran.out.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        assert_eq!(line["apiVersion"], API);
    }
    let last: Value = serde_json::from_str(ran.out.lines().last().unwrap_or("null")).unwrap();
    assert_eq!(last["kind"], "RunResult", "{ran:#?}");
    assert_eq!(last["exit"], json!(ran.code.unwrap()), "{ran:#?}");
    last
}

/// Waits until a journal has an event of this type.
fn until_journaled(bench: &Bench, incident: &str, event: &str) {
    let path = bench
        .state
        .join("incidents")
        .join(incident)
        .join("journal.jsonl");
    let end = Instant::now() + Duration::from_secs(60);
    let mark = format!("\"type\":\"{event}\"");
    while !fs::read_to_string(&path).is_ok_and(|text| text.contains(&mark)) {
        assert!(Instant::now() < end, "no {event} in {}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(process: &Running, name: &str) {
    let id = process.id().to_string();
    assert!(
        Command::new("kill")
            .args([name, &id])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn what_only_reads_keeps_its_promises() {
    let bench = Bench::new();
    let writes = bench.lab.writes().len();

    let drift = bench.document(1, "DriftReport", &["drift"]);
    let questions = drift["questions"].as_array().unwrap();
    let cells: Vec<&Value> = questions
        .iter()
        .flat_map(|q| q["cells"].as_array().unwrap())
        .collect();
    assert_eq!((questions.len(), cells.len()), (2, 6));
    assert_eq!(cells.iter().filter(|c| c["git"] != c["live"]).count(), 3);
    for question in questions {
        assert_eq!(
            (
                &question["class"],
                &question["confidence"],
                &question["suggestion"]
            ),
            (&json!("hotfix"), &json!("ask"), &Value::Null)
        );
        assert_eq!(
            (&question["group"], &question["kind"]),
            (&json!("auth-config"), &json!("ConfigMap"))
        );
    }
    assert_eq!(drift["errors"], json!([]));
    let one = bench.document(1, "DriftReport", &["drift", "auth-service"]);
    assert_eq!(one["applications"].as_array().unwrap().len(), 1);
    let none = bench.document(2, "DriftReport", &["drift", "nobody"]);
    assert!(
        none["errors"][0]["what"]
            .as_str()
            .unwrap()
            .contains("nobody")
    );
    assert!(bench.ends(1, &["drift"]).out.contains("APPLICATION"));

    let traced = bench.document(
        0,
        "Provenance",
        &[
            "trace",
            "auth-service",
            "ConfigMap/auth-config",
            ".data.JWT_ALGORITHM",
        ],
    );
    let file = bench
        .lab
        .git(&["show", "main:deploy/auth/auth-config.yaml"]);
    let at = |key: &str| usize::try_from(traced["source"][key].as_u64().unwrap()).unwrap();
    assert_eq!(
        (&file[at("start")..at("end")], &traced["value"]),
        ("HS256", &json!("HS256"))
    );
    assert_eq!(file[..at("start")].matches('\n').count() + 1, at("line"));
    for arguments in [
        [
            "trace",
            "auth-service",
            "ConfigMap/auth-config",
            ".data.NONE",
        ],
        [
            "trace",
            "nobody",
            "ConfigMap/auth-config",
            ".data.JWT_ALGORITHM",
        ],
        ["trace", "auth-service", "ConfigMap", ".data.JWT_ALGORITHM"],
    ] {
        let failed = bench.document(2, "Provenance", &arguments);
        assert_eq!(failed["errors"].as_array().unwrap().len(), 1);
    }

    let late = bench.document(1, "WatchdogReport", &["watchdog", "--older-than", "4h"]);
    assert_eq!(late["applications"].as_array().unwrap().len(), 3);
    assert_eq!(late["applications"][0]["autoSync"]["state"], "off");
    let fine = bench.document(0, "WatchdogReport", &["watchdog", "--older-than", "30d"]);
    assert_eq!(fine["applications"], json!([]));
    bench.ends(2, &["watchdog", "--older-than", "soon"]);

    bench.document(0, "DoctorReport", &["doctor"]);
    let reader = bench.document(1, "DoctorReport", &["doctor", "--context", "reader"]);
    let missing = reader["missing"].to_string();
    assert!(
        missing.contains("patch applications.argoproj.io/auth-service in argocd"),
        "{missing}"
    );
    assert!(
        bench
            .ends(1, &["doctor", "--context", "reader"])
            .out
            .contains("MISSING")
    );

    let status = bench.document(0, "Status", &["status"]);
    assert_eq!(
        (&status["incident"], &status["frozen"]),
        (&Value::Null, &json!([]))
    );
    assert_eq!(
        bench.document(0, "IncidentList", &["incidents"])["incidents"],
        json!([])
    );
    for arguments in [
        &["status", "INC-9"][..],
        &["export"],
        &["plan", "export"],
        &["export", "INC-9", "--format", "html"],
    ] {
        bench.document(2, "Error", arguments);
    }
    assert_eq!(
        bench.ends(0, &["plan", "schema"]).document()["type"],
        "object"
    );
    for arguments in [
        &[][..],
        &["start", "--incident", "X"],
        &["resume"],
        &["lab"],
    ] {
        let refused = bench.ends(2, arguments);
        assert!(
            refused.err.contains("hint:") && refused.out.is_empty(),
            "{refused:?}"
        );
    }
    assert!(bench.ends(0, &["lab", "--list"]).out.contains("inc-441"));
    for arguments in [
        &["lab", "nonexistent", "--serve"][..],
        &["lab", "nonexistent"],
    ] {
        let refused = bench.ends(2, arguments);
        assert!(
            refused.err.contains("inc-441") && refused.err.contains("nonexistent"),
            "{refused:?}"
        );
    }
    let help = bench.ends(0, &["lab", "--help"]).out;
    assert_eq!(help.matches("[default: inc-441]").count(), 1, "{help}");

    // Argo CD's namespace is the one named, and an empty answer from none is no answer. Who may not look there hears that.
    let elsewhere = bench.by_administrator(2, "DriftReport", &["drift", "-n", "elsewhere"]);
    assert_eq!(elsewhere["applications"], json!([]));
    assert!(
        elsewhere["errors"]
            .to_string()
            .contains("no such namespace")
    );
    let other = bench.by_administrator(0, "DriftReport", &["drift", "-n", "auth"]);
    assert_eq!(other["applications"], json!([]));
    let doctor = bench.by_administrator(1, "DoctorReport", &["doctor", "-n", "auth"]);
    assert!(
        doctor["missing"].to_string().contains("Argo CD"),
        "{doctor}"
    );
    let refused = bench.document(2, "DriftReport", &["drift", "-n", "auth"]);
    assert!(
        refused["errors"].to_string().contains("forbidden"),
        "{refused}"
    );
    let doctor = bench.document(2, "DoctorReport", &["doctor", "-n", "auth"]);
    assert!(
        doctor["missing"]
            .to_string()
            .contains("list applications.argoproj.io in auth"),
        "{doctor}"
    );
    bench.document(
        2,
        "WatchdogReport",
        &["watchdog", "--older-than", "1h", "-n", "elsewhere"],
    );
    assert!(
        bench
            .ends(0, &["completion", "bash"])
            .out
            .contains("_trueup")
    );
    assert!(bench.ends(0, &["man"]).out.contains(".TH trueup"));
    bench.ends(2, &["no-such-command"]);
    bench.ends(2, &["drift", "--write", "everything"]);
    for arguments in [
        &["sync", "auth-service"][..],
        &["thaw", "auth-service"],
        &["freeze", "auth-service"],
    ] {
        bench.document(3, "Error", arguments);
    }
    assert_eq!(bench.lab.writes().len(), writes, "something was written");
    assert!(
        !bench.state.join("incidents").exists(),
        "an incident was opened"
    );
}

#[test]
fn bad_input_ends_with_a_message_and_writes_nothing() {
    let bench = Bench::new();
    let kubeconfig = fs::read_to_string(bench.lab.text("kubeconfig")).unwrap();
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut config: Value = serde_json::from_str(&kubeconfig).unwrap();
        change(&mut config);
        let path = bench.home.path().join(name);
        fs::write(&path, config.to_string()).unwrap();
        path.display().to_string()
    };
    let closed = changed("closed", &|c| {
        c["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:9")
    });
    let expired = changed("expired", &|c| {
        for user in c["users"].as_array_mut().unwrap() {
            user["user"]["token"] = json!("x.y.z");
        }
    });
    let nowhere = bench.home.path().join("nowhere").display().to_string();
    let plan = bench.lab.text("plan");
    for (kubeconfig, says) in [
        (&nowhere, "kubeconfig"),
        (&closed, "127.0.0.1:9"),
        (&expired, "log in"),
    ] {
        let at = |arguments: &[&str]| {
            let mut command = command(&trueup(), bench.home.path());
            command
                .args(["--kubeconfig", kubeconfig, "--state-dir"])
                .arg(&bench.state);
            run({
                command.args(arguments).args(["-o", "json"]);
                command
            })
        };
        let drift = at(&["drift"]);
        assert_eq!(drift.code, Some(2), "{drift:?}");
        assert_eq!(drift.document()["errors"].as_array().unwrap().len(), 1);
        assert!(
            drift.err.contains(says) && drift.err.contains("hint:"),
            "{}",
            drift.err
        );
        let walked = at(&["run", &plan, "--write", "all"]);
        assert_eq!(
            (&result(&walked)["exit"], &result(&walked)["incident"]),
            (&json!(2), &json!("INC-441"))
        );
        let mut watchdog = command(&trueup(), bench.home.path());
        watchdog.args(["--kubeconfig", kubeconfig, "watchdog", "--older-than", "1h"]);
        let watchdog = run(watchdog);
        assert_eq!(watchdog.code, Some(2), "{watchdog:?}");
        assert!(
            watchdog.out.contains("Not everything could be read"),
            "{watchdog:?}"
        );
        for arguments in [
            &["doctor"][..],
            &["watchdog", "--older-than", "1h"],
            &["status"],
            &["freeze", "auth-service", "--write", "all"],
        ] {
            let ran = at(arguments);
            assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
            assert_eq!(ran.document()["apiVersion"], API);
        }
        if kubeconfig == &closed {
            // One thing is wrong, and it is said once, with its reason.
            let checks = at(&["doctor"]).document()["checks"].clone();
            let wrong: Vec<&Value> = checks
                .as_array()
                .unwrap()
                .iter()
                .filter(|check| check["status"] == "error")
                .collect();
            assert_eq!(wrong.len(), 2, "{checks}");
            assert!(
                wrong[0]["detail"].as_str().unwrap().contains("127.0.0.1:9"),
                "{checks}"
            );
            assert_eq!(wrong[1]["detail"], "not asked", "{checks}");
        }
    }
    let empty = changed("empty", &|c| {
        c["contexts"] = json!([]);
        c["current-context"] = json!("");
    });
    let mut none = command(&trueup(), bench.home.path());
    none.args(["--kubeconfig", &empty, "drift"]);
    let none = run(none);
    assert!(
        none.code == Some(2) && none.err.contains("the kubeconfig has none"),
        "{none:?}"
    );
    // What is no command at all is told to a program too.
    for wrong in [
        &["drift", "--nonsense"][..],
        &["status", "--config", "/nonexistent"],
    ] {
        let error = bench.document(2, "Error", wrong);
        assert_eq!(error["exit"], 2, "{error}");
    }
    let no_such_context = bench.ends(2, &["--context", "nope", "drift"]);
    assert!(
        no_such_context.err.contains("operator"),
        "{}",
        no_such_context.err
    );

    let strange = bench.plan("strange.yaml", |text| text + "\nsurprise: 1\n");
    assert!(
        bench.walk(2, &strange, &["--write", "all"])["reason"]
            .as_str()
            .unwrap()
            .contains("surprise")
    );
    // What would be lost in silence is refused by name: what stands twice, what nobody has, what is over.
    let fresh = "{application: like-service, then: [healthy]}";
    for (name, from, to, says) in [
        (
            "twice.yaml",
            "\nsync:",
            "\nsync: []\nsync:",
            "the key `sync` stands twice",
        ),
        (
            "outside.yaml",
            fresh,
            "{application: lik-service, then: [traces]}",
            "`sync` names lik-service, which `scope` does not have",
        ),
        (
            "elsewhere.yaml",
            fresh,
            "{application: prod/like-service, then: [traces]}",
            "`sync` names prod/like-service",
        ),
        (
            "over.yaml",
            "  take: {live: {namespace: auth}}",
            "  take: {later: {how: gitNow, owner: jo, until: 2020-01-01}}",
            "2020-01-01 is over",
        ),
        (
            "when.yaml",
            "  take: {live: {namespace: auth}}",
            "  take: {later: {how: gitNow, owner: jo, until: tomorrow}}",
            "`tomorrow` is neither a date",
        ),
    ] {
        let wrong = bench.plan(name, |text| {
            assert!(text.contains(from), "{text}");
            text.replacen(from, to, 1)
        });
        let ended = bench.walk(2, &wrong, &["--write", "all"]);
        let reason = ended["reason"].as_str().unwrap();
        assert!(reason.contains(says), "{name}: {reason}");
    }
    assert_eq!(
        bench.walk(2, Path::new("/nonexistent.yaml"), &[])["incident"],
        ""
    );
    let none = ["act", "restart", "auth-service", "Deployment/x"];
    let none = bench.ends(2, &[&none[..], &["--incident", "INC-7"]].concat());
    assert!(
        none.err.contains("there is no incident INC-7")
            && none.err.contains("`trueup freeze APP…`"),
        "{none:?}"
    );
    // A state folder that cannot be written is no fault of the repository.
    let file = bench.home.path().join("a-file");
    fs::write(&file, "").unwrap();
    let mut doctor = command(&trueup(), bench.home.path());
    doctor.args(bench.lab.options()).arg("--state-dir");
    doctor.arg(&file).arg("doctor");
    let doctor = run(doctor);
    assert_eq!(doctor.code, Some(2), "{doctor:?}");
    assert!(
        doctor
            .out
            .contains("its mirror in the state folder cannot be made")
            && !doctor.out.contains("not read"),
        "{doctor:?}"
    );
    let config = bench.home.path().join("bad.toml");
    fs::write(&config, "[waits]\nfreeze_hodl = \"1s\"\n").unwrap();
    let ran = bench.ends(2, &["drift", "--config", &config.display().to_string()]);
    assert!(ran.err.contains("freeze_hodl"), "{}", ran.err);

    for (attest, says) in [
        ("nope=jo: x", "no such gate"),
        ("no-401=jo: x", "it is measured"),
        ("healthy=jo: x", "it is measured"),
    ] {
        let ran = bench.ends(2, &["run", &plan, "--write", "all", "--attest", attest]);
        assert!(
            ran.err.contains(says) && ran.err.contains("the manual gates are: traces"),
            "{ran:?}"
        );
    }
    let twice = [
        "run",
        &plan,
        "--attest",
        "traces=jo: x",
        "--attest",
        "traces=al: y",
    ];
    let twice = bench.ends(2, &twice);
    assert!(twice.err.contains("attested twice"), "{twice:?}");
    assert!(!bench.state.join("incidents").exists(), "opened");

    // All is read, and the first write stops: nothing was written, and nothing is frozen.
    let before = bench.lab.writes().len();
    let stopped = bench.walk(3, &bench.own_plan(), &[]);
    assert_eq!(
        (&stopped["rule"], &stopped["incident"]),
        (&json!(1), &json!("INC-441"))
    );
    let half = bench.ends(3, &["run", &plan, "--write", "git"]).err;
    assert!(
        half.contains("rule 1") && half.contains("start with --write all: git alone was given"),
        "{half}"
    );
    let other = bench.plan("other.yaml", |text| {
        text.replace("is the truth", "is right")
    });
    assert!(
        bench.walk(3, &other, &["--write", "all"])["reason"]
            .as_str()
            .unwrap()
            .contains("another plan")
    );
    assert_eq!(
        bench.lab.writes().len(),
        before,
        "{:?}",
        bench.lab.writes().last()
    );
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(
        (&status["stage"], &status["undecided"]),
        (&json!("freeze"), &json!(2))
    );
    assert_eq!(status["armed"], "nothing", "no process lives: {status}");
    assert!(
        bench
            .ends(1, &["status", "--line"])
            .out
            .starts_with("INC-441 · ")
    );
}

/// The three tempting recoveries, and what else a plan may get wrong: refused before anything moves.
#[test]
fn wrong_recoveries_are_refused() {
    if !have("kubectl") {
        return;
    }
    let mut bench = Bench::new();
    let pushes = bench.lab.pushes();
    let undecided = bench.plan("undecided.yaml", |text| {
        let (before, rest) = text.split_once("decisions:").unwrap();
        let (_, after) = rest.split_once("commit:").unwrap();
        format!("{before}commit:{after}")
    });
    let left = bench.walk(4, &undecided, &["--write", "all"]);
    assert_eq!(left["stage"], "decide");
    for arguments in [
        &["sync", "auth-service", "like-service", "profile-service"][..],
        &["sync", "profile-service"],
        &["thaw", "auth-service", "like-service", "profile-service"],
        &["thaw", "profile-service"],
    ] {
        let refused = bench.document(3, "Error", &[arguments, &["--write", "all"]].concat());
        assert_eq!(refused["rule"], 3, "{refused}");
    }
    bench.assert_untouched(pushes);

    // The same incident begun again in another folder knows nothing of those freezes: it does not call them its own end.
    bench.forget("elsewhere");
    assert_eq!(bench.walk(3, &undecided, &[])["stage"], "freeze");
    let status = bench.document(1, "Status", &["status"]);
    let owed = status["owed"].as_array().unwrap();
    assert_eq!(owed.len(), 3, "{status}");
    let close = bench.ends(3, &["close", "INC-441"]);
    assert!(close.err.contains("another state folder"), "{close:?}");

    let thawed = |bench: &mut Bench, name: &str| {
        bench.forget(name);
        let frozen = bench.document(1, "Status", &["status"])["frozen"].clone();
        assert_eq!(
            frozen.as_array().unwrap().len(),
            3,
            "the notes are on the cluster"
        );
        let done = bench.ends(
            0,
            &[
                "thaw",
                "auth-service",
                "like-service",
                "profile-service",
                "--write",
                "cluster",
                "-o",
                "json",
            ],
        );
        assert_eq!(done.documents().len(), 3);
        bench.document(0, "Status", &["status"]);
    };
    thawed(&mut bench, "second");
    let one = bench.plan("one.yaml", |text| {
        text.replace(r#"namespace: "*""#, "namespace: profile")
    });
    assert_eq!(bench.walk(4, &one, &["--write", "all"])["stage"], "decide");
    thawed(&mut bench, "third");
    let nothing = bench.plan("nothing.yaml", |text| {
        text.replace("decisions:\n", "decisions:\n- {on: {kind: ConfigMap, name: nobody}, fields: [\".data.*\"], take: git}\n")
    });
    assert_eq!(
        bench.walk(3, &nothing, &["--write", "all"])["stage"],
        "decide"
    );
    // That mistake is seen before anything is frozen.
    bench.forget("fourth");
    bench.document(0, "Status", &["status"]);
    let idle = bench.plan("idle.yaml", |text| {
        text.replace("JWT_ALGORITHM\": RS256", "JWT_ALGORITHN\": RS256")
    });
    let ended = bench.walk(3, &idle, &["--write", "all"]);
    assert!(
        ended["reason"].as_str().unwrap().contains("JWT_ALGORITHN"),
        "{ended}"
    );
    bench.forget("idle");
    let mismatch = bench.plan("mismatch.yaml", |text| {
        text.replace("JWT_ALGORITHM\": RS256", "JWT_ALGORITHM\": HS256")
    });
    for _ in 0..2 {
        assert_eq!(
            bench.walk(3, &mismatch, &["--write", "all"])["stage"],
            "decide"
        );
    }
    bench.forget("fifth");
    bench.document(0, "Status", &["status"]);
    bench.document(3, "Error", &["thaw", "auth-service", "--write", "all"]);
    bench.assert_untouched(pushes);
}

/// Interrupted, terminated, short of an attestation, and closed in the end; then everything that a closed one gives.
#[test]
fn a_walk_stops_where_it_has_to_and_goes_on() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.lab.text("plan");
    for (event, name, code) in [("freezeProven", "-INT", 130), ("landed", "-TERM", 143)] {
        let walk = Running::start(bench.command(&["run", &plan, "--write", "all", "-o", "json"]));
        until_journaled(&bench, "INC-441", event);
        let status = bench.document(1, "Status", &["status"]);
        assert_eq!(status["armed"], "all", "the process lives");
        signal(&walk, name);
        let ran = walk.end();
        assert_eq!(ran.code, Some(code), "{ran:#?}");
        result(&ran);
    }
    let waits = bench.walk(4, &bench.own_plan(), &["--write", "all"]);
    assert_eq!(waits["stage"], "sync");
    assert!(waits["reason"].as_str().unwrap().contains("traces"));
    let journal = bench.state.join("incidents/INC-441/journal.jsonl");
    let said = fs::read_to_string(&journal).unwrap();
    assert!(
        said.matches("\"type\":\"gatePassed\"").count() >= 3,
        "the other gates finish first"
    );
    assert_eq!(
        bench.document(1, "Status", &["status"])["frozen"]
            .as_array()
            .unwrap()
            .len(),
        3
    );

    let closed = bench.walk(0, &bench.own_plan(), &["--write", "all", "--attest", SEEN]);
    assert_eq!(
        (&closed["stage"], &closed["rule"]),
        (&json!("close"), &Value::Null)
    );
    bench.assert_recovered();
    let records = fs::read_to_string(&journal).unwrap();
    assert_eq!(
        bench.walk(0, &bench.own_plan(), &["--write", "all"])["exit"],
        0
    );
    assert_eq!(
        fs::read_to_string(&journal).unwrap(),
        records,
        "a finished incident is left alone"
    );

    assert_eq!(bench.document(0, "Status", &["status"])["stage"], "closed");
    bench.document(0, "DriftReport", &["drift"]);
    let list = bench.document(0, "IncidentList", &["incidents"]);
    assert_eq!(
        (
            &list["incidents"][0]["incident"],
            &list["incidents"][0]["state"]
        ),
        (&json!("INC-441"), &json!("closed"))
    );

    let file = |name: &str, text: &str| {
        let path = bench.home.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let export = |format: &str| {
        bench
            .ends(0, &["export", "INC-441", "--format", format])
            .out
    };
    let json_export = export("json");
    for whole in [file("e.json", &json_export), journal.display().to_string()] {
        let verified = bench.document(0, "Verification", &["verify", &whole]);
        assert_eq!(verified["whole"], true);
        let end = verified["end"]["what"].as_str().unwrap();
        assert!(end.contains("closed"), "{end}");
    }
    // Cut between two records it is whole: that it ends before the close is what one sees.
    let lines: Vec<&str> = records.split_inclusive('\n').collect();
    let early = file("early.jsonl", &lines[..lines.len() / 2].concat());
    let said = bench.ends(0, &["verify", &early]).out;
    assert!(
        said.contains("ends with: ") && !said.contains("closed"),
        "{said}"
    );
    for broken in [
        file(
            "edited.json",
            &json_export.replacen("key-2024-11-rot", "key-2024-11-rod", 1),
        ),
        file("edited.jsonl", &records.replacen("RS256", "RS255", 1)),
        file("cut.jsonl", &records[..records.len() - 40]),
    ] {
        assert_eq!(
            bench.document(1, "Verification", &["verify", &broken])["whole"],
            false
        );
    }
    for format in ["md", "html"] {
        let not = bench.ends(2, &["verify", &file(format, &export(format))]);
        assert!(not.err.contains("head of the chain only"), "{}", not.err);
    }
    bench.ends(2, &["verify", "/nonexistent"]);

    // The plan that it gives, and its commands by hand, each end the same way on a fresh copy of the same world.
    let exported = bench.ends(0, &["plan", "export", "INC-441"]).out;
    let by_hand = serde_json::from_str::<Value>(&json_export).unwrap()["byHand"]
        .as_str()
        .unwrap()
        .to_owned();
    let end = bench.end_state();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let fresh = Bench::new();
            let plan = fresh.home.path().join("exported.yaml");
            fs::write(&plan, &exported).unwrap();
            fresh.walk(0, &plan, &["--write", "all", "--attest", SEEN]);
            assert_eq!(fresh.end_state(), end);
        });
        scope.spawn(|| {
            let fresh = Bench::new();
            let script = fresh.home.path().join("by-hand.sh");
            let [old, new] =
                [&bench.lab, &fresh.lab].map(|lab| lab.url().trim_start_matches("file://"));
            let text = by_hand.replace(old, new);
            fs::write(&script, text).unwrap();
            let mut sh = command(Path::new("sh"), fresh.home.path());
            sh.arg(&script).current_dir(fresh.home.path());
            sh.env("KUBECONFIG", fresh.lab.text("kubeconfig"));
            sh.env("GATES", "unasked");
            let ran = run(sh);
            assert_eq!(ran.code, Some(0), "{ran:#?}");
            for gate in [
                "gate no-401 after profile-service: ",
                ", for 10m without a break (the recovery held it for ",
                "gate traces: a person looks: ",
            ] {
                assert!(ran.out.contains(gate), "{gate}: {}", ran.out);
            }
            let end_by = Instant::now() + Duration::from_secs(20);
            while fresh.end_state() != end && Instant::now() < end_by {
                std::thread::sleep(Duration::from_millis(200));
            }
            assert_eq!(fresh.end_state(), end);
        });
    });
}

impl Bench {
    /// A clone of the lab's repository in which somebody else works.
    fn somebody(&self, name: &str) -> PathBuf {
        let clone = self.home.path().join(name);
        let url = self.lab.url().to_owned();
        self.git(
            self.home.path(),
            &["clone", "-q", &url, &clone.display().to_string()],
        );
        clone
    }

    fn git(&self, at: &Path, arguments: &[&str]) {
        let mut git = command(Path::new("git"), self.home.path());
        git.current_dir(at);
        git.args(["-c", "user.name=ann", "-c", "user.email=ann@example.org"]);
        git.args(arguments);
        let ran = run(git);
        assert_eq!(ran.code, Some(0), "git {arguments:?}: {ran:?}");
    }

    /// Somebody pushes a change of one file to the tracked branch.
    fn foreign_push(&self, file: &str, change: impl Fn(String) -> String) {
        let clone = self.somebody(&format!("clone-{}", self.lab.pushes()));
        let path = clone.join(file);
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
        self.git(&clone, &["commit", "-qam", "something else"]);
        self.git(&clone, &["push", "-q", "origin", "main"]);
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

#[test]
fn a_pull_request_waits_for_its_merge() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let config = fs::read_to_string(bench.lab.dir.path().join("config.toml")).unwrap();
    let config = bench.write("config.toml", &format!("{config}merge_deadline = \"1s\"\n"));
    let config = config.display().to_string();
    let plan = bench.plan("pr.yaml", |text| {
        text.replace("branch: main", "branch: trueup/INC-441, pullRequest: true")
    });
    let waits = bench.walk(4, &plan, &["--write", "all", "--config", &config]);
    assert_eq!(waits["stage"], "commit", "{waits}");
    assert_eq!(
        bench.lab.git(&["rev-parse", "main~0"]),
        bench.lab.git(&["rev-parse", "trueup/INC-441~1"])
    );
    let status = bench.document(1, "Status", &["status"]);
    assert!(status["owed"].to_string().contains("unmerged"), "{status}");
    // What the merge changes is held until it was synced as shown.
    let thaw = ["thaw", "profile-service", "--write", "cluster"];
    let refused = bench.ends(3, &thaw).err;
    let why = "waits to be merged and changes 2 fields of argocd/profile-service";
    assert!(refused.contains(why), "{refused}");
    let closed = bench.ends(3, &["close"]).out;
    assert!(!closed.contains("trueup thaw argocd/profile"), "{closed}");
    // Nor does a sync stand by for somebody who merges.
    let waits = bench.ends(4, &["sync", "like-service", "--write", "cluster"]);
    assert!(waits.err.contains("waits to be merged"), "{waits:#?}");
    bench.walk(4, &plan, &["--write", "all", "--config", &config]);

    let clone = bench.somebody("merger");
    bench.git(
        &clone,
        &[
            "merge",
            "-q",
            "--no-ff",
            "-m",
            "merge",
            "origin/trueup/INC-441",
        ],
    );
    bench.git(&clone, &["push", "-q", "origin", "main"]);
    bench.walk(
        0,
        &plan,
        &["--write", "all", "--config", &config, "--attest", SEEN],
    );
    bench.assert_recovered();
}

const CHOICES: &str = r#"apiVersion: trueup.dev/v1
kind: Plan
incident: CHOICES
scope: [auth-service, like-service, profile-service]
targets: {"*": {policy: found}, auth-service: {automated: {prune: false, selfHeal: true}, reason: pruning waits}}
decisions:
- {on: {kind: ConfigMap, name: auth-config, namespace: auth}, fields: [".data.JWT_ALGORITHM"], take: {later: {how: keepLive, owner: ann, until: 2027-01-01}}}
- {on: {kind: ConfigMap, name: auth-config, namespace: auth}, fields: [".data.*"], take: lastSynced, reason: as it was}
- {on: {kind: ConfigMap, name: auth-config, namespace: like}, fields: [".data.JWT_ALGORITHM"], take: {later: {how: gitNow, owner: bob, until: 2027-01-01}}}
- {on: {kind: ConfigMap, name: auth-config, namespace: like}, fields: [".data.JWT_PUBLIC_KEY_ID"], take: {value: key-new}, reason: rotated again}
- {on: {kind: ConfigMap, name: auth-config, namespace: profile}, fields: [".data.TEMP_FLAG"], take: remove, reason: left over}
- {on: {kind: ConfigMap, name: auth-config}, fields: [".data.*"], take: git, reason: Git is right}
gates:
  value: {field: {kind: ConfigMap, namespace: like, name: auth-config, field: .data.JWT_PUBLIC_KEY_ID, is: "== key-new"}}
  command: {command: {argv: ["true"]}}
  page: {http: {url: "PROMETHEUS/-/healthy"}}
  calm: {quiet: {}}
  well: {health: {application: auth-service}}
sync:
- {application: auth-service, then: [healthy, command]}
- {application: like-service, then: [value, page]}
- {application: profile-service, then: [calm, well]}
"#;

const STAYS: &str = r#"apiVersion: trueup.dev/v1
kind: Plan
incident: STAYS
scope: [auth-service, like-service, profile-service]
targets: {"*": {policy: declared}}
decisions:
- {on: {kind: ConfigMap, name: auth-config, namespace: like}, fields: [".data.*"], take: {later: {how: stayFrozen, owner: ann, until: 2027-01-01}}}
- {on: {kind: ConfigMap, name: auth-config}, fields: [".data.*"], take: {live: {namespace: auth}}, reason: auth is right}
"#;

#[test]
fn every_choice_ends_where_it_says() {
    if !have("kubectl") {
        return;
    }
    let values = |end: &Value, copy: usize| {
        let data = &end["values"][copy];
        (
            data["JWT_ALGORITHM"].clone(),
            data["JWT_PUBLIC_KEY_ID"].clone(),
        )
    };
    let owners = |status: &Value| -> Vec<String> {
        let owed = status["owed"].as_array().unwrap();
        owed.iter()
            .map(|o| o["owner"].as_str().unwrap_or("nobody").to_owned())
            .collect()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let bench = Bench::new();
            bench.kubectl(&[
                "patch",
                "configmap",
                "auth-config",
                "-n",
                "profile",
                "--type",
                "merge",
                "-p",
                r#"{"data":{"TEMP_FLAG":"x"}}"#,
            ]);
            let plan = bench.write(
                "choices.yaml",
                &CHOICES.replace("PROMETHEUS", &bench.lab.text("prometheus")),
            );
            bench.walk(0, &plan, &["--write", "all"]);
            let end = bench.end_state();
            assert_eq!(
                values(&end, 0),
                (json!("RS256"), json!("key-2024-09")),
                "kept live, and as last synced"
            );
            assert_eq!(
                values(&end, 1),
                (json!("HS256"), json!("key-new")),
                "Git for now, and another value"
            );
            assert_eq!(values(&end, 2), (json!("HS256"), json!("key-2024-09")));
            assert_eq!(end["values"][2].get("TEMP_FLAG"), None, "removed");
            let policy = |automated: Value| json!([automated, false, "Synced"]);
            assert_eq!(
                end["policies"],
                json!([
                    policy(json!({"automated": {"prune": false, "selfHeal": true}})),
                    policy(Value::Null),
                    policy(Value::Null)
                ])
            );
            let status = bench.document(1, "Status", &["status"]);
            assert_eq!(
                (&status["stage"], owners(&status)),
                (&json!("closed"), vec!["ann".to_owned(), "bob".to_owned()])
            );
            bench.walk(0, &plan, &["--write", "all"]);
        });
        scope.spawn(|| {
            let bench = Bench::new();
            let plan = bench.write("stays.yaml", STAYS);
            bench.walk(0, &plan, &["--write", "all"]);
            let end = bench.end_state();
            for copy in [0, 2] {
                assert_eq!(
                    values(&end, copy),
                    (json!("RS256"), json!("key-2024-11-rot"))
                );
                assert_eq!(end["policies"][copy][1], false);
            }
            assert_eq!(
                values(&end, 1),
                (json!("RS256"), json!("key-2024-09")),
                "not decided, not touched"
            );
            assert_eq!(
                end["policies"][1],
                json!([null, true, "OutOfSync"]),
                "handed over frozen"
            );
            let status = bench.document(1, "Status", &["status"]);
            assert_eq!(
                (&status["stage"], owners(&status)),
                (&json!("closed"), vec!["ann".to_owned(); 3])
            );
        });
    });
}

/// What others do while the walk waits is adopted; only what it touched is open again.
#[test]
fn what_others_do_is_adopted() {
    if !have("kubectl") {
        return;
    }
    /// A walk that waits for somebody who looks, after the first sync.
    fn waiting() -> (Bench, PathBuf) {
        let bench = Bench::new();
        let plan = bench.plan("waits.yaml", |text| {
            text.replace("expect: no-change", "expect: no-change, then: [traces]")
                .replace(", no-401, traces", "")
        });
        let waits = bench.walk(4, &plan, &["--write", "all"]);
        assert!(
            waits["reason"].as_str().unwrap().contains("traces"),
            "{waits}"
        );
        (bench, plan)
    }
    let on = ["--write", "all", "--attest", SEEN];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Between the proposal and the push, which is not armed yet; then between two syncs.
            let bench = Bench::new();
            let plan = bench.own_plan();
            bench.walk(3, &plan, &["--write", "cluster"]);
            assert!(
                bench
                    .ends(0, &["export", "INC-441"])
                    .out
                    .contains("INC-441")
            );
            bench.foreign_push("deploy/auth/auth-config.yaml", |text| {
                format!("# ours too\n{text}")
            });
            let first = bench.run(
                &[
                    &["run", &plan.display().to_string(), "-o", "json"][..],
                    &["--write", "all"],
                ]
                .concat(),
            );
            if first.code == Some(3) {
                assert!(
                    result(&first)["reason"].as_str().unwrap().contains("moved"),
                    "{first:#?}"
                );
                bench.walk(4, &plan, &["--write", "all"]);
            } else {
                assert_eq!(result(&first)["exit"], 4);
            }
            assert!(
                bench
                    .lab
                    .git(&["show", "main:deploy/auth/auth-config.yaml"])
                    .starts_with("# ours too")
            );
            bench.foreign_push("deploy/like/auth-config.yaml", |text| {
                format!("# and again\n{text}")
            });
            let then = bench.run(
                &[
                    &["run", &plan.display().to_string(), "-o", "json"][..],
                    &on[..],
                ]
                .concat(),
            );
            if then.code != Some(0) {
                assert_eq!(result(&then)["exit"], 3, "{then:#?}");
                bench.walk(0, &plan, &on);
            }
            bench.assert_recovered();
        });
        scope.spawn(|| {
            // Somebody syncs what we have not synced yet.
            let (bench, plan) = waiting();
            let head = bench.lab.git(&["rev-parse", "main"]);
            let operation = json!({"operation": {"initiatedBy": {"username": "ann"}, "sync": {"revision": head}}});
            bench.kubectl(&["patch", "application", "like-service", "-n", "argocd", "--type", "merge", "-p", &operation.to_string()]);
            let end = Instant::now() + Duration::from_secs(20);
            while bench.application("like-service")["status"]["operationState"]["phase"] != "Succeeded" {
                assert!(Instant::now() < end);
                std::thread::sleep(Duration::from_millis(100));
            }
            bench.walk(0, &plan, &on);
            bench.assert_recovered();
            assert!(bench.ends(0, &["export", "INC-441"]).out.contains("ann"), "who did it is in the transcript");
        });
        scope.spawn(|| {
            // Somebody edits a field that was decided and not synced yet; then puts it back.
            let (bench, plan) = waiting();
            let edit = |value: &str| {
                let patch = json!({"data": {"JWT_ALGORITHM": value}}).to_string();
                bench.kubectl(&[
                    "patch",
                    "configmap",
                    "auth-config",
                    "-n",
                    "profile",
                    "--type",
                    "merge",
                    "-p",
                    &patch,
                ]);
            };
            edit("none");
            let open = bench.walk(4, &plan, &on);
            assert_eq!(open["stage"], "decide", "{open}");
            assert_eq!(
                bench.document(1, "Status", &["status"])["undecided"],
                1,
                "only what was touched"
            );
            edit("HS256");

            // Somebody switches auto-sync on.
            bench.kubectl(&[
                "patch",
                "application",
                "like-service",
                "-n",
                "argocd",
                "--type",
                "merge",
                "-p",
                r#"{"spec":{"syncPolicy":{"automated":{}}}}"#,
            ]);
            for _ in 0..2 {
                let lost = bench.walk(3, &plan, &on);
                assert_eq!(lost["rule"], 4, "{lost}");
            }
            bench.ends(0, &["freeze", "like-service", "--write", "cluster"]);
            bench.walk(0, &plan, &on);
            bench.assert_recovered();
        });
    });
}

/// The functions of the script by hand, with a gate, in a terminal and without one.
#[test]
fn the_script_by_hand_waits_at_a_gate_where_somebody_can_answer() {
    let home = crate::support::scratch();
    let script = format!(
        "{}\ngate 'traces: it\\ns so'\necho went on\n",
        include_str!("../assets/transcript/by-hand.sh")
    );
    let sh = Path::new("/bin/sh");
    for (gates, code, said) in [
        ("", 1, "gate traces: it\\ns so\n"),
        ("unasked", 0, "gate traces: it\\ns so\nwent on\n"),
    ] {
        let mut alone = command(sh, home.path());
        alone.args(["-c", &script]).env("GATES", gates);
        let ran = run(alone);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), said), "{ran:?}");
        assert!(ran.err.contains("GATES=unasked"), "{ran:?}");
    }
    let arguments = ["-c".to_owned(), script];
    let mut terminal = Screen::start(sh, &arguments, home.path(), 80, 24);
    let asked = terminal.wait_for("the gate", |shot| shot.has("press enter"));
    assert!(
        asked.has("gate traces: it\\ns so") && !asked.has("went on"),
        "{asked:?}"
    );
    terminal.send("\r");
    terminal.wait_for("what comes after", |shot| shot.has("went on"));
}

#[test]
fn each_stage_has_a_command_of_its_own() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let frozen = |app: &str| {
        bench
            .application(app)
            .pointer("/metadata/annotations/trueup.dev~1frozen")
            .is_some()
    };
    let told =
        |ran: &Ran| -> Vec<Value> { ran.documents().iter().map(|d| d["state"].clone()).collect() };
    let set = bench.ends(
        0,
        &[
            "freeze",
            "profile-service",
            "--no-wait",
            "--write",
            "cluster",
            "-o",
            "json",
        ],
    );
    assert_eq!(told(&set), [json!("set")]);
    let incident = set.documents()[0]["incident"].as_str().unwrap().to_owned();
    assert!(frozen("profile-service"));
    let proven = bench.ends(
        0,
        &[
            "freeze",
            "profile-service",
            "--write",
            "cluster",
            "-o",
            "json",
        ],
    );
    assert_eq!(
        told(&proven),
        [json!("set"), json!("proven")],
        "the open incident goes on"
    );
    let drift = bench.document(0, "DriftReport", &["drift", "profile-service"]);
    assert_eq!(
        drift["applications"][0]["autoSync"]["frozenBy"],
        format!("trueup:{incident}")
    );
    let synced = bench
        .ends(
            0,
            &[
                "sync",
                "profile-service",
                "--write",
                "cluster",
                "-o",
                "json",
            ],
        )
        .document();
    assert_eq!(
        (&synced["kind"], &synced["changes"]),
        (&json!("Sync"), &json!([]))
    );
    let thawed = bench
        .ends(
            0,
            &[
                "thaw",
                "profile-service",
                "--write",
                "cluster",
                "-o",
                "json",
            ],
        )
        .document();
    assert_eq!(
        (&thawed["kind"], &thawed["state"]),
        (&json!("Thaw"), &json!("thawed"))
    );
    assert!(!frozen("profile-service"));
    bench.document(0, "Status", &["status", &incident]);

    // A freeze in a hurry, and the plan that comes after it; the thing that could not wait is done live.
    bench.ends(
        0,
        &[
            "freeze",
            "profile-service",
            "--incident",
            "INC-441",
            "--write",
            "cluster",
        ],
    );
    let act = [
        "act",
        "scale",
        "profile-service",
        "Deployment/profile-service",
        "4",
        "--incident",
        "INC-441",
        "-o",
        "json",
    ];
    bench.document(3, "Error", &act[..7]);
    assert_eq!(
        bench
            .ends(
                0,
                &[&act[..], &["--write", "cluster", "--reason", "load"]].concat()
            )
            .document()["kind"],
        "Act"
    );
    let scaled = || {
        bench.get(&["deployment", "profile-service", "-n", "profile"])["spec"]["replicas"].clone()
    };
    assert_eq!(scaled(), 4);
    bench.walk(0, &bench.own_plan(), &["--write", "all", "--attest", SEEN]);
    bench.assert_recovered();
    assert_eq!(scaled(), 4);
    assert!(
        bench
            .lab
            .git(&["show", "main:deploy/profile/deployment.yaml"])
            .contains("replicas: 4")
    );
    // What the sheet of the push gave as the way by hand can be run as it stands.
    let journal = fs::read_to_string(bench.state.join("incidents/INC-441/journal.jsonl")).unwrap();
    let pushed = journal
        .lines()
        .filter_map(|line| serde_json::from_str(line.split_once(' ')?.1).ok())
        .filter_map(|record: Value| Some(record["byHand"][0].as_str()?.to_owned()))
        .find(|by_hand| by_hand.starts_with("git "))
        .unwrap();
    let mut shell = command(Path::new("sh"), bench.home.path());
    shell.args(["-c", &pushed]);
    let ran = run(shell);
    assert_eq!(ran.code, Some(0), "{pushed}: {ran:?}");
}

/// Nothing is opened, and no scope is widened, for a name that no Application has.
/// What a plan gets wrong about the world is found before anything is frozen for it.
#[test]
fn a_mistake_in_a_plan_is_found_before_the_freeze() {
    let bench = Bench::new();
    let plan = bench.plan("wrong.yaml", |text| {
        text.replace("JWT_ALGORITHM\": RS256", "JWT_ALGORITHM\": RS512")
    });
    let ended = bench.walk(3, &plan, &["--write", "all"]);
    assert_eq!(ended["rule"], 3, "{ended}");
    assert!(
        ended["reason"].as_str().unwrap().contains("RS512"),
        "{ended}"
    );
    let changes =
        bench.lab.writes().into_iter().filter(|write| {
            write["objectRef"]["resource"] != "leases" && write["verb"] != "create"
        });
    assert_eq!(changes.collect::<Vec<_>>(), Vec::<Value>::new());
}

/// A plan is mended under the same incident: said, journaled, and only where nothing was done yet.
#[test]
fn a_plan_that_falls_short_is_mended_and_gone_on_with() {
    let bench = Bench::new();
    let journal = || {
        let path = bench.state.join("incidents/INC-441/journal.jsonl");
        fs::read_to_string(path).unwrap_or_default()
    };
    let arm = ["--write", "all"];
    let targets = "targets: {\"*\": {policy: declared}}";
    let canary = "{application: like-service, then: [healthy]}";
    let wrong = "{application: like-service, expect: no-change, then: [healthy]}";
    let without = bench.plan("short.yaml", |text| {
        let short = text.replace(canary, wrong);
        let lines: Vec<&str> = short
            .lines()
            .filter(|l| !l.starts_with("targets:"))
            .collect();
        lines.join("\n")
    });
    let pushes = bench.lab.pushes();
    // Begun by nobody, it is nothing to go on with.
    let mend = ["--replan", "a target for all", "--write", "all"];
    let none = bench.walk(2, &without, &mend);
    assert!(
        none["reason"]
            .as_str()
            .unwrap()
            .contains("there is no such incident"),
        "{none}"
    );

    let said = bench.ends(
        4,
        &[&["run", &without.display().to_string()][..], &arm].concat(),
    );
    assert!(
        said.err.contains("no target policy") && said.err.contains("--replan 'why'"),
        "{said:?}"
    );
    let targeted = bench.write(
        "targeted.yaml",
        &format!("{}\n{targets}\n", fs::read_to_string(&without).unwrap()),
    );
    let stopped = bench.walk(3, &targeted, &mend);
    assert!(
        stopped["reason"]
            .as_str()
            .unwrap()
            .contains("expects no change"),
        "{stopped}"
    );
    let another = bench.ends(
        3,
        &[&["run", &without.display().to_string()][..], &arm].concat(),
    );
    assert!(
        another.err.contains("another plan: targets.* removed")
            && another.err.contains("--replan 'why'"),
        "{another:?}"
    );
    assert_eq!(bench.lab.pushes(), pushes + 1);
    assert!(journal().contains("a target for all") && journal().contains("targets.* added"));
    assert!(
        journal().contains("author: "),
        "the sheet of the push says who commits"
    );

    // What was decided stays, and a plan that says otherwise changes nothing.
    let before = journal();
    let otherwise = bench.plan("otherwise.yaml", |text| {
        text.replace("take: {live: {namespace: auth}}", "take: git")
            .lines()
            .filter(|line| !line.contains("expect: {\""))
            .collect::<Vec<_>>()
            .join("\n")
    });
    let refused = bench.walk(3, &otherwise, &["--replan", "no", "--write", "all"]);
    assert!(
        refused["reason"]
            .as_str()
            .unwrap()
            .contains("`decisions` take another side"),
        "{refused}"
    );
    assert_eq!(journal(), before, "refused before anything was written");

    // A colleague's push is answered by the plan, once it is told of it.
    bench.foreign_push("deploy/profile/auth-config.yaml", |text| {
        text.replacen(
            "    team: identity\n",
            "    team: identity\n    tier: core\n",
            1,
        )
    });
    let meant = bench.own_plan();
    let left = bench.walk(
        4,
        &meant,
        &["--replan", "like-service moves", "--write", "all"],
    );
    assert!(
        left["reason"]
            .as_str()
            .unwrap()
            .contains(".metadata.labels.tier"),
        "{left}"
    );
    let label = "- on: {kind: ConfigMap, name: auth-config}\n  fields: [.metadata.labels.tier]\n  take: git\n  reason: theirs\ncommit:";
    let whole = bench.plan("whole.yaml", |text| text.replacen("commit:", label, 1));
    let mend = [
        "--replan",
        "the label is theirs",
        "--write",
        "all",
        "--attest",
        SEEN,
    ];
    bench.walk(0, &whole, &mend);
    let transcript = bench.ends(0, &["export", "INC-441"]).out;
    assert_eq!(
        transcript.matches("plan mended by").count(),
        3,
        "{transcript}"
    );
    assert!(transcript.contains("the label is theirs"), "{transcript}");
    // The same command once more finds nothing to do.
    bench.walk(0, &whole, &mend);
}

#[test]
fn names_that_nothing_has_open_nothing() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let incidents = || bench.document(0, "IncidentList", &["incidents"])["incidents"].clone();
    let freeze = |name: &str| {
        let error = bench.document(2, "Error", &["freeze", name, "--write", "all"]);
        (error["reason"].to_string(), error["hint"].to_string())
    };
    let (reason, hint) = freeze("profile-servic");
    assert!(reason.contains("profile-servic") && hint.contains("did you mean profile-service?"));
    let (reason, hint) = freeze("nosuch");
    assert!(reason.contains("nosuch") && hint.contains("trueup drift"));
    let plan = bench.plan("nosuch.yaml", |text| {
        text.replace(
            "like-service, profile-service]",
            "like-servise, profile-service]",
        )
    });
    let ended = bench.walk(2, &plan, &["--write", "all"]);
    assert!(
        ended["reason"].as_str().unwrap().contains("like-servise"),
        "{ended}"
    );
    bench.document(2, "Error", &["thaw", "nosuch", "--write", "all"]);
    assert_eq!(incidents(), json!([]));
    assert_eq!(bench.lab.writes(), Vec::<Value>::new());

    // An open incident is closed by its own command, which says what is owed until then.
    bench.ends(
        0,
        &[
            "freeze",
            "profile-service",
            "--write",
            "cluster",
            "--incident",
            "A-1",
        ],
    );
    freeze("nosuch");
    assert_eq!(
        incidents()[0]["applications"],
        json!(["argocd/profile-service"])
    );
    // What is undone on the cluster is not told as the journal has it.
    let auto_sync = |on: bool| {
        let patch = json!({"spec": {"syncPolicy": {"automated": {"enabled": on}}}}).to_string();
        let what = [
            "patch",
            "applications.argoproj.io",
            "profile-service",
            "-n",
            "argocd",
        ];
        bench.kubectl(&[&what[..], &["--type", "merge", "-p", &patch]].concat());
    };
    let frozen = || bench.document(1, "Status", &["status"])["frozen"][0]["state"].clone();
    let line = || bench.ends(1, &["status", "--line"]).out;
    assert_eq!(frozen(), "proven");
    auto_sync(true);
    assert_eq!(frozen(), "lost");
    assert!(
        line().contains("freeze LOST: profile-service"),
        "{}",
        line()
    );
    let table = bench.ends(1, &["status"]).out;
    assert!(
        table.contains("lost: somebody switched auto-sync on"),
        "{table}"
    );
    auto_sync(false);
    assert_eq!(frozen(), "proven");
    assert!(!line().contains("LOST"), "{}", line());
    let refused = bench.document(3, "Close", &["close"]);
    assert_eq!(
        (&refused["state"], &refused["rule"], &refused["exit"]),
        (&json!("open"), &json!(10), &json!(3))
    );
    let command = refused["owed"][0]["command"].as_str().unwrap().to_owned();
    assert!(
        command.starts_with("trueup thaw argocd/profile-service"),
        "{command}"
    );
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    bench.ends(0, &words);
    for arguments in [&["close"][..], &["close", "A-1"]] {
        let closed = bench.document(0, "Close", arguments);
        assert_eq!(
            (&closed["state"], &closed["owed"]),
            (&json!("closed"), &json!([]))
        );
    }
    bench.document(2, "Error", &["close"]);
    bench.document(2, "Error", &["close", "B-9"]);
    assert_eq!(incidents()[0]["state"], "closed");
}

/// A repository that goes away after Scope: nothing is decided on what cannot be read.
#[test]
fn a_repository_that_went_away_stops_before_any_decision() {
    let bench = Bench::new();
    let journal = bench.state.join("incidents/INC-441/journal.jsonl");
    let happened = |event: &str| {
        let mark = format!("\"type\":\"{event}\"");
        fs::read_to_string(&journal)
            .unwrap_or_default()
            .contains(&mark)
    };
    let all = [
        &["freeze"],
        &APPS[..],
        &["--incident", "INC-441", "--write", "cluster"],
    ]
    .concat();
    bench.ends(0, &all);
    // What is owed is told in full, and what settles it is something that is not refused.
    let refused = bench.document(3, "Close", &["close"]);
    let reason = refused["reason"].as_str().unwrap();
    assert!(APPS.iter().all(|app| reason.contains(app)), "{reason}");
    for owed in refused["owed"].as_array().unwrap() {
        assert_eq!(owed["command"], "trueup resume INC-441", "{owed}");
        let first = owed["first"].as_str().unwrap();
        assert!(first.contains("not decided"), "{first}");
    }
    let (here, gone) = (bench.lab.repository(), bench.home.path().join("gone"));
    fs::rename(&here, &gone).unwrap();
    let git = bench.plan("git.yaml", |text| {
        let (before, rest) = text.split_once("decisions:").unwrap();
        let (_, after) = rest.split_once("commit:").unwrap();
        format!("{before}decisions:\n- {{on: {{kind: ConfigMap, name: auth-config, namespace: \"*\"}}, fields: [\".data.*\"], take: git}}\ncommit:{after}")
    });
    let ended = bench.walk(2, &git, &["--write", "all"]);
    let drift = bench.document(2, "DriftReport", &["drift"]);
    for app in drift["applications"].as_array().unwrap() {
        assert_eq!(app["divergences"], Value::Null, "nothing could be compared");
    }
    let url = here.display().to_string();
    assert!(ended["reason"].as_str().unwrap().contains(&url), "{ended}");
    // Given a plan already, and taken up with another state of the repository: there, but not readable.
    fs::rename(&gone, &here).unwrap();
    let head = here.join("HEAD");
    let text = fs::read_to_string(&head).unwrap();
    fs::write(&head, "garbage").unwrap();
    let ended = bench.walk(2, &git, &["--write", "all"]);
    assert!(ended["reason"].as_str().unwrap().contains(&url), "{ended}");
    for event in ["decided", "landed", "proposed", "predicted"] {
        assert!(!happened(event), "{event}");
    }
    fs::write(&head, text).unwrap();
    let left = bench.walk(3, &git, &["--write", "all"]);
    assert!(happened("decided") && happened("landed"), "{left}");
}

/// Text from the cluster, Git and metrics reaches a terminal inert, whatever it holds and however long it is.
#[test]
fn hostile_text_stays_text() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}evil\u{2066}\u{9b}31m\r\nfake: line";
    let patch = json!({"data": {"JWT_ALGORITHM": hostile}}).to_string();
    bench.kubectl(&[
        "patch",
        "configmap",
        "auth-config",
        "-n",
        "profile",
        "--type",
        "merge",
        "-p",
        &patch,
    ]);
    bench.kubectl(&[
        "annotate",
        "application",
        "profile-service",
        "-n",
        "argocd",
        &format!("note={hostile}"),
        "--overwrite",
    ]);
    bench.foreign_push("deploy/profile/auth-config.yaml", |text| {
        format!("# {}\n{text}", "y".repeat(1 << 20))
    });
    let inert = |ran: &Ran| {
        for text in [&ran.out, &ran.err] {
            let bad = text.chars().find(|c| {
                (c.is_control() && *c != '\n')
                    || ('\u{202a}'..='\u{202e}').contains(c)
                    || ('\u{2066}'..='\u{2069}').contains(c)
            });
            assert_eq!(bad, None, "{}", text.escape_debug());
            // A message of several lines is quoted as such in the transcript, between fences.
            let quoted = text.contains("## The patch") || text.contains("<html");
            assert!(quoted || !text.lines().any(|line| line.starts_with("fake:")));
        }
    };
    inert(&bench.ends(1, &["drift"]));
    inert(&bench.ends(1, &["drift", "-o", "json"]));
    inert(&bench.ends(1, &["watchdog", "--older-than", "1h"]));
    inert(&bench.ends(2, &["drift", hostile]));
    inert(&bench.ends(2, &["freeze", hostile, "--write", "all"]));
    inert(&bench.ends(2, &["status", hostile]));
    let plan = bench.plan("hostile.yaml", |text| {
        let reason = serde_json::to_string(hostile).unwrap();
        let reason = reason.replace('\u{9b}', "\\u009b");
        let line = text
            .lines()
            .find(|line| line.starts_with("commit:"))
            .unwrap();
        text.replace(
            line,
            &format!("commit: {{branch: main, message: {reason}}}"),
        )
    });
    let plan = plan.display().to_string();
    // Stops where the plan's expectation does not hold or a gate is not attested; what it says on the way is inert.
    let ran = bench.run(&["run", &plan, "--write", "all"]);
    inert(&ran);
    assert!([3, 4].contains(&ran.code.unwrap()), "{ran:?}");
    for format in ["md", "html", "json"] {
        inert(&bench.ends(0, &["export", "--format", format]));
    }
    inert(&bench.run(&["status"]));
    inert(&bench.run(&["status", "--line"]));
}
