//! The parsed file: nodes with the bytes that make them.

use std::ops::Range;

/// Index of a node in [`Tree::nodes`].
pub type NodeId = usize;

/// A whole file: one or more documents over one text (without byte-order mark).
#[derive(Debug)]
pub struct Tree<'a> {
    pub text: &'a str,
    pub json: bool,
    pub nodes: Vec<Node>,
    pub docs: Vec<Doc>,
}

/// One document. Empty and comment-only ones between separators count.
#[derive(Debug, Clone, Copy)]
pub struct Doc {
    /// `None`: nothing but comments.
    pub root: Option<NodeId>,
    /// First byte after the `---` marker, or the start of the text.
    pub start: usize,
    /// Start of the next marker (`---`, `...`), or the end of the text.
    pub end: usize,
    /// Begins with a `---` marker.
    pub marked: bool,
}

/// A node and its bytes.
#[derive(Debug)]
pub struct Node {
    /// First byte of the content; a block scalar's is its `|` or `>`, a block list's its first dash.
    pub start: usize,
    /// One past the last byte of the content, without the line break.
    pub end: usize,
    /// Where anchor or tag begin, or `start`.
    pub outer: usize,
    /// Anchor number (unique in the file) and the bytes of `&name`.
    pub anchor: Option<(usize, Range<usize>)>,
    /// Tag as resolved (`tag:yaml.org,2002:str`) and its bytes.
    pub tag: Option<(String, Range<usize>)>,
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    Scalar {
        value: String,
        style: Style,
    },
    Map {
        flow: bool,
        entries: Vec<Entry>,
    },
    Seq {
        flow: bool,
        items: Vec<Item>,
    },
    /// `*name`: the anchor number it means.
    Alias(usize),
}

/// How a scalar is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Style {
    /// Nothing is written at all: null.
    Empty,
    Plain,
    Single,
    Double,
    Block(Block),
}

/// A literal or folded scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub folded: bool,
    /// Bytes of `|2-` and the like.
    pub header: Range<usize>,
    /// Whole content lines, line breaks included; trailing blank lines only where `+` keeps them.
    pub body: Range<usize>,
    /// End of the blank lines behind the body.
    pub blanks_end: usize,
}

/// One `key: value`.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// First byte of the entry: the key's anchor, tag or content, or the `?`.
    pub start: usize,
    pub key: NodeId,
    /// The colon, where there is one.
    pub colon: Option<usize>,
    pub value: NodeId,
}

/// One list item.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// First byte: the dash, or the content in a flow list.
    pub start: usize,
    pub node: NodeId,
}

impl Tree<'_> {
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// A scalar's text after unquoting; `None` for anything else.
    pub fn scalar(&self, id: NodeId) -> Option<&str> {
        match &self.nodes[id].kind {
            Kind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The node that an alias stands for, or the node itself.
    pub fn behind(&self, id: NodeId) -> NodeId {
        match self.nodes[id].kind {
            Kind::Alias(anchor) => self.anchored(anchor).unwrap_or(id),
            _ => id,
        }
    }

    /// The node that carries the anchor.
    pub fn anchored(&self, anchor: usize) -> Option<NodeId> {
        // Aliases are rare and few (limit in `yaml`), so no index is kept.
        self.nodes
            .iter()
            .position(|n| n.anchor.as_ref().is_some_and(|(a, _)| *a == anchor))
    }

    /// Whether some alias of the file means this anchor.
    pub fn is_used(&self, anchor: usize) -> bool {
        self.nodes
            .iter()
            .any(|n| matches!(n.kind, Kind::Alias(a) if a == anchor))
    }

    /// Whether the entry is a merge key (`<<`, unquoted).
    pub fn is_merge(&self, entry: &Entry) -> bool {
        matches!(&self.nodes[entry.key].kind,
            Kind::Scalar { value, style: Style::Plain } if value == "<<")
    }

    /// Bytes of an entry, from its first to one past its last.
    pub fn entry_span(&self, entry: &Entry) -> Range<usize> {
        entry.start..self.value_end(entry)
    }

    fn value_end(&self, entry: &Entry) -> usize {
        self.nodes[entry.value]
            .end
            .max(entry.colon.map_or(0, |c| c + 1))
            .max(self.nodes[entry.key].end)
    }

    /// Bytes of a list item.
    pub fn item_span(&self, item: &Item) -> Range<usize> {
        item.start..self.nodes[item.node].end.max(item.start)
    }
}
