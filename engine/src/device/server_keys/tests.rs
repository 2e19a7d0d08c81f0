//! The key file: made once, loaded ever after, refused when it may be known or damaged.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use tocsin_storage::MasterKey;

use super::file::{FILE_NAME, KeyFile, StoredKey};

/// The name under which a new file is written before it takes its place.
const FILE_NAME_NEW: &str = "server-keys.json.new";
use super::*;
use crate::device::encoding::{decode, decode_array};
use crate::device::jose::{KeyIdRule, UnverifiedJws};

const NOW: UnixMs = UnixMs::new(1_800_000_000_000);
const DAY: DurationMs = DurationMs::from_seconds(24 * 60 * 60);

fn later(days: u64) -> UnixMs {
    NOW.plus(DurationMs::new(DAY.get() * days))
}

fn signing(keys: &ServerKeys, now: UnixMs) -> KeyId {
    *keys.ring().signing(now).kid()
}

fn rotate(keys: &ServerKeys, now: UnixMs) -> Result<(), RotationRefused> {
    let KeyLives { overlap, retired } = keys.lives();
    keys.change(|ring| ring.rotated(now, overlap, retired)).expect("the file is fine")
}

fn drop_compromised(keys: &ServerKeys, kid: Option<KeyId>, now: UnixMs) -> Result<(), RotationRefused> {
    keys.change(|ring| ring.without_compromised(kid, now)).expect("the file is fine")
}

/// The claims of a published set and the kids that signed it; every signature is checked.
fn published(keys: &ServerKeys, now: UnixMs) -> (Value, Vec<String>) {
    let set = keys.signed_set(None, "https://push.example", now).expect("signed");
    let set: Value = serde_json::from_str(&set).expect("JSON");
    let payload = set["payload"].as_str().expect("a text");
    let mut kids = Vec::new();
    for signature in set["signatures"].as_array().expect("a list") {
        let text = |name: &str| signature[name].as_str().expect("a text");
        let compact = format!("{}.{payload}.{}", text("protected"), text("signature"));
        let jws = UnverifiedJws::parse(&compact, TokenType::Keys, KeyIdRule::Required).expect("the profile");
        let ring = keys.ring();
        let key = ring.keys().find(|key| Some(key.kid()) == jws.kid()).expect("a key of ours");
        assert_eq!(jws.verify(key.public_key()), Ok(()));
        kids.push(key_id_text(key.kid()));
    }
    (serde_json::from_slice(&decode(payload).expect("base64url")).expect("JSON"), kids)
}

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
    let jws = loaded.sign_challenge(None, NOW, b"{}").expect("signed");
    let jws = UnverifiedJws::parse(&jws, TokenType::Challenge, KeyIdRule::Required).expect("the profile");
    let ring = made.ring();
    assert_eq!(jws.kid(), Some(ring.signing(NOW).kid()));
    assert_eq!(jws.verify(ring.signing(NOW).public_key()), Ok(()));
}

#[test]
fn lost_keys_are_not_replaced_after_the_first_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |start| ServerKeys::open(folder.path(), None, KeyLives::default(), start, NOW);
    assert!(matches!(open(Start::Later), Err(ServerKeyError::Lost { .. })));
    assert!(!folder.path().join(FILE_NAME).exists());
    open(Start::First).expect("made");
    open(Start::Later).expect("loaded");
}

#[test]
fn two_servers_have_different_keys_and_names() {
    let make = || {
        let folder = tempfile::tempdir().expect("a folder");
        ServerKeys::load_or_create(folder.path()).expect("made")
    };
    let (one, other) = (make(), make());
    let (one, other) = (one.ring(), other.ring());
    assert_ne!(one.signing(NOW).kid(), other.signing(NOW).kid());
    assert_ne!(one.signing(NOW).public_key(), other.signing(NOW).public_key());
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    ServerKeys::load_or_create(folder.path()).expect("made");
    let path = folder.path().join(FILE_NAME);
    for mode in [0o640, 0o604, 0o610, 0o620] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("changed");
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
    let other_key = ServerKey::generate(NOW).expect("made");
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
    let key = ServerKey::generate(NOW).expect("made");
    let secret = StoredKey::of(&key).expect("written out").d;
    let printed = format!("{:?}", KeyRing(vec![key]));
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

#[test]
fn a_new_key_is_published_for_the_overlap_before_it_signs_also_across_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = ServerKeys::load_or_create(folder.path()).expect("made");
    let first = signing(&keys, NOW);
    rotate(&keys, NOW).expect("rotated");
    assert_eq!(signing(&keys, later(29)), first);
    let (claims, signed_by) = published(&keys, NOW);
    assert_eq!((claims["keys"].as_array().map(Vec::len), signed_by.len()), (Some(2), 2));
    let keys = ServerKeys::load_or_create(folder.path()).expect("loaded");
    assert_eq!(signing(&keys, later(29)), first);
    let second = signing(&keys, later(30));
    assert_ne!(second, first);
    assert_eq!(keys.enrolment_kids(later(1)), [first, second]);
    assert_eq!(keys.enrolment_kids(later(30)), [second]);
    let (claims, _) = published(&keys, NOW);
    assert_eq!(claims["iss"], "https://push.example");
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|iat| iat + 30 * 86_400));
    assert_eq!(claims["keys"][0]["retired_at"], later(30).get() / 1_000);
    assert_eq!(claims["keys"][1]["not_before"], later(30).get() / 1_000);
    assert_eq!(claims["keys"][1].get("retired_at"), None);
    assert_eq!(claims["keys"][1]["jwk"]["kty"], "EC");
}

#[test]
fn a_retired_key_signs_the_set_for_400_days_and_is_dropped_at_the_next_rotation() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = ServerKeys::load_or_create(folder.path()).expect("made");
    let first = key_id_text(&signing(&keys, NOW));
    rotate(&keys, NOW).expect("rotated");
    assert!(published(&keys, later(429)).1.contains(&first));
    let (claims, signed_by) = published(&keys, later(430));
    assert!(!signed_by.contains(&first) && !claims.to_string().contains(&first));
    rotate(&keys, later(430)).expect("rotated");
    assert_eq!(keys.ring().keys().filter(|key| key_id_text(key.kid()) == first).count(), 0);
}

#[test]
fn a_second_rotation_waits_for_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = ServerKeys::load_or_create(folder.path()).expect("made");
    rotate(&keys, NOW).expect("rotated");
    assert!(matches!(rotate(&keys, later(29)), Err(RotationRefused::UnderWay(from)) if from == later(30)));
    rotate(&keys, later(30)).expect("rotated");
}

#[test]
fn a_compromised_key_signs_nothing_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = ServerKeys::load_or_create(folder.path()).expect("made");
    let first = signing(&keys, NOW);
    drop_compromised(&keys, None, NOW).expect("dropped");
    assert_ne!(signing(&keys, NOW), first, "a new one signs at once");
    let (claims, signed_by) = published(&keys, NOW);
    assert_eq!(signed_by, [key_id_text(&signing(&keys, NOW))]);
    assert!(!claims.to_string().contains(&key_id_text(&first)));
    let text = std::fs::read_to_string(folder.path().join(FILE_NAME)).expect("read");
    assert!(!text.contains(&key_id_text(&first)));
    let unknown = drop_compromised(&keys, Some(first), NOW);
    assert!(matches!(unknown, Err(RotationRefused::UnknownKey)));
}

#[test]
fn a_key_that_was_to_come_takes_the_place_of_a_compromised_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = ServerKeys::load_or_create(folder.path()).expect("made");
    rotate(&keys, NOW).expect("rotated");
    let second = signing(&keys, later(30));
    drop_compromised(&keys, None, later(1)).expect("dropped");
    assert_eq!(signing(&keys, later(1)), second);
    assert_eq!(keys.ring().keys().count(), 1);
}

#[test]
fn when_the_key_to_come_is_compromised_the_present_one_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = ServerKeys::load_or_create(folder.path()).expect("made");
    let first = signing(&keys, NOW);
    rotate(&keys, NOW).expect("rotated");
    drop_compromised(&keys, Some(signing(&keys, later(30))), later(1)).expect("dropped");
    assert_eq!(signing(&keys, later(1_000)), first);
    rotate(&keys, later(2)).expect("nothing is under way");
}

#[test]
fn keys_are_bounded() {
    let mut ring = KeyRing(vec![ServerKey::generate(NOW).expect("made")]);
    let now_at = |number: u64| NOW.plus(DurationMs::from_seconds(number));
    for number in 1..16 {
        ring = ring.rotated(now_at(number), DurationMs::new(0), DAY).expect("rotated");
    }
    assert!(matches!(ring.rotated(now_at(16), DurationMs::new(0), DAY), Err(RotationRefused::TooMany)));
}

#[test]
fn a_running_server_follows_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerKeys::load_or_create(folder.path()).expect("made");
    assert!(!server.follow_file().expect("looked"));
    let command = ServerKeys::load_or_create(folder.path()).expect("loaded");
    drop_compromised(&command, None, NOW).expect("dropped");
    assert_ne!(signing(&server, NOW), signing(&command, NOW));
    assert!(server.follow_file().expect("looked"));
    assert_eq!(signing(&server, NOW), signing(&command, NOW));
    std::fs::write(folder.path().join(FILE_NAME), "damaged").expect("written");
    assert!(server.follow_file().is_err());
    assert_eq!(signing(&server, NOW), signing(&command, NOW), "the old ones stay");
}

#[test]
fn under_a_master_key_the_file_is_sealed_and_needs_it() {
    let sealer = |byte: u8, older: &[u8]| {
        let key = |byte: &u8| MasterKey::new(&[*byte; 32]);
        Some(Arc::new(Sealer::new(key(&byte), older.iter().map(key).collect()).expect("different keys")))
    };
    let folder = tempfile::tempdir().expect("a folder");
    let open = |sealer| ServerKeys::open(folder.path(), sealer, KeyLives::default(), Start::First, NOW);
    let kid = signing(&open(None).expect("made, plain"), NOW);
    assert_eq!(signing(&open(sealer(1, &[])).expect("sealed"), NOW), kid);
    let text = std::fs::read_to_string(folder.path().join(FILE_NAME)).expect("read");
    assert!(!text.contains(&key_id_text(&kid)) && !text.contains("\"d\""), "{text}");
    assert!(matches!(open(None), Err(ServerKeyError::Sealed { source: SealFault::NoMasterKey, .. })));
    assert!(matches!(
        open(sealer(2, &[])),
        Err(ServerKeyError::Sealed { source: SealFault::Refused(_), .. })
    ));
    assert_eq!(signing(&open(sealer(2, &[1])).expect("sealed anew"), NOW), kid);
    assert_eq!(signing(&open(sealer(2, &[])).expect("the old one is not needed"), NOW), kid);
}

#[test]
fn a_device_with_a_key_of_its_own_is_served_by_it_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = ServerKeys::load_or_create(folder.path()).expect("made");
    let own = unique_key_pair().expect("made");
    let challenge = keys.sign_challenge(Some(&own), NOW, b"{}").expect("signed");
    let jws =
        UnverifiedJws::parse(&challenge, TokenType::Challenge, KeyIdRule::Required).expect("the profile");
    assert_eq!((jws.kid(), jws.verify(&own.public_key)), (Some(&own.kid), Ok(())));
    let set = keys.signed_set(Some(&own), "https://push.example", NOW).expect("signed");
    let set: Value = serde_json::from_str(&set).expect("JSON");
    assert_eq!(set["signatures"].as_array().map(Vec::len), Some(1));
    assert!(!format!("{own:?}").contains(&format!("{:?}", own.secret.expose())));
}
