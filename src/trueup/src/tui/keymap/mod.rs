//! The one table of keys. Footer, help and palette are made from it, and a key that cannot work says why.

mod table;
mod when;

pub use table::TABLE;

use super::model::{Focus, Model, dialog::Dialog};
use Context::{Choose, Everywhere, On, Page, Prompt, Search, Secret, Sheet};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use trueup_core::workflow::Stage;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cmd {
    Up,
    Down,
    Top,
    Bottom,
    HalfUp,
    HalfDown,
    Left,
    Right,
    Enter,
    Back,
    Next,
    Help,
    Palette,
    Filter,
    Log,
    Copy,
    Arm,
    Act,
    StageBack,
    StageOn,
    Show(Stage),
    Undo,
    Quit,
    Pane,
    Zoom,
    Look,
    Redraw,
    /// The text under the cursor takes such keys itself.
    EditLine,
    CancelWait,
    Park,
    Mark,
    MarkAll,
    UseScope,
    FreezeNow,
    TakeOver,
    Target,
    Restore,
    Pick(u8),
    Value,
    Ignore,
    Later,
    Remove,
    EveryCopy,
    Together,
    Who,
    WhereElse,
    IfSynced,
    WhichLine,
    Pods,
    Reveal,
    Noise,
    Message,
    Editor,
    Branch,
    Attest,
    Glass,
    DecideThis,
    AddGate,
    Earlier,
    LaterInOrder,
    Settle,
    ReviewGlass,
    Export(u8),
    CloseIncident,
}

impl Cmd {
    /// Whether it changes the incident or asks the engine for a change: of no use once the incident is closed.
    fn changes(self) -> bool {
        matches!(
            self,
            Self::Arm
                | Self::Act
                | Self::Undo
                | Self::Park
                | Self::Mark
                | Self::MarkAll
                | Self::UseScope
                | Self::FreezeNow
                | Self::TakeOver
                | Self::Target
                | Self::Restore
                | Self::Pick(_)
                | Self::Value
                | Self::Ignore
                | Self::Later
                | Self::Remove
                | Self::EveryCopy
                | Self::Together
                | Self::Reveal
                | Self::Message
                | Self::Editor
                | Self::Branch
                | Self::Attest
                | Self::Glass
                | Self::DecideThis
                | Self::AddGate
                | Self::Earlier
                | Self::LaterInOrder
                | Self::ReviewGlass
                | Self::CloseIncident
                | Self::CancelWait
        )
    }

    /// Whether somebody may type a text right behind it, for the box that it opens.
    pub fn takes_text(self) -> bool {
        matches!(
            self,
            Self::Act
                | Self::AddGate
                | Self::Attest
                | Self::Branch
                | Self::DecideThis
                | Self::Filter
                | Self::Glass
                | Self::Ignore
                | Self::Later
                | Self::Message
                | Self::Park
                | Self::Pick(_)
                | Self::Remove
                | Self::Restore
                | Self::ReviewGlass
                | Self::Settle
                | Self::Target
                | Self::Value
        )
    }

    /// Whether it goes on or chooses at once, without a box in between in which it could still be seen what it is for.
    fn at_once(self) -> bool {
        matches!(
            self,
            Self::Enter
                | Self::Next
                | Self::Pick(_)
                | Self::Ignore
                | Self::Remove
                | Self::UseScope
                | Self::Earlier
                | Self::LaterInOrder
                | Self::Settle
        )
    }
}

/// Where a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    Everywhere,
    On(Stage),
    Sheet,
    Prompt,
    Choose,
    Search,
    Page,
    Secret,
}

impl Context {
    pub fn title(self) -> &'static str {
        match self {
            Self::Everywhere => "everywhere",
            Self::On(stage) => stage.name(),
            Self::Sheet => "on an action sheet",
            Self::Prompt => "in a prompt",
            Self::Choose => "in a choice",
            Self::Search => "in help, palette and log",
            Self::Page => "on a page",
            Self::Secret => "over a secret value",
        }
    }
}

/// Whether a command can work now; the error says why not.
pub type When = fn(&Model) -> Result<(), String>;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    pub context: Context,
    /// The first one is shown.
    pub keys: &'static [&'static str],
    pub cmd: Cmd,
    pub label: &'static str,
    /// Named in the footer.
    pub footer: bool,
    pub when: When,
}

/// A key as the table writes it; empty for what no row can name.
pub fn name(event: &KeyEvent) -> String {
    let base = match event.code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "enter".into(),
        KeyCode::Backspace => "backspace".into(),
        KeyCode::Esc => "esc".into(),
        KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => "backtab".into(),
        KeyCode::Tab => "tab".into(),
        KeyCode::BackTab => "backtab".into(),
        KeyCode::Up => "up".into(),
        KeyCode::Down => "down".into(),
        KeyCode::Left => "left".into(),
        KeyCode::Right => "right".into(),
        KeyCode::Home => "home".into(),
        KeyCode::End => "end".into(),
        KeyCode::PageUp => "pageup".into(),
        KeyCode::PageDown => "pagedown".into(),
        KeyCode::F(n) => format!("f{n}"),
        _ => return String::new(),
    };
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        format!("ctrl-{base}")
    } else if event.modifiers.contains(KeyModifiers::ALT) {
        format!("alt-{base}")
    } else {
        base
    }
}

/// The row that a key means here, if any.
pub fn find(context: Context, key: &str) -> Option<&'static Binding> {
    let of = |context: Context| {
        TABLE
            .iter()
            .find(|b| b.context == context && b.keys.contains(&key))
    };
    match context {
        On(_) => of(context).or_else(|| of(Everywhere)),
        _ => of(context),
    }
}

/// Whether a row can work now; the error says why not.
pub fn works(binding: &Binding, model: &Model) -> Result<(), String> {
    if model.run().closed.is_some() {
        let sheet = binding.cmd == Cmd::Enter && matches!(binding.context, On(_));
        if binding.cmd.changes() || sheet {
            return Err("the incident is closed: nothing of it changes any more".into());
        }
    }
    (binding.when)(model)
}

/// Whether a row works at this moment: it can, and what is shown has been there long enough to be meant.
pub fn works_here(binding: &Binding, model: &Model) -> Result<(), String> {
    if binding.cmd.at_once() && model.settling() {
        return Err("what is shown has just changed: look, then press it again".into());
    }
    works(binding, model)
}

/// What the footer says of a row; under a box it stands still.
fn in_footer(binding: &Binding, model: &Model) -> bool {
    if model.dialogs.is_empty() {
        works_here(binding, model).is_ok()
    } else {
        works(binding, model).is_ok()
    }
}

/// Where the keys go now.
pub fn context(model: &Model) -> Context {
    match model.dialogs.last() {
        None => On(model.stage),
        Some(Dialog::Sheet(_)) => Sheet,
        Some(Dialog::Prompt(_)) => Prompt,
        Some(Dialog::Choose(_)) => Choose,
        Some(Dialog::Help(_) | Dialog::Palette(_) | Dialog::Log(_)) => Search,
        Some(Dialog::Page(_)) => Page,
        Some(Dialog::Secret(_)) => Secret,
    }
}

/// What a row is called now; the numbers of Decide are called by what they choose.
pub fn label(binding: &Binding, model: &Model) -> Option<String> {
    match binding.cmd {
        Cmd::Pick(n) => {
            let side = model.sides_here().get(usize::from(n) - 1)?.clone();
            let star = newest_human(model, &side);
            Some(format!("{}{}", side.name(), if star { " ★" } else { "" }))
        }
        Cmd::Settle if model.run().closed.is_some() => Some("how it is settled".into()),
        _ => Some(binding.label.to_owned()),
    }
}

/// Whether a side holds the newest write by hand of the question under the cursor. It is no suggestion.
pub fn newest_human(model: &Model, side: &crate::tui::model::decide::Side) -> bool {
    use crate::tui::model::decide::Side;
    let Some(question) = model.question_here() else {
        return false;
    };
    let newest = question
        .cells
        .iter()
        .filter_map(|key| model.now().cells.get(key).map(|cell| (key, cell)))
        .filter(|(_, cell)| cell.differs && cell.by_hand)
        .max_by(|a, b| a.1.written_at.cmp(&b.1.written_at).then(b.0.cmp(a.0)))
        .map(|(key, _)| key);
    matches!((side, newest), (Side::Copy { application, namespace }, Some(key))
        if *application == key.application && *namespace == key.object.namespace)
}

/// The rows that the footer names for the screen that is shown.
pub fn footer(model: &Model) -> Vec<(&'static Binding, String, bool)> {
    TABLE
        .iter()
        .filter(|b| b.footer && b.context == On(model.stage))
        // Of use on few rows only.
        .filter(|b| !matches!(b.cmd, Cmd::Reveal | Cmd::TakeOver) || works(b, model).is_ok())
        .filter_map(|b| label(b, model).map(|label| (b, label, in_footer(b, model))))
        .collect()
}

/// The rows for everywhere that the footer names.
pub fn footer_everywhere(model: &Model) -> Vec<(&'static Binding, String, bool)> {
    TABLE
        .iter()
        .filter(|b| b.footer && b.context == Everywhere && b.cmd != Cmd::Next)
        .filter(|b| b.cmd != Cmd::CancelWait || model.waiting().is_some())
        .map(|b| (b, b.label.to_owned(), in_footer(b, model)))
        .collect()
}

/// What the focus is called, for the pane's border.
pub fn focused(model: &Model, pane: Focus) -> bool {
    model.focus == pane && model.dialogs.is_empty()
}
