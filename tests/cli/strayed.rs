//! What others do to fields that nobody decided on, and what they take back, is told: in the timeline and among what others did.

use super::*;

impl Bench {
    /// Somebody sets fields of an object by `kubectl patch`.
    pub(super) fn patches(&self, on: &[&str], fields: &Value) {
        let fields = fields.to_string();
        let patch = ["--type", "merge", "-p", &fields];
        self.kubectl(&[&["patch"], on, &patch].concat());
    }

    /// What the transcript says that others did, in its order, and whether the timeline has each of it too.
    fn done_by_others(&self) -> Vec<(String, String)> {
        let exported = self.ends(0, &["export", "INC-441", "--format", "json"]).out;
        let exported: Value = serde_json::from_str(&exported).unwrap();
        let timeline = exported["timeline"].to_string();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let adopted = exported["adopted"].as_array().unwrap().iter();
        let adopted: Vec<_> = adopted
            .map(|adopted| (text(&adopted["what"]), text(&adopted["who"])))
            .collect();
        for (what, _) in &adopted {
            assert!(timeline.contains(what), "{what}: {timeline}");
        }
        adopted
    }
}

/// The transcript has exactly these, each with an object, what became of it, and that `kubectl patch` did it.
fn assert_told(bench: &Bench, wanted: &[(&str, &str)]) {
    let told = bench.done_by_others();
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for ((what, who), (object, moved)) in told.iter().zip(wanted) {
        assert!(
            what.contains(object) && what.contains(moved) && who.starts_with("kubectl-patch "),
            "{object}, {moved}: {told:#?}"
        );
    }
}

const PROFILE: [&str; 4] = ["deployment", "profile-service", "-n", "profile"];
const LIKE: [&str; 4] = ["configmap", "auth-config", "-n", "like"];
const WENT: (&str, &str) = (
    "Deployment/profile-service in profile .spec.replicas: ",
    "live went from 3 to 1, and nobody decided on it",
);
const CAME: (&str, &str) = (
    "Deployment/profile-service in profile .spec.replicas: ",
    "live is 3 again",
);

/// The screen stands at a gate that a person answers; a Deployment goes down and comes back, and a decided field as well.
#[test]
fn what_others_do_while_the_screen_is_looked_at_is_told_there_and_back() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    bench.walk(4, &bench.own_plan(), &["--write", "all"]);
    assert_told(&bench, &[]);
    let state = bench.state.display().to_string();
    let mut args = bench.lab.options();
    args.extend(["--state-dir", &state, "resume", "INC-441"].map(str::to_owned));
    let mut screen = Screen::start(&trueup(), &args, bench.home.path(), 120, 40);
    screen.wait_for("a look", |shot| shot.rail().contains("Sync"));
    std::thread::sleep(Duration::from_secs(2));
    let told = |count: usize| {
        crate::support::until("it is told", || bench.done_by_others().len() >= count);
    };
    let replicas = |count: u8| bench.patches(&PROFILE, &json!({"spec": {"replicas": count}}));
    replicas(1);
    told(1);
    screen.wait_text("somebody changed a field");
    replicas(3);
    told(2);
    let algorithm = |name: &str| bench.patches(&LIKE, &json!({"data": {"JWT_ALGORITHM": name}}));
    algorithm("none");
    told(3);
    algorithm("RS256");
    told(4);
    // The same once more is another act.
    algorithm("none");
    told(5);
    algorithm("RS256");
    told(6);
    let decided = "ConfigMap/auth-config in like .data.JWT_ALGORITHM: ";
    let (none, back) = (
        (decided, "live went from RS256 to none"),
        (decided, "live is RS256 again"),
    );
    assert_told(&bench, &[WENT, CAME, none, back, none, back]);
    screen.signal("TERM");
    assert_eq!(screen.end(), Some(143), "terminated");
    // Nothing of it is in the way any more.
    bench.walk(0, &bench.own_plan(), &["--write", "all", "--attest", SEEN]);
    bench.assert_recovered();
    assert_told(&bench, &[WENT, CAME, none, back, none, back]);
}

/// Nobody watches when it happens: the next walk tells it, as far as the managed fields do.
#[test]
fn what_others_did_between_two_walks_is_told_by_the_next() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let plan = bench.own_plan();
    let all = ["--write", "all"];
    bench.walk(4, &plan, &all);
    // The time in managed fields has a resolution of one second.
    std::thread::sleep(Duration::from_secs(1));
    bench.patches(&PROFILE, &json!({"spec": {"replicas": 1}}));
    let open = bench.walk(4, &plan, &all);
    assert_eq!(open["stage"], "decide", "{open}");
    let since = "live is 1 since the snapshot, Git has 3, and nobody decided on it";
    assert_told(&bench, &[(WENT.0, since)]);
    bench.walk(4, &plan, &all);
    assert_told(&bench, &[(WENT.0, since)]);
    bench.patches(&PROFILE, &json!({"spec": {"replicas": 3}}));
    bench.walk(4, &plan, &all);
    let told = [(WENT.0, since), CAME];
    assert_told(&bench, &told);
    // What this incident does itself is nobody else's.
    let scale = [
        "act",
        "scale",
        "profile-service",
        "Deployment/profile-service",
        "4",
    ];
    bench.ends(0, &[&scale[..], &["--write", "cluster"]].concat());
    assert_told(&bench, &told);
}

/// Somebody writes over a live action before it is read again: what is not there any more is not done.
#[test]
fn a_live_action_that_somebody_wrote_over_did_not_hold() {
    if !have("kubectl") {
        return;
    }
    let bench = Bench::new();
    let armed = ["--incident", "L-1", "--write", "cluster"];
    bench.ends(0, &[&["freeze", "like-service"][..], &armed].concat());
    let act = ["act", "patch", "like-service", "ConfigMap/auth-config"];
    let what = [".data.JWT_PUBLIC_KEY_ID", "key-x", "--reason", "try it"];
    let arguments = [&act[..], &what, &armed, &["-o", "json"]].concat();
    let place = "after-effect intended act on argocd/like-service";
    let ran = refused::held_at(&bench, place, &arguments, || {
        bench.patches(&LIKE, &json!({"data": {"JWT_PUBLIC_KEY_ID": "key-y"}}));
    });
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let document: Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!(document["state"], "overwritten", "{document}");
    assert!(document["rereads"].to_string().contains("key-y"));
}
