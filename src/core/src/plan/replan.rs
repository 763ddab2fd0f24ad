//! A mended plan for an incident that has begun: what it may say anew, and what was done already and stays as it is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CommitPlan, Plan, Target};
use crate::{
    decision::{CellKey, Take},
    event::Effect,
    object::identity::AppKey,
    run::{Run, Sync},
};

/// What the plan says otherwise than the journal, each by name; empty: the walk can go on with it.
///
/// Open to a mended plan is what nothing was done about yet: policies that are not chosen, cells that are not decided or
/// are open again, syncs that have not begun with their gates and expectations, the gates of others that are not settled,
/// the order, and the commit before the first push. What is as the plan before it had it says nothing new, whatever was chosen on the screen meanwhile.
pub fn contradictions(run: &Run, plan: &Plan) -> Vec<String> {
    let before = run.plan.as_deref();
    let mut found = Vec::new();
    let incident = run.id();
    if plan.incident.as_str() != incident {
        found.push(format!("`incident` is {} here", incident));
    }
    found.extend(left_out(run, plan).into_iter().map(out_of_scope));
    for key in &run.scope {
        let chosen = run.apps.get(key).and_then(|app| app.target.as_ref());
        let (Some((chosen, ..)), Some(wanted)) = (chosen, plan.target(run, key)) else {
            continue;
        };
        let had = before.and_then(|before| before.target(run, key));
        let same = had == Some(wanted) || !run.bound && had == Some(chosen);
        if !same && (&chosen.policy, &chosen.automated) != (&wanted.policy, &wanted.automated) {
            found.push(format!(
                "`targets` of {key} is another policy than the one chosen"
            ));
        }
    }
    for (cell, decision) in &run.decisions {
        if run.shaken.contains_key(cell) || !run.scope.contains(&cell.application) {
            continue;
        }
        let Some(wanted) = plan.take(cell) else {
            continue;
        };
        let same = before.and_then(|before| before.take(cell)) == Some(wanted);
        if !same && *wanted != decision.take {
            found.push(format!(
                "`decisions` take another side for {} {} of {} than was decided",
                cell.object, cell.field, cell.application.name
            ));
        }
    }
    let pushed = done(run).any(|effect| matches!(effect, Effect::Push { .. }));
    let commit = before.map_or_else(
        || CommitPlan {
            branch: run.commit_branch.clone(),
            message: run.message.clone(),
            pull_request: run.pull_request,
        },
        |before| before.commit.clone(),
    );
    if pushed && plan.commit != commit {
        found.push(pushed_elsewhere(run));
    }
    found.extend(of_syncs(run, plan));
    let begun = pushed || done(run).any(|effect| matches!(effect, Effect::Sync { .. }));
    for act in plan.act.iter().filter(|_| begun) {
        let planned = before.is_some_and(|before| before.act.contains(act));
        let acted = done(run).any(|effect| {
            matches!(effect, Effect::Act { application, object, action, .. }
                if run.named(&act.application) == Some(application)
                    && *action == act.action && object.short() == act.object)
        });
        if !planned && !acted {
            found.push(format!(
                "`act` on {} of {} comes too late, after the push: that is `trueup act`",
                act.object, act.application
            ));
        }
    }
    found
}

/// The Applications of the incident that the plan leaves out and may not: what is walked without being named is changed unasked.
/// A parked one waits for its owner.
pub fn left_out<'a>(run: &'a Run, plan: &Plan) -> Vec<&'a AppKey> {
    let gone = gone_with(run, plan);
    run.walking()
        .map(|(key, _)| key)
        .filter(|key| !names(run, plan, key) && !gone.contains(key))
        .collect()
}

/// The Applications that go with the plan before: it alone brought them in, and it binds nobody.
pub fn gone_with<'a>(run: &'a Run, plan: &Plan) -> Vec<&'a AppKey> {
    let before = run.plan.as_deref().filter(|_| !run.bound);
    let Some(before) = before else {
        return Vec::new();
    };
    run.walking()
        .map(|(key, _)| key)
        .filter(|key| names(run, before, key) && !names(run, plan, key))
        .collect()
}

/// Whether the scope of the plan has this Application of the incident.
fn names(run: &Run, plan: &Plan, key: &AppKey) -> bool {
    plan.scope.iter().any(|name| run.named(name) == Some(key))
}

/// How it is said of one that is left out.
fn out_of_scope(key: &AppKey) -> String {
    format!("`scope` leaves out {key}, which is in this incident")
}

/// What was synced was synced with its gates: none of them is dropped, and none that is settled is turned into another one.
/// One that is not settled may be asked another way: it is judged anew.
fn of_syncs(run: &Run, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    let before = run.plan.as_deref();
    let after = run.with_plan(plan);
    let mut seen = BTreeSet::new();
    for key in &run.scope {
        if run.apps.get(key).is_none_or(|app| app.sync == Sync::Not) {
            continue;
        }
        let still = after.gates_after(key);
        for gate in run.gates_after(key) {
            if !still.contains(&gate) {
                found.push(format!(
                    "`sync` of {key} leaves out the gate {gate}, and it is synced already: a gate that asks the wrong thing and did \
                     not pass may ask another one under its name, and glass can be broken for it"
                ));
            } else if run.gates.get(&gate) != after.gates.get(&gate)
                && let Some(settled) = run.gate_settled(key, &gate)
                && seen.insert(gate.clone())
            {
                found.push(format!(
                    "`gates` has another {gate}, and {settled} after {key} already: leave it, and add the other one under a name of \
                     its own to `gates` and to `then` of {}: it is judged before the next step",
                    key.name
                ));
            }
        }
    }
    // A baseline is from before the first change, and that has been.
    let changed = done(run).next().is_some();
    for (name, gate) in &plan.gates {
        let new = before.is_none_or(|before| before.gates.get(name) != Some(gate));
        let compares = matches!(gate, super::Gate::Measured(gate)
            if gate.prometheus.as_ref().is_some_and(|p| p.is.contains("baseline")));
        if changed && new && compares && run.gates.get(name) != Some(gate) {
            found.push(format!(
                "gate `{name}` compares with a baseline, which would have to be from before the first change"
            ));
        }
    }
    found
}

/// What was pushed stays pushed; where it waits for a merge, that is the way on.
fn pushed_elsewhere(run: &Run) -> String {
    let said = "`commit` is another one than was pushed";
    match &run.proposal {
        Some(proposal) if run.pushed_unmerged() && proposal.branch != proposal.tracked => format!(
            "{said}: the change is on branch {0} already; merge {0} into {1} by hand, or bring the same change there, and the plan as \
             it was goes on from there (`trueup run` without --replan)",
            proposal.branch, proposal.tracked
        ),
        _ => said.into(),
    }
}

fn done(run: &Run) -> impl Iterator<Item = &Effect> {
    run.ops.values().filter(|op| op.done()).map(|op| &op.effect)
}

impl Plan {
    /// The policy for an Application: its own, else the one for all others.
    pub fn target(&self, run: &Run, key: &AppKey) -> Option<&Target> {
        let own = self
            .targets
            .iter()
            .find(|(name, _)| run.named(name) == Some(key));
        own.map(|(_, target)| target)
            .or_else(|| self.targets.get("*"))
    }

    /// What is taken for a cell: the first decision that covers it decides.
    fn take(&self, cell: &CellKey) -> Option<&Take> {
        let mut all = self.decisions.iter();
        all.find(|planned| planned.covers(cell))
            .map(|planned| &planned.take)
    }

    /// Where this plan is another one than `before`, by its keys: no value, since one could be secret.
    pub fn differs_from(&self, before: &Self) -> Vec<String> {
        let value = |plan: &Self| serde_json::to_value(plan).unwrap_or_default();
        let mut found = Vec::new();
        compare(&value(before), &value(self), String::new(), 0, &mut found);
        found
    }
}

/// How deep differences are named.
const DEPTH: usize = 3;

fn compare(before: &Value, after: &Value, at: String, depth: usize, found: &mut Vec<String>) {
    if before == after {
        return;
    }
    let key = |key: &str| match at.as_str() {
        "" => key.to_owned(),
        at => format!("{at}.{key}"),
    };
    match (before, after) {
        (Value::Object(a), Value::Object(b)) if depth < DEPTH => {
            for (name, was) in a {
                match b.get(name) {
                    Some(is) => compare(was, is, key(name), depth + 1, found),
                    None => found.push(format!("{} removed", key(name))),
                }
            }
            let new = b.keys().filter(|name| !a.contains_key(*name));
            found.extend(new.map(|name| format!("{} added", key(name))));
        }
        (Value::Array(a), Value::Array(b)) if depth < DEPTH => {
            for (n, (was, is)) in a.iter().zip(b).enumerate() {
                compare(was, is, format!("{at}[{n}]"), depth + 1, found);
            }
            let (less, more) = (a.len().min(b.len()), a.len().max(b.len()));
            let how = if a.len() > b.len() {
                "removed"
            } else {
                "added"
            };
            found.extend((less..more).map(|n| format!("{at}[{n}] {how}")));
        }
        _ => found.push(format!("{at} changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, Record},
        transcript::sample,
    };

    /// The journal of the sample up to the first event of this kind, and with it.
    fn until(stop: impl Fn(&Event) -> bool) -> Vec<Record> {
        let records = sample::records();
        let end = records.iter().position(|r| stop(&r.event)).unwrap();
        records[..=end].to_vec()
    }

    fn mended(from: &str, to: &str) -> Plan {
        let yaml = sample::plan().to_yaml();
        let text = yaml.replacen(from, to, 1);
        assert_ne!(text, yaml, "{from} in\n{yaml}");
        Plan::parse(&text).unwrap()
    }

    const TARGETS: (&str, &str) = ("policy: declared", "policy: found");
    const TAKE: (&str, &str) = (
        "live:\n      namespace: auth",
        "live:\n      namespace: like",
    );
    const MESSAGE: (&str, &str) = ("message: Reconcile", "message: Mend");
    const GATE: (&str, &str) = ("value: share_401", "value: share_402");
    const DROPPED: (&str, &str) = ("  - no-401\n", "");
    const ADDED: (&str, &str) = ("gates:\n", "gates:\n  looked: {manual: look}\n");
    const CANARY: (&str, &str) = ("  expect: no-change\n", "");
    const MANUAL: (&str, &str) = ("fresh auth flows in", "look at");

    #[test]
    fn a_mended_plan_says_anew_only_what_nothing_was_done_about() {
        let opened = until(|e| matches!(e, Event::IncidentOpened { .. }));
        let decided = until(|e| matches!(e, Event::Decided { .. }));
        let landed = until(|e| matches!(e, Event::Landed { .. }));
        let red = until(|e| matches!(e, Event::GateSampled { gate, .. } if gate == "no-401"));
        let gated = until(|e| matches!(e, Event::GatePassed { gate, .. } if gate == "no-401"));
        let seen = until(|e| matches!(e, Event::Attested { .. }));
        for (records, open, refused) in [
            (
                &opened,
                vec![TARGETS, TAKE, MESSAGE, GATE, DROPPED, CANARY, MANUAL],
                vec![],
            ),
            (
                &decided,
                vec![MESSAGE, GATE, DROPPED, CANARY, MANUAL],
                vec![
                    (TARGETS, "`targets` of argocd/auth-service"),
                    (TAKE, "ConfigMap/auth-config"),
                ],
            ),
            (
                &landed,
                vec![GATE, DROPPED, CANARY, MANUAL],
                vec![
                    (MESSAGE, "`commit`"),
                    (TARGETS, "`targets`"),
                    (TAKE, "`decisions`"),
                ],
            ),
            // What asks the wrong thing and did not pass is asked another way.
            (
                &red,
                // What no step names follows the last one.
                vec![CANARY, GATE, MANUAL, DROPPED],
                vec![],
            ),
            (
                &gated,
                vec![CANARY, MANUAL, ADDED, DROPPED],
                vec![(GATE, "`gates` has another no-401, and it passed")],
            ),
            (
                &seen,
                vec![CANARY, ADDED],
                vec![
                    (GATE, "under a name of its own"),
                    (MANUAL, "`gates` has another traces, and it was attested"),
                ],
            ),
        ] {
            let run = Run::fold(records);
            assert_eq!(contradictions(&run, &sample::plan()), Vec::<String>::new());
            for (from, to) in open {
                let found = contradictions(&run, &mended(from, to));
                assert_eq!(
                    found,
                    Vec::<String>::new(),
                    "{from} after {}",
                    records.len()
                );
            }
            for ((from, to), why) in refused {
                let found = contradictions(&run, &mended(from, to));
                assert!(
                    found.first().is_some_and(|first| first.contains(why)),
                    "{from} after {}: {found:?}",
                    records.len()
                );
            }
        }
        let mut gone = sample::plan();
        gone.gates.remove("no-401");
        for step in &mut gone.sync {
            step.then.retain(|gate| gate != "no-401");
        }
        assert_eq!(
            contradictions(&Run::fold(&landed), &gone),
            Vec::<String>::new()
        );
        for records in [&red, &gated] {
            let found = contradictions(&Run::fold(records), &gone);
            assert!(found[0].contains("leaves out the gate no-401"), "{found:?}");
        }
    }

    #[test]
    fn a_plan_that_leaves_an_application_out_is_none_for_this_incident() {
        let opened = Run::fold(&sample::records()[..1]);
        let mut plan = sample::plan();
        plan.scope.pop();
        let refused = |run: &Run| {
            let found = contradictions(run, &plan);
            let first = found.first().cloned().unwrap_or_default();
            first.contains("leaves out argocd/profile-service")
        };
        let with = |run: &Run, event: &str| {
            let mut run = run.clone();
            let record = format!(r#"{{"seq":9,"time":"2026-01-01T00:00:00Z",{event}}}"#);
            run.apply(&serde_json::from_str(&record).unwrap());
            run
        };
        let armed = with(&opened, r#""type":"armed","write":"git","by":"jo""#);
        assert!(refused(&armed));
        let mut unplanned = opened.clone();
        unplanned.plan = None;
        assert!(refused(&unplanned));
        let parked = r#""type":"parked","application":"argocd/profile-service","owner":"jo","until":"2026-02-01","reason":"later","by":"jo""#;
        for run in [&armed, &unplanned] {
            assert!(!refused(&with(run, parked)), "it waits for its owner");
        }
        // Nobody was ever armed for the plan that brought it in.
        assert!(!refused(&opened));
        let gone = gone_with(&opened, &plan);
        assert_eq!(gone[0].to_string(), "argocd/profile-service");
        assert!(gone_with(&armed, &plan).is_empty());
    }

    #[test]
    fn a_gate_that_a_mended_plan_changed_or_left_out_is_told() {
        let taken = |records: &[Record], plan: &Plan| {
            let mut run = Run::fold(records);
            let (by, reason) = ("jo".to_owned(), "the traces are down".to_owned());
            run.apply(&Record {
                seq: 99,
                time: jiff::Timestamp::UNIX_EPOCH,
                event: Event::PlanTaken {
                    plan: Box::new(plan.clone()),
                    by,
                    replaces: None,
                    reason,
                    differs: Vec::new(),
                },
            });
            run
        };
        let landed = until(|e| matches!(e, Event::Landed { .. }));
        let mut plan = sample::plan();
        let health = serde_json::from_str(r#"{"health":{}}"#).unwrap();
        plan.gates.insert("traces".into(), health);
        let run = taken(&landed, &plan);
        let said = run.gates_changed();
        assert!(
            said[0]
                .starts_with("gate traces asks something else since jo changed it: Healthy after")
                && said[0].ends_with("it was: a person looks: fresh auth flows in the traces"),
            "{said:?}"
        );
        // Nobody was armed for what it was.
        assert_eq!(taken(&landed[..1], &plan).gates_changed(), [""; 0]);
        // Changed back, it asks what it did.
        let back = run.with_plan(&sample::plan());
        assert_eq!(back.gates_changed(), [""; 0]);
        let mut less = sample::plan();
        less.gates.remove("traces");
        for step in &mut less.sync {
            step.then.retain(|gate| gate != "traces");
        }
        let run = taken(&landed, &less);
        assert_eq!(
            run.gates_changed(),
            [
                "gate traces was taken away by jo: nothing waits for it (the plan leaves it out: the traces are down)"
            ]
        );
        assert_eq!(run.with_plan(&sample::plan()).gates_changed(), [""; 0]);
    }

    #[test]
    fn what_only_a_plan_chose_that_nobody_armed_for_goes_with_it() {
        let records = until(|e| matches!(e, Event::TargetSet { .. }));
        let unarmed: Vec<Record> = records
            .iter()
            .filter(|record| !matches!(record.event, Event::Armed { .. }))
            .cloned()
            .collect();
        let run = Run::fold(&unarmed);
        let key = run.apps.iter().find(|(_, app)| app.target.is_some());
        let key = key.unwrap().0.clone();
        assert!(!run.bound);
        let plan = mended(TARGETS.0, TARGETS.1);
        assert_eq!(contradictions(&run, &plan), Vec::<String>::new());
        assert_eq!(run.with_plan(&plan).apps[&key].target, None);
        assert!(run.with_plan(&sample::plan()).apps[&key].target.is_some());
        let mut chosen = run.clone();
        let target = chosen.apps.get_mut(&key).unwrap().target.as_mut().unwrap();
        target.0.reason = Some("chosen on the screen".into());
        assert!(chosen.with_plan(&plan).apps[&key].target.is_some());
        let mut bound = run;
        bound.bound = true;
        assert!(contradictions(&bound, &plan)[0].contains("`targets`"));
    }

    #[test]
    fn what_was_touched_since_the_plan_was_mended_is_not_answered_by_it() {
        let records = until(|e| matches!(e, Event::Decided { .. }));
        let mut run = Run::fold(&records);
        let cell = run.decisions.keys().next().unwrap().clone();
        let adopted = |what: &str| Record {
            seq: 1,
            time: jiff::Timestamp::UNIX_EPOCH,
            event: Event::Adopted {
                application: Some(cell.application.clone()),
                what: what.into(),
                who: "jo".into(),
                cell: Some(cell.clone()),
                sides: None,
            },
        };
        let plan = mended(TAKE.0, TAKE.1);
        run.apply(&adopted("first"));
        let found = contradictions(&run, &plan);
        assert!(
            !found
                .iter()
                .any(|why| why.contains(&cell.field.to_string())
                    && why.contains(&cell.application.name)),
            "{found:?}"
        );
        let mut run = run.with_plan(&plan);
        assert!(run.reopened.contains(&cell));
        run.apply(&adopted("second"));
        assert!(!run.reopened.contains(&cell));
    }

    #[test]
    fn differences_are_named_without_a_value() {
        let found = mended(TAKE.0, TAKE.1).differs_from(&sample::plan());
        assert_eq!(found, ["decisions[0].take changed"]);
        let found = mended(CANARY.0, CANARY.1).differs_from(&sample::plan());
        assert_eq!(found, ["sync[0].expect removed"]);
        let mut plan = sample::plan();
        plan.targets.clear();
        assert_eq!(plan.differs_from(&sample::plan()), ["targets.* removed"]);
        assert_eq!(sample::plan().differs_from(&plan), ["targets.* added"]);
    }

    #[test]
    fn what_was_chosen_on_the_screen_outlives_a_plan_that_says_what_it_said() {
        let mut run = Run::fold(&until(|e| matches!(e, Event::Decided { .. })));
        run.message = Some("said on the screen".into());
        run.gates
            .insert("own".into(), sample::plan().gates["traces"].clone());
        let after = run.with_plan(&mended(GATE.0, GATE.1));
        assert_eq!(after.message.as_deref(), Some("said on the screen"));
        assert!(after.gates.contains_key("own"));
        assert_ne!(after.gates["no-401"], run.gates["no-401"]);
        assert!(
            !after.baselines.contains_key("no-401"),
            "it is of another query"
        );
        assert_eq!(after.proposal, run.proposal);
    }
}
