//! What the server signs, and the digest of what is shown.

use proptest::prelude::*;
use serde_json::{Value, json};
use tocsin_model::{Detail, DeviceId, Nonce, NumberMatch};

use super::*;
use crate::device::encoding::base64url;
use crate::device::testing::{ISSUER, NOW, login};

fn payload(transaction: &Transaction) -> Value {
    let payload = challenge_payload(transaction, &transaction.recipients[0], ISSUER, NOW);
    serde_json::from_slice(&payload).expect("JSON")
}

#[test]
fn the_challenge_has_exactly_these_claims() {
    let transaction = login();
    assert_eq!(
        payload(&transaction),
        json!({
            "iss": ISSUER, "sub": transaction.id.to_string(), "aud": transaction.recipients[0].device_id.to_string(),
            "iat": 1_790_000_000, "exp": 1_790_000_061, "nonce": base64url(&[0x55; 16]), "v": 1,
            "type": "login", "user": {"id": "alice", "realm": "retail"}, "app": "retail",
            "title": "Log in", "message": "Log in to online banking?",
            "details": [{"label": "Amount", "value": "12.50 €"}, {"label": "To", "value": "ACME \"Ltd\""}],
            "hidden_details": {"b": "2", "screen": "login"}, "context": "Firefox, 203.0.113.7",
            "methods": ["device"], "number_match": "off"
        })
    );
}

#[test]
fn absent_members_are_left_out() {
    let mut transaction = login();
    transaction.content.change_particulars(|particulars| particulars.details.clear());
    transaction.content.change_particulars(|particulars| particulars.hidden_details.clear());
    transaction.content.change_particulars(|particulars| particulars.context = None);
    let shown = serde_json::to_value(Shown::of(&transaction, &transaction.recipients[0].app)).expect("JSON");
    assert_eq!(
        shown,
        json!({"type": "login", "user": {"id": "alice", "realm": "retail"}, "app": "retail", "title": "Log in",
            "message": "Log in to online banking?"})
    );
}

#[test]
fn the_digest_is_that_of_the_canonical_text() {
    let transaction = login();
    let canonical = "{\"app\":\"retail\",\"context\":\"Firefox, 203.0.113.7\",\"details\":[{\"label\":\"Amount\",\
        \"value\":\"12.50 €\"},{\"label\":\"To\",\"value\":\"ACME \\\"Ltd\\\"\"}],\"hidden_details\":{\"b\":\"2\",\
        \"screen\":\"login\"},\"message\":\"Log in to online banking?\",\"title\":\"Log in\",\"type\":\"login\",\
        \"user\":{\"id\":\"alice\",\"realm\":\"retail\"}}";
    assert_eq!(
        Shown::of(&transaction, &transaction.recipients[0].app).digest(),
        sha256(canonical.as_bytes())
    );
}

fn renamed(transaction: &mut Transaction) -> &mut User {
    transaction.user.as_mut().expect("somebody is asked")
}

#[test]
fn every_shown_member_changes_the_digest() {
    let digest = |transaction: &Transaction| Shown::of(transaction, &transaction.recipients[0].app).digest();
    let changes: [fn(&mut Transaction); 12] = [
        |transaction| transaction.type_name = "payment".parse().expect("a name"),
        |transaction| renamed(transaction).realm = "staff".parse().expect("a name"),
        |transaction| renamed(transaction).id = tocsin_model::UserId::from_stored("bob"),
        |transaction| transaction.recipients[0].app = "other".parse().expect("a name"),
        |transaction| transaction.content.title = "Log  in".into(),
        |transaction| transaction.content.message = "Log in to online banking".into(),
        |transaction| {
            transaction.content.change_particulars(|particulars| particulars.secure_message = Some("".into()))
        },
        |transaction| transaction.content.change_particulars(|particulars| particulars.details.swap(0, 1)),
        |transaction| {
            transaction
                .content
                .change_particulars(|particulars| particulars.details[0].value = "12.51 €".into())
        },
        |transaction| {
            transaction
                .content
                .change_particulars(|particulars| particulars.hidden_details[0].value = "other".into())
        },
        |transaction| {
            transaction.content.change_particulars(|particulars| particulars.hidden_details.clear())
        },
        |transaction| transaction.content.change_particulars(|particulars| particulars.context = None),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut changed = login();
        change(&mut changed);
        assert_ne!(digest(&changed), digest(&login()), "change {index}");
    }
}

#[test]
fn the_nonce_device_and_lifetime_do_not_change_the_digest() {
    let mut other = login();
    other.recipients[0].nonce = Nonce::from_bytes([1; 16]);
    other.recipients[0].device_id = DeviceId::from_random([1; 16]);
    other.expires_at = NOW;
    let digest = |transaction: &Transaction| Shown::of(transaction, &transaction.recipients[0].app).digest();
    assert_eq!(digest(&other), digest(&login()));
}

#[test]
fn a_challenge_of_5500_bytes_fits_and_one_more_does_not() {
    let sized = |filler: usize| {
        let mut transaction = login();
        transaction
            .content
            .change_particulars(|particulars| particulars.secure_message = Some("x".repeat(filler).into()));
        transaction
    };
    let empty = sized(0);
    let base = challenge_payload(&empty, &empty.recipients[0], ISSUER, NOW).len();
    let room = ContentLimits::CLAIMS_BYTES_MAX - base;
    assert_eq!(check_challenge_size(&sized(room), ISSUER), Ok(()));
    let refused = check_challenge_size(&sized(room + 1), ISSUER).expect_err("too large");
    assert_eq!(refused.code, ErrorCode::ContentTooLarge);
}

#[test]
fn the_largest_challenge_is_a_jws_of_the_profile() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = crate::device::ServerKeys::load_or_create(folder.path()).expect("made");
    let payload = format!("{{\"x\":\"{}\"}}", "x".repeat(ContentLimits::CLAIMS_BYTES_MAX - 8));
    let jws = keys.sign_challenge(None, NOW, payload.as_bytes()).expect("signed");
    assert!(jws.len() <= crate::device::jose::COMPACT_BYTES_MAX, "{}", jws.len());
}

#[test]
fn of_two_hidden_details_with_one_label_the_last_stands_everywhere() {
    let mut transaction = login();
    transaction.content.change_particulars(|particulars| {
        particulars.hidden_details.push(Detail { label: "b".into(), value: "3".into() })
    });
    assert_eq!(payload(&transaction)["hidden_details"]["b"], "3");
}

proptest! {
    #[test]
    fn the_digest_and_the_bound_hold_for_any_texts(
        message in any::<String>(),
        secure in proptest::option::of(any::<String>()),
        details in proptest::collection::vec((any::<String>(), any::<String>()), 0..4),
        hidden in proptest::collection::vec((any::<String>(), any::<String>()), 0..4),
    ) {
        let detail = |(label, value): (String, String)| Detail { label: label.into(), value: value.into() };
        let mut transaction = login();
        transaction.content.message = message.into();
        transaction.content.change_particulars(|particulars| particulars.secure_message = secure.map(Into::into));
        transaction.content.change_particulars(|particulars| particulars.details = details.into_iter().map(detail).collect());
        transaction.content.change_particulars(|particulars| particulars.hidden_details = hidden.into_iter().map(detail).collect());
        let shown = Shown::of(&transaction, &transaction.recipients[0].app);
        let canonical = serde_json_canonicalizer::to_vec(&shown).expect("strings only");
        prop_assert_eq!(shown.digest(), sha256(&canonical));
        let real = challenge_payload(&transaction, &transaction.recipients[0], ISSUER, NOW).len();
        prop_assert!(real <= claims_bytes_at_most(&transaction, ISSUER));
    }
}

#[test]
fn the_bound_holds_where_texts_are_short_and_everything_is_there() {
    let mut transaction = login();
    let number = tocsin_model::TwoDigits::new(7).expect("two digits");
    transaction.seldom_mut().number = Some(NumberMatch { right: number, choices: Some([number; 3]) });
    transaction.accepted_keys = [KeyUse::Device, KeyUse::Pin, KeyUse::Biometric].into();
    let real =
        challenge_payload(&transaction, &transaction.recipients[0], ISSUER, UnixMs::new(u64::MAX)).len();
    assert!(real <= claims_bytes_at_most(&transaction, ISSUER));
    assert!(
        claims_bytes_at_most(&transaction, ISSUER) < ContentLimits::CLAIMS_BYTES_MAX,
        "most are not written out"
    );
}
