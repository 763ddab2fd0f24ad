//! Every write seen on the objects of interest, one by one: a value that was changed and changed back is two writes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use trueup_core::object::diff::diff;
use trueup_core::object::identity::ObjectKey;
use trueup_core::object::managed::{Managed, ManagerClass};
use trueup_core::object::normalise;
use trueup_core::object::path::FieldPath;
use trueup_core::text;

/// More than this are not kept; that there were so many is.
const KEPT: usize = 1_000;

/// Objects whose writes are noted, and their fields in question: those count whoever writes them.
pub type Interest = BTreeMap<ObjectKey, BTreeSet<FieldPath>>;

/// Writes in the order in which they were seen.
#[derive(Default)]
pub struct Trail {
    interest: Interest,
    seen: VecDeque<(u64, String)>,
    count: u64,
}

impl Trail {
    /// From now on these objects are of interest.
    pub fn follow(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// Where the trail ends now.
    pub fn end(&self) -> u64 {
        self.count
    }

    /// The writes after a place of the trail, in words: object, fields, writer.
    pub fn since(&self, place: u64) -> Vec<String> {
        let missing = self
            .seen
            .front()
            .map_or(0, |(first, _)| first.saturating_sub(place + 1));
        let more = (missing > 0).then(|| format!("{missing} writes before these"));
        let kept = self.seen.iter().filter(|(at, _)| *at > place);
        more.into_iter()
            .chain(kept.map(|(_, words)| words.clone()))
            .collect()
    }

    /// Notes what became of an object.
    pub fn saw(&mut self, key: &ObjectKey, was: Option<&Value>, is: Option<&Value>) {
        let Some(fields) = self.interest.get(key) else {
            return;
        };
        let Some(words) = words(key, fields, was, is) else {
            return;
        };
        self.count += 1;
        self.seen.push_back((self.count, words));
        if self.seen.len() > KEPT {
            self.seen.pop_front();
        }
    }
}

fn words(
    key: &ObjectKey,
    fields: &BTreeSet<FieldPath>,
    was: Option<&Value>,
    is: Option<&Value>,
) -> Option<String> {
    let name = match &key.namespace {
        Some(namespace) => format!("{}/{} in {namespace}", key.kind, key.name),
        None => format!("{}/{}", key.kind, key.name),
    };
    let (was, is) = match (was, is) {
        (None, None) => return None,
        (None, Some(_)) => return Some(text::line(&format!("{name} was created"))),
        (Some(_), None) => return Some(text::line(&format!("{name} was deleted"))),
        (Some(was), Some(is)) => (was, is),
    };
    let managed = Managed::read(is);
    let changes = diff(
        &normalise::strip(was).object,
        &normalise::strip(is).object,
        &key.kind,
    );
    let said: Vec<String> = changes
        .iter()
        .filter(|change| !change.is_cosmetic(&key.kind) && !normalise::is_bookkeeping(&change.path))
        .filter_map(|change| {
            let writer = managed.writer(&change.path);
            let class = writer.map_or(ManagerClass::Unknown, |writer| writer.class());
            let asked = fields
                .iter()
                .any(|field| field.is_prefix_of(&change.path) || change.path.is_prefix_of(field));
            // What the control plane keeps on an object is no foreign write, unless it is a field in question.
            if !asked && matches!(class, ManagerClass::Controller | ManagerClass::Gitops) {
                return None;
            }
            let who = writer.map_or("unknown", |writer| writer.manager.as_str());
            let when = writer
                .and_then(|writer| writer.time)
                .map(|time| format!(" at {}", time.strftime("%H:%M:%S")))
                .unwrap_or_default();
            Some(format!("{} by {who}{when}", change.path))
        })
        .collect();
    let said = if said.is_empty() {
        rewritten(&managed, &Managed::read(was))
    } else {
        said
    };
    (!said.is_empty()).then(|| text::line(&format!("{name}: {}", said.join(", "))))
}

/// Writers whose time moved though no value did: what they wrote was undone before it was seen.
fn rewritten(is: &Managed, was: &Managed) -> Vec<String> {
    is.entries
        .iter()
        .filter(|entry| {
            !matches!(
                entry.class(),
                ManagerClass::Controller | ManagerClass::Gitops
            ) && entry.time.is_some()
                && !was.entries.iter().any(|other| {
                    (&other.manager, &other.operation, other.time)
                        == (&entry.manager, &entry.operation, entry.time)
                })
        })
        .map(|entry| format!("written by {} and as before", entry.manager))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use trueup_core::object::identity::ObjectRef;

    fn config(algorithm: &str, replicas: u32, manager: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "auth", "name": "c",
            "managedFields": [{"manager": manager, "operation": "Update", "apiVersion": "v1",
                "time": "2026-11-14T07:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:data": {"f:ALG": {}, "f:n": {}}}}]},
            "data": {"ALG": algorithm, "n": replicas.to_string()}})
    }

    #[test]
    fn a_change_and_its_undoing_are_two_writes() {
        let (a, b) = (
            config("RS256", 1, "kubectl-edit"),
            config("HS256", 1, "kubectl-edit"),
        );
        let key = ObjectRef::from_object(&a).unwrap().key();
        let mut trail = Trail::default();
        trail.saw(&key, Some(&a), Some(&b));
        assert_eq!(trail.end(), 0, "nobody asked for this object");
        trail.follow(BTreeMap::from([(key.clone(), BTreeSet::new())]));
        trail.saw(&key, Some(&a), Some(&b));
        trail.saw(&key, Some(&b), Some(&a));
        let words = "ConfigMap/c in auth: .data.ALG by kubectl-edit at 07:00:00";
        assert_eq!(trail.since(0), [words, words]);
        assert_eq!(trail.since(1), [words]);
        assert!(trail.since(2).is_empty());
    }

    #[test]
    fn a_writer_whose_time_moved_has_written() {
        let before = config("RS256", 1, "kubectl-edit");
        let mut after = before.clone();
        after["metadata"]["managedFields"][0]["time"] = json!("2026-11-14T07:00:05Z");
        let key = ObjectRef::from_object(&before).unwrap().key();
        let mut trail = Trail::default();
        trail.follow(BTreeMap::from([(key.clone(), BTreeSet::new())]));
        trail.saw(&key, Some(&before), Some(&before));
        assert_eq!(trail.end(), 0);
        trail.saw(&key, Some(&before), Some(&after));
        assert_eq!(
            trail.since(0),
            ["ConfigMap/c in auth: written by kubectl-edit and as before"]
        );
    }

    #[test]
    fn what_a_controller_writes_counts_only_in_a_field_in_question() {
        let (a, b) = (config("RS256", 1, "keda"), config("RS256", 2, "keda"));
        let key = ObjectRef::from_object(&a).unwrap().key();
        for (fields, count) in [(vec![], 0), (vec![".data.ALG"], 0), (vec![".data.n"], 1)] {
            let fields = fields.iter().map(|field| field.parse().unwrap()).collect();
            let mut trail = Trail::default();
            trail.follow(BTreeMap::from([(key.clone(), fields)]));
            trail.saw(&key, Some(&a), Some(&b));
            assert_eq!(trail.end(), count);
        }
    }
}
