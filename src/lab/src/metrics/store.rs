//! Scraped samples in memory.

use std::collections::BTreeMap;

/// Label names and values, `__name__` among them.
pub type Labels = BTreeMap<String, String>;

/// Samples older than this are dropped.
const KEEP_MS: i64 = 2 * 3600 * 1000;

/// Series by their labels: samples in the order of their time (milliseconds since the epoch).
#[derive(Default)]
pub struct Store {
    series: BTreeMap<Labels, Vec<(i64, f64)>>,
}

impl Store {
    pub fn add(&mut self, at: i64, samples: Vec<(Labels, f64)>) {
        for (labels, value) in samples {
            let series = self.series.entry(labels).or_default();
            // A clock that was set back must not break the order that queries rely on.
            if series.last().is_none_or(|(last, _)| *last < at) {
                series.push((at, value));
            }
            if series
                .first()
                .is_some_and(|(first, _)| *first < at - KEEP_MS)
            {
                series.retain(|(time, _)| *time >= at - KEEP_MS);
            }
        }
    }

    pub fn series(&self) -> impl Iterator<Item = (&Labels, &[(i64, f64)])> {
        self.series
            .iter()
            .map(|(labels, samples)| (labels, samples.as_slice()))
    }
}
