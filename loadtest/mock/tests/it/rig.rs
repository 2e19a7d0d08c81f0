//! Servers with credentials, and requests that are right until a test changes them.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tocsin_mock::{
    ApnsCredential, ApnsEnvironment, ApnsOptions, ApnsServer, Authority, FcmCredential, FcmOptions,
    FcmServer, KeyEnvironment, Topics,
};

use super::client::{Answer, Client};

pub const TOPIC: &str = "com.example.bank";
pub const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
pub const TEAM: &str = "TEAM000001";
pub const KEY: &str = "KEY0000001";

/// APNs with one key for one topic.
pub struct ApnsRig {
    pub authority: Authority,
    pub server: ApnsServer,
    pub credential: ApnsCredential,
    lasting_token: OnceLock<String>,
}

impl ApnsRig {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut ApnsOptions)) -> Self {
        let authority = Authority::new().unwrap();
        let credential = ApnsCredential::generate(TEAM, KEY).unwrap();
        let mut options = ApnsOptions::new(authority.issue().unwrap()).with_key(bank_key(&credential));
        change(&mut options);
        let server = ApnsServer::start(options).await.unwrap();
        Self { authority, server, credential, lasting_token: OnceLock::new() }
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.authority, self.server.addr()).await
    }

    pub fn token(&self) -> String {
        apns_token(&self.credential, self.server.clock().now_s())
    }

    /// A push that APNs takes.
    pub fn push(&self) -> Push {
        Push::new(&self.token())
    }

    /// A right push with the same provider token each time, for several pushes on one connection.
    pub fn push_again(&self) -> Request<Bytes> {
        let token = self.lasting_token.get_or_init(|| self.token());
        Push::new(token).request()
    }

    /// Sends one push on a new connection.
    pub async fn send(&self, push: Push) -> Answer {
        self.client().await.send(push.request()).await.unwrap()
    }
}

pub fn bank_key(credential: &ApnsCredential) -> tocsin_mock::ApnsKey {
    credential.key(Topics::Only(vec![TOPIC.to_owned()]))
}

pub fn sandbox_key(credential: &ApnsCredential) -> tocsin_mock::ApnsKey {
    credential.key_scoped(Topics::All, KeyEnvironment::Only(ApnsEnvironment::Sandbox))
}

/// A provider token as a client signs it.
pub fn apns_token(credential: &ApnsCredential, issued_at_s: u64) -> String {
    let claims = json!({"iss": credential.team_id, "iat": issued_at_s});
    apns_token_of(credential, Algorithm::ES256, Some(&credential.key_id), &claims)
}

pub fn apns_token_of(
    credential: &ApnsCredential,
    algorithm: Algorithm,
    key_id: Option<&str>,
    claims: &Value,
) -> String {
    let mut header = Header::new(algorithm);
    header.kid = key_id.map(str::to_owned);
    let key = match algorithm {
        Algorithm::HS256 => EncodingKey::from_secret(b"a secret shared by nobody, long enough"),
        _ => EncodingKey::from_ec_pem(credential.private_key_pem.as_bytes()).unwrap(),
    };
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

/// A push to APNs, header by header.
#[derive(Clone)]
pub struct Push {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Push {
    pub fn new(token: &str) -> Self {
        let headers = [
            ("authorization", format!("bearer {token}")),
            ("apns-topic", TOPIC.to_owned()),
            ("apns-push-type", "alert".to_owned()),
            ("apns-priority", "10".to_owned()),
            ("apns-expiration", "1732233600".to_owned()),
        ];
        Self {
            method: Method::POST,
            path: format!("/3/device/{DEVICE}"),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: br#"{"aps":{"alert":{"loc-key":"LOGIN"}},"t":"1"}"#.to_vec(),
        }
    }

    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    pub fn device(self, token: &str) -> Self {
        self.path(&format!("/3/device/{token}"))
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(present, _)| present != name);
        self
    }

    pub fn also(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn set(self, name: &str, value: &str) -> Self {
        self.without(name).also(name, value)
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// A background push that APNs takes.
    pub fn background(self) -> Self {
        self.set("apns-push-type", "background")
            .set("apns-priority", "5")
            .body(r#"{"aps":{"content-available":1}}"#)
    }

    pub fn request(self) -> Request<Bytes> {
        request("localhost", self.method, &self.path, &self.headers, self.body)
    }
}

/// FCM with one project and account.
pub struct FcmRig {
    pub authority: Authority,
    pub server: FcmServer,
    pub credential: FcmCredential,
    pub access_token: String,
}

pub const PROJECT: &str = "example-bank";

/// One RSA key for all tests: making one takes long.
pub fn fcm_credential() -> FcmCredential {
    static CREDENTIAL: OnceLock<FcmCredential> = OnceLock::new();
    CREDENTIAL.get_or_init(|| FcmCredential::generate(PROJECT).unwrap()).clone()
}

impl FcmRig {
    pub async fn start() -> Self {
        let authority = Authority::new().unwrap();
        let credential = fcm_credential();
        let options = FcmOptions::new(authority.issue().unwrap()).with_account(credential.clone());
        let server = FcmServer::start(options).await.unwrap();
        let mut rig = Self { authority, server, credential, access_token: String::new() };
        rig.access_token = rig.new_access_token().await;
        rig
    }

    pub async fn new_access_token(&self) -> String {
        let answer = self.ask_for_token(&grant_form(&self.assertion(json!({})))).await;
        answer.json()["access_token"].as_str().expect("no access token").to_owned()
    }

    /// An assertion that Google takes, with some claims changed; null takes one away.
    pub fn assertion(&self, changes: Value) -> String {
        assertion(&self.credential, self.server.clock().now_s(), &self.server.token_uri(), changes)
    }

    pub async fn ask_for_token(&self, form: &str) -> Answer {
        self.ask_for_token_as(Method::POST, "/token", "application/x-www-form-urlencoded", form).await
    }

    pub async fn ask_for_token_as(&self, method: Method, path: &str, media_type: &str, form: &str) -> Answer {
        let address = self.server.token_endpoint().addr();
        let mut client = Client::connect(&self.authority, address).await;
        let headers = vec![("content-type".to_owned(), media_type.to_owned())];
        let host = format!("localhost:{}", address.port());
        client.send(request(&host, method, path, &headers, form.as_bytes().to_vec())).await.unwrap()
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.authority, self.server.addr()).await
    }

    pub fn request(&self, body: &Value) -> Request<Bytes> {
        self.request_to(PROJECT, &self.access_token, body)
    }

    pub fn request_to(&self, project: &str, access_token: &str, body: &Value) -> Request<Bytes> {
        let headers = vec![
            ("authorization".to_owned(), format!("Bearer {access_token}")),
            ("content-type".to_owned(), "application/json".to_owned()),
        ];
        let path = format!("/v1/projects/{project}/messages:send");
        request("localhost", Method::POST, &path, &headers, body.to_string().into_bytes())
    }

    /// Sends one message on a new connection.
    pub async fn send(&self, body: &Value) -> Answer {
        self.client().await.send(self.request(body)).await.unwrap()
    }
}

pub fn assertion(credential: &FcmCredential, now_s: u64, audience: &str, changes: Value) -> String {
    let mut claims = json!({
        "iss": credential.client_email,
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": audience,
        "iat": now_s,
        "exp": now_s + 3_600,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(credential.private_key_id.clone());
    let key = EncodingKey::from_rsa_pem(credential.private_key_pem.as_bytes()).unwrap();
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}

pub fn grant_form(assertion: &str) -> String {
    format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}")
}

/// A message that FCM takes.
pub fn message() -> Value {
    json!({"message": {
        "token": "dXNlcjE:APA91b-token_1",
        "data": {"t": "1", "v": "1"},
        "android": {"priority": "HIGH", "ttl": "90s"},
    }})
}

fn request(
    host: &str,
    method: Method,
    path: &str,
    headers: &[(String, String)],
    body: Vec<u8>,
) -> Request<Bytes> {
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = format!("https://{host}{path}").parse().unwrap();
    for (name, value) in headers {
        let name = HeaderName::try_from(name).unwrap();
        request.headers_mut().append(name, HeaderValue::try_from(value).unwrap());
    }
    request
}
