//! Forms and choices.

use super::{boxed, doc::Doc, over, table, words};
use crate::tui::{
    model::{
        dialog::{Choose, Prompt},
        value,
    },
    theme::{Role, Theme},
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style, widgets::Widget};

fn notes(notes: &[(Role, String)]) -> Doc {
    let mut doc = Doc::new();
    for (role, text) in notes {
        doc.indented(2, *role, text);
    }
    doc
}

/// A form; the field with the keys has a mark and a cursor.
///
/// `settling`: it is too new for a key to be meant for it.
pub fn form(buf: &mut Buffer, area: Rect, theme: Theme, prompt: &Prompt, settling: bool) {
    let width = 84.min(area.width.saturating_sub(2));
    let head = notes(&prompt.notes);
    let head_height = u16::try_from(head.height(width.saturating_sub(4))).unwrap_or(u16::MAX);
    let rows: u16 = prompt
        .fields
        .iter()
        .map(|f| if f.many_lines { 9 } else { 2 })
        .sum();
    let mut wrong = Doc::new();
    if let Some(why) = &prompt.wrong {
        wrong.indented(2, Role::Bad, format!("! {why}"));
    } else if prompt.missed {
        wrong.indented(
            2,
            Role::Warn,
            "! what was typed as the form came up is not in it: read what stands here",
        );
    }
    let wrong_height = u16::try_from(wrong.height(width.saturating_sub(4)))
        .unwrap_or(u16::MAX)
        .clamp(1, 5);
    let frame = over(
        area,
        width,
        head_height
            .saturating_add(rows)
            .saturating_add(3 + wrong_height),
    );
    let many = prompt.fields.get(prompt.at).is_some_and(|f| f.many_lines);
    let keys = match (settling, many) {
        (true, _) => "esc give up",
        (_, true) => "ctrl-s done  esc give up",
        (_, false) => "enter next or done  tab field  esc give up",
    };
    let inner = boxed(buf, frame, theme, &prompt.title, keys);
    let mut y = inner.y;
    // What is wrong is never covered by a field.
    let kept = if wrong.is_empty() { 0 } else { wrong_height };
    let left = |y: u16| inner.bottom().saturating_sub(y.saturating_add(kept));
    let height = head_height.min(left(y).saturating_sub(rows.min(left(y)).min(4)));
    head.draw(Rect::new(inner.x, y, inner.width, height), buf, theme, 0);
    y += height;
    // When not all fields fit, the one with the keys does.
    let fits = usize::from(left(y) / 2).max(1);
    let first = (prompt.at + 1).saturating_sub(fits);
    for (i, field) in prompt.fields.iter().enumerate().skip(first) {
        if left(y) < 2 {
            break;
        }
        let here = i == prompt.at;
        let mark = if here { "▸ " } else { "  " };
        let mut label = format!("{mark}{}", field.label);
        if field.optional {
            label.push_str(" (may be empty)");
        }
        if field.value {
            if let Some(size) = value::size(&field.content()) {
                label.push_str(&format!(" · {size}"));
            }
            if here && field.replaces() {
                label.push_str(" · typing or pasting replaces it, ←→ edit it");
            }
        }
        buf.set_stringn(
            inner.x,
            y,
            label,
            usize::from(inner.width),
            theme.style(if here { Role::Focus } else { Role::Dim }),
        );
        y += 1;
        let rows = if field.many_lines { 8 } else { 1 }.min(left(y));
        let area = Rect::new(
            inner.x + 2.min(inner.width),
            y,
            inner.width.saturating_sub(2),
            rows,
        );
        let mut text = field.text.clone();
        text.set_cursor_line_style(Style::new());
        text.set_cursor_style(if here {
            theme.style(Role::Here)
        } else {
            Style::new()
        });
        text.set_selection_style(theme.style(Role::Here));
        text.set_style(theme.style(if here { Role::Strong } else { Role::Text }));
        if area.width > 1 {
            (&text).render(area, buf);
        }
        y += rows;
    }
    let height = kept.min(inner.height);
    let at = Rect::new(inner.x, inner.bottom() - height, inner.width, height);
    wrong.draw(at, buf, theme, 0);
}

/// A list of which one is taken.
///
/// `settling`: it is too new for an enter to be meant for it.
pub fn choose(buf: &mut Buffer, area: Rect, theme: Theme, choose: &Choose, settling: bool) {
    let width = 96.min(area.width.saturating_sub(2));
    let head = notes(&choose.notes);
    let head_height = u16::try_from(head.height(width.saturating_sub(4))).unwrap_or(u16::MAX);
    let rows = u16::try_from(choose.choices.len()).unwrap_or(u16::MAX);
    let gap = u16::from(!head.is_empty());
    let frame = over(
        area,
        width,
        head_height.saturating_add(rows).saturating_add(2 + gap),
    );
    let inner = boxed(
        buf,
        frame,
        theme,
        &choose.title,
        match (settling, choose.answer('y').is_some()) {
            (true, _) => "↑↓  (enter takes it)  esc no",
            (false, true) => "y yes  n no  ↑↓  enter takes it  esc no",
            (false, false) => "↑↓  enter takes it  esc no",
        },
    );
    let height = head_height.min(inner.height.saturating_sub(rows.min(inner.height).min(4)));
    head.draw(
        Rect::new(inner.x, inner.y, inner.width, height),
        buf,
        theme,
        0,
    );
    let top = (height + gap).min(inner.height);
    let list = Rect::new(inner.x, inner.y + top, inner.width, inner.height - top);
    let label = choose
        .choices
        .iter()
        .map(|c| words::width(&c.label))
        .max()
        .unwrap_or(0)
        .clamp(8, 44);
    let columns = [
        table::fixed("", u16::try_from(label).unwrap_or(44)),
        table::grows("", 10),
    ];
    let row = |i: usize| {
        let choice = &choose.choices[i];
        match &choice.off {
            Some(why) => vec![
                (Role::Dim, choice.label.clone()),
                (Role::Dim, format!("({why})")),
            ],
            None => vec![
                (Role::Text, choice.label.clone()),
                (Role::Dim, choice.note.clone()),
            ],
        }
    };
    table::draw(
        buf,
        list,
        theme,
        &columns,
        choose.choices.len(),
        choose.cursor.map(|at| (at, true)),
        &row,
    );
}
