//! What others do to fields that nobody decided on, and what they take back: told from one look to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
};

use trueup_core::{
    decision::{CellKey, Sides},
    event::{Effect, Event},
    now::{CellNow, Now},
    object::identity::AppKey,
    policy::FIELD_MANAGER,
    run::{
        Run, Sync,
        strayed::{self, OFTEN},
    },
    text,
};

use super::{
    adopt::{A_PUSH, ARGO_CD, Pushers},
    observe::{quiet_cell, written_by},
    read::{AppSeen, World},
    state::Engine,
    steps::{application, sync},
    trouble::Trouble,
};

/// Where more questions are open than this, what moves among them is not told one by one.
const QUESTIONS: usize = 200;

/// So many fields are told of at one look; of the rest it is said how many there are.
const AT_ONCE: usize = 50;

/// What controllers make of a field by themselves; it moves without anybody.
const MADE: [&str; 7] = [
    "untouchable",
    "server-noise",
    "server-default",
    "mutated",
    "delegated",
    "derived-copy",
    "pending-rollout",
];

/// The look at which each Application was judged last: what moves is held against that.
pub(super) type Stood = BTreeMap<AppKey, (Arc<World>, Arc<Now>)>;

impl Engine {
    /// Records what others did to fields since the last look that was judged; `judged` are those of which that can be told.
    pub(super) async fn note_strayed(
        &self,
        world: &World,
        now: &Now,
        glance: bool,
        judged: &[AppKey],
    ) -> Result<(), Trouble> {
        let run = self.run();
        let events = {
            let stood = self.stood.lock().unwrap_or_else(PoisonError::into_inner);
            let mut events = taken_back(&run, world, now, glance, judged);
            if run.snapshots > 1 && now.questions.len() <= QUESTIONS {
                events.extend(strayed(&run, &stood, world, now, judged));
            }
            events
        };
        let more = events.len().saturating_sub(AT_ONCE);
        let mut pushers = Pushers::default();
        for mut event in events.into_iter().take(AT_ONCE) {
            if let Event::StrayedBack { cell, who, .. } = &mut event {
                pushers
                    .name(
                        &*self.ports.repos,
                        &run,
                        now,
                        &cell.application,
                        run.ignores(cell),
                        who,
                    )
                    .await;
            }
            self.record(event)?;
        }
        if more > 0 {
            self.record(Event::Adopted {
                application: None,
                what: format!("{} more moved live", text::count(more, "field")),
                who: "unknown".into(),
                cell: None,
                sides: None,
            })?;
        }
        Ok(())
    }

    /// What comes after is held against this look.
    pub(super) fn stands(&self, judged: Vec<AppKey>, world: &Arc<World>, now: &Arc<Now>) {
        let run = self.run();
        let mut stood = self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        // An old look is kept for those only that are judged again.
        stood.retain(|key, _| run.apps.get(key).is_some_and(|app| app.parked.is_none()));
        for key in judged {
            stood.insert(key, (Arc::clone(world), Arc::clone(now)));
        }
    }
}

/// The Applications of which it can be told what others did: walked, read in full, and with no sync of ours at work.
pub(super) fn judged(run: &Run, world: &World, now: &Now) -> Vec<AppKey> {
    let can_be = |key: &AppKey, sync: &Sync| {
        let complete = world.applications.get(key).is_some_and(|app| app.complete);
        complete
            && now.apps.get(key).is_some_and(|app| !app.incomplete)
            && now.taken_over_by(run, key).is_none()
            && !matches!(sync, Sync::Requested { .. } | Sync::Finished { .. })
    };
    run.walking()
        .filter(|(key, app)| can_be(key, &app.sync))
        .map(|(key, _)| key.clone())
        .collect()
}

/// Fields without a decision that are live what they were not.
fn strayed(run: &Run, stood: &Stood, world: &World, now: &Now, judged: &[AppKey]) -> Vec<Event> {
    let made: BTreeSet<&str> = now
        .questions
        .iter()
        .filter(|question| MADE.contains(&question.class.as_str()))
        .map(|question| question.id.as_str())
        .collect();
    let one_sided = now.one_sided();
    let lost: BTreeSet<&CellKey> = now.lost(run).map(|(key, ..)| key).collect();
    let judged: BTreeSet<&AppKey> = judged.iter().collect();
    let undecided = |key: &&CellKey| {
        judged.contains(&key.application)
            && !run.decisions.contains_key(*key)
            && !run.shaken.contains_key(*key)
            && !lost.contains(key)
            && !one_sided.has(key)
    };
    let asked = now.cells.iter().filter(|(_, cell)| {
        let question = cell.question.as_deref();
        question.is_some_and(|question| !made.contains(question))
    });
    let away = run.strayed.iter().filter(|(_, strayed)| strayed.away);
    let keys: BTreeSet<&CellKey> = asked
        .map(|(key, _)| key)
        .chain(away.map(|(key, _)| key))
        .filter(undecided)
        .collect();
    let mut events = Vec::new();
    for key in keys {
        let Some(app) = world.applications.get(&key.application) else {
            continue;
        };
        let before = stood.get(&key.application);
        let before = before.and_then(|(_, now)| now.cells.get(key));
        let here = now.cells.get(key);
        if before
            .zip(here)
            .is_some_and(|(before, here)| before.sides.live == here.sides.live)
        {
            continue;
        }
        let cell = cell_of(app, now, key);
        let known = run.strayed.get(key);
        let was = match stood.get(&key.application) {
            Some((world, now)) => world
                .applications
                .get(&key.application)
                .map(|app| sides_of(app, now, key)),
            None => match (known, run.found.get(key)) {
                (Some(known), _) => Some(known.sides.clone()),
                // What the last snapshot had is all that is known: what was not written since did not move.
                _ if !since_snapshot(run, &cell) => continue,
                (None, Some(found)) => Some(found.sides.clone()),
                (None, None) => None,
            },
        };
        let told = known.map_or(0, |known| known.told);
        let same = was.as_ref().is_some_and(|was| was.live == cell.sides.live);
        if same || told >= OFTEN || ours(run, app, key, &cell) {
            continue;
        }
        let (cell, who) = (&cell, writer(&cell));
        events.push(
            match known.is_some_and(|known| known.is_back(&cell.sides)) {
                true => Event::StrayedBack {
                    cell: key.clone(),
                    what: strayed::came_back(key, &cell.sides),
                    who,
                    sides: cell.sides.clone(),
                },
                false => Event::Strayed {
                    cell: key.clone(),
                    what: strayed::moved(key, was.as_ref(), &cell.sides, told + 1 >= OFTEN),
                    who,
                    sides: cell.sides.clone(),
                    was,
                },
            },
        );
    }
    events
}

/// What somebody had done to a decided field, or to one that was found and lost, and that is as it was again.
fn taken_back(run: &Run, world: &World, now: &Now, glance: bool, judged: &[AppKey]) -> Vec<Event> {
    let mut events = Vec::new();
    for (key, touched) in &run.shaken {
        let app = world.applications.get(&key.application);
        let Some(app) = app.filter(|_| judged.contains(&key.application)) else {
            continue;
        };
        let cell = cell_of(app, now, key);
        let stands = match run.decisions.get(key) {
            Some(decision) => now.cells.contains_key(key) && cell.upholds(decision),
            None => run
                .found
                .get(key)
                .is_some_and(|found| found.sides.live == cell.sides.live),
        };
        let git = touched.set().is_none_or(|set| set.git != cell.sides.git);
        // A glance may go by a head of before.
        if !stands || git && glance {
            continue;
        }
        let same = |(app, what): &&(Option<AppKey>, String)| {
            app.as_ref() == Some(&key.application) && *what == touched.what
        };
        // What moves on and on is open again from then on without a word.
        if run.adopted.iter().filter(same).count() >= OFTEN as usize {
            continue;
        }
        let live = touched.set().is_some_and(|set| set.live != cell.sides.live);
        let who = match (git, live) {
            (true, false) => A_PUSH.to_owned(),
            (true, true) => format!("{A_PUSH}, live: {}", writer(&cell)),
            _ if ours(run, app, key, &cell) => "this incident".into(),
            _ => writer(&cell),
        };
        events.push(Event::StrayedBack {
            cell: key.clone(),
            what: strayed::stands_again(key, touched.set(), &cell.sides),
            who,
            sides: cell.sides,
        });
    }
    events
}

/// Whether what is live was written since the last snapshot, as far as the managed fields tell.
fn since_snapshot(run: &Run, cell: &CellNow) -> bool {
    cell.written_at
        .zip(run.snapshot_at)
        .is_some_and(|(written, taken)| written > taken)
}

fn writer(cell: &CellNow) -> String {
    match cell.writer.as_str() {
        "" => "unknown".into(),
        writer => writer.to_owned(),
    }
}

fn sides_of(app: &AppSeen, now: &Now, key: &CellKey) -> Sides {
    match now.cells.get(key) {
        Some(cell) => cell.sides.clone(),
        None => quiet_cell(app, key).sides,
    }
}

/// A cell with its writer, whether a question asks about it or not.
fn cell_of(app: &AppSeen, now: &Now, key: &CellKey) -> CellNow {
    let mut cell = match now.cells.get(key) {
        Some(cell) => cell.clone(),
        None => quiet_cell(app, key),
    };
    if cell.writer.is_empty() {
        written_by(app, key, &mut cell);
    }
    cell
}

/// Whether a write of this incident made the field what it is: its manager says so, a sync of ours was the last one, or one of
/// our actions and deletions took it away, which leaves no manager.
fn ours(run: &Run, app: &AppSeen, key: &CellKey, cell: &CellNow) -> bool {
    let by = |manager: &str| {
        let rest = cell.writer.strip_prefix(manager);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let acted = || {
        let done = run.ops.iter().filter(|(_, op)| op.done());
        let mut acts = done.filter(|(_, op)| matches!(op.effect, Effect::Act { .. }));
        acts.any(|(id, _)| by(&format!("{FIELD_MANAGER}-{id}")))
    };
    let synced = || {
        let operation = app.object.pointer("/status/operationState/operation");
        cell.writer.starts_with(ARGO_CD)
            && operation.is_some_and(|operation| {
                application::info(operation, sync::INFO_INCIDENT) == Some(run.id())
            })
    };
    let took_away = || {
        run.ops
            .values()
            .filter(|op| op.done())
            .any(|op| match &op.effect {
                Effect::Delete { object, .. } => object.key() == key.object.key(),
                Effect::Act {
                    cell: Some(acted), ..
                } => acted.is_of_object(key) && acted.field.overlaps(&key.field),
                _ => false,
            })
    };
    by(FIELD_MANAGER) || acted() || synced() || cell.sides.live.is_none() && took_away()
}
