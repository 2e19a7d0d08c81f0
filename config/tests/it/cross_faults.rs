//! Faults between keys, tables and files, many of them at once, and warnings.

use tocsin_config::Config;

use crate::fixture::{SMALL, assert_only_fault, faults, folder, line_of, load, small_with, warnings};

#[test]
fn a_door_off_loopback_needs_a_url_and_a_proxy_that_ends_tls() {
    let found = faults("[device]\naddress = \"0.0.0.0:8441\"\n");
    let summary: Vec<_> = found.iter().map(|(line, key, _)| (*line, key.as_str())).collect();
    assert_eq!(summary, [(Some(2), "device.address"), (Some(2), "device.public_url")]);
    assert!(found[0].2.contains("set certificate_file and key_file"), "{found:?}");
    let right = "[device]\naddress = \"0.0.0.0:8441\"\npublic_url = \"https://push.example.com/\"\nplaintext = \"behind-proxy\"\n";
    let device = load(right).config.device;
    assert_eq!(device.public_url.as_deref(), Some("https://push.example.com"));
    assert!(device.plaintext_behind_proxy);
}

#[test]
fn a_door_off_loopback_takes_no_http_url() {
    let text =
        "[ops]\naddress = \"[::]:9\"\npublic_url = \"http://127.0.0.1:9\"\nplaintext = \"behind-proxy\"\n";
    assert_only_fault(text, 3, "ops.public_url", "must be an https URL");
}

#[test]
fn a_mapped_loopback_address_is_loopback() {
    let loaded = load("[ops]\naddress = \"[::ffff:127.0.0.1]:9\"\n");
    assert_eq!(loaded.config.ops.address.port(), 9);
}

#[test]
fn two_doors_cannot_share_a_port_but_may_both_take_free_ones() {
    assert_only_fault(
        "[ops]\naddress = \"127.0.0.1:8440\"\n",
        2,
        "ops.address",
        "portal and ops cannot share",
    );
    let loaded = load("[ops]\naddress = \"127.0.0.1:0\"\n[portal]\naddress = \"127.0.0.1:0\"\n");
    assert_eq!(loaded.config.portal.address.port(), 0);
}

#[test]
fn an_app_without_a_provider_needs_a_default_one() {
    let text = small_with("default = true\nteam_id", "team_id");
    assert_only_fault(&text, 5, "apps.bank.ios.provider", "set default = true");
}

#[test]
fn a_second_default_of_a_kind_is_a_fault_at_the_second() {
    let second = "[providers.fcm-other]\nkind = \"fcm\"\ndefault = true\nservice_account_file = \"credentials/fcm-main.json\"\n";
    let text = format!("{SMALL}{second}");
    let line = line_of(&text, "fcm-other") + 2;
    assert_only_fault(&text, line, "providers.fcm-other.default", "fcm-main is too");
}

#[test]
fn an_app_names_a_provider_that_exists_and_is_of_its_kind() {
    let named = |provider: &str| small_with("package = ", &format!("provider = \"{provider}\"\npackage = "));
    assert_only_fault(
        &named("fcm-mian"),
        9,
        "apps.bank.android.provider",
        "there is no [providers.fcm-mian]",
    );
    assert_only_fault(&named("apns-main"), 9, "apps.bank.android.provider", "needs one of kind \"fcm\"");
    assert_eq!(load(&named("fcm-main")).config.apps.len(), 1);
}

#[test]
fn readiness_requires_providers_that_exist() {
    let named = |name: &str| format!("{SMALL}[ops]\nready_requires = [\"{name}\"]\n");
    let text = named("fcm-mian");
    assert_only_fault(
        &text,
        line_of(&text, "ready_requires"),
        "ops.ready_requires",
        "did you mean \"fcm-main\"?",
    );
    assert_eq!(load(&named("fcm-main")).config.ready_requires, ["fcm-main".parse().expect("a name")]);
}

#[test]
fn a_key_of_the_other_kind_of_provider_is_refused() {
    let text = small_with("kind = \"fcm\"", "kind = \"fcm\"\nteam_id = \"TEAM000001\"");
    assert_only_fault(&text, 20, "providers.fcm-main.team_id", "is a key of kind = \"apns\"");
}

#[test]
fn a_type_names_apps_that_exist() {
    let text = small_with("[types.login]", "[types.login]\napps = [\n  \"bank\",\n  \"bonk\",\n]");
    assert_only_fault(&text, 6, "types.login.apps", "there is no [apps.bonk]; did you mean \"bank\"?");
}

#[test]
fn a_default_message_keeps_to_the_limit_of_its_type() {
    let text = small_with("[types.login]", "[types.login]\nmessage_max = 5\ndefault_message = \"ääääää\"");
    assert_only_fault(&text, 5, "types.login.default_message", "message_max of 5 characters");
}

#[test]
fn a_client_names_realms_apps_and_types_that_exist() {
    for section in ["realms", "apps", "types"] {
        let line = format!("\n{section} = [\"");
        let text = small_with(&line, &format!("\n{section} = [\"nowhere\", \""));
        let key = format!("clients.portal.{section}");
        assert_only_fault(
            &text,
            line_of(&text, "nowhere"),
            &key,
            &format!("there is no [{section}.nowhere]"),
        );
    }
}

#[test]
fn a_default_realm_exists_and_is_one_of_the_clients_own() {
    let two = format!("{SMALL}default_realm = \"staff\"\n[realms.staff]\n");
    assert_only_fault(
        &two,
        line_of(&two, "default_realm"),
        "clients.portal.default_realm",
        "is not among the realms of this client",
    );
    let none =
        format!("{SMALL}default_realm = \"staff\"\n").replace("realms = [\"retail\"]", "realms = [\"*\"]");
    assert_only_fault(
        &none,
        line_of(&none, "default_realm"),
        "clients.portal.default_realm",
        "there is no [realms.staff]",
    );
}

#[test]
fn a_default_realm_may_be_left_out_only_where_one_can_be_meant() {
    let own = format!("{SMALL}[realms.staff]\n");
    assert_eq!(load(&own).config.clients.values().next().expect("a client").default_realm.as_str(), "retail");
    let all = own.replace("realms = [\"retail\"]", "realms = [\"*\"]");
    assert_only_fault(&all, line_of(&all, "[clients.portal]"), "clients.portal.default_realm", "is missing");
    let only = all.replace("[realms.staff]\n", "");
    assert_eq!(
        load(&only).config.clients.values().next().expect("a client").default_realm.as_str(),
        "retail"
    );
}

#[test]
fn two_clients_never_have_the_same_secret() {
    let text = format!("{SMALL}[clients.shop]\nsecret_sha256 = \"{}\"\n", "1".repeat(64));
    assert_only_fault(
        &text,
        line_of(&text, "[clients.shop]") + 1,
        "clients.shop.secret_sha256",
        "also that of client portal",
    );
}

#[test]
fn an_empty_secret_is_refused() {
    let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let text = small_with(&"1".repeat(64), of_nothing);
    assert_only_fault(&text, line_of(&text, of_nothing), "clients.portal.secret_sha256", "an empty secret");
}

#[test]
fn files_that_are_not_there_are_faults() {
    let missing = SMALL.replace("credentials/", "elsewhere/");
    let found = faults(&missing);
    let summary: Vec<_> = found.iter().map(|(line, key, _)| (*line, key.as_str())).collect();
    let expected =
        [(Some(16), "providers.apns-main.key_file"), (Some(21), "providers.fcm-main.service_account_file")];
    assert_eq!(summary, expected);
    assert!(found[0].2.contains("cannot read"), "{found:?}");
    let folder_for_file = small_with("credentials/apns-main.p8", "credentials");
    assert_only_fault(&folder_for_file, 16, "providers.apns-main.key_file", "not a regular file");
    let no_ca = small_with("kind = \"fcm\"", "kind = \"fcm\"\nca_file = \"ca.pem\"");
    assert_only_fault(&no_ca, 20, "providers.fcm-main.ca_file", "ca.pem");
}

#[test]
fn an_empty_credential_file_is_a_fault() {
    let folder = folder();
    std::fs::write(folder.path().join("credentials/apns-main.p8"), "").expect("our file");
    let faults = Config::load_str(SMALL, folder.path()).expect_err("a fault").to_string();
    assert!(faults.contains("apns-main.p8: it is empty"), "{faults}");
}

#[test]
fn faults_of_every_sort_come_at_once_in_order_of_their_lines() {
    let text = "[portal]\nheaders_max = 0\nspeed = 1\n[types.login]\napps = [\"none\"]\n[clients.c]\n\
                secret_sha256 = \"x\"\n[apps.a.ios]\nbundle_id = \"a.b\"\n[device]\naddress = \"10.0.0.1:1\"\n\
                [providers.p]\nkind = \"fcm\"\nservice_account_file = \"none.json\"\n";
    let folder = folder();
    let variables = [("TOCSIN_LOG__FORMAT".to_owned(), "xml".to_owned())];
    let path = folder.path().join("tocsin.toml");
    std::fs::write(&path, text).expect("a file");
    let faults = Config::load(Some(&path), variables).expect_err("faults");
    let summary: Vec<_> = faults.iter().map(|fault| (fault.place.line, fault.key.as_str())).collect();
    let expected = [
        (Some(2), "portal.headers_max"),
        (Some(3), "portal.speed"),
        (Some(5), "types.login.apps"),
        (Some(6), "clients.c.default_realm"),
        (Some(7), "clients.c.secret_sha256"),
        (Some(8), "apps.a.ios.provider"),
        (Some(11), "device.address"),
        (Some(11), "device.public_url"),
        (Some(14), "providers.p.service_account_file"),
        (None, "log.format"),
    ];
    assert_eq!(summary, expected);
    let printed = faults.to_string();
    assert_eq!(printed.lines().count(), expected.len());
    let first =
        format!("{}:2:15: portal.headers_max: must be a whole number from 8 to 256, is 0", path.display());
    assert_eq!(printed.lines().next(), Some(first.as_str()));
    let last = "environment TOCSIN_LOG__FORMAT: log.format: must be one of \"json\", \"text\", is \"xml\"";
    assert_eq!(printed.lines().last(), Some(last));
}

#[test]
fn what_is_allowed_but_dangerous_is_a_warning_with_its_line() {
    let text = format!(
        "{SMALL}[storage]\ndurability = \"os\"\n[types.pay]\npush_text = \"message\"\n[apps.bare]\n\
                 confirm = \"number\"\n"
    );
    let warnings = warnings(load(&text));
    let summary: Vec<_> = warnings.iter().map(|warning| (warning.place.line, warning.key.as_str())).collect();
    let expected =
        [(Some(29), "storage.durability"), (Some(31), "types.pay.push_text"), (Some(32), "apps.bare")];
    assert_eq!(summary, expected);
    assert!(warnings[0].to_string().contains("tocsin.toml:29:14: storage.durability: a power failure"));
}

#[test]
fn a_right_configuration_has_no_warning() {
    assert_eq!(warnings(load(SMALL)), []);
}

#[cfg(unix)]
#[test]
fn a_credential_that_everybody_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let file = folder.path().join("credentials/apns-main.p8");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("our file");
    let warnings = warnings(Config::load_str(SMALL, folder.path()).expect("right"));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].key, "providers.apns-main.key_file");
}

#[test]
fn a_token_is_nobody_elses_credential() {
    let taken = "1".repeat(64);
    let text = format!("{SMALL}[ops.tokens.console]\nsha256 = \"{taken}\"\nrole = \"operate\"\n");
    let line = line_of(&text, "ops.tokens.console") + 1;
    assert_only_fault(&text, line, "ops.tokens.console.sha256", "is also that of client portal");
}

#[test]
fn a_token_needs_a_hash_and_a_role_that_there_is() {
    let text = "[ops.tokens.console]\nrole = \"admin\"\n";
    let found = faults(text);
    let summary: Vec<_> = found.iter().map(|(line, key, _)| (*line, key.as_str())).collect();
    assert_eq!(summary, [(Some(1), "ops.tokens.console.sha256"), (Some(2), "ops.tokens.console.role")]);
}

#[test]
fn metrics_off_loopback_without_any_token_are_worth_a_warning() {
    let door = "[ops]\naddress = \"0.0.0.0:9\"\npublic_url = \"https://ops.example.com\"\nplaintext = \"behind-proxy\"\n";
    let warnings = |text: &str| {
        load(text).warnings.iter().filter(|warning| warning.message.contains("tocsin token new")).count()
    };
    let hash = "2".repeat(64);
    assert_eq!(warnings(door), 1);
    assert_eq!(warnings(&format!("{door}[ops.tokens.scraper]\nsha256 = \"{hash}\"\n")), 0);
}

#[test]
fn a_type_names_only_custom_keys_that_an_app_of_it_has() {
    let apps = "[apps.bank]\ncustom = [\"face\"]\n[apps.desk]\n";
    let good = format!("{apps}[types.pay]\nkeys = [\"pin\", \"custom:face\"]\n");
    assert_eq!(load(&good).config.types.len(), 1);
    let unknown = format!("{apps}[types.pay]\nkeys = [\"custom:voice\"]\n");
    assert_only_fault(&unknown, 5, "types.pay.keys", "no app of this type lists \"voice\"");
    let elsewhere = format!("{apps}[types.pay]\napps = [\"desk\"]\nkeys = [\"custom:face\"]\n");
    assert_only_fault(&elsewhere, 6, "types.pay.keys", "no app of this type lists \"face\"");
}

#[test]
fn a_type_that_names_biometric_without_an_app_for_it_is_worth_a_word() {
    let text = |flag: &str| {
        format!("[apps.bank]\nbiometric = {flag}\n[types.pay]\nkeys = [\"biometric\", \"pin\"]\n")
    };
    let warned = |text: &str| {
        load(text).warnings.iter().any(|warning| warning.to_string().contains("biometric = true"))
    };
    assert!(warned(&text("false")) && !warned(&text("true")));
}
