//! Hooks: what a sync runs, and what is no part of the comparison.

use serde_json::Value;

const HOOK: &str = "argocd.argoproj.io/hook";
const HELM_HOOK: &str = "helm.sh/hook";

/// Whether Argo CD leaves an object out of the comparison because it is a hook, or is marked to be skipped. Helm marks definitions of
/// resources as hooks too, and those are applied like everything else.
///
/// <https://github.com/argoproj/argo-cd/blob/master/gitops-engine/pkg/sync/hook/helm/hook.go>
pub fn is_hook(object: &Value) -> bool {
    let metadata = object.get("metadata");
    let Some(annotations) = metadata.and_then(|metadata| metadata.get("annotations")) else {
        return false;
    };
    let helm = annotations.get(HELM_HOOK);
    annotations.get(HOOK).is_some() || helm.is_some_and(|kinds| kinds != "crd-install")
}
