//! What a plan asks of the walk beside its decisions: live actions, removals, and that each decision matches something.

use trueup_core::{
    decision::{CellKey, Decision, LiveOf, Take, Wanted, resolve},
    event::Effect,
    now::Now,
    object::{
        identity::{AppKey, ObjectRef},
        path::{FieldPath, Pattern},
    },
    plan::{Action, Plan, PlannedAct, PlannedDecision},
    run::Run,
    sheet::Command,
    text,
    workflow::Stage,
};

use super::walk::{Answers, Ended, GO_ON, write};
use crate::engine::{Engine, Trouble, steps::decide::copy_of};

/// A sync takes nothing away that Git never had: where that is all that a prediction lacks, each decided removal is a
/// live action of its own (rule 8), confirmed by the plan's decision.
pub(super) fn removals(engine: &Engine, key: &AppKey) -> Vec<Command> {
    let run = engine.run();
    let Some((_, prediction)) = run.apps.get(key).and_then(|app| app.prediction.as_ref()) else {
        return Vec::new();
    };
    if !prediction.unexpected.is_empty()
        || prediction
            .missing
            .iter()
            .any(|m| m.to.is_some() || m.field.is_root())
    {
        return Vec::new();
    }
    let reason = |change: &trueup_core::event::Changed| {
        run.decisions
            .values()
            .find(|d| d.cell.object.key() == change.object.key() && d.cell.field == change.field)
            .map(|d| d.reason.clone())
            .unwrap_or_default()
    };
    prediction
        .missing
        .iter()
        .map(|change| Command::Act {
            application: key.clone(),
            object: change.object.to_string(),
            action: Action::Remove {
                field: change.field.to_string(),
            },
            reason: reason(change),
        })
        .collect()
}

/// Rule 8 without a screen: `take: remove` on one object is the confirmation of exactly that deletion. A decision that
/// would delete by another word, or several objects at once, confirms none of them and stops before anything is done.
pub(super) fn deletions(planned: &PlannedDecision, mine: &[CellKey], now: &Now) -> Option<Ended> {
    let deletes = |key: &&CellKey| {
        let sides = now.cells.get(*key).map(|cell| &cell.sides);
        key.field.is_root()
            && sides.is_some_and(|sides| sides.live.is_some())
            && sides.is_some_and(|sides| {
                resolve(key, &planned.take, sides, None, true)
                    .is_ok_and(|(_, live)| live == Wanted::Absent)
            })
    };
    let doomed: Vec<&CellKey> = mine.iter().filter(deletes).collect();
    let first = doomed.first()?;
    let why = match (&planned.take, doomed.len()) {
        (Take::Remove, 1) => return None,
        (Take::Remove, many) => format!(
            "one decision would delete {many} objects, {} among them: each deletion is confirmed by a decision of its own",
            first.object
        ),
        _ => format!(
            "{} is not in Git, so this decision would delete it: a plan says that as `take: remove`",
            first.object
        ),
    };
    Some(Ended::new(
        Stage::Decide,
        3,
        8,
        why,
        "name the object alone (kind, name, namespace, application), with fields [\".\"] and `take: remove`",
    ))
}

/// One value for whatever fields a pattern finds would be written into fields that nobody had in mind.
pub(super) fn one_value(planned: &PlannedDecision, mine: &[CellKey]) -> Option<Ended> {
    let Take::Value(value) = &planned.take else {
        return None;
    };
    let named = |field: &FieldPath| {
        let mut exact = planned.fields.iter().filter_map(|text| text.parse().ok());
        exact.any(|exact: FieldPath| exact == *field)
    };
    let mut fields: Vec<&FieldPath> = mine.iter().map(|key| &key.field).collect();
    fields.sort();
    fields.dedup();
    if fields.len() < 2 || fields.iter().all(|field| named(field)) {
        return None;
    }
    let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
    Some(Ended::new(
        Stage::Decide,
        3,
        3,
        text::line(&format!(
            "the plan gives {} to whatever a pattern finds in {} {}, which are different fields: {}",
            text::shorten(&text::value(value), 60),
            planned.on.kind,
            planned.on.name,
            text::some(&fields, 6)
        )),
        format!("name each field that shall have the value in `fields`; then {GO_ON}"),
    ))
}

/// What a plan calls live is what was found live: where that was overwritten since, it means no other value unless the plan
/// names that.
pub(super) fn not_as_found(
    planned: &PlannedDecision,
    mine: &[CellKey],
    run: &Run,
    now: &Now,
) -> Option<Ended> {
    let Take::Live(of) = &planned.take else {
        return None;
    };
    let expected = |key: &CellKey| {
        let mut named = planned.expect.keys().filter_map(|field| field.parse().ok());
        named.any(|field: Pattern| field.matches(&key.field))
    };
    let source = |key: &CellKey, other: &CellKey| match *of == LiveOf::default() {
        true => key == other,
        false => {
            let object = &other.object;
            object.kind == key.object.kind
                && object.name == key.object.name
                && other.field == key.field
                && of.is_at(other)
        }
    };
    let lost = now.lost(run).find(|(other, ..)| {
        let mut taken = mine.iter().filter(|key| !expected(key));
        taken.any(|key| source(key, other))
    });
    let (key, cell, found) = lost?;
    Some(Ended::new(
        Stage::Decide,
        3,
        3,
        text::line(&format!(
            "the plan takes what is live in {} for {} {}, and {}",
            key.application.name,
            key.object,
            key.field,
            now.went(key, cell, found)
        )),
        format!(
            "for what was found, name it (`take: {{value: …}}`); for what is live now, name that in `expect`; then {GO_ON}"
        ),
    ))
}

/// A deletion that was decided elsewhere (on the screen) and that the plan does not confirm.
pub(super) fn unconfirmed(
    engine: &Engine,
    answers: &Answers,
    application: &AppKey,
    object: &ObjectRef,
) -> Option<Ended> {
    let cell = CellKey {
        application: application.clone(),
        object: object.clone(),
        field: FieldPath::root(),
    };
    let run = engine.run();
    let ours = answers
        .plan
        .decisions
        .iter()
        .find(|planned| planned.take == Take::Remove && matches(planned, &cell));
    let several = |planned: &PlannedDecision| {
        let doomed = run.decisions.values().filter(|d| d.deletes());
        doomed.filter(|d| matches(planned, &d.cell)).count() > 1
    };
    if ours.is_some_and(|planned| !several(planned)) {
        return None;
    }
    Some(Ended::new(
        Stage::Sync,
        4,
        8,
        format!("the deletion of {object} waits for its confirmation"),
        "confirm it on the screen (`trueup resume`), or with `take: remove` on this object alone in the plan",
    ))
}

/// A decision of the plan that matches nothing stops before anything is committed.
pub(super) async fn unmatched(
    engine: &Engine,
    answers: &Answers,
) -> Result<Option<Ended>, Trouble> {
    let (_, now) = engine.seen_or_look().await?;
    Ok(matches_nothing(engine, answers, &now))
}

pub(super) fn matches_nothing(engine: &Engine, answers: &Answers, now: &Now) -> Option<Ended> {
    let run = engine.run();
    for (number, planned) in answers.plan.decisions.iter().enumerate() {
        let decided = run.decisions.keys().any(|key| matches(planned, key))
            // A removal leaves no decision behind, since there is nothing left to decide.
            || run.acted().any(|key| matches(planned, key));
        if !decided && !now.cells.keys().any(|key| matches(planned, key)) {
            return Some(Ended::new(
                Stage::Decide,
                3,
                3,
                format!(
                    "decision {} of the plan matches no open cell: {} {}",
                    number + 1,
                    planned.on.kind,
                    planned.on.name
                ),
                format!(
                    "the world is not as the plan expects: see `trueup drift`, mend the plan, and {GO_ON}"
                ),
            ));
        }
    }
    None
}

/// Live actions of the plan come after the decisions and before the push: what they write is decided like all else.
pub(super) async fn live_actions(engine: &Engine, answers: &Answers) -> Result<Done, Trouble> {
    let run = engine.run();
    let mut acted = false;
    for act in &answers.plan.act {
        if named(&run, &act.application).is_none() {
            return Ok(Done::Ended(Ended::new(
                Stage::Decide,
                3,
                0,
                format!("{} is not in the scope", act.application),
                "name it in `scope`, or take the action out of `act`",
            )));
        }
        if let Some(command) = not_done(&run, act) {
            arm(engine, answers).await?;
            write(engine, command).await?;
            acted = true;
        }
    }
    Ok(if acted {
        Done::Something
    } else {
        Done::Nothing
    })
}

/// A live action of the plan, where it is of the scope and was not done yet.
pub(super) fn not_done(run: &Run, act: &PlannedAct) -> Option<Command> {
    let key = named(run, &act.application)?;
    let done = run.ops.values().any(|op| {
        op.done()
            && matches!(&op.effect, Effect::Act { application, object, action, .. }
                if *application == key && *action == act.action && object.short() == act.object)
    });
    (!done).then(|| Command::Act {
        application: key,
        object: act.object.clone(),
        action: act.action.clone(),
        reason: act.reason.clone(),
    })
}

/// Arms this process as its own command line says, where it is not yet.
pub(super) async fn arm(engine: &Engine, answers: &Answers) -> Result<(), Trouble> {
    if engine.run().armed != answers.write {
        let write = answers.write;
        engine.say(&Command::Arm { write }).await?;
    }
    Ok(())
}

/// A field that somebody set by a live action, and that the plan does not have so: no commit of the plan takes it to Git.
pub(super) struct Beside<'a> {
    pub cell: &'a CellKey,
    /// The plan says nothing of it; else it decides it otherwise.
    pub silent: bool,
}

impl Beside<'_> {
    pub(super) fn said(&self) -> String {
        let of_plan = match self.silent {
            true => "says nothing of it",
            false => "decides it otherwise",
        };
        text::line(&format!(
            "{} {} of {} was set by a live action, and the plan {of_plan}",
            self.cell.object, self.cell.field, self.cell.application.name
        ))
    }

    /// What may be put into the plan for it.
    pub(super) fn taken_up(&self) -> &'static str {
        match self.silent {
            true => "take it up with the plan, as it is or with it in `act`",
            false => "put it into `act` of the plan",
        }
    }
}

/// The first of them. Where the plan comes to the very value that was set, it is no conflict.
pub(super) fn acted_beside<'a>(run: &'a Run, plan: &Plan, now: Option<&Now>) -> Option<Beside<'a>> {
    let of_plan = |cell: &CellKey| {
        let set_it = |effect: &Effect| {
            let Effect::Act {
                object,
                action,
                cell: Some(set),
                ..
            } = effect
            else {
                return false;
            };
            set.is_same(cell)
                && plan.act.iter().any(|act| {
                    run.named(&act.application) == Some(&set.application)
                        && act.action == *action
                        && act.object == object.short()
                })
        };
        let mut done = run.ops.values().filter(|op| op.done());
        done.any(|op| set_it(&op.effect))
    };
    let beside = |decision: &'a Decision| {
        // What somebody set since is a question again, and comes before this.
        let seen = now.and_then(|now| now.cells.get(&decision.cell));
        if seen.is_some_and(|seen| !seen.upholds(decision)) {
            return None;
        }
        let acted = decision.take == Take::Live(LiveOf::default())
            && run.acted().any(|cell| cell.is_same(&decision.cell))
            && !of_plan(&decision.cell);
        // The first that speaks of a cell decides it.
        let mut planned = plan.decisions.iter();
        let silent = match planned.find(|planned| matches(planned, &decision.cell)) {
            // What was pushed was confirmed by whoever pushed it, and who says a plan takes up what was done until then.
            None if decision.pushed || run.planned_at.is_none_or(|at| decision.at <= at) => {
                return None;
            }
            None => true,
            Some(planned)
                if planned.take == decision.take
                    || comes_to_the_same(run, planned, decision, now) =>
            {
                return None;
            }
            Some(_) => false,
        };
        acted.then_some(Beside {
            cell: &decision.cell,
            silent,
        })
    };
    run.decisions.values().find_map(beside)
}

/// Whether the plan's choice for a field leaves Git and the cluster as the decision does that a live action made.
fn comes_to_the_same(
    run: &Run,
    planned: &PlannedDecision,
    decision: &Decision,
    now: Option<&Now>,
) -> bool {
    let cell = &decision.cell;
    // What the plan calls live there is what stood before the action.
    if let Take::Live(of) = &planned.take
        && run.acted().any(|set| {
            (&set.object.kind, &set.object.name, &set.field)
                == (&cell.object.kind, &cell.object.name, &cell.field)
                && of.is_at(set)
        })
    {
        return false;
    }
    let (copy, sides) = match (&planned.take, now) {
        (Take::Value(_) | Take::Snapshot(_), _) => (None, &decision.seen),
        (_, None) => return false,
        (take, Some(now)) => match now.cells.get(cell) {
            Some(seen) => (copy_of(now, cell, take), &seen.sides),
            None => return false,
        },
    };
    // Both put no value into place: they are told apart by what is owed for them.
    if matches!(planned.take, Take::Ignore | Take::Later(_)) {
        return false;
    }
    resolve(cell, &planned.take, sides, copy.as_ref(), true)
        .is_ok_and(|(git, live)| git == decision.git && live == decision.live)
}

pub(super) enum Done {
    Nothing,
    Something,
    Ended(Ended),
}

pub(super) fn named(run: &Run, name: &str) -> Option<AppKey> {
    run.named(name).cloned()
}

/// Whether a planned decision covers a cell.
pub fn matches(planned: &PlannedDecision, key: &CellKey) -> bool {
    planned.covers(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use trueup_core::{decision::Sides, now::CellNow};

    fn planned(name: &str, take: &str) -> PlannedDecision {
        let plan = format!(
            "apiVersion: trueup.dev/v1\nkind: Plan\nincident: I\nscope: [x]\ndecisions:\n- on: {{kind: ConfigMap, name: {name}}}\n  fields: [\".\"]\n  take: {take}\n"
        );
        Plan::parse(&plan).unwrap().decisions.remove(0)
    }

    #[test]
    fn one_value_is_for_several_fields_only_where_each_is_named() {
        let cell = |field: &str, namespace: &str| CellKey {
            application: "argocd/x".parse().unwrap(),
            object: ObjectRef {
                group: String::new(),
                version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: Some(namespace.into()),
                name: "c".into(),
            },
            field: field.parse().unwrap(),
        };
        let both = [cell(".data.a", "n"), cell(".data.b", "n")];
        let one = [cell(".data.a", "n"), cell(".data.a", "m")];
        for (fields, take, mine, refused) in [
            ("[\".data.*\"]", "{value: x}", &both, true),
            ("[.data.a, \".data.*\"]", "{value: x}", &both, true),
            ("[.data.a, .data.b]", "{value: x}", &both, false),
            ("[\".data.*\"]", "{value: x}", &one, false),
            ("[\".data.*\"]", "git", &both, false),
        ] {
            let plan = format!(
                "apiVersion: trueup.dev/v1\nkind: Plan\nincident: I\nscope: [x]\ndecisions:\n- on: {{kind: ConfigMap, name: c}}\n  fields: {fields}\n  take: {take}\n"
            );
            let planned = Plan::parse(&plan).unwrap().decisions.remove(0);
            let ended = one_value(&planned, mine);
            assert_eq!(ended.is_some(), refused, "{plan}");
            if let Some(ended) = ended {
                assert!(
                    ended.reason.ends_with(".data.a, .data.b"),
                    "{}",
                    ended.reason
                );
            }
        }
    }

    #[test]
    fn a_deletion_is_confirmed_by_its_own_word_for_one_object_alone() {
        let cell = |name: &str| CellKey {
            application: "argocd/x".parse().unwrap(),
            object: ObjectRef {
                group: String::new(),
                version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: Some("n".into()),
                name: name.into(),
            },
            field: FieldPath::root(),
        };
        let side = |live: bool| CellNow {
            sides: Sides {
                git: (!live).then(|| json!({})),
                live: live.then(|| json!({})),
                ..Sides::default()
            },
            ..CellNow::default()
        };
        let mut now = Now::default();
        now.cells.insert(cell("a"), side(true));
        now.cells.insert(cell("b"), side(true));
        now.cells.insert(cell("c"), side(false));
        let later = "{later: {how: gitNow, owner: jo, until: \"2099-01-01\"}}";
        for (name, take, mine, refused) in [
            ("a", "remove", vec!["a"], None),
            ("\"*\"", "remove", vec!["a", "c"], None),
            (
                "\"*\"",
                "remove",
                vec!["a", "b"],
                Some("would delete 2 objects"),
            ),
            ("a", "git", vec!["a"], Some("`take: remove`")),
            ("a", later, vec!["a"], Some("`take: remove`")),
            ("a", "live", vec!["a"], None),
            ("c", "live", vec!["c"], None),
            ("c", "git", vec!["c"], None),
        ] {
            let mine: Vec<CellKey> = mine.into_iter().map(cell).collect();
            let ended = deletions(&planned(name, take), &mine, &now);
            match (refused, ended) {
                (None, None) => {}
                (Some(why), Some(ended)) => {
                    assert_eq!((ended.exit, ended.rule), (3, 8));
                    assert!(ended.reason.contains(why), "{}", ended.reason);
                }
                (_, other) => panic!("{name} {take}: {other:?}"),
            }
        }
    }
}
