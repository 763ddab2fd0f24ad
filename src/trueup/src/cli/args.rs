//! The commands and their arguments, as `--help` shows them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{act, doctor, drift, edit, glass, trace, watchdog};
use crate::settings::GlobalArgs;

/// An incident-recovery workbench for Argo CD.
///
/// When the cluster and Git disagree and nobody dares to press Sync: find out which side is right for each field, get
/// it into Git, and bring the cluster there in an order that is checked at each step.
///
/// Exit codes: 0 done · 1 there is something · 2 error · 3 refused by a rule · 4 waiting · 130 interrupted · 143 terminated.
#[derive(Debug, Parser)]
#[command(name = "trueup", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open a new incident in the workbench
    Start(StartArgs),
    /// Go on with an incident; needs nothing but the state folder
    Resume(ResumeArgs),
    /// The incidents of the state folder
    Incidents,
    /// An embedded cluster with a real incident in it, and the workbench on it
    Lab(LabArgs),
    /// Every open question: where live and Git disagree
    Drift(drift::Args),
    /// Which bytes of which file make a field what it is
    Trace(trace::Args),
    /// Edit a YAML or JSON file and keep every other byte
    Edit(edit::Args),
    /// The whole walk without a screen
    ///
    /// The same plan again goes on where it stopped; a gate that was not green in time is waited for once more. With
    /// `-o json` one event a line, the last line being the `RunResult`.
    Run(RunArgs),
    /// Plans: export one from an incident, or print their schema
    Plan(PlanArgs),
    /// Stop auto-sync of Applications, with the way back written on them
    ///
    /// With `-o json` two documents, a line each: when the freeze is *set*, and when it is *proven*.
    Freeze(FreezeArgs),
    /// Put the target policies in place and watch
    Thaw(AppsArgs),
    /// Sync Applications with the effect that was predicted
    ///
    /// With `-o json` one document a line, for each Application.
    Sync(SyncArgs),
    /// A live action: shown, guarded, with its way back
    Act(act::ActArgs),
    /// Hand Applications over to somebody, and go on without them; only the journal is written
    Park(ParkArgs),
    /// Take parked Applications up again
    Unpark(AppsArgs),
    /// Go on where a gate is not green or an effect is not known: with a reason, and a review that is owed
    Glass(glass::GlassArgs),
    /// Close an incident; refused while something is owed, with what settles it
    Close(CloseArgs),
    /// Where an incident stands, what is frozen, what is owed
    Status(StatusArgs),
    /// Applications whose auto-sync is off for too long
    Watchdog(watchdog::Args),
    /// The transcript of an incident
    Export(ExportArgs),
    /// Check the chain of a JSON export or of a journal
    Verify(VerifyArgs),
    /// Versions, permissions, binaries: what would not work, and why
    Doctor(doctor::Args),
    /// Completion for a shell
    Completion(CompletionArgs),
    /// The manual page
    Man,
}

impl Command {
    /// Whether it draws, or says something when it is interrupted, and so handles signals itself.
    pub fn handles_signals(&self) -> bool {
        match self {
            Self::Start(_) | Self::Resume(_) | Self::Run(_) => true,
            Self::Lab(args) => !args.list && !args.stop,
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
pub struct StartArgs {
    /// Applications in the scope, as NAME or NAMESPACE/NAME; they can be chosen on the screen too
    #[arg(value_name = "APP")]
    pub apps: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The incident [default: the only open one]
    #[arg(value_name = "ID")]
    pub id: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct LabArgs {
    /// The incident to stage
    #[arg(default_value = "inc-441")]
    pub scenario: String,
    /// List the scenarios
    #[arg(long)]
    pub list: bool,
    /// Only serve: print one line of JSON when ready, run until SIGTERM
    #[arg(long)]
    pub serve: bool,
    /// Stop a lab that was left running
    #[arg(long)]
    pub stop: bool,
    /// Where the lab keeps its files [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// A setting of the lab (scrape, lag, window, poll); may be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "write KEY=VALUE".to_owned())
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The plan
    #[arg(value_name = "PLAN.yaml")]
    pub plan: PathBuf,
    /// Settle a manual gate: who looked, and what they saw; may be given again
    #[arg(long, value_name = "GATE='WHO: SAW'", value_parser = attestation)]
    pub attest: Vec<(String, (String, String))>,
    /// Go on with a mended plan, and say why; what was decided, pushed, synced and attested stays as it is
    #[arg(long, value_name = "WHY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub replan: Option<String>,
}

fn attestation(text: &str) -> Result<(String, (String, String)), String> {
    let bad = || "write GATE='WHO: what they saw'".to_owned();
    let (gate, said) = text.split_once('=').ok_or_else(bad)?;
    let (who, saw) = said.split_once(':').ok_or_else(bad)?;
    let (gate, who, saw) = (gate.trim(), who.trim(), saw.trim());
    if gate.is_empty() || who.is_empty() || saw.is_empty() {
        return Err(bad());
    }
    Ok((gate.to_owned(), (who.to_owned(), saw.to_owned())))
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(subcommand)]
    pub command: PlanCommand,
}

#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// The plan that does again what was done in an incident
    Export {
        /// The incident
        #[arg(value_name = "ID")]
        id: Option<String>,
    },
    /// The JSON Schema of a plan
    Schema,
}

#[derive(Debug, Args)]
pub struct AppsArgs {
    /// Applications, as NAME or NAMESPACE/NAME
    #[arg(value_name = "APP", required = true)]
    pub apps: Vec<String>,
}

#[derive(Debug, Args)]
pub struct SyncArgs {
    #[command(flatten)]
    pub apps: AppsArgs,
    /// Go on though the last sync of one changed what nobody was shown: you looked at it, and say why
    #[arg(long, value_name = "WHY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub seen: Option<String>,
}

#[derive(Debug, Args)]
pub struct FreezeArgs {
    #[command(flatten)]
    pub apps: AppsArgs,
    /// End as soon as the freeze is set, without waiting until it is proven
    #[arg(long)]
    pub no_wait: bool,
    /// Take them over from the incident whose note they bear, once nobody works on it any more
    #[arg(long, value_name = "ID")]
    pub take_over: Option<String>,
}

#[derive(Debug, Args)]
pub struct ParkArgs {
    #[command(flatten)]
    pub apps: AppsArgs,
    /// Who has them from now on
    #[arg(long, value_name = "WHO")]
    pub owner: String,
    /// Until when
    #[arg(long, value_name = "DATE")]
    pub until: String,
    /// Why
    #[arg(long, value_name = "WHY")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct CloseArgs {
    /// The incident [default: the only open one]
    #[arg(value_name = "ID")]
    pub id: Option<String>,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The incident [default: the only open one]
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// One line for the channel; where several incidents are open, a line for each
    #[arg(long)]
    pub line: bool,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The incident [default: the only open one, else the newest]
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// [default: md; json with `-o json`]
    #[arg(long, value_name = "FORMAT", value_parser = ["md", "html", "json"])]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A JSON export, or a journal
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct CompletionArgs {
    pub shell: clap_complete::Shell,
}
