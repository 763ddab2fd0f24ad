//! From the model to a frame. Nothing here changes anything.

pub mod about;
pub mod close;
pub mod commit;
pub mod decide;
pub mod freeze;
pub mod scope;
pub mod snapshot;
pub mod sync;
pub mod thaw;

use super::{
    keymap,
    model::{Focus, MIN_SIZE, Model, dialog::Dialog},
    theme::{Role, Theme},
    widgets::{self, bars, doc::Doc, header, lists, pane, table, words},
};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Constraint, Layout, Rect, Spacing},
};
use trueup_core::workflow::Stage;

/// What a stage shows: a list with something below it, and the detail of what is under the cursor.
pub struct Screen<'a> {
    pub title: String,
    /// At the right of the list's border: a count.
    pub right: String,
    pub columns: Vec<table::Column>,
    pub row: Box<dyn Fn(usize) -> Vec<table::Cell> + 'a>,
    /// Instead of the list when it is empty.
    pub empty: String,
    pub below_title: String,
    pub below: Doc,
    pub detail_title: String,
    pub detail: Doc,
}

/// Where the panes of the shown stage are; `None` for one that is zoomed away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panes {
    pub main: Option<Rect>,
    pub detail: Option<Rect>,
}

/// Header, rail, wait line (when something is waited for), body, footer.
struct Rows {
    header: Rect,
    rail: Rect,
    wait: Rect,
    body: Rect,
    /// Over the body where there is room for both.
    toasts: Rect,
    footer: Rect,
}

fn rows(model: &Model, area: Rect) -> Rows {
    let wait =
        model.waiting().is_some() || model.stands_still().is_some() || model.unwatched().is_some();
    let wait = u16::from(wait);
    let toasts = bars::toast_rows(model, area.width, area.height);
    let [header, rail, body, toasts, wait, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(toasts),
        Constraint::Length(wait),
        Constraint::Length(2),
    ])
    .areas(area);
    Rows {
        header,
        rail,
        wait,
        body,
        toasts: if toasts.height > 0 { toasts } else { body },
        footer,
    }
}

/// The share of the list where the screen is wide enough to have the detail at its right; else it goes below.
fn side_by_side(stage: Stage, width: u16) -> Option<u16> {
    let (share, from) = match stage {
        Stage::Scope => (56, 100),
        Stage::Decide => (40, 116),
        Stage::Commit | Stage::Sync => (42, 116),
        Stage::Close | Stage::Snapshot => (46, 100),
        Stage::Freeze | Stage::Thaw => return None,
    };
    (width >= from).then_some(share)
}

/// Where the panes are.
pub fn panes(model: &Model, body: Rect) -> Panes {
    if model.zoom {
        return match model.focus {
            Focus::Main => Panes {
                main: Some(body),
                detail: None,
            },
            Focus::Detail => Panes {
                main: None,
                detail: Some(body),
            },
        };
    }
    let [main, detail] = match side_by_side(model.stage, body.width) {
        Some(share) => Layout::horizontal([
            Constraint::Percentage(share),
            Constraint::Percentage(100 - share),
        ])
        .spacing(Spacing::Overlap(1))
        .areas(body),
        None => {
            let rows = u16::try_from(model.rows()).unwrap_or(u16::MAX);
            let most = body.height * 55 / 100;
            let least = if rows == 0 { 4 } else { 6 };
            let main = rows.saturating_add(3).clamp(least, most.max(6));
            Layout::vertical([Constraint::Length(main), Constraint::Min(3)])
                .spacing(Spacing::Overlap(1))
                .areas(body)
        }
    };
    Panes {
        main: Some(main),
        detail: Some(detail),
    }
}

/// What the shown stage shows. `cells`: width of the detail's inside.
pub fn screen(model: &Model, cells: u16) -> Screen<'_> {
    let mut screen = stage(model, cells);
    let stacked = side_by_side(model.stage, model.size.0).is_none();
    if stacked && !screen.below.is_empty() {
        // There is no room for a third pane: what would stand below is read on in the detail.
        let mut below = std::mem::take(&mut screen.below);
        if model.stage == Stage::Commit {
            below.rule(screen.detail_title.clone());
            below.append(std::mem::take(&mut screen.detail));
            screen.detail_title.clone_from(&screen.below_title);
            screen.detail = below;
        } else {
            screen.detail.rule(screen.below_title.clone()).append(below);
        }
    }
    screen
}

fn stage(model: &Model, cells: u16) -> Screen<'_> {
    match model.stage {
        Stage::Scope => scope::screen(model),
        Stage::Freeze => freeze::screen(model),
        Stage::Snapshot => snapshot::screen(model),
        Stage::Decide => decide::screen(model, cells),
        Stage::Commit => commit::screen(model),
        Stage::Sync => sync::screen(model, cells),
        Stage::Thaw => thaw::screen(model),
        Stage::Close => close::screen(model),
    }
}

fn detail_area(model: &Model) -> Option<Rect> {
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    panes(model, rows(model, area).body).detail
}

/// How many lines of the detail do not fit.
pub fn detail_overflow(model: &Model) -> usize {
    let Some(area) = detail_area(model) else {
        return 0;
    };
    let cells = area.width.saturating_sub(4);
    screen(model, cells)
        .detail
        .height(cells)
        .saturating_sub(usize::from(area.height.saturating_sub(2)))
}

/// What can be copied from where the cursor is, with its name.
pub fn copyable(model: &Model) -> Vec<(String, String)> {
    let mut all = Vec::new();
    if let (Stage::Decide, Some(cell)) = (model.stage, model.cell_here()) {
        all.extend(about::copyable(model, &cell));
    }
    let run = model.run();
    let newest = run.op_order.iter().rev().filter_map(|id| run.ops.get(id));
    let here = model.app_here();
    if let Some(op) = newest
        .filter(|op| here.is_none() || op.effect.application() == here.as_ref())
        .find(|op| !op.by_hand.is_empty())
    {
        all.push((
            format!("the last {} by hand", op.effect.verb()),
            op.by_hand.join("\n"),
        ));
    }
    if let Some(app) = here {
        all.push(("application".into(), app.to_string()));
    }
    if let Some(proposal) = &run.proposal {
        all.push(("commit".into(), proposal.commit.to_string()));
    }
    all
}

/// Draws everything.
pub fn view(model: &Model, frame: &mut Frame) {
    let area = frame.area();
    let buf = frame.buffer_mut();
    draw(model, area, buf);
    if model.theme.ascii {
        widgets::ascii::only(buf);
    }
}

fn draw(model: &Model, area: Rect, buf: &mut Buffer) {
    if area.width < MIN_SIZE.0 || area.height < MIN_SIZE.1 {
        return too_small(model.theme, area, buf);
    }
    let rows = rows(model, area);
    header::header(model, rows.header, buf);
    bars::rail(model, rows.rail, buf);
    body(model, rows.body, buf);
    bars::wait(model, rows.wait, buf);
    bars::footer(model, rows.footer, buf);
    // Under what lies over the screen: a message must not hide what is to be confirmed.
    bars::toasts(model, rows.toasts, buf);
    let settling = model.settling();
    for dialog in &model.dialogs {
        match dialog {
            Dialog::Sheet(sheet) => widgets::sheet::draw(model, sheet, buf),
            Dialog::Prompt(prompt) => {
                widgets::prompt::form(buf, area, model.theme, prompt, settling);
            }
            Dialog::Choose(choose) => {
                widgets::prompt::choose(buf, area, model.theme, choose, settling);
            }
            Dialog::Help(search) => lists::help(model, search, buf),
            Dialog::Palette(search) => lists::palette(model, search, buf),
            Dialog::Log(search) => lists::log(model, search, buf),
            Dialog::Page(page) => widgets::page(buf, area, model.theme, page),
            Dialog::Secret(secret) => {
                widgets::secret::draw(buf, area, model.theme, secret, model.time);
            }
        }
    }
}

fn body(model: &Model, area: Rect, buf: &mut Buffer) {
    let theme = model.theme;
    let Panes { main, detail } = panes(model, area);
    let cells = detail.map_or(0, |area| area.width.saturating_sub(4));
    let screen = screen(model, cells);
    if let Some(area) = main {
        list(model, &screen, area, buf);
    }
    if let Some(area) = detail {
        let focused = keymap::focused(model, Focus::Detail);
        let inner = pane(buf, area, theme, &screen.detail_title, "", focused);
        let how = match (focused, model.zoom) {
            (true, true) => "j k, + for all panes",
            (true, false) => "j k, + zooms",
            (false, _) => "tab, then j k",
        };
        screen
            .detail
            .draw_framed(padded(inner), buf, theme, model.list().scroll, how);
    }
}

/// A blank at both sides of a text.
fn padded(area: Rect) -> Rect {
    let blank = u16::from(area.width > 2);
    Rect {
        x: area.x + blank,
        width: area.width - 2 * blank,
        ..area
    }
}

fn list(model: &Model, screen: &Screen, area: Rect, buf: &mut Buffer) {
    let theme = model.theme;
    let focused = keymap::focused(model, Focus::Main);
    let filter = &model.list().filter;
    let right = if filter.is_empty() {
        screen.right.clone()
    } else {
        format!("/{} · {}", words::clean(filter), screen.right)
    };
    let (top, bottom) = split_below(screen, model.rows(), area);
    let inner = pane(buf, top, theme, &screen.title, &right, focused);
    if model.rows() == 0 {
        let mut doc = Doc::new();
        doc.text(Role::Dim, &screen.empty);
        doc.draw(padded(inner), buf, theme, 0);
    } else {
        let cursor = model.cursor().map(|at| (at, focused));
        table::draw(
            buf,
            inner,
            theme,
            &screen.columns,
            model.rows(),
            cursor,
            &*screen.row,
        );
    }
    if let Some(bottom) = bottom {
        let inner = pane(buf, bottom, theme, &screen.below_title, "", false);
        screen.below.draw_framed(padded(inner), buf, theme, 0, "");
    }
}

/// The list keeps what it needs, what is below it the rest, and never more than it needs.
fn split_below(screen: &Screen, len: usize, area: Rect) -> (Rect, Option<Rect>) {
    if screen.below.is_empty() || area.height < 9 {
        return (area, None);
    }
    let wanted = screen.below.height(area.width.saturating_sub(4)) + 2;
    let list = len.saturating_add(3).max(5);
    let total = usize::from(area.height) + 1;
    let below = wanted.min(total.saturating_sub(list).max(total / 3));
    let below = u16::try_from(below).unwrap_or(area.height / 2);
    let [top, bottom] = Layout::vertical([Constraint::Min(4), Constraint::Length(below)])
        .spacing(Spacing::Overlap(1))
        .areas(area);
    (top, Some(bottom))
}

fn too_small(theme: Theme, area: Rect, buf: &mut Buffer) {
    let mut doc = Doc::new();
    doc.text(
        Role::Strong,
        format!("{}×{} is too small", area.width, area.height),
    );
    doc.text(Role::Key, "ctrl-c leaves");
    doc.text(
        Role::Text,
        format!(
            "trueup needs {}×{}. Nothing is lost: make the terminal larger and go on. No other key does anything until then.",
            MIN_SIZE.0, MIN_SIZE.1
        ),
    );
    doc.draw(area, buf, theme, 0);
}
