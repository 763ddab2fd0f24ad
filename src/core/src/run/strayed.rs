//! What others did to fields that nobody had decided on, and whether that was taken back since.

use super::Run;
use crate::{
    decision::{CellKey, Sides},
    text,
};
use jiff::Timestamp;
use serde_json::Value;

/// So often one field is told of: what moves on and on is no news.
pub const OFTEN: u32 = 20;

/// A field that somebody moved, as the journal has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Strayed {
    /// What stood before anybody moved it; none where nobody looked then.
    pub was: Option<Sides>,
    /// What was seen of it last, and when that was told.
    pub sides: Sides,
    pub at: Timestamp,
    /// It is not back.
    pub away: bool,
    /// How often it was told of.
    pub told: u32,
}

impl Strayed {
    /// Whether live is as it was before anybody moved it; where nobody looked then, as Git has it: no question asked about it.
    pub fn is_back(&self, now: &Sides) -> bool {
        let was = self.was.as_ref().map_or(&now.git, |was| &was.live);
        self.away && *was == now.live
    }
}

/// A side, for a sentence.
fn side(value: &Option<Value>) -> String {
    value
        .as_ref()
        .map_or_else(|| "(absent)".to_owned(), text::value)
}

/// A field moved from what it was, as far as that is known; `often`: nothing more is told of it.
pub fn moved(key: &CellKey, was: Option<&Sides>, now: &Sides, often: bool) -> String {
    let moved = match was {
        Some(was) => format!("live went from {} to {}", side(&was.live), side(&now.live)),
        None => format!(
            "live is {} since the snapshot, Git has {}",
            side(&now.live),
            side(&now.git)
        ),
    };
    let often = match often {
        true => "; it moves on and on, and no more is told of it",
        false => "",
    };
    text::line(&format!(
        "{} {}: {moved}, and nobody decided on it{often}",
        key.object, key.field
    ))
}

/// A field is as it was.
pub fn came_back(key: &CellKey, now: &Sides) -> String {
    text::line(&format!(
        "{} {}: live is {} again",
        key.object,
        key.field,
        side(&now.live)
    ))
}

/// A decided field, or one that was found and lost, is as it was: what of it moved.
pub fn stands_again(key: &CellKey, touched: Option<&Sides>, now: &Sides) -> String {
    let mut parts = Vec::new();
    if let Some(touched) = touched {
        if touched.git != now.git {
            parts.push(format!("Git is {} again", side(&now.git)));
        }
        if touched.live != now.live {
            parts.push(format!("live is {} again", side(&now.live)));
        }
    }
    let parts = match parts.is_empty() {
        true => "what others did is taken back".to_owned(),
        false => parts.join(", "),
    };
    text::line(&format!("{} {}: {parts}", key.object, key.field))
}

impl Run {
    pub(super) fn stray(
        &mut self,
        key: &CellKey,
        sides: &Sides,
        was: Option<&Sides>,
        at: Timestamp,
    ) {
        let before = self.strayed.remove(key);
        let told = before.as_ref().map_or(0, |before| before.told);
        let was = match before {
            Some(before) if before.away => before.was,
            _ => was.cloned(),
        };
        let strayed = Strayed {
            was,
            sides: sides.clone(),
            at,
            away: true,
            told: told + 1,
        };
        self.strayed.insert(key.clone(), strayed);
    }

    pub(super) fn stray_back(&mut self, key: &CellKey, sides: &Sides, at: Timestamp) {
        // The same once more is another act.
        self.shaken.remove(key);
        self.reopened.remove(key);
        if let Some(strayed) = self.strayed.get_mut(key) {
            strayed.sides = sides.clone();
            strayed.at = at;
            strayed.away = false;
            strayed.told += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, Record},
        transcript::sample,
    };
    use serde_json::json;

    fn sides(live: u8) -> Sides {
        Sides {
            git: Some(json!(3)),
            last_synced: None,
            live: Some(json!(live)),
        }
    }

    fn key() -> CellKey {
        let strayed = sample::records()
            .into_iter()
            .find_map(|record| match record.event {
                Event::Strayed { cell, .. } => Some(cell),
                _ => None,
            });
        strayed.unwrap()
    }

    fn record(at: i64, event: Event) -> Record {
        Record {
            seq: 1,
            time: Timestamp::from_second(at).unwrap(),
            event,
        }
    }

    fn strayed(at: i64, was: Option<u8>, to: u8) -> Record {
        let (cell, what, who) = (key(), String::new(), String::new());
        let (sides, was) = (sides(to), was.map(sides));
        record(
            at,
            Event::Strayed {
                cell,
                what,
                who,
                sides,
                was,
            },
        )
    }

    #[test]
    fn what_strayed_is_back_where_it_stood_before_anybody_moved_it() {
        let key = key();
        let mut run = Run::default();
        run.apply(&strayed(1, Some(3), 1));
        run.apply(&strayed(2, Some(1), 0));
        let strayed_now = |run: &Run| run.strayed[&key].clone();
        let away = strayed_now(&run);
        assert_eq!((away.told, away.sides.live.clone()), (2, Some(json!(0))));
        assert!(!away.is_back(&sides(1)) && away.is_back(&sides(3)));
        let back = Event::StrayedBack {
            cell: key.clone(),
            what: String::new(),
            who: String::new(),
            sides: sides(3),
        };
        run.apply(&record(3, back));
        let back = strayed_now(&run);
        assert!(!back.away && !back.is_back(&sides(3)) && back.told == 3);
        // Another time it is from there that it strays.
        run.apply(&strayed(4, Some(3), 2));
        assert!(strayed_now(&run).is_back(&sides(3)));
        // Where nobody looked before, Git tells: no question asked about it.
        let mut unseen = Run::default();
        unseen.apply(&strayed(1, None, 1));
        assert!(
            !strayed_now(&unseen).is_back(&sides(2)) && strayed_now(&unseen).is_back(&sides(3))
        );
    }

    #[test]
    fn a_decided_field_that_is_taken_back_is_not_shaken_any_more() {
        let mut records = sample::records();
        let cell = records.iter().find_map(|record| match &record.event {
            Event::Decided { decisions } => Some(decisions[0].cell.clone()),
            _ => None,
        });
        let cell = cell.unwrap();
        records.truncate(records.len() - 1);
        let mut run = Run::fold(&records);
        let touched = Event::Adopted {
            application: Some(cell.application.clone()),
            what: "live went from RS256 to none".into(),
            who: "kubectl-patch".into(),
            cell: Some(cell.clone()),
            sides: Some(sides(0)),
        };
        run.apply(&record(1, touched));
        assert!(run.shaken.contains_key(&cell));
        let back = Event::StrayedBack {
            cell: cell.clone(),
            what: String::new(),
            who: String::new(),
            sides: sides(3),
        };
        run.apply(&record(2, back));
        assert!(!run.shaken.contains_key(&cell) && run.decisions.contains_key(&cell));
    }

    #[test]
    fn what_moved_is_said_as_far_as_it_is_known() {
        let key = key();
        let said = |text: String| {
            text.split_once(": ")
                .map(|(_, said)| said.to_owned())
                .unwrap()
        };
        let from =
            |was: Option<u8>, often| said(moved(&key, was.map(sides).as_ref(), &sides(1), often));
        assert_eq!(
            from(Some(3), false),
            "live went from 3 to 1, and nobody decided on it"
        );
        assert_eq!(
            from(None, false),
            "live is 1 since the snapshot, Git has 3, and nobody decided on it"
        );
        assert!(from(Some(3), true).ends_with("no more is told of it"));
        assert_eq!(said(came_back(&key, &sides(3))), "live is 3 again");
        let again = |touched: Option<Sides>| said(stands_again(&key, touched.as_ref(), &sides(3)));
        assert_eq!(again(Some(sides(1))), "live is 3 again");
        assert_eq!(again(None), "what others did is taken back");
    }
}
