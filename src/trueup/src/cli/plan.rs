//! `trueup plan export` and `trueup plan schema`.

use std::io::Write;

use trueup_core::{plan, run::Run};

use super::{
    args::{PlanArgs, PlanCommand},
    export::chosen,
    give_up, print_json,
};
use crate::{
    engine::Trouble,
    journal,
    settings::{Output, Settings},
};

pub fn run(settings: &Settings, args: &PlanArgs) -> i32 {
    match &args.command {
        PlanCommand::Schema => {
            print_json(&plan::schema());
            0
        }
        PlanCommand::Export { id } => match export(settings, id.as_deref()) {
            Ok(text) => {
                let _ = super::output::stdout().write_all(text.as_bytes());
                0
            }
            Err(trouble) => give_up(settings, &trouble),
        },
    }
}

fn export(settings: &Settings, id: Option<&str>) -> Result<String, Trouble> {
    let incident = chosen(settings, id)?;
    let lines = journal::read(&settings.state_dir, &incident)?;
    let run = Run::fold(lines.iter().map(|line| &line.record));
    let plan = plan::export(&run).ok_or_else(|| {
        Trouble::failed(
            "export a plan",
            "the incident was never opened",
            "`trueup incidents` lists them",
        )
    })?;
    let failed = |error: &dyn std::fmt::Display| {
        Trouble::failed("write the plan", error, "see `trueup export --format json`")
    };
    if settings.output == Output::Json {
        return serde_json::to_string_pretty(&plan)
            .map(|text| text + "\n")
            .map_err(|e| failed(&e));
    }
    Ok(plan.to_yaml())
}
