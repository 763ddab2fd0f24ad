//! What can be told of a walk before anything is frozen for it, and does not stop it there.

use std::collections::BTreeSet;

use trueup_core::{decision::CellKey, now::Now, object::identity::AppKey, run::Run, text};

use super::{
    planned::{matches, not_done},
    walk::{Answers, GO_ON},
};
use crate::{
    engine::{Engine, Trouble},
    ports::GitFailure,
};

/// How many cells are named.
const NAMED: usize = 6;

/// Says, each once, what the freeze would be held up by later.
pub(super) async fn say(engine: &Engine, answers: &Answers) {
    let Some((_, now)) = engine.seen() else {
        return;
    };
    let run = engine.run();
    let said = [
        left_over(&run, answers, &now),
        on_another_branch(engine, &run).await,
    ];
    for said in said.into_iter().flatten() {
        answers.warn(&said);
    }
    for refused in refused_actions(engine, &run, answers).await {
        answers.warn(&refused);
    }
}

/// The live actions of the plan that would be refused, as things are.
async fn refused_actions(engine: &Engine, run: &Run, answers: &Answers) -> Vec<String> {
    let mut refused = Vec::new();
    let mut acted = BTreeSet::new();
    for act in &answers.plan.act {
        let Some(command) = not_done(run, act) else {
            continue;
        };
        // What it finds is what the one before it left: as things are, nobody knows.
        if !acted.insert((&act.application, &act.object)) {
            continue;
        }
        if let Err(Trouble::Refused(refusal)) = engine.would_take(&command).await {
            refused.push(text::line(&format!(
                "the walk stops at the live action on {} of {}, once all is frozen: {}",
                act.object, act.application, refusal.reason
            )));
        }
    }
    refused
}

/// The cells that the plan does not decide: the walk would freeze and then stop at them.
fn left_over(run: &Run, answers: &Answers, now: &Now) -> Option<String> {
    let decided = |key| answers.plan.decisions.iter().any(|one| matches(one, key));
    let left = now.undecided(run).map(|(key, _)| key);
    let left: Vec<&CellKey> = left.filter(|key| !decided(key)).collect();
    let cells: Vec<String> = left
        .iter()
        .map(|key| format!("{} {} of {}", key.object, key.field, key.application.name))
        .collect();
    (!cells.is_empty()).then(|| {
        text::line(&format!(
            "the plan leaves {} without a decision, and the walk stops at {} once all is frozen: {}; \
             add what is missing to `decisions` before, and {GO_ON}; or decide on the screen then",
            now.counted(left),
            if cells.len() == 1 { "it" } else { "them" },
            text::some(&cells, NAMED),
        ))
    })
}

/// A branch that no Application follows, where no pull request was asked for: nothing comes of the push by itself.
async fn on_another_branch(engine: &Engine, run: &Run) -> Option<String> {
    let branch = run.commit_branch.as_ref().filter(|_| !run.pull_request)?;
    let (world, _) = engine.seen()?;
    let walking: Vec<&AppKey> = run.walking().map(|(key, _)| key).collect();
    let followed: BTreeSet<(&str, &str)> = walking
        .into_iter()
        .filter_map(|key| world.applications.get(key))
        .map(|app| (app.repo_url.as_str(), app.branch.as_str()))
        .collect();
    if followed.is_empty() || followed.iter().any(|(_, tracked)| tracked == branch) {
        return None;
    }
    let mut there = None;
    for (repository, _) in &followed {
        match engine.branch_on(repository, branch).await {
            Ok(_) => there = Some(true),
            Err(error) if error.failure == GitFailure::NoSuchRevision => {
                there = there.or(Some(false));
            }
            Err(_) => {}
        }
    }
    let tracked: BTreeSet<&str> = followed.iter().map(|(_, tracked)| *tracked).collect();
    let tracked: Vec<&str> = tracked.into_iter().collect();
    let made = match there {
        Some(false) => "; the remote has no such branch yet, and the push makes it",
        Some(true) => "; the remote has such a branch",
        None => "",
    };
    Some(text::line(&format!(
        "commit.branch is {branch}, not {} which the Applications follow: the change waits there, and all stays frozen, until \
         somebody merges it (at most {}){made}; where that is meant, `pullRequest: true` says so",
        tracked.join(" or "),
        run.waits.merge_deadline,
    )))
}
