//! A list turned into another list: items that stay keep their bytes.

use serde_json::Value;

use super::edit::{primitive, set_item};
use super::ops::{EditElement, Op};
use super::scalar::same;

/// Fields that say which item of a list a map is.
const IDENTITY: &[&str] = &[
    "name",
    "key",
    "containerPort",
    "port",
    "mountPath",
    "devicePath",
    "ip",
    "path",
    "host",
    "id",
    "topologyKey",
    "type",
    "uid",
    "url",
    "repoURL",
];

/// Most cells of the alignment table; beyond it lists are compared by position.
const MAX_CELLS: usize = 1_000_000;

/// One step of the way from the old list to the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Keep(usize, usize),
    Remove(usize),
    Insert(usize),
}

/// Both are lists with items.
pub fn set_list(
    before: &str,
    doc: usize,
    path: &[EditElement],
    have: &[Value],
    want: &[Value],
) -> Result<String, String> {
    let steps = align(have, want);
    let at = |i: usize| {
        let mut p = path.to_vec();
        p.push(EditElement::Index(i));
        p
    };
    let mut text = before.to_owned();
    // From the end, so that indices before stay what they were. First what is kept or comes, then what
    // goes: the list is never empty on the way.
    let mut position = have.len();
    let mut gone: Vec<usize> = Vec::new();
    for step in steps.iter().rev() {
        match *step {
            Step::Keep(i, j) => {
                position = i;
                if same(&have[i], &want[j]) {
                    continue;
                }
                let scalar = !matches!(have[i], Value::Object(_) | Value::Array(_));
                text = if scalar && !alike(&have[i], &want[j]) {
                    set_item(&text, doc, &at(i), &want[j])?
                } else {
                    primitive(&text, doc, &at(i), Op::Set, &want[j])?
                };
            }
            Step::Remove(i) => {
                position = i;
                gone.push(i);
            }
            Step::Insert(j) => {
                text = primitive(&text, doc, &at(position), Op::Add, &want[j])?;
                for g in &mut gone {
                    *g += 1;
                }
            }
        }
    }
    // Every index in `gone` was moved along by the inserts before it.
    gone.sort_unstable();
    for i in gone.iter().rev() {
        text = primitive(&text, doc, &at(*i), Op::Delete, &Value::Null)?;
    }
    Ok(text)
}

/// Two texts that share at least half: the same item with another value, whose comment still fits.
fn alike(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_str(), b.as_str()) else {
        return false;
    };
    let head = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let left = a.len().min(b.len()) - head;
    let tail = a
        .bytes()
        .rev()
        .zip(b.bytes().rev())
        .take(left)
        .take_while(|(x, y)| x == y)
        .count();
    (head + tail) * 2 >= a.len().max(b.len())
}

/// How well one item may become the other, in place. 0: not at all.
fn score(a: &Value, b: &Value) -> u32 {
    if same(a, b) {
        return 1_000;
    }
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let shared: Vec<_> = IDENTITY
                .iter()
                .filter_map(|k| Some((x.get(*k)?, y.get(*k)?)))
                .collect();
            match shared.first() {
                Some((p, q)) if same(p, q) => 100,
                Some(_) => 0,
                None => {
                    let equal = x
                        .iter()
                        .filter(|(k, v)| y.get(*k).is_some_and(|w| same(v, w)))
                        .count();
                    if equal * 2 >= x.len().max(y.len()) {
                        10
                    } else {
                        0
                    }
                }
            }
        }
        (Value::Array(_), Value::Array(_)) => 1,
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => 0,
        _ => 1,
    }
}

fn align(have: &[Value], want: &[Value]) -> Vec<Step> {
    let head = have
        .iter()
        .zip(want)
        .take_while(|(a, b)| same(a, b))
        .count();
    let tail = have[head..]
        .iter()
        .rev()
        .zip(want[head..].iter().rev())
        .take_while(|(a, b)| same(a, b))
        .count();
    let a = &have[head..have.len() - tail];
    let b = &want[head..want.len() - tail];
    let mut steps: Vec<Step> = (0..head).map(|i| Step::Keep(i, i)).collect();
    if a.len().saturating_mul(b.len()) > MAX_CELLS {
        let both = a.len().min(b.len());
        for i in 0..both {
            let (i, j) = (head + i, head + i);
            if score(&have[i], &want[j]) > 0 {
                steps.push(Step::Keep(i, j));
            } else {
                steps.extend([Step::Insert(j), Step::Remove(i)]);
            }
        }
        steps.extend((both..a.len()).map(|i| Step::Remove(head + i)));
        steps.extend((both..b.len()).map(|j| Step::Insert(head + j)));
    } else {
        steps.extend(table(a, b).into_iter().map(|s| match s {
            Step::Keep(i, j) => Step::Keep(i + head, j + head),
            Step::Remove(i) => Step::Remove(i + head),
            Step::Insert(j) => Step::Insert(j + head),
        }));
    }
    steps.extend((0..tail).map(|k| Step::Keep(have.len() - tail + k, want.len() - tail + k)));
    steps
}

/// The alignment with the highest score; of equal ones the earliest pairs.
fn table(a: &[Value], b: &[Value]) -> Vec<Step> {
    let width = b.len() + 1;
    let mut best = vec![0_u64; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            let pair = score(&a[i], &b[j]);
            let mut value = best[(i + 1) * width + j].max(best[i * width + j + 1]);
            if pair > 0 {
                value = value.max(best[(i + 1) * width + j + 1] + u64::from(pair));
            }
            best[i * width + j] = value;
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut steps = Vec::new();
    while i < a.len() && j < b.len() {
        let here = best[i * width + j];
        let pair = score(&a[i], &b[j]);
        if pair > 0 && here == best[(i + 1) * width + j + 1] + u64::from(pair) {
            steps.push(Step::Keep(i, j));
            i += 1;
            j += 1;
        } else if here == best[(i + 1) * width + j] {
            steps.push(Step::Remove(i));
            i += 1;
        } else {
            steps.push(Step::Insert(j));
            j += 1;
        }
    }
    steps.extend((i..a.len()).map(Step::Remove));
    steps.extend((j..b.len()).map(Step::Insert));
    steps
}
