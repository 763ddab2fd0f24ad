//! Choices that change more than a value: ignoring a field from now on, and objects as a whole. Each is walked to the
//! end on a lab, and what stands in Git and in the cluster afterwards is read from them.

use std::{fs, path::PathBuf};

use crate::support::{FAST, Lab, Ran, command, run, trueup};
use serde_json::{Value, json};
use trueup::ports::{Cluster, WriteKind, WriteRequest};
use trueup_core::{
    event::{Effect, Event},
    object::identity::ObjectRef,
    run::Run,
};

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
            home: crate::support::scratch(),
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
        let version = match group {
            "argoproj.io" => "v1alpha1",
            _ => "v1",
        };
        let object = ObjectRef {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            namespace: Some(namespace.into()),
            name: name.into(),
        };
        self.lab
            .with_cluster(async |cluster| cluster.get(&object).await.unwrap())
    }

    /// Somebody makes an object by hand.
    fn create(&self, object: &Value) {
        let request = WriteRequest {
            object: ObjectRef::from_object(object).unwrap(),
            kind: WriteKind::Create,
            body: object.clone(),
            dry_run: false,
            field_manager: "kubectl-create".into(),
            subresource: None,
        };
        self.lab
            .with_cluster(async |cluster| cluster.write(&request).await.unwrap());
    }

    /// Somebody pushes files to the tracked branch.
    fn push_files(&self, files: &[(&str, &str)]) {
        let clone = self.home.path().join("clone");
        let url = self.lab.repository().display().to_string();
        let clone = clone.display().to_string();
        let git = |arguments: &[&str]| {
            let mut git = command(std::path::Path::new("git"), self.home.path());
            git.args(["-c", "user.name=ann", "-c", "user.email=ann@example.org"]);
            git.args(arguments);
            let ran = run(git);
            assert_eq!(ran.code, Some(0), "git {arguments:?}: {ran:?}");
        };
        git(&["clone", "-q", &url, &clone]);
        for (path, text) in files {
            fs::write(format!("{clone}/{path}"), text).unwrap();
        }
        git(&["-C", &clone, "add", "."]);
        git(&["-C", &clone, "commit", "-qm", "more of like"]);
        git(&["-C", &clone, "push", "-q", "origin", "main"]);
    }

    /// The open questions, as ids.
    fn questions(&self) -> Vec<String> {
        let report = self
            .command(&["-o", "json", "drift", "like-service"])
            .document();
        let questions = report["questions"].as_array().unwrap();
        questions.iter().map(|q| q["id"].to_string()).collect()
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

    // Each thaw was watched for as long as auto-sync takes to act, and the next one came after that.
    let incident = "INC-441".parse().unwrap();
    let mut thawed = None;
    let mut watched = 0;
    for line in trueup::journal::read(&walk.state(), &incident).unwrap() {
        let at = line.record.time;
        match &line.record.event {
            Event::Intended {
                effect: Effect::Thaw { .. },
                ..
            } => assert_eq!(
                thawed.replace(at),
                None,
                "the one before it is watched still"
            ),
            Event::ThawWatched { round: 2, .. } => {
                let held = at.duration_since(thawed.take().unwrap());
                assert!(held.as_millis() >= 400, "{held}");
                watched += 1;
            }
            _ => {}
        }
    }
    assert_eq!(watched, 3);

    // The note of the freeze says in the same patch what holds from then on, and what stood before.
    let patch = run.ops.values().find_map(|op| match &op.effect {
        Effect::Ignore { patch, .. } => Some(patch.clone()),
        _ => None,
    });
    let note = patch.unwrap().as_array().unwrap().iter().find_map(|op| {
        let text = op["value"]
            .as_str()
            .filter(|_| op["path"].as_str().unwrap().contains("frozen"))?;
        Some(serde_json::from_str::<Value>(text).unwrap())
    });
    let note = note.expect("the patch brings the note");
    assert_eq!(note["found"]["syncOptions"], policy["syncOptions"]);
    assert_eq!(
        note["beforeIgnore"],
        json!({"ignoreDifferences": null, "syncOptions": null})
    );

    // Nothing is asked about it any more, and it is said why.
    let ran = walk.command(&["-o", "json", "drift", "like-service"]);
    let report = ran.document();
    assert_eq!(report["questions"], json!([]), "{report}");
    let noise = report["applications"][0]["noise"].to_string();
    assert!(noise.contains("ignored by the Application"), "{noise}");
}

/// A ConfigMap as somebody makes it by hand, with the mark of like-service on it.
fn marked(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "like", "annotations": {
            "argocd.argoproj.io/tracking-id": format!("like-service:/ConfigMap:like/{name}"),
        }},
        "data": data,
    })
}

fn deletions(lab: &Lab) -> Vec<Value> {
    let mut all = lab.writes();
    all.retain(|entry| entry["verb"] == "delete" && entry["objectRef"]["resource"] == "configmaps");
    all
}

const TWO: &str = "# what like serves\n\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: routes   # kept\ndata:\n  a: \"1\"\n---\n# nobody needs it any more\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: banner\ndata:\n  text: hello\n";
const ONE: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: motd\ndata:\n  text: hello\n";

#[test]
fn objects_as_a_whole_are_made_kept_taken_out_of_git_and_deleted_as_decided() {
    let walk = Walk::new();
    walk.push_files(&[
        ("deploy/like/extra.yaml", TWO),
        ("deploy/like/motd.yaml", ONE),
    ]);
    for (name, data) in [
        ("stray", json!({"left": "behind"})),
        ("flags", json!({"beta": "on", "script": "a\nb\n"})),
        ("stopgap", json!({"k": "v"})),
    ] {
        walk.create(&marked(name, data));
    }

    // What Git does not have, and what is not live, are questions of their own, with the content as their value.
    let report = walk
        .command(&["-o", "json", "drift", "like-service"])
        .document();
    let whole: Vec<(&str, bool, bool)> = report["questions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|q| q["field"] == ".")
        .map(|q| {
            let cell = &q["cells"][0];
            (
                q["name"].as_str().unwrap(),
                cell["git"].is_object(),
                cell["live"].is_object(),
            )
        })
        .collect();
    assert_eq!(
        whole,
        [
            ("banner", true, false),
            ("flags", false, true),
            ("motd", true, false),
            ("routes", true, false),
            ("stopgap", false, true),
            ("stray", false, true),
        ]
    );

    let on = |name: &str, take: &str| {
        format!(
            "- on: {{kind: ConfigMap, name: {name}, namespace: like}}\n  fields: [\".\"]\n  take: {take}\n  reason: {name}\n"
        )
    };
    let decisions = [
        on("banner", "live"),
        on("flags", "live"),
        on("motd", "remove"),
        on("routes", "git"),
        on(
            "stopgap",
            "{later: {how: keepLive, owner: jo, until: \"2099-01-01\"}}",
        ),
        on("stray", "remove"),
    ]
    .concat();

    let uid = walk.get("", "ConfigMap", "like", "stray").unwrap()["metadata"]["uid"].clone();
    let ran = walk.walk(&plan(decisions.trim_end(), ""));
    assert_eq!(ran.code, Some(0), "{ran:?}");

    // In Git: one document gone and every other byte there; a file gone; two new files, as a person would write them.
    let show = |path: &str| walk.lab.git(&["show", &format!("main:{path}")]);
    let (rest, _) = TWO.split_once("---\n").unwrap();
    assert_eq!(show("deploy/like/extra.yaml"), rest.trim_end());
    assert_eq!(
        show("deploy/like/configmap-flags.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: flags\n  namespace: like\ndata:\n  beta: \"on\"\n  script: |\n    a\n    b"
    );
    let changed = walk
        .lab
        .git(&["diff", "--no-renames", "--name-status", "main~1", "main"]);
    let changed: Vec<&str> = changed
        .lines()
        .filter(|line| line.contains("deploy/like"))
        .collect();
    assert_eq!(
        changed,
        [
            "M\tdeploy/like/auth-config.yaml",
            "A\tdeploy/like/configmap-flags.yaml",
            "A\tdeploy/like/configmap-stopgap.yaml",
            "M\tdeploy/like/extra.yaml",
            "D\tdeploy/like/motd.yaml",
        ]
    );

    // In the cluster: made, kept as it was, not made, deleted.
    let get = |name: &str| walk.get("", "ConfigMap", "like", name);
    assert_eq!(get("routes").unwrap()["data"], json!({"a": "1"}));
    assert_eq!(get("flags").unwrap()["data"]["beta"], "on");
    assert!(get("stopgap").is_some());
    assert_eq!(
        [get("banner"), get("motd"), get("stray")],
        [None, None, None]
    );
    let like = walk.application("like-service");
    assert_eq!(like["status"]["sync"]["status"], "Synced");

    // Exactly one deletion, of exactly that object, with what was confirmed as its precondition.
    let deleted = deletions(&walk.lab);
    assert_eq!(deleted.len(), 1, "{deleted:#?}");
    assert_eq!(deleted[0]["objectRef"]["name"], "stray");
    let sent = &deleted[0]["requestObject"]["preconditions"];
    assert_eq!(sent["uid"], uid, "{deleted:#?}");
    assert!(sent["resourceVersion"].is_string(), "{deleted:#?}");

    // Its place in the walk: after the sync that makes what is new, and by itself.
    let run = walk.folded();
    let verbs: Vec<&str> = run
        .op_order
        .iter()
        .map(|op| &run.ops[op].effect)
        .filter(|e| e.application().is_none_or(|key| key.name == "like-service"))
        .map(Effect::verb)
        .collect();
    assert_eq!(verbs, ["freeze", "push", "sync", "deletion", "thaw"]);

    // What is owed, what was shown, and the way there by hand.
    let owed: Vec<String> = run.obligations().into_iter().map(|o| o.what).collect();
    assert_eq!(owed.len(), 1, "{owed:?}");
    assert!(
        owed[0].starts_with("ConfigMap/stopgap in like") && owed[0].contains("kept live for now"),
        "{owed:?}"
    );
    let proof = run
        .op_order
        .iter()
        .find_map(|op| match &run.ops[op].effect {
            Effect::Push { .. } => Some(run.ops[op].shown.join("\n")),
            _ => None,
        });
    assert!(proof.unwrap().contains("like-service"));
    let transcript = walk.command(&["export", "INC-441", "--format", "md"]);
    assert!(
        transcript
            .out
            .contains("kubectl -n like delete configmap stray"),
        "{}",
        transcript.out
    );
    assert!(
        transcript.out.contains("deleted file mode 100644"),
        "{}",
        transcript.out
    );
    let exported = walk.command(&["plan", "export", "INC-441"]);
    let again = trueup_core::plan::Plan::parse(&exported.out).unwrap();
    let takes: Vec<String> = again
        .decisions
        .iter()
        .filter(|d| d.fields == ["."])
        .map(|d| format!("{} {:?}", d.on.name, d.take))
        .collect();
    assert_eq!(takes.len(), 6, "{takes:?}");
    assert!(takes.contains(&"stray Remove".to_owned()), "{takes:?}");
}

#[test]
fn a_restart_is_owed_to_nobody() {
    let walk = Walk::new();
    let ran = walk.command(&["--write", "all", "freeze", "like-service"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let before = walk.questions();
    let ran = walk.command(&[
        "--write",
        "all",
        "act",
        "restart",
        "like-service",
        "Deployment/like-service",
        "--reason",
        "stuck",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let live = walk
        .get("apps", "Deployment", "like", "like-service")
        .unwrap();
    let annotations = &live["spec"]["template"]["metadata"]["annotations"];
    assert!(
        annotations["kubectl.kubernetes.io/restartedAt"].is_string(),
        "{annotations}"
    );
    assert_eq!(walk.questions(), before, "it asks nothing");
    let report = walk
        .command(&["-o", "json", "drift", "like-service"])
        .document();
    let noise = report["applications"][0]["noise"].to_string();
    assert!(
        noise.contains("when the pods were last restarted"),
        "{noise}"
    );
}
