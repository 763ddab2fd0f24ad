//! Names for places in a walk that are the same in every process and every run of the same walk.
#![allow(
    dead_code,
    reason = "the killer needs one half of it, the tests the other"
)]

use std::collections::BTreeMap;

use trueup::journal::Point;
use trueup_core::event::{Event, Record};

/// The six kinds of boundaries, as the tests name them.
pub fn kind(point: Point) -> &'static str {
    match point {
        Point::Before => "before",
        Point::Torn => "torn",
        Point::BeforeSync => "before-fsync",
        Point::AfterSync => "after-fsync",
        Point::AfterEffect => "after-effect",
        Point::AfterOutcome => "after-outcome",
    }
}

/// Follows a walk. A *milestone* is a record that takes the walk forward for good; everything else (a request, a sample)
/// is done anew by the next process, and is named by the milestone before it and how often it was repeated since.
pub struct Places {
    milestone: String,
    repeated: BTreeMap<String, u32>,
    last: String,
}

impl Places {
    pub fn after(milestone: String) -> Self {
        Self {
            milestone,
            repeated: BTreeMap::new(),
            last: String::new(),
        }
    }

    pub fn milestone(&self) -> &str {
        &self.milestone
    }

    /// The place of the next record.
    pub fn place(&mut self, record: &Record) -> String {
        let what = what(&record.event);
        let place = match &record.event {
            // Which write it ends is what the milestone before it says; a found outcome ends the same place.
            Event::Ended { .. } if self.milestone.starts_with("intended") => {
                format!("ended {}", self.milestone)
            }
            Event::Ended { .. } => self.milestone.clone(),
            // A process that goes on is armed anew, and looks anew.
            Event::Resumed { .. }
            | Event::Armed { .. }
            | Event::ObservationGap { .. }
            | Event::CommandRan { .. }
            | Event::FreezeSampled { .. }
            | Event::GateSampled { .. } => {
                let count = self.repeated.entry(what.clone()).or_default();
                // A refresh that came too early is asked again at once: the same place. Of samples, the third and later
                // ones are like the second.
                if !(matches!(record.event, Event::CommandRan { .. }) && self.last == what) {
                    *count += 1;
                }
                let place = format!("{what} #{} after {}", (*count).min(2), self.milestone);
                self.last = what;
                return place;
            }
            _ => what.clone(),
        };
        self.last = what;
        self.milestone.clone_from(&place);
        self.repeated.clear();
        place
    }
}

fn what(event: &Event) -> String {
    match event {
        Event::Resumed { .. } => "resumed".into(),
        Event::CommandRan { line } => format!("ran {}", line.by_hand),
        Event::FreezeSampled { application, .. } => format!("freeze-sampled {application}"),
        Event::FreezeProven { application } => format!("freeze-proven {application}"),
        Event::TargetSet { application, .. } => format!("target-set {application}"),
        Event::SnapshotTaken { number, .. } => format!("snapshot {number}"),
        Event::BaselineTaken { gate, .. } => format!("baseline {gate}"),
        Event::WaitGivenUp { wait, .. } => format!("given up {wait}"),
        Event::WaitShortened { wait, .. } => format!("shortened {wait}"),
        Event::Intended { effect, .. } => format!(
            "intended {} {}",
            effect.verb(),
            effect
                .application()
                .map(ToString::to_string)
                .unwrap_or_default()
        ),
        Event::Predicted { application, .. } => format!("predicted {application}"),
        Event::OperationFinished { application, .. } => format!("finished {application}"),
        Event::SyncVerified { application, .. } => format!("verified {application}"),
        Event::GateStarted {
            application, gate, ..
        } => format!("gate-started {application} {gate}"),
        Event::GateSampled {
            application, gate, ..
        } => format!("gate-sampled {application} {gate}"),
        Event::GatePassed { application, gate } => format!("gate-passed {application} {gate}"),
        Event::ThawWatched {
            application, round, ..
        } => format!("thaw-watched {application} {round}"),
        // One of a kind in a walk: its type says it all.
        other => serde_json::to_value(other)
            .ok()
            .and_then(|event| event["type"].as_str().map(str::to_owned))
            .unwrap_or_default(),
    }
}
