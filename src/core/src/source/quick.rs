//! The plain block style in which most manifests are written, read straight into values.
//!
//! It is a part of what [`super::yaml`] reads and says nothing unless it is certain: whatever is written in another way (flow, anchors, tags,
//! folded text, escapes, tabs, other line breaks, other alphabets, mistakes) is left to that reader, with its errors. A property holds
//! the two against each other.

use serde_json::{Map, Value};

use super::scalar::resolve_plain;

/// What goes beyond these is left to the reader whose limits they are.
const MAX_DEPTH: usize = 64;
const MAX_VALUES: usize = 50_000;
const MAX_DOCS: usize = 1_000;
const MAX_KEY: usize = 256;

/// A document, and the line of its first key, from 1.
#[derive(Debug, PartialEq)]
pub struct Document {
    pub value: Value,
    pub line: usize,
}

/// Every document of a file, none of which is empty or a list; `None` when the file has to be read in full.
pub fn read(text: &str) -> Option<Vec<Document>> {
    if !text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n')) {
        return None;
    }
    let mut reader = Reader {
        text,
        next: 0,
        lines: 0,
        current: None,
        values: 0,
    };
    reader.advance();
    if reader.at_marker() {
        reader.advance();
    }
    let mut documents = Vec::new();
    loop {
        let line = reader.lines;
        let value = reader.map(0, 0)?;
        if value.get("items").is_some() || documents.len() == MAX_DOCS {
            return None;
        }
        documents.push(Document { value, line });
        match reader.current {
            None => return Some(documents),
            Some(_) if reader.at_marker() => reader.advance(),
            Some(_) => return None,
        }
    }
}

/// A line that holds something besides a comment.
#[derive(Clone, Copy)]
struct Line<'t> {
    /// Column of the first character.
    indent: usize,
    /// Without white space around it.
    content: &'t str,
}

struct Reader<'t> {
    text: &'t str,
    /// Where the line after the current one begins.
    next: usize,
    /// How many lines there are before that.
    lines: usize,
    /// What is read next; `None` at the end.
    current: Option<Line<'t>>,
    values: usize,
}

impl<'t> Reader<'t> {
    fn line(&mut self) -> Option<&'t str> {
        let rest = self.text.get(self.next..).filter(|rest| !rest.is_empty())?;
        let line = rest.split('\n').next().unwrap_or(rest);
        self.next += line.len() + 1;
        self.lines += 1;
        Some(line)
    }

    /// Goes on to the next line that holds something besides a comment.
    fn advance(&mut self) {
        self.current = None;
        while let Some(line) = self.line() {
            let content = line.trim_start_matches(' ');
            if !content.is_empty() && !content.starts_with('#') {
                self.current = Some(Line {
                    indent: line.len() - content.len(),
                    content: content.trim_end_matches(' '),
                });
                return;
            }
        }
    }

    fn at_marker(&self) -> bool {
        self.current
            .is_some_and(|line| line.indent == 0 && line.content == "---")
    }

    /// The map whose first key the current line begins with.
    fn map(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut entries = Vec::new();
        while let Some(line) = self.current {
            if line.indent < indent || self.at_marker() {
                break;
            }
            let (key, rest) = key(line.content).filter(|_| line.indent == indent)?;
            entries.push((key, self.value(rest, indent, true, depth)?));
        }
        if entries.is_empty() {
            return None;
        }
        // Of one key that stands twice the last value counts.
        let mut map = Map::with_capacity(entries.len());
        map.extend(entries);
        Some(Value::Object(map))
    }

    /// The list whose first dash the current line begins with.
    fn list(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while let Some(line) = self.current {
            if line.indent < indent || (line.indent == indent && !is_item(line.content)) {
                break;
            }
            if line.indent > indent {
                return None;
            }
            let inner = line.content[1..].trim_start_matches(' ');
            if inner.is_empty() || inner.starts_with('#') || is_item(inner) {
                return None;
            }
            if key(inner).is_some() {
                let column = indent + line.content.len() - inner.len();
                self.current = Some(Line {
                    indent: column,
                    content: inner,
                });
                items.push(self.nested(column, depth)?);
            } else {
                items.push(self.value(inner, indent, false, depth)?);
            }
        }
        Some(Value::Array(items))
    }

    /// The map or list that the current line begins with.
    fn nested(&mut self, indent: usize, depth: usize) -> Option<Value> {
        if depth == MAX_DEPTH {
            return None;
        }
        match self.current {
            Some(line) if is_item(line.content) => self.list(indent, depth + 1),
            _ => self.map(indent, depth + 1),
        }
    }

    /// A value of which `rest` stands behind the key or dash at `indent`; goes on to what follows it.
    fn value(&mut self, rest: &'t str, indent: usize, of_key: bool, depth: usize) -> Option<Value> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return None;
        }
        let rest = rest.trim_start_matches(' ');
        let value = match rest.as_bytes().first() {
            None | Some(b'#') => {
                self.advance();
                return match self.current {
                    Some(line) if line.indent > indent => self.nested(line.indent, depth),
                    // The dashes of a list may stand right below their key.
                    Some(line) if of_key && line.indent == indent && is_item(line.content) => {
                        self.nested(indent, depth)
                    }
                    _ => Some(Value::Null),
                };
            }
            Some(b'|') => Value::String(self.literal(rest, indent)?),
            Some(quote @ (b'"' | b'\'')) => {
                let (inside, behind) = rest[1..].split_once(char::from(*quote))?;
                let ended = behind.is_empty() || behind.trim_start_matches(' ').starts_with('#');
                let spaced = behind.is_empty() || behind.starts_with(' ');
                if !ended || !spaced || (*quote == b'"' && inside.contains('\\')) {
                    return None;
                }
                Value::String(inside.to_owned())
            }
            Some(b'{') if rest == "{}" => Value::Object(Map::new()),
            Some(b'[') if rest == "[]" => Value::Array(Vec::new()),
            Some(_) => plain(rest)?,
        };
        // Text that goes on in the next line is further to the right than whoever reads that line expects.
        self.advance();
        Some(value)
    }

    /// The text below `|` or `|-`.
    fn literal(&mut self, header: &str, indent: usize) -> Option<String> {
        if !matches!(header, "|" | "|-") {
            return None;
        }
        let mut text = String::new();
        let mut column = None;
        let mut blank = 0;
        loop {
            let before = (self.next, self.lines);
            let Some(line) = self.line() else { break };
            let content = line.trim_start_matches(' ');
            if content.is_empty() {
                if !line.is_empty() || column.is_none() {
                    return None;
                }
                blank += 1;
                continue;
            }
            let here = line.len() - content.len();
            let first = *column.get_or_insert(here);
            if here <= indent && here < first {
                (self.next, self.lines) = before;
                break;
            }
            if here <= indent || here < first {
                return None;
            }
            text.extend(std::iter::repeat_n('\n', blank));
            blank = 0;
            text.push_str(&line[first..]);
            text.push('\n');
        }
        // Whether the last line of a file without a line break ends in one is for the other reader to say.
        if text.is_empty() || self.next > self.text.len() {
            return None;
        }
        if header == "|-" {
            text.pop();
        }
        text.shrink_to_fit();
        Some(text)
    }
}

/// A key that is written bare and is text, and what stands behind its colon.
fn key(content: &str) -> Option<(String, &str)> {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'-');
    let end = content.bytes().position(|b| !bare(b))?;
    let (key, rest) = (&content[..end], content[end..].strip_prefix(':')?);
    let begins = key.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if !begins || end > MAX_KEY || !(rest.is_empty() || rest.starts_with(' ')) {
        return None;
    }
    match resolve_plain(key) {
        Ok(Value::String(key)) => Some((key, rest)),
        _ => None,
    }
}

fn is_item(content: &str) -> bool {
    content == "-" || content.starts_with("- ")
}

/// A scalar that is written bare, on one line.
fn plain(rest: &str) -> Option<Value> {
    let text = rest.find(" #").map_or(rest, |at| &rest[..at]);
    let text = text.trim_end_matches(' ');
    let mut bytes = text.bytes();
    let begins = match bytes.next()? {
        b'-' => bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'-'),
        first => {
            first.is_ascii_alphanumeric()
                || matches!(first, b'/' | b'.' | b'_' | b'$' | b'(' | b'~' | b'+')
        }
    };
    if !begins || text.ends_with(':') || text.contains(": ") {
        return None;
    }
    resolve_plain(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::yaml;
    use proptest::prelude::*;

    /// Documents as the full reader has them.
    fn full(text: &str) -> Option<Vec<Document>> {
        let tree = yaml::parse(text).ok()?;
        tree.docs
            .iter()
            .map(|doc| {
                let root = doc.root?;
                Some(Document {
                    value: tree.value(root).ok()?,
                    line: tree.line_of(tree.node(root).start),
                })
            })
            .collect()
    }

    fn shown(documents: Option<Vec<Document>>) -> Option<Vec<(usize, String)>> {
        // Maps are equal in any order; here the order is compared as well.
        let show = |document: Document| (document.line, document.value.to_string());
        documents.map(|documents| documents.into_iter().map(show).collect())
    }

    const MANIFEST: &str = r#"# ours
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings   # the name
  labels: {}
  annotations:
    argocd.argoproj.io/sync-wave: "-1"
data:
  LISTEN: "0.0.0.0:8000"
  URL: postgres://db:5432/x?sslmode=verify-full#top
  MODE: 0644
  EMPTY:
  flags: 'it is'
  application.properties: |
    # kept
    a=1
      b=2

    c=3
  script: |-
    #!/bin/sh
    exec "$@"

---
apiVersion: apps/v1
kind: Deployment
spec:
  replicas: 3
  template:
    spec:
      containers:
      - name: app
        image: registry/app:1.2
        args: ["--x"]
"#;

    #[test]
    fn a_manifest_is_read() {
        let text = MANIFEST.replace("[\"--x\"]", "\n        - --x\n        - a b\n        - -1\n        env:\n          - name: A\n            value: \"yes\"\n          - name: B");
        assert!(read(&text).is_some());
        assert_eq!(shown(read(&text)), shown(full(&text)));
        assert_eq!(read(MANIFEST), None, "flow is for the other reader");
    }

    #[test]
    fn what_is_uncertain_is_left_to_the_other_reader() {
        for text in [
            "",
            "\n",
            "# only\n",
            "---\n",
            "- a\n",
            "a\n",
            "{}\n",
            "a: &x 1\n",
            "a: *x\n",
            "a: !t 1\n",
            "a: >\n  b\n",
            "a: |+\n  b\n",
            "a: |2\n  b\n",
            "a: \"b\\n\"\n",
            "a: 'b''c'\n",
            "a: b\n  c\n",
            "a: b: c\n",
            "a:\n  b\n",
            "a:\tb\n",
            "a: b\r\n",
            "a: ü\n",
            "on: 1\n",
            "1: a\n",
            "<<: a\n",
            "? a\n",
            "a: 1\n---\n---\nb: 1\n",
            "a: 1\n---\n",
            "a: 1\n...\n",
            "%YAML 1.2\n---\na: 1\n",
            " a: 1\n",
            "a: |\n  b",
            "a: |\n\n  b\n",
            "a: |\n  b\n   \n",
            "a:\n  - - b\n",
            "a:\n  -\n    b: 1\n",
            "a: {b: 1}\n",
            "items:\n- a: 1\n",
            "a: b\n c: d\n",
            "a:\n  b: 1\n c: 2\n",
            "a: .inf\n",
            "a: \"b\" c\n",
            "a: \"b\"#c\n",
            "a:\n- b\n  c: d\n",
            "a: |\n   b\n  c\n",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    /// Pieces of lines, most of them of the plain style.
    fn piece() -> impl Strategy<Value = String> {
        let key = prop_oneof![
            Just("a"),
            Just("b"),
            Just("c.d/e-f"),
            Just("on"),
            Just("0x1"),
            Just("items"),
            Just("a b"),
            Just("\"q\""),
            Just("-x"),
            Just("_u"),
        ];
        let value = prop_oneof![
            Just(""),
            Just(" "),
            Just(" 1"),
            Just(" x"),
            Just(" x y "),
            Just(" \"x y\""),
            Just(" 'x: y'"),
            Just(" |"),
            Just(" |-"),
            Just(" {}"),
            Just(" []"),
            Just(" yes"),
            Just(" 0644"),
            Just(" x # c"),
            Just(" # c"),
            Just(" x#c"),
            Just(" a:b"),
            Just(" a: b"),
            Just(" -1"),
            Just(" --x"),
            Just(" -"),
            Just(" \"x\" # c"),
            Just(" \"x\"#c"),
            Just(" 'x''y'"),
            Just(" \"x"),
            Just(" /p"),
            Just(" ~"),
            Just(" $(X)"),
            Just(" .5"),
            Just(" ."),
            Just(" 2026-01-01"),
            Just(" x:"),
            Just(" [a]"),
            Just(" >"),
            Just(" &x 1"),
            Just(" *x"),
            Just(" (a, b]"),
        ];
        let entry = (key, value.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
        prop_oneof![
            8 => entry.clone(),
            3 => entry.prop_map(|entry| format!("- {entry}")),
            3 => value.clone().prop_map(|value| format!("-{value}")),
            1 => value.prop_map(|value| value.trim_start().to_owned()),
            1 => Just("---".to_owned()),
            1 => Just("# c".to_owned()),
            1 => Just(String::new()),
            1 => Just("text".to_owned()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn what_is_read_is_what_the_other_reader_reads(lines in proptest::collection::vec((0..5usize, piece()), 1..12), ended in any::<bool>()) {
            let mut text: String = lines.iter().map(|(indent, piece)| format!("{}{piece}\n", " ".repeat(*indent))).collect();
            if !ended {
                text.pop();
            }
            if let Some(read) = read(&text) {
                prop_assert_eq!(shown(Some(read)), shown(full(&text)), "{}", text);
            }
        }

        #[test]
        fn a_manifest_with_a_mistake_is_read_alike(at in 0..MANIFEST.len(), gone in 0..3usize, put in "[ :#\\-'\"|\\n a]{0,3}") {
            let end = (at + gone).min(MANIFEST.len());
            let text = format!("{}{put}{}", &MANIFEST[..at], &MANIFEST[end..]).replace("[\"--x\"]", "x");
            if let Some(read) = read(&text) {
                prop_assert_eq!(shown(Some(read)), shown(full(&text)), "{}", text);
            }
        }
    }
}
