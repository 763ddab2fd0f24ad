//! A pane of text: paragraphs that wrap, rows that are cut, rules with a title; scrolled as a whole.

use super::words;
use crate::tui::theme::{Role, Theme};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

/// One row of a [`Doc`].
#[derive(Clone, Debug, PartialEq)]
enum Row {
    Text {
        indent: usize,
        role: Role,
        text: String,
    },
    Pair {
        label: String,
        role: Role,
        text: String,
    },
    Spans(Vec<(Role, String)>),
    Rule(String),
}

/// Text in the order in which it is read. Everything put in is made inert.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Doc {
    rows: Vec<Row>,
}

impl Doc {
    pub fn new() -> Self {
        Self::default()
    }

    /// A paragraph; wrapped lines stand `indent` further in than the first.
    pub fn text(&mut self, role: Role, text: impl AsRef<str>) -> &mut Self {
        self.indented(0, role, text)
    }

    pub fn indented(&mut self, indent: usize, role: Role, text: impl AsRef<str>) -> &mut Self {
        for line in trueup_core::text::block(text.as_ref()).split('\n') {
            self.rows.push(Row::Text {
                indent,
                role,
                text: line.to_owned(),
            });
        }
        self
    }

    /// A row of pieces, cut at the edge.
    pub fn spans(&mut self, spans: impl IntoIterator<Item = (Role, String)>) -> &mut Self {
        self.rows.push(Row::Spans(
            spans
                .into_iter()
                .map(|(role, text)| (role, words::clean(&text)))
                .collect(),
        ));
        self
    }

    /// `label  value`, the value wrapped under itself.
    pub fn pair(&mut self, label: &str, role: Role, value: impl AsRef<str>) -> &mut Self {
        let text = words::clean(value.as_ref());
        self.rows.push(Row::Pair {
            label: words::pad(&words::clean(label), LABEL),
            role,
            text,
        });
        self
    }

    pub fn rule(&mut self, title: impl Into<String>) -> &mut Self {
        self.rows.push(Row::Rule(words::clean(&title.into())));
        self
    }

    pub fn blank(&mut self) -> &mut Self {
        self.text(Role::Text, "")
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts another one below.
    pub fn append(&mut self, mut other: Self) -> &mut Self {
        self.rows.append(&mut other.rows);
        self
    }

    /// The lines that it takes at this width.
    pub fn lines(&self, theme: Theme, cells: u16) -> Vec<Line<'static>> {
        let cells = usize::from(cells);
        let mut lines = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            match row {
                Row::Rule(title) => {
                    let head = words::fit(&format!("─ {title} "), cells);
                    let rest = "─".repeat(cells.saturating_sub(words::width(&head)));
                    lines.push(Line::from(vec![
                        Span::styled(head, theme.style(Role::Title)),
                        Span::styled(rest, theme.style(Role::Border)),
                    ]));
                }
                Row::Pair { label, role, text } => {
                    let room = cells.saturating_sub(LABEL).max(4);
                    for (i, line) in words::wrap(text, room).into_iter().enumerate() {
                        let head = if i == 0 {
                            label.clone()
                        } else {
                            " ".repeat(LABEL)
                        };
                        lines.push(Line::from(vec![
                            Span::styled(head, theme.style(Role::Dim)),
                            Span::styled(line, theme.style(*role)),
                        ]));
                    }
                }
                Row::Spans(spans) => {
                    let mut left = cells;
                    let mut line = Vec::with_capacity(spans.len());
                    for (role, text) in spans {
                        let piece = words::fit(text, left);
                        left = left.saturating_sub(words::width(&piece));
                        line.push(Span::styled(piece, theme.style(*role)));
                    }
                    lines.push(Line::from(line));
                }
                Row::Text { indent, role, text } => {
                    let indent = (*indent).min(cells.saturating_sub(8));
                    let style = theme.style(*role);
                    let mut wrapped = words::wrap(text, cells).into_iter();
                    let first = wrapped.next().unwrap_or_default();
                    let rest = text.get(first.len()..).unwrap_or_default().trim_start();
                    lines.push(Line::from(Span::styled(first, style)));
                    if !rest.is_empty() {
                        for line in words::wrap(rest, cells - indent.min(cells)) {
                            let text = format!("{}{line}", " ".repeat(indent));
                            lines.push(Line::from(Span::styled(text, style)));
                        }
                    }
                }
            }
        }
        lines
    }

    /// How many lines it takes at this width.
    pub fn height(&self, cells: u16) -> usize {
        self.lines(Theme::default(), cells).len()
    }

    /// Draws it from line `scroll` on, as far down as there is something to see. Where there is more, the last row says so
    /// and nothing else.
    pub fn draw(&self, area: Rect, buf: &mut Buffer, theme: Theme, scroll: usize) {
        if area.is_empty() {
            return;
        }
        let left = self.height(area.width).saturating_sub(scroll);
        if left <= usize::from(area.height) || area.height == 1 {
            self.rows(area, buf, theme, scroll);
            return;
        }
        let rows = Rect {
            height: area.height - 1,
            ..area
        };
        let below = self.rows(rows, buf, theme, scroll);
        more(buf, theme, area, area.bottom() - 1, below, "");
    }

    /// The same in a frame, whose lower border says that there is more, and `how` it is read.
    pub fn draw_framed(
        &self,
        area: Rect,
        buf: &mut Buffer,
        theme: Theme,
        scroll: usize,
        how: &str,
    ) {
        if area.is_empty() {
            return;
        }
        let below = self.rows(area, buf, theme, scroll);
        if below > 0 && area.bottom() < buf.area.bottom() {
            more(buf, theme, area, area.bottom(), below, how);
        }
    }

    /// Draws the rows that fit, and nothing else; answers how many are below them.
    pub fn rows(&self, area: Rect, buf: &mut Buffer, theme: Theme, scroll: usize) -> usize {
        let lines = self.lines(theme, area.width);
        let room = usize::from(area.height);
        let top = scroll.min(lines.len().saturating_sub(room));
        for (y, line) in lines.iter().skip(top).take(room).enumerate() {
            let y = area.y + u16::try_from(y).unwrap_or(u16::MAX);
            buf.set_line(area.x, y, line, area.width);
        }
        lines.len().saturating_sub(top + room)
    }
}

/// Says at the right of row `y` that there is more.
fn more(buf: &mut Buffer, theme: Theme, area: Rect, y: u16, below: usize, how: &str) {
    let note = if how.is_empty() {
        format!(" {below} more below ")
    } else {
        format!(" {below} more below: {how} ")
    };
    let wide = u16::try_from(words::width(&note)).unwrap_or(area.width);
    let at = area.right().saturating_sub(wide.min(area.width));
    buf.set_stringn(
        at,
        y,
        &note,
        usize::from(area.width),
        theme.style(Role::Info),
    );
}

/// Cells that a label takes in [`Doc::pair`].
const LABEL: usize = 10;
