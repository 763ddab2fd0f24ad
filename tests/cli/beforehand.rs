//! What can be known before production is frozen, or before a live action is written, is said before it.

use super::*;

const ALL: [&str; 2] = ["--write", "all"];

fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word} in:\n{said}");
    }
}

impl Bench {
    fn planned(&self, code: i32, plan: &Path, arguments: &[&str]) -> Ran {
        let plan = plan.display().to_string();
        self.ends(code, &[&["run", plan.as_str()][..], arguments].concat())
    }
}

impl Bench {
    fn journal(&self) -> String {
        fs::read_to_string(self.state.join("incidents/INC-441/journal.jsonl")).unwrap()
    }

    fn plans_taken(&self) -> usize {
        self.journal().matches("\"type\":\"planTaken\"").count()
    }

    /// The plan without one of its Applications.
    fn less(&self) -> PathBuf {
        self.plan("less.yaml", |text| {
            text.replace("auth-service, like", "like")
                .replace("- {application: auth-service, expect: no-change}\n", "")
        })
    }
}

#[test]
fn what_a_plan_leaves_open_is_said_before_the_freeze() {
    let bench = Bench::new();
    let one_of_two = bench.plan("half.yaml", |text| {
        text.replace("fields: [\".data.*\"]", "fields: [.data.JWT_ALGORITHM]")
            .replace(", \".data.JWT_PUBLIC_KEY_ID\": key-2024-11-rot", "")
            .replace(
                "commit: {",
                "act:\n- {application: like-service, object: Deployment/like-service, action: {patch: {field: .spec.replicas, value: many}}, reason: load}\n\
                 - {application: profile-service, object: Deployment/profile-service, action: {scale: {replicas: 0}}, reason: still}\n\
                 - {application: profile-service, object: Deployment/profile-service, action: {scale: {replicas: 3}}, reason: on again}\ncommit: {",
            )
    });
    let left = [
        "warning: the plan leaves 1 field (3 cells) without a decision, and the walk stops at them once all is frozen: ",
        ".data.JWT_PUBLIC_KEY_ID of auth-service",
        ".data.JWT_PUBLIC_KEY_ID of profile-service",
        "warning: the walk stops at the live action on Deployment/like-service of like-service, once all is frozen: ",
        "422",
    ];
    let read = bench.planned(3, &one_of_two, &[]).err;
    says(&read, &left);
    // What an armed one would write first.
    says(&read, &["freeze 3 applications", "\n  undo     "]);
    // The second of two finds what the first one left.
    assert!(
        !read.contains("the live action on Deployment/profile-service"),
        "{read}"
    );
    let armed = bench.planned(4, &one_of_two, &ALL).err;
    says(&armed, &left);
    assert_eq!(armed.matches(left[0]).count(), 1, "{armed}");
    let (warned, frozen) = (armed.find(left[0]), armed.find("freeze 3 applications"));
    assert!(warned < frozen, "{armed}");
    says(
        &armed,
        &["left over without a decision: 1 field (3 cells), the first"],
    );
}

/// Opened by a freeze; somebody tries plans on it before one is armed for.
#[test]
fn a_plan_that_nobody_armed_for_is_not_taken_up() {
    let bench = Bench::new();
    let freeze = ["freeze", "auth-service", "--incident", "INC-441"];
    bench.ends(0, &[&freeze[..], &["--write", "cluster"]].concat());
    let taken = || bench.plans_taken();
    // It would be changed and thawed without being named.
    let less = bench.less();
    for arguments in [&[][..], &ALL] {
        let said = [
            "rule 2: `scope` leaves out argocd/auth-service, which is in this incident",
            "trueup park argocd/auth-service --incident INC-441",
        ];
        says(&bench.planned(3, &less, arguments).err, &said);
    }
    let other = bench.plan("other.yaml", |text| {
        text.replace("is the truth", "is right")
    });
    for plan in [&other, &bench.own_plan()] {
        let said = [
            "warning: the plan brings argocd/like-service, argocd/profile-service into the incident",
            "not armed: the plan is not taken up for INC-441, which is open without one",
            "start with --write all",
        ];
        says(&bench.planned(3, plan, &[]).err, &said);
        assert_eq!(taken(), 0);
    }
    // What is armed for is, be it for too little.
    bench.planned(3, &bench.own_plan(), &["--write", "git"]);
    assert_eq!(taken(), 1);
    says(&bench.planned(3, &other, &[]).err, &["another plan"]);
    // A mended one neither.
    let journal = bench.journal();
    let said = [
        "not armed: the plan does not take the place of the one that INC-441 has (decisions[0].reason changed)",
        "start with --write all",
    ];
    let mend = ["--replan", "reworded"];
    says(&bench.planned(3, &other, &mend).err, &said);
    assert_eq!(bench.journal(), journal);
    bench.planned(3, &other, &[&mend[..], &["--write", "git"]].concat());
    assert_eq!(taken(), 2);
}

/// Somebody looked with a plan that was not right yet.
#[test]
fn a_plan_that_nobody_was_ever_armed_for_gives_way() {
    let bench = Bench::new();
    bench.planned(3, &bench.less(), &[]);
    let said = [
        "warning: the plan brings argocd/auth-service into the incident",
        "targets.*.policy changed",
    ];
    let journal = bench.journal();
    let right = bench.plan("right.yaml", |text| {
        text.replace("policy: declared", "policy: found")
    });
    says(&bench.planned(3, &right, &[]).err, &said);
    assert_eq!(bench.journal(), journal);
    let refused = bench.planned(3, &right, &["--write", "git"]).err;
    says(&refused, &["opened with another plan", "--replan"]);
    assert_eq!(bench.journal(), journal);
    let why = ["--write", "git", "--replan", "that was a look"];
    bench.planned(3, &right, &why);
    assert_eq!(bench.plans_taken(), 1);
    assert!(bench.journal().contains("that was a look"));
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(status["applications"].as_array().unwrap().len(), 3);
    // From here on it is the plan of the incident.
    says(
        &bench.planned(3, &bench.less(), &ALL).err,
        &["another plan"],
    );
}

#[test]
fn a_branch_that_nothing_follows_is_said_before_the_freeze_and_has_a_way_on() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let config = fs::read_to_string(bench.lab.dir.path().join("config.toml")).unwrap();
    let config = bench.write("config.toml", &format!("{config}merge_deadline = \"1s\"\n"));
    let config = config.display().to_string();
    let armed = [&ALL[..], &["--config", &config]].concat();
    let misspelt = bench.plan("mian.yaml", |text| {
        text.replace("branch: main", "branch: mian")
    });
    let waits = "warning: commit.branch is mian, not main which the Applications follow: the change waits there, and all stays \
                 frozen, until somebody merges it (at most 1s); the remote has no such branch yet";
    says(
        &bench.planned(3, &misspelt, &["--config", &config]).err,
        &[waits],
    );
    let stopped = bench.planned(4, &misspelt, &armed).err;
    says(&stopped, &[waits]);
    assert!(
        stopped.find(waits) < stopped.find("freeze 3 applications"),
        "{stopped}"
    );
    // What was pushed stays pushed, and that is how it goes on.
    let mend = [&armed[..], &["--replan", "a slip"]].concat();
    let refused = bench.planned(3, &bench.own_plan(), &mend).err;
    says(&refused, &["merge mian into main by hand"]);
    let clone = bench.somebody("merger");
    bench.git(
        &clone,
        &["merge", "-q", "--no-ff", "-m", "merge", "origin/mian"],
    );
    bench.git(&clone, &["push", "-q", "origin", "main"]);
    bench.walk(0, &misspelt, &[&armed[..], &["--attest", SEEN]].concat());
    bench.assert_recovered();
    // A branch that is meant is no slip.
    let bench = Bench::new();
    let meant = bench.plan("own.yaml", |text| {
        text.replace("branch: main", "branch: fix, pullRequest: true")
    });
    let read = bench.planned(3, &meant, &[]).err;
    assert!(!read.contains("commit.branch"), "{read}");
}

#[test]
fn a_copy_that_is_not_there_is_named_with_those_that_are() {
    let bench = Bench::new();
    let misspelt = bench.plan("aut.yaml", |text| {
        text.replace("namespace: auth}}", "namespace: aut}}")
    });
    for arguments in [&[][..], &ALL] {
        let refused = bench.planned(3, &misspelt, arguments).err;
        says(
            &refused,
            &[
                "no copy in namespace aut holds this field; its copies are in namespace auth (auth-service), namespace like (like-service), \
                 namespace profile (profile-service)",
                "--replan 'why'",
            ],
        );
    }
}

#[test]
fn a_live_action_against_the_plan_is_said_with_the_way_back() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    bench.planned(3, &bench.own_plan(), &["--write", "cluster"]);
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(status["actedAgainstPlan"], Value::Null, "{status}");
    let act = [
        "act",
        "patch",
        "profile-service",
        "ConfigMap/auth-config",
        ".data.JWT_ALGORITHM",
    ];
    bench.ends(0, &[&act[..], &["PS256", "--write", "cluster"]].concat());
    let status = bench.document(1, "Status", &["status"]);
    let undo = status["actedAgainstPlan"]["command"].as_str().unwrap();
    assert!(
        undo.starts_with("trueup act undo profile-service ConfigMap/auth-config "),
        "{status}"
    );
    says(
        &bench.ends(1, &["status"]).out,
        &["but first: ", "the plan decides it otherwise", undo],
    );
    let refused = bench.planned(3, &bench.own_plan(), &ALL).err;
    says(&refused, &["was set by a live action", undo]);
    // The command that is named is one that works.
    let words: Vec<&str> = undo.split(' ').skip(1).collect();
    bench.ends(0, &words);
    assert_eq!(
        bench.document(1, "Status", &["status"])["actedAgainstPlan"],
        Value::Null
    );
    bench.walk(
        0,
        &bench.own_plan(),
        &[&ALL[..], &["--attest", SEEN]].concat(),
    );
    bench.assert_recovered();
}

/// Production did not wait for the commit, and was given what the plan brings: that is no conflict.
#[test]
fn a_live_action_that_sets_what_the_plan_decides_is_no_conflict() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    bench.planned(3, &bench.own_plan(), &["--write", "cluster"]);
    let act = |app: &str, value: &str| {
        let on = ["act", "patch", app, "ConfigMap/auth-config"];
        let what = [".data.JWT_ALGORITHM", value, "--write", "cluster"];
        bench.ends(0, &[&on[..], &what].concat());
        bench.document(1, "Status", &["status"])["actedAgainstPlan"].clone()
    };
    // The copy that the plan takes from would be another one: what it brings is not what was meant.
    let against = act("auth-service", "PS256");
    let undo = against["command"].as_str().unwrap();
    let words: Vec<&str> = undo.split(' ').skip(1).collect();
    bench.ends(0, &words);
    assert_eq!(act("profile-service", "RS256"), Value::Null);
    bench.walk(
        0,
        &bench.own_plan(),
        &[&ALL[..], &["--attest", SEEN]].concat(),
    );
    bench.assert_recovered();
}

#[test]
fn a_live_action_is_tried_out_for_its_sheet() {
    let bench = Bench::new();
    let on = ["auth-service", "--incident", "T-1", "--write", "cluster"];
    bench.ends(0, &[&["freeze"][..], &on].concat());
    let patch = ["act", "patch", "auth-service", "Deployment/auth-service"];
    let writes = || {
        let mut writes = bench.lab.writes();
        writes.retain(|write| write["objectRef"]["resource"] == "deployments");
        writes
    };
    for (set, why) in [
        (&[".spec.replicas", "abc"][..], "422"),
        (
            &[".spec.replica", "3", "--new-field"],
            "the server dropped it: a Deployment has no .spec.replica",
        ),
    ] {
        let read = bench.ends(3, &[&patch[..], set].concat()).err;
        says(
            &read,
            &[
                "! tried out with a dry run: ",
                "armed, it would end here: ",
                why,
                "not armed",
            ],
        );
        let armed = bench
            .ends(3, &[&patch[..], set, &["--write", "cluster"]].concat())
            .err;
        says(
            &armed,
            &["! tried out with a dry run: ", "was not changed: ", why],
        );
        assert!(writes().is_empty(), "{armed}");
    }
    let fine = bench
        .ends(3, &[&patch[..], &[".spec.replicas", "4"]].concat())
        .err;
    assert!(
        !fine.contains("tried out") && !fine.contains("would end here"),
        "{fine}"
    );
}
