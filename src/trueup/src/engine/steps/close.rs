//! Closing, parking, attesting: what a person says, checked and written down.

use trueup_core::{
    decision::each_once,
    event::Event,
    object::identity::AppKey,
    plan::{Target, TargetKind},
    policy::{self, Policy},
    rules,
    run::Freeze,
    sheet::{Command, Refusal},
    text, workflow,
};

use super::{
    super::{
        read::unsupported,
        state::{Again, Engine},
        trouble::Trouble,
    },
    decide::handed_over,
};

impl Engine {
    /// Commands that write nothing but the journal.
    pub async fn say(&self, command: &Command) -> Result<(), Trouble> {
        let by = self.setting.operator.clone();
        match command {
            Command::Arm { write } => self.arm(*write).await,
            Command::SetScope { scope } => {
                self.record(Event::ScopeSet {
                    scope: scope.clone(),
                    by,
                })?;
                self.look().await?;
                Ok(())
            }
            Command::SetTarget {
                applications,
                target,
            } => self.set_target(applications, target).await,
            Command::Decide {
                cells,
                take,
                reason,
                seen,
            } => {
                self.decide_as_said(cells, take, reason, seen).await?;
                self.seen_anew();
                Ok(())
            }
            Command::Withdraw { cells, why } => {
                self.record(Event::DecisionWithdrawn {
                    cells: each_once(cells),
                    why: text::line(why),
                    by,
                })?;
                self.seen_anew();
                Ok(())
            }
            Command::SetMessage { message } => {
                self.record(Event::MessageSet {
                    message: text::block(message),
                    by,
                })?;
                Ok(())
            }
            Command::SetCommit {
                branch,
                pull_request,
            } => {
                self.record(Event::CommitSet {
                    branch: branch.clone(),
                    pull_request: *pull_request,
                    by,
                })?;
                Ok(())
            }
            Command::SetOrder { order } => {
                self.record(Event::OrderSet {
                    order: order.clone(),
                    by,
                })?;
                Ok(())
            }
            Command::AddGate { name, spec } => {
                self.record(Event::GateAdded {
                    gate: name.clone(),
                    spec: spec.clone(),
                    by,
                })?;
                Ok(())
            }
            Command::RemoveGate { name, reason } => {
                self.record(Event::GateRemoved {
                    gate: name.clone(),
                    why: text::line(reason),
                    by,
                })?;
                Ok(())
            }
            Command::Attest { gate, who, saw } => {
                // Whatever was done while it was being said is known first.
                let (_, now) = self.look().await?;
                rules::check(&self.run(), &now, command)?;
                self.record(Event::Attested {
                    after: self.run().to_attest(gate),
                    gate: text::line(gate),
                    who: text::line(who),
                    saw: text::line(saw),
                })?;
                Ok(())
            }
            Command::Park {
                application,
                owner,
                until,
                reason,
            } => {
                handed_over(owner, until, self.ports.clock.now())?;
                self.record(Event::Parked {
                    application: application.clone(),
                    owner: text::line(owner),
                    until: text::line(until),
                    reason: text::line(reason),
                    by,
                })?;
                Ok(())
            }
            Command::Unpark { application } => {
                self.record(Event::Unparked {
                    application: application.clone(),
                    by,
                })?;
                Ok(())
            }
            Command::AwaitGate { application, gate } => self.begin_gate(application, gate),
            Command::BreakGlass {
                application,
                what,
                reason,
            } => {
                // Broken for a gate that is still waited for, it ends that wait.
                if let workflow::Next::Gate { application, gate } = self.next().await?
                    && gate == *what
                {
                    self.give_up_gate(&application, &gate)?;
                }
                self.record(Event::GlassBroken {
                    application: application.clone(),
                    what: text::line(what),
                    reason: text::line(reason),
                    by,
                })?;
                Ok(())
            }
            Command::SeeSurprise {
                application,
                reason,
            } => {
                let run = self.run();
                let sync = run.apps.get(application).and_then(|app| app.sync.op());
                if let Some(op) = sync {
                    self.record(Event::SurpriseSeen {
                        application: application.clone(),
                        op: op.clone(),
                        reason: text::line(reason),
                        by,
                    })?;
                }
                Ok(())
            }
            Command::ReviewGlass {
                application,
                what,
                found,
            } => {
                self.record(Event::GlassReviewed {
                    application: application.clone(),
                    what: what.clone(),
                    found: text::line(found),
                    by,
                })?;
                Ok(())
            }
            Command::Look => {
                self.predictions.try_again();
                let (_, now) = self.look().await?;
                self.predict_anew(&workflow::next(&self.run(), &now)).await
            }
            Command::Close => {
                // Whatever came up while the question was open is owed too.
                let (_, now) = self.look().await?;
                let stands = match rules::check(&self.run(), &now, command) {
                    Ok(()) => self.as_targeted().await,
                    Err(refusal) => Err(refusal.into()),
                };
                if let Err(Trouble::Refused(refusal)) = &stands {
                    self.not_done("close", refusal, false, Vec::new(), Again::Known)?;
                }
                stands?;
                self.release_lease().await;
                self.record(Event::Closed { by })?;
                Ok(())
            }
            Command::CancelWait
            | Command::Export { .. }
            | Command::Freeze { .. }
            | Command::Push
            | Command::Sync { .. }
            | Command::Ignore { .. }
            | Command::Thaw { .. }
            | Command::TakeOver { .. }
            | Command::Restore { .. }
            | Command::Act { .. }
            | Command::Delete { .. } => Ok(()),
        }
    }

    /// Resolves a target to the whole sync policy that shall stand, with the evidence for it.
    async fn set_target(&self, applications: &[AppKey], target: &Target) -> Result<(), Trouble> {
        let (world, _) = self.seen_or_look().await?;
        for key in applications {
            let Some(app) = world.applications.get(key) else {
                return Err(Refusal::new(
                    0,
                    text::line(&format!("{key} was not found")),
                    "look again, or take it out of the scope",
                )
                .into());
            };
            let run = self.run();
            let found = match run.apps.get(key).and_then(|state| state.found.clone()) {
                Some(found) => Policy::new(Some(found)),
                None => Policy::of(&app.object),
            };
            let (policy, evidence) = match (&target.policy, &target.automated) {
                (Some(TargetKind::Found), _) => (found, "as found before the freeze".to_owned()),
                (Some(TargetKind::Declared), _) => {
                    let unread = app.head.is_none() && unsupported(&app.object).is_none();
                    if let Some(error) = world.errors.first().filter(|_| unread) {
                        return Err(Trouble::failed(
                            format!("see how Git declares {key}"),
                            format!("{}: {}", error.what, error.why),
                            "look again once Git can be read, or take `found`",
                        ));
                    }
                    let declared =
                        policy::declared(&app.object, app.declared.as_ref().map(|d| &d.object));
                    let Some(declared) = declared else {
                        return Err(Refusal::new(
                            0,
                            format!("no declaration of {key} was found, neither in Git nor as last-applied"),
                            "take `found`, or type the policy with a reason",
                        )
                        .into());
                    };
                    let place = match declared.place {
                        policy::DeclaredIn::Git => "as declared in Git",
                        policy::DeclaredIn::LastApplied => "as last applied with kubectl",
                    };
                    (declared.policy, place.to_owned())
                }
                (None, Some(automated)) => {
                    let mut whole = found
                        .value()
                        .cloned()
                        .unwrap_or_else(|| serde_json::json!({}));
                    whole["automated"] = automated.clone();
                    (
                        Policy::new(Some(whole)),
                        text::line(target.reason.as_deref().unwrap_or("typed by the operator")),
                    )
                }
                (None, None) => {
                    return Err(Refusal::new(
                        0,
                        "a target policy is found, declared, or typed",
                        "choose one",
                    )
                    .into());
                }
            };
            self.record(Event::TargetSet {
                application: key.clone(),
                target: target.clone(),
                sync_policy: policy.value().cloned().unwrap_or(serde_json::Value::Null),
                evidence,
                by: self.setting.operator.clone(),
            })?;
        }
        Ok(())
    }
}

impl Engine {
    /// Reads what was thawed once more: what a watch has not brought yet is no end of an incident.
    async fn as_targeted(&self) -> Result<(), Trouble> {
        let run = self.run();
        let thawed = run
            .walking()
            .filter(|(_, app)| app.freeze == Freeze::Thawed);
        for (key, app) in thawed {
            let stands = Policy::of(&self.application(key).await?);
            if let Some(why) = app.not_as_targeted(&stands) {
                self.look().await?;
                return Err(Refusal::new(
                    10,
                    format!("{key} {why}"),
                    "freeze and thaw it anew, or park it",
                )
                .into());
            }
        }
        Ok(())
    }

    /// Writes the transcript beside the journal; the path of the file.
    pub(in super::super) fn export(&self, format: &str) -> Result<String, Trouble> {
        let dir = self.with_journal(|journal| journal.dir().to_owned());
        let state = dir
            .parent()
            .and_then(std::path::Path::parent)
            .unwrap_or(&dir)
            .to_owned();
        let run = self.run();
        let Some(incident) = run.incident.clone() else {
            return Err(Refusal::new(0, "no incident is open", "start one").into());
        };
        let (text, extension) = crate::export::transcript(&state, &incident, format)?;
        let path = dir.join(format!("{}.{extension}", run.id()));
        std::fs::write(&path, &text).map_err(|error| {
            Trouble::failed(
                format!("write {}", path.display()),
                error,
                "choose another state folder",
            )
        })?;
        self.record(Event::Exported {
            format: text::line(format),
            digest: trueup_core::ids::Digest::of(text.as_bytes()),
        })?;
        Ok(path.display().to_string())
    }
}
