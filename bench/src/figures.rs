//! Figures that criterion does not keep: bytes, rates of others, percentiles. One small file each, below the target
//! folder, where the table of results finds them.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the figures.
#[derive(Clone, Debug)]
pub struct Figures(PathBuf);

impl Figures {
    /// Below `temporary`, the folder that Cargo gives benches for their files.
    pub fn below(temporary: &str) -> Self {
        Self(Path::new(temporary).join("bench-figures"))
    }

    /// Keeps one, and says it.
    pub fn keep(&self, name: &str, value: f64) {
        println!("{name}: {value}");
        fs::create_dir_all(&self.0).expect("the target folder can be written");
        fs::write(self.0.join(name), value.to_string()).expect("the target folder can be written");
    }

    /// One that was kept.
    pub fn read(&self, name: &str) -> Option<f64> {
        fs::read_to_string(self.0.join(name)).ok()?.parse().ok()
    }
}
