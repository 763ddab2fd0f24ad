//! The screen at each point of a whole incident: what the tests draw.

use super::{model::Model, msg::Msg, theme::Theme, update::update};
use crate::engine::handle::Update;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use trueup_core::{
    decision::{CellKey, Sides},
    event::{Changed, Event, Prediction, Record},
    now::{AppNow, CellNow, Now, Permitted, PodNow, QuestionNow},
    object::identity::ObjectRef,
    run::Run,
    transcript::sample,
    workflow,
};

const FIELDS: [&str; 2] = [".data.JWT_ALGORITHM", ".data.JWT_PUBLIC_KEY_ID"];
const GIT: [&str; 2] = ["HS256", "key-2024-09"];
const WANTED: [&str; 2] = ["RS256", "key-2024-11-rot"];

/// How far the incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The cluster was read; no target is chosen.
    Scope,
    /// Armed; nothing is frozen.
    Freeze,
    /// Frozen and observed once.
    Holding,
    Snapshot,
    /// Nothing is decided.
    Decide,
    /// The commit is proven.
    Commit,
    /// The first sync is predicted.
    Canary,
    /// The gate after the last sync turns green.
    Gate,
    /// A person is to look.
    Attest,
    /// Gates are green, nothing thawed.
    Thaw,
    /// All thawed.
    Close,
}

impl Point {
    pub const ALL: [Self; 11] = [
        Self::Scope,
        Self::Freeze,
        Self::Holding,
        Self::Snapshot,
        Self::Decide,
        Self::Commit,
        Self::Canary,
        Self::Gate,
        Self::Attest,
        Self::Thaw,
        Self::Close,
    ];

    /// Whether the incident is there when this record is the last one.
    fn ends_with(self, records: &[Record]) -> bool {
        let Some(last) = records.last() else {
            return false;
        };
        let first = |wanted: fn(&Event) -> bool| {
            wanted(&last.event) && records.iter().filter(|r| wanted(&r.event)).count() == 1
        };
        match self {
            Self::Scope => first(|e| matches!(e, Event::SnapshotTaken { .. })),
            Self::Freeze => first(|e| matches!(e, Event::Armed { .. })),
            Self::Holding => {
                records
                    .iter()
                    .filter(|r| matches!(r.event, Event::FreezeSampled { .. }))
                    .count()
                    == 3
            }
            Self::Snapshot => {
                records
                    .iter()
                    .filter(|r| matches!(r.event, Event::FreezeProven { .. }))
                    .count()
                    == 3
            }
            Self::Decide => {
                records
                    .iter()
                    .filter(|r| matches!(r.event, Event::SnapshotTaken { .. }))
                    .count()
                    == 2
            }
            Self::Commit => first(|e| matches!(e, Event::Proposed { .. })),
            Self::Canary => first(|e| matches!(e, Event::Predicted { .. })),
            Self::Gate => {
                let green = |r: &&Record| {
                    matches!(&r.event, Event::GateSampled { gate, sample, .. }
                        if gate == "no-401" && sample.value == Some(0.0))
                };
                records.iter().filter(green).count() == 8
            }
            Self::Attest => {
                first(|e| matches!(e, Event::GatePassed { gate, .. } if gate == "no-401"))
            }
            Self::Thaw => first(|e| matches!(e, Event::Attested { .. })),
            Self::Close => {
                let rounds = |r: &&Record| matches!(&r.event, Event::ThawWatched { round: 2, .. });
                records.iter().filter(rounds).count() == 3
            }
        }
    }

    /// The records up to here.
    pub fn records(self) -> Vec<Record> {
        let all = sample::records();
        let end = (1..=all.len())
            .find(|end| self.ends_with(&all[..*end]))
            .expect("the sample incident passes every point");
        let mut records = all[..end].to_vec();
        if self == Self::Scope {
            // The gates were tried before the targets are chosen.
            records.extend(
                all.into_iter()
                    .filter(|r| matches!(r.event, Event::BaselineTaken { .. })),
            );
        }
        records
    }
}

fn object(name: &str) -> ObjectRef {
    ObjectRef {
        group: String::new(),
        version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: Some(name.into()),
        name: "auth-config".into(),
    }
}

/// A cell of the incident.
pub fn cell(name: &str, field: usize) -> CellKey {
    CellKey {
        application: sample::app(name),
        object: object(name),
        field: FIELDS[field].parse().expect("a path of the sample"),
    }
}

fn live(name: &str) -> [&'static str; 2] {
    match name {
        "auth" => WANTED,
        "like" => ["RS256", "key-2024-09"],
        _ => GIT,
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time of the sample")
}

/// What one look shows at this point.
pub fn now(point: Point, run: &Run) -> Now {
    let at = run.last.map_or(Timestamp::UNIX_EPOCH, |(_, at)| at);
    let landed = !run.landed.is_empty();
    let synced = |name: &str| {
        run.apps
            .get(&sample::app(name))
            .is_some_and(|app| matches!(app.sync, trueup_core::run::Sync::Verified { .. }))
    };
    let mut cells = BTreeMap::new();
    for name in sample::APPS {
        for n in 0..2 {
            let is = if synced(name) { WANTED } else { live(name) };
            let git = if landed { WANTED } else { GIT };
            let by_hand = live(name)[n] != GIT[n];
            cells.insert(
                cell(name, n),
                CellNow {
                    question: (!landed).then(|| format!("q{n}")),
                    differs: is[n] != git[n],
                    sides: Sides {
                        git: Some(json!(git[n])),
                        last_synced: Some(json!(GIT[n])),
                        live: Some(json!(is[n])),
                    },
                    writer: if by_hand {
                        "kubectl-edit 7 d ago".into()
                    } else {
                        "argocd 8 d ago".into()
                    },
                    written_at: Some(time(match name {
                        "auth" => "2026-11-14T09:14:00Z",
                        "like" => "2026-11-14T09:12:00Z",
                        _ => "2026-11-13T08:00:00Z",
                    })),
                    by_hand,
                    source: format!("deploy/{name}/auth-config.yaml:{}", 12 + n),
                    ..CellNow::default()
                },
            );
        }
    }
    let questions = if landed {
        Vec::new()
    } else {
        (0..2).map(question).collect()
    };
    let mut apps: BTreeMap<_, _> = sample::APPS
        .into_iter()
        .map(|name| (sample::app(name), app(name, point, run, at)))
        .collect();
    apps.insert(
        trueup_core::object::identity::AppKey::new("argocd", "billing"),
        AppNow {
            sync: "Synced".into(),
            health: "Healthy".into(),
            auto_sync: true,
            auto_state: "on".into(),
            sync_policy: json!({"automated": {"prune": true}}),
            ..AppNow::default()
        },
    );
    Now {
        at,
        cells,
        questions,
        apps,
        heads: BTreeMap::from([(
            REPOSITORY.into(),
            run.landed.values().next().map_or_else(
                || "1111111111111111111111111111111111111111".into(),
                |l| l.revision.clone(),
            ),
        )]),
        may: vec![
            may("read all of it", Some(true), ""),
            may(
                "patch applications.argoproj.io in argocd",
                Some(true),
                "freeze, sync, thaw",
            ),
            may(
                "patch deployments in profile",
                Some(false),
                "restarts in profile",
            ),
            may(
                "list validatingwebhookconfigurations",
                None,
                "naming who refuses a dry run",
            ),
        ],
        errors: Vec::new(),
    }
}

const REPOSITORY: &str = "http://127.0.0.1:3000/platform.git";

fn may(what: &str, allowed: Option<bool>, needed_for: &str) -> Permitted {
    Permitted {
        what: what.into(),
        allowed,
        needed_for: needed_for.into(),
        applications: Vec::new(),
    }
}

fn question(n: usize) -> QuestionNow {
    QuestionNow {
        id: format!("q{n}"),
        group: Some("auth-config".into()),
        kind: "ConfigMap".into(),
        name: "auth-config".into(),
        field: FIELDS[n].into(),
        class: "hotfix".into(),
        confidence: "ask".into(),
        evidence: vec![
            "live was changed after the last sync, Git was not".into(),
            "the copies disagree: auth, like, profile".into(),
        ],
        suggestion: None,
        decide_with: vec![format!("q{}", 1 - n)],
        cells: sample::APPS.iter().map(|name| cell(name, n)).collect(),
    }
}

fn app(name: &str, point: Point, run: &Run, at: Timestamp) -> AppNow {
    let thawed = run
        .apps
        .get(&sample::app(name))
        .is_some_and(|app| app.freeze == trueup_core::run::Freeze::Thawed);
    let policy = json!({"automated": {"prune": true, "selfHeal": true}});
    let landed = !run.landed.is_empty();
    let changes: Vec<Changed> = (0..2)
        .filter(|n| !landed && live(name)[*n] != GIT[*n])
        .map(|n| Changed {
            object: object(name),
            field: FIELDS[n].parse().expect("a path of the sample"),
            from: Some(json!(live(name)[n])),
            to: Some(json!(GIT[n])),
        })
        .collect();
    AppNow {
        uid: format!("uid-{name}"),
        sync: if changes.is_empty() {
            "Synced"
        } else {
            "OutOfSync"
        }
        .into(),
        health: "Healthy".into(),
        revision: None,
        reconciled_at: Some(at - jiff::SignedDuration::from_secs(41)),
        sync_policy: if thawed { policy.clone() } else { Value::Null },
        auto_sync: thawed,
        auto_state: if thawed { "on" } else { "off" }.into(),
        off_not_before: Some(time("2026-11-13T08:00:00Z")),
        off_not_after: Some(time("2026-11-14T09:12:00Z")),
        evidence: vec![
            "between 13 Nov (last automated sync) and 14 Nov (kubectl-edit set its note)".into(),
        ],
        divergences: changes.len(),
        noise: vec![(
            "server-default".into(),
            14,
            "filled in by the API server".into(),
        )],
        declared: Some((
            json!({"prune": true, "selfHeal": true}),
            "argocd/applications.yaml".into(),
        )),
        note: run
            .apps
            .get(&sample::app(name))
            .is_some_and(|app| app.freeze.is_set())
            .then(|| json!({"incident": run.id(), "op": format!("freeze-{name}")})),
        operation: None,
        conditions: Vec::new(),
        repository: REPOSITORY.into(),
        branch: "main".into(),
        path: format!("deploy/{name}"),
        destination: format!("https://kubernetes.default.svc {name}"),
        context: None,
        owner: String::new(),
        if_synced_at: Some(at),
        if_synced: (point != Point::Close || thawed).then(|| Prediction {
            changes,
            bookkeeping: vec!["resourceVersion".into()],
            ..Prediction::default()
        }),
        pods: (1..=3)
            .map(|n| PodNow {
                name: format!("{name}-6d5f-{n}"),
                ready: true,
                started_at: Some(time("2026-11-02T10:00:00Z")),
                why: "runs with the live values".into(),
            })
            .collect(),
        incomplete: false,
        unsupported: false,
    }
}

/// The model at this point, fed as the engine would feed it.
pub fn model(point: Point, size: (u16, u16)) -> Model {
    let records = point.records();
    let start = records.first().map_or(Timestamp::UNIX_EPOCH, |r| r.time);
    let mut model = Model::new(Theme::default(), size, start);
    let mut run = Run::default();
    for record in records {
        run.apply(&record);
        tell(
            &mut model,
            Update::Journaled {
                record: Arc::new(record),
                run: Arc::new(run.clone()),
            },
        );
    }
    look(&mut model, point);
    let later = run.last.map_or(start, |(_, at)| at) + jiff::SignedDuration::from_secs(11);
    update(&mut model, Msg::Tick(later));
    tell(&mut model, Update::Freshness(Duration::from_secs(1)));
    model.toasts.clear();
    model
}

/// Lets the model see the world as it is at this point.
pub fn look(model: &mut Model, point: Point) {
    let run = model.world.run.clone();
    let now = now(point, &run);
    let next = workflow::next(&run, &now);
    tell(model, Update::Seen(Arc::new(now)));
    model.stage = next.stage();
    tell(model, Update::Next(Box::new(next)));
}

/// One update of the engine.
pub fn tell(model: &mut Model, said: Update) {
    update(model, Msg::Engine(said));
}
