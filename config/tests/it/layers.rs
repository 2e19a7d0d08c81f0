//! Defaults, the example, and the order of the layers.

use std::num::NonZeroU32;
use std::path::Path;

use tocsin_config::{
    Config, DEFAULT_TOML, DeviceChoice, Durability, EnrolmentMode, Grant, LogFormat, ProviderNetwork,
    PushText, Right,
};
use tocsin_model::{DurationMs, KeyUse, Method, NumberMatchRule, UserIdRule};

use crate::fixture::{SMALL, folder, load};

const TRIAL: &str = include_str!("../../examples/trial.toml");

#[test]
fn without_file_and_environment_there_are_the_documented_defaults() {
    let loaded = Config::load(None, []).unwrap_or_else(|faults| panic!("{faults}"));
    let config = loaded.config;
    assert_eq!(config.portal.address.to_string(), "127.0.0.1:8440");
    assert_eq!(config.device.address.to_string(), "127.0.0.1:8441");
    assert_eq!(config.ops.address.to_string(), "127.0.0.1:8442");
    assert_eq!(config.device_clock_skew, DurationMs::from_seconds(120));
    assert_eq!(config.storage.durability, Durability::Sync);
    assert_eq!(config.storage.path, Path::new("data"));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.portal.public_url, None);
    assert!(config.realms.is_empty() && config.clients.is_empty());
    assert_eq!(loaded.warnings, []);
}

#[test]
fn named_tables_have_the_documented_defaults() {
    let config = load(SMALL).config;
    let realm = config.realms.values().next().expect("a realm");
    assert_eq!(realm.time_to_live, DurationMs::from_seconds(60));
    assert_eq!(realm.user_id_rule, UserIdRule::Exact);
    let login = config.types.values().next().expect("a type");
    assert_eq!((login.time_to_live, login.message_characters_max), (None, 155));
    assert_eq!((&*login.keys, login.push_text), (&[KeyUse::Device][..], PushText::LocalizationKeys));
    assert_eq!((login.method, &login.code, &login.fallback), (Method::Push, &None, &None));
    assert_eq!((login.resends_max, login.keep_for_polling), (2, false));
    assert_eq!(login.device_choice, DeviceChoice::All);
    assert_eq!((login.number_match, login.resend_gap), (NumberMatchRule::Off, DurationMs::from_seconds(10)));
    let app = config.apps.values().next().expect("an app");
    assert_eq!(
        (app.pin_tries_max.map(NonZeroU32::get), app.biometric, &app.custom),
        (Some(3), false, &Vec::new())
    );
    assert_eq!(
        (app.mode, app.activation_time_to_live),
        (EnrolmentMode::Single, DurationMs::from_seconds(300))
    );
    let ios = app.ios.as_ref().expect("an iOS app");
    assert_eq!((ios.id.as_str(), ios.provider.as_str()), ("com.example.bank", "apns-main"));
    assert_eq!(app.android.as_ref().expect("an Android app").provider.as_str(), "fcm-main");
    let client = config.clients.values().next().expect("a client");
    assert_eq!((client.secret_sha256, &client.rights), ([0x11; 32], &vec![Right::Transactions]));
}

#[test]
fn providers_have_the_endpoint_of_their_network() {
    let endpoint = |text: &str| {
        let providers = load(text).config.providers;
        let endpoint = |network: &ProviderNetwork| match network {
            ProviderNetwork::Apns(apns) => apns.endpoint.clone(),
            ProviderNetwork::Fcm(fcm) => fcm.endpoint.clone(),
            ProviderNetwork::Twilio(twilio) => twilio.endpoint.clone(),
            ProviderNetwork::HttpSms(gateway) => gateway.base_url.clone(),
            ProviderNetwork::Smtp(mail) => mail.url(),
        };
        providers.values().map(|provider| endpoint(&provider.network)).collect::<Vec<_>>()
    };
    assert_eq!(endpoint(SMALL), ["https://api.push.apple.com", "https://fcm.googleapis.com"]);
    let sandbox = SMALL.replace("kind = \"apns\"", "kind = \"apns\"\nenvironment = \"sandbox\"");
    assert_eq!(endpoint(&sandbox)[0], "https://api.sandbox.push.apple.com");
    let own = SMALL.replace("kind = \"fcm\"", "kind = \"fcm\"\nendpoint = \"https://127.0.0.1:9/\"");
    assert_eq!(endpoint(&own)[1], "https://127.0.0.1:9");
}

#[test]
fn each_layer_is_over_the_one_before() {
    let folder = folder();
    let path = folder.path().join("tocsin.toml");
    std::fs::write(&path, "[portal]\nheaders_max = 13\nconnections_max = 7\n").expect("a file");
    let variables = [("TOCSIN_PORTAL__HEADERS_MAX".to_owned(), "15".to_owned())];
    let config = Config::load(Some(&path), variables).expect("right").config;
    assert_eq!(
        (config.portal.headers_max, config.portal.connections_max, config.device.headers_max),
        (15, 7, 64)
    );
}

#[test]
fn relative_paths_are_relative_to_their_file() {
    let folder = folder();
    let path = folder.path().join("tocsin.toml");
    std::fs::write(&path, format!("{SMALL}[storage]\npath = \"state\"\n")).expect("a file");
    let config = Config::load(Some(&path), []).expect("right").config;
    assert_eq!(config.storage.path, folder.path().join("state"));
    let key_file = config.providers.values().find_map(|provider| match &provider.network {
        ProviderNetwork::Apns(apns) => Some(apns.key_file.clone()),
        _ => None,
    });
    assert_eq!(key_file, Some(folder.path().join("credentials/apns-main.p8")));
}

#[test]
fn the_example_loads_and_says_what_is_to_be_filled_in() {
    let loaded = load(TRIAL);
    let names: Vec<_> = loaded.config.types.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["login", "login-code", "login-qr", "payment"]);
    assert_eq!(loaded.config.realms.len(), 1);
    assert_eq!(loaded.config.apps.len(), 1);
    let client = loaded.config.clients.values().next().expect("a client");
    assert!(matches!(&client.types, Grant::Only(types) if types.len() == 4));
    let warned: Vec<_> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(warned, ["types.login-code", "apps.bank", "clients.portal.secret_sha256"]);
}

#[test]
fn the_default_file_with_every_example_in_it_loads() {
    let is_example = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    // A door either ends TLS itself or has a proxy that does; a password is here or in a file.
    let one_of_two = |line: &&str| !line.starts_with("#plaintext") && !line.starts_with("#password_file");
    let lines = DEFAULT_TOML.lines().filter(one_of_two);
    let lines = lines.map(|line| if is_example(line) { &line[1..] } else { line });
    let text = lines.collect::<Vec<_>>().join("\n");
    // The examples have Dutch texts.
    let text = text.replace("languages = [\"en\"]", "languages = [\"en\", \"nl\"]");
    let config = load(&text).config;
    assert!(
        config.device.tls.is_some() && config.portal.tls.is_some_and(|tls| tls.client_certificates.is_some())
    );
    assert_eq!((config.providers.len(), config.clients.len(), config.apps.len()), (7, 1, 1));
    assert!(config.portal.public_url.is_some());
}

#[test]
fn numbers_may_be_written_in_every_way_of_toml() {
    let config =
        load("[portal]\nconnections_max = 1_000\nheaders_max = 0x10\nbody_bytes_max = +2048\n").config;
    assert_eq!(
        (config.portal.connections_max, config.portal.headers_max, config.portal.body_bytes_max),
        (1_000, 16, 2_048)
    );
}

#[test]
fn what_lets_users_in_is_matched_by_a_typed_number_unless_it_says_otherwise() {
    for (keys, expected) in [
        ("", NumberMatchRule::Off),
        ("purpose = \"login\"", NumberMatchRule::Type),
        ("purpose = \"login\"\nnumber_match = \"choose\"", NumberMatchRule::Choose),
        ("purpose = \"login\"\nnumber_match = \"off\"", NumberMatchRule::Off),
        ("number_match = \"choose\"", NumberMatchRule::Choose),
    ] {
        let config = load(&format!("[types.entry]\n{keys}\n")).config;
        let entry = config.types.values().next().expect("a type");
        assert_eq!(entry.number_match, expected, "{keys}");
    }
}

#[test]
fn limits_of_tries_and_repetitions_are_taken_up_to_their_ends() {
    for (tries, resends, gap_s) in [(1, 0, 0), (100, 100, 3_600)] {
        let config = load(&format!(
            "[types.entry]\nresends_max = {resends}\nresend_gap_s = {gap_s}\n[apps.bank]\npin_attempts_max = {tries}\n"
        ))
        .config;
        let entry = config.types.values().next().expect("a type");
        assert_eq!((entry.resends_max, entry.resend_gap), (resends, DurationMs::from_seconds(gap_s)));
        let app = config.apps.values().next().expect("an app");
        assert_eq!(app.pin_tries_max.map(std::num::NonZeroU32::get), Some(tries));
    }
}

#[test]
fn an_app_says_which_further_keys_its_phones_may_have() {
    let text = "[apps.bank]\nbiometric = true\ncustom = [\"face\"]\npin_attempts_max = 0\n";
    let loaded = load(text);
    let app = loaded.config.apps.values().next().expect("an app");
    let takes = ["device", "pin", "biometric", "custom:face", "custom:voice"]
        .map(|word| app.takes(&KeyUse::parse(word).expect("a use")));
    assert_eq!(takes, [true, true, true, true, false]);
    assert_eq!(app.pin_tries_max, None);
    let warned: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(warned.iter().any(|warning| warning.contains("PINs without end")), "{warned:?}");
}
