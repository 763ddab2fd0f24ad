//! Appends records, reads them back, and mends what a crash left.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use trueup_core::{
    event::{Event, Record},
    ids::{Digest, IncidentId, hex},
};

use super::{
    Boundaries, Point, blobs,
    lock::{self, Holder, Locked, NotLocked},
};

/// The format written. A newer major is refused, a newer minor is read and not written.
const FORMAT: (u32, u32) = (1, 0);
/// Room kept for the outcome of an effect in flight.
const RESERVE: usize = 64 * 1024;
/// The hash before the first line.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: [u32; 2],
    incident: IncidentId,
    tool: String,
}

/// One line of a journal.
#[derive(Clone, Debug)]
pub struct Line {
    pub record: Record,
    pub hash: String,
    /// The record as written.
    pub raw: String,
}

/// What had to be mended on opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of a torn last line, set aside in the file named.
    pub torn: Option<(usize, PathBuf)>,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {what} {path}: {source}")]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The incident is here and cannot be gone on with.
    #[error(
        "{incident} is in this folder, which cannot be written: cannot {what} {path}: {source}"
    )]
    Kept {
        incident: String,
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("there is no incident {0} in {1}")]
    NoSuchIncident(String, PathBuf),
    #[error("incident {0} exists already in {1}")]
    Exists(String, PathBuf),
    #[error("incident {incident} is open in another process: pid {} on {} since {}", holder.pid, holder.host, holder.since)]
    Held { incident: String, holder: Holder },
    #[error("the journal {path} is of format {major}.{minor}; this version reads {}.x", FORMAT.0)]
    Newer {
        path: PathBuf,
        major: u32,
        minor: u32,
    },
    #[error("the journal {path} is damaged at line {line}: {why}")]
    Damaged {
        path: PathBuf,
        line: usize,
        why: String,
    },
    #[error("the journal was sealed after a failed write and takes nothing more: {0}")]
    Sealed(String),
    #[error(
        "the journal {path} holds no record, and what was kept beside it is there: it was emptied"
    )]
    Emptied { path: PathBuf },
    #[error("{path} {why}")]
    Unsafe { path: PathBuf, why: &'static str },
}

impl JournalError {
    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room on that disk, then resume: nothing that was journaled is lost".into()
            }
            Self::Io { source, .. } if unwritable(source) => {
                "choose a folder that can be written with --state-dir".into()
            }
            Self::Kept { .. } => {
                "make it writable for you (its owner, its mode, its disk), since no other folder has this incident; reading (`trueup status`, `trueup export`) goes on".into()
            }
            Self::Io { .. } | Self::Sealed(_) => "mend the cause, then `trueup resume`".into(),
            Self::NoSuchIncident(..) => {
                "`trueup incidents` lists those that there are; `trueup run PLAN.yaml` and `trueup freeze APP…` open one".into()
            },
            Self::Exists(..) => "`trueup resume` goes on with it; another --incident opens a new one".into(),
            Self::Held { .. } => "one process writes an incident; end the other one, or look on with `trueup status`".into(),
            Self::Newer { .. } => "use the version of trueup that wrote it; nothing was changed".into(),
            Self::Damaged { .. } => "nothing was changed. `trueup verify` on the file shows where the chain breaks; `trueup status` with an empty --state-dir finds what is frozen from the cluster alone".into(),
            Self::Emptied { .. } => "nothing was changed. Bring the file back from a backup; `trueup status` with an empty --state-dir finds what is frozen from the cluster alone".into(),
            Self::Unsafe { .. } => "make the folder yours alone (chmod 700), or choose another with --state-dir".into(),
        }
    }
}

/// Another folder would do for a new incident, and not for one that is here.
fn kept(incident: &IncidentId, error: JournalError) -> JournalError {
    match error {
        JournalError::Io { what, path, source } if unwritable(&source) => JournalError::Kept {
            incident: incident.to_string(),
            what,
            path,
            source,
        },
        other => other,
    }
}

fn unwritable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
    )
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { what, path, source }
}

/// The hash of a line from that of the line before it and the record as written.
pub fn chain(previous: &str, raw: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(previous.as_bytes());
    hash.update(b"\n");
    hash.update(raw.as_bytes());
    hex(&hash.finalize())
}

/// The open journal of one incident.
pub struct Journal {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    length: u64,
    seq: u64,
    head: String,
    sealed: Option<String>,
    boundaries: Arc<dyn Boundaries>,
    _lock: Locked,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({}, {} records)", self.path.display(), self.seq)
    }
}

/// Where incidents are kept below the state folder.
fn incidents(state: &Path) -> PathBuf {
    state.join("incidents")
}

/// Whether a journal holds a whole record. One that was torn at its very first is of an incident in which nothing had
/// been done yet, and that may be opened as if it had never been.
fn begun(path: &Path) -> bool {
    let mut first = Vec::new();
    File::open(path)
        .and_then(|file| BufReader::new(file).read_until(b'\n', &mut first))
        .is_ok_and(|_| first.ends_with(b"\n"))
}

/// Whether a journal has lost its records: blobs are kept only after the first of them.
fn emptied(dir: &Path) -> bool {
    let kept = fs::read_dir(dir.join("blobs")).is_ok_and(|mut blobs| blobs.next().is_some());
    kept && !begun(&dir.join("journal.jsonl"))
}

fn not_emptied(dir: &Path) -> Result<(), JournalError> {
    if emptied(dir) {
        let path = dir.join("journal.jsonl");
        return Err(JournalError::Emptied { path });
    }
    Ok(())
}

/// Where one incident is kept.
pub fn folder(state: &Path, incident: &IncidentId) -> PathBuf {
    incidents(state).join(incident.as_str())
}

/// The incidents in a state folder, by name.
pub fn list(state: &Path) -> Result<Vec<IncidentId>, JournalError> {
    let dir = incidents(state);
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", &dir)(error)),
    };
    let mut found: Vec<IncidentId> = entries
        .flatten()
        .filter(|entry| begun(&entry.path().join("journal.jsonl")) || emptied(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    found.sort();
    Ok(found)
}

/// Reads a journal without taking it over; a torn last line is left out.
pub fn read(state: &Path, incident: &IncidentId) -> Result<Vec<Line>, JournalError> {
    let dir = incidents(state).join(incident.as_str());
    check_header(&dir, incident)?;
    not_emptied(&dir)?;
    let path = dir.join("journal.jsonl");
    let bytes = fs::read(&path).map_err(io_error("read", &path))?;
    Ok(parse(&path, &bytes)?.0)
}

/// Whether a process works on this incident just now.
pub fn held(state: &Path, incident: &IncidentId) -> bool {
    lock::held(&incidents(state).join(incident.as_str()).join("lock"))
}

/// Bytes that are kept beside a journal, for who only reads it.
pub fn blob(state: &Path, incident: &IncidentId, digest: &Digest) -> Result<Vec<u8>, JournalError> {
    let dir = folder(state, incident).join("blobs");
    blobs::get(&dir, digest).map_err(io_error("read a blob in", &dir))
}

/// Checks the chain of a journal's text; the lines and the hash of the last one.
pub fn verify_lines(path: &Path, bytes: &[u8]) -> Result<Vec<Line>, JournalError> {
    Ok(parse(path, bytes)?.0)
}

fn check_header(dir: &Path, incident: &IncidentId) -> Result<(), JournalError> {
    let path = dir.join("header.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(JournalError::NoSuchIncident(
                incident.to_string(),
                dir.to_owned(),
            ));
        }
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let header: Header = serde_json::from_str(&text).map_err(|error| JournalError::Damaged {
        path: path.clone(),
        line: error.line(),
        why: "the header is not readable".into(),
    })?;
    let [major, minor] = header.format;
    if major > FORMAT.0 || (major == FORMAT.0 && minor > FORMAT.1) {
        return Err(JournalError::Newer { path, major, minor });
    }
    Ok(())
}

/// The lines, and the length of what is whole.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<Line>, usize), JournalError> {
    let mut lines: Vec<Line> = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let Some(length) = bytes[start..].iter().position(|b| *b == b'\n') else {
            return Ok((lines, start));
        };
        let text = &bytes[start..start + length];
        let previous = lines.last().map_or(GENESIS, |line| line.hash.as_str());
        match parse_line(previous, lines.len() as u64 + 1, text) {
            Ok(line) => lines.push(line),
            // A last line that is whole but wrong is torn too: the blocks of one write may reach the disk in any order.
            Err(_) if start + length + 1 == bytes.len() => return Ok((lines, start)),
            Err(why) => {
                return Err(JournalError::Damaged {
                    path: path.to_owned(),
                    line: lines.len() + 1,
                    why,
                });
            }
        }
        start += length + 1;
    }
    Ok((lines, start))
}

fn parse_line(previous: &str, seq: u64, text: &[u8]) -> Result<Line, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not text".to_owned())?;
    let (hash, raw) = text.split_once(' ').ok_or("it has no hash")?;
    if chain(previous, raw) != hash {
        return Err("its hash does not follow from the line before it".into());
    }
    let record: Record = serde_json::from_str(raw)
        .map_err(|error| format!("its record is not readable: {error}"))?;
    if record.seq != seq {
        return Err(format!("it is numbered {} where {seq} is due", record.seq));
    }
    Ok(Line {
        record,
        hash: hash.to_owned(),
        raw: raw.to_owned(),
    })
}

fn own_dir(path: &Path) -> Result<(), JournalError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("create", path))?;
    let meta = fs::symlink_metadata(path).map_err(io_error("look at", path))?;
    if !meta.is_dir() {
        return Err(JournalError::Unsafe {
            path: path.to_owned(),
            why: "is not a folder",
        });
    }
    if meta.uid() != rustix_uid() {
        return Err(JournalError::Unsafe {
            path: path.to_owned(),
            why: "belongs to somebody else",
        });
    }
    if meta.permissions().mode() & 0o022 != 0 {
        return Err(JournalError::Unsafe {
            path: path.to_owned(),
            why: "can be written by others",
        });
    }
    Ok(())
}

/// The effective user, as the owner of what this process creates.
#[allow(unsafe_code, reason = "geteuid has no failure and no precondition")]
fn rustix_uid() -> u32 {
    // SAFETY: geteuid(2) always succeeds and touches no memory.
    unsafe { libc::geteuid() }
}

fn sync_dir(path: &Path) -> Result<(), JournalError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("make durable", path))
}

impl Journal {
    /// Begins the journal of a new incident.
    pub fn create(
        state: &Path,
        incident: &IncidentId,
        holder: &Holder,
        boundaries: Arc<dyn Boundaries>,
    ) -> Result<Self, JournalError> {
        let dir = incidents(state).join(incident.as_str());
        own_dir(&dir)?;
        let lock = lock_incident(&dir, incident, holder)?;
        let path = dir.join("journal.jsonl");
        not_emptied(&dir)?;
        if begun(&path) {
            return Err(JournalError::Exists(incident.to_string(), state.to_owned()));
        }
        own_dir(&dir.join("blobs"))?;
        let header = Header {
            format: [FORMAT.0, FORMAT.1],
            incident: incident.clone(),
            tool: env!("CARGO_PKG_VERSION").into(),
        };
        let header_path = dir.join("header.json");
        let text = serde_json::to_string(&header).unwrap_or_default();
        let mut file = open_new(&header_path)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(io_error("write", &header_path))?;
        Self::at(dir, path, lock, boundaries, &[], 0)
    }

    /// Takes an incident up again: its lines, and what had to be mended.
    pub fn open(
        state: &Path,
        incident: &IncidentId,
        holder: &Holder,
        boundaries: Arc<dyn Boundaries>,
    ) -> Result<(Self, Vec<Line>, Recovery), JournalError> {
        Self::taken_up(state, incident, holder, boundaries).map_err(|error| kept(incident, error))
    }

    fn taken_up(
        state: &Path,
        incident: &IncidentId,
        holder: &Holder,
        boundaries: Arc<dyn Boundaries>,
    ) -> Result<(Self, Vec<Line>, Recovery), JournalError> {
        let dir = incidents(state).join(incident.as_str());
        check_header(&dir, incident)?;
        own_dir(&dir)?;
        let lock = lock_incident(&dir, incident, holder)?;
        not_emptied(&dir)?;
        let path = dir.join("journal.jsonl");
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let (lines, whole) = parse(&path, &bytes)?;
        let mut recovery = Recovery::default();
        if whole < bytes.len() {
            let aside = dir.join(format!("torn-{}", lines.len() + 1));
            fs::write(&aside, &bytes[whole..])
                .map_err(io_error("set a torn line aside in", &aside))?;
            recovery.torn = Some((bytes.len() - whole, aside));
        }
        let journal = Self::at(dir, path, lock, boundaries, &lines, whole as u64)?;
        Ok((journal, lines, recovery))
    }

    fn at(
        dir: PathBuf,
        path: PathBuf,
        lock: Locked,
        boundaries: Arc<dyn Boundaries>,
        lines: &[Line],
        length: u64,
    ) -> Result<Self, JournalError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .map_err(io_error("open", &path))?;
        file.set_len(length)
            .and_then(|()| file.sync_all())
            .map_err(io_error("cut a torn line from", &path))?;
        sync_dir(&dir)?;
        Ok(Self {
            dir,
            path,
            file,
            length,
            seq: lines.len() as u64,
            head: lines.last().map_or(GENESIS, |line| &line.hash).to_owned(),
            sealed: None,
            boundaries,
            _lock: lock,
        })
    }

    /// The folder of the incident.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes the incident away again; only for one that this process began and in which nothing was done.
    pub fn discard(&self) -> Result<(), JournalError> {
        fs::remove_dir_all(&self.dir).map_err(io_error("take away", &self.dir))
    }

    /// The hash of the last line.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The boundaries that effects report to.
    pub fn boundaries(&self) -> Arc<dyn Boundaries> {
        Arc::clone(&self.boundaries)
    }

    /// Writes an event; durable when it returns. After a failure to make it durable the journal is sealed.
    pub fn append(&mut self, time: Timestamp, event: Event) -> Result<Record, JournalError> {
        if let Some(why) = &self.sealed {
            return Err(JournalError::Sealed(why.clone()));
        }
        let record = Record {
            seq: self.seq + 1,
            time,
            event,
        };
        let raw = serde_json::to_string(&record).map_err(|error| JournalError::Damaged {
            path: self.path.clone(),
            line: usize::try_from(record.seq).unwrap_or(usize::MAX),
            why: format!("the record cannot be written: {error}"),
        })?;
        let hash = chain(&self.head, &raw);
        let line = format!("{hash} {raw}\n");
        self.boundaries.about(&record);
        self.boundaries.reached(Point::Before);
        if self.boundaries.tear() {
            let half = &line.as_bytes()[..line.len() / 2];
            let _ = self.file.write_all_at(half, self.length);
            let _ = self.file.sync_data();
        }
        self.boundaries.reached(Point::Torn);
        let outcome = matches!(record.event, Event::Ended { .. });
        self.write(line.as_bytes(), outcome)?;
        self.boundaries.reached(Point::BeforeSync);
        if let Err(error) = self.file.sync_data() {
            // After a failed fsync the kernel may have dropped the pages: nothing more can be promised.
            self.sealed = Some(error.to_string());
            return Err(io_error("make durable", &self.path)(error));
        }
        self.boundaries.reached(Point::AfterSync);
        self.length += line.len() as u64;
        self.seq = record.seq;
        self.head = hash;
        Ok(record)
    }

    /// The room that was kept is for the outcome of an effect alone: an intent that took it would let its effect happen
    /// without any.
    fn write(&mut self, line: &[u8], outcome: bool) -> Result<(), JournalError> {
        let reserve = self.dir.join("reserve");
        let mut attempt = self.write_at_end(line);
        if outcome
            && attempt
                .as_ref()
                .is_err_and(|e| e.kind() == io::ErrorKind::StorageFull)
            && fs::remove_file(&reserve).is_ok()
        {
            attempt = self.write_at_end(line);
        }
        attempt.map_err(|error| {
            let _ = self.file.set_len(self.length);
            io_error("write", &self.path)(error)
        })
    }

    fn write_at_end(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(line)
    }

    /// Keeps room for an outcome, so that an effect never happens that could not be written down.
    pub fn reserve(&self) -> Result<(), JournalError> {
        let path = self.dir.join("reserve");
        if fs::metadata(&path).is_ok_and(|meta| meta.len() == RESERVE as u64) {
            return Ok(());
        }
        let written = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .and_then(|mut file| file.write_all(&[0; RESERVE]).and_then(|()| file.sync_all()));
        written.map_err(|error| {
            let _ = fs::remove_file(&path);
            io_error("keep room for an outcome in", &path)(error)
        })
    }

    /// Keeps bytes beside the journal.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, JournalError> {
        let dir = self.dir.join("blobs");
        blobs::put(&dir, bytes).map_err(io_error("write a blob in", &dir))
    }

    /// Reads kept bytes back.
    pub fn blob(&self, digest: &Digest) -> Result<Vec<u8>, JournalError> {
        let dir = self.dir.join("blobs");
        blobs::get(&dir, digest).map_err(io_error("read a blob in", &dir))
    }
}

fn open_new(path: &Path) -> Result<File, JournalError> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
        .map_err(io_error("create", path))
}

fn lock_incident(
    dir: &Path,
    incident: &IncidentId,
    holder: &Holder,
) -> Result<Locked, JournalError> {
    let path = dir.join("lock");
    lock::take(&path, holder).map_err(|error| match error {
        NotLocked::Held(holder) => JournalError::Held {
            incident: incident.to_string(),
            holder,
        },
        NotLocked::Failed(source) => io_error("lock", &path)(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Calm;

    fn sample(dir: &Path, count: usize) -> IncidentId {
        let id: IncidentId = "INC-1".parse().unwrap();
        let mut journal = Journal::create(dir, &id, &Holder::default(), Arc::new(Calm)).unwrap();
        for n in 0..count {
            let event = Event::MessageSet {
                message: format!("m{n}"),
                by: "t".into(),
            };
            journal.append(Timestamp::UNIX_EPOCH, event).unwrap();
        }
        id
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_left_only_where_nothing_is_in_it() {
        let path = Path::new("/s/incidents/INC-1/lock");
        let denied = || io_error("lock", path)(io::ErrorKind::PermissionDenied.into());
        assert!(
            denied().hint().contains("--state-dir"),
            "a new incident goes elsewhere"
        );
        let here = kept(&"INC-1".parse().unwrap(), denied());
        assert!(
            here.to_string().contains("INC-1 is in this folder"),
            "{here}"
        );
        assert!(here.hint().contains("make it writable"), "{}", here.hint());
        assert!(!here.hint().contains("--state-dir"), "{}", here.hint());
        let full = io_error("write", path)(io::ErrorKind::StorageFull.into());
        assert!(
            kept(&"INC-1".parse().unwrap(), full)
                .hint()
                .contains("make room")
        );
    }

    #[test]
    fn cut_at_every_byte_it_loses_at_most_the_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let id = sample(dir.path(), 4);
        let path = dir.path().join("incidents/INC-1/journal.jsonl");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let lines = whole[..cut].iter().filter(|b| **b == b'\n').count();
            let (mut journal, read, recovery) =
                Journal::open(dir.path(), &id, &Holder::default(), Arc::new(Calm)).unwrap();
            assert_eq!(read.len(), lines, "cut at {cut}");
            assert_eq!(recovery.torn.is_some(), cut > 0 && whole[cut - 1] != b'\n');
            let event = Event::Closed { by: "t".into() };
            assert_eq!(
                journal.append(Timestamp::UNIX_EPOCH, event).unwrap().seq,
                lines as u64 + 1
            );
            drop(journal);
            assert_eq!(super::read(dir.path(), &id).unwrap().len(), lines + 1);
        }
    }

    #[test]
    fn an_incident_torn_at_its_first_record_can_be_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let id = sample(dir.path(), 1);
        let path = dir.path().join("incidents/INC-1/journal.jsonl");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(list(dir.path()).unwrap(), []);
        sample(dir.path(), 2);
        assert_eq!(list(dir.path()).unwrap(), std::slice::from_ref(&id));
        assert_eq!(super::read(dir.path(), &id).unwrap().len(), 2);
        let again = Journal::create(dir.path(), &id, &Holder::default(), Arc::new(Calm));
        assert!(matches!(again, Err(JournalError::Exists(..))));
    }

    #[test]
    fn a_journal_that_was_emptied_is_no_new_incident() {
        let dir = tempfile::tempdir().unwrap();
        let id = sample(dir.path(), 2);
        let (journal, ..) =
            Journal::open(dir.path(), &id, &Holder::default(), Arc::new(Calm)).unwrap();
        journal.put_blob(b"a snapshot").unwrap();
        drop(journal);
        let path = dir.path().join("incidents/INC-1/journal.jsonl");
        let empty = || fs::write(&path, "");
        let remove = || fs::remove_file(&path);
        for gone in [&empty as &dyn Fn() -> io::Result<()>, &remove] {
            gone().unwrap();
            assert_eq!(list(dir.path()).unwrap(), std::slice::from_ref(&id));
            let holder = Holder::default();
            let errors = [
                super::read(dir.path(), &id).unwrap_err(),
                Journal::open(dir.path(), &id, &holder, Arc::new(Calm)).unwrap_err(),
                Journal::create(dir.path(), &id, &holder, Arc::new(Calm)).unwrap_err(),
            ];
            for error in errors {
                assert!(matches!(error, JournalError::Emptied { .. }), "{error}");
            }
        }
    }

    #[test]
    fn an_edit_in_the_middle_is_found_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let id = sample(dir.path(), 3);
        let path = dir.path().join("incidents/INC-1/journal.jsonl");
        let text = fs::read_to_string(&path).unwrap().replacen("m1", "mX", 1);
        fs::write(&path, &text).unwrap();
        let error = Journal::open(dir.path(), &id, &Holder::default(), Arc::new(Calm)).unwrap_err();
        assert!(
            matches!(error, JournalError::Damaged { line: 2, .. }),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_second_process_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let id = sample(dir.path(), 1);
        let holder = Holder {
            pid: 7,
            host: "h".into(),
            since: "now".into(),
        };
        let _first = Journal::open(dir.path(), &id, &holder, Arc::new(Calm)).unwrap();
        let error = Journal::open(dir.path(), &id, &Holder::default(), Arc::new(Calm)).unwrap_err();
        assert!(error.to_string().contains("pid 7"), "{error}");
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let id = sample(dir.path(), 1);
        let header = dir.path().join("incidents/INC-1/header.json");
        fs::write(&header, r#"{"format":[2,0],"incident":"INC-1","tool":"9"}"#).unwrap();
        assert!(matches!(
            super::read(dir.path(), &id),
            Err(JournalError::Newer { major: 2, .. })
        ));
    }
}
