//! `trueup act`: a live action without a screen.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trueup_core::{
    event::{Effect, Event},
    ids::OpId,
    plan::Action,
    sheet::{Command, Refusal},
    text,
};

use super::{give_up, output, shown, stages};
use crate::{
    app,
    engine::{Engine, Trouble, handle::Update},
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
        /// The object does not have this field yet, and shall get it
        #[arg(long)]
        new_field: bool,
    },
    /// Take a field out of a live object
    Remove {
        #[command(flatten)]
        target: Target,
        /// The field, such as .data.JWT_ALGORITHM
        #[arg(value_name = "FIELD")]
        field: String,
    },
    /// Put back what stood before the last live action of this incident on an object
    Undo {
        #[command(flatten)]
        target: Target,
        /// Of this field alone
        #[arg(value_name = "FIELD")]
        field: Option<String>,
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

impl ActCommand {
    fn target(&self) -> &Target {
        match self {
            Self::Patch { target, .. }
            | Self::Remove { target, .. }
            | Self::Undo { target, .. }
            | Self::Scale { target, .. }
            | Self::Restart { target }
            | Self::Suspend { target } => target,
        }
    }
}

/// What is asked for, worked out on what is there now.
async fn command(engine: &Engine, asked: &ActCommand) -> Result<Command, Trouble> {
    let target = asked.target();
    let key = stages::key(engine, &target.app);
    let mut reason = target.reason.clone();
    let action = match asked {
        ActCommand::Patch { field, value, .. } => Action::Patch {
            field: field.clone(),
            value: engine.typed(&key, &target.object, field, value).await,
        },
        ActCommand::Remove { field, .. } => Action::Remove {
            field: field.clone(),
        },
        ActCommand::Undo { field, .. } => {
            if reason.is_empty() {
                reason = "puts back what stood before the live action".into();
            }
            engine
                .undo_of(&key, &target.object, field.as_deref())
                .await?
        }
        ActCommand::Scale { replicas, .. } => Action::Scale {
            replicas: *replicas,
        },
        ActCommand::Restart { .. } => Action::Restart {},
        ActCommand::Suspend { .. } => Action::Suspend {},
    };
    Ok(Command::Act {
        application: key,
        object: target.object.clone(),
        action,
        reason,
    })
}

/// A slip of the pen makes no key that nobody reads: a field that is not there is made only when that is said.
async fn meant_new(engine: &Engine, asked: &ActCommand, command: &Command) -> Result<(), Trouble> {
    let ActCommand::Patch {
        new_field: false, ..
    } = asked
    else {
        return Ok(());
    };
    match engine.makes_new(command).await? {
        None => Ok(()),
        Some(new) => Err(Refusal::new(
            3,
            new,
            "spell it as the object has it; where a new field is meant, say --new-field",
        )
        .into()),
    }
}

/// Whether what was done is still to reach Git.
fn is_owed(engine: &Engine, done: Option<&OpId>) -> bool {
    let run = engine.run();
    let op = done.and_then(|id| run.ops.get(id));
    let Some(Effect::Act {
        cell: Some(cell), ..
    }) = op.map(|op| &op.effect)
    else {
        return false;
    };
    let owed = match engine.seen() {
        Some((_, now)) => now.owed(&run),
        None => run.obligations(),
    };
    let id = format!("act:{}:{}", cell.object, cell.field);
    owed.iter().any(|one| one.id == id)
}

pub async fn run(settings: &Settings, args: &ActArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    match go(settings, args, boundaries).await {
        Ok(code) => code,
        Err(trouble) => give_up(settings, &trouble),
    }
}

async fn go(
    settings: &Settings,
    args: &ActArgs,
    boundaries: Arc<dyn Boundaries>,
) -> Result<i32, Trouble> {
    let target = args.action.target();
    if settings.incident.is_some() {
        // An incident that is named and is not there comes before the right to write in it.
        journal::read(&settings.state_dir, &app::which(settings, None)?)?;
    }
    let write = settings.write;
    if !write.cluster() {
        let previewed = stages::previewed_in(settings, async |engine| {
            let command = command(engine, &args.action).await?;
            shown::preview(engine, &command).await?;
            meant_new(engine, &args.action, &command).await?;
            engine.would_take(&command).await
        });
        return Err(shown::instead(previewed).await);
    }
    let opened = stages::continued(settings, boundaries).await?;
    let (engine, mut updates) = (opened.engine, opened.updates);
    let acted = async {
        engine.look().await?;
        engine.say(&Command::Arm { write }).await?;
        let command = command(&engine, &args.action).await?;
        meant_new(&engine, &args.action, &command).await?;
        shown::write(&engine, &command).await?;
        Ok::<_, Trouble>(command)
    }
    .await;
    let command = match acted {
        Ok(command) => command,
        Err(trouble) => {
            engine.leave().await;
            return Err(trouble);
        }
    };
    let key = stages::key(&engine, &target.app);
    let Command::Act { action, .. } = command else {
        return Ok(0);
    };
    let run = engine.run();
    let done = run.op_order.last().cloned();
    if settings.output == Output::Table {
        let waits = &run.waits;
        let said = format!(
            "done; it is read again after {} and after {}",
            waits.act_reread_first, waits.act_reread_last
        );
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
    // Somebody may have put it back between the two.
    let holds = rereads.last().is_none_or(|reread| reread["holds"] == true);
    let state = if holds { "done" } else { "overwritten" };
    let owed = is_owed(&engine, done.as_ref());
    let out = &mut output::stdout();
    if settings.output == Output::Json {
        let document = json!({
            "apiVersion": trueup_core::API_VERSION, "kind": "Act", "incident": engine.run().id(),
            "application": key, "object": target.object, "action": action, "state": state, "owed": owed, "rereads": rereads,
        });
        output::json_line(out, &document);
    } else {
        let said = match reverted {
            None if !owed => "it holds; nothing of it is owed to Git".to_owned(),
            None => "it holds; it has to reach Git before the incident closes, or be put back: `trueup act undo`"
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
    Ok(if holds { 0 } else { 1 })
}
