//! Rail, footer, wait line and toasts.

use super::words;
use crate::engine::handle::Held;
use crate::tui::{
    keymap,
    model::{
        Model, ToastKind,
        dialog::{Dialog, SheetDialog},
        facts,
        hold::Asked,
    },
    theme::Role,
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};
use trueup_core::{
    object::identity::AppKey,
    run::{AppRun, Freeze, Sync},
    sheet::Confirm,
    workflow::{Next, Stage},
};

/// A stage that is done for those that are walked, and not for those that were left behind in it or before it.
fn passed_without(model: &Model, stage: Stage, short: bool) -> Option<(Role, String)> {
    let behind = &model.derived.behind;
    let left = behind.values().filter(|b| b.stage <= stage);
    let (n, parked) = left.fold((0, true), |(n, parked), b| (n + 1, parked && b.parked));
    if n == 0 {
        return None;
    }
    let scope = model.run().scope.len();
    let done = scope.saturating_sub(n);
    let name = stage.name();
    // The count stands where the hindmost is; further on it is the same one.
    let hindmost = behind.values().map(|b| b.stage).min() == Some(stage);
    let text = match (short, hindmost) {
        (true, _) => format!("{name} {done}/{scope}"),
        (false, true) => {
            let word = if parked { "parked" } else { "kept frozen" };
            format!("{name} ✓ {done} · {n} {word}")
        }
        (false, false) => format!("{name} ✓ {done}"),
    };
    Some((Role::Warn, text))
}

/// Where the walk is, with a count where there is one. `short`: where there is no room for words.
fn station(model: &Model, stage: Stage, short: bool) -> (Role, String) {
    let run = model.run();
    let next = &model.world.next;
    let at = next.stage();
    let blocked = matches!(next, Next::Stopped { .. } | Next::Refreeze { .. }) && stage == at;
    let walking: Vec<_> = run.walking().collect();
    let count = |done: usize, all: usize| {
        if all == 0 || done == all {
            String::new()
        } else {
            format!(" {done}/{all}")
        }
    };
    let of_those_on_the_way = |done: &dyn Fn(&AppKey, &AppRun) -> bool| {
        let all = facts::on_the_way(model);
        let through = all.iter().filter(|(key, app)| done(key, app));
        count(through.count(), all.len())
    };
    let counts = match stage {
        Stage::Freeze if stage <= at => {
            count(facts::through_the_freeze(model).len(), walking.len())
        }
        Stage::Decide => {
            let open = model.derived.undecided_questions;
            let (decided, questions) = model.now().decided_of(open);
            if questions == 0 || decided == questions || stage > at {
                String::new()
            } else {
                format!(" {decided}/{questions}")
            }
        }
        Stage::Sync if stage == at => of_those_on_the_way(&|key, app| {
            matches!(facts::sync_now(model, key, app), Sync::Verified { .. })
                && facts::open_again(model, key).is_empty()
        }),
        Stage::Thaw if stage == at => of_those_on_the_way(&|_, app| app.freeze == Freeze::Thawed),
        _ => String::new(),
    };
    let name = stage.name();
    let undecided = model.derived.undecided_questions > 0;
    let closed = matches!(next, Next::Closed);
    if (closed || stage < at)
        && stage != Stage::Close
        && let Some(passed) = passed_without(model, stage, short)
    {
        return passed;
    }
    if closed {
        return (Role::Good, format!("{name} ✓"));
    }
    // Passed without it, for want of the right to freeze.
    if stage == Stage::Freeze
        && stage < at
        && run.unfrozen.is_some()
        && !walking.iter().any(|(_, app)| app.freeze.is_set())
    {
        return (Role::Warn, "unfrozen".into());
    }
    let was_passed = match stage {
        Stage::Commit => !run.landed.is_empty(),
        Stage::Sync => walking
            .iter()
            .any(|(_, a)| matches!(a.sync, Sync::Verified { .. })),
        _ => false,
    };
    if stage > at && (stage < model.furthest || was_passed) && model.unread().is_some() {
        // That it still stands cannot be seen.
        return (Role::Warn, format!("{name} ?"));
    }
    if blocked {
        (Role::Bad, format!("! {name}{counts}"))
    } else if stage == at && model.furthest > at {
        (Role::Warn, format!("↺ {name}{counts}"))
    } else if stage == at {
        (Role::Strong, format!("▶ {name}{counts}"))
    } else if stage < at && matches!(stage, Stage::Decide | Stage::Commit) && undecided {
        // Whatever the walk is at, this is still to be done.
        (Role::Warn, format!("{name}{counts}"))
    } else if stage < at && stage == Stage::Snapshot && run.blind_now().is_some() {
        // It is none of what could not be read.
        (Role::Warn, format!("{name} ?"))
    } else if stage < at {
        (Role::Good, format!("{name}{counts} ✓"))
    } else {
        (Role::Dim, format!("{name}{counts}"))
    }
}

/// The eight stages; the screen that is shown stands in brackets and reversed.
pub fn rail(model: &Model, area: Rect, buf: &mut Buffer) {
    let theme = model.theme;
    let room = usize::from(area.width);
    let all = |short: bool| -> Vec<(Stage, Role, String)> {
        let station = |stage| {
            let (role, text) = station(model, stage, short);
            (stage, role, text)
        };
        Stage::ALL.into_iter().map(station).collect()
    };
    let wide = |stations: &[(Stage, Role, String)]| -> usize {
        stations.iter().map(|(_, _, t)| words::width(t)).sum()
    };
    let mut stations = all(false);
    if wide(&stations) + 2 + 7 > room {
        stations = all(true);
    }
    let taken = wide(&stations);
    let gap = if taken + 2 + 7 * 3 + 2 <= room {
        " ─ "
    } else if taken + 2 + 7 <= room {
        " "
    } else {
        ""
    };
    let mut spans = vec![Span::raw(if gap.is_empty() { "" } else { " " })];
    for (i, (stage, role, text)) in stations.into_iter().enumerate() {
        if i > 0 {
            spans.push(Span::styled(gap, theme.style(Role::Dim)));
        }
        if stage == model.stage {
            let style = theme.style(Role::Here);
            let text = if stage == model.world.next.stage() || gap != " ─ " {
                text
            } else {
                format!("[{text}]")
            };
            spans.push(Span::styled(text, style));
        } else {
            spans.push(Span::styled(text, theme.style(role)));
        }
    }
    buf.set_line(area.x, area.y, &Line::from(spans), area.width);
}

/// Two lines: what works on this screen, and what works everywhere. What cannot work now is dim and in parentheses.
pub fn footer(model: &Model, area: Rect, buf: &mut Buffer) {
    let theme = model.theme;
    if area.height == 0 {
        return;
    }
    if let (None, Some(Dialog::Sheet(sheet))) = (model.held(), model.dialogs.last()) {
        return sheet_keys(model, sheet, area, buf);
    }
    if let Some(asked) = model.held() {
        held(model, asked, area, buf);
    } else if model.filtering {
        let line = Line::from(vec![
            Span::styled(" / ", theme.style(Role::Key)),
            Span::raw(words::clean(&model.list().filter)),
            Span::styled("▏", theme.style(Role::Key)),
            Span::styled(
                format!(
                    "  {} rows · enter keeps · esc clears · !not 'exactly",
                    model.rows()
                ),
                theme.style(Role::Dim),
            ),
        ]);
        buf.set_line(area.x, area.y, &line, area.width);
    } else {
        keys(model, &keymap::footer(model), area, buf, None);
    }
    if area.height > 1 {
        let row = Rect::new(area.x, area.y + 1, area.width, 1);
        let next = facts::next_words(model);
        keys(
            model,
            &keymap::footer_everywhere(model),
            row,
            buf,
            Some(&next),
        );
    }
}

/// On a sheet nothing but its own keys works: they stand in the place of all others.
fn sheet_keys(model: &Model, dialog: &SheetDialog, area: Rect, buf: &mut Buffer) {
    let theme = model.theme;
    let mut spans = Vec::new();
    let mut key = |key: &str, does: &str| {
        spans.push(Span::styled(format!(" {key}"), theme.style(Role::Key)));
        spans.push(Span::raw(format!(" {does} ")));
    };
    match &dialog.sheet.confirm {
        _ if dialog.overtaken.is_some() => {}
        Confirm::Type(token) => {
            key(&words::clean(token), "typed, then enter, goes ahead");
        }
        Confirm::Button => key("tab", "to Do it, then enter, goes ahead"),
    }
    key("esc", "leaves, nothing is done");
    key("↑↓", "read");
    buf.set_line(area.x, area.y, &Line::from(spans), area.width);
    if area.height > 1 {
        let next = facts::next_words(model);
        let room = usize::from(area.width).saturating_sub(6);
        let text = format!(" (n {})", words::fit(&next, room));
        buf.set_stringn(
            area.x,
            area.y + 1,
            text,
            usize::from(area.width),
            theme.style(Role::Dim),
        );
    }
}

/// What the keys are held for, in place of the keys.
fn held(model: &Model, asked: &Asked, area: Rect, buf: &mut Buffer) {
    let theme = model.theme;
    let times = format!(
        " {} / {}",
        words::short_clock(words::since(asked.since, model.time)),
        words::short_clock(asked.limit)
    );
    let out = "  esc gives up, other keys do nothing";
    let room = usize::from(area.width).saturating_sub(13 + times.len() + out.len() + 1);
    let line = Line::from(vec![
        Span::styled(" waiting for ", theme.style(Role::Warn)),
        Span::styled(
            words::fit(&words::clean(&asked.what), room),
            theme.style(Role::Strong),
        ),
        Span::raw(times),
        Span::styled(out, theme.style(Role::Key)),
    ]);
    buf.set_line(area.x, area.y, &line, area.width);
}

fn keys(
    model: &Model,
    bindings: &[(&'static keymap::Binding, String, bool)],
    area: Rect,
    buf: &mut Buffer,
    next: Option<&str>,
) {
    let theme = model.theme;
    let mut spans = Vec::new();
    let mut left = usize::from(area.width).saturating_sub(1);
    let mut push = |role: Role, text: String, left: &mut usize| {
        let piece = words::fit(&text, *left);
        *left -= words::width(&piece).min(*left);
        spans.push(Span::styled(piece, theme.style(role)));
    };
    push(Role::Text, " ".into(), &mut left);
    let free = model.held().is_none();
    if let Some(next) = next {
        let room = left.saturating_sub(46).clamp(16, 60);
        let next = words::fit(next, room);
        if free && !(model.settling() && model.dialogs.is_empty()) {
            push(Role::Key, "n ".into(), &mut left);
            push(Role::Strong, format!("{next}  "), &mut left);
        } else {
            push(Role::Dim, format!("(n {next})  "), &mut left);
        }
    }
    // What works goes before what does not, where there is no room for both.
    let wide = |label: &str, key: &str| words::width(label) + words::width(key) + 3;
    let mut spare = left.saturating_sub(
        bindings
            .iter()
            .filter(|(binding, _, can)| *can || keymap::works(binding, model).is_ok())
            .map(|(binding, label, _)| wide(label, binding.keys[0]))
            .sum(),
    );
    for (binding, label, can) in bindings {
        let can = &(*can && free);
        if !*can && keymap::works(binding, model).is_err() {
            let width = wide(label, binding.keys[0]) + 2;
            if width > spare {
                continue;
            }
            spare -= width;
        }
        let text = if *can {
            format!("{} {label}", binding.keys[0])
        } else {
            format!("({} {label})", binding.keys[0])
        };
        if words::width(&text) + 2 > left {
            continue;
        }
        if *can {
            push(Role::Key, binding.keys[0].to_owned(), &mut left);
            push(Role::Text, format!(" {label}  "), &mut left);
        } else {
            push(Role::Dim, format!("{text}  "), &mut left);
        }
    }
    buf.set_line(area.x, area.y, &Line::from(spans), area.width);
}

/// What is waited for: how long, of how long, and how to give it up.
pub fn wait(model: &Model, area: Rect, buf: &mut Buffer) {
    let theme = model.theme;
    let Some(waiting) = model.waiting() else {
        stands_still(model, area, buf);
        return;
    };
    let spent = words::since(waiting.since, model.time);
    let share = if waiting.limit.is_zero() {
        0.0
    } else {
        (spent.as_secs_f64() / waiting.limit.as_secs_f64()).min(1.0)
    };
    // On a narrow screen the words have the room.
    let cells: u16 = if area.width < 100 { 6 } else { 12 };
    let full = (0..cells)
        .filter(|i| f64::from(*i) < share * f64::from(cells))
        .count();
    let bar = format!(
        "{}{}",
        "█".repeat(full),
        "░".repeat(usize::from(cells) - full)
    );
    let cancel = if waiting.cancellable {
        "  c gives up"
    } else {
        "  goes on by itself"
    };
    let times = format!(
        " {} / {} ",
        words::short_clock(spent),
        words::short_clock(waiting.limit)
    );
    let fixed = words::width(&times) + words::width(cancel) + usize::from(cells) + 14;
    let what = words::fit(
        &words::clean(&waiting.what),
        usize::from(area.width).saturating_sub(fixed),
    );
    let line = Line::from(vec![
        Span::styled(" waiting for ", theme.style(Role::Warn)),
        Span::styled(what, theme.style(Role::Strong)),
        Span::raw(" "),
        Span::styled(bar, theme.style(Role::Info)),
        Span::raw(times),
        Span::styled(cancel, theme.style(Role::Dim)),
    ]);
    buf.set_line(area.x, area.y, &line, area.width);
}

/// What could be observed and is not, and how it goes on.
fn stands_still(model: &Model, area: Rect, buf: &mut Buffer) {
    let (said, again) = match model.stands_still() {
        None | Some(Held::No) => return unwatched(model, area, buf),
        Some(Held::GivenUp) => (" wait given up: ", "  not looked at any more; n goes on"),
        Some(Held::Failed) => (" stopped: ", "  not tried again by itself; n tries again"),
    };
    let fixed = words::width(said) + words::width(again);
    let what = words::fit(
        &facts::next_words(model),
        usize::from(area.width).saturating_sub(fixed),
    );
    let line = Line::from(vec![
        Span::styled(said, model.theme.style(Role::Warn)),
        Span::styled(what, model.theme.style(Role::Strong)),
        Span::styled(again, model.theme.style(Role::Dim)),
    ]);
    buf.set_line(area.x, area.y, &line, area.width);
}

/// The gate at which the walk stood before it had to go back.
fn unwatched(model: &Model, area: Rect, buf: &mut Buffer) {
    let Some(gate) = model.unwatched() else {
        return;
    };
    let said = " is not watched meanwhile";
    let gate = words::fit(
        &words::clean(&gate),
        usize::from(area.width).saturating_sub(words::width(said) + 1),
    );
    let line = Line::from(vec![
        Span::styled(format!(" {gate}"), model.theme.style(Role::Strong)),
        Span::styled(said, model.theme.style(Role::Warn)),
    ]);
    buf.set_line(area.x, area.y, &line, area.width);
}

/// On a screen this low messages have rows of their own: nothing is covered.
const LOW: u16 = 30;

/// Rows of one message.
const EACH: usize = 4;

fn message_room(width: u16) -> usize {
    usize::from(width.saturating_sub(6)).clamp(10, 96)
}

/// Whether a message is shown whole on a screen this wide.
pub fn message_fits(text: &str, width: u16) -> bool {
    words::wrap(&format!("! {text}"), message_room(width)).len() <= EACH
}

fn toast_lines(model: &Model, width: u16) -> Vec<(Role, Vec<String>)> {
    let room = message_room(width);
    model
        .toasts
        .iter()
        .map(|toast| {
            let (role, mark) = match toast.kind {
                ToastKind::Said => (Role::Info, "·"),
                ToastKind::Done => (Role::Good, "✓"),
                ToastKind::Mind | ToastKind::Refused => (Role::Warn, "!"),
                ToastKind::Failed => (Role::Bad, "✗"),
            };
            let mut lines = words::wrap(&format!("{mark} {}", toast.text), room);
            // What happened stands at the beginning, what to do at the end.
            let mut cells = room * EACH;
            while lines.len() > EACH && cells > 16 {
                cells -= 4;
                let text = words::fit_middle(&toast.text, cells);
                lines = words::wrap(&format!("{mark} {text}"), room);
            }
            (role, lines)
        })
        .collect()
}

/// Rows that messages take for themselves: the newest ones, at most five.
pub fn toast_rows(model: &Model, width: u16, height: u16) -> u16 {
    if height >= LOW {
        return 0;
    }
    let lines: usize = toast_lines(model, width).iter().map(|(_, l)| l.len()).sum();
    u16::try_from(lines.min(5)).unwrap_or(5)
}

/// Short messages, newest lowest, right above the footer.
pub fn toasts(model: &Model, area: Rect, buf: &mut Buffer) {
    let theme = model.theme;
    let mut y = area.bottom();
    for (role, lines) in toast_lines(model, area.width).iter().rev() {
        let height = u16::try_from(lines.len()).unwrap_or(1);
        if area.width < 16 || y < area.y + height {
            return;
        }
        y -= height;
        let wide = lines.iter().map(|l| words::width(l)).max().unwrap_or(0) + 2;
        for (i, line) in lines.iter().enumerate() {
            let text = format!(" {} ", words::pad(line, wide - 2));
            let x = area
                .right()
                .saturating_sub(u16::try_from(wide).unwrap_or(area.width) + 2)
                .max(area.x);
            let row = y + u16::try_from(i).unwrap_or(0);
            buf.set_stringn(
                x,
                row,
                &text,
                usize::from(area.width),
                theme.style(Role::Cursor).patch(theme.style(*role)),
            );
        }
    }
}
