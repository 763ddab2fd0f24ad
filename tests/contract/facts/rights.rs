//! What rights come to: facts that the shipped roles rest on. The reader has those for looking.

use anyhow::{Context as _, ensure};
use http::Method;
use serde_json::{Value, json};

use super::world::{World, answer};

type Seen = anyhow::Result<Value>;

const APPLICATIONS: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications";
const SETTINGS: &str = "/api/v1/namespaces/argocd/configmaps";

async fn read(world: &World, path: &str) -> String {
    answer(&world.reader.send(Method::GET, path, "", None).await)
}

/// So `patch` on an Application is everything: spec, operation and status.
pub async fn an_application_has_no_subresources(world: &World) -> Seen {
    let served = world
        .us
        .send(Method::GET, "/apis/argoproj.io/v1alpha1", "", None)
        .await?;
    let names: Vec<&str> = served["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|resource| resource["name"].as_str())
        .filter(|name| *name == "applications" || name.starts_with("applications/"))
        .collect();
    ensure!(names == ["applications"], "{names:?}");
    Ok(json!(names))
}

/// Where it stands there, a freeze can be `enabled: false`.
pub async fn the_definition_says_whether_automated_has_enabled(world: &World) -> Seen {
    let definition = world
        .us
        .send(
            Method::GET,
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/applications.argoproj.io",
            "",
            None,
        )
        .await?;
    let automated = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/syncPolicy/properties/automated/properties/enabled/type";
    let kind = definition.pointer(automated).context("there is none")?;
    Ok(kind.clone())
}

pub async fn a_right_by_name_is_no_right_to_another_name_nor_to_list(world: &World) -> Seen {
    let named = read(world, &format!("{SETTINGS}/argocd-cmd-params-cm")).await;
    let other = read(world, &format!("{SETTINGS}/argocd-cm")).await;
    let listed = read(world, SETTINGS).await;
    ensure!(
        named == "200" && other == "403 Forbidden" && listed == "403 Forbidden",
        "{named}, {other}, {listed}"
    );
    Ok(json!([named, other, listed]))
}

/// So to list the Applications is to see every one of the namespace.
pub async fn a_right_to_list_is_one_to_all_of_the_namespace_and_to_no_other(world: &World) -> Seen {
    let here = read(world, APPLICATIONS).await;
    let elsewhere = read(world, &APPLICATIONS.replace("/argocd/", "/auth/")).await;
    let everywhere = read(world, "/apis/argoproj.io/v1alpha1/applications").await;
    ensure!(
        here == "200" && elsewhere == "403 Forbidden" && everywhere == "403 Forbidden",
        "{here}, {elsewhere}, {everywhere}"
    );
    Ok(json!([here, elsewhere, everywhere]))
}

pub async fn a_dry_run_needs_the_right_to_write(world: &World) -> Seen {
    let path = "/api/v1/namespaces/auth/configmaps";
    let label = json!({"metadata": {"labels": {"x": "y"}}});
    let made = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tried"}});
    let merge = "application/merge-patch+json";
    let apply = "application/apply-patch+yaml";
    let mut said = Vec::new();
    for (method, name, content, body) in [
        (Method::PATCH, "/auth-config", merge, &label),
        (Method::PATCH, "/tried", apply, &made),
        (Method::POST, "", "application/json", &made),
    ] {
        let path = format!("{path}{name}?dryRun=All&fieldManager=trueup");
        let answered = world.reader.send(method, &path, content, Some(body)).await;
        said.push(answer(&answered));
    }
    ensure!(said.iter().all(|said| said == "403 Forbidden"), "{said:?}");
    Ok(json!(said))
}

/// Through `system:basic-user` and `system:discovery`, which are not in the roles.
pub async fn everybody_may_ask_for_rights_and_find_kinds(world: &World) -> Seen {
    let mut said = Vec::new();
    for path in ["/version", "/api", "/apis", "/apis/argoproj.io/v1alpha1"] {
        said.push(read(world, path).await);
    }
    let group = "authorization.k8s.io/v1";
    let ask = json!({"apiVersion": group, "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"verb": "delete", "resource": "nodes"}}});
    let path = format!("/apis/{group}/selfsubjectaccessreviews");
    let asked = world
        .reader
        .send(Method::POST, &path, "application/json", Some(&ask));
    said.push(answer(&asked.await));
    ensure!(said.iter().all(|said| said == "200"), "{said:?}");
    Ok(json!(said))
}
