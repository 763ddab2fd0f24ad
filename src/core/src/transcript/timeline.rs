//! The records as sentences.

use super::{
    model::Moment,
    quote::say,
    words::{self, app},
};
use crate::{
    event::{Armed, AuthorFrom, Earlier, Event, Record},
    gate::Verdict,
    ids::OpId,
    object::identity::AppKey,
    run::Run,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// One line a record; requests are left out, and of a gate's samples only those where the verdict changes are kept.
pub(super) fn timeline(records: &[&Record], run: &Run) -> Vec<Moment> {
    let mut last: BTreeMap<(AppKey, String), Verdict> = BTreeMap::new();
    records
        .iter()
        .filter_map(|record| {
            if let Event::GateSampled {
                application,
                gate,
                sample,
            } = &record.event
            {
                let key = (application.clone(), gate.clone());
                let same = last.insert(key, sample.verdict) == Some(sample.verdict);
                if same && run.looked_away(record.time).is_empty() {
                    return None;
                }
            }
            Some(Moment {
                seq: record.seq,
                at: record.time,
                what: told(record, run)?,
            })
        })
        .collect()
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn apps(run: &Run, keys: &[AppKey]) -> String {
    let names: Vec<_> = keys.iter().map(|key| app(run, key)).collect();
    names.join(", ")
}

/// Enough of a digest to tell two plans apart.
fn digest(whole: &crate::ids::Digest) -> &str {
    whole.0.get(..12).unwrap_or(&whole.0)
}

fn differences(differs: &[String]) -> String {
    match differs {
        [] => "it says the same".to_owned(),
        all => say(&crate::text::some(all, 12)),
    }
}

fn because(why: &str) -> String {
    if why.trim().is_empty() {
        String::new()
    } else {
        format!(": {}", say(why))
    }
}

/// A record as a sentence, with what nobody looked at up to then.
pub fn told(record: &Record, run: &Run) -> Option<String> {
    let said = sentence(&record.event, run)?;
    let ends = matches!(
        record.event,
        Event::Resumed { .. } | Event::GateSampled { .. }
    );
    let away = match ends {
        true => run.looked_away(record.time),
        false => Vec::new(),
    };
    let away = away.iter().map(|away| format!("; {}", say(away)));
    Some(std::iter::once(said).chain(away).collect())
}

/// An event as a sentence; `None` for what is no event to people, such as a request.
pub fn sentence(event: &Event, run: &Run) -> Option<String> {
    walk(event, run)
        .or_else(|| gates_and_writes(event, run))
        .or_else(|| people(event, run))
}

fn walk(event: &Event, run: &Run) -> Option<String> {
    Some(match event {
        Event::IncidentOpened {
            incident,
            operator,
            host,
            scope,
            ..
        } => format!(
            "{incident} opened by {} on {}; scope: {}",
            say(operator),
            say(host),
            apps(run, scope)
        ),
        Event::Resumed {
            operator,
            host,
            recovered,
            ..
        } => format!(
            "resumed by {} on {}{}",
            say(operator),
            say(host),
            because(recovered)
        ),
        Event::ScopeSet { scope, by } => {
            format!("scope set by {}: {}", say(by), apps(run, scope))
        }
        Event::Armed {
            write,
            by,
            host,
            pid,
        } => {
            let what = match write {
                Armed::Nothing => "nothing",
                Armed::Git => "Git only",
                Armed::Cluster => "the cluster",
                Armed::All => "all",
            };
            let process = match pid {
                0 => String::new(),
                pid => format!(" (process {pid} on {})", say(host)),
            };
            format!("armed for {what} by {}{process}", say(by))
        }
        Event::WaitGivenUp { wait, by } => format!("wait given up by {}: {}", say(by), say(wait)),
        Event::WaitShortened { wait, from, to } => {
            format!("wait shortened: {} {} → {}", say(wait), say(from), say(to))
        }
        Event::TargetSet {
            application,
            target,
            sync_policy,
            by,
            ..
        } => format!(
            "target policy of {}: {}, syncPolicy {} (by {})",
            app(run, application),
            words::target(target),
            words::policy(sync_policy),
            say(by)
        ),
        Event::SnapshotTaken {
            number,
            questions,
            unread,
            again,
            incomplete,
            earlier,
            ..
        } => format!(
            "snapshot {number} taken{}: {}{}{}{}",
            if *again { " again" } else { "" },
            plural(questions.len(), "open question"),
            not_snapped(run, incomplete),
            moved_unseen(earlier),
            match unread.len() {
                0 => String::new(),
                n => format!(", {n} not read ({})", say(&unread.join(", "))),
            }
        ),
        Event::Decided { decisions } => {
            let first = decisions.first()?;
            format!(
                "{} decided by {}: {}{}",
                plural(decisions.len(), "cell"),
                say(&first.by),
                words::take(&first.take),
                because(&first.reason)
            )
        }
        Event::DecisionWithdrawn { cells, why, by } => format!(
            "{} withdrawn by {}{}",
            plural(cells.len(), "decision"),
            say(by),
            because(why)
        ),
        Event::Proposed { proposal } => format!(
            "commit {} prepared: {}{}",
            say(proposal.commit.short()),
            plural(proposal.files.len(), "file"),
            match proposal.author_from {
                AuthorFrom::Operator => format!(
                    ", author {}, from {}",
                    say(&proposal.author),
                    proposal.author_from.words()
                ),
                _ => String::new(),
            }
        ),
        Event::MessageSet { by, .. } => format!("commit message set by {}", say(by)),
        Event::ProposalVoid { why } => format!(
            "the proposed commit does not stand any more{}",
            because(why)
        ),
        Event::PlanTaken {
            plan,
            by,
            replaces,
            reason,
            differs,
        } => match replaces {
            None => format!("plan taken up by {}", say(by)),
            Some(before) => format!(
                "plan mended by {}{}: {} in place of {}; {}",
                say(by),
                because(reason),
                digest(&plan.digest()),
                digest(before),
                differences(differs)
            ),
        },
        Event::CommitSet {
            branch,
            pull_request,
            by,
        } => format!(
            "commit goes to {}{} (by {})",
            say(branch.as_deref().unwrap_or("the tracked branch")),
            if *pull_request {
                " as a pull request"
            } else {
                ""
            },
            say(by)
        ),
        Event::Landed {
            branch,
            revision,
            how,
            same,
            ..
        } => format!(
            "{} holds {} ({}){}",
            say(branch),
            say(revision.short()),
            say(how),
            match same.as_slice() {
                [] => String::new(),
                same => format!(
                    "; nothing changed in the folders of {}: as synced",
                    apps(run, same)
                ),
            }
        ),
        Event::OrderSet { order, by } => {
            format!("order set by {}: {}", say(by), apps(run, order))
        }
        _ => return None,
    })
}

/// A write of the journal in words.
fn written(run: &Run, op: &OpId) -> String {
    run.ops
        .get(op)
        .map_or_else(|| say(op.as_str()), |op| words::effect(run, &op.effect))
}

fn beside(run: &Run, op: &OpId) -> String {
    let beside = words::beside(run, op);
    let beside = beside.iter().map(|beside| format!("; {beside}"));
    beside.collect()
}

fn gates_and_writes(event: &Event, run: &Run) -> Option<String> {
    Some(match event {
        Event::Intended { effect, by, op, .. } => format!(
            "{} is going to: {} (op {}){}",
            say(by),
            words::effect(run, effect),
            say(op.as_str()),
            beside(run, op)
        ),
        Event::Ended { op, outcome } => {
            format!("{}: {}", written(run, op), words::outcome(Some(outcome)))
        }
        Event::Refused {
            what,
            rule,
            why,
            by,
            after,
            failed,
        } => {
            let did = if *failed { "failed for" } else { "refused to" };
            let rule = match rule {
                0 => String::new(),
                rule => format!(" (rule {rule})"),
            };
            let done: Vec<String> = after.iter().map(|op| written(run, op)).collect();
            let done = match done.as_slice() {
                [] => String::new(),
                done => format!("; done before it: {}", done.join(", ")),
            };
            format!(
                "{did} {}: {}{rule}{}{done}",
                say(by),
                say(what),
                because(why)
            )
        }
        Event::FreezeSampled {
            application,
            sample,
        } => format!(
            "freeze of {}: {}{}",
            app(run, application),
            if sample.holds {
                "holds"
            } else {
                "does not hold"
            },
            because(&sample.why)
        ),
        Event::ObservationGap {
            kind,
            namespace,
            why,
            ..
        } => format!(
            "{}{} not seen without a break: holds and quiet timers start again{}",
            say(kind),
            namespace
                .as_ref()
                .map(|namespace| format!(" in {}", say(namespace)))
                .unwrap_or_default(),
            because(why)
        ),
        Event::Outage {
            what,
            from,
            to,
            why,
        } => format!(
            "{} could not be read from {} to {} UTC ({}){}",
            say(what),
            from.strftime("%H:%M:%S"),
            to.strftime("%H:%M:%S"),
            super::words::between(*from, *to),
            because(why)
        ),
        Event::FreezeRight {
            missing: Some(missing),
        } => format!(
            "unfrozen, watched: no right to {}; what others do is seen and not prevented",
            say(missing)
        ),
        Event::FreezeRight { missing: None } => "the right to freeze is there".to_owned(),
        Event::FreezeProven { application } => {
            format!("freeze of {} proven", app(run, application))
        }
        Event::FreezeLost { application, why } => {
            format!("freeze of {} lost{}", app(run, application), because(why))
        }
        Event::GateAdded { gate, by, .. } => {
            format!("gate {} added by {}", say(gate), say(by))
        }
        Event::GateRemoved { gate, why, by } => format!(
            "gate {} taken away by {}{}",
            say(gate),
            say(by),
            because(why)
        ),
        Event::BaselineTaken { gate, sample } => format!(
            "gate {} tried out before the first change{}",
            say(gate),
            because(&sample.why)
        ),
        Event::Predicted {
            application,
            prediction,
            ..
        } => {
            let effect = if prediction.no_change() {
                "no change".to_owned()
            } else {
                plural(prediction.changes.len(), "field")
            };
            let verdict = if prediction.as_expected() {
                "as expected"
            } else {
                "not as expected"
            };
            format!(
                "sync of {} predicted: {effect}, {verdict}",
                app(run, application)
            )
        }
        Event::OperationFinished {
            application,
            phase,
            message,
            ..
        } => format!(
            "operation on {} ended: {}{}",
            app(run, application),
            say(phase),
            because(message)
        ),
        Event::SyncVerified {
            application,
            changes,
            surprises,
            overwritten,
            ..
        } => {
            let over: Vec<String> = overwritten
                .iter()
                .map(|over| format!("; not read back: {}", words::overwritten(over)))
                .collect();
            format!(
                "sync of {} verified: {} changed, {}{}",
                app(run, application),
                plural(changes.len(), "field"),
                plural(surprises.len(), "surprise"),
                over.concat()
            )
        }
        Event::SurpriseSeen {
            application,
            reason,
            by,
            ..
        } => format!(
            "{} looked at what the sync of {} changed and nobody was shown, and goes on{}",
            say(by),
            app(run, application),
            because(reason)
        ),
        Event::GateStarted {
            application,
            gate,
            hold,
            ..
        } => format!(
            "gate {} after {} begun, for {hold}",
            say(gate),
            app(run, application)
        ),
        Event::GateSampled {
            application,
            gate,
            sample,
        } => format!(
            "gate {} after {} is {}{}",
            say(gate),
            app(run, application),
            verdict(sample.verdict),
            because(&sample.why)
        ),
        Event::GateBeforeThaw {
            application,
            gate,
            sample,
            closing,
            ..
        } => format!(
            "gate {} after {}, once more before the {}: {}{}",
            say(gate),
            app(run, application),
            words::before(*closing),
            verdict(sample.verdict),
            because(&sample.why)
        ),
        Event::GatePassed { application, gate } => {
            format!("gate {} after {} passed", say(gate), app(run, application))
        }
        Event::GateTimedOut {
            application,
            gate,
            why,
            given_up_by,
        } => format!(
            "gate {} after {} {}{}",
            say(gate),
            app(run, application),
            match given_up_by {
                Some(by) => format!("given up by {}", say(by)),
                None => "timed out".to_owned(),
            },
            because(why)
        ),
        Event::ThawWatched {
            application,
            round,
            holds,
            why,
        } => format!(
            "thaw of {}, round {round}: {}{}",
            app(run, application),
            if *holds { "holds" } else { "does not hold" },
            because(why)
        ),
        Event::ActReread {
            op,
            after,
            holds,
            why,
        } => format!(
            "live action read again after {after}: {}{}",
            words::reread(run, op, *after, *holds),
            because(why)
        ),
        _ => return None,
    })
}

fn people(event: &Event, run: &Run) -> Option<String> {
    let about = |key: &Option<AppKey>| {
        key.as_ref()
            .map_or_else(String::new, |key| format!("{}: ", app(run, key)))
    };
    Some(match event {
        Event::Attested {
            gate,
            who,
            saw,
            after,
        } => format!(
            "gate {}{} attested by {}: {}",
            say(gate),
            match after.as_slice() {
                [] => String::new(),
                after => format!(" after {}", apps(run, after)),
            },
            say(who),
            say(saw)
        ),
        Event::Adopted {
            application,
            what,
            who,
            ..
        } => format!(
            "adopted: {}{} (by {})",
            about(application),
            say(what),
            say(who)
        ),
        Event::Strayed {
            cell, what, who, ..
        }
        | Event::StrayedBack {
            cell, what, who, ..
        } => format!(
            "done by others: {}: {} (by {})",
            app(run, &cell.application),
            say(what),
            say(who)
        ),
        Event::GlassBroken {
            application,
            what,
            reason,
            by,
        } => format!(
            "glass broken by {}: {}{}{}",
            say(by),
            about(application),
            say(what),
            because(reason)
        ),
        Event::GlassReviewed {
            what, found, by, ..
        } => {
            format!(
                "broken glass reviewed by {}: {}{}",
                say(by),
                say(what),
                because(found)
            )
        }
        Event::Parked {
            application,
            owner,
            until,
            reason,
            by,
        } => format!(
            "{} parked by {} for {} until {}{}",
            app(run, application),
            say(by),
            say(owner),
            say(until),
            because(reason)
        ),
        Event::Unparked { application, by } => {
            format!("{} goes on (by {})", app(run, application), say(by))
        }
        Event::PolicyMoved {
            application,
            why,
            who,
        } => format!(
            "done by others: {}: {}{}",
            app(run, application),
            words::policy_moved(why.as_deref()),
            match who.as_str() {
                "" => String::new(),
                who => format!(" (by {})", say(who)),
            }
        ),
        Event::PolicyChanged {
            application,
            from,
            to,
            who,
        } => format!(
            "done by others: {}: {} (by {})",
            app(run, application),
            words::policy_changed(from, to),
            say(who)
        ),
        Event::Revealed { what, by } => {
            format!("{} revealed on the screen by {}", say(what), say(by))
        }
        Event::Exported { format, .. } => format!("exported as {}", say(format)),
        Event::Closed { by } => format!("closed by {}", say(by)),
        _ => return None,
    })
}

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Green => "green",
        Verdict::Red => "red",
        Verdict::Inconclusive => "inconclusive",
    }
}

/// That a snapshot is none of some Applications.
fn not_snapped(run: &Run, incomplete: &[AppKey]) -> String {
    let names: Vec<_> = incomplete.iter().map(|key| app(run, key)).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(
            ", and it is none of {}, not all of which could be read",
            names.join(", ")
        ),
    }
}

/// What moved since a snapshot that could not read Git, with what was live then: nothing else may have it any more.
fn moved_unseen(earlier: &[Earlier]) -> String {
    let said = earlier
        .iter()
        .filter(|earlier| !earlier.questions.is_empty());
    said.map(|earlier| {
        let text = |value: &Value, name: &str| {
            let text = value.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let values: Vec<String> = earlier
            .questions
            .iter()
            .flat_map(|question| {
                let cells = question.get("cells").and_then(Value::as_array);
                cells
                    .into_iter()
                    .flatten()
                    .map(move |cell| (question, cell))
            })
            .filter(|(_, cell)| cell.get("differs") == Some(&Value::Bool(true)))
            .map(|(question, cell)| {
                let live = cell.get("live").filter(|live| !live.is_null());
                let live = live.map_or_else(|| "(absent)".to_owned(), crate::text::value);
                format!(
                    "{} {} {} of {} was {live}",
                    text(question, "kind"),
                    text(question, "name"),
                    text(question, "field"),
                    text(cell, "application"),
                )
            })
            .collect();
        format!(
            "; since {}, when not all could be read, live moved in {}: {}",
            earlier.at.strftime("%H:%M:%S UTC"),
            plural(earlier.questions.len(), "field"),
            say(&crate::text::some(&values, 12))
        )
    })
    .collect()
}
