//! The merged layers: for each path the value of the highest layer that sets it, and where that stands.

use std::collections::BTreeMap;
use std::path::Path;

use crate::path::KeyPath;
use crate::place::{Place, Source};
use crate::schema::Key;
use crate::shape::{Element, Value};

/// One key that was set.
pub(crate) struct Setting {
    /// Which key.
    pub(crate) key: &'static Key,
    /// Its value; `None` when it was refused, so that nobody also calls it missing.
    pub(crate) value: Option<Value>,
    /// Where it was set.
    pub(crate) place: Place,
}

/// All keys that were set and all tables that were opened.
#[derive(Default)]
pub(crate) struct Settings {
    values: BTreeMap<KeyPath, Setting>,
    tables: BTreeMap<KeyPath, Place>,
}

impl Settings {
    /// Sets a key; what a lower layer said is gone.
    pub(crate) fn set(&mut self, path: KeyPath, setting: Setting) {
        self.values.insert(path, setting);
    }

    /// Notes that a table exists.
    pub(crate) fn open_table(&mut self, path: KeyPath, place: Place) {
        self.tables.insert(path, place);
    }

    /// Whether somebody set the key, rightly or wrongly.
    pub(crate) fn is_set(&self, path: &KeyPath) -> bool {
        self.values.contains_key(path)
    }

    /// Whether the table exists.
    pub(crate) fn has_table(&self, path: &KeyPath) -> bool {
        self.tables.contains_key(path)
    }

    /// All tables, in the order of their paths.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&KeyPath, &Place)> {
        self.tables.iter()
    }

    /// All keys, in the order of their paths.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&KeyPath, &Setting)> {
        self.values.iter()
    }

    /// The tables below a section such as `realms`, with the names the operator gave them.
    pub(crate) fn named(&self, section: &str) -> impl Iterator<Item = (&str, KeyPath)> {
        self.tables.keys().filter_map(move |path| match path.segments() {
            [first, name] if first == section => Some((name.as_str(), path.clone())),
            _ => None,
        })
    }

    /// The tables below `[ops.tokens]`, with the names the operator gave them.
    pub(crate) fn operators(&self) -> impl Iterator<Item = (&str, KeyPath)> {
        self.tables.keys().filter_map(|path| match path.segments() {
            [first, second, name] if first == "ops" && second == "tokens" => {
                Some((name.as_str(), path.clone()))
            }
            _ => None,
        })
    }

    /// The tables right below `parent`, with the names the operator gave them.
    pub(crate) fn below<'a>(&'a self, parent: &'a KeyPath) -> impl Iterator<Item = (&'a str, KeyPath)> {
        self.tables.keys().filter_map(move |path| match path.segments().split_last() {
            Some((name, above)) if above == parent.segments() => Some((name.as_str(), path.clone())),
            _ => None,
        })
    }

    /// Whether somebody set the key himself, rather than a default.
    pub(crate) fn is_set_by_hand(&self, path: &KeyPath) -> bool {
        self.values.get(path).is_some_and(|setting| setting.place.source != Source::Default)
    }

    /// The tables of the callback entries of the client whose table this is.
    pub(crate) fn callback_entries(&self, client: &KeyPath) -> impl Iterator<Item = KeyPath> {
        let callbacks = client.child("callbacks");
        self.tables.keys().filter(move |path| path.parent() == callbacks).cloned()
    }

    /// Whether the section has a table of this name.
    pub(crate) fn has_named(&self, section: &str, name: &str) -> bool {
        self.has_table(&KeyPath::of(&[section, name]))
    }

    /// The names in a section.
    pub(crate) fn names(&self, section: &str) -> Vec<&str> {
        self.named(section).map(|(name, _)| name).collect()
    }

    /// Where a key or table stands; a key that is not set stands where its table does.
    pub(crate) fn place(&self, path: &KeyPath) -> Place {
        let set = self.values.get(path).map(|setting| &setting.place);
        let opened = || self.tables.get(path).or_else(|| self.tables.get(&path.parent()));
        set.or_else(opened).cloned().unwrap_or(Place::whole(Source::Default))
    }

    /// The value of a key.
    pub(crate) fn value(&self, path: &KeyPath) -> Option<&Value> {
        self.values.get(path).and_then(|setting| setting.value.as_ref())
    }

    /// The value of a key that is a text.
    pub(crate) fn text(&self, path: &KeyPath) -> Option<&str> {
        match self.value(path)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a key that is a whole number.
    pub(crate) fn integer(&self, path: &KeyPath) -> Option<u64> {
        match self.value(path)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The value of a key that is `true` or `false`.
    pub(crate) fn flag(&self, path: &KeyPath) -> Option<bool> {
        match self.value(path)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The value of a key that is a path.
    pub(crate) fn file(&self, path: &KeyPath) -> Option<&Path> {
        match self.value(path)? {
            Value::Path(file) => Some(file),
            _ => None,
        }
    }

    /// The value of a key that is a list.
    pub(crate) fn list(&self, path: &KeyPath) -> Option<&[Element]> {
        match self.value(path)? {
            Value::List(elements) => Some(elements),
            _ => None,
        }
    }
}
