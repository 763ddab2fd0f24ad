//! What no reader of types sees: whether a plan speaks of what it has, and of a time that is still to come.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{BadPlan, Gate, Plan};
use crate::{decision::Take, object::identity::AppKey, text, until};

fn invalid<T>(why: impl AsRef<str>) -> Result<T, BadPlan> {
    Err(BadPlan::Invalid(text::line(why.as_ref())))
}

impl Plan {
    pub(super) fn check(&self) -> Result<(), BadPlan> {
        if self.scope.is_empty() {
            return invalid("`scope` names no Application");
        }
        for (name, gate) in &self.gates {
            check_gate(name, gate)?;
        }
        for step in &self.sync {
            for gate in &step.then {
                if gate != "healthy" && !self.gates.contains_key(gate) {
                    return invalid(format!(
                        "`sync` of {} names the gate `{gate}`, which `gates` does not have",
                        step.application
                    ));
                }
            }
        }
        if let Some(branch) = &self.commit.branch
            && let Err(why) = crate::forge::branch_name(branch)
        {
            return invalid(format!("`commit.branch` is `{branch}`: {why}"));
        }
        for decision in &self.decisions {
            for field in decision.fields.iter().chain(decision.expect.keys()) {
                if let Err(why) = field.parse::<crate::object::path::Pattern>() {
                    return invalid(format!("`{field}` is no field pattern: {why}"));
                }
            }
            if let Take::Snapshot(kept) = &decision.take {
                let one = |field: &String| field.parse::<crate::object::path::FieldPath>().is_ok();
                if kept.value.is_none() {
                    return invalid(format!(
                        "`snapshot` on {} {} has no `value`: a snapshot belongs to the incident that took it",
                        decision.on.kind, decision.on.name
                    ));
                }
                if decision.fields.len() != 1 || !decision.fields.iter().all(one) {
                    return invalid(format!(
                        "`snapshot` on {} {} is for several fields: its `value` is that of one, so name each in a decision of its own",
                        decision.on.kind, decision.on.name
                    ));
                }
            }
            if let Take::Later(later) = &decision.take {
                if later.owner.trim().is_empty() {
                    return invalid(format!(
                        "`later` on {} {} has no `owner`: say who takes it over",
                        decision.on.kind, decision.on.name
                    ));
                }
                if let Err(why) = later.until.parse::<until::Until>() {
                    return invalid(format!(
                        "`until` of {} {}: {why}",
                        decision.on.kind, decision.on.name
                    ));
                }
            }
        }
        let meant = |name: &str, other: &str| {
            let bare = |name: &str| !name.contains('/');
            let last = |name: &str| name.rsplit('/').next().map(str::to_owned);
            name == other || ((bare(name) || bare(other)) && last(name) == last(other))
        };
        self.names(|name| self.scope.iter().any(|other| meant(name, other)))?;
        once("scope", self.scope.iter().cloned())?;
        once("sync", self.sync.iter().map(|s| s.application.clone()))?;
        once("thaw.order", self.thaw.order.iter().cloned())
    }

    /// The same once it is known which namespace a name without one means.
    pub fn in_namespace(&self, namespace: &str) -> Result<(), BadPlan> {
        let key = |name: &String| match name.split_once('/') {
            Some((namespace, name)) => AppKey::new(namespace, name),
            None => AppKey::new(namespace, name.as_str()),
        };
        let scope: Vec<AppKey> = self.scope.iter().map(key).collect();
        let name = |name: &String| {
            named(&scope, namespace, name).map_or_else(|| name.clone(), AppKey::to_string)
        };
        self.names(|name| named(&scope, namespace, name).is_some())?;
        once("scope", scope.iter().map(AppKey::to_string))?;
        once("sync", self.sync.iter().map(|s| name(&s.application)))?;
        once("thaw.order", self.thaw.order.iter().map(name))?;
        let targets = self.targets.keys().filter(|name| *name != "*");
        once("targets", targets.map(name))
    }

    /// What is put off is put off to a time that is still to come.
    pub fn in_time(&self, now: Timestamp) -> Result<(), BadPlan> {
        for decision in &self.decisions {
            if let Take::Later(later) = &decision.take
                && let Err(why) = until::to_come(&later.until, now)
            {
                return invalid(format!(
                    "`until` of {} {}: {why}",
                    decision.on.kind, decision.on.name
                ));
            }
        }
        Ok(())
    }

    /// Every Application that the plan speaks of has to be in its scope: what is said of another would be heard by nobody.
    fn names(&self, known: impl Fn(&str) -> bool) -> Result<(), BadPlan> {
        let any = |name: &&String| *name != "*";
        let targets = self
            .targets
            .keys()
            .filter(any)
            .map(|name| ("targets", name));
        let sync = self.sync.iter().map(|step| ("sync", &step.application));
        let thaw = self.thaw.order.iter().map(|name| ("thaw.order", name));
        let act = self.act.iter().map(|act| ("act", &act.application));
        let on = self.decisions.iter().map(|d| &d.on.application);
        let on = on
            .filter(any)
            .map(|name| ("decisions.on.application", name));
        let live = self.decisions.iter().filter_map(|d| match &d.take {
            Take::Live(of) => of.application.as_ref(),
            _ => None,
        });
        let live = live.map(|name| ("take.live.application", name));
        let health = self.gates.values().filter_map(|gate| match gate {
            Gate::Measured(gate) => gate.health.as_ref()?.application.as_ref(),
            Gate::Manual(_) => None,
        });
        let health = health.map(|name| ("gates.health.application", name));
        let mut all = targets
            .chain(sync)
            .chain(thaw)
            .chain(act)
            .chain(on)
            .chain(live)
            .chain(health);
        match all.find(|(_, name)| !known(name)) {
            Some((place, name)) => invalid(format!(
                "`{place}` names {name}, which `scope` does not have: it has {}",
                self.scope.join(", ")
            )),
            None => Ok(()),
        }
    }
}

/// The Application of the scope that a name means: with a namespace exactly that one, without one the one beside
/// Argo CD before all others.
pub fn named<'s>(scope: &'s [AppKey], namespace: &str, name: &str) -> Option<&'s AppKey> {
    let exact = scope.iter().find(|key| key.to_string() == name);
    let here = || {
        let mut all = scope.iter();
        all.find(|key| key.name == name && key.namespace == namespace)
    };
    let anywhere = || scope.iter().find(|key| key.name == name);
    exact.or_else(here).or_else(anywhere)
}

fn once(place: &str, names: impl Iterator<Item = String>) -> Result<(), BadPlan> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return invalid(format!(
                "`{place}` names {name} twice, and only one of the two could count"
            ));
        }
    }
    Ok(())
}

fn check_gate(name: &str, gate: &Gate) -> Result<(), BadPlan> {
    let Gate::Measured(gate) = gate else {
        return Ok(());
    };
    let kinds = [
        gate.prometheus.is_some(),
        gate.http.is_some(),
        gate.command.is_some(),
        gate.field.is_some(),
        gate.quiet.is_some(),
        gate.health.is_some(),
    ];
    if kinds.iter().filter(|given| **given).count() != 1 {
        return invalid(format!(
            "gate `{name}` needs exactly one of prometheus, http, command, field, quiet, health, manual"
        ));
    }
    if let Some(p) = &gate.prometheus
        && let Err(why) = p.is.parse::<crate::gate::Comparison>()
    {
        return invalid(format!("gate `{name}`: {why}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
apiVersion: trueup.dev/v1
kind: Plan
incident: INC-1
scope: [auth, other/like]
targets: {"*": {policy: declared}, auth: {policy: found}}
decisions:
- {on: {kind: ConfigMap, name: c, application: auth}, fields: [.data.a], take: {live: {application: like}}}
- {on: {kind: ConfigMap, name: c}, fields: [.data.b], take: {later: {how: keepLive, owner: jo, until: 2026-12-01}}}
gates:
  look: {manual: fresh}
  well: {health: {application: like}}
sync:
- {application: auth, then: [healthy]}
- {application: like, then: [look, well]}
act: [{application: auth, object: Deployment/d, action: {restart: {}}}]
thaw: {order: [argocd/auth, other/like]}
"#;

    fn whole(text: &str) -> Result<Plan, BadPlan> {
        let plan = Plan::parse(text)?;
        plan.in_namespace("argocd")?;
        plan.in_time("2026-11-21T00:00:00Z".parse().unwrap())?;
        Ok(plan)
    }

    #[test]
    fn what_is_said_of_an_application_outside_the_scope_is_refused_and_not_left_out() {
        whole(PLAN).unwrap();
        for (from, to, wanted) in [
            (
                "{application: like, then: [look, well]}",
                "{application: profile, then: [look, well]}",
                "`sync` names profile, which `scope` does not have: it has auth, other/like",
            ),
            (
                "{application: like, then: [look, well]}",
                "{application: other/auth, then: [look]}",
                "`sync` names other/auth, which `scope`",
            ),
            (
                "auth: {policy: found}",
                "auht: {policy: found}",
                "`targets` names auht",
            ),
            (
                "order: [argocd/auth",
                "order: [prod/auth",
                "`thaw.order` names prod/auth",
            ),
            (
                "act: [{application: auth",
                "act: [{application: a",
                "`act` names a,",
            ),
            (
                "c, application: auth}",
                "c, application: x}",
                "`decisions.on.application` names x",
            ),
            (
                "{live: {application: like}}",
                "{live: {application: x}}",
                "`take.live.application` names x",
            ),
            (
                "health: {application: like}",
                "health: {application: x}",
                "`gates.health.application` names x",
            ),
            (
                "- {application: like,",
                "- {application: argocd/auth,",
                "`sync` names argocd/auth twice",
            ),
            (
                "scope: [auth,",
                "scope: [auth, argocd/auth,",
                "`scope` names argocd/auth twice",
            ),
            (
                "scope: [auth,",
                "scope: [auth, auth,",
                "`scope` names auth twice",
            ),
            (
                "auth: {policy: found}",
                "auth: {policy: found}, argocd/auth: {policy: declared}",
                "`targets` names argocd/auth twice",
            ),
            (
                "until: 2026-12-01",
                "until: tomorrow",
                "`until` of ConfigMap c: `tomorrow` is neither a date",
            ),
            (
                "until: 2026-12-01",
                "until: 2020-01-01",
                "`until` of ConfigMap c: 2020-01-01 is over",
            ),
            (
                "owner: jo",
                "owner: \" \"",
                "`later` on ConfigMap c has no `owner`: say who takes it over",
            ),
        ] {
            let text = PLAN.replacen(from, to, 1);
            assert_ne!(text, PLAN, "{from}");
            let why = whole(&text).unwrap_err().to_string();
            let why = why.strip_prefix("the plan is not usable: ").unwrap();
            assert!(why.starts_with(wanted), "{why}");
        }
    }

    #[test]
    fn a_bare_name_means_the_one_beside_argo_cd_before_all_others() {
        let scope: Vec<AppKey> = ["other/a", "argocd/a", "other/b"]
            .map(|key| key.parse().unwrap())
            .to_vec();
        let found = |name: &str| named(&scope, "argocd", name).map(AppKey::to_string);
        assert_eq!(found("a").as_deref(), Some("argocd/a"));
        assert_eq!(found("other/a").as_deref(), Some("other/a"));
        assert_eq!(found("b").as_deref(), Some("other/b"));
        assert_eq!(found("argocd/b"), None);
    }
}
