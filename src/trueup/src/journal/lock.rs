//! One process for each incident: an advisory lock that the kernel gives up with the process.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Who holds the lock.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub host: String,
    pub since: String,
}

/// The lock, for as long as the value lives.
#[derive(Debug)]
pub struct Locked {
    file: File,
}

impl Drop for Locked {
    /// Closing would do, but for a child that is between its fork and its exec just now and has the file open too.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// How often, and how far apart, a lock that is held is tried: a look at it ([`held`]) holds it for an instant too.
const ATTEMPTS: u32 = 4;
const BETWEEN: Duration = Duration::from_millis(5);

/// Whether a process holds the lock just now. A lock that was never taken is held by nobody.
pub fn held(path: &Path) -> bool {
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path);
    let Ok(file) = open else {
        return false;
    };
    let held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    let _ = file.unlock();
    held
}

/// Why the lock could not be had.
#[derive(Debug)]
pub enum NotLocked {
    Held(Holder),
    Failed(std::io::Error),
}

pub fn take(path: &Path, holder: &Holder) -> Result<Locked, NotLocked> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
        .map_err(NotLocked::Failed)?;
    let mut tried = file.try_lock();
    for _ in 1..ATTEMPTS {
        if !matches!(tried, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(BETWEEN);
        tried = file.try_lock();
    }
    match tried {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Err(NotLocked::Held(
                serde_json::from_str(&text).unwrap_or_default(),
            ));
        }
        Err(TryLockError::Error(error)) => return Err(NotLocked::Failed(error)),
    }
    // Who holds it is a courtesy to the next one; a full disk must not keep an incident from being read.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| {
        file.write_all(serde_json::to_string(holder).unwrap_or_default().as_bytes())
    });
    Ok(Locked { file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_tells_whether_it_is_held_and_keeps_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!held(&path), "it was never taken");
        let mine = take(&path, &Holder::default()).unwrap();
        assert!(held(&path));
        assert!(matches!(
            take(&path, &Holder::default()),
            Err(NotLocked::Held(_))
        ));
        drop(mine);
        assert!(!held(&path));
        take(&path, &Holder::default()).unwrap();
    }
}
