//! The effective configuration as it is shown.

use tocsin_config::{Config, EffectiveValue};

use crate::fixture::{SMALL, folder, load};

#[test]
fn the_dump_tells_each_value_with_its_source() {
    let folder = folder();
    let path = folder.path().join("tocsin.toml");
    std::fs::write(&path, SMALL).expect("a file");
    let variables = [("TOCSIN_REALMS__RETAIL__TTL_S".to_owned(), "9".to_owned())];
    let dump = Config::load(Some(&path), variables).expect("right").config.effective.to_string();
    for line in [
        "[realms.retail]".to_owned(),
        "ttl_s = 9 # environment TOCSIN_REALMS__RETAIL__TTL_S".to_owned(),
        "message_max = 155 # default".to_owned(),
        format!("kind = \"apns\" # {}:12:8", path.display()),
        format!(
            "key_file = \"{}/credentials/apns-main.p8\" # {}:16:12",
            folder.path().display(),
            path.display()
        ),
    ] {
        assert!(dump.lines().any(|found| found == line), "no {line:?} in\n{dump}");
    }
    assert!(dump.starts_with("[portal]\naddress = \"127.0.0.1:8440\" # default\n"), "{dump}");
}

#[test]
fn the_dump_masks_secrets() {
    let loaded = load(SMALL);
    assert!(!loaded.config.effective.to_string().contains(&"1".repeat(64)));
    assert!(loaded.config.effective.to_string().contains("secret_sha256 = \"********\""));
    let debug = format!("{loaded:?}");
    assert!(!debug.contains("17, 17") && !debug.contains("1111"), "{debug}");
}

#[test]
fn tokens_are_masked_too() {
    let hash = "2".repeat(64);
    let loaded = load(&format!("{SMALL}[ops.tokens.console]\nsha256 = \"{hash}\"\n"));
    let shown = |path: &str| {
        let key = loaded.config.effective.keys().find(|key| key.path == path).expect("a key");
        (key.value.clone(), key.source.clone())
    };
    assert_eq!(shown("ops.tokens.console.sha256").0, EffectiveValue::Text("********".to_owned()));
    assert_eq!(
        shown("ops.tokens.console.role"),
        (EffectiveValue::Text("read".to_owned()), "default".to_owned())
    );
    assert_eq!(shown("clients.portal.realms").0, EffectiveValue::List(vec!["retail".to_owned()]));
    assert!(!format!("{loaded:?}").contains("34, 34"), "{loaded:?}");
}

#[test]
fn the_dump_is_a_configuration_of_the_same_meaning() {
    let folder = folder();
    let text = format!(
        "{SMALL}[storage]\npath = \"/srv\"\n[realms.\"retail.eu\"]\n[types.odd]\ndefault_title = \"a \\\"b\\\" \\\\ # c\"\n"
    );
    let first = Config::load_str(&text, folder.path()).expect("right");
    let dump = first.config.effective.to_string().replace("********", &"1".repeat(64));
    let second = Config::load_str(&dump, folder.path()).unwrap_or_else(|faults| panic!("{faults}\n{dump}"));
    assert_eq!(format!("{:?}", first.config), format!("{:?}", second.config));
}
