//! Every refusal of a change of keys, and what it takes.

use serde_json::{Value, json};

use super::*;
use crate::device::Jwk;
use crate::device::jwk::sha256;
use crate::device::testing::{ISSUER, KID, NOW, TestKey, TestPhone, device_key};

const SKEW: DurationMs = DurationMs::from_seconds(120);
const PIN_KID: KeyId = KeyId::from_bytes([0x66; 16]);

fn new_key() -> TestKey {
    TestKey::from_label("new finger")
}

fn phone() -> TestPhone {
    let mut phone = TestPhone::new();
    phone.device.keys.push(device_key(&TestKey::from_label("pin"), KeyUse::Pin, PIN_KID));
    phone
}

fn proof_claims() -> Value {
    let phone = phone();
    let device_key = thumbprint(&phone.key.public_key());
    json!({"iss": phone.device.id.to_string(), "aud": ISSUER, "iat": NOW.seconds(), "use": "biometric",
        "device_key_sha256": base64url(device_key.as_bytes())})
}

fn authorization_claims() -> Value {
    let key_sha256 = base64url(thumbprint(&new_key().public_key()).as_bytes());
    json!({"iss": phone().device.id.to_string(), "aud": ISSUER, "iat": NOW.seconds(), "use": "biometric",
        "key_sha256": key_sha256})
}

fn request(proof: &Value, authorization: Option<&str>) -> KeyChangeRequest {
    let mut body = json!({"jwk": Jwk::of(&new_key().public_key()),
        "proof": new_key().sign("tocsin-enrol+jwt", None, proof)});
    if let Some(authorization) = authorization {
        body["authorization"] = json!(authorization);
    }
    KeyChangeRequest::parse(KeyUse::Biometric, body.to_string().as_bytes()).expect("valid")
}

fn authorize(claims: &Value) -> String {
    TestKey::from_label("pin").sign("tocsin-key+jwt", Some(&PIN_KID), claims)
}

fn judge(authorization: Option<&str>) -> Result<CheckedAuthorization, Problem> {
    request(&proof_claims(), authorization).check_authorization(&phone().device, ISSUER, NOW, SKEW)
}

#[test]
fn a_good_change_stands() {
    let request = request(&proof_claims(), Some(&authorize(&authorization_claims())));
    assert_eq!(request.check_proof(&phone().device, ISSUER), Ok(()));
    let checked = request.check_authorization(&phone().device, ISSUER, NOW, SKEW).expect("fits");
    let (kid, issued_at) = checked.verify().expect("the right PIN");
    assert_eq!((kid, issued_at.seconds()), (PIN_KID, NOW.seconds()));
    assert_eq!(request.into_key(KID, NOW).thumbprint, thumbprint(&new_key().public_key()));
}

#[test]
fn a_proof_over_anything_else_is_refused() {
    for (name, value) in [
        ("iss", json!("x")),
        ("aud", json!("https://other.example")),
        ("iat", json!(null)),
        ("use", json!("pin")),
        ("device_key_sha256", json!(base64url(&sha256(b"x")))),
    ] {
        let mut claims = proof_claims();
        claims[name] = value;
        let refused = request(&claims, None).check_proof(&phone().device, ISSUER).expect_err(name);
        assert_eq!(
            (refused.code, refused.field.as_deref()),
            (ErrorCode::InvalidField, Some("proof")),
            "{name}"
        );
    }
}

#[test]
fn an_authorization_is_asked_for_and_must_be_by_the_present_pin_and_for_this() {
    let code = |authorization: Option<&str>| judge(authorization).map(drop).map_err(|problem| problem.code);
    assert_eq!(code(None), Err(ErrorCode::AuthorizationRequired));
    let claims = authorization_claims();
    let other_name = TestKey::from_label("pin").sign("tocsin-key+jwt", Some(&KID), &claims);
    let other_type = TestKey::from_label("pin").sign("tocsin-answer+jwt", Some(&PIN_KID), &claims);
    for not_by_pin in ["x", &other_name, &other_type] {
        assert_eq!(code(Some(not_by_pin)), Err(ErrorCode::BadSignature), "{not_by_pin}");
    }
    for name in ["iss", "aud", "use", "key_sha256", "iat"] {
        let mut claims = claims.clone();
        claims[name] = json!("x");
        assert_eq!(code(Some(&authorize(&claims))), Err(ErrorCode::InvalidField), "{name}");
    }
    for (distance_s, fresh) in [(-121_i64, false), (-119, true), (120, true), (122, false)] {
        let mut claims = claims.clone();
        claims["iat"] = json!(i64::try_from(NOW.seconds()).expect("a time") + distance_s);
        let expected = if fresh { Ok(()) } else { Err(ErrorCode::ClockSkew) };
        assert_eq!(code(Some(&authorize(&claims))), expected, "{distance_s}");
    }
    let wrong_pin = TestKey::from_label("another pin").sign("tocsin-key+jwt", Some(&PIN_KID), &claims);
    let checked = judge(Some(&wrong_pin)).expect("its claims fit");
    assert_eq!(checked.verify(), Err(SignatureFault::WrongPin));
}

#[test]
fn bodies_are_refused_by_kind() {
    let good = json!({"jwk": Jwk::of(&new_key().public_key()), "proof": "x"});
    for (name, value, code) in [
        ("jwk", json!(null), ErrorCode::FieldRequired),
        ("jwk", json!("x"), ErrorCode::InvalidRequest),
        ("jwk", json!({"kty": "EC"}), ErrorCode::InvalidField),
        ("proof", json!(null), ErrorCode::FieldRequired),
        ("proof", json!(1), ErrorCode::InvalidRequest),
        ("authorization", json!(1), ErrorCode::InvalidRequest),
        ("authorized_by", json!(1), ErrorCode::InvalidRequest),
    ] {
        let mut body = good.clone();
        body[name] = value.clone();
        let refused = KeyChangeRequest::parse(KeyUse::Pin, body.to_string().as_bytes()).expect_err("refused");
        assert_eq!((refused.code, refused.field.as_deref()), (code, Some(name)), "{name} {value}");
    }
    let mut unknown = good;
    unknown["authorized_by"] = json!("no id");
    let request = KeyChangeRequest::parse(KeyUse::Pin, unknown.to_string().as_bytes()).expect("valid");
    assert_eq!(request.authorized_by(), None);
}
