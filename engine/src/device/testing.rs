//! Phones of the unit tests: keys from labels, and JWS with anything in them, made apart from the code under test.

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use tocsin_model::{
    AppVersion, Content, Counter, Detail, Device, DeviceGuards, DeviceId, DeviceKey, DeviceProfile,
    DeviceStatus, EnrollmentId, KeyId, KeyUse, Method, Nonce, Particulars, Platform, PublicKey, PushTarget,
    Recipient, RequestMessage, State, Transaction, TransactionId, UnixMs, User, UserId, UserIdRule,
};

use super::encoding::{base64url, key_id_text, nonce_text};
use super::jwk::{sha256, thumbprint};

/// The issuer of the tests.
pub(crate) const ISSUER: &str = "https://push.bank.example";

/// When the tests happen.
pub(crate) const NOW: UnixMs = UnixMs::new(1_790_000_000_250);

/// A private key that everybody can compute: SHA-256 of a label. Signs deterministically (RFC 6979).
pub(crate) struct TestKey(SigningKey);

impl TestKey {
    /// The key of `label`.
    pub(crate) fn from_label(label: &str) -> Self {
        Self(
            SigningKey::from_slice(&sha256(label.as_bytes())).expect("a digest below the order of the curve"),
        )
    }

    /// The key of this private scalar.
    pub(crate) fn from_scalar(scalar: &[u8; 32]) -> Self {
        Self(SigningKey::from_slice(scalar).expect("below the order of the curve and not zero"))
    }

    /// Its public half.
    pub(crate) fn public_key(&self) -> PublicKey {
        let point = self.0.verifying_key().to_encoded_point(false);
        let half = |bytes: Option<&p256::FieldBytes>| (*bytes.expect("an affine point")).into();
        PublicKey { x: half(point.x()), y: half(point.y()) }
    }

    /// A compact JWS over exactly these texts.
    pub(crate) fn sign_raw(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()));
        let signature: Signature = self.0.sign(input.as_bytes());
        format!("{input}.{}", base64url(&signature.to_bytes()))
    }

    /// A compact JWS of the profile.
    pub(crate) fn sign(&self, typ: &str, kid: Option<&KeyId>, payload: &Value) -> String {
        let mut header = json!({"alg": "ES256", "typ": typ});
        if let Some(kid) = kid {
            header["kid"] = json!(key_id_text(kid));
        }
        self.sign_raw(&header.to_string(), &payload.to_string())
    }
}

/// The other of the two signatures that stand for the same: s replaced by n − s.
pub(crate) fn flip_s(compact: &str) -> String {
    let (input, signature) = compact.rsplit_once('.').expect("three parts");
    let bytes: [u8; 64] = super::encoding::decode_array(signature).expect("64 bytes");
    let (r, s) = Signature::from_slice(&bytes).expect("a signature").split_scalars();
    let flipped = Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).expect("not zero");
    format!("{input}.{}", base64url(&flipped.to_bytes()))
}

/// The phone of the tests.
pub(crate) struct TestPhone {
    pub(crate) key: TestKey,
    pub(crate) device: Device,
}

/// The name of the test phone's `device` key.
pub(crate) const KID: KeyId = KeyId::from_bytes([0x11; 16]);

impl TestPhone {
    /// An active phone of Alice with one key.
    pub(crate) fn new() -> Self {
        let key = TestKey::from_label("tocsin test key: device");
        let device = Device {
            id: DeviceId::from_random([0x22; 16]),
            revision: 1,
            user: alice(),
            app: "retail".parse().expect("a name"),
            enrollment_id: EnrollmentId::from_random([0x33; 16]),
            status: DeviceStatus::Active,
            profile: DeviceProfile {
                name: "Alice's phone".into(),
                platform: Platform::Ios,
                app_version: AppVersion::new("1.0").expect("a version"),
                os_version: "26.0".into(),
                model: "iPhone".into(),
                locale: "en".into(),
                capabilities: Vec::new(),
            },
            push: PushTarget::none(NOW),
            push_suspect_count: 0,
            push_is_dead: false,
            last_signed_at: None,
            unconfirmed_until: None,
            keys: vec![device_key(&key, KeyUse::Device, KID)],
            encryption_key: None,
            guards: DeviceGuards::default(),
            created_at: NOW,
            last_used_at: NOW,
            server_key: None,
        };
        Self { key, device }
    }

    /// The claims of a good answer to `transaction`.
    pub(crate) fn answer_claims(&self, transaction: &Transaction, decision: &str) -> Value {
        let recipient = transaction.recipient(&self.device.id).expect("a recipient");
        let shown = super::Shown::of(transaction, &recipient.app);
        json!({"iss": self.device.id.to_string(), "sub": transaction.id.to_string(), "aud": ISSUER,
            "iat": NOW.seconds(), "nonce": nonce_text(&recipient.nonce), "dh": base64url(&shown.digest()),
            "decision": decision})
    }
}

/// A registered key.
pub(crate) fn device_key(key: &TestKey, key_use: KeyUse, kid: KeyId) -> DeviceKey {
    let public_key = key.public_key();
    DeviceKey { key_use, kid, public_key, thumbprint: thumbprint(&public_key), registered_at: NOW }
}

/// The user of the tests.
pub(crate) fn alice() -> User {
    User {
        realm: "retail".parse().expect("a name"),
        id: UserId::new("alice", UserIdRule::Exact).expect("an id"),
    }
}

/// A pending login of Alice on her phone.
pub(crate) fn login() -> Transaction {
    let detail = |label: &str, value: &str| Detail { label: label.into(), value: value.into() };
    Transaction {
        id: TransactionId::compose(NOW, tocsin_model::Partition::default(), [0x44; 16]),
        revision: 1,
        client: "portal".parse().expect("a name"),
        user: Some(alice()),
        type_name: "login".parse().expect("a name"),
        method: Method::Push,
        state: State::Pending,
        created_at: NOW,
        expires_at: NOW.plus(tocsin_model::DurationMs::from_seconds(60)),
        ended_at: None,
        content: Content {
            title: "Log in".into(),
            message: "Log in to online banking?".into(),
            particulars: Particulars {
                secure_message: None,
                details: vec![detail("Amount", "12.50 €"), detail("To", "ACME \"Ltd\"")],
                hidden_details: vec![detail("screen", "login"), detail("b", "2")],
                context: Some("Firefox, 203.0.113.7".into()),
            }
            .kept(),
        },
        accepted_keys: [KeyUse::Device].into(),
        recipients: vec![Recipient {
            device_id: DeviceId::from_random([0x22; 16]),
            device_name: "Alice's phone".into(),
            platform: Platform::Ios,
            app: "retail".parse().expect("a name"),
            nonce: Nonce::from_bytes([0x55; 16]),
            delivery: None,
        }],
        attempts: Counter::new(3),
        resends: Counter::new(2),
        answer: None,
        keep_for_polling: false,
        request_message: RequestMessage::NotAsked,
        callback_url: None,
        call_context: None,
        seldom: None,
    }
}
