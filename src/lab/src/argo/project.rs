//! What an Application's project and destination allow.

use globset::GlobBuilder;
use serde_json::Value;

use super::compare::Condition;
use crate::cluster::{Cluster, Gvk, Ref};

fn matches(pattern: &str, text: &str) -> bool {
    // Negated patterns deny; the lab's projects have none, so one that cannot be read simply does not match.
    GlobBuilder::new(pattern)
        .build()
        .is_ok_and(|glob| glob.compile_matcher().is_match(text))
}

/// The server that `in-cluster` names.
const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// Refuses what the real controller calls an invalid spec.
pub async fn check(
    application: &Value,
    source: &Value,
    cluster: &Cluster,
) -> Result<(), Condition> {
    let invalid = |why: String| Condition::new("InvalidSpecError", why);
    let spec = &application["spec"];
    let destination = &spec["destination"];
    let (server, name) = (
        destination["server"].as_str().unwrap_or_default(),
        destination["name"].as_str().unwrap_or_default(),
    );
    match (server, name) {
        ("", "") => {
            return Err(invalid(
                "Destination server missing from app spec".to_owned(),
            ));
        }
        (IN_CLUSTER, "") | ("", "in-cluster") => {}
        (server, "") => {
            return Err(invalid(format!(
                "there are no clusters with this server: {server}"
            )));
        }
        ("", name) => {
            return Err(invalid(format!(
                "there are no clusters with this name: {name}"
            )));
        }
        _ => {
            return Err(invalid(
                "application destination can't have both name and server defined".to_owned(),
            ));
        }
    }
    let project_name = spec["project"]
        .as_str()
        .filter(|name| !name.is_empty())
        .unwrap_or("default");
    let namespace = application["metadata"]["namespace"]
        .as_str()
        .unwrap_or_default();
    let project = cluster
        .get(&Ref::new(Gvk::project(), namespace, project_name))
        .await
        .map_err(|error| {
            Condition::new(
                "UnknownError",
                format!("reading the project {project_name}: {error}"),
            )
        })?
        .ok_or_else(|| {
            invalid(format!(
                "Application referencing project {project_name} which does not exist"
            ))
        })?;
    let url = source["repoURL"].as_str().unwrap_or_default();
    let repositories = project["spec"]["sourceRepos"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if !repositories
        .iter()
        .filter_map(Value::as_str)
        .any(|pattern| pattern == "*" || matches(pattern, url))
    {
        return Err(invalid(format!(
            "application repo {url} is not permitted in project '{project_name}'"
        )));
    }
    let wanted = destination["namespace"].as_str().unwrap_or_default();
    let allowed = project["spec"]["destinations"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|allowed| {
            let server = allowed["server"].as_str().unwrap_or_default();
            let name = allowed["name"].as_str().unwrap_or_default();
            let at = (!server.is_empty() && matches(server, IN_CLUSTER))
                || (!name.is_empty() && matches(name, "in-cluster"));
            at && matches(allowed["namespace"].as_str().unwrap_or_default(), wanted)
        });
    if !allowed {
        return Err(invalid(format!(
            "application destination server '{IN_CLUSTER}' and namespace '{wanted}' do not match any of the allowed destinations in project '{project_name}'"
        )));
    }
    Ok(())
}
