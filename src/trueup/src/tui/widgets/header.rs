//! The header: which incident, which cluster, may we write, how long, what is owed, is it alive.

use super::words;
use crate::tui::{
    model::{Model, facts},
    theme::Role,
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};
use std::time::Duration;
use trueup_core::{event::Armed, run::Freeze, workflow::Stage};

/// Data older than this is said to be stale.
pub const STALE: Duration = Duration::from_secs(10);

/// Draws it. Where there is no room for all of it, the names are shortened first; what is frozen, and what is frozen no
/// more, goes last.
pub fn header(model: &Model, area: Rect, buf: &mut Buffer) {
    let theme = model.theme;
    buf.set_style(area, theme.style(Role::Bar));
    let run = model.run();
    let (armed_role, armed) = match run.armed {
        // The footer names the key too.
        Armed::Nothing if area.width < 100 => (Role::Dim, "not armed".to_owned()),
        Armed::Nothing => (Role::Dim, "not armed (W arms)".to_owned()),
        Armed::Git => (Role::Armed, " ARMED git ".to_owned()),
        Armed::Cluster => (Role::Armed, " ARMED cluster ".to_owned()),
        Armed::All => (Role::Armed, " ARMED ".to_owned()),
    };
    let mut length = run
        .opened_at
        .map(|at| format!("{}  ", words::clock(words::since(at, model.time))))
        .unwrap_or_default();
    let undecided = if area.width < 100 {
        "open"
    } else {
        "undecided"
    };
    let freezes = run.apps.iter().map(|(key, app)| (key, &app.freeze));
    let (elsewhere, lost): (Vec<_>, Vec<_>) = freezes
        .filter(|(_, freeze)| matches!(freeze, Freeze::Lost { .. }))
        .partition(|(key, _)| model.now().taken_over_by(run, key).is_some());
    let (elsewhere, lost) = (elsewhere.len(), lost.len());
    // At the end of the walk it is what is meant to be of all of them.
    let thawed = match model.world.next.stage() {
        Stage::Close if model.derived.frozen == 0 => 0,
        _ => model.derived.thawed,
    };
    let unknown = facts::unknown_writes(model);
    let unknown_word = match unknown {
        1 => "write unknown",
        _ => "writes unknown",
    };
    let broken = run.thaws_broken().count();
    // The first ones go last.
    let mut counts: Vec<(Role, String)> = [
        (Role::Bad, lost, "freeze LOST"),
        (Role::Bad, unknown, unknown_word),
        (Role::Bad, broken, "thaw did not hold"),
        (Role::Warn, model.derived.frozen, "frozen"),
        (Role::Warn, model.derived.thawing, "thawing"),
        (Role::Warn, thawed, "thawed"),
        (Role::Warn, elsewhere, "held elsewhere"),
        (Role::Warn, run.removed_gates.len(), "gate away"),
        (Role::Warn, model.derived.owed.len(), "owed"),
        (Role::Warn, model.derived.undecided_questions, undecided),
    ]
    .into_iter()
    .filter(|(_, n, _)| *n > 0)
    .map(|(role, n, word)| (role, format!("{n} {word}")))
    .collect();
    if model.unread().is_some() {
        // How many are undecided is not known: none is the one thing that it does not mean.
        counts.retain(|(_, text)| !text.ends_with(undecided));
        let after = counts.iter().take_while(|(role, _)| *role == Role::Bad);
        counts.insert(after.count(), (Role::Bad, "not all READ".to_owned()));
    }
    let (live_role, live) = live(model);
    let live = format!("{live} ");
    let room = usize::from(area.width).saturating_sub(words::width(&live) + 1);
    let wide = |counts: &[(Role, String)]| {
        let all: usize = counts.iter().map(|(_, text)| words::width(text)).sum();
        all + 3 * counts.len().saturating_sub(1)
    };
    let mut fixed = words::width(&armed) + 2 + words::width(&length);
    if lost > 0 && fixed + wide(&counts) + LEAST_NAMES > room {
        // How long it has been going on is less than what is lost and what is owed.
        fixed -= words::width(&length);
        length.clear();
    }
    let freezes = [
        lost,
        unknown,
        broken,
        model.derived.frozen,
        model.derived.thawing,
        thawed,
    ];
    let freezes = freezes.iter().filter(|n| **n > 0).count();
    while counts.len() > freezes.max(1) && fixed + wide(&counts) + LEAST_NAMES > room {
        counts.pop();
    }
    let (id, context) = names(model, room.saturating_sub(fixed + wide(&counts)));
    // As they are read: what is frozen, what is open, what is owed.
    counts.sort_by_key(|(_, text)| text.ends_with("owed"));
    let mut pieces = vec![
        (Role::Strong, id),
        (Role::Text, context),
        (armed_role, armed),
        (Role::Text, "  ".into()),
        (Role::Text, length),
    ];
    for (i, count) in counts.into_iter().enumerate() {
        if i > 0 {
            pieces.push((Role::Warn, " · ".into()));
        }
        pieces.push(count);
    }
    let mut left = room;
    let spans: Vec<Span> = pieces
        .into_iter()
        .map(|(role, text)| {
            let piece = words::fit(&text, left);
            left -= words::width(&piece).min(left);
            Span::styled(piece, theme.style(role))
        })
        .collect();
    buf.set_line(area.x, area.y, &Line::from(spans), area.width);
    let at = area
        .right()
        .saturating_sub(u16::try_from(words::width(&live)).unwrap_or(0))
        .max(area.x);
    buf.set_stringn(
        at,
        area.y,
        &live,
        usize::from(area.width),
        theme.style(live_role),
    );
}

/// The incident and the cluster are shortened to this together, blanks between them included, before a count is left out.
const LEAST_NAMES: usize = 2 * LEAST_NAME + 6;
const LEAST_NAME: usize = 8;

/// The incident and the cluster, in so many cells.
fn names(model: &Model, room: usize) -> (String, String) {
    let run = model.run();
    let id = match run.id() {
        "" => "no incident yet".to_owned(),
        id => id.to_owned(),
    };
    let context = if run.pin.context.is_empty() {
        "no cluster".to_owned()
    } else {
        words::fit(&words::clean(&run.pin.context), 28)
    };
    // A blank before it and two after it; a dot and two blanks after the cluster.
    let room = room.saturating_sub(6);
    let (mut for_id, mut for_context) = (words::width(&id), words::width(&context));
    while for_id + for_context > room && for_id.max(for_context) > 3 {
        // The longer one can spare it.
        if for_context >= for_id {
            for_context -= 1;
        } else {
            for_id -= 1;
        }
    }
    (
        format!(" {}  ", words::fit(&id, for_id)),
        format!("{} · ", words::fit(&context, for_context)),
    )
}

/// The live dot: word and glyph say the same as the colour.
fn live(model: &Model) -> (Role, String) {
    if model.world.stopped {
        return (Role::Bad, "✗ engine stopped".into());
    }
    match model.data_age() {
        None => (Role::Dim, "○ no data yet".into()),
        Some(age) if age >= STALE => (Role::Bad, format!("◌ STALE {}", words::age(age))),
        Some(age) => (Role::Good, format!("● live {}", words::age(age))),
    }
}
