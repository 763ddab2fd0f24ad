//! The gates after each sync: what was sampled of them, for how long, and what is still to pass.

use super::*;
use crate::{plan::MeasuredGate, text};

/// The samples of one gate after one sync.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateRun {
    pub spec: Option<Gate>,
    pub hold: Span,
    pub every: Span,
    pub within: Span,
    pub started_at: Option<Timestamp>,
    pub samples: Vec<Sample>,
    /// First sample of the unbroken green streak.
    pub green_since: Option<Timestamp>,
    pub streak: u32,
    pub passed: Option<Timestamp>,
    pub timed_out: Option<String>,
    /// Who gave the wait for it up; none where its time was over.
    pub given_up_by: Option<String>,
    /// How long it was looked at: what `within` counts. While nobody looked, nothing was waited for.
    pub waited: Duration,
    /// Up to when that is counted.
    pub counted_to: Option<Timestamp>,
    /// Since then something happened at which the walk stands elsewhere.
    pub elsewhere: bool,
    /// When nobody looked, each as long as a few samples at least.
    pub away: Vec<Away>,
}

/// A time in which a gate was waited for by nobody.
#[derive(Clone, Debug, PartialEq)]
pub struct Away {
    pub from: Timestamp,
    pub to: Timestamp,
    /// The process was gone; otherwise the machine slept, or the walk stood still at something else.
    pub gone: bool,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasted = self.to.duration_since(self.from).as_secs().max(0);
        let why = match self.gone {
            true => "trueup was not running",
            false => "no sample was taken",
        };
        write!(
            f,
            "looked away for {} ({why})",
            Span::seconds(lasted.unsigned_abs())
        )
    }
}

/// An answer is not waited for longer than this: what comes later was not asked in time.
const ANSWER: Duration = Duration::from_secs(60);

impl GateRun {
    /// Counts the time up to `at` as waited, or as time in which nobody looked.
    pub(super) fn count_to(&mut self, at: Timestamp, gone: bool) {
        let Some(from) = self.counted_to.or(self.started_at) else {
            return;
        };
        self.counted_to = Some(at);
        let Ok(lasted) = Duration::try_from(at.duration_since(from)) else {
            return;
        };
        let few = self.every.0 * 2 + Duration::from_secs(1);
        // A walk that stood elsewhere waited for no answer.
        let elsewhere = std::mem::take(&mut self.elsewhere);
        if gone || elsewhere && lasted > few || lasted > few + ANSWER {
            if lasted > few {
                self.away.push(Away { from, to: at, gone });
            }
        } else {
            self.waited += lasted;
        }
    }

    /// Since when it would have been waited for, had nobody ever looked away.
    pub fn waits_since(&self) -> Option<Timestamp> {
        let counted = self.counted_to.or(self.started_at)?;
        counted.checked_sub(self.waited).ok()
    }

    pub(super) fn take(&mut self, sample: &Sample, at: Timestamp) {
        self.count_to(at, false);
        let gap = self.samples.last().is_some_and(|last| {
            let limit = self.every.0.as_secs_f64() * 2.0 + 1.0;
            sample.at.duration_since(last.at).as_secs_f64() > limit
        });
        if gap || sample.verdict != Verdict::Green {
            self.break_streak();
        }
        if sample.verdict == Verdict::Green {
            self.green_since.get_or_insert(sample.at);
            self.streak += 1;
        }
        self.samples.push(sample.clone());
    }

    /// Whether it asks that nobody writes, and so rests on a watch without gaps.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(&self.spec, Some(Gate::Measured(gate)) if gate.quiet.is_some())
    }

    pub(super) fn break_streak(&mut self) {
        if self.passed.is_none() {
            self.green_since = None;
            self.streak = 0;
        }
    }

    /// Why it was not green in time, and when that was seen; `None` while it is waited for, and once it passed.
    pub fn late(&self) -> Option<String> {
        let why = self.timed_out.as_ref().filter(|_| self.passed.is_none())?;
        Some(match self.samples.last() {
            Some(last) => format!("{why} (seen {} UTC)", last.at.strftime("%-d %b %H:%M:%S")),
            None => why.clone(),
        })
    }

    /// How its wait ended without its passing, in words: `out of time`, `given up by jo`. Of what a gate said when a person gave
    /// it up, nothing is concluded.
    pub fn ended_unmet(&self) -> Option<String> {
        self.timed_out.as_ref().filter(|_| self.passed.is_none())?;
        Some(match &self.given_up_by {
            Some(by) => crate::text::line(&format!("given up by {by}")),
            None => "out of time".into(),
        })
    }

    /// That it was not passed, and why.
    pub fn unmet(&self, key: &AppKey, gate: &str, why: &str) -> String {
        let how = match self.given_up_by {
            Some(_) => "was not passed",
            None => "did not become green",
        };
        format!("gate {gate} after {key} {how}: {why}")
    }

    /// Green for as long as asked, seen at least twice.
    pub fn held(&self) -> bool {
        match (self.green_since, self.samples.last()) {
            (Some(since), Some(last)) => {
                self.streak >= 2 && last.at.duration_since(since).unsigned_abs() >= self.hold.0
            }
            _ => false,
        }
    }
}

impl Run {
    /// The gates that follow the sync of an Application. Those that no step of a plan names follow the last sync.
    pub fn gates_after(&self, app: &AppKey) -> Vec<String> {
        let mut steps = self.steps().unwrap_or_default().iter();
        let planned = steps.find(|step| self.named(&step.application) == Some(app));
        let asked = |name: &&String| !self.removed_gates.contains_key(*name);
        let mut gates = match planned {
            Some(step) => step.then.iter().filter(asked).cloned().collect(),
            None => vec!["healthy".to_owned()],
        };
        if self.sync_order().last() == Some(app) {
            // The gates of the steps of a plan are theirs, and what somebody saw after them is said of them.
            match self.steps() {
                Some(_) => gates.extend(self.in_no_step()),
                None => gates.extend(self.gates.keys().filter(|name| *name != "healthy").cloned()),
            }
        }
        gates
    }

    /// The Applications whose gates judge what a write to this one leaves behind: itself, and what comes after it in the order of
    /// syncs. What was given back already was judged for good.
    pub(super) fn judged_with(&self, key: &AppKey) -> Vec<AppKey> {
        let order = self.sync_order();
        let later = order.iter().skip_while(|it| *it != key).skip(1);
        let kept = |key: &&AppKey| !self.is_given_back(key);
        [key]
            .into_iter()
            .chain(later)
            .filter(kept)
            .cloned()
            .collect()
    }

    /// What is to be said of gates that a write to an Application has asked anew.
    pub fn judged_anew_after(&self, key: &AppKey) -> Option<String> {
        let settled = self.judged_with(key).into_iter().filter_map(|key| {
            let gates: Vec<String> = self
                .gates_after(&key)
                .into_iter()
                .filter(|gate| self.glass_for(&key, gate).is_none())
                .filter(|gate| self.gate_settled(&key, gate).is_some())
                .collect();
            (!gates.is_empty()).then(|| format!("{} after {}", gates.join(", "), key.name))
        });
        let settled: Vec<String> = settled.collect();
        (!settled.is_empty()).then(|| {
            text::line(&format!(
                "what was judged without it is judged anew: {}",
                settled.join("; ")
            ))
        })
    }

    /// The Application whose sync was made, is followed by this gate, and has no glass broken for it: it has to answer there.
    pub fn gate_follows(&self, gate: &str) -> Option<&AppKey> {
        let made = self.walking().find(|(key, app)| {
            !matches!(app.sync, Sync::Not)
                && app.freeze != Freeze::Thawed
                && self.gates_after(key).iter().any(|name| name == gate)
                && self.glass_for(key, gate).is_none()
        });
        made.map(|(key, _)| key)
    }

    /// How a gate after a sync that was made is settled, and so is not asked again.
    pub fn gate_settled(&self, key: &AppKey, gate: &str) -> Option<&'static str> {
        let app = self.apps.get(key)?;
        let passed = |state: &GateRun| state.passed.is_some();
        if app.gates.get(gate).is_some_and(passed) {
            Some("it passed")
        } else if app.attested.contains_key(gate) {
            Some("it was attested")
        } else if self.glass_for(key, gate).is_some() {
            Some("glass was broken for it")
        } else {
            None
        }
    }

    /// What was taken away of the gates or asks something else by now, in words, where a plan or a person had named it.
    pub fn gates_changed(&self) -> Vec<String> {
        let away = self.removed_gates.iter().map(|(name, away)| {
            format!(
                "gate {name} was taken away by {}: nothing waits for it ({})",
                away.by, away.why
            )
        });
        let mended = self.mended_gates.iter().filter_map(|(name, mended)| {
            let asks = |gate: &Gate| match gate {
                Gate::Measured(MeasuredGate {
                    hold: Some(hold), ..
                }) => {
                    format!("{} for {hold}", gate.asks())
                }
                _ => gate.asks(),
            };
            let (is, was) = (asks(self.gates.get(name)?), asks(&mended.was));
            Some(format!(
                "gate {name} asks something else since {} changed it: {is}; it was: {was}",
                mended.by
            ))
        });
        away.chain(mended).map(|said| text::line(&said)).collect()
    }

    /// The Applications after whose sync a person is asked for this gate now: synced as shown, every measured gate settled,
    /// and nobody has said yet what they saw.
    pub fn to_attest(&self, gate: &str) -> Vec<AppKey> {
        let asked = |key: &&AppKey| {
            self.gates_after(key).iter().any(|name| name == gate)
                && self.gate_to_pass(key).is_none()
                && self.apps.get(*key).is_some_and(|app| {
                    matches!(app.sync, Sync::Verified { .. })
                        && self.gate_settled(key, gate).is_none()
                })
        };
        self.scope.iter().filter(asked).cloned().collect()
    }

    /// What was not looked at up to this moment: a line for each gate that was waited for.
    pub fn looked_away(&self, until: Timestamp) -> Vec<String> {
        let gates = |(key, app): (&'_ AppKey, &'_ AppRun)| {
            let ended = |(gate, state): (&String, &GateRun)| {
                let away = state.away.iter().find(|away| away.to == until)?;
                Some(format!("gate {gate} after {}: {away}", key.name))
            };
            app.gates.iter().filter_map(ended).collect::<Vec<_>>()
        };
        self.apps.iter().flat_map(gates).collect()
    }

    /// Whether a gate looks at more than health and who writes.
    pub fn looks_at_the_symptom(&self, gate: &str) -> bool {
        match self.gates.get(gate) {
            Some(Gate::Manual(_)) => true,
            Some(Gate::Measured(gate)) => {
                gate.prometheus.is_some()
                    || gate.http.is_some()
                    || gate.command.is_some()
                    || gate.field.is_some()
            }
            None => false,
        }
    }

    /// What is to be said where no gate looks at what the incident is about: that pods are ready, and that nobody writes,
    /// says nothing of it.
    pub fn no_symptom_gate(&self) -> Option<&'static str> {
        let mut gates = self.scope.iter().flat_map(|key| self.gates_after(key));
        let said = match self.closed.is_some() {
            true => {
                "no gate looked at the symptom, only at health: whether it is over, nothing here tells"
            }
            false => {
                "no gate looks at the symptom, only at health: add one (`gates` in the plan, `a` on the Sync screen), or look by hand"
            }
        };
        (!self.scope.is_empty() && !gates.any(|name| self.looks_at_the_symptom(&name)))
            .then_some(said)
    }

    /// What is to be said where others were at work after the last sample of a gate: it judged what was there before.
    pub fn not_judged(&self) -> Option<String> {
        let (at, last) = (self.judged_at?, self.unjudged.last()?);
        let things = text::count(self.unjudged.len(), "thing");
        Some(text::line(&format!(
            "others did {things} since a gate was sampled last, at {}, the last of them: {last}; whether the symptom is back, no gate has looked",
            at.strftime("%H:%M:%S UTC")
        )))
    }

    /// Whether anything was done that a gate can see: a freeze is nothing of the kind.
    pub fn cure_begun(&self) -> bool {
        self.ops
            .values()
            .any(|op| op.done() && !matches!(op.effect, crate::event::Effect::Freeze { .. }))
    }

    /// Whether a gate was begun and neither passed nor ran out of time.
    pub fn waits_for_a_gate(&self) -> bool {
        let gates = self.walking().flat_map(|(_, app)| app.gates.values());
        gates.into_iter().any(|state| {
            state.started_at.is_some() && state.passed.is_none() && state.timed_out.is_none()
        })
    }

    /// A gate after a sync that was made, which is begun, neither passed nor out of time: it is watched only while the walk
    /// stands at it.
    pub fn begun_gate(&self) -> Option<(&AppKey, String)> {
        let synced = |app: &AppRun| matches!(app.sync, Sync::Verified { .. });
        self.walking()
            .filter(|(_, app)| synced(app) && app.freeze != Freeze::Thawed)
            .find_map(|(key, app)| {
                let gate = self.gate_to_pass(key)?;
                let state = app.gates.get(&gate)?;
                (state.started_at.is_some() && state.timed_out.is_none()).then_some((key, gate))
            })
    }

    /// The walk stands elsewhere than at a gate: what happened has to be seen to first.
    pub(super) fn turn_away(&mut self) {
        for app in self.apps.values_mut() {
            for gate in app.gates.values_mut() {
                gate.elsewhere = gate.passed.is_none() && gate.timed_out.is_none();
            }
        }
    }

    /// The first gate after the sync of an Application that is measured, did not pass, and that no glass was broken for.
    pub fn gate_to_pass(&self, key: &AppKey) -> Option<String> {
        let app = self.apps.get(key)?;
        self.gates_after(key).into_iter().find(|gate| {
            !matches!(self.gates.get(gate), Some(Gate::Manual(_)))
                && app
                    .gates
                    .get(gate)
                    .is_none_or(|state| state.passed.is_none())
                && self.glass_for(key, gate).is_none()
        })
    }

    /// The glass that was broken for a gate after the sync of this Application that was made last.
    pub fn glass_for(&self, key: &AppKey, gate: &str) -> Option<&BrokenGlass> {
        let sync = self.apps.get(key).and_then(|app| app.sync.op());
        self.broken_glass.iter().rfind(|glass| {
            glass.what == gate
                && (glass.application.is_none()
                    || glass.application.as_ref() == Some(key) && glass.after.as_ref() == sync)
        })
    }

    /// Whether glass was broken for a sync whose effect cannot be predicted; glass for a gate is none for that.
    pub fn glass_for_sync(&self, key: &AppKey) -> bool {
        let what = unpredicted(key);
        self.broken_glass.iter().any(|glass| glass.what == what)
    }

    /// The gate that the walk stands still at after the sync of an Application: it was not green in time.
    pub fn late_gate(&self, key: &AppKey) -> Option<String> {
        let app = self.apps.get(key)?;
        let late = |gate: &String| {
            app.gates
                .get(gate)
                .is_some_and(|state| state.late().is_some())
                && self.glass_for(key, gate).is_none()
        };
        self.gates_after(key).into_iter().find(late)
    }

    /// The gates of which one fresh sample is taken before these are thawed, and those that are not sampled because glass
    /// was broken for them. Gates follow a sync: what was not synced has none.
    pub fn gates_before_thaw<'a>(
        &'a self,
        applications: &[AppKey],
    ) -> (BTreeSet<String>, Vec<&'a BrokenGlass>) {
        let synced = applications.iter().filter(|key| {
            let app = self.apps.get(*key);
            app.is_some_and(|app| matches!(app.sync, Sync::Verified { .. }))
        });
        let gates = synced.flat_map(|key| {
            self.gates_after(key)
                .into_iter()
                .map(move |name| (key, name))
        });
        let (mut sampled, mut broken) = (BTreeSet::new(), Vec::new());
        for (key, name) in gates {
            match self.glass_for(key, &name) {
                Some(glass) => broken.push(glass),
                // A person looked, and is not asked once more.
                None if matches!(self.gates.get(&name), Some(Gate::Manual(_))) => {}
                None => {
                    sampled.insert(name);
                }
            }
        }
        (sampled, broken)
    }
}
