//! The phone against the protocol's vectors and against challenges of a server of its own.

use serde_json::{Value, json};
use tocsin_model::Decision;

use super::challenge::{Challenge, Expectation, Matching};
use super::error::Refusal;
use super::jose;
use super::key::{PhoneKey, ServerKeySet, base64url, from_base64url, hash};
use super::pin::PinKeystore;
use super::seal::{Message, Sealed, parse_request_message};

const ISSUER: &str = "http://127.0.0.1:8441";
const DEVICE: &str = "22222222-2222-4222-a222-222222222222";
const TRANSACTION: &str = "01a0c450-6cfa-8004-8444-444444444444";
const NOW_S: f64 = 1_790_000_000.25;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/device-protocol/vectors.json");
    serde_json::from_slice(&std::fs::read(path).expect("the vectors")).expect("JSON")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

/// A server of the test's own, whose key the phone holds.
struct Server(PhoneKey);

impl Server {
    fn new() -> (Self, ServerKeySet) {
        let key = PhoneKey::generate();
        let mut jwk = key.jwk();
        jwk["kid"] = json!("server-1");
        (Self(key), ServerKeySet::parse(&json!([jwk])).expect("a key set"))
    }

    fn sign(&self, claims: &Value) -> String {
        jose::sign(&self.0, "tocsin-challenge+jwt", Some("server-1"), claims)
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": TRANSACTION, "aud": DEVICE, "iat": 1_790_000_000, "exp": 1_790_000_060,
        "nonce": base64url(&[5; 16]), "v": 1, "type": "payment", "user": {"id": "alice", "realm": "retail"},
        "app": "bank", "title": "Pay", "message": "Pay 12.50 € to ACME?", "secure_message": "two\nlines",
        "details": [{"label": "To", "value": "ACME"}], "hidden_details": {"b": "2", "a": "1"},
        "methods": ["device"], "number_match": "off"})
}

fn verify(compact: &str, keys: &ServerKeySet) -> Result<Challenge, Refusal> {
    let expected = Expectation {
        issuer: ISSUER,
        device_id: DEVICE,
        transaction_id: Some(TRANSACTION),
        uses: &["device"],
        now_s: NOW_S,
    };
    Challenge::verify(compact, keys, expected)
}

/// `compact` with one text of its payload replaced under the old signature.
fn with_changed_text(compact: &str, from: &str, to: &str) -> String {
    let parts: Vec<&str> = compact.split('.').collect();
    let payload = String::from_utf8(from_base64url(parts[1]).expect("base64url")).expect("UTF-8");
    assert!(payload.contains(from));
    format!("{}.{}.{}", parts[0], base64url(payload.replacen(from, to, 1).as_bytes()), parts[2])
}

#[test]
fn the_seals_of_the_vectors_open_and_the_spoiled_ones_do_not() {
    let vectors = vectors();
    let (sealed, jws) = (&vectors["sealed"], text(&vectors["challenge"], "jws"));
    let scalar = from_base64url(text(&sealed["key"], "test_scalar")).expect("base64url");
    let key = PhoneKey::from_scalar(&scalar).expect("a scalar");
    let read =
        |message: &Value| match parse_request_message(text(message, "text")).expect("a request message") {
            (id, Message::Sealed(sealed)) => sealed.open(&key, &id),
            (_, Message::Signed(jws)) => Some(jws),
        };
    let messages = sealed["request_messages"].as_array().expect("an array");
    assert_eq!(messages.iter().map(read).collect::<Vec<_>>(), [Some(jws.to_owned()), Some(jws.to_owned())]);
    for bad in sealed["refused"].as_array().expect("an array") {
        let seal = Sealed::parse(&bad["sealed"]).expect("two members");
        assert_eq!(seal.open(&key, text(bad, "transaction_id")), None, "{}", bad["why"]);
    }
}

#[test]
fn a_good_challenge_is_shown_and_its_digest_covers_the_screen() {
    let (server, keys) = Server::new();
    let challenge = verify(&server.sign(&claims()), &keys).expect("shown");
    assert_eq!(challenge.transaction_id, TRANSACTION);
    assert_eq!(
        (challenge.screen.message.as_str(), challenge.screen.context.clone()),
        ("Pay 12.50 € to ACME?", None)
    );
    let canonical = "{\"app\":\"bank\",\"details\":[{\"label\":\"To\",\"value\":\"ACME\"}],\"hidden_details\":\
        {\"a\":\"1\",\"b\":\"2\"},\"message\":\"Pay 12.50 € to ACME?\",\"secure_message\":\"two\\nlines\",\
        \"title\":\"Pay\",\"type\":\"payment\",\"user\":{\"id\":\"alice\",\"realm\":\"retail\"}}";
    assert_eq!(challenge.screen.digest(), hash(canonical.as_bytes()));
}

#[test]
fn a_challenge_with_one_changed_letter_is_refused() {
    let (server, keys) = Server::new();
    let compact = server.sign(&claims());
    assert!(verify(&compact, &keys).is_ok());
    for (from, to) in [("12.50", "12.51"), ("ACME?", "ACMF?"), ("alice", "alicf"), ("\"off\"", "\"ofg\"")] {
        assert_eq!(
            verify(&with_changed_text(&compact, from, to), &keys),
            Err(Refusal::BadSignature),
            "{from}"
        );
    }
}

#[test]
fn every_changed_letter_of_the_jws_is_refused() {
    let (server, keys) = Server::new();
    let compact = server.sign(&claims());
    for at in 0..compact.len() {
        let mut changed = compact.clone();
        let letter = if &compact[at..=at] == "A" { "B" } else { "A" };
        changed.replace_range(at..=at, letter);
        assert!(verify(&changed, &keys).is_err(), "letter {at}");
    }
}

#[test]
fn a_changed_screen_changes_the_digest() {
    let (server, keys) = Server::new();
    let challenge = verify(&server.sign(&claims()), &keys).expect("shown");
    let mut changed = challenge.screen.clone();
    changed.message = changed.message.replace("12.50", "12.51");
    assert_ne!(changed.digest(), challenge.screen.digest());
}

#[test]
fn claims_that_the_phone_must_not_follow_are_refused() {
    let (server, keys) = Server::new();
    for (name, value, refusal) in [
        ("iss", json!("http://other"), Refusal::NotForUs),
        ("aud", json!(TRANSACTION), Refusal::NotForUs),
        ("sub", json!(DEVICE), Refusal::NotForUs),
        ("sub", json!(1), Refusal::BadClaim("sub")),
        ("exp", json!(1_790_000_000), Refusal::Expired),
        ("exp", json!("1790000060"), Refusal::BadClaim("exp")),
        ("iat", json!(null), Refusal::BadClaim("iat")),
        ("v", json!(2), Refusal::UnknownVersion),
        ("v", json!("1"), Refusal::UnknownVersion),
        ("nonce", json!("short"), Refusal::BadClaim("nonce")),
        ("title", json!({"text": "Pay"}), Refusal::BadClaim("title")),
        ("title", json!("Pay\u{7}"), Refusal::CannotShow("title")),
        ("message", json!("12\u{202e}05.21"), Refusal::CannotShow("message")),
        ("secure_message", json!("a\u{2028}b"), Refusal::CannotShow("secure_message")),
        ("context", json!(null), Refusal::BadClaim("context")),
        ("user", json!("alice"), Refusal::BadClaim("user")),
        ("user", json!({"id": "alice"}), Refusal::BadClaim("user")),
        ("user", json!({"id": "alice", "name": "x"}), Refusal::BadClaim("user.realm")),
        ("details", json!([{"label": "To"}]), Refusal::BadClaim("details")),
        ("details", json!([{"label": "To", "value": "A", "more": "B"}]), Refusal::BadClaim("details")),
        ("details", json!([{"label": "To", "value": 1}]), Refusal::BadClaim("details.value")),
        ("hidden_details", json!({"a": 1}), Refusal::BadClaim("hidden_details")),
        ("methods", json!(["pin"]), Refusal::UnknownMethod),
        ("methods", json!("device"), Refusal::BadClaim("methods")),
        ("number_match", json!("always"), Refusal::UnknownMethod),
        ("number_match", json!("choose"), Refusal::BadClaim("numbers")),
    ] {
        let mut claims = claims();
        claims[name] = value.clone();
        assert_eq!(verify(&server.sign(&claims), &keys), Err(refusal), "{name} {value}");
    }
}

#[test]
fn missing_claims_are_refused() {
    let (server, keys) = Server::new();
    let optional = ["secure_message", "details", "hidden_details", "context"];
    let names: Vec<String> = claims().as_object().expect("an object").keys().cloned().collect();
    for name in names {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(&name);
        let verified = verify(&server.sign(&claims), &keys);
        assert_eq!(verified.is_ok(), optional.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn keys_and_headers_outside_the_profile_are_refused() {
    let (server, keys) = Server::new();
    let sign = |typ: &str, kid: Option<&str>| jose::sign(&server.0, typ, kid, &claims());
    let good = "tocsin-challenge+jwt";
    assert_eq!(verify(&sign("tocsin-answer+jwt", Some("server-1")), &keys), Err(Refusal::BadHeader));
    assert_eq!(verify(&sign(good, None), &keys), Err(Refusal::BadHeader));
    assert_eq!(verify(&sign(good, Some("server-2")), &keys), Err(Refusal::UnknownKey));
    let (_, others) = Server::new();
    assert_eq!(verify(&sign(good, Some("server-1")), &others), Err(Refusal::BadSignature));
    for header in [
        r#"{"alg":"none","typ":"tocsin-challenge+jwt","kid":"server-1"}"#,
        r#"{"alg":"ES256","typ":"tocsin-challenge+jwt","kid":"server-1","jwk":{}}"#,
    ] {
        let parts = sign(good, Some("server-1"));
        let rest = parts.split_once('.').expect("three parts").1;
        let compact = format!("{}.{rest}", base64url(header.as_bytes()));
        assert_eq!(verify(&compact, &keys), Err(Refusal::BadHeader), "{header}");
    }
    let doubled =
        base64url(br#"{"alg":"ES256","alg":"ES256","typ":"tocsin-challenge+jwt","kid":"server-1"}"#);
    assert_eq!(verify(&format!("{doubled}.e30.AA"), &keys), Err(Refusal::NotStrictJson));
    for garbage in ["", "a", "a.b", "a.b.c.d", &"x".repeat(8_193)] {
        assert_eq!(verify(garbage, &keys), Err(Refusal::NotCompact));
    }
}

#[test]
fn the_vectors_are_read_as_told() {
    let vectors = vectors();
    let mut server_jwk = vectors["keys"]["server"]["jwk"].clone();
    server_jwk["kid"] = vectors["keys"]["server"]["kid"].clone();
    let keys = ServerKeySet::parse(&json!([server_jwk])).expect("a key set");
    let expected = Expectation {
        issuer: text(&vectors, "issuer"),
        device_id: text(&vectors, "device_id"),
        transaction_id: Some(text(&vectors, "transaction_id")),
        uses: &["device"],
        now_s: vectors["now"].as_f64().expect("a number"),
    };
    let good = &vectors["challenge"];
    let challenge = Challenge::verify(text(good, "jws"), &keys, expected).expect("shown");
    assert_eq!(challenge.screen.digest(), text(good, "dh"));
    assert_eq!(serde_json::to_value(&challenge.screen).expect("JSON"), good["shown"]);
    assert_eq!(challenge.nonce, text(&vectors, "nonce"));
    for bad in vectors["refused_challenges"].as_array().expect("an array") {
        assert!(Challenge::verify(text(bad, "jws"), &keys, expected).is_err(), "{}", bad["why"]);
    }
}

#[test]
fn the_phone_signs_the_answers_of_the_vectors() {
    let vectors = vectors();
    let device = &vectors["keys"]["device"];
    let key = PhoneKey::from_scalar(&from_base64url(text(device, "test_scalar")).expect("base64url"))
        .expect("a key");
    assert_eq!(key.jwk(), device["jwk"]);
    for (answer, decision) in vectors["answers"].as_array().expect("an array").iter().zip([
        Decision::Accept,
        Decision::Decline,
        Decision::Report,
    ]) {
        assert_eq!(text(&answer["claims"], "decision"), decision.as_str());
        let jws = jose::sign(&key, "tocsin-answer+jwt", device["kid"].as_str(), &answer["claims"]);
        assert_eq!(jws, text(answer, "jws"));
    }
}

#[test]
fn a_key_is_never_printed_and_each_is_another() {
    let (one, other) = (PhoneKey::generate(), PhoneKey::generate());
    assert_ne!(one.jwk(), other.jwk());
    assert_eq!(format!("{one:?}"), "PhoneKey([redacted])");
}

#[test]
fn numbers_to_choose_from_are_three_different_ones_of_two_digits() {
    let (server, keys) = Server::new();
    let verify_with = |numbers: Value| {
        let mut claims = claims();
        (claims["number_match"], claims["numbers"]) = (json!("choose"), numbers);
        verify(&server.sign(&claims), &keys)
    };
    let shown = verify_with(json!(["07", "42", "99"])).expect("shown");
    assert_eq!(shown.matching, Matching::Choose(["07", "42", "99"].map(str::to_owned).to_vec()));
    for bad in [
        json!(null),
        json!(["07", "42"]),
        json!(["07", "07", "42"]),
        json!(["7", "42", "99"]),
        json!([7, 42, 99]),
    ] {
        assert_eq!(verify_with(bad.clone()), Err(Refusal::BadClaim("numbers")), "{bad}");
    }
}

#[test]
fn pin_keys_are_those_of_the_vectors() {
    let vectors = vectors();
    for pin_key in vectors["pin_keys"].as_array().expect("an array") {
        let bytes = |name: &str| from_base64url(text(pin_key, name)).expect("base64url");
        let keystore = <[u8; 32]>::try_from(bytes("keystore_key")).expect("32 bytes");
        let derived =
            PinKeystore::from_bytes(keystore).pin_key(text(pin_key, "pin"), &bytes("device_key_thumbprint"));
        assert_eq!(derived.jwk(), pin_key["jwk"]);
    }
}
