//! The real kubectl against the server, where there is one.

use std::process::{Command, Output};

use super::client::Lab;

struct Kubectl {
    dir: std::path::PathBuf,
}

impl Kubectl {
    fn new(lab: &Lab) -> Option<Self> {
        let dir = lab.dir.path().to_owned();
        let config = lab
            .server
            .kubeconfig(&[("admin", lab.server.admin_token())], "admin");
        std::fs::write(dir.join("kubeconfig"), config).unwrap();
        let kubectl = Self { dir };
        if Command::new("kubectl")
            .arg("version")
            .arg("--client")
            .output()
            .is_err()
        {
            eprintln!("skipped: no kubectl on this machine");
            return None;
        }
        Some(kubectl)
    }

    fn run(&self, arguments: &str) -> Output {
        Command::new("kubectl")
            .args(arguments.split_whitespace())
            .current_dir(&self.dir)
            .env("KUBECONFIG", self.dir.join("kubeconfig"))
            .env("HOME", &self.dir)
            .env("KUBE_EDITOR", self.dir.join("editor"))
            .output()
            .unwrap()
    }

    /// Output of a command that must succeed.
    fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Error text of a command that must fail.
    fn fails(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "kubectl {arguments} should fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.dir.join(name), text).unwrap();
    }
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
      - name: api
        image: nginx:1
        env: [{name: A, value: \"1\"}, {name: B, value: \"2\"}]
";

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_works_unchanged() {
    let lab = Lab::start().await.with_argocd().await;
    let Some(kubectl) = Kubectl::new(&lab) else {
        return;
    };
    kubectl.file("d.yaml", DEPLOYMENT);
    kubectl.file("d3.yaml", &DEPLOYMENT.replace("nginx:1", "nginx:3"));
    kubectl.file(
        "d2.yaml",
        &DEPLOYMENT.replace("{name: B, value: \"2\"}", "{name: C, value: \"3\"}"),
    );
    kubectl.file(
        "bad.yaml",
        &DEPLOYMENT.replace("image:", "imageX: a\n        image:"),
    );
    kubectl.file(
        "editor",
        "#!/bin/sh\nsed -i 's/a: \"1\"/a: \"5\"/' \"$1\"\n",
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(kubectl.dir.join("editor"), mode).unwrap();

    assert!(
        kubectl
            .ok("api-resources --api-group=argoproj.io")
            .contains("app,apps")
    );
    kubectl.ok("create configmap c -n shop --from-literal=a=1");
    assert!(
        kubectl
            .ok("get cm -n shop")
            .starts_with("NAME   DATA   AGE")
    );
    kubectl.ok("edit cm c -n shop");
    assert_eq!(kubectl.ok("get cm c -n shop -o jsonpath={.data.a}"), "5");
    assert!(
        kubectl
            .ok("get cm c -n shop -o yaml --show-managed-fields")
            .contains("manager: kubectl-edit")
    );
    assert!(kubectl.ok("describe cm c -n shop").contains("Data"));
    kubectl.ok("annotate cm c -n shop x=y");
    kubectl.ok("wait cm/c -n shop --for=jsonpath={.data.a}=5 --timeout=10s");

    kubectl.ok("apply -f d.yaml");
    assert!(kubectl.ok("apply -f d.yaml").contains("unchanged"));
    let diff = kubectl.run("diff -f d2.yaml");
    assert_eq!(diff.status.code(), Some(1), "a difference was found");
    assert!(String::from_utf8_lossy(&diff.stdout).contains("+        - name: C"));
    assert!(
        kubectl
            .fails("apply -f bad.yaml")
            .contains("unknown field \"spec.template.spec.containers[0].imageX\"")
    );
    kubectl.ok("apply -f d2.yaml");
    assert_eq!(
        kubectl.ok(
            "get deploy api -n shop -o jsonpath={.spec.template.spec.containers[0].env[*].name}"
        ),
        "A C"
    );
    let conflict = kubectl.fails("apply --server-side --field-manager=other -f d3.yaml");
    assert!(
        conflict.contains("conflict with \"kubectl-client-side-apply\""),
        "{conflict}"
    );
    kubectl.ok("apply --server-side --force-conflicts -f d.yaml");
    kubectl.ok("scale deploy api -n shop --replicas=3");
    assert_eq!(
        kubectl.ok("get deploy api -n shop -o jsonpath={.spec.replicas}"),
        "3"
    );
    kubectl.ok("set image deploy/api -n shop api=nginx:2");
    for kind in ["json", "merge", "strategic"] {
        let patch = if kind == "json" {
            r#"[{"op":"add","path":"/metadata/labels","value":{"k":"v"}}]"#
        } else {
            r#"{"metadata":{"labels":{"k":"w"}}}"#
        };
        kubectl.ok(&format!(
            "patch deploy api -n shop --type={kind} -p {patch}"
        ));
    }
    assert!(
        kubectl
            .fails(
                r#"patch cm c -n shop --type=json -p [{"op":"test","path":"/data/a","value":"x"}]"#
            )
            .contains("the server rejected our request due to an error in our request")
    );

    assert_eq!(
        kubectl.ok("auth can-i patch applications -n shop").trim(),
        "yes"
    );
    assert_eq!(
        kubectl
            .run("auth can-i delete cm -n shop --as nobody")
            .stdout,
        b"no\n"
    );
    kubectl.ok("create sa bot -n shop");
    assert!(kubectl.ok("create token bot -n shop").len() > 20);
    assert!(
        kubectl
            .ok("explain application.spec.syncPolicy.automated")
            .contains("selfHeal")
    );
    assert_eq!(kubectl.ok("get --raw /readyz"), "ok");
    kubectl.ok("delete deploy api -n shop");
    kubectl.ok("delete ns shop --timeout=20s");
    assert!(kubectl.fails("get cm c -n shop").contains("not found"));
}
