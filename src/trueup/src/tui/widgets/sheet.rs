//! The action sheet: what, where, assumptions, undo, by hand, and the one way to go ahead.

use super::{boxed, doc::Doc, over, words};
use crate::tui::{
    model::{Model, dialog::SheetDialog},
    theme::{Role, Theme},
};
use ratatui::{buffer::Buffer, layout::Rect, text::Line, text::Span};
use trueup_core::sheet::{Confirm, Part, Refusal, Sheet};

fn pairs(doc: &mut Doc, label: &str, role: Role, lines: &[String]) {
    for (i, line) in lines.iter().enumerate() {
        doc.pair(if i == 0 { label } else { "" }, role, line);
    }
}

fn doc_of(sheet: &Sheet, shown: impl Fn(Part) -> bool) -> Doc {
    let mut doc = Doc::new();
    for (part, lines) in sheet.parts().iter().filter(|(part, _)| shown(*part)) {
        let role = match part {
            Part::Will => Role::Strong,
            Part::Mind => Role::Warn,
            Part::ByHand => Role::Dim,
            _ => Role::Text,
        };
        pairs(&mut doc, part.label(), role, lines);
    }
    doc
}

/// What has to be read before it can be confirmed.
fn must_read(sheet: &Sheet) -> Doc {
    doc_of(sheet, |part| part != Part::ByHand)
}

fn whole(sheet: &Sheet) -> Doc {
    doc_of(sheet, |_| true)
}

/// Why it is over, above its confirmation.
fn over_now(dialog: &SheetDialog) -> Doc {
    let mut doc = Doc::new();
    if let Some(Refusal { reason, hint, .. }) = &dialog.overtaken {
        let hint = match hint.as_str() {
            "" => String::new(),
            hint => format!(" · {hint}"),
        };
        let said = format!("! no longer so, it would be refused: {reason}{hint}");
        doc.indented(2, Role::Bad, words::clean(&said));
    }
    doc
}

/// So many lines of that are shown.
fn over_rows(dialog: &SheetDialog, width: u16) -> u16 {
    let rows = over_now(dialog).height(width);
    u16::try_from(rows).unwrap_or(u16::MAX).min(OVER_ROWS)
}

const OVER_ROWS: u16 = 5;

fn frame(size: (u16, u16), dialog: &SheetDialog) -> Rect {
    let screen = Rect::new(0, 0, size.0, size.1);
    let wide = over(screen, 110, size.1);
    let width = wide.width.saturating_sub(4);
    let rows = whole(&dialog.sheet).height(width) + usize::from(over_rows(dialog, width));
    let height = u16::try_from(rows + 5).unwrap_or(u16::MAX);
    over(screen, 110, height.min(size.1.saturating_sub(2)))
}

fn room(size: (u16, u16), dialog: &SheetDialog) -> (u16, usize) {
    let area = frame(size, dialog);
    let width = area.width.saturating_sub(4);
    let below = 5 + over_rows(dialog, width);
    (width, usize::from(area.height.saturating_sub(below)))
}

/// Lines of what has to be read that have not been on the screen yet.
pub fn unread(dialog: &SheetDialog, size: (u16, u16)) -> usize {
    let (width, room) = room(size, dialog);
    must_read(&dialog.sheet)
        .height(width)
        .saturating_sub(dialog.scroll + room)
}

/// Where the scroll stands after moving by so many lines.
pub fn scrolled(dialog: &SheetDialog, size: (u16, u16), by: isize) -> usize {
    let (width, room) = room(size, dialog);
    let most = whole(&dialog.sheet).height(width).saturating_sub(room);
    dialog.scroll.saturating_add_signed(by).min(most)
}

/// Draws it over the screen.
pub fn draw(model: &Model, dialog: &SheetDialog, buf: &mut Buffer) {
    let theme = model.theme;
    let sheet = &dialog.sheet;
    let area = frame(model.size, dialog).intersection(buf.area);
    let read = format!(
        "facts read {} ago",
        words::age(words::since(sheet.read_at, model.time))
    );
    let inner = boxed(buf, area, theme, &words::clean(&sheet.title), &read);
    let over = over_rows(dialog, inner.width);
    if inner.height < 4 + over {
        return;
    }
    let foot = 3 + over;
    let body = Rect::new(inner.x, inner.y, inner.width, inner.height - foot);
    let rule = "─".repeat(usize::from(inner.width));
    buf.set_stringn(
        inner.x,
        inner.bottom() - foot,
        rule,
        usize::from(inner.width),
        theme.style(Role::Border),
    );
    // The rule takes the note: no line that has to be read is under it.
    whole(sheet).draw_framed(body, buf, theme, dialog.scroll, "↓");
    let why = Rect::new(inner.x, inner.bottom() - foot + 1, inner.width, over);
    over_now(dialog).draw(why, buf, theme, 0);
    if let Some(wrong) = &dialog.wrong {
        buf.set_stringn(
            inner.x,
            inner.bottom() - 2,
            words::fit(wrong, usize::from(inner.width)),
            usize::from(inner.width),
            theme.style(Role::Bad),
        );
    }
    let line = if model.settling() {
        Line::from(vec![
            Span::styled("esc", theme.style(Role::Key)),
            Span::styled(
                " no    (what confirms it works in a moment)",
                theme.style(Role::Dim),
            ),
        ])
    } else {
        confirm_line(dialog, theme, unread(dialog, model.size))
    };
    buf.set_line(inner.x, inner.bottom() - 1, &line, inner.width);
}

fn confirm_line(dialog: &SheetDialog, theme: Theme, unread: usize) -> Line<'static> {
    let span = |role: Role, text: String| Span::styled(text, theme.style(role));
    let mut spans = vec![
        span(Role::Key, "esc".into()),
        span(Role::Text, " no    ".into()),
    ];
    if dialog.overtaken.is_some() {
        let said = "nothing can be confirmed here as things stand now";
        spans.push(span(Role::Bad, said.into()));
        return Line::from(spans);
    }
    if unread > 0 {
        spans.push(span(
            Role::Warn,
            format!("↓ {unread} more to read first    "),
        ));
    }
    match &dialog.sheet.confirm {
        Confirm::Type(token) => {
            spans.push(span(
                Role::Strong,
                format!("type {} to go ahead: ", words::clean(token)),
            ));
            spans.push(span(Role::Key, words::clean(&dialog.typed)));
            spans.push(span(Role::Key, "▏".into()));
        }
        Confirm::Button => {
            let (no, yes) = if dialog.on_do {
                (Role::Text, Role::Here)
            } else {
                (Role::Here, Role::Text)
            };
            let mark = |on: bool| if on { "▸" } else { " " };
            spans.push(span(no, format!("{}[ No ]", mark(!dialog.on_do))));
            spans.push(span(Role::Text, "  ".into()));
            spans.push(span(yes, format!("{}[ Do it ]", mark(dialog.on_do))));
            spans.push(span(Role::Dim, "   tab between them, enter".into()));
        }
    }
    Line::from(spans)
}
