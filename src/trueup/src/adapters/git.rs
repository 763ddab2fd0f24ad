//! Git repositories: objects through libgit2 in our own bare mirror, the network through the installed `git`, which
//! reads the operator's ssh and credential set-up.

mod names;
mod objects;
mod process;
mod push;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use trueup_core::forge::branch_name;

use crate::ports::{
    Author, CommandLog, Commit, FileChange, GitError, GitFailure, Head, Landed, LogEntry,
    PushError, Repo, Repos, SourceFile,
};

use names::is_full_sha;
pub use names::{check_url, without_credentials};
use process::{Git, Outcome};

/// The name our one remote has in every git process that we start.
const REMOTE: &str = "trueup";

/// Where mirrors live and how repositories are named.
#[derive(Clone)]
pub struct GitOptions {
    /// Folder for the bare mirrors; made when missing.
    pub mirrors: PathBuf,
    /// `repoURL` of an Application → the URL to use from here.
    pub map: BTreeMap<String, String>,
    /// Overrides what Git's configuration says.
    pub author: Option<Author>,
    pub log: CommandLog,
    /// For a query of the remote, a fetch and a push each.
    pub deadline: std::time::Duration,
}

impl GitOptions {
    pub fn new(mirrors: PathBuf, log: CommandLog) -> Self {
        Self {
            mirrors,
            map: BTreeMap::new(),
            author: None,
            log,
            deadline: std::time::Duration::from_secs(60),
        }
    }
}

/// All repositories, each opened once.
pub struct GitRepos {
    options: GitOptions,
    open: Mutex<BTreeMap<String, Arc<GitRepo>>>,
}

impl GitRepos {
    pub fn new(options: GitOptions) -> Self {
        Self {
            options,
            open: Mutex::default(),
        }
    }

    /// The repository behind a `repoURL`, with its concrete type.
    pub async fn repository(&self, argo_url: &str) -> Result<Arc<GitRepo>, GitError> {
        let mut open = self.open.lock().await;
        if let Some(repo) = open.get(argo_url) {
            return Ok(repo.clone());
        }
        let url = self
            .options
            .map
            .get(argo_url)
            .map_or(argo_url, String::as_str);
        let repo = Arc::new(GitRepo::open(argo_url, url, &self.options)?);
        open.insert(argo_url.to_owned(), repo.clone());
        Ok(repo)
    }
}

#[async_trait]
impl Repos for GitRepos {
    async fn open(&self, argo_url: &str) -> Result<Arc<dyn Repo>, GitError> {
        Ok(self.repository(argo_url).await? as Arc<dyn Repo>)
    }
}

/// One remote and our mirror of it.
pub struct GitRepo {
    /// As the Applications name it, without credentials.
    shown: String,
    mirror: PathBuf,
    git: Git,
    author: Option<Author>,
    /// Two processes updating the refs of one mirror lock each other out.
    network: Mutex<()>,
    /// Handles on the mirror that nobody uses just now: opening one reads its configuration and its packs.
    handles: Arc<std::sync::Mutex<Vec<git2::Repository>>>,
    /// Commits that were found in the mirror; none ever leaves it.
    known: Mutex<BTreeSet<String>>,
    folders: Arc<objects::Folders>,
}

impl GitRepo {
    /// Prepares the mirror. The remote is not asked.
    pub fn open(argo_url: &str, url: &str, options: &GitOptions) -> Result<Self, GitError> {
        check_url(url)?;
        let shown = without_credentials(argo_url);
        let name: String = Sha256::digest(url.as_bytes())
            .iter()
            .take(12)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mirror = options.mirrors.join(format!("{name}.git"));
        objects::prepare(&options.mirrors, &mirror).map_err(|why| GitError {
            failure: GitFailure::Local,
            what: format!("make a mirror of {shown} in {}", mirror.display()),
            why,
            hint: "check that the state folder can be written and has room".to_owned(),
        })?;
        let git = Git::new(&mirror, url, options.deadline, options.log.clone());
        Ok(Self {
            shown,
            mirror,
            git,
            author: options.author.clone(),
            network: Mutex::new(()),
            handles: Arc::default(),
            known: Mutex::default(),
            folders: Arc::default(),
        })
    }

    fn error(&self, failure: GitFailure, what: &str, why: impl Into<String>) -> GitError {
        let hint = match failure {
            GitFailure::BadName => "check the name; it is not passed on to git",
            GitFailure::Unreachable => {
                "try `git ls-remote` with the same URL; or map the URL with --repo ARGO_URL=URL"
            }
            GitFailure::NoSuchRevision => {
                "check the Application's targetRevision, and that the branch was not deleted"
            }
            GitFailure::Unsupported => "make this change by hand",
            GitFailure::Local => "check that the state folder can be written and has room",
        };
        GitError {
            failure,
            what: format!("{what} ({})", self.shown),
            why: self.git.scrub(&why.into()),
            hint: hint.to_owned(),
        }
    }

    /// Runs libgit2 work on the mirror, off the async threads.
    async fn local<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&git2::Repository) -> Result<T, objects::Trouble> + Send + 'static,
    ) -> Result<T, GitError> {
        let done = self.tried(work).await;
        done.map_err(|trouble| self.error(trouble.failure, what, trouble.why))
    }

    async fn tried<T: Send + 'static>(
        &self,
        work: impl FnOnce(&git2::Repository) -> Result<T, objects::Trouble> + Send + 'static,
    ) -> Result<T, objects::Trouble> {
        let (mirror, handles) = (self.mirror.clone(), self.handles.clone());
        let done = tokio::task::spawn_blocking(move || {
            let idle = handles.lock().ok().and_then(|mut idle| idle.pop());
            let repository = match idle {
                Some(repository) => repository,
                None => git2::Repository::open_bare(&mirror)?,
            };
            let done = work(&repository);
            if !done.as_ref().is_err_and(|trouble| trouble.damaged)
                && let Ok(mut idle) = handles.lock()
            {
                idle.push(repository);
            }
            done
        })
        .await;
        done.unwrap_or_else(|_| Err(objects::Trouble::interrupted()))
    }

    /// Reads what belongs to a commit, from a mirror made anew when the one that is there has lost some of it: a full disk or a
    /// kill may have cut a fetch short.
    async fn read<T: Send + 'static>(
        &self,
        sha: &str,
        what: &str,
        work: impl FnOnce(&git2::Repository) -> Result<T, objects::Trouble> + Clone + Send + 'static,
    ) -> Result<T, GitError> {
        self.ensure(sha).await?;
        match self.tried(work.clone()).await {
            Err(trouble) if trouble.damaged => {
                {
                    let _guard = self.network.lock().await;
                    self.renew(&trouble.why).await?;
                }
                self.ensure(sha).await?;
                self.local(what, work).await
            }
            done => done.map_err(|trouble| self.error(trouble.failure, what, trouble.why)),
        }
    }

    /// Asks one thing of several folders of a commit. That a folder is not there is told of it alone; a damaged mirror is made anew
    /// and asked again for all.
    async fn of_each<T: Send + 'static>(
        &self,
        sha: &str,
        prefixes: &[String],
        what: &str,
        ask: Ask<T>,
    ) -> Result<Vec<Result<T, GitError>>, GitError> {
        let (id, folders, asked) = (sha.to_owned(), self.folders.clone(), prefixes.to_vec());
        let answers = self
            .read(
                sha,
                &format!("{what} folders at {sha}"),
                move |repository| {
                    asked
                        .iter()
                        .map(|prefix| match ask(repository, &folders, &id, prefix) {
                            Err(trouble) if trouble.damaged => Err(trouble),
                            answer => Ok(answer),
                        })
                        .collect::<Result<Vec<_>, _>>()
                },
            )
            .await?;
        let told = |(answer, prefix): (Result<T, objects::Trouble>, &String)| {
            answer.map_err(|trouble| {
                let what = format!("{what} {prefix:?} at {sha}");
                self.error(trouble.failure, &what, trouble.why)
            })
        };
        Ok(answers.into_iter().zip(prefixes).map(told).collect())
    }

    /// Puts an empty mirror in the place of a damaged one. Nothing is lost by it: commits of ours are kept as bundles. The
    /// caller holds `network`.
    async fn renew(&self, why: &str) -> Result<(), GitError> {
        tracing::warn!(mirror = %self.mirror.display(), why, "a damaged mirror is made anew");
        self.known.lock().await.clear();
        if let Ok(mut idle) = self.handles.lock() {
            idle.clear();
        }
        let mirror = self.mirror.clone();
        let done = tokio::task::spawn_blocking(move || objects::renew(&mirror)).await;
        let what = "make a damaged mirror anew";
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(self.error(GitFailure::Local, what, why)),
            Err(_) => Err(self.error(GitFailure::Local, what, "the work was interrupted")),
        }
    }

    /// Whether git says that the mirror, and not the remote, is no repository.
    fn is_none(&self, stderr: &str) -> bool {
        stderr.contains(&format!(
            "not a git repository: '{}'",
            self.mirror.display()
        ))
    }

    /// Makes sure that a commit is in the mirror.
    async fn ensure(&self, sha: &str) -> Result<(), GitError> {
        let what = format!("read commit {sha}");
        if !is_full_sha(sha) {
            return Err(self.error(GitFailure::BadName, &what, "it is not a full commit id"));
        }
        if self.has(sha).await? {
            return Ok(());
        }
        self.fetch().await?;
        if self.has(sha).await? {
            return Ok(());
        }
        // A commit that no branch has any more; some servers still give it.
        let _guard = self.network.lock().await;
        let fetch = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            REMOTE,
            sha,
        ];
        let outcome = self.git.network(&what, &fetch, false).await;
        if self.has(sha).await? {
            return Ok(());
        }
        let why = match outcome {
            Outcome::Ended { stderr, .. } if !stderr.is_empty() => {
                format!("no branch has it: {stderr}")
            }
            _ => "no branch has it and the server does not give it".to_owned(),
        };
        Err(self.error(GitFailure::NoSuchRevision, &what, why))
    }

    async fn has(&self, sha: &str) -> Result<bool, GitError> {
        if self.known.lock().await.contains(sha) {
            return Ok(true);
        }
        let id = sha.to_owned();
        let found = self
            .local("look into the mirror", move |repository| {
                Ok(repository.find_commit(objects::oid(&id)?).is_ok())
            })
            .await?;
        if found {
            self.known.lock().await.insert(sha.to_owned());
        }
        Ok(found)
    }

    /// `ls-remote` of some patterns: (sha or symref target, ref name) in the remote's order.
    async fn ls_remote(
        &self,
        what: &str,
        patterns: &[&str],
    ) -> Result<Vec<(String, String)>, GitError> {
        let mut arguments = vec!["ls-remote", "--symref", REMOTE];
        arguments.extend_from_slice(patterns);
        match self.git.network(what, &arguments, false).await {
            Outcome::Ended {
                success: true,
                stdout,
                ..
            } => Ok(String::from_utf8_lossy(&stdout)
                .lines()
                .filter_map(|line| line.split_once('\t'))
                .map(|(sha, name)| (sha.to_owned(), name.to_owned()))
                .collect()),
            Outcome::Ended { stderr, .. } => Err(self.error(GitFailure::Unreachable, what, stderr)),
            Outcome::TimedOut { after } => Err(self.error(
                GitFailure::Unreachable,
                what,
                format!("no answer within {} s", after.as_secs()),
            )),
            Outcome::NotStarted { why } => Err(self.error(GitFailure::Local, what, why)),
        }
    }
}

/// What is asked of a folder of a commit.
type Ask<T> = fn(&git2::Repository, &objects::Folders, &str, &str) -> Result<T, objects::Trouble>;

/// Whether git could not write into the state folder.
fn no_room(stderr: &str) -> bool {
    [
        "No space left on device",
        "Disk quota exceeded",
        "Read-only file system",
    ]
    .iter()
    .any(|why| stderr.contains(why))
}

#[async_trait]
impl Repo for GitRepo {
    fn url(&self) -> &str {
        &self.shown
    }

    fn mirror(&self) -> &Path {
        &self.mirror
    }

    async fn head(&self, revision: &str) -> Result<Head, GitError> {
        let revision = if revision.is_empty() {
            "HEAD"
        } else {
            revision
        };
        let what = format!("ask where {revision} stands");
        branch_name(revision).map_err(|why| self.error(GitFailure::BadName, &what, why))?;
        if is_full_sha(revision) {
            return Ok(Head {
                branch: None,
                sha: revision.to_owned(),
            });
        }
        let (branch, tag) = (
            format!("refs/heads/{revision}"),
            format!("refs/tags/{revision}"),
        );
        let peeled = format!("{tag}^{{}}");
        if revision == "HEAD" {
            let refs = self.ls_remote(&what, &["HEAD"]).await?;
            let branch = refs.iter().find_map(|(target, name)| {
                (name == "HEAD")
                    .then(|| target.strip_prefix("ref: refs/heads/").map(str::to_owned))
                    .flatten()
            });
            let sha = refs
                .iter()
                .find(|(sha, name)| name == "HEAD" && is_full_sha(sha))
                .map(|(sha, _)| sha.clone());
            return sha.map(|sha| Head { branch, sha }).ok_or_else(|| {
                self.error(
                    GitFailure::NoSuchRevision,
                    &what,
                    "the remote has no HEAD: it may be empty",
                )
            });
        }
        let refs = self.ls_remote(&what, &[&branch, &tag, &peeled]).await?;
        let find = |wanted: &str| {
            refs.iter()
                .find(|(_, name)| name == wanted)
                .map(|(sha, _)| sha.clone())
        };
        if let Some(sha) = find(&branch) {
            return Ok(Head {
                branch: Some(revision.to_owned()),
                sha,
            });
        }
        match find(&peeled).or_else(|| find(&tag)) {
            Some(sha) => Ok(Head { branch: None, sha }),
            None => Err(self.error(
                GitFailure::NoSuchRevision,
                &what,
                "the remote has no branch or tag of that name",
            )),
        }
    }

    async fn fetch(&self) -> Result<(), GitError> {
        let _guard = self.network.lock().await;
        let what = "fetch every branch";
        let refspec = format!("+refs/heads/*:refs/remotes/{REMOTE}/*");
        let arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--prune",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            REMOTE,
            &refspec,
        ];
        for attempt in 0..2 {
            match self.git.network(what, &arguments, false).await {
                Outcome::Ended { success: true, .. } => {
                    // A handle that was opened without packs does not look for them again.
                    if let Ok(mut idle) = self.handles.lock() {
                        idle.clear();
                    }
                    return Ok(());
                }
                // Another trueup on the same mirror holds the lock for a moment.
                Outcome::Ended { stderr, .. } if attempt == 0 && stderr.contains("lock") => {
                    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                }
                Outcome::Ended { stderr, .. } if attempt == 0 && self.is_none(&stderr) => {
                    self.renew(&stderr).await?;
                }
                Outcome::Ended { stderr, .. } => {
                    let failure = if no_room(&stderr) {
                        GitFailure::Local
                    } else {
                        GitFailure::Unreachable
                    };
                    return Err(self.error(failure, what, stderr));
                }
                Outcome::TimedOut { after } => {
                    let why = format!("not finished within {} s", after.as_secs());
                    return Err(self.error(GitFailure::Unreachable, what, why));
                }
                Outcome::NotStarted { why } => {
                    return Err(self.error(GitFailure::Local, what, why));
                }
            }
        }
        Err(self.error(
            GitFailure::Local,
            what,
            "the mirror is locked by another process",
        ))
    }

    async fn folders(
        &self,
        sha: &str,
        prefixes: &[String],
    ) -> Result<Vec<Result<Vec<SourceFile>, GitError>>, GitError> {
        self.of_each(sha, prefixes, "read", objects::files).await
    }

    async fn manifests_with(
        &self,
        sha: &str,
        needle: &str,
        beside: &[String],
    ) -> Result<Vec<SourceFile>, GitError> {
        let (id, needle, beside) = (sha.to_owned(), needle.to_owned(), beside.to_vec());
        self.read(
            sha,
            &format!("look through the files at {sha}"),
            move |repository| objects::manifests_with(repository, &id, needle.as_bytes(), &beside),
        )
        .await
    }

    async fn tree_ids(
        &self,
        sha: &str,
        prefixes: &[String],
    ) -> Result<Vec<Result<Option<String>, GitError>>, GitError> {
        self.of_each(sha, prefixes, "find", objects::tree_id).await
    }

    async fn commit(
        &self,
        parent: &str,
        changes: &[FileChange],
        message: &str,
        author: &Author,
        time: Timestamp,
    ) -> Result<Commit, GitError> {
        let what = format!("make a commit on {parent}");
        let arguments = (
            parent.to_owned(),
            changes.to_vec(),
            message.to_owned(),
            author.clone(),
        );
        let sha = self
            .read(parent, &what, move |repository| {
                let (parent, changes, message, author) = arguments;
                objects::commit(repository, &parent, &changes, &message, &author, time)
            })
            .await?;
        let bundle = self.bundle(&sha, parent).await?;
        Ok(Commit {
            sha,
            parent: parent.to_owned(),
            bundle,
        })
    }

    async fn import(&self, bundle: &[u8]) -> Result<(), GitError> {
        self.unbundle(bundle).await
    }

    async fn push(
        &self,
        branch: &str,
        sha: &str,
        expected_parent: Option<&str>,
    ) -> Result<(), PushError> {
        self.push_once(branch, sha, expected_parent).await
    }

    async fn contains(&self, branch: &str, sha: &str) -> Result<Landed, GitError> {
        let head = match self.head(branch).await {
            Ok(head) => head.sha,
            Err(error) if error.failure == GitFailure::NoSuchRevision => return Ok(Landed::No),
            Err(error) => return Err(error),
        };
        if head == sha {
            return Ok(Landed::Yes { head });
        }
        self.ensure(&head).await?;
        let (wanted, at) = (sha.to_owned(), head.clone());
        self.local(&format!("compare {branch} with {sha}"), move |repository| {
            objects::landed(repository, &wanted, &at)
        })
        .await
    }

    async fn log(&self, since: &str, until: &str, limit: usize) -> Result<Vec<LogEntry>, GitError> {
        self.ensure(since).await?;
        self.ensure(until).await?;
        let (since, until) = (since.to_owned(), until.to_owned());
        self.local("read the log", move |repository| {
            objects::log(repository, &since, &until, limit)
        })
        .await
    }

    fn author(&self) -> Option<Author> {
        self.author.clone().or_else(objects::configured_author)
    }
}
