//! What the keys of a screen do while nothing lies over it.

use super::super::{
    keymap::Cmd,
    model::{
        Focus, Model, ToastKind,
        dialog::{Dialog, Page, Search},
    },
    msg::Effect,
    view,
};
use super::{act, ask, choices, decide, next, offers, secret};
use crate::engine::handle::Request;
use trueup_core::{
    plan::Target,
    sheet::Command,
    workflow::{Next, Stage},
};

pub fn perform(model: &mut Model, cmd: Cmd) -> Vec<Effect> {
    match cmd {
        Cmd::Up => step(model, -1),
        Cmd::Down => step(model, 1),
        Cmd::HalfUp => step(model, -(half_page(model))),
        Cmd::HalfDown => step(model, half_page(model)),
        Cmd::Top => step(model, isize::MIN / 2),
        Cmd::Bottom => step(model, isize::MAX / 2),
        Cmd::Left => decide::copy(model, -1),
        Cmd::Right => decide::copy(model, 1),
        Cmd::Back => back(model),
        Cmd::Pane => {
            model.focus = match model.focus {
                Focus::Main => Focus::Detail,
                Focus::Detail => Focus::Main,
            };
        }
        Cmd::Zoom => model.zoom = !model.zoom,
        Cmd::StageBack => show(model, (model.stage as usize).saturating_sub(1)),
        Cmd::StageOn => show(model, (model.stage as usize + 1).min(7)),
        Cmd::Show(stage) => show(model, stage as usize),
        Cmd::Filter => filter(model),
        Cmd::Help => model.dialogs.push(Dialog::Help(Search::default())),
        Cmd::Palette => model.dialogs.push(Dialog::Palette(Search::default())),
        Cmd::Log => model.dialogs.push(Dialog::Log(Search::default())),
        Cmd::Mark => mark(model),
        Cmd::MarkAll => mark_suspicious(model),
        Cmd::Noise => model.decide.show_noise = !model.decide.show_noise,
        Cmd::Quit => offers::quit(model),
        Cmd::Arm => offers::arm(model, None, None),
        Cmd::Copy => offers::copy(model),
        Cmd::Act => act::offer(model),
        Cmd::Undo => offers::undo(model),
        Cmd::Restore => act::restore(model),
        Cmd::Target => {
            let applications = model.marked_or_here();
            offers::target(model, applications);
        }
        Cmd::Park if model.stage == Stage::Close => next::hand_over_here(model),
        Cmd::Park => {
            if let Some(application) = model.app_here() {
                offers::park(model, application);
            }
        }
        Cmd::Message => offers::message(model),
        Cmd::Branch => offers::branch(model),
        Cmd::Attest => next::attest(model),
        Cmd::Glass => next::break_glass(model),
        Cmd::DecideThis => next::decide_this(model),
        Cmd::AddGate => super::gates::offer(model),
        Cmd::ReviewGlass => offers::review(model),
        Cmd::Pick(n) => return decide::pick(model, usize::from(n)),
        Cmd::Value | Cmd::Ignore | Cmd::Later | Cmd::Remove => return decide::other(model, cmd),
        Cmd::EveryCopy => decide::every_copy(model),
        Cmd::Together => decide::together(model),
        Cmd::Who | Cmd::WhereElse | Cmd::IfSynced | Cmd::WhichLine | Cmd::Pods => {
            if let Some((title, doc)) = view::about::about(model, cmd) {
                page(model, title, doc);
            }
        }
        Cmd::Reveal => secret::offer(model),
        Cmd::Next => return next::advance(model),
        Cmd::Enter => return enter(model),
        Cmd::Redraw => return vec![Effect::Redraw],
        Cmd::Look => {
            model.toast(ToastKind::Said, "reading the world again");
            return ask(Command::Look);
        }
        Cmd::CancelWait => return ask(Command::CancelWait),
        Cmd::Editor => {
            let message = offers::current_message(model);
            return vec![Effect::Edit(message)];
        }
        Cmd::UseScope => {
            return ask(Command::SetScope {
                scope: model.marks.iter().cloned().collect(),
            });
        }
        Cmd::FreezeNow => {
            return ask(Command::Freeze {
                applications: model.marked_or_here(),
            });
        }
        Cmd::TakeOver => {
            if let Some((applications, from)) = model.foreign() {
                return ask(Command::TakeOver { applications, from });
            }
        }
        Cmd::Earlier | Cmd::LaterInOrder => return reorder(model, cmd == Cmd::Earlier),
        Cmd::Settle => return next::settle_here(model),
        Cmd::Export(n) => {
            let format = ["md", "html", "json"][usize::from(n.clamp(1, 3)) - 1];
            return ask(Command::Export {
                format: format.into(),
            });
        }
        Cmd::CloseIncident => offers::close(model),
        Cmd::EditLine => {}
    }
    Vec::new()
}

pub fn page(model: &mut Model, title: String, doc: super::super::widgets::doc::Doc) {
    model.dialogs.push(Dialog::Page(Page {
        title,
        doc,
        scroll: 0,
    }));
}

fn half_page(model: &Model) -> isize {
    isize::from(i16::try_from(model.size.1 / 2).unwrap_or(10)).max(1)
}

fn moved(at: usize, by: isize, len: usize) -> usize {
    at.saturating_add_signed(by).min(len.saturating_sub(1))
}

fn step(model: &mut Model, by: isize) {
    if model.focus == Focus::Detail {
        if model.stage == Stage::Decide && by.abs() == 1 {
            return decide::copy(model, by);
        }
        let rows = view::detail_overflow(model);
        let list = model.list_mut();
        list.scroll = moved(list.scroll, by, rows + 1);
        return;
    }
    let len = model.rows();
    let list = model.list_mut();
    let before = list.cursor;
    list.cursor = moved(list.cursor.min(len.saturating_sub(1)), by, len);
    if list.cursor != before {
        list.scroll = 0;
        if model.stage == Stage::Decide {
            model.decide.copy = decide::first_open_copy(model);
        }
    }
}

fn back(model: &mut Model) {
    if !model.list().filter.is_empty() {
        model.list_mut().filter.clear();
        model.derive_apps();
        model.derive_rows();
    } else if model.zoom {
        model.zoom = false;
    } else if model.focus == Focus::Detail {
        model.focus = Focus::Main;
    } else if !model.marks.is_empty() && model.stage == Stage::Scope {
        model.marks.clear();
    } else if !model.toasts.is_empty() {
        model.toasts.clear();
    } else {
        model.stage = model.world.next.stage();
    }
}

fn show(model: &mut Model, stage: usize) {
    model.stage = Stage::ALL[stage.min(7)];
    model.focus = Focus::Main;
}

fn filter(model: &mut Model) {
    if matches!(model.stage, Stage::Scope | Stage::Decide) {
        model.filtering = true;
        model.focus = Focus::Main;
    } else {
        model.toast(
            ToastKind::Said,
            "this list is short: / filters in Scope, Decide, help, palette and log",
        );
    }
}

fn mark(model: &mut Model) {
    if let Some(app) = model.app_here() {
        if !model.marks.remove(&app) {
            model.marks.insert(app);
        }
        step(model, 1);
    }
}

fn mark_suspicious(model: &mut Model) {
    let all: Vec<_> = model
        .derived
        .apps
        .iter()
        .filter(|app| model.derived.suspicious.contains(app))
        .cloned()
        .collect();
    if all.iter().all(|app| model.marks.contains(app)) {
        for app in &all {
            model.marks.remove(app);
        }
    } else {
        model.marks.extend(all);
    }
}

/// Enter: what the screen is for, or into the detail.
fn enter(model: &mut Model) -> Vec<Effect> {
    let next = model.world.next.clone();
    match model.stage {
        Stage::Decide => {
            let at = model.cursor();
            if let Some(super::super::model::decide::DecideRow::Group(g)) =
                at.and_then(|at| model.derived.rows.get(at)).copied()
            {
                decide::fold(model, g);
            } else {
                choices::choose(model);
            }
            return Vec::new();
        }
        Stage::Commit => return ask(Command::Push),
        Stage::Freeze | Stage::Sync | Stage::Thaw if next.stage() == model.stage => {
            return next::advance(model);
        }
        Stage::Freeze | Stage::Sync | Stage::Thaw if !matches!(next, Next::Closed) => {
            let stage = model.stage.name();
            model.toast(
                ToastKind::Said,
                format!("{stage} is not what comes next, the walk stands elsewhere: n goes there"),
            );
        }
        _ => model.focus = Focus::Detail,
    }
    Vec::new()
}

fn reorder(model: &mut Model, earlier: bool) -> Vec<Effect> {
    let Some(at) = model.cursor() else {
        return Vec::new();
    };
    let mut order = model.derived.sync_order.clone();
    let to = if earlier {
        at.checked_sub(1)
    } else {
        (at + 1 < order.len()).then_some(at + 1)
    };
    let Some(to) = to else {
        model.toast(ToastKind::Said, "it is at the end of the order already");
        return Vec::new();
    };
    order.swap(at, to);
    model.list_mut().cursor = to;
    ask(Command::SetOrder { order })
}

/// The target that a declared or found policy stands for.
pub fn target_of(kind: trueup_core::plan::TargetKind) -> Target {
    Target {
        policy: Some(kind),
        automated: None,
        reason: None,
    }
}

/// Opens a prompt.
pub fn prompt(model: &mut Model, prompt: super::super::model::dialog::Prompt) {
    model.dialogs.push(Dialog::Prompt(prompt));
}

/// Asks the engine for the next thing.
pub fn go() -> Vec<Effect> {
    vec![Effect::Send(Request::Go)]
}
