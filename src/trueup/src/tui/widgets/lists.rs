//! Help, palette and command log: lists that are searched by typing.

use super::{boxed, over, table, words};
use crate::tui::{
    keymap::{self, Binding, Context, TABLE},
    model::{Model, derived::Filter, dialog::Search},
    theme::Role,
    update,
};
use ratatui::{buffer::Buffer, layout::Rect};

fn frame(
    model: &Model,
    buf: &mut Buffer,
    title: &str,
    keys: &str,
    search: &Search,
) -> Option<Rect> {
    let theme = model.theme;
    let area = over(buf.area, 110, buf.area.height.saturating_sub(4));
    let inner = boxed(buf, area, theme, title, keys);
    if inner.height < 3 {
        return None;
    }
    buf.set_stringn(
        inner.x,
        inner.y,
        format!("/ {}▏", words::clean(&search.typed)),
        usize::from(inner.width),
        theme.style(Role::Key),
    );
    Some(Rect::new(
        inner.x,
        inner.y + 1,
        inner.width,
        inner.height - 1,
    ))
}

fn binding_row(model: &Model, binding: &Binding) -> Vec<table::Cell> {
    let label = keymap::label(binding, model).unwrap_or_else(|| "choose that column".into());
    let (role, why) = match keymap::works(binding, model) {
        Ok(()) => (Role::Text, String::new()),
        Err(why) => (Role::Dim, format!("not now: {why}")),
    };
    vec![
        (Role::Key, binding.keys.join(" ")),
        (role, label),
        (Role::Dim, binding.context.title().to_owned()),
        (Role::Dim, why),
    ]
}

/// Every key that works here, then everywhere, then on other screens.
pub fn help(model: &Model, search: &Search, buf: &mut Buffer) {
    let mut filter = Filter::new(&search.typed);
    let order = |context: Context| match context {
        Context::On(stage) if stage == model.stage => 0,
        Context::Everywhere => 1,
        Context::Sheet
        | Context::Prompt
        | Context::Choose
        | Context::Search
        | Context::Page
        | Context::Secret => 2,
        Context::On(_) => 3,
    };
    let mut rows: Vec<&Binding> = TABLE
        .iter()
        .filter(|b| {
            filter.hits(&format!(
                "{} {} {}",
                b.keys.join(" "),
                b.label,
                b.context.title()
            ))
        })
        .collect();
    rows.sort_by_key(|b| order(b.context));
    let title = format!("help: the keys of {}", model.stage.name());
    if let Some(area) = frame(model, buf, &title, "type to search  esc back", search) {
        let columns = [
            table::fixed("key", 14),
            table::fixed("does", 26),
            table::fixed("where", 14),
            table::grows("", 10),
        ];
        let cursor = search.cursor.min(rows.len().saturating_sub(1));
        table::draw(
            buf,
            area,
            model.theme,
            &columns,
            rows.len(),
            Some((cursor, true)),
            &|i| binding_row(model, rows[i]),
        );
    }
}

/// Every action by name.
pub fn palette(model: &Model, search: &Search, buf: &mut Buffer) {
    let rows = update::palette_rows(model, &search.typed);
    if let Some(area) = frame(model, buf, "command", "enter does it  esc back", search) {
        let columns = [
            table::fixed("key", 14),
            table::fixed("does", 26),
            table::fixed("where", 14),
            table::grows("", 10),
        ];
        let cursor = search.cursor.min(rows.len().saturating_sub(1));
        table::draw(
            buf,
            area,
            model.theme,
            &columns,
            rows.len(),
            Some((cursor, true)),
            &|i| binding_row(model, rows[i]),
        );
    }
}

/// What was asked of the outside world, newest first.
pub fn log(model: &Model, search: &Search, buf: &mut Buffer) {
    let rows = update::log_rows(model, &search.typed);
    let title = format!("command log: {} of {}", rows.len(), model.world.log.len());
    if let Some(area) = frame(model, buf, &title, "enter all of it  esc back", search) {
        let columns = [
            table::fixed("time", 8),
            table::grows("by hand", 30),
            table::fixed("took", 8),
            table::fixed("result", 16),
        ];
        let cursor = search.cursor.min(rows.len().saturating_sub(1));
        table::draw(
            buf,
            area,
            model.theme,
            &columns,
            rows.len(),
            Some((cursor, true)),
            &|i| {
                let (at, line) = rows[i];
                vec![
                    (Role::Dim, at.strftime("%H:%M:%S").to_string()),
                    (Role::Text, line.by_hand.clone()),
                    (Role::Dim, format!("{} ms", line.millis)),
                    (Role::Text, line.result.clone()),
                ]
            },
        );
    }
}
