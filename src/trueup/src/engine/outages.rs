//! When nobody could look: the cluster or Git did not answer. It is told once it is over, and is no time of a gate.

use std::sync::{MutexGuard, PoisonError, atomic::Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use trueup_core::{event::Event, now::Now, run::Run, text};

use super::{state::Engine, trouble::Trouble};

/// A cluster that was not heard for so long was away; the header says so from then on.
const SILENT: Duration = Duration::from_secs(10);
/// What was unread for less than this is a hiccup.
const SHORT: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(1);

const CLUSTER: &str = "the cluster";
/// Git that does not answer, or a kind that cannot be listed: which of them is in the reason.
const PART: &str = "part of what is compared";

/// Something that does not answer.
#[derive(Clone, Debug, PartialEq)]
struct Begun {
    from: Timestamp,
    why: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Outages {
    cluster: Option<Begun>,
    part: Option<Begun>,
    /// When a look gave everything last.
    whole: Option<Timestamp>,
    /// Since when somebody wants the world to be looked at: before, nobody asked, and silence is none.
    asking: Option<Instant>,
}

impl Outages {
    /// The cluster was heard so long ago. What is over, to be told.
    fn heard(&mut self, age: Duration, asking: bool, now: Timestamp) -> Option<Event> {
        if !asking {
            self.asking = None;
        } else if self.asking.get_or_insert_with(Instant::now).elapsed() >= SILENT && age >= SILENT
        {
            self.cluster.get_or_insert_with(|| Begun {
                from: now.checked_sub(age).unwrap_or(now),
                why: "it did not answer".into(),
            });
            return None;
        }
        if age >= SILENT {
            return None;
        }
        over(
            CLUSTER,
            self.cluster.take()?,
            now.checked_sub(age).unwrap_or(now),
        )
    }

    /// A look said why not everything could be read, or read everything.
    fn looked(&mut self, unread: Option<String>, now: Timestamp) -> Option<Event> {
        let Some(why) = unread else {
            self.whole = Some(now);
            return over(PART, self.part.take()?, now);
        };
        let from = self.whole.unwrap_or(now);
        self.part.get_or_insert(Begun { from, why });
        None
    }
}

fn over(what: &str, begun: Begun, to: Timestamp) -> Option<Event> {
    let lasted = to.duration_since(begun.from).unsigned_abs();
    (lasted >= SHORT).then(|| Event::Outage {
        what: what.into(),
        from: begun.from,
        to,
        why: begun.why,
    })
}

impl Engine {
    fn outages(&self) -> MutexGuard<'_, Outages> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_outage(&self, over: Option<Event>) -> Result<(), Trouble> {
        let told = |run: &Run| run.incident.is_some() && run.closed.is_none();
        match over.filter(|_| told(&self.run())) {
            Some(event) => self.record(event).map(drop),
            None => Ok(()),
        }
    }

    /// Writes down that the cluster was away, as soon as it is heard again.
    pub(super) fn note_silence(&self) -> Result<(), Trouble> {
        let asking = self.lookouts.load(Ordering::Relaxed) > 0;
        let (age, now) = (self.age(), self.ports.clock.now());
        let over = self.outages().heard(age, asking, now);
        self.tell_outage(over)
    }

    /// The same for what a look could not read, be it Git.
    pub(super) fn note_unread(&self, run: &Run, seen: &Now) -> Result<(), Trouble> {
        let why = seen.unread(run).map(|(_, why)| text::line(why));
        let over = self.outages().looked(why, self.ports.clock.now());
        self.tell_outage(over)
    }
}

/// Listens for the silence of the cluster, whatever else goes on.
pub async fn keep_listening(engine: std::sync::Weak<Engine>) {
    let mut every = tokio::time::interval(TICK);
    loop {
        every.tick().await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        // A journal that cannot be written stops the step that writes to it next, and says so.
        let _ = engine.note_silence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    #[test]
    fn git_that_is_away_is_told_from_the_last_whole_look_to_the_next() {
        let mut outages = Outages::default();
        assert_eq!(outages.looked(None, at(0)), None);
        for second in [6, 12, 18] {
            assert_eq!(outages.looked(Some("no remote".into()), at(second)), None);
        }
        let over = outages.looked(None, at(24));
        let told = Event::Outage {
            what: PART.into(),
            from: at(0),
            to: at(24),
            why: "no remote".into(),
        };
        assert_eq!((over, outages.looked(None, at(30))), (Some(told), None));
        // A hiccup is none.
        outages.looked(Some("no remote".into()), at(32));
        assert_eq!(outages.looked(None, at(34)), None);
    }

    #[test]
    fn a_cluster_that_was_asked_and_silent_is_told_when_it_is_heard_again() {
        let mut outages = Outages::default();
        let seconds = Duration::from_secs;
        // Nobody asked: that nothing was heard says nothing.
        assert_eq!(outages.heard(seconds(30), false, at(30)), None);
        assert_eq!(outages.heard(seconds(31), true, at(31)), None);
        assert_eq!(outages.heard(seconds(0), true, at(32)), None);
        outages.asking = Instant::now().checked_sub(SILENT);
        assert_eq!(outages.heard(seconds(12), true, at(44)), None);
        assert_eq!(outages.heard(seconds(20), true, at(52)), None);
        let over = outages.heard(seconds(1), true, at(53));
        let Some(Event::Outage { what, from, to, .. }) = over else {
            panic!("{over:?}");
        };
        assert_eq!((what.as_str(), from, to), ("the cluster", at(32), at(52)));
    }
}
