//! Decisions that the world overtook where Git and the cluster are the same now: no difference asks about them any more, and they
//! are asked about all the same.

use std::collections::BTreeMap;

use crate::{
    decision::{CellKey, Decision, Sides, Take, Wanted},
    now::{Now, QuestionNow},
    run::Run,
    text,
};

/// Kind and name of an object, and a field of it.
type Field = (String, String, String);

/// Puts a question on the board for each field of which a decision does not stand and that no question holds, together with the
/// copies of it that were decided with it.
pub fn ask_again(run: &Run, now: &mut Now) {
    let mut asked: BTreeMap<Field, Vec<(&CellKey, &Decision)>> = BTreeMap::new();
    for (key, decision) in &run.decisions {
        let parked = run
            .apps
            .get(&key.application)
            .and_then(|app| app.parked.as_ref());
        let overtaken = now
            .cells
            .get(key)
            .is_some_and(|cell| cell.question.is_none() && !cell.upholds(decision));
        if overtaken && parked.is_none() {
            let name = text::line(&key.object.name);
            let of = (key.object.kind.clone(), name, key.field.to_string());
            asked.entry(of).or_default().push((key, decision));
        }
    }
    for ((kind, name, field), overtaken) in asked {
        let known = now.questions.iter().position(|question| {
            question.kind == kind && question.name == name && question.field == field
        });
        let at = known.unwrap_or_else(|| {
            let group = now
                .questions
                .iter()
                .find(|other| other.kind == kind && other.name == name)
                .and_then(|other| other.group.clone());
            now.questions.push(QuestionNow {
                id: format!("again:{kind}/{name}{field}"),
                group,
                kind: kind.clone(),
                name: name.clone(),
                field: field.clone(),
                class: "conflict".into(),
                confidence: "ask".into(),
                ..QuestionNow::default()
            });
            now.questions.len() - 1
        });
        let copies = run.decisions.keys().filter(|key| {
            key.object.kind == kind
                && text::line(&key.object.name) == name
                && key.field.to_string() == field
        });
        let question = &mut now.questions[at];
        for key in copies {
            let Some(cell) = now
                .cells
                .get_mut(key)
                .filter(|cell| cell.question.is_none())
            else {
                continue;
            };
            cell.question = Some(question.id.clone());
            question.cells.push(key.clone());
        }
        question.cells.sort();
        for (key, decision) in overtaken {
            let sides = now.cells.get(key).map(|cell| cell.sides.clone());
            question
                .evidence
                .push(overtook(key, decision, &sides.unwrap_or_default()));
        }
    }
}

fn overtook(key: &CellKey, decision: &Decision, sides: &Sides) -> String {
    let shown = |value: Option<&serde_json::Value>| {
        value.map_or_else(|| "(absent)".to_owned(), text::value)
    };
    let decided = match &decision.git {
        Wanted::Value(value) => shown(Some(value)),
        Wanted::Absent => shown(None),
        Wanted::AsIs => shown(decision.seen.git.as_ref()),
    };
    if decision.take == Take::Ignore {
        return text::line(&format!(
            "{}: it was decided that the Application ignores it, and somebody took the rule back from Git since",
            key.application.name,
        ));
    }
    if decision.pushed && !decision.git_met(sides) {
        return text::line(&format!(
            "{}: {decided} was decided and pushed, and somebody set Git to {} since; nothing differs there now",
            key.application.name,
            shown(sides.git.as_ref()),
        ));
    }
    text::line(&format!(
        "{}: {decided} was decided for Git, and live went from {} to {} since; nothing differs there now (`e` types a value)",
        key.application.name,
        shown(decision.seen.live.as_ref()),
        shown(sides.live.as_ref()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decision::LiveOf,
        now::CellNow,
        object::identity::{AppKey, ObjectRef},
    };
    use serde_json::json;

    fn cell(application: &str) -> CellKey {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "auth-config", "namespace": application}});
        CellKey {
            application: AppKey::new("argocd", application),
            object: ObjectRef::from_object(&object).unwrap(),
            field: ".data.KEY".parse().unwrap(),
        }
    }

    fn sides(git: &str, live: &str) -> Sides {
        Sides {
            git: Some(json!(git)),
            last_synced: None,
            live: Some(json!(live)),
        }
    }

    /// Live of auth was decided for both; then somebody's sync set auth to what Git has.
    #[test]
    fn what_was_overwritten_with_what_git_has_is_on_the_board() {
        let (auth, like) = (cell("auth"), cell("like"));
        let mut run = Run::default();
        for key in [&auth, &like] {
            run.decisions.insert(
                key.clone(),
                Decision {
                    cell: key.clone(),
                    take: Take::Live(LiveOf {
                        namespace: Some("auth".into()),
                        application: None,
                    }),
                    seen: sides("old", "new"),
                    git: Wanted::Value(json!("new")),
                    live: Wanted::Value(json!("new")),
                    reason: String::new(),
                    by: "jo".into(),
                    at: jiff::Timestamp::UNIX_EPOCH,
                    pushed: false,
                    applied: false,
                },
            );
        }
        let quiet = |live: &str| CellNow {
            sides: sides("old", live),
            ..CellNow::default()
        };
        let mut now = Now::default();
        now.cells.insert(auth.clone(), quiet("old"));
        now.cells.insert(like.clone(), quiet("new"));
        ask_again(&run, &mut now);
        assert_eq!(now.questions.len(), 1, "{:?}", now.questions);
        let question = &now.questions[0];
        assert_eq!(question.cells, [auth.clone(), like.clone()]);
        assert!(
            question.evidence[0].contains("\"new\" was decided")
                || question.evidence[0].contains("new was decided"),
            "{:?}",
            question.evidence
        );
        // Everything that is undecided is on the board.
        let undecided: Vec<_> = now.undecided(&run).map(|(key, _)| key.clone()).collect();
        assert_eq!(undecided, std::slice::from_ref(&auth));
        // Decided anew for one copy alone, they would differ.
        assert_eq!(now.copies_apart(&run), Vec::<String>::new());
        let mut apart = run.clone();
        apart.decisions.get_mut(&auth).unwrap().live = Wanted::Value(json!("newer"));
        let said =
            "the copies of .data.KEY of ConfigMap auth-config will differ: like new; auth newer";
        assert_eq!(now.copies_apart(&apart), [said]);
        // What somebody took back from Git is asked again where the cluster never had it.
        let mut taken_back = Now::default();
        run.decisions.get_mut(&like).unwrap().pushed = true;
        let sides = sides("old", "old");
        run.decisions.get_mut(&like).unwrap().seen = sides.clone();
        taken_back.cells.insert(
            like.clone(),
            CellNow {
                sides,
                ..CellNow::default()
            },
        );
        ask_again(&run, &mut taken_back);
        let evidence = &taken_back.questions[0].evidence[0];
        assert!(evidence.contains("set Git to"), "{evidence}");
        let decision = run.decisions.get_mut(&like).unwrap();
        (decision.pushed, decision.seen) = (false, self::sides("old", "new"));
        // A decision that stands asks nothing.
        let mut quiet_now = Now::default();
        quiet_now.cells.insert(like.clone(), quiet("new"));
        ask_again(&run, &mut quiet_now);
        assert_eq!(quiet_now.questions, []);
    }
}
