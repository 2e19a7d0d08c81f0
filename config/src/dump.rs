//! The effective configuration as TOML, with the source of each value. Hashes of secrets are masked; files are
//! named, never read.

use std::fmt;

use crate::path::{KeyPath, quoted};
use crate::place::{Place, Source};
use crate::schema::{self, KEYS};
use crate::settings::{Setting, Settings};
use crate::shape::Value;

/// What stands in place of a secret or its hash.
const MASK: &str = "********";

/// What came of all layers; its `Display` is the TOML that `tocsin config` prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Effective {
    tables: Vec<EffectiveTable>,
}

#[derive(Clone, PartialEq, Eq)]
struct EffectiveTable {
    path: KeyPath,
    keys: Vec<EffectiveKey>,
}

/// One key that has a value.
#[derive(Clone, PartialEq, Eq)]
pub struct EffectiveKey {
    /// Its path from the top, such as `realms.retail.ttl_s`.
    pub path: String,
    /// Its value; secrets are masked.
    pub value: EffectiveValue,
    /// Where the value comes from: `default`, `FILE:LINE:COLUMN` or `environment VARIABLE`.
    pub source: String,
    leaf: String,
    order: usize,
}

/// A value as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectiveValue {
    /// A text, a path, an address, or the mask of a secret.
    Text(String),
    /// A whole number.
    Number(u64),
    /// `true` or `false`.
    Flag(bool),
    /// A list of texts.
    List(Vec<String>),
}

impl Effective {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut keys: Vec<(KeyPath, EffectiveKey)> = settings
            .values()
            .filter_map(|(path, setting)| Some((path.parent(), EffectiveKey::new(path, setting)?)))
            .collect();
        keys.sort_by(|(table, key), (other_table, other)| {
            let place = |table: &KeyPath| schema::order_of(table.segments());
            (place(table), table, key.order).cmp(&(place(other_table), other_table, other.order))
        });
        let mut tables: Vec<EffectiveTable> = Vec::new();
        for (path, key) in keys {
            match tables.last_mut().filter(|table| table.path == path) {
                Some(table) => table.keys.push(key),
                None => tables.push(EffectiveTable { path, keys: vec![key] }),
            }
        }
        Self { tables }
    }

    /// What `new` says otherwise in keys that only a start reads, as faults at their places: a running server cannot
    /// take it over.
    pub fn needs_restart(&self, new: &Self) -> Vec<String> {
        let mut faults = Vec::new();
        for key in new.keys().filter(|key| key.is_read_at_start()) {
            let present = self.keys().find(|present| present.path == key.path);
            if present.is_none_or(|present| present.value != key.value) {
                faults.push(format!("{}: {}: {NEEDS_RESTART}", key.source, key.path));
            }
        }
        let gone = self.keys().filter(|key| key.is_read_at_start());
        let gone = gone.filter(|key| new.keys().all(|found| found.path != key.path));
        faults.extend(gone.map(|key| format!("{}: {NEEDS_RESTART}", key.path)));
        faults
    }

    /// Where the value of this key stands: `default`, `FILE:LINE:COLUMN` or `environment VARIABLE`.
    pub fn source_of(&self, path: &str) -> Option<&str> {
        self.keys().find(|key| key.path == path).map(|key| key.source.as_str())
    }

    /// Every key that has a value, in the order in which they are shown.
    pub fn keys(&self) -> impl Iterator<Item = &EffectiveKey> {
        self.tables.iter().flat_map(|table| &table.keys)
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, EffectiveTable { path, keys }) in self.tables.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            writeln!(formatter, "{gap}[{path}]")?;
            for key in keys {
                writeln!(formatter, "{} = {} # {}", quoted(&key.leaf), key.value, key.source)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Effective {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Effective({} keys)", self.keys().count())
    }
}

/// Sections that only a start reads.
const READ_AT_START: [&str; 8] =
    ["master_keys.", "portal.", "device.", "ops.", "log.format", "storage.", "engine.", "callbacks.ca_file"];

/// Keys of these sections that a reload takes over all the same.
const READ_AT_RELOAD: [&str; 3] = ["ops.tokens.", "ops.ready_requires", "storage.audit_retention_s"];

/// What is said of a key that only a start reads.
const NEEDS_RESTART: &str = "cannot change while the server runs; restart it with the new value";

impl EffectiveKey {
    fn is_read_at_start(&self) -> bool {
        let begins = |with: &&str| self.path.starts_with(*with);
        READ_AT_START.iter().any(begins) && !READ_AT_RELOAD.iter().any(begins)
    }

    fn new(path: &KeyPath, setting: &Setting) -> Option<Self> {
        Some(Self {
            path: path.to_string(),
            value: EffectiveValue::of(setting.value.as_ref()?),
            source: whence(&setting.place),
            leaf: path.leaf().to_owned(),
            order: KEYS.iter().position(|key| key.pattern == setting.key.pattern)?,
        })
    }
}

fn whence(place: &Place) -> String {
    match &place.source {
        Source::Default => Source::Default.to_string(),
        Source::File(_) | Source::Environment(_) => place.to_string(),
    }
}

impl EffectiveValue {
    fn of(value: &Value) -> Self {
        match value {
            Value::Address(address) => Self::Text(address.to_string()),
            Value::Text(text) => Self::Text(text.clone()),
            Value::Path(path) => Self::Text(path.to_string_lossy().into_owned()),
            Value::Integer(number) => Self::Number(*number),
            Value::Flag(flag) => Self::Flag(*flag),
            Value::List(elements) => {
                Self::List(elements.iter().map(|element| element.text.clone()).collect())
            }
            Value::Digest(_) | Value::Password(_) => Self::Text(MASK.to_owned()),
            Value::WebhookSecrets(secrets) => Self::List(vec![MASK.to_owned(); secrets.len()]),
        }
    }
}

/// As TOML writes it.
impl fmt::Display for EffectiveValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &String| toml::Value::String(text.clone()).to_string();
        match self {
            Self::Text(text) => formatter.write_str(&quoted(text)),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Flag(flag) => write!(formatter, "{flag}"),
            Self::List(texts) => {
                let texts: Vec<String> = texts.iter().map(quoted).collect();
                write!(formatter, "[{}]", texts.join(", "))
            }
        }
    }
}
