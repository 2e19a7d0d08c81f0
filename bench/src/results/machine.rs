//! What the figures were measured on.

use std::fs;
use std::process::Command;

/// The machine and the commit.
#[derive(Clone, Debug)]
pub struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    commit: String,
}

impl Machine {
    /// This one, and the commit of the working tree in this folder.
    pub fn present() -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: model.unwrap_or("an unknown processor").trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
        }
    }

    /// One line for the page.
    pub fn line(&self) -> String {
        let Self { processor, cores, kernel, commit } = self;
        format!("Measured on {processor}, {cores} cores, Linux {kernel}, at commit {commit}.")
    }
}

/// The commit, and whether something differs from it other than what this writes.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let told = Command::new("git").args(arguments).output().ok()?;
        told.status.success().then(|| String::from_utf8_lossy(&told.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ":!bench/RESULTS.md"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}
