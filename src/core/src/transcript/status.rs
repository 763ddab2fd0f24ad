//! One line for the channel.

use jiff::SignedDuration;

use super::{quote::say, timeline::verdict, words::between};
use crate::{
    now::Now,
    object::identity::AppKey,
    run::{AppRun, Freeze, GateRun, Run, Sync},
    span::Span,
    workflow::{self, Next, Stage},
};

/// The incident in one line: `INC-441 · Sync 2/3 · 3 frozen · 0 open · gate no-401 green 3m12s/10m · owed 3`.
///
/// Without a whole look at the world the journal alone says what is open, and can lag behind it.
pub fn status_line(run: &Run, now: Option<&Now>) -> String {
    let open = match now {
        Some(now) if run.snapshots > 1 => now.fields(now.undecided(run).map(|(key, _)| key)),
        _ => open(run),
    };
    let next = now.map(|now| workflow::next(run, now));
    let mut parts = vec![say(run.id()), stage(run, now, open, next.as_ref())];
    if let Some(Next::Stopped { rule, reason, .. }) = &next {
        parts.push(match rule {
            0 => format!("STOPPED: {}", say(reason)),
            rule => format!("STOPPED by rule {rule}: {}", say(reason)),
        });
    }
    if run.closed.is_none() {
        let frozen = run.frozen();
        parts.push(match (&run.unfrozen, frozen) {
            (Some(_), 0) => "unfrozen, watched".to_owned(),
            _ => format!("{frozen} frozen"),
        });
        let (thawing, thawed) = run.thawing_and_thawed();
        if thawing > 0 {
            parts.push(format!("{thawing} thawing"));
        }
        if thawed > 0 && thawed < run.walking().count() {
            parts.push(format!("{thawed} thawed"));
        }
        let unknown = run.open_ops().count();
        if unknown > 0 {
            parts.push(format!("{} unknown", crate::text::count(unknown, "write")));
        }
        // Before the snapshot of what is frozen, that no question is known says nothing.
        let unread = now.and_then(|now| now.unread(run));
        parts.push(match open {
            _ if unread.is_some() => "not all of it could be READ".to_owned(),
            0 if run.snapshots < 2 => "not yet looked at".to_owned(),
            open => format!("{open} open"),
        });
        // What a sync has asked anew nobody is waited for to answer before it.
        let asked = !matches!(
            next,
            Some(
                Next::Predict { .. }
                    | Next::Sync { .. }
                    | Next::VerifySync { .. }
                    | Next::AwaitOperation { .. }
            )
        );
        parts.extend(gate(run, now).or_else(|| somebody(run).filter(|_| asked)));
        if !run.removed_gates.is_empty() {
            let away: Vec<_> = run.removed_gates.keys().map(|name| say(name)).collect();
            parts.push(format!("gate taken away: {}", away.join(", ")));
        }
    }
    let left = run.left();
    if run.closed.is_some() && !left.nothing() {
        parts.push(left.to_string());
    }
    let lost: Vec<_> = run
        .apps
        .iter()
        .filter(|(_, app)| matches!(app.freeze, Freeze::Lost { .. }))
        .map(|(key, _)| say(&key.name))
        .collect();
    if !lost.is_empty() {
        parts.push(format!("freeze LOST: {}", lost.join(", ")));
    }
    let broken: Vec<_> = run.thaws_broken().map(|key| say(&key.name)).collect();
    if !broken.is_empty() {
        parts.push(format!("thaw DID NOT HOLD: {}", broken.join(", ")));
    }
    let owed = now
        .map_or_else(|| run.obligations(), |now| now.owed(run))
        .len();
    parts.push(match (now, &run.closed) {
        // What somebody changed since its last record is not in the journal.
        (None, None) if owed > 0 => format!("owed at least {owed}"),
        _ => format!("owed {owed}"),
    });
    parts.join(" · ")
}

fn stage(run: &Run, now: Option<&Now>, open: usize, next: Option<&Next>) -> String {
    if run.closed.is_some() {
        return "closed".to_owned();
    }
    let at = match next {
        // A write is looked up wherever it was made.
        None | Some(Next::LookUp { .. }) => as_journaled(run, open),
        Some(next) => next.stage(),
    };
    let again = match next {
        Some(Next::Freeze { applications }) => applications.as_slice(),
        _ => &[],
    };
    let count = |what: &dyn Fn(&AppRun) -> bool| {
        let walking = run.walking().filter(|(key, _)| !again.contains(key));
        walking.filter(|(_, app)| what(app)).count()
    };
    let thawed = |app: &AppRun| app.freeze == Freeze::Thawed;
    let done = match at {
        Stage::Decide if open > 0 => {
            let (decided, asked) = match now.filter(|_| run.snapshots > 1) {
                Some(now) => now.decided_of(open),
                None => {
                    let asked = run.questions.len().max(open);
                    (asked - open, asked)
                }
            };
            return format!("{} {decided}/{asked}", at.name());
        }
        Stage::Freeze => count(&|app| app.freeze.proven() || thawed(app)),
        Stage::Sync => {
            let synced = |key: &AppKey, app: &AppRun| match now {
                Some(now) => workflow::sync_counts(run, now, key, app),
                None => matches!(app.sync, Sync::Verified { .. }),
            };
            let synced = run
                .walking()
                .filter(|(key, app)| thawed(app) || synced(key, app));
            synced.count()
        }
        Stage::Thaw => count(&thawed),
        _ => return at.name().to_owned(),
    };
    format!("{} {done}/{}", at.name(), run.walking().count())
}

/// Where the walk is as far as the journal tells.
fn as_journaled(run: &Run, open: usize) -> Stage {
    let walking: Vec<_> = run.walking().collect();
    let all = |what: &dyn Fn(&AppKey, &AppRun) -> bool| {
        !walking.is_empty() && walking.iter().all(|(key, app)| what(key, app))
    };
    let thawed = |app: &AppRun| app.freeze == Freeze::Thawed;
    let proven = all(&|_, app| app.freeze.proven() || thawed(app));
    if all(&|_, app| thawed(app)) {
        Stage::Close
    } else if open > 0 && run.snapshots > 1 && proven {
        Stage::Decide
    // What is thawed had nothing to sync, or is through with it.
    } else if all(&|key, app| thawed(app) || synced(run, key, app)) {
        Stage::Thaw
    } else if !run.landed.is_empty() {
        Stage::Sync
    } else if run.snapshots == 0 || walking.iter().any(|(_, app)| app.target.is_none()) {
        Stage::Scope
    } else if !proven {
        Stage::Freeze
    } else if run.snapshots < 2 {
        Stage::Snapshot
    } else {
        Stage::Commit
    }
}

/// Synced as shown, and all its gates settled.
fn synced(run: &Run, key: &AppKey, app: &AppRun) -> bool {
    let settled = |name: &String| run.gate_settled(key, name).is_some();
    matches!(app.sync, Sync::Verified { .. }) && run.gates_after(key).iter().all(settled)
}

/// Questions of the last snapshot with a cell that has no decision, or one that somebody touched since.
fn open(run: &Run) -> usize {
    let decided = run.decisions.keys();
    let stand: Vec<_> = decided
        .filter(|key| !run.shaken.contains_key(key))
        .collect();
    let questions = run.questions.iter();
    questions
        .filter(|question| !run.cells_without(question, &stand).is_empty())
        .count()
}

/// The gate at which somebody is waited for who looks, whatever else is open.
pub fn waits_for_somebody(run: &Run) -> Option<Next> {
    if run.pushed_unmerged() {
        return None;
    }
    let asked = run.sync_order().into_iter().find_map(|key| {
        let app = run.apps.get(&key)?;
        let synced = matches!(app.sync, Sync::Verified { .. }) && app.freeze != Freeze::Thawed;
        let open = synced && app.parked.is_none();
        workflow::gates(run, &key, app).filter(|_| open)
    });
    asked.filter(|next| matches!(next, Next::Attest { .. }))
}

/// Who is waited for, where nothing is measured any more: somebody who looks, or who merges.
fn somebody(run: &Run) -> Option<String> {
    if run.pushed_unmerged() {
        return Some("waits for a merge".to_owned());
    }
    match waits_for_somebody(run) {
        Some(Next::Attest { gate, .. }) => Some(format!("gate {} waits for somebody", say(&gate))),
        _ => None,
    }
}

/// A gate that nobody asked for longer is told with the time at which it was.
const FRESH: SignedDuration = SignedDuration::from_mins(1);

/// The gate that is looked at now.
fn gate(run: &Run, now: Option<&Now>) -> Option<String> {
    let running = |state: &GateRun| state.passed.is_none() && state.started_at.is_some();
    let order = run.sync_order();
    let (key, name, state) = order
        .iter()
        .filter_map(|key| Some((key, run.apps.get(key)?)))
        .flat_map(|(key, app)| {
            app.gates
                .iter()
                .map(move |(name, state)| (key, name, state))
        })
        .rfind(|(_, _, state)| running(state))?;
    let look = state.samples.last();
    // How long it had been green by then is no wait that is left.
    if let Some(unmet) = state.ended_unmet().filter(|_| state.given_up_by.is_some()) {
        let glass = match run.glass_for(key, name) {
            Some(_) => ", glass broken",
            None => "",
        };
        return Some(format!("gate {} {}{glass}", say(name), say(&unmet)));
    }
    let word = match (&state.timed_out, look) {
        (Some(_), _) => "TIMED OUT",
        (None, Some(sample)) => verdict(sample.verdict),
        (None, None) => "begun",
    };
    let green = match (state.green_since, look) {
        (Some(since), Some(last)) => between(since, last.at),
        _ => Span::default(),
    };
    let old = look
        .zip(now)
        .filter(|(last, now)| now.at.duration_since(last.at) > FRESH);
    let asked = old.map_or_else(String::new, |(last, _)| {
        format!(" when last asked, {} UTC", last.at.strftime("%H:%M:%S"))
    });
    Some(match state.hold.0.is_zero() {
        true => format!("gate {} {word}{asked}", say(name)),
        false => format!("gate {} {word} {green}/{}{asked}", say(name), state.hold),
    })
}
