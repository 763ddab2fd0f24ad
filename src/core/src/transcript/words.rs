//! Types of the domain in words, inert.

use super::{model::Change, quote::say};
use crate::{
    decision::{How, Take, Wanted},
    event::{Changed, Effect, Foreign, Mechanism, Outcome, Overwritten, Prediction},
    gate::Sample,
    ids::OpId,
    object::identity::AppKey,
    plan::{Action, Target, TargetKind},
    policy::Policy,
    run::{AS_TARGETED_AGAIN, Run},
    span::Span,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// An Application as people call it: without the namespace when it is Argo CD's own.
pub(super) fn app(run: &Run, key: &AppKey) -> String {
    if key.namespace == run.connection.namespace {
        say(&key.name)
    } else {
        say(&key.to_string())
    }
}

/// A value; secrets stay digests, an absent one is an empty text.
pub(super) fn side(value: Option<&Value>) -> String {
    value.map_or_else(String::new, |v| say(&crate::text::value(v)))
}

pub(super) fn wanted(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Value(value) => side(Some(value)),
        Wanted::Absent => "nothing".into(),
        Wanted::AsIs => "as it is".into(),
    }
}

/// A choice; the values of secrets are digests.
pub fn take(take: &Take) -> String {
    match take {
        Take::Git => "Git".into(),
        Take::LastSynced => "last synced".into(),
        Take::Live(of) => match (&of.application, &of.namespace) {
            (None, None) => "live".into(),
            (application, namespace) => {
                let of = [application, namespace];
                let names: Vec<_> = of.into_iter().flatten().map(|n| say(n)).collect();
                format!("live of {}", names.join(" in "))
            }
        },
        Take::Value(value) => format!("the value {}", side(Some(value))),
        Take::Snapshot(kept) => match &kept.value {
            Some(value) => format!("{}, which has {}", say(&kept.whence()), side(Some(value))),
            None => say(&kept.whence()),
        },
        Take::Ignore => "ignore from now on".into(),
        Take::Remove => "remove".into(),
        Take::Later(later) => {
            let how = match later.how {
                How::KeepLive => "keep live for now",
                How::GitNow => "let Git win now",
                How::StayFrozen => "stay frozen",
            };
            format!(
                "later: {how}, owed by {} until {}",
                say(&later.owner),
                say(&later.until)
            )
        }
    }
}

pub(super) fn change(changed: &Changed) -> Change {
    Change {
        object: say(&changed.object.to_string()),
        field: say(&changed.field.to_string()),
        from: side(changed.from.as_ref()),
        to: side(changed.to.as_ref()),
    }
}

pub(super) fn changes(all: &[Changed]) -> Vec<Change> {
    all.iter().map(change).collect()
}

/// The decided fields and their named consequences: what the prediction has, less what nobody decided, and what it lacks.
pub(super) fn expected(prediction: &Prediction) -> Vec<Change> {
    prediction
        .changes
        .iter()
        .filter(|c| !prediction.unexpected.contains(c))
        .chain(&prediction.missing)
        .map(change)
        .collect()
}

/// A field of which nobody can tell what a sync made of it, since somebody wrote it after that.
pub(super) fn overwritten(over: &Overwritten) -> String {
    let predicted = match &over.predicted {
        Some(change) => format!(
            "; the sync was to bring it from {} to {}",
            side(change.from.as_ref()),
            side(change.to.as_ref())
        ),
        None => String::new(),
    };
    format!(
        "{} {}: {} wrote {} at {}, after the sync{predicted}",
        say(&over.object.to_string()),
        say(&over.field.to_string()),
        say(&over.who),
        side(over.is.as_ref()),
        clock(over.at)
    )
}

pub(super) fn outcome(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => "not known yet".into(),
        Some(Outcome::Done { found: true, .. }) => "done, as found in the world on resume".into(),
        Some(Outcome::Done { .. }) => "done".into(),
        Some(Outcome::NotDone { why }) => format!("not done: {}", say(why)),
        Some(Outcome::Unknown { why }) => format!("unknown: {}", say(why)),
    }
}

/// How auto-sync is kept off, where `found` is the policy that the note brings back.
pub(super) fn mechanism(mechanism: Mechanism, found: &Value) -> &'static str {
    match mechanism {
        Mechanism::NoteOnly if Policy::new(Some(found.clone())).is_on() => {
            "note only: an earlier freeze had switched auto-sync off, and its way back is kept"
        }
        Mechanism::NoteOnly => "note only: nothing to switch off",
        Mechanism::Disable => "automated.enabled: false",
        Mechanism::Remove => "automated taken out",
    }
}

pub(super) fn action(action: &Action) -> String {
    match action {
        Action::Patch { field, value } => {
            format!("set {} to {}", say(field), side(Some(value)))
        }
        Action::Remove { field } => format!("remove {}", say(field)),
        Action::Scale { replicas } => format!("scale to {replicas}"),
        Action::Restart {} => "restart".into(),
        Action::Suspend {} => "suspend".into(),
    }
}

pub(super) fn target(target: &Target) -> String {
    let words = match (target.policy, &target.automated) {
        (Some(TargetKind::Found), _) => "as found".to_owned(),
        (Some(TargetKind::Declared), _) => "as declared".to_owned(),
        (None, Some(automated)) => format!("automated: {}", side(Some(automated))),
        (None, None) => "not chosen".to_owned(),
    };
    match &target.reason {
        Some(reason) => format!("{words} ({})", say(reason)),
        None => words,
    }
}

/// A commit of somebody else.
pub(super) fn foreign(foreign: &Foreign) -> String {
    say(&format!(
        "{} \u{201c}{}\u{201d} of {}",
        foreign.commit,
        crate::text::shorten(&foreign.subject, 60),
        foreign.author
    ))
}

/// What a live action has to do with others: which one it took back, and which one took it back.
pub(super) fn beside(run: &Run, op: &OpId) -> Vec<String> {
    let undoes = run
        .act_undoes(op)
        .map(|undone| format!("undoes the action of {}", clock(undone.intended_at)));
    let undone = run
        .act_undone(op)
        .map(|(by, at)| format!("undone by {} at {}", say(&by.by), clock(at)));
    undoes.into_iter().chain(undone).collect()
}

/// What reading a live action again told. Of one that was taken back before that it is no news that it does not hold.
pub(super) fn reread(run: &Run, op: &OpId, after: Span, holds: bool) -> String {
    let due = run.ops.get(op).and_then(|op| {
        let (_, done) = op.outcome.as_ref()?;
        done.checked_add(after.0).ok()
    });
    let undone = run.act_undone(op).zip(due);
    match undone.filter(|((_, at), due)| at <= due) {
        _ if holds => "holds".into(),
        Some(((by, at), _)) => format!("undone by {} at {}", say(&by.by), clock(at)),
        None => "does not hold".into(),
    }
}

/// What a fresh sample of a gate is taken before.
pub(super) fn before(closing: bool) -> &'static str {
    match closing {
        true => "close",
        false => "thaw",
    }
}

/// How somebody changed what a thaw had left; none where it is as targeted again.
pub(super) fn policy_moved(why: Option<&str>) -> String {
    why.map_or_else(|| AS_TARGETED_AGAIN.to_owned(), say)
}

/// How somebody changed a policy before it was frozen.
pub(super) fn policy_changed(from: &Value, to: &Value) -> String {
    let on = |value: &Value| Policy::new(Some(value.clone())).is_on();
    let switched = match (on(from), on(to)) {
        (false, true) => "auto-sync was switched on",
        (true, false) => "auto-sync was switched off",
        _ => "its policy was changed",
    };
    format!(
        "{switched} before it was frozen: syncPolicy went from {} to {}",
        policy(from),
        policy(to)
    )
}

/// A policy or its `automated` block; off when there is none.
pub(super) fn policy(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::Object(map) if map.is_empty() => "empty".into(),
        value => side(Some(value)),
    }
}

pub(super) fn effect(run: &Run, effect: &Effect) -> String {
    match effect {
        Effect::Freeze {
            application,
            mechanism: how,
            found,
            from,
            ..
        } => format!(
            "freeze {} ({}{})",
            app(run, application),
            mechanism(*how, found),
            match from {
                Some(from) => format!(", taken over from {}", say(&run.tell_apart(from))),
                None => String::new(),
            }
        ),
        Effect::Push {
            branch,
            commit,
            tracked,
            ..
        } => format!(
            "push {} to {}{}",
            say(commit.short()),
            say(branch),
            if *tracked { "" } else { " (not tracked)" }
        ),
        Effect::Sync {
            application,
            revision,
            ..
        } => format!(
            "sync {} to {}",
            app(run, application),
            say(revision.short())
        ),
        Effect::Thaw {
            application,
            automated,
            ..
        } => {
            let on = Policy::new(Some(json!({"automated": automated}))).is_on();
            match on {
                true => format!(
                    "thaw {} (automated: {})",
                    app(run, application),
                    policy(automated)
                ),
                false => format!("thaw {} (auto-sync stays off)", app(run, application)),
            }
        }
        Effect::Ignore {
            application,
            fields,
            ..
        } => format!(
            "let {} ignore {}",
            app(run, application),
            say(&fields.join(", "))
        ),
        Effect::Delete {
            application,
            object,
            ..
        } => format!(
            "delete {} of {}",
            say(&object.to_string()),
            app(run, application)
        ),
        Effect::Act {
            application,
            object,
            action: what,
            ..
        } => format!(
            "{}: {} of {}",
            action(what),
            say(&object.to_string()),
            app(run, application)
        ),
    }
}

/// From one time to another, in whole seconds; nothing when time went backwards.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Span {
    let seconds = to.duration_since(from).as_secs();
    Span(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// A time as people read it, in UTC.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The same without the day.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

pub(super) fn sample(sample: &Sample) -> Sample {
    Sample {
        why: say(&sample.why),
        ..sample.clone()
    }
}
