//! Reads keys out of TOML tables and collects what is wrong with them.
//!
//! A key with a fault reads as if it were absent, so that one walk finds every fault.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::ScenarioFault;

/// A document while it is read.
pub(super) struct Document<'d> {
    text: &'d str,
    pub(super) faults: Vec<ScenarioFault>,
}

/// One table of it.
#[derive(Clone)]
pub(super) struct Section<'d> {
    /// Path of the table, with a dot at its end unless it is the document.
    prefix: String,
    line: usize,
    table: Option<&'d DeTable<'d>>,
}

impl<'d> Document<'d> {
    /// The document with this text.
    pub(super) const fn new(text: &'d str) -> Self {
        Self { text, faults: Vec::new() }
    }

    /// Tells a fault.
    pub(super) fn fault(&mut self, line: usize, key: impl Into<String>, message: impl Into<String>) {
        self.faults.push(ScenarioFault { line, key: key.into(), message: message.into() });
    }

    /// The line in which this byte stands.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    /// Tells every key of the section that is not one of these.
    pub(super) fn allow(&mut self, section: &Section<'d>, known: &[&str]) {
        for name in section.table.iter().flat_map(|table| table.keys()) {
            if !known.contains(&name.get_ref().as_ref()) {
                let line = self.line_of(name.span().start);
                let message = format!("unknown key; allowed here are {}", known.join(", "));
                self.fault(line, format!("{}{}", section.prefix, name.get_ref()), message);
            }
        }
    }

    /// The table of this name; one without keys where it is absent.
    pub(super) fn section(&mut self, parent: &Section<'d>, name: &'static str) -> Section<'d> {
        let mut section =
            Section { prefix: format!("{}{name}.", parent.prefix), line: parent.line, table: None };
        if let Some((line, value)) = self.find(parent, name) {
            section.line = line;
            section.table = value.as_table();
            if section.table.is_none() {
                self.fault(
                    line,
                    parent.path(name),
                    format!("must be a table; write [{}]", parent.path(name)),
                );
            }
        }
        section
    }

    /// The tables of this name, each written with double brackets.
    pub(super) fn sections(&mut self, parent: &Section<'d>, name: &'static str) -> Vec<Section<'d>> {
        let Some((line, value)) = self.find(parent, name) else {
            return Vec::new();
        };
        let elements: &[Spanned<DeValue<'_>>] = value.as_array().map_or(&[], |array| array);
        let sections: Vec<_> = elements
            .iter()
            .enumerate()
            .filter_map(|(index, element)| {
                let prefix = format!("{}[{}].", parent.path(name), index + 1);
                let table = Some(element.get_ref().as_table()?);
                Some(Section { prefix, line: self.line_of(element.span().start), table })
            })
            .collect();
        if sections.is_empty() || sections.len() < elements.len() {
            let message = format!("must be a list of tables; write [[{}]] above each", parent.path(name));
            self.fault(line, parent.path(name), message);
        }
        sections
    }

    /// A text.
    pub(super) fn text(&mut self, section: &Section<'d>, name: &'static str) -> Option<&'d str> {
        let (line, value) = self.find(section, name)?;
        let text = value.as_str();
        if text.is_none() {
            self.fault(line, section.path(name), "must be a text in quotation marks");
        }
        text
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(
        &mut self,
        section: &Section<'d>,
        name: &'static str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let (line, value) = self.find(section, name)?;
        let found = value.as_str().and_then(|given| words.iter().find(|(word, _)| *word == given));
        if found.is_none() {
            let allowed: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.fault(line, section.path(name), format!("must be one of {}", allowed.join(", ")));
        }
        found.map(|(_, meant)| *meant)
    }

    /// True or false.
    pub(super) fn flag(&mut self, section: &Section<'d>, name: &'static str) -> Option<bool> {
        let (line, value) = self.find(section, name)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.fault(line, section.path(name), "must be true or false");
        }
        flag
    }

    /// A whole number of this range.
    pub(super) fn whole(
        &mut self,
        section: &Section<'d>,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let (line, value) = self.find(section, name)?;
        let number = match value {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("must be a whole number from {} to {}", range.start(), range.end());
            self.fault(line, section.path(name), message);
        }
        number
    }

    /// A number of this range, with or without a fraction.
    pub(super) fn number(
        &mut self,
        section: &Section<'d>,
        name: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        let (line, value) = self.find(section, name)?;
        let number = match value {
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("must be a number from {} to {}", range.start(), range.end());
            self.fault(line, section.path(name), message);
        }
        number
    }

    /// A time in seconds of this range.
    pub(super) fn seconds(
        &mut self,
        section: &Section<'d>,
        name: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<Duration> {
        self.number(section, name, range).map(Duration::from_secs_f64)
    }

    /// A time in milliseconds of this range.
    pub(super) fn milliseconds(
        &mut self,
        section: &Section<'d>,
        name: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<Duration> {
        self.number(section, name, range).map(|number| Duration::from_secs_f64(number / 1_000.0))
    }

    /// Tells that this key is needed; `why` ends the sentence.
    pub(super) fn needed(&mut self, section: &Section<'d>, name: &'static str, why: &str) {
        if !section.has(name) {
            self.fault(section.line, section.path(name), format!("is missing{why}"));
        }
    }

    /// Tells that this key is out of place where it stands; `why` ends the sentence.
    pub(super) fn unwanted(&mut self, section: &Section<'d>, name: &'static str, why: &str) {
        if let Some((line, _)) = self.find(section, name) {
            self.fault(line, section.path(name), format!("means nothing {why}; leave it out"));
        }
    }

    /// Tells a fault of the value that this key has, or of the section where it is absent.
    pub(super) fn fault_at(&mut self, section: &Section<'d>, name: &'static str, message: impl Into<String>) {
        let line = self.find(section, name).map_or(section.line, |(line, _)| line);
        self.fault(line, section.path(name), message);
    }

    fn find(&self, section: &Section<'d>, name: &str) -> Option<(usize, &'d DeValue<'d>)> {
        let (key, value): (&Spanned<_>, &Spanned<_>) = section.table?.get_key_value(name)?;
        Some((self.line_of(key.span().start), value.get_ref()))
    }
}

impl<'d> Section<'d> {
    /// The whole document.
    pub(super) const fn whole(table: &'d DeTable<'d>) -> Self {
        Self { prefix: String::new(), line: 1, table: Some(table) }
    }

    /// Whether the key is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(name))
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
