//! Texts in their languages, and what is shown of the origin of a call.

use std::collections::BTreeMap;

use tocsin_model::{Language, Placeholder, Template};

use super::authentication_type::if_set;
use super::{Table, Unfit};
use crate::settings::Settings;
use crate::shape::Value;
use crate::texts::{FieldPath, Localized, LocationService, LocationSource, Origin, TypeTexts};

/// What the user of a type is shown when the portal says nothing.
pub(super) fn of_type(table: &Table<'_>) -> Result<TypeTexts, Unfit> {
    Ok(TypeTexts {
        title: localized(table, "default_title", "title")?,
        message: localized(table, "default_message", "message")?,
        is_message_required: if_set(table, "message_required", |key| table.flag(key))?,
        shows_origin: if_set(table, "show_origin", |key| table.flag(key))?,
    })
}

/// `[origin]` and the tables below it.
pub(super) fn origin(table: &Table<'_>) -> Result<Origin, Unfit> {
    let service = || Table { settings: table.settings, path: table.path.child("service") };
    let location = match table.text("location")?.as_str() {
        "database" => {
            let file = table.optional_file("database_file");
            LocationSource::Database(file.ok_or_else(|| table.unfit("database_file"))?)
        }
        "service" => LocationSource::Service(location_service(&service())?),
        _ => LocationSource::Off,
    };
    Ok(Origin { template: localized(table, "template", "template")?, location })
}

fn location_service(table: &Table<'_>) -> Result<LocationService, Unfit> {
    let key = match table.settings.value(&table.path.child("key")) {
        Some(Value::Password(key)) => Some(key.clone()),
        _ => None,
    };
    let path = |key: &str| FieldPath::parse(&table.text(key)?).ok_or_else(|| table.unfit(key));
    Ok(LocationService {
        url: table.text("url")?,
        key,
        ca_file: table.optional_file("ca_file"),
        timeout: table.milliseconds("timeout_ms")?,
        cache_life: table.seconds("cache_s")?,
        cache_entries_max: table.count("cache_entries_max")?,
        calls_in_flight_max: table.count("calls_in_flight_max")?,
        country_code: path("country_code")?,
        region: path("region")?,
        city: path("city")?,
    })
}

/// The text under `last` of a table, and those under `key` of the tables of its languages.
fn localized<P: Placeholder>(table: &Table<'_>, last: &str, key: &str) -> Result<Localized<P>, Unfit> {
    // Types of some methods have no title, or no message.
    let parse = |table: &Table<'_>, key: &str| {
        Template::parse(&table.optional_text(key).unwrap_or_default()).map_err(|_| table.unfit(key))
    };
    let settings: &Settings = table.settings;
    let mut others = BTreeMap::new();
    for (name, path) in settings.below(&table.path.child("texts")) {
        let language: Language = name.parse().map_err(|_| Unfit(path.clone()))?;
        let texts = Table { settings, path: path.clone() };
        if texts.is_set(key) {
            others.insert(language, parse(&texts, key)?);
        }
    }
    Ok(Localized { last: parse(table, last)?, others })
}
