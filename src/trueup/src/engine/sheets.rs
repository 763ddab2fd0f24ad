//! What a command would write, worked out on fresh facts and shown before anything is done.

use serde_json::{Value, json};
use trueup_core::{
    event::{Armed, AuthorFrom, Changed, Effect, Guard, Mechanism, Proposal},
    forge,
    ids::OpId,
    now::Now,
    object::identity::AppKey,
    plan::Action,
    policy::{BY_HAND, Note, Policy, thaw_ops},
    rules,
    run::{Op, Run, Sync},
    sheet::{Command, Confirm, Refusal, Sheet},
    text,
    transcript::shell,
};

use super::{
    state::{Again, Engine, sealed},
    steps::{acting, application, freeze::Freezing, tried::Tried},
    trouble::Trouble,
};

impl Engine {
    /// The sheet of a command that writes; refused when a rule would be broken.
    pub async fn sheet(&self, command: &Command) -> Result<Sheet, Trouble> {
        let run = self.run();
        self.sheet_of(&run, command).await
    }

    /// The sheet as one who is armed would be shown it. Carrying it out asks whether this process is armed.
    pub async fn preview(&self, command: &Command) -> Result<Sheet, Trouble> {
        let mut run = (*self.run()).clone();
        run.armed = Armed::All;
        self.sheet_of(&run, command).await
    }

    async fn sheet_of(&self, run: &Run, command: &Command) -> Result<Sheet, Trouble> {
        let (_, now) = self.seen_or_look().await?;
        self.permitted(&now, command)?;
        if let Err(refusal) = rules::check(run, &now, command) {
            return Err(self.with_holder(&now, run, command, refusal).await.into());
        }
        let mut sheet = match command {
            Command::Freeze { applications } => {
                self.freeze_sheet(command, applications, None).await?
            }
            Command::Push => self.push_sheet(command).await?,
            Command::Sync { application } => self.sync_sheet(command, &now, application).await?,
            Command::Ignore { application } => self.ignore_sheet(command, application).await?,
            Command::Thaw { applications } | Command::Restore { applications } => {
                self.thaw_sheet(command, applications).await?
            }
            Command::TakeOver { applications, from } => {
                self.nobody_works_on(from).await?;
                let mut sheet = self.freeze_sheet(command, applications, Some(from)).await?;
                let from = self.run().tell_apart(from);
                let what = text::count(applications.len(), "application");
                sheet.title = text::line(&format!("take over {what} from {from}"));
                sheet.warnings.insert(
                    0,
                    text::line(&format!(
                        "{from} will find its freeze gone: what it had decided and not brought to Git is not taken over"
                    )),
                );
                sheet
            }
            Command::Act {
                application,
                object,
                action,
                ..
            } => self.act_sheet(command, application, object, action).await?,
            Command::Delete {
                application,
                object,
            } => self.delete_sheet(command, application, object).await?,
            other => {
                return Err(Refusal::new(
                    0,
                    format!("{other:?} writes nothing and has no sheet"),
                    "",
                )
                .into());
            }
        };
        if let Command::Sync { application }
        | Command::Act { application, .. }
        | Command::Delete { application, .. } = command
        {
            sheet.warnings.extend(run.judged_anew_after(application));
        }
        Ok(sealed(sheet))
    }

    /// A refusal over what another incident froze says who was at work on that last.
    async fn with_holder(
        &self,
        now: &Now,
        run: &Run,
        command: &Command,
        mut refusal: Refusal,
    ) -> Refusal {
        let (Command::Freeze { applications } | Command::Thaw { applications }) = command else {
            return refusal;
        };
        let other = applications
            .iter()
            .find_map(|key| now.apps.get(key)?.frozen_by_another(run, key));
        if let (2, Some(incident)) = (refusal.rule, other)
            && let Some(holder) = self.last_holder(incident).await
        {
            refusal.reason = text::line(&format!("{}; {holder}", refusal.reason));
        }
        refusal
    }

    /// Why none of these can be frozen now: another incident, or this one from another state folder, has frozen one of them. The error
    /// is that somebody is at work on this one.
    pub async fn frozen_by_others(
        &self,
        applications: &[AppKey],
    ) -> Result<Option<Refusal>, Trouble> {
        let (_, now) = self.seen_or_look().await?;
        let run = self.run();
        let Some(refusal) = applications
            .iter()
            .find_map(|key| rules::frozen_by_other(&run, key, now.apps.get(key)?))
        else {
            return Ok(None);
        };
        let same = |key: &AppKey| now.apps.get(key)?.frozen_by_another(&run, key);
        if applications.iter().any(|key| same(key) == Some(run.id())) {
            // Whoever is at work on this very incident is waited for.
            self.nobody_works_on(run.id()).await?;
        }
        let applications = applications.to_vec();
        let freeze = Command::Freeze { applications };
        Ok(Some(self.with_holder(&now, &run, &freeze, refusal).await))
    }

    /// What this operator has no right to is said before anything is tried.
    fn permitted(&self, now: &Now, command: &Command) -> Result<(), Trouble> {
        let run = self.run();
        let direct = run.proposal.as_ref().is_some_and(|p| p.branch == p.tracked);
        let needs = match command {
            Command::Freeze { .. }
            | Command::TakeOver { .. }
            | Command::Restore { .. }
            | Command::Sync { .. }
            | Command::Ignore { .. }
            | Command::Thaw { .. } => true,
            Command::Push => direct,
            _ => false,
        };
        let missing = now.lacks_freeze(&run).filter(|_| needs);
        match missing {
            None => Ok(()),
            Some(missing) if *command == Command::Push => Err(Trouble::Waiting(format!(
                "no right to {}: without a freeze nothing goes to the tracked branch; commit to a branch of its own for somebody else to merge (on the screen, or with `commit: {{branch: trueup/{}, pullRequest: true}}` in the plan and `trueup run PLAN.yaml --replan 'why'`), or hand the incident over ({})",
                missing.what,
                run.id(),
                self.as_whom()
            ))),
            Some(missing) => Err(Trouble::Waiting(format!(
                "no right to {} (needed for {}): ask for it, or hand the incident over to somebody who has it ({})",
                missing.what,
                missing.needed_for,
                self.as_whom()
            ))),
        }
    }

    pub(super) fn blank(&self, command: &Command, title: String) -> Sheet {
        let (place, confirm) = (self.place(), self.confirm());
        Sheet::new(
            command.clone(),
            title,
            place,
            confirm,
            self.ports.clock.now(),
        )
    }

    async fn freeze_sheet(
        &self,
        command: &Command,
        applications: &[AppKey],
        from: Option<&str>,
    ) -> Result<Sheet, Trouble> {
        let has_enabled = self.automated_has_enabled().await;
        let mut sheet = self.blank(command, count("freeze", applications));
        for key in applications {
            let application = self.application(key).await?;
            let Freezing {
                mechanism,
                found,
                patch,
                restore,
                but,
            } = self.freeze_patch(
                key,
                &application,
                // Whoever does it by hand leaves a note that says so.
                &OpId(BY_HAND.into()),
                has_enabled,
                from,
            );
            if let Some(warning) = self.set_leaves_it(key, &application, has_enabled).await? {
                sheet.warnings.push(warning);
            }
            sheet.warnings.extend(but);
            if self.run().is_given_back(key) {
                sheet.warnings.push(format!(
                    "{} was thawed: from here on it is held again, and thawed once more; where Git has other manifests of it by then, it is synced first",
                    key.name
                ));
            }
            let how = match mechanism {
                Mechanism::NoteOnly if Policy::new(Some(found.clone())).is_on() => {
                    "only a note: an earlier freeze switched auto-sync off already, and its way back is kept"
                }
                Mechanism::NoteOnly => {
                    "only a note: auto-sync is off already, nothing to switch off"
                }
                Mechanism::Disable => {
                    "set automated.enabled to false, and a note with the way back"
                }
                Mechanism::Remove => "take automated out, and leave a note with the way back",
            };
            sheet.objects.push(key.to_string());
            sheet.will.push(match from {
                None => format!("{}: {how}", key.name),
                Some(from) => taken_over(
                    key,
                    &self.run().tell_apart(from),
                    Note::of(&application).as_ref(),
                    mechanism,
                ),
            });
            sheet.by_hand.push(application::by_hand(key, &patch));
            sheet.undo.push(application::merged_by_hand(key, &restore));
            if let Some(running) = application::operation(&application) {
                sheet.warnings.push(format!(
                    "an operation runs on {}: {running}; it is waited for",
                    key.name
                ));
            }
            sheet.guards.push(Self::guard_of(&application));
            sheet.effects.push(Effect::Freeze {
                application: key.clone(),
                mechanism,
                found,
                patch,
                from: from.map(str::to_owned),
            });
        }
        sheet.assumes = vec!["same source, destination and policy as read now".into()];
        let thaw = "thaw puts the policy in place and takes the note away; by hand, as the note itself says:";
        sheet.undo.insert(0, thaw.into());
        sheet
            .warnings
            .push("a freeze stops auto-sync, not people or CI that sync by hand".into());
        Ok(sheet)
    }

    async fn push_sheet(&self, command: &Command) -> Result<Sheet, Trouble> {
        // Whether a gate can be asked is of now, not of when it was tried out.
        if self.run().proposal.is_some() {
            self.try_unasked_again().await?;
        }
        let run = self.run();
        let Some(proposal) = &run.proposal else {
            return Err(Refusal::new(
                6,
                "there is no proven commit to push",
                "look at the proof first",
            )
            .into());
        };
        let mut sheet = self.blank(command, format!("push to {}", text::line(&proposal.branch)));
        sheet.place = text::line(&proposal.repository);
        sheet.objects = proposal
            .files
            .iter()
            .map(|file| file.path.clone())
            .collect();
        sheet.will = vec![format!(
            "push {} on {} to branch {}: {}, {}",
            proposal.commit.short(),
            proposal.parent.short(),
            text::line(&proposal.branch),
            text::count(proposal.files.len(), "file"),
            text::line(proposal.message.lines().next().unwrap_or_default()),
        )];
        if !proposal.author.is_empty() {
            let mut author = format!("author: {}", proposal.author);
            if proposal.author_from != AuthorFrom::Unknown {
                author.push_str(&format!(", from {}", proposal.author_from.words()));
            }
            sheet.will.push(text::line(&author));
        }
        if proposal.author_from == AuthorFrom::Operator {
            sheet.warnings.push(
                "nobody said who commits: for another author than this, set user.name and user.email (`git config --global`), \
                 or [git] in the settings file, before the commit is built"
                    .into(),
            );
        }
        for line in &proposal.proof {
            sheet.will.push(format!(
                "{}: {} to move, all decided",
                line.application.name,
                text::count(line.decided.len(), "field")
            ));
            let more = line.decided.len().saturating_sub(NAMED);
            let named = line.decided.iter().take(NAMED);
            sheet
                .will
                .extend(named.map(|it| format!("  {}", change_line(it))));
            if more > 0 {
                sheet.will.push(format!("  and {more} more"));
            }
        }
        let acted = proposal
            .cells
            .iter()
            .filter(|cell| run.acted().any(|it| it.is_same(cell)));
        sheet.warnings.extend(acted.map(|cell| {
            text::line(&format!(
                "{} {} of {} was set by a live action: it goes into Git with this commit",
                cell.object, cell.field, cell.application.name
            ))
        }));
        sheet.assumes = vec![format!(
            "branch {} is still at {}",
            text::line(&proposal.tracked),
            proposal.parent.short()
        )];
        if proposal.branch == proposal.tracked {
            sheet.assumes.push(
                "every Application that follows it is frozen, or its rendering does not move"
                    .into(),
            );
        }
        sheet.undo = vec![format!(
            "git revert {} and push (not automatic)",
            proposal.commit.short()
        )];
        let repo = self.ports.repos.open(&proposal.repository).await?;
        sheet.by_hand = vec![text::line(&format!(
            "git -C {} push {} {}:refs/heads/{}",
            shell(&repo.mirror().display().to_string()),
            shell(&proposal.repository),
            proposal.commit,
            shell(&proposal.branch)
        ))];
        if let Some((_, now)) = self.seen() {
            sheet.warnings.extend(now.apart(&run));
        }
        if let Some((key, surprises)) = run.surprised() {
            sheet.warnings.push(text::line(&format!(
                "{}, and nobody has looked at it yet: nothing more is synced or thawed until somebody says so",
                trueup_core::workflow::surprised(key, surprises)
            )));
        }
        sheet.warnings.extend(run.undone_by_push(proposal));
        sheet.warnings.extend(run.gates_changed());
        sheet.warnings.extend(run.doubts());
        if proposal.branch != proposal.tracked {
            let now = self.seen().map(|(_, now)| now);
            sheet
                .warnings
                .push(when_merged(&run, now.as_deref(), proposal));
            sheet.warnings.push(forge::where_to_merge(
                &proposal.repository,
                &proposal.branch,
                &proposal.tracked,
            ));
        }
        sheet.effects = vec![Effect::Push {
            repository: proposal.repository.clone(),
            branch: proposal.branch.clone(),
            commit: proposal.commit.clone(),
            parent: proposal.parent.clone(),
            bundle: proposal.bundle.clone(),
            tracked: proposal.branch == proposal.tracked,
        }];
        sheet.guards = vec![Guard {
            resource_version: None,
            facts: [("parent".to_owned(), json!(proposal.parent))].into(),
        }];
        Ok(sheet)
    }

    async fn sync_sheet(
        &self,
        command: &Command,
        now: &Now,
        key: &AppKey,
    ) -> Result<Sheet, Trouble> {
        let run = self.run();
        let Some((revision, prediction)) = run.apps.get(key).and_then(|app| app.prediction.clone())
        else {
            return Err(Refusal::new(
                3,
                format!("what a sync of {key} would do is not known yet"),
                "look again",
            )
            .into());
        };
        let application = self.application(key).await?;
        let mut sheet = self.blank(command, format!("sync {}", key.name));
        sheet.objects = vec![key.to_string()];
        let effect = if prediction.no_change() {
            "no field changes (bookkeeping only)".to_owned()
        } else {
            format!(
                "{} to change, {} to create",
                text::count(prediction.changes.len(), "field"),
                text::count(prediction.creates.len(), "object")
            )
        };
        sheet.will.push(format!(
            "start a sync of {} at {}, prune off: {effect}",
            key.name,
            revision.short()
        ));
        sheet
            .will
            .extend(prediction.changes.iter().map(change_line));
        sheet.will.extend(
            prediction
                .creates
                .iter()
                .map(|object| format!("create {object}")),
        );
        sheet.will.extend(
            prediction
                .hooks
                .iter()
                .map(|hook| format!("run the hook {hook}")),
        );
        if run.unlisted(key) {
            let gates = run.gates_after(key);
            let but = gates.iter().filter(|gate| *gate != "healthy");
            let but: Vec<&str> = but.map(String::as_str).collect();
            let and = match but.is_empty() {
                true => String::new(),
                false => format!(" and what no step names ({})", but.join(", ")),
            };
            sheet.warnings.push(text::line(&format!(
                "no step of the plan's `sync` names it: no gate but healthy{and} follows"
            )));
        }
        if let Some(Sync::Surprised {
            surprises,
            seen: Some((by, why)),
            ..
        }) = run.apps.get(key).map(|app| &app.sync)
        {
            let changed: Vec<String> = surprises.iter().map(change_line).collect();
            sheet.warnings.push(text::line(&format!(
                "{}: {}; {by} looked at it: {why}",
                trueup_core::workflow::surprised(key, surprises),
                text::some(&changed, 3)
            )));
        }
        sheet.warnings.extend(run.undone_by_sync(key));
        sheet.warnings.extend(run.gates_changed());
        let lost = now.lost_by(&prediction);
        sheet
            .warnings
            .extend(lost.map(|lost| format!("{lost} and will be gone")));
        sheet.warnings.extend(
            prediction
                .unknown
                .iter()
                .map(|u| format!("not predicted: {} ({})", u.object, u.why)),
        );
        if !prediction.extra.is_empty() {
            sheet.warnings.push(format!(
                "what only the cluster has stays: {}",
                text::count(prediction.extra.len(), "live object")
            ));
        }
        sheet.assumes = vec![
            "same source and policy, no operation running, frozen, the branch where it was".into(),
            "what a webhook does after the dry run is not seen beforehand: the effect is read back"
                .into(),
        ];
        sheet.undo = vec!["decide the fields back and sync again (not automatic)".into()];
        let patch = self.sync_patch(&application, &revision, &OpId("preview".into()));
        sheet.by_hand = vec![
            application::by_hand(key, &patch),
            format!("argocd app sync {} --revision {revision}", key.name),
        ];
        sheet.guards = vec![Self::guard_of(&application)];
        sheet.effects = vec![Effect::Sync {
            application: key.clone(),
            revision,
            patch,
        }];
        Ok(sheet)
    }

    async fn thaw_sheet(
        &self,
        command: &Command,
        applications: &[AppKey],
    ) -> Result<Sheet, Trouble> {
        let mut sheet = self.blank(command, count("thaw", applications));
        let run = self.run();
        let mut any_on = false;
        // A thaw is a sync too: what it would do is found out now, and from what is there now.
        let (world, _) = self.look().await?;
        for key in applications {
            let application = self.application(key).await?;
            let wanted = self.target_policy(key)?;
            let patch = Value::Array(thaw_ops(&application, &wanted));
            let evidence = run
                .apps
                .get(key)
                .and_then(|app| app.target.as_ref())
                .map_or("", |(_, _, e)| e.as_str());
            let automated = wanted.automated().cloned().unwrap_or(Value::Null);
            sheet.objects.push(key.to_string());
            sheet.will.push(if wanted.is_on() {
                let seen = world.applications.get(key);
                let said = self.at_once(&application, seen, &wanted).await;
                sheet.warnings.extend(said.but);
                format!(
                    "{}: auto-sync {} → {} ({evidence}), the note goes; {}",
                    key.name,
                    Policy::of(&application).words(),
                    wanted.words(),
                    said.does
                )
            } else {
                format!(
                    "{}: auto-sync stays off ({evidence}), the note goes: nothing syncs it but a person",
                    key.name,
                )
            });
            any_on |= wanted.is_on();
            sheet.by_hand.push(application::by_hand(key, &patch));
            sheet.guards.push(Self::guard_of(&application));
            sheet.effects.push(Effect::Thaw {
                application: key.clone(),
                automated,
                patch,
                operation_before: None,
            });
        }
        let (sampled, broken) = run.gates_before_thaw(applications);
        let sampled: Vec<String> = sampled.into_iter().collect();
        sheet.assumes = vec![match sampled.as_slice() {
            [] => "no gate is sampled before it".to_owned(),
            [one] => format!("gate {one} is green in one fresh sample"),
            many => format!(
                "the gates {} are green in one fresh sample",
                many.join(", ")
            ),
        }];
        sheet.warnings.extend(broken.iter().map(|glass| {
            text::line(&format!(
                "gate {} was not passed: {} broke glass for it ({}); it is not sampled before the thaw",
                glass.what, glass.by, glass.reason
            ))
        }));
        sheet.warnings.extend(run.gates_changed());
        if any_on {
            let synced = "each whose auto-sync goes on is Synced when its turn comes, so that auto-sync has nothing to do";
            sheet.assumes.insert(0, synced.into());
        }
        let names: Vec<&str> = applications.iter().map(|key| key.name.as_str()).collect();
        sheet.undo = vec![format!(
            "freeze again: `trueup freeze {} --write cluster`",
            names.join(" ")
        )];
        sheet.warnings.push(format!(
            "each is watched for two reconcile rounds and {} at least before the next",
            run.waits.thaw_hold
        ));
        Ok(sheet)
    }

    async fn act_sheet(
        &self,
        command: &Command,
        key: &AppKey,
        named: &str,
        action: &Action,
    ) -> Result<Sheet, Trouble> {
        let run = self.run();
        let worked = self.work_out(key, named, action).await?;
        let tried = self.try_out(key, &worked).await?;
        let mut sheet = self.blank(command, format!("live action on {}", worked.object));
        sheet.objects = vec![worked.object.to_string()];
        let (world, now) = self.seen_or_look().await?;
        sheet.warnings = acting::minds(&run, &world, &now, key, action, &worked);
        sheet.will = vec![worked.will];
        sheet.assumes = vec!["the value replaced is still the one read now".into()];
        let namespace = worked.object.namespace.clone().unwrap_or_default();
        let hand = |patch: &Value| {
            text::line(&format!(
                "kubectl -n {namespace} patch {} {} --type json -p '{}'",
                worked.object.kind.to_lowercase(),
                worked.object.name,
                text::json(patch).replace('\'', r"'\''")
            ))
        };
        let without_test: Value = worked
            .patch
            .as_array()
            .map(|ops| {
                ops.iter()
                    .filter(|op| op.get("op").and_then(Value::as_str) != Some("test"))
                    .cloned()
                    .collect()
            })
            .unwrap_or_default();
        sheet.by_hand = vec![hand(&without_test)];
        sheet.undo = vec![if *action == (Action::Restart {}) {
            // Taking the mark away changes the template again.
            "none: the pods that ran are gone, and taking the mark away would replace them once more"
                .into()
        } else {
            hand(&worked.inverse)
        }];
        sheet.warnings.extend(worked.new.clone());
        sheet.warnings.extend(match tried {
            Tried::Taken => None,
            Tried::Refused(why) => Some(format!("tried out with a dry run: {why}")),
            Tried::Unknown(why) => Some(format!(
                "whether the server takes it was not tried out: {why}"
            )),
        });
        sheet.guards = vec![worked.guard];
        sheet.effects = vec![Effect::Act {
            application: key.clone(),
            object: worked.object,
            action: action.clone(),
            patch: worked.patch,
            inverse: worked.inverse,
            cell: None,
            reason: String::new(),
        }];
        Ok(sheet)
    }

    /// Checks what was typed and does what the sheet showed.
    pub async fn confirmed(&self, sheet: &Sheet, typed: &str) -> Result<(), Trouble> {
        if let Confirm::Type(token) = &sheet.confirm
            && token != typed.trim()
        {
            return Err(Refusal::new(
                1,
                format!("that is not `{token}`: nothing was done"),
                format!("type {token} to go ahead, or esc"),
            )
            .into());
        }
        let before = self.run().op_order.len();
        let outcome = self.written(sheet).await;
        self.tell_of(sheet, before, Again::Told, outcome)
    }

    /// Does what a sheet showed to which the plan or the arguments are the confirmation.
    pub async fn carry_out(&self, sheet: &Sheet) -> Result<(), Trouble> {
        let before = self.run().op_order.len();
        let outcome = self.written(sheet).await;
        self.tell_of(sheet, before, Again::Known, outcome)
    }

    /// Writes down that what was confirmed was refused, or failed before it was begun; `before`: how many writes there had been until
    /// then.
    fn tell_of(
        &self,
        sheet: &Sheet,
        before: usize,
        again: Again,
        outcome: Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let (mut refusal, failed) = match &outcome {
            Ok(()) => return outcome,
            Err(Trouble::Refused(refusal)) => (refusal.clone(), false),
            // What cannot be written down there is said by whoever asked.
            Err(Trouble::Journal(_)) => return outcome,
            Err(trouble) => (
                Refusal::new(0, text::line(&trouble.to_string()), trouble.hint()),
                true,
            ),
        };
        let run = self.run();
        let since = run.op_order.get(before..).unwrap_or_default();
        let is = |op: &OpId, so: fn(&Op) -> bool| run.ops.get(op).is_some_and(so);
        // A write that was begun says by itself what became of it.
        if failed
            && (since.len() >= sheet.effects.len() || !since.iter().all(|op| is(op, Op::done)))
        {
            return outcome;
        }
        let after: Vec<OpId> = since
            .iter()
            .filter(|op| is(op, Op::done))
            .cloned()
            .collect();
        let written = since.iter().any(|op| is(op, Op::done) || is(op, Op::open));
        if !written && !refusal.reason.contains("nothing was pushed") {
            refusal.reason.push_str("; nothing of it was written");
        }
        self.not_done(&sheet.title, &refusal, failed, after, again)?;
        outcome
    }

    /// The rules once more, right before a write, on what the last look brought that is journaled. As long as the answer is held no
    /// other look comes in between.
    pub(super) async fn still_allowed(
        &self,
        command: &Command,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, Trouble> {
        let alone = self.looking.lock().await;
        if let Some((_, now)) = self.seen() {
            rules::check(&self.run(), &now, command)?;
        }
        Ok(alone)
    }

    /// Does what a sheet showed; the rules are asked once more.
    async fn written(&self, sheet: &Sheet) -> Result<(), Trouble> {
        let (_, now) = self.seen_or_look().await?;
        rules::check(&self.run(), &now, &sheet.command)?;
        match &sheet.command {
            Command::Freeze { .. } => self.freeze(sheet, None).await,
            Command::TakeOver { from, .. } => {
                self.nobody_works_on(from).await?;
                self.freeze(sheet, Some(from)).await
            }
            Command::Push => self.push(sheet).await,
            Command::Sync { .. } => self.sync(sheet).await,
            Command::Ignore { .. } => self.ignore(sheet).await,
            Command::Thaw { .. } | Command::Restore { .. } => self.thaw(sheet).await,
            Command::Act { object, .. } => self.act(sheet, object).await,
            Command::Delete { .. } => self.delete(sheet).await,
            _ => Ok(()),
        }
    }
}

/// What taking over another incident's freeze does to one Application: from whom, since when, and which way back it keeps.
fn taken_over(key: &AppKey, from: &str, note: Option<&Note>, mechanism: Mechanism) -> String {
    let (whose, found) = match note {
        Some(note) => (
            format!("{}, since {}", note.by, note.at.strftime("%Y-%m-%d %H:%MZ")),
            format!(
                "auto-sync {} was found then, and stays the way back",
                Policy::new(Some(note.found.clone())).words()
            ),
        ),
        None => ("its note is gone".to_owned(), "as found now".to_owned()),
    };
    let does = match mechanism {
        Mechanism::NoteOnly => "it stays frozen, and the note names this incident from now on",
        Mechanism::Disable => {
            "auto-sync is on again: it is set to enabled: false, and the note names this incident"
        }
        Mechanism::Remove => {
            "auto-sync is on again: automated is taken out, and the note names this incident"
        }
    };
    text::line(&format!(
        "{}: take over the freeze of {from} ({whose}): {does}; {found}",
        key.name
    ))
}

fn count(verb: &str, applications: &[AppKey]) -> String {
    match applications {
        [one] => format!("{verb} {}", one.name),
        many => format!("{verb} {} applications", many.len()),
    }
}

/// So many fields of one Application are named on the sheet of a push; the diff has them all.
const NAMED: usize = 12;

/// A change as one inert line.
pub fn change_line(change: &Changed) -> String {
    let side = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "(absent)".to_owned(), text::value)
    };
    text::line(&format!(
        "{} {}: {} → {}",
        change.object,
        change.field,
        side(&change.from),
        side(&change.to)
    ))
}
/// What merging a branch of our own brings about.
fn when_merged(run: &Run, now: Option<&Now>, proposal: &Proposal) -> String {
    let frozen = |key: &AppKey| run.is_frozen(key);
    let by_itself = |key: &AppKey| {
        now.and_then(|now| now.apps.get(key))
            .is_none_or(|app| app.auto_sync)
    };
    let loose: Vec<&AppKey> = proposal
        .proof
        .iter()
        .map(|line| &line.application)
        .filter(|key| !frozen(key))
        .collect();
    if loose.is_empty() {
        return "nothing moves until it is merged, and nothing by the merge itself: each Application that it changes is frozen, and is synced after it with a sheet of its own".into();
    }
    let names = |keys: Vec<&&AppKey>| {
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        names.join(", ")
    };
    let (at_once, later): (Vec<_>, Vec<_>) = loose.iter().partition(|key| by_itself(key));
    let mut said = vec!["nothing moves until it is merged".to_owned()];
    if !at_once.is_empty() {
        said.push(format!(
            "NOT frozen, so that Argo CD then syncs at once: {}",
            names(at_once)
        ));
    }
    if !later.is_empty() {
        said.push(format!(
            "not frozen, and with auto-sync off brought by the next sync of whomever: {}",
            names(later)
        ));
    }
    said.join("; ")
}
