//! From everything that one look gave to what the walk and the screen depend on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;
use trueup_core::{
    decision::{CellKey, Sides, THERE},
    drift::report::{Cell, DriftReport, Writer},
    event::Event,
    ids::Commit,
    ignore,
    now::{AppNow, CellNow, Now, Permitted, PodNow, QuestionNow},
    object::{
        identity::{AppKey, ObjectRef},
        managed::{Managed, ManagerClass, classify},
        path::FieldPath,
    },
    policy::{self, Policy, State},
    reopen,
    run::Run,
    text,
};

use super::{
    read::{AppSeen, LookOptions, World},
    state::Engine,
    steps::application,
    steps::delete::going,
    steps::sync,
    trouble::Trouble,
};

impl Engine {
    /// Reads the world anew: what everything else is decided on.
    ///
    /// A write that happens while the world is read makes the reading neither before nor after: it is read again.
    pub async fn look(&self) -> Result<(Arc<World>, Arc<Now>), Trouble> {
        self.look_at(false).await
    }

    /// See [`LookOptions::glance`].
    pub(super) async fn look_at(&self, glance: bool) -> Result<(Arc<World>, Arc<Now>), Trouble> {
        // One after the other: an older look must not come out after a newer one.
        let _alone = self.looking.lock().await;
        loop {
            let run = self.run();
            self.looks();
            let mut world = self.read(&run, glance).await;
            self.note_gaps()?;
            let now_run = self.run();
            let written = |run: &Run| (run.op_order.len(), run.open_ops().count());
            if written(&run) != written(&now_run) {
                continue;
            }
            if world.pin.is_none() {
                let first = world.errors.first();
                return Err(Trouble::failed(
                    "read the cluster",
                    first.map_or("it did not answer", |e| e.why.as_str()),
                    first.map_or("", |e| e.hint.as_str()),
                ));
            }
            self.hear();
            self.carry_over(&mut world);
            // Whatever rests on this look rests on the snapshot too.
            self.snapshot_again(&world).await?;
            let now_run = self.run();
            let now = now(&world, &now_run, &self.setting.namespace);
            self.note_unread(&now_run, &now)?;
            let judged = self.adopt(&world, &now, glance).await?;
            self.note_right(&now)?;
            // Whoever decided meanwhile is not shown the board of before.
            let run = self.run();
            let now = match run.decisions == now_run.decisions {
                true => now,
                false => self::now(&world, &run, &self.setting.namespace),
            };
            self.watch_for(&world, &now);
            let (world, now) = (Arc::new(world), Arc::new(now));
            self.stands(judged, &world, &now);
            self.set_seen(Arc::clone(&world), Arc::clone(&now));
            return Ok((world, now));
        }
    }

    async fn read(&self, run: &Run, glance: bool) -> World {
        let scope = (!run.scope.is_empty()).then_some(run.scope.as_slice());
        let first = self.seen().is_none();
        let options = LookOptions {
            pods: true,
            permissions: first || self.unasked(run),
            owners: true,
            predictions: first && scope.is_some() && run.landed.is_empty(),
            report_only: false,
            git_only: false,
            glance,
        };
        self.reader.look(scope, options).await
    }

    /// Whether an Application came into the scope that the permissions were not asked for.
    fn unasked(&self, run: &Run) -> bool {
        self.seen().is_some_and(|(world, _)| {
            run.scope.iter().any(|key| {
                world.applications.contains_key(key)
                    && !world
                        .permissions
                        .iter()
                        .any(|(need, _)| need.applications.contains(key))
            })
        })
    }

    /// Writes down that the walk goes on unfrozen, and when it does not have to any more.
    fn note_right(&self, now: &Now) -> Result<(), Trouble> {
        let run = self.run();
        if run.closed.is_some() || now.may.is_empty() || run.walking().next().is_none() {
            return Ok(());
        }
        let missing = now.lacks_freeze(&run).map(|missing| missing.what.clone());
        if missing.is_some() == run.unfrozen.is_some() {
            return Ok(());
        }
        self.record(Event::FreezeRight { missing }).map(drop)
    }

    /// Permissions are asked for once and carried from look to look; what a sync would do, as long as it is still true.
    fn carry_over(&self, world: &mut World) {
        if let Some((before, _)) = self.seen()
            && world.permissions.is_empty()
        {
            world.permissions.clone_from(&before.permissions);
        }
        self.predictions.put_into(world);
    }
}

/// What one look says, for this incident.
pub fn now(world: &World, run: &Run, _namespace: &str) -> Now {
    let questions = questions(&world.report);
    let mut cells = BTreeMap::new();
    for question in &world.report.questions {
        for cell in &question.cells {
            cells.insert(cell.key(&question.field), cell_now(cell, &question.id));
        }
    }
    for (key, cell) in &mut cells {
        if key.field.is_root()
            && let Some(app) = world.applications.get(&key.application)
        {
            cell.going = app.sides_of(&key.object).1.is_some_and(going);
        }
    }
    for (key, decision) in &run.decisions {
        // That a side was not read does not mean that it is empty.
        let app = world.applications.get(&key.application);
        if !cells.contains_key(key)
            && let Some(app) = app.filter(|app| app.complete)
        {
            let mut cell = quiet_cell(app, key);
            if !cell.upholds(decision) {
                written_by(app, key, &mut cell);
            }
            cells.insert(key.clone(), cell);
        }
    }
    found_and_gone(world, run, &mut cells);
    for (key, cell) in &mut cells {
        if run.ignores(key)
            && let Some(app) = world.applications.get(&key.application)
        {
            cell.ignored_live = ignores(app, &app.object, key);
            cell.ignored_in_git = app
                .declared
                .as_ref()
                .is_some_and(|declared| ignores(app, &declared.object, key));
        }
    }
    for (key, app) in &world.applications {
        sync::note_overwritten(run, key, &app.object, app.live_objects(), &mut cells);
    }
    let mut apps: BTreeMap<AppKey, AppNow> = BTreeMap::new();
    let mut heads = BTreeMap::new();
    for (key, app) in &world.applications {
        if let Some(head) = &app.head {
            heads.insert(app.repo_url.clone(), Commit(head.clone()));
        }
        apps.insert(key.clone(), app_now(app, &world.report));
    }
    let mut now = Now {
        at: world.observed_at,
        cells,
        questions,
        apps,
        heads,
        may: world
            .permissions
            .iter()
            .map(|(need, grant)| Permitted {
                what: text::line(&grant.permission.to_string()),
                allowed: grant.allowed,
                needed_for: text::line(&need.needed_for),
                applications: need.applications.clone(),
            })
            .collect(),
        errors: world
            .errors
            .iter()
            .map(|e| text::line(&format!("{}: {}", e.what, e.why)))
            .collect(),
    };
    reopen::ask_again(run, &mut now);
    now
}

fn questions(report: &DriftReport) -> Vec<QuestionNow> {
    report
        .questions
        .iter()
        .map(|question| QuestionNow {
            id: question.id.clone(),
            group: question.group.clone(),
            kind: question.kind.clone(),
            name: text::line(&question.name),
            field: question.field.to_string(),
            class: question.class.name().to_owned(),
            confidence: question.confidence.name().to_owned(),
            evidence: question.evidence.iter().map(|e| text::line(e)).collect(),
            suggestion: question
                .suggestion
                .as_ref()
                .map(|s| (s.take.clone(), s.rule.clone())),
            decide_with: question.decide_with.clone(),
            cells: question
                .cells
                .iter()
                .map(|cell| cell.key(&question.field))
                .collect(),
        })
        .collect()
}

fn cell_now(cell: &Cell, question: &str) -> CellNow {
    let mut now = CellNow {
        question: Some(question.to_owned()),
        differs: cell.differs,
        sides: cell.sides(),
        writer: "unknown".into(),
        source: cell
            .source
            .as_ref()
            .map(|source| text::line(&format!("{}:{}", source.path, source.line)))
            .unwrap_or_default(),
        ..CellNow::default()
    };
    if let Some(writer) = &cell.writer {
        takes_writer(&mut now, writer);
    }
    now
}

fn takes_writer(cell: &mut CellNow, writer: &Writer) {
    let said = match writer.time {
        Some(time) => format!("{} {}", writer.manager, time.strftime("%-d %b %H:%M")),
        None => writer.manager.clone(),
    };
    cell.writer = text::line(&said);
    cell.written_at = writer.time;
    let class = classify(
        &writer.manager,
        &writer.operation,
        writer.subresource.as_deref(),
    );
    cell.by_hand = class == ManagerClass::Human;
}

/// What was found live and stands nowhere any more, where no difference asks about it, with the copies that it was found with.
fn found_and_gone(world: &World, run: &Run, cells: &mut BTreeMap<CellKey, CellNow>) {
    let of = |key: &CellKey| {
        let object = &key.object;
        (object.kind.clone(), object.name.clone(), key.field.clone())
    };
    let mut quiet = BTreeMap::new();
    for key in run.found.keys().filter(|key| !cells.contains_key(*key)) {
        let app = world.applications.get(&key.application);
        if let Some(app) = app.filter(|app| app.complete) {
            quiet.insert(key, (app, quiet_cell(app, key)));
        }
    }
    let gone: BTreeSet<_> = quiet
        .iter()
        .filter(|(key, (_, cell))| run.lost(key, &cell.sides).is_some())
        .map(|(key, _)| of(key))
        .collect();
    for (key, (app, mut cell)) in quiet {
        if gone.contains(&of(key)) {
            written_by(app, key, &mut cell);
            let found = run.found.get(key);
            if let Some(found) = found.filter(|found| found.sides.git == cell.sides.git) {
                cell.source.clone_from(&found.source);
            }
            cells.insert(key.clone(), cell);
        }
    }
}

/// Who wrote the live value of a cell that the report does not have.
pub(super) fn written_by(app: &AppSeen, key: &CellKey, cell: &mut CellNow) {
    cell.writer = "unknown".into();
    let (_, live) = app.sides_of(&key.object);
    let managed = live.map(Managed::read).unwrap_or_default();
    if let Some(entry) = managed.writer(&key.field) {
        takes_writer(cell, &Writer::from(entry));
    }
}

/// A cell that no question asks about any more, read straight from the two sides.
pub(super) fn quiet_cell(app: &AppSeen, key: &CellKey) -> CellNow {
    let find = |objects: Vec<&Value>| -> Option<Value> {
        let object = objects.into_iter().find(|object| {
            ObjectRef::from_object(object)
                .is_ok_and(|reference| reference.key() == key.object.key())
        })?;
        field_of(object, &key.field)
    };
    let sides = Sides {
        git: find(app.desired.iter().map(|d| d.object.as_ref()).collect()),
        last_synced: app
            .base
            .as_ref()
            .and_then(|base| find(base.iter().map(AsRef::as_ref).collect())),
        live: find(app.live_objects().collect()),
    };
    CellNow {
        question: None,
        differs: sides.git != sides.live,
        sides,
        ..CellNow::default()
    }
}

/// Whether this state of the Application ignores a field and keeps a sync from writing it.
fn ignores(app: &AppSeen, application: &Value, key: &CellKey) -> bool {
    let (git, live) = app.sides_of(&key.object);
    ignore::respects(application)
        && ignore::covering(application, &key.object, [git, live], &key.field).is_some()
}

fn field_of(object: &Value, field: &FieldPath) -> Option<Value> {
    if field.is_root() {
        return Some(Value::from(THERE));
    }
    field.get(object).cloned()
}

/// The parts of an Application that its object alone tells.
pub fn application_now(object: &Value) -> AppNow {
    let text_at = |pointer: &str| {
        text::line(
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default(),
        )
    };
    let found = Policy::of(object);
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|c| {
            c.get("type")
                .and_then(Value::as_str)
                .is_some_and(|t| t.ends_with("Error"))
        })
        .map(|c| text::line(c.get("message").and_then(Value::as_str).unwrap_or_default()))
        .collect();
    let note = object
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(policy::NOTE))
        .and_then(Value::as_str)
        .map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
    AppNow {
        uid: text_at("/metadata/uid"),
        sync: text_at("/status/sync/status"),
        health: text_at("/status/health/status"),
        revision: object
            .pointer("/status/sync/revision")
            .and_then(Value::as_str)
            .map(Commit::from),
        reconciled_at: application::reconciled_at(object),
        auto_sync: found.is_on(),
        sync_policy: found.value().cloned().unwrap_or(Value::Null),
        note,
        operation: application::operation(object),
        conditions,
        ..AppNow::default()
    }
}

fn app_now(app: &AppSeen, report: &DriftReport) -> AppNow {
    let mut now = application_now(&app.object);
    let declared = policy::declared(&app.object, app.declared.as_ref().map(|d| &d.object));
    now.declared = declared.map(|declared| {
        let place = match (&declared.place, &app.declared) {
            (policy::DeclaredIn::Git, Some(at)) => format!("{}:{}", at.file, at.line),
            (policy::DeclaredIn::Git, None) => "Git".to_owned(),
            (policy::DeclaredIn::LastApplied, _) => "last-applied".to_owned(),
        };
        (
            declared.policy.automated().cloned().unwrap_or(Value::Null),
            text::line(&place),
        )
    });
    now.repository.clone_from(&app.repo_url);
    now.branch = text::line(&app.branch);
    now.path = text::line(&app.path);
    now.destination = text::line(&app.destination.namespace);
    now.context.clone_from(&app.destination.context);
    now.owner = text::line(app.owner.as_deref().unwrap_or_default());
    if let Some(entry) = report
        .applications
        .iter()
        .find(|a| a.name == app.key.name && a.namespace == app.key.namespace)
    {
        now.auto_state = match entry.auto_sync.state {
            State::On => "on",
            State::Off => "off",
            State::Absent => "absent",
        }
        .to_owned();
        now.off_not_before = entry.auto_sync.off_not_before;
        now.off_not_after = entry.auto_sync.off_not_after;
        now.evidence = entry
            .auto_sync
            .evidence
            .iter()
            .map(|e| text::line(e))
            .collect();
        now.divergences = entry.divergences.unwrap_or_default();
        now.noise = entry
            .noise
            .iter()
            .map(|n| (n.class.name().to_owned(), n.count, text::line(&n.reason)))
            .collect();
    }
    now.incomplete = !app.complete;
    now.unsupported = super::read::unsupported(&app.object).is_some();
    now.if_synced = app.if_synced.as_ref().map(|(known, _)| known.clone());
    now.if_synced_at = app.if_synced.as_ref().map(|(_, at)| *at);
    now.pods = app
        .pods
        .iter()
        .map(|pod| PodNow {
            name: text::line(&pod.name),
            ready: pod.ready,
            started_at: pod.started_at,
            why: text::line(&pod.why),
        })
        .collect();
    now
}
