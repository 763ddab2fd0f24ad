//! One run of a program: how long it took, how much memory it had, and what it asked of whom.

use std::{
    io::{Read, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

/// A finished program.
pub struct Run {
    pub took: Duration,
    /// What it took of processors: this does not grow when others are busy.
    pub worked: Duration,
    /// Its greatest resident memory, in bytes, of itself alone.
    pub resident: u64,
    pub code: i32,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
}

/// Runs to the end. Without `keep` the output goes nowhere, so that reading it costs nothing.
#[allow(clippy::zombie_processes, reason = "wait4 reaps it")]
pub fn run(command: &mut Command, keep: bool) -> Run {
    let out = if keep { Stdio::piped() } else { Stdio::null() };
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || read(&mut stderr));
    let out = child
        .stdout
        .take()
        .map(|mut out| read(&mut out))
        .unwrap_or_default();
    let (code, resident, worked) = wait(child.id());
    let took = started.elapsed();
    Run {
        took,
        worked,
        resident,
        code,
        out,
        err: errors.join().unwrap(),
    }
}

fn read(from: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The exit code, the greatest resident memory and the processor time of a child, which is reaped.
#[allow(
    unsafe_code,
    reason = "the standard library does not give a child's resource usage"
)]
fn wait(pid: u32) -> (i32, u64, Duration) {
    let mut status = 0;
    // SAFETY: both places are ours and as large as wait4 writes; an all-zero rusage is a valid one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let reaped = libc::wait4(pid as libc::pid_t, &mut status, 0, &mut usage);
        assert_eq!(
            reaped,
            pid as libc::pid_t,
            "{}",
            std::io::Error::last_os_error()
        );
        usage
    };
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    (
        libc::WEXITSTATUS(status),
        usage.ru_maxrss as u64 * 1024,
        time(usage.ru_utime) + time(usage.ru_stime),
    )
}

/// Lines that a server's log gets from now on.
pub struct Tail {
    path: PathBuf,
    from: usize,
}

impl Tail {
    pub fn new(path: &Path) -> Self {
        let from = std::fs::metadata(path).map_or(0, |meta| meta.len() as usize);
        Self {
            path: path.to_owned(),
            from,
        }
    }

    pub fn count(&self, is: impl Fn(&str) -> bool) -> usize {
        let text = std::fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(&text[self.from.min(text.len())..])
            .lines()
            .filter(|line| is(line))
            .count()
    }

    /// Requests to the API server by programs whose user agent begins so.
    pub fn requests(&self, agent: &str) -> usize {
        self.count(|line| {
            serde_json::from_str::<Value>(line).is_ok_and(|entry| {
                entry["userAgent"]
                    .as_str()
                    .is_some_and(|by| by.starts_with(agent))
            })
        })
    }
}

/// Passes on what comes to an address of its own and counts it.
pub struct Counter {
    pub address: String,
    bytes: Arc<AtomicU64>,
}

impl Counter {
    pub fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let bytes = Arc::new(AtomicU64::new(0));
        let (to, counted) = (to.to_owned(), bytes.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&to) else {
                    continue;
                };
                for (from, to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ] {
                    let counted = counted.clone();
                    std::thread::spawn(move || pass(from, to, &counted));
                }
            }
        });
        Self { address, bytes }
    }

    /// Both directions since the last time.
    pub fn take(&self) -> u64 {
        self.bytes.swap(0, Ordering::Relaxed)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, counted: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
        counted.fetch_add(n as u64, Ordering::Relaxed);
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
