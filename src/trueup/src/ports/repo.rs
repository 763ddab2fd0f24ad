//! What the program asks of a Git repository: a remote, and our own mirror of it.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a Git operation gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitFailure {
    /// The URL, branch, path or revision is not one we pass on.
    BadName,
    /// The remote could not be reached or did not answer in time.
    Unreachable,
    /// The branch, tag or commit does not exist there.
    NoSuchRevision,
    /// The change cannot be made without a checkout (symlink, submodule, `.git`).
    Unsupported,
    /// Git or the mirror itself failed.
    Local,
}

/// A Git operation that failed: what was tried, why it failed, what the operator can do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {what}: {why}")]
pub struct GitError {
    pub failure: GitFailure,
    pub what: String,
    pub why: String,
    pub hint: String,
}

/// Where a revision stands on the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The branch, when the revision names one (`HEAD` is resolved to its branch).
    pub branch: Option<String>,
    /// Full commit id.
    pub sha: String,
}

/// A regular file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// From the root of the repository, `/` between parts.
    pub path: String,
    pub bytes: Vec<u8>,
}

impl SourceFile {
    /// Whether its name is one that manifests have.
    pub fn is_manifest(&self) -> bool {
        [".yaml", ".yml", ".json"]
            .iter()
            .any(|end| self.path.ends_with(end))
    }

    /// Whether its bytes contain `needle`.
    pub fn holds(&self, needle: &[u8]) -> bool {
        holds(&self.bytes, needle)
    }
}

/// Whether bytes contain `needle`; none contain an empty one.
pub fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    if needle.is_empty() {
        return false;
    }
    match (std::str::from_utf8(bytes), std::str::from_utf8(needle)) {
        (Ok(text), Ok(needle)) => text.contains(needle),
        _ => bytes.windows(needle.len()).any(|window| window == needle),
    }
}

/// The new bytes of a file; the file is made when it is not there. `None` takes it away, and the folder with its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    pub path: String,
    pub bytes: Option<Vec<u8>>,
}

/// Who a commit is by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    pub name: String,
    pub email: String,
}

impl Author {
    /// The operator on this machine, where nobody said who commits.
    pub fn made_up(operator: &str, host: &str) -> Self {
        Self {
            name: operator.to_owned(),
            email: format!("{operator}@{host}"),
        }
    }
}

/// A commit that exists in our mirror only, until it is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub sha: String,
    pub parent: String,
    /// A Git bundle of the objects that the parent lacks.
    pub bundle: Vec<u8>,
}

/// Why a push did not (certainly) land.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PushError {
    /// The remote, or our own check right before, said no; nothing moved.
    #[error("the push to {branch} was rejected: {why}")]
    Rejected { branch: String, why: String },
    /// No usable answer came: it may have landed. Ask the remote.
    #[error("the outcome of the push to {branch} is unknown: {cause}; it may have landed")]
    Unknown { branch: String, cause: String },
    /// The connection was never made; nothing moved.
    #[error("the push to {branch} was not sent: {cause}")]
    NotSent { branch: String, cause: String },
}

/// Whether a commit is on a branch of the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landed {
    /// The branch is at the commit, or has it as an ancestor.
    Yes { head: String },
    /// The branch is still at the commit's parent, or does not exist.
    No,
    /// The branch is elsewhere and does not contain the commit.
    Moved { head: String },
}

/// One commit in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub sha: String,
    pub parents: Vec<String>,
    pub author: Author,
    pub time: Timestamp,
    pub subject: String,
}

/// One repository.
#[async_trait]
pub trait Repo: Send + Sync {
    /// The URL as the Applications name it, without credentials.
    fn url(&self) -> &str;
    /// Where its commits are on this machine, for somebody who goes on by hand.
    fn mirror(&self) -> &Path;
    /// Asks the remote where a branch (or `HEAD`, a tag, a full commit id) stands.
    async fn head(&self, revision: &str) -> Result<Head, GitError>;
    /// Brings every branch of the remote into the mirror.
    async fn fetch(&self) -> Result<(), GitError>;
    /// The regular files below each folder at a commit, in the order asked; symlinks and submodules are left out. The commit is
    /// fetched when the mirror lacks it, and the outer error is that it cannot be had. A fleet has thousands of folders: asked one
    /// by one, finding a thread for each costs more than reading it.
    async fn folders(
        &self,
        sha: &str,
        prefixes: &[String],
    ) -> Result<Vec<Result<Vec<SourceFile>, GitError>>, GitError>;
    /// The regular files below one folder.
    async fn files(&self, sha: &str, prefix: &str) -> Result<Vec<SourceFile>, GitError> {
        only(self.folders(sha, &[prefix.to_owned()]).await?)
    }
    /// The YAML and JSON files of the whole tree at a commit that hold `needle`; for looking through a large repository
    /// without reading it into memory. Those below the folders of `beside`, which are in order, are left out.
    async fn manifests_with(
        &self,
        sha: &str,
        needle: &str,
        beside: &[String],
    ) -> Result<Vec<SourceFile>, GitError>;
    /// The ids of the folders' trees at a commit; equal ids mean equal content. `None` when there is no such folder.
    async fn tree_ids(
        &self,
        sha: &str,
        prefixes: &[String],
    ) -> Result<Vec<Result<Option<String>, GitError>>, GitError>;
    /// The id of one folder's tree.
    async fn tree_id(&self, sha: &str, prefix: &str) -> Result<Option<String>, GitError> {
        only(self.tree_ids(sha, &[prefix.to_owned()]).await?)
    }
    /// A commit of the changes on top of `parent`, without a checkout. The same arguments give the same commit.
    async fn commit(
        &self,
        parent: &str,
        changes: &[FileChange],
        message: &str,
        author: &Author,
        time: Timestamp,
    ) -> Result<Commit, GitError>;
    /// Puts the objects of a bundle into the mirror.
    async fn import(&self, bundle: &[u8]) -> Result<(), GitError>;
    /// Pushes a commit to a branch, never forced. `expected_parent` is where the branch must stand; `None` when it
    /// must not exist.
    async fn push(
        &self,
        branch: &str,
        sha: &str,
        expected_parent: Option<&str>,
    ) -> Result<(), PushError>;
    /// Asks the remote whether a branch contains a commit.
    async fn contains(&self, branch: &str, sha: &str) -> Result<Landed, GitError>;
    /// The commits that are in `until` and not in `since`, newest first, at most `limit`.
    async fn log(&self, since: &str, until: &str, limit: usize) -> Result<Vec<LogEntry>, GitError>;
    /// The author that Git's own configuration names here; `None` when it names none.
    fn author(&self) -> Option<Author>;
}

/// The answer to one question.
fn only<T>(mut answers: Vec<Result<T, GitError>>) -> Result<T, GitError> {
    answers.pop().expect("one question has one answer")
}

/// The repositories that Applications name.
#[async_trait]
pub trait Repos: Send + Sync {
    /// The repository behind a `repoURL`.
    async fn open(&self, argo_url: &str) -> Result<Arc<dyn Repo>, GitError>;
}
