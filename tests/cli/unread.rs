//! Git cannot be read for a while.

use super::*;

/// What is not seen is not gone: nothing owed vanishes, nobody is said to have pushed, and nothing that rests on it goes ahead. To put
/// a live value right need not wait.
#[test]
fn what_cannot_be_read_is_neither_gone_nor_settled() {
    let bench = Bench::new();
    let act = |field: &str, value: &str| {
        bench.ends(
            0,
            &[
                "act",
                "patch",
                "like-service",
                "ConfigMap/auth-config",
                field,
                value,
                "--reason",
                "logins fail",
                "--write",
                "cluster",
            ],
        )
    };
    let freeze = [
        "freeze",
        "like-service",
        "--incident",
        "INC-701",
        "--write",
        "cluster",
    ];
    bench.ends(0, &freeze);
    act(".data.JWT_PUBLIC_KEY_ID", "key-2024-11-rot");
    let owed = |code: i32| -> Vec<String> {
        let status = bench.document(code, "Status", &["status"]);
        let owed = status["owed"].as_array().unwrap().iter();
        owed.map(|owed| owed["what"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = owed(1);
    assert!(
        before.iter().any(|what| what.contains("live action")),
        "{before:?}"
    );

    let away = bench.lab.repository().with_extension("away");
    std::fs::rename(bench.lab.repository(), &away).unwrap();
    assert_eq!(owed(1), before);
    let status = bench.document(1, "Status", &["status"]);
    assert_eq!(
        (&status["undecided"], &status["unread"]["application"]),
        (&Value::Null, &json!("argocd/like-service")),
        "{status}"
    );
    assert_eq!(status["openAgain"], json!([]), "{status}");
    let said = bench.ends(1, &["status"]).out;
    assert!(said.contains("not all of it could be READ"), "{said}");
    for command in [
        &["thaw", "like-service", "--write", "cluster"][..],
        &["close"],
    ] {
        let refused = bench.ends(3, command);
        assert!(
            refused
                .err
                .contains("not all of argocd/like-service could be read"),
            "{refused:#?}"
        );
    }
    act(".data.JWT_ALGORITHM", "ES256");
    let live = bench.get(&["configmap", "auth-config", "-n", "like"]);
    assert_eq!(live["data"]["JWT_ALGORITHM"], "ES256");

    std::fs::rename(&away, bench.lab.repository()).unwrap();
    let after = owed(1);
    for field in [".data.JWT_PUBLIC_KEY_ID", ".data.JWT_ALGORITHM"] {
        assert!(after.iter().any(|what| what.contains(field)), "{after:?}");
    }
    bench.ends(3, &["close"]);
    let transcript = bench.ends(0, &["export", "INC-701"]).out;
    assert!(!transcript.contains("(absent)"), "{transcript}");
    assert!(!transcript.contains("a push to Git"), "{transcript}");
}
