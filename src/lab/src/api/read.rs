//! get, list and watch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Api;
use super::present::{self, Form};
use super::route::{Query, Target};
use super::select::Selector;
use super::status::{Cause, Failure};
use super::store::{self, Change, Page, Store};

/// Bookmarks of a quiet watch, and the one before its deadline (the watch cache's values upstream).
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);

pub fn get(store: &Store, target: &Target, query: &Query, form: Form) -> Result<Value, Failure> {
    if let Some(asked) = asked_version(query)?.filter(|asked| *asked > store.version()) {
        return Err(Failure::timeout_too_new(asked, store.version()));
    }
    let key = Store::key(&target.kind, &target.namespace, &target.name);
    let object = store
        .get(&key)
        .ok_or_else(|| Failure::not_found(&target.kind, &target.name))?;
    Ok(present::object(form, &target.kind, object))
}

fn asked_version(query: &Query) -> Result<Option<u64>, Failure> {
    let text = query.get("resourceVersion");
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        Failure::bad_request(format!(
            "invalid resource version: resourceVersion: {}",
            not_a_version(text)
        ))
    })
}

fn not_a_version(text: &str) -> String {
    format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax")
}

/// Which versions a list or watch may ask for together (`ValidateListOptions` upstream).
fn options(query: &Query, watch: bool) -> Result<(), Failure> {
    let limit = query.get("limit");
    if !limit.is_empty() && limit.parse::<i64>().is_err() {
        return Err(Failure::bad_request(format!(
            "strconv.ParseInt: parsing {limit:?}: invalid syntax"
        )));
    }
    let (version, matching) = (
        query.get("resourceVersion"),
        query.get("resourceVersionMatch"),
    );
    let at = |cause: &mut Cause| cause.field = "resourceVersionMatch".into();
    let mut causes = Vec::new();
    let mut forbid = |why: &str| causes.push(Cause::forbidden("", why));
    if query.get("sendInitialEvents").is_empty() {
        if watch && !matching.is_empty() {
            forbid(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
        if !watch && !matching.is_empty() {
            if version.is_empty() {
                forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if !query.get("continue").is_empty() {
                forbid("resourceVersionMatch is forbidden when continue is provided");
            }
            if !matches!(matching, "Exact" | "NotOlderThan") {
                causes.push(Cause {
                    reason: "FieldValueNotSupported",
                    message: format!(
                        "Unsupported value: {matching:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
                    ),
                    field: String::new(),
                });
            }
            if matching == "Exact" && version == "0" {
                causes.push(Cause::forbidden(
                    "",
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
    } else if watch && matching != "NotOlderThan" {
        forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    } else if !watch {
        causes.push(Cause::forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        ));
    }
    if causes.is_empty() {
        return Ok(());
    }
    causes
        .iter_mut()
        .filter(|cause| cause.field.is_empty())
        .for_each(at);
    Err(Failure::invalid("meta.k8s.io", "ListOptions", "", causes))
}

fn selector(target: &Target, query: &Query) -> Result<Selector, Failure> {
    let mut selector = Selector::parse(
        &target.kind,
        query.get("labelSelector"),
        query.get("fieldSelector"),
    )?;
    if !target.name.is_empty() {
        let only = Selector::parse(&target.kind, "", &format!("metadata.name={}", target.name))?;
        selector.and(only);
    }
    Ok(selector)
}

pub fn list(
    store: &mut Store,
    target: &Target,
    query: &Query,
    form: Form,
) -> Result<Value, Failure> {
    use base64::Engine;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    options(query, false)?;
    let selector = selector(target, query)?;
    let asked = asked_version(query)?;
    if asked.is_some_and(|asked| asked > 0) && !query.get("continue").is_empty() {
        return Err(Failure::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    let matching = query.get("resourceVersionMatch");
    if let Some(asked) = asked.filter(|asked| *asked > store.version()) {
        return Err(Failure::timeout_too_new(asked, store.version()));
    }
    if matching == "Exact" && asked.is_some_and(|asked| asked != store.version()) {
        return Err(Failure::expired(
            "The resourceVersion for the provided list is too old.",
        ));
    }
    let limit: usize = query.get("limit").parse().unwrap_or(0);
    let token = query.get("continue");
    let qualified = target.kind.qualified();
    let (version, items, from, page) = if token.is_empty() {
        let items: Vec<Arc<Value>> = store
            .list(&qualified, &target.namespace)
            .map(|(_, object)| object)
            .filter(|object| selector.matches(object))
            .cloned()
            .collect();
        (store.version(), items, 0, None)
    } else {
        let gone = || {
            Failure::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
            )
        };
        let bytes = engine.decode(token).map_err(|_| {
            Failure::bad_request("invalid continue token: continue key is not valid")
        })?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (id, from) = text.split_once(':').ok_or_else(|| {
            Failure::bad_request("invalid continue token: continue key is not valid")
        })?;
        let id: u64 = id.parse().map_err(|_| {
            Failure::bad_request("invalid continue token: continue key is not valid")
        })?;
        let from: usize = from.parse().map_err(|_| {
            Failure::bad_request("invalid continue token: continue key is not valid")
        })?;
        let page = store.pages.get(&id).ok_or_else(gone)?;
        (page.version, page.items.clone(), from, Some(id))
    };
    let end = if limit == 0 {
        items.len()
    } else {
        items.len().min(from.saturating_add(limit))
    };
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if target.kind.is_custom() && form == Form::Full {
        metadata["continue"] = json!("");
    }
    if end < items.len() {
        let id = page.unwrap_or_else(|| {
            let id = u64::from_be_bytes(store::random());
            store.pages.insert(
                id,
                Page {
                    version,
                    items: items.clone(),
                },
            );
            id
        });
        metadata["continue"] = json!(engine.encode(format!("{id}:{end}")));
        if selector.is_empty() {
            metadata["remainingItemCount"] = json!(items.len() - end);
        }
    }
    let slice = items.get(from..end).unwrap_or_default();
    Ok(present::list(
        form,
        &target.kind,
        slice.iter().map(|o| &**o),
        metadata,
    ))
}

/// A running watch.
struct Watch {
    api: Arc<Api>,
    target: Target,
    selector: Selector,
    form: Form,
    at: u64,
    first: bool,
    queue: VecDeque<Bytes>,
    moved: tokio::sync::watch::Receiver<u64>,
    deadline: Instant,
    bookmark: Option<Instant>,
    over: bool,
}

/// Starts a watch; the answer is a stream of JSON lines.
pub fn watch(
    api: &Arc<Api>,
    target: &Target,
    query: &Query,
    form: Form,
) -> Result<impl Stream<Item = Result<Bytes, std::io::Error>> + use<>, Failure> {
    options(query, true)?;
    let selector = selector(target, query)?;
    let asked = asked_version(query).map_err(|_| {
        let version = query.get("resourceVersion");
        Failure::plain(format!("resourceVersion: {}", not_a_version(version)))
    })?;
    let initial = query.flag("sendInitialEvents");
    let store = api.store();
    let seconds: u64 = query.get("timeoutSeconds").parse().unwrap_or(1800);
    let deadline = Instant::now() + Duration::from_secs(seconds.clamp(1, 3600));
    let bookmarks = query.flag("allowWatchBookmarks");
    let mut watch = Watch {
        api: api.clone(),
        target: target.clone(),
        selector,
        form,
        at: asked.unwrap_or(0),
        first: true,
        queue: VecDeque::new(),
        moved: store.subscribe(),
        deadline,
        bookmark: bookmarks
            .then(|| (Instant::now() + BOOKMARK_EVERY).min(deadline - BOOKMARK_BEFORE_END)),
        over: false,
    };
    if asked.unwrap_or(0) == 0 || initial {
        let objects: Vec<Arc<Value>> = store
            .list(&target.kind.qualified(), &target.namespace)
            .map(|(_, object)| object.clone())
            .filter(|object| watch.selector.matches(object))
            .collect();
        watch.at = store.version();
        for object in objects {
            watch.push("ADDED", &object);
        }
        if initial && bookmarks {
            watch.push_bookmark(true);
        }
    }
    drop(store);
    Ok(futures::stream::unfold(watch, |mut watch| async move {
        let chunk = watch.next().await?;
        Some((Ok(chunk), watch))
    }))
}

impl Watch {
    fn push_line(&mut self, kind: &str, object: Value) {
        let mut line = json!({"type": kind, "object": object}).to_string();
        line.push('\n');
        self.queue.push_back(line.into());
    }

    fn push(&mut self, kind: &str, object: &Value) {
        let object = present::event(self.form, &self.target.kind, object, self.first);
        self.first = false;
        self.push_line(kind, object);
    }

    fn push_bookmark(&mut self, initial_end: bool) {
        let mut metadata = json!({"resourceVersion": self.at.to_string()});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.form {
            Form::Full => {
                json!({"kind": self.target.kind.kind, "apiVersion": self.target.kind.api_version(), "metadata": metadata})
            }
            form => present::event(
                form,
                &self.target.kind,
                &json!({"metadata": metadata}),
                self.first,
            ),
        };
        self.push_line("BOOKMARK", object);
    }

    /// Moves everything that happened since into the queue.
    fn catch_up(&mut self) {
        let api = self.api.clone();
        let store = api.store();
        if self.at < store.compacted() && self.at < store.version() {
            let failure = Failure::expired(format!(
                "too old resource version: {} ({})",
                self.at,
                store.compacted()
            ));
            self.push_line("ERROR", failure.to_json());
            self.over = true;
            return;
        }
        let qualified = self.target.kind.qualified();
        let changes: Vec<Change> = store
            .since(self.at)
            .filter(|c| {
                c.key.0 == qualified
                    && (self.target.namespace.is_empty() || c.key.1 == self.target.namespace)
            })
            .cloned()
            .collect();
        self.at = self.at.max(store.version());
        drop(store);
        for change in changes {
            let was = change.old.as_ref().filter(|o| self.selector.matches(o));
            let is = change.new.as_ref().filter(|o| self.selector.matches(o));
            match (was, is) {
                (None, Some(new)) => self.push("ADDED", new),
                (Some(_), Some(new)) => self.push("MODIFIED", new),
                (Some(old), None) => {
                    // The last state that matched, under the version of the change.
                    let mut last = (**old).clone();
                    last["metadata"]["resourceVersion"] = json!(change.version.to_string());
                    self.push("DELETED", &last);
                }
                (None, None) => {}
            }
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.queue.is_empty() {
                let mut chunk = Vec::new();
                for line in self.queue.drain(..) {
                    chunk.extend_from_slice(&line);
                }
                return Some(chunk.into());
            }
            if self.over || Instant::now() >= self.deadline {
                return None;
            }
            self.moved.borrow_and_update();
            self.catch_up();
            if !self.queue.is_empty() {
                continue;
            }
            let bookmark = self.bookmark.unwrap_or(self.deadline);
            let stop = self.api.stop.clone();
            tokio::select! {
                moved = self.moved.changed() => if moved.is_err() { return None },
                () = stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.deadline) => return None,
                () = tokio::time::sleep_until(bookmark), if self.bookmark.is_some() => {
                    self.push_bookmark(false);
                    let next = Instant::now() + BOOKMARK_EVERY;
                    let last = self.deadline - BOOKMARK_BEFORE_END;
                    self.bookmark = if Instant::now() >= last { None } else { Some(next.min(last)) };
                }
            }
        }
    }
}
