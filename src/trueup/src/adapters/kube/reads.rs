//! Lists in pages, single objects, the pin, and what we are allowed to do.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::Method;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;
use trueup_core::object::identity::ObjectRef;
use trueup_core::object::live::Live;
use trueup_core::object::redact::{self, Plain};

use super::discovery::group_path;
use super::http::{Answer, Failure, encode, exchange, refusal, refused, request, unreachable};
use super::page;
use super::secrets::admit;
use super::whole::Whole;
use super::{KubeCluster, Timestamp};
use crate::ports::{ClusterPin, Grant, Kind, Listing, Permission, ReadError, ReadFailure, Served};

/// Objects asked for at once.
const PAGE: u32 = 500;
/// Objects that hint at the rest.
const FEW: u32 = 3;
/// Access reviews in flight at once.
const REVIEWS: usize = 8;
/// A page of 500 large objects takes longer than a single one.
const PAGE_DEADLINE: Duration = Duration::from_secs(30);

impl KubeCluster {
    pub(super) async fn read_pin(&self) -> Result<ClusterPin, ReadError> {
        let version = self.version().await?;
        let _ = self.inner.caches.set(lists_from_cache(&version));
        let namespace = ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "Namespace".into(),
            namespace: None,
            name: "kube-system".into(),
        };
        let kube_system_uid = match self.read_object(&namespace).await {
            Ok(found) => found.and_then(|object| {
                object
                    .pointer("/metadata/uid")
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            }),
            Err(error) if error.failure == ReadFailure::Forbidden => None,
            Err(error) => return Err(error),
        };
        Ok(ClusterPin {
            server: self.inner.server.clone(),
            ca_digest: self.inner.ca_digest.clone(),
            kube_system_uid,
            context: self.inner.context.clone(),
            version: version
                .get("gitVersion")
                .and_then(Value::as_str)
                .unwrap_or("unknown")
                .to_owned(),
        })
    }

    async fn version(&self) -> Result<Value, ReadError> {
        let what = format!("ask {} for its version", self.inner.server);
        let deadline = self.inner.options.read_deadline;
        let answer = self.fetch(&what, "/version", "version", deadline).await?;
        if answer.status != 200 {
            return Err(refused(&what, &refusal(&answer), false));
        }
        parse(&what, &answer.body)
    }

    /// Whether a list is to be asked for whole. A server that does not tell its version is asked for pages.
    async fn caches(&self) -> bool {
        let asked = self
            .inner
            .caches
            .get_or_try_init(|| async { self.version().await.map(|it| lists_from_cache(&it)) });
        asked.await.is_ok_and(|caches| *caches)
    }

    pub(super) async fn read_list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<Listing, ReadError> {
        let collection = Collection::of(kind, &self.resolve(kind).await?, namespace);
        if self.caches().await
            && let Some(listing) = self.at_once(&collection).await?
        {
            return Ok(listing);
        }
        // A continue token that grew too old is answered with 410; the list is then taken again, once.
        for attempt in 0..2 {
            match self.pages(&collection).await? {
                Some(listing) => return Ok(listing),
                None if attempt == 0 => {}
                None => break,
            }
        }
        Err(ReadError {
            failure: ReadFailure::Refused,
            what: collection.what,
            why: "the list grew too old while it was being read, twice".into(),
            hint: "the server is slow or very busy: try again in a moment".into(),
        })
    }

    /// The first few; a server answers these at once, however many there are.
    pub(super) async fn read_some(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<Vec<Arc<Live>>, ReadError> {
        let of = Collection::of(kind, &self.resolve(kind).await?, namespace);
        let what = format!("{}, the first {FEW}", of.what);
        let uri = format!("{}?limit={FEW}", of.path);
        let typed = format!("get --raw '{uri}'");
        let deadline = self.inner.options.read_deadline;
        let answer = self.fetch(&what, &uri, &typed, deadline).await?;
        if answer.status != 200 {
            return Err(refused(&what, &refusal(&answer), kind.is_secret()));
        }
        page::items(&answer.body, kind, &self.inner.options.secret_key)
            .map_err(|error| malformed(&what, &error))
    }

    /// All of it in one answer; `None` when the server would rather give it in pages.
    async fn at_once(&self, of: &Collection<'_>) -> Result<Option<Listing>, ReadError> {
        let Collection { kind, what, .. } = of;
        let started = Timestamp::now();
        let answer = self.whole(kind, &of.path).await;
        let outcome = match &answer {
            Ok(Whole::Listed { bytes, .. }) => format!("200, {bytes} bytes"),
            Ok(Whole::Refused(answer)) => format!("{}, {} bytes", answer.status, answer.body.len()),
            Ok(Whole::Malformed(_)) => "200, and not a list".to_owned(),
            Err(Failure::NotSent(why)) => format!("not sent: {why}"),
            Err(Failure::NoAnswer(why)) => why.clone(),
        };
        let typed = format!("{} --chunk-size=0", of.typed);
        self.log(started, what, self.kubectl(&typed), &outcome, false);
        match answer.map_err(|failure| unreachable(what, &self.inner.server, &failure))? {
            Whole::Listed { head, items, bytes } => Ok(Some(Listing {
                items,
                resource_version: head.version.unwrap_or_default(),
                bytes,
                requests: 1,
            })),
            Whole::Refused(answer) if matches!(answer.status, 408 | 429 | 500 | 503 | 504) => {
                Ok(None)
            }
            Whole::Refused(answer) => Err(refused(what, &refusal(&answer), kind.is_secret())),
            Whole::Malformed(error) => Err(malformed(what, &error)),
        }
    }

    async fn pages(&self, of: &Collection<'_>) -> Result<Option<Listing>, ReadError> {
        let Collection { kind, what, .. } = of;
        let mut listing = Listing::default();
        let mut next = String::new();
        // A page is decoded while the server makes the next one.
        let mut decoding: Option<JoinHandle<serde_json::Result<Vec<Arc<Live>>>>> = None;
        loop {
            let mut uri = format!("{}?limit={PAGE}", of.path);
            if !next.is_empty() {
                uri.push_str("&continue=");
                uri.push_str(&encode(&next));
            }
            let answer = self.fetch(what, &uri, &of.typed, PAGE_DEADLINE).await?;
            match answer.status {
                200 => {}
                410 => return Ok(None),
                _ => return Err(refused(what, &refusal(&answer), kind.is_secret())),
            }
            listing.bytes += answer.body.len() as u64;
            listing.requests += 1;
            let head = page::head(&answer.body);
            listing.resource_version = head.version.unwrap_or_default();
            let (kind, key) = (Kind::clone(kind), self.inner.options.secret_key);
            let decode =
                tokio::task::spawn_blocking(move || page::items(&answer.body, &kind, &key));
            if let Some(earlier) = decoding.replace(decode) {
                listing.items.extend(decoded(what, earlier).await?);
            }
            next = head.next.unwrap_or_default();
            if next.is_empty() {
                break;
            }
        }
        if let Some(last) = decoding {
            listing.items.extend(decoded(what, last).await?);
        }
        Ok(Some(listing))
    }

    /// Items of a list do not say what they are; the list does.
    pub(super) fn admit_item(&self, kind: &Kind, item: Value) -> Value {
        let Value::Object(fields) = item else {
            return item;
        };
        let mut object = Map::with_capacity(fields.len() + 2);
        object.insert("apiVersion".into(), kind.api_version().into());
        object.insert("kind".into(), kind.kind.clone().into());
        object.extend(fields);
        admit(Value::Object(object), &self.inner.options.secret_key)
    }

    pub(super) async fn read_object(&self, object: &ObjectRef) -> Result<Option<Value>, ReadError> {
        let found = self.object_as_it_is(object).await?;
        Ok(found.map(|found| admit(found, &self.inner.options.secret_key)))
    }

    /// One value of a Secret; nothing else of it leaves here.
    pub(super) async fn read_plain(
        &self,
        secret: &ObjectRef,
        key: &str,
    ) -> Result<Option<Plain>, ReadError> {
        let found = self.object_as_it_is(secret).await?;
        Ok(found.and_then(|found| redact::plain(&found, key)))
    }

    /// The object with its secret values: for the two above alone.
    async fn object_as_it_is(&self, object: &ObjectRef) -> Result<Option<Value>, ReadError> {
        let kind = Kind::of(object);
        let served = self.resolve(&kind).await?;
        let what = format!("get {}", named(object));
        let uri = object_path(&what, object, &served)?;
        let scope = object
            .namespace
            .as_ref()
            .map_or(String::new(), |namespace| format!(" -n {namespace}"));
        let typed = format!(
            "get {} {}{scope} -o json",
            resource_name(&kind, &served),
            object.name
        );
        let answer = self
            .fetch(&what, &uri, &typed, self.inner.options.read_deadline)
            .await?;
        match answer.status {
            200 => parse(&what, &answer.body).map(Some),
            404 => Ok(None),
            _ => Err(refused(&what, &refusal(&answer), kind.is_secret())),
        }
    }

    pub(super) async fn review(&self, permissions: &[Permission]) -> Vec<Grant> {
        futures::stream::iter(
            permissions
                .iter()
                .cloned()
                .map(|permission| self.review_one(permission)),
        )
        .buffered(REVIEWS)
        .collect()
        .await
    }

    async fn review_one(&self, permission: Permission) -> Grant {
        let mut attributes = Map::new();
        for (key, value) in [
            ("verb", Some(&permission.verb)),
            ("group", Some(&permission.group)),
            ("resource", Some(&permission.resource)),
            ("subresource", permission.subresource.as_ref()),
            ("namespace", permission.namespace.as_ref()),
            ("name", permission.name.as_ref()),
        ] {
            if let Some(value) = value {
                attributes.insert(key.into(), value.clone().into());
            }
        }
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": attributes },
        });
        let uri = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let started = Timestamp::now();
        let result = exchange(
            &self.inner.reads,
            request(
                Method::POST,
                uri,
                Some("application/json"),
                body.to_string().into_bytes(),
            ),
            self.inner.options.read_deadline,
        )
        .await;
        let (allowed, why) = match result {
            Err(failure) => (None, failure.why().to_owned()),
            Ok(answer) if answer.status / 100 != 2 => {
                let refusal = refusal(&answer);
                (None, format!("{} {}", refusal.code, refusal.message))
            }
            Ok(answer) => {
                let status: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
                let reason = status
                    .pointer("/status/reason")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                (
                    status.pointer("/status/allowed").and_then(Value::as_bool),
                    reason.to_owned(),
                )
            }
        };
        let outcome = match allowed {
            Some(true) => "yes",
            Some(false) => "no",
            None => &why,
        };
        self.log(
            started,
            &format!("may I {permission}?"),
            self.kubectl(&can_i(&permission)),
            outcome,
            false,
        );
        Grant {
            permission,
            allowed,
            why,
        }
    }

    /// One logged GET with the reads client.
    pub(super) async fn fetch(
        &self,
        what: &str,
        uri: &str,
        typed: &str,
        deadline: Duration,
    ) -> Result<Answer, ReadError> {
        let started = Timestamp::now();
        let answer = exchange(
            &self.inner.reads,
            request(Method::GET, uri, None, Vec::new()),
            deadline,
        )
        .await;
        let outcome = match &answer {
            Ok(answer) => format!("{}, {} bytes", answer.status, answer.body.len()),
            Err(Failure::NotSent(why)) => format!("not sent: {why}"),
            Err(Failure::NoAnswer(why)) => why.clone(),
        };
        self.log(started, what, self.kubectl(typed), &outcome, false);
        answer.map_err(|failure| unreachable(what, &self.inner.server, &failure))
    }

    /// What a person would type.
    pub(super) fn kubectl(&self, rest: &str) -> String {
        format!("kubectl --context {} {rest}", self.inner.context)
    }
}

fn can_i(permission: &Permission) -> String {
    let mut typed = format!("auth can-i {} {}", permission.verb, permission.resource);
    if !permission.group.is_empty() {
        typed.push_str(&format!(".{}", permission.group));
    }
    if let Some(name) = &permission.name {
        typed.push_str(&format!("/{name}"));
    }
    if let Some(subresource) = &permission.subresource {
        typed.push_str(&format!(" --subresource={subresource}"));
    }
    match &permission.namespace {
        Some(namespace) => typed.push_str(&format!(" -n {namespace}")),
        None => typed.push_str(" -A"),
    }
    typed
}

/// Whether a server answers a list without a limit from its cache: the feature `ConsistentListFromCache`, on since 1.31.
fn lists_from_cache(version: &Value) -> bool {
    let number = |name: &str| {
        let text = version.get(name).and_then(Value::as_str)?;
        // Some distributions write `31+`.
        text.trim_end_matches('+').parse::<u32>().ok()
    };
    match (number("major"), number("minor")) {
        (Some(1), Some(minor)) => minor >= 31,
        (Some(major), Some(_)) => major > 1,
        _ => false,
    }
}

/// What a list is of.
struct Collection<'a> {
    kind: &'a Kind,
    path: String,
    /// In words, for errors and the log.
    what: String,
    /// The arguments of kubectl that would read the same.
    typed: String,
}

impl<'a> Collection<'a> {
    fn of(kind: &'a Kind, served: &Served, namespace: Option<&str>) -> Self {
        let namespace = namespace.filter(|_| served.namespaced);
        let (words, scope) = match namespace {
            Some(namespace) => (format!(" in {namespace}"), format!(" -n {namespace}")),
            None if served.namespaced => (" in all namespaces".to_owned(), " -A".to_owned()),
            None => (String::new(), String::new()),
        };
        let resource = resource_name(kind, served);
        Self {
            kind,
            path: collection_path(kind, served, namespace),
            what: format!("list {resource}{words}"),
            typed: format!("get {resource}{scope} -o json"),
        }
    }
}

/// `configmaps`, `applications.argoproj.io`.
pub(super) fn resource_name(kind: &Kind, served: &Served) -> String {
    if kind.group.is_empty() {
        served.plural.clone()
    } else {
        format!("{}.{}", served.plural, kind.group)
    }
}

/// `ConfigMap/auth-config in auth`.
pub(super) fn named(object: &ObjectRef) -> String {
    match &object.namespace {
        Some(namespace) => format!("{}/{} in {namespace}", object.kind, object.name),
        None => format!("{}/{}", object.kind, object.name),
    }
}

pub(super) fn collection_path(kind: &Kind, served: &Served, namespace: Option<&str>) -> String {
    let base = group_path(kind);
    match namespace {
        Some(namespace) => format!("{base}/namespaces/{}/{}", encode(namespace), served.plural),
        None => format!("{base}/{}", served.plural),
    }
}

pub(super) fn object_path(
    what: &str,
    object: &ObjectRef,
    served: &Served,
) -> Result<String, ReadError> {
    if object.name.is_empty() || (served.namespaced && object.namespace.is_none()) {
        return Err(ReadError {
            failure: ReadFailure::Refused,
            what: what.to_owned(),
            why: "it is named without a namespace or without a name".to_owned(),
            hint: "name the object fully".to_owned(),
        });
    }
    let namespace = object.namespace.as_deref().filter(|_| served.namespaced);
    Ok(format!(
        "{}/{}",
        collection_path(&Kind::of(object), served, namespace),
        encode(&object.name)
    ))
}

fn parse(what: &str, body: &[u8]) -> Result<Value, ReadError> {
    serde_json::from_slice(body).map_err(|error| malformed(what, &error))
}

async fn decoded(
    what: &str,
    decoding: JoinHandle<serde_json::Result<Vec<Arc<Live>>>>,
) -> Result<Vec<Arc<Live>>, ReadError> {
    match decoding.await {
        Ok(items) => items.map_err(|error| malformed(what, &error)),
        Err(_) => Err(ReadError {
            failure: ReadFailure::Malformed,
            what: what.to_owned(),
            why: "the work on the answer was interrupted".to_owned(),
            hint: "try again".to_owned(),
        }),
    }
}

/// The parser's message can quote the text, which may be a Secret: only the place is told.
fn malformed(what: &str, error: &serde_json::Error) -> ReadError {
    ReadError {
        failure: ReadFailure::Malformed,
        what: what.to_owned(),
        why: format!(
            "the answer is not what was asked for, or no JSON (line {}, column {})",
            error.line(),
            error.column()
        ),
        hint: "something between here and the server answers in its place: check the proxy"
            .to_owned(),
    }
}
