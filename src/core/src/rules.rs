//! The rules that are never broken, asked before a command is shown as a sheet and again before it is done.

mod gates;

pub use gates::{attest, gate_reached};
use gates::{await_gate, gate_stays, other_gate};

use crate::{
    decision::{CellKey, How, Sides, Take},
    event::Proposal,
    now::{AppNow, Now},
    object::identity::{AppKey, ObjectRef},
    plan::{Action, Gate},
    policy::{NOTE, Policy},
    run::{Freeze, Landed, Run, Sync, Thaw},
    sheet::{Command, Refusal},
    text, workflow,
};

/// Whether the command may go ahead as things stand.
pub fn check(run: &Run, now: &Now, command: &Command) -> Result<(), Refusal> {
    if run.closed.is_some()
        && !matches!(
            command,
            Command::Look | Command::Export { .. } | Command::CancelWait
        )
    {
        return Err(Refusal::new(
            0,
            "the incident is closed",
            "open a new one with `trueup start --incident ID`",
        ));
    }
    armed(run, command)?;
    match command {
        Command::Freeze { applications } => freeze(run, now, applications),
        Command::TakeOver { applications, from } => take_over(run, now, applications, from),
        Command::Restore { applications } => restore(run, now, applications),
        Command::Push => push(run, now),
        Command::Sync { application } => sync(run, now, application),
        Command::Ignore { application } => ignore(run, now, application),
        Command::Thaw { applications } => thaw(run, now, applications),
        Command::Act {
            application,
            action,
            ..
        } => act(run, now, application, action),
        Command::Delete {
            application,
            object,
        } => delete(run, now, application, object),
        Command::Close => close(run, now),
        Command::Park { application, .. } | Command::Unpark { application }
            if !run.scope.contains(application) =>
        {
            known(run, application).map(drop)
        }
        Command::Park { owner, until, .. }
            if owner.trim().is_empty() || until.trim().is_empty() =>
        {
            Err(Refusal::new(
                10,
                "a parked Application needs an owner and a time until when",
                "name both",
            ))
        }
        Command::Withdraw { cells, .. } => match cells.iter().find(|cell| run.carried_out(cell)) {
            None => Ok(()),
            Some(cell) => Err(Refusal::new(
                6,
                text::line(&format!(
                    "{} {} of {} is pushed or synced as decided: forgetting that takes nothing back",
                    cell.object, cell.field, cell.application.name
                )),
                "decide it anew: another choice makes another commit",
            )),
        },
        Command::AwaitGate { application, gate } => await_gate(run, application, gate),
        Command::RemoveGate { name, .. } if !run.gates.contains_key(name) => Err(Refusal::new(
            0,
            text::line(&format!("there is no gate {name} to take away")),
            "`healthy` is built in and stays",
        )),
        Command::RemoveGate { name, .. } if run.gate_follows(name).is_some() => {
            Err(gate_stays(run, name))
        }
        Command::AddGate { name, spec } => other_gate(run, name, spec),
        Command::RemoveGate { reason, .. } if reason.trim().is_empty() => Err(Refusal::new(
            10,
            "taking a gate away needs a reason",
            "say why; it stands in the transcript",
        )),
        Command::SeeSurprise {
            application,
            reason,
        } => see_surprise(run, now, application, reason),
        Command::BreakGlass { reason, .. } if reason.trim().is_empty() => Err(Refusal::new(
            3,
            "breaking glass needs a reason",
            "say why, and who decided it",
        )),
        Command::BreakGlass {
            application, what, ..
        } => glass(run, now, application.as_ref(), what),
        Command::ReviewGlass {
            application,
            what,
            found,
        } => {
            let open = |glass: &crate::run::BrokenGlass| {
                glass.what == *what
                    && glass.reviewed.is_none()
                    && (application.is_none() || glass.application == *application)
            };
            match run.broken_glass.iter().any(open) {
                true if found.trim().is_empty() => Err(Refusal::new(
                    10,
                    "a review says what was found",
                    "write it; it stands in the transcript",
                )),
                true => Ok(()),
                false => Err(Refusal::new(
                    0,
                    text::line(&format!(
                        "no glass is broken for {what} that waits for a review"
                    )),
                    "`trueup status` lists what is owed",
                )),
            }
        }
        Command::Attest { who, saw, .. } if who.trim().is_empty() || saw.trim().is_empty() => {
            Err(Refusal::new(
                0,
                "an attestation says who looked and what they saw",
                "name both",
            ))
        }
        Command::Attest { gate, .. } => attest(run, now, gate),
        Command::SetCommit {
            branch: Some(branch),
            ..
        } => crate::forge::branch_name(branch).map_err(|why| {
            Refusal::new(
                0,
                text::line(&format!("no branch can be called `{branch}`: {why}")),
                "choose another name",
            )
        }),
        _ => Ok(()),
    }
}

/// Glass is broken for what the walk stands still at, and for nothing else.
pub fn glass(
    run: &Run,
    now: &Now,
    application: Option<&AppKey>,
    what: &str,
) -> Result<(), Refusal> {
    let refused = match workflow::glass_to_break(run, &workflow::next(run, now)) {
        Ok(glass) if glass.what == what && glass.application.as_ref() == application => {
            return Ok(());
        }
        Ok(glass) => format!(
            "glass is broken for what the walk stands still at, and that is not {what} but {}{}",
            glass.what,
            match &glass.application {
                Some(key) => format!(" after {key}"),
                None => String::new(),
            }
        ),
        Err(why) => format!("no glass is broken for {what}: {why}"),
    };
    Err(Refusal::new(
        3,
        text::line(&refused),
        "`trueup status` says what comes next",
    ))
}

/// A decision is made on what was looked at: what moved while it was being chosen is looked at again.
pub fn as_chosen(now: &Now, take: &Take, seen: &[(CellKey, Sides)]) -> Result<(), Refusal> {
    let shown = |value: &Option<serde_json::Value>| {
        let value = value.as_ref().map_or("(absent)".to_owned(), text::value);
        text::shorten(&value, 60)
    };
    for (key, was) in seen {
        let Some(cell) = now.cells.get(key) else {
            continue;
        };
        let is = &cell.sides;
        let base = (*take == Take::LastSynced).then_some((
            "the last sync",
            &was.last_synced,
            &is.last_synced,
        ));
        let sides = [("live", &was.live, &is.live), ("Git", &was.git, &is.git)];
        if let Some((side, was, is)) = sides.into_iter().chain(base).find(|(_, was, is)| was != is)
        {
            let place = key
                .object
                .namespace
                .as_ref()
                .unwrap_or(&key.application.name);
            // The writer of a cell is the one of its live value.
            let by = match cell.writer.as_str() {
                "" | "unknown" => String::new(),
                _ if side != "live" => String::new(),
                writer => format!(", by {writer}"),
            };
            return Err(Refusal::new(
                0,
                text::line(&format!(
                    "nothing is decided: {side} of {place} ({}) moved from {} to {} while you were choosing{by}",
                    key.field,
                    shown(was),
                    shown(is)
                )),
                "look at it, and choose again",
            ));
        }
    }
    Ok(())
}

/// What is put off to stay frozen needs a freeze that stands: nothing else keeps it as it is.
pub fn as_held(run: &Run, now: &Now, cells: &[CellKey], take: &Take) -> Result<(), Refusal> {
    if !matches!(take, Take::Later(later) if later.how == How::StayFrozen) {
        return Ok(());
    }
    let loose = cells.iter().find_map(|cell| {
        let key = &cell.application;
        match now.lost_freeze(run, key) {
            Some(why) => Some((key, why)),
            None if run.is_frozen(key) => None,
            None => Some((key, run.freeze_word(key).to_owned())),
        }
    });
    match loose {
        None => Ok(()),
        Some((key, why)) => Err(Refusal::new(
            4,
            text::line(&format!(
                "nothing of {key} can stay frozen, since it is not frozen ({why}): auto-sync would write over it"
            )),
            text::line(&format!(
                "freeze it first (`{}`, `F` on the screen), or put the field off otherwise (keepLive, gitNow)",
                run.freeze_command(key)
            )),
        )),
    }
}

/// Whether this process may write what the command writes.
pub fn armed(run: &Run, command: &Command) -> Result<(), Refusal> {
    let missing = match command {
        Command::Push if !run.armed.git() => "git",
        Command::Freeze { .. }
        | Command::TakeOver { .. }
        | Command::Restore { .. }
        | Command::Sync { .. }
        | Command::Ignore { .. }
        | Command::Thaw { .. }
        | Command::Act { .. }
        | Command::Delete { .. }
            if !run.armed.cluster() =>
        {
            "cluster"
        }
        _ => return Ok(()),
    };
    Err(Refusal::new(
        1,
        format!(
            "not armed: this writes to {}",
            if missing == "git" {
                "Git"
            } else {
                "the cluster"
            }
        ),
        format!("arm with `W` on the screen, or with --write {missing} (or all)"),
    ))
}

fn known<'a>(run: &'a Run, key: &AppKey) -> Result<&'a crate::run::AppRun, Refusal> {
    run.apps
        .get(key)
        .filter(|_| run.scope.contains(key))
        .ok_or_else(|| {
            Refusal::new(
                0,
                text::line(&format!("{key} is not in the scope of this incident")),
                "add it to the scope first",
            )
        })
}

fn freeze(run: &Run, now: &Now, applications: &[AppKey]) -> Result<(), Refusal> {
    if applications.is_empty() {
        return Err(Refusal::new(
            0,
            "no Application to freeze",
            "mark at least one",
        ));
    }
    for key in applications {
        known(run, key)?;
        if let Some(refusal) = now
            .apps
            .get(key)
            .and_then(|app| frozen_by_other(run, key, app))
        {
            return Err(refusal);
        }
        let found = run.apps.get(key).and_then(|app| app.found.as_ref());
        let unreadable = now.apps.get(key).is_some_and(AppNow::note_unreadable);
        if unreadable && found.is_none() {
            return Err(unreadable_note(key));
        }
    }
    Ok(())
}

/// A note that says nothing is written over by nobody: what it found may be the only way back.
pub fn unreadable_note(key: &AppKey) -> Refusal {
    let (name, namespace) = (&key.name, &key.namespace);
    Refusal::new(
        2,
        text::line(&format!(
            "{key} carries a note of a freeze ({NOTE}) that cannot be read: what it found is not known"
        )),
        text::line(&format!(
            "read it (`kubectl get application {name} -n {namespace} -o yaml`), put back by hand the auto-sync that is meant to stand, and take the note away (`kubectl annotate application {name} -n {namespace} {NOTE}-`)"
        )),
    )
}

/// Who froze an Application, where this journal did not, and the ways out of it in the order in which they are to be tried.
pub fn frozen_by_other(run: &Run, key: &AppKey, app: &AppNow) -> Option<Refusal> {
    let incident = app.frozen_by_another(run, key)?;
    let of_note = |field: &str| app.note.as_ref()?.get(field)?.as_str();
    let by: Vec<String> = [
        of_note("by").map(str::to_owned),
        of_note("at")
            .and_then(|at| at.parse::<jiff::Timestamp>().ok())
            .map(|at| format!("since {}", at.strftime("%Y-%m-%d %H:%MZ"))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let by = match by.is_empty() {
        true => String::new(),
        false => format!(" ({})", by.join(", ")),
    };
    let first = match incident == run.id() {
        true => format!(
            "this journal did not write that note: go on where the journal is that did (`trueup resume {incident}` with its --state-dir, on its host)"
        ),
        false => format!(
            "talk to its operator, or go on with it where its journal is (`trueup resume {incident}`)"
        ),
    };
    let name = &key.name;
    Some(Refusal::new(
        2,
        text::line(&format!(
            "{key} is frozen by incident {} already{by}",
            run.tell_apart(incident)
        )),
        text::line(&format!(
            "{first}; once nobody works on it any more, take it over (`trueup freeze {name} --take-over {incident}`, or `O` on the screen), or put back what it found (`trueup thaw {name} --state-dir EMPTY_FOLDER --write cluster`)"
        )),
    ))
}

fn take_over(run: &Run, now: &Now, applications: &[AppKey], from: &str) -> Result<(), Refusal> {
    for key in applications {
        known(run, key)?;
        let app = now.apps.get(key);
        let ours = |app: &AppNow| app.bears_our_note(run, key);
        let bears = app.filter(|app| !ours(app)).and_then(AppNow::frozen_by);
        if bears != Some(from) {
            return Err(Refusal::new(
                2,
                text::line(&match bears {
                    None if app.is_some_and(ours) => {
                        format!("{key} is frozen by this incident")
                    }
                    None if app.is_some_and(AppNow::note_unreadable) => {
                        return Err(unreadable_note(key));
                    }
                    None => {
                        format!("{key} bears no note of a freeze: there is nothing to take over")
                    }
                    Some(other) => format!(
                        "{key} is frozen by {}, not by {from}",
                        run.tell_apart(other)
                    ),
                }),
                "`trueup status` lists who froze what",
            ));
        }
    }
    Ok(())
}

/// Only what moves nothing: an operator who knows no more than the note decides nothing.
fn restore(run: &Run, now: &Now, applications: &[AppKey]) -> Result<(), Refusal> {
    unread(run, now, 3)?;
    for key in applications {
        let app = known(run, key)?;
        if run.is_given_back(key) {
            return Err(not_frozen(run, key));
        }
        if !app.freeze.is_set() {
            return Err(Refusal::new(
                4,
                format!(
                    "{key} is not frozen by this incident ({})",
                    app.freeze.word()
                ),
                "take the freeze over first",
            ));
        }
        if !run.only_taken_over(key) {
            return Err(Refusal::new(
                3,
                format!("{key} was not only taken over: something was decided of it here"),
                "thaw it as what was decided asks for",
            ));
        }
        if !quiet(now, key, app) {
            return Err(not_quiet(key));
        }
    }
    Ok(())
}

/// A thaw does nothing to what is Synced, or gets no auto-sync back.
fn quiet(now: &Now, key: &AppKey, app: &crate::run::AppRun) -> bool {
    now.apps.get(key).is_some_and(|seen| seen.sync == "Synced")
        || app
            .target
            .as_ref()
            .is_some_and(|(_, whole, _)| !crate::policy::Policy::new(Some(whole.clone())).is_on())
}

fn not_quiet(key: &AppKey) -> Refusal {
    Refusal::new(
        3,
        format!(
            "{key} is not synced and verified: with auto-sync on, Argo CD would do what nobody was shown"
        ),
        "sync it first",
    )
}

/// What could not be read may hide a question, or what is owed: nothing goes on as if there were none.
fn unread(run: &Run, now: &Now, rule: u8) -> Result<(), Refusal> {
    match now.unread(run) {
        None => match run.walking().find(|(key, _)| {
            // What was read whole since, and is in no snapshot.
            run.unsnapped(key) && now.apps.get(*key).is_some_and(|app| !app.incomplete)
        }) {
            None => Ok(()),
            Some((key, _)) => Err(Refusal::new(
                rule,
                text::line(&format!(
                    "{key} could not be read for the last snapshot, so that what is undecided or lost is not known"
                )),
                "look again: the snapshot is taken again once it can be read",
            )),
        },
        Some((key, why)) => Err(Refusal::new(
            rule,
            text::line(&format!(
                "not all of {key} could be read, so that what is undecided or owed is not known: {why}"
            )),
            "look again once it can be read, or park it (`trueup park`, `P` on the screen)",
        )),
    }
}

fn undecided(run: &Run, now: &Now) -> Result<(), Refusal> {
    undecided_of(run, now, None)
}

/// What nobody has decided on, or not since somebody changed it; of one Application alone where one is named.
fn undecided_of(run: &Run, now: &Now, of: Option<&AppKey>) -> Result<(), Refusal> {
    unread(run, now, 3)?;
    let asked = |key: &CellKey| of.is_none_or(|of| key.application == *of);
    let cells: Vec<_> = now.undecided(run).filter(|(key, _)| asked(key)).collect();
    // A copy that is as its own Git has it explains nothing.
    let differs = cells.iter().find(|(_, cell)| cell.differs);
    let Some((first, _)) = differs.or(cells.first()) else {
        return Ok(());
    };
    let more = cells.len() - 1;
    Err(Refusal::new(
        3,
        text::line(&format!(
            "{} {} not decided yet: {} {} of {}{}",
            now.counted(cells.iter().map(|(key, _)| *key)),
            if more == 0 { "is" } else { "are" },
            first.object,
            first.field,
            first.application.name,
            if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            },
        )),
        "decide each of them, on the screen (`trueup resume`) or in a plan, or put it off with an owner and a date",
    ))
}

/// What a sync changed and nobody was shown is looked at by a person before anything else is synced or thawed.
fn none_surprised(run: &Run) -> Result<(), Refusal> {
    let Some((key, surprises)) = run.surprised() else {
        return Ok(());
    };
    let changed: Vec<String> = surprises.iter().map(in_words).collect();
    Err(Refusal::new(
        3,
        text::line(&format!(
            "{}: {}",
            crate::workflow::surprised(key, surprises),
            text::some(&changed, 3)
        )),
        format!(
            "look at it, and decide what it left open; then say why you go on: {}; or park it (`trueup park {key} --incident {} --owner WHO --until DATE --reason WHY`)",
            see_surprise_by(run, key),
            run.id()
        ),
    ))
}

/// How somebody says that a surprise was looked at.
pub fn see_surprise_by(run: &Run, key: &AppKey) -> String {
    let sync = format!("`{}`", run.sync_seen_command(key));
    let screen = format!("the screen (`trueup resume {}`)", run.id());
    match run.plan {
        Some(_) => format!("`trueup run PLAN.yaml --replan 'why'`, {sync}, or {screen}"),
        None => format!("{sync}, or {screen}"),
    }
}

fn in_words(changed: &crate::event::Changed) -> String {
    let side = |value: &Option<serde_json::Value>| {
        let value = value.as_ref().map_or("(absent)".to_owned(), text::value);
        text::shorten(&value, 60)
    };
    format!(
        "{} {} from {} to {}",
        changed.object,
        changed.field,
        side(&changed.from),
        side(&changed.to)
    )
}

fn see_surprise(run: &Run, now: &Now, key: &AppKey, reason: &str) -> Result<(), Refusal> {
    let app = known(run, key)?;
    if !matches!(app.sync, Sync::Surprised { seen: None, .. }) {
        return Err(Refusal::new(
            0,
            text::line(&format!(
                "no sync of {key} changed anything that nobody was shown and nobody has looked at"
            )),
            "there is nothing to look at: leave it out",
        ));
    }
    if reason.trim().is_empty() {
        return Err(Refusal::new(
            3,
            "going on after what nobody was shown needs a reason",
            "say what you saw, and why the walk may go on; it stands in the transcript",
        ));
    }
    undecided_of(run, now, Some(key))
}

/// One freeze that somebody undid stops every write of the walk: what the others were predicted from may move.
/// What another incident holds by its own freeze is not lost: auto-sync stays off there.
fn none_lost(run: &Run, now: &Now) -> Result<(), Refusal> {
    let lost = run.walking().find_map(|(key, app)| match &app.freeze {
        Freeze::Lost { why } if now.taken_over_by(run, key).is_none() => Some((key, why)),
        _ => None,
    });
    match lost {
        None => Ok(()),
        Some((key, why)) => Err(Refusal::new(
            4,
            text::line(&format!("the freeze of {key} is lost: {why}")),
            format!(
                "freeze {key} again (`{}`), or park it (`trueup park {key} --incident {} --owner WHO --until DATE --reason WHY`): until then nothing else is written",
                run.freeze_command(key),
                run.id()
            ),
        )),
    }
}

fn held(key: &AppKey, app: &crate::run::AppRun) -> Result<(), Refusal> {
    match app.is_held() {
        true => Ok(()),
        false => Err(Refusal::new(
            4,
            format!("the freeze of {key} is not proven ({})", app.freeze_word()),
            "freeze it, and wait until it was seen to hold twice",
        )),
    }
}

/// Why something that rests on a freeze cannot be done: auto-sync was given back.
pub fn not_frozen(run: &Run, key: &AppKey) -> Refusal {
    match run.apps.get(key).map(|app| &app.thaw) {
        Some(Thaw::Broken { why, .. }) => not_as_thawed(run, key, why),
        _ => thawed_already(run, key),
    }
}

/// What a thaw left did not stay: with auto-sync on, or changed by somebody, there is nothing to thaw.
pub fn not_as_thawed(run: &Run, key: &AppKey, why: &str) -> Refusal {
    frozen_again_first(run, key, &format!("{key} did not stay as thawed: {why}"))
}

fn frozen_again_first(run: &Run, key: &AppKey, why: &str) -> Refusal {
    Refusal::new(
        3,
        text::line(why),
        text::line(&format!(
            "freeze it again (`F`, or `{}`), then see what moved it",
            run.freeze_command(key)
        )),
    )
}

/// Nobody of us makes the merge of a branch of our own: what it changes is held until it was synced as shown.
fn merged(run: &Run, now: &Now, key: &AppKey) -> Result<(), Refusal> {
    let Some((_, branch, revision)) = workflow::unmerged(run) else {
        return Ok(());
    };
    let fields = run.decisions.values().filter(|decision| {
        let cell = now.cells.get(&decision.cell);
        decision.cell.application == *key
            && decision.changes_git()
            && cell.is_none_or(|cell| !cell.git_as_decided(decision))
    });
    match fields.count() {
        0 => Ok(()),
        fields => Err(Refusal::new(
            3,
            text::line(&format!(
                "{branch} ({}) waits to be merged and changes {} of {key}: thawed, that would be synced by itself, unseen",
                revision.short(),
                text::count(fields, "field")
            )),
            "wait for the merge, which is synced first; or park it",
        )),
    }
}

/// What is decided goes into Git before anything is synced or thawed: what is there now would be brought back.
fn in_git(run: &Run, now: &Now) -> Result<(), Refusal> {
    // Without a look at Git, or without an own right to write there, that is nothing to wait for here.
    let owed = workflow::owed_to_git(run, now);
    let seen = |cell: &&CellKey| !run.landed.is_empty() && now.cells.contains_key(*cell);
    let Some(cell) = owed.filter(seen) else {
        return Ok(());
    };
    let acted = run.acted().any(|acted| acted.is_same(cell));
    let (how, undo) = match acted {
        true => (
            "was set by a live action",
            format!("; or take it back: `{}`", run.undo_command(cell)),
        ),
        false => ("is decided", String::new()),
    };
    Err(Refusal::new(
        6,
        text::line(&format!(
            "{} {} of {} {how}, and Git does not have it so",
            cell.object, cell.field, cell.application.name
        )),
        text::line(&format!(
            "push it first (`trueup run` with a plan that has it, or the screen: `trueup resume {}`){undo}",
            run.id()
        )),
    ))
}

fn waits_for_sync(run: &Run, key: &AppKey, cell: &CellKey) -> Refusal {
    Refusal::new(
        3,
        text::line(&format!(
            "{} {} of {key} is decided, and the cluster does not have it so: it was decided after the sync",
            cell.object, cell.field
        )),
        format!("sync it again first (`{}`)", run.sync_command(key)),
    )
}

/// Why an Application that was synced is synced once more before it is thawed: that sync and its gates were not made for what Git
/// has now, or did not come to their end. The walk takes the head and syncs to it; a thaw by itself is no way around that.
pub fn sync_stands(run: &Run, now: &Now, key: &AppKey) -> Result<(), Refusal> {
    let Some(app) = run.apps.get(key) else {
        return Ok(());
    };
    let repository = now.apps.get(key).map(|seen| &seen.repository);
    let landed = repository.and_then(|it| run.landed.get(it));
    let head = repository.and_then(|it| now.heads.get(it));
    let moved = landed
        .zip(head)
        .is_some_and(|(landed, head)| landed.revision != *head);
    let why = match (&app.sync, landed) {
        (Sync::Not, _) => return Ok(()),
        (Sync::Verified { .. }, Some(landed)) if moved => {
            return Err(Refusal::new(
                3,
                text::line(&format!(
                    "{} is not at {} any more, and whether that changes {key} was not looked at yet",
                    landed.branch,
                    landed.revision.short()
                )),
                "look again: where it changes nothing of it, its sync and its gates stand",
            ));
        }
        (Sync::Verified { revision, .. }, Some(landed)) if !run.synced_as(key, landed) => format!(
            "{key} was synced to {}, and Git has other manifests of it at {} since: its gates judged what is not so any more",
            revision.short(),
            landed.revision.short()
        ),
        (Sync::Verified { .. }, _) => return Ok(()),
        (Sync::Finished { phase, message, .. }, _) if phase != "Succeeded" => {
            format!("the sync of {key} ended as {phase}: {message}")
        }
        _ => format!("the sync of {key} is not verified"),
    };
    Err(Refusal::new(
        3,
        text::line(&why),
        text::line(&format!(
            "sync it first (`{}`): its gates follow that sync",
            run.sync_command(key)
        )),
    ))
}

fn thawed_already(run: &Run, key: &AppKey) -> Refusal {
    Refusal::new(
        4,
        text::line(&format!("{key} was thawed by this incident already")),
        run.given_back_unwatched(key),
    )
}

fn frozen(run: &Run) -> Result<(), Refusal> {
    match run
        .walking()
        .find(|(_, app)| !app.freeze.proven() && app.freeze != Freeze::Thawed)
    {
        None => Ok(()),
        Some((key, app)) => Err(Refusal::new(
            4,
            format!("the freeze of {key} is not proven ({})", app.freeze.word()),
            "freeze it, and wait until it was seen to hold twice",
        )),
    }
}

fn push(run: &Run, now: &Now) -> Result<(), Refusal> {
    undecided(run, now)?;
    let Some(proposal) = &run.proposal else {
        return Err(Refusal::new(
            6,
            "there is no proven commit to push",
            "decide, then look at the proof",
        ));
    };
    let unproven = proposal
        .proof
        .iter()
        .find(|line| !line.undecided.is_empty() || !line.errors.is_empty());
    if let Some(line) = unproven {
        return Err(Refusal::new(
            6,
            format!(
                "the commit is not proven: it changes {} of {} that nobody decided",
                text::count(line.undecided.len(), "field"),
                line.application
            ),
            "look at the proof; decide those fields too, or change the decision",
        ));
    }
    // A branch of our own moves no Application: it needs no freeze.
    if proposal.branch == proposal.tracked {
        frozen(run)?;
        if let Some(key) = loose(run, now, proposal).first() {
            return Err(loosely(run, key));
        }
    }
    Ok(())
}

/// The Applications that a push would move and that nobody holds: it would be a sync of theirs that nobody was shown.
pub fn loose<'p>(run: &Run, now: &Now, proposal: &'p Proposal) -> Vec<&'p AppKey> {
    let moved = proposal
        .proof
        .iter()
        .filter(|line| !line.decided.is_empty());
    let loose = moved.map(|line| &line.application).filter(|key| {
        let app = run.apps.get(key);
        let by_itself = || now.apps.get(key).is_none_or(|seen| seen.auto_sync);
        let walked = app.is_some_and(|app| app.parked.is_none()) && run.scope.contains(key);
        !app.is_some_and(crate::run::AppRun::is_held) && (walked || by_itself())
    });
    loose.collect()
}

/// Why nothing is pushed while one of those is loose.
pub fn loosely(run: &Run, key: &AppKey) -> Refusal {
    let app = run.apps.get(key);
    let given_back = app.is_some_and(|app| !matches!(app.thaw, Thaw::Not));
    let how = match given_back {
        true => "was thawed, and auto-sync is on there as it was targeted",
        false => "is not frozen",
    };
    Refusal::new(
        4,
        text::line(&format!(
            "the commit moves {key}, which {how}: Argo CD would sync the push by itself, without an order, a gate, or anybody having been shown what it does"
        )),
        text::line(&format!(
            "freeze {key} first (`{}`): it is synced and thawed once more after the push",
            run.freeze_command(key)
        )),
    )
}

/// Whether a sync comes next, whatever it would do.
pub fn sync_is_next<'r>(run: &'r Run, now: &Now, key: &AppKey) -> Result<&'r Landed, Refusal> {
    let app = known(run, key)?;
    none_lost(run, now)?;
    none_surprised(run)?;
    undecided(run, now)?;
    held(key, app)?;
    in_git(run, now)?;
    let revision = match now.apps.get(key) {
        Some(seen) => run.landed.get(&seen.repository),
        None => None,
    };
    let Some(landed) = revision else {
        return Err(Refusal::new(
            6,
            "no proven revision has landed on the tracked branch yet",
            "commit first: a sync goes to a revision that renders as decided",
        ));
    };
    let before = run
        .sync_order()
        .into_iter()
        .take_while(|other| other != key)
        .find(|other| {
            run.apps.get(other).is_some_and(|app| {
                app.parked.is_none()
                    && run.stays_frozen(other).is_none()
                    && app.freeze.is_set()
                    && !now
                        .apps
                        .get(other)
                        .and_then(|seen| run.landed.get(&seen.repository))
                        .is_some_and(|landed| run.synced_as(other, landed))
            })
        });
    if let Some(other) = before {
        return Err(Refusal::new(
            3,
            format!("{other} comes before {key} in the order of syncs and is not verified"),
            "sync it first, park it, or change the order",
        ));
    }
    let unsettled = run
        .sync_order()
        .into_iter()
        .take_while(|other| other != key)
        .find_map(|other| {
            let app = run
                .apps
                .get(&other)
                .filter(|app| app.parked.is_none() && app.freeze != Freeze::Thawed)?;
            let verified = matches!(app.sync, Sync::Verified { .. });
            let open = verified
                .then(|| crate::workflow::gates(run, &other, app))
                .flatten()?;
            Some((other, open))
        });
    if let Some((other, open)) = unsettled {
        return Err(Refusal::new(
            10,
            text::line(&format!(
                "{other} comes before {key}, and {}",
                open.waits_for()
            )),
            "settle that gate first, park the Application, or change the order",
        ));
    }
    Ok(landed)
}

fn sync(run: &Run, now: &Now, key: &AppKey) -> Result<(), Refusal> {
    let landed = sync_is_next(run, now, key)?;
    match &known(run, key)?.prediction {
        Some((at, prediction)) if *at == landed.revision => {
            let only_unknown = prediction.unexpected.is_empty() && prediction.missing.is_empty();
            let glass = run.glass_for_sync(key);
            if prediction.as_expected() || (only_unknown && glass) {
                Ok(())
            } else {
                Err(Refusal::new(
                    3,
                    crate::workflow::differs(key, prediction),
                    "decide the difference, look again, or park the Application",
                ))
            }
        }
        _ if synced(run, now, key) => Err(Refusal::new(
            0,
            format!("{key} is synced already, and the cluster has it as decided"),
            "there is nothing to sync",
        )),
        _ => Err(Refusal::new(
            3,
            format!("what a sync of {key} would do is not known yet"),
            "look again: the prediction comes first",
        )),
    }
}

/// Whether the Application was synced to what landed, and nothing was decided since that it does not have.
pub fn synced(run: &Run, now: &Now, key: &AppKey) -> bool {
    let landed = now
        .apps
        .get(key)
        .and_then(|seen| run.landed.get(&seen.repository));
    landed.is_some_and(|landed| run.synced_as(key, landed) && now.not_in_effect(run, key).is_none())
}

/// Whether what an Application was synced to still is what it is to be: nothing of it is a question again.
pub fn holds_synced(run: &Run, now: &Now, key: &AppKey) -> Result<(), Refusal> {
    undecided_of(run, now, Some(key)).map_err(|mut refusal| {
        if let Some((revision, at)) = run.synced_to(key) {
            refusal.reason = text::line(&format!(
                "{key} was synced to {} at {}, and not all of it is so any more: {}",
                revision.short(),
                at.strftime("%-d %b %H:%M:%S UTC"),
                refusal.reason
            ));
        }
        refusal
    })?;
    in_git(run, now)
}

fn ignore(run: &Run, now: &Now, key: &AppKey) -> Result<(), Refusal> {
    let app = known(run, key)?;
    none_lost(run, now)?;
    undecided(run, now)?;
    held(key, app)?;
    let uncommitted = now
        .cells
        .iter()
        .find(|(cell, seen)| cell.application == *key && run.ignores(cell) && !seen.ignored_in_git);
    if let Some((cell, _)) = uncommitted {
        return Err(Refusal::new(
            6,
            text::line(&format!(
                "the declaration of {key} in Git does not ignore {} {} yet",
                cell.object, cell.field
            )),
            "commit first: what is live only would be lost with the next apply",
        ));
    }
    Ok(())
}

fn delete(run: &Run, now: &Now, key: &AppKey, object: &ObjectRef) -> Result<(), Refusal> {
    let app = known(run, key)?;
    none_lost(run, now)?;
    undecided(run, now)?;
    held(key, app)?;
    if !run.to_delete(key).any(|(cell, _)| cell.object == *object) {
        return Err(Refusal::new(
            8,
            text::line(&format!("nobody decided that {object} is to be removed")),
            "decide `remove` for the object as a whole",
        ));
    }
    Ok(())
}

fn thaw(run: &Run, now: &Now, applications: &[AppKey]) -> Result<(), Refusal> {
    // Its note is another incident's way back, which no thaw of ours takes away.
    let held = applications.iter().find_map(|key| {
        now.taken_over_by(run, key)?;
        frozen_by_other(run, key, now.apps.get(key)?)
    });
    if let Some(refusal) = held {
        return Err(refusal);
    }
    none_lost(run, now)?;
    none_surprised(run)?;
    undecided(run, now)?;
    in_git(run, now)?;
    let again = run
        .walking()
        .find(|(_, app)| matches!(app.sync, Sync::Surprised { .. }));
    if let Some((key, _)) = again {
        return Err(Refusal::new(
            3,
            text::line(&format!(
                "nothing is thawed yet: the sync of {key} changed what nobody was shown, and it was not synced again since"
            )),
            format!(
                "sync it again first (`{}`), or park it",
                run.sync_command(key)
            ),
        ));
    }
    // One at a time: what the one before it does is seen before the next one may do the same.
    let unwatched = run
        .walking()
        .filter(|(key, _)| !applications.contains(key))
        .find_map(|(key, app)| match &app.thaw {
            Thaw::Restored { .. } => Some(Refusal::new(
                3,
                text::line(&format!(
                    "nothing is thawed yet: {key} was thawed, and that it holds was not watched to the end"
                )),
                text::line(&format!("watch it first (`{}`)", run.thaw_command(key))),
            )),
            _ => None,
        });
    if let Some(refusal) = unwatched {
        return Err(refusal);
    }
    let moved = now.not_as_thawed(run);
    if let Some((key, why)) = moved.filter(|(key, _)| !applications.contains(key)) {
        return Err(frozen_again_first(
            run,
            key,
            &format!("nothing else is thawed yet: {why}"),
        ));
    }
    // What is to be synced and judged once more may have to be mended in all of them.
    for (key, app) in run.walking() {
        let other = app.is_held()
            && !applications.contains(key)
            && run.stays_frozen(key).is_none()
            && now.taken_over_by(run, key).is_none();
        if other {
            sync_stands(run, now, key).map_err(|mut refusal| {
                refusal.reason.insert_str(0, "nothing is thawed yet: ");
                refusal
            })?;
        }
    }
    // What a gate of another one finds may have to be mended in these too: then they must be held still.
    let waits = run.walking().find_map(|(key, app)| {
        let synced = matches!(app.sync, Sync::Verified { .. }) && app.freeze != Freeze::Thawed;
        let other = synced && !applications.contains(key);
        other
            .then(|| crate::workflow::gates(run, key, app))
            .flatten()
    });
    if let Some(open) = waits {
        return Err(Refusal::new(
            10,
            text::line(&format!("nothing is thawed yet: {}", open.waits_for())),
            "settle that gate first, break glass there with a reason, or park the Application that it follows",
        ));
    }
    for key in applications {
        let app = known(run, key)?;
        merged(run, now, key)?;
        if app.target.is_none() {
            return Err(Refusal::new(
                0,
                format!("no target policy is chosen for {key}"),
                "choose as found, as declared, or type one",
            ));
        }
        match &app.thaw {
            Thaw::Broken { why, .. } => return Err(not_as_thawed(run, key, why)),
            Thaw::Restored { .. } => return Err(thawed_already(run, key)),
            Thaw::Not | Thaw::Watched { .. } => {}
        }
        if app.freeze == Freeze::Thawed
            && let Some(seen) = now.apps.get(key)
            && let Some(why) = app.not_as_targeted(&Policy::new(Some(seen.sync_policy.clone())))
        {
            return Err(Refusal::new(
                3,
                text::line(&format!("{key} {why}")),
                text::line(&format!(
                    "freeze it again (`F`, or `{}`), then thaw it",
                    run.freeze_command(key)
                )),
            ));
        }
        if !app.freeze.is_set() && !matches!(app.freeze, Freeze::Lost { .. }) {
            let other = now
                .apps
                .get(key)
                .and_then(|app| frozen_by_other(run, key, app));
            return Err(other.unwrap_or_else(|| {
                Refusal::new(
                    0,
                    format!("{key} is not frozen by this incident"),
                    "there is nothing to thaw",
                )
            }));
        }
        if let Some((cell, _)) = run.to_delete(key).find(|(cell, _)| now.is_live(cell)) {
            return Err(Refusal::new(
                8,
                text::line(&format!(
                    "{} is to be removed and is still there: the thaw might delete it unconfirmed",
                    cell.object
                )),
                "confirm its deletion first, or decide to keep it",
            ));
        }
        let waiting = match app.sync {
            Sync::Verified { .. } => now.not_in_effect(run, key),
            _ => None,
        };
        if let Some(cell) = waiting {
            return Err(waits_for_sync(run, key, cell));
        }
        // Gates follow a sync; where none was made there is nothing for them to judge.
        if app.sync == Sync::Not {
            match quiet(now, key, app) {
                true => continue,
                false => return Err(not_quiet(key)),
            }
        }
        sync_stands(run, now, key)?;
        let red = run.gates_after(key).into_iter().find(|gate| {
            let passed = app
                .gates
                .get(gate)
                .is_some_and(|state| state.passed.is_some());
            let glass = run.glass_for(key, gate).is_some();
            !passed && !app.attested.contains_key(gate) && !glass
        });
        if let Some(gate) = red {
            return Err(Refusal::new(
                10,
                format!("gate {gate} after {key} is not green"),
                match run.gates.get(&gate) {
                    Some(Gate::Manual(_)) => {
                        "whoever looked attests it: with `trueup run PLAN --attest`, or on the screen (`trueup resume`)"
                    }
                    _ => {
                        "wait for it: the plan's `trueup run`, `trueup sync` of it, and the screen each do; or break glass there with a reason (`trueup glass break`, `B` on the screen)"
                    }
                },
            ));
        }
    }
    Ok(())
}

fn act(run: &Run, now: &Now, key: &AppKey, action: &Action) -> Result<(), Refusal> {
    let app = known(run, key)?;
    none_lost(run, now)?;
    if !app.is_held() {
        return Err(Refusal::new(
            4,
            format!(
                "the freeze of {key} is not proven ({}): a live action would be undone or synced over",
                app.freeze_word()
            ),
            "freeze it first",
        ));
    }
    if let Action::Scale { replicas: 0 } = action {
        return Err(Refusal::new(
            8,
            "scaling to 0 takes the workload away",
            "patch `.spec.replicas` to 0 if that is what is wanted",
        ));
    }
    Ok(())
}

fn close(run: &Run, now: &Now) -> Result<(), Refusal> {
    unread(run, now, 10)?;
    let owed: Vec<_> = now
        .owed(run)
        .into_iter()
        .filter(|o| o.blocks_close)
        .collect();
    match owed.first() {
        None => {
            let unfinished = run
                .walking()
                .filter(|(key, _)| run.stays_frozen(key).is_none())
                .find(|(_, app)| app.freeze != Freeze::Thawed && app.freeze != Freeze::Not);
            match unfinished {
                None => Ok(()),
                Some((key, _)) => Err(Refusal::new(
                    10,
                    format!("{key} is not thawed"),
                    "thaw or park it",
                )),
            }
        }
        Some(first) => Err(Refusal::new(
            10,
            format!(
                "{} owed: {}",
                match owed.len() {
                    1 => "one thing is".to_owned(),
                    many => format!("{many} things are"),
                },
                owed.iter()
                    .map(|owed| owed.what.as_str())
                    .collect::<Vec<_>>()
                    .join("; ")
            ),
            format!("settle it: {}", first.settle),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{ManualGate, MeasuredGate},
        run::GateRun,
    };

    #[test]
    fn one_lost_freeze_stops_every_write_of_the_walk() {
        let keys: [AppKey; 2] = ["argocd/auth", "argocd/like"].map(|key| key.parse().unwrap());
        let mut run = Run {
            scope: keys.to_vec(),
            armed: crate::event::Armed::All,
            ..Run::default()
        };
        for key in &keys {
            run.apps.entry(key.clone()).or_default();
        }
        run.apps.entry(keys[1].clone()).or_default().freeze = Freeze::Lost {
            why: "somebody switched auto-sync on".into(),
        };
        let [auth, like] = keys;
        let object = ObjectRef::from_object(&serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})).unwrap();
        for command in [
            Command::Sync {
                application: auth.clone(),
            },
            Command::Ignore {
                application: auth.clone(),
            },
            Command::Delete {
                application: auth.clone(),
                object,
            },
            Command::Thaw {
                applications: vec![auth.clone()],
            },
            Command::Act {
                application: auth.clone(),
                object: "Deployment/auth".into(),
                action: Action::Restart {},
                reason: String::new(),
            },
        ] {
            let refused = check(&run, &Now::default(), &command).unwrap_err();
            assert!(
                refused.rule == 4 && refused.reason.contains("like"),
                "{command:?}: {refused:?}"
            );
        }
        // It is frozen again, or parked: then the others go on.
        assert_eq!(
            check(
                &run,
                &Now::default(),
                &Command::Freeze {
                    applications: vec![like]
                }
            ),
            Ok(())
        );
    }

    #[test]
    fn what_moved_while_it_was_chosen_is_not_decided() {
        let key = |application: &str| {
            CellKey {
            application: AppKey::new("argocd", application),
            object: ObjectRef::from_object(&serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": application}})).unwrap(),
            field: ".data.K".parse().unwrap(),
        }
        };
        let side = |value: &str| Some(serde_json::json!(value));
        let was = Sides {
            git: side("old"),
            last_synced: side("old"),
            live: side("A"),
        };
        // The copy that is taken is not decided itself.
        let seen = [(key("like"), was.clone()), (key("auth"), was.clone())];
        let live = Take::Live(crate::decision::LiveOf::default());
        let with = |sides: &Sides| {
            let mut now = Now::default();
            for (key, is) in [(key("like"), &was), (key("auth"), sides)] {
                let sides = is.clone();
                now.cells.insert(
                    key,
                    crate::now::CellNow {
                        sides,
                        writer: "kubectl-patch".into(),
                        ..Default::default()
                    },
                );
            }
            now
        };
        assert_eq!(as_chosen(&with(&was), &live, &seen), Ok(()));
        for (moved, take, what) in [
            (
                Sides {
                    live: side("B"),
                    ..was.clone()
                },
                &live,
                Some(
                    "live of auth (.data.K) moved from A to B while you were choosing, by kubectl-patch",
                ),
            ),
            (
                Sides {
                    git: side("B"),
                    ..was.clone()
                },
                &Take::Git,
                Some("Git of auth (.data.K) moved from old to B"),
            ),
            (
                Sides {
                    live: None,
                    ..was.clone()
                },
                &Take::Git,
                Some("moved from A to (absent)"),
            ),
            (
                Sides {
                    last_synced: side("B"),
                    ..was.clone()
                },
                &Take::LastSynced,
                Some("the last sync of auth"),
            ),
            (
                Sides {
                    last_synced: side("B"),
                    ..was.clone()
                },
                &live,
                None,
            ),
        ] {
            let refused = as_chosen(&with(&moved), take, &seen)
                .err()
                .map(|refusal| refusal.reason);
            match what {
                Some(what) => {
                    let why = refused.unwrap();
                    assert!(why.contains(what), "{what}: {why}");
                    // Who wrote the live value did not push.
                    assert_eq!(why.contains("by kubectl"), why.contains("live of"), "{why}");
                }
                None => assert_eq!(refused, None),
            }
        }
    }

    #[test]
    fn a_person_looks_after_the_sync_and_the_measured_gates() {
        let key: AppKey = "argocd/auth".parse().unwrap();
        let says = |after: &[&AppKey]| crate::event::Record {
            seq: 1,
            time: jiff::Timestamp::UNIX_EPOCH,
            event: crate::event::Event::Attested {
                gate: "traces".into(),
                who: "jo".into(),
                saw: "fresh ones".into(),
                after: after.iter().copied().cloned().collect(),
            },
        };
        let mut run = Run {
            scope: vec![key.clone()],
            ..Run::default()
        };
        let manual = Gate::Manual(ManualGate {
            manual: "fresh auth flows".into(),
        });
        run.gates.insert("traces".into(), manual);
        run.gates
            .insert("rate".into(), Gate::Measured(MeasuredGate::default()));
        run.apps.entry(key.clone()).or_default();
        let said =
            |run: &Run, gate: &str| gate_reached(run, gate).err().map(|refusal| refusal.reason);
        assert!(said(&run, "nobody").is_some_and(|why| why.contains("no sync")));
        let synced = said(&run, "traces").unwrap();
        assert!(synced.contains("argocd/auth is not verified"), "{synced}");
        let app = run.apps.get_mut(&key).unwrap();
        app.sync = Sync::Verified {
            op: "op-1".into(),
            revision: "0123456789012345678901234567890123456789".into(),
            changes: Vec::new(),
        };
        for (passed, open) in [("healthy", "rate"), ("rate", "")] {
            let gate = GateRun {
                passed: Some(jiff::Timestamp::UNIX_EPOCH),
                ..GateRun::default()
            };
            let app = run.apps.get_mut(&key).unwrap();
            app.gates.insert(passed.into(), gate);
            let why = said(&run, "traces");
            assert_eq!(why.is_none(), open.is_empty(), "{why:?}");
            assert!(why.unwrap_or_default().contains(open));
        }
        // What was said of one sync is said of no other.
        let other: AppKey = "argocd/like".parse().unwrap();
        let verified = run.apps[&key].clone();
        run.scope.push(other.clone());
        run.apps.insert(other.clone(), verified);
        let plan = "apiVersion: trueup.dev/v1\nkind: Plan\nincident: I\nscope: [auth, like]\ngates:\n  traces: {manual: fresh}\nsync:\n- {application: auth, then: [traces]}\n- {application: like, then: [traces]}\n";
        run.connection.namespace = "argocd".into();
        run.plan = Some(Box::new(crate::plan::Plan::parse(plan).unwrap()));
        assert_eq!(run.to_attest("traces"), [key.clone(), other.clone()]);
        let asked = |run: &Run, key: &AppKey| {
            let next = crate::workflow::gates(run, key, &run.apps[key]);
            matches!(next, Some(crate::workflow::Next::Attest { .. }))
        };
        let mut told = run.clone();
        told.apply(&says(&[&key]));
        assert!(!asked(&told, &key) && asked(&told, &other));
        assert_eq!(said(&told, "traces"), None);
        told.apply(&says(&[&other]));
        assert!(said(&told, "traces").is_some_and(|why| why.contains("attested already")));
        // A journal of before the syncs were named: those that had reached it then, and none that comes later.
        run.apps.get_mut(&other).unwrap().sync = Sync::Not;
        run.apply(&says(&[]));
        let mut again = run.apps[&key].sync.clone();
        std::mem::swap(&mut run.apps.get_mut(&other).unwrap().sync, &mut again);
        assert!(!asked(&run, &key) && asked(&run, &other));
    }

    #[test]
    fn nothing_stays_frozen_where_no_freeze_stands() {
        use crate::decision::Later;
        let records = crate::transcript::sample::records();
        let whole = Run::fold(&records);
        let cell = whole.decisions.keys().next().unwrap().clone();
        let later = |how| {
            Take::Later(Later {
                how,
                owner: "ann".into(),
                until: "2099-01-01".into(),
            })
        };
        let held = |run: &Run, how| {
            as_held(
                run,
                &Now::default(),
                std::slice::from_ref(&cell),
                &later(how),
            )
        };
        assert!(whole.is_given_back(&cell.application));
        let refused = held(&whole, How::StayFrozen).unwrap_err();
        assert_eq!(refused.rule, 4);
        assert!(
            refused.reason.contains("is not frozen (thawed)")
                && refused.hint.contains("trueup freeze"),
            "{refused:?}"
        );
        assert_eq!(held(&whole, How::GitNow), Ok(()));
        let mut run = whole.clone();
        let app = run.apps.get_mut(&cell.application).unwrap();
        app.thaw = Thaw::Not;
        app.freeze = Freeze::Lost {
            why: "somebody switched auto-sync on".into(),
        };
        assert!(held(&run, How::StayFrozen).is_err());
        let app = run.apps.get_mut(&cell.application).unwrap();
        app.freeze = Freeze::Set {
            op: crate::ids::OpId("1".into()),
            at: jiff::Timestamp::UNIX_EPOCH,
            mechanism: crate::event::Mechanism::Disable,
        };
        assert_eq!(held(&run, How::StayFrozen), Ok(()));
        // The debt says what is so, and is settled by nobody's name alone.
        run.decisions.get_mut(&cell).unwrap().take = later(How::StayFrozen);
        let debt = |run: &Run| {
            let owed = run.obligations().into_iter();
            let mut owed = owed.filter(|owed| owed.id.starts_with("later:"));
            owed.next().map(|owed| (owed.what, owed.blocks_close))
        };
        let (said, blocks) = debt(&run).unwrap();
        assert!(
            said.ends_with("undecided, stays frozen") && !blocks,
            "{said}"
        );
        run.apps.get_mut(&cell.application).unwrap().freeze = Freeze::Thawed;
        let (said, blocks) = debt(&run).unwrap();
        assert!(
            said.contains("not frozen any more (thawed)") && blocks,
            "{said}"
        );
    }
}
