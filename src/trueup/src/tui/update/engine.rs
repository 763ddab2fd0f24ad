//! What the engine tells, taken into the model.

use super::super::{
    model::{
        Model, ToastKind,
        dialog::{Ask, Dialog, SheetDialog},
    },
    msg::Effect,
    theme::Role,
    widgets::{bars, doc::Doc},
};
use super::{dialogs::CONFIRMED, keys, secret};
use crate::engine::handle::{Request, Update};
use trueup_core::{
    event::{Event, Prediction},
    rules,
    run::Run,
    sheet::{Command, Refusal, Sheet},
    still,
    workflow::{Next, Stage},
};

pub fn told(model: &mut Model, update: Update) -> Vec<Effect> {
    match update {
        Update::Journaled { record, run } => {
            let before = model.world.run.snapshots;
            let history = run.last.is_some_and(|(seq, _)| record.seq < seq);
            model.world.run = run;
            let event = record.event.clone();
            model.remember_record(record);
            if history {
                // Told for the transcript alone: what it led to is in the state already.
                return Vec::new();
            }
            model.derive_run();
            if questions_depend_on(&event) || before != model.world.run.snapshots {
                model.derive_questions();
                model.derive_apps();
            }
            if questions_depend_on(&event) || matches!(event, Event::Armed { .. }) {
                model.refusals_are_over();
            }
            announce(model, &event);
            if matches!(event, Event::Decided { .. }) {
                to_next_undecided(model);
            }
            sheets_still(model);
        }
        Update::Seen(now) => {
            let age = super::super::widgets::words::since(now.at, model.time);
            model.world.fresh = Some((age, model.time));
            let unread = now.unread(&model.world.run).is_some();
            let since = model.world.unread_since.unwrap_or(now.at);
            model.world.unread_since = unread.then_some(since);
            model.world.now = now;
            model.derive();
            sheets_still(model);
        }
        Update::Next(next) => {
            let stage = next.stage();
            let before = model.stage;
            // Follow the walk while the operator has not gone elsewhere.
            let busy = !model.dialogs.is_empty() || model.filtering;
            if model.stage == model.world.next.stage() && !busy {
                model.stage = stage;
            }
            model.furthest = model.furthest.max(stage);
            let same = model.world.next == *next;
            model.world.next = *next;
            if model.stage == Stage::Decide && before != Stage::Decide {
                model.onto_the_first_field();
                to_next_undecided(model);
            }
            if !same {
                model.refusals_are_over();
                follow(model);
            }
        }
        Update::Waiting(waiting) => model.world.waiting = waiting,
        Update::Held(held) => model.world.held = held,
        Update::Answered => {
            model.answered();
            return armed_now(model);
        }
        Update::Sheet(sheet) if model.sheet_given_up() => {
            let title = sheet.title.clone();
            model.toast(
                ToastKind::Said,
                format!("the sheet \"{title}\" came after it was given up, and was put away: nothing was done"),
            );
            return vec![Effect::Send(Request::Dismiss)];
        }
        Update::Sheet(sheet) => {
            let predicted = prediction(model.run(), &sheet.command).cloned();
            let mut shown = SheetDialog {
                sheet,
                typed: String::new(),
                on_do: false,
                wrong: None,
                scroll: 0,
                form: model.form_of_answer(),
                overtaken: None,
                predicted,
            };
            model.dialogs.retain_mut(|dialog| {
                let Dialog::Sheet(old) = dialog else {
                    return true;
                };
                // Asked for twice while it is open: what was typed and read stays.
                if says_the_same(&old.sheet, &shown.sheet) {
                    shown.typed = std::mem::take(&mut old.typed);
                    (shown.on_do, shown.scroll) = (old.on_do, old.scroll);
                    shown.form = shown.form.take().or_else(|| old.form.take());
                }
                false
            });
            model.dialogs.push(Dialog::Sheet(shown));
        }
        Update::Refused(refusal) => {
            let rule = match refusal.rule {
                0 => String::new(),
                n => format!("rule {n}: "),
            };
            let hint = match refusal.hint.as_str() {
                "" => String::new(),
                hint => format!(" · {}", on_screen(hint)),
            };
            let said = format!("refused: {rule}{}{hint}", refusal.reason);
            not_taken(model, ToastKind::Refused, said);
        }
        Update::Revealed(shown) => secret::show(model, shown),
        Update::Logged { at, line } => model.remember_command(at, line),
        Update::Freshness(age) => model.world.fresh = Some((age, model.time)),
        Update::Failed { what, why, hint } => {
            // It stays up for a while, and what it says may be over by then.
            let at = model.time.strftime("%H:%M:%S");
            let said = format!("{at} {what}: {why} · {hint}");
            not_taken(model, ToastKind::Failed, said);
        }
        Update::Exported { path } => {
            model.toast(ToastKind::Done, format!("written: {path}"));
            model.world.exported.push(path);
        }
        Update::Stopped => {
            model.world.stopped = true;
            model.asked.clear();
            if model.leaving {
                return vec![Effect::Leave];
            }
            model.toast(
                ToastKind::Failed,
                "the engine has stopped: nothing more can be done here; q leaves",
            );
        }
    }
    clamp(model);
    Vec::new()
}

/// What the sync of a sheet is predicted to do.
fn prediction<'a>(run: &'a Run, command: &Command) -> Option<&'a Prediction> {
    let Command::Sync { application } = command else {
        return None;
    };
    let predicted = run.apps.get(application)?.prediction.as_ref()?;
    Some(&predicted.1)
}

/// A sheet that lies open is looked at anew: what it says may be over, and then nothing of it can be confirmed.
fn sheets_still(model: &mut Model) {
    let (run, now) = (model.world.run.clone(), model.world.now.clone());
    let effect = |it: &Prediction| (it.changes.clone(), it.creates.clone(), it.hooks.clone());
    for dialog in &mut model.dialogs {
        let shown = match dialog {
            Dialog::Sheet(shown) => shown,
            Dialog::Prompt(form) => {
                // What they saw, and what glass is broken for, was before that.
                let stands = match &form.ask {
                    Ask::Attest { gate, .. } => rules::attest(&run, &now, gate),
                    Ask::Glass {
                        application, what, ..
                    } => rules::glass(&run, &now, application.as_ref(), what),
                    _ => Ok(()),
                };
                if let Err(refusal) = stands {
                    form.wrong = Some(refusal.reason);
                }
                continue;
            }
            _ => continue,
        };
        let other = prediction(&run, &shown.sheet.command).map(effect)
            != shown.predicted.as_ref().map(effect);
        let stands = still::check(&run, &now, &shown.sheet).and_then(|()| match other {
            false => Ok(()),
            true => Err(Refusal::new(
                3,
                "the sync would do something else by now",
                "look at its sheet anew",
            )),
        });
        shown.overtaken = stands.err().map(|mut refusal| {
            refusal.hint = on_screen(&refusal.hint);
            refusal
        });
        if shown.overtaken.is_some() {
            // Typed for what is not so any more, and so was what was said of it.
            shown.typed.clear();
            shown.wrong = None;
        }
    }
}

/// Goes on with what arming was in the way of, once the engine is done with it.
fn armed_now(model: &mut Model) -> Vec<Effect> {
    let Some(command) = &model.after_arming else {
        return Vec::new();
    };
    if trueup_core::rules::armed(model.run(), command).is_ok() {
        let then = model.after_arming.take().map(Request::Ask);
        return then.map(Effect::Send).into_iter().collect();
    }
    if model.asked.is_empty() {
        model.after_arming = None;
    }
    Vec::new()
}

/// A hint for everybody, for somebody who is on the screen: keys, not commands that open it.
fn on_screen(hint: &str) -> String {
    const WORDS: [(&str, &str); 4] = [
        (
            "on the screen (`trueup resume`) or in a plan",
            "n goes there",
        ),
        ("on the screen (`trueup resume`)", "n goes there"),
        ("with the screen (`trueup resume`)", "n"),
        (" on the screen, or with --write", ""),
    ];
    let mut hint = hint.to_owned();
    for (everywhere, here) in WORDS {
        if let Some(at) = hint.find(everywhere) {
            // The options after `--write` are of no use here either.
            let end = if here.is_empty() {
                hint.len()
            } else {
                at + everywhere.len()
            };
            hint.replace_range(at..end, here);
        }
    }
    hint
}

/// Says why something was not done: on the form that it came from, which is open again, else in a message.
fn not_taken(model: &mut Model, kind: ToastKind, said: String) {
    // A form that was filled in on values that moved since is no form for the values of now.
    let form = model.form_of_answer().filter(|form| match &form.ask {
        Ask::Reason { take, seen, .. } => rules::as_chosen(model.now(), take, seen).is_ok(),
        _ => true,
    });
    // It was confirmed, and was not done.
    model
        .toasts
        .retain(|toast| !toast.text.starts_with(CONFIRMED));
    match form {
        Some(mut form) => {
            form.wrong = Some(trueup_core::text::line(&said));
            model.dialogs.push(Dialog::Prompt(form));
        }
        // Said once, in answer to what somebody asked for: it must be readable to its end.
        None if kind == ToastKind::Refused && !bars::message_fits(&said, model.size.0) => {
            let mut doc = Doc::new();
            doc.text(Role::Warn, trueup_core::text::line(&said));
            keys::page(model, "refused".into(), doc);
        }
        None => model.toast(kind, said),
    }
}

/// Whether a sheet is the one that was shown, read at another moment: the same words, the same writes, the same facts. Only
/// the version that a write carries may have moved.
fn says_the_same(one: &Sheet, other: &Sheet) -> bool {
    let still = |sheet: &Sheet| {
        let mut sheet = sheet.clone();
        sheet.id.clone_from(&one.id);
        sheet.read_at = one.read_at;
        for guard in &mut sheet.guards {
            guard.resource_version = None;
        }
        sheet
    };
    still(one) == still(other)
}

/// Puts the cursor of the shown screen on the Application that the walk is at.
fn follow(model: &mut Model) {
    if model.stage != model.world.next.stage() || !model.dialogs.is_empty() {
        return;
    }
    let application = match &model.world.next {
        Next::ChooseTarget { application }
        | Next::Refreeze { application, .. }
        | Next::Predict { application, .. }
        | Next::Sync { application }
        | Next::Ignore { application }
        | Next::Delete { application, .. }
        | Next::AwaitGone { application, .. }
        | Next::AwaitOperation { application, .. }
        | Next::VerifySync { application, .. }
        | Next::Gate { application, .. }
        | Next::Attest { application, .. }
        | Next::WatchThaw { application }
        | Next::Stopped {
            application: Some(application),
            ..
        } => application.clone(),
        Next::Thaw { applications } => match applications.first() {
            Some(first) => first.clone(),
            None => return,
        },
        _ => return,
    };
    super::next::cursor_on_app(model, &application);
}

fn questions_depend_on(event: &Event) -> bool {
    matches!(
        event,
        Event::Decided { .. }
            | Event::DecisionWithdrawn { .. }
            | Event::Parked { .. }
            | Event::Unparked { .. }
            | Event::ScopeSet { .. }
            | Event::IncidentOpened { .. }
            | Event::SnapshotTaken { .. }
    )
}

fn announce(model: &mut Model, event: &Event) {
    let said = match event {
        Event::Decided { decisions } => Some(format!(
            "decided: {} (z undoes)",
            super::super::widgets::words::count(decisions.len(), "field")
        )),
        Event::DecisionWithdrawn { cells, .. } => Some(format!(
            "taken back: {}",
            super::super::widgets::words::count(cells.len(), "decision")
        )),
        Event::Armed { write, .. } => Some(
            match write {
                trueup_core::event::Armed::Nothing => "not armed: nothing is written",
                trueup_core::event::Armed::Git => "armed for Git",
                trueup_core::event::Armed::Cluster => "armed for the cluster",
                trueup_core::event::Armed::All => "armed for Git and the cluster",
            }
            .to_owned(),
        ),
        Event::FreezeProven { application } => {
            Some(format!("the freeze of {} is proven", application.name))
        }
        Event::FreezeLost { application, why } => {
            model.toast(
                ToastKind::Failed,
                format!("the freeze of {} is lost: {why}", application.name),
            );
            None
        }
        Event::Adopted {
            what, who, cell, ..
        } => {
            let did = match cell {
                Some(cell) if !model.run().decisions.contains_key(cell) => {
                    "what was found was overwritten"
                }
                Some(_) => "somebody changed what was decided",
                None => "somebody else was at work",
            };
            model.toast(ToastKind::Mind, format!("{did}: {what} (by {who})"));
            None
        }
        Event::Outage { what, from, to, .. } => {
            let lasted = super::super::model::facts::lasted(*from, *to);
            model.toast(
                ToastKind::Mind,
                format!(
                    "{what} could not be read for {lasted}: what happened meanwhile was not seen"
                ),
            );
            None
        }
        Event::Strayed { what, who, .. } => {
            model.toast(
                ToastKind::Mind,
                format!("somebody changed a field: {what} (by {who})"),
            );
            None
        }
        Event::PolicyChanged {
            application, who, ..
        } => {
            model.toast(
                ToastKind::Mind,
                format!(
                    "somebody changed the sync policy of {} (by {who})",
                    application.name
                ),
            );
            None
        }
        Event::PolicyMoved {
            application,
            why: Some(why),
            who,
        } => {
            let said = format!("{} {why} (by {who})", application.name);
            model.toast(ToastKind::Mind, said);
            None
        }
        Event::StrayedBack { what, who, .. } => Some(format!("{what} (by {who})")),
        Event::GatePassed { application, gate } => {
            Some(format!("gate {gate} after {} is green", application.name))
        }
        Event::Closed { .. } => Some("the incident is closed".to_owned()),
        _ => None,
    };
    if let Some(text) = said {
        model.toast(ToastKind::Done, text);
    }
}

/// On to the next field that has no decision, in the copy that has none.
fn to_next_undecided(model: &mut Model) {
    let here = model.cell_here();
    let open = &model.derived.undecided_cells;
    if here.as_ref().is_some_and(|cell| open.contains(cell)) {
        return;
    }
    if let (Next::Decide { .. }, Some(cell)) = (&model.world.next, open.first().cloned()) {
        model.go_to_cell(&cell);
    }
}

fn clamp(model: &mut Model) {
    let len = model.rows();
    let list = model.list_mut();
    list.cursor = list.cursor.min(len.saturating_sub(1));
}
