//! The composition root: settings become adapters, adapters and a journal become an engine.

use std::{path::Path, sync::Arc};

use tokio::sync::mpsc;
use trueup_core::{
    event::{ClusterPin, Connection, Event, Waits},
    ids::IncidentId,
    object::identity::AppKey,
    plan::Plan,
    sheet::Refusal,
    text,
};

use crate::{
    adapters::{
        clock::{RandomIds, random_key},
        probes::Probes,
    },
    engine::{
        Engine, Ports, Setting, Trouble,
        handle::{Handle, Request, Update},
        keep_listening, keep_looking, spawn,
        steps::lease,
    },
    journal::{self, Boundaries, Holder, Journal, JournalError, Line},
    ports::CommandLog,
    settings::Settings,
    wiring::{Wired, wire_watching},
};

/// Which incident is to be worked on.
pub enum Opening {
    New {
        incident: IncidentId,
        scope: Vec<String>,
        plan: Option<Box<Plan>>,
    },
    Resume {
        incident: IncidentId,
    },
}

/// An engine on an open incident, and what it tells.
pub struct Opened {
    pub engine: Arc<Engine>,
    pub updates: mpsc::UnboundedReceiver<Update>,
    /// What happened before this process, for a front end that shows it.
    pub history: Vec<Line>,
}

/// The incident that this process works on.
static OPENED: std::sync::Mutex<std::sync::Weak<Engine>> =
    std::sync::Mutex::new(std::sync::Weak::new());

/// The engine that [`open`] gave, while it is in use.
pub fn opened() -> Option<Arc<Engine>> {
    OPENED.lock().ok()?.upgrade()
}

/// Who works here, as far as the machine knows.
pub fn operator() -> String {
    let name = ["TRUEUP_OPERATOR", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    text::line(
        &name
            .filter(|n| !n.is_empty())
            .unwrap_or_else(|| "operator".into()),
    )
}

pub fn host() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"));
    text::line(read.unwrap_or_else(|_| "localhost".into()).trim())
}

fn holder() -> Holder {
    Holder {
        pid: std::process::id(),
        host: host(),
        since: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
    }
}

/// The incidents of the state folder that are not closed.
pub fn open_incidents(settings: &Settings) -> Result<Vec<IncidentId>, JournalError> {
    let mut open = Vec::new();
    for incident in journal::list(&settings.state_dir)? {
        let lines = journal::read(&settings.state_dir, &incident)?;
        let closed = lines
            .iter()
            .any(|line| matches!(line.record.event, Event::Closed { .. }));
        if !closed {
            open.push(incident);
        }
    }
    Ok(open)
}

/// The incident meant: the one named, or the only open one.
pub fn which(settings: &Settings, named: Option<&str>) -> Result<IncidentId, Trouble> {
    if let Some(name) = named.or(settings.incident.as_deref()) {
        return name.parse().map_err(|error| {
            Trouble::failed("find the incident", error, "`trueup incidents` lists them")
        });
    }
    let open = open_incidents(settings)?;
    match open.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Trouble::failed(
            "find an incident",
            format!("none is open in {}", settings.state_dir.display()),
            "begin one with `trueup start --incident ID APP…`, or name the folder with --state-dir",
        )),
        many => Err(Trouble::failed(
            "tell which incident is meant",
            format!(
                "{} are open: {}",
                many.len(),
                many.iter()
                    .map(|i| i.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            "name one with --incident",
        )),
    }
}

/// Opens an incident or takes one up again.
pub async fn open(
    settings: &Settings,
    opening: Opening,
    boundaries: Arc<dyn Boundaries>,
) -> Result<Opened, Trouble> {
    let (sender, updates) = mpsc::unbounded_channel();
    let (engine, history) = match opening {
        Opening::New {
            incident,
            scope,
            plan,
        } => (
            begin(settings, incident, scope, plan, boundaries, sender).await?,
            Vec::new(),
        ),
        Opening::Resume { incident } => resume(settings, &incident, boundaries, sender).await?,
    };
    let engine = Arc::new(engine);
    if let Ok(mut opened) = OPENED.lock() {
        *opened = Arc::downgrade(&engine);
    }
    tokio::spawn(lease::keep(Arc::downgrade(&engine)));
    tokio::spawn(keep_looking(Arc::downgrade(&engine)));
    tokio::spawn(keep_listening(Arc::downgrade(&engine)));
    Ok(Opened {
        engine,
        updates,
        history,
    })
}

async fn begin(
    settings: &Settings,
    incident: IncidentId,
    scope: Vec<String>,
    plan: Option<Box<Plan>>,
    boundaries: Arc<dyn Boundaries>,
    sender: mpsc::UnboundedSender<Update>,
) -> Result<Engine, Trouble> {
    if journal::list(&settings.state_dir)?.contains(&incident) {
        return Err(JournalError::Exists(incident.to_string(), settings.state_dir.clone()).into());
    }
    let key = random_key();
    let (wired, pin) = reach(settings, key, &sender).await?;
    let scope: Vec<AppKey> = scope
        .iter()
        .map(|name| wired.reader.app_key(name))
        .collect();
    // Nothing is opened for a name that nothing has.
    wired.reader.must_exist(&scope).await?;
    let journal = Journal::create(&settings.state_dir, &incident, &holder(), boundaries)?;
    keep_key(journal.dir(), &key)?;
    let engine = build(settings, wired, journal, &[], sender).await?;
    let kubeconfig = settings
        .kubeconfig
        .clone()
        .or_else(|| std::env::var_os("KUBECONFIG").map(Into::into));
    engine.record(Event::IncidentOpened {
        incident,
        operator: operator(),
        host: host(),
        scope,
        connection: Connection {
            kubeconfig: kubeconfig.map(|path| {
                std::path::absolute(&path)
                    .unwrap_or(path)
                    .display()
                    .to_string()
            }),
            context: Some(pin.context.clone()),
            namespace: settings.namespace.clone(),
            prometheus: settings.prometheus.clone(),
            repositories: settings.repos.clone(),
        },
        pin,
        waits: settings.waits.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        plan,
    })?;
    note_shortened(&engine)?;
    Ok(engine)
}

async fn resume(
    settings: &Settings,
    incident: &IncidentId,
    boundaries: Arc<dyn Boundaries>,
    sender: mpsc::UnboundedSender<Update>,
) -> Result<(Engine, Vec<Line>), Trouble> {
    let (journal, lines, recovery) =
        Journal::open(&settings.state_dir, incident, &holder(), boundaries)?;
    let run = trueup_core::run::Run::fold(lines.iter().map(|line| &line.record));
    if run.incident.is_none() {
        return Err(Trouble::failed(
            format!("resume {incident}"),
            "its journal ends before the incident was opened; nothing had been done",
            format!("begin again after removing {}", journal.dir().display()),
        ));
    }
    let settings = reconnect(settings, &run.connection);
    let key = read_key(journal.dir());
    let (wired, pin) = reach(&settings, key, &sender).await?;
    check_pin(&run.pin, &pin)?;
    let engine = build(&settings, wired, journal, &lines, sender).await?;
    engine.record(Event::Resumed {
        operator: operator(),
        host: host(),
        version: env!("CARGO_PKG_VERSION").into(),
        recovered: recovery
            .torn
            .map(|(bytes, path)| {
                format!(
                    "{bytes} bytes of a torn record were set aside in {}",
                    path.display()
                )
            })
            .unwrap_or_default(),
    })?;
    note_shortened(&engine)?;
    Ok((engine, lines))
}

/// That the settings name other waits than those of an incident that is gone on with: these were said when it was opened.
pub fn other_waits(settings: &Settings, run: &trueup_core::run::Run) -> Option<String> {
    (settings.names_waits && settings.waits != run.waits).then(|| {
        format!(
            "the waits of {} stay as they were when it was opened: the settings name other ones, which are for the next incident",
            run.id()
        )
    })
}

/// The connection of the journal, where the command line says nothing else.
pub fn reconnect(settings: &Settings, connection: &Connection) -> Settings {
    let mut settings = settings.clone();
    settings.kubeconfig = settings
        .kubeconfig
        .or_else(|| connection.kubeconfig.as_ref().map(Into::into));
    settings.context = settings.context.or_else(|| connection.context.clone());
    settings.prometheus = settings
        .prometheus
        .or_else(|| connection.prometheus.clone());
    settings.namespace.clone_from(&connection.namespace);
    for (argo, url) in &connection.repositories {
        settings
            .repos
            .entry(argo.clone())
            .or_insert_with(|| url.clone());
    }
    settings
}

/// Whether this is the cluster that the incident was opened on.
pub fn check_pin(pinned: &ClusterPin, now: &ClusterPin) -> Result<(), Trouble> {
    let differs = [
        ("server", &pinned.server, &now.server),
        ("certificate authority", &pinned.ca_digest, &now.ca_digest),
        ("uid", &pinned.uid, &now.uid),
    ]
    .into_iter()
    .find(|(_, was, is)| was != is);
    match differs {
        None => Ok(()),
        Some((what, was, is)) => Err(Refusal::new(
            2,
            text::line(&format!(
                "this is not the cluster of the incident: its {what} was {was} and is {is}"
            )),
            "point --kubeconfig and --context at the cluster that the incident was opened on",
        )
        .into()),
    }
}

async fn reach(
    settings: &Settings,
    key: [u8; 32],
    sender: &mpsc::UnboundedSender<Update>,
) -> Result<(Wired, ClusterPin), Trouble> {
    let wired = wire_watching(settings, key, command_log(sender)).await?;
    let pin = as_pinned(wired.hub.pin().await?);
    Ok((wired, pin))
}

/// A cluster's identity as the journal keeps it.
pub fn as_pinned(pin: crate::ports::ClusterPin) -> ClusterPin {
    ClusterPin {
        context: pin.context,
        server: pin.server,
        ca_digest: pin.ca_digest,
        uid: pin.kube_system_uid.unwrap_or_default(),
        version: pin.version,
    }
}

fn command_log(sender: &mpsc::UnboundedSender<Update>) -> CommandLog {
    let sender = sender.clone();
    Arc::new(move |line: crate::ports::CommandLine| {
        let _ = sender.send(Update::Logged {
            at: line.at,
            line: trueup_core::event::CommandLine {
                by_hand: text::line(&line.equivalent),
                result: text::line(&line.outcome),
                millis: u64::try_from(line.took.as_millis()).unwrap_or(u64::MAX),
            },
        });
    })
}

async fn build(
    settings: &Settings,
    wired: Wired,
    journal: Journal,
    lines: &[Line],
    sender: mpsc::UnboundedSender<Update>,
) -> Result<Engine, Trouble> {
    let probes = Probes::new(settings.prometheus.as_deref(), command_log(&sender))
        .map_err(|why| Trouble::failed("prepare the gates", why, "see --prometheus"))?;
    let non_production = !settings.is_production(wired.hub.context());
    let ports = Ports {
        cluster: wired.hub,
        repos: wired.repos,
        probe: Arc::new(probes),
        clock: wired.clock,
        ids: Arc::new(RandomIds),
    };
    let setting = Setting {
        operator: operator(),
        host: host(),
        folder: folder(&settings.state_dir),
        namespace: settings.namespace.clone(),
        non_production,
        author: settings.author.clone(),
    };
    Ok(Engine::new(
        ports,
        wired.reader,
        wired.mirrors,
        setting,
        journal,
        lines,
        sender,
    ))
}

/// Says once which waits are shorter than usual, on resume where a crash came in between.
fn note_shortened(engine: &Engine) -> Result<(), Trouble> {
    let (run, usual) = (engine.run(), Waits::default());
    let waits = &run.waits;
    for (name, from, to) in [
        ("freeze hold", usual.freeze_hold, waits.freeze_hold),
        ("thaw hold", usual.thaw_hold, waits.thaw_hold),
        (
            "last look at a live action",
            usual.act_reread_last,
            waits.act_reread_last,
        ),
    ] {
        if to < from && !run.shortened.iter().any(|(said, _, _)| said == name) {
            engine.record(Event::WaitShortened {
                wait: name.into(),
                from: from.to_string(),
                to: to.to_string(),
            })?;
        }
    }
    Ok(())
}

/// The key of secret digests is kept apart from the journal, which may be handed on.
fn keep_key(dir: &Path, key: &[u8; 32]) -> Result<(), Trouble> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let path = dir.join("secret.key");
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(key).and_then(|()| file.sync_all()))
        .map_err(|error| {
            Trouble::failed(
                format!("write {}", path.display()),
                error,
                "choose another --state-dir",
            )
        })
}

/// The key of an incident's secret digests, for a look that is compared with its journal.
pub fn key_of(settings: &Settings, incident: &IncidentId) -> [u8; 32] {
    read_key(&journal::folder(&settings.state_dir, incident))
}

/// Without its key digests come out anew, which opens decisions on secrets again and shows no value.
fn read_key(dir: &Path) -> [u8; 32] {
    std::fs::read(dir.join("secret.key"))
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .unwrap_or_else(random_key)
}

/// Starts the engine's task and gives the handle that a front end holds.
pub fn front(opened: Opened) -> Handle {
    let (requests, from_front) = mpsc::channel::<Request>(64);
    let (to_front, updates) = mpsc::channel(256);
    let mut published = opened.updates;
    let run = opened.engine.run();
    let history = opened.history;
    spawn(opened.engine, from_front);
    tokio::spawn(async move {
        for line in history {
            // Requests and samples are of no use to a screen that comes later: the state holds what they led to.
            let passing = matches!(
                line.record.event,
                Event::CommandRan { .. } | Event::GateSampled { .. } | Event::FreezeSampled { .. }
            );
            let told = Update::Journaled {
                record: Arc::new(line.record),
                run: Arc::clone(&run),
            };
            if !passing && to_front.send(told).await.is_err() {
                return;
            }
        }
        while let Some(update) = published.recv().await {
            if to_front.send(update).await.is_err() {
                break;
            }
        }
    });
    Handle { requests, updates }
}

/// A short name of a state folder, the same for every process that works in it.
fn folder(state_dir: &Path) -> String {
    let whole = std::fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    let digest = <sha2::Sha256 as sha2::Digest>::digest(whole.as_os_str().as_encoded_bytes());
    format!("{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2])
}
