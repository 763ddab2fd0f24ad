//! A finished incident as a plan that does the same on a fresh copy of the same world.

use super::{ExpectSync, On, Plan, PlannedAct, PlannedDecision, SyncStep, ThawPlan};
use crate::{
    decision::{Decision, Take, Wanted, is_secret},
    event::Effect,
    ids::OpId,
    object::identity::AppKey,
    run::{Freeze, Run, Sync},
};

/// The plan of what was decided and done; `None` before the incident was opened.
///
/// Every decision names its object, field and Application as taken. `expect` is the value that was taken, so that the
/// plan stops where the world has another; a secret has none, since its digest means nothing in another incident.
pub fn export(run: &Run) -> Option<Plan> {
    let incident = run.incident.clone()?;
    let name = |key: &AppKey| name(run, key);
    let targets = run
        .scope
        .iter()
        .filter_map(|key| Some((name(key), run.apps.get(key)?.target.as_ref()?.0.clone())))
        .collect();
    // What was taken back is nothing to be done again, there and back.
    let (_, taken_back) = run.acts();
    let stands =
        |id: &&OpId| !taken_back.contains_key(*id) && !taken_back.values().any(|by| by == id);
    let acts = run.op_order.iter().filter(stands);
    let acts = acts.filter_map(|id| run.ops.get(id));
    let act = acts
        .filter(|op| op.done())
        .filter_map(|op| match &op.effect {
            Effect::Act {
                application,
                object,
                action,
                reason,
                ..
            } if run.scope.contains(application) => Some(PlannedAct {
                application: name(application),
                object: object.short(),
                action: action.clone(),
                reason: reason.clone(),
            }),
            _ => None,
        })
        .collect();
    let thawed = |key: &&AppKey| {
        let app = run.apps.get(*key);
        app.is_some_and(|app| app.freeze == Freeze::Thawed)
    };
    Some(Plan {
        api_version: crate::API_VERSION.to_owned(),
        kind: "Plan".to_owned(),
        incident,
        scope: run.scope.iter().map(name).collect(),
        targets,
        decisions: decisions(run),
        commit: super::CommitPlan {
            branch: run.commit_branch.clone(),
            message: run.message.clone(),
            pull_request: run.pull_request,
        },
        gates: run.gates.clone(),
        sync: run
            .sync_order()
            .iter()
            .filter_map(|key| step(run, key))
            .collect(),
        act,
        thaw: ThawPlan {
            order: run.thaw_order().iter().filter(thawed).map(name).collect(),
        },
    })
}

impl Plan {
    /// The plan as YAML, as a person would write it.
    pub fn to_yaml(&self) -> String {
        // Through JSON, as it is read: a choice with a value is a mapping and no YAML tag.
        serde_json::to_value(self)
            .ok()
            .and_then(|value| serde_yaml::to_string(&value).ok())
            .expect("a plan holds nothing that YAML has no form for")
    }
}

/// An Application as plans name it.
fn name(run: &Run, key: &AppKey) -> String {
    if key.namespace == run.connection.namespace {
        key.name.clone()
    } else {
        key.to_string()
    }
}

fn step(run: &Run, key: &AppKey) -> Option<SyncStep> {
    let Sync::Verified { changes, .. } = &run.apps.get(key)?.sync else {
        return None;
    };
    Some(SyncStep {
        application: name(run, key),
        expect: changes.is_empty().then_some(ExpectSync::NoChange),
        then: run.gates_after(key),
    })
}

/// The decisions, the fields of one object with the same choice and reason together.
fn decisions(run: &Run) -> Vec<PlannedDecision> {
    // What was decided of an Application that has left the scope since is no part of the walk.
    let mut all: Vec<&Decision> = run
        .decisions
        .values()
        .filter(|decision| run.scope.contains(&decision.cell.application))
        .collect();
    all.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.cell.cmp(&b.cell)));
    let mut out: Vec<PlannedDecision> = Vec::new();
    for decision in all {
        let object = &decision.cell.object;
        let on = On {
            kind: object.kind.clone(),
            name: object.name.clone(),
            namespace: object.namespace.clone().unwrap_or_else(super::any),
            application: name(run, &decision.cell.application),
        };
        let field = decision.cell.field.to_string();
        let same = out.iter_mut().find(|planned| {
            planned.on == on
                && planned.take == decision.take
                && planned.reason == decision.reason
                // A value of a snapshot is that of its one field, be it that of another too.
                && !matches!(decision.take, Take::Snapshot(_))
        });
        let planned = match same {
            Some(planned) => planned,
            None => {
                out.push(PlannedDecision {
                    on,
                    fields: Vec::new(),
                    take: decision.take.clone(),
                    expect: Default::default(),
                    reason: decision.reason.clone(),
                });
                let Some(planned) = out.last_mut() else {
                    continue;
                };
                planned
            }
        };
        if let (Take::Git | Take::LastSynced | Take::Live(_), Wanted::Value(value)) =
            (&decision.take, &decision.git)
            && !is_secret(value)
            // Of an object as a whole the content has what only this world allocated.
            && !decision.cell.field.is_root()
        {
            planned.expect.insert(field.clone(), value.clone());
        }
        planned.fields.push(field);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::sample;

    #[test]
    fn an_exported_plan_reads_back_and_says_what_was_done() {
        let run = Run::fold(&sample::records());
        let plan = export(&run).unwrap();
        let yaml = plan.to_yaml();
        assert_eq!(Plan::parse(&yaml).unwrap(), plan, "{yaml}");
        insta::assert_snapshot!(yaml);
    }

    #[test]
    fn what_was_not_done_is_not_planned() {
        let records = sample::records();
        assert_eq!(export(&Run::default()), None);
        for end in 1..records.len() {
            let run = Run::fold(&records[..end]);
            let plan = export(&run).unwrap();
            assert_eq!(Plan::parse(&plan.to_yaml()).unwrap(), plan);
            let done = run
                .apps
                .values()
                .filter(|a| matches!(a.sync, Sync::Verified { .. }));
            assert_eq!(plan.sync.len(), done.count());
        }
    }

    /// Scaled down and up again by hand, and scaled once more for good: no plan scales it down.
    #[test]
    fn an_action_that_was_taken_back_is_not_planned_nor_the_one_that_took_it_back() {
        use crate::{
            decision::CellKey,
            event::{Guard, Outcome},
            plan::Action,
            run::Op,
        };
        use serde_json::json;
        let mut run = Run::fold(&sample::records());
        let application = sample::app("like");
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "like-service", "namespace": "like"}});
        let object = crate::object::identity::ObjectRef::from_object(&object).unwrap();
        let act = |run: &mut Run, id: &str, from: u32, to: u32| {
            let field: crate::object::path::FieldPath = ".spec.replicas".parse().unwrap();
            let facts = [(field.to_string(), json!(from))];
            let op = Op {
                effect: Effect::Act {
                    application: application.clone(),
                    object: object.clone(),
                    action: Action::Scale { replicas: to },
                    patch: json!([]),
                    inverse: json!([]),
                    cell: Some(CellKey {
                        application: application.clone(),
                        object: object.clone(),
                        field,
                    }),
                    reason: format!("{from} to {to}"),
                },
                guard: Guard {
                    resource_version: None,
                    facts: facts.into(),
                },
                shown: Vec::new(),
                by_hand: Vec::new(),
                by: String::new(),
                intended_at: jiff::Timestamp::UNIX_EPOCH,
                outcome: Some((
                    Outcome::Done {
                        resource_version: None,
                        found: false,
                    },
                    jiff::Timestamp::UNIX_EPOCH,
                )),
            };
            run.op_order.push(OpId(id.into()));
            run.ops.insert(OpId(id.into()), op);
        };
        let planned = |run: &Run| {
            let act = export(run).unwrap().act.into_iter();
            act.map(|act| act.reason).collect::<Vec<_>>()
        };
        let before = planned(&run);
        act(&mut run, "there", 3, 0);
        assert_eq!(planned(&run).len(), before.len() + 1);
        act(&mut run, "back", 0, 3);
        assert_eq!(planned(&run), before);
        act(&mut run, "for-good", 3, 5);
        assert_eq!(planned(&run)[before.len()..], ["3 to 5"]);
    }

    #[test]
    fn no_digest_of_a_secret_is_expected_elsewhere() {
        let mut records = sample::records();
        for record in &mut records {
            if let crate::event::Event::Decided { decisions } = &mut record.event {
                decisions[0].take = Take::Git;
                decisions[0].git = Wanted::Value(serde_json::json!({"secret": "hmac:1"}));
            }
        }
        let plan = export(&Run::fold(&records)).unwrap();
        assert!(!plan.to_yaml().contains("hmac:"));
    }
}
