//! The key file: made once, loaded ever after, refused when it may be known or damaged.

use super::*;
use crate::device::jose::{KeyIdRule, UnverifiedJws};

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_a_key_and_later_ones_load_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = ServerKeys::load_or_create(folder.path()).expect("made");
    assert_eq!(mode_of(&folder.path().join(FILE_NAME)), 0o600);
    assert!(!folder.path().join(FILE_NAME_NEW).exists());
    let loaded = ServerKeys::load_or_create(folder.path()).expect("loaded");
    assert_eq!(loaded.jwks(), made.jwks());
    let jws = loaded.current().sign(TokenType::Challenge, b"{}").expect("signed");
    let jws = UnverifiedJws::parse(&jws, TokenType::Challenge, KeyIdRule::Required).expect("the profile");
    assert_eq!(jws.kid(), Some(made.current().kid()));
    assert_eq!(jws.verify(made.current().public_key()), Ok(()));
}

#[test]
fn two_servers_have_different_keys_and_names() {
    let make = || {
        let folder = tempfile::tempdir().expect("a folder");
        ServerKeys::load_or_create(folder.path()).expect("made")
    };
    let (one, other) = (make(), make());
    assert_ne!(one.current().kid(), other.current().kid());
    assert_ne!(one.current().public_key(), other.current().public_key());
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    ServerKeys::load_or_create(folder.path()).expect("made");
    let path = folder.path().join(FILE_NAME);
    for mode in [0o640, 0o604, 0o610, 0o620] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("changed");
        let refused = ServerKeys::load_or_create(folder.path()).expect_err("refused");
        assert!(matches!(refused, ServerKeyError::TooOpen { mode: told, .. } if told == mode), "{refused}");
    }
}

#[test]
fn a_leftover_of_an_interrupted_start_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(FILE_NAME_NEW), "half").expect("written");
    ServerKeys::load_or_create(folder.path()).expect("made");
    ServerKeys::load_or_create(folder.path()).expect("loaded");
}

#[test]
fn a_damaged_file_is_told_and_never_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    ServerKeys::load_or_create(folder.path()).expect("made");
    let path = folder.path().join(FILE_NAME);
    let good = std::fs::read_to_string(&path).expect("read");
    let other_key = ServerKey::generate().expect("made");
    let swapped = {
        let mut file: KeyFile = serde_json::from_str(&good).expect("JSON");
        file.keys[0].d = StoredKey::of(&other_key).expect("written out").d;
        serde_json::to_string(&file).expect("JSON")
    };
    for damaged in ["", "{}", r#"{"format":1,"keys":[]}"#, &good[..good.len() - 3], &swapped] {
        std::fs::write(&path, damaged).expect("written");
        let refused = ServerKeys::load_or_create(folder.path()).expect_err("refused");
        assert!(matches!(refused, ServerKeyError::Malformed { .. }), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), damaged);
    }
    std::fs::write(&path, good.replacen("\"format\":1", "\"format\":2", 1)).expect("written");
    assert!(ServerKeys::load_or_create(folder.path()).is_err());
}

#[test]
fn a_debug_print_holds_no_secret() {
    let key = ServerKey::generate().expect("made");
    let secret = StoredKey::of(&key).expect("written out").d;
    let printed = format!("{:?}", ServerKeys(vec![key]));
    assert!(!printed.contains(secret.0.as_str()), "{printed}");
    assert!(printed.contains("kid"), "{printed}");
}

#[test]
fn the_hash_of_a_key_set_is_the_interfaces_whatever_the_order() {
    // The EC keys of RFC 7515, appendix A.3, and RFC 7517, appendix A.1; the hashes computed apart, in Python.
    let key = |x: &str, y: &str| PublicKey {
        x: decode_array(x).expect("32 bytes"),
        y: decode_array(y).expect("32 bytes"),
    };
    let one =
        key("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let other =
        key("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM");
    assert_eq!(key_set_hash([&one, &other]), "4jA1crOp0o070FkOI3JmpRrJ_gzjYPjKPKGsyKQPDcs");
    assert_eq!(key_set_hash([&other, &one]), "4jA1crOp0o070FkOI3JmpRrJ_gzjYPjKPKGsyKQPDcs");
    assert_eq!(key_set_hash([&one]), "qAJNRBhETnh4TFB6obJl6wP9ZdE0Niu4EwRLt3zlrdM");
}
