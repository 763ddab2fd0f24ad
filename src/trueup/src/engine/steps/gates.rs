//! Gates: a sample, the verdict on it, and the record of both.

use trueup_core::{
    event::Event,
    gate::{self, Comparison, Verdict},
    object::identity::AppKey,
    plan::{Gate, HealthGate, MeasuredGate},
    run::{AppRun, Sync},
    sheet::Refusal,
    text,
};

use super::super::{state::Engine, trouble::Trouble};
use super::application;
use crate::ports::{NoExit, ReadError, ReadFailure};

/// What was seen this long ago says what others did.
const FRESH: std::time::Duration = std::time::Duration::from_secs(2);
/// How long it has to be quiet once more before a thaw.
const QUIET_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);
/// How long the command of a gate may run.
const COMMAND_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// The gate that every plan has.
pub fn healthy() -> Gate {
    Gate::Measured(MeasuredGate {
        health: Some(HealthGate::default()),
        ..MeasuredGate::default()
    })
}

fn not_green_any_more(
    application: &AppKey,
    gate: &str,
    why: &str,
    hint: impl Into<String>,
) -> Refusal {
    Refusal::new(
        10,
        format!("gate {gate} after {application} is not green any more: {why}"),
        hint,
    )
}

impl Engine {
    fn gate_spec(&self, name: &str) -> Result<Gate, Trouble> {
        match self.run().gates.get(name) {
            Some(gate) => Ok(gate.clone()),
            None if name == "healthy" => Ok(healthy()),
            None => Err(Refusal::new(
                0,
                text::line(&format!("there is no gate {name}")),
                "add it first",
            )
            .into()),
        }
    }

    /// Tries a gate out and keeps what it says as the baseline from before the first change.
    pub(in super::super) async fn take_baseline(&self, name: &str) -> Result<(), Trouble> {
        let spec = self.gate_spec(name)?;
        let sample = self.sample_gate(&spec, None, name).await?;
        self.record(Event::BaselineTaken {
            gate: name.to_owned(),
            sample,
        })?;
        Ok(())
    }

    /// Tries out once more what could not be asked when it was tried out: it may be answered by now.
    pub async fn try_unasked_again(&self) -> Result<(), Trouble> {
        for name in self.run().unasked_gates() {
            self.take_baseline(&name).await?;
        }
        Ok(())
    }

    /// Begins to wait for a gate, the first time or anew: samples from before do not count.
    pub(super) fn begin_gate(&self, application: &AppKey, name: &str) -> Result<(), Trouble> {
        let spec = self.gate_spec(name)?;
        let run = self.run();
        let resolved = gate::resolve_waits(&spec, &run.waits);
        let known = |app: &AppRun| app.gates.contains_key(name);
        let anew = run.apps.get(application).is_some_and(known);
        for (wait, from, to) in resolved.shortened.iter().filter(|_| !anew) {
            self.record(Event::WaitShortened {
                wait: format!("gate {name}: {wait}"),
                from: from.to_string(),
                to: to.to_string(),
            })?;
        }
        self.record(Event::GateStarted {
            application: application.clone(),
            gate: name.to_owned(),
            spec,
            hold: resolved.hold,
            every: resolved.every,
            within: resolved.within,
        })?;
        Ok(())
    }

    /// Takes one sample after a sync, waits for the next one to be due first, and says when the gate has passed or given up.
    pub(in super::super) async fn gate_step(
        &self,
        application: &AppKey,
        name: &str,
    ) -> Result<(), Trouble> {
        let spec = self.gate_spec(name)?;
        let run = self.run();
        let started = run
            .apps
            .get(application)
            .and_then(|app| app.gates.get(name))
            .filter(|gate| gate.started_at.is_some());
        let Some(started) = started else {
            return self.begin_gate(application, name);
        };
        let (every, within) = (started.every.0, started.within.0);
        if let Some(last) = started.samples.last() {
            let due = last.at.checked_add(every).unwrap_or(last.at);
            self.ports.clock.sleep_until(due).await;
        }
        let sample = self.sample_gate(&spec, Some(application), name).await?;
        self.note_gaps()?;
        self.note_silence()?;
        let (why, verdict) = (sample.why.clone(), sample.verdict);
        let run = self.record(Event::GateSampled {
            application: application.clone(),
            gate: name.to_owned(),
            sample,
        })?;
        let gates = run.apps.get(application).map(|app| &app.gates);
        let Some(state) = gates.and_then(|gates| gates.get(name)) else {
            return Ok(());
        };
        if state.held() {
            self.record(Event::GatePassed {
                application: application.clone(),
                gate: name.to_owned(),
            })?;
            return Ok(());
        }
        // Only what was looked at is counted: a gate that nobody asked did not have its time.
        if state.waited > within {
            let mut why = match verdict {
                Verdict::Green => "it did not stay green for long enough".to_owned(),
                Verdict::Red => format!("red: {why}"),
                Verdict::Inconclusive => format!("inconclusive: {why}"),
            };
            for away in &state.away {
                why.push_str(&format!("; {away}, which is not counted"));
            }
            self.record(Event::GateTimedOut {
                application: application.clone(),
                gate: name.to_owned(),
                why,
                given_up_by: None,
            })?;
        }
        Ok(())
    }

    /// Ends the wait for a gate before its time: the walk stands still at it until a person says how it goes on.
    pub(in super::super) fn give_up_gate(
        &self,
        application: &AppKey,
        name: &str,
    ) -> Result<(), Trouble> {
        let run = self.run();
        let state = run
            .apps
            .get(application)
            .and_then(|app| app.gates.get(name));
        let last = state.and_then(|state| state.samples.last());
        let why = match last.map(|sample| (sample.verdict, sample.why.as_str())) {
            None => "it was not sampled yet".to_owned(),
            Some((Verdict::Green, _)) => "green, and not for long enough yet".to_owned(),
            Some((Verdict::Red, why)) => format!("last red: {why}"),
            Some((Verdict::Inconclusive, why)) => format!("last inconclusive: {why}"),
        };
        self.record(Event::GateTimedOut {
            application: application.clone(),
            gate: name.to_owned(),
            why,
            given_up_by: Some(self.setting.operator.clone()),
        })?;
        Ok(())
    }

    /// Where others were at work since the symptom was judged last: one fresh sample of every gate that looks at it.
    pub async fn judge_before_close(&self) -> Result<(), Trouble> {
        let (_, now) = self.seen_or_look().await?;
        let age = self.ports.clock.now().duration_since(now.at);
        if age.unsigned_abs() > FRESH {
            self.look().await?;
        }
        let run = self.run();
        if run.not_judged().is_none() {
            return Ok(());
        }
        let mut gates = Vec::new();
        for (key, app) in run.walking() {
            if matches!(app.sync, Sync::Verified { .. }) {
                let after = run.gates_after(key).into_iter();
                let of_symptom = after.filter(|name| run.looks_at_the_symptom(name));
                gates.extend(of_symptom.map(|name| (key, name)));
            }
        }
        let mut samples = Vec::new();
        for (key, name) in gates {
            if let Some(sample) = self.fresh_sample(key, &name).await? {
                samples.push((key, name, sample));
            }
        }
        let green = |(_, _, sample): &(_, _, gate::Sample)| sample.verdict == Verdict::Green;
        let red = samples.iter().find(|sample| !green(sample)).cloned();
        let last = samples.len();
        for (at, (key, name, sample)) in samples.into_iter().enumerate() {
            self.record(Event::GateBeforeThaw {
                application: key.clone(),
                gate: name,
                sample,
                closing: true,
                settles: red.is_none() && at + 1 == last,
            })?;
        }
        let hint = format!(
            "find out why; `trueup close {}` closes it as it is",
            run.id()
        );
        red.map_or(Ok(()), |(key, name, sample)| {
            Err(not_green_any_more(key, &name, &sample.why, hint).into())
        })
    }

    /// One fresh sample of every gate that guards a thaw; all have to be green.
    pub(in super::super) async fn gates_still_green(
        &self,
        application: &AppKey,
    ) -> Result<(), Trouble> {
        let run = self.run();
        for name in run.gates_after(application) {
            let Some(sample) = self.fresh_sample(application, &name).await? else {
                continue;
            };
            let (verdict, why) = (sample.verdict, sample.why.clone());
            self.record(Event::GateBeforeThaw {
                application: application.clone(),
                gate: name.clone(),
                sample,
                closing: false,
                settles: false,
            })?;
            if verdict != Verdict::Green {
                let hint = "find out why before auto-sync goes on";
                return Err(not_green_any_more(application, &name, &why, hint).into());
            }
        }
        Ok(())
    }

    /// A gate asked once more; nothing of one that a person settles, or that glass was broken for.
    async fn fresh_sample(
        &self,
        application: &AppKey,
        name: &str,
    ) -> Result<Option<gate::Sample>, Trouble> {
        let spec = self.gate_spec(name)?;
        let glass = self.run().glass_for(application, name).is_some();
        if matches!(spec, Gate::Manual(_)) || glass {
            return Ok(None);
        }
        if matches!(&spec, Gate::Measured(measured) if measured.quiet.is_some()) {
            // What was written since the gate passed was ours: quiet is asked for from now on.
            self.foreign_writes(&asked(name, Some(application))).await?;
            self.pause(QUIET_AGAIN).await;
        }
        self.sample_gate(&spec, Some(application), name)
            .await
            .map(Some)
    }

    /// Asks once and judges. What cannot be asked is inconclusive, and says why; but credentials that are no good any more
    /// stop the walk, since no later sample can be better.
    async fn sample_gate(
        &self,
        spec: &Gate,
        application: Option<&AppKey>,
        name: &str,
    ) -> Result<gate::Sample, Trouble> {
        let run = self.run();
        let baseline = run.baselines.get(name).and_then(|sample| sample.value);
        let judged = match spec {
            Gate::Manual(_) => {
                gate::judge_quiet(&[], Some("a manual gate is attested, not sampled"))
            }
            Gate::Measured(gate) => self.judge(gate, application, name, baseline).await?,
        };
        Ok(judged.sample(self.ports.clock.now()))
    }

    async fn judge(
        &self,
        measured: &MeasuredGate,
        application: Option<&AppKey>,
        name: &str,
        baseline: Option<f64>,
    ) -> Result<gate::Judged, Trouble> {
        if let Some(p) = &measured.prometheus {
            let Ok(comparison) = p.is.parse::<Comparison>() else {
                let why = "its comparison cannot be read";
                return Ok(gate::judge_quiet(&[], Some(why)));
            };
            let value = self.ports.probe.metric(&p.value).await;
            let traffic = match &p.traffic {
                Some(query) => Some(self.ports.probe.metric(query).await),
                None => None,
            };
            let traffic = traffic.as_ref();
            return Ok(gate::judge_metric(
                comparison, &value, traffic, p.floor, baseline,
            ));
        }
        if let Some(http) = &measured.http {
            let answer = self.ports.probe.http(&http.url).await;
            let answer = answer.as_ref().map(|(code, body)| (*code, body.as_str()));
            return Ok(gate::judge_http(http, answer.map_err(String::as_str)));
        }
        if let Some(command) = &measured.command {
            let end = self
                .ports
                .probe
                .command(&command.argv, COMMAND_DEADLINE)
                .await;
            return Ok(match end {
                Ok(code) => gate::judge_command(Ok(code)),
                Err(NoExit::NotStarted(why)) => gate::Judged::unasked(why),
                Err(NoExit::NotEnded(why)) => gate::judge_command(Err(&why)),
            });
        }
        if let Some(field) = &measured.field {
            return self.judge_field(field).await;
        }
        if measured.quiet.is_some() {
            return self.judge_quiet(application, name).await;
        }
        let named = measured
            .health
            .as_ref()
            .and_then(|h| h.application.as_deref());
        let run = self.run();
        let key = named
            .and_then(|name| {
                run.scope
                    .iter()
                    .find(|key| key.name == name || key.to_string() == name)
            })
            .or(application);
        match key {
            Some(key) => self.judge_health(key).await,
            None => Ok(gate::judge_quiet(&[], Some("no Application is named"))),
        }
    }

    async fn judge_field(
        &self,
        field: &trueup_core::plan::FieldGate,
    ) -> Result<gate::Judged, Trouble> {
        let object = trueup_core::object::identity::ObjectRef {
            group: field.group.clone(),
            version: "v1".into(),
            kind: field.kind.clone(),
            namespace: Some(field.namespace.clone()).filter(|n| !n.is_empty()),
            name: field.name.clone(),
        };
        let path = match field.field.parse::<trueup_core::object::path::FieldPath>() {
            Ok(path) => path,
            Err(error) => return Ok(gate::judge_field(field, Err(&error.to_string()))),
        };
        Ok(match self.ports.cluster.get(&object).await {
            Ok(Some(live)) => gate::judge_field(field, Ok(path.get(&live))),
            Ok(None) => gate::judge_field(field, Err("the object does not exist")),
            Err(error) if logged_out(&error) => return Err(error.into()),
            Err(error) if error.failure == ReadFailure::Forbidden => {
                gate::Judged::unasked(error.to_string())
            }
            Err(error) => gate::judge_field(field, Err(&error.to_string())),
        })
    }

    /// Nobody else wrote to the scope since the last sample: every write counts, one that was undone too.
    async fn judge_quiet(
        &self,
        application: Option<&AppKey>,
        name: &str,
    ) -> Result<gate::Judged, Trouble> {
        Ok(match self.foreign_writes(&asked(name, application)).await {
            Err(Trouble::Read(error)) if logged_out(&error) => return Err(error.into()),
            Err(error) => gate::judge_quiet(&[], Some(&error.to_string())),
            Ok(None) => gate::judge_quiet(&[], Some("this was the first look")),
            Ok(Some(foreign)) => gate::judge_quiet(&foreign, None),
        })
    }

    async fn judge_health(&self, key: &AppKey) -> Result<gate::Judged, Trouble> {
        let seen = match self.application(key).await {
            Ok(seen) => seen,
            Err(Trouble::Read(error)) if logged_out(&error) => return Err(error.into()),
            Err(error) => return Ok(gate::judge_quiet(&[], Some(&error.to_string()))),
        };
        let health = seen
            .pointer("/status/health/status")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("Unknown");
        let reconciled = application::reconciled_at(&seen);
        let finished = seen
            .pointer("/status/operationState/finishedAt")
            .and_then(serde_json::Value::as_str)
            .and_then(|text| text.parse().ok());
        Ok(gate::judge_health(health, reconciled, finished))
    }
}

/// What a quiet gate asks about, so that each hears of every write once.
fn asked(gate: &str, application: Option<&AppKey>) -> String {
    let after = application.map(ToString::to_string).unwrap_or_default();
    format!("{gate} after {after}")
}

/// The server does not know us any more: nothing can be asked of it until somebody logs in.
fn logged_out(error: &ReadError) -> bool {
    error.failure == ReadFailure::Unauthenticated
}
