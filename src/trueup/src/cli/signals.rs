//! A signal that ends a command: what is half done then, and how it goes on.

use serde_json::json;
use trueup_core::{
    event::Effect,
    run::{AppRun, Freeze, Run, Sync, Thaw},
    text,
};

use super::{args::Command, complain, output};
use crate::{app, settings::Output};

/// Interrupted and terminated, as shells number them.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// The exit code of the signal that asks the process to end.
pub async fn signalled() -> i32 {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => INTERRUPTED,
        _ = terminate.recv() => TERMINATED,
    }
}

/// Whether this is the exit code of a signal.
pub fn interrupts(code: i32) -> bool {
    matches!(code, INTERRUPTED | TERMINATED)
}

/// How a command that writes goes on after a signal; `None` for one that only reads.
pub fn goes_on(command: Option<&Command>) -> Option<&'static str> {
    match command? {
        Command::Freeze(_) | Command::Sync(_) | Command::Close(_) => {
            Some("nothing is lost: the same command goes on from here")
        }
        Command::Thaw(_) => Some(
            "nothing is lost: `trueup status` says what stands; the same command, or the screen (`trueup resume`), goes on",
        ),
        Command::Act(_) => Some(
            "nothing is lost: `trueup status` says what is owed; asked for again, it is done again",
        ),
        _ => None,
    }
}

/// Says what the process leaves half done, and gives up what it holds.
pub async fn interrupted(output: Output, hint: &str, code: i32) -> i32 {
    let engine = app::opened();
    let left = engine.as_ref().map(|engine| half_done(&engine.run()));
    let reason = match &left {
        None => "interrupted by a signal before anything was done".to_owned(),
        Some(left) if left.is_empty() => "interrupted by a signal; nothing is half done".to_owned(),
        Some(left) => format!("interrupted by a signal; {}", left.join("; ")),
    };
    if output == Output::Json {
        let document = json!({
            "apiVersion": trueup_core::API_VERSION, "kind": "Error", "exit": code, "rule": null,
            "incident": engine.as_ref().map(|engine| engine.run().id().to_owned()),
            "reason": text::line(&reason), "hint": hint,
        });
        output::json_line(&mut output::stdout(), &document);
    }
    complain(&reason, hint);
    if let Some(engine) = engine {
        engine.leave().await;
    }
    code
}

/// What was begun and not seen to its end, each in a sentence.
fn half_done(run: &Run) -> Vec<String> {
    let apps = run.walking().flat_map(|(key, app)| {
        let said = under_way(app).map(|said| format!("{key} {said}"));
        let gates = app.gates.iter().filter(|(_, gate)| {
            gate.started_at.is_some() && gate.passed.is_none() && gate.timed_out.is_none()
        });
        let gates = gates.map(move |(name, _)| format!("gate {name} after {key} is not green yet"));
        said.into_iter().chain(gates)
    });
    let rereads = run.rereads_owed().len();
    let unread = (rereads > 0).then(|| "the live action is done and not read again yet".to_owned());
    let said = apps.chain(unread).map(|said| text::line(&said));
    not_known(run).into_iter().chain(said).collect()
}

/// The writes of which it is not known whether they happened, each in a sentence.
pub(super) fn not_known(run: &Run) -> Vec<String> {
    let open = run.open_ops().map(|(id, op)| {
        let what = match &op.effect {
            Effect::Act { .. } => "live action",
            effect => effect.verb(),
        };
        let of = op.effect.application().map(|key| format!(" of {key}"));
        text::line(&format!(
            "it is not known yet whether the {what}{} happened (op {id})",
            of.unwrap_or_default()
        ))
    });
    open.collect()
}

fn under_way(app: &AppRun) -> Option<&'static str> {
    match (&app.freeze, &app.sync, &app.thaw) {
        (_, _, Thaw::Restored { .. }) => {
            Some("is thawed, and was not watched for two rounds of Argo CD")
        }
        (_, Sync::Requested { .. }, _) => {
            Some("is being synced: Argo CD goes on, and what it does is not read back yet")
        }
        (_, Sync::Finished { .. }, _) => Some("is synced, and what that did is not read back yet"),
        (Freeze::Set { .. } | Freeze::Holding { .. }, _, _) => {
            Some("is frozen, and that the freeze holds is not proven yet")
        }
        _ => None,
    }
}
