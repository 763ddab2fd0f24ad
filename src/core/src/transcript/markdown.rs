//! The transcript in Markdown: no raw HTML, no link made from data, fences that nothing inside can end.

use super::{
    chart,
    model::*,
    quote::{cell, code, fenced, prose, short_block, short_script},
    timeline::verdict,
    words::{clock, time},
};
use std::fmt::Write;

/// The transcript as one Markdown document.
pub fn markdown(t: &Transcript) -> String {
    let mut out = String::new();
    summary(t, &mut out);
    found(t, &mut out);
    decisions(t, &mut out);
    commits(t, &mut out);
    syncs(t, &mut out);
    freezes(t, &mut out);
    people(t, &mut out);
    owed(t, &mut out);
    out.push_str("## By hand\n\n");
    out.push_str(
        "The same with `kubectl`, `git` and a shell, on a fresh copy of the same world:\n\n",
    );
    out.push_str(&fenced("sh", &short_script(&t.by_hand, &t.incident)));
    timeline(t, &mut out);
    let chain = &t.chain;
    let _ = write!(
        out,
        "\n---\n\nMade by {} from {} journal records. Head of their chain: `{}`; SHA-256 of the records: `{}`.\nThis \
         file carries only these two: `trueup verify` checks the chain in the JSON export or in the journal.\n",
        prose(&t.made_by),
        chain.count,
        chain.head,
        chain.digest
    );
    out
}

/// A table; cells are Markdown already.
fn table(out: &mut String, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "| {} |", head.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out.push('\n');
}

fn list(out: &mut String, lines: impl IntoIterator<Item = String>) {
    let before = out.len();
    for line in lines {
        let _ = writeln!(out, "- {line}");
    }
    if out.len() > before {
        out.push('\n');
    }
}

fn summary(t: &Transcript, out: &mut String) {
    let _ = writeln!(out, "# {}\n", prose(&t.incident));
    let names: Vec<String> = t.operators.iter().map(|o| code(o)).collect();
    let scope: Vec<String> = t.scope.iter().map(|o| code(o)).collect();
    let at = |time_at: Option<_>| time_at.map_or_else(String::new, time);
    let rows = [
        ("outcome", prose(&t.outcome)),
        ("operator", names.join(", ")),
        (
            "cluster",
            format!(
                "{} ({}, {})",
                cell(&t.cluster.context),
                cell(&t.cluster.server),
                cell(&t.cluster.version)
            ),
        ),
        ("scope", scope.join(", ")),
        ("time (UTC)", {
            // What was written after the close is no part of the time that it took.
            let end = t
                .opened_at
                .and_then(|from| from.checked_add(t.duration.0).ok());
            format!("{} to {}, {}", at(t.opened_at), at(end), t.duration)
        }),
    ];
    table(
        out,
        &["", ""],
        rows.map(|(name, text)| vec![name.to_owned(), text]),
    );
    if let Some(said) = t.no_symptom_gate {
        let _ = writeln!(out, "**{}.**\n", prose(said));
    }
    for said in t.gates_in_doubt.iter().chain(&t.gates_changed) {
        let _ = writeln!(out, "**{}.**\n", prose(said));
    }
}

fn found(t: &Transcript, out: &mut String) {
    out.push_str("## What was found\n\n");
    for group in &t.found {
        let _ = writeln!(out, "### {}\n", prose(&group.what));
        let fields: Vec<String> = group.fields.iter().map(|f| cell(f)).collect();
        let mut head = vec!["where"];
        head.extend(fields.iter().map(String::as_str));
        head.push("written by, or in");
        let rows = group.states.iter().map(|state| {
            let mut row = vec![prose(&state.place)];
            row.extend(state.values.iter().map(|v| cell(v)));
            row.push(prose(&state.writer));
            row
        });
        table(out, &head, rows);
        list(
            out,
            group.questions.iter().map(|q| {
                let evidence: Vec<String> = q.evidence.iter().map(|e| prose(e)).collect();
                format!(
                    "{}: {}, {}. {}",
                    code(&q.field),
                    prose(&q.class),
                    prose(&q.confidence),
                    evidence.join("; ")
                )
            }),
        );
    }
    if t.applications.is_empty() {
        return;
    }
    out.push_str("### Auto-sync\n\n");
    let rows = t.applications.iter().map(|a| {
        vec![
            cell(&a.application),
            prose(&a.sync),
            prose(&a.health),
            prose(&a.auto_sync),
            prose(&a.off_not_before),
            prose(&a.off_not_after),
            prose(&a.target),
        ]
    });
    let head = [
        "application",
        "sync",
        "health",
        "auto-sync",
        "on until at least",
        "off by",
        "target",
    ];
    table(out, &head, rows);
    list(
        out,
        t.applications.iter().flat_map(|a| {
            let noise = (!a.noise.is_empty()).then(|| {
                format!(
                    "{}: hidden as noise: {}",
                    code(&a.application),
                    prose(&a.noise.join(", "))
                )
            });
            a.evidence
                .iter()
                .map(|e| format!("{}: {}", code(&a.application), prose(e)))
                .chain(noise)
                .collect::<Vec<_>>()
        }),
    );
}

fn decisions(t: &Transcript, out: &mut String) {
    out.push_str("## Decisions\n\n");
    if t.decisions.is_empty() {
        out.push_str("None.\n\n");
    }
    let head = [
        "object", "field", "choice", "Git", "live", "reason", "by", "at (UTC)",
    ];
    let rows = t.decisions.iter().map(|d| {
        vec![
            prose(&d.object),
            cell(&d.field),
            prose(&d.take),
            format!("{} → {}", cell(&d.git), cell(&d.git_wanted)),
            format!("{} → {}", cell(&d.live), cell(&d.live_wanted)),
            {
                let more = d.undoes.iter().chain(&d.undone);
                let more = more.map(|said| format!(" ({})", prose(said)));
                prose(&d.reason) + &more.collect::<String>()
            },
            cell(&d.by),
            match d.until {
                Some(until) => format!("{}, until {}", time(d.at), time(until)),
                None => time(d.at),
            },
        ]
    });
    table(out, &head, rows);
}

fn change(c: &Change) -> String {
    format!(
        "{} {}: {} → {}",
        prose(&c.object),
        code(&c.field),
        code(&c.from),
        code(&c.to)
    )
}

fn commits(t: &Transcript, out: &mut String) {
    if t.commits.is_empty() {
        return;
    }
    out.push_str("## The patch\n\n");
    for c in &t.commits {
        let tracked = if c.tracked { "tracked" } else { "not tracked" };
        let _ = writeln!(
            out,
            "Commit {} on {} ({tracked}) of {}, by {} at {}: {}{}\n",
            code(&c.commit),
            code(&c.branch),
            code(&c.repository),
            code(&c.by),
            time(c.at),
            prose(&c.outcome),
            if c.landed.is_empty() {
                String::new()
            } else {
                format!("; landed as {}", prose(&c.landed))
            }
        );
        out.push_str(&fenced("", &short_block(&c.message)));
        out.push('\n');
        if !c.others.is_empty() {
            out.push_str("Built on what others had pushed meanwhile:\n\n");
            list(out, c.others.iter().map(|other| prose(other)));
        }
        for file in &c.files {
            let _ = writeln!(
                out,
                "{}, {}:\n",
                code(&file.path),
                crate::text::count(file.fields, "field")
            );
            out.push_str(&fenced("diff", &short_block(&file.diff)));
            out.push('\n');
        }
        if !c.proof.is_empty() {
            out.push_str("Proof, by rendering before and after:\n\n");
        }
        list(out, c.proof.iter().flat_map(proof));
    }
}

fn proof(line: &Proof) -> Vec<String> {
    let verdict = if line.undecided.is_empty() && line.errors.is_empty() {
        "as decided, nothing else"
    } else {
        "NOT proven"
    };
    let mut out = vec![format!(
        "{}: {} to change, {verdict}",
        code(&line.application),
        crate::text::count(line.decided.len(), "field")
    )];
    out.extend(
        line.undecided
            .iter()
            .map(|c| format!("undecided: {}", change(c))),
    );
    out.extend(line.errors.iter().map(|e| format!("error: {}", prose(e))));
    out
}

fn effects(out: &mut String, what: &str, changes: &[Change], none: &str) {
    if changes.is_empty() {
        let _ = writeln!(out, "- {what}: {none}");
        return;
    }
    let _ = writeln!(out, "- {what}:");
    for c in changes {
        let _ = writeln!(out, "  - {}", change(c));
    }
}

fn syncs(t: &Transcript, out: &mut String) {
    if t.syncs.is_empty() {
        return;
    }
    out.push_str("## Syncs\n\n");
    for (n, sync) in t.syncs.iter().enumerate() {
        let _ = writeln!(out, "### {}. {}\n", n + 1, prose(&sync.application));
        let _ = writeln!(
            out,
            "To {} by {} at {} (op {}): {}; the operation ended as {}: {}\n",
            code(&sync.revision),
            code(&sync.by),
            time(sync.at),
            code(&sync.op),
            prose(&sync.outcome),
            code(&sync.phase),
            prose(&sync.message)
        );
        match &sync.predicted {
            None => out.push_str("- predicted: not possible\n"),
            Some(p) => {
                effects(out, "predicted", &p.changes, "no change");
                for (what, lines) in [
                    ("creates", &p.creates),
                    ("left alone, Git does not have it", &p.extra),
                    ("runs hooks", &p.hooks),
                    ("bookkeeping", &p.bookkeeping),
                    ("not predictable", &p.unknown),
                ] {
                    if !lines.is_empty() {
                        let lines: Vec<String> = lines.iter().map(|line| prose(line)).collect();
                        let _ = writeln!(out, "- {what}: {}", lines.join(", "));
                    }
                }
                if !p.unexpected.is_empty() {
                    effects(out, "predicted and not decided", &p.unexpected, "");
                }
                if !p.missing.is_empty() {
                    effects(out, "decided and not predicted", &p.missing, "");
                }
            }
        }
        effects(out, "expected", &sync.expected, "no change");
        match &sync.real {
            None => out.push_str("- real: not read back\n"),
            Some(real) => effects(out, "real", real, "no change"),
        }
        if !sync.surprises.is_empty() {
            effects(out, "surprises", &sync.surprises, "");
        }
        for over in &sync.overwritten {
            let _ = writeln!(out, "- not read back: {}", prose(over));
        }
        out.push('\n');
        for g in &sync.gates {
            gate(g, out);
        }
    }
}

fn gate(gate: &Gate, out: &mut String) {
    let _ = writeln!(
        out,
        "Gate {}: {}. {}\n",
        code(&gate.name),
        prose(&gate.what),
        prose(&gate.outcome)
    );
    let (Some(first), Some(last)) = (gate.samples.first(), gate.samples.last()) else {
        return;
    };
    let value = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| v.to_string());
    let measured = gate.samples.iter().any(|s| s.value.is_some());
    let highest = gate.samples.iter().filter_map(|s| s.value).reduce(f64::max);
    let baseline = gate.baseline.as_ref().map_or_else(String::new, |b| {
        format!("baseline {} ({}); ", value(b.value), b.why)
    });
    let counts = [
        crate::gate::Verdict::Green,
        crate::gate::Verdict::Red,
        crate::gate::Verdict::Inconclusive,
    ]
    .map(|v| {
        let count = gate.samples.iter().filter(|s| s.verdict == v).count();
        format!("{count} {}", verdict(v))
    });
    if !measured {
        let _ = writeln!(
            out,
            "{} to {}: {}; last: {}\n",
            clock(first.at),
            clock(last.at),
            counts.join(", "),
            prose(&last.why)
        );
        return;
    }
    let chart = format!(
        "{}\n{} to {}  {}\n{baseline}highest {}, last {} ({})\n",
        chart::blocks(&gate.samples),
        clock(first.at),
        clock(last.at),
        counts.join(", "),
        value(highest),
        value(last.value),
        last.why
    );
    out.push_str(&fenced("", &chart));
    out.push('\n');
}

fn freezes(t: &Transcript, out: &mut String) {
    if t.freezes.is_empty() {
        return;
    }
    out.push_str("## What was frozen, and for how long\n\n");
    let head = [
        "application",
        "how",
        "set (UTC)",
        "proven",
        "lasted",
        "end",
        "found",
        "left",
    ];
    let rows = t.freezes.iter().map(|f| {
        vec![
            cell(&f.application),
            prose(&f.mechanism),
            time(f.set_at),
            f.proven_at.map_or_else(|| "–".to_owned(), clock),
            f.lasted.to_string(),
            prose(&f.end),
            cell(&f.found),
            cell(&f.left),
        ]
    });
    table(out, &head, rows);
}

fn section(out: &mut String, title: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "## {title}\n");
    list(out, lines);
}

fn people(t: &Transcript, out: &mut String) {
    let acts = t.acts.iter().map(|a| {
        format!(
            "{} {} ({}), by {} at {}{}: {}. {} The way back: {}",
            prose(&a.what),
            prose(&a.object),
            code(&a.application),
            code(&a.by),
            time(a.at),
            a.beside
                .iter()
                .map(|beside| format!(", {}", prose(beside)))
                .collect::<String>(),
            prose(&a.outcome),
            prose(&a.rereads.join("; ")),
            code(&a.inverse)
        )
    });
    section(out, "Live actions", acts.collect());
    let adopted = t.adopted.iter().map(|a| {
        let who = match a.who.as_str() {
            "" => String::new(),
            who => format!(" (by {})", code(who)),
        };
        format!(
            "{} {} {}{who}",
            time(a.at),
            code(&a.application),
            prose(&a.what),
        )
    });
    section(out, "Adopted: done by others meanwhile", adopted.collect());
    let attested = t.attested.iter().map(|a| {
        format!(
            "{}{}: {} at {}: {}",
            code(&a.gate),
            match a.after.as_slice() {
                [] => String::new(),
                after => format!(" after {}", code(&after.join(", "))),
            },
            code(&a.who),
            time(a.at),
            prose(&a.saw)
        )
    });
    section(out, "Attested, not proven", attested.collect());
    let glass = t.glass.iter().map(|g| {
        format!(
            "{} {} {}: {} (by {}); {}",
            time(g.at),
            code(&g.application),
            prose(&g.what),
            prose(&g.reason),
            code(&g.by),
            if g.reviewed.is_empty() {
                "NOT reviewed".to_owned()
            } else {
                format!("reviewed: {}", prose(&g.reviewed))
            }
        )
    });
    section(out, "Broken glass", glass.collect());
    let shortened = t.shortened.iter().map(|s| {
        format!(
            "{}: {} instead of {}",
            prose(&s.wait),
            prose(&s.to),
            prose(&s.from)
        )
    });
    section(out, "Waits that were shortened", shortened.collect());
}

fn owed(t: &Transcript, out: &mut String) {
    out.push_str("## Still owed\n\n");
    if t.owed.is_empty() {
        out.push_str("Nothing.\n\n");
    }
    list(
        out,
        t.owed.iter().map(|o| {
            let who = match (o.owner.as_str(), o.until.as_str()) {
                ("", _) => "nobody owns it".to_owned(),
                (owner, until) => format!("{} until {}", code(owner), prose(until)),
            };
            let blocks = if o.blocks_close {
                "; the incident may not close with it"
            } else {
                ""
            };
            format!("{} ({who}{blocks})", prose(&o.what))
        }),
    );
}

fn timeline(t: &Transcript, out: &mut String) {
    out.push_str("\n## Timeline\n\n");
    let rows = t
        .timeline
        .iter()
        .map(|m| vec![time(m.at), m.seq.to_string(), prose(&m.what)]);
    table(out, &["UTC", "record", "what"], rows);
}
