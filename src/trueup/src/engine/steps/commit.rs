//! The commit: the bytes that make each decision so, the proof over every Application that reads them, and the push.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trueup_core::{
    decision::{Decision, Take, Wanted},
    event::{AuthorFrom, Event, FileDiff, ProofLine, Proposal},
    ids::Commit,
    object::{identity::AppKey, manifest::manifest},
    policy::Policy,
    sheet::Refusal,
    source::changes::{self, FieldEdit},
    text,
    workflow::{self, Next},
};

use super::super::{
    read::{AppSeen, LookOptions, World},
    state::Engine,
    trouble::Trouble,
};
use super::{
    ignore,
    prove::{homes, prove, sources},
};
use crate::ports::{Author, FileChange, Repo};

impl Engine {
    /// Whose name a commit carries, and who said so.
    fn author(&self, repo: &dyn Repo) -> (Author, AuthorFrom) {
        if let Some(author) = &self.setting.author {
            return (author.clone(), AuthorFrom::Settings);
        }
        match repo.author() {
            Some(author) => (author, AuthorFrom::Git),
            None => (
                Author::made_up(&self.setting.operator, &self.setting.host),
                AuthorFrom::Operator,
            ),
        }
    }

    /// Builds the commit for everything decided that Git does not have yet, and proves it. Nothing is pushed.
    pub(in super::super) async fn propose(&self) -> Result<(), Trouble> {
        let (world, now) = self.look().await?;
        let run = self.run();
        // What this look could not read comes first.
        if matches!(workflow::next(&run, &now), Next::Stopped { rule: 0, .. }) {
            return Ok(());
        }
        if let Some((key, _)) = now.undecided(&run).next() {
            return Err(Refusal::new(
                3,
                text::line(&format!("{} {} is not decided", key.object, key.field)),
                "decide it first",
            )
            .into());
        }
        let mut by_repository = self.wishes(&world)?;
        let mut undeclared = self.undeclared(&world)?;
        let Some(repository) = by_repository
            .keys()
            .chain(undeclared.keys())
            .next()
            .cloned()
        else {
            return Ok(());
        };
        let mut wishes = by_repository.remove(&repository).unwrap_or_default();
        let declared = undeclared.remove(&repository).unwrap_or_default();
        let (tracked, head) = world
            .applications
            .values()
            .filter(|app| app.repo_url == repository)
            .find_map(|app| Some((app.branch.clone(), app.head.clone()?)))
            .ok_or_else(|| {
                Trouble::failed(
                    "build the commit",
                    "the head of the tracked branch is not known",
                    "look again",
                )
            })?;
        let ours: Vec<&AppSeen> = world
            .applications
            .values()
            .filter(|app| app.repo_url == repository)
            .collect();
        let (renderings, files) = sources(&ours);
        let mut changed = changes::changes(&renderings, &homes(&ours), &files, &wishes)
            .map_err(|failed| cannot(&failed))?;
        let repo = self.ports.repos.open(&repository).await?;
        self.declare(&world, repo.as_ref(), &head, &declared, &mut changed)
            .await?;
        let paths: Vec<&str> = changed.iter().map(|change| change.path.as_str()).collect();
        let others = self.other_readers(&repository, &paths, &world).await?;
        let mut readers = ours;
        readers.extend(others.iter());
        wishes.extend(ignore::declared_in(&readers, &declared));
        let proof = prove(&readers, &changed, &wishes);

        // Who may not freeze pushes where nothing is deployed from, unless the tracked branch was asked for by name.
        let own =
            run.pull_request || (run.commit_branch.is_none() && now.lacks_freeze(&run).is_some());
        let direct = run
            .commit_branch
            .as_ref()
            .map_or(!own, |branch| *branch == tracked);
        let mut message = message(&run, &world, &repository);
        if !direct && !proof.is_empty() {
            message.push_str(&merging(&readers, &proof));
        }
        let file_changes: Vec<FileChange> = changed
            .iter()
            .map(|change| FileChange {
                path: change.path.clone(),
                bytes: change.after.clone(),
            })
            .collect();
        let (author, author_from) = self.author(repo.as_ref());
        let commit = repo
            .commit(
                &head,
                &file_changes,
                &message,
                &author,
                self.ports.clock.now(),
            )
            .await?;
        let branch = match (&run.commit_branch, own) {
            // A pull request is a branch of its own, whatever the plan calls the branch it is for.
            (Some(branch), own) if !own || *branch != tracked => branch.clone(),
            (_, true) => format!("trueup/{}", run.id()),
            (_, false) => tracked.clone(),
        };
        let cells = run
            .decisions
            .iter()
            .filter(|(_, d)| d.changes_git() || d.take == Take::Ignore)
            .filter(|(key, _)| {
                let app = world.applications.get(&key.application);
                let parked = run
                    .apps
                    .get(&key.application)
                    .is_some_and(|app| app.parked.is_some());
                !parked && app.is_none_or(|app| app.repo_url == repository)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let beside = changed.iter().map(|change| {
            let folder = change.path.rsplit_once('/');
            folder.map_or("", |(folder, _)| folder).to_owned()
        });
        let parent = Commit(head);
        let others = self.others(&repository, &parent, beside).await;
        let proposal = Proposal {
            repository,
            branch,
            tracked,
            commit: Commit(commit.sha),
            parent,
            message,
            author: text::line(&format!("{} <{}>", author.name, author.email)),
            author_from,
            bundle: self.keep(&commit.bundle)?,
            files: changed
                .iter()
                .map(|change| FileDiff {
                    path: text::line(&change.path),
                    diff: text::block(&changes::unified_diff(
                        &change.path,
                        change.before.as_deref(),
                        change.after.as_deref(),
                    )),
                    fields: change.edits.len() + change.manifests,
                })
                .collect(),
            cells,
            proof,
            others,
        };
        let unproven = proposal
            .proof
            .iter()
            .any(|line| !line.undecided.is_empty() || !line.errors.is_empty());
        self.record(Event::Proposed {
            proposal: Box::new(proposal),
        })?;
        if unproven {
            trueup_core::rules::check(
                &trueup_core::run::Run {
                    armed: trueup_core::event::Armed::All,
                    ..(*self.run()).clone()
                },
                &now,
                &trueup_core::sheet::Command::Push,
            )?;
        }
        Ok(())
    }

    /// The edits of Git that the decisions ask for, by repository.
    fn wishes(&self, world: &World) -> Result<BTreeMap<String, Vec<FieldEdit>>, Trouble> {
        let run = self.run();
        let mut wishes: BTreeMap<String, Vec<FieldEdit>> = BTreeMap::new();
        for (key, decision) in &run.decisions {
            if run
                .apps
                .get(&key.application)
                .is_some_and(|app| app.parked.is_some())
            {
                continue;
            }
            let Some(app) = world.applications.get(&key.application) else {
                continue;
            };
            let Some(to) = wish(app, decision)? else {
                continue;
            };
            wishes
                .entry(app.repo_url.clone())
                .or_default()
                .push(FieldEdit {
                    application: key.application.to_string(),
                    object: key.object.key(),
                    path: key.field.clone(),
                    to,
                });
        }
        Ok(wishes)
    }

    /// Applications outside the scope whose folder holds one of the changed files.
    async fn other_readers(
        &self,
        repository: &str,
        paths: &[&str],
        world: &World,
    ) -> Result<Vec<AppSeen>, Trouble> {
        let (objects, _, _) = self.reader.applications(None).await?;
        let reads = |object: &serde_json::Value| {
            let sources = object
                .pointer("/spec/sources")
                .and_then(serde_json::Value::as_array);
            let single = object.pointer("/spec/source");
            sources.into_iter().flatten().chain(single).any(|source| {
                let text = |name: &str| {
                    source
                        .get(name)
                        .and_then(serde_json::Value::as_str)
                        .unwrap_or_default()
                };
                let folder = text("path").trim_matches('/');
                text("repoURL") == repository
                    && paths.iter().any(|path| {
                        folder.is_empty()
                            || folder == "."
                            || path
                                .strip_prefix(folder)
                                .is_some_and(|rest| rest.starts_with('/'))
                    })
            })
        };
        let keys: Vec<AppKey> = objects
            .iter()
            .filter(|object| reads(object))
            .filter_map(|object| AppKey::from_object(object).ok())
            .filter(|key| !world.applications.contains_key(key))
            .collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let others = self.reader.look(Some(&keys), LookOptions::default()).await;
        Ok(others.applications.into_values().collect())
    }
}

/// What was said, or else what this commit changes and why: not what an earlier one has brought already.
fn message(run: &trueup_core::run::Run, world: &World, repository: &str) -> String {
    // What was said of one commit is not said of the next.
    let said = run
        .message
        .clone()
        .filter(|_| !run.message_pushed.contains(repository));
    let subject = said.unwrap_or_else(|| {
        let changed: Vec<&Decision> = run
            .decisions
            .values()
            .filter(|decision| {
                let app = world.applications.get(&decision.cell.application);
                decision.take == Take::Ignore
                    || app.is_some_and(|app| matches!(wish(app, decision), Ok(Some(_))))
            })
            .collect();
        let names: BTreeSet<&str> = changed
            .iter()
            .map(|decision| decision.cell.object.name.as_str())
            .collect();
        let reasons: BTreeSet<&str> = changed
            .iter()
            .map(|d| d.reason.as_str())
            .filter(|r| !r.is_empty())
            .collect();
        let what = names.into_iter().collect::<Vec<_>>().join(", ");
        let why = reasons.into_iter().collect::<Vec<_>>().join("; ");
        if why.is_empty() {
            format!("Reconcile {what}")
        } else {
            format!("Reconcile {what}: {why}")
        }
    });
    trailed(subject, run.id())
}

/// The message with the name of the incident in it, and as its trailer.
fn trailed(subject: String, incident: &str) -> String {
    let subject = if subject.contains(incident) {
        subject
    } else {
        format!("{subject} ({incident})")
    };
    let subject = text::block(subject.trim_end());
    let trailer = format!("Incident: {incident}");
    // A message that was edited has it already.
    if subject.lines().any(|line| line.trim_end() == trailer) {
        return format!("{subject}\n");
    }
    format!("{subject}\n\n{trailer}\n")
}

/// What merging does, for the text of the pull request.
fn merging(readers: &[&AppSeen], proof: &[ProofLine]) -> String {
    let on = |line: &&ProofLine| {
        let app = readers.iter().find(|app| app.key == line.application);
        app.is_none_or(|app| Policy::of(&app.object).is_on())
    };
    let names = |lines: Vec<&ProofLine>| {
        let names: Vec<&str> = lines.iter().map(|l| l.application.name.as_str()).collect();
        names.join(", ")
    };
    let (now, later): (Vec<&ProofLine>, Vec<&ProofLine>) = proof.iter().partition(on);
    let mut text = String::new();
    if !now.is_empty() {
        text.push_str(&format!("Merging this syncs: {}\n", names(now)));
    }
    if !later.is_empty() {
        text.push_str(&format!(
            "The next sync brings it to: {} (auto-sync is off)\n",
            names(later)
        ));
    }
    text
}

/// What the decision asks of Git beyond what stands there: `Some(None)` takes the field or the manifest away.
fn wish(app: &AppSeen, decision: &Decision) -> Result<Option<Option<Value>>, Trouble> {
    let cell = &decision.cell;
    let to = match &decision.git {
        Wanted::AsIs => return Ok(None),
        Wanted::Value(value) => Some(value.clone()),
        Wanted::Absent => None,
    };
    let (git, live) = app.sides_of(&cell.object);
    if !cell.field.is_root() {
        let stands = git.and_then(|object| cell.field.get(object)).cloned();
        return Ok((stands != to).then_some(to));
    }
    match (git, to) {
        (Some(_), Some(_)) | (None, None) => Ok(None),
        (Some(_), None) => Ok(Some(None)),
        (None, Some(_)) => match live {
            Some(live) => Ok(Some(Some(manifest(live)))),
            None => Err(Refusal::new(
                6,
                text::line(&format!(
                    "{} is neither in Git nor live any more: there is nothing to make a manifest from",
                    cell.object
                )),
                "decide it anew",
            )
            .into()),
        },
    }
}

fn cannot(failed: &[changes::CannotEdit]) -> Trouble {
    let first = failed.first().map_or_else(String::new, |f| {
        format!("{:?} {}: {}", f.field.object, f.field.path, f.why)
    });
    Refusal::new(
        6,
        text::line(&format!(
            "{} cannot be put into Git: {first}",
            text::count(failed.len(), "field")
        )),
        "edit those files by hand and push, then look again; or choose Git for them",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::trailed;

    #[test]
    fn a_message_that_is_edited_keeps_one_trailer() {
        let first = trailed("Carry the hotfix".into(), "INC-1");
        assert_eq!(first, "Carry the hotfix (INC-1)\n\nIncident: INC-1\n");
        assert_eq!(trailed(first.clone(), "INC-1"), first);
        let edited = first.replace("Carry", "Take");
        assert_eq!(trailed(edited.clone(), "INC-1"), edited);
    }
}
