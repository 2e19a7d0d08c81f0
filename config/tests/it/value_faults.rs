//! Faults that one key or line has by itself.

use tocsin_config::Config;

use crate::fixture::{SMALL, assert_only_fault, faults, folder, small_with};

#[test]
fn a_syntax_error_has_its_line() {
    assert_only_fault("[portal]\nheaders_max = = 2\n", 2, "", "not TOML");
}

#[test]
fn a_key_given_twice_has_the_line_of_the_second() {
    assert_only_fault("[portal]\nheaders_max = 22\nheaders_max = 33\n", 3, "", "not TOML");
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    assert_only_fault(
        "[portal]\nadress = \"127.0.0.1:1\"\n",
        2,
        "portal.adress",
        "did you mean \"address\"?",
    );
}

#[test]
fn an_unknown_key_far_from_all_is_refused_with_the_list() {
    assert_only_fault("[realms.retail]\ncolour = 1\n", 2, "realms.retail.colour", "user_id_rule, ttl_s");
}

#[test]
fn an_unknown_section_is_refused_with_the_nearest_name() {
    assert_only_fault("[portals]\nheaders_max = 1\n", 1, "portals", "did you mean \"portal\"?");
}

#[test]
fn an_unknown_platform_is_refused() {
    let text = format!("{SMALL}[apps.bank.windows]\nid = \"x\"\n");
    assert_only_fault(&text, 28, "apps.bank.windows", "unknown key");
}

#[test]
fn a_section_must_be_a_table() {
    assert_only_fault("portal = 5\n", 1, "portal", "must be a table");
    assert_only_fault("[[realms]]\nttl_s = 5\n", 1, "realms", "must be a table");
}

#[test]
fn a_name_must_be_a_name() {
    assert_only_fault("[realms.\"Retail Bank\"]\n", 1, "realms.\"Retail Bank\"", "1 to 64 characters");
}

#[test]
fn wrong_types_are_named_beside_what_is_allowed() {
    for (line, part) in [
        ("headers_max = \"2\"", "must be a whole number from 8 to 256, is a text"),
        ("headers_max = 2.5", "is a number with a fraction"),
        ("headers_max = {}", "is a table"),
        ("address = 8440", "an IP address and port, such as \"127.0.0.1:8440\", is a whole number"),
        ("address = [\"127.0.0.1:1\"]", "is a list"),
        ("plaintext = true", "must be \"behind-proxy\", is true or false"),
        ("address = 2026-01-01", "is a date or time"),
    ] {
        let key = line.split(' ').next().expect("a key");
        assert_only_fault(&format!("[portal]\n{line}\n"), 2, &format!("portal.{key}"), part);
    }
    let text = small_with("default = true", "default = \"yes\"");
    let found = faults(&text);
    assert!(
        found
            .iter()
            .any(|(_, key, why)| key.ends_with("default") && why.contains("true or false, is a text"))
    );
}

#[test]
fn wrong_values_are_named_beside_what_is_allowed() {
    for (text, key, part) in [
        ("[portal]\naddress = \"localhost:1\"", "portal.address", "an IP address and port"),
        ("[portal]\nheaders_max = 0", "portal.headers_max", "from 8 to 256, is 0"),
        ("[portal]\nheaders_max = -1", "portal.headers_max", "from 8 to 256, is -1"),
        ("[portal]\nheaders_max = 99999999999999999999", "portal.headers_max", "is 99999999999999999999"),
        ("[portal]\nbody_bytes_max = 65537", "portal.body_bytes_max", "from 1024 to 65536"),
        ("[portal]\npublic_url = \"http://a.example\"", "portal.public_url", "an https URL"),
        ("[portal]\nplaintext = \"yes\"", "portal.plaintext", "must be \"behind-proxy\""),
        (
            "[log]\nformat = \"jsom\"",
            "log.format",
            "one of \"json\", \"text\", is \"jsom\"; did you mean \"json\"?",
        ),
        ("[log]\nfilter = \"a\\nb\"", "log.filter", "without control characters"),
        ("[storage]\ndurability = \"none\"", "storage.durability", "one of \"sync\", \"os\""),
        ("[storage]\npath = \"\"", "storage.path", "path of a folder"),
        ("[realms.retail]\nttl_s = 0", "realms.retail.ttl_s", "from 1 to 3600"),
        ("[realms.retail]\nttl_s = 3601", "realms.retail.ttl_s", "from 1 to 3600"),
        ("[types.login]\nmessage_max = 1001", "types.login.message_max", "from 1 to 1000"),
        ("[types.login]\nkeys = []", "types.login.keys", "at least one of"),
        ("[types.login]\nkeys = [\"face\"]", "types.login.keys", "is \"face\""),
        ("[types.login]\nresends_max = 101", "types.login.resends_max", "from 0 to 100"),
        ("[types.login]\nresend_gap_s = 3601", "types.login.resend_gap_s", "from 0 to 3600"),
        (
            "[types.login]\nnumber_match = \"loud\"",
            "types.login.number_match",
            "\"off\", \"choose\", \"type\"",
        ),
        ("[types.login]\npurpose = \"pay\"", "types.login.purpose", "\"login\""),
        ("[apps.bank]\npin_attempts_max = 101", "apps.bank.pin_attempts_max", "from 0 to 100"),
        ("[apps.bank]\npin_attempts_max = -1", "apps.bank.pin_attempts_max", "from 0 to 100"),
        ("[apps.bank]\ncustom = [\"a b\"]", "apps.bank.custom", "is \"a b\""),
        ("[types.login]\npush_text = \"all\"", "types.login.push_text", "\"loc-keys\", \"message\""),
        ("[types.login]\ndevice_choice = \"any\"", "types.login.device_choice", "\"all\", \"ask\""),
        ("[types.login]\napps = [\"*\"]", "types.login.apps", "is not a name"),
        (
            "[types.login]\ndefault_title = \" \"",
            "types.login.default_title",
            "a text of 1 to 100 characters",
        ),
    ] {
        assert_only_fault(text, 2, key, part);
    }
}

#[test]
fn wrong_values_in_named_tables_are_named_too() {
    for (part, replacement, key, why) in [
        ("TEAM000001", "team000001", "providers.apns-main.team_id", "ten characters"),
        ("KEY0000001", "KEY1", "providers.apns-main.key_id", "ten characters"),
        ("bundle_id = \"com.example.bank\"", "bundle_id = \"a b\"", "apps.bank.ios.bundle_id", "155"),
        (
            "package = \"com.example.bank\"",
            "package = \"bank\"",
            "apps.bank.android.package",
            "at least one '.'",
        ),
        (
            "realms = [\"retail\"]",
            "realms = [\"*\", \"retail\"]",
            "clients.portal.realms",
            "must stand alone",
        ),
        (
            "apps = [\"bank\"]",
            "apps = [\"bank\", \"bank\"]",
            "clients.portal.apps",
            "\"bank\" is listed twice",
        ),
        ("types = [\"login\"]", "types = \"login\"", "clients.portal.types", "[\"*\"] for all, is a text"),
        ("types = [\"login\"]", "types = [7]", "clients.portal.types", "is a whole number"),
        (
            "types = [\"login\"]",
            "types = [\"login\"]\nrights = [\"device\"]",
            "clients.portal.rights",
            "\"devices\"?",
        ),
        (
            "[apps.bank.ios]",
            "[apps.bank]\nmode = \"several\"\n[apps.bank.ios]",
            "apps.bank.mode",
            "\"single\"",
        ),
    ] {
        let found = faults(&small_with(part, replacement));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].1, key);
        assert!(found[0].2.contains(why), "{found:?}");
    }
}

#[test]
fn an_endpoint_without_tls_is_refused() {
    let text = small_with("kind = \"fcm\"", "kind = \"fcm\"\nendpoint = \"http://127.0.0.1:1\"");
    assert_only_fault(&text, 20, "providers.fcm-main.endpoint", "an https URL");
}

#[test]
fn the_hash_of_a_secret_is_never_in_a_fault() {
    let folder = folder();
    for hash in ["hunter2", &"g".repeat(64), &"a".repeat(63)] {
        let text = small_with(&"1".repeat(64), hash);
        let faults = Config::load_str(&text, folder.path()).expect_err("a fault");
        assert!(faults.to_string().contains("64 hex digits"), "{faults}");
        assert!(!faults.to_string().contains(hash), "{faults}");
    }
    let text = small_with("secret_sha256", "secret = \"hunter2\"\nsecret_sha256");
    let faults = Config::load_str(&text, folder.path()).expect_err("a fault");
    assert!(!faults.to_string().contains("hunter2"), "{faults}");
}

#[test]
fn what_is_missing_stands_where_its_table_does() {
    for (part, line, key) in [
        ("package = \"com.example.bank\"\n", 8, "apps.bank.android.package"),
        ("team_id = \"TEAM000001\"\n", 11, "providers.apns-main.team_id"),
        ("key_file = \"credentials/apns-main.p8\"\n", 11, "providers.apns-main.key_file"),
        (
            "service_account_file = \"credentials/fcm-main.json\"\n",
            18,
            "providers.fcm-main.service_account_file",
        ),
    ] {
        assert_only_fault(&small_with(part, ""), line, key, "is missing; it must be");
    }
    assert_only_fault(
        "[clients.portal]\nrealms = []\ndefault_realm = \"retail\"\n[realms.retail]\n",
        1,
        "clients.portal.secret_sha256",
        "64 hex digits",
    );
    assert_only_fault("[providers.x]\n", 1, "providers.x.kind", "one of \"apns\", \"fcm\"");
}

#[test]
fn a_syntax_error_does_not_hide_other_faults() {
    let text = "[portal]\nheaders_max = 0\nconnections_max = \nadress = 1\n[log]\nformat = \"xml\"\n";
    let lines: Vec<_> = faults(text).into_iter().map(|(line, _, _)| line).collect();
    assert_eq!(lines, [Some(2), Some(3), Some(4), Some(6)]);
}

#[test]
fn a_broken_header_does_not_bring_faults_that_nobody_made() {
    let text = small_with("[apps.bank.android]", "[apps.bank.android");
    assert_only_fault(&text, 8, "", "not TOML");
    assert_only_fault(&small_with("team_id = ", "team_id "), 14, "", "not TOML");
}

#[test]
fn files_that_are_no_text_say_so() {
    let folder = folder();
    let path = folder.path().join("tocsin.toml");
    let missing = Config::load(Some(&path), []).expect_err("no file").to_string();
    assert!(missing.contains("tocsin.toml: cannot be opened"), "{missing}");
    std::fs::write(&path, b"# a\n# \xff\n").expect("a file");
    let binary = Config::load(Some(&path), []).expect_err("not UTF-8").to_string();
    assert!(binary.contains("is not UTF-8, first in line 2"), "{binary}");
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).expect("a file");
    let large = Config::load(Some(&path), []).expect_err("too large").to_string();
    assert!(large.contains("larger than 1048576 bytes"), "{large}");
    let not_a_file = Config::load(Some(folder.path()), []).expect_err("a folder").to_string();
    assert!(not_a_file.contains("is a folder"), "{not_a_file}");
}

#[test]
fn a_file_that_is_not_there_does_not_hide_what_is_wrong_in_variables() {
    let folder = folder();
    let variables = [("TOCSIN_PORTAL__HEADERS_MAX", "0"), ("TOCSIN_REALMS__RETAIL__TTL_S", "9")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let faults = Config::load(Some(&folder.path().join("none.toml")), variables).expect_err("faults");
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["", "portal.headers_max"], "{faults}");
}
