//! A gate's samples as a row of bars: height is the value, and what is not green has a sign of its own.

use super::words;
use crate::tui::theme::Role;
use trueup_core::gate::{Sample, Verdict};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// At most `cells` of the newest samples, oldest first.
pub fn line(samples: &[Sample], cells: usize) -> Vec<(Role, String)> {
    let shown = &samples[samples.len().saturating_sub(cells)..];
    let most = shown
        .iter()
        .filter_map(|s| s.value)
        .filter(|v| v.is_finite())
        .fold(0.0_f64, f64::max);
    shown
        .iter()
        .map(|sample| {
            let role = match sample.verdict {
                Verdict::Green => Role::Good,
                Verdict::Red => Role::Bad,
                Verdict::Inconclusive => Role::Warn,
            };
            let sign = match (sample.verdict, sample.value) {
                (Verdict::Inconclusive, _) => '?',
                (Verdict::Green, None) => '✓',
                (Verdict::Red, None) => '✗',
                (_, Some(value)) => bar(value, most),
            };
            (role, sign.to_string())
        })
        .collect()
}

fn bar(value: f64, most: f64) -> char {
    let share = if most > 0.0 && value.is_finite() {
        (value / most).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let steps = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875];
    let at = steps.iter().filter(|step| share > **step).count();
    BARS[at]
}

/// Samples that hold no number, as what was seen for how long: `Progressing 00:12 → Healthy 00:31`. The newest states.
pub fn words(samples: &[Sample]) -> String {
    let name = |sample: &Sample| {
        let verdict = match sample.verdict {
            Verdict::Green => "✓",
            Verdict::Red => "✗",
            Verdict::Inconclusive => "?",
        };
        format!("{verdict} {}", words::clean(&sample.why))
    };
    let mut runs: Vec<(String, jiff::Timestamp)> = Vec::new();
    for sample in samples {
        let name = name(sample);
        if runs.last().is_none_or(|(last, _)| *last != name) {
            runs.push((name, sample.at));
        }
    }
    let Some(last) = samples.last() else {
        return String::new();
    };
    let ends: Vec<jiff::Timestamp> = runs
        .iter()
        .skip(1)
        .map(|(_, at)| *at)
        .chain([last.at])
        .collect();
    let skipped = runs.len().saturating_sub(4);
    let shown: Vec<String> = runs
        .iter()
        .zip(ends)
        .skip(skipped)
        .map(|((name, from), to)| format!("{name} {}", words::short_clock(words::since(*from, to))))
        .collect();
    format!(
        "{}{}",
        if skipped > 0 { "… → " } else { "" },
        shown.join(" → ")
    )
}

/// A value, or what stands for none.
pub fn value(value: Option<f64>) -> String {
    value.map_or_else(|| "no data".to_owned(), words::number)
}
