//! Git for the lab: the bare repository that operators push to, a bare mirror of it for readers, and commits made of plain files.
//!
//! Everything goes through the `git` binary with the user's and the system's configuration left out, so that the lab behaves alike everywhere;
//! it is not started to hear that nothing moved in a repository that is a folder here.

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

/// What the repositories of the lab are set to, beside what `git init` writes.
const SETTINGS: &str = "\
[core]
	logAllRefUpdates = always
[receive]
	denyNonFastForwards = true
	denyDeletes = false
	autogc = false
[uploadpack]
	allowAnySHA1InWant = true
[gc]
	auto = 0
";

/// Makes the bare repository `path` whose default branch is `branch`: it keeps a reflog of every push and takes fast-forwards only.
pub async fn init_bare(path: &Path, branch: &str) -> anyhow::Result<()> {
    let made = std::fs::create_dir_all(path);
    made.with_context(|| format!("making the repository folder {}", path.display()))?;
    let args = [
        "init",
        "--quiet",
        "--bare",
        "--template=",
        "--initial-branch",
        branch,
    ];
    git(path, &args, &[], b"").await?;
    // One write instead of a process for each setting.
    let config = path.join("config");
    let set =
        std::fs::read_to_string(&config).and_then(|text| std::fs::write(&config, text + SETTINGS));
    set.with_context(|| format!("writing {}", config.display()))
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
    let mut stream = Vec::new();
    for commit in commits {
        in_words(&mut stream, branch, commit)?;
    }
    let args = ["-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"];
    let told = line(scratch, &args, &[], &stream).await?;
    let ids: Vec<String> = told.lines().map(ToOwned::to_owned).collect();
    if ids.len() != commits.len() {
        bail!("git made {} of {} commits", ids.len(), commits.len());
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

/// A commit as `git fast-import` reads it: upon the branch, with a tree of its own; git answers with its id.
fn in_words(stream: &mut Vec<u8>, branch: &str, commit: &Commit) -> anyhow::Result<()> {
    let author = &commit.author;
    if !author.contains(" <") || !author.ends_with('>') || author.contains('\n') {
        bail!("an author reads `Name <mail>`, not `{author}`");
    }
    let at = commit.at.as_second();
    let data = |stream: &mut Vec<u8>, bytes: &[u8]| {
        stream.extend_from_slice(format!("data {}\n", bytes.len()).as_bytes());
        stream.extend_from_slice(bytes);
        stream.push(b'\n');
    };
    let head = format!(
        "commit refs/heads/{branch}\nmark :1\nauthor {author} {at} +0000\ncommitter {author} {at} +0000\n"
    );
    stream.extend_from_slice(head.as_bytes());
    data(stream, commit.message.as_bytes());
    stream.extend_from_slice(b"deleteall\n");
    for (path, content) in &commit.files {
        let path = path
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        stream.extend_from_slice(format!("M 100644 inline \"{path}\"\n").as_bytes());
        data(stream, content);
    }
    stream.extend_from_slice(b"get-mark :1\n");
    Ok(())
}

/// A bare copy of a remote repository that is brought up to date when something in it is not known yet.
pub struct Mirror {
    path: PathBuf,
    url: String,
    refs: BTreeMap<String, String>,
    /// What stood on the disk before the last look that brought `refs`, of a remote that is a folder here.
    stood: Option<Standing>,
}

impl Mirror {
    /// A copy of `url` kept in `path`, empty until the first look.
    pub async fn new(path: &Path, url: &str) -> anyhow::Result<Mirror> {
        init_bare(path, "main").await?;
        Ok(Mirror {
            path: path.to_owned(),
            url: url.to_owned(),
            refs: BTreeMap::new(),
            stood: None,
        })
    }

    /// Asks the remote for its refs and fetches what is new. True if a ref moved.
    pub async fn look(&mut self) -> anyhow::Result<bool> {
        // Read before git does: a push between the two is another standing at the next look.
        let stands = folder_of(&self.url).and_then(|folder| standing(&folder));
        if stands.is_some() && stands == self.stood {
            return Ok(false);
        }
        let out = line(&self.path, &["ls-remote", "--", &self.url], &[], b"").await?;
        let refs: BTreeMap<String, String> = out
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(id, name)| (name.to_owned(), id.to_owned()))
            .collect();
        if refs == self.refs {
            self.stood = stands;
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
        self.stood = stands;
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

    /// The bytes of blobs, in their order.
    pub async fn blobs(&self, ids: &[String]) -> anyhow::Result<Vec<Vec<u8>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let asked = ids.join("\n") + "\n";
        let out = git(&self.path, &["cat-file", "--batch"], &[], asked.as_bytes()).await?;
        let mut rest = out.as_slice();
        let mut blobs = Vec::with_capacity(ids.len());
        for id in ids {
            // `ID blob SIZE`, the bytes, and the end of the line.
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (head, after) = rest.split_at(end.unwrap_or(rest.len()));
            let head = String::from_utf8_lossy(head);
            let size = match head.split(' ').collect::<Vec<_>>()[..] {
                [_, "blob", size] => size.parse::<usize>().ok(),
                _ => None,
            };
            let found = size.and_then(|size| Some((after.get(1..=size)?, after.get(size + 2..)?)));
            let (bytes, after) = found.ok_or_else(|| anyhow!("git has no blob {id}: {head}"))?;
            blobs.push(bytes.to_vec());
            rest = after;
        }
        Ok(blobs)
    }
}

/// The folder that a `file://` URL means; `None` for any other remote.
fn folder_of(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("file://")?;
    // A host, which git reads as a part of the path.
    if !rest.starts_with('/') {
        return None;
    }
    let mut bytes = Vec::with_capacity(rest.len());
    let mut left = rest.as_bytes();
    while let Some((&byte, after)) = left.split_first() {
        left = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = left.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        left = after;
    }
    Some(PathBuf::from(String::from_utf8(bytes).ok()?))
}

/// Every file that decides on the refs of a repository and on which of them are told: its path, when it was written, what it says.
type Standing = Vec<(PathBuf, std::time::SystemTime, Vec<u8>)>;

/// What stands in the bare repository `folder`, for a few reads instead of a process. `None` where refs are kept in another way, or
/// when something went away while it was read: then git is to be asked.
fn standing(folder: &Path) -> Option<Standing> {
    let has = |name: &str| folder.join(name).exists();
    if has("reftable") || has("commondir") || !has("objects") {
        return None;
    }
    let mut found = Standing::new();
    let mut read = |path: PathBuf| -> Option<()> {
        let written = path.metadata().and_then(|meta| meta.modified()).ok()?;
        let text = std::fs::read(&path).ok()?;
        found.push((path, written, text));
        Some(())
    };
    read(folder.join("HEAD"))?;
    read(folder.join("config"))?;
    let packed = folder.join("packed-refs");
    if packed.exists() {
        read(packed)?;
    }
    let mut folders = vec![folder.join("refs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()? {
            let entry = entry.ok()?;
            if entry.file_type().ok()?.is_dir() {
                folders.push(entry.path());
            } else {
                read(entry.path())?;
            }
        }
    }
    found.sort();
    Some(found)
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
        let blob = &files["deploy/a b.yaml"];
        let twice = [blob.clone(), blob.clone()];
        assert_eq!(mirror.blobs(&twice).await.unwrap(), [b"one", b"one"]);
        assert!(mirror.blobs(&["0".repeat(40)]).await.is_err());
        let dates = git(&bare, &["log", "--format=%an %aI", "main"], &[], b"")
            .await
            .unwrap();
        let dates = String::from_utf8(dates).unwrap();
        assert_eq!(
            dates,
            "Mira Okafor 2024-10-01T10:00:00+00:00\nMira Okafor 2024-09-01T10:00:00+00:00\n"
        );
    }

    #[tokio::test]
    async fn a_look_misses_no_push_and_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let bare = dir.path().join("b 100%.git");
        init_bare(&bare, "main").await.unwrap();
        let url = file_url(&bare);
        let history = [
            commit("one", "2024-09-01T10:00:00Z"),
            commit("two", "2024-10-01T10:00:00Z"),
        ];
        let ids = push_history(&url, "main", &dir.path().join("s"), &history)
            .await
            .unwrap();
        let mut mirror = Mirror::new(&dir.path().join("m.git"), &url).await.unwrap();
        assert!(mirror.look().await.unwrap());
        assert!(mirror.stood.is_some());
        assert!(!mirror.look().await.unwrap());
        // What is done, whether a ref moved by it, and at which commit `main` and `v1` stand then.
        let table = [
            ("update-ref refs/heads/main ONE", true, "ONE", ""),
            ("update-ref refs/heads/main TWO", true, "TWO", ""),
            ("pack-refs --all", false, "TWO", ""),
            ("update-ref refs/heads/main ONE", true, "ONE", ""),
            ("tag v1 TWO", true, "ONE", "TWO"),
            ("pack-refs --all", false, "ONE", "TWO"),
            ("tag -d v1", true, "ONE", ""),
            ("config uploadpack.hideRefs refs/heads", true, "", ""),
            ("config --unset uploadpack.hideRefs", true, "ONE", ""),
        ];
        for (done, moved, main, tag) in table {
            let filled = done.replace("ONE", &ids[0]).replace("TWO", &ids[1]);
            let args: Vec<&str> = filled.split(' ').collect();
            git(&bare, &args, &[], b"").await.unwrap();
            assert_eq!(mirror.look().await.unwrap(), moved, "{done}");
            for (name, at) in [("main", main), ("v1", tag)] {
                let found = mirror.resolve(name).await.unwrap_or_default();
                let at = at.replace("ONE", &ids[0]).replace("TWO", &ids[1]);
                assert_eq!(found, at, "{name} after {done}");
            }
            assert!(!mirror.look().await.unwrap(), "{done}");
        }
        let away = dir.path().join("away");
        std::fs::rename(&bare, &away).unwrap();
        mirror.look().await.unwrap_err();
        std::fs::rename(&away, &bare).unwrap();
        assert!(!mirror.look().await.unwrap());
        // A folder that is no repository any more is git's to refuse.
        std::fs::remove_dir_all(bare.join("objects")).unwrap();
        mirror.look().await.unwrap_err();
    }
}
