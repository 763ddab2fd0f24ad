//! What is too big for a line of the journal, by the digest of its bytes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use trueup_core::ids::Digest;

/// Keeps `bytes`; durable when it returns.
pub fn put(dir: &Path, bytes: &[u8]) -> io::Result<Digest> {
    let digest = Digest::of(bytes);
    let path = dir.join(digest.as_str());
    if fs::metadata(&path).is_ok_and(|meta| meta.len() == bytes.len() as u64) {
        return Ok(digest);
    }
    let temporary = dir.join(format!(".{}", digest.as_str()));
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    fs::rename(&temporary, &path)?;
    File::open(dir)?.sync_all()?;
    Ok(digest)
}

/// Reads a blob back and checks its digest.
pub fn get(dir: &Path, digest: &Digest) -> io::Result<Vec<u8>> {
    let hexadecimal =
        digest.as_str().len() == 64 && digest.as_str().bytes().all(|b| b.is_ascii_hexdigit());
    if !hexadecimal {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the name of a blob",
        ));
    }
    let bytes = fs::read(dir.join(digest.as_str()))?;
    if Digest::of(&bytes) != *digest {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("blob {digest} does not hold what its name says"),
        ));
    }
    Ok(bytes)
}
