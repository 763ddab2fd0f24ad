//! The walk as a person makes it: keys typed into a terminal, the screen read back, and the cluster and Git asked what
//! came of it. The program is the one that is shipped.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::support::screen::{self, Over, Screen, Shot};
use crate::support::{FAST, Lab};
use serde_json::{Value, json};
use trueup::ports::Cluster;
use trueup_core::{
    decision::{Take, Wanted},
    event::Event,
    object::identity::ObjectRef,
    run::Run,
};

const INCIDENT: &str = "INC-441";
const APPLICATIONS: [&str; 3] = ["auth-service", "like-service", "profile-service"];
const WIDE: (u16, u16) = (140, 45);
const SMALL: (u16, u16) = (80, 24);
/// The eight stages, as the rail names them.
const STAGES: [&str; 8] = [
    "Scope", "Freeze", "Snapshot", "Decide", "Commit", "Sync", "Thaw", "Close",
];

/// A lab, and a person's home with the note in it by which `trueup lab` comes back to that lab.
struct Place {
    lab: Lab,
    home: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self::with_waits(crate::support::WAITS)
    }

    fn with_waits(waits: &str) -> Self {
        let place = Self {
            lab: Lab::start(&FAST),
            home: crate::support::scratch(),
        };
        fs::write(place.home.path().join("config.toml"), waits).unwrap();
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
        let config = self.home.path().join("config.toml");
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
            &crate::support::trueup(),
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

    fn happened(&self, what: impl Fn(&Event) -> bool) -> bool {
        self.journal().iter().any(|line| what(&line.record.event))
    }

    fn get(&self, objects: &[ObjectRef]) -> Vec<Value> {
        self.lab.with_cluster(async |cluster| {
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

    /// The transcript was written in every format, and its chain holds.
    #[track_caller]
    fn assert_transcript(&self) {
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::from(self.lab.text("stateDir"))];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.extension().and_then(|e| e.to_str()) {
                    _ if path.is_dir() => folders.push(path),
                    Some("md" | "html" | "json") => found.push(path),
                    _ => {}
                }
            }
        }
        let with = |extension: &str| {
            let mut of = found
                .iter()
                .filter(|path| path.extension().is_some_and(|e| e == extension))
                .filter(|path| fs::read_to_string(path).unwrap().contains(INCIDENT));
            of.next()
                .unwrap_or_else(|| panic!("no {extension} among {found:?}"))
                .clone()
        };
        let text = fs::read_to_string(with("md")).unwrap();
        assert!(text.contains("auth signs with the rotated key"), "{text}");
        with("html");
        let mut verify = crate::support::command(&crate::support::trueup(), self.home.path());
        verify.arg("verify").arg(with("json"));
        let ran = crate::support::run(verify);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    /// The end that the incident asks for: one truth everywhere, auto-sync as declared, nothing left behind.
    #[track_caller]
    fn assert_recovered(&self, algorithm: &str, key: &str) {
        self.lab.assert_within_roles();
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
        let declared = self.lab.declared_specs();
        for application in self.applications() {
            let name = &application["metadata"]["name"];
            // The policy as declared, auto-sync on; and every other byte as it was.
            assert_eq!(
                application["spec"]["syncPolicy"]["automated"],
                json!({"prune": true, "selfHeal": true}),
                "{name}"
            );
            assert_eq!(
                Some(&application["spec"]),
                declared.get(name.as_str().unwrap()),
                "{name}"
            );
            let status = &application["status"];
            assert_eq!(status["sync"]["status"], "Synced", "{name}");
            assert_eq!(status["health"]["status"], "Healthy", "{name}");
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
    // A walk that never ends is a bug of the walk, not of a slow machine.
    let until_when = Instant::now() + Duration::from_secs(180);
    while Instant::now() < until_when {
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
            // Where `n` does not work yet, it will.
            let works =
                shot.waiting().is_none() && shot.held().is_none() && !shot.next().is_empty();
            if works {
                screen.send("n");
            }
            // A wait ends by itself; what `n` asks for comes soon, and asking again does no harm.
            let limit = if works { 4 } else { 20 };
            moved(screen, Duration::from_secs(limit));
        }
        Over::New { .. } => {
            moved(screen, screen::DEADLINE);
        }
        Over::Choose { title, cursor } => {
            let decide = title.starts_with("auth-config .data.");
            if decide && !cursor.starts_with(answers.column) {
                screen.press(answers.column);
            } else if cursor.is_empty()
                || title.starts_with("the walk stands still") && !cursor.starts_with("break glass")
            {
                screen.press("down");
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
                "found" => "compared by hand: as decided",
                "incident" => "INC-441",
                other => panic!("{title} asks for {other}\n{}", shot.text()),
            };
            screen.type_text(text);
            screen.wait_for("the text in its field", |shot| {
                shot.boxed().iter().any(|line| line.trim() == text) || text.is_empty()
            });
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
    screen.type_slowly("go ahead: ", &token);
    // What it says, without the age of its facts.
    let body = |shot: &Shot| {
        let mut lines = shot.boxed();
        lines.pop();
        lines
    };
    // One enter for each page that has not been read yet.
    for _ in 0..30 {
        let before = body(&screen.shot());
        screen.press("enter");
        let after = screen
            .within(screen::DEADLINE, |shot| body(shot) != before)
            .unwrap_or_else(|| panic!("enter does nothing on {title}\n{}", screen.shot().text()));
        match after.over() {
            Over::Sheet { title: now, .. } if now == title => {}
            _ => return,
        }
    }
    panic!("{title} cannot be confirmed\n{}", screen.shot().text());
}

/// Waits for the next thing that needs a person.
#[track_caller]
fn next(screen: &Screen, words: &str) -> Shot {
    screen.wait_for(&format!("next: {words}"), |shot| {
        shot.next().starts_with(words) && shot.over() == Over::Nothing
    })
}

/// Types into the form that is shown and is done with it.
#[track_caller]
fn fill(screen: &mut Screen, field: &str, text: &str) -> Shot {
    let shot = screen.wait_for(
        field,
        |shot| matches!(shot.over(), Over::Prompt { field: here, .. } if here == field),
    );
    screen.type_text(text);
    screen.wait_text(text);
    screen.press("enter");
    screen.wait_for("the form gone", |shot| shot.over() == Over::Nothing);
    shot
}

#[track_caller]
fn choice(screen: &Screen, cursor: &str) -> Shot {
    screen.wait_for(
        cursor,
        |shot| matches!(shot.over(), Over::Choose { cursor: here, .. } if here.starts_with(cursor)),
    )
}

/// Leaves by the key and its question.
fn leave(screen: &mut Screen) -> Option<u32> {
    // An `n` too many may have opened a question once more, just before it was answered.
    if screen.shot().over() != Over::Nothing {
        screen.press("esc");
        screen.wait_for("nothing over the screen", |shot| {
            shot.over() == Over::Nothing
        });
    }
    // On a small screen the footer has no room for it, and help names it.
    screen.send("q");
    screen.wait_text("leave?");
    screen.press("down");
    choice(screen, "leave");
    screen.press("enter");
    screen.end()
}

/// Every key that is pressed stands in the footer at that moment, or in the box that lies over the screen.
#[test]
fn the_walk_by_the_keys_that_the_footer_names() {
    let place = Place::new();
    let mut screen = place.open(WIDE);
    next(&screen, "choose the applications");
    screen.press("a");
    screen.wait_text("3 marked");
    screen.press("S");
    next(&screen, "target policy of");
    screen.press("T");
    choice(&screen, "as declared");
    screen.press("enter");
    next(&screen, "arm");
    assert!(screen.shot().header().contains("not armed"));
    screen.press("W");
    choice(&screen, "nothing");
    screen.press("down");
    choice(&screen, "all");
    screen.press("enter");
    screen.wait_for("armed", |shot| shot.header().contains("ARMED"));
    next(&screen, "freeze 3 applications");
    assert!(
        place.lab.effects().is_empty(),
        "arming consents to the lease alone"
    );
    screen.press("enter");
    confirm(&mut screen);

    next(&screen, "decide 2 fields");
    screen.press("A");
    screen.wait_text("[x] every copy");
    screen.press("g");
    screen.wait_text("[x] together");
    screen.press("3");
    let form = fill(&mut screen, "reason", "auth signs with the rotated key");
    assert!(form.has("Git changes in 6 fields (3 files), the cluster in 3 fields"));
    assert!(
        !form.has("will be gone"),
        "nothing is lost\n{}",
        form.text()
    );

    let shot = next(&screen, "push the commit");
    assert!(shot.has("deploy/like/auth-config.yaml"), "{}", shot.text());
    let before = place.live();
    assert_eq!(place.lab.pushes(), 1);
    screen.press("enter");
    confirm(&mut screen);
    for name in APPLICATIONS {
        next(&screen, &format!("sync {name}"));
        assert_eq!(place.lab.pushes(), 2);
        assert_eq!(place.live()[2], before[2], "profile comes last");
        screen.press("enter");
        confirm(&mut screen);
    }
    next(&screen, "attest traces");
    screen.press("m");
    fill(&mut screen, "what they saw", "fresh auth in the traces");
    next(&screen, "thaw 3 applications");
    screen.press("enter");
    confirm(&mut screen);
    next(&screen, "close the incident");
    for (key, extension) in [("1", "md"), ("2", "html"), ("3", "json")] {
        screen.press(key);
        screen.wait_text(&format!(".{extension}"));
    }
    screen.press("C");
    choice(&screen, "");
    screen.press("down");
    choice(&screen, "close it");
    screen.press("enter");
    next(&screen, "closed");
    place.assert_recovered("RS256", "key-2024-11-rot");
    assert_eq!(place.lab.effects(), once(&["freeze", "sync", "thaw"]));
    assert_eq!(place.lab.pushes(), 2);
    assert_eq!(leave(&mut screen), Some(0));
    screen.assert_restored();
    place.assert_transcript();
    let unshown = crate::support::shown::unshown(&place.lab, &place.journal(), 0);
    assert!(unshown.is_empty(), "{unshown:#?}");
}

/// Who may only look gets to a branch of their own by the keys, and is told there who has to go on.
#[test]
fn a_reader_gets_to_the_branch_by_the_keys_that_the_footer_names() {
    let place = Place::new();
    let state = place.state().join("reader").display().to_string();
    let mut args = place.lab.options();
    let more = [
        "--state-dir",
        &state,
        "--context",
        "reader",
        "start",
        "--incident",
        INCIDENT,
    ];
    args.extend(more.map(str::to_owned));
    let mut screen = Screen::start(
        &crate::support::trueup(),
        &args,
        place.home.path(),
        WIDE.0,
        WIDE.1,
    );
    next(&screen, "choose the applications");
    screen.press("a");
    screen.wait_text("3 marked");
    screen.press("S");
    next(&screen, "target policy of");
    screen.press("T");
    choice(&screen, "as declared");
    screen.press("enter");

    // No freeze: neither pretended nor asked for.
    let shot = next(&screen, "decide 2 fields");
    assert!(
        shot.has("unfrozen") && !shot.has("Freeze"),
        "{}",
        shot.text()
    );
    screen.press("A");
    screen.press("g");
    screen.press("3");
    fill(&mut screen, "reason", "auth signs with the rotated key");
    next(&screen, "arm");
    screen.press("n");
    choice(&screen, "git");
    screen.press("enter");
    let shot = next(&screen, "push the commit");
    assert!(shot.has("branch trueup/INC-441 → main"), "{}", shot.text());
    screen.press("enter");
    let sheet = screen.wait_text("nothing moves until it is merged");
    assert!(
        sheet.has("not frozen") && !sheet.has("is frozen"),
        "{}",
        sheet.text()
    );
    confirm(&mut screen);
    next(&screen, "needs patch applications");
    screen.press("n");
    screen.wait_text("unfrozen, watched");
    let told = screen.wait_text("for somebody who has it");
    assert!(
        told.has("applications.argoproj.io/auth-service in argocd"),
        "{}",
        told.text()
    );
    assert!(place.lab.effects().is_empty(), "the cluster was written to");
    let main = place.lab.git(&["rev-parse", "main"]);
    assert_eq!(main, place.lab.git(&["rev-parse", "trueup/INC-441~1"]));
    assert_eq!(leave(&mut screen), Some(0));
    screen.assert_restored();
}

/// What would break production a second time is refused on the screen, and nothing of it reaches the world.
#[test]
fn the_tempting_recoveries_change_nothing() {
    let place = Place::new();
    let mut screen = place.open(WIDE);
    walk(&mut screen, &Answers { column: "3" }, |shot| {
        shot.next().starts_with("decide 2 fields")
    });
    let specs = |place: &Place| -> Vec<Value> {
        let all = place.applications();
        all.iter().map(|app| app["spec"].clone()).collect()
    };
    let (spec, live, head) = (specs(&place), place.live(), place.declared());

    let unmoved = |screen: &mut Screen, tried: &str, undecided: &str| {
        // What was refused is said, and the walk stands where it stood.
        let shot = screen.wait_for(tried, |shot| {
            shot.over() == Over::Nothing && shot.next() == undecided
        });
        assert!(
            shot.rail().contains("▶ Decide") && shot.header().contains("3 frozen"),
            "{tried}\n{}",
            shot.text()
        );
    };
    // Sync all, from where syncs are asked for.
    to_stage(&mut screen, "Sync");
    screen.press("enter");
    screen.wait_text("the walk stands elsewhere");
    to_stage(&mut screen, "Commit");
    assert!(
        !screen.shot().keys().contains("enter"),
        "{}",
        screen.shot().text()
    );
    screen.send("enter");
    screen.wait_text("no commit is built yet");
    unmoved(&mut screen, "sync all", "decide 2 fields");
    // Auto-sync back on first.
    to_stage(&mut screen, "Thaw");
    screen.send("enter");
    unmoved(&mut screen, "thaw first", "decide 2 fields");
    // Only profile, only one field; then on.
    to_stage(&mut screen, "Decide");
    screen.press("3");
    let form = fill(&mut screen, "reason", "only this one");
    assert!(form.has("1 cell"), "{}", form.text());
    next(&screen, "decide 2 fields");
    to_stage(&mut screen, "Commit");
    screen.send("enter");
    unmoved(&mut screen, "push what is decided", "decide 2 fields");
    to_stage(&mut screen, "Sync");
    screen.press("enter");
    unmoved(&mut screen, "sync what is decided", "decide 2 fields");
    assert_eq!(leave(&mut screen), Some(0));
    screen.assert_restored();

    assert_eq!(place.lab.effects(), once(&["freeze"]));
    assert_eq!(place.lab.pushes(), 1);
    assert_eq!(
        (specs(&place), place.live(), place.declared()),
        (spec, live, head)
    );
    for write in place.lab.writes() {
        let resource = write["objectRef"]["resource"].as_str().unwrap_or_default();
        assert!(["applications", "leases"].contains(&resource), "{write}");
    }
    let operations = place.applications();
    assert!(operations.iter().all(|app| app.get("operation").is_none()));
}

/// Shows another stage; help names the keys.
#[track_caller]
fn to_stage(screen: &mut Screen, stage: &str) {
    // The one that is shown stands in brackets, or is the one that the walk is at.
    let shown = |shot: &Shot| {
        STAGES.iter().position(|stage| {
            shot.rail().contains(&format!("[{stage}"))
                || shot.rail().contains(&format!("[▶ {stage}"))
        })
    };
    let walk = |shot: &Shot| {
        let at = |stage: &&str| shot.rail().contains(&format!("▶ {stage}"));
        STAGES.iter().position(at)
    };
    let here = |shot: &Shot| shown(shot).or(walk(shot));
    let wanted = STAGES.iter().position(|name| *name == stage).unwrap();
    for _ in 0..2 * STAGES.len() {
        let at = here(&screen.shot()).unwrap_or(0);
        if at == wanted {
            return;
        }
        screen.send(if at < wanted { "]" } else { "[" });
        // A key that comes together with the one before it is taken for a paste: once more, then.
        screen.within(Duration::from_secs(2), |shot| here(shot) != Some(at));
    }
    panic!("{stage} is not reached\n{}", screen.shot().text());
}

/// Git may be chosen for each field; what is lost by it is on the screen before it is decided.
#[test]
fn git_may_be_chosen_and_the_loss_is_shown() {
    let waits = crate::support::WAITS.replace("gate_within = \"60s\"", "gate_within = \"4s\"");
    let place = Place::with_waits(&waits);
    let mut screen = place.open(SMALL);
    let answers = Answers { column: "1" };
    walk(&mut screen, &answers, |shot| {
        matches!(shot.over(), Over::Prompt { .. })
    });
    let form = screen.shot();
    assert!(
        form.has("RS256 / key-2024-11-rot stand nowhere in Git and will be gone"),
        "{}",
        form.text()
    );
    walk(&mut screen, &answers, |shot| shot.next() == "closed");
    place.assert_recovered("HS256", "key-2024-09");
    assert_eq!(place.lab.effects(), once(&["freeze", "sync", "thaw"]));
    assert_eq!(place.lab.pushes(), 1, "Git had it already");
    // The tokens of the rotated key are refused now: the gate was red, and somebody took that upon themselves.
    assert!(place.happened(|event| matches!(event, Event::GlassBroken { .. })));
}

/// Killed in every stage, and once while something is in flight: the same incident comes up again, and nothing is done twice.
#[test]
fn killed_in_every_stage_and_taken_up_again() {
    let place = Place::new();
    let answers = Answers { column: "3" };
    for stage in STAGES {
        let here = format!("▶ {stage}");
        let mut screen = place.open(SMALL);
        let behind = |shot: &Shot| {
            let at = STAGES
                .iter()
                .position(|stage| shot.rail().contains(&format!("▶ {stage}")));
            at > STAGES.iter().position(|name| *name == stage)
        };
        walk(&mut screen, &answers, |shot| {
            shot.rail().contains(&here) || behind(shot)
        });
        if ["Freeze", "Sync", "Thaw"].contains(&stage) {
            // Right after the confirmation, with the write under way.
            walk(&mut screen, &answers, |shot| {
                matches!(shot.over(), Over::Sheet { .. })
            });
            confirm(&mut screen);
        }
        screen.signal("KILL");
        assert_eq!(screen.end(), None);
    }
    let mut screen = place.open(SMALL);
    let shot = screen.wait_text(INCIDENT);
    assert!(shot.has("●") || shot.has("○"), "{}", shot.text());
    walk(&mut screen, &answers, |shot| shot.next() == "closed");
    place.assert_recovered("RS256", "key-2024-11-rot");
    assert_eq!(place.lab.effects(), once(&["freeze", "sync", "thaw"]));
    assert_eq!(place.lab.pushes(), 2);
}

/// The cluster stops answering while a gate is watched: the age says so, and nothing turns green until it is back.
#[test]
fn a_cluster_that_stops_answering_turns_nothing_green() {
    let waits = crate::support::WAITS.replace("gate_for = \"200ms\"", "gate_for = \"6s\"");
    let place = Place::with_waits(&waits);
    let mut screen = place.open(SMALL);
    let answers = Answers { column: "3" };
    walk(&mut screen, &answers, |shot| {
        shot.next() == "watch gate no-401"
    });
    let passed = |place: &Place| {
        place.happened(|event| matches!(event, Event::GatePassed { gate, .. } if gate == "no-401"))
    };
    // A wait has a way out, which is written down, and a way back.
    screen.wait_text("c gives up");
    give_up(&mut screen);
    assert!(place.happened(|event| matches!(event,
        Event::GateTimedOut { gate, given_up_by: Some(_), .. } if gate == "no-401")));
    screen.press("n");
    screen.wait_for("the choices", |shot| matches!(shot.over(), Over::Choose { cursor, .. } if cursor.starts_with("wait for it again")));
    screen.press("enter");
    screen.wait_for("the wait again", |shot| shot.next() == "watch gate no-401");
    place.lab.hush(true);
    let said = screen.within(Duration::from_secs(15), |shot| {
        shot.header().contains("STALE")
    });
    // Longer than the gate has to stay green.
    let waited = screen.within(Duration::from_secs(15), |shot| {
        shot.header().contains("STALE 18 s")
    });
    let green = passed(&place);
    place.lab.hush(false);
    assert!(
        said.is_some(),
        "the age is not red\n{}",
        screen.shot().text()
    );
    assert!(
        waited.is_some(),
        "the age stands still\n{}",
        screen.shot().text()
    );
    assert!(!green, "a gate turned green over a cluster that is silent");
    screen.wait_for("the age green again", |shot| {
        shot.header().contains("● live")
    });
    // That nobody could look is told once it is over.
    let told = |event: &Event| matches!(event, Event::Outage { what, .. } if what == "the cluster");
    screen.wait_for("the outage in the journal", |_| place.happened(told));
    walk(&mut screen, &answers, |shot| shot.next() == "closed");
    place.assert_recovered("RS256", "key-2024-11-rot");
}

/// Gives up the gate that is waited for: the walk stands still there.
fn give_up(screen: &mut Screen) {
    screen.send("c");
    screen.wait_for("the walk to stand still", |shot| {
        shot.next().starts_with("stopped: gate no-401")
    });
}

/// A gate that is given up leaves a choice, and glass that is broken for it is told again before the thaw: nobody reads that
/// it was sampled.
#[test]
fn glass_broken_for_a_gate_is_told_before_the_thaw() {
    let waits = crate::support::WAITS.replace("gate_for = \"200ms\"", "gate_for = \"60s\"");
    let place = Place::with_waits(&waits);
    let mut screen = place.open(WIDE);
    let answers = Answers { column: "3" };
    walk(&mut screen, &answers, |shot| {
        shot.next() == "watch gate no-401"
    });
    screen.wait_text("c gives up");
    give_up(&mut screen);
    screen.press("B");
    walk(
        &mut screen,
        &answers,
        |shot| matches!(shot.over(), Over::Sheet { title, .. } if title.starts_with("thaw")),
    );
    let shot = screen.shot();
    for said in [
        "gate healthy is green in one fresh sample",
        "gate no-401 was not passed",
        "nothing to do: it is Synced at",
    ] {
        assert!(
            shot.has(said),
            "{said}
{}",
            shot.text()
        );
    }
    place.lab.assert_within_roles();
}

/// What a sync would do is said of what is there now: somebody who writes to the cluster changes it while it is read.
#[test]
fn what_a_sync_would_do_is_worked_out_anew_when_somebody_writes() {
    let place = Place::new();
    let screen = place.open(WIDE);
    screen.wait_text("JWT_ALGORITHM: RS256 → HS256");
    let set = |algorithm: &str, key: &str| {
        let data = json!({"data": {"JWT_ALGORITHM": algorithm, "JWT_PUBLIC_KEY_ID": key}});
        let data = data.to_string();
        kubectl(
            &place,
            &[
                "patch",
                "configmap",
                "auth-config",
                "--type",
                "merge",
                "-p",
                &data,
            ],
        )
    };
    if !set("HS256", "key-2024-09") {
        return;
    }
    screen.wait_text("nothing changes but bookkeeping");
    set("none", "key-2024-09");
    screen.wait_text("JWT_ALGORITHM: none → HS256");
}

/// Whatever ends the program, the terminal is as it was; and one that is too small, or none, is no reason to lose anything.
#[test]
fn the_terminal_is_given_back() {
    let place = Place::new();
    // Too small at first; then a storm of sizes; then the smallest that will do.
    let mut screen = place.open((20, 5));
    screen.wait_text("too small");
    for step in 0..60_u16 {
        screen.resize(20 + (step * 37) % 150, 5 + (step * 11) % 50);
    }
    screen.resize(80, 24);
    let shot = next(&screen, "choose the applications");
    assert!(shot.modes.alternate_screen && shot.modes.cursor_hidden);
    assert_eq!(shot.rows.len(), 24);
    screen.signal("TERM");
    assert_eq!(screen.end(), Some(143), "terminated");
    screen.assert_restored();

    let mut screen = place.open(SMALL);
    next(&screen, "choose the applications");
    screen.send("ctrl-c");
    choice(&screen, "stay");
    screen.press("esc");
    screen.wait_for("the question gone", |shot| shot.over() == Over::Nothing);
    screen.signal("HUP");
    screen.end();
    screen.assert_restored();

    let home = place.home.path();
    let mut screen = Screen::start(&crate::support::example("panicking"), &[], home, 80, 24);
    let shot = screen.wait_text("about to panic");
    assert!(shot.modes.alternate_screen);
    screen.send("x");
    assert_eq!(screen.end(), Some(101));
    screen.assert_restored();
    screen.wait_text("on purpose");

    // Where somebody was killed: on the alternate screen, in its colours, over its last frame.
    let left = format!("\x1b[?1049h\x1b[7m{}", "old ".repeat(80 * 24 / 4));
    let mut screen = Screen::start_after(
        &left,
        &crate::support::trueup(),
        &place.args(),
        home,
        SMALL,
        "xterm-256color",
    );
    screen.wait_for("the first frame, and nothing else", |shot| {
        shot.has(INCIDENT) && !shot.has("old")
    });
    next(&screen, "choose the applications");
    screen.send("ctrl-c");
    choice(&screen, "stay");
    screen.scribble("\x1b[12;1HConnection to the other host closed.");
    screen.send("ctrl-l");
    screen.wait_for("drawn anew", |shot| !shot.has("Connection"));
    choice(&screen, "stay");
    screen.signal("TERM");
    assert_eq!(screen.end(), Some(143), "terminated");

    let mut screen = Screen::start_as(
        &crate::support::trueup(),
        &place.args(),
        home,
        SMALL,
        "dumb",
    );
    assert_eq!(screen.end(), Some(2));
    screen.wait_text("trueup run");
    let mut command = crate::support::command(&crate::support::trueup(), home);
    command.args(place.args());
    let ran = crate::support::run(command);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err.contains("terminal") && ran.err.contains("trueup run"),
        "{ran:?}"
    );
    assert!(place.lab.writes().is_empty(), "{:?}", place.lab.writes());
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
    // It is said on the open sheet, and no token confirms that any more.
    screen.wait_text("no longer so, it would be refused");
    screen.send("I");
    screen.wait_text("nothing was done: esc");
    screen.send("enter");
    screen.press("esc");
    screen.wait_for("the sheet gone", |shot| {
        !matches!(shot.over(), Over::Sheet { .. })
    });
    assert_eq!(place.live()[0]["JWT_ALGORITHM"], "none");
    assert_eq!(place.lab.effects().get("sync auth-service"), None);
}

/// Somebody edits one of the Applications while the sheet that freezes them stands open: the sheet says so, and cannot be
/// confirmed.
#[test]
fn an_edit_under_an_open_freeze_sheet_ends_it() {
    let place = Place::new();
    let edit = |sync_policy: Value| {
        std::process::Command::new("kubectl")
            .args(["--kubeconfig", &place.lab.text("kubeconfig")])
            .args(["-n", "argocd", "patch", "application", "like-service"])
            .args(["--type", "merge", "-p"])
            .arg(json!({"spec": {"syncPolicy": sync_policy}}).to_string())
            .output()
    };
    let mut screen = place.open(SMALL);
    screen.wait_for("the first frame", |shot| shot.has("Scope"));
    walk(
        &mut screen,
        &Answers { column: "3" },
        |shot| matches!(shot.over(), Over::Sheet { title, .. } if title == "freeze 3 applications"),
    );
    match edit(json!({"automated": {"prune": true}})) {
        // Without kubectl there is nobody to edit.
        Err(_) => return,
        Ok(edited) => assert!(edited.status.success(), "{edited:?}"),
    }
    screen.wait_text("it would be refused: the syncPolicy of argocd/like-service");
    screen.type_text(INCIDENT);
    screen.wait_text("nothing can be confirmed here");
    // What comes right behind letters that came at once belongs to them.
    std::thread::sleep(Duration::from_secs(1));
    screen.press("enter");
    std::thread::sleep(Duration::from_secs(1));
    screen.press("esc");
    screen.wait_for("the sheet gone", |shot| shot.over() == Over::Nothing);
    let effects = place.lab.effects();
    assert!(
        !effects.keys().any(|name| name.starts_with("freeze")),
        "{effects:?}"
    );
}

/// Somebody patches a value while the reason for choosing it is being typed: that it was refused stands in the journal, with
/// what moved and who did it.
#[test]
fn a_patch_while_the_reason_is_typed_is_told_with_the_refusal() {
    let place = Place::new();
    let mut screen = place.open(WIDE);
    screen.wait_for("the first frame", |shot| shot.has("Scope"));
    walk(
        &mut screen,
        &Answers { column: "3" },
        |shot| matches!(shot.over(), Over::Prompt { field, .. } if field == "reason"),
    );
    let none = json!({"data": {"JWT_ALGORITHM": "none"}}).to_string();
    let edit = [
        "patch",
        "configmap",
        "auth-config",
        "--type",
        "merge",
        "-p",
        &none,
    ];
    if !kubectl(&place, &edit) {
        return;
    }
    // The engine has seen it once its look after that is over.
    std::thread::sleep(Duration::from_secs(3));
    screen.type_text("it is the truth");
    screen.wait_text("it is the truth");
    screen.press("enter");
    screen.wait_text("nothing is decided");
    let refused = || {
        place
            .journal()
            .iter()
            .find_map(|line| match &line.record.event {
                Event::Refused {
                    what, rule, why, ..
                } => Some((what.clone(), *rule, why.clone())),
                _ => None,
            })
    };
    let (what, rule, why) = refused().expect("it is in the journal");
    assert_eq!(rule, 0);
    assert!(
        what.starts_with("decide ") && what.contains("live"),
        "{what}"
    );
    assert!(
        why.contains("(.data.JWT_ALGORITHM) moved from RS256 to none while you were choosing, by kubectl-patch"),
        "{why}"
    );
    assert!(!place.happened(|event| matches!(event, Event::Decided { .. })));
}

/// Whoever types ahead what a stage will ask, at once or key by key, has chosen nothing and written nothing by it.
#[test]
fn a_stage_that_is_typed_ahead_chooses_and_writes_nothing() {
    let place = Place::new();
    let mut screen = place.open(SMALL);
    let answers = Answers { column: "3" };
    for (stop, keys) in [
        (
            "freeze 3 applications",
            &[
                "n", "I", "N", "C", "-", "4", "4", "1", "enter", "n", "enter",
            ][..],
        ),
        (
            "decide 2 fields",
            &[
                "n", "3", "enter", "enter", "w", "h", "y", "enter", "n", "1", "enter", "enter",
                "enter",
            ],
        ),
    ] {
        walk(&mut screen, &answers, |shot| shot.next().starts_with(stop));
        let before = place.lab.effects();
        screen.send(keys[0]);
        screen.wait_for("what n does", |shot| {
            shot.held().is_some() || shot.over() != Over::Nothing
        });
        for key in &keys[1..] {
            screen.send(key);
        }
        // What was asked for has come, and is put away.
        screen.wait_for("what n asks for", |shot| {
            shot.held().is_none() && !matches!(shot.over(), Over::Nothing | Over::New { .. })
        });
        assert_eq!(place.lab.effects(), before);
        assert!(!place.happened(|event| matches!(event, Event::Decided { .. })));
        // More than one box may have been opened; none of them was answered.
        while screen.shot().over() != Over::Nothing {
            screen.send("esc");
            screen.wait_for("a box put away", |shot| {
                shot.over() == Over::Nothing || matches!(shot.over(), Over::New { .. })
            });
        }
        next(&screen, stop);
        // All at once.
        let all: Vec<&str> = keys
            .iter()
            .map(|key| if *key == "enter" { "\r" } else { key })
            .collect();
        screen.type_text(&all.concat());
        screen.wait_text("are a paste");
        assert_eq!(screen.shot().over(), Over::Nothing);
        assert_eq!(place.lab.effects(), before);
    }
}

/// A reason with line ends in it, pasted with or without the marks of a paste, is one reason and no keys.
#[test]
fn a_paste_submits_nothing() {
    let place = Place::new();
    let mut screen = place.open(SMALL);
    walk(
        &mut screen,
        &Answers { column: "3" },
        |shot| matches!(shot.over(), Over::Prompt { field, .. } if field == "reason"),
    );
    screen.type_text("the first line\nq\r1\rn2\r");
    screen.wait_text("the first line q 1 n2");
    screen.wait_for("the end of the paste", |shot| shot.keys().contains("enter"));
    screen.send("ctrl-u");
    screen.wait_for("the line cleared", |shot| !shot.has("the first line"));
    screen.type_text("\x1b[200~as the team\r\nagreed on the bridge\r\n\x1b[201~");
    let shot = screen.wait_text("as the team agreed on the bridge");
    assert_ne!(shot.over(), Over::Nothing, "{}", shot.text());
    assert!(!place.happened(|event| matches!(event, Event::Decided { .. })));
    screen.press("enter");
    screen.wait_for("the decision", |_| {
        place.happened(|event| {
            matches!(event, Event::Decided { decisions }
                if decisions.iter().all(|d| d.reason.contains("the team") && d.reason.contains("the bridge")))
        })
    });
}

/// Has somebody do it to auth's ConfigMap with kubectl; false where there is no kubectl.
fn kubectl(place: &Place, arguments: &[&str]) -> bool {
    let admin = Path::new(&place.lab.text("dir")).join("admin.kubeconfig");
    let ran = std::process::Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(admin)
        .args(["-n", "auth"])
        .args(arguments)
        .output();
    match ran {
        Err(_) => false,
        Ok(ran) => {
            assert!(ran.status.success(), "{ran:?}");
            true
        }
    }
}

/// With live chosen everywhere, the sheet of a sync is open when somebody changes the cluster; Git is chosen for what is asked
/// then, and the walk goes on to its end. `None` where there is no kubectl.
fn changed_under_the_sheet(sheet: &str, change: &[&str]) -> Option<Place> {
    let place = Place::new();
    let mut screen = place.open(WIDE);
    walk(
        &mut screen,
        &Answers { column: "3" },
        |shot| matches!(shot.over(), Over::Sheet { title, .. } if title == sheet),
    );
    if !kubectl(&place, change) {
        return None;
    }
    screen.press("esc");
    screen.wait_for("the question again", |shot| {
        shot.next().starts_with("decide")
    });
    walk(&mut screen, &Answers { column: "1" }, |shot| {
        shot.next() == "closed"
    });
    place.assert_recovered("RS256", "key-2024-11-rot");
    Some(place)
}

/// Somebody edits what a sync has brought already, and Git is chosen again: it takes another sync, at the same commit.
#[test]
fn what_is_decided_after_its_sync_is_synced_again() {
    let edit = json!({"data": {"JWT_ALGORITHM": "none"}}).to_string();
    let patch = [
        "patch",
        "configmap",
        "auth-config",
        "--type",
        "merge",
        "-p",
        &edit,
    ];
    if let Some(place) = changed_under_the_sheet("sync like-service", &patch) {
        assert_eq!(place.lab.effects()["sync auth-service"], 2);
    }
}

/// Somebody deletes an object whose fields are decided and pushed: it is asked about as a whole, and a sync makes it again.
#[test]
fn an_object_that_is_deleted_after_its_fields_were_decided_is_made_again() {
    changed_under_the_sheet("sync auth-service", &["delete", "configmap", "auth-config"]);
}

/// A colleague puts both fields of auth back after the freeze, so that what was found stands nowhere. Taken from the snapshot, each field
/// gets its own value, the board keeps both until they are pushed, and the push says whose work it undoes.
#[test]
fn what_the_snapshot_has_is_put_back_field_by_field() {
    let place = Place::new();
    let mut screen = place.open(WIDE);
    walk(&mut screen, &Answers { column: "3" }, |shot| {
        shot.next().starts_with("decide 2 fields")
    });
    let back = json!({"data": {"JWT_ALGORITHM": "HS256", "JWT_PUBLIC_KEY_ID": "key-2024-09"}});
    let back = back.to_string();
    let mut edit = vec!["patch", "configmap", "auth-config", "--type", "merge"];
    edit.extend(["--field-manager=jane", "-p", &back]);
    if !kubectl(&place, &edit) {
        return;
    }
    to_stage(&mut screen, "Decide");
    screen.wait_text("6 snapshot");
    let answers = Answers { column: "6" };
    walk(
        &mut screen,
        &answers,
        |shot| matches!(shot.over(), Over::Prompt { field, .. } if field == "reason"),
    );
    for line in [
        "6 cells: .data.JWT_ALGORITHM, .data.JWT_PUBLIC_KEY_ID in auth, like, profile",
        ".data.JWT_ALGORITHM: RS256",
        ".data.JWT_PUBLIC_KEY_ID: key-2024-11-rot",
    ] {
        screen.wait_text(line);
    }
    walk(
        &mut screen,
        &answers,
        |shot| matches!(shot.over(), Over::Sheet { title, .. } if title.starts_with("push to")),
    );
    screen.wait_text("undoes what jane");
    while screen.shot().over() != Over::Nothing {
        screen.send("esc");
        screen.within(Duration::from_secs(2), |shot| shot.over() == Over::Nothing);
    }
    to_stage(&mut screen, "Decide");
    screen.wait_text("2 decided of 2");
    walk(&mut screen, &answers, |shot| shot.next() == "closed");
    place.assert_recovered("RS256", "key-2024-11-rot");
    let decided: Vec<_> = place
        .journal()
        .into_iter()
        .filter_map(|line| match line.record.event {
            Event::Decided { decisions } => Some(decisions),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(decided.len(), 6);
    for decision in decided {
        let Take::Snapshot(kept) = &decision.take else {
            panic!("{decision:?}");
        };
        let wanted = match decision.cell.field.to_string().as_str() {
            ".data.JWT_ALGORITHM" => "RS256",
            _ => "key-2024-11-rot",
        };
        assert_eq!(kept.value, Some(json!(wanted)), "{decision:?}");
        assert_eq!(decision.git, Wanted::Value(json!(wanted)), "{decision:?}");
    }
    let records = place.journal().into_iter().map(|line| line.record);
    let run = Run::fold(&records.collect::<Vec<_>>());
    let plan = trueup_core::plan::export(&run).unwrap().to_yaml();
    assert!(
        plan.contains("snapshot:") && plan.contains("value: key-2024-11-rot"),
        "{plan}"
    );
}

/// Git is away when a push was confirmed, and while a gate is watched: the one failed and is told, the other is no time of the gate.
#[test]
fn what_git_was_away_for_is_told() {
    let waits = crate::support::WAITS
        .replace("gate_for = \"200ms\"", "gate_for = \"6s\"")
        .replace("gate_every = \"100ms\"", "gate_every = \"500ms\"");
    let place = Place::with_waits(&waits);
    let mut screen = place.open(WIDE);
    let answers = Answers { column: "3" };
    let away = place.lab.repository().with_extension("away");
    let move_away = || fs::rename(place.lab.repository(), &away).unwrap();
    let put_back = || fs::rename(&away, place.lab.repository()).unwrap();
    walk(
        &mut screen,
        &answers,
        |shot| matches!(shot.over(), Over::Sheet { title, .. } if title.starts_with("push to")),
    );
    move_away();
    confirm(&mut screen);
    screen.wait_text("nothing of it was written");
    let failed = |event: &Event| {
        matches!(event, Event::Refused { what, failed: true, why, .. }
            if what.starts_with("push to") && why.contains("nothing of it was written"))
    };
    assert!(place.happened(failed));
    put_back();
    walk(&mut screen, &answers, |shot| {
        shot.next() == "watch gate no-401"
    });
    move_away();
    screen.wait_for("that not everything is read", |shot| {
        shot.has("could not be read") || shot.has("could be read")
    });
    std::thread::sleep(Duration::from_secs(7));
    put_back();
    let told = |event: &Event| matches!(event, Event::Outage { what, why, .. } if what == "part of what is compared" && !why.is_empty());
    screen.wait_for("the outage in the journal", |_| place.happened(told));
    screen.wait_for("the walk going on", |shot| {
        ["watch gate", "attest"]
            .iter()
            .any(|next| shot.next().starts_with(next))
    });
    walk(&mut screen, &answers, |shot| shot.next() == "closed");
    place.assert_recovered("RS256", "key-2024-11-rot");
    let records = place.journal().into_iter().map(|line| line.record);
    let run = Run::fold(&records.collect::<Vec<_>>());
    let mut gates = run.apps.values().filter_map(|app| app.gates.get("no-401"));
    assert!(gates.any(|gate| !gate.away.is_empty()));
}
