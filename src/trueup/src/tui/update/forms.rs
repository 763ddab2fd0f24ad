//! Forms: what was filled in becomes a command, or what is wrong with it is said.

use super::super::{
    model::{
        Model, ToastKind,
        dialog::{Ask, Dialog, Field, Prompt},
    },
    msg::Effect,
};
use super::{act, ask, decide};
use trueup_core::{
    decision::{How, Later, Take},
    plan::{Gate, ManualGate, Target},
    sheet::Command,
    until::{self, BadUntil},
};
use tui_textarea::TextArea;

/// Enter in a prompt: the next field, or the end.
pub fn done(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Prompt(prompt)) = model.dialogs.last_mut() else {
        return Vec::new();
    };
    let empty = |f: &Field| !f.optional && f.content().is_empty();
    if let Some(at) = prompt.fields.iter().position(empty) {
        if prompt.at == at {
            prompt.wrong = Some(format!("{} is needed", prompt.fields[at].label));
        }
        prompt.at = at;
        return Vec::new();
    }
    if prompt.at + 1 < prompt.fields.len() {
        prompt.at += 1;
        return Vec::new();
    }
    let prompt = prompt.clone();
    match submit(model, &prompt) {
        Ok(effects) => {
            // The prompt is the last one but for what `submit` put over it.
            if let Some(at) = model
                .dialogs
                .iter()
                .rposition(|d| matches!(d, Dialog::Prompt(p) if p.ask == prompt.ask))
            {
                model.dialogs.remove(at);
            }
            if matches!(effects.as_slice(), [Effect::Send(_)]) {
                model.filled = Some(prompt);
            }
            if effects.is_empty() {
                super::no_box_came(model, "");
            }
            effects
        }
        Err(why) => {
            if let Some(Dialog::Prompt(prompt)) = model.dialogs.last_mut() {
                prompt.wrong = Some(trueup_core::text::line(&why));
            }
            Vec::new()
        }
    }
}

fn submit(model: &mut Model, prompt: &Prompt) -> Result<Vec<Effect>, String> {
    let get = |label: &str| prompt.get(label);
    let command = match &prompt.ask {
        Ask::Reason { cells, take, seen } => {
            let reason = get("reason");
            says_why(&reason)?;
            if let Some(question) = model.question_here() {
                let group = super::super::model::decide::group_id(question);
                let given = super::super::model::decide::Given {
                    take: take.clone(),
                    reason: reason.clone(),
                    seen: decide::group_sides(model),
                };
                model.decide.reasons.insert(group, given);
            }
            Command::Decide {
                cells: cells.clone(),
                take: take.clone(),
                reason,
                seen: seen.clone(),
            }
        }
        Ask::Value { cells } => {
            let value = decide::typed_value(model, cells, &get("value"))?;
            return Ok(decide::chosen(model, cells.clone(), Take::Value(value)));
        }
        Ask::Later { cells } => {
            let how = match get("how").as_str() {
                "keepLive" | "keep live" => How::KeepLive,
                "gitNow" | "git now" => How::GitNow,
                "stayFrozen" | "stay frozen" => How::StayFrozen,
                other => {
                    return Err(format!(
                        "how: `{other}` is not keepLive, gitNow or stayFrozen"
                    ));
                }
            };
            let later = Later {
                how,
                owner: get("owner"),
                until: until(model, &get("until"))?,
            };
            let take = Take::Later(later);
            trueup_core::rules::as_held(model.run(), model.now(), cells, &take)
                .map_err(|refusal| format!("{}: {}", refusal.reason, refusal.hint))?;
            return Ok(decide::chosen(model, cells.clone(), take));
        }
        Ask::Message => Command::SetMessage {
            message: get("message"),
        },
        Ask::Branch => Command::SetCommit {
            branch: Some(get("branch")),
            pull_request: true,
        },
        Ask::Attest { gate, .. } => {
            trueup_core::rules::attest(model.run(), model.now(), gate)
                .map_err(|refusal| refusal.reason)?;
            attestation(&get("who looked"), &get("what they saw"))?;
            Command::Attest {
                gate: gate.clone(),
                who: get("who looked"),
                saw: get("what they saw"),
            }
        }
        Ask::Glass {
            application, what, ..
        } => {
            trueup_core::rules::glass(model.run(), model.now(), application.as_ref(), what)
                .map_err(|refusal| refusal.reason)?;
            says_why(&get("reason"))?;
            let id = model.run().id();
            if get(INCIDENT) != id {
                return Err(format!("{INCIDENT}: type {id} to go ahead, or esc"));
            }
            Command::BreakGlass {
                application: application.clone(),
                what: what.clone(),
                reason: get("reason"),
            }
        }
        Ask::Review { what } => Command::ReviewGlass {
            application: None,
            what: what.clone(),
            found: get("found"),
        },
        Ask::RemoveGate { name } => {
            says_why(&get("reason"))?;
            Command::RemoveGate {
                name: name.clone(),
                reason: get("reason"),
            }
        }
        Ask::Surprise { application } => {
            says_why(&get("reason"))?;
            Command::SeeSurprise {
                application: application.clone(),
                reason: get("reason"),
            }
        }
        Ask::Park { application } => Command::Park {
            application: application.clone(),
            owner: get("owner"),
            until: until(model, &get("until"))?,
            reason: get("reason"),
        },
        Ask::Target { applications } => Command::SetTarget {
            applications: applications.clone(),
            target: Target {
                policy: None,
                automated: Some(
                    trueup_core::strict::json(&get("automated"))
                        .map_err(|e| format!("automated is no JSON: {e}"))?,
                ),
                reason: Some(get("reason")),
            },
        },
        Ask::Act { kind, .. } => return act::submit(model, *kind, prompt),
        Ask::ManualGate => Command::AddGate {
            name: get("name"),
            spec: Gate::Manual(ManualGate {
                manual: get("what to look at"),
            }),
        },
        Ask::MetricGate { of } => super::gates::filled_in(model, of.as_deref(), prompt)?,
    };
    Ok(ask(command))
}

/// The field of a form that takes the name of the incident: nobody types that by mistake.
pub const INCIDENT: &str = "incident";

/// Whether it could be a reason, and not keys that were pressed for the screen behind the form.
fn says_why(reason: &str) -> Result<(), String> {
    let letters = reason.chars().filter(|c| c.is_alphabetic()).count();
    let signs = reason.chars().filter(|c| c.is_alphanumeric()).count();
    if reason.is_ascii() && letters < 3 && signs < 4 {
        return Err("reason: say why in a few words; they stand in the transcript".into());
    }
    Ok(())
}

/// Whether somebody could have meant it: a name, and what was seen in a few words. What is true no program can tell.
fn attestation(who: &str, saw: &str) -> Result<(), String> {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
    if letters(who) < 2 {
        return Err("who looked: write a name; it stands in the transcript".into());
    }
    let words = saw.split_whitespace().filter(|w| letters(w) > 0).count();
    let different: std::collections::BTreeSet<char> =
        saw.chars().filter(|c| c.is_alphanumeric()).collect();
    // A language without blanks says much in few letters.
    let few = if saw.is_ascii() { (2, 8, 4) } else { (1, 4, 3) };
    if words < few.0 || letters(saw) < few.1 || different.len() < few.2 {
        return Err(
            "what they saw: write it so that somebody who was not there knows what was looked at"
                .into(),
        );
    }
    Ok(())
}

/// A date or a time that is still to come, as it is kept.
fn until(model: &Model, text: &str) -> Result<String, String> {
    match until::to_come(text, model.time) {
        Ok(_) => Ok(text.to_owned()),
        Err(BadUntil::Over(_)) => Err(format!("until: {text} is over")),
        Err(BadUntil::Unreadable(_)) => {
            Err("until: write a date such as 2026-12-01, or an RFC 3339 time".into())
        }
    }
}

/// The editor has ended.
pub fn edited(model: &mut Model, result: Result<String, String>) -> Vec<Effect> {
    match result {
        Err(why) => {
            model.toast(ToastKind::Failed, format!("$EDITOR: {why}"));
            Vec::new()
        }
        Ok(text) if text.trim().is_empty() => {
            model.toast(ToastKind::Said, "an empty message changes nothing");
            Vec::new()
        }
        Ok(text) => {
            let message = trueup_core::text::block(text.trim());
            if let Some(Dialog::Prompt(prompt)) = model.dialogs.last_mut()
                && prompt.ask == Ask::Message
                && let Some(field) = prompt.fields.first_mut()
            {
                field.text = TextArea::new(message.split('\n').map(str::to_owned).collect());
                return Vec::new();
            }
            ask(Command::SetMessage { message })
        }
    }
}
