//! What glass can be broken for: an effect that cannot be predicted, or a gate that is not green.

use super::Next;
use crate::{
    gate::Verdict,
    object::identity::AppKey,
    run::{Run, unpredicted},
};

/// What stands still, and why it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Glass {
    pub application: Option<AppKey>,
    /// The gate; or see [`unpredicted`].
    pub what: String,
    pub why: String,
}

/// What glass could be broken for where the walk stands, or why for nothing.
pub fn glass_to_break(run: &Run, next: &Next) -> Result<Glass, String> {
    match next {
        Next::Gate { application, gate } => waited_for(run, application, gate),
        Next::Attest {
            application,
            gate,
            asks,
        } => Ok(Glass {
            application: Some(application.clone()),
            what: gate.clone(),
            why: format!("gate {gate} after {application} waits for somebody who looks: {asks}"),
        }),
        Next::Stopped {
            application,
            reason,
            rule,
            ..
        } => stands_still(run, application.as_ref(), reason, *rule),
        _ => Err("nothing stands still that glass could be broken for".into()),
    }
}

fn waited_for(run: &Run, application: &AppKey, gate: &str) -> Result<Glass, String> {
    let state = run
        .apps
        .get(application)
        .and_then(|app| app.gates.get(gate));
    let last = state
        .and_then(|state| state.samples.last())
        .ok_or_else(|| format!("gate {gate} was not sampled yet"))?;
    let word = match last.verdict {
        Verdict::Green => return Err(format!("gate {gate} is green and only has to stay so")),
        Verdict::Red => "red",
        Verdict::Inconclusive => "inconclusive",
    };
    Ok(Glass {
        application: Some(application.clone()),
        what: gate.to_owned(),
        why: format!(
            "gate {gate} after {application} is {word}: {}; it is still waited for, and breaking glass ends that",
            last.why
        ),
    })
}

fn stands_still(
    run: &Run,
    application: Option<&AppKey>,
    reason: &str,
    rule: u8,
) -> Result<Glass, String> {
    let app = application.and_then(|key| Some((key, run.apps.get(key)?)));
    let glass = |key: &AppKey, what: String| Glass {
        application: Some(key.clone()),
        what,
        why: reason.to_owned(),
    };
    match app {
        Some((key, _)) if rule == 10 => match run.late_gate(key) {
            Some(gate) => Ok(glass(key, gate)),
            None => Err("no gate is red".into()),
        },
        Some((key, app)) => match &app.prediction {
            Some((_, p)) if !p.unexpected.is_empty() || !p.missing.is_empty() => Err(
                "rule 3: a prediction that is different cannot be overridden; decide the field, look again, or park"
                    .into(),
            ),
            Some((_, p)) if !p.unknown.is_empty() => Ok(glass(key, unpredicted(key))),
            _ => Err("this is not a matter of an unknown effect or a red gate".into()),
        },
        None => Err("this is not a matter of an unknown effect or a red gate".into()),
    }
}
