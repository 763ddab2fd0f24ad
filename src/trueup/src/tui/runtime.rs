//! The loop: signals, keys, engine updates and time in; one frame for all that came at once; effects out.

use super::{
    burst::Bursts,
    model::Model,
    msg::{Effect, Msg},
    terminal::Guard,
    theme::{Theme, ThemeName},
    update::update,
    view::view,
};
use crate::engine::handle::{Handle, Request, Update};
use anyhow::Context as _;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use ratatui::crossterm::event::{Event, EventStream};
use std::{io::Write as _, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::error::TrySendError,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

/// How the screen looks and what it takes from the terminal.
#[derive(Clone, Debug, Default)]
pub struct TuiOptions {
    pub theme: ThemeName,
    pub no_color: bool,
    /// Draw nothing but ASCII.
    pub ascii: bool,
    /// The program with the options that it takes to find this incident again, as it stands before `resume`.
    pub program: String,
    /// The wheel moves the cursor; the terminal's own selection then needs shift.
    pub mouse: bool,
}

/// Why the screen was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The operator left.
    Quit,
    /// SIGTERM.
    Terminated,
    /// SIGHUP, or the terminal is gone.
    Hangup,
}

/// At most this many messages of the engine are taken before a frame.
const AT_ONCE: usize = 64;
/// At most this many events of the terminal; more than one read of it holds.
const READ: usize = 4096;
/// No two frames are closer than this, 60 a second, unless a key asks for one: its answer waits for nothing.
const FRAME: Duration = Duration::from_millis(16);
const TICK: Duration = Duration::from_millis(500);
/// How long the engine has to stop after a signal.
const GRACE: Duration = Duration::from_secs(5);

/// What came out of one wait.
enum Woken {
    Signal(Left),
    Msg(Msg),
    Terminal(Event),
    TerminalGone,
    Draw,
}

struct Sources {
    /// None while the operator's editor has the terminal.
    keys: Option<EventStream>,
    terminate: Signal,
    hangup: Signal,
    tick: tokio::time::Interval,
    engine_gone: bool,
    bursts: Bursts,
    /// When the terminal was read last.
    read: Instant,
}

/// Draws the workbench until it is left. Fails with [`super::terminal::NoTerminal`] where there is none.
pub async fn run(mut handle: Handle, options: TuiOptions) -> anyhow::Result<Left> {
    let mut guard = Guard::enter(options.mouse)?;
    let size = guard.terminal.size()?;
    let theme = Theme {
        name: options.theme,
        no_color: options.no_color,
        ascii: options.ascii,
    };
    let mut model = Model::new(theme, (size.width, size.height), Timestamp::now());
    if !options.program.is_empty() {
        model.program = options.program;
    }
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sources = Sources {
        keys: Some(EventStream::new()),
        terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be listened to")?,
        hangup: signal(SignalKind::hangup()).context("SIGHUP cannot be listened to")?,
        tick,
        engine_gone: false,
        bursts: Bursts::default(),
        read: Instant::now(),
    };
    let left = workbench(&mut guard, &mut handle, &mut model, &mut sources).await;
    drop(guard);
    left
}

async fn workbench(
    guard: &mut Guard,
    handle: &mut Handle,
    model: &mut Model,
    sources: &mut Sources,
) -> anyhow::Result<Left> {
    let mut dirty = true;
    let mut typed = false;
    let mut drawn = Instant::now() - FRAME;
    let mut title = String::new();
    loop {
        if dirty && (typed || drawn.elapsed() >= FRAME) {
            guard.draw(|frame| view(model, frame))?;
            (dirty, typed, drawn) = (false, false, Instant::now());
            let now = window_title(model);
            if now != title {
                guard.title(&now);
                title = now;
            }
        }
        let settled = model.settles_at.map(|at| soon(at, model.time));
        let woken = wake(sources, handle, dirty.then(|| drawn + FRAME), settled).await;
        let mut msgs = Vec::new();
        let mut events = Vec::new();
        match woken {
            Woken::Signal(left) => {
                wind_down(handle).await;
                return Ok(left);
            }
            Woken::TerminalGone => {
                wind_down(handle).await;
                return Ok(Left::Hangup);
            }
            Woken::Draw => {}
            Woken::Msg(msg) => msgs.push(msg),
            Woken::Terminal(event) => events.push(event),
        }
        drain(sources, handle, events, &mut msgs);
        if !msgs.is_empty() {
            // What follows happens now, not at the last tick.
            update(model, Msg::Tick(Timestamp::now()));
        }
        for msg in msgs {
            dirty = true;
            typed |= matches!(msg, Msg::Key(_) | Msg::Paste(_));
            for effect in update(model, msg) {
                if perform(guard, handle, model, sources, effect).await? {
                    if !model.world.stopped {
                        wind_down(handle).await;
                    }
                    return Ok(Left::Quit);
                }
            }
        }
    }
}

fn window_title(model: &Model) -> String {
    match model.run().id() {
        "" => "trueup".into(),
        id => format!("trueup {id} · {}", model.run().pin.context),
    }
}

/// When a time of the model is over; a little later, so that it is.
fn soon(at: Timestamp, now: Timestamp) -> Instant {
    let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Instant::now() + left + Duration::from_millis(1)
}

async fn wake(
    sources: &mut Sources,
    handle: &mut Handle,
    draw_at: Option<Instant>,
    settled: Option<Instant>,
) -> Woken {
    let at = async |at: Option<Instant>| match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    };
    let frame = at(draw_at);
    let settled = at(settled);
    tokio::select! {
        biased;
        _ = sources.terminate.recv() => Woken::Signal(Left::Terminated),
        _ = sources.hangup.recv() => Woken::Signal(Left::Hangup),
        event = next_event(&mut sources.keys) => match event {
            Some(Ok(event)) => Woken::Terminal(event),
            Some(Err(_)) | None => Woken::TerminalGone,
        },
        () = frame => Woken::Draw,
        update = handle.updates.recv(), if !sources.engine_gone => match update {
            Some(update) => Woken::Msg(Msg::Engine(update)),
            None => {
                sources.engine_gone = true;
                Woken::Msg(Msg::EngineGone)
            }
        },
        () = settled => Woken::Msg(Msg::Tick(Timestamp::now())),
        _ = sources.tick.tick() => Woken::Msg(Msg::Tick(Timestamp::now())),
    }
}

async fn next_event(keys: &mut Option<EventStream>) -> Option<std::io::Result<Event>> {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

/// Takes what else is there already, keys first.
fn drain(sources: &mut Sources, handle: &mut Handle, mut events: Vec<Event>, msgs: &mut Vec<Msg>) {
    while events.len() < READ {
        match next_event(&mut sources.keys).now_or_never() {
            Some(Some(Ok(event))) => events.push(event),
            _ => break,
        }
    }
    if !events.is_empty() {
        let since = sources.read.elapsed();
        sources.read = Instant::now();
        msgs.extend(sources.bursts.taken(events, since));
    }
    let most = msgs.len() + AT_ONCE;
    while msgs.len() < most {
        match handle.updates.try_recv() {
            Ok(update) => msgs.push(Msg::Engine(update)),
            Err(_) => break,
        }
    }
}

/// Does one effect; answers whether the screen is to be left.
async fn perform(
    guard: &mut Guard,
    handle: &Handle,
    model: &mut Model,
    sources: &mut Sources,
    effect: Effect,
) -> anyhow::Result<bool> {
    match effect {
        Effect::Leave => return Ok(true),
        Effect::Send(request) => {
            let quitting = request == Request::Quit;
            match handle.requests.try_send(request) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    update(model, Msg::Busy);
                }
                Err(TrySendError::Closed(_)) if quitting => return Ok(true),
                Err(TrySendError::Closed(_)) => {
                    update(model, Msg::EngineGone);
                }
            }
        }
        Effect::Copy(text) => guard.copy(&text)?,
        Effect::Redraw => guard.redraw()?,
        Effect::Edit(text) => {
            // The stream would take the editor's keys: it goes away first.
            sources.keys = None;
            guard.step_aside();
            let edited = edit(&text).await.map_err(|e| format!("{e:#}"));
            guard.step_back()?;
            sources.keys = Some(EventStream::new());
            for effect in update(model, Msg::Edited(edited)) {
                if let Effect::Send(request) = effect {
                    // The editor has ended long after the last request: there is room.
                    let _ = handle.requests.try_send(request);
                }
            }
        }
    }
    Ok(false)
}

/// The operator's editor on a file of its own, which nobody else can read.
async fn edit(text: &str) -> anyhow::Result<String> {
    let mut file = tempfile::Builder::new()
        .prefix("trueup-message-")
        .suffix(".txt")
        .tempfile()
        .context("a file for the editor cannot be made")?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|e| !e.trim().is_empty()))
        .unwrap_or_else(|| "vi".into());
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = tokio::process::Command::new(program)
        .args(words)
        .arg(file.path())
        .status()
        .await
        .with_context(|| format!("`{editor}` cannot be started; set EDITOR"))?;
    anyhow::ensure!(status.success(), "`{editor}` ended with {status}");
    tokio::fs::read_to_string(file.path())
        .await
        .context("what the editor left cannot be read")
}

/// Lets the engine write down the outcome of what is in flight, for a few seconds at most.
async fn wind_down(handle: &mut Handle) {
    // When the engine is gone, or has been told already, this changes nothing.
    let _ = handle.requests.try_send(Request::Quit);
    let rest =
        async { while !matches!(handle.updates.recv().await, None | Some(Update::Stopped)) {} };
    let _ = timeout(GRACE, rest).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn leaving_waits_for_the_engine_and_for_nothing_after_it() {
        let (requests, mut asked) = mpsc::channel(1);
        let (told, updates) = mpsc::channel(1);
        let mut handle = Handle { requests, updates };
        assert!(wind_down(&mut handle).now_or_never().is_none());
        assert_eq!(asked.recv().await, Some(Request::Quit));
        // Somebody else may hold on to the engine.
        told.send(Update::Stopped).await.unwrap();
        assert!(wind_down(&mut handle).now_or_never().is_some());
        drop(told);
    }
}
