//! What the next process finds in the world of a write that nobody recorded the end of.

use super::*;

impl Walk<'_> {
    fn export(&self, format: &str) -> String {
        let mut export = command(&trueup(), self.home.path());
        export.arg("--state-dir").arg(self.state());
        export.args(["export", INCIDENT, "--format", format]);
        let ran = run(export);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    }

    /// The last line of a walk that says nothing of what may be written.
    fn unarmed(&self) -> Value {
        let mut command = command(&trueup(), self.home.path());
        command.arg("--state-dir").arg(self.state());
        command
            .args(["-o", "json", "run"])
            .arg(self.lab.text("plan"));
        let ran = run(command);
        ran.documents().pop().unwrap_or_default()
    }
}

impl Walk<'_> {
    /// A thaw landed and nobody recorded it: whoever asks is not told that the Application is frozen.
    fn assert_thaw_unknown(&self) {
        let status = |arguments: &[&str]| {
            let mut command = command(&trueup(), self.home.path());
            command.arg("--state-dir").arg(self.state());
            run({
                command.args(arguments).arg("status");
                command
            })
        };
        let document = status(&["-o", "json"]).document();
        let frozen = document["frozen"].as_array().unwrap();
        let auth = frozen
            .iter()
            .find(|app| app["application"] == "argocd/auth-service")
            .unwrap();
        assert_eq!(auth["state"], "thaw not known", "{document}");
        assert_eq!(auth["seen"], "auto-sync is on, the note is gone");
        assert_eq!(document["unknownWrites"][0]["what"], "thaw", "{document}");
        let line = document["line"].as_str().unwrap();
        assert!(line.contains("2 frozen · 1 write unknown"), "{line}");
        let told = status(&[]).out;
        assert!(
            told.contains("thaw not known: auto-sync is on, the note is gone")
                && !told.contains("auth-service is frozen ("),
            "{told}"
        );
    }
}

/// Arming is a consent given to one process. The next one looks up what was in flight, and writes nothing new.
#[test]
fn a_process_that_nobody_armed_looks_up_and_writes_nothing() {
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    for (place, write) in [
        ("after-effect intended push ", "push"),
        ("after-effect intended sync argocd/auth-service", "sync"),
        ("after-effect intended thaw argocd/auth-service", "thaw"),
    ] {
        walk.kill_at(place);
        assert_eq!(walk.folded().open_ops().count(), 1, "{place}");
        let before = (lab.writes().len(), lab.pushes());
        if write == "thaw" {
            walk.assert_thaw_unknown();
        }
        let ended = walk.unarmed();
        assert_eq!(
            (&ended["exit"], &ended["rule"]),
            (&json!(3), &json!(1)),
            "{ended}"
        );
        assert_eq!(
            (lab.writes().len(), lab.pushes()),
            before,
            "{place}: {:?}",
            lab.writes().last()
        );
        let now = walk.folded();
        assert_eq!(now.open_ops().count(), 0, "{place} was not looked up");
        assert!(
            now.ops
                .values()
                .any(|op| op.effect.verb() == write && op.done())
        );
        assert_eq!(now.armed, trueup_core::event::Armed::Nothing);
        // The commands of one stage arm themselves or not at all; what would write nothing is no refusal.
        let (synced, frozen) = (write == "thaw", write != "thaw");
        let restart = ["act", "restart", "auth-service", "Deployment/auth-service"];
        for (arguments, nothing) in [
            (&["sync", "like-service"][..], synced),
            (&["thaw", "auth-service"], false),
            (&["freeze", "auth-service"], frozen),
            (&restart, false),
        ] {
            let mut command = command(&trueup(), walk.home.path());
            command.arg("--state-dir").arg(walk.state()).args(arguments);
            let code = if nothing { 0 } else { 3 };
            assert_eq!(run(command).code, Some(code), "{place}: {arguments:?}");
        }
        assert_eq!(lab.writes().len(), before.0, "{place}");
    }
    let ran = run(walk.command(&trueup()));
    assert_eq!(ran.code, Some(0), "{}", walk.tell(&ran));
    walk.assert_nothing_lost(pushes);
    let mut armed = Vec::new();
    for line in walk.records() {
        if let trueup_core::event::Event::Armed { pid, by, host, .. } = &line.record.event {
            assert!(*pid > 0 && by == "jo" && !host.is_empty());
            armed.push(*pid);
        }
    }
    let processes: BTreeSet<&u32> = armed.iter().collect();
    assert_eq!((armed.len(), processes.len()), (4, 4), "each armed itself");
}

/// Killed between a push and the record that it landed: what was pushed is on the remote, and that is what is said.
#[test]
fn a_push_that_nobody_recorded_is_told_as_a_push() {
    for place in [
        "after-effect intended push ",
        "after-outcome ended intended push ",
        "before landed",
    ] {
        let lab = Lab::start(&FAST);
        let pushes = lab.pushes();
        let walk = Walk::new(&lab);
        walk.kill_at(place);
        assert_eq!(lab.pushes() - pushes, 1, "{place}");
        let ran = run(walk.command(&trueup()));
        assert_eq!(ran.code, Some(0), "{}", walk.tell(&ran));
        let head = lab.git(&["rev-parse", "main"]);
        for format in ["md", "html"] {
            let told = walk.export(format);
            assert!(!told.contains("nothing had to change"), "{place} {format}");
            assert!(
                told.contains(&head) && told.contains("pushed; found on the remote"),
                "{place} {format}"
            );
        }
        let told: Value = serde_json::from_str(&walk.export("json")).unwrap();
        let commit = &told["commits"][0];
        assert_eq!(commit["commit"], head);
        assert!(
            commit["landed"].as_str().unwrap().starts_with(&head),
            "{commit}"
        );
        assert_eq!(lab.pushes() - pushes, 1, "{place}");
    }
}

/// Killed between a sync and its read-back; Argo CD ends the sync, and somebody writes over what it wrote before anybody looks.
#[test]
fn what_somebody_wrote_after_a_sync_is_no_surprise_of_it() {
    let lab = Lab::start(&FAST);
    let walk = Walk::new(&lab);
    walk.kill_at("after-effect intended sync argocd/like-service");
    let like = ObjectRef {
        group: String::new(),
        version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: Some("like".into()),
        name: "auth-config".into(),
    };
    until("the sync ends", || {
        let [app] = read(&lab, &[application("like-service")])
            .try_into()
            .expect("one was asked for");
        let state = &app["status"]["operationState"];
        state["phase"] == "Succeeded" && app["operation"].is_null()
    });
    let field = "/data/JWT_PUBLIC_KEY_ID";
    assert_eq!(
        read(&lab, std::slice::from_ref(&like))[0].pointer(field),
        Some(&json!("key-2024-11-rot"))
    );
    // Times have whole seconds: what is of the same one may be of the sync.
    std::thread::sleep(Duration::from_millis(2100));
    lab.with_cluster(async |cluster| {
        let request = WriteRequest {
            object: like.clone(),
            kind: WriteKind::MergePatch,
            body: json!({"data": {"JWT_PUBLIC_KEY_ID": "key-evil5"}}),
            dry_run: false,
            field_manager: "kubectl-patch".into(),
            subresource: None,
        };
        cluster.write(&request).await.unwrap();
    });
    let ran = run(walk.command(&trueup()));
    let ended = ran.documents().pop().unwrap_or_default();
    assert_eq!(ended["stage"], "decide", "{}", walk.tell(&ran));
    // Decided for the same once more, the sync is read back now, and another one puts it back.
    let mut again = walk.command(&trueup());
    again.args(["--replan", "the hotfix stays"]);
    let ran = run(again);
    assert_eq!(ran.code, Some(0), "{}", walk.tell(&ran));
    assert_eq!(
        read(&lab, &[like])[0].pointer(field),
        Some(&json!("key-2024-11-rot"))
    );
    let told = walk.export("md");
    for line in [
        "verified: 0 fields changed, 0 surprises; not read back: ",
        "kubectl-patch wrote key-evil5 at ",
        ", after the sync; the sync was to bring it from key-2024-09 to key-2024-11-rot",
        "live went from what the sync wrote (key-2024-11-rot) to key-evil5",
        "key-2024-09 -> key-2024-11-rot (as predicted: kubectl-patch wrote over it before it was read back)",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    for line in [
        "nobody was shown",
        "from key-2024-09 to key-evil5",
        "key-2024-09 -> key-evil5",
    ] {
        assert!(!told.contains(line), "{line}: {told}");
    }
}

/// A live action killed before, during and after its write: found by its mark, never done twice, and decided in any case.
#[test]
fn a_live_action_is_looked_up_and_never_done_twice() {
    let scale = "scale: {replicas: 4}";
    // A removal leaves nobody in the managed fields.
    let remove = "remove: {field: .metadata.labels.team}";
    let cases = [
        (
            "after-fsync intended act on argocd/profile-service",
            scale,
            false,
        ),
        (
            "after-effect intended act on argocd/profile-service",
            scale,
            true,
        ),
        (
            "after-outcome ended intended act on argocd/profile-service",
            scale,
            true,
        ),
        (
            "after-effect intended act on argocd/profile-service",
            remove,
            true,
        ),
    ];
    std::thread::scope(|scope| {
        for (place, action, found) in cases {
            scope.spawn(move || acted_and_killed(place, action, found, action == scale));
        }
    });
}

fn acted_and_killed(place: &str, action: &str, found: bool, scales: bool) {
    let lab = Lab::start(&FAST);
    let mut walk = Walk::new(&lab);
    let plan = fs::read_to_string(lab.text("plan")).unwrap();
    let act = format!(
        "act:\n- {{application: profile-service, object: Deployment/profile-service, action: {{{action}}}, reason: load}}\n"
    );
    walk.plan = walk.file("plan.yaml");
    fs::write(&walk.plan, plan + &act).unwrap();
    walk.kill_at(place);
    let scaled = || {
        let writes = lab.writes();
        writes
            .iter()
            .filter(|entry| {
                entry["objectRef"]["resource"] == "deployments"
                    && entry["responseStatus"]["code"] == 200
            })
            .count()
    };
    assert_eq!(scaled(), usize::from(found), "{place}");
    let ran = run(walk.command(&trueup()));
    assert_eq!(ran.code, Some(0), "{place}: {}", walk.tell(&ran));
    assert_eq!(scaled(), 1, "{place}: it was done twice, or not at all");
    let now = walk.folded();
    let acts = now.ops.values().filter(|op| op.effect.verb() == "act on");
    let told: Vec<bool> = acts.map(trueup_core::run::Op::done).collect();
    assert_eq!(told.iter().filter(|done| **done).count(), 1);
    assert_eq!(told.len(), if found { 1 } else { 2 }, "{place}");
    assert!(now.reread.values().all(|rereads| rereads.len() == 2) && now.reread.len() == 1);
    let git = lab.git(&["show", "main:deploy/profile/deployment.yaml"]);
    let reached = match scales {
        true => git.contains("replicas: 4"),
        false => git.matches("team: identity").count() == 1,
    };
    assert!(reached, "{place}: a live action reaches Git: {git}");
}

const OWN: &str = "apiVersion: trueup.dev/v1
kind: Plan
incident: INC-441
scope: [like-service]
targets: {\"*\": {policy: declared}}
decisions:
- on: {kind: ConfigMap, name: auth-config}
  fields: [\".data.*\"]
  take: ignore
  reason: like sets its own
- on: {kind: ConfigMap, name: stray, namespace: like}
  fields: [\".\"]
  take: remove
  reason: left behind
commit: {branch: main}
sync:
- {application: like-service, then: [healthy]}
thaw: {order: [like-service]}
";

/// Killed around the two writes that the lab's own plan has none of: each of them happens once.
#[test]
fn killed_around_what_is_ignored_and_what_is_deleted() {
    let lab = Lab::start(&FAST);
    let mut walk = Walk::new(&lab);
    walk.plan = walk.file("plan.yaml");
    fs::write(&walk.plan, OWN).unwrap();
    let stray = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "stray", "namespace": "like", "annotations": {
            "argocd.argoproj.io/tracking-id": "like-service:/ConfigMap:like/stray",
        }},
        "data": {"left": "behind"},
    });
    lab.with_cluster(async |cluster| {
        let request = WriteRequest {
            object: ObjectRef::from_object(&stray).unwrap(),
            kind: WriteKind::Create,
            body: stray,
            dry_run: false,
            field_manager: "kubectl-create".into(),
            subresource: None,
        };
        cluster.write(&request).await.unwrap();
    });
    for what in ["change of what is ignored", "deletion"] {
        let intended = format!("intended {what} argocd/like-service");
        for place in [
            format!("before {intended}"),
            format!("torn {intended}"),
            format!("after-effect {intended}"),
            format!("before ended {intended}"),
            format!("torn ended {intended}"),
            format!("after-outcome ended {intended}"),
        ] {
            walk.kill_at(&place);
        }
    }
    let ran = run(walk.command(&trueup()));
    assert_eq!(ran.code, Some(0), "{}", walk.tell(&ran));
    assert!(walk.folded().closed.is_some());
    assert_eq!(lab.effects()["ignore on like-service"], 1);
    let mut deleted = lab.writes();
    deleted.retain(|w| w["verb"] == "delete" && w["objectRef"]["resource"] == "configmaps");
    assert_eq!(deleted.len(), 1, "{deleted:#?}");
}
