//! Text to tree: granit-parser's events with their spans, made exact, and limits against hostile input.

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle, Tag};

use super::spans::{block, document_end};
use super::text;
use super::tree::{Doc, Entry, Item, Kind, Node, NodeId, Style, Tree};

/// Largest file that is read.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Deepest nesting, aliases followed.
pub const MAX_DEPTH: usize = 128;
/// Most nodes in a file, and most nodes in a document once its aliases are followed.
pub const MAX_NODES: usize = 200_000;
/// Most aliases in a file.
pub const MAX_ALIASES: usize = 1_000;
/// Most documents in a file.
pub const MAX_DOCS: usize = 10_000;

/// Why a file cannot be read as YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}{}", .line.map(|l| format!(" (line {l})")).unwrap_or_default())]
pub struct YamlError {
    pub why: String,
    /// Line from 1, where known.
    pub line: Option<usize>,
}

impl YamlError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            line: None,
        }
    }

    pub(super) fn at(why: impl Into<String>, line: usize) -> Self {
        Self {
            why: why.into(),
            line: Some(line),
        }
    }
}

/// The file as text and the length of its byte-order mark (0 or 3).
pub fn decode(bytes: &[u8]) -> Result<(&str, usize), YamlError> {
    if bytes.len() > MAX_BYTES {
        return Err(YamlError::new(format!(
            "the file has {} bytes; more than {MAX_BYTES} are not read",
            bytes.len()
        )));
    }
    let all = std::str::from_utf8(bytes).map_err(|e| {
        YamlError::new(format!(
            "not UTF-8 text: byte {} does not fit",
            e.valid_up_to()
        ))
    })?;
    Ok(all
        .strip_prefix('\u{feff}')
        .map_or((all, 0), |rest| (rest, 3)))
}

/// Parses a file's text (byte-order mark already taken off). JSON is recognised by content.
pub fn parse(source: &str) -> Result<Tree<'_>, YamlError> {
    if source.len() > MAX_BYTES {
        return Err(YamlError::new(format!(
            "more than {MAX_BYTES} bytes are not read"
        )));
    }
    // A bare `{}` or `[]` says nothing about the format, and YAML opens it into block style.
    if source.trim_start().starts_with(['{', '['])
        && !matches!(source.trim(), "{}" | "[]")
        && let Some(tree) = super::json::parse(source)
    {
        return tree;
    }
    let mut options = Options::default();
    options.emit_anchor_events = true;
    options.emit_comments = false;
    let mut builder = Builder {
        tree: Tree {
            text: source,
            json: false,
            nodes: Vec::new(),
            docs: Vec::new(),
        },
        stack: Vec::new(),
        cursor: 0,
        aliases: 0,
        last: None,
        root: None,
    };
    for event in Parser::new_from_str_with_options(source, options) {
        let (event, span) = event.map_err(|e| {
            let mark = e.marker();
            YamlError::at(format!("not valid YAML: {}", e.info()), mark.line().max(1))
        })?;
        builder.event(event, &span)?;
    }
    let mut tree = builder.tree;
    if tree.docs.is_empty() {
        tree.docs.push(Doc {
            root: None,
            start: 0,
            end: source.len(),
            marked: false,
        });
    }
    Ok(tree)
}

enum Open {
    Map {
        id: NodeId,
        entries: Vec<Entry>,
        key: Option<(usize, NodeId)>,
        flow: bool,
    },
    Seq {
        id: NodeId,
        items: Vec<Item>,
        flow: bool,
    },
}

struct Builder<'a> {
    tree: Tree<'a>,
    stack: Vec<Open>,
    /// One past the last token seen.
    cursor: usize,
    aliases: usize,
    /// The node whose anchor event may follow.
    last: Option<NodeId>,
    root: Option<NodeId>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), YamlError> {
        let range = span
            .byte_range()
            .ok_or_else(|| YamlError::new("the parser gave no position"))?;
        let line = span.start.line();
        match event {
            Event::DocumentStart(marked, _) => {
                if self.tree.docs.len() >= MAX_DOCS {
                    return Err(YamlError::new(format!("more than {MAX_DOCS} documents")));
                }
                let start = if marked { range.end } else { self.cursor };
                self.tree.docs.push(Doc {
                    root: None,
                    start,
                    end: self.tree.text.len(),
                    marked,
                });
                self.cursor = start;
                self.root = None;
            }
            Event::DocumentEnd => {
                let root = self.root.take().filter(|r| {
                    let n = &self.tree.nodes[*r];
                    !matches!(
                        &n.kind,
                        Kind::Scalar {
                            style: Style::Empty,
                            ..
                        }
                    ) || n.tag.is_some()
                        || n.anchor.is_some()
                });
                let end = document_end(self.tree.text, self.cursor, range.clone());
                self.cursor = self.cursor.max(range.end);
                if let Some(doc) = self.tree.docs.last_mut() {
                    doc.root = root;
                    doc.end = end;
                }
            }
            Event::Alias(anchor) => {
                self.aliases += 1;
                if self.aliases > MAX_ALIASES {
                    return Err(YamlError::at(
                        format!("more than {MAX_ALIASES} aliases"),
                        line,
                    ));
                }
                let lead = self.lead();
                let id = self.push(range.start, range.end, Kind::Alias(anchor), None, None)?;
                self.attach(id, lead)?;
                self.cursor = range.end;
            }
            Event::Anchor(anchor, _) => {
                if let Some(id) = self.last {
                    let start = range.start;
                    self.cursor = self.cursor.max(range.end);
                    let node = &mut self.tree.nodes[id];
                    if matches!(
                        &node.kind,
                        Kind::Scalar {
                            style: Style::Empty,
                            ..
                        }
                    ) {
                        node.start = node.start.max(range.end);
                        node.end = node.start;
                    }
                    node.anchor = Some((anchor, range));
                    node.outer = node.outer.min(start);
                    self.lower_start(id, start);
                }
            }
            Event::Scalar(value, style, _, tag) => {
                self.scalar(&value, style, tag.as_deref(), span, range)?
            }
            Event::SequenceStart(style, _, tag) => {
                let lead = self.lead();
                let flow = style == StructureStyle::Flow;
                let kind = Kind::Seq {
                    flow,
                    items: Vec::new(),
                };
                let id = self.open(range, flow, kind, tag.as_deref(), span, lead, line)?;
                self.stack.push(Open::Seq {
                    id,
                    items: Vec::new(),
                    flow,
                });
            }
            Event::MappingStart(style, _, tag) => {
                let lead = self.lead();
                let flow = style == StructureStyle::Flow;
                let kind = Kind::Map {
                    flow,
                    entries: Vec::new(),
                };
                let id = self.open(range, flow, kind, tag.as_deref(), span, lead, line)?;
                self.stack.push(Open::Map {
                    id,
                    entries: Vec::new(),
                    key: None,
                    flow,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range)?,
            _ => {}
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one call per collection kind")]
    fn open(
        &mut self,
        range: std::ops::Range<usize>,
        flow: bool,
        kind: Kind,
        tag: Option<&Tag>,
        span: &Span,
        lead: Lead,
        line: usize,
    ) -> Result<NodeId, YamlError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(YamlError::at(
                format!("nested deeper than {MAX_DEPTH} levels"),
                line,
            ));
        }
        let end = if flow { range.end } else { range.start };
        let id = self.push(range.start, end, kind, tag, Some(span))?;
        self.attach(id, lead)?;
        if flow {
            self.cursor = range.end;
        } else if let Some((_, tag)) = &self.tree.nodes[id].tag {
            self.cursor = self.cursor.max(tag.end);
        }
        Ok(id)
    }

    fn close(&mut self, range: std::ops::Range<usize>) -> Result<(), YamlError> {
        self.last = None;
        match self.stack.pop() {
            Some(Open::Map {
                id,
                entries,
                key,
                flow,
            }) => {
                if key.is_some() {
                    return Err(YamlError::new("a key without a value position"));
                }
                let end = if flow {
                    range.end
                } else {
                    entries
                        .last()
                        .map_or(self.tree.nodes[id].start, |e| self.tree.entry_span(e).end)
                };
                let start = entries.first().map(|e| e.start);
                self.finish(id, flow, start, end);
                self.tree.nodes[id].kind = Kind::Map { flow, entries };
            }
            Some(Open::Seq { id, items, flow }) => {
                let end = if flow {
                    range.end
                } else {
                    items
                        .last()
                        .map_or(self.tree.nodes[id].start, |i| self.tree.item_span(i).end)
                };
                let start = items.first().map(|i| i.start);
                self.finish(id, flow, start, end);
                self.tree.nodes[id].kind = Kind::Seq { flow, items };
            }
            None => return Err(YamlError::new("an end without a beginning")),
        }
        if range.end > range.start {
            self.cursor = self.cursor.max(range.end);
        }
        Ok(())
    }

    fn finish(&mut self, id: NodeId, flow: bool, start: Option<usize>, end: usize) {
        let node = &mut self.tree.nodes[id];
        node.end = end;
        if !flow && let Some(start) = start {
            if node.outer == node.start {
                node.outer = start;
            }
            node.start = start;
        }
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
        range: std::ops::Range<usize>,
    ) -> Result<(), YamlError> {
        let lead = self.lead();
        let text = self.tree.text;
        let empty = range.is_empty() && style == ScalarStyle::Plain;
        let (start, end, style) = match style {
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let block = block(text, lead.after, &range).ok_or_else(|| {
                    YamlError::at("a block scalar without header", span.start.line())
                })?;
                let end = if block.body.is_empty() {
                    block.header.end
                } else {
                    text::line_end(text, text::line_start(text, block.body.end - 1))
                };
                (block.header.start, end, Style::Block(block))
            }
            _ if empty => {
                let at = lead.after.max(
                    span.tag_span()
                        .and_then(|t| t.byte_range())
                        .map_or(0, |t| t.end),
                );
                (at, at, Style::Empty)
            }
            ScalarStyle::SingleQuoted => (range.start, range.end, Style::Single),
            ScalarStyle::DoubleQuoted => (range.start, range.end, Style::Double),
            _ => (range.start, range.end, Style::Plain),
        };
        let value = if style == Style::Empty { "" } else { value };
        let kind = Kind::Scalar {
            value: value.to_owned(),
            style,
        };
        let id = self.push(start, end, kind, tag, Some(span))?;
        self.attach(id, lead)?;
        self.cursor = self.cursor.max(end);
        Ok(())
    }

    fn push(
        &mut self,
        start: usize,
        end: usize,
        kind: Kind,
        tag: Option<&Tag>,
        span: Option<&Span>,
    ) -> Result<NodeId, YamlError> {
        if self.tree.nodes.len() >= MAX_NODES {
            return Err(YamlError::new(format!("more than {MAX_NODES} values")));
        }
        let tag = tag.and_then(|t| {
            let range = span?.tag_span()?.byte_range()?;
            Some((format!("{}{}", t.handle(), t.suffix()), range))
        });
        let outer = tag.as_ref().map_or(start, |(_, r)| r.start.min(start));
        self.tree.nodes.push(Node {
            start,
            end,
            outer,
            anchor: None,
            tag,
            kind,
        });
        let id = self.tree.nodes.len() - 1;
        self.last = Some(id);
        Ok(id)
    }

    /// Finds the indicator before the node that comes next: dash, question mark, colon.
    fn lead(&self) -> Lead {
        let text = self.tree.text;
        let bytes = text.as_bytes();
        let mut at = text::skip_blank(text, self.cursor);
        let mut lead = Lead {
            indicator: None,
            after: self.cursor,
        };
        let (wanted, flow) = match self.stack.last() {
            Some(Open::Seq { flow, .. }) => (b'-', *flow),
            Some(Open::Map {
                key: None, flow, ..
            }) => (b'?', *flow),
            Some(Open::Map {
                key: Some(_), flow, ..
            }) => (b':', *flow),
            None => return lead,
        };
        if flow && wanted != b':' && bytes.get(at) == Some(&b',') {
            at = text::skip_blank(text, at + 1);
            lead.after = at;
        }
        let found = bytes.get(at) == Some(&wanted)
            && (wanted == b':' || bytes.get(at + 1).is_none_or(|b| b.is_ascii_whitespace()))
            && !(flow && wanted == b'-');
        if found {
            lead = Lead {
                indicator: Some(at),
                after: at + 1,
            };
        }
        lead
    }

    fn attach(&mut self, id: NodeId, lead: Lead) -> Result<(), YamlError> {
        let start = self.tree.nodes[id].outer;
        match self.stack.last_mut() {
            None => self.root = Some(id),
            Some(Open::Seq { items, .. }) => {
                items.push(Item {
                    start: lead.indicator.unwrap_or(start),
                    node: id,
                });
            }
            Some(Open::Map { entries, key, .. }) => match key.take() {
                None => *key = Some((lead.indicator.unwrap_or(start), id)),
                Some((start, key)) => {
                    entries.push(Entry {
                        start,
                        key,
                        colon: lead.indicator,
                        value: id,
                    });
                }
            },
        }
        if let Some(at) = lead.indicator {
            self.cursor = self.cursor.max(at + 1);
        }
        Ok(())
    }

    /// An anchor before a key or a flow item belongs to it: the entry begins there.
    fn lower_start(&mut self, id: NodeId, start: usize) {
        // The anchor event comes right behind its node; a collection is then already open.
        let depth = self.stack.len();
        let holder = match self.stack.last() {
            Some(Open::Map { id: open, .. } | Open::Seq { id: open, .. }) if *open == id => {
                depth.checked_sub(2)
            }
            _ => depth.checked_sub(1),
        };
        match holder.and_then(|i| self.stack.get_mut(i)) {
            Some(Open::Map {
                key: Some((at, key)),
                ..
            }) if *key == id => *at = (*at).min(start),
            Some(Open::Seq { items, .. }) => {
                if let Some(item) = items.last_mut().filter(|i| i.node == id) {
                    item.start = item.start.min(start);
                }
            }
            _ => {}
        }
    }
}

struct Lead {
    indicator: Option<usize>,
    after: usize,
}
