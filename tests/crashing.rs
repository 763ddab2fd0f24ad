//! trueup with a listener at the boundaries of its journal that kills it, or makes it wait: the program of the crash tests
//! and of the faults of a real control plane.
//!
//! A boundary is named `<kind> <place>`, where the place says what is being written and how far the walk has come, so
//! that the same boundary has the same name in every process and every walk. From the environment:
//!
//! - `CRASH_SEEN`: a file to which the name of each boundary is added as it is reached.
//! - `CRASH_AT`: a file of names; the first one reached that is not in `CRASH_KILLED` yet is added there and kills.
//! - `CRASH_NTH`: kills at the n-th boundary of this process, whichever that is.
//! - `HOLD_AT`: a folder. A boundary whose name stands in its file `at` is added to its file `held`, and the process goes on
//!   when the name stands in its file `go` as often.
//! - `CRASH_MILESTONE`: the journal's last milestone before this process, as [`place`] has it.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use trueup::journal::{Boundaries, Point};
use trueup_core::event::Record;

#[path = "support/place.rs"]
mod place;

use place::Places;

struct Killer {
    seen: Option<String>,
    killed: Option<String>,
    at: BTreeSet<String>,
    nth: Option<u64>,
    hold: Option<PathBuf>,
    walk: Mutex<Walk>,
}

struct Walk {
    places: Places,
    here: String,
    reached: u64,
}

fn lines(variable: &str) -> BTreeSet<String> {
    let text = std::env::var(variable)
        .ok()
        .and_then(|path| fs::read_to_string(path).ok());
    text.iter()
        .flat_map(|t| t.lines())
        .map(str::to_owned)
        .collect()
}

/// Waits until it is let go, if somebody wants to look at the world as it stands here.
fn hold(folder: &Path, name: &str) {
    let count = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.lines().filter(|line| *line == name).count()
    };
    if count("at") == 0 {
        return;
    }
    add(&folder.join("held").display().to_string(), name);
    while count("go") < count("held") {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn add(path: &str, name: &str) {
    let line = format!("{name}\n");
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("the test's own file can be written");
}

#[allow(unsafe_code, reason = "there is no safe way to send a signal")]
fn die() -> ! {
    // SAFETY: kill(2) and getpid(2) touch no memory.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::thread::park();
    }
}

impl Killer {
    fn from_environment() -> Self {
        let mut at = lines("CRASH_AT");
        for name in lines("CRASH_KILLED") {
            at.remove(&name);
        }
        Self {
            seen: std::env::var("CRASH_SEEN").ok(),
            killed: std::env::var("CRASH_KILLED").ok(),
            at,
            nth: std::env::var("CRASH_NTH").ok().and_then(|n| n.parse().ok()),
            hold: std::env::var_os("HOLD_AT").map(Into::into),
            walk: Mutex::new(Walk {
                places: Places::after(std::env::var("CRASH_MILESTONE").unwrap_or_default()),
                here: String::new(),
                reached: 0,
            }),
        }
    }

    fn due(&self, walk: &Walk, name: &str) -> bool {
        self.at.contains(name) || self.nth == Some(walk.reached)
    }
}

impl Boundaries for Killer {
    fn about(&self, record: &Record) {
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        walk.here = walk.places.place(record);
    }

    fn reached(&self, point: Point) {
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        walk.reached += 1;
        let name = format!("{} {}", place::kind(point), walk.here);
        if let Some(seen) = &self.seen {
            add(seen, &name);
        }
        if self.due(&walk, &name) {
            if let Some(killed) = &self.killed {
                add(killed, &name);
            }
            die();
        }
        drop(walk);
        if let Some(folder) = &self.hold {
            hold(folder, &name);
        }
    }

    fn tear(&self) -> bool {
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{} {}", place::kind(Point::Torn), walk.here);
        // The point itself comes right after.
        walk.reached += 1;
        let due = self.due(&walk, &name);
        walk.reached -= 1;
        due
    }
}

fn main() -> ExitCode {
    trueup::start(Arc::new(Killer::from_environment()))
}
