//! Reads the text of a plan; what is wrong is told with its place.

use serde_path_to_error::{Path, Segment};

use super::Plan;
use crate::{
    source::{
        tree::{Kind, Tree},
        yaml,
    },
    strict::Strict,
};

pub(super) fn read(text: &str) -> Result<Plan, String> {
    // Through JSON: a YAML reader would want a choice with a value (`take: {live: …}`) written as a tag.
    let tree = yaml::parse(text);
    if let Some(twice) = tree.iter().flat_map(Tree::duplicates).next() {
        return Err(format!(
            "line {}: the key `{}` stands twice in one map, and only one of the two could count",
            twice.line, twice.key
        ));
    }
    // Where the tree reads less than this, a key that stands twice is told without its line.
    let Strict(value) = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let why = error.inner().to_string();
        let hint = if why.contains("missing field `fields`") {
            "; a whole object is `fields: [\".\"]`"
        } else {
            ""
        };
        let line = tree.as_ref().ok().map(|tree| line(tree, error.path()));
        match line {
            _ if path == "." => format!("{why}{hint}"),
            Some(line) => format!("line {line}, `{path}`: {why}{hint}"),
            None => format!("`{path}`: {why}{hint}"),
        }
    })
}

/// The line of what the path means, as far as it is written, counted from 1.
fn line(tree: &Tree<'_>, path: &Path) -> usize {
    let mut place = 0;
    let mut here = tree.docs.iter().find_map(|doc| doc.root);
    for segment in path {
        let Some(node) = here else { break };
        let next = match (segment, &tree.node(tree.behind(node)).kind) {
            (Segment::Map { key }, Kind::Map { entries, .. }) => entries
                .iter()
                .find(|entry| tree.scalar(tree.behind(entry.key)) == Some(key))
                .map(|entry| (entry.start, entry.value)),
            (Segment::Seq { index }, Kind::Seq { items, .. }) => {
                items.get(*index).map(|item| (item.start, item.node))
            }
            _ => None,
        };
        if let Some((start, _)) = next {
            place = start;
        }
        here = next.map(|(_, node)| node);
    }
    let before = tree.text.get(..place).unwrap_or_default();
    before.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "\
apiVersion: trueup.dev/v1
kind: Plan
incident: INC-1
scope: [auth]
decisions:
- on: {kind: ConfigMap, name: a}
  fields: [.]
  take: git
- on: {kind: ConfigMap, name: b}
  fields: [.]
  take: git
gates:
  quiet: {manual: fresh}
sync:
- {application: auth, then: [healthy]}
";

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        read(PLAN).unwrap();
        for (from, to, wanted) in [
            (
                "name: b}\n  fields: [.]\n",
                "name: b}\n",
                "line 9, `decisions[1]`: missing field `fields`; a whole object is `fields: [\".\"]`",
            ),
            (
                "name: b}\n  fields",
                "name: b}\n  feilds",
                "line 10, `decisions[1].feilds`: unknown field `feilds`",
            ),
            (
                "then:",
                "than:",
                "line 15, `sync[0].than`: unknown field `than`",
            ),
            (
                "scope: [auth]",
                "scope: auth",
                "line 4, `scope`: invalid type",
            ),
            ("kind: Plan\n", "", "missing field `kind`"),
        ] {
            let text = PLAN.replacen(from, to, 1);
            let why = read(&text).unwrap_err();
            assert!(why.starts_with(wanted), "{why}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_with_its_line() {
        for (from, to, wanted) in [
            (
                "  take: git\n- on: {kind: ConfigMap, name: b}",
                "  take: live\n  take: git\n- on: {kind: ConfigMap, name: b}",
                "line 9: the key `take` stands twice",
            ),
            (
                "gates:\n",
                "sync: []\ngates:\n",
                "line 15: the key `sync` stands twice",
            ),
            (
                "scope: [auth]\n",
                "scope: [auth]\n\"incident\": INC-2\n",
                "line 5: the key `incident` stands twice",
            ),
            (
                "scope: [auth]\n",
                "scope: [auth]\ntargets: {\"*\": {policy: found}, '*': {policy: declared}}\n",
                "line 5: the key `*` stands twice",
            ),
            (
                "then: [healthy]}",
                "then: [healthy], then: []}",
                "line 15: the key `then` stands twice",
            ),
        ] {
            let text = PLAN.replacen(from, to, 1);
            assert_ne!(text, PLAN);
            let why = read(&text).unwrap_err();
            assert!(why.starts_with(wanted), "{why}");
        }
        let json = serde_json::to_string(&read(PLAN).unwrap()).unwrap();
        read(&json).unwrap();
        let twice = json.replacen("\"take\":\"git\"", "\"take\":\"live\",\"take\":\"git\"", 1);
        let why = read(&twice).unwrap_err();
        assert!(why.contains("the key `take` stands twice"), "{why}");
    }
}
