//! Master keys: one place each, one that seals, a file for its owner alone, and a word where there is none.

use std::fs;

use tocsin_config::{Config, MasterKeySource};

use crate::fixture::{assert_only_fault, load, make_private};

const VARIABLE: &str = "[master_keys.main]\nenvironment = \"MASTER_KEY\"\n";

#[test]
fn a_key_comes_from_a_variable_or_a_command() {
    let text =
        format!("{VARIABLE}[master_keys.before]\ncommand = [\"/bin/kms\", \"-v\", \"-v\"]\nold = true\n");
    let keys = load(&text).config.master_keys;
    let found: Vec<_> = keys.values().map(|key| (&key.source, key.old)).collect();
    let command = MasterKeySource::Command(["/bin/kms", "-v", "-v"].map(str::to_owned).to_vec());
    let variable = MasterKeySource::Environment("MASTER_KEY".to_owned());
    assert_eq!(found, [(&command, true), (&variable, false)]);
}

#[test]
fn a_key_comes_from_exactly_one_place() {
    assert_only_fault("[master_keys.main]\n", 1, "master_keys.main", "where the key comes from");
    let text = format!("{VARIABLE}command = [\"/bin/kms\"]\n");
    assert_only_fault(&text, 3, "master_keys.main.command", "is one too many");
}

#[test]
fn exactly_one_key_seals() {
    let text = format!("{VARIABLE}[master_keys.other]\nenvironment = \"OTHER\"\n");
    assert_only_fault(&text, 3, "master_keys.other", "only one master key seals");
    assert_only_fault(&format!("{VARIABLE}old = true\n"), 1, "master_keys.main", "no master key seals");
}

#[test]
fn a_variable_of_ours_or_with_other_characters_is_refused() {
    for name in ["TOCSIN_MASTER_KEY", "", "1KEY", "master_key", "MASTER-KEY"] {
        let text = format!("[master_keys.main]\nenvironment = \"{name}\"\n");
        assert_only_fault(&text, 2, "master_keys.main.environment", "must be the name");
    }
}

#[test]
fn an_empty_command_or_argument_is_refused() {
    for command in ["[]", "[\"\"]", "[\"/bin/kms\", \"\"]"] {
        let text = format!("[master_keys.main]\ncommand = {command}\n");
        assert_only_fault(&text, 2, "master_keys.main.command", "must be a list with the path of a program");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_use_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("master.key");
    fs::write(&file, "a key").expect("written");
    make_private(&file);
    let text = "[master_keys.main]\nfile = \"master.key\"\n";
    let loaded = Config::load_str(text, folder.path()).expect("right");
    let source = loaded.config.master_keys.into_values().next().map(|key| key.source);
    assert_eq!(source, Some(MasterKeySource::File(file.clone())));
    for mode in [0o640, 0o604, 0o610, 0o601, 0o620, 0o602] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("our own file");
        let faults = Config::load_str(text, folder.path()).expect_err("refused").to_string();
        assert!(faults.contains("run chmod 600") && faults.contains("master_keys.main.file"), "{faults}");
    }
}

#[test]
fn without_a_key_a_door_off_loopback_brings_a_warning() {
    let door = "[device]\naddress = \"0.0.0.0:8441\"\npublic_url = \"https://push.example.com\"\nplaintext = \"behind-proxy\"\n";
    let warned =
        |text: &str| load(text).warnings.iter().any(|warning| warning.to_string().contains("no master key"));
    assert!(warned(door));
    assert!(!warned(&format!("{door}{VARIABLE}")));
    assert!(!warned(""));
}
