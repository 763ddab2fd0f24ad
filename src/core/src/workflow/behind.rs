//! Applications that the walk goes on without: left frozen on purpose, parked or put off as they are.

use std::collections::BTreeMap;

use super::{Stage, walk};
use crate::{
    now::Now,
    object::identity::AppKey,
    run::{Parked, Run},
};

/// One Application that was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The first stage that is not done for it.
    pub stage: Stage,
    /// Parked; else a decision leaves it frozen.
    pub parked: bool,
}

/// Where each Application stands that the walk was not waiting for, also once the incident is closed.
pub fn left_behind(run: &Run, now: &Now) -> BTreeMap<AppKey, Behind> {
    let mut behind = BTreeMap::new();
    for key in &run.scope {
        let Some(app) = run.apps.get(key) else {
            continue;
        };
        let parked = app.parked.is_some();
        let kept = app.freeze.is_set() && run.stays_frozen(key).is_some();
        if !parked && !kept {
            continue;
        }
        // As if it were the only one, and taken up again.
        let mut alone = run.clone();
        alone.closed = None;
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
