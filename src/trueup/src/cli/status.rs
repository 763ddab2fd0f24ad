//! `trueup status`: where an incident stands, from its journal and, where it answers, from the cluster.

use std::{collections::BTreeMap, io::Write, time::Duration};

use serde_json::{Value, json};
use trueup_core::{
    decision::CellKey,
    event::{Armed, Event, Obligation, Record},
    ids::{Digest, IncidentId},
    now::{AppNow, Now},
    object::identity::AppKey,
    policy::{Note, Policy},
    rules,
    run::{AppRun, Freeze, Run, THAW_UNKNOWN, Thaw},
    text, transcript,
    workflow::{self, Next},
};

use super::{args::StatusArgs, export::chosen, give_up, output, planned::acted_beside, print_json};
use crate::{
    adapters::clock::random_key,
    app,
    engine::{
        Trouble, adopt, foreign, observe,
        read::{LookOptions, World},
        state::as_whom,
        steps::snapshot::Snapshot,
    },
    journal,
    ports::{Repos, no_log},
    settings::{Output, Settings},
    wiring::wire,
};

/// How long the cluster may take to answer before the journal alone is shown.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest sentence that is told of a record, in characters.
const SENTENCE: usize = 600;

/// A record as a line for people following a run; requests and samples are left out.
pub fn said(record: &Record, run: &Run) -> Option<String> {
    transcript::told(record, run).map(|said| text::shorten(&said, SENTENCE))
}

pub async fn run(settings: &Settings, args: &StatusArgs) -> i32 {
    let known = journal::list(&settings.state_dir);
    let named = args.id.as_deref().or(settings.incident.as_deref());
    let none = known.is_ok_and(|known| match named {
        Some(named) => {
            let id = named.parse::<IncidentId>();
            id.is_ok_and(|id| !known.contains(&id))
        }
        None => known.is_empty(),
    });
    // A closed incident says nothing of what others froze: the notes do.
    let ended = named.is_none()
        && app::open_incidents(settings).is_ok_and(|open| open.is_empty())
        && foreign_note(settings).await;
    if none || ended {
        return from_cluster(settings, args.line, named).await;
    }
    match of_incident(settings, args).await {
        Ok(code) => code,
        Err(trouble) => give_up(settings, &trouble),
    }
}

async fn of_incident(settings: &Settings, args: &StatusArgs) -> Result<i32, Trouble> {
    let incident = chosen(settings, args.id.as_deref())?;
    let closed = folded(settings, &incident)?.closed.is_some();
    let Looked {
        run,
        now,
        again,
        as_whom,
    } = looked(settings, &incident, args.line && closed).await?;
    let mut owed = run.obligations();
    let mut out = output::stdout();
    let line = match &now {
        // Of a closed incident the journal tells all, but for what was handed over frozen.
        Err(_) if run.closed.is_none() || run.owes_a_thaw() => {
            format!(
                "{} · {}, not looked at",
                transcript::status_line(&run, None),
                journaled(&run)
            )
        }
        now => transcript::status_line(&run, now.as_ref().ok()),
    };
    let others = others(settings, &incident)?;
    if args.line {
        if let Ok(now) = &now {
            owed = now.owed(&run);
        }
        let mut lines = vec![line];
        lines.extend(others.iter().map(|other| {
            let line = transcript::status_line(other, None);
            format!("{line} · {}, not looked at", journaled(other))
        }));
        if settings.output == Output::Json {
            print_json(&json!({
                "apiVersion": trueup_core::API_VERSION,
                "kind": "Status",
                "incident": incident,
                "otherOpen": others.iter().map(Run::id).collect::<Vec<_>>(),
                "line": lines.first(),
                "lines": lines,
            }));
        } else {
            for line in lines {
                let _ = writeln!(out, "{line}");
            }
        }
        let next = now.as_ref().ok().map(|now| coming(&run, now));
        return Ok(ends(&run, &owed, next.as_ref()));
    }
    let not_reached = now.as_ref().err().cloned();
    let now = now.ok();
    if let Some(now) = &now {
        owed = now.owed(&run);
    }
    let next = now.as_ref().map(|now| coming(&run, now));
    // Who lacks a right may have it by another name.
    let lacking = now
        .as_ref()
        .filter(|now| {
            let told = now.may.is_empty() && run.unfrozen.is_some();
            run.closed.is_none() && (told || now.lacks_freeze(&run).is_some())
        })
        .map(|_| as_whom);
    let acted = run
        .plan
        .as_ref()
        .filter(|_| run.closed.is_none())
        .and_then(|plan| acted_beside(&run, plan, now.as_ref()))
        .map(|beside| {
            let taken_up = beside.taken_up();
            (beside.said(), run.undo_command(beside.cell), taken_up)
        });
    let code = ends(&run, &owed, next.as_ref());
    let stage = match (&next, run.closed.is_some()) {
        (_, true) => "closed".to_owned(),
        (Some(next), _) => workflow::stage(&run, next).name().to_lowercase(),
        (None, _) => "unknown".to_owned(),
    };
    let stopped = match &next {
        Some(Next::Stopped { rule, reason, .. }) => {
            Some(json!({"rule": rule, "reason": text::line(reason)}))
        }
        _ => None,
    };
    let unread = now.as_ref().and_then(|now| now.unread(&run));
    let unread = unread.map(|(key, why)| json!({"application": key, "why": text::line(why)}));
    // What could not be read may hide more: then nobody knows how many.
    let undecided = now.as_ref().filter(|_| unread.is_none());
    let undecided = undecided.map(|now| {
        let cells: Vec<&CellKey> = now.undecided(&run).map(|(key, _)| key).collect();
        (now.fields(cells.iter().copied()), cells.len())
    });
    let open_again: Vec<Value> = now
        .iter()
        .flat_map(|now| now.open_again(&run))
        .map(|(key, _)| {
            let touched = again.get(key);
            json!({
                "application": key.application,
                "object": key.object.to_string(),
                "field": key.field,
                "what": touched.map(|(what, _)| what),
                "who": touched.map(|(_, who)| who),
            })
        })
        .collect();
    let lost: Vec<Value> = now
        .iter()
        .flat_map(|now| now.lost(&run).map(move |lost| (now, lost)))
        .map(|(now, (key, cell, found))| {
            let touched = run.shaken.get(key);
            json!({
                "application": key.application,
                "object": key.object.to_string(),
                "field": key.field,
                "found": found.sides.live,
                "foundAt": found.at,
                "live": cell.sides.live,
                "what": now.went(key, cell, found),
                "who": touched.map_or(&cell.writer, |touched| &touched.who),
            })
        })
        .collect();
    let frozen: Vec<Value> = run
        .apps
        .iter()
        .filter(|(key, app)| {
            let lost = matches!(app.freeze, Freeze::Lost { .. });
            lost || run.is_frozen(key) || app.freeze.is_set() && run.thaw_unknown(key)
        })
        // Nobody writes into a closed journal that what it handed over was thawed since.
        .filter(|(key, _)| {
            let seen = now.as_ref().and_then(|now| now.apps.get(*key));
            run.closed.is_none() || seen.is_none_or(|app| app.bears_our_note(&run, key))
        })
        .map(|(key, app)| {
            let mut item =
                json!({"application": key, "state": run.freeze_word(key), "found": app.found});
            if let Freeze::Lost { why } = &app.freeze {
                item["why"] = json!(why);
            }
            let seen = now.as_ref().and_then(|now| now.apps.get(key));
            if let Some(seen) = seen.filter(|_| run.thaw_unknown(key)) {
                item["seen"] = json!(as_seen(&run, key, seen));
            }
            item
        })
        .collect();
    let unknown: Vec<Value> = run
        .open_ops()
        .map(|(id, op)| json!({"op": id, "what": op.effect.verb(), "application": op.effect.application()}))
        .collect();
    let left = run.closed.is_some().then(|| run.left());
    let open = run.closed.is_none();
    let waited_for = transcript::waits_for_somebody(&run).filter(|_| open);
    let red: Vec<String> = run
        .apps
        .iter()
        .flat_map(|(key, app)| {
            app.gates
                .iter()
                .map(move |(gate, state)| (key, gate, state))
        })
        .filter(|(_, _, state)| state.passed.is_none())
        .map(|(key, gate, state)| {
            let last = state.samples.last().map_or_else(
                || "no sample".to_owned(),
                |sample| format!("{} (at {})", sample.why, sample.at.strftime("%H:%M:%S UTC")),
            );
            let unmet = state.ended_unmet().filter(|_| state.given_up_by.is_some());
            let glass = run
                .glass_for(key, gate)
                .map(|glass| format!("glass was broken by {} ({})", glass.by, glass.reason));
            let ended: Vec<String> = unmet.into_iter().chain(glass).collect();
            let ended = match ended.is_empty() {
                true => String::new(),
                false => format!("{}; ", ended.join(", ")),
            };
            text::line(&format!("{gate} after {}: {ended}{last}", key.name))
        })
        .chain(
            next.as_ref()
                .filter(|next| matches!(next, Next::Attest { .. }))
                .or(waited_for.as_ref())
                .map(Next::waits_for),
        )
        .collect();
    // Arming ends with the process that was armed, which the journal does not see.
    let armed = match run.closed.is_none() && journal::held(&settings.state_dir, &incident) {
        true => run.armed,
        false => Armed::Nothing,
    };
    if settings.output == Output::Json {
        print_json(&json!({
            "apiVersion": trueup_core::API_VERSION,
            "kind": "Status",
            "incident": incident,
            "otherOpen": others.iter().map(Run::id).collect::<Vec<_>>(),
            "stage": stage,
            "armed": armed,
            "applications": run.scope,
            "frozen": frozen,
            "undecided": undecided.map(|(fields, _)| fields),
            "undecidedCells": undecided.map(|(_, cells)| cells),
            "unread": unread,
            "leftUndecided": left.map(|left| json!({"questions": left.questions, "parked": left.parked})),
            "unknownWrites": unknown,
            "openAgain": open_again,
            "lost": lost,
            "gatesNotGreen": red,
            "noSymptomGate": run.no_symptom_gate(),
            "gatesInDoubt": run.doubts(),
            "gatesChanged": run.gates_changed(),
            "actedAgainstPlan": acted.as_ref().map(|(said, undo, _)| json!({"what": said, "command": undo})),
            "owed": owed,
            "stopped": stopped,
            "next": next.as_ref().map(|next| next_document(&run, next)),
            "line": line,
            "cluster": if now.is_some() { "read" } else { "not reached" },
            "askedAs": lacking,
            "asOf": now.as_ref().map(|now| now.at).or(run.last.map(|(_, at)| at)),
        }));
        return Ok(code);
    }
    let _ = writeln!(out, "{line}");
    if let Some(why) = not_reached.filter(|_| run.closed.is_none()) {
        let _ = writeln!(out, "this is from the journal alone: {}", text::line(&why));
    }
    if let Some(unread) = &unread {
        let _ = writeln!(
            out,
            "not all of {} could be read, so that what is undecided or owed is not known: {}",
            unread["application"].as_str().unwrap_or_default(),
            unread["why"].as_str().unwrap_or_default()
        );
    }
    if let Some(next) = next.filter(|_| run.closed.is_none()) {
        let _ = writeln!(out, "next: {}{}", next.waits_for(), how(&run, &next));
    }
    if let Some(as_whom) = &lacking {
        let _ = writeln!(out, "a right is missing: {as_whom}");
    }
    if let Some((said, undo, taken_up)) = &acted {
        let _ = writeln!(
            out,
            "but first: {said}: `trueup run` stops there. Take it back with `{undo}`, or {taken_up} (--replan)"
        );
    }
    let symptom = run.no_symptom_gate().map(str::to_owned);
    for said in symptom.into_iter().chain(run.not_judged()) {
        let _ = writeln!(out, "{said}");
    }
    for said in run.doubts().into_iter().chain(run.gates_changed()) {
        let _ = writeln!(out, "{said}");
    }
    let rows: Vec<Vec<String>> = run
        .apps
        .iter()
        .map(|(key, app)| {
            let seen = now.as_ref().and_then(|now| now.apps.get(key));
            vec![
                key.to_string(),
                freeze_word(&run, key, app, seen),
                seen.map_or_else(String::new, |s| s.sync.clone()),
                seen.map_or_else(String::new, |s| s.health.clone()),
                app.parked.as_ref().map_or_else(String::new, |p| {
                    format!("parked for {} until {}", p.owner, p.until)
                }),
            ]
        })
        .collect();
    output::table(
        &mut out,
        0,
        &["APPLICATION", "FREEZE", "SYNC", "HEALTH", ""],
        &rows,
    );
    for (now, (key, cell, found)) in now
        .iter()
        .flat_map(|now| now.lost(&run).map(move |lost| (now, lost)))
    {
        let who = run
            .shaken
            .get(key)
            .map_or(&cell.writer, |touched| &touched.who);
        let said = format!(
            "lost: {}: {} {}: {} (by {who})",
            key.application.name,
            key.object,
            key.field,
            now.went(key, cell, found)
        );
        let _ = writeln!(out, "{}", text::line(&said));
    }
    for (key, _) in now.iter().flat_map(|now| now.open_again(&run)) {
        let said = match again.get(key) {
            Some((what, who)) => format!("{what} (by {who})"),
            None => format!(
                "{} {}: Git or live is not as it was decided on, nor as decided",
                key.object, key.field
            ),
        };
        let said = format!("open again: {}: {said}", key.application.name);
        let _ = writeln!(out, "{}", text::line(&said));
    }
    for owed in owed {
        let with = match (&owed.owner, &owed.until) {
            (Some(owner), Some(until)) => format!(", with {owner} until {until}"),
            (Some(owner), None) => format!(", with {owner}"),
            _ => String::new(),
        };
        let _ = writeln!(out, "owed: {}{}", text::line(&owed.what), text::line(&with));
    }
    for other in &others {
        let _ = writeln!(
            out,
            "also open: {} · {}, not looked at",
            transcript::status_line(other, None),
            journaled(other)
        );
    }
    Ok(code)
}

/// What comes next. That nobody is armed at this moment is no news: what comes after it is.
fn coming(run: &Run, now: &Now) -> Next {
    let mut armed = run.clone();
    armed.armed = Armed::All;
    workflow::next(&armed, now)
}

/// An open incident owes its end, unless all that is left is to close it.
fn ends(run: &Run, owed: &[Obligation], next: Option<&Next>) -> i32 {
    let ended = run.closed.is_some() || matches!(next, Some(Next::Close));
    i32::from(!owed.is_empty() || !ended)
}

/// The next thing as programs read it: its kind with what it is about, where on the rail, and in words.
fn next_document(run: &Run, next: &Next) -> Value {
    let mut document = serde_json::to_value(next).unwrap_or_default();
    document["stage"] = json!(workflow::stage(run, next));
    document["what"] = json!(next.waits_for());
    document
}

/// How it is done without a screen, where that is not said already.
fn how(run: &Run, next: &Next) -> String {
    match next {
        Next::Stopped { rule: 3, .. } => run.surprised().map_or_else(String::new, |(key, _)| {
            let how = rules::see_surprise_by(run, key);
            text::line(&format!(" (look at it, then say why you go on: {how})"))
        }),
        Next::Attest { gate, .. } => text::line(&format!(
            " (`trueup run PLAN --attest {gate}='WHO: what they saw'`, or on the screen)"
        )),
        _ => String::new(),
    }
}

/// The other incidents that are open, as their journals have them. One that cannot be read is told of by `trueup incidents`.
fn others(settings: &Settings, shown: &IncidentId) -> Result<Vec<Run>, Trouble> {
    let others = journal::list(&settings.state_dir)?.into_iter();
    Ok(others
        .filter(|id| id != shown)
        .filter_map(|id| journal::read(&settings.state_dir, &id).ok())
        .map(|lines| Run::fold(lines.iter().map(|line| &line.record)))
        .filter(|run| run.closed.is_none())
        .collect())
}

fn folded(settings: &Settings, incident: &IncidentId) -> Result<Run, Trouble> {
    let lines = journal::read(&settings.state_dir, incident)?;
    Ok(Run::fold(lines.iter().map(|line| &line.record)))
}

/// An incident as its journal has it, its freezes as the cluster has them.
pub(super) struct Looked {
    pub run: Run,
    /// What one look gave, or why there was none.
    pub now: Result<Now, String>,
    /// What moved in the cells that are open again, and by whom.
    pub again: Again,
    /// As whom the cluster was asked.
    pub as_whom: String,
}

type Again = BTreeMap<CellKey, (String, String)>;

pub(super) async fn looked(
    settings: &Settings,
    incident: &IncidentId,
    applications_alone: bool,
) -> Result<Looked, Trouble> {
    let before = folded(settings, incident)?;
    if applications_alone && before.closed.is_some() && !before.owes_a_thaw() {
        let now = Err("the incident is closed".to_owned());
        return Ok(Looked {
            run: before,
            now,
            again: Again::new(),
            as_whom: String::new(),
        });
    }
    let looking = look(settings, &before, applications_alone);
    let seen = match tokio::time::timeout(PATIENCE, looking).await {
        Ok(seen) => seen.map_err(|trouble| trouble.to_string()),
        Err(_) => Err("the cluster did not answer in time".to_owned()),
    };
    let (now, told) = match seen {
        Ok((now, told)) => (Ok(now), told),
        Err(why) => (Err(why), Told::default()),
    };
    let Told {
        again,
        as_whom,
        taken,
        others,
    } = told;
    // Another process may have written meanwhile: a freeze is lost only if it is so before the look and after it.
    let mut run = folded(settings, incident)?;
    let last = run.last;
    // What another process took meanwhile, or journaled, is newer.
    if let Some(taken) = taken
        && run.snapshot_at == before.snapshot_at
    {
        run.apply(&taken);
    }
    if last == before.last {
        others.iter().for_each(|record| run.apply(record));
    }
    run.last = last;
    if let Ok(now) = &now {
        let gone: Vec<(AppKey, String)> = run
            .apps
            .keys()
            .filter(|key| now.lost_freeze(&before, key).is_some())
            .filter_map(|key| Some((key.clone(), now.lost_freeze(&run, key)?)))
            .collect();
        for (key, why) in gone {
            if let Some(app) = run.apps.get_mut(&key) {
                app.freeze = Freeze::Lost { why };
            }
        }
    }
    Ok(Looked {
        run,
        now,
        again,
        as_whom,
    })
}

/// What a look tells beside how things are: the next process that writes journals it.
#[derive(Default)]
struct Told {
    again: Again,
    as_whom: String,
    taken: Option<Record>,
    others: Vec<Record>,
}

/// Looks at the world of the incident; for what is still frozen the Applications are enough.
async fn look(
    settings: &Settings,
    run: &Run,
    applications_alone: bool,
) -> Result<(Now, Told), Trouble> {
    let settings = app::reconnect(settings, &run.connection);
    let key = match &run.incident {
        Some(incident) => app::key_of(&settings, incident),
        None => random_key(),
    };
    let wired = wire(&settings, key, no_log()).await?;
    app::check_pin(&run.pin, &app::as_pinned(wired.hub.pin().await?))?;
    let as_whom = as_whom(run, wired.hub.as_ref());
    let scope = Some(run.scope.as_slice());
    if applications_alone {
        let (objects, _, _) = wired.reader.applications(scope).await?;
        let apps = objects.iter().filter_map(|object| {
            let key = AppKey::from_object(object).ok()?;
            Some((key, observe::application_now(object)))
        });
        let now = Now {
            at: wired.clock.now(),
            apps: apps.collect(),
            ..Now::default()
        };
        let told = Told {
            as_whom,
            ..Told::default()
        };
        return Ok((now, told));
    }
    let world = wired.reader.look(scope, LookOptions::default()).await;
    if world.pin.is_none() {
        return Err(Trouble::failed(
            "read the cluster",
            world
                .errors
                .first()
                .map_or("it did not answer", |e| e.why.as_str()),
            "",
        ));
    }
    // The next process that writes takes it: what is lost is known before.
    let taken = match &run.incident {
        Some(incident) => {
            let kept = |digest: &Digest| journal::blob(&settings.state_dir, incident, digest).ok();
            Snapshot::again(&wired.reader, run, &world, kept).await
        }
        None => None,
    };
    let record = |run: &Run, event: Event| Record {
        seq: run.last.map_or(0, |(seq, _)| seq),
        time: world.observed_at,
        event,
    };
    let taken = taken.map(|taken| record(run, taken.event(BTreeMap::new(), BTreeMap::new())));
    let mut run = run.clone();
    taken.iter().for_each(|record| run.apply(record));
    let mut now = observe::now(&world, &run, &settings.namespace);
    let mut others = Vec::new();
    let mut apply = |run: &mut Run, event: Event| {
        let record = record(run, event);
        run.apply(&record);
        others.push(record);
    };
    let judged = run.closed.is_none() && run.open_ops().next().is_none();
    if judged {
        for event in adopt::in_git(&run, &now, false) {
            apply(&mut run, event);
        }
    }
    let repos = &*wired.repos;
    let again = adopt::open_again(repos, &run, &now).await;
    if judged {
        let decisions = run.decisions.clone();
        for event in adopt::not_ours(repos, &run, &world, &now, "").await {
            apply(&mut run, event);
        }
        // What is a question depends on what is decided.
        if run.decisions != decisions {
            now = observe::now(&world, &run, &settings.namespace);
        }
        while let Some(event) = head_taken(repos, &run, &world, &now).await {
            apply(&mut run, event);
        }
    }
    let told = Told {
        again,
        as_whom,
        taken,
        others,
    };
    Ok((now, told))
}

/// That what others pushed since the commit landed is what Git has, where taking that is all that comes next.
async fn head_taken(repos: &dyn Repos, run: &Run, world: &World, now: &Now) -> Option<Event> {
    let Next::TakeHead {
        repository,
        revision,
    } = coming(run, now)
    else {
        return None;
    };
    let landed = run.landed.get(&repository)?;
    let same = foreign::as_synced(repos, run, world, &repository, &revision).await;
    Some(Event::Landed {
        branch: landed.branch.clone(),
        how: landed.how.clone(),
        others: Vec::new(),
        same,
        repository,
        revision,
    })
}

/// What the journal alone says is as old as its last record.
fn journaled(run: &Run) -> String {
    run.last.map_or_else(
        || "as journaled".to_owned(),
        |(_, at)| format!("as journaled {} UTC", at.strftime("%-d %b %H:%M")),
    )
}

/// The state of a freeze, and that it is not known where that is so.
/// What a look found of an Application whose thaw nobody saw end.
fn as_seen(run: &Run, key: &AppKey, seen: &AppNow) -> String {
    let note = match (&seen.note, seen.bears_our_note(run, key)) {
        (None, _) => "the note is gone",
        (Some(_), true) => "our note is there",
        (Some(_), false) => "the note is not ours",
    };
    let auto = if seen.auto_sync { "on" } else { "off" };
    format!("auto-sync is {auto}, {note}")
}

/// Whether the note of the freeze was seen to be gone.
fn gone(run: &Run, key: &AppKey, seen: Option<&AppNow>) -> bool {
    seen.is_some_and(|seen| !seen.bears_our_note(run, key))
}

/// How an Application is frozen, in words that do not say more than was seen.
fn freeze_word(run: &Run, key: &AppKey, app: &AppRun, seen: Option<&AppNow>) -> String {
    let other = seen
        .and_then(|seen| seen.frozen_by_another(run, key))
        .map(|other| run.tell_apart(other));
    match (&app.freeze, other) {
        (Freeze::Lost { why }, Some(other)) => format!("lost: {why}; frozen by {other}"),
        (Freeze::Lost { why }, None) => format!("lost: {why}"),
        (freeze, Some(other)) if !freeze.is_set() => format!("frozen by {other}"),
        (freeze, _) if freeze.is_set() && run.thaw_unknown(key) => match seen {
            Some(seen) => format!("{THAW_UNKNOWN}: {}", as_seen(run, key, seen)),
            None => format!("{THAW_UNKNOWN} ({}, not looked at)", journaled(run)),
        },
        (freeze, _) if freeze.is_set() && app.thaw != Thaw::Not => match &app.thaw {
            Thaw::Broken { why, .. } => format!("thawed, and did not stay so: {why}"),
            _ => seen
                .and_then(|seen| app.not_as_targeted(&Policy::new(Some(seen.sync_policy.clone()))))
                .unwrap_or_else(|| "thawed, not watched to the end".to_owned()),
        },
        (freeze, _) if freeze.is_set() && run.closed.is_some() && gone(run, key, seen) => {
            let seen = seen.map_or_else(String::new, |seen| as_seen(run, key, seen));
            format!("not frozen any more: {seen}")
        }
        (freeze, _) if freeze.is_set() && seen.is_none() => {
            format!("{} ({}, not looked at)", freeze.word(), journaled(run))
        }
        (Freeze::Thawed, _) => {
            let stands = seen.map(|seen| Policy::new(Some(seen.sync_policy.clone())));
            stands
                .and_then(|stands| app.not_as_targeted(&stands))
                .unwrap_or_else(|| Freeze::Thawed.word().to_owned())
        }
        (freeze, _) => freeze.word().to_owned(),
    }
}

/// Whether an Application of the cluster bears a note that no journal of this folder wrote; what cannot be read bears none
/// here, and says so where it is asked for.
async fn foreign_note(settings: &Settings) -> bool {
    let known: Vec<Run> = journal::list(&settings.state_dir)
        .unwrap_or_default()
        .iter()
        .filter_map(|id| journal::read(&settings.state_dir, id).ok())
        .map(|lines| Run::fold(lines.iter().map(|line| &line.record)))
        .collect();
    let Ok(wired) = wire(settings, random_key(), no_log()).await else {
        return false;
    };
    let found = wired.reader.applications(None).await;
    let foreign = |object: &Value| {
        let note = Note::of(object).and_then(|note| serde_json::to_value(note).ok());
        let key = AppKey::from_object(object).ok();
        let ours =
            |(note, key): (&Value, &AppKey)| known.iter().any(|run| run.wrote_note(key, note));
        note.as_ref()
            .zip(key.as_ref())
            .is_some_and(|both| !ours(both))
            || Note::unreadable(object).is_some()
    };
    found.is_ok_and(|(all, _, _)| all.iter().any(|object| foreign(object)))
}

/// Without a journal: the notes on the cluster's Applications say what is frozen and by whom; of one incident where one is
/// named.
async fn from_cluster(settings: &Settings, line: bool, named: Option<&str>) -> i32 {
    let wired = match wire(settings, random_key(), no_log()).await {
        Ok(wired) => wired,
        Err(error) => return give_up(settings, &error.into()),
    };
    let (applications, _, _) = match wired.reader.applications(None).await {
        Ok(found) => found,
        Err(error) => return give_up(settings, &error.into()),
    };
    let unreadable: Vec<(String, String)> = applications
        .iter()
        .filter_map(|object| {
            let key = AppKey::from_object(object).ok()?;
            Some((key.to_string(), Note::unreadable(object)?))
        })
        .filter(|_| named.is_none())
        .collect();
    let notes: Vec<(String, Note)> = applications
        .iter()
        .filter_map(|object| {
            let key = AppKey::from_object(object).ok()?;
            Some((key.to_string(), Note::of(object)?))
        })
        .filter(|(_, note)| named.is_none_or(|named| note.incident == named))
        .collect();
    if let (Some(named), true) = (named, notes.is_empty()) {
        let folder = settings.state_dir.display();
        return give_up(
            settings,
            &Trouble::failed(
                format!("find the incident {}", text::line(named)),
                format!("it is not in {folder}, and no Application on the cluster bears its note"),
                "`trueup incidents` lists those of the folder; --state-dir names another one",
            ),
        );
    }
    if settings.output == Output::Json {
        let readable = notes
            .iter()
            .map(|(key, note)| json!({"application": key, "incident": note.incident, "by": note.by, "since": note.at, "found": note.found, "restore": note.restore}));
        let unreadable = unreadable
            .iter()
            .map(|(key, why)| json!({"application": key, "unreadable": why}));
        let frozen: Vec<Value> = readable.chain(unreadable).collect();
        print_json(&json!({
            "apiVersion": trueup_core::API_VERSION, "kind": "Status", "incident": named, "stage": null, "frozen": frozen,
        }));
    } else if notes.is_empty() && unreadable.is_empty() {
        let _ = writeln!(
            output::stdout(),
            "no incident in {} and no frozen Application on the cluster",
            settings.state_dir.display()
        );
    } else if line {
        let _ = writeln!(output::stdout(), "{}", notes_line(&notes, &unreadable));
    } else {
        let readable = notes.iter().map(|(key, note)| {
            vec![
                key.clone(),
                note.incident.clone(),
                note.by.clone(),
                note.at.to_string(),
                note.restore.to_string(),
            ]
        });
        let unreadable = unreadable.iter().map(|(key, why)| {
            let why = format!("its note cannot be read: {why}");
            vec![key.clone(), "?".into(), "?".into(), "?".into(), why]
        });
        let rows: Vec<Vec<String>> = readable.chain(unreadable).collect();
        output::table(
            &mut output::stdout(),
            0,
            &["FROZEN", "INCIDENT", "BY", "SINCE", "RESTORING APPLIES"],
            &rows,
        );
    }
    i32::from(!notes.is_empty() || !unreadable.is_empty())
}

/// What the notes say, in one line for the channel.
fn notes_line(notes: &[(String, Note)], unreadable: &[(String, String)]) -> String {
    let mut incidents: Vec<&str> = notes.iter().map(|(_, n)| n.incident.as_str()).collect();
    incidents.sort_unstable();
    incidents.dedup();
    let names: Vec<&str> = notes.iter().map(|(key, _)| key.as_str()).collect();
    let mut parts = Vec::new();
    if !notes.is_empty() {
        parts.push(incidents.join(", "));
        parts.push(format!("{} frozen: {}", notes.len(), names.join(", ")));
    }
    if !unreadable.is_empty() {
        let names: Vec<&str> = unreadable.iter().map(|(key, _)| key.as_str()).collect();
        parts.push(format!("note not readable: {}", names.join(", ")));
    }
    parts.push("known from their notes alone".into());
    text::line(&parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use trueup_core::{event::Mechanism, ids::OpId};

    #[test]
    fn a_freeze_is_said_to_stand_only_where_it_was_looked_at() {
        let mut run = Run {
            incident: "INC-2".parse().ok(),
            last: Some((9, "2026-11-14T07:50:00Z".parse().unwrap())),
            ..Run::default()
        };
        let proven = Freeze::Proven {
            op: OpId("1".into()),
            at: Timestamp::UNIX_EPOCH,
            mechanism: Mechanism::Disable,
            since: Timestamp::UNIX_EPOCH,
        };
        let lost = Freeze::Lost {
            why: "somebody switched auto-sync on".into(),
        };
        let key: AppKey = "argocd/auth".parse().unwrap();
        let journaled = json!({"seq": 9, "time": "2026-11-14T07:50:00Z", "type": "intended", "op": "1", "effect": "freeze",
            "application": key, "mechanism": "disable", "found": null, "patch": null, "guard": {}, "shown": [], "byHand": [], "by": "jo"});
        run.apply(&serde_json::from_value(journaled).unwrap());
        let note = |incident: &str, op: &str| AppNow {
            note: Some(json!({"incident": incident, "op": op})),
            ..AppNow::default()
        };
        let (ours, theirs) = (note("INC-2", "1"), note("INC-1", "2"));
        let elsewhere = note("INC-2", "3");
        for (freeze, seen, word) in [
            (&proven, Some(&ours), "proven"),
            (
                &proven,
                None,
                "proven (as journaled 14 Nov 07:50 UTC, not looked at)",
            ),
            (&lost, Some(&ours), "lost: somebody switched auto-sync on"),
            (&Freeze::Not, None, "not frozen"),
            (&Freeze::Not, Some(&AppNow::default()), "not frozen"),
            (&Freeze::Not, Some(&theirs), "frozen by INC-1"),
            (
                &Freeze::Not,
                Some(&elsewhere),
                "frozen by INC-2 of another state folder",
            ),
        ] {
            let app = AppRun {
                freeze: freeze.clone(),
                ..AppRun::default()
            };
            assert_eq!(freeze_word(&run, &key, &app, seen), word);
        }
        // Given back and not watched to the end; whoever changes the policy then is told of.
        let found = trueup_core::plan::Target {
            policy: Some(trueup_core::plan::TargetKind::Found),
            automated: None,
            reason: None,
        };
        let on = json!({"automated": {"prune": true}});
        let app = AppRun {
            freeze: proven,
            thaw: Thaw::Restored {
                op: OpId("2".into()),
                at: Timestamp::UNIX_EPOCH,
                rounds: 1,
            },
            target: Some((found, on.clone(), String::new())),
            ..AppRun::default()
        };
        let off = "was thawed, and its auto-sync is not as targeted any more: it is off, the target is prune";
        for (sync_policy, word) in [(on, "thawed, not watched to the end"), (Value::Null, off)] {
            let seen = AppNow {
                sync_policy,
                ..AppNow::default()
            };
            assert_eq!(freeze_word(&run, &key, &app, Some(&seen)), word);
        }
        assert_eq!(
            freeze_word(&run, &key, &app, None),
            "thawed, not watched to the end"
        );
    }
}
