//! Where the operator is among the divergences, and which number stands for which value.

use super::{Model, facts::Moved};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trueup_core::{
    decision::{CellKey, Decision, Kept, LiveOf, Sides, Take, Wanted, each_once},
    now::{CellNow, Now, QuestionNow},
    object::identity::AppKey,
    run::Run,
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
    /// What the first snapshot that had it holds of the cell under the cursor, where live went on since.
    Snapshot,
    /// What the snapshot of that time holds of it, where that is on no other side.
    Later(Timestamp),
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

/// The snapshot later than the one that found a cell, where it alone has a value of it: that was set in between and written over.
fn later(run: &Run, now: &Now, moved: &Moved) -> Option<Timestamp> {
    let (at, found) = (moved.at?, run.found.get(&moved.cell)?);
    let sides = &now.cells.get(&moved.cell)?.sides;
    let others = [&found.sides.live, &sides.git, &sides.last_synced, &None];
    (at != found.at && !others.contains(&&moved.kept)).then_some(at)
}

fn side_of(cell: &CellKey) -> Side {
    Side::Copy {
        application: cell.application.clone(),
        namespace: cell.object.namespace.clone(),
    }
}

/// The copy of a cell in the snapshot of that time.
fn side_at(cell: &CellKey, alone: bool, at: Timestamp) -> Kept {
    let namespace = cell.object.namespace.clone().filter(|_| !alone);
    let application = (!alone && namespace.is_none()).then(|| cell.application.to_string());
    Kept {
        application,
        namespace,
        at,
        value: None,
    }
}

impl DecideState {
    /// Gives a number to every side that has none yet.
    pub fn learn_columns(&mut self, run: &Run, now: &Now, moved: &[Moved]) {
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
            let live = |cell: &CellKey| now.cells.get(cell).map(|cell| &cell.sides.live);
            let went_on = question.cells.iter().any(|cell| {
                let found = run.found.get(cell).zip(live(cell));
                found.is_some_and(|(found, live)| found.sides.live != *live)
            });
            let moved = || question.cells.iter().filter_map(|cell| kept(moved, cell));
            // Values of a snapshot that nothing is found in are those of the last one.
            let unfound = moved().any(|moved| !run.found.contains_key(&moved.cell));
            let first = (went_on || unfound).then_some(Side::Snapshot);
            let later = moved().filter_map(|moved| later(run, now, moved).map(Side::Later));
            for side in first.into_iter().chain(later) {
                if !columns.contains(&side) {
                    columns.push(side);
                }
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
            Self::Later(at) => format!("snap {}", at.strftime("%H:%M")),
        }
    }

    /// What choosing it means for a cell; none where that depends on what is known of the cell ([`Model::take_of`]).
    pub fn take(&self, cell: &CellKey, alone: bool) -> Option<Take> {
        Some(match self {
            Self::Snapshot | Self::Later(_) => return None,
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
        let side = match side {
            Side::Later(at) => side_at(cell, alone, *at),
            _ => self.snapshot_side(cell, alone)?,
        };
        match self.kept_of(cell, &side) {
            Some(value) if trueup_core::decision::is_secret(&value) => {
                Err("a secret value is not kept (rule 7): choose a side that holds it".into())
            }
            // The value is that of this field alone; what it is for the others is asked of the snapshot for each.
            Some(_) => Ok(Take::Snapshot(side)),
            None if self.was_absent(cell, &side) => {
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

    /// Whether a cell had no such field when it was found, in the snapshot that a side is of.
    fn was_absent(&self, cell: &CellKey, side: &Kept) -> bool {
        let found = self.run().found.get(cell);
        match found.filter(|found| found.at == side.at) {
            Some(found) => found.sides.live.is_none(),
            None => kept(&self.derived.moved, cell).is_some_and(|moved| {
                moved.kept.is_none() && moved.at.is_none_or(|at| at == side.at)
            }),
        }
    }

    /// Which snapshot, and which copy of it, the column stands for while the cursor is on a cell: the first that had it. Where fields
    /// were written together and one of them was found later, it is the one that has all of them as they were found: halves of two
    /// moments are no pair. What is live now has no part in it.
    fn snapshot_side(&self, cell: &CellKey, alone: bool) -> Result<Kept, String> {
        let question = self.question_here();
        let together = question.into_iter().flat_map(|q| self.together(q));
        let pair: Vec<&CellKey> = together
            .flat_map(|q| &q.cells)
            .filter(|other| side_of(other) == side_of(cell))
            .collect();
        let run = self.run();
        let found = std::iter::once(cell)
            .chain(pair.iter().copied())
            .filter_map(|cell| Some(run.found.get(cell)?.at));
        let sides: Vec<Kept> = found
            .chain(run.snapshot_at)
            .map(|at| side_at(cell, alone, at))
            .collect();
        let has = |cell: &CellKey, side: &Kept| match run.found.get(cell) {
            Some(found) => self.kept_of(cell, side) == found.sides.live,
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

    /// When the snapshot was taken that a column stands for.
    pub fn snapshot_column_at(&self, side: &Side) -> Option<Timestamp> {
        match side {
            Side::Later(at) => Some(*at),
            _ => Some(self.snapshot_side(&self.cell_here()?, false).ok()?.at),
        }
    }

    /// Whether a snapshot has of a question what is live in the copy under the cursor.
    pub fn as_kept(&self, question: &QuestionNow, side: &Side) -> bool {
        let here = self.cell_here().map(|here| side_of(&here));
        let own = here.and_then(|here| self.cell_of(question, &here));
        let value = self.value_of(question, side, None);
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
            Side::Snapshot | Side::Later(_) => {
                // What was written together is taken from the same copy, each field with its own value.
                let here = self.cell_here()?;
                let own = question.cells.iter().find(|c| side_of(c) == side_of(&here));
                let side = match side {
                    Side::Later(at) => side_at(&here, false, *at),
                    _ => self.snapshot_side(&here, false).ok()?,
                };
                match self.kept_of(question.cells.first()?, &side) {
                    None if own.is_some_and(|cell| self.was_absent(cell, &side)) => Some(None),
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
