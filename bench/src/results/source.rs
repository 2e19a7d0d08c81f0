//! Where a figure comes from.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Figures;

/// The target folder with what the benches left there.
#[derive(Debug)]
pub struct Measured {
    criterion: PathBuf,
    figures: Figures,
}

/// One figure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// The median of a criterion bench, in nanoseconds.
    Median(&'static str),
    /// A figure that a bench kept.
    Kept(&'static str),
}

impl Measured {
    /// In this target folder.
    pub fn in_target(folder: &Path) -> Self {
        Self {
            criterion: folder.join("criterion"),
            figures: Figures::below(&folder.join("tmp").to_string_lossy()),
        }
    }

    pub(super) fn read(&self, source: Source) -> Option<f64> {
        match source {
            Source::Median(bench) => self.median_ns(bench),
            Source::Kept(name) => self.figures.read(name),
        }
    }

    fn median_ns(&self, bench: &str) -> Option<f64> {
        let path = self.criterion.join(bench).join("new").join("estimates.json");
        let estimates: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        estimates["median"]["point_estimate"].as_f64()
    }
}
