//! Texts and languages: each text is in a language that is supported, keeps to the limit of its type and names only what
//! can be filled in; what is shown of an origin can be looked up.

use std::collections::BTreeSet;

use tocsin_model::{Language, Method, OriginTag, Placeholder, Template, TextTag};

use super::certificates::check_authorities;
use crate::complete::{invalid_for, method_of};
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::place::Place;
use crate::settings::Settings;

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    let supported = supported(settings);
    for (_, realm) in settings.named("realms") {
        check_realm(settings, &realm.child("languages"), &supported, findings);
    }
    for (_, table) in settings.named("types") {
        check_type(settings, &table, &supported, findings);
    }
    check_origin(settings, &supported, findings);
}

fn supported(settings: &Settings) -> BTreeSet<Language> {
    let listed = settings.list(&KeyPath::of(&["texts", "languages"])).unwrap_or_default();
    let listed = listed.iter().filter_map(|element| element.text.parse().ok());
    // There is English in every case.
    listed.chain("en".parse().ok()).collect()
}

fn check_realm(settings: &Settings, path: &KeyPath, supported: &BTreeSet<Language>, findings: &mut Findings) {
    for element in settings.list(path).unwrap_or_default() {
        let language: Option<Language> = element.text.parse().ok();
        if language.is_some_and(|language| !supported.contains(&language)) {
            let why = format!("{} is not in texts.languages", element.text);
            findings.fault(element.place.clone(), path, why);
        }
    }
}

fn check_type(settings: &Settings, table: &KeyPath, supported: &BTreeSet<Language>, findings: &mut Findings) {
    let limit = settings.integer(&table.child("message_max"));
    let method = method_of(settings, table).unwrap_or(Method::Push);
    let (title, message) = (table.child("default_title"), table.child("default_message"));
    check_text::<TextTag>(settings, &title, findings);
    check_text::<TextTag>(settings, &message, findings);
    check_code(settings, &title, false, findings);
    check_code(settings, &message, method.sends_code(), findings);
    check_length(settings, &message, limit, findings);
    for (name, texts) in settings.below(&table.child("texts")) {
        check_language(
            name,
            settings.place(&texts),
            &texts,
            supported,
            "default_title and default_message",
            findings,
        );
        let (title, message) = (texts.child("title"), texts.child("message"));
        check_method(settings, &title, method, &[Method::Push, Method::Email], findings);
        check_method(settings, &message, method, &[Method::Push, Method::Sms, Method::Email], findings);
        check_text::<TextTag>(settings, &title, findings);
        check_text::<TextTag>(settings, &message, findings);
        check_code(settings, &title, false, findings);
        check_code(settings, &message, method.sends_code(), findings);
        check_length(settings, &message, limit, findings);
        if !settings.is_set(&texts.child("title")) && !settings.is_set(&texts.child("message")) {
            findings.warn(settings.place(&texts), &texts, "has neither a title nor a message");
        }
    }
    if settings.flag(&table.child("message_required")) == Some(true) && settings.is_set_by_hand(&message) {
        findings.warn(settings.place(&message), &message, "is inert while message_required is true");
    }
}

/// A language of a text is supported, and is not the one that stands in the table above.
fn check_language(
    name: &str,
    place: Place,
    path: &KeyPath,
    supported: &BTreeSet<Language>,
    english: &str,
    findings: &mut Findings,
) {
    match name.parse::<Language>() {
        Err(why) => findings.fault(place, path, format!("{name:?} is no language: {why}")),
        Ok(language) if language.as_str() == "en" => {
            findings.fault(place, path, format!("English stands in {english} already"));
        }
        Ok(language) if !supported.contains(&language) => {
            findings.fault(place, path, format!("{name} is not in texts.languages; add it there"));
        }
        Ok(_) => {}
    }
}

fn check_text<P: Placeholder>(settings: &Settings, path: &KeyPath, findings: &mut Findings) {
    if let Some(Err(unknown)) = settings.text(path).map(Template::<P>::parse) {
        findings.fault(settings.place(path), path, unknown.to_string());
    }
}

/// A text is one that the method of its type shows.
fn check_method(
    settings: &Settings,
    path: &KeyPath,
    method: Method,
    methods: &[Method],
    findings: &mut Findings,
) {
    if settings.is_set(path) && !methods.contains(&method) {
        findings.fault(settings.place(path), path, invalid_for(methods, method));
    }
}

/// A code stands in messages that bring one.
fn check_code(settings: &Settings, path: &KeyPath, brings_code: bool, findings: &mut Findings) {
    let template = settings.text(path).and_then(|text| Template::<TextTag>::parse(text).ok());
    if !brings_code && template.is_some_and(|template| template.has(TextTag::Code)) {
        findings.fault(settings.place(path), path, "{code} may stand in messages of sms and email only");
    }
}

fn check_length(settings: &Settings, path: &KeyPath, limit: Option<u64>, findings: &mut Findings) {
    if let (Some(text), Some(limit)) = (settings.text(path), limit)
        && text.chars().count() as u64 > limit
    {
        let why = format!("is longer than this type's message_max of {limit} characters");
        findings.fault(settings.place(path), path, why);
    }
}

fn check_origin(settings: &Settings, supported: &BTreeSet<Language>, findings: &mut Findings) {
    let origin = |leaf: &str| KeyPath::of(&["origin", leaf]);
    check_text::<OriginTag>(settings, &origin("template"), findings);
    for (name, texts) in settings.below(&origin("texts")) {
        check_language(name, settings.place(&texts), &texts, supported, "origin.template", findings);
        check_text::<OriginTag>(settings, &texts.child("template"), findings);
    }
    let (location, file) = (origin("location"), origin("database_file"));
    let url = KeyPath::of(&["origin", "service", "url"]);
    check_authorities(settings, &KeyPath::of(&["origin", "service", "ca_file"]), findings);
    check_key(settings, &url, findings);
    let place = settings.place(&location);
    match settings.text(&location) {
        Some("database") if !settings.is_set(&file) => {
            findings.absence(place, &file, "is missing; origin.location = \"database\" needs it");
        }
        Some("service") if !settings.is_set(&url) => {
            findings.absence(place, &url, "is missing; origin.location = \"service\" needs it");
        }
        Some("off") => warn_of_empty_places(settings, findings),
        Some(_) | None => {}
    }
}

/// A key that the URL names is there.
fn check_key(settings: &Settings, url: &KeyPath, findings: &mut Findings) {
    let key = KeyPath::of(&["origin", "service", "key"]);
    let names_key = settings.text(url).is_some_and(|url| url.contains("{key}"));
    if names_key && !settings.is_set(&key) {
        findings.absence(settings.place(url), &key, "is missing; the url has {key} in it");
    }
}

/// Places of a template that nothing can fill while a type shows it.
fn warn_of_empty_places(settings: &Settings, findings: &mut Findings) {
    let path = KeyPath::of(&["origin", "template"]);
    let template = settings.text(&path).map(Template::<OriginTag>::parse);
    let Some(Ok(template)) = template else { return };
    if !OriginTag::OF_LOCATION.iter().any(|tag| template.has(*tag)) {
        return;
    }
    for (_, table) in settings.named("types") {
        let shows = table.child("show_origin");
        if settings.flag(&shows) == Some(true) {
            let why = "country, region and city stay empty while origin.location is \"off\"";
            findings.warn(settings.place(&shows), &shows, why);
        }
    }
}
