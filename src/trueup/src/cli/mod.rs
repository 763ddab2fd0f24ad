//! The command line: one room for each command, and what they share.

mod act;
pub mod args;
mod beforehand;
mod close;
pub mod doctor;
pub mod drift;
pub mod edit;
mod export;
mod freeze;
mod glass;
mod incidents;
mod lab;
mod mended;
pub mod output;
mod park;
mod plan;
mod planned;
mod roles;
mod run;
mod shown;
mod signals;
mod stages;
mod status;
mod sync;
mod thaw;
pub mod trace;
mod waits;
pub mod walk;
pub mod watchdog;

use std::{io::Write, sync::Arc};

use clap::{CommandFactory, Parser};

use crate::{
    engine::Trouble,
    journal::Boundaries,
    settings::{Output, Settings},
};
use args::{Cli, Command};
pub(crate) use signals::signalled;

/// Parses, dispatches, and gives the promised exit code.
pub async fn main(boundaries: Arc<dyn Boundaries>) -> i32 {
    output::printed(parsed(boundaries).await)
}

async fn parsed(boundaries: Arc<dyn Boundaries>) -> i32 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let written = error.print();
            if error.use_stderr() {
                if wants_json(std::env::args_os()) {
                    let text = error.to_string();
                    // What is missing or unknown stands in the lines below; usage comes after an empty one.
                    let said: Vec<&str> = text
                        .lines()
                        .map(str::trim)
                        .take_while(|line| !line.is_empty())
                        .collect();
                    let said = said.join(" ");
                    unusable(said.trim_start_matches("error: "), "see `trueup --help`");
                }
                return 2;
            }
            let _ = output::noted(written);
            return 0;
        }
    };
    // The lab ends well when it is told to end.
    if let Some(Command::Lab(args)) = &cli.command
        && args.serve
    {
        return lab::serve(args).await;
    }
    let by_itself = cli.command.as_ref().is_none_or(Command::handles_signals);
    let (goes_on, output) = (signals::goes_on(cli.command.as_ref()), cli.global.output);
    let going = dispatch(cli, boundaries);
    tokio::pin!(going);
    tokio::select! {
        code = &mut going => code,
        code = signalled(), if !by_itself => match goes_on {
            Some(hint) => signals::interrupted(output, hint, code).await,
            None => code,
        },
    }
}

async fn dispatch(cli: Cli, boundaries: Arc<dyn Boundaries>) -> i32 {
    let output = cli.global.output;
    let settings = match Settings::resolve(cli.global) {
        Ok(settings) => settings,
        Err(error) => {
            let hint = "see `trueup --help` and the settings file";
            if output == Output::Json {
                unusable(&error.to_string(), hint);
            }
            complain(&error.to_string(), hint);
            return 2;
        }
    };
    let (out, err) = (&mut output::stdout(), &mut std::io::stderr());
    match cli.command {
        None => stages::workbench(&settings, boundaries).await,
        Some(Command::Start(args)) => stages::start(&settings, &args, boundaries).await,
        Some(Command::Resume(args)) => stages::resume(&settings, &args, boundaries).await,
        Some(Command::Lab(args)) => lab::run(&settings, &args, boundaries).await,
        Some(Command::Drift(args)) => drift::run(&settings, &args, out, err).await,
        Some(Command::Trace(args)) => trace::run(&settings, &args, out, err).await,
        Some(Command::Doctor(args)) => doctor::run(&settings, &args, out, err).await,
        Some(Command::Watchdog(args)) => watchdog::run(&settings, &args, out, err).await,
        Some(Command::Edit(args)) => edit::run(&args, settings.output, out, err),
        Some(Command::Run(args)) => run::run(&settings, &args, boundaries).await,
        Some(Command::Plan(args)) => plan::run(&settings, &args),
        Some(Command::Freeze(args)) => freeze::run(&settings, &args, boundaries).await,
        Some(Command::Thaw(args)) => thaw::run(&settings, &args, boundaries).await,
        Some(Command::Sync(args)) => sync::run(&settings, &args, boundaries).await,
        Some(Command::Act(args)) => act::run(&settings, &args, boundaries).await,
        Some(Command::Park(args)) => park::park(&settings, &args, boundaries).await,
        Some(Command::Unpark(args)) => park::unpark(&settings, &args, boundaries).await,
        Some(Command::Glass(args)) => glass::run(&settings, &args, boundaries).await,
        Some(Command::Close(args)) => close::run(&settings, &args, boundaries).await,
        Some(Command::Incidents) => incidents::run(&settings).await,
        Some(Command::Status(args)) => status::run(&settings, &args).await,
        Some(Command::Export(args)) => export::run(&settings, &args),
        Some(Command::Verify(args)) => export::verify(&settings, &args),
        Some(Command::Completion(args)) => {
            // It panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "trueup", &mut script);
            let _ = out.write_all(&script);
            0
        }
        Some(Command::Man) => {
            let _ = clap_mangen::Man::new(Cli::command()).render(out);
            0
        }
    }
}

/// The longest error for a person, in characters: it may hold a value of any length. A program gets it whole.
const ERROR: usize = 2000;

/// An error for a person, on stderr.
pub fn complain(what: &str, hint: &str) {
    use trueup_core::text;
    let mut err = std::io::stderr();
    let _ = writeln!(err, "error: {}", text::shorten(&text::line(what), ERROR));
    if !hint.is_empty() {
        let _ = writeln!(err, "  hint: {}", trueup_core::text::line(hint));
    }
}

/// Whether a command line that could not be read asks for JSON, as far as one can tell.
fn wants_json(args: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let args: Vec<String> = args.filter_map(|arg| arg.into_string().ok()).collect();
    let pair =
        |pair: &[String]| ["-o", "--output"].contains(&pair[0].as_str()) && pair[1] == "json";
    let whole = ["-ojson", "-o=json", "--output=json"];
    args.windows(2).any(pair) || args.iter().any(|arg| whole.contains(&arg.as_str()))
}

/// What was asked for is no command with settings: the document of an error, before there are any.
fn unusable(why: &str, hint: &str) {
    error_document(2, None, why, hint);
}

fn error_document(exit: i32, rule: Option<u8>, why: &str, hint: &str) {
    let document = serde_json::json!({
        "apiVersion": trueup_core::API_VERSION,
        "kind": "Error",
        "exit": exit,
        "rule": rule,
        "reason": trueup_core::text::line(why),
        "hint": hint,
    });
    output::json_line(&mut output::stdout(), &document);
}

/// Says why something was not done and gives its exit code; a program gets a document of one line.
pub(crate) fn give_up(settings: &Settings, trouble: &Trouble) -> i32 {
    if settings.output == Output::Json {
        let rule = match trouble {
            Trouble::Refused(refusal) if refusal.rule > 0 => Some(refusal.rule),
            _ => None,
        };
        error_document(trouble.exit(), rule, &trouble.to_string(), &trouble.hint());
    }
    explain(trouble)
}

/// Says on stderr why something was not done and gives its exit code.
pub(crate) fn explain(trouble: &Trouble) -> i32 {
    let said = match trouble {
        Trouble::Refused(refusal) if refusal.rule > 0 => {
            format!("refused by rule {}: {}", refusal.rule, refusal.reason)
        }
        other => other.to_string(),
    };
    complain(&said, &trouble.hint());
    trouble.exit()
}

/// A document for programs, or a line for people.
pub(crate) fn print_json(document: &serde_json::Value) {
    output::json(&mut output::stdout(), document);
}
