//! What the operator chose for a cell, and whether that choice still stands.

use crate::object::{
    identity::{AppKey, ObjectRef},
    path::FieldPath,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// What stands for an object on a side where it is there and is compared field by field: no content to compare.
pub const THERE: &str = "(there)";

/// One field of one live object, as one Application sees it; the root is the object as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellKey {
    pub application: AppKey,
    pub object: ObjectRef,
    pub field: FieldPath,
}

impl CellKey {
    /// The same field of the same object, under whatever version of its kind.
    pub fn is_same(&self, other: &Self) -> bool {
        self.field == other.field && self.is_of_object(other)
    }

    pub fn is_of_object(&self, other: &Self) -> bool {
        self.application == other.application && self.object.key() == other.object.key()
    }
}

/// Cells in their order, none of them twice: who decides on a field decides on it once.
pub fn each_once<'a>(cells: impl IntoIterator<Item = &'a CellKey>) -> Vec<CellKey> {
    let mut known = BTreeSet::new();
    let mut cells: Vec<&CellKey> = cells.into_iter().collect();
    cells.retain(|cell| known.insert(*cell));
    cells.into_iter().cloned().collect()
}

/// Where the canonical value comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Take {
    /// What Git has at the head of the tracked branch.
    Git,
    /// What the last successful sync brought.
    LastSynced,
    /// What is live: in the cell itself, or in the copy named.
    Live(LiveOf),
    /// A value that stands nowhere yet.
    Value(Value),
    /// What was live when a snapshot was taken: in the cell itself, or in the copy named.
    Snapshot(Kept),
    /// Stop comparing the field: an `ignoreDifferences` entry with `RespectIgnoreDifferences`.
    Ignore,
    /// Remove from the cluster what Git does not have.
    Remove,
    /// Put off, with somebody who owes it.
    Later(Later),
}

/// Which copy's live value; all `None` means the cell's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveOf {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Which snapshot, which copy of it, and what that has of the cell; neither name means the cell's own copy. What is decided has the
/// value: it is that of one field, and another field has another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// When the snapshot was taken.
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub value: Option<Value>,
}

/// How a field is put off. `until` is an RFC 3339 time or date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Later {
    pub how: How,
    pub owner: String,
    pub until: String,
}

/// What holds until the matter is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// Into Git as it is, to be removed by the owner.
    KeepLive,
    /// Git wins; the follow-up is recorded.
    GitNow,
    /// The Application stays frozen and is handed over.
    StayFrozen,
}

/// The values that stood when the decision was made. `None`: the field was absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sides {
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub git: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub last_synced: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub live: Option<Value>,
}

/// Keeps a JSON `null` apart from an absent side.
mod present {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;
    pub fn serialize<S: Serializer>(value: &Option<Value>, s: S) -> Result<S::Ok, S::Error> {
        value.serialize(s)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
        Value::deserialize(d).map(Some)
    }
}

/// What shall stand in the end, on one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wanted {
    /// This value.
    Value(Value),
    /// Nothing: the field is gone.
    Absent,
    /// Whatever is there: this side is not touched.
    AsIs,
}

impl Wanted {
    fn of(side: &Option<Value>) -> Self {
        side.clone().map_or(Self::Absent, Self::Value)
    }

    /// Whether `side` is as wanted; `AsIs` is met by anything.
    pub fn met_by(&self, side: &Option<Value>) -> bool {
        match self {
            Self::Value(value) => side.as_ref() == Some(value),
            Self::Absent => side.is_none(),
            Self::AsIs => true,
        }
    }
}

/// The decision for one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    pub cell: CellKey,
    pub take: Take,
    /// What was seen when deciding.
    pub seen: Sides,
    /// What the tracked branch shall render.
    pub git: Wanted,
    /// What the cluster shall hold.
    pub live: Wanted,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
    /// The tracked branch had it as wanted since: whoever takes it back there changes what was decided. Folded, never journaled.
    #[serde(skip)]
    pub pushed: bool,
    /// The cluster held it as wanted after a sync that was to bring it: whoever puts it back there changes what was decided. Folded,
    /// never journaled.
    #[serde(skip)]
    pub applied: bool,
}

/// Why a choice cannot be made for a cell.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CannotTake {
    #[error(
        "there is no last synced value to take: no rendering of the last successful sync is known"
    )]
    NoBase,
    #[error("no copy of that name holds this field")]
    NoCopy,
    #[error("the snapshot holds no value of this field")]
    NotKept,
    #[error(
        "Git has this field; `remove` is for what Git does not have. Take `git`, or another value"
    )]
    GitHasIt,
    #[error(
        "a secret value is never written to Git (rule 7): take `git`, or keep it in an external secret store"
    )]
    Secret,
    #[error("`later` needs an owner and a time or date until when: say who takes it over")]
    NobodyOwes,
    #[error(
        "an object as a whole is there or it is not: take what Git has, what is live, `remove`, or put it off"
    )]
    Whole,
    #[error(
        "the object as it was last synced is neither what Git has nor what is live: take Git or live, and decide its fields then"
    )]
    OtherObject,
    #[error(
        "deleting it would take along everything in it, which nobody was shown: delete it by hand, or keep it"
    )]
    TakesAlong,
    #[error(
        "`ignore` leaves no value to reconcile and needs the Application's own manifest in Git, which was not found"
    )]
    NotDeclared,
}

/// What `take` means for Git and for the cluster. `copy` is the live value of the copy that `take` names.
pub fn resolve(
    cell: &CellKey,
    take: &Take,
    sides: &Sides,
    copy: Option<&Option<Value>>,
    declared_in_git: bool,
) -> Result<(Wanted, Wanted), CannotTake> {
    if cell.field.is_root() {
        return whole(&cell.object, take, sides);
    }
    let both = |side: &Option<Value>| -> Result<(Wanted, Wanted), CannotTake> {
        if side.as_ref().is_some_and(is_secret) && side != &sides.git {
            return Err(CannotTake::Secret);
        }
        Ok((Wanted::of(side), Wanted::of(side)))
    };
    match take {
        Take::Git => both(&sides.git),
        Take::LastSynced => match &sides.last_synced {
            Some(_) => both(&sides.last_synced),
            // A field that this copy never had; another member of its group has it.
            None if sides.git.is_none() && sides.live.is_none() => both(&None),
            None => Err(CannotTake::NoBase),
        },
        Take::Live(of) if *of == LiveOf::default() => both(&sides.live),
        Take::Live(_) => both(copy.ok_or(CannotTake::NoCopy)?),
        Take::Value(value) => both(&Some(value.clone())),
        Take::Snapshot(Kept { value: None, .. }) => Err(CannotTake::NotKept),
        Take::Snapshot(kept) => both(&kept.value),
        Take::Ignore if declared_in_git => Ok((Wanted::AsIs, Wanted::AsIs)),
        Take::Ignore => Err(CannotTake::NotDeclared),
        Take::Remove if sides.git.is_some() => Err(CannotTake::GitHasIt),
        Take::Remove => Ok((Wanted::Absent, Wanted::Absent)),
        Take::Later(later) => {
            if later.owner.trim().is_empty() || later.until.trim().is_empty() {
                return Err(CannotTake::NobodyOwes);
            }
            match later.how {
                How::KeepLive => both(&sides.live),
                How::GitNow => both(&sides.git),
                How::StayFrozen => Ok((Wanted::AsIs, Wanted::AsIs)),
            }
        }
    }
}

/// The same for an object that is on one side only. Git's word for an object that it does not have is that it shall not
/// be there: `git` and `remove` are one for it, and the deletion that follows is confirmed by itself (rule 8).
fn whole(object: &ObjectRef, take: &Take, sides: &Sides) -> Result<(Wanted, Wanted), CannotTake> {
    let both = |side: &Option<Value>| -> Result<(Wanted, Wanted), CannotTake> {
        let to_git = side.is_some() && sides.git.is_none();
        if to_git && object.kind == "Secret" && object.group.is_empty() {
            return Err(CannotTake::Secret);
        }
        let deleted = side.is_none() && sides.live.is_some();
        if deleted && ["Namespace", "CustomResourceDefinition"].contains(&object.kind.as_str()) {
            return Err(CannotTake::TakesAlong);
        }
        Ok((Wanted::of(side), Wanted::of(side)))
    };
    match take {
        Take::Git => both(&sides.git),
        Take::Live(of) if *of == LiveOf::default() || of.is(object) => both(&sides.live),
        Take::Live(_) | Take::Value(_) | Take::Snapshot(_) | Take::Ignore => Err(CannotTake::Whole),
        Take::LastSynced => match &sides.last_synced {
            None => Err(CannotTake::NoBase),
            base if *base == sides.git => both(&sides.git),
            base if *base == sides.live => both(&sides.live),
            _ => Err(CannotTake::OtherObject),
        },
        Take::Remove => both(&None),
        Take::Later(later) => {
            if later.owner.trim().is_empty() || later.until.trim().is_empty() {
                return Err(CannotTake::NobodyOwes);
            }
            match later.how {
                How::KeepLive => both(&sides.live),
                How::GitNow => both(&sides.git),
                How::StayFrozen => Ok((Wanted::AsIs, Wanted::AsIs)),
            }
        }
    }
}

/// Whether a value is the digest that stands for a secret (`{"secret": "hmac:…"}`).
pub fn is_secret(value: &Value) -> bool {
    value
        .get("secret")
        .and_then(Value::as_str)
        .is_some_and(|text| text.starts_with("hmac:"))
}

impl Kept {
    /// The copy that it names.
    pub fn of(&self) -> LiveOf {
        LiveOf {
            application: self.application.clone(),
            namespace: self.namespace.clone(),
        }
    }

    /// Where it comes from, for a sentence: `the snapshot of 2026-11-21 14:43:17 UTC of auth`.
    pub fn whence(&self) -> String {
        let names = [&self.application, &self.namespace];
        let names: Vec<&str> = names.into_iter().flatten().map(String::as_str).collect();
        let of = match names.is_empty() {
            true => String::new(),
            false => format!(" of {}", names.join(" in ")),
        };
        let at = self.at.strftime("%F %H:%M:%S UTC");
        crate::text::line(&format!("the snapshot of {at}{of}"))
    }
}

impl LiveOf {
    /// Whether a cell is the copy that it names, as far as the place goes.
    pub fn is_at(&self, cell: &CellKey) -> bool {
        let namespace = self.namespace.as_ref();
        let application = self.application.as_ref();
        namespace.is_none_or(|named| cell.object.namespace.as_ref() == Some(named))
            && application.is_none_or(|named| {
                cell.application.name == *named || cell.application.to_string() == *named
            })
    }

    /// Whether it names the place of this very object.
    fn is(&self, object: &ObjectRef) -> bool {
        self.application.is_none() && self.namespace == object.namespace
    }
}

impl Decision {
    /// Whether the decision still stands: each side is as it was seen, or already as wanted. A side that was brought there is as
    /// wanted, or somebody took it back. What is ignored shows in no value: see `CellNow::upholds`.
    pub fn stands(&self, now: &Sides) -> bool {
        self.git_stands(now) && self.live_stands(now)
    }

    /// The same for Git alone.
    pub fn git_stands(&self, now: &Sides) -> bool {
        !self.pushed && now.git == self.seen.git || self.git_met(now)
    }

    /// The same for the cluster alone.
    pub fn live_stands(&self, now: &Sides) -> bool {
        let as_seen = !self.applied && now.live == self.seen.live;
        match self.stays_frozen() {
            // Whatever takes the place of what was to stay overtakes it.
            true if !self.cell.field.is_root() => as_seen,
            true => now.live.is_some() == self.seen.live.is_some(),
            false => as_seen || self.live_met(now),
        }
    }

    /// What it is called among what is owed, where Git has it and the sync that brings it waits.
    pub fn unsynced_id(&self) -> String {
        let cell = &self.cell;
        format!(
            "unsynced:{}:{}:{}",
            cell.application, cell.object, cell.field
        )
    }

    /// What it is called among what is owed, where it is put off.
    pub fn later_id(&self) -> String {
        format!("later:{}:{}", self.cell.object, self.cell.field)
    }

    /// Whether it was put off to stay as it is, held by a freeze.
    pub fn stays_frozen(&self) -> bool {
        matches!(&self.take, Take::Later(later) if later.how == How::StayFrozen)
    }

    /// Whether both sides are as wanted.
    pub fn settled(&self, now: &Sides) -> bool {
        self.git_met(now) && self.live_met(now)
    }

    /// Whether the tracked branch has to change for it.
    pub fn changes_git(&self) -> bool {
        !self.git_met(&self.seen)
    }

    /// Whether the cluster has to change for it.
    pub fn changes_live(&self) -> bool {
        !self.live_met(&self.seen)
    }

    /// Whether Git is as wanted.
    pub fn git_met(&self, now: &Sides) -> bool {
        self.met(&self.git, &now.git)
    }

    /// Whether the cluster is as wanted.
    pub fn live_met(&self, now: &Sides) -> bool {
        self.met(&self.live, &now.live)
    }

    /// An object that is on both sides is there as wanted; how its fields differ is asked field by field.
    fn met(&self, wanted: &Wanted, side: &Option<Value>) -> bool {
        let there = self.cell.field.is_root()
            && matches!(wanted, Wanted::Value(_))
            && side.as_ref().is_some_and(|value| value == THERE);
        there || wanted.met_by(side)
    }

    /// Whether an object as a whole is to be deleted from the cluster.
    pub fn deletes(&self) -> bool {
        self.cell.field.is_root() && self.live == Wanted::Absent && self.seen.live.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sides(git: &str, live: &str) -> Sides {
        Sides {
            git: Some(json!(git)),
            last_synced: Some(json!(git)),
            live: Some(json!(live)),
        }
    }

    fn cell(field: &str, kind: &str) -> CellKey {
        CellKey {
            application: "argocd/x".parse().unwrap(),
            object: ObjectRef {
                group: String::new(),
                version: "v1".into(),
                kind: kind.into(),
                namespace: Some("n".into()),
                name: "c".into(),
            },
            field: field.parse().unwrap(),
        }
    }

    fn decided(cell: CellKey, take: Take, seen: Sides) -> Decision {
        let (git, live) = resolve(&cell, &take, &seen, None, true).unwrap();
        Decision {
            cell,
            take,
            seen,
            git,
            live,
            reason: String::new(),
            by: String::new(),
            at: Timestamp::UNIX_EPOCH,
            pushed: false,
            applied: false,
        }
    }

    #[test]
    fn an_object_on_one_side_is_taken_put_into_git_or_taken_away() {
        let content = json!({"data": {"a": "x"}});
        let only_live = Sides {
            live: Some(content.clone()),
            ..Sides::default()
        };
        let only_git = Sides {
            git: Some(content.clone()),
            ..Sides::default()
        };
        let later = |how| {
            Take::Later(Later {
                how,
                owner: "jo".into(),
                until: "2026-12-01".into(),
            })
        };
        let here = Take::Live(LiveOf {
            namespace: Some("n".into()),
            application: None,
        });
        let there = Wanted::Value(content.clone());
        for (seen, take, wanted) in [
            (&only_live, Take::Remove, &Wanted::Absent),
            (&only_live, Take::Git, &Wanted::Absent),
            (&only_live, later(How::GitNow), &Wanted::Absent),
            (&only_live, Take::Live(LiveOf::default()), &there),
            (&only_live, here, &there),
            (&only_live, later(How::KeepLive), &there),
            (&only_live, later(How::StayFrozen), &Wanted::AsIs),
            (&only_git, Take::Git, &there),
            (&only_git, Take::Remove, &Wanted::Absent),
            (&only_git, Take::Live(LiveOf::default()), &Wanted::Absent),
        ] {
            let (git, live) = resolve(&cell(".", "ConfigMap"), &take, seen, None, true).unwrap();
            assert_eq!((&git, &live), (wanted, wanted), "{take:?}");
        }
        for (kind, take, why) in [
            ("ConfigMap", Take::Ignore, CannotTake::Whole),
            ("ConfigMap", Take::Value(json!(1)), CannotTake::Whole),
            ("ConfigMap", Take::LastSynced, CannotTake::NoBase),
            ("Secret", Take::Live(LiveOf::default()), CannotTake::Secret),
            ("Namespace", Take::Remove, CannotTake::TakesAlong),
        ] {
            let refused = resolve(&cell(".", kind), &take, &only_live, None, true);
            assert_eq!(refused, Err(why), "{kind} {take:?}");
        }
    }

    #[test]
    fn a_whole_object_stands_once_it_is_there_and_reopens_when_its_content_moved() {
        let content = |v: &str| Some(json!({"data": {"a": v}}));
        let there = Some(json!(THERE));
        let only_live = |v: &str| Sides {
            live: content(v),
            ..Sides::default()
        };
        let both = Sides {
            git: there.clone(),
            last_synced: None,
            live: there,
        };
        let keep = decided(
            cell(".", "ConfigMap"),
            Take::Live(LiveOf::default()),
            only_live("x"),
        );
        assert!(keep.changes_git() && !keep.changes_live() && !keep.deletes());
        assert!(keep.stands(&only_live("x")) && keep.settled(&both));
        assert!(
            !keep.stands(&only_live("y")),
            "the manifest that was shown is not what is live"
        );
        let gone = decided(cell(".", "ConfigMap"), Take::Remove, only_live("x"));
        assert!(gone.deletes() && !gone.changes_git());
        assert!(gone.settled(&Sides::default()));
        assert!(
            !gone.stands(&only_live("y")),
            "what is there now is another one"
        );
    }

    #[test]
    fn taking_a_copy_changes_both_sides_to_its_live_value() {
        let take = Take::Live(LiveOf {
            namespace: Some("auth".into()),
            application: None,
        });
        let (git, live) = resolve(
            &cell(".data.k", "ConfigMap"),
            &take,
            &sides("HS256", "HS256"),
            Some(&Some(json!("RS256"))),
            true,
        )
        .unwrap();
        assert_eq!(git, Wanted::Value(json!("RS256")));
        assert_eq!(live, git);
    }

    #[test]
    fn a_secret_never_goes_to_git_but_git_may_win() {
        let seen = Sides {
            git: Some(json!({"secret": "hmac:a"})),
            live: Some(json!({"secret": "hmac:b"})),
            ..Sides::default()
        };
        let live = Take::Live(LiveOf::default());
        let key = cell(".data.k", "Secret");
        let taken = |take| resolve(&key, take, &seen, None, true);
        assert_eq!(taken(&live), Err(CannotTake::Secret));
        assert!(taken(&Take::Git).is_ok());
    }

    #[test]
    fn a_foreign_change_reopens_and_our_own_does_not() {
        let decision = decided(
            cell(".data.k", "ConfigMap"),
            Take::Live(LiveOf::default()),
            sides("a", "b"),
        );
        assert!(decision.stands(&sides("a", "b")));
        assert!(decision.stands(&sides("b", "b")), "our commit landed");
        assert!(
            !decision.stands(&sides("a", "c")),
            "somebody changed the live value"
        );
        assert!(
            !decision.stands(&sides("c", "b")),
            "somebody pushed another value"
        );
        let pushed = Decision {
            pushed: true,
            ..decision
        };
        assert!(pushed.stands(&sides("b", "b")));
        assert!(
            !pushed.stands(&sides("a", "b")),
            "somebody took our commit back"
        );
    }
}
