//! An engine with a scripted network, and a phone with real keys.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P256_HKDF_SHA256_AES_256;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey};
use serde_json::{Value, json};
use tocsin_config::Config;
use tocsin_engine::clock::Clock;
use tocsin_engine::code::CodeKeys;
use tocsin_engine::device::{Jwk, ServerKeys, thumbprint};
use tocsin_engine::message::Origins;
use tocsin_engine::metrics::{Metrics, names};
use tocsin_engine::protocol::{CodeMessage, DeliveryOutcome, Parcel, Push};
use tocsin_engine::provider::{Driver, DriverReport, PushVerdict, callback_route};
use tocsin_engine::transport::Proxies;
use tocsin_engine::{ChallengeForm, DeviceCall, Engine, EngineParts, EnrollmentRequest, Handle};
use tocsin_model::{
    Content, DeliveryChoice, DeliveryStatus, Idempotency, KeyId, Problem, PublicKey, SealedChallenge,
    StartRequest, State, Transaction, TransactionId, User, UserId, UserIdRule,
};
use tocsin_storage::memory::{MemoryOptions, MemoryStore};

/// Longest wait for anything that must happen.
pub const SOON: Duration = Duration::from_secs(20);

pub const ISSUER: &str = "http://127.0.0.1:8441";

const CONFIG: &str = r#"
[realms.retail]
[types.login]
ttl_s = 60
[types.blink]
ttl_s = 1
[types.qr]
method = "otp"
ttl_s = 60
[types.patient]
ttl_s = 60
keep_for_polling = true
[apps.bank]
[apps.bank.ios]
bundle_id = "com.example.bank"
[providers.apns-main]
kind = "apns"
default = true
team_id = "TEAM000001"
key_id = "KEY0000001"
key_file = "key.p8"
breaker_faults = 2
breaker_open_ms = 200
[clients.portal]
secret_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
rights = ["transactions", "enrollments", "devices"]
realms = ["retail"]
apps = ["bank"]
types = ["*"]
"#;

/// How the scripted network treats pushes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Script {
    /// Ends at once like this; healthy or not.
    End(DeliveryOutcome, Option<bool>),
    /// Ends at once like this, and says this of the address.
    Judge(DeliveryOutcome, PushVerdict),
    /// Is written, and ends like this so long afterwards.
    EndAfter(Duration, DeliveryOutcome),
    /// Is written, and never ends.
    Hang,
    /// Is written, and its driver panics.
    Panic,
}

/// A network that does as it is told and remembers every push.
pub struct ScriptedNetwork {
    script: Mutex<Script>,
    pushes: Mutex<Vec<Push>>,
    messages: Mutex<Vec<CodeMessage>>,
}

impl ScriptedNetwork {
    pub fn set(&self, script: Script) {
        *self.script.lock().expect("not poisoned") = script;
    }

    /// The messages with codes that it was given.
    pub fn messages(&self) -> Vec<CodeMessage> {
        self.messages.lock().expect("not poisoned").clone()
    }

    pub fn pushes(&self) -> Vec<Push> {
        self.pushes.lock().expect("not poisoned").clone()
    }
}

impl Driver for ScriptedNetwork {
    fn deliver<'a>(
        &'a self,
        parcel: &'a Parcel,
        written: &'a (dyn Fn() + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = DriverReport> + Send + 'a>> {
        match parcel {
            Parcel::Push(push) => self.pushes.lock().expect("not poisoned").push(Push::clone(push)),
            Parcel::Code(message) => {
                self.messages.lock().expect("not poisoned").push(CodeMessage::clone(message));
            }
        }
        let script = *self.script.lock().expect("not poisoned");
        Box::pin(async move {
            written();
            match script {
                Script::End(outcome, healthy) => DriverReport { outcome, verdict: None, healthy },
                Script::Judge(outcome, verdict) => {
                    DriverReport { outcome, verdict: Some(verdict), healthy: Some(true) }
                }
                Script::EndAfter(wait, outcome) => {
                    tokio::time::sleep(wait).await;
                    DriverReport { outcome, verdict: None, healthy: Some(true) }
                }
                Script::Hang => std::future::pending().await,
                Script::Panic => std::panic::panic_any("a fault of the scripted network"),
            }
        })
    }

    fn keep_warm(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn close(&self) {}
}

/// An engine under test.
pub struct Bank {
    pub engine: Engine,
    pub handle: Handle,
    pub store: Arc<MemoryStore>,
    pub network: Arc<ScriptedNetwork>,
    pub clock: Clock,
    folder: Arc<tempfile::TempDir>,
    settings: String,
}

impl Bank {
    /// An engine over an empty storage; `settings` are added to the configuration.
    pub async fn open(settings: &str) -> Self {
        Self::open_with(|text| format!("{text}\n{settings}")).await
    }

    /// An engine over an empty storage, with a changed configuration.
    pub async fn open_with(change: impl Fn(&str) -> String) -> Self {
        let clock = Clock::system();
        let now = clock.clone();
        let store = Arc::new(MemoryStore::new(MemoryOptions::new(Arc::new(move || now.now()))));
        let network = Arc::new(ScriptedNetwork {
            script: Mutex::new(Script::End(DeliveryOutcome::Relayed, Some(true))),
            pushes: Mutex::new(Vec::new()),
            messages: Mutex::new(Vec::new()),
        });
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        std::fs::write(folder.path().join("key.p8"), "read by the real driver only").expect("written");
        Self::start(clock, store, network, folder, change(CONFIG)).await
    }

    async fn start(
        clock: Clock,
        store: Arc<MemoryStore>,
        network: Arc<ScriptedNetwork>,
        folder: Arc<tempfile::TempDir>,
        settings: String,
    ) -> Self {
        let mut config: Config =
            Config::load_str(&settings, folder.path()).expect("a valid configuration").config;
        // The scripted network carries codes, too, as no network of the configuration does.
        for code in config.types.values_mut().filter_map(|kind| kind.code.as_mut()) {
            code.gateways = vec!["apns-main".parse().expect("valid")];
        }
        let driver: Arc<dyn Driver> = Arc::clone(&network) as Arc<dyn Driver>;
        let engine = Engine::start(EngineParts {
            origins: Origins::open(&config, &clock, &Proxies::uncounted(clock.clone())).expect("readable"),
            config: Arc::new(config),
            store: Arc::clone(&store) as Arc<dyn tocsin_storage::Store>,
            clock: clock.clone(),
            metrics: Arc::new(Metrics::new()),
            server_keys: ServerKeys::load_or_create(folder.path()).expect("keys"),
            code_keys: CodeKeys::open(folder.path(), None, tocsin_model::UnixMs::new(0)).expect("code keys"),
            issuer: ISSUER.to_owned(),
            render_view: Arc::new(|transaction| {
                format!("{{\"id\":\"{}\",\"full\":true}}", transaction.id).into_bytes()
            }),
            proxies: Proxies::uncounted(clock.clone()),
            drivers: HashMap::from([("apns-main".parse().expect("valid"), driver)]),
        })
        .await
        .expect("an engine");
        let handle = engine.handle();
        Self { engine, handle, store, network, clock, folder, settings }
    }

    /// Ends this engine and starts another one over the same storage.
    pub async fn restart(self) -> Self {
        self.engine.drain().await;
        Self::start(self.clock, self.store, self.network, self.folder, self.settings).await
    }

    /// As [`Bank::restart`], with a changed configuration.
    pub async fn restart_with(self, change: impl Fn(&str) -> String) -> Self {
        let settings = change(&self.settings);
        Self { settings, ..self }.restart().await
    }

    /// Puts a changed configuration in place while everything goes on.
    pub async fn reload_with(&self, change: impl Fn(&str) -> String) {
        let settings = change(&self.settings);
        let config = Config::load_str(&settings, self.folder.path()).expect("a valid configuration").config;
        let route = callback_route(&config, &Proxies::uncounted(self.clock.clone())).expect("a valid proxy");
        let drivers = self.handle.drivers().as_ref().clone();
        self.handle.reload(Arc::new(config), drivers, Origins::off(), route).await;
    }

    /// Enrols a phone for a user.
    pub async fn enrol(&self, user_id: &str) -> Phone {
        self.enrol_in("bank", user_id).await
    }

    /// Enrols a phone for a user in this app.
    pub async fn enrol_in(&self, app: &str, user_id: &str) -> Phone {
        let opened = self.handle.open_enrollment(enrolment_of(user_id, app)).await.expect("opened");
        Phone::enrol(self, app, opened.activation_code.expose(), None).await.expect("enrolled")
    }

    /// Enrols a phone whose challenges are sealed.
    pub async fn enrol_sealed(&self, user_id: &str) -> Phone {
        let opened = self.handle.open_enrollment(enrolment_of(user_id, "bank")).await.expect("opened");
        let key = SigningKey::from_slice(&random::<32>()).expect("a scalar");
        Phone::enrol(self, "bank", opened.activation_code.expose(), Some(key)).await.expect("enrolled")
    }

    pub async fn start_login(&self, user_id: &str) -> Arc<Transaction> {
        self.handle.start(login(user_id)).await.expect("started").transaction
    }

    pub async fn view(&self, id: TransactionId) -> Arc<Transaction> {
        self.handle.transaction(&"portal".parse().expect("valid"), id).await.expect("a view")
    }

    /// Open transactions, as the metrics tell.
    pub fn in_flight(&self) -> usize {
        let text = self.handle.metrics_text();
        let told = text.lines().find_map(|line| line.strip_prefix(names::TRANSACTIONS_IN_FLIGHT));
        told.expect("told").trim().parse().expect("a number")
    }

    /// Waits until the transaction is as wanted.
    pub async fn until(&self, id: TransactionId, wanted: impl Fn(&Transaction) -> bool) -> Arc<Transaction> {
        let deadline = Instant::now() + SOON;
        loop {
            let view = self.view(id).await;
            if wanted(&view) {
                return view;
            }
            assert!(Instant::now() < deadline, "it never came: {view:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn until_pushed(&self, count: usize) {
        let deadline = Instant::now() + SOON;
        while self.network.pushes().len() < count {
            assert!(Instant::now() < deadline, "{} of {count} pushes came", self.network.pushes().len());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Runs a test inside an actix system.
pub fn run(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

pub fn is_relayed(view: &Transaction) -> bool {
    let delivery = view.recipients.first().and_then(|recipient| recipient.delivery.as_ref());
    delivery.is_some_and(|delivery| delivery.status == DeliveryStatus::Relayed)
}

pub fn user(id: &str) -> User {
    User { realm: "retail".parse().expect("valid"), id: UserId::new(id, UserIdRule::Exact).expect("valid") }
}

pub fn enrolment_of(user_id: &str, app: &str) -> EnrollmentRequest {
    EnrollmentRequest {
        client: "portal".parse().expect("valid"),
        user: user(user_id),
        app: app.parse().expect("valid"),
        time_to_live: None,
        authorized_by: None,
        idempotency: None,
    }
}

pub fn request(user_id: &str, type_name: &str) -> StartRequest {
    StartRequest {
        client: "portal".parse().expect("valid"),
        type_name: type_name.parse().expect("valid"),
        user: Some(user(user_id)),
        content: Content::default(),
        phone_number: None,
        email: None,
        device_id: None,
        app: None,
        time_to_live: None,
        delivery: DeliveryChoice::Usual,
        callback_url: None,
        call_context: None,
        is_held: false,
        number_match: None,
        idempotency: None,
    }
}

pub fn login(user_id: &str) -> StartRequest {
    request(user_id, "login")
}

pub fn with_key(request: StartRequest, key: &str, fingerprint: u8) -> StartRequest {
    let key = tocsin_model::IdempotencyKey::new(key).expect("valid");
    let fingerprint = tocsin_model::Fingerprint::from_bytes([fingerprint; 32]);
    StartRequest { idempotency: Some(Idempotency { key, fingerprint }), ..request }
}

/// A phone with a real key.
pub struct Phone {
    key: SigningKey,
    encryption_key: Option<SigningKey>,
    pub device_id: String,
    kid: String,
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature: Signature = key.sign(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

impl Phone {
    pub async fn enrol(
        bank: &Bank,
        app: &str,
        code: &str,
        encryption_key: Option<SigningKey>,
    ) -> Result<Self, Problem> {
        let secret: [u8; 32] = random();
        let key = SigningKey::from_slice(&secret).expect("a scalar");
        let public = public_half(&key);
        // The thumbprint is not needed to enrol; taking it shows that both sides read the key alike.
        let _ = thumbprint(&public);
        let jwk = serde_json::to_value(Jwk::of(&public)).expect("serialises");
        let token: String = random::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut body = json!({
            "activation_code": code, "name": "phone", "platform": "ios", "app": app, "app_version": "1.0",
            "os_version": "26.1", "model": "test", "locale": "en", "capabilities": [],
            "push": {"kind": "apns", "value": token, "environment": "production"},
            "keys": [{"use": "device", "jwk": jwk}],
        });
        if let Some(encryption_key) = &encryption_key {
            body["encryption_jwk"] =
                serde_json::to_value(Jwk::of(&public_half(encryption_key))).expect("JSON");
        }
        let body = body.to_string();
        let mut phone = Self { key, encryption_key, device_id: String::new(), kid: String::new() };
        let authorization = phone.proof(bank, "POST", "/device/v1/enrollments", body.as_bytes());
        let call = DeviceCall {
            authorization: Some(&authorization),
            method: "POST",
            path_and_query: "/device/v1/enrollments",
            body: body.as_bytes(),
        };
        let enrolled = bank.handle.enrol(call, std::net::Ipv4Addr::LOCALHOST.into()).await?;
        phone.device_id = enrolled.device.id.to_string();
        let kid: KeyId = enrolled.device.device_key().expect("has one").kid;
        phone.kid = URL_SAFE_NO_PAD.encode(kid.as_bytes());
        Ok(phone)
    }

    fn proof(&self, bank: &Bank, method: &str, path: &str, body: &[u8]) -> String {
        let mut header = json!({"alg": "ES256", "typ": "tocsin-proof+jwt"});
        let mut claims = json!({
            "aud": ISSUER, "htm": method, "htu": format!("{ISSUER}{path}"),
            "iat": bank.clock.now().seconds(), "jti": URL_SAFE_NO_PAD.encode(random::<16>()),
        });
        if !self.kid.is_empty() {
            header["kid"] = json!(self.kid);
            claims["iss"] = json!(self.device_id);
        }
        if !body.is_empty() {
            claims["body_sha256"] = json!(sha256(body));
        }
        format!("Tocsin {}", sign(&self.key, &header, &claims))
    }

    /// The claims of the challenge that this phone fetches.
    pub async fn fetch(&self, bank: &Bank, id: TransactionId) -> Result<Value, Problem> {
        Ok(match self.fetch_form(bank, id).await? {
            ChallengeForm::Signed(jws) => claims_of(&jws),
            ChallengeForm::Sealed(sealed) => claims_of(&self.open(&sealed, id)),
        })
    }

    /// Opens a seal.
    pub fn open(&self, sealed: &SealedChallenge, id: TransactionId) -> String {
        let scalar = self.encryption_key.as_ref().expect("has one").to_bytes().to_vec();
        let opened = DH_KEM_P256_HKDF_SHA256_AES_256.open(
            &EncapsulatedSecret(sealed.encapsulated.to_vec()),
            b"tocsin/v1/challenge",
            id.to_string().as_bytes(),
            &sealed.ciphertext,
            &HpkePrivateKey::from(scalar),
        );
        String::from_utf8(opened.expect("opens")).expect("UTF-8")
    }

    /// What this phone fetches, in the form in which it comes.
    pub async fn fetch_form(&self, bank: &Bank, id: TransactionId) -> Result<ChallengeForm, Problem> {
        let path = format!("/device/v1/transactions/{id}");
        let authorization = self.proof(bank, "GET", &path, b"");
        let call = DeviceCall {
            authorization: Some(&authorization),
            method: "GET",
            path_and_query: &path,
            body: b"",
        };
        Ok(bank.handle.fetch(call, Ok(id)).await?.form)
    }

    /// Claims the transaction of a one-time password; answers with the claims of its challenge.
    pub async fn claim(&self, bank: &Bank, otp: &str) -> Result<Value, Problem> {
        let (path, body) = ("/device/v1/otp", json!({ "otp": otp }).to_string());
        let authorization = self.proof(bank, "POST", path, body.as_bytes());
        let call = DeviceCall {
            authorization: Some(&authorization),
            method: "POST",
            path_and_query: path,
            body: body.as_bytes(),
        };
        let challenge = bank.handle.claim_otp(call).await?;
        Ok(match challenge.form {
            ChallengeForm::Signed(jws) => claims_of(&jws),
            ChallengeForm::Sealed(sealed) => claims_of(&self.open(&sealed, challenge.id)),
        })
    }

    /// Fetches, and sends the answer.
    pub async fn answer(&self, bank: &Bank, id: TransactionId, decision: &str) -> Result<State, Problem> {
        let challenge = self.fetch(bank, id).await?;
        self.send(bank, id, &self.answer_to(bank, &challenge, decision)).await
    }

    /// The signed answer to a challenge.
    pub fn answer_to(&self, bank: &Bank, challenge: &Value, decision: &str) -> String {
        let mut shown = json!({});
        for name in ["type", "user", "app", "title", "message"] {
            shown[name] = challenge[name].clone();
        }
        let digest = sha256(&serde_json_canonicalizer::to_vec(&shown).expect("canonical"));
        let claims = json!({
            "iss": self.device_id, "sub": challenge["sub"], "aud": ISSUER, "iat": bank.clock.now().seconds(),
            "nonce": challenge["nonce"], "dh": digest, "decision": decision, "jti": URL_SAFE_NO_PAD.encode(random::<16>()),
        });
        sign(&self.key, &json!({"alg": "ES256", "typ": "tocsin-answer+jwt", "kid": self.kid}), &claims)
    }

    pub async fn send(&self, bank: &Bank, id: TransactionId, jws: &str) -> Result<State, Problem> {
        let body = json!({"answer": jws}).to_string();
        let path = format!("/device/v1/transactions/{id}/answer");
        let call =
            DeviceCall { authorization: None, method: "POST", path_and_query: &path, body: body.as_bytes() };
        bank.handle.answer(call, id).await
    }
}

fn public_half(key: &SigningKey) -> PublicKey {
    let point = key.verifying_key().to_encoded_point(false);
    let coordinate = |bytes: Option<&p256::FieldBytes>| (*bytes.expect("uncompressed")).into();
    PublicKey { x: coordinate(point.x()), y: coordinate(point.y()) }
}

/// The claims of a compact JWS.
pub fn claims_of(jws: &str) -> Value {
    let payload = jws.split('.').nth(1).expect("a compact JWS");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("randomness");
    bytes
}
