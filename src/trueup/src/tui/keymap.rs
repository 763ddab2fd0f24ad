//! The one table of keys. Footer, help and palette are made from it, and a key that cannot work says why.

use super::model::{Focus, Model, dialog::Dialog};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use trueup_core::{
    plan::Gate,
    workflow::{Next, Stage},
};

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
    CancelWait,
    Park,
    Mark,
    MarkAll,
    UseScope,
    FreezeNow,
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

const fn key(
    context: Context,
    keys: &'static [&'static str],
    cmd: Cmd,
    label: &'static str,
    when: When,
) -> Binding {
    Binding {
        context,
        keys,
        cmd,
        label,
        footer: true,
        when,
    }
}

const fn quiet(
    context: Context,
    keys: &'static [&'static str],
    cmd: Cmd,
    label: &'static str,
) -> Binding {
    Binding {
        context,
        keys,
        cmd,
        label,
        footer: false,
        when: always,
    }
}

fn always(_: &Model) -> Result<(), String> {
    Ok(())
}
fn some_row(model: &Model) -> Result<(), String> {
    if model.rows() == 0 {
        return Err("the list is empty".into());
    }
    Ok(())
}
fn some_app(model: &Model) -> Result<(), String> {
    if model.app_here().is_none() {
        return Err("no Application is under the cursor".into());
    }
    Ok(())
}
fn some_mark(model: &Model) -> Result<(), String> {
    if model.marks.is_empty() {
        return Err("nothing is marked: space marks, a marks all suspicious".into());
    }
    Ok(())
}
fn armed_cluster(model: &Model) -> Result<(), String> {
    if !model.run().armed.cluster() {
        return Err("not armed for the cluster: W arms".into());
    }
    Ok(())
}
fn freezable(model: &Model) -> Result<(), String> {
    some_app(model)?;
    armed_cluster(model)
}
fn cell(model: &Model) -> Result<(), String> {
    if model.cell_here().is_none() {
        return Err("there is no divergence under the cursor".into());
    }
    Ok(())
}
fn removable(model: &Model) -> Result<(), String> {
    cell(model)?;
    let in_git = model
        .cells_for_choice(model.decide.every_copy, model.decide.together)
        .iter()
        .any(|key| {
            model
                .now()
                .cells
                .get(key)
                .is_some_and(|cell| cell.sides.git.is_some())
        });
    if in_git {
        return Err("Git has this field: remove is for what Git does not have".into());
    }
    Ok(())
}
fn several_copies(model: &Model) -> Result<(), String> {
    match model.question_here() {
        Some(question) if question.cells.len() > 1 => Ok(()),
        _ => Err("this field has no copies".into()),
    }
}
fn grouped(model: &Model) -> Result<(), String> {
    match model.question_here() {
        Some(question) if model.together(question).len() > 1 => Ok(()),
        _ => Err("no other field was written together with this one".into()),
    }
}
fn undoable(model: &Model) -> Result<(), String> {
    if model.run().decided.is_empty() {
        return Err("no decision to take back".into());
    }
    Ok(())
}
fn waiting(model: &Model) -> Result<(), String> {
    match model.waiting() {
        None => Err("nothing is being waited for".into()),
        Some(wait) if !wait.cancellable => Err(format!("{} cannot be given up", wait.what)),
        Some(_) => Ok(()),
    }
}
fn proposed(model: &Model) -> Result<(), String> {
    if model.run().proposal.is_none() {
        return Err("no commit is built yet: n builds and proves it".into());
    }
    Ok(())
}
fn manual_gate(model: &Model) -> Result<(), String> {
    let open = model.run().gates.iter().any(|(name, gate)| {
        matches!(gate, Gate::Manual(_)) && !model.run().attested.contains_key(name)
    });
    if !open {
        return Err("no manual gate is waiting for an attestation".into());
    }
    Ok(())
}
fn glass(model: &Model) -> Result<(), String> {
    super::update::glass_to_break(model).map(|_| ())
}
fn stopped_field(model: &Model) -> Result<(), String> {
    super::update::field_that_differs(model)
        .map(|_| ())
        .ok_or_else(|| "no field stands between prediction and decision".into())
}
fn moved(model: &Model) -> Result<(), String> {
    if model.derived.moved.is_empty() {
        return Err("nothing moved since the snapshot".into());
    }
    Ok(())
}
fn unreviewed(model: &Model) -> Result<(), String> {
    if model
        .run()
        .broken_glass
        .iter()
        .all(|g| g.reviewed.is_some())
    {
        return Err("no broken glass waits for a review".into());
    }
    Ok(())
}
fn closable(model: &Model) -> Result<(), String> {
    match model.derived.owed.iter().find(|owed| owed.blocks_close) {
        Some(owed) => Err(format!("rule 10: {}", owed.what)),
        None => Ok(()),
    }
}

use Context::{Choose, Everywhere, On, Page, Prompt, Search, Sheet};
use Stage::{Close, Commit, Decide, Freeze, Scope, Snapshot, Sync, Thaw};

/// Every key. A row of a screen goes before one for everywhere.
pub const TABLE: &[Binding] = &[
    // Scope
    key(On(Scope), &["space"], Cmd::Mark, "mark", some_app),
    key(On(Scope), &["a"], Cmd::MarkAll, "all suspicious", some_row),
    key(
        On(Scope),
        &["S"],
        Cmd::UseScope,
        "scope = marked",
        some_mark,
    ),
    key(
        On(Scope),
        &["F"],
        Cmd::FreezeNow,
        "freeze marked now",
        freezable,
    ),
    key(On(Scope), &["T"], Cmd::Target, "target policy", some_app),
    key(On(Scope), &["P"], Cmd::Park, "park", some_app),
    // Freeze
    key(On(Freeze), &["enter"], Cmd::Enter, "sheet", always),
    key(
        On(Freeze),
        &["F"],
        Cmd::FreezeNow,
        "freeze this one again",
        freezable,
    ),
    key(On(Freeze), &["T"], Cmd::Target, "target policy", some_app),
    key(On(Freeze), &["P"], Cmd::Park, "park", some_app),
    // Snapshot
    key(On(Snapshot), &["R"], Cmd::Restore, "restore a field", moved),
    // Decide
    key(On(Decide), &["1"], Cmd::Pick(1), "", cell),
    key(On(Decide), &["2"], Cmd::Pick(2), "", cell),
    key(On(Decide), &["3"], Cmd::Pick(3), "", cell),
    key(On(Decide), &["4"], Cmd::Pick(4), "", cell),
    key(On(Decide), &["5"], Cmd::Pick(5), "", cell),
    key(On(Decide), &["6"], Cmd::Pick(6), "", cell),
    key(On(Decide), &["7"], Cmd::Pick(7), "", cell),
    key(On(Decide), &["8"], Cmd::Pick(8), "", cell),
    key(On(Decide), &["9"], Cmd::Pick(9), "", cell),
    key(On(Decide), &["enter"], Cmd::Enter, "choose", some_row),
    key(
        On(Decide),
        &["A"],
        Cmd::EveryCopy,
        "all copies",
        several_copies,
    ),
    key(On(Decide), &["g"], Cmd::Together, "together", grouped),
    key(On(Decide), &["e"], Cmd::Value, "value", cell),
    key(On(Decide), &["i"], Cmd::Ignore, "ignore", cell),
    key(On(Decide), &["L"], Cmd::Later, "later", cell),
    key(On(Decide), &["d"], Cmd::Remove, "remove", removable),
    key(On(Decide), &["w"], Cmd::Who, "who", cell),
    key(On(Decide), &["v"], Cmd::WhereElse, "where else", cell),
    key(On(Decide), &["s"], Cmd::IfSynced, "a sync would", cell),
    key(On(Decide), &["."], Cmd::WhichLine, "line", cell),
    key(On(Decide), &["p"], Cmd::Pods, "pods", cell),
    key(On(Decide), &["N"], Cmd::Noise, "noise", always),
    quiet(On(Decide), &["left", "h"], Cmd::Left, "the copy before"),
    quiet(On(Decide), &["right", "l"], Cmd::Right, "the next copy"),
    // Commit
    key(On(Commit), &["enter"], Cmd::Enter, "push sheet", proposed),
    key(On(Commit), &["e"], Cmd::Message, "edit message", always),
    key(On(Commit), &["E"], Cmd::Editor, "$EDITOR", always),
    key(On(Commit), &["b"], Cmd::Branch, "branch", always),
    // Sync
    key(On(Sync), &["enter"], Cmd::Enter, "sheet", always),
    key(On(Sync), &["r"], Cmd::Look, "look again", always),
    key(
        On(Sync),
        &["d"],
        Cmd::DecideThis,
        "decide this field",
        stopped_field,
    ),
    key(On(Sync), &["P"], Cmd::Park, "park", some_app),
    key(On(Sync), &["m"], Cmd::Attest, "attest", manual_gate),
    key(On(Sync), &["B"], Cmd::Glass, "break glass", glass),
    key(On(Sync), &["a"], Cmd::AddGate, "add gate", always),
    key(On(Sync), &["<"], Cmd::Earlier, "earlier", some_app),
    key(On(Sync), &[">"], Cmd::LaterInOrder, "later", some_app),
    // Thaw
    key(On(Thaw), &["enter"], Cmd::Enter, "sheet", always),
    key(On(Thaw), &["F"], Cmd::FreezeNow, "freeze again", freezable),
    key(On(Thaw), &["m"], Cmd::Attest, "attest", manual_gate),
    key(On(Thaw), &["P"], Cmd::Park, "park", some_app),
    // Close
    key(On(Close), &["enter"], Cmd::Settle, "settle", some_row),
    key(On(Close), &["1"], Cmd::Export(1), "Markdown", always),
    key(On(Close), &["2"], Cmd::Export(2), "HTML", always),
    key(On(Close), &["3"], Cmd::Export(3), "JSON", always),
    key(
        On(Close),
        &["V"],
        Cmd::ReviewGlass,
        "review glass",
        unreviewed,
    ),
    key(On(Close), &["P"], Cmd::Park, "hand over", some_app),
    key(
        On(Close),
        &["C"],
        Cmd::CloseIncident,
        "close incident",
        closable,
    ),
    // Everywhere
    key(Everywhere, &["n"], Cmd::Next, "next", always),
    key(Everywhere, &["?", "f1"], Cmd::Help, "help", always),
    key(Everywhere, &[":"], Cmd::Palette, "command", always),
    key(Everywhere, &["/"], Cmd::Filter, "filter", always),
    key(Everywhere, &["@"], Cmd::Log, "log", always),
    key(Everywhere, &["W"], Cmd::Arm, "arm", always),
    key(Everywhere, &["x"], Cmd::Act, "live action", armed_cluster),
    key(Everywhere, &["z"], Cmd::Undo, "undo", undoable),
    key(Everywhere, &["y"], Cmd::Copy, "copy", always),
    key(Everywhere, &["c"], Cmd::CancelWait, "cancel wait", waiting),
    key(Everywhere, &["q", "ctrl-c"], Cmd::Quit, "quit", always),
    quiet(Everywhere, &["["], Cmd::StageBack, "the stage before"),
    quiet(Everywhere, &["]"], Cmd::StageOn, "the next stage"),
    quiet(Everywhere, &["alt-1"], Cmd::Show(Scope), "show Scope"),
    quiet(Everywhere, &["alt-2"], Cmd::Show(Freeze), "show Freeze"),
    quiet(Everywhere, &["alt-3"], Cmd::Show(Snapshot), "show Snapshot"),
    quiet(Everywhere, &["alt-4"], Cmd::Show(Decide), "show Decide"),
    quiet(Everywhere, &["alt-5"], Cmd::Show(Commit), "show Commit"),
    quiet(Everywhere, &["alt-6"], Cmd::Show(Sync), "show Sync"),
    quiet(Everywhere, &["alt-7"], Cmd::Show(Thaw), "show Thaw"),
    quiet(Everywhere, &["alt-8"], Cmd::Show(Close), "show Close"),
    quiet(Everywhere, &["tab", "backtab"], Cmd::Pane, "the other pane"),
    quiet(Everywhere, &["+", "_"], Cmd::Zoom, "zoom the pane"),
    quiet(Everywhere, &["enter"], Cmd::Enter, "into the detail"),
    quiet(Everywhere, &["esc"], Cmd::Back, "back"),
    quiet(Everywhere, &["j", "down"], Cmd::Down, "down"),
    quiet(Everywhere, &["k", "up"], Cmd::Up, "up"),
    quiet(Everywhere, &["g", "home"], Cmd::Top, "to the top"),
    quiet(Everywhere, &["G", "end"], Cmd::Bottom, "to the bottom"),
    quiet(
        Everywhere,
        &["ctrl-d", "pagedown"],
        Cmd::HalfDown,
        "half a page down",
    ),
    quiet(
        Everywhere,
        &["ctrl-u", "pageup"],
        Cmd::HalfUp,
        "half a page up",
    ),
    quiet(
        Everywhere,
        &["ctrl-r", "f5"],
        Cmd::Look,
        "read the world again",
    ),
    quiet(Everywhere, &["ctrl-l"], Cmd::Redraw, "draw anew"),
    // Dialogs
    quiet(Sheet, &["esc"], Cmd::Back, "no"),
    quiet(
        Sheet,
        &["enter"],
        Cmd::Enter,
        "go ahead, with the text typed or *Do it* in focus",
    ),
    quiet(
        Sheet,
        &["tab", "backtab", "left", "right"],
        Cmd::Pane,
        "between No and Do it",
    ),
    quiet(Sheet, &["down", "pagedown"], Cmd::Down, "read on"),
    quiet(Sheet, &["up", "pageup"], Cmd::Up, "read back"),
    quiet(Prompt, &["esc"], Cmd::Back, "give up"),
    quiet(
        Prompt,
        &["enter", "ctrl-s"],
        Cmd::Enter,
        "next field, or done (ctrl-s where enter makes a new line)",
    ),
    quiet(Prompt, &["tab", "down"], Cmd::Pane, "next field"),
    quiet(Prompt, &["backtab", "up"], Cmd::Up, "field before"),
    quiet(Choose, &["esc", "q"], Cmd::Back, "give up"),
    quiet(Choose, &["enter"], Cmd::Enter, "take it"),
    quiet(Choose, &["j", "down", "tab"], Cmd::Down, "down"),
    quiet(Choose, &["k", "up", "backtab"], Cmd::Up, "up"),
    quiet(Search, &["esc"], Cmd::Back, "back"),
    quiet(Search, &["enter"], Cmd::Enter, "do it (palette)"),
    quiet(
        Search,
        &["down", "tab", "ctrl-d", "pagedown"],
        Cmd::Down,
        "down",
    ),
    quiet(
        Search,
        &["up", "backtab", "ctrl-u", "pageup"],
        Cmd::Up,
        "up",
    ),
    quiet(Page, &["esc", "q", "enter"], Cmd::Back, "back"),
    quiet(Page, &["j", "down", "space"], Cmd::Down, "down"),
    quiet(Page, &["k", "up"], Cmd::Up, "up"),
    quiet(Page, &["y"], Cmd::Copy, "copy"),
];

/// A key as the table writes it; empty for what no row can name.
pub fn name(event: &KeyEvent) -> String {
    let base = match event.code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "enter".into(),
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

/// Where the keys go now.
pub fn context(model: &Model) -> Context {
    match model.dialogs.last() {
        None => On(model.stage),
        Some(Dialog::Sheet(_)) => Sheet,
        Some(Dialog::Prompt(_)) => Prompt,
        Some(Dialog::Choose(_)) => Choose,
        Some(Dialog::Help(_) | Dialog::Palette(_) | Dialog::Log(_)) => Search,
        Some(Dialog::Page(_)) => Page,
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
        _ => Some(binding.label.to_owned()),
    }
}

/// Whether a side holds the newest write by hand of the question under the cursor. It is no suggestion.
pub fn newest_human(model: &Model, side: &super::model::decide::Side) -> bool {
    use super::model::decide::Side;
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
        .filter_map(|b| label(b, model).map(|label| (b, label, (b.when)(model).is_ok())))
        .collect()
}

/// The rows for everywhere that the footer names.
pub fn footer_everywhere(model: &Model) -> Vec<(&'static Binding, String, bool)> {
    TABLE
        .iter()
        .filter(|b| b.footer && b.context == Everywhere && b.cmd != Cmd::Next)
        .filter(|b| b.cmd != Cmd::CancelWait || model.waiting().is_some())
        .map(|b| (b, b.label.to_owned(), (b.when)(model).is_ok()))
        .collect()
}

/// The next thing that needs a person, in a few words.
pub fn next_words(next: &Next) -> String {
    use trueup_core::text::line;
    match next {
        Next::LookUp { ops } => format!(
            "look up whether {} happened",
            super::widgets::words::count(ops.len(), "write")
        ),
        Next::ChooseScope => "choose the applications".into(),
        Next::SnapshotZero => "take snapshot 0".into(),
        Next::TryGate { gate } => line(&format!("try gate {gate}")),
        Next::ChooseTarget { application } => {
            line(&format!("target policy of {}", application.name))
        }
        Next::Arm { why, .. } => line(&format!("arm: {why}")),
        Next::Freeze { applications } => format!(
            "freeze {}",
            super::widgets::words::count(applications.len(), "application")
        ),
        Next::ProveFreeze { .. } => "prove that the freeze holds".into(),
        Next::Refreeze { application, .. } => line(&format!("freeze {} again", application.name)),
        Next::Snapshot => "take a snapshot".into(),
        Next::Decide { cells } => format!(
            "decide {}",
            super::widgets::words::count(cells.len(), "field")
        ),
        Next::Propose => "build and prove the commit".into(),
        Next::Push => "push the commit".into(),
        Next::AwaitMerge { branch, .. } => line(&format!("wait for the merge of {branch}")),
        Next::TakeHead { revision, .. } => format!("take head {}", line(revision.short())),
        Next::Predict { application, .. } => {
            line(&format!("predict the sync of {}", application.name))
        }
        Next::Ignore { application } => {
            line(&format!("put what is ignored on {}", application.name))
        }
        Next::Sync { application } => line(&format!("sync {}", application.name)),
        Next::AwaitOperation { application, .. } => {
            line(&format!("wait for the sync of {}", application.name))
        }
        Next::VerifySync { application, .. } => line(&format!(
            "read back what the sync of {} did",
            application.name
        )),
        Next::Gate { gate, .. } => line(&format!("watch gate {gate}")),
        Next::Attest { gate, .. } => line(&format!("attest {gate}")),
        Next::Thaw { applications } => format!(
            "thaw {}",
            super::widgets::words::count(applications.len(), "application")
        ),
        Next::WatchThaw { application } => {
            line(&format!("watch two rounds of {}", application.name))
        }
        Next::Settle { what, .. } => line(&format!("settle: {what}")),
        Next::Close => "close the incident".into(),
        Next::Closed => "closed".into(),
        Next::Stopped { reason, .. } => line(&format!("stopped: {reason}")),
    }
}

/// What the focus is called, for the pane's border.
pub fn focused(model: &Model, pane: Focus) -> bool {
    model.focus == pane && model.dialogs.is_empty()
}
