//! Values to store and a clock to move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tocsin_model::{
    ActivationCodeHash, Answer, AppVersion, CallbackUrl, Content, Counter, Decision, Delivery,
    DeliveryStatus, Detail, Device, DeviceGuards, DeviceId, DeviceKey, DeviceProfile, DeviceStatus,
    DurationMs, Enrollment, EnrollmentId, EnrollmentState, EnrolmentMode, EnrolmentRules, Fingerprint,
    Idempotency, IdempotencyKey, KeyId, KeyUse, Method, Nonce, OtpHash, Particulars, Partition, Platform,
    PublicKey, PushEnvironment, PushKind, PushTarget, PushToken, Recipient, RequestMessage, Secret, State,
    Thumbprint, Transaction, TransactionId, UnixMs, User, UserId, UserIdRule,
};
use tocsin_storage::{Clock, Enrolled, KeptProviderToken, NewEnrollment, NewTransaction, Retention};

/// When the tests begin.
pub const START: UnixMs = UnixMs::new(1_800_000_000_000);

/// How long rows are kept in the tests.
pub const RETENTION: Retention = Retention {
    transaction: DurationMs::from_seconds(3_600),
    enrollment: DurationMs::from_seconds(7_200),
    audit: DurationMs::from_seconds(24 * 3_600),
};

/// A minute, the life of a transaction.
pub const MINUTE: DurationMs = DurationMs::from_seconds(60);

/// A clock that stands until it is moved.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START.get())))
    }

    pub fn now(&self) -> UnixMs {
        UnixMs::new(self.0.load(Ordering::SeqCst))
    }

    pub fn advance(&self, length: DurationMs) {
        self.0.fetch_add(length.get(), Ordering::SeqCst);
    }

    pub fn set_back(&self, length: DurationMs) {
        self.0.fetch_sub(length.get(), Ordering::SeqCst);
    }

    pub fn as_clock(&self) -> Clock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

/// Sixteen bytes that tell `salt` apart.
pub fn bytes16(salt: u64) -> [u8; 16] {
    let mut bytes = [0xa5; 16];
    bytes[8..].copy_from_slice(&salt.to_be_bytes());
    bytes
}

/// Thirty-two bytes that tell `salt` apart.
pub fn bytes32(salt: u64) -> [u8; 32] {
    let mut bytes = [0x5a; 32];
    bytes[24..].copy_from_slice(&salt.to_be_bytes());
    bytes
}

pub fn user(salt: u64) -> User {
    let id = UserId::new(&format!("user-{salt}"), UserIdRule::Exact).expect("valid");
    User { realm: "retail".parse().expect("valid"), id }
}

pub fn device_id(salt: u64) -> DeviceId {
    DeviceId::from_bytes(bytes16(salt))
}

pub fn transaction_id(salt: u64) -> TransactionId {
    TransactionId::compose(START, Partition::default(), bytes16(salt))
}

/// A pending transaction of a minute.
pub fn transaction(salt: u64) -> Transaction {
    Transaction {
        id: transaction_id(salt),
        revision: 1,
        client: "portal".parse().expect("valid"),
        user: Some(user(salt)),
        type_name: "login".parse().expect("valid"),
        method: Method::Push,
        state: State::Pending,
        created_at: START,
        expires_at: START.plus(MINUTE),
        ended_at: None,
        content: content(),
        accepted_keys: [KeyUse::Device, KeyUse::Custom("face".into())].into(),
        recipients: vec![recipient(salt)],
        attempts: Counter::new(3),
        resends: Counter::new(2),
        answer: None,
        keep_for_polling: true,
        request_message: RequestMessage::NotAsked,
        callback_url: None,
        call_context: None,
        seldom: None,
    }
}

/// Where a transaction of this salt is told to call back; two hosts, one of them in two spellings.
pub fn callback_url(salt: u64) -> CallbackUrl {
    let origin = match salt % 4 {
        0 => "https://EVEN.example",
        2 => "https://even.example",
        _ => "https://odd.example:8443",
    };
    CallbackUrl::parse(&format!("{origin}/callback/{salt}")).expect("valid")
}

/// The transaction with a URL to call back.
pub fn calling(transaction: Transaction) -> Transaction {
    let salt = u64::from(transaction.id.as_bytes()[15]);
    Transaction { callback_url: Some(callback_url(salt)), ..transaction }
}

fn content() -> Content {
    Content {
        title: "Log in".into(),
        message: "to the bank".into(),
        particulars: Particulars {
            secure_message: Some("from a new browser".into()),
            details: vec![Detail { label: "Place".into(), value: "Bern".into() }],
            hidden_details: vec![Detail { label: "risk".into(), value: "3".into() }],
            context: Some("Firefox on Linux".into()),
        }
        .kept(),
    }
}

fn recipient(salt: u64) -> Recipient {
    Recipient {
        device_id: device_id(salt),
        device_name: "Anna's phone".into(),
        platform: Platform::Ios,
        app: "bank-app".parse().expect("valid"),
        nonce: Nonce::from_bytes(bytes16(salt ^ 0xff)),
        delivery: Some(Delivery {
            provider: "apns-main".parse().expect("valid"),
            status: DeliveryStatus::Queued,
            reason: None,
        }),
    }
}

/// The transaction with a final state, decided at its start.
pub fn ended(mut transaction: Transaction, state: State) -> Transaction {
    transaction.state = state;
    transaction.revision += 1;
    transaction.ended_at = Some(START);
    transaction
}

/// The transaction accepted by a device at `decided_at`.
pub fn answered(transaction: Transaction, device_id: DeviceId, decided_at: UnixMs) -> Transaction {
    let mut accepted = ended(transaction, State::Accepted);
    accepted.ended_at = Some(decided_at);
    accepted.answer = Some(Box::new(Answer {
        device_id,
        key_use: KeyUse::Biometric,
        decision: Decision::Accept,
        decided_at,
        jws: "e30.e30.AA".into(),
        proof_jws: Some("e30.e30.BB".into()),
    }));
    accepted
}

/// The transaction after one more wrong try.
pub fn tried(mut transaction: Transaction) -> Transaction {
    transaction.attempts.used += 1;
    transaction.revision += 1;
    transaction
}

/// The transaction after its push came this far.
pub fn marked(mut transaction: Transaction, revision: u32, status: DeliveryStatus) -> Transaction {
    transaction.revision = revision;
    transaction.recipients[0].delivery.as_mut().expect("it is pushed").status = status;
    transaction
}

pub fn promise(key: &str, fingerprint: u64) -> Idempotency {
    Idempotency {
        key: IdempotencyKey::new(key).expect("valid"),
        fingerprint: Fingerprint::from_bytes(bytes32(fingerprint)),
    }
}

pub fn new_transaction(salt: u64) -> NewTransaction {
    NewTransaction { transaction: transaction(salt), idempotency: None, challenges: Vec::new(), otp: None }
}

pub fn code_hash(salt: u64) -> ActivationCodeHash {
    ActivationCodeHash::from_bytes(bytes32(salt))
}

/// A pending anonymous transaction of a minute that nobody has claimed.
pub fn unclaimed(salt: u64) -> Transaction {
    Transaction { user: None, method: Method::Otp, recipients: Vec::new(), ..transaction(salt) }
}

/// The same once phone `device` of user `owner` has claimed it.
pub fn claimed(salt: u64, device: u64, owner: u64) -> Transaction {
    let recipient =
        Recipient { device_id: device_id(device), delivery: None, ..transaction(salt).recipients.remove(0) };
    Transaction { revision: 2, user: Some(user(owner)), recipients: vec![recipient], ..unclaimed(salt) }
}

pub fn otp_hash(salt: u64) -> OtpHash {
    OtpHash::from_bytes(bytes32(salt))
}

/// A new anonymous transaction with its one-time password.
pub fn new_anonymous(salt: u64) -> NewTransaction {
    NewTransaction { transaction: unclaimed(salt), otp: Some(otp_hash(salt)), ..new_transaction(salt) }
}

/// A pending enrolment of a minute for user `salt`.
pub fn enrollment(salt: u64) -> Enrollment {
    Enrollment {
        id: EnrollmentId::from_bytes(bytes16(salt)),
        revision: 1,
        client: "portal".parse().expect("valid"),
        user: user(salt),
        app: "bank-app".parse().expect("valid"),
        code_hash: code_hash(salt),
        created_at: START,
        expires_at: START.plus(MINUTE),
        authorized_by: None,
        state: EnrollmentState::Pending,
        server_kids: vec![],
        server_key: None,
    }
}

pub fn new_enrollment(salt: u64) -> NewEnrollment {
    NewEnrollment {
        enrollment: enrollment(salt),
        mode: EnrolmentMode::Single,
        needs_authorization: false,
        idempotency: None,
    }
}

/// The rules of an app whose configuration says nothing.
pub const RULES: EnrolmentRules = EnrolmentRules { mode: EnrolmentMode::Single, confirms_number: false };

/// Whether a phone was registered.
pub fn is_stored(enrolled: &Enrolled) -> bool {
    matches!(enrolled, Enrolled::Stored(_))
}

/// Rules with this mode, with or without a number.
pub const fn rules(mode: EnrolmentMode, confirms_number: bool) -> EnrolmentRules {
    EnrolmentRules { mode, confirms_number }
}

pub fn key(key_use: KeyUse, salt: u64) -> DeviceKey {
    DeviceKey {
        key_use,
        kid: KeyId::from_bytes(bytes16(salt)),
        public_key: PublicKey { x: bytes32(salt), y: bytes32(salt + 1) },
        thumbprint: Thumbprint::from_bytes(bytes32(salt)),
        registered_at: START,
    }
}

pub fn token(salt: u64) -> PushToken {
    PushToken::new(PushKind::Apns, &format!("{salt:016x}")).expect("valid")
}

/// A device with a `device` key and a `biometric` one and an APNs address of its own.
/// A token of a push network that ends in a minute.
pub fn provider_token(authorization: &str) -> KeptProviderToken {
    KeptProviderToken {
        credential: bytes32(1),
        authorization: Secret::new(authorization.to_owned()),
        minted_at: START,
        refresh_at: START.plus(DurationMs::from_seconds(30)),
        expires_at: START.plus(MINUTE),
    }
}

pub fn device(salt: u64) -> Device {
    Device {
        id: device_id(salt),
        revision: 1,
        user: user(salt),
        app: "bank-app".parse().expect("valid"),
        enrollment_id: EnrollmentId::from_bytes(bytes16(salt)),
        status: DeviceStatus::Active,
        profile: DeviceProfile {
            name: "Anna's phone".into(),
            platform: Platform::Ios,
            app_version: AppVersion::new("4.2.0").expect("valid"),
            os_version: "18.1".into(),
            model: "iPhone17,1".into(),
            locale: "de-CH".into(),
            capabilities: vec!["biometric".into()],
        },
        push: PushTarget {
            kind: PushKind::Apns,
            token: Some(token(salt)),
            environment: PushEnvironment::Sandbox,
            registered_at: START,
        },
        push_suspect_count: 0,
        push_is_dead: false,
        last_signed_at: None,
        unconfirmed_until: None,
        keys: vec![key(KeyUse::Device, salt), key(KeyUse::Biometric, salt + 0x1000_0000)],
        encryption_key: None,
        guards: DeviceGuards::default(),
        created_at: START,
        last_used_at: START,
        server_key: None,
    }
}
