//! From a plot to its drawing.

use std::fmt::Write as _;

use super::axis::Axis;
use super::{Join, Line, Plot};
use crate::load::report::html::escaped;

/// The drawing's own size; the page scales it.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 220.0;

/// Room around the field, for the texts of the axes.
const LEFT: f64 = 48.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 38.0;

impl Plot {
    /// A `figure` with title, drawing and legend; `None` if there is nothing to draw.
    pub(in crate::load::report) fn to_figure(&self) -> Option<String> {
        let lines: Vec<&Line> =
            self.lines.iter().filter(|line| line.points.iter().any(|(_, up)| up.is_finite())).collect();
        if lines.is_empty() {
            return None;
        }
        let points = || lines.iter().flat_map(|line| &line.points);
        let x = Axis::of(self.x, points().map(|(x, _)| *x));
        let y = Axis::of(self.y, points().map(|(_, y)| *y));
        let mut figure = format!("<figure><figcaption>{}</figcaption>\n", escaped(&self.title));
        let label = format!("{}: {}", self.title, names(&lines).join(", "));
        let _ = writeln!(
            figure,
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
            escaped(&label)
        );
        self.draw_marks(&mut figure, &x);
        draw_grid(&mut figure, &x, &y);
        for line in &lines {
            draw_line(&mut figure, line, &x, &y);
        }
        let (middle, bottom) = (LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 4.0);
        let _ = writeln!(
            figure,
            r#"<text class="axis" x="{middle}" y="{bottom}" text-anchor="middle">{}</text></svg>"#,
            escaped(self.x_label)
        );
        self.draw_legend(&mut figure, &lines);
        figure.push_str("</figure>\n");
        Some(figure)
    }

    fn draw_marks(&self, figure: &mut String, x: &Axis) {
        for mark in &self.marks {
            let (Some(from), Some(to)) = (x.place(mark.from_s), x.place(mark.to_s)) else { continue };
            let (from, to, bottom) = (across(from), across(to), HEIGHT - BOTTOM);
            let label = escaped(&mark.label);
            if mark.is_trouble {
                let (width, height) = (to - from, bottom - TOP);
                let _ = writeln!(
                    figure,
                    r#"<rect class="trouble" x="{from:.1}" y="{TOP}" width="{width:.1}" height="{height:.1}"><title>{label}</title></rect>"#
                );
            } else if mark.from_s > 0.0 {
                let _ = writeln!(
                    figure,
                    r#"<path class="phase" d="M{from:.1} {TOP}V{bottom:.1}"><title>{label}</title></path>"#
                );
            }
        }
    }

    fn draw_legend(&self, figure: &mut String, lines: &[&Line]) {
        figure.push_str("<ul class=\"legend\">");
        for line in lines {
            let _ = write!(
                figure,
                r#"<li><svg class="swatch" viewBox="0 0 22 8" aria-hidden="true"><path class="{}" d="M0 4H22"/></svg>{}</li>"#,
                class(line),
                escaped(&line.name)
            );
        }
        if self.marks.iter().any(|mark| mark.is_trouble) {
            figure.push_str(
                r#"<li><svg class="swatch" viewBox="0 0 22 8" aria-hidden="true"><rect class="trouble" width="22" height="8"/></svg>trouble at a provider</li>"#,
            );
        }
        figure.push_str("</ul>");
    }
}

fn names<'a>(lines: &[&'a Line]) -> Vec<&'a str> {
    lines.iter().map(|line| line.name.as_str()).collect()
}

fn class(line: &Line) -> String {
    let dashes = if line.join == Join::Dashed { " dashed" } else { "" };
    format!("line c{}{dashes}", line.colour)
}

fn across(place: f64) -> f64 {
    LEFT + place * (WIDTH - LEFT - RIGHT)
}

fn upward(place: f64) -> f64 {
    HEIGHT - BOTTOM - place * (HEIGHT - BOTTOM - TOP)
}

fn draw_grid(figure: &mut String, x: &Axis, y: &Axis) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (value, text) in &y.ticks {
        let Some(at) = y.place(*value).map(upward) else { continue };
        let (beside, baseline) = (LEFT - 5.0, at + 3.5);
        let _ = writeln!(
            figure,
            r#"<path class="grid" d="M{LEFT} {at:.1}H{right}"/><text x="{beside}" y="{baseline:.1}" text-anchor="end">{text}</text>"#
        );
    }
    for (value, text) in &x.ticks {
        let Some(at) = x.place(*value).map(across) else { continue };
        let below = bottom + 14.0;
        let _ = writeln!(
            figure,
            r#"<path class="grid" d="M{at:.1} {TOP}V{bottom}"/><text x="{at:.1}" y="{below}" text-anchor="middle">{text}</text>"#
        );
    }
}

fn draw_line(figure: &mut String, line: &Line, x: &Axis, y: &Axis) {
    let mut path = String::new();
    let mut is_begun = false;
    for (to_right, up) in &line.points {
        let (Some(to_right), Some(up)) = (x.place(*to_right).map(across), y.place(*up).map(upward)) else {
            // A value without a place makes a gap; h0 shows a lone point as a dot.
            is_begun = false;
            continue;
        };
        let _ = match (is_begun, line.join) {
            (false, _) => write!(path, "M{to_right:.1} {up:.1}h0"),
            (true, Join::Step) => write!(path, "H{to_right:.1}V{up:.1}"),
            (true, Join::Straight | Join::Dashed) => write!(path, "L{to_right:.1} {up:.1}"),
        };
        is_begun = true;
    }
    let _ = writeln!(
        figure,
        r#"<path class="{}" d="{path}"><title>{}</title></path>"#,
        class(line),
        escaped(&line.name)
    );
}
