//! Keys that come faster than anybody types: a paste from a terminal that does not mark pastes, or what was typed while
//! nothing was read. They are text, never commands and never a confirmation.

use super::msg::Msg;
use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind,
};
use std::time::Duration;

/// So many letters in one read are no person's typing, even over a slow line.
const MANY: usize = 8;
/// With the end of a line among them fewer will do. Up to four keys are somebody who is quick, over a line that is not: each is
/// then a key of its own, and what comes on the screen after the first holds the others back (`model/hold.rs`).
const FEW: usize = 5;
/// A paste that comes in several reads has no longer pauses than this.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells bursts from keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bursts {
    going_on: bool,
}

impl Bursts {
    /// What the events of one read mean. `since`: how long ago the read before was.
    pub fn taken(&mut self, events: Vec<Event>, since: Duration) -> Vec<Msg> {
        let keys: Vec<&KeyEvent> = events.iter().filter_map(text_key).collect();
        let goes_on = self.going_on && since <= PAUSE && !keys.is_empty();
        self.going_on = goes_on || is_burst(&keys);
        if !self.going_on {
            return events.into_iter().filter_map(plain).collect();
        }
        let mut text = String::new();
        let mut rest = Vec::new();
        for event in events {
            match text_key(&event) {
                Some(key) => text.push(letter(key)),
                // A way out stays one; any other key between the letters belongs to what was pasted.
                None => match &event {
                    Event::Key(key) if !is_ctrl_c(key) => {}
                    _ => rest.extend(plain(event)),
                },
            }
        }
        let mut msgs = vec![Msg::Paste(text)];
        msgs.append(&mut rest);
        msgs
    }
}

fn is_burst(keys: &[&KeyEvent]) -> bool {
    let letters: Vec<char> = keys.iter().map(|key| letter(key)).collect();
    let Some((last, before)) = letters.split_last() else {
        return false;
    };
    // A key that is held down repeats.
    let repeats = before.iter().all(|c| c == last);
    let ends_inside = before.contains(&'\n') || before.contains(&'\t');
    !repeats && (ends_inside && letters.len() >= FEW || letters.len() >= MANY)
}

fn is_ctrl_c(key: &KeyEvent) -> bool {
    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// A key that a pasted text may hold.
fn text_key(event: &Event) -> Option<&KeyEvent> {
    let Event::Key(key) = event else {
        return None;
    };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    let is_text = match key.code {
        KeyCode::Enter | KeyCode::Tab => true,
        // A line feed comes as ctrl-j.
        KeyCode::Char('j' | 'm') if control => true,
        KeyCode::Char(_) => !control && !alt,
        _ => false,
    };
    is_text.then_some(key)
}

fn letter(key: &KeyEvent) -> char {
    match key.code {
        KeyCode::Char(_) if key.modifiers.contains(KeyModifiers::CONTROL) => '\n',
        KeyCode::Char(c) => c,
        KeyCode::Tab => '\t',
        _ => '\n',
    }
}

/// An event on its own.
pub fn plain(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) => Some(Msg::Key(key)),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(width, height) => Some(Msg::Resize(width, height)),
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::ScrollUp => Some(Msg::Wheel(-1)),
            MouseEventKind::ScrollDown => Some(Msg::Wheel(1)),
            _ => None,
        },
        Event::FocusGained | Event::FocusLost => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<Event> {
        text.chars()
            .map(|c| {
                let (code, modifiers) = match c {
                    '\r' => (KeyCode::Enter, KeyModifiers::NONE),
                    '\n' => (KeyCode::Char('j'), KeyModifiers::CONTROL),
                    '\t' => (KeyCode::Tab, KeyModifiers::NONE),
                    '\u{1b}' => (KeyCode::Esc, KeyModifiers::NONE),
                    '\u{3}' => (KeyCode::Char('c'), KeyModifiers::CONTROL),
                    c => (KeyCode::Char(c), KeyModifiers::NONE),
                };
                Event::Key(KeyEvent::new(code, modifiers))
            })
            .collect()
    }

    /// What one read comes to: `P` and the text of a paste, or the keys.
    fn said(bursts: &mut Bursts, text: &str, since: Duration) -> String {
        let msgs = bursts.taken(keys(text), since);
        msgs.iter()
            .map(|msg| match msg {
                Msg::Paste(text) => format!("P[{text}]"),
                Msg::Key(key) => super::super::keymap::name(key),
                other => format!("{other:?}"),
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn what_no_hand_types_is_a_paste() {
        let long = Duration::from_secs(1);
        for (read, taken) in [
            ("n", "n"),
            // Over a slow line a few keys come at once.
            ("ok\r", "o k enter"),
            ("g3", "g 3"),
            ("\rq", "enter q"),
            ("jjjjjjjjjjjj", "j j j j j j j j j j j j"),
            ("\r\r\r", "enter enter enter"),
            ("a\rn", "a enter n"),
            ("\rn\r", "enter n enter"),
            ("a\rwhy", "P[a\nwhy]"),
            ("a\nwhy", "P[a\nwhy]"),
            ("the reason\r", "P[the reason\n]"),
            ("INC-441\r", "P[INC-441\n]"),
            // The way out of what is pasted into is not in the paste.
            ("why\u{1b}q\rn\r", "P[whyq\nn\n]"),
            ("why it was\u{3}", "P[why it was] ctrl-c"),
            ("n3\r\rwhy\r", "P[n3\n\nwhy\n]"),
            ("\u{1b}", "esc"),
        ] {
            assert_eq!(said(&mut Bursts::default(), read, long), taken, "{read:?}");
        }
    }

    #[test]
    fn a_paste_goes_on_over_several_reads_and_then_ends() {
        let mut bursts = Bursts::default();
        let soon = Duration::from_millis(20);
        assert_eq!(said(&mut bursts, "a long reason", soon), "P[a long reason]");
        assert_eq!(said(&mut bursts, "d\r", soon), "P[d\n]");
        assert_eq!(said(&mut bursts, "n", soon), "P[n]");
        assert_eq!(said(&mut bursts, "n", Duration::from_millis(300)), "n");
        assert_eq!(said(&mut bursts, "n", soon), "n");
    }
}
