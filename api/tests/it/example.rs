//! The example of a bank: with the files that it names it is in order, and without one it is not.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use tocsin_mock::{ApnsCredential, CityDatabase, FcmCredential};

use crate::pki::{Pki, write_key};
use crate::process::{run, text, tocsin};

const BANK: &str = include_str!("../../../config/examples/bank.toml");
/// What the files of passwords and tokens hold.
const SECRETS: [(&str, &str); 5] = [
    ("twilio-token", "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"),
    ("twilio-key", "6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b"),
    ("sms-token", "c0rrect-h0rse"),
    ("mail-password", "battery-staple"),
    ("proxy-password", "tr0mb0ne"),
];
const PLACEHOLDER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The example in a folder with all files that it names.
fn bank() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let pki = Pki::new();
    pki.write(path);
    for (file, host) in [
        ("portal", "push-portal.bank.example"),
        ("device", "push.bank.example"),
        ("ops", "push-ops.bank.example"),
    ] {
        pki.write_for(path, file, host);
    }
    for authority in ["portal-clients-ca.pem", "internal-ca.pem"] {
        fs::copy(path.join("tls/ca.pem"), path.join("tls").join(authority)).expect("copied");
    }
    fs::create_dir(path.join("credentials")).expect("a folder");
    let apple = ApnsCredential::generate("TEAM000001", "KEY0000001").expect("a key");
    write_key(&path.join("credentials/apns.p8"), &apple.private_key_pem);
    let google = FcmCredential::generate("example-bank").expect("a key");
    let account = google.service_account_json("https://oauth2.googleapis.com/token");
    write_key(&path.join("credentials/fcm.json"), &account);
    for (file, secret) in SECRETS {
        write_key(&path.join("credentials").join(file), secret);
    }
    write_key(&path.join("master.key"), &"5a".repeat(32));
    fs::create_dir(path.join("location")).expect("a folder");
    fs::write(path.join("location/city.mmdb"), CityDatabase::new().to_bytes()).expect("written");
    fs::write(path.join("bank.toml"), BANK).expect("written");
    folder
}

/// Runs a command on it, with the secrets that it says belong into the environment.
fn on(folder: &Path, command: &str) -> Output {
    run(of(folder, command)
        .env("TOCSIN_CLIENTS__NETBANK__WEBHOOK_SECRETS", format!("[\"whsec_{}\"]", "A".repeat(32)))
        .env("TOCSIN_CLIENTS__NETBANK__CALLBACKS__LOGIN__PASSWORD", "tr0ub4dor"))
}

fn of(folder: &Path, command: &str) -> Command {
    tocsin(&["--config", folder.join("bank.toml").to_str().expect("UTF-8"), command])
}

#[test]
fn the_example_of_a_bank_is_in_order_but_for_its_placeholders() {
    let folder = bank();
    let checked = on(folder.path(), "check");
    let warned = text(&checked.stderr);
    assert_eq!(text(&checked.stdout), "The configuration is in order.\n", "{warned}");
    let placeholders = BANK.matches(PLACEHOLDER).count();
    assert_eq!(warned.matches("is a placeholder").count(), placeholders, "{warned}");
    assert_eq!(warned.lines().count(), placeholders, "nothing else is worth a word: {warned}");

    let mut real = BANK.to_owned();
    for number in 1..=placeholders {
        real = real.replacen(PLACEHOLDER, &format!("{number:064x}"), 1);
    }
    fs::write(folder.path().join("bank.toml"), real).expect("written");
    let checked = on(folder.path(), "check");
    assert_eq!((checked.status.code(), text(&checked.stderr).as_str()), (Some(0), ""));
    let shown = text(&on(folder.path(), "config").stdout);
    assert!(shown.contains("[providers.apns-sandbox]") && shown.contains("bank.toml:"), "{shown}");
    let kept_in_files = SECRETS.map(|(_, secret)| secret);
    for secret in ["whsec_", "tr0ub4dor", &format!("{:064x}", 1)].into_iter().chain(kept_in_files) {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

#[test]
fn every_file_and_secret_that_the_example_of_a_bank_names_is_needed() {
    let folder = bank();
    for file in [
        "tls/portal.pem",
        "tls/portal-clients-ca.pem",
        "tls/device.key",
        "tls/ops.pem",
        "tls/internal-ca.pem",
        "credentials/apns.p8",
        "credentials/fcm.json",
        "credentials/twilio-token",
        "credentials/twilio-key",
        "credentials/sms-token",
        "credentials/mail-password",
        "credentials/proxy-password",
        "master.key",
        "location/city.mmdb",
    ] {
        let (path, aside) = (folder.path().join(file), folder.path().join("aside"));
        fs::rename(&path, &aside).expect("moved");
        let checked = on(folder.path(), "check");
        let faults = text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(78), "{file}: {faults}");
        assert!(faults.contains(file) && faults.contains("bank.toml:"), "{file}: {faults}");
        fs::rename(&aside, &path).expect("moved");
    }
    let faults = text(&run(&mut of(folder.path(), "check")).stderr);
    assert!(faults.contains("clients.netbank.callbacks.login.password"), "{faults}");
}
