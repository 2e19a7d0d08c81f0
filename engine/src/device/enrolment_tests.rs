//! Every refusal of an enrolment body, and what it takes.

use proptest::prelude::*;
use serde_json::{Value, json};
use tocsin_model::{EnrollmentId, EnrollmentState, ErrorCode};

use super::*;
use crate::device::Jwk;
use crate::device::testing::{ISSUER, KID, NOW, TestKey, TestPhone, alice};

fn body() -> Value {
    json!({"activation_code": "code", "name": "Alice's phone", "platform": "ios", "app": "retail",
        "app_version": "1.2.3", "os_version": "26.0", "model": "iPhone17,1", "locale": "de-CH",
        "capabilities": ["number_match"], "unknown": {"ignored": true},
        "push": {"kind": "apns", "value": "00ff", "environment": "sandbox"},
        "keys": [{"use": "device", "jwk": Jwk::of(&TestPhone::new().key.public_key())}]})
}

fn parse(body: &Value) -> Result<EnrolmentRequest, Problem> {
    EnrolmentRequest::parse(body.to_string().as_bytes())
}

fn enrollment() -> Enrollment {
    Enrollment {
        id: EnrollmentId::from_random([1; 16]),
        revision: 1,
        client: "portal".parse().expect("a name"),
        user: alice(),
        app: "retail".parse().expect("a name"),
        code_hash: ActivationCodeHash::from_bytes([0; 32]),
        created_at: NOW,
        expires_at: NOW,
        authorized_by: None,
        state: EnrollmentState::Pending,
        server_kids: vec![],
        server_key: None,
    }
}

#[test]
fn a_good_body_becomes_an_active_device_of_the_enrolments_user() {
    let request = parse(&body()).expect("valid");
    assert_eq!(request.code_hash(), ActivationCodeHash::from_bytes(sha256(b"code")));
    assert_eq!(*request.device_key(), TestPhone::new().key.public_key());
    let id = DeviceId::from_random([5; 16]);
    let device = request.into_device(&enrollment(), id, || Ok(KID), NOW).expect("a device");
    assert_eq!((device.id, device.status, device.user), (id, DeviceStatus::Active, alice()));
    assert_eq!((device.push.kind, device.push.environment), (PushKind::Apns, PushEnvironment::Sandbox));
    assert_eq!((device.keys.len(), device.keys[0].kid, &device.keys[0].key_use), (1, KID, &KeyUse::Device));
    assert_eq!(device.keys[0].thumbprint, thumbprint(&TestPhone::new().key.public_key()));
    assert_eq!((&*device.profile.locale, device.profile.capabilities.len()), ("de-CH", 1));
}

#[test]
fn a_code_for_another_app_is_refused() {
    let mut other = enrollment();
    other.app = "business".parse().expect("a name");
    let request = parse(&body()).expect("valid");
    let refused =
        request.into_device(&other, DeviceId::from_random([5; 16]), || Ok(KID), NOW).expect_err("refused");
    assert_eq!((refused.code, refused.field.as_deref()), (ErrorCode::InvalidField, Some("app")));
}

#[test]
fn each_needed_field_is_asked_for() {
    for pointer in [
        "activation_code",
        "name",
        "platform",
        "app",
        "app_version",
        "os_version",
        "model",
        "locale",
        "push",
        "push.kind",
        "push.value",
        "keys",
    ] {
        let mut body = body();
        let (parent, name) = pointer.rsplit_once('.').map_or(("", pointer), |(parent, name)| (parent, name));
        let object = if parent.is_empty() { &mut body } else { &mut body[parent] };
        object.as_object_mut().expect("an object").remove(name);
        let refused = parse(&body).expect_err("refused");
        assert_eq!((refused.code, refused.field.as_deref()), (ErrorCode::FieldRequired, Some(pointer)));
    }
}

#[test]
fn values_are_refused_by_kind_and_name_their_field() {
    let bad = ErrorCode::InvalidRequest;
    let no = ErrorCode::InvalidField;
    for (path, value, code) in [
        ("/name", json!(1), bad),
        ("/name", json!("x".repeat(65)), bad),
        ("/name", json!("é".repeat(65)), bad),
        ("/name", json!(""), no),
        ("/name", json!("a\nb"), no),
        ("/name", json!("a\u{202e}b"), no),
        ("/os_version", json!("\u{7f}"), no),
        ("/model", json!("x".repeat(300)), bad),
        ("/locale", json!("de CH"), no),
        ("/platform", json!("symbian"), no),
        ("/app", json!("No Name"), no),
        ("/app_version", json!("1 2"), no),
        ("/activation_code", json!("x".repeat(129)), bad),
        ("/capabilities", json!("number_match"), bad),
        ("/capabilities", json!(vec!["a"; 33]), bad),
        ("/push", json!("none"), bad),
        ("/push/kind", json!("webpush"), no),
        ("/push/value", json!("zz"), no),
        ("/push/value", json!("0".repeat(4_097)), bad),
        ("/push/environment", json!("test"), no),
        ("/keys", json!({}), bad),
        ("/keys", json!([]), no),
        ("/encryption_jwk", json!({"kty": "EC"}), no),
    ] {
        let mut body = body();
        let (parent, name) = path.rsplit_once('/').expect("a path");
        body.pointer_mut(parent).expect("a parent")[name] = value.clone();
        let refused = parse(&body).expect_err("refused");
        let field = path[1..].replace('/', ".");
        assert_eq!(
            (refused.code, refused.field.as_deref()),
            (code, Some(field.as_str())),
            "{path} {value:.40}"
        );
    }
}

#[test]
fn keys_are_refused_by_kind_and_name_their_field() {
    let device = json!({"use": "device", "jwk": Jwk::of(&TestPhone::new().key.public_key())});
    let off_curve = json!({"use": "device", "jwk": {"kty": "EC", "crv": "P-256",
        "x": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE", "y": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}});
    let other_device = json!({"use": "device", "jwk": jwk_of("b")});
    let unproven = json!({"use": "pin", "jwk": jwk_of("a")});
    for (keys, code, field) in [
        (json!([device, device]), ErrorCode::InvalidField, "keys[1].jwk"),
        (json!([device, other_device]), ErrorCode::InvalidField, "keys[1].use"),
        (json!([device, further("pin", "a"), further("pin", "b")]), ErrorCode::InvalidField, "keys[2].use"),
        (
            json!([device, further("pin", "a"), further("biometric", "a")]),
            ErrorCode::InvalidField,
            "keys[2].jwk",
        ),
        (json!([device, {"use": "pin", "jwk": {}}]), ErrorCode::InvalidField, "keys[1].jwk"),
        (json!([device, unproven]), ErrorCode::FieldRequired, "keys[1].proof"),
        (json!([device, {"use": "sms"}]), ErrorCode::InvalidField, "keys[1].use"),
        (json!([device, 1]), ErrorCode::InvalidRequest, "keys[1]"),
        (json!([{"use": "device"}]), ErrorCode::FieldRequired, "keys[0].jwk"),
        (json!([{"use": "device", "jwk": "x"}]), ErrorCode::InvalidRequest, "keys[0].jwk"),
        (json!([off_curve]), ErrorCode::InvalidField, "keys[0].jwk"),
        (json!(vec![&device; 9]), ErrorCode::InvalidRequest, "keys"),
    ] {
        let mut body = body();
        body["keys"] = keys.clone();
        let refused = parse(&body).expect_err("refused");
        assert_eq!((refused.code, refused.field.as_deref()), (code, Some(field)), "{keys:.60}");
    }
}

#[test]
fn a_phone_without_push_needs_no_address() {
    let mut body = body();
    body["push"] = json!({"kind": "none"});
    body.as_object_mut().expect("an object").remove("capabilities");
    let device = parse(&body).expect("valid").into_device(
        &enrollment(),
        DeviceId::from_random([5; 16]),
        || Ok(KID),
        NOW,
    );
    let device = device.expect("a device");
    assert_eq!(device.push, PushTarget::none(NOW));
    assert!(device.profile.capabilities.is_empty());
}

#[test]
fn activation_codes_are_url_safe_different_and_never_printed() {
    let (one, other) = (ActivationCode::from_bits(&[0xfb; 24]), ActivationCode::from_bits(&[0xfc; 24]));
    assert_eq!(one.expose().len(), 48);
    assert!(one.expose().bytes().all(|byte| byte.is_ascii_alphanumeric()), "no option of a command line");
    assert_ne!(one.expose(), other.expose());
    assert_ne!(one.hash(), other.hash());
    assert!(!format!("{one:?}").contains(one.expose()));
    assert!(!format!("{:?}", parse(&body()).expect("valid")).contains("\"code\""));
}

fn jwk_of(label: &str) -> Jwk {
    Jwk::of(&TestKey::from_label(label).public_key())
}

/// A key beside the `device` key, with the claims of a good proof.
fn further(key_use: &str, label: &str) -> Value {
    let device_key = thumbprint(&TestPhone::new().key.public_key());
    let claims = json!({"aud": ISSUER, "iat": NOW.seconds(), "use": key_use,
        "activation_code_sha256": base64url(&sha256(b"code")),
        "device_key_sha256": base64url(device_key.as_bytes())});
    with_proof(key_use, label, label, &claims)
}

fn with_proof(key_use: &str, label: &str, signer: &str, claims: &Value) -> Value {
    let proof = TestKey::from_label(signer).sign("tocsin-enrol+jwt", None, claims);
    json!({"use": key_use, "jwk": jwk_of(label), "proof": proof})
}

fn with_keys(further: Vec<Value>) -> EnrolmentRequest {
    let mut body = body();
    body["keys"].as_array_mut().expect("an array").extend(further);
    parse(&body).expect("valid")
}

#[test]
fn further_keys_prove_themselves_and_get_names_of_their_own() {
    let request =
        with_keys(vec![further("pin", "a"), further("biometric", "b"), further("custom:face", "c")]);
    assert_eq!(request.key_proofs(ISSUER).verify(), Ok(()));
    let mut names = 0;
    let new_kid = || {
        names += 1;
        Ok(KeyId::from_bytes([names; 16]))
    };
    let device =
        request.into_device(&enrollment(), DeviceId::from_random([5; 16]), new_kid, NOW).expect("one");
    let found: Vec<_> =
        device.keys.iter().map(|key| (key.key_use.to_string(), key.kid.as_bytes()[0])).collect();
    let expected = [("device", 1), ("pin", 2), ("biometric", 3), ("custom:face", 4)];
    assert_eq!(found, expected.map(|(word, number)| (word.to_owned(), number)));
    assert_eq!(device.guards, DeviceGuards::default());
}

#[test]
fn a_proof_that_fails_names_its_key() {
    let good = further("pin", "a");
    let claims = |name: &str, value: Value| {
        let device_key = thumbprint(&TestPhone::new().key.public_key());
        let mut claims = json!({"aud": ISSUER, "iat": NOW.seconds(), "use": "pin",
            "activation_code_sha256": base64url(&sha256(b"code")),
            "device_key_sha256": base64url(device_key.as_bytes())});
        claims[name] = value;
        claims
    };
    for (name, value) in [
        ("aud", json!("https://other.example")),
        ("iat", json!("now")),
        ("use", json!("biometric")),
        ("activation_code_sha256", json!(base64url(&sha256(b"another")))),
        ("device_key_sha256", json!(base64url(&[7; 32]))),
    ] {
        let bad = with_proof("pin", "a", "a", &claims(name, value));
        let refused = with_keys(vec![further("biometric", "b"), bad]).key_proofs(ISSUER).verify();
        let refused = refused.expect_err(name);
        let told = (refused.code, refused.field.as_deref());
        assert_eq!(told, (ErrorCode::InvalidField, Some("keys[2].proof")), "{name}");
    }
    let by_another = with_proof("pin", "a", "b", &claims("extra", json!(1)));
    assert!(with_keys(vec![by_another]).key_proofs(ISSUER).verify().is_err());
    let mut named = good;
    let named_jws = TestKey::from_label("a").sign("tocsin-enrol+jwt", Some(&KID), &claims("extra", json!(1)));
    named["proof"] = json!(named_jws);
    assert!(with_keys(vec![named]).key_proofs(ISSUER).verify().is_err(), "it has no name yet");
}

#[test]
fn keys_that_the_app_does_not_take_are_refused() {
    let request = with_keys(vec![further("pin", "a"), further("custom:face", "c")]);
    assert_eq!(request.check_uses(|_| true), Ok(()));
    let refused = request.check_uses(|key_use| *key_use == KeyUse::Pin).expect_err("refused");
    assert_eq!((refused.code, refused.field.as_deref()), (ErrorCode::InvalidField, Some("keys[2].use")));
}

proptest! {
    #[test]
    fn arbitrary_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(EnrolmentRequest::parse(&bytes).is_err());
    }

    #[test]
    fn arbitrary_names_are_taken_or_refused(name in ".{0,80}") {
        let mut body = body();
        body["name"] = json!(name);
        if let Ok(request) = parse(&body) {
            prop_assert!(!request.profile.name.chars().any(char::is_control));
            prop_assert!((1..=64).contains(&request.profile.name.chars().count()));
        }
    }
}
