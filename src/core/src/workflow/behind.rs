//! Applications that the walk goes on without: left frozen on purpose, parked or put off as they are.

use std::collections::BTreeMap;

use super::{Stage, walk};
use crate::{
    decision::Decision,
    now::Now,
    object::identity::AppKey,
    run::{AppRun, Freeze, Parked, Run, Sync},
};

/// One Application that was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The first stage that is not done for it.
    pub stage: Stage,
    /// Parked; else a decision leaves it frozen.
    pub parked: bool,
}

/// Where each Application stands that the walk was not waiting for. Once the incident is closed that is where it stood then:
/// what becomes of the cluster afterwards is not the incident's.
pub fn left_behind(run: &Run, now: &Now) -> BTreeMap<AppKey, Behind> {
    let mut behind = BTreeMap::new();
    for key in &run.scope {
        let Some(app) = run.apps.get(key) else {
            continue;
        };
        let parked = app.parked.is_some();
        let frozen = match run.closed {
            Some(_) => run.closed_frozen.contains(key),
            None => app.freeze.is_set(),
        };
        let kept = frozen && run.stays_frozen(key).is_some();
        if !parked && !kept {
            continue;
        }
        if run.closed.is_some() {
            let stage = stage_at_close(run, key, app, kept);
            behind.insert(key.clone(), Behind { stage, parked });
            continue;
        }
        // As if it were the only one, and taken up again.
        let mut alone = run.clone();
        alone.scope = vec![key.clone()];
        for (other, app) in &mut alone.apps {
            app.parked = (other != key).then(|| Parked {
                owner: String::new(),
                until: String::new(),
                reason: String::new(),
            });
        }
        let mut stage = walk(&alone, now).stage();
        if kept {
            stage = stage.min(Stage::Sync);
        }
        behind.insert(key.clone(), Behind { stage, parked });
    }
    behind
}

/// The first stage that was not done for an Application that was left behind, as the journal tells.
fn stage_at_close(run: &Run, key: &AppKey, app: &AppRun, kept: bool) -> Stage {
    let frozen = run.closed_frozen.contains(key) || app.freeze == Freeze::Thawed;
    if !frozen && run.unfrozen.is_none() {
        return Stage::Freeze;
    }
    if run.snapshots < 2 || run.unsnapped(key) {
        return Stage::Snapshot;
    }
    if kept {
        return Stage::Sync;
    }
    if run.left_of(key) {
        return Stage::Decide;
    }
    let mut decisions = run.decisions.values();
    let waits = |decision: &Decision| {
        decision.cell.application == *key && decision.changes_git() && !decision.pushed
    };
    if decisions.any(waits) {
        return Stage::Commit;
    }
    match app.sync {
        Sync::Verified { .. } => Stage::Thaw,
        _ => Stage::Sync,
    }
}
