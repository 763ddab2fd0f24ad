//! A person at a terminal: the real program in a pseudo-terminal, keys in, the screen as a terminal would show it out.
//!
//! Nothing here sleeps for a fixed time: whoever waits, waits for something on the screen.

#![allow(
    dead_code,
    reason = "each test uses the part that it needs; the lint would hold for each of them"
)]

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    num::NonZeroU16,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};

/// What the terminal shows at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shot {
    pub rows: Vec<String>,
    /// The modes that a program has to switch off again when it leaves.
    pub modes: Modes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    pub alternate_screen: bool,
    pub cursor_hidden: bool,
    pub bracketed_paste: bool,
    pub mouse: bool,
}

/// What lies over the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    Nothing,
    /// A list of which one is taken, and the row under the cursor.
    Choose {
        title: String,
        cursor: String,
    },
    /// A form, and the field that has the keys.
    Prompt {
        title: String,
        field: String,
    },
    /// A sheet, and what it wants typed.
    Sheet {
        title: String,
        token: String,
    },
    /// Help, palette, log, or a page to read.
    Other {
        title: String,
    },
    /// A box that has just come: only the way out of it works yet.
    New {
        title: String,
    },
}

impl Shot {
    pub fn text(&self) -> String {
        self.rows.join("\n")
    }

    pub fn has(&self, text: &str) -> bool {
        self.rows.iter().any(|row| row.contains(text))
    }

    pub fn header(&self) -> &str {
        self.rows.first().map_or("", String::as_str)
    }

    pub fn rail(&self) -> &str {
        self.rows.get(1).map_or("", String::as_str)
    }

    fn footer(&self) -> [&str; 2] {
        let row = |back: usize| {
            self.rows
                .len()
                .checked_sub(back)
                .map_or("", |at| self.rows[at].as_str())
        };
        [row(2), row(1)]
    }

    /// What comes next, as the footer words it behind `n`.
    pub fn next(&self) -> &str {
        let last = self.footer()[1].trim_start();
        let words = last.strip_prefix("n ").unwrap_or_default();
        words.split("  ").next().unwrap_or_default()
    }

    /// What the keys are held for: in the place of the keys of this screen.
    pub fn held(&self) -> Option<&str> {
        let [here, _] = self.footer();
        here.trim_start().strip_prefix("waiting for ")
    }

    /// What is waited for.
    pub fn waiting(&self) -> Option<&str> {
        let row = self.rows.len().checked_sub(3).map(|at| &self.rows[at])?;
        row.trim_start().strip_prefix("waiting for ")
    }

    /// The box that lies on top: the row and column of its upper left corner, and the row and column of its lower right one.
    fn front(&self) -> Option<(usize, usize, usize, usize)> {
        const KEYS: [&str; 7] = [
            "enter takes it",
            "(enter takes it)",
            "enter next or done",
            "ctrl-s done",
            "esc back",
            "facts read",
            "esc give up",
        ];
        self.rows.iter().enumerate().find_map(|(bottom, row)| {
            let key = KEYS.iter().find_map(|key| row.find(key))?;
            let left = row[..row[..key].rfind('└')?].chars().count();
            let right = left + row.chars().skip(left).position(|c| c == '┘')?;
            let at = |row: &String| row.chars().nth(left);
            let top = self.rows[..bottom]
                .iter()
                .rposition(|row| at(row) == Some('┌'))?;
            Some((top, left, bottom, right))
        })
    }

    /// What the box on top says, line by line; the first is its title, the last its keys.
    pub fn boxed(&self) -> Vec<String> {
        let Some((top, left, bottom, right)) = self.front() else {
            return Vec::new();
        };
        let inside = |row: &String| {
            let inside = row.chars().skip(left + 1).take(right - left - 1);
            inside.collect::<String>()
        };
        self.rows[top..=bottom].iter().map(inside).collect()
    }

    pub fn over(&self) -> Over {
        let lines = self.boxed();
        let (Some(title), Some(keys)) = (lines.first(), lines.last()) else {
            return Over::Nothing;
        };
        let title = title.trim_matches([' ', '─']).to_owned();
        let cursor = lines.iter().find_map(|line| line.split_once('▸'));
        let cursor = cursor.map_or("", |(_, rest)| rest).trim().to_owned();
        let works = |line: &String| line.contains("what confirms it works in a moment");
        if keys.contains("(enter takes it)") || lines.iter().any(works) {
            return Over::New { title };
        }
        if keys.contains("enter takes it") {
            return Over::Choose { title, cursor };
        }
        if keys.contains("enter next or done") || keys.contains("ctrl-s done") {
            return Over::Prompt {
                title,
                field: cursor,
            };
        }
        if keys.contains("facts read") {
            let token = lines.iter().find_map(|line| {
                let (_, rest) = line.split_once("type ")?;
                rest.split_once(" to go ahead:")
            });
            let token = token.map_or("", |(token, _)| token).to_owned();
            return Over::Sheet { title, token };
        }
        if keys.contains("esc give up") {
            return Over::New { title };
        }
        Over::Other { title }
    }

    /// The keys that are named now: by what lies over the screen, else by the footer. What is in parentheses does not count.
    pub fn keys(&self) -> BTreeSet<String> {
        let named = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        match self.over() {
            Over::Choose { .. } => {
                let lines = self.boxed();
                let mut keys: BTreeSet<String> = named(&["enter", "esc"]);
                if lines.iter().any(|line| line.contains("↑↓")) {
                    keys.extend(["up".to_owned(), "down".to_owned()]);
                }
                // A choice that begins with a number or a letter is reached by it.
                let first = lines
                    .iter()
                    .filter_map(|line| line.trim_start_matches([' ', '▸']).split_once(' '));
                keys.extend(
                    first
                        .map(|(word, _)| word.to_owned())
                        .filter(|word| word.chars().count() == 1),
                );
                keys
            }
            Over::Prompt { .. } if self.has("ctrl-s done") => named(&["ctrl-s", "esc"]),
            Over::Prompt { .. } => named(&["enter", "tab", "esc"]),
            Over::Sheet { .. } => named(&["enter", "esc"]),
            Over::Other { .. } => named(&["esc", "y"]),
            Over::New { .. } => named(&["esc"]),
            Over::Nothing => {
                let [here, everywhere] = self.footer();
                let pairs = here.split("  ").chain(everywhere.split("  "));
                pairs
                    .map(str::trim)
                    .filter(|pair| !pair.starts_with('('))
                    .filter_map(|pair| pair.split_whitespace().next())
                    .map(str::to_owned)
                    .collect()
            }
        }
    }
}

/// Frames: what is drawn between these two is shown at once, as a terminal that knows synchronized updates does.
#[derive(Default)]
struct Frames {
    drawing: bool,
    shown: Option<Shot>,
}

impl vt100::Callbacks for Frames {
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        private: Option<u8>,
        _: Option<u8>,
        params: &[&[u16]],
        end: char,
    ) {
        if private == Some(b'?') && params == [[2026]] {
            self.drawing = end == 'h';
            self.shown = Some(shot(screen));
        }
    }
}

struct Seen {
    parser: vt100::Parser<Frames>,
    /// Everything that came, for what a parser does not keep.
    bytes: Vec<u8>,
}

/// The program in its terminal.
pub struct Screen {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    /// Kept open, so that the terminal's settings can be asked for after the program has ended.
    _slave: Box<dyn SlavePty + Send>,
    keys: Box<dyn Write + Send>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    /// How the terminal was set before the program came.
    settings: String,
}

/// How long one thing on the screen is waited for.
pub const DEADLINE: Duration = Duration::from_secs(60);

fn cells(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).expect("a terminal has a size")
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

impl Screen {
    /// Starts `program` with these arguments in a terminal of this size; `home` is the only folder it knows.
    pub fn start(program: &Path, args: &[String], home: &Path, cols: u16, rows: u16) -> Self {
        Self::start_as(program, args, home, (cols, rows), "xterm-256color")
    }

    pub fn start_as(
        program: &Path,
        args: &[String],
        home: &Path,
        (cols, rows): (u16, u16),
        term: &str,
    ) -> Self {
        Self::start_after("", program, args, home, (cols, rows), term)
    }

    /// In a terminal that somebody who was killed has left behind: these bytes came before.
    pub fn start_after(
        before: &str,
        program: &Path,
        args: &[String],
        home: &Path,
        (cols, rows): (u16, u16),
        term: &str,
    ) -> Self {
        let pair = native_pty_system()
            .openpty(size(cols, rows))
            .expect("there are pseudo-terminals");
        let mut command = CommandBuilder::new(program);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", home);
        command.env("TRUEUP_OPERATOR", "jo");
        command.env("TERM", term);
        command.cwd(home);
        command.args(args);
        let settings = settings(&*pair.master);
        let child = pair.slave.spawn_command(command).expect("it starts");
        let mut parser =
            vt100::Parser::new_with_callbacks(cells(rows), cells(cols), 0, Frames::default());
        parser.process(before.as_bytes());
        let seen = Arc::new((
            Mutex::new(Seen {
                parser,
                bytes: Vec::new(),
            }),
            Condvar::new(),
        ));
        let mut reader = pair.master.try_clone_reader().expect("it can be read");
        let filled = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(length) = reader.read(&mut buffer) {
                if length == 0 {
                    return;
                }
                let mut seen = filled.0.lock().expect("nobody panics with it");
                seen.take(&buffer[..length]);
                seen.bytes.extend_from_slice(&buffer[..length]);
                filled.1.notify_all();
            }
        });
        Self {
            keys: pair.master.take_writer().expect("it can be written to"),
            child,
            master: pair.master,
            _slave: pair.slave,
            seen,
            settings,
        }
    }

    pub fn shot(&self) -> Shot {
        let seen = self.seen.0.lock().expect("nobody panics with it");
        seen.shown()
    }

    /// Everything that was written to the terminal.
    pub fn bytes(&self) -> Vec<u8> {
        let seen = self.seen.0.lock().expect("nobody panics with it");
        seen.bytes.clone()
    }

    /// Waits until the screen is so; `None` when it was not in time.
    pub fn within(&self, limit: Duration, so: impl Fn(&Shot) -> bool) -> Option<Shot> {
        let until = Instant::now() + limit;
        let mut seen = self.seen.0.lock().expect("nobody panics with it");
        loop {
            let now = seen.shown();
            if so(&now) {
                return Some(now);
            }
            let left = until.checked_duration_since(Instant::now())?;
            seen = self
                .seen
                .1
                .wait_timeout(seen, left)
                .expect("nobody panics with it")
                .0;
        }
    }

    /// Waits until the screen is so, and shows it when it never is.
    #[track_caller]
    pub fn wait_for(&self, what: &str, so: impl Fn(&Shot) -> bool) -> Shot {
        match self.within(DEADLINE, so) {
            Some(shot) => shot,
            None => panic!("never came: {what}\n{}", self.shot().text()),
        }
    }

    #[track_caller]
    pub fn wait_text(&self, text: &str) -> Shot {
        self.wait_for(text, |shot| shot.has(text))
    }

    /// Something else writes on the terminal.
    pub fn scribble(&self, bytes: &str) {
        let mut seen = self.seen.0.lock().expect("nobody panics with it");
        seen.parser.process(bytes.as_bytes());
    }

    /// Presses a key that the screen names at this moment.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        self.wait_for(&format!("{key} among the keys"), |shot| {
            shot.keys().contains(key)
        });
        self.send(key);
    }

    /// Presses a key, named or not.
    pub fn send(&mut self, key: &str) {
        let bytes: &[u8] = match key {
            "enter" => b"\r",
            "esc" => b"\x1b",
            "tab" => b"\t",
            "space" => b" ",
            "up" => b"\x1b[A",
            "down" => b"\x1b[B",
            "ctrl-c" => b"\x03",
            "ctrl-l" => b"\x0c",
            "ctrl-s" => b"\x13",
            "ctrl-u" => b"\x15",
            other => other.as_bytes(),
        };
        self.type_text_bytes(bytes);
    }

    /// Types all at once, which is faster than a hand: a paste in a terminal that does not mark one.
    pub fn type_text(&mut self, text: &str) {
        self.type_text_bytes(text.as_bytes());
    }

    /// Types letter by letter, each once the one before it is on the screen behind `label`.
    #[track_caller]
    pub fn type_slowly(&mut self, label: &str, text: &str) {
        for end in 1..=text.len() {
            self.type_text_bytes(&text.as_bytes()[end - 1..end]);
            let wanted = format!("{label}{}", &text[..end]);
            self.wait_text(&wanted);
        }
    }

    fn type_text_bytes(&mut self, bytes: &[u8]) {
        // A terminal that is gone is found out by who waits for what the key does.
        let _ = self.keys.write_all(bytes);
        let _ = self.keys.flush();
    }

    pub fn resize(&self, cols: u16, rows: u16) {
        let mut seen = self.seen.0.lock().expect("nobody panics with it");
        seen.parser.screen_mut().set_size(cells(rows), cells(cols));
        drop(seen);
        self.master
            .resize(size(cols, rows))
            .expect("a terminal can be resized");
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end and answers with its exit code; `None` when a signal ended it.
    #[track_caller]
    pub fn end(&mut self) -> Option<u32> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.signal().is_none().then(|| status.exit_code());
            }
            assert!(
                Instant::now() < until,
                "it did not end\n{}",
                self.shot().text()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The terminal is as it was before the program came.
    #[track_caller]
    pub fn assert_restored(&self) {
        self.wait_for("every mode switched off", |shot| {
            shot.modes == Modes::default()
        });
        assert_eq!(
            settings(&*self.master),
            self.settings,
            "the terminal's line settings"
        );
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            signal(self.pid(), "KILL");
            let _ = self.child.wait();
        }
    }
}

fn settings(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios())
}

/// What takes a terminal to its alternate screen.
const ALTERNATE: &[u8] = b"\x1b[?1049h";

impl Seen {
    /// As xterm and tmux do it: who is on the alternate screen already stays on it, with all that stands there. The parser
    /// would clear it.
    fn take(&mut self, bytes: &[u8]) {
        let at = bytes
            .windows(ALTERNATE.len())
            .position(|window| window == ALTERNATE);
        match at {
            Some(at) if self.parser.screen().alternate_screen() => {
                self.parser.process(&bytes[..at]);
                self.parser.process(&bytes[at + ALTERNATE.len()..]);
            }
            _ => self.parser.process(bytes),
        }
    }

    fn shown(&self) -> Shot {
        let frames = self.parser.callbacks();
        match &frames.shown {
            Some(shot) if frames.drawing => shot.clone(),
            _ => shot(self.parser.screen()),
        }
    }
}

fn shot(screen: &vt100::Screen) -> Shot {
    let (_, cols) = screen.size();
    Shot {
        rows: screen.rows(0, cols.get()).collect(),
        modes: Modes {
            alternate_screen: screen.alternate_screen(),
            cursor_hidden: screen.hide_cursor(),
            bracketed_paste: screen.bracketed_paste(),
            mouse: screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None,
        },
    }
}

/// Sends a signal, by its name without `SIG`.
pub fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(sent.is_ok_and(|status| status.success()), "{name} to {pid}");
}
