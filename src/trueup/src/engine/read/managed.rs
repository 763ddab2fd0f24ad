//! Which namespaces this Argo CD takes its Applications from.

use serde_json::Value;
use trueup_core::drift::report::ReportError;
use trueup_core::object::identity::{AppKey, ObjectRef};

use super::Reader;

/// `application.namespaces` of an Argo CD: names, patterns with `*` and `?`, and `/regular expressions/`.
#[derive(Debug, Default)]
pub(super) struct Elsewhere(Vec<regex::Regex>);

impl Elsewhere {
    fn parse(setting: &str) -> Self {
        let one = |word: &str| {
            let pattern = match word.strip_prefix('/').and_then(|w| w.strip_suffix('/')) {
                Some(expression) => expression.to_owned(),
                None => {
                    let glob = regex::escape(word).replace(r"\*", ".*").replace(r"\?", ".");
                    format!("^(?:{glob})$")
                }
            };
            // What Argo CD cannot read either matches nothing.
            regex::Regex::new(&pattern).ok()
        };
        let words = setting.split(',').map(str::trim);
        Self(words.filter(|w| !w.is_empty()).filter_map(one).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, namespace: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(namespace))
    }
}

impl Reader {
    /// The namespaces beside its own; none where the setting cannot be read.
    pub(super) async fn elsewhere(&self) -> Elsewhere {
        let settings = ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: Some(self.namespace.clone()),
            name: "argocd-cmd-params-cm".into(),
        };
        match self.hub.get(&settings).await {
            Ok(Some(found)) => Elsewhere::parse(
                found
                    .pointer("/data/application.namespaces")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            ),
            _ => Elsewhere::default(),
        }
    }

    /// No Application is an answer only where there is an Argo CD to have some.
    pub(super) async fn no_namespace(&self) -> Option<ReportError> {
        let namespace = ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "Namespace".into(),
            namespace: None,
            name: self.namespace.clone(),
        };
        match self.hub.get(&namespace).await {
            Ok(None) => Some(ReportError::new(
                format!("read the Applications in namespace {}", self.namespace),
                "there is no such namespace",
                "name Argo CD's namespace with --namespace, and its cluster with --context",
            )),
            _ => None,
        }
    }

    pub(super) fn is_managed(&self, application: &Value, elsewhere: &Elsewhere) -> bool {
        AppKey::from_object(application)
            .is_ok_and(|key| key.namespace == self.namespace || elsewhere.has(&key.namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_patterns_and_expressions() {
        let all = Elsewhere::parse("team-a, app-*,/^x[0-9]$/,[,");
        for (namespace, is) in [
            ("team-a", true),
            ("team-ab", false),
            ("app-", true),
            ("my-app-1", false),
            ("x1", true),
            ("x12", false),
            ("", false),
        ] {
            assert_eq!(all.has(namespace), is, "{namespace}");
        }
        assert!(Elsewhere::parse(" ,").is_empty());
        assert!(Elsewhere::parse("*").has("any"));
    }
}
