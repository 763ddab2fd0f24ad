//! What a choice would come to: in Git, on the cluster, for what is decided already, and which values nothing holds then.

use super::super::{
    model::Model,
    theme::Role,
    widgets::words::{self, count},
};
use std::collections::{BTreeSet, HashMap, HashSet};
use trueup_core::{
    decision::{CellKey, Decision, LiveOf, Take, Wanted, resolve},
    now::QuestionNow,
    text,
};

/// So many values are named; a choice may be for a hundred cells.
const NAMED: usize = 8;
/// Of so many fields it is said what each gets: more would push what is lost out of a small form.
const EACH: usize = 6;
/// So many different things that others did are named.
const UNDONE: usize = 2;

/// A value, and the places that get it.
type Gets = (String, Vec<String>);

/// See the module.
pub struct Implied {
    pub words: String,
    /// The different values that it comes to.
    values: Vec<String>,
    /// For each field what its cells get, and which of them.
    fields: Vec<(String, Vec<Gets>)>,
    /// Live values that it replaces and that no commit of Git's head holds, before or after.
    lost: Vec<String>,
    /// Values that Git holds now and, with this and all that is decided, no more.
    leaves_git: Vec<String>,
    /// Not all of Git could be read, so that what is lost may stand in the rest.
    unread: bool,
    /// The cells that a decision which still stands gives something else.
    pub otherwise: Vec<CellKey>,
}

impl Implied {
    /// The value that is taken from a side, after the side's name.
    pub fn value_words(&self, take: &Take) -> String {
        let named = matches!(
            take,
            Take::Live(_) | Take::Git | Take::LastSynced | Take::Snapshot(_)
        );
        match self.values.as_slice() {
            values if named && (1..=3).contains(&values.len()) => {
                format!(": {}", values.join(" / "))
            }
            _ => String::new(),
        }
    }

    /// A line for each field that says what it gets, where there are several; what a snapshot has is said of one too.
    pub fn each(&self, take: &Take) -> Vec<String> {
        let puts = match take {
            Take::Snapshot(_) => true,
            Take::Live(_) | Take::Git | Take::LastSynced => self.fields.len() > 1,
            Take::Value(_) | Take::Ignore | Take::Remove | Take::Later(_) => false,
        };
        if !puts {
            return Vec::new();
        }
        let line = |(field, values): &(String, Vec<Gets>)| match values.as_slice() {
            [(value, _)] => format!("{field}: {value}"),
            values => {
                let each = values
                    .iter()
                    .map(|(value, places)| format!("{value} in {}", text::some(places, 4)));
                format!("{field}: {}", each.collect::<Vec<_>>().join("; "))
            }
        };
        let mut lines: Vec<String> = self.fields.iter().take(EACH).map(line).collect();
        if let Some(more) = self.fields.len().checked_sub(EACH).filter(|n| *n > 0) {
            lines.push(format!("and {}", count(more, "more field")));
        }
        lines
    }

    /// The lines that say what is lost.
    pub fn losses(&self) -> impl Iterator<Item = (Role, String)> {
        let stands = |values: &[String]| {
            let stand = if values.len() == 1 { "stands" } else { "stand" };
            let more = values.len().saturating_sub(NAMED);
            let mut named = values[..values.len() - more].join(" / ");
            if more > 0 {
                named.push_str(&format!(" and {more} more"));
            }
            format!("{named} {stand}")
        };
        let lost = (!self.lost.is_empty()).then(|| {
            let git = match self.unread {
                true => "what could be read of Git",
                false => "Git",
            };
            let said = format!("! {} nowhere in {git} and will be gone", stands(&self.lost));
            (Role::Bad, said)
        });
        let leaves = (!self.leaves_git.is_empty()).then(|| {
            let said = format!(
                "{} nowhere in Git after it; its history keeps {}",
                stands(&self.leaves_git),
                if self.leaves_git.len() == 1 {
                    "it"
                } else {
                    "them"
                }
            );
            (Role::Warn, said)
        });
        lost.into_iter().chain(leaves)
    }
}

/// What a choice would change; an error says why it cannot be made.
pub fn implied(model: &Model, cells: &[CellKey], take: &Take) -> Result<Implied, String> {
    let (mut git, mut live, mut deleted) = (0, 0, 0);
    let (mut replaced, mut otherwise) = (Vec::new(), Vec::new());
    let mut wanted: HashMap<&CellKey, Wanted> = HashMap::new();
    let mut files = BTreeSet::new();
    let mut values = Vec::new();
    let mut fields: Vec<(String, Vec<Gets>)> = Vec::new();
    for key in cells {
        let Some(cell) = model.now().cells.get(key) else {
            continue;
        };
        let take = &model.run().of_cell(key, take);
        let copy = copy_of(model, key, take);
        let (wanted_git, wanted_live) = resolve(key, take, &cell.sides, copy.as_ref(), true)
            .map_err(|why| match take {
                // Another field of the choice may be in the snapshot.
                Take::Snapshot(_) => format!("{}: {why}", words::field(&key.field)),
                _ => why.to_string(),
            })?;
        if !wanted_git.met_by(&cell.sides.git) {
            git += 1;
            replaced.extend(cell.sides.git.as_ref());
            if let Some((path, _)) = cell.source.rsplit_once(':') {
                files.insert(path);
            }
        }
        if !wanted_live.met_by(&cell.sides.live) {
            live += 1;
            deleted += usize::from(key.field.is_root() && wanted_live == Wanted::Absent);
            replaced.extend(cell.sides.live.as_ref());
        }
        let differs = model.run().decisions.get(key).is_some_and(|decision| {
            let same = decision.git == wanted_git && decision.live == wanted_live;
            let put_off = |take: &Take| matches!(take, Take::Later(_) | Take::Ignore);
            let other =
                !same || (put_off(take) || put_off(&decision.take)) && decision.take != *take;
            other && cell.upholds(decision)
        });
        if differs {
            otherwise.push(key.clone());
        }
        if !key.field.is_root() {
            let value = match &wanted_live {
                Wanted::Value(value) => text::shorten(&text::value(value), 40),
                _ => "(absent)".into(),
            };
            let field = words::field(&key.field);
            let at = fields.iter().position(|(known, _)| *known == field);
            let at = at.unwrap_or_else(|| {
                fields.push((field, Vec::new()));
                fields.len() - 1
            });
            let of_field = &mut fields[at].1;
            let place = key.object.namespace.as_ref();
            let place = place.unwrap_or(&key.application.name).clone();
            match of_field.iter_mut().find(|(known, _)| *known == value) {
                Some((_, places)) => places.push(place),
                None => of_field.push((value.clone(), vec![place])),
            }
            if !values.contains(&value) {
                values.push(value);
            }
        }
        wanted.insert(key, wanted_git);
    }
    let before = &model.derived.git_values;
    let after = git_after(model, &wanted);
    let gone = |in_git: bool| {
        let mut gone: Vec<String> = replaced
            .iter()
            .filter(|value| trueup_core::now::would_be_missed(value))
            .map(|value| (value, value.to_string()))
            .filter(|(_, json)| !after.contains(json) && before.contains(json) == in_git)
            .map(|(value, _)| text::shorten(&text::value(value), 60))
            .collect();
        gone.sort();
        gone.dedup();
        gone
    };
    let whole = cells.iter().all(|cell| cell.field.is_root());
    let what = if whole { "object" } else { "field" };
    let words = if deleted > 0 {
        format!(
            "Git changes in {} ({}); {} deleted from the cluster, by a sheet of its own",
            count(git, what),
            count(files.len(), "file"),
            count(deleted, what),
        )
    } else if matches!(take, Take::Ignore) {
        "both sides stay as they are; an ignoreDifferences entry is written where the Application is declared".to_owned()
    } else {
        format!(
            "Git changes in {} ({}), the cluster in {}",
            count(git, what),
            count(files.len(), "file"),
            count(live, what),
        )
    };
    Ok(Implied {
        words,
        values,
        fields,
        lost: gone(false),
        unread: model.now().not_all_read().is_some(),
        leaves_git: gone(true),
        otherwise,
    })
}

/// What others did since it was decided and a choice would undo, a line for each.
pub fn undone(model: &Model, cells: &[CellKey], take: &Take) -> Vec<String> {
    let mut said = Vec::new();
    for key in cells {
        let Some(cell) = model.now().cells.get(key) else {
            continue;
        };
        let take = &model.run().of_cell(key, take);
        let copy = copy_of(model, key, take);
        let Ok((git, live)) = resolve(key, take, &cell.sides, copy.as_ref(), true) else {
            continue;
        };
        let candidate = Decision {
            cell: key.clone(),
            take: take.clone(),
            seen: cell.sides.clone(),
            git,
            live,
            reason: String::new(),
            by: String::new(),
            at: model.time,
            pushed: false,
            applied: false,
        };
        if let Some(touched) = model.run().undone_by(&candidate) {
            said.push(format!(
                "! this undoes what {}: {}",
                touched.did(),
                touched.moved(key)
            ));
        }
    }
    named(said)
}

/// What others did to cells of a question that are open again, a line for each.
pub fn touched(model: &Model, question: &QuestionNow) -> Vec<String> {
    let said = question.cells.iter().filter_map(|key| {
        let touched = model.run().shaken.get(key)?;
        let decision = model.run().decisions.get(key)?;
        let open = !model.now().cells.get(key)?.upholds(decision);
        open.then(|| {
            format!(
                "! open again by what {}: {}; any other choice undoes that",
                touched.did(),
                touched.moved(key)
            )
        })
    });
    named(said.collect())
}

/// The different lines, and how many there are when they are many.
fn named(mut said: Vec<String>) -> Vec<String> {
    let mut known = HashSet::new();
    said.retain(|line| known.insert(line.clone()));
    let more = said.len().saturating_sub(UNDONE);
    said.truncate(UNDONE);
    if more > 0 {
        said.push(format!("! and {more} more"));
    }
    said
}

/// The live value of the copy that a take names.
fn copy_of(model: &Model, key: &CellKey, take: &Take) -> Option<Option<serde_json::Value>> {
    let Take::Live(of) = take else { return None };
    if *of == Default::default() {
        return None;
    }
    let mut cells = model.now().cells.iter();
    let (_, copy) = cells.find(|(other, _)| is_copy(other, key, of))?;
    Some(copy.sides.live.clone())
}

/// Whether a cell is the copy of another one that a take names.
pub fn is_copy(other: &CellKey, key: &CellKey, of: &LiveOf) -> bool {
    other.field == key.field
        && other.object.name == key.object.name
        && other.object.kind == key.object.kind
        && (of.namespace.is_none() || other.object.namespace == of.namespace)
        && of.application.as_ref().is_none_or(|app| {
            other.application.name == *app || other.application.to_string() == *app
        })
}

/// The values that Git holds once this choice and all that is decided is committed, as JSON.
fn git_after(model: &Model, chosen: &HashMap<&CellKey, Wanted>) -> HashSet<String> {
    let after = model.now().cells.iter().filter_map(|(key, cell)| {
        let decided = || {
            let decision = model.run().decisions.get(key)?;
            cell.upholds(decision).then_some(&decision.git)
        };
        match chosen.get(key).or_else(decided) {
            Some(Wanted::Value(value)) => Some(value.to_string()),
            Some(Wanted::Absent) => None,
            Some(Wanted::AsIs) | None => cell.sides.git.as_ref().map(ToString::to_string),
        }
    });
    after.collect()
}
