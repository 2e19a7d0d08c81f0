//! Small plots as inline SVG: lines and steps over axes that are linear, logarithmic or stretched towards 100 %.
//!
//! A plot is drawn in the width of a phone and scales up from there. It holds no colours: classes do, so that the
//! page decides for light and dark.

mod axis;
mod svg;

use super::types::Mark;

pub(super) use axis::{Measure, Spread};

/// One plot.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// What it shows, with the unit of the upward axis.
    pub(super) title: String,
    /// What the axis to the right is, with its unit.
    pub(super) x_label: &'static str,
    /// How values spread over the axis to the right.
    pub(super) x: Spread,
    /// How values spread over the upward axis.
    pub(super) y: Spread,
    /// What is drawn; those without points are left out.
    pub(super) lines: Vec<Line>,
    /// Spans of the axis to the right.
    pub(super) marks: Vec<Mark>,
}

/// One line of a plot.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its name in the legend.
    pub(super) name: String,
    /// Its colour, by number.
    pub(super) colour: usize,
    /// How its points are joined.
    pub(super) join: Join,
    /// In the order of the axis to the right.
    pub(super) points: Vec<(f64, f64)>,
}

/// How points are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// By straight lines.
    Straight,
    /// By straight lines with gaps in them.
    Dashed,
    /// Each holds until the next.
    Step,
}

/// Colours that there are.
pub(super) const COLOURS: usize = 6;

impl Line {
    /// A line with this name.
    pub(super) fn new(name: impl Into<String>, colour: usize, join: Join, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), colour: colour % COLOURS, join, points }
    }
}
