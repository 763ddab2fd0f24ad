//! Whether a sheet that is open may still be confirmed, as far as what was seen since tells.

use crate::{
    event::Effect,
    now::Now,
    object::identity::AppKey,
    policy::Policy,
    rules,
    run::Run,
    sheet::{Command, Refusal, Sheet},
    text,
};

/// Why carrying it out would be refused as things stand now.
pub fn check(run: &Run, now: &Now, sheet: &Sheet) -> Result<(), Refusal> {
    rules::check(run, now, &sheet.command)?;
    match &sheet.command {
        Command::Push => push(run, now, sheet),
        Command::Thaw { applications } => thaw(run, now, applications),
        _ => Ok(()),
    }
}

fn push(run: &Run, now: &Now, sheet: &Sheet) -> Result<(), Refusal> {
    let Some(proposal) = &run.proposal else {
        return Ok(());
    };
    let head = now.heads.get(&proposal.repository);
    if let Some(head) = head.filter(|head| **head != proposal.parent) {
        return Err(Refusal::new(
            2,
            text::line(&format!(
                "branch {} is not at {} any more, it is at {}",
                proposal.tracked,
                proposal.parent.short(),
                head.short()
            )),
            "the commit is built anew on what is there",
        ));
    }
    let shown = sheet.effects.iter().find_map(|effect| match effect {
        Effect::Push { commit, .. } => Some(commit),
        _ => None,
    });
    match shown {
        Some(shown) if *shown != proposal.commit => Err(Refusal::new(
            6,
            "another commit was built since",
            "look at its sheet",
        )),
        _ => Ok(()),
    }
}

fn thaw(run: &Run, now: &Now, applications: &[AppKey]) -> Result<(), Refusal> {
    let goes_on = |key: &AppKey| {
        let target = run.apps.get(key).and_then(|app| app.target.as_ref());
        target.is_some_and(|(_, whole, _)| Policy::new(Some(whole.clone())).is_on())
    };
    let moved = applications.iter().find(|key| {
        let seen = now.apps.get(*key);
        goes_on(key) && seen.is_some_and(|app| app.sync == "OutOfSync")
    });
    match moved {
        None => Ok(()),
        Some(key) => Err(Refusal::new(
            3,
            format!("{key} is OutOfSync: auto-sync would start a sync that nobody was shown"),
            "what differs has to be decided first",
        )),
    }
}
