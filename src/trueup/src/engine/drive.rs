//! The driver: requests in, the next thing done, one at a time; what only observes goes on by itself.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use trueup_core::{
    event::Event,
    sheet::{Command, Sheet},
    text,
    workflow::{self, Next},
};

use super::{
    foreign,
    handle::{Held, Request, Update, Waiting},
    predicting::keep_predicting,
    state::Engine,
    trouble::Trouble,
};
use crate::ports::{GitError, Head};

/// How long to wait for a look that goes on by itself before one is asked for here, and its failure said.
const OVERDUE: Duration = Duration::from_secs(8);
/// How many heads are taken one after the other: who pushes faster than that is not kept up with.
const HEADS: usize = 20;
/// After a step failed, how long until it is tried again by itself.
const BACK_OFF: Duration = Duration::from_secs(5);

impl Engine {
    /// What comes next, as things stand.
    pub async fn next(&self) -> Result<Next, Trouble> {
        let (_, now) = self.seen_or_look().await?;
        Ok(workflow::next(&self.run(), &now))
    }

    /// Writes down that the operator would not wait.
    fn given_up(&self, wait: &str) -> Result<(), Trouble> {
        self.record(Event::WaitGivenUp {
            wait: text::line(wait),
            by: self.setting.operator.clone(),
        })?;
        Ok(())
    }

    /// Does a next thing that only observes.
    pub async fn observe(&self, next: &Next) -> Result<(), Trouble> {
        match next {
            Next::LookUp { ops } => {
                self.look_up(ops).await?;
                self.look().await.map(|_| ())
            }
            // A look takes it again by itself.
            Next::Snapshot if self.run().snapshots > 1 => self.look().await.map(|_| ()),
            Next::SnapshotZero | Next::Snapshot => self.snapshot().await,
            Next::TryGate { gate } => self.take_baseline(gate).await,
            Next::ProveFreeze { applications } => self.prove_freeze(applications).await,
            Next::Propose => self.propose().await,
            Next::AwaitMerge { repository, .. } => {
                self.while_next(next, self.await_merge(repository)).await
            }
            Next::TakeHead {
                repository,
                revision,
            } => {
                // Not from what an earlier look said: a repository that cannot be read now is no agreement.
                let (_, now) = self.look().await?;
                if workflow::next(&self.run(), &now) != *next {
                    return Ok(());
                }
                let branch = self.tracked_branch(repository);
                let how = self.how_landed(repository, &branch, revision).await?;
                let others = self.others(repository, revision, None).await;
                let same = match self.seen() {
                    Some((world, _)) => {
                        let repos = &*self.ports.repos;
                        foreign::as_synced(repos, &self.run(), &world, repository, revision).await
                    }
                    None => Vec::new(),
                };
                self.landed(repository, &branch, revision, &how, others, same)
            }
            Next::Predict {
                application,
                revision,
            } => self.predict(application, revision).await,
            Next::AwaitOperation { application, op } => self.await_operation(application, op).await,
            Next::VerifySync { application, op } => self.verify_sync(application, op).await,
            Next::AwaitGone {
                application,
                object,
            } => self.await_gone(application, object).await,
            Next::Gate { application, gate } => {
                self.while_next(next, self.gate_step(application, gate))
                    .await
            }
            Next::WatchThaw { application } => self.watch_thaw(application).await,
            _ => Ok(()),
        }
    }

    /// Takes what others brought to Git meanwhile, where that is what comes next.
    pub async fn take_heads(&self) -> Result<(), Trouble> {
        for _ in 0..HEADS {
            let next = self.next().await?;
            let Next::TakeHead { .. } = next else {
                break;
            };
            self.observe(&next).await?;
        }
        Ok(())
    }

    /// Where a branch stands on the remote.
    pub async fn branch_on(&self, repository: &str, branch: &str) -> Result<Head, GitError> {
        let repository = self.ports.repos.open(repository).await?;
        repository.head(branch).await
    }

    fn tracked_branch(&self, repository: &str) -> String {
        let seen = self.seen();
        let branch = seen
            .iter()
            .flat_map(|(world, _)| world.applications.values())
            .find(|app| app.repo_url == repository);
        branch.map_or_else(|| "HEAD".to_owned(), |app| app.branch.clone())
    }

    fn trouble(&self, what: &str, trouble: &Trouble) {
        match trouble {
            Trouble::Refused(refusal) => self.tell(Update::Refused(refusal.clone())),
            other => self.tell(Update::Failed {
                what: what.to_owned(),
                why: trueup_core::text::line(&other.to_string()),
                hint: other.hint(),
            }),
        }
    }
}

/// Starts the engine's task for a front end. It ends with [`Update::Stopped`].
pub fn spawn(
    engine: Arc<Engine>,
    requests: mpsc::Receiver<Request>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(tell_age(Arc::downgrade(&engine)));
    engine.keep_a_lookout();
    tokio::spawn(keep_rereading(Arc::downgrade(&engine)));
    tokio::spawn(keep_predicting(Arc::downgrade(&engine)));
    tokio::spawn(
        Driver {
            engine,
            requests,
            sheet: None,
            held: Held::No,
        }
        .run(),
    )
}

/// Reads live actions again when their time comes; decisions, cancelling and everything else goes on meanwhile.
async fn keep_rereading(engine: std::sync::Weak<Engine>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    let mut told = false;
    loop {
        every.tick().await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let run = engine.run();
        let owed = run.rereads_owed();
        match owed.first() {
            Some((_, after, due)) if run.closed.is_none() => {
                engine.tell(Update::Waiting(Some(Waiting {
                    what: "re-read of the live action".into(),
                    since: *due - after.0,
                    limit: after.0,
                    cancellable: false,
                })));
                told = true;
                // What fails here is tried again, and shows as the age of the data.
                let _ = engine.reread_due().await;
            }
            _ if told => {
                engine.tell(Update::Waiting(None));
                told = false;
            }
            _ => {}
        }
    }
}

/// Tells every second how old the newest answer is, whatever else goes on.
async fn tell_age(engine: std::sync::Weak<Engine>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine.tell(Update::Freshness(engine.age()));
    }
}

struct Driver {
    engine: Arc<Engine>,
    requests: mpsc::Receiver<Request>,
    sheet: Option<Sheet>,
    held: Held,
}

/// What the driver was woken by.
enum Woken {
    Request(Option<Request>),
    Observed(Result<(), Trouble>, String),
    Idle,
}

impl Driver {
    async fn run(mut self) {
        if let Err(trouble) = self.engine.look().await {
            self.engine.trouble("read the cluster", &trouble);
        }
        let engine = Arc::clone(&self.engine);
        loop {
            let next = self.tell_next();
            let at_it = self.held == Held::No && next.as_ref().is_some_and(Next::observes);
            let observing = observe(&engine, next, self.held);
            tokio::pin!(observing);
            let woken = loop {
                tokio::select! {
                    biased;
                    request = self.requests.recv() => match request {
                        // It is being done: asking for it again must not begin it anew.
                        Some(Request::Go) if at_it => engine.tell(Update::Answered),
                        request => break Woken::Request(request),
                    },
                    woken = &mut observing => break woken,
                }
            };
            match woken {
                Woken::Request(None | Some(Request::Quit)) => break,
                Woken::Request(Some(request)) => self.take(request).await,
                Woken::Observed(Ok(()), _) | Woken::Idle => {}
                Woken::Observed(Err(trouble), what) => {
                    engine.trouble(&what, &trouble);
                    if matches!(trouble, Trouble::Refused(_) | Trouble::TimedOut { .. }) {
                        self.hold(Held::Failed);
                    }
                    // What stood in the way may be what comes next: somebody opened a decision again.
                    self.tell_next();
                    // A failure that repeats must not spin.
                    let pause = tokio::time::sleep(BACK_OFF);
                    tokio::select! {
                        request = self.requests.recv() => match request {
                            None | Some(Request::Quit) => break,
                            Some(request) => self.take(request).await,
                        },
                        () = pause => {}
                    }
                }
            }
        }
        self.engine.leave().await;
        self.engine.tell(Update::Stopped);
    }

    fn hold(&mut self, held: Held) {
        if self.held != held {
            self.held = held;
            self.engine.tell(Update::Held(held));
        }
    }

    fn tell_next(&self) -> Option<Next> {
        let (_, now) = self.engine.seen()?;
        let next = workflow::next(&self.engine.run(), &now);
        self.engine.tell(Update::Next(Box::new(next.clone())));
        Some(next)
    }

    async fn take(&mut self, request: Request) {
        let engine = Arc::clone(&self.engine);
        let tried = self.what_is_asked(&request);
        let writes = engine.run().op_order.len();
        let outcome = match request {
            Request::Ask(Command::CancelWait) => {
                let given_up = self.held != Held::GivenUp;
                engine.tell(Update::Waiting(None));
                let next = self.tell_next().filter(Next::observes);
                // A gate that is given up stands still with its choices; everything else goes on when it is asked to.
                let gate = matches!(next, Some(Next::Gate { .. }));
                self.hold(if gate { Held::No } else { Held::GivenUp });
                match next {
                    Some(Next::Gate { application, gate }) => {
                        engine.give_up_gate(&application, &gate)
                    }
                    Some(next) if given_up => engine.given_up(&what(&next)),
                    _ => Ok(()),
                }
            }
            Request::Ask(command) if command.writes() => self.show(&command).await,
            Request::Ask(command) => {
                self.hold(Held::No);
                self.said(&command).await
            }
            Request::Confirm { sheet, typed } => match self.sheet.take() {
                Some(shown) if shown.id == sheet => {
                    self.hold(Held::No);
                    engine.confirmed(&shown, &typed).await
                }
                _ => Ok(()),
            },
            Request::Dismiss => {
                self.sheet = None;
                Ok(())
            }
            Request::Go => self.go().await,
            Request::Reveal(cells) => engine.reveal(&cells).await,
            Request::Quit => Ok(()),
        };
        if let Err(trouble) = outcome {
            let untouched = engine.run().op_order.len() == writes;
            let tried = match untouched {
                true => format!("{tried} (nothing of it was written)"),
                false => tried,
            };
            engine.trouble(&tried, &trouble);
        }
        self.tell_next();
        engine.tell(Update::Answered);
    }

    /// A request, for the sentence that says why it failed.
    fn what_is_asked(&self, request: &Request) -> String {
        let of = |command: &Command| match command {
            Command::Look => "look again".to_owned(),
            Command::Freeze { .. } => "the sheet of the freeze".into(),
            Command::Push => "the sheet of the push".into(),
            Command::Sync { application } => {
                format!("the sheet of the sync of {}", application.name)
            }
            Command::Ignore { application } => {
                format!("the sheet of what {} ignores", application.name)
            }
            Command::Thaw { .. } | Command::Restore { .. } => "the sheet of the thaw".into(),
            Command::TakeOver { from, .. } => format!("the sheet of taking over from {from}"),
            Command::Act { object, .. } => format!("the sheet of the action on {object}"),
            Command::Delete { object, .. } => format!("the sheet of the deletion of {object}"),
            Command::Arm { .. } => "arm".into(),
            Command::Close => "close the incident".into(),
            Command::Export { .. } => "write the export".into(),
            _ => "write that down".into(),
        };
        text::line(&match request {
            Request::Ask(command) => of(command),
            Request::Confirm { .. } => match &self.sheet {
                Some(sheet) => sheet.title.clone(),
                None => "what was confirmed".into(),
            },
            Request::Go => "the next step".into(),
            Request::Reveal(_) => "reveal the value".into(),
            Request::Dismiss | Request::Quit => "leave".into(),
        })
    }

    async fn said(&self, command: &Command) -> Result<(), Trouble> {
        // A close looks for itself, and writes down that it was refused.
        if *command != Command::Close {
            let (_, now) = self.engine.seen_or_look().await?;
            trueup_core::rules::check(&self.engine.run(), &now, command)?;
        }
        if let Command::Export { format } = command {
            let path = self.engine.export(format)?;
            self.engine.tell(Update::Exported { path });
            return Ok(());
        }
        self.engine.say(command).await
    }

    async fn show(&mut self, command: &Command) -> Result<(), Trouble> {
        let sheet = self.engine.sheet(command).await?;
        self.sheet = Some(sheet.clone());
        self.engine.tell(Update::Sheet(Box::new(sheet)));
        Ok(())
    }

    /// The next thing: goes on observing, or answers with its sheet.
    async fn go(&mut self) -> Result<(), Trouble> {
        self.hold(Held::No);
        let Some(command) = self.engine.next().await?.command() else {
            return Ok(());
        };
        self.show(&command).await
    }
}

/// Observes what comes next, if it only observes; otherwise waits for the next look.
async fn observe(engine: &Arc<Engine>, next: Option<Next>, held: Held) -> Woken {
    match next {
        Some(next) if next.observes() && held == Held::No => {
            let outcome = engine.observe(&next).await;
            Woken::Observed(outcome, what(&next))
        }
        _ => {
            // Looks go on by themselves; each may bring another next thing.
            let mut looks = engine.looks_done();
            if let Ok(Ok(())) = tokio::time::timeout(OVERDUE, looks.changed()).await {
                return Woken::Idle;
            }
            match engine.look().await {
                Ok(_) => Woken::Idle,
                Err(trouble) => Woken::Observed(Err(trouble), "read the cluster".into()),
            }
        }
    }
}

/// A next thing, for a sentence that begins with "cannot".
fn what(next: &Next) -> String {
    match next {
        Next::LookUp { .. } => "look up what was in flight".into(),
        Next::SnapshotZero | Next::Snapshot => "take a snapshot".into(),
        Next::TryGate { gate } => format!("try the gate {gate}"),
        Next::ProveFreeze { .. } => "observe the freeze".into(),
        Next::Propose => "build and prove the commit".into(),
        Next::AwaitMerge { .. } => "see the merge".into(),
        Next::TakeHead { .. } => "take the head of the branch".into(),
        Next::Predict { application, .. } => format!("predict the sync of {application}"),
        Next::AwaitOperation { application, .. } => format!("follow the sync of {application}"),
        Next::VerifySync { application, .. } => {
            format!("read back what the sync of {application} did")
        }
        Next::AwaitGone { object, .. } => format!("see that {object} is gone"),
        Next::Gate { gate, .. } => format!("sample the gate {gate}"),
        Next::WatchThaw { application } => format!("watch {application}"),
        _ => "go on".into(),
    }
}
