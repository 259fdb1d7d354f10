//! Results over time as SVG pictures.
//!
//! Owns no state. Plain lines with axes, labels and a legend; text is left to the viewer's fonts.

use std::{fmt::Write, path::Path, time::Duration};

use crate::{
    Error,
    report::{Clock, Outcome},
};

/// Lines of one picture; with more members than that, those that were used most are drawn.
const LINES: usize = 10;
const COLOURS: [&str; LINES + 1] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c564b", "#5d7a00",
    "#333333", "#999999",
];
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// Writes `utilisation.svg` and `wait.svg` into a directory, which is made if need be.
///
/// # Errors
/// [`Error::Write`] where they cannot be written.
pub fn write(outcome: &Outcome, directory: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join("utilisation.svg"), utilisation(outcome))?;
    std::fs::write(directory.join("wait.svg"), wait(outcome))?;
    Ok(())
}

struct Line {
    name: String,
    points: Vec<(Duration, f64)>,
}

fn utilisation(outcome: &Outcome) -> String {
    let mut by_use: Vec<_> = outcome.use_over_time.iter().collect();
    let used = |name: &str| outcome.summary.utilisation.get(name).copied().flatten().unwrap_or_default();
    by_use.sort_by(|(a, _), (b, _)| used(b.as_str()).total_cmp(&used(a.as_str())));
    let left_out = by_use.len().saturating_sub(LINES);
    let mut lines: Vec<_> = by_use
        .into_iter()
        .take(LINES)
        .map(|(name, series)| Line { name: name.to_string(), points: series.points().collect() })
        .collect();
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    let note =
        if left_out > 0 { format!(", {LINES} most used of {}", left_out + LINES) } else { String::new() };
    let percent = |line: &mut Line| line.points.iter_mut().for_each(|(_, used)| *used *= 100.0);
    lines.iter_mut().for_each(percent);
    picture(
        &format!("Utilisation of members{note}"),
        "taken of the scarcest declared resource, %",
        100.0,
        outcome.span,
        &lines,
    )
}

fn wait(outcome: &Outcome) -> String {
    let points: Vec<_> = outcome.wait_over_time.points().collect();
    let highest = points.iter().map(|(_, wait)| *wait).fold(0.0, f64::max);
    let lines = [Line { name: "mean wait".to_owned(), points }];
    picture(
        "Wait by time of arrival",
        "seconds from arrival to placement",
        round_up(highest),
        outcome.span,
        &lines,
    )
}

/// The next of 1, 2, 5, 10, 20 ... that is not below.
fn round_up(highest: f64) -> f64 {
    let mut scale = 1.0;
    loop {
        for step in [1.0, 2.0, 5.0] {
            if step * scale >= highest || !highest.is_finite() {
                return step * scale;
            }
        }
        scale *= 10.0;
    }
}

fn picture(title: &str, unit: &str, highest: f64, span: Duration, lines: &[Line]) -> String {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let x = |at: Duration| LEFT + (right - LEFT) * at.as_secs_f64() / span.as_secs_f64().max(1e-9);
    let y = |value: f64| bottom - (bottom - TOP) * (value / highest).clamp(0.0, 1.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    for fifth in 0..=5u32 {
        let part = f64::from(fifth) / 5.0;
        let (value, at) = (highest * part, span.mul_f64(part));
        let (h, v) = (y(value), x(at));
        let label = if highest < 5.0 { format!("{value:.1}") } else { format!("{value:.0}") };
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{h:.1}\" x2=\"{right}\" y2=\"{h:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\
             <line x1=\"{v:.1}\" y1=\"{bottom}\" x2=\"{v:.1}\" y2=\"{:.1}\" stroke=\"#333333\"/>\
             <text x=\"{v:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            LEFT - 8.0,
            h + 4.0,
            bottom + 5.0,
            bottom + 20.0,
            Clock(at)
        );
    }
    let middle = f64::midpoint(TOP, bottom);
    let _ = writeln!(
        svg,
        "<polyline points=\"{LEFT},{TOP} {LEFT},{bottom} {right},{bottom}\" fill=\"none\" stroke=\"#333333\"/>\
         <text x=\"18\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {middle})\">{}</text>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">virtual time since the first arrival</text>",
        escaped(unit),
        f64::midpoint(LEFT, right),
        HEIGHT - 10.0
    );
    for ((line, colour), row) in lines.iter().zip(COLOURS).zip(0u32..) {
        let mut points = String::new();
        for (at, value) in &line.points {
            let _ = write!(points, "{:.1},{:.1} ", x(*at), y(*value));
        }
        let (at, key) = (TOP + 10.0 + 20.0 * f64::from(row), right + 15.0);
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <line x1=\"{key}\" y1=\"{at}\" x2=\"{}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            points.trim_end(),
            key + 20.0,
            key + 26.0,
            at + 4.0,
            escaped(&line.name)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_on_a_round_number() {
        for (highest, end) in [(0.0, 1.0), (0.3, 1.0), (1.5, 2.0), (3.0, 5.0), (70.0, 100.0), (201.0, 500.0)]
        {
            assert!((round_up(highest) - end).abs() < 1e-9, "{highest}");
        }
    }

    #[test]
    fn a_picture_has_its_lines_its_labels_and_nothing_unescaped() {
        let line = Line {
            name: "a<b".to_owned(),
            points: vec![(Duration::ZERO, 0.0), (Duration::from_secs(10), 50.0)],
        };
        let svg = picture("T", "u", 100.0, Duration::from_secs(10), &[line]);
        assert!(svg.contains("points=\"70.0,370.0 770.0,205.0\""), "{svg}");
        assert!(svg.contains("a&lt;b") && svg.contains(">100</text>") && svg.contains("00:00:10"), "{svg}");
    }
}
