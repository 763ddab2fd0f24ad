//! JSON text to the same tree as YAML, with exact spans.

use super::tree::{Doc, Entry, Item, Kind, Node, NodeId, Style, Tree};
use super::yaml::{MAX_DEPTH, MAX_NODES, YamlError};

/// `None` when the text is not one JSON value: it may still be YAML.
pub fn parse(source: &str) -> Option<Result<Tree<'_>, YamlError>> {
    // The text is checked by serde_json; the reader below only finds the spans again.
    serde_json::from_str::<serde::de::IgnoredAny>(source).ok()?;
    let mut reader = Reader {
        text: source,
        at: 0,
        nodes: Vec::new(),
    };
    Some(reader.value(0).map(|root| Tree {
        text: source,
        json: true,
        nodes: reader.nodes,
        docs: vec![Doc {
            root: Some(root),
            start: 0,
            end: source.len(),
            marked: false,
        }],
    }))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    nodes: Vec<Node>,
}

impl Reader<'_> {
    fn space(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn broken(&self) -> YamlError {
        YamlError::new(format!("not valid JSON at byte {}", self.at))
    }

    fn push(&mut self, start: usize, kind: Kind) -> Result<NodeId, YamlError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(YamlError::new(format!("more than {MAX_NODES} values")));
        }
        self.nodes.push(Node {
            start,
            end: self.at,
            outer: start,
            anchor: None,
            tag: None,
            kind,
        });
        Ok(self.nodes.len() - 1)
    }

    fn value(&mut self, depth: usize) -> Result<NodeId, YamlError> {
        if depth >= MAX_DEPTH {
            return Err(YamlError::new(format!(
                "nested deeper than {MAX_DEPTH} levels"
            )));
        }
        self.space();
        let start = self.at;
        match self.peek() {
            b'{' => {
                let mut entries = Vec::new();
                self.at += 1;
                loop {
                    self.space();
                    match self.peek() {
                        b'}' => break,
                        b',' => self.at += 1,
                        b'"' => {
                            let at = self.at;
                            let key = self.string()?;
                            self.space();
                            let colon = Some(self.at);
                            self.at += 1;
                            let value = self.value(depth + 1)?;
                            entries.push(Entry {
                                start: at,
                                key,
                                colon,
                                value,
                            });
                        }
                        _ => return Err(self.broken()),
                    }
                }
                self.at += 1;
                self.push(
                    start,
                    Kind::Map {
                        flow: true,
                        entries,
                    },
                )
            }
            b'[' => {
                let mut items = Vec::new();
                self.at += 1;
                loop {
                    self.space();
                    match self.peek() {
                        b']' => break,
                        b',' => self.at += 1,
                        0 => return Err(self.broken()),
                        _ => {
                            let node = self.value(depth + 1)?;
                            items.push(Item {
                                start: self.nodes[node].start,
                                node,
                            });
                        }
                    }
                }
                self.at += 1;
                self.push(start, Kind::Seq { flow: true, items })
            }
            b'"' => self.string(),
            0 => Err(self.broken()),
            _ => {
                let rest = &self.text[self.at..];
                let end = rest
                    .find(|c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace())
                    .unwrap_or(rest.len());
                if end == 0 {
                    return Err(self.broken());
                }
                self.at += end;
                let value = self.text[start..self.at].to_owned();
                self.push(
                    start,
                    Kind::Scalar {
                        value,
                        style: Style::Plain,
                    },
                )
            }
        }
    }

    fn string(&mut self) -> Result<NodeId, YamlError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        self.at = (end + 1).min(bytes.len());
        let value = self
            .text
            .get(start..self.at)
            .and_then(|s| serde_json::from_str::<String>(s).ok())
            .ok_or_else(|| self.broken())?;
        self.push(
            start,
            Kind::Scalar {
                value,
                style: Style::Double,
            },
        )
    }
}
