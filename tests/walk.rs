//! The walk as a person makes it: keys typed into a terminal, the screen read back, and the cluster and Git asked what
//! came of it. The program is the one that is shipped.
#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

#[path = "support/screen.rs"]
mod screen;
mod support;

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use screen::{Over, Screen, Shot};
use serde_json::{Value, json};
use support::{FAST, Lab};
use trueup::{
    adapters::kube::{ConnectOptions, KubeCluster},
    ports::{Cluster, no_log},
};
use trueup_core::object::identity::ObjectRef;

const INCIDENT: &str = "INC-441";
const APPLICATIONS: [&str; 3] = ["auth-service", "like-service", "profile-service"];
const SMALL: (u16, u16) = (80, 24);

/// A lab, and a person's home with the note in it by which `trueup lab` comes back to that lab.
struct Place {
    lab: Lab,
    home: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            lab: Lab::start(&FAST),
            home: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(place.state()).unwrap();
        fs::write(
            place.state().join("lab.json"),
            place.lab.document.to_string(),
        )
        .unwrap();
        place
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn args(&self) -> Vec<String> {
        let config = self.lab.dir.path().join("config.toml");
        vec![
            "--config".into(),
            config.display().to_string(),
            "--state-dir".into(),
            self.state().display().to_string(),
            "lab".into(),
            "inc-441".into(),
        ]
    }

    fn open(&self, (cols, rows): (u16, u16)) -> Screen {
        Screen::start(
            &support::trueup(),
            &self.args(),
            self.home.path(),
            cols,
            rows,
        )
    }

    fn journal(&self) -> Vec<trueup::journal::Line> {
        let state = PathBuf::from(self.lab.text("stateDir"));
        trueup::journal::read(&state, &INCIDENT.parse().unwrap()).unwrap()
    }

    fn get(&self, objects: &[ObjectRef]) -> Vec<Value> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut options = ConnectOptions::new([7; 32], no_log());
            options.kubeconfig = Some(self.lab.text("kubeconfig").into());
            let cluster = KubeCluster::connect(options).await.unwrap();
            let mut found = Vec::new();
            for object in objects {
                found.push(cluster.get(object).await.unwrap().unwrap());
            }
            found
        })
    }

    /// The Applications themselves.
    fn applications(&self) -> Vec<Value> {
        self.get(&APPLICATIONS.map(|name| ObjectRef {
            group: "argoproj.io".into(),
            version: "v1alpha1".into(),
            kind: "Application".into(),
            namespace: Some("argocd".into()),
            name: name.into(),
        }))
    }

    /// What the three copies hold on the cluster.
    fn live(&self) -> Vec<Value> {
        let copies = APPLICATIONS.map(|name| ObjectRef {
            group: String::new(),
            version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: Some(name.trim_end_matches("-service").into()),
            name: "auth-config".into(),
        });
        self.get(&copies)
            .iter()
            .map(|map| map["data"].clone())
            .collect()
    }

    /// What the three copies hold in Git, on the branch that Argo CD follows.
    fn declared(&self) -> Vec<String> {
        let file = |name: &str| {
            let path = name.trim_end_matches("-service");
            self.lab
                .git(&["show", &format!("main:deploy/{path}/auth-config.yaml")])
        };
        APPLICATIONS.map(file).to_vec()
    }

    /// The end that the incident asks for: one truth everywhere, auto-sync as declared, nothing left behind.
    #[track_caller]
    fn assert_recovered(&self, algorithm: &str, key: &str) {
        let wanted = json!({"JWT_ALGORITHM": algorithm, "JWT_PUBLIC_KEY_ID": key});
        assert_eq!(self.live(), vec![wanted.clone(), wanted.clone(), wanted]);
        for file in self.declared() {
            let file = file.replace(['"', '\''], "");
            assert!(
                file.contains(&format!("JWT_ALGORITHM: {algorithm}"))
                    && file.contains(&format!("JWT_PUBLIC_KEY_ID: {key}"))
                    && file.contains('#'),
                "{file}"
            );
        }
        for application in self.applications() {
            let name = &application["metadata"]["name"];
            assert_eq!(
                application["spec"]["syncPolicy"]["automated"],
                json!({"prune": true, "selfHeal": true}),
                "{name}"
            );
            assert_eq!(application["status"]["sync"]["status"], "Synced", "{name}");
            assert_eq!(
                application["metadata"]["annotations"].get(trueup_core::policy::NOTE),
                None,
                "{name}"
            );
            assert_eq!(application.get("operation"), None, "{name}");
        }
    }
}

/// Each of these once for every Application.
fn once(effects: &[&str]) -> BTreeMap<String, usize> {
    effects
        .iter()
        .flat_map(|effect| APPLICATIONS.map(|name| (format!("{effect} {name}"), 1)))
        .collect()
}

/// What is typed where the screen asks; the rest is `n` and enter.
struct Answers {
    /// The number of the column that is true.
    column: &'static str,
}

/// Puts away what the screen shows, as somebody who knows only `n`, enter and text; answers when `until` holds.
#[track_caller]
fn walk(screen: &mut Screen, answers: &Answers, until: impl Fn(&Shot) -> bool) {
    // A stage that never ends is a bug of the walk, not of a slow machine.
    for _ in 0..400 {
        let shot = screen.shot();
        if until(&shot) {
            return;
        }
        one_step(screen, answers, &shot, &until);
    }
    panic!("the walk does not end\n{}", screen.shot().text());
}

/// What a step can change; the header's clock is not among it.
fn place(shot: &Shot) -> (Over, String, Option<String>) {
    // The bar and the clock of a wait move; its words do not.
    let waiting = shot
        .waiting()
        .map(|wait| wait.split(['█', '░']).next().unwrap_or_default().to_owned());
    (shot.over(), shot.next().to_owned(), waiting)
}

#[track_caller]
fn one_step(screen: &mut Screen, answers: &Answers, shot: &Shot, until: impl Fn(&Shot) -> bool) {
    let moved = |screen: &Screen, limit: Duration| {
        let before = place(shot);
        screen.within(limit, |now| until(now) || place(now) != before)
    };
    match shot.over() {
        Over::Nothing => {
            let hurry = shot.waiting().is_none();
            if hurry && !shot.next().is_empty() {
                screen.press("n");
            }
            // A wait ends by itself; what `n` asks for comes soon, and asking again does no harm.
            let limit = if hurry { 4 } else { 60 };
            moved(screen, Duration::from_secs(limit));
        }
        Over::Choose { title, cursor } => {
            let decide = title.starts_with("auth-config .data.");
            if decide && !cursor.starts_with(answers.column) {
                screen.press(answers.column);
            } else {
                screen.press("enter");
            }
            assert!(
                moved(screen, screen::DEADLINE).is_some(),
                "enter does nothing\n{}",
                screen.shot().text()
            );
        }
        Over::Prompt { title, field } => {
            let text = match field.as_str() {
                "reason" => "the rotated key is what auth signs with",
                "what they saw" => "fresh auth in the traces",
                "who looked" => "",
                other => panic!("{title} asks for {other}\n{}", shot.text()),
            };
            screen.type_text(text);
            screen.wait_for("the text in its field", |shot| shot.has(text));
            screen.press("enter");
            assert!(
                moved(screen, screen::DEADLINE).is_some(),
                "enter does nothing\n{}",
                screen.shot().text()
            );
        }
        Over::Sheet { token, .. } => {
            assert_eq!(
                token,
                INCIDENT,
                "a lab counts as production\n{}",
                shot.text()
            );
            confirm(screen);
        }
        Over::Other { title } => panic!("nobody asked for {title}\n{}", shot.text()),
    }
}

/// Types the incident on the sheet that is shown, reads all of it, and goes ahead.
#[track_caller]
fn confirm(screen: &mut Screen) {
    let shot = screen.wait_for("a sheet", |shot| matches!(shot.over(), Over::Sheet { .. }));
    let Over::Sheet { title, token } = shot.over() else {
        unreachable!("it was just seen");
    };
    screen.type_text(&token);
    screen.wait_for("the token typed", |shot| {
        shot.has(&format!("go ahead: {token}▏"))
    });
    // One enter for each page that has not been read yet.
    for _ in 0..30 {
        let before = screen.shot();
        screen.press("enter");
        let after = screen
            .within(screen::DEADLINE, |shot| shot.boxed() != before.boxed())
            .unwrap_or_else(|| panic!("enter does nothing on {title}\n{}", screen.shot().text()));
        match after.over() {
            Over::Sheet { title: now, .. } if now == title => {}
            _ => return,
        }
    }
    panic!("{title} cannot be confirmed\n{}", screen.shot().text());
}

/// Leaves by the key and its question.
fn leave(screen: &mut Screen) -> Option<u32> {
    // On a small screen the footer has no room for it, and help names it.
    screen.send("q");
    screen.wait_text("leave?");
    screen.press("down");
    screen.wait_for(
        "the cursor on leave",
        |shot| matches!(shot.over(), Over::Choose { cursor, .. } if cursor.starts_with("leave")),
    );
    screen.press("enter");
    screen.end()
}

/// Whoever knows only `n`, enter and `?`, and can type, gets through the incident; on the smallest screen.
#[test]
fn knowing_only_next_enter_and_help() {
    let place = Place::new();
    let mut screen = place.open(SMALL);
    screen.wait_for("the first frame", |shot| shot.has("Scope"));
    screen.press("?");
    screen.wait_text("esc");
    screen.send("esc");
    screen.wait_for("help put away", |shot| shot.over() == Over::Nothing);
    walk(&mut screen, &Answers { column: "3" }, |shot| {
        shot.next() == "closed"
    });
    place.assert_recovered("RS256", "key-2024-11-rot");
    assert_eq!(place.lab.effects(), once(&["freeze", "sync", "thaw"]));
    assert_eq!(place.lab.pushes(), 2);
    assert_eq!(leave(&mut screen), Some(0));
    screen.assert_restored();
    assert!(!place.journal().is_empty());
}

/// Somebody edits what a sync would overwrite while its sheet stands open: the sync is not asked for.
#[test]
fn an_edit_under_an_open_sheet_stops_the_sync() {
    let place = Place::new();
    let edit = || {
        std::process::Command::new("kubectl")
            .args(["--kubeconfig", &place.lab.text("kubeconfig"), "-n", "auth"])
            .args(["patch", "configmap", "auth-config", "--type", "merge", "-p"])
            .arg(json!({"data": {"JWT_ALGORITHM": "none"}}).to_string())
            .output()
    };
    let mut screen = place.open(SMALL);
    screen.wait_for("the first frame", |shot| shot.has("Scope"));
    walk(
        &mut screen,
        &Answers { column: "3" },
        |shot| matches!(shot.over(), Over::Sheet { title, .. } if title == "sync auth-service"),
    );
    match edit() {
        // Without kubectl there is nobody to edit.
        Err(_) => return,
        Ok(edited) => assert!(edited.status.success(), "{edited:?}"),
    }
    confirm(&mut screen);
    screen.wait_text("refused");
    assert_eq!(place.live()[0]["JWT_ALGORITHM"], "none");
    assert_eq!(place.lab.effects().get("sync auth-service"), None);
}
