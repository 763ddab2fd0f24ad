//! Pieces of the screen that know nothing of a stage.

pub mod ascii;
pub mod bars;
pub mod doc;
pub mod header;
pub mod lists;
pub mod prompt;
pub mod secret;
pub mod sheet;
pub mod spark;
pub mod table;
pub mod words;

use super::{
    model::dialog::Page,
    theme::{Role, Theme},
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    symbols::merge::MergeStrategy,
    text::Span,
    widgets::{Block, Clear, Widget},
};

/// A bordered pane with its title and a count at the right; answers with what is inside.
pub fn pane(
    buf: &mut Buffer,
    area: Rect,
    theme: Theme,
    title: &str,
    right: &str,
    focused: bool,
) -> Rect {
    let border = if focused { Role::Focus } else { Role::Border };
    let room = usize::from(area.width.saturating_sub(4));
    let right_width = if right.is_empty() {
        0
    } else {
        words::width(right) + 3
    };
    let title = words::fit(&words::clean(title), room.saturating_sub(right_width));
    let mut block = Block::bordered()
        .border_style(theme.style(border))
        .merge_borders(MergeStrategy::Exact);
    if !title.is_empty() {
        let role = if focused { Role::Focus } else { Role::Title };
        block = block.title_top(Span::styled(format!(" {title} "), theme.style(role)));
    }
    if !right.is_empty() && room > right_width {
        let right = ratatui::text::Line::styled(format!(" {right} "), theme.style(Role::Dim));
        block = block.title_top(right.right_aligned());
    }
    let inner = block.inner(area);
    block.render(area, buf);
    inner
}

/// A box over the screen, at most `width` by `height`.
pub fn over(area: Rect, width: u16, height: u16) -> Rect {
    let width = width
        .min(area.width.saturating_sub(2))
        .max(1)
        .min(area.width);
    let height = height
        .min(area.height.saturating_sub(2))
        .max(1)
        .min(area.height);
    Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    )
}

/// A cleared, bordered box; answers with what is inside, a blank at both sides.
pub fn boxed(buf: &mut Buffer, area: Rect, theme: Theme, title: &str, right: &str) -> Rect {
    Clear.render(area, buf);
    let block = Block::bordered()
        .border_style(theme.style(Role::Focus))
        .title_top(Span::styled(
            format!(
                " {} ",
                words::fit(title, usize::from(area.width.saturating_sub(4)))
            ),
            theme.style(Role::Focus),
        ));
    let block = if right.is_empty() {
        block
    } else {
        let right = words::fit(right, usize::from(area.width.saturating_sub(4)));
        block.title_bottom(
            ratatui::text::Line::styled(format!(" {right} "), theme.style(Role::Dim))
                .right_aligned(),
        )
    };
    let inner = block.inner(area);
    block.render(area, buf);
    Rect::new(
        inner.x + u16::from(inner.width > 2),
        inner.y,
        inner.width.saturating_sub(2 * u16::from(inner.width > 2)),
        inner.height,
    )
}

fn page_area(size: (u16, u16)) -> Rect {
    over(
        Rect::new(0, 0, size.0, size.1),
        96,
        size.1.saturating_sub(6),
    )
}

/// How far a page can be scrolled.
pub fn page_overflow(page: &Page, size: (u16, u16)) -> usize {
    let area = page_area(size);
    let rows = page.doc.height(area.width.saturating_sub(4));
    rows.saturating_sub(usize::from(area.height.saturating_sub(2)))
}

/// Something to read.
pub fn page(buf: &mut Buffer, area: Rect, theme: Theme, page: &Page) {
    let rows = page
        .doc
        .height(page_area((area.width, area.height)).width.saturating_sub(4));
    let mut frame = page_area((area.width, area.height));
    let wanted = u16::try_from(rows + 2).unwrap_or(u16::MAX).max(4);
    if wanted < frame.height {
        frame = over(area, frame.width, wanted);
    }
    let below = rows.saturating_sub(page.scroll + usize::from(frame.height.saturating_sub(2)));
    let keys = match below {
        0 => "esc back  y copy".to_owned(),
        n => format!("{n} more below: j k  esc back  y copy"),
    };
    let inner = boxed(buf, frame, theme, &page.title, &keys);
    page.doc.rows(inner, buf, theme, page.scroll);
}
