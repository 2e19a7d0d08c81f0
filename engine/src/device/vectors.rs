//! Makes `docs/device-protocol/vectors.json` and holds the checked-in file against it.
//!
//! Everything in it follows from labels: keys are SHA-256 of a label, signatures are deterministic (RFC 6979).
//! The signatures are made by another library than the one that checks them here. Only a seal is random.

use std::path::PathBuf;

use aws_lc_rs::hmac;
use p256::elliptic_curve::bigint::{Encoding as _, U384};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P256_HKDF_SHA256_AES_256;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey};
use serde_json::{Value, json};
use tocsin_model::{DeviceId, KeptChallenge, KeyId, PublicKey, SealedChallenge, TransactionId, UnixMs};

use super::challenge::{Shown, challenge_payload};
use super::encoding::{base64url, key_id_text, nonce_text};
use super::jwk::{Jwk, sha256, thumbprint};
use super::proof::{ProofRequest, UnverifiedProof};
use super::testing::{ISSUER, KID, NOW, TestKey, TestPhone, flip_s, login};
use super::{
    ActivationCode, AnswerContext, EnrolmentRequest, KeyIdRule, TokenType, UnverifiedAnswer, UnverifiedJws,
    request_message, seal_challenge,
};

const SERVER_KID: KeyId = KeyId::from_bytes([0x99; 16]);
const SERVER_LABEL: &str = "tocsin test key: server";
const DEVICE_LABEL: &str = "tocsin test key: device";
const ENCRYPTION_LABEL: &str = "tocsin test key: encryption";
const STRANGER_LABEL: &str = "tocsin test key: stranger";
/// Set to rewrite the file instead of comparing it.
const REWRITE_VARIABLE: &str = "TOCSIN_REWRITE_VECTORS";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/device-protocol/vectors.json")
}

fn key(label: &str, kid: Option<KeyId>) -> Value {
    let public = TestKey::from_label(label).public_key();
    json!({
        "label": label,
        "test_scalar": base64url(&sha256(label.as_bytes())),
        "jwk": Jwk::of(&public),
        "thumbprint": base64url(thumbprint(&public).as_bytes()),
        "kid": kid.map(|kid| key_id_text(&kid)),
    })
}

fn numeric_date(time: UnixMs) -> Value {
    json!(time.get() as f64 / 1_000.0)
}

fn proof(name: &str, claims: Value, kid: Option<&KeyId>, body: &str) -> Value {
    let phone = TestPhone::new();
    let jws = phone.key.sign("tocsin-proof+jwt", kid, &claims);
    json!({"name": name, "method": claims["htm"], "url": claims["htu"], "body": body, "claims": claims,
        "authorization": format!("Tocsin {jws}")})
}

fn enrolment() -> Value {
    let code = ActivationCode::from_bits(&[0x66; 24]);
    let body = json!({"activation_code": code.expose(), "name": "Alice's phone", "platform": "other",
        "app": "retail", "app_version": "1.0", "os_version": "1", "model": "Vector", "locale": "en",
        "capabilities": [], "push": {"kind": "none"},
        "keys": [{"use": "device", "jwk": Jwk::of(&TestPhone::new().key.public_key())}]})
    .to_string();
    let claims = json!({"aud": ISSUER, "htm": "POST", "htu": format!("{ISSUER}/device/v1/enrollments"),
        "iat": numeric_date(NOW), "jti": "vector-1", "body_sha256": base64url(&sha256(body.as_bytes()))});
    proof("enrolment: no kid, no iss", claims, None, &body)
}

fn list() -> Value {
    let claims = json!({"iss": TestPhone::new().device.id.to_string(), "aud": ISSUER, "htm": "GET",
        "htu": format!("{ISSUER}/device/v1/transactions"), "iat": numeric_date(NOW), "jti": "vector-2"});
    proof("list: no body, no body_sha256", claims, Some(&KID), "")
}

fn challenge() -> Value {
    let transaction = login();
    let recipient = &transaction.recipients[0];
    let claims = challenge_payload(&transaction, recipient, ISSUER, NOW);
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let shown = Shown::of(&transaction, &recipient.app);
    json!({
        "jws": TestKey::from_label(SERVER_LABEL).sign("tocsin-challenge+jwt", Some(&SERVER_KID), &claims),
        "claims": claims,
        "shown": shown,
        "shown_canonical": serde_json_canonicalizer::to_string(&shown).expect("strings only"),
        "dh": base64url(&shown.digest()),
    })
}

/// What a phone must refuse, each with one thing wrong.
fn refused_challenges() -> Value {
    let good = challenge();
    let server = TestKey::from_label(SERVER_LABEL);
    let sign = |claims: &Value| server.sign("tocsin-challenge+jwt", Some(&SERVER_KID), claims);
    let with = |name: &str, value: Value| {
        let mut claims = good["claims"].clone();
        claims[name] = value;
        sign(&claims)
    };
    let jws = good["jws"].as_str().expect("a text");
    let (input, signature) = jws.rsplit_once('.').expect("three parts");
    let (header, payload) = input.split_once('.').expect("two parts");
    let one_letter = String::from_utf8(super::encoding::decode(payload).expect("base64url")).expect("UTF-8");
    let one_letter = base64url(one_letter.replacen("12.50", "12.51", 1).as_bytes());
    let stranger = TestKey::from_label(STRANGER_LABEL);
    let mut unknown = good["claims"].clone();
    unknown["title"] = json!({"text": "Log in"});
    json!([
        {"why": "one changed letter under the old signature", "jws": format!("{header}.{one_letter}.{signature}")},
        {"why": "signed by a stranger's key", "jws": stranger.sign("tocsin-challenge+jwt", Some(&SERVER_KID), &good["claims"])},
        {"why": "kid that the phone does not hold", "jws": server.sign("tocsin-challenge+jwt", Some(&KID), &good["claims"])},
        {"why": "another typ", "jws": server.sign("tocsin-answer+jwt", Some(&SERVER_KID), &good["claims"])},
        {"why": "for another device", "jws": with("aud", json!(DeviceId::from_random([7; 16]).to_string()))},
        {"why": "from another issuer", "jws": with("iss", json!("https://other.example"))},
        {"why": "expired", "jws": with("exp", json!(NOW.seconds() - 1))},
        {"why": "a version that the phone does not know", "jws": with("v", json!(2))},
        {"why": "a text that is not a string", "jws": sign(&unknown)},
        {"why": "a number matching that is not of this version", "jws": with("number_match", json!("always"))},
        {"why": "numbers to choose from that are not there", "jws": with("number_match", json!("choose"))},
        {"why": "no method that the phone has", "jws": with("methods", json!(["pin"]))},
    ])
}

fn answers() -> Value {
    let (phone, transaction) = (TestPhone::new(), login());
    let answer = |decision: &str| {
        let claims = phone.answer_claims(&transaction, decision);
        let jws = phone.key.sign("tocsin-answer+jwt", Some(&KID), &claims);
        json!({"decision": decision, "claims": claims, "jws": jws, "same_with_other_s": flip_s(&jws)})
    };
    json!(["accept", "decline", "report"].map(answer))
}

/// The sealed challenge and the request messages. A seal is random: the checked-in one stands for as long as it opens
/// to the challenge.
fn sealed() -> Value {
    let (transaction, challenge) = (login(), challenge());
    let jws = challenge["jws"].as_str().expect("a text");
    let checked_in =
        checked_in_seal().filter(|sealed| opens_to(sealed, &transaction.id).as_deref() == Some(jws));
    let public = TestKey::from_label(ENCRYPTION_LABEL).public_key();
    let sealed = checked_in
        .unwrap_or_else(|| seal_challenge(jws, &transaction.id, &public).expect("a key on the curve"));
    let wire = |sealed: &SealedChallenge| json!({"enc": base64url(&sealed.encapsulated), "ct": base64url(&sealed.ciphertext)});
    let mut altered = sealed.clone();
    altered.ciphertext[0] ^= 1;
    let message = |kept: KeptChallenge| json!({"text": request_message(&transaction.id, &kept)});
    json!({
        "key": key(ENCRYPTION_LABEL, None),
        "sealed": wire(&sealed),
        "request_messages": [
            message(KeptChallenge::Sealed(sealed.clone())),
            message(KeptChallenge::Signed(jws.into())),
        ],
        "refused": [
            {"why": "for another transaction", "sealed": wire(&sealed),
                "transaction_id": TransactionId::from_bytes([7; 16]).to_string()},
            {"why": "one changed bit", "sealed": wire(&altered), "transaction_id": transaction.id.to_string()},
        ],
    })
}

fn checked_in_seal() -> Option<SealedChallenge> {
    let file: Value = serde_json::from_slice(&std::fs::read(path()).ok()?).ok()?;
    let bytes = |name: &str| super::encoding::decode(file["sealed"]["sealed"][name].as_str()?);
    Some(SealedChallenge {
        to: thumbprint(&TestKey::from_label(ENCRYPTION_LABEL).public_key()),
        encapsulated: bytes("enc")?.try_into().ok()?,
        ciphertext: bytes("ct")?.into(),
    })
}

fn opens_to(sealed: &SealedChallenge, transaction: &TransactionId) -> Option<String> {
    let scalar = HpkePrivateKey::from(sha256(ENCRYPTION_LABEL.as_bytes()).to_vec());
    let (encapsulated, bound_to) =
        (EncapsulatedSecret(sealed.encapsulated.to_vec()), transaction.to_string());
    let info = b"tocsin/v1/challenge";
    let plain = DH_KEM_P256_HKDF_SHA256_AES_256.open(
        &encapsulated,
        info,
        bound_to.as_bytes(),
        &sealed.ciphertext,
        &scalar,
    );
    String::from_utf8(plain.ok()?).ok()
}

fn canonical_forms() -> Value {
    let sample = |value: Value| {
        let canonical = serde_json_canonicalizer::to_string(&value).expect("strings only");
        json!({"value": value, "canonical": canonical, "sha256": base64url(&sha256(canonical.as_bytes()))})
    };
    json!([
        sample(json!({"b": "2", "a": "1", "aa": "3", "": "0"})),
        sample(json!({"text": "\u{0}\u{8}\t\n\u{c}\r\u{1f} \"\\/\u{7f}\u{2028}é€😀"})),
        sample(
            json!({"\u{fb33}": "dalet", "😀": "sorts before it: names are ordered by UTF-16 units", "ö": "o"})
        ),
    ])
}

fn vectors() -> Value {
    let transaction = login();
    json!({
        "about": "Made by a test; see ../device-protocol.md. Every key is SHA-256 of its label: public test values, \
            never to be used.",
        "issuer": ISSUER,
        "now": numeric_date(NOW),
        "device_id": TestPhone::new().device.id.to_string(),
        "transaction_id": transaction.id.to_string(),
        "nonce": nonce_text(&transaction.recipients[0].nonce),
        "keys": {"server": key(SERVER_LABEL, Some(SERVER_KID)), "device": key(DEVICE_LABEL, Some(KID))},
        "canonical": canonical_forms(),
        "proofs": [enrolment(), list()],
        "challenge": challenge(),
        "refused_challenges": refused_challenges(),
        "answers": answers(),
        "sealed": sealed(),
        "pin_keys": (["1234", "000000", "pässwörd"].map(pin_key)),
        "further_key": further_key(),
    })
}

/// The recipe of the PIN key, step by step.
fn pin_key(pin: &str) -> Value {
    let keystore_key = sha256(b"tocsin test key: keystore");
    let thumbprint = thumbprint(&TestPhone::new().key.public_key());
    let input = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &keystore_key), pin.as_bytes());
    let wide = hkdf_sha256_48(input.as_ref(), thumbprint.as_bytes());
    let scalar = pin_scalar(&wide);
    let jwk = Jwk::of(&TestKey::from_scalar(&scalar).public_key());
    json!({"pin": pin, "keystore_key": base64url(&keystore_key), "ikm": base64url(input.as_ref()),
        "device_key_thumbprint": base64url(thumbprint.as_bytes()), "hkdf": base64url(&wide),
        "scalar": base64url(&scalar), "jwk": jwk})
}

/// RFC 5869 spelt out: extract under the salt, then two blocks of 32 bytes, of which 48 are taken.
fn hkdf_sha256_48(input: &[u8], salt: &[u8]) -> Vec<u8> {
    let mac = |key: &[u8], parts: &[&[u8]]| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        parts.iter().for_each(|part| context.update(part));
        context.sign().as_ref().to_vec()
    };
    let secret = mac(salt, &[input]);
    let first = mac(&secret, &[b"tocsin/v1/pin-key", &[1]]);
    let second = mac(&secret, &[&first, b"tocsin/v1/pin-key", &[2]]);
    [first, second[..16].to_vec()].concat()
}

/// 1 + (wide mod (n − 1)), bit by bit.
fn pin_scalar(wide: &[u8]) -> [u8; 32] {
    let order_minus_one = U384::from_be_hex(concat!(
        "00000000000000000000000000000000",
        "ffffffff00000000ffffffffffffffff",
        "bce6faada7179e84f3b9cac2fc632550"
    ));
    let mut rest = U384::ZERO;
    for byte in wide {
        for bit in (0..8).rev() {
            rest = rest.shl_vartime(1).wrapping_add(&U384::from(byte >> bit & 1));
            if rest >= order_minus_one {
                rest = rest.wrapping_sub(&order_minus_one);
            }
        }
    }
    let mut scalar = [0; 32];
    scalar.copy_from_slice(&rest.wrapping_add(&U384::ONE).to_be_bytes()[16..]);
    scalar
}

/// The proof of a key beside the `device` key at enrolment, and of one that is put in its place later.
fn further_key() -> Value {
    let key = TestKey::from_label("tocsin test key: biometric");
    let (phone, code) = (TestPhone::new(), ActivationCode::from_bits(&[0x66; 24]));
    let device_key_sha256 = base64url(thumbprint(&phone.key.public_key()).as_bytes());
    let enrolling = json!({"aud": ISSUER, "iat": numeric_date(NOW), "use": "biometric",
        "activation_code_sha256": base64url(code.hash().as_bytes()), "device_key_sha256": device_key_sha256});
    let replacing = json!({"iss": phone.device.id.to_string(), "aud": ISSUER, "iat": numeric_date(NOW),
        "use": "biometric", "device_key_sha256": device_key_sha256});
    let jws = |claims: &Value| key.sign("tocsin-enrol+jwt", None, claims);
    json!({"jwk": Jwk::of(&key.public_key()),
        "enrolling": {"claims": enrolling, "jws": jws(&enrolling)},
        "replacing": {"claims": replacing, "jws": jws(&replacing)}})
}

#[test]
fn the_checked_in_vectors_are_those_of_the_code() {
    let mut text = serde_json::to_string_pretty(&vectors()).expect("JSON");
    text.push('\n');
    if std::env::var_os(REWRITE_VARIABLE).is_some() {
        std::fs::write(path(), &text).expect("written");
    }
    let checked_in = std::fs::read_to_string(path()).unwrap_or_default();
    assert!(
        checked_in == text,
        "the vectors changed; rewrite them with {REWRITE_VARIABLE}=1 and read the difference"
    );
}

#[test]
fn the_server_takes_the_proofs() {
    let phone = TestPhone::new();
    for proof in [enrolment(), list()] {
        let text = |name: &str| proof[name].as_str().expect("a text").to_owned();
        let (method, url, body, authorization) =
            (text("method"), text("url"), text("body"), text("authorization"));
        let request = ProofRequest {
            issuer: ISSUER,
            method: &method,
            path_and_query: url.strip_prefix(ISSUER).expect("below the issuer"),
            body: body.as_bytes(),
        };
        let checked = if proof["claims"]["iss"].is_null() {
            let enrolment = EnrolmentRequest::parse(body.as_bytes()).expect("valid");
            UnverifiedProof::parse_enrolling(Some(&authorization))
                .and_then(|proof| proof.check_enrolling(enrolment.device_key(), request))
        } else {
            UnverifiedProof::parse(Some(&authorization)).and_then(|proof| proof.check(&phone.device, request))
        };
        let verified = checked.and_then(super::CheckedProof::verify).expect("stands");
        assert_eq!(verified.issued_at, NOW);
    }
}

#[test]
fn the_server_takes_the_answers_in_both_forms() {
    let (phone, transaction) = (TestPhone::new(), login());
    for answer in answers().as_array().expect("an array") {
        for form in ["jws", "same_with_other_s"] {
            let body = json!({"answer": answer[form]}).to_string();
            let context = AnswerContext {
                transaction: &transaction,
                device: &phone.device,
                app_takes_key: true,
                issuer: ISSUER,
                now: NOW,
            };
            let answer = UnverifiedAnswer::parse(body.as_bytes()).and_then(|answer| answer.check(context));
            answer.expect("fits").verify().expect("stands");
        }
    }
}

#[test]
fn the_challenge_is_signed_by_the_server_key() {
    let challenge = challenge();
    let jws = challenge["jws"].as_str().expect("a text");
    let jws = UnverifiedJws::parse(jws, TokenType::Challenge, KeyIdRule::Required).expect("the profile");
    let server: PublicKey = TestKey::from_label(SERVER_LABEL).public_key();
    assert_eq!((jws.kid(), jws.verify(&server)), (Some(&SERVER_KID), Ok(())));
}
