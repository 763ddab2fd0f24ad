//! Drift of every Application on a real control plane, by `trueup drift` and by what one would use without it, side by side.
//!
//! Needs what `tests/cluster/up` needs, so it only runs under TRUEUP_CLUSTER=1. `-- --sizes 10,100` measures fewer
//! Applications; `-- --on FILE` uses the control plane of which FILE holds the line, started by
//! `tests/cluster/up --bare`, and leaves it standing; `-- --program FILE` measures another build of trueup;
//! `-- --sample 10` asks the others about fewer Applications.
#![allow(clippy::unwrap_used, reason = "a failed set-up ends the benchmark")]

#[path = "cluster/fill.rs"]
mod fill;
#[path = "cluster/measured.rs"]
mod measured;

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use measured::{Counter, Run, Tail, run};
use serde_json::Value;
use trueup_lab::cluster::Cluster;

const PROGRAM: &str = env!("CARGO_BIN_EXE_trueup");
const SIZES: [usize; 3] = [10, 100, 1_000];
/// Runs of what takes seconds; the median is told.
const ROUNDS: usize = 5;
/// Applications that are asked one by one; the time of the others is extrapolated.
const SAMPLE: usize = 50;
const LISTS: [&str; 2] = [
    "/api/v1/configmaps",
    "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications",
];

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    // `cargo test --benches` only asks whether it builds and starts.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    if std::env::var_os("TRUEUP_CLUSTER").is_none() {
        println!(
            "cluster: not measured; it needs a real control plane, which TRUEUP_CLUSTER=1 allows it to start"
        );
        return;
    }
    let sizes: Vec<usize> = value("--sizes").map_or(SIZES.to_vec(), |sizes| {
        sizes
            .split(',')
            .map(|size| size.parse().expect("a number of Applications"))
            .collect()
    });
    let program = value("--program").map_or(PROGRAM, String::as_str);
    let mut bed = Bed::start(program.into(), value("--on").map(Path::new));
    if let Some(sample) = value("--sample") {
        bed.sample = sample.parse().expect("a number of Applications");
    }
    let text = std::fs::read_to_string(bed.text("kubeconfig")).unwrap();
    let cluster = Cluster::connect(&text, None, "bench").await.unwrap();
    let repository = fill::Repository::create(
        Path::new(bed.text("gitRoot")),
        bed.text("gitUrl"),
        Path::new(bed.text("dir")),
    );
    println!(
        "| applications | | time | relative | processor | requests | over the wire | memory |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for size in sizes {
        let there = fill::count(&cluster).await.unwrap();
        if there < size {
            fill::grow(&cluster, &repository, there..size)
                .await
                .unwrap();
        }
        bed.measure(fill::count(&cluster).await.unwrap(), &repository.checkout);
    }
}

/// A control plane with Argo CD and nothing else, and how its clients are called.
struct Bed {
    program: PathBuf,
    sample: usize,
    line: Value,
    /// Kubeconfig and argocd-server by way of a counter.
    counted: (PathBuf, String),
    counters: [Counter; 2],
    scratch: tempfile::TempDir,
    child: Option<Child>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

/// What one program needed for all Applications.
#[derive(Clone)]
struct Row {
    name: String,
    took: Duration,
    worked: Duration,
    requests: usize,
    bytes: u64,
    resident: u64,
    /// Of how many Applications the time was measured, when not of all.
    sampled: Option<usize>,
}

impl Bed {
    fn start(program: PathBuf, on: Option<&Path>) -> Self {
        let (text, child) = match on {
            Some(file) => (std::fs::read_to_string(file).unwrap(), None),
            None => {
                let up = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cluster/up");
                let mut child = Command::new(up)
                    .arg("--bare")
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut line = String::new();
                BufReader::new(child.stdout.take().unwrap())
                    .read_line(&mut line)
                    .unwrap();
                (line, Some(child))
            }
        };
        let line: Value = serde_json::from_str(&text).expect("the line of tests/cluster/up");
        let scratch = tempfile::tempdir().unwrap();
        let of = |name: &str| line[name].as_str().unwrap().to_owned();
        let kubeconfig = std::fs::read_to_string(of("kubeconfig")).unwrap();
        let config: Value = serde_json::from_str(&kubeconfig).unwrap();
        let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap();
        let server = server.strip_prefix("https://").unwrap();
        let counters = [Counter::start(server), Counter::start(&of("argocdServer"))];
        let counted = scratch.path().join("kubeconfig");
        std::fs::write(&counted, kubeconfig.replace(server, &counters[0].address)).unwrap();
        Self {
            program,
            sample: SAMPLE,
            counted: (counted, counters[1].address.clone()),
            counters,
            scratch,
            child,
            line,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.line[name].as_str().unwrap()
    }

    /// The addresses that a client is given: kubeconfig, argocd-server.
    fn at(&self, counted: bool) -> (PathBuf, &str) {
        if counted {
            (self.counted.0.clone(), &self.counted.1)
        } else {
            (self.text("kubeconfig").into(), self.text("argocdServer"))
        }
    }

    fn bytes(&self) -> u64 {
        self.counters.iter().map(Counter::take).sum()
    }

    fn audit(&self) -> Tail {
        Tail::new(Path::new(self.text("auditLog")))
    }

    /// kubectl or argocd; the machine's own where it has one.
    fn client(&self, name: &str) -> Command {
        let own = std::env::var("PATH").unwrap_or_default();
        let own = own
            .split(':')
            .map(|folder| Path::new(folder).join(name))
            .find(|path| path.is_file());
        let mut command = match own {
            Some(path) => Command::new(path),
            None if name == "kubectl" => Command::new(Path::new(self.text("bin")).join(name)),
            None => {
                let mut command = Command::new(Path::new(self.text("bin")).join("cluster"));
                command.arg(name);
                command
            }
        };
        command.env("HOME", self.scratch.path());
        command
    }

    fn list(&self, counted: bool, keep: bool) -> [Run; 2] {
        LISTS.map(|path| {
            let mut command = self.client("kubectl");
            command
                .arg("--kubeconfig")
                .arg(self.at(counted).0)
                .args(["get", "--raw", path]);
            let done = run(&mut command, keep);
            assert_eq!(done.code, 0, "{}", String::from_utf8_lossy(&done.err));
            done
        })
    }

    fn drift(&self, counted: bool, state: &str) -> Run {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(self.at(counted).0)
            .arg("--state-dir")
            .arg(self.scratch.path().join(state))
            .args(["drift", "-o", "json"]);
        run(&mut command, true)
    }

    fn argocd(&self, counted: bool, app: usize) -> Run {
        let mut command = self.client("argocd");
        command
            .args([
                "--plaintext",
                "--server",
                self.at(counted).1,
                "app",
                "diff",
                "--exit-code",
            ])
            .arg(fill::name(app));
        let done = run(&mut command, true);
        let expected = i32::from(app.is_multiple_of(fill::CHANGED));
        assert_eq!(
            done.code,
            expected,
            "{}",
            String::from_utf8_lossy(&done.err)
        );
        done
    }

    fn kubectl_diff(&self, counted: bool, app: usize, checkout: &Path) -> Run {
        let mut command = self.client("kubectl");
        command
            .arg("--kubeconfig")
            .arg(self.at(counted).0)
            .args(["diff", "--namespace", &fill::name(app), "-f"])
            .arg(checkout.join(fill::folder(app)));
        let done = run(&mut command, true);
        // It takes the tracking annotation, which Git does not have, for a difference of every object.
        assert_eq!(done.code, 1, "{}", String::from_utf8_lossy(&done.err));
        done
    }

    fn measure(&self, size: usize, checkout: &Path) {
        let state = format!("state-{size}");
        let first = self.drift(false, &state);
        check(&first, size);
        let (mut lists, mut drifts) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            lists.push(self.list(false, false));
            drifts.push(self.drift(false, &state));
        }
        drifts.iter().for_each(|run| check(run, size));
        let baseline = Row {
            name: "`kubectl get --raw` of both kinds".into(),
            took: median(
                lists
                    .iter()
                    .map(|runs| runs.iter().map(|run| run.took).sum()),
            ),
            worked: median(
                lists
                    .iter()
                    .map(|runs| runs.iter().map(|run| run.worked).sum()),
            ),
            requests: LISTS.len(),
            bytes: {
                self.bytes();
                self.list(true, false);
                self.bytes()
            },
            resident: lists
                .iter()
                .flatten()
                .map(|run| run.resident)
                .max()
                .unwrap_or_default(),
            sampled: None,
        };
        let listed: usize = self.list(false, true).iter().map(|run| run.out.len()).sum();
        let audit = self.audit();
        self.bytes();
        check(&self.drift(true, &state), size);
        let drift = Row {
            name: "`trueup drift`".into(),
            took: median(drifts.iter().map(|run| run.took)),
            worked: median(drifts.iter().map(|run| run.worked)),
            requests: audit.requests("trueup/"),
            bytes: self.bytes(),
            resident: drifts
                .iter()
                .map(|run| run.resident)
                .max()
                .unwrap_or_default(),
            sampled: None,
        };
        let cold = Row {
            name: "the same for the first time, with the clone".into(),
            took: first.took,
            worked: first.worked,
            resident: first.resident,
            ..drift.clone()
        };
        let log = Path::new(self.text("dir")).join("logs/argocd-server.log");
        let asked = || {
            let (audit, calls) = (self.audit(), Tail::new(&log));
            move || {
                audit.requests("argocd-server") + calls.count(|line| line.contains("finished call"))
            }
        };
        let argocd = self.each("`argocd app diff`", size, &asked, |counted, app| {
            self.argocd(counted, app)
        });
        let asked = || {
            let audit = self.audit();
            move || audit.requests("kubectl")
        };
        let kubectl = self.each("`kubectl diff -f FOLDER`", size, &asked, |counted, app| {
            self.kubectl_diff(counted, app, checkout)
        });
        for row in [&baseline, &drift, &cold, &argocd, &kubectl] {
            println!(
                "| {size} | {} | {:.2} s{} | {:.2} | {:.2} s | {} | {} | {} |",
                row.name,
                row.took.as_secs_f64(),
                row.sampled
                    .map_or(String::new(), |sampled| format!(" (from {sampled})")),
                row.took.as_secs_f64() / drift.took.as_secs_f64(),
                row.worked.as_secs_f64(),
                row.requests,
                mb(row.bytes),
                mb(row.resident),
            );
        }
        println!(
            "listed: {} of JSON; trueup: {:.2} times the time of the listing, {:.1} times the bytes listed as memory; rounds: {}",
            mb(listed as u64),
            drift.took.as_secs_f64() / baseline.took.as_secs_f64(),
            drift.resident as f64 / listed as f64,
            drifts
                .iter()
                .zip(&lists)
                .map(|(drift, lists)| format!(
                    "{:.2} s / {:.2} + {:.2} s",
                    drift.took.as_secs_f64(),
                    lists[0].took.as_secs_f64(),
                    lists[1].took.as_secs_f64()
                ))
                .collect::<Vec<_>>()
                .join(", "),
        );
    }

    /// A program that is asked for each Application, one after the other; of many a sample spread over all.
    fn each<Count: FnOnce() -> usize>(
        &self,
        name: &str,
        size: usize,
        asked: &dyn Fn() -> Count,
        ask: impl Fn(bool, usize) -> Run,
    ) -> Row {
        let step = size.div_ceil(self.sample).max(1);
        let apps: Vec<usize> = (0..size).step_by(step).collect();
        let whole = |sum: f64| sum * size as f64 / apps.len() as f64;
        let runs: Vec<Run> = apps.iter().map(|app| ask(false, *app)).collect();
        let took: Duration = runs.iter().map(|run| run.took).sum();
        let worked: Duration = runs.iter().map(|run| run.worked).sum();
        // A few by way of the counter: every Application is like the others.
        let few = &apps[..apps.len().min(5)];
        let requests = asked();
        self.bytes();
        few.iter().for_each(|app| drop(ask(true, *app)));
        let every = size as f64 / few.len() as f64;
        Row {
            name: name.into(),
            took: Duration::from_secs_f64(whole(took.as_secs_f64())),
            worked: Duration::from_secs_f64(whole(worked.as_secs_f64())),
            requests: (requests() as f64 * every) as usize,
            bytes: (self.bytes() as f64 * every) as u64,
            resident: runs
                .iter()
                .map(|run| run.resident)
                .max()
                .unwrap_or_default(),
            sampled: (apps.len() < size).then_some(apps.len()),
        }
    }
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2]
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A fast answer that is wrong would be none: exactly the fields that were changed by hand are found.
fn check(run: &Run, size: usize) {
    let report: Value = serde_json::from_slice(&run.out).unwrap_or_default();
    assert_eq!(
        report["errors"],
        serde_json::json!([]),
        "{}",
        String::from_utf8_lossy(&run.err)
    );
    assert_eq!(report["applications"].as_array().map(Vec::len), Some(size));
    let differing: BTreeSet<String> = report["questions"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|question| question["cells"].as_array().into_iter().flatten())
        .filter(|cell| cell["differs"] == true)
        .map(|cell| cell["application"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected: BTreeSet<String> = (0..size).step_by(fill::CHANGED).map(fill::name).collect();
    assert_eq!(differing, expected);
}
