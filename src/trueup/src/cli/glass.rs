//! `trueup glass`: goes on where a gate is not green, or where the effect of a sync cannot be predicted.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trueup_core::{rules, run::unpredicted, sheet::Command, text};

use super::{
    output,
    stages::{code, continued, key},
};
use crate::{
    engine::{Engine, Trouble},
    journal::Boundaries,
    settings::{Output, Settings},
};

#[derive(Debug, Args)]
pub struct GlassArgs {
    #[command(subcommand)]
    pub what: Glass,
}

#[derive(Debug, Subcommand)]
pub enum Glass {
    /// Go on without what the walk stands still at: a gate that is not green, or an effect that is not known
    Break {
        /// The Application that it stands still at, as NAME or NAMESPACE/NAME
        #[arg(value_name = "APP")]
        app: String,
        /// The gate; `sync` where the effect of the sync cannot be predicted
        #[arg(value_name = "GATE")]
        gate: String,
        /// Why, and who decided it
        #[arg(long, value_name = "WHY")]
        reason: String,
    },
    /// Say what was found afterwards; owed before the incident closes
    Review {
        /// The Application
        #[arg(value_name = "APP")]
        app: String,
        /// The gate, or `sync`
        #[arg(value_name = "GATE")]
        gate: String,
        /// What was found
        #[arg(long, value_name = "TEXT")]
        found: String,
    },
}

/// What names an unpredicted sync here.
const SYNC: &str = "sync";

/// The command that says of broken glass what was found afterwards.
pub(super) fn review_command(run: &trueup_core::run::Run, what: &str) -> Option<String> {
    let mut open = run.broken_glass.iter().filter(|g| g.reviewed.is_none());
    let glass = open.find(|glass| glass.what == what)?;
    let key = glass.application.as_ref()?;
    let named = match *what == unpredicted(key) {
        true => SYNC,
        false => what,
    };
    Some(format!(
        "trueup glass review {key} {named} --incident {} --found TEXT",
        run.id()
    ))
}

/// Only the journal is written.
pub async fn run(settings: &Settings, args: &GlassArgs, boundaries: Arc<dyn Boundaries>) -> i32 {
    let go = async {
        let engine = continued(settings, boundaries).await?.engine;
        let done = said(settings, &engine, &args.what).await;
        engine.leave().await;
        done
    };
    code(settings, go.await)
}

async fn said(settings: &Settings, engine: &Engine, args: &Glass) -> Result<i32, Trouble> {
    let named = |app: &str, gate: &str| {
        let key = key(engine, app);
        let what = match gate {
            SYNC => unpredicted(&key),
            gate => gate.to_owned(),
        };
        (key, what)
    };
    let (application, what, command, state, more) = match args {
        Glass::Break { app, gate, reason } => {
            let (key, what) = named(app, gate);
            let command = Command::BreakGlass {
                application: Some(key.clone()),
                what: what.clone(),
                reason: reason.clone(),
            };
            (key, what, command, "broken", ("reason", reason))
        }
        Glass::Review { app, gate, found } => {
            let (key, what) = named(app, gate);
            let command = Command::ReviewGlass {
                application: Some(key.clone()),
                what: what.clone(),
                found: found.clone(),
            };
            (key, what, command, "reviewed", ("found", found))
        }
    };
    let (_, now) = engine.look().await?;
    rules::check(&engine.run(), &now, &command)?;
    engine.say(&command).await?;
    let (what, by) = (text::line(&what), text::line(&engine.run().operator));
    match settings.output {
        Output::Json => {
            let mut document = json!({
                "apiVersion": trueup_core::API_VERSION,
                "kind": "Glass",
                "incident": engine.run().id(),
                "application": application,
                "what": what,
                "state": state,
                "by": by,
            });
            document[more.0] = Value::String(text::line(more.1));
            output::json_line(&mut output::stdout(), &document);
        }
        _ => {
            let then = match state {
                "broken" => "; its review is owed before the close",
                _ => "",
            };
            let line = format!("{application}  {what}: glass {state} by {by}{then}");
            output::say(&mut output::stdout(), &text::line(&line));
        }
    }
    Ok(0)
}
