//! A table that draws only the rows that are seen, with a cursor that stays in the middle of what is seen.

use super::words;
use crate::tui::theme::{Role, Theme};
use ratatui::{buffer::Buffer, layout::Rect};

/// A column; the last one that fits takes what is left. Columns that do not fit are left out from the right.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    pub width: u16,
    /// Takes part in sharing out the cells that are left.
    pub grows: bool,
}

pub const fn fixed(title: &'static str, width: u16) -> Column {
    Column {
        title,
        width,
        grows: false,
    }
}

pub const fn grows(title: &'static str, width: u16) -> Column {
    Column {
        title,
        width,
        grows: true,
    }
}

/// One cell of a row.
pub type Cell = (Role, String);

/// The first row that is seen.
pub fn top(cursor: usize, len: usize, room: usize) -> usize {
    cursor
        .saturating_sub(room / 2)
        .min(len.saturating_sub(room))
}

fn widths(columns: &[Column], room: u16) -> Vec<u16> {
    let mut taken = 0;
    let mut widths: Vec<u16> = Vec::new();
    for column in columns {
        let gap = u16::from(!widths.is_empty());
        if taken + gap + column.width > room {
            break;
        }
        taken += gap + column.width;
        widths.push(column.width);
    }
    if widths.is_empty() && !columns.is_empty() {
        return vec![room];
    }
    let growing: Vec<usize> = (0..widths.len()).filter(|i| columns[*i].grows).collect();
    let mut left = room - taken;
    if growing.is_empty() {
        if let Some(last) = widths.last_mut() {
            *last += left;
        }
        return widths;
    }
    let share = left / u16::try_from(growing.len()).unwrap_or(1);
    for i in &growing {
        widths[*i] += share;
        left -= share;
    }
    widths[growing[0]] += left;
    widths
}

/// Draws `len` rows of which `row` gives the cells. Without a title in any column there is no head line.
pub fn draw(
    buf: &mut Buffer,
    area: Rect,
    theme: Theme,
    columns: &[Column],
    len: usize,
    cursor: Option<(usize, bool)>,
    row: &dyn Fn(usize) -> Vec<Cell>,
) {
    if area.width < 4 || area.height == 0 {
        return;
    }
    let widths = widths(columns, area.width - 2);
    let mut y = area.y;
    if columns.iter().any(|c| !c.title.is_empty()) {
        let mut x = area.x + 2;
        for (column, width) in columns.iter().zip(&widths) {
            let text = words::pad(column.title, usize::from(*width));
            buf.set_string(x, y, text, theme.style(Role::Dim));
            x += width + 1;
        }
        y += 1;
    }
    let room = usize::from(area.bottom().saturating_sub(y));
    let at = cursor.map_or(0, |(at, _)| at);
    for i in (top(at, len, room)..len).take(room) {
        let here = cursor.filter(|(at, _)| *at == i);
        if let Some((_, focused)) = here {
            let style = theme.style(Role::Cursor);
            if focused {
                buf.set_style(Rect::new(area.x, y, area.width, 1), style);
            }
            buf.set_string(area.x, y, "▸", theme.style(Role::Key));
        }
        let mut x = area.x + 2;
        for ((role, text), width) in row(i).into_iter().zip(&widths) {
            let text = words::pad(&words::clean(&text), usize::from(*width));
            let mut style = theme.style(role);
            if matches!(here, Some((_, true))) {
                style = style.patch(theme.style(Role::Cursor));
                if let Some(fg) = theme.style(role).fg {
                    style = style.fg(fg);
                }
            }
            buf.set_string(x, y, text, style);
            x += width + 1;
        }
        y += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_always_among_the_rows_that_are_seen() {
        for len in 1..30 {
            for room in 1..12 {
                for cursor in 0..len {
                    let top = top(cursor, len, room);
                    assert!(
                        (top..top + room).contains(&cursor),
                        "{cursor} of {len}, {room}"
                    );
                }
            }
        }
    }

    #[test]
    fn columns_fill_the_width_and_never_more() {
        let columns = [fixed("a", 3), grows("b", 8), fixed("c", 6), grows("d", 10)];
        for room in 1..60 {
            let widths = widths(&columns, room);
            let sum: u16 = widths.iter().sum::<u16>() + u16::try_from(widths.len()).unwrap() - 1;
            assert_eq!(sum, room.max(1), "{widths:?}");
        }
    }
}
