//! Decisions: from a choice and the values as they stand to what Git and the cluster shall hold.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use trueup_core::{
    decision::{CannotTake, CellKey, Decision, LiveOf, Sides, Take, each_once, resolve},
    event::Event,
    now::{CellNow, Now},
    rules,
    sheet::Refusal,
    text, transcript, until,
};

use super::super::{
    read::World,
    state::{Again, Engine},
    trouble::Trouble,
};
use super::ignore;

impl Engine {
    /// What somebody decides. That it was refused is told, but for a form that is not filled in.
    pub(in super::super) async fn decide_as_said(
        &self,
        cells: &[CellKey],
        take: &Take,
        reason: &str,
        seen: &[(CellKey, Sides)],
    ) -> Result<(), Trouble> {
        let cells = &each_once(cells);
        self.complete(cells, take)?;
        let decided = self.decide(cells, take, reason, seen).await;
        if let Err(Trouble::Refused(refusal)) = &decided {
            let of: BTreeSet<&str> = cells
                .iter()
                .map(|cell| cell.application.name.as_str())
                .collect();
            let of: Vec<String> = of.into_iter().map(str::to_owned).collect();
            let what = match cells.as_slice() {
                [one] => format!("{} {}", one.object, one.field),
                many => text::count(many.len(), "field"),
            };
            let secret = cells.iter().any(|cell| cell.object.kind == "Secret");
            let choice = match take {
                Take::Value(_) if secret => "a value".to_owned(),
                take => transcript::choice(take),
            };
            let what = format!("decide {what} of {}: {choice}", text::some(&of, 3));
            self.refused(&what, refusal, Vec::new(), Again::Known)?;
        }
        decided
    }

    /// Whether a choice has all that it needs to be one.
    fn complete(&self, cells: &[CellKey], take: &Take) -> Result<(), Trouble> {
        if cells.is_empty() {
            return Err(Refusal::new(0, "no cell to decide", "put the cursor on a field").into());
        }
        if let Take::Later(later) = take {
            handed_over(&later.owner, &later.until, self.ports.clock.now())?;
        }
        Ok(())
    }

    /// Journals a choice for every cell named; all or nothing.
    pub(in super::super) async fn decide(
        &self,
        cells: &[CellKey],
        take: &Take,
        reason: &str,
        seen: &[(CellKey, Sides)],
    ) -> Result<(), Trouble> {
        let (world, now) = self.seen_or_look().await?;
        self.complete(cells, take)?;
        rules::as_chosen(&now, take, seen)?;
        rules::as_held(&self.run(), &now, cells, take)?;
        let cells = each_once(cells);
        let decisions = cells
            .iter()
            .map(|key| self.weigh(&world, &now, key, take, reason))
            .collect::<Result<_, _>>()?;
        self.record(Event::Decided { decisions })?;
        Ok(())
    }

    /// What a choice would mean on what is there now; nothing is journaled.
    pub fn weigh(
        &self,
        world: &World,
        now: &Now,
        key: &CellKey,
        take: &Take,
        reason: &str,
    ) -> Result<Decision, Trouble> {
        let Some(cell) = now.cells.get(key) else {
            return Err(Refusal::new(
                3,
                text::line(&format!(
                    "{} {} of {} is no open question",
                    key.object, key.field, key.application
                )),
                "look again: it may have been settled meanwhile",
            )
            .into());
        };
        let take = &self.run().of_cell(key, take);
        let copy = copy_of(now, key, take);
        let declared = world
            .applications
            .get(&key.application)
            .is_some_and(|app| app.declared.is_some());
        let (git, live) =
            resolve(key, take, &cell.sides, copy.as_ref(), declared).map_err(|why| {
                let (why, hint) = match (&why, take) {
                    (CannotTake::NoCopy, Take::Live(of)) => (
                        no_such_copy(now, key, of),
                        "name one of these in `take`; a plan is gone on with once it is mended: `trueup run PLAN.yaml --replan 'why'`",
                    ),
                    _ => (why.to_string(), "choose another source for this field"),
                };
                Trouble::Refused(Refusal::new(
                    3,
                    text::line(&format!(
                        "{} {} of {}: {why}",
                        key.object, key.field, key.application.name
                    )),
                    hint,
                ))
            })?;
        if *take == Take::Ignore
            && let Some(app) = world.applications.get(&key.application)
        {
            ignore::pointer(app, &key.object, &key.field)?;
        }
        Ok(Decision {
            cell: key.clone(),
            take: take.clone(),
            seen: cell.sides.clone(),
            git,
            live,
            reason: text::line(reason),
            by: self.setting.operator.clone(),
            at: self.ports.clock.now(),
            pushed: false,
            applied: false,
        })
    }
}

/// What is handed over needs somebody who takes it, and an end that is still to come.
pub(super) fn handed_over(owner: &str, until: &str, now: Timestamp) -> Result<(), Trouble> {
    if owner.trim().is_empty() {
        return Err(Refusal::new(
            10,
            "what is put off needs an owner",
            "say who takes it over",
        )
        .into());
    }
    match until::to_come(until.trim(), now) {
        Ok(_) => Ok(()),
        Err(why) => Err(Refusal::new(
            10,
            format!("what is put off needs an end: {why}"),
            "say until when: a date such as 2026-12-01, or an RFC 3339 time, that is still to come",
        )
        .into()),
    }
}

/// The live value of the copy that `take` names: the same field of the object of that name elsewhere.
pub fn copy_of(now: &Now, key: &CellKey, take: &Take) -> Option<Option<Value>> {
    let Take::Live(of) = take else { return None };
    if *of == LiveOf::default() {
        return None;
    }
    let fits = |other: &CellKey| {
        let namespace = of
            .namespace
            .as_ref()
            .is_none_or(|n| other.object.namespace.as_ref() == Some(n));
        let application = of
            .application
            .as_ref()
            .is_none_or(|a| other.application.name == *a || other.application.to_string() == *a);
        namespace && application
    };
    copies(now, key)
        .find(|(other, _)| fits(other))
        .map(|(_, cell)| cell.sides.live.clone())
}

/// The same field of each object of that kind and name, its own among them.
fn copies<'a>(now: &'a Now, key: &'a CellKey) -> impl Iterator<Item = (&'a CellKey, &'a CellNow)> {
    now.cells.iter().filter(|(other, _)| {
        other.object.kind == key.object.kind
            && other.object.name == key.object.name
            && other.field == key.field
    })
}

/// That `take` names a copy that is not there, and which ones are.
fn no_such_copy(now: &Now, key: &CellKey, of: &LiveOf) -> String {
    let named: Vec<String> = [
        ("namespace", &of.namespace),
        ("application", &of.application),
    ]
    .into_iter()
    .filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?)))
    .collect();
    let there: Vec<String> = copies(now, key)
        .map(|(other, _)| match &other.object.namespace {
            Some(namespace) => format!("namespace {namespace} ({})", other.application.name),
            None => other.application.name.clone(),
        })
        .collect();
    format!(
        "no copy in {} holds this field; its copies are in {}",
        named.join(" of "),
        text::some(&there, 12)
    )
}
