//! Whether a sheet that is open may still be confirmed, as far as what was seen since tells.

use serde_json::Value;

use crate::{
    event::Effect,
    now::Now,
    object::identity::AppKey,
    policy::Policy,
    rules,
    run::Run,
    sheet::{Command, Refusal, Sheet},
    text,
};

/// Why carrying it out would be refused as things stand now.
pub fn check(run: &Run, now: &Now, sheet: &Sheet) -> Result<(), Refusal> {
    rules::check(run, now, &sheet.command)?;
    match &sheet.command {
        Command::Push => push(run, now, sheet),
        Command::Thaw { applications } => thaw(run, now, applications),
        Command::Freeze { .. } | Command::TakeOver { .. } | Command::Restore { .. } => {
            policies(now, sheet)
        }
        _ => Ok(()),
    }
}

/// The way back that a freeze notes, and what a note gives back, rest on the policy and the note that were there.
fn policies(now: &Now, sheet: &Sheet) -> Result<(), Refusal> {
    // What was seen before the sheet was read says nothing of it.
    if now.at < sheet.read_at {
        return Ok(());
    }
    for (effect, guard) in sheet.effects.iter().zip(&sheet.guards) {
        let Some(key) = effect.application() else {
            continue;
        };
        let (Some(seen), Some(was)) = (now.apps.get(key), guard.facts.get("syncPolicy")) else {
            continue;
        };
        let policy = |value: &Value| Policy::new(Some(value.clone()));
        let (was, is) = (policy(was), policy(&seen.sync_policy));
        if was != is {
            let whole = |policy: &Policy| policy.value().map_or("none".to_owned(), text::value);
            return Err(Refusal::new(
                2,
                text::line(&format!(
                    "the syncPolicy of {key} was {} and is {} now: somebody changed it since this was read",
                    whole(&was),
                    whole(&is)
                )),
                "look at its sheet anew",
            ));
        }
    }
    Ok(())
}

fn push(run: &Run, now: &Now, sheet: &Sheet) -> Result<(), Refusal> {
    let Some(proposal) = &run.proposal else {
        return Ok(());
    };
    let head = now.heads.get(&proposal.repository);
    if let Some(head) = head.filter(|head| **head != proposal.parent) {
        return Err(Refusal::new(
            2,
            text::line(&format!(
                "branch {} is not at {} any more, it is at {}",
                proposal.tracked,
                proposal.parent.short(),
                head.short()
            )),
            "the commit is built anew on what is there",
        ));
    }
    let shown = sheet.effects.iter().find_map(|effect| match effect {
        Effect::Push { commit, .. } => Some(commit),
        _ => None,
    });
    match shown {
        Some(shown) if *shown != proposal.commit => Err(Refusal::new(
            6,
            "another commit was built since",
            "look at its sheet",
        )),
        _ => Ok(()),
    }
}

fn thaw(run: &Run, now: &Now, applications: &[AppKey]) -> Result<(), Refusal> {
    let goes_on = |key: &AppKey| {
        let target = run.apps.get(key).and_then(|app| app.target.as_ref());
        target.is_some_and(|(_, whole, _)| Policy::new(Some(whole.clone())).is_on())
    };
    let moved = applications.iter().find(|key| {
        let seen = now.apps.get(*key);
        goes_on(key) && seen.is_some_and(|app| app.sync == "OutOfSync")
    });
    match moved {
        None => Ok(()),
        Some(key) => Err(Refusal::new(
            3,
            format!("{key} is OutOfSync: auto-sync would start a sync that nobody was shown"),
            "what differs has to be decided first",
        )),
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::{
        event::{Guard, Mechanism},
        now::AppNow,
        sheet::Confirm,
    };

    #[test]
    fn a_freeze_rests_on_the_policy_that_was_read() {
        let key = AppKey::new("argocd", "like");
        let read_at = Timestamp::UNIX_EPOCH;
        let was = json!({"automated": {"prune": true}});
        let freeze = Command::Freeze {
            applications: vec![key.clone()],
        };
        let sheet = Sheet {
            effects: vec![Effect::Freeze {
                application: key.clone(),
                mechanism: Mechanism::Disable,
                // What a note says that is there already, and not what the policy is.
                found: json!({"automated": {}}),
                patch: json!([]),
                from: None,
            }],
            guards: vec![Guard {
                resource_version: Some("1".into()),
                facts: [("syncPolicy".to_owned(), was.clone())].into(),
            }],
            ..Sheet::new(
                freeze,
                String::new(),
                String::new(),
                Confirm::Button,
                read_at,
            )
        };
        let seen = |sync_policy: Value, after: i64| {
            let app = AppNow {
                sync_policy,
                ..AppNow::default()
            };
            let now = Now {
                at: read_at + SignedDuration::from_secs(after),
                apps: [(key.clone(), app)].into(),
                ..Now::default()
            };
            policies(&now, &sheet).map_err(|refusal| refusal.reason)
        };
        assert_eq!(seen(was, 1), Ok(()));
        assert_eq!(seen(Value::Null, -1), Ok(()), "seen before it was read");
        let why = seen(Value::Null, 1).unwrap_err();
        assert!(
            why.starts_with(
                "the syncPolicy of argocd/like was {\"automated\":{\"prune\":true}} and is none now"
            ),
            "{why}"
        );
    }
}
