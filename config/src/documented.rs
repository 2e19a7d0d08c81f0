//! Holds `default.toml` and the schema together: every key is there, explained, and with its true default.

use crate::load::DEFAULT_TOML;
use crate::schema::{self, KEYS, Key, Need};

/// A key as it stands in `default.toml`.
struct Documented {
    key: &'static Key,
    comment: String,
    value: String,
    is_real: bool,
}

fn is_prose(line: &str) -> bool {
    line == "#" || line.starts_with("# ")
}

/// Every key line of `default.toml`, real or example, with the comment right above it.
fn documented() -> Vec<Documented> {
    let mut found = Vec::new();
    let mut table: Vec<String> = Vec::new();
    let mut comment = String::new();
    for line in DEFAULT_TOML.lines() {
        if is_prose(line) {
            comment.push_str(line.trim_start_matches("# "));
            comment.push(' ');
            continue;
        }
        let bare = line.strip_prefix('#').unwrap_or(line);
        if let Some(header) = bare.strip_prefix('[') {
            table = header.trim_end_matches(']').split('.').map(str::to_owned).collect();
        } else if let Some((name, value)) = bare.split_once(" = ") {
            let path: Vec<String> = table.iter().cloned().chain([name.to_owned()]).collect();
            let key = schema::find(&path).unwrap_or_else(|| panic!("{path:?} is no key"));
            let is_real = !line.starts_with('#');
            found.push(Documented { key, comment: comment.clone(), value: value.to_owned(), is_real });
        }
        comment.clear();
    }
    found
}

#[test]
fn every_key_is_explained_with_its_default() {
    let found = documented();
    for key in KEYS {
        let explained = found.iter().find(|one| one.key.pattern == key.pattern && !one.comment.is_empty());
        let comment = &explained.unwrap_or_else(|| panic!("{} is not explained", key.pattern)).comment;
        let word = if key.need == Need::Required { "Required" } else { "Default: " };
        assert!(comment.contains(word), "{} says no {word:?}: {comment}", key.pattern);
    }
}

#[test]
fn keys_of_fixed_tables_are_real_and_all_others_are_examples() {
    for one in documented() {
        assert_eq!(one.is_real, one.key.need == Need::Built, "{}", one.key.pattern);
    }
}

#[test]
fn the_examples_show_the_true_defaults() {
    // Lists of a client and a provider's `default` are shown as one would set them.
    let shown_otherwise = [
        "clients.*.realms",
        "clients.*.apps",
        "clients.*.types",
        "providers.*.default",
        "master_keys.*.old",
        "types.*.method",
    ];
    for one in documented() {
        if let Need::Else(default) = one.key.need
            && !shown_otherwise.contains(&one.key.pattern)
        {
            assert_eq!(one.value, default, "{}", one.key.pattern);
        }
    }
}

#[test]
fn the_comment_tells_the_same_default_as_the_value() {
    let with_default = |one: &&Documented| one.key.need != Need::Required;
    let is_number = |one: &&Documented| one.value.bytes().all(|byte| byte.is_ascii_digit());
    for one in documented().iter().filter(with_default).filter(is_number) {
        let said = one.comment.split("Default: ").nth(1).unwrap_or_default();
        let in_words = ["MiB", "GiB", "realm's", "none"].iter().any(|unit| said.contains(unit));
        assert!(in_words || said.starts_with(&one.value), "{}: {said}", one.key.pattern);
    }
}
