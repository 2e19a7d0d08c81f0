//! SMS gateways: each can make a whole request, and numbers that codes may go to are named.

use tocsin_model::PhoneNumber;

use crate::complete::provider_kind;
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;
use crate::sms::StatusRange;
use crate::template::{Escape, Filling, Template};
use crate::url;
use crate::word::ProviderKind;

/// What a body of JSON or XML must stand.
const HOSTILE: Filling<'_> = Filling { to: "+1", text: "\"}{\\\n]]>--><", from: "\"", reference: "\"" };

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    let mut first = None;
    for (_, table) in settings.named("providers") {
        match provider_kind(settings, &table) {
            Some(ProviderKind::Twilio) => check_twilio(settings, &table, findings),
            Some(ProviderKind::HttpSms) => check_templates(settings, &table, findings),
            Some(ProviderKind::Apns | ProviderKind::Fcm | ProviderKind::Smtp) | None => continue,
        }
        first = first.or(Some(table));
    }
    let prefixes = KeyPath::of(&["sms", "country_prefixes"]);
    if let (Some(table), false) = (first, settings.is_set(&prefixes)) {
        let message = "is missing; it must list the beginnings of the numbers that SMS may be sent to, such as \
                       [\"+49\"], because each of them costs money";
        findings.absence(settings.place(&table), &prefixes, message);
    }
}

fn check_twilio(settings: &Settings, table: &KeyPath, findings: &mut Findings) {
    let (from, service) = (table.child("from"), table.child("messaging_service_sid"));
    match (settings.text(&from), settings.is_set(&service)) {
        (Some(_), true) => {
            findings.fault(settings.place(&service), &service, "stands beside from; give one of the two");
        }
        (None, false) => {
            let message =
                "is missing; give it or messaging_service_sid, so that Twilio knows whom messages come from";
            findings.absence(settings.place(table), &from, message);
        }
        (Some(sender), false) if !is_sender(sender) => {
            let message = "must be a number such as \"+15005550006\", a short code of 3 to 8 digits, or a name of 1 to 11 \
                           letters, digits and blanks with at least one letter";
            findings.fault(settings.place(&from), &from, message);
        }
        (Some(_), false) | (None, true) => {}
    }
    check_pair(settings, table, ["api_key_sid", "api_key_secret_file"], findings);
}

/// One of two keys that are only of use together is missing.
fn check_pair(settings: &Settings, table: &KeyPath, keys: [&str; 2], findings: &mut Findings) {
    for [present, absent] in [keys, [keys[1], keys[0]]] {
        let (path, missing) = (table.child(present), table.child(absent));
        if settings.is_set(&path) && !settings.is_set(&missing) {
            findings.fault(settings.place(&path), &path, format!("is of no use without {absent}"));
        }
    }
}

fn is_sender(text: &str) -> bool {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = (1..=11).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    PhoneNumber::parse(text).is_some() || is_name || (is_digits && (3..=8).contains(&text.len()))
}

fn check_templates(settings: &Settings, table: &KeyPath, findings: &mut Findings) {
    check_pair(settings, table, ["username", "password"], findings);
    let (token, header) = (table.child("token_file"), table.child("token_header"));
    if settings.is_set(&token) && settings.is_set(&table.child("username")) {
        findings.fault(settings.place(&token), &token, "stands beside username; give one of the two");
    }
    if settings.is_set(&header) && !settings.is_set(&token) {
        findings.fault(settings.place(&header), &header, "is of no use without token_file");
    }
    let (url, body) = (table.child("url"), table.child("body"));
    let Some((_, target)) = settings.text(&url).and_then(|text| url::gateway(text).ok()) else { return };
    let body_template = settings.text(&body).and_then(|text| Template::parse(text).ok());
    let is_get = settings.text(&table.child("http_method")) == Some("GET");
    match &body_template {
        Some(_) if is_get => {
            findings.fault(settings.place(&body), &body, "is not sent with http_method = \"GET\"");
            return;
        }
        // It was refused already.
        None if settings.is_set(&body) => return,
        None if !is_get => {
            let message =
                "is missing; it must be the request's body with {to} and {text}, or http_method = \"GET\"";
            findings.absence(settings.place(table), &body, message);
            return;
        }
        Some(_) | None => {}
    }
    check_message(settings, table, &[Some(&target), body_template.as_ref()], findings);
    if let Some(body) = &body_template {
        check_body(settings, table, body, findings);
    }
    check_statuses(settings, table, findings);
}

/// No status means two things.
fn check_statuses(settings: &Settings, table: &KeyPath, findings: &mut Findings) {
    let keys = ["success_statuses", "permanent_statuses", "unclear_statuses"].map(|key| table.child(key));
    let ranges =
        |path| settings.list(path).unwrap_or_default().iter().filter_map(|one| StatusRange::parse(&one.text));
    for (count, path) in keys.iter().enumerate() {
        for earlier in &keys[..count] {
            if ranges(path).any(|range| ranges(earlier).any(|other| range.overlaps(other))) {
                let message = format!("names a status that {} names, too", earlier.leaf());
                findings.fault(settings.place(path), path, message);
            }
        }
    }
}

/// Number and text reach the gateway, and so does the sender where one is asked for.
fn check_message(
    settings: &Settings,
    table: &KeyPath,
    templates: &[Option<&Template>],
    findings: &mut Findings,
) {
    let has = |wanted: fn(&Template) -> bool| templates.iter().flatten().any(|template| wanted(template));
    let place = settings.place(&table.child("url"));
    for (name, is_there) in [("to", has(|one| one.says().to)), ("text", has(|one| one.says().text))] {
        if !is_there {
            let message =
                format!("holds {{{name}}} nowhere, and neither does body; the gateway would not know it");
            findings.fault(place.clone(), &table.child("url"), message);
        }
    }
    let from = table.child("from");
    if has(|one| one.says().from) && !settings.is_set(&from) {
        findings.absence(place, &from, "is missing, and {from} stands for it");
    }
}

/// A body of JSON or XML stays that, whatever is put in, and gives the text back as it was.
fn check_body(settings: &Settings, table: &KeyPath, body: &Template, findings: &mut Findings) {
    let message = match settings.text(&table.child("body_format")) {
        Some("json")
            if serde_json::from_str::<serde_json::Value>(&body.fill(HOSTILE, Escape::Json)).is_err() =>
        {
            "is no JSON once it is filled; placeholders must stand inside of quotes, such as \"{text}\""
        }
        Some("xml") if !keeps_its_text(&body.fill(HOSTILE, Escape::Xml), body.says().text) => {
            "is no XML once it is filled; placeholders must stand in elements or quoted attributes, such as \
             <text>{text}</text>, not in comments or CDATA"
        }
        Some(_) | None => return,
    };
    let path = table.child("body");
    findings.fault(settings.place(&path), &path, message);
}

/// Whether this is XML, in which a reader finds the text that was put in.
fn keeps_its_text(filled: &str, has_text: bool) -> bool {
    let Ok(document) = roxmltree::Document::parse(filled) else { return false };
    let is_there = |read: &str| read.contains(HOSTILE.text);
    let mut nodes = document.descendants();
    !has_text
        || nodes.any(|node| {
            node.is_text() && node.text().is_some_and(is_there)
                || node.attributes().any(|one| is_there(one.value()))
        })
}
