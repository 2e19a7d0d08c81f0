//! Callbacks: what a client may be called back at, and how.

use tocsin_config::{CallbackBody, WebhookSecret};
use tocsin_model::{CallbackUrl, DurationMs};

use crate::fixture::{SMALL, assert_only_fault, faults, line_of, load};

/// 24 bytes of zeros, 32 of them, and 24 bytes of ones.
const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const LONGER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const OTHER: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";

/// [`SMALL`] with these keys of its client, which is its last table.
fn with(keys: &str) -> String {
    format!("{SMALL}{keys}\n")
}

fn entry(keys: &str) -> String {
    with(&format!("webhook_secrets = [\"{SECRET}\"]\n[clients.portal.callbacks.done]\n{keys}"))
}

#[test]
fn a_client_may_be_called_back_nowhere_by_default() {
    let config = load(SMALL).config;
    let callbacks = &config.clients.values().next().expect("a client").callbacks;
    assert!(callbacks.allow_list && callbacks.entries.is_empty());
    assert!(callbacks.webhook_secrets.is_empty() && callbacks.networks.is_empty());
    assert_eq!(config.callbacks.window, DurationMs::from_seconds(86_400));
    assert_eq!(config.callbacks.try_timeout, DurationMs::from_seconds(10));
    assert_eq!(config.callbacks.backoff_first, DurationMs::from_seconds(1));
    assert_eq!(config.callbacks.backoff_longest, DurationMs::from_seconds(300));
}

#[test]
fn an_entry_has_a_url_a_body_and_credentials() {
    let text = with(&format!(
        "webhook_secrets = [\"{SECRET}\", \"{OTHER}\"]\ncallback_allow_list = false\n\
         callback_networks = [\"10.0.0.0/8\", \"::1\"]\n\
         [clients.portal.callbacks.done]\nurl = \"https://a.example/x?y=1\"\nbody = \"full\"\n\
         username = \"tocsin\"\npassword = \"a:b\"\n\
         [clients.portal.callbacks.other]\nurl = \"http://127.0.0.1:8/\""
    ));
    let config = load(&text).config;
    let callbacks = &config.clients.values().next().expect("a client").callbacks;
    assert!(!callbacks.allow_list);
    assert_eq!(
        callbacks.webhook_secrets,
        [SECRET, OTHER].map(|text| WebhookSecret::parse(text).expect("valid"))
    );
    let networks: Vec<String> = callbacks.networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    let found = |url: &str| callbacks.entry(&CallbackUrl::parse(url).expect("valid"));
    let done = found("https://a.example/x?y=1").expect("an entry");
    assert_eq!(done.body, CallbackBody::Full);
    let basic = done.basic.as_ref().expect("credentials");
    assert_eq!((basic.username.as_str(), basic.password.expose().as_str()), ("tocsin", "a:b"));
    let other = found("http://127.0.0.1:8/").expect("an entry");
    assert_eq!((other.body, &other.basic), (CallbackBody::Id, &None));
    assert_eq!(found("https://a.example/x?y=2"), None);
}

#[test]
fn bad_webhook_secrets_are_refused_without_being_repeated() {
    let short = "whsec_AAAA";
    for list in [
        format!("[\"{short}\"]"),
        format!("[\"{SECRET}\", \"{SECRET}\"]"),
        format!("[\"{SECRET}\", \"{LONGER}\", \"{OTHER}\"]"),
        format!("\"{SECRET}\""),
        "[7]".to_owned(),
    ] {
        let text = with(&format!("webhook_secrets = {list}"));
        let line = line_of(&text, "webhook_secrets");
        assert_only_fault(&text, line, "clients.portal.webhook_secrets", "one or two different secrets");
        assert!(faults(&text).iter().all(|(_, _, message)| !message.contains("AAAA")));
    }
}

#[test]
fn bad_urls_networks_and_credentials_are_refused() {
    let url = "url = \"https://a.example/\"\n";
    for (text, line, key, part) in [
        (entry("url = \"http://a.example/\""), "url =", "url", "http is only for localhost"),
        (entry("body = \"id\""), "callbacks.done", "url", "is missing"),
        (entry(&format!("{url}body = \"all\"")), "body", "body", "one of \"id\", \"state\", \"full\""),
        (entry(&format!("{url}username = \"u\"")), "callbacks.done", "password", "beside the username"),
        (entry(&format!("{url}password = \"hunter2\"")), "callbacks.done", "username", "beside the password"),
        (entry(&format!("{url}username = \"a:b\"\npassword = \"c\"")), "username", "username", "colon"),
    ] {
        assert_only_fault(&text, line_of(&text, line), &format!("clients.portal.callbacks.done.{key}"), part);
    }
    let text = with("callback_networks = [\"10.0.0.0/33\"]");
    assert_only_fault(
        &text,
        line_of(&text, "10.0"),
        "clients.portal.callback_networks",
        "a list of networks",
    );
    let text = entry(&format!("{url}[clients.portal.callbacks.twin]\n{url}"));
    let twin = line_of(&text, "twin") + 1;
    assert_only_fault(&text, twin, "clients.portal.callbacks.twin.url", "another entry");
    let text = format!("{SMALL}[callbacks]\nbackoff_first_ms = 2000\nbackoff_longest_ms = 1000\n");
    let longest = line_of(&text, "backoff_longest_ms");
    assert_only_fault(&text, longest, "callbacks.backoff_longest_ms", "shorter than backoff_first_ms");
}

#[test]
fn entries_without_a_webhook_secret_are_warned_of() {
    let text = format!("{SMALL}[clients.portal.callbacks.done]\nurl = \"https://a.example/\"\n");
    let warnings = load(&text).warnings;
    let unsigned = |message: &str| message.contains("no callback of this client can be signed");
    assert_eq!(warnings.iter().filter(|warning| unsigned(&warning.message)).count(), 1, "{warnings:?}");
}

#[test]
fn secrets_are_shown_nowhere() {
    let loaded = load(&entry(
        "url = \"https://a.example/?token=hunter1\"\nusername = \"tocsin\"\npassword = \"hunter2\"",
    ));
    let shown = loaded.config.effective.to_string();
    assert!(shown.contains("webhook_secrets = [\"********\"]") && shown.contains("password = \"********\""));
    assert!(!shown.contains("hunter2") && !shown.contains("AAAA"), "{shown}");
    let debug = format!("{:?}", loaded.config.clients);
    assert!(!debug.contains("hunter") && !debug.contains("0, 0, 0"), "{debug}");
}
