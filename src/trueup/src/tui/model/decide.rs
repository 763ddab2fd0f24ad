//! Where the operator is among the divergences, and which number stands for which value.

use super::{Model, facts::Moved};
use std::collections::{BTreeMap, BTreeSet};
use trueup_core::{
    decision::{CellKey, Decision, Kept, LiveOf, Sides, Take, Wanted, each_once},
    now::{CellNow, Now, QuestionNow},
    object::identity::AppKey,
};

/// One row of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecideRow {
    /// Index into `derived.groups`.
    Group(usize),
    /// Index into `now.questions`.
    Question(usize),
}

/// One column of the table: where a value may be taken from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Git,
    LastSync,
    Copy {
        application: AppKey,
        namespace: Option<String>,
    },
    /// What a snapshot holds of the cell under the cursor, where live went on since: the one that found it, where that is lost.
    Snapshot,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecideState {
    pub folded: BTreeSet<String>,
    /// A choice is for every copy, not for the one under the cursor alone.
    pub every_copy: bool,
    /// A choice is for all fields that were written together.
    pub together: bool,
    /// The group that the two switches were set for: they do not go along to the next.
    pub switched_for: Option<String>,
    pub show_noise: bool,
    /// The copy under the cursor, by its place in the question's cells.
    pub copy: usize,
    /// Numbers stay with their side once shown; new ones come last.
    pub columns: BTreeMap<String, Vec<Side>>,
    /// What the cells held when the operator began to choose.
    pub choosing: Option<Seen>,
    /// The reason given last for each group.
    pub reasons: BTreeMap<String, Given>,
}

/// What the cells of a group held.
pub type Seen = BTreeMap<CellKey, Sides>;

/// A reason, for this choice of these values.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    pub take: Take,
    pub reason: String,
    pub seen: Seen,
}

/// Questions with the same id stand together.
pub fn group_id(question: &QuestionNow) -> String {
    match (&question.group, question.cells.first()) {
        (Some(group), _) => format!("{}/{group}", question.kind),
        (None, Some(cell)) => format!("{}|{}", cell.application, cell.object),
        (None, None) => format!("{}/{}", question.kind, question.name),
    }
}

/// What a snapshot holds of a cell that is not so any more.
pub fn kept<'a>(moved: &'a [Moved], cell: &CellKey) -> Option<&'a Moved> {
    moved.iter().find(|moved| moved.cell == *cell)
}

fn side_of(cell: &CellKey) -> Side {
    Side::Copy {
        application: cell.application.clone(),
        namespace: cell.object.namespace.clone(),
    }
}

impl DecideState {
    /// Gives a number to every side that has none yet.
    pub fn learn_columns(&mut self, now: &Now, moved: &[Moved]) {
        for question in &now.questions {
            let columns = self
                .columns
                .entry(group_id(question))
                .or_insert_with(|| vec![Side::Git, Side::LastSync]);
            for cell in &question.cells {
                let side = side_of(cell);
                if !columns.contains(&side) {
                    columns.push(side);
                }
            }
            let went_on = question
                .cells
                .iter()
                .any(|cell| kept(moved, cell).is_some());
            if went_on && !columns.contains(&Side::Snapshot) {
                columns.push(Side::Snapshot);
            }
        }
    }
}

impl Side {
    /// As it is called on the screen: the namespace when that tells the copies apart, else the Application.
    pub fn name(&self) -> String {
        match self {
            Self::Git => "Git".into(),
            Self::LastSync => "last sync".into(),
            Self::Copy {
                application,
                namespace,
            } => namespace
                .clone()
                .unwrap_or_else(|| application.name.clone()),
            Self::Snapshot => "snapshot".into(),
        }
    }

    /// What choosing it means for a cell; none where that depends on what is known of the cell ([`Model::take_of`]).
    pub fn take(&self, cell: &CellKey, alone: bool) -> Option<Take> {
        Some(match self {
            Self::Snapshot => return None,
            Self::Git => Take::Git,
            Self::LastSync => Take::LastSynced,
            Self::Copy { .. } if alone => Take::Live(LiveOf::default()),
            Self::Copy {
                application,
                namespace,
            } => Take::Live(if *application == cell.application || namespace.is_some() {
                LiveOf {
                    application: None,
                    namespace: namespace.clone(),
                }
            } else {
                LiveOf {
                    application: Some(application.to_string()),
                    namespace: None,
                }
            }),
        })
    }
}

impl Model {
    /// The question under the cursor; for a group its first undecided one, else its first.
    pub fn question_here(&self) -> Option<&QuestionNow> {
        let at = self.lists[trueup_core::workflow::Stage::Decide as usize].cursor;
        let row = self
            .derived
            .rows
            .get(at.min(self.derived.rows.len().saturating_sub(1)))?;
        let index = match row {
            DecideRow::Question(q) => *q,
            DecideRow::Group(g) => {
                let questions = &self.derived.groups.get(*g)?.questions;
                *questions
                    .iter()
                    .find(|q| self.derived.open_cells.get(**q).is_some_and(|n| *n > 0))
                    .or(questions.first())?
            }
        };
        self.world.now.questions.get(index)
    }

    /// The cell under the cursor.
    pub fn cell_here(&self) -> Option<CellKey> {
        let question = self.question_here()?;
        let at = self.decide.copy.min(question.cells.len().saturating_sub(1));
        question.cells.get(at).cloned()
    }

    /// The sides that can be chosen for the question under the cursor, with their numbers.
    pub fn sides_here(&self) -> Vec<Side> {
        self.question_here()
            .and_then(|q| self.decide.columns.get(&group_id(q)))
            .cloned()
            .unwrap_or_default()
    }

    /// What choosing a side means for a cell; an error says why it cannot be chosen.
    pub fn take_of(&self, side: &Side, cell: &CellKey, alone: bool) -> Result<Take, String> {
        if let Some(take) = side.take(cell, alone) {
            return Ok(take);
        }
        let side = self.snapshot_side(cell, alone)?;
        match self.kept_of(cell, &side) {
            Some(value) if trueup_core::decision::is_secret(&value) => {
                Err("a secret value is not kept (rule 7): choose a side that holds it".into())
            }
            // The value is that of this field alone; what it is for the others is asked of the snapshot for each.
            Some(_) => Ok(Take::Snapshot(side)),
            None if kept(&self.derived.moved, cell).is_some() => {
                Err("the snapshot has no such field: d removes what Git does not have".into())
            }
            None => Err("the snapshot has nothing of this field: choose a side that has".into()),
        }
    }

    /// What a snapshot has of a cell.
    fn kept_of(&self, cell: &CellKey, side: &Kept) -> Option<serde_json::Value> {
        match self.run().of_cell(cell, &Take::Snapshot(side.clone())) {
            Take::Snapshot(kept) => kept.value,
            _ => None,
        }
    }

    /// Which snapshot, and which copy of it, the column stands for while the cursor is on a cell: the one that has what moved of that
    /// copy since, and of the fields that were written together with it all that it can.
    fn snapshot_side(&self, cell: &CellKey, alone: bool) -> Result<Kept, String> {
        let question = self.question_here();
        let together = question.into_iter().flat_map(|q| self.together(q));
        let pair: Vec<&CellKey> = together
            .flat_map(|q| &q.cells)
            .filter(|other| side_of(other) == side_of(cell))
            .collect();
        let last = self.run().snapshot_at;
        let moved = std::iter::once(cell)
            .chain(pair.iter().copied())
            .filter_map(|cell| kept(&self.derived.moved, cell)?.at.or(last));
        let namespace = cell.object.namespace.clone().filter(|_| !alone);
        let application = (!alone && namespace.is_none()).then(|| cell.application.to_string());
        let sides: Vec<Kept> = moved
            .chain(last)
            .map(|at| Kept {
                application: application.clone(),
                namespace: namespace.clone(),
                at,
                value: None,
            })
            .collect();
        // What is gone is what the one that found it has: a later one may have what took its place.
        let has = |cell: &CellKey, side: &Kept| match kept(&self.derived.moved, cell) {
            Some(moved) => self.kept_of(cell, side) == moved.kept,
            None => self.kept_of(cell, side).is_some(),
        };
        let has_all = |side: &&Kept| pair.iter().all(|cell| has(cell, side));
        let has_own = |side: &&Kept| has(cell, side);
        let side = sides
            .iter()
            .find(has_all)
            .or_else(|| sides.iter().find(has_own));
        let side = side.or(sides.first());
        side.cloned().ok_or_else(|| "no snapshot was taken".into())
    }

    /// When the snapshot was taken that the column stands for.
    pub fn snapshot_column_at(&self) -> Option<jiff::Timestamp> {
        let side = self.snapshot_side(&self.cell_here()?, false).ok()?;
        Some(side.at)
    }

    /// Whether the snapshot has of a question what is live in the copy under the cursor.
    pub fn as_kept(&self, question: &QuestionNow) -> bool {
        let here = self.cell_here().map(|here| side_of(&here));
        let own = here.and_then(|here| self.cell_of(question, &here));
        let value = self.value_of(question, &Side::Snapshot, None);
        own.is_some_and(|(_, cell)| value == Some(cell.sides.live.clone()))
    }

    /// Whether no field that a choice may be for has another copy: what is live is then the cell's own.
    pub fn alone(&self, question: &QuestionNow) -> bool {
        let mut all = self.together(question).into_iter();
        all.all(|question| question.cells.len() == 1)
    }

    /// The questions that were changed together with this one, itself first.
    pub fn together<'a>(&'a self, question: &'a QuestionNow) -> Vec<&'a QuestionNow> {
        let mut all = vec![question];
        let others = question.decide_with.iter();
        let others =
            others.filter_map(|id| self.now().questions.get(*self.derived.places.get(id)?));
        for other in others {
            if all.iter().all(|known| known.id != other.id) {
                all.push(other);
            }
        }
        all
    }

    /// Whoever comes to the board stands on a field, not on the row of the first object.
    pub fn onto_the_first_field(&mut self) {
        let list = &mut self.lists[trueup_core::workflow::Stage::Decide as usize];
        let rows = &self.derived.rows;
        if let (0, Some(DecideRow::Group(_)), Some(DecideRow::Question(_))) =
            (list.cursor, rows.first(), rows.get(1))
        {
            list.cursor = 1;
        }
    }

    /// Switches that were set for one object are off on the next, and the one for fields written together where there are none.
    pub fn switches_stay_behind(&mut self) {
        // A tick that covers nothing would cover something unasked, once there is something again.
        if let Some(question) = self.question_here().filter(|_| self.decide.together)
            && self.together(question).len() < 2
        {
            self.decide.together = false;
        }
        if !(self.decide.every_copy || self.decide.together) {
            self.decide.switched_for = None;
            return;
        }
        let here = self.question_here().map(group_id);
        if self.decide.switched_for.is_none() {
            self.decide.switched_for = here;
        } else if self.decide.switched_for != here {
            self.decide.every_copy = false;
            self.decide.together = false;
            self.decide.switched_for = None;
        }
    }

    /// The cells that a choice would be for, as the switches stand.
    pub fn cells_for_choice(&self, every_copy: bool, together: bool) -> Vec<CellKey> {
        let (Some(question), Some(here)) = (self.question_here(), self.cell_here()) else {
            return Vec::new();
        };
        let questions = if together {
            self.together(question)
        } else {
            vec![question]
        };
        let cells = questions.into_iter().flat_map(|q| &q.cells);
        each_once(cells.filter(|cell| every_copy || side_of(cell) == side_of(&here)))
    }

    /// The value that a side holds for a question; `None` when there is no such cell.
    pub fn value_of(
        &self,
        question: &QuestionNow,
        side: &Side,
        cell: Option<&CellKey>,
    ) -> Option<Option<serde_json::Value>> {
        let first = || {
            cell.or(question.cells.first())
                .and_then(|key| self.world.now.cells.get(key))
        };
        match side {
            Side::Git => first().map(|cell| cell.sides.git.clone()),
            Side::LastSync => first().map(|cell| cell.sides.last_synced.clone()),
            Side::Snapshot => {
                // What was written together is taken from the same copy, each field with its own value.
                let here = self.cell_here()?;
                let own = question.cells.iter().find(|c| side_of(c) == side_of(&here));
                let gone = own.and_then(|cell| kept(&self.derived.moved, cell));
                let side = self.snapshot_side(&here, false).ok()?;
                match self.kept_of(question.cells.first()?, &side) {
                    None if gone.is_some_and(|moved| moved.kept.is_none()) => Some(None),
                    value => value.map(Some),
                }
            }
            Side::Copy { .. } => question
                .cells
                .iter()
                .find(|cell| side_of(cell) == *side)
                .and_then(|key| self.world.now.cells.get(key))
                .map(|cell| cell.sides.live.clone()),
        }
    }

    /// The cell that a side of a question is the live value of.
    pub fn cell_of<'a>(
        &'a self,
        question: &'a QuestionNow,
        side: &Side,
    ) -> Option<(&'a CellKey, &'a CellNow)> {
        question
            .cells
            .iter()
            .find(|cell| side_of(cell) == *side)
            .and_then(|key| self.world.now.cells.get(key).map(|cell| (key, cell)))
    }

    /// Puts the cursor on a cell, unfolding what hides it.
    pub fn go_to_cell(&mut self, cell: &CellKey) {
        let now = self.world.now.clone();
        let Some(index) = now.questions.iter().position(|q| q.cells.contains(cell)) else {
            return;
        };
        let question = &now.questions[index];
        let decide = trueup_core::workflow::Stage::Decide as usize;
        if self.decide.folded.remove(&group_id(question)) || !self.lists[decide].filter.is_empty() {
            self.lists[decide].filter.clear();
            self.derive_rows();
        }
        if let Some(at) = self
            .derived
            .rows
            .iter()
            .position(|row| *row == DecideRow::Question(index))
        {
            self.lists[decide].cursor = at;
        }
        self.decide.copy = question
            .cells
            .iter()
            .position(|c| c == cell)
            .unwrap_or_default();
    }
}

/// What was decided: the value, and where it was taken from.
pub fn decided_words(decision: &Decision) -> String {
    let take = take_words(&decision.take);
    if decision.cell.field.is_root() || matches!(decision.take, Take::Ignore | Take::Remove) {
        return take;
    }
    match (&decision.git, &decision.live) {
        (Wanted::Value(value), _) | (_, Wanted::Value(value)) => {
            format!("{} ({take})", trueup_core::text::value(value))
        }
        (Wanted::Absent, _) | (_, Wanted::Absent) => format!("(absent) ({take})"),
        _ => take,
    }
}

/// What was chosen, in words.
pub fn take_words(take: &Take) -> String {
    use trueup_core::decision::How;
    match take {
        Take::Git => "Git".into(),
        Take::LastSynced => "last sync".into(),
        Take::Live(of) => match (&of.namespace, &of.application) {
            (Some(namespace), _) => format!("live of {namespace}"),
            (None, Some(application)) => format!("live of {application}"),
            (None, None) => "live".into(),
        },
        Take::Value(value) => format!("value {}", trueup_core::text::value(value)),
        Take::Snapshot(kept) => kept.whence(),
        Take::Ignore => "ignore".into(),
        Take::Remove => "remove".into(),
        Take::Later(later) => match later.how {
            How::KeepLive => format!("later: keep live, {}", later.owner),
            How::GitNow => format!("later: Git now, {}", later.owner),
            How::StayFrozen => format!("later: frozen, {}", later.owner),
        },
    }
}
