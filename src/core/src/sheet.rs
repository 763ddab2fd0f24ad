//! The action sheet: everything the operator has to see before a write, and how it is confirmed.

use crate::{
    decision::{CellKey, Sides, Take},
    event::Effect,
    ids::Digest,
    object::identity::{AppKey, ObjectRef},
    plan::{Action, Target},
    text,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the operator asks for. Those that write come back as a [`Sheet`] first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "command",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Command {
    Arm {
        write: crate::event::Armed,
    },
    SetScope {
        scope: Vec<AppKey>,
    },
    SetTarget {
        applications: Vec<AppKey>,
        target: Target,
    },
    Decide {
        cells: Vec<CellKey>,
        take: Take,
        reason: String,
        /// What stood in these cells, and in the copy that is taken, when the value was chosen; none where nobody looked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        seen: Vec<(CellKey, Sides)>,
    },
    Withdraw {
        cells: Vec<CellKey>,
        why: String,
    },
    SetMessage {
        message: String,
    },
    SetCommit {
        branch: Option<String>,
        pull_request: bool,
    },
    SetOrder {
        order: Vec<AppKey>,
    },
    AddGate {
        name: String,
        spec: crate::plan::Gate,
    },
    RemoveGate {
        name: String,
        reason: String,
    },
    Attest {
        gate: String,
        who: String,
        saw: String,
    },
    Park {
        application: AppKey,
        owner: String,
        until: String,
        reason: String,
    },
    Unpark {
        application: AppKey,
    },
    /// Wait once more, for as long as it was given, for a gate that did not become green in time.
    AwaitGate {
        application: AppKey,
        gate: String,
    },
    /// Go on after a sync that changed what nobody was shown: somebody looked at it, and says why.
    SeeSurprise {
        application: AppKey,
        reason: String,
    },
    BreakGlass {
        application: Option<AppKey>,
        what: String,
        reason: String,
    },
    ReviewGlass {
        /// None: of every Application.
        application: Option<AppKey>,
        what: String,
        found: String,
    },
    /// Read the world again now.
    Look,
    /// Give up what is being waited for; nothing that was done is undone.
    CancelWait,
    Export {
        format: String,
    },
    // The following are shown as a sheet and done when it is confirmed.
    Freeze {
        applications: Vec<AppKey>,
    },
    /// Freezes Applications that bear the note of another incident, whose way back is kept: its journal is lost, or it was
    /// closed with them handed over.
    TakeOver {
        applications: Vec<AppKey>,
        from: String,
    },
    Push,
    Sync {
        application: AppKey,
    },
    /// Put the decided ignore rules on the live Application, where nothing applies its declaration.
    Ignore {
        application: AppKey,
    },
    Thaw {
        applications: Vec<AppKey>,
    },
    /// Puts back what a note says was found, where nothing was decided and nothing would move.
    Restore {
        applications: Vec<AppKey>,
    },
    Act {
        application: AppKey,
        object: String,
        action: Action,
        reason: String,
    },
    /// Delete one object that it is decided of: a confirmation of its own for each (rule 8).
    Delete {
        application: AppKey,
        object: ObjectRef,
    },
    Close,
}

impl Command {
    /// Whether it changes the cluster or Git, and so needs a sheet.
    pub fn writes(&self) -> bool {
        matches!(
            self,
            Self::Freeze { .. }
                | Self::TakeOver { .. }
                | Self::Restore { .. }
                | Self::Push
                | Self::Sync { .. }
                | Self::Ignore { .. }
                | Self::Thaw { .. }
                | Self::Act { .. }
                | Self::Delete { .. }
        )
    }
}

/// How a sheet is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Confirm {
    /// Type this text: production.
    Type(String),
    /// `enter` on *Do it*, which is never the default.
    Button,
}

/// A write as it is shown. All texts are inert (see [`crate::text`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sheet {
    /// Digest of all that was shown; what is confirmed is exactly this sheet.
    pub id: Digest,
    pub command: Command,
    pub title: String,
    /// Cluster or repository, as pinned.
    pub place: String,
    pub objects: Vec<String>,
    pub will: Vec<String>,
    pub assumes: Vec<String>,
    pub undo: Vec<String>,
    pub by_hand: Vec<String>,
    pub warnings: Vec<String>,
    pub confirm: Confirm,
    /// When the facts were read.
    pub read_at: Timestamp,
    /// The writes, in order, as they will be journaled.
    pub effects: Vec<Effect>,
    /// For each of them, what was read and must still be so.
    pub guards: Vec<crate::event::Guard>,
}

/// What a part of a sheet tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Place,
    Object,
    Will,
    Why,
    Mind,
    Assumes,
    Undo,
    ByHand,
}

impl Part {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Object => "object",
            Self::Will => "will",
            Self::Why => "why",
            Self::Mind => "mind",
            Self::Assumes => "assumes",
            Self::Undo => "undo",
            Self::ByHand => "by hand",
        }
    }
}

impl Sheet {
    /// One that says nothing yet.
    pub fn new(
        command: Command,
        title: String,
        place: String,
        confirm: Confirm,
        read_at: Timestamp,
    ) -> Self {
        Self {
            id: Digest(String::new()),
            command,
            title,
            place,
            objects: Vec::new(),
            will: Vec::new(),
            assumes: Vec::new(),
            undo: Vec::new(),
            by_hand: Vec::new(),
            warnings: Vec::new(),
            confirm,
            read_at,
            effects: Vec::new(),
            guards: Vec::new(),
        }
    }

    /// All that it says, in the order in which it is read, a line being inert; a part that says nothing is left out.
    pub fn parts(&self) -> Vec<(Part, Vec<String>)> {
        let inert = |lines: &[String]| lines.iter().map(|line| text::line(line)).collect();
        let why = match &self.command {
            Command::Act { reason, .. } if !reason.trim().is_empty() => vec![text::line(reason)],
            _ => Vec::new(),
        };
        let mind = self.warnings.iter();
        let mut parts = vec![
            (Part::Place, vec![text::line(&self.place)]),
            (Part::Object, inert(&self.objects)),
            (Part::Will, inert(&self.will)),
            (Part::Why, why),
            (
                Part::Mind,
                mind.map(|line| format!("! {}", text::line(line))).collect(),
            ),
            (Part::Assumes, inert(&self.assumes)),
            (Part::Undo, inert(&self.undo)),
            (Part::ByHand, inert(&self.by_hand)),
        ];
        parts.retain(|(_, lines)| !lines.is_empty());
        parts
    }

    /// Plain text under its title, each line whole: a command in it can be copied.
    pub fn plain(&self) -> String {
        self.text_of(|_| true)
    }

    /// The same without what a walk of many such sheets need not repeat: the place, the assumptions and the commands by
    /// hand, which the journal has.
    pub fn short(&self) -> String {
        self.text_of(|part| {
            matches!(
                part,
                Part::Object | Part::Will | Part::Why | Part::Mind | Part::Undo
            )
        })
    }

    fn text_of(&self, shown: impl Fn(Part) -> bool) -> String {
        let mut out = text::line(&self.title);
        for (part, lines) in self.parts() {
            for (at, line) in lines.iter().enumerate().filter(|_| shown(part)) {
                let label = if at == 0 { part.label() } else { "" };
                out.push_str(&format!("\n  {label:<8} {line}"));
            }
        }
        out
    }
}

/// Why something is not done: which rule, and what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{reason}")]
pub struct Refusal {
    /// The rule that would be broken, 1 to 10; 0 when it is not a matter of rules.
    pub rule: u8,
    pub reason: String,
    pub hint: String,
}

impl Refusal {
    pub fn new(rule: u8, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            rule,
            reason: reason.into(),
            hint: hint.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let key = AppKey::new("argocd", "like");
        let act = Command::Act {
            application: key,
            object: "ConfigMap/c".into(),
            action: Action::Restart {},
            reason: "load\x1b[2J".into(),
        };
        let title = "live action on c\x1b]52;c;aGk=\x07".into();
        let at = Timestamp::UNIX_EPOCH;
        Sheet {
            objects: vec!["ConfigMap like/c".into()],
            will: vec![".data.A: 1 → 2".into(), ".data.B: \u{202e}1 → 2".into()],
            assumes: vec!["nothing moved".into()],
            undo: vec!["kubectl patch back".into()],
            by_hand: vec!["kubectl patch".into()],
            warnings: vec!["owed\nwill  nothing".into()],
            ..Sheet::new(act, title, "lab".into(), Confirm::Button, at)
        }
    }

    #[test]
    fn a_sheet_as_text_says_all_and_obeys_nobody() {
        let whole = "live action on c␛]52;c;aGk=␇
  place    lab
  object   ConfigMap like/c
  will     .data.A: 1 → 2
           .data.B: ⟨U+202E⟩1 → 2
  why      load␛[2J
  mind     ! owed␊will  nothing
  assumes  nothing moved
  undo     kubectl patch back
  by hand  kubectl patch";
        assert_eq!(sheet().plain(), whole);
        let short: Vec<&str> = whole
            .lines()
            .filter(|line| {
                !["place", "assumes", "by hand"]
                    .iter()
                    .any(|part| line.trim_start().starts_with(part))
            })
            .collect();
        assert_eq!(sheet().short(), short.join("\n"));
        let mut nothing = sheet();
        nothing.undo.clear();
        assert!(!nothing.plain().contains("undo"));
    }
}
