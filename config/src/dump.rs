//! The effective configuration as TOML, with the source of each value. Hashes of secrets are masked; files are
//! named, never read.

use std::collections::BTreeMap;
use std::fmt;

use crate::path::{KeyPath, quoted};
use crate::place::Source;
use crate::schema::{self, KEYS};
use crate::settings::{Setting, Settings};
use crate::shape::Value;

/// What stands in place of the hash of a secret.
const MASK: &str = "********";

/// What came of all layers, as TOML; its `Display` is what `tocsin config` prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Effective(String);

impl Effective {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut tables: BTreeMap<(usize, KeyPath), Vec<(usize, String)>> = BTreeMap::new();
        for (path, _) in settings.tables() {
            tables.entry((schema::order_of(path.segments()), path.clone())).or_default();
        }
        for (path, setting) in settings.values() {
            let table = path.parent();
            let lines = tables.entry((schema::order_of(path.segments()), table)).or_default();
            lines.extend(line(path, setting));
        }
        let mut text = String::new();
        for ((_, table), mut lines) in tables {
            if lines.is_empty() {
                continue;
            }
            lines.sort();
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}[{table}]\n"));
            text.extend(lines.into_iter().map(|(_, line)| line));
        }
        Self(text)
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Effective {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Effective({} bytes)", self.0.len())
    }
}

/// A key's line, with its place in the schema.
fn line(path: &KeyPath, setting: &Setting) -> Option<(usize, String)> {
    let value = written(setting.value.as_ref()?);
    let order = KEYS.iter().position(|key| key.pattern == setting.key.pattern)?;
    let whence = match &setting.place.source {
        Source::Default => Source::Default.to_string(),
        Source::File(_) | Source::Environment(_) => setting.place.to_string(),
    };
    Some((order, format!("{} = {value} # {whence}\n", quoted(path.leaf()))))
}

fn written(value: &Value) -> String {
    let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
    match value {
        Value::Address(address) => text(&address.to_string()),
        Value::Text(value) => text(value),
        Value::Path(path) => text(&path.to_string_lossy()),
        Value::Integer(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::List(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| text(&element.text)).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Digest(_) => text(MASK),
    }
}
