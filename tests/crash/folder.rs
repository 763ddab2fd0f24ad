//! The state folder: two processes on it, journals that are not as we wrote them, full and read-only disks.

use super::*;

#[test]
fn two_processes_on_one_incident() {
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    let first = Running::start(walk.command(&trueup()));
    until("the first one is armed", || {
        walk.folded().armed != trueup_core::event::Armed::Nothing
    });
    let second = run(walk.command(&trueup()));
    assert_eq!(second.code, Some(4), "{second:?}");
    assert!(
        second.err.contains(&format!("pid {}", first.id())),
        "{second:?}"
    );
    // Somebody else, with a state folder of their own, and the same account.
    let elsewhere = crate::support::scratch();
    let mut same = command(&trueup(), elsewhere.path());
    same.args(lab.options());
    same.arg("--state-dir").arg(elsewhere.path().join("state"));
    same.args(["-o", "json", "--write", "all", "run"])
        .arg(lab.text("plan"));
    let same = run(same);
    assert_eq!(same.code, Some(4), "{same:?}");
    assert!(same.err.contains("jo@"), "{same:?}");
    // Somebody else altogether.
    let elsewhere = crate::support::scratch();
    let mut third = command(&trueup(), elsewhere.path());
    third.args(lab.options()).env("TRUEUP_OPERATOR", "mia");
    third.arg("--state-dir").arg(elsewhere.path().join("state"));
    third
        .args(["-o", "json", "--write", "all", "run"])
        .arg(lab.text("plan"));
    let third = run(third);
    assert_eq!(third.code, Some(4), "{third:?}");
    assert!(third.err.contains("jo@"), "{third:?}");
    let first = first.end();
    assert_eq!(first.code, Some(0), "{}", walk.tell(&first));
    walk.assert_nothing_lost(pushes);
}

/// Everything below a folder, to see that nothing was written.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(contents(&entry.path())),
            // The lock names the last process that looked.
            false if entry.file_name() == "lock" => {}
            false => {
                found.insert(entry.path(), fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_journal_that_is_not_as_we_wrote_it_is_left_alone() {
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    walk.kill_at("after-fsync intended sync argocd/like-service");
    let journal = walk.journal();
    let header = journal.with_file_name("header.json");
    let (whole, head) = (fs::read(&journal).unwrap(), fs::read(&header).unwrap());
    let text = String::from_utf8(whole.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |gone: usize| {
        let mut left = lines.clone();
        left.remove(gone);
        left.join("\n") + "\n"
    };
    let edited = text.replacen("auth-service", "auth-servicf", 1);
    assert_ne!(edited, text);
    let newer = r#"{"format":[2,0],"incident":"INC-441","tool":"9.0.0"}"#;
    for (what, journal_text, header_text) in [
        ("a line cut out", without(lines.len() / 2), None),
        ("the first line cut off", without(0), None),
        ("a line edited", edited, None),
        ("all of it gone", String::new(), None),
        ("a newer version", text.clone(), Some(newer)),
    ] {
        fs::write(&journal, journal_text).unwrap();
        fs::write(&header, header_text.map_or(head.as_slice(), str::as_bytes)).unwrap();
        let (files, writes) = (contents(&walk.state()), lab.writes().len());
        let mut command = command(&trueup(), walk.home.path());
        command
            .args(lab.options())
            .arg("--state-dir")
            .arg(walk.state());
        command
            .args(["--write", "all", "run"])
            .arg(lab.text("plan"));
        let ran = run(command);
        assert_eq!(ran.code, Some(2), "{what}: {ran:?}");
        assert!(ran.err.contains("hint"), "{what}: {ran:?}");
        assert!(
            contents(&walk.state()) == files,
            "{what}: something was written"
        );
        assert_eq!(lab.writes().len(), writes, "{what}");
    }
    fs::write(&journal, whole).unwrap();
    fs::write(&header, head).unwrap();

    // The cluster does not answer: what was in flight stays open, and nothing is guessed.
    let kubeconfig = fs::read_to_string(lab.text("kubeconfig")).unwrap();
    let server = trueup_core::text::line(&walk.folded().pin.server);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let dead = kubeconfig.replace(server.trim_end_matches('/'), &format!("https://{nobody}"));
    assert_ne!(dead, kubeconfig);
    fs::write(walk.file("dead.kubeconfig"), dead).unwrap();
    let files = contents(&walk.state());
    let mut command = walk.command(&trueup());
    command
        .arg("--kubeconfig")
        .arg(walk.file("dead.kubeconfig"));
    let ran = run(command);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(contents(&walk.state()) == files, "something was written");
    assert_eq!(walk.folded().open_ops().count(), 1);

    walk.finish();
    walk.assert_nothing_lost(pushes);
}

/// Whether this machine lets us mount a file system of our own.
fn may_mount() -> bool {
    let tried = std::process::Command::new("unshare")
        .args(["-Urm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .output();
    tried.is_ok_and(|out| out.status.success())
}

/// The disk is full again and again, at whatever is being written; each time there is a little more room, and the walk
/// goes on.
#[test]
fn a_full_disk_loses_nothing() {
    if !may_mount() {
        println!("skipped: no user namespaces here, so no small disk can be made");
        return;
    }
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    // Every start of the program is in one namespace, so that they see the same disk.
    let script = r#"
set -u
mkdir -p "$DISK"
size=96
mount -t tmpfs -o size=${size}k tmpfs "$DISK" || exit 99
while :; do
  "$@" >>"$LOG/out" 2>"$LOG/err.$size"
  code=$?
  echo "$size $code" >>"$LOG/codes"
  [ $code = 2 ] || break
  [ $size -lt 16000 ] || break
  size=$((size + 24))
  mount -o remount,size=${size}k "$DISK" || exit 98
done
mount -o remount,size=64m "$DISK"
cp -a "$DISK" "$LOG/kept"
mount -o remount,ro "$DISK" || exit 97
"$@" >"$LOG/out.ro" 2>"$LOG/err.ro"
echo $? >"$LOG/code.ro"
"#;
    let logs = walk.file("logs");
    fs::create_dir(&logs).unwrap();
    let mut command = command(Path::new("unshare"), walk.home.path());
    command.env("DISK", walk.state()).env("LOG", &logs);
    command
        .args(["-Urm", "sh", "-c", script, "sh"])
        .arg(trueup());
    command
        .args(lab.options())
        .arg("--state-dir")
        .arg(walk.state());
    command.args(["-o", "json", "--write", "all", "run"]);
    command
        .arg(lab.text("plan"))
        .args(["--attest", "traces=jo: seen"]);
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let codes = fs::read_to_string(logs.join("codes")).unwrap();
    let codes: Vec<(&str, &str)> = codes
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let (last, full) = codes.split_last().unwrap();
    for (size, code) in full {
        let said = fs::read_to_string(logs.join(format!("err.{size}"))).unwrap();
        assert_eq!(*code, "2", "{size} KiB: {said}");
        assert!(
            said.to_lowercase().contains("no space left"),
            "{size} KiB: {said}"
        );
    }
    let said = fs::read_to_string(logs.join(format!("err.{}", last.0))).unwrap();
    assert_eq!(last.1, "0", "{} KiB: {said}", last.0);
    assert!(full.len() >= 3, "{codes:?}");
    println!("the disk was full {} times", full.len());
    fs::remove_dir(walk.state()).unwrap();
    fs::rename(logs.join("kept"), walk.state()).unwrap();
    walk.assert_nothing_lost(pushes);
}

/// A state folder that cannot be written.
#[test]
fn a_read_only_folder_is_refused_before_anything_is_done() {
    if !may_mount() {
        println!("skipped: no user namespaces here, so no read-only disk can be made");
        return;
    }
    let lab = Lab::start(&FAST);
    let pushes = lab.pushes();
    let walk = Walk::new(&lab);
    let writes = lab.writes().len();
    let read_only = |arguments: &[&str]| {
        let mut command = command(Path::new("unshare"), walk.home.path());
        command.env("DISK", walk.state());
        let script = r#"mkdir -p "$DISK"; mount --bind "$DISK" "$DISK" && mount -o remount,bind,ro "$DISK" && exec "$@""#;
        command
            .args(["-Urm", "sh", "-c", script, "sh"])
            .arg(trueup());
        command
            .args(lab.options())
            .arg("--state-dir")
            .arg(walk.state());
        command
            .args(["-o", "json", "--write", "all"])
            .args(arguments);
        run(command)
    };
    let plan = lab.text("plan");
    let ran = read_only(&["run", &plan]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("--state-dir"), "{ran:?}");
    assert_eq!(lab.writes().len(), writes);
    // An incident that is there can still be looked at, and is not taken up.
    walk.kill_at("after-fsync freeze-proven argocd/auth-service");
    let (files, writes) = (contents(&walk.state()), lab.writes().len());
    let ran = read_only(&["run", &plan]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(lab.writes().len(), writes);
    let status = read_only(&["status"]);
    assert_eq!(status.code, Some(1), "{status:?}");
    assert_eq!(
        status.document()["frozen"].as_array().map(Vec::len),
        Some(3)
    );
    assert!(contents(&walk.state()) == files);
    walk.finish();
    walk.assert_nothing_lost(pushes);
}
