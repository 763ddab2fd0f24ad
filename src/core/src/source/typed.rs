//! Tree to values, as Kubernetes types them: merge keys merged, aliases followed, last duplicate wins.

use base64::Engine as _;
use serde_json::{Map, Value};

use super::scalar;
use super::tree::{Kind, NodeId, Style, Tree};
use super::yaml::{MAX_DEPTH, MAX_NODES, YamlError};

/// One key that stands twice in one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    pub doc: usize,
    pub key: String,
    /// Line of the second one, from 1.
    pub line: usize,
}

impl Tree<'_> {
    /// The value of every document; null for an empty one.
    pub fn values(&self) -> Result<Vec<Value>, YamlError> {
        (0..self.docs.len()).map(|d| self.doc_value(d)).collect()
    }

    /// The value of one document.
    pub fn doc_value(&self, doc: usize) -> Result<Value, YamlError> {
        match self.docs.get(doc).and_then(|d| d.root) {
            Some(root) => self.value(root),
            None => Ok(Value::Null),
        }
    }

    /// The value of one node.
    pub fn value(&self, id: NodeId) -> Result<Value, YamlError> {
        let mut budget = MAX_NODES;
        self.convert(id, 0, &mut budget)
    }

    /// Line of a byte, from 1.
    pub fn line_of(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        self.text.as_bytes()[..at]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
            + 1
    }

    fn convert(&self, id: NodeId, depth: usize, budget: &mut usize) -> Result<Value, YamlError> {
        let node = self.node(id);
        if depth > MAX_DEPTH {
            return Err(YamlError::at(
                format!("nested deeper than {MAX_DEPTH} levels once aliases are followed"),
                self.line_of(node.start),
            ));
        }
        *budget = budget.checked_sub(1).ok_or_else(|| {
            YamlError::new(format!(
                "more than {MAX_NODES} values once aliases are followed"
            ))
        })?;
        match &node.kind {
            Kind::Scalar { .. } => self.scalar_value(id),
            Kind::Alias(anchor) => {
                let target = self.anchored(*anchor).ok_or_else(|| {
                    YamlError::at("an alias without anchor", self.line_of(node.start))
                })?;
                self.convert(target, depth + 1, budget)
            }
            Kind::Seq { items, .. } => items
                .iter()
                .map(|i| self.convert(i.node, depth + 1, budget))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Kind::Map { entries, .. } => {
                // As large as it is: a fleet has tens of thousands of these, and one that grows is half empty in the end.
                let mut map = Map::with_capacity(entries.len());
                for entry in entries {
                    if self.is_merge(entry) {
                        self.merge(entry.value, depth, budget, &mut map)?;
                    } else {
                        let key = self.key(entry.key)?;
                        map.insert(key, self.convert(entry.value, depth + 1, budget)?);
                    }
                }
                Ok(Value::Object(map))
            }
        }
    }

    fn merge(
        &self,
        id: NodeId,
        depth: usize,
        budget: &mut usize,
        into: &mut Map<String, Value>,
    ) -> Result<(), YamlError> {
        let line = self.line_of(self.node(id).start);
        match self.convert(id, depth + 1, budget)? {
            Value::Object(from) => into.extend(from),
            Value::Array(list) => {
                // The first of several wins.
                for from in list.into_iter().rev() {
                    let Value::Object(from) = from else {
                        return Err(YamlError::at("a merge key wants maps", line));
                    };
                    into.extend(from);
                }
            }
            _ => {
                return Err(YamlError::at(
                    "a merge key wants a map or a list of maps",
                    line,
                ));
            }
        }
        Ok(())
    }

    /// A map key as JSON has it: the plain `on` is "true", `0x10` is "16".
    pub fn key(&self, id: NodeId) -> Result<String, YamlError> {
        let target = self.behind(id);
        if !matches!(self.node(target).kind, Kind::Scalar { .. }) {
            let line = self.line_of(self.node(id).start);
            return Err(YamlError::at("a map or list stands as a key", line));
        }
        match self.scalar_value(target)? {
            Value::String(s) => Ok(s),
            Value::Bool(b) => Ok(b.to_string()),
            Value::Number(n) => Ok(n.to_string()),
            _ => Err(YamlError::at(
                "null stands as a key",
                self.line_of(self.node(id).start),
            )),
        }
    }

    fn scalar_value(&self, id: NodeId) -> Result<Value, YamlError> {
        let node = self.node(id);
        let Kind::Scalar { value, style } = &node.kind else {
            return Err(YamlError::new("not a scalar"));
        };
        let at = |why: String| YamlError::at(why, self.line_of(node.start));
        if self.json && *style == Style::Plain {
            let read: Value = serde_json::from_str(value).map_err(|e| at(e.to_string()))?;
            return Ok(read);
        }
        let plain = matches!(style, Style::Plain | Style::Empty);
        let Some((tag, _)) = &node.tag else {
            return if plain {
                scalar::resolve_plain(value).map_err(at)
            } else {
                Ok(Value::String(value.clone()))
            };
        };
        let Some(kind) = tag.strip_prefix("tag:yaml.org,2002:") else {
            // A plain scalar under a tag of somebody's own is text.
            return Ok(Value::String(value.clone()));
        };
        let read = scalar::resolve_plain(value).map_err(at);
        match kind {
            "str" | "timestamp" => Ok(Value::String(value.clone())),
            "binary" => {
                let compact: String = value.chars().filter(|c| !c.is_whitespace()).collect();
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(compact)
                    .map_err(|e| at(format!("!!binary is not base64: {e}")))?;
                String::from_utf8(bytes)
                    .map(Value::String)
                    .map_err(|_| at("!!binary is not text".to_owned()))
            }
            "null" => match read? {
                Value::Null => Ok(Value::Null),
                _ => Err(at(format!("{value} is tagged as null"))),
            },
            "bool" => match read? {
                Value::Bool(b) => Ok(Value::Bool(b)),
                _ => Err(at(format!("{value} is tagged as a boolean"))),
            },
            "int" | "float" => match read? {
                Value::Number(n) => Ok(Value::Number(n)),
                _ => Err(at(format!("{value} is tagged as a number"))),
            },
            _ => Ok(Value::String(value.clone())),
        }
    }

    /// Keys that stand twice in one map, anywhere in the file.
    pub fn duplicates(&self) -> Vec<Duplicate> {
        let mut found = Vec::new();
        for node in &self.nodes {
            let Kind::Map { entries, .. } = &node.kind else {
                continue;
            };
            let mut seen = std::collections::HashSet::new();
            let mut merges = 0;
            for entry in entries {
                if self.is_merge(entry) {
                    merges += 1;
                    if merges < 2 {
                        continue;
                    }
                }
                let Ok(key) = self.key(entry.key) else {
                    continue;
                };
                if !seen.insert(key.clone()) || merges > 1 {
                    merges = 0;
                    let at = self.node(entry.key).start;
                    let doc = self.docs.iter().rposition(|d| d.start <= at).unwrap_or(0);
                    found.push(Duplicate {
                        doc,
                        key,
                        line: self.line_of(at),
                    });
                }
            }
        }
        found
    }
}
