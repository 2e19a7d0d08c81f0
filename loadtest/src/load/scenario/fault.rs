//! What is wrong with a scenario.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScenarioFault {
    /// Line of the file, counted from 1.
    pub line: usize,
    /// Path of the key, such as `phase[2].rate_per_s`; empty when it is about the file as a whole.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for ScenarioFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, message } = self;
        let colon = if key.is_empty() { "" } else { ": " };
        write!(formatter, "line {line}: {key}{colon}{message}")
    }
}

/// Everything that is wrong, in the order of the lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioFaults(Vec<ScenarioFault>);

impl ScenarioFaults {
    pub(super) fn new(mut faults: Vec<ScenarioFault>) -> Self {
        faults.sort();
        Self(faults)
    }

    /// The faults, one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, ScenarioFault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ScenarioFaults {
    type Item = &'a ScenarioFault;
    type IntoIter = std::slice::Iter<'a, ScenarioFault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ScenarioFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(formatter, "{newline}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioFaults {}
