//! A small configuration that is right in every way, its credential files, and ways to spoil it.

use std::fs;
use std::path::Path;

use crate::certificates;
use tempfile::TempDir;
use tocsin_config::{Config, Fault, Loaded, Warning};

/// A configuration with one of everything. Its credential files are those that [`folder`] makes.
pub const SMALL: &str = r#"[realms.retail]

[types.login]

[apps.bank.ios]
bundle_id = "com.example.bank"

[apps.bank.android]
package = "com.example.bank"

[providers.apns-main]
kind = "apns"
default = true
team_id = "TEAM000001"
key_id = "KEY0000001"
key_file = "credentials/apns-main.p8"

[providers.fcm-main]
kind = "fcm"
default = true
service_account_file = "credentials/fcm-main.json"

[clients.portal]
secret_sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
realms = ["retail"]
apps = ["bank"]
types = ["login"]
"#;

/// A folder with the credential and certificate files that [`SMALL`], the example and `default.toml` name.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("credentials")).expect("a folder in it");
    let names = [
        "apns-main.p8",
        "apns-main-ca.pem",
        "fcm-main.json",
        "master.key",
        "twilio-token",
        "twilio-key",
        "sms-token",
    ];
    for name in names {
        let file = folder.path().join("credentials").join(name);
        fs::write(&file, "not a credential").expect("a file in it");
        make_private(&file);
    }
    fs::create_dir(folder.path().join("location")).expect("a folder in it");
    fs::write(folder.path().join("location/city.mmdb"), "not a database").expect("a file in it");
    let tls = folder.path().join("tls");
    certificates::write(&tls);
    fs::copy(tls.join("portal-clients-ca.pem"), folder.path().join("credentials/callback-ca.pem"))
        .expect("an authority");
    fs::copy(tls.join("portal-clients-ca.pem"), folder.path().join("credentials/location-ca.pem"))
        .expect("an authority");
    folder
}

#[cfg(unix)]
pub fn make_private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("our own file");
}

#[cfg(not(unix))]
pub fn make_private(_file: &Path) {}

/// Loads a text in a fresh folder; it must be right.
pub fn load(text: &str) -> Loaded {
    let folder = folder();
    Config::load_str(text, folder.path()).unwrap_or_else(|faults| panic!("{faults}"))
}

/// What is worth a word, but for what [`SMALL`] itself has: its app asks nothing beside the code.
pub fn warnings(loaded: Loaded) -> Vec<Warning> {
    let own = |warning: &Warning| {
        warning.key == "apps.bank.ios" || warning.key == "apps.bank" && warning.message.contains("code alone")
    };
    loaded.warnings.into_iter().filter(|warning| !own(warning)).collect()
}

/// The faults of a text in a fresh folder, as (line, key, message).
pub fn faults(text: &str) -> Vec<(Option<usize>, String, String)> {
    let folder = folder();
    let faults = Config::load_str(text, folder.path()).expect_err("a fault");
    faults.iter().map(|Fault { place, key, message }| (place.line, key.clone(), message.clone())).collect()
}

/// Holds that `text` has exactly one fault, with this line and key, whose message holds `part`.
#[track_caller]
pub fn assert_only_fault(text: &str, line: usize, key: &str, part: &str) {
    let found = faults(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    let (found_line, found_key, message) = &found[0];
    assert_eq!((*found_line, found_key.as_str()), (Some(line), key), "{message}");
    assert!(message.contains(part), "{message:?} does not hold {part:?}");
}

/// [`SMALL`] with `part` replaced.
#[track_caller]
pub fn small_with(part: &str, replacement: &str) -> String {
    assert!(SMALL.contains(part), "no {part:?}");
    SMALL.replacen(part, replacement, 1)
}

/// The number of the first line that holds `part`.
#[track_caller]
pub fn line_of(text: &str, part: &str) -> usize {
    text.lines().position(|line| line.contains(part)).map(|index| index + 1).expect("the line")
}
