//! The commit: the bytes that make each decision so, the proof over every Application that reads them, and the push.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use trueup_core::{
    decision::{Take, Wanted},
    event::{Changed, Effect, Event, FileDiff, Guard, Outcome, ProofLine, Proposal},
    ids::Commit,
    object::{
        identity::{AppKey, ObjectKey, ObjectRef},
        path::FieldPath,
    },
    sheet::{Refusal, Sheet},
    source::{
        changes::{self, FieldEdit},
        plain, proof,
    },
    text,
    workflow::{self, Next},
};

use super::super::{
    read::{AppSeen, LookOptions, World},
    state::{Engine, Write},
    trouble::Trouble,
};
use super::ignore;
use crate::ports::{FileChange, Landed, PushError};

impl Engine {
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
        let mut changed =
            changes::changes(&renderings, &files, &wishes).map_err(|failed| cannot(&failed))?;
        let repo = self.ports.repos.open(&repository).await?;
        self.declare(&world, repo.as_ref(), &head, &declared, &mut changed)
            .await?;
        let paths: Vec<&str> = changed.iter().map(|change| change.path.as_str()).collect();
        let others = self.other_readers(&repository, &paths, &world).await?;
        let mut readers = ours;
        readers.extend(others.iter());
        wishes.extend(ignore::declared_in(&readers, &declared));
        let proof = prove(&readers, &changed, &wishes);

        let direct = run
            .commit_branch
            .as_ref()
            .map_or(!run.pull_request, |branch| *branch == tracked);
        let mut message = self.message(&run);
        if !direct && !proof.is_empty() {
            let moved: Vec<&str> = proof
                .iter()
                .map(|line| line.application.name.as_str())
                .collect();
            message.push_str(&format!("Merging this syncs: {}\n", moved.join(", ")));
        }
        let file_changes: Vec<FileChange> = changed
            .iter()
            .map(|change| FileChange {
                path: change.path.clone(),
                bytes: change.after.clone(),
            })
            .collect();
        let author = &self.setting.author;
        let commit = repo
            .commit(
                &head,
                &file_changes,
                &message,
                author,
                self.ports.clock.now(),
            )
            .await?;
        let branch = match (&run.commit_branch, run.pull_request) {
            // A pull request is a branch of its own, whatever the plan calls the branch it is for.
            (Some(branch), pull_request) if !pull_request || *branch != tracked => branch.clone(),
            (_, true) => format!("trueup/{}", run.id()),
            (_, false) => tracked.clone(),
        };
        let proposal = Proposal {
            repository,
            branch,
            tracked,
            commit: Commit(commit.sha),
            parent: Commit(head),
            message,
            author: text::line(&format!("{} <{}>", author.name, author.email)),
            bundle: self.keep(&commit.bundle)?,
            files: changed
                .iter()
                .map(|change| FileDiff {
                    path: text::line(&change.path),
                    diff: text::block(&changes::unified_diff(
                        &change.path,
                        &change.before,
                        &change.after,
                    )),
                    fields: change.edits.len(),
                })
                .collect(),
            cells: run
                .decisions
                .iter()
                .filter(|(_, d)| d.changes_git() || d.take == Take::Ignore)
                .map(|(key, _)| key.clone())
                .collect(),
            proof,
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
            let to = match &decision.git {
                Wanted::AsIs => continue,
                Wanted::Value(value) => Some(value.clone()),
                Wanted::Absent => None,
            };
            let stands = app
                .desired
                .iter()
                .find(|d| {
                    ObjectRef::from_object(&d.object).is_ok_and(|r| r.key() == key.object.key())
                })
                .and_then(|d| {
                    if key.field.is_root() {
                        Some(json!("(there)"))
                    } else {
                        key.field.get(&d.object).cloned()
                    }
                });
            if stands == to || (key.field.is_root() && stands.is_some() == to.is_some()) {
                continue;
            }
            if key.field.is_root() {
                return Err(Refusal::new(
                    0,
                    text::line(&format!(
                        "{} as a whole: adding or removing a manifest is not built yet",
                        key.object
                    )),
                    "add or remove the file in Git by hand, then look again",
                )
                .into());
            }
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

    fn message(&self, run: &trueup_core::run::Run) -> String {
        let subject = run.message.clone().unwrap_or_else(|| {
            let names: BTreeSet<&str> = run
                .decisions
                .keys()
                .map(|key| key.object.name.as_str())
                .collect();
            let reasons: BTreeSet<&str> = run
                .decisions
                .values()
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
        let subject = if subject.contains(run.id()) {
            subject
        } else {
            format!("{subject} ({})", run.id())
        };
        format!(
            "{}\n\nIncident: {}\n",
            text::block(subject.trim_end()),
            run.id()
        )
    }

    /// Pushes what a sheet showed, after asking once more whether it still may.
    pub(in super::super) async fn push(&self, sheet: &Sheet) -> Result<(), Trouble> {
        let run = self.run();
        let Some(proposal) = run.proposal.clone() else {
            return Err(Refusal::new(6, "there is no proven commit to push", "look again").into());
        };
        let direct = proposal.branch == proposal.tracked;
        if direct {
            for (key, app) in run.walking() {
                if app.freeze.is_set() {
                    self.must_hold(key).await?;
                }
            }
        }
        let repo = self.ports.repos.open(&proposal.repository).await?;
        let expected = if direct {
            Some(proposal.parent.0.clone())
        } else {
            None
        };
        if direct {
            let head = repo.head(&proposal.tracked).await?;
            if head.sha != proposal.parent.0 {
                self.moved(&proposal, &head.sha)?;
                self.look().await?;
                return Err(Refusal::new(
                    2,
                    format!(
                        "branch {} moved meanwhile: it was at {} and is at {}",
                        text::line(&proposal.tracked),
                        proposal.parent.short(),
                        Commit(head.sha).short()
                    ),
                    "nothing was pushed; the commit is built and proven anew on what is there",
                )
                .into());
            }
        }
        let bundle = self.with_journal(|journal| journal.blob(&proposal.bundle))?;
        repo.import(&bundle).await?;
        let op = self.op_id();
        let effect = Effect::Push {
            repository: proposal.repository.clone(),
            branch: proposal.branch.clone(),
            commit: proposal.commit.clone(),
            parent: proposal.parent.clone(),
            bundle: proposal.bundle.clone(),
            tracked: direct,
        };
        let write = Write {
            op: op.clone(),
            effect: effect.clone(),
            guard: Guard {
                resource_version: None,
                facts: BTreeMap::from([("parent".to_owned(), json!(proposal.parent))]),
            },
            shown: sheet.will.clone(),
            by_hand: sheet.by_hand.clone(),
        };
        let outcome = self
            .effect(write, async {
                match repo
                    .push(
                        &proposal.branch,
                        proposal.commit.as_str(),
                        expected.as_deref(),
                    )
                    .await
                {
                    Ok(()) => Outcome::Done {
                        resource_version: None,
                        found: false,
                    },
                    Err(error @ (PushError::Rejected { .. } | PushError::NotSent { .. })) => {
                        Outcome::NotDone {
                            why: text::line(&error.to_string()),
                        }
                    }
                    Err(error) => Outcome::Unknown {
                        why: text::line(&error.to_string()),
                    },
                }
            })
            .await?;
        if matches!(outcome, Outcome::Unknown { .. }) {
            self.look_up_push(&op, &effect).await?;
        }
        match self.run().ops.get(&op).and_then(|op| op.outcome.clone()) {
            Some((Outcome::Done { .. }, _)) => {
                if direct {
                    self.landed(
                        &proposal.repository,
                        &proposal.branch,
                        &proposal.commit,
                        "pushed",
                    )?;
                }
                self.look().await?;
                Ok(())
            }
            Some((Outcome::NotDone { why }, _)) => {
                self.look().await?;
                Err(Refusal::new(
                    2,
                    format!("the push did not land: {why}"),
                    "see what is on the branch; the commit is kept",
                )
                .into())
            }
            _ => Err(Trouble::failed(
                "push",
                "it is not known whether it landed",
                "look again when the remote answers",
            )),
        }
    }

    fn moved(&self, proposal: &Proposal, head: &str) -> Result<(), Trouble> {
        self.record(Event::Adopted {
            application: None,
            what: format!(
                "branch {} moved from {} to {}",
                text::line(&proposal.tracked),
                proposal.parent.short(),
                Commit(head.to_owned()).short()
            ),
            who: "somebody who pushed".into(),
        })?;
        // The proposal stands on a parent that is no longer the head.
        let run = self.run();
        self.record(Event::MessageSet {
            message: run.message.clone().unwrap_or_else(|| {
                proposal
                    .message
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            }),
            by: self.setting.operator.clone(),
        })?;
        Ok(())
    }

    pub(in super::super) fn landed(
        &self,
        repository: &str,
        branch: &str,
        revision: &Commit,
        how: &str,
    ) -> Result<(), Trouble> {
        self.record(Event::Landed {
            repository: repository.to_owned(),
            branch: branch.to_owned(),
            revision: revision.clone(),
            how: how.to_owned(),
        })?;
        Ok(())
    }

    /// How a revision came to be the head of the tracked branch: by our pushes, as the remote has them, or without us.
    pub(in super::super) async fn how_landed(
        &self,
        repository: &str,
        branch: &str,
        revision: &Commit,
    ) -> Result<String, Trouble> {
        let run = self.run();
        let ours: Vec<&Commit> = run
            .op_order
            .iter()
            .filter_map(|id| run.ops.get(id))
            .filter(|op| op.done())
            .filter_map(|op| match &op.effect {
                Effect::Push {
                    repository: pushed_to,
                    commit,
                    ..
                } if pushed_to == repository => Some(commit),
                _ => None,
            })
            .collect();
        if ours.contains(&revision) {
            return Ok("pushed; found on the remote afterwards".into());
        }
        let mut held = Vec::new();
        if !ours.is_empty() {
            let repo = self.ports.repos.open(repository).await?;
            for commit in ours {
                if let Landed::Yes { .. } = repo.contains(branch, commit.as_str()).await? {
                    held.push(commit.short());
                }
            }
        }
        Ok(match (held.as_slice(), run.landed.get(repository)) {
            ([], None) => "nothing had to change in Git".into(),
            ([], Some(before)) => format!(
                "somebody moved the branch on from {}; it renders as decided",
                before.revision.short()
            ),
            (held, _) => format!(
                "pushed {}, and somebody moved the branch on since; it renders as decided",
                held.join(", ")
            ),
        })
    }

    /// Finds out from the remote whether a push landed.
    pub(in super::super) async fn look_up_push(
        &self,
        op: &trueup_core::ids::OpId,
        effect: &Effect,
    ) -> Result<(), Trouble> {
        let Effect::Push {
            repository,
            branch,
            commit,
            ..
        } = effect
        else {
            return Ok(());
        };
        let repo = self.ports.repos.open(repository).await?;
        match repo.contains(branch, commit.as_str()).await? {
            Landed::Yes { .. } => self.end(
                op,
                Outcome::Done {
                    resource_version: None,
                    found: true,
                },
            ),
            Landed::No => self.end(
                op,
                Outcome::NotDone {
                    why: "the remote does not have it".into(),
                },
            ),
            Landed::Moved { head } => self.end(
                op,
                Outcome::NotDone {
                    why: format!(
                        "the branch is at {} and does not contain it",
                        Commit(head).short()
                    ),
                },
            ),
        }
    }

    /// Waits until the tracked branch has what was pushed to a branch of our own, by merge or by its content.
    pub(in super::super) async fn await_merge(&self, repository: &str) -> Result<(), Trouble> {
        let limit = self.run().waits.merge_deadline.0;
        self.waiting("the change to be merged", limit, async {
            loop {
                let (_, now) = self.look().await?;
                let run = self.run();
                let all_there = run.decisions.iter().all(|(key, decision)| {
                    now.cells
                        .get(key)
                        .is_none_or(|cell| cell.git_as_decided(decision))
                });
                if all_there && let Some(head) = now.heads.get(repository) {
                    let branch = run
                        .proposal
                        .as_ref()
                        .map_or_else(|| "the tracked branch".to_owned(), |p| p.tracked.clone());
                    return self.landed(repository, &branch, head, "merged");
                }
                self.pause(std::time::Duration::from_secs(2)).await;
            }
        })
        .await
    }
}

type Files = BTreeMap<String, Vec<u8>>;

fn bytes_of(app: &AppSeen) -> Vec<(String, Vec<u8>)> {
    app.files.to_vec()
}

/// Renders an Application from these files as Argo CD's directory tool would; `None` when another tool makes it.
fn render(app: &AppSeen, files: &[(String, Vec<u8>)]) -> Option<plain::Rendering> {
    app.rendering.as_ref()?;
    let directory = app.object.pointer("/spec/source/directory");
    let text = |name: &str| {
        directory
            .and_then(|d| d.get(name))
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let options = plain::DirectoryOptions {
        recurse: directory
            .and_then(|d| d.get("recurse"))
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(false),
        include: text("include"),
        exclude: text("exclude"),
        path: app.path.clone(),
    };
    Some(plain::render(files, &options, &app.destination.namespace))
}

fn sources(apps: &[&AppSeen]) -> (Vec<(String, plain::Rendering)>, Files) {
    let mut all = Files::new();
    let mut renderings = Vec::new();
    for app in apps {
        let files = bytes_of(app);
        if let Some(rendering) = render(app, &files) {
            renderings.push((app.key.to_string(), rendering));
        }
        all.extend(files);
    }
    (renderings, all)
}

/// Renders every reader before and after, and sorts what moves into decided and not.
fn prove(
    readers: &[&AppSeen],
    changed: &[changes::FileChange],
    wishes: &[FieldEdit],
) -> Vec<ProofLine> {
    let mut lines = Vec::new();
    for app in readers {
        let files = bytes_of(app);
        let Some(before) = render(app, &files) else {
            lines.push(ProofLine {
                application: app.key.clone(),
                decided: Vec::new(),
                undecided: Vec::new(),
                errors: vec![
                    "it cannot be rendered here, so what the commit does to it is not known".into(),
                ],
            });
            continue;
        };
        let files: Vec<(String, Vec<u8>)> = files
            .into_iter()
            .map(
                |(path, bytes)| match changed.iter().find(|change| change.path == path) {
                    Some(change) => (path, change.after.clone()),
                    None => (path, bytes),
                },
            )
            .collect();
        let after = render(app, &files).unwrap_or_default();
        let name = app.key.to_string();
        let rendered = proof::Rendered {
            application: &name,
            before: &before,
            after: &after,
        };
        let proven = proof::prove(&[rendered], wishes);
        for proven in proven.applications {
            let mut line = ProofLine {
                application: app.key.clone(),
                decided: Vec::new(),
                undecided: Vec::new(),
                errors: proven.errors.iter().map(|e| text::line(e)).collect(),
            };
            for moved in &proven.lines {
                let change = changed_of(&moved.object, &moved.change);
                if moved.decided {
                    line.decided.push(change)
                } else {
                    line.undecided.push(change)
                }
            }
            line.errors.extend(proven.missing.iter().map(|edit| {
                text::line(&format!(
                    "{:?} {} does not come out as decided",
                    edit.object, edit.path
                ))
            }));
            let moves =
                !line.decided.is_empty() || !line.undecided.is_empty() || !line.errors.is_empty();
            if moves {
                lines.push(line);
            }
        }
    }
    lines
}

fn changed_of(object: &ObjectKey, difference: &proof::Difference) -> Changed {
    let object = ObjectRef {
        group: object.group.clone(),
        version: String::new(),
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
    };
    let (field, from, to) = match difference {
        proof::Difference::Field(change) => {
            (change.path.clone(), change.from.clone(), change.to.clone())
        }
        proof::Difference::Created => (FieldPath::root(), None, Some(json!("(created)"))),
        proof::Difference::Removed => (FieldPath::root(), Some(json!("(there)")), None),
    };
    Changed {
        object,
        field,
        from,
        to,
    }
}

fn cannot(failed: &[changes::CannotEdit]) -> Trouble {
    let first = failed.first().map_or_else(String::new, |f| {
        format!("{:?} {}: {}", f.field.object, f.field.path, f.why)
    });
    Refusal::new(
        6,
        text::line(&format!(
            "{} field(s) cannot be put into Git: {first}",
            failed.len()
        )),
        "edit those files by hand and push, then look again; or choose Git for them",
    )
    .into()
}
