//! A list taken apart while it comes in: it is asked for whole, and never kept whole.
//!
//! Since 1.31 an API server answers a list without `limit` from its cache and one with `limit` from etcd, which takes two to
//! three times as long (KEP-2340, consistent reads from cache).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ::kube::client::Body;
use http::Method;
use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use trueup_core::object::live::Live;

use super::KubeCluster;
use super::connect::describe;
use super::http::{Answer, Failure, MAX_ANSWER, classify, request};
use super::page::{self, Head};
use crate::ports::Kind;

/// From the question to the last byte.
const DEADLINE: Duration = Duration::from_secs(120);
/// Between two parts of the answer.
const SILENCE: Duration = Duration::from_secs(30);
/// More than any cluster has of a kind; a decompression bomb stops here.
const MAX_LIST: u64 = 8 << 30;
/// Bytes of objects that are decoded in one go.
const TOGETHER: usize = 1 << 20;
/// Goes that wait for a processor; after that the server waits.
const AHEAD: usize = 4;

type Decoding = JoinHandle<serde_json::Result<Vec<Arc<Live>>>>;

/// How a whole list ended.
pub(super) enum Whole {
    Listed {
        head: Head,
        items: Vec<Arc<Live>>,
        bytes: u64,
    },
    /// Another status than 200.
    Refused(Answer),
    Malformed(serde_json::Error),
}

impl KubeCluster {
    /// Asks for all of a kind at once.
    pub(super) async fn whole(&self, kind: &Kind, uri: &str) -> Result<Whole, Failure> {
        match tokio::time::timeout(DEADLINE, self.taken_apart(kind, uri)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::NoAnswer(format!(
                "not all of the list within {} s",
                DEADLINE.as_secs()
            ))),
        }
    }

    async fn taken_apart(&self, kind: &Kind, uri: &str) -> Result<Whole, Failure> {
        // Once: a server for which it is too much is asked for pages, and those may be asked for again.
        let asked = self
            .inner
            .effects
            .send(request(Method::GET, uri, None, Vec::new()).map(Body::from));
        let answer = in_time(asked).await?.map_err(|error| classify(&error))?;
        let status = answer.status().as_u16();
        let mut stream = answer.into_body();
        let mut splitter = Splitter::default();
        let mut refusal = Vec::new();
        let mut decoding: VecDeque<Decoding> = VecDeque::new();
        let mut items = Vec::new();
        let mut bytes = 0_u64;
        while let Some(frame) = in_time(stream.frame()).await? {
            let frame = frame.map_err(|error| {
                Failure::NoAnswer(format!("the answer was cut off: {}", describe(&error)))
            })?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            bytes += data.len() as u64;
            if status != 200 {
                refusal.extend_from_slice(data);
            } else {
                splitter.feed(data);
            }
            if bytes > MAX_LIST || splitter.unfinished().max(refusal.len()) > MAX_ANSWER {
                return Err(Failure::NoAnswer("the answer is too large".into()));
            }
            if splitter.finished() >= TOGETHER {
                decoding.push_back(self.decode(kind, splitter.take()));
            }
            if decoding.len() > AHEAD
                && let Some(first) = decoding.pop_front()
            {
                match joined(first).await? {
                    Ok(decoded) => items.extend(decoded),
                    Err(error) => return Ok(Whole::Malformed(error)),
                }
            }
        }
        if status != 200 {
            return Ok(Whole::Refused(Answer {
                status,
                body: refusal,
            }));
        }
        decoding.push_back(self.decode(kind, splitter.take()));
        for part in decoding {
            match joined(part).await? {
                Ok(decoded) => items.extend(decoded),
                Err(error) => return Ok(Whole::Malformed(error)),
            }
        }
        let rest = splitter.rest();
        // An answer that was cut off is no JSON; and what it has in another form than a server writes is not lost.
        match page::items(&rest, kind, &self.inner.options.secret_key) {
            Ok(others) => items.extend(others),
            Err(error) => return Ok(Whole::Malformed(error)),
        }
        Ok(Whole::Listed {
            head: page::head(&rest),
            items,
            bytes,
        })
    }

    fn decode(&self, kind: &Kind, part: Vec<u8>) -> Decoding {
        let (kind, key) = (kind.clone(), self.inner.options.secret_key);
        tokio::task::spawn_blocking(move || page::items(&part, &kind, &key))
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(SILENCE, work)
        .await
        .map_err(|_| Failure::NoAnswer(format!("nothing more within {} s", SILENCE.as_secs())))
}

async fn joined(part: Decoding) -> Result<serde_json::Result<Vec<Arc<Live>>>, Failure> {
    part.await
        .map_err(|_| Failure::NoAnswer("the work on the answer was interrupted".into()))
}

/// Where a list's own `items` begin and each of them ends. Nothing is checked here: the parts are decoded, and so is what is left.
#[derive(Default)]
struct Splitter {
    /// What is no item: `{"kind":…,"items":[` and then `]}`.
    outside: Vec<u8>,
    /// Whole items with what separates them, then the one that has begun.
    inside: Vec<u8>,
    /// How much of `inside` is whole items.
    whole: usize,
    place: Place,
    depth: u32,
    text: Text,
    /// The last text of the list itself, while it may still be a key.
    key: Vec<u8>,
}

#[derive(Default, PartialEq)]
enum Place {
    #[default]
    Before,
    Items,
    After,
}

#[derive(Default, PartialEq)]
enum Text {
    #[default]
    Outside,
    Inside,
    Escaped,
}

impl Splitter {
    fn feed(&mut self, data: &[u8]) {
        let mut at = 0;
        let mut from = 0;
        while at < data.len() {
            let byte = data[at];
            at += 1;
            match self.text {
                Text::Escaped => self.text = Text::Inside,
                Text::Inside => {
                    // Most of a list is text.
                    let skipped = memchr::memchr2(b'"', b'\\', &data[at - 1..]);
                    let end = skipped.map_or(data.len(), |skipped| at - 1 + skipped);
                    if self.depth == 1 && self.place == Place::Before {
                        self.key.extend_from_slice(&data[at - 1..end]);
                    }
                    at = (end + 1).min(data.len());
                    match data.get(end) {
                        Some(b'"') => self.text = Text::Outside,
                        Some(_) => self.text = Text::Escaped,
                        None => {}
                    }
                }
                Text::Outside => match byte {
                    b'"' => {
                        self.text = Text::Inside;
                        self.key.clear();
                    }
                    b'[' if self.place == Place::Before
                        && self.depth == 1
                        && self.key == b"items" =>
                    {
                        self.depth += 1;
                        self.outside.extend_from_slice(&data[from..at]);
                        from = at;
                        self.place = Place::Items;
                    }
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        match (&self.place, self.depth) {
                            (Place::Items, 2) => {
                                self.inside.extend_from_slice(&data[from..at]);
                                from = at;
                                self.whole = self.inside.len();
                            }
                            (Place::Items, 1) => {
                                self.inside.extend_from_slice(&data[from..at - 1]);
                                from = at - 1;
                                self.whole = self.inside.len();
                                self.place = Place::After;
                            }
                            _ => {}
                        }
                    }
                    _ => {}
                },
            }
        }
        match self.place {
            Place::Items => self.inside.extend_from_slice(&data[from..]),
            Place::Before | Place::After => self.outside.extend_from_slice(&data[from..]),
        }
    }

    /// Bytes of whole items.
    fn finished(&self) -> usize {
        self.whole
    }

    /// Bytes that wait for the rest of theirs.
    fn unfinished(&self) -> usize {
        (self.inside.len() - self.whole).max(self.outside.len())
    }

    /// The whole items, as a list.
    fn take(&mut self) -> Vec<u8> {
        const BEFORE: &[u8] = br#"{"items":["#;
        let begun = self.inside.split_off(self.whole);
        let items = std::mem::replace(&mut self.inside, begun);
        self.whole = 0;
        let start = items
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b','));
        let items = &items[start.unwrap_or(items.len())..];
        let mut list = Vec::with_capacity(BEFORE.len() + items.len() + 2);
        list.extend_from_slice(BEFORE);
        list.extend_from_slice(items);
        list.extend_from_slice(b"]}");
        list
    }

    /// The list without its items.
    fn rest(mut self) -> Vec<u8> {
        self.outside.append(&mut self.inside);
        self.outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// The items and the rest, when fed in parts of a size.
    fn split(list: &str, size: usize) -> (Vec<Value>, serde_json::Result<Value>) {
        let mut splitter = Splitter::default();
        let mut items = Vec::new();
        let read = |part: Vec<u8>| -> Vec<Value> {
            let part: Value = serde_json::from_slice(&part).unwrap();
            part["items"].as_array().unwrap().clone()
        };
        for part in list.as_bytes().chunks(size) {
            splitter.feed(part);
            if splitter.finished() > 0 {
                items.extend(read(splitter.take()));
            }
        }
        items.extend(read(splitter.take()));
        (items, serde_json::from_slice(&splitter.rest()))
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[ \\[\\]{}\",:\\\\aé\n]{0,9}".prop_map(Value::from),
            Just(json!("items")),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("items|[\\[{\"\\\\]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        proptest::collection::vec(value(), 1..3)
            .prop_map(|values| json!({"items": values, "x": "]}"}))
    }

    proptest! {
        #[test]
        fn a_list_in_any_parts_is_the_list(
            before in value(),
            items in proptest::collection::vec(object(), 0..6),
            after in value(),
            size in 1_usize..40,
            pretty in any::<bool>(),
        ) {
            let list = json!({"apiVersion": "v1", "metadata": before, "items": items, "more": after});
            let text = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) }.unwrap();
            let (found, rest) = split(&text, size);
            prop_assert_eq!(&found, &items);
            let mut without = list;
            without["items"] = json!([]);
            prop_assert_eq!(rest.unwrap(), without);
        }

        #[test]
        fn a_list_that_is_cut_off_is_none(items in proptest::collection::vec(object(), 1..4), cut in 1_usize..200, size in 1_usize..40) {
            let text = json!({"metadata": {}, "items": items, "more": 1}).to_string();
            let kept = text.len().saturating_sub(cut);
            prop_assume!(text.is_char_boundary(kept));
            let mut splitter = Splitter::default();
            text.as_bytes()[..kept].chunks(size).for_each(|part| splitter.feed(part));
            let taken = splitter.take();
            prop_assert!(serde_json::from_slice::<Value>(&taken).is_ok(), "{}", String::from_utf8_lossy(&taken));
            prop_assert!(serde_json::from_slice::<Value>(&splitter.rest()).is_err());
        }
    }

    #[test]
    fn what_is_no_list_is_left_as_it_is() {
        for text in [
            "<html>",
            "[]",
            "{\"items\": null}",
            "{}",
            "",
            "{\"items\": {\"a\": [1]}}",
        ] {
            let mut splitter = Splitter::default();
            splitter.feed(text.as_bytes());
            assert_eq!(splitter.take(), b"{\"items\":[]}");
            assert_eq!(splitter.rest(), text.as_bytes());
        }
    }
}
