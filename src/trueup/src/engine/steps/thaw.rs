//! Thawing: a predicted sync like any other, then watched for two reconcile rounds.

use serde_json::Value;
use trueup_core::{
    event::{Effect, Event, Guard},
    object::identity::AppKey,
    policy::{Policy, thaw_ops},
    run::{Sync, Thaw},
    sheet::{Refusal, Sheet},
    text,
};

use super::super::{state::Engine, trouble::Trouble};
use super::{
    application,
    freeze::{each_application, stopped_at},
};

impl Engine {
    /// Puts the target policies in place, one Application after the other, each watched before the next.
    pub(in super::super) async fn thaw(&self, sheet: &Sheet) -> Result<(), Trouble> {
        let each = each_application(sheet);
        for (at, (key, guard, will)) in each.iter().enumerate() {
            self.thaw_one(key, guard, will)
                .await
                .map_err(|trouble| stopped_at(trouble, "thawed", &each, at))?;
        }
        Ok(())
    }

    async fn thaw_one(&self, key: &AppKey, guard: &Guard, will: &[String]) -> Result<(), Trouble> {
        if matches!(
            self.run().apps.get(key).map(|app| &app.sync),
            Some(Sync::Verified { .. })
        ) {
            self.gates_still_green(key).await?;
        }
        self.nothing_would_move(key).await?;
        let wanted = self.target_policy(key)?;
        let automated = wanted.automated().cloned().unwrap_or(Value::Null);
        let outcome = self
            .patch_application(key, guard, will, |fresh, _| {
                let patch = Value::Array(thaw_ops(fresh, &wanted));
                let effect = Effect::Thaw {
                    application: key.clone(),
                    automated: automated.clone(),
                    patch: patch.clone(),
                };
                Ok((effect, patch))
            })
            .await?;
        Self::must_be_done(&format!("thaw {key}"), outcome)?;
        while matches!(
            self.run().apps.get(key).map(|app| &app.thaw),
            Some(Thaw::Restored { .. })
        ) {
            self.watch_thaw(key).await?;
        }
        if let Some(Thaw::Broken { why, .. }) = self.run().apps.get(key).map(|app| &app.thaw) {
            return Err(Refusal::new(
                3,
                format!("{key} did not stay as thawed: {why}"),
                "freeze it again with `F`, then see what moved it",
            )
            .into());
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
            format!("{key} is {status}: auto-sync would start a sync that nobody was shown"),
            "look again: what differs has to be decided first",
        )
        .into())
    }

    /// One reconcile round: a refresh that we ask for, consumed, a newer comparison, and nothing running.
    pub(in super::super) async fn watch_thaw(&self, key: &AppKey) -> Result<(), Trouble> {
        let run = self.run();
        let Some(Thaw::Restored { op, at, rounds }) = run.apps.get(key).map(|app| app.thaw.clone())
        else {
            return Ok(());
        };
        let seen = self.refresh(key).await?;
        let wanted = self.target_policy(key)?;
        let verdict = thaw_verdict(&seen, &wanted, at);
        let _ = op;
        self.record(Event::ThawWatched {
            application: key.clone(),
            round: rounds + 1,
            holds: verdict.is_ok(),
            why: verdict.unwrap_or_else(|why| why),
        })?;
        Ok(())
    }
}

fn thaw_verdict(
    seen: &Value,
    wanted: &Policy,
    thawed_at: jiff::Timestamp,
) -> Result<String, String> {
    let stands = Policy::of(seen);
    if stands.automated() != wanted.automated() {
        return Err("somebody changed the policy again".into());
    }
    if let Some(operation) = application::operation(seen) {
        return Err(format!("an operation runs: {operation}"));
    }
    let automated = seen
        .pointer("/status/operationState/operation/initiatedBy/automated")
        .and_then(Value::as_bool)
        == Some(true);
    let started: Option<jiff::Timestamp> = seen
        .pointer("/status/operationState/startedAt")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok());
    if automated && started.is_some_and(|at| at.as_second() >= thawed_at.as_second()) {
        return Err("auto-sync started a sync that was not shown".into());
    }
    match seen.pointer("/status/sync/status").and_then(Value::as_str) {
        Some("Synced") => Ok("policy as targeted, Synced, nothing running".into()),
        other if !wanted.is_on() => Ok(format!(
            "policy as targeted, which is off, nothing running; it is {} and nothing syncs it",
            text::line(other.unwrap_or("not compared"))
        )),
        other => Err(format!(
            "it is {}",
            text::line(other.unwrap_or("not compared"))
        )),
    }
}
