//! Small charts of a gate's samples: block characters for Markdown and the status line, SVG for HTML.
//!
//! Meaning is never in colour alone: red rises, inconclusive is a gap.

use crate::gate::{Sample, Verdict};
use std::fmt::Write;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a chart in text.
const COLUMNS: usize = 60;
/// Points of a chart in SVG.
const POINTS: usize = 240;

/// Several neighbouring samples as one: the worst verdict, the highest value.
struct Point {
    verdict: Verdict,
    value: Option<f64>,
}

fn condense(samples: &[Sample], most: usize) -> Vec<Point> {
    let size = samples.len().div_ceil(most).max(1);
    samples
        .chunks(size)
        .map(|chunk| {
            let has = |verdict| chunk.iter().any(|s| s.verdict == verdict);
            let verdict = if has(Verdict::Red) {
                Verdict::Red
            } else if has(Verdict::Inconclusive) {
                Verdict::Inconclusive
            } else {
                Verdict::Green
            };
            let values = chunk
                .iter()
                .filter_map(|s| s.value.filter(|v| v.is_finite()));
            Point {
                verdict,
                value: values.reduce(f64::max),
            }
        })
        .collect()
}

/// The highest and lowest value, zero included.
fn range(points: &[Point]) -> (f64, f64) {
    let values = points.iter().filter_map(|p| p.value);
    values.fold((0.0, 0.0), |(low, high): (f64, f64), v| {
        (low.min(v), high.max(v))
    })
}

/// Where a value stands between low and high, 0 to 1; a look without a value stands by its verdict.
fn level(point: &Point, (low, high): (f64, f64)) -> Option<f64> {
    match (point.verdict, point.value) {
        (Verdict::Inconclusive, _) => None,
        (_, Some(value)) if high > low => Some(((value - low) / (high - low)).clamp(0.0, 1.0)),
        (_, Some(_)) => Some(0.0),
        (Verdict::Green, None) => Some(0.0),
        (Verdict::Red, None) => Some(1.0),
    }
}

/// At most sixty block characters; `·` where there was nothing to judge.
pub(super) fn blocks(samples: &[Sample]) -> String {
    let points = condense(samples, COLUMNS);
    let range = range(&points);
    points
        .iter()
        .map(|point| match level(point, range) {
            None => '·',
            // Eight steps; the index stays below eight because a level is at most 1.
            Some(level) => BLOCKS[((level * 7.0).round() as usize).min(7)],
        })
        .collect()
}

/// An SVG picture of numbers and fixed words only: nothing from outside is in it.
pub(super) fn svg(samples: &[Sample]) -> String {
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 96.0;
    const STRIP: f64 = 10.0;
    let points = condense(samples, POINTS);
    let range = range(&points);
    let step = WIDTH / points.len().max(1) as f64;
    let mut line = String::new();
    let mut marks = String::new();
    let mut pen_down = false;
    for (n, point) in points.iter().enumerate() {
        let x = n as f64 * step;
        match level(point, range) {
            None => pen_down = false,
            Some(level) => {
                let y = HEIGHT - 4.0 - level * (HEIGHT - 8.0);
                let verb = if pen_down { 'L' } else { 'M' };
                let _ = write!(line, "{verb}{x:.1} {y:.1}h{step:.1}");
                pen_down = true;
            }
        }
        let (class, height) = match point.verdict {
            Verdict::Green => ("green", STRIP * 0.4),
            Verdict::Red => ("red", STRIP),
            Verdict::Inconclusive => ("unclear", STRIP * 0.7),
        };
        let y = HEIGHT + STRIP - height;
        let _ = write!(
            marks,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{step:.1}" height="{height:.1}"/>"#
        );
    }
    let total = HEIGHT + STRIP;
    format!(
        r#"<svg role="img" aria-label="samples over time" viewBox="0 0 {WIDTH} {total}" preserveAspectRatio="none"><line class="axis" x1="0" y1="{HEIGHT}" x2="{WIDTH}" y2="{HEIGHT}"/><path class="value" d="{line}"/>{marks}</svg>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn sample(value: Option<f64>, verdict: Verdict) -> Sample {
        Sample {
            at: Timestamp::UNIX_EPOCH,
            value,
            traffic: None,
            verdict,
            why: String::new(),
            unasked: false,
        }
    }

    #[test]
    fn a_gap_stays_a_gap_and_the_worst_shows() {
        use Verdict::{Green, Inconclusive, Red};
        let falling = [0.31, 0.15, 0.0].map(|v| sample(Some(v), Red));
        assert_eq!(blocks(&falling), "█▄▁");
        let looks = [(None, Green), (None, Inconclusive), (None, Red)].map(|(v, k)| sample(v, k));
        assert_eq!(blocks(&looks), "▁·█");
        assert_eq!(blocks(&[]), "");
        let mut many = vec![sample(Some(0.0), Green); 600];
        many[333] = sample(Some(0.5), Red);
        assert_eq!(blocks(&many).chars().count(), 60);
        assert!(blocks(&many).contains('█'));
        assert!(svg(&many).matches(r#"class="red""#).count() == 1);
        assert!(!svg(&[sample(Some(f64::NAN), Inconclusive)]).contains("NaN"));
    }
}
