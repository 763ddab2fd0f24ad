//! What a cluster has before a scenario: an Argo CD installation, and accounts for the actors.

use anyhow::{Context as _, anyhow};
use serde_json::json;

use crate::api::ARGOCD_CRDS;
use crate::cluster::{Cluster, Ref};
use crate::{loader, manifests};

/// Argo CD's namespace in the lab.
pub const NAMESPACE: &str = "argocd";

/// What an Argo CD installation brings: its CRDs, its namespace, its settings and the project `default`.
pub async fn argocd(admin: &Cluster) -> anyhow::Result<()> {
    for name in ["kube-system", "default", NAMESPACE] {
        loader::ensure_namespace(admin, name).await?;
    }
    for text in ARGOCD_CRDS {
        for object in manifests::parse(text).map_err(|why| anyhow!("an embedded CRD: {why}"))? {
            admin
                .create(&object)
                .await
                .context("creating a CRD of Argo CD")?;
        }
    }
    let settings = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "argocd"}}})
    };
    let mut general = settings("argocd-cm");
    general["data"] = json!({"application.resourceTrackingMethod": "annotation", "timeout.reconciliation": "120s"});
    let objects = [
        general,
        // As it comes with Argo CD: nothing is set.
        settings("argocd-cmd-params-cm"),
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default", "namespace": NAMESPACE},
            "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}], "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}}),
    ];
    for object in objects {
        let what = Ref::of(&object)
            .map(|id| format!("{} {}", id.gvk.kind, id.name))
            .unwrap_or_default();
        admin
            .create(&object)
            .await
            .with_context(|| format!("creating {what}"))?;
    }
    Ok(())
}

/// Makes a ServiceAccount that may do everything, and gives a token of it.
pub async fn account(admin: &Cluster, namespace: &str, name: &str) -> anyhow::Result<String> {
    let objects = [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}]}),
    ];
    for object in objects {
        admin
            .create(&object)
            .await
            .with_context(|| format!("making the account {namespace}/{name}"))?;
    }
    admin.service_account_token(namespace, name).await
}
