//! Literal and folded scalars: new text in the old style, indent and header.

use super::emit;
use super::layout;
use super::resolve::Link;
use super::text::{self, Splice};
use super::tree::{Block, Tree};

/// New text for a block scalar. `None` when the text cannot stand in this block.
pub fn rewrite(
    tree: &Tree<'_>,
    link: Option<&Link>,
    block: &Block,
    new: &str,
    links: &[Link],
) -> Option<Vec<Splice>> {
    let source = tree.text;
    let core = new.trim_end_matches('\n');
    let breaks = new.len() - core.len();
    if core.is_empty() || !emit::literal_safe(core) {
        return None;
    }
    let parent = layout::slot_column(tree, link);
    let old: Vec<&str> = body_lines(source, block);
    let digit = source[block.header.clone()]
        .chars()
        .find_map(|c| c.to_digit(10));
    let indent = match digit {
        Some(d) => parent + d as usize,
        None => old
            .iter()
            .find(|l| !l.trim().is_empty())
            .map_or(parent + layout::layout(tree, links, None).step, |l| {
                leading(l)
            }),
    };
    let lines = if block.folded {
        folded(core, &old, indent)?
    } else {
        literal(core, &old, indent)
    };
    let needs_digit = digit.is_none() && core.trim_start_matches('\n').starts_with(' ');
    let header = header(
        &source[block.header.clone()],
        breaks,
        needs_digit.then(|| indent - parent),
    )?;
    let newline = text::newline(source);
    let keep = header.contains('+');
    let old_keep = source[block.header.clone()].contains('+');
    let mut body: String = lines.join(newline);
    // Blank lines behind the text are content under `+` only; there they are counted out.
    let end = if keep {
        body.push_str(&newline.repeat(breaks - 1));
        block.blanks_end
    } else if old_keep {
        strip_blank_lines(source, block)
    } else {
        block.body.end
    };
    let had_break = end > block.body.start && source[..end].ends_with('\n');
    if had_break || block.body.is_empty() || keep || (breaks > 0 && !old_had_break(source, block)) {
        body.push_str(newline);
    }
    Some(vec![
        Splice::new(block.header.start, block.header.end, header),
        Splice::new(block.body.start, end.max(block.body.start), body),
    ])
}

/// Whether the old text ended with a line break as Kubernetes reads it: then its file end stays as it is.
fn old_had_break(source: &str, block: &Block) -> bool {
    !source[block.header.clone()].contains('-')
}

fn strip_blank_lines(source: &str, block: &Block) -> usize {
    let mut end = block.body.end;
    while let Some(previous) = text::previous_line(source, end)
        .filter(|p| *p >= block.body.start && text::is_blank(source, *p))
    {
        end = previous;
    }
    end
}

fn body_lines<'s>(source: &'s str, block: &Block) -> Vec<&'s str> {
    let mut lines = Vec::new();
    let mut at = block.body.start;
    let end = strip_blank_lines(source, block);
    while at < end {
        lines.push(text::line(source, at));
        at = text::next_line(source, at);
    }
    lines
}

fn leading(line: &str) -> usize {
    line.bytes().take_while(|b| *b == b' ').count()
}

/// The header with the chomping sign that the text's final line breaks want.
fn header(old: &str, breaks: usize, digit: Option<usize>) -> Option<String> {
    let sign = match breaks {
        0 => "-",
        1 => "",
        _ => "+",
    };
    let mut out = String::new();
    let mut placed = false;
    for c in old.chars() {
        if matches!(c, '+' | '-') {
            out.push_str(sign);
            placed = true;
        } else {
            out.push(c);
        }
    }
    if let Some(d) = digit {
        if !(1..=9).contains(&d) {
            return None;
        }
        out.insert_str(1, &d.to_string());
    }
    if !placed {
        out.push_str(sign);
    }
    Some(out)
}

/// What a body line says once its indent is off.
fn content(line: &str, indent: usize) -> &str {
    if line.len() >= indent && line.as_bytes()[..indent].iter().all(|b| *b == b' ') {
        &line[indent..]
    } else {
        ""
    }
}

fn literal(core: &str, old: &[&str], indent: usize) -> Vec<String> {
    let new: Vec<&str> = core.split('\n').collect();
    let pad = " ".repeat(indent);
    let head = new
        .iter()
        .zip(old)
        .take_while(|(n, o)| **n == content(o, indent))
        .count();
    let tail = new[head..]
        .iter()
        .rev()
        .zip(old[head..].iter().rev())
        .take_while(|(n, o)| **n == content(o, indent))
        .count();
    new.iter()
        .enumerate()
        .map(|(i, n)| {
            if i < head {
                old[i].to_owned()
            } else if i >= new.len() - tail {
                old[old.len() - (new.len() - i)].to_owned()
            } else if n.is_empty() {
                String::new()
            } else {
                format!("{pad}{n}")
            }
        })
        .collect()
}

/// One paragraph of a folded scalar: its text and the lines that make it.
struct Paragraph<'s> {
    text: String,
    lines: Vec<&'s str>,
}

fn paragraphs<'s>(old: &[&'s str], indent: usize) -> Vec<Paragraph<'s>> {
    let mut out: Vec<Paragraph<'s>> = Vec::new();
    let mut open = false;
    for line in old {
        let text = content(line, indent);
        if text.is_empty() {
            open = false;
        } else if text.starts_with([' ', '\t']) {
            out.push(Paragraph {
                text: text.to_owned(),
                lines: vec![line],
            });
            open = false;
        } else if let Some(last) = out.last_mut().filter(|_| open) {
            last.text.push(' ');
            last.text.push_str(text);
            last.lines.push(line);
        } else {
            out.push(Paragraph {
                text: text.to_owned(),
                lines: vec![line],
            });
            open = true;
        }
    }
    out
}

fn folded(core: &str, old: &[&str], indent: usize) -> Option<Vec<String>> {
    let old = paragraphs(old, indent);
    let pad = " ".repeat(indent);
    let new: Vec<&str> = core.split('\n').collect();
    let texts: Vec<&str> = new.iter().copied().filter(|l| !l.is_empty()).collect();
    if texts
        .iter()
        .any(|t| t.trim().is_empty() || t.ends_with(' '))
    {
        return None;
    }
    let head = texts
        .iter()
        .zip(&old)
        .take_while(|(n, o)| **n == o.text)
        .count();
    let tail = texts[head..]
        .iter()
        .rev()
        .zip(old[head..].iter().rev())
        .take_while(|(n, o)| **n == o.text)
        .count();
    let mut lines: Vec<String> = Vec::new();
    let mut seen = 0;
    let mut pending = 0_usize;
    let mut previous_normal: Option<bool> = None;
    for line in new {
        if line.is_empty() {
            pending += 1;
            continue;
        }
        let normal = !line.starts_with([' ', '\t']);
        // Between two plain lines one line break is a space, so one more is written.
        let blanks = match previous_normal {
            None => pending,
            Some(before) => pending + usize::from(before && normal),
        };
        lines.extend(std::iter::repeat_n(String::new(), blanks));
        let from_end = texts.len() - seen;
        let reused = if seen < head {
            Some(&old[seen])
        } else if from_end <= tail {
            Some(&old[old.len() - from_end])
        } else {
            None
        };
        match reused {
            Some(p) => lines.extend(p.lines.iter().map(|l| (*l).to_owned())),
            // A changed paragraph is one line: nothing says where it should break.
            None => lines.push(format!("{pad}{line}")),
        }
        seen += 1;
        pending = 0;
        previous_normal = Some(normal);
    }
    Some(lines)
}
