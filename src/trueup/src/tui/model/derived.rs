//! What is worked out once when the world or a filter changes, so that keys and frames cost nothing of it.

use super::{Model, decide::DecideRow, facts};
use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use trueup_core::{
    decision::CellKey,
    event::Obligation,
    now::Now,
    object::identity::AppKey,
    run::{AppRun, Run},
    transcript,
    workflow::{self, Behind, Stage},
};

/// Lines of the transcript that the preview shows.
const PREVIEWED: usize = 2_000;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Derived {
    /// Applications as Scope lists them: filtered, those in trouble first.
    pub apps: Vec<AppKey>,
    pub suspicious: BTreeSet<AppKey>,
    /// Place of each question in `now.questions`, by its id.
    pub places: HashMap<String, usize>,
    /// Groups of the questions, in the order of the questions.
    pub groups: Vec<Group>,
    /// For each question of `now`, how many of its cells are undecided.
    pub open_cells: Vec<usize>,
    /// What Decide lists: filtered and folded.
    pub rows: Vec<DecideRow>,
    pub undecided_questions: usize,
    pub undecided_cells: Vec<CellKey>,
    pub owed: Vec<Obligation>,
    pub frozen: usize,
    /// Whose verified sync another one has to follow: of an older commit, or from before what was decided since.
    pub to_sync_again: BTreeSet<AppKey>,
    /// What others wrote over since it was decided.
    pub open_again: BTreeMap<AppKey, Vec<CellKey>>,
    /// How many have their auto-sync back and are watched, and of how many that held.
    pub thawing: usize,
    pub thawed: usize,
    /// Where those stand that the walk goes on without.
    pub behind: BTreeMap<AppKey, Behind>,
    pub sync_order: Vec<AppKey>,
    pub thaw_order: Vec<AppKey>,
    /// Values that stand in Git somewhere in the scope, as JSON.
    pub git_values: HashSet<String>,
    /// One line for each copy group: which copies, how many states.
    pub copies: Vec<String>,
    /// What is allowed, like things in one line.
    pub may: Vec<String>,
    /// What all decisions together come to.
    pub implies: Implies,
    /// What is decided and leaves apart what belongs together, for a warning.
    pub apart: Vec<String>,
    /// Cells that moved since the last snapshot, in words.
    pub moved: Vec<facts::Moved>,
    /// The transcript as it would be exported, and the record that it ends with; made while Close is shown.
    pub transcript: (u64, Vec<String>),
}

/// Questions that stand together in the tree: those of one copy group, or of one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub id: String,
    pub title: String,
    /// Distinct copies; 1 for an object on its own.
    pub copies: usize,
    /// Indices into `now.questions`.
    pub questions: Vec<usize>,
    pub open: usize,
}

/// What the decisions so far imply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Implies {
    pub files: BTreeSet<String>,
    pub git_fields: usize,
    pub live_fields: usize,
    pub applications: BTreeSet<AppKey>,
}

impl Model {
    /// Works everything out anew.
    pub fn derive(&mut self) {
        self.derive_run();
        self.derive_questions();
        let now = self.world.now.clone();
        self.derived.git_values = now.git_values();
        self.derived.copies = facts::copies(&now);
        self.derived.may = facts::allowed(&now);
        self.derive_apps();
    }

    /// The transcript, when Close is shown and something has happened since.
    pub fn derive_transcript(&mut self) {
        let Some((seq, _)) = self.world.run.last else {
            return;
        };
        if self.stage != Stage::Close || self.derived.transcript.0 == seq {
            return;
        }
        let records: Vec<_> = self
            .world
            .records
            .iter()
            .map(|record| (**record).clone())
            .collect();
        let lines = transcript::Line::chain(&records);
        let text = transcript::markdown(&transcript::Transcript::of(&lines, &self.world.run));
        let lines = text.lines().take(PREVIEWED).map(str::to_owned).collect();
        self.derived.transcript = (seq, lines);
    }

    /// What depends on the journal alone; done at every event.
    pub fn derive_run(&mut self) {
        let run = self.world.run.clone();
        self.derived.owed = self.world.now.owed(&run);
        (self.derived.thawing, self.derived.thawed) = run.thawing_and_thawed();
        self.derived.frozen = run.frozen();
        let before = |(key, app): (&AppKey, &AppRun)| {
            let again = workflow::to_sync_again(&run, &self.world.now, key, app);
            again.then(|| key.clone())
        };
        self.derived.open_again = BTreeMap::new();
        for cell in run.open_again() {
            let of = self.derived.open_again.entry(cell.application.clone());
            of.or_default().push(cell.clone());
        }
        self.derived.to_sync_again = run.apps.iter().filter_map(before).collect();
        self.derived.behind = workflow::left_behind(&run, &self.world.now);
        self.derived.sync_order = run.sync_order();
        self.derived.thaw_order = run.thaw_order();
    }

    /// What depends on decisions and questions.
    pub fn derive_questions(&mut self) {
        let (run, now) = (self.world.run.clone(), self.world.now.clone());
        self.derived.undecided_cells = now.undecided(&run).map(|(key, _)| key.clone()).collect();
        let open: HashSet<&CellKey> = self.derived.undecided_cells.iter().collect();
        self.derived.open_cells = now
            .questions
            .iter()
            .map(|q| q.cells.iter().filter(|cell| open.contains(cell)).count())
            .collect();
        self.derived.places = now
            .questions
            .iter()
            .enumerate()
            .map(|(i, q)| (q.id.clone(), i))
            .collect();
        self.derived.undecided_questions = now.fields(&self.derived.undecided_cells);
        self.derived.groups = groups(&now, &self.derived.open_cells);
        self.derived.implies = implies(&run, &now);
        self.derived.apart = now.apart(&run);
        let since = facts::since_the_last(&run, &now);
        self.decide.learn_columns(&run, &now, &since);
        self.derived.moved = facts::with_lost(since, &run, &now);
        self.derive_rows();
    }

    /// The tree of Decide, after a filter or a fold changed.
    pub fn derive_rows(&mut self) {
        let now = self.world.now.clone();
        let mut filter = Filter::new(&self.lists[Stage::Decide as usize].filter);
        let mut rows = Vec::new();
        for (g, group) in self.derived.groups.iter().enumerate() {
            let hits: Vec<usize> = group
                .questions
                .iter()
                .copied()
                .filter(|q| {
                    let q = &now.questions[*q];
                    filter.all()
                        || filter.hits(&format!("{} {} {} {}", q.kind, q.name, q.field, q.class))
                })
                .collect();
            if hits.is_empty() {
                continue;
            }
            rows.push(DecideRow::Group(g));
            if !self.decide.folded.contains(&group.id) {
                rows.extend(hits.into_iter().map(DecideRow::Question));
            }
        }
        self.derived.rows = rows;
    }

    /// The list of Scope, after a filter changed.
    pub fn derive_apps(&mut self) {
        let now = self.world.now.clone();
        let run = self.world.run.clone();
        self.derived.suspicious = now
            .apps
            .iter()
            .filter(|(_, app)| facts::suspicious(app))
            .map(|(key, _)| key.clone())
            .collect();
        let mut filter = Filter::new(&self.lists[Stage::Scope as usize].filter);
        let suspicious = &self.derived.suspicious;
        let scope: HashSet<&AppKey> = run.scope.iter().collect();
        let mut keys: BTreeSet<&AppKey> = now.apps.keys().collect();
        keys.extend(&run.scope);
        let mut apps: Vec<AppKey> = keys
            .into_iter()
            .filter(|key| filter.all() || filter.hits(&key.to_string()))
            .cloned()
            .collect();
        apps.sort_by_key(|key| (!suspicious.contains(key), !scope.contains(key)));
        self.derived.apps = apps;
    }
}

fn groups(now: &Now, open: &[usize]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    for (i, question) in now.questions.iter().enumerate() {
        let id = super::decide::group_id(question);
        let index = *at.entry(id.clone()).or_insert_with(|| {
            let place = match (&question.group, question.cells.first()) {
                (None, Some(cell)) => cell.object.namespace.clone(),
                _ => None,
            };
            let title = match place {
                Some(namespace) => format!("{} {} in {namespace}", question.kind, question.name),
                None => format!("{} {}", question.kind, question.name),
            };
            groups.push(Group {
                id,
                title,
                ..Group::default()
            });
            groups.len() - 1
        });
        let group = &mut groups[index];
        group.questions.push(i);
        group.copies = group.copies.max(question.cells.len());
        group.open += usize::from(open.get(i).is_some_and(|n| *n > 0));
    }
    groups
}

fn implies(run: &Run, now: &Now) -> Implies {
    let mut implies = Implies::default();
    for (key, decision) in &run.decisions {
        let cell = now.cells.get(key);
        // What the world overtook is decided anew: it implies nothing yet.
        if cell.is_some_and(|cell| !cell.upholds(decision)) {
            continue;
        }
        let sides = cell.map_or(&decision.seen, |cell| &cell.sides);
        if !decision.git_met(sides) {
            implies.git_fields += 1;
            if let Some((path, _)) = cell.and_then(|cell| cell.source.rsplit_once(':')) {
                implies.files.insert(path.to_owned());
            }
        }
        if !decision.live_met(sides) {
            implies.live_fields += 1;
            implies.applications.insert(key.application.clone());
        }
    }
    implies
}

/// A filter as typed: words in any order, `!` for *not*, `'` for exactly.
pub struct Filter {
    pattern: Option<Pattern>,
    matcher: Matcher,
    buffer: Vec<char>,
}

impl Filter {
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        Self {
            pattern: (!text.is_empty())
                .then(|| Pattern::parse(text, CaseMatching::Smart, Normalization::Smart)),
            matcher: Matcher::new(Config::DEFAULT),
            buffer: Vec::new(),
        }
    }

    /// Whether everything is let through.
    pub fn all(&self) -> bool {
        self.pattern.is_none()
    }

    /// Whether a text is let through.
    pub fn hits(&mut self, text: &str) -> bool {
        self.score(text).is_some()
    }

    /// How well a text fits; `None` when it does not.
    pub fn score(&mut self, text: &str) -> Option<u32> {
        match &self.pattern {
            None => Some(0),
            Some(pattern) => {
                self.buffer.clear();
                pattern.score(Utf32Str::new(text, &mut self.buffer), &mut self.matcher)
            }
        }
    }
}
