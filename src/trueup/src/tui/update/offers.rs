//! The lists and prompts that keys and `n` open.

use super::super::{
    model::{
        Model, ToastKind,
        dialog::{Ask, Choice, Choose, Dialog, Field, Pick, Prompt},
        facts,
    },
    theme::Role,
    widgets::words::count,
};
use super::keys::{prompt, target_of};
use trueup_core::{
    event::Armed,
    object::identity::AppKey,
    plan::{Action, TargetKind},
    sheet::Command,
    text,
};

pub(super) fn offer(model: &mut Model, choose: Choose) {
    model.dialogs.push(Dialog::Choose(choose));
}

pub fn scope(model: &mut Model) {
    let marked: Vec<AppKey> = model.marks.iter().cloned().collect();
    let suspicious: Vec<AppKey> = model.derived.suspicious.iter().cloned().collect();
    let all: Vec<AppKey> = model.now().apps.keys().cloned().collect();
    let names = |keys: &[AppKey]| {
        let more = keys.len().saturating_sub(5);
        let mut names: Vec<String> = keys.iter().take(5).map(|key| key.name.clone()).collect();
        if more > 0 {
            names.push(format!("{more} more"));
        }
        names.join(", ")
    };
    let choice = |label: &str, keys: Vec<AppKey>| {
        let none = keys.is_empty().then(|| "there are none".into());
        Choice::new(
            format!("{label} ({})", keys.len()),
            names(&keys),
            Pick::Ask(Command::SetScope { scope: keys }),
        )
        .off_if(none)
    };
    let choices = vec![
        choice("the marked ones", marked),
        choice("the suspicious ones", suspicious),
        Choice::new(
            "let me mark them",
            "space marks, S takes the marked ones",
            Pick::Nothing,
        ),
        choice("all that are listed", all),
    ];
    offer(
        model,
        Choose::new("which applications is this incident about?", choices),
    );
}

pub fn target(model: &mut Model, applications: Vec<AppKey>) {
    if applications.is_empty() {
        model.toast(ToastKind::Said, "every application has its target policy");
        return;
    }
    let now = model.now();
    let declared: Vec<String> = applications
        .iter()
        .filter_map(|key| now.apps.get(key)?.declared.as_ref())
        .map(|(policy, place)| {
            let file = place
                .rsplit_once(':')
                .map_or(place.as_str(), |(file, _)| file);
            format!("{} ({file})", facts::policy_words(policy))
        })
        .collect();
    let found: Vec<String> = applications
        .iter()
        .filter_map(|key| now.apps.get(key))
        .map(|app| facts::policy_words(&facts::automated(&app.sync_policy)))
        .collect();
    let distinct = |mut list: Vec<String>| {
        list.sort();
        list.dedup();
        list.join(" / ")
    };
    let missing = applications.len() - declared.len();
    let set = |kind| {
        Pick::Ask(Command::SetTarget {
            applications: applications.clone(),
            target: target_of(kind),
        })
    };
    let choices = vec![
        Choice::new("as declared", distinct(declared), set(TargetKind::Declared)).off_if(
            (missing > 0).then(|| {
                format!(
                    "{} without a declared policy",
                    count(missing, "application")
                )
            }),
        ),
        Choice::new("as found", distinct(found), set(TargetKind::Found)),
        Choice::new(
            "typed",
            "an `automated` block, with a reason",
            Pick::Prompt(Ask::Target {
                applications: applications.clone(),
            }),
        ),
    ];
    let names: Vec<&str> = applications
        .iter()
        .take(6)
        .map(|key| key.name.as_str())
        .collect();
    let title = format!(
        "target policy of {}{}",
        names.join(", "),
        if applications.len() > 6 { ", …" } else { "" }
    );
    let mut choose = Choose::new(title, choices).note(
        Role::Dim,
        "what shall stand in the end; thaw puts exactly that in place",
    );
    if let [one] = applications.as_slice()
        && let Some(app) = model.now().apps.get(one)
    {
        let noted = |line: &&String| line.starts_with("annotation ");
        for line in app.evidence.iter().filter(|line| !noted(line)).take(4) {
            choose = choose.note(Role::Text, line);
        }
    }
    for line in facts::noted(model.now(), &applications) {
        choose = choose.note(Role::Warn, line);
    }
    offer(model, choose);
}

/// What each step of arming lets be written; `then`: what arming was in the way of.
pub fn arm(model: &mut Model, asked: Option<(Armed, String)>, then: Option<Command>) {
    let now = model.run().armed;
    let choice = |write, label: &str, note: &str| {
        let here = if write == now { " (as it is)" } else { "" };
        Choice::new(
            format!("{label}{here}"),
            note,
            Pick::Arm {
                write,
                then: then.clone(),
            },
        )
    };
    let choices = vec![
        choice(
            Armed::All,
            "all",
            "cluster and Git; each write still has its sheet",
        ),
        choice(
            Armed::Cluster,
            "cluster",
            "freeze, sync, thaw, live actions; no push",
        ),
        choice(Armed::Git, "git", "pushes only"),
        choice(Armed::Nothing, "nothing", "read only"),
    ];
    let want = asked.as_ref().map_or(now, |(write, _)| *write);
    let mut choose = Choose::new("what may be written?", choices).note(
        Role::Dim,
        "arming also consents to refresh requests and the lease; nothing else is written without its own sheet",
    );
    if let Some((_, why)) = asked {
        choose = choose.note(Role::Warn, why);
    }
    choose.cursor = Some(match want {
        Armed::All => 0,
        Armed::Cluster => 1,
        Armed::Git => 2,
        Armed::Nothing => 3,
    });
    offer(model, choose);
}

pub fn copy(model: &mut Model) {
    let mut choices = vec![Choice::new(
        "status line for the channel",
        facts::status_line(model),
        Pick::Copy(facts::status_line(model)),
    )];
    for (label, value) in super::super::view::copyable(model) {
        choices.push(Choice::new(
            label,
            text::shorten(&value, 60),
            Pick::Copy(value),
        ));
    }
    offer(model, Choose::new("copy", choices));
}

/// `z`: the last thing that was done, be it a decision or a live action.
pub fn undo(model: &mut Model) {
    match undo_act(model).or_else(|| undo_decision(model)) {
        Some(list) => offer(model, list),
        None => model.toast(
            ToastKind::Refused,
            "some of the last decision is pushed or synced: decide it anew",
        ),
    }
}

/// A live action is taken back by another one, with a sheet of its own.
fn undo_act(model: &Model) -> Option<Choose> {
    let (op, cell) = model.run().acted_last()?;
    let field = cell.field.to_string();
    // A field that was not there has null in the guard.
    let before = op.guard.facts.get(&field)?;
    let back = match before {
        serde_json::Value::Null => Action::Remove { field },
        value => Action::Patch {
            field,
            value: value.clone(),
        },
    };
    let was = match before {
        serde_json::Value::Null => "(absent)".to_owned(),
        value => text::value(value),
    };
    let command = Command::Act {
        application: cell.application.clone(),
        object: cell.object.to_string(),
        action: back,
        reason: "puts back what stood before the live action".into(),
    };
    let mut choices = vec![Choice::new(
        "yes: its own sheet comes first",
        format!("back to {}", text::shorten(&was, 60)),
        Pick::Ask(command),
    )];
    choices.extend(decision_back(model).map(|(what, cells, pick)| {
        Choice::new(format!("the last decision instead: {what}"), cells, pick)
    }));
    choices.push(Choice::new("no", "", Pick::Nothing));
    let mut list = Choose::new("take back the last live action?", choices);
    for line in &op.shown {
        list = list.note(Role::Strong, line);
    }
    let list = list.note(
        Role::Dim,
        "a live action is taken back by another one (on the command line `trueup act undo`)",
    );
    Some(list.without_default())
}

/// The last decision: what was taken and what becomes of it, for which cells, and what takes it back.
fn decision_back(model: &Model) -> Option<(String, String, Pick)> {
    let cells = model.run().to_take_back()?.to_vec();
    let what = cells
        .first()
        .and_then(|cell| model.run().decisions.get(cell))
        .map(|d| super::super::model::decide::take_words(&d.take))
        .unwrap_or_default();
    // What is in Git or in the cluster stands still.
    let before = |cell: &trueup_core::decision::CellKey| model.run().before(cell).is_some();
    let what = match (cells.iter().all(before), cells.iter().any(before)) {
        (true, _) => "what was carried out stands again".to_owned(),
        (false, true) => format!("{what} is open again, or as carried out"),
        (false, false) => format!("{what} is open again"),
    };
    let words = super::decide::cells_words(&cells);
    let withdraw = Command::Withdraw {
        cells,
        why: "taken back by the operator".into(),
    };
    Some((what, words, Pick::Ask(withdraw)))
}

fn undo_decision(model: &Model) -> Option<Choose> {
    let (what, cells, withdraw) = decision_back(model)?;
    let list = Choose::new(
        "take back the last decision?",
        vec![
            Choice::new(format!("yes: {what}"), cells, withdraw),
            Choice::new("no", "", Pick::Nothing),
        ],
    )
    .note(
        Role::Dim,
        "a write is not undone by this: its own undo is on its sheet and in the log",
    )
    .without_default();
    Some(list)
}

pub fn quit(model: &mut Model) {
    let mut choices = vec![
        Choice::new("stay", "", Pick::Nothing),
        Choice::new(
            "leave",
            match model.run().id() {
                "" => "nothing was begun",
                _ => "nothing is undone by it",
            },
            Pick::Quit,
        ),
    ];
    if model.world.stopped {
        choices.swap(0, 1);
    }
    let mut list = Choose::new("leave?", choices);
    if model.derived.owed.is_empty() {
        list = list.note(Role::Good, "nothing is owed");
    } else {
        list = list.note(
            Role::Warn,
            format!("{} owed:", count(model.derived.owed.len(), "thing")),
        );
        for owed in model.derived.owed.iter().take(6) {
            list = list.note(Role::Text, format!("· {}", owed.what));
        }
    }
    if let Some(wait) = model.waiting() {
        list = list.note(Role::Warn, format!("waiting for {}", wait.what));
    }
    match model.run().id() {
        "" => {}
        // A note is wrapped: the command is there as a whole, however long its options are.
        id => {
            let again = format!("to go on: {} resume {id}", model.program);
            list = list.note(Role::Text, again);
        }
    }
    offer(model, list);
}

/// Some of what is to be frozen is held by other incidents: they are taken over, or the rest is frozen without them.
pub fn held_elsewhere(model: &mut Model, applications: &[AppKey]) {
    let names = |keys: &[AppKey]| {
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        names.join(", ")
    };
    let mut held: std::collections::BTreeMap<String, Vec<AppKey>> = Default::default();
    let mut free = Vec::new();
    for key in applications {
        match model.held_by(key) {
            Some(by) => held.entry(by.to_owned()).or_default().push(key.clone()),
            None => free.push(key.clone()),
        }
    }
    let mut choices = Vec::new();
    if !free.is_empty() {
        choices.push(Choice::new(
            format!("freeze {} first", count(free.len(), "application")),
            names(&free),
            Pick::Ask(Command::Freeze { applications: free }),
        ));
    }
    let mut notes = Vec::new();
    for (from, keys) in held {
        let told = keys
            .first()
            .and_then(|key| facts::held_elsewhere(model, key));
        notes.extend(told.map(|told| format!("{}: {told}", names(&keys))));
        choices.push(Choice::new(
            format!("take over {} from {from}", count(keys.len(), "application")),
            "its own sheet; what was found then stays the way back",
            Pick::Ask(Command::TakeOver {
                applications: keys,
                from,
            }),
        ));
    }
    let mut list = Choose::new("another incident holds some of them", choices).without_default();
    for note in notes {
        list = list.note(Role::Warn, note);
    }
    list = list.note(
        Role::Dim,
        "talk to its operator first; P parks one, and the others go on",
    );
    offer(model, list);
}

/// What a closed incident still owes is settled without it: the command that does it, to be copied.
pub fn settle_closed(model: &mut Model, owed: &trueup_core::event::Obligation) {
    let command = settles_closed(model, owed);
    let mut choices = Vec::new();
    if let Some(command) = &command {
        choices.push(Choice::new(
            "copy the command",
            "for a shell; it prints what it puts back",
            Pick::Copy(command.clone()),
        ));
    }
    choices.push(Choice::new("back", "", Pick::Nothing));
    let mut list = Choose::new(&owed.what, choices).note(
        Role::Dim,
        "the incident is closed, and nothing is written on its screen any more",
    );
    list = match command {
        // A note is wrapped: the command is there as a whole, however long its options are.
        Some(command) => list.note(Role::Text, command),
        None => list.note(
            Role::Text,
            "settled outside of it, by whom it was handed to",
        ),
    };
    offer(model, list);
}

/// The command that settles what a closed incident owes, where there is one.
fn settles_closed(model: &Model, owed: &trueup_core::event::Obligation) -> Option<String> {
    let key = owed
        .application
        .as_ref()
        .filter(|_| owed.settle == "thaw")?;
    let name = match model.run().connection.namespace == key.namespace {
        true => key.name.clone(),
        false => key.to_string(),
    };
    // A thaw by the note takes no connection from a closed journal: the command names the cluster itself.
    let connection = &model.run().connection;
    let shell = trueup_core::transcript::shell;
    let option = |name: &str, value: &Option<String>| {
        let value = value
            .as_ref()
            .map(|value| format!(" --{name} {}", shell(value)));
        value.unwrap_or_default()
    };
    let namespace = match connection.namespace.as_str() {
        "" | "argocd" => String::new(),
        other => format!(" --namespace {}", shell(other)),
    };
    Some(format!(
        "{}{}{}{namespace} --incident {} --write cluster thaw {}",
        model.program,
        option("kubeconfig", &connection.kubeconfig),
        option("context", &connection.context),
        model.run().id(),
        shell(&name),
    ))
}

pub fn close(model: &mut Model) {
    let list = Choose::new(
        "close the incident?",
        vec![
            Choice::new(
                "close it",
                "the journal is sealed; the transcript can be exported ever after",
                Pick::Ask(Command::Close),
            ),
            Choice::new("not yet", "", Pick::Nothing),
        ],
    )
    .without_default();
    let said = closes_with(model).into_iter();
    let list = said.fold(list, |list, (role, line)| list.note(role, line));
    offer(model, list);
}

/// What an incident that is closed now ends with.
fn closes_with(model: &Model) -> Vec<(Role, String)> {
    let mut said = Vec::new();
    let left = model.run().left();
    if !left.nothing() {
        said.push((Role::Warn, format!("as it stands: {left}")));
    }
    let undecided = model.derived.undecided_questions;
    if undecided > left.questions {
        let questions = count(undecided, "question");
        said.push((Role::Warn, format!("as it is now: {questions} undecided")));
    }
    said.extend(model.run().not_judged().map(|said| (Role::Warn, said)));
    let owed = &model.derived.owed;
    if owed.is_empty() {
        said.push((Role::Good, "nothing is owed".to_owned()));
        return said;
    }
    let handed = format!("{} handed over, and not done:", count(owed.len(), "thing"));
    said.push((Role::Warn, handed));
    said.extend(owed.iter().take(6).map(|owed| {
        let to = |who: &Option<String>| who.clone().unwrap_or_else(|| "nobody".into());
        let line = format!(
            "· {}: {} until {}",
            owed.what,
            to(&owed.owner),
            to(&owed.until)
        );
        (Role::Text, text::line(&line))
    }));
    said
}

/// The question about the close is asked anew where what it said is not so any more; whether it was.
pub fn close_overtaken(model: &mut Model, shown: &[(Role, String)]) -> bool {
    let now = closes_with(model);
    if now == shown {
        return false;
    }
    // The engine refuses that, and writes down that it did.
    if model.derived.owed.iter().any(|owed| owed.blocks_close) {
        return false;
    }
    close(model);
    let said = "not closed: what it ends with changed meanwhile; read it again";
    model.toast(ToastKind::Refused, said);
    true
}

pub fn park(model: &mut Model, application: AppKey) {
    if model
        .run()
        .apps
        .get(&application)
        .is_some_and(|app| app.parked.is_some())
    {
        let list = Choose::new(
            format!("{} is parked", application.name),
            vec![
                Choice::new(
                    "take it up again",
                    "it goes on in the walk",
                    Pick::Ask(Command::Unpark {
                        application: application.clone(),
                    }),
                ),
                Choice::new("leave it parked", "", Pick::Nothing),
            ],
        );
        return offer(model, list);
    }
    let owner = model.run().operator.clone();
    prompt(
        model,
        Prompt::new(
            Ask::Park {
                application: application.clone(),
            },
            format!("park {}", application.name),
            vec![
                Field::new("owner", &owner),
                Field::new("until", ""),
                Field::new("reason", ""),
            ],
        )
        .note(
            Role::Dim,
            "it stays as frozen as it is, owed by the owner until then (2026-12-01); the others go on",
        ),
    );
}

pub fn current_message(model: &Model) -> String {
    let run = model.run();
    // What was said of a commit that is pushed is not said of the next.
    let said = run
        .message
        .clone()
        .filter(|_| run.message_pushed.is_empty());
    said.or_else(|| run.proposal.as_ref().map(|p| p.message.clone()))
        .unwrap_or_default()
}

pub fn message(model: &mut Model) {
    let text = current_message(model);
    prompt(
        model,
        Prompt::new(
            Ask::Message,
            "commit message",
            vec![Field::lines("message", &text)],
        )
        .note(
            Role::Dim,
            "ctrl-s keeps it; a changed message is proposed and proven anew",
        ),
    );
}

pub fn branch(model: &mut Model) {
    let run = model.run();
    let tracked = run
        .proposal
        .as_ref()
        .map(|p| p.tracked.clone())
        .or_else(|| {
            model
                .now()
                .apps
                .values()
                .next()
                .map(|app| app.branch.clone())
        })
        .unwrap_or_else(|| "the tracked branch".into());
    let own = format!("trueup/{}", run.id());
    let list = Choose::new(
        "where is it pushed?",
        vec![
            Choice::new(
                format!("{tracked}, directly"),
                "what Argo CD follows: a push is a sync of what it moves",
                Pick::Ask(Command::SetCommit {
                    branch: None,
                    pull_request: false,
                }),
            ),
            Choice::new(
                format!("{own}, for a pull request"),
                "pushed only: somebody opens the pull request, the sheet says where; the walk waits for the merge",
                Pick::Ask(Command::SetCommit {
                    branch: Some(own),
                    pull_request: true,
                }),
            ),
            Choice::new("another branch", "typed", Pick::Prompt(Ask::Branch)),
        ],
    );
    offer(model, list);
}

pub fn review(model: &mut Model) {
    let open: Vec<(String, String)> = model
        .run()
        .broken_glass
        .iter()
        .filter(|g| g.reviewed.is_none())
        .map(|g| (g.what.clone(), format!("{}: {}", g.by, g.reason)))
        .collect();
    let choices = open
        .into_iter()
        .map(|(what, note)| Choice::new(what.clone(), note, Pick::Prompt(Ask::Review { what })))
        .collect();
    offer(
        model,
        Choose::new("which break-glass was reviewed?", choices),
    );
}

/// The form of a prompt that a choice opens.
pub fn form(model: &Model, ask: Ask) -> Prompt {
    match ask.clone() {
        Ask::Target { applications } => Prompt::new(
            ask,
            format!(
                "target policy of {}",
                count(applications.len(), "application")
            ),
            vec![
                Field::new("automated", "{\"prune\": true, \"selfHeal\": true}"),
                Field::new("reason", ""),
            ],
        )
        .note(
            Role::Dim,
            "the `automated` block as JSON; null leaves auto-sync off",
        ),
        Ask::Branch => Prompt::new(ask, "branch", vec![Field::new("branch", "")]).note(
            Role::Dim,
            "pushed without force; the walk waits for its merge",
        ),
        Ask::Review { what } => Prompt::new(
            ask,
            format!("review: {what}"),
            vec![Field::new("found", "")],
        )
        .note(Role::Dim, "what the comparison afterwards showed"),
        Ask::Park { application } => Prompt::new(
            ask,
            format!("park {}", application.name),
            vec![
                Field::new("owner", &model.run().operator),
                Field::new("until", ""),
                Field::new("reason", ""),
            ],
        )
        .note(
            Role::Dim,
            "it stays frozen, owed by the owner until then (2026-12-01)",
        ),
        Ask::Surprise { application } => Prompt::new(
            ask,
            format!("go on after the sync of {}", application.name),
            vec![Field::new("reason", "")],
        )
        .note(
            Role::Warn,
            "what you saw, and why the walk may go on; your name and the reason stand in the transcript, and another sync makes it as decided",
        ),
        Ask::RemoveGate { name } => Prompt::new(
            ask,
            format!("take away the gate {name}"),
            vec![Field::new("reason", "")],
        )
        .note(
            Role::Warn,
            "nothing waits for it any more; your name and the reason stand in the transcript",
        ),
        Ask::MetricGate { of } => super::gates::form(model, ask, of.as_deref()),
        Ask::ManualGate => Prompt::new(
            ask,
            "a manual gate",
            vec![Field::new("name", ""), Field::new("what to look at", "")],
        ),
        Ask::Act {
            kind,
            application,
            object,
            field,
            value,
        } => super::act::form(model, kind, &application, &object, &field, &value),
        other => Prompt::new(other, "reason", vec![Field::new("reason", "")]),
    }
}
