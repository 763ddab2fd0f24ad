//! What no difference asks about any more, since Git and the cluster are the same there now: decisions that the world overtook, what
//! was found live and nobody decided on, and decisions whose commit is still to come. It stands on the board all the same.

use std::collections::BTreeMap;

use crate::{
    decision::{CellKey, Decision, Sides, Take, Wanted},
    now::{Now, QuestionNow},
    run::{Found, Run},
    text,
};

/// Kind and name of an object, and a field of it.
type Field = (String, String, String);

/// What overtook a cell.
enum Why<'a> {
    Decided(&'a Decision),
    /// Nothing did: what was decided is not in Git yet.
    Decides(&'a Decision),
    Found(&'a Found),
}

/// Puts a question on the board for each field of which a decision does not stand, or of which what was found is gone, and that no
/// question holds, together with the copies of it that were decided or found with it.
pub fn ask_again(run: &Run, now: &mut Now) {
    let mut asked: BTreeMap<Field, Vec<(&CellKey, Why)>> = BTreeMap::new();
    let one_sided = now.one_sided();
    for (key, decision) in &run.decisions {
        let parked = run
            .apps
            .get(&key.application)
            .and_then(|app| app.parked.as_ref());
        let Some(cell) = now.cells.get(key).filter(|cell| cell.question.is_none()) else {
            continue;
        };
        let why = match cell.upholds(decision) {
            false => Why::Decided(decision),
            // What it brings is still to come.
            true if cell.sides.git == cell.sides.live
                && !decision.git_met(&cell.sides)
                && !one_sided.has(key) =>
            {
                Why::Decides(decision)
            }
            true => continue,
        };
        if parked.is_none() {
            asked.entry(field_of(key)).or_default().push((key, why));
        }
    }
    let mut said: Vec<(Field, String)> = Vec::new();
    for (key, cell, found) in now.lost(run) {
        let what = text::line(&format!(
            "{}: {}",
            key.application.name,
            now.went(key, cell, found)
        ));
        said.push((field_of(key), what));
        if cell.question.is_none()
            && let Some((key, found)) = run.found.get_key_value(key)
        {
            let why = Why::Found(found);
            asked.entry(field_of(key)).or_default().push((key, why));
        }
    }
    for (of, overtaken) in asked {
        let (kind, name, field) = &of;
        let known = now.questions.iter().position(|question| {
            question.kind == *kind && question.name == *name && question.field == *field
        });
        let found = overtaken.iter().find_map(|(key, why)| match why {
            Why::Found(found) => Some(*found),
            Why::Decides(_) => run.found.get(*key),
            Why::Decided(_) => None,
        });
        let open = overtaken
            .iter()
            .any(|(_, why)| !matches!(why, Why::Decides(_)));
        let at = known.unwrap_or_else(|| {
            let group = now
                .questions
                .iter()
                .find(|other| other.kind == *kind && other.name == *name)
                .and_then(|other| other.group.clone())
                .or_else(|| found.and_then(|found| found.group.clone()));
            // As it was asked first, it stands with what was changed together with it.
            let id = found
                .map(|found| found.question.clone())
                .filter(|id| !id.is_empty() && now.questions.iter().all(|q| q.id != *id));
            let id = id.unwrap_or_else(|| format!("again:{kind}/{name}{field}"));
            let with = found.map_or_else(Vec::new, |found| found.decide_with.clone());
            for other in now.questions.iter_mut().filter(|q| with.contains(&q.id)) {
                // One that was put back as well knows its other half already.
                if !other.decide_with.contains(&id) {
                    other.decide_with.push(id.clone());
                }
            }
            now.questions.push(QuestionNow {
                id,
                group,
                kind: kind.clone(),
                name: name.clone(),
                field: field.clone(),
                class: if open { "conflict" } else { "decided" }.into(),
                confidence: "ask".into(),
                decide_with: with,
                ..QuestionNow::default()
            });
            now.questions.len() - 1
        });
        let mut copies: Vec<&CellKey> = run.decisions.keys().chain(run.found.keys()).collect();
        copies.retain(|key| field_of(key) == of);
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
        for (key, why) in overtaken {
            let sides = now.cells.get(key).map(|cell| cell.sides.clone());
            let sides = sides.unwrap_or_default();
            question.evidence.push(match why {
                Why::Decided(decision) => overtook(key, decision, &sides),
                Why::Decides(decision) => still_to_come(key, decision, &sides),
                Why::Found(_) => continue,
            });
        }
    }
    for (of, what) in said {
        let mut asking = now.questions.iter_mut();
        let question = asking.find(|question| {
            let (kind, name, field) = &of;
            question.kind == *kind && question.name == *name && question.field == *field
        });
        if let Some(question) = question {
            // What is lost is what has to be read first.
            question.evidence.insert(0, what);
            // Nobody chooses for the operator what to do about it.
            question.confidence = "ask".into();
            question.suggestion = None;
        }
    }
    stays_together(run, now);
    suggest_nothing_young(run, now);
}

/// What was written together stays so where one half of it was overtaken: live differs in the other half alone then, so that no
/// difference tells it any more.
fn stays_together(run: &Run, now: &mut Now) {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, question) in now.questions.iter().enumerate() {
        let found = question.cells.iter().filter_map(|key| run.found.get(key));
        places.extend(found.map(|found| (found.question.as_str(), at)));
    }
    let overtaken = |key: &CellKey| {
        let cell = now.cells.get(key)?;
        let found = run.found.get(key)?;
        let gone = match run.decisions.get(key) {
            Some(decision) => !cell.upholds(decision) || cell.sides.git == cell.sides.live,
            None => run.lost(key, &cell.sides).is_some(),
        };
        gone.then_some(found)
    };
    let mut pairs = Vec::new();
    for (at, question) in now.questions.iter().enumerate() {
        for found in question.cells.iter().filter_map(overtaken) {
            let with = found.decide_with.iter();
            let with = with.filter_map(|id| places.get(id.as_str()).copied());
            pairs.extend(with.filter(|other| *other != at).map(|other| (at, other)));
        }
    }
    for (one, other) in pairs {
        for (of, with) in [(one, other), (other, one)] {
            let id = now.questions[with].id.clone();
            let known = &mut now.questions[of].decide_with;
            if !known.contains(&id) {
                known.push(id);
            }
        }
    }
}

/// What a person changed live while the incident was open is no fix that Git has to learn of before somebody says so: it may be part
/// of the outage, or of somebody's attempt at it.
fn suggest_nothing_young(run: &Run, now: &mut Now) {
    let Some(opened) = run.opened_at else { return };
    for question in &mut now.questions {
        if !matches!(question.suggestion, Some((Take::Live(_), _))) {
            continue;
        }
        let young = question
            .cells
            .iter()
            .filter_map(|key| Some((key, now.cells.get(key)?)))
            .filter(|(_, cell)| cell.differs && cell.by_hand && cell.written_at > Some(opened));
        let said: Vec<String> = young
            .map(|(key, _)| {
                text::line(&format!(
                    "{}: changed since this incident was opened at {}, so no side is suggested",
                    key.application.name,
                    opened.strftime("%H:%M:%S UTC"),
                ))
            })
            .collect();
        if !said.is_empty() {
            question.evidence.splice(0..0, said);
            question.confidence = "ask".into();
            question.suggestion = None;
        }
    }
}

fn field_of(key: &CellKey) -> Field {
    (
        key.object.kind.clone(),
        text::line(&key.object.name),
        key.field.to_string(),
    )
}

/// What a decision brings to where Git and the cluster are the same now.
fn still_to_come(key: &CellKey, decision: &Decision, sides: &Sides) -> String {
    let shown = |value: Option<&serde_json::Value>| {
        value.map_or_else(|| "(absent)".to_owned(), text::value)
    };
    let decided = match &decision.git {
        Wanted::Value(value) => shown(Some(value)),
        Wanted::Absent | Wanted::AsIs => shown(None),
    };
    text::line(&format!(
        "{}: {decided} is decided and not in Git yet; Git and the cluster have {} now",
        key.application.name,
        shown(sides.git.as_ref()),
    ))
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
    if decision.stays_frozen() {
        return text::line(&format!(
            "{}: it was put off, to stay frozen as it is, and live went from {} to {} since; nothing differs there now",
            key.application.name,
            shown(decision.seen.live.as_ref()),
            shown(sides.live.as_ref()),
        ));
    }
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

    fn asked(of: &[(&CellKey, Sides, Option<&str>)], at: &str) -> crate::event::Record {
        let cells = of.iter().map(|(key, sides, class)| {
            json!({"application": key.application.name, "applicationNamespace": key.application.namespace,
                "namespace": key.object.namespace, "git": sides.git, "lastSynced": sides.last_synced,
                "live": sides.live, "differs": class.is_some(), "class": class, "object": key.object})
        });
        let question = json!({"id": "q1", "group": "auth-config", "kind": "ConfigMap", "name": "auth-config",
            "field": ".data.KEY", "class": "hotfix", "confidence": "ask", "evidence": [], "suggestion": null,
            "decideWith": [], "cells": cells.collect::<Vec<_>>()});
        crate::event::Record {
            seq: 1,
            time: at.parse().unwrap(),
            event: crate::event::Event::SnapshotTaken {
                number: 0,
                blobs: BTreeMap::new(),
                counts: BTreeMap::new(),
                unread: Vec::new(),
                questions: vec![question],
                applications: Vec::new(),
                heads: BTreeMap::new(),
                again: false,
                incomplete: Vec::new(),
                earlier: Vec::new(),
            },
        }
    }

    fn found(git: &str, last_synced: &str, live: &str) -> Sides {
        Sides {
            last_synced: Some(json!(last_synced)),
            ..sides(git, live)
        }
    }

    fn world(of: &[(&CellKey, &str, &str)]) -> Now {
        let mut now = Now {
            at: "2026-11-22T08:00:00Z".parse().unwrap(),
            ..Now::default()
        };
        for (key, git, live) in of {
            now.apps
                .insert(key.application.clone(), crate::now::AppNow::default());
            let cell = CellNow {
                sides: sides(git, live),
                ..CellNow::default()
            };
            now.cells.insert((*key).clone(), cell);
        }
        now
    }

    /// A sync that nobody of the incident asked for set auth to what Git has, before anything was decided.
    #[test]
    fn what_was_found_live_and_overwritten_before_it_was_decided_is_asked_again() {
        let (auth, like) = (cell("auth"), cell("like"));
        let mut run = Run::default();
        run.apps.entry(auth.application.clone()).or_default();
        run.apps.entry(like.application.clone()).or_default();
        let as_found = [
            (&auth, found("old", "old", "rotated"), Some("hotfix")),
            (&like, found("old", "old", "old"), None),
        ];
        run.apply(&asked(&as_found, "2026-11-22T07:35:00Z"));
        // A later snapshot does not make it forgotten.
        let after = [(&like, found("old", "old", "newer"), Some("hotfix"))];
        run.apply(&asked(&after, "2026-11-22T07:50:00Z"));
        let mut now = world(&[(&auth, "old", "old"), (&like, "old", "old")]);
        ask_again(&run, &mut now);
        assert_eq!(now.questions.len(), 1, "{:?}", now.questions);
        let question = &now.questions[0];
        assert_eq!(question.id, "q1");
        assert_eq!(question.cells, [auth.clone(), like.clone()]);
        assert_eq!(
            question.evidence,
            [
                "like: live went from newer, as found at 07:50 UTC, to old; newer stands nowhere now, and nobody decided on it",
                "auth: live went from rotated, as found at 07:35 UTC, to old; rotated stands nowhere now, and nobody decided on it",
            ]
        );
        assert_eq!(now.undecided(&run).count(), 2);
        // What stands on one side, or was decided on, is not lost; nor what could not be read, or was parked.
        for (git, live) in [("rotated", "old"), ("old", "rotated")] {
            let now = world(&[(&auth, git, live)]);
            assert_eq!(now.lost(&run).count(), 0);
        }
        let mut unread = world(&[(&auth, "old", "old")]);
        assert_eq!(unread.lost(&run).count(), 1);
        let app = unread.apps.get_mut(&auth.application).unwrap();
        app.incomplete = true;
        assert_eq!(unread.lost(&run).count(), 0);
        // What a rollout replaced is in the history of Git, and what a controller makes is its own.
        for (sides, class) in [
            (found("new", "old", "old"), "pending-rollout"),
            (found("old", "old", "made"), "delegated"),
        ] {
            let mut run = Run::default();
            run.apps.entry(auth.application.clone()).or_default();
            run.apply(&asked(
                &[(&auth, sides, Some(class))],
                "2026-11-22T07:35:00Z",
            ));
            let now = world(&[(&auth, "new", "new")]);
            assert_eq!(now.lost(&run).count(), 0, "{class}");
        }
    }

    /// auth had both; like has one of them, so that this one is asked about whatever becomes of auth.
    #[test]
    fn what_was_written_together_stays_so_when_one_half_was_put_back() {
        let (auth, like) = (cell("auth"), cell("like"));
        let of = |key: &CellKey, field: &str| CellKey {
            field: field.parse().unwrap(),
            ..key.clone()
        };
        let (half, likes) = (of(&auth, ".data.ALG"), of(&like, ".data.ALG"));
        let mut record = asked(
            &[(&auth, found("old", "old", "rotated"), Some("hotfix"))],
            "2026-11-22T07:35:00Z",
        );
        let other = asked(
            &[
                (&half, found("old", "old", "RS256"), Some("hotfix")),
                (&likes, found("old", "old", "RS256"), Some("hotfix")),
            ],
            "2026-11-22T07:35:00Z",
        );
        let (
            crate::event::Event::SnapshotTaken { questions, .. },
            crate::event::Event::SnapshotTaken {
                questions: others, ..
            },
        ) = (&mut record.event, other.event)
        else {
            panic!("they are snapshots");
        };
        questions.extend(others);
        for (at, (id, field, with)) in [("q1", ".data.KEY", "q2"), ("q2", ".data.ALG", "q1")]
            .iter()
            .enumerate()
        {
            questions[at]["id"] = json!(id);
            questions[at]["field"] = json!(field);
            questions[at]["decideWith"] = json!([with]);
        }
        let mut run = Run::default();
        run.apps.entry(auth.application.clone()).or_default();
        run.apply(&record);
        let asks = |id: &str, cells: &[&CellKey]| QuestionNow {
            id: id.into(),
            kind: "ConfigMap".into(),
            name: "auth-config".into(),
            field: cells[0].field.to_string(),
            cells: cells.iter().map(|key| (*key).clone()).collect(),
            ..QuestionNow::default()
        };
        let together = |values: [&str; 2], questions: Vec<QuestionNow>| {
            let mut now = world(&[
                (&auth, "old", values[0]),
                (&half, "old", values[1]),
                (&likes, "old", "RS256"),
            ]);
            for question in &questions {
                for key in &question.cells {
                    now.cells.get_mut(key).unwrap().question = Some(question.id.clone());
                }
            }
            now.questions = questions;
            ask_again(&run, &mut now);
            now.questions.sort_by(|a, b| a.id.cmp(&b.id));
            let with = now.questions.into_iter().map(|q| (q.id, q.decide_with));
            with.collect::<Vec<_>>()
        };
        let pair =
            [("q1", "q2"), ("q2", "q1")].map(|(id, with)| (id.to_owned(), vec![with.to_owned()]));
        // Whether no difference asks about the half that was put back, or another copy still does.
        assert_eq!(
            together(["old", "RS256"], vec![asks("q2", &[&half, &likes])]),
            pair
        );
        assert_eq!(
            together(
                ["rotated", "old"],
                vec![asks("q1", &[&auth]), asks("q2", &[&half, &likes])]
            ),
            pair
        );
        // Both halves were put back: each of them knows the other once.
        assert_eq!(together(["old", "old"], Vec::new()), pair);
        // Where nothing was put back, the differences tell.
        let apart = together(
            ["rotated", "RS256"],
            vec![asks("q1", &[&auth]), asks("q2", &[&half, &likes])],
        );
        assert!(apart.iter().all(|(_, with)| with.is_empty()), "{apart:?}");
    }

    #[test]
    fn what_a_person_changed_while_the_incident_was_open_is_not_suggested() {
        let auth = cell("auth");
        let at = |s: &str| -> jiff::Timestamp { s.parse().unwrap() };
        let run = Run {
            opened_at: Some(at("2026-11-22T07:30:00Z")),
            ..Run::default()
        };
        let suggested = |written: &str, by_hand: bool, take: Take| {
            let mut now = world(&[(&auth, "3", "0")]);
            let there = now.cells.get_mut(&auth).unwrap();
            (there.differs, there.by_hand) = (true, by_hand);
            there.written_at = Some(at(written));
            now.questions.push(QuestionNow {
                cells: vec![auth.clone()],
                confidence: "likely".into(),
                suggestion: Some((take, "R11".into())),
                ..QuestionNow::default()
            });
            ask_again(&run, &mut now);
            now.questions.remove(0)
        };
        let live = || {
            Take::Live(LiveOf {
                namespace: Some("auth".into()),
                application: None,
            })
        };
        let young = suggested("2026-11-22T07:30:01Z", true, live());
        assert_eq!((young.suggestion, young.confidence.as_str()), (None, "ask"));
        assert_eq!(
            young.evidence,
            [
                "auth: changed since this incident was opened at 07:30:00 UTC, so no side is suggested"
            ]
        );
        // What the incident found, what no person did, and what lies in Git are suggested as ever.
        for question in [
            suggested("2026-11-22T07:30:00Z", true, live()),
            suggested("2026-11-22T07:30:01Z", false, live()),
            suggested("2026-11-22T07:30:01Z", true, Take::Git),
        ] {
            assert!(question.suggestion.is_some() && question.evidence.is_empty());
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
        // Nor is half of what was written together brought to Git unsaid.
        let mut half = auth.clone();
        half.field = ".data.ALGORITHM".parse().unwrap();
        let mut halves = now.clone();
        halves.questions[0].decide_with = vec!["other".into()];
        halves.questions.push(QuestionNow {
            id: "other".into(),
            cells: vec![half.clone()],
            ..QuestionNow::default()
        });
        assert_eq!(halves.halves_apart(&run), Vec::<String>::new());
        let mut put_off = run.decisions[&auth].clone();
        put_off.cell = half.clone();
        (put_off.git, put_off.live) = (Wanted::AsIs, Wanted::AsIs);
        put_off.take = Take::Later(crate::decision::Later {
            how: crate::decision::How::StayFrozen,
            owner: "ann".into(),
            until: "2099-01-01".into(),
        });
        apart.decisions.insert(half, put_off);
        assert_eq!(
            halves.halves_apart(&apart),
            [
                "auth: half of a change goes to Git: .data.KEY as decided, and .data.ALGORITHM, which was written together with it, is put off"
            ]
        );
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

    /// Its live value was rotated by hand when it was looked at first.
    fn rotated_in(key: &CellKey) -> Run {
        let mut run = Run::default();
        run.apps.entry(key.application.clone()).or_default();
        let as_found = [(key, found("old", "old", "rotated"), Some("hotfix"))];
        run.apply(&asked(&as_found, "2026-11-22T07:35:00Z"));
        run
    }

    fn decided(key: &CellKey, take: Take, there: &Now) -> Decision {
        let seen = there.cells[key].sides.clone();
        let (git, live) = crate::decision::resolve(key, &take, &seen, None, true).unwrap();
        Decision {
            cell: key.clone(),
            take,
            seen,
            git,
            live,
            reason: String::new(),
            by: "jo".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            pushed: false,
            applied: false,
        }
    }

    /// A colleague put auth back, and it was decided to have what was found all the same: Git and the cluster are the same there until
    /// that is pushed.
    #[test]
    fn what_is_decided_and_not_committed_stays_on_the_board_where_nothing_differs() {
        let auth = cell("auth");
        let mut run = rotated_in(&auth);
        let there = world(&[(&auth, "old", "old")]);
        let decision = decided(&auth, Take::Value(json!("rotated")), &there);
        run.decisions.insert(auth.clone(), decision);
        let mut now = there.clone();
        ask_again(&run, &mut now);
        let said = "auth: rotated is decided and not in Git yet; Git and the cluster have old now";
        assert_eq!(now.questions.len(), 1);
        let question = &now.questions[0];
        assert_eq!(
            (question.id.as_str(), question.class.as_str()),
            ("q1", "decided")
        );
        assert_eq!(
            (&question.cells, &question.evidence),
            (&vec![auth.clone()], &vec![said.to_owned()])
        );
        assert_eq!(now.undecided(&run).count(), 0);
        // In Git and live, or parked, it is nobody's question.
        let mut done = world(&[(&auth, "rotated", "rotated")]);
        ask_again(&run, &mut done);
        assert_eq!(done.questions, []);
    }

    /// What was found in auth is overwritten and told of; that is decided on, and the decision taken back.
    #[test]
    fn what_was_told_of_once_is_not_told_again_because_a_decision_was_taken_back() {
        let auth = cell("auth");
        let mut run = rotated_in(&auth);
        let mut happens = {
            let mut seq = 1;
            move |run: &mut Run, event: crate::event::Event| {
                seq += 1;
                run.apply(&crate::event::Record {
                    seq,
                    time: "2026-11-22T07:50:00Z".parse().unwrap(),
                    event,
                });
            }
        };
        let there = world(&[(&auth, "old", "old")]);
        let sides = there.cells[&auth].sides.clone();
        let said = "live went from rotated to old; that is still live in like";
        let now_said = "live went from rotated to old; rotated stands nowhere now";
        let adopted = |sides: &Sides| crate::event::Event::Adopted {
            application: Some(auth.application.clone()),
            what: said.into(),
            who: "eve".into(),
            cell: Some(auth.clone()),
            sides: Some(sides.clone()),
        };
        assert!(!run.knows(&auth, said, Some(&sides)));
        happens(&mut run, adopted(&sides));
        // What it is told in moves with the other copies.
        assert!(run.knows(&auth, now_said, Some(&sides)));
        let decide = |take: Take| {
            let decision = decided(&auth, take, &there);
            // The second is the same once more.
            crate::event::Event::Decided {
                decisions: vec![decision.clone(), decision],
            }
        };
        let back = || crate::event::Event::DecisionWithdrawn {
            cells: vec![auth.clone()],
            why: String::new(),
            by: "jo".into(),
        };
        for take in [Take::Git, Take::Value(json!("rotated"))] {
            happens(&mut run, decide(take));
            assert_eq!(run.decided, [vec![auth.clone()]]);
            assert!(!run.shaken.contains_key(&auth));
            happens(&mut run, back());
            assert!(run.knows(&auth, now_said, Some(&sides)));
            assert!(!run.overruled.contains_key(&auth));
        }
        // Something else is news, and so is the same after it.
        let other = self::sides("old", "typed");
        assert!(!run.knows(&auth, now_said, Some(&other)));
        happens(&mut run, adopted(&other));
        assert!(!run.knows(&auth, now_said, Some(&sides)));
    }

    /// Nothing held it any more, and auto-sync wrote over what was to stay.
    #[test]
    fn what_was_to_stay_frozen_and_was_overwritten_is_asked_again() {
        let auth = cell("auth");
        let later = Take::Later(crate::decision::Later {
            how: crate::decision::How::StayFrozen,
            owner: "ann".into(),
            until: "2099-01-01".into(),
        });
        let decision = Decision {
            cell: auth.clone(),
            take: later,
            seen: sides("old", "typed"),
            git: Wanted::AsIs,
            live: Wanted::AsIs,
            reason: String::new(),
            by: "jo".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            pushed: false,
            applied: false,
        };
        let mut run = Run::default();
        run.apps.entry(auth.application.clone()).or_default();
        run.decisions.insert(auth.clone(), decision);
        let mut stays = world(&[(&auth, "old", "typed")]);
        ask_again(&run, &mut stays);
        assert_eq!(
            (stays.undecided(&run).count(), &stays.questions),
            (0, &vec![])
        );
        // What others bring to Git is not what was to stay.
        assert_eq!(world(&[(&auth, "new", "typed")]).undecided(&run).count(), 0);
        let mut gone = world(&[(&auth, "old", "old")]);
        ask_again(&run, &mut gone);
        assert_eq!(gone.undecided(&run).count(), 1);
        assert_eq!(
            gone.questions[0].evidence,
            [
                "auth: it was put off, to stay frozen as it is, and live went from typed to old since; nothing differs there now"
            ]
        );
    }
}
