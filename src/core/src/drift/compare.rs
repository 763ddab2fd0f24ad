//! One Application: its objects paired up, what differs in them, and what is hidden as noise.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::classify::{self, Context, Verdict};
use super::marks;
use super::report::{Class, Noise, ReportError, Source};
use super::{AppInput, Desired};
use crate::object::diff::diff;
use crate::object::hook::is_hook;
use crate::object::identity::{AppKey, ObjectKey, ObjectRef};
use crate::object::listkeys::order_matters;
use crate::object::live::Live;
use crate::object::managed::{Managed, ManagerClass};
use crate::object::normalise::{INSTANCE_LABEL, TRACKING_ID, bookkeeping, is_same, strip};
use crate::object::path::FieldPath;
use crate::object::redact;
use crate::policy::{self, AutoSync, StandingChange};

/// An object as it came in, and without bookkeeping for those who ask: of most objects nobody does.
struct Side<'a> {
    raw: Raw<'a>,
    content: OnceCell<Box<Value>>,
}

#[derive(Clone, Copy)]
enum Raw<'a> {
    Tree(&'a Value),
    Live(&'a Live),
}

impl<'a> Raw<'a> {
    fn tree(self) -> &'a Value {
        match self {
            Raw::Tree(tree) => tree,
            Raw::Live(live) => live,
        }
    }
}

impl<'a> Side<'a> {
    fn new(raw: Raw<'a>) -> Self {
        Self {
            raw,
            content: OnceCell::new(),
        }
    }

    fn content(&self) -> &Value {
        self.content
            .get_or_init(|| Box::new(content(self.raw.tree())))
    }
}

/// One object on all its sides.
pub(super) struct Pair<'a> {
    pub object: ObjectRef,
    git: Option<Side<'a>>,
    base: Option<Side<'a>>,
    live: Option<Side<'a>>,
    managed: OnceCell<Managed>,
    pub source: Option<Source>,
    /// The fields that differ and are no noise.
    pub differs: BTreeMap<FieldPath, Verdict>,
}

impl Pair<'_> {
    /// Git's object without bookkeeping; the other sides likewise.
    pub fn git(&self) -> Option<&Value> {
        self.git.as_ref().map(Side::content)
    }

    pub fn base(&self) -> Option<&Value> {
        self.base.as_ref().map(Side::content)
    }

    pub fn live(&self) -> Option<&Value> {
        self.live.as_ref().map(Side::content)
    }

    pub fn managed(&self) -> &Managed {
        self.managed.get_or_init(|| {
            let live = self.live.as_ref();
            live.map(|live| Managed::read(live.raw.tree()))
                .unwrap_or_default()
        })
    }

    /// Both sides are there: the object can be compared with its copies field by field.
    pub fn is_whole(&self) -> bool {
        self.git.is_some() && self.live.is_some()
    }
}

/// One Application, compared.
pub(super) struct Compared<'a> {
    pub key: AppKey,
    pub input: &'a AppInput,
    pub pairs: Vec<Pair<'a>>,
    noise: BTreeMap<(Class, &'static str), usize>,
    auto_sync: OnceCell<AutoSync>,
}

/// Takes the object apart from what names it: that is compared by pairing.
fn content(object: &Value) -> Value {
    let mut object = strip(object).object;
    for path in [
        &["apiVersion"][..],
        &["kind"],
        &["metadata", "name"],
        &["metadata", "namespace"],
    ] {
        FieldPath::keys(path.iter().copied()).remove(&mut object);
    }
    if object
        .get("metadata")
        .and_then(Value::as_object)
        .is_some_and(|m| m.is_empty())
    {
        FieldPath::keys(["metadata"]).remove(&mut object);
    }
    object
}

fn is_secret(what: &ObjectRef) -> bool {
    what.kind == "Secret" && what.group.is_empty()
}

/// A Secret that came in unredacted gives no value away: it is left out.
fn withhold<'a>(
    object: &'a Value,
    what: &ObjectRef,
    errors: &mut Vec<ReportError>,
) -> Option<&'a Value> {
    if !is_secret(what) || redact::is_clean(object) {
        return Some(object);
    }
    errors.push(ReportError::new(
        format!("compare {what}"),
        "its values came in readable and are withheld",
        "report this: secrets must be redacted where they are read",
    ));
    None
}

fn tracked_by(object: &Value, app: &AppKey) -> bool {
    let of = |part: &str, name: &str| {
        object
            .get("metadata")
            .and_then(|m| m.get(part))
            .and_then(|p| p.get(name))
            .and_then(Value::as_str)
    };
    let instances = [app.name.clone(), format!("{}_{}", app.namespace, app.name)];
    match of("annotations", TRACKING_ID) {
        Some(id) => id
            .split_once(':')
            .is_some_and(|(instance, _)| instances.iter().any(|i| i == instance)),
        None => of("labels", INSTANCE_LABEL).is_some_and(|l| instances.iter().any(|i| i == l)),
    }
}

struct Sides<'a> {
    git: Option<(&'a Desired, ObjectRef)>,
    base: Option<&'a Value>,
    live: Option<&'a Live>,
    defaulted: Option<&'a Value>,
}

/// Finds the objects of all sides by identity. An object that Git renders without namespace is looked up in the
/// destination's when the live one has it.
fn pair_up<'a>(
    app: &'a AppInput,
    destination: Option<&str>,
    errors: &mut Vec<ReportError>,
) -> Vec<(ObjectKey, Sides<'a>)> {
    // Sought by hash: most of a key is the same in all of an Application's objects.
    let mut out: HashMap<ObjectKey, Sides> = HashMap::with_capacity(app.live.len());
    let empty = || Sides {
        git: None,
        base: None,
        live: None,
        defaulted: None,
    };
    for object in &app.live {
        match object.reference() {
            Ok(r) => {
                out.entry(r.into_key()).or_insert_with(empty).live = Some(object);
            }
            Err(why) => errors.push(ReportError::new(
                "read a live object",
                why,
                "leave it out, or look at it with kubectl get -o yaml",
            )),
        }
    }
    let place = |mut r: ObjectRef, out: &HashMap<ObjectKey, Sides>| {
        let is_live = |r: &ObjectRef| out.get(&r.key()).is_some_and(|sides| sides.live.is_some());
        if r.namespace.is_none() && !is_live(&r) {
            r.namespace = destination.map(str::to_owned);
            if !is_live(&r) && is_cluster_scoped(&r) {
                r.namespace = None;
            }
        }
        r
    };
    for desired in app.desired.iter().filter(|d| !is_hook(&d.object)) {
        match ObjectRef::from_object(&desired.object) {
            Ok(r) => {
                let r = place(r, &out);
                // Of two sources that render one object the last one wins, as in Argo CD.
                let key = r.key();
                out.entry(key).or_insert_with(empty).git = Some((desired, r));
            }
            Err(why) => errors.push(ReportError::new(
                format!("read {} in {}", desired.file, desired.repo),
                why,
                "every document must be a Kubernetes object",
            )),
        }
    }
    for base in app
        .base
        .iter()
        .flatten()
        .filter(|o| !is_hook(o))
        .map(Arc::as_ref)
    {
        if let Ok(r) = ObjectRef::from_object(base) {
            let key = place(r, &out).into_key();
            out.entry(key).or_insert_with(empty).base = Some(base);
        }
    }
    for object in app.server_defaults.iter().flatten() {
        let Ok(r) = ObjectRef::from_object(object) else {
            continue;
        };
        let key = place(r, &out).into_key();
        if let Some(sides) = out.get_mut(&key) {
            sides.defaulted = Some(object);
        }
    }
    let mut out: Vec<(ObjectKey, Sides)> = out
        .into_iter()
        .filter(|(_, sides)| sides.git.is_some() || sides.live.is_some())
        .collect();
    out.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    out
}

fn is_cluster_scoped(r: &ObjectRef) -> bool {
    r.kind.starts_with("Cluster")
        || matches!(
            r.kind.as_str(),
            "Namespace"
                | "Node"
                | "PersistentVolume"
                | "StorageClass"
                | "IngressClass"
                | "PriorityClass"
                | "CustomResourceDefinition"
                | "APIService"
                | "MutatingWebhookConfiguration"
                | "ValidatingWebhookConfiguration"
                | "ValidatingAdmissionPolicy"
                | "ValidatingAdmissionPolicyBinding"
        )
}

pub(super) fn compare<'a>(
    key: AppKey,
    input: &'a AppInput,
    now: Timestamp,
    errors: &mut Vec<ReportError>,
) -> Compared<'a> {
    let destination = input
        .application
        .pointer("/spec/destination/namespace")
        .and_then(Value::as_str);
    let mut compared = Compared {
        key,
        input,
        pairs: Vec::new(),
        noise: BTreeMap::new(),
        auto_sync: OnceCell::new(),
    };
    let scaled = marks::autoscaled(&input.live);
    let paired = pair_up(input, destination, errors);
    compared.pairs.reserve_exact(paired.len());
    for (_, sides) in paired {
        let Some(object) = sides
            .git
            .as_ref()
            .map(|(_, r)| r.clone())
            .or_else(|| sides.live.and_then(|l| l.reference().ok()))
        else {
            continue;
        };
        if sides.git.is_none() && !compared.is_own(&sides, &object) {
            continue;
        }
        let pair = compared.pair(object, &sides, &scaled, now, errors);
        compared.pairs.extend(pair);
    }
    // Here, where many are compared beside each other.
    compared.auto_sync();
    compared
}

impl<'a> Compared<'a> {
    /// A live object that Git does not have is ours when it carries our mark and nobody made it from another one.
    fn is_own(&self, sides: &Sides, object: &ObjectRef) -> bool {
        let Some(live) = sides.live else { return false };
        let made = live
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .is_some_and(|o| !o.is_empty());
        let prunable = self
            .input
            .application
            .pointer("/status/resources")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .any(|r| {
                let is = |name: &str, want: &str| {
                    r.get(name).and_then(Value::as_str).unwrap_or_default() == want
                };
                r.get("requiresPruning") == Some(&Value::Bool(true))
                    && is("kind", &object.kind)
                    && is("name", &object.name)
                    && is("group", &object.group)
                    && is("namespace", object.namespace.as_deref().unwrap_or_default())
            });
        !made && !is_hook(live) && (prunable || tracked_by(live, &self.key))
    }

    fn count(&mut self, class: Class, reason: &'static str) {
        *self.noise.entry((class, reason)).or_default() += 1;
    }

    fn pair(
        &mut self,
        object: ObjectRef,
        sides: &Sides<'a>,
        scaled: &BTreeSet<(String, String, String)>,
        now: Timestamp,
        errors: &mut Vec<ReportError>,
    ) -> Option<Pair<'a>> {
        let raw = |value: Option<&'a Value>, errors: &mut Vec<ReportError>| match value {
            Some(v) => withhold(v, &object, errors).map(Some),
            None => Some(None),
        };
        let git = raw(sides.git.as_ref().map(|(d, _)| d.object.as_ref()), errors)?;
        let live = match sides.live {
            Some(live) if is_secret(&object) => {
                withhold(live, &object, errors)?;
                Some(live)
            }
            live => live,
        };
        let base = raw(sides.base, errors)?;
        let defaulted = raw(sides.defaulted, errors)?;
        if let (Some(git), Some(live)) = (git, live)
            && git.get("apiVersion").and_then(Value::as_str) != Some(live.api_version())
        {
            errors.push(ReportError::new(
                format!("compare {object}"),
                format!(
                    "Git says {} and the cluster was read at {}",
                    super::show(git.get("apiVersion")),
                    super::show(Some(&Value::from(live.api_version())))
                ),
                "read the object at Git's version; fields that moved between versions are shown as differences",
            ));
        }
        let mut pair = Pair {
            git: git.map(Raw::Tree).map(Side::new),
            base: base.map(Raw::Tree).map(Side::new),
            live: live.map(Raw::Live).map(Side::new),
            managed: OnceCell::new(),
            source: sides.git.as_ref().map(|(d, _)| Source {
                repo: d.repo.clone(),
                path: d.file.clone(),
                line: d.line,
            }),
            object,
            differs: BTreeMap::new(),
        };
        // Bookkeeping that Git has no word about differs, whatever it is.
        let at_a_glance = git.zip(live).and_then(|(git, live)| {
            let silent = |path: &FieldPath| path.get(git).is_none_or(Value::is_null);
            live.same_as(git).filter(|noise| noise.iter().all(silent))
        });
        if let Some(bookkeeping) = at_a_glance {
            for _ in bookkeeping {
                self.count(Class::ServerNoise, classify::SERVER_NOISE);
            }
            return Some(pair);
        }
        if live.is_some_and(|live| !live.is_sound()) {
            errors.push(ReportError::new(
                format!("read {}", pair.object),
                "what the server sent of it is no JSON that can be kept",
                "leave it out, or look at it with kubectl get -o yaml",
            ));
            return None;
        }
        let live: Option<&'a Value> = live.map(|live| &**live);
        let mut noise = Vec::new();
        let mut found = BTreeMap::new();
        let changes = match (git, live) {
            (Some(git), Some(live)) if is_same(git, live) => Some(Vec::new()),
            (Some(_), Some(_)) => pair
                .git()
                .zip(pair.live())
                .map(|(git, live)| diff(git, live, &pair.object.kind)),
            _ => None,
        };
        if changes.as_ref().is_none_or(|c| !c.is_empty()) {
            let context = Context {
                app: &self.key,
                pair: &pair,
                base_known: self.input.base.is_some(),
                git_raw: git,
                live_raw: live,
                filled: git.map(|g| content(&crate::object::defaults::fill(g))),
                dry_run: defaulted.map(content),
                applied: live.and_then(policy::last_applied).map(|v| content(&v)),
                autoscaled: scaled.contains(&(
                    pair.object.kind.clone(),
                    pair.object.namespace.clone().unwrap_or_default(),
                    pair.object.name.clone(),
                )),
                reverted: &self.input.reverted,
                application: &self.input.application,
                now,
            };
            let kind = &pair.object.kind;
            match changes {
                None => drop(found.insert(FieldPath::root(), context.whole())),
                Some(changes) => {
                    for change in changes {
                        let silent = change.is_cosmetic(kind)
                            && !(change.order_only && order_matters(kind, &change.path));
                        let verdict = match silent {
                            true => Verdict::noise(Class::Cosmetic, classify::COSMETIC),
                            false => context.field(&change),
                        };
                        match verdict.noise {
                            Some(reason) => noise.push((verdict.class, reason)),
                            None => drop(found.insert(change.path, verdict)),
                        }
                    }
                }
            }
        }
        for path in live.map(bookkeeping).unwrap_or_default() {
            let in_git = git.and_then(|g| path.get(g));
            if in_git != live.and_then(|l| path.get(l)) {
                noise.push((Class::ServerNoise, classify::SERVER_NOISE));
            }
        }
        pair.differs = found;
        for (class, reason) in noise {
            self.count(class, reason);
        }
        Some(pair)
    }

    pub fn status(&self, pointer: &str) -> String {
        self.input
            .application
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("Unknown")
            .to_owned()
    }

    /// One entry for each class, with all reasons.
    pub fn noise(&self) -> Vec<Noise> {
        let mut out: Vec<Noise> = Vec::new();
        for ((class, reason), count) in &self.noise {
            match out.last_mut().filter(|n| n.class == *class) {
                Some(noise) => {
                    noise.count += count;
                    noise.reason = format!("{}; {reason}", noise.reason);
                }
                None => out.push(Noise {
                    class: *class,
                    count: *count,
                    reason: (*reason).to_owned(),
                }),
            }
        }
        out
    }

    /// The live changes that self-heal would have undone: fields that the last sync brought, changed by anybody but
    /// Argo CD. Fields that only live live are invisible to it and prove nothing.
    pub fn auto_sync(&self) -> &AutoSync {
        self.auto_sync.get_or_init(|| self.find_auto_sync())
    }

    fn find_auto_sync(&self) -> AutoSync {
        let mut standing = Vec::new();
        for pair in &self.pairs {
            if pair.differs.is_empty() {
                continue;
            }
            let (Some(base), Some(live)) = (pair.base(), pair.live()) else {
                continue;
            };
            for path in pair.differs.keys().filter(|p| !p.is_root()) {
                let (Some(synced), Some(now)) = (path.get(base), path.get(live)) else {
                    continue;
                };
                let writer = pair.managed().writer(path);
                if synced == now || writer.is_none_or(|w| w.class() == ManagerClass::Gitops) {
                    continue;
                }
                if let Some((writer, time)) = writer.and_then(|w| Some((w, w.time?))) {
                    standing.push(StandingChange {
                        time,
                        manager: writer.manager.clone(),
                        what: format!("{path} of {}", pair.object),
                    });
                }
            }
        }
        policy::auto_sync(
            &self.input.application,
            self.input.declared.as_ref(),
            &standing,
        )
    }
}
