//! Trees, blobs and commits of the mirror through libgit2; nothing here touches the network or a working tree.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use git2::{
    ErrorClass, ErrorCode, ObjectType, Oid, Repository, Signature, Sort, Time, Tree, TreeWalkMode,
    TreeWalkResult,
};
use jiff::Timestamp;

use super::names::path_parts;
use crate::ports::{Author, FileChange, GitFailure, Landed, LogEntry, SourceFile};

/// The reader of manifests refuses a larger one.
const MAX_FILE: usize = 8 << 20;
const MAX_FILES: usize = 50_000;
const SYMLINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;
const PLAIN_FILE: i32 = 0o100_644;

/// Why libgit2 work gave nothing.
#[derive(Debug)]
pub(super) struct Trouble {
    pub failure: GitFailure,
    pub why: String,
    /// Something that a whole mirror has is missing from it, or it is no repository any more.
    pub damaged: bool,
}

impl Trouble {
    fn new(failure: GitFailure, why: impl Into<String>) -> Self {
        Self {
            failure,
            why: why.into(),
            damaged: false,
        }
    }
}

impl Trouble {
    pub fn interrupted() -> Self {
        Self::new(GitFailure::Local, "the work was interrupted")
    }
}

impl From<git2::Error> for Trouble {
    fn from(error: git2::Error) -> Self {
        let failure = if error.code() == ErrorCode::NotFound {
            GitFailure::NoSuchRevision
        } else {
            GitFailure::Local
        };
        // A path that a tree does not have is of the class Tree. A reference that cannot be made lacks its commit: what a full
        // disk did not take was not told when it was written.
        let damaged = matches!(
            error.class(),
            ErrorClass::Odb | ErrorClass::Repository | ErrorClass::Reference
        );
        Self {
            damaged,
            ..Self::new(failure, error.message())
        }
    }
}

pub(super) fn oid(sha: &str) -> Result<Oid, Trouble> {
    Oid::from_str(sha)
        .map_err(|_| Trouble::new(GitFailure::BadName, format!("{sha:?} is not a commit id")))
}

/// Makes the folder of mirrors, private to this user, and the bare repository.
pub(super) fn prepare(folder: &Path, mirror: &Path) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| error.to_string())?;
    if Repository::open_bare(mirror).is_ok() {
        return Ok(());
    }
    make(mirror)
}

/// Puts an empty bare repository in the place of this one.
pub(super) fn renew(mirror: &Path) -> Result<(), String> {
    put_aside(mirror).map_err(|error| error.to_string())?;
    make(mirror)
}

/// Makes the repository beside its place and moves it there in one step: a process that is killed at it leaves no half of one, whose lock
/// files would stop the next, and another process finds it whole or not at all.
fn make(mirror: &Path) -> Result<(), String> {
    let made = mirror.with_extension(format!("new-{}", std::process::id()));
    // Of a process that was killed and had the same number.
    let _ = std::fs::remove_dir_all(&made);
    Repository::init_bare(&made).map_err(|error| error.message().to_owned())?;
    let mut moved = std::fs::rename(&made, mirror);
    if moved.is_err() && Repository::open_bare(mirror).is_err() && mirror.exists() {
        put_aside(mirror).map_err(|error| error.to_string())?;
        moved = std::fs::rename(&made, mirror);
    }
    // Another process was faster.
    if moved.is_err() && Repository::open_bare(mirror).is_ok() {
        let _ = std::fs::remove_dir_all(&made);
        return Ok(());
    }
    moved.map_err(|error| error.to_string())
}

/// Moved away in one step first, so that another process finds either of the two.
fn put_aside(mirror: &Path) -> std::io::Result<()> {
    let aside = mirror.with_extension(format!("damaged-{}", std::process::id()));
    std::fs::rename(mirror, &aside)?;
    // Bytes that are left there take room and do no harm.
    let _ = std::fs::remove_dir_all(&aside);
    Ok(())
}

fn tree<'a>(repository: &'a Repository, sha: &str) -> Result<Tree<'a>, Trouble> {
    Ok(repository.find_commit(oid(sha)?)?.tree()?)
}

/// The folders in those folders that were looked into lately, by commit and path. A fleet keeps its Applications beside each other, and to
/// read, check and search a folder of a thousand for each of them takes longer than what is in them.
#[derive(Default)]
pub(super) struct Folders(Mutex<BTreeMap<(String, String), Below>>);

/// By name.
type Below = Arc<BTreeMap<String, Oid>>;

/// More are not remembered.
const MAX_FOLDERS: usize = 16;

impl Folders {
    fn below(&self, repository: &Repository, sha: &str, parts: &[&str]) -> Result<Below, Trouble> {
        let path = (sha.to_owned(), parts.join("/"));
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folders) = known().get(&path) {
            return Ok(folders.clone());
        }
        let root = tree(repository, sha)?;
        let tree = if parts.is_empty() {
            root
        } else {
            match root.get_path(Path::new(&path.1)) {
                Ok(entry) if entry.kind() == Some(ObjectType::Tree) => {
                    repository.find_tree(entry.id())?
                }
                Ok(_) => return Ok(Arc::default()),
                Err(error) if error.code() == ErrorCode::NotFound => return Ok(Arc::default()),
                Err(error) => return Err(error.into()),
            }
        };
        // A name that is not UTF-8 is none that anything could refer to.
        let folders: BTreeMap<String, Oid> = tree
            .iter()
            .filter(|entry| entry.kind() == Some(ObjectType::Tree))
            .filter_map(|entry| Some((entry.name().ok()?.to_owned(), entry.id())))
            .collect();
        let folders = Arc::new(folders);
        let mut known = known();
        if known.len() >= MAX_FOLDERS {
            known.clear();
        }
        known.insert(path, folders.clone());
        Ok(folders)
    }
}

fn folder<'a>(
    repository: &'a Repository,
    folders: &Folders,
    sha: &str,
    prefix: &str,
) -> Result<Option<Tree<'a>>, Trouble> {
    let parts = path_parts(prefix).map_err(|why| Trouble::new(GitFailure::BadName, why))?;
    let Some((last, above)) = parts.split_last() else {
        return Ok(Some(tree(repository, sha)?));
    };
    match folders.below(repository, sha, above)?.get(*last) {
        Some(id) => Ok(Some(repository.find_tree(*id)?)),
        None => Ok(None),
    }
}

pub(super) fn tree_id(
    repository: &Repository,
    folders: &Folders,
    sha: &str,
    prefix: &str,
) -> Result<Option<String>, Trouble> {
    Ok(folder(repository, folders, sha, prefix)?.map(|tree| tree.id().to_string()))
}

pub(super) fn files(
    repository: &Repository,
    folders: &Folders,
    sha: &str,
    prefix: &str,
) -> Result<Vec<SourceFile>, Trouble> {
    let Some(tree) = folder(repository, folders, sha, prefix)? else {
        return Err(Trouble::new(
            GitFailure::NoSuchRevision,
            format!("there is no folder {prefix:?} at this commit"),
        ));
    };
    let base = path_parts(prefix)
        .map_err(|why| Trouble::new(GitFailure::BadName, why))?
        .join("/");
    let mut files = Vec::new();
    for (path, id) in blobs(&tree, &base, MAX_FILES)? {
        let bytes = content(repository, id)?;
        files.push(SourceFile { path, bytes });
    }
    Ok(files)
}

pub(super) fn manifests_with(
    repository: &Repository,
    sha: &str,
    needle: &[u8],
    beside: &[String],
) -> Result<Vec<SourceFile>, Trouble> {
    let elsewhere = |path: &str| {
        !path.match_indices('/').any(|(at, _)| {
            beside
                .binary_search_by(|folder| folder.as_str().cmp(&path[..at]))
                .is_ok()
        })
    };
    let mut files = Vec::new();
    for (path, id) in blobs(&tree(repository, sha)?, "", usize::MAX)? {
        let mut file = SourceFile {
            path,
            bytes: Vec::new(),
        };
        if file.is_manifest() && elsewhere(&file.path) {
            file.bytes = content(repository, id)?;
            if file.holds(needle) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// The bytes of a file; of one that is too large for a manifest, just enough to be found too large.
fn content(repository: &Repository, id: Oid) -> Result<Vec<u8>, Trouble> {
    let blob = repository.find_blob(id)?;
    Ok(blob.content()[..blob.size().min(MAX_FILE + 1)].to_vec())
}

/// Path and id of every regular file of a tree. A name that is not UTF-8 is no manifest that anything could refer to.
fn blobs(tree: &Tree<'_>, base: &str, most: usize) -> Result<Vec<(String, Oid)>, Trouble> {
    let mut found: Vec<(String, Oid)> = Vec::new();
    let walked = tree.walk(TreeWalkMode::PreOrder, |below, entry| {
        let regular = entry.kind() == Some(ObjectType::Blob) && entry.filemode() != SYMLINK;
        if regular && let Ok(name) = entry.name() {
            let slash = if base.is_empty() { "" } else { "/" };
            found.push((format!("{base}{slash}{below}{name}"), entry.id()));
        }
        if found.len() > most {
            TreeWalkResult::Abort
        } else {
            TreeWalkResult::Ok
        }
    });
    if found.len() > most {
        return Err(Trouble::new(
            GitFailure::Unsupported,
            format!("there are more than {most} files"),
        ));
    }
    walked?;
    Ok(found)
}

pub(super) fn commit(
    repository: &Repository,
    parent: &str,
    changes: &[FileChange],
    message: &str,
    author: &Author,
    time: Timestamp,
) -> Result<String, Trouble> {
    let parent = repository.find_commit(oid(parent)?)?;
    let before = parent.tree()?;
    let mut tree = before.id();
    for change in changes {
        let parts =
            path_parts(&change.path).map_err(|why| Trouble::new(GitFailure::Unsupported, why))?;
        let blob = match &change.bytes {
            Some(bytes) => Some(repository.blob(bytes)?),
            None => None,
        };
        let root = repository.find_tree(tree)?;
        tree = match with_file(repository, Some(&root), &parts, blob, &change.path)? {
            Some(tree) => tree,
            None => repository.treebuilder(None)?.write()?,
        };
    }
    if tree == before.id() {
        return Err(Trouble::new(
            GitFailure::Unsupported,
            "the changes are already there: nothing would be committed",
        ));
    }
    let signature = Signature::new(&author.name, &author.email, &Time::new(time.as_second(), 0))
        .map_err(|error| {
            Trouble::new(GitFailure::BadName, format!("author: {}", error.message()))
        })?;
    let mut message = message.trim_end().to_owned();
    message.push('\n');
    let sha = repository.commit(
        None,
        &signature,
        &signature,
        &message,
        &repository.find_tree(tree)?,
        &[&parent],
    )?;
    keep(repository, sha)?;
    Ok(sha.to_string())
}

/// Keeps a commit from being swept away until the remote has it.
fn keep(repository: &Repository, sha: Oid) -> Result<(), git2::Error> {
    let name = kept_ref(&sha.to_string());
    let write = || repository.reference(&name, sha, true, "commit of trueup");
    match write() {
        // Whoever held it wrote what is written here, since the name says it: a process that died, and made this very commit.
        Err(error) if error.code() == git2::ErrorCode::Locked => {
            let lock = repository.path().join(format!("{name}.lock"));
            let _ = std::fs::remove_file(lock);
            write().map(drop)
        }
        written => written.map(drop),
    }
}

/// The ref that keeps one of our commits in the mirror.
pub(super) fn kept_ref(sha: &str) -> String {
    format!("refs/trueup/{sha}")
}

/// The tree with one file replaced, added or (without a blob) taken away; modes of existing entries stay. `None`: nothing
/// is left in it.
fn with_file(
    repository: &Repository,
    tree: Option<&Tree<'_>>,
    parts: &[&str],
    blob: Option<Oid>,
    path: &str,
) -> Result<Option<Oid>, Trouble> {
    let refuse = |why: &str| {
        Err(Trouble::new(
            GitFailure::Unsupported,
            format!("{path}: {why}"),
        ))
    };
    let Some((name, rest)) = parts.split_first() else {
        return refuse("it names no file");
    };
    let entry = tree.and_then(|tree| tree.get_name(name));
    let mode = entry.as_ref().map(git2::TreeEntry::filemode);
    match mode {
        Some(SYMLINK) => return refuse("it goes through a symbolic link"),
        Some(SUBMODULE) => return refuse("it goes into a submodule"),
        _ => {}
    }
    let mut builder = repository.treebuilder(tree)?;
    if rest.is_empty() {
        if entry
            .as_ref()
            .is_some_and(|entry| entry.kind() == Some(ObjectType::Tree))
        {
            return refuse("it is a folder");
        }
        match (blob, &entry) {
            (Some(blob), _) => drop(builder.insert(name, blob, mode.unwrap_or(PLAIN_FILE))?),
            (None, Some(_)) => builder.remove(name)?,
            (None, None) => return refuse("there is no such file to take away"),
        }
    } else {
        let below = match &entry {
            Some(entry) if entry.kind() == Some(ObjectType::Tree) => {
                Some(repository.find_tree(entry.id())?)
            }
            Some(_) => return refuse("a file stands where a folder is needed"),
            None => None,
        };
        match with_file(repository, below.as_ref(), rest, blob, path)? {
            Some(below) => drop(builder.insert(name, below, 0o040_000)?),
            None => builder.remove(name)?,
        }
    }
    if builder.is_empty() {
        return Ok(None);
    }
    Ok(Some(builder.write()?))
}

/// Whether the branch at `head` has `wanted`. Both are in the mirror if they can be.
pub(super) fn landed(repository: &Repository, wanted: &str, head: &str) -> Result<Landed, Trouble> {
    let moved = Landed::Moved {
        head: head.to_owned(),
    };
    let Ok(commit) = repository.find_commit(oid(wanted)?) else {
        return Ok(moved);
    };
    if repository.graph_descendant_of(oid(head)?, commit.id())? {
        return Ok(Landed::Yes {
            head: head.to_owned(),
        });
    }
    let at_parent = commit.parent_ids().any(|parent| parent.to_string() == head);
    Ok(if at_parent { Landed::No } else { moved })
}

pub(super) fn log(
    repository: &Repository,
    since: &str,
    until: &str,
    limit: usize,
) -> Result<Vec<LogEntry>, Trouble> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
    walk.push(oid(until)?)?;
    walk.hide(oid(since)?)?;
    let mut entries = Vec::new();
    for id in walk.take(limit) {
        let commit = repository.find_commit(id?)?;
        let author = commit.author();
        entries.push(LogEntry {
            sha: commit.id().to_string(),
            parents: commit.parent_ids().map(|id| id.to_string()).collect(),
            author: Author {
                name: String::from_utf8_lossy(author.name_bytes()).into_owned(),
                email: String::from_utf8_lossy(author.email_bytes()).into_owned(),
            },
            time: Timestamp::from_second(author.when().seconds()).unwrap_or_default(),
            subject: String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default())
                .into_owned(),
        });
    }
    Ok(entries)
}

/// Name and address of the operator as Git's own configuration has them.
pub(super) fn configured_author() -> Option<Author> {
    let config = git2::Config::open_default().ok()?;
    let value = |variable: &str, key: &str| {
        std::env::var(variable)
            .ok()
            .or_else(|| config.get_string(key).ok())
            .filter(|text| !text.trim().is_empty())
    };
    Some(Author {
        name: value("GIT_AUTHOR_NAME", "user.name")?,
        email: value("GIT_AUTHOR_EMAIL", "user.email")?,
    })
}
