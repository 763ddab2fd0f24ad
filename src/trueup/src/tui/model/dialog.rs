//! What lies over a screen and has the keys: the action sheet, prompts, choices, help, palette, log, pages.

use super::value;
use crate::{
    engine::handle::Revealed,
    tui::{theme::Role, widgets::doc::Doc},
};
use jiff::{SignedDuration, Timestamp};
use trueup_core::{
    decision::{CellKey, Sides, Take},
    event::{Armed, Prediction},
    object::identity::AppKey,
    sheet::{Command, Refusal, Sheet},
};
use tui_textarea::{CursorMove, TextArea};

/// See the module.
#[derive(Clone, Debug)]
pub enum Dialog {
    Sheet(SheetDialog),
    Prompt(Prompt),
    Choose(Choose),
    Help(Search),
    Palette(Search),
    Log(Search),
    Page(Page),
    Secret(Secret),
}

/// The action sheet and how far its confirmation is.
#[derive(Clone, Debug)]
pub struct SheetDialog {
    pub sheet: Box<Sheet>,
    pub typed: String,
    /// The focus is on *Do it*; never so at first.
    pub on_do: bool,
    pub wrong: Option<String>,
    pub scroll: usize,
    /// The form that it came from: back there when it is put away or refused.
    pub form: Option<Prompt>,
    /// Why it would be refused, as things stand now.
    pub overtaken: Option<Refusal>,
    /// What a sync was predicted to do when the sheet came.
    pub predicted: Option<Prediction>,
}

/// Something to read, scrolled.
#[derive(Clone, Debug)]
pub struct Page {
    pub title: String,
    pub doc: Doc,
    pub scroll: usize,
}

/// How long secret values stay on the screen by themselves.
pub const REVEALED_FOR: SignedDuration = SignedDuration::from_secs(30);

/// Secret values that somebody asked to see. They live in this box alone and go with it.
#[derive(Clone, Debug)]
pub struct Secret {
    pub shown: Vec<Revealed>,
    /// Hidden then, whoever looks.
    pub until: Timestamp,
    pub scroll: usize,
}

/// A list that is searched by typing.
#[derive(Clone, Debug, Default)]
pub struct Search {
    pub typed: String,
    pub cursor: usize,
}

/// A short list of which one is taken with enter.
#[derive(Clone, Debug)]
pub struct Choose {
    pub title: String,
    pub notes: Vec<(Role, String)>,
    pub choices: Vec<Choice>,
    /// None: nothing is chosen yet, and enter takes nothing.
    pub cursor: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Choice {
    pub label: String,
    pub note: String,
    pub pick: Pick,
    /// Why it cannot be taken.
    pub off: Option<String>,
}

/// What taking a choice does.
#[derive(Clone, Debug)]
pub enum Pick {
    Nothing,
    Ask(Command),
    /// Arm, and go on with what it was in the way of.
    Arm {
        write: Armed,
        then: Option<Command>,
    },
    Go,
    Quit,
    Copy(String),
    Prompt(Ask),
    /// A value was chosen; the cells come next.
    Value(Take),
    /// Value and cells were chosen; the reason comes next, after what is decided otherwise.
    Decide {
        cells: Vec<CellKey>,
        take: Take,
    },
    /// These very cells, decided otherwise or not; the reason comes next.
    Reason {
        cells: Vec<CellKey>,
        take: Take,
    },
    /// Show the values of these Secret fields.
    Reveal(Vec<CellKey>),
    /// A command of the key table.
    Cmd(crate::tui::keymap::Cmd),
}

/// What a prompt is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Reason {
        cells: Vec<CellKey>,
        take: Take,
        /// What stood there when the value was chosen.
        seen: Vec<(CellKey, Sides)>,
    },
    Value {
        cells: Vec<CellKey>,
    },
    Later {
        cells: Vec<CellKey>,
    },
    Message,
    Branch,
    Attest {
        gate: String,
        asks: String,
    },
    Glass {
        application: Option<AppKey>,
        what: String,
        why: String,
    },
    Review {
        what: String,
    },
    RemoveGate {
        name: String,
    },
    Surprise {
        application: AppKey,
    },
    Park {
        application: AppKey,
    },
    Target {
        applications: Vec<AppKey>,
    },
    Act {
        kind: ActKind,
        application: String,
        object: String,
        field: String,
        value: String,
    },
    MetricGate {
        /// The gate that it changes.
        of: Option<String>,
    },
    ManualGate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActKind {
    Patch,
    Remove,
    Scale,
    Restart,
    Suspend,
}

impl ActKind {
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (
            Self::Patch,
            "patch a field",
            "sets one field of a live object",
        ),
        (Self::Scale, "scale", "sets the number of replicas"),
        (Self::Restart, "restart", "rolls the pods of a workload"),
        (Self::Suspend, "suspend", "suspends a CronJob"),
        (
            Self::Remove,
            "remove a field",
            "takes one field out of a live object",
        ),
    ];
}

/// A form of one or more texts.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub ask: Ask,
    pub title: String,
    pub notes: Vec<(Role, String)>,
    pub fields: Vec<Field>,
    pub at: usize,
    pub wrong: Option<String>,
    /// Keys came before the form could be seen, and are in none of its fields.
    pub missed: bool,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub label: &'static str,
    pub text: TextArea<'static>,
    /// Enter makes a new line; `ctrl-s` ends the prompt.
    pub many_lines: bool,
    /// May be left empty.
    pub optional: bool,
    /// Holds a value: as it is, line breaks and blanks at its ends included (`model/value.rs`).
    pub value: bool,
}

impl Field {
    pub fn new(label: &'static str, text: &str) -> Self {
        let clean = trueup_core::text::line(text);
        let mut area = TextArea::new(vec![clean]);
        area.move_cursor(CursorMove::End);
        Self {
            label,
            text: area,
            many_lines: false,
            optional: false,
            value: false,
        }
    }

    pub fn lines(label: &'static str, text: &str) -> Self {
        let clean = trueup_core::text::block(text);
        let mut area = TextArea::new(clean.split('\n').map(str::to_owned).collect());
        area.move_cursor(CursorMove::Bottom);
        area.move_cursor(CursorMove::End);
        Self {
            label,
            text: area,
            many_lines: true,
            optional: false,
            value: false,
        }
    }

    /// A value, and what stands there now: selected, so that what is typed or pasted takes its place. Empty where that
    /// cannot stand in a field unchanged.
    pub fn value(label: &'static str, stands: &str) -> Self {
        let mut text = TextArea::new(vec![value::shown(stands).unwrap_or_default()]);
        if !text.lines()[0].is_empty() {
            text.select_all();
        }
        Self {
            label,
            text,
            many_lines: false,
            optional: false,
            value: true,
        }
    }

    /// What stands in it is replaced by the next key or paste.
    pub fn replaces(&self) -> bool {
        self.value && self.text.is_selecting()
    }

    /// Puts a pasted text in. `Err`: why not; nothing has changed then.
    pub fn paste(&mut self, text: &str) -> Result<(), String> {
        let text = if self.value {
            value::shown(text)?
        } else {
            let clean = trueup_core::text::block(text);
            match self.many_lines {
                true => clean,
                // Typed over a slow line it comes like this too: what a space ends goes on.
                false => clean.trim_end_matches('\n').replace(['\n', '\t'], " "),
            }
        };
        self.text.insert_str(text);
        Ok(())
    }

    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub fn content(&self) -> String {
        if self.value {
            return value::meant(&self.text.lines().join("⏎"));
        }
        self.text.lines().join("\n").trim().to_owned()
    }
}

impl Choice {
    pub fn new(label: impl Into<String>, note: impl Into<String>, pick: Pick) -> Self {
        Self {
            label: trueup_core::text::line(&label.into()),
            note: trueup_core::text::line(&note.into()),
            pick,
            off: None,
        }
    }

    pub fn off_if(mut self, why: Option<String>) -> Self {
        self.off = why;
        self
    }
}

impl Choose {
    pub fn new(title: impl Into<String>, choices: Vec<Choice>) -> Self {
        let cursor = choices.iter().position(|c| c.off.is_none());
        Self {
            title: trueup_core::text::line(&title.into()),
            notes: Vec::new(),
            choices,
            cursor,
        }
    }

    pub fn note(mut self, role: Role, text: impl AsRef<str>) -> Self {
        self.notes
            .push((role, trueup_core::text::line(text.as_ref())));
        self
    }

    /// Where a question of yes or no has the answer that this letter stands for.
    pub fn answer(&self, letter: char) -> Option<usize> {
        let word = match letter {
            'y' => "yes",
            'n' => "no",
            _ => return None,
        };
        let asks = |word: &str| {
            let first = |choice: &Choice| {
                let end = choice.label.find(|c: char| !c.is_alphabetic());
                choice.label[..end.unwrap_or(choice.label.len())] == *word
            };
            self.choices.iter().position(first)
        };
        asks("no").and(asks("yes"))?;
        asks(word)
    }

    /// Nothing is chosen beforehand: whoever takes something has gone to it first.
    pub fn without_default(mut self) -> Self {
        self.cursor = None;
        self
    }
}

impl Prompt {
    pub fn new(ask: Ask, title: impl Into<String>, fields: Vec<Field>) -> Self {
        let at = fields
            .iter()
            .position(|f| f.content().is_empty())
            .unwrap_or(0);
        Self {
            ask,
            title: trueup_core::text::line(&title.into()),
            notes: Vec::new(),
            fields,
            at,
            wrong: None,
            missed: false,
        }
    }

    pub fn note(mut self, role: Role, text: impl AsRef<str>) -> Self {
        self.notes
            .push((role, trueup_core::text::line(text.as_ref())));
        self
    }

    /// What stands in a field, by its label.
    pub fn get(&self, label: &str) -> String {
        self.fields
            .iter()
            .find(|f| f.label == label)
            .map(Field::content)
            .unwrap_or_default()
    }
}
