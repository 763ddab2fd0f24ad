//! Bodies in `application/vnd.kubernetes.protobuf`, which kubectl sends for built-in kinds: read into JSON by a table of messages.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine;
use serde_json::{Map, Value, json};

const TABLE: &str = include_str!("../../../../assets/lab/protobuf.txt");
const MAGIC: &[u8] = b"k8s\0";

#[derive(Debug)]
struct Field {
    name: &'static str,
    shape: char,
    kind: &'static str,
}

type Message = HashMap<u64, Field>;

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let field = |entry: &'static str| {
        let (number, rest) = entry.split_once('=')?;
        let (name, kind) = rest.split_once(':')?;
        let shape = kind
            .chars()
            .next()
            .filter(|c| "*%^".contains(*c))
            .unwrap_or(' ');
        Some((
            number.parse().ok()?,
            Field {
                name,
                shape,
                kind: kind.trim_start_matches(['*', '%', '^']),
            },
        ))
    };
    let message = |line: &'static str| {
        let mut words = line.split(' ');
        Some((words.next()?, words.filter_map(field).collect()))
    };
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(message)
        .collect()
});

/// The JSON of an enveloped object; `None` if it is no such envelope or holds a kind that is not in the table.
pub fn decode(bytes: &[u8]) -> Option<Value> {
    let mut version = String::new();
    let mut kind = String::new();
    let mut raw: &[u8] = &[];
    for (number, item) in fields(bytes.strip_prefix(MAGIC)?)? {
        match (number, item) {
            (1, Item::Bytes(meta)) => {
                for (number, item) in fields(meta)? {
                    let Item::Bytes(text) = item else { continue };
                    let text = String::from_utf8_lossy(text).into_owned();
                    if number == 1 {
                        version = text
                    } else {
                        kind = text
                    }
                }
            }
            (2, Item::Bytes(body)) => raw = body,
            _ => {}
        }
    }
    let mut out = Map::new();
    out.insert("apiVersion".into(), json!(version));
    out.insert("kind".into(), json!(kind));
    message(MESSAGES.get_key_value(kind.as_str())?.0, raw, &mut out, 0)?;
    Some(Value::Object(out))
}

enum Item<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut out = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        out |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(out);
        }
    }
    None
}

fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Item<'_>)>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let mut take = |length: usize| {
            let (head, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            Some(head)
        };
        let item = match tag & 7 {
            0 => Item::Number(varint(&mut bytes)?),
            1 => Item::Number(u64::from_le_bytes(take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (head, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Item::Bytes(head)
            }
            5 => Item::Number(u64::from(u32::from_le_bytes(take(4)?.try_into().ok()?))),
            _ => return None,
        };
        out.push((tag >> 3, item));
    }
    Some(out)
}

fn message(
    kind: &'static str,
    bytes: &[u8],
    out: &mut Map<String, Value>,
    depth: usize,
) -> Option<()> {
    let table = MESSAGES.get(kind)?;
    if depth > 32 {
        return None;
    }
    for (number, item) in fields(bytes)? {
        let Some(field) = table.get(&number) else {
            continue;
        };
        if field.shape == '^' {
            let Item::Bytes(bytes) = item else {
                return None;
            };
            message(field.kind, bytes, out, depth + 1)?;
            continue;
        }
        if field.shape == '%' {
            let Item::Bytes(bytes) = item else {
                return None;
            };
            let (mut key, mut value) = (String::new(), Value::Null);
            for (number, item) in fields(bytes)? {
                match (number, item) {
                    (1, Item::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
                    (2, item) => value = scalar(field.kind, &item, depth)?,
                    _ => {}
                }
            }
            out.entry(field.name)
                .or_insert_with(|| json!({}))
                .as_object_mut()?
                .insert(key, value);
            continue;
        }
        let value = scalar(field.kind, &item, depth)?;
        if field.shape == '*' {
            out.entry(field.name)
                .or_insert_with(|| json!([]))
                .as_array_mut()?
                .push(value);
        } else if !omitted(field.name, &value) {
            out.insert(field.name.to_owned(), value);
        }
    }
    Some(())
}

/// The wire carries zero values of fields that JSON leaves out.
fn omitted(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0) && name != "replicas",
        Value::Object(map) => map.is_empty() && name != "emptyDir",
        Value::Array(_) => false,
    }
}

fn scalar(kind: &'static str, item: &Item, depth: usize) -> Option<Value> {
    match (kind, item) {
        ("string", Item::Bytes(bytes)) => Some(json!(String::from_utf8_lossy(bytes))),
        ("bytes", Item::Bytes(bytes)) => Some(json!(
            base64::engine::general_purpose::STANDARD.encode(bytes)
        )),
        ("bool", Item::Number(number)) => Some(json!(*number != 0)),
        ("int32" | "int64", Item::Number(number)) => Some(json!(number.cast_signed())),
        ("double", Item::Number(number)) => Some(json!(f64::from_bits(*number))),
        (_, Item::Bytes(bytes)) => match kind {
            "Time" | "MicroTime" => {
                let (mut seconds, mut nanos) = (None, 0);
                for (number, item) in fields(bytes)? {
                    match (number, item) {
                        (1, Item::Number(n)) => seconds = Some(n.cast_signed()),
                        (2, Item::Number(n)) => nanos = i32::try_from(n.cast_signed()).unwrap_or(0),
                        _ => {}
                    }
                }
                let Some(seconds) = seconds else {
                    return Some(Value::Null);
                };
                let time = jiff::Timestamp::new(seconds, nanos).ok()?;
                Some(json!(if kind == "Time" {
                    super::store::seconds(time)
                } else {
                    time.to_string()
                }))
            }
            "Quantity" => match fields(bytes)?.first() {
                Some((_, Item::Bytes(text))) => Some(json!(String::from_utf8_lossy(text))),
                _ => Some(json!("0")),
            },
            "IntOrString" => {
                let (mut text, mut number, mut is_text) = (String::new(), 0, false);
                for (field, item) in fields(bytes)? {
                    match (field, item) {
                        (1, Item::Number(kind)) => is_text = kind == 1,
                        (2, Item::Number(n)) => number = n.cast_signed(),
                        (3, Item::Bytes(t)) => text = String::from_utf8_lossy(t).into_owned(),
                        _ => {}
                    }
                }
                Some(if is_text { json!(text) } else { json!(number) })
            }
            "FieldsV1" | "RawExtension" => match fields(bytes)?.first() {
                Some((_, Item::Bytes(raw))) => serde_json::from_slice(raw).ok(),
                _ => Some(json!({})),
            },
            _ => {
                let mut out = Map::new();
                message(MESSAGES.get_key_value(kind)?.0, bytes, &mut out, depth + 1)?;
                Some(Value::Object(out))
            }
        },
        _ => None,
    }
}
