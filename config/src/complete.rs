//! Adds to every named table what nobody set and has a default, and finds what is missing or out of place.

use tocsin_model::{Method, PushEnvironment};
use toml::de::DeValue;

use crate::document::read_value;
use crate::fault::Fault;
use crate::findings::Findings;
use crate::mail::MailSecurity;
use crate::path::KeyPath;
use crate::place::{Origin, Place, Source};
use crate::schema::{self, Key, Need};
use crate::settings::{Setting, Settings};
use crate::shape::{Value, is_bundle_id};
use crate::word::{ProviderKind, Word};

/// Quiet time before a connection through a proxy is asked whether it lives; proxies forget them after a minute or more.
const PING_INTERVAL_BEHIND_PROXY_MS: u64 = 30_000;
/// The base URL of FCM.
const FCM_ENDPOINT: &str = "https://fcm.googleapis.com";

/// The base URL of Twilio.
const TWILIO_ENDPOINT: &str = "https://api.twilio.com";

/// The message of a push that nobody set.
const PUSH_MESSAGE: &str = "Open the app to approve or refuse.";

/// The message with a code that nobody set.
const CODE_MESSAGE: &str = "Your code is {code}. Nobody else needs it.";

/// Completes all named tables.
pub(crate) fn complete(settings: &mut Settings, findings: &mut Findings) {
    let tables: Vec<(KeyPath, Place)> =
        settings.tables().map(|(path, place)| (path.clone(), place.clone())).collect();
    for (table, place) in &tables {
        for key in schema::keys_of(table.segments()).filter(|key| key.need != Need::Built) {
            complete_key(key, table, place, settings, findings);
        }
    }
    fill_endpoints(settings);
    fill_default_messages(settings);
    fill_mail_servers(settings);
    ask_more_often_behind_proxies(settings);
    fill_bundle_ids(settings, findings);
    fill_default_realms(settings, findings);
}

fn complete_key(
    key: &'static Key,
    table: &KeyPath,
    place: &Place,
    settings: &mut Settings,
    findings: &mut Findings,
) {
    let path = table.child(key.leaf());
    let is_set = settings.is_set(&path);
    if !key.kinds.is_empty() {
        match provider_kind(settings, table) {
            Some(actual) if key.kinds.contains(&actual) => {}
            Some(actual) if is_set => {
                findings.fault(settings.place(&path), &path, out_of_place(key.kinds, actual));
                return;
            }
            Some(_) | None => return,
        }
    }
    if !key.methods.is_empty() {
        match method_of(settings, table) {
            Some(actual) if key.methods.contains(&actual) => {}
            Some(actual) if is_set => {
                findings.fault(settings.place(&path), &path, invalid_for(key.methods, actual));
                return;
            }
            Some(_) | None => return,
        }
    }
    if is_set {
        return;
    }
    match key.need {
        Need::Built | Need::Optional => {}
        Need::Required => {
            findings.absence(place.clone(), &path, format!("is missing; it must be {}", key.shape));
        }
        Need::Else(default) => findings.faults.extend(read_default(key, path, default, settings)),
    }
}

/// The kind of the provider whose table this is; `None` when it is unknown.
pub(crate) fn provider_kind(settings: &Settings, table: &KeyPath) -> Option<ProviderKind> {
    settings.text(&table.child("kind")).and_then(ProviderKind::parse)
}

fn out_of_place(kinds: &[ProviderKind], actual: ProviderKind) -> String {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    format!("is a key of kind = \"{}\", but this provider is \"{}\"", kinds.join("\" or \""), actual.as_str())
}

/// The method of the type whose table this is; `None` when it is unknown.
pub(crate) fn method_of(settings: &Settings, table: &KeyPath) -> Option<Method> {
    settings.text(&table.child("method")).and_then(Method::parse)
}

/// The message for a key of types of other methods.
pub(crate) fn invalid_for(methods: &[Method], actual: Method) -> String {
    let valid: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    let valid = valid.join("\", \"");
    format!("is not valid for method = \"{}\"; it is a key of types with \"{valid}\"", actual.as_str())
}

fn read_default(key: &'static Key, path: KeyPath, default: &str, settings: &mut Settings) -> Vec<Fault> {
    let origin = Origin::lineless(Source::Default);
    match DeValue::parse(default) {
        Ok(value) => read_value(key, path, &value, &origin, settings),
        Err(error) => vec![Fault::new(Place::whole(Source::Default), &path, error.message().to_owned())],
    }
}

fn fill_endpoints(settings: &mut Settings) {
    let tables: Vec<KeyPath> = settings.named("providers").map(|(_, path)| path).collect();
    for table in tables {
        let environment = settings.text(&table.child("environment")).and_then(PushEnvironment::parse);
        let endpoint = match (provider_kind(settings, &table), environment) {
            (Some(ProviderKind::Fcm), _) => Some(FCM_ENDPOINT),
            (Some(ProviderKind::Apns), Some(environment)) => Some(apns_endpoint(environment)),
            (Some(ProviderKind::Twilio), _) => Some(TWILIO_ENDPOINT),
            (Some(ProviderKind::Apns), None)
            | (Some(ProviderKind::HttpSms | ProviderKind::Smtp) | None, _) => None,
        };
        if let Some(endpoint) = endpoint {
            fill(settings, &table.child("endpoint"), endpoint);
        }
    }
}

/// The message of a type that has none of its own.
fn fill_default_messages(settings: &mut Settings) {
    let tables: Vec<KeyPath> = settings.named("types").map(|(_, path)| path).collect();
    for table in tables {
        let message = match method_of(settings, &table) {
            Some(Method::Push) => PUSH_MESSAGE,
            Some(Method::Sms | Method::Email) => CODE_MESSAGE,
            Some(Method::Otp) | None => continue,
        };
        fill(settings, &table.child("default_message"), message);
    }
}

const fn apns_endpoint(environment: PushEnvironment) -> &'static str {
    match environment {
        PushEnvironment::Production => "https://api.push.apple.com",
        PushEnvironment::Sandbox => "https://api.sandbox.push.apple.com",
    }
}

/// A mail server's port follows from its security, and what we call ourselves from the sender.
fn fill_mail_servers(settings: &mut Settings) {
    let tables: Vec<KeyPath> = settings.named("providers").map(|(_, path)| path).collect();
    for table in tables {
        let security = settings.text(&table.child("security")).and_then(MailSecurity::parse);
        let path = table.child("port");
        if let (Some(security), false, Some(key)) =
            (security, settings.is_set(&path), schema::find(path.segments()))
        {
            let value = Some(Value::Integer(u64::from(security.port())));
            settings.set(path, Setting { key, value, place: Place::whole(Source::Default) });
        }
        let domain = settings.text(&table.child("sender")).and_then(|sender| sender.split_once('@'));
        if let Some(domain) = domain.map(|(_, domain)| domain.to_ascii_lowercase()) {
            fill(settings, &table.child("hello"), &domain);
        }
    }
}

/// Proxies forget quiet connections, so that they are asked more often there, where nobody says how often.
fn ask_more_often_behind_proxies(settings: &mut Settings) {
    let tables: Vec<KeyPath> = settings.named("providers").map(|(_, path)| path).collect();
    for table in tables {
        let own = table.child("proxy");
        let proxy = if settings.has_table(&own) { own } else { KeyPath::of(&["proxy"]) };
        let path = table.child("ping_interval_ms");
        let is_behind_proxy = settings.is_set(&path) && settings.flag(&proxy.child("enabled")) == Some(true);
        if let (true, false, Some(key)) = (
            is_behind_proxy && settings.is_set(&path),
            settings.is_set_by_hand(&path),
            schema::find(path.segments()),
        ) {
            let value = Some(Value::Integer(PING_INTERVAL_BEHIND_PROXY_MS));
            settings.set(path, Setting { key, value, place: Place::whole(Source::Default) });
        }
    }
}

/// An iOS app without a bundle id has the app's own name, where that can be one.
fn fill_bundle_ids(settings: &mut Settings, findings: &mut Findings) {
    let apps: Vec<(String, KeyPath)> =
        settings.named("apps").map(|(name, path)| (name.to_owned(), path)).collect();
    for (name, app) in apps {
        let table = app.child("ios");
        let path = table.child("bundle_id");
        if !settings.has_table(&table) || settings.is_set(&path) {
            continue;
        }
        if is_bundle_id(&name) {
            fill(settings, &path, &name);
        } else {
            let message = "is missing; it may be left out only where the app's own name can be a bundle id";
            findings.absence(settings.place(&table), &path, message);
        }
    }
}

/// A client without `default_realm` has the only realm it may ask, else the only realm there is.
fn fill_default_realms(settings: &mut Settings, findings: &mut Findings) {
    let tables: Vec<KeyPath> = settings.named("clients").map(|(_, path)| path).collect();
    for table in tables {
        let path = table.child("default_realm");
        if settings.is_set(&path) {
            continue;
        }
        match only_realm(settings, &table) {
            Some(realm) => fill(settings, &path, &realm),
            None => {
                let message = "is missing; it must be the name of a realm, and may be left out only where the \
                               client's realms, or all [realms.NAME] together, are just one";
                findings.absence(settings.place(&table), &path, message);
            }
        }
    }
}

fn only_realm(settings: &Settings, client: &KeyPath) -> Option<String> {
    match settings.list(&client.child("realms")) {
        Some([only]) if only.text != "*" => return Some(only.text.clone()),
        Some(_) | None => {}
    }
    match settings.names("realms").as_slice() {
        [only] => Some((*only).to_owned()),
        _ => None,
    }
}

/// Sets a text that follows from other keys, unless somebody set it.
fn fill(settings: &mut Settings, path: &KeyPath, text: &str) {
    if let (false, Some(key)) = (settings.is_set(path), schema::find(path.segments())) {
        let value = Some(Value::Text(text.to_owned()));
        settings.set(path.clone(), Setting { key, value, place: Place::whole(Source::Default) });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::schema::KEYS;

    #[test]
    fn every_default_in_the_schema_is_allowed_by_it() {
        for key in KEYS {
            if let Need::Else(default) = key.need {
                let value = DeValue::parse(default).expect("TOML");
                let origin = Origin::document(Source::Default, default, Path::new(""));
                assert!(key.shape.read(&value, &origin).is_ok(), "{}", key.pattern);
            }
        }
    }
}
