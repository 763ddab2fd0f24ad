//! Gates that may not tell whether the incident is over, by how they were before anything was changed.

use super::{Sample, Verdict};
use crate::{
    plan::{Gate, MeasuredGate},
    run::Run,
    text,
};

impl Run {
    /// What is to be said of a gate, by what it said before the first change. `None`: nothing, or it was not tried out.
    pub fn doubt_of(&self, name: &str) -> Option<String> {
        let (Some(Gate::Measured(gate)), Some(tried)) =
            (self.gates.get(name), self.baselines.get(name))
        else {
            return None;
        };
        let why = &tried.why;
        let said = match tried.verdict {
            _ if misasked(tried) => format!("gate {name} cannot be asked: {why}"),
            Verdict::Inconclusive if below_the_floor(gate, tried) => format!(
                "gate {name} had too little traffic before anything was changed ({why}): without more it never is green; is its floor right?"
            ),
            Verdict::Green if of_a_symptom(gate) => format!(
                "gate {name} was green before anything was changed ({why}): it may not look at the symptom"
            ),
            _ => return None,
        };
        Some(text::line(&said))
    }

    /// The same of all gates.
    pub fn doubts(&self) -> Vec<String> {
        let names = self.gates.keys();
        names.filter_map(|name| self.doubt_of(name)).collect()
    }

    /// The first gate that could not be asked, since the server could not read its query or there was nobody to ask: as
    /// things are it is never green, whatever is done.
    pub fn misasked_gate(&self) -> Option<(&String, &Sample)> {
        self.baselines
            .iter()
            .find(|(name, tried)| self.gates.contains_key(*name) && misasked(tried))
    }

    /// The gates that nobody could be asked about when they were tried out: another try may do better.
    pub fn unasked_gates(&self) -> Vec<String> {
        let unasked = self.baselines.iter().filter(|(_, tried)| tried.unasked);
        unasked
            .map(|(name, _)| name.clone())
            .filter(|name| self.gates.contains_key(name))
            .collect()
    }
}

/// `bad_data` is what Prometheus answers where a query cannot be read.
fn misasked(tried: &Sample) -> bool {
    tried.verdict == Verdict::Inconclusive && (tried.unasked || tried.why.contains(": bad_data: "))
}

/// Whether less passed than the gate asks for to say anything.
fn below_the_floor(gate: &MeasuredGate, tried: &Sample) -> bool {
    let metric = gate.prometheus.as_ref();
    let floor = metric.map(|metric| metric.floor.unwrap_or(0.0));
    let traffic = tried.traffic.zip(floor);
    traffic.is_some_and(|(traffic, floor)| traffic <= floor)
}

/// Whether it should have been red while the incident was on. That pods are ready, nobody writes, or something is no worse than it
/// was, is green from the start where all is well with it.
fn of_a_symptom(gate: &MeasuredGate) -> bool {
    let relative = |is: &str| is.contains("baseline");
    let metric = gate.prometheus.as_ref();
    metric.is_some_and(|metric| !relative(&metric.is))
        || gate.http.is_some()
        || gate.command.is_some()
        || gate.field.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gate, plan::Plan};

    #[test]
    fn a_gate_that_never_saw_the_symptom_is_said() {
        let reading = |n| gate::Reading::Value(n);
        let bad = gate::Reading::Unusable("bad_data: parse error".into());
        let thin = gate::Reading::Unusable("2 series where one is needed".into());
        let down = gate::Reading::Unasked("no Prometheus is known".into());
        for (is, value, said) in [
            (
                "== 0",
                gate::Reading::Empty,
                Some(
                    "was green before anything was changed (0 (no such series, but there is traffic), is == 0)",
                ),
            ),
            ("== 0", reading(0.0), Some("may not look at the symptom")),
            ("== 0", reading(0.3), None),
            ("<= baseline * 1.1", reading(0.3), None),
            (
                "== 0",
                bad,
                Some("gate no-401 cannot be asked: no usable value: bad_data: parse error"),
            ),
            (
                "== 0",
                down,
                Some("gate no-401 cannot be asked: no Prometheus is known"),
            ),
            ("== 0", thin, None),
        ] {
            let plan = format!(
                "apiVersion: trueup.dev/v1\nkind: Plan\nincident: I\nscope: [a]\ngates:\n  no-401: {{prometheus: {{value: x, traffic: y, is: '{is}'}}}}\n"
            );
            let mut run = Run::default();
            run.take_plan(&Plan::parse(&plan).unwrap());
            assert_eq!(run.doubts(), [""; 0], "not tried yet");
            let judged = gate::judge_metric(
                is.parse().unwrap(),
                &value,
                Some(&reading(5.0)),
                None,
                Some(0.3),
            );
            run.baselines
                .insert("no-401".into(), judged.sample(jiff::Timestamp::UNIX_EPOCH));
            let doubts = run.doubts();
            match said {
                Some(said) => assert!(doubts.len() == 1 && doubts[0].contains(said), "{doubts:?}"),
                None => assert_eq!(doubts, [""; 0], "{is} {value:?}"),
            }
            assert_eq!(
                run.misasked_gate().is_some(),
                said.is_some_and(|s| s.contains("asked"))
            );
        }
    }

    #[test]
    fn a_floor_that_was_not_reached_before_anything_was_changed_is_said() {
        let plan = "apiVersion: trueup.dev/v1\nkind: Plan\nincident: I\nscope: [a]\ngates:\n  no-401: {prometheus: {value: x, traffic: y, is: '== 0', floor: 1e9}}\n";
        let mut run = Run::default();
        run.take_plan(&Plan::parse(plan).unwrap());
        for (traffic, said) in [(60.0, true), (2e9, false)] {
            let (value, traffic) = (gate::Reading::Value(0.3), gate::Reading::Value(traffic));
            let is = "== 0".parse().unwrap();
            let judged = gate::judge_metric(is, &value, Some(&traffic), Some(1e9), None);
            let sample = judged.sample(jiff::Timestamp::UNIX_EPOCH);
            run.baselines.insert("no-401".into(), sample);
            let doubts = run.doubts();
            assert_eq!(doubts.len(), usize::from(said), "{doubts:?}");
            assert!(!said || doubts[0].contains("too little traffic") && doubts[0].contains("60"));
        }
    }
}
