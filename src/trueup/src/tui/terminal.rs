//! The terminal's guard: what was switched on is switched off again, whatever happens.

use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{
            DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
        },
        execute,
        style::{Attribute, ResetColor, SetAttribute},
        terminal::{
            BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
            LeaveAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode,
        },
    },
};
use std::{
    io::{self, IsTerminal, Stdout, Write},
    sync::Once,
    sync::atomic::{AtomicBool, Ordering},
};

/// There is no terminal that the screen could be drawn on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoTerminal {
    #[error(
        "the workbench needs a terminal, and {0} is none; use the subcommands (`trueup run`, `trueup status`, …) without one"
    )]
    NotATerminal(&'static str),
    #[error(
        "the terminal is called `{0}` (TERM), which cannot move its cursor; use the subcommands (`trueup run`, `trueup status`, …)"
    )]
    Dumb(String),
}

/// Whether there is a terminal to draw on.
pub fn check() -> Result<(), NoTerminal> {
    if !io::stdin().is_terminal() {
        return Err(NoTerminal::NotATerminal("standard input"));
    }
    if !io::stdout().is_terminal() {
        return Err(NoTerminal::NotATerminal("standard output"));
    }
    match std::env::var("TERM") {
        Ok(term) if term == "dumb" || term.is_empty() => {
            Err(NoTerminal::Dumb(trueup_core::text::line(&term)))
        }
        _ => Ok(()),
    }
}

/// Raw mode and the alternate screen are on.
static ENTERED: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal while the screen is on it.
pub struct Guard {
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
}

impl Guard {
    /// Takes the terminal over.
    pub fn enter(mouse: bool) -> anyhow::Result<Self> {
        check()?;
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                leave();
                before(info);
            }));
        });
        on(mouse)?;
        let terminal = match Terminal::new(CrosstermBackend::new(io::stdout())) {
            Ok(terminal) => terminal,
            Err(e) => {
                leave();
                return Err(e.into());
            }
        };
        Ok(Self { terminal, mouse })
    }

    /// Draws a frame, which a terminal that knows how shows all at once.
    pub fn draw(&mut self, frame: impl FnOnce(&mut Frame)) -> io::Result<()> {
        execute!(io::stdout(), BeginSynchronizedUpdate)?;
        let drawn = self.terminal.draw(frame).map(|_| ());
        execute!(io::stdout(), EndSynchronizedUpdate)?;
        drawn
    }

    /// Gives the terminal back for a while.
    pub fn step_aside(&mut self) {
        leave();
    }

    /// Takes it over again.
    pub fn step_back(&mut self) -> anyhow::Result<()> {
        on(self.mouse)?;
        Ok(self.redraw()?)
    }

    /// Makes the next frame draw every cell. Not `Terminal::clear`: that asks the terminal where its cursor is, and
    /// whoever reads the keys would take the answer.
    pub fn redraw(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// The title of the terminal's window; inert text.
    pub fn title(&mut self, title: &str) {
        // A terminal without titles is no reason to stop.
        let _ = execute!(io::stdout(), SetTitle(trueup_core::text::line(title)));
    }

    /// Gives a text to the terminal's clipboard (OSC 52).
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        use ratatui::crossterm::clipboard::CopyToClipboard;
        execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave();
    }
}

fn on(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    ENTERED.store(true, Ordering::SeqCst);
    let mut out = io::stdout();
    // Whoever was killed here left its screen, its colours and the alternate screen behind, which entering it again does
    // not clear: the first frame draws only what differs from nothing.
    let entered = execute!(
        out,
        EnterAlternateScreen,
        SetAttribute(Attribute::Reset),
        ResetColor,
        Clear(ClearType::All),
        EnableBracketedPaste
    )
    .and_then(|()| {
        if mouse {
            execute!(out, EnableMouseCapture)
        } else {
            Ok(())
        }
    });
    if entered.is_err() {
        leave();
    }
    entered
}

/// Switches off what was switched on; done once however often it is asked, and never fails: it runs while leaving.
pub fn leave() {
    if !ENTERED.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    let _ = execute!(
        out,
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    let _ = disable_raw_mode();
    let _ = out.flush();
}
