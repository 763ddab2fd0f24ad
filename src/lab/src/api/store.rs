//! The objects, the one resourceVersion counter, and the change log that watches read.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Read;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::kinds::{Kinds, Resource};

/// `plural.group`, namespace ("" for cluster scope), name.
pub type Key = (String, String, String);

/// One committed change.
#[derive(Debug, Clone)]
pub struct Change {
    pub version: u64,
    pub key: Key,
    pub old: Option<Arc<Value>>,
    pub new: Option<Arc<Value>>,
}

/// Pages handed out by `limit`, so that later ones show the same moment.
#[derive(Debug)]
pub struct Page {
    pub version: u64,
    pub items: Vec<Arc<Value>>,
}

#[derive(Debug)]
pub struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    version: u64,
    log: VecDeque<Change>,
    keep: usize,
    /// Changes up to here are no longer in the log.
    compacted: u64,
    pub kinds: Kinds,
    pub pages: HashMap<u64, Page>,
    /// Bearer token → (namespace, name, uid of the ServiceAccount, expiry in seconds since 1970).
    pub tokens: HashMap<String, Token>,
    moved: watch::Sender<u64>,
    next_ip: u32,
}

#[derive(Debug, Clone)]
pub struct Token {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub expires: i64,
}

impl Store {
    pub fn new(keep: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            // As on a cluster that has lived: what a client may call long ago is before the log.
            version: 100,
            log: VecDeque::new(),
            keep,
            compacted: 100,
            kinds: Kinds::default(),
            pages: HashMap::new(),
            tokens: HashMap::new(),
            moved: watch::Sender::new(1),
            next_ip: 1,
        }
    }

    pub fn key(kind: &Resource, namespace: &str, name: &str) -> Key {
        (
            kind.qualified(),
            if kind.namespaced {
                namespace.to_owned()
            } else {
                String::new()
            },
            name.to_owned(),
        )
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Told the new version after each commit.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// Objects of a resource in key order; all namespaces when `namespace` is empty.
    pub fn list<'a>(
        &'a self,
        qualified: &'a str,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let from: Key = (qualified.to_owned(), namespace.to_owned(), String::new());
        self.objects.range(from..).take_while(move |(key, _)| {
            key.0 == qualified && (namespace.is_empty() || key.1 == namespace)
        })
    }

    pub fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// Changes after `since`, oldest first.
    pub fn since(&self, since: u64) -> impl Iterator<Item = &Change> {
        let from = self.log.partition_point(|change| change.version <= since);
        self.log.range(from..)
    }

    /// Stores an object under a new resourceVersion and logs the change. `None` deletes; the deleted object's last state in the
    /// log carries the version of its deletion.
    pub fn commit(&mut self, key: Key, object: Option<Value>) -> Arc<Value> {
        self.version += 1;
        let version = json!(self.version.to_string());
        let stamp = |mut object: Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("resourceVersion".into(), version.clone());
            }
            Arc::new(object)
        };
        let old = self.objects.remove(&key);
        let (old, new, out) = match object {
            Some(object) => {
                let new = stamp(object);
                self.objects.insert(key.clone(), new.clone());
                (old, Some(new.clone()), new)
            }
            None => {
                let gone = stamp(
                    old.map(|o| (*o).clone())
                        .unwrap_or_else(|| json!({"metadata": {}})),
                );
                (Some(gone.clone()), None, gone)
            }
        };
        let definition = key.0 == "customresourcedefinitions.apiextensions.k8s.io";
        self.log.push_back(Change {
            version: self.version,
            key,
            old,
            new,
        });
        if self.log.len() > self.keep {
            self.compact(self.log.len() - self.keep);
        }
        if definition {
            let all: Vec<Arc<Value>> = self
                .list("customresourcedefinitions.apiextensions.k8s.io", "")
                .map(|(_, o)| o.clone())
                .collect();
            self.kinds = Kinds::with_definitions(all.iter().map(|o| &**o));
        }
        self.moved.send_replace(self.version);
        out
    }

    /// Forgets the oldest `count` changes: watches from before them answer 410.
    pub fn compact(&mut self, count: usize) {
        for change in self.log.drain(..count.min(self.log.len())) {
            self.compacted = change.version;
        }
        let compacted = self.compacted;
        self.pages.retain(|_, page| page.version >= compacted);
    }

    pub fn compact_all(&mut self) {
        let all = self.log.len();
        self.compact(all);
        self.moved.send_replace(self.version);
    }

    /// A cluster IP from 10.96.0.0/16 that no Service has had.
    pub fn allocate_ip(&mut self) -> String {
        self.next_ip += 1;
        format!(
            "10.96.{}.{}",
            (self.next_ip >> 8) & 0xff,
            self.next_ip & 0xff
        )
    }
}

/// RFC 3339 with whole seconds, as `metav1.Time` prints.
pub fn seconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub fn now() -> String {
    seconds(jiff::Timestamp::now())
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut out));
    read.expect("a Unix system has /dev/urandom");
    out
}

/// A version 4 UUID.
pub fn uid() -> String {
    let mut b = random::<16>();
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// The five-letter suffix of generateName (upstream's alphabet has no vowels).
pub fn suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    random::<5>()
        .iter()
        .map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()]))
        .collect()
}
