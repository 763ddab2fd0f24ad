//! What the server fills in by itself (`pkg/apis/*/v1/defaults.go` upstream), and the canonical form of quantities.

use serde_json::{Map, Value, json};

use super::kinds::Resource;

/// Sets `key` if it is absent.
fn set(map: &mut Value, key: &str, value: Value) {
    if let Some(map) = map.as_object_mut() {
        map.entry(key.to_owned()).or_insert(value);
    }
}

fn child<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    set(value, key, json!({}));
    &mut value[key]
}

fn each<'a>(value: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    value
        .get_mut(list)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// Static defaults of a kind. Allocated values (cluster IPs, uid) are not here: nobody owns those.
pub fn fill(kind: &Resource, object: &mut Value) {
    match kind.kind.as_str() {
        "Namespace" => {
            if let Some(name) = object.pointer("/metadata/name").cloned() {
                let labels = child(child(object, "metadata"), "labels");
                if let Some(labels) = labels.as_object_mut() {
                    labels.insert("kubernetes.io/metadata.name".into(), name);
                }
            }
        }
        "Secret" => secret(object),
        "Service" => service(object),
        "Pod" => {
            let spec = child(object, "spec");
            pod_spec(spec);
            set(spec, "enableServiceLinks", json!(true));
            set(spec, "serviceAccountName", json!("default"));
            for container in each(spec, "containers") {
                if let Some(limits) = container.pointer("/resources/limits").cloned() {
                    let requests = child(child(container, "resources"), "requests");
                    for (name, limit) in limits.as_object().into_iter().flatten() {
                        set(requests, name, limit.clone());
                    }
                }
            }
        }
        "Deployment" => {
            let spec = child(object, "spec");
            set(spec, "replicas", json!(1));
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "progressDeadlineSeconds", json!(600));
            let strategy = child(spec, "strategy");
            set(strategy, "type", json!("RollingUpdate"));
            if strategy["type"] == "RollingUpdate" {
                let rolling = child(strategy, "rollingUpdate");
                set(rolling, "maxUnavailable", json!("25%"));
                set(rolling, "maxSurge", json!("25%"));
            }
            template(spec);
        }
        "ReplicaSet" => {
            let spec = child(object, "spec");
            set(spec, "replicas", json!(1));
            template(spec);
        }
        "StatefulSet" => {
            let spec = child(object, "spec");
            set(spec, "replicas", json!(1));
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "podManagementPolicy", json!("OrderedReady"));
            let update = child(spec, "updateStrategy");
            set(update, "type", json!("RollingUpdate"));
            if update["type"] == "RollingUpdate" {
                set(child(update, "rollingUpdate"), "partition", json!(0));
            }
            let retention = child(spec, "persistentVolumeClaimRetentionPolicy");
            set(retention, "whenDeleted", json!("Retain"));
            set(retention, "whenScaled", json!("Retain"));
            template(spec);
        }
        "DaemonSet" => {
            let spec = child(object, "spec");
            set(spec, "revisionHistoryLimit", json!(10));
            let update = child(spec, "updateStrategy");
            set(update, "type", json!("RollingUpdate"));
            if update["type"] == "RollingUpdate" {
                let rolling = child(update, "rollingUpdate");
                set(rolling, "maxUnavailable", json!(1));
                set(rolling, "maxSurge", json!(0));
            }
            template(spec);
        }
        "Job" => job(child(object, "spec")),
        "CronJob" => {
            let spec = child(object, "spec");
            set(spec, "concurrencyPolicy", json!("Allow"));
            set(spec, "suspend", json!(false));
            set(spec, "successfulJobsHistoryLimit", json!(3));
            set(spec, "failedJobsHistoryLimit", json!(1));
            template(child(child(spec, "jobTemplate"), "spec"));
        }
        "HorizontalPodAutoscaler" => set(child(object, "spec"), "minReplicas", json!(1)),
        "RoleBinding" | "ClusterRoleBinding" => {
            set(
                child(object, "roleRef"),
                "apiGroup",
                json!("rbac.authorization.k8s.io"),
            );
            for subject in each(object, "subjects") {
                if subject["kind"] != "ServiceAccount" {
                    set(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
                }
            }
        }
        "CustomResourceDefinition" => {
            let spec = child(object, "spec");
            set(child(spec, "conversion"), "strategy", json!("None"));
            let names = child(spec, "names");
            if let Some(kind) = names.get("kind").and_then(Value::as_str).map(str::to_owned) {
                set(names, "singular", json!(kind.to_lowercase()));
                set(names, "listKind", json!(format!("{kind}List")));
            }
        }
        _ => {}
    }
}

/// Containers that are there in every stored object of the kind, so that nobody is recorded as their creator.
pub fn skeleton(kind: &Resource) -> Value {
    let mut out = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {}});
    let pod = || json!({"metadata": {}, "spec": {"containers": []}});
    let spec = match kind.kind.as_str() {
        "Deployment" => json!({"strategy": {}, "template": pod()}),
        "StatefulSet" | "DaemonSet" => json!({"updateStrategy": {}, "template": pod()}),
        "ReplicaSet" | "Job" => json!({"template": pod()}),
        "CronJob" => json!({"jobTemplate": {"metadata": {}, "spec": {"template": pod()}}}),
        "Pod" => json!({"containers": []}),
        "Service" | "Namespace" | "Lease" | "HorizontalPodAutoscaler" => json!({}),
        "CustomResourceDefinition" => json!({"names": {}}),
        _ => return out,
    };
    out["spec"] = spec;
    if kind.has_status() {
        out["status"] = if kind.kind == "Service" {
            json!({"loadBalancer": {}})
        } else {
            json!({})
        };
    }
    out
}

fn secret(object: &mut Value) {
    use base64::Engine;
    set(object, "type", json!("Opaque"));
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let Some(plain) = map.shift_remove("stringData") else {
        return;
    };
    let data = child(object, "data");
    for (key, value) in plain.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or("");
        data[key] = json!(base64::engine::general_purpose::STANDARD.encode(text));
    }
}

fn service(object: &mut Value) {
    let spec = child(object, "spec");
    set(spec, "sessionAffinity", json!("None"));
    set(spec, "type", json!("ClusterIP"));
    let kind = spec["type"].as_str().unwrap_or("").to_owned();
    if kind != "ExternalName" {
        set(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        set(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    for port in each(spec, "ports") {
        set(port, "protocol", json!("TCP"));
        let target = port.get("targetPort");
        if target.is_none_or(|t| t == &json!(0) || t == &json!("")) {
            port["targetPort"] = port["port"].clone();
        }
    }
    set(child(object, "status"), "loadBalancer", json!({}));
}

fn job(spec: &mut Value) {
    set(spec, "completions", json!(1));
    set(spec, "parallelism", json!(1));
    set(spec, "backoffLimit", json!(6));
    set(spec, "completionMode", json!("NonIndexed"));
    set(spec, "suspend", json!(false));
    set(spec, "manualSelector", json!(false));
    set(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
    template(spec);
}

fn template(spec: &mut Value) {
    let template = child(spec, "template");
    child(template, "metadata");
    pod_spec(child(template, "spec"));
}

fn pod_spec(spec: &mut Value) {
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "securityContext", json!({}));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "schedulerName", json!("default-scheduler"));
    // The deprecated alias is kept in step with the field.
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set(spec, "serviceAccount", account);
    }
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["containers", "initContainers"] {
        for container in each(spec, list) {
            self::container(container, host_network);
        }
    }
    for volume in each(spec, "volumes") {
        self::volume(volume);
    }
}

fn container(container: &mut Value, host_network: bool) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or("");
    let last = image.rsplit('/').next().unwrap_or("");
    let floating =
        !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    set(
        container,
        "imagePullPolicy",
        json!(if floating { "Always" } else { "IfNotPresent" }),
    );
    set(
        container,
        "terminationMessagePath",
        json!("/dev/termination-log"),
    );
    set(container, "terminationMessagePolicy", json!("File"));
    set(container, "resources", json!({}));
    for port in each(container, "ports") {
        set(port, "protocol", json!("TCP"));
        if host_network {
            let number = port["containerPort"].clone();
            set(port, "hostPort", number);
        }
    }
    for env in each(container, "env") {
        if let Some(field) = env.pointer_mut("/valueFrom/fieldRef") {
            set(field, "apiVersion", json!("v1"));
        }
    }
    for group in ["limits", "requests"] {
        let quantities = container
            .get_mut("resources")
            .and_then(|r| r.get_mut(group))
            .and_then(Value::as_object_mut);
        for quantity in quantities.into_iter().flat_map(Map::values_mut) {
            if let Some(text) = quantity.as_str().and_then(canonical_quantity) {
                *quantity = json!(text);
            }
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name) {
            set(probe, "timeoutSeconds", json!(1));
            set(probe, "periodSeconds", json!(10));
            set(probe, "successThreshold", json!(1));
            set(probe, "failureThreshold", json!(3));
            http_get(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = container.pointer_mut(&format!("/lifecycle/{hook}")) {
            http_get(handler);
        }
    }
}

fn http_get(handler: &mut Value) {
    if let Some(http) = handler.get_mut("httpGet") {
        set(http, "path", json!("/"));
        set(http, "scheme", json!("HTTP"));
    }
    if let Some(grpc) = handler.get_mut("grpc") {
        set(grpc, "service", json!(""));
    }
}

fn volume(volume: &mut Value) {
    if volume.as_object().is_some_and(|v| v.len() == 1) {
        set(volume, "emptyDir", json!({}));
    }
    for source in ["secret", "configMap", "projected", "downwardAPI"] {
        if let Some(source) = volume.get_mut(source) {
            set(source, "defaultMode", json!(420));
        }
    }
    if let Some(host) = volume.get_mut("hostPath") {
        set(host, "type", json!(""));
    }
    if let Some(projected) = volume.get_mut("projected") {
        for source in each(projected, "sources") {
            if let Some(token) = source.get_mut("serviceAccountToken") {
                set(token, "expirationSeconds", json!(3600));
            }
        }
    }
}

/// The canonical text of a quantity (`resource.Quantity`): binary suffixes stay binary, decimals shrink to the largest suffix
/// without a fraction, finer than milli rounds up. `None` if it is no quantity.
pub fn canonical_quantity(text: &str) -> Option<String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '+' && c != '-')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let negative = number.starts_with('-');
    let digits = number.trim_start_matches(['+', '-']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = &fraction[..fraction.len().min(9)];
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    // In thousandths, rounded up.
    let scale = |factor_thousandths: i128| {
        let divisor = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let scaled = mantissa.checked_mul(factor_thousandths)?;
        Some(scaled.div_euclid(divisor) + i128::from(scaled.rem_euclid(divisor) != 0))
    };
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let sign = if negative { "-" } else { "" };
    if let Some(power) = binary.iter().position(|s| *s == suffix) {
        let power = u32::try_from(power).ok()? + 1;
        let milli = scale(1024i128.checked_pow(power)?.checked_mul(1000)?)?;
        if milli % 1000 != 0 {
            return Some(format!("{sign}{milli}m"));
        }
        let mut value = milli / 1000;
        let mut at = 0;
        while value != 0 && value % 1024 == 0 && at < binary.len() {
            value /= 1024;
            at += 1;
        }
        return Some(format!(
            "{sign}{value}{}",
            if at == 0 { "" } else { binary[at - 1] }
        ));
    }
    let exponent = match suffix {
        "m" => 0,
        "" => 3,
        "k" => 6,
        "M" => 9,
        "G" => 12,
        "T" => 15,
        "P" => 18,
        "E" => 21,
        _ => return None,
    };
    let mut value = scale(10i128.checked_pow(exponent)?)?;
    let suffixes = ["m", "", "k", "M", "G", "T", "P", "E"];
    let mut at = 0;
    while value != 0 && value % 1000 == 0 && at + 1 < suffixes.len() {
        value /= 1000;
        at += 1;
    }
    if value == 0 {
        at = 1;
    }
    Some(format!("{sign}{value}{}", suffixes[at]))
}
