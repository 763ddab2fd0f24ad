//! Decisions: from a choice and the values as they stand to what Git and the cluster shall hold.

use serde_json::Value;
use trueup_core::{
    decision::{CellKey, Decision, LiveOf, Take, resolve},
    event::Event,
    now::Now,
    sheet::Refusal,
    text,
};

use super::super::{read::World, state::Engine, trouble::Trouble};
use super::ignore;

impl Engine {
    /// Journals a choice for every cell named; all or nothing.
    pub(in super::super) async fn decide(
        &self,
        cells: &[CellKey],
        take: &Take,
        reason: &str,
    ) -> Result<(), Trouble> {
        let (world, now) = self.seen_or_look().await?;
        if cells.is_empty() {
            return Err(Refusal::new(0, "no cell to decide", "put the cursor on a field").into());
        }
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
        let copy = copy_of(now, key, take);
        let declared = world
            .applications
            .get(&key.application)
            .is_some_and(|app| app.declared.is_some());
        let (git, live) =
            resolve(key, take, &cell.sides, copy.as_ref(), declared).map_err(|why| {
                Trouble::Refused(Refusal::new(
                    3,
                    text::line(&format!(
                        "{} {} of {}: {why}",
                        key.object, key.field, key.application.name
                    )),
                    "choose another source for this field",
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
        })
    }
}

/// The live value of the copy that `take` names: the same field of the object of that name elsewhere.
fn copy_of(now: &Now, key: &CellKey, take: &Take) -> Option<Option<Value>> {
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
        namespace
            && application
            && other.object.kind == key.object.kind
            && other.object.name == key.object.name
            && other.field == key.field
    };
    now.cells
        .iter()
        .find(|(other, _)| fits(other))
        .map(|(_, cell)| cell.sides.live.clone())
}
