//! For tests that run the real program against a lab in a process of its own, or against a real control plane.

pub mod place;
pub mod rights;
pub mod screen;
pub mod shown;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{net::UnixStream, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;
use trueup::{
    adapters::kube::{ConnectOptions, KubeCluster},
    ports::no_log,
};

/// Settings of a lab in which nothing has to be waited for longer than the protocol needs.
pub const FAST: [&str; 4] = ["lag=100ms-200ms", "scrape=200ms", "window=2s", "poll=500ms"];

/// Waits to go with [`FAST`].
pub const WAITS: &str = "[waits]
freeze_hold = \"100ms\"
gate_for = \"200ms\"
gate_every = \"100ms\"
gate_within = \"60s\"
refresh_deadline = \"20s\"
sync_deadline = \"60s\"
health_deadline = \"60s\"
thaw_hold = \"400ms\"
thaw_rounds_timeout = \"30s\"
act_reread_first = \"300ms\"
act_reread_last = \"1500ms\"
";

/// The program under test.
pub fn trueup() -> PathBuf {
    env!("CARGO_BIN_EXE_trueup").into()
}

/// An example of this package. `cargo test` builds it beside the program; `cargo test --test NAME` alone does not, so
/// that it is refused when it is older than what it is made of.
pub fn example(name: &str) -> PathBuf {
    let path = trueup()
        .parent()
        .expect("the program is in a folder")
        .join("examples")
        .join(name);
    let made = fs::metadata(&path).and_then(|meta| meta.modified());
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let changed = sources
        .split_whitespace()
        .filter_map(|source| fs::metadata(source).ok()?.modified().ok())
        .max();
    assert!(
        made.is_ok_and(|made| changed.is_some_and(|changed| made >= changed)),
        "{} is missing or too old: cargo build -p trueup --example {name}",
        path.display()
    );
    path
}

/// What plays the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bed {
    /// The lab that the program holds.
    Lab,
    /// A real control plane: `tests/cluster/up`, which needs Go.
    Cluster,
}

impl Bed {
    /// The lab, unless `TRUEUP_BED=cluster` says otherwise.
    pub fn chosen() -> Self {
        match std::env::var("TRUEUP_BED").as_deref() {
            Ok("cluster") => Self::Cluster,
            Ok("lab" | "") | Err(_) => Self::Lab,
            Ok(other) => panic!("TRUEUP_BED={other}: lab or cluster is needed"),
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Lab => {
                let mut command = Command::new(trueup());
                command.arg("lab");
                command
            }
            Self::Cluster => {
                let up = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cluster/up");
                Command::new(up)
            }
        }
    }
}

/// A folder for a test alone. In memory where the machine has room for it there: hundreds of repositories are made and thrown away, and no
/// test is about the disk under them.
pub fn scratch() -> tempfile::TempDir {
    const MEMORY: &str = "/dev/shm";
    const ROOM: u64 = 1 << 30;
    let fits = rustix::fs::statvfs(MEMORY).is_ok_and(|at| {
        at.f_bavail.saturating_mul(at.f_frsize) >= ROOM
            && !at.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC)
    });
    let in_memory = fits.then(|| tempfile::tempdir_in(MEMORY).ok()).flatten();
    in_memory.unwrap_or_else(|| tempfile::tempdir().expect("a temporary folder"))
}

/// A lab or a cluster with the scenario, stopped when the value goes, at a panic too.
pub struct Lab {
    process: Child,
    pub bed: Bed,
    pub document: Value,
    pub dir: tempfile::TempDir,
    /// From when to when the API server was being started anew.
    restarts: Mutex<Vec<(Timestamp, Timestamp)>>,
}

impl Lab {
    /// Works on the cluster with the operator's account.
    pub fn with_cluster<T>(&self, work: impl AsyncFnOnce(KubeCluster) -> T) -> T {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut options = ConnectOptions::new([7; 32], no_log());
            options.kubeconfig = Some(self.text("kubeconfig").into());
            let cluster = KubeCluster::connect(options).await.expect("the cluster");
            work(cluster).await
        })
    }

    pub fn start(settings: &[&str]) -> Self {
        Self::start_on(Bed::chosen(), settings)
    }

    pub fn start_on(bed: Bed, settings: &[&str]) -> Self {
        let dir = scratch();
        let mut command = bed.command();
        command.args(["inc-441", "--serve", "--dir"]);
        command.arg(dir.path().join("lab"));
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.path().join("lab.err")).expect("a file"))
            .spawn()
            .expect("the lab starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("its output is a pipe");
        let read = BufReader::new(out).read_line(&mut line);
        let document = match (read, serde_json::from_str(&line)) {
            (Ok(_), Ok(document)) => document,
            other => {
                let _ = process.kill();
                let _ = process.wait();
                let said = fs::read_to_string(dir.path().join("lab.err")).unwrap_or_default();
                panic!("the lab said {other:?} and {said}");
            }
        };
        fs::write(dir.path().join("config.toml"), WAITS).expect("the settings can be written");
        Self {
            process,
            bed,
            document,
            dir,
            restarts: Mutex::default(),
        }
    }

    /// Gives an order about one component of a real control plane, as `tests/cluster/ctl` does: `kill`, `stop`, `start`, `pause`, `resume`. When
    /// `start` comes back, the component serves.
    #[track_caller]
    pub fn component(&self, verb: &str, name: &str) {
        let began = Timestamp::now();
        let mut control = UnixStream::connect(self.text("control")).expect("the cluster listens");
        writeln!(control, "{verb} {name}").expect("it takes orders");
        let mut answer = String::new();
        let read = BufReader::new(control).read_line(&mut answer);
        assert!(
            read.is_ok() && answer.trim() == "ok",
            "{verb} {name}: {read:?} {answer}"
        );
        if (verb, name) == ("start", "kube-apiserver") {
            let mut restarts = self.restarts.lock().expect("nobody panicked");
            restarts.push((began, Timestamp::now()));
        }
    }

    /// Whether the API server was being started anew. Until it has read the roles it refuses everything.
    pub fn was_starting(&self, at: Timestamp) -> bool {
        let restarts = self.restarts.lock().expect("nobody panicked");
        restarts
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&at))
    }

    /// Stands still, with its connections open, or goes on: the API server and what answers queries about metrics.
    pub fn hush(&self, still: bool) {
        match self.bed {
            Bed::Cluster => {
                for name in ["kube-apiserver", "prometheus"] {
                    self.component(if still { "pause" } else { "resume" }, name);
                }
            }
            Bed::Lab => {
                let signal = if still { "-STOP" } else { "-CONT" };
                let id = self.process.id().to_string();
                let sent = Command::new("kill").args([signal, &id]).status();
                assert!(sent.is_ok_and(|status| status.success()), "{signal}");
            }
        }
    }

    pub fn text(&self, key: &str) -> String {
        self.document[key]
            .as_str()
            .unwrap_or_else(|| panic!("the lab's document has no {key}"))
            .to_owned()
    }

    /// The options that reach it, with short waits.
    pub fn options(&self) -> Vec<String> {
        let config = self.dir.path().join("config.toml");
        ["--kubeconfig".into(), self.text("kubeconfig")]
            .into_iter()
            .chain(["--prometheus".into(), self.text("prometheus")])
            .chain(["--config".into(), config.display().to_string()])
            .collect()
    }

    /// The bare repository.
    pub fn repository(&self) -> PathBuf {
        let url = self.url();
        match url.strip_prefix("file://") {
            Some(path) => path.into(),
            // What a server serves, on the side of the server.
            None => PathBuf::from(self.text("dir"))
                .join("git")
                .join(url.rsplit('/').next().expect("a URL has a last part")),
        }
    }

    /// The repository, as the Applications name it and everybody reaches it.
    pub fn url(&self) -> &str {
        self.document["repositories"][0]["url"]
            .as_str()
            .expect("there is a repository")
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let out = Command::new("git")
            .arg("-C")
            .arg(self.repository())
            .args(arguments)
            .output()
            .expect("git runs");
        assert!(out.status.success(), "git {arguments:?}: {out:?}");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// The spec of each Application as its manifest in Git declares it, by name.
    pub fn declared_specs(&self) -> BTreeMap<String, Value> {
        let text = self.git(&["show", "main:argocd/applications.yaml"]);
        let text = text.replace("${REPO_URL}", self.url());
        serde_yaml::Deserializer::from_str(&text)
            .map(|document| Value::deserialize(document).expect("the scenario's own YAML"))
            .map(|mut manifest| {
                let name = manifest["metadata"]["name"]
                    .as_str()
                    .expect("it has a name");
                (name.to_owned(), manifest["spec"].take())
            })
            .collect()
    }

    /// How often the tracked branch was moved, counted by the remote.
    pub fn pushes(&self) -> usize {
        self.git(&["reflog", "show", "main", "--format=%H"])
            .lines()
            .count()
    }

    /// How often the operator's account listed each resource in one place at most, pages of one list counted once.
    pub fn lists(&self) -> BTreeMap<String, usize> {
        let log = fs::read_to_string(self.text("auditLog")).expect("there is an audit log");
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        for line in log.lines() {
            let Ok(entry) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let text = |pointer: &str| {
                entry
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            if text("/user/username").ends_with(":operator")
                && text("/verb") == "list"
                && entry["responseStatus"]["code"] == 200
                && !text("/requestURI").contains("continue=")
            {
                let resource = text("/objectRef/resource").to_owned();
                let place = text("/objectRef/namespace").to_owned();
                *counts.entry((resource, place)).or_default() += 1;
            }
        }
        let mut most: BTreeMap<String, usize> = BTreeMap::new();
        for ((resource, _), count) in counts {
            let known = most.entry(resource).or_default();
            *known = count.max(*known);
        }
        most
    }

    /// Nothing that the operator's trueup asked for goes beyond what the scenario's roles grant it.
    #[track_caller]
    pub fn assert_within_roles(&self) {
        let log = fs::read_to_string(self.text("auditLog")).expect("there is an audit log");
        let used = rights::used(&log, "operator", "trueup/", &rights::operator());
        assert!(!used.used.is_empty(), "the log tells of no request");
        let beyond: Vec<String> = used.beyond.keys().map(ToString::to_string).collect();
        assert_eq!(beyond, Vec::<String>::new(), "used and not granted");
    }

    /// The writes that changed something or were refused, dry runs left out, by the operator's account.
    pub fn writes(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.text("auditLog")).expect("there is an audit log");
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|entry| {
                let text = |pointer: &str| {
                    entry
                        .pointer(pointer)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                };
                text("/user/username").ends_with(":operator")
                    && ["create", "update", "patch", "delete"].contains(&text("/verb"))
                    && text("/stage") == "ResponseComplete"
                    && !text("/requestURI").contains("dryRun")
                    && !text("/requestURI").contains("authorization.k8s.io")
            })
            .collect()
    }

    /// How often each kind of effect landed on each Application: `freeze auth-service` → 1.
    pub fn effects(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.writes() {
            let landed = entry["responseStatus"]["code"] == 200;
            let application = entry["objectRef"]["resource"] == "applications";
            let Some(ops) = entry["requestObject"].as_array() else {
                continue;
            };
            if !landed || !application {
                continue;
            }
            let has = |name: &str, path: &str| {
                ops.iter().any(|op| {
                    op["op"] == name && op["path"].as_str().is_some_and(|p| p.contains(path))
                })
            };
            let name = entry["objectRef"]["name"].as_str().unwrap_or_default();
            let what = if has("add", "/operation") {
                "sync"
            } else if has("remove", "frozen") {
                "thaw"
            } else if has("add", "/ignoreDifferences") || has("add", "/syncOptions") {
                "ignore on"
            } else if has("add", "/annotations") {
                "freeze"
            } else {
                "something else on"
            };
            *counts.entry(format!("{what} {name}")).or_default() += 1;
        }
        counts
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        let until = Instant::now() + Duration::from_secs(15);
        while Instant::now() < until {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How a process ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn killed(&self) -> bool {
        self.signal == Some(9)
    }

    /// The JSON documents on its output.
    pub fn documents(&self) -> Vec<Value> {
        self.out
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The one JSON document on its output.
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A command in an environment that holds nothing of the person who runs the tests.
pub fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("TRUEUP_OPERATOR", "jo");
    command
}

/// Longer than anything that a test waits for.
const DEADLINE: Duration = Duration::from_secs(120);

/// Starts it and collects what it says.
pub struct Running {
    child: Child,
    out: std::thread::JoinHandle<String>,
    err: std::thread::JoinHandle<String>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        fn all(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = from.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        }
        let out = all(child.stdout.take().expect("a pipe"));
        let err = all(child.stderr.take().expect("a pipe"));
        Self { child, out, err }
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ran {
        let until = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            if Instant::now() > until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!(
                    "it did not end: {} {}",
                    self.out.join().unwrap_or_default(),
                    self.err.join().unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Ran {
            code: status.code(),
            signal: status.signal(),
            out: self.out.join().unwrap_or_default(),
            err: self.err.join().unwrap_or_default(),
        }
    }
}

pub fn run(command: Command) -> Ran {
    Running::start(command).end()
}

/// Waits for a condition of the world.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let limit = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < limit, "{what}: it did not come to that");
        std::thread::sleep(Duration::from_millis(10));
    }
}
