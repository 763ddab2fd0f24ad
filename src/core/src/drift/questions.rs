//! Copies of one ConfigMap or Secret are one table; each field of it that differs anywhere is one question.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::classify::{Verdict, suggested};
use super::compare::{Compared, Pair};
use super::report::{Cell, Class, Confidence, Question, Suggestion, Writer};
use super::words::show;
use crate::object::managed::ManagerClass;
use crate::object::path::FieldPath;

/// A pair and the Application that it belongs to.
#[derive(Clone, Copy)]
struct Member<'a> {
    app: &'a Compared<'a>,
    pair: &'a Pair<'a>,
}

impl<'a> Member<'a> {
    fn namespace(&self) -> &'a str {
        self.pair.object.namespace.as_deref().unwrap_or_default()
    }

    /// The keys that a ConfigMap or Secret holds, on any side.
    fn keys(&self) -> BTreeSet<&'a str> {
        let pair: &'a Pair<'a> = self.pair;
        [pair.live(), pair.git()]
            .into_iter()
            .flatten()
            .flat_map(|o| ["data", "binaryData"].map(|part| o.get(part)))
            .flatten()
            .filter_map(Value::as_object)
            .flat_map(|m| m.keys().map(String::as_str))
            .collect()
    }

    fn cell(&self, field: &FieldPath) -> Cell {
        let pair = self.pair;
        let verdict = pair.differs.get(field);
        let side = |object: Option<&Value>| object.and_then(|o| field.get(o)).cloned();
        let writer = match field.is_root() {
            true => pair.managed().newest(ManagerClass::Human),
            false => pair.managed().writer(field),
        };
        Cell {
            application: self.app.key.name.clone(),
            application_namespace: self.app.key.namespace.clone(),
            namespace: self.namespace().to_owned(),
            git: side(pair.git()),
            last_synced: side(pair.base()),
            live: side(pair.live()),
            differs: verdict.is_some(),
            class: verdict.map(|v| v.class),
            writer: writer.map(Writer::from),
            source: pair.source.clone(),
            object: pair.object.clone(),
        }
    }
}

/// Objects that are decided together: the copies of one, or one alone.
struct Table<'a> {
    group: Option<&'a str>,
    members: Vec<Member<'a>>,
}

/// Copies share at least half of the keys of the one that has more.
fn alike(a: &Member, b: &Member) -> bool {
    let (a, b) = (a.keys(), b.keys());
    let most = a.len().max(b.len());
    most > 0 && a.intersection(&b).count() * 2 >= most
}

fn tables<'a>(apps: &'a [Compared<'a>]) -> Vec<Table<'a>> {
    let mut alone = Vec::new();
    let mut named: BTreeMap<(&str, &str), Vec<Member>> = BTreeMap::new();
    let named_so = |pair: &'a Pair<'a>| (pair.object.kind.as_str(), pair.object.name.as_str());
    // Where nothing of that name differs there is nothing to ask.
    let asked: BTreeSet<(&str, &str)> = apps
        .iter()
        .flat_map(|app| &app.pairs)
        .filter(|pair| !pair.differs.is_empty())
        .map(named_so)
        .collect();
    for app in apps {
        for pair in app
            .pairs
            .iter()
            .filter(|pair| asked.contains(&named_so(pair)))
        {
            let member = Member { app, pair };
            let object = &pair.object;
            let copies =
                matches!(object.kind.as_str(), "ConfigMap" | "Secret") && object.group.is_empty();
            match copies && pair.is_whole() {
                true => named
                    .entry((&object.kind, &object.name))
                    .or_default()
                    .push(member),
                false => alone.push(member),
            }
        }
    }
    let mut out: Vec<Table> = Vec::new();
    for ((_, name), mut left) in named {
        while let Some(first) = left.pop() {
            let mut members = vec![first];
            let mut at = 0;
            while at < members.len() {
                let (near, far): (Vec<_>, Vec<_>) =
                    left.into_iter().partition(|m| alike(&members[at], m));
                members.extend(near);
                left = far;
                at += 1;
            }
            let places: BTreeSet<&str> = members.iter().map(Member::namespace).collect();
            let group = (places.len() > 1).then_some(name);
            members.sort_by(|a, b| (a.namespace(), &a.app.key).cmp(&(b.namespace(), &b.app.key)));
            match group {
                Some(_) => out.push(Table { group, members }),
                None => alone.extend(members),
            }
        }
    }
    alone.sort_by(|a, b| (&a.app.key, &a.pair.object).cmp(&(&b.app.key, &b.pair.object)));
    out.extend(alone.into_iter().map(|member| Table {
        group: None,
        members: vec![member],
    }));
    out
}

/// Equal as long as the same cells are asked about.
fn id(field: &FieldPath, table: &Table) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    for member in &table.members {
        let object = &member.pair.object;
        part(&member.app.key.to_string());
        part(&object.group);
        part(&object.kind);
        part(member.namespace());
        part(&object.name);
    }
    part(&field.to_string());
    hash.finalize()
        .iter()
        .take(6)
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The fields of this object that the writer of `field` changed in the same entry, and that differ as well.
fn changed_together<'a>(member: &Member<'a>, field: &FieldPath) -> BTreeSet<&'a FieldPath> {
    let pair = member.pair;
    let entry = match pair.managed().writer(field) {
        Some(entry)
            if pair.differs.contains_key(field) && entry.class() != ManagerClass::Gitops =>
        {
            entry
        }
        _ => return BTreeSet::new(),
    };
    pair.differs
        .keys()
        .filter(|other| *other != field && !other.is_root())
        .filter(|other| {
            pair.managed()
                .writer(other)
                .is_some_and(|e| std::ptr::eq(e, entry))
        })
        .collect()
}

/// What the copies say of each other.
fn between_copies(table: &Table, field: &FieldPath, cells: &[Cell]) -> Vec<String> {
    let mut evidence = Vec::new();
    let mut values: Vec<(Option<&Value>, Vec<&str>)> = Vec::new();
    for cell in cells {
        match values.iter_mut().find(|(v, _)| *v == cell.live.as_ref()) {
            Some((_, places)) => places.push(&cell.namespace),
            None => values.push((cell.live.as_ref(), vec![&cell.namespace])),
        }
    }
    if values.len() > 1 {
        let said: Vec<String> = values
            .iter()
            .map(|(value, places)| format!("{} in {}", show(*value), places.join(", ")))
            .collect();
        evidence.push(format!("the live copies disagree: {}", said.join("; ")));
    }
    // A copy that has one field of a pair that was changed together elsewhere, and not the other.
    for leader in &table.members {
        let live = |m: &Member, f: &FieldPath| m.pair.live().and_then(|l| f.get(l)).cloned();
        for other in changed_together(leader, field) {
            for copy in &table.members {
                let follows = |f: &FieldPath| {
                    copy.pair.differs.contains_key(f) && live(copy, f) == live(leader, f)
                };
                if follows(field) != follows(other) && (follows(field) || follows(other)) {
                    let (has, lacks) = if follows(field) {
                        (field, other)
                    } else {
                        (other, field)
                    };
                    evidence.push(format!(
                        "{} has the value of {} in {} but not in {}: a half-made change?",
                        copy.namespace(),
                        leader.namespace(),
                        has,
                        lacks
                    ));
                }
            }
        }
    }
    evidence
}

fn question(table: &Table, field: &FieldPath) -> Option<Question> {
    let object = &table.members.first()?.pair.object;
    let cells: Vec<Cell> = table.members.iter().map(|m| m.cell(field)).collect();
    let verdicts: Vec<(&Member, &Verdict)> = table
        .members
        .iter()
        .filter_map(|m| Some((m, m.pair.differs.get(field)?)))
        .collect();
    // Where copies differ in kind the first in the order of classes leads; but a conflict in one of them is what the
    // question is about.
    let classes = || verdicts.iter().map(|(_, v)| v.class);
    let class: Class = match classes().any(|class| class == Class::Conflict) {
        true if !classes().any(|class| class < Class::Reverted) => Class::Conflict,
        _ => classes().min()?,
    };
    let (_, leading) = verdicts.iter().find(|(_, v)| v.class == class)?;
    let disagree = cells.iter().any(|c| c.live != cells[0].live);
    let mixed = verdicts.iter().any(|(_, v)| v.class != class);
    let mut confidence = verdicts.iter().map(|(_, v)| v.confidence).min()?;
    if disagree || mixed {
        confidence = Confidence::Ask;
    }
    let mut evidence: Vec<String> = Vec::new();
    for (member, verdict) in &verdicts {
        let place = member.namespace();
        evidence.extend(
            verdict
                .evidence
                .iter()
                .map(|e| match table.group.is_some() {
                    true => format!("{place}: {e}"),
                    false => e.clone(),
                }),
        );
    }
    if let Some(why) = verdicts.iter().find_map(|(_, v)| v.delicate) {
        evidence.push(format!("nothing is suggested: {why}"));
    }
    if table.group.is_some() {
        evidence.extend(between_copies(table, field, &cells));
    }
    let suggestion = cells
        .iter()
        .find(|c| c.differs && c.class == Some(class))
        .filter(|_| confidence != Confidence::Ask)
        .and_then(|cell| suggested(leading, cell))
        .map(|take| Suggestion {
            take,
            rule: leading.rule.to_owned(),
        });
    Some(Question {
        id: id(field, table),
        group: table.group.map(str::to_owned),
        kind: object.kind.clone(),
        name: object.name.clone(),
        field: field.clone(),
        class,
        confidence,
        evidence,
        suggestion,
        decide_with: Vec::new(),
        cells,
    })
}

/// All questions, in the order of tables and fields.
pub(super) fn ask(apps: &[Compared]) -> Vec<Question> {
    let mut out = Vec::new();
    for table in tables(apps) {
        let fields: BTreeSet<&FieldPath> = table
            .members
            .iter()
            .flat_map(|m| m.pair.differs.keys())
            .collect();
        let first = out.len();
        out.extend(fields.iter().filter_map(|field| question(&table, field)));
        let ids: BTreeMap<FieldPath, String> = out[first..]
            .iter()
            .map(|q: &Question| (q.field.clone(), q.id.clone()))
            .collect();
        for question in &mut out[first..] {
            let together: BTreeSet<&FieldPath> = table
                .members
                .iter()
                .flat_map(|m| changed_together(m, &question.field))
                .collect();
            question.decide_with = together
                .into_iter()
                .filter_map(|f| ids.get(f).cloned())
                .collect();
        }
    }
    out
}
