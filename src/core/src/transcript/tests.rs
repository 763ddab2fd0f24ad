//! The transcript of the sample, and of hostile copies of it.

mod by_hand;
mod told;

use super::*;
use crate::{
    event::{Event, Record},
    run::Run,
};

/// The next record, a minute after the last one.
fn happens(records: &mut Vec<Record>, event: Event) {
    let last = records.last().unwrap();
    let (seq, time) = (
        last.seq + 1,
        last.time + jiff::SignedDuration::from_secs(60),
    );
    records.push(Record { seq, time, event });
}

/// The sample up to and with the first record that is meant.
fn until(meant: impl Fn(&Event) -> bool) -> Vec<Record> {
    let mut records = sample::records();
    let at = records.iter().position(|record| meant(&record.event));
    records.truncate(at.unwrap() + 1);
    records
}

fn transcript(records: &[Record]) -> (Run, Transcript) {
    let run = Run::fold(records);
    let transcript = Transcript::of(&Line::chain(records), &run);
    (run, transcript)
}

#[test]
fn markdown_of_the_sample() {
    let (_, t) = transcript(&sample::records());
    insta::assert_snapshot!(markdown(&t));
}

#[test]
fn what_was_written_after_the_close_is_no_part_of_the_time_that_it_took() {
    let (_, t) = transcript(&sample::records());
    let took = |t: &Transcript| {
        let text = markdown(t);
        let line = text.lines().find(|line| line.contains("time (UTC)"));
        line.unwrap().to_owned()
    };
    let mut records = sample::records();
    let mut late = records.last().unwrap().clone();
    late.seq += 1;
    late.time += jiff::SignedDuration::from_secs(3600);
    records.push(late);
    let closed = |record: &&Record| matches!(record.event, crate::event::Event::Closed { .. });
    let at = records.iter().find(closed).unwrap().time;
    records.last_mut().unwrap().event = crate::event::Event::Exported {
        format: "md".into(),
        digest: crate::ids::Digest::of(b""),
    };
    let (_, after) = transcript(&records);
    assert!(
        took(&after).contains(&at.strftime("%H:%M:%S").to_string()),
        "{}",
        took(&after)
    );
    assert_eq!(took(&after), took(&t));
}

/// What was pushed was the truth for a time, whatever was decided after it.
#[test]
fn a_decision_that_was_pushed_stays_in_the_table_after_it_was_decided_anew() {
    use crate::{decision::Wanted, event::Event};
    let all = sample::records();
    let landed = |record: &Record| matches!(record.event, Event::Landed { .. });
    let decided = |record: &&Record| matches!(record.event, Event::Decided { .. });
    let first = all.iter().find(decided).unwrap().clone();
    let push = all.iter().position(landed).unwrap();
    let anew = |at: usize, value: &str| {
        let mut records = all[..at].to_vec();
        let last = records.last().unwrap();
        let (seq, time) = (
            last.seq + 1,
            last.time + jiff::SignedDuration::from_secs(60),
        );
        let Event::Decided { mut decisions } = first.event.clone() else {
            unreachable!("it is one");
        };
        decisions.truncate(1);
        decisions[0].git = Wanted::Value(serde_json::json!(value));
        decisions[0].at = time;
        records.push(Record {
            seq,
            time,
            event: Event::Decided { decisions },
        });
        let (_, t) = transcript(&records);
        (markdown(&t), t)
    };
    let (text, t) = anew(push + 1, "ES512");
    let rows = |t: &Transcript| {
        let field = ".data.JWT_ALGORITHM";
        let of = |d: &&Decided| d.field == field && d.application == "auth-service";
        let rows = t.decisions.iter().filter(of);
        rows.map(|d| (d.git_wanted.clone(), d.until.is_some()))
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&t), [("RS256".into(), true), ("ES512".into(), false)]);
    assert!(text.contains(", until "), "{text}");
    // What never left the board is no part of it.
    let before = all.iter().position(|record| decided(&record)).unwrap();
    let (text, t) = anew(before + 1, "ES512");
    assert_eq!(rows(&t), [("ES512".into(), false)]);
    assert!(!text.contains(", until "), "{text}");
}

#[test]
fn html_of_the_sample() {
    let (_, t) = transcript(&sample::records());
    insta::assert_snapshot!(html(&t));
}

#[test]
fn every_beginning_of_a_journal_has_a_transcript_and_a_status() {
    let records = sample::records();
    let mut lines: Vec<String> = Vec::new();
    for end in 0..=records.len() {
        let (run, t) = transcript(&records[..end]);
        markdown(&t);
        html(&t);
        verify(&t.json()).unwrap();
        let line = status_line(&run, None);
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

/// A colleague takes back what was decided and pushed: whoever reads the transcript alone reads that it is owed.
#[test]
fn what_somebody_took_back_is_owed_in_the_transcript_until_it_is_back() {
    let mut records = until(|event| matches!(event, Event::Landed { .. }));
    let (run, before) = transcript(&records);
    let decision = run.decisions.values().find(|d| d.changes_git()).unwrap();
    let cell = decision.cell.clone();
    let sides = crate::decision::Sides {
        git: Some("mallory".into()),
        ..decision.seen.clone()
    };
    happens(
        &mut records,
        Event::Adopted {
            application: Some(cell.application.clone()),
            what: format!(
                "{} {}: Git went from RS256 to mallory",
                cell.object, cell.field
            ),
            who: "ann".into(),
            cell: Some(cell.clone()),
            sides: Some(sides.clone()),
        },
    );
    let (run, t) = transcript(&records);
    let again = format!(
        "{} {} open again, since somebody changed it",
        cell.object, cell.field
    );
    let owed = |t: &Transcript| t.owed.iter().any(|owed| owed.what.contains(&again));
    assert!(owed(&t) && !owed(&before), "{:?}", t.owed);
    assert_eq!(t.owed.len(), before.owed.len() + 1);
    assert!(
        t.outcome
            .contains(&format!("{} things are owed", t.owed.len()))
    );
    let told = markdown(&t);
    let row = "open again since: ann did: Git went from RS256 to mallory";
    assert!(told.contains(row), "{told}");
    assert_eq!(run.open_again().collect::<Vec<_>>(), [&cell]);
    let anew = Event::Decided {
        decisions: vec![run.decisions[&cell].clone()],
    };
    let back = Event::StrayedBack {
        cell: cell.clone(),
        what: String::new(),
        who: String::new(),
        sides,
    };
    for settles in [anew, back] {
        let mut records = records.clone();
        happens(&mut records, settles);
        let t = transcript(&records).1;
        assert!(!owed(&t) && !markdown(&t).contains(row));
    }
}

#[test]
fn what_may_be_thawed_already_is_not_counted_as_frozen() {
    let records = sample::records();
    let thaws = |record: &crate::event::Record| {
        matches!(&record.event, crate::event::Event::Intended { effect, .. }
            if matches!(effect, crate::event::Effect::Thaw { .. }))
    };
    let at = records.iter().position(thaws).unwrap();
    let (before, begun) = (Run::fold(&records[..at]), Run::fold(&records[..=at]));
    let key = begun.ops[begun.op_order.last().unwrap()]
        .effect
        .application()
        .unwrap();
    let said = |run: &Run| (run.frozen(), run.freeze_word(key), run.is_frozen(key));
    assert_eq!(said(&before), (3, "proven", true));
    assert_eq!(said(&begun), (2, "thaw not known", false));
    let line = status_line(&begun, None);
    assert!(line.contains("2 frozen · 1 write unknown"), "{line}");
    let owed = begun.obligations();
    let owed: Vec<&str> = owed.iter().map(|owed| owed.what.as_str()).collect();
    assert!(
        owed.contains(
            &format!("{key} is frozen or thawed: it is not known whether its thaw happened")
                .as_str()
        ),
        "{owed:?}"
    );
    let as_frozen = format!("{key} is frozen (");
    assert!(
        !owed.iter().any(|owed| owed.starts_with(&as_frozen)),
        "{owed:?}"
    );
    // Found not to have happened, it is frozen as before.
    let mut found = begun.clone();
    let op = found.op_order.last().unwrap().clone();
    found.ops.get_mut(&op).unwrap().outcome = Some((
        crate::event::Outcome::NotDone {
            why: "it was not there".into(),
        },
        records[at].time,
    ));
    assert_eq!(said(&found), (3, "proven", true));
}

#[test]
fn an_export_that_was_touched_is_broken() {
    let (_, t) = transcript(&sample::records());
    let good = t.json();
    let verified = verify(&good).unwrap();
    assert_eq!(
        (verified.records, verified.head),
        (t.chain.count, t.chain.head.clone())
    );
    let broken = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        verify(&good.replacen(from, to, 1)).unwrap_err()
    };
    assert!(matches!(
        broken(r#"by\":\"mara"#, r#"by\":\"evil"#),
        Broken::Chain { .. }
    ));
    assert_eq!(
        broken(
            r#""outcome": "closed by mara"#,
            r#""outcome": "closed by eve"#
        ),
        Broken::Summary {
            what: "`outcome`".into()
        }
    );
    let mut cut = t.clone();
    cut.chain.records.pop();
    assert!(matches!(verify(&cut.json()), Err(Broken::Chain { .. })));
    assert!(matches!(verify(&markdown(&t)), Err(Broken::NotAnExport(_))));
}

const HOSTILE: &str = "x\u{1b}]52;c;aGk=\u{7}\u{9b}2J\u{202e}\u{200b}</script><script>alert(1)</script>``` ` | [a](javascript:1) <img src=x> www.evil.example https://u:CANARY@evil.example/ @all '\"$(touch /tmp/x)`id`\\ {{ 7*7 }}\nend";

/// Puts a text into every text of the records that is not a name, a time or a digest.
fn poison(value: &mut serde_json::Value, key: &str) {
    use serde_json::Value;
    let texts = [
        "operator",
        "by",
        "host",
        "reason",
        "message",
        "why",
        "who",
        "saw",
        "context",
        "server",
        "version",
        "evidence",
        "JWT_ALGORITHM",
        "live",
        "git",
        "manager",
        "path",
        "phase",
        "diff",
        "author",
        "how",
        "unread",
        "bookkeeping",
        "class",
        "value_text",
        "what",
        "manual",
        "to",
        "from",
    ];
    match value {
        Value::String(text) if texts.contains(&key) => *text = format!("{text} {HOSTILE}"),
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, key)),
        Value::Object(map) => {
            for (key, value) in map {
                // `by` of a decision and the like; `path` of a patch is a pointer that the world takes as it is.
                if key != "patch" {
                    poison(value, &key.clone());
                }
            }
        }
        _ => {}
    }
}

fn poisoned() -> Vec<Record> {
    sample::records()
        .iter()
        .map(|record| {
            let mut value = serde_json::to_value(record).unwrap();
            poison(&mut value, "");
            serde_json::from_value(value).unwrap_or_else(|_| record.clone())
        })
        .collect()
}

#[test]
fn hostile_text_is_inert_everywhere() {
    let records = poisoned();
    let hit = records
        .iter()
        .zip(sample::records())
        .filter(|(a, b)| **a != *b)
        .count();
    assert!(hit > 60, "only {hit} records were poisoned");
    let (run, t) = transcript(&records);
    let (md, page, json) = (markdown(&t), html(&t), t.json());
    for (what, text) in [
        ("markdown", &md),
        ("html", &page),
        ("json", &json),
        ("script", &t.by_hand),
        ("status", &status_line(&run, None)),
    ] {
        for line in text.lines() {
            assert!(quote::harmless(line), "{what}: {line:?}");
        }
    }
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag
            .split([' ', '\n'])
            .next()
            .unwrap()
            .trim_start_matches('/');
        let known = [
            "!doctype",
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "h1",
            "h2",
            "h3",
            "p",
            "table",
            "tr",
            "th",
            "td",
            "ul",
            "li",
            "dl",
            "dt",
            "dd",
            "code",
            "pre",
            "span",
            "br",
            "figure",
            "figcaption",
            "svg",
            "line",
            "path",
            "rect",
            "footer",
        ];
        assert!(known.contains(&name), "{tag}");
        assert!(
            !tag.contains("href") && !tag.contains("src=") && !tag.contains(" on"),
            "{tag}"
        );
    }
    // Outside code nothing of Markdown is left alive.
    let mut fence: Option<String> = None;
    for line in md.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match &fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if ticks >= 3 && !line[ticks..].contains('`') => fence = Some("`".repeat(ticks)),
            None => {
                let bare = outside_code_spans(line);
                for alive in ["<script", "<img", "](", "https://", "www.", "@all"] {
                    assert!(
                        !bare.replace("\\<", "").replace("\\]", "").contains(alive),
                        "{alive}: {line}"
                    );
                }
            }
        }
    }
    assert!(fence.is_none());
    for text in [&md, &page] {
        assert!(!text.contains("CANARY"), "a password of a URL");
    }
    verify(&json).unwrap();
}

/// A line of Markdown without its code spans, as CommonMark pairs them.
fn outside_code_spans(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if before.ends_with('\\') {
            out.push('`');
            rest = &from[1..];
            continue;
        }
        let ticks = from.len() - from.trim_start_matches('`').len();
        let after = &from[ticks..];
        let mut search = 0;
        let end = loop {
            let Some(found) = after[search..].find('`') else {
                break None;
            };
            let begin = search + found;
            let run = after[begin..].len() - after[begin..].trim_start_matches('`').len();
            if run == ticks {
                break Some(begin + run);
            }
            search = begin + run;
        };
        match end {
            Some(end) => rest = &after[end..],
            None => {
                out.push_str(&from[..ticks]);
                rest = after;
            }
        }
    }
    out + rest
}

#[test]
fn a_secret_stays_a_digest() {
    let mut records = sample::records();
    for record in &mut records {
        if let Event::Decided { decisions } = &mut record.event {
            decisions[0].seen.live = Some(serde_json::json!({"secret": "hmac:abc"}));
        }
        if let Event::Proposed { proposal } = &mut record.event {
            proposal.files[0].diff =
                "@@ -1,3 +1,3 @@\n kind: Secret\n stringData:\n-  a: CANARY\n+  a: b\n".into();
        }
    }
    let (_, t) = transcript(&records);
    let md = markdown(&t);
    assert!(md.contains("•••••• (hmac:abc)"));
    for text in [md, html(&t), t.by_hand] {
        assert!(!text.contains("CANARY"));
    }
}

/// `sh -n` where there is a shell: the script is a script whatever the journal holds.
#[test]
fn the_script_is_a_script() {
    for records in [sample::records(), poisoned()] {
        let (_, t) = transcript(&records);
        use std::{io::Write, process::*};
        let child = Command::new("sh")
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else { return };
        child
            .stdin
            .take()
            .unwrap()
            .write_all(t.by_hand.as_bytes())
            .unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        for old in ["4711", "9be41c2aaaa", "resourceVersion\"", "sync-auth"] {
            assert!(!t.by_hand.contains(old), "{old} belongs to the old world");
        }
    }
}

#[test]
fn a_merge_is_waited_for_and_gives_the_revision() {
    use crate::{event::Effect, ids::Commit};
    let merged = Commit::from("2222222222222222222222222222222222222222");
    let mut records = sample::records();
    for record in &mut records {
        match &mut record.event {
            Event::Intended {
                effect: Effect::Push {
                    branch, tracked, ..
                },
                ..
            } => {
                *branch = "trueup/INC-441".into();
                *tracked = false;
            }
            Event::Intended {
                effect: Effect::Sync { revision, .. },
                ..
            } => *revision = merged.clone(),
            Event::Landed { revision, .. } => *revision = merged.clone(),
            _ => {}
        }
    }
    let (_, t) = transcript(&records);
    let at = |what: &str| {
        t.by_hand
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {}", t.by_hand))
    };
    assert!(at("HEAD:refs/heads/trueup/INC-441") < at("await 'somebody merges it' merged"));
    assert!(at("REVISION=$(git ls-remote \"$REPO\" refs/heads/main") < at("start_sync argocd"));
}

/// Somebody keeps a file of a megabyte in a ConfigMap: the transcript is still one that a person opens.
#[test]
fn a_long_value_is_whole_in_json_and_named_elsewhere() {
    use crate::decision::Wanted;
    let long = "MII".repeat(300 * 1024);
    let mut records = sample::records();
    for record in &mut records {
        match &mut record.event {
            Event::Decided { decisions } => {
                for decision in decisions {
                    decision.seen.live = Some(long.as_str().into());
                    decision.live = Wanted::Value(long.as_str().into());
                }
            }
            Event::Proposed { proposal } => {
                for file in &mut proposal.files {
                    file.diff.push_str(&format!("+  key: {long}\n"));
                    file.diff
                        .push_str(&"+  - one of many lines\n".repeat(10_000));
                }
            }
            Event::Intended {
                effect: crate::event::Effect::Thaw { patch, .. },
                ..
            } => *patch = serde_json::json!({"metadata": {"annotations": {"x": long}}}),
            _ => {}
        }
    }
    let (_, t) = transcript(&records);
    let digest = crate::ids::Digest::of(long.as_bytes());
    let sign = format!(
        "… ({} bytes, SHA-256 {digest}; whole in the JSON export)",
        long.len()
    );
    let page = html(&t);
    for text in [markdown(&t), page] {
        assert!(text.len() < 600 * 1024, "{}", text.len());
        assert!(text.contains(&sign), "a decision's value");
        assert!(text.contains("more lines ("), "a diff");
        assert!(text.contains("trueup export INC-441 --format json | jq -r .byHand"));
        assert!(!text.contains("kubectl -n argocd patch"), "half a script");
    }
    let json: serde_json::Value = serde_json::from_str(&t.json()).unwrap();
    assert_eq!(json["decisions"][0]["live"], long.as_str());
    assert!(json["byHand"].as_str().unwrap().contains(&long));
}

#[test]
fn a_freeze_over_an_own_note_does_not_say_that_there_was_nothing_to_switch_off() {
    let mut records = sample::records();
    for record in &mut records {
        if let Event::Intended {
            effect: crate::event::Effect::Freeze { found, .. },
            ..
        } = &mut record.event
        {
            *found = serde_json::json!({"automated": {"prune": true}});
        }
    }
    let (_, t) = transcript(&records);
    for text in [markdown(&t), html(&t)] {
        assert!(text.contains("an earlier freeze had switched auto-sync off"));
        assert!(!text.contains("nothing to switch off"));
    }
}

#[test]
fn a_gate_that_was_given_up_or_taken_away_stays_told() {
    let records = sample::records();
    let passed = |record: &Record| matches!(&record.event, Event::GatePassed { gate, .. } if gate == "no-401");
    let at = records.iter().position(passed).unwrap();
    let mut records = records[..at].to_vec();
    let mut happens = |line: &str| {
        let last = records.last().unwrap();
        let record = line.replacen(
            '{',
            &format!(r#"{{"seq":{},"time":"{}","#, last.seq + 1, last.time),
            1,
        );
        records.push(serde_json::from_str(&record).unwrap());
        transcript(&records)
    };
    // As journals of before have it: nobody is named who gave it up.
    let key = sample::app("profile");
    let timed_out = |more: &str| {
        format!(
            r#"{{"type":"gateTimedOut","application":"{key}","gate":"no-401","why":"red: 0.3"{more}}}"#
        )
    };
    let (run, t) = happens(&timed_out(""));
    assert_eq!(run.late_gate(&key).as_deref(), Some("no-401"));
    assert!(markdown(&t).contains("timed out: red: 0.3"));
    let (run, t) = happens(&timed_out(r#","givenUpBy":"jo""#));
    assert!(
        run.apps[&key].gates["no-401"]
            .late()
            .unwrap()
            .contains("given up by jo")
    );
    assert!(markdown(&t).contains("given up by jo: red: 0.3"));
    let line = status_line(&run, None);
    assert!(line.contains("gate no-401 given up by jo ·"), "{line}");
    let broken = format!(
        r#"{{"type":"glassBroken","application":"{key}","what":"no-401","reason":"customers wait","by":"jo"}}"#
    );
    let line = status_line(&happens(&broken).0, None);
    let said = "gate no-401 given up by jo, glass broken ·";
    assert!(line.contains(said) && !line.contains("TIMED OUT"), "{line}");

    let removed =
        r#"{"type":"gateRemoved","gate":"no-401","why":"it counts the probes","by":"jo"}"#;
    let (run, t) = happens(removed);
    assert_eq!(run.late_gate(&key), None);
    assert_eq!(run.gates_after(&key), ["healthy", "traces"]);
    let told = markdown(&t);
    assert!(
        told.contains("taken away by jo: it counts the probes"),
        "{told}"
    );
    let (sampled, _) = run.gates_before_thaw(std::slice::from_ref(&key));
    assert!(sampled.into_iter().eq(["healthy"]));

    // Put back, it is asked for again, from the beginning.
    let spec = serde_json::to_string(&run.removed_gates["no-401"].spec).unwrap();
    let (run, _) = happens(&format!(
        r#"{{"type":"gateAdded","gate":"no-401","spec":{spec},"by":"jo"}}"#
    ));
    assert!(run.gates_after(&key).contains(&"no-401".to_owned()));
    assert!(!run.apps[&key].gates.contains_key("no-401") && run.removed_gates.is_empty());

    // Glass that is broken for it is not sampled before the thaw.
    let (run, _) = happens(
        r#"{"type":"glassBroken","application":null,"what":"no-401","reason":"customers wait","by":"jo"}"#,
    );
    let (sampled, broken) = run.gates_before_thaw(std::slice::from_ref(&key));
    assert!(sampled.into_iter().eq(["healthy"]));
    assert_eq!(broken[0].reason, "customers wait");
}

#[test]
fn a_branch_that_moved_is_not_told_as_a_message_of_the_operator() {
    let records = sample::records();
    let proposed = |record: &Record| matches!(record.event, Event::Proposed { .. });
    let at = records.iter().position(proposed).unwrap();
    let mut records = records[..=at].to_vec();
    let (seq, time) = (records[at].seq + 1, records[at].time);
    let event = Event::ProposalVoid {
        why: "0123456 is not the head of main any more".into(),
    };
    records.push(Record { seq, time, event });
    let (run, t) = transcript(&records);
    assert_eq!(run.proposal, None);
    let told = markdown(&t);
    assert!(told.contains("does not stand any more"), "{told}");
    assert!(!told.contains("message set"), "{told}");
}

/// Auto-sync is on and something became of it that nobody was shown: no thaw that is under way.
#[test]
fn a_thaw_that_did_not_hold_is_told_in_the_line() {
    let records = sample::records();
    let watched = |record: &Record| matches!(record.event, Event::ThawWatched { .. });
    let at = records.iter().position(watched).unwrap();
    let mut records = records[..=at].to_vec();
    let before = status_line(&transcript(&records).0, None);
    assert!(before.contains("1 thawing"), "{before}");
    if let Event::ThawWatched { holds, why, .. } = &mut records[at].event {
        (*holds, *why) = (false, "auto-sync started a sync".into());
    }
    let line = status_line(&transcript(&records).0, None);
    let said = "thaw DID NOT HOLD: auth-service";
    assert!(line.contains(said) && !line.contains("thawing"), "{line}");
}

/// A sample that is minutes old is none of now: nobody has asked the gate since.
#[test]
fn a_gate_that_nobody_asks_is_told_with_its_time() {
    let records = sample::records();
    let sampled = |record: &Record| matches!(record.event, Event::GateSampled { .. });
    let at = records.iter().position(sampled).unwrap();
    let (run, _) = transcript(&records[..=at]);
    let line = |later: i64| {
        let now = crate::now::Now {
            at: records[at].time + jiff::SignedDuration::from_secs(later),
            ..crate::now::Now::default()
        };
        status_line(&run, Some(&now))
    };
    assert!(!line(5).contains("when last asked"), "{}", line(5));
    assert!(line(156).contains(" when last asked, "), "{}", line(156));
}
