//! `trueup close`: the end of an incident without a screen, or what stands in its way.

use std::sync::Arc;

use serde_json::{Value, json};
use trueup_core::{
    event::{Armed, Obligation},
    now::Now,
    object::identity::AppKey,
    plan::{Target, TargetKind},
    rules,
    run::{Freeze, Run},
    sheet::{Command, Refusal},
    text,
    workflow::Next,
};

use super::{args::CloseArgs, give_up, glass, output, waits};
use crate::{
    app::{self, Opening},
    engine::Trouble,
    journal::{self, Boundaries},
    settings::{Output, Settings},
};

/// 0: closed, now or before; 3: something is owed, and what settles it is listed.
pub async fn run(settings: &Settings, args: &CloseArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    match go(settings, args, boundaries).await {
        Ok(code) => code,
        Err(trouble) => give_up(settings, &trouble),
    }
}

async fn go(
    settings: &Settings,
    args: &CloseArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    let incident = app::which(settings, args.id.as_deref())?;
    let lines = journal::read(&settings.state_dir, &incident)?;
    let before = Run::fold(lines.iter().map(|line| &line.record));
    if before.closed.is_some() {
        tell(settings, &before, None);
        return Ok(0);
    }
    let opened = app::open(settings, Opening::Resume { incident }, boundaries).await?;
    waits::told(opened.updates);
    let engine = opened.engine;
    let next = engine.next().await?;
    if matches!(next, Next::LookUp { .. }) {
        engine.observe(&next).await?;
    }
    engine.take_heads().await?;
    match engine.say(&Command::Close).await {
        Ok(()) => {
            tell(settings, &engine.run(), None);
            Ok(0)
        }
        Err(Trouble::Refused(mut refusal)) => {
            let run = engine.run();
            let (_, now) = engine.seen_or_look().await?;
            refusal.hint = hint(&run, &now);
            tell(settings, &run, Some((&refusal, &now)));
            Ok(super::explain(&refusal.into()))
        }
        Err(trouble) => Err(trouble),
    }
}

/// The way to a close, in the order that the rules allow.
fn hint(run: &Run, now: &Now) -> String {
    let mut ways: Vec<String> = Vec::new();
    for (owed, settled) in owed(run, Some(now)) {
        if owed.blocks_close && !ways.iter().any(|way| way.contains(&settled.command)) {
            ways.push(format!("`{}`", settled.command));
        }
    }
    if ways.is_empty() {
        ways.push(format!("`{}`", resume(run)));
    }
    format!("{}; then `trueup close {}`", ways.join("; "), run.id())
}

fn resume(run: &Run) -> String {
    format!("trueup resume {}", run.id())
}

/// What settles an obligation as things stand.
struct Settled {
    command: String,
    /// What has to come before the thing owed itself can be done.
    first: Option<String>,
}

/// What is owed, each with the command that settles it.
fn owed(run: &Run, now: Option<&Now>) -> Vec<(Obligation, Settled)> {
    let all = now.map_or_else(|| run.obligations(), |now| now.owed(run));
    all.into_iter()
        .map(|owed| {
            let settled = settles(run, now, &owed);
            (owed, settled)
        })
        .collect()
}

fn settles(run: &Run, now: Option<&Now>, owed: &Obligation) -> Settled {
    let command = match (owed.settle.as_str(), &owed.application) {
        ("thaw", Some(key)) if is_lost(run, key) => run.freeze_command(key),
        // It is made, and only watched to its end.
        ("thaw", Some(key)) if run.is_given_back(key) => run.thaw_command(key),
        ("thaw", Some(key)) => {
            if let Some(reason) = now.and_then(|now| thaw_refused(run, now, key)) {
                let decided = now.is_some_and(|now| now.undecided(run).next().is_none());
                let surprised = run.surprised().filter(|_| decided);
                let behind = |now: &Now| rules::sync_stands(run, now, key).is_err();
                return Settled {
                    command: match surprised {
                        Some((key, _)) => run.sync_seen_command(key),
                        None if decided && now.is_some_and(behind) => run.sync_command(key),
                        None => resume(run),
                    },
                    first: Some(reason),
                };
            }
            run.thaw_command(key)
        }
        // What the note says is put back without a journal, but only by somebody who knows that the other one is gone.
        (Obligation::ELSEWHERE, Some(key)) => {
            return Settled {
                command: format!(
                    "trueup thaw {} --state-dir EMPTY_FOLDER --write cluster",
                    key.name
                ),
                first: Some(format!(
                    "close {} where its journal is; only if that is lost",
                    run.id()
                )),
            };
        }
        (Obligation::PARK, Some(key)) => format!(
            "trueup park {key} --incident {} --owner WHO --until DATE --reason WHY",
            run.id()
        ),
        ("freeze", Some(key)) => run.freeze_command(key),
        (_, Some(_)) if owed.id.starts_with("act:") => {
            let mut acted = run.acted();
            let Some(cell) = acted.find(|cell| run.act_id(cell) == owed.id) else {
                return Settled {
                    command: resume(run),
                    first: None,
                };
            };
            // What somebody set since is nothing that an undo would put back.
            let seen = now.and_then(|now| now.cells.get(cell));
            if seen.is_some_and(|seen| !run.acted_last_to(cell, seen.sides.live.as_ref())) {
                return Settled {
                    command: resume(run),
                    first: Some("somebody or something set it since: decide it anew".into()),
                };
            }
            run.undo_command(cell)
        }
        ("review", _) => {
            let what = owed.id.strip_prefix("glass:").unwrap_or_default();
            glass::review_command(run, what).unwrap_or_else(|| resume(run))
        }
        _ => resume(run),
    };
    Settled {
        command,
        first: None,
    }
}

/// Whether somebody undid the freeze: then it is thawed only after it was frozen again.
fn is_lost(run: &Run, key: &AppKey) -> bool {
    let app = run.apps.get(key);
    app.is_some_and(|app| matches!(app.freeze, Freeze::Lost { .. }))
}

/// Why `trueup thaw` would refuse. It is armed by its own option and takes the policy as found where none was chosen.
fn thaw_refused(run: &Run, now: &Now, key: &AppKey) -> Option<String> {
    let mut run = run.clone();
    run.armed = Armed::All;
    if let Some(app) = run.apps.get_mut(key) {
        let found = app.found.clone().unwrap_or_default();
        app.target.get_or_insert_with(|| {
            let target = Target {
                policy: Some(TargetKind::Found),
                automated: None,
                reason: None,
            };
            (target, found, String::new())
        });
    }
    let thaw = Command::Thaw {
        applications: vec![key.clone()],
    };
    let refused = rules::check(&run, now, &thaw).err()?;
    Some(refused.reason)
}

fn tell(settings: &Settings, run: &Run, refused: Option<(&Refusal, &Now)>) {
    let out = &mut output::stdout();
    let owed = owed(run, refused.map(|(_, now)| now));
    let refused = refused.map(|(refusal, _)| refusal);
    let left = run.left();
    if settings.output == Output::Json {
        let items: Vec<Value> = owed
            .iter()
            .map(|(owed, settled)| {
                let mut item = serde_json::to_value(owed).unwrap_or_default();
                item["command"] = json!(settled.command);
                if let Some(first) = &settled.first {
                    item["first"] = json!(text::line(first));
                }
                item
            })
            .collect();
        let document = json!({
            "apiVersion": trueup_core::API_VERSION,
            "kind": "Close",
            "incident": run.id(),
            "state": if run.closed.is_some() { "closed" } else { "open" },
            "exit": if refused.is_some() { 3 } else { 0 },
            "rule": refused.map(|refusal| refusal.rule),
            "reason": refused.map(|refusal| text::line(&refusal.reason)),
            "undecided": left.questions,
            "undecidedParked": left.parked,
            "notRead": left.unread,
            "notJudged": run.not_judged(),
            "owed": items,
        });
        output::json_line(out, &document);
        return;
    }
    let stays = if refused.is_some() {
        "stays open"
    } else {
        "is closed"
    };
    let left = match refused.is_some() || left.nothing() {
        true => String::new(),
        false => format!("; {left}"),
    };
    output::say(out, &format!("{} {stays}{left}", run.id()));
    if let Some(said) = run.not_judged() {
        output::say(out, &said);
    }
    let rows: Vec<Vec<String>> = owed
        .iter()
        .map(|(owed, settled)| {
            let whose = match (&owed.owner, &owed.until) {
                (Some(owner), Some(until)) => format!("{owner} until {until}"),
                (Some(owner), None) => owner.clone(),
                _ => String::new(),
            };
            let command = match &settled.first {
                Some(first) => format!("{} (first: {first})", settled.command),
                None => settled.command.clone(),
            };
            vec![text::line(&owed.what), whose, command]
        })
        .collect();
    if !rows.is_empty() {
        output::table(out, 0, &["OWED", "WITH", "SETTLED BY"], &rows);
    }
}
