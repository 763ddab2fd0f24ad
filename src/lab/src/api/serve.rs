//! HTTP: one request from bytes to answer, through authentication, routing, authorisation and audit.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::auth::{self, Attributes, User};
use super::present::{self, Form};
use super::route::{self, Query, Route, Target};
use super::status::Failure;
use super::write::Write;
use super::{Api, audit, decode, delete, discovery, read, store, subresource};

/// Larger bodies are refused unread.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// A finished answer before it is bytes.
struct Reply {
    code: u16,
    body: Body,
    media: &'static str,
    warnings: Vec<String>,
    name: String,
    failure: Option<Failure>,
}

impl Reply {
    fn json(code: u16, value: &Value) -> Self {
        let mut text = value.to_string();
        text.push('\n');
        Self {
            code,
            body: Body::from(text),
            media: "application/json",
            warnings: Vec::new(),
            name: String::new(),
            failure: None,
        }
    }

    /// A path of a group or version that nothing has ever served: no Status, a plain page.
    fn no_page() -> Self {
        let mut reply = Self::json(404, &Value::Null);
        reply.body = Body::from("404 page not found\n");
        reply.media = "text/plain; charset=utf-8";
        reply
    }

    fn failed(failure: Failure) -> Self {
        let mut reply = Self::json(failure.code, &failure.to_json());
        reply.failure = Some(failure);
        reply
    }
}

/// One request's constant parts.
struct Call {
    method: Method,
    path: String,
    query: Query,
    uri: String,
    agent: String,
    accept: String,
    content_type: String,
    user: Option<User>,
    received: jiff::Timestamp,
    verb: String,
    target: Option<Target>,
    request: Option<Value>,
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> String {
    headers
        .get(name)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("")
        .to_owned()
}

pub async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let uri = parts
        .uri
        .path_and_query()
        .map_or_else(String::new, ToString::to_string);
    let mut call = Call {
        path: parts.uri.path().to_owned(),
        query: Query::parse(parts.uri.query().unwrap_or("")),
        uri,
        agent: text(&parts.headers, header::USER_AGENT),
        accept: text(&parts.headers, header::ACCEPT),
        content_type: text(&parts.headers, header::CONTENT_TYPE),
        user: None,
        received: jiff::Timestamp::now(),
        verb: parts.method.as_str().to_lowercase(),
        method: parts.method,
        target: None,
        request: None,
    };
    let reply = match answer(&api, &mut call, &parts.headers, body).await {
        Ok(reply) => reply,
        Err(failure) => Reply::failed(failure),
    };
    record(&api, &call, &reply);
    let status = StatusCode::from_u16(reply.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, reply.media)
        .header(header::CACHE_CONTROL, "no-cache, private");
    for warning in &reply.warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        // A field name may hold characters that no header carries.
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response = response.header(header::WARNING, value);
        }
    }
    if reply.code == 504 || reply.code == 429 {
        response = response.header(header::RETRY_AFTER, "1");
    }
    response
        .body(reply.body)
        .unwrap_or_else(|_| Response::new(Body::empty()))
}

fn record(api: &Api, call: &Call, reply: &Reply) {
    let object_ref = call.target.as_ref().map(|target| {
        let mut out = serde_json::Map::new();
        out.insert("resource".into(), json!(target.kind.plural));
        let name = if target.name.is_empty() {
            &reply.name
        } else {
            &target.name
        };
        let sent = call
            .request
            .as_ref()
            .and_then(|r| r["metadata"]["resourceVersion"].as_str())
            .unwrap_or("");
        for (key, value) in [
            ("namespace", target.namespace.as_str()),
            ("name", name),
            ("apiGroup", &target.kind.group),
            ("apiVersion", &target.kind.version),
            ("resourceVersion", sent),
            ("subresource", &target.subresource),
        ] {
            if !value.is_empty() {
                out.insert(key.into(), json!(value));
            }
        }
        Value::Object(out)
    });
    api.audit.write(&audit::Entry {
        stage: if call.verb == "watch" && reply.code < 400 {
            "ResponseStarted"
        } else {
            "ResponseComplete"
        },
        verb: &call.verb,
        uri: &call.uri,
        agent: &call.agent,
        user: call.user.as_ref(),
        object_ref,
        request: call.request.clone(),
        code: reply.code,
        reason: reply.failure.as_ref().map_or("", |f| f.reason),
        message: reply.failure.as_ref().map_or("", |f| &f.message),
        received: call.received,
    });
}

fn identify(api: &Api, call: &Call, headers: &HeaderMap) -> Result<Option<User>, Failure> {
    let bearer = text(headers, header::AUTHORIZATION);
    let Some(token) = bearer
        .strip_prefix("Bearer ")
        .or_else(|| bearer.strip_prefix("bearer "))
    else {
        return Ok(None);
    };
    let store = api.store();
    let user =
        auth::authenticate(&store, &api.admin, token.trim()).ok_or_else(Failure::unauthorized)?;
    let wanted = text(headers, "impersonate-user");
    if wanted.is_empty() {
        return Ok(Some(user));
    }
    let groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .map(str::to_owned)
        .collect();
    let mut asks = vec![("users", wanted.as_str())];
    asks.extend(groups.iter().map(|g| ("groups", g.as_str())));
    for (resource, name) in asks {
        let ask = Attributes {
            verb: "impersonate".into(),
            resource: resource.into(),
            name: name.into(),
            ..Attributes::default()
        };
        if !auth::allowed(&store, &user, &ask) {
            let message = format!(
                "{resource} {name:?} is forbidden: User {:?} cannot impersonate resource {resource:?} in API group \"\" at the cluster scope",
                user.name
            );
            return Err(Failure::forbidden(message, "", resource, name));
        }
    }
    let _ = call;
    let mut user_as = User::named(&wanted, groups);
    user_as.impersonator = Some(Box::new(user));
    Ok(Some(user_as))
}

/// The verb that permissions know, of a whole collection or of one object.
fn verb(call: &Call, collection: bool) -> &'static str {
    match call.method {
        Method::GET | Method::HEAD if call.query.flag("watch") => "watch",
        Method::GET | Method::HEAD if collection => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    }
}

async fn answer(
    api: &Arc<Api>,
    call: &mut Call,
    headers: &HeaderMap,
    body: Body,
) -> Result<Reply, Failure> {
    call.user = identify(api, call, headers)?;
    let route = route::route(&call.path, &api.store().kinds);
    let user = call.user.get_or_insert_with(User::anonymous).clone();
    let target = match route {
        Route::Resource(target) => target,
        Route::Unknown(path) => {
            let ask = Attributes {
                verb: verb(call, path.name.is_empty()).to_owned(),
                group: path.group,
                resource: path.resource,
                namespace: path.namespace,
                name: path.name,
                path: String::new(),
            };
            if !auth::allowed(&api.store(), &user, &ask) {
                return Err(auth::refuse(&user, &ask));
            }
            let known = api.store().kinds.clone();
            let served = known
                .iter()
                .any(|kind| kind.group == ask.group && kind.version == path.version);
            return if served {
                Err(Failure::no_such_path())
            } else {
                Ok(Reply::no_page())
            };
        }
        Route::Plain => {
            let ask = Attributes {
                verb: call.verb.clone(),
                path: call.path.clone(),
                ..Attributes::default()
            };
            if !auth::allowed(&api.store(), &user, &ask) {
                return Err(auth::refuse(&user, &ask));
            }
            return plain(api, call);
        }
    };
    call.verb = verb(call, target.name.is_empty()).to_owned();
    call.target = Some(target.clone());
    let bytes = axum::body::to_bytes(body, BODY_LIMIT).await.map_err(|_| {
        Failure::too_large(format!("Request entity too large: limit is {BODY_LIMIT}"))
    })?;
    if !matches!(call.verb.as_str(), "get" | "list" | "watch")
        && target.kind.kind != "Secret"
        && target.subresource != "token"
    {
        call.request = decode::body(&bytes, "application/yaml").ok();
    }
    authorise(api, &user, call, &target)?;
    if call.verb.is_empty() {
        return Err(Failure::method_not_allowed());
    }
    serve(api, call, &user, &target, &bytes)
}

fn authorise(api: &Api, user: &User, call: &Call, target: &Target) -> Result<(), Failure> {
    let resource = if target.subresource.is_empty() {
        target.kind.plural.clone()
    } else {
        format!("{}/{}", target.kind.plural, target.subresource)
    };
    let mut ask = Attributes {
        verb: call.verb.clone(),
        group: target.kind.group.clone(),
        resource,
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        path: String::new(),
    };
    // A list or watch of one name is a question about that object.
    if target.name.is_empty() && matches!(call.verb.as_str(), "list" | "watch" | "deletecollection")
    {
        let fields = call.query.get("fieldSelector").split(',');
        let named = fields
            .filter_map(|f| f.strip_prefix("metadata.name="))
            .next();
        ask.name = named.unwrap_or("").trim_start_matches('=').to_owned();
    }
    // A get, list or watch of one Namespace is a question inside that namespace.
    if target.kind.plural == "namespaces" && target.kind.group.is_empty() {
        ask.namespace.clone_from(&target.name);
    }
    let store = api.store();
    if !auth::allowed(&store, user, &ask) {
        return Err(auth::refuse(user, &ask));
    }
    let apply = call.verb == "patch" && call.content_type.starts_with("application/apply-patch");
    if apply
        && store
            .get(&store::Store::key(
                &target.kind,
                &target.namespace,
                &target.name,
            ))
            .is_none()
    {
        ask.verb = "create".into();
        if !auth::allowed(&store, user, &ask) {
            return Err(auth::refuse(user, &ask));
        }
    }
    Ok(())
}

fn plain(api: &Api, call: &Call) -> Result<Reply, Failure> {
    if !matches!(call.method, Method::GET | Method::HEAD) {
        let kinds = api.store().kinds.clone();
        return match discovery::answer(&kinds, &call.path, &call.accept) {
            None => Ok(Reply::no_page()),
            Some(_) => Err(Failure::method_not_allowed()),
        };
    }
    let kinds = api.store().kinds.clone();
    match discovery::answer(&kinds, &call.path, &call.accept) {
        None => Ok(Reply::no_page()),
        Some(Err(failure)) => Err(failure),
        Some(Ok(discovery::Answer::Json(value))) => Ok(Reply::json(200, &value)),
        Some(Ok(discovery::Answer::Aggregated(value))) => {
            let mut reply = Reply::json(200, &value);
            reply.media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
            Ok(reply)
        }
        Some(Ok(discovery::Answer::Text(text))) => {
            let mut reply = Reply::json(200, &Value::Null);
            reply.body = Body::from(text);
            reply.media = "text/plain; charset=utf-8";
            Ok(reply)
        }
    }
}

/// The options that a request of this verb carries.
fn verb_of_options(verb: &str) -> &'static str {
    match verb {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        _ => "",
    }
}

fn serve(
    api: &Arc<Api>,
    call: &mut Call,
    user: &User,
    target: &Target,
    bytes: &Bytes,
) -> Result<Reply, Failure> {
    let kind = &target.kind;
    let form = Form::of(&call.accept, call.query.get("includeObject"));
    Form::acceptable(&call.accept, kind)?;
    let sub = target.subresource.as_str();
    if !sub.is_empty() && !kind.subresources.iter().any(|s| s == sub) {
        let known = matches!(
            sub,
            "log"
                | "exec"
                | "attach"
                | "portforward"
                | "proxy"
                | "eviction"
                | "binding"
                | "finalize"
                | "ephemeralcontainers"
                | "resize"
        );
        if sub == "status" && kind.is_custom() {
            return Err(Failure::not_found(kind, &target.name));
        }
        return Err(if known {
            Failure::not_implemented(&format!("{}/{sub}", kind.plural))
        } else {
            Failure::no_such_path()
        });
    }
    let mut write = Write {
        target,
        query: &call.query,
        agent: &call.agent,
        content_type: &call.content_type,
        body: bytes,
        now: store::seconds(call.received),
        warnings: Vec::new(),
        name: String::new(),
    };
    match verb_of_options(&call.verb) {
        "" => {}
        options => write.options(options)?,
    }
    let one = |(code, value): (u16, Arc<Value>), write: Write| {
        let mut reply = Reply::json(code, &present::object(form, kind, &value));
        reply.warnings = write.warnings;
        reply.name = write.name;
        Ok(reply)
    };
    let verb = call.verb.as_str();
    let one_object = matches!(verb, "update" | "patch" | "delete" | "get");
    // The server of custom kinds takes a name in the path of a create, and tells methods apart later.
    let on_one = sub.is_empty() && verb == "create" && !target.name.is_empty();
    if one_object && target.name.is_empty() && kind.is_custom() {
        return Err(Failure::bad_request("name must be provided"));
    }
    if (on_one && !kind.is_custom()) || (one_object && target.name.is_empty()) {
        return Err(Failure::method_not_allowed());
    }
    if let "create" | "update" = verb {
        decode::readable(&call.content_type)?;
    }
    let mut store = api.store();
    match (verb, sub) {
        ("watch", "") => {
            drop(store);
            let stream = read::watch(api, target, &call.query, form)?;
            let mut reply = Reply::json(200, &Value::Null);
            reply.body = Body::from_stream(stream);
            Ok(reply)
        }
        ("create", _) if kind.verbs() == ["create"] => {
            let (code, value) = subresource::review(&store, kind, user, &write)?;
            Ok(Reply::json(code, &value))
        }
        _ if kind.verbs() == ["create"] => Err(Failure::method_not_allowed()),
        ("list", "") => Ok(Reply::json(
            200,
            &read::list(&mut store, target, &call.query, form)?,
        )),
        ("get", "" | "status") => Ok(Reply::json(
            200,
            &read::get(&store, target, &call.query, form)?,
        )),
        ("get", "scale") => Ok(Reply::json(200, &subresource::read_scale(&store, target)?)),
        ("create", "token") => {
            let (code, value) = subresource::token(&mut store, &write)?;
            Ok(Reply::json(code, &value))
        }
        ("create", "") => {
            let done = write.create(&mut store)?;
            one(done, write)
        }
        ("update", "" | "status") => {
            let done = write.update(&mut store)?;
            one(done, write)
        }
        ("patch", "" | "status") => {
            let done = write.patch(&mut store)?;
            one(done, write)
        }
        ("update" | "patch", "scale") => {
            let (code, value) = subresource::write_scale(&mut store, &mut write, verb == "patch")?;
            Ok(Reply::json(code, &value))
        }
        ("delete", "") => {
            let options = delete::Options::parse(&call.query, bytes)?;
            let (code, value) = delete::delete(&mut store, target, &options, &write.now)?;
            Ok(Reply::json(code, &value))
        }
        ("deletecollection", "") => {
            let options = delete::Options::parse(&call.query, bytes)?;
            let selector = super::select::Selector::parse(
                kind,
                call.query.get("labelSelector"),
                call.query.get("fieldSelector"),
            )?;
            let list = delete::delete_all(
                &mut store,
                target,
                |o| selector.matches(o),
                &options,
                &write.now,
            );
            Ok(Reply::json(200, &list))
        }
        _ => Err(Failure::method_not_allowed()),
    }
}
