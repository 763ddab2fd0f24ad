//! Kills during recovery and at random, and what can be found without a journal.

use super::*;
use trueup_core::event::{Effect, Event, Outcome};

/// Each effect is cut off from its outcome, and then the processes that come to look it up are killed in turn at each
/// boundary of their first two records. What a look-up found is lost with the machine once, too, and so is the mirror
/// of the repository with the commit in it.
#[test]
fn killed_during_recovery() {
    let effects = points_of("after-effect");
    assert_eq!(effects.len(), 10);
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    let mut kills = 0;
    for (number, effect) in effects.iter().enumerate() {
        if number % 2 == 0 {
            walk.kill_at(effect);
        } else {
            walk.kill_at(&effect.replace("after-effect", "after-fsync"));
        }
        for nth in 1..=8 {
            if effect.contains("push") {
                let _ = fs::remove_dir_all(walk.state().join("mirrors"));
            }
            let mut command = walk.crashing();
            command.env("CRASH_NTH", nth.to_string());
            command.env("CRASH_SEEN", walk.file("seen"));
            let ran = run(command);
            assert!(ran.killed(), "{effect}, {nth}: {}", walk.tell(&ran));
            kills += 1;
            let seen = fs::read_to_string(walk.file("seen")).unwrap();
            if seen.lines().last().unwrap().starts_with("before-fsync") {
                cut_last_line(&walk.journal());
            }
        }
    }
    walk.finish();
    walk.assert_nothing_lost(pushes);
    println!("killed {kills} times during recovery");
}

/// A small generator, so that a seed says everything (Steele, Lea, Flood: SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Walks killed once, whenever that is. `CRASH_SEED` repeats a choice of moments.
#[test]
fn killed_once_at_random() {
    let seed = std::env::var("CRASH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    println!("CRASH_SEED={seed}");
    let mut state = seed;
    let took = u64::try_from(reference().took.as_millis()).unwrap();
    let moments: Vec<u64> = (0..20).map(|_| random(&mut state) % took).collect();
    std::thread::scope(|scope| {
        for share in moments.chunks(5) {
            scope.spawn(move || {
                for moment in share {
                    let lab = Lab::start(&FAST);
                    let pushes = lab.pushes();
                    let walk = Walk::new(&lab);
                    let mut walking = Running::start(walk.command(&trueup()));
                    std::thread::sleep(Duration::from_millis(*moment));
                    walking.kill();
                    let ran = walking.end();
                    println!("killed after {moment} ms, {} records", walk.records().len());
                    assert!(ran.killed() || ran.code == Some(0), "{}", walk.tell(&ran));
                    walk.finish();
                    walk.assert_nothing_lost(pushes);
                }
            });
        }
    });
}

/// A push goes on at the remote when its process is killed, and lands when it was looked for already: before the next process
/// pushes, or while it does.
fn a_push_lands_late(when: fn(&Event) -> bool, nth: usize) {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    let hook = lab.repository().join("hooks/pre-receive");
    let (begun, go) = (walk.file("begun"), walk.file("go"));
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(
        &hook,
        format!(
            "#!/bin/sh\ntouch {}\nuntil [ -e {} ]; do sleep 0.02; done\n",
            begun.display(),
            go.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let mut walking = Running::start(walk.command(&trueup()));
    until("the push begins", || begun.exists());
    walking.kill();
    assert!(walking.end().killed());
    std::thread::scope(|scope| {
        scope.spawn(|| walk.finish());
        until("the place where it lands", || {
            let records = walk.records();
            records
                .iter()
                .filter(|line| when(&line.record.event))
                .count()
                == nth
        });
        fs::write(&go, "").unwrap();
    });
    walk.assert_nothing_lost(pushes);
}

#[test]
fn a_push_lands_after_it_was_looked_for() {
    let not_done = |event: &Event| {
        matches!(
            event,
            Event::Ended {
                outcome: Outcome::NotDone { .. },
                ..
            }
        )
    };
    a_push_lands_late(not_done, 1);
}

#[test]
fn a_push_lands_while_the_next_is_under_way() {
    let pushing = |event: &Event| {
        matches!(
            event,
            Event::Intended {
                effect: Effect::Push { .. },
                ..
            }
        )
    };
    a_push_lands_late(pushing, 2);
}

/// The state folder is gone with the laptop: what is frozen, and how to restore it, is on the cluster.
#[test]
fn what_is_frozen_is_found_without_a_journal() {
    let settings: Vec<&str> = FAST.into_iter().chain(["extras=billing"]).collect();
    let lab = Lab::start(&settings);
    let walk = Walk::new(&lab);
    let before = specs(&lab, &APPLICATIONS);
    walk.kill_at("after-effect intended freeze argocd/profile-service");
    let billing = specs(&lab, &["billing"]);
    let other = crate::support::scratch();
    // Somebody with a right to `billing` too.
    let admin = std::path::Path::new(&lab.text("dir")).join("admin.kubeconfig");
    let options: Vec<String> = lab
        .options()
        .into_iter()
        .map(|option| match option == lab.text("kubeconfig") {
            true => admin.display().to_string(),
            false => option,
        })
        .collect();
    let mut freeze = command(&example("crashing"), other.path());
    freeze
        .args(&options)
        .arg("--state-dir")
        .arg(other.path().join("state"));
    freeze.args(["--write", "cluster", "freeze", "billing"]);
    fs::write(
        walk.file("at"),
        "after-effect intended freeze argocd/billing",
    )
    .unwrap();
    freeze.env("CRASH_AT", walk.file("at"));
    let ran = run(freeze);
    assert!(ran.killed(), "{ran:?}");
    assert_ne!(specs(&lab, &["billing"]), billing);

    let elsewhere = |arguments: &[&str]| {
        let mut command = command(&trueup(), walk.home.path());
        command.args(&options);
        command.arg("--state-dir").arg(walk.file("elsewhere"));
        command.args(["-o", "json"]).args(arguments);
        run(command)
    };
    let status = elsewhere(&["status"]);
    assert_eq!(status.code, Some(1), "{status:?}");
    let frozen = status.document()["frozen"].clone();
    let names: Vec<&str> = frozen
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note["application"].as_str().unwrap())
        .collect();
    let all = ["auth-service", "billing", "like-service", "profile-service"];
    assert_eq!(names, all.map(|name| format!("argocd/{name}")));
    let policy = json!({"automated": {"prune": true, "selfHeal": true}});
    assert_eq!(frozen[1]["found"], policy);
    let thaw = elsewhere(&[&["thaw", "--write", "cluster"], all.as_slice()].concat());
    assert_eq!(thaw.code, Some(0), "{thaw:?}");
    assert_eq!(specs(&lab, &APPLICATIONS), before);
    assert_eq!(specs(&lab, &["billing"]), billing);
    let status = elsewhere(&["status"]);
    assert_eq!(
        (status.code, &status.document()["frozen"]),
        (Some(0), &json!([]))
    );
}
