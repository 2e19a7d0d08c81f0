//! What is wrong with a configuration, and what is allowed but worth a word.

use std::fmt;

use crate::path::KeyPath;
use crate::place::{Place, one_line};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// The path of the key, or empty when it is about the source as a whole.
    pub key: String,
    /// What is wrong and what is allowed. Never holds a secret.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(place: Place, path: &KeyPath, message: impl Into<String>) -> Self {
        Self { place, key: path.to_string(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(formatter, &self.place, &self.key, &self.message)
    }
}

/// Everything that is wrong, in the order of the sources and their lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The faults in order, each once.
    pub(crate) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        Self(faults)
    }

    /// The faults, one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One line a fault: `file:line:column: key: message`.
impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(formatter, "{newline}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Something allowed that an operator should know of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// The path of the key.
    pub key: String,
    /// What to know. Never holds a secret.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(place: Place, path: &KeyPath, message: impl Into<String>) -> Self {
        Self { place, key: path.to_string(), message: message.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(formatter, &self.place, &self.key, &self.message)
    }
}

fn write_line(formatter: &mut fmt::Formatter<'_>, place: &Place, key: &str, message: &str) -> fmt::Result {
    let message = one_line(message);
    if key.is_empty() {
        write!(formatter, "{place}: {message}")
    } else {
        write!(formatter, "{place}: {}: {message}", one_line(key))
    }
}
