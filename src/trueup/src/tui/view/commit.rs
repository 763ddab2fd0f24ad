//! Commit: what changes, where it comes from, and the proof.

use super::Screen;
use crate::tui::{
    model::Model,
    theme::Role,
    widgets::{
        doc::Doc,
        table::{fixed, grows},
        words::{self, count},
    },
};
use trueup_core::{
    event::{Event, Proposal},
    workflow::Next,
};

pub fn screen(model: &Model) -> Screen<'_> {
    let proposal = model.run().proposal.as_ref();
    let file = proposal.and_then(|p| p.files.get(model.cursor()?));
    Screen {
        title: proposal.map_or_else(|| "commit".into(), title),
        right: branch_words(model),
        columns: vec![grows("file", 20), fixed("fields", 6)],
        row: Box::new(move |i| {
            proposal
                .and_then(|p| p.files.get(i))
                .map(|file| {
                    vec![
                        (Role::Text, file.path.clone()),
                        (Role::Dim, file.fields.to_string()),
                    ]
                })
                .unwrap_or_default()
        }),
        empty: empty(model),
        below_title: "proof and message".into(),
        below: proposal.map(|p| proof(model, p)).unwrap_or_default(),
        detail_title: file.map_or_else(|| "diff".into(), |file| file.path.clone()),
        detail: file.map(|file| diff(&file.diff)).unwrap_or_default(),
    }
}

fn title(proposal: &Proposal) -> String {
    let lines: usize = proposal
        .files
        .iter()
        .flat_map(|f| f.diff.lines())
        .filter(|line| line.starts_with('+') && !line.starts_with("+++"))
        .count();
    format!(
        "{}, {}",
        count(proposal.files.len(), "file"),
        count(lines, "line")
    )
}

fn branch_words(model: &Model) -> String {
    let run = model.run();
    match (&run.proposal, &run.commit_branch) {
        (Some(p), _) if p.branch == p.tracked => format!("branch {} (direct)", p.branch),
        (Some(p), _) => format!("branch {} → {}", p.branch, p.tracked),
        (None, Some(branch)) => format!("branch {branch}"),
        (None, None) => "tracked branch (direct)".into(),
    }
}

fn empty(model: &Model) -> String {
    match &model.world.next {
        Next::AwaitMerge {
            repository,
            branch,
            revision,
        } => {
            let mut apps = model.now().apps.values();
            let tracked = apps.find(|app| app.repository == *repository);
            let tracked = tracked.map_or("the tracked branch", |app| app.branch.as_str());
            format!(
                "{branch} is pushed at {}: waiting for its merge into {tracked}. {}",
                revision.short(),
                trueup_core::forge::where_to_merge(repository, branch, tracked)
            )
        }
        Next::AwaitPermission { reason, .. } => reason.clone(),
        _ if !model.run().landed.is_empty() => {
            let landed: Vec<String> = model
                .run()
                .landed
                .values()
                .map(|l| format!("{} at {} ({})", l.branch, l.revision.short(), l.how))
                .collect();
            format!("landed: {}", landed.join(", "))
        }
        Next::Decide { .. } => "every divergence has to be decided first".into(),
        _ => "nothing is proposed yet: n builds the commit and proves it by rendering".into(),
    }
}

/// Why the proof on the screen is not one of what stands now.
fn outdated(model: &Model, proposal: &Proposal) -> Option<String> {
    let head = model.now().heads.get(&proposal.repository);
    if let Some(head) = head.filter(|head| **head != proposal.parent) {
        return Some(format!(
            "{} moved from {} to {}",
            proposal.tracked,
            proposal.parent.short(),
            head.short()
        ));
    }
    match model.derived.undecided_questions {
        0 => None,
        open => Some(format!("{} not decided any more", count(open, "field"))),
    }
}

fn proof(model: &Model, proposal: &Proposal) -> Doc {
    let mut doc = Doc::new();
    for line in &model.derived.apart {
        doc.text(Role::Warn, format!("! {line}"));
    }
    let outdated = outdated(model, proposal);
    if let Some(why) = &outdated {
        let made = model.world.records.iter().rev();
        let at = made
            .filter(|record| matches!(record.event, Event::Proposed { .. }))
            .map(|record| format!(" of {}", record.time.strftime("%H:%M:%SZ")))
            .next()
            .unwrap_or_default();
        doc.indented(
            2,
            Role::Bad,
            format!("! the proof{at} holds no more: {why}. It is not pushed; it is proven anew first. As it was:"),
        );
    }
    for line in &proposal.proof {
        let name = &line.application.name;
        if !line.errors.is_empty() {
            doc.indented(
                2,
                Role::Bad,
                format!("✗ {name}: not rendered: {}", line.errors.join("; ")),
            );
        } else if !line.undecided.is_empty() {
            doc.indented(
                2,
                Role::Bad,
                format!(
                    "✗ {name}: {} that nobody decided: {}",
                    count(line.undecided.len(), "field"),
                    line.undecided
                        .iter()
                        .take(3)
                        .map(|c| format!("{} {}", c.object, words::field(&c.field)))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            );
        } else {
            let moves = if line.decided.is_empty() {
                "reads a changed file, nothing moves".to_owned()
            } else {
                format!("{} = decided", count(line.decided.len(), "field"))
            };
            match outdated {
                None => doc.indented(2, Role::Good, format!("✓ {name}: {moves}")),
                Some(_) => doc.indented(2, Role::Dim, format!("· {name}: {moves} then")),
            };
        }
    }
    let apps: Vec<&str> = proposal
        .proof
        .iter()
        .filter(|line| !line.decided.is_empty() || !line.undecided.is_empty())
        .map(|line| line.application.name.as_str())
        .collect();
    doc.indented(2, Role::Text, format!("pushing moves: {}", apps.join(", ")));
    doc.rule("message");
    doc.indented(0, Role::Strong, &proposal.message);
    doc.text(
        Role::Dim,
        format!(
            "{} on {} by {}{}{}",
            proposal.commit.short(),
            proposal.parent.short(),
            proposal.author,
            match proposal.author_from.words() {
                "" => String::new(),
                from => format!(" (from {from})"),
            },
            if model.run().armed.git() {
                ""
            } else {
                " · not armed for Git (W)"
            }
        ),
    );
    doc
}

fn diff(text: &str) -> Doc {
    let mut doc = Doc::new();
    for line in text.lines() {
        let role = match line.as_bytes().first() {
            Some(b'+') if line.starts_with("+++") => Role::Dim,
            Some(b'-') if line.starts_with("---") => Role::Dim,
            Some(b'+') => Role::Added,
            Some(b'-') => Role::Removed,
            Some(b'@') => Role::Info,
            _ => Role::Text,
        };
        doc.indented(4, role, line);
    }
    doc.blank();
    doc.text(
        Role::Dim,
        "everything else in the file: byte for byte the same",
    );
    doc
}
