//! Thawing: a predicted sync like any other, then watched for two reconcile rounds.

use std::sync::Mutex;

use serde_json::Value;
use trueup_core::{
    event::{Effect, Event, Guard, Prediction},
    ids::Commit,
    object::identity::AppKey,
    policy::{Policy, thaw_ops},
    rules,
    run::{Sync, Thaw},
    sheet::{Command, Refusal, Sheet},
    text,
};

use super::super::{
    read::{AppSeen, of_git},
    sheets::change_line,
    state::Engine,
    trouble::Trouble,
};
use super::{
    application,
    freeze::{each_application, stopped_at},
};

impl Engine {
    /// Puts the target policies in place, one Application after the other, each watched before the next.
    pub(in super::super) async fn thaw(&self, sheet: &Sheet) -> Result<(), Trouble> {
        let each = each_application(sheet);
        let judged = matches!(sheet.command, Command::Thaw { .. });
        for (at, (key, guard, will)) in each.iter().enumerate() {
            self.thaw_one(key, guard, will, judged)
                .await
                .map_err(|trouble| stopped_at(trouble, "thawed", &each, at))?;
        }
        Ok(())
    }

    /// `judged`: what was decided and synced here is thawed, and not only given back as it was found.
    async fn thaw_one(
        &self,
        key: &AppKey,
        guard: &Guard,
        will: &[String],
        judged: bool,
    ) -> Result<(), Trouble> {
        if judged {
            // The one before it was watched for a while, and Git may have moved under the rest.
            self.look().await?;
            self.take_heads().await?;
            let (_, now) = self.seen_or_look().await?;
            let applications = vec![key.clone()];
            rules::check(&self.run(), &now, &Command::Thaw { applications })?;
        }
        if matches!(
            self.run().apps.get(key).map(|app| &app.sync),
            Some(Sync::Verified { .. })
        ) {
            self.gates_still_green(key).await?;
        }
        self.nothing_would_move(key).await?;
        let alone = match judged {
            true => {
                let applications = vec![key.clone()];
                Some(self.still_allowed(&Command::Thaw { applications }).await?)
            }
            false => None,
        };
        let wanted = self.target_policy(key)?;
        let automated = wanted.automated().cloned().unwrap_or(Value::Null);
        let outcome = self
            .patch_application(key, guard, will, |fresh, _| {
                let patch = Value::Array(thaw_ops(fresh, &wanted));
                let effect = Effect::Thaw {
                    application: key.clone(),
                    automated: automated.clone(),
                    patch: patch.clone(),
                    operation_before: started_at(fresh).map(str::to_owned),
                };
                Ok((effect, patch))
            })
            .await?;
        drop(alone);
        self.must_be_done(&format!("thaw {key}"), outcome)?;
        self.watch_thaw_out(key).await
    }

    /// Watches a thaw that was made to its end. What ends the watching before leaves auto-sync as it was given back, and says so.
    pub async fn watch_thaw_out(&self, key: &AppKey) -> Result<(), Trouble> {
        let thaw = || self.run().apps.get(key).map(|app| app.thaw.clone());
        while let Some(Thaw::Restored { .. }) = thaw() {
            self.watch_thaw(key)
                .await
                .map_err(|trouble| trouble.or_else(&self.run().given_back_unwatched(key)))?;
        }
        if let Some(Thaw::Broken { why, .. }) = thaw() {
            return Err(rules::not_as_thawed(&self.run(), key, &why).into());
        }
        Ok(())
    }

    /// The sync policy that shall stand in the end.
    pub(in super::super) fn target_policy(&self, key: &AppKey) -> Result<Policy, Trouble> {
        let run = self.run();
        let target = run.apps.get(key).and_then(|app| app.target.as_ref());
        match target {
            Some((_, whole, _)) => Ok(Policy::new(Some(whole.clone()))),
            None => Err(Refusal::new(
                0,
                format!("no target policy is chosen for {key}"),
                "choose one",
            )
            .into()),
        }
    }

    /// What auto-sync does the moment it is on, found out now.
    pub(in super::super) async fn at_once(
        &self,
        application: &Value,
        seen: Option<&AppSeen>,
        wanted: &Policy,
    ) -> AtOnce {
        let prediction = match seen.filter(|seen| seen.complete) {
            Some(seen) => Some(self.reader.predict(seen, &of_git(seen)).await),
            None => None,
        };
        let run = self.run();
        let written = AppKey::from_object(application)
            .ok()
            .and_then(|key| run.wrote_to(&key));
        at_once(application, prediction.as_ref(), wanted.prunes(), written)
    }

    /// With auto-sync on again, Argo CD does at once whatever is out of sync: there must be nothing.
    async fn nothing_would_move(&self, key: &AppKey) -> Result<(), Trouble> {
        self.must_hold(key).await?;
        let seen = self.refresh(key).await?;
        let status = seen
            .pointer("/status/sync/status")
            .and_then(Value::as_str)
            .unwrap_or("Unknown");
        let wanted = self.target_policy(key)?;
        if !wanted.is_on() || status == "Synced" {
            return Ok(());
        }
        let pruned: Vec<&str> = seen
            .pointer("/status/resources")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|r| r.get("requiresPruning").and_then(Value::as_bool) == Some(true))
            .filter_map(|r| r.get("name").and_then(Value::as_str))
            .collect();
        if wanted.prunes() && !pruned.is_empty() {
            return Err(Refusal::new(
                8,
                text::line(&format!(
                    "auto-sync with prune would delete {} the moment it is on",
                    pruned.join(", ")
                )),
                "decide what shall become of them, or choose a target policy without prune",
            )
            .into());
        }
        Err(Refusal::new(
            3,
            text::line(&format!(
                "{key} is {status}{}: auto-sync would start a sync that nobody was shown",
                application::not_compared(&seen)
                    .map_or_else(String::new, |why| format!(" ({why})"))
            )),
            "look again: what differs has to be decided first",
        )
        .into())
    }

    /// One reconcile round: a refresh that we ask for, consumed, a newer comparison, and nothing running. The last one is not
    /// before the time in which auto-sync would have acted.
    pub(in super::super) async fn watch_thaw(&self, key: &AppKey) -> Result<(), Trouble> {
        let run = self.run();
        let Some(Thaw::Restored { op, at, rounds }) = run.apps.get(key).map(|app| app.thaw.clone())
        else {
            return Ok(());
        };
        let before = run.ops.get(&op).and_then(|op| match &op.effect {
            Effect::Thaw {
                operation_before, ..
            } => operation_before.clone(),
            _ => None,
        });
        let (wanted, waits) = (self.target_policy(key)?, &run.waits);
        // What auto-sync or self-heal does, it does some seconds after it may.
        let left = self.left_since(at, waits.thaw_hold.0);
        if rounds > 0 && wanted.is_on() && !left.is_zero() {
            let what = format!("{key} to stay as thawed");
            self.hold(&what, waits.thaw_hold.0, left).await;
        }
        // What Argo CD cannot compare says neither that the thaw holds nor that it does not.
        let said = Mutex::new(None);
        let compared = async {
            loop {
                let seen = self.refresh_until_consumed(key).await?;
                match thaw_verdict(&seen, &wanted, at, before.as_deref()) {
                    Some(verdict) => return Ok(verdict),
                    None => {
                        if let Ok(mut said) = said.lock() {
                            *said = application::not_compared(&seen);
                        }
                    }
                }
                self.until_it_moves(&seen).await;
            }
        };
        let what = format!("Argo CD to compare {key}");
        let verdict = self.waiting(what, waits.thaw_deadline.0, compared).await;
        let verdict = verdict.map_err(|trouble| match said.into_inner().ok().flatten() {
            Some(why) => trouble.or_else(&format!("Argo CD says: {why}")),
            None => trouble,
        })?;
        self.record(Event::ThawWatched {
            application: key.clone(),
            round: rounds + 1,
            holds: verdict.is_ok(),
            why: verdict.unwrap_or_else(|why| why),
        })?;
        Ok(())
    }
}

/// What the sheet of a thaw says about one Application.
pub(in super::super) struct AtOnce {
    /// What auto-sync does the moment it is on.
    pub does: String,
    /// What stands against it.
    pub but: Vec<String>,
}

/// How many changes a line names.
const NAMED: usize = 6;

/// `written`: when something was written to it last.
fn at_once(
    application: &Value,
    prediction: Option<&Prediction>,
    prunes: bool,
    written: Option<jiff::Timestamp>,
) -> AtOnce {
    let name = application["metadata"]["name"].as_str().unwrap_or_default();
    let at = |pointer: &str| application.pointer(pointer).and_then(Value::as_str);
    let status = at("/status/sync/status").unwrap_or("not compared");
    let revision = match at("/status/sync/revision").filter(|revision| !revision.is_empty()) {
        Some(revision) => format!(" at {}", Commit::from(revision).short()),
        None => String::new(),
    };
    let reconciled = application::reconciled_at(application);
    let compared = reconciled.map_or_else(
        || "compared never".to_owned(),
        |at| format!("compared at {at:.0}"),
    );
    // It tells whole seconds, and does not move with each status.
    let older = |written: &jiff::Timestamp| {
        reconciled.is_none_or(|at| at.as_second() < written.as_second())
    };
    let compared = match written.filter(older) {
        Some(_) => "and is asked to compare once more before it is thawed".to_owned(),
        None => compared,
    };
    let stands = format!("it is {status}{revision}, {compared}");
    let mut but = Vec::new();
    if status != "Synced" {
        but.push(text::line(&format!(
            "{name} is {status}: it is not thawed unless it is Synced when its turn comes"
        )));
    }
    let Some(prediction) = prediction else {
        but.push(text::line(&format!(
            "{name}: what auto-sync would do could not be found out, since not all of it could be read"
        )));
        return AtOnce {
            does: text::line(&stands),
            but,
        };
    };
    let mut moves: Vec<String> = prediction.changes.iter().map(change_line).collect();
    moves.extend(prediction.creates.iter().map(|o| format!("create {o}")));
    if prunes {
        moves.extend(prediction.extra.iter().map(|o| format!("delete {o}")));
    }
    but.extend(
        prediction
            .unknown
            .iter()
            .map(|u| text::line(&format!("{name}: not predicted: {} ({})", u.object, u.why))),
    );
    let does = if moves.is_empty() {
        let found = match prediction.unknown.is_empty() {
            true => "a dry run now moves nothing",
            false => "a dry run now moves nothing of what it can tell",
        };
        match status {
            "Synced" => format!("auto-sync then has nothing to do: {stands}, and {found}"),
            _ => format!("{stands}, and {found}"),
        }
    } else {
        but.push(text::line(&format!(
            "{name}: a dry run now moves {}, which nobody decided here: auto-sync would do that",
            text::count(moves.len(), "thing")
        )));
        let more = moves.len().saturating_sub(NAMED);
        moves.truncate(NAMED);
        if more > 0 {
            moves.push(format!("and {more} more"));
        }
        format!(
            "auto-sync would then do this: {} ({stands})",
            moves.join("; ")
        )
    };
    AtOnce {
        does: text::line(&does),
        but,
    }
}

fn started_at(application: &Value) -> Option<&str> {
    application
        .pointer("/status/operationState/startedAt")?
        .as_str()
}

/// Whether a thaw holds; none while Argo CD could not compare.
fn thaw_verdict(
    seen: &Value,
    wanted: &Policy,
    thawed_at: jiff::Timestamp,
    before: Option<&str>,
) -> Option<Result<String, String>> {
    let stands = Policy::of(seen);
    if stands.automated() != wanted.automated() {
        let who = application::wrote_policy(seen, Some(thawed_at));
        return Some(Err(match who {
            Some(who) => {
                format!("somebody changed the policy again (its managed fields name {who})")
            }
            None => "somebody changed the policy again".into(),
        }));
    }
    if let Some(operation) = application::operation(seen) {
        return Some(Err(format!("an operation runs: {operation}")));
    }
    let automated = seen
        .pointer("/status/operationState/operation/initiatedBy/automated")
        .and_then(Value::as_bool)
        == Some(true);
    let started: Option<jiff::Timestamp> = started_at(seen)
        .filter(|at| Some(*at) != before)
        .and_then(|text| text.parse().ok());
    if automated && started.is_some_and(|at| at.as_second() >= thawed_at.as_second()) {
        return Some(Err("auto-sync started a sync that was not shown".into()));
    }
    let status = seen.pointer("/status/sync/status").and_then(Value::as_str);
    match status.filter(|status| *status != "Unknown") {
        Some("Synced") => Some(Ok("policy as targeted, Synced, nothing running".into())),
        _ if !wanted.is_on() => Some(Ok(format!(
            "policy as targeted, which is off, nothing running; it is {} and nothing syncs it",
            text::line(status.unwrap_or("not compared"))
        ))),
        Some(other) => Some(Err(format!("it is {}", text::line(other)))),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use trueup_core::object::identity::ObjectRef;

    /// What Argo CD could not compare is watched on: it neither stayed as thawed nor did it not.
    #[test]
    fn what_cannot_be_compared_is_no_verdict_on_a_thaw() {
        let on = Policy::new(Some(json!({"automated": {"prune": true}})));
        let off = Policy::new(Some(json!({})));
        let verdict = |wanted: &Policy, status: Option<&str>| {
            let seen = json!({
                "spec": {"syncPolicy": wanted.value()},
                "status": {"sync": {"status": status}},
            });
            thaw_verdict(&seen, wanted, jiff::Timestamp::UNIX_EPOCH, None).map(|it| it.is_ok())
        };
        for (wanted, status, holds) in [
            (&on, Some("Synced"), Some(true)),
            (&on, Some("OutOfSync"), Some(false)),
            (&on, Some("Unknown"), None),
            (&on, None, None),
            (&off, Some("Unknown"), Some(true)),
        ] {
            assert_eq!(verdict(wanted, status), holds, "{status:?}");
        }
    }

    #[test]
    fn a_sheet_of_a_thaw_says_what_auto_sync_would_do() {
        let application = |status: &str| {
            json!({
                "metadata": {"name": "profile"},
                "status": {
                    "sync": {"status": status, "revision": "0123456789012345678901234567890123456789"},
                    "reconciledAt": "2026-11-21T10:00:00Z",
                },
            })
        };
        let nothing = Prediction::default();
        let said = at_once(&application("Synced"), Some(&nothing), true, None);
        assert!(
            said.does.contains("nothing to do: it is Synced at 0123456"),
            "{}",
            said.does
        );
        assert!(
            said.does.contains("compared at 2026-11-21T10:00:00Z"),
            "{}",
            said.does
        );
        assert!(said.but.is_empty(), "{:?}", said.but);
        // What was written since, that comparison knows nothing of.
        let written = |at: &str| Some(at.parse().unwrap());
        for (at, named) in [
            ("2026-11-21T10:00:00.9Z", true),
            ("2026-11-21T10:00:01Z", false),
        ] {
            let said = at_once(&application("Synced"), Some(&nothing), true, written(at));
            let does = &said.does;
            assert_eq!(does.contains("compared at"), named, "{does}");
            assert_eq!(
                does.contains("asked to compare once more"),
                !named,
                "{does}"
            );
        }

        let left = ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: Some("p".into()),
            name: "left".into(),
        };
        let only_live = Prediction {
            extra: vec![left],
            ..Prediction::default()
        };
        for (prunes, deletes) in [(true, true), (false, false)] {
            let said = at_once(&application("OutOfSync"), Some(&only_live), prunes, None);
            assert_eq!(
                said.does.contains("delete ConfigMap"),
                deletes,
                "{}",
                said.does
            );
            assert!(said.but[0].contains("is OutOfSync"), "{:?}", said.but);
        }
        let said = at_once(&application("Synced"), None, true, None);
        assert!(
            said.but[0].contains("could not be found out"),
            "{:?}",
            said.but
        );
    }
}
