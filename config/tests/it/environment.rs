//! The layer of environment variables.

use tocsin_config::{Config, Faults, Grant, Loaded, ProviderNetwork, Source};

use crate::fixture::{SMALL, folder};

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Faults> {
    let folder = folder();
    let path = folder.path().join("tocsin.toml");
    std::fs::write(&path, text).expect("a file");
    Config::load(Some(&path), variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[track_caller]
fn only_fault(text: &str, name: &str, value: &str) -> String {
    let faults = load(text, &[(name, value)]).expect_err("a fault");
    let found: Vec<_> = faults.iter().collect();
    assert_eq!(found.len(), 1, "{faults}");
    assert_eq!(found[0].place.source, Source::Environment(name.to_owned()));
    faults.to_string()
}

#[test]
fn variables_set_texts_numbers_flags_and_lists() {
    let variables = [
        ("TOCSIN_PORTAL__ADDRESS", "127.0.0.1:1"),
        ("TOCSIN_PORTAL__CONNECTIONS_MAX", "1_000"),
        ("TOCSIN_TYPES__LOGIN__KEEP_FOR_POLLING", "true"),
        ("TOCSIN_CLIENTS__PORTAL__TYPES", "[\"*\"]"),
        ("TOCSIN_APPS__BANK__IOS__BUNDLE_ID", "org.example"),
    ];
    let config = load(SMALL, &variables).unwrap_or_else(|faults| panic!("{faults}")).config;
    assert_eq!((config.portal.address.port(), config.portal.connections_max), (1, 1_000));
    assert!(config.types.values().all(|kind| kind.keep_for_polling));
    assert!(config.clients.values().all(|client| client.types == Grant::All));
    let ios = config.apps.values().next().and_then(|app| app.ios.clone()).expect("an iOS app");
    assert_eq!(ios.id, "org.example");
}

#[test]
fn dashes_and_dots_of_names_are_spelled_as_underscores() {
    let text = format!("{SMALL}[realms.\"retail.eu\"]\n");
    let variables =
        [("TOCSIN_PROVIDERS__APNS_MAIN__TEAM_ID", "TEAM000009"), ("TOCSIN_REALMS__RETAIL_EU__TTL_S", "9")];
    let config = load(&text, &variables).unwrap_or_else(|faults| panic!("{faults}")).config;
    let team = config.providers.values().find_map(|provider| match &provider.network {
        ProviderNetwork::Apns(apns) => Some(apns.team_id.as_str()),
        _ => None,
    });
    assert_eq!(team, Some("TEAM000009"));
    assert!(config.realms.values().any(|realm| realm.time_to_live.get() == 9_000));
}

#[test]
fn a_variable_that_two_names_would_take_is_refused() {
    let text = "[realms.a-b]\n[realms.a_b]\n";
    let message = only_fault(text, "TOCSIN_REALMS__A_B__TTL_S", "9");
    assert!(message.contains("realms.a-b.ttl_s and realms.a_b.ttl_s"), "{message}");
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_name() {
    let message = only_fault("", "TOCSIN_PORTAL__ADRESS", "127.0.0.1:1");
    assert!(message.contains("unknown variable; did you mean TOCSIN_PORTAL__ADDRESS?"), "{message}");
    let message = only_fault("", "TOCSIN_X", "1");
    assert!(message.contains("write TOCSIN_SECTION__KEY"), "{message}");
}

#[test]
fn a_variable_makes_no_new_table() {
    let message = only_fault("", "TOCSIN_REALMS__RETAIL__TTL_S", "30");
    assert!(message.contains("unknown variable"), "{message}");
}

#[test]
fn wrong_types_and_values_in_variables_are_refused() {
    for (name, value, part) in [
        (
            "TOCSIN_PORTAL__HEADERS_MAX",
            "many",
            "portal.headers_max: must be a whole number from 8 to 256, is a text",
        ),
        ("TOCSIN_PORTAL__HEADERS_MAX", "0", "portal.headers_max: must be a whole number from 8 to 256, is 0"),
        (
            "TOCSIN_PORTAL__HEADERS_MAX",
            "",
            "portal.headers_max: must be a whole number from 8 to 256, is a text",
        ),
        ("TOCSIN_TYPES__LOGIN__KEEP_FOR_POLLING", "yes", "must be true or false"),
        ("TOCSIN_CLIENTS__PORTAL__TYPES", "login", "must be a list of names"),
        ("TOCSIN_CLIENTS__PORTAL__TYPES", "[\"lagin\"]", "did you mean \"login\"?"),
        (
            "TOCSIN_PROVIDERS__FCM_MAIN__SERVICE_ACCOUNT_FILE",
            "/nowhere/x.json",
            "cannot read /nowhere/x.json",
        ),
        ("TOCSIN_PROVIDERS__FCM_MAIN__TEAM_ID", "TEAM000001", "is a key of kind = \"apns\""),
    ] {
        let message = only_fault(SMALL, name, value);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_variable_that_names_the_file_and_those_of_others_are_passed_over() {
    let variables = [
        ("TOCSIN_CONFIG", "/etc/tocsin.toml"),
        ("TOCSIN_OPS_TOKEN", "t"),
        ("PATH", "/bin"),
        ("tocsin_x", "1"),
    ];
    assert!(load(SMALL, &variables).is_ok());
}
