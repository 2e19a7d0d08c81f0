//! Every refusal of a proof, and what it takes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::device::encoding::base64url;
use crate::device::testing::{ISSUER, KID, NOW, TestKey, TestPhone, device_key};

const SKEW: DurationMs = DurationMs::from_seconds(120);
const BODY: &[u8] = br#"{"answer":"x"}"#;
const REQUEST: ProofRequest<'static> =
    ProofRequest { issuer: ISSUER, method: "POST", path_and_query: "/device/v1/x?a=%20b", body: BODY };

fn claims(phone: &TestPhone) -> Value {
    json!({"iss": phone.device.id.to_string(), "aud": ISSUER, "htm": "POST",
        "htu": format!("{ISSUER}/device/v1/x?a=%20b"), "iat": 1_790_000_000.25, "jti": "1",
        "body_sha256": base64url(&sha256(BODY))})
}

fn signed(phone: &TestPhone, claims: &Value) -> String {
    format!("Tocsin {}", phone.key.sign("tocsin-proof+jwt", Some(&KID), claims))
}

fn check(
    phone: &TestPhone,
    authorization: &str,
    request: ProofRequest<'_>,
) -> Result<VerifiedProof, ProofError> {
    UnverifiedProof::parse(Some(authorization))?.check(&phone.device, request)?.verify()
}

/// The good claims with one changed; `null` takes it out.
fn changed(phone: &TestPhone, name: &str, value: Value) -> Value {
    let mut claims = claims(phone);
    match value {
        Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
        value => claims[name] = value,
    }
    claims
}

#[test]
fn a_good_proof_stands_and_tells_its_time() {
    let phone = TestPhone::new();
    let header = signed(&phone, &claims(&phone));
    let proof = check(&phone, &header, REQUEST).expect("stands");
    assert_eq!((proof.issued_at, proof.jti), (NOW, Jti::of("1").expect("a jti")));
    assert_eq!(format!("Tocsin {}", proof.jws), header);
    let lower_case = header.replacen("Tocsin", "tOCSIN", 1);
    assert!(check(&phone, &lower_case, REQUEST).is_ok());
}

#[test]
fn each_claim_must_fit() {
    let phone = TestPhone::new();
    let url = |text: &str| json!(format!("{ISSUER}{text}"));
    for (name, value) in [
        ("iss", json!(null)),
        ("iss", json!(DeviceId::from_random([9; 16]).to_string())),
        ("iss", json!(phone.device.id.to_string().to_uppercase())),
        ("aud", json!(null)),
        ("aud", json!("https://other.example")),
        ("aud", json!(format!("{ISSUER}/"))),
        ("aud", json!([ISSUER])),
        ("htm", json!(null)),
        ("htm", json!("GET")),
        ("htm", json!("post")),
        ("htu", json!(null)),
        ("htu", url("/device/v1/x")),
        ("htu", url("/device/v1/x?a=%20c")),
        ("htu", url("/device/v1/x?a= b")),
        ("htu", url("/device/v1/x?a=%20b#f")),
        ("htu", json!("https://PUSH.bank.example/device/v1/x?a=%20b")),
        ("htu", json!("/device/v1/x?a=%20b")),
        ("iat", json!(null)),
        ("iat", json!("1790000000")),
        ("jti", json!(null)),
        ("jti", json!("")),
        ("jti", json!(1)),
        ("jti", json!("x".repeat(129))),
        ("body_sha256", json!(null)),
        ("body_sha256", json!(base64url(&sha256(b"other")))),
        ("body_sha256", json!(format!("{}=", base64url(&sha256(BODY))))),
    ] {
        let header = signed(&phone, &changed(&phone, name, value.clone()));
        assert_eq!(check(&phone, &header, REQUEST).err(), Some(ProofError::Bad), "{name} {value}");
    }
    let header = signed(&phone, &changed(&phone, "unknown", json!("ignored")));
    assert!(check(&phone, &header, REQUEST).is_ok());
}

#[test]
fn without_a_body_there_is_no_digest() {
    let phone = TestPhone::new();
    let request = ProofRequest { body: b"", ..REQUEST };
    let without = signed(&phone, &changed(&phone, "body_sha256", json!(null)));
    assert!(check(&phone, &without, request).is_ok());
    let with = signed(&phone, &changed(&phone, "body_sha256", json!(base64url(&sha256(b"")))));
    assert_eq!(check(&phone, &with, request).err(), Some(ProofError::Bad));
}

#[test]
fn wrong_headers_keys_and_signatures_look_the_same() {
    let phone = TestPhone::new();
    let good = signed(&phone, &claims(&phone));
    let by_stranger = TestKey::from_label("stranger").sign("tocsin-proof+jwt", Some(&KID), &claims(&phone));
    let unknown_kid = phone.key.sign("tocsin-proof+jwt", Some(&KeyId::from_bytes([7; 16])), &claims(&phone));
    for header in [
        format!("Tocsin {by_stranger}"),
        format!("Tocsin {unknown_kid}"),
        format!("Tocsin {}", phone.key.sign("tocsin-answer+jwt", Some(&KID), &claims(&phone))),
        format!("Tocsin {}", phone.key.sign("tocsin-proof+jwt", None, &claims(&phone))),
        good.replacen("Tocsin", "Bearer", 1),
        good.replacen("Tocsin ", "Tocsin  ", 1),
        good.replacen("Tocsin ", "Tocsin", 1),
        "Tocsin".to_owned(),
        String::new(),
    ] {
        assert_eq!(check(&phone, &header, REQUEST).err(), Some(ProofError::Bad), "{header}");
    }
    assert_eq!(UnverifiedProof::parse(None).err(), Some(ProofError::Bad));
    assert_eq!(ProofError::Bad.problem().code, ErrorCode::BadProof);
}

#[test]
fn a_proof_is_only_by_the_device_key() {
    let mut phone = TestPhone::new();
    let other = KeyId::from_bytes([0x77; 16]);
    let finger = TestKey::from_label("finger");
    phone.device.keys.push(device_key(&finger, KeyUse::Biometric, other));
    let header = format!("Tocsin {}", finger.sign("tocsin-proof+jwt", Some(&other), &claims(&phone)));
    assert_eq!(check(&phone, &header, REQUEST).err(), Some(ProofError::Bad));
}

#[test]
fn the_clock_is_judged_to_the_millisecond() {
    let phone = TestPhone::new();
    let proof = check(&phone, &signed(&phone, &claims(&phone)), REQUEST).expect("stands");
    let one = DurationMs::new(1);
    for now in [NOW, NOW.plus(SKEW), NOW.minus(SKEW)] {
        assert_eq!(proof.check_clock(now, SKEW), Ok(()));
    }
    for now in [NOW.plus(SKEW).plus(one), NOW.minus(SKEW).minus(one)] {
        assert_eq!(proof.check_clock(now, SKEW), Err(ProofError::ClockSkew { server_time: now }));
    }
    let told = ProofError::ClockSkew { server_time: NOW }.problem();
    assert_eq!((told.code, told.server_time), (ErrorCode::ClockSkew, Some(NOW)));
}

#[test]
fn an_enrolling_phone_signs_without_name() {
    let phone = TestPhone::new();
    let key = phone.key.public_key();
    let nameless = changed(&phone, "iss", json!(null));
    let check = |header: String, key: &PublicKey| {
        UnverifiedProof::parse_enrolling(Some(&header))?.check_enrolling(key, REQUEST)?.verify().map(|_| ())
    };
    let sign = |claims: &Value| format!("Tocsin {}", phone.key.sign("tocsin-proof+jwt", None, claims));
    assert_eq!(check(sign(&nameless), &key), Ok(()));
    assert_eq!(check(sign(&claims(&phone)), &key), Err(ProofError::Bad));
    assert_eq!(check(signed(&phone, &nameless), &key), Err(ProofError::Bad));
    assert_eq!(check(sign(&nameless), &TestKey::from_label("other").public_key()), Err(ProofError::Bad));
}

#[test]
fn a_device_that_is_not_active_may_not_call() {
    let mut device = TestPhone::new().device;
    for (status, code) in [
        (DeviceStatus::Active, None),
        (DeviceStatus::Unreachable, None),
        (DeviceStatus::Unconfirmed, Some(ErrorCode::DeviceInactive)),
        (DeviceStatus::Suspended, Some(ErrorCode::DeviceInactive)),
        (DeviceStatus::Revoked, Some(ErrorCode::DeviceRevoked)),
    ] {
        device.status = status;
        let told = check_may_call(&device).err().map(|problem| (problem.code, problem.device_status));
        assert_eq!(told, code.map(|code| (code, Some(status))), "{status:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_headers_never_panic(text in ".{0,80}") {
        let with_scheme = format!("Tocsin {text}");
        prop_assert!(UnverifiedProof::parse(Some(&with_scheme)).is_err());
        prop_assert!(UnverifiedProof::parse(Some(&text)).is_err());
    }
}
