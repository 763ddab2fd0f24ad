//! A mended plan: whether it can be gone on with, and how it is taken.

use trueup_core::{
    event::Event,
    ids::IncidentId,
    object::identity::AppKey,
    plan::{self, Plan},
    run::Run,
    sheet::Refusal,
    text,
};

use crate::{
    app,
    engine::{Engine, Trouble},
};

/// Puts a mended plan in the place of the one before it, and journals where it is another one. Nothing is looked at
/// before: what somebody touched since the last walk was told to nobody, and no plan answers it.
pub(super) async fn take_mended(engine: &Engine, plan: &Plan, why: &str) -> Result<(), Trouble> {
    let run = engine.run();
    contradicts(&run, plan)?;
    let scope = scope_with(engine, plan);
    if scope != run.scope {
        engine.reader().must_exist(&scope).await?;
        engine.record(Event::ScopeSet {
            scope,
            by: app::operator(),
        })?;
    }
    let before = run.plan.as_deref();
    engine.record(Event::PlanTaken {
        plan: Box::new(plan.clone()),
        by: app::operator(),
        replaces: before.map(Plan::digest),
        reason: text::line(why),
        differs: before.map_or_else(Vec::new, |before| plan.differs_from(before)),
    })?;
    Ok(())
}

/// The scope of the incident without what goes with the plan before, and what the plan brings into it behind that.
pub(super) fn scope_with(engine: &Engine, plan: &Plan) -> Vec<AppKey> {
    let run = engine.run();
    let gone = plan::gone_with(&run, plan);
    let mut scope = run.scope.clone();
    scope.retain(|key| !gone.contains(&key));
    for name in &plan.scope {
        let key = engine.reader().app_key(name);
        if !scope.contains(&key) {
            scope.push(key);
        }
    }
    scope
}

/// Nothing of the incident is walked that the plan does not name.
pub(super) fn leaves_nothing_out(run: &Run, plan: &Plan) -> Result<(), Trouble> {
    let left_out = plan::left_out(run, plan);
    let Some(first) = left_out.first() else {
        return Ok(());
    };
    let all: Vec<String> = left_out.iter().map(ToString::to_string).collect();
    Err(Refusal::new(
        2,
        text::line(&format!(
            "`scope` leaves out {}, which {} in this incident",
            text::some(&all, 5),
            if all.len() == 1 { "is" } else { "are" },
        )),
        text::line(&format!(
            "add what is missing to `scope`; or park it (`trueup park {first} --incident {} --owner WHO --until DATE --reason WHY`): \
             a parked one may be left out",
            run.id()
        )),
    )
    .into())
}

/// What was decided, pushed, synced and attested stays as it is journaled.
pub(super) fn contradicts(run: &Run, plan: &Plan) -> Result<(), Trouble> {
    leaves_nothing_out(run, plan)?;
    let found = plan::contradictions(run, plan);
    let Some(first) = found.first() else {
        return Ok(());
    };
    let more = match found.len() - 1 {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Err(Refusal::new(
        2,
        text::line(&format!(
            "the plan says otherwise than what was done in {}: {first}{more}",
            run.id()
        )),
        "leave that as it was: what was decided and done stays; the screen can withdraw a decision and break glass for a \
         gate (`trueup resume`)",
    )
    .into())
}

/// The refusal of a plan that the incident does not have.
pub(super) fn another_plan(incident: &IncidentId, differs: &[String]) -> Refusal {
    Refusal::new(
        2,
        text::line(&format!(
            "incident {incident} was opened with another plan: {}",
            text::some(differs, 5)
        )),
        "go on with that plan; where this one mends it, say why: `trueup run PLAN.yaml --replan 'why'`, and what was done \
         stays; or go on with the screen (`trueup resume`)",
    )
}
