//! The phone against a small server of the test's own, over real sockets.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tocsin_model::Decision;
use tokio::net::TcpListener;

use super::error::{PhoneError, Refusal};
use super::jose;
use super::key::{PhoneKey, base64url, from_base64url, hash};
use super::network::{PhoneNetwork, PhoneRequest};
use super::session::{Phone, PhoneProfile};

const DEVICE: &str = "22222222-2222-4222-a222-222222222222";
const TRANSACTION: &str = "01a0c450-6cfa-8004-8444-444444444444";

/// What one request said.
#[derive(Clone, Debug)]
struct Seen {
    request: String,
    proof: Option<Value>,
    body: Value,
    body_hash: String,
}

struct Server {
    issuer: String,
    key: PhoneKey,
    seen: Mutex<Vec<Seen>>,
}

impl Server {
    /// Serves connections until the test's runtime ends.
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Arc::new(Self { issuer, key: PhoneKey::generate(), seen: Mutex::default() });
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&serving);
                let service = service_fn(move |request| Arc::clone(&server).reply(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        server
    }

    async fn reply(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let line = format!("{} {}", request.method(), request.uri());
        let proof =
            request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(claims_of);
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        let seen = Seen {
            request: line.clone(),
            proof,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            body_hash: hash(&body),
        };
        self.seen.lock().expect("not poisoned").push(seen);
        let (status, reply) = self.answer(&line);
        let response = Response::builder().status(status).body(Full::new(Bytes::from(reply.to_string())));
        Ok(response.expect("a response"))
    }

    fn answer(&self, line: &str) -> (u16, Value) {
        let item = json!({"id": TRANSACTION, "expires_at": "2100-01-01T00:00:00.000Z", "challenge": self.challenge()});
        match line {
            "POST /device/v1/enrollments" => {
                let mut jwk = self.key.jwk();
                jwk["kid"] = json!("server-1");
                (
                    201,
                    json!({"device_id": DEVICE, "kids": {"device": "device-1"}, "issuer": self.issuer, "server_keys": [jwk]}),
                )
            }
            "GET /device/v1/transactions" => (200, json!({ "items": [item] })),
            line if line == format!("GET /device/v1/transactions/{TRANSACTION}") => (200, item),
            line if line == format!("POST /device/v1/transactions/{TRANSACTION}/answer") => {
                (200, json!({"state": "accepted"}))
            }
            _ => (404, json!({"code": "not_found", "status": 404})),
        }
    }

    fn challenge(&self) -> String {
        let claims = json!({"iss": self.issuer, "sub": TRANSACTION, "aud": DEVICE, "iat": 1, "exp": 4_000_000_000_u64,
            "nonce": base64url(&[5; 16]), "v": 1, "type": "login", "user": {"id": "alice", "realm": "retail"},
            "app": "bank", "title": "Log in", "message": "Log in?", "methods": ["device"], "number_match": "off"});
        jose::sign(&self.key, "tocsin-challenge+jwt", Some("server-1"), &claims)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// The claims of the JWS at the end of an `Authorization` header or a body.
fn claims_of(text: &str) -> Value {
    let payload = text.split('.').nth(1).and_then(from_base64url).expect("three parts");
    serde_json::from_slice(&payload).expect("JSON")
}

fn phone(server: &Server) -> Phone {
    let push = json!({"kind": "none"});
    let profile = PhoneProfile { name: "Test".to_owned(), platform: "other", app: "bank".to_owned(), push };
    Phone::new(PhoneNetwork::new(), &server.issuer, profile)
}

#[tokio::test]
async fn it_enrols_lists_fetches_and_answers_with_fitting_proofs() {
    let server = Server::start().await;
    let mut phone = phone(&server);
    phone.enrol("code").await.expect("enrolled");
    assert_eq!(phone.device_id(), Some(DEVICE));
    let listed = phone.list().await.expect("listed");
    let challenge = phone.fetch(TRANSACTION).await.expect("fetched");
    assert_eq!(listed, std::slice::from_ref(&challenge));
    assert_eq!(phone.answer(&challenge, Decision::Accept).await.expect("answered"), "accepted");

    let seen = server.seen();
    let proof = |index: usize| seen[index].proof.clone().expect("a proof");
    assert_eq!((proof(0)["iss"].clone(), &proof(0)["body_sha256"]), (Value::Null, &json!(seen[0].body_hash)));
    assert_eq!(seen[0].body["activation_code"], "code");
    assert_eq!((&proof(1)["iss"], proof(1)["body_sha256"].clone()), (&json!(DEVICE), Value::Null));
    assert_eq!(proof(2)["htu"], json!(format!("{}/device/v1/transactions/{TRANSACTION}", server.issuer)));
    assert_ne!(proof(1)["jti"], proof(2)["jti"]);
    assert!(seen[3].proof.is_none(), "{}", seen[3].request);
    let answer = claims_of(seen[3].body["answer"].as_str().expect("a text"));
    assert_eq!((&answer["dh"], &answer["sub"]), (&json!(challenge.screen.digest()), &json!(TRANSACTION)));
}

#[tokio::test]
async fn a_problem_is_told_by_its_code() {
    let server = Server::start().await;
    let mut phone = phone(&server);
    phone.enrol("code").await.expect("enrolled");
    let refused = phone.fetch("01a0c450-6cfa-8004-8444-000000000000").await.expect_err("unknown");
    assert_eq!(refused.code(), Some("not_found"));
}

#[tokio::test]
async fn a_changed_challenge_is_refused_and_not_answered() {
    let server = Server::start().await;
    let mut phone = phone(&server);
    phone.enrol("code").await.expect("enrolled");
    let changed = server.challenge();
    let (rest, signature) = changed.rsplit_once('.').expect("three parts");
    let (header, payload) = rest.split_once('.').expect("two parts");
    let payload = String::from_utf8(from_base64url(payload).expect("base64url")).expect("UTF-8");
    let payload = base64url(payload.replacen("Log in?", "Log on?", 1).as_bytes());
    let refused = phone.read_challenge(&format!("{header}.{payload}.{signature}"), Some(TRANSACTION));
    assert!(matches!(refused, Err(PhoneError::Refused(Refusal::BadSignature))));
}

#[tokio::test]
async fn a_phone_that_is_not_enrolled_signs_no_answer() {
    let server = Server::start().await;
    let phone = phone(&server);
    let refused = phone.read_challenge(&server.challenge(), None);
    assert!(matches!(refused, Err(PhoneError::NotEnrolled)));
}

#[tokio::test]
async fn an_impostor_keeps_every_word_and_changes_the_key() {
    let server = Server::start().await;
    let mut phone = phone(&server);
    phone.enrol("code").await.expect("enrolled");
    let impostor = phone.impostor();
    let challenge = impostor.fetch(TRANSACTION).await.expect("fetched");
    let claims = phone.answer_claims(&challenge, Decision::Accept).expect("enrolled");
    let (true_one, forged) = (phone.sign_answer(&claims), impostor.sign_answer(&claims));
    let (true_one, forged) = (true_one.expect("signed"), forged.expect("signed"));
    assert_eq!(claims_of(&true_one), claims_of(&forged));
    assert_ne!(true_one.rsplit_once('.'), forged.rsplit_once('.'));
}

#[tokio::test]
async fn a_request_can_be_sent_as_it_is() {
    let server = Server::start().await;
    let mut phone = phone(&server);
    phone.set_clock_offset(-3_600.0);
    let claims = phone.proof_claims("GET", "/device/v1/transactions", b"");
    let authorization = Some(phone.sign_proof(&claims));
    let path = "/device/v1/transactions".to_owned();
    let request = PhoneRequest { method: "GET", path, authorization, body: Vec::new() };
    assert_eq!(phone.send(request).await.expect("a reply").status, 200);
    assert_eq!(server.seen()[0].proof.as_ref().expect("a proof")["iat"], json!(claims.iat));
}
