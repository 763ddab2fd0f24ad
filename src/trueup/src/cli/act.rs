//! `trueup act`: a live action without a screen.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trueup_core::{event::Event, plan::Action, sheet::Command, text};

use super::{give_up, output, stages, walk};
use crate::{
    app,
    engine::{Trouble, handle::Update},
    journal::{self, Boundaries},
    settings::{Output, Settings},
};

#[derive(Debug, Args)]
pub struct ActArgs {
    #[command(subcommand)]
    pub action: ActCommand,
}

#[derive(Debug, Args)]
pub struct Target {
    /// The Application that the object belongs to
    #[arg(value_name = "APP")]
    pub app: String,
    /// KIND/NAME
    #[arg(value_name = "KIND/NAME")]
    pub object: String,
    /// Why
    #[arg(long, default_value = "")]
    pub reason: String,
}

#[derive(Debug, Subcommand)]
pub enum ActCommand {
    /// Set a field of a live object
    Patch {
        #[command(flatten)]
        target: Target,
        /// The field, such as .data.JWT_ALGORITHM
        #[arg(value_name = "FIELD")]
        field: String,
        /// Text where the field holds text; else JSON, or plain text
        #[arg(value_name = "VALUE")]
        value: String,
    },
    /// Set the replicas of a workload
    Scale {
        #[command(flatten)]
        target: Target,
        #[arg(value_name = "REPLICAS")]
        replicas: u32,
    },
    /// Restart the pods of a workload, as `kubectl rollout restart` does
    Restart {
        #[command(flatten)]
        target: Target,
    },
    /// Suspend a CronJob
    Suspend {
        #[command(flatten)]
        target: Target,
    },
}

pub async fn run(settings: &Settings, args: &ActArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    match go(settings, args, boundaries).await {
        Ok(()) => 0,
        Err(trouble) => give_up(settings, &trouble),
    }
}

async fn go(
    settings: &Settings,
    args: &ActArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<(), Trouble> {
    let (ActCommand::Patch { target, .. }
    | ActCommand::Scale { target, .. }
    | ActCommand::Restart { target }
    | ActCommand::Suspend { target }) = &args.action;
    if settings.incident.is_some() {
        // An incident that is named and is not there comes before the right to write in it.
        journal::read(&settings.state_dir, &app::which(settings, None)?)?;
    }
    let write = stages::not_armed(settings)?;
    let opened = stages::continued(settings, None, boundaries).await?;
    let (engine, mut updates) = (opened.engine, opened.updates);
    engine.look().await?;
    engine.say(&Command::Arm { write }).await?;
    let key = stages::key(&engine, &target.app);
    let action = match &args.action {
        ActCommand::Patch { field, value, .. } => Action::Patch {
            field: field.clone(),
            value: engine.typed(&key, &target.object, field, value).await,
        },
        ActCommand::Scale { replicas, .. } => Action::Scale {
            replicas: *replicas,
        },
        ActCommand::Restart { .. } => Action::Restart {},
        ActCommand::Suspend { .. } => Action::Suspend {},
    };
    let command = Command::Act {
        application: key.clone(),
        object: target.object.clone(),
        action: action.clone(),
        reason: target.reason.clone(),
    };
    walk::write(&engine, command).await?;
    let run = engine.run();
    let done = run.op_order.last().cloned();
    if settings.output == Output::Table {
        let said = "done; it is read again after 5 s and after 30 s";
        output::say(
            &mut std::io::stderr(),
            &format!("{key}  {}  {said}", text::line(&target.object)),
        );
    }
    let reread = engine.finish_rereads().await;
    engine.leave().await;
    reread?;
    let mut rereads: Vec<Value> = Vec::new();
    while let Ok(update) = updates.try_recv() {
        if let Update::Journaled { record, .. } = update
            && let Event::ActReread {
                op,
                after,
                holds,
                why,
            } = &record.event
            && Some(op) == done.as_ref()
        {
            rereads.push(json!({"after": after, "holds": holds, "why": why}));
        }
    }
    let reverted = rereads.iter().find(|reread| reread["holds"] == false);
    let out = &mut output::stdout();
    if settings.output == Output::Json {
        let document = json!({
            "apiVersion": trueup_core::API_VERSION, "kind": "Act", "incident": engine.run().id(),
            "application": key, "object": target.object, "action": action, "state": "done", "rereads": rereads,
        });
        output::json_line(out, &document);
    } else {
        let said = match reverted {
            None if matches!(action, Action::Restart {}) => {
                "it holds; nothing of it is owed to Git".to_owned()
            }
            None => "it holds; it has to reach Git before the incident closes, or be put back"
                .to_owned(),
            Some(reread) => format!(
                "it did not hold, somebody or something set it again: {}",
                reread["why"].as_str().unwrap_or_default()
            ),
        };
        output::say(
            out,
            &text::line(&format!("{key}  {}  {said}", target.object)),
        );
    }
    Ok(())
}
