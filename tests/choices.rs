//! Choices that change more than a value: ignoring a field from now on, and objects as a whole. Each is walked to the
//! end on a lab, and what stands in Git and in the cluster afterwards is read from them.
#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

mod support;

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use support::{FAST, Lab, Ran, command, run, trueup};
use trueup::{
    adapters::kube::{ConnectOptions, KubeCluster},
    ports::{Cluster, no_log},
};
use trueup_core::{event::Effect, object::identity::ObjectRef, run::Run};

/// The incident's other copies take what auth runs with; `{}` is what the test decides beside that.
fn plan(decisions: &str, expect: &str) -> String {
    format!(
        "apiVersion: trueup.dev/v1
kind: Plan
incident: INC-441
scope: [auth-service, like-service, profile-service]
targets: {{\"*\": {{policy: declared}}}}
decisions:
{decisions}
- on: {{kind: ConfigMap, name: auth-config, namespace: \"*\"}}
  fields: [\".data.*\"]
  take: {{live: {{namespace: auth}}}}
  reason: the hotfix is the truth
commit: {{branch: main}}
sync:
- {{application: auth-service, expect: no-change}}
- {{application: like-service{expect}, then: [healthy]}}
- {{application: profile-service, then: [healthy]}}
thaw: {{order: [auth-service, like-service, profile-service]}}
"
    )
}

struct Walk {
    lab: Lab,
    home: tempfile::TempDir,
}

impl Walk {
    fn new() -> Self {
        Self {
            lab: Lab::start(&FAST),
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn command(&self, arguments: &[&str]) -> Ran {
        let mut command = command(&trueup(), self.home.path());
        command.args(self.lab.options());
        command.arg("--state-dir").arg(self.state()).args(arguments);
        run(command)
    }

    fn walk(&self, plan: &str) -> Ran {
        let file = self.home.path().join("plan.yaml");
        fs::write(&file, plan).unwrap();
        let file = file.display().to_string();
        self.command(&["-o", "json", "--write", "all", "run", &file])
    }

    fn folded(&self) -> Run {
        let incident = "INC-441".parse().unwrap();
        let lines = trueup::journal::read(&self.state(), &incident).unwrap();
        Run::fold(lines.iter().map(|line| &line.record))
    }

    fn get(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut options = ConnectOptions::new([7; 32], no_log());
            options.kubeconfig = Some(self.lab.text("kubeconfig").into());
            let cluster = KubeCluster::connect(options).await.unwrap();
            let object = ObjectRef {
                group: group.into(),
                version: if group == "argoproj.io" {
                    "v1alpha1"
                } else {
                    "v1"
                }
                .into(),
                kind: kind.into(),
                namespace: Some(namespace.into()),
                name: name.into(),
            };
            cluster.get(&object).await.unwrap()
        })
    }

    fn application(&self, name: &str) -> Value {
        self.get("argoproj.io", "Application", "argocd", name)
            .unwrap()
    }
}

#[test]
fn a_field_that_is_ignored_from_now_on_is_declared_and_no_sync_writes_it() {
    let walk = Walk::new();
    let ignore = "- on: {kind: ConfigMap, name: auth-config, namespace: like}
  fields: [\".data.*\"]
  take: ignore
  reason: like sets its own";
    let ran = walk.walk(&plan(ignore, ", expect: no-change"));
    assert_eq!(ran.code, Some(0), "{ran:?}");

    // The whole walk listed each kind once and watched it from there.
    let lists = walk.lab.lists();
    assert!(lists.contains_key("applications") && lists.contains_key("configmaps"));
    assert!(lists.values().all(|count| *count == 1), "{lists:?}");

    // In Git: one rule for the object, in the document of that Application, and nothing else of the file moves.
    let before = walk.lab.git(&["show", "main~1:argocd/applications.yaml"]);
    let after = walk.lab.git(&["show", "main:argocd/applications.yaml"]);
    let rule = "    namespace: like
  syncPolicy:
    automated:
      prune: true
      selfHeal: true
";
    let wanted = format!(
        "{rule}    syncOptions:
      - RespectIgnoreDifferences=true
  ignoreDifferences:
    - kind: ConfigMap
      name: auth-config
      namespace: like
      jsonPointers:
        - /data/JWT_ALGORITHM
        - /data/JWT_PUBLIC_KEY_ID
"
    );
    assert_eq!(after, before.replace(rule, &wanted));
    let config = walk.lab.git(&["show", "main:deploy/like/auth-config.yaml"]);
    assert!(config.contains("JWT_ALGORITHM: \"HS256\""), "{config}");

    // Live: the same on the Application, and the ConfigMap as it was found, through a sync and with auto-sync on again.
    let like = walk.application("like-service");
    assert_eq!(
        like["spec"]["ignoreDifferences"][0]["jsonPointers"],
        json!(["/data/JWT_ALGORITHM", "/data/JWT_PUBLIC_KEY_ID"])
    );
    let policy = json!({"automated": {"prune": true, "selfHeal": true}, "syncOptions": ["RespectIgnoreDifferences=true"]});
    assert_eq!(like["spec"]["syncPolicy"], policy);
    assert_eq!(like["status"]["sync"]["status"], "Synced");
    let config = walk.get("", "ConfigMap", "like", "auth-config").unwrap();
    assert_eq!(config["data"]["JWT_ALGORITHM"], "RS256");

    // One write of its own for it, after the push and before that Application's sync.
    let run = walk.folded();
    let verbs: Vec<&str> = run
        .op_order
        .iter()
        .map(|op| &run.ops[op].effect)
        .filter(|effect| {
            effect
                .application()
                .is_none_or(|key| key.name == "like-service")
        })
        .map(Effect::verb)
        .collect();
    assert_eq!(
        verbs,
        [
            "freeze",
            "push",
            "change of what is ignored",
            "sync",
            "thaw"
        ]
    );

    // Nothing is asked about it any more, and it is said why.
    let ran = walk.command(&["-o", "json", "drift", "like-service"]);
    let report = ran.document();
    assert_eq!(report["questions"], json!([]), "{report}");
    let noise = report["applications"][0]["noise"].to_string();
    assert!(noise.contains("ignored by the Application"), "{noise}");
}
