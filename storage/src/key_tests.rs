use tocsin_model::{UserId, UserIdRule};

use super::*;

fn user(id: &str) -> User {
    User { realm: "r".parse().expect("valid"), id: UserId::new(id, UserIdRule::Exact).expect("valid") }
}

fn device() -> DeviceId {
    DeviceId::from_bytes([0xdd; 16])
}

fn app() -> AppName {
    "app".parse().expect("valid")
}

/// The bytes on disk, spelt by hand: kinds, widths and order must not change.
#[test]
fn keys_have_these_bytes() {
    let id = "dd".repeat(16);
    let transaction = TransactionId::from_bytes([0xdd; 16]);
    let token = PushToken::new(PushKind::Apns, "0aff").expect("valid");
    let client = "portal".parse().expect("valid");
    let promise = IdempotencyKey::new("k").expect("valid");
    // SHA-256 of "apns", a zero byte and the token.
    let target = "f6c9dc502ff7ae7c67f193bc9d7b6bd2c1ca1e83771f6f15c841edbe18d07461";
    // SHA-256 of "portal", a zero byte and "k".
    let promised = "a44c21903ac695a9c0bb97bcdb62baa7394896582d3300468f0ba96b8cfb41e1";
    // SHA-256 of "r", a zero byte and "u".
    let user_u = "8748927bddab00cdc308ccbdb3667c5ef08eb3e319b41a51d7432c690b19c93f";
    let golden = [
        (Key::transaction(&transaction), format!("transaction/0101{id}")),
        (Key::transaction_marks(&transaction), format!("transaction/0102{id}")),
        (Key::kept_challenge(&transaction, &device()), format!("transaction/0103{id}{id}")),
        (Key::transaction_of_user(&user("u"), &transaction), format!("by-user/0a01{user_u}{id}")),
        (Key::open(UnixMs::new(0x0102), &transaction), format!("open/02010000000000000102{id}")),
        (Key::device(&device()), format!("device/0401{id}")),
        (Key::device_used(&device()), format!("device/0402{id}")),
        (Key::device_by_kid(&KeyId::from_bytes([0xdd; 16])), format!("device-key/0502{id}")),
        (Key::device_by_thumbprint(&Thumbprint::from_bytes([0xdd; 32])), format!("device-key/0501{id}{id}")),
        (Key::live_device(&user("u"), &app(), &device()), format!("user-device/0701{user_u}61707000{id}")),
        (
            Key::revoked_device(&user("u"), UnixMs::new(1), &device()),
            format!("user-device/0702{user_u}fffffffffffffffe{id}"),
        ),
        (Key::enrollment(&EnrollmentId::from_bytes([0xdd; 16])), format!("enrolment/0801{id}")),
        (
            Key::enrollment_by_code(&ActivationCodeHash::from_bytes([0xdd; 32])),
            format!("enrolment/0802{id}{id}"),
        ),
        (Key::transaction_by_otp(&OtpHash::from_bytes([0xdd; 32])), format!("otp/0e01{id}{id}")),
        (Key::audit(0x0102), "audit/0c010000000000000102".to_owned()),
        (Key::audit_head(), "audit/0c02".to_owned()),
        (Key::audit_anchor(), "audit/0c03".to_owned()),
        (Key::used_authorization(&transaction), format!("enrolment/0803{id}")),
        (Key::callback_owed(&transaction), format!("outbox/0b01{}", "22".repeat(16))),
        (Key::callback_dead(&transaction), format!("outbox/0b02{}", "22".repeat(16))),
        (
            Key::callback_due(&CallbackHost::from_bytes([0xee; 16]), UnixMs::new(0x0102), &transaction),
            format!("outbox/0b03{}0000000000000102{id}", "ee".repeat(16)),
        ),
        (Key::meta(MetaKey::Issuer), "meta/090201".to_owned()),
        (Key::meta(MetaKey::DerivationKey), "meta/090202".to_owned()),
        (Key::provider_token(&"a-p".parse().expect("a name")), "meta/0904612d7000".to_owned()),
        (Key::push_target(PushKind::Apns, &token, &device()), format!("push-target/0601{target}{id}")),
        (Key::idempotency(&client, &promise), format!("idempotency/0301{promised}")),
    ];
    for (key, bytes) in golden {
        assert_eq!(key.to_string(), bytes);
    }
}

#[test]
fn open_places_sort_by_deadline_and_read_back() {
    let place = |deadline: u64, id| Key::open(UnixMs::new(deadline), &TransactionId::from_bytes([id; 16]));
    assert!(place(255, 9) < place(256, 1));
    assert!(place(256, 1) < place(256, 2));
    assert_eq!(place(256, 2).as_open(), Some((UnixMs::new(256), TransactionId::from_bytes([2; 16]))));
}

#[test]
fn the_device_revoked_last_comes_first() {
    let place = |at| Key::revoked_device(&user("u"), UnixMs::new(at), &device());
    assert!(place(2) < place(1));
    assert_eq!(place(2).trailing_id(), Some([0xdd; 16]));
}

#[test]
fn no_user_is_the_beginning_of_another() {
    let prefix = Key::live_devices(&user("anna"));
    assert!(Key::live_device(&user("anna"), &app(), &device()).starts_with(&prefix));
    assert!(!Key::live_device(&user("annabel"), &app(), &device()).starts_with(&prefix));
    let app_prefix = Key::live_devices_of_app(&user("anna"), &app());
    let longer = "app2".parse().expect("valid");
    assert!(!Key::live_device(&user("anna"), &longer, &device()).starts_with(&app_prefix));
}

#[test]
fn client_and_key_cannot_run_into_each_other() {
    let key = |client: &str, key| {
        let client = client.parse().expect("valid");
        Key::idempotency(&client, &IdempotencyKey::new(key).expect("valid"))
    };
    assert_ne!(key("ab", "c"), key("a", "bc"));
}
