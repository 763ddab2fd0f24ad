//! What others did to decided cells, and which decisions made since undo it.

use super::{Found, Run};
use crate::{
    decision::{CellKey, Decision, Sides, Take},
    event::Proposal,
    object::identity::AppKey,
    text,
};
use std::collections::BTreeMap;

/// So many cells of one author are named.
const NAMED: usize = 3;

/// What somebody did to a decided cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Touched {
    pub what: String,
    pub who: String,
    /// What they did, where `what` says besides how it stood then: that is not said of now.
    done: Option<String>,
    /// What stood in the cell then; none in a journal of before it was kept.
    set: Option<Sides>,
    /// Git was not as decided any more.
    git: bool,
    /// The cluster was not as decided any more.
    live: bool,
    /// The rule was gone by which an Application ignores the field.
    rule: bool,
}

impl Touched {
    /// `decided`: what stood until then.
    pub fn new(what: &str, who: &str, set: Option<Sides>, decided: Option<&Decision>) -> Self {
        let moved = |stands: fn(&Decision, &Sides) -> bool| match (decided, &set) {
            (Some(decided), Some(set)) => !stands(decided, set),
            _ => true,
        };
        Self {
            what: what.to_owned(),
            who: who.to_owned(),
            done: None,
            git: moved(Decision::git_stands),
            live: moved(Decision::live_stands),
            rule: decided.is_some_and(|decided| decided.take == Take::Ignore),
            set,
        }
    }

    /// The same for a cell that nobody has decided on yet. `found`: what stood when it was looked at first.
    pub fn undecided(
        cell: &CellKey,
        what: &str,
        who: &str,
        set: Option<Sides>,
        found: &Found,
    ) -> Self {
        let moved = |side: fn(&Sides) -> &Option<serde_json::Value>| {
            let set = set.as_ref();
            set.is_none_or(|set| side(set) != side(&found.sides))
        };
        let done = set.as_ref().filter(|set| set.live != found.sides.live);
        let done = done.map(|set| {
            let is = set.live.as_ref();
            text::line(&format!(
                "{} {}: live went from {}, as found at {}, to {}",
                cell.object,
                cell.field,
                found.value(),
                found.at.strftime("%-d %b %H:%M UTC"),
                is.map_or_else(|| "(absent)".to_owned(), text::value)
            ))
        });
        Self {
            what: what.to_owned(),
            who: who.to_owned(),
            done,
            git: moved(|sides| &sides.git),
            live: moved(|sides| &sides.live),
            rule: false,
            set,
        }
    }

    /// What stood in the cell then.
    pub fn set(&self) -> Option<&Sides> {
        self.set.as_ref()
    }

    /// Whether a decision that was made on it puts back into Git what they took away.
    fn undone_in_git(&self, by: &Decision) -> bool {
        let stood = self.set.as_ref().is_none_or(|set| set.git == by.seen.git);
        self.rule && by.take == Take::Ignore || self.git && stood && by.changes_git()
    }

    /// The same for the cluster.
    fn undone_live(&self, by: &Decision) -> bool {
        let stood = self.set.as_ref().is_none_or(|set| set.live == by.seen.live);
        self.live && stood && by.changes_live()
    }

    /// Whether a decision that was made on it undoes any of it. Choosing what they set undoes nothing.
    pub fn undone(&self, by: &Decision) -> bool {
        self.undone_in_git(by) || self.undone_live(by)
    }

    /// Who did it: `eve <e@x> did with 03515d0 “Revert …”`.
    pub fn did(&self) -> String {
        match self.who.contains("> with ") {
            true => self.who.replace("> with ", "> did with "),
            false => format!("{} did", self.who),
        }
    }

    /// What was done, without the names of the cell.
    pub fn moved(&self, cell: &CellKey) -> &str {
        let names = text::line(&format!("{} {}: ", cell.object, cell.field));
        self.done().strip_prefix(&names).unwrap_or(self.done())
    }

    fn done(&self) -> &str {
        self.done.as_deref().unwrap_or(&self.what)
    }
}

impl Run {
    /// The cell is decided anew, or not any more: what was done to it is known beside it, as long as it stands.
    pub(super) fn overrule(&mut self, cell: &CellKey) {
        if let Some(touched) = self.shaken.remove(cell) {
            self.overruled.insert(cell.clone(), touched);
        }
    }

    /// The decision is taken back: what was found and overwritten before it was made is lost as it was then, and nobody has to tell
    /// of that again.
    pub(super) fn overrule_no_more(&mut self, decision: &Decision) {
        let cell = &decision.cell;
        let Some(touched) = self.overruled.get(cell) else {
            return;
        };
        let lost = |set: &Sides| self.lost(cell, set);
        let Some(found) = touched.set().and_then(lost) else {
            return;
        };
        let Touched { what, who, set, .. } = touched;
        let touched = Touched::undecided(cell, what, who, set.clone(), found);
        self.overruled.remove(cell);
        self.shaken.insert(cell.clone(), touched);
    }

    /// Whether it is known that others brought a cell to where it is, in whatever words it was told.
    pub fn knows(&self, cell: &CellKey, what: &str, now: Option<&Sides>) -> bool {
        let Some(known) = self.shaken.get(cell) else {
            return false;
        };
        // That the rule is gone by which it is ignored does not show in the values.
        let values = |set: &Sides| !known.rule && now.is_some_and(|now| *now == *set);
        known.what == what || known.set().is_some_and(values)
    }

    /// What somebody did to a cell that `decision` would undo, whether that is made already or is being chosen.
    pub fn undone_by(&self, decision: &Decision) -> Option<&Touched> {
        let cell = &decision.cell;
        let touched = self.shaken.get(cell).or(self.overruled.get(cell))?;
        touched.undone(decision).then_some(touched)
    }

    /// What a push of this commit undoes of what others did, a line for each author.
    pub fn undone_by_push(&self, proposal: &Proposal) -> Vec<String> {
        self.undoes(|touched, decision| {
            !decision.pushed
                && proposal.cells.contains(&decision.cell)
                // What they did to the cluster is undone by what follows from the push.
                && touched.undone(decision)
        })
    }

    /// What a sync of this Application undoes of what others did, a line for each author.
    pub fn undone_by_sync(&self, key: &AppKey) -> Vec<String> {
        self.undoes(|touched, decision| {
            !decision.applied
                && decision.cell.application == *key
                && decision.changes_live()
                && touched.undone(decision)
        })
    }

    fn undoes(&self, counts: impl Fn(&Touched, &Decision) -> bool) -> Vec<String> {
        let mut by_author: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (cell, touched) in &self.overruled {
            let decision = self.decisions.get(cell);
            if decision.is_some_and(|decision| counts(touched, decision)) {
                by_author
                    .entry(touched.did())
                    .or_default()
                    .push(touched.done());
            }
        }
        let line = |(did, what): (String, Vec<&str>)| {
            let mut said = what[..what.len().min(NAMED)].join("; ");
            if let Some(more) = what.len().checked_sub(NAMED).filter(|more| *more > 0) {
                said.push_str(&format!("; and {more} more"));
            }
            text::line(&format!("undoes what {did}: {said}"))
        };
        by_author.into_iter().map(line).collect()
    }
}
