//! The commands that open the screen, and what the commands of one stage share.

use std::{io::IsTerminal, sync::Arc};

use serde_json::{Value, json};
use trueup_core::{
    event::Armed,
    ids::IncidentId,
    object::identity::AppKey,
    plan::{Plan, Target, TargetKind},
    run::Run,
    sheet::{Command, Refusal},
    text,
    workflow::Next,
};

use super::{
    args::{ResumeArgs, StartArgs},
    give_up, output,
    shown::{self, Would},
    waits,
};
use crate::{
    adapters::clock::random_word,
    app::{self, Opened, Opening},
    engine::{Engine, Trouble},
    journal::{self, Boundaries},
    settings::{Output, Settings},
    tui::{self, Left, TuiOptions},
};

/// The screen needs a terminal that can draw.
pub fn needs_terminal() -> Result<(), Trouble> {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb" || term.is_empty());
    if !dumb && std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Trouble::failed(
        "open the workbench",
        if dumb {
            "TERM says that this terminal cannot draw"
        } else {
            "there is no terminal here"
        },
        "without a screen: `trueup drift`, `trueup freeze APP…`, `trueup run PLAN.yaml`, `trueup status`",
    ))
}

pub(super) fn code(settings: &Settings, outcome: Result<i32, Trouble>) -> i32 {
    outcome.unwrap_or_else(|trouble| give_up(settings, &trouble))
}

/// The workbench on the current context: the only open incident, or a new one.
pub async fn workbench(settings: &Settings, boundaries: Arc<dyn Boundaries>) -> i32 {
    code(settings, opened_or_new(settings, None, boundaries).await)
}

/// The workbench on the lab; a new incident takes the name and the gates of the scenario's plan, and no answer of it.
pub async fn on_lab(
    settings: &Settings,
    plan: Option<&str>,
    boundaries: Arc<dyn Boundaries>,
) -> i32 {
    let plan = plan.and_then(|text| Plan::parse(text).ok());
    code(settings, opened_or_new(settings, plan, boundaries).await)
}

async fn opened_or_new(
    settings: &Settings,
    plan: Option<Plan>,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    needs_terminal()?;
    let open = app::open_incidents(settings)?;
    let opening = match open.as_slice() {
        [] => {
            let incident = match (&settings.incident, &plan) {
                (Some(id), _) => id.parse().map_err(|e| {
                    Trouble::failed("open an incident", e, "choose another --incident")
                })?,
                (None, Some(plan))
                    if !journal::list(&settings.state_dir)?.contains(&plan.incident) =>
                {
                    plan.incident.clone()
                }
                _ => fresh_id(settings, &[])?,
            };
            Opening::New {
                incident,
                scope: Vec::new(),
                plan: plan.map(|plan| Box::new(without_answers(plan))),
            }
        }
        _ => Opening::Resume {
            incident: app::which(settings, None)?,
        },
    };
    let opened = app::open(settings, opening, boundaries).await?;
    screen(settings, opened).await
}

/// What the lab may give away: which gates and order its scenario has. What to decide is for the person to find out.
fn without_answers(mut plan: Plan) -> Plan {
    plan.decisions.clear();
    plan.targets.clear();
    plan.scope.clear();
    plan.commit = trueup_core::plan::CommitPlan::default();
    for step in &mut plan.sync {
        step.expect = None;
    }
    plan
}

/// A name that was asked of nobody: `INC-2026-11-21-k7fm`. Two operators on two machines draw two of them, and each can be
/// spelt on a bridge: no vowels, so no words, and nothing that is taken for something else.
pub(super) fn fresh_id(settings: &Settings, foreign: &[&str]) -> Result<IncidentId, Trouble> {
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let taken = journal::list(&settings.state_dir)?;
    (0..1000)
        .filter_map(|_| {
            format!("INC-{day}-{}", random_word())
                .parse::<IncidentId>()
                .ok()
        })
        .find(|id| !taken.contains(id) && !foreign.contains(&id.as_str()))
        .ok_or_else(|| {
            Trouble::failed(
                "name a new incident",
                "no name was found that is free",
                "choose one with --incident",
            )
        })
}

pub async fn start(settings: &Settings, args: &StartArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    let go = async {
        needs_terminal()?;
        let incident = match &settings.incident {
            Some(id) => id
                .parse()
                .map_err(|e| Trouble::failed("open an incident", e, "choose another --incident"))?,
            None => fresh_id(settings, &[])?,
        };
        let opening = Opening::New {
            incident,
            scope: args.apps.clone(),
            plan: None,
        };
        let opened = app::open(settings, opening, boundaries)
            .await
            .map_err(|trouble| match settings.incident {
                None => meant_as_incident(&args.apps, trouble),
                Some(_) => trouble,
            })?;
        screen(settings, opened).await
    };
    code(settings, go.await)
}

/// Whoever gave the name of the incident where Applications are named reads how it is given.
fn meant_as_incident(apps: &[String], trouble: Trouble) -> Trouble {
    let id = apps
        .first()
        .and_then(|name| name.parse::<IncidentId>().ok());
    match (id, trouble) {
        (Some(id), Trouble::Failed { what, why, hint }) if what.starts_with("find ") => {
            let rest = apps[1..].join(" ");
            let command = format!("trueup start --incident {id} {rest}");
            let command = text::line(command.trim_end());
            Trouble::Failed {
                what,
                why,
                hint: format!(
                    "where {id} is meant as the name of the incident: `{command}`; {hint}"
                ),
            }
        }
        (_, trouble) => trouble,
    }
}

pub async fn resume(
    settings: &Settings,
    args: &ResumeArgs,
    boundaries: Arc<dyn Boundaries>,
) -> i32 {
    let go = async {
        let incident = app::which(settings, args.id.as_deref())?;
        needs_terminal()?;
        let opened = app::open(settings, Opening::Resume { incident }, boundaries).await?;
        screen(settings, opened).await
    };
    code(settings, go.await)
}

async fn screen(settings: &Settings, opened: Opened) -> Result<i32, Trouble> {
    if settings.write != Armed::Nothing {
        opened.engine.look().await?;
        opened
            .engine
            .say(&Command::Arm {
                write: settings.write,
            })
            .await?;
    }
    let background = std::env::var("COLORFGBG").unwrap_or_default();
    let theme = settings
        .theme
        .parse()
        .ok()
        .or_else(|| tui::theme::ThemeName::of_background(&background));
    let options = TuiOptions {
        theme: theme.unwrap_or_default(),
        no_color: !settings.color,
        ascii: settings.ascii,
        program: settings.program(),
        ..TuiOptions::default()
    };
    let engine = Arc::clone(&opened.engine);
    let left = tui::run(app::front(opened), options)
        .await
        .map_err(|error| {
            Trouble::failed(
                "draw the workbench",
                format!("{error:#}"),
                "`trueup resume` goes on where it was",
            )
        })?;
    way_back(settings, &engine);
    Ok(match left {
        Left::Quit => 0,
        Left::Terminated => 143,
        _ => 0,
    })
}

/// Says, where the screen was, how to go on and what is owed meanwhile.
fn way_back(settings: &Settings, engine: &Engine) {
    let run = engine.run();
    if run.id().is_empty() || run.closed.is_some() {
        return;
    }
    let id = text::line(run.id());
    eprintln!(
        "{id} is open. Go on with: {} resume {id}",
        settings.program()
    );
    let owed = match engine.seen() {
        Some((_, now)) => now.owed(&run),
        None => run.obligations(),
    };
    for owed in owed {
        eprintln!("  owed: {}", text::line(&owed.what));
    }
}

/// The incident that a stage command works on; nothing is done in one that is closed.
fn to_continue(settings: &Settings) -> Result<IncidentId, Trouble> {
    let incident = app::which(settings, None)?;
    let lines = journal::read(&settings.state_dir, &incident)?;
    // Nothing is written into a journal that is closed.
    if Run::fold(lines.iter().map(|line| &line.record))
        .closed
        .is_some()
    {
        return Err(Refusal::new(
            0,
            format!("{incident} is closed"),
            "what it handed over: `trueup thaw APP`, or `trueup freeze APP --take-over ID`; anything else is another incident",
        )
        .into());
    }
    Ok(incident)
}

/// Takes up the incident that a stage command works on.
pub async fn continued(
    settings: &Settings,
    boundaries: Arc<dyn Boundaries>,
) -> Result<Opened, Trouble> {
    let incident = to_continue(settings)?;
    app::open(settings, Opening::Resume { incident }, boundaries).await
}

/// Does one stage in the incident, armed, and leaves it again whatever came of it. Without the arming nothing is done in it,
/// and what would be is shown.
pub(super) async fn in_incident(
    settings: &Settings,
    boundaries: Arc<dyn Boundaries>,
    stage: impl AsyncFnOnce(&Engine) -> Result<i32, Trouble>,
    previewed: impl AsyncFnOnce(&Engine) -> Result<Would, Trouble>,
) -> Result<i32, Trouble> {
    let write = settings.write;
    if !write.cluster() {
        return shown::instead_of_writing(previewed_in(settings, previewed)).await;
    }
    let opened = continued(settings, boundaries).await?;
    waits::told(opened.updates);
    let engine = opened.engine;
    if let Some(said) = app::other_waits(settings, &engine.run()) {
        super::output::say(&mut std::io::stderr(), &format!("warning: {said}"));
    }
    let done = async {
        engine.look().await?;
        look_up(&engine).await?;
        engine.say(&Command::Arm { write }).await?;
        stage(&engine).await
    }
    .await;
    engine.leave().await;
    done
}

/// Finds out what became of the writes of which that is not known.
pub(super) async fn look_up(engine: &Engine) -> Result<(), Trouble> {
    match engine.next().await? {
        next @ Next::LookUp { .. } => engine.observe(&next).await.map(drop),
        _ => Ok(()),
    }
}

/// Shows in a copy of the incident what a stage command would do.
pub(super) async fn previewed_in<T>(
    settings: &Settings,
    previewed: impl AsyncFnOnce(&Engine) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let incident = to_continue(settings)?;
    shown::aside(settings, Opening::Resume { incident }, async |engine| {
        engine.look().await?;
        look_up(engine).await?;
        previewed(engine).await
    })
    .await
}

/// The Application that a name on the command line means.
pub fn key(engine: &Engine, name: &str) -> AppKey {
    engine.reader().app_key(name)
}

/// Tells that a stage was done for one Application: a line for people, or a document of one line.
pub(super) fn did(settings: &Settings, kind: &str, key: &AppKey, said: &str, more: Value) {
    let line = if settings.output == Output::Json {
        let mut document =
            json!({"apiVersion": trueup_core::API_VERSION, "kind": kind, "application": key});
        if let (Some(all), Value::Object(more)) = (document.as_object_mut(), more) {
            all.extend(more);
        }
        output::inert(&document.to_string())
    } else {
        text::line(&format!("{key}  {said}"))
    };
    output::say(&mut output::stdout(), &line);
}

pub(super) fn as_found(key: &AppKey) -> Command {
    Command::SetTarget {
        applications: vec![key.clone()],
        target: Target {
            policy: Some(TargetKind::Found),
            automated: None,
            reason: None,
        },
    }
}

pub(super) fn freeze_lost(run: &Run, key: &AppKey, why: &str) -> Trouble {
    Refusal::new(
        4,
        format!("the freeze of {key} was lost: {why}"),
        refreeze(run, key),
    )
    .into()
}

/// What freezes again what somebody unfroze.
pub(super) fn refreeze(run: &Run, key: &AppKey) -> String {
    text::line(&format!(
        "see who changed it; `{}` freezes it again",
        run.freeze_command(key)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_named_where_applications_are_is_shown_its_place() {
        let said = |what: &str| {
            let apps = ["INC-441".to_owned(), "auth".to_owned()];
            meant_as_incident(&apps, Trouble::failed(what, "no", "look")).hint()
        };
        let hint = said("find argocd/INC-441");
        assert!(
            hint.contains("`trueup start --incident INC-441 auth`"),
            "{hint}"
        );
        assert_eq!(said("read the cluster"), "look");
    }
}
