//! What keys and pastes do to that which lies over a screen.

use super::super::{
    keymap::{self, Cmd},
    model::{
        Model, ToastKind,
        derived::Filter,
        dialog::{Choose, Dialog, Pick, Search},
        hold::SETTLE,
    },
    msg::Effect,
    theme::Role,
    widgets,
};
use super::{ask, choices, decide, forms, keys, offers, secret};
use crate::engine::handle::Request;
use jiff::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use trueup_core::{
    event::{Armed, CommandLine},
    sheet::{Command, Confirm},
};

/// What is said of a sheet that was confirmed, until it is refused.
pub const CONFIRMED: &str = "confirmed: ";

/// What is said to whoever goes on with a sheet that is over.
const OVERTAKEN: &str = "nothing was done: esc, and look at what is there now";

/// A key that is text here. `None`: it goes to the key table.
pub fn typed(model: &mut Model, key: KeyEvent, name: &str) -> Option<Vec<Effect>> {
    let too_new = model.settling() && name != "esc";
    match model.dialogs.last_mut()? {
        // Typed for what was there before.
        Dialog::Sheet(_) if too_new => return Some(still_typing(model, key)),
        Dialog::Prompt(prompt) if too_new => {
            // Or for the form, by somebody who is quick: 10 must not become 0 unseen.
            prompt.missed |= matches!(key.code, KeyCode::Char(_));
            return Some(still_typing(model, key));
        }
        _ => {}
    }
    let taken = text_taken(model, key, name);
    if taken.is_some() && matches!(model.dialogs.last(), Some(Dialog::Palette(_))) {
        // What is typed into it was meant for it, and so is the enter after it.
        model.settles_at = None;
    }
    taken
}

/// A key that came too soon belongs to what is typed right behind it: none of that is taken before there is a pause, or the
/// end of it would stand there as if it were all.
fn still_typing(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    if matches!(key.code, KeyCode::Char(_)) {
        model.settles_at = Some(model.time + SETTLE);
    }
    Vec::new()
}

fn text_taken(model: &mut Model, key: KeyEvent, name: &str) -> Option<Vec<Effect>> {
    let plain = !key
        .modifiers
        .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    let letter = match key.code {
        KeyCode::Char(c) if plain => Some(c),
        _ => None,
    };
    match model.dialogs.last_mut()? {
        Dialog::Sheet(sheet) => {
            let Confirm::Type(token) = &sheet.sheet.confirm else {
                return None;
            };
            if sheet.overtaken.is_some() {
                letter?;
                sheet.wrong = Some(OVERTAKEN.into());
                return Some(Vec::new());
            }
            match key.code {
                _ if rubbed_out(&mut sheet.typed, name) => {}
                _ => {
                    let c = letter?;
                    if sheet.typed.is_empty() && !token.starts_with(c) {
                        // Meant for the screen that the sheet came over: `n` pressed twice is no beginning of a token.
                        sheet.wrong = Some(format!("type {token} to confirm; esc leaves"));
                        return Some(Vec::new());
                    }
                    if sheet.typed.chars().count() < 80 {
                        sheet.typed.push(c);
                    }
                }
            }
            sheet.wrong = None;
            Some(Vec::new())
        }
        Dialog::Help(search) | Dialog::Palette(search) | Dialog::Log(search) => {
            if !rubbed_out(&mut search.typed, name) {
                search.typed.push(letter?);
            }
            search.cursor = 0;
            Some(Vec::new())
        }
        Dialog::Prompt(prompt) => {
            let world = &model.world;
            let many = prompt.fields.get(prompt.at).is_some_and(|f| f.many_lines);
            let editing = match name {
                "enter" | "up" | "down" => many,
                "esc" | "tab" | "backtab" | "ctrl-s" => false,
                _ => true,
            };
            if !editing {
                return None;
            }
            if name == "ctrl-m" || name == "ctrl-j" {
                return Some(Vec::new());
            }
            prompt.wrong = None;
            if let Some(field) = prompt.fields.get_mut(prompt.at) {
                // As a shell does it; the rest of what a shell does, the text does by itself.
                if name == "ctrl-u" {
                    field.text.delete_line_by_head();
                } else {
                    field.text.input(key);
                }
            }
            super::act::target_moved(&world.now, prompt);
            Some(Vec::new())
        }
        Dialog::Choose(choose) => {
            // A choice that begins with a number or a letter and a blank is reached by it; enter still takes it.
            let c = letter?;
            let at = choose.choices.iter().position(|choice| {
                let mut chars = choice.label.chars();
                chars.next() == Some(c) && chars.next() == Some(' ')
            });
            if at.is_some() {
                choose.cursor = at;
                return Some(Vec::new());
            }
            // A question of yes or no is answered by its letter.
            let at = choose.answer(c)?;
            if model.settles_at.is_some_and(|at| model.time < at) {
                model.toast(
                    ToastKind::Said,
                    "the question has just come: read it, then answer",
                );
                return Some(Vec::new());
            }
            choose.cursor = Some(at);
            Some(take(model))
        }
        Dialog::Page(_) | Dialog::Secret(_) => None,
    }
}

/// Takes away what a key takes away from the end of a short text, as a shell does; whether it is such a key.
fn rubbed_out(text: &mut String, name: &str) -> bool {
    match name {
        "backspace" | "ctrl-h" => {
            text.pop();
        }
        "ctrl-u" => text.clear(),
        "ctrl-w" => {
            let kept = text.trim_end();
            let kept = kept.rfind(' ').map_or(0, |at| at + 1);
            text.truncate(kept);
        }
        _ => return false,
    }
    true
}

/// A paste goes into a text, never into a confirmation.
pub fn pasted(model: &mut Model, text: &str) {
    // A terminal sends a line's end as a return.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    match model.dialogs.last_mut() {
        Some(Dialog::Sheet(sheet)) => {
            // What was typed before it stands: over a slow line many keys come at once.
            sheet.wrong = Some(match (&sheet.sheet.confirm, sheet.typed.as_str()) {
                (Confirm::Button, _) => "a paste confirms nothing".into(),
                (Confirm::Type(_), "") => {
                    "keys all at once are a paste, which confirms nothing: type it".into()
                }
                (Confirm::Type(_), typed) => {
                    format!("a paste confirms nothing: {typed} stands, go on typing")
                }
            });
            // Whoever is typing over a line that stalled reads it first: the end of a token is none.
            model.settles_at = Some(model.time + SETTLE);
        }
        Some(Dialog::Prompt(prompt)) => {
            prompt.wrong = None;
            if let Some(field) = prompt.fields.get_mut(prompt.at)
                && let Err(why) = field.paste(&text)
            {
                prompt.wrong = Some(format!("the paste was not taken: {why}"));
            }
            // More of it may come, and what ends it is no key.
            model.settles_at = Some(model.time + SETTLE);
        }
        Some(Dialog::Help(search) | Dialog::Palette(search) | Dialog::Log(search)) => {
            search.typed.push_str(&trueup_core::text::line(
                text.lines().next().unwrap_or_default(),
            ));
            search.cursor = 0;
        }
        _ => {
            let keys = match text.chars().count() {
                1 => "a key that came right behind a paste belongs to it".to_owned(),
                many => format!("{many} keys at once are a paste"),
            };
            model.toast(
                ToastKind::Refused,
                format!("{keys}, and there is no text to paste into: nothing was done"),
            );
        }
    }
}

/// A key while the filter line is open.
pub fn filter_key(model: &mut Model, key: KeyEvent, name: &str) -> Vec<Effect> {
    match key.code {
        KeyCode::Esc => {
            model.list_mut().filter.clear();
            model.filtering = false;
        }
        KeyCode::Enter => model.filtering = false,
        _ if rubbed_out(&mut model.list_mut().filter, name) => {}
        KeyCode::Char(c) if name.chars().count() == 1 || name == "space" => {
            model.list_mut().filter.push(c);
        }
        _ => return Vec::new(),
    }
    model.list_mut().cursor = 0;
    model.derive_apps();
    model.derive_rows();
    Vec::new()
}

/// A command of the key table while something lies over the screen.
pub fn perform(model: &mut Model, cmd: Cmd) -> Vec<Effect> {
    if cmd == Cmd::Back {
        return back(model);
    }
    if cmd == Cmd::Help {
        model.dialogs.push(Dialog::Help(Search::default()));
        return Vec::new();
    }
    let size = model.size;
    match model.dialogs.last_mut() {
        Some(Dialog::Sheet(sheet)) => match cmd {
            Cmd::Enter => return confirm(model),
            Cmd::Pane => sheet.on_do = !sheet.on_do,
            Cmd::Down => sheet.scroll = widgets::sheet::scrolled(sheet, size, 3),
            Cmd::Up => sheet.scroll = widgets::sheet::scrolled(sheet, size, -3),
            _ => {}
        },
        Some(Dialog::Prompt(prompt)) => match cmd {
            Cmd::Pane => prompt.at = (prompt.at + 1) % prompt.fields.len().max(1),
            Cmd::Up => {
                prompt.at = prompt
                    .at
                    .checked_sub(1)
                    .unwrap_or(prompt.fields.len().saturating_sub(1))
            }
            Cmd::Enter => return forms::done(model),
            _ => {}
        },
        Some(Dialog::Choose(choose)) => match cmd {
            Cmd::Up => {
                let last = choose.choices.len().saturating_sub(1);
                let before = choose.cursor.and_then(|at| at.checked_sub(1));
                choose.cursor = Some(before.unwrap_or(last));
            }
            Cmd::Down => {
                let after = choose.cursor.map_or(0, |at| at + 1);
                choose.cursor = Some(after % choose.choices.len().max(1));
            }
            Cmd::Enter => return take(model),
            _ => {}
        },
        Some(Dialog::Palette(_)) if cmd == Cmd::Enter => return palette_take(model),
        Some(Dialog::Log(search)) if cmd == Cmd::Enter => {
            let search = search.clone();
            log_line(model, &search);
        }
        Some(Dialog::Help(search) | Dialog::Palette(search) | Dialog::Log(search)) => match cmd {
            Cmd::Up => search.cursor = search.cursor.saturating_sub(1),
            Cmd::Down => search.cursor = (search.cursor + 1).min(5_000),
            _ => {}
        },
        Some(Dialog::Page(page)) => match cmd {
            Cmd::Up => page.scroll = page.scroll.saturating_sub(1),
            Cmd::Down => page.scroll = (page.scroll + 1).min(widgets::page_overflow(page, size)),
            Cmd::Copy => {
                let text: Vec<String> = page
                    .doc
                    .lines(super::super::theme::Theme::default(), 200)
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                return vec![Effect::Copy(text.join("\n"))];
            }
            _ => {}
        },
        Some(Dialog::Secret(_)) => secret::key(model, cmd),
        None => {}
    }
    Vec::new()
}

fn back(model: &mut Model) -> Vec<Effect> {
    match model.dialogs.pop() {
        Some(Dialog::Sheet(sheet)) => {
            model.toast(ToastKind::Said, "put away: nothing was done");
            model.dialogs.extend(sheet.form.map(Dialog::Prompt));
            vec![Effect::Send(Request::Dismiss)]
        }
        _ => Vec::new(),
    }
}

/// Enter on the sheet: only all of it read, and the very token typed, goes ahead.
fn confirm(model: &mut Model) -> Vec<Effect> {
    let size = model.size;
    let Some(Dialog::Sheet(sheet)) = model.dialogs.last_mut() else {
        return Vec::new();
    };
    if matches!(sheet.sheet.confirm, Confirm::Button) && !sheet.on_do {
        return back(model);
    }
    if sheet.overtaken.is_some() {
        sheet.wrong = Some(OVERTAKEN.into());
        return Vec::new();
    }
    if widgets::sheet::unread(sheet, size) > 0 {
        sheet.scroll = widgets::sheet::scrolled(sheet, size, 8);
        sheet.wrong = Some("there was more to read: enter again when all of it is read".into());
        return Vec::new();
    }
    let typed = match &sheet.sheet.confirm {
        Confirm::Button => String::new(),
        Confirm::Type(token) if sheet.typed == *token => sheet.typed.clone(),
        Confirm::Type(token) => {
            sheet.wrong = Some(if sheet.typed.is_empty() {
                format!("type {token} and enter, or esc")
            } else {
                format!("that is not {token}: nothing was done")
            });
            sheet.typed.clear();
            return Vec::new();
        }
    };
    model.filled = sheet.form.take();
    let sheet = &sheet.sheet;
    let id = sheet.id.clone();
    let title = sheet.title.clone();
    model.dialogs.pop();
    model.toast(ToastKind::Said, format!("{CONFIRMED}{title}"));
    vec![Effect::Send(Request::Confirm { sheet: id, typed })]
}

fn take(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Choose(Choose {
        choices,
        cursor,
        notes,
        ..
    })) = model.dialogs.last()
    else {
        return Vec::new();
    };
    let Some(choice) = cursor.and_then(|at| choices.get(at)).cloned() else {
        model.toast(
            ToastKind::Said,
            "nothing is chosen yet: ↑↓ or its number or letter, then enter; esc goes back",
        );
        return Vec::new();
    };
    if let Some(why) = choice.off {
        model.toast(ToastKind::Refused, format!("{}: {why}", choice.label));
        return Vec::new();
    }
    let notes = notes.clone();
    model.dialogs.pop();
    if matches!(choice.pick, Pick::Ask(Command::Close)) && offers::close_overtaken(model, &notes) {
        return Vec::new();
    }
    let asks_on = match &choice.pick {
        Pick::Prompt(_) | Pick::Value(_) | Pick::Decide { .. } | Pick::Reason { .. } => true,
        Pick::Cmd(cmd) => cmd.takes_text(),
        _ => false,
    };
    let effects = taken(model, choice.pick);
    if asks_on && effects.is_empty() {
        super::no_box_came(model, "");
    }
    effects
}

fn taken(model: &mut Model, pick: Pick) -> Vec<Effect> {
    match pick {
        Pick::Nothing => Vec::new(),
        Pick::Ask(command) => ask(command),
        Pick::Arm { write, .. } if write == model.run().armed && write == Armed::Nothing => {
            model.toast(ToastKind::Said, "not armed, as it was: nothing is written");
            Vec::new()
        }
        Pick::Arm { write, then } => {
            model.after_arming = then;
            ask(Command::Arm { write })
        }
        Pick::Go => keys::go(),
        Pick::Quit => super::leave(model),
        Pick::Copy(text) => {
            model.toast(
                ToastKind::Done,
                format!(
                    "{} characters given to the terminal's clipboard (OSC 52)",
                    text.chars().count()
                ),
            );
            vec![Effect::Copy(text)]
        }
        Pick::Prompt(what) => {
            let form = offers::form(model, what);
            keys::prompt(model, form);
            Vec::new()
        }
        Pick::Value(take) => choices::for_which(model, take),
        Pick::Decide { cells, take } => decide::chosen(model, cells, take),
        Pick::Reason { cells, take } => decide::reason(model, cells, take),
        Pick::Reveal(cells) => vec![Effect::Send(Request::Reveal(cells))],
        Pick::Cmd(cmd) => keys::perform(model, cmd),
    }
}

/// The rows of the palette that fit what was typed, best first.
pub fn palette_rows(model: &Model, typed: &str) -> Vec<&'static keymap::Binding> {
    let mut filter = Filter::new(typed);
    let mut rows: Vec<(u32, &keymap::Binding)> = keymap::TABLE
        .iter()
        .filter(|b| {
            !b.label.is_empty()
                && matches!(
                    b.context,
                    keymap::Context::Everywhere | keymap::Context::On(_)
                )
        })
        .filter_map(|b| {
            filter
                .score(&format!("{} {} {}", b.label, b.keys[0], b.context.title()))
                .map(|score| (score, b))
        })
        .collect();
    let order = |context: keymap::Context| match context {
        keymap::Context::On(stage) if stage == model.stage => 0,
        keymap::Context::Everywhere => 1,
        _ => 2,
    };
    rows.sort_by_key(|(score, b)| (std::cmp::Reverse(*score), order(b.context)));
    rows.into_iter().map(|(_, b)| b).collect()
}

fn palette_take(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Palette(search)) = model.dialogs.pop() else {
        return Vec::new();
    };
    let rows = palette_rows(model, &search.typed);
    let Some(binding) = rows.get(search.cursor.min(rows.len().saturating_sub(1))) else {
        return Vec::new();
    };
    if let keymap::Context::On(stage) = binding.context {
        model.stage = stage;
    }
    let effects = match keymap::works(binding, model) {
        Ok(()) => super::perform(model, binding.cmd),
        Err(why) => {
            model.toast(ToastKind::Refused, format!("{}: {why}", binding.label));
            Vec::new()
        }
    };
    if binding.cmd.takes_text() && effects.is_empty() {
        super::no_box_came(model, "");
    }
    effects
}

/// The whole of a line of the command log.
fn log_line(model: &mut Model, search: &Search) {
    let rows = log_rows(model, &search.typed);
    let Some((at, line)) = rows.get(search.cursor.min(rows.len().saturating_sub(1))) else {
        return;
    };
    let mut doc = widgets::doc::Doc::new();
    doc.text(Role::Strong, &line.by_hand)
        .blank()
        .pair("at", Role::Text, at.to_string())
        .pair("took", Role::Text, format!("{} ms", line.millis))
        .pair("result", Role::Text, &line.result);
    keys::page(model, "the same by hand".into(), doc);
}

/// The lines of the command log that are let through, newest first.
pub fn log_rows<'a>(model: &'a Model, typed: &str) -> Vec<&'a (Timestamp, CommandLine)> {
    let mut filter = Filter::new(typed);
    model
        .world
        .log
        .iter()
        .rev()
        .filter(|(_, line)| {
            filter.all() || filter.hits(&format!("{} {}", line.by_hand, line.result))
        })
        .collect()
}
