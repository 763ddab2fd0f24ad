//! Commits of others on the branches that Applications follow.

use std::collections::BTreeSet;

use trueup_core::{
    event::{Effect, Foreign},
    ids::Commit,
    object::identity::AppKey,
    run::Run,
    text,
};

use super::{
    read::{World, folder_path},
    state::Engine,
};
use crate::ports::{LogEntry, Repo, Repos};

/// So many are named in a sentence.
const NAMED: usize = 3;
/// So many commits of a branch are gone through.
const FAR: usize = 200;

/// The commits that a branch got after `since`, with their authors; none where the repository does not tell.
pub(super) async fn pushed_since(repo: &dyn Repo, since: &str, head: &str) -> Option<String> {
    let log = repo.log(since, head, NAMED + 1).await.ok()?;
    named(&log.iter().collect::<Vec<_>>())
}

/// The same of those that made of a folder what it is at `head`, the newest first, back to where it was as it was at `since`; all of them
/// where none touched it.
pub(super) async fn changed_since(
    repo: &dyn Repo,
    since: &str,
    head: &str,
    folder: &str,
) -> Option<String> {
    let log = repo.log(since, head, FAR).await.ok()?;
    let folder = [folder.to_owned()];
    let base = trees(repo, since, &folder).await;
    let mut touched = Vec::new();
    for commit in &log {
        let after = trees(repo, &commit.sha, &folder).await;
        let mut before = Vec::new();
        for parent in &commit.parents {
            before.push(trees(repo, parent, &folder).await);
        }
        // A merge only where it is none of what it merges.
        if after.is_none() || before.iter().all(|before| *before != after) {
            touched.push(commit);
        }
        if !touched.is_empty() && before.as_slice() == std::slice::from_ref(&base) {
            break;
        }
    }
    match touched.is_empty() {
        true => named(&log.iter().collect::<Vec<_>>()),
        false => named(&touched),
    }
}

fn named(commits: &[&LogEntry]) -> Option<String> {
    let names: Vec<String> = commits
        .iter()
        .take(NAMED)
        .map(|commit| {
            format!(
                "{} with {} \u{201c}{}\u{201d}",
                author(commit),
                Commit(commit.sha.clone()).short(),
                text::shorten(&commit.subject, 60),
            )
        })
        .collect();
    let more = if commits.len() > NAMED {
        " and others"
    } else {
        ""
    };
    (!names.is_empty()).then(|| text::line(&format!("{}{more}", names.join("; "))))
}

fn author(commit: &LogEntry) -> String {
    format!("{} <{}>", commit.author.name, commit.author.email)
}

/// Whether it brought what we had pushed to a branch of our own: whoever merges keeps the name of the incident in it.
fn merges_ours(run: &Run, subject: &str) -> bool {
    let own = run
        .ops
        .values()
        .any(|op| op.done() && matches!(op.effect, Effect::Push { tracked, .. } if !tracked));
    own && subject.contains(run.id()) && !subject.starts_with("Revert")
}

/// The Applications that were synced, as shown, to a revision at which their folder held just what it holds at `head`. One of
/// which that cannot be found out is not among them: it is synced once more.
pub async fn as_synced(
    repos: &dyn Repos,
    run: &Run,
    world: &World,
    repository: &str,
    head: &Commit,
) -> Vec<AppKey> {
    let Ok(repo) = repos.open(repository).await else {
        return Vec::new();
    };
    let mut same = Vec::new();
    for (key, _) in run.walking() {
        let app = world.applications.get(key);
        let Some(app) = app.filter(|app| app.repo_url == repository && app.complete) else {
            continue;
        };
        let Some((synced, _)) = run.synced_to(key) else {
            continue;
        };
        let folder = [folder_path(&app.path)];
        let was = trees(&*repo, synced.as_str(), &folder).await;
        if was.is_some() && was == trees(&*repo, head.as_str(), &folder).await {
            same.push(key.clone());
        }
    }
    same
}

impl Engine {
    /// What others brought to a tracked branch from when it was seen first up to `until`, the oldest first: those commits
    /// that change a folder of the scope, or one of `beside`. Nothing where the repository does not tell.
    pub(super) async fn others(
        &self,
        repository: &str,
        until: &Commit,
        beside: impl IntoIterator<Item = String>,
    ) -> Vec<Foreign> {
        let run = self.run();
        let Some(base) = run.base.get(repository).filter(|base| *base != until) else {
            return Vec::new();
        };
        let mut folders: BTreeSet<String> = beside.into_iter().collect();
        if let Some((world, _)) = self.seen() {
            let apps = run
                .scope
                .iter()
                .filter_map(|key| world.applications.get(key));
            let apps = apps.filter(|app| app.repo_url == repository);
            folders.extend(apps.map(|app| folder_path(&app.path)));
        }
        let folders = Vec::from_iter(folders);
        let Ok(repo) = self.ports.repos.open(repository).await else {
            return Vec::new();
        };
        let Ok(log) = repo.log(base.as_str(), until.as_str(), FAR).await else {
            return Vec::new();
        };
        let mut before = trees(&*repo, base.as_str(), &folders).await;
        let mut others = Vec::new();
        for commit in log.iter().rev() {
            let after = trees(&*repo, &commit.sha, &folders).await;
            let same = before.is_some() && before == after;
            before = after;
            let sha = Commit(commit.sha.clone());
            if same || run.pushed(&sha) || merges_ours(&run, &commit.subject) {
                continue;
            }
            others.push(Foreign {
                commit: sha,
                author: text::line(&author(commit)),
                subject: text::line(&commit.subject),
            });
        }
        others
    }
}

/// What the folders hold at a commit; none where that could not be found out.
async fn trees(repo: &dyn Repo, sha: &str, folders: &[String]) -> Option<Vec<Option<String>>> {
    let trees = repo.tree_ids(sha, folders).await.ok()?;
    trees.into_iter().collect::<Result<_, _>>().ok()
}
