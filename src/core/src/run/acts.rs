//! Live actions, and those that took another one back.

use super::*;
use crate::plan::Action;
use serde_json::json;

/// A live action on a field that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Acted<'a> {
    pub op: &'a OpId,
    pub cell: &'a CellKey,
    /// What stood there, and what it set; none where the field is absent.
    pub from: Option<Value>,
    pub to: Option<Value>,
}

impl Acted<'_> {
    /// Whether it puts back what stood before `other`, which stands.
    fn takes_back(&self, other: &Self) -> bool {
        self.cell.is_same(other.cell) && self.to == other.from && self.from == other.to
    }
}

/// What an action sets its field to; none where it leaves a mark that is no setting.
pub(crate) fn sets(action: &Action) -> Option<Option<Value>> {
    Some(match action {
        Action::Patch { value, .. } => Some(value.clone()),
        Action::Remove { .. } => None,
        Action::Scale { replicas } => Some(json!(replicas)),
        Action::Suspend {} => Some(json!(true)),
        Action::Restart {} => return None,
    })
}

impl Run {
    /// The live actions that stand, in their order, and of those that do not by which one each was taken back.
    pub fn acts(&self) -> (Vec<Acted<'_>>, BTreeMap<&OpId, &OpId>) {
        let mut standing: Vec<Acted<'_>> = Vec::new();
        let mut taken_back = BTreeMap::new();
        for id in &self.op_order {
            let Some(done) = self.ops.get(id).filter(|op| op.done()) else {
                continue;
            };
            let Effect::Act {
                action,
                cell: Some(cell),
                ..
            } = &done.effect
            else {
                continue;
            };
            let Some(to) = sets(action) else { continue };
            // The guard says what stood there; a field that was not there has no value in it.
            let from = done.guard.facts.get(&cell.field.to_string());
            let act = Acted {
                op: id,
                cell,
                from: from.filter(|value| !value.is_null()).cloned(),
                to,
            };
            let last = standing.iter().rposition(|other| other.cell.is_same(cell));
            match last.filter(|at| act.takes_back(&standing[*at])) {
                Some(at) => {
                    taken_back.insert(standing.remove(at).op, id);
                }
                None => standing.push(act),
            }
        }
        (standing, taken_back)
    }

    /// The live action that took this one back: who did it, and when it was done.
    pub fn act_undone(&self, op: &OpId) -> Option<(&Op, Timestamp)> {
        let by = self.ops.get(self.acts().1.get(op)?)?;
        let (_, at) = by.outcome.as_ref()?;
        Some((by, *at))
    }

    /// What our last live action on a field set it to, and when that was asked for.
    fn last_set(&self, cell: &CellKey) -> Option<(Timestamp, Option<Value>)> {
        let mut done = self.op_order.iter().rev().filter_map(|id| self.ops.get(id));
        done.find_map(|op| match &op.effect {
            Effect::Act {
                action,
                cell: Some(set),
                ..
            } if op.done() && set.is_same(cell) => Some((op.intended_at, sets(action)?)),
            _ => None,
        })
    }

    /// Whether a field holds what our last live action set it to.
    pub fn acted_last_to(&self, cell: &CellKey, live: Option<&Value>) -> bool {
        self.last_set(cell)
            .is_some_and(|(_, set)| set.as_ref() == live)
    }

    /// The same of an action that is newer than what is decided of the field: no act of others.
    pub fn acted_since(&self, decision: &Decision, live: Option<&Value>) -> bool {
        let last = self.last_set(&decision.cell);
        last.is_some_and(|(at, set)| at >= decision.at && set.as_ref() == live)
    }

    /// The live action that this one took back.
    pub fn act_undoes(&self, op: &OpId) -> Option<&Op> {
        let (_, taken_back) = self.acts();
        let (undone, _) = taken_back.into_iter().find(|(_, by)| *by == op)?;
        self.ops.get(undone)
    }
}
