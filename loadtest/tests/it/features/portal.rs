//! What a portal asks, and what it is told.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_model::Decision;

use super::Scene;
use super::operations::{operated, shown};
use super::scene::{Answer, CATALOGUE, SOON, SceneOptions};
use crate::ALONE;

/// A realm without a type.
const NO_TYPES: &str = r#"
[realms.retail]
[apps.bank.ios]
bundle_id = "com.example.bank"
"#;

fn login() -> Value {
    json!({"type": "login", "user": "alice"})
}

async fn start(scene: &Scene, body: Value) -> Value {
    scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201)
}

async fn view(scene: &Scene, id: &str) -> Value {
    scene.portal("GET", &format!("/v1/transactions/{id}"), None).await.expect(200)
}

/// Waits for the outcome.
async fn outcome(scene: &Scene, id: &str) -> Value {
    scene.portal("GET", &format!("/v1/transactions/{id}?wait_s=15"), None).await.expect(200)
}

fn id_of(view: &Value) -> &str {
    view["id"].as_str().expect("an id")
}

async fn decide(phone: &Handset, id: &str, decision: Decision) -> String {
    let challenge = phone.phone.fetch(id).await.expect("a challenge");
    phone.phone.answer(&challenge, decision).await.expect("an answer")
}

/// A form without an `Authorization` header.
async fn form(scene: &Scene, fields: &str) -> Answer {
    let request = Request::post(format!("{}/v1/transactions", scene.installation.portal_url()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(fields.to_owned()));
    scene.call(request.expect("a request")).await
}

/// Without a type nothing can be started, and nothing is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_011_types_required() {
    let scene = Scene::of(NO_TYPES).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    scene.portal("POST", "/v1/transactions", Some(&login())).await.expect_problem(422, "unknown_type");
    assert!(scene.world.apns.pushes().records().is_empty());
}

/// Several phones of one user and app: all are listed, the one that is named is pushed, and a type that asks names all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_015_mode_multiple() {
    let catalogue = CATALOGUE
        .replace("[apps.bank.ios]", "[apps.bank]\nmode = \"multiple\"\n[apps.bank.ios]")
        .replace("[types.payment]", "[types.payment]\ndevice_choice = \"ask\"");
    let scene = Scene::of(&catalogue).await;
    let first = scene.enrol(PhoneKind::Iphone, "alice").await;
    let mut second = scene.enrol(PhoneKind::Iphone, "alice").await;
    let listed = scene.portal("GET", "/v1/users/alice/devices", None).await.expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "{listed}");
    let pay = |more: Value| {
        let mut body = json!({"type": "payment", "user": "alice"});
        more.as_object().expect("an object").iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    let asked = scene.portal("POST", "/v1/transactions", Some(&pay(json!({})))).await;
    let asked = asked.expect_problem(422, "device_required");
    let ids: Vec<&Value> =
        asked["devices"].as_array().expect("devices").iter().map(|one| &one["device_id"]).collect();
    assert_eq!(ids, [&json!(second.device_id().to_string()), &json!(first.device_id().to_string())]);
    // The notice that a phone was added names no transaction.
    let pushed = || {
        let records = scene.world.apns.pushes().records();
        records
            .iter()
            .filter(|record| record.payload_json().is_some_and(|push| push["t"].is_string()))
            .count()
    };
    assert_eq!(pushed(), 0);
    let named = start(&scene, pay(json!({"device_id": second.device_id().to_string()}))).await;
    assert_eq!(second.next_push(SOON).await.expect("a push").to_string(), id_of(&named));
    assert_eq!(pushed(), 1);
    // A type that does not ask reaches both.
    assert_eq!(start(&scene, login()).await["delivery"].as_array().map(Vec::len), Some(2));
}

/// A network that took the push has relayed it; that the phone has it is known only once the phone asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_044_fire_and_forget_truth() {
    let scene = Scene::open().await;
    let phone = scene.enrol(PhoneKind::Android, "alice").await;
    let sent = json!({"type": "login", "user": "alice", "reply": "sent"});
    let told = start(&scene, sent).await;
    assert_eq!((&told["state"], &told["delivery"][0]["status"]), (&json!("pending"), &json!("relayed")));
    let id = id_of(&told);
    assert_eq!(view(&scene, id).await["delivery"][0]["status"], "relayed");
    phone.phone.fetch(id).await.expect("a challenge");
    let fetched = format!("/v1/transactions/{id}?wait_s=15&after={}", told["revision"]);
    let fetched = scene.portal("GET", &fetched, None).await.expect(200);
    assert_eq!(
        (&fetched["state"], &fetched["delivery"][0]["status"]),
        (&json!("pending"), &json!("fetched"))
    );
}

/// Two types of one name: the configuration is refused with its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_054_type_unique_name() {
    let catalogue = format!("{CATALOGUE}\n[types.login]\n");
    let scene = Scene::prepared(SceneOptions { catalogue: Some(catalogue), ..SceneOptions::default() }).await;
    let installation = &scene.installation;
    let mut check = Command::new(installation.binary());
    check.arg("--config").arg(installation.config_file()).arg("check");
    let checked = check.output().expect("it runs");
    let told =
        [checked.stdout, checked.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert_eq!(checked.status.code(), Some(78), "{told}");
    assert!(told.contains("tocsin.toml:") && told.contains("duplicate key"), "{told}");
}

/// The life is the type's, told in milliseconds, counts from the portal's call, and ends the taking of answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_056_type_ttl() {
    let scene = Scene::of(&CATALOGUE.replace("[types.login]", "[types.login]\nttl_s = 3")).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let in_time = start(&scene, login()).await;
    assert_eq!(in_time["ttl_ms"], 3_000);
    let path = format!("/v1/transactions/{}?wait_s=1", id_of(&in_time));
    assert_eq!(scene.portal("GET", &path, None).await.expect(200)["state"], "pending");
    assert_eq!(decide(&phone, id_of(&in_time), Decision::Accept).await, "accepted");
    let late = start(&scene, login()).await;
    let challenge = phone.phone.fetch(id_of(&late)).await.expect("a challenge");
    assert_eq!(outcome(&scene, id_of(&late)).await["state"], "timeout");
    let refused = phone.phone.answer(&challenge, Decision::Accept).await.expect_err("too late");
    assert_eq!(refused.code(), Some("transaction_final"));
}

/// Started by a form, as curl posts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_069_rest_init() {
    let scene = Scene::open().await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let credentials = scene.installation.credentials();
    let fields = format!(
        "client_id={}&client_secret={}&type=login&user=alice",
        credentials.client_id, credentials.secret
    );
    let view = form(&scene, &fields).await.expect(201);
    assert_eq!((&view["method"], &view["ttl_ms"]), (&json!("push"), &json!(60_000)));
    assert_eq!(phone.next_push(SOON).await.expect("a push").to_string(), id_of(&view));
}

/// Basic or the form; wrong or none is 401.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_070_api_auth_basic() {
    let scene = Scene::open().await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    start(&scene, login()).await;
    let credentials = scene.installation.credentials();
    let (id, secret) = (&credentials.client_id, &credentials.secret);
    form(&scene, &format!("type=login&user=alice&client_id={id}&client_secret={secret}")).await.expect(201);
    for wrong in [format!("&client_id={id}&client_secret=wrong"), format!("&client_id={id}"), String::new()] {
        let refused = form(&scene, &format!("type=login&user=alice{wrong}")).await;
        refused.expect_problem(401, "invalid_client");
    }
    for wrong in [format!("Basic {}", STANDARD.encode(format!("{id}:wrong"))), String::new()] {
        let mut request = Request::post(format!("{}/v1/transactions", scene.installation.portal_url()));
        if !wrong.is_empty() {
            request = request.header("authorization", wrong);
        }
        let request = request.header("content-type", "application/json").body(login().to_string().into());
        scene.call(request.expect("a request")).await.expect_problem(401, "invalid_client");
    }
}

/// What was started waits on the phone, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_072_init_session_start() {
    let scene = Scene::open().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    assert!(phone.phone.list().await.expect("a list").is_empty());
    let view = start(&scene, login()).await;
    let waiting = phone.phone.list().await.expect("a list");
    assert_eq!(waiting.iter().map(|one| one.transaction_id.as_str()).collect::<Vec<_>>(), [id_of(&view)]);
}

/// A message of the request is shown, else the type's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_the_request_goes_before_the_types() {
    let scene =
        Scene::of(&CATALOGUE.replace("[types.login]", "[types.login]\ndefault_message = \"Is it you?\""))
            .await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let with = json!({"type": "login", "user": "alice", "title": "Hello", "message": "Log in at the desk?"});
    for (body, title, message) in [(with, "Hello", "Log in at the desk?"), (login(), "Log in", "Is it you?")]
    {
        let view = start(&scene, body).await;
        let screen = phone.phone.fetch(id_of(&view)).await.expect("a challenge").screen;
        assert_eq!((screen.title.as_str(), screen.message.as_str()), (title, message));
    }
}

/// The standard scene, whose transactions outlive a push that cannot be sent within a very short life.
fn patient() -> String {
    CATALOGUE.replace("[types.login]", "[types.login]\nkeep_for_polling = true")
}

/// The call holds until the user has answered, or the time has run out; a wait that is over sooner says `pending`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_075_mode_sync() {
    let scene = Scene::of(&patient()).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let held = json!({"type": "login", "user": "alice", "wait_s": 15});
    let answering = async {
        let id = phone.next_push(SOON).await.expect("a push").to_string();
        // Its user thinks about it for two seconds.
        let path = format!("/v1/transactions/{id}?wait_s=2");
        assert_eq!(scene.portal("GET", &path, None).await.expect(200)["state"], "pending");
        decide(&phone, &id, Decision::Accept).await
    };
    let begun = Instant::now();
    let holding = async {
        let reply = scene.portal("POST", "/v1/transactions", Some(&held)).await;
        (reply, begun.elapsed())
    };
    let ((reply, took), state) = tokio::join!(holding, answering);
    assert_eq!((reply.expect(200)["state"].clone(), state.as_str()), (json!("accepted"), "accepted"));
    assert!(Duration::from_millis(1_950) <= took && took < Duration::from_secs(10), "{took:?}");

    let begun = Instant::now();
    let short = json!({"type": "login", "user": "alice", "wait_s": 15, "ttl_s": 1});
    let ended = scene.portal("POST", "/v1/transactions", Some(&short)).await.expect(200);
    assert_eq!(ended["state"], "timeout");
    assert!(begun.elapsed() >= Duration::from_millis(950), "{:?}", begun.elapsed());

    let begun = Instant::now();
    let brief = json!({"type": "login", "user": "alice", "wait_s": 1});
    let open = start(&scene, brief).await;
    assert_eq!((&open["state"], &open["ttl_ms"]), (&json!("pending"), &json!(60_000)));
    assert!(begun.elapsed() >= Duration::from_millis(950), "{:?}", begun.elapsed());
    assert_eq!(decide(&phone, id_of(&open), Decision::Accept).await, "accepted");
}

/// How often a call is made whose time is measured.
const MEASURED_CALLS: usize = 15;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A wait of nought answers at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_076_mode_async() {
    let _alone = ALONE.lock().await;
    let scene = Scene::open().await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let mut times = Vec::new();
    for _ in 0..MEASURED_CALLS {
        let begun = Instant::now();
        let view = start(&scene, json!({"type": "login", "user": "alice", "wait_s": 0})).await;
        times.push(begun.elapsed());
        assert_eq!(view["state"], "pending");
        let path = format!("/v1/transactions/{}", id_of(&view));
        scene.portal("DELETE", &path, None).await.expect(200);
    }
    assert!(median(times.clone()) < Duration::from_millis(100), "{times:?}");
}

/// A minute when nobody says otherwise, the realm's when it does; beyond it is refused, and so is a wait beyond 300.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_077_timeout_default_60() {
    for (realm, ttl_s) in [("[realms.retail]", 60), ("[realms.retail]\nttl_s = 120", 120)] {
        let scene = Scene::of(&CATALOGUE.replace("[realms.retail]", realm)).await;
        let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
        assert_eq!(start(&scene, login()).await["ttl_ms"], ttl_s * 1_000);
        for (seconds, allowed) in [(0, false), (1, true), (ttl_s, true), (ttl_s + 1, false)] {
            let body = json!({"type": "login", "user": "alice", "ttl_s": seconds});
            let reply = scene.portal("POST", "/v1/transactions", Some(&body)).await;
            if allowed {
                assert_eq!(reply.expect(201)["ttl_ms"], seconds * 1_000);
            } else {
                assert_eq!(reply.expect_problem(422, "invalid_field")["field"], "ttl_s");
            }
        }
        let body = json!({"type": "login", "user": "alice", "wait_s": 301});
        let reply = scene.portal("POST", "/v1/transactions", Some(&body)).await;
        assert_eq!(reply.expect_problem(422, "invalid_field")["field"], "wait_s");
    }
}

/// A type may say two minutes; what is late is not valid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_078_linotp_timeout_120() {
    let scene = Scene::of(&patient().replace("[types.login]", "[types.login]\nttl_s = 120")).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    assert_eq!(start(&scene, login()).await["ttl_ms"], 120_000);
    let asking = |seconds: u64| json!({"type": "login", "user": "alice", "ttl_s": seconds});
    for beyond in [0, 121] {
        let refused = scene.portal("POST", "/v1/transactions", Some(&asking(beyond))).await;
        assert_eq!(refused.expect_problem(422, "invalid_field")["field"], "ttl_s");
    }
    assert_eq!(start(&scene, asking(120)).await["ttl_ms"], 120_000);
    let short = start(&scene, json!({"type": "login", "user": "alice", "ttl_s": 1})).await;
    let challenge = phone.phone.fetch(id_of(&short)).await.expect("a challenge");
    assert_eq!(outcome(&scene, id_of(&short)).await["state"], "timeout");
    let refused = phone.phone.answer(&challenge, Decision::Accept).await.expect_err("too late");
    assert_eq!(refused.code(), Some("transaction_final"));
}

/// Each state by its word, and an unknown id is 404.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_088_states_five() {
    let scene = Scene::of(&patient()).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    for (decision, word) in
        [(Decision::Accept, "accepted"), (Decision::Decline, "declined"), (Decision::Report, "reported")]
    {
        let begun = start(&scene, login()).await;
        assert_eq!(begun["state"], "pending");
        assert_eq!(decide(&phone, id_of(&begun), decision).await, word);
        assert_eq!(view(&scene, id_of(&begun)).await["state"], word);
    }
    let expiring = start(&scene, json!({"type": "login", "user": "alice", "ttl_s": 1})).await;
    assert_eq!(outcome(&scene, id_of(&expiring)).await["state"], "timeout");
    let withdrawn = start(&scene, login()).await;
    let path = format!("/v1/transactions/{}", id_of(&withdrawn));
    assert_eq!(scene.portal("DELETE", &path, None).await.expect(200)["state"], "cancelled");
    let failing = start(&scene, login()).await;
    let device = format!("/v1/users/alice/devices/{}", phone.device_id());
    scene.portal("DELETE", &device, None).await.expect(204);
    let failed = outcome(&scene, id_of(&failing)).await;
    assert_eq!((&failed["state"], &failed["reason"]), (&json!("failed"), &json!("device_revoked")));
    let unknown = "/v1/transactions/01913f00-1122-8b7f-bfff-ffffffffffff";
    scene.portal("GET", unknown, None).await.expect_problem(404, "not_found");
}

/// The state is read at once, again and again, and reading changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_089_status_nonblocking() {
    let _alone = ALONE.lock().await;
    let scene = Scene::open().await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let begun = start(&scene, json!({"type": "login", "user": "alice", "reply": "sent"})).await;
    let mut times = Vec::new();
    for _ in 0..MEASURED_CALLS {
        let asked = Instant::now();
        let told = view(&scene, id_of(&begun)).await;
        times.push(asked.elapsed());
        assert_eq!(told, begun);
    }
    assert!(median(times.clone()) < Duration::from_millis(50), "{times:?}");
}

const OTHER: &str = "\n[clients.other]\nsecret_sha256 = \
    \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"\nrealms = [\"*\"]\ntypes = [\"*\"]\n";

/// Another client's transaction does not exist.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_091_status_auth() {
    let more = OTHER.to_owned();
    let scene = Scene::with(SceneOptions { more, ..SceneOptions::default() }).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let begun = start(&scene, login()).await;
    for path in ["", "?wait_s=5", "/events"] {
        let url = format!("{}/v1/transactions/{}{path}", scene.installation.portal_url(), id_of(&begun));
        // The SHA-256 of this word is in the configuration.
        let authorization = format!("Basic {}", STANDARD.encode("other:secret"));
        let request = Request::get(url).header("authorization", authorization).body(Bytes::new());
        scene.call(request.expect("a request")).await.expect_problem(404, "not_found");
    }
    assert_eq!(view(&scene, id_of(&begun)).await["state"], "pending");
}

/// The answer marks what was started, under the id of the start, with its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_093_mark_confirmed() {
    let scene = Scene::open().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let begun = start(&scene, login()).await;
    decide(&phone, id_of(&begun), Decision::Accept).await;
    let ended = view(&scene, id_of(&begun)).await;
    assert_eq!((&ended["state"], &ended["id"]), (&json!("accepted"), &begun["id"]));
    assert_eq!(ended["user"], json!({"id": "alice", "realm": "retail"}));
    assert!(ended["answer"]["decided_at"].is_string() && ended["ended_at"].is_string(), "{ended}");
}

/// The same answer again gets its first reply; any other is refused and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_099_one_time_answer() {
    let scene = Scene::open().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let stale = phone.phone.fetch(id_of(&start(&scene, login()).await)).await.expect("a challenge").nonce;
    for (decision, word, opposite) in
        [(Decision::Decline, "declined", Decision::Accept), (Decision::Accept, "accepted", Decision::Decline)]
    {
        let begun = start(&scene, login()).await;
        let id = id_of(&begun);
        let challenge = phone.phone.fetch(id).await.expect("a challenge");
        let sign = |decision, nonce: &str| {
            let mut claims = phone.phone.answer_claims(&challenge, decision).expect("claims");
            claims.nonce = nonce.to_owned();
            phone.phone.sign_answer(&claims).expect("signed")
        };
        let send = async |answer: &str| phone.phone.send_answer(id, answer).await.expect("a reply");
        let pending = view(&scene, id).await;
        let reply = send(&sign(decision, &stale)).await;
        assert_eq!((reply.status, &reply.body["code"]), (422, &json!("wrong_challenge")));
        assert_eq!(view(&scene, id).await["state"], "pending");
        assert_eq!(view(&scene, id).await["attempts"], pending["attempts"]);

        let first = sign(decision, &challenge.nonce);
        let told = send(&first).await;
        assert_eq!((told.status, &told.body["state"]), (200, &json!(word)));
        let ended = view(&scene, id).await;
        for again in [&first, &sign(decision, &challenge.nonce)] {
            let reply = send(again).await;
            assert_eq!((reply.status, &reply.body), (200, &told.body));
        }
        for other in [sign(opposite, &challenge.nonce), sign(decision, &stale)] {
            let reply = send(&other).await;
            assert_eq!((reply.status, &reply.body["code"]), (409, &json!("transaction_final")));
        }
        assert_eq!(view(&scene, id).await, ended);
    }
}

/// The portal's name of the session travels along, is told back and stands in the audit trail; it is the key of nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_151_session_id_passthrough() {
    let scene = operated().await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let body = json!({"type": "login", "user": "alice", "context": {"session_id": "session-7"}});
    let (first, second) = (start(&scene, body.clone()).await, start(&scene, body).await);
    assert_ne!(id_of(&first), id_of(&second));
    assert_eq!(view(&scene, id_of(&first)).await["context"], json!({"session_id": "session-7"}));
    scene.portal("GET", "/v1/transactions/session-7", None).await.expect_problem(404, "not_found");
    let told = shown(&scene, &format!("/v1/admin/audit?transaction={}", id_of(&first))).await;
    assert_eq!(told["items"][0]["session_id"], "session-7", "{told}");
}
