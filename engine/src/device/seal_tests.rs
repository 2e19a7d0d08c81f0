//! The seal against the vectors of RFC 9180 and another implementation's opening of it.

use rustls::crypto::hpke::{EncapsulatedSecret, HpkePrivateKey};
use serde_json::{Value, json};

use super::*;
use crate::device::testing::TestKey;

/// The vectors of the CFRG for this suite; the file names its source.
const RFC_9180: &str = include_str!("../../../docs/device-protocol/rfc9180.json");

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a text");
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn open(sealed: &SealedChallenge, transaction: &TransactionId, scalar: Vec<u8>) -> Option<String> {
    let encapsulated = EncapsulatedSecret(sealed.encapsulated.to_vec());
    let bound_to = transaction.to_string();
    let opened = DH_KEM_P256_HKDF_SHA256_AES_256.open(
        &encapsulated,
        INFO,
        bound_to.as_bytes(),
        &sealed.ciphertext,
        &HpkePrivateKey::from(scalar),
    );
    opened.ok().map(|plain| String::from_utf8(plain).expect("UTF-8"))
}

fn scalar(label: &str) -> Vec<u8> {
    crate::device::jwk::sha256(label.as_bytes()).to_vec()
}

fn transaction(number: u8) -> TransactionId {
    TransactionId::from_bytes([number; 16])
}

#[test]
fn the_suite_opens_the_vectors_of_rfc_9180() {
    let file: Value = serde_json::from_str(RFC_9180).expect("JSON");
    let vector = &file["vector"];
    let suite = ["mode", "kem_id", "kdf_id", "aead_id"].map(|name| vector[name].as_u64());
    assert_eq!(suite, [Some(0), Some(16), Some(1), Some(2)]);
    let (encapsulated, info) = (EncapsulatedSecret(hex(&vector["enc"])), hex(&vector["info"]));
    let private_key = HpkePrivateKey::from(hex(&vector["skRm"]));
    let opener = DH_KEM_P256_HKDF_SHA256_AES_256.setup_opener(&encapsulated, &info, &private_key);
    let mut opener = opener.expect("a context");
    let encryptions = vector["encryptions"].as_array().expect("an array");
    assert!(!encryptions.is_empty());
    for encryption in encryptions {
        let plain = opener.open(&hex(&encryption["aad"]), &hex(&encryption["ct"])).expect("opens");
        assert_eq!(plain, hex(&encryption["pt"]));
    }
    let first = &encryptions[0];
    let single_shot = DH_KEM_P256_HKDF_SHA256_AES_256.open(
        &encapsulated,
        &info,
        &hex(&first["aad"]),
        &hex(&first["ct"]),
        &private_key,
    );
    assert_eq!(single_shot, Ok(hex(&first["pt"])));
}

#[test]
fn only_the_phones_key_opens_and_only_for_this_transaction() {
    let key = TestKey::from_label("encryption").public_key();
    let sealed = seal_challenge("e30.e30.AA", &transaction(1), &key).expect("sealed");
    assert_eq!(sealed.to, thumbprint(&key));
    assert_eq!(sealed.ciphertext.len(), "e30.e30.AA".len() + 16);
    assert_eq!(open(&sealed, &transaction(1), scalar("encryption")).as_deref(), Some("e30.e30.AA"));
    assert_eq!(open(&sealed, &transaction(2), scalar("encryption")), None);
    assert_eq!(open(&sealed, &transaction(1), scalar("stranger")), None);
    for position in [0, sealed.ciphertext.len() - 1] {
        let mut altered = sealed.clone();
        altered.ciphertext[position] ^= 1;
        assert_eq!(open(&altered, &transaction(1), scalar("encryption")), None);
    }
}

#[test]
fn no_two_seals_are_alike() {
    let key = TestKey::from_label("encryption").public_key();
    let seal = || seal_challenge("e30.e30.AA", &transaction(1), &key).expect("sealed");
    assert_ne!(seal().encapsulated, seal().encapsulated);
}

#[test]
fn a_key_off_the_curve_is_refused() {
    let off_curve = PublicKey { x: [1; 32], y: [1; 32] };
    assert_eq!(seal_challenge("e30.e30.AA", &transaction(1), &off_curve), Err(SealError));
}

#[test]
fn an_encryption_key_is_a_p256_key_apart_from_the_signing_ones() {
    let signing = TestKey::from_label("signing").public_key();
    let encryption = TestKey::from_label("encryption").public_key();
    let parse = |value: Value| {
        let body = json!({ "encryption_jwk": value });
        parse_encryption_jwk(&Fields::of(body.as_object().expect("an object")), [&signing])
    };
    let jwk = |key: &PublicKey| serde_json::to_value(crate::device::Jwk::of(key)).expect("serialises");
    assert_eq!(parse(jwk(&encryption)), Ok(Some(encryption)));
    assert_eq!(parse(Value::Null), Ok(None));
    let mut off_curve = jwk(&encryption);
    off_curve["y"] = off_curve["x"].clone();
    for (value, code) in [
        (json!("key"), tocsin_model::ErrorCode::InvalidRequest),
        (json!({"kty": "EC"}), tocsin_model::ErrorCode::InvalidField),
        (off_curve, tocsin_model::ErrorCode::InvalidField),
        (jwk(&signing), tocsin_model::ErrorCode::InvalidField),
    ] {
        let refused = parse(value.clone()).expect_err("refused");
        assert_eq!((refused.code, refused.field.as_deref()), (code, Some("encryption_jwk")), "{value}");
    }
}
