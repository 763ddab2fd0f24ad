//! What may be said of gates: taken away, changed, waited for once more, attested.

use super::*;

/// A gate after a sync that was made answers there, or glass is broken for it: it does not go for a reason alone.
pub(super) fn gate_stays(run: &Run, name: &str) -> Refusal {
    let after = run.gate_follows(name).map_or_else(String::new, |key| {
        format!(" follows the sync of {key}, which is made:")
    });
    Refusal::new(
        10,
        text::line(&format!("gate {name}{after} it is not taken away")),
        "where it asks the wrong thing, add it anew under its name: it is judged anew; or break glass where the walk stands still at it",
    )
}

/// What is settled by a gate is not settled by another one of its name.
pub(super) fn other_gate(run: &Run, name: &str, spec: &Gate) -> Result<(), Refusal> {
    let before = run.gates.get(name);
    if before == Some(spec) {
        return Ok(());
    }
    let settled = run.walking().find_map(|(key, app)| {
        let made = !matches!(app.sync, Sync::Not) && app.freeze != Freeze::Thawed;
        let follows = || run.gates_after(key).iter().any(|gate| gate == name);
        let how = (made && follows()).then(|| run.gate_settled(key, name))??;
        Some((key, how))
    });
    match settled {
        None => Ok(()),
        Some((key, how)) => Err(Refusal::new(
            10,
            text::line(&format!(
                "there is a gate {name}, and {how} after {key} already"
            )),
            "leave it, and add the other one under a name of its own",
        )),
    }
}

/// A wait that goes on is not begun again, and what passed stays passed.
pub(super) fn await_gate(run: &Run, key: &AppKey, gate: &str) -> Result<(), Refusal> {
    let late = run.apps.get(key).and_then(|app| app.gates.get(gate));
    if late.is_some_and(|state| state.late().is_some()) {
        return Ok(());
    }
    Err(Refusal::new(
        0,
        text::line(&format!("gate {gate} after {key} did not run out of time")),
        "it is waited for once more only when it was not green in time",
    ))
}

/// What was seen while something that was decided is known not to be so says nothing: it is put right first, and looked at then.
pub fn attest(run: &Run, now: &Now, gate: &str) -> Result<(), Refusal> {
    gate_reached(run, gate)?;
    none_lost(run, now)
        .and_then(|()| none_surprised(run))
        .and_then(|()| undecided(run, now))
        .and_then(|()| in_effect(run, now, gate))
        .map_err(|refusal| Refusal {
            reason: text::line(&format!(
                "what gate {gate} asks about is not as it was synced: {}",
                refusal.reason
            )),
            ..refusal
        })
}

/// What was decided since a sync, and waits for another one that comes before this gate.
fn in_effect(run: &Run, now: &Now, gate: &str) -> Result<(), Refusal> {
    let (order, asked) = (run.sync_order(), run.to_attest(gate));
    let last = order.iter().rposition(|key| asked.contains(key));
    let before = order.iter().take(last.map_or(0, |last| last + 1));
    let synced = |key: &&AppKey| {
        run.apps.get(*key).is_some_and(|app| {
            let synced = matches!(app.sync, Sync::Verified { .. });
            synced && app.is_held() && app.parked.is_none() && run.stays_frozen(key).is_none()
        })
    };
    let mut waits = before
        .filter(synced)
        .filter_map(|key| Some((key, now.not_in_effect(run, key)?)));
    match waits.next() {
        None => Ok(()),
        Some((key, cell)) => Err(waits_for_sync(run, key, cell)),
    }
}

/// What was seen before a sync, or while the measured gates were red, says nothing about what comes after.
pub fn gate_reached(run: &Run, gate: &str) -> Result<(), Refusal> {
    let refuse = |what: String, hint: &str| Err(Refusal::new(10, text::line(&what), hint));
    let follows: Vec<&AppKey> = run
        .scope
        .iter()
        .filter(|key| run.gates_after(key).iter().any(|name| name == gate))
        .collect();
    if follows.is_empty() {
        return refuse(
            format!("no sync of this incident is followed by a gate {gate}"),
            "the gates after each sync are on the Sync screen, and in the plan under `sync`",
        );
    }
    if !run.to_attest(gate).is_empty() {
        return Ok(());
    }
    let mut before = None;
    for key in follows {
        let app = run.apps.get(key);
        let Some(app) = app.filter(|app| matches!(app.sync, Sync::Verified { .. })) else {
            before = Some(format!("the sync of {key} is not verified yet"));
            continue;
        };
        let red = run.gates_after(key).into_iter().find(|name| {
            !matches!(run.gates.get(name), Some(Gate::Manual(_)))
                && app
                    .gates
                    .get(name)
                    .is_none_or(|state| state.passed.is_none())
                && run.glass_for(key, name).is_none()
        });
        before = Some(match red {
            Some(red) => format!("gate {red} after {key} is not green yet"),
            None => format!("after {key} it is attested already"),
        });
    }
    refuse(
        format!("gate {gate} is not reached: {}", before.unwrap_or_default()),
        "a person looks last: attest it then",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Record};

    /// The journal of the sample up to the first event of this kind, and with it.
    fn sample_until(stop: impl Fn(&Event) -> bool) -> Run {
        let records = crate::transcript::sample::records();
        let end = records.iter().position(|r| stop(&r.event)).unwrap();
        Run::fold(&records[..=end])
    }

    #[test]
    fn a_gate_that_follows_what_was_synced_answers_or_glass_is_broken() {
        let begun =
            sample_until(|e| matches!(e, Event::GateStarted { gate, .. } if gate == "no-401"));
        let passed =
            sample_until(|e| matches!(e, Event::GatePassed { gate, .. } if gate == "no-401"));
        let before = sample_until(|e| matches!(e, Event::Landed { .. }));
        let name = "no-401".to_owned();
        let mut other = begun.gates[&name].clone();
        if let Gate::Measured(gate) = &mut other {
            gate.hold = Some("1s".parse().unwrap());
        }
        let remove = Command::RemoveGate {
            name: name.clone(),
            reason: "it counts probes".into(),
        };
        let change = |spec: &Gate| Command::AddGate {
            name: name.clone(),
            spec: spec.clone(),
        };
        let rule = |run: &Run, command: &Command| {
            check(run, &Now::default(), command).map_err(|refusal| refusal.rule)
        };
        assert_eq!(rule(&before, &remove), Ok(()));
        assert_eq!(rule(&before, &change(&other)), Ok(()));
        assert_eq!(rule(&begun, &remove), Err(10));
        assert_eq!(rule(&begun, &change(&other)), Ok(()), "it is judged anew");
        // What passed was sampled by what it asked; before a thaw it is sampled once more.
        assert_eq!(rule(&passed, &remove), Err(10));
        assert_eq!(rule(&passed, &change(&other)), Err(10));
        assert_eq!(rule(&passed, &change(&passed.gates[&name])), Ok(()));
        let mut glass = begun.clone();
        let key = begun.gate_follows(&name).unwrap().clone();
        glass.apply(&Record {
            seq: 0,
            time: jiff::Timestamp::UNIX_EPOCH,
            event: Event::GlassBroken {
                application: Some(key),
                what: name.clone(),
                reason: "customers wait".into(),
                by: "jo".into(),
            },
        });
        assert_eq!(rule(&glass, &remove), Ok(()), "not asked any more");
        let gone = |run: &Run, event: Event| {
            let mut run = run.clone();
            run.apply(&Record {
                seq: 0,
                time: jiff::Timestamp::UNIX_EPOCH,
                event,
            });
            run.gates_changed()
        };
        let (why, by) = ("it counts\u{1b} probes".to_owned(), "jo".to_owned());
        let said = gone(
            &before,
            Event::GateRemoved {
                gate: name.clone(),
                why,
                by: by.clone(),
            },
        );
        assert_eq!(
            said,
            ["gate no-401 was taken away by jo: nothing waits for it (it counts␛ probes)"]
        );
        let said = gone(
            &begun,
            Event::GateAdded {
                gate: name.clone(),
                spec: other,
                by,
            },
        );
        assert!(
            said[0].contains("changed it: ") && said[0].contains(" for 1s; it was: "),
            "{said:?}"
        );
        assert_eq!(begun.gates_changed(), [""; 0]);
    }
}
