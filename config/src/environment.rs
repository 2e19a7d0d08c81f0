//! The layer of environment variables: `TOCSIN_` and the path in capitals, its parts joined by `__`, each `-`
//! and `.` of a name written as `_`. `TOCSIN_PROVIDERS__APNS_MAIN__TEAM_ID` is `team_id` of `apns-main`.
//!
//! A variable changes keys of tables that the file has; it makes no new named table. Texts are taken as they
//! are; numbers, flags and lists are written as in TOML. A `TOCSIN_` variable that fits no key is a fault.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use crate::document::read_value;
use crate::fault::Fault;
use crate::findings::Findings;
use crate::hint;
use crate::path::KeyPath;
use crate::place::{Origin, Place, Source};
use crate::schema::{KEYS, Key};
use crate::settings::Settings;

/// What all our variables begin with.
const PREFIX: &str = "TOCSIN_";

/// Variables that are no part of the configuration: where its file is, and an operator's token for calls at a running
/// server.
const RESERVED: &[&str] = &["TOCSIN_CONFIG", "TOCSIN_OPS_TOKEN"];

/// The `TOCSIN_` variables of this process. One that is not Unicode is kept with replacement characters, so
/// that it is refused where its value or name matters.
pub fn process_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// Reads the variables into `settings`.
pub(crate) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
    settings: &mut Settings,
    findings: &mut Findings,
) {
    let known = spellings(settings);
    for (name, text) in variables {
        if !name.starts_with(PREFIX) || RESERVED.contains(&name.as_str()) {
            continue;
        }
        match known.get(&name).map(Vec::as_slice) {
            Some([(path, key)]) => findings.faults.extend(set(key, path.clone(), &name, &text, settings)),
            Some(several) => findings.fault(place(&name), &KeyPath::default(), ambiguous(several)),
            // It may be meant for a table in a part of the file that could not be read.
            None => findings.absence(place(&name), &KeyPath::default(), unknown(&name, &known)),
        }
    }
}

type Spellings = BTreeMap<String, Vec<(KeyPath, &'static Key)>>;

/// Every variable that could be set, given the tables there are.
fn spellings(settings: &Settings) -> Spellings {
    let mut known = Spellings::new();
    let fixed = KEYS.iter().filter(|key| !key.pattern.contains('*'));
    let fixed = fixed.map(|key| (KeyPath::of(&key.pattern.split('.').collect::<Vec<_>>()), key));
    let in_tables = settings.tables().flat_map(|(table, _)| {
        let keys = crate::schema::keys_of(table.segments()).filter(|key| key.pattern.contains('*'));
        keys.map(|key| (table.child(key.leaf()), key))
    });
    for (path, key) in fixed.chain(in_tables) {
        known.entry(spelling(&path)).or_default().push((path, key));
    }
    known
}

fn spelling(path: &KeyPath) -> String {
    let part = |segment: &String| segment.replace(['-', '.'], "_").to_ascii_uppercase();
    let parts: Vec<String> = path.segments().iter().map(part).collect();
    format!("{PREFIX}{}", parts.join("__"))
}

fn set(key: &'static Key, path: KeyPath, name: &str, text: &str, settings: &mut Settings) -> Vec<Fault> {
    let origin = Origin::lineless(Source::Environment(name.to_owned()));
    let as_text = || Spanned::new(0..0, DeValue::String(text.into()));
    let value = if key.shape.is_toml_in_environment() {
        DeValue::parse(text.trim()).unwrap_or_else(|_| as_text())
    } else {
        as_text()
    };
    read_value(key, path, &value, &origin, settings)
}

fn place(name: &str) -> Place {
    Place::whole(Source::Environment(name.to_owned()))
}

fn ambiguous(several: &[(KeyPath, &'static Key)]) -> String {
    let paths: Vec<String> = several.iter().map(|(path, _)| path.to_string()).collect();
    format!("means {} at once; rename one of them or set them in the file", paths.join(" and "))
}

fn unknown(name: &str, known: &Spellings) -> String {
    match hint::nearest(name, known.keys().map(String::as_str)) {
        Some(near) => format!("unknown variable; did you mean {near}?"),
        None => "unknown variable; write TOCSIN_SECTION__KEY, or TOCSIN_SECTION__NAME__KEY for a table that \
                 the file has, with '_' for '-' and '.'"
            .to_owned(),
    }
}
