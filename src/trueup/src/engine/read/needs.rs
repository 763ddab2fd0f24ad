//! What an operator needs to be allowed to do for the walk over some Applications, and what is not possible without it.
//!
//! The roles in `assets/rbac` are these needs as Kubernetes roles; a test holds both against the audit log of a walk.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trueup_core::drift::report::Question;
use trueup_core::object::identity::{AppKey, ObjectKey, ObjectRef};

use super::{AppSeen, Reader};
use crate::ports::{Cluster, Grant, Kind, Permission, Served};

/// Which of the shipped roles grants a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looking, in Argo CD's namespace and where it deploys to.
    Observe,
    /// Looking at what belongs to the whole cluster.
    Sweep,
    /// Looking at Secrets, of which only digests are kept.
    Secrets,
    /// Dry runs, and live actions: RBAC knows no right to dry runs alone.
    Predict,
    /// Objects as a whole: created, and deleted.
    Whole,
    /// Writing to the Applications.
    Argo,
    /// One operator at a time.
    Lease,
}

/// A permission and what is not possible without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub permission: Permission,
    pub needed_for: String,
    /// The Applications that need it; empty: the walk itself.
    pub applications: Vec<AppKey>,
    /// The walk goes on without it, with less to see or to predict.
    pub optional: bool,
    pub role: Role,
    /// The context to ask in.
    pub context: String,
}

const ARGO: &str = "argoproj.io";

/// A kind in one namespace of one cluster.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    context: String,
    namespace: Option<String>,
    group: String,
    plural: String,
}

/// Who has objects of a kind in a place.
#[derive(Debug, Default)]
struct Users {
    applications: BTreeSet<AppKey>,
    secret: bool,
    /// A field of one of the objects is in question.
    disputed: bool,
    /// Git has an object that does not exist: a sync creates it.
    creates: bool,
    /// There is an object that Git does not have: it may be decided to go.
    extra: bool,
}

/// Collects needs of one role in one context.
struct Adding<'a> {
    needs: &'a mut Vec<Need>,
    context: &'a str,
    role: Role,
    applications: Vec<AppKey>,
}

impl Adding<'_> {
    fn add(&mut self, permission: Permission, needed_for: &str, optional: bool) {
        self.needs.push(Need {
            permission,
            needed_for: needed_for.to_owned(),
            applications: self.applications.clone(),
            optional,
            role: self.role,
            context: self.context.to_owned(),
        });
    }
}

fn named(verb: &str, group: &str, resource: &str, place: Option<&str>, name: &str) -> Permission {
    Permission {
        name: Some(name.to_owned()),
        ..Permission::new(verb, group, resource, place)
    }
}

impl Reader {
    /// Asks the clusters about every need of these Applications.
    pub(super) async fn permissions(
        &self,
        apps: &BTreeMap<AppKey, AppSeen>,
        questions: &[Question],
    ) -> Vec<(Need, Grant)> {
        let mut by_context: BTreeMap<String, Vec<Need>> = BTreeMap::new();
        for need in self.needs(apps, questions).await {
            by_context
                .entry(need.context.clone())
                .or_default()
                .push(need);
        }
        let mut answers = Vec::new();
        for (context, needs) in by_context {
            if let Some(cluster) = self.in_context(&context) {
                answers.extend(review(cluster, needs).await);
            }
        }
        answers
    }

    fn in_context(&self, context: &str) -> Option<&dyn Cluster> {
        std::iter::once(&self.hub)
            .chain(self.destinations.values())
            .find(|cluster| cluster.context() == context)
            .map(AsRef::as_ref)
    }

    /// Every permission that the walk over these Applications needs.
    async fn needs(&self, apps: &BTreeMap<AppKey, AppSeen>, questions: &[Question]) -> Vec<Need> {
        let mut needs = Vec::new();
        self.needs_of_argo(apps, &mut needs);
        let contexts: BTreeSet<&str> = std::iter::once(self.hub.context())
            .chain(
                apps.values()
                    .filter_map(|app| app.destination.context.as_deref()),
            )
            .collect();
        for context in contexts {
            let of_cluster = Adding {
                needs: &mut needs,
                context,
                role: Role::Sweep,
                applications: Vec::new(),
            };
            of_cluster.pin();
            for (place, users) in self.places(context, apps, questions).await {
                needs_of_place(&place, &users, &mut needs);
            }
            needs_of_pods(context, apps, &mut needs);
        }
        needs
    }

    fn needs_of_argo(&self, apps: &BTreeMap<AppKey, AppSeen>, needs: &mut Vec<Need>) {
        let own = self.namespace();
        let context = self.hub.context();
        let namespaces: BTreeSet<&str> = std::iter::once(own)
            .chain(apps.keys().map(|key| key.namespace.as_str()))
            .collect();
        for namespace in namespaces {
            let here = || apps.values().filter(|app| app.key.namespace == namespace);
            let mut adding = Adding {
                needs,
                context,
                role: Role::Observe,
                applications: here().map(|app| app.key.clone()).collect(),
            };
            let place = Some(namespace);
            let all = |verb: &str| Permission::new(verb, ARGO, "applications", place);
            adding.add(all("list"), "finding the Applications", false);
            adding.add(
                all("get"),
                "reading an Application again right before each write, and how its sync ends",
                false,
            );
            adding.add(
                all("watch"),
                "seeing at once what becomes of the Applications (else listed every 5 s)",
                true,
            );
            for app in here() {
                if let Some(set) = app
                    .owner
                    .as_deref()
                    .and_then(|o| o.strip_prefix("ApplicationSet/"))
                {
                    adding.applications = vec![app.key.clone()];
                    adding.add(
                        named("get", ARGO, "applicationsets", place, set),
                        "telling beforehand whether the ApplicationSet undoes a freeze",
                        true,
                    );
                }
            }
            adding.role = Role::Argo;
            for app in here() {
                adding.applications = vec![app.key.clone()];
                adding.add(
                    named("patch", ARGO, "applications", place, &app.key.name),
                    "freezing, asking Argo CD to compare now, syncing and thawing",
                    false,
                );
            }
        }
        let mut adding = Adding {
            needs,
            context,
            role: Role::Observe,
            applications: Vec::new(),
        };
        for (resource, what) in [
            ("applicationsets", "finding the owners of Applications"),
            ("appprojects", "seeing projects and their sync windows"),
        ] {
            for (verb, how) in [("list", ""), ("watch", " at once (else listed every 5 s)")] {
                let permission = Permission::new(verb, ARGO, resource, Some(own));
                adding.add(permission, &format!("{what}{how}"), true);
            }
        }
        adding.add(
            named("get", "", "configmaps", Some(own), "argocd-cmd-params-cm"),
            "finding Applications in other namespaces",
            true,
        );
        adding.role = Role::Lease;
        for verb in ["get", "create", "update"] {
            adding.add(
                Permission::new(verb, "coordination.k8s.io", "leases", Some(own)),
                "keeping a second operator out of the incident",
                false,
            );
        }
        adding.role = Role::Sweep;
        adding.add(
            named(
                "get",
                "apiextensions.k8s.io",
                "customresourcedefinitions",
                None,
                "applications.argoproj.io",
            ),
            "freezing by `enabled: false` (else `automated` is taken out)",
            true,
        );
    }

    /// What the Applications have on a cluster: from Git, from what Argo CD says it manages, and from what is there.
    async fn places(
        &self,
        context: &str,
        apps: &BTreeMap<AppKey, AppSeen>,
        questions: &[Question],
    ) -> Vec<(Place, Users)> {
        let mut kinds: BTreeMap<(String, String), Kind> = BTreeMap::new();
        let mut found: Vec<(&AppSeen, Kind, Option<String>)> = Vec::new();
        let here = |app: &&AppSeen| app.destination.context.as_deref() == Some(context);
        for app in apps.values().filter(here) {
            for (kind, namespace) in objects_of(app) {
                kinds
                    .entry((kind.group.clone(), kind.kind.clone()))
                    .or_insert_with(|| kind.clone());
                found.push((app, kind, namespace));
            }
        }
        let asked: Vec<Kind> = kinds.values().cloned().collect();
        let Some(cluster) = self.in_context(context) else {
            return Vec::new();
        };
        // What is not served, and a server that does not say, are errors of the look already.
        let Ok(answers) = cluster.served(&asked).await else {
            return Vec::new();
        };
        let served: BTreeMap<(String, String), Served> = kinds
            .into_keys()
            .zip(answers)
            .filter_map(|(kind, served)| Some((kind, served?)))
            .collect();
        let disputed: BTreeSet<(&String, &String, Option<&String>)> = questions
            .iter()
            .flat_map(|question| &question.cells)
            .map(|cell| &cell.object)
            .map(|object| (&object.group, &object.kind, object.namespace.as_ref()))
            .collect();
        let mut places: BTreeMap<Place, Users> = BTreeMap::new();
        for (app, kind, namespace) in found {
            let Some(served) = served.get(&(kind.group.clone(), kind.kind.clone())) else {
                continue;
            };
            let namespace = namespace
                .or_else(|| Some(app.destination.namespace.clone()))
                .filter(|namespace| served.namespaced && !namespace.is_empty());
            let disputed = disputed.contains(&(&kind.group, &kind.kind, namespace.as_ref()));
            let users = places
                .entry(Place {
                    context: context.to_owned(),
                    namespace,
                    group: kind.group.clone(),
                    plural: served.plural.clone(),
                })
                .or_default();
            users.secret |= kind.is_secret();
            users.disputed |= disputed;
            let (creates, extra) = one_sided(app, &kind);
            users.creates |= creates;
            users.extra |= extra;
            users.applications.insert(app.key.clone());
        }
        places.into_iter().collect()
    }
}

impl Adding<'_> {
    fn pin(mut self) {
        self.add(
            named("get", "", "namespaces", None, "kube-system"),
            "noticing that another cluster answers than before",
            true,
        );
    }
}

/// Kind and namespace of everything that belongs to an Application, hooks left out.
fn objects_of(app: &AppSeen) -> BTreeSet<(Kind, Option<String>)> {
    let manifests = app
        .rendering
        .iter()
        .flat_map(|rendering| &rendering.objects)
        .map(|rendered| rendered.object.as_ref())
        .chain(app.live_objects());
    let mut objects: BTreeSet<(Kind, Option<String>)> = manifests
        .filter(|object| {
            ObjectRef::from_object(object).is_ok_and(|named| !app.hooks.contains(&named))
        })
        .filter_map(|object| {
            let namespace = object
                .pointer("/metadata/namespace")
                .and_then(Value::as_str);
            Some((Kind::of_object(object)?, namespace.map(str::to_owned)))
        })
        .collect();
    let managed = app
        .object
        .pointer("/status/resources")
        .and_then(Value::as_array);
    for resource in managed.into_iter().flatten() {
        let text = |field: &str| {
            resource
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        if resource.get("hook").and_then(Value::as_bool) != Some(true) && !text("kind").is_empty() {
            let kind = Kind::new(text("group"), text("version"), text("kind"));
            let namespace = Some(text("namespace")).filter(|namespace| !namespace.is_empty());
            objects.insert((kind, namespace.map(str::to_owned)));
        }
    }
    objects
}

/// Whether Git has an object of this kind that is not there, and the other way round. What could not be listed is on neither
/// side.
fn one_sided(app: &AppSeen, kind: &Kind) -> (bool, bool) {
    let keys = |objects: &mut dyn Iterator<Item = &Value>| -> BTreeSet<ObjectKey> {
        objects
            .filter_map(|object| ObjectRef::from_object(object).ok())
            .filter(|object| (&object.group, &object.kind) == (&kind.group, &kind.kind))
            .map(|object| object.key())
            .collect()
    };
    let git = keys(&mut app.desired.iter().map(|desired| desired.object.as_ref()));
    let live = keys(&mut app.live_objects());
    let extra = app.rendering.is_some() && live.difference(&git).next().is_some();
    (git.difference(&live).next().is_some(), extra)
}

fn needs_of_place(place: &Place, users: &Users, needs: &mut Vec<Need>) {
    let may = |verb: &str| {
        Permission::new(
            verb,
            &place.group,
            &place.plural,
            place.namespace.as_deref(),
        )
    };
    let mut adding = Adding {
        needs,
        context: &place.context,
        role: if users.secret {
            Role::Secrets
        } else {
            Role::Observe
        },
        applications: users.applications.iter().cloned().collect(),
    };
    adding.add(may("list"), "seeing what is live", false);
    adding.add(
        may("get"),
        "reading an object again before its sync is predicted or it is acted on",
        false,
    );
    adding.add(
        may("watch"),
        "seeing at once what moves (else listed every 5 s)",
        true,
    );
    // Of a Secret there are digests only: it is never sent, not in a dry run either.
    if users.secret {
        return;
    }
    adding.role = Role::Predict;
    let predicting = "predicting a sync by dry run, and live actions";
    adding.add(may("patch"), predicting, !users.disputed);
    adding.role = Role::Whole;
    if users.extra {
        adding.add(
            may("delete"),
            "deleting what Git does not have, where that is decided",
            true,
        );
    }
    if users.creates {
        adding.add(
            may("create"),
            "predicting by dry run what a sync creates",
            false,
        );
    }
}

fn needs_of_pods(context: &str, apps: &BTreeMap<AppKey, AppSeen>, needs: &mut Vec<Need>) {
    let mut namespaces: BTreeMap<&str, Vec<AppKey>> = BTreeMap::new();
    for app in apps.values() {
        let destination = &app.destination;
        if destination.context.as_deref() == Some(context) && !destination.namespace.is_empty() {
            let here = namespaces.entry(&destination.namespace).or_default();
            here.push(app.key.clone());
        }
    }
    for (namespace, applications) in namespaces {
        let mut adding = Adding {
            needs,
            context,
            role: Role::Observe,
            applications,
        };
        for (verb, what) in [
            ("list", "seeing the pods behind the workloads"),
            (
                "watch",
                "seeing pods change at once (else listed every 5 s)",
            ),
        ] {
            adding.add(
                Permission::new(verb, "", "pods", Some(namespace)),
                what,
                true,
            );
        }
    }
}

/// More reviews that differ in one thing only are worth a review without it before them.
const MANY: usize = 8;

/// Asks about every need. Where the same is needed for many names, or in many namespaces, it is asked without first.
async fn review(cluster: &dyn Cluster, needs: Vec<Need>) -> Vec<(Need, Grant)> {
    let mut counts: BTreeMap<Permission, usize> = BTreeMap::new();
    for need in &needs {
        if let Some(broader) = broader(&need.permission) {
            *counts.entry(broader).or_default() += 1;
        }
    }
    let broad: Vec<Permission> = counts
        .into_iter()
        .filter(|(_, count)| *count > MANY)
        .map(|(permission, _)| permission)
        .collect();
    let granted: BTreeMap<Permission, Grant> = cluster
        .allowed(&broad)
        .await
        .into_iter()
        .filter(|grant| grant.allowed == Some(true))
        .map(|grant| (grant.permission.clone(), grant))
        .collect();
    let covered = |need: &Need| granted.get(&broader(&need.permission)?);
    let single: Vec<Permission> = needs
        .iter()
        .filter(|need| covered(need).is_none())
        .map(|need| need.permission.clone())
        .collect();
    let mut answers = cluster.allowed(&single).await.into_iter();
    needs
        .into_iter()
        .filter_map(|need| {
            let grant = match covered(&need) {
                Some(grant) => Grant {
                    permission: need.permission.clone(),
                    ..grant.clone()
                },
                None => answers.next()?,
            };
            Some((need, grant))
        })
        .collect()
}

/// The same for every name of the namespace, else for every namespace.
fn broader(permission: &Permission) -> Option<Permission> {
    if permission.name.is_some() {
        return Some(Permission {
            name: None,
            ..permission.clone()
        });
    }
    permission.namespace.as_ref()?;
    Some(Permission {
        namespace: None,
        ..permission.clone()
    })
}
