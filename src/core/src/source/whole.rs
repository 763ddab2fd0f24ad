//! Whole manifests: taken out of their file with every other byte left as it is, or written as a file of their own.

use serde_json::Value;

use super::edit::{EditError, edit_file};
use super::emit;
use super::helm;
use super::layout;
use super::ops::{Edit, EditElement, Op};
use super::scalar::same;
use super::text;
use super::tree::Tree;
use super::yaml;

/// Where one object is written in a file: the document, and the place in `items` for an object of a list.
pub type Place = (usize, Option<usize>);

/// A document, and the place in its `items`.
type Item = (usize, usize);

/// The file without these objects; `None` when nothing but comments would stay, so that the file goes.
///
/// A document goes with its `---` and the comments up to the next one. Every byte of the others stays.
pub fn without(path: &str, bytes: &[u8], gone: &[Place]) -> Result<Option<Vec<u8>>, String> {
    let (documents, items) = sorted(bytes, gone)?;
    let mut current = bytes.to_vec();
    for (doc, item) in items {
        let edit = Edit {
            doc,
            path: vec![
                EditElement::Key("items".to_owned()),
                EditElement::Index(item),
            ],
            op: Op::Delete,
            value: Value::Null,
        };
        current = edit_file(path, &current, &[edit]).map_err(|e| match e {
            EditError::Refused { reason } | EditError::Unreadable { reason } => reason,
        })?;
    }
    if documents.is_empty() {
        return Ok(Some(current));
    }
    without_documents(&current, &documents)
}

/// Documents that go whole, and items of those that stay, the last first: a list of which every item goes, goes.
fn sorted(bytes: &[u8], gone: &[Place]) -> Result<(Vec<usize>, Vec<Item>), String> {
    let (text, _) = yaml::decode(bytes).map_err(|e| e.to_string())?;
    let tree = yaml::parse(text).map_err(|e| e.to_string())?;
    let (mut documents, mut items) = (Vec::new(), Vec::new());
    for (doc, item) in gone {
        match item {
            None => documents.push(*doc),
            Some(item) => items.push((*doc, *item)),
        }
    }
    items.sort_unstable();
    items.dedup();
    let lists: std::collections::BTreeSet<usize> = items.iter().map(|(doc, _)| *doc).collect();
    for doc in lists {
        let value = tree.doc_value(doc).map_err(|e| e.to_string())?;
        let all = value
            .get("items")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        if items.iter().filter(|(d, _)| *d == doc).count() == all {
            documents.push(doc);
        }
    }
    documents.sort_unstable();
    documents.dedup();
    items.retain(|(doc, _)| !documents.contains(doc));
    items.reverse();
    Ok((documents, items))
}

fn without_documents(bytes: &[u8], gone: &[usize]) -> Result<Option<Vec<u8>>, String> {
    let (source, mark) = yaml::decode(bytes).map_err(|e| e.to_string())?;
    if let Some(why) = helm::template_reason(source) {
        return Err(why);
    }
    let tree = yaml::parse(source).map_err(|e| e.to_string())?;
    let values = tree.values().map_err(|e| e.to_string())?;
    if gone.iter().any(|doc| *doc >= values.len()) {
        return Err("no such document".to_owned());
    }
    let kept: Vec<&Value> = values
        .iter()
        .enumerate()
        .filter(|(doc, value)| !gone.contains(doc) && !value.is_null())
        .map(|(_, value)| value)
        .collect();
    if kept.is_empty() {
        return Ok(None);
    }
    let starts = starts(&tree)?;
    let mut after = source[..starts[0]].to_owned();
    let mut first = true;
    for (doc, start) in starts.iter().enumerate() {
        let end = starts.get(doc + 1).copied().unwrap_or(source.len());
        if gone.contains(&doc) {
            continue;
        }
        let mut from = *start;
        // A file that did not begin with a marker does not begin with one now, unless the marker says more.
        let line = text::line(source, from);
        if first && doc > 0 && !tree.docs[0].marked && line.trim_end() == "---" {
            from = text::next_line(source, from);
        }
        after.push_str(&source[from..end]);
        first = false;
    }
    check(&after, &kept)?;
    let mut out = bytes[..mark].to_vec();
    out.extend_from_slice(after.as_bytes());
    Ok(Some(out))
}

/// Where each document begins: its marker; for a first one without, behind the comments that a blank line keeps apart
/// from it, since those are about the file.
fn starts(tree: &Tree<'_>) -> Result<Vec<usize>, String> {
    let source = tree.text;
    let mut starts = Vec::with_capacity(tree.docs.len());
    for (i, doc) in tree.docs.iter().enumerate() {
        starts.push(match (i, doc.marked) {
            (_, true) => text::line_start(source, doc.start.saturating_sub(1)),
            (0, false) => heading_end(tree),
            _ => return Err("a document without `---` stands behind `...`".to_owned()),
        });
    }
    Ok(starts)
}

fn heading_end(tree: &Tree<'_>) -> usize {
    let source = tree.text;
    let Some(root) = tree.docs[0].root else {
        return 0;
    };
    let first = text::line_start(source, tree.node(root).outer);
    let (mut at, mut end) = (0, 0);
    while at < first {
        if text::is_blank(source, at) {
            end = text::next_line(source, at);
        }
        at = text::next_line(source, at);
    }
    // Blank lines alone are no heading.
    if source[..end].trim().is_empty() {
        0
    } else {
        end
    }
}

fn check(after: &str, kept: &[&Value]) -> Result<(), String> {
    let tree = yaml::parse(after).map_err(|e| e.to_string())?;
    let values = tree.values().map_err(|e| e.to_string())?;
    let left: Vec<&Value> = values.iter().filter(|value| !value.is_null()).collect();
    let equal = left.len() == kept.len() && left.iter().zip(kept).all(|(a, b)| same(a, b));
    match equal {
        true => Ok(()),
        false => Err("the other documents would not stay as they are".to_owned()),
    }
}

/// A file with this one manifest, written like a neighbour: its line breaks, its indents.
pub fn file(manifest: &Value, like: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let neighbour = like
        .and_then(|bytes| yaml::decode(bytes).ok())
        .map(|(text, _)| text);
    let tree = neighbour
        .and_then(|text| yaml::parse(text).ok())
        .filter(|tree| !tree.json);
    let layout = match &tree {
        Some(tree) => layout::layout(tree, &[], None),
        None => emit::Layout {
            newline: "\n",
            step: 2,
            indented_lists: false,
        },
    };
    let (lines, _) = emit::map_lines(manifest, 0, &layout);
    let mut text = lines.join(layout.newline);
    text.push_str(layout.newline);
    check(&text, &[manifest])?;
    Ok(text.into_bytes())
}

/// `kind-name.yaml`, in letters that a file name may have everywhere.
pub fn file_name(kind: &str, name: &str) -> String {
    let safe: String = format!("{kind}-{name}")
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!("{safe}.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn doc(name: &str) -> String {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}   # {name}\n")
    }

    fn cut(text: &str, gone: &[Place]) -> Option<String> {
        let after = without("x.yaml", text.as_bytes(), gone).unwrap();
        after.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_document_goes_and_every_other_byte_stays() {
        let (a, b, c) = (doc("a"), doc("b"), doc("c"));
        let head = "# (c) the team\n\n";
        for (file, gone, wanted) in [
            // First, middle, last; the file has no marker before its first.
            (format!("{a}---\n{b}---\n{c}"), 0, format!("{b}---\n{c}")),
            (format!("{a}---\n{b}---\n{c}"), 1, format!("{a}---\n{c}")),
            (format!("{a}---\n{b}---\n{c}"), 2, format!("{a}---\n{b}")),
            // With a marker before the first, it keeps one.
            (format!("---\n{a}---\n{b}"), 0, format!("---\n{b}")),
            (format!("---\n{a}---\n{b}"), 1, format!("---\n{a}")),
            // Comments behind a marker are the next document's, those before it the one's before.
            (
                format!("{a}# tail of a\n---\n# head of b\n{b}---\n{c}"),
                1,
                format!("{a}# tail of a\n---\n{c}"),
            ),
            (
                format!("{a}# tail of a\n---\n# head of b\n{b}"),
                0,
                format!("# head of b\n{b}"),
            ),
            // What a blank line keeps apart from the first is about the file.
            (format!("{head}# a\n{a}---\n{b}"), 0, format!("{head}{b}")),
            (
                format!("{head}---\n{a}---\n{b}"),
                0,
                format!("{head}---\n{b}"),
            ),
            (format!("# a\n{a}---\n{b}"), 0, b.clone()),
            // A marker that says more than a marker stays.
            (
                format!("{a}--- # Source: b.yaml\n{b}"),
                0,
                format!("--- # Source: b.yaml\n{b}"),
            ),
            // Documents that end themselves, and empty ones.
            (format!("{a}...\n---\n{b}...\n"), 1, format!("{a}...\n")),
            (format!("{a}---\n---\n{b}"), 2, format!("{a}---\n")),
            // A last line without its end.
            (
                format!("{a}---\n{}", b.trim_end()),
                0,
                b.trim_end().to_owned(),
            ),
            (format!("{a}---\n{}", b.trim_end()), 1, a.clone()),
            // A literal whose trailing lines count stays whole.
            (
                format!("{a}data:\n  k: |+\n    x\n\n---\n{b}"),
                1,
                format!("{a}data:\n  k: |+\n    x\n\n"),
            ),
        ] {
            assert_eq!(
                cut(&file, &[(gone, None)]).as_deref(),
                Some(&*wanted),
                "{file}"
            );
            let crlf = |text: &str| text.replace('\n', "\r\n");
            let after = cut(&crlf(&file), &[(gone, None)]);
            assert_eq!(after.as_deref(), Some(&*crlf(&wanted)), "CRLF of {file}");
        }
        let marked = format!("\u{feff}{a}---\n{b}");
        assert_eq!(cut(&marked, &[(0, None)]), Some(format!("\u{feff}{b}")));
        let two = cut(&format!("{a}---\n{b}---\n{c}"), &[(2, None), (0, None)]);
        assert_eq!(two, Some(b));
    }

    #[test]
    fn the_file_goes_with_its_only_document() {
        let a = doc("a");
        for file in [
            a.clone(),
            format!("# about\n\n---\n{a}"),
            format!("{a}---\n# nothing more\n"),
            r#"{"apiVersion": "v1", "kind": "ConfigMap"}"#.to_owned(),
        ] {
            assert_eq!(cut(&file, &[(0, None)]), None, "{file}");
        }
    }

    #[test]
    fn an_item_of_a_list_goes_and_the_list_with_its_last() {
        let item = |name: &str| {
            format!("- apiVersion: v1\n  kind: ConfigMap\n  metadata: {{name: {name}}}\n")
        };
        let (a, b, c) = (item("a"), item("b"), item("c"));
        let list = |items: &str| format!("apiVersion: v1\nkind: List\nitems:\n{items}");
        let file = list(&format!("{a}{b}{c}"));
        assert_eq!(cut(&file, &[(0, Some(1))]), Some(list(&format!("{a}{c}"))));
        assert_eq!(cut(&file, &[(0, Some(0)), (0, Some(2))]), Some(list(&b)));
        let all = [(0, Some(0)), (0, Some(1)), (0, Some(2))];
        assert_eq!(cut(&file, &all), None);
        let and = format!("{file}---\n{}", doc("d"));
        assert_eq!(cut(&and, &all), Some(doc("d")));
    }

    #[test]
    fn what_would_change_another_document_is_refused() {
        let bare = format!("{}...\n{}", doc("a"), doc("b"));
        assert!(without("x.yaml", bare.as_bytes(), &[(0, None)]).is_err());
        let chart = "a: {{ .Values.x }}\n---\nb: 1\n";
        assert!(without("x.yaml", chart.as_bytes(), &[(1, None)]).is_err());
        assert!(without("x.yaml", doc("a").as_bytes(), &[(1, None)]).is_err());
    }

    #[test]
    fn a_new_file_is_written_like_its_neighbour() {
        let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "data": {"on": "yes", "script": "#!/bin/sh\nexit 0\n", "m": "1"}, "list": [{"a": 1}]});
        let text = |like: Option<&[u8]>| String::from_utf8(file(&manifest, like).unwrap()).unwrap();
        let plain = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  \"on\": \"yes\"\n  script: |\n    #!/bin/sh\n    exit 0\n  m: \"1\"\nlist:\n- a: 1\n";
        assert_eq!(text(None), plain);
        let like = "a:\r\n    b:\r\n        c: 1\r\nl:\r\n    - 1\r\n";
        assert_eq!(
            text(Some(like.as_bytes())),
            "apiVersion: v1\r\nkind: ConfigMap\r\nmetadata:\r\n    name: a\r\ndata:\r\n    \"on\": \"yes\"\r\n    script: |\r\n        #!/bin/sh\r\n        exit 0\r\n    m: \"1\"\r\nlist:\r\n    - a: 1\r\n"
        );
        assert_eq!(
            file_name("ClusterRole", "system:a/B"),
            "clusterrole-system-a-b.yaml"
        );
    }
}
