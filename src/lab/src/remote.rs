//! Git for the lab: the bare repository that operators push to, a bare mirror of it for readers, and commits made of plain files.
//!
//! Everything goes through the `git` binary with the user's and the system's configuration left out, so that the lab behaves alike everywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// No Git command of the lab takes longer; a remote that hangs is a failure, not a stop. Looking is shorter: all Applications wait for it.
const DEADLINE: Duration = Duration::from_secs(20);
const LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// Runs `git ARGS`, feeding `input`, and gives its standard output. The error holds git's own words.
pub async fn git(
    directory: &Path,
    args: &[&str],
    env: &[(&str, &str)],
    input: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new("git");
    command
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "safe.directory=*",
        ])
        .args(args)
        .current_dir(directory)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh")
        .env("LC_ALL", "C")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().context("starting git: is it installed?")?;
    let mut stdin = child.stdin.take().context("git has no standard input")?;
    let input = input.to_vec();
    // Written beside the wait: git may answer before it has read everything, and a pipe that nobody empties would stop both.
    let feed = tokio::spawn(async move {
        let _ = stdin.write_all(&input).await;
    });
    let deadline = if args.first() == Some(&"ls-remote") {
        LOOK_DEADLINE
    } else {
        DEADLINE
    };
    let output = tokio::time::timeout(deadline, child.wait_with_output())
        .await
        .map_err(|_| anyhow!("`git {}` took longer than {deadline:?}", args.join(" ")))?
        .with_context(|| format!("running `git {}`", args.join(" ")))?;
    feed.abort();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`git {}` failed: {}",
            args.first().copied().unwrap_or_default(),
            said.trim()
        );
    }
    Ok(output.stdout)
}

async fn line(
    directory: &Path,
    args: &[&str],
    env: &[(&str, &str)],
    input: &[u8],
) -> anyhow::Result<String> {
    let out = git(directory, args, env, input).await?;
    Ok(String::from_utf8_lossy(&out).trim().to_owned())
}

/// Makes the bare repository `path` whose default branch is `branch`: it keeps a reflog of every push and takes fast-forwards only.
pub async fn init_bare(path: &Path, branch: &str) -> anyhow::Result<()> {
    tokio::fs::create_dir_all(path)
        .await
        .with_context(|| format!("making the repository folder {}", path.display()))?;
    git(
        path,
        &["init", "--quiet", "--bare", "--initial-branch", branch],
        &[],
        b"",
    )
    .await?;
    for (key, value) in [
        ("core.logAllRefUpdates", "always"),
        ("receive.denyNonFastForwards", "true"),
        ("receive.denyDeletes", "false"),
        ("uploadpack.allowAnySHA1InWant", "true"),
        ("gc.auto", "0"),
        ("receive.autogc", "false"),
    ] {
        git(path, &["config", key, value], &[], b"").await?;
    }
    Ok(())
}

/// The `file://` URL of a folder.
pub fn file_url(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~+:@,".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

/// A commit to be made: whole new contents of the tree, not changes to it.
#[derive(Clone, Debug)]
pub struct Commit {
    pub files: BTreeMap<String, Vec<u8>>,
    pub message: String,
    /// `Name <mail>`.
    pub author: String,
    pub at: jiff::Timestamp,
}

/// Writes `commits` one upon the other and pushes them to `branch` of `url`, which must not have that branch yet. Gives their ids, oldest first.
pub async fn push_history(
    url: &str,
    branch: &str,
    scratch: &Path,
    commits: &[Commit],
) -> anyhow::Result<Vec<String>> {
    init_bare(scratch, branch).await?;
    let mut ids: Vec<String> = Vec::new();
    for (number, commit) in commits.iter().enumerate() {
        let index = scratch.join(format!("index-{number}"));
        let index = index.to_string_lossy().into_owned();
        let env = [("GIT_INDEX_FILE", index.as_str())];
        let mut entries = String::new();
        for (path, content) in &commit.files {
            let blob = line(scratch, &["hash-object", "-w", "--stdin"], &[], content).await?;
            entries.push_str(&format!("100644 blob {blob}\t{path}\n"));
        }
        git(
            scratch,
            &["update-index", "--add", "--index-info"],
            &env,
            entries.as_bytes(),
        )
        .await?;
        let tree = line(scratch, &["write-tree"], &env, b"").await?;
        let (name, mail) = commit
            .author
            .trim_end_matches('>')
            .split_once(" <")
            .ok_or_else(|| anyhow!("an author reads `Name <mail>`, not `{}`", commit.author))?;
        let date = format!("{} +0000", commit.at.as_second());
        let env = [
            ("GIT_AUTHOR_NAME", name),
            ("GIT_AUTHOR_EMAIL", mail),
            ("GIT_AUTHOR_DATE", date.as_str()),
            ("GIT_COMMITTER_NAME", name),
            ("GIT_COMMITTER_EMAIL", mail),
            ("GIT_COMMITTER_DATE", date.as_str()),
        ];
        let mut args = vec!["commit-tree", tree.as_str()];
        if let Some(parent) = ids.last() {
            args.extend(["-p", parent]);
        }
        let id = line(scratch, &args, &env, commit.message.as_bytes()).await?;
        ids.push(id);
    }
    if let Some(head) = ids.last() {
        git(
            scratch,
            &[
                "push",
                "--quiet",
                "--",
                url,
                &format!("{head}:refs/heads/{branch}"),
            ],
            &[],
            b"",
        )
        .await
        .with_context(|| format!("pushing the scenario's history to {url}"))?;
    }
    Ok(ids)
}

/// A bare copy of a remote repository that is brought up to date when something in it is not known yet.
pub struct Mirror {
    path: PathBuf,
    url: String,
    refs: BTreeMap<String, String>,
}

impl Mirror {
    /// A copy of `url` kept in `path`, empty until the first look.
    pub async fn new(path: &Path, url: &str) -> anyhow::Result<Mirror> {
        init_bare(path, "main").await?;
        Ok(Mirror {
            path: path.to_owned(),
            url: url.to_owned(),
            refs: BTreeMap::new(),
        })
    }

    /// Asks the remote for its refs and fetches what is new. True if a ref moved.
    pub async fn look(&mut self) -> anyhow::Result<bool> {
        let out = line(&self.path, &["ls-remote", "--", &self.url], &[], b"").await?;
        let refs: BTreeMap<String, String> = out
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(id, name)| (name.to_owned(), id.to_owned()))
            .collect();
        if refs == self.refs {
            return Ok(false);
        }
        git(
            &self.path,
            &[
                "fetch",
                "--quiet",
                "--prune",
                "--no-auto-gc",
                "--",
                &self.url,
                "+refs/*:refs/*",
            ],
            &[],
            b"",
        )
        .await?;
        self.refs = refs;
        Ok(true)
    }

    /// The commit that a `targetRevision` means: a full id as it is, else `HEAD`, a branch or a tag.
    pub async fn resolve(&self, revision: &str) -> anyhow::Result<String> {
        let is_id = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            return Ok(revision.to_ascii_lowercase());
        }
        let revision = if revision.is_empty() {
            "HEAD"
        } else {
            revision
        };
        for name in [
            revision.to_owned(),
            format!("refs/heads/{revision}"),
            format!("refs/tags/{revision}^{{}}"),
            format!("refs/tags/{revision}"),
        ] {
            if let Some(id) = self.refs.get(&name) {
                return Ok(id.clone());
            }
        }
        bail!("unable to resolve '{revision}' to a commit SHA");
    }

    /// The regular files below `path` (empty: the whole tree) of a commit, by their path in the repository.
    pub async fn files(
        &self,
        commit: &str,
        path: &str,
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let mut args = vec!["ls-tree", "-r", "-z", "--full-tree", commit];
        if !path.is_empty() {
            args.extend(["--", path]);
        }
        let out = git(&self.path, &args, &[], b"").await?;
        Ok(String::from_utf8_lossy(&out)
            .split('\0')
            .filter_map(|entry| entry.split_once('\t'))
            .filter_map(|(meta, name)| {
                let mut words = meta.split(' ');
                let mode = words.next()?;
                let blob = words.nth(1)?;
                mode.starts_with("100")
                    .then(|| (name.to_owned(), blob.to_owned()))
            })
            .collect())
    }

    /// The bytes of a blob.
    pub async fn blob(&self, id: &str) -> anyhow::Result<Vec<u8>> {
        git(&self.path, &["cat-file", "blob", id], &[], b"").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(text: &str, at: &str) -> Commit {
        Commit {
            files: BTreeMap::from([("deploy/a b.yaml".to_owned(), text.as_bytes().to_vec())]),
            message: format!("say {text}"),
            author: "Mira Okafor <mira@example.com>".to_owned(),
            at: at.parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn pushes_are_logged_and_history_is_never_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let bare = dir.path().join("b.git");
        init_bare(&bare, "main").await.unwrap();
        let url = file_url(&bare);
        let first = [
            commit("one", "2024-09-01T10:00:00Z"),
            commit("two", "2024-10-01T10:00:00Z"),
        ];
        let ids = push_history(&url, "main", &dir.path().join("s1"), &first)
            .await
            .unwrap();
        let other = [commit("other", "2024-10-01T10:00:00Z")];
        let refused = push_history(&url, "main", &dir.path().join("s2"), &other)
            .await
            .unwrap_err();
        assert!(format!("{refused:#}").contains("rejected"), "{refused:#}");
        let log = std::fs::read_to_string(bare.join("logs/refs/heads/main")).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains(&ids[1]));

        let mut mirror = Mirror::new(&dir.path().join("m.git"), &url).await.unwrap();
        assert!(mirror.look().await.unwrap());
        assert!(!mirror.look().await.unwrap());
        for revision in ["main", "HEAD", "", ids[1].as_str()] {
            assert_eq!(
                mirror.resolve(revision).await.unwrap(),
                ids[1],
                "{revision}"
            );
        }
        assert!(mirror.resolve("--upload-pack=x").await.is_err());
        let files = mirror.files(&ids[0], "deploy").await.unwrap();
        assert_eq!(
            mirror.blob(&files["deploy/a b.yaml"]).await.unwrap(),
            b"one"
        );
        let dates = git(&bare, &["log", "--format=%an %aI", "main"], &[], b"")
            .await
            .unwrap();
        let dates = String::from_utf8(dates).unwrap();
        assert_eq!(
            dates,
            "Mira Okafor 2024-10-01T10:00:00+00:00\nMira Okafor 2024-09-01T10:00:00+00:00\n"
        );
    }
}
