//! Who calls (bearer tokens) and what they may do (RBAC from the stored roles and bindings).

use std::collections::HashSet;

use serde_json::{Value, json};

use super::status::Failure;
use super::store::{self, Store, Token};

const RBAC: &str = "rbac.authorization.k8s.io";

#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    /// The real caller when `Impersonate-User` was used.
    pub impersonator: Option<Box<User>>,
}

impl User {
    pub fn admin() -> Self {
        Self {
            name: "kubernetes-admin".into(),
            uid: String::new(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
            impersonator: None,
        }
    }

    /// Who brings no credentials at all.
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".into(),
            uid: String::new(),
            groups: vec!["system:unauthenticated".into()],
            impersonator: None,
        }
    }

    pub fn named(name: &str, groups: Vec<String>) -> Self {
        let mut groups = groups;
        if let Some((namespace, _)) = service_account(name) {
            groups.push("system:serviceaccounts".into());
            groups.push(format!("system:serviceaccounts:{namespace}"));
        }
        if !groups.iter().any(|g| g == "system:authenticated") {
            groups.push("system:authenticated".into());
        }
        Self {
            name: name.to_owned(),
            uid: String::new(),
            groups,
            impersonator: None,
        }
    }
}

fn service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

/// The user of a bearer token. A ServiceAccount's token dies with the object it was issued for.
pub fn authenticate(store: &Store, admin: &str, token: &str) -> Option<User> {
    if token == admin {
        return Some(User::admin());
    }
    let known = store.tokens.get(token)?;
    let key = (
        "serviceaccounts".to_owned(),
        known.namespace.clone(),
        known.name.clone(),
    );
    let account = store.get(&key)?;
    if account["metadata"]["uid"] != known.uid.as_str()
        || jiff::Timestamp::now().as_second() >= known.expires
    {
        return None;
    }
    let mut user = User::named(
        &format!("system:serviceaccount:{}:{}", known.namespace, known.name),
        Vec::new(),
    );
    user.uid = known.uid.clone();
    Some(user)
}

/// A new token of a ServiceAccount, in the three-part form of a JWT (its signature is random: only this server reads it).
pub fn issue(
    store: &mut Store,
    namespace: &str,
    name: &str,
    uid: &str,
    lifetime: i64,
) -> (String, i64) {
    use base64::Engine;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let now = jiff::Timestamp::now().as_second();
    let expires = now + lifetime;
    let claims = json!({"iss": "https://kubernetes.default.svc.cluster.local", "iat": now, "exp": expires,
        "sub": format!("system:serviceaccount:{namespace}:{name}")});
    let token = format!(
        "{}.{}.{}",
        engine.encode(r#"{"alg":"RS256","kid":"lab"}"#),
        engine.encode(claims.to_string()),
        engine.encode(store::random::<32>())
    );
    let entry = Token {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        expires,
    };
    store.tokens.insert(token.clone(), entry);
    (token, expires)
}

/// What is asked: `resource` carries the subresource after a slash; for a plain URL `path` is set instead.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub path: String,
}

fn matches(list: &Value, wanted: &str) -> bool {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|have| have == "*" || have == wanted)
}

fn rule_allows(rule: &Value, ask: &Attributes) -> bool {
    if !matches(&rule["verbs"], &ask.verb) {
        return false;
    }
    if !ask.path.is_empty() {
        return rule["nonResourceURLs"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|have| {
                have == ask.path
                    || have
                        .strip_suffix('*')
                        .is_some_and(|prefix| ask.path.starts_with(prefix))
            });
    }
    let names = rule["resourceNames"].as_array();
    let any_subresource = ask
        .resource
        .split_once('/')
        .map(|(_, sub)| format!("*/{sub}"));
    matches(&rule["apiGroups"], &ask.group)
        && (matches(&rule["resources"], &ask.resource)
            || any_subresource.is_some_and(|s| matches(&rule["resources"], &s)))
        && names.is_none_or(|names| {
            names.is_empty() || (!ask.name.is_empty() && names.iter().any(|n| n == &ask.name))
        })
}

fn binds(binding: &Value, user: &User) -> bool {
    subject(binding, user).is_some()
}

/// The subject of a binding that is the user.
fn subject<'a>(binding: &'a Value, user: &User) -> Option<&'a Value> {
    let home = binding["metadata"]["namespace"].as_str().unwrap_or("");
    binding["subjects"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|subject| {
            let name = subject["name"].as_str().unwrap_or("");
            match subject["kind"].as_str() {
                Some("User") => user.name == name,
                Some("Group") => user.groups.iter().any(|g| g == name),
                Some("ServiceAccount") => {
                    let namespace = subject["namespace"].as_str().unwrap_or(home);
                    service_account(&user.name) == Some((namespace, name))
                }
                _ => false,
            }
        })
}

/// Rules that reach `user` in `namespace` ("" for cluster scope only).
pub fn rules(store: &Store, user: &User, namespace: &str) -> Vec<Value> {
    let mut out = Vec::new();
    let mut take = |binding: &Value, home: &str| {
        let role = binding["roleRef"]["name"].as_str().unwrap_or("").to_owned();
        let key = match binding["roleRef"]["kind"].as_str() {
            Some("ClusterRole") => (format!("clusterroles.{RBAC}"), String::new(), role),
            _ => (format!("roles.{RBAC}"), home.to_owned(), role),
        };
        if let Some(role) = store.get(&key) {
            out.extend(role["rules"].as_array().into_iter().flatten().cloned());
        }
    };
    for (_, binding) in store.list(&format!("clusterrolebindings.{RBAC}"), "") {
        if binds(binding, user) {
            take(binding, "");
        }
    }
    if !namespace.is_empty() {
        for (key, binding) in store.list(&format!("rolebindings.{RBAC}"), namespace) {
            if binds(binding, user) {
                take(binding, &key.1);
            }
        }
    }
    out
}

/// Which binding lets `user` do it, in the words of an access review. `None` for whoever needs no binding.
pub fn why(store: &Store, user: &User, ask: &Attributes) -> Option<String> {
    if user.groups.iter().any(|g| g == "system:masters") {
        return None;
    }
    let everywhere = format!("clusterrolebindings.{RBAC}");
    let here = format!("rolebindings.{RBAC}");
    let cluster = store.list(&everywhere, "");
    let local = store
        .list(&here, &ask.namespace)
        .filter(|_| !ask.namespace.is_empty());
    for (key, binding) in cluster.chain(local) {
        let Some(subject) = subject(binding, user) else {
            continue;
        };
        let role = &binding["roleRef"];
        let name = role["name"].as_str().unwrap_or_default();
        let whole = role["kind"] == "ClusterRole";
        let stored = store.get(&if whole {
            (format!("clusterroles.{RBAC}"), String::new(), name.into())
        } else {
            (format!("roles.{RBAC}"), key.1.clone(), name.into())
        });
        let mut rules = stored
            .into_iter()
            .filter_map(|role| role["rules"].as_array());
        if !rules.any(|rules| rules.iter().any(|rule| rule_allows(rule, ask))) {
            continue;
        }
        let place = |name: &str| match key.1.as_str() {
            "" => name.to_owned(),
            namespace => format!("{name}/{namespace}"),
        };
        let (binding_kind, role_kind) = match (key.1.is_empty(), whole) {
            (true, _) => ("ClusterRoleBinding", "ClusterRole"),
            (false, true) => ("RoleBinding", "ClusterRole"),
            (false, false) => ("RoleBinding", "Role"),
        };
        let of = |key: &str| subject[key].as_str().unwrap_or_default();
        let who = match of("kind") {
            "ServiceAccount" => format!("{}/{}", of("name"), of("namespace")),
            _ => of("name").to_owned(),
        };
        return Some(format!(
            "RBAC: allowed by {binding_kind} {:?} of {role_kind} {name:?} to {} {who:?}",
            place(&key.2),
            of("kind"),
        ));
    }
    None
}

/// RBAC's answer.
pub fn allowed(store: &Store, user: &User, ask: &Attributes) -> bool {
    if user.groups.iter().any(|g| g == "system:masters") {
        return true;
    }
    let anonymous = user.groups.iter().any(|g| g == "system:unauthenticated");
    if !ask.path.is_empty() && ask.verb == "get" {
        let open = if anonymous { public_path } else { open_path };
        if open(&ask.path) {
            return true;
        }
    }
    if anonymous {
        return false;
    }
    if matches!(
        ask.group.as_str(),
        "authorization.k8s.io" | "authentication.k8s.io"
    ) && ask.resource.starts_with("selfsubject")
    {
        return ask.verb == "create";
    }
    rules(store, user, &ask.namespace)
        .iter()
        .any(|rule| rule_allows(rule, ask))
}

/// What everybody may read, without credentials too (`system:public-info-viewer`).
fn public_path(path: &str) -> bool {
    matches!(
        path,
        "/version" | "/version/" | "/healthz" | "/livez" | "/readyz"
    )
}

fn open_path(path: &str) -> bool {
    let open: HashSet<&str> = [
        "/api",
        "/apis",
        "/version",
        "/version/",
        "/healthz",
        "/livez",
        "/readyz",
    ]
    .into();
    open.contains(path)
        || [
            "/api/",
            "/apis/",
            "/openapi/",
            "/healthz/",
            "/livez/",
            "/readyz/",
        ]
        .iter()
        .any(|p| path.starts_with(p))
}

/// The refusal in the server's own words.
pub fn refuse(user: &User, ask: &Attributes) -> Failure {
    if !ask.path.is_empty() {
        let message = format!(
            "forbidden: User {:?} cannot {} path {:?}",
            user.name, ask.verb, ask.path
        );
        return Failure::forbidden(message, "", "", "");
    }
    let plural = ask.resource.split('/').next().unwrap_or_default();
    let qualified = if ask.group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{}", ask.group)
    };
    let scope = if ask.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", ask.namespace)
    };
    let named = if ask.name.is_empty() {
        String::new()
    } else {
        format!(" {:?}", ask.name)
    };
    let message = format!(
        "{qualified}{named} is forbidden: User {:?} cannot {} resource {:?} in API group {:?} {scope}",
        user.name, ask.verb, ask.resource, ask.group,
    );
    Failure::forbidden(message, &ask.group, plural, &ask.name)
}
