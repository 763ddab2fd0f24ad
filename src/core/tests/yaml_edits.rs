//! Random files and random edits: the value is as wanted or the edit is refused, and nothing panics.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use trueup_core::source::edit::{EditError, edit};
use trueup_core::source::ops::{Edit, EditElement, Op};
use trueup_core::source::scalar::same;
use trueup_core::source::yaml;

/// A small deterministic source of choices (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.roll(list.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }
}

const KEYS: &[&str] = &[
    "app", "name", "a.b/c", "on", "1", "x y", "spec", "data", "key", "été", "q\"", "z~1",
];
const TEXTS: &[&str] = &[
    "info",
    "on",
    "1e3",
    "0644",
    "",
    "a: b",
    "a #b",
    "it's",
    "\"q\"",
    "back\\slash",
    "x,y",
    "[1]",
    "🛬 land",
    "line one\nline two\n",
    "a\n\n  b\nc",
    " lead",
    "trail ",
    "https://x/#y",
    "- a",
    "null",
    "2026-03-01",
    "tab\there",
];

fn scalar(dice: &mut Dice) -> Value {
    match dice.roll(6) {
        0 => json!(dice.roll(100)),
        1 => json!(dice.one_in(2)),
        2 if dice.one_in(3) => Value::Null,
        _ => Value::from(dice.pick(TEXTS)),
    }
}

fn value(dice: &mut Dice, depth: usize) -> Value {
    match dice.roll(if depth > 3 { 1 } else { 4 }) {
        1 => {
            let keys = (0..dice.roll(4))
                .map(|_| dice.pick(KEYS).to_owned())
                .collect::<Vec<_>>();
            Value::Object(
                keys.into_iter()
                    .map(|k| (k, value(dice, depth + 1)))
                    .collect(),
            )
        }
        2 => Value::Array((0..dice.roll(4)).map(|_| value(dice, depth + 1)).collect()),
        _ => scalar(dice),
    }
}

/// The scalar in some legal style.
fn written(v: &Value, dice: &mut Dice) -> String {
    let Some(s) = v.as_str() else {
        return match v {
            Value::Null => dice.pick(&["null", "~"]).to_owned(),
            other => other.to_string(),
        };
    };
    let single = !s.contains(['\n', '\t']) && dice.one_in(3);
    if single {
        return format!("'{}'", s.replace('\'', "''"));
    }
    if trueup_core::source::scalar::plain_is_safe(s, true) && dice.one_in(2) {
        return s.to_owned();
    }
    trueup_core::source::scalar::double_quoted(s)
}

fn flow(v: &Value, dice: &mut Dice) -> String {
    let pad = if dice.one_in(2) { " " } else { "" };
    match v {
        Value::Object(m) => {
            let parts: Vec<String> = m
                .iter()
                .map(|(k, v)| {
                    format!(
                        "{}: {}",
                        written(&Value::from(k.as_str()), dice),
                        flow(v, dice)
                    )
                })
                .collect();
            if parts.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{{pad}{}{pad}}}", parts.join(", "))
            }
        }
        Value::Array(a) => {
            let parts: Vec<String> = a.iter().map(|v| flow(v, dice)).collect();
            if parts.is_empty() {
                "[]".to_owned()
            } else {
                format!("[{pad}{}{pad}]", parts.join(", "))
            }
        }
        other => written(other, dice),
    }
}

fn noise(out: &mut String, col: usize, dice: &mut Dice) {
    if dice.one_in(6) {
        out.push_str(&format!("{}# note {}\n", " ".repeat(col), dice.roll(9)));
    }
    if dice.one_in(9) {
        out.push('\n');
    }
}

fn tail(dice: &mut Dice) -> &'static str {
    dice.pick(&["", "", "", "", "  # why", "\t# tab", "  "])
}

/// What stands behind an indicator at column `col`, line break included.
fn behind(v: &Value, col: usize, out: &mut String, dice: &mut Dice, indented: bool) {
    match v {
        Value::Object(m) if !m.is_empty() && !dice.one_in(5) => {
            out.push_str(tail(dice));
            out.push('\n');
            map(m, col + 2, out, dice, indented);
        }
        Value::Array(a) if !a.is_empty() && !dice.one_in(5) => {
            out.push_str(tail(dice));
            out.push('\n');
            list(a, if indented { col + 2 } else { col }, out, dice, indented);
        }
        Value::String(s) if block_fits(s) && dice.one_in(2) => {
            let sign = if s.ends_with('\n') { "" } else { "-" };
            out.push_str(&format!(" |{sign}\n"));
            for line in s.strip_suffix('\n').unwrap_or(s).split('\n') {
                let pad = if line.is_empty() { 0 } else { col + 2 };
                out.push_str(&format!("{}{line}\n", " ".repeat(pad)));
            }
        }
        other => {
            out.push_str(&format!(" {}{}\n", flow(other, dice), tail(dice)));
        }
    }
}

fn block_fits(s: &str) -> bool {
    s.contains('\n') && !s.starts_with([' ', '\n']) && !s.ends_with("\n\n")
}

fn map(m: &Map<String, Value>, col: usize, out: &mut String, dice: &mut Dice, indented: bool) {
    for (k, v) in m {
        noise(out, col, dice);
        out.push_str(&format!(
            "{}{}:",
            " ".repeat(col),
            written(&Value::from(k.as_str()), dice)
        ));
        behind(v, col, out, dice, indented);
    }
}

fn list(a: &[Value], col: usize, out: &mut String, dice: &mut Dice, indented: bool) {
    for v in a {
        noise(out, col, dice);
        out.push_str(&format!("{}-", " ".repeat(col)));
        match v {
            Value::Object(m) if !m.is_empty() => {
                let mut inner = String::new();
                for (k, v) in m {
                    inner.push_str(&format!(
                        "{}{}:",
                        " ".repeat(col + 2),
                        written(&Value::from(k.as_str()), dice)
                    ));
                    behind(v, col + 2, &mut inner, dice, indented);
                }
                out.push(' ');
                out.push_str(inner.trim_start());
            }
            other => behind(other, col, out, dice, true),
        }
    }
}

fn file(dice: &mut Dice) -> (String, Vec<Value>) {
    let indented = dice.one_in(2);
    let mut out = String::new();
    let mut docs = Vec::new();
    for i in 0..1 + dice.roll(3) {
        if i > 0 || dice.one_in(4) {
            out.push_str("---\n");
        }
        let mut m = Map::new();
        for _ in 0..1 + dice.roll(5) {
            m.insert(dice.pick(KEYS).to_owned(), value(dice, 0));
        }
        map(&m, 0, &mut out, dice, indented);
        docs.push(Value::Object(m));
    }
    if dice.one_in(8) {
        out = out.trim_end_matches(['\n', ' ', '\t']).to_owned();
    }
    if dice.one_in(8) {
        out = out.replace('\n', "\r\n");
    }
    (out, docs)
}

/// A random path into the value, and whether it exists.
fn path(v: &Value, dice: &mut Dice) -> (Vec<EditElement>, Value) {
    let mut here = v;
    let mut path = Vec::new();
    loop {
        match here {
            Value::Object(m) if !m.is_empty() && (path.is_empty() || !dice.one_in(4)) => {
                let (k, inner) = m.iter().nth(dice.roll(m.len())).unwrap();
                path.push(EditElement::Key(k.clone()));
                here = inner;
            }
            Value::Array(a) if !a.is_empty() && (path.is_empty() || !dice.one_in(4)) => {
                let i = dice.roll(a.len());
                path.push(EditElement::Index(i));
                here = &a[i];
            }
            _ => return (path, here.clone()),
        }
    }
}

fn at<'v>(root: &'v mut Value, path: &[EditElement]) -> &'v mut Value {
    path.iter().fold(root, |v, e| match e {
        EditElement::Key(k) => v.get_mut(k).unwrap(),
        EditElement::Index(i) => v.get_mut(*i).unwrap(),
        _ => unreachable!("paths of this test have keys and indices"),
    })
}

fn random_edit(docs: &[Value], dice: &mut Dice) -> (Edit, Vec<Value>) {
    let doc = dice.roll(docs.len());
    let mut wanted = docs.to_vec();
    let (mut path, have) = path(&docs[doc], dice);
    let new = if dice.one_in(3) {
        value(dice, 2)
    } else {
        scalar(dice)
    };
    let (op, value) = match (dice.roll(4), &have) {
        (0, _) if path.len() > 1 => {
            let (last, parents) = path.split_last().unwrap();
            match (at(&mut wanted[doc], parents), last) {
                (Value::Object(m), EditElement::Key(k)) => drop(m.shift_remove(k)),
                (Value::Array(a), EditElement::Index(i)) => drop(a.remove(*i)),
                _ => unreachable!("the path was just walked"),
            }
            (Op::Delete, Value::Null)
        }
        (1, Value::Object(m)) if !m.contains_key("new key") => {
            at(&mut wanted[doc], &path)
                .as_object_mut()
                .unwrap()
                .insert("new key".into(), new.clone());
            path.push(EditElement::Key("new key".into()));
            (Op::Add, new)
        }
        (1, Value::Array(a)) => {
            let i = dice.roll(a.len() + 1);
            at(&mut wanted[doc], &path)
                .as_array_mut()
                .unwrap()
                .insert(i, new.clone());
            path.push(if i == a.len() {
                EditElement::End
            } else {
                EditElement::Index(i)
            });
            (Op::Add, new)
        }
        (2, Value::Object(m)) => {
            // A variation of what is there: some kept, some changed, some new.
            let mut m = m.clone();
            if let Some(k) = m.keys().next().cloned() {
                m.insert(k, new);
            }
            m.insert("more".into(), scalar(dice));
            *at(&mut wanted[doc], &path) = Value::Object(m.clone());
            (Op::Set, Value::Object(m))
        }
        _ => {
            *at(&mut wanted[doc], &path) = new.clone();
            (Op::Set, new)
        }
    };
    (
        Edit {
            doc,
            path,
            op,
            value,
        },
        wanted,
    )
}

fn read(bytes: &[u8]) -> Vec<Value> {
    let (text, _) = yaml::decode(bytes).expect("text");
    yaml::parse(text).expect("parses").values().expect("typed")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_value_is_as_wanted_or_the_edit_is_refused(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let (text, docs) = file(&mut dice);
        let before = yaml::parse(&text).map(|t| t.values());
        prop_assume!(matches!(&before, Ok(Ok(v)) if v.len() == docs.len() && v.iter().zip(&docs).all(|(a, b)| same(a, b))));
        let (one, wanted) = random_edit(&docs, &mut dice);
        match edit(text.as_bytes(), std::slice::from_ref(&one)) {
            Ok(after) => {
                let now = read(&after);
                prop_assert!(now.len() == wanted.len() && now.iter().zip(&wanted).all(|(a, b)| same(a, b)),
                    "{one:?}\n{text}\n=>\n{}", String::from_utf8_lossy(&after));
                let text = String::from_utf8(after).unwrap();
                prop_assert!(text.parse::<yaml_edit::YamlFile>().is_ok(), "another parser does not read:\n{text}");
            }
            Err(EditError::Refused { .. }) => {}
            Err(e) => prop_assert!(false, "{e}"),
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let one = Edit { doc: 0, path: vec![EditElement::Key("a".into())], op: Op::Add, value: json!("x") };
        let _ = edit(&bytes, &[one]);
    }

    #[test]
    fn arbitrary_yamlish_text_does_no_harm(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "a", ":", " ", "\n", "- ", "  ", "{", "}", "[", "]", ",", "\"", "'", "|", ">", "#", "&x ", "*x", "!t ",
                "? ", "---\n", "...\n", "\t", "\r\n", "<<: ", "b: ", "|+\n", "é", "\u{feff}", "a: 1\n", "  b: 2\n", "- c\n",
            ]), 0..40),
        which in 0_usize..4,
        doc in 0_usize..2,
        index in 0_usize..3,
    ) {
        let text = parts.concat();
        let key = |k: &str| EditElement::Key(k.into());
        let value = [json!("x"), json!({"k": ["v"]}), json!("a\nb\n"), Value::Null][which].clone();
        for path in [vec![key("a")], vec![key("a"), key("b")], vec![key("a"), EditElement::Index(index)], vec![EditElement::Index(index)], vec![]] {
            for op in [Op::Set, Op::Add, Op::Delete] {
                let one = Edit { doc, path: path.clone(), op, value: value.clone() };
                if let Ok(after) = edit(text.as_bytes(), &[one]) {
                    let (text, _) = yaml::decode(&after).expect("text");
                    prop_assert!(yaml::parse(text).is_ok());
                }
            }
        }
    }
}

/// Few edits of sound files are refused: a gate that refuses all would pass the test above.
#[test]
fn refusals_are_rare() {
    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    let mut tried = 0;
    for seed in 0..3_000 {
        let mut dice = Dice(seed);
        let (text, docs) = file(&mut dice);
        let sound = matches!(yaml::parse(&text).map(|t| t.values()),
            Ok(Ok(v)) if v.len() == docs.len() && v.iter().zip(&docs).all(|(a, b)| same(a, b)));
        if !sound {
            *reasons.entry("unsound file".to_owned()).or_default() += 1;
            continue;
        }
        tried += 1;
        let (one, _) = random_edit(&docs, &mut dice);
        if let Err(e) = edit(text.as_bytes(), std::slice::from_ref(&one)) {
            let why = e
                .to_string()
                .rsplit(": ")
                .next()
                .unwrap_or_default()
                .to_owned();
            *reasons.entry(why).or_default() += 1;
            if std::env::var_os("SHOW_REFUSALS").is_some() {
                eprintln!("### {e}\n{one:?}\n{text}");
            }
        }
    }
    let refused: usize = reasons
        .iter()
        .filter(|(k, _)| *k != "unsound file")
        .map(|(_, n)| n)
        .sum();
    assert!(
        tried > 2_000 && refused * 50 < tried,
        "{refused} of {tried}: {reasons:#?}"
    );
}
