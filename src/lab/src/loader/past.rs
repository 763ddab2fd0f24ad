//! Giving an object a past: managed-fields entries with an earlier time.

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Ref};

/// Attempts before a controller that keeps writing the same object is given up on.
const ATTEMPTS: usize = 20;

pub fn stamp(at: Timestamp) -> String {
    crate::argo::stamp(at)
}

/// Nobody's name: entries bear it for the moment between the two writes of [`backdate`].
const MEANWHILE: &str = "scenario-loader";

/// Dates the entries of `manager` (Update, on the object itself) back to `at`.
///
/// In two writes, the entry given to nobody and then back with its new time: an API server undoes a write that moves nothing but the times of managed
/// fields (`IgnoreManagedFieldsTimestampsTransformer`), and one that takes the last entry away starts ownership anew.
pub async fn backdate(
    cluster: &Cluster,
    id: &Ref,
    manager: &str,
    at: Timestamp,
) -> anyhow::Result<()> {
    let what = || {
        format!(
            "dating {manager} back on {} {}/{}",
            id.gvk.kind, id.namespace, id.name
        )
    };
    let cluster = cluster.speaking_as(manager);
    for (from, to) in [(manager, MEANWHILE), (MEANWHILE, manager)] {
        rename(&cluster, id, from, to, &stamp(at))
            .await
            .with_context(what)?;
    }
    Ok(())
}

fn is_by(entry: &Value, manager: &str) -> bool {
    entry["manager"] == manager
        && entry["operation"] == "Update"
        && entry["subresource"].as_str().unwrap_or_default().is_empty()
}

async fn rename(
    cluster: &Cluster,
    id: &Ref,
    from: &str,
    to: &str,
    time: &str,
) -> anyhow::Result<()> {
    for _ in 0..ATTEMPTS {
        let mut object = cluster.get(id).await?.context("the object is gone")?;
        let mut entries = object["metadata"]["managedFields"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut found = false;
        for entry in entries.iter_mut().filter(|entry| is_by(entry, from)) {
            entry["manager"] = json!(to);
            entry["time"] = json!(time);
            found = true;
        }
        if !found {
            bail!("{from} has no entry in the managed fields");
        }
        entries.sort_by_key(|entry| entry["time"].as_str().unwrap_or_default().to_owned());
        object["metadata"]["managedFields"] = json!(entries);
        match cluster.replace(&object).await {
            Err(error) if error.code() == 409 => {}
            other => return other.map(|_| ()).context("replacing the object"),
        }
    }
    bail!("somebody else kept writing it");
}
