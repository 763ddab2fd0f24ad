//! The adapter against real bare repositories and the installed git.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::ports::no_log;

struct Fixture {
    dir: tempfile::TempDir,
    repos: GitRepos,
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .args([
            "-c",
            "user.name=Seed",
            "-c",
            "user.email=seed@example.com",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Fixture {
    fn new() -> Self {
        Self::with_deadline(Duration::from_secs(30))
    }

    fn with_deadline(deadline: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q", "--bare", "remote.git"]);
        git(dir.path(), &["clone", "-q", "remote.git", "work"]);
        let work = dir.path().join("work");
        std::fs::create_dir_all(work.join("deploy/auth")).unwrap();
        std::fs::write(work.join("deploy/auth/config.yaml"), "a: 1\n").unwrap();
        std::fs::write(work.join("deploy/run.sh"), "#!/bin/sh\n").unwrap();
        std::os::unix::fs::symlink("auth/config.yaml", work.join("deploy/link.yaml")).unwrap();
        git(&work, &["add", "."]);
        git(&work, &["update-index", "--chmod=+x", "deploy/run.sh"]);
        git(&work, &["commit", "-qm", "seed"]);
        git(&work, &["push", "-q", "origin", "HEAD:main"]);
        git(
            &dir.path().join("remote.git"),
            &["symbolic-ref", "HEAD", "refs/heads/main"],
        );
        let mut options = GitOptions::new(dir.path().join("mirrors"), no_log());
        options.deadline = deadline;
        Self {
            repos: GitRepos::new(options),
            dir,
        }
    }

    fn url(&self) -> String {
        format!("file://{}", self.dir.path().join("remote.git").display())
    }

    async fn repo(&self) -> Arc<GitRepo> {
        self.repos.repository(&self.url()).await.unwrap()
    }

    fn foreign_push(&self) -> String {
        let work = self.dir.path().join("work");
        git(&work, &["fetch", "-q", "origin", "main"]);
        git(&work, &["reset", "-q", "--hard", "FETCH_HEAD"]);
        git(
            &work,
            &["commit", "-q", "--allow-empty", "-m", "someone else"],
        );
        git(&work, &["push", "-q", "origin", "HEAD:main"]);
        git(&work, &["rev-parse", "HEAD"])
    }

    fn hook(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.path().join("remote.git/hooks").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn author() -> Author {
    Author {
        name: "Ada".into(),
        email: "ada@example.com".into(),
    }
}

fn change(path: &str, text: &str) -> FileChange {
    FileChange {
        path: path.into(),
        bytes: Some(text.into()),
    }
}

async fn commit_on(repo: &GitRepo, parent: &str) -> Commit {
    let changes = [
        change("deploy/auth/config.yaml", "a: 2\n"),
        change("deploy/run.sh", "#!/bin/sh\ntrue\n"),
    ];
    repo.commit(
        parent,
        &changes,
        "Make a 2",
        &author(),
        Timestamp::from_second(1_700_000_000).unwrap(),
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn the_same_commit_twice_is_one_commit_and_keeps_modes() {
    let fixture = Fixture::new();
    let repo = fixture.repo().await;
    let head = repo.head("main").await.unwrap();
    assert_eq!(
        repo.head("HEAD").await.unwrap().branch.as_deref(),
        Some("main")
    );
    let (first, second) = (
        commit_on(&repo, &head.sha).await,
        commit_on(&repo, &head.sha).await,
    );
    assert_eq!(first.sha, second.sha);
    repo.push("main", &first.sha, Some(&head.sha))
        .await
        .unwrap();
    let bare = fixture.dir.path().join("remote.git");
    assert!(git(&bare, &["ls-tree", "main", "deploy/run.sh"]).starts_with("100755"));
    assert_eq!(
        git(&bare, &["show", "main:deploy/auth/config.yaml"]),
        "a: 2"
    );
    assert_eq!(
        git(&bare, &["log", "-1", "--format=%an <%ae> %at %ct", "main"]),
        "Ada <ada@example.com> 1700000000 1700000000"
    );
    assert!(git(&bare, &["ls-tree", "main", "deploy/link.yaml"]).starts_with("120000"));
}

/// A process that is killed while it makes a commit leaves the lock of its ref behind.
#[tokio::test]
async fn a_lock_that_a_dead_process_left_stops_no_commit() {
    let fixture = Fixture::new();
    let repo = fixture.repo().await;
    let head = repo.head("main").await.unwrap();
    let first = commit_on(&repo, &head.sha).await;
    let mirrors = std::fs::read_dir(fixture.dir.path().join("mirrors")).unwrap();
    let kept = |mirror: std::fs::DirEntry| mirror.path().join("refs/trueup").join(&first.sha);
    let kept = mirrors
        .map(|mirror| kept(mirror.unwrap()))
        .find(|kept| kept.exists())
        .unwrap();
    std::fs::remove_file(&kept).unwrap();
    std::fs::write(kept.with_extension("lock"), "").unwrap();
    let second = commit_on(&repo, &head.sha).await;
    assert!(first.sha == second.sha && kept.exists());
}

#[tokio::test]
async fn files_leave_symlinks_out_and_trees_name_content() {
    let fixture = Fixture::new();
    let repo = fixture.repo().await;
    let head = repo.head("main").await.unwrap().sha;
    let paths: Vec<String> = repo
        .files(&head, "deploy")
        .await
        .unwrap()
        .into_iter()
        .map(|file| file.path)
        .collect();
    assert_eq!(paths, ["deploy/auth/config.yaml", "deploy/run.sh"]);
    assert!(repo.files(&head, "nowhere").await.is_err());
    assert!(repo.files(&head, "../etc").await.is_err());
    let later = fixture.foreign_push();
    assert_eq!(
        repo.tree_id(&head, "deploy/auth").await.unwrap(),
        repo.tree_id(&later, "deploy/auth").await.unwrap()
    );
}

#[tokio::test]
async fn a_branch_that_moved_rejects_and_is_told_from_one_that_has_it() {
    let fixture = Fixture::new();
    let repo = fixture.repo().await;
    let parent = repo.head("main").await.unwrap().sha;
    let ours = commit_on(&repo, &parent).await;
    assert_eq!(repo.contains("main", &ours.sha).await.unwrap(), Landed::No);
    let theirs = fixture.foreign_push();
    assert!(matches!(
        repo.push("main", &ours.sha, Some(&parent)).await,
        Err(PushError::Rejected { .. })
    ));
    assert_eq!(
        repo.contains("main", &ours.sha).await.unwrap(),
        Landed::Moved {
            head: theirs.clone()
        }
    );
    let on_top = commit_on(&repo, &theirs).await;
    repo.push("main", &on_top.sha, Some(&theirs)).await.unwrap();
    let head = fixture.foreign_push();
    assert_eq!(
        repo.contains("main", &on_top.sha).await.unwrap(),
        Landed::Yes { head: head.clone() }
    );
    assert_eq!(repo.log(&theirs, &head, 10).await.unwrap().len(), 2);
    // A branch set back behind us is not quietly moved forward again.
    git(
        &fixture.dir.path().join("remote.git"),
        &["update-ref", "refs/heads/main", &parent],
    );
    let next = commit_on(&repo, &parent).await;
    assert!(matches!(
        repo.push("main", &next.sha, Some(&theirs)).await,
        Err(PushError::Rejected { .. })
    ));
}

#[tokio::test]
async fn a_hook_that_says_no_is_a_rejection_with_its_words() {
    let fixture = Fixture::new();
    let repo = fixture.repo().await;
    let parent = repo.head("main").await.unwrap().sha;
    let ours = commit_on(&repo, &parent).await;
    fixture.hook(
        "pre-receive",
        "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n",
    );
    match repo.push("main", &ours.sha, Some(&parent)).await {
        Err(PushError::Rejected { why, .. }) => assert!(why.contains("main is protected"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_push_without_an_answer_is_unknown_and_the_remote_tells() {
    let fixture = Fixture::with_deadline(Duration::from_secs(3));
    let repo = fixture.repo().await;
    let parent = repo.head("main").await.unwrap().sha;
    let ours = commit_on(&repo, &parent).await;
    // Runs after the ref has moved, while the client still waits for the report.
    fixture.hook("post-receive", "#!/bin/sh\nexec sleep 30\n");
    assert!(matches!(
        repo.push("main", &ours.sha, Some(&parent)).await,
        Err(PushError::Unknown { .. })
    ));
    assert_eq!(
        repo.contains("main", &ours.sha).await.unwrap(),
        Landed::Yes {
            head: ours.sha.clone()
        }
    );
    repo.push("main", &ours.sha, Some(&parent)).await.unwrap();
}

#[tokio::test]
async fn a_bundle_brings_the_commit_into_another_mirror() {
    let fixture = Fixture::new();
    let repo = fixture.repo().await;
    let parent = repo.head("main").await.unwrap().sha;
    let ours = commit_on(&repo, &parent).await;
    let other = GitRepos::new(GitOptions::new(fixture.dir.path().join("other"), no_log()));
    let other = other.repository(&fixture.url()).await.unwrap();
    other.import(&ours.bundle).await.unwrap();
    other.push("main", &ours.sha, Some(&parent)).await.unwrap();
    assert_eq!(repo.head("main").await.unwrap().sha, ours.sha);
}

#[tokio::test]
async fn what_needs_a_checkout_or_changes_nothing_is_refused() {
    let fixture = Fixture::new();
    let repo = fixture.repo().await;
    let parent = repo.head("main").await.unwrap().sha;
    for path in [
        "deploy/link.yaml",
        "deploy",
        ".git/config",
        "../x",
        "deploy/run.sh/x",
        "",
    ] {
        let made = repo
            .commit(
                &parent,
                &[change(path, "x")],
                "m",
                &author(),
                Timestamp::UNIX_EPOCH,
            )
            .await;
        assert_eq!(made.unwrap_err().failure, GitFailure::Unsupported, "{path}");
    }
    let same = [change("deploy/auth/config.yaml", "a: 1\n")];
    assert!(
        repo.commit(&parent, &same, "m", &author(), Timestamp::UNIX_EPOCH)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_remote_that_is_not_there_is_not_sent() {
    let fixture = Fixture::new();
    let gone = format!("file://{}", fixture.dir.path().join("gone.git").display());
    let repo = fixture.repos.repository(&gone).await.unwrap();
    assert_eq!(
        repo.head("main").await.unwrap_err().failure,
        GitFailure::Unreachable
    );
    let sha = "0".repeat(39) + "1";
    assert!(matches!(
        repo.push("main", &sha, None).await,
        Err(PushError::NotSent { .. })
    ));
    assert!(repo.head("--upload-pack=x").await.is_err());
}

/// A mirror that a full disk or a kill has left half made is made anew, once, and says nothing to the operator.
#[tokio::test]
async fn a_damaged_mirror_is_made_anew() {
    type Damage = fn(&Path, &Path, &str);
    let damages: [(&str, Damage); 4] = [
        ("made by half, and locked", |mirror, _, _| {
            std::fs::remove_dir_all(mirror).unwrap();
            std::fs::create_dir(mirror).unwrap();
            std::fs::write(mirror.join("config.lock"), "").unwrap();
        }),
        ("a commit without its files", |mirror, work, sha| {
            std::fs::remove_dir_all(mirror.join("objects")).unwrap();
            let loose = Path::new(&sha[..2]).join(&sha[2..]);
            let into = mirror.join("objects").join(&loose);
            std::fs::create_dir_all(into.parent().unwrap()).unwrap();
            std::fs::copy(work.join(".git/objects").join(&loose), into).unwrap();
        }),
        ("objects gone, refs kept", |mirror, _, _| {
            std::fs::remove_dir_all(mirror.join("objects/pack")).unwrap();
        }),
        ("an empty HEAD", |mirror, _, _| {
            std::fs::write(mirror.join("HEAD"), "").unwrap();
            std::fs::remove_dir_all(mirror.join("objects/pack")).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let fixture = Fixture::new();
        let repo = fixture.repo().await;
        let sha = repo.head("main").await.unwrap().sha;
        repo.fetch().await.unwrap();
        damage(&repo.mirror, &fixture.dir.path().join("work"), &sha);
        // As the next process opens it.
        let next = GitRepos::new(fixture.repos.options.clone());
        let repo = next.repository(&fixture.url()).await.unwrap();
        let files = repo.files(&sha, "deploy/auth").await;
        assert_eq!(files.unwrap().len(), 1, "{what}");
        assert!(repo.tree_id(&sha, "deploy").await.unwrap().is_some());
    }
}
