//! New text for a new value: block lines, a flow collection, or JSON, in the style of the file around it.

use serde_json::Value;

use super::scalar;
use super::tree::{Kind, NodeId, Style, Tree};

/// How the file is written.
#[derive(Debug, Clone)]
pub struct Layout {
    pub newline: &'static str,
    /// Columns that a nested map stands to the right.
    pub step: usize,
    /// Block lists stand deeper than their key.
    pub indented_lists: bool,
}

/// A value as it stands behind `key:`, behind a dash, or at the root.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    /// What follows on the indicator's line; empty for a block collection behind a key.
    pub first: String,
    /// Whole lines below, indented, without line breaks.
    pub rest: Vec<String>,
    /// The last line belongs to a literal whose final line break counts.
    pub ends_in_literal: bool,
}

impl Rendered {
    pub fn inline(first: impl Into<String>) -> Self {
        Self {
            first: first.into(),
            ..Self::default()
        }
    }

    /// The lines below, each with the line break before it.
    pub fn tail(&self, newline: &str) -> String {
        self.rest.iter().map(|l| format!("{newline}{l}")).collect()
    }
}

/// Text of a value that is no string and no collection.
pub fn bare(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("null".to_owned()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

/// A value behind `key:` of a block map at column `col`.
pub fn behind_key(value: &Value, col: usize, layout: &Layout) -> Rendered {
    match value {
        Value::Object(m) if !m.is_empty() => {
            let (rest, ends_in_literal) = map_lines(value, col + layout.step, layout);
            Rendered {
                first: String::new(),
                rest,
                ends_in_literal,
            }
        }
        Value::Array(a) if !a.is_empty() => {
            let at = if layout.indented_lists {
                col + layout.step
            } else {
                col
            };
            let (rest, ends_in_literal) = seq_lines(value, at, layout);
            Rendered {
                first: String::new(),
                rest,
                ends_in_literal,
            }
        }
        _ => leaf(value, col, layout.step),
    }
}

/// A value behind a dash at column `dash`; its content begins `gap` columns to the right.
pub fn behind_dash(value: &Value, dash: usize, gap: usize, layout: &Layout) -> Rendered {
    let nested = match value {
        Value::Object(m) if !m.is_empty() => map_lines(value, dash + gap, layout),
        Value::Array(a) if !a.is_empty() => seq_lines(value, dash + gap, layout),
        _ => return leaf(value, dash, gap),
    };
    compact(nested)
}

/// A value at the root of a document.
pub fn at_root(value: &Value, layout: &Layout) -> Rendered {
    let nested = match value {
        Value::Object(m) if !m.is_empty() => map_lines(value, 0, layout),
        Value::Array(a) if !a.is_empty() => seq_lines(value, 0, layout),
        Value::String(s) => return Rendered::inline(scalar::plain_or_quoted(s, false)),
        _ => return leaf(value, 0, layout.step),
    };
    compact(nested)
}

fn compact((mut lines, ends_in_literal): (Vec<String>, bool)) -> Rendered {
    let first = lines.remove(0).trim_start().to_owned();
    Rendered {
        first,
        rest: lines,
        ends_in_literal,
    }
}

fn leaf(value: &Value, col: usize, step: usize) -> Rendered {
    match value {
        Value::String(s) => literal(s, col, step)
            .unwrap_or_else(|| Rendered::inline(scalar::plain_or_quoted(s, false))),
        Value::Object(_) => Rendered::inline("{}"),
        Value::Array(_) => Rendered::inline("[]"),
        other => Rendered::inline(bare(other).unwrap_or_default()),
    }
}

/// A text of several lines as a literal block, when it can be one.
pub fn literal(s: &str, col: usize, step: usize) -> Option<Rendered> {
    let core = s.strip_suffix('\n').unwrap_or(s);
    if !s.contains('\n')
        || core.is_empty()
        || core.ends_with('\n')
        || core.starts_with('\n')
        || !literal_safe(core)
        || core.lines().any(|l| !l.is_empty() && l.trim().is_empty())
    {
        return None;
    }
    let indicator = if core.starts_with(' ') {
        step.to_string()
    } else {
        String::new()
    };
    let clip = s.ends_with('\n');
    let first = format!("|{indicator}{}", if clip { "" } else { "-" });
    let pad = " ".repeat(col + step);
    let rest = core
        .split('\n')
        .map(|l| {
            if l.is_empty() {
                String::new()
            } else {
                format!("{pad}{l}")
            }
        })
        .collect();
    Some(Rendered {
        first,
        rest,
        ends_in_literal: clip,
    })
}

/// Only characters that a block scalar may hold.
pub fn literal_safe(s: &str) -> bool {
    s.chars().all(|c| {
        c == '\n'
            || c == '\t'
            || !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{85}'))
    })
}

/// `key: value` lines of a block map at column `col`.
pub fn map_lines(value: &Value, col: usize, layout: &Layout) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    let mut literal = false;
    for (key, value) in value.as_object().into_iter().flatten() {
        let (entry, ends) = entry_lines(key, value, col, layout);
        lines.extend(entry);
        literal = ends;
    }
    (lines, literal)
}

/// The lines of one entry of a block map at column `col`.
pub fn entry_lines(key: &str, value: &Value, col: usize, layout: &Layout) -> (Vec<String>, bool) {
    let rendered = behind_key(value, col, layout);
    let gap = if rendered.first.is_empty() { "" } else { " " };
    let pad = " ".repeat(col);
    let key = scalar::plain_or_quoted(key, false);
    let mut lines = vec![format!("{pad}{key}:{gap}{}", rendered.first)];
    lines.extend(rendered.rest);
    (lines, rendered.ends_in_literal)
}

fn seq_lines(value: &Value, col: usize, layout: &Layout) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    let mut literal = false;
    for item in value.as_array().into_iter().flatten() {
        let (item, ends) = item_lines(item, col, 2, layout);
        lines.extend(item);
        literal = ends;
    }
    (lines, literal)
}

/// The lines of one item of a block list whose dashes stand at column `col`.
pub fn item_lines(value: &Value, col: usize, gap: usize, layout: &Layout) -> (Vec<String>, bool) {
    let rendered = behind_dash(value, col, gap, layout);
    let pad = " ".repeat(col);
    let space = " ".repeat(gap.saturating_sub(1).max(1));
    let mut lines = vec![format!("{pad}-{space}{}", rendered.first)];
    lines.extend(rendered.rest);
    (lines, rendered.ends_in_literal)
}

/// Spacing of a flow collection.
#[derive(Debug, Clone)]
pub struct FlowStyle {
    pub json: bool,
    /// `{ a: 1 }` rather than `{a: 1}`.
    pub pad_map: bool,
    pub pad_seq: bool,
    /// `,` or `, `.
    pub comma: String,
    /// `:` or `: `.
    pub colon: String,
}

/// A value on one line inside a flow collection.
pub fn flow(value: &Value, style: &FlowStyle) -> String {
    let join = |parts: Vec<String>, open: &str, close: &str, pad: bool| {
        if parts.is_empty() {
            return format!("{open}{close}");
        }
        let pad = if pad { " " } else { "" };
        format!("{open}{pad}{}{pad}{close}", parts.join(&style.comma))
    };
    match value {
        Value::Object(m) => {
            let parts = m.iter().map(|(k, v)| flow_entry(k, v, style)).collect();
            join(parts, "{", "}", style.pad_map)
        }
        Value::Array(a) => join(
            a.iter().map(|v| flow(v, style)).collect(),
            "[",
            "]",
            style.pad_seq,
        ),
        Value::String(s) => flow_text(s, style),
        other => bare(other).unwrap_or_default(),
    }
}

/// `key: value` inside a flow map.
pub fn flow_entry(key: &str, value: &Value, style: &FlowStyle) -> String {
    let key = flow_text(key, style);
    // Behind a bare key a colon needs its space.
    let colon = if key.starts_with('"') {
        style.colon.as_str()
    } else {
        ": "
    };
    format!("{key}{colon}{}", flow(value, style))
}

fn flow_text(s: &str, style: &FlowStyle) -> String {
    if style.json {
        scalar::double_quoted(s)
    } else {
        scalar::plain_or_quoted(s, true)
    }
}

/// A JSON value over several lines; lines after the first begin with `indent`.
pub fn json_pretty(
    value: &Value,
    indent: &str,
    step: &str,
    style: &FlowStyle,
    newline: &str,
) -> String {
    let inner = format!("{indent}{step}");
    let join = |parts: Vec<String>, open: &str, close: &str| {
        let body = parts.join(&format!(",{newline}{inner}"));
        format!("{open}{newline}{inner}{body}{newline}{indent}{close}")
    };
    match value {
        Value::Object(m) if !m.is_empty() => join(
            m.iter()
                .map(|(k, v)| {
                    let v = json_pretty(v, &inner, step, style, newline);
                    format!("{}{}{v}", scalar::double_quoted(k), style.colon)
                })
                .collect(),
            "{",
            "}",
        ),
        Value::Array(a) if !a.is_empty() => join(
            a.iter()
                .map(|v| json_pretty(v, &inner, step, style, newline))
                .collect(),
            "[",
            "]",
        ),
        other => flow(other, style),
    }
}

/// A string or other scalar in the quotes of the one that it replaces.
///
/// `flow`: inside a flow collection of YAML.
pub fn token(
    value: &Value,
    old: Option<&Style>,
    tree: &Tree<'_>,
    flow: bool,
    text_tag: bool,
) -> String {
    let Value::String(s) = value else {
        return bare(value).unwrap_or_default();
    };
    if tree.json {
        return scalar::double_quoted(s);
    }
    match old {
        Some(Style::Single) => scalar::single_quoted(s).unwrap_or_else(|| scalar::double_quoted(s)),
        Some(Style::Double) => scalar::double_quoted(s),
        _ if text_tag && scalar::plain_is_legal(s, flow) => s.clone(),
        _ => scalar::plain_or_quoted(s, flow),
    }
}

/// The style of a scalar node.
pub fn style_of<'t>(tree: &'t Tree<'_>, id: NodeId) -> Option<&'t Style> {
    match &tree.node(id).kind {
        Kind::Scalar { style, .. } => Some(style),
        _ => None,
    }
}
