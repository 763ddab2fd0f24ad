//! What others did meanwhile: recorded with its effect and its author as far as known, and adopted.
//!
//! Only the decisions that it touched are open again (see `Decision::stands`); a freeze that it undid is lost.

use std::collections::BTreeMap;

use serde_json::Value;
use trueup_core::{
    decision::{CellKey, Decision, Sides, Wanted},
    event::{Effect, Event},
    now::{CellNow, Now, Synced},
    object::identity::AppKey,
    run::{Found, Pushed, Run, Sync, Touched},
    text,
};

use super::{
    foreign,
    read::{AppSeen, World, folder_path},
    state::Engine,
    steps::{application, sync},
    strayed,
    trouble::Trouble,
};
use crate::ports::Repos;

impl Engine {
    /// Compares a look with what the journal knows and records what is not ours. Answers with the Applications of
    /// which what follows is held against this look.
    pub(super) async fn adopt(
        &self,
        world: &World,
        now: &Now,
        glance: bool,
    ) -> Result<Vec<AppKey>, Trouble> {
        let mut run = self.run();
        if run.closed.is_some() || run.open_ops().next().is_some() {
            return Ok(Vec::new());
        }
        for event in in_git(&run, now, glance) {
            run = self.record(event)?;
        }
        let repos = &*self.ports.repos;
        for event in not_ours(repos, &run, world, now, &self.setting.operator).await {
            self.record(event)?;
        }
        for (key, why) in lost(&run, world, now) {
            self.record(Event::FreezeLost {
                application: key,
                why,
            })?;
        }
        let judged = strayed::judged(&run, world, now);
        self.note_strayed(world, now, glance, &judged).await?;
        Ok(judged)
    }
}

/// That what was pushed was seen to be in Git.
pub fn in_git(run: &Run, now: &Now, glance: bool) -> Vec<Event> {
    // A glance may go by a head that was read before the push.
    let landed = |(repository, pushed): &(&String, &Pushed)| {
        pushed.landed && !glance && now.heads.contains_key(*repository)
    };
    let seen = run.pushed.iter().filter(landed);
    seen.map(|(repository, _)| Event::InGit {
        repository: repository.clone(),
    })
    .collect()
}

/// What others did since what the journal knows: to what was decided and found, and to the policies of the Applications.
pub async fn not_ours(
    repos: &dyn Repos,
    run: &Run,
    world: &World,
    now: &Now,
    operator: &str,
) -> Vec<Event> {
    let mut events = Vec::new();
    let mut pushers = Pushers::default();
    for Foreign {
        application,
        what,
        mut who,
        cell,
        anywhere,
    } in foreign(run, world, now)
    {
        let sides = cell.as_ref().and_then(|cell| now.cells.get(cell));
        let sides = sides.map(|cell| cell.sides.clone());
        // Once it was decided anew, the same once more is another act.
        let known = match &cell {
            Some(cell) => run.knows(cell, &what, sides.as_ref()),
            None => run
                .adopted
                .iter()
                .any(|(key, said)| *key == application && *said == what),
        };
        if known {
            continue;
        }
        if let Some(key) = &application {
            pushers.name(repos, run, now, key, anywhere, &mut who).await;
        }
        events.push(Event::Adopted {
            application,
            what,
            who,
            cell,
            sides,
        });
    }
    for (cell, why) in now.put_back(run) {
        events.push(Event::DecisionWithdrawn {
            cells: vec![cell.clone()],
            why: format!("{why}: somebody put it back, and nothing of it is owed"),
            by: operator.to_owned(),
        });
    }
    for (application, why) in now.policies_moved(run) {
        let app = world.applications.get(&application);
        let since = run.wrote_to(&application);
        let who = app.and_then(|app| application::wrote_policy(&app.object, since));
        events.push(Event::PolicyMoved {
            application,
            why,
            who: who.unwrap_or_else(|| "unknown".into()),
        });
    }
    for (key, from, to) in now.policies_changed(run) {
        let app = world.applications.get(key);
        let who = app.and_then(|app| application::wrote_policy(&app.object, run.opened_at));
        let incident = now
            .apps
            .get(key)
            .and_then(|seen| seen.frozen_by_another(run, key));
        let who = who.or_else(|| incident.map(|id| text::line(&format!("incident {id}"))));
        events.push(Event::PolicyChanged {
            application: key.clone(),
            from: from.clone(),
            to: to.clone(),
            who: who.unwrap_or_else(|| "unknown".into()),
        });
    }
    events
}

/// The commits that changed each folder since what the journal knows of its branch, with their authors, each read once; none where
/// the repository does not tell.
#[derive(Default)]
pub(super) struct Pushers(BTreeMap<(String, Option<String>), Option<String>>);

impl Pushers {
    /// Puts names in the place of [`A_PUSH`]. `anywhere`: what was changed is not in the folder of the Application.
    pub(super) async fn name(
        &mut self,
        repos: &dyn Repos,
        run: &Run,
        now: &Now,
        application: &AppKey,
        anywhere: bool,
        who: &mut String,
    ) {
        let Some(seen) = now
            .apps
            .get(application)
            .filter(|_| who.starts_with(A_PUSH))
        else {
            return;
        };
        let folder = (!anywhere).then(|| folder_path(&seen.path));
        let place = (seen.repository.clone(), folder);
        if !self.0.contains_key(&place) {
            let by = changed_since(repos, run, &place, now).await;
            self.0.insert(place.clone(), by);
        }
        if let Some(Some(by)) = self.0.get(&place) {
            *who = who.replacen(A_PUSH, by, 1);
        }
    }
}

async fn changed_since(
    repos: &dyn Repos,
    run: &Run,
    (repository, folder): &(String, Option<String>),
    now: &Now,
) -> Option<String> {
    let head = now.heads.get(repository)?;
    let landed = run.landed.get(repository).map(|landed| &landed.revision);
    let parent = run.proposal.iter().filter(|p| p.repository == *repository);
    let since = landed.or(parent.map(|p| &p.parent).next())?;
    let repo = repos.open(repository).await.ok()?;
    let (since, head) = (since.as_str(), head.as_str());
    match folder {
        Some(folder) => foreign::changed_since(&*repo, since, head, folder).await,
        None => foreign::pushed_since(&*repo, since, head).await,
    }
}

/// What moved in the cells that are open again, and by whom, as one look tells: what the journal has of it is of an earlier one.
pub async fn open_again(
    repos: &dyn Repos,
    run: &Run,
    now: &Now,
) -> BTreeMap<CellKey, (String, String)> {
    let mut pushers = Pushers::default();
    let mut again = BTreeMap::new();
    for (key, _) in now.open_again(run) {
        let decided = run.decisions.get(key).zip(now.cells.get(key));
        let touched = decided.and_then(|(decision, cell)| touched(run, decision, cell));
        let Some(Foreign {
            what,
            mut who,
            anywhere,
            ..
        }) = touched
        else {
            continue;
        };
        pushers
            .name(repos, run, now, &key.application, anywhere, &mut who)
            .await;
        again.insert(key.clone(), (what, who));
    }
    again
}

/// Who changed Git, as long as nobody looked at the log.
pub(super) const A_PUSH: &str = "a push to Git";

/// What the managers are called by which Argo CD writes.
pub(super) const ARGO_CD: &str = "argocd";

/// What is not ours.
struct Foreign {
    application: Option<AppKey>,
    what: String,
    who: String,
    cell: Option<CellKey>,
    /// In Git it was done anywhere, and not in the folder of the Application.
    anywhere: bool,
}

fn foreign(run: &Run, world: &World, now: &Now) -> Vec<Foreign> {
    let mut found = Vec::new();
    for (key, decision) in &run.decisions {
        let touched = now.cells.get(key).and_then(|cell| {
            let touched = touched(run, decision, cell)?;
            (!run.acted_since(decision, cell.sides.live.as_ref())).then_some(touched)
        });
        found.extend(touched);
    }
    for key in &run.scope {
        let Some(app) = world.applications.get(key) else {
            continue;
        };
        found.extend(operation(run, key, &app.object, None));
        found.extend(synced_meanwhile(run, key, &app.object));
    }
    for (key, cell, first) in now.lost(run) {
        let app = world.applications.get(&key.application);
        found.push(Foreign {
            application: Some(key.application.clone()),
            what: text::line(&format!(
                "{} {}: {}",
                key.object,
                key.field,
                now.went(key, cell, first)
            )),
            who: app.map_or_else(|| "unknown".to_owned(), |app| overwrote(app, cell, first)),
            cell: Some(key.clone()),
            anywhere: false,
        });
    }
    found
}

/// What somebody did to a decided cell; none where the decision stands.
fn touched(run: &Run, decision: &Decision, cell: &CellNow) -> Option<Foreign> {
    if cell.upholds(decision) {
        return None;
    }
    let key = &decision.cell;
    let seen = before_others(run, decision, cell);
    let rule_gone = cell.rule_gone(decision);
    let (what, who) = if rule_gone {
        let what = "the rule that ignores it is gone from Git".to_owned();
        (what, A_PUSH.to_owned())
    } else {
        let told = run.shaken.get(key).and_then(Touched::set);
        let back = told.and_then(|told| back_in_part(told, &seen, &cell.sides));
        let left = moved(&seen, cell);
        let what = match back {
            Some(back) => format!("{back}; still so: {left}"),
            None => left,
        };
        (what, author(&seen, cell))
    };
    Some(Foreign {
        application: Some(key.application.clone()),
        what: text::line(&format!("{} {}: {}", key.object, key.field, what)),
        who,
        cell: Some(key.clone()),
        anywhere: rule_gone,
    })
}

/// What stood before anybody else did anything: what the decision put into Git, and what a sync of ours made of the
/// cluster since.
fn before_others(run: &Run, decision: &Decision, cell: &CellNow) -> Sides {
    let now = &cell.sides;
    let wanted = |wanted: &Wanted, seen: &Option<Value>| match wanted {
        Wanted::Value(value) => Some(value.clone()),
        Wanted::Absent => None,
        Wanted::AsIs => seen.clone(),
    };
    let pushed = run.ops.values().any(|op| {
        op.done() && matches!(op.effect, Effect::Push { .. }) && op.intended_at >= decision.at
    });
    let mut seen = decision.seen.clone();
    if pushed || decision.git_met(now) {
        seen.git = wanted(&decision.git, &seen.git);
    }
    if decision.applied {
        seen.live = wanted(&decision.live, &seen.live);
    }
    if let Some(Synced(wrote)) = &cell.synced {
        seen.live.clone_from(wrote);
    }
    seen
}

/// Of two sides that were touched, the one that is as it was, where the other one is as it was told: that is no other act.
fn back_in_part(told: &Sides, seen: &Sides, now: &Sides) -> Option<String> {
    let sides = [
        ("Git", &told.git, &seen.git, &now.git),
        ("live", &told.live, &seen.live, &now.live),
    ];
    let as_told_or_back = |(_, told, seen, now): &(_, _, _, _)| now == told || now == seen;
    if !sides.iter().all(as_told_or_back) {
        return None;
    }
    let back = sides
        .iter()
        .find(|(_, told, seen, now)| now != told && now == seen)?;
    Some(format!("{} is {} again", back.0, side(back.3)))
}

fn side(value: &Option<Value>) -> String {
    value
        .as_ref()
        .map_or_else(|| "(absent)".to_owned(), text::value)
}

fn moved(seen: &Sides, cell: &CellNow) -> String {
    let mut parts = Vec::new();
    if seen.git != cell.sides.git {
        parts.push(format!(
            "Git went from {} to {}",
            side(&seen.git),
            side(&cell.sides.git)
        ));
    }
    if seen.live != cell.sides.live {
        let was = match cell.synced {
            Some(_) => format!("what the sync wrote ({})", side(&seen.live)),
            None => side(&seen.live),
        };
        parts.push(format!(
            "live went from {was} to {}",
            side(&cell.sides.live)
        ));
    }
    parts.join(", ")
}

/// The writer of a cell is the one of its live value: what moved in Git is not theirs.
fn author(seen: &Sides, cell: &CellNow) -> String {
    let live = match cell.writer.as_str() {
        "" => "unknown",
        writer => writer,
    };
    match (seen.git != cell.sides.git, seen.live != cell.sides.live) {
        (true, false) => A_PUSH.into(),
        (true, true) => format!("{A_PUSH}, live: {live}"),
        _ => live.into(),
    }
}

/// Who wrote over what was found live: of what Argo CD writes, whoever began the sync.
fn overwrote(app: &AppSeen, cell: &CellNow, found: &Found) -> String {
    let state = app.object.pointer("/status/operationState");
    let sync = state.filter(|state| {
        let started = state.get("startedAt").and_then(Value::as_str);
        let started = started.and_then(|at| at.parse::<jiff::Timestamp>().ok());
        // Argo CD tells whole seconds, and what was there then is known to have been there before it.
        started.is_some_and(|at| at.as_second() >= found.at.as_second())
    });
    match sync.and_then(|state| state.get("operation")) {
        Some(operation) if cell.writer.starts_with(ARGO_CD) => {
            text::line(&format!("a sync, begun by {}", initiator(operation)))
        }
        _ if cell.writer.is_empty() => "unknown".into(),
        _ => cell.writer.clone(),
    }
}

/// Who began an operation.
fn initiator(operation: &Value) -> &str {
    let by = |field: &str| operation.get("initiatedBy")?.get(field);
    let automated = by("automated").and_then(Value::as_bool) == Some(true);
    let who = by("username").and_then(Value::as_str);
    who.filter(|who| !who.is_empty())
        .unwrap_or(if automated { "auto-sync" } else { "unknown" })
}

/// An operation that began after the incident was opened, and not before `since`, and carries no mark of it.
fn operation(
    run: &Run,
    key: &AppKey,
    application: &Value,
    since: Option<jiff::Timestamp>,
) -> Option<Foreign> {
    let state = application.pointer("/status/operationState")?;
    let operation = state.get("operation")?;
    if application::info(operation, sync::INFO_INCIDENT) == Some(run.id()) {
        return None;
    }
    let started = state.get("startedAt").and_then(Value::as_str)?;
    let at: jiff::Timestamp = started.parse().ok()?;
    // Argo CD tells whole seconds.
    let before = since.is_some_and(|since| at.as_second() < since.as_second());
    if before || run.opened_at.is_none_or(|opened| at <= opened) {
        return None;
    }
    let revision = operation
        .pointer("/sync/revision")
        .and_then(Value::as_str)
        .unwrap_or("the head");
    Some(Foreign {
        application: Some(key.clone()),
        what: text::line(&format!("a sync of {key} to {revision} began at {started}")),
        who: text::line(initiator(operation)),
        cell: None,
        anywhere: false,
    })
}

/// Syncs of others that ended since the incident was opened, from the history that Argo CD keeps (`status.history`): its last operation
/// is told by [`operation`], and one that another one followed between two looks by this.
fn synced_meanwhile<'a>(run: &Run, key: &AppKey, application: &'a Value) -> Vec<Foreign> {
    let text_at = |value: &'a Value, path: &str| value.pointer(path).and_then(Value::as_str);
    let last = application.pointer("/status/operationState");
    let last = last.map(|last| {
        let result = text_at(last, "/syncResult/revision");
        (
            text_at(last, "/startedAt"),
            result.or_else(|| text_at(last, "/syncResult/revisions/0")),
        )
    });
    let ours: Vec<(&str, &Value)> = run
        .ops
        .values()
        .filter_map(|op| match &op.effect {
            Effect::Sync {
                application,
                revision,
                patch,
            } if application == key => Some((revision.as_str(), patch)),
            _ => None,
        })
        .collect();
    let history = application.pointer("/status/history");
    let history = history.and_then(Value::as_array).into_iter().flatten();
    let foreign = history.filter_map(|entry| {
        let revision = text_at(entry, "/revision").filter(|revision| !revision.is_empty());
        let revision = revision.or_else(|| text_at(entry, "/revisions/0"))?;
        let started = text_at(entry, "/deployStartedAt")?;
        let at: jiff::Timestamp = started.parse().ok()?;
        // It has no mark of who began it but a name, and of an older Argo CD not even that: what may be a sync of ours to this revision
        // is taken for it.
        let by = entry
            .get("initiatedBy")
            .map(|_| text_at(entry, "/initiatedBy/username"));
        let ours = ours.iter().any(|(to, patch)| {
            let mut ops = patch.as_array().into_iter().flatten();
            let began = |op: &Value| {
                let name = op.pointer("/value/initiatedBy/username");
                by.is_none_or(|by| by.is_some() && by == name.and_then(Value::as_str))
            };
            *to == revision && ops.any(began)
        });
        let said = |to: &str| text::line(&format!("a sync of {key} to {to} began at {started}"));
        let what = said(revision);
        // While it ran it may have been told by what it was asked for: a branch, a tag, the head.
        let (before, after) = (
            format!("a sync of {key} to "),
            format!(" began at {started}"),
        );
        let told = run.adopted.iter().any(|(of, said)| {
            let to = said.strip_prefix(&before);
            let to = to.and_then(|said| said.strip_suffix(&after));
            of.as_ref() == Some(key) && to.is_some_and(|to| to == revision || !is_commit(to))
        });
        // Argo CD tells whole seconds: two of them may begin in the same one.
        let is_last = last == Some((Some(started), Some(revision)));
        let earlier = run.opened_at.is_none_or(|opened| at <= opened);
        (!ours && !is_last && !earlier && !told).then(|| Foreign {
            application: Some(key.clone()),
            what,
            who: text::line(initiator(entry)),
            cell: None,
            anywhere: false,
        })
    });
    foreign.collect()
}

fn is_commit(revision: &str) -> bool {
    revision.len() >= 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Freezes that somebody undid, and what Argo CD did since, as far as it shows already.
fn lost(run: &Run, world: &World, now: &Now) -> Vec<(AppKey, String)> {
    run.apps
        .iter()
        .filter(|(_, app)| !matches!(app.sync, Sync::Requested { .. }))
        .filter_map(|(key, freeze)| {
            let why = now.lost_freeze(run, key)?;
            let app = world.applications.get(key);
            let why = match app {
                Some(app) => application::lost_by(why, &app.object),
                None => why,
            };
            // What was synced before this freeze is no part of its loss.
            let set = freeze.freeze.set_at();
            let synced = app.and_then(|app| operation(run, key, &app.object, set));
            let why = match synced {
                None => why,
                Some(Foreign { what, who, .. }) => format!("{why}, and {what} (by {who})"),
            };
            Some((key.clone(), why))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Pushed and synced by itself, then taken back in Git: what comes back first is no other act.
    #[test]
    fn the_side_that_is_back_first_is_told_as_back() {
        let sides = |git: &str, live: &str| Sides {
            git: Some(json!(git)),
            last_synced: None,
            live: Some(json!(live)),
        };
        let (good, both) = (sides("new", "new"), sides("old", "old"));
        let said = |told: &Sides, now: Sides| back_in_part(told, &good, &now);
        let live = said(&both, sides("old", "new"));
        assert_eq!(live.as_deref(), Some("live is new again"));
        let git = said(&both, sides("new", "old"));
        assert_eq!(git.as_deref(), Some("Git is new again"));
        for (told, now) in [
            (&both, both.clone()),
            (&both, sides("other", "new")),
            (&sides("old", "new"), both.clone()),
        ] {
            assert_eq!(said(told, now), None);
        }
    }

    /// Frozen, lost by somebody's sync, and frozen again: what is told of the next loss is what came after that.
    #[test]
    fn a_sync_of_before_a_freeze_is_no_part_of_its_loss() {
        let at = |time: &str| -> jiff::Timestamp { time.parse().unwrap() };
        let run = Run {
            opened_at: Some(at("2026-11-22T07:00:00Z")),
            ..Run::default()
        };
        let key: AppKey = "argocd/auth".parse().unwrap();
        let synced = json!({"status": {"operationState": {
            "startedAt": "2026-11-22T07:30:00Z",
            "operation": {"sync": {"revision": "abc"}, "initiatedBy": {"username": "ann"}},
        }}});
        let told = |since: Option<&str>| {
            let told = operation(&run, &key, &synced, since.map(at))?;
            Some((told.what, told.who))
        };
        let said = (
            "a sync of argocd/auth to abc began at 2026-11-22T07:30:00Z".to_owned(),
            "ann".to_owned(),
        );
        assert_eq!(told(None), Some(said.clone()));
        assert_eq!(told(Some("2026-11-22T07:20:00Z")), Some(said.clone()));
        // Argo CD tells whole seconds.
        assert_eq!(told(Some("2026-11-22T07:30:00.9Z")), Some(said));
        assert_eq!(told(Some("2026-11-22T07:40:00Z")), None);
    }

    /// A bad value was synced by itself and the revert after it, both between two looks.
    #[test]
    fn a_sync_that_another_one_followed_is_told_too() {
        let key: AppKey = "argocd/auth".parse().unwrap();
        let mut run = Run {
            opened_at: Some("2026-11-22T07:00:00Z".parse().unwrap()),
            ..Run::default()
        };
        let intended = json!({"seq": 1, "time": "2026-11-22T07:10:00Z", "type": "intended", "op": "1", "effect": "sync",
            "application": key, "revision": "ours", "patch": [{"op": "add", "path": "/operation", "value": {"initiatedBy": {"username": "jo"}}}],
            "guard": {}, "shown": [], "byHand": [], "by": "jo"});
        run.apply(&serde_json::from_value(intended).unwrap());
        let entry = |revision: &str, at: &str, by: Value| json!({"revision": revision, "deployStartedAt": format!("2026-11-22T{at}Z"), "deployedAt": "2026-11-22T09:00:00Z", "initiatedBy": by});
        let application = json!({"status": {
            "operationState": {"startedAt": "2026-11-22T07:40:00Z", "syncResult": {"revision": "revert"}},
            "history": [
                entry("before", "06:00:00", json!({"automated": true})),
                entry("ours", "07:10:01", json!({"username": "jo"})),
                entry("bad", "07:30:00", json!({"automated": true})),
                entry("ours", "07:35:00", json!({"username": "eve"})),
                entry("revert", "07:40:00", json!({"automated": true})),
                json!({"id": 7}),
            ],
        }});
        let told = |run: &Run| -> Vec<(String, String)> {
            let told = synced_meanwhile(run, &key, &application);
            told.into_iter().map(|told| (told.what, told.who)).collect()
        };
        let bad = "a sync of argocd/auth to bad began at 2026-11-22T07:30:00Z";
        let by_eve = "a sync of argocd/auth to ours began at 2026-11-22T07:35:00Z";
        assert_eq!(
            told(&run),
            [
                (bad.to_owned(), "auto-sync".to_owned()),
                (by_eve.to_owned(), "eve".to_owned())
            ]
        );
        run.adopted
            .push((Some(key.clone()), bad.replace("to bad", "to main")));
        assert_eq!(told(&run).len(), 1);
    }
}
