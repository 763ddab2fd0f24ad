//! What is owed before an incident can end, as far as its journal tells.

use super::*;

/// The debt of what is a question again, by Application: an incident that ends with it ends on what somebody took back.
pub(crate) fn open_anew<'a>(cells: impl IntoIterator<Item = &'a CellKey>) -> Vec<Obligation> {
    let mut open: BTreeMap<&AppKey, Vec<&CellKey>> = BTreeMap::new();
    for key in cells {
        open.entry(&key.application).or_default().push(key);
    }
    let debt = |(application, cells): (&AppKey, Vec<&CellKey>)| {
        let fields: Vec<String> = cells
            .iter()
            .map(|key| format!("{} {}", key.object, key.field))
            .collect();
        Obligation::blocking(
            format!("open:{application}"),
            crate::text::line(&format!(
                "{}: {} open again, since somebody changed {}",
                application.name,
                crate::text::some(&fields, 3),
                if cells.len() == 1 { "it" } else { "them" }
            )),
            Some(application.clone()),
            Obligation::DECIDE,
        )
    };
    open.into_iter().map(debt).collect()
}

impl Run {
    /// Who has an Application that is left frozen on purpose, and until when.
    pub fn stays_frozen(&self, key: &AppKey) -> Option<&Later> {
        self.decisions
            .values()
            .filter(|decision| decision.cell.application == *key)
            .find_map(|decision| match &decision.take {
                Take::Later(later) if later.how == How::StayFrozen => Some(later),
                _ => None,
            })
    }

    /// Whether something is owed that somebody else can settle without this journal: a look tells ([`crate::now::Now::owed`]).
    pub fn owes_a_thaw(&self) -> bool {
        let mut owed = self.obligations().into_iter();
        self.closed.is_some() && owed.any(|owed| owed.id.starts_with("frozen:"))
    }

    /// What we still owe, derived from what was done and from what was seen last of what others did.
    pub fn obligations(&self) -> Vec<Obligation> {
        let mut owed = self.debts();
        let again: BTreeSet<&CellKey> = self.open_again().collect();
        // What is a question again is put off by nobody any more.
        owed.retain(|owed| {
            let put_off = |key: &&CellKey| {
                let decision = self.decisions.get(*key);
                decision.is_some_and(|decision| decision.later_id() == owed.id)
            };
            !again.iter().any(put_off)
        });
        owed.extend(open_anew(again));
        owed
    }

    /// What was decided or found, somebody changed since, and nobody has decided anew or put back, as far as that is journaled.
    pub fn open_again(&self) -> impl Iterator<Item = &CellKey> {
        self.shaken
            .iter()
            .filter(|(key, touched)| {
                let app = self.apps.get(&key.application);
                let parked = app.is_some_and(|app| app.parked.is_some());
                let lost = || touched.set().and_then(|set| self.lost(key, set)).is_some();
                self.closed.is_none() && !parked && (self.decisions.contains_key(*key) || lost())
            })
            .map(|(key, _)| key)
    }

    /// What we owe whatever others did to what was decided.
    pub(crate) fn debts(&self) -> Vec<Obligation> {
        let mut owed = Vec::new();
        for (key, app) in &self.apps {
            // What did not stay as thawed is a debt of its own, below: there is nothing to thaw.
            let broken = matches!(app.thaw, Thaw::Broken { .. });
            if app.freeze.is_set() && !broken || matches!(app.freeze, Freeze::Lost { .. }) {
                let parked = app.parked.as_ref().map(|p| (&p.owner, &p.until));
                let handed = parked.or_else(|| {
                    let later = self.stays_frozen(key)?;
                    Some((&later.owner, &later.until))
                });
                owed.push(Obligation {
                    id: format!("frozen:{key}"),
                    what: match &app.freeze {
                        Freeze::Lost { why } => format!("the freeze of {key} is lost: {why}"),
                        freeze if freeze.is_set() && self.thaw_unknown(key) => format!(
                            "{key} is frozen or thawed: it is not known whether its thaw happened"
                        ),
                        _ if self.is_given_back(key) => {
                            format!(
                                "{key} was thawed, and that it holds was not watched to the end"
                            )
                        }
                        freeze => format!("{key} is frozen ({})", freeze.word()),
                    },
                    application: Some(key.clone()),
                    owner: handed.map(|(owner, _)| owner.clone()),
                    until: handed.map(|(_, until)| until.clone()),
                    blocks_close: handed.is_none(),
                    settle: match (parked, handed) {
                        (Some(_), _) if self.closed.is_none() => Obligation::TAKE_UP,
                        (None, Some(_)) if self.closed.is_none() => Obligation::DECIDE,
                        _ => "thaw",
                    }
                    .into(),
                });
            }
            if let Some(what) = app.not_as_thawed(key, app.policy_moved.clone()) {
                owed.push(Obligation::blocking(
                    Obligation::of_thaw(key),
                    what,
                    Some(key.clone()),
                    "freeze",
                ));
            }
            for (gate, state) in &app.gates {
                // A red gate that glass was broken for is owed as the review of that glass.
                let glass = self.glass_for(key, gate).is_some();
                if let (Some(why), false) = (state.late(), glass) {
                    owed.push(Obligation::blocking(
                        format!("gate:{key}:{gate}"),
                        state.unmet(key, gate, &why),
                        Some(key.clone()),
                        Obligation::GATE,
                    ));
                }
            }
        }
        for (id, op) in self.open_ops() {
            owed.push(Obligation::blocking(
                format!("open:{id}"),
                format!(
                    "it is not known whether this {} happened (op {id})",
                    op.effect.verb()
                ),
                op.effect.application().cloned(),
                "look",
            ));
        }
        if self.pushed_unmerged() {
            owed.push(Obligation::blocking(
                "unmerged",
                "the change is pushed to a branch of its own and not merged",
                None,
                "merge",
            ));
        }
        for glass in self.broken_glass.iter().filter(|g| g.reviewed.is_none()) {
            owed.push(Obligation::blocking(
                format!("glass:{}", glass.what),
                format!("glass was broken and not reviewed: {}", glass.what),
                glass.application.clone(),
                "review",
            ));
        }
        for decision in self.acted_and_not_pushed() {
            owed.push(self.act_owed(&decision.cell));
        }
        for decision in self.decisions.values() {
            let cell = &decision.cell;
            // One field that stays frozen keeps the others of its Application from being synced.
            let waits = decision.pushed && !decision.applied && decision.changes_live();
            if let Some(later) = self.stays_frozen(&cell.application).filter(|_| waits) {
                owed.push(Obligation {
                    id: decision.unsynced_id(),
                    what: crate::text::line(&format!(
                        "{} {} is decided and in Git, and not in the cluster: {} is not synced while a field of it stays frozen",
                        cell.object, cell.field, cell.application.name
                    )),
                    application: Some(cell.application.clone()),
                    owner: Some(later.owner.clone()),
                    until: Some(later.until.clone()),
                    blocks_close: false,
                    settle: "hand over".into(),
                });
            }
            if let Take::Later(later) = &decision.take {
                let key = &decision.cell.application;
                // A freeze that is gone keeps nothing as it is, whoever has the field.
                let app = self.apps.get(key);
                let parked = app.is_some_and(|app| app.parked.is_some());
                let loose = later.how == How::StayFrozen && !self.is_frozen(key);
                let not_frozen = format!(
                    "undecided, was to stay frozen, and {} is not frozen any more ({})",
                    key.name,
                    self.freeze_word(key)
                );
                let how = match later.how {
                    How::StayFrozen if loose => not_frozen.as_str(),
                    How::KeepLive => "kept live for now, to be removed from Git",
                    How::GitNow => "Git won for now, to be followed up",
                    How::StayFrozen => "undecided, stays frozen",
                };
                owed.push(Obligation {
                    id: decision.later_id(),
                    what: format!("{} {}: {how}", decision.cell.object, decision.cell.field),
                    application: Some(decision.cell.application.clone()),
                    owner: Some(later.owner.clone()),
                    until: Some(later.until.clone()),
                    // Who took over the Application took it over too.
                    blocks_close: loose && !parked,
                    settle: if loose {
                        Obligation::DECIDE
                    } else {
                        "hand over"
                    }
                    .into(),
                });
            }
        }
        owed
    }

    /// Whether an Application was frozen by another incident, and nothing of it was decided here.
    pub fn only_taken_over(&self, key: &AppKey) -> bool {
        let taken = |op: &Op| matches!(&op.effect, Effect::Freeze { application, from: Some(_), .. } if application == key);
        self.ops.values().any(|op| op.done() && taken(op))
            && !self.decisions.keys().any(|cell| cell.application == *key)
    }

    /// What the debt of a live action on a field is called.
    pub fn act_id(&self, cell: &CellKey) -> String {
        format!("act:{}:{}", cell.object, cell.field)
    }

    /// The debt of a live action. Who took over the Application took it over too.
    pub(crate) fn act_owed(&self, cell: &CellKey) -> Obligation {
        let app = self.apps.get(&cell.application);
        let parked = app.and_then(|app| app.parked.as_ref());
        Obligation {
            id: self.act_id(cell),
            what: format!(
                "{} {} was set by a live action and is not in Git",
                cell.object, cell.field
            ),
            application: Some(cell.application.clone()),
            owner: parked.map(|parked| parked.owner.clone()),
            until: parked.map(|parked| parked.until.clone()),
            blocks_close: parked.is_none(),
            settle: "push it, or put it back".into(),
        }
    }

    /// Fields that a live action set.
    pub fn acted(&self) -> impl Iterator<Item = &CellKey> {
        self.ops.values().filter(|op| op.done()).filter_map(|op| {
            let Effect::Act { cell, .. } = &op.effect else {
                return None;
            };
            cell.as_ref()
        })
    }

    /// The live action on a field that stands and was done after all that was decided, but for what it decided itself.
    pub fn acted_last(&self) -> Option<(&Op, &CellKey)> {
        let last = self.acts().0.pop()?;
        let (op, cell) = (self.ops.get(last.op)?, last.cell);
        let cells = self.decided.last().into_iter().flatten();
        let of_it = |decision: &Decision| {
            decision.take == Take::Live(Default::default()) && decision.cell.is_same(cell)
        };
        let mut after = cells
            .filter_map(|cell| self.decisions.get(cell))
            .filter(|decision| decision.at >= op.intended_at);
        after.all(of_it).then_some((op, cell))
    }

    /// Whether a field stands as it stood before the first live action on it.
    pub fn as_before_acts(&self, key: &CellKey, live: Option<&serde_json::Value>) -> bool {
        let mut done = self.op_order.iter().filter_map(|id| self.ops.get(id));
        let first = done.find(|op| {
            let on = |effect: &Effect| matches!(effect, Effect::Act { cell: Some(cell), .. } if cell.is_same(key));
            op.done() && on(&op.effect)
        });
        // A field that was not there has null in the guard.
        let before = first.and_then(|op| op.guard.facts.get(&key.field.to_string()));
        before.is_some_and(|before| live.unwrap_or(&serde_json::Value::Null) == before)
    }

    /// What a live action set and no push has taken to Git since.
    pub fn acted_and_not_pushed(&self) -> impl Iterator<Item = &Decision> {
        let done = || self.ops.values().filter(|op| op.done());
        self.decisions.values().filter(move |decision| {
            let acted = self.acted().any(|cell| cell.is_same(&decision.cell));
            let pushed = done().any(|op| {
                matches!(op.effect, Effect::Push { .. }) && op.intended_at >= decision.at
            });
            acted && decision.changes_git() && !pushed
        })
    }

    /// A push to a branch of our own whose merge has not been seen.
    pub fn pushed_unmerged(&self) -> bool {
        let pushed = self
            .op_order
            .iter()
            .rev()
            .filter_map(|id| self.ops.get(id))
            .find(|op| op.done() && matches!(op.effect, Effect::Push { .. }));
        match pushed.map(|op| (&op.effect, &op.outcome)) {
            Some((
                Effect::Push {
                    tracked: false,
                    repository,
                    ..
                },
                Some((_, at)),
            )) => {
                let _ = at;
                !self.landed.contains_key(repository)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decision::{Later, Sides, Wanted},
        now::{CellNow, Now},
    };
    use serde_json::json;

    fn decision(field: &str, take: Take, wanted: Wanted) -> Decision {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "auth-config", "namespace": "auth"}});
        Decision {
            cell: CellKey {
                application: AppKey::new("argocd", "auth"),
                object: crate::object::identity::ObjectRef::from_object(&object).unwrap(),
                field: field.parse().unwrap(),
            },
            take,
            seen: Sides {
                git: Some(json!("old")),
                last_synced: None,
                live: Some(json!("old")),
            },
            git: wanted.clone(),
            live: wanted,
            reason: String::new(),
            by: "jo".into(),
            at: Timestamp::UNIX_EPOCH,
            pushed: false,
            applied: false,
        }
    }

    /// One field of auth stays frozen, and no sync brings the other one meanwhile.
    #[test]
    fn what_waits_in_git_behind_a_field_that_stays_frozen_is_owed_until_it_is_live() {
        let later = Take::Later(Later {
            how: How::StayFrozen,
            owner: "ann".into(),
            until: "2099-01-01".into(),
        });
        let new = Wanted::Value(json!("new"));
        let frozen = decision(".data.ALG", later, Wanted::AsIs);
        let mut waits = decision(".data.KEY", Take::Value(json!("new")), new);
        let owed = |waits: &Decision, frozen: Option<&Decision>, live: Option<&str>| {
            let mut run = Run::default();
            for decision in frozen.into_iter().chain([waits]) {
                run.decisions
                    .insert(decision.cell.clone(), decision.clone());
            }
            let mut now = Now::default();
            if let Some(live) = live {
                let mut cell = CellNow::default();
                cell.sides.live = Some(json!(live));
                now.cells.insert(waits.cell.clone(), cell);
            }
            let mut owed = now.owed(&run);
            owed.retain(|owed| owed.id.starts_with("unsynced:"));
            owed
        };
        // Not in Git yet, it waits for nothing.
        assert_eq!(owed(&waits, Some(&frozen), None), []);
        waits.pushed = true;
        for live in [None, Some("old")] {
            let owed = owed(&waits, Some(&frozen), live);
            assert_eq!(owed.len(), 1, "{owed:?}");
            assert_eq!(
                owed[0].what,
                "ConfigMap/auth-config in auth .data.KEY is decided and in Git, and not in the cluster: auth is not synced while a \
                 field of it stays frozen"
            );
            let whose = (owed[0].owner.as_deref(), owed[0].until.as_deref());
            assert_eq!(whose, (Some("ann"), Some("2099-01-01")));
            assert!(!owed[0].blocks_close);
        }
        // Whoever synced it brought it; and without what stays frozen a sync of ours does.
        assert_eq!(owed(&waits, Some(&frozen), Some("new")), []);
        assert_eq!(owed(&waits, None, Some("old")), []);
        waits.applied = true;
        assert_eq!(owed(&waits, Some(&frozen), None), []);
    }
}
