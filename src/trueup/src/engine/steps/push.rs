//! The push of a proven commit, and the merge of one that went to a branch of its own.

use std::collections::BTreeMap;

use serde_json::json;
use trueup_core::{
    event::{Effect, Event, Foreign, Guard, Outcome, Proposal},
    ids::Commit,
    object::identity::AppKey,
    policy::Policy,
    rules,
    run::AppRun,
    sheet::{Refusal, Sheet},
    text,
};

use super::super::{
    foreign,
    state::{Engine, Write},
    trouble::Trouble,
};
use crate::ports::{Landed, PushError, Repo};

impl Engine {
    /// Pushes what a sheet showed, after asking once more whether it still may.
    pub(in super::super) async fn push(&self, sheet: &Sheet) -> Result<(), Trouble> {
        let run = self.run();
        let Some(proposal) = run.proposal.clone() else {
            return Err(Refusal::new(6, "there is no proven commit to push", "look again").into());
        };
        let direct = proposal.branch == proposal.tracked;
        if direct {
            let moved = proposal
                .proof
                .iter()
                .filter(|line| !line.decided.is_empty());
            for key in moved.map(|line| &line.application) {
                let held = run.apps.get(key).is_some_and(AppRun::is_held);
                if !held && Policy::of(&self.application(key).await?).is_on() {
                    return Err(rules::loosely(&run, key).into());
                }
            }
            for (key, app) in run.walking() {
                if app.is_held() {
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
                self.settle_pushes(&proposal.repository, &proposal.tracked)
                    .await?;
                let ours = head.sha == proposal.commit.0 && self.run().pushed(&proposal.commit);
                if ours {
                    let how = "pushed by a process that died meanwhile";
                    self.landed(
                        &proposal.repository,
                        &proposal.tracked,
                        &proposal.commit,
                        how,
                        Vec::new(),
                        Vec::new(),
                    )?;
                    self.look().await?;
                    return Ok(());
                }
                let by = self.moved(&*repo, &proposal, &head.sha).await?;
                self.look().await?;
                return Err(Refusal::new(
                    2,
                    text::line(&format!(
                        "nothing was pushed: branch {} moved meanwhile, from {} to {} ({by})",
                        proposal.tracked,
                        proposal.parent.short(),
                        Commit(head.sha).short()
                    )),
                    "the commit is built and proven anew on what is there",
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
                    // A push of this very commit by a process that died may land while ours is under way: then ours is
                    // rejected, and the commit is there. Which it was is looked up.
                    Err(error @ PushError::Rejected { .. }) => {
                        let there = repo
                            .contains(&proposal.branch, proposal.commit.as_str())
                            .await;
                        let why = text::line(&error.to_string());
                        match there {
                            Ok(Landed::Yes { .. }) => Outcome::Done {
                                resource_version: None,
                                found: true,
                            },
                            Ok(_) => Outcome::NotDone { why },
                            Err(_) => Outcome::Unknown { why },
                        }
                    }
                    Err(error @ PushError::NotSent { .. }) => Outcome::NotDone {
                        why: text::line(&error.to_string()),
                    },
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
                        Vec::new(),
                        Vec::new(),
                    )?;
                }
                self.look().await?;
                Ok(())
            }
            Some((Outcome::NotDone { why }, _)) => {
                let there = self.on_branch(&*repo, &proposal).await;
                self.look().await?;
                Err(Refusal::new(
                    2,
                    format!("the push did not land: {why}; nothing was pushed{there}"),
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

    /// Where the branch is that did not take a push, and whose commits are there.
    async fn on_branch(&self, repo: &dyn Repo, proposal: &Proposal) -> String {
        let Ok(head) = repo.head(&proposal.branch).await else {
            return String::new();
        };
        let is = Commit(head.sha);
        let by = match is == proposal.parent {
            true => None,
            false => foreign::pushed_since(repo, proposal.parent.as_str(), is.as_str()).await,
        };
        let by = by.map_or_else(String::new, |by| format!(" ({by})"));
        text::line(&format!(
            ", and branch {} is at {}{by}",
            proposal.branch,
            is.short()
        ))
    }

    /// Records that somebody moved the branch; who did, as far as the repository tells.
    async fn moved(
        &self,
        repo: &dyn Repo,
        proposal: &Proposal,
        head: &str,
    ) -> Result<String, Trouble> {
        let by = foreign::pushed_since(repo, proposal.parent.as_str(), head).await;
        let by = by.unwrap_or_else(|| "somebody who pushed".into());
        self.record(Event::Adopted {
            application: None,
            what: format!(
                "branch {} moved from {} to {}",
                text::line(&proposal.tracked),
                proposal.parent.short(),
                Commit(head.to_owned()).short()
            ),
            who: by.clone(),
            cell: None,
            sides: None,
        })?;
        self.record(Event::ProposalVoid {
            why: format!(
                "{} is not the head of {} any more; nothing was pushed",
                proposal.parent.short(),
                text::line(&proposal.tracked)
            ),
        })?;
        Ok(by)
    }

    pub(in super::super) fn landed(
        &self,
        repository: &str,
        branch: &str,
        revision: &Commit,
        how: &str,
        others: Vec<Foreign>,
        same: Vec<AppKey>,
    ) -> Result<(), Trouble> {
        self.record(Event::Landed {
            repository: repository.to_owned(),
            branch: branch.to_owned(),
            revision: revision.clone(),
            how: how.to_owned(),
            others,
            same,
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
        self.settle_pushes(repository, branch).await?;
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

    /// The push of a process that died may land after it was looked for: asks the remote again for those that it did not
    /// have.
    async fn settle_pushes(&self, repository: &str, branch: &str) -> Result<(), Trouble> {
        let run = self.run();
        let missing = run.ops.iter().filter_map(|(id, op)| match &op.effect {
            Effect::Push {
                repository: pushed_to,
                branch: onto,
                commit,
                ..
            } if pushed_to == repository && onto == branch && !op.done() => Some((id, commit)),
            _ => None,
        });
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        let repo = self.ports.repos.open(repository).await?;
        for (id, commit) in missing {
            if let Landed::Yes { .. } = repo.contains(branch, commit.as_str()).await? {
                self.end(
                    id,
                    Outcome::Done {
                        resource_version: None,
                        found: true,
                    },
                )?;
            }
        }
        Ok(())
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
                    let others = self.others(repository, head, None).await;
                    return self.landed(repository, &branch, head, "merged", others, Vec::new());
                }
                self.pause(std::time::Duration::from_secs(2)).await;
            }
        })
        .await
    }
}
