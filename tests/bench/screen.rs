//! The workbench on a terminal of its own: how fast it comes up, how fast it answers a key, and what it costs to leave open.
//!
//! Not a loop of equal calls but a walk through a pseudo-terminal, so it has no harness. As `screen child` it is the
//! program under load: the real screen on a stand-in engine that tells of 20,000 divergences and 1,000 events a second.
#![allow(clippy::unwrap_used, reason = "a failed set-up ends the benchmark")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use serde_json::Value;
use tokio::sync::mpsc as channel;
use trueup::{
    engine::handle::{Handle, Request, Update},
    tui::{
        self, TuiOptions,
        fixture::{self, Point},
    },
};
use trueup_core::{event::CommandLine, event::Event, event::Record, workflow};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trueup");
const SIZE: (u16, u16) = (120, 40);
const DIVERGENCES: usize = 20_000;
const EVENTS_A_SECOND: u32 = 1_000;
const KEYS: usize = 2_000;
const STARTS: usize = 20;
/// Keys come at a person's pace, and never in step with the frames.
const BETWEEN_KEYS: Duration = Duration::from_millis(23);

fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    if std::env::args().nth(1).as_deref() == Some("child") {
        return child();
    }
    let failed = [keys(), lab()].concat();
    for what in &failed {
        println!("over the limit: {what}");
    }
    std::process::exit(i32::from(!failed.is_empty()));
}

/// A program on a terminal of its own.
struct Screen {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    chunks: mpsc::Receiver<(Instant, Vec<u8>)>,
    parser: vt100::Parser,
    started: Instant,
    _pty: Box<dyn portable_pty::MasterPty + Send>,
}

impl Screen {
    fn start(program: &Path, arguments: &[String]) -> Self {
        let size = PtySize {
            rows: SIZE.1,
            cols: SIZE.0,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pty = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        let mut reader = pty.master.try_clone_reader().unwrap();
        let writer = pty.master.take_writer().unwrap();
        let (sender, chunks) = mpsc::channel();
        let started = Instant::now();
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read) = reader.read(&mut buffer) {
                if read == 0
                    || sender
                        .send((Instant::now(), buffer[..read].to_vec()))
                        .is_err()
                {
                    return;
                }
            }
        });
        let parser = vt100::Parser::new(SIZE.1.try_into().unwrap(), SIZE.0.try_into().unwrap(), 0);
        Self {
            child,
            writer,
            chunks,
            parser,
            started,
            _pty: pty.master,
        }
    }

    /// Reads until the screen is as wished and no byte is waiting; when the last byte came.
    fn until(&mut self, wish: impl Fn(&vt100::Screen) -> bool) -> Option<Instant> {
        let limit = Instant::now() + Duration::from_secs(30);
        while let Ok((at, bytes)) = self
            .chunks
            .recv_timeout(limit.saturating_duration_since(Instant::now()))
        {
            self.parser.process(&bytes);
            if wish(self.parser.screen()) {
                return Some(at);
            }
        }
        println!(
            "never came about; the screen is\n{}",
            self.parser.screen().contents()
        );
        None
    }

    fn press(&mut self, keys: &str) -> Instant {
        let at = Instant::now();
        self.writer.write_all(keys.as_bytes()).unwrap();
        self.writer.flush().unwrap();
        at
    }

    fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn quantile(sorted: &[Duration], of: f64) -> Duration {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((sorted.len() - 1) as f64 * of).round() as usize;
    sorted[at]
}

fn say(what: &str, mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    let (half, most) = (quantile(&times, 0.5), quantile(&times, 0.99));
    println!(
        "{what}: n {}, median {half:.1?}, p99 {most:.1?}, max {:.1?}",
        times.len(),
        quantile(&times, 1.0)
    );
    (half, most)
}

/// The row of the cursor in the list on the left.
fn cursor(screen: &vt100::Screen) -> Option<u16> {
    (0..SIZE.1).find(|row| {
        (0..3).any(|col| screen.cell(*row, col).is_some_and(|c| c.contents() == "▸")) && *row > 2
    })
}

/// From the byte of a key to the last byte of the frame that shows what it did.
fn keys() -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let mut screen = Screen::start(&program, &["child".into()]);
    if screen
        .until(|s| s.contents().contains("object-2"))
        .is_none()
    {
        return vec!["the screen under load never came up".into()];
    }
    let mut times = Vec::new();
    let mut rng = 1_u32;
    for n in 0..KEYS {
        // The pause varies, so that keys fall anywhere between two frames.
        rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let until =
            Instant::now() + BETWEEN_KEYS + Duration::from_micros(u64::from(rng >> 16) % 16_000);
        while let Ok((_, bytes)) = screen
            .chunks
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            screen.parser.process(&bytes);
        }
        let row = cursor(screen.parser.screen());
        // Up and down in turns, at the top of the list.
        let pressed = screen.press(if n % 2 == 0 { "j" } else { "k" });
        match screen.until(|s| cursor(s) != row && cursor(s).is_some()) {
            Some(at) => times.push(at.saturating_duration_since(pressed)),
            None => return vec!["a key was never answered".into()],
        }
    }
    let what = format!("key to frame, {DIVERGENCES} divergences, {EVENTS_A_SECOND} events/s");
    let (_, p99) = say(&what, times);
    over(p99 > Duration::from_millis(8), "key to frame p99 ≤ 8 ms")
}

fn over(yes: bool, what: &str) -> Vec<String> {
    if yes {
        vec![what.to_owned()]
    } else {
        Vec::new()
    }
}

struct Lab {
    child: Child,
    line: Value,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

/// The real program on a lab: start to the first frame, memory, and the processor when nothing happens.
fn lab() -> Vec<String> {
    let mut child = Command::new(PROGRAM)
        .args(["lab", "--serve"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let lab = Lab {
        child,
        line: serde_json::from_str(&line).unwrap(),
    };
    let text = |key: &str| lab.line[key].as_str().unwrap().to_owned();
    let state = tempfile::tempdir().unwrap();
    let arguments = |n: usize| -> Vec<String> {
        let state = state.path().join(n.to_string()).display().to_string();
        let mut list = vec![
            "start".into(),
            "--incident".into(),
            "INC-441".into(),
            "--state-dir".into(),
            state,
        ];
        list.extend([
            "--kubeconfig".into(),
            text("kubeconfig"),
            "--prometheus".into(),
            text("prometheus"),
        ]);
        list
    };
    let mut times = Vec::new();
    for n in 0..STARTS {
        let mut screen = Screen::start(Path::new(PROGRAM), &arguments(n));
        match screen.until(|s| s.contents().contains("Scope")) {
            Some(at) => times.push(at.duration_since(screen.started)),
            None => return vec!["the first frame never came".into()],
        }
    }
    let (half, _) = say("start to first frame, on the lab", times);
    let mut screen = Screen::start(Path::new(PROGRAM), &arguments(STARTS));
    if screen
        .until(|s| s.contents().contains("profile-service"))
        .is_none()
    {
        return vec!["the lab was never shown".into()];
    }
    let settle = Instant::now() + Duration::from_secs(10);
    while screen
        .chunks
        .recv_timeout(settle.saturating_duration_since(Instant::now()))
        .is_ok()
    {}
    let before = processor(screen.pid());
    let watched = Duration::from_secs(30);
    let end = Instant::now() + watched;
    while screen
        .chunks
        .recv_timeout(end.saturating_duration_since(Instant::now()))
        .is_ok()
    {}
    let share = (processor(screen.pid()) - before).as_secs_f64() / watched.as_secs_f64() * 100.0;
    let memory = resident(screen.pid());
    println!(
        "workbench on the lab: {memory:.1} MiB resident, {share:.2} % of one processor when idle"
    );
    [
        over(
            half > Duration::from_millis(100),
            "start to first frame ≤ 100 ms",
        ),
        over(memory > 80.0, "resident ≤ 80 MiB"),
        over(share >= 1.0, "idle < 1 %"),
    ]
    .concat()
}

fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

/// Processor time used so far; a tick is a hundredth of a second on every Linux that there is.
fn processor(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// The screen on a stand-in engine.
fn child() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (requests, mut asked) = channel::channel(64);
        let (sender, updates) = channel::channel(256);
        tokio::spawn(tell(sender));
        tokio::spawn(async move {
            while let Some(request) = asked.recv().await {
                if request == Request::Quit {
                    std::process::exit(0);
                }
            }
        });
        tui::run(Handle { requests, updates }, TuiOptions::default())
            .await
            .unwrap();
    });
}

async fn tell(sender: channel::Sender<Update>) {
    let base = fixture::model(Point::Decide, SIZE);
    let mut now = (*base.world.now).clone();
    let question = now.questions[0].clone();
    let value = now.cells.values().next().unwrap().clone();
    for n in 0..DIVERGENCES {
        let mut cell = question.cells[0].clone();
        cell.object.name = format!("object-{n}");
        let mut one = question.clone();
        one.id = format!("many-{n}");
        one.group = None;
        one.name.clone_from(&cell.object.name);
        one.decide_with.clear();
        one.cells = vec![cell.clone()];
        now.cells.insert(cell, value.clone());
        now.questions.push(one);
    }
    let mut records = Point::Decide.records();
    let run = base.world.run.clone();
    let next = workflow::next(&run, &now);
    let last = records.pop().map(Arc::new).unwrap();
    let first = Update::Journaled {
        record: last.clone(),
        run: run.clone(),
    };
    for update in [
        first,
        Update::Seen(Arc::new(now)),
        Update::Next(Box::new(next)),
    ] {
        sender.send(update).await.unwrap();
    }
    // A sample of the freeze changes what is shown without changing what is to be decided.
    let sampled = Point::Decide
        .records()
        .into_iter()
        .rfind(|r| matches!(r.event, Event::FreezeSampled { .. }))
        .unwrap();
    let sampled = Arc::new(Record {
        seq: last.seq,
        ..sampled
    });
    let line = CommandLine {
        by_hand: "kubectl get applications -n argocd".into(),
        result: "200".into(),
        millis: 3,
    };
    let mut every = tokio::time::interval(Duration::from_secs(1) / EVENTS_A_SECOND);
    for n in 0_u64.. {
        every.tick().await;
        let update = match n % 3 {
            0 => Update::Journaled {
                record: sampled.clone(),
                run: run.clone(),
            },
            1 => Update::Logged {
                at: jiff::Timestamp::now(),
                line: line.clone(),
            },
            _ => Update::Freshness(Duration::from_millis(n % 9_000)),
        };
        if sender.send(update).await.is_err() {
            return;
        }
    }
}
