//! Pods of a ReplicaSet: as many as it asks for, running at once.

use serde_json::{Value, json};

use super::{Worker, owned_by, owner, pod, safe_name};
use crate::argo::now;
use crate::cluster::{ApiError, PatchKind, Ref};

pub fn is_ready(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && pod["status"]["conditions"].as_array().is_some_and(|list| {
            list.iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        })
}

/// What admission adds to every Pod: the account's token, how long a lost node is borne, a priority.
fn admitted(spec: &mut Value, suffix: &str) {
    let lost = |key: &str| json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    spec["priority"] = json!(0);
    spec["preemptionPolicy"] = json!("PreemptLowerPriority");
    spec["tolerations"] = json!([lost("not-ready"), lost("unreachable")]);
    let name = format!("kube-api-access-{suffix}");
    let token = json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}});
    let mount = json!({"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
    push(&mut spec["volumes"], token);
    for kind in ["initContainers", "containers"] {
        for container in spec[kind].as_array_mut().into_iter().flatten() {
            push(&mut container["volumeMounts"], mount.clone());
        }
    }
}

fn push(list: &mut Value, item: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(item),
        None => *list = json!([item]),
    }
}

impl Worker {
    /// Brings the Pods of a set to their number and writes its status; gives how many are ready.
    pub(super) async fn replica_set(
        &mut self,
        set: &Value,
        namespace: &str,
    ) -> Result<i64, ApiError> {
        let Some(target) = Ref::of(set) else {
            return Ok(0);
        };
        let wanted = usize::try_from(set["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
        let mut pods = self.controllers.list(&pod(), namespace).await?;
        pods.retain(|pod| owned_by(pod, set) && pod["metadata"]["deletionTimestamp"].is_null());
        while pods.len() > wanted {
            let Some(surplus) = pods.pop() else { break };
            if let Some(surplus) = Ref::of(&surplus) {
                self.controllers.delete(&surplus, "Background").await?;
            }
        }
        while pods.len() < wanted {
            let object = self.new_pod(set, namespace);
            pods.push(self.controllers.create(&object).await?);
        }
        let mut ready = 0;
        for pod in &pods {
            if !is_ready(pod) {
                self.run_pod(pod).await?;
            }
            ready += 1;
        }
        let mut status = json!({"observedGeneration": set["metadata"]["generation"], "replicas": ready,
            "fullyLabeledReplicas": ready, "readyReplicas": ready, "availableReplicas": ready});
        if ready == 0 {
            for key in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
                status[key] = Value::Null;
            }
        }
        self.status(&self.controllers, &target, &set["status"], status)
            .await?;
        Ok(ready)
    }

    fn new_pod(&mut self, set: &Value, namespace: &str) -> Value {
        self.address += 1;
        let name = set["metadata"]["name"].as_str().unwrap_or_default();
        let suffix = safe_name(format!("{namespace}/{name}/{}", self.address).as_bytes(), 5);
        let template = &set["spec"]["template"];
        let mut spec = template["spec"].clone();
        spec["nodeName"] = json!("lab-node");
        admitted(&mut spec, &suffix);
        let mut metadata = json!({"name": format!("{name}-{suffix}"), "namespace": namespace, "generateName": format!("{name}-"),
            "ownerReferences": [owner(set, "apps/v1", "ReplicaSet")]});
        for key in ["labels", "annotations"] {
            if template["metadata"][key].is_object() {
                metadata[key] = template["metadata"][key].clone();
            }
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    }

    /// What the kubelet reports about a Pod whose containers have all started.
    async fn run_pod(&mut self, pod: &Value) -> Result<(), ApiError> {
        let Some(target) = Ref::of(pod) else {
            return Ok(());
        };
        self.address += 1;
        let at = now();
        let address = format!(
            "10.42.{}.{}",
            (self.address / 250) % 250,
            self.address % 250 + 2
        );
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": at});
        let containers: Vec<Value> = pod["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|container| {
                let image = container["image"].as_str().unwrap_or_default();
                json!({"name": container["name"], "image": image, "imageID": format!("lab://{image}"), "ready": true, "started": true,
                    "restartCount": 0, "lastState": {}, "state": {"running": {"startedAt": at}}})
            })
            .collect();
        let status = json!({
            "phase": "Running", "hostIP": "10.42.0.1", "podIP": address, "podIPs": [{"ip": address}], "qosClass": "BestEffort", "startTime": at,
            "conditions": [condition("PodScheduled"), condition("Initialized"), condition("ContainersReady"), condition("Ready")],
            "containerStatuses": containers,
        });
        self.kubelet
            .patch(
                &target,
                "status",
                PatchKind::Merge,
                &json!({"status": status}),
            )
            .await?;
        Ok(())
    }
}
