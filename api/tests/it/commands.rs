//! `check`, `config` and `client new`, and what stops a start.

use std::fs;

use aws_lc_rs::digest::{SHA256, digest};
use tempfile::TempDir;

use crate::process::{run, text, tocsin};

/// A folder with a configuration file; its path is the second value.
fn configured(toml: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tocsin.toml");
    fs::write(&path, toml).expect("written");
    let path = path.to_str().expect("UTF-8").to_owned();
    (folder, path)
}

#[test]
fn check_finds_the_defaults_in_order() {
    let output = run(&mut tocsin(&["check"]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "The configuration is in order.\n");
}

#[test]
fn check_and_serve_tell_every_fault_with_its_place_and_exit_78() {
    let (_folder, path) =
        configured("[portal]\nadress = \"127.0.0.1:0\"\nheaders_max = 0\n[log]\nformat = 7\n");
    for command in ["check", "serve", "config"] {
        let output = run(&mut tocsin(&["--config", &path, command]));
        assert_eq!(output.status.code(), Some(78), "{command}");
        let faults = text(&output.stderr);
        for part in [
            "tocsin.toml:2:",
            "tocsin.toml:3:",
            "tocsin.toml:5:",
            "portal.adress",
            "portal.headers_max",
            "log.format",
        ] {
            assert!(faults.contains(part), "{command}: no {part:?} in\n{faults}");
        }
    }
}

#[test]
fn check_reads_the_credentials_that_the_file_names() {
    let (folder, path) = configured(
        "[providers.apns-main]\nkind = \"apns\"\nteam_id = \"TEAM000001\"\nkey_id = \"KEY0000001\"\nkey_file = \"key.p8\"\n",
    );
    let key = folder.path().join("key.p8");
    fs::write(&key, "not a key").expect("written");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("our own file");
    let output = run(&mut tocsin(&["--config", &path, "check"]));
    assert_eq!(output.status.code(), Some(78));
    let faults = text(&output.stderr);
    assert!(faults.contains("apns-main") && faults.contains("key.p8"), "{faults}");
}

#[test]
fn a_bad_log_filter_exits_78() {
    for command in ["check", "serve"] {
        let output = run(tocsin(&[command]).env("TOCSIN_LOG__FILTER", "info,=,nonsense=loud"));
        assert_eq!(output.status.code(), Some(78), "{command}");
        assert!(text(&output.stderr).contains("log.filter"), "{}", text(&output.stderr));
    }
}

#[test]
fn config_shows_what_came_of_all_layers_and_no_hash() {
    let hash = "ab".repeat(32);
    let (_folder, path) = configured(&format!(
        "[realms.retail]\n[clients.shop]\nsecret_sha256 = \"{hash}\"\nrealms = [\"retail\"]\n"
    ));
    let output = run(tocsin(&["config"]).env("TOCSIN_CONFIG", &path).env("TOCSIN_PORTAL__HEADERS_MAX", "70"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("headers_max = 70 # environment TOCSIN_PORTAL__HEADERS_MAX"), "{shown}");
    assert!(shown.contains("[clients.shop]"), "{shown}");
    assert!(!shown.contains(&hash), "{shown}");
}

#[test]
fn client_new_prints_a_block_that_loads_and_the_secret_apart_from_it() {
    let output = run(&mut tocsin(&["client", "new", "shop"]));
    assert_eq!(output.status.code(), Some(0));
    let (block, told) = (text(&output.stdout), text(&output.stderr));
    let secret = told.lines().last().expect("a line");
    let hash: String =
        digest(&SHA256, secret.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(block.contains(&hash), "{block}");
    assert!(!block.contains(secret));
    let (_folder, path) = configured(&format!("[realms.retail]\n{block}"));
    let output = run(&mut tocsin(&["--config", &path, "check"]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn token_new_prints_a_block_that_loads_and_the_token_apart_from_it() {
    for arguments in
        [&["token", "new", "--role", "operate"][..], &["token", "new", "console", "--role", "operate"]]
    {
        let output = run(&mut tocsin(arguments));
        assert_eq!(output.status.code(), Some(0));
        let (block, told) = (text(&output.stdout), text(&output.stderr));
        let token = told.lines().last().expect("a line");
        let hash: String =
            digest(&SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(block.contains(&hash) && block.contains("role = \"operate\""), "{block}");
        assert!(!block.contains(token));
        let (_folder, path) = configured(&block);
        let output = run(&mut tocsin(&["--config", &path, "check"]));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
}

#[test]
fn a_token_has_one_of_two_roles() {
    for arguments in [&["token", "new"][..], &["token", "new", "--role", "admin"]] {
        let output = run(&mut tocsin(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stdout).is_empty());
    }
}

#[test]
fn a_reader_that_has_gone_is_told_by_the_exit_and_not_by_a_panic() {
    for arguments in [&["openapi", "portal"][..], &["check"], &["config"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = run(tocsin(arguments).stdout(writer));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot print: ") && !said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_bad_client_name_is_refused() {
    let output = run(&mut tocsin(&["client", "new", "No Name"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).is_empty());
}
