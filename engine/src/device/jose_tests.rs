//! Every refusal of the JOSE profile, and what it takes.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::device::encoding::{base64url, key_id_text};
use crate::device::testing::{KID, TestKey, flip_s};

fn key() -> TestKey {
    TestKey::from_label("tocsin test key: jose")
}

fn parse(compact: &str) -> Result<UnverifiedJws, JoseError> {
    UnverifiedJws::parse(compact, TokenType::Answer, KeyIdRule::Required)
}

fn good() -> String {
    key().sign("tocsin-answer+jwt", Some(&KID), &json!({"a": 1}))
}

/// A signed JWS with this header.
fn with_header(header: &str) -> Result<UnverifiedJws, JoseError> {
    parse(&key().sign_raw(header, "{}"))
}

#[test]
fn a_signature_holds_only_under_its_key_and_over_its_text() {
    let jws = parse(&good()).expect("the profile");
    assert_eq!(jws.kid(), Some(&KID));
    assert_eq!(jws.verify(&key().public_key()), Ok(()));
    assert_eq!(jws.verify(&TestKey::from_label("other").public_key()), Err(SignatureMismatch));
    let changed = good().replacen(&base64url(br#"{"a":1}"#), &base64url(br#"{"a":2}"#), 1);
    assert_eq!(parse(&changed).expect("the profile").verify(&key().public_key()), Err(SignatureMismatch));
}

#[test]
fn both_forms_of_a_signature_are_taken() {
    let other = flip_s(&good());
    assert_ne!(other, good());
    assert_eq!(parse(&other).expect("the profile").verify(&key().public_key()), Ok(()));
}

#[test]
fn a_signature_of_zeros_is_none() {
    let (input, _) = good().rsplit_once('.').map(|(input, _)| (input.to_owned(), ())).expect("three parts");
    for bytes in [[0; 64], [0xff; 64]] {
        let jws = parse(&format!("{input}.{}", base64url(&bytes))).expect("the profile");
        assert_eq!(jws.verify(&key().public_key()), Err(SignatureMismatch));
    }
}

#[test]
fn headers_outside_the_profile_are_refused() {
    let kid = key_id_text(&KID);
    let header = |inner: &str| format!(r#"{{"kid":"{kid}",{inner}}}"#);
    let profile = r#""alg":"ES256","typ":"tocsin-answer+jwt""#;
    assert!(with_header(&header(profile)).is_ok());
    assert!(with_header(&header(&format!(r#"{profile},"cty":"x","x5t":"y""#))).is_ok());
    for algorithm in ["none", "None", "HS256", "RS256", "ES384", "es256", "EdDSA", ""] {
        let refused = with_header(&header(&format!(r#""alg":"{algorithm}","typ":"tocsin-answer+jwt""#)));
        assert_eq!(refused.err(), Some(JoseError::WrongAlgorithm), "{algorithm}");
    }
    for typ in ["tocsin-proof+jwt", "JWT", "TOCSIN-ANSWER+JWT", "application/tocsin-answer+jwt", ""] {
        let refused = with_header(&header(&format!(r#""alg":"ES256","typ":"{typ}""#)));
        assert_eq!(refused.err(), Some(JoseError::WrongType), "{typ}");
    }
    for name in ["jwk", "jku", "x5u", "x5c", "crit", "b64"] {
        let refused = with_header(&header(&format!(r#"{profile},"{name}":null"#)));
        assert_eq!(refused.err(), Some(JoseError::ForbiddenHeader), "{name}");
    }
    for (inner, error) in [
        (r#""typ":"tocsin-answer+jwt""#, JoseError::WrongAlgorithm),
        (r#""alg":"ES256""#, JoseError::WrongType),
        (r#""alg":["ES256"],"typ":"tocsin-answer+jwt""#, JoseError::WrongAlgorithm),
        (r#""alg":"none","alg":"ES256","typ":"tocsin-answer+jwt""#, JoseError::BadHeader),
        (r#""alg":"ES256","typ":"tocsin-answer+jwt","z":{"a":1,"a":1}"#, JoseError::BadHeader),
    ] {
        assert_eq!(with_header(&header(inner)).err(), Some(error), "{inner}");
    }
    for text in ["", "[]", "null", "{", "\"ES256\""] {
        assert_eq!(with_header(text).err(), Some(JoseError::BadHeader), "{text}");
    }
}

#[test]
fn a_kid_stands_exactly_where_it_must() {
    let named = |kid: serde_json::Value| {
        with_header(&json!({"alg": "ES256", "typ": "tocsin-answer+jwt", "kid": kid}).to_string()).err()
    };
    assert_eq!(named(json!(key_id_text(&KID))), None);
    for kid in [
        json!(""),
        json!("x"),
        json!(1),
        json!(null),
        json!("AAAAAAAAAAAAAAAAAAAAAA=="),
        json!("a".repeat(22)),
    ] {
        assert_eq!(named(kid.clone()), Some(JoseError::BadKeyId), "{kid}");
    }
    let nameless = key().sign("tocsin-answer+jwt", None, &json!({}));
    assert_eq!(parse(&nameless).err(), Some(JoseError::KeyIdMissing));
    let absent = |compact: &str| UnverifiedJws::parse(compact, TokenType::Answer, KeyIdRule::Absent).err();
    assert_eq!(absent(&nameless), None);
    assert_eq!(absent(&good()), Some(JoseError::KeyIdUnexpected));
}

#[test]
fn only_three_canonical_parts_are_compact() {
    let jws = good();
    let parts: Vec<&str> = jws.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    for (text, error) in [
        (String::new(), JoseError::NotCompact),
        (header.to_owned(), JoseError::NotCompact),
        (format!("{header}.{payload}"), JoseError::NotCompact),
        (format!("{jws}.x"), JoseError::NotCompact),
        (format!("{header}=.{payload}.{signature}"), JoseError::NotBase64Url),
        (format!(" {header}.{payload}.{signature}"), JoseError::NotBase64Url),
        (format!("{header}.{payload}=.{signature}"), JoseError::NotBase64Url),
        (format!("{header}.{}.{signature}", "e31"), JoseError::NotBase64Url),
        (format!("{header}.{payload}.{signature}="), JoseError::BadSignatureLength),
        (format!("{header}.{payload}."), JoseError::BadSignatureLength),
        (format!("{header}.{payload}.{}", &signature[..84]), JoseError::BadSignatureLength),
        (format!("{header}.{payload}.{}+", &signature[..85]), JoseError::NotBase64Url),
        (format!("{header}..{signature}"), JoseError::BadPayload),
        (format!("{header}.{}.{signature}", base64url(b"[1]")), JoseError::BadPayload),
        (format!("{header}.{}.{signature}", base64url(br#"{"a":1,"a":1}"#)), JoseError::BadPayload),
        ("x".repeat(COMPACT_BYTES_MAX + 1), JoseError::TooLarge),
    ] {
        assert_eq!(parse(&text).err(), Some(error), "{text:.120}");
    }
}

#[test]
fn a_jws_of_8_kib_is_taken_and_one_byte_more_is_not() {
    let sized =
        |filler: usize| key().sign("tocsin-answer+jwt", Some(&KID), &json!({"a": "x".repeat(filler)}));
    let base = sized(0).len();
    let mut filler = (COMPACT_BYTES_MAX - base) * 3 / 4;
    while sized(filler + 1).len() <= COMPACT_BYTES_MAX {
        filler += 1;
    }
    assert!(parse(&sized(filler)).is_ok());
    assert_eq!(parse(&sized(filler + 2)).err(), Some(JoseError::TooLarge));
}

#[test]
fn times_have_fractions_and_a_range() {
    let time = |iat: serde_json::Value| {
        let compact = key().sign("tocsin-answer+jwt", Some(&KID), &json!({"iat": iat}));
        parse(&compact).expect("the profile").claims().numeric_date("iat").map(tocsin_model::UnixMs::get)
    };
    assert_eq!(time(json!(1_790_000_000)), Some(1_790_000_000_000));
    assert_eq!(time(json!(1_790_000_000.25)), Some(1_790_000_000_250));
    assert_eq!(time(json!(0)), Some(0));
    for bad in [
        json!(-1),
        json!(-0.001),
        json!(1e300),
        json!(253_402_300_800_u64),
        json!("1"),
        json!(null),
        json!([1]),
    ] {
        assert_eq!(time(bad.clone()), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn arbitrary_texts_never_panic(text in "[A-Za-z0-9_.=\\-]{0,120}|.{0,60}") {
        prop_assert!(parse(&text).is_err());
    }

    #[test]
    fn arbitrary_headers_and_payloads_never_panic(
        header in proptest::collection::vec(any::<u8>(), 0..80),
        payload in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let text = format!("{}.{}.{}", base64url(&header), base64url(&payload), base64url(&[7; 64]));
        prop_assert!(parse(&text).is_err());
    }

    #[test]
    fn one_changed_letter_never_verifies(at in 0_usize..4_000, letter in "[A-Za-z0-9_.\\-]") {
        let mut text = good();
        let at = at % text.len();
        prop_assume!(text[at..=at] != letter);
        text.replace_range(at..=at, &letter);
        let verified = parse(&text).map(|jws| jws.verify(&key().public_key()));
        prop_assert!(!matches!(verified, Ok(Ok(()))), "{}", text);
    }
}
