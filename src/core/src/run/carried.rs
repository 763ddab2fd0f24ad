//! What was decided and carried out, before another choice took its place: it stands again once that choice is taken back.

use super::{Run, Touched};
use crate::decision::{CellKey, Decision};
use std::collections::BTreeSet;

/// A decision that is in Git or in the cluster, with what was known of its field when another one took its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    decision: Decision,
    /// The repositories it was pushed to and not seen in Git yet.
    pushed_to: BTreeSet<String>,
    shaken: Option<Touched>,
    overruled: Option<Touched>,
}

impl Run {
    /// Whether a decision is in Git or in the cluster by now: it is decided anew then, and not forgotten.
    pub fn carried_out(&self, cell: &CellKey) -> bool {
        let Some(decision) = self.decisions.get(cell) else {
            return false;
        };
        let pushed = |cells: &BTreeSet<CellKey>| cells.contains(cell);
        decision.pushed
            || decision.applied
            || self
                .pushed
                .values()
                .any(|pushed_to| pushed(&pushed_to.cells))
    }

    /// What stands decided again once the choice for this field is taken back.
    pub fn before(&self, cell: &CellKey) -> Option<&Decision> {
        self.carried.get(cell).map(|carried| &carried.decision)
    }

    /// Keeps what stands decided of a field, where it is carried out; whether it is.
    pub(super) fn keep_carried(&mut self, cell: &CellKey) -> bool {
        let Some(decision) = self.decisions.get(cell).filter(|_| self.carried_out(cell)) else {
            return false;
        };
        let pushed = self.pushed.iter();
        let pushed = pushed.filter(|(_, pushed)| pushed.cells.contains(cell));
        let carried = Carried {
            decision: decision.clone(),
            pushed_to: pushed.map(|(repository, _)| repository.clone()).collect(),
            shaken: self.shaken.get(cell).cloned(),
            overruled: self.overruled.get(cell).cloned(),
        };
        self.carried.insert(cell.clone(), carried);
        true
    }

    /// In Git, or in the cluster, it is still, and what others did to it is not undone.
    pub(super) fn stands_again(&mut self, cell: &CellKey, before: Carried) {
        let Carried {
            decision,
            pushed_to,
            shaken,
            overruled,
        } = before;
        for repository in &pushed_to {
            if let Some(pushed) = self.pushed.get_mut(repository) {
                pushed.cells.insert(cell.clone());
            }
        }
        self.decisions.insert(cell.clone(), decision);
        // What they did since is known too.
        if let Some(shaken) = shaken {
            self.shaken.entry(cell.clone()).or_insert(shaken);
        }
        match overruled {
            Some(overruled) => self.overruled.insert(cell.clone(), overruled),
            None => self.overruled.remove(cell),
        };
    }

    /// What was pushed to a repository was seen in Git.
    pub(super) fn carried_into_git(&mut self, repository: &str) {
        for carried in self.carried.values_mut() {
            carried.decision.pushed |= carried.pushed_to.remove(repository);
        }
    }
}
